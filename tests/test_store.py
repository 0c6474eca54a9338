"""One contract for every store, and what only the one on disk can show."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from headroom.faults import StoreDown
from headroom.store import SPACE_DECISION, SPACE_TEXT, MemoryStore, Store
from headroom.store_sqlite import SqliteStore

A, B = (SPACE_DECISION, b"a"), (SPACE_DECISION, b"b")


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made: Store
    if request.param == "memory":
        made = MemoryStore(3600.0)
    else:
        made = SqliteStore(tmp_path / "x" / "headroom.db", 3600.0)
        await made.open()
    yield made
    await made.close()


async def test_what_was_put_is_found_and_nothing_else(store: Store) -> None:
    assert await store.put([(A, b"1"), (B, b"\x00\xff")]) == {A: b"1", B: b"\x00\xff"}
    assert await store.get([A, B, (SPACE_DECISION, b"c")]) == {A: b"1", B: b"\x00\xff"}


async def test_the_first_write_wins_and_the_second_writer_is_told(store: Store) -> None:
    await store.put([(A, b"first")])
    assert await store.put([(A, b"second"), (B, b"new")]) == {A: b"first", B: b"new"}
    assert await store.get([A]) == {A: b"first"}


async def test_spaces_are_apart(store: Store) -> None:
    await store.put([(A, b"1")])
    assert await store.get([(SPACE_TEXT, b"a")]) == {}


async def test_what_is_forgotten_can_be_written_anew(store: Store) -> None:
    await store.put([(A, b"1")])
    await store.forget([A, B])
    assert await store.get([A]) == {}
    assert await store.put([(A, b"2")]) == {A: b"2"}


async def test_seeing_an_unknown_entry_is_no_fault(store: Store) -> None:
    await store.touch([A])
    assert await store.get([A]) == {}


async def test_many_names_are_found_in_one_call(store: Store) -> None:
    names = [(SPACE_DECISION, b"%d" % n) for n in range(2000)]
    await store.put([(name, name[1]) for name in names])
    assert len(await store.get(names)) == 2000


async def test_entries_expire_and_being_seen_renews_them() -> None:
    now = [0.0]
    store = MemoryStore(10.0, clock=lambda: now[0])
    await store.put([(A, b"1"), (B, b"2")])
    now[0] = 8.0
    await store.touch([A])
    now[0] = 12.0
    assert await store.get([A, B]) == {A: b"1"}


async def test_memory_is_bounded_and_the_oldest_leaves_first() -> None:
    store = MemoryStore(10.0, limit=25)
    for n in range(4):
        await store.put([((SPACE_DECISION, b"%d" % n), b"x" * 10)])
    found = await store.get([(SPACE_DECISION, b"%d" % n) for n in range(4)])
    assert [key for _, key in found] == [b"2", b"3"]


# On disk.


@pytest.fixture
async def disk(tmp_path: Path) -> AsyncIterator[Callable[[], SqliteStore]]:
    opened: list[SqliteStore] = []

    def make() -> SqliteStore:
        opened.append(SqliteStore(tmp_path / "headroom.db", 3600.0))
        return opened[-1]

    yield make
    for store in opened:
        await store.close()


async def test_only_its_owner_may_read_the_file(disk: Callable[[], SqliteStore], tmp_path: Path) -> None:
    store = disk()
    await store.open()
    await store.put([(A, b"1")])
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


async def test_two_processes_share_one_file_and_agree_on_the_first_write(disk: Callable[[], SqliteStore]) -> None:
    one, two = disk(), disk()
    await one.open()
    await two.open()
    kept = await asyncio.gather(*(s.put([(A, v)]) for s, v in ((one, b"1"), (two, b"2"), (one, b"3"), (two, b"4"))))
    assert len({result[A] for result in kept}) == 1
    assert await one.get([A]) == await two.get([A])


async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    program = (
        "import asyncio,os,signal,sys\n"
        "from pathlib import Path\n"
        "from headroom.store_sqlite import SqliteStore\n"
        "async def main():\n"
        "    store = SqliteStore(Path(sys.argv[1]), 3600.0)\n"
        "    await store.open()\n"
        "    for n in range(int(sys.argv[2])):\n"
        "        await store.put([((1, b'%d' % n), b'v')])\n"
        "        os.write(1, b'%d\\n' % n)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    path = tmp_path / "killed.db"
    for count in (1, 7, 30):
        done = subprocess.run(
            [sys.executable, "-c", program, str(path), str(count)], capture_output=True, timeout=60, check=False
        )
        acknowledged = [(SPACE_DECISION, line) for line in done.stdout.split()]
        assert len(acknowledged) == count
        store = SqliteStore(path, 3600.0)
        await store.open()
        assert len(await store.get(acknowledged)) == count
        await store.close()
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_a_file_that_is_no_database_is_a_fault_and_not_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "headroom.db"
    path.write_bytes(b"not a database at all, but long enough to be looked at" * 100)
    store = SqliteStore(path, 3600.0)
    with pytest.raises(StoreDown, match="not a database"):
        await store.open()
    path.unlink()
    assert await store.put([(A, b"1")]) == {A: b"1"}, "it is tried again, and works once the cause is gone"
    await store.close()


async def test_a_file_of_another_release_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "headroom.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    store = SqliteStore(path, 3600.0)
    with pytest.raises(StoreDown, match="another release"):
        await store.open()
    await store.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
async def test_a_folder_that_cannot_be_written_is_a_fault(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    store = SqliteStore(tmp_path / "x" / "headroom.db", 3600.0)
    with pytest.raises(StoreDown):
        await store.open()
    tmp_path.chmod(0o700)
    await store.close()


async def test_a_path_below_a_file_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = SqliteStore(tmp_path / "file" / "headroom.db", 3600.0)
    with pytest.raises(StoreDown):
        await store.open()
    await store.close()


async def test_a_locked_file_is_a_fault_and_nothing_is_half_written(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "headroom.db", 3600.0)
    await store.open()
    other = sqlite3.connect(tmp_path / "headroom.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreDown, match="locked"):
        await store.put([(A, b"1"), (B, b"2")])
    other.execute("ROLLBACK")
    assert await store.get([A, B]) == {}
    assert await store.put([(A, b"1")]) == {A: b"1"}
    other.close()
    await store.close()


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "headroom.db", 3600.0)
    await store.open()
    await store.close()
    with pytest.raises(StoreDown, match="closed"):
        await store.get([A])
