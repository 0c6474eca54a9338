"""Writes HTTP/1.1 answers, whole or with one scripted fault."""

from __future__ import annotations

import asyncio
import importlib
import socket
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal, Protocol

FaultKind = Literal["status", "reset_before", "reset", "fin", "end", "error_event", "stall", "small_writes"]
Header = tuple[str, str]
SETTLE_SECONDS = 0.02
_WORDS = {529: "Overloaded"}


@dataclass(frozen=True)
class Fault:
    """One way an answer goes wrong.

    status        `status`, `headers` and a JSON error instead of the answer
    reset_before  RST before any byte of the answer
    reset         RST after `events` complete events
    fin           FIN after `events` events, without the last chunk
    end           well-formed end of the body after `events` events
    error_event   an error event, then a well-formed end, after `events` events
    stall         nothing for `seconds` after `events` events, then the rest;
                  `events=-1` stalls before the response head
    small_writes  every `size` body bytes in a chunk and a write of their own

    A plain (not streamed) answer counts as events its four quarters.
    """

    kind: FaultKind
    events: int = 0
    status: int = 500
    headers: tuple[Header, ...] = ()
    message: str = "scripted fault"
    seconds: float = 1.0
    size: int = 1


@dataclass(frozen=True)
class Reply:
    """A fixed answer: status, headers (no framing headers) and whole body."""

    status: int = 200
    headers: tuple[Header, ...] = ()
    body: bytes = b""


class Coder(Protocol):
    """A streaming content-encoding whose every `feed` can be decoded at once."""

    def feed(self, data: bytes) -> bytes:
        """Encode `data` and flush."""

    def end(self) -> bytes:
        """Finish the encoding."""


class Identity:
    """No content-encoding."""

    def feed(self, data: bytes) -> bytes:
        """`data` itself."""
        return data

    def end(self) -> bytes:
        """Nothing."""
        return b""


class Gzip:
    """gzip, flushed after every event."""

    def __init__(self) -> None:
        self._state = zlib.compressobj(6, zlib.DEFLATED, 31)

    def feed(self, data: bytes) -> bytes:
        """Encode and flush."""
        return self._state.compress(data) + self._state.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        """The gzip trailer."""
        return self._state.flush()


class _BrotliState(Protocol):
    def process(self, data: bytes) -> bytes: ...
    def flush(self) -> bytes: ...
    def finish(self) -> bytes: ...


class Brotli:
    """br, flushed after every event; needs the brotli package."""

    def __init__(self) -> None:
        self._state: _BrotliState = importlib.import_module("brotli").Compressor(quality=4)

    def feed(self, data: bytes) -> bytes:
        """Encode and flush."""
        return self._state.process(data) + self._state.flush()

    def end(self) -> bytes:
        """The last block."""
        return self._state.finish()


class _ZstdState(Protocol):
    def compress(self, data: bytes) -> bytes: ...
    def flush(self, flush_mode: int) -> bytes: ...


class Zstd:
    """zstd, flushed after every event; needs the zstandard package."""

    def __init__(self) -> None:
        module = importlib.import_module("zstandard")
        self._state: _ZstdState = module.ZstdCompressor(level=3).compressobj()
        self._block: int = module.COMPRESSOBJ_FLUSH_BLOCK
        self._finish: int = module.COMPRESSOBJ_FLUSH_FINISH

    def feed(self, data: bytes) -> bytes:
        """Encode and flush."""
        return self._state.compress(data) + self._state.flush(self._block)

    def end(self) -> bytes:
        """The last frame bytes."""
        return self._state.flush(self._finish)


_CODERS: dict[str, type[Gzip | Brotli | Zstd]] = {
    "gzip": Gzip,
    "br": Brotli,
    "zstd": Zstd,
}


def choose_coding(wanted: str, accepted: str) -> str:
    """`wanted` if the client's accept-encoding names it, else an empty string."""
    offers = {offer.split(";")[0].strip().lower() for offer in accepted.split(",")}
    if wanted and wanted not in _CODERS:
        raise ValueError(f"unknown content-encoding {wanted!r}")
    return wanted if wanted in offers else ""


def status_line(status: int) -> str:
    """The HTTP/1.1 status line with its usual reason words."""
    try:
        words = _WORDS.get(status) or HTTPStatus(status).phrase
    except ValueError:
        words = "Scripted"
    return f"HTTP/1.1 {status} {words}\r\n"


class AnswerWriter:
    """Writes one answer on a connection; `sent` collects its uncoded body bytes."""

    def __init__(self, writer: asyncio.StreamWriter, keep_alive: bool, chunks: bool = True) -> None:
        self._writer = writer
        self._chunks = chunks
        self.keep_alive = keep_alive and chunks
        self.sent = bytearray()

    async def whole(self, reply: Reply, coding: str = "", head_only: bool = False) -> None:
        """A reply with content-length."""
        body = _encoded(reply.body, coding)
        headers = [*reply.headers, ("content-length", str(len(body)))]
        self._head(reply.status, headers, coding)
        if not head_only:
            self.sent += reply.body
            self._writer.write(body)
        await self._writer.drain()

    async def pieces(
        self,
        reply: Reply,
        events: Sequence[bytes],
        coding: str = "",
        fault: Fault | None = None,
        gap: float = 0.0,
        measured: bool = False,
    ) -> None:
        """A body sent event by event, `gap` seconds apart.

        `measured` announces the body's length instead of using chunks.
        """
        coder: Coder = _CODERS[coding]() if coding else Identity()
        coded = [coder.feed(event) for event in events]
        coded.append(coder.end())
        headers = list(reply.headers)
        chunks = self._chunks and not measured
        if chunks:
            headers.append(("transfer-encoding", "chunked"))
        elif measured:
            headers.append(("content-length", str(sum(map(len, coded)))))
        if fault is not None and fault.kind == "stall" and fault.events < 0:
            await asyncio.sleep(fault.seconds)
        self._head(reply.status, headers, coding)
        await self._writer.drain()
        await self._body(events, coded, fault, gap, chunks)

    async def _body(
        self,
        events: Sequence[bytes],
        coded: Sequence[bytes],
        fault: Fault | None,
        gap: float,
        chunks: bool,
    ) -> None:
        size = fault.size if fault is not None and fault.kind == "small_writes" else 0
        for number, event in enumerate(events):
            if fault is not None and number == fault.events and await self._strike(fault, chunks):
                return
            self.sent += event
            await self._piece(coded[number], chunks, size)
            if gap:
                await asyncio.sleep(gap)
        late = fault is not None and fault.events >= len(events)
        if fault is not None and late and await self._strike(fault, chunks):
            return
        await self._piece(coded[-1], chunks, size)
        await self._finish(chunks)

    async def _strike(self, fault: Fault, chunks: bool) -> bool:
        """Let the fault happen; true when the answer is over."""
        if fault.kind == "reset":
            await self.reset()
        elif fault.kind == "fin":
            self.keep_alive = False
        elif fault.kind == "end":
            await self._finish(chunks)
        elif fault.kind == "error_event":
            message = fault.message.encode()
            self.sent += message
            await self._piece(message, chunks, 0)
            await self._finish(chunks)
        else:
            if fault.kind == "stall":
                await asyncio.sleep(fault.seconds)
            return False
        return True

    async def reset(self) -> None:
        """Let what was written arrive, then drop the connection with RST."""
        self.keep_alive = False
        await self._writer.drain()
        await asyncio.sleep(SETTLE_SECONDS)
        raw: object = self._writer.get_extra_info("socket")
        if hasattr(raw, "setsockopt"):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def _head(self, status: int, headers: Sequence[Header], coding: str) -> None:
        lines = [status_line(status), *(f"{name}: {value}\r\n" for name, value in headers)]
        if coding:
            lines.append(f"content-encoding: {coding}\r\n")
        if not self.keep_alive:
            lines.append("connection: close\r\n")
        self._writer.write("".join([*lines, "\r\n"]).encode("latin-1"))

    async def _piece(self, data: bytes, chunks: bool, size: int) -> None:
        step = size or max(1, len(data))
        for start in range(0, len(data), step):
            part = data[start : start + step]
            self._writer.write(b"%x\r\n%b\r\n" % (len(part), part) if chunks else part)
            await self._writer.drain()
            if size:
                await asyncio.sleep(0)

    async def _finish(self, chunks: bool) -> None:
        if chunks:
            self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()


def _encoded(body: bytes, coding: str) -> bytes:
    if not coding:
        return body
    coder = _CODERS[coding]()
    return coder.feed(body) + coder.end()
