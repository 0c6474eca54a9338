"""An edge as a whole: draining, closing, and what is left behind: nothing."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import socket
import threading
from pathlib import Path

import pytest

from headroom.config import ConfigError
from headroom.edge import Edge
from headroom.zones import yardstick
from tests.support.embedded import edge_to, shrink_send_buffers, unsent
from tests.support.raw_client import ask, connect, read_answer
from tests.support.raw_origin import OK, AnsweringOrigin, RawOrigin, black_hole, read_request
from tests.support.raw_wire import LIMIT, Wire, eventually

LOOPS = ("asyncio", "uvloop")

GET = b"GET /v1/thing HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def open_sockets() -> int:
    return sum(1 for link in Path("/proc/self/fd").iterdir() if _is_socket(link))


def _is_socket(link: Path) -> bool:
    try:
        return str(link.readlink()).startswith("socket:")
    except OSError:
        return False


async def refused(port: int) -> bool:
    try:
        client = await connect(port)
    except ConnectionRefusedError:
        return True
    client.close()
    return False


async def streaming(edge: Edge, origin: RawOrigin, client: Wire) -> Wire:
    """Begin a stream; the origin's end of it is returned."""
    await client.send(POST)
    peer = await origin.accept()
    await read_request(peer)
    await peer.send(STREAM + b"1\r\na\r\n")
    await client.until(b"\r\n\r\n1\r\na\r\n")
    return peer


# Draining.


async def test_draining_closes_idle_connections_and_takes_no_new_ones() -> None:
    async with (
        AnsweringOrigin() as origin,
        edge_to(origin.url) as edge,
        await connect(edge.port) as fresh,
        await connect(edge.port) as used,
    ):
        await used.send(GET)
        await read_answer(used)
        await eventually(lambda: len(edge.clients) == 2)
        assert await edge.drain() == 0
        for client in (fresh, used):
            assert await client.rest() == b"" and client.ending == "end"
        assert await refused(edge.port)


async def test_a_stream_under_way_finishes_while_the_edge_drains() -> None:
    async with RawOrigin() as origin, edge_to(origin.url) as edge, await connect(edge.port) as client:
        peer = await streaming(edge, origin, client)
        draining = asyncio.get_running_loop().create_task(edge.drain(LIMIT))
        await eventually(lambda: edge.draining)
        assert await refused(edge.port)
        await peer.send(b"1\r\nb\r\n")
        assert await client.until(b"b\r\n") == b"1\r\nb\r\n"
        assert not draining.done()
        await peer.send(b"0\r\n\r\n")
        assert await draining == 0
        assert await client.rest() == b"0\r\n\r\n" and client.ending == "end"


async def test_an_answer_that_begins_while_the_edge_drains_says_that_the_connection_ends() -> None:
    async with RawOrigin() as origin, edge_to(origin.url) as edge, await connect(edge.port) as client:
        await client.send(POST)
        peer = await origin.accept()
        await read_request(peer)
        draining = asyncio.get_running_loop().create_task(edge.drain(LIMIT))
        await eventually(lambda: edge.draining)
        await peer.send(OK)
        answer = await read_answer(client)
        assert answer.body == b"ok" and answer.value(b"connection") == b"close"
        assert await client.rest() == b"" and client.ending == "end"
        assert await draining == 0


async def test_a_stream_that_outlasts_the_grace_is_cut_and_does_not_look_complete() -> None:
    async with RawOrigin() as origin, edge_to(origin.url) as edge, await connect(edge.port) as client:
        peer = await streaming(edge, origin, client)
        assert await edge.drain(0.05) == 1
        await edge.close()
        assert b"0\r\n\r\n" not in await client.rest()
        await peer.rest()
        assert not edge.active and not edge.clients


async def test_an_answer_that_a_slow_client_has_not_taken_yet_outlives_the_drain() -> None:
    body = b"x" * 120_000
    async with (
        RawOrigin() as origin,
        edge_to(origin.url) as edge,
        await connect(edge.port, receive_buffer=8192) as client,
    ):
        await client.send(POST)
        peer = await origin.accept()
        await read_request(peer)
        shrink_send_buffers(edge)
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await eventually(lambda: not edge.active or any(c.stalled for c in edge.clients))
        assert unsent(edge)

        async def stop() -> None:
            await edge.drain(LIMIT)
            await edge.close()

        stopping = asyncio.get_running_loop().create_task(stop())
        await eventually(lambda: edge.draining)
        await client.until(b"\r\n\r\n")
        assert len(await client.rest()) == len(body)
        await stopping


async def test_a_request_on_an_old_connection_is_told_that_the_edge_drains() -> None:
    async with (
        RawOrigin() as origin,
        edge_to(origin.url) as edge,
        await connect(edge.port) as client,
        await connect(edge.port) as other,
    ):
        await other.send(POST[:20])
        await eventually(lambda: len(edge.clients) == 2)
        await streaming(edge, origin, client)
        draining = asyncio.get_running_loop().create_task(edge.drain(LIMIT))
        await eventually(lambda: edge.draining)
        await other.send(POST[20:])
        answer = await read_answer(other)
        assert answer.status == 503 and answer.value(b"connection") == b"close"
        assert answer.value(b"x-headroom-fault") == b"draining"
        client.close()
        assert await draining == 0


async def test_a_kept_connection_ends_with_its_answer_where_the_edge_drains_in_between() -> None:
    async with RawOrigin() as origin, edge_to(origin.url) as edge, await connect(edge.port) as client:
        peer = await streaming(edge, origin, client)
        draining = asyncio.get_running_loop().create_task(edge.drain(LIMIT))
        await eventually(lambda: edge.draining)
        await peer.send(b"0\r\n\r\n")
        await draining
        assert await client.rest() == b"0\r\n\r\n" and client.ending == "end"


# Closing.


@pytest.mark.parametrize("at", ["idle", "streaming", "dialling", "holding", "before_the_answer"])
async def test_closing_leaves_no_task_socket_or_thread(at: str) -> None:
    gc.collect()
    threads = set(threading.enumerate())
    with black_hole() as nowhere:
        async with RawOrigin() as origin:
            tasks, sockets = len(asyncio.all_tasks()), open_sockets()
            async with edge_to(nowhere if at == "dialling" else origin.url) as edge, await connect(edge.port) as client:
                if at == "streaming":
                    await streaming(edge, origin, client)
                elif at == "holding":
                    await client.send(POST[:-1])
                    await eventually(lambda: edge.active)
                elif at != "idle":
                    await client.send(POST)
                    await eventually(lambda: edge.active)
                    if at == "before_the_answer":
                        await read_request(await origin.accept())
            assert not edge.active and not edge.clients and not edge.dialer.links
            assert len(asyncio.all_tasks()) == tasks, asyncio.all_tasks()
            for peer in origin.peers:
                peer.close()
            await eventually(lambda: open_sockets() <= sockets)
    await eventually(lambda: set(threading.enumerate()) <= threads)


async def test_closing_while_the_token_ranks_are_loaded_leaves_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()

    def load() -> None:
        done.wait(LIMIT)

    monkeypatch.setattr(yardstick, "o200k_ready", lambda: False)
    monkeypatch.setattr(yardstick, "o200k", load)
    try:
        async with RawOrigin() as origin:
            tasks = len(asyncio.all_tasks())
            async with edge_to(origin.url, token_yardstick="o200k") as edge, await connect(edge.port) as client:
                await client.send(POST)
                peer = await origin.accept()
                await read_request(peer)
                await peer.send(OK)
                await read_answer(client)
                assert edge.shrinker.presser._loading is not None
            assert len(asyncio.all_tasks()) == tasks, asyncio.all_tasks()
    finally:
        done.set()


async def test_closing_in_the_moment_in_which_an_origin_accepts_leaves_nothing() -> None:
    async with RawOrigin() as origin:
        tasks = len(asyncio.all_tasks())
        async with edge_to(origin.url) as edge, await connect(edge.port) as client:
            await client.send(GET)
            await origin.accept()
        await eventually(lambda: not edge.active and not edge.dialer.links)
        assert len(asyncio.all_tasks()) == tasks, asyncio.all_tasks()


async def test_a_connection_that_is_accepted_in_the_moment_of_closing_is_closed() -> None:
    async with RawOrigin() as origin:
        for _ in range(10):
            async with await connect_after(edge_to(origin.url)) as client:
                assert await client.rest() == b""


async def connect_after(edge: Edge) -> Wire:
    """A connection that the kernel has accepted and the edge perhaps not yet, when it closes."""
    async with edge:
        client = await connect(edge.port)
    await eventually(lambda: not edge.clients)
    return client


async def test_closing_twice_is_closing_once() -> None:
    async with AnsweringOrigin() as origin, edge_to(origin.url) as edge:
        await edge.close()
        await edge.close()


async def test_an_edge_that_cannot_start_leaves_nothing_running(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        sockets = open_sockets()
        edge = edge_to("http://127.0.0.1:9", port=taken.getsockname()[1], store=tmp_path / "store.db")
        with pytest.raises(ConfigError, match="port"):
            await edge.start()
        assert len(asyncio.all_tasks()) == 1
        assert open_sockets() == sockets
        assert not hasattr(edge, "watch"), "the timer was never started"


@pytest.mark.one_loop
async def test_a_thousand_abandoned_streams_leave_nothing() -> None:
    async with AnsweringOrigin(lambda request: STREAM + b"1\r\na\r\n") as origin, edge_to(origin.url) as edge:
        for _ in range(50):
            clients = [await connect(edge.port) for _ in range(20)]
            for client in clients:
                await client.send(POST)
            for client in clients:
                await client.until(b"\r\n\r\n1\r\na\r\n")
            for at, client in enumerate(clients):
                if at % 2:
                    client.close()
                else:
                    client.reset()
        # An aborted connection is told of its end in the loop's next round.
        await eventually(lambda: not edge.clients and not edge.active and not edge.dialer.links)
        assert not edge.watch._members.keys() - {id(edge.dialer)}
        assert len(origin.requests) == 1000
        stats = json.loads((await ask(edge.port, b"GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n")).body)
        assert stats["active"] == 0 and stats["outcomes"]["aborted"] == 1000


async def test_what_ends_is_counted_and_logged_by_how_it_ended(tmp_path: Path) -> None:
    log = tmp_path / "log" / "headroom.log"
    async with RawOrigin() as origin, edge_to(origin.url, log_file=log, log_level="info") as edge:
        async with await connect(edge.port) as client:
            for body, outcome in (
                (b"data: [DONE]\n\n", "complete"),
                (b"data: x\n\n", "truncated"),
            ):
                await client.send(POST.replace(b"/v1/messages", b"/v1/chat/completions"))
                peer = origin.peers[0] if origin.peers else await origin.accept()
                await read_request(peer)
                await peer.send(STREAM + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
                await read_answer(client)
                assert edge.board.total("headroom_outcomes", outcome) == 1
        async with await connect(edge.port) as client:
            await client.send(b"nonsense\r\n\r\n")
            await client.rest()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["request", "request", "refused", "stopped"]
    assert [line.get("outcome") for line in lines[:2]] == ["complete", "truncated"]
    assert os.stat(log).st_mode & 0o777 == 0o600


async def test_two_edges_in_one_loop_know_nothing_of_each_other() -> None:
    async with (
        AnsweringOrigin() as first,
        AnsweringOrigin() as second,
        edge_to(first.url) as one,
        edge_to(second.url, concurrency=1) as two,
    ):
        assert one.port != two.port
        for edge in (one, two, one):
            assert (await ask(edge.port, GET)).status == 200
        assert len(first.requests) == 2 and len(second.requests) == 1
        assert one.board.total("headroom_requests", "other") == 2
        await two.close()
        assert (await ask(one.port, GET)).status == 200
        assert await refused(two.port)


async def test_an_edge_can_be_started_again_on_the_same_port() -> None:
    async with AnsweringOrigin() as origin:
        async with edge_to(origin.url) as edge:
            port = edge.port
            assert (await ask(port, GET)).status == 200
        async with edge_to(origin.url, port=port) as edge:
            assert edge.port == port and (await ask(port, GET)).status == 200
