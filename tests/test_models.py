"""The list of models for callers with an account's login, from the account's origin or from our own."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import brotli
import openai
import pytest
import zstandard

from headroom.edge import Edge
from headroom.faults import BadResponse
from headroom.models import STATIC, display_name, entries_of, listing
from headroom.providers import ENTRY_DEFAULTS, STATIC_MODELS
from tests.support.embedded import edge_to
from tests.support.raw_client import Answer, connect, read_answer
from tests.support.raw_origin import RawOrigin, Received, black_hole, read_request
from tests.support.raw_wire import Wire, eventually
from tests.test_plan import JWT
from tests.test_sdks import logged

GET = b"GET /v1/models?client_version=0.169.0&x=1 HTTP/1.1\r\nHost: localhost\r\nUser-Agent: codex_cli_rs/0.169.0\r\n"
LOGIN = b"Authorization: Bearer " + JWT.encode() + b"\r\n"
FULL = {"slug": "gpt-6", "display_name": "Six", "priority": 1, "context_window": None, "base_instructions": "You …"}
BODY = json.dumps({"models": [FULL, {"slug": "gpt-6-codex-mini"}, {"name": "no slug"}, 7, {"slug": "gpt-6"}]}).encode()


def answer_with(body: bytes, *fields: bytes, status: bytes = b"200 OK") -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Content-Type: application/json", *fields, b"Content-Length: %d" % len(body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@contextlib.asynccontextmanager
async def account(**settings: object) -> AsyncIterator[tuple[RawOrigin, Edge]]:
    """A proxy and the account's origin behind it; no other origin answers."""
    async with RawOrigin() as origin, edge_to("http://127.0.0.1:9", chatgpt_url=origin.url, **settings) as edge:
        yield origin, edge


async def exchange(client: Wire, origin: RawOrigin, answer: bytes, request: bytes) -> tuple[Received, Answer]:
    """Send a request, let the origin answer it on the connection it has, and read what the client gets."""
    await client.send(request)
    peer = origin.peers[-1] if origin.peers else await origin.accept()
    received = await read_request(peer)
    await peer.send(answer)
    return received, await read_answer(client)


# --- what is asked, and what is told --------------------------------------------------------------


async def test_the_list_is_fetched_with_the_callers_head_and_told_in_both_forms() -> None:
    more = (
        b"X-Headroom-Project: p\r\nx-headroom-session-id: s\r\nX-OpenAI-Internal-Codex-Responses-Lite: 1\r\nX-A: b\r\n"
    )
    async with account(strip_internal_headers="disabled") as (origin, edge), await connect(edge.port) as client:
        received, answer = await exchange(client, origin, answer_with(BODY), GET + LOGIN + more + b"\r\n")
    assert received.head == (
        b"GET /backend-api/codex/models?client_version=0.169.0 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
        b"User-Agent: codex_cli_rs/0.169.0\r\n%bX-A: b\r\nChatGPT-Account-ID: acc-1\r\n\r\n" % (origin.port, LOGIN)
    )
    assert answer.status == 200 and answer.value(b"content-type") == b"application/json"
    told = json.loads(answer.body)
    assert list(told) == ["object", "data", "models"] and told["object"] == "list"
    assert told["data"] == [
        {"id": name, "object": "model", "created": 0, "owned_by": "openai"} for name in ("gpt-6", "gpt-6-codex-mini")
    ]
    first, second = told["models"]
    assert first == {**ENTRY_DEFAULTS, **FULL} and first["context_window"] is None
    assert second == {**ENTRY_DEFAULTS, "slug": "gpt-6-codex-mini", "display_name": "GPT-6-Codex-Mini"}
    assert answer.value(b"x-headroom-note") is None


async def test_the_account_that_a_caller_names_is_left_alone() -> None:
    async with account() as (origin, edge), await connect(edge.port) as client:
        request = GET + LOGIN + b"chatgpt-account-id: mine\r\n\r\n"
        received, _ = await exchange(client, origin, answer_with(BODY), request)
    assert received.value(b"chatgpt-account-id") == b"mine"


@pytest.mark.parametrize(("model", "status"), [("gpt-6", 200), ("gpt%2D6", 200), ("gpt-5", 404), ("GPT-6", 404)])
async def test_one_model_is_told_or_said_to_be_unknown(model: str, status: int) -> None:
    async with account() as (origin, edge), await connect(edge.port) as client:
        request = GET.replace(b"/models", b"/models/" + model.encode()) + LOGIN + b"\r\n"
        _, answer = await exchange(client, origin, answer_with(BODY), request)
    assert answer.status == status
    told = json.loads(answer.body)
    if status == 200:
        assert told == {"id": "gpt-6", "object": "model", "created": 0, "owned_by": "openai"}
    else:
        assert list(told) == ["error"] and list(told["error"]) == ["message", "type", "code"]
        assert (told["error"]["type"], told["error"]["code"]) == ("invalid_request_error", "model_not_found")


@pytest.mark.parametrize(
    ("coding", "pack"),
    [(b"gzip", gzip.compress), (b"br", brotli.compress), (b"zstd", zstandard.ZstdCompressor().compress)],
)
async def test_a_coded_list_is_read(coding: bytes, pack: Any) -> None:
    async with account() as (origin, edge), await connect(edge.port) as client:
        request = GET + LOGIN + b"Accept-Encoding: gzip, br, zstd\r\n\r\n"
        coded = answer_with(pack(BODY), b"Content-Encoding: " + coding)
        received, answer = await exchange(client, origin, coded, request)
    assert received.value(b"accept-encoding") == b"gzip, br, zstd"
    assert json.loads(answer.body)["data"][0]["id"] == "gpt-6" and answer.value(b"content-encoding") is None


async def test_a_list_in_chunks_is_read_and_the_connections_of_both_sides_stay_in_use() -> None:
    pieces = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (BODY[:9], BODY[9:40], BODY[40:]))
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n"
    async with account() as (origin, edge), await connect(edge.port) as client:
        for answer in (chunked, answer_with(BODY), b"HTTP/1.1 100 Continue\r\n\r\n" + chunked):
            _, got = await exchange(client, origin, answer, GET + LOGIN + b"\r\n")
            assert json.loads(got.body)["data"][1]["id"] == "gpt-6-codex-mini"
        assert len(origin.peers) == 1 and not edge.active


async def test_the_lists_tag_is_passed_on_and_a_list_that_is_unchanged_is_said_to_be() -> None:
    async with account() as (origin, edge), await connect(edge.port) as client:
        _, first = await exchange(client, origin, answer_with(BODY, b'ETag: W/"1"'), GET + LOGIN + b"\r\n")
        assert first.value(b"etag") == b'W/"1"'
        again = GET + LOGIN + b'If-None-Match: W/"1"\r\n\r\n'
        _, second = await exchange(client, origin, b'HTTP/1.1 304 Not Modified\r\nETag: W/"1"\r\n\r\n', again)
        assert (second.status, second.body, second.value(b"etag")) == (304, b"", b'W/"1"')


async def test_what_is_pipelined_after_the_list_is_answered_after_it() -> None:
    async with account() as (origin, edge), await connect(edge.port) as client:
        await client.send((GET + LOGIN + b"\r\n") * 2)
        peer = await origin.accept()
        for _ in range(2):
            await read_request(peer)
            await peer.send(answer_with(BODY))
            assert (await read_answer(client)).status == 200


async def test_a_caller_that_closes_is_told_so() -> None:
    async with account() as (origin, edge), await connect(edge.port) as client:
        _, answer = await exchange(client, origin, answer_with(BODY), GET + LOGIN + b"Connection: close\r\n\r\n")
        assert answer.value(b"connection") == b"close" and await client.rest() == b""


async def test_the_sdk_reads_the_list_and_one_model() -> None:
    async with account() as (origin, edge):
        url = f"http://127.0.0.1:{edge.port}/p/some%20work/v1"

        async def serve() -> None:
            peer = await origin.accept()
            for _ in range(3):
                await read_request(peer)
                await peer.send(answer_with(BODY))

        serving = asyncio.get_running_loop().create_task(serve())
        async with openai.AsyncOpenAI(base_url=url, api_key=JWT, max_retries=0) as sdk:
            assert [model.id async for model in await sdk.models.list()] == ["gpt-6", "gpt-6-codex-mini"]
            assert (await sdk.models.retrieve("gpt-6")).owned_by == "openai"
            with pytest.raises(openai.NotFoundError) as raised:
                await sdk.models.retrieve("gpt-4")
            assert raised.value.code == "model_not_found"
        await serving


# --- where it cannot be had -----------------------------------------------------------------------

FAILURES = {
    "expired": answer_with(b'{"detail":"expired"}', status=b"401 Unauthorized"),
    "forbidden": answer_with(b"<html>", status=b"403 Forbidden"),
    "moved": answer_with(b"", b"Location: /x", status=b"302 Found"),
    "server": answer_with(BODY, status=b"500 Oops"),
    "unasked 304": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "unasked 101": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nbytes",
    "not JSON": answer_with(b"<html>challenge</html>"),
    "no object": answer_with(b"[]"),
    "no models": answer_with(b"{}"),
    "another form": answer_with(b'{"models":{"a":1}}'),
    "no slug": answer_with(b'{"models":[{"slug":""},{"slug":3}]}'),
    "cut": answer_with(BODY)[:-9],
    "not HTTP": b"SSH-2.0\r\n\r\n",
    "damaged": answer_with(b"\x00" * 20, b"Content-Encoding: gzip"),
    "unknown coding": answer_with(BODY, b"Content-Encoding: compress"),
    "too long": answer_with(BODY[:-1] + b" " * 70_000 + b"}"),
    "bomb": answer_with(gzip.compress(BODY[:-1] + b" " * 900_000 + b"}"), b"Content-Encoding: gzip"),
    "silence": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-",
}


@pytest.mark.parametrize("answer", FAILURES.values(), ids=FAILURES)
async def test_our_own_list_is_told_where_the_accounts_cannot_be_had(answer: bytes, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    late = {"models_timeout": "150ms"} if answer in (FAILURES["silence"], FAILURES["half a head"]) else {}
    async with account(answer_limit="64KiB", log_file=log, log_level="info", **late) as (origin, edge):
        async with await connect(edge.port) as client:
            await client.send(GET + LOGIN + b"\r\n")
            peer = await origin.accept()
            await read_request(peer)
            await peer.send(answer)
            if answer is FAILURES["cut"]:
                peer.close()
            got = await read_answer(client)
            assert got.status == 200 and got.value(b"x-headroom-note") == b"static_models"
            assert got.value(b"etag") is None
            assert json.loads(got.body) == json.loads(listing(STATIC))
            assert not edge.active
            # The client's connection is as good as it was.
            await client.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await read_answer(client)).status == 200
        await eventually(lambda: all(link._sink is None for link in edge.dialer.links))
    (line,) = logged(log)
    assert (line["route"], line["status"], line["outcome"]) == ("models", 200, "complete")
    assert line["fault"] in ("bad_response", "upstream_cut", "upstream_silent") and JWT not in log.read_text()


async def test_an_origin_that_does_not_listen_has_no_list() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: a connection to it is refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with edge_to(url, chatgpt_url=url) as edge:
            await told_our_own(edge)


async def test_an_origin_that_does_not_accept_has_no_list() -> None:
    with black_hole() as url:
        async with edge_to(url, chatgpt_url=url, models_timeout="150ms") as edge:
            await told_our_own(edge)


async def told_our_own(edge: Edge) -> None:
    async with await connect(edge.port) as client:
        for path, status in ((b"", 200), (b"/gpt-5.5", 200), (b"/gpt-6", 404)):
            await client.send(GET.replace(b"/models", b"/models" + path) + LOGIN + b"\r\n")
            answer = await read_answer(client)
            assert (answer.status, answer.value(b"x-headroom-note")) == (status, b"static_models")
            if not path:
                assert [model["id"] for model in json.loads(answer.body)["data"]] == list(STATIC_MODELS)


async def test_a_caller_that_leaves_ends_the_fetch(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    async with account(log_file=log, log_level="info") as (origin, edge):
        async with await connect(edge.port) as client:
            await client.send(GET + LOGIN + b"\r\n")
            peer = await origin.accept()
            await read_request(peer)
            assert len(edge.active) == 1
        await eventually(lambda: not edge.active and not edge.dialer.links)
    (line,) = logged(log)
    assert (line["status"], line["outcome"], line["fault"]) == (0, "aborted", "client_gone")


async def test_closing_the_proxy_ends_a_fetch_that_is_under_way() -> None:
    async with account() as (origin, edge), await connect(edge.port) as client:
        await client.send(GET + LOGIN + b"\r\n")
        await read_request(await origin.accept())
        assert await edge.drain(0.0) == 1
        await edge.close()
        assert not edge.active and not edge.dialer.links


async def test_a_list_counts_as_an_exchange() -> None:
    async with account() as (origin, edge), await connect(edge.port) as client:
        await exchange(client, origin, answer_with(BODY), GET + LOGIN + b"X-Headroom-Project: w\r\n\r\n")
        assert edge.board.total("headroom_requests", "models") == 1
        assert edge.board.projects.figures()["by_name"] == {"w": {"requests": 1, "tokens_saved": 0}}


@pytest.mark.parametrize("lines", [b"Content-Length: 2\r\n\r\n{}", b"Upgrade: x\r\nConnection: upgrade\r\n\r\n"])
async def test_a_request_that_is_more_than_a_get_is_passed_on(lines: bytes) -> None:
    async with account() as (origin, edge), await connect(edge.port) as client:
        received, answer = await exchange(client, origin, answer_with(b"{}"), GET + LOGIN + lines)
        assert received.line.startswith(b"GET /v1/models?") and answer.body == b"{}"


# --- forms ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slug", "name"),
    [("gpt-5", "GPT-5"), ("gpt-5.1-codex-max", "GPT-5.1-Codex-Max"), ("o3", "O3"), ("gpt--x", "GPT--X"), ("", "")],
)
def test_a_name_is_shown_as_people_write_it(slug: str, name: str) -> None:
    assert display_name(slug) == name


def test_entries_keep_their_order_and_all_that_they_say() -> None:
    odd = {"slug": "z", "new": [1.5, None, {"a": "\u00e9"}], "visibility": "hide"}
    found = entries_of(json.dumps({"models": [odd, {"slug": "a"}]}).encode())
    assert [entry["slug"] for entry in found] == ["z", "a"] and odd.items() <= found[0].items()


@pytest.mark.parametrize("body", [b"", b"null", b'{"models":[]}', b'{"models":[null]}', b"\xff", b"[" * 2000])
def test_what_is_no_list_is_refused(body: bytes) -> None:
    with pytest.raises(BadResponse):
        entries_of(body)


def test_our_own_list_gives_no_instructions() -> None:
    assert [entry["slug"] for entry in STATIC] == list(STATIC_MODELS)
    assert all("base_instructions" not in entry and entry["use_responses_lite"] is False for entry in STATIC)
