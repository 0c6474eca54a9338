"""What an answer's prompt cost, and what it would have cost without the proxy."""

from __future__ import annotations

import pytest

from headroom.billing import Bill, billed, own_round
from headroom.providers import DIALECTS
from headroom.shrunk import Receipt
from headroom.usage import Usage

BLOCKS = next(dialect for dialect in DIALECTS if dialect.prices.write > 1)
RECEIPT = Receipt(b"", tokens_before=1000, tokens_after=300, decided_saved=500)


def test_what_is_new_would_have_been_written_and_what_is_old_read() -> None:
    bill = billed(BLOCKS, [Usage(10, 100, 20)], RECEIPT)
    assert bill.forwarded == pytest.approx(10 + 100 * BLOCKS.prices.read + 20 * BLOCKS.prices.write)
    assert bill.saved == pytest.approx(500 * BLOCKS.prices.write + 200 * BLOCKS.prices.read)
    assert bill.rounds == 0


def test_where_nothing_is_cached_every_token_counts_once() -> None:
    assert billed(BLOCKS, [Usage(10)], RECEIPT, 30) == Bill(10.0, 730.0, 0.0)


def test_later_rounds_are_the_proxys_own() -> None:
    bill = billed(BLOCKS, [Usage(10), None, Usage(0, 100), Usage(7)], RECEIPT)
    assert bill == Bill(17 + 100 * BLOCKS.prices.read, 700.0, 7 + 100 * BLOCKS.prices.read)


def test_nothing_is_known_where_nothing_was_reported() -> None:
    assert billed(BLOCKS, [None], RECEIPT) == own_round(BLOCKS, None) == Bill(0.0, 0.0, 0.0)


def test_of_what_was_only_observed_nothing_was_saved() -> None:
    observed = Receipt(b"", tokens_before=1000, tokens_after=300, decided_saved=500, observed=True)
    assert billed(BLOCKS, [Usage(10)], observed) == billed(BLOCKS, [Usage(10)], None) == Bill(10.0, 0.0, 0.0)


def test_a_round_of_the_proxys_own_saves_nothing() -> None:
    assert own_round(BLOCKS, Usage(10)) == Bill(10.0, 0.0, 10.0)
