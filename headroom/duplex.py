"""One WebSocket after its upgrade: frames go both ways as they came, and a client's requests are pressed on their way.

It is the sink of both sides. Order is kept: what follows a request that is being pressed waits for it, pings and pongs
apart. A fault of ours sends a message as it came; nothing is ever made up but the frame of a message that was changed
and, where we have to end it, a close. Where the proxy's own tools are offered, responses go through a loom (see
socket_rounds), and the client's next request waits for the end of one.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from headroom import socket_rounds
from headroom.events import SocketCause
from headroom.faults import BadFrame, Fault, SocketIdle, UpstreamCut, UpstreamSilent
from headroom.gathering import Gatherer, Onward, Request
from headroom.plan import Plan
from headroom.shrunk import GoesOn, Receipt
from headroom.socket_messages import Asking, Heard, OriginListener, Told
from headroom.socket_rounds import SocketRounds, preceded
from headroom.under_way import Ended, UnderWay
from headroom.wire.downstream import Downstream
from headroom.wire.gate import Watch
from headroom.wire.head import ResponseHead
from headroom.wire.reader import Data
from headroom.wire.upstream import UpstreamLink
from headroom.wire.websocket import (
    CLOSE,
    GOING_AWAY,
    Frame,
    FrameReader,
    Messages,
    Packing,
    close_frame,
    text_frame,
)

QUEUE_LIMIT: Final = 256 * 1024  # bytes that wait behind a request that is being pressed; then the client waits
FIRST_FRAME: Final = 60.0  # seconds for a client to say something
CLOSE_SECONDS: Final = 5.0  # for the other side's close, once there was one


class Host(socket_rounds.Host, Protocol):
    """The exchange that a socket belongs to."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def offers(self) -> bool:
        """Whether this caller may be given tools of the proxy's."""

    async def shrunk(self, plain: bytes, goes_on: GoesOn) -> Receipt:
        """What to send in `plain`'s place; see Shrinker.rewrite. Never raises."""

    def answered(self, ended: Ended) -> None:
        """One response is over."""

    def failed(self, error: BaseException) -> None:
        """A fault of ours, outside of rewriting."""

    def socket_over(self, outcome: str, fault: str, cause: SocketCause, client: int, origin: int, answer: int) -> None:
        """The socket is over; so many bytes came from the client, went to the origin, and came from it."""


class House(Protocol):
    """What a socket needs of the edge that it runs in. Times are in seconds, sizes in bytes."""

    @property
    def watch(self) -> Watch: ...
    @property
    def draining(self) -> bool: ...
    @property
    def body_limit(self) -> int: ...
    @property
    def answer_limit(self) -> int: ...
    @property
    def socket_idle(self) -> float: ...
    @property
    def silence(self) -> float: ...


class Duplex:
    """One WebSocket's two directions, from its upgrade to its end."""

    def __init__(self, host: Host, house: House, client: Downstream, link: UpstreamLink, plan: Plan) -> None:
        assert plan.socket is not None
        self._host = host
        self._house = house
        self._client = client
        self._link: UpstreamLink | None = link
        self._plan = plan
        self._packed: Messages | None = None
        self._queue: deque[Onward] = deque()
        self._queued = 0
        self._task: asyncio.Task[None] | None = None
        self._weaves = False  # calls of the proxy's tools can be answered
        self._given: list[bytes] = []  # for the client, of what was read last
        self._last: list[bytes] = []  # the origin's close, while what it said before is woven
        self._rounds: SocketRounds | None = None
        self._round: asyncio.Task[None] | None = None
        self._further = b""  # what asks the provider on, while the client is within a message that goes as it comes
        self._free = asyncio.Event()  # no response is being woven
        self._free.set()
        self._under_way = UnderWay()
        self._stalled = False
        self._spoken = False
        self._client_closed = self._origin_closed = self._ending = self._over = False
        self._cause: SocketCause = "failed"
        self._fault = self._gone = ""
        self._begun = self._heard = self._closed_at = client.clock()
        self._bytes_in = self._bytes_out = self._answer = 0

    def start(self, packing: Packing | None) -> None:
        """Take both connections over. What the client has sent already comes first."""
        plan, house = self._plan, self._house
        assert self._link is not None and plan.socket is not None
        deflated = packing is not None
        if packing is not None and plan.presses:
            self._packed = packing.of_client()
        # What is left out of an answer must not be what the messages after it refer to.
        self._weaves = plan.presses and self._host.offers and not (packing is not None and packing.keeps)
        limit = house.body_limit if plan.presses else 0
        self._reader = FrameReader(masked=True, limit=limit, deflated=deflated)
        self._gatherer = Gatherer(plan.socket, self._packed, presses=plan.presses, limit=limit)
        self._listener = OriginListener(plan.socket, plan.dialect, packing, house.answer_limit)
        house.watch.add(self)
        self._link.hand_over(self)
        self._client.hand_over(self, self._from_client)
        self._client.resume()
        if self._client.stalled:
            self._link.pause()
        early = self._client.take_held()
        if early:
            self._from_client(early)

    # From the client.

    def _from_client(self, data: bytes) -> None:
        self._bytes_in += len(data)
        self._heard = self._client.clock()
        if self._client_closed:
            return  # nothing is said after a close
        self._spoken = True
        for frame in self._reader.feed(data):
            if self._ending:
                # We have closed; what is still waited for is the client's close.
                if frame.opcode == CLOSE:
                    self._finish()
                    return
                continue
            self._take(frame)
            if self._client_closed or self._over:
                break
        fault = self._reader.fault
        if fault is not None and not self._client_closed and not self._over:
            if self._ending:
                self._finish()
            else:
                self._refuse(fault)
        self._flow()
        if self._house.draining:
            self.drain()  # what was held may have been no request

    def _take(self, frame: Frame) -> None:
        """Pass a frame on, or keep it while it may be a part of a request."""
        if frame.control:
            if frame.opcode != CLOSE:
                self._write(frame.raw)
                return
            for raw in self._gatherer.release():
                self._put(raw)
            self._client_closed = True
            self._closed_at = self._heard
            if not self._origin_closed:
                self._cause = "client_close"
            self._put(frame.raw)
            if self._origin_closed:
                self._finish()
            return
        try:
            for onward in self._gatherer.take(frame):
                self._put(onward)
            self._go_further()
        except BadFrame as fault:
            self._refuse(fault)

    def _put(self, onward: Onward) -> None:
        """Pass something on, behind what is being pressed."""
        if isinstance(onward, bytes) and self._task is None:
            self._write(onward)
            return
        self._queue.append(onward)
        self._queued += _size(onward)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work())
            self._task.add_done_callback(self._worked)

    def _write(self, raw: bytes) -> None:
        if self._link is not None:
            self._bytes_out += len(raw)
            self._link.write(raw)

    def _flow(self) -> None:
        """Let the client go on, or wait; its close is always waited for."""
        if not self._ending and (self._stalled or self._queued > QUEUE_LIMIT):
            self._client.pause()
        elif not self._over:
            self._client.resume()

    # Pressing.

    async def _work(self) -> None:
        while self._queue:
            onward = self._queue[0]
            if not isinstance(onward, bytes):
                await self._free.wait()
            raw = onward if isinstance(onward, bytes) else await self._pressed(onward)
            if self._link is None:
                return  # a cancellation does not always come through what was awaited
            self._queue.popleft()
            self._queued -= _size(onward)
            self._write(raw)
        self._task = None
        self._flow()

    async def _pressed(self, request: Request) -> bytes:
        begun = time.perf_counter()
        text, asking, known = request.text, request.asking, self._under_way
        chain = known.chain(asking.follows)
        body = text if asking.end - asking.start == len(text) else text[asking.start : asking.end]
        earlier = GoesOn(chain.conversation, known.called, not chain.strange, chain.said, chain.given, self._weaves)
        receipt = await self._host.shrunk(body, earlier)
        if self._link is None:
            return request.raw
        if chain.owed:
            receipt = _with_owed(receipt, chain.owed)
        out = receipt.body
        changed = text if out is body else b"".join((text[: asking.start], out, text[asking.end :]))
        if receipt.ours:
            whole = known.whole(asking.follows, receipt)
            sent = Asking(asking.start, asking.start + len(out))
            self._rounds = SocketRounds(changed, sent, whole, packed=request.packed)
            self._free.clear()
        known.asked(begun, asking.follows, len(body), receipt)
        return request.raw if out is body else text_frame(changed, self._packed if request.packed else None)

    def _worked(self, task: asyncio.Task[None]) -> None:
        """A fault of ours outside of pressing: neither side may be left waiting."""
        if task.cancelled() or (error := task.exception()) is None or self._over:
            return
        self._host.failed(error)
        self._cut("failed", "failed", "internal")

    # From the origin.

    def answer_data(self, data: Data) -> None:
        """See AnswerSink."""
        self._answer += len(data.wire)
        self._heard = self._client.clock()
        if self._ending or self._origin_closed:
            return
        if self._weaves:
            for heard in self._listener.messages(data.wire):
                if not (self._ending or self._origin_closed or self._over):
                    self._weave(heard)
            self._flush()
            if self._listener.deaf and self._rounds is not None:
                self._let_go(self._rounds)
            return
        self._client.write(data.wire)
        for told in self._listener.feed(data.wire):
            self._hear(told)
            if self._ending or self._over:
                break

    def _weave(self, heard: Heard) -> None:
        """Give the client a message, or what goes in its place."""
        told, rounds = heard.told, self._rounds
        ended = self._under_way.hear(told) if told is not None and told.kind != "closed" else None
        texts: list[bytes] | None = None
        if rounds is not None:
            if told is not None and told.kind == "begun" and self._under_way.is_ours(told.response):
                rounds.begin(told.response)
            if rounds.listens and heard.text is not None:
                texts = rounds.take(heard.text)
            elif rounds.listens and heard.unread:
                self._let_go(rounds)
            if ended is not None and ended.ours and self._rounds is not None and heard.text is not None:
                if rounds.end([heard.text] if texts is None else texts):
                    self._round = asyncio.get_running_loop().create_task(self._go_on(rounds))
                    self._round.add_done_callback(self._worked)
                    texts = []
                else:
                    self._woven(rounds)
        if told is not None and told.kind == "closed":
            # The last words may still have to be made up.
            (self._given if self._round is None else self._last).append(heard.raw)
            self._hear(told)
            return
        self._given.append(heard.raw if texts is None else _frames(texts))
        if ended is not None:
            self._flush()
            self._over_with(ended)

    async def _go_on(self, rounds: SocketRounds) -> None:
        """A round is over in which the proxy was called: answer, and ask the provider on, or end."""
        step = await rounds.go_on(self._host)
        self._round = None
        if self._over or self._ending:
            return  # a cancellation does not always come through what was awaited
        self._given += [_frames(step.texts), *self._last]
        self._last.clear()
        self._flush()
        if self._link is None:
            self._origin_gone(self._gone)
            return
        if self._origin_closed:
            return
        if step.further and not self._client_closed:
            told = rounds.receipt
            receipt = Receipt(
                step.further, conversation=told.conversation, opened=told.opened, ours=told.ours, given=told.given
            )
            self._under_way.asked(time.perf_counter(), rounds.response, 0, receipt)
            self._further = text_frame(step.further, self._packed if rounds.packed else None)
            self._go_further()
            return
        self._woven(rounds)
        if self._house.draining:
            self.drain()

    def _go_further(self) -> None:
        """Ask the provider on, unless a message of the client's is on its way: that may be in many pieces."""
        if self._further and (self._queue or not self._gatherer.passes):
            further, self._further = self._further, b""
            self._write(further)

    def _woven(self, rounds: SocketRounds) -> None:
        """A response is over, or nothing more of it is woven: the client's next request may go on."""
        self._under_way.grew(rounds.response, rounds.places, rounds.owed)
        self._rounds = None
        self._free.set()

    def _let_go(self, rounds: SocketRounds) -> None:
        """What follows cannot be looked at: it goes as it comes, which it can only while all went so."""
        self._woven(rounds)
        if not rounds.whole:
            self._flush()
            self._cut("failed", "truncated", UpstreamCut("").name)

    def _flush(self) -> None:
        """What one read brought leaves in one write."""
        given = b"".join(self._given)
        self._given.clear()
        if given and not self._over:
            self._client.write(given)

    def _hear(self, told: Told) -> None:
        if told.kind == "closed":
            self._origin_closed = True
            self._closed_at = self._heard
            if not self._client_closed:
                self._cause = "origin_close"
            return
        ended = self._under_way.hear(told)
        if ended is not None:
            self._over_with(ended)

    def _over_with(self, ended: Ended) -> None:
        self._host.answered(ended)
        if self._house.draining:
            self.drain()

    def answer_head(self, head: ResponseHead) -> None:
        """See AnswerSink: there is none after the upgrade's."""

    def answer_chunk(self, wire: bytes, start: int) -> None:
        """See AnswerSink: there is none after the upgrade's."""

    def answer_flush(self) -> None:
        """See AnswerSink."""

    def answer_end(self) -> None:
        """See AnswerSink."""
        self._origin_gone("")

    def answer_broken(self, fault: Fault) -> None:
        """See AnswerSink."""
        self._origin_gone(fault.name)

    def _origin_gone(self, fault: str) -> None:
        """The origin's connection has ended. Without its close that is a cut, and stays one."""
        self._link = None
        self._gone = fault
        if self._over or self._ending or self._round is not None:
            return
        unheard = self._listener.deaf and not fault
        if not self._origin_closed and not unheard:
            self._cut("origin_gone", "truncated", fault or UpstreamCut("").name)
        elif self._client_closed or unheard:
            self._finish()
        # Else the client has the origin's close, and its own is waited for.

    # From both connections' shells.

    def origin_writable(self, writable: bool) -> None:
        """See AnswerSink."""
        self._stalled = not writable
        self._flow()

    def client_writable(self, writable: bool) -> None:
        """See RequestSink."""
        if self._link is not None:
            if writable:
                self._link.resume()
            else:
                self._link.pause()

    def client_gone(self, fault: Fault) -> None:
        """See RequestSink."""
        if self._over:
            return
        link, self._link = self._link, None
        if link is not None and self._client_closed and not self._queue:
            link.hang_up()  # its close is on its way
        elif link is not None:
            link.abort()
        closed = self._client_closed or self._origin_closed or self._ending
        if not closed:
            self._cause = "client_gone"
        idle = closed or not self._busy
        self._end("complete" if idle else "aborted", "" if idle else fault.name)

    def request_data(self, data: Data) -> None:
        """See RequestSink: there is none."""

    def request_end(self) -> None:
        """See RequestSink: there is none."""

    def request_flush(self) -> None:
        """See RequestSink: there is none."""

    def request_broken(self, fault: Fault) -> None:
        """See RequestSink: there is none."""

    @property
    def _busy(self) -> bool:
        """Whether a request is on its way, or a response awaited."""
        return bool(self._under_way) or self._task is not None or self._rounds is not None

    def check(self, now: float) -> None:
        """Called by the watch: end what has been silent for too long."""
        if self._ending or self._client_closed or self._origin_closed:
            if now - self._closed_at > CLOSE_SECONDS:
                self._finish()
        elif not self._spoken:
            if now - self._begun > FIRST_FRAME:
                self._close("no_first_frame", "nothing was said", SocketIdle("").name)
        elif self._busy and not self._listener.unsure:
            if now - self._heard > self._house.silence and not self._client.stalled:
                self._cut("silent", "truncated", UpstreamSilent("").name)
        elif now - self._heard > self._house.socket_idle:
            self._close("idle", "idle for too long", SocketIdle("").name)

    # Endings.

    def drain(self) -> None:
        """The process ends: close now, or with the end of the response under way."""
        closing = self._client_closed or self._origin_closed or self._ending or self._over
        if not (closing or self._busy or self._gatherer.holds):
            self._close("draining", "the proxy is shutting down")

    def _refuse(self, fault: BadFrame) -> None:
        """What the client sent cannot be passed on: close towards it, and drop the origin."""
        self._fault = fault.name
        if self._listener.between:
            self._ending = True
            self._closed_at = self._heard
            self._cause = "bad_frame"
            self._client.write(close_frame(fault.code, str(fault)[:100], masked=False))
            self._drop_origin()
        else:
            self._cut("bad_frame", "failed", fault.name)

    def _close(self, cause: SocketCause, reason: str, fault: str = "") -> None:
        """Close both sides ourselves, where frames of ours can be put; and wait for the client's close."""
        self._cause = cause
        self._fault = fault
        if not self._listener.between:
            self._cut(cause, "complete", fault)
            return
        self._ending = True
        self._closed_at = self._client.clock()
        link = self._link
        if link is not None and self._gatherer.between:
            self._write(close_frame(GOING_AWAY, reason, masked=True))
            self._link = None
            link.hang_up()
        else:
            self._drop_origin()
        self._flow()
        self._client.write(close_frame(GOING_AWAY, reason, masked=False))

    def _drop_origin(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.abort()
        self._stop()

    def _stop(self) -> None:
        for task in (self._task, self._round):
            if task is not None:
                task.cancel()
        self._queue.clear()

    def _finish(self) -> None:
        """Both have had a close: end the connections once all is written."""
        if self._over:
            return
        if not self._ending:
            self._given += self._last  # what was to come before it is not there in time
            self._flush()
        link, self._link = self._link, None
        if link is not None and not self._queue:
            link.hang_up()
        elif link is not None:
            link.abort()
        self._end("failed" if self._cause == "bad_frame" else "complete", self._fault)
        self._client.finish(keep=False)

    def _cut(self, cause: SocketCause, outcome: str, fault: str) -> None:
        """End both connections so that neither side can take it for a close."""
        if self._over:
            return
        self._cause = cause
        self._drop_origin()
        self._end(outcome, fault)
        self._client.cut()

    def _end(self, outcome: str, fault: str) -> None:
        self._over = True
        self._house.watch.discard(self)
        self._stop()
        self._task = self._rounds = None
        for ended in self._under_way.abandon():
            self._host.answered(ended)
        self._host.socket_over(outcome, fault, self._cause, self._bytes_in, self._bytes_out, self._answer)


def _with_owed(receipt: Receipt, owed: Sequence[bytes]) -> Receipt:
    """A receipt of the same request with what the provider misses; as it is where that finds no place."""
    try:
        return msgspec.structs.replace(receipt, body=preceded(receipt.body, owed))
    except ValueError:
        return receipt


def _frames(texts: Sequence[bytes]) -> bytes:
    """Messages for the client. None is deflated: each may be by itself."""
    return b"".join(text_frame(text, masked=False) for text in texts)


def _size(onward: Onward) -> int:
    return len(onward if isinstance(onward, bytes) else onward.raw)
