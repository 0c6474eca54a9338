"""One request and its answer: the only orchestration.

It is the sink of both sides. Whatever is not to be rewritten is passed on in the very call that brought it; a request
that may be rewritten is held, handed to the shrinker in a task, and sent on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from headroom import conversation, fetching, rewriting
from headroom.billing import billed, together
from headroom.error_answers import error_answer
from headroom.events import Request, failure, rewritten, timed
from headroom.faults import BadCoding, BadResponse, BodyTooLarge, Fault
from headroom.heads import homeward, onward, own_fields, rewoven
from headroom.looms import LOOMS
from headroom.plan import Plan
from headroom.policy import payer
from headroom.providers import UPSTREAM_ID_FIELDS
from headroom.receipts import Forwarded
from headroom.rewriting import Rewriting
from headroom.shrunk import Receipt
from headroom.usage import DEAF, Listener, Usage, listener
from headroom.weave import Call, Turn
from headroom.wire.coding import decode, identity
from headroom.wire.downstream import Downstream
from headroom.wire.gate import Watch
from headroom.wire.head import CHUNKED, UNTIL_CLOSE, RequestHead, ResponseHead
from headroom.wire.phase import Phase, Step, step
from headroom.wire.reader import Data
from headroom.wire.upstream import Dialer, UpstreamLink
from headroom.woven import Woven

if TYPE_CHECKING:
    from headroom.duplex import Duplex

UNSENT_LIMIT: Final = 256 * 1024  # bytes kept for an origin that is not connected yet; then the client waits
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_UNTOUCHED: Final = rewritten(Receipt(b""))
_STREAM: Final = b"text/event-stream"
_JSON: Final = b"application/json"


class House(rewriting.House, fetching.House, Protocol):
    """What an exchange needs of the edge that it runs in. Times are in seconds, sizes in bytes."""

    @property
    def dialer(self) -> Dialer: ...
    @property
    def watch(self) -> Watch: ...
    @property
    def draining(self) -> bool: ...
    @property
    def strips(self) -> bool: ...
    @property
    def body_limit(self) -> int: ...
    @property
    def answer_limit(self) -> int: ...
    @property
    def event_limit(self) -> int: ...
    @property
    def silence(self) -> float: ...
    @property
    def socket_idle(self) -> float: ...
    def began(self, exchange: Exchange) -> None: ...
    def ended(self, exchange: Exchange) -> None: ...


class Exchange:
    """One request and its answer."""

    __slots__ = (
        "_answer_bytes",
        "_begun",
        "_body",
        "_body_bytes",
        "_cause",
        "_client",
        "_client_keeps",
        "_dechunk",
        "_duplex",
        "_fields",
        "_first_byte",
        "_forwarded",
        "_gather_end",
        "_head",
        "_homeward",
        "_house",
        "_http10",
        "_keep",
        "_link",
        "_listener",
        "_may_switch",
        "_method",
        "_ms_dial",
        "_out_bytes",
        "_phase",
        "_plan",
        "_receipt",
        "_request_whole",
        "_rewriting",
        "_sent_at",
        "_sent_body",
        "_session",
        "_status",
        "_task",
        "_unsent",
        "_upstream_id",
        "_usages",
        "_woven",
        "_woven_head",
        "id",
    )

    def __init__(self, house: House, client: Downstream, head: RequestHead, plan: Plan, identity_: str) -> None:
        self.id = identity_
        self._house = house
        self._client = client
        self._head: RequestHead | None = head
        self._method = head.method
        self._http10 = head.minor == 0
        self._client_keeps = head.keep_alive
        self._may_switch = head.upgrade
        self._plan = plan
        self._phase = Phase.GATHER
        self._begun = time.perf_counter()
        self._gather_end = self._sent_at = self._first_byte = 0.0
        self._ms_dial = 0.0
        self._body: list[bytes] = []
        self._body_bytes = self._out_bytes = self._answer_bytes = 0
        self._unsent: list[bytes] = []
        self._link: UpstreamLink | None = None
        self._task: asyncio.Task[None] | None = None
        self._listener: Listener = DEAF
        self._receipt: Receipt | None = None
        self._rewriting: Rewriting | None = None
        self._forwarded: Forwarded | None = None
        self._request_whole = False
        self._dechunk = False
        self._keep = False
        self._status = 0
        self._upstream_id = b""
        self._homeward = b""
        self._sent_body = b""
        self._fields: tuple[tuple[bytes, bytes], ...] = ()
        self._woven: Woven | None = None
        self._woven_head: ResponseHead | None = None
        self._usages: list[Usage] = []
        self._duplex: Duplex | None = None
        self._session = b""
        self._cause = ""
        if plan.socket is not None:
            # Loaded with the first upgrade: its library would make every start a third slower.
            from headroom.upgrade import upgrade  # noqa: PLC0415

            offers = not house.shrinker.observes and house.wish.offers
            asked = upgrade(head.fields, plan, offers=offers)
            self._fields, self._session = asked.instead, asked.session
            self._rewriting = Rewriting(house, plan, identity_, head.method, asked.auth, asked.caller)
            if plan.presses:
                self._rewriting.recall()
        house.began(self)
        if plan.mode == "relay":
            self._connect(self._onward(None))
        elif head.expects_continue:
            client.write(_CONTINUE)

    # The request: what Downstream calls.

    def request_data(self, data: Data) -> None:
        """See RequestSink."""
        if self._plan.mode == "relay":
            size = len(data.wire) if data.spans is None else sum(end - start for start, end in data.spans)
            self._body_bytes += size
            self._out_bytes += size
            self._unsent.append(data.wire)
            if self._link is None and self._body_bytes > UNSENT_LIMIT:
                self._client.pause()
            return
        payload = data.payload()
        self._body_bytes += len(payload)
        if self._body_bytes > self._house.body_limit:
            self.refuse(BodyTooLarge(f"the request body is over {self._house.body_limit} bytes"))
            return
        self._body.append(payload)

    def request_end(self) -> None:
        """See RequestSink."""
        self._request_whole = True
        self._gather_end = time.perf_counter()
        if self._plan.mode == "rewrite":
            if self._phase is not Phase.GATHER:
                return
            self._move(Step.HELD)
            self._begin(self._rewrite())
        elif self._link is not None:
            self.request_flush()
            if self._link is not None:
                self._link.request_sent()

    def request_flush(self) -> None:
        """See RequestSink: what one read brought leaves in one write."""
        link = self._link
        if link is not None and self._unsent:
            unsent, self._unsent = self._unsent, []
            link.write(unsent[0] if len(unsent) == 1 else b"".join(unsent))

    def request_broken(self, fault: Fault) -> None:
        """See RequestSink."""
        if self._phase in (Phase.RELAY, Phase.TUNNEL):
            link, self._link = self._link, None
            if link is not None:
                link.abort()
            self._close("aborted", fault.name)
            self._client.cut()
        elif self._phase is not Phase.DONE:
            self.refuse(fault)

    def client_gone(self, fault: Fault) -> None:
        """See RequestSink."""
        if self._phase is Phase.DONE:
            return
        link, self._link = self._link, None
        if link is not None and self._phase is Phase.TUNNEL:
            link.hang_up()
        elif link is not None:
            link.abort()
        if self._task is not None:
            self._task.cancel()
        # A client that closes after the answer's own end, before its last framing byte, has got what it wanted.
        heard = self._phase is Phase.RELAY and self._listener.finish() == "complete"
        complete = heard and (self._woven is None or self._woven.told)
        self._close("complete" if complete else "aborted", "" if complete else fault.name)

    def client_writable(self, writable: bool) -> None:
        """See RequestSink."""
        if self._link is not None:
            if writable:
                self._link.resume()
            else:
                self._link.pause()

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        self._task = asyncio.get_running_loop().create_task(work)
        self._task.add_done_callback(self._check_task)

    def _check_task(self, task: asyncio.Task[None]) -> None:
        """A task that ended by a fault of ours must not leave its client waiting."""
        if task.cancelled() or (error := task.exception()) is None:
            return
        self._house.sink(failure(self.id, error))
        if self._phase is not Phase.DONE:
            self._close("failed", "internal")
            self._client.cut()

    # Rewriting.

    async def _rewrite(self) -> None:
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        plain = body
        head = self._head
        assert head is not None
        coding = head.fields.get(b"content-encoding")
        receipt: Receipt | None = None
        if coding is not None and not identity(coding):
            try:
                plain = decode(body, coding, self._house.body_limit)
            except BadCoding as fault:
                receipt = Receipt(body, note=fault.name)
        fields, plan = head.fields, self._plan
        auth, caller = payer(fields, plan.api), conversation.caller(fields, head.target)
        rewrites = self._rewriting = Rewriting(self._house, plan, self.id, self._method, auth, caller)
        if receipt is None:
            rewrites.recall()
            receipt = await rewrites.shrink(plain, conversation.session(fields, plan.dialect), fields)
        self._receipt = receipt
        self._fields = rewrites.fields_instead
        changed = receipt.body is not plain
        out = receipt.body if changed else body
        self._out_bytes = len(out)
        self._task = None
        if receipt.ours:
            self._sent_body = out
        coded = changed and not identity(coding)
        self._connect(self._onward(len(out) if changed or head.length == CHUNKED else None, coded) + out)
        self.request_flush()
        self._forwarded = rewrites.look_back(receipt, plain)
        # A stream may last long: the body is not kept for it.
        self._receipt = msgspec.structs.replace(receipt, body=b"", forwarded=None, volatile=None, lessons=())
        # What the next request needs is loaded while this one is answered.
        if self._link is not None or self._task is not None:
            self._house.shrinker.presser.warm()

    def _onward(self, length: int | None, decoded: bool = False) -> bytes:
        """The head as it goes to the origin. It is let go of then, unless more requests like it may have to be made:
        what of it is still asked for afterwards has been taken from it."""
        head = self._head
        assert head is not None
        if not self._sent_body:
            self._head = None
        return onward(
            head,
            self._plan,
            strip=self._house.strips,
            length=length,
            decoded=decoded,
            readable=bool(self._sent_body),
            fields_instead=self._fields,
        )

    # Towards the origin.

    def _connect(self, first: bytes) -> None:
        """Send `first` on a leased connection, or on one that is being dialled."""
        self._unsent.append(first)
        link = self._house.dialer.lease(self._plan.origin)
        if link is not None:
            self._attach(link)
            return
        self._move(Step.NEEDS_DIAL)
        self._begin(self._dial())

    async def _dial(self) -> None:
        begun = time.perf_counter()
        try:
            link = await self._house.dialer.dial(self._plan.origin)
        except Fault as fault:
            self._task = None
            self.answer_broken(fault)
            return
        self._task = None
        self._ms_dial = (time.perf_counter() - begun) * 1000
        self._client.resume()
        self._attach(link)
        self.request_flush()

    def _attach(self, link: UpstreamLink) -> None:
        self._move(Step.CONNECTED)
        self._link = link
        self._sent_at = time.perf_counter()
        link.lend(self, self._method)
        if self._request_whole:
            link.request_sent()
        if self._client.stalled:
            link.pause()

    def origin_writable(self, writable: bool) -> None:
        """See AnswerSink."""
        if writable:
            self._client.resume()
        elif not self._request_whole or self._phase is Phase.TUNNEL:
            self._client.pause()

    # The answer: what UpstreamLink calls.

    def answer_head(self, head: ResponseHead) -> None:
        """See AnswerSink."""
        if head.interim:
            if not self._http10 and not (head.status == 100 and self._plan.mode == "rewrite"):
                self._client.write(head.raw)
            return
        self._status = head.status
        self._first_byte = time.perf_counter()
        for name in UPSTREAM_ID_FIELDS:
            found = head.fields.get(name)
            if found is not None:
                self._upstream_id = found
                break
        if self._rewriting is not None and head.status == 200:
            self._rewriting.accepted()
        if head.status == 101:
            if self._may_switch:
                self._switch(head)
            else:
                self.refuse(BadResponse("the origin switched protocols unasked"))
            return
        self._move(Step.ANSWERED)
        self._listener = self._hear(head)
        self._dechunk = head.length == CHUNKED and self._http10
        self._keep = (
            self._client_keeps and self._request_whole and head.length != UNTIL_CLOSE and not self._house.draining
        )
        if self._sent_body and head.status == 200 and self._weave(head):
            return
        self._homeward = homeward(head, self._own_fields(head), close=not self._keep, dechunk=self._dechunk)

    def answer_data(self, data: Data) -> None:
        """See AnswerSink."""
        wire, spans = data.wire, data.spans
        if self._woven is not None:
            self._woven.answer_data(data)
            return
        if spans is None:
            self._answer_bytes += len(wire)
            self._send(wire)
            if self._listener is not DEAF:
                self._listener.feed((wire,))
            return
        if not self._dechunk:
            self._send(wire)
        if self._dechunk or self._listener is not DEAF:
            pieces = [wire[start:end] for start, end in spans]
            if self._dechunk:
                self._send(b"".join(pieces))
            self._listener.feed(pieces)
        for start, end in spans:
            self._answer_bytes += end - start

    def answer_chunk(self, wire: bytes, start: int) -> None:
        """See AnswerSink."""
        if self._homeward or self._dechunk or self._woven is not None:
            self.answer_data(Data(wire, [(start, len(wire) - 2)]))
            return
        self._client.write(wire)
        self._answer_bytes += len(wire) - 2 - start
        if self._listener is not DEAF:
            self._listener.hear(wire, start)

    def answer_flush(self) -> None:
        """See AnswerSink: a head that came without a body is not kept waiting for it."""
        if self._homeward and self._woven_head is None:
            self._send(b"")

    def _send(self, data: bytes) -> None:
        """Write to the client, a head that waits first."""
        if self._homeward:
            data = self._homeward + data
            self._homeward = b""
        if data:
            self._client.write(data)

    def answer_end(self) -> None:
        """See AnswerSink."""
        self._link = None
        if self._woven is not None:
            self._woven.ended()
            return
        self.answer_flush()
        if self._phase is Phase.TUNNEL:
            self._close("complete", "")
            self._client.finish(keep=False)
            return
        outcome = self._listener.finish() if self._listener is not DEAF else "complete"
        self._close(outcome, "")
        self._client.finish(keep=self._keep and not self._house.draining)

    def answer_broken(self, fault: Fault) -> None:
        """See AnswerSink. Before the answer's head this is an error in the provider's words; after it, a cut."""
        if self._phase is Phase.DONE:
            return
        self._link = None
        self.answer_flush()
        if self._phase in (Phase.RELAY, Phase.TUNNEL):
            self._close("truncated", fault.name)
            self._client.cut()
        else:
            self.refuse(fault)

    # An answer that is woven of several: what Woven calls.

    def _weave(self, head: ResponseHead) -> bool:
        """Whether this answer may hold calls that are ours to answer; then it goes through a loom."""
        kind = head.fields.get(b"content-type", b"").partition(b";")[0].rstrip().lower()
        plain = kind == _JSON and head.length <= self._house.answer_limit
        if kind != _STREAM and not plain:
            return False
        house, receipt = self._house, self._receipt
        assert receipt is not None
        self._woven = Woven(
            self,
            LOOMS[self._plan.dialect.loom],
            head,
            self._sent_body,
            ours=receipt.ours,
            plain=plain,
            limit=house.answer_limit,
            event_limit=house.event_limit,
        )
        self._keep = self._client_keeps and self._request_whole and not house.draining
        if plain:
            self._woven_head = head
        else:
            # Not before a byte of the answer is there, as ever.
            self._dechunk = self._http10
            self._keep = self._keep and not self._http10
            self._homeward = rewoven(head, self._own_fields(head), close=not self._keep, chunked=not self._http10)
        return True

    async def fetch(self, calls: Sequence[Call]) -> list[str]:
        """See woven.Host."""
        assert self._rewriting is not None and self._receipt is not None
        return await fetching.fetch(self._house, calls, self._rewriting.whose(self._receipt.conversation))

    async def keep(self, anchor: bytes, turn: Turn) -> None:
        """See woven.Host."""
        assert self._receipt is not None
        await fetching.keep(self._house, self.id, self._receipt, anchor, turn)

    async def further(self, body: bytes) -> None:
        """See woven.Host."""
        woven = self._woven
        assert woven is not None
        head = self._onward(len(body), decoded=True)
        dialer, origin = self._house.dialer, self._plan.origin
        link = dialer.lease(origin) or await dialer.dial(origin)
        self._link = link
        link.lend(woven, self._method)
        link.write(head + body)
        link.request_sent()
        self._out_bytes += len(body)
        if self._client.stalled:
            link.pause()

    def begin_round(self, head: ResponseHead) -> None:
        """See woven.Host."""
        usage = self._listener.usage
        if usage is not None:
            self._usages.append(usage)
        self._listener = self._hear(head)
        if self._woven_head is not None and head.status >= 400:
            # The error is the client's answer then, with what its head says of it.
            self._woven_head = head

    def heard(self, payload: bytes) -> None:
        """See woven.Host."""
        if self._listener is not DEAF:
            self._listener.feed((payload,))

    def deliver(self, payload: bytes) -> None:
        """See woven.Host."""
        if payload:
            self._answer_bytes += len(payload)
            self._send(payload if self._http10 else b"%x\r\n%b\r\n" % (len(payload), payload))

    def deliver_whole(self, payload: bytes, status: int) -> None:
        """See woven.Host."""
        head = self._woven_head
        assert head is not None
        self._answer_bytes += len(payload)
        if status:
            self._status = status
        own = self._own_fields(head)
        self._homeward = rewoven(head, own, close=not self._keep, length=len(payload), status=status)
        self._send(payload)
        outcome = "complete" if self._listener is DEAF else self._listener.finish()
        self._over("failed" if status else outcome)

    def pass_on(self, payload: bytes) -> None:
        """See woven.Host."""
        head, self._woven_head = self._woven_head, None
        assert head is not None
        self._keep = self._keep and not self._http10
        own = self._own_fields(head)
        self._homeward = rewoven(head, own, close=not self._keep, chunked=not self._http10, coded=True)
        self.deliver(payload)

    def start(self) -> None:
        """See woven.Host."""
        woven = self._woven
        assert woven is not None
        self._link = None
        self._begin(woven.go_on())

    def complete(self, *, failed: bool = False) -> None:
        """See woven.Host."""
        self._send(b"" if self._http10 else b"0\r\n\r\n")
        outcome = "complete" if self._listener is DEAF else self._listener.finish()
        self._over("failed" if failed else outcome)

    def _over(self, outcome: str) -> None:
        self._link = None
        self._close(outcome, "")
        self._client.finish(keep=self._keep and not self._house.draining)

    def broken(self, fault: Fault) -> None:
        """See woven.Host."""
        link, self._link = self._link, None
        if link is not None:
            link.abort()
        if self._woven_head is not None and self._phase is not Phase.DONE:
            self.refuse(fault)
        else:
            self.answer_broken(fault)

    def _switch(self, head: ResponseHead) -> None:
        self._move(Step.SWITCHED)
        link = self._link
        assert link is not None
        if self._plan.socket is not None and self._open_socket(head, link):
            return
        self._client.write(head.fields.edited([], self._own_fields(head)))
        link.open_ended()
        self._client.tunnel = self._tunnel
        self._client.resume()
        early = self._client.take_held()
        if early:
            self._tunnel(early)

    def _open_socket(self, head: ResponseHead, link: UpstreamLink) -> bool:
        """Whether what the origin switched to can be read; then it is."""
        from headroom.duplex import Duplex  # noqa: PLC0415
        from headroom.socket_host import SocketHost  # noqa: PLC0415
        from headroom.upgrade import accepted  # noqa: PLC0415

        found = accepted(head.fields, rewrites=self._plan.presses)
        if found is None:
            return False
        house, rewrites = self._house, self._rewriting
        assert rewrites is not None
        self._client.write(head.fields.edited(found.instead, self._own_fields(head)))
        self._link = None
        house.counters.add("headroom_sockets", 1)
        host = SocketHost(house, self._plan, self.id, rewrites, self._session, self._socket_over)
        self._duplex = Duplex(host, house, self._client, link, self._plan)
        self._duplex.start(found.packing)
        # What the first message needs is loaded while the client gets ready.
        house.shrinker.presser.warm()
        # One that was under way when the process was told to end has not been told.
        if house.draining:
            self._duplex.drain()
        return True

    def _socket_over(self, outcome: str, fault: str, cause: str, client: int, origin: int, answer: int) -> None:
        """See socket_host.SocketOver."""
        self._body_bytes, self._out_bytes, self._answer_bytes = client, origin, answer
        self._cause = cause
        self._close(outcome, fault)

    def drain(self) -> None:
        """The process ends: a WebSocket between responses is closed, all else comes to its own end."""
        if self._duplex is not None:
            self._duplex.drain()

    def _tunnel(self, data: bytes) -> None:
        self._body_bytes += len(data)
        self._out_bytes += len(data)
        if self._link is not None:
            self._link.write(data)

    def _hear(self, head: ResponseHead) -> Listener:
        """Who listens beside the relay."""
        house, plan = self._house, self._plan
        if plan.route == "other":
            return DEAF
        return listener(head, plan.dialect, event_limit=house.event_limit, answer_limit=house.answer_limit)

    def _own_fields(self, head: ResponseHead) -> bytes:
        return own_fields(head, self.id, self._upstream_id, self._receipt)

    # Endings.

    def refuse(self, fault: Fault) -> None:
        """Answer with an error of our own, in the provider's shape; no byte of another answer has been sent."""
        link, self._link = self._link, None
        if link is not None:
            link.abort()
        self._status = fault.status
        keep = self._request_whole and self._client_keeps and not self._house.draining
        self._client.write(
            error_answer(fault, self._plan.dialect, self.id, close=not keep, head_only=self._method == b"HEAD")
        )
        self._close("failed", fault.name)
        self._client.finish(keep=keep)

    def _move(self, what: Step) -> None:
        self._phase = step(self._phase, what)

    def _close(self, outcome: str, fault: str) -> None:
        """Account for the exchange; nothing may be sent after this."""
        self._move(Step.ENDED)
        house = self._house
        house.ended(self)
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        self._task = None
        end = time.perf_counter()
        plan, receipt, rewrites = self._plan, self._receipt, self._rewriting
        usages = [*self._usages, self._listener.usage]
        usage, bill = together(usages), billed(plan.dialect, usages, receipt)
        timings = timed(
            (end - self._begun) * 1000,
            receipt,
            gather=(self._gather_end - self._begun) * 1000,
            dial=self._ms_dial,
            first_byte=(self._first_byte - self._sent_at) * 1000 if self._first_byte else 0.0,
        )
        event = Request(
            id=self.id,
            upstream_id=self._upstream_id.decode("latin-1"),
            method=self._method.decode("latin-1"),
            path=plan.path,
            project=plan.project,
            unfit=plan.unfit,
            route=plan.route,
            api=plan.origin.name,
            mode=plan.mode,
            auth=rewrites.auth if rewrites is not None else "",
            status=self._status,
            outcome=outcome,
            bytes_in=self._body_bytes,
            bytes_out=self._out_bytes,
            answer_bytes=self._answer_bytes,
            fault=fault,
            cause=self._cause,
            usage=usage,
            bill=bill.forwarded,
            bill_saved=bill.saved,
            bill_rounds=bill.rounds,
            stabilised=receipt.stabilised if receipt is not None else (),
            prefix=rewrites.compared(receipt, self._forwarded, usage) if rewrites is not None else None,
            ms=timings,
            **(rewritten(receipt) if receipt is not None else _UNTOUCHED),
        )
        house.counters(event)
        house.sink(event)
