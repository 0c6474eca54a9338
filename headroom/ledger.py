"""What was decided once, and is replayed ever after."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Sequence
from typing import TypeVar

import msgspec
from blake3 import blake3

from headroom.faults import StoreDown
from headroom.store import SPACE_DECISION, SPACE_TEXT, Name, Store

T = TypeVar("T")

_ABSENT_COST = 120  # bytes that an entry costs besides its token
TOUCH_SECONDS = 3600.0  # an entry's time to live is renewed at most this often


class Decision(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What takes a slot's place: a JSON string token, and the tokens it was measured at by the yardstick."""

    token: bytes
    before: int
    after: int
    form: str


class Pressing(msgspec.Struct, frozen=True, gc=False):
    """A decision about to be recorded. `text_key` names the text within its conversation."""

    key: bytes
    text_key: bytes
    decision: Decision


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Decision).decode


def text_key(conversation: bytes, token: bytes) -> bytes:
    """The name of a text within a conversation, whatever call produced it."""
    return blake3(conversation + blake3(token).digest()).digest()


class Ledger:
    """Decisions of all workers, with the ones lately used in memory (bounded in bytes, least used leaves first)."""

    def __init__(self, store: Store, cache_bytes: int, timeout: float) -> None:
        self._store = store
        self._limit = cache_bytes
        self._timeout = timeout
        self._size = 0
        # A slot that is known not to be decided is kept as None: history is looked up once, not on every turn.
        self._cache: OrderedDict[bytes, Decision | None] = OrderedDict()
        self._touched: dict[bytes, float] = {}
        self._late: set[asyncio.Task[None]] = set()
        self.failures = 0
        self.up = True

    @property
    def store(self) -> Store:
        """The store behind it."""
        return self._store

    def unknown(self, keys: Sequence[bytes]) -> list[bytes]:
        """The keys that must be asked of the store."""
        cache = self._cache
        return [key for key in keys if key not in cache]

    def get(self, key: bytes) -> Decision | None:
        """The decision on a slot, as far as memory knows."""
        decision = self._cache.get(key)
        if decision is not None:
            self._cache.move_to_end(key)
        return decision

    def forget_absence(self, keys: Sequence[bytes]) -> None:
        """Ask the store again for undecided `keys`: as fresh slots, another worker may just have decided them."""
        for key in keys:
            if key in self._cache and self._cache[key] is None:
                del self._cache[key]
                self._size -= _ABSENT_COST

    async def recall(self, keys: Sequence[bytes]) -> None:
        """Bring `keys` into memory. Raises StoreDown."""
        found = await self._bounded(self._store.get([(SPACE_DECISION, key) for key in keys]))
        for key in keys:
            value = found.get((SPACE_DECISION, key))
            self._keep(key, None if value is None else _decode(value))

    async def first_pressings(self, text_keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Slot keys under which texts were first pressed, by text key. Raises StoreDown."""
        found = await self._bounded(self._store.get([(SPACE_TEXT, key) for key in text_keys]))
        return {key: value for (_, key), value in found.items()}

    async def record(self, pressings: Sequence[Pressing]) -> None:
        """Keep decisions durably; afterwards `get` gives what is kept, which may be another worker's.

        Raises StoreDown; then nothing was decided, and what may have been written late is dropped again.
        """
        entries: list[tuple[Name, bytes]] = []
        for pressing in pressings:
            entries.append(((SPACE_DECISION, pressing.key), _encode(pressing.decision)))
            entries.append(((SPACE_TEXT, pressing.text_key), pressing.key))
        try:
            kept = await self._bounded(self._store.put(entries))
        except StoreDown:
            # A write that is acknowledged too late must not be replayed: the original has been sent by then.
            task = asyncio.get_running_loop().create_task(self._undo([name for name, _ in entries]))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
            raise
        for pressing in pressings:
            self._keep(pressing.key, _decode(kept[SPACE_DECISION, pressing.key]))

    def seen(self, keys: Sequence[bytes], now: float) -> None:
        """Renew the time to live of decisions that were replayed, in the background and not more than hourly."""
        touched = self._touched
        due = [key for key in keys if now - touched.get(key, -TOUCH_SECONDS) >= TOUCH_SECONDS]
        if not due:
            return
        if len(touched) > 100_000:
            touched.clear()
        touched.update(dict.fromkeys(due, now))
        task = asyncio.get_running_loop().create_task(self._touch([(SPACE_DECISION, key) for key in due]))
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def close(self) -> None:
        """Finish background work and close the store."""
        if self._late:
            await asyncio.wait(self._late, timeout=self._timeout)
        await self._store.close()

    async def _bounded(self, work: Awaitable[T]) -> T:
        try:
            result = await asyncio.wait_for(work, self._timeout)
        except TimeoutError:
            self._down()
            raise StoreDown(f"the store did not answer in {self._timeout:g} s") from None
        except StoreDown:
            self._down()
            raise
        self.up = True
        return result

    def _down(self) -> None:
        self.up = False
        self.failures += 1

    async def _undo(self, names: Sequence[Name]) -> None:
        try:
            await self._store.forget(names)
        except StoreDown:
            self._down()

    async def _touch(self, names: Sequence[Name]) -> None:
        try:
            await self._store.touch(names)
        except StoreDown:
            self._down()

    def _keep(self, key: bytes, decision: Decision | None) -> None:
        previous = self._cache.pop(key, None)
        self._size -= _cost(previous) if previous is not None else 0
        self._cache[key] = decision
        self._size += _cost(decision)
        while self._size > self._limit and self._cache:
            self._size -= _cost(self._cache.popitem(last=False)[1])


def _cost(decision: Decision | None) -> int:
    return _ABSENT_COST + (0 if decision is None else len(decision.token))
