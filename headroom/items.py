"""Weaves answers of the dialect whose turns are items of the request's list.

Each event carries a sequence number, and most the index of the item that they are about; the last one carries the
whole answer. An item that calls the retrieve tool is named in its first event, so nothing else is ever held but it and
the ending.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from headroom import spoken
from headroom.spoken import Piece, Spoken
from headroom.weave import TOOL_NAME, Call, Loom, PlainWeaver, Turn, Weaver
from headroom.wire.sse import parse_event
from headroom.zones.places import Span, counts, elements, members, replaced
from headroom.zones.splice import Edit

_TOOL = (
    b'{"type":"function","name":"headroom_retrieve","description":"Some tool results are shown in part and end in a '
    b"marker <<ccr:HASH>>. This returns what the marker stands for: all of it, a range of its lines, or only its lines "
    b'that contain a text. Use it only if the part that is shown is not enough.","parameters":{"type":"object",'
    b'"properties":{"hash":{"type":"string","description":"The HASH in the marker."},'
    b'"lines":{"type":"string","description":"The lines to return, such as 120-180."},'
    b'"match":{"type":"string","description":"Return only lines that contain this text."}},"required":["hash"]},'
    b'"strict":false}'
)

_NAME = TOOL_NAME.encode()
_USUAL = b"event: response."
_ITEM = b"event: response.output_item."
_LAST = (b"event: response.completed", b"event: response.incomplete", b"event: response.failed")
_BEGUN = frozenset({"response.created", "response.queued", "response.in_progress"})
_ENDINGS = frozenset({"response.completed", "response.incomplete", "response.failed"})

Counts = Mapping[tuple[str, ...], int]
Changes = list[tuple[Span, bytes]]


class _Answer:
    """One answer object: what its ending event carries, or the whole of a plain one."""

    __slots__ = ("_spans", "_start", "_text", "pieces", "used")

    def __init__(self, text: bytes, start: int, end: int, shown: frozenset[str]) -> None:
        """The object ``text[start:end]``. Calls in `shown` were seen by the client already."""
        self._text = text
        self._start = start
        self._spans = members(text[start:end])
        self.pieces = tuple(_pieces((text[slice(*span)] for span in self._output() or ()), shown))
        self.used: Counts = {path: int(text[slice(*span)]) for path, span in self._counts()}

    def value(self, key: str) -> bytes:
        """The JSON of a field; empty where there is none."""
        start, end = self._spans.get(key, (0, 0))
        return self._text[self._start + start : self._start + end]

    def rewritten(self, rounds: _Rounds, *, lasting: bool) -> Changes:
        """What must change in it to be the answer of all rounds, of which it is the last.

        `lasting`: it keeps its own id, although the client was told another one when the first round began.
        """
        changes: Changes = []
        before = rounds.told
        shown = [one.raw for one in self.pieces if not one.hidden]
        output = self._output()
        if output is not None and (before or len(shown) < len(self.pieces)):
            changes.append((self._span("output"), b"[%b]" % b",".join((*before, *shown))))
        for path, span in self._counts():
            more = rounds.totals.get(path, 0)
            if more:
                changes.append((span, b"%d" % (self.used[path] + more)))
        if not lasting and rounds.first_id and self.value("id"):
            changes.append((self._span("id"), rounds.first_id))
        return changes

    def _span(self, key: str) -> Span:
        start, end = self._spans[key]
        return self._start + start, self._start + end

    def _output(self) -> list[Span] | None:
        return elements(self._text, *self._span("output")) if "output" in self._spans else None

    def _counts(self) -> Iterable[tuple[tuple[str, ...], Span]]:
        return counts(self._text, *self._span("usage")) if "usage" in self._spans else ()


class _Rounds:
    """The rounds of one answer that were answered, streamed or not, and the one that waits.

    `told` are the visible items that their answer objects held, `totals` what they used. `resent`: the client sends the
    whole conversation each time, so it will not go on from the id of the last round, and is better told one id only.
    """

    __slots__ = ("_kept", "first_id", "mixed", "resent", "told", "totals", "waiting")

    def __init__(self) -> None:
        self.waiting: tuple[Call, ...] = ()
        self.mixed = False
        self.told: list[bytes] = []
        self.totals: dict[tuple[str, ...], int] = {}
        self.first_id = b""
        self.resent = False
        self._kept: list[Spoken] = []

    def wait(self, pieces: Sequence[Piece]) -> bool:
        """A round has ended with `pieces`. Returns whether it waits for results now."""
        self.waiting = tuple(one.call for one in pieces if one.call is not None)
        self.mixed = bool(self.waiting) and spoken.is_for_client(pieces)
        return bool(self.waiting)

    def settle(self, answer: _Answer, pieces: Sequence[Piece], results: Sequence[str]) -> None:
        """The round that waits is answered."""
        answers = tuple(spoken.result(call.id, text) for call, text in zip(self.waiting, results, strict=True))
        self._kept.append(Spoken(tuple(pieces), answers, self.mixed))
        self.told += (one.raw for one in answer.pieces if not one.hidden)
        for path, count in answer.used.items():
            self.totals[path] = self.totals.get(path, 0) + count
        self.first_id = self.first_id or answer.value("id")
        self.waiting = ()
        self.mixed = False

    def turn(self, last: Sequence[Piece]) -> tuple[bytes, Turn] | None:
        """See Weaver. `last` are the pieces of the round that is not answered."""
        return spoken.turn(self._kept, last) if self._kept else None

    def continuation(self, body: bytes) -> bytes:
        """See Weaver. Cost: msgspec's pass over the body, and a copy of it."""
        spans = members(body)
        start, end = spans.get("input", (0, 0))
        earlier = body[slice(*spans.get("previous_response_id", (0, 0)))]
        sent = elements(body, start, end) or ()
        self.resent = earlier in (b"", b"null") and any(spoken.anchor(body[slice(*span)]) for span in sent)
        stateless = body[slice(*spans.get("store", (0, 0)))] == b"false"
        items = [
            raw for kept in self._kept for raw in kept.items() if not (stateless and spoken.is_only_referred_to(raw))
        ]
        more = b",".join(items)
        if body[start : start + 1] == b'"':
            said = b'{"role":"user","content":%b}' % body[start:end]
            return replaced(body, [((start, end), b"[%b]" % b",".join((said, *items)))])
        if "input" not in spans or body[start : start + 1] != b"[":
            raise ValueError("the request has no list of items")
        if more and sent:
            more = b"," + more
        return replaced(body, [((end - 1, end - 1), more)])


class _Weaver:
    """See headroom.weave.Weaver."""

    def __init__(self) -> None:
        self._rounds = _Rounds()
        self._done = False
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
        self._answer: _Answer | None = None
        self._pieces: tuple[Piece, ...] = ()

    @property
    def calls(self) -> Sequence[Call]:
        """See Weaver."""
        return self._rounds.waiting

    @property
    def mixed(self) -> bool:
        """See Weaver."""
        return self._rounds.mixed

    @property
    def done(self) -> bool:
        """See Weaver."""
        return self._done

    def feed(self, raw: bytes) -> bytes:
        """See Weaver. Cost while nothing is hidden: prefix tests; the ending is walked over if it echoes the tool."""
        if self._held:
            self._held.append(raw)
            return b""
        if not self._touched and raw.startswith(_USUAL):
            if raw.startswith(_ITEM):
                if _NAME not in raw:
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
        error = body[start:end].replace(b"\r", b" ").replace(b"\n", b" ")  # they can only stand between its tokens
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

    def continuation(self, body: bytes) -> bytes:
        """See Weaver."""
        return self._rounds.continuation(body)

    def _hides(self, data: bytes, spans: Mapping[str, Span], begins: bool) -> bool:
        """Whether an item that begins or ends is hidden."""
        known = spoken.head(data[slice(*spans.get("item", (0, 0)))])
        index = _number(data, spans, "output_index")
        if not spoken.is_retrieval(known):
            return index in self._hidden
        if not begins and index not in self._hidden and (index in self._moves or self._began(index)):
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
        return _edited(raw, data, edits)

    def _ending(self, raw: bytes, data: bytes, spans: Mapping[str, Span], kind: str) -> bytes:
        """The round is over."""
        if not self._touched and _NAME not in raw and not any(_NAME in noted for noted in self._noted):
            self._noted.clear()
            self._done = True
            return raw
        answer = _Answer(data, *spans.get("response", (0, 0)), frozenset(self._shown))
        pieces = answer.pieces
        if not pieces:
            # Some providers tell each item once only.
            ended = {index: item for begun, index, item in _changes_of_items(self._noted) if not begun}
            pieces = tuple(_pieces((ended[index] for index in sorted(ended)), frozenset(self._shown)))
        if any(one.hidden for one in pieces):
            self._touch(data, spans)
        self._pieces = pieces
        self._answer = answer
        if not self._touched:
            self._noted.clear()
            self._done = True
            return raw
        if kind == "response.completed" and self._rounds.wait(pieces):
            self._held.append(raw)
            return b""
        self._done = True
        return self._rewritten(raw, answer)

    def _rewritten(self, raw: bytes, answer: _Answer) -> bytes:
        """The ending of the whole answer."""
        event = parse_event(raw, first=True)
        if event is None:
            return raw
        lasting = not self._rounds.resent and answer.value("store") != b"false"
        return self._passed(raw, event.data, members(event.data), answer.rewritten(self._rounds, lasting=lasting))


class _PlainWeaver:
    """See headroom.weave.PlainWeaver."""

    def __init__(self) -> None:
        self._rounds = _Rounds()
        self._document = b""
        self._answer: _Answer | None = None
        self._woven: bytes | None = None  # the whole answer, once the round at hand is settled

    @property
    def calls(self) -> Sequence[Call]:
        """See Weaver."""
        return self._rounds.waiting

    @property
    def mixed(self) -> bool:
        """See Weaver."""
        return self._rounds.mixed

    def feed(self, document: bytes) -> None:
        """See PlainWeaver."""
        self._document = document
        self._answer = self._woven = None
        if _NAME in document or self._rounds.told or self._rounds.totals or self._rounds.first_id:
            answer = self._answer = _Answer(document, 0, len(document), frozenset())
            if answer.value("status") in (b'"completed"', b""):
                self._rounds.wait(answer.pieces)

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
        settled = self._woven is not None or self._answer is None
        return self._rounds.turn(() if settled or self._answer is None else self._answer.pieces)

    def continuation(self, body: bytes) -> bytes:
        """See Weaver."""
        return self._rounds.continuation(body)


class _Loom:
    """See headroom.weave.Loom."""

    def weaver(self) -> Weaver:
        """See Loom."""
        return _Weaver()

    def plain_weaver(self) -> PlainWeaver:
        """See Loom."""
        return _PlainWeaver()

    def tool(self) -> bytes:
        """See Loom."""
        return _TOOL

    def anchors(self, items: Sequence[bytes]) -> list[bytes]:
        """See Loom."""
        return [spoken.anchor(raw) for raw in items]

    def reinsert(self, items: Sequence[bytes], at: int, turn: Turn) -> list[tuple[int, Edit]]:
        """See Loom."""
        return spoken.reinsert(items, at, turn)


LOOM: Loom = _Loom()


def _pieces(items: Iterable[bytes], shown: frozenset[str]) -> Iterable[Piece]:
    for raw in items:
        known = spoken.head(raw)
        hidden = spoken.is_retrieval(known) and (known.call_id or "") not in shown
        yield spoken.piece(raw, known, hidden=hidden)


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


def _edited(raw: bytes, data: bytes, edits: Changes) -> bytes:
    """An event with changes in its data; the very object where there are none."""
    if not edits:
        return raw
    edits.sort()
    at = raw.find(data)
    if at >= 0:
        return replaced(raw, [((at + start, at + end), new) for (start, end), new in edits])
    # Data in several lines: the ends of lines can only stand between its tokens.
    event = parse_event(raw, first=True)
    name = b"" if event is None else event.name
    return b"event: %b\ndata: %b\n\n" % (name, replaced(data, edits).replace(b"\n", b" "))
