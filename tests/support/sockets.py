"""WebSockets through a proxy by bytes: both ends are a test's own."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

from websockets.frames import Close, Opcode

from headroom.edge import Edge
from headroom.wire.websocket import Frame, FrameReader
from tests.support.embedded import edge_to
from tests.support.frames import frame
from tests.support.raw_client import connect, read_answer
from tests.support.raw_origin import RawOrigin
from tests.support.raw_wire import Ended, Wire

HANDSHAKE = (
    b"GET /v1/responses HTTP/1.1\r\n"
    b"Host: x\r\n"
    b"Authorization: Bearer sk-test\r\n"
    b"Connection: Upgrade\r\n"
    b"Upgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
)
CREATED = b'{"type":"response.created","response":{"id":"%b"}}'
DONE = (
    b'{"type":"response.completed","response":{"id":"%b","usage":{"input_tokens":100,"output_tokens":7,'
    b'"input_tokens_details":{"cached_tokens":40}}}}'
)


def listing(seed: int = 0, lines: int = 300) -> str:
    """A search listing that is worth pressing."""
    return "\n".join(f"src/module_{seed}_{at % 7}.py:{at}:    total = compute({at})" for at in range(lines))


def result(call: str, text: str) -> dict[str, object]:
    """A function's output."""
    return {"type": "function_call_output", "call_id": call, "output": text}


def prompt(text: str = "What is wrong here?") -> dict[str, object]:
    """What a person says."""
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def creating(*items: object, nested: bool = False, **more: object) -> bytes:
    """A message that asks for a response."""
    body = {"model": "m", "input": list(items), **more}
    message = {"type": "response.create", "response": body} if nested else {"type": "response.create", **body}
    return json.dumps(message, ensure_ascii=False).encode()


def text(data: bytes, *, masked: bool = True, fin: bool = True) -> bytes:
    """A text message's bytes, or those of its first frame."""
    return frame(Opcode.TEXT, data, masked=masked, fin=fin)


def close(code: int, reason: str = "", *, masked: bool = True) -> bytes:
    """A close's bytes."""
    return frame(Opcode.CLOSE, Close(code, reason).serialize(), masked=masked)


@dataclass(slots=True)
class End:
    """One end of a WebSocket: its connection and a reader of what comes on it."""

    wire: Wire
    reader: FrameReader

    async def next(self) -> Frame:
        """The next frame. Raises raw_wire.Ended."""
        while True:
            data, self.wire.held = self.wire.held, b""
            for at in range(len(data)):
                found = self.reader.feed(data[at : at + 1])
                assert self.reader.fault is None, self.reader.fault
                if found:
                    self.wire.held = data[at + 1 :]
                    return found[0]
            if not await self.wire.more():
                raise Ended(self.wire.ending)

    async def ended(self) -> str:
        """How the other side ended the connection, after nothing more."""
        assert await self.wire.rest() == b""
        return self.wire.ending


@dataclass(slots=True)
class Socket:
    """A WebSocket that is open through a proxy."""

    client: End
    origin: End
    edge: Edge
    request: bytes
    answer: bytes
    listener: RawOrigin

    async def answered(self, identity: bytes) -> None:
        """Let the origin answer a request with nothing but its beginning and end."""
        for message in (CREATED % identity, DONE % identity):
            await self.origin.wire.send(text(message, masked=False))
            assert (await self.client.next()).payload == message


@contextlib.asynccontextmanager
async def opened(
    fields: bytes = b"",
    accepted: bytes = b"",
    *,
    handshake: bytes = HANDSHAKE,
    receive_buffer: int = 0,
    eager: bytes = b"",
    early: bytes = b"",
    **settings: object,
) -> AsyncIterator[Socket]:
    """A WebSocket, upgraded with `fields` and answered with `accepted`; `eager` comes with the request, `early` with
    the answer."""
    async with (
        RawOrigin(receive_buffer=receive_buffer) as origin,
        edge_to(origin.url, **settings) as edge,
        await connect(edge.port, receive_buffer=receive_buffer) as client,
    ):
        await client.send(handshake + fields + b"\r\n" + eager)
        peer = await origin.accept()
        request = await peer.until(b"\r\n\r\n")
        await peer.send(SWITCH + accepted + b"\r\n" + early)
        answer = await read_answer(client)
        assert answer.status == 101
        deflated = b"permessage-deflate" in accepted
        yield Socket(
            End(client, FrameReader(masked=False, limit=1 << 26, deflated=deflated, binary=True)),
            End(peer, FrameReader(masked=True, limit=1 << 26, deflated=deflated, binary=True)),
            edge,
            request,
            answer.head,
            origin,
        )
