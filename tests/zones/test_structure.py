"""Texts of one tool have one name, whatever they say, and nothing of them can be read from it."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.zones.detect import Kind, sniff
from headroom.zones.structure import FIELDS_LIMIT, LOOK, beginning, described, structure
from tests.support.outputs import KINDS, invented

ALIKE = sorted(set(KINDS) - {"read", "source", "search_context"})  # those begin as the file does that is shown


def named(text: str) -> str:
    return structure(text, sniff(text))


@pytest.mark.parametrize("kind", ALIKE)
@pytest.mark.parametrize("size", [4_000, 200_000])
def test_outputs_of_one_tool_have_one_structure(kind: str, size: int) -> None:
    assert len({named(invented(kind, seed, size).text) for seed in range(6)}) == 1


def test_outputs_of_different_tools_have_others() -> None:
    names = {named(invented(kind, 1, 20_000).text) for kind in ("json_uniform", "json_lines", "service_log", "search")}
    assert len(names) == 4


@pytest.mark.parametrize("kind", KINDS)
def test_a_structure_is_a_digest_or_a_kind_and_a_digest(kind: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{24}|content:[a-z_]+:[0-9a-f]{8}", named(invented(kind, 2, 9_000).text))


def test_rows_are_named_by_their_fields_and_types_in_any_order() -> None:
    rows = json.dumps([{"id": 1, "name": "a"}, {"name": "b", "id": 2}])
    assert named(rows) == named(json.dumps([{"name": "zz", "id": 9}]))
    assert named(rows) == named(json.dumps([{"name": "zz", "id": 9}] * 5000, indent=2))
    assert named(rows) != named(json.dumps([{"name": "zz", "id": "9"}]))
    assert named(rows) != named(json.dumps([{"name": "zz", "id": 9, "more": None}]))


def test_lines_of_json_are_named_as_a_list_of_them_is() -> None:
    rows = [{"at": f"10:{at}", "level": "INFO", "n": at} for at in range(40)]
    assert named("\n".join(map(json.dumps, rows))) == named(json.dumps(rows))


def test_fields_are_told_sorted_and_not_too_many() -> None:
    assert described('[{"b": 1, "a": 2}, {"c": null}]', Kind.JSON).fields == ("a", "b", "c")
    assert len(described(json.dumps({f"k{at}": at for at in range(500)}), Kind.JSON).fields) == FIELDS_LIMIT
    assert described("one line\nanother", Kind.LOG).fields == ()


def test_a_long_document_is_named_by_its_beginning() -> None:
    long = json.dumps({"items": [{"id": at, "text": "x" * 50} for at in range(20_000)], "next": None})
    assert len(long) > 10 * LOOK
    assert described(long, Kind.JSON).fields == ("items",)
    one_row = json.dumps([{"id": 1, "text": "x" * 2 * LOOK}, {"id": 2}])
    assert described(one_row, Kind.JSON).fields == ("id", "text")


@pytest.mark.parametrize("kind", KINDS)
def test_a_beginning_tells_as_much_as_the_whole(kind: str) -> None:
    for size in (60_000, 70_000, 140_000, 400_000):
        text = invented(kind, 3, size).text
        assert structure(beginning(text), sniff(text)) == named(text)
        assert len(beginning(text)) <= 2 * LOOK


@pytest.mark.parametrize("kind", Kind)
def test_an_empty_text_has_a_structure_of_its_own_that_never_changes(kind: Kind) -> None:
    assert structure("", kind) == structure("", kind) == f"content:{kind}:e3b0c442"


def test_what_is_said_makes_no_difference_to_a_log() -> None:
    one = "2031-02-03 10:00:00,123 INFO [w-1] pool: lease 37 taken (by job-3)"
    other = "2031-11-30 23:59:59,001 ERROR [main] db.connection: refused: no route, 5 tries"
    assert structure(one, Kind.LOG) == structure(other, Kind.LOG)


@pytest.mark.parametrize(
    "text", ["{", "[", "[{", '{"a', '{"a":', '[{"a":1', "[[[[", '{"a":1}{"b":2}', "[1,2", "\ud800"]
)
@pytest.mark.parametrize("kind", [Kind.JSON, Kind.JSON_LINES, Kind.TEXT])
def test_what_only_looks_like_json_is_named_too(text: str, kind: Kind) -> None:
    assert structure(text, kind)
    assert structure(text + "x" * LOOK, kind)
    assert structure("[" * 100_000, kind)


@given(
    st.text(alphabet=st.characters(), max_size=300) | st.text('{}[]":,\\ \n01eatn\ud800', max_size=60),
    st.sampled_from(Kind),
)
def test_any_text_has_one_structure(text: str, kind: Kind) -> None:
    assert structure(text, kind) == structure(text, kind)
    assert described(text + " " * LOOK, kind).name
