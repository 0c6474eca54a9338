"""Every request is compared with the one before it: nobody changed its prefix, or the client did; never the proxy."""

from __future__ import annotations

import pytest

from headroom.edge import Edge
from headroom.receipts import Forwarded, Receipts, compare
from headroom.usage import Usage
from headroom.zones.locate import without_markers
from tests.support.embedded import edge_to
from tests.support.loops import claude_code_loop, gemini_loop, opencode_loop
from tests.support.outputs import mixed
from tests.support.raw_wire import eventually
from tests.support.sessions import Session, scripted_origin

RESULTS = mixed(3, 22, 400, 6_000)


def sent(*items: bytes, went: tuple[bytes, ...] | None = None, head: bytes = b"h", came: bytes = b"") -> Forwarded:
    return Forwarded(head, items, items if went is None else went, came)


@pytest.mark.parametrize(
    ("before", "now", "cause", "at"),
    [
        (None, sent(b"a"), "new", 0),
        (sent(b"a"), sent(b"a", b"b"), "same", 1),
        (sent(b"a", b"b"), sent(b"a", b"c"), "client", 1),
        (sent(b"a", b"b"), sent(b"a"), "client", 1),
        (sent(b"a"), sent(b"a", head=b"other"), "client", -1),
        (sent(b"a", head=b"x", came=b"h"), sent(b"a", head=b"y", came=b"h"), "proxy", -1),
        (sent(b"a", head=b"x", came=b"h"), sent(b"a", head=b"y", came=b"i"), "client", -1),
        (sent(b"a", head=b"x", came=b"h"), sent(b"a", head=b"x", came=b"i"), "same", 1),
        (sent(b"a", b"b", went=(b"a", b"B")), sent(b"a", b"b", b"c"), "proxy", 1),
        (sent(b"a", b"b"), sent(b"a", b"b", b"c", went=(b"a", b"B", b"c")), "proxy", 1),
        (sent(b"a", b"b", went=(b"a", b"B")), sent(b"x", b"b", b"c"), "client", 0),
    ],
)
def test_who_changed_the_prefix_is_told_with_its_place(
    before: Forwarded | None, now: Forwarded, cause: str, at: int
) -> None:
    made = compare(before, now)
    assert (made.cause, made.at) == (cause, at)


def test_equal_requests_have_equal_digests_and_others_others() -> None:
    assert compare(None, sent(b"a")).digest == compare(sent(b"x"), sent(b"a")).digest
    assert compare(None, sent(b"a")).digest != compare(None, sent(b"a", head=b"x")).digest


def test_what_the_provider_has_is_expected_to_be_read() -> None:
    receipts = Receipts()
    first = receipts.note(b"c", sent(b"a", b"b"), Usage(uncached=10, read=0, write=990))
    assert (first.cause, first.expected) == ("new", 0)
    assert receipts.note(b"c", sent(b"a", b"b", b"c"), Usage(read=1000, write=100)).expected == 1000
    assert receipts.note(b"c", sent(b"a", b"x", b"c"), None).expected == 1100 // 3
    assert receipts.note(b"other", sent(b"a"), None).cause == "new"


def test_only_so_many_conversations_are_remembered() -> None:
    receipts = Receipts(limit=2)
    for name in (b"1", b"2", b"3"):
        receipts.note(name, sent(b"a"), None)
    assert receipts.note(b"3", sent(b"a"), None).cause == "same"
    assert receipts.note(b"1", sent(b"a"), None).cause == "new"


@pytest.mark.parametrize(
    ("raw", "bare"),
    [
        (b'{"a":1,"cache_control":{"type":"ephemeral"}}', b'{"a":1}'),
        (b'{"a":"\\"cache_control\\":{}"}', b'{"a":"\\"cache_control\\":{}"}'),
        (b"[1]", b"[1]"),
    ],
)
def test_markers_are_left_out_of_the_comparison(raw: bytes, bare: bytes) -> None:
    assert without_markers(raw, "cache_control") == bare


def counted(proxy: Edge) -> dict[str, float]:
    """Requests by who changed their prefix."""
    totals = {cause: proxy.board.total("headroom_prefix", cause) for cause in ("new", "same", "client", "proxy")}
    return {cause: total for cause, total in totals.items() if total}


@pytest.mark.parametrize("loop", [claude_code_loop, opencode_loop, gemini_loop], ids=["claude", "opencode", "gemini"])
async def test_the_proxy_is_never_the_cause(loop: object) -> None:
    async with scripted_origin() as origin, edge_to(origin.url) as proxy:
        session = Session(origin)
        bodies = list(loop(2, 9, RESULTS))  # type: ignore[operator]
        await session.turns(proxy.port, bodies)
        assert session.report.changed
        await eventually(lambda: counted(proxy) == {"new": 1, "same": len(bodies) - 1})


async def test_a_client_that_masks_its_history_is_named_as_the_cause() -> None:
    async with scripted_origin() as origin, edge_to(origin.url) as proxy:
        session = Session(origin)
        await session.turns(proxy.port, gemini_loop(2, 9, RESULTS, masked_at=6))
        await eventually(lambda: counted(proxy) == {"new": 1, "same": 7, "client": 1})


async def test_a_store_that_forgets_is_told_as_our_fault() -> None:
    """What was replayed is gone, so the original goes: the provider has to write it again, and a warning says why."""
    async with scripted_origin() as origin, edge_to(origin.url) as proxy:
        session = Session(origin)
        bodies = list(claude_code_loop(2, 6, RESULTS))
        await session.turns(proxy.port, bodies[:5])
        ledger = proxy.ledger
        ledger._cache.clear()
        ledger._store._entries.clear()  # type: ignore[attr-defined]
        await session.turn(proxy.port, bodies[5])
        await eventually(lambda: counted(proxy).get("proxy") == 1)
