"""What a terminal would not show goes; nothing else does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.drives import drive_screen
from headroom.zones import screen
from headroom.zones.press import Action, Floors, press, seen, unpress
from headroom.zones.yardstick import Characters, o200k
from tests.support.outputs import invented

COLOURED = "".join(
    f"\x1b[32m2031-02-03 10:00:{n:02} INFO\x1b[0m [w-{n % 3}] lease {n} taken by job-{n}\n" for n in range(40)
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[1;32mok\x1b[0m done", "ok done"),
        ("\x1b[38:2::1:2:3mx\x1b[m", "x"),
        ("\x1b]0;title\x07$ ls", "$ ls"),
        ("\x1b]0;title\x1b\\$ ls", "$ ls"),
        ("\x1b[?25lwait\x1b[?25h", "wait"),
        ("\x1b(Bx", "x"),
        ("a\x1b[Kb", "ab"),
        ("10%\r60%\r100%\n", "100%\n"),
        ("loading\rdone", "doneing"),
        ("loading\r\x1b[Kdone", "done"),
        ("loading\x1b[2K\rdone", "done"),
        ("\x1b[1Gloading\x1b[1G\x1b[0Kdone", "done"),
        ("|\b/\b-\b\\", "\\"),
        ("N\bNA\bAME", "NAME"),
        ("\b\bx", "x"),
        ("━━ 1\r━━━ 2", "━━━ 2"),
        ("50%\r100%\r\nnext\r\n", "100%\r\nnext\r\n"),
    ],
)
def test_a_text_is_as_a_terminal_shows_it(text: str, shown: str) -> None:
    found = screen.clean(text)
    assert found is not None
    line, rest = found
    assert rest == shown
    assert screen.undo(line, rest) == shown
    assert screen.holds(text, line, rest)
    assert not screen.holds(text, line, rest + "x")


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[2Jcleared",
        "\x1b[3;4Hmoved",
        "\x1b[1Aup",
        "\x1b]8;;https://h.test\x1b\\link\x1b]8;;\x1b\\",
        "ab\x1b[1K",
        "ab\x1b[2Kcd",
        "漢字\rab",
        "a\tb\rc",
        "\x1b",
        "plain",
        "a\r\nb\r\n",
    ],
)
def test_what_cannot_be_told_or_needs_nothing_is_left_alone(text: str) -> None:
    assert screen.clean(text) is None


def test_the_title_names_just_what_was_left_out() -> None:
    def line(text: str, *, trailing: bool = False) -> str:
        found = screen.clean(text, trailing=trailing)
        return "" if found is None else found[0]

    assert line("\x1b[1mx") == "[as on screen: colour codes left out]"
    assert line("1\r2") == "[as on screen: overwritten text left out]"
    assert line("\x1b[1m1\r2  ") == "[as on screen: colour codes, overwritten text left out]"
    assert line("a   \nb", trailing=True) == "[as on screen: trailing blanks left out]"


def test_the_forms_of_what_is_shown_follow() -> None:
    verdict = press(COLOURED, Floors(), o200k())
    assert (verdict.action, verdict.form) == (Action.PRESSED, "screen+log")
    assert verdict.text.startswith("[as on screen: colour codes left out]\n[log: ")
    assert unpress(verdict.text) == seen(COLOURED) != COLOURED


CODE = "def f(lease):\n    return lease.take('\x1b[0m')  \n\n\n" * 40
DIFF = "diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1,2 +1,2 @@\n-a\x1b[0m\n+a \n b\n" * 30


@pytest.mark.parametrize("text", [CODE, "".join(f"{n}\t{line}\n" for n, line in enumerate(CODE.split("\n"), 1)), DIFF])
def test_what_is_edited_by_exact_match_keeps_every_character(text: str) -> None:
    assert seen(text) == text


def test_a_coloured_diff_loses_colours_and_no_blank() -> None:
    plain = "diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1,2 +1,2 @@\n-a\n+a   \n b\r\n" * 9
    coloured = "\n".join(f"\x1b[1m{line}\x1b[m" if line else "" for line in plain.split("\n"))
    assert seen(coloured) == plain


def test_line_ends_in_crlf_are_said_once() -> None:
    text = COLOURED.replace("\x1b[32m", "").replace("\x1b[0m", "").replace("\n", "\r\n")
    verdict = press(text, Floors(), o200k())
    assert verdict.text.startswith("[lines end in CRLF]\n[log: ")
    assert unpress(verdict.text) == text == seen(text)


def test_line_ends_alone_are_no_reason_to_touch_a_text() -> None:
    text = invented("prose", 1, 4_000).text.replace("\n", "\r\n") + "\r\n\r\n"
    assert screen.strip_crlf(text) is not None
    assert press(text, Floors.flat(0), Characters()).action is not Action.PRESSED


@pytest.mark.parametrize("text", ["a\r\nb\n", "a\nb", "a\r", ""])
def test_other_line_ends_stay(text: str) -> None:
    assert screen.strip_crlf(text) is None


@given(st.text(alphabet="a \r\n\t"))
def test_line_ends_in_crlf_come_back(text: str) -> None:
    found = screen.strip_crlf(text)
    if found is not None:
        assert screen.restore_crlf(*found) == text
        assert screen.crlf_holds(text, *found)


PIECES = [
    "a",
    "bc ",
    "\r",
    "\n",
    "\b",
    "\x1b[1m",
    "\x1b[K",
    "\x1b[2K",
    "\x1b[1G",
    "é",
    "漢",
    "\t",
    "\x1b",
    "\x1b]0;t\x07",
]


@given(st.lists(st.sampled_from(PIECES), max_size=30))
def test_any_terminal_output_is_shown_or_left_alone(pieces: list[str]) -> None:
    drive_screen("".join(pieces).encode())


@pytest.mark.parametrize("line", ["[as on screen: left out]", "[as on screen: x left out]", "[as on screen: "])
def test_a_line_that_only_looks_like_a_title_is_refused(line: str) -> None:
    with pytest.raises(ValueError):
        screen.undo(line, "x")
    assert not screen.holds("x", line, "x")


@pytest.mark.parametrize("piece", ["\x1b[2K", "a\r", "\b", "\x1b]", "\x1b[", "x\x1b[K", "\x1b]0;"])
def test_hostile_output_costs_no_more_than_its_length(piece: str) -> None:
    text = "x" * 20_000 + piece * 40_000
    press(text, Floors.flat(0), Characters())


def test_what_is_shown_ends_where_what_was_given_ends() -> None:
    text = f"{COLOURED}\x1b[0m\n<system-reminder>x</system-reminder>"
    verdict = press(text, Floors.flat(0), Characters())
    assert verdict.action is Action.PRESSED
    assert unpress(verdict.text) == seen(text)


def test_codes_in_the_lines_that_a_search_has_found_stay() -> None:
    found = "".join(f"lib/net/pool.py:{n}:    print('\x1b[1m{n}', end='\r')\n" for n in range(40))
    assert seen(found) == found
    coloured = "".join(f"\x1b[35mlib/net/pool.py\x1b[m:\x1b[32m{n}\x1b[m:take({n})\n" for n in range(40))
    assert seen(coloured) == "".join(f"lib/net/pool.py:{n}:take({n})\n" for n in range(40))
