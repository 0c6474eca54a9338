"""Every request is compared with the one before it: nobody changed its prefix, or the client did; never the proxy."""

from __future__ import annotations

import pytest

from headroom.edge import Edge
from headroom.receipts import RECENT, RUNS, TOLD, Forwarded, Head, Receipts, compare, drift
from headroom.usage import Usage
from headroom.zones.locate import without_markers
from headroom.zones.volatile import Area, Finding
from tests.support.embedded import edge_to
from tests.support.loops import claude_code_loop, gemini_loop, opencode_loop
from tests.support.origin import Origin
from tests.support.outputs import mixed
from tests.support.raw_wire import eventually
from tests.support.retrieving import TALKS, begun, edge, play, run, url_of
from tests.support.script import Script, ToolCall, Turn
from tests.support.sessions import Session, scripted_origin
from tests.support.tools import remembering

RESULTS = mixed(3, 22, 400, 6_000)


HEAD = Head(b"h")


def sent(*items: bytes, went: tuple[bytes, ...] | None = None, head: Head = HEAD) -> Forwarded:
    return Forwarded(head, items, items if went is None else went)


@pytest.mark.parametrize(
    ("before", "now", "cause", "at"),
    [
        (None, sent(b"a"), "new", 0),
        (sent(b"a"), sent(b"a", b"b"), "same", 1),
        (sent(b"a", b"b"), sent(b"a", b"c"), "client", 1),
        (sent(b"a", b"b"), sent(b"a"), "client", 1),
        (sent(b"a"), sent(b"a", head=Head(b"other")), "client", -1),
        (sent(b"a", head=Head(b"s", b"t", b"", b"x")), sent(b"a", head=Head(b"s", b"t", b"", b"y")), "proxy", -1),
        (sent(b"a", head=Head(b"s", b"t", b"", b"x")), sent(b"a", head=Head(b"s", b"u", b"", b"y")), "client", -1),
        (sent(b"a", head=Head(b"s", b"t", b"", b"x")), sent(b"a", head=Head(b"s", b"u", b"", b"x")), "same", 1),
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
    assert compare(None, sent(b"a")).digest != compare(None, sent(b"a", head=Head(b"x"))).digest


def test_what_the_provider_has_is_expected_to_be_read() -> None:
    receipts = Receipts()
    first = receipts.note(b"c", sent(b"a", b"b"), Usage(uncached=10, read=0, write=990)).prefix
    assert (first.cause, first.expected) == ("new", 0)
    assert receipts.note(b"c", sent(b"a", b"b", b"c"), Usage(read=1000, write=100)).prefix.expected == 1000
    assert receipts.note(b"c", sent(b"a", b"x", b"c"), None).prefix.expected == 1100 // 3
    assert receipts.note(b"other", sent(b"a"), None).prefix.cause == "new"


def test_only_so_many_conversations_are_remembered() -> None:
    receipts = Receipts(limit=2)
    for name in (b"1", b"2", b"3"):
        receipts.note(name, sent(b"a"), None)
    assert receipts.note(b"3", sent(b"a"), None).prefix.cause == "same"
    assert receipts.note(b"1", sent(b"a"), None).prefix.cause == "new"


def test_only_so_many_items_are_remembered_in_all_conversations_together() -> None:
    receipts = Receipts(items=10)
    for name in (b"a", b"b", b"a", b"c"):
        receipts.note(name, sent(*[b"%d" % at for at in range(4)]), None)
    assert receipts.note(b"a", sent(b"0", b"1", b"2", b"3", b"4"), None).prefix.cause == "same"
    assert list(receipts._last) == [b"c", b"a"] and receipts._items == 9
    receipts.note(b"long", sent(*[b"%d" % at for at in range(30)]), None)
    assert list(receipts._last) == [b"long"] and receipts._items == 30
    assert receipts.note(b"long", sent(b"0"), None).prefix.cause == "client"
    assert receipts._items == 31, "it may be another that opened alike"
    for at in range(20):
        receipts.note(b"long", sent(b"0", b"%d" % (at + 10), b"x"), None)
    assert receipts._items == 3 * RUNS


async def test_a_proxy_with_many_long_conversations_remembers_so_many_items() -> None:
    async with scripted_origin() as origin, edge_to(origin.url) as proxy:
        proxy.receipts._items_limit = 50
        session = Session(origin)
        for seed in range(6):
            await session.turns(proxy.port, claude_code_loop(seed, 12, RESULTS))
            await eventually(lambda: not proxy.active)
        assert 20 < proxy.receipts._items <= 50
        assert proxy.receipts._items == sum(last.items for last in proxy.receipts._last.values())


@pytest.mark.parametrize(
    ("raw", "bare"),
    [
        (b'{"a":1,"cache_control":{"type":"ephemeral"}}', b'{"a":1}'),
        (b'{"a": 1, "cache_control": {"type": "ephemeral"}, "b": 2}', b'{"a": 1, "b": 2}'),
        (b'{"cache_control": {"type": "ephemeral"}, "b": 2}', b'{"b": 2}'),
        (b'{"cache_control":{"type":"ephemeral"}}', b"{}"),
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


# --- the beginning of a conversation ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "now", "dims"),
    [
        (sent(b"a"), sent(b"a", b"b", b"c"), None),
        (sent(b"a", b"b", b"c", b"d"), sent(b"a", b"b", b"c", b"x"), None),
        (sent(b"a", b"b", b"c", b"d"), sent(b"a", b"b"), None),
        (sent(b"a"), sent(b"a", head=Head(b"x")), ("system",)),
        (sent(b"a"), sent(b"a", head=Head(b"h", b"x")), ("tools",)),
        (sent(b"a", b"b"), sent(b"a", b"x", b"c"), ("early_messages",)),
        (sent(b"a", b"b"), sent(b"a", b"x", head=Head(b"x", b"x")), ("system", "tools", "early_messages")),
        (sent(b"a", b"b"), sent(b"a", b"b", went=(b"a", b"B")), None),
        (sent(b"a"), sent(b"a", head=Head(b"h", b"", b"ours")), None),
        (sent(b"s", b"a", head=Head(b"h", instructing=1)), sent(b"S", b"a", head=Head(b"h", instructing=1)), None),
    ],
)
def test_drift_is_told_with_what_the_client_changed(
    before: Forwarded, now: Forwarded, dims: tuple[str, ...] | None
) -> None:
    """Growing and shrinking is none, nor is what the proxy does. Instructions among the items have their own digest."""
    made = drift(b"conversation", before, now)
    assert (None if made is None else made.dims) == dims
    if made is not None:
        assert len(made.previous) == len(made.current) == 16
        assert made.previous != made.current
        assert made.conversation == b"conversation".hex()[:16]


def test_a_first_request_has_a_digest_and_nothing_before_it() -> None:
    first = drift(b"c", None, sent(b"a"))
    assert first is not None
    assert (first.dims, first.previous) == ((), "") and first.current


def test_a_tool_of_ours_that_comes_later_is_not_the_client_doing() -> None:
    made = compare(sent(b"a"), sent(b"a", b"b", head=Head(b"h", b"", b"ours")))
    assert (made.cause, made.at) == ("proxy", -1)
    both = compare(sent(b"a"), sent(b"a", b"b", head=Head(b"x", b"", b"ours")))
    assert both.cause == "client"


def finding(at: int, mark: bytes = b"1", area: Area = "system") -> Finding:
    return Finding(area, "uuid_v4", f"{area}[{at}].text", f"sample{at}", mark)


def test_a_conversation_is_searched_first_and_then_each_sixteenth_time() -> None:
    receipts = Receipts()
    searched = []
    for at in range(40):
        if receipts.due(b"c", sent(b"a")):
            searched.append(at)
        receipts.note(b"c", sent(b"a"), None)
    assert searched == [0, 16, 32]
    assert receipts.due(b"another", sent(b"a"))


def test_a_conversation_that_drifts_is_searched_once_more_and_not_each_time() -> None:
    receipts = Receipts()
    searched = []
    for at in range(20):
        now = sent(b"a", head=Head(b"%d" % at))
        if receipts.due(b"c", now):
            searched.append(at)
        receipts.note(b"c", now, None)
    assert searched == [0, 1, 16]


def test_a_finding_is_told_once_in_a_conversation() -> None:
    receipts = Receipts()
    assert receipts.note(b"c", sent(b"a"), None, [finding(0)]).found == (finding(0),)
    assert receipts.note(b"c", sent(b"a"), None, [finding(0, b"2"), finding(1)]).found == (finding(1),)
    assert receipts.note(b"other", sent(b"a"), None, [finding(0)]).found == (finding(0),)


def test_a_drift_names_what_was_found_there_and_what_is_known_to_have_changed() -> None:
    receipts = Receipts()
    receipts.note(b"c", sent(b"a"), None, [finding(0), finding(1), finding(0, area="tools")])
    other = sent(b"a", head=Head(b"x"))
    assert receipts.note(b"c", other, None).suspects == (finding(0), finding(1))
    assert receipts.note(b"c", other, None).suspects == ()
    changed = [finding(0), finding(1, b"2"), finding(0, area="tools")]
    assert receipts.note(b"c", sent(b"a"), None, changed).suspects == (finding(1, b"2"),)


def test_what_is_remembered_of_findings_is_bounded() -> None:
    receipts = Receipts()
    told = [
        receipts.note(b"c", sent(b"a"), None, [finding(at + n) for n in range(10)]).found for at in range(0, 90, 10)
    ]
    assert sum(map(len, told)) == TOLD
    assert list(receipts.recent) == [(f.kind, f.location, f.sample) for f in map(finding, range(70, 90))]
    receipts.note(b"c", sent(b"a"), None, [finding(75)])
    assert len(receipts.recent) == RECENT and next(reversed(receipts.recent))[1] == "system[75].text"


@pytest.mark.parametrize("kind", TALKS)
async def test_what_is_put_back_on_each_turn_is_no_change_of_the_prefix(kind: str) -> None:
    turns = [
        Turn("", (run("ls"),)),
        Turn("I keep it.", (ToolCall("memory_save", {"content": "cents"}),)),
        *[Turn("", (run("ls"),))] * 3,
        Turn("Done."),
    ]
    async with Origin(Script.single(turns)) as origin, edge(origin.url) as proxy, begun(kind) as talk:
        answers = remembering(proxy)
        await play(talk, url_of(proxy), stream=True)
        assert answers.asked
        await eventually(lambda: sum(counted(proxy).values()) == len(talk.said))
        assert counted(proxy) == {"new": 1, "same": len(talk.said) - 1}
