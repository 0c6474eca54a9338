"""One contract for every store, and what the one in memory adds to it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from redis import Redis

from headroom.store import (
    KEEP_SECONDS,
    MEMORY_LIMIT,
    SPACE_DECISION,
    SPACE_HIDDEN,
    SPACE_ORIGINAL,
    SPACE_STICKY,
    SPACE_TEXT,
    MemoryStore,
    Name,
    Store,
    StoreState,
)
from headroom.store_redis import RedisStore
from headroom.store_sqlite import SqliteStore
from tests.support.redis_server import RedisServer

A, B, C = (SPACE_DECISION, b"a"), (SPACE_DECISION, b"b"), (SPACE_DECISION, b"c")
MIB = 1 << 20
Open = Callable[[], Awaitable[Store]]


@pytest.fixture(params=["sqlite", "redis"])
async def shared(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Open]:
    """Opens the same store once more, as another worker does."""
    opened: list[SqliteStore | RedisStore] = []
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        with Redis.from_url(server.url) as client:
            client.flushall()

    async def make() -> Store:
        if request.param == "redis":
            opened.append(RedisStore(server.url, 3600.0, 5.0))
        else:
            opened.append(SqliteStore(tmp_path / "x" / "headroom.db", 3600.0))
        await opened[-1].open()
        return opened[-1]

    yield make
    for store in opened:
        await store.close()


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield MemoryStore(3600.0)
        return
    made: SqliteStore | RedisStore
    if request.param == "sqlite":
        made = SqliteStore(tmp_path / "x" / "headroom.db", 3600.0)
    else:
        server: RedisServer = request.getfixturevalue("redis_server")
        with Redis.from_url(server.url) as client:
            client.flushall()
        made = RedisStore(server.url, 3600.0, 5.0)
    await made.open()
    yield made
    await made.close()


async def test_what_was_put_is_found_and_nothing_else(store: Store) -> None:
    assert await store.put([(A, b"1"), (B, b"\x00\xff")]) == {A: b"1", B: b"\x00\xff"}
    assert await store.get([A, B, C]) == {A: b"1", B: b"\x00\xff"}


async def test_nothing_and_empty_entries_are_no_special_case(store: Store) -> None:
    assert await store.put([]) == {} and await store.get([]) == {}
    await store.touch([])
    await store.forget([])
    assert await store.put([(A, b"")]) == {A: b""}
    assert await store.get([A]) == {A: b""}
    assert await store.put([(A, b"1")]) == {A: b""}


async def test_the_first_write_wins_and_the_second_writer_is_told(store: Store) -> None:
    await store.put([(A, b"first")])
    assert await store.put([(A, b"second"), (B, b"new")]) == {A: b"first", B: b"new"}
    assert await store.get([A]) == {A: b"first"}


async def test_the_first_write_wins_within_one_call_too(store: Store) -> None:
    assert await store.put([(A, b"first"), (A, b"second")]) == {A: b"first"}
    assert await store.get([A]) == {A: b"first"}


async def test_spaces_are_apart(store: Store) -> None:
    spaces = (SPACE_DECISION, SPACE_TEXT, SPACE_ORIGINAL, SPACE_STICKY, SPACE_HIDDEN)
    await store.put([((space, b"a"), b"%d" % space) for space in spaces[1:]])
    assert await store.get([A]) == {}
    assert await store.get([(space, b"a") for space in spaces]) == {
        (space, b"a"): b"%d" % space for space in spaces[1:]
    }


async def test_a_large_text_is_kept_whole(store: Store) -> None:
    text = random.Random(1).randbytes(3 * MIB)
    name = (SPACE_ORIGINAL, b"h" * 24)
    await store.put([(name, text), (A, b"1")])
    await store.touch([name])
    assert await store.put([(name, b"other")]) == {name: text}
    assert await store.get([name]) == {name: text}


async def test_what_is_forgotten_can_be_written_anew(store: Store) -> None:
    await store.put([(A, b"1")])
    await store.forget([A, B])
    assert await store.get([A]) == {}
    assert await store.put([(A, b"2")]) == {A: b"2"}


async def test_seeing_an_unknown_entry_is_no_fault_and_makes_none(store: Store) -> None:
    await store.touch([A])
    assert await store.get([A]) == {}
    assert await store.put([(A, b"1")]) == {A: b"1"}


async def test_many_names_are_found_in_one_call(store: Store) -> None:
    names = [(SPACE_DECISION, b"%d" % n) for n in range(2500)]
    await store.put([(name, name[1]) for name in names])
    assert await store.get(names) == {name: name[1] for name in names}
    for count in (1, 2, 3, 511, 512, 513, 1001):
        assert len(await store.get(names[:count])) == count


async def test_a_cancelled_put_leaves_nothing_and_a_finished_one_everything(store: Store) -> None:
    rng = random.Random(5)
    left: list[Name] = []
    kept: list[Name] = []
    for n in range(40):
        name = (SPACE_DECISION, b"%d" % n)
        task = asyncio.get_running_loop().create_task(store.put([(name, b"v"), ((SPACE_TEXT, name[1]), b"v")]))
        await asyncio.sleep(rng.choice([0, 0, 0.0005, 0.002, 0.02]))
        task.cancel()
        await asyncio.wait([task])
        (left if task.cancelled() else kept).append(name)
    patience = asyncio.get_running_loop().time() + 5.0
    while await store.get(left) and asyncio.get_running_loop().time() < patience:
        await asyncio.sleep(0.01)
    assert await store.get(left + [(SPACE_TEXT, key) for _, key in left]) == {}
    assert len(await store.get(kept)) == len(kept)


async def test_a_put_cancelled_just_before_the_store_is_closed_leaves_nothing(shared: Open) -> None:
    rng = random.Random(6)
    left: list[Name] = []
    for n in range(30):
        store = await shared()
        name = (SPACE_DECISION, b"%d" % n)
        task = asyncio.get_running_loop().create_task(store.put([(name, b"v")]))
        await asyncio.sleep(rng.choice([0, 0.0002, 0.0005, 0.001]))
        task.cancel()
        await asyncio.wait([task])
        await store.close()
        if task.cancelled():
            left.append(name)
    assert left
    assert await (await shared()).get(left) == {}


async def test_workers_that_write_one_key_at_once_agree(shared: Open) -> None:
    one, two = await shared(), await shared()
    for n in range(20):
        name = (SPACE_DECISION, b"%d" % n)
        kept = await asyncio.gather(
            *(s.put([(name, v)]) for s, v in ((one, b"1"), (two, b"2"), (one, b"3"), (two, b"4")))
        )
        assert len({result[name] for result in kept}) == 1
        assert await one.get([name]) == await two.get([name]) == kept[0]


async def test_what_one_worker_keeps_another_and_a_later_one_find(shared: Open) -> None:
    one, two = await shared(), await shared()
    await one.put([(A, b"1")])
    assert await two.get([A]) == {A: b"1"}
    await one.close()
    assert await (await shared()).get([A]) == {A: b"1"}


# With a clock of the test's own.


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def state(store: Store) -> StoreState:
    return store.state


@pytest.fixture
def clock() -> Clock:
    return Clock()


Timed = Callable[[float, int], Awaitable[MemoryStore | SqliteStore]]


@pytest.fixture(params=["memory", "sqlite"])
async def timed(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Timed]:
    """Makes a store with a time to live and a limit."""
    opened: list[MemoryStore | SqliteStore] = []

    async def make(ttl: float, limit: int) -> MemoryStore | SqliteStore:
        if request.param == "memory":
            opened.append(MemoryStore(ttl, limit, clock))
        else:
            disk = SqliteStore(tmp_path / "headroom.db", ttl, limit, clock)
            await disk.open()
            opened.append(disk)
        return opened[-1]

    yield make
    for store in opened:
        await store.close()


async def test_an_entry_is_there_at_its_time_to_live_and_gone_a_second_later(timed: Timed, clock: Clock) -> None:
    store = await timed(60.0, MIB)
    await store.put([(A, b"1")])
    clock.now += 60
    assert await store.get([A]) == {A: b"1"}
    clock.now += 1
    assert await store.get([A]) == {}


async def test_being_seen_or_put_again_renews_an_entry(timed: Timed, clock: Clock) -> None:
    store = await timed(60.0, MIB)
    await store.put([(A, b"1"), (B, b"2"), (C, b"3")])
    clock.now += 60
    await store.touch([A])
    await store.put([(B, b"other")])
    clock.now += 60
    assert await store.get([A, B, C]) == {A: b"1", B: b"2"}


async def test_what_has_expired_stays_gone_and_can_be_written_anew(timed: Timed, clock: Clock) -> None:
    store = await timed(60.0, MIB)
    await store.put([(A, b"1")])
    clock.now += 61
    await store.touch([A])
    assert await store.get([A]) == {}
    assert await store.put([(A, b"2")]) == {A: b"2"}
    assert await store.get([A]) == {A: b"2"}
    assert store.state.entries == 1


async def test_what_has_expired_is_removed(timed: Timed, clock: Clock) -> None:
    store = await timed(60.0, MIB)
    await store.put([((SPACE_DECISION, b"%d" % n), b"v") for n in range(100)])
    clock.now += 2 * 3600
    await store.put([(A, b"1")])
    await store.get([A])  # behind the removal
    assert store.state.entries == 1


async def test_over_the_limit_the_oldest_leave_first_and_none_seen_within_the_hour(timed: Timed, clock: Clock) -> None:
    store = await timed(7 * 86400.0, MIB)
    names = [(SPACE_ORIGINAL, b"%032d" % n) for n in range(80)]
    for name in names:
        clock.now += 1
        await store.put([(name, b"x" * 20_000)])
    assert len(await store.get(names)) == 80, "all of the last hour, whatever the limit"
    assert state(store).over_limit and state(store).entries == 80

    clock.now += KEEP_SECONDS - 79  # the first was seen exactly an hour ago
    await store.put([(A, b"1")])
    assert len(await store.get(names)) == 80
    await store.touch(names[:1])
    clock.now += 10  # the next nine were seen longer ago than that
    await store.put([(B, b"1")])
    assert await store.get(names[1:10]) == {}
    assert len(await store.get([names[0], *names[10:]])) == 71
    assert state(store).over_limit

    clock.now += 100
    await store.put([(C, b"1")])
    found = await store.get(names)
    there = [name for name in names if name in found]
    assert there == [names[0], *names[80 - len(there) + 1 :]], "seen longest ago left first"
    assert 40 <= len(there) <= 52
    assert not state(store).over_limit and state(store).entries == len(there) + 3


async def test_a_store_in_memory_has_a_bound_whatever_is_set() -> None:
    assert MemoryStore(60.0, 1 << 40).state.limit == MEMORY_LIMIT


async def test_the_size_in_memory_is_that_of_what_it_holds(clock: Clock) -> None:
    store = MemoryStore(60.0, clock=clock)
    rng = random.Random(2)
    for _ in range(500):
        name = (SPACE_DECISION, b"%d" % rng.randrange(20))
        if rng.random() < 0.3:
            await store.forget([name])
        else:
            await store.put([(name, b"x" * rng.randrange(99))])
        clock.now += rng.choice([0, 1, 30])
    size = store.state.size
    assert size is not None and size > 0
    await store.forget([(SPACE_DECISION, b"%d" % n) for n in range(20)])
    assert (store.state.size, store.state.entries) == (0, 0)
