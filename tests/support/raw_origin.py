"""An origin by bytes: a test accepts each connection itself and plays what comes back on it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Self

from tests.support.oracle import SeenRequest, h11_requests
from tests.support.raw_client import Field, fields_of, read_chunks
from tests.support.raw_wire import LIMIT, Ended, Wire

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came. `wire` is the body as it came, `body` without chunk framing."""

    head: bytes
    fields: tuple[Field, ...]
    body: bytes
    wire: bytes

    def value(self, name: bytes) -> bytes | None:
        """The one value of a field, or None; `name` in lower case."""
        found = [value for key, value in self.fields if key.lower() == name]
        assert len(found) < 2, (name, found)
        return found[0] if found else None

    @property
    def line(self) -> bytes:
        """The request line."""
        return self.head.partition(b"\r\n")[0]


class RawOrigin:
    """A listening socket on loopback. `accept` gives the next connection."""

    def __init__(self, *, backlog: int = 128, receive_buffer: int = 0) -> None:
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(backlog)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self.peers: list[Wire] = []

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.port}"

    async def accept(self) -> Wire:
        """The next connection, once the proxy has made it."""
        async with asyncio.timeout(LIMIT):
            sock, _ = await asyncio.get_running_loop().sock_accept(self._listener)
        peer = Wire(sock)
        self.peers.append(peer)
        return peer

    def refuse(self) -> None:
        """Listen no longer: the next connection is refused."""
        self._listener.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for peer in self.peers:
            peer.close()


@contextlib.contextmanager
def black_hole() -> Iterator[str]:
    """The URL of an origin whose queue of connections is full: another one is neither accepted nor refused."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


async def read_request(peer: Wire) -> Received:
    """The next request on a connection. Raises raw_wire.Ended where it does not come whole."""
    head = await peer.until(b"\r\n\r\n")
    fields = fields_of(head)
    named = {name.lower(): value for name, value in fields}
    if named.get(b"transfer-encoding", b"").lower() == b"chunked":
        body, wire, _ = await read_chunks(peer)
    else:
        body = wire = await peer.exactly(int(named.get(b"content-length", b"0")))
    return Received(head, fields, body, wire)


@dataclass(slots=True)
class Heard:
    """All bytes of one connection, and the complete requests that h11 found in them."""

    data: bytes = b""
    requests: list[SeenRequest] = field(default_factory=list)
    verdict: str = "incomplete"


class AnsweringOrigin(RawOrigin):
    """Answers every request that h11 finds complete, and keeps every byte of every connection."""

    def __init__(self, answer: Callable[[SeenRequest], bytes] | None = None) -> None:
        super().__init__()
        self._answer = answer or _ok
        self.heard: list[Heard] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def requests(self) -> list[SeenRequest]:
        """All complete requests, by connection."""
        return [request for heard in self.heard for request in heard.requests]

    async def __aenter__(self) -> Self:
        self._spawn(asyncio.get_running_loop().create_task(self._accept()))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await super().__aexit__()

    def _spawn(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(self._listener)
            peer = Wire(sock)
            heard = Heard()
            self.heard.append(heard)
            self._spawn(loop.create_task(self._converse(peer, heard)))

    async def _converse(self, peer: Wire, heard: Heard) -> None:
        try:
            while True:
                try:
                    data = await asyncio.get_running_loop().sock_recv(peer.sock, 1 << 16)
                except ConnectionError:
                    return
                if not data:
                    return
                heard.data += data
                seen = h11_requests(heard.data)
                heard.verdict = seen.verdict
                for request in seen.messages[len(heard.requests) :]:
                    heard.requests.append(request)
                    await peer.send(self._answer(request))
        except (ConnectionError, Ended):
            return
        finally:
            peer.close()


def _ok(request: SeenRequest) -> bytes:
    return OK[:-2] if request.method == b"HEAD" else OK
