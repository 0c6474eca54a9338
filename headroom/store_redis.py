"""The store on a Redis server, shared by the workers of several hosts. Needs the extra `headroom[redis]`.

Keys are `headroom:{space}:{key in hex}`; a value is eight bytes that say who wrote it, then the entry. Whoever is told
of an entry that another wrote sets the eight bytes to zero: from then on its writer can no longer take it back.

How durable an entry is, and how many there may be, is the server's affair. It should have `appendonly yes` (with
`appendfsync everysec` a crash of its host costs the last second's decisions, `always` none), and `maxmemory` with
`maxmemory-policy volatile-ttl`, which lets those leave first that were seen longest ago. Scripts and batches name
several keys, so it is one server (or its replica after a failover), not a Redis cluster. Where the `hiredis` package is
installed as well, reading answers costs half the CPU.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar, cast
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from headroom.config import without_password
from headroom.faults import StoreDown
from headroom.store import Name, StoreState

CONNECTIONS: Final = 16  # per process; a call that finds none free within the timeout fails
OWED_LIMIT: Final = 1000  # writes that failed half-way and are still to be taken back
RETRY_SECONDS: Final = (0.1, 5.0)  # first and longest pause between two attempts to take a write back
_BATCH: Final = 1000  # keys per command
_WRITER: Final = 8  # bytes

_T = TypeVar("_T")


class _Script:
    """A script and the name the server knows it by."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.digest = hashlib.sha1(text, usedforsecurity=False).hexdigest()


# KEYS: names. ARGV: milliseconds to live, writer, values. Returns nil for what was written, else what was there.
_PUT = _Script(b"""
local kept = {}
for i, name in ipairs(KEYS) do
  local mine = ARGV[2] .. ARGV[i + 2]
  kept[i] = false
  if not redis.call('SET', name, mine, 'NX', 'PX', ARGV[1]) then
    local there = redis.call('GET', name)
    if there ~= mine then
      redis.call('SETRANGE', name, 0, string.rep('\\0', 8))
      redis.call('PEXPIRE', name, ARGV[1])
      kept[i] = string.sub(there, 9)
    end
  end
end
return kept
""")
# KEYS: names. ARGV: milliseconds to live.
_TOUCH = _Script(b"""
for _, name in ipairs(KEYS) do
  if redis.call('PEXPIRE', name, ARGV[1]) == 1 then
    redis.call('SETRANGE', name, 0, string.rep('\\0', 8))
  end
end
return 0
""")
# KEYS: names. ARGV: writer.
_TAKE_BACK = _Script(b"""
for _, name in ipairs(KEYS) do
  if redis.call('GETRANGE', name, 0, 7) == ARGV[1] then
    redis.call('UNLINK', name)
  end
end
return 0
""")


class RedisStore:
    """See `headroom.store.Store`. `url` is redis://, rediss:// or unix://; `timeout` bounds each call, in seconds.

    The server's own fullness is not known here: `state` says nothing. `notify` is called with each new `trouble`.
    Raises ValueError for an URL that does not name a server.
    """

    kind = "redis"
    state = StoreState()

    def __init__(
        self, url: str, ttl: float, timeout: float, notify: Callable[[str], None] = lambda trouble: None
    ) -> None:
        self.trouble = ""
        self._where = _place(url)
        self._ttl = b"%d" % int(ttl * 1000)
        self._timeout = timeout
        self._notify = notify
        self._closed = False
        self._writes: set[asyncio.Task[dict[Name, bytes]]] = set()
        self._owed: deque[tuple[list[bytes], bytes]] = deque(maxlen=OWED_LIMIT)
        self._settling: asyncio.Task[None] | None = None
        try:
            self._pool = BlockingConnectionPool.from_url(
                url,
                max_connections=CONNECTIONS,
                timeout=timeout,
                socket_timeout=timeout,
                socket_connect_timeout=timeout,
                retry=Retry(NoBackoff(), 0),
                protocol=2,
            )
            self._pool.connection_class(**self._pool.connection_kwargs)  # does not connect, but knows what it was given
        except (TypeError, ValueError, RedisError) as error:
            raise ValueError(str(error)) from error
        self._redis = Redis(connection_pool=self._pool)

    async def open(self) -> None:
        """Find out whether the server is there and keeps what it is given. Raises StoreDown."""
        found = cast("dict[str, object]", await self._bounded(self._redis.info("persistence")))
        if found.get("aof_enabled") == 0:
            self.trouble = f"{self._where} forgets decisions when it restarts; set `appendonly yes` there"
            self._notify(self.trouble)

    async def get(self, names: Sequence[Name]) -> dict[Name, bytes]:
        """See Store. One command per thousand names."""
        found: dict[Name, bytes] = {}
        for at in range(0, len(names), _BATCH):
            part = names[at : at + _BATCH]
            values = await self._bounded(self._redis.mget([_key(name) for name in part]))
            found.update(
                {name: value[_WRITER:] for name, value in zip(part, values, strict=True) if isinstance(value, bytes)}
            )
        return found

    async def put(self, entries: Sequence[tuple[Name, bytes]]) -> dict[Name, bytes]:
        """See Store. One round trip. Goes on when it is cancelled, to be taken back when it is known what it did."""
        if not entries:
            return {}
        first: dict[Name, bytes] = {}
        for name, value in entries:
            first.setdefault(name, value)
        keys = [_key(name) for name in first]
        writer = os.urandom(_WRITER - 1) + b"\x01"  # never zero
        write = asyncio.get_running_loop().create_task(self._write(first, keys, writer))
        self._writes.add(write)
        write.add_done_callback(self._writes.discard)
        try:
            return await asyncio.shield(write)
        except asyncio.CancelledError:
            write.add_done_callback(lambda done: self._take_back(keys, writer) if _succeeded(done) else None)
            raise

    async def forget(self, names: Sequence[Name]) -> None:
        """See Store."""
        for at in range(0, len(names), _BATCH):
            await self._bounded(self._redis.unlink(*[_key(name) for name in names[at : at + _BATCH]]))

    async def touch(self, names: Sequence[Name]) -> None:
        """See Store."""
        for at in range(0, len(names), _BATCH):
            await self._run(_TOUCH, [_key(name) for name in names[at : at + _BATCH]], [self._ttl])

    async def close(self) -> None:
        """See Store. Writes under way are waited for, for as long as one may take, and so is what is owed."""
        self._closed = True
        if self._writes:
            await asyncio.wait(self._writes, timeout=self._timeout)
        await asyncio.sleep(0)  # what was cancelled comes to be owed
        if self._settling is not None:
            await asyncio.wait([self._settling], timeout=self._timeout)
            self._settling.cancel()
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(self._timeout):
                await self._redis.aclose()
                await self._pool.disconnect()

    async def _write(self, entries: dict[Name, bytes], keys: list[bytes], writer: bytes) -> dict[Name, bytes]:
        try:
            there = cast("list[bytes | None]", await self._run(_PUT, keys, [self._ttl, writer, *entries.values()]))
        except StoreDown:
            self._take_back(keys, writer)  # whether it was done nobody knows
            raise
        return {
            name: value if other is None else other for (name, value), other in zip(entries.items(), there, strict=True)
        }

    def _take_back(self, keys: list[bytes], writer: bytes) -> None:
        self._owed.append((keys, writer))
        if self._settling is None or self._settling.done():
            self._settling = asyncio.get_running_loop().create_task(self._settle())

    async def _settle(self) -> None:
        """Take back what is owed, as soon as the server answers again."""
        pause, longest = RETRY_SECONDS
        while self._owed:
            keys, writer = self._owed[0]
            try:
                await self._run(_TAKE_BACK, keys, [writer])
            except StoreDown:
                if self._closed:
                    return
                await asyncio.sleep(pause)
                pause = min(2 * pause, longest)
            else:
                if self._owed and self._owed[0][1] == writer:  # unless too much was owed, and it has left
                    self._owed.popleft()

    async def _run(self, script: _Script, keys: list[bytes], arguments: Sequence[bytes]) -> object:
        """Have a script run, by its digest where the server knows it."""
        count = len(keys)
        try:
            return await self._bounded(
                cast("Awaitable[object]", self._redis.evalsha(script.digest, count, *keys, *arguments))
            )
        except _Unknown:
            return await self._bounded(
                cast("Awaitable[object]", self._redis.eval(script.text.decode(), count, *keys, *arguments))
            )

    async def _bounded(self, command: Awaitable[_T]) -> _T:
        try:
            async with asyncio.timeout(self._timeout):
                return await command
        except NoScriptError as error:
            raise _Unknown(str(error)) from error
        except TimeoutError:
            raise StoreDown(f"{self._where} did not answer in {self._timeout:g} s") from None
        except (RedisError, OSError, ValueError, EOFError) as error:
            raise StoreDown(f"{self._where}: {without_password(str(error))}") from error


class _Unknown(StoreDown):
    """The server does not know a script by its digest."""


def _place(url: str) -> str:
    """The server as errors name it: without user or password."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return f"redis at {parts.path}"
    return f"redis at {parts.hostname or 'localhost'}:{parts.port or 6379}"


def _key(name: Name) -> bytes:
    return b"headroom:%d:%b" % (name[0], name[1].hex().encode())


def _succeeded(done: asyncio.Task[dict[Name, bytes]]) -> bool:
    return not done.cancelled() and done.exception() is None
