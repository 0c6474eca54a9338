"""Tables between bars: every text reads back to its very characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.zones import grids

CELLS = st.sampled_from(["", "a", "-1", "alpha beta", "x|y", "│", "=", "[grid |", " a", "é", "日本", "1.50", "\t", "+"])


@st.composite
def boxes(draw: st.DrawFn) -> str:
    """Tables as psql, mysql, rich and Markdown writers draw them, with lines around and cells that are too wide."""
    bar = draw(st.sampled_from("||│┃║"))
    count = draw(st.integers(1, 4))
    rows = draw(st.lists(st.lists(CELLS, min_size=count, max_size=count), min_size=1, max_size=9))
    widths = [draw(st.integers(1, 10)) for _ in range(count)]
    sides = [draw(st.booleans()) for _ in range(count)]
    outer = draw(st.booleans())
    lines: list[str] = []
    for row in rows * draw(st.sampled_from([1, 3])):
        cells = [c.rjust(w) if side else c.ljust(w) for c, w, side in zip(row, widths, sides, strict=True)]
        line = f" {bar} ".join(cells)
        lines.append(f"{bar} {line} {bar}" if outer else f" {line}")
    for at in draw(st.lists(st.integers(0, len(lines)), max_size=3)):
        lines.insert(at, draw(st.sampled_from(["", "+---+---+", "(3 rows)", "=", " |", "[grid", "| a |", "a|b"])))
    return "\n".join(lines) + draw(st.sampled_from(["", "\n"]))


@given(boxes())
def test_every_table_reads_back_exactly(text: str) -> None:
    if (pressed := grids.encode(text)) is not None:
        assert grids.decode(pressed) == text


@given(st.text(alphabet=" |│ab=[\n", max_size=120), st.integers(1, 4))
def test_any_text_reads_back_exactly(text: str, times: int) -> None:
    if (pressed := grids.encode(text * times)) is not None:
        assert grids.decode(pressed) == text * times


@given(st.text(alphabet=" |│ab=[\n019>,", max_size=60), st.sampled_from(["", "| at 0 9", "│ at 4, > 1"]))
def test_nothing_but_a_refusal_is_raised_on_a_text_that_was_not_made_here(text: str, bars: str) -> None:
    try:
        grids.decode(f"[grid {bars}: cells without the blanks around; =: line as it was]\n{text}")
        grids.decode(text)
    except ValueError:
        pass


def test_the_example_of_the_module() -> None:
    text = "│  7 │ alpha   │ active │\n│ 12 │ beta    │ idle   │\n│ 95 │ epsilon │ active │\n"
    pressed = grids.encode(text)
    assert pressed == (
        "[grid │ at 0 5 15 24, > 1: cells without the blanks around; =: line as it was]\n"
        "7|alpha|active\n12|beta|idle\n95|epsilon|active\n"
    )
    assert grids.decode(pressed) == text


def test_names_in_the_middle_are_said_to_be_there() -> None:
    text = " id |  name   \n----+---------\n  7 | alpha\n 12 | epsilon\n 95 | \n(3 rows)\n\n"
    pressed = grids.encode(text)
    assert pressed is not None
    assert pressed.split("\n") == [
        "[grid | at 4, > 1, names centred to 14: cells without the blanks around; =: line as it was]",
        "id|name",
        "=----+---------",
        "7|alpha",
        "12|epsilon",
        "95|",
        "=(3 rows)",
        "",
        "",
    ]
    assert grids.decode(pressed) == text


def test_narrow_rows_have_no_places() -> None:
    text = "| id | name |\n| --- | --- |\n" + "".join(f"| {at} | {'x' * at} |\n" for at in range(5))
    pressed = grids.encode(text)
    assert pressed is not None
    assert pressed.startswith(
        "[grid |: cells without the blanks around; =: line as it was]\nid|name\n---|---\n0|\n1|x\n"
    )
    assert grids.decode(pressed) == text


@pytest.mark.parametrize("text", ["", "a | b\n", "a|b\nc|d\ne|f\n", "[grid | at 0]\n| a |\n| b |\n| c |\n", "x\n" * 9])
def test_what_is_no_table_or_looks_like_a_pressed_one_is_left_alone(text: str) -> None:
    assert grids.encode(text) is None


def test_two_tables_of_different_widths_are_each_named() -> None:
    text = "| a   | b |\n" * 3 + "\n" + "| alpha | b |\n" * 3
    pressed = grids.encode(text)
    assert pressed is not None
    assert pressed.count("[grid | at ") == 2
    assert grids.decode(pressed) == text
