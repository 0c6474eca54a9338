"""The origin-facing side: one connection as a protocol, and the dialer that leases connections."""

from __future__ import annotations

import asyncio
import select
import ssl
from typing import Protocol, cast

from headroom.faults import DialFailed, DialTimeout, Fault, UpstreamCut, UpstreamSilent
from headroom.wire.gate import Watch, no_delay, poll_of, probe, reset
from headroom.wire.head import ResponseHead
from headroom.wire.origin import Origin
from headroom.wire.pool import Pool
from headroom.wire.reader import Broken, Data, End, ResponseReader
from headroom.wire.tls import ResumingContext


class AnswerSink(Protocol):
    """Who has leased a connection."""

    def answer_head(self, head: ResponseHead) -> None:
        """A head, interim ones included."""

    def answer_data(self, data: Data) -> None:
        """A piece of body."""

    def answer_chunk(self, wire: bytes, start: int) -> None:
        """A piece of body that is exactly one chunk; its payload begins at `start`."""

    def answer_flush(self) -> None:
        """What one read brought has been handed over."""

    def answer_end(self) -> None:
        """The answer is complete; the lease is over."""

    def answer_broken(self, fault: Fault) -> None:
        """The answer will never be complete; the lease is over and the connection closed."""

    def origin_writable(self, writable: bool) -> None:
        """The origin takes (no) more bytes for now."""


class UpstreamLink(asyncio.Protocol):
    """One connection to an origin: idle, or lent to one sink at a time."""

    __slots__ = (
        "_dialer",
        "_paused",
        "_poll",
        "_reader",
        "_reusable",
        "_sent",
        "_sink",
        "_switched",
        "_transport",
        "heard",
        "origin",
    )

    _transport: asyncio.Transport

    def __init__(self, dialer: Dialer, origin: Origin) -> None:
        self._dialer = dialer
        self.origin = origin
        self._reader = ResponseReader(dialer.head_limit, dialer.field_limit)
        self._sink: AnswerSink | None = None
        self._reusable = True
        self._sent = False
        self._switched = False
        self._paused = False
        self._poll: select.poll | None = None
        self.heard = dialer.watch.now

    # What the holder of the lease calls.

    def lend(self, sink: AnswerSink, method: bytes) -> None:
        """Give the connection to `sink` for one exchange whose request has `method`."""
        self._sink = sink
        self._reusable = True
        self._sent = False
        self._reader.expect(method)
        self.heard = self._dialer.watch.now
        self._dialer.watch.add(self)

    def write(self, data: bytes) -> None:
        """Send request bytes."""
        self.heard = self._dialer.watch.now
        self._transport.write(data)

    def pause(self) -> None:
        """Stop reading: the sink's own reader is slow."""
        if not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._paused:
            self._paused = False
            self.heard = self._dialer.watch.now
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def request_sent(self) -> None:
        """The whole request is written: once it is answered, the connection can be lent again."""
        self._sent = True

    def open_ended(self) -> None:
        """Protocols were switched: silence is no fault any more, but the origin has to be there."""
        self._dialer.watch.discard(self)
        probe(self._transport)

    def hand_over(self, sink: AnswerSink) -> None:
        """Protocols were switched: `sink` takes over for good, with what else has come in the same read."""
        self._sink = sink
        self._switched = True
        self.open_ended()

    def drop(self) -> None:
        """Abort a connection that nobody wants any more, if it came up at all."""
        if hasattr(self, "_transport"):
            self._transport.abort()

    def hang_up(self) -> None:
        """End the lease; what was written still goes to the origin, then the connection closes."""
        self._sink = None
        self.heard = self._dialer.watch.now
        self._dialer.watch.add(self)  # an origin may never take it
        self._transport.close()

    def abort(self) -> None:
        """End lease and connection at once: the origin stops working for nobody."""
        self._sink = None
        self._dialer.watch.discard(self)
        reset(self._transport)

    def close(self) -> None:
        """Close an idle connection."""
        self._transport.close()

    @property
    def usable(self) -> bool:
        """Whether a request may be written: not closing, and neither an end nor stray bytes wait in the socket."""
        if self._transport.is_closing():
            return False
        if self._poll is None:
            self._poll = poll_of(self._transport)
        return not self._poll.poll(0)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self._transport = transport
        no_delay(transport)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        sink = self._sink
        if sink is None:
            self._transport.abort()  # bytes that nobody asked for: this connection is out of step
            return
        self.heard = self._dialer.watch.now
        start = self._reader.whole_chunk(data)
        if start:
            sink.answer_chunk(data, start)
            return
        for event in self._reader.feed(data):
            if type(event) is Data:
                sink.answer_data(event)
            elif type(event) is ResponseHead:
                if not event.interim and not event.keep_alive:
                    self._reusable = False
                sink.answer_head(event)
            elif type(event) is End:
                self._finish(sink)
            elif type(event) is Broken:
                self._fail(sink, event.fault)
            if self._sink is not sink:
                if self._sink is None or not self._switched:
                    return
                sink = self._sink
        sink.answer_flush()

    def eof_received(self) -> bool:
        """See asyncio.Protocol. The answer ends here, whatever of the request is still unsent."""
        self._ended(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._dialer.links.discard(self)
        self._dialer.watch.discard(self)
        self._ended(exc)

    def _ended(self, exc: Exception | None) -> None:
        """No byte will come any more: the end of a close-delimited answer, or a cut."""
        sink = self._sink
        if sink is None:
            return
        event = self._reader.eof()
        if type(event) is End and exc is None:
            self._reusable = False
            self._finish(sink)
        elif type(event) is Broken and exc is None:
            self._fail(sink, event.fault)
        else:
            self._fail(sink, UpstreamCut(f"the origin's connection was lost: {exc}"))

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        if self._sink is not None:
            self._sink.origin_writable(False)

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        if self._sink is not None:
            self._sink.origin_writable(True)

    def check(self, now: float) -> None:
        """Called by the watch: give up on an origin that has been silent for too long, or does not take the last."""
        if (self._paused and self._sink is not None) or now - self.heard <= self._dialer.silence:
            return
        if self._sink is not None:
            self._fail(self._sink, UpstreamSilent(f"no byte from the origin for {self._dialer.silence:g} s"))
        else:
            self.abort()

    # Endings.

    def _finish(self, sink: AnswerSink) -> None:
        """The answer is complete: back to the pool, if the connection can serve again."""
        self._sink = None
        self._dialer.watch.discard(self)
        self.resume()
        keep = self._reusable and self._sent and self._reader.between_messages and not self._transport.is_closing()
        if keep:
            self._dialer.give_back(self)
        elif self._transport.get_write_buffer_size():
            self._transport.abort()  # the rest of a request that has been answered; nobody may ever read it
        else:
            self._transport.close()
        sink.answer_end()

    def _fail(self, sink: AnswerSink, fault: Fault) -> None:
        self._sink = None
        self._dialer.watch.discard(self)
        self._transport.abort()
        sink.answer_broken(fault)

    def remember_session(self, context: ResumingContext) -> None:
        """Keep the TLS session of this connection for the next one to the same host."""
        tls = self._transport.get_extra_info("ssl_object")
        if isinstance(tls, ssl.SSLObject):
            context.remember(tls)


class Dialer:
    """Leases connections: an idle one at once, or a new one."""

    def __init__(
        self,
        watch: Watch,
        context: ResumingContext,
        pool: Pool[Origin, UpstreamLink],
        *,
        connect_timeout: float,
        silence: float,
        head_limit: int,
        field_limit: int,
    ) -> None:
        self.watch = watch
        self.silence = silence
        self.head_limit = head_limit
        self.field_limit = field_limit
        self.links: set[UpstreamLink] = set()
        self._context = context
        self._pool = pool
        self._connect_timeout = connect_timeout
        self._dials: set[asyncio.Task[None]] = set()
        self._closing = False
        self._fresh_sessions: dict[Origin, float] = {}
        watch.add(self)

    def lease(self, origin: Origin) -> UpstreamLink | None:
        """An idle connection to `origin`, or None: then `dial`."""
        return self._pool.take(origin, self.watch.now)

    async def dial(self, origin: Origin) -> UpstreamLink:
        """A new connection. Raises DialTimeout or DialFailed; then not a byte of a request was sent."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        if task is not None:
            self._dials.add(task)
            task.add_done_callback(self._dials.discard)
        link = UpstreamLink(self, origin)
        try:
            async with asyncio.timeout(self._connect_timeout):
                await loop.create_connection(
                    lambda: link,
                    origin.host,
                    origin.port,
                    ssl=self._context if origin.secure else None,
                    server_hostname=origin.host if origin.secure else None,
                )
        except TimeoutError as error:
            raise DialTimeout(f"{origin} did not accept a connection in {self._connect_timeout:g} s") from error
        except ssl.SSLError as error:
            raise DialFailed(f"TLS with {origin} failed: {error.reason or error}") from error
        except OSError as error:
            raise DialFailed(f"cannot connect to {origin}: {error.strerror or error}") from error
        except asyncio.CancelledError:
            # The connection may have come up in the same moment; the loop does not always say that it is gone.
            link.drop()
            raise
        if self._closing:
            link.drop()
            raise DialFailed("the proxy is closing")
        self.links.add(link)
        return link

    def give_back(self, link: UpstreamLink) -> None:
        """Keep a connection that is between answers for the next request."""
        now = self.watch.now
        if link.origin.secure and self._fresh_sessions.get(link.origin, -1.0) != now:
            self._fresh_sessions[link.origin] = now
            link.remember_session(self._context)
        surplus = self._pool.put(link.origin, link, now)
        if surplus is not None:
            surplus.close()

    def check(self, now: float) -> None:
        """Called by the watch: close what has been idle for too long."""
        for link in self._pool.expire(now):
            link.close()

    async def close(self) -> None:
        """Close idle connections, abort the others, and wait for the dials under way to end."""
        self._closing = True
        for link in self._pool.clear():
            link.close()
        for link in list(self.links):
            link.abort()
        while self._dials:
            await asyncio.wait(self._dials)
        # A connection's end is told in the loop's next round.
        for _ in range(10):
            if not self.links:
                return
            await asyncio.sleep(0)
