"""Weaves answers of the dialect whose turns are items of the request's list.

Each event carries a sequence number, and most the index of the item that they are about; the last one carries the
whole answer. An item that calls a tool of the proxy's says so in its first event, so nothing else is ever held but it
and the ending.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from headroom import spoken
from headroom.rounds import Answer, Rounds, pieces_of
from headroom.spoken import Piece
from headroom.weave import Call, Loom, PlainWeaver, Tool, Turn, Weaver
from headroom.weavers import RoundsWeaver, StreamWeaver, edited
from headroom.wire.sse import parse_event
from headroom.zones.places import Span, members, on_one_line, replaced
from headroom.zones.splice import Edit

_TOOL = b'{"type":"function","name":"%b","description":"%b","parameters":%b,"strict":false}'

_USUAL = b"event: response."
_CALL = b'"function_call"'
_ITEM = b"event: response.output_item."
_LAST = (
    b"event: response.completed",
    b"event: response.incomplete",
    b"event: response.failed",
    b"event: response.cancelled",
)
_BEGUN = frozenset({"response.created", "response.queued", "response.in_progress"})
_ENDINGS = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})


class _Weaver(StreamWeaver[Rounds]):
    """See headroom.weave.Weaver."""

    def __init__(self, ours: frozenset[str], *, lasting: bool = False) -> None:
        super().__init__(Rounds(), ours)
        self._lasting = lasting  # the answer's id is that of the last round in any case
        self._first = True  # still in the first round
        self._touched = False  # something was hidden, or left out
        self._number = -1  # the next event's sequence number, once something was hidden
        self._index = 0  # the next item's index, once something was hidden
        self._begin()

    def _begin(self) -> None:
        """Begin a round."""
        self._noted: list[bytes] = []  # where items began and ended
        self._moves: dict[int, int] = {}
        self._hidden: set[int] = set()
        self._hidden_ids: set[str] = set()
        self._shown: set[str] = set()
        self._held: list[bytes] = []  # the ending, and what came after it
        self._answer: Answer | None = None
        self._pieces: tuple[Piece, ...] = ()

    def feed(self, raw: bytes) -> bytes:
        """See Weaver. Cost while nothing is hidden: prefix tests, and a search of where items begin and end."""
        if self._held:
            self._held.append(raw)
            return b""
        if not self._touched and raw.startswith(_USUAL):
            if raw.startswith(_ITEM):
                if not self._may_hide(raw):
                    self._noted.append(raw)
                    return raw
            elif not raw.startswith(_LAST):
                return raw
        event = parse_event(raw, first=True)
        spans = members(event.data) if event is not None else {}
        if event is None or not spans:
            return raw
        data = event.data
        kind = _word(data, spans, "type") or event.name.decode("utf-8", "replace")
        if kind in _ENDINGS:
            return self._ending(raw, data, spans, kind)
        if kind in _BEGUN and not self._first:
            return b""
        if kind == "error":
            self._done = True
        elif kind in ("response.output_item.added", "response.output_item.done"):
            self._noted.append(raw)
            if self._hides(data, spans, kind.endswith("added")):
                return b""
        return self._passed(raw, data, spans) if self._touched else raw

    def settle(self, results: Sequence[str]) -> bytes:
        """See Weaver."""
        answer = self._answer
        if answer is None:
            return b""
        out = b""
        self._first = False
        if self._rounds.mixed:
            ending, *rest = self._held
            out = self._rewritten(ending, answer)
            self._rounds.settle(answer, self._pieces, results)
            self._begin()
            self._done = True
            return b"".join((out, *(self.feed(raw) for raw in rest)))
        self._rounds.settle(answer, self._pieces, results)
        self._begin()
        return out

    def fail(self, status: int, body: bytes) -> bytes:
        """See Weaver."""
        self._done = True
        start, end = members(body).get("error", (0, 0))
        error = on_one_line(body[start:end])
        spans = members(error)
        if "message" not in spans:
            error = (
                b'{"type":"server_error","code":null,"message":"the answer could not be continued: %d","param":null}'
            )
            error %= status
            spans = members(error)
        said = {key: error[slice(*span)] for key, span in spans.items()}
        code = said.get("code", b"null")
        if code == b"null":
            code = said.get("type", code)
        told = b'"sequence_number":%d,"code":%b,"message":%b' % (max(self._number, 0), code, said["message"])
        param = said.get("param", b"null")
        return b'event: error\ndata: {"type":"error",%b,"param":%b,"error":%b}\n\n' % (told, param, error)

    def turn(self) -> tuple[bytes, Turn] | None:
        """See Weaver."""
        return self._rounds.turn(self._pieces) if self._touched else None

    @property
    def touched(self) -> bool:
        """Whether anything was hidden so far, or left out."""
        return self._touched

    @property
    def unanswered(self) -> Sequence[Call]:
        """The hidden calls of the round that has ended, in case that nothing answers them."""
        return [one.call for one in self._pieces if one.call is not None]

    def _may_hide(self, raw: bytes) -> bool:
        """Whether an event may tell of a call of ours. A tool's name alone is no sign: the ending echoes all tools."""
        return _CALL in raw and self._mentions(raw)

    def _hides(self, data: bytes, spans: Mapping[str, Span], begins: bool) -> bool:
        """Whether an item that begins or ends is hidden."""
        known = spoken.head(data[slice(*spans.get("item", (0, 0)))])
        index = _number(data, spans, "output_index")
        hidden = index in self._hidden or (known.id or "") in self._hidden_ids
        if hidden or not spoken.calls_one_of(self._ours, known):
            return hidden
        if not begins and (index in self._moves or self._began(index)):
            # The client was told of it before it had its name.
            self._shown.add(known.call_id or "")
            return False
        self._touch(data, spans)
        if index >= 0:
            self._hidden.add(index)
        if known.id:
            self._hidden_ids.add(known.id)
        return True

    def _began(self, index: int) -> bool:
        return any(begun for begun, at, _ in _changes_of_items(self._noted[:-1]) if at == index)

    def _touch(self, data: bytes, spans: Mapping[str, Span]) -> None:
        """From this event on, what is passed on is numbered anew."""
        if self._touched:
            return
        self._touched = True
        self._number = _number(data, spans, "sequence_number")
        for begun, index, _ in _changes_of_items(self._noted):
            if begun and index != _number(data, spans, "output_index"):
                self._moves[index] = index
        self._index = max(self._moves, default=-1) + 1

    def _passed(
        self, raw: bytes, data: bytes, spans: Mapping[str, Span], changes: Iterable[tuple[Span, bytes]] = ()
    ) -> bytes:
        """An event with its own numbers; nothing where it is about a hidden item."""
        edits = list(changes)
        index = _number(data, spans, "output_index")
        if index in self._hidden or _word(data, spans, "item_id") in self._hidden_ids:
            return b""
        if index >= 0:
            new = self._moves.get(index, -1)
            if new < 0:
                new = self._moves[index] = self._index
                self._index += 1
            if new != index:
                edits.append((spans["output_index"], b"%d" % new))
        number = _number(data, spans, "sequence_number")
        if number >= 0:
            if self._number < 0:
                self._number = number
            if number != self._number:
                edits.append((spans["sequence_number"], b"%d" % self._number))
            self._number += 1
        return edited(raw, data, edits)

    def _ending(self, raw: bytes, data: bytes, spans: Mapping[str, Span], kind: str) -> bytes:
        """The round is over."""
        if not self._touched and not any(map(self._may_hide, (raw, *self._noted))):
            self._noted.clear()
            self._done = True
            return raw
        answer = Answer(data, *spans.get("response", (0, 0)), self._ours, frozenset(self._shown))
        pieces = answer.pieces
        if not pieces:
            # Some providers tell each item once only.
            ended = {index: item for begun, index, item in _changes_of_items(self._noted) if not begun}
            pieces = tuple(pieces_of((ended[index] for index in sorted(ended)), self._ours, frozenset(self._shown)))
        if any(one.hidden for one in pieces):
            self._touch(data, spans)
        self._pieces = pieces
        self._answer = answer
        if not self._touched:
            self._noted.clear()
            self._done = True
            return raw
        if kind == "response.completed" and self._rounds.end(pieces):
            self._held.append(raw)
            return b""
        self._done = True
        return self._rewritten(raw, answer)

    def _rewritten(self, raw: bytes, answer: Answer) -> bytes:
        """The ending of the whole answer."""
        event = parse_event(raw, first=True)
        if event is None:
            return raw
        lasting = self._lasting or (not self._rounds.resent and answer.value("store") != b"false")
        return self._passed(raw, event.data, members(event.data), answer.rewritten(self._rounds, lasting=lasting))


class _PlainWeaver(RoundsWeaver[Rounds]):
    """See headroom.weave.PlainWeaver."""

    def __init__(self, ours: frozenset[str]) -> None:
        super().__init__(Rounds(), ours)
        self._document = b""
        self._answer: Answer | None = None
        self._woven: bytes | None = None  # the whole answer, once the round at hand is settled

    def feed(self, document: bytes) -> None:
        """See PlainWeaver."""
        self._document = document
        self._answer = self._woven = None
        if self._rounds.begun or (_CALL in document and self._mentions(document)):
            answer = self._answer = Answer(document, 0, len(document), self._ours, frozenset())
            if answer.value("status") in (b'"completed"', b""):
                self._rounds.end(answer.pieces)

    def settle(self, results: Sequence[str]) -> None:
        """See PlainWeaver."""
        if self._answer is not None:
            self._woven = self.finish()
            self._rounds.settle(self._answer, self._answer.pieces, results)

    def finish(self) -> bytes:
        """See PlainWeaver."""
        if self._woven is not None:
            return self._woven
        if self._answer is None:
            return self._document
        return replaced(self._document, sorted(self._answer.rewritten(self._rounds, lasting=True)))

    def turn(self) -> tuple[bytes, Turn] | None:
        """See Weaver."""
        if self._answer is None or self._woven is not None:
            return self._rounds.turn(())
        return self._rounds.turn(self._answer.pieces)


class _Loom:
    """See headroom.weave.Loom."""

    together = False

    def weaver(self, ours: frozenset[str]) -> Weaver:
        """See Loom."""
        return _Weaver(ours)

    def plain_weaver(self, ours: frozenset[str]) -> PlainWeaver:
        """See Loom."""
        return _PlainWeaver(ours)

    def tool(self, tool: Tool) -> bytes:
        """See Loom."""
        return _TOOL % (tool.name.encode(), tool.description, tool.parameters)

    def anchors(self, items: Sequence[bytes]) -> list[bytes]:
        """See Loom."""
        return [spoken.anchor(raw) for raw in items]

    def reinsert(self, items: Sequence[bytes], at: int, turn: Turn) -> list[tuple[int, Edit]]:
        """See Loom."""
        return spoken.reinsert(items, at, turn)


LOOM: Loom = _Loom()


class RememberedWeaver(Weaver, Protocol):
    """A weaver of answers that the provider remembers by their ids: the client is told the last round's, and may go
    on from that."""

    @property
    def touched(self) -> bool:
        """Whether anything was hidden so far, or left out."""

    @property
    def unanswered(self) -> Sequence[Call]:
        """The hidden calls of the round that has ended, in case that nothing answers them."""


def remembered_weaver(ours: frozenset[str]) -> RememberedWeaver:
    """A weaver of an answer on a socket; see Loom.weaver."""
    return _Weaver(ours, lasting=True)


def _changes_of_items(noted: Iterable[bytes]) -> Iterable[tuple[bool, int, bytes]]:
    """Where items began (or else ended), their index and their JSON, of events that say so."""
    for raw in noted:
        event = parse_event(raw, first=True)
        if event is None:
            continue
        spans = members(event.data)
        begun = _word(event.data, spans, "type").endswith("added") or event.name.endswith(b"added")
        yield begun, _number(event.data, spans, "output_index"), event.data[slice(*spans.get("item", (0, 0)))]


def _number(data: bytes, spans: Mapping[str, Span], key: str) -> int:
    """A field that is a natural number; else -1."""
    value = data[slice(*spans.get(key, (0, 0)))]
    return int(value) if value.isdigit() and len(value) < 16 else -1


def _word(data: bytes, spans: Mapping[str, Span], key: str) -> str:
    """A field that is a string without escapes; else empty."""
    value = data[slice(*spans.get(key, (0, 0)))]
    return value[1:-1].decode("utf-8", "replace") if value[:1] == b'"' else ""
