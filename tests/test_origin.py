"""The scripted origin keeps its own promises: dialects, recording, faults."""

from __future__ import annotations

import asyncio
import gzip
import importlib
import json
import subprocess
import sys
import zlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import pytest

from tests.support.origin import Fault, Origin, Reply
from tests.support.script import Script, ToolCall, Turn, script_from_json, script_to_json

TURNS = (
    Turn("Look.", (ToolCall("run", {"command": "ls"}), ToolCall("run", {"command": "pwd"})), "Hm."),
    Turn("The answer is 42. " * 8),
)
SCRIPT = Script.single(TURNS, match="the question")
TOOLS = [{"name": "run"}]
ASK = {"role": "user", "content": "the question"}
REQUESTS: Mapping[str, tuple[str, dict[str, object]]] = {
    "anthropic": ("/v1/messages?beta=true", {"messages": [ASK]}),
    "chat": ("/v1/chat/completions", {"messages": [ASK]}),
    "responses": ("/v1/responses", {"input": "the question"}),
    "gemini": (
        "/v1beta/models/g:streamGenerateContent?alt=sse",
        {"contents": [{"role": "user", "parts": [{"text": "the question"}]}]},
    ),
}


def request(target: str, body: Mapping[str, object], *lines: str) -> bytes:
    """A POST with content-length."""
    data = json.dumps(body).encode()
    head = [f"POST {target} HTTP/1.1", "Host: x", f"Content-Length: {len(data)}", *lines]
    return "\r\n".join([*head, "", ""]).encode() + data


async def talk(port: int, *parts: bytes) -> tuple[bytes, type[Exception] | None]:
    """Send all parts on one connection; what came back, and how it ended."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await writer.drain()
    got, error = b"", None
    try:
        async with asyncio.timeout(5):
            while data := await reader.read(65536):
                got += data
    except (ConnectionResetError, TimeoutError) as ended:
        error = type(ended)
    writer.close()
    return got, error


def ask(name: str, *lines: str, **more: object) -> bytes:
    """A closing request of a dialect that offers tools."""
    target, body = REQUESTS[name]
    return request(target, {"tools": TOOLS, **body, **more}, "Connection: close", *lines)


def unchunked(answer: bytes) -> tuple[str, bytes, bool]:
    """Head, body, and whether the last chunk came."""
    head, _, rest = answer.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" not in head:
        return head.decode(), rest, True
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        if int(size, 16) == 0:
            return head.decode(), body, True
        body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return head.decode(), body, False


def go(work: Callable[[], Awaitable[None]]) -> None:
    """Run one asynchronous test."""

    async def bounded() -> None:
        async with asyncio.timeout(30):
            await work()

    asyncio.run(bounded())


def data_of(body: bytes) -> list[str]:
    """The data lines of an event stream."""
    return [line[6:] for line in body.decode().splitlines() if line.startswith("data: ")]


@pytest.mark.parametrize("name", REQUESTS)
def test_streams_both_calls_and_keeps_the_request(name: str) -> None:
    async def work() -> None:
        async with Origin(SCRIPT) as origin:
            sent = ask(name, "X-Odd:  A b ", stream=True)
            got, error = await talk(origin.port, sent)
            head, body, ended = unchunked(got)
            assert error is None
            assert ended
            assert "text/event-stream" in head
            assert body == origin.requests[0].sent
            assert "pwd" in "".join(data_of(body))
            kept = origin.requests[0]
            assert kept.request.head + kept.body == sent
            assert (b"X-Odd", b"A b") in kept.headers
            assert kept.call == 0

    go(work)


@pytest.mark.parametrize("name", ["anthropic", "chat", "responses"])
def test_plain_answer_is_one_document(name: str) -> None:
    async def work() -> None:
        async with Origin(SCRIPT) as origin:
            _, body, _ = unchunked((await talk(origin.port, ask(name)))[0])
            assert "pwd" in json.dumps(json.loads(body))

    go(work)


def test_turn_follows_from_the_body_and_survives_a_retry() -> None:
    async def work() -> None:
        async with Origin(SCRIPT) as origin:
            spoken = {"role": "assistant", "content": "Look."}
            later = [ASK, spoken, {"role": "user", "content": "result"}]
            for _ in range(2):
                _, body, _ = unchunked((await talk(origin.port, ask("chat", messages=later)))[0])
                assert "answer is 42" in body.decode()
            assert origin.requests[0].sent == origin.requests[1].sent
            cut = ask("chat", messages=[ASK, spoken])
            assert "pwd" in (await talk(origin.port, cut))[0].decode()

    go(work)


def test_previous_response_id_names_the_turn() -> None:
    async def work() -> None:
        async with Origin(SCRIPT) as origin:
            _, body, _ = unchunked((await talk(origin.port, ask("responses")))[0])
            outputs = [{"type": "function_call_output", "call_id": "c", "output": "x"}]
            more = {"previous_response_id": json.loads(body)["id"], "input": outputs}
            assert b"answer is 42" in (await talk(origin.port, ask("responses", **more)))[0]

    go(work)


def test_side_requests_and_unknown_paths() -> None:
    async def work() -> None:
        routes = {"GET /v1/models": Reply(200, (("x-a", "1"),), b"{}")}
        async with Origin(SCRIPT, routes=routes) as origin:
            target, body = REQUESTS["anthropic"]
            parts = [
                request(target, body),
                request("/v1/messages/count_tokens", body),
                b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
                b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
                b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            ]
            got, _ = await talk(origin.port, *parts)
            assert b'"text":"ok"' in got
            assert b'"input_tokens": ' in got
            assert got.count(b"HTTP/1.1 200") == 4
            assert b"HTTP/1.1 404" in got
            assert origin.connections == 1
            assert [kept.call for kept in origin.requests] == [None] * 5

    go(work)


def test_usage_comes_from_the_callback() -> None:
    async def work() -> None:
        numbers = {"input_tokens": 3, "cache_read": 70, "cache_write": 9}
        async with Origin(SCRIPT, usage=lambda _body: numbers) as origin:
            _, body, _ = unchunked((await talk(origin.port, ask("anthropic")))[0])
            usage = json.loads(body)["usage"]
            assert usage["cache_read_input_tokens"] == 70
            assert usage["cache_creation_input_tokens"] == 9
            _, body, _ = unchunked((await talk(origin.port, ask("chat")))[0])
            usage = json.loads(body)["usage"]
            assert usage["prompt_tokens"] == 82
            assert usage["prompt_tokens_details"]["cached_tokens"] == 70

    go(work)


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_response_coding_is_flushed_per_event(coding: str) -> None:
    pytest.importorskip({"br": "brotli", "zstd": "zstandard"}.get(coding, "zlib"))

    async def work() -> None:
        fault = {0: Fault("fin", events=3)}
        async with Origin(SCRIPT, coding=coding, faults=fault) as origin:
            line = "Accept-Encoding: gzip, br;q=0.5, zstd"
            got, _ = await talk(origin.port, ask("chat", line, stream=True))
            head, body, ended = unchunked(got)
            assert f"content-encoding: {coding}" in head
            assert not ended
            assert _decoded(coding, body) == origin.requests[0].sent
            got, _ = await talk(origin.port, ask("chat", stream=True))
            assert b"content-encoding" not in got

    go(work)


def _decoded(coding: str, body: bytes) -> bytes:
    if coding == "gzip":
        return zlib.decompressobj(31).decompress(body)
    if coding == "br":
        return bytes(importlib.import_module("brotli").Decompressor().process(body))
    zstandard = importlib.import_module("zstandard")
    return bytes(zstandard.ZstdDecompressor().decompressobj().decompress(body))


def test_compressed_request_bodies_are_read_but_kept_raw() -> None:
    async def work() -> None:
        target, body = REQUESTS["chat"]
        packed = gzip.compress(json.dumps({"tools": TOOLS, **body}).encode())
        head = f"POST {target} HTTP/1.1\r\nContent-Encoding: gzip\r\nConnection: close\r\n"
        framing = "Transfer-Encoding: chunked\r\n\r\n"
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in (packed[:9], packed[9:]))
        async with Origin(SCRIPT) as origin:
            got, _ = await talk(origin.port, (head + framing).encode() + chunks + b"0\r\n\r\n")
            assert b"pwd" in got
            assert origin.requests[0].body == packed

    go(work)


@pytest.mark.parametrize("name", REQUESTS)
def test_status_fault_hits_only_its_call(name: str) -> None:
    async def work() -> None:
        fault = Fault("status", status=429, headers=(("retry-after", "1"),))
        async with Origin(SCRIPT, faults={0: fault}) as origin:
            got, _ = await talk(origin.port, ask(name, stream=True))
            assert got.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
            assert b"retry-after: 1\r\n" in got
            assert b'"error":' in got
            assert (await talk(origin.port, ask(name, stream=True)))[0].startswith(b"HTTP/1.1 200")

    go(work)


def test_resets() -> None:
    async def work() -> None:
        faults = {0: Fault("reset_before"), 1: Fault("reset", events=4)}
        async with Origin(SCRIPT, faults=faults) as origin:
            assert await talk(origin.port, ask("chat", stream=True)) == (b"", ConnectionResetError)
            got, error = await talk(origin.port, ask("chat", stream=True))
            assert error is ConnectionResetError
            assert len(data_of(unchunked(got)[1])) == 4

    go(work)


@pytest.mark.parametrize(("kind", "last_chunk"), [("fin", False), ("end", True)])
def test_early_ends(kind: str, last_chunk: bool) -> None:
    async def work() -> None:
        fault = Fault("fin", events=5) if kind == "fin" else Fault("end", events=5)
        async with Origin(SCRIPT, faults={0: fault}) as origin:
            got, error = await talk(origin.port, ask("anthropic", stream=True))
            _, body, ended = unchunked(got)
            assert error is None
            assert ended is last_chunk
            assert len(data_of(body)) == 5
            assert b"message_stop" not in body

    go(work)


def test_fin_cuts_a_plain_answer_short() -> None:
    async def work() -> None:
        async with Origin(SCRIPT, faults={0: Fault("fin", events=2)}) as origin:
            head, body, _ = unchunked((await talk(origin.port, ask("chat")))[0])
            announced = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
            assert 0 < len(body) < announced

    go(work)


@pytest.mark.parametrize("events", [-1, 2, 10_000])
def test_stall_delays_but_loses_nothing(events: int) -> None:
    async def work() -> None:
        fault = Fault("stall", events=events, seconds=0.3)
        async with Origin(SCRIPT, faults={0: fault}) as origin:
            begun = asyncio.get_running_loop().time()
            got, _ = await talk(origin.port, ask("chat", stream=True))
            assert asyncio.get_running_loop().time() - begun >= 0.3
            assert unchunked(got)[1].endswith(b"data: [DONE]\n\n")

    go(work)


@pytest.mark.parametrize("name", REQUESTS)
def test_error_event_and_small_writes(name: str) -> None:
    async def work() -> None:
        faults = {0: Fault("error_event", events=2, message="busy"), 1: Fault("small_writes")}
        async with Origin(SCRIPT, faults=faults) as origin:
            _, body, ended = unchunked((await talk(origin.port, ask(name, stream=True)))[0])
            assert ended
            assert "busy" in data_of(body)[-1]
            got, _ = await talk(origin.port, ask(name, stream=True))
            _, body, ended = unchunked(got)
            assert ended
            assert body == origin.requests[1].sent
            assert got.count(b"\r\n1\r\n") >= len(body) - 2

    go(work)


@pytest.mark.parametrize(
    "lines",
    [
        "Content-Length: 3\r\nContent-Length: 3",
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Content-Length: +3",
        "Transfer-Encoding: xchunked",
        "Odd : 1",
    ],
)
def test_unclear_framing_is_refused_and_noted(lines: str) -> None:
    async def work() -> None:
        async with Origin(SCRIPT) as origin:
            got, _ = await talk(origin.port, f"POST / HTTP/1.1\r\n{lines}\r\n\r\nabc".encode())
            assert got.startswith(b"HTTP/1.1 400")
            assert len(origin.malformed) == 1
            assert origin.requests == []

    go(work)


def test_script_json_round_trip() -> None:
    assert script_from_json(script_to_json(SCRIPT)) == SCRIPT
    with pytest.raises(TypeError):
        script_from_json({"conversations": 3})


def test_command_line_records_requests(tmp_path: Path) -> None:
    script, record = tmp_path / "script.json", tmp_path / "record"
    script.write_text(json.dumps(script_to_json(SCRIPT)))
    command = [sys.executable, "-m", "tests.support.origin", "--port", "0"]
    command += ["--script", str(script), "--record", str(record)]
    root = Path(__file__).parent.parent
    child = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        port = int(child.stdout.readline().rsplit(":", 1)[1])
        sent = ask("chat")
        got, _ = asyncio.run(talk(port, sent))
        assert b"pwd" in got
        assert (record / "0000.http").read_bytes() == sent
    finally:
        child.terminate()
        child.wait(10)
        if child.stdout is not None:
            child.stdout.close()
