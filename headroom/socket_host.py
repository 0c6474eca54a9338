"""An exchange whose protocol was switched, as the socket sees it that it has become."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from headroom import duplex, fetching, rewriting
from headroom.billing import billed, own_round
from headroom.events import Message, SocketCause, failure, rewritten
from headroom.plan import Plan
from headroom.rewriting import Rewriting
from headroom.shrunk import GoesOn, Receipt
from headroom.under_way import Ended
from headroom.weave import Call, Turn


class House(rewriting.House, fetching.House, duplex.House, Protocol):
    """What a socket and what is done to its messages need of the edge."""


SocketOver: TypeAlias = Callable[[str, str, SocketCause, int, int, int], None]
"""Takes how a socket ended, the fault, the cause, and the bytes from the client, to the origin, and from it."""


class SocketHost:
    """See duplex.Host. `session` is what the upgrade said of the conversations on this socket."""

    def __init__(
        self, house: House, plan: Plan, identity_: str, rewrites: Rewriting, session: bytes, over: SocketOver
    ) -> None:
        self.id = identity_
        self._house = house
        self._plan = plan
        self._rewriting = rewrites
        self._session = session
        self._over = over

    @property
    def offers(self) -> bool:
        """See duplex.Host."""
        return self._rewriting.offers

    async def shrunk(self, plain: bytes, goes_on: GoesOn) -> Receipt:
        """See duplex.Host."""
        receipt = await self._rewriting.shrink(plain, self._session, goes_on=goes_on)
        self._rewriting.learn_soon(receipt, plain)
        return receipt

    async def fetch_for(self, conversation: bytes, calls: Sequence[Call]) -> list[str]:
        """See socket_rounds.Host."""
        return await fetching.fetch(self._house, calls, self._rewriting.whose(conversation))

    async def keep_for(self, receipt: Receipt, anchor: bytes, turn: Turn) -> None:
        """See socket_rounds.Host."""
        await fetching.keep(self._house, self.id, receipt, anchor, turn)

    def failed(self, error: BaseException) -> None:
        """See duplex.Host."""
        self._house.sink(failure(self.id, error))

    def answered(self, ended: Ended) -> None:
        """See duplex.Host."""
        house, plan = self._house, self._plan
        receipt = Receipt(b"") if ended.receipt is None else ended.receipt
        compared = self._rewriting.compared(receipt, ended.forwarded, ended.usage)
        if ended.receipt is not None and not ended.bytes_in:
            bill = own_round(plan.dialect, ended.usage)  # the client sent nothing for it
        else:
            bill = billed(plan.dialect, [ended.usage], receipt, ended.carried)
        event = Message(
            id=self.id,
            response=ended.response,
            project=plan.project,
            route=plan.route,
            api=plan.origin.name,
            mode="relay" if ended.receipt is None else "rewrite",
            auth=self._rewriting.auth,
            outcome=ended.outcome,
            bytes_in=ended.bytes_in,
            bytes_out=ended.bytes_out,
            usage=ended.usage,
            bill=bill.forwarded,
            bill_saved=bill.saved,
            bill_rounds=bill.rounds,
            prefix=compared,
            ms=ended.ms,
            **rewritten(receipt),
        )
        house.counters(event)
        house.sink(event)

    def socket_over(self, outcome: str, fault: str, cause: SocketCause, client: int, origin: int, answer: int) -> None:
        """See duplex.Host."""
        self._house.counters.add("headroom_sockets", -1)
        self._over(outcome, fault, cause, client, origin, answer)
