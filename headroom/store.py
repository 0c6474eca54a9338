"""Where decisions are kept: the contract, and the store in memory.

Entries are bytes under (space, key), first write wins: what was once recorded is what is replayed, whoever wrote it.
An entry lives for the store's time to live after it was last seen: exactly that old it is still there, a second later
it is gone, and its name can be written anew. A store has a limit in bytes: over it, the entries that were seen longest
ago leave first, but none that was seen within the hour, since a conversation in progress still replays it.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

SPACE_DECISION = 1  # slot key → decision
SPACE_TEXT = 2  # conversation and text → slot key of the first pressing
SPACE_ORIGINAL = 3  # hash of an original text, as its marker names it → the original text
SPACE_STICKY = 4  # conversation → bytes that were once added to its requests, and are added to all that follow
SPACE_HIDDEN = 5  # call the client never saw → the call and its answer, put back at their place on later turns

KEEP_SECONDS: Final = 3600.0  # an entry seen this lately leaves only by expiring
MEMORY_LIMIT: Final = 256 * 1024 * 1024  # most bytes of the store in memory, whatever is set
_ENTRY_COST: Final = 250  # bytes that an entry in memory costs besides its key and value

Name = tuple[int, bytes]
"""A space and a key."""


class StoreState(msgspec.Struct, frozen=True, gc=False):
    """How full a store is, as of its last write. Sizes are bytes; None where only its server knows."""

    size: int | None = None
    limit: int | None = None
    entries: int | None = None

    @property
    def over_limit(self) -> bool:
        """Whether it holds more than it should: what is too much was all seen within the hour, or is leaving."""
        return self.size is not None and self.limit is not None and self.size > self.limit


class Store(Protocol):
    """Keeps entries for all workers of a host, or of several. Every call raises StoreDown if it cannot answer."""

    async def get(self, names: Sequence[Name]) -> dict[Name, bytes]:
        """The entries that there are among `names`."""

    async def put(self, entries: Sequence[tuple[Name, bytes]]) -> dict[Name, bytes]:
        """Keep entries durably, all or none, and return what is now kept under their names: the first write wins.

        Entries that were there count as seen. Cancelled, or when it fails, it leaves nothing behind that was not there
        before, except what another writer has since been told is kept.
        """

    async def forget(self, names: Sequence[Name]) -> None:
        """Drop entries that were never used."""

    async def touch(self, names: Sequence[Name]) -> None:
        """Note that entries were seen, which renews their time to live. What is gone stays gone."""

    async def close(self) -> None:
        """Finish what was begun, and let go."""

    @property
    def kind(self) -> str:
        """What health reports call it."""

    @property
    def state(self) -> StoreState:
        """How full it is. Costs nothing: it is noted with each write."""

    @property
    def trouble(self) -> str:
        """What its owner should look into, in one line that names no entry and no password; empty where all is well."""


class MemoryStore:
    """A store that ends with the process, bounded in bytes; for tests, embedding, and machines without a disk."""

    kind = "memory"
    trouble = ""

    def __init__(self, ttl: float, limit: int = MEMORY_LIMIT, clock: Callable[[], float] = time.time) -> None:
        self._ttl = ttl
        self._limit = min(limit, MEMORY_LIMIT)
        self._clock = clock
        self._size = 0
        self._entries: OrderedDict[Name, tuple[float, bytes]] = OrderedDict()  # what was seen longest ago is first

    @property
    def state(self) -> StoreState:
        """See Store."""
        return StoreState(self._size, self._limit, len(self._entries))

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
        self._expire(now)
        kept: dict[Name, bytes] = {}
        for name, value in entries:
            entry = self._entries.pop(name, None)
            if entry is None:
                self._size += _cost(name, value)
            kept[name] = value if entry is None else entry[1]
            self._entries[name] = (now, kept[name])
        while self._size > self._limit and next(iter(self._entries.values()))[0] < now - KEEP_SECONDS:
            self._drop_first()
        return kept

    async def forget(self, names: Sequence[Name]) -> None:
        """See Store."""
        for name in names:
            entry = self._entries.pop(name, None)
            if entry is not None:
                self._size -= _cost(name, entry[1])

    async def touch(self, names: Sequence[Name]) -> None:
        """See Store."""
        now = self._clock()
        for name in names:
            entry = self._entries.get(name)
            if entry is not None and entry[0] >= now - self._ttl:
                self._entries[name] = (now, entry[1])
                self._entries.move_to_end(name)

    async def close(self) -> None:
        """See Store."""
        await asyncio.sleep(0)

    def _expire(self, now: float) -> None:
        while self._entries and next(iter(self._entries.values()))[0] < now - self._ttl:
            self._drop_first()

    def _drop_first(self) -> None:
        name, (_, value) = self._entries.popitem(last=False)
        self._size -= _cost(name, value)


def _cost(name: Name, value: bytes) -> int:
    return _ENTRY_COST + len(name[1]) + len(value)
