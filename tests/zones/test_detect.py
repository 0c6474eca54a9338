"""What kind of text a tool has printed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.zones.detect import LINE_LOOK, LOOK_AHEAD, Kind, sniff
from tests.support.json_texts import TREES, Members, Tree, write
from tests.support.outputs import invented


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("json_uniform", Kind.JSON),
        ("json_nested", Kind.JSON),
        ("json_ragged", Kind.JSON),
        ("package_lock", Kind.JSON),
        ("search", Kind.SEARCH),
        ("search_context", Kind.SEARCH),
        ("diff", Kind.DIFF),
        ("json_lines", Kind.JSON_LINES),
        ("paths", Kind.PATHS),
        ("long_listing", Kind.TABLE),
        ("table", Kind.TABLE),
        ("service_log", Kind.LOG),
        ("test_run", Kind.LOG),
        ("read", Kind.NUMBERED),
        ("source", Kind.SOURCE),
        ("failure", Kind.LINT),
        ("history", Kind.GIT),
        ("blame", Kind.GIT),
        ("prose", Kind.TEXT),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_the_output_of_a_tool_is_told_by_its_look(kind: str, expected: Kind, seed: int) -> None:
    assert sniff(invented(kind, seed, 5_000).text) is expected


@given(TREES, st.sampled_from(["", "\n", "  \n"]))
def test_an_object_or_array_is_json_whatever_blanks_are_around_it(tree: Tree, blanks: str) -> None:
    text = blanks + write(tree, "  ", ",", ": ") + blanks
    assert (sniff(text) is Kind.JSON) == isinstance(tree, tuple | Members)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", Kind.TEXT),
        (" \n\t", Kind.TEXT),
        ("{]", Kind.TEXT),
        ("[1] and more", Kind.TEXT),
        ("a.py:1:x", Kind.SEARCH),
        ("a.py:1:x\n" + "what the tool says of it\n" * 2 + ("a.py:2:x\n" + "and of this\n") * 10, Kind.LINT),
        ("a.log 2031-02-03 10:00:01 up\n" * 9, Kind.LOG),
        ("a.log.1_13:53:08 2031-02-03 10:00:01 up\n" * 9, Kind.LOG),
        ("[2031-02-03T10:00:01.120+0000][0.009s][gc] up\n" * 9, Kind.LOG),
        ("a.c: In function 'f':\na.c:3:5: warning: x\n    3 | int y;\n      |     ^\n" * 3, Kind.LINT),
        ("error[E0433]: no such crate\n --> a.rs:1:2\n  |\n1 | use b::c;\n  |     ^ not here\n\n" * 3, Kind.LINT),
        ("==== FAILURES ====\n____ test_x ____\n    def test_x():\n>       assert 1\nE       no\n" * 3, Kind.LINT),
        ("| a | b |\n| --- | --- |\n" + "| 1 | 2 |\n" * 9, Kind.TABLE),
        ("12:30:00 started\n12:30:01 stopped", Kind.TEXT),
        ("a.py:1:x\ny\nz", Kind.SEARCH),  # a third of the lines are matches
        ("a.py:1:x\ny\nz\nw", Kind.TEXT),
        ("a.py:1:x\n--\n\n  \n--", Kind.SEARCH),  # separators and blank lines do not count
        ("a b.py:1:x", Kind.TEXT),
        ("http://h:80:x", Kind.TEXT),
        ("diff --git a/x b/x\n+y", Kind.DIFF),
        ("--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n x", Kind.DIFF),
        ("commit 1\n\ndiff --git a/x b/x\n@@ -1 +1 @@", Kind.DIFF),
        ("text\n--- a/x\ntext", Kind.TEXT),
        ("--- no path", Kind.TEXT),
        ("day,low,high\n2031-01-01,1,2\n2031-01-02,2,3\n2031-01-03,1,4", Kind.TABLE),  # dates, but no log
        (" id | name\n----+------\n  1 | a\n  2 | b\n", Kind.TABLE),
        ("┃ id ┃ x ┃\n┡━━━━╇━━━┩\n│ 1  │ a │\n│ 2  │ b │", Kind.TABLE),
        ("id\trate\n1\t.5\n2\t.7\n3\t.2", Kind.TABLE),  # numbers and tabs, but no gutter
        ("error[E1]: no\n --> a/b.rs:3:5\n  |\n3 | use x;\n\n" * 3, Kind.LINT),
        ("In file included from a.c:4:\na.c:3:5: warning: no\n    3 | x\n      | ^\n" * 3, Kind.LINT),
        ("a/b.ts(3,5): error TS2322: no\n" * 3, Kind.LINT),
        ("a/b.ts(3,5): error TS2322: no\n" * 2, Kind.TEXT),
        ("a/b.py\n3:x\n4-y\n\na/c.py\n3:x\n", Kind.SEARCH),
        ("Found 2\na/b.py:\n  Line 3: x\n\na/c.py:\n  Line 5: x\n", Kind.SEARCH),
        ("File: b.py\nL3: x\n---\nFile: c.py\nL5: x\n", Kind.SEARCH),
        ("a/b.py:x = 1\na/c.py:y = 1\na/d.py-z\n" * 4, Kind.TEXT),
        ("a/b.py:x = 1\na/c.py:y = 1\na/c.py-z\n" * 4, Kind.SEARCH),
        ("a/b.py:x = 1\na/c.py:y = 1\na/c.py:z\n" * 4, Kind.SEARCH),
    ],
)
def test_the_line_between_two_kinds(text: str, kind: Kind) -> None:
    assert sniff(text) is kind


def test_only_the_first_lines_are_looked_at() -> None:
    assert sniff("prose\n" * LOOK_AHEAD + "a.py:1:x\n" * 10_000) is Kind.TEXT
    assert sniff("a.py:1:x\n" * LOOK_AHEAD + "prose\n" * 10_000) is Kind.SEARCH


def test_only_the_begin_of_a_long_line_is_looked_at() -> None:
    assert sniff("x" * LINE_LOOK + ":1:y") is Kind.TEXT


@given(st.text(max_size=60))
def test_any_text_has_a_kind_and_always_the_same(text: str) -> None:
    assert sniff(text) is sniff("".join(list(text)))
