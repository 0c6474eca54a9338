"""Numbered lines: the gutter narrowed, and every character of the text behind it kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.zones import numbered
from tests.support.outputs import invented

GUTTERS = (
    "{:6}\t{}",
    "{:6}→{}",
    "{}\t{}",
    "{}: {}",
    "{}:{}",
    "{:3} | {}",
    "{:05}| {}",
    "{}|{}",
    "L{}: {}",
    "{:4} │ {}",
)
TEXTS = st.sampled_from(
    ["", " ", "  ", "def take(self):", "    return 1  ", "\ta", "\r", "12\t", "7", "\\", " * x", "é→|:"]
)
TAILS = st.sampled_from(
    ["", "\n", "\n\n<system-reminder>\nbe careful\n</system-reminder>\n", "\n\tx\n12\ty", "\n\\", "\n7"]
)
HEADS = st.sampled_from(["", "Here is `cat -n`:\n", "\n", "\t\n", "1\tx\n", "3\n", "\\\n", "\\\\1\n"])


def back(text: str) -> str:
    """`text` through its narrow form."""
    pressed = numbered.encode(text)
    assert pressed is not None
    assert pressed.startswith(numbered.TITLE)
    return numbered.decode(pressed)


def written(gutter: str, first: int, texts: list[str]) -> str:
    """The lines with numbers from `first` on."""
    return "\n".join(gutter.format(first + at, text) for at, text in enumerate(texts))


def test_every_tenth_line_keeps_its_number_and_so_do_the_first_and_the_last() -> None:
    lines = ["import re", "", "def take(self):  ", "\treturn 1"]
    text = written("{:6}\t{}", 118, lines) + "\n\n<system-reminder>\nx\n</system-reminder>\n"
    assert numbered.encode(text) == (
        '[lines 118-121, every 10th numbered, text after the tab; was "%6d\\t"]\n'
        "118\timport re\n"
        "\t\n"
        "120\tdef take(self):  \n"
        "121\t\treturn 1\n"
        "\n<system-reminder>\nx\n</system-reminder>\n"
    )
    assert back(text) == text


def test_a_number_and_a_tab_need_not_be_described() -> None:
    pressed = numbered.encode("1\ta\n2\tb\n3\tc")
    assert pressed == "[lines 1-3, every 10th numbered, text after the tab]\n1\ta\n\tb\n3\tc"


def test_empty_lines_that_have_lost_their_tab_stay_without_it() -> None:
    text = "     8\ta\n     9\n    10\n    11\tb\n    12\n"
    assert numbered.encode(text) == (
        '[lines 8-12, every 10th numbered, text after the tab; empty lines without it; was "%6d\\t"]\n'
        "8\ta\n\n10\n\tb\n12\n"
    )
    assert back(text) == text


def test_a_gap_and_a_line_that_is_none_of_the_files_start_anew_with_a_number() -> None:
    text = "file x\n1:a\n2:b\n3:c\n...\n41:d\n42:e\n43:f\n(more below)"
    assert numbered.encode(text) == (
        '[lines 1-43 in 2 parts, every 10th numbered, text after the tab; was "%d:"]\n'
        "file x\n1\ta\n\tb\n3\tc\n...\n41\td\n\te\n43\tf\n(more below)"
    )
    assert back(text) == text


def test_what_looks_like_a_line_of_ours_is_escaped_before_the_last_line_and_not_after_it() -> None:
    text = "7\tx\n\\y\n\tz\n     1→a\n     2→b\n     3→c\n7\tx\n\\y\n\tz"
    assert numbered.encode(text) == (
        '[lines 1-3, every 10th numbered, text after the tab; was "%6d→"]\n'
        "\\7\tx\n\\\\y\n\\\tz\n1\ta\n\tb\n3\tc\n7\tx\n\\y\n\tz"
    )
    assert back(text) == text


@pytest.mark.parametrize(
    ("text", "gutter"),
    [
        ("1: a\n2:   b\n3: c", "%d: "),
        ("1:a\n2:  b\n3:c", "%d:"),
        ("00009| a\n00010|   b\n00011| ", "%05d| "),
        (" 9 | a\n10 | b\n11 | c", "%2d | "),
        ("L1: a\nL2: b\nL3:", "L%d: "),
        (written("{}:{}", 273, ["    x", "        y", "  z", ""] * 4), "%d:"),
        (written("{}: {}", 273, ["    x", "        y", "  z", ""] * 4), "%d: "),
    ],
)
def test_the_gutter_is_told_from_the_indentation(text: str, gutter: str) -> None:
    pressed = numbered.encode(text)
    assert pressed is not None
    assert f'; was "{gutter}"]' in pressed.split("\n")[0]
    assert back(text) == text


@pytest.mark.parametrize(
    "text", ["1:  a\n2:   b\n3:  c\n4:    d", "1:     * a\n2:     * b\n3:     */", "1| \n2| \n3| "]
)
def test_where_a_blank_may_be_the_gutters_or_the_texts_nothing_is_pressed(text: str) -> None:
    assert numbered.encode(text) is None


@pytest.mark.parametrize(
    "text", ["", "\n", "a\nb\nc", "1\ta", "1\ta\n3\tb\n5\tc\n7\td", "1\ta\n2\tb\n9\tc\n20\td", "1. a\n2. b\n3. c"]
)
def test_what_is_not_numbered_is_not_pressed(text: str) -> None:
    assert numbered.encode(text) is None


@pytest.mark.parametrize(
    "pressed",
    [
        "",
        "1\ta",
        "[lines 1-3]\n1\ta",
        "[lines 1-3, every 10th numbered, text after the tab]",
        "[lines 1-3, every 10th numbered, text after the tab]\n\ta\n\tb\n3\tc",
        "[lines 1-9, every 10th numbered, text after the tab]\n1\ta\n\tb\n3\tc",
        '[lines 1-3, every 10th numbered, text after the tab; was "%s"]\n1\ta\n\tb\n3\tc',
        "[lines 1-3 in 2 parts, every 10th numbered, text after the tab]\n1\ta\n\tb\n3\tc",
    ],
)
def test_a_text_that_was_not_pressed_or_was_cut_is_refused(pressed: str) -> None:
    with pytest.raises(ValueError, match=r"number|cut"):
        numbered.decode(pressed)


@pytest.mark.parametrize("gutter", GUTTERS)
@given(
    first=st.integers(0, 1200),
    texts=st.lists(TEXTS, min_size=3, max_size=30),
    head=HEADS,
    tail=TAILS,
    stripped=st.booleans(),
)
def test_numbered_lines_read_back(
    gutter: str, first: int, texts: list[str], head: str, tail: str, stripped: bool
) -> None:
    text = written(gutter, first, texts)
    if stripped:
        text = "\n".join(line.rstrip(" \t") for line in text.split("\n"))
    text = head + text + tail
    pressed = numbered.encode(text)
    if gutter[-4:] in ("\t{}", "→{}"):
        assert pressed is not None
    if pressed is not None:
        assert numbered.decode(pressed) == text


@given(
    st.lists(
        st.builds(
            lambda gutter, number, text: gutter.format(number, text),
            st.sampled_from(GUTTERS),
            st.integers(0, 12),
            TEXTS,
        )
        | TEXTS
        | HEADS,
        max_size=40,
    )
)
def test_mixtures_of_look_alikes_read_back_or_are_not_pressed(lines: list[str]) -> None:
    text = "\n".join(lines)
    pressed = numbered.encode(text)
    if pressed is not None:
        assert numbered.decode(pressed) == text


@given(st.text(alphabet="\t\n\r\\ 0123→|:L[a", max_size=60))
def test_any_text_reads_back_or_is_not_pressed(text: str) -> None:
    pressed = numbered.encode(text)
    if pressed is not None:
        assert numbered.decode(pressed) == text


@pytest.mark.parametrize("seed", range(6))
def test_invented_reads_get_shorter_and_keep_every_text(seed: int) -> None:
    text = invented("read", seed).text
    pressed = numbered.encode(text)
    assert pressed is not None
    assert len(pressed) < len(text)
    assert numbered.decode(pressed) == text
