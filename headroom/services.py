"""The services of the proxy for programs: `/v1/compress` and `/v1/retrieve`.

For callers on this host, or with the proxy's token. What answers is asynchronous: it may wait for the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from headroom.compressing import Compressing
from headroom.config import Config
from headroom.control import Reply, refusal, render
from headroom.events import Sink, failure
from headroom.faults import Fault
from headroom.ledger import Ledger
from headroom.metrics import Board
from headroom.retrieving import Retrieving
from headroom.wire.head import RequestHead
from headroom.wire.reader import Data

Service = Callable[[RequestHead, bytes], Awaitable[Reply]]
"""Answers a request, given its head and its body."""

_PLACEHOLDER: Final = "/{}"  # at a path's end: one segment that is not empty


class Services:
    """Finds the service for a request."""

    def __init__(
        self, config: Config, ledger: Ledger, board: Board, sink: Sink, identify: Callable[[RequestHead], str]
    ) -> None:
        self._compressing = Compressing(config, ledger, sink, identify)
        self._retrieving = retrieving = Retrieving(config, ledger, board, sink, identify)
        self._paths: Mapping[tuple[bytes, str], Service] = {
            (b"POST", "/v1/compress"): self._compressing.answer,
            (b"POST", "/v1/retrieve"): retrieving.posted,
            (b"POST", "/v1/retrieve/tool_call"): retrieving.called,
            (b"GET", "/v1/retrieve/stats"): retrieving.stats,
            (b"GET", "/v1/retrieve" + _PLACEHOLDER): retrieving.named,
        }

    def find(self, head: RequestHead) -> Service | None:
        """What answers a request, or None where no service does. HEAD is answered as GET is, without the body."""
        method = b"GET" if head.method == b"HEAD" else head.method
        path = head.target.partition(b"?")[0].decode("latin-1")
        above, _, last = path.rpartition("/")
        return self._paths.get((method, path)) or (self._paths.get((method, above + _PLACEHOLDER)) if last else None)

    def close(self) -> None:
        """Let go of threads; what is under way ends by itself."""
        self._compressing.close()
        self._retrieving.close()


class Connection(Protocol):
    """What a service needs of a client's connection."""

    def write(self, data: bytes) -> None: ...
    def finish(self, *, keep: bool) -> None: ...


class Serving:
    """A request to a service: its body is held, then it is answered."""

    def __init__(
        self,
        client: Connection,
        head: RequestHead,
        handle: Service,
        limit: int,
        sink: Sink,
        *,
        keep: bool,
    ) -> None:
        self._sink = sink
        self._client = client
        self._head = head
        self._handle = handle
        self._limit = limit
        self._keep = keep
        self._body: list[bytes] = []
        self._size = 0
        self._task: asyncio.Task[None] | None = None
        self._over = False
        if head.expects_continue:
            client.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def request_data(self, data: Data) -> None:
        """See RequestSink."""
        if self._over:
            return
        payload = data.payload()
        self._size += len(payload)
        if self._size > self._limit:
            self._over = True
            self._body.clear()
            self._answer(refusal(413, f"the body is over {self._limit} bytes"), keep=False)
            return
        self._body.append(payload)

    def request_end(self) -> None:
        """See RequestSink."""
        if not self._over:
            self._task = asyncio.get_running_loop().create_task(self._run())
            self._task.add_done_callback(self._check)

    async def _run(self) -> None:
        reply = await self._handle(self._head, b"".join(self._body))
        if not self._over:
            self._answer(reply, keep=self._keep)

    def _check(self, task: asyncio.Task[None]) -> None:
        """A service that broke by a fault of ours must not leave its caller waiting."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._sink(failure("", error))
            if not self._over:
                self._answer(refusal(500, "this call failed; the log says where"), keep=False)

    def _answer(self, reply: Reply, *, keep: bool) -> None:
        self._over = True
        self._client.write(render(reply, head_only=self._head.method == b"HEAD", close=not keep))
        self._client.finish(keep=keep)

    def request_broken(self, fault: Fault) -> None:
        """See RequestSink."""
        if not self._over:
            self._answer(refusal(fault.status, str(fault)), keep=False)

    def request_flush(self) -> None:
        """See RequestSink."""

    def client_gone(self, fault: Fault) -> None:
        """See RequestSink."""
        self._over = True
        if self._task is not None:
            self._task.cancel()

    def client_writable(self, writable: bool) -> None:
        """See RequestSink."""
