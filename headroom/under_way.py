"""The responses of one socket: which are under way, and what each leaves to those that go on from it. Pure but for the
time that each takes.

A request that goes on from an earlier response holds only what is new: its conversation, the tools that its results
are of, and what was saved before are known from what was said on the same socket.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from headroom.events import Timings, timed
from headroom.offering import Given
from headroom.receipts import Forwarded
from headroom.shrink import Receipt
from headroom.socket_messages import Told
from headroom.usage import Usage

RESPONSES: Final = 256  # responses whose conversation is remembered, and that are awaited at once
CALLS: Final = 1024  # tool calls whose tool is remembered
PLACES: Final = 4096  # places of a conversation of which is remembered that they were seen
SAID: Final = 1024  # texts of the user of which is remembered that they were said


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

    @property
    def ours(self) -> bool:
        """Whether its request offered tools of the proxy's."""
        return self.receipt is not None and bool(self.receipt.ours)


class Chain(msgspec.Struct, frozen=True, gc=False):
    """What a response on a socket leaves to those that go on from it.

    - The conversation's name (empty before its opening), and the tools it was `given` before it had its name (see
      GoesOn).
    - How many tokens were saved in it so far, what the user said in it, and whether it goes on from a response that was
      not seen here.
    - Of the request that would hold all of it, as far as that is known: how many `items` (at least), the keys of its
      `places`, and the last call that has a result in it (see Receipt).
    - `owed` are results that the provider misses.
    """

    conversation: bytes = b""
    saved: int = 0
    strange: bool = False
    said: tuple[bytes, ...] = ()
    given: Given | None = None
    items: int = 0
    places: tuple[bytes, ...] = ()
    last_call: bytes = b""
    owed: tuple[bytes, ...] = ()


_ANEW: Final = Chain()
_STRANGE: Final = Chain(strange=True)


class _Awaited(msgspec.Struct, gc=False):
    """A request that was sent on. `begun` is when it came, in seconds."""

    begun: float
    follows: str
    size_in: int
    size_out: int
    receipt: Receipt | None
    chain: Chain
    carried: int
    forwarded: Forwarded | None = None
    response: str = ""
    first: float = 0.0


class UnderWay:
    """The responses of one socket. True while any is awaited."""

    __slots__ = ("_awaited", "_called", "_chains", "_newest")

    def __init__(self) -> None:
        self._awaited: deque[_Awaited] = deque()
        self._chains: OrderedDict[str, Chain] = OrderedDict()
        self._newest = _ANEW
        self._called: OrderedDict[str, str] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._awaited)

    @property
    def called(self) -> Mapping[str, str]:
        """The names of tools that were called on this socket, by call id."""
        return self._called

    def chain(self, follows: str) -> Chain:
        """What a request is known by that goes on from response `follows`, or from none."""
        return self._chains.get(follows, _STRANGE) if follows else _ANEW

    def asked(self, begun: float, follows: str, size: int, receipt: Receipt) -> None:
        """A request of `size` bytes, which came at `begun`, is sent on as `receipt` says."""
        chain = self.chain(follows)
        saved = 0 if receipt.observed else receipt.tokens_before - receipt.tokens_after
        whole = self.whole(follows, receipt)
        onward = Chain(
            receipt.conversation if receipt.opened else b"",
            chain.saved + saved,
            chain.strange,
            (*chain.said, *receipt.said)[-SAID:],
            None if receipt.opened else receipt.given or chain.given,
            whole.items,
            whole.places,
            whole.last_call,
        )
        forwarded = receipt.forwarded() if receipt.forwarded is not None and not follows else None
        told = msgspec.structs.replace(receipt, body=b"", forwarded=None, volatile=None, lessons=())
        self._await(_Awaited(begun, follows, size, len(receipt.body), told, onward, chain.saved, forwarded))

    def whole(self, follows: str, receipt: Receipt) -> Receipt:
        """The receipt of a request that goes on from `follows`, as if it held all that it goes on from."""
        chain = self.chain(follows)
        places = (*chain.places, *(place for place in receipt.places if place))
        return msgspec.structs.replace(
            receipt,
            body=b"",
            forwarded=None,
            volatile=None,
            lessons=(),
            items=chain.items + receipt.items,
            places=places[-PLACES:],
            last_call=receipt.last_call or chain.last_call,
        )

    def is_ours(self, response: str) -> bool:
        """Whether a response under way may call tools of the proxy's."""
        asked = next((one.receipt for one in self._awaited if one.response == response), None)
        return asked is not None and bool(asked.ours)

    def grew(self, response: str, places: Sequence[bytes], owed: Sequence[bytes]) -> None:
        """A response is over; the client has seen `places` in it, and the provider misses what is `owed`."""
        chain = self._chains.get(response)
        if chain is not None and (places or owed):
            places = (*chain.places, *places)[-PLACES:]
            self._chains[response] = msgspec.structs.replace(chain, places=tuple(places), owed=tuple(owed))

    def hear(self, told: Told) -> Ended | None:
        """Take what the origin said, and return the response that it ended, if it did."""
        if told.kind == "called":
            self._called[told.call[0]] = told.call[1]
            if len(self._called) > CALLS:
                self._called.popitem(last=False)
        elif told.kind == "begun":
            awaited = self._asked_for(told.follows)
            if awaited is None:
                # Of a request that was not looked at, or one with which the origin goes on by itself.
                chain = self._chains.get(told.follows, self._newest)
                awaited = _Awaited(time.perf_counter(), told.follows, 0, 0, None, chain, chain.saved)
                self._await(awaited)
            self._name(awaited, told.response)
        elif told.kind == "ended":
            return self._end(told)
        return None

    def abandon(self) -> list[Ended]:
        """The socket is over, and so is what was awaited on it."""
        awaited = list(self._awaited)
        self._awaited.clear()
        return [_ended(one, "aborted", None) for one in awaited]

    def _await(self, awaited: _Awaited) -> None:
        self._awaited.append(awaited)
        if len(self._awaited) > RESPONSES:
            self._awaited.popleft()

    def _asked_for(self, follows: str) -> _Awaited | None:
        """The request that a response is the answer to: the first unanswered one that goes on from the same."""
        unnamed = [awaited for awaited in self._awaited if not awaited.response]
        same = (awaited for awaited in unnamed if awaited.follows == follows)
        return next(same, unnamed[0] if unnamed else None)

    def _end(self, told: Told) -> Ended | None:
        """A response, or what was to become one, is over."""
        named = (awaited for awaited in self._awaited if awaited.response == told.response)
        awaited = next(named, self._awaited[0] if self._awaited else None)
        if awaited is None:
            return None
        if told.response and not awaited.response:
            self._name(awaited, told.response)
        self._awaited.remove(awaited)
        return _ended(awaited, told.outcome, told.usage)

    def _name(self, awaited: _Awaited, response: str) -> None:
        awaited.response = response
        awaited.first = time.perf_counter()
        self._chains[response] = self._newest = awaited.chain
        if len(self._chains) > RESPONSES:
            self._chains.popitem(last=False)


def _ended(awaited: _Awaited, outcome: str, usage: Usage | None) -> Ended:
    total = (time.perf_counter() - awaited.begun) * 1000
    first_byte = (awaited.first - awaited.begun) * 1000 if awaited.first else 0.0
    return Ended(
        awaited.response,
        outcome,
        usage,
        awaited.receipt,
        awaited.carried,
        awaited.forwarded,
        awaited.size_in,
        awaited.size_out,
        timed(total, awaited.receipt, first_byte=first_byte),
    )
