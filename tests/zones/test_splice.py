"""Putting new string tokens in the place of old ones, and touching nothing else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.drives import drive_splice
from headroom.zones.splice import Edit, splice, to_text, to_token
from tests.support.json_texts import ODD_TREES, TEXTS, TREES, Tree, pieces, scattered

BODY = b'{"a":"one", "b" : ["two","three"]}'


@given(scattered(TREES | ODD_TREES))
def test_every_string_can_be_replaced_and_nothing_else_changes(case: tuple[Tree, str]) -> None:
    drive_splice(case[1].encode())


@given(TREES | ODD_TREES, st.data())
def test_several_strings_are_replaced_at_once_in_any_order(tree: Tree, data: st.DataObject) -> None:
    tokens = [token.encode() for token in pieces(tree)]
    edits: list[Edit] = []
    expected = list(tokens)
    at = 0
    for index, token in enumerate(tokens):
        if token[:1] == b'"' and data.draw(st.booleans()):
            put = to_token(data.draw(TEXTS))
            edits.append(Edit(at, at + len(token), put))
            expected[index] = put
        at += len(token)
    body = b"".join(tokens)
    assert splice(body, data.draw(st.permutations(edits))) == b"".join(expected)


def test_without_edits_the_body_is_the_very_same_object() -> None:
    assert splice(BODY, []) is BODY
    assert splice(BODY, iter(())) is BODY


def test_bytes_that_are_not_utf8_are_kept() -> None:
    assert splice(b'["\xff","x",\xfe]', [Edit(5, 8, b'"y"')]) == b'["\xff","y",\xfe]'


@pytest.mark.parametrize(
    "places",
    [
        [(5, 9)],
        [(6, 10)],
        [(5, 6)],
        [(-2, 10)],
        [(5, 100)],
        [(0, len(BODY))],
        [(5, 10), (5, 10)],
        [(5, 10), (9, 13)],
        [(10, 5)],
    ],
)
def test_an_edit_that_is_not_one_token_of_the_body_is_refused(places: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError):
        splice(BODY, [Edit(start, end, b'"x"') for start, end in places])


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_text_goes_into_a_token_and_comes_back(text: str) -> None:
    token = to_token(text)
    assert to_text(token) == text
    assert json.loads(token) == text
    assert token == json.dumps(text, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ('"\\/\b\f\n\r\t', rb'"\"\\/\b\f\n\r\t"'),
        ("\x00\x1f", rb'"\u0000\u001f"'),
        ("\x7f\u2028é😀", '"\x7f\u2028é😀"'.encode()),
        ("", b'""'),
    ],
)
def test_a_token_is_spelled_as_javascript_spells_it(text: str, token: bytes) -> None:
    assert to_token(text) == token


@pytest.mark.parametrize("text", ["\ud800", "a\udfff", "\udc00\ud800"])
def test_a_lone_surrogate_has_no_token(text: str) -> None:
    with pytest.raises(ValueError):
        to_token(text)


@pytest.mark.parametrize(
    "token", [b"", b"1", b"null", b'"', b'"a', b'"a"b"', b'["a"]', b'"\xff"', rb'"\ud800"', b'"\n"']
)
def test_what_is_not_one_string_token_has_no_text(token: bytes) -> None:
    with pytest.raises(ValueError):
        to_text(token)
