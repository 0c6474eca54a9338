"""Weaving answers whose events are whole answers with a few parts each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import orjson

from headroom.content_parts import Part, anchor, content, joined, part
from headroom.weave import Call, Round, Turn
from headroom.weavers import AnswerRounds, Counts, Edits, RoundsWeaver, StreamWeaver, edited
from headroom.wire.sse import parse_event
from headroom.zones.places import Span, elements, member, members, on_one_line, replaced
from headroom.zones.splice import any_token, to_token

_FUNCTION = b'"function'  # how the key of a call begins, in either spelling
_FINISH = b'"finishReason"'
_GOES_ON = (b'"STOP"', b'"FINISH_REASON_UNSPECIFIED"')
_NOTHING = b'{"text":""}'
_STATUS = {400: b"INVALID_ARGUMENT", 401: b"UNAUTHENTICATED", 403: b"PERMISSION_DENIED", 404: b"NOT_FOUND"}
_STATUS |= {429: b"RESOURCE_EXHAUSTED", 503: b"UNAVAILABLE", 504: b"DEADLINE_EXCEEDED"}


class _Chunk(msgspec.Struct, frozen=True, gc=False):
    """One answer object. Spans are places in `data`; an empty one means that there is none.

    `single`: it has at most one candidate, the first. `finish` is the reason's token; empty while it goes on.
    """

    data: bytes
    single: bool
    parts: tuple[Part, ...] = ()
    part_spans: tuple[Span, ...] = ()
    candidate: Span = (0, 0)
    content: Span = (0, 0)
    list: Span = (0, 0)
    finish: bytes = b""


def _read(data: bytes, ours: frozenset[str]) -> _Chunk | None:
    """Read an answer object; None where it is none."""
    fields = members(data)
    if not fields:
        return None
    if "candidates" not in fields:
        return _Chunk(data, True)
    candidates = elements(data, *fields["candidates"])
    if candidates is None or len(candidates) > 1:
        return _Chunk(data, False)
    if not candidates:
        return _Chunk(data, True)
    begin, end = candidates[0]
    inner = _shifted(members(data[begin:end]), begin)
    index = data[slice(*inner.get("index", (0, 0)))]
    if not inner or index not in (b"", b"0"):
        return _Chunk(data, not inner)
    finish = data[slice(*inner.get("finishReason", (0, 0)))]
    at = inner.get("content", (0, 0))
    spans: list[Span] | None = None
    where = (0, 0)
    if at != (0, 0):
        where = _shifted(members(data[slice(*at)]), at[0]).get("parts", where)
        spans = elements(data, *where) if where != (0, 0) else None
    found = tuple(part(data[start:stop], ours) for start, stop in spans or ())
    reason = finish if finish[:1] == b'"' else b""
    return _Chunk(
        data, True, found, tuple(spans or ()), candidates[0], at, where if spans is not None else (0, 0), reason
    )


def _shifted(fields: dict[str, Span], by: int) -> dict[str, Span]:
    return {key: (start + by, end + by) for key, (start, end) in fields.items()}


class _Rounds(AnswerRounds):
    """The rounds of a turn so far, and the one that waits for results."""

    def __init__(self) -> None:
        super().__init__("contents", "usageMetadata")
        self.told: list[Part] = []
        self._kept: list[Round] = []
        self._units = 0

    def end(self, parts: Sequence[Part], finish: bytes) -> bool:
        """A round has ended with `parts`. Returns whether it waits for results now."""
        calls = [Call(one.call_id, one.name, _arguments(one)) for one in parts if one.hidden]
        if not calls or finish not in _GOES_ON:
            return False
        self.wait(calls, any(one.call and not one.hidden for one in parts))
        return True

    def settle(self, parts: Sequence[Part], results: Sequence[str], used: Counts) -> None:
        """The round that consists of `parts` and reported `used` is answered."""
        inserts: list[tuple[int, bytes]] = []
        hidden: list[Part] = []
        for one in parts:
            if one.hidden:
                inserts.append((self._units, one.raw))
                hidden.append(one)
            else:
                self._units += one.units
                self.told.append(one)
        answers = tuple(_response(one, text) for one, text in zip(hidden, results, strict=True))
        self._kept.append(Round(tuple(inserts), answers, self._units, self.mixed))
        self.answered((content(b"model", joined(parts)), content(b"user", answers)), used)

    def turn(self, current: Iterable[Part]) -> tuple[bytes, Turn] | None:
        """See Weaver. `current` are the parts of the round that is not settled."""
        name = anchor((*self.told, *current)) if self._kept else b""
        return (name, Turn(tuple(self._kept))) if name else None


class ContentWeaver(StreamWeaver[_Rounds]):
    """See headroom.weave.Weaver."""

    def __init__(self, ours: frozenset[str]) -> None:
        super().__init__(_Rounds(), ours)
        self._deaf = False  # several candidates, which nobody can continue
        self._first = True  # still in the first round
        self._untouched = True  # nothing was hidden so far
        self._name = b""  # the answer's id, as a token
        self._begin()

    def _begin(self) -> None:
        """Begin a round."""
        self._events: list[bytes] = []
        self._parts: list[Part] = []
        self._ending: list[bytes] = []
        self._used: dict[tuple[str, ...], int] = {}

    def feed(self, raw: bytes) -> bytes:
        """See Weaver. Cost while nothing is hidden: two searches of each event's bytes."""
        if self._deaf:
            return raw
        if self._untouched and (_FUNCTION not in raw or not self._mentions(raw)):
            self._events.append(raw)
            if _FINISH in raw:
                self._events.clear()
                self._done = True
            return raw
        if self.calls:
            # After the ending, which waits.
            self._ending.append(raw)
            return b""
        event = parse_event(raw, first=True)
        chunk = None if event is None else _read(event.data, self._ours)
        if chunk is None:
            if event is not None and b'"error"' in event.data:
                self._done = True
            return raw
        if not chunk.single:
            self._deaf = True
            return raw
        if self._untouched:
            if self._done or not any(one.hidden for one in chunk.parts) or not self._recall():
                self._events.append(raw)
                self._done = self._done or bool(chunk.finish)
                return raw
            self._untouched = False
        return self._chunk(raw, chunk)

    def settle(self, results: Sequence[str]) -> bytes:
        """See Weaver."""
        ending = self._ending if self.mixed else []
        self._done = bool(ending)
        self._rounds.settle(self._parts, results, self._used)
        self._first = False
        self._begin()
        return b"".join(ending)

    def fail(self, status: int, body: bytes) -> bytes:
        """See Weaver."""
        self._done = True
        error = _error(body)
        if not error:
            code = status if status >= 400 else 500
            error = b'{"code":%d,"message":"The answer could not be continued.","status":"%b"}'
            error %= (code, _STATUS.get(code, b"INTERNAL"))
        return b'data: {"error":%b}\r\n\r\n' % error

    def turn(self) -> tuple[bytes, Turn] | None:
        """See Weaver."""
        return None if self._untouched else self._rounds.turn(self._parts)

    def _recall(self) -> bool:
        """Read what was passed on before the first hidden call; False where it cannot be continued."""
        for raw in self._events:
            event = parse_event(raw, first=True)
            chunk = None if event is None else _read(event.data, self._ours)
            if chunk is None:
                continue
            if not chunk.single:
                self._deaf = True
                return False
            self._take(chunk)
        self._events.clear()
        return True

    def _take(self, chunk: _Chunk) -> None:
        """Keep what an event says."""
        self._parts += chunk.parts
        if not self._name:
            self._name = chunk.data[slice(*member(chunk.data, "responseId"))]
        self._used.update(self._rounds.used(chunk.data))

    def _chunk(self, raw: bytes, chunk: _Chunk) -> bytes:
        """An event of an answer that hides something."""
        if self._done:
            return _edited(raw, chunk.data, [*self._renamed(chunk.data), *self._rounds.summed(chunk.data)])
        self._take(chunk)
        hides = any(one.hidden for one in chunk.parts)
        edits = self._renamed(chunk.data)
        shown = any(not one.hidden for one in chunk.parts)
        if not chunk.finish:
            if hides and not shown:
                return b""
            return _edited(raw, chunk.data, edits + _without_hidden(chunk))
        waits = self._rounds.end(self._parts, chunk.finish)
        if waits and not self.mixed:
            # What it says is passed on; that it ends is not.
            return _edited(raw, chunk.data, edits + _unfinished(chunk) + _without_hidden(chunk)) if shown else b""
        woven = _edited(raw, chunk.data, edits + self._rounds.summed(chunk.data) + _without_hidden(chunk))
        if waits:
            self._ending.append(woven)
            return b""
        self._done = True
        return woven

    def _renamed(self, data: bytes) -> Edits:
        """The edit that gives an event of a later round the answer's id."""
        if self._first or not self._name:
            return []
        span = members(data).get("responseId")
        return [] if span is None or data[slice(*span)] == self._name else [(span, self._name)]


class PlainContentWeaver(RoundsWeaver[_Rounds]):
    """See headroom.weave.PlainWeaver. A document that is a list, a stream without events, is passed on as it is."""

    def __init__(self, ours: frozenset[str]) -> None:
        super().__init__(_Rounds(), ours)
        self._document = b""
        self._chunk: _Chunk | None = None
        self._parts: Sequence[Part] = ()
        self._untouched = True
        self._woven: bytes | None = None

    def feed(self, document: bytes) -> None:
        """See PlainWeaver. Cost while nothing is hidden: one search, unless something is called."""
        self._document = document
        self._chunk, self._parts = None, ()
        if self._untouched and (_FUNCTION not in document or not self._mentions(document)):
            return
        chunk = _read(document, self._ours)
        if chunk is None or not chunk.single:
            return
        self._chunk, self._parts = chunk, chunk.parts
        if any(one.hidden for one in chunk.parts):
            self._untouched = False
        self._rounds.end(chunk.parts, chunk.finish)

    def settle(self, results: Sequence[str]) -> None:
        """See Weaver."""
        if self.mixed:
            self._woven = self._write()
        self._rounds.settle(self._parts, results, dict(self._rounds.used(self._document)))
        self._parts = ()

    def finish(self) -> bytes:
        """See PlainWeaver."""
        if self._untouched:
            return self._document
        return self._write() if self._woven is None else self._woven

    def turn(self) -> tuple[bytes, Turn] | None:
        """See Weaver."""
        return None if self._untouched else self._rounds.turn(self._parts)

    def _write(self) -> bytes:
        """The last document with all that is visible, and its counts added up."""
        chunk = self._chunk
        if chunk is None or chunk.candidate == (0, 0):
            return self._document
        shown = b",".join(one.raw for one in (*self._rounds.told, *chunk.parts) if not one.hidden) or _NOTHING
        if chunk.list != (0, 0):
            edit = (chunk.list, b"[%b]" % shown)
        elif chunk.content != (0, 0):
            edit = (chunk.content, content(b"model", [shown]))
        else:
            begin = chunk.candidate[0] + 1
            more = b"," if members(chunk.data[slice(*chunk.candidate)]) else b""
            edit = ((begin, begin), b'"content":%b%b' % (content(b"model", [shown]), more))
        return replaced(chunk.data, sorted([edit, *self._rounds.summed(chunk.data)]))


def _without_hidden(chunk: _Chunk) -> Edits:
    """The edit that leaves the hidden parts out; an empty text stands where nothing else would."""
    if not any(one.hidden for one in chunk.parts):
        return []
    shown = b",".join(one.raw for one in chunk.parts if not one.hidden)
    return [(chunk.list, b"[%b]" % (shown or _NOTHING))]


def _unfinished(chunk: _Chunk) -> Edits:
    """The edit that leaves out why an answer ends: the whole member, with one of the commas around it."""
    begin, end = chunk.candidate
    data = chunk.data
    fields = _shifted(members(data[begin:end]), begin)
    reason = fields["finishReason"]
    start = max((stop for _, stop in fields.values() if stop <= reason[0]), default=begin + 1)
    until = min((data.rindex(b",", reason[1], at) for at, _ in fields.values() if at > reason[1]), default=0)
    if start > begin + 1:
        return [((start, reason[1]), b"")]
    return [((start, until + 1 if until else reason[1]), b"")]


def _edited(raw: bytes, data: bytes, edits: Edits) -> bytes:
    return edited(raw, data, edits, end=b"\r\n\r\n")


def _arguments(one: Part) -> bytes:
    start, end = member(one.call, "args")
    return one.call[start:end] or b"{}"


def _response(one: Part, text: str) -> bytes:
    """The part that answers a call."""
    identity = b'"id":%b,' % to_token(one.call_id) if one.call_id else b""
    return b'{"functionResponse":{%b"name":%b,"response":{"output":%b}}}' % (
        identity,
        any_token(one.name),
        any_token(text),
    )


def _error(body: bytes) -> bytes:
    """The provider's error object on one line; empty where there is none that can be passed on."""
    start, end = member(body, "error")
    said = body[start:end].strip()
    try:
        return on_one_line(said) if isinstance(orjson.loads(said), dict) else b""
    except orjson.JSONDecodeError:
        return b""
