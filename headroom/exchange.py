"""One request and its answer: the only orchestration.

It is the sink of both sides. Whatever is not to be rewritten is passed on in the very call that brought it; a request
that may be rewritten is held, handed to the shrinker in a task, and sent on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from headroom import conversation
from headroom.answering import BROKEN, NOBODY, Answerer, CallerInfo
from headroom.betas import StickyTokens
from headroom.billing import billed, together
from headroom.error_answers import error_answer
from headroom.events import (
    MarkerOrder,
    MemoryInjection,
    Message,
    Request,
    Retrieved,
    Sink,
    StoreTrouble,
    Timings,
    UnknownItem,
    failure,
    noticed,
)
from headroom.families import model_family, named_model
from headroom.faults import BadCoding, BadResponse, BodyTooLarge, Fault, StoreDown
from headroom.heads import homeward, onward, rewoven
from headroom.learning import Learning
from headroom.lessons import Lessons, query_of
from headroom.looms import LOOMS
from headroom.memory import Scope
from headroom.metrics import Counters
from headroom.offering import Wish
from headroom.plan import Plan, find_route
from headroom.policy import POLICIES, AuthMode, Policy, payer
from headroom.providers import TOKEN_FIELDS, UPSTREAM_ID_FIELDS
from headroom.receipts import Comparison, Forwarded, Receipts
from headroom.remembering import Remembering
from headroom.retrieve import UNREADABLE, BadAsking, asking, missing, pick, share
from headroom.shrink import GoesOn, Receipt, Shrinker
from headroom.tails import Recall
from headroom.usage import JsonListener, Listener, StreamListener, Usage
from headroom.weave import TOOL_NAME, Call, Turn
from headroom.wire.coding import decode, identity
from headroom.wire.downstream import Downstream
from headroom.wire.gate import Watch
from headroom.wire.head import CHUNKED, UNTIL_CLOSE, Fields, RequestHead, ResponseHead
from headroom.wire.phase import Phase, Step, step
from headroom.wire.reader import Data
from headroom.wire.upstream import Dialer, UpstreamLink
from headroom.woven import Woven
from headroom.zones.volatile import Finding

if TYPE_CHECKING:
    from headroom.duplex import Duplex
    from headroom.under_way import Ended
    from headroom.upgrade import Upgrade

UNSENT_LIMIT: Final = 256 * 1024  # bytes kept for an origin that is not connected yet; then the client waits
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_NO_BODY: Final = Listener()
_STREAM: Final = b"text/event-stream"
_JSON: Final = b"application/json"


class House(Protocol):
    """What an exchange needs of the edge that it runs in."""

    @property
    def dialer(self) -> Dialer: ...
    @property
    def shrinker(self) -> Shrinker: ...
    @property
    def sink(self) -> Sink: ...
    @property
    def counters(self) -> Counters: ...
    @property
    def draining(self) -> bool: ...
    @property
    def strips(self) -> bool: ...
    @property
    def body_limit(self) -> int: ...
    @property
    def event_limit(self) -> int: ...
    @property
    def answer_limit(self) -> int: ...
    @property
    def wish(self) -> Wish: ...
    @property
    def answerers(self) -> Mapping[str, Answerer]: ...
    @property
    def receipts(self) -> Receipts: ...
    @property
    def watch(self) -> Watch: ...
    @property
    def silence(self) -> float: ...
    @property
    def socket_idle(self) -> float: ...
    @property
    def sticky_tokens(self) -> StickyTokens | None: ...
    @property
    def remembering(self) -> Remembering | None: ...
    @property
    def learning(self) -> Learning | None: ...
    def began(self, exchange: Exchange) -> None: ...
    def ended(self, exchange: Exchange) -> None: ...


class Exchange:
    """One request and its answer."""

    __slots__ = (
        "_answer_bytes",
        "_auth",
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
        "_found",
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
        "_recalled",
        "_receipt",
        "_request_whole",
        "_search",
        "_sent_at",
        "_sent_body",
        "_status",
        "_task",
        "_tokens",
        "_unsent",
        "_upgrade",
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
        self._listener: Listener = _NO_BODY
        self._receipt: Receipt | None = None
        self._recalled: Recall | None = None
        self._forwarded: Forwarded | None = None
        self._found: tuple[Finding, ...] = ()
        self._search: asyncio.Task[None] | None = None
        self._request_whole = False
        self._dechunk = False
        self._keep = False
        self._status = 0
        self._upstream_id = b""
        self._auth = ""
        self._homeward = b""
        self._sent_body = b""
        self._fields: tuple[tuple[bytes, bytes], ...] = ()
        self._tokens: list[tuple[bytes, bytes, bytes]] = []
        self._woven: Woven | None = None
        self._woven_head: ResponseHead | None = None
        self._usages: list[Usage] = []
        self._duplex: Duplex | None = None
        self._upgrade: Upgrade | None = None
        self._cause = ""
        if plan.socket is not None:
            # Loaded with the first upgrade: its library would make every start a third slower.
            from headroom.upgrade import upgrade  # noqa: PLC0415

            wish = house.wish
            offers = not house.shrinker.observes and (wish.retrieve != "off" or bool(wish.others))
            self._upgrade = upgrade(head.fields, plan, offers=offers)
            self._auth = self._upgrade.auth
            if plan.presses:
                self._recalled = self._recall(self._upgrade.auth, self._upgrade.caller)
            self._fields = self._upgrade.instead
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
        fields, dialect = head.fields, self._plan.dialect
        auth = self._auth = payer(fields, self._plan.api)
        caller = conversation.caller(fields)
        if receipt is None:
            self._recalled = self._recall(auth, caller)
            receipt = await self._shrink(plain, caller, conversation.session(fields, dialect), auth)
        self._receipt = receipt
        self._fields = await self._sticky_fields(fields, receipt)
        changed = receipt.body is not plain
        out = receipt.body if changed else body
        self._out_bytes = len(out)
        self._task = None
        if receipt.ours:
            self._sent_body = out
        coded = changed and not identity(coding)
        self._connect(self._onward(len(out) if changed or head.length == CHUNKED else None, coded) + out)
        self.request_flush()
        self._look_back(receipt, plain, caller)
        # A stream may last long: the body is not kept for it.
        self._receipt = msgspec.structs.replace(receipt, body=b"", forwarded=None, volatile=None, lessons=())
        # What the next request needs is loaded while this one is answered.
        if self._link is not None or self._task is not None:
            self._house.shrinker.warm()

    async def _shrink(
        self, plain: bytes, caller: bytes, session: bytes, auth: AuthMode, goes_on: GoesOn | None = None
    ) -> Receipt:
        """What to send in `plain`'s place: rewritten, else with what was decided before, else as it came."""
        house, dialect = self._house, self._plan.dialect
        wish, recall = self._wish(auth), self._recalled
        policy: Policy | None = POLICIES[auth]
        if goes_on is not None:
            # On a socket what a prompt begins with is not decided.
            wish, recall = wish if goes_on.answers and goes_on.typed else None, recall if goes_on.typed else None
            policy = None
        learn = house.learning is not None and POLICIES[auth].learns
        receipt: Receipt | None = None
        failed = False
        for decide in (True, False):
            try:
                receipt = await house.shrinker.rewrite(
                    plain,
                    dialect,
                    caller,
                    session,
                    decide=decide,
                    wish=wish,
                    recall=recall,
                    policy=policy,
                    learn=learn,
                    goes_on=goes_on,
                    advised_as=lambda span: (auth, self._family(plain, span)),
                )
                break
            except Exception as error:
                # The one broad except: whatever is wrong with us, what was sent before is right, and then the original.
                house.sink(failure(self.id, error))
                failed = True
        if receipt is None:
            receipt = Receipt(plain)
        if failed:
            receipt = msgspec.structs.replace(receipt, note="shrink_failed")
        self._tell(receipt)
        return receipt

    def _tell(self, receipt: Receipt) -> None:
        """Log what is worth telling of a rewritten body."""
        sink = self._house.sink
        if receipt.note == "store_down":
            sink(StoreTrouble(id=self.id, note=self._house.shrinker.ledger.store.kind))
        if receipt.long_after_short:
            sink(MarkerOrder(id=self.id))
        if receipt.unknown_types:
            sink(UnknownItem(id=self.id, types=tuple(sorted(receipt.unknown_types))))
        if receipt.tailed is not None:
            self._tell_memory(receipt.conversation, receipt.tailed.outcome, receipt.tailed.size, receipt.tailed.query)

    def _look_back(self, receipt: Receipt, plain: bytes, caller: bytes) -> None:
        """Look at what has been sent on, which changes nothing of it: for comparing, warning and statistics."""
        if receipt.forwarded is not None:
            self._forwarded = receipt.forwarded()
            if receipt.volatile is not None and self._house.receipts.due(receipt.conversation, self._forwarded):
                self._search = asyncio.get_running_loop().create_task(self._seek(receipt.volatile))
                self._search.add_done_callback(self._check_search)
        if receipt.lessons:
            self._learn(receipt, plain, caller)

    def _compared(self, receipt: Receipt | None, forwarded: Forwarded | None, usage: Usage | None) -> Comparison | None:
        """How what was sent compares with the request before it, once its answer is over; tells what is worth it."""
        if forwarded is None or receipt is None or not receipt.conversation:
            return None
        house = self._house
        noted = house.receipts.note(receipt.conversation, forwarded, usage, self._found)
        for seen in noticed(self.id, noted):
            house.counters(seen)
            house.sink(seen)
        return noted.prefix

    async def _seek(self, volatile: Callable[[], tuple[Finding, ...]]) -> None:
        """Search what has been sent, in a task of its own: a fault in looking must not cost the answer."""
        self._found = volatile()

    def _check_search(self, task: asyncio.Task[None]) -> None:
        self._search = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._house.sink(failure(self.id, error))

    def _wish(self, auth: AuthMode) -> Wish | None:
        """Which tools this caller may be given; None where nothing may be added."""
        policy, wish = POLICIES[auth], self._house.wish
        if not policy.add_tools or not self._plan.woven:
            return None
        # What nobody is known to remember for cannot be asked for either.
        others = wish.others if self._house.remembering is None or self._recalled is not None else ()
        return Wish(wish.retrieve if policy.reversible else "off", others)

    def _recall(self, auth: AuthMode, caller: bytes) -> Recall | None:
        """Whose memories this request is given, if any."""
        remembering = self._house.remembering
        if remembering is None or not POLICIES[auth].add_memories:
            return None
        # A name that cannot be used is still another's than the one that is set for who names nobody.
        recall = None if self._plan.unfit else remembering.recall(self._plan.project, self._plan.user, caller)
        if recall is None:
            self._tell_memory(b"", "no_project")
        return recall

    def _tell_memory(self, conversation_: bytes, decision: str, size: int = 0, query: str = "") -> None:
        named = conversation_.hex()[:16]
        self._house.sink(
            MemoryInjection(id=self.id, conversation=named, decision=decision, bytes_injected=size, query_hash=query)
        )

    def _learn(self, receipt: Receipt, plain: bytes, caller: bytes) -> None:
        """Leave a note for the statistics, now that the request has been sent on: they change nothing of it."""
        learning = self._house.learning
        if learning is not None:
            family = self._family(plain, receipt.span)
            learning.note(Lessons(self._auth, family, caller, receipt.lessons))

    def _family(self, plain: bytes, span: tuple[int, int]) -> str:
        """The family of the model that a body is for, whose items are in `span`."""
        return model_family(named_model(plain, span, find_route(self._method, self._plan.path)[1]))

    async def _sticky_fields(self, fields: Fields, receipt: Receipt) -> tuple[tuple[bytes, bytes], ...]:
        """Fields of feature tokens that go otherwise than they came: with those this conversation had before."""
        sticky = self._house.sticky_tokens
        if sticky is None or not receipt.conversation or not POLICIES[AuthMode(self._auth)].sticky_tokens:
            return ()
        changed: list[tuple[bytes, bytes]] = []
        # Two callers may open alike; what one of them asks for is not for the other.
        owner = receipt.conversation + conversation.caller(fields)
        for name in TOKEN_FIELDS:
            value = fields.get(name)
            if value is None or len(list(fields.places(name))) > 1:
                continue
            try:
                merged = await sticky.of(owner, name, value)
            except StoreDown:
                continue
            self._tokens.append((owner, name, merged))
            if merged is not value:
                changed.append((name, merged))
        return tuple(changed)

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
        sticky = self._house.sticky_tokens
        if sticky is not None and head.status == 200:
            for sent in self._tokens:
                self._house.shrinker.ledger.later(sticky.keep(*sent))
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
            if self._listener is not _NO_BODY:
                self._listener.feed((wire,))
            return
        if not self._dechunk:
            self._send(wire)
        if self._dechunk or self._listener is not _NO_BODY:
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
        if self._listener is not _NO_BODY:
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
        outcome = self._listener.finish() if self._listener is not _NO_BODY else "complete"
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
        assert self._receipt is not None
        return await self.fetch_for(self._receipt.conversation, calls)

    async def fetch_for(self, conversation_: bytes, calls: Sequence[Call]) -> list[str]:
        """See socket_rounds.Host."""
        return [await self._fetch(conversation_, call) for call in calls]

    async def _fetch(self, conversation_: bytes, call: Call) -> str:
        if call.name == TOOL_NAME:
            return await self._original(call)
        answerer = self._house.answerers.get(call.name)
        if answerer is None:
            return NOBODY
        named, plan = self._recalled, self._plan
        scope = named.scope if named is not None else Scope(plan.project, plan.user, "project")
        caller = CallerInfo(project=scope.project, user=scope.user, conversation=conversation_, id=self.id)
        (answer,) = await asyncio.gather(answerer(call, caller), return_exceptions=True)
        if not isinstance(answer, BaseException):
            return answer
        # Whose ever the fault is, the client is in the middle of its answer.
        self._house.sink(failure(self.id, answer))
        return BROKEN

    async def _original(self, call: Call) -> str:
        house = self._house
        try:
            asked = asking(call.arguments)
            original = await house.shrinker.ledger.original(asked.hash)
            told = Retrieved(id=self.id, hash=asked.hash[:8], found=original is not None)
            if original is None:
                house.sink(told)
                return missing(asked.hash, house.shrinker.ledger.ttl)
            try:
                part = pick(original, asked.lines, asked.match)
                query = query_of(asked.lines, asked.match)
                told = msgspec.structs.replace(told, share=share(asked, part, original), query=query)
            finally:
                house.sink(told)
            return part
        except BadAsking as error:
            return str(error)
        except StoreDown:
            return UNREADABLE

    async def keep(self, anchor: bytes, turn: Turn) -> None:
        """See woven.Host."""
        assert self._receipt is not None
        await self.keep_for(self._receipt, anchor, turn)

    async def keep_for(self, receipt: Receipt, anchor: bytes, turn: Turn) -> None:
        """See socket_rounds.Host."""
        try:
            await self._house.shrinker.keep_turn(receipt, anchor, turn)
        except StoreDown:
            self._house.sink(StoreTrouble(id=self.id, note=self._house.shrinker.ledger.store.kind))

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
        if self._listener is not _NO_BODY:
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
        outcome = "complete" if self._listener is _NO_BODY else self._listener.finish()
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
        outcome = "complete" if self._listener is _NO_BODY else self._listener.finish()
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
        if self._upgrade is not None and self._open_socket(head, link):
            return
        self._client.write(head.fields.edited([], self._own_fields(head)))
        link.open_ended()
        self._client.tunnel = self._tunnel
        self._client.resume()
        early = self._client.take_held()
        if early:
            self._tunnel(early)

    # A WebSocket whose messages are known: what Duplex calls.

    def _open_socket(self, head: ResponseHead, link: UpstreamLink) -> bool:
        """Whether what the origin switched to can be read; then it is."""
        from headroom.duplex import Duplex  # noqa: PLC0415
        from headroom.upgrade import accepted  # noqa: PLC0415

        found = accepted(head.fields, rewrites=self._plan.presses)
        if found is None:
            return False
        self._client.write(head.fields.edited(found.instead, self._own_fields(head)))
        self._link = None
        self._house.counters.add("headroom_sockets", 1)
        self._duplex = Duplex(self, self._house, self._client, link, self._plan)
        self._duplex.start(found.packing)
        # What the first message needs is loaded while the client gets ready.
        self._house.shrinker.warm()
        # One that was under way when the process was told to end has not been told.
        if self._house.draining:
            self._duplex.drain()
        return True

    def drain(self) -> None:
        """The process ends: a WebSocket between responses is closed, all else comes to its own end."""
        if self._duplex is not None:
            self._duplex.drain()

    @property
    def offers(self) -> bool:
        """See duplex.Host."""
        wish = None if self._house.shrinker.observes else self._wish(AuthMode(self._auth))
        return wish is not None and (wish.retrieve != "off" or bool(wish.others))

    async def shrunk(self, plain: bytes, goes_on: GoesOn) -> Receipt:
        """See duplex.Host."""
        whose = self._upgrade
        assert whose is not None
        receipt = await self._shrink(plain, whose.caller, whose.session, AuthMode(self._auth), goes_on)
        if receipt.lessons:
            # Not before the message has been sent on.
            asyncio.get_running_loop().call_soon(self._learn, receipt, plain, whose.caller)
        return receipt

    def failed(self, error: BaseException) -> None:
        """See duplex.Host."""
        self._house.sink(failure(self.id, error))

    def answered(self, ended: Ended) -> None:
        """See duplex.Host."""
        house = self._house
        receipt = Receipt(b"") if ended.receipt is None else ended.receipt
        compared = self._compared(receipt, ended.forwarded, ended.usage)
        bill, saved = billed(self._plan.dialect, ended.usage, receipt, ended.carried)
        event = Message(
            id=self.id,
            response=ended.response,
            project=self._plan.project,
            route=self._plan.route,
            api=self._plan.origin.name,
            mode="relay" if ended.receipt is None else "rewrite",
            auth=self._auth,
            outcome=ended.outcome,
            bytes_in=ended.bytes_in,
            bytes_out=ended.bytes_out,
            decided=receipt.decided,
            replayed=receipt.replayed,
            tokens_before=receipt.tokens_before,
            tokens_after=receipt.tokens_after,
            saved_fresh=receipt.decided_saved,
            observed=receipt.observed,
            usage=ended.usage,
            bill=bill,
            bill_saved=saved,
            note=receipt.note,
            slots=receipt.rows,
            prefix=compared,
            ms=ended.ms,
        )
        house.counters(event)
        house.sink(event)

    def socket_over(self, outcome: str, fault: str, cause: str, client: int, origin: int, answer: int) -> None:
        """See duplex.Host."""
        self._body_bytes, self._out_bytes, self._answer_bytes = client, origin, answer
        self._cause = cause
        self._house.counters.add("headroom_sockets", -1)
        self._close(outcome, fault)

    def _tunnel(self, data: bytes) -> None:
        self._body_bytes += len(data)
        self._out_bytes += len(data)
        if self._link is not None:
            self._link.write(data)

    def _hear(self, head: ResponseHead) -> Listener:
        """Who listens beside the relay: nobody, where the answer says nothing about usage."""
        if head.length == 0 or self._plan.route == "other" or head.status >= 400:
            return _NO_BODY
        kind = head.fields.get(b"content-type", b"").partition(b";")[0].rstrip().lower()
        coding = head.fields.get(b"content-encoding")
        coding = None if coding is None or identity(coding) else coding
        if kind == b"text/event-stream":
            return StreamListener(self._plan.dialect, coding, self._house.event_limit)
        if kind == b"application/json" and head.length <= self._house.answer_limit:
            return JsonListener(self._plan.dialect, coding, self._house.answer_limit)
        return _NO_BODY

    def _own_fields(self, head: ResponseHead) -> bytes:
        """What the proxy says in an answer's head: ids, and what it did to the request."""
        ours = self.id.encode("latin-1")
        lines = b"x-headroom-request-id: %b\r\n" % ours
        if b"x-request-id" not in head.fields:
            lines += b"x-request-id: %b\r\n" % ours
        if self._upstream_id:
            lines += b"headroom-upstream-request-id: %b\r\n" % self._upstream_id
        receipt = self._receipt
        if receipt is None:
            return lines
        lines += b"x-headroom-tokens-before: %d\r\nx-headroom-tokens-after: %d\r\nx-headroom-tokens-saved: %d\r\n" % (
            receipt.tokens_before,
            receipt.tokens_after,
            receipt.tokens_before - receipt.tokens_after,
        )
        if receipt.observed:
            lines += b"x-headroom-observed: true\r\n"
        forms = dict.fromkeys((*receipt.stabilised, *(row.form for row in receipt.rows if row.action == "pressed")))
        if forms:
            lines += b"x-headroom-transforms: %b\r\n" % ",".join(forms).encode()
        if receipt.note:
            lines += b"x-headroom-compression-failed: true\r\nx-headroom-note: %b\r\n" % receipt.note.encode()
        return lines

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
        receipt = self._receipt
        usage = together([*self._usages, self._listener.usage])
        bill, saved = billed(self._plan.dialect, usage, receipt)
        timings = Timings(
            round((end - self._begun) * 1000, 3),
            round((self._gather_end - self._begun) * 1000, 3) if receipt is not None else 0.0,
            round(receipt.locate_ms, 3) if receipt is not None else 0.0,
            round(receipt.press_ms, 3) if receipt is not None else 0.0,
            round(receipt.store_ms, 3) if receipt is not None else 0.0,
            round(self._ms_dial, 3),
            round((self._first_byte - self._sent_at) * 1000, 3) if self._first_byte else 0.0,
        )
        compared = self._compared(receipt, self._forwarded, usage)
        event = Request(
            id=self.id,
            upstream_id=self._upstream_id.decode("latin-1"),
            method=self._method.decode("latin-1"),
            path=self._plan.path,
            project=self._plan.project,
            unfit=self._plan.unfit,
            route=self._plan.route,
            api=self._plan.origin.name,
            mode=self._plan.mode,
            auth=self._auth,
            status=self._status,
            outcome=outcome,
            bytes_in=self._body_bytes,
            bytes_out=self._out_bytes,
            answer_bytes=self._answer_bytes,
            fault=fault,
            cause=self._cause,
            usage=usage,
            bill=bill,
            bill_saved=saved,
            ms=timings,
            decided=receipt.decided if receipt is not None else 0,
            replayed=receipt.replayed if receipt is not None else 0,
            tokens_before=receipt.tokens_before if receipt is not None else 0,
            tokens_after=receipt.tokens_after if receipt is not None else 0,
            saved_fresh=receipt.decided_saved if receipt is not None else 0,
            observed=receipt is not None and receipt.observed,
            note=receipt.note if receipt is not None else "",
            slots=receipt.rows if receipt is not None else (),
            stabilised=receipt.stabilised if receipt is not None else (),
            prefix=compared,
        )
        house.counters(event)
        house.sink(event)
