"""h11 as an oracle for our own HTTP/1.1 readers.

`h11_requests` and `h11_response` push bytes through h11 and say what it made
of them.  A property test then feeds the same bytes to our reader and holds it
to two rules:

* what h11 refuses, we refuse (or still wait for), and
* what both accept, both cut into the same messages with the same bodies.

We may refuse more than h11 does.  These are the points where h11 is laxer than
the rule of the proxy, so "h11 accepts, we answer 400" is expected for them:

* a line may end in a bare LF (head and trailers; not the chunk-size line, nor
  the CRLF after chunk data);
* obs-fold is unfolded, in the head and in trailers;
* Content-Length may be repeated, or be a comma list, if all values are equal;
* Transfer-Encoding beside Content-Length: Transfer-Encoding wins (and both
  fields stay in the headers);
* Transfer-Encoding is obeyed on HTTP/1.0;
* any HTTP-version of the form DIGIT "." DIGIT passes, so 0.9, 1.2, 2.0 and 5.6;
  and a Host is asked for on exactly 1.1;
* a Host value is not looked at, nor the form of the request-target (any run
  of visible ASCII will do);
* control characters in a field value pass, all but NUL, HTAB-like white space
  (CR, LF, VT, FF) - so 0x01..0x08, 0x0e..0x1f and 0x7f come through;
* a chunk extension may hold any byte but LF: bare CR, NUL, controls, nothing
  at all after the ";";
* SP and HTAB may trail the chunk size;
* a status line may lack the SP and the reason phrase, and a reason phrase may
  hold control characters.

And these are the few where h11 is *stricter*, so that the first rule above has
exceptions a caller must know:

* empty lines before a request line.  RFC 9112 2.2 wants them ignored, h11
  calls them an error.  `h11_requests` takes away leading CRLF pairs before each
  request, so callers do not see this one;
* a Content-Length or Transfer-Encoding among the *trailers* is validated as if
  it stood in the head; RFC 9110 6.5.1 only says it must not be used.  We may
  drop such a field and accept;
* white space between the chunk size and ";" (the BWS of RFC 9112 7.1.1) is an
  error;
* Content-Length is capped at 20 digits and a chunk size at 20 hex digits,
  leading zeros counted;
* a transfer coding other than chunked in a *response* is an error; RFC 9112 6.3
  rule 4 lets the body run to the end of the connection, or be chunked on top;
* white space between a field name and the colon in a *response* is an error;
  RFC 9112 5.1 lets a proxy strip it;
* a first byte below 0x21 is refused before the line is complete, where a line
  reader may still be waiting: compare "reject" with "incomplete" leniently;
* a 101, and a 2xx to CONNECT, end HTTP on that connection.  We send no Upgrade,
  so here a 101 is an error.

Each request gets an h11 connection of its own.  That keeps h11's idea of
keep-alive out of the way; `h11_requests` stops after a request that ends the
connection, unless told to read past it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import h11

__all__ = [
    "Fields",
    "Outcome",
    "SeenRequest",
    "SeenResponse",
    "Verdict",
    "h11_requests",
    "h11_response",
]

Verdict = Literal["accept", "incomplete", "truncated", "reject"]
Fields = tuple[tuple[bytes, bytes], ...]
M = TypeVar("M")

# h11 buffers an incomplete head up to this size; ours has limits of its own, so
# the oracle gets none to speak of.
_NO_LIMIT = 1 << 30


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A complete request.  Field names are lower case, values stripped."""

    method: bytes
    target: bytes
    version: bytes
    headers: Fields
    body: bytes
    trailers: Fields
    closes: bool
    """The request ends the connection: HTTP/1.0, or `Connection: close`."""


@dataclass(frozen=True, slots=True)
class SeenResponse:
    """A final response, complete or (verdict "truncated") as far as it came."""

    status: int
    reason: bytes
    version: bytes
    headers: Fields
    body: bytes
    trailers: Fields
    interim: tuple[int, ...]
    """Status codes of the 1xx responses that came before."""
    close_delimited: bool
    """The body has no framing of its own and ends where the connection does."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[M]):
    """What h11 saw.

    `verdict` is about the whole of the data:

    accept      it is a row of complete messages (requests: at least one)
    incomplete  more bytes are needed (response: the head is not complete)
    truncated   responses only: the head is complete, the body is cut short
    reject      a protocol error, text in `error`

    `messages` holds what was complete before that point, whatever the verdict;
    a truncated response is in there too.  `rest` is what h11 did not consume.
    """

    verdict: Verdict
    messages: tuple[M, ...]
    error: str
    rest: bytes


def _fields(headers: Sequence[tuple[bytes, bytes]]) -> Fields:
    return tuple((bytes(name), bytes(value)) for name, value in headers)


def _options(headers: Fields) -> set[bytes]:
    joined = b",".join(value for name, value in headers if name == b"connection")
    return {option.strip(b" \t").lower() for option in joined.split(b",")}


def _without_empty_lines(data: bytes) -> bytes:
    while data.startswith(b"\r\n"):
        data = data[2:]
    return data


def h11_requests(data: bytes, *, past_close: bool = False) -> Outcome[SeenRequest]:
    """Read `data` as what a client sent on one connection.

    With `past_close` reading goes on after a request that ends the connection;
    without it, those bytes are left in `rest` and play no part in the verdict.
    """
    seen: list[SeenRequest] = []
    while True:
        data = _without_empty_lines(data)
        if seen and not data:
            return Outcome("accept", tuple(seen), "", b"")
        if not data or data == b"\r":
            return Outcome("incomplete", tuple(seen), "", data)
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_NO_LIMIT)
        connection.receive_data(data)
        head: h11.Request | None = None
        body = bytearray()
        trailers: Fields = ()
        while True:
            try:
                event = connection.next_event()
            except h11.RemoteProtocolError as error:
                rest = bytes(connection.trailing_data[0])
                return Outcome("reject", tuple(seen), str(error), rest)
            if isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                trailers = _fields(event.headers)
                break
            else:
                # Only NEED_DATA is left: h11 pauses after the end of a message.
                assert event is h11.NEED_DATA, event
                rest = bytes(connection.trailing_data[0])
                return Outcome("incomplete", tuple(seen), "", rest)
        assert head is not None
        headers = _fields(head.headers)
        closes = head.http_version < b"1.1" or b"close" in _options(headers)
        seen.append(
            SeenRequest(
                method=bytes(head.method),
                target=bytes(head.target),
                version=bytes(head.http_version),
                headers=headers,
                body=bytes(body),
                trailers=trailers,
                closes=closes,
            )
        )
        data = bytes(connection.trailing_data[0])
        if closes and not past_close:
            return Outcome("accept", tuple(seen), "", data)


def h11_response(data: bytes, method: bytes, *, eof: bool = True) -> Outcome[SeenResponse]:
    """Read `data` as the answer to one `method` request.

    Interim 1xx responses are passed over, and noted in the final one.  With
    `eof` the connection ends after `data`; without it a body still unfinished
    is "incomplete", one that only the end of the connection can finish too.
    Bytes after the end of the response are left in `rest`.
    """
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_NO_LIMIT)
    target = b"a:1" if method == b"CONNECT" else b"/"
    connection.send(h11.Request(method=method, target=target, headers=[(b"Host", b"a")]))
    connection.send(h11.EndOfMessage())
    if data:
        connection.receive_data(data)
    head: h11.Response | None = None
    body = bytearray()
    interim: list[int] = []

    def so_far(trailers: Fields = ()) -> tuple[SeenResponse, ...]:
        if head is None:
            return ()
        headers = _fields(head.headers)
        names = {name for name, _ in headers}
        bodiless = (
            method == b"HEAD" or head.status_code in (204, 304) or (method == b"CONNECT" and head.status_code < 300)
        )
        framed = b"content-length" in names or b"transfer-encoding" in names
        return (
            SeenResponse(
                status=head.status_code,
                reason=bytes(head.reason),
                version=bytes(head.http_version),
                headers=headers,
                body=bytes(body),
                trailers=trailers,
                interim=tuple(interim),
                close_delimited=not bodiless and not framed,
            ),
        )

    def rest() -> bytes:
        return bytes(connection.trailing_data[0])

    at_eof = False
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError as error:
            if at_eof:
                # Whatever h11 says of the bytes, it has said before the end.
                verdict: Verdict = "incomplete" if head is None else "truncated"
                return Outcome(verdict, so_far(), str(error), rest())
            return Outcome("reject", (), str(error), rest())
        if isinstance(event, h11.InformationalResponse):
            interim.append(event.status_code)
        elif isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return Outcome("accept", so_far(_fields(event.headers)), "", rest())
        elif event is h11.NEED_DATA and eof and not at_eof:
            at_eof = True
            connection.receive_data(b"")
        elif event is h11.NEED_DATA or isinstance(event, h11.ConnectionClosed):
            return Outcome("incomplete", (), "", rest())
        else:
            # PAUSED before the end of the message: h11 left HTTP (a 2xx to
            # CONNECT), and there is no body to read.
            assert event is h11.PAUSED, event
            return Outcome("accept", so_far(), "", rest())
