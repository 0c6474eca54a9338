"""What is remembered, appended to what the user says: once, and ever after the same.

The text goes behind the newest of the user's own words, in a request that says them for the first time. It is recorded
before it is sent, and put there again on every later request that has those words; also that there was nothing to add
is recorded, so that a memory saved later never changes what the provider has cached.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from blake3 import blake3

from headroom.faults import MemoryDown, StoreDown
from headroom.ledger import Decision, Ledger, Pressing
from headroom.memory import Memories, Scope
from headroom.recollection import recollect
from headroom.store import SPACE_DECISION
from headroom.zones.locate import Located, Words
from headroom.zones.splice import to_text, to_token

WORDS_LIMIT: Final = 20_000  # characters of the user's words that memories are looked up by

Outcome = Literal[
    "injected", "replayed", "nothing", "no_target", "frozen", "memory_down", "store_down", "mode_disabled", "mode_tool"
]


class Recall(msgspec.Struct, frozen=True, gc=False):
    """Whose memories a request may be given. `adds` is empty where new text may be added, else why not."""

    scope: Scope
    adds: Literal["", "mode_disabled", "mode_tool"] = ""


class Tailed(msgspec.Struct, frozen=True, gc=False):
    """What is appended in one request: JSON string content by the offset behind the token it goes into.

    `size` is bytes added in this request for the first time. `query` is a short hash of what was looked up by.
    """

    tails: dict[int, bytes]
    items: dict[int, bytes]
    outcome: Outcome = "no_target"
    size: int = 0
    query: str = ""


class Tails:
    """Appends memories. One per process, for the event loop's thread."""

    def __init__(self, store: Memories, ledger: Ledger, *, entries: int, tokens: int) -> None:
        self._store = store
        self._ledger = ledger
        self._entries = entries
        self._tokens = tokens

    async def of(
        self,
        body: bytes,
        located: Located,
        recall: Recall,
        said: Sequence[bytes] = (),
        *,
        open_from: int,
        with_tools: bool,
        decide: bool,
    ) -> Tailed:
        """What is appended to the user's words in `body`. Never raises for store or memory being down.

        `said` is what the user said before what the body holds, by digest. New text goes only to the last words, and
        only in an item from `open_from` on. `with_tools`: the model can change memories. Without `decide` only what was
        appended before is.

        Cost: a hash per item of words; a search where the newest are new.
        """
        words = located.words
        if not words:
            return Tailed({}, {}, recall.adds or "no_target")
        keys = _keys(located, recall.scope, said)
        newest = words[-1].item >= located.fresh_from
        old, fresh = (keys[:-1], keys[-1:]) if newest else (keys, [])
        try:
            known = await self._ledger.recall(old, fresh)
        except StoreDown:
            known = self._ledger.known(keys)
            if newest and keys[-1] not in known:
                self._ledger.went_whole(fresh)
            return _tailed(words, keys, known, "store_down")
        self._ledger.renew(self._ledger.due([(SPACE_DECISION, key) for key in known], time.monotonic()))
        if newest and keys[-1] in known:
            return _tailed(words, keys, known, "replayed" if known[keys[-1]].token else "nothing")
        if newest and not decide and not recall.adds:
            # What goes without because of a fault must not go with one when the same request is sent again.
            self._ledger.went_whole(fresh)
        if not newest or not decide:
            return _tailed(words, keys, known, recall.adds or "no_target")
        if recall.adds:
            return _tailed(words, keys, known, recall.adds)
        if words[-1].item < open_from:
            return _tailed(words, keys, known, "frozen")
        return await self._add(body, words, keys, known, recall.scope, with_tools)

    async def _add(
        self,
        body: bytes,
        words: list[Words],
        keys: list[bytes],
        known: dict[bytes, Decision],
        scope: Scope,
        with_tools: bool,
    ) -> Tailed:
        """Look up what fits the newest words, and record it."""
        try:
            text = to_text(body[words[-1].start : words[-1].end])
        except ValueError:
            return _tailed(words, keys, known, "no_target")
        if len(text) > WORDS_LIMIT:
            text = text[: WORDS_LIMIT // 2] + "\n" + text[-WORDS_LIMIT // 2 :]
        query = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()
        try:
            found = await self._store.search(scope, text, self._entries)
        except MemoryDown:
            self._ledger.went_whole(keys[-1:])
            return _tailed(words, keys, known, "memory_down", query=query)
        block = recollect(found, scope, with_tools=with_tools, entries=self._entries, tokens=self._tokens)
        tail = to_token("\n\n" + block)[1:-1] if block else b""
        try:
            known |= await self._ledger.record([Pressing(keys[-1], b"", Decision(tail, 0, 0, "memory"))])
        except StoreDown:
            self._ledger.went_whole(keys[-1:])
            return _tailed(words, keys, known, "store_down", query=query)
        return _tailed(words, keys, known, "injected" if tail else "nothing", size=len(tail), query=query)


def owner_of(scope: Scope) -> bytes:
    """Whose conversation it is to which memories are told. Not how far they see, which is a setting: what was sent is
    sent on when it is another."""
    # The first word is a part of every key there is.
    return f"project\0{scope.project}\0{scope.user}".encode()


def _keys(located: Located, scope: Scope, said: Sequence[bytes]) -> list[bytes]:
    """For each of the words, the key that what is appended to them is kept under.

    It names the conversation, whose memories they are, and the item whatever its markers; of several items that say
    the same, each has a key of its own.
    """
    owner = blake3(b"tail" + located.conversation + owner_of(scope)).digest()
    seen: Counter[bytes] = Counter(said)
    keys: list[bytes] = []
    for one in located.words:
        plain = located.plain[one.item]
        keys.append(blake3(owner + plain + b"%d" % seen[plain]).digest())
        seen[plain] += 1
    return keys


def _tailed(
    words: list[Words],
    keys: list[bytes],
    known: dict[bytes, Decision],
    outcome: Outcome,
    *,
    size: int = 0,
    query: str = "",
) -> Tailed:
    tails: dict[int, bytes] = {}
    items: dict[int, bytes] = {}
    for one, key in zip(words, keys, strict=True):
        decision = known.get(key)
        if decision is not None and decision.token:
            tails[one.end] = items[one.item] = decision.token
    return Tailed(tails, items, outcome, size, query)
