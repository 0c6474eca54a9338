"""One WebSocket after its upgrade: frames go both ways as they came, and a client's requests are pressed on their way.

It is the sink of both sides. Order is kept: what follows a request that is being pressed waits for it, pings and pongs
apart. A fault of ours sends a message as it came; nothing is ever made up but the frame of a message that was changed
and, where we have to end it, a close.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Final, Literal, Protocol

import msgspec

from headroom.events import Timings
from headroom.faults import BadCoding, BadFrame, Fault, SocketIdle, UpstreamCut, UpstreamSilent
from headroom.plan import Plan
from headroom.receipts import Forwarded
from headroom.shrink import Receipt
from headroom.socket_messages import Asking, Askings, OriginListener, Told
from headroom.usage import Usage
from headroom.wire.downstream import Downstream
from headroom.wire.gate import Watch
from headroom.wire.head import ResponseHead
from headroom.wire.reader import Data
from headroom.wire.upstream import UpstreamLink
from headroom.wire.websocket import (
    CLOSE,
    GOING_AWAY,
    INVALID_DATA,
    TEXT,
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
RESPONSES: Final = 256  # responses of one socket whose conversation is remembered, and that are awaited at once
CALLS: Final = 1024  # tool calls of one socket whose tool is remembered

Cause = Literal[
    "client_close",
    "origin_close",
    "client_gone",
    "origin_gone",
    "bad_frame",
    "idle",
    "silent",
    "no_first_frame",
    "draining",
    "failed",
]


class Ended(msgspec.Struct, frozen=True, gc=False):
    """One response that is over, one way or another. `receipt` says what was done to its request (nothing is known of
    one that was not looked at), `carried` how many tokens were saved in what it goes on from, `forwarded` what is
    compared with the next request that begins anew. Sizes are bytes of the request, `ms` times from it on."""

    response: str
    outcome: str
    usage: Usage | None
    receipt: Receipt | None
    carried: int
    forwarded: Forwarded | None
    bytes_in: int
    bytes_out: int
    ms: Timings


class Host(Protocol):
    """The exchange that a socket belongs to."""

    @property
    def id(self) -> str:
        """Its id."""

    async def shrunk(self, plain: bytes, *, conversation: bytes, called: Mapping[str, str], typed: bool) -> Receipt:
        """What to send in `plain`'s place; see Shrinker.rewrite. Never raises."""

    def answered(self, ended: Ended) -> None:
        """One response is over."""

    def failed(self, error: BaseException) -> None:
        """A fault of ours, outside of rewriting."""

    def socket_over(self, outcome: str, fault: str, cause: Cause, client: int, origin: int, answer: int) -> None:
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


class _Held(msgspec.Struct, frozen=True, gc=False):
    """A request as it came, and its text."""

    raw: bytes
    text: bytes
    asking: Asking
    packed: bool


class _Chain(msgspec.Struct, frozen=True, gc=False):
    """What a response leaves to those that go on from it: the conversation's name (empty before its opening), how many
    tokens were saved in it so far, and whether it goes on from one that was not seen here."""

    conversation: bytes = b""
    saved: int = 0
    strange: bool = False


_STRANGE: Final = _Chain(strange=True)


class _Awaited(msgspec.Struct, gc=False):
    """A request that was sent on. `begun` is when it came, in seconds."""

    begun: float
    follows: str
    size_in: int
    size_out: int
    receipt: Receipt | None
    chain: _Chain
    carried: int
    forwarded: Forwarded | None = None
    response: str = ""
    first: float = 0.0


class Duplex:
    """One WebSocket's two directions, from its upgrade to its end."""

    def __init__(self, host: Host, house: House, client: Downstream, link: UpstreamLink, plan: Plan) -> None:
        assert plan.socket is not None
        self._host = host
        self._house = house
        self._client = client
        self._link: UpstreamLink | None = link
        self._plan = plan
        self._askings = Askings(plan.socket)
        self._packed: Messages | None = None
        self._queue: deque[bytes | _Held] = deque()
        self._queued = 0
        self._held: list[Frame] = []
        self._held_size = 0
        self._passing = False
        self._between = True
        self._task: asyncio.Task[None] | None = None
        self._awaited: deque[_Awaited] = deque()
        self._chains: OrderedDict[str, _Chain] = OrderedDict()
        self._newest = _Chain()
        self._called: OrderedDict[str, str] = OrderedDict()
        self._stalled = False
        self._spoken = False
        self._client_closed = self._origin_closed = self._ending = self._over = False
        self._cause: Cause = "failed"
        self._fault = ""
        self._begun = self._heard = self._closed_at = client.clock()
        self._bytes_in = self._bytes_out = self._answer = 0

    def start(self, packing: Packing | None) -> None:
        """Take both connections over. What the client has sent already comes first."""
        plan, house = self._plan, self._house
        assert self._link is not None and plan.socket is not None
        deflated = packing is not None
        if packing is not None and plan.presses:
            self._packed = packing.of_client()
        limit = house.body_limit if plan.presses else 0
        self._reader = FrameReader(masked=True, limit=limit, deflated=deflated)
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

    def _take(self, frame: Frame) -> None:
        """Pass a frame on, or keep it while it may be a part of a request."""
        if frame.control:
            if frame.opcode != CLOSE:
                self._write(frame.raw)
                return
            self._release()
            self._client_closed = True
            self._closed_at = self._heard
            if not self._origin_closed:
                self._cause = "client_close"
            self._send(frame.raw)
            if self._origin_closed:
                self._finish()
        elif self._held or (not self._passing and self._may_ask(frame)):
            self._hold(frame)
        else:
            self._passing = not (frame.fin and frame.ends)
            self._between = frame.ends
            self._send(frame.raw)

    def _may_ask(self, frame: Frame) -> bool:
        payload = frame.payload
        if not self._plan.presses or payload is None or frame.opcode != TEXT:
            return False
        if not frame.packed:
            return self._askings.may_be(payload, whole=frame.fin)
        if self._packed is None:
            return False
        return self._askings.may_be(self._packed.begin(payload), whole=False)

    def _hold(self, frame: Frame) -> None:
        self._held.append(frame)
        self._held_size += len(frame.raw)
        if frame.payload is None or self._held_size > self._house.body_limit:
            # Too large to be read: it goes on as it comes.
            self._release()
            self._passing = not (frame.fin and frame.ends)
            self._between = frame.ends
        elif frame.fin:
            self._whole()

    def _release(self) -> None:
        """Send on what was held, as it came."""
        held, self._held, self._held_size = self._held, [], 0
        for frame in held:
            self._send(frame.raw)

    def _whole(self) -> None:
        """A message that may be a request is complete."""
        frames = self._held
        text = frames[0].payload if len(frames) == 1 else b"".join(frame.payload or b"" for frame in frames)
        assert text is not None
        packed = frames[0].packed
        try:
            if packed and self._packed is not None:
                text = self._packed.unpack(text, self._house.body_limit)
            asking = self._askings.find(text)
            if asking is not None:
                text.decode()
        except UnicodeDecodeError:
            self._refuse(BadFrame("a text message that is not UTF-8", INVALID_DATA))
            return
        except BadFrame as fault:
            self._refuse(fault)
            return
        except BadCoding:
            asking = None
        if asking is None:
            self._release()
            return
        raw = frames[0].raw if len(frames) == 1 else b"".join(frame.raw for frame in frames)
        self._held, self._held_size = [], 0
        self._queue.append(_Held(raw, text, asking, packed))
        self._queued += len(raw)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work())
            self._task.add_done_callback(self._worked)

    def _send(self, raw: bytes) -> None:
        """Pass bytes on, behind what is being pressed."""
        if self._task is not None:
            self._queue.append(raw)
            self._queued += len(raw)
        else:
            self._write(raw)

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
            item = self._queue[0]
            raw = item if isinstance(item, bytes) else await self._pressed(item)
            if self._link is None:
                return  # a cancellation does not always come through what was awaited
            self._queue.popleft()
            self._queued -= len(item if isinstance(item, bytes) else item.raw)
            self._write(raw)
        self._task = None
        self._flow()

    async def _pressed(self, held: _Held) -> bytes:
        begun = time.perf_counter()
        asking = held.asking
        chain = self._chains.get(asking.follows, _STRANGE) if asking.follows else _Chain()
        body = held.text if asking.end - asking.start == len(held.text) else held.text[asking.start : asking.end]
        receipt = await self._host.shrunk(
            body, conversation=chain.conversation, called=self._called, typed=not chain.strange
        )
        out = held.raw
        if self._link is None:
            return out
        if receipt.body is not body:
            text = b"".join((held.text[: asking.start], receipt.body, held.text[asking.end :]))
            out = text_frame(text, self._packed if held.packed else None)
        size = len(receipt.body)
        conversation = receipt.conversation if receipt.opened else b""
        saved = 0 if receipt.observed else receipt.tokens_before - receipt.tokens_after
        onward = _Chain(conversation, chain.saved + saved, chain.strange)
        forwarded = receipt.forwarded() if receipt.forwarded is not None and not asking.follows else None
        receipt = msgspec.structs.replace(receipt, body=b"", forwarded=None)
        self._await(_Awaited(begun, asking.follows, len(body), size, receipt, onward, chain.saved, forwarded))
        return out

    def _await(self, awaited: _Awaited) -> None:
        self._awaited.append(awaited)
        if len(self._awaited) > RESPONSES:
            self._awaited.popleft()

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
        self._client.write(data.wire)
        for told in self._listener.feed(data.wire):
            self._hear(told)
            if self._ending or self._over:
                break

    def _hear(self, told: Told) -> None:
        if told.kind == "closed":
            self._origin_closed = True
            self._closed_at = self._heard
            if not self._client_closed:
                self._cause = "origin_close"
        elif told.kind == "called":
            self._called[told.call[0]] = told.call[1]
            if len(self._called) > CALLS:
                self._called.popitem(last=False)
        elif told.kind == "begun":
            awaited = self._asked_for(told.follows)
            if awaited is None:
                # Of a request that was not looked at, or of one that the origin goes on from by itself.
                chain = self._chains.get(told.follows, self._newest)
                awaited = _Awaited(time.perf_counter(), told.follows, 0, 0, None, chain, chain.saved)
                self._await(awaited)
            self._name(awaited, told.response)
        else:
            self._ended(told)

    def _asked_for(self, follows: str) -> _Awaited | None:
        """The request that a response is the answer to: the first unanswered one that goes on from the same."""
        unnamed = [awaited for awaited in self._awaited if not awaited.response]
        same = (awaited for awaited in unnamed if awaited.follows == follows)
        return next(same, unnamed[0] if unnamed else None)

    def _ended(self, told: Told) -> None:
        """A response, or what was to become one, is over."""
        named = (awaited for awaited in self._awaited if awaited.response == told.response)
        awaited = next(named, self._awaited[0] if self._awaited else None)
        if awaited is None:
            return
        if told.response and not awaited.response:
            self._name(awaited, told.response)
        self._awaited.remove(awaited)
        self._tell(awaited, told.outcome, told.usage)
        if self._house.draining and not self._awaited and self._task is None:
            self._close("draining", "the proxy is shutting down")

    def _name(self, awaited: _Awaited, response: str) -> None:
        awaited.response = response
        awaited.first = time.perf_counter()
        self._chains[response] = self._newest = awaited.chain
        if len(self._chains) > RESPONSES:
            self._chains.popitem(last=False)

    def _tell(self, awaited: _Awaited, outcome: str, usage: Usage | None) -> None:
        receipt = awaited.receipt
        first = awaited.first - awaited.begun if awaited.first else 0.0
        timings = Timings(
            round((time.perf_counter() - awaited.begun) * 1000, 3),
            locate=round(receipt.locate_ms, 3) if receipt is not None else 0.0,
            press=round(receipt.press_ms, 3) if receipt is not None else 0.0,
            store=round(receipt.store_ms, 3) if receipt is not None else 0.0,
            first_byte=round(first * 1000, 3),
        )
        self._host.answered(
            Ended(
                awaited.response,
                outcome,
                usage,
                receipt,
                awaited.carried,
                awaited.forwarded,
                awaited.size_in,
                awaited.size_out,
                timings,
            )
        )

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
        if self._over or self._ending:
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
        idle = closed or not (self._awaited or self._task is not None)
        self._end("complete" if idle else "aborted", "" if idle else fault.name)

    def request_data(self, data: Data) -> None:
        """See RequestSink: there is none."""

    def request_end(self) -> None:
        """See RequestSink: there is none."""

    def request_flush(self) -> None:
        """See RequestSink: there is none."""

    def request_broken(self, fault: Fault) -> None:
        """See RequestSink: there is none."""

    def check(self, now: float) -> None:
        """Called by the watch: end what has been silent for too long."""
        if self._ending or self._client_closed or self._origin_closed:
            if now - self._closed_at > CLOSE_SECONDS:
                self._finish()
        elif not self._spoken:
            if now - self._begun > FIRST_FRAME:
                self._close("no_first_frame", "nothing was said", SocketIdle("").name)
        elif self._awaited or self._task is not None:
            if now - self._heard > self._house.silence and not self._client.stalled:
                self._cut("silent", "truncated", UpstreamSilent("").name)
        elif now - self._heard > self._house.socket_idle:
            self._close("idle", "idle for too long", SocketIdle("").name)

    # Endings.

    def drain(self) -> None:
        """The process ends: close now, or with the end of the response under way."""
        if not (self._awaited or self._task is not None or self._held or self._ending or self._over):
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

    def _close(self, cause: Cause, reason: str, fault: str = "") -> None:
        """Close both sides ourselves, where frames of ours can be put; and wait for the client's close."""
        self._cause = cause
        self._fault = fault
        if not self._listener.between:
            self._cut(cause, "complete", fault)
            return
        self._ending = True
        self._closed_at = self._client.clock()
        link = self._link
        if link is not None and self._between:
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
        if self._task is not None:
            self._task.cancel()
        self._queue.clear()

    def _finish(self) -> None:
        """Both have had a close: end the connections once all is written."""
        if self._over:
            return
        link, self._link = self._link, None
        if link is not None and not self._queue:
            link.hang_up()
        elif link is not None:
            link.abort()
        self._end("failed" if self._cause == "bad_frame" else "complete", self._fault)
        self._client.finish(keep=False)

    def _cut(self, cause: Cause, outcome: str, fault: str) -> None:
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
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._queue.clear()
        self._held.clear()
        for awaited in self._awaited:
            self._tell(awaited, "aborted", None)
        self._awaited.clear()
        self._host.socket_over(outcome, fault, self._cause, self._bytes_in, self._bytes_out, self._answer)
