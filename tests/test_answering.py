"""Tools that the proxy offers and answers: the model calls them in its answer, and the client never sees it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from headroom.answering import BROKEN, LIMIT_REACHED, NOBODY, CallerInfo
from headroom.recollection import MEMORY_TOOLS
from headroom.weave import RETRIEVE, Call
from tests.support.origin import Origin
from tests.support.retrieving import (
    STOPS,
    TALKS,
    begun,
    bodies,
    certificates_read_once,  # noqa: F401 - used by every test here
    check_requests,
    edge,
    fetch,
    log,
    markers,
    play,
    run,
    texts,
    tool_list,
    unseen,
    url_of,
)
from tests.support.script import Script, ToolCall, Turn
from tests.support.sessions import Session, scripted_origin
from tests.support.tools import NAMES, answer, remembering

STREAMED = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "plain"])
BY_KIND = pytest.mark.parametrize("kind", TALKS)
LOG = log(0)
OURS = (RETRIEVE.name, *NAMES)


def save(what: str) -> ToolCall:
    """The model keeps something."""
    return ToolCall("memory_save", {"content": what})


def search(what: str) -> ToolCall:
    """The model looks for something."""
    return ToolCall("memory_search", {"query": what})


def said(call: ToolCall) -> str:
    """What a call of a memory tool is to be answered with."""
    return answer(call.name, json.dumps(call.input).encode())


SHAPES: dict[str, Sequence[Turn]] = {
    "alone": [Turn("I keep it.", (save("cents"),))],
    "alone and silent": [Turn("", (save("cents"),))],
    "two tools in one round": [Turn("Both.", (search("money"), save("cents")))],
    "every tool": [Turn("All.", tuple(ToolCall(name, {"limit": 3}) for name in NAMES))],
    "before a retrieval": [Turn("So.", (save("cents"), fetch(LOG, lines="1")))],
    "after a retrieval": [Turn("So.", (fetch(LOG, lines="1"), search("money")))],
    "beside the client's": [Turn("So.", (save("cents"), run("ls")))],
    "between the client's": [Turn("So.", (run("ls"), save("cents"), fetch(LOG, lines="1"), run("pwd")))],
    "three rounds": [
        Turn("1", (search("money"),)),
        Turn("2", (fetch(LOG, lines="2"),)),
        Turn("3", (save("cents"), search("x"))),
    ],
    "alone, then beside": [Turn("A", (save("cents"),)), Turn("B", (run("ls"), search("money")))],
    "beside, then alone": [Turn("A", (run("ls"), search("money"))), Turn("B", (save("cents"),))],
}
PLAIN = ("alone", "every tool", "between the client's", "three rounds", "alone, then beside")


@BY_KIND
@pytest.mark.parametrize(
    ("shape", "stream"), [*((shape, True) for shape in SHAPES), *((shape, False) for shape in PLAIN)]
)
async def test_the_model_gets_its_answers_and_the_client_never_sees_the_tools(
    kind: str, stream: bool, shape: str
) -> None:
    # The provider of these tests takes items between which results stand for two turns.
    further = [] if kind == "items" else [Turn("And on.", (run("ls"),))]
    turns = [Turn("I look.", (run("log 0"),)), *SHAPES[shape], *further, Turn("Done.")]
    async with Origin(Script.single(turns)) as origin, edge(origin.url) as proxy, begun(kind) as talk:
        answers = remembering(proxy)
        await play(talk, url_of(proxy), stream=stream)
        unseen(talk)
        check_requests(bodies(origin))
        assert len(origin.requests) == len(turns)
        given = texts(origin.requests[-1].body)
        calls = [call for turn in turns for call in turn.calls if call.name in NAMES]
        for call in calls:
            assert said(call) in given
        assert [asked.name for asked, _ in answers.asked] == [call.name for call in calls]
        assert [one.calls for one in talk.said] == list(_commands(turns))
        assert "".join(text for one in talk.said for text in one.texts) == "".join(turn.text for turn in turns)
        assert [one.stop for one in talk.said] == [STOPS[kind][not one.calls] for one in talk.said]
        assert sum(one.output for one in talk.said) == sum(
            len(turn.text) // 4 + 20 * len(turn.calls) + 1 for turn in turns
        )


def _commands(turns: Sequence[Turn]) -> Iterator[tuple[str, ...]]:
    for turn in turns:
        own = tuple(str(call.input["command"]) for call in turn.calls if call.name == "Bash")
        if own or not turn.calls:
            yield own


LOOP = [
    Turn("I look.", (run("log 0"),)),
    Turn("", (search("db"),)),
    Turn("And the other.", (run("log 1"), save("two logs"), run("ls"))),
    Turn("Both.", (fetch(log(1), match="ERROR"), save("it is the db"), run("log 2"))),
    Turn("More.", (fetch(log(2), lines="3"), ToolCall("memory_list", {}))),
    Turn("Now a list.", (run("ls"),)),
    *(Turn(f"Turn {number}.", (run(f"echo {number}"),)) for number in range(4)),
    Turn("Done."),
]


@BY_KIND
async def test_a_long_loop_through_proxies_with_other_settings_goes_on_as_it_began(kind: str, tmp_path: Path) -> None:
    async with Origin(Script.single(LOOP)) as origin, edge(origin.url) as proxy, begun(kind) as talk:
        remembering(proxy)
        await play(talk, url_of(proxy), stream=True)
        steady = bodies(origin)
        check_requests(steady)
        assert all(name in tool_list(steady[0]) for name in OURS)
    settings: Sequence[dict[str, object]] = ({}, {"ccr_tool": "sticky"}, {})
    async with Origin(Script.single(LOOP)) as origin, begun(kind) as talk:
        for at in range(len(LOOP)):
            given = settings[at % len(settings)]
            async with edge(origin.url, store=tmp_path / "store.db", **given) as proxy:
                answers = remembering(proxy)
                if at:
                    proxy.wish = type(proxy.wish)(proxy.wish.retrieve)  # the memory is switched off, its calls answered
                if not (await talk.ask(url_of(proxy), stream=True)).calls:
                    break
                assert all(caller.conversation for _, caller in answers.asked)
        assert bodies(origin) == steady


@BY_KIND
@STREAMED
async def test_a_tool_whose_answerer_is_gone_says_so(kind: str, stream: bool) -> None:
    turns = [Turn("", (run("ls"),)), Turn("I keep it.", (save("cents"), search("x"))), Turn("Done.")]
    async with Origin(Script.single(turns)) as origin, edge(origin.url) as proxy, begun(kind) as talk:
        remembering(proxy)
        await talk.ask(url_of(proxy), stream=stream)
        del proxy.answerers["memory_save"]
        await play(talk, url_of(proxy), stream=stream)
        unseen(talk)
        check_requests(bodies(origin))
        assert texts(origin.requests[-1].body)[1:] == [NOBODY, said(search("x"))]


@BY_KIND
@STREAMED
async def test_after_three_rounds_no_tool_is_answered_until_the_next_turn(kind: str, stream: bool) -> None:
    rounds = [Turn(f"Round {n}. ", (save(str(n)),)) for n in range(1, 5)]
    turns = [Turn("", (run("ls"),)), *rounds, Turn("Enough.", (run("ls"),)), Turn("", (save("5"),)), Turn("Done.")]
    async with Origin(Script.single(turns)) as origin, edge(origin.url) as proxy, begun(kind) as talk:
        answers = remembering(proxy)
        await play(talk, url_of(proxy), stream=stream)
        check_requests(bodies(origin))
        assert LIMIT_REACHED in texts(origin.requests[-1].body)
        assert [json.loads(call.arguments)["content"] for call, _ in answers.asked] == ["1", "2", "3", "5"]


@BY_KIND
async def test_two_conversations_of_one_key_share_nothing(kind: str) -> None:
    turns = [Turn("", (run("ls"),)), Turn("I keep it.", (save("cents"),)), Turn("Done.")]
    async with Origin(Script.single(turns)) as origin, edge(origin.url) as proxy:
        answers = remembering(proxy)
        went: list[list[bytes]] = []
        for prompt in ("the one", "the other"):
            async with begun(kind, prompt=prompt) as talk:
                origin.requests.clear()
                await talk.ask(url_of(proxy), stream=True)
                if went:
                    # Not yet said in this conversation, though the client's words are those of the other.
                    assert said(save("cents")) not in texts(origin.requests[-1].body)
                await play(talk, url_of(proxy), stream=True)
                check_requests(bodies(origin))
                went.append(bodies(origin))
        callers = [caller for _, caller in answers.asked]
        assert len(callers) == 2 == len({caller.conversation for caller in callers})
        assert len({caller.id for caller in callers}) == 2
        assert tool_list(went[0][0]) == tool_list(went[1][0])


@BY_KIND
@STREAMED
async def test_the_clients_own_tool_of_that_name_is_the_clients(kind: str, stream: bool) -> None:
    turns = [
        Turn("", (run("log 0"),)),
        Turn("I search.", (ToolCall("memory_search", {"command": "ls"}), save("cents"), fetch(LOG, lines="1"))),
        Turn("Done."),
    ]
    own = ("Bash", "memory_search")
    async with Origin(Script.single(turns)) as origin, edge(origin.url) as proxy, begun(kind, own=own) as talk:
        answers = remembering(proxy)
        await play(talk, url_of(proxy), stream=stream)
        unseen(talk)
        check_requests(bodies(origin))
        assert talk.said[1].names == ("memory_search",)
        assert [call.name for call, _ in answers.asked] == ["memory_save"]
        assert tool_list(origin.requests[0].body).count('"memory_search"') == 1
        given = texts(origin.requests[-1].body)
        assert "ls\nok" in given and said(save("cents")) in given


@BY_KIND
async def test_tools_are_offered_where_nothing_may_be_cut(kind: str) -> None:
    turns = [Turn("", (run("log 0"),)), Turn("I keep it.", (save("cents"),)), Turn("Done.")]
    async with Origin(Script.single(turns)) as origin, edge(origin.url, ccr_tool="off") as proxy, begun(kind) as talk:
        remembering(proxy)
        await play(talk, url_of(proxy), stream=True)
        unseen(talk)
        check_requests(bodies(origin))
        offered = tool_list(origin.requests[0].body)
        assert RETRIEVE.name not in offered and all(name in offered for name in NAMES)
        assert not any(markers(body) for body in bodies(origin))
        assert said(save("cents")) in texts(origin.requests[-1].body)


@pytest.mark.parametrize(
    ("kind", "key"),
    [("blocks", "sk-ant-oat01-scripted"), ("deltas", "eyJhbGciOi.scripted.x"), ("items", "eyJhbGciOi.scripted.x")],
)
async def test_a_caller_with_a_login_is_offered_none(kind: str, key: str) -> None:
    turns = [Turn("", (run("log 0"),)), Turn("Done.")]
    async with Origin(Script.single(turns)) as origin, edge(origin.url) as proxy, begun(kind, key=key) as talk:
        remembering(proxy)
        await play(talk, url_of(proxy), stream=True)
        assert not any(name in tool_list(body) for body in bodies(origin) for name in OURS)


@BY_KIND
@STREAMED
async def test_an_answer_that_is_no_text_is_passed_to_the_model_as_far_as_it_is(kind: str, stream: bool) -> None:
    async def odd(call: Call, caller: CallerInfo) -> str:
        return 'half \ud83d "quoted"\n\x00'

    turns = [Turn("", (run("ls"),)), Turn("", (save("cents"),)), Turn("Done.")]
    async with Origin(Script.single(turns)) as origin, edge(origin.url) as proxy, begun(kind) as talk:
        proxy.offer(MEMORY_TOOLS[0], odd)
        await play(talk, url_of(proxy), stream=stream)
        check_requests(bodies(origin))
        assert texts(origin.requests[-1].body)[1:] == ['half ? "quoted"\n\x00']


@BY_KIND
@STREAMED
async def test_an_answerer_that_fails_costs_its_result_and_not_the_answer(kind: str, stream: bool) -> None:
    async def broken(call: Call, caller: CallerInfo) -> str:
        raise RuntimeError("a text of somebody's")

    turns = [Turn("", (run("ls"),)), Turn("I keep it.", (save("cents"), search("x"))), Turn("Done.")]
    async with Origin(Script.single(turns)) as origin, edge(origin.url) as proxy, begun(kind) as talk:
        remembering(proxy)
        proxy.answerers["memory_save"] = broken
        await play(talk, url_of(proxy), stream=stream)
        unseen(talk)
        check_requests(bodies(origin))
        assert talk.said[-1].texts[-1].endswith("Done.")
        assert texts(origin.requests[-1].body)[1:] == [BROKEN, said(search("x"))]
        assert proxy.board.total("headroom_shrink_failures") == 1


async def test_an_answerer_is_told_whose_work_it_is_where_nothing_is_remembered() -> None:
    turns = [Turn("", (run("ls"),)), Turn("I keep it.", (save("cents"),)), Turn("Done.")]
    async with Origin(Script.single(turns)) as origin, edge(origin.url) as proxy, begun("blocks") as talk:
        answers = remembering(proxy)
        await play(talk, f"{url_of(proxy)}/p/shop", stream=True)
        assert [(caller.project, caller.user) for _, caller in answers.asked] == [("shop", "")]


SEVERAL: dict[str, dict[str, object]] = {
    "chat": {"n": 2, "messages": [{"role": "user", "content": "Go."}]},
    "contents": {"generationConfig": {"candidateCount": 2}, "contents": [{"role": "user", "parts": [{"text": "Go."}]}]},
}


@pytest.mark.parametrize("kind", SEVERAL)
async def test_a_request_for_several_answers_is_offered_none_since_none_of_them_could_be_gone_on_with(
    kind: str,
) -> None:
    function = {"name": "Bash", "parameters": {"type": "object"}}
    tool = {"type": "function", "function": function} if kind == "chat" else {"functionDeclarations": [function]}
    asked = {"model": "m", **SEVERAL[kind], "tools": [tool]}
    one = json.dumps({**asked, "n": 1, "generationConfig": {}}).encode()
    async with scripted_origin() as origin, edge(origin.url) as proxy:
        remembering(proxy)
        body = json.dumps(asked).encode()
        assert await Session(origin).turn(proxy.port, body) == body
        offered = tool_list(await Session(origin).turn(proxy.port, one))
        assert all(name in offered for name in OURS)


async def test_a_conversation_that_the_provider_keeps_is_offered_none_since_each_round_would_be_kept_as_well() -> None:
    tool = {"type": "function", "name": "Bash", "parameters": {"type": "object"}}
    asked = {"model": "m", "input": [{"role": "user", "content": "Go."}], "tools": [tool]}
    async with scripted_origin() as origin, edge(origin.url) as proxy:
        remembering(proxy)
        for conversation in ("conv_1", {"id": "conv_1"}):
            body = json.dumps({**asked, "conversation": conversation}).encode()
            assert await Session(origin).turn(proxy.port, body) == body
        offered = tool_list(
            await Session(origin).turn(proxy.port, json.dumps({**asked, "conversation": None}).encode())
        )
        assert all(name in offered for name in OURS)
