"""Server-sent events cut out of a byte stream (WHATWG HTML §9.2.6), without decoding what is not complete."""

from __future__ import annotations

import re

import msgspec

from headroom.faults import Fault

EVENT_LIMIT = 1024 * 1024  # bytes of one event; a whole Responses answer in `response.completed` stays below it

# Atomic: CR LF is one line end, never two.
_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class EventTooBig(Fault):
    """An event grew past its limit. The listener lets go of the stream; the stream itself goes on."""

    blame = "upstream"


class SseEvent(msgspec.Struct, frozen=True, gc=False):
    """One dispatched event: its name (``b""`` if none was given) and its data lines joined with LF."""

    name: bytes
    data: bytes


class SseSplitter:
    """Cuts a stream into events. Joined, what `feed` returns and `rest` are the input.

    Cost: linear in the input, also while one event stays unfinished: a search goes on where the last one ended.
    """

    __slots__ = ("_buffer", "_from", "_limit")

    def __init__(self, limit: int = EVENT_LIMIT) -> None:
        self._buffer = bytearray()
        self._from = 0
        self._limit = limit

    @property
    def rest(self) -> bytes:
        """The unfinished event's bytes so far. At the end of a stream they are dropped, as browsers do."""
        return bytes(self._buffer)

    @property
    def idle(self) -> bool:
        """Whether every byte so far belongs to a complete event."""
        return not self._buffer

    def feed(self, data: bytes) -> list[bytes]:
        """Return the raw events, terminators included, that `data` completes. Raises EventTooBig."""
        buffer = self._buffer
        buffer += data
        events: list[bytes] = []
        start = 0
        at = self._from
        while True:
            match = _BLANK_LINE.search(buffer, at)
            if match is None:
                break
            end = match.end()
            if end == len(buffer) and buffer[end - 1] == 0x0D:
                # This CR may be half of a CRLF whose LF is still on its way.
                at = match.start()
                break
            events.append(bytes(buffer[start:end]))
            start = at = end
        else:  # pragma: no cover - the loop ends by break only
            raise AssertionError
        if match is None:
            at = max(start, len(buffer) - 3)
        del buffer[:start]
        self._from = at - start
        if len(buffer) > self._limit:
            raise EventTooBig(f"an event over {self._limit} bytes")
        return events


def parse_event(raw: bytes, *, first: bool = False) -> SseEvent | None:
    """Read one raw event. None where it holds no data line: comments, pings without data, a lone name.

    One blank after the colon is dropped and no more; `id`, `retry` and unknown fields are ignored; a line without a
    colon is a field with an empty value; the last `event` wins. The `first` event of a stream may begin with a byte
    order mark.
    """
    name = b""
    data: list[bytes] = []
    if first and raw.startswith(_BOM):
        raw = raw[3:]
    for line in raw.split(b"\n") if b"\r" not in raw else _LINE_END.split(raw):
        if not line or line[0] == 0x3A:
            continue
        field, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return SseEvent(name, b"\n".join(data)) if data else None
