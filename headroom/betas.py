"""Feature tokens that a client names in a field (`anthropic-beta`, `openai-beta`), kept for its conversation.

A token that was sent once is sent ever after, in the order in which tokens were first seen: providers render prompts by
them, so one that comes and goes would make another prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from blake3 import blake3

from headroom.faults import StoreDown
from headroom.ledger import Ledger

MOST: Final = 64  # additions to one conversation's tokens that are kept
_BATCH: Final = 8


def split(value: bytes) -> list[bytes]:
    """The tokens of a field's value, in order, blanks and empty ones left out."""
    return [token for part in value.split(b",") if (token := part.strip())]


def merge(first: Sequence[bytes], then: Sequence[bytes]) -> bytes:
    """Tokens of `first`, then those of `then` that are not among them, whatever their case; the first spelling wins.

    Joined with commas; empty where there are none. Nothing is sorted.
    """
    seen: dict[bytes, bytes] = {}
    for token in (*first, *then):
        seen.setdefault(token.lower(), token)
    return b",".join(seen.values())


class StickyTokens:
    """The tokens of conversations, in the store: every worker and host sends the same."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def of(self, conversation: bytes, field: bytes, value: bytes) -> bytes:
        """The value to send in `value`'s place: what was sent before in this conversation, then what is new.

        The very object where that is the same tokens in the same order. Raises StoreDown.
        """
        given = split(value)
        known = await self._known(conversation, field)
        merged = merge(known, given)
        return value if split(merged) == given else merged

    async def keep(self, conversation: bytes, field: bytes, value: bytes) -> None:
        """Keep what was sent, once the provider has taken it: a token that it refuses must not be sent for ever."""
        try:
            known = await self._known(conversation, field)
            added = split(merge(known, split(value)))[len(known) :]
            if added:
                await self._add(conversation, field, known, added)
        except StoreDown:
            pass

    async def _known(self, conversation: bytes, field: bytes) -> list[bytes]:
        known: list[bytes] = []
        for at in range(0, MOST, _BATCH):
            found = await self._ledger.stickies([_key(conversation, field, n) for n in range(at, at + _BATCH)])
            for value in found:
                if value is None:
                    return known
                known += [token for token in split(value) if token.lower() not in {k.lower() for k in known}]
        return known

    async def _add(self, conversation: bytes, field: bytes, known: list[bytes], added: list[bytes]) -> list[bytes]:
        """Write the new tokens behind those that are there; another writer's come first where it was faster."""
        for number in range(MOST):
            key = _key(conversation, field, number)
            kept = await self._ledger.stick(key, b",".join(added))
            merged = split(merge(known, split(kept)))
            known, added = merged, [t for t in added if t.lower() not in {k.lower() for k in merged}]
            if not added:
                break
        return known


def _key(conversation: bytes, field: bytes, number: int) -> bytes:
    return blake3(b"tokens %b %d " % (field, number) + conversation).digest()
