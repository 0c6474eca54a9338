"""Where the values in a piece of JSON are, so that some of them can be replaced and every other byte stays."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

Span = tuple[int, int]

UNREADABLE = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)

_read_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_read_list = msgspec.json.Decoder(list[msgspec.Raw]).decode

# Possessive, so that nothing is tried twice. Grammar is msgspec's business; these only walk over what it accepted.
_KEY = re.compile(rb'[ \t\r\n,]*+"(?:[^"\\]|\\.)*+"[ \t\r\n]*+:[ \t\r\n]*+', re.DOTALL)
_GAP = re.compile(rb"[ \t\r\n,]*+")
_END = re.compile(rb"[ \t\r\n]*+\}[ \t\r\n]*+\Z")
_COUNT = re.compile(rb"\d{1,15}")
_DEPTH = 4  # levels of an object in which counts are looked for


def members(text: bytes) -> dict[str, Span]:
    """Where the values of the object `text` are, by key. Empty where it is none, or has a key twice.

    Cost: msgspec's pass over the text; values are not copied.
    """
    try:
        found = _read_object(text)
    except UNREADABLE:
        return {}
    spans: dict[str, Span] = {}
    at = text.index(b"{") + 1
    for key, value in found.items():
        match = _KEY.match(text, at)
        if match is None:
            return {}
        begin = match.end()
        at = begin + len(value)
        spans[key] = (begin, at)
    return spans if _END.match(text, at) else {}


def member(text: bytes, key: str) -> Span:
    """Where the value under `key` of the object `text` is; an empty span at the end where there is none."""
    return members(text).get(key, (len(text), len(text)))


def elements(text: bytes, start: int, end: int) -> list[Span] | None:
    """Where the elements of the list ``text[start:end]`` are; None where it is none."""
    try:
        found = _read_list(text[start:end])
    except UNREADABLE:
        return None
    spans: list[Span] = []
    at = text.index(b"[", start) + 1
    for value in found:
        gap = _GAP.match(text, at)
        begin = at if gap is None else gap.end()
        at = begin + len(value)
        spans.append((begin, at))
    return spans


def counts(text: bytes, start: int, end: int, depth: int = 0) -> Iterator[tuple[tuple[str, ...], Span]]:
    """Where the natural numbers in the object ``text[start:end]`` are, by their path; those in lists left out."""
    for key, (begin, stop) in members(text[start:end]).items():
        at, until = start + begin, start + stop
        if _COUNT.fullmatch(text, at, until):
            yield (key,), (at, until)
        elif text[at] == 0x7B and depth < _DEPTH:
            for path, span in counts(text, at, until, depth + 1):
                yield (key, *path), span


def replaced(text: bytes, edits: Iterable[tuple[Span, bytes]]) -> bytes:
    """`text` with other bytes in place of some spans, which come in order, none over another.

    The object itself where there are none. A span may be empty.
    """
    parts: list[bytes] = []
    at = 0
    for (start, end), new in edits:
        parts += (text[at:start], new)
        at = end
    return text if not parts else b"".join((*parts, text[at:]))


def appended(text: bytes, key: str, values: Iterable[bytes]) -> bytes:
    """The object `text` with more at the end of the list that it has under `key`. Raises ValueError if it has none."""
    start, end = member(text, key)
    if text[start : start + 1] != b"[":
        raise ValueError(f"there is no list of {key}")
    more = b",".join(values)
    if more and text[start + 1 : end - 1].strip(b" \t\r\n"):
        more = b"," + more
    return replaced(text, [((end - 1, end - 1), more)])


def on_one_line(text: bytes) -> bytes:
    """JSON without line ends, which can only stand between its tokens."""
    return text.replace(b"\r", b" ").replace(b"\n", b" ")
