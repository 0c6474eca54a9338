"""Which conversations keep what was sent of them: marking the end of one that does not would cost more each time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from blake3 import blake3

CONVERSATIONS: Final = 10_000  # of which is remembered what was sent last; about 200 bytes each
RUNS: Final = 16  # that opened alike and are told apart


class KeptPrefixes:
    """What this process has sent last of each conversation, by digest. For the event loop's thread."""

    def __init__(self, limit: int = CONVERSATIONS) -> None:
        self._limit = limit
        self._sent: OrderedDict[bytes, tuple[tuple[int, bytes, bool], ...]] = OrderedDict()

    def keeps(self, conversation: bytes, items: Sequence[bytes], opening: int, *, second: bool) -> bool:
        """Whether a request goes on from what was sent before it; remembers it as sent.

        `items` are digests of its items, the first `opening` of which may begin others as well; `second` says that
        nothing but an opening can have been sent before. True where nothing is known of what was; the same again for a
        request that comes again. Cost: a hash over the digests for each that opened alike.
        """
        if len(items) <= opening:
            return True
        goes_on, compared = second, False
        others: list[tuple[int, bytes, bool]] = []
        told: bool | None = None
        for count, digest, did in self._sent.pop(conversation, ()):
            same = count <= len(items) and digest == _digest(items[:count])
            compared = compared or count <= len(items)
            goes_on = goes_on or same
            if same and count == len(items):
                told = did
            elif not same:
                others.append((count, digest, did))
        verdict = told if told is not None else goes_on or not compared
        self._sent[conversation] = (*others[1 - RUNS :], (len(items), _digest(items), verdict))
        if len(self._sent) > self._limit:
            self._sent.popitem(last=False)
        return verdict


def _digest(items: Sequence[bytes]) -> bytes:
    return blake3(b"".join(items)).digest()
