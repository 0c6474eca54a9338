"""Decisions: recorded once, replayed from memory or store, never half."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from headroom.faults import StoreDown
from headroom.ledger import Decision, Ledger, Pressing, text_key
from headroom.store import MemoryStore, Name

SHORT = Decision(b'"short"', 10, 1, "json")


def pressing(key: bytes, decision: Decision = SHORT, text: bytes = b"t") -> Pressing:
    return Pressing(key, text_key(b"conversation", text), decision)


class Failing(MemoryStore):
    """A store whose writes fail, or hang until told otherwise, and that notes what it is asked."""

    def __init__(self) -> None:
        super().__init__(3600.0)
        self.fails = False
        self.hangs: asyncio.Event | None = None
        self.reads = 0
        self.touches: list[Name] = []
        self.forgotten = asyncio.Event()

    async def get(self, names: Sequence[Name]) -> dict[Name, bytes]:
        self.reads += 1
        if self.fails:
            raise StoreDown("down")
        return await super().get(names)

    async def put(self, entries: Sequence[tuple[Name, bytes]]) -> dict[Name, bytes]:
        if self.fails:
            raise StoreDown("down")
        if self.hangs is not None:
            # The write itself cannot be taken back by whoever stops waiting for it.
            kept = await super().put(entries)
            await self.hangs.wait()
            return kept
        return await super().put(entries)

    async def forget(self, names: Sequence[Name]) -> None:
        await super().forget(names)
        self.forgotten.set()

    async def touch(self, names: Sequence[Name]) -> None:
        self.touches += names
        await super().touch(names)


async def test_a_recorded_decision_is_replayed_by_another_worker_on_the_same_store() -> None:
    store = MemoryStore(3600.0)
    one, two = Ledger(store, 1 << 20, 1.0), Ledger(store, 1 << 20, 1.0)
    await one.record([pressing(b"k")])
    assert two.unknown([b"k"]) == [b"k"]
    await two.recall([b"k"])
    assert two.get(b"k") == one.get(b"k") == SHORT


async def test_of_two_decisions_the_first_counts_for_both() -> None:
    store = MemoryStore(3600.0)
    one, two = Ledger(store, 1 << 20, 1.0), Ledger(store, 1 << 20, 1.0)
    await one.record([pressing(b"k")])
    await two.record([pressing(b"k", Decision(b'"other"', 10, 1, "json"))])
    assert two.get(b"k") == SHORT


async def test_history_without_a_decision_is_asked_for_once() -> None:
    store = Failing()
    ledger = Ledger(store, 1 << 20, 1.0)
    await ledger.recall([b"k"])
    assert ledger.unknown([b"k"]) == [] and ledger.get(b"k") is None
    ledger.forget_absence([b"k"])
    assert ledger.unknown([b"k"]) == [b"k"], "a fresh slot is asked for again: another worker may have decided"


async def test_a_failed_write_leaves_nothing_decided() -> None:
    store = Failing()
    ledger = Ledger(store, 1 << 20, 1.0)
    store.fails = True
    with pytest.raises(StoreDown):
        await ledger.record([pressing(b"k")])
    assert ledger.get(b"k") is None and not ledger.up and ledger.failures == 1
    store.fails = False
    await ledger.recall([b"k"])
    assert ledger.get(b"k") is None and ledger.up


async def test_a_write_acknowledged_too_late_is_taken_back() -> None:
    store = Failing()
    store.hangs = asyncio.Event()
    ledger = Ledger(store, 1 << 20, 0.02)
    with pytest.raises(StoreDown, match="did not answer"):
        await ledger.record([pressing(b"k")])
    async with asyncio.timeout(5):
        await store.forgotten.wait()
    store.hangs.set()
    await ledger.recall([b"k"])
    assert ledger.get(b"k") is None
    assert await ledger.first_pressings([text_key(b"conversation", b"t")]) == {}


async def test_the_first_pressing_of_a_text_is_known_within_its_conversation() -> None:
    ledger = Ledger(MemoryStore(3600.0), 1 << 20, 1.0)
    await ledger.record([pressing(b"first")])
    await ledger.record([pressing(b"second")])
    here, elsewhere = text_key(b"conversation", b"t"), text_key(b"another", b"t")
    assert await ledger.first_pressings([here, elsewhere]) == {here: b"first"}


async def test_memory_is_bounded_and_what_left_it_is_found_in_the_store() -> None:
    ledger = Ledger(MemoryStore(3600.0), 2000, 1.0)
    keys = [b"%d" % n for n in range(50)]
    for key in keys:
        await ledger.record([pressing(key, Decision(b'"%d"' % (10**60), 10, 1, "json"), key)])
    assert 0 < len(keys) - len(ledger.unknown(keys)) < 20
    await ledger.recall([keys[0]])
    assert ledger.get(keys[0]) is not None


async def test_being_replayed_renews_an_entry_at_most_hourly() -> None:
    store = Failing()
    ledger = Ledger(store, 1 << 20, 1.0)
    await ledger.record([pressing(b"k")])
    for now in (0.0, 10.0, 3599.0, 3600.0):
        ledger.seen([b"k"], now)
    await ledger.close()
    assert len(store.touches) == 2
