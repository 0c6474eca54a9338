"""What an answer's prompt cost, and what it would have cost without the proxy."""

from __future__ import annotations

from collections.abc import Sequence

from headroom.providers import Dialect
from headroom.shrink import Receipt
from headroom.usage import Usage


def together(usages: Sequence[Usage | None]) -> Usage | None:
    """The tokens of all rounds of an answer; None where none was reported."""
    heard = [usage for usage in usages if usage is not None]
    if len(heard) < 2:
        return heard[0] if heard else None
    names = Usage.__struct_fields__
    return Usage(*(sum(getattr(usage, name) for usage in heard) for name in names))


def billed(dialect: Dialect, usage: Usage | None, receipt: Receipt | None, carried: int = 0) -> tuple[float, float]:
    """The prompt's price as reported, and what the saved tokens would have added to it, in plain input tokens.

    What would have been paid for a saved token: in a slot that is sent for the first time, the price of writing to the
    cache where the provider wrote anything, else a plain token's; in one that is replayed, the price of reading where
    it read anything, else as for the first; likewise for those `carried` on from earlier requests that the provider
    remembers. Rounds in which the proxy answered the model are in the price, and are not taken off what was saved.
    """
    if usage is None:
        return 0.0, 0.0
    prices = dialect.prices
    bill = usage.uncached + usage.read * prices.read + usage.write * prices.write + usage.write_1h * prices.write_1h
    if receipt is None or receipt.observed:
        return bill, 0.0
    write = prices.write_1h if usage.write_1h else prices.write if usage.write else 1.0
    read = prices.read if usage.read else write
    old = receipt.tokens_before - receipt.tokens_after - receipt.decided_saved + carried
    return bill, receipt.decided_saved * write + old * read
