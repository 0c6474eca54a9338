"""Several outputs after one another: each is pressed as what it is, and the rest stays."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.drives import drive_parts, drive_press
from headroom.zones import parts
from headroom.zones.detect import Kind
from headroom.zones.press import TITLES, Action, Floors, press, unpress
from headroom.zones.yardstick import Characters, o200k
from tests.support.outputs import invented

DOCUMENT = json.dumps([{"id": n, "name": f"svc-{n}", "state": "open"} for n in range(40)], indent=2)
LISTING = "".join(f"lib/net/pool_{n // 9}.py:{n}:    lease = take({n})\n" for n in range(60)).rstrip("\n")
LOG = invented("service_log", 1, 4_000).text.rstrip("\n")
PROSE = (
    "The desk answers in the order in which letters come in. Nobody is asked twice,\n"
    "and what has been said once is kept where the next one looks for it.\n"
)


@pytest.mark.parametrize(
    "border",
    ["---", "=== notes ===", "==> lib/net.txt <==", "$ cat notes.txt", "<output>", "…1234 tokens truncated…", ""],
)
def test_outputs_with_a_border_between_them_are_pressed_each_in_its_own_form(border: str) -> None:
    text = f"{PROSE}{border}\n{DOCUMENT}\n{border}\n{LISTING}\n{border}\n{PROSE}"
    verdict = press(text, Floors(), o200k())
    assert (verdict.action, verdict.form) == (Action.PRESSED, "parts")
    assert "\n[json; " in verdict.text and "\n[matches by file" in verdict.text
    assert verdict.text.startswith("[parts of ") and verdict.text.endswith(f"{border}\n{PROSE}")
    assert unpress(verdict.text) == text
    assert press(verdict.text, Floors.flat(0), o200k()).action is not Action.PRESSED


@pytest.mark.parametrize("tag", ["json", "log", "diff"])
def test_what_a_fence_holds_is_pressed_and_the_prose_around_it_stays(tag: str) -> None:
    held = {"json": DOCUMENT, "log": LOG, "diff": invented("diff", 1, 5_000).text.rstrip("\n")}[tag]
    text = f"# Notes\n\n{PROSE}\n```{tag}\n{held}\n```\n\n{PROSE}"
    verdict = press(text, Floors(), o200k())
    assert verdict.action is Action.PRESSED
    assert f"\n# Notes\n\n{PROSE}\n```{tag}\n" in verdict.text and verdict.text.endswith(f"\n```\n\n{PROSE}")
    assert unpress(verdict.text) == text


@pytest.mark.parametrize("text", [invented("prose", 1, 9_000).text, f"# Title\n\n{PROSE}\n- a\n- b\n\n" * 30])
def test_prose_is_left_alone(text: str) -> None:
    assert press(text, Floors.flat(0), o200k()).action is not Action.PRESSED


def test_source_is_taken_apart_only_where_it_says_what_it_holds() -> None:
    code = "import json\n\n\ndef f(a):\n    return a\n" * 60
    assert press(f"{code}\n{LISTING}\n\n{code}", Floors.flat(0), o200k()).action is not Action.PRESSED
    verdict = press(f"{code}\n```json\n{DOCUMENT}\n```\n{code}", Floors.flat(0), o200k())
    assert code in verdict.text and "```json\n[json; " in verdict.text


def test_a_part_that_begins_like_a_form_is_refused() -> None:
    text = f"---\n[json; not ours\n---\n{DOCUMENT}\n---\n{PROSE}"
    verdict = press(text, Floors.flat(0), o200k())
    assert verdict.action is Action.PRESSED and unpress(verdict.text) == text
    lines = ["[log: ", DOCUMENT]
    assert parts.assemble(lines, [(1, 2, parts.Part(DOCUMENT))], TITLES) is None


def test_entries_of_one_kind_are_one_part() -> None:
    lines = f"{LOG}\n\n{LOG}\n\n{LOG}".split("\n")
    found = parts.merged(lines, parts.blocks(lines))
    assert [block.kind for block in found] == [Kind.LOG]


@given(st.lists(st.text(alphabet="ab\n{}[]-= `$#", max_size=30), min_size=1, max_size=8))
def test_blocks_are_all_of_the_lines(texts: list[str]) -> None:
    lines = "\n".join(texts).split("\n")
    for found in (parts.blocks(lines), parts.merged(lines, parts.blocks(lines))):
        assert [at for block in found for at in range(block.begin, block.end)] == list(range(len(lines)))


@given(st.lists(st.text(alphabet="ab\n", max_size=9), min_size=1, max_size=9))
def test_parts_are_cut_where_they_were_joined(texts: list[str]) -> None:
    assert parts.cut(parts.join(texts)) == texts


@pytest.mark.parametrize(
    "text", ["[parts of 2 and 2 lines]\na\nb\nc", "[parts of 0 and 1 lines]\na", "[parts of x lines]\na", "[parts of 1"]
)
def test_a_title_that_does_not_fit_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        unpress(text)


PIECES = st.sampled_from(
    [DOCUMENT, LISTING, LOG, PROSE, "---", "", "```json", "```", "$ ls", "[json; ", "{", "}", "x\r"]
)


@given(st.lists(PIECES, max_size=8))
def test_any_outputs_together_are_pressed_without_loss_or_left_alone(pieces: list[str]) -> None:
    drive_press("\n".join(pieces).encode())


@given(st.binary(max_size=60))
def test_any_text_is_cut_or_refused(data: bytes) -> None:
    drive_parts(data)


@pytest.mark.parametrize(
    "line", ["{", "[", "```", "```x", "diff --git a b", "---", "", "a/b", "=" * 300, "# x truncated"]
)
def test_hostile_lines_cost_no_more_than_their_number(line: str) -> None:
    text = f"{line}\n" * (200_000 // (len(line) + 1)) + "end"
    press(text, Floors.flat(0), Characters())
