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
    """One operation and who waits for it."""

    work: _Work | None
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Result]


class SqliteStore:
    """See `headroom.store.Store`. Times are seconds of the wall clock, since the file outlives the process."""

    kind = "sqlite"

    def __init__(self, path: Path, ttl: float) -> None:
        self._path = path
        self._ttl = int(ttl)
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._swept = 0.0

    async def open(self) -> None:
        """Make the file if it is not there, with mode 0600, and start the thread. Raises StoreDown."""
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)
        self._thread.start()
        await self._do(lambda connection: {})

    async def get(self, names: Sequence[Name]) -> Result:
        """See Store."""
        return await self._do(lambda connection: self._select(connection, names))

    async def put(self, entries: Sequence[tuple[Name, bytes]]) -> Result:
        """See Store."""
        now = int(time.time())
        rows = [(space, key, value, now) for (space, key), value in entries]
        names = [name for name, _ in entries]

        def work(connection: sqlite3.Connection) -> Result:
            connection.executemany(
                "INSERT INTO entries VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET seen = excluded.seen", rows
            )
            return self._select(connection, names)

        return await self._do(work)

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

    async def _do(self, work: _Work) -> Result:
        if self._thread is None or not self._thread.is_alive():
            raise StoreDown("the store is closed")
        if self._jobs.qsize() > QUEUE_LIMIT:
            raise StoreDown("the store does not keep up")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._jobs.put(_Job(work, loop, future))
        return await future

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
        connection: sqlite3.Connection | None = None
        while True:
            jobs = [self._jobs.get()]
            while len(jobs) < 256:
                try:
                    jobs.append(self._jobs.get_nowait())
                except queue.Empty:
                    break
            last = any(job.work is None for job in jobs)
            jobs = [job for job in jobs if job.work is not None]
            try:
                if connection is None:
                    connection = self._connect()
                results = self._transact(connection, jobs)
            except (sqlite3.Error, OSError) as error:
                if connection is not None and not isinstance(error, sqlite3.OperationalError):
                    connection.close()
                    connection = None
                for job in jobs:
                    _answer(job, StoreDown(f"{self._path.name}: {error}"))
            else:
                for job, result in zip(jobs, results, strict=True):
                    _answer(job, result)
            if last:
                if connection is not None:
                    connection.close()
                return

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Made by ourselves first, so that it is never readable by others, not even for a moment.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(self._path, timeout=BUSY_MS / 1000, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, SCHEMA_VERSION):
            connection.close()
            raise sqlite3.DatabaseError(f"made by another release (schema {version}, not {SCHEMA_VERSION})")
        connection.execute(_SCHEMA)
        connection.execute(_SEEN_INDEX)
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
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


def _answer(job: _Job, outcome: Result | StoreDown) -> None:
    def deliver() -> None:
        if job.future.done():
            return
        if isinstance(outcome, StoreDown):
            job.future.set_exception(outcome)
        else:
            job.future.set_result(outcome)

    try:
        job.loop.call_soon_threadsafe(deliver)
    except RuntimeError:
        pass  # the loop has been closed; nobody waits any more
