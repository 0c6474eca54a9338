"""What an answer says about itself: token counts, and whether it came to its end. Listens beside the relay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import msgspec
import orjson

from headroom.faults import BadCoding
from headroom.providers import Dialect, Path
from headroom.wire.coding import Unpacker, decode, identity, unpacker
from headroom.wire.head import ResponseHead
from headroom.wire.sse import EventTooBig, SseSplitter, parse_event

Outcome = Literal["complete", "truncated", "errored", "unread"]


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens of one answer. `uncached` + `read` + `write` + `write_1h` is the whole prompt."""

    uncached: int = 0
    read: int = 0
    write: int = 0
    write_1h: int = 0
    output: int = 0

    @property
    def prompt(self) -> int:
        """Tokens of the prompt, however they were billed."""
        return self.uncached + self.read + self.write + self.write_1h


class Counts:
    """Collects usage objects: each field's largest value is the final one."""

    __slots__ = ("_dialect", "_largest", "seen")

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._largest: dict[str, int] = {}
        self.seen = False

    def take(self, document: object) -> None:
        """Read the usage object in a decoded event or answer, wherever its dialect has it."""
        fields = self._dialect.usage
        for place in fields.at:
            found = _at(document, place)
            if not isinstance(found, dict):
                continue
            self.seen = True
            for name, path in (
                ("input", fields.input),
                ("output", fields.output),
                ("read", fields.read),
                ("write", fields.write),
                ("write_1h", fields.write_1h),
            ):
                value = None if not path else found.get(path[0]) if len(path) == 1 else _at(found, path)
                if isinstance(value, int) and not isinstance(value, bool) and value > self._largest.get(name, 0):
                    self._largest[name] = value

    @property
    def usage(self) -> Usage | None:
        """The counts so far, or None where no usage was seen."""
        if not self.seen:
            return None
        get = self._largest.get
        read, write, long = get("read", 0), get("write", 0), get("write_1h", 0)
        uncached = get("input", 0)
        if self._dialect.usage.read_included:
            uncached = max(0, uncached - read)
        return Usage(uncached, read, max(0, write - long), long, get("output", 0))


class Listener:
    """Hears an answer's payload. It never raises and never changes or delays a byte."""

    def feed(self, payload: Iterable[bytes]) -> None:
        """Take pieces of the answer's payload."""

    def hear(self, wire: bytes, start: int) -> None:
        """Take the payload of one whole chunk, framing included, that begins at `start`."""
        self.feed((wire[start:-2],))

    def finish(self) -> Outcome:
        """The answer has ended as far as its framing goes: did it come to its own end?"""
        return "unread"

    @property
    def usage(self) -> Usage | None:
        """Token counts, as far as they were heard."""
        return None


class StreamListener(Listener):
    """Hears an event stream, coded or not."""

    __slots__ = ("_counts", "_deaf", "_done", "_errored", "_first", "_splitter", "_unpack", "_words")

    def __init__(self, dialect: Dialect, coding: bytes | None, event_limit: int) -> None:
        self._words = dialect.stream
        self._counts = Counts(dialect)
        self._splitter = SseSplitter(event_limit)
        self._unpack: Unpacker | None = None if coding is None else unpacker(coding, event_limit)
        self._deaf = coding is not None and self._unpack is None
        self._done = False
        self._errored = False
        self._first = True

    def feed(self, payload: Iterable[bytes]) -> None:
        """See Listener. Cost: a few substring searches per event that says nothing about usage or end."""
        if self._deaf:
            return
        try:
            for coded in payload:
                piece = coded if self._unpack is None else self._unpack.feed(coded)
                if self._splitter.idle and self._is_quiet(piece):
                    self._first = False
                    continue
                for raw in self._splitter.feed(piece):
                    if self._worth_reading(raw):
                        self._read(raw)
                    self._first = False
        except (EventTooBig, BadCoding):
            self._deaf = True

    def hear(self, wire: bytes, start: int) -> None:
        """See Listener. Cost: two operations for an event of the commonest kind."""
        if (
            wire.startswith(self._words.quiet, start)
            and wire.find(b"\n\n", start) == len(wire) - 4
            and self._unpack is None
            and self._splitter.idle
        ):
            self._first = False
        else:
            self.feed((wire[start:-2],))

    def finish(self) -> Outcome:
        """See Listener."""
        if self._errored:
            return "errored"
        if self._done:
            return "complete"
        return "unread" if self._deaf else "truncated"

    @property
    def usage(self) -> Usage | None:
        """See Listener."""
        return self._counts.usage

    def _is_quiet(self, piece: bytes) -> bool:
        """Whether a piece is whole events of which none says anything."""
        if piece.startswith(self._words.quiet) and piece.find(b"\n\n") == len(piece) - 2:
            return True
        return piece.endswith(b"\n\n") and not self._worth_reading(piece)

    def _worth_reading(self, raw: bytes) -> bool:
        for needle in self._words.needles:  # noqa: SIM110 - a generator costs more than the searches
            if needle in raw:
                return True
        return False

    def _read(self, raw: bytes) -> None:
        event = parse_event(raw, first=self._first)
        if event is None:
            return
        words = self._words
        if event.name in words.done_events or (words.done_data and event.data.strip() == words.done_data):
            self._done = True
        if event.name in words.error_events or event.data.startswith(words.error_prefix):
            self._errored = True
        if words.done_key and words.done_key in event.data:
            self._done = True
        if b"sage" in event.data:
            try:
                self._counts.take(orjson.loads(event.data))
            except orjson.JSONDecodeError:
                pass  # the client has the same bytes and will say so; nothing is counted from them


class JsonListener(Listener):
    """Hears a plain JSON answer, kept up to a limit until it is whole."""

    __slots__ = ("_coding", "_counts", "_kept", "_limit", "_size")

    def __init__(self, dialect: Dialect, coding: bytes | None, limit: int) -> None:
        self._counts = Counts(dialect)
        self._coding = coding
        self._limit = limit
        self._kept: list[bytes] = []
        self._size = 0

    def feed(self, payload: Iterable[bytes]) -> None:
        """See Listener."""
        if self._size > self._limit:
            return
        for piece in payload:
            self._kept.append(piece)
            self._size += len(piece)
        if self._size > self._limit:
            self._kept.clear()

    def finish(self) -> Outcome:
        """See Listener."""
        if self._size > self._limit:
            return "unread"
        body = b"".join(self._kept)
        self._kept.clear()
        try:
            if self._coding is not None:
                body = decode(body, self._coding, self._limit)
            document = orjson.loads(body)
        except (BadCoding, orjson.JSONDecodeError):
            return "unread"
        for part in document if isinstance(document, list) else (document,):
            self._counts.take(part)
        return "complete"

    @property
    def usage(self) -> Usage | None:
        """See Listener."""
        return self._counts.usage


DEAF: Final = Listener()
"""Hears nothing, of an answer that says nothing about usage."""


def listener(head: ResponseHead, dialect: Dialect, *, event_limit: int, answer_limit: int) -> Listener:
    """Who listens to the answer that begins with `head`. Sizes are in bytes: of one event, and of a document."""
    if head.length == 0 or head.status >= 400:
        return DEAF
    kind = head.fields.get(b"content-type", b"").partition(b";")[0].rstrip().lower()
    coding = head.fields.get(b"content-encoding")
    coding = None if coding is None or identity(coding) else coding
    if kind == b"text/event-stream":
        return StreamListener(dialect, coding, event_limit)
    if kind == b"application/json" and head.length <= answer_limit:
        return JsonListener(dialect, coding, answer_limit)
    return DEAF


def _at(value: object, path: Path) -> object:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value
