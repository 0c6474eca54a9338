"""Outlines with handles: shorter to read, and back to the same text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.drives import drive_outlines
from headroom.zones import outlines
from headroom.zones.detect import Kind, sniff
from headroom.zones.press import Action, Floors, press, unpress
from headroom.zones.yardstick import Characters, o200k


def snapshot(count: int) -> str:
    """What a browser's tool says of a page."""
    lines = ["- generic [active] [ref=e1]:", "  - banner [ref=e2]:"]
    for n in range(count):
        lines += [
            f"    - listitem [ref=e{n * 4 + 3}]:",
            f'      - link "Parcel {n} to Porto" [ref=e{n * 4 + 4}] [cursor=pointer]:',
            f"        - /url: /parcels/{n}",
            f"      - generic [ref=e{n * 4 + 5}]: due in {n % 7} days",
            f'      - button "Open" [disabled] [ref=e{n * 4 + 6}] [cursor=pointer]',
        ]
    return "\n".join(lines)


def test_a_snapshot_saves_a_quarter_and_keeps_its_handles() -> None:
    text = snapshot(40)
    assert sniff(text) is Kind.OUTLINE
    verdict = press(text, Floors(), o200k())
    assert (verdict.action, verdict.form) == (Action.PRESSED, "outline")
    assert verdict.after < 0.75 * verdict.before
    assert '\n   link "Parcel 3 to Porto" @e16 ^:\n    /url: /parcels/3\n' in verdict.text
    assert unpress(verdict.text) == text


def test_a_snapshot_in_a_fence_is_pressed_where_it_is() -> None:
    head = "### Page state\n- Page URL: https://h.test/\n- Page Snapshot:\n```yaml\n"
    text = f"{head}{snapshot(40)}\n```\n"
    verdict = press(text, Floors(), o200k())
    assert verdict.action is Action.PRESSED and verdict.after < 0.8 * verdict.before
    assert unpress(verdict.text) == text


@pytest.mark.parametrize("text", ["", "- a\n- b\n" * 20, "# x\n\n- do [this](https://h.test)\n" * 20, "- a [ref=e1]"])
def test_other_lists_are_no_outline(text: str) -> None:
    assert outlines.encode(text) is None


LINES = st.sampled_from(
    [
        *(
            "- a [ref=e1]",
            "  - b [ref=e2] [x]:",
            '    - text "@e3 ^ [ref=e4]" [ref=e5]',
            "- c ^ [ref=e6] [x]",
            "- d @e7 [x] ",
        ),
        *(
            "",
            "\\",
            "- ",
            " - e [ref=e8]",
            "# f",
            "-  g [ref=e9] [x]",
            "   ",
            "- h [ref=e10] [x][ref=e11]: - i",
            "- j [x]:@e1",
        ),
    ]
)


@given(st.lists(LINES, max_size=30))
def test_any_outline_comes_back(lines: list[str]) -> None:
    drive_outlines("\n".join([*lines, *["- a [ref=e1] [x]"] * 20]).encode())


@pytest.mark.parametrize(
    "title", ["[outline: a blank a level, no dashes]", "[outline: a blank a level, no dashes; @x = []"]
)
def test_what_is_no_outline_is_refused(title: str) -> None:
    with pytest.raises(ValueError):
        outlines.decode(f"{title}\nx")


@pytest.mark.parametrize("piece", [" [ref=e", "  ", " [x]", "[", " @e1", "- "])
def test_a_hostile_line_costs_no_more_than_its_length(piece: str) -> None:
    text = "\n".join(["- a" + piece * (3000 // len(piece)) + " [ref=e1]"] * 60)
    pressed = outlines.encode(text)
    assert pressed is None or outlines.decode(pressed) == text
    press(text, Floors.flat(0), Characters())
