"""What only the store on a Redis server can show: servers that die, hang, forget or are none."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from headroom.config import Config, ConfigError
from headroom.edge import Edge, check_files
from headroom.faults import StoreDown
from headroom.store import SPACE_DECISION, SPACE_TEXT
from headroom.store_redis import RedisStore
from tests.support.redis_server import RedisServer

A, B = (SPACE_DECISION, b"a"), (SPACE_TEXT, b"b")

Open = Callable[..., RedisStore]


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Redis]:
    """The server's content, emptied."""
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
        yield client


@pytest.fixture
async def made(redis_server: RedisServer) -> AsyncIterator[Open]:
    opened: list[RedisStore] = []

    def make(url: str = redis_server.url, ttl: float = 3600.0, timeout: float = 2.0) -> RedisStore:
        opened.append(RedisStore(url, ttl, timeout))
        return opened[-1]

    yield make
    for store in opened:
        await store.close()


async def until(holds: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether it comes to hold in time."""
    patience = time.monotonic() + seconds
    while not holds() and time.monotonic() < patience:
        await asyncio.sleep(0.01)
    return holds()


async def test_entries_are_under_readable_names_and_expire(client: Redis, made: Open) -> None:
    store = made(ttl=1000.0)
    await store.put([(A, b"1"), (B, b"2")])
    assert sorted(client.keys()) == [b"headroom:1:61", b"headroom:2:62"]
    assert 990_000 < client.pttl("headroom:1:61") <= 1_000_000


async def test_being_seen_or_put_again_renews_an_entry(client: Redis, made: Open) -> None:
    store = made(ttl=1000.0)
    await store.put([(A, b"1"), (B, b"2")])
    for key in ("headroom:1:61", "headroom:2:62"):
        client.pexpire(key, 5000)
    await store.touch([A])
    await store.put([(B, b"other")])
    assert min(client.pttl("headroom:1:61"), client.pttl("headroom:2:62")) > 990_000
    assert await store.get([A, B]) == {A: b"1", B: b"2"}


async def test_what_has_expired_is_gone_and_can_be_written_anew(client: Redis, made: Open) -> None:
    store = made(ttl=0.05)
    await store.put([(A, b"1")])
    await asyncio.sleep(0.08)
    await store.touch([A])
    assert await store.get([A]) == {}
    assert await store.put([(A, b"2")]) == {A: b"2"}


async def test_a_server_that_was_killed_is_a_fault_at_once_and_works_again_when_it_is_back(
    redis_server: RedisServer, client: Redis, made: Open
) -> None:
    store = made()
    await store.put([(A, b"1")])
    redis_server.kill()
    try:
        begun = time.monotonic()
        for call in (store.get([A]), store.put([(B, b"2")]), store.touch([A]), store.forget([B])):
            with pytest.raises(StoreDown, match="redis at "):
                await call
        assert time.monotonic() - begun < 1.0
    finally:
        redis_server.start()
    assert await store.get([A, B]) == {A: b"1"}, "it kept what it was given, and the first call finds it"
    assert await store.put([(B, b"2")]) == {B: b"2"}


async def test_a_server_killed_in_the_middle_loses_nothing_that_was_acknowledged(
    redis_server: RedisServer, client: Redis, made: Open
) -> None:
    store = made()
    acknowledged: list[bytes] = []

    async def write(worker: int) -> None:
        for n in range(10_000):
            key = b"%d.%d" % (worker, n)
            await store.put([((SPACE_DECISION, key), key), ((SPACE_TEXT, key), key)])
            acknowledged.append(key)

    writers = [asyncio.get_running_loop().create_task(write(worker)) for worker in range(8)]
    assert await until(lambda: len(acknowledged) > 50)
    redis_server.kill()
    try:
        outcomes = await asyncio.wait_for(asyncio.gather(*writers, return_exceptions=True), 5.0)
        assert all(isinstance(outcome, StoreDown) for outcome in outcomes)
    finally:
        redis_server.start()
    assert len(await store.get([(SPACE_DECISION, key) for key in acknowledged])) == len(acknowledged)
    # What was in flight was done or not; either way nobody was told, so it is taken back.
    assert await until(lambda: client.dbsize() == 2 * len(acknowledged))


async def test_a_server_that_hangs_is_not_waited_for_and_what_it_does_later_is_taken_back(
    redis_server: RedisServer, client: Redis, made: Open
) -> None:
    store = made(timeout=0.2)
    await store.put([(A, b"1")])
    redis_server.send(signal.SIGSTOP)
    try:
        begun = time.monotonic()
        with pytest.raises(StoreDown, match=r"0\.2 s"):
            await store.put([(B, b"2")])
        with pytest.raises(StoreDown):
            await store.get([A])
        assert time.monotonic() - begun < 1.0
    finally:
        redis_server.send(signal.SIGCONT)
    assert await until(lambda: not store._owed)
    assert client.keys() == [b"headroom:1:61"]
    assert await store.get([A, B]) == {A: b"1"}


async def test_a_peer_that_accepts_and_never_answers_is_not_waited_for(made: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        store = made(f"redis://127.0.0.1:{listener.getsockname()[1]}/0", timeout=0.2)
        begun = time.monotonic()
        for call in (store.open(), store.get([A]), store.put([(A, b"1")])):
            with pytest.raises(StoreDown, match=r"redis at 127\.0\.0\.1:\d+"):
                await call
        assert time.monotonic() - begun < 2.0
        await store.close()
        assert time.monotonic() - begun < 3.0


async def test_a_peer_that_is_no_redis_server_is_a_fault(made: Open) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        store = made(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0", timeout=0.5)
        for call in (store.open(), store.get([A]), store.put([(A, b"1")])):
            with pytest.raises(StoreDown):
                await call
        await store.close()


async def test_a_refused_connection_names_the_server_and_no_password(made: Open) -> None:
    store = made("redis://someone:secret@127.0.0.1:1/3?socket_timeout=1")
    with pytest.raises(StoreDown, match=r"redis at 127\.0\.0\.1:1") as fault:
        await store.open()
    assert "secret" not in str(fault.value) and "someone" not in str(fault.value)


async def test_a_key_of_another_kind_is_a_fault_and_nothing_else_of_the_call_is_kept(client: Redis, made: Open) -> None:
    store = made()
    client.rpush("headroom:2:62", "x")
    with pytest.raises(StoreDown, match="WRONGTYPE"):
        await store.put([(A, b"1"), (B, b"2")])
    assert await until(lambda: not client.exists("headroom:1:61"))


async def test_a_server_without_room_is_a_fault_and_passes(client: Redis, made: Open) -> None:
    store = made()
    await store.put([(A, b"1")])
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreDown, match=r"(?i)memory|OOM"):
            await store.put([(B, b"2")])
        assert await store.get([A]) == {A: b"1"}
    finally:
        client.config_set("maxmemory", 0)
    assert await store.put([(B, b"2")]) == {B: b"2"}


async def test_a_write_that_another_was_told_of_is_not_taken_back(client: Redis, made: Open) -> None:
    one, two = made(), made()
    keys, writer = [b"headroom:1:61", b"headroom:2:62"], b"\x07" * 8
    await one._write({A: b"1", B: b"2"}, keys, writer)
    assert await two.put([(A, b"other")]) == {A: b"1"}
    one._take_back(keys, writer)
    assert await until(lambda: not one._owed)
    assert await two.get([A, B]) == {A: b"1"}


async def test_a_server_that_forgot_the_scripts_is_taught_them_again(client: Redis, made: Open) -> None:
    store = made()
    for _ in range(2):
        client.script_flush()
        assert await store.put([(A, b"1")]) == {A: b"1"}
        await store.touch([A])


async def test_more_calls_than_connections_wait_for_one(client: Redis, made: Open) -> None:
    store = made()
    names = [(SPACE_DECISION, b"%d" % n) for n in range(300)]
    await asyncio.gather(*(store.put([(name, b"v")]) for name in names))
    assert len(await store.get(names)) == 300


async def test_a_server_that_keeps_nothing_is_said_so_once(client: Redis, redis_server: RedisServer) -> None:
    told: list[str] = []
    store = RedisStore(redis_server.url, 3600.0, 2.0, told.append)
    await store.open()
    assert store.trouble == "" and told == []
    client.config_set("appendonly", "no")
    try:
        await store.open()
    finally:
        client.config_set("appendonly", "yes")
    assert told == [store.trouble] and "appendonly yes" in store.trouble
    await store.close()


# As a setting.


@pytest.mark.parametrize(
    "url",
    ["redis://h:port/0", "redis://:secret@h:1/0?sockettimeout=1", "redis://h:1/0?socket_timeout=soon", "rediss://h:x"],
)
async def test_an_url_that_names_no_server_is_a_configuration_error(url: str) -> None:
    config = Config.of(port=0, store=url)
    with pytest.raises(ConfigError, match=r"store: .*redis://host:port/db") as error:
        check_files(config)
    assert "secret" not in str(error.value)
    with pytest.raises(ConfigError, match=r"store: .*redis://host:port/db"):
        await Edge(config).start()


@pytest.mark.parametrize("url", ["redsi://h:1", "http://h:1/", "redis://"])
def test_an_url_of_another_kind_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigError, match=r"store \(flag\): .*redis://host:port/db"):
        Config.of(store=url)


def test_without_the_redis_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "headroom.store_redis")
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ConfigError, match=r"store: 'redis://…@h:1/0'.*pip install 'headroom\[redis\]'"):
        check_files(Config.of(store="redis://u:secret@h:1/0"))


def test_a_store_that_cannot_be_is_one_line_and_exit_status_78() -> None:
    command = [sys.executable, "-m", "headroom.serve", "--port=0", "--store=redis://u:secret@h:port/0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 78
    assert done.stderr.count("\n") == 1 and "store: 'redis://…@h:port/0'" in done.stderr


async def test_the_proxy_says_in_its_log_what_is_the_matter_with_its_store(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with Edge(Config.of(port=0, store="redis://:secret@127.0.0.1:1", log_file=log)):
        pass
    notes = [line for line in map(json.loads, log.read_text().splitlines()) if line["event"] == "store_note"]
    assert [note["level"] for note in notes] == ["warning"] and "redis at 127.0.0.1:1" in notes[0]["note"]
    assert "secret" not in log.read_text()


async def test_the_proxy_starts_without_its_server_and_finds_it_later(redis_server: RedisServer, client: Redis) -> None:
    redis_server.kill()
    try:
        config = Config.of(port=0, store=redis_server.url, log_level="error")
        async with Edge(config) as edge:
            redis_server.start()
            store = edge.ledger.store
            assert store.kind == "redis"
            assert await store.put([(A, b"1")]) == {A: b"1"}
    finally:
        if redis_server._process is None:
            redis_server.start()
