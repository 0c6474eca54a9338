"""The collector rests while a text is pressed, and never longer."""

from __future__ import annotations

import gc

import pytest

from headroom import collecting
from headroom.collecting import Uncollected
from headroom.shrink import _press_all
from headroom.zones.forms import Style
from headroom.zones.hints import Hints
from headroom.zones.press import Floors, Verdict
from headroom.zones.yardstick import Characters, Yardstick


def test_blocks_may_overlap() -> None:
    block = Uncollected()
    with block:
        assert not gc.isenabled()
        with block:
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_fault_inside_brings_the_collector_back() -> None:
    with pytest.raises(ZeroDivisionError), Uncollected():
        raise ZeroDivisionError
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with Uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_blocks_that_follow_each_other_without_end_do_not_keep_the_collector_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(collecting, "LONGEST", -1.0)
    block = Uncollected()
    with block, block:
        assert gc.isenabled()


def test_texts_are_pressed_without_the_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    on: list[bool] = []

    def press(text: str, floors: Floors, yardstick: Yardstick, style: Style, hints: Hints | None) -> Verdict:
        on.append(gc.isenabled())
        raise MemoryError

    monkeypatch.setattr("headroom.shrink.press", press)
    with pytest.raises(MemoryError):
        _press_all([("text", False)], Floors(), Characters(), Style.PLAIN, [], [])
    assert on == [False]
    assert gc.isenabled()
