"""Feature tokens that a client names in a field (`anthropic-beta`, `openai-beta`), kept for its conversation.

A token that was sent once is sent ever after, in the order in which tokens were first seen: providers render prompts by
them, so one that comes and goes would make another prefix.

What one conversation asks for is not for another, though it may open alike. Where the client names no session, a
request goes on from the one whose prompt it begins with; where two of the same prompt asked for different tokens,
nobody can tell from which, and the one before them counts. Nothing is sent on to another model, or behind other
instructions and tools: there is no prefix to keep.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from blake3 import blake3

from headroom.faults import StoreDown
from headroom.ledger import Ledger
from headroom.zones.locate import ANSWERS

MOST: Final = 64  # additions to one conversation's tokens that are kept
_BATCH: Final = 8


class Owner(msgspec.Struct, frozen=True, gc=False):
    """Whose tokens they are: a conversation of one caller with one model, by `name`.

    Where its session is not known, `name` is that of the prompt up to its last answer, and `before` are those of the
    prompts up to the answers before, the last one first; None where the session is known.
    """

    name: bytes
    before: tuple[bytes, ...] | None = None


def owner_in_session(conversation: bytes, caller: bytes, model: str) -> Owner:
    """The owner in a session that the client names."""
    return Owner(_name(conversation, caller, model.encode("utf-8", "replace")))


def owner_by_prompt(
    conversation: bytes,
    caller: bytes,
    model: str,
    head: Sequence[bytes],
    items: Sequence[bytes],
    answers: Sequence[int],
) -> Owner:
    """The owner where no session is named. `head` and `items` are digests of the prompt, `answers` how many items there
    are up to each of the last answers, the last one first."""
    common = _name(conversation, caller, model.encode("utf-8", "replace"), *head)
    ends = [*answers, 0] if len(answers) < ANSWERS else answers
    names = [blake3(common + b"".join(items[:end])).digest() for end in ends]
    return Owner(names[0], tuple(names[1:]))


def _name(*parts: bytes) -> bytes:
    return blake3(b"".join(b"%d:%b" % (len(part), part) for part in parts)).digest()


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

    async def of(self, owner: Owner, field: bytes, value: bytes) -> bytes:
        """The value to send in `value`'s place: what was sent before in this conversation, then what is new.

        The very object where that is the same tokens in the same order. Raises StoreDown.
        """
        given = split(value)
        known = await (self._known(owner.name, field) if owner.before is None else self._last(owner.before, field))
        merged = merge(known, given)
        return value if split(merged) == given else merged

    async def keep(self, owner: Owner, field: bytes, value: bytes) -> None:
        """Keep what was sent, once the provider has taken it: a token that it refuses must not be sent for ever."""
        try:
            if owner.before is not None:
                await self._vary(owner.name, field, value)
                return
            known = await self._known(owner.name, field)
            added = split(merge(known, split(value)))[len(known) :]
            if added:
                await self._add(owner.name, field, known, added)
        except StoreDown:
            pass

    async def _last(self, names: Sequence[bytes], field: bytes) -> list[bytes]:
        """What was sent with the nearest prompt that was sent with the same each time."""
        found = await self._ledger.stickies([_key(name, field, n) for name in names for n in (0, 1)]) if names else []
        for one, other in zip(found[::2], found[1::2], strict=True):
            if one is not None and other is None:
                return split(one)
        return []

    async def _vary(self, name: bytes, field: bytes, value: bytes) -> None:
        """Keep what a prompt was sent with, and the first that differs: more say no more."""
        one, other = await self._ledger.stickies([_key(name, field, n) for n in (0, 1)])
        if one is None:
            one = await self._ledger.stick(_key(name, field, 0), value)
        if other is None and _folded(one) != _folded(value):
            await self._ledger.stick(_key(name, field, 1), value)

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


def _folded(value: bytes) -> list[bytes]:
    return [token.lower() for token in split(value)]


def _key(conversation: bytes, field: bytes, number: int) -> bytes:
    return blake3(b"tokens %b %d " % (field, number) + conversation).digest()
