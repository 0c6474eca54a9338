"""What was decided once, and is replayed ever after."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Coroutine, Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec
import zstandard
from blake3 import blake3

from headroom.faults import StoreDown
from headroom.store import (
    KEEP_SECONDS,
    SPACE_DECISION,
    SPACE_HIDDEN,
    SPACE_ORIGINAL,
    SPACE_STICKY,
    SPACE_TEXT,
    Name,
    Store,
)

T = TypeVar("T")

_ABSENT_COST = 120  # bytes that an entry costs besides its token
# An entry's time to live is renewed at most this often: twice within the time that keeps it from leaving a full store.
TOUCH_SECONDS = KEEP_SECONDS / 2
STICKY_LIMIT = 10_000  # values added to requests that are remembered in memory; a conversation has a few
HIDDEN_LIMIT = 50_000  # turns of which is remembered whether something of them is hidden
WHOLE_LIMIT = 50_000  # slots that had to go as they came while the store was down, remembered in memory


class Decision(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What takes a slot's place: a JSON string token, and the tokens it was measured at by the yardstick.

    An empty token means that the slot goes as it came, now and ever after. `original` is the hash that the slot's text
    is kept under, where the token does not hold all of it; the token ends with its marker then.
    """

    token: bytes
    before: int
    after: int
    form: str
    original: str = ""


WHOLE = Decision(b"", 0, 0, "")


class Pressing(msgspec.Struct, frozen=True, gc=False):
    """A decision about to be recorded. `text_key` names the text within its conversation; empty for `WHOLE`.

    `original` is the slot's text where the decision leaves something out.
    """

    key: bytes
    text_key: bytes
    decision: Decision
    original: str = ""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Decision).decode


def original_name(hash_: str) -> Name:
    """The name an original is kept under."""
    return SPACE_ORIGINAL, bytes.fromhex(hash_)


def pack(text: str) -> bytes:
    """An original as it is kept."""
    return zstandard.ZstdCompressor(level=3).compress(text.encode())


def text_key(conversation: bytes, token: bytes) -> bytes:
    """The name of a text within a conversation, whatever call produced it."""
    return blake3(conversation + blake3(token).digest()).digest()


class Ledger:
    """Decisions of all workers, with the ones lately used in memory (bounded in bytes, least used leaves first)."""

    def __init__(self, store: Store, cache_bytes: int, timeout: float, ttl: float = 7 * 86400.0) -> None:
        self._store = store
        self._limit = cache_bytes
        self._timeout = timeout
        self.ttl = ttl
        self._touch_seconds = min(TOUCH_SECONDS, ttl / 4)
        self._size = 0
        # History that is known not to be decided is kept as None: it is looked up once, not on every turn.
        self._cache: OrderedDict[bytes, Decision | None] = OrderedDict()
        self._whole: OrderedDict[bytes, None] = OrderedDict()
        self._touched: dict[Name, float] = {}
        self._sticky: OrderedDict[bytes, bytes] = OrderedDict()
        self._hidden: OrderedDict[bytes, bytes] = OrderedDict()
        self._background: set[asyncio.Task[None]] = set()
        self.failures = 0
        self.up = True
        self.trouble = ""  # why the store is down

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
            if pressing.decision.original:
                entries.append((original_name(pressing.decision.original), pack(pressing.original)))
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

    def due(self, names: Sequence[Name], now: float) -> list[Name]:
        """Those of the entries that are due to be renewed: at most half-hourly each. They count as renewed from now."""
        touched = self._touched
        due = [name for name in names if now - touched.get(name, -self._touch_seconds) >= self._touch_seconds]
        if due:
            if len(touched) > 100_000:
                touched.clear()
            touched.update(dict.fromkeys(due, now))
        return due

    def renew(self, names: Sequence[Name]) -> None:
        """Renew the time to live of entries that were seen, in the background."""
        if names:
            self.later(self._touch(names))

    def later(self, work: Coroutine[None, None, None]) -> None:
        """Do `work`, which raises nothing, in the background."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def keep_originals(self, originals: Mapping[str, str]) -> None:
        """See to it that originals, by hash, are kept; those that are there are renewed. Raises StoreDown."""
        try:
            await self._bounded(self._store.put([(original_name(h), pack(text)) for h, text in originals.items()]))
        except StoreDown:
            for hash_ in originals:
                self._touched.pop(original_name(hash_), None)
            raise

    async def original(self, hash_: str) -> str | None:
        """The original under a hash, or None. Raises StoreDown."""
        name = original_name(hash_)
        packed = (await self._bounded(self._store.get([name]))).get(name)
        if packed is None:
            return None
        self.renew(self.due([name], time.monotonic()))
        try:
            return zstandard.ZstdDecompressor().decompress(packed).decode()
        except (zstandard.ZstdError, UnicodeDecodeError):
            return None

    async def stickies(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The bytes that were once added to a conversation's requests, where any were.

        What is not there is asked for every time: another worker may add it.

        Raises StoreDown only where memory has none of them: what was sent before must be sent on.
        """
        unknown = [(SPACE_STICKY, key) for key in _missing(self._sticky, keys)]
        if unknown:
            try:
                stored = await self._bounded(self._store.get(unknown))
            except StoreDown:
                if len(unknown) == len(keys):
                    raise
                stored = {}
            for (_, key), value in stored.items():
                self._stick(key, value)
        seen = [(SPACE_STICKY, key) for key in keys if key in self._sticky]
        self.renew(self.due(seen, time.monotonic()))
        return [self._sticky.get(key) for key in keys]

    async def stick(self, key: bytes, value: bytes) -> bytes:
        """Keep bytes that are added to a conversation's requests; returns what is kept, which another worker may have
        written first. Raises StoreDown; then nothing is to be added."""
        return (await self.stick_all([(key, value)]))[0]

    async def stick_all(self, entries: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """Like `stick`, of several at once: all are kept, or StoreDown is raised."""
        names = [(SPACE_STICKY, key) for key, _ in entries]
        put = await self._bounded(
            self._store.put([(name, value) for name, (_, value) in zip(names, entries, strict=True)])
        )
        for (key, _), name in zip(entries, names, strict=True):
            self._stick(key, put[name])
        return [put[name] for name in names]

    def _stick(self, key: bytes, value: bytes) -> None:
        self._sticky[key] = value
        self._sticky.move_to_end(key)
        while len(self._sticky) > STICKY_LIMIT:
            self._sticky.popitem(last=False)

    async def hidden(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """What was kept under `keys` of turns that clients saw in part.

        That there is nothing is remembered: a turn is kept before the client has its end. Raises StoreDown only where
        memory has none of them: what was sent before must be sent on.
        """
        unknown = _missing(self._hidden, dict.fromkeys(keys))
        down: StoreDown | None = None
        if unknown:
            try:
                stored = await self._bounded(self._store.get([(SPACE_HIDDEN, key) for key in unknown]))
                for key in unknown:
                    self._hide(key, stored.get((SPACE_HIDDEN, key), b""))
            except StoreDown as fault:
                down = fault
        found = {key: value for key in keys if (value := self._hidden.get(key))}
        if down is not None and not found:
            raise down
        self.renew(self.due([(SPACE_HIDDEN, key) for key in found], time.monotonic()))
        return found

    async def hide(self, key: bytes, value: bytes) -> None:
        """Keep what a client does not see of a turn. Raises StoreDown.

        Not where a turn under this key is known to have gone with nothing: another conversation was the same so far,
        and goes on as it began.
        """
        if self._hidden.get(key) == b"":
            return
        name = (SPACE_HIDDEN, key)
        kept = await self._bounded(self._store.put([(name, value)]))
        self._hide(key, kept[name])

    def _hide(self, key: bytes, value: bytes) -> None:
        self._hidden[key] = value
        self._hidden.move_to_end(key)
        while len(self._hidden) > HIDDEN_LIMIT:
            self._hidden.popitem(last=False)

    async def close(self) -> None:
        """Finish background work and close the store."""
        if self._background:
            await asyncio.wait(self._background, timeout=self._timeout)
        await self._store.close()

    async def _bounded(self, work: Awaitable[T]) -> T:
        try:
            result = await asyncio.wait_for(work, self._timeout)
        except TimeoutError:
            fault = StoreDown(f"the store did not answer in {self._timeout:g} s")
            self.went_down(fault)
            raise fault from None
        except StoreDown as fault:
            self.went_down(fault)
            raise
        self.up = True
        self.trouble = ""
        return result

    def went_down(self, fault: StoreDown) -> None:
        """The store has failed; it is taken to be down until it next does what it is asked."""
        self.up = False
        self.trouble = str(fault)
        self.failures += 1

    async def _touch(self, names: Sequence[Name]) -> None:
        try:
            await self._store.touch(names)
        except StoreDown as fault:
            self.went_down(fault)
            for name in names:
                self._touched.pop(name, None)

    def _keep(self, key: bytes, decision: Decision | None) -> None:
        cache = self._cache
        if key in cache:
            self._size -= _cost(cache.pop(key))
        cache[key] = decision
        self._size += _cost(decision)
        while self._size > self._limit and cache:
            self._size -= _cost(cache.popitem(last=False)[1])


def _missing(memory: OrderedDict[bytes, bytes], keys: Iterable[bytes]) -> list[bytes]:
    """Those of `keys` that are not in `memory`. The others leave last: not for what is looked up in their place."""
    missing: list[bytes] = []
    for key in keys:
        if key in memory:
            memory.move_to_end(key)
        else:
            missing.append(key)
    return missing


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
