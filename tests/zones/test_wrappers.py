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


MORE = {
    "user's command": ("<bash-stdout>", "</bash-stdout><bash-stderr></bash-stderr>"),
    "failed run": ("Exit code 1\n", ""),
    "run with its code": ("Exit code: 1\nWall time: 0.2 seconds\nTotal output lines: 700\nOutput:\n", ""),
    "counted": ("Total output lines: 700\n\n", ""),
    "untrusted, with errors": ("<untrusted_context>\nOutput: ", "\nStderr: a\nExit Code: 1\n</untrusted_context>"),
    "command": ("Command: ls\nDirectory: (root)\nStdout: ", "\nExit Code: 0\nProcess Group PGID: 7"),
    "too large": (
        "Output too large. Showing first 8,000 and last 32,000 characters. For full output see: /t\n"
        "<untrusted_context>\nOutput: ",
        "\nProcess Group PGID: 11806\n</untrusted_context>",
    ),
    "persisted": (
        "<persisted-output>\nOutput too large (90KB). Full output saved to: /t\n\nPreview (first 2KB):\n",
        "\n</persisted-output>",
    ),
    "cut": ("...output truncated...\n\nFull output saved to: /t\n\n", ""),
    "return code": ("<returncode>0</returncode>\n<output>\n", "</output>"),
    "file": ("<file>\n", "\n</file>"),
    "editor": ("[execute_command for 'ls'] Result:\nCommand executed.\nOutput:\n", ""),
    "shell": ("", "\n[Current working directory: /w]\n[The command completed with exit code 0.]"),
    "prompt": ("", "\n(Open file: n/a)\n(Current directory: /w)\nbash-$ "),
    "results": ("", "\n(Results are truncated. Consider a more specific path.)"),
    "two reminders": (
        "",
        "\n<system-reminder>a</system-reminder>\n<system-reminder>b</system-reminder>",
    ),
}


@pytest.mark.parametrize("name", MORE)
def test_heads_and_tails_stay_byte_for_byte(name: str) -> None:
    head, tail = MORE[name]
    assert peel(head + DOCUMENT + tail) == (head, DOCUMENT, tail)
    verdict = press(head + DOCUMENT + tail, Floors(), Characters())
    assert verdict.text.startswith(head + "[json; ") and verdict.text.endswith(tail)
    assert unpress(verdict.text) == head + DOCUMENT + tail


@pytest.mark.parametrize("piece", ["\n", "(", "\n(Output ", "<output>", "Exit code 1\n", "\n[Command finished"])
def test_a_hostile_text_costs_a_bounded_look(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    assert "".join(peel(text)) == text
