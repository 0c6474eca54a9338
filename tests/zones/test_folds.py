"""Runs of added and removed lines without their signs, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.zones import commits, diffs, folds

LINES = st.sampled_from(["+", "-", "+a", "-b", " c", "+++ all", "+++ end", "++++ end", "--- all", "---- end", "", "|"])
RUNS = st.lists(st.tuples(LINES, st.sampled_from([1, 2, 40])), max_size=8)
ADDED = [f"+line {at}" for at in range(40)]
NEW_FILE = "\n".join(
    [
        "diff --git a/n b/n",
        "new file mode 100644",
        "index 0000000..2b72e9e",
        "--- /dev/null",
        "+++ b/n",
        "@@ -0,0 +1,40 @@",
        *ADDED,
        "",
    ]
)


def test_a_long_run_stands_between_two_marks_without_its_signs() -> None:
    assert folds.fold([" a", *ADDED, "-b"]) == [
        " a",
        "+++ all",
        *(line[1:] for line in ADDED),
        "+++ end",
        "-b",
    ]


def test_short_runs_keep_their_signs() -> None:
    assert folds.fold(ADDED[: folds.LEAST_LINES - 1] * 1 + [" c"]) is None
    assert folds.fold(ADDED[: folds.LEAST_LINES]) is None  # too few to be worth saying so


def test_a_line_that_would_be_taken_for_a_mark_keeps_every_run_as_it_was() -> None:
    assert folds.fold([*ADDED, "+++ all"]) is None
    assert folds.fold([*ADDED, "++++ end"]) is None
    assert folds.fold(["--- all", *ADDED]) is None


@given(RUNS)
def test_folded_lines_read_back(runs: list[tuple[str, int]]) -> None:
    lines = [line for line, times in runs for _ in range(times)]
    folded = folds.fold(lines)
    assert folded is None or folds.unfold(folded) == lines


@given(st.lists(LINES, max_size=8))
def test_lines_that_nobody_folded_are_refused_or_read(lines: list[str]) -> None:
    try:
        folds.unfold(lines)
    except ValueError as broken:
        assert "no end" in str(broken)


def test_a_new_file_is_shown_without_its_column_of_signs() -> None:
    pressed = diffs.encode(NEW_FILE)
    assert pressed is not None
    assert folds.OPTION in pressed.split("\n")[0]
    assert "\n=== n new 2b72e9e\n@@ 1\n+++ all\nline 0\n" in pressed
    assert diffs.decode(pressed) == NEW_FILE


def test_a_new_file_in_a_history_is_too() -> None:
    head = "commit 1f2e3d4{}\nAuthor: Ana <a@b.test>\nDate:   Mon Feb 3 10:00:00 2031 +0100\n\n    Add it\n\n"
    text = head.format("a") + NEW_FILE + "\n" + head.format("b") + NEW_FILE
    pressed = commits.encode(text)
    assert pressed is not None
    assert folds.OPTION in pressed.split("\n")[1]
    assert commits.decode(pressed) == text


def test_a_run_that_never_ends_was_not_folded_here() -> None:
    with pytest.raises(ValueError, match="no end"):
        diffs.decode("[diff: === path old..new; @@ new line, context" + folds.OPTION + "]\n+++ all\na")
