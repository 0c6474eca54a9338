"""Weaving answers whose events are deltas of one message."""

from __future__ import annotations

from collections.abc import Sequence

from headroom.delta_turns import Choice, Rounds, Spoken, read_answer
from headroom.weave import Turn
from headroom.weavers import Edits, RoundsWeaver, StreamWeaver, edited
from headroom.wire.sse import parse_event
from headroom.zones.places import Span, elements, member, members, replaced
from headroom.zones.splice import any_token

_NAME = b'"name"'  # only where a call begins: in what a model says, quotes are escaped
_DONE = b"[DONE]"
_UNNAMED = (b'""', b"0", b"null")
_NOTHING = (b"null", b'""', b"[]", b"{}")


class DeltaWeaver(StreamWeaver[Rounds]):
    """See headroom.weave.Weaver. An answer of several choices is passed on untouched.

    `calls` are there from the chunk that ends the round: what may come after it are counts, and not every provider
    says that its stream is over.
    """

    def __init__(self, ours: frozenset[str]) -> None:
        super().__init__(Rounds(ours), ours)
        self._events: list[bytes] = []  # passed on, and not read so far
        self._held: list[bytes] = []  # held back in the first round, as they came
        self._ending: list[bytes] = []  # of a round that waits or will wait, as the client gets it
        self._envelope: dict[str, bytes] = {}
        self._deaf = False
        self._untouched = True
        self._first = True
        self._waits = False
        self._altered = False  # whether the client got something else than the provider sent
        self._lost = False

    def feed(self, raw: bytes) -> bytes:
        """See Weaver. Cost while nothing is hidden: two searches of each event's bytes."""
        if self._deaf or self._lost:
            return b"" if self._lost else raw
        if self._untouched and (_NAME not in raw or not self._mentions(raw)):
            if raw.startswith((b"data: [DONE]", b"data:[DONE]")):
                self._done = True
                self._events.clear()
            else:
                self._events.append(raw)
            return raw
        event = parse_event(raw, first=True)
        if event is None:
            return raw
        if event.data.strip() == _DONE:
            return self._over(raw)
        if self._untouched and not self._recall():
            return self._give_up(raw)
        woven = self._chunk(raw, event.data)
        self._altered = self._altered or (woven is not raw and woven != b"")
        return woven

    def _give_up(self, raw: bytes) -> bytes:
        """The answer cannot be woven. It goes on as it comes, with what was held; where the client got another answer
        already it ends here, without an ending."""
        self._rounds.drop()
        self._lost = self._altered or not self._first
        if self._lost:
            return b""
        self._deaf = self._done = True
        released = b"".join((*self._held, raw)) if self._held else raw
        self._held.clear()
        return released

    def _over(self, raw: bytes) -> bytes:
        """The round's last event."""
        if self._waits:
            self._hold(raw)
            self._ending.append(raw)
            return b""
        self._done = True
        return raw

    def _recall(self) -> bool:
        """Read what was passed on before a tool of ours was named; False where it cannot be continued."""
        for raw in self._events:
            event = parse_event(raw, first=True)
            answer = None if event is None else read_answer(event.data)
            if event is None or answer is None:
                continue
            choices = answer.choices or []
            if len(choices) > 1 or any(choice.index for choice in choices):
                return False
            self._remember(event.data)
            if choices and choices[0].delta is not None:
                self._rounds.said.take(choices[0].delta)
        self._events.clear()
        return True

    def _remember(self, data: bytes) -> None:
        if not self._envelope:
            fields = members(data)
            named = {key: data[slice(*fields[key])] for key in ("id", "created") if key in fields}
            self._envelope = {key: value for key, value in named.items() if value not in _UNNAMED}
        if b'"usage"' in data:
            self._rounds.said.used.update(self._rounds.used(data))

    def _chunk(self, raw: bytes, data: bytes) -> bytes:
        """An event of an answer that calls, and names a tool of ours."""
        answer = read_answer(data)
        if answer is None:
            return raw
        choices = answer.choices or []
        if len(choices) > 1 or any(choice.index for choice in choices):
            return self._give_up(raw)
        self._remember(data)
        edits = self._rounds.summed(data) + self._renamed(data)
        if bytes(answer.error) != b"null":
            self._rounds.drop()
            self._done, self._waits = True, False
            return raw
        if not choices:
            return self._counted(raw, data, edits)
        return self._said(raw, data, choices[0], edits)

    def _counted(self, raw: bytes, data: bytes, edits: Edits) -> bytes:
        """A chunk without a choice."""
        woven = edited(raw, data, edits)
        if not self._waits:
            return woven
        self._hold(raw)
        self._ending.append(woven)
        return b""

    def _said(self, raw: bytes, data: bytes, choice: Choice, edits: Edits) -> bytes:
        """A chunk with a choice."""
        pieces = [] if choice.delta is None else self._rounds.said.take(choice.delta)
        if self._untouched:
            if not any(piece.hidden for piece in pieces):
                return raw
            self._untouched = False
        fields = _choice_of(data)
        hides = any(piece.hidden for piece in pieces)
        ends = self._rounds.ends(choice.finish_reason or "")
        start, stop = fields.get("delta", (0, 0))
        if (self._waits and pieces) or (hides and not members(data[start:stop])) or (ends and not fields):
            return self._give_up(raw)  # calls after the ending, or a key twice
        delta, shown = self._delta(data[start:stop], pieces)
        if delta != data[start:stop]:
            edits.append(((start, stop), delta))
        if ends or self._waits:
            self._hold(raw)
            self._waits = True
            self._rounds.end()
            if self._rounds.mixed:
                self._ending.append(edited(raw, data, edits))
                return b""
            if not shown:
                return b""
            return edited(raw, data, [*edits, (fields["finish_reason"], b"null")] if choice.finish_reason else edits)
        if choice.finish_reason:
            self._done = True
            return edited(raw, data, edits)
        if not shown and (edits or hides):
            self._hold(raw)
            return b""
        return edited(raw, data, edits)

    def _hold(self, raw: bytes) -> None:
        if self._first:
            self._held.append(raw)

    def _delta(self, delta: bytes, pieces: Sequence[Spoken]) -> tuple[bytes, bool]:
        """A delta without what is hidden, with the client's indexes, and whether it shows anything."""
        kept: list[bytes] = []
        shown = changed = False
        for key, (start, end) in members(delta).items():
            value = delta[start:end]
            if key == "role" and not self._first:
                changed = True
                continue
            if key == "tool_calls" and pieces:
                calls = _shown_calls(value, pieces)
                changed = changed or calls != value
                if calls == b"[]":
                    continue
                value = calls
            shown = shown or value not in _NOTHING
            kept.append(b"%b:%b" % (any_token(key), value))
        return (b"{%b}" % b",".join(kept) if changed else delta), shown

    def _renamed(self, data: bytes) -> Edits:
        """Edits that give an event of a later round the answer's id and time."""
        if self._first:
            return []
        fields = members(data)
        kept = [(fields[key], value) for key, value in self._envelope.items() if key in fields]
        return [(span, value) for span, value in kept if data[slice(*span)] != value]

    def settle(self, results: Sequence[str]) -> bytes:
        """See Weaver."""
        ending = self._ending if self.mixed else []
        self._done = bool(ending)
        self._rounds.settle(results)
        self._first = self._waits = False
        self._ending = []
        self._held.clear()
        return b"".join(ending)

    def fail(self, status: int, body: bytes) -> bytes:
        """See Weaver."""
        self._done = True
        start, end = member(body, "error")
        error = b" ".join(body[start:end].splitlines())
        if error in _NOTHING or not error:
            kind = b"invalid_request_error" if 400 <= status < 500 else b"server_error"
            error = b'{"message":"The answer could not be continued.","type":"%b","param":null,"code":null}' % kind
        return b'data: {"error":%b}\n\ndata: [DONE]\n\n' % error

    def turn(self) -> tuple[bytes, Turn] | None:
        """See Weaver."""
        return None if self._untouched else self._rounds.turn()


class PlainDeltaWeaver(RoundsWeaver[Rounds]):
    """See headroom.weave.PlainWeaver. A document of several choices is passed on untouched."""

    def __init__(self, ours: frozenset[str]) -> None:
        super().__init__(Rounds(ours), ours)
        self._document = b""
        self._woven: bytes | None = None
        self._untouched = True
        self._readable = False
        self._ends = False

    def feed(self, document: bytes) -> None:
        """See PlainWeaver. Cost while nothing is hidden: one search, unless something is called."""
        self._document = document
        self._woven = None
        self._readable = False
        if self._untouched and (_NAME not in document or not self._mentions(document)):
            return
        answer = read_answer(document)
        if answer is None or not answer.choices or len(answer.choices) > 1 or answer.choices[0].message is None:
            return
        fields = _choice_of(document)
        if not members(document[slice(*fields.get("message", (0, 0)))]):
            return
        self._readable = True
        self._ends = False
        self._rounds.said.take(answer.choices[0].message)
        self._rounds.said.used.update(self._rounds.used(document))
        if self._rounds.said.hides:
            self._untouched = False
        self._ends = self._rounds.ends(answer.choices[0].finish_reason or "")
        if self._ends:
            self._rounds.end()

    def settle(self, results: Sequence[str]) -> None:
        """See Weaver."""
        self._woven = self._write()
        self._rounds.settle(results)

    def finish(self) -> bytes:
        """See PlainWeaver."""
        if self._untouched:
            return self._document
        return self._write() if self._woven is None else self._woven

    def turn(self) -> tuple[bytes, Turn] | None:
        """See Weaver."""
        return None if self._untouched else self._rounds.turn()

    def _write(self) -> bytes:
        """The last document with all that is visible, and its counts added up."""
        data, said = self._document, self._rounds.said
        if not self._readable:
            return data
        fields = _choice_of(data)
        start, stop = fields["message"]
        values = {key: data[start + a : start + b] for key, (a, b) in members(data[start:stop]).items()}
        if self._rounds.told:
            values["content"] = any_token(self._rounds.told + "".join(said.text))
        for key, thought in self._rounds.thought.items():
            values[key] = any_token(thought + "".join(said.thoughts.get(key, ())))
        if said.hides and "tool_calls" in values:
            values["tool_calls"] = _shown_calls(values["tool_calls"], said.calls, renumber=False)
            if values["tool_calls"] == b"[]":
                del values["tool_calls"]
        message = b"{%b}" % b",".join(b"%b:%b" % (any_token(key), value) for key, value in values.items())
        edits = [((start, stop), message), *self._rounds.summed(data)]
        if self._ends and not said.visible and "finish_reason" in fields:
            edits.append((fields["finish_reason"], b'"stop"'))
        return replaced(data, sorted(edits))


def _choice_of(data: bytes) -> dict[str, Span]:
    """Where the members of the first choice of a chunk or document are; empty where that cannot be told."""
    begin, end = (elements(data, *member(data, "choices")) or [(0, 0)])[0]
    return {key: (begin + a, begin + b) for key, (a, b) in members(data[begin:end]).items()}


def _shown_calls(value: bytes, pieces: Sequence[Spoken], *, renumber: bool = True) -> bytes:
    """A list of pieces of calls without the hidden ones; the object itself where it is the same."""
    spans = elements(value, 0, len(value)) or []
    shown: list[bytes] = []
    for (start, end), piece in zip(spans, pieces, strict=False):
        if piece.hidden:
            continue
        raw = value[start:end]
        at = members(raw).get("index") if renumber else None
        if at is not None and raw[slice(*at)] != b"%d" % piece.index:
            raw = replaced(raw, [(at, b"%d" % piece.index)])
        shown.append(raw)
    same = len(shown) == len(spans) and all(value[a:b] == raw for (a, b), raw in zip(spans, shown, strict=True))
    return value if same else b"[%b]" % b",".join(shown)
