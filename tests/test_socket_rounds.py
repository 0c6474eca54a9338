"""The proxy's tools on a socket: the model fetches and remembers in the middle of a response, and nobody notices."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import pytest
from openai import AsyncOpenAI, omit
from websockets.asyncio.client import ClientConnection, connect

from headroom.answering import LIMIT_REACHED
from headroom.edge import Edge
from headroom.metrics import stats
from headroom.socket_messages import Asking
from headroom.socket_rounds import continued, preceded
from tests.support.origin import Origin
from tests.support.retrieving import (
    PARAMETERS,
    TOOL,
    check_pairs,
    check_requests,
    edge,
    fetch,
    log,
    markers,
    outputs,
    run,
    texts,
    tool_list,
)
from tests.support.script import Json, Script, ToolCall, Turn
from tests.support.socket_origin import SocketOrigin, Way
from tests.support.sockets import prompt, result
from tests.support.tools import NAMES, answer, remembering
from tests.test_duplex import blank
from tests.test_retrieval import SHAPES, WRONG, _commands, wanted
from tests.test_socket_clients import post

LOG = log(0)
FIELDS = {"session-id": "s1", "authorization": "Bearer sk-test"}
LOGIN = {"session-id": "s1", "authorization": "Bearer a.b.c"}
DEVELOPER: Json = {"type": "message", "role": "developer", "content": "Be brief."}
TOOLS: list[Json] = [{"type": "function", "name": "Bash", "parameters": PARAMETERS, "strict": False}]
FIRST = Turn("I look.", (run("log 0"),))
LAST = Turn("Done: the database is down, as far as can be told.")
BODY: Json = {"model": "m", "tools": TOOLS, "store": False, "stream": True}


@dataclass
class Talk:
    """A client that goes on from the last response it was told, and keeps its history as it got it."""

    socket: ClientConnection
    history: list[Any] = field(default_factory=list)
    new: list[Any] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)
    events: list[Json] = field(default_factory=list)
    before: str = ""
    words: str = ""
    called: list[tuple[str, ...]] = field(default_factory=list)
    used: int = 0

    def tell(self, *items: Json) -> None:
        """Say something with the next request."""
        self.new += items

    async def ask(self, **more: object) -> Json:
        """Send what is new and return how the response ended."""
        follows = {"previous_response_id": self.before} if self.before else {}
        message = {"type": "response.create", **BODY, "input": self.new, **follows, **more}
        self.sent.append(json.dumps(message).encode())
        await self.socket.send(self.sent[-1].decode())
        self.history += self.new
        self.new = []
        number = 0
        while True:
            event: Json = json.loads(await self.socket.recv())
            self.events.append(event)
            if "sequence_number" in event:
                assert event["sequence_number"] == number, event
                number += 1
            if event["type"] == "response.output_item.done":
                self._take(event["item"])
            if event["type"] in ("response.completed", "response.incomplete", "response.failed", "error"):
                break
        answer = event.get("response", event)
        assert isinstance(answer, dict)
        if event["type"] == "response.completed":
            self.before = str(answer["id"])
            calls = [item for item in answer["output"] if item["type"] == "function_call"]
            self.called.append(tuple(json.loads(call["arguments"])["command"] for call in calls))
            usage: Any = answer["usage"]
            self.used += usage["output_tokens"]
        return answer

    def _take(self, item: Any) -> None:
        self.history.append(item)
        if item["type"] == "message":
            self.words += "".join(part["text"] for part in item["content"])
        if item["type"] == "function_call":
            assert item["name"] == "Bash"
            self.new.append(result(item["call_id"], outputs(json.loads(item["arguments"])["command"])))

    async def warm(self) -> None:
        """Begin as agents do that want the answer soon: with what they say themselves."""
        self.tell(DEVELOPER)
        await self.ask(generate=False)
        self.called.clear()
        self.used = 0
        self.tell(prompt("why does it fail?"))

    async def play(self) -> None:
        """Ask until the model calls nothing any more."""
        for _ in range(12):
            await self.ask()
            if not self.new:
                return
        raise AssertionError("the conversation has no end")


def opened(proxy: Edge, fields: dict[str, str] = FIELDS, **more: Any) -> connect:
    """A socket through a proxy."""
    url = f"ws://127.0.0.1:{proxy.port}/v1/responses"
    return connect(url, additional_headers=fields, max_size=None, **{"compression": None, **more})


def requests(sockets: SocketOrigin) -> list[bytes]:
    """The requests that the provider has answered, whole."""
    return [said.whole_raw for said in sockets.said if said.whole]


def unseen(talk: Talk) -> None:
    """The client was told of no tool but its own, what the provider says of the request apart."""
    told = [event for event in talk.events if "response" not in event]
    outputs = [event["response"]["output"] for event in talk.events if "response" in event]  # type: ignore[index]
    assert TOOL not in json.dumps([told, outputs]) and "memory_" not in json.dumps([told, outputs])


@pytest.mark.parametrize("store", [True, False], ids=["stored", "not stored"])
@pytest.mark.parametrize("shape", SHAPES)
async def test_the_model_gets_the_original_and_the_client_never_sees_the_tool(shape: str, store: bool) -> None:
    turns = [FIRST, *SHAPES[shape], LAST]
    sockets = SocketOrigin()
    async with Origin(Script.single(turns), sockets=sockets) as origin, edge(origin.url) as proxy:
        async with opened(proxy) as socket:
            talk = Talk(socket)
            await talk.warm()
            await talk.play()
        assert not sockets.refused and len(sockets.said) == len(turns) + 1
        unseen(talk)
        found = requests(sockets)
        check_requests(found)
        assert TOOL in tool_list(found[0])
        assert LOG not in texts(found[2]) and markers(found[2])
        for call in (call for turn in turns for call in turn.calls if call.name == TOOL):
            assert wanted(call) in texts(found[-1])
        assert talk.called == list(_commands(turns))
        assert talk.words == "".join(turn.text for turn in turns)
        assert talk.used == sum(len(turn.text) // 4 + 20 * len(turn.calls) + 1 for turn in turns)
        mixed = any({call.name for call in turn.calls} == {TOOL, "Bash"} for turn in turns)
        await check_resumed(proxy, origin, sockets, talk, exact=not mixed)
        assert mixed or proxy.board.total("headroom_prefix", "proxy") == 0


async def check_resumed(proxy: Edge, origin: Origin, sockets: SocketOrigin, talk: Talk, *, exact: bool) -> None:
    """The whole conversation goes on in another socket and over HTTP with the bytes that the provider has had."""
    before = requests(sockets)[-1]
    async with opened(proxy) as socket:
        again = Talk(socket, new=list(talk.history))
        await again.ask(generate=False)
    resumed = sockets.said[-1]
    assert resumed.warm and not sockets.refused
    await post(proxy.port, FIELDS, json.dumps({**BODY, "input": talk.history}).encode())
    over_http = origin.requests[-1].body
    assert json.loads(over_http)["input"] == resumed.whole["input"]
    assert tool_list(over_http) == tool_list(resumed.whole_raw) == tool_list(before)
    check_pairs(over_http)
    if exact:
        check_requests([before, over_http])
    else:
        assert sorted(texts(over_http)) == sorted(texts(before))


@pytest.mark.parametrize("call", WRONG, ids=lambda call: json.dumps(call[0].input))
async def test_a_call_that_cannot_be_followed_is_told_what_to_do(call: tuple[ToolCall, str]) -> None:
    sockets = SocketOrigin()
    script = Script.single([FIRST, Turn("", (call[0],)), LAST])
    async with Origin(script, sockets=sockets) as origin, edge(origin.url) as proxy, opened(proxy) as socket:
        talk = Talk(socket)
        await talk.warm()
        await talk.play()
        assert call[1] in texts(requests(sockets)[-1])[-1]


@pytest.mark.parametrize("way", ["plain", "deflated", "deflated anew"])
async def test_whatever_is_deflated_the_rounds_are_the_same(way: Way) -> None:
    turns = [FIRST, *SHAPES["of two logs"], LAST]
    sockets = SocketOrigin(way)
    async with (
        Origin(Script.single(turns), sockets=sockets) as origin,
        edge(origin.url) as proxy,
        opened(proxy, compression="deflate") as socket,
    ):
        assert bool(socket.protocol.extensions) == (way != "plain")
        talk = Talk(socket)
        await talk.warm()
        await talk.play()
        assert talk.called == list(_commands(turns)) and not sockets.refused
        check_requests(requests(sockets))


async def test_memories_are_kept_and_found_from_the_first_request_on() -> None:
    calls = [ToolCall(name, {"query": str(at)}) for at, name in enumerate(NAMES)]
    turns = [Turn("Done.", (calls[0],)), Turn("Done."), Turn("Done.", (calls[1], run("ls"))), LAST]
    sockets = SocketOrigin()
    async with Origin(Script.single(turns), sockets=sockets) as origin:
        proxy = edge(origin.url, ccr_tool="off")
        answers = remembering(proxy)
        async with proxy:
            async with opened(proxy) as socket:
                talk = Talk(socket)
                await talk.warm()
                await talk.ask()
                talk.tell(prompt("And now?"))
                await talk.play()
            unseen(talk)
            found = requests(sockets)
            check_requests(found)
            assert {name for name in NAMES if name in tool_list(found[0])} == {*NAMES}
            for call in calls[:2]:
                assert answer(call.name, json.dumps(call.input).encode()) in texts(found[-1])
            assert len({caller.conversation for _, caller in answers.asked}) == 1
            await check_resumed(proxy, origin, sockets, talk, exact=False)


async def test_what_the_model_says_again_is_put_back_where_it_was_said() -> None:
    turns = [Turn("Done."), Turn("", (fetch(LOG),)), Turn("Done."), Turn("", (fetch(LOG, lines="2"),)), Turn("Done.")]
    sockets = SocketOrigin()
    async with Origin(Script.single(turns), sockets=sockets) as origin, edge(origin.url) as proxy:
        async with opened(proxy) as socket:
            talk = Talk(socket)
            await talk.warm()
            for _ in range(3):
                await talk.ask()
                talk.tell(prompt("And?"))
            talk.new = []
        await check_resumed(proxy, origin, sockets, talk, exact=True)


async def test_rounds_that_no_client_asked_for_are_taken_off_what_was_saved() -> None:
    turns = [FIRST, *SHAPES["three rounds"], LAST]
    sockets = SocketOrigin()
    async with Origin(Script.single(turns), sockets=sockets) as origin, edge(origin.url) as proxy:
        async with opened(proxy) as socket:
            talk = Talk(socket)
            await talk.warm()
            await talk.play()
        bill, saved = stats(proxy.board)["bill"], proxy.board.total("headroom_bill_saved")
    assert isinstance(bill, dict) and bill["forwarded"] > bill["rounds"] > bill["forwarded"] / 2
    assert bill["direct"] == pytest.approx(bill["forwarded"] - bill["rounds"] + saved, abs=1)
    assert saved == proxy.board.total("headroom_tokens_saved_fresh"), "once, and not again in each round"


async def test_calls_without_end_are_answered_three_times_and_then_it_is_over() -> None:
    turns = [FIRST, *(Turn(str(at), (fetch(LOG, lines=str(at + 1)),)) for at in range(9))]
    sockets = SocketOrigin()
    async with (
        Origin(Script.single(turns), sockets=sockets) as origin,
        edge(origin.url) as proxy,
        opened(proxy) as socket,
    ):
        talk = Talk(socket)
        await talk.warm()
        await talk.ask()
        told = await talk.ask()
        assert told["type"] == "error" and told["status"] == 502 and "could not be continued" in str(told["message"])
        assert texts(requests(sockets)[-1])[-1] == LIMIT_REACHED
        # The socket is none the worse for it.
        again = Talk(socket, new=[prompt("something else")])
        assert (await again.ask())["status"] == "completed"


@pytest.mark.parametrize("fields", [LOGIN, {**FIELDS, "x-headroom-bypass": "true"}], ids=["login", "bypass"])
async def test_who_may_not_be_given_tools_has_none(fields: dict[str, str]) -> None:
    sockets = SocketOrigin()
    async with (
        Origin(Script.single([FIRST, LAST]), sockets=sockets) as origin,
        edge(origin.url) as proxy,
        opened(proxy, fields, compression="deflate") as socket,
    ):
        talk = Talk(socket)
        await talk.warm()
        await talk.play()
        assert b"no_context_takeover" not in origin_head(sockets)
        assert all(TOOL.encode() not in found and not markers(found) for found in requests(sockets))
        got = [blank(said.text.encode()) for said in sockets.said]
        assert [sha256(one).digest() for one in got] == [sha256(blank(one)).digest() for one in talk.sent]


def origin_head(sockets: SocketOrigin) -> bytes:
    """The head of the upgrade as the provider got it."""
    return sockets.upgrades[-1].head


@pytest.mark.parametrize(
    "begin",
    [
        lambda: [DEVELOPER, prompt(), {"type": "message", "role": "assistant", "content": "Yes?"}, prompt("Go.")],
        lambda: [{"type": "message", "role": "assistant", "content": "Yes?"}],
    ],
    ids=["with its opening", "without"],
)
async def test_a_conversation_that_is_first_seen_half_way_is_given_nothing(begin: Callable[[], list[Json]]) -> None:
    sockets = SocketOrigin()
    async with (
        Origin(Script.single([FIRST, LAST]), sockets=sockets) as origin,
        edge(origin.url) as proxy,
        opened(proxy) as socket,
    ):
        talk = Talk(socket, new=begin())
        await talk.ask(generate=False)
        talk.tell(prompt("why does it fail?"))
        await talk.ask()
        assert all(TOOL.encode() not in found for found in requests(sockets))


async def test_what_was_not_said_on_this_socket_is_given_nothing() -> None:
    sockets = SocketOrigin()
    async with Origin(Script.single([FIRST, LAST]), sockets=sockets) as origin, edge(origin.url) as proxy:
        async with opened(proxy) as socket:
            talk = Talk(socket)
            await talk.warm()
            await talk.ask()
        async with opened(proxy) as socket:
            talk.socket = socket
            talk.tell(prompt("And?"))
            await talk.ask()
        names = [tool_list(found) for found in requests(sockets)]
        assert [TOOL in one for one in names] == [True, True, False]


async def test_a_tool_that_is_given_with_the_first_cut_stays() -> None:
    turns = [FIRST, *SHAPES["alone"], LAST]
    sockets = SocketOrigin()
    async with (
        Origin(Script.single(turns), sockets=sockets) as origin,
        edge(origin.url, ccr_tool="sticky") as proxy,
    ):
        async with opened(proxy) as socket:
            talk = Talk(socket)
            await talk.warm()
            await talk.play()
        found = requests(sockets)
        assert [TOOL in tool_list(one) for one in found] == [False, False, True, True]
        assert LOG in texts(found[-1])
        await check_resumed(proxy, origin, sockets, talk, exact=True)


def test_what_goes_on_is_spliced_wherever_it_stands() -> None:
    message = b'{"type":"response.create","response": {"input" : "hi", "previous_response_id":null,"a":1} }'
    asking = Asking(message.index(b"{", 1), len(message) - 2)
    made = continued(message, asking, "r", [b"{}", b"[]"])
    assert made == message.replace(b'"hi"', b"[{},[]]").replace(b"null", b'"r"')
    assert continued(b'{"a":1}', Asking(0, 7), "r", [b"{}"]) == b'{"input":[{}],"previous_response_id":"r","a":1}'
    with pytest.raises(ValueError, match="cannot be read"):
        continued(b'{"a":1,"a":2}', Asking(0, 13), "r", [b"{}"])


def test_what_is_owed_comes_before_what_the_client_says() -> None:
    owed = [b'{"o":1}']
    assert preceded(b'{"a":0,"input":[ {"b":1} ]}', owed) == b'{"a":0,"input":[{"o":1},{"b":1}]}'
    assert preceded(b'{"a":0,"input":[]}', owed) == b'{"a":0,"input":[{"o":1}]}'
    assert preceded(b'{"a":0}', owed) == b'{"input":[{"o":1}],"a":0}'
    assert preceded(b'{"input":"hi"}', owed) == b'{"input":[{"o":1},{"role":"user","content":"hi"}]}'
    for body in (b'{"input":3}', b"[]", b"", b'{"input":[],"input":[]}'):
        with pytest.raises(ValueError, match=r"be read|no list"):
            preceded(body, owed)


async def test_the_providers_own_client_sees_one_response() -> None:
    turns = [FIRST, *SHAPES["three rounds"], Turn("Both.", (fetch(LOG, match="ERROR"), run("ls"))), LAST]
    sockets = SocketOrigin("deflated")
    async with Origin(Script.single(turns), sockets=sockets) as origin, edge(origin.url) as proxy:
        client = AsyncOpenAI(api_key="sk-test", base_url=f"http://127.0.0.1:{proxy.port}/v1", max_retries=0)
        async with client, client.responses.connect(max_retries=0) as connection:
            tools: list[Any] = TOOLS
            items: list[Any] = [prompt()]
            before: Any = omit
            said = ""
            while items:
                await connection.response.create(model="m", input=items, tools=tools, previous_response_id=before)
                ended: Any = None
                while ended is None or ended.type != "response.completed":
                    ended = await connection.recv()
                before = ended.response.id
                called = [item for item in ended.response.output if item.type == "function_call"]
                assert {item.name for item in called} <= {"Bash"}
                items = [result(one.call_id, outputs(json.loads(one.arguments)["command"])) for one in called]
                said += ended.response.output_text
    assert said == "".join(turn.text for turn in turns)
    assert not sockets.refused
    check_requests(requests(sockets))
