"""What was left out of a text is fetched by the model in the middle of its answer, and the client never notices."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.answering import LIMIT_REACHED
from headroom.faults import StoreDown
from headroom.metrics import stats
from headroom.store import (
    SPACE_DECISION,
    SPACE_HIDDEN,
    SPACE_ORIGINAL,
    SPACE_STICKY,
    MemoryStore,
    Name,
)
from headroom.zones import marker
from tests.support.origin import Origin
from tests.support.redis_server import RedisServer
from tests.support.retrieving import (
    ASKS,
    STOPS,
    TALKS,
    TOOL,
    begun,
    bodies,
    certificates_read_once,  # noqa: F401 - used by every test here
    check_markers,
    check_pairs,
    check_requests,
    edge,
    fetch,
    log,
    markers,
    play,
    play_in_turn,
    run,
    texts,
    tool_list,
    unseen,
    url_of,
)
from tests.support.script import Script, ToolCall, Turn
from tests.support.sessions import served
from tests.support.tools import remembering

STREAMED = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "plain"])
BY_KIND = pytest.mark.parametrize("kind", TALKS)
LOG = log(0)


# --- every way of calling -------------------------------------------------------------------------

PARTS = {"lines": "2-3"}, {"match": "ERROR"}
SHAPES: dict[str, Sequence[Turn]] = {
    "alone": [Turn("All of it.", (fetch(LOG),))],
    "alone and silent": [Turn("", (fetch(LOG),))],
    "after the client's": [Turn("Both.", (run("ls"), fetch(LOG)))],
    "before the client's": [Turn("Both.", (fetch(LOG), run("ls")))],
    "between the client's": [Turn("Both.", (run("ls"), fetch(LOG), run("pwd")))],
    "beside the client's and silent": [Turn("", (fetch(LOG), run("ls"), fetch(LOG, lines="1")))],
    "twice in one turn": [Turn("Two parts.", tuple(fetch(LOG, **part) for part in PARTS))],
    "two rounds": [Turn("One.", (fetch(LOG, lines="1"),)), Turn("Two.", (fetch(LOG, lines="2"),))],
    "two silent rounds": [Turn("", (fetch(LOG, lines="1"),)), Turn("", (fetch(LOG, lines="2"),))],
    "three rounds": [Turn(word, (fetch(LOG, lines=word),)) for word in "123"],
    "alone, then beside": [Turn("A", (fetch(LOG, lines="1"),)), Turn("B", (fetch(LOG, match="ERROR"), run("ls")))],
    "beside, then alone": [Turn("A", (run("ls"), fetch(LOG, lines="1"))), Turn("B", (fetch(LOG, match="ERROR"),))],
    "of two logs": [Turn("More.", (run("log 1"),)), Turn("Both.", (fetch(LOG, lines="1"), fetch(log(1), lines="2")))],
}


PLAIN = ("alone", "between the client's", "two silent rounds", "alone, then beside", "of two logs")


@BY_KIND
@pytest.mark.parametrize(
    ("shape", "stream"), [*((shape, True) for shape in SHAPES), *((shape, False) for shape in PLAIN)]
)
async def test_the_model_gets_the_original_and_the_client_never_sees_the_tool(
    kind: str, stream: bool, shape: str
) -> None:
    turns = [Turn("I look.", (run("log 0"),)), *SHAPES[shape], Turn("Done: the database is down.")]
    async with Origin(Script.single(turns)) as origin, edge(origin.url) as proxy, begun(kind) as talk:
        await play(talk, f"http://127.0.0.1:{proxy.port}", stream=stream)
        unseen(talk)
        check_requests(bodies(origin))
        assert len(origin.requests) == len(turns)
        assert markers(origin.requests[-1].body)
        assert LOG not in texts(origin.requests[1].body)
        given = texts(origin.requests[-1].body)
        for call in (call for turn in turns for call in turn.calls if call.name == TOOL):
            assert wanted(call) in given
        # What the client saw is what the model said, in as many answers as there were turns for the client.
        assert [said.calls for said in talk.said] == list(_commands(turns))
        assert "".join(text for said in talk.said for text in said.texts) == "".join(turn.text for turn in turns)
        assert [said.stop for said in talk.said] == [STOPS[kind][not said.calls] for said in talk.said]
        assert sum(said.output for said in talk.said) == sum(
            len(turn.text) // 4 + 20 * len(turn.calls) + 1 for turn in turns
        )


async def test_rounds_that_no_client_asked_for_are_taken_off_what_was_saved() -> None:
    turns = [Turn("I look.", (run("log 0"),)), *SHAPES["three rounds"], Turn("Done.")]
    async with Origin(Script.single(turns)) as origin, edge(origin.url) as proxy, begun("blocks") as talk:
        await play(talk, f"http://127.0.0.1:{proxy.port}", stream=True)
        paid = [len(request.body) // 4 for request in origin.requests]
        bill, saved = stats(proxy.board)["bill"], proxy.board.total("headroom_bill_saved")
    assert isinstance(bill, dict) and len(paid) == 5
    assert bill["forwarded"] == pytest.approx(sum(paid), rel=0.02)
    assert bill["rounds"] == pytest.approx(sum(paid[2:]), rel=0.02)
    assert bill["direct"] == pytest.approx(sum(paid[:2]) + saved, rel=0.02)
    assert bill["saved"] == pytest.approx(bill["direct"] - bill["forwarded"])


def _commands(turns: Sequence[Turn]) -> Iterator[tuple[str, ...]]:
    for turn in turns:
        own = tuple(str(call.input["command"]) for call in turn.calls if call.name != TOOL)
        if own or not turn.calls:
            yield own


def wanted(call: ToolCall) -> str:
    """What a call of the tool is to be answered with."""
    original = next(text for text in (LOG, log(1)) if marker.key(text) == call.input["hash"])
    rows = original.split("\n")
    if lines := str(call.input.get("lines", "")):
        first, _, last = lines.partition("-")
        shown = rows[int(first) - 1 : int(last or first)]
        return f"[lines {first}-{last or first} of {len(rows)}]\n" + "\n".join(shown)
    if match := str(call.input.get("match", "")):
        found = [f"{at}:{row}" for at, row in enumerate(rows, 1) if match in row]
        return f"[{len(found)} of {len(rows)} lines contain the text]\n" + "\n".join(found)
    return original


WRONG = [
    (ToolCall(TOOL, {"hash": "0" * 24}), "Run the command again"),
    (ToolCall(TOOL, {"hash": "none"}), "24 hex digits"),
    (ToolCall(TOOL, {}), '"hash"'),
    (ToolCall(TOOL, {"hash": ["x"]}), '"hash"'),
    (fetch(LOG, lines="9000-"), "not within"),
    (fetch(LOG, lines="x"), "range"),
    (fetch(LOG, match="nowhere"), "[0 of 302 lines"),
]


@STREAMED
@BY_KIND
async def test_what_cannot_be_given_is_told_to_the_model_with_the_next_step(kind: str, stream: bool) -> None:
    turns = [Turn("", (run("log 0"),)), Turn("All.", tuple(call for call, _ in WRONG)), Turn("Done.")]
    async with Origin(Script.single(turns)) as origin, edge(origin.url) as proxy, begun(kind) as talk:
        await play(talk, url_of(proxy), stream=stream)
        unseen(talk)
        check_requests(bodies(origin))
        for (_, told), text in zip(WRONG, texts(origin.requests[-1].body)[1:], strict=True):
            assert told in text


@STREAMED
@BY_KIND
async def test_after_three_rounds_the_model_is_told_that_there_are_no_more(kind: str, stream: bool) -> None:
    rounds = [Turn(f"Round {n}. ", (fetch(LOG, lines=str(n)),)) for n in range(1, 5)]
    turns = [Turn("", (run("log 0"),)), *rounds, Turn("Enough.", (run("ls"),)), Turn("Done.")]
    async with Origin(Script.single(turns)) as origin, edge(origin.url) as proxy, begun(kind) as talk:
        await play(talk, f"http://127.0.0.1:{proxy.port}", stream=stream)
        unseen(talk)
        check_requests(bodies(origin))
        results = texts(origin.requests[-1].body)
        assert [text[:6] for text in results[1:4]] == ["[lines"] * 3
        assert results[4] == LIMIT_REACHED
        assert proxy.board.total("headroom_retrievals", "found") == 3
        assert talk.said[-1].texts == ("Done.",)


@STREAMED
@BY_KIND
async def test_turns_of_the_same_words_are_told_apart(kind: str, stream: bool) -> None:
    # What is known of a turn is what the client shows of it, and a model says the same again and again.
    turns = [
        Turn("", (run("log 0"),)),
        Turn("Done."),
        Turn("", (fetch(LOG, lines="1"),)),
        Turn("Done."),
        Turn("", (fetch(LOG, lines="2"),)),
        Turn("Done."),
        Turn("Done."),
        Turn("", (fetch(LOG, lines="3"),)),
        Turn("Done."),
        Turn("Over."),
    ]
    async with Origin(Script.single(turns)) as origin, edge(origin.url) as proxy, begun(kind) as talk:
        for _ in range(6):
            await play(talk, f"http://127.0.0.1:{proxy.port}", stream=stream)
            talk.tell("And?")
        assert talk.said[-1].texts == ("Over.",)
        check_requests(bodies(origin))
        assert [text[:10] for text in texts(origin.requests[-1].body)[1:]] == [f"[lines {n}-{n}" for n in range(1, 4)]


async def test_a_client_that_gives_calls_ids_of_its_own_gets_its_turns_back() -> None:
    async with Origin(Script.single(LOOP)) as origin, edge(origin.url) as proxy, begun("parts", own_ids=True) as talk:
        await play(talk, url_of(proxy), stream=True)
        unseen(talk)
        prompts = [json.loads(body)["contents"] for body in bodies(origin)]
        asked = [str(prompt).count(f"'name': '{TOOL}'") for prompt in prompts]
        assert asked == sorted(asked)
        assert asked[-1] == 2 * sum(call.name == TOOL for turn in LOOP for call in turn.calls)


@pytest.mark.parametrize("key", ["AIza-scripted", "AIza-of-another"])
async def test_what_one_conversation_fetched_is_never_put_into_another_where_calls_have_no_ids(key: str) -> None:
    """Both open alike and are answered alike; only what their tools gave is not the same."""
    one = [Turn("", (run("log 0"),)), Turn("", (fetch(LOG),)), Turn("Done."), Turn("Over.")]
    other = [Turn("", (run("log 1"),)), Turn("Done."), Turn("Over.")]
    async with Origin(Script.single(one)) as origin, edge(origin.url) as proxy:
        for script, given_key, error in ((one, "AIza-scripted", "db0"), (other, key, "db1")):
            origin.requests.clear()
            origin.script = Script.single(script)
            async with begun("parts", key=given_key) as talk:
                await play(talk, url_of(proxy), stream=True)
                talk.tell("And?")
                await play(talk, url_of(proxy), stream=True)
            check_requests(bodies(origin))
            assert all(f"{error}: connection refused" in text for text in texts(origin.requests[-1].body))


# --- the store ------------------------------------------------------------------------------------

LOOP = [
    Turn("I look.", (run("log 0"),)),
    Turn("", (fetch(LOG, lines="1"),)),
    Turn("And the other.", (run("log 1"), run("ls"))),
    Turn("Both.", (fetch(log(1), match="ERROR"), run("log 2"))),
    Turn("More.", (fetch(log(2), lines="3"), fetch(LOG, lines="4-5"))),
    Turn("Now a list.", (run("ls"),)),
    Turn("Done."),
]


_STEADY: dict[str, list[bytes]] = {}


async def steady(kind: str) -> list[bytes]:
    """What the provider gets of the loop through one proxy."""
    if kind in _STEADY:
        return _STEADY[kind]
    async with Origin(Script.single(LOOP)) as origin, edge(origin.url) as proxy, begun(kind) as talk:
        await play(talk, url_of(proxy), stream=True)
        check_requests(bodies(origin))
        _STEADY[kind] = bodies(origin)
        return _STEADY[kind]


@BY_KIND
async def test_a_proxy_that_is_restarted_after_every_turn_sends_the_same(kind: str, tmp_path: Path) -> None:
    async with Origin(Script.single(LOOP)) as origin, begun(kind) as talk:
        while True:
            async with edge(origin.url, store=tmp_path / "store.db") as proxy:
                if not (await talk.ask(url_of(proxy), stream=True)).calls:
                    break
        assert bodies(origin) == await steady(kind)


@pytest.mark.parametrize("kind", ["blocks"])
async def test_workers_of_one_port_send_the_same_as_one(kind: str, tmp_path: Path) -> None:
    given = {"store": tmp_path / "store.db", "token_yardstick": "characters", "workers": 2, "ccr_tool": "start"}
    async with Origin(Script.single(LOOP)) as origin, served(origin.url, given) as proxy:
        for _ in range(2):
            origin.requests.clear()
            async with begun(kind, alone=True) as talk:
                await play(talk, f"http://127.0.0.1:{proxy.port}", stream=True)
            assert bodies(origin) == await steady(kind)


@BY_KIND
async def test_two_proxies_on_one_redis_in_turn_send_the_same_as_one(kind: str, redis_server: RedisServer) -> None:
    where = f"{redis_server.url}&client_name={kind}"
    async with (
        Origin(Script.single(LOOP)) as origin,
        edge(origin.url, store=where) as one,
        edge(origin.url, store=where) as other,
        begun(kind) as talk,
    ):
        await play_in_turn(talk, url_of(one), url_of(other))
        assert bodies(origin) == await steady(kind)
        await check_markers(origin, one, other)


@BY_KIND
async def test_a_proxy_that_knows_nothing_sends_originals_and_nothing_dangles(kind: str) -> None:
    async with (
        Origin(Script.single(LOOP)) as origin,
        edge(origin.url) as one,
        edge(origin.url) as other,
        begun(kind) as talk,
    ):
        for at in range(ASKS):
            before = len(origin.requests)
            said = await talk.ask(url_of((one, other)[at % 2]), stream=True)
            for body in bodies(origin)[before:]:
                check_pairs(body)
                assert at % 2 == 0 or not markers(body)
                assert at % 2 == 0 or TOOL not in tool_list(body)
            if not said.calls:
                break
        await check_markers(origin, one)


# --- what must be so for a text to be cut ------------------------------------------------------------

LOOKS = [Turn("I look.", (run("log 0"),)), Turn("And there.", (run("log 1"),)), Turn("Done.")]
LOGIN = {"blocks": "sk-ant-oat01-scripted", "deltas": "eyJhbGciOi.scripted.x", "items": "eyJhbGciOi.scripted.x"}
LOGINS = pytest.mark.parametrize("kind", LOGIN)


def check_whole(origin: Origin, *, tool: bool = False) -> None:
    """Nothing was left out of what the provider got."""
    for body in bodies(origin):
        assert (TOOL in tool_list(body)) == tool
        assert b"<<ccr:" not in body.replace(b"<<ccr:HASH>>", b"").replace(b"<<ccr:...>>", b"")
        check_pairs(body)


@LOGINS
async def test_a_caller_with_a_login_gets_neither_tool_nor_markers(kind: str) -> None:
    async with (
        Origin(Script.single(LOOKS)) as origin,
        edge(origin.url) as proxy,
        begun(kind, key=LOGIN[kind]) as talk,
    ):
        await play(talk, url_of(proxy), stream=True)
        check_whole(origin)
        check_requests(bodies(origin))


@BY_KIND
@pytest.mark.parametrize("given", [{"ccr_tool": "off"}, {"compression_mode": "observe"}], ids=["off", "observe"])
async def test_a_proxy_that_is_told_not_to_cuts_nothing(kind: str, given: dict[str, object]) -> None:
    async with Origin(Script.single(LOOKS)) as origin, edge(origin.url, **given) as proxy, begun(kind) as talk:
        await play(talk, url_of(proxy), stream=True)
        check_whole(origin)


@BY_KIND
async def test_a_conversation_that_is_seen_first_half_way_is_never_cut(kind: str) -> None:
    async with Origin(Script.single(LOOKS)) as origin, edge(origin.url) as proxy, begun(kind) as talk:
        await talk.ask(origin.url, stream=True)
        await play(talk, url_of(proxy), stream=True)
        check_whole(origin)


@BY_KIND
async def test_a_conversation_without_tools_is_never_cut(kind: str) -> None:
    async with Origin(Script.single(LOOKS)) as origin, edge(origin.url) as proxy, begun(kind) as talk:
        await talk.ask(url_of(proxy), stream=True, tools=False)
        await talk.ask(origin.url, stream=True)
        await talk.ask(url_of(proxy), stream=True)
        check_whole(origin)


@BY_KIND
async def test_a_request_without_tools_gets_originals_in_place_of_excerpts(kind: str) -> None:
    async with Origin(Script.single(LOOKS)) as origin, edge(origin.url) as proxy, begun(kind) as talk:
        await talk.ask(url_of(proxy), stream=True)
        # What was decided on is asked for without tools while it is new, as by a client that sums up, and when old.
        for fresh in (True, False):
            history = list(talk.history)
            for tools in (True, False, True, False):
                talk.history[:] = history
                await talk.ask(url_of(proxy), stream=True, tools=tools)
                assert len(markers(origin.requests[-1].body)) == tools * (1 if fresh else 2)
                assert (LOG in texts(origin.requests[-1].body)) == (not tools)
            talk.history[:] = history
            await talk.ask(url_of(proxy), stream=True)
        await check_markers(origin, proxy)


@BY_KIND
async def test_a_text_that_first_went_without_tools_stays_as_it_went(kind: str) -> None:
    async with Origin(Script.single(LOOKS)) as origin, edge(origin.url) as proxy, begun(kind) as talk:
        await talk.ask(url_of(proxy), stream=True)
        history = list(talk.history)
        await talk.ask(url_of(proxy), stream=True, tools=False)
        went = texts(origin.requests[-1].body)
        assert not markers(origin.requests[-1].body)
        talk.history[:] = history
        await talk.ask(url_of(proxy), stream=True)
        assert texts(origin.requests[-1].body) == went


@BY_KIND
async def test_sticky_offers_the_tool_from_the_first_cut_on(kind: str) -> None:
    turns = [Turn("A list.", (run("ls"),)), *LOOP]
    async with (
        Origin(Script.single(turns)) as origin,
        edge(origin.url, ccr_tool="sticky") as proxy,
        begun(kind) as talk,
    ):
        await play(talk, url_of(proxy), stream=True)
        unseen(talk)
        offered = [TOOL in tool_list(body) for body in bodies(origin)]
        assert offered == [False] * 2 + [True] * (len(offered) - 2)
        check_requests(bodies(origin)[2:])
        await check_markers(origin, proxy)


@BY_KIND
@pytest.mark.parametrize("spaces", [{SPACE_DECISION, SPACE_ORIGINAL}, {SPACE_STICKY}], ids=["record", "sticky"])
async def test_what_cannot_be_kept_is_not_cut(kind: str, spaces: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
    put = MemoryStore.put

    async def failing(store: MemoryStore, entries: Sequence[tuple[Name, bytes]]) -> dict[Name, bytes]:
        if any(space in spaces for (space, _), _ in entries):
            raise StoreDown("full")
        return await put(store, entries)

    monkeypatch.setattr(MemoryStore, "put", failing)
    async with Origin(Script.single(LOOKS)) as origin, edge(origin.url) as proxy, begun(kind) as talk:
        for _ in range(2):
            await talk.ask(url_of(proxy), stream=True)
        check_whole(origin, tool=SPACE_STICKY not in spaces)
        # What went whole stays so, also where the store works again.
        monkeypatch.undo()
        await play(talk, url_of(proxy), stream=True)
        assert LOG in texts(origin.requests[-1].body) or not markers(origin.requests[-1].body)
        check_requests(bodies(origin))


@BY_KIND
async def test_a_turn_that_cannot_be_kept_leaves_nothing_dangling(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put = MemoryStore.put

    async def failing(store: MemoryStore, entries: Sequence[tuple[Name, bytes]]) -> dict[Name, bytes]:
        if any(space == SPACE_HIDDEN for (space, _), _ in entries):
            raise StoreDown("full")
        return await put(store, entries)

    monkeypatch.setattr(MemoryStore, "put", failing)
    turns = [Turn("", (run("log 0"),)), Turn("", (fetch(LOG), run("ls"))), Turn("Done.")]
    async with Origin(Script.single(turns)) as origin, edge(origin.url) as proxy, begun(kind) as talk:
        await play(talk, url_of(proxy), stream=True)
        unseen(talk)
        for body in bodies(origin):
            check_pairs(body)
        assert LOG not in texts(origin.requests[-1].body)


# --- whatever happens -----------------------------------------------------------------------------


@st.composite
def loops(draw: st.DrawFn) -> list[Turn]:
    """Turns in which the model asks for anything it was shown, the memory's and the client's tools, in any order."""
    shown = 0
    turns = [Turn("", (run("log 0"),))]
    for _ in range(draw(st.integers(2, 7))):
        fetches, calls, newest = 0, [], shown
        for _ in range(draw(st.integers(1, 3))):
            match draw(st.sampled_from(["fetch", "part", "wrong", "save", "ls", "log"])):
                case "fetch":
                    calls.append(fetch(log(draw(st.integers(0, shown))), lines="7"))
                case "part":
                    calls.append(fetch(log(draw(st.integers(0, shown))), match="ERROR"))
                case "wrong":
                    calls.append(ToolCall(TOOL, {"hash": draw(st.sampled_from(["", "0" * 24]))}))
                case "save":
                    calls.append(ToolCall("memory_save", {"content": str(len(turns))}))
                case "ls":
                    calls.append(run("ls"))
                case _:
                    newest += 1
                    calls.append(run(f"log {newest}"))
            fetches += calls[-1].name != "Bash"
        shown = newest
        if fetches and fetches == len(calls):
            # Not more rounds than are answered.
            calls.append(run("ls"))
        turns.append(Turn(draw(st.sampled_from(["", "Hm.", "I see."])), tuple(calls)))
        if draw(st.booleans()):
            turns.append(Turn("", (fetch(LOG, lines=str(draw(st.integers(1, 9)))),)))
    return [*turns, Turn("Done.")]


@settings(max_examples=8)
@given(
    turns=loops(), kind=st.sampled_from([*TALKS]), plan=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=3)
)
def test_every_marker_stands_for_its_original_and_nothing_ever_changes(
    turns: list[Turn], kind: str, plan: list[tuple[bool, bool]]
) -> None:
    async def through_two() -> None:
        with tempfile.TemporaryDirectory() as folder:
            where = Path(folder) / "store.db"
            async with (
                Origin(Script.single(turns)) as origin,
                edge(origin.url, store=where) as one,
                edge(origin.url, store=where) as other,
                begun(kind) as talk,
            ):
                answers = remembering(one), remembering(other)
                for at in range(2 * ASKS):
                    second, stream = plan[at % len(plan)]
                    said = await talk.ask(url_of(other if second else one), stream=stream or kind == "items")
                    if not said.calls:
                        break
                assert talk.said[-1].texts[-1:] == ("Done.",) or kind in ("parts", "deltas")
                unseen(talk)
                check_requests(bodies(origin))
                await check_markers(origin, one, other)
                saved = [call for body in bodies(origin)[-1:] for call in texts(body) if call.startswith("memory_save")]
                assert len(saved) == sum(len(one.asked) for one in answers) or talk.said[-1].texts[-1:] != ("Done.",)

    asyncio.run(through_two())
