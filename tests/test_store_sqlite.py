"""What only the store on disk can show: files of other releases and programs, damage, full disks, kills."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from headroom import sqlite_file
from headroom.faults import StoreDown
from headroom.store import SPACE_DECISION, SPACE_TEXT, Name
from headroom.store_file import SCHEMA_VERSION, Database
from headroom.store_sqlite import SqliteStore

A, B = (SPACE_DECISION, b"a"), (SPACE_DECISION, b"b")
KILLS = int(os.environ.get("STORE_KILLS", "30"))  # a thousand by hand

Disk = Callable[[], SqliteStore]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "headroom.db"


@pytest.fixture
async def disk(path: Path) -> AsyncIterator[Disk]:
    opened: list[SqliteStore] = []

    def make() -> SqliteStore:
        opened.append(SqliteStore(path, 3600.0))
        return opened[-1]

    yield make
    for store in opened:
        await store.close()


def query(path: Path, statement: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


async def test_only_its_owner_may_read_the_files(disk: Disk, path: Path) -> None:
    path.touch(mode=0o644)
    path.chmod(0o644)
    one, two = disk(), disk()
    await one.open()
    await one.put([(A, b"1")])
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == ["headroom.db", "headroom.db-shm", "headroom.db-wal"]
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name
        file.chmod(0o644)
    await two.open()
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


async def test_many_workers_that_begin_at_once_make_one_file(disk: Disk) -> None:
    stores = [disk() for _ in range(12)]
    await asyncio.gather(*(store.open() for store in stores))
    kept = await asyncio.gather(*(store.put([(A, b"%d" % n)]) for n, store in enumerate(stores)))
    assert len({result[A] for result in kept}) == 1


async def test_a_write_that_another_was_told_of_is_not_taken_back(path: Path) -> None:
    database = Database(path, 3600.0, 1 << 30, lambda: 1e9)
    with database.transaction():
        assert database.insert([(A, b"1"), (B, b"2")], 5) == [A, B]
    with database.transaction():
        assert database.insert([(A, b"other")], 6) == []
    with database.transaction():
        database.delete([A, B], 5)
    assert database.select([A, B]) == {A: b"1"}
    database.tidy()
    assert database.state.entries == 1
    database.drop()


async def test_workers_that_share_a_full_file_keep_it_below_its_limit_and_count_right(path: Path) -> None:
    now = [1e9]
    limit = 1 << 20
    stores = [SqliteStore(path, 86400.0, limit, lambda: now[0]) for _ in range(3)]
    for store in stores:
        await store.open()
    rng = random.Random(4)
    for n in range(200):
        now[0] += 600
        names = [(SPACE_DECISION, b"%d" % rng.randrange(2000)) for _ in range(6)]
        for name in names:
            await rng.choice(stores).put([(name, b"x" * rng.randrange(20_000))])
        await asyncio.gather(
            rng.choice(stores).put([(names[0], b"x"), ((SPACE_TEXT, b"%d" % n), b"y")]),
            rng.choice(stores).forget(names[1:2]),
            rng.choice(stores).touch(names[2:4]),
        )
    await stores[0].get([A])  # behind the removal
    entries, counted = query(path, "SELECT (SELECT count(*) FROM entries), (SELECT entries FROM totals)")[0]
    assert entries == counted
    size = stores[0].state.size
    assert size is not None and limit // 2 < size <= limit * 1.1
    for store in stores:
        await store.close()
    assert path.stat().st_size < 2 * limit, "what leaves makes room for what comes"


# Releases and programs.

_SCHEMA_1 = """
CREATE TABLE entries (
    space INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, seen INTEGER NOT NULL, PRIMARY KEY (space, key)
) WITHOUT ROWID
"""


@pytest.mark.parametrize("version", [0, 1])
async def test_a_file_of_the_first_release_keeps_its_entries(disk: Disk, path: Path, version: int) -> None:
    # Version 0 with a table is what a crash in the middle of making it left.
    old = sqlite3.connect(path)
    old.execute("PRAGMA journal_mode=WAL")
    old.execute(_SCHEMA_1)
    old.execute("CREATE INDEX entries_by_seen ON entries (seen)")
    rows = [(space, b"%d" % n, b"v%d" % n, 2_000_000_000 + n) for space in (1, 2) for n in range(300)]
    old.executemany("INSERT INTO entries VALUES (?, ?, ?, ?)", rows)
    old.execute(f"PRAGMA user_version={version}")
    old.commit()
    old.close()
    store = disk()
    await store.open()
    assert await store.get([(space, key) for space, key, _, _ in rows]) == {(s, k): v for s, k, v, _ in rows}
    assert store.state.entries == 600
    assert query(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert query(path, "SELECT sum(seen) FROM entries") == [(sum(row[3] for row in rows),)]
    assert await store.put([((1, b"7"), b"other")]) == {(1, b"7"): b"v7"}
    assert query(path, "PRAGMA integrity_check") == [("ok",)]


async def test_a_file_of_a_newer_release_is_left_as_it_is(disk: Disk, path: Path) -> None:
    query(path, "PRAGMA user_version=99")
    before = path.read_bytes()
    store = disk()
    with pytest.raises(StoreDown, match=r"newer release of Headroom \(schema 99; this one knows up to 2\)"):
        await store.open()
    assert path.read_bytes() == before


async def test_a_database_of_another_program_is_left_as_it_is(disk: Disk, path: Path) -> None:
    query(path, "CREATE TABLE accounts (id INTEGER)")
    before = path.read_bytes()
    store = disk()
    with pytest.raises(StoreDown, match="another program"):
        await store.open()
    assert path.read_bytes() == before and [file.name for file in path.parent.iterdir()] == [path.name]


async def test_a_file_that_is_no_database_is_left_as_it_is(disk: Disk, path: Path) -> None:
    path.write_bytes(b"not a database at all, but long enough to be looked at" * 100)
    store = disk()
    with pytest.raises(StoreDown, match="not a database"):
        await store.open()
    assert path.read_bytes().startswith(b"not a database") and len(list(path.parent.iterdir())) == 1
    path.unlink()
    assert await store.put([(A, b"1")]) == {A: b"1"}, "it is tried again, and works once the cause is gone"


# Damage.


def damage(path: Path, begin: int) -> None:
    """Overwrite in place: a file that is cut short under a mapping of it kills whoever looks."""
    for file in (path, path.with_name(path.name + "-wal")):
        if file.exists():
            size = file.stat().st_size
            with file.open("r+b") as stream:
                stream.seek(min(begin, size))
                stream.write(b"\x5a" * max(0, size - begin))


async def filled(store: SqliteStore) -> list[Name]:
    names = [(SPACE_DECISION, b"%032d" % n) for n in range(300)]
    await store.open()
    await store.put([(name, b"v" * 500) for name in names])
    return names


@pytest.mark.parametrize("begin", [0, 100, 4096])
async def test_a_file_damaged_while_in_use_is_set_aside_and_a_new_one_begun(path: Path, begin: int) -> None:
    told: list[str] = []
    store = SqliteStore(path, 3600.0, notify=told.append)
    other = SqliteStore(path, 3600.0)
    names = await filled(store)
    await other.open()
    await other.close()  # so that the log is in the file
    await store.close()
    await store.open()
    await store.get(names[:1])
    content = path.stat().st_size
    damage(path, begin)
    faults = 0
    for _ in range(3):
        try:
            await store.put([(A, b"1")])
            break
        except StoreDown as fault:
            faults += 1
            assert "damaged" in str(fault) and "headroom.db.damaged-1" in str(fault)
    assert faults <= 1
    assert await store.get([A, names[0]]) == {A: b"1"}
    await asyncio.sleep(0)
    aside = path.with_name("headroom.db.damaged-1")
    assert aside.stat().st_size == content, "nothing of it was deleted"
    assert [store.trouble] == told and "headroom.db.damaged-1" in store.trouble
    await store.close()
    assert query(path, "PRAGMA integrity_check") == [("ok",)]


async def test_a_file_found_damaged_is_set_aside_on_opening_it(disk: Disk, path: Path) -> None:
    store = disk()
    await filled(store)
    await store.close()
    for n in (1, 2):
        damage(path, 16)
        again = disk()
        await again.open()
        assert f"damaged-{n}" in again.trouble
        assert await again.put([(A, b"1")]) == {A: b"1"}
        await again.close()
    assert path.with_name("headroom.db.damaged-1").exists() and path.with_name("headroom.db.damaged-2").exists()


async def test_a_file_of_zeros_as_a_crash_leaves_it_is_set_aside(disk: Disk, path: Path) -> None:
    path.write_bytes(bytes(8192))
    store = disk()
    await store.open()
    assert await store.put([(A, b"1")]) == {A: b"1"}
    assert path.with_name("headroom.db.damaged-1").read_bytes() == bytes(8192)


async def test_workers_that_find_the_damage_set_it_aside_once_and_share_the_new_file(path: Path) -> None:
    stores = [SqliteStore(path, 3600.0) for _ in range(4)]
    names = await filled(stores[0])
    for store in stores[1:]:
        await store.open()
        await store.get(names[:1])
    damage(path, 0)
    for _ in range(3):
        await asyncio.gather(*(store.put([(A, b"%d" % n)]) for n, store in enumerate(stores)), return_exceptions=True)
    kept = [await store.get([A]) for store in stores]
    assert kept[0] and all(found == kept[0] for found in kept)
    assert len([file for file in path.parent.iterdir() if file.name.endswith("damaged-1")]) == 1
    assert not [file for file in path.parent.iterdir() if "damaged-2" in file.name]
    for store in stores:
        await store.close()
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    late = SqliteStore(path, 3600.0)
    await late.open()
    assert await late.get([A]) == kept[0], "the others' leaving did not take the new file's log away"
    await late.close()


async def test_a_file_that_is_deleted_while_open_is_made_anew(disk: Disk, path: Path) -> None:
    one, two = disk(), disk()
    await one.open()
    await two.open()
    await one.put([(A, b"1")])
    for file in path.parent.iterdir():
        file.unlink()
    assert await one.put([(B, b"2")]) == {B: b"2"}
    assert await two.get([A, B]) == {B: b"2"}
    await one.close()
    await two.close()
    late = disk()
    await late.open()
    assert await late.get([A, B]) == {B: b"2"}


async def test_a_write_into_a_file_that_was_just_replaced_is_not_acknowledged(path: Path) -> None:
    database = Database(path, 3600.0, 1 << 30, lambda: 1e9)
    with pytest.raises(OSError, match="replaced"), database.transaction():
        database.insert([(A, b"1")], 5)
        path.unlink()
    database.failed(OSError())
    assert database.select([A]) == {}
    database.drop()


# What passes.


async def test_a_locked_file_is_a_fault_and_nothing_is_half_written(disk: Disk, path: Path) -> None:
    store = disk()
    await store.open()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreDown, match="locked"):
        await store.put([(A, b"1"), (B, b"2")])
    other.execute("ROLLBACK")
    assert await store.get([A, B]) == {}
    assert await store.put([(A, b"1")]) == {A: b"1"}
    other.close()


async def test_a_full_database_is_a_fault_and_passes(disk: Disk) -> None:
    store = disk()
    await store.open()

    def pages(count: int) -> Callable[[Database], dict[Name, bytes]]:
        def work(database: Database) -> dict[Name, bytes]:
            database.connected().execute(f"PRAGMA max_page_count={count}")
            return {}

        return work

    await store._do(pages(30), reads=True)
    with pytest.raises(StoreDown, match="full"):
        await store.put([(A, b"x" * 500_000), (B, b"2")])
    assert await store.get([A, B]) == {}
    assert await store.put([(B, b"2")]) == {B: b"2"}, "what fits is kept"
    await store._do(pages(1 << 30), reads=True)
    assert len(await store.put([(A, b"x" * 500_000)])) == 1


_FULL_DISK = """
import asyncio, json, resource, sys
from pathlib import Path
from headroom.faults import StoreDown
from headroom.store_sqlite import SqliteStore

async def main():
    store = SqliteStore(Path(sys.argv[1]), 3600.0)
    await store.open()
    await store.put([((1, b"a"), b"1")])
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, resource.RLIM_INFINITY))
    faults = []
    for n in range(3):
        try:
            await store.put([((1, b"b"), b"x" * 400_000), ((2, b"b"), b"2")])
        except StoreDown as fault:
            faults.append(str(fault))
    meanwhile = await store.get([(1, b"a"), (1, b"b"), (2, b"b")])
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await store.put([((1, b"b"), b"x" * 400_000)])
    after = await store.get([(1, b"a"), (1, b"b"), (2, b"b")])
    await store.close()
    print(json.dumps([faults, len(meanwhile), len(after)]))

asyncio.run(main())
"""


def test_a_disk_without_room_is_a_fault_and_passes(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, str(path)], capture_output=True, timeout=60, check=True, text=True
    )
    faults, meanwhile, after = json.loads(done.stdout)
    assert len(faults) == 3 and all("headroom.db" in fault for fault in faults), faults
    assert (meanwhile, after) == (1, 2)
    assert query(path, "PRAGMA integrity_check") == [("ok",)]


async def test_a_file_that_may_only_be_read_is_a_fault_and_passes(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, path: Path
) -> None:
    first = disk()
    await first.open()
    await first.put([(A, b"1")])
    connect = sqlite3.connect
    # Root may write everywhere: a file that is opened for reading stands for one that cannot be written.
    monkeypatch.setattr(sqlite3, "connect", lambda path, **more: connect(f"file:{path}?mode=ro", uri=True, **more))
    store = disk()
    await store.open()
    assert await store.get([A]) == {A: b"1"}
    with pytest.raises(StoreDown, match="readonly"):
        await store.put([(B, b"2")])
    monkeypatch.undo()
    assert await store.put([(A, b"2")]) == {A: b"1"}


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


async def test_what_sqlite_cannot_hold_is_a_fault_and_the_store_goes_on(disk: Disk) -> None:
    store = disk()
    await store.open()
    with pytest.raises(StoreDown):
        await store.put([((1 << 70, b"a"), b"1")])
    assert await store.put([(A, b"1")]) == {A: b"1"}


async def test_a_closed_store_says_so(disk: Disk) -> None:
    store = disk()
    await store.open()
    await store.close()
    with pytest.raises(StoreDown, match="closed"):
        await store.get([A])


# Other processes.

_WRITER = """
import asyncio, os, sys
from pathlib import Path
from headroom.store_sqlite import SqliteStore

async def main():
    path, run, workers, size = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    store = SqliteStore(path, 3600.0)
    await store.open()

    async def write(worker):
        for n in range(1_000_000):
            key = f"{run}.{worker}.{n}".encode()
            await store.put([((1, key), key * size), ((2, key), b"t")])
            os.write(1, key + b"\\n")

    await asyncio.gather(*(write(worker) for worker in range(workers)))

asyncio.run(main())
"""


async def test_a_process_that_writes_all_the_time_does_not_keep_others_from_it(
    disk: Disk, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine a turn may be long in coming; that it comes is what counts.
    monkeypatch.setattr(sqlite_file, "BUSY_MS", 60_000)
    child = subprocess.Popen([sys.executable, "-c", _WRITER, str(path), "0", "100", "1000"], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline()
        drain = asyncio.get_running_loop().run_in_executor(None, child.stdout.read)
        store = disk()
        await store.open()
        enough = time.monotonic() + 1.5
        while time.monotonic() < enough:
            name = (SPACE_DECISION, os.urandom(8))
            assert await store.put([(name, b"v")]) == {name: b"v"}
    finally:
        child.kill()
        child.wait(10)
    assert len((await drain).split()) > 100, "it did write all the time"
    child.stdout.close()


def test_what_was_acknowledged_survives_a_kill_at_any_moment(path: Path) -> None:
    rng = random.Random(KILLS)
    total = 0
    for run in range(KILLS):
        child = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path), str(run), "4", "50"], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        begin = child.stdout.readline()
        try:
            child.wait(rng.uniform(0.0, 0.04))
        except subprocess.TimeoutExpired:
            pass
        child.kill()
        rest = child.stdout.read()
        child.stdout.close()
        assert child.wait(10) == -9, "it was killed, and did not end by itself"
        acknowledged = set((begin + rest).split(b"\n")[:-1])
        total += len(acknowledged)
        rows = query(path, f"SELECT space, key, value FROM entries WHERE key >= x'{f'{run}.'.encode().hex()}'")
        found = {(space, key): value for space, key, value in rows}
        for key in acknowledged:
            assert found.get((SPACE_DECISION, key)) == key * 50
            assert found.get((SPACE_TEXT, key)) == b"t"
        assert len(acknowledged) > 0
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    entries, counted = query(path, "SELECT (SELECT count(*) FROM entries), (SELECT entries FROM totals)")[0]
    assert entries == counted
    assert isinstance(entries, int) and entries >= 2 * total
