"""Excerpts of diffs: no changed line of source is lost, and hunk headers say what stands below them."""

from __future__ import annotations

import difflib
import re

from hypothesis import given
from hypothesis import strategies as st

from headroom.zones import cut_diffs

HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
EDITS = st.lists(st.tuples(st.integers(0, 200), st.sampled_from(["add", "drop", "change"])), min_size=1, max_size=12)


def diff(edits: list[tuple[int, str]], around: int = 3) -> tuple[str, list[str], list[str]]:
    old = [f"line {at}" for at in range(200)]
    new = list(old)
    for at, what in sorted(edits, reverse=True):
        if what == "drop":
            del new[at : at + 1]
        elif what == "add":
            new.insert(at, f"new {at}")
        elif at < len(new):
            new[at] = f"changed {at}"
    return "\n".join(difflib.unified_diff(old, new, "a/x.py", "b/x.py", lineterm="", n=around)) + "\n", old, new


@given(EDITS, st.integers(3, 12))
def test_headers_say_what_stands_below_and_changes_stay(edits: list[tuple[int, str]], around: int) -> None:
    text, old, new = diff(edits, around)
    made = cut_diffs.cut(text)
    if made is None:
        return
    lines = made.body.split("\n")
    assert [line for line in text.split("\n") if line[:1] in "+-"] == [line for line in lines if line[:1] in "+-"]
    at = 0
    while at < len(lines):
        header = HUNK.match(lines[at])
        at += 1
        if header is None:
            continue
        olds, news = [], []
        while at < len(lines) and lines[at][:1] in (" ", "+", "-"):
            if lines[at][0] in " -":
                olds.append(lines[at][1:])
            if lines[at][0] in " +":
                news.append(lines[at][1:])
            at += 1
        assert (len(olds), len(news)) == (int(header[2] or 1), int(header[4] or 1))
        if olds:
            assert old[int(header[1]) - 1 :][: len(olds)] == olds
        if news:
            assert new[int(header[3]) - 1 :][: len(news)] == news


def test_a_lock_file_is_told_by_its_counts() -> None:
    changed = "".join(f"-old {at}\n+new {at}\n" for at in range(40))
    text = f"diff --git a/yarn.lock b/yarn.lock\n--- a/yarn.lock\n+++ b/yarn.lock\n@@ -1,40 +1,40 @@\n{changed}"
    made = cut_diffs.cut(text)
    assert made is not None
    assert "yarn.lock changed (+40 −40)" in made.body
    assert "old 7" not in made.body


def test_long_runs_of_a_huge_file_keep_ends_and_definitions() -> None:
    added = [f"+    value_{at} = {at} + other" for at in range(400)]
    added[200] = "+def take(key):"
    text = "--- /dev/null\n+++ b/x.py\n@@ -0,0 +1,400 @@\n" + "\n".join(added)
    made = cut_diffs.cut(text)
    assert made is not None
    lines = made.body.split("\n")
    assert {added[0], added[200], added[-1]} <= set(lines)
    assert sum(line.startswith("+ ") for line in lines) + 2 + made.left_out == 401 + 0 * len(lines)
