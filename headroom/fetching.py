"""Answering what a model calls of the proxy's tools, and keeping what its client never saw."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from headroom.answering import BROKEN, NOBODY, Answerer, CallerInfo
from headroom.events import Retrieved, Sink, StoreTrouble, failure
from headroom.faults import StoreDown
from headroom.lessons import query_of
from headroom.retrieve import UNREADABLE, BadAsking, asking, missing, pick, share
from headroom.shrink import Shrinker
from headroom.shrunk import Receipt
from headroom.weave import TOOL_NAME, Call, Turn


class House(Protocol):
    """What answering needs of the edge that it is done in."""

    @property
    def shrinker(self) -> Shrinker: ...
    @property
    def sink(self) -> Sink: ...
    @property
    def answerers(self) -> Mapping[str, Answerer]: ...


async def fetch(house: House, calls: Sequence[Call], caller: CallerInfo) -> list[str]:
    """A result for each call, one after the other: the next may build on what one has done. Never raises."""
    return [await _fetch(house, call, caller) for call in calls]


async def keep(house: House, identity_: str, receipt: Receipt, anchor: bytes, turn: Turn) -> None:
    """Keep a turn that answers the request of `receipt`; where that fails it is told, and nothing else happens."""
    try:
        await house.shrinker.keep_turn(receipt, anchor, turn)
    except StoreDown:
        house.sink(StoreTrouble(id=identity_, note=house.shrinker.ledger.store.kind))


async def _fetch(house: House, call: Call, caller: CallerInfo) -> str:
    if call.name == TOOL_NAME:
        return await _original(house, call, caller.id)
    answerer = house.answerers.get(call.name)
    if answerer is None:
        return NOBODY
    (answer,) = await asyncio.gather(answerer(call, caller), return_exceptions=True)
    if not isinstance(answer, BaseException):
        return answer
    # Whose ever the fault is, the client is in the middle of its answer.
    house.sink(failure(caller.id, answer))
    return BROKEN


async def _original(house: House, call: Call, identity_: str) -> str:
    try:
        asked = asking(call.arguments)
        original = await house.shrinker.ledger.original(asked.hash)
        told = Retrieved(id=identity_, hash=asked.hash[:8], found=original is not None)
        if original is None:
            house.sink(told)
            return missing(asked.hash, house.shrinker.ledger.ttl)
        try:
            part = pick(original, asked.lines, asked.match)
            query = query_of(asked.lines, asked.match)
            told = msgspec.structs.replace(told, share=share(asked, part, original), query=query)
        finally:
            house.sink(told)
        return part
    except BadAsking as error:
        return str(error)
    except StoreDown:
        return UNREADABLE
