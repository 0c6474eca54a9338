"""What clients put around a tool's output: kept as it is, so that what it wraps can be told and pressed.

Heads name the run (its id, time, exit code), tails remind the model of something; neither is the tool's.
"""

from __future__ import annotations

import re

HEAD_LIMIT = 2000  # characters of a head; a longer one is no head

_HEADS = (
    # One `Name: value` line each, then the output.
    re.compile(
        r"(?:(?:Chunk ID|Wall time|Process exited with code|Exit code|Duration|Original token count)\b[^\n]*\n)+"
        r"Output:\n"
        r"(?:Warning: truncated output[^\n]*\n(?:Total output lines: \d+\n)?\n?)?"
    ),
    re.compile(r"<untrusted_context>\n(?:Output: )?"),
    re.compile(r"<path>[^\n]*</path>\n<type>[^\n]*</type>\n<content>\n"),
)
_TAILS = (
    re.compile(r"(?:\n(?:Background PIDs|Process Group PGID): [^\n]*)*\n</untrusted_context>\Z"),
    re.compile(r"(?:\n+\([^\n]*\))?\n</content>\Z"),
)
_REMINDER = "<system-reminder>"
_REMINDER_END = "</system-reminder>"


def peel(text: str) -> tuple[str, str, str]:
    """A head, the output, and a tail, which joined are `text`; head and tail may be empty. Cost: a bounded look."""
    head = tail = ""
    for pattern in _HEADS:
        match = pattern.match(text, 0, HEAD_LIMIT)
        if match is not None:
            head = match[0]
            break
    core = text[len(head) :]
    if core.rstrip().endswith(_REMINDER_END):
        begin = core.rfind(_REMINDER)
        if begin >= 0:
            while begin and core[begin - 1] == "\n":
                begin -= 1
            core, tail = core[:begin], core[begin:]
    for pattern in _TAILS:
        match = pattern.search(core, max(0, len(core) - HEAD_LIMIT))
        if match is not None:
            core, tail = core[: match.start()], core[match.start() :] + tail
            break
    return head, core, tail
