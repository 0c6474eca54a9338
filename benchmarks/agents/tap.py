"""A loopback relay that keeps what a client sends, byte for byte."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from websockets.exceptions import ProtocolError
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Protocol, Side

from tests.support.http_wire import HEAD_LIMIT, BadRequest, WireRequest, read_request


class Tap:
    """Relays connections to 127.0.0.1:`target`; `port` is set once entered.

    `requests` holds what clients sent, in order of completion, `messages` the texts that they sent on WebSockets.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.requests: list[WireRequest] = []
        self.messages: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _listen(self, heard: asyncio.StreamReader, answers: asyncio.StreamReader) -> None:
        """Add each request to `requests` once its last byte was heard, and what is said after an upgrade."""
        try:
            while (request := await read_request(heard)) is not None:
                self.requests.append(request)
                if request.value("upgrade").lower() == "websocket":
                    head = await answers.readuntil(b"\r\n\r\n")
                    if b" 101 " in head.partition(b"\r\n")[0]:
                        async for text in _texts(heard, head.lower()):
                            self.messages.append(text)
                        return
        except (BadRequest, ProtocolError, asyncio.IncompleteReadError):
            return

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        heard, answers = asyncio.StreamReader(limit=HEAD_LIMIT), asyncio.StreamReader(limit=HEAD_LIMIT)
        far: asyncio.StreamWriter | None = None
        try:
            near, far = await asyncio.open_connection("127.0.0.1", self.target)
            await asyncio.gather(_pump(reader, far, heard), _pump(near, writer, answers), self._listen(heard, answers))
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            writer.close()
            if far is not None:
                far.close()


async def _texts(heard: asyncio.StreamReader, answer: bytes) -> AsyncIterator[str]:
    """The text messages of a client, given the head that its upgrade was answered with, in lower case."""
    agreed = re.search(rb"\r\nsec-websocket-extensions:([^\r]*)", answer)
    protocol = Protocol(Side.SERVER, state=OPEN, max_size=None)
    if agreed is not None:
        alone = b"client_no_context_takeover" in agreed[1]
        bits = re.search(rb"client_max_window_bits=(\d+)", agreed[1])
        protocol.extensions = [PerMessageDeflate(alone, True, 15 if bits is None else int(bits[1]), 15)]
    pieces: list[bytes] = []
    while data := await heard.read(65536):
        protocol.receive_data(data)
        for event in protocol.events_received():
            if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.CONT):
                pieces.append(bytes(event.data))
                if event.fin:
                    yield b"".join(pieces).decode()
                    pieces.clear()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: asyncio.StreamReader) -> None:
    try:
        while data := await reader.read(65536):
            heard.feed_data(data)
            writer.write(data)
            await writer.drain()
    finally:
        heard.feed_eof()
    if writer.can_write_eof():
        writer.write_eof()
