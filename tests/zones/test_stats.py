"""Lists of changed files with narrow columns, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.drives import drive_stats
from headroom.zones import stats
from headroom.zones.detect import Kind, sniff
from headroom.zones.press import Floors, press, unpress
from headroom.zones.yardstick import o200k

NAMES = st.sampled_from(["a.py", "lib/net/pool.py", "a => b", ".../x.c", "é.py", "\\x", "a|b", "|"])
ROWS = st.builds(
    " {:<{}} | {:>{}}{}".format,
    NAMES,
    st.sampled_from([0, 15, 15, 15]),
    st.sampled_from(["1", "12", "127", "Bin"]),
    st.sampled_from([0, 3, 3, 3]),
    st.sampled_from(["", " ++-", " 0 -> 3 bytes", " ", " => b"]),
)
OTHERS = st.sampled_from(["", " 2 files changed", "\\", "3 a.py +", "\\3 a.py +", " a.py | 3 +", "[changed files: x]"])


def test_names_and_numbers_stand_without_the_blanks_between_them() -> None:
    text = "\n".join(stats._aligned([("lib/net/pool.py", "127", " ++--"), ("README.md", "2", " +-"), ("x", "0", "")]))
    assert stats.encode(text) == "[changed files: lines, then name]\n127 lib/net/pool.py ++--\n2 README.md +-\n0 x"
    assert stats.decode(stats.encode(text) or "") == text


def test_a_block_of_another_width_keeps_its_blanks() -> None:
    wide = " a.py      | 1 +\n bcd.py    | 2 +-\n"
    text = wide + "\n a.py   | 1 +\n bcd.py | 2 +-\n e      | 3 +++\n"
    pressed = stats.encode(text)
    assert pressed is not None
    assert "\n\\ a.py      | 1 +\n\\ bcd.py    | 2 +-\n\n1 a.py +\n" in pressed
    assert stats.decode(pressed) == text
    assert stats.encode(wide * 3) is None


def test_one_very_long_name_does_not_make_every_row_as_wide() -> None:
    text = "\n".join([" " + "a" * 300_000 + " | 1 +", *[" b | 1 +"] * 30_000])
    assert stats.decode(stats.encode(text) or "") == text
    read = stats.decode("\n".join(["[changed files: lines, then name]", "1 " + "a" * 300_000, *["1 b"] * 30_000]))
    assert len(read) < 1_000_000


@given(st.lists(ROWS | ROWS | OTHERS, max_size=14))
def test_blocks_read_back(lines: list[str]) -> None:
    text = "\n".join(lines)
    pressed = stats.encode(text)
    assert pressed is None or stats.decode(pressed) == text


@given(st.binary(max_size=80))
def test_any_text_is_read_or_refused(data: bytes) -> None:
    drive_stats(data)


@pytest.mark.parametrize("text", ["", "[changed files: columns]", " a | 1 +"])
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a list"):
        stats.decode(text)


def test_a_history_with_its_changed_files_is_pressed() -> None:
    block, other = (
        "\n".join(stats._aligned([(f"{top}/folder/{top * at}.py", str(at * at), " ++--") for at in range(1, 12)]))
        for top in ("lib", "web")
    )
    commit = "commit {}1f2e3d4\nAuthor: Ana <a@b.test>\nDate:   Mon Feb 3 10:00:00 2031 +0100\n\n    Add it\n\n"
    for text in (f"{commit.format('a')}{block}\n\n{commit.format('b')}{other}\n", block, f"1f2e3d4 Add it\n{block}\n"):
        assert sniff(text) is Kind.GIT
        verdict = press(text, Floors.flat(0), o200k())
        assert "stat" in verdict.form
        assert unpress(verdict.text) == text
