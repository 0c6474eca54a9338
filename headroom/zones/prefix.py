"""Beginnings of bodies that have been read before.

A conversation's next body begins with the bytes of its last one, up to where the client moved a marker or added a turn.
Where such a beginning is found again byte for byte, what it was found to say holds again, and only the rest is parsed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Generic, TypeVar

import msgspec
from blake3 import blake3

T = TypeVar("T")

LEAST = 16 * 1024  # bytes; a shorter beginning is as quickly parsed as recognised
OWNERS = 512  # callers' conversations remembered
PER_OWNER = 8  # beginnings of one owner: interleaved conversations of sub-agents share a session
_TAIL = 64  # bytes compared before a beginning is hashed


class Prefix(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """A beginning of `length` bytes that ends with an item, and what was learnt from it."""

    length: int
    tail: bytes
    digest: bytes
    learnt: T


class Prefixes(Generic[T]):
    """The beginnings seen last, by owner; the least used owner leaves first."""

    def __init__(self) -> None:
        self._owners: OrderedDict[bytes, list[Prefix[T]]] = OrderedDict()

    def find(self, owner: bytes, body: bytes) -> Prefix[T] | None:
        """The longest known beginning of `body`. Cost: hashing it, and one comparison for each that it is not."""
        known = self._owners.get(owner)
        if known is None:
            return None
        self._owners.move_to_end(owner)
        view = memoryview(body)
        for prefix in known:
            end = prefix.length
            # The last bytes first: they tell most other conversations apart without hashing.
            alike = end < len(body) and body[end - _TAIL : end] == prefix.tail
            if alike and blake3(view[:end]).digest() == prefix.digest:
                return prefix
        return None

    def keep(self, owner: bytes, body: bytes, found: Sequence[tuple[int, T]]) -> None:
        """Remember beginnings of `body`, given as (length, what was learnt), the shortest first. Hashes them once."""
        known = list(self._owners.get(owner, ()))[::-1]
        hasher = blake3()
        view = memoryview(body)
        at = 0
        for length, learnt in found:
            hasher.update(view[at:length])
            at = length
            if length >= LEAST:
                known.append(Prefix(length, body[length - _TAIL : length], hasher.digest(), learnt))
        # The newest of each length; conversations that have ended make room for those that go on.
        newest = {(prefix.length, prefix.digest): prefix for prefix in known}
        kept = list(newest.values())[-PER_OWNER:]
        kept.sort(key=lambda prefix: -prefix.length)
        self._owners[owner] = kept
        if len(self._owners) > OWNERS:
            self._owners.popitem(last=False)
