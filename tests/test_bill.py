"""Long sessions of every client never cost more through the proxy, and a login's requests differ in results alone."""

from __future__ import annotations

import pytest

from benchmarks.bench_bill import CLIENTS, ratio


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_session_of_mixed_results_costs_less_than_without_the_proxy(client: str) -> None:
    loop, _ = CLIENTS[client]
    found, changed, sound = await ratio(loop, 8, 0, measure="characters")
    assert sound
    assert changed > 2
    assert found < 1.0


async def test_a_login_has_nothing_but_results_changed() -> None:
    loop, _ = CLIENTS["claude_code"]
    found, _, sound = await ratio(loop, 16, 1, measure="characters")
    assert sound  # nothing but results differs
    assert found < 0.97
