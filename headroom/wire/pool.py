"""Which idle connection a request gets, and which are to be closed: decisions only, no sockets."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar


class Reusable(Protocol):
    """A connection the pool may hold."""

    @property
    def usable(self) -> bool:
        """Whether a request may still be written to it."""


K = TypeVar("K", bound=Hashable)
C = TypeVar("C", bound=Reusable)


class Pool(Generic[K, C]):
    """Idle connections by origin. The newest is lent first, so that the oldest can expire.

    `expiry` is in seconds; `limit` bounds the idle connections of one origin. Times are the caller's clock.
    """

    __slots__ = ("_expiry", "_idle", "_limit")

    def __init__(self, expiry: float, limit: int) -> None:
        self._expiry = expiry
        self._limit = limit
        self._idle: dict[K, deque[tuple[float, C]]] = {}

    def take(self, origin: K, now: float) -> C | None:
        """An idle connection to `origin` that is neither expired nor known to be dead, or None."""
        idle = self._idle.get(origin)
        while idle:
            since, link = idle.pop()
            if now - since <= self._expiry and link.usable:
                return link
        return None

    def put(self, origin: K, link: C, now: float) -> C | None:
        """Keep `link`. Returns the connection to close for it: the oldest, where the origin has too many."""
        idle = self._idle.setdefault(origin, deque())
        idle.append((now, link))
        return idle.popleft()[1] if len(idle) > self._limit else None

    def expire(self, now: float) -> list[C]:
        """Connections that have been idle for too long, no longer held. Cost: proportional to what it returns."""
        gone: list[C] = []
        for origin in list(self._idle):
            idle = self._idle[origin]
            while idle and now - idle[0][0] > self._expiry:
                gone.append(idle.popleft()[1])
            if not idle:
                del self._idle[origin]
        return gone

    def clear(self) -> list[C]:
        """Every connection held, no longer held."""
        gone = [link for idle in self._idle.values() for _, link in idle]
        self._idle.clear()
        return gone

    def __len__(self) -> int:
        return sum(map(len, self._idle.values()))
