"""What is added to a conversation's requests besides shorter texts: the proxy's tools, and what the client never saw.

Both by the one law: recorded once, added again byte for byte to every later request of the conversation.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

import msgspec
from blake3 import blake3

from headroom.ledger import Ledger
from headroom.looms import LOOMS
from headroom.offer import Tools, tools_of, with_tools
from headroom.providers import Dialect
from headroom.weave import RETRIEVE, TOOL_NAME, Loom, Tool, Turn
from headroom.zones.locate import Located, Slot
from headroom.zones.preamble import Preamble
from headroom.zones.splice import Edit

ANCHOR_LIMIT: Final = 50_000  # items whose anchors are remembered; about 150 bytes each
NEVER_LIMIT: Final = 20_000  # keys that are known to have nothing under them; about 100 bytes each
MOST_TOOLS: Final = 1_000  # tools of a request where the provider names no number
Mode = Literal["start", "sticky", "off"]


class Kept(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A turn as it is kept. `at` is how many items the request had that it answered: it cannot stand before."""

    at: int
    turn: Turn


class Wish(msgspec.Struct, frozen=True, gc=False):
    """Which tools a conversation may be given: `retrieve` says when it gets the retrieve tool; `others` it gets with
    its first request, or not at all."""

    retrieve: Mode = "off"
    others: tuple[Tool, ...] = ()

    @property
    def offers(self) -> bool:
        """Whether there is any tool among them."""
        return self.retrieve != "off" or bool(self.others)


class _Others(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What a conversation was given with its first request besides the retrieve tool: names and definitions.

    `follow`: it was given the retrieve tool before them; else it may have been given it later, behind them.
    """

    follow: bool
    tools: tuple[tuple[str, bytes], ...]


class Given(msgspec.Struct, frozen=True, gc=False):
    """What was given to a conversation that has no name yet, and is recorded once it has one."""

    retrieve: bytes | None = None
    others: _Others | None = None


class Earlier(msgspec.Struct, frozen=True, gc=False):
    """What is known of the requests on a socket that a request may go on from; what they hold it does not.

    `named`: whether the conversation has its name by now, without which nothing can be recorded or found.
    """

    named: bool
    given: Given | None = None


class Offer(msgspec.Struct, frozen=True, gc=False):
    """The proxy's tools in one request.

    - `given` are their definitions, in order, which go to the end of `tools`; `ours` are their names: the proxy answers
      their calls.
    - `redeems`: the model can fetch what was left out, by our tool or by one of the client's of that name.
    - `cuts`: more may be left out. Where that needs the retrieve tool first, `possible` is its definition; it is
      recorded under `key`, and given, when something is left out.
    - `unrecorded`: tools that are given and have yet to be recorded, because the conversation has no certain name so
      far.
    """

    tools: Tools
    given: tuple[bytes, ...]
    ours: frozenset[str]
    redeems: bool
    cuts: bool
    possible: bytes = b""
    key: bytes = b""
    unrecorded: Given | None = None

    @property
    def edits(self) -> tuple[Edit, ...]:
        """What adds the tools."""
        return (with_tools(self.tools, self.given),) if self.given else ()


class _Keys(NamedTuple):
    """Under what it is recorded that a conversation was given tools."""

    retrieve: bytes
    others: bytes

    @staticmethod
    def of(conversation: bytes) -> _Keys:
        return _Keys(blake3(b"tool" + conversation).digest(), blake3(b"tools" + conversation).digest())


_NOTHING: Final = Given()
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Kept).decode
_decode_others = msgspec.msgpack.Decoder(_Others).decode


class Offering:
    """Decides on the tools and puts hidden turns back. One per process, for the event loop's thread."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._anchors: OrderedDict[tuple[str, bytes], bytes] = OrderedDict()
        self._never: OrderedDict[bytes, None] = OrderedDict()

    async def offer(
        self,
        body: bytes,
        preamble: Preamble,
        located: Located,
        dialect: Dialect,
        wish: Wish,
        earlier: Earlier | None = None,
    ) -> Offer | None:
        """Which tools are offered in this request, if any. Raises StoreDown; then none may be.

        Never in a request without tools, nor where the client has one by that name. A conversation is given tools with
        its first request (the retrieve tool, where that was asked for, with the first text that is cut); once given,
        always: the same bytes in the same order, whatever is wished for later. The provider takes so many tools: all
        of ours are offered, or else the retrieve tool alone, or else none. `earlier` is given on a socket: what begins
        there without an opening is given tools at once, and they are recorded with the request that has it.
        """
        loom = LOOMS.get(dialect.loom)
        keys = _Keys.of(located.conversation)
        named = earlier is None or earlier.named
        if loom is None or (named and keys.retrieve in self._never and keys.others in self._never):
            return None
        tools = tools_of(body, preamble, dialect.shape.functions) if dialect.shape is not None else None
        if tools is None:
            return None
        room = dialect.most_tools - len(tools.names) if dialect.most_tools else MOST_TOOLS
        given = earlier.given if earlier is not None else None
        begins = located.fresh_from == 0 and (not preamble.goes_on or given is not None)
        known = given or _NOTHING
        if named:
            known = Given(*await self._known(keys, wish, halfway=not begins))
        if begins:
            new = _from(given, known) if given is not None else _wished(wish, loom, tools, room, known)
            known = await self._record(keys, new, known) if named else _both(new, known)
        retrieve, others = known.retrieve, known.others
        own = _has(tools, TOOL_NAME)
        mine = retrieve is not None and not own and room > 0
        more = [(name, tool) for name, tool in others.tools if not _has(tools, name)] if others is not None else []
        if len(more) + mine > room:
            more = []
        put = [tool for _, tool in more]
        if mine and retrieve is not None:
            put.insert(0 if others is not None and others.follow else len(put), retrieve)
        sure = named and (earlier is not None or not preamble.goes_on)
        possible = retrieve is None and wish.retrieve == "sticky" and not own and sure and len(more) < room
        redeems = mine or (own and wish.retrieve != "off")
        if not (put or possible or redeems):
            return None
        return Offer(
            tools,
            tuple(put),
            frozenset([name for name, _ in more] + [TOOL_NAME] * mine),
            redeems=redeems,
            cuts=wish.retrieve != "off" and (redeems or possible),
            possible=loom.tool(RETRIEVE) if possible else b"",
            key=keys.retrieve,
            unrecorded=None if named else known,
        )

    async def _known(self, keys: _Keys, wish: Wish, *, halfway: bool) -> tuple[bytes | None, _Others | None]:
        """What a conversation was given before: the retrieve tool, and the others. Raises StoreDown.

        What it cannot be given any more is not asked for again: that would be a look at the disk for every request.
        """
        asked = [key for key in keys if key not in self._never]
        found = dict(zip(asked, await self._ledger.stickies(asked), strict=True)) if asked else {}
        for key, wanted in zip(keys, (wish.retrieve != "off", bool(wish.others)), strict=True):
            if halfway and not wanted and found.get(key) is None and self._ledger.up:
                self._never[key] = None
                if len(self._never) > NEVER_LIMIT:
                    self._never.popitem(last=False)
        return found.get(keys.retrieve), _read_others(found.get(keys.others))

    async def _record(self, keys: _Keys, new: Given, known: Given) -> Given:
        """Record all at once what a conversation is given with its first request. Raises StoreDown."""
        entries: dict[bytes, bytes] = {}
        if new.retrieve is not None:
            entries[keys.retrieve] = new.retrieve
        if new.others is not None:
            entries[keys.others] = _encode(new.others)
        if not entries:
            return known
        kept = dict(zip(entries, await self._ledger.stick_all(list(entries.items())), strict=True))
        others = _read_others(kept[keys.others]) if keys.others in kept else known.others
        return Given(kept.get(keys.retrieve, known.retrieve), others)

    async def certain(self, offer: Offer) -> Offer:
        """Record the tool that was only possible. Raises StoreDown."""
        if not offer.possible:
            return offer
        kept = await self._ledger.stick(offer.key, offer.possible)
        return msgspec.structs.replace(
            offer, given=(*offer.given, kept), ours=offer.ours | {TOOL_NAME}, redeems=True, possible=b""
        )

    def places(self, items: Sequence[tuple[int, bytes]], located: Located, dialect: Dialect) -> list[bytes]:
        """For each of `items` (see `Locator.items`), the key of what is hidden beside it; empty for none.

        Of several that say the same, each has a key of its own: a model may say the same words on every turn.
        """
        loom = LOOMS.get(dialect.loom)
        if loom is None or not items:
            return []
        raws = [raw for _, raw in items]
        anchors = loom.anchors(raws) if loom.together else [self._anchor(raw, dialect.loom) for raw in raws]
        seen: Counter[bytes] = Counter()
        keys: list[bytes] = []
        slots = [*located.old, *located.fresh]
        call, at = b"", 0
        for index, anchor in enumerate(anchors):
            while at < len(slots) and slots[at].item < index:
                call = result_name(slots[at]) or call
                at += 1
            named = call + anchor
            keys.append(_key(located.conversation, named, seen[named]) if anchor else b"")
            seen[named] += 1
        return keys

    async def hidden(self, items: Sequence[tuple[int, bytes]], dialect: Dialect, keys: Sequence[bytes]) -> list[Edit]:
        """Edits that put back what the client never saw of this conversation; `keys` are the `places` of `items`.

        Raises StoreDown.
        """
        found = await self._ledger.hidden([key for key in keys if key])
        if not found:
            return []
        loom = LOOMS[dialect.loom]
        raws = [raw for _, raw in items]
        edits: list[Edit] = []
        for index, key in enumerate(keys):
            if key not in found:
                continue
            kept = _read(found[key])
            if kept is None or index < kept.at:
                continue
            for item, edit in loom.reinsert(raws, index, kept.turn):
                start = items[item][0]
                edits.append(Edit(start + edit.start, start + edit.end, edit.token))
        return edits

    async def keep(
        self, conversation: bytes, places: Sequence[bytes], at: int, anchor: bytes, turn: Turn, call: bytes
    ) -> None:
        """Keep a turn that the client sees in part, which follows on `places` and on the result `call`: two runs may
        open alike and end alike, but no two have a result in common, or else it says the same. Raises StoreDown."""
        (key,) = further_places(conversation, places, call, [anchor])
        await self._ledger.hide(key, _encode(Kept(at, turn)))

    def _anchor(self, raw: bytes, loom: str) -> bytes:
        item = loom, blake3(raw).digest()  # two dialects may say the same in the same bytes
        anchor = self._anchors.get(item)
        if anchor is None:
            anchor = self._anchors[item] = LOOMS[loom].anchors([raw])[0]
            if len(self._anchors) > ANCHOR_LIMIT:
                self._anchors.popitem(last=False)
        return anchor


def result_name(slot: Slot) -> bytes:
    """What a result is known by: the id of its call, or where that has none its text. Empty for what a person typed."""
    return slot.call_id.encode() or (b"" if slot.typed else slot.key)


def further_places(conversation: bytes, before: Iterable[bytes], call: bytes, anchors: Iterable[bytes]) -> list[bytes]:
    """The keys of what follows on the places `before` and on the result `call`, and is known by `anchors`."""
    taken = set(before)
    keys: list[bytes] = []
    for anchor in anchors:
        number = 0
        while (key := _key(conversation, call + anchor, number)) in taken:
            number += 1
        taken.add(key)
        keys.append(key)
    return keys


def _wished(wish: Wish, loom: Loom, tools: Tools, room: int, known: Given) -> Given:
    """What a conversation is given with its first request of what is wished for and it has not."""
    retrieve: bytes | None = None
    if known.retrieve is None and wish.retrieve == "start" and room > 0 and not _has(tools, TOOL_NAME):
        retrieve = loom.tool(RETRIEVE)
    wanted = [tool for tool in wish.others if not _has(tools, tool.name)]
    follow = retrieve is not None or known.retrieve is not None
    if known.others is not None or not wanted or len(wanted) + follow > room:
        return Given(retrieve)
    return Given(retrieve, _Others(follow, tuple((tool.name, loom.tool(tool)) for tool in wanted)))


def _from(given: Given, known: Given) -> Given:
    """What of `given` is not known."""
    return Given(
        given.retrieve if known.retrieve is None else None,
        given.others if known.others is None else None,
    )


def _both(new: Given, known: Given) -> Given:
    return Given(new.retrieve or known.retrieve, new.others or known.others)


def _key(conversation: bytes, anchor: bytes, number: int) -> bytes:
    """The key of a conversation's turn that is known by `anchor`, the `number`th one from 0."""
    return blake3(conversation + anchor + (b"%d" % number if number else b"")).digest()


def _has(tools: Tools, name: str) -> bool:
    """Whether the client has a tool by that name, perhaps of a server that it names in front."""
    return name in tools.names or any(one.endswith("__" + name) for one in tools.names)


def _read_others(value: bytes | None) -> _Others | None:
    try:
        return None if value is None else _decode_others(value)
    except msgspec.MsgspecError:
        return _Others(False, ())  # never to be given others instead


def _read(value: bytes) -> Kept | None:
    try:
        return _decode(value)
    except msgspec.MsgspecError:
        return None
