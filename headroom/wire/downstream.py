"""The client-facing side: one connection as a protocol that hands each request to a sink, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol, cast

from headroom.faults import ClientGone, Fault, HeadTimeout
from headroom.wire.gate import Watch, hung_up, no_delay, reset, unsent
from headroom.wire.head import RequestHead
from headroom.wire.reader import Broken, Data, End, RequestEvent, RequestReader

HELD_LIMIT = 64 * 1024  # bytes of pipelined requests kept while one is being answered; then reading pauses
TAKE = 10.0  # seconds for a client to take what came before an answer broke off
LINGER = 3.0  # seconds to read on after an early answer, so that a reset does not overtake it (RFC 9112 §9.6)


class RequestSink(Protocol):
    """What becomes of one request."""

    def request_data(self, data: Data) -> None:
        """A piece of body."""

    def request_end(self) -> None:
        """The request is complete."""

    def request_flush(self) -> None:
        """What one read brought has been handed over."""

    def request_broken(self, fault: Fault) -> None:
        """The rest of the request is no body. It may still be answered, if that has not begun."""

    def client_gone(self, fault: Fault) -> None:
        """The client left or stalled. Nothing can be answered any more."""

    def client_writable(self, writable: bool) -> None:
        """The client takes (no) more bytes for now."""


class Limits(Protocol):
    """What a downstream connection may take, in seconds and bytes."""

    @property
    def header_timeout(self) -> float:
        """From the first byte of a head to its last."""

    @property
    def keep_alive_timeout(self) -> float:
        """Between an answer and the next request."""

    @property
    def body_timeout(self) -> float:
        """Between two pieces of a request body."""

    @property
    def silence(self) -> float:
        """For an answer that the client does not take."""

    @property
    def head_limit(self) -> int:
        """Bytes of one head."""

    @property
    def field_limit(self) -> int:
        """Fields of one head."""


class Server(Protocol):
    """Who answers: called once per request head, and for heads that are none."""

    @property
    def watch(self) -> Watch:
        """The one timer."""

    @property
    def limits(self) -> Limits:
        """The limits in force."""

    def joined(self, client: Downstream) -> None:
        """A connection is open."""

    def left(self, client: Downstream) -> None:
        """A connection is closed."""

    def begin(self, client: Downstream, head: RequestHead) -> RequestSink:
        """Take a request. Its sink ends it with `Downstream.finish` or `Downstream.cut`."""

    def refuse(self, client: Downstream, fault: Fault) -> bytes:
        """The whole answer, head included, to bytes that are no request."""


# What the connection is waiting for.
_IDLE: Final = 0  # the next request
_HEAD: Final = 1  # the rest of a head
_BODY: Final = 2  # the rest of a request, its sink being there
_ANSWER: Final = 3  # the sink
_LINGER: Final = 4  # the client's end of a request that was answered early
_CLOSED: Final = 5


class Downstream(asyncio.Protocol):
    """One client connection."""

    __slots__ = (
        "_cutting",
        "_ended",
        "_pumping",
        "_reader",
        "_reading",
        "_server",
        "_since",
        "_sink",
        "_stalled",
        "_state",
        "_transport",
        "peer",
        "tunnel",
    )

    _transport: asyncio.Transport

    def __init__(self, server: Server) -> None:
        limits = server.limits
        self._server = server
        self._reader = RequestReader(limits.head_limit, limits.field_limit)
        self._sink: RequestSink | None = None
        self._state = _IDLE
        self._since = server.watch.now
        self._reading = True
        self._pumping = False
        self._stalled = False
        self._cutting = False
        self._ended = False
        self.peer = ""
        self.tunnel: Callable[[bytes], None] | None = None

    # What the sink calls.

    def write(self, data: bytes) -> None:
        """Send answer bytes."""
        self._transport.write(data)

    @property
    def stalled(self) -> bool:
        """Whether the client takes no more bytes for now."""
        return self._stalled

    def pause(self) -> None:
        """Stop reading from the client: the origin is slow, or not yet there."""
        if self._reading and not self._transport.is_closing():
            self._reading = False
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if not self._reading:
            self._reading = True
            self._since = self._server.watch.now
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def finish(self, *, keep: bool) -> None:
        """The answer is complete: on to the next request, or close once the client has it all."""
        self._sink = None
        self.tunnel = None
        self._since = self._server.watch.now
        if self._ended or self._transport.is_closing():
            self._state = _CLOSED
            self._transport.close()
        elif self._state == _BODY:
            self._linger()
        elif keep:
            self._state = _IDLE
            self.resume()
            if not self._pumping:
                if self._reader.held:
                    asyncio.get_running_loop().call_soon(self._pump)
                else:
                    self._reader.resume()
        else:
            self._state = _CLOSED
            self._transport.close()

    def cut(self) -> None:
        """The answer will never be complete: reset the connection once what came of it has been handed over."""
        self._sink = None
        self.tunnel = None
        self._state = _CLOSED
        self._since = self._server.watch.now
        self._cutting = True
        self._reset_when_taken()

    def clock(self) -> float:
        """The time of the server's watch, in seconds."""
        return self._server.watch.now

    def hand_over(self, sink: RequestSink, tunnel: Callable[[bytes], None]) -> None:
        """Protocols were switched: `sink` takes over for good, and `tunnel` what the client sends."""
        self._sink = sink
        self.tunnel = tunnel

    def take_held(self) -> bytes:
        """What the client has sent after its request: the first bytes of the protocol it switched to."""
        return self._reader.take_held()

    def close_when_idle(self) -> None:
        """Draining: close now if no request is under way, else after the answer (the sink says so in it)."""
        if self._state == _IDLE:
            self._state = _CLOSED
            self._transport.close()

    def abort(self) -> None:
        """Drop the connection at once."""
        self._transport.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if isinstance(peer, tuple) else ""
        no_delay(transport)
        self._server.joined(self)
        self._server.watch.add(self)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self.tunnel is not None:
            self.tunnel(data)
            return
        if self._state == _CLOSED:
            return
        self._since_next_byte()
        self._take(self._reader.feed(data))
        if self._state == _ANSWER and self._reader.held > HELD_LIMIT:
            self.pause()

    def eof_received(self) -> bool:
        """See asyncio.Protocol. A client that ends its side has left: there is nobody to work for."""
        self._ended = True
        if self._sink is not None:
            self._leave(ClientGone("the client closed the connection"))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._server.left(self)
        self._server.watch.discard(self)
        self._state = _CLOSED
        sink, self._sink = self._sink, None
        self.tunnel = None
        if sink is not None:
            sink.client_gone(ClientGone("the client closed the connection"))

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        self._stalled = True
        self._since = self._server.watch.now
        if self._sink is not None:
            self._sink.client_writable(False)

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self._stalled = False
        if self._sink is not None:
            self._sink.client_writable(True)

    def check(self, now: float) -> None:
        """Called by the watch: end what the client has not finished in time."""
        limits = self._server.limits
        waited = now - self._since
        if not self._reading and self._sink is not None and hung_up(self._transport):
            # While nothing is read, the end of the client's stream is not seen either.
            self._leave(ClientGone("the client closed the connection"))
        elif self._stalled or self._cutting:
            if waited > limits.silence:
                reset(self._transport)
        elif self._state == _IDLE:
            if waited > limits.keep_alive_timeout:
                self._transport.close()
        elif self._state == _HEAD:
            if waited > limits.header_timeout:
                self._refuse(HeadTimeout(f"the request head was not complete in {limits.header_timeout:g} s"))
        elif self._state == _BODY:
            if self._reading and waited > limits.body_timeout:
                self._leave(ClientGone(f"no byte of the request body for {limits.body_timeout:g} s"))
        elif self._state == _LINGER and waited > LINGER:
            self._transport.close()

    def _reset_when_taken(self) -> None:
        """Reset once the client's system has taken all that was written; a reset would drop what it has not."""
        transport = self._transport
        if transport.is_closing():
            return
        waiting = transport.get_write_buffer_size() or unsent(transport)
        if not waiting or self._ended or self._server.watch.now - self._since > TAKE:
            reset(transport)
        else:
            asyncio.get_running_loop().call_later(0.005, self._reset_when_taken)

    # Reading.

    def _since_next_byte(self) -> None:
        if self._state == _IDLE:
            self._state = _HEAD
            self._since = self._server.watch.now
        elif self._state == _BODY:
            self._since = self._server.watch.now

    def _pump(self) -> None:
        """Read the request that was kept while the last one was answered."""
        if self._state in (_IDLE, _HEAD):
            self._since_next_byte()
            self._take(self._reader.resume())

    def _take(self, events: list[RequestEvent]) -> None:
        """Hand events on; after an answer that was given at once, go on with what is kept, without recursion."""
        self._pumping = True
        try:
            while events:
                for event in events:
                    self._handle(event)
                    if self._state == _CLOSED:
                        return
                if self._state == _BODY and self._sink is not None:
                    self._sink.request_flush()
                events = self._reader.resume() if self._state == _IDLE else []
                if events:
                    self._state = _HEAD
            if self._state == _HEAD and self._reader.between_messages:
                self._state = _IDLE
        finally:
            self._pumping = False

    def _handle(self, event: RequestEvent) -> None:
        if type(event) is Data:
            if self._sink is not None:
                self._sink.request_data(event)
        elif type(event) is RequestHead:
            self._state = _BODY
            sink = self._server.begin(self, event)
            if self._state == _BODY:
                self._sink = sink
        elif type(event) is End:
            if self._state == _LINGER:
                self._state = _CLOSED
                self._transport.close()
            elif self._sink is not None:
                self._state = _ANSWER
                self._sink.request_end()
        elif type(event) is Broken:
            if self._sink is None:
                self._refuse(event.fault)
            else:
                self._sink.request_broken(event.fault)

    def _refuse(self, fault: Fault) -> None:
        """Answer bytes that are no request, and close."""
        if self._state == _LINGER:
            self._state = _CLOSED
            self._transport.close()
            return
        self._transport.write(self._server.refuse(self, fault))
        self._linger()

    def _linger(self) -> None:
        """End our side and read on for a while: closing with bytes unread would reset what was just written."""
        self._state = _LINGER
        self._since = self._server.watch.now
        self.resume()
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _leave(self, fault: Fault) -> None:
        """Give up on a client in the middle of its request."""
        sink, self._sink = self._sink, None
        self._state = _CLOSED
        if sink is not None:
            sink.client_gone(fault)
        reset(self._transport)
