"""What is said on a WebSocket: a client's requests for responses, and what an origin tells about them. Pure.

A message that is nothing of that costs a look at its first bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal

import msgspec
import orjson

from headroom.faults import BadCoding, BadFrame
from headroom.providers import Dialect, SocketWords
from headroom.usage import Counts, Usage
from headroom.wire.websocket import CLOSE, HELD_COST, Frame, FrameReader, Messages, Packing
from headroom.zones.locate import RAW, address

ID_LIMIT: Final = 256  # characters of an id that are kept
_NONE = RAW(b"")
_TYPE: Final = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"type"[ \t\r\n]*:[ \t\r\n]*"([^"\\]*)"')


class Asking(msgspec.Struct, frozen=True, gc=False):
    """Where in a message the request for a response is, and the earlier response that it goes on from, if any."""

    start: int
    end: int
    follows: str = ""


class Askings:
    """Finds the requests in a client's messages."""

    def __init__(self, words: SocketWords) -> None:
        fields = [("type", str, ""), (words.under, RAW, _NONE), (words.follows, RAW, _NONE)]
        self._words = words
        self._name = words.create.encode()
        self._quoted = b'"%b"' % self._name
        self._top = msgspec.json.Decoder(msgspec.defstruct("Top", fields, gc=False))
        self._inner = msgspec.json.Decoder(msgspec.defstruct("Inner", fields[2:], gc=False))

    def may_be(self, text: bytes, *, whole: bool) -> bool:
        """Whether a message that begins with `text` may be a request. Cost: a look at its first bytes, unless these do
        not say what it is."""
        found = _TYPE.match(text)
        if found is not None:
            return found[1] == self._name
        return not whole or self._quoted in text

    def find(self, text: bytes) -> Asking | None:
        """The request in a whole message, or None where it is another. Cost: one or two passes, building nothing."""
        try:
            top = self._top.decode(text)
            if getattr(top, "type") != self._words.create:
                return None
            inner: msgspec.Raw = getattr(top, self._words.under)
            if _begins(inner, b"{"):
                start = address(inner) - address(text)
                held = self._inner.decode(inner)
                return Asking(start, start + len(inner), _name(getattr(held, self._words.follows)))
            return Asking(0, len(text), _name(getattr(top, self._words.follows)))
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return None


class Told(msgspec.Struct, frozen=True, gc=False):
    """What an origin said. `response` is the id of the one it is about, `follows` of the one that it goes on from;
    `outcome` says how it ended; `call` is a tool call's id and its tool.
    """

    kind: Literal["begun", "ended", "called", "closed"]
    response: str = ""
    follows: str = ""
    outcome: Literal["complete", "errored"] = "complete"
    usage: Usage | None = None
    call: tuple[str, str] = ("", "")


class Heard(msgspec.Struct, frozen=True, gc=False):
    """A message of an origin's, or a control frame, or bytes that belong to something that cannot be read: as they
    came, and its text where it is a message that was read. `unread`: it is a message, or a part of one, that was not;
    `ends`: whether it ends with these bytes."""

    raw: bytes
    text: bytes | None = None
    told: Told | None = None
    unread: bool = False
    ends: bool = True


class OriginListener:
    """Hears what an origin sends, beside the relay. It never raises; what it cannot read makes it `deaf` for good."""

    def __init__(self, words: SocketWords, dialect: Dialect, packing: Packing | None, limit: int) -> None:
        self._words = words
        self._dialect = dialect
        self._limit = limit
        self._keeps = packing is not None and packing.keeps
        self._packed: Messages | None = None if packing is None else packing.of_origin()
        self._reader = FrameReader(masked=False, limit=limit, deflated=packing is not None, binary=self._keeps)
        self._kept: list[bytes] = []
        self._size = 0
        self._inflates = False
        self._skips = False
        self._missed = False
        self._raw: list[bytes] = []
        self.deaf = False
        named = msgspec.defstruct("Named", [("id", RAW, _NONE), (words.follows, RAW, _NONE)], gc=False)
        fields = [("type", str, ""), (words.under, named | None, None)]
        self._said = msgspec.json.Decoder(msgspec.defstruct("Said", fields, gc=False))
        told = "|".join(map(re.escape, (words.begun, words.item, *words.endings)))
        self._telling = re.compile(rb'"type"[ \t\r\n]*:[ \t\r\n]*"(?:%b)"' % told.encode())

    @property
    def unsure(self) -> bool:
        """Whether a response that seems to be under way may have ended."""
        return self.deaf or self._missed

    @property
    def between(self) -> bool:
        """Whether a frame of ours may be put behind what has come so far."""
        return not self.deaf and self._reader.between

    def feed(self, data: bytes) -> list[Told]:
        """What `data` completes. Cost: about a microsecond for a message that tells nothing."""
        if self.deaf:
            return []
        told: list[Told] = []
        for frame in self._reader.feed(data):
            self._frame(frame, told)
        self.deaf = self.deaf or self._reader.fault is not None
        return told

    def messages(self, data: bytes) -> Iterator[Heard]:
        """What `data` completes, message by message; to be exhausted. Joined, the `raw` of all are the stream, but that
        control frames may come before the message that they interrupt."""
        if self.deaf:
            yield Heard(self._release() + data)
        else:
            yield from self._messages(data)

    def _messages(self, data: bytes) -> Iterator[Heard]:
        told: list[Told] = []
        for frame in self._reader.feed(data):
            if self.deaf:
                self._raw.append(frame.raw)
                continue
            text = self._frame(frame, told)
            if frame.control:
                yield Heard(frame.raw, None, told.pop() if told else None)
                continue
            self._raw.append(frame.raw)
            if (frame.fin and frame.ends) or self._skips:
                whole = frame.fin and frame.ends
                yield Heard(self._release(), text, told.pop() if told else None, unread=text is None, ends=whole)
        self.deaf = self.deaf or self._reader.fault is not None
        if self.deaf:
            yield Heard(self._release() + self._reader.rest, None, None, unread=True, ends=False)

    def _release(self) -> bytes:
        raw, self._raw = self._raw, []
        return raw[0] if len(raw) == 1 else b"".join(raw)

    def _frame(self, frame: Frame, told: list[Told]) -> bytes | None:
        """Hear one frame. Returns the text of a message that it completes, where that can be read."""
        if frame.control:
            if frame.opcode == CLOSE:
                told.append(Told("closed"))
            return None
        payload, text = frame.payload, None
        if payload is None:
            # Too large to be read, or binary: what follows can be read if it does not refer to it.
            self._skips = True
            self.deaf = self.deaf or (self._keeps and (frame.packed or self._inflates))
        elif not self._skips:
            if frame.packed:
                self._inflates = True
            if frame.fin and not self._kept:
                text = self._take(payload, told)
            else:
                self._keep(payload, fin=frame.fin)
                if frame.fin and not self._skips:
                    text = self._take(b"".join(self._kept), told)
        if frame.fin and frame.ends:
            self._kept.clear()
            self._size = 0
            self._missed = self._missed or self._skips
            self._skips = self._inflates = False
        return text

    def _keep(self, payload: bytes, *, fin: bool) -> None:
        self._kept.append(payload)
        self._size += len(payload) + HELD_COST * (not fin)
        if self._size > self._limit:
            self._kept.clear()
            self._skips = True
            self.deaf = self._keeps and self._inflates

    def _take(self, payload: bytes, told: list[Told]) -> bytes | None:
        """Read one message; returns its text."""
        if self._inflates and self._packed is not None:
            try:
                payload = self._packed.unpack(payload, self._limit)
            except (BadCoding, BadFrame):
                self.deaf = True
                return None
        if payload.startswith(self._words.quiet) or self._telling.search(payload) is None:
            return payload
        try:
            heard = self._understand(self._said.decode(payload), payload)
        except (msgspec.MsgspecError, orjson.JSONDecodeError, RecursionError, UnicodeDecodeError):
            return payload  # the client has the same bytes and will say so
        if heard is not None:
            told.append(heard)
            self._missed = self._missed and heard.kind != "begun"
        return payload

    def _understand(self, said: msgspec.Struct, payload: bytes) -> Told | None:
        words = self._words
        kind: str = getattr(said, "type")
        named = getattr(said, words.under)
        response = "" if named is None else _name(named.id)
        outcome = words.endings.get(kind)
        if kind == words.begun:
            return Told("begun", response, "" if named is None else _name(getattr(named, words.follows)))
        if outcome is not None:
            counts = Counts(self._dialect)
            counts.take(orjson.loads(payload))
            return Told("ended", response, "", "complete" if outcome == "complete" else "errored", counts.usage)
        if kind == words.item:
            call = self._call(orjson.loads(payload).get("item"))
            return Told("called", call=call) if call is not None else None
        return None

    def _call(self, item: object) -> tuple[str, str] | None:
        shape = self._dialect.shape
        kind = item.get("type") if isinstance(item, dict) else None
        if shape is None or not isinstance(item, dict) or not isinstance(kind, str) or kind not in shape.call.tags:
            return None
        identity, name = item.get(shape.call.call_id), item.get(shape.call.name[0])
        if isinstance(identity, str) and isinstance(name, str):
            return identity[:ID_LIMIT], name[:ID_LIMIT]
        return None


def _begins(raw: msgspec.Raw, with_: bytes) -> bool:
    return bytes(memoryview(raw)[:1]) == with_


def _name(raw: msgspec.Raw) -> str:
    """The text in `raw`, empty where it is something else, or not UTF-8, which was not looked at yet."""
    if not _begins(raw, b'"'):
        return ""
    try:
        value: object = orjson.loads(bytes(raw))
    except orjson.JSONDecodeError:
        return ""
    return value[:ID_LIMIT] if isinstance(value, str) else ""
