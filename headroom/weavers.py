"""What the weavers of all dialects have in common: how rounds are kept and summed up, and how an event is edited."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from headroom.weave import Call
from headroom.wire.sse import parse_event
from headroom.zones.places import Span, appended, counts, member, on_one_line, replaced

Counts = Mapping[tuple[str, ...], int]
Edits = list[tuple[Span, bytes]]


class AnswerRounds:
    """The rounds of one answer so far, and the one that waits for results.

    `waiting` are its calls; `mixed`: it called the client's own tools as well. `totals` are the counts of the rounds
    that were answered. `list_key` names a request's list, `usage_key` what holds an answer's counts.
    """

    def __init__(self, list_key: str, usage_key: str) -> None:
        self.waiting: tuple[Call, ...] = ()
        self.mixed = False
        self.totals: dict[tuple[str, ...], int] = {}
        self._list_key = list_key
        self._usage_key = usage_key
        self._sent: list[bytes] = []

    def wait(self, calls: Sequence[Call], mixed: bool) -> None:
        """A round has ended with `calls`, and waits for their results."""
        self.waiting = tuple(calls)
        self.mixed = mixed

    def drop(self) -> None:
        """The round is not answered after all."""
        self.wait((), False)

    def answered(self, sent: Iterable[bytes], used: Counts) -> None:
        """The waiting round is answered: `sent` are the elements that tell it in a request's list, `used` its counts.

        Nothing waits any more.
        """
        self._sent += sent
        for path, count in used.items():
            self.totals[path] = self.totals.get(path, 0) + count
        self.drop()

    def used(self, data: bytes) -> Iterator[tuple[tuple[str, ...], int]]:
        """The counts that an event, a message or an answer reports, by their path."""
        for path, span in counts(data, *member(data, self._usage_key)):
            yield path, int(data[slice(*span)])

    def summed(self, data: bytes) -> Edits:
        """Edits that add the counts of the answered rounds to those that `data` reports."""
        found = counts(data, *member(data, self._usage_key)) if self.totals else ()
        sums = [(span, int(data[slice(*span)]), self.totals.get(path, 0)) for path, span in found]
        return [(span, b"%d" % (count + before)) for span, count, before in sums if before]

    def continuation(self, body: bytes) -> bytes:
        """See headroom.weave.Weaver. Cost: msgspec's pass over the body, and a copy of it."""
        return appended(body, self._list_key, self._sent)


Kept = TypeVar("Kept", bound=AnswerRounds)


class RoundsWeaver(Generic[Kept]):
    """What a weaver's rounds answer for it, and whose calls it hides."""

    def __init__(self, rounds: Kept, ours: frozenset[str]) -> None:
        self._rounds = rounds
        self._ours = ours
        self._names = tuple(sorted(name.encode() for name in ours))

    def _mentions(self, text: bytes) -> bool:
        """Whether one of our tools is named in `text`. Cost: a search for each, so ask where a call can begin."""
        for name in self._names:  # noqa: SIM110 - a generator would cost more than the searches
            if name in text:
                return True
        return False

    @property
    def calls(self) -> Sequence[Call]:
        """See headroom.weave.Weaver."""
        return self._rounds.waiting

    @property
    def mixed(self) -> bool:
        """See headroom.weave.Weaver."""
        return self._rounds.mixed

    def continuation(self, body: bytes) -> bytes:
        """See headroom.weave.Weaver."""
        return self._rounds.continuation(body)


class StreamWeaver(RoundsWeaver[Kept]):
    """The same of a weaver of streams, which knows whether it is through."""

    def __init__(self, rounds: Kept, ours: frozenset[str]) -> None:
        super().__init__(rounds, ours)
        self._done = False

    @property
    def done(self) -> bool:
        """See headroom.weave.Weaver."""
        return self._done


def edited(raw: bytes, data: bytes, edits: Sequence[tuple[Span, bytes]], end: bytes = b"\n\n") -> bytes:
    """The event `raw` with edits in its `data`, in any order; the very object where there are none.

    Data that somebody wrote in several lines comes back in one, in an event that ends with `end`.
    """
    if not edits:
        return raw
    ordered = sorted(edits)
    at = raw.rfind(data)
    if at >= 0:
        return replaced(raw, [((at + start, at + stop), new) for (start, stop), new in ordered])
    event = parse_event(raw, first=True)
    name = b"event: %b\n" % event.name if event is not None and event.name else b""
    return b"%bdata: %b%b" % (name, on_one_line(replaced(data, ordered)), end)
