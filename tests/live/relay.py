"""A relay on loopback between the proxy and a provider. It keeps each request as the proxy sent it."""

from __future__ import annotations

import asyncio
import ssl
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.support.http_wire import HEAD_LIMIT, WireRequest, read_request

_HOP = (b"host", b"connection")


class Relay:
    """Takes requests on 127.0.0.1:`port` and makes each anew at `url`, on a connection of its own."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._secure = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port or (443 if self._secure else 80)
        self._prefix = parts.path.rstrip("/").encode()
        self.port = 0
        self.requests: list[WireRequest] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """What the proxy takes for the provider."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=HEAD_LIMIT)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            request = await read_request(reader)
            if request is not None:
                self.requests.append(request)
                await self._answer(request, writer)
        finally:
            writer.close()

    async def _answer(self, request: WireRequest, writer: asyncio.StreamWriter) -> None:
        context = ssl.create_default_context() if self._secure else None
        far_reader, far = await asyncio.open_connection(self._host, self._port, ssl=context)
        try:
            far.write(self._onward(request))
            # The provider closes after its answer, and so does the relay: neither has to know where an answer ends.
            while data := await far_reader.read(65536):
                writer.write(data)
                await writer.drain()
        finally:
            far.close()

    def _onward(self, request: WireRequest) -> bytes:
        default = self._port == (443 if self._secure else 80)
        host = self._host if default else f"{self._host}:{self._port}"
        lines = [b"%b %b HTTP/1.1" % (request.method.encode(), self._prefix + request.target.encode("latin-1"))]
        lines += [b"%b: %b" % field for field in request.headers if field[0].lower() not in _HOP]
        lines += [b"Host: " + host.encode(), b"Connection: close", b"", b""]
        return b"\r\n".join(lines) + request.body
