"""Callers who are logged in with an account: where their requests go, and what of them is changed."""

from __future__ import annotations

import json

import pytest
import zstandard

from tests.support.embedded import edge_to
from tests.support.origin import Origin, Reply
from tests.support.outputs import invented
from tests.support.raw_client import Answer, connect, read_answer
from tests.support.raw_wire import Wire
from tests.support.request_shape import parse, result_texts
from tests.support.script import Script, Turn
from tests.test_plan import JWT

LOGIN = f"Authorization: Bearer {JWT}"
RESULT = invented("json_uniform", 1, 6_000).text
CALL = {"type": "function_call", "call_id": "c1", "name": "exec_command", "arguments": '{"cmd": "ls"}'}
BODY = json.dumps(
    {
        "model": "gpt-5.1-codex",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "look"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
            CALL,
            {"type": "function_call_output", "call_id": "c1", "output": RESULT},
        ],
        "tools": [{"type": "function", "name": "exec_command", "parameters": {}}],
        "stream": True,
    },
    ensure_ascii=False,
).encode()


async def send(client: Wire, line: str, *fields: str, body: bytes = b"") -> Answer:
    head = "\r\n".join((f"{line} HTTP/1.1", "Host: localhost", *fields, f"Content-Length: {len(body)}", "", ""))
    await client.send(head.encode() + body)
    return await read_answer(client, line.partition(" ")[0].encode())


@pytest.mark.parametrize(
    "path", ["/v1/responses", "/v1/codex/responses", "/backend-api/responses", "/backend-api/codex/responses"]
)
async def test_a_coded_turn_goes_to_the_accounts_origin_with_its_outputs_shorter_and_nothing_else_changed(
    path: str,
) -> None:
    lite = "X-OpenAI-Internal-Codex-Responses-Lite: true"
    coded = zstandard.ZstdCompressor().compress(BODY)
    async with Origin(Script.single([Turn("Done.")])) as origin:
        async with (
            edge_to("http://127.0.0.1:9", chatgpt_url=origin.url, ccr_tool="start") as edge,
            await connect(edge.port) as client,
        ):
            said = "Content-Type: application/json", "Content-Encoding: zstd", "User-Agent: codex_exec/1"
            for _ in range(2):
                answer = await send(client, f"POST {path}?x=1", LOGIN, lite, *said, body=coded)
                assert answer.status == 200 and b"response.completed" in answer.body
        first, second = origin.requests
    assert first.target == "/backend-api/codex/responses?x=1"
    assert first.request.values("chatgpt-account-id") == [b"acc-1"]
    assert not first.request.values("content-encoding") and not first.request.values(lite.partition(":")[0].lower())
    assert first.request.values("user-agent") == [b"codex_exec/1"]
    assert first.body == second.body
    (shown,) = result_texts("responses", parse(first.body))
    assert len(shown.text) < len(RESULT)
    spelled = json.dumps(shown.text, ensure_ascii=False).encode(), json.dumps(RESULT, ensure_ascii=False).encode()
    assert first.body.replace(*spelled) == BODY


async def test_a_refused_upgrade_reaches_the_client_as_it_was() -> None:
    async with Origin(Script()) as origin, edge_to("http://127.0.0.1:9", chatgpt_url=origin.url) as edge:
        async with await connect(edge.port) as client:
            asked = (LOGIN, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: eA==")
            assert (await send(client, "GET /v1/responses", *asked)).status == 426
        (seen,) = origin.requests
        assert seen.target == "/backend-api/codex/responses" and seen.request.value("upgrade") == "websocket"
        assert seen.request.value("chatgpt-account-id") == "acc-1"


@pytest.mark.parametrize(
    ("line", "there"),
    [
        ("GET /v1/responses/r1", "/backend-api/codex/responses/r1"),
        ("DELETE /backend-api/responses/r1", "/backend-api/codex/responses/r1"),
        ("POST /v1/responses/compact", "/backend-api/codex/responses/compact"),
        ("POST /v1/images/generations", "/backend-api/codex/images/generations"),
        ("POST /v1/images/edits", "/backend-api/codex/images/edits"),
        ("GET /backend-api/wham/usage", "/backend-api/wham/usage"),
        ("PUT /anything/else", "/anything/else"),
    ],
)
async def test_everything_else_is_passed_on_as_it_came(line: str, there: str) -> None:
    method = line.partition(" ")[0]
    reply = Reply(200, (("content-type", "application/json"),), b'{"a": 1}')
    async with Origin(Script(), routes={f"{method} {there}": reply}) as origin:
        async with (
            edge_to("http://127.0.0.1:9", chatgpt_url=origin.url) as edge,
            await connect(edge.port) as client,
        ):
            answer = await send(client, line + "?q=%20", LOGIN, "chatgpt-ACCOUNT-id: mine", body=BODY)
            assert (answer.status, answer.body) == (200, b'{"a": 1}')
        (seen,) = origin.requests
    assert seen.target == there + "?q=%20" and seen.body == BODY
    assert seen.request.values("chatgpt-account-id") == [b"mine"]
