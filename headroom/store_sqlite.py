"""The store in one SQLite file, shared by all workers of a host.

One thread per process owns the connection. It takes whatever has queued up, does it in one transaction and commits
once: group commit, durable (WAL, synchronous FULL) before anybody is answered.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

import msgspec

from headroom.faults import StoreDown
from headroom.store import Name

SCHEMA_VERSION: Final = 1
BUSY_MS: Final = 500  # how long SQLite waits for another process's write
QUEUE_LIMIT: Final = 10_000  # operations under way; more means that the disk has stopped
SWEEP_SECONDS: Final = 3600.0  # between two removals of what has expired
_BATCH: Final = 500  # names per statement; SQLite allows 32,766 variables

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS entries (
    space INTEGER NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL,
    seen INTEGER NOT NULL,
    PRIMARY KEY (space, key)
) WITHOUT ROWID
"""
_SEEN_INDEX: Final = "CREATE INDEX IF NOT EXISTS entries_by_seen ON entries (seen)"

Result = dict[Name, bytes]
_Work = Callable[[sqlite3.Connection], Result]


class _Job(msgspec.Struct, gc=False):
    """One operation and who waits for it. `inserted` are the names it was the first to write."""

    work: _Work | None
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Result]
    reads: bool = False
    inserted: list[Name] = []


class SqliteStore:
    """See `headroom.store.Store`. Times are seconds of the wall clock, since the file outlives the process."""

    kind = "sqlite"

    def __init__(self, path: Path, ttl: float) -> None:
        self._path = path
        self._ttl = int(ttl)
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._swept = 0.0
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    async def open(self) -> None:
        """Make the file if it is not there, with mode 0600, and start the thread. Raises StoreDown."""
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)
        self._thread.start()
        await self._do(lambda connection: {})

    async def get(self, names: Sequence[Name]) -> Result:
        """See Store."""
        return await self._do(lambda connection: self._select(connection, names), reads=True)

    async def put(self, entries: Sequence[tuple[Name, bytes]]) -> Result:
        """See Store."""
        now = int(time.time())
        inserted: list[Name] = []

        def work(connection: sqlite3.Connection) -> Result:
            inserted.clear()
            for name, value in entries:
                made = connection.execute("INSERT OR IGNORE INTO entries VALUES (?, ?, ?, ?)", (*name, value, now))
                if made.rowcount:
                    inserted.append(name)
            kept = [(now, *name) for name, _ in entries if name not in inserted]
            connection.executemany("UPDATE entries SET seen = ? WHERE space = ? AND key = ?", kept)
            return self._select(connection, [name for name, _ in entries])

        return await self._do(work, inserted=inserted)

    async def forget(self, names: Sequence[Name]) -> None:
        """See Store."""

        def work(connection: sqlite3.Connection) -> Result:
            connection.executemany("DELETE FROM entries WHERE space = ? AND key = ?", names)
            return {}

        await self._do(work)

    async def touch(self, names: Sequence[Name]) -> None:
        """See Store."""
        now = int(time.time())

        def work(connection: sqlite3.Connection) -> Result:
            rows = [(now, space, key) for space, key in names]
            connection.executemany("UPDATE entries SET seen = ? WHERE space = ? AND key = ?", rows)
            return {}

        await self._do(work)

    async def close(self) -> None:
        """See Store."""
        if self._thread is not None and self._thread.is_alive():
            loop = asyncio.get_running_loop()
            self._jobs.put(_Job(None, loop, loop.create_future()))
            await asyncio.to_thread(self._thread.join, 5.0)

    async def _do(self, work: _Work, *, reads: bool = False, inserted: list[Name] | None = None) -> Result:
        if self._thread is None or not self._thread.is_alive():
            raise StoreDown("the store is closed")
        if self._jobs.qsize() > QUEUE_LIMIT:
            raise StoreDown("the store does not keep up")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        job = _Job(work, loop, future, reads, inserted or [])
        if inserted is not None:
            job.inserted = inserted
        self._jobs.put(job)
        return await future

    def _deliver(self, job: _Job, outcome: Result | StoreDown) -> None:
        """Tell who waits. A write that nobody waits for any more is taken back: its slot went as it came."""

        def tell() -> None:
            if job.future.cancelled():
                if job.inserted and isinstance(outcome, dict):
                    self._take_back(job)
            elif isinstance(outcome, StoreDown):
                job.future.set_exception(outcome)
            else:
                job.future.set_result(outcome)

        try:
            job.loop.call_soon_threadsafe(tell)
        except RuntimeError:
            pass  # the loop has been closed; nobody waits any more

    def _take_back(self, job: _Job) -> None:
        names = list(job.inserted)

        def work(connection: sqlite3.Connection) -> Result:
            connection.executemany("DELETE FROM entries WHERE space = ? AND key = ?", names)
            return {}

        self._jobs.put(_Job(work, job.loop, job.loop.create_future()))

    # On the thread.

    def _select(self, connection: sqlite3.Connection, names: Sequence[Name]) -> Result:
        oldest = int(time.time()) - self._ttl
        found: Result = {}
        spaces: dict[int, list[bytes]] = {}
        for space, key in names:
            spaces.setdefault(space, []).append(key)
        for space, keys in spaces.items():
            for at in range(0, len(keys), _BATCH):
                part = keys[at : at + _BATCH]
                marks = ",".join("?" * len(part))
                rows = connection.execute(
                    f"SELECT key, value FROM entries WHERE space = ? AND key IN ({marks}) AND seen >= ?",
                    (space, *part, oldest),
                )
                found.update({(space, bytes(key)): bytes(value) for key, value in rows})
        return found

    def _run(self) -> None:
        while True:
            jobs = [self._jobs.get()]
            while len(jobs) < 256:
                try:
                    jobs.append(self._jobs.get_nowait())
                except queue.Empty:
                    break
            last = any(job.work is None for job in jobs)
            jobs = [job for job in jobs if job.work is not None and not job.future.cancelled()]
            for reads, batch in groupby(jobs, key=lambda job: job.reads):
                self._attempt(list(batch), reads=reads)
            if last:
                self._drop_connection()
                return

    def _attempt(self, jobs: list[_Job], *, reads: bool) -> None:
        """Do a batch and tell everybody how it went."""
        try:
            connection = self._connected()
            results = self._read(connection, jobs) if reads else self._transact(connection, jobs)
        except (sqlite3.Error, OSError) as error:
            busy = isinstance(error, sqlite3.OperationalError) and ("locked" in str(error) or "full" in str(error))
            if not busy:
                self._drop_connection()
            for job in jobs:
                self._deliver(job, StoreDown(f"{self._path.name}: {error}"))
        else:
            for job, result in zip(jobs, results, strict=True):
                self._deliver(job, result)

    def _connected(self) -> sqlite3.Connection:
        """The connection, made anew where the file it is to is not the one at the path any more."""
        if self._connection is not None and self._file != _identity(self._path):
            self._drop_connection()
        if self._connection is None:
            self._connection = self._connect()
            self._file = _identity(self._path)
        return self._connection

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _read(self, connection: sqlite3.Connection, jobs: Sequence[_Job]) -> list[Result]:
        """Reads take no lock that a writer in another process could hold."""
        return [job.work(connection) for job in jobs if job.work is not None]

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Made by ourselves first, so that it is never readable by others, not even for a moment.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(self._path, timeout=BUSY_MS / 1000, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, SCHEMA_VERSION):
                raise sqlite3.DatabaseError(f"made by another release (schema {version}, not {SCHEMA_VERSION})")
            if version == 0:
                connection.execute(_SCHEMA)
                connection.execute(_SEEN_INDEX)
                connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _transact(self, connection: sqlite3.Connection, jobs: Sequence[_Job]) -> list[Result]:
        """Do all jobs and commit once. All fail together: nobody is told of a write that was not kept."""
        connection.execute("BEGIN IMMEDIATE")
        try:
            results = [job.work(connection) for job in jobs if job.work is not None]
            now = time.time()
            if now - self._swept > SWEEP_SECONDS:
                self._swept = now
                connection.execute("DELETE FROM entries WHERE seen < ?", (int(now) - self._ttl,))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return results


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file is at a path."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
