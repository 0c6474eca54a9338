"""Memories on a socket: told once, and the same in another socket and over HTTP."""

from __future__ import annotations

import json
from pathlib import Path

from websockets.asyncio.client import connect

from headroom.memory import Scope
from tests.support.embedded import edge_to
from tests.support.origin import Origin
from tests.support.script import Json
from tests.support.socket_origin import SocketOrigin
from tests.support.sockets import listing, prompt, result
from tests.test_socket_clients import SCRIPT, TOOLS, calls, post, turn

HEAD = "## Relevant Memories"
FIELDS = {"session-id": "s1", "authorization": "Bearer sk-test"}


def said(body: Json) -> list[str]:
    """The texts of the user's in a request, in order."""
    given = body["input"]
    assert isinstance(given, list)
    texts = []
    for item in given:
        if item.get("role") == "user":
            content = item["content"]
            texts.append(content if isinstance(content, str) else content[-1]["text"])
    return texts


async def test_what_is_told_on_a_socket_is_told_again_in_another_and_over_http(tmp_path: Path) -> None:
    sockets = SocketOrigin()
    memory = {"memory_mode": "auto_tail", "memory_project": "shop", "memory_store": tmp_path / "memory.sqlite"}
    async with Origin(SCRIPT, sockets=sockets) as origin, edge_to(origin.url, **memory) as edge:
        assert edge.remembering is not None
        memories = edge.remembering.memories
        url = f"ws://127.0.0.1:{edge.port}/v1/responses"
        again = prompt("Does the checkout fail again?")
        history: list[object] = [prompt()]
        async with connect(url, additional_headers=FIELDS, max_size=None) as socket:
            developer = {"type": "message", "role": "developer", "content": "d"}
            warm = await turn(socket, developer, generate=False)
            response = await turn(socket, prompt(), previous_response_id=warm["id"])
            for at in range(3):
                output, (call,) = response["output"], calls(response)
                assert isinstance(output, list)
                new = [result(call, listing(at)), again]
                history += [*output, *new]
                response = await turn(socket, *new, previous_response_id=response["id"])
                # Nobody is told before the second time, and each time what is known by then.
                scope = Scope("shop", "", "project")
                await memories.save(scope, f"The checkout fails when clock {at} is wrong.")
        told = said(sockets.said[-1].whole)
        assert [text.count("clock") for text in told] == [0, 0, 1, 2]
        async with connect(url, additional_headers=FIELDS, max_size=None) as socket:
            await turn(socket, *history, generate=False)
        assert said(sockets.said[-1].whole) == told
        await post(edge.port, FIELDS, _body(history))
        assert said(origin.requests[-1].json()) == told
        assert edge.board.total("headroom_prefix", "proxy") == 0


def _body(history: list[object]) -> bytes:
    return json.dumps({"model": "m", "tools": TOOLS, "stream": True, "input": history}).encode()
