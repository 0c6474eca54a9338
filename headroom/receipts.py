"""What was forwarded of a conversation, request after request: is every prefix the one the provider has cached?

For each request: where what is forwarded first differs from what was forwarded before, with cache markers left out of
the comparison, and who caused it. The client may rewrite its own history; the proxy must not, and a warning and a
counter that has to stay at zero say when it did.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from blake3 import blake3

from headroom.usage import Usage

CONVERSATIONS: Final = 2_000  # conversations whose last request is remembered; about 100 bytes an item
ITEMS: Final = 5_000  # items of one request that are compared

Cause = Literal["new", "same", "client", "proxy"]


class Forwarded(msgspec.Struct, frozen=True, gc=False):
    """One request as it was forwarded: digests of what stands before its items (tools and instructions), of each item
    as it came (`came`) and as it went (`went`), all without markers. `head_came` is `head` as it came; empty where
    that is not told."""

    head: bytes
    came: tuple[bytes, ...]
    went: tuple[bytes, ...]
    head_came: bytes = b""

    def digest(self) -> bytes:
        """One digest of it all."""
        return blake3(self.head + b"".join(self.went)).digest()


class Comparison(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """How a request's prefix compares with that of the conversation's last request here.

    `cause` says who made it another: nobody (`same`), or there was none (`new`). `at` is the index of the first item
    that differs, -1 for what stands before the items. `digest` names the forwarded prefix. `expected` are the tokens
    that the provider should have read from its cache, by what it reported last time.
    """

    cause: Cause
    digest: str
    at: int = 0
    items: int = 0
    expected: int = 0


class _Last(msgspec.Struct, gc=False):
    forwarded: Forwarded
    cached: int = 0


class Receipts:
    """The last request of each conversation that this process has seen. For the event loop's thread."""

    def __init__(self, limit: int = CONVERSATIONS) -> None:
        self._limit = limit
        self._last: OrderedDict[bytes, _Last] = OrderedDict()

    def note(self, conversation: bytes, now: Forwarded, usage: Usage | None) -> Comparison:
        """Compare a request with the last one, and remember it with what the provider reported."""
        last = self._last.pop(conversation, None)
        made = compare(None if last is None else last.forwarded, now)
        expected = 0
        if last is not None and made.cause != "new":
            whole = max(1, len(last.forwarded.went))
            expected = last.cached if made.cause == "same" else last.cached * max(0, made.at) // whole
        cached = usage.prompt if usage is not None else 0
        self._last[conversation] = _Last(now, cached)
        if len(self._last) > self._limit:
            self._last.popitem(last=False)
        return msgspec.structs.replace(made, expected=expected)


def compare(before: Forwarded | None, now: Forwarded) -> Comparison:
    """Where `now` first differs from `before`, and whose doing it is. Cost: linear in the items."""
    digest = now.digest().hex()[:16]
    if before is None:
        return Comparison("new", digest, items=len(now.went))
    if before.head != now.head:
        ours = now.head_came != b"" and now.head_came == before.head_came
        return Comparison("proxy" if ours else "client", digest, -1, len(now.went))
    for at, (came, went) in enumerate(zip(now.came, now.went, strict=True)):
        if at == len(before.went):
            break
        if went != before.went[at]:
            # The client sent the same again, so it was us; where it did not, the client's change comes first.
            return Comparison("proxy" if came == before.came[at] else "client", digest, at, len(now.went))
    if len(now.went) < len(before.went):
        return Comparison("client", digest, len(now.went), len(now.went))
    return Comparison("same", digest, len(before.went), len(now.went))


def prefix(head: bytes, came: Sequence[bytes], went: Sequence[bytes], head_came: bytes = b"") -> Forwarded:
    """A request as forwarded, bounded in items."""
    return Forwarded(head, tuple(came[:ITEMS]), tuple(went[:ITEMS]), head_came)
