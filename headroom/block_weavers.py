"""Weaves answers that consist of content blocks, streamed or plain."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from headroom.block_pieces import Event, Piece, anchor, as_utf8, assembled, hidden, kind, parsed, piece
from headroom.weave import Call, Round, Turn
from headroom.weavers import AnswerRounds, Counts, RoundsWeaver, StreamWeaver, edited
from headroom.zones.places import UNREADABLE, elements, member, members, on_one_line, replaced
from headroom.zones.splice import any_token, to_token

_CALL = b'"tool_use"'
_DELTA = b"event: content_block_delta"
_DELTA_INDEX = re.compile(rb'event: content_block_delta\r?\ndata: \{"type":"content_block_delta","index":(\d{1,9})[,}]')
# The model was stopped rather than stopped to wait for a result: it gets none.
_CUT_SHORT = frozenset({"max_tokens", "model_context_window_exceeded", "refusal", "pause_turn"})
_ERRORS: Mapping[int, bytes] = {
    400: b"invalid_request_error",
    401: b"authentication_error",
    403: b"permission_error",
    404: b"not_found_error",
    413: b"request_too_large",
    429: b"rate_limit_error",
    529: b"overloaded_error",
}


class _Ending(msgspec.Struct, frozen=True, gc=False):
    stop_reason: str | None = None


_read_ending = msgspec.json.Decoder(_Ending).decode


def message(role: bytes, blocks: Iterable[bytes]) -> bytes:
    """A message of blocks."""
    return b'{"role":"%b","content":[%b]}' % (role, b",".join(blocks))


class _Rounds(AnswerRounds):
    """What was said in the rounds of one answer, and what was hidden of it."""

    def __init__(self) -> None:
        super().__init__("messages", "usage")
        self._kept: list[Round] = []
        self._told: list[Piece] = []

    def end(self, pieces: Sequence[Piece], stop_reason: str) -> bool:
        """A round has ended with `pieces`. Returns whether it waits for results now."""
        calls = [part.call for part in pieces if part.call is not None]
        if not calls or stop_reason in _CUT_SHORT:
            return False
        self.wait(calls, any(part.for_client for part in pieces))
        return True

    def settle(self, pieces: Sequence[Piece], results: Sequence[str], used: Counts) -> None:
        """The round that consists of `pieces` and reported `used` is answered."""
        inserts: list[tuple[int, bytes]] = []
        for part in pieces:
            if part.call is not None:
                inserts.append((len(self._told), part.raw))
            elif part.identity:
                self._told.append(part)
        answers = tuple(_result(call, text) for call, text in zip(self.waiting, results, strict=True))
        self._kept.append(Round(tuple(inserts), answers, len(self._told), self.mixed))
        said = message(b"assistant", (part.raw for part in pieces if part.identity))
        self.answered((said, message(b"user", answers)), used)

    def turn(self, current: Iterable[Piece]) -> tuple[bytes, Turn] | None:
        """See Weaver. `current` are the pieces of the round that is not settled."""
        if not self._kept:
            return None
        name = anchor(part.identity for part in (*self._told, *current) if part.call is None)
        return (name, Turn(tuple(self._kept))) if name else None

    def told(self) -> list[bytes]:
        """The visible pieces of the settled rounds."""
        return [part.raw for part in self._told]


class BlockWeaver(StreamWeaver[_Rounds]):
    """See headroom.weave.Weaver."""

    def __init__(self, ours: frozenset[str]) -> None:
        super().__init__(_Rounds(), ours)
        self._first = True  # still in the first round
        self._untouched = True  # nothing was hidden so far
        self._next = 0  # index of the next block that the client gets
        self._begin()

    def _begin(self) -> None:
        """Begin a round."""
        self._events: list[bytes] = []
        self._hidden: set[int] = set()
        self._moves: dict[int, int] = {}
        self._ending: list[bytes] = []
        self._stop_reason = ""
        self._used: dict[tuple[str, ...], int] = {}
        self._pieces: list[Piece] | None = None

    def feed(self, raw: bytes) -> bytes:
        """See Weaver. Cost while nothing is hidden: one prefix test per delta; the few other events are decoded."""
        if raw.startswith(_DELTA):
            if self._untouched:
                self._events.append(raw)
                return raw
            if match := _DELTA_INDEX.match(raw):
                self._events.append(raw)
                index = int(match[1])
                new = self._shown_as(index)
                return raw if new == index else b"" if new is None else replaced(raw, [(match.span(1), b"%d" % new)])
        event, data = parsed(raw)
        if event is None or self._done:
            return raw
        match event.type:
            case "content_block_start" | "content_block_delta" | "content_block_stop":
                return self._block(raw, event, data)
            case "message_start":
                self._count(bytes(event.message))
                return raw if self._first else b""
            case "message_delta":
                return self._message_delta(raw, event, data)
            case "message_stop":
                return self._message_stop(raw)
            case "error":
                self._done = True
        return raw

    def settle(self, results: Sequence[str]) -> bytes:
        """See Weaver."""
        ending = [self._summed(raw) for raw in self._ending] if self.mixed else []
        self._rounds.settle(self._current(), results, self._used)
        self._done = bool(ending)
        self._first = False
        self._begin()
        return b"".join(ending)

    def fail(self, status: int, body: bytes) -> bytes:
        """See Weaver."""
        self._done = True
        start, end = member(body, "error")
        if kind(body[start:end]):
            said = body if kind(body) == "error" else b'{"type":"error","error":%b}' % body[start:end]
            said = on_one_line(as_utf8(said).strip())
        else:
            said = b'{"type":"error","error":{"type":"%b","message":"The answer could not be continued: status %d."}}'
            said %= (_ERRORS.get(status, b"api_error"), status)
        return b"event: error\ndata: %b\n\n" % said

    def turn(self) -> tuple[bytes, Turn] | None:
        """See Weaver."""
        return None if self._untouched else self._rounds.turn(self._current())

    def _current(self) -> list[Piece]:
        """The pieces of this round."""
        return list(assembled(self._events, self._ours)) if self._pieces is None else self._pieces

    def _shown_as(self, index: int) -> int | None:
        """The index under which the client knows a block of this round; None for a hidden one."""
        return None if index in self._hidden else self._moves.get(index, index)

    def _block(self, raw: bytes, event: Event, data: bytes) -> bytes:
        """An event of one block."""
        index = event.index
        self._events.append(raw)
        if event.type == "content_block_start":
            self._hidden.discard(index)
            if hidden(event.content_block, self._ours) is not None:
                self._hidden.add(index)
                self._untouched = False
            else:
                self._moves[index] = index if self._untouched else self._next
                self._next = self._moves[index] + 1
        new = self._shown_as(index)
        if new is None:
            return b""
        span = None if new == index else members(data).get("index")
        return raw if span is None else edited(raw, data, [(span, b"%d" % new)])

    def _message_delta(self, raw: bytes, event: Event, data: bytes) -> bytes:
        """Why the message stops, and its usage."""
        self._count(data)
        self._stop_reason = _stop_reason(event.delta) or self._stop_reason
        if self._hidden:
            self._ending.append(raw)
            return b""
        return self._summed(raw)

    def _message_stop(self, raw: bytes) -> bytes:
        """The round is over."""
        if self._hidden:
            self._ending.append(raw)
            self._pieces = self._current()
            if self._rounds.end(self._pieces, self._stop_reason):
                return b""
            raw = b"".join(self._summed(held) for held in self._ending)
        if self._untouched:
            self._events.clear()
        self._done = True
        return raw

    def _count(self, text: bytes) -> None:
        """Keep the usage that an object reports; later counts replace earlier ones."""
        self._used.update(self._rounds.used(text))

    def _summed(self, raw: bytes) -> bytes:
        """An event of the ending with the usage of all rounds."""
        if self._first:
            return raw
        data = parsed(raw)[1]
        return edited(raw, data, self._rounds.summed(data))


class PlainBlockWeaver(RoundsWeaver[_Rounds]):
    """See headroom.weave.PlainWeaver."""

    def __init__(self, ours: frozenset[str]) -> None:
        super().__init__(_Rounds(), ours)
        self._document = b""
        self._pieces: list[Piece] = []
        self._untouched = True
        self._woven: bytes | None = None

    def feed(self, document: bytes) -> None:
        """See PlainWeaver. Cost while nothing is hidden: one search, unless something is called."""
        self._document = document
        if self._untouched and (_CALL not in document or not self._mentions(document)):
            return
        start, end = member(document, "content")
        self._pieces = [piece(document[begin:stop], self._ours) for begin, stop in elements(document, start, end) or ()]
        if any(part.call is not None for part in self._pieces):
            self._untouched = False
        self._rounds.end(self._pieces, _stop_reason(document))

    def settle(self, results: Sequence[str]) -> None:
        """See Weaver."""
        if self.mixed:
            self._woven = self._write()
        self._rounds.settle(self._pieces, results, dict(self._rounds.used(self._document)))
        self._pieces = []

    def finish(self) -> bytes:
        """See PlainWeaver."""
        if self._untouched:
            return self._document
        return self._write() if self._woven is None else self._woven

    def turn(self) -> tuple[bytes, Turn] | None:
        """See Weaver."""
        return self._rounds.turn(self._pieces)

    def _write(self) -> bytes:
        """The last document with all that is visible, and its counts added up."""
        document = self._document
        start, end = member(document, "content")
        if document[start : start + 1] != b"[":
            return document
        shown = b",".join((*self._rounds.told(), *(part.raw for part in self._pieces if part.call is None)))
        edits = [((start, end), b"[%b]" % shown), *self._rounds.summed(document)]
        return replaced(document, sorted(edits))


def _result(call: Call, text: str) -> bytes:
    """The block that answers a call."""
    return b'{"type":"tool_result","tool_use_id":%b,"content":%b}' % (to_token(call.id), any_token(text))


def _stop_reason(text: bytes | msgspec.Raw) -> str:
    """Why a message or a delta says that it stops; empty where it does not say."""
    try:
        return _read_ending(text).stop_reason or ""
    except UNREADABLE:
        return ""
