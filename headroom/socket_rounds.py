"""One response on a socket, woven of one or more of the provider's: what `woven` is for answers over HTTP.

The weaver is the same; a message stands for the event that would bring it in a stream. The provider remembers its
responses, so a round goes on from the one before it, and holds nothing but what the proxy answers. What the client
never saw is kept besides, for requests that hold the whole conversation. No I/O but by the host.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from headroom import spoken
from headroom.answering import LIMIT_REACHED
from headroom.items import LOOM, remembered_weaver
from headroom.offering import further_places
from headroom.shrunk import Receipt
from headroom.socket_messages import Asking
from headroom.weave import Call, Turn
from headroom.wire.sse import parse_event
from headroom.woven import ROUNDS
from headroom.zones.places import Span, member, members, on_one_line, replaced
from headroom.zones.splice import to_token

ITEMS: Final = 256  # items of one response of which is remembered what they are known by
_LIST: Final = "input"
_FOLLOWS: Final = "previous_response_id"
_NAMED: Final = re.compile(rb'\{"type":"([\w.]+)"')
_ITEM: Final = b"response.output_item.done"


class Host(Protocol):
    """Who answers what the model calls, and keeps what the client never saw."""

    async def fetch_for(self, conversation_: bytes, calls: Sequence[Call]) -> list[str]:
        """A result for each call; never raises for what is asked."""

    async def keep_for(self, receipt: Receipt, anchor: bytes, turn: Turn) -> None:
        """Keep a turn that answers the request of `receipt`; where that fails it is told, and nothing else happens."""


class Step(msgspec.Struct, frozen=True, gc=False):
    """What is next: messages for the client, and one for the provider, where there is to be another round."""

    texts: Sequence[bytes]
    further: bytes = b""


class SocketRounds:
    """The rounds of one response. `text` is the message that was sent for the first one, the request in it `asking`,
    and `receipt` tells it as if it held the whole conversation (see UnderWay.whole)."""

    def __init__(self, text: bytes, asking: Asking, receipt: Receipt, *, packed: bool) -> None:
        self._text = text
        self._asking = asking
        self.receipt = receipt
        self.packed = packed
        self._weaver = remembered_weaver(receipt.ours)
        self._shown: list[bytes] = []
        self._ending: list[bytes] | None = None
        self._rounds = 0
        self._owed: list[bytes] = []
        self.response = ""
        """The provider's response at hand, or the last one."""
        self.listens = False
        """Whether a round is under way: what comes is about it."""

    def begin(self, response: str) -> None:
        """A round has begun."""
        self.listens = True
        self.response = response

    @property
    def whole(self) -> bool:
        """Whether the client had all so far as it came, so that the rest may go on like that."""
        return not self._weaver.touched and not self._weaver.calls

    def take(self, text: bytes) -> list[bytes] | None:
        """The messages that the client gets in place of one; None for the message as it came."""
        event = _event(text)
        out = self._weaver.feed(event)
        if out is event:
            self._note(text)
            return None
        texts = _texts(out)
        for one in texts:
            self._note(one)
        return texts

    def end(self, ending: list[bytes]) -> bool:
        """The round at hand is over, and its last message would be `ending` for the client. Returns whether that waits
        for `go_on`."""
        self.listens = False
        if self.whole:
            return False
        self._ending = ending
        return True

    async def go_on(self, host: Host) -> Step:
        """Answer what was asked for, or end. Raises nothing but what is a fault of ours."""
        weaver = self._weaver
        ending, self._ending = self._ending or [], None
        if weaver.calls:
            calls, mixed = list(weaver.calls), weaver.mixed
            results = await self._results(calls, host)
            answers = [spoken.result(call.id, text) for call, text in zip(calls, results, strict=True)]
            ending = [*ending, *_texts(weaver.settle(results))]
            if not mixed:
                if self._rounds > ROUNDS + 1:
                    return self._failed()
                try:
                    return Step(ending, continued(self._text, self._asking, self.response, answers))
                except ValueError:
                    return self._failed()
            self._owed = answers
        else:
            # An answer that was broken off: what it calls will be missed when the client goes on from it.
            self._owed = [spoken.result(call.id, LIMIT_REACHED) for call in weaver.unanswered]
        turn = weaver.turn()
        if turn is not None and self.receipt.opened:
            await host.keep_for(self.receipt, *turn)
        return Step(ending)

    @property
    def owed(self) -> Sequence[bytes]:
        """What has to be said to the provider with the client's next request that goes on from this."""
        return self._owed

    @property
    def places(self) -> list[bytes]:
        """The keys of the places that the client has seen of it, see Offering.places."""
        receipt = self.receipt
        if not receipt.opened:
            return []
        anchors = [anchor for anchor in LOOM.anchors(self._shown) if anchor]
        return further_places(receipt.turns, receipt.places, receipt.last_call, anchors)

    async def _results(self, calls: Sequence[Call], host: Host) -> list[str]:
        self._rounds += 1
        if self._rounds > ROUNDS:
            return [LIMIT_REACHED] * len(calls)
        return await host.fetch_for(self.receipt.conversation, calls)

    def _failed(self) -> Step:
        # On a socket an error is one by its status.
        return Step([text.replace(b"{", b'{"status":502,', 1) for text in _texts(self._weaver.fail(502, b""))])

    def _note(self, text: bytes) -> None:
        if text.find(_ITEM, 0, 64) >= 0 and len(self._shown) < ITEMS:
            self._shown.append(text[slice(*member(text, "item"))])


def continued(text: bytes, asking: Asking, response: str, answers: Sequence[bytes]) -> bytes:
    """The message that goes on from `response` with nothing but `answers`, else like `text`. Raises ValueError where
    that cannot be read."""
    given = {_LIST: b"[%b]" % b",".join(answers), _FOLLOWS: to_token(response)}
    return _within(text, asking, given)


def preceded(body: bytes, answers: Sequence[bytes]) -> bytes:
    """A request with `answers` before the items that it holds. Raises ValueError where it cannot be read."""
    start, end = members(body).get(_LIST, (0, 0))
    given = body[start:end].strip()
    more = list(answers)
    if given[:1] == b'"':
        more.append(b'{"role":"user","content":%b}' % given)
    elif given[:1] == b"[":
        rest = given[1:-1].strip()
        more += [rest] if rest else []
    elif given:
        raise ValueError("its items are no list")
    return _within(body, Asking(0, len(body)), {_LIST: b"[%b]" % b",".join(more)})


def _within(text: bytes, asking: Asking, given: dict[str, bytes]) -> bytes:
    """`text` with other values in its request, or more of them."""
    body = text[asking.start : asking.end]
    spans = members(body)
    if not spans:
        raise ValueError("a request that cannot be read")
    begin = body.index(b"{") + 1
    edits: list[tuple[Span, bytes]] = [(spans[key], value) for key, value in given.items() if key in spans]
    new = b"".join(b"%b:%b," % (to_token(key), value) for key, value in given.items() if key not in spans)
    if new:
        edits.append(((begin, begin), new))
    return b"".join((text[: asking.start], replaced(body, sorted(edits)), text[asking.end :]))


def _event(text: bytes) -> bytes:
    """A message as the event that would bring it in a stream."""
    named = _NAMED.match(text)
    if named is None or b"\n" in text or b"\r" in text:
        return b"data: %b\n\n" % on_one_line(text)
    return b"event: %b\ndata: %b\n\n" % (named[1], text)


def _texts(events: bytes) -> list[bytes]:
    """The messages of events."""
    found = (parse_event(one) for one in events.split(b"\n\n") if one)
    return [event.data for event in found if event is not None]
