"""A scripted model provider on loopback: Anthropic, OpenAI and Gemini dialects.

`Origin` answers every model call with the turn its script holds for it, keeps
each request exactly as received, and can make any answer fail.  Run it alone::

    python -m tests.support.origin --port 8100 --script FILE.json --record DIR
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import ssl
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.dialects import Dialect, Exchange, Route, exchange, route
from tests.support.events import (
    Answer,
    Usage,
    error_body,
    error_event,
    plain_body,
    stream_events,
)
from tests.support.faulty_writer import AnswerWriter, Fault, Header, Reply, choose_coding
from tests.support.http_wire import HEAD_LIMIT, BadRequest, WireRequest, read_request
from tests.support.script import Json, Script, Turn
from tests.support.socket_origin import SocketOrigin

__all__ = ["Fault", "Origin", "Recorded", "Reply", "Script", "Turn"]

UsageOf = Callable[[bytes], Mapping[str, int]]
_JSON: Header = ("content-type", "application/json")


@dataclass
class Recorded:
    """One request as received, and how it was answered.

    `connection` and `index` count from 0 in order of arrival.  `call` counts
    the scripted model calls only (None for probes, counts and side requests).
    `at` is the loop's clock in seconds.  `sent` is the answer's body as far as
    it was written, before content-encoding and framing.
    """

    request: WireRequest
    connection: int
    index: int
    at: float
    call: int | None = None
    sent: bytes = b""

    @property
    def method(self) -> str:
        """The request method."""
        return self.request.method

    @property
    def target(self) -> str:
        """The request target as received."""
        return self.request.target

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """Header names and values in order, in their own case."""
        return self.request.headers

    @property
    def body(self) -> bytes:
        """The body with framing undone, content-encoding kept."""
        return self.request.body

    def json(self) -> Json:
        """The body decoded to an object; {} when it is no JSON object."""
        return _json_object(plain_request_body(self.request))


@dataclass
class _Settings:
    usage: UsageOf
    faults: Mapping[int, Fault]
    routes: Mapping[str, Reply]
    headers: Sequence[Header]
    coding: str
    delta: int
    gap: float
    record: Path | None = None
    calls: int = 0


@dataclass
class _Peers:
    """Open connections: their count so far and their tasks."""

    count: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


class Origin:
    """The provider as an async context manager; `port` is set once entered.

    usage    cache and token numbers for a request body; keys `input_tokens`,
             `cache_read`, `cache_write`, `output_tokens`, all optional
    faults   fault by number of the scripted model call, from 0
    routes   fixed replies by "METHOD path", tried before the dialects
    headers  extra response headers on every model answer
    coding   response content-encoding (gzip, br, zstd) where the client accepts it
    delta    characters per streamed text delta
    gap      seconds between streamed events
    sockets  converses on WebSockets; without it every upgrade is refused with 426
    """

    def __init__(
        self,
        script: Script,
        *,
        port: int = 0,
        usage: UsageOf | None = None,
        faults: Mapping[int, Fault] | None = None,
        routes: Mapping[str, Reply] | None = None,
        headers: Sequence[Header] = (),
        coding: str = "",
        delta: int = 24,
        gap: float = 0.0,
        record: Path | None = None,
        tls: ssl.SSLContext | None = None,
        sockets: SocketOrigin | None = None,
    ) -> None:
        self.script = script
        self.port = port
        self.requests: list[Recorded] = []
        self.malformed: list[tuple[int, str]] = []
        self.sockets = sockets
        self._settings = _Settings(
            usage or _no_numbers, faults or {}, routes or {}, headers, coding, delta, gap, record
        )
        self._tls = tls
        self._peers = _Peers()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """The base URL without a path."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """Connections accepted so far."""
        return self._peers.count

    @property
    def calls(self) -> list[Recorded]:
        """The scripted model calls, in order."""
        return [kept for kept in self.requests if kept.call is not None]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=HEAD_LIMIT, ssl=self._tls)
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
        for task in list(self._peers.tasks):
            task.cancel()
        await asyncio.gather(*self._peers.tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self._peers.count
        self._peers.count += 1
        task = asyncio.current_task()
        if task is not None:
            self._peers.tasks.add(task)
            task.add_done_callback(self._peers.tasks.discard)
        try:
            await self._converse(number, reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _converse(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                request = await read_request(reader, writer)
            except BadRequest as wrong:
                self.malformed.append((number, str(wrong)))
                refusal = Reply(400, (_JSON,), error_body(None, 400, str(wrong)))
                await AnswerWriter(writer, keep_alive=False).whole(refusal)
                return
            if request is None:
                return
            if self.sockets is not None and self.sockets.takes(request):
                await self.sockets.converse(request, reader, writer, self.script_for)
                return
            answer = AnswerWriter(writer, request.keep_alive, request.version == "HTTP/1.1")
            kept = self._keep(number, request)
            try:
                await self._answer(kept, answer)
            finally:
                kept.sent = bytes(answer.sent)
            if not answer.keep_alive:
                return

    def _keep(self, number: int, request: WireRequest) -> Recorded:
        now = asyncio.get_running_loop().time()
        kept = Recorded(request, number, len(self.requests), now)
        self.requests.append(kept)
        if self._settings.record is not None:
            place = self._settings.record / f"{kept.index:04d}.http"
            place.write_bytes(request.head + request.body)
        return kept

    async def _answer(self, kept: Recorded, answer: AnswerWriter) -> None:
        request = kept.request
        fixed = self._settings.routes.get(f"{request.method} {request.target.partition('?')[0]}")
        if fixed is None:
            found = route(request.method, request.target)
            if found is not None and not found.count:
                await self._model_call(kept, found, answer)
                return
            fixed = _unscripted(request, found)
        await answer.whole(fixed, head_only=request.method == "HEAD")

    def script_for(self, request: bytes) -> Script:
        """The script by which a request is answered."""
        return self.script

    async def _model_call(self, kept: Recorded, found: Route, answer: AnswerWriter) -> None:
        asked = exchange(found, kept.json(), self.script_for(plain_request_body(kept.request)))
        fault = None
        if asked.scripted:
            kept.call = self._settings.calls
            self._settings.calls += 1
            fault = self._settings.faults.get(kept.call)
        if fault is not None and fault.kind == "reset_before":
            await answer.reset()
        elif fault is not None and fault.kind == "status":
            error = error_body(asked.dialect, fault.status, fault.message)
            await answer.whole(Reply(fault.status, (_JSON, *fault.headers), error))
        else:
            await self._turn(kept, asked, answer, _spoken(fault, asked.dialect))

    async def _turn(self, kept: Recorded, asked: Exchange, answer: AnswerWriter, fault: Fault | None) -> None:
        settings = self._settings
        body = plain_request_body(kept.request)
        words = len(asked.turn.text) // 4 + 20 * len(asked.turn.calls) + 1
        written = Answer(asked, Usage.given(body, settings.usage(body), words), settings.delta)
        coding = choose_coding(settings.coding, kept.request.value("accept-encoding"))
        reply = Reply(200, (*_answer_headers(written), *settings.headers))
        if asked.stream:
            await answer.pieces(reply, stream_events(written), coding, fault, settings.gap)
        else:
            quarters = _quarters(plain_body(written))
            await answer.pieces(reply, quarters, coding, fault, measured=True)


def plain_request_body(request: WireRequest) -> bytes:
    """The body with content-encoding undone; the body itself if that fails."""
    coding = request.value("content-encoding").lower()
    try:
        if coding in ("gzip", "deflate"):
            return zlib.decompress(request.body, 47)
        if coding == "zstd":
            return _unzstd(request.body)
        if coding == "br":
            return bytes(importlib.import_module("brotli").decompress(request.body))
    except Exception:
        return request.body
    return request.body


def _unzstd(body: bytes) -> bytes:
    reader = importlib.import_module("zstandard").ZstdDecompressor().decompressobj()
    return bytes(reader.decompress(body))


def _no_numbers(_body: bytes) -> Mapping[str, int]:
    return {}


def _json_object(body: bytes) -> Json:
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _spoken(fault: Fault | None, dialect: Dialect) -> Fault | None:
    """An error_event fault with its message written as an event of the dialect."""
    if fault is None or fault.kind != "error_event":
        return fault
    event = error_event(dialect, fault.message).decode()
    return Fault("error_event", events=fault.events, message=event)


def _quarters(body: bytes) -> list[bytes]:
    step = max(1, -(-len(body) // 4))
    return [body[start : start + step] for start in range(0, len(body), step)]


def _unscripted(request: WireRequest, found: Route | None) -> Reply:
    """Replies that need no script: counts, the probe, upgrades, unknown paths."""
    if found is not None:
        size = len(plain_request_body(request)) // 4
        key = "input_tokens" if found.dialect is Dialect.ANTHROPIC else "totalTokens"
        return Reply(200, (_JSON,), json.dumps({key: size}).encode())
    if request.method == "HEAD" and request.target == "/":
        return Reply(200)
    if request.value("upgrade"):
        return Reply(426, (_JSON,), error_body(None, 426, "no upgrade here"))
    return Reply(404, (_JSON,), error_body(None, 404, "not found"))


def _answer_headers(answer: Answer) -> list[Header]:
    asked = answer.exchange
    kind = "text/event-stream" if asked.stream and asked.sse else "application/json"
    name = "req_" + answer.key("request")[:24]
    if asked.dialect is Dialect.ANTHROPIC:
        kind += "; charset=utf-8" if asked.stream else ""
        limits = [("anthropic-ratelimit-requests-remaining", "3999")]
        return [
            ("content-type", kind),
            ("cache-control", "no-cache"),
            ("request-id", name),
            *limits,
        ]
    if asked.dialect is Dialect.GEMINI:
        return [("content-type", kind), ("vary", "Origin"), ("server-timing", "gfet4t7; dur=1")]
    kind += "; charset=utf-8" if asked.stream else ""
    ids = [("x-request-id", name), ("openai-processing-ms", "1"), ("openai-version", "2020-10-01")]
    return [("content-type", kind), *ids]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Scripted model provider on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free port")
    parser.add_argument("--script", type=Path, required=True, help="script as JSON")
    parser.add_argument("--record", type=Path, help="directory for NNNN.http files")
    parser.add_argument("--coding", default="", choices=["", "gzip", "br", "zstd"])
    parser.add_argument("--delta", type=int, default=24, help="characters per text delta")
    parser.add_argument("--gap", type=float, default=0.0, help="seconds between events")
    return parser.parse_args()


async def _run(asked: argparse.Namespace) -> None:
    if asked.record is not None:
        asked.record.mkdir(parents=True, exist_ok=True)
    script = Script.load(asked.script)
    async with Origin(
        script,
        port=asked.port,
        coding=asked.coding,
        delta=asked.delta,
        gap=asked.gap,
        record=asked.record,
    ) as origin:
        print(f"listening on 127.0.0.1:{origin.port}", flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """Serve until interrupted."""
    try:
        asyncio.run(_run(_arguments()))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
