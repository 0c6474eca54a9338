"""The store in one SQLite file, shared by all workers of a host.

One thread per process owns the connection. It takes whatever has queued up, does it in one transaction and commits
once: group commit, durable (WAL, synchronous FULL) before anybody is answered. What has expired or is too much is
removed after that, so that nobody waits for it.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

import msgspec

from headroom.faults import StoreDown
from headroom.sqlite_file import ERRORS
from headroom.store import Name, StoreState
from headroom.store_file import Database

QUEUE_LIMIT: Final = 10_000  # operations under way; more means that the disk has stopped
DEFAULT_LIMIT: Final = 2 << 30  # bytes
CLOSE_SECONDS: Final = 5.0  # for what is under way when the store is closed
_GROUP: Final = 256  # operations per commit at the most

Result = dict[Name, bytes]
_Work = Callable[[Database], Result]


class _Job(msgspec.Struct, gc=False):
    """One operation and who waits for it. `inserted` are the names it was the first to write, as `writer`."""

    work: _Work | None
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Result]
    reads: bool = False
    inserted: list[Name] = []
    writer: int = 0


class SqliteStore:
    """See `headroom.store.Store`. Times are seconds of the wall clock, since the file outlives the process.

    `limit` is in bytes of the file's pages in use. `notify` is called on the event loop with each new `trouble`.
    """

    kind = "sqlite"

    def __init__(
        self,
        path: Path,
        ttl: float,
        limit: int = DEFAULT_LIMIT,
        clock: Callable[[], float] = time.time,
        notify: Callable[[str], None] = lambda trouble: None,
    ) -> None:
        self._database = Database(path, ttl, limit, clock)
        self._notify = notify
        self._told = ""
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def state(self) -> StoreState:
        """See Store."""
        return self._database.state

    @property
    def trouble(self) -> str:
        """See Store."""
        return self._database.trouble

    async def open(self) -> None:
        """Make the file if it is not there, with mode 0600, and start the thread. Raises StoreDown."""
        self._begin()
        await self._do(lambda database: {})

    async def get(self, names: Sequence[Name]) -> Result:
        """See Store."""
        return await self._do(lambda database: database.select(names), reads=True)

    async def put(self, entries: Sequence[tuple[Name, bytes]]) -> Result:
        """See Store."""
        writer = int.from_bytes(os.urandom(8), "big") >> 1 or 1
        inserted: list[Name] = []

        def work(database: Database) -> Result:
            inserted[:] = database.insert(entries, writer)
            return database.select([name for name, _ in entries])

        return await self._do(work, inserted=inserted, writer=writer)

    async def forget(self, names: Sequence[Name]) -> None:
        """See Store."""

        def work(database: Database) -> Result:
            database.delete(names)
            return {}

        await self._do(work)

    async def touch(self, names: Sequence[Name]) -> None:
        """See Store."""

        def work(database: Database) -> Result:
            database.see(names)
            return {}

        await self._do(work)

    async def close(self) -> None:
        """See Store."""
        loop = asyncio.get_running_loop()
        for _ in range(2):  # the second time for a write that was cancelled meanwhile, and is to be taken back
            if self._thread is None or not self._thread.is_alive():
                return
            self._jobs.put(_Job(None, loop, loop.create_future()))
            await asyncio.to_thread(self._thread.join, CLOSE_SECONDS)
            await asyncio.sleep(0)  # who waited is told
            if not self._thread.is_alive() and not self._jobs.empty():
                self._begin()

    def _begin(self) -> None:
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)
        self._thread.start()

    async def _do(
        self, work: _Work, *, reads: bool = False, inserted: list[Name] | None = None, writer: int = 0
    ) -> Result:
        if self._thread is None or not self._thread.is_alive():
            raise StoreDown("the store is closed")
        if self._jobs.qsize() > QUEUE_LIMIT:
            raise StoreDown("the store does not keep up")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._jobs.put(_Job(work, loop, future, reads, [] if inserted is None else inserted, writer))
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

        _call_on(job.loop, tell)

    def _take_back(self, job: _Job) -> None:
        names, writer = list(job.inserted), job.writer

        def work(database: Database) -> Result:
            database.delete(names, writer)
            return {}

        self._jobs.put(_Job(work, job.loop, job.loop.create_future()))

    # On the thread.

    def _run(self) -> None:
        while True:
            jobs = [self._jobs.get()]
            while len(jobs) < _GROUP:
                try:
                    jobs.append(self._jobs.get_nowait())
                except queue.Empty:
                    break
            last = any(job.work is None for job in jobs)
            jobs = [job for job in jobs if job.work is not None and not job.future.cancelled()]
            for reads, batch in groupby(jobs, key=lambda job: job.reads):
                self._attempt(list(batch), reads=reads)
            if last:
                self._database.drop()
                return

    def _attempt(self, jobs: list[_Job], *, reads: bool) -> None:
        """Do a batch and tell everybody how it went."""
        try:
            if reads:
                results = self._results(jobs)
            else:
                with self._database.transaction():
                    results = self._results(jobs)
        except ERRORS as error:
            fault = self._database.failed(error)
            for job in jobs:
                self._deliver(job, StoreDown(fault))
        else:
            for job, result in zip(jobs, results, strict=True):
                self._deliver(job, result)
            if not reads:
                self._tidy()
        self._tell(jobs[0].loop)

    def _results(self, jobs: Sequence[_Job]) -> list[Result]:
        return [job.work(self._database) for job in jobs if job.work is not None]

    def _tidy(self) -> None:
        try:
            self._database.tidy()
        except ERRORS as error:
            self._database.failed(error)  # nobody waits for it; it is tried again with the next write

    def _tell(self, loop: asyncio.AbstractEventLoop) -> None:
        trouble = self._database.trouble
        if trouble != self._told:
            self._told = trouble
            _call_on(loop, lambda: self._notify(trouble))


def _call_on(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:
        pass  # the loop has been closed; nobody waits any more
