"""The origin behind the proxies: a raw protocol, so that it takes as little of the shared cores as it can.

`python -m benchmarks.origin_server --port 9000 [--certificate FILE --key FILE]`. The query string of a request
says what to answer, whatever its path:

    reply=small                              one small JSON message (also without any query)
    reply=stream&events=200&interval_ms=20   server-sent events, chunked, one chunk per event, paced; 0 = at once
    reply=bytes&size=10485760                that many bytes with a Content-Length
    reply=digest                             length and SHA-256 of the request's body, once all of it is here

A request's body must have a Content-Length; it is counted and dropped, and hashed for `digest` only.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import ssl
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, cast
from urllib.parse import parse_qsl, urlsplit

import orjson
import uvloop

from benchmarks import payloads

_HEAD_END: Final = b"\r\n\r\n"
_HEAD_LIMIT: Final = 64 * 1024  # bytes; far above any head that a benchmark sends
_STREAM_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
    b"request-id: req_011CSHoEeqs5C35K2UUqR7Fy\r\nTransfer-Encoding: chunked\r\n\r\n"
)
_LAST_CHUNK: Final = b"0\r\n\r\n"
_GOLDEN: Final = 0.618_033_988_749_895  # multiples of it, modulo 1, spread evenly however many are taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What a request's query string asks for; `interval` is in seconds, `size` in bytes."""

    reply: str = "small"
    events: int = 20
    interval: float = 0.0
    size: int = 0


_SMALL: Final = Query()


@lru_cache(maxsize=64)
def query_of(request_line: bytes) -> Query:
    target = request_line.split(b" ")[1].decode("ascii")
    given = dict(parse_qsl(urlsplit(target).query))
    return Query(
        reply=given.get("reply", _SMALL.reply),
        events=int(given.get("events", _SMALL.events)),
        interval=int(given.get("interval_ms", 0)) / 1000,
        size=int(given.get("size", _SMALL.size)),
    )


class Origin(asyncio.Protocol):
    """One connection, one request at a time; a pipelined request would be an error of the proxy and closes it."""

    __slots__ = ("_buffer", "_digest", "_left", "_length", "_query", "_stream", "_transport")

    def __init__(self) -> None:
        self._buffer = b""
        self._left = 0
        self._length = 0
        self._query: Query = _SMALL
        self._digest: hashlib._Hash | None = None
        self._stream: Stream | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class, which does not derive from it

    def connection_lost(self, exc: Exception | None) -> None:
        if self._stream is not None:
            self._stream.stop()

    def data_received(self, data: bytes) -> None:
        if self._left:
            self._take_body(data)
        else:
            self._take_head(self._buffer + data)

    def _take_head(self, data: bytes) -> None:
        end = data.find(_HEAD_END)
        if end < 0:
            self._buffer = data
            if len(data) > _HEAD_LIMIT:
                self._transport.abort()
            return
        self._buffer = b""
        self._length = self._left = _content_length(data, end)
        self._query = query_of(data[: data.find(b"\r\n")])
        self._digest = hashlib.sha256() if self._query.reply == "digest" else None
        self._take_body(data[end + len(_HEAD_END) :])

    def _take_body(self, data: bytes) -> None:
        if len(data) > self._left or self._busy():
            self._transport.abort()
            return
        self._left -= len(data)
        if self._digest is not None:
            self._digest.update(data)
        if not self._left:
            self._answer()

    def _busy(self) -> bool:
        return self._stream is not None and not self._stream.finished

    def _answer(self) -> None:
        if self._digest is not None:
            self._transport.write(whole(digest_reply(self._length, self._digest.hexdigest())))
        elif self._query.reply == "stream":
            self._stream = Stream(self._transport, self._query.events, self._query.interval)
        elif self._query.reply == "bytes":
            self._transport.write(prose_answer(self._query.size))
        else:
            self._transport.write(_SMALL_ANSWER)


class Stream:
    """Events on one connection, each in a chunk and a write of its own, on a clock that does not drift.

    The first event leaves with the head. From then on each stream keeps its own phase, so that streams begun
    together do not tick together.
    """

    __slots__ = ("_chunks", "_due", "_interval", "_loop", "_next", "_timer", "_transport", "finished")

    _begun = 0

    def __init__(self, transport: asyncio.Transport, events: int, interval: float) -> None:
        Stream._begun += 1
        self._transport = transport
        self._chunks = chunks_of(events)
        self._interval = interval
        self._loop = asyncio.get_running_loop()
        self._next = 1
        self.finished = False
        self._due = self._loop.time() + interval * (Stream._begun * _GOLDEN % 1)
        transport.write(_STREAM_HEAD + self._chunks[0])
        self._timer = self._again()

    def _again(self) -> asyncio.Handle:
        if not self._interval:
            return self._loop.call_soon(self._tick)
        self._due += self._interval
        return self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        self._transport.write(self._chunks[self._next])
        self._next += 1
        if self._next < len(self._chunks):
            self._timer = self._again()
        else:
            self.finished = True

    def stop(self) -> None:
        self._timer.cancel()


def _content_length(data: bytes, end: int) -> int:
    head = data[:end].lower()
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        return 0
    start = at + len(b"\r\ncontent-length:")
    line_end = head.find(b"\r\n", start)
    return int(head[start : line_end if line_end > 0 else end])


@lru_cache(maxsize=8)
def chunks_of(events: int) -> tuple[bytes, ...]:
    chunks = [b"%x\r\n%b\r\n" % (len(event), event) for event in payloads.sse_events(events)]
    chunks[-1] += _LAST_CHUNK
    return tuple(chunks)


def digest_reply(length: int, digest: str) -> bytes:
    return orjson.dumps({"type": "message", "length": length, "sha256": digest})


def whole(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@lru_cache(maxsize=2)
def prose_answer(size: int) -> bytes:
    return whole(payloads.prose(size))


_SMALL_ANSWER: Final = whole(payloads.SMALL_REPLY)


def tls_context(certificate: str | None, key: str | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


async def serve(host: str, port: int, tls: ssl.SSLContext | None) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Origin, host, port, ssl=tls, backlog=4096)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--certificate", help="PEM file; the origin speaks TLS when it is given")
    parser.add_argument("--key", help="PEM file of the certificate's key")
    given = parser.parse_args()
    uvloop.run(serve(given.host, given.port, tls_context(given.certificate, given.key)))


if __name__ == "__main__":
    main()
