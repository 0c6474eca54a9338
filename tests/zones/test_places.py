"""Where the values in a piece of JSON are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.zones.places import counts, elements, member, members, replaced

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
SPELLED = st.sampled_from([{"indent": 1}, {"separators": (",", ":")}, {"separators": (" , ", "\t: ")}])


def dumps(value: object, how: dict[str, Any]) -> bytes:
    return json.dumps(value, **how).encode()


@given(st.dictionaries(st.text(), VALUES, max_size=4), SPELLED)
def test_the_values_of_an_object_are_where_they_are(value: dict[str, object], how: dict[str, Any]) -> None:
    text = b" \n" + dumps(value, how) + b"\t "
    spans = members(text)
    assert {key: json.loads(text[start:end]) for key, (start, end) in spans.items()} == value
    for key in value:
        start, end = spans[key]
        assert member(text, key) == (start, end)
        assert json.loads(replaced(text, [((start, end), b"[7]")])) == {**value, key: [7]}


@given(st.lists(VALUES, max_size=4), SPELLED)
def test_the_elements_of_a_list_are_where_they_are(value: list[object], how: dict[str, Any]) -> None:
    text = b'{"x":' + dumps(value, how) + b"}"
    spans = elements(text, *member(text, "x"))
    assert spans is not None
    assert [json.loads(text[start:end]) for start, end in spans] == value


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"7",
        b'"{}"',
        b"{",
        b'{"a":1,}',
        b'{"a":1}}',
        b'{"a":1,"a":2}',
        b'{"a":1,"a":{"b":"      "}}',
        b"{}x",
    ],
)
def test_what_is_no_object_with_each_key_once_has_no_members(text: bytes) -> None:
    assert members(text) == {}
    assert member(text, "a") == (len(text), len(text))


@pytest.mark.parametrize("text", [b"", b"{}", b"7", b"[", b"[1,]", b"[" * 100_000])
def test_what_is_no_list_has_no_elements(text: bytes) -> None:
    assert elements(text, 0, len(text)) is None
    assert members(text) == {}


def test_counts_are_found_by_their_path() -> None:
    text = b'  {"a": 1, "b": {"c": 22, "d": {"e": 3}}, "f": -4, "g": 5.0, "h": [6], "i": "7", "j": null, "k": 1e3}'
    found = {path: text[slice(*span)] for path, span in counts(text, 0, len(text))}
    assert found == {("a",): b"1", ("b", "c"): b"22", ("b", "d", "e"): b"3"}
    assert list(counts(text, 0, 5)) == []
    assert list(counts(b"9" * 30, 0, 30)) == []


def test_counts_are_not_looked_for_in_depth() -> None:
    text = b'{"a":' * 50 + b"1" + b"}" * 50
    assert list(counts(text, 0, len(text))) == []


def test_nothing_to_replace_is_the_same_object() -> None:
    text = b'{"a":1}'
    assert replaced(text, []) is text
    assert replaced(text, [((1, 1), b'"b":2,'), ((5, 6), b"3")]) == b'{"b":2,"a":3}'
