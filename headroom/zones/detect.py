"""What kind of text a tool has printed. Linear, with a bounded look-ahead; no pattern can backtrack."""

from __future__ import annotations

import re
from enum import StrEnum

LOOK_AHEAD = 200  # lines
LINE_LOOK = 2000  # characters of one line that are looked at


class Kind(StrEnum):
    """Kinds that presses and floors are chosen by."""

    JSON = "json"
    DIFF = "diff"
    SEARCH = "search"
    TEXT = "text"


# A path (no blank, no colon, neither a time of day nor a date with an hour), a line number, and the separator.
HIT = re.compile(r"(?!\d+:|\d{4}-\d\d-\d\dT\d\d:)([^\s:]+):(\d+):")
_CONTEXT = re.compile(r"(?!\d{4}-\d\d-\d\d)[^\s:]+-\d+-")
_DIFF_HEAD = re.compile(
    r"diff --git |diff --combined |diff --cc |--- (?:a/|/dev/null)|@@ -\d+(?:,\d+)? \+\d+(?:,\d+)? @@"
)


def sniff(text: str) -> Kind:
    """The kind of `text`. JSON is judged by its first and last character here; its press does the parsing."""
    first = text.lstrip()[:1] if text[:1].isspace() else text[:1]
    if first and first in "[{":
        last = text.rstrip()[-1:] if text[-1:].isspace() else text[-1:]
        if (first, last) in (("[", "]"), ("{", "}")):
            return Kind.JSON
    heads = hits = context = lines = 0
    for line in _first_lines(text):
        if not line or line.isspace() or line == "--":
            continue
        lines += 1
        if _DIFF_HEAD.match(line):
            heads += 1
        elif HIT.match(line):
            hits += 1
        elif _CONTEXT.match(line):
            context += 1
    if heads >= 2 or (heads and lines < LOOK_AHEAD and text.startswith(("diff ", "--- "))):
        return Kind.DIFF
    if hits and (hits + context) * 3 >= lines:
        return Kind.SEARCH
    return Kind.TEXT


def _first_lines(text: str) -> list[str]:
    lines: list[str] = []
    at = 0
    while len(lines) < LOOK_AHEAD and at < len(text):
        end = text.find("\n", at)
        if end < 0:
            end = len(text)
        lines.append(text[at : min(end, at + LINE_LOOK)])
        at = end + 1
    return lines
