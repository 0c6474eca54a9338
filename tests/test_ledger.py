"""Decisions: recorded once, replayed from memory or store, never half."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from headroom.faults import StoreDown
from headroom.ledger import WHOLE, Decision, Ledger, Pressing, text_key
from headroom.store import SPACE_DECISION, MemoryStore, Name

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

    async def touch(self, names: Sequence[Name]) -> None:
        self.touches += names
        await super().touch(names)


async def test_a_recorded_decision_is_replayed_by_another_worker_on_the_same_store() -> None:
    store = MemoryStore(3600.0)
    one, two = Ledger(store, 1 << 20, 1.0), Ledger(store, 1 << 20, 1.0)
    assert await one.record([pressing(b"k")]) == {b"k": SHORT}
    assert two.known([b"k"]) == {}
    assert await two.recall([b"k"], []) == two.known([b"k"]) == {b"k": SHORT}


async def test_of_two_decisions_the_first_counts_for_both() -> None:
    store = MemoryStore(3600.0)
    one, two = Ledger(store, 1 << 20, 1.0), Ledger(store, 1 << 20, 1.0)
    await one.record([pressing(b"k")])
    assert await two.record([pressing(b"k", Decision(b'"other"', 10, 1, "json"))]) == {b"k": SHORT}


async def test_history_without_a_decision_is_asked_for_once_and_a_fresh_slot_every_time() -> None:
    store = Failing()
    ledger = Ledger(store, 1 << 20, 1.0)
    for _ in range(3):
        assert await ledger.recall([b"old"], []) == {}
    assert store.reads == 1
    for _ in range(3):
        assert await ledger.recall([], [b"fresh"]) == {}
    assert store.reads == 4
    await Ledger(store, 1 << 20, 1.0).record([pressing(b"fresh")])
    assert await ledger.recall([], [b"fresh"]) == {b"fresh": SHORT}


async def test_a_failed_write_leaves_nothing_decided() -> None:
    store = Failing()
    ledger = Ledger(store, 1 << 20, 1.0)
    store.fails = True
    with pytest.raises(StoreDown):
        await ledger.record([pressing(b"k")])
    assert ledger.known([b"k"]) == {} and not ledger.up and ledger.failures == 1
    store.fails = False
    assert await ledger.recall([b"k"], []) == {} and ledger.up


async def test_a_store_that_hangs_is_not_waited_for() -> None:
    store = Failing()
    store.hangs = asyncio.Event()
    ledger = Ledger(store, 1 << 20, 0.02)
    with pytest.raises(StoreDown, match="did not answer"):
        await ledger.record([pressing(b"k")])
    assert ledger.known([b"k"]) == {}


async def test_what_went_whole_because_of_a_fault_stays_whole() -> None:
    ledger = Ledger(MemoryStore(3600.0), 1 << 20, 1.0)
    ledger.went_whole([b"k"])
    assert await ledger.recall([], [b"k"]) == {b"k": WHOLE}


async def test_a_decision_that_cannot_be_read_counts_as_none() -> None:
    store = MemoryStore(3600.0)
    await store.put([((SPACE_DECISION, b"k"), b"\xc1 not one")])
    assert await Ledger(store, 1 << 20, 1.0).recall([b"k"], []) == {}


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
    assert 0 < len(ledger.known(keys)) < 20
    assert len(await ledger.recall(keys, [])) == 50, "all of a request's, however little memory holds"


async def test_the_bound_is_kept_over_many_changes() -> None:
    ledger = Ledger(MemoryStore(3600.0), 2000, 1.0)
    for n in range(200):
        key = b"%d" % (n % 3)
        await ledger.recall([key], [])
        await ledger.record([pressing(key)])
    assert ledger._size == sum(120 + len(d.token) for d in ledger._cache.values() if d is not None)


async def test_being_replayed_renews_an_entry_at_most_half_hourly() -> None:
    store = Failing()
    ledger = Ledger(store, 1 << 20, 1.0)
    await ledger.record([pressing(b"k")])
    for now in (0.0, 10.0, 1799.0, 1800.0):
        ledger.renew(ledger.due([(SPACE_DECISION, b"k")], now))
    await ledger.close()
    assert len(store.touches) == 2


async def test_what_was_added_to_a_conversation_is_known_without_the_store_from_then_on() -> None:
    store = Failing()
    ledger = Ledger(store, 1 << 20, 1.0)
    assert await ledger.stick(b"k", b"one") == b"one"
    assert await ledger.stick_all([(b"l", b"two"), (b"k", b"three")]) == [b"two", b"one"]
    store.fails = True
    assert await ledger.stickies([b"k"]) == [b"one"]
    assert await ledger.stickies([b"l", b"k"]) == [b"two", b"one"]
    assert store.reads == 0


async def test_what_goes_on_is_remembered_before_what_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("STICKY_LIMIT", "HIDDEN_LIMIT"):
        monkeypatch.setattr(f"headroom.ledger.{limit}", 3)
    store = Failing()
    ledger = Ledger(store, 1 << 20, 1.0)
    await ledger.stick(b"k", b"one")
    await ledger.hide(b"k", b"two")
    for other in (b"a", b"b", b"c"):
        assert await ledger.stickies([b"k"]) == [b"one"]
        assert await ledger.hidden([b"k"]) == {b"k": b"two"}
        await ledger.stick(other, b"")
        await ledger.hide(other, b"")
    store.fails = True
    assert await ledger.stickies([b"k"]) == [b"one"]
    assert await ledger.hidden([b"k"]) == {b"k": b"two"}


async def test_what_is_asked_for_at_once_does_not_push_itself_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("STICKY_LIMIT", "HIDDEN_LIMIT"):
        monkeypatch.setattr(f"headroom.ledger.{limit}", 4)
    store = MemoryStore(3600.0)
    ledger, other = Ledger(store, 1 << 20, 1.0), Ledger(store, 1 << 20, 1.0)
    for key in (b"a", b"b"):
        await other.stick(key, key)
        await other.hide(key, key)
    for key in (b"a", b"0", b"1", b"2"):
        await ledger.stickies([key]) if key == b"a" else await ledger.stick(key, key)
        await ledger.hidden([key])
    assert await ledger.stickies([b"a", b"b"]) == [b"a", b"b"]
    assert await ledger.hidden([b"a", b"x", b"b"]) == {b"a": b"a", b"b": b"b"}
