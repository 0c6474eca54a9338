"""A loopback relay that keeps what a client sends, byte for byte."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from tests.support.http_wire import HEAD_LIMIT, BadRequest, WireRequest, read_request


class Tap:
    """Relays connections to 127.0.0.1:`target`; `port` is set once entered.

    `requests` holds what clients sent, in order of completion.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.requests: list[WireRequest] = []
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

    async def _listen(self, heard: asyncio.StreamReader) -> None:
        """Add each request to `requests` once its last byte was heard."""
        try:
            while (request := await read_request(heard)) is not None:
                self.requests.append(request)
        except BadRequest:
            return

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        heard = asyncio.StreamReader(limit=HEAD_LIMIT)
        far: asyncio.StreamWriter | None = None
        try:
            near, far = await asyncio.open_connection("127.0.0.1", self.target)
            await asyncio.gather(_pump(reader, far, heard), _pump(near, writer, None), self._listen(heard))
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            writer.close()
            if far is not None:
                far.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: asyncio.StreamReader | None) -> None:
    while data := await reader.read(65536):
        if heard is not None:
            heard.feed_data(data)
        writer.write(data)
        await writer.drain()
    if heard is not None:
        heard.feed_eof()
    if writer.can_write_eof():
        writer.write_eof()
