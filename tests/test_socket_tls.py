"""WebSockets whose origin is reached over TLS, as providers are: the same as over plain connections."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

from headroom.edge import Edge
from tests.support.certificates import AUTHORITY, make_certificates, needs_openssl, server_context
from tests.support.embedded import edge_to, unsent
from tests.support.origin import Origin
from tests.support.raw_wire import LIMIT, eventually
from tests.support.retrieving import check_requests, edge, texts
from tests.support.script import Script
from tests.support.socket_origin import SocketOrigin, Way
from tests.support.sockets import CREATED, DONE, creating, listing, prompt, result
from tests.test_duplex import blank, outputs
from tests.test_retrieval import SHAPES, _commands
from tests.test_socket_rounds import FIELDS, FIRST, LAST, LOG, Talk, check_resumed, requests, unseen

LOOPS = ("asyncio", "uvloop")
pytestmark = needs_openssl
MANY = 150
Handler = Callable[[ServerConnection], Awaitable[None]]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See make_certificates."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@dataclass
class Opened:
    """A client's end of a socket, and the proxy that it is open through."""

    client: ClientConnection
    proxy: Edge

    async def gone(self) -> None:
        """Wait until nothing of the socket is left."""
        proxy = self.proxy
        await eventually(lambda: not proxy.active and not proxy.clients and not proxy.dialer.links)
        assert not proxy.watch._members.keys() - {id(proxy.dialer)}


@contextlib.asynccontextmanager
async def opened(certificates: Path, handler: Handler, **settings: object) -> AsyncIterator[Opened]:
    """A socket through a proxy to an origin of the library's own that `handler` speaks for."""
    async with serve(handler, "127.0.0.1", 0, ssl=server_context(certificates), max_size=None) as server:
        url = f"https://localhost:{next(iter(server.sockets)).getsockname()[1]}"
        async with (
            edge_to(url, **{"ca_file": certificates / AUTHORITY, **settings}) as proxy,
            connect(f"ws://127.0.0.1:{proxy.port}/v1/responses", additional_headers=FIELDS, max_size=None) as client,
        ):
            yield Opened(client, proxy)


@pytest.mark.parametrize("way", ["plain", "deflated", "deflated anew"])
@pytest.mark.parametrize("shape", ["alone", "between the client's", "three rounds"])
async def test_a_loop_over_tls_is_pressed_and_its_hidden_rounds_are_answered(
    certificates: Path, way: Way, shape: str
) -> None:
    turns = [FIRST, *SHAPES[shape], LAST]
    sockets = SocketOrigin(way)
    tls = server_context(certificates)
    async with Origin(Script.single(turns), sockets=sockets, tls=tls) as origin:
        url = origin.url.replace("127.0.0.1", "localhost")
        proxy = edge(url, ca_file=certificates / AUTHORITY)
        async with proxy:
            address = f"ws://127.0.0.1:{proxy.port}/v1/responses"
            async with connect(address, additional_headers=FIELDS, max_size=None) as socket:
                talk = Talk(socket)
                await talk.warm()
                await talk.play()
            assert talk.called == list(_commands(turns)) and not sockets.refused
            assert talk.words == "".join(turn.text for turn in turns)
            unseen(talk)
            check_requests(requests(sockets))
            assert LOG not in texts(requests(sockets)[2])
            await check_resumed(proxy, origin, sockets, talk, exact=False)


async def test_messages_pass_in_both_directions_and_requests_are_pressed(certificates: Path) -> None:
    heard: list[str | bytes] = []

    async def handler(origin: ServerConnection) -> None:
        async for message in origin:
            heard.append(message)
            if isinstance(message, str) and "response.create" in message:
                for told in (CREATED % b"r1", b"x" * 100_000, DONE % b"r1"):
                    await origin.send(told, text=True)
            else:
                await origin.send(message)

    asked = creating(prompt("ä€😀"), result("c1", listing()))
    async with opened(certificates, handler) as socket:
        for said in ("", "no json", b"\0\xff" * 70_000, '{"type":"response.cancel"}'):
            await socket.client.send(said)
            assert await socket.client.recv() == said
        await socket.client.send([asked[:40].decode(), asked[40:].decode()])
        for told in (CREATED % b"r1", b"x" * 100_000, DONE % b"r1"):
            assert await socket.client.recv(decode=False) == told
        await (await socket.client.ping())
        pressed = str(heard[-1]).encode()
        assert blank(pressed) == blank(asked) and len(outputs(pressed)[0]) < len(listing()) / 2
        assert socket.proxy.board.total("headroom_socket_responses", "complete") == 1


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "going"), (4001, "äh")])
@pytest.mark.parametrize("by", ["client", "origin"])
async def test_closes_pass_with_their_code_and_reason(certificates: Path, code: int, reason: str, by: str) -> None:
    seen: asyncio.Future[ConnectionClosed] = asyncio.get_running_loop().create_future()

    async def handler(origin: ServerConnection) -> None:
        try:
            await origin.recv()
            if by == "origin":
                await origin.close(code, reason)
            await origin.recv()
        except ConnectionClosed as closed:
            seen.set_result(closed)

    async with opened(certificates, handler) as socket:
        await socket.client.send("hello")
        if by == "client":
            await socket.client.close(code, reason)
        with pytest.raises(ConnectionClosed) as caught:
            await socket.client.recv()
        for closed in (caught.value, await seen):
            assert closed.sent is not None and closed.rcvd is not None
            assert (closed.sent.code, closed.rcvd.code, closed.rcvd.reason) == (code, code, reason)
        await socket.gone()


async def test_an_origin_that_goes_without_a_close_leaves_the_client_without_one(certificates: Path) -> None:
    async def handler(origin: ServerConnection) -> None:
        await origin.recv()
        await origin.send("last")
        origin.transport.close()

    async with opened(certificates, handler) as socket:
        await socket.client.send(creating(prompt()).decode())
        assert await socket.client.recv() == "last"
        with pytest.raises(ConnectionClosedError) as caught:
            await socket.client.recv()
        assert caught.value.rcvd is None
        await socket.gone()


async def test_a_client_that_goes_without_a_close_leaves_nothing(certificates: Path) -> None:
    ended = asyncio.Event()

    async def handler(origin: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosedError):
            await origin.recv()
            await origin.recv()
        ended.set()

    async with opened(certificates, handler) as socket:
        await socket.client.send(creating(prompt()).decode())
        socket.client.transport.abort()
        await ended.wait()
        await socket.gone()


async def flood(end: ClientConnection | ServerConnection, proxy: Edge, reads: asyncio.Event) -> None:
    """Send much to a side that waits for `reads` until this side is paused; nearly nothing waits in the proxy then."""
    message = Random(0).randbytes(200_000)  # which deflating does not make smaller
    sending = asyncio.get_running_loop().create_task(send(end, message))
    await asyncio.wait({sending}, timeout=0.4)
    assert not sending.done() and unsent(proxy) < 1 << 20
    reads.set()
    await sending


async def send(end: ClientConnection | ServerConnection, message: bytes) -> None:
    """Send a message many times."""
    for _ in range(MANY):
        await end.send(message)


@pytest.mark.one_loop
async def test_a_slow_reader_at_either_end_pauses_the_other(certificates: Path) -> None:
    proxies: list[Edge] = []
    origin_reads, client_reads = asyncio.Event(), asyncio.Event()

    async def handler(origin: ServerConnection) -> None:
        await origin_reads.wait()
        for _ in range(MANY):
            await origin.recv()
        await flood(origin, proxies[0], client_reads)

    async with asyncio.timeout(LIMIT), opened(certificates, handler) as socket:
        proxies.append(socket.proxy)
        await flood(socket.client, socket.proxy, origin_reads)
        await client_reads.wait()
        for _ in range(MANY):
            await socket.client.recv()
        await socket.client.close()
        await socket.gone()


async def test_an_origin_that_nobody_vouches_for_is_not_asked(certificates: Path, tmp_path: Path) -> None:
    other = make_certificates(tmp_path)

    async def handler(origin: ServerConnection) -> None:
        raise AssertionError("it was asked")

    with pytest.raises(InvalidStatus) as caught:
        async with opened(certificates, handler, ca_file=other / AUTHORITY):
            pass
    answer = caught.value.response
    assert answer.status_code == 502 and answer.headers["x-headroom-fault"] == "dial_failed"
    assert "TLS" in orjson.loads(answer.body or b"")["error"]["message"]
