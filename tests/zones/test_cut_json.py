"""Excerpts of JSON: what is out of the ordinary is shown, and the excerpt is JSON itself."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.zones import cut_json
from headroom.zones.gaps import Cut
from tests.support.excerpts import accounts_for_every_item, accounts_for_every_line

ROWS = st.lists(
    st.fixed_dictionaries(
        {"id": st.integers(), "status": st.sampled_from(["ok", "slow", "failed"]), "ms": st.floats(0, 99)}
    ),
    max_size=60,
)


def rows(count: int) -> list[object]:
    return [{"id": at, "status": "ok", "ms": at % 7, "errors": []} for at in range(count)]


def made(items: object) -> Cut:
    found = cut_json.cut(json.dumps(items))
    assert found is not None
    return found


@given(ROWS)
def test_every_row_is_shown_or_told(items: list[object]) -> None:
    found = cut_json.cut(json.dumps(items))
    if found is not None:
        accounts_for_every_item(items, found.body)
        shown = json.loads(found.body)
        assert all(item in shown for item in items if isinstance(item, dict) and item["status"] == "failed")


@given(ROWS)
def test_every_line_of_json_lines_is_shown_or_told(items: list[object]) -> None:
    text = "\n".join(map(json.dumps, items))
    found = cut_json.cut_lines(text)
    if found is not None:
        accounts_for_every_line(text, found)


@pytest.mark.parametrize(
    "change",
    [{"status": "failed"}, {"ms": 9000}, {"note": "rare"}, {"status": "paused"}, {"message": "connection refused"}],
    ids=str,
)
def test_a_row_out_of_the_ordinary_is_shown(change: dict[str, object]) -> None:
    items = rows(200)
    items[117] = {"id": 117, "status": "ok", "ms": 3, "errors": [], **change}
    assert items[117] in json.loads(made(items).body)


@pytest.mark.parametrize("at", [100, 60, 170])
def test_both_sides_of_a_step_are_shown(at: int) -> None:
    items = [{"id": number, "ms": (100 if number >= at else 10) + number % 3} for number in range(200)]
    shown = json.loads(made(items).body)
    assert items[at] in shown
    assert items[at - 1] in shown


def test_a_key_named_errors_keeps_no_row() -> None:
    assert made(rows(200)).left_out > 150


def test_numbers_keep_their_spelling() -> None:
    items = ",".join(f'{{"id":{at},"x":1.50,"y":1e400}}' for at in range(60))
    found = cut_json.cut(f"[{items}]")
    assert found is not None
    assert '{"id":0,"x":1.50,"y":1e400}' in found.body


def test_arrays_in_objects_are_cut_at_their_place() -> None:
    found = json.loads(made({"a": {"rows": rows(90), "b": 7}, "c": "x"}).body)
    assert found["c"] == "x"
    assert found["a"]["b"] == 7
    assert any("left out" in row.get("…", "") for row in found["a"]["rows"])


def test_encoded_bytes_are_told_by_their_length() -> None:
    found = json.loads(made({"image": "iVBORw0KGgo" * 90, "name": "x"}).body)
    assert found["image"].endswith("characters left out …")
    assert found["name"] == "x"


@pytest.mark.parametrize("text", ["", "{", '{"a":1,"a":2}', "[NaN]", "[1,2,3]", '"x"', "[" * 5000 + "]" * 5000])
def test_what_is_no_json_or_short_is_left_alone(text: str) -> None:
    assert cut_json.cut(text) is None
