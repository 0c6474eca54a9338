"""The worked examples of tests/corpus/examples: what stands there is what pressing makes, and it answers questions."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from headroom.zones.press import seen, unpress
from tests.support import examples

NAMES = examples.names()
DECODED = ("json_table", "json_nested", "json_cut", "parts", "outline", "stat", "read", "tree", "paths")


@pytest.fixture(scope="module")
def made() -> Mapping[str, examples.Example]:
    """What pressing makes of every example."""
    return {name: examples.example(name) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_pressing_gives_the_file_that_stands_there(name: str, made: Mapping[str, examples.Example]) -> None:
    for suffix, text in (("pressed", made[name].pressed), ("excerpt", made[name].excerpt)):
        assert text == examples.read(f"{name}.{suffix}.txt"), "python -m tests.support.examples writes it anew"


@pytest.mark.parametrize("name", NAMES)
def test_the_original_comes_back_as_a_screen_shows_it(name: str) -> None:
    text, pressed = examples.read(f"{name}.txt"), examples.read(f"{name}.pressed.txt")
    assert not pressed or unpress(pressed) == seen(text)


def test_the_index_says_what_each_became(made: Mapping[str, examples.Example]) -> None:
    assert examples.INDEX.read_text() == examples.index([made[name] for name in NAMES])
    rows = json.loads(examples.INDEX.read_text())
    assert all(row["pressed"] is None or row["pressed"] < row["tokens"] for row in rows.values())
    assert sum(row["pressed"] is not None for row in rows.values()) >= 18


@pytest.mark.parametrize(("name", "asked"), [*examples.questions()])
def test_a_question_is_answered_by_the_pressed_text(name: str, asked: Mapping[str, str]) -> None:
    pressed = examples.read(f"{name}.pressed.txt") or examples.read(f"{name}.txt")
    if "count" in asked:
        assert unpress(pressed).count(asked["count"]) == int(asked["answer"])
    elif name in DECODED:
        assert asked["answer"] in unpress(pressed)
    else:
        assert asked["answer"] in pressed
