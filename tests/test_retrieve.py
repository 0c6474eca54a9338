"""What is asked for of an original, and the part that is given."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.retrieve import Asking, BadAsking, asking, checked, missing, named_hash, pick

HASH = "0123456789abcdef01234567"
TEXT = "one\ntwo\nthree\nfour\n"


@pytest.mark.parametrize("text", [HASH, f"<<ccr:{HASH}>>", f"  {HASH.upper()} ", f"<<CCR:{HASH}>>"])
def test_a_hash_is_known_bare_in_its_marker_and_in_any_case(text: str) -> None:
    assert named_hash(text) == HASH


@pytest.mark.parametrize(
    "text", ["", "xx", HASH[:-1], HASH + "0", HASH[:-1] + "g", f"<<ccr:{HASH}>", "٠" * 24, "../" * 8]
)
def test_what_is_no_hash_is_none(text: str) -> None:
    assert named_hash(text) is None


def test_arguments_are_read_as_models_write_them() -> None:
    assert asking(json.dumps({"hash": HASH}).encode()) == Asking(HASH)
    full = {"hash": f"<<ccr:{HASH}>>", "lines": "2-3", "match": "t", "query": "ignored"}
    assert asking(json.dumps(full).encode()) == Asking(HASH, "2-3", "t")
    assert asking(json.dumps({"hash": HASH, "lines": None, "match": None}).encode()) == Asking(HASH)
    assert asking(json.dumps({"hash": HASH, "lines": 3}).encode()) == Asking(HASH, "3")


@pytest.mark.parametrize(
    "arguments",
    [b"", b"{", b"[]", b"{}", b'"x"', b'{"hash":7}', b'{"hash":"xx"}', b'{"hash":"\\ud800"}', b"\xff", b"[" * 100_000],
)
def test_arguments_that_cannot_be_followed_are_told_what_is_right(arguments: bytes) -> None:
    with pytest.raises(BadAsking, match="hash"):
        asking(arguments)


def test_without_a_part_the_whole_is_given_byte_for_byte() -> None:
    for text in (TEXT, "", "\r\n\x85\u2028", "no end"):
        assert pick(text) == text


@pytest.mark.parametrize(
    ("lines", "part"),
    [
        ("2-3", "[lines 2-3 of 5]\ntwo\nthree"),
        ("4-", "[lines 4-5 of 5]\nfour\n"),
        ("-2", "[lines 1-2 of 5]\none\ntwo"),
        ("3", "[lines 3-3 of 5]\nthree"),
        ("2-99", "[lines 2-5 of 5]\ntwo\nthree\nfour\n"),
        (" 1 : 2 ", "[lines 1-2 of 5]\none\ntwo"),
        ("1–2", "[lines 1-2 of 5]\none\ntwo"),
    ],
)
def test_a_range_of_lines_counts_from_one_and_holds_both_ends(lines: str, part: str) -> None:
    assert pick(TEXT, lines) == part


@pytest.mark.parametrize("lines", ["0", "0-2", "3-2", "-", "a-b", "1-2-3", "9" * 12, "٣", "1,2"])
def test_a_range_that_is_none_is_refused_before_the_original_is_looked_for(lines: str) -> None:
    with pytest.raises(BadAsking, match="lines"):
        checked(HASH, lines)
    with pytest.raises(BadAsking, match="lines"):
        pick(TEXT, lines)


def test_a_range_behind_the_end_is_told_how_many_lines_there_are() -> None:
    with pytest.raises(BadAsking, match="5 lines"):
        pick(TEXT, "6-7")


def test_lines_that_contain_a_text_come_with_their_numbers() -> None:
    assert pick(TEXT, match="o") == "[3 of 5 lines contain the text]\n1:one\n2:two\n4:four"
    assert pick(TEXT, "2-3", "o") == "[1 of lines 2-3 contain the text]\n2:two"
    assert pick(TEXT, match="none") == "[0 of 5 lines contain the text]\n"


def test_a_miss_says_what_to_do_next() -> None:
    assert "Run the command again" in missing(HASH, 7 * 86400.0) and "7 days" in missing(HASH, 7 * 86400.0)


@given(st.text(), st.text(max_size=12), st.text(max_size=3))
def test_whatever_is_asked_for_is_given_or_refused(text: str, lines: str, match: str) -> None:
    try:
        part = pick(text, lines, match)
    except BadAsking:
        return
    assert part == text or part.startswith("[")


@given(st.binary(max_size=80))
def test_whatever_the_arguments_are_they_are_read_or_refused(arguments: bytes) -> None:
    try:
        assert len(asking(arguments).hash) == 24
    except BadAsking:
        pass
