"""A client by bytes: what it sends is what a test wrote, and an answer is kept as it came."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass

from tests.support.raw_wire import LIMIT, Wire

Field = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `wire` is the body as it came, `body` without chunk framing, `trailers` the raw trailer section."""

    head: bytes
    status: int
    fields: tuple[Field, ...]
    body: bytes
    wire: bytes
    trailers: bytes
    interim: tuple[bytes, ...]

    def values(self, name: bytes) -> list[bytes]:
        """All values of a field, in order; `name` in lower case."""
        return [value for key, value in self.fields if key.lower() == name]

    def value(self, name: bytes) -> bytes | None:
        """The one value of a field, or None."""
        found = self.values(name)
        assert len(found) < 2, (name, found)
        return found[0] if found else None


async def connect(port: int, *, receive_buffer: int = 0) -> Wire:
    """A connection to a port on loopback; with `receive_buffer` one whose kernel keeps little of what is not read."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.setblocking(False)
    try:
        async with asyncio.timeout(LIMIT):
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    except BaseException:
        sock.close()
        raise
    return Wire(sock)


def fields_of(head: bytes) -> tuple[Field, ...]:
    """Names and values of a head's fields, in their order and case."""
    lines = (line.partition(b":") for line in head[:-4].split(b"\r\n")[1:])
    return tuple((name, value.strip(b" \t")) for name, _, value in lines)


async def read_answer(client: Wire, method: bytes = b"GET") -> Answer:
    """The next answer, interim ones apart. Raises raw_wire.Ended where it does not come whole."""
    interim: list[bytes] = []
    while True:
        head = await client.until(b"\r\n\r\n")
        status = int(head[9:12])
        if status >= 200 or status == 101:
            break
        interim.append(head)
    fields = fields_of(head)
    named = {name.lower(): value for name, value in fields}
    body = wire = trailers = b""
    if method == b"HEAD" or status in (101, 204, 304):
        pass
    elif named.get(b"transfer-encoding", b"").lower() == b"chunked":
        body, wire, trailers = await read_chunks(client)
    elif b"content-length" in named:
        body = wire = await client.exactly(int(named[b"content-length"]))
    else:
        body = wire = await client.rest()
    return Answer(head, status, fields, body, wire, trailers, tuple(interim))


async def read_chunks(source: Wire) -> tuple[bytes, bytes, bytes]:
    """A chunked body: its payload, the body as it came, and its trailers."""
    body: list[bytes] = []
    wire: list[bytes] = []
    while True:
        line = await source.until(b"\r\n")
        wire.append(line)
        size = int(line.partition(b";")[0], 16)
        if size == 0:
            break
        piece = await source.exactly(size + 2)
        wire.append(piece)
        body.append(piece[:-2])
    trailers = b""
    while True:
        line = await source.until(b"\r\n")
        wire.append(line)
        if line == b"\r\n":
            return b"".join(body), b"".join(wire), trailers
        trailers += line


async def ask(port: int, request: bytes, method: bytes = b"GET") -> Answer:
    """Send one request on a connection of its own and read its answer."""
    async with await connect(port) as client:
        await client.send(request)
        return await read_answer(client, method)
