"""What the store costs: CPU of this process, its store thread included, per operation.

A request with nothing new asks the ledger for the decisions on 200 results, which its memory has. A worker that was
just started asks the store for all of them. A request with something new puts five entries and waits for the commit.
Every answer is checked. Redis is measured where `redis-server` is installed; its own CPU is not counted.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks import rig
from headroom.ledger import Decision, Ledger, Pressing
from headroom.store import SPACE_DECISION, MemoryStore, Name, Store
from headroom.store_redis import RedisStore
from headroom.store_sqlite import SqliteStore
from tests.support.redis_server import RedisServer

TTL = 7 * 86400.0
KNOWN = 200  # results of a long conversation
ENTRIES = 5  # of a request with two new results, and more
TOKEN = b'"' + b"a pressed result, line after line\\n" * 60 + b'"'
WRITERS = 100  # at once, in each of two processes

NOTHING_NEW = 0.3  # ms
GET = {"memory": 0.3, "sqlite": 2.0, "redis": 4.0}  # ms
PUT = {"memory": 0.1, "sqlite": 1.0, "redis": 2.0}  # ms
GROUPED = 0.5  # ms


async def cost(rounds: int, count: int, work: Callable[[int], Awaitable[object]]) -> tuple[float, dict[str, object]]:
    """Median over the rounds of the CPU milliseconds per operation; `work` is given a number never used before."""
    cpu, wall = [], []
    for turn in range(rounds + 1):  # the first one warms up
        begun, ticks = time.perf_counter(), time.process_time()
        for n in range(count):
            await work(turn * count + n)
        cpu.append((time.process_time() - ticks) * 1000 / count)
        wall.append((time.perf_counter() - begun) * 1000 / count)
    return round(statistics.median(cpu[1:]), 4), {"cpu_ms": rig.rounded(cpu[1:]), "wall_ms": rig.rounded(wall[1:])}


async def nothing_new(options: rig.Options) -> rig.Finding:
    """A request whose results were all decided before, by the worker that decided them."""
    ledger = Ledger(MemoryStore(TTL), 64 << 20, 1.0, TTL)
    keys = [os.urandom(32) for _ in range(KNOWN)]
    names: list[Name] = [(SPACE_DECISION, key) for key in keys]
    await ledger.record([Pressing(key, key, Decision(TOKEN, 900, 400, "bench")) for key in keys])

    async def work(n: int) -> None:
        found = await ledger.recall(keys[:-1], keys[-1:])
        assert len(found) == KNOWN
        ledger.renew(ledger.due(names, float(n)))

    value, detail = await cost(options.rounds, options.pick(2000, 200), work)
    await ledger.close()
    return rig.Finding("cpu_ms_per_request_with_nothing_new", value, NOTHING_NEW, detail)


async def get_and_put(store: Store, options: rig.Options) -> list[rig.Finding]:
    names: list[Name] = [(SPACE_DECISION, os.urandom(32)) for _ in range(KNOWN)]
    others: list[tuple[Name, bytes]] = [
        ((SPACE_DECISION, os.urandom(32)), TOKEN) for _ in range(options.pick(20_000, 2000))
    ]
    for at in range(0, len(others), 500):
        await store.put(others[at : at + 500])
    await store.put([(name, TOKEN) for name in names])

    async def get(n: int) -> None:
        assert len(await store.get(names)) == KNOWN

    async def put(n: int) -> None:
        assert len(await store.put([((SPACE_DECISION, os.urandom(32)), TOKEN) for _ in range(ENTRIES)])) == ENTRIES

    count = options.pick(300, 50)
    got, got_detail = await cost(options.rounds, count, get)
    kept, kept_detail = await cost(options.rounds, count, put)
    return [
        rig.Finding(f"{store.kind}_cpu_ms_per_get_of_{KNOWN}", got, GET[store.kind], got_detail),
        rig.Finding(f"{store.kind}_cpu_ms_per_put_of_{ENTRIES}", kept, PUT[store.kind], kept_detail),
    ]


async def crowd(path: Path, rounds: int) -> None:
    """One of two workers: requests at once that each wait for their commit. Prints puts, CPU and wall seconds."""
    store = SqliteStore(path, TTL)
    await store.open()
    sys.stdin.readline()

    async def request() -> None:
        for _ in range(rounds):
            entries = [((SPACE_DECISION, os.urandom(32)), TOKEN) for _ in range(ENTRIES)]
            assert await store.put(entries) == dict(entries)

    begun, ticks = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(WRITERS):
            group.create_task(request())
    print(WRITERS * rounds, time.process_time() - ticks, time.perf_counter() - begun)
    await store.close()


async def group_commit(folder: Path, options: rig.Options) -> rig.Finding:
    costs, rates = [], []
    for turn in range(options.rounds):
        command = (
            sys.executable,
            "-m",
            "benchmarks.bench_store",
            "--crowd",
            folder / f"{turn}.db",
            str(options.pick(20, 4)),
        )
        pipe = asyncio.subprocess.PIPE
        workers = [await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe) for _ in range(2)]
        outputs = await asyncio.gather(*(worker.communicate(b"\n") for worker in workers))
        puts, cpu, wall = zip(*(map(float, output.split()) for output, _ in outputs), strict=True)
        costs.append(sum(cpu) * 1000 / sum(puts))
        rates.append(sum(puts) / max(wall))
    detail: dict[str, object] = {"cpu_ms": rig.rounded(costs), "puts_per_second": rig.rounded(rates, 0)}
    return rig.Finding("sqlite_cpu_ms_per_put_of_two_crowds", round(statistics.median(costs), 4), GROUPED, detail)


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    server = RedisServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


async def measure(options: rig.Options) -> Sequence[rig.Finding]:
    findings = [await nothing_new(options), *await get_and_put(MemoryStore(TTL), options)]
    with tempfile.TemporaryDirectory(prefix="headroom-bench-") as name:
        disk = SqliteStore(Path(name) / "headroom.db", TTL)
        await disk.open()
        findings += await get_and_put(disk, options)
        await disk.close()
        findings.append(await group_commit(Path(name), options))
    if RedisServer.is_installed():
        with redis_server() as server:
            redis = RedisStore(server.url, TTL, 5.0)
            await redis.open()
            findings += await get_and_put(redis, options)
            await redis.close()
    return findings


QUESTION = rig.Question("store", "CPU milliseconds per operation of the ledger and of each store", measure)

if __name__ == "__main__":
    if sys.argv[1:2] == ["--crowd"]:
        asyncio.run(crowd(Path(sys.argv[2]), int(sys.argv[3])))
    else:
        raise SystemExit(rig.main(QUESTION))
