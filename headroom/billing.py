"""What an answer's prompt cost, and what it would have cost without the proxy."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headroom.providers import Dialect
from headroom.shrunk import Receipt
from headroom.usage import Usage


def together(usages: Sequence[Usage | None]) -> Usage | None:
    """The tokens of all rounds of an answer; None where none was reported."""
    heard = [usage for usage in usages if usage is not None]
    if len(heard) < 2:
        return heard[0] if heard else None
    names = Usage.__struct_fields__
    return Usage(*(sum(getattr(usage, name) for usage in heard) for name in names))


class Bill(msgspec.Struct, frozen=True, gc=False):
    """In plain input tokens: the prompts' price as reported, what the saved tokens would have added to it, and the part
    of the price that went for rounds in which the proxy answered the model, which no client asked for."""

    forwarded: float = 0.0
    saved: float = 0.0
    rounds: float = 0.0


def billed(dialect: Dialect, usages: Sequence[Usage | None], receipt: Receipt | None, carried: int = 0) -> Bill:
    """What an answer cost, by the usage of each of its rounds.

    What would have been paid for a saved token: in a slot that is sent for the first time, the price of writing to the
    cache where the provider wrote anything, else a plain token's; in one that is replayed, the price of reading where
    it read anything, else as for the first; likewise for those `carried` on from earlier requests that the provider
    remembers.
    """
    heard = [usage for usage in usages if usage is not None]
    if not heard:
        return Bill()
    first = heard[0]
    own = sum(_price(dialect, usage) for usage in heard[1:])
    forwarded = _price(dialect, first) + own
    if receipt is None or receipt.observed:
        return Bill(forwarded, 0.0, own)
    prices = dialect.prices
    write = prices.write_1h if first.write_1h else prices.write if first.write else 1.0
    read = prices.read if first.read else write
    old = receipt.tokens_before - receipt.tokens_after - receipt.decided_saved + carried
    return Bill(forwarded, receipt.decided_saved * write + old * read, own)


def own_round(dialect: Dialect, usage: Usage | None) -> Bill:
    """What a round cost that is told by itself, and in which the proxy answered the model."""
    if usage is None:
        return Bill()
    price = _price(dialect, usage)
    return Bill(price, 0.0, price)


def _price(dialect: Dialect, usage: Usage) -> float:
    prices = dialect.prices
    return usage.uncached + usage.read * prices.read + usage.write * prices.write + usage.write_1h * prices.write_1h
