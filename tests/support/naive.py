"""Slow reference implementations, short enough to be checked by reading.

They take the whole input at once and scan it from the left.  Property tests
hold the real, incremental readers against them.
"""

from __future__ import annotations

import re

__all__ = ["MAX_SIZE_DIGITS", "dechunk", "split_sse"]

_BOM = b"\xef\xbb\xbf"

MAX_SIZE_DIGITS = 16
"""Longest chunk size `dechunk` reads: what fits in 64 bits, zeros counted."""

# RFC 9112 7.1, with extensions narrowed to visible ASCII.
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]+)(?:;[\x21-\x7e]*)?")
# RFC 9110 5.1 and 5.5, obs-text allowed, controls other than HTAB not.
_FIELD_LINE = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")


def _take_line(stream: bytes) -> tuple[bytes, bytes] | None:
    """The first line and what follows its end (CRLF, LF or CR), if it has one."""
    for position, byte in enumerate(stream):
        if byte == 0x0A:
            return stream[:position], stream[position + 1 :]
        if byte == 0x0D:
            after = stream[position + 1 :]
            return stream[:position], after[1:] if after[:1] == b"\n" else after
    return None


def split_sse(stream: bytes) -> tuple[list[tuple[str, bytes]], bytes]:
    """The events of a text/event-stream as (event name, data), and the tail.

    Follows "9.2.6 Interpreting an event stream" of the WHATWG HTML standard:
    one leading BOM goes; lines end in CRLF, LF or CR; a line that starts with
    a colon is a comment; a line without colon is a field with an empty value;
    one space after the colon goes; data lines are joined with LF; the last
    event field gives the name, "message" if none or empty; an empty line sends
    the event, unless it had no data line.  id and retry play no part here.

    The tail is what follows the last empty line: an event not yet finished
    (the BOM is not part of it).  A CR that ends the stream ends its line, for a
    LF that came next would belong to it.
    """
    rest = stream.removeprefix(_BOM)
    tail = rest
    events: list[tuple[str, bytes]] = []
    name = b""
    data: list[bytes] = []
    while (taken := _take_line(rest)) is not None:
        line, rest = taken
        if not line:
            if data:
                shown = name.decode("utf-8", "replace") or "message"
                events.append((shown, b"\n".join(data)))
            name = b""
            data = []
            tail = rest
            continue
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
        # A comment is a line with an empty field name; it falls through, as do
        # id, retry and unknown fields.
    return events, tail


def dechunk(data: bytes) -> tuple[bytes, int] | None:
    """The payload of a chunked body, and how many bytes of `data` it took.

    Strict RFC 9112 7.1: 1*HEXDIG and nothing else before the optional ";ext",
    every line ends in CRLF, no bare CR or LF, trailers are proper field lines.
    None if `data` ends too early, ValueError if it is malformed.  A line is
    judged when its CRLF is there, so None does not promise a good ending.
    """
    payload = b""
    position = 0

    def line() -> bytes | None:
        nonlocal position
        end = data.find(b"\r\n", position)
        if end < 0:
            return None
        found = data[position:end]
        position = end + 2
        return found

    while True:
        head = line()
        if head is None:
            return None
        match = _CHUNK_LINE.fullmatch(head)
        if match is None or len(match[1]) > MAX_SIZE_DIGITS:
            raise ValueError(f"malformed chunk size line {head!r}")
        size = int(match[1], 16)
        if size == 0:
            break
        chunk = data[position : position + size]
        if len(chunk) < size:
            return None
        position += size
        end = data[position : position + 2]
        if not b"\r\n".startswith(end):
            raise ValueError(f"chunk data followed by {end!r}")
        if len(end) < 2:
            return None
        position += 2
        payload += chunk
    while True:
        trailer = line()
        if trailer is None:
            return None
        if not trailer:
            return payload, position
        if _FIELD_LINE.fullmatch(trailer) is None:
            raise ValueError(f"malformed trailer {trailer!r}")
