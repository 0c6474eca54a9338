"""What was decided once, and is replayed ever after."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Sequence
from typing import TypeVar

import msgspec
from blake3 import blake3

from headroom.faults import StoreDown
from headroom.store import KEEP_SECONDS, SPACE_DECISION, SPACE_TEXT, Name, Store

T = TypeVar("T")

_ABSENT_COST = 120  # bytes that an entry costs besides its token
# An entry's time to live is renewed at most this often: twice within the time that keeps it from leaving a full store.
TOUCH_SECONDS = KEEP_SECONDS / 2
WHOLE_LIMIT = 50_000  # slots that had to go as they came while the store was down, remembered in memory


class Decision(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What takes a slot's place: a JSON string token, and the tokens it was measured at by the yardstick.

    An empty token means that the slot goes as it came, now and ever after.
    """

    token: bytes
    before: int
    after: int
    form: str


WHOLE = Decision(b"", 0, 0, "")


class Pressing(msgspec.Struct, frozen=True, gc=False):
    """A decision about to be recorded. `text_key` names the text within its conversation; empty for `WHOLE`."""

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

    def __init__(self, store: Store, cache_bytes: int, timeout: float, ttl: float = 7 * 86400.0) -> None:
        self._store = store
        self._limit = cache_bytes
        self._timeout = timeout
        self._touch_seconds = min(TOUCH_SECONDS, ttl / 4)
        self._size = 0
        # History that is known not to be decided is kept as None: it is looked up once, not on every turn.
        self._cache: OrderedDict[bytes, Decision | None] = OrderedDict()
        self._whole: OrderedDict[bytes, None] = OrderedDict()
        self._touched: dict[bytes, float] = {}
        self._background: set[asyncio.Task[None]] = set()
        self.failures = 0
        self.up = True

    @property
    def store(self) -> Store:
        """The store behind it."""
        return self._store

    async def recall(self, old: Sequence[bytes], fresh: Sequence[bytes]) -> dict[bytes, Decision]:
        """The decisions there are on `old` and `fresh` slots, from memory and, for what it does not know, the store.

        That a fresh slot is undecided is never kept: another worker may be deciding it. Raises StoreDown; `known` then
        says what memory has.
        """
        found = self.known([*old, *fresh])
        cache = self._cache
        unknown = [key for key in old if key not in cache] + [key for key in fresh if key not in found]
        if unknown:
            stored = await self._bounded(self._store.get([(SPACE_DECISION, key) for key in dict.fromkeys(unknown)]))
            young = set(fresh)
            for key in unknown:
                decision = _read(stored.get((SPACE_DECISION, key)))
                if decision is not None:
                    found[key] = decision
                if decision is not None or key not in young:
                    self._keep(key, decision)
        return found

    def known(self, keys: Sequence[bytes]) -> dict[bytes, Decision]:
        """The decisions on `keys` that are in memory."""
        cache, found = self._cache, {}
        for key in keys:
            decision = cache.get(key)
            if decision is not None:
                found[key] = decision
                cache.move_to_end(key)
            elif key in self._whole:
                found[key] = WHOLE
        return found

    async def first_pressings(self, text_keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Slot keys under which texts were first pressed, by text key. Raises StoreDown."""
        found = await self._bounded(self._store.get([(SPACE_TEXT, key) for key in text_keys]))
        return {key: value for (_, key), value in found.items()}

    async def record(self, pressings: Sequence[Pressing]) -> dict[bytes, Decision]:
        """Keep decisions durably and return what is kept under their keys, which may be another worker's.

        Raises StoreDown; then nothing was decided, and nothing of it stays in the store.
        """
        entries: list[tuple[Name, bytes]] = []
        for pressing in pressings:
            entries.append(((SPACE_DECISION, pressing.key), _encode(pressing.decision)))
            if pressing.text_key:
                entries.append(((SPACE_TEXT, pressing.text_key), pressing.key))
        kept = await self._bounded(self._store.put(entries))
        made: dict[bytes, Decision] = {}
        for pressing in pressings:
            decision = _read(kept.get((SPACE_DECISION, pressing.key)))
            if decision is not None:
                made[pressing.key] = decision
                self._keep(pressing.key, decision)
        return made

    def went_whole(self, keys: Sequence[bytes]) -> None:
        """Remember slots that went as they came because of a fault: a retry must not send them otherwise."""
        for key in keys:
            self._whole[key] = None
        while len(self._whole) > WHOLE_LIMIT:
            self._whole.popitem(last=False)

    def seen(self, keys: Sequence[bytes], now: float) -> None:
        """Renew the time to live of decisions that were replayed, in the background and at most half-hourly."""
        touched = self._touched
        due = [key for key in keys if now - touched.get(key, -self._touch_seconds) >= self._touch_seconds]
        if not due:
            return
        if len(touched) > 100_000:
            touched.clear()
        touched.update(dict.fromkeys(due, now))
        task = asyncio.get_running_loop().create_task(self._touch(due))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def close(self) -> None:
        """Finish background work and close the store."""
        if self._background:
            await asyncio.wait(self._background, timeout=self._timeout)
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

    async def _touch(self, keys: Sequence[bytes]) -> None:
        try:
            await self._store.touch([(SPACE_DECISION, key) for key in keys])
        except StoreDown:
            self._down()
            for key in keys:
                self._touched.pop(key, None)

    def _keep(self, key: bytes, decision: Decision | None) -> None:
        cache = self._cache
        if key in cache:
            self._size -= _cost(cache.pop(key))
        cache[key] = decision
        self._size += _cost(decision)
        while self._size > self._limit and cache:
            self._size -= _cost(cache.popitem(last=False)[1])


def _read(value: bytes | None) -> Decision | None:
    """A stored decision; None where there is none, or one that cannot be read."""
    if value is None:
        return None
    try:
        return _decode(value)
    except msgspec.MsgspecError:
        return None


def _cost(decision: Decision | None) -> int:
    return _ABSENT_COST + (0 if decision is None else len(decision.token))
