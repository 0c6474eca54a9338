"""Reads HTTP/1.1 requests from a stream and keeps them exactly as received."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

HEAD_LIMIT = 1 << 20
_SPACE = b" \t"


class BadRequest(Exception):
    """The bytes are no request with one clear framing."""


@dataclass(frozen=True)
class WireRequest:
    """One request: head bytes as received, body bytes with framing undone.

    `headers` keeps order, case and repeats; values lose only the blanks around
    them.  The body keeps its content-encoding.  `trailers` are those of a
    chunked body.
    """

    head: bytes
    method: str
    target: str
    version: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    trailers: tuple[tuple[bytes, bytes], ...] = ()

    def values(self, name: str) -> list[bytes]:
        """All values of a header, in order; `name` in any case."""
        wanted = name.lower().encode()
        return [value for key, value in self.headers if key.lower() == wanted]

    def value(self, name: str) -> str:
        """The first value of a header as text, or an empty string."""
        found = self.values(name)
        return found[0].decode("latin-1") if found else ""

    @property
    def keep_alive(self) -> bool:
        """Whether the client lets the connection live on."""
        tokens = self.value("connection").lower()
        return "close" not in tokens and (self.version == "HTTP/1.1" or "keep-alive" in tokens)


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter | None = None) -> WireRequest | None:
    """Read one request; None at a clean end; BadRequest for unclear framing.

    A client that sent `Expect: 100-continue` is told to continue on `writer`.
    """
    head = await _read_head(reader)
    if head is None:
        return None
    first, *lines = head[:-4].split(b"\r\n")
    words = first.decode("latin-1").split(" ")
    if len(words) != 3 or words[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise BadRequest("request line")
    headers = tuple(_header(line) for line in lines)
    request = WireRequest(head, words[0], words[1], words[2], headers, b"")
    if writer is not None and request.value("expect").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body, trailers = await _read_body(reader, request)
    return WireRequest(head, words[0], words[1], words[2], headers, body, trailers)


async def _read_head(reader: asyncio.StreamReader) -> bytes | None:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as end:
        if end.partial:
            raise BadRequest("head cut short") from end
        return None
    except asyncio.LimitOverrunError as big:
        raise BadRequest("head too large") from big


def _header(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon or not name or name.strip(_SPACE) != name or b"\n" in line or b"\r" in line:
        raise BadRequest("header line")
    return name, value.strip(_SPACE)


async def _read_body(
    reader: asyncio.StreamReader, request: WireRequest
) -> tuple[bytes, tuple[tuple[bytes, bytes], ...]]:
    lengths = request.values("content-length")
    codings = request.values("transfer-encoding")
    if len(lengths) + len(codings) > 1:
        raise BadRequest("more than one framing")
    try:
        if codings:
            if codings[0].lower() != b"chunked":
                raise BadRequest("transfer-encoding")
            return await _read_chunks(reader)
        if lengths:
            return await reader.readexactly(_number(lengths[0], 10)), ()
    except asyncio.IncompleteReadError as end:
        raise BadRequest("body cut short") from end
    return b"", ()


async def _read_chunks(
    reader: asyncio.StreamReader,
) -> tuple[bytes, tuple[tuple[bytes, bytes], ...]]:
    body = bytearray()
    while True:
        line = await reader.readuntil(b"\r\n")
        size = _number(line[:-2].split(b";")[0].strip(_SPACE), 16)
        if size == 0:
            return bytes(body), await _read_trailers(reader)
        body += await reader.readexactly(size)
        if await reader.readexactly(2) != b"\r\n":
            raise BadRequest("chunk end")


async def _read_trailers(reader: asyncio.StreamReader) -> tuple[tuple[bytes, bytes], ...]:
    trailers: list[tuple[bytes, bytes]] = []
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        trailers.append(_header(line[:-2]))
    return tuple(trailers)


def _number(text: bytes, base: int) -> int:
    digits = b"0123456789" if base == 10 else b"0123456789abcdefABCDEF"
    if not text or text.strip(digits):
        raise BadRequest("length")
    return int(text, base)
