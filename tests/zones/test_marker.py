"""Markers: one spelling, one recogniser."""

from __future__ import annotations

import time

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from headroom.zones import marker

WHOLE = st.text(st.characters(exclude_categories=["Cs"]))


@given(WHOLE, WHOLE, WHOLE)
def test_a_marker_is_found_wherever_it_stands(text: str, before: str, behind: str) -> None:
    made = marker.mark(text)
    assert marker.key(text) in marker.find_markers(f"{before}{made}{behind}")


def test_a_marker_is_24_digits_of_the_hash_of_the_text() -> None:
    assert marker.mark("é") == f"<<ccr:{blake3('é'.encode()).hexdigest()[:24]}>>"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<<ccr:>>",
        "<<ccr:" + "a" * 23 + ">>",
        "<<ccr:" + "a" * 25 + ">>",
        "<<ccr:" + "A" * 24 + ">>",
        "<<ccr:" + "g" * 24 + ">>",
        "<<ccr:" + "a" * 24 + ">",
        "<<CCR:" + "a" * 24 + ">>",
        "<<ccr:" + "٣" * 24 + ">>",
    ],
)
def test_what_is_not_quite_a_marker_is_none(text: str) -> None:
    assert marker.find_markers(text) == []


def test_markers_are_found_in_order_and_each_time() -> None:
    a, b = "a" * 24, "0" * 24
    assert marker.find_markers(f"<<ccr:<<ccr:{a}>> x <<ccr:{b}>><<ccr:{a}>>") == [a, b, a]


def test_beginnings_of_markers_cost_no_more_than_their_length() -> None:
    begin = time.process_time()
    assert marker.find_markers("<<ccr:" * 300_000) == []
    assert time.process_time() - begin < 2
