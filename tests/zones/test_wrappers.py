"""What clients put around an output is kept, and what it wraps is pressed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.zones import layout
from headroom.zones.press import Action, Floors, press, unpress
from headroom.zones.wrappers import peel
from headroom.zones.yardstick import Characters

DOCUMENT = json.dumps([{"id": n, "name": f"svc-{n}", "state": "open"} for n in range(60)], indent=2)
WRAPPERS = {
    "run": (
        "Chunk ID: 33\nWall time: 0.0 seconds\nProcess exited with code 0\nOriginal token count: 9\nOutput:\n",
        "\n",
    ),
    "truncated run": (
        "Chunk ID: 33\nOutput:\nWarning: truncated output (original token count: 9)\nTotal output lines: 7\n\n",
        "\n",
    ),
    "untrusted": ("<untrusted_context>\nOutput: ", "\nProcess Group PGID: 11\n</untrusted_context>"),
    "file": ("<path>/a</path>\n<type>file</type>\n<content>\n", "\n\n(End of file - total 3 lines)\n</content>"),
    "reminder": ("", "\n\n<system-reminder>\nBe careful.\n</system-reminder>\n"),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_wrapper_is_kept_and_what_it_wraps_is_pressed(name: str) -> None:
    head, tail = WRAPPERS[name]
    text = head + DOCUMENT + tail
    verdict = press(text, Floors(), Characters())
    assert verdict.action is Action.PRESSED
    assert verdict.text.startswith(head + "[json; ") and verdict.text.endswith(tail)
    assert unpress(verdict.text) == text


@given(
    st.lists(st.sampled_from([*sum(WRAPPERS.values(), ()), "text", "\n", "<system-reminder>", DOCUMENT]), max_size=6)
)
def test_what_is_peeled_joins_to_what_was_there(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert "".join(peel(text)) == text
    verdict = press(text, Floors(), Characters())
    if verdict.action is Action.PRESSED:
        back = unpress(verdict.text)
        assert back == text or layout.minify(peel(back)[1]) == layout.minify(peel(text)[1])


def test_a_head_without_an_end_is_none() -> None:
    text = "Wall time: 1\n" * 500
    assert peel(text) == ("", text, "")
