"""The loom of the dialect whose turns are contents that consist of parts.

What was hidden cuts a turn: a round that only called our tools ends a content, and its results stand in one of
their own; where the client's functions were called as well, the results stand before the client's. A client may send a
turn back as one content, or as one for each event it got.

    provider   [t1, hidden]   [result]   [t2, call]   [client's result]
    client     [t1t2, call]                           [client's result]

Places in a `Round` are counted in the units of `content_parts`: the characters of visible text, and one for each
other visible part.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headroom.content_parts import Part, anchor, content, find_parts, offset, part, parts_of, role
from headroom.content_weavers import ContentWeaver, PlainContentWeaver
from headroom.weave import PlainWeaver, Round, Tool, Turn, Weaver
from headroom.zones.places import Span
from headroom.zones.splice import Edit

_TOOL = b'{"functionDeclarations":[{"name":"%b","description":"%b","parameters":%b}]}'


class ContentLoom:
    """See headroom.weave.Loom."""

    together = True

    def weaver(self, ours: frozenset[str]) -> Weaver:
        """See Loom."""
        return ContentWeaver(ours)

    def plain_weaver(self, ours: frozenset[str]) -> PlainWeaver:
        """See Loom."""
        return PlainContentWeaver(ours)

    def tool(self, tool: Tool) -> bytes:
        """See Loom."""
        return _TOOL % (tool.name.encode(), tool.description, tool.parameters)

    def anchors(self, items: Sequence[bytes]) -> list[bytes]:
        """See Loom. A turn that came back as several contents has its anchor on the last of them."""
        found = [b""] * len(items)
        run: list[Part] = []
        for at, item in enumerate(items):
            if not _by_model(item):
                run = []
                continue
            run += parts_of(item)
            found[at] = anchor(run)
            if at and run and _by_model(items[at - 1]):
                found[at - 1] = b""
        return found

    def reinsert(self, items: Sequence[bytes], at: int, turn: Turn) -> list[tuple[int, Edit]]:
        """See Loom."""
        if not 0 <= at < len(items) or not _by_model(items[at]):
            return []
        first = last = at
        while first and _by_model(items[first - 1]):
            first -= 1
        while last + 1 < len(items) and _by_model(items[last + 1]):
            last += 1
        run = _Run(items, first, last)
        if not run.whole or not _fits(turn.rounds, run.units):
            return []
        edits = run.put_back(turn.rounds)
        final = turn.rounds[-1]
        if final.end < run.units:
            return edits
        following = _put_first(items[last + 1], final) if last + 1 < len(items) else []
        return [*edits, *((last + 1, edit) for edit in following)] if following else []


def _by_model(item: bytes) -> bool:
    return b'"model"' in item and role(item) == "model"


def _fits(rounds: Sequence[Round], units: int) -> bool:
    """Whether the rounds can have been parts of a turn with so many units."""
    begin = 0
    for number, given in enumerate(rounds, 1):
        places = [place for place, _ in given.inserts]
        if not places or not begin <= min(places) <= max(places) <= given.end <= units:
            return False
        if given.mixed and not (number == len(rounds) and given.end == units):
            return False
        begin = given.end
    return bool(rounds) and units > 0


def _is_utf8(item: bytes) -> bool:
    try:
        item.decode()
    except UnicodeDecodeError:
        return False
    return True


class _Place(msgspec.Struct, frozen=True, gc=False):
    """A part of a run: its item, which of the item's parts it is, and the units before it."""

    item: int
    index: int
    span: Span
    part: Part
    before: int


class _Run:
    """The contents in a row that one turn came back as."""

    def __init__(self, items: Sequence[bytes], first: int, last: int) -> None:
        self._items = items
        self._first = first
        self._last = last
        self._spans: dict[int, list[Span]] = {}
        self._places: list[_Place] = []
        self.units = 0
        self.whole = True  # every content can be read
        for at in range(first, last + 1):
            found = find_parts(items[at])
            if not found or not _is_utf8(items[at]):
                self.whole = False
                return
            self._spans[at] = found
            for index, (start, end) in enumerate(found):
                one = part(items[at][start:end])
                self._places.append(_Place(at, index, (start, end), one, self.units))
                self.units += one.units

    def put_back(self, rounds: Sequence[Round]) -> list[tuple[int, Edit]]:
        """Edits that put calls back at their places, and results where a round ended with them."""
        # By place: groups of calls, with results between two groups.
        groups: dict[int, list[list[bytes]]] = {}
        results: dict[int, list[bytes]] = {}
        for given in rounds:
            for place, call in given.inserts:
                groups.setdefault(place, [[]])[-1].append(call)
            if not given.mixed and not (given is rounds[-1] and given.end == self.units):
                groups.setdefault(given.end, [[]]).append([])
                results.setdefault(given.end, []).append(content(b"user", given.answers))
        edits: list[tuple[int, Edit]] = []
        for place, calls in groups.items():
            edits += self._put(place, calls, results.get(place, []))
        return edits

    def _put(self, place: int, calls: list[list[bytes]], results: list[bytes]) -> list[tuple[int, Edit]]:
        """Edits that put calls, and results between them, before unit `place`."""
        previous: _Place | None = None
        following: _Place | None = None
        for one in self._places:
            if one.before + one.part.units <= place and (
                one.before < place or (one.part.signed and not one.part.thought)
            ):
                previous = one
                continue
            following = one
            break
        if following is not None and following.before < place:
            return [self._within(following, place, calls, results)]
        if previous is not None and following is not None and previous.item == following.item:
            start, end = previous.span[1], following.span[0]
            return [(following.item, Edit(start, end, self._sequence(following.item, calls, results)))]
        return self._between(previous, following, calls, results)

    def _within(self, one: _Place, place: int, calls: list[list[bytes]], results: list[bytes]) -> tuple[int, Edit]:
        """The edit that cuts a text in two."""
        start, end = one.part.text
        at = one.span[0] + start + offset(one.part.raw[start:end], place - one.before)
        said = self._sequence(one.item, calls, results)
        return one.item, Edit(at, at, b'"}%b{"text":"' % said)

    def _sequence(self, at: int, calls: list[list[bytes]], results: list[bytes]) -> bytes:
        """What stands between two parts of one content: separators, calls and results.

        The content is ended and begun again by the client's own bytes around its parts.
        """
        item, spans = self._items[at], self._spans[at]
        begin, end = item[: spans[0][0]], item[spans[-1][1] :]
        said = b",".join((b"", *calls[0]))
        for result, group in zip(results, calls[1:], strict=True):
            said += b"%b,%b,%b" % (end, result, begin) + b",".join(group)
        return said + b"," if calls[-1] else said

    def _between(
        self, previous: _Place | None, following: _Place | None, calls: list[list[bytes]], results: list[bytes]
    ) -> list[tuple[int, Edit]]:
        """Edits at the begin or the end of a content: calls go into it, results stand beside it."""
        edits: list[tuple[int, Edit]] = []
        own: list[bytes] = []  # contents that are put between the two
        for number, group in enumerate(calls):
            if number:
                own.append(results[number - 1])
            if not group:
                continue
            if not number and previous is not None:
                end = previous.span[1]
                edits.append((previous.item, Edit(end, end, b",".join((b"", *group)))))
            elif number == len(calls) - 1 and following is not None:
                begin = following.span[0]
                edits.append((following.item, Edit(begin, begin, b",".join((*group, b"")))))
            else:
                own.append(content(b"model", group))
        if own and previous is not None:
            end = len(self._items[previous.item])
            edits.append((previous.item, Edit(end, end, b",".join((b"", *own)))))
        elif own and following is not None:
            edits.append((following.item, Edit(0, 0, b",".join((*own, b"")))))
        return edits


def _put_first(item: bytes, given: Round) -> list[Edit]:
    """Edits that put a round's results before all else in the next content; none where that cannot hold them."""
    found = None if _by_model(item) else find_parts(item)
    if not found or role(item) == "?":
        return []
    if given.mixed and not any(one.response for one in parts_of(item)):
        return []
    return [Edit(found[0][0], found[0][0], b",".join((*given.answers, b"")))]
