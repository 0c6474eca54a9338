"""The library's client and a scripted origin through the proxy: loops on sockets, deflated or not, and after them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai import AsyncOpenAI, omit
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedOK
from websockets.typing import Subprotocol

from tests.support.embedded import edge_to
from tests.support.origin import Origin
from tests.support.raw_client import ask
from tests.support.script import Json, Script, ToolCall, Turn
from tests.support.socket_origin import SocketOrigin, Way
from tests.support.sockets import listing, prompt, result

TURNS = [Turn("Look.", (ToolCall("shell", {"cmd": str(at)}),)) for at in range(4)]
SCRIPT = Script.single([*TURNS, Turn("done")])
TOOLS: list[Json] = [{"type": "function", "name": "shell", "parameters": {}}]


async def turn(socket: object, *items: object, **more: object) -> Json:
    """Ask for a response and return it whole."""
    message = {"type": "response.create", "model": "m", "tools": TOOLS, "input": list(items), **more}
    await socket.send(json.dumps(message))  # type: ignore[attr-defined]
    while True:
        event: Json = json.loads(await socket.recv())  # type: ignore[attr-defined]
        if event["type"] in ("response.completed", "error"):
            answer = event.get("response", event)
            assert isinstance(answer, dict)
            return answer


def calls(response: Json) -> list[str]:
    """The ids of the calls in a response."""
    output = response["output"]
    assert isinstance(output, list)
    return [item["call_id"] for item in output if item["type"] == "function_call"]


def texts(body: Json) -> dict[str, str]:
    """Function outputs in a request, by call."""
    given = body["input"]
    assert isinstance(given, list)
    return {item["call_id"]: item["output"] for item in given if item.get("type") == "function_call_output"}


@pytest.mark.parametrize("offers", ["deflate", None])
@pytest.mark.parametrize("way", ["plain", "deflated", "deflated anew"])
async def test_a_loop_on_a_socket_goes_on_in_another_and_over_http_with_the_same_bytes(
    way: Way, offers: str | None
) -> None:
    sockets = SocketOrigin(way)
    async with Origin(SCRIPT, sockets=sockets) as origin, edge_to(origin.url) as edge:
        url = f"ws://127.0.0.1:{edge.port}/v1/responses"
        history: list[object] = [prompt()]
        fields = {"session-id": "s1", "authorization": "Bearer sk-test"}
        async with connect(url, compression=offers, additional_headers=fields, max_size=None) as socket:
            assert bool(socket.protocol.extensions) == (way != "plain" and offers is not None)
            warm = await turn(socket, {"type": "message", "role": "developer", "content": "d"}, generate=False)
            response = await turn(socket, prompt(), previous_response_id=warm["id"])
            for at in range(3):
                (call,) = calls(response)
                new = result(call, listing(at))
                output = response["output"]
                assert isinstance(output, list)
                history += [*output, new]
                response = await turn(socket, new, previous_response_id=response["id"])
            await (await socket.ping())
        whole = texts(sockets.said[-1].whole)
        assert len(whole) == 3 and all(len(text) < len(listing()) / 2 for text in whole.values())
        async with connect(url, compression=offers, additional_headers=fields, max_size=None) as socket:
            warm = await turn(socket, *history, generate=False)
            assert texts(sockets.said[-1].whole) == whole
            (call,) = calls(await turn(socket, prompt("And?"), previous_response_id=warm["id"]))
            assert texts(sockets.said[-1].whole) == whole
        body = json.dumps({"model": "m", "tools": TOOLS, "stream": True, "input": history}).encode()
        await post(edge.port, fields, body)
        assert texts(origin.requests[-1].json()) == whole
        names = [tool["name"] for tool in origin.requests[-1].json()["tools"]]  # type: ignore[attr-defined]
        assert names == ["shell"], "a conversation that began without the retrieve tool is not given it half-way"


async def post(port: int, fields: dict[str, str], body: bytes) -> None:
    """A request over HTTP."""
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    request = f"POST /v1/responses HTTP/1.1\r\nHost: x\r\n{head}Content-Type: application/json\r\n"
    answer = await ask(port, request.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body, b"POST")
    assert answer.status == 200


async def test_what_an_origin_does_not_remember_it_says_itself() -> None:
    sockets = SocketOrigin()
    async with (
        Origin(SCRIPT, sockets=sockets) as origin,
        edge_to(origin.url) as edge,
        connect(f"ws://127.0.0.1:{edge.port}/v1/responses") as socket,
    ):
        told = await turn(socket, prompt(), previous_response_id="resp_other")
        assert told["status"] == 400
        assert calls(await turn(socket, prompt()))


async def test_an_origin_that_closes_is_heard_with_its_code_and_reason() -> None:
    sockets = SocketOrigin(closes=1)
    async with Origin(SCRIPT, sockets=sockets) as origin, edge_to(origin.url) as edge:
        url = f"ws://127.0.0.1:{edge.port}/v1/responses"
        async with connect(url, subprotocols=[Subprotocol("a"), Subprotocol("b")]) as socket:
            assert socket.subprotocol == "a"
            await turn(socket, prompt())
            with pytest.raises(ConnectionClosedOK, match=r"1001 .* enough"):
                await socket.recv()


async def test_a_login_is_sent_where_it_belongs_with_the_token_that_is_needed() -> None:
    sockets = SocketOrigin()
    async with Origin(SCRIPT, sockets=sockets) as origin, edge_to(origin.url, chatgpt_url=origin.url) as edge:
        fields = {"chatgpt-account-id": "a1", "authorization": "Bearer x.y.z", "OpenAI-Beta": "mine"}
        async with connect(f"ws://127.0.0.1:{edge.port}/v1/responses", additional_headers=fields) as socket:
            (call,) = calls(await turn(socket, prompt()))
            await turn(socket, prompt(), result(call, listing()))
    (upgrade,) = sockets.upgrades
    assert upgrade.target == "/backend-api/codex/responses"
    assert upgrade.values("openai-beta") == [b"mine,responses_websockets=2026-02-06"]
    assert len(texts(sockets.said[-1].whole)[call]) < len(listing()) / 2


async def test_no_tool_is_offered_to_a_request_that_goes_on_from_an_answer() -> None:
    async with Origin(SCRIPT) as origin, edge_to(origin.url, ccr_tool="start") as edge:
        fields = {"authorization": "Bearer sk-test"}
        for more, offered in (({}, True), ({"previous_response_id": "resp_000000"}, False)):
            session = {"prompt_cache_key": json.dumps(more)}
            body = {"model": "m", "tools": TOOLS, "input": [prompt()], **session, **more}
            await post(edge.port, fields, json.dumps(body).encode())
            assert (b"headroom_retrieve" in origin.requests[-1].body) == offered


async def test_the_providers_own_client_talks_on_a_socket() -> None:
    sockets = SocketOrigin("deflated")
    async with Origin(SCRIPT, sockets=sockets) as origin, edge_to(origin.url) as edge:
        client = AsyncOpenAI(api_key="sk-test", base_url=f"http://127.0.0.1:{edge.port}/v1", max_retries=0)
        async with client, client.responses.connect(max_retries=0) as connection:
            tools: list[Any] = TOOLS
            items: list[Any] = [prompt()]
            before: Any = omit
            for at in range(3):
                await connection.response.create(model="m", input=items, tools=tools, previous_response_id=before)
                ended: Any = None
                while ended is None or ended.type != "response.completed":
                    ended = await connection.recv()
                before = ended.response.id
                called = [item for item in ended.response.output if item.type == "function_call"]
                items = [result(item.call_id, listing(at)) for item in called]
                assert items
    assert len(texts(sockets.said[-1].whole)) == 2
    assert all(len(text) < len(listing()) / 2 for text in texts(sockets.said[-1].whole).values())
