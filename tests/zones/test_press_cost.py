"""What a press costs grows with the text and no faster, whatever the text is made of."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from headroom.zones.forms import SAMPLE, Form, Style, chained, exactly
from headroom.zones.press import Floors, press
from headroom.zones.yardstick import Characters

SIZE = 50_000  # characters
TIMES_LONGER = 4
MOST = 8  # times the cost for a text that is so many times longer; quadratic cost would be 16 times
TRIES = 4  # a busy machine makes some slow


def _numbered(line: str) -> Callable[[int], str]:
    return lambda size: "".join(line.format(at, at % 7, at % 60) for at in range(size // len(line)))


def _repeated(unit: str) -> Callable[[int], str]:
    return lambda size: unit * (size // len(unit))


def _nested(begin: str, end: str) -> Callable[[int], str]:
    return lambda size: begin * (size // len(begin + end)) + end * (size // len(begin + end))


SHAPES: dict[str, Callable[[int], str]] = {
    "no line end": _repeated("abc def "),
    "one character": _repeated("a"),
    "line ends": _repeated("\n"),
    "short lines": _numbered("{1}\n"),
    "tiny words": _repeated("a b "),
    "backspaces": _repeated("\b"),
    "carriage returns": _repeated("a\r"),
    "escapes": _repeated("\x1b["),
    "wide lines": lambda size: "\n".join(f"{at} " + "x y " * (size // 12) for at in range(3)),
    "many fields": _repeated("ab " * 89 + "ab\n"),
    "many cells": _repeated("a," * 90 + "\n"),
    "open brackets": _repeated("{[(\n"),
    "deep lists": _nested("[", "]"),
    "deep objects": _nested('{"a":', "}"),
    "blocks": _numbered("some words {0} of a note\nand {1} more\n\n"),
    "fences": _repeated('```json\n{"a": 1}\n```\n'),
    "open fences": _repeated("```json\n"),
    "bars": _repeated("| a | b |\n|---|\n"),
    "separators": _repeated("--\n"),
    "matches": _numbered("lib/a{1}/pool.py:{0}:    lease = take({0})\n"),
    "log": _numbered("2031-02-03 10:00:{2:02} INFO pool: lease {0} taken by w-{1} after {2} ms\n"),
    "table": _numbered("name{1}   {0:8}   ok  row {2:3} of them\n"),
    "documents": _numbered('{{"id":{0},"k{1}":"v{2}"}}\n'),
    "cut document": lambda size: "[\n" + _numbered('{{"id":{0},\n"k":"{1}"}},\n')(size),
    "paths": _numbered("lib/m{1}/n{2}/file_{0}.py\n"),
    "hunks": lambda size: "diff --git a/x b/x\n--- a/x\n+++ b/x\n" + _repeated("@@ -1 +1 @@\n-a\n+b\n")(size),
}


def _cost(text: str) -> float:
    begin = time.process_time()
    press(text, Floors.flat(0), Characters())
    return time.process_time() - begin


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_text_four_times_as_long_costs_about_four_times_as_much(shape: Callable[[int], str]) -> None:
    short, long = shape(SIZE), shape(TIMES_LONGER * SIZE)
    least_short = least_long = float("inf")
    for _ in range(TRIES):
        least_short = min(least_short, max(_cost(short), 0.002))  # less is noise
        least_long = min(least_long, _cost(long))
        if least_long <= MOST * least_short:
            return
    raise AssertionError(f"{least_long / least_short:.1f} times the cost")


def test_a_costly_form_is_tried_on_a_sample_before_it_is_tried_on_a_text_that_is_short_already() -> None:
    given: list[int] = []

    def written(text: str, _style: Style) -> list[str]:
        given.append(len(text))
        return [text[: len(text) // 2]]

    short = Form("short", "[short", lambda text, _style: [text[:9]], str, exactly)
    costly = Form("costly", "[costly", written, str, exactly, costly=True)
    text = "a line of a text\n" * 4 * (SAMPLE // 17)
    assert [way.name for way in chained(text, ((short,), (costly,)), Style.PLAIN)] == ["short"]
    assert max(given) <= SAMPLE
    assert [way.name for way in chained(text, ((costly,),), Style.PLAIN)] == ["costly"]
