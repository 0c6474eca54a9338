"""Excerpts: what is left out is said, its original is named, and it pays."""

from __future__ import annotations

import pytest

from headroom.zones import marker
from headroom.zones.excerpt import GAIN, excerpt
from headroom.zones.press import TITLES, Action, Floors, press
from headroom.zones.yardstick import Characters
from tests.support.outputs import invented

FREE = Floors.flat(0)
MEASURE = Characters()
KINDS = ("service_log", "json_uniform", "search", "table", "build_log", "paths")


@pytest.mark.parametrize("kind", KINDS)
def test_an_excerpt_ends_with_the_marker_of_its_original_and_pays(kind: str) -> None:
    text = invented(kind, 1, 30_000).text
    verdict, whole = excerpt(text, FREE, MEASURE), press(text, FREE, MEASURE)
    assert verdict.action is Action.PRESSED and verdict.cut
    last = verdict.text.rsplit("\n", 1)[1]
    assert last.endswith(f"{marker.mark(text)}]") and "left out" in last
    assert verdict.after == MEASURE.count(verdict.text)
    assert verdict.after <= (whole.after or whole.before) * (1 - GAIN)
    assert verdict == excerpt(text, FREE, MEASURE)


@pytest.mark.parametrize("kind", ["read", "json_uniform"])
def test_what_is_below_its_floor_is_left_alone(kind: str) -> None:
    text = invented(kind, 2, 3_000).text
    assert excerpt(text, Floors.flat(1_000_000), MEASURE).action is not Action.PRESSED


def test_a_file_that_was_read_is_never_cut() -> None:
    verdict = excerpt(invented("read", 3, 30_000).text, FREE, MEASURE)
    assert verdict.action is Action.PRESSED and not verdict.cut


def test_what_was_cut_or_pressed_before_is_not_cut() -> None:
    text = invented("service_log", 1, 30_000).text
    once = excerpt(text, FREE, MEASURE).text
    assert not excerpt(once, FREE, MEASURE).cut
    pressed = press(text, FREE, MEASURE).text
    assert pressed.startswith(TITLES)
    assert not excerpt(pressed, FREE, MEASURE).cut
    assert not excerpt(f"Exit code: 0\nOutput:\n{pressed}", FREE, MEASURE).cut


def test_the_style_of_a_text_with_nothing_to_leave_out_is_that_of_press() -> None:
    for text in ("", "x", "one\ntwo\n", invented("prose", 1, 900).text):
        assert excerpt(text, FREE, MEASURE) == press(text, FREE, MEASURE)
