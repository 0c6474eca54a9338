"""Bytes in, events out: one HTTP/1.1 message at a time, strictly, and never raising.

httptools (llhttp in its strict setting) judges and splits the heads. Bodies are counted or walked, never parsed.
A reader stops after each message and keeps what follows until `resume()`, so that a pipelined request is not even
looked at before its turn.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

import httptools
import msgspec

from headroom.faults import BadRequest, BadResponse, Fault, HeadTooLarge, UpstreamCut
from headroom.wire.framing import ChunkWalker
from headroom.wire.head import CHUNKED, UNTIL_CLOSE, Fields, RequestHead, ResponseHead

HEAD_LIMIT = 64 * 1024  # bytes; node allows 16 KiB, nginx 32 KiB: agents send long beta and metadata headers
FIELD_LIMIT = 128  # fields; HAProxy allows 101
BLANK_LIMIT = 16  # bytes of empty lines before a request line (RFC 9112 §2.2 asks for at least one to be ignored)


_TCHAR = rb"!#$%&'*+\-.^_`|~0-9A-Za-z"
# llhttp forgives what stands before and between the parts of a start line; what is passed on must be exact.
_REQUEST_LINE = re.compile(rb"([" + _TCHAR + rb"]+) ([\x21-\x7e]+) HTTP/1\.([01])\r\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?\r\n")
_BEGINS_METHOD = re.compile(rb"[" + _TCHAR + rb"]|\r\n|\r\Z")
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+;=%-]*|\[[0-9A-Fa-f:.]+\])(?::\d*)?")  # RFC 3986 §3.2.2 without commas
# Methods that llhttp knows by themselves; any other token is judged as POST is, since only the head is parsed.
_KNOWN_METHODS = frozenset({b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"PATCH", b"OPTIONS"})


class _Parser(Protocol):
    def feed_data(self, data: bytes) -> None: ...


class _Nobody:
    """Takes none of httptools' callbacks: heads are judged by it, and read where somebody asks."""

    __slots__ = ()


_NOBODY: Final = _Nobody()


class Data(msgspec.Struct, frozen=True, gc=False):
    """A piece of body. `wire` is to be relayed as it is; `spans` are the payload ranges in it, None for all of it."""

    wire: bytes
    spans: list[tuple[int, int]] | None

    def payload(self) -> bytes:
        """The body bytes in this piece, without chunk framing. Copies only where there is framing to leave out."""
        if self.spans is None:
            return self.wire
        return b"".join([self.wire[start:end] for start, end in self.spans])


class End(msgspec.Struct, frozen=True, gc=False):
    """The message is complete."""


class Broken(msgspec.Struct, frozen=True):
    """The peer's bytes are not a message. Nothing more will be read.

    Collected, unlike the others: the fault's traceback leads back to the list that this event is in.
    """

    fault: Fault


END = End()
RequestEvent = RequestHead | Data | End | Broken
ResponseEvent = ResponseHead | Data | End | Broken

_HEAD: Final = 0
_COUNTED: Final = 1
_WALKED: Final = 2
_OPEN: Final = 3  # until the connection closes
_PAUSED: Final = 4
_BROKEN: Final = 5


class _Heads:
    """Finds, bounds and parses heads; what requests and responses share."""

    __slots__ = ("_blanks", "_buffer", "_field_limit", "_head_limit", "_left", "_seen", "_state", "_walker")

    def __init__(self, head_limit: int = HEAD_LIMIT, field_limit: int = FIELD_LIMIT) -> None:
        self._head_limit = head_limit
        self._field_limit = field_limit
        self._buffer = b""
        self._seen = 0
        self._state = _HEAD
        self._left = 0
        self._blanks = 0
        self._walker: ChunkWalker | None = None

    def _cut_head(self, broken: type[Fault]) -> bytes | None:
        """Take a complete head off the buffer, or return None while it is unfinished. Raises a Fault."""
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n", self._seen)
        if end >= 0 and end + 4 <= self._head_limit:
            head = buffer[: end + 4]
            self._buffer = buffer[end + 4 :]
            self._seen = 0
            return head
        if len(buffer) > self._head_limit:
            raise (HeadTooLarge if broken is BadRequest else broken)(f"message head over {self._head_limit} bytes")
        start = self._seen
        if buffer.count(b"\n", start) != buffer.count(b"\r\n", max(0, start - 1)):
            raise broken("bare LF in message head")
        self._seen = max(0, len(buffer) - 3)
        return None

    def _judge(self, parser: _Parser, head: bytes, broken: type[Fault]) -> None:
        """Raise what is wrong with a head, if anything."""
        try:
            parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            pass  # the head is complete; whether to switch is decided later, by the answer
        except httptools.HttpParserError as error:
            # A 101 without an Upgrade field ends the parser's work as well, under another name.
            if not str(error).startswith("Pause on"):
                raise broken(f"malformed head: {error}") from None
        if head.count(b"\r\n") - 2 > self._field_limit:
            raise (HeadTooLarge if broken is BadRequest else broken)(f"more than {self._field_limit} header fields")

    def take_held(self) -> bytes:
        """What came after the message, to be passed on unread: protocols were switched."""
        held, self._buffer = self._buffer, b""
        return held

    @property
    def held(self) -> int:
        """Bytes received and not yet read as part of a message."""
        return len(self._buffer)

    @property
    def between_messages(self) -> bool:
        """Whether no byte of a next message has arrived."""
        return self._state in (_HEAD, _PAUSED) and not self._buffer


class RequestReader(_Heads):
    """Reads a client's requests. After each `End` it waits for `resume()`."""

    __slots__ = ()

    def feed(self, data: bytes) -> list[RequestEvent]:
        """Take bytes and return the events they complete. Never raises; the last event may be `Broken`."""
        if self._state == _COUNTED:
            return self._counted(data)
        if self._state == _PAUSED:
            self._buffer += data
            return []
        events: list[RequestEvent] = []
        try:
            if self._state == _HEAD:
                self._buffer = self._buffer + data if self._buffer else data
                self._read_head(events)
            elif self._state == _WALKED:
                self._walk(data, events)
        except Fault as fault:
            self._state = _BROKEN
            self._buffer = b""
            events.append(Broken(fault.with_traceback(None)))  # a traceback would keep these events alive
        return events

    def resume(self) -> list[RequestEvent]:
        """Go on with the next message after an `End`."""
        if self._state != _PAUSED:
            return []
        self._state = _HEAD
        data, self._buffer = self._buffer, b""
        return self.feed(data) if data else []

    def _read_head(self, events: list[RequestEvent]) -> None:
        blanks = 0
        while self._buffer.startswith(b"\r\n", blanks):
            blanks += 2
        if blanks:
            self._blanks += blanks
            if self._blanks > BLANK_LIMIT:
                raise BadRequest("too many empty lines before the request line")
            self._buffer = self._buffer[blanks:]
            self._seen = 0
        if not self._buffer:
            return
        if not _BEGINS_METHOD.match(self._buffer):
            raise BadRequest("a request begins with a method")
        raw = self._cut_head(BadRequest)
        if raw is None:
            return
        line = _REQUEST_LINE.match(raw)
        if line is None:
            raise BadRequest("malformed request line")
        self._blanks = 0
        method, target, version = line.groups()
        judged = raw if method in _KNOWN_METHODS else b"POST" + raw[len(method) :]
        self._judge(httptools.HttpRequestParser(_NOBODY), judged, BadRequest)
        fields = Fields(raw)
        minor = 1 if version == b"1" else 0
        host = fields.get(b"host")
        if (host is None and minor == 1) or (host is not None and not _HOST.fullmatch(host)):
            raise BadRequest("exactly one valid Host field is required")  # RFC 9112 §3.2
        head = RequestHead(method, target, minor, fields, _request_length(fields, minor), raw)
        rest, self._buffer = self._buffer, b""
        events.append(head)
        if head.length == 0:
            self._end(rest, events)
        elif head.length == CHUNKED:
            self._state = _WALKED
            self._walker = ChunkWalker(BadRequest, padded=False)
            if rest:
                self._walk(rest, events)
        else:
            self._state = _COUNTED
            self._left = head.length
            if rest:
                events += self._counted(rest)

    def _counted(self, data: bytes) -> list[RequestEvent]:
        left = self._left - len(data)
        if left > 0:
            self._left = left
            return [Data(data, None)]
        if left == 0:
            events: list[RequestEvent] = [Data(data, None)]
            self._end(b"", events)
            return events
        events = [Data(data[:left], None)]
        self._end(data[left:], events)
        return events

    def _walk(self, data: bytes, events: list[RequestEvent]) -> None:
        assert self._walker is not None
        spans: list[tuple[int, int]] = []
        end = self._walker.walk(data, 0, spans)
        events.append(Data(data if end == len(data) else data[:end], spans))
        if self._walker.done:
            self._walker = None
            self._end(data[end:], events)

    def _end(self, rest: bytes, events: list[RequestEvent]) -> None:
        self._state = _PAUSED
        self._buffer = rest
        events.append(END)


class ResponseReader(_Heads):
    """Reads an origin's answers. `expect()` names each request's method before its answer arrives."""

    __slots__ = ("_method",)

    def __init__(self, head_limit: int = HEAD_LIMIT, field_limit: int = FIELD_LIMIT) -> None:
        super().__init__(head_limit, field_limit)
        self._state = _PAUSED
        self._method = b""

    def expect(self, method: bytes) -> None:
        """Await the answer to a request with `method`. Bytes that came before it are nobody's answer."""
        self._state = _BROKEN if self._buffer else _HEAD
        self._method = method

    def feed(self, data: bytes) -> list[ResponseEvent]:
        """Take bytes and return the events they complete. Never raises; the last event may be `Broken`."""
        events: list[ResponseEvent] = []
        try:
            if self._state == _WALKED:
                self._walk(data, events)
            elif self._state == _COUNTED:
                self._count_down(data, events)
            elif self._state == _OPEN:
                events.append(Data(data, None))
            elif self._state == _HEAD:
                self._buffer = self._buffer + data if self._buffer else data
                self._read_heads(events)
            elif self._state == _PAUSED:
                raise BadResponse("bytes after the end of a response")
        except Fault as fault:
            self._state = _BROKEN
            self._buffer = b""
            events.append(Broken(fault.with_traceback(None)))  # a traceback would keep these events alive
        return events

    def whole_chunk(self, data: bytes) -> int:
        """Where the payload begins in `data`, if that is exactly the next chunk of a chunked body; else 0."""
        return 0 if self._state != _WALKED or self._walker is None else self._walker.whole(data)

    def eof(self) -> ResponseEvent:
        """The origin closed: the end of a close-delimited body, or a cut."""
        state, self._state = self._state, _BROKEN
        return END if state == _OPEN else Broken(UpstreamCut("the origin closed before its answer was complete"))

    def _read_heads(self, events: list[ResponseEvent]) -> None:
        while self._state == _HEAD and self._buffer:
            raw = self._cut_head(BadResponse)
            if raw is None:
                return
            head = self._parse(raw)
            events.append(head)
            if not head.interim:
                rest, self._buffer = self._buffer, b""
                self._begin_body(head, rest, events)

    def _parse(self, raw: bytes) -> ResponseHead:
        line = _STATUS_LINE.match(raw)
        if line is None:
            raise BadResponse("malformed status line")
        self._judge(httptools.HttpResponseParser(_NOBODY), raw, BadResponse)
        fields = Fields(raw)
        status = int(line[2])
        length = _response_length(fields, status, self._method)
        return ResponseHead(status, 1 if line[1] == b"1" else 0, fields, length, raw)

    def _begin_body(self, head: ResponseHead, rest: bytes, events: list[ResponseEvent]) -> None:
        if head.status == 101:
            self._state = _OPEN
            if rest:
                events.append(Data(rest, None))
        elif head.length == 0:
            self._end(rest, events)
        elif head.length == CHUNKED:
            self._state = _WALKED
            self._walker = ChunkWalker(BadResponse, padded=True)
            if rest:
                self._walk(rest, events)
        elif head.length == UNTIL_CLOSE:
            self._state = _OPEN
            if rest:
                events.append(Data(rest, None))
        else:
            self._state = _COUNTED
            self._left = head.length
            if rest:
                self._count_down(rest, events)

    def _count_down(self, data: bytes, events: list[ResponseEvent]) -> None:
        left = self._left - len(data)
        if left > 0:
            self._left = left
            events.append(Data(data, None))
        else:
            events.append(Data(data if left == 0 else data[:left], None))
            self._end(data[left:] if left else b"", events)

    def _walk(self, data: bytes, events: list[ResponseEvent]) -> None:
        assert self._walker is not None
        spans: list[tuple[int, int]] = []
        end = self._walker.walk(data, 0, spans)
        events.append(Data(data if end == len(data) else data[:end], spans))
        if self._walker.done:
            self._walker = None
            self._end(data[end:], events)

    def _end(self, rest: bytes, events: list[ResponseEvent]) -> None:
        self._state = _PAUSED
        self._buffer = rest
        events.append(END)


def _request_length(fields: Fields, minor: int) -> int:
    """RFC 9112 §6: the body's size, or CHUNKED. Raises BadRequest for what two servers might read differently."""
    coding = fields.get(b"transfer-encoding")
    length = fields.get(b"content-length")
    if coding is not None:
        if length is not None or minor == 0 or coding.lower() != b"chunked":
            raise BadRequest("Transfer-Encoding must be exactly `chunked`, on HTTP/1.1, without Content-Length")
        return CHUNKED
    return 0 if length is None else _digits(length, BadRequest)


def _response_length(fields: Fields, status: int, method: bytes) -> int:
    """RFC 9112 §6.3, for an answer to `method`."""
    if method == b"HEAD" or status in (204, 304) or status < 200:
        return 0
    coding = fields.get(b"transfer-encoding")
    if coding is not None:
        if b"content-length" in fields:
            raise BadResponse("Transfer-Encoding together with Content-Length")
        # Another coding would have to be undone for a client that did not ask for it with TE.
        if coding.lower() != b"chunked":
            raise BadResponse("a transfer coding other than `chunked`")
        return CHUNKED
    length = fields.get(b"content-length")
    return UNTIL_CLOSE if length is None else _digits(length, BadResponse)


def _digits(value: bytes, broken: type[Fault]) -> int:
    if not value.isdigit() or len(value) > 18:
        raise broken("Content-Length must be one decimal number")
    return int(value)
