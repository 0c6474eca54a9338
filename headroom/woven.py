"""Running the rounds of a woven answer: answering what the model calls, and asking the provider on.

Beside the relay of `exchange`, and only for requests that offered tools of the proxy's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from headroom.answering import LIMIT_REACHED
from headroom.faults import BadCoding, BadResponse, Fault, UpstreamCut
from headroom.weave import Call, Loom, PlainWeaver, Turn, Weaver
from headroom.wire.coding import Unpacker, decode, identity, unpacker
from headroom.wire.head import ResponseHead
from headroom.wire.reader import Data
from headroom.wire.sse import EventTooBig, SseSplitter

ROUNDS: Final = 3  # rounds in which calls are answered; then once more that they are not, and then it is over
_WITHOUT_END: Final = "the model calls the proxy's tools without end"
ERROR_LIMIT: Final = 64 * 1024  # bytes of a provider's error answer that are passed on


class Host(Protocol):
    """What weaving needs of its exchange."""

    async def fetch(self, calls: Sequence[Call]) -> list[str]:
        """A result for each call; never raises for what is asked."""

    async def keep(self, anchor: bytes, turn: Turn) -> None:
        """Keep a turn durably; where that fails it is told, and nothing else happens."""

    async def further(self, body: bytes) -> None:
        """Send one more request like the first with another body; its answer goes to the weaving. Raises Fault."""

    def begin_round(self, head: ResponseHead) -> None:
        """A further round's answer has begun."""

    def heard(self, payload: bytes) -> None:
        """A piece of a round's answer as it came, for those who count."""

    def deliver(self, payload: bytes) -> None:
        """Give the client a piece of the answer."""

    def deliver_whole(self, payload: bytes, status: int) -> None:
        """Give the client the whole answer, which was plain."""

    def pass_on(self, payload: bytes) -> None:
        """The answer, which was plain, is too large to be looked at: this is how it begins, the rest is delivered."""

    def start(self) -> None:
        """Run `Woven.go_on` in a task of the exchange."""

    def complete(self, *, failed: bool = False) -> None:
        """The answer has come to its end; `failed`: with an error in it that the client can see."""

    def broken(self, fault: Fault) -> None:
        """The answer will never be complete."""


class Woven:
    """One woven answer: takes the payload of each round, gives the client its own."""

    def __init__(
        self,
        host: Host,
        loom: Loom,
        head: ResponseHead,
        body: bytes,
        *,
        ours: frozenset[str],
        plain: bool,
        limit: int,
        event_limit: int,
    ) -> None:
        """Calls of `ours` are answered. `body` was sent for the first round, whose answer begins with `head`.

        A `plain` answer over `limit` bytes and a stream with an event over `event_limit` are passed on as they come.
        """
        self._host = host
        self._body = body
        self._limit = limit
        self._event_limit = event_limit
        self._weaver: Weaver | None = None if plain else loom.weaver(ours)
        self._plain: PlainWeaver | None = loom.plain_weaver(ours) if plain else None
        self._document: list[bytes] = []
        self._size = 0
        self._rounds = 0
        self._ending = b""
        self._deaf = False
        self._holds = False
        self._failed = 0
        self._listen(head)

    def _listen(self, head: ResponseHead) -> None:
        coding = head.fields.get(b"content-encoding")
        self._coding = None if coding is None or identity(coding) else coding
        self._unpack: Unpacker | None = unpacker(self._coding, self._event_limit) if self._coding else None
        self._splitter = SseSplitter(self._event_limit)

    @property
    def told(self) -> bool:
        """Whether the client has had the ending of a streamed answer; as far as it is known of one that goes unread."""
        return self._deaf or (self._weaver is not None and self._weaver.done and not self._ending)

    # A round's answer.

    def data(self, pieces: Iterable[bytes]) -> None:
        """Take payload of the current round."""
        for piece in pieces:
            self._host.heard(piece)
            if self._deaf and self._weaver is None:
                self._host.deliver(piece)
            elif self._weaver is None or self._failed:
                self._size += len(piece)
                if self._failed and self._size > ERROR_LIMIT:
                    continue
                self._document.append(piece)
                if not self._failed and not self._rounds and self._size > self._limit:
                    # Too large to be looked at: it goes as it comes, still coded if it is.
                    self._plain, self._deaf = None, True
                    self._host.pass_on(b"".join(self._document))
                    self._document.clear()
            else:
                self._events(piece)

    def _events(self, piece: bytes) -> None:
        weaver = self._weaver
        assert weaver is not None
        out: list[bytes] = []
        fault: Fault | None = None
        try:
            plain = piece if self._unpack is None else self._unpack.feed(piece)
            if self._deaf:
                out.append(plain)
            else:
                self._weave(weaver, plain, out)
        except EventTooBig:
            # Too large to be looked at: from here on the answer goes as it comes, which it can only while it is whole.
            if self._rounds or self._holds:
                fault = UpstreamCut("an event is too large to be woven in")
            self._deaf = True
            out.append(self._splitter.rest)
        except BadCoding as error:
            fault = error
        if fault is not None:
            self._host.broken(fault)
            return
        payload = b"".join(out) if len(out) != 1 else out[0]
        if payload:
            self._host.deliver(payload)

    def _weave(self, weaver: Weaver, plain: bytes, out: list[bytes]) -> None:
        """Add to `out` what the client gets of the events that `plain` completes. Raises EventTooBig."""
        for raw in self._splitter.feed(plain):
            woven = weaver.feed(raw)
            self._holds = self._holds or not woven
            if self._ending or (weaver.done and weaver.turn() is not None):
                # The client must not know that the turn is over before what it never saw is kept.
                self._ending += woven
            else:
                out.append(woven)

    def ended(self) -> None:
        """The current round's answer is complete."""
        weaver = self._weaver
        if weaver is None and self._deaf:
            self._host.complete()
            return
        if weaver is None or self._failed or weaver.calls or self._ending:
            self._host.start()
            return
        if not weaver.done and (self._rounds or self._holds):
            # What stops without its ending while something of it is held back is a cut, whatever its framing says.
            self._host.broken(UpstreamCut("the answer stopped before its end"))
            return
        rest = b"" if self._deaf else self._splitter.rest
        if rest:
            self._host.deliver(rest)
        self._host.complete()

    async def go_on(self) -> None:
        """Answer what was asked for, or end. Raises nothing but what is a fault of ours."""
        try:
            if self._weaver is not None:
                await self._go_on_streaming(self._weaver)
            elif self._plain is not None:
                await self._go_on_plain(self._plain)
        except Fault as fault:
            if self._weaver is not None:
                self._host.deliver(self._weaver.fail(fault.status, b""))
                self._host.complete(failed=True)
            else:
                self._host.broken(fault)

    async def _go_on_streaming(self, weaver: Weaver) -> None:
        host = self._host
        if self._failed:
            host.deliver(weaver.fail(self._failed, self._whole()))
            host.complete(failed=True)
            return
        ending = self._ending
        if weaver.calls:
            mixed = weaver.mixed
            ending = weaver.settle(await self._results(weaver.calls))
            if not mixed:
                if self._rounds > ROUNDS + 1:
                    raise BadResponse(_WITHOUT_END)
                if ending:
                    host.deliver(ending)
                await host.further(weaver.continuation(self._body))
                return
        turn = weaver.turn()
        if turn is not None:
            await host.keep(*turn)
        host.deliver(ending)
        host.complete()

    async def _go_on_plain(self, weaver: PlainWeaver) -> None:
        host = self._host
        document = self._whole()
        if self._failed:
            host.deliver_whole(document, self._failed)
            return
        if self._size > self._limit:
            host.deliver_whole(document, 0)
            return
        weaver.feed(document)
        if weaver.calls:
            mixed = weaver.mixed
            weaver.settle(await self._results(weaver.calls))
            if not mixed:
                if self._rounds > ROUNDS + 1:
                    raise BadResponse(_WITHOUT_END)
                await host.further(weaver.continuation(self._body))
                return
        turn = weaver.turn()
        if turn is not None:
            await host.keep(*turn)
        host.deliver_whole(weaver.finish(), 0)

    async def _results(self, calls: Sequence[Call]) -> list[str]:
        self._rounds += 1
        if self._rounds > ROUNDS:
            return [LIMIT_REACHED] * len(calls)
        return await self._host.fetch(calls)

    def _whole(self) -> bytes:
        document = b"".join(self._document)
        self._document.clear()
        if self._coding is None:
            return document
        try:
            return decode(document, self._coding, self._limit)
        except BadCoding:
            return document if self._weaver is None else b""

    # Further rounds: see upstream.AnswerSink.

    def answer_head(self, head: ResponseHead) -> None:
        """See AnswerSink."""
        if head.interim:
            return
        self._size = 0
        self._listen(head)
        kind = head.fields.get(b"content-type", b"").partition(b";")[0].rstrip().lower()
        expected = b"application/json" if self._weaver is None else b"text/event-stream"
        if head.status != 200 or kind != expected:
            self._failed = head.status if head.status >= 400 else 502
        self._host.begin_round(head)

    def answer_data(self, data: Data) -> None:
        """See AnswerSink."""
        wire, spans = data.wire, data.spans
        self.data((wire,) if spans is None else [wire[start:end] for start, end in spans])

    def answer_chunk(self, wire: bytes, start: int) -> None:
        """See AnswerSink."""
        self.data((wire[start:-2],))

    def answer_flush(self) -> None:
        """See AnswerSink."""

    def answer_end(self) -> None:
        """See AnswerSink."""
        self.ended()

    def answer_broken(self, fault: Fault) -> None:
        """See AnswerSink."""
        self._host.broken(fault)

    def origin_writable(self, writable: bool) -> None:
        """See AnswerSink."""
