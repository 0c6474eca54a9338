"""What is added to a conversation's requests besides shorter texts: the retrieve tool, and what the client never saw.

Both by the one law: recorded once, added again byte for byte to every later request of the conversation.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from blake3 import blake3

from headroom.ledger import Ledger
from headroom.looms import LOOMS
from headroom.offer import Tools, tools_of, with_tool
from headroom.providers import Dialect
from headroom.weave import TOOL_NAME, Loom, Turn
from headroom.zones.locate import Located
from headroom.zones.splice import Edit

ANCHOR_LIMIT: Final = 50_000  # items whose anchors are remembered; about 150 bytes each
Mode = Literal["start", "sticky", "off"]


class Kept(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A turn as it is kept. `at` is how many items the request had that it answered: it cannot stand before."""

    at: int
    turn: Turn


class Offer(msgspec.Struct, frozen=True, gc=False):
    """The retrieve tool in one request.

    `edits` add it. `ours`: the proxy answers its calls; else the client has one of its own by that name. `certain`:
    it is offered in any case; else only if something in this request is left out, and `key` and `tool` say what is
    recorded then.
    """

    edits: tuple[Edit, ...]
    ours: bool
    certain: bool
    key: bytes = b""
    tool: bytes = b""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Kept).decode


class Offering:
    """Decides on the tool and puts hidden turns back. One per process, for the event loop's thread."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._anchors: OrderedDict[bytes, bytes] = OrderedDict()

    async def offer(self, body: bytes, located: Located, dialect: Dialect, mode: Mode) -> Offer | None:
        """Whether the retrieve tool is offered in this request, and what adds it. Raises StoreDown.

        Never in a request without tools. A conversation is given the tool with its first request or, where that was
        asked for, with the first text that is cut; once given, always.
        """
        loom = LOOMS.get(dialect.loom)
        if mode == "off" or loom is None or dialect.shape is None:
            return None
        tools = tools_of(body, dialect.shape.under)
        if tools is None:
            return None
        if dialect.most_tools and len(tools.names) >= dialect.most_tools:
            return None
        if any(name == TOOL_NAME or name.endswith("__" + TOOL_NAME) for name in tools.names):
            return Offer((), ours=False, certain=True)
        key = blake3(b"tool" + located.conversation).digest()
        known = await self._ledger.sticky(key)
        if known is None and mode == "start" and located.fresh_from == 0 and not tools.goes_on:
            known = await self._ledger.stick(key, loom.tool())
        if known:
            return Offer((with_tool(tools, known),), ours=True, certain=True)
        if mode == "sticky" and not tools.goes_on:
            return self._possible(tools, key, loom)
        return None

    def _possible(self, tools: Tools, key: bytes, loom: Loom) -> Offer:
        tool = loom.tool()
        return Offer((with_tool(tools, tool),), ours=True, certain=False, key=key, tool=tool)

    async def certain(self, offer: Offer) -> Offer:
        """Record an offer that was only possible. Raises StoreDown."""
        if offer.certain:
            return offer
        kept = await self._ledger.stick(offer.key, offer.tool)
        edits = tuple(Edit(edit.start, edit.end, b"," + kept) for edit in offer.edits)
        return msgspec.structs.replace(offer, edits=edits, certain=True, tool=kept)

    def places(self, items: Sequence[tuple[int, bytes]], located: Located, dialect: Dialect) -> list[bytes]:
        """For each of `items` (see `Locator.items`), the key of what is hidden beside it; empty for none.

        Of several that say the same, each has a key of its own: a model may say the same words on every turn.
        """
        loom = LOOMS.get(dialect.loom)
        if loom is None or not items:
            return []
        raws = [raw for _, raw in items]
        anchors = loom.anchors(raws) if loom.together else [self._anchor(raw, loom) for raw in raws]
        seen: Counter[bytes] = Counter()
        keys: list[bytes] = []
        slots = [*located.old, *located.fresh]
        call, at = b"", 0
        for index, anchor in enumerate(anchors):
            while at < len(slots) and slots[at].item < index:
                call = slots[at].call_id.encode() or call
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
        """Keep a turn that the client sees in part, which follows on `places` and on the result of `call`: two runs
        may open alike and end alike, but no two have a call's id in common. Raises StoreDown."""
        before = frozenset(places)
        anchor = call + anchor
        number = 0
        while (key := _key(conversation, anchor, number)) in before:
            number += 1
        await self._ledger.hide(key, _encode(Kept(at, turn)))

    def _anchor(self, raw: bytes, loom: Loom) -> bytes:
        digest = blake3(raw).digest()
        anchor = self._anchors.get(digest)
        if anchor is None:
            anchor = self._anchors[digest] = loom.anchors([raw])[0]
            if len(self._anchors) > ANCHOR_LIMIT:
                self._anchors.popitem(last=False)
        return anchor


def _key(conversation: bytes, anchor: bytes, number: int) -> bytes:
    """The key of a conversation's turn that is known by `anchor`, the `number`th one from 0."""
    return blake3(conversation + anchor + (b"%d" % number if number else b"")).digest()


def _read(value: bytes) -> Kept | None:
    try:
        return _decode(value)
    except msgspec.MsgspecError:
        return None
