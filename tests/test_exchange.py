"""One request and its answer through a real proxy, client and origin both played by bytes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypedDict

import pytest

from headroom.edge import Edge
from headroom.wire.origin import Origin
from headroom.wire.upstream import UpstreamLink
from headroom.wire.websocket import CLOSE, FrameReader, close_code
from tests.support import sockets
from tests.support.embedded import edge_to, shrink_send_buffers, unsent
from tests.support.oracle import SeenRequest, h11_response
from tests.support.raw_client import Answer, ask, connect, read_answer
from tests.support.raw_origin import OK, AnsweringOrigin, RawOrigin, black_hole, read_request
from tests.support.raw_wire import Wire, eventually

LOOPS = ("asyncio", "uvloop")

GET = b"GET /v1/thing HTTP/1.1\r\nHost: x\r\n\r\n"
BLOCK = bytes(range(256)) * 256
PLENTY = BLOCK * 768  # 48 MiB: more than the system keeps for a connection whose reader does not read


@contextlib.asynccontextmanager
async def proxied(**settings: object) -> AsyncIterator[tuple[RawOrigin, Edge]]:
    async with RawOrigin() as origin, edge_to(origin.url, **settings) as edge:
        yield origin, edge


@contextlib.asynccontextmanager
async def sent(request: bytes, **settings: object) -> AsyncIterator[tuple[Wire, Wire, RawOrigin, Edge]]:
    """A client that has sent `request`, and the origin's end of the connection that it opened."""
    async with proxied(**settings) as (origin, edge), await connect(edge.port) as client:
        await client.send(request)
        yield client, await origin.accept(), origin, edge


def post(path: bytes, body: bytes, *fields: bytes, version: bytes = b"1.1") -> bytes:
    lines = [b"POST %b HTTP/%b" % (path, version), b"Host: x", *fields, b"Content-Length: %d" % len(body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + end


# Heads.


async def test_a_request_head_goes_on_with_its_own_bytes_order_and_case() -> None:
    request = (
        b"POST /v1/embeddings?q=1&Q=%2f HTTP/1.1\r\n"
        b"hOsT: proxy:1\r\n"
        b"X-First:  two  blanks \t\r\n"
        b"accept-ENCODING: gzip\r\n"
        b"X-Twice: a\r\n"
        b"Connection: keep-alive, X-Hop\r\n"
        b"x-hop: of this hop\r\n"
        b"X-Twice: b\r\n"
        b"TE: trailers\r\n"
        b"Keep-Alive: timeout=5\r\n"
        b"X-Headroom-Mode: passthrough\r\n"
        b"x-headroom-session-id: s\r\n"
        b"Proxy-Connection: keep-alive\r\n"
        b"X-City: D\xfcsseldorf\r\n"
        b"authorization: Bearer secret\r\n"
        b"content-length: 2\r\n"
        b"\r\n{}"
    )
    async with sent(request) as (_, peer, origin, _):
        received = await read_request(peer)
        assert received.head == (
            b"POST /v1/embeddings?q=1&Q=%%2f HTTP/1.1\r\n"
            b"Host: 127.0.0.1:%d\r\n"
            b"X-First:  two  blanks \t\r\n"
            b"accept-ENCODING: gzip\r\n"
            b"X-Twice: a\r\n"
            b"X-Twice: b\r\n"
            b"X-City: D\xfcsseldorf\r\n"
            b"authorization: Bearer secret\r\n"
            b"content-length: 2\r\n"
            b"\r\n" % origin.port
        )
        assert received.body == b"{}"


@pytest.mark.parametrize("path", [b"/v1/embeddings", b"/v1/messages"])
@pytest.mark.parametrize(
    "framing", [b"Content-Length: 2\r\n\r\n{}", b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"]
)
async def test_framing_and_host_stay_where_connection_nominates_them(path: bytes, framing: bytes) -> None:
    named = b"Connection: Host, Content-Length, Transfer-Encoding, X-Drop\r\nX-Drop: 1\r\n"
    async with sent(b"POST %b HTTP/1.1\r\nHost: x\r\n" % path + named + framing) as (client, peer, origin, _):
        received = await read_request(peer)
        assert received.body == b"{}"
        assert received.value(b"host") == b"127.0.0.1:%d" % origin.port
        assert received.value(b"x-drop") is None and received.value(b"connection") is None
        await peer.send(OK)
        assert (await read_answer(client)).body == b"ok"


async def test_an_answer_head_comes_with_its_own_bytes_order_and_case() -> None:
    head = (
        b"HTTP/1.1 429 Slow  Down\r\n"
        b"x-ReQuest-id: req_1\r\n"
        b"Retry-After: 7\r\n"
        b"Set-Cookie: a=1\r\n"
        b"anthropic-ratelimit-requests-remaining: 0\r\n"
        b"Set-Cookie: b=2\r\n"
        b"Content-Length: 2\r\n"
    )
    hop = b"Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n"
    async with sent(GET) as (client, peer, _, _):
        await read_request(peer)
        await peer.send(head + hop + b"\r\n{}")
        answer = await read_answer(client)
        assert answer.head.startswith(head) and answer.body == b"{}"
        assert answer.value(b"headroom-upstream-request-id") == b"req_1"
        added = {name.lower() for name, _ in answer.fields[6:]}
        assert added <= {b"x-headroom-request-id", b"headroom-upstream-request-id"}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 429, 500, 502, 503, 529])
async def test_an_error_of_the_origin_passes_as_it_came(status: int) -> None:
    body = b'{"type":"error","error":{"type":"overloaded_error"}}'
    head = b"HTTP/1.1 %d Odd\r\nRetry-After: 3\r\nX-Unknown: y\r\nX-Request-Id: r\r\n" % status
    async with sent(post(b"/v1/messages", b"{}")) as (client, peer, _, _):
        await read_request(peer)
        await peer.send(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        answer = await read_answer(client)
        assert answer.head.startswith(head) and answer.body == body


async def test_a_secret_of_the_proxy_never_reaches_an_origin_even_where_internal_fields_are_kept() -> None:
    request = b"GET /v1/thing HTTP/1.1\r\nHost: x\r\nX-Headroom-Proxy-Token: 0123456789abcdef\r\n\r\n"
    async with sent(request, strip_internal_headers="disabled") as (_, peer, _, _):
        assert b"0123456789abcdef" not in (await read_request(peer)).head


# Order.


def echo(request: SeenRequest) -> bytes:
    content = request.target + b" " + request.body
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content


@pytest.mark.parametrize("path", [b"/v1/embeddings", b"/v1/messages"])
@pytest.mark.parametrize("bytewise", [False, True], ids=["in_one_write", "byte_by_byte"])
async def test_pipelined_requests_are_answered_in_order(path: bytes, bytewise: bool) -> None:
    requests = b"".join(post(path + b"?n=%d" % n, b'{"n":%d}' % n) for n in range(20))
    async with AnsweringOrigin(echo) as origin, edge_to(origin.url) as edge, await connect(edge.port) as client:
        if bytewise:
            await client.send_each(requests[at : at + 1] for at in range(len(requests)))
        else:
            await client.send(requests)
        bodies = [(await read_answer(client)).body for _ in range(20)]
        assert bodies == [path + b'?n=%d {"n":%d}' % (n, n) for n in range(20)]
        assert len(origin.heard) == 1


async def test_pipelined_requests_beyond_what_is_kept_wait_in_the_clients_socket() -> None:
    size = 200_000
    requests = b"".join(post(b"/v1/embeddings?n=%d" % n, BLOCK[:1000] * (size // 1000)) for n in range(8))
    async with proxied() as (origin, edge), await connect(edge.port) as client:
        sending = asyncio.get_running_loop().create_task(client.send(requests))
        peer = await origin.accept()
        for n in range(8):
            received = await read_request(peer)
            assert received.line == b"POST /v1/embeddings?n=%d HTTP/1.1" % n and len(received.body) == size
            await peer.send(OK)
            assert (await read_answer(client)).body == b"ok"
        await sending


async def test_requests_of_all_kinds_follow_each_other_on_one_connection() -> None:
    async with AnsweringOrigin(echo) as origin, edge_to(origin.url) as edge, await connect(edge.port) as client:
        for n in range(3):
            for request in (
                GET,
                post(b"/v1/messages", b"{}"),
                b"POST /v1/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"a", b"b"),
                b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
                post(b"/v1/embeddings", b""),
            ):
                await client.send(request)
                assert (await read_answer(client)).status == 200, n


# Interim answers and expectations.


async def test_on_a_relayed_route_the_origin_decides_whether_the_body_may_come() -> None:
    head = b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    async with sent(head) as (client, peer, _, _):
        assert b"Expect: 100-continue\r\n" in await peer.until(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"{}")
        assert await peer.exactly(2) == b"{}"
        await peer.send(OK)
        assert (await read_answer(client)).interim == ()


async def test_an_origin_that_refuses_the_expectation_is_heard_without_the_body() -> None:
    head = b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    async with sent(head) as (client, peer, _, _):
        await peer.until(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n")
        answer = await read_answer(client)
        assert answer.status == 417 and answer.value(b"connection") == b"close"
        assert await client.rest() == b"" and client.ending == "end"


async def test_on_a_held_route_the_proxy_asks_for_the_body_itself() -> None:
    head = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    async with proxied() as (origin, edge), await connect(edge.port) as client:
        await client.send(head)
        assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"{}")
        peer = await origin.accept()
        received = await read_request(peer)
        assert received.value(b"expect") is None and received.body == b"{}"
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)
        assert (await read_answer(client)).interim == ()


async def test_early_hints_come_before_the_answer() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"
    async with sent(GET) as (client, peer, _, _):
        await read_request(peer)
        await peer.send(hints + hints + OK)
        answer = await read_answer(client)
        assert answer.interim == (hints, hints) and answer.body == b"ok"


async def test_a_client_of_http_1_0_gets_no_interim_answer() -> None:
    async with sent(b"GET /v1/thing HTTP/1.0\r\n\r\n") as (client, peer, _, _):
        await read_request(peer)
        await peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK)
        assert (await read_answer(client)).interim == ()


# Framing of answers.


async def test_a_head_request_is_answered_without_a_body_and_the_connection_goes_on() -> None:
    async with sent(b"HEAD /v1/thing HTTP/1.1\r\nHost: x\r\n\r\n") as (client, peer, _, _):
        await read_request(peer)
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
        answer = await read_answer(client, b"HEAD")
        assert answer.value(b"content-length") == b"5000" and answer.value(b"connection") is None
        await client.send(GET)
        await read_request(peer)
        await peer.send(OK)
        assert (await read_answer(client)).body == b"ok"


@pytest.mark.parametrize("head", [b"204 No Content\r\n", b"304 Not Modified\r\nContent-Length: 9\r\nETag: x\r\n"])
async def test_an_answer_that_has_no_body_keeps_the_connection(head: bytes) -> None:
    async with sent(GET) as (client, peer, _, _):
        for _ in range(2):
            await read_request(peer)
            await peer.send(b"HTTP/1.1 " + head + b"\r\n")
            answer = await read_answer(client)
            assert answer.status in (204, 304) and answer.value(b"connection") is None
            await client.send(GET)


async def test_an_answer_that_ends_with_its_connection_ends_the_clients() -> None:
    async with sent(GET) as (client, peer, _, _):
        await read_request(peer)
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        await peer.send(BLOCK)
        peer.close()
        answer = await read_answer(client)
        assert answer.value(b"connection") == b"close"
        assert (answer.body, client.ending) == (BLOCK, "end")


@pytest.mark.parametrize("path", [b"/v1/thing", b"/v1/messages"])
async def test_a_chunked_answer_with_trailers_comes_byte_for_byte(path: bytes) -> None:
    body = b'5;ext="a b"\r\nhello\r\n00006\r\n world\r\n0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n'
    for cut in (len(body), 1, 7):
        async with sent(post(path, b"{}")) as (client, peer, _, _):
            await read_request(peer)
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            await peer.send_each(body[at : at + cut] for at in range(0, len(body), cut))
            answer = await read_answer(client)
            assert (answer.wire, answer.body) == (body, b"hello world")
            assert answer.value(b"connection") is None


@pytest.mark.parametrize("cut", [1, 5, 1000])
async def test_a_client_of_http_1_0_gets_an_answer_without_chunks(cut: int) -> None:
    body = chunked(b"hello", b" ", b"world", end=b"0\r\nX-Sum: 1\r\n\r\n")
    async with sent(post(b"/v1/messages", b"{}", version=b"1.0")) as (client, peer, _, _):
        assert (await read_request(peer)).line == b"POST /v1/messages HTTP/1.1"
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
        await peer.send_each(body[at : at + cut] for at in range(0, len(body), cut))
        answer = await read_answer(client)
        assert answer.value(b"transfer-encoding") is None and answer.value(b"connection") == b"close"
        assert (answer.body, client.ending) == (b"hello world", "end")


async def test_a_stream_event_arrives_before_the_next_one_is_sent() -> None:
    async with sent(post(b"/v1/messages", b"{}")) as (client, peer, _, _):
        await read_request(peer)
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        await client.until(b"\r\n\r\n")
        for n in range(50):
            event = chunked(b"event: ping\ndata: {%d}\n\n" % n, end=b"")
            await peer.send(event)
            assert await client.exactly(len(event)) == event


# Framing of requests.


async def test_a_chunked_request_is_relayed_byte_for_byte() -> None:
    body = b"3;x=y\r\nabc\r\n04\r\ndefg\r\n0\r\nX-Sum: 9\r\n\r\n"
    head = b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    for cut in (len(body), 1):
        async with sent(head) as (client, peer, _, _):
            await client.send_each(body[at : at + cut] for at in range(0, len(body), cut))
            received = await read_request(peer)
            assert (received.wire, received.body) == (body, b"abcdefg")


async def test_a_held_chunked_request_goes_on_with_its_length() -> None:
    body = chunked(b'{"a":', b"1}", end=b"0\r\nX-Sum: 9\r\n\r\n")
    head = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nX-Last: 1\r\n\r\n"
    for cut in (len(body), 1):
        async with proxied() as (origin, edge), await connect(edge.port) as client:
            await client.send(head)
            await client.send_each(body[at : at + cut] for at in range(0, len(body), cut))
            received = await read_request(await origin.accept())
            assert received.wire == b'{"a":1}' and received.value(b"content-length") == b"7"
            assert received.value(b"transfer-encoding") is None


async def test_a_held_body_that_is_not_rewritten_goes_on_as_it_came() -> None:
    body = b'{"model":"m","messages":[ ]}\n \xff'
    async with sent(post(b"/v1/messages", body, b"content-type: application/json")) as (_, peer, _, _):
        assert (await read_request(peer)).body == body


# Early answers.


@pytest.mark.parametrize("status", [401, 413])
@pytest.mark.parametrize("origin_reads_on", [True, False], ids=["origin_reads_on", "origin_stops_reading"])
async def test_an_answer_that_comes_before_the_whole_body_reaches_the_client(
    status: int, origin_reads_on: bool
) -> None:
    head = b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (8 << 20)
    async with sent(head + BLOCK) as (client, peer, _, edge):
        await peer.until(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 %d Odd\r\nContent-Length: 5\r\n\r\nearly" % status)
        if origin_reads_on:
            draining = asyncio.get_running_loop().create_task(peer.rest())
        answer = await read_answer(client)
        assert (answer.status, answer.body, answer.value(b"connection")) == (status, b"early", b"close")
        with contextlib.suppress(ConnectionError):
            await client.send(BLOCK * 16)
        assert await client.rest() == b"" and client.ending == "end"
        client.close()
        await eventually(lambda: not edge.clients and not edge.active)
        await eventually(lambda: not edge.dialer.links)
        if origin_reads_on:
            await draining


async def test_an_early_answer_reaches_a_client_that_sends_its_whole_body_first() -> None:
    body = BLOCK * 32
    async with proxied() as (origin, edge), await connect(edge.port) as client:
        sending = asyncio.get_running_loop().create_task(client.send(post(b"/v1/embeddings", body)))
        peer = await origin.accept()
        await peer.until(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 413 Odd\r\nContent-Length: 5\r\nConnection: close\r\n\r\nearly")
        peer.shut()
        await sending
        assert (await read_answer(client)).body == b"early"
        assert client.ending != "reset"


@pytest.mark.parametrize("framing", [b"Content-Length: 5\r\n\r\nearly", b"Connection: close\r\n\r\nearly"])
async def test_an_early_answer_of_an_origin_that_never_reads_is_not_held_up(framing: bytes) -> None:
    body = PLENTY
    async with (
        RawOrigin(receive_buffer=65536) as origin,
        edge_to(origin.url) as edge,
        await connect(edge.port) as client,
    ):
        await client.send(b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body))
        peer = await origin.accept()
        await client.flood(body)
        await peer.send(b"HTTP/1.1 413 Odd\r\n" + framing)
        if b"close" in framing:
            peer.shut()
        assert (await client.until(b"\r\n\r\nearly")).startswith(b"HTTP/1.1 413 Odd\r\n")
        await eventually(lambda: not edge.active)
        await eventually(lambda: not edge.dialer.links)  # though the origin keeps its end open


async def test_an_origin_that_answers_and_slams_the_door_is_heard() -> None:
    head = b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (8 << 20)
    async with sent(head + BLOCK) as (client, peer, _, _):
        await peer.until(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 413 Odd\r\nContent-Length: 5\r\nConnection: close\r\n\r\nearly")
        peer.close()  # with most of the body unread: RST
        assert (await read_answer(client)).status == 413


async def test_a_late_answer_is_not_lost_where_the_body_was_sent_in_one_piece_with_the_head() -> None:
    async with sent(post(b"/v1/embeddings", BLOCK)) as (client, peer, _, _):
        await peer.until(b"\r\n\r\n")
        await peer.send(OK)
        await peer.exactly(len(BLOCK))
        assert (await read_answer(client)).body == b"ok"


# Pressure.


async def test_a_slow_origin_pauses_the_client_and_gets_every_byte_in_the_end() -> None:
    body = PLENTY
    head = b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with (
        RawOrigin(receive_buffer=65536) as origin,
        edge_to(origin.url) as edge,
        await connect(edge.port) as client,
    ):
        await client.send(head)
        taken = await client.flood(body)
        assert taken < len(body) and unsent(edge) < 1 << 20
        peer = await origin.accept()
        await peer.until(b"\r\n\r\n")
        sending = asyncio.get_running_loop().create_task(client.send(body[taken:]))
        digest = hashlib.blake2b(await peer.exactly(len(body))).digest()
        assert digest == hashlib.blake2b(body).digest()
        await sending
        await peer.send(OK)
        assert (await read_answer(client)).body == b"ok"


@pytest.mark.one_loop
async def test_an_upload_that_came_while_the_origin_was_being_dialled_is_paused_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = PLENTY
    async with (
        RawOrigin(receive_buffer=65536) as origin,
        edge_to(origin.url) as edge,
        await connect(edge.port) as client,
    ):
        answered = asyncio.Event()
        dial = edge.dialer.dial

        async def slow(where: Origin) -> UpstreamLink:
            await answered.wait()
            link = await dial(where)
            shrink_send_buffers(edge)
            return link

        monkeypatch.setattr(edge.dialer, "dial", slow)
        head = b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
        taken = await client.flood(head + body)
        assert taken < len(body)
        answered.set()
        peer = await origin.accept()
        taken += await client.flood((head + body)[taken:])
        assert taken < len(body) and unsent(edge) < 1 << 20
        sending = asyncio.get_running_loop().create_task(client.send((head + body)[taken:]))
        assert await peer.exactly(len(head)) != head and len(await peer.exactly(len(body))) == len(body)
        await sending


async def test_a_slow_client_pauses_the_origin_and_gets_every_byte_in_the_end() -> None:
    body = PLENTY
    async with proxied() as (origin, edge), await connect(edge.port, receive_buffer=65536) as client:
        await client.send(post(b"/v1/messages", b"{}"))
        peer = await origin.accept()
        await read_request(peer)
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        wire = chunked(body)
        taken = await peer.flood(wire)
        assert taken < len(body) and unsent(edge) < 1 << 20
        sending = asyncio.get_running_loop().create_task(peer.send(wire[taken:]))
        answer = await read_answer(client)
        await sending
        assert hashlib.blake2b(answer.body).digest() == hashlib.blake2b(body).digest()
        assert answer.value(b"connection") is None
        await client.send(GET)
        await read_request(peer)
        await peer.send(OK)
        assert (await read_answer(client)).body == b"ok"


# A client that leaves.


async def test_a_client_that_leaves_during_the_answer_ends_the_origins_work() -> None:
    async with sent(post(b"/v1/messages", b"{}")) as (client, peer, _, edge):
        await read_request(peer)
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"a", end=b""))
        await client.until(b"\r\n\r\n1\r\na\r\n")
        client.close()
        assert await peer.rest() == b""
        assert not edge.active


@pytest.mark.parametrize("rude", [False, True], ids=["fin", "rst"])
async def test_a_client_that_leaves_before_the_first_byte_ends_the_origins_work(rude: bool) -> None:
    async with sent(post(b"/v1/messages", b"{}")) as (client, peer, _, edge):
        await read_request(peer)
        if rude:
            client.reset()
        else:
            client.close()
        assert await peer.rest() == b""
        await eventually(lambda: not edge.active and not edge.dialer.links)


async def test_a_client_that_leaves_in_the_middle_of_its_relayed_body_ends_the_origins_work() -> None:
    async with sent(b"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc") as (client, peer, _, edge):
        await peer.until(b"abc")
        client.close()
        assert await peer.rest() == b""
        await eventually(lambda: not edge.active)


async def test_a_client_that_leaves_in_the_middle_of_a_held_body_costs_the_origin_nothing() -> None:
    async with AnsweringOrigin() as origin, edge_to(origin.url) as edge, await connect(edge.port) as client:
        await client.send(b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
        await eventually(lambda: edge.active)
        client.close()
        await eventually(lambda: not edge.active and not edge.clients)
        assert (await ask(edge.port, GET)).status == 200
        assert [request.target for request in origin.requests] == [b"/v1/thing"]


async def test_a_client_that_leaves_while_the_origin_is_being_dialled_leaves_nothing() -> None:
    with black_hole() as url:
        async with edge_to(url) as edge, await connect(edge.port) as client:
            await client.send(post(b"/v1/messages", b"{}"))
            await eventually(lambda: edge.active)
            client.close()
            await eventually(lambda: not edge.active and not edge.clients)
            await eventually(lambda: len(asyncio.all_tasks()) == 1)


async def test_a_client_that_leaves_while_its_held_body_waits_for_a_slow_origin_is_noticed() -> None:
    body = b'{"pad":"' + b"x" * (24 << 20) + b'"}'
    async with RawOrigin(receive_buffer=65536) as origin, edge_to(origin.url) as edge:
        async with await connect(edge.port) as client:
            await client.send(post(b"/v1/messages", body))
            peer = await origin.accept()
            await peer.until(b"\r\n\r\n")
        await eventually(lambda: not edge.active)


async def test_a_client_that_leaves_while_the_origin_answers_slowly_is_noticed_behind_pipelined_requests() -> None:
    async with sent(GET + GET) as (client, peer, _, edge):
        await read_request(peer)
        client.close()
        assert await peer.rest() == b""
        await eventually(lambda: not edge.active)


# An origin that fails.


CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
COUNTED_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
OPEN_HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


CUTS = [
    pytest.param(head, body, whole, rude, id=f"{name}_{'rst' if rude else 'fin'}")
    for name, head, body, whole in (
        ("between_chunks", CHUNKED_HEAD, chunked(b"data: 1\n\n", b"data: 2\n\n", end=b""), b"data: 1\n\ndata: 2\n\n"),
        ("before_the_last_line", CHUNKED_HEAD, chunked(b"data: 1\n\n", end=b"0\r\n"), b"data: 1\n\n"),
        ("in_a_chunk", CHUNKED_HEAD, b"5\r\nabc", b"abc"),
        ("counted", COUNTED_HEAD, b"half of it", b"half of it"),
        ("until_close", OPEN_HEAD, b"so far", b"so far"),
    )
    for rude in (True, False)
    if rude or head != OPEN_HEAD  # a FIN is how such an answer ends
]


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@pytest.mark.parametrize(("head", "body", "whole", "rude"), CUTS)
async def test_a_cut_by_the_origin_never_looks_like_an_end(
    version: bytes, head: bytes, body: bytes, whole: bytes, rude: bool
) -> None:
    async with sent(post(b"/v1/messages", b"{}", version=version)) as (client, peer, _, edge):
        await read_request(peer)
        await peer.send(head + body)
        await client.until(b"\r\n\r\n")
        bare = version == b"1.0" and head == CHUNKED_HEAD
        got = await client.exactly(len(whole if bare else body))
        if rude:
            peer.reset()
        else:
            peer.close()
        got += await client.rest()
        assert got == (whole if bare else body)
        if bare or head == OPEN_HEAD:
            assert client.ending == "reset"
        await eventually(lambda: not edge.active and not edge.clients)


@pytest.mark.parametrize("head", [CHUNKED_HEAD, COUNTED_HEAD])
async def test_what_came_before_a_cut_reaches_a_client_that_reads_late(head: bytes) -> None:
    body = chunked(BLOCK, BLOCK, end=b"") if head == CHUNKED_HEAD else BLOCK * 2
    head = head.replace(b"5000", b"500000")
    async with proxied() as (origin, edge), await connect(edge.port, receive_buffer=8192) as client:
        await client.send(post(b"/v1/messages", b"{}"))
        peer = await origin.accept()
        await read_request(peer)
        await peer.send(head + body)
        peer.close()
        await eventually(lambda: not edge.active)
        await client.until(b"\r\n\r\n")
        assert len(await client.rest()) == len(body)


@pytest.mark.parametrize("head", [CHUNKED_HEAD, COUNTED_HEAD])
async def test_what_came_before_a_cut_reaches_a_client_that_is_far_behind(head: bytes) -> None:
    body = chunked(BLOCK, BLOCK[:40_000], end=b"") if head == CHUNKED_HEAD else BLOCK + BLOCK[:40_000]
    head = head.replace(b"5000", b"500000")
    async with proxied() as (origin, edge), await connect(edge.port, receive_buffer=8192) as client:
        await client.send(post(b"/v1/messages", b"{}"))
        peer = await origin.accept()
        await read_request(peer)
        shrink_send_buffers(edge)
        await peer.send(head + body)
        await eventually(lambda: unsent(edge))
        peer.close()
        await client.until(b"\r\n\r\n")
        assert len(await client.rest()) == len(body)


def provider_of(answer: Answer) -> str:
    error = json.loads(answer.body)
    assert answer.value(b"content-type") == b"application/json"
    assert isinstance(error["error"]["message"], str) and error["error"]["message"]
    if error.get("type") == "error":
        assert isinstance(error["error"]["type"], str)
        return "anthropic"
    if "code" in error["error"] and "status" in error["error"]:
        assert error["error"]["code"] == answer.status
        return "gemini"
    assert isinstance(error["error"]["type"], str)
    return "openai"


PROVIDERS = [
    (b"/v1/messages", "anthropic"),
    (b"/v1/messages/count_tokens", "anthropic"),
    (b"/v1/chat/completions", "openai"),
    (b"/v1/responses", "openai"),
    (b"/v1beta/models/m:streamGenerateContent", "gemini"),
]


@pytest.mark.parametrize(("path", "provider"), PROVIDERS)
async def test_a_connection_reset_before_the_answer_is_told_in_the_providers_words(path: bytes, provider: str) -> None:
    async with sent(post(path, b"{}")) as (client, peer, _, edge):
        await read_request(peer)
        peer.reset()
        answer = await read_answer(client)
        assert (answer.status, provider_of(answer)) == (502, provider)
        assert answer.value(b"x-headroom-fault") == b"upstream_cut"
        await eventually(lambda: not edge.active)


@pytest.mark.parametrize(("path", "provider"), PROVIDERS)
async def test_a_refused_connection_is_told_in_the_providers_words(path: bytes, provider: str) -> None:
    async with proxied() as (origin, edge):
        origin.refuse()
        async with await connect(edge.port) as client:
            for _ in range(2):  # the client's connection is good for another try
                await client.send(post(path, b"{}"))
                answer = await read_answer(client)
                assert (answer.status, provider_of(answer)) == (502, provider)
                assert answer.value(b"x-headroom-fault") == b"dial_failed"


@pytest.mark.one_loop
@pytest.mark.parametrize("path", [b"/v1/messages", b"/v1/embeddings"])
async def test_an_origin_that_does_not_accept_is_told_as_a_timeout(path: bytes) -> None:
    with black_hole() as url:
        async with edge_to(url, connect_timeout="200ms") as edge:
            answer = await ask(edge.port, post(path, b"{}"))
            assert answer.status == 504 and answer.value(b"x-headroom-fault") == b"dial_timeout"


@pytest.mark.parametrize(
    "head",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 2OO OK\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ],
    ids=["not_http", "status", "version", "two_lengths", "two_framings", "folded", "too_long", "unasked_switch"],
)
async def test_an_answer_that_is_none_is_told_as_a_bad_gateway(head: bytes) -> None:
    async with sent(post(b"/v1/messages", b"{}")) as (client, peer, _, _):
        await read_request(peer)
        await peer.send(head)
        answer = await read_answer(client)
        assert (answer.status, provider_of(answer)) == (502, "anthropic")
        await peer.rest()


@pytest.mark.one_loop
async def test_a_silent_origin_is_told_as_a_timeout_before_the_answer_and_cut_after() -> None:
    async with sent(post(b"/v1/messages", b"{}"), silence_timeout="200ms") as (client, peer, origin, _):
        await read_request(peer)
        answer = await read_answer(client)
        assert answer.status == 504 and answer.value(b"x-headroom-fault") == b"upstream_silent"
        await peer.rest()
        await client.send(post(b"/v1/messages", b"{}"))
        other = await origin.accept()
        await read_request(other)
        await other.send(CHUNKED_HEAD + chunked(b"a", end=b""))
        await client.until(b"\r\n\r\n")
        assert await client.rest() == chunked(b"a", end=b"")
        await other.rest()


async def test_a_post_is_never_sent_twice() -> None:
    async with sent(post(b"/v1/messages", b'{"first":1}')) as (client, peer, origin, _):
        assert (await read_request(peer)).body == b'{"first":1}'
        peer.close()
        assert (await read_answer(client)).status == 502
        await client.send(post(b"/v1/messages", b'{"second":1}'))
        other = await origin.accept()
        assert (await read_request(other)).body == b'{"second":1}'


@pytest.mark.parametrize("path", [b"/v1/messages", b"/v1/embeddings"])
async def test_a_post_is_not_sent_again_where_a_used_connection_dies_under_it(path: bytes) -> None:
    async with sent(post(path, b'{"n":0}')) as (client, peer, origin, _):
        await read_request(peer)
        await peer.send(OK)
        await read_answer(client)
        await client.send(post(path, b'{"n":1}'))
        await read_request(peer)
        peer.reset()
        assert (await read_answer(client)).status == 502
        await client.send(post(path, b'{"n":2}'))
        assert (await read_request(await origin.accept())).body == b'{"n":2}'


@pytest.mark.parametrize("how", [Wire.close, Wire.reset, Wire.shut], ids=["closed", "reset", "half_closed"])
async def test_a_connection_that_its_origin_ended_while_idle_is_not_used(how: Callable[[Wire], None]) -> None:
    async with sent(GET) as (client, peer, origin, _):
        await read_request(peer)
        await peer.send(OK)
        await read_answer(client)
        how(peer)
        await client.send(post(b"/v1/messages", b"{}"))
        other = await origin.accept()
        await read_request(other)
        await other.send(OK)
        assert (await read_answer(client)).status == 200


async def test_bytes_that_came_on_an_idle_connection_are_nobodys_answer() -> None:
    async with sent(GET) as (client, peer, origin, _):
        await read_request(peer)
        await peer.send(OK)
        await read_answer(client)
        # Both are readable in one turn of the loop, the client's first.
        client.sock.sendall(GET)
        peer.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        other = await origin.accept()
        await read_request(other)
        await other.send(OK)
        assert (await read_answer(client)).body == b"ok"


async def test_surplus_after_an_answer_takes_its_connection_out_of_use() -> None:
    async with sent(GET) as (client, peer, origin, _):
        await read_request(peer)
        await peer.send(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        assert (await read_answer(client)).body == b"ok"
        await client.send(GET)
        other = await origin.accept()
        await read_request(other)
        await other.send(OK)
        assert (await read_answer(client)).body == b"ok"


# Connections to the origin.


async def test_a_connection_serves_one_client_after_another() -> None:
    async with AnsweringOrigin() as origin, edge_to(origin.url) as edge:
        for _ in range(5):
            assert (await ask(edge.port, GET)).body == b"ok"
        assert len(origin.heard) == 1


async def test_two_clients_at_once_get_a_connection_each() -> None:
    async with sent(GET) as (first, peer, origin, edge), await connect(edge.port) as second:
        await read_request(peer)
        await second.send(GET)
        other = await origin.accept()
        await read_request(other)
        await other.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond")
        assert (await read_answer(second)).body == b"second"
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst")
        assert (await read_answer(first)).body == b"first"


async def test_an_answer_that_closes_its_connection_ends_only_that_one() -> None:
    async with proxied() as (origin, edge), await connect(edge.port) as client:
        for _ in range(3):
            await client.send(GET)
            peer = await origin.accept()
            await read_request(peer)
            await peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
            answer = await read_answer(client)
            assert answer.body == b"ok" and answer.value(b"connection") is None


# Other protocols.

HANDSHAKE = (
    b"GET /v1/realtime HTTP/1.1\r\n"
    b"Host: x\r\n"
    b"Connection: keep-alive, Upgrade\r\n"
    b"Upgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
)


async def test_an_upgrade_opens_a_tunnel_that_changes_no_byte() -> None:
    async with sent(HANDSHAKE) as (client, peer, _, edge):
        head = await peer.until(b"\r\n\r\n")
        assert b"Upgrade: websocket\r\n" in head and b"Connection: keep-alive, Upgrade\r\n" in head
        await peer.send(SWITCH + b"\r\n" + b"\x81\x05hello")
        answer = await read_answer(client)
        assert answer.head.startswith(SWITCH)
        assert await client.exactly(7) == b"\x81\x05hello"
        for n in range(20):
            frame = b"\x00\r\n0\r\n\r\n" + bytes([n]) * 3000
            await client.send(frame)
            assert await peer.exactly(len(frame)) == frame
            await peer.send(frame[::-1])
            assert await client.exactly(len(frame)) == frame[::-1]
        await peer.send(b"\x88\x00")
        peer.close()
        assert await client.rest() == b"\x88\x00" and client.ending == "end"
        await eventually(lambda: not edge.active and not edge.dialer.links)


async def test_bytes_that_a_client_sends_with_its_handshake_go_through_the_tunnel() -> None:
    async with sent(HANDSHAKE + b"eager") as (client, peer, _, _):
        await peer.until(b"\r\n\r\n")
        await peer.send(SWITCH + b"\r\n")
        await read_answer(client)
        await client.send(b" and late")
        assert await peer.exactly(14) == b"eager and late"


async def test_the_last_bytes_of_a_client_come_through_the_tunnel_before_its_end() -> None:
    async with sent(HANDSHAKE) as (client, peer, _, edge):
        await peer.until(b"\r\n\r\n")
        await peer.send(SWITCH + b"\r\n")
        await read_answer(client)
        frame = BLOCK * 4
        await client.send(frame)
        client.close()
        assert len(await peer.rest()) == len(frame)
        await eventually(lambda: not edge.active)


async def test_an_origin_that_may_be_silent_for_long_is_asked_by_the_system_whether_it_is_there() -> None:
    async with sent(HANDSHAKE) as (client, peer, _, edge):
        await peer.until(b"\r\n\r\n")
        (link,) = edge.dialer.links
        sock = link._transport.get_extra_info("socket")
        assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        await peer.send(SWITCH + b"\r\n")
        await read_answer(client)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@pytest.mark.one_loop
async def test_a_slow_reader_at_either_end_of_a_tunnel_pauses_the_other() -> None:
    body = PLENTY
    async with (
        RawOrigin(receive_buffer=65536) as origin,
        edge_to(origin.url) as edge,
        await connect(edge.port, receive_buffer=65536) as client,
    ):
        await client.send(HANDSHAKE)
        peer = await origin.accept()
        await peer.until(b"\r\n\r\n")
        await peer.send(SWITCH + b"\r\n")
        await read_answer(client)
        for source, sink in ((client, peer), (peer, client)):
            taken = await source.flood(body)
            assert taken < len(body) and unsent(edge) < 1 << 20
            sending = asyncio.get_running_loop().create_task(source.send(body[taken:]))
            assert await sink.exactly(len(body)) == body
            await sending


async def test_a_client_that_asks_for_http_2_is_served_as_ever() -> None:
    asks = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQBAAAAAAIAAAAA\r\n"
    async with sent(post(b"/v1/messages", b"{}").replace(b"\r\n", b"\r\n" + asks, 1)) as (client, peer, _, _):
        head = (await read_request(peer)).head.lower()
        assert b"upgrade" not in head and b"http2-settings" not in head
        await peer.send(OK)
        assert (await read_answer(client)).status == 200


async def test_a_refused_upgrade_is_an_answer_like_any_other() -> None:
    async with sent(HANDSHAKE) as (client, peer, _, _):
        await peer.until(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nno")
        answer = await read_answer(client)
        assert (answer.status, answer.body) == (426, b"no")
        await client.send(GET)
        await read_request(peer)
        await peer.send(OK)
        assert (await read_answer(client)).body == b"ok"


async def test_a_client_that_leaves_a_tunnel_ends_it() -> None:
    async with sent(HANDSHAKE) as (client, peer, _, edge):
        await peer.until(b"\r\n\r\n")
        await peer.send(SWITCH + b"\r\n")
        await read_answer(client)
        client.reset()
        await peer.rest()
        await eventually(lambda: not edge.active and not edge.clients and not edge.dialer.links)


async def test_a_tunnel_to_anywhere_is_not_opened() -> None:
    async with AnsweringOrigin() as origin, edge_to(origin.url) as edge:
        answer = await ask(edge.port, b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"CONNECT")
        assert answer.status >= 400
        assert origin.requests == []


# The recorded cases.


class Case(TypedDict, total=False):
    name: str
    payload: str
    request_method: str
    expect: str
    status: int | None
    body: str
    layer: str


CASES: list[Case] = json.loads((Path(__file__).parent / "corpus" / "wire" / "responses.json").read_text())


def complaint(case: Case, data: bytes, ending: str) -> str:
    """What is wrong with what the client got in a case, or nothing."""
    seen = h11_response(data, case["request_method"].encode())
    if case["expect"] == "either" and seen.verdict == "reject" and b"\r\nTransfer-Encoding: " in data:
        return ""  # a coding that h11 does not read; its end is the connection's
    if seen.verdict not in ("accept", "truncated"):
        return f"the client cannot read {data[:300]!r}: {seen.error}"
    answer = seen.messages[0]
    ours = any(name == b"x-headroom-fault" for name, _ in answer.headers)
    whole = seen.verdict == "accept" and not (answer.close_delimited and ending == "reset")
    wanted = (case["status"], case["body"].encode("latin-1"))
    if case["expect"] == "accept" and (ours or not whole or (answer.status, answer.body) != wanted):
        return f"the client got {answer.status} {answer.body[:100]!r}, {seen.verdict}, then {ending}"
    if ours:
        return "" if whole and answer.status == 502 else f"told as {answer.status}, {seen.verdict}"
    if case["expect"] == "truncated" and (whole or not wanted[1].startswith(answer.body)):
        return f"the client got {answer.body[:100]!r} as {seen.verdict}, then {ending}"
    if case["expect"] == "either" and whole and (answer.status, answer.body) != wanted:
        return f"the client got {answer.status} {answer.body[:100]!r}"
    if case["expect"] in ("reject", "incomplete") and whole:
        return f"the client took {answer.status} {answer.body[:100]!r} for an answer"
    return ""


async def test_a_client_sees_only_the_answer_that_a_strict_reader_sees() -> None:
    wrong: list[str] = []
    async with proxied() as (origin, edge):
        for case in CASES:
            method = case["request_method"].encode()
            if method == b"CONNECT" or (case.get("layer") and case["expect"] == "accept"):
                continue  # tunnels have tests of their own
            async with await connect(edge.port) as client:
                await client.send(b"%b /v1/thing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % method)
                peer = await origin.accept()
                await peer.until(b"\r\n\r\n")
                with contextlib.suppress(ConnectionError):
                    await peer.send(case["payload"].encode("latin-1"))
                    peer.shut()
                said = complaint(case, await client.rest(), client.ending)
                if said:
                    wrong.append(f"{case['name']} ({case['expect']}): {said}")
                await peer.rest()
                peer.close()
    assert not wrong, f"{len(wrong)} of {len(CASES)}:\n" + "\n".join(wrong)


async def test_draining_closes_a_socket_whose_upgrade_was_under_way() -> None:
    async with RawOrigin() as origin, edge_to(origin.url) as edge, await connect(edge.port) as client:
        await client.send(sockets.HANDSHAKE + b"\r\n")
        peer = await origin.accept()
        await peer.until(b"\r\n\r\n")
        draining = asyncio.get_running_loop().create_task(edge.drain(10.0))
        await eventually(lambda: edge.draining)
        await peer.send(sockets.SWITCH + b"\r\n")
        assert (await read_answer(client)).status == 101
        told = await sockets.End(client, FrameReader(masked=False, limit=1 << 20, deflated=False, binary=True)).next()
        assert told.opcode == CLOSE and close_code(told.payload or b"") == 1001
        client.close()
        assert await draining == 0
