"""The rounds of one answer that is made of items, streamed or not: what they said, used, and are to be asked with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from headroom import spoken
from headroom.spoken import Piece, Spoken
from headroom.weave import Turn
from headroom.weavers import AnswerRounds, Counts, Edits
from headroom.zones.places import Span, appended, counts, elements, members, replaced


class Answer:
    """One answer object: what its ending event carries, or the whole of a plain one."""

    __slots__ = ("_spans", "_start", "_text", "pieces", "used")

    def __init__(self, text: bytes, start: int, end: int, ours: frozenset[str], shown: frozenset[str]) -> None:
        """The object ``text[start:end]``. `ours` and `shown`: see `pieces_of`."""
        self._text = text
        self._start = start
        self._spans = members(text[start:end])
        self.pieces = tuple(pieces_of((text[slice(*span)] for span in self._output() or ()), ours, shown))
        self.used: Counts = {path: int(text[slice(*span)]) for path, span in self._counts()}

    def value(self, key: str) -> bytes:
        """The JSON of a field; empty where there is none."""
        start, end = self._spans.get(key, (0, 0))
        return self._text[self._start + start : self._start + end]

    def rewritten(self, rounds: Rounds, *, lasting: bool) -> Edits:
        """What must change in it to be the answer of all rounds, of which it is the last.

        `lasting`: it keeps its own id, although the client was told another one when the first round began.
        """
        changes: Edits = []
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


class Rounds(AnswerRounds):
    """The rounds of one answer that were answered, streamed or not, and the one that waits.

    `told` are the visible items that their answer objects held. `resent`: the client sends the whole conversation each
    time, so it will not go on from the id of the last round, and is better told one id only.
    """

    def __init__(self) -> None:
        super().__init__("input", "usage")
        self.told: list[bytes] = []
        self.first_id = b""
        self.resent = False
        self._kept: list[Spoken] = []

    @property
    def begun(self) -> bool:
        """Whether a round was answered."""
        return bool(self._kept)

    def end(self, pieces: Sequence[Piece]) -> bool:
        """A round has ended with `pieces`. Returns whether it waits for results now."""
        calls = [one.call for one in pieces if one.call is not None]
        self.wait(calls, bool(calls) and spoken.is_for_client(pieces))
        return bool(self.waiting)

    def settle(self, answer: Answer, pieces: Sequence[Piece], results: Sequence[str]) -> None:
        """The round that waits is answered."""
        answers = tuple(spoken.result(call.id, text) for call, text in zip(self.waiting, results, strict=True))
        self._kept.append(Spoken(tuple(pieces), answers, self.mixed))
        self.told += (one.raw for one in answer.pieces if not one.hidden)
        self.first_id = self.first_id or answer.value("id")
        self.answered((), answer.used)  # what is sent of them depends on the request

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
        if body[start : start + 1] == b'"':
            said = b'{"role":"user","content":%b}' % body[start:end]
            return replaced(body, [((start, end), b"[%b]" % b",".join((said, *items)))])
        return appended(body, "input", items)


def pieces_of(items: Iterable[bytes], ours: frozenset[str], shown: frozenset[str]) -> Iterator[Piece]:
    """The pieces that items are. Calls of one of `ours` are hidden, but for those whose id is in `shown`: the client
    has seen them already, so they are its own."""
    for raw in items:
        known = spoken.head(raw)
        hidden = spoken.calls_one_of(ours, known) and (known.call_id or "") not in shown
        yield spoken.piece(raw, known, hidden=hidden)
