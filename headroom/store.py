"""Where decisions are kept: the contract, and the store in memory.

Entries are bytes under (space, key), first write wins: what was once recorded is what is replayed, whoever wrote it.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Protocol

SPACE_DECISION = 1  # slot key → decision
SPACE_TEXT = 2  # conversation and text → slot key of the first pressing

Name = tuple[int, bytes]
"""A space and a key."""


class Store(Protocol):
    """Keeps entries for all workers of a host, or of several. Every call raises StoreDown if it cannot answer."""

    async def get(self, names: Sequence[Name]) -> dict[Name, bytes]:
        """The entries that there are among `names`."""

    async def put(self, entries: Sequence[tuple[Name, bytes]]) -> dict[Name, bytes]:
        """Keep entries durably, all or none, and return what is now kept under their names: the first write wins.

        Cancelled, it leaves nothing behind that was not there before.
        """

    async def forget(self, names: Sequence[Name]) -> None:
        """Drop entries that were never used."""

    async def touch(self, names: Sequence[Name]) -> None:
        """Note that entries were seen, which renews their time to live."""

    async def close(self) -> None:
        """Finish what was begun, and let go."""

    @property
    def kind(self) -> str:
        """What health reports call it."""


class MemoryStore:
    """A store that ends with the process, bounded in bytes; for tests, embedding, and machines without a disk."""

    kind = "memory"

    def __init__(self, ttl: float, limit: int = 256 * 1024 * 1024, clock: Callable[[], float] = time.time) -> None:
        self._ttl = ttl
        self._limit = limit
        self._clock = clock
        self._size = 0
        self._entries: OrderedDict[Name, tuple[float, bytes]] = OrderedDict()

    async def get(self, names: Sequence[Name]) -> dict[Name, bytes]:
        """See Store."""
        oldest = self._clock() - self._ttl
        found: dict[Name, bytes] = {}
        for name in names:
            entry = self._entries.get(name)
            if entry is not None and entry[0] >= oldest:
                found[name] = entry[1]
        return found

    async def put(self, entries: Sequence[tuple[Name, bytes]]) -> dict[Name, bytes]:
        """See Store."""
        now = self._clock()
        kept: dict[Name, bytes] = {}
        for name, value in entries:
            entry = self._entries.get(name)
            if entry is None or entry[0] < now - self._ttl:
                self._size += len(value) - (0 if entry is None else len(entry[1]))
                entry = (now, value)
                self._entries[name] = entry
            kept[name] = entry[1]
        while self._size > self._limit and self._entries:
            self._size -= len(self._entries.popitem(last=False)[1][1])
        return kept

    async def forget(self, names: Sequence[Name]) -> None:
        """See Store."""
        for name in names:
            entry = self._entries.pop(name, None)
            if entry is not None:
                self._size -= len(entry[1])

    async def touch(self, names: Sequence[Name]) -> None:
        """See Store."""
        now = self._clock()
        for name in names:
            entry = self._entries.get(name)
            if entry is not None:
                self._entries[name] = (now, entry[1])
                self._entries.move_to_end(name)

    async def close(self) -> None:
        """See Store."""
        await asyncio.sleep(0)
