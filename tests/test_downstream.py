"""What a client connection may take, and what comes of bytes that are no request: through a real proxy."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import pytest

from headroom.edge import Edge
from tests.support.embedded import edge_to
from tests.support.oracle import h11_requests
from tests.support.raw_client import Answer, ask, connect, read_answer
from tests.support.raw_origin import OK, AnsweringOrigin, Heard, RawOrigin, read_request
from tests.support.raw_wire import Ended, Wire, eventually

LOOPS = ("asyncio", "uvloop")

GET = b"GET /v1/thing HTTP/1.1\r\nHost: x\r\n\r\n"


def kind_of(answer: Answer) -> str:
    """The provider's word for an error."""
    error = json.loads(answer.body)["error"]
    return str(error.get("type") or error["status"])


async def last_answer(client: Wire) -> Answer:
    """The answer after which the proxy ends the connection, cleanly."""
    answer = await read_answer(client)
    assert await client.rest() == b"" and client.ending == "end"
    assert answer.value(b"connection") == b"close"
    return answer


async def next_look(edge: Edge) -> None:
    """Until the edge has looked at all deadlines once more; it does so four times within the shortest of them."""
    now = edge.watch.now
    await eventually(lambda: edge.watch.now > now)


# Limits on heads.


@pytest.mark.parametrize("size", [1100, 3_000_000])
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "unfinished"])
async def test_a_head_over_its_limit_is_refused(size: int, whole: bool) -> None:
    async with AnsweringOrigin() as origin, edge_to(origin.url, head_limit=1024) as edge:
        async with await connect(edge.port) as client:
            head = b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * size + (b"\r\n\r\n" if whole else b"")
            with contextlib.suppress(ConnectionError):
                await client.send(head)
            answer = await last_answer(client)
            assert answer.status == 431 and answer.value(b"x-headroom-fault") == b"head_too_large"
        assert (await ask(edge.port, GET)).status == 200
        assert len(origin.requests) == 1


async def test_a_head_within_its_limit_passes() -> None:
    async with AnsweringOrigin() as origin, edge_to(origin.url, head_limit=1024) as edge:
        head = b"GET / HTTP/1.1\r\nHost: x\r\nX: \r\n\r\n"
        assert (await ask(edge.port, head.replace(b"X: ", b"X: " + b"a" * (1024 - len(head))))).status == 200
        assert (await ask(edge.port, head.replace(b"X: ", b"X: " + b"a" * (1025 - len(head))))).status == 431


async def test_more_fields_than_allowed_are_refused() -> None:
    async with AnsweringOrigin() as origin, edge_to(origin.url, field_limit=8) as edge:
        for fields, status in ((7, 200), (8, 431)):
            head = b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * fields + b"\r\n"
            assert (await ask(edge.port, head)).status == status
        assert len(origin.requests) == 1


@pytest.mark.one_loop
async def test_a_head_that_is_not_finished_in_time_is_refused() -> None:
    async with AnsweringOrigin() as origin, edge_to(origin.url, header_timeout="200ms") as edge:
        async with await connect(edge.port) as client:
            await client.send(b"GET / HTTP/1.1\r\nHo")
            assert (await last_answer(client)).status == 408
        async with await connect(edge.port) as client:
            await client.send(GET)
            assert (await read_answer(client)).status == 200
            await client.send(b"G")
            assert (await last_answer(client)).status == 408
        assert len(origin.requests) == 1


@pytest.mark.one_loop
async def test_a_head_that_drips_in_is_not_given_more_time() -> None:
    async with AnsweringOrigin() as origin, edge_to(origin.url, header_timeout="300ms") as edge:
        async with await connect(edge.port) as client:
            answer = asyncio.get_running_loop().create_task(last_answer(client))
            await client.send(b"GET / HTTP/1.1\r\n")
            while not answer.done():
                with contextlib.suppress(ConnectionError):
                    await client.send(b"X: y\r\n")
                await asyncio.wait([answer], timeout=0.05)
            assert (await answer).status == 408
        assert not origin.requests


@pytest.mark.one_loop
async def test_an_idle_connection_is_closed_without_a_word() -> None:
    async with AnsweringOrigin() as origin, edge_to(origin.url, keep_alive_timeout="200ms") as edge:
        for request in (b"", GET):
            async with await connect(edge.port) as client:
                await client.send(request)
                if request:
                    assert (await read_answer(client)).status == 200
                assert await client.rest() == b"" and client.ending == "end"
        await eventually(lambda: not edge.clients)


@pytest.mark.one_loop
async def test_a_connection_with_an_answer_under_way_is_not_idle() -> None:
    async with (
        RawOrigin() as origin,
        edge_to(origin.url, keep_alive_timeout="100ms", body_timeout="100ms", header_timeout="100ms") as edge,
        await connect(edge.port) as client,
    ):
        await client.send(GET)
        peer = await origin.accept()
        await read_request(peer)
        for _ in range(16):  # four times as long as any of the limits
            await next_look(edge)
        await peer.send(OK)
        assert (await read_answer(client)).body == b"ok"


# Limits on bodies.


@pytest.mark.one_loop
@pytest.mark.parametrize("path", [b"/v1/messages", b"/v1/embeddings"])
async def test_a_body_that_does_not_come_ends_its_connection(path: bytes) -> None:
    async with AnsweringOrigin() as origin, edge_to(origin.url, body_timeout="200ms") as edge:
        async with await connect(edge.port) as client:
            await client.send(b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc" % path)
            await client.rest()
        await eventually(lambda: not edge.active and not edge.clients)
        assert not origin.requests


@pytest.mark.one_loop
async def test_a_body_that_comes_slowly_but_comes_is_taken() -> None:
    async with (
        AnsweringOrigin() as origin,
        edge_to(origin.url, body_timeout="400ms") as edge,
        await connect(edge.port) as client,
    ):
        await client.send(b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n")
        for _ in range(12):
            await client.send(b" ")
            await next_look(edge)
        assert (await read_answer(client)).status == 200


async def test_a_held_body_over_its_limit_is_refused_before_any_of_it_came() -> None:
    async with AnsweringOrigin() as origin, edge_to(origin.url, body_limit=1024) as edge:
        async with await connect(edge.port) as client:
            await client.send(b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 1025\r\n\r\n")
            answer = await last_answer(client)
            assert (answer.status, kind_of(answer)) == (413, "request_too_large")
        async with await connect(edge.port) as client:  # what it has sent all the same does not hide the answer
            with contextlib.suppress(ConnectionError):
                await client.send(
                    b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n" + b" " * 2_900_000
                )
            assert (await last_answer(client)).status == 413
        head = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 1024\r\n\r\n"
        assert (await ask(edge.port, head + b" " * 1024)).status == 200
        assert len(origin.requests) == 1


async def test_an_expectation_is_not_met_where_the_body_would_be_too_large() -> None:
    async with AnsweringOrigin() as origin, edge_to(origin.url, body_limit=1024) as edge:
        async with await connect(edge.port) as client:
            await client.send(
                b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1025\r\n\r\n"
            )
            answer = await last_answer(client)
            assert answer.status == 413 and not answer.interim
        assert not origin.requests


async def test_a_held_chunked_body_over_its_limit_is_refused() -> None:
    async with AnsweringOrigin() as origin, edge_to(origin.url, body_limit=1024) as edge:
        async with await connect(edge.port) as client:
            await client.send(b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                for _ in range(600):
                    await client.send(b"400\r\n" + b" " * 1024 + b"\r\n")
            assert (await last_answer(client)).status == 413
        assert not origin.requests and not edge.active


async def test_a_relayed_body_has_no_limit() -> None:
    async with RawOrigin() as origin, edge_to(origin.url, body_limit=1024) as edge, await connect(edge.port) as client:
        body = b"x" * 100_000
        await client.send(b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + body)
        peer = await origin.accept()
        assert (await read_request(peer)).body == body


# Limits on work.


@pytest.mark.parametrize(
    ("path", "word"),
    [
        (b"/v1/messages", "overloaded_error"),
        (b"/v1/chat/completions", "server_error"),
        (b"/v1beta/models/m:generateContent", "UNAVAILABLE"),
    ],
)
async def test_an_exchange_beyond_the_limit_is_told_when_to_come_again(path: bytes, word: str) -> None:
    async with RawOrigin() as origin, edge_to(origin.url, concurrency=1) as edge, await connect(edge.port) as first:
        await first.send(GET)
        peer = await origin.accept()
        await read_request(peer)
        async with await connect(edge.port) as second:
            request = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n" % path
            await second.send(request)
            answer = await read_answer(second)
            assert answer.status == 503 and answer.value(b"retry-after") == b"1"
            assert kind_of(answer) == word
            await peer.send(OK)
            assert (await read_answer(first)).body == b"ok"
            await eventually(lambda: not edge.active)
            await second.send(request)  # on the same connection
            await read_request(peer)
            await peer.send(OK)
            assert (await read_answer(second)).body == b"ok"


@pytest.mark.one_loop
async def test_many_half_heads_do_not_disturb_a_good_client() -> None:
    async with AnsweringOrigin() as origin, edge_to(origin.url, header_timeout="500ms") as edge:
        slow = [await connect(edge.port) for _ in range(300)]
        for client in slow:
            await client.send(b"GET / HTTP/1.1\r\nHost: x\r\nX")
        async with await connect(edge.port) as good:
            for _ in range(20):
                await good.send(GET)
                assert (await read_answer(good)).status == 200
        for client in slow:
            assert (await last_answer(client)).status == 408
            client.close()
        await eventually(lambda: not edge.clients)
        assert len(origin.requests) == 20 and not edge.active


@pytest.mark.one_loop
async def test_a_client_that_never_reads_its_answer_is_dropped() -> None:
    async with (
        RawOrigin() as origin,
        edge_to(origin.url, silence_timeout="400ms") as edge,
        await connect(edge.port, receive_buffer=16384) as client,
    ):
        await client.send(GET)
        peer = await origin.accept()
        await read_request(peer)
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 << 20))
        with contextlib.suppress(ConnectionError):
            await peer.flood(b"x" * (64 << 20))
        await peer.rest()
        await eventually(lambda: not edge.active and not edge.clients)


# The recorded cases.


class Case(TypedDict):
    name: str
    payload: str
    expect: str
    requests: int
    bodies: list[str]


CASES: list[Case] = json.loads((Path(__file__).parent / "corpus" / "wire" / "requests.json").read_text())
STRICTER = {"transfer_encoding_among_tabs"}  # see tests/wire/test_reader.py
# The proxy has no tunnel to open, and answers for itself.
OWN_ANSWER = {case["name"] for case in CASES if case["payload"].startswith("CONNECT ")}


class Proxied:
    """One edge for all cases; each request has an origin connection of its own."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    async def run(self, payload: bytes, wanted: int, ends: bool) -> tuple[list[int], str]:
        """Statuses of the answers, and the connection's ending."""
        statuses: list[int] = []
        async with await connect(self._edge.port) as client:
            with contextlib.suppress(ConnectionError):
                await client.send(payload)
            with contextlib.suppress(Ended):
                while ends or len(statuses) < wanted:
                    method = b"HEAD" if self._is_head(payload, len(statuses)) else b"GET"
                    statuses.append((await read_answer(client, method)).status)
            ending = client.ending
        await eventually(lambda: not self._edge.clients)
        return statuses, ending

    def _is_head(self, payload: bytes, at: int) -> bool:
        return at == 0 and payload.lstrip(b"\r\n").startswith(b"HEAD ")


def complaint(case: Case, held: bool, statuses: Sequence[int], ending: str, heard: Sequence[Heard]) -> str:
    """What is wrong with the outcome of a case, or nothing."""
    bodies = [body.encode("latin-1") for body in case["bodies"]]
    complete = [request for connection in heard for request in connection.requests]
    for connection in heard:
        seen = h11_requests(connection.data)
        if seen.verdict == "reject" or len(connection.requests) > 1:
            return f"the origin read {connection.data!r} as {seen}"
        if connection.data and not connection.requests and held:
            return f"the origin saw {connection.data!r} of a request that was never whole"
    got = [request.body for request in complete]
    expect = case["expect"] if case["name"] not in STRICTER else "reject"
    if expect == "reject":
        bodies = bodies if case["name"] not in STRICTER else []
    if got != bodies[: len(got)] or (expect == "accept" and len(got) != case["requests"]):
        return f"the origin got {got}, not {bodies}"
    if expect == "reject":
        if len(got) != len(bodies):
            return f"the origin got only {got} of {bodies}"
        if len(statuses) != len(got) + 1 or statuses[-1] not in (400, 408, 431) or ending != "end":
            return f"the client got {statuses}, then {ending}"
    return ""


@pytest.mark.parametrize("held", [False, True], ids=["relayed", "held"])
async def test_an_origin_sees_only_the_requests_that_a_strict_reader_sees(held: bool) -> None:
    wrong: list[str] = []
    async with (
        AnsweringOrigin() as origin,
        edge_to(origin.url, origin_idle_limit=0, head_limit="64KiB", field_limit=128) as edge,
    ):
        proxied = Proxied(edge)
        for case in CASES:
            payload = case["payload"].encode("latin-1")
            if held:
                if not payload.startswith(b"POST / HTTP/1.1\r\n"):
                    continue
                payload = payload.replace(b"POST / HTTP/1.1\r\n", b"POST /v1/messages HTTP/1.1\r\n")
            if case["name"] in OWN_ANSWER:
                continue
            ends = case["expect"] == "reject" or case["name"] in STRICTER
            wanted = case["requests"] if case["expect"] == "accept" else 0
            origin.heard.clear()
            statuses, ending = await proxied.run(payload, wanted, ends)
            good, _ = await proxied.run(GET, 1, False)
            *heard, last = origin.heard  # they were accepted in the order in which they were made
            if good != [200] or [request.target for request in last.requests] != [b"/v1/thing"]:
                wrong.append(f"{case['name']}: a good request after it: {good}")
            said = complaint(case, held, statuses, ending, heard)
            if said:
                wrong.append(f"{case['name']} ({case['expect']}): {said[:300]}")
    assert not wrong, f"{len(wrong)} of {len(CASES)}:\n" + "\n".join(wrong)
