"""What one caller's bodies become: those of one request, or of all messages of one socket.

Here it is decided what this caller may be given, what is told of what was done, and what is looked at once it has been
sent on. How bytes come and go is not known here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec

from headroom.answering import CallerInfo
from headroom.betas import Owner, StickyTokens, owner_by_prompt, owner_in_session
from headroom.conversation import session as named_session
from headroom.events import MarkerOrder, MemoryInjection, Sink, StoreTrouble, UnknownItem, failure, noticed
from headroom.families import model_family, named_model
from headroom.faults import StoreDown
from headroom.learning import Learning
from headroom.lessons import Lessons
from headroom.memory import Scope
from headroom.metrics import Counters
from headroom.offering import Wish
from headroom.plan import Plan, find_route
from headroom.policy import POLICIES, AuthMode, Policy
from headroom.providers import TOKEN_FIELDS
from headroom.receipts import Comparison, Forwarded, Receipts
from headroom.remembering import Remembering
from headroom.shrink import Shrinker
from headroom.shrunk import GoesOn, Receipt
from headroom.tails import Recall
from headroom.usage import Usage
from headroom.wire.head import Fields
from headroom.zones.volatile import Finding


class House(Protocol):
    """What rewriting needs of the edge that it is done in."""

    @property
    def shrinker(self) -> Shrinker: ...
    @property
    def sink(self) -> Sink: ...
    @property
    def counters(self) -> Counters: ...
    @property
    def wish(self) -> Wish: ...
    @property
    def receipts(self) -> Receipts: ...
    @property
    def sticky_tokens(self) -> StickyTokens | None: ...
    @property
    def remembering(self) -> Remembering | None: ...
    @property
    def learning(self) -> Learning | None: ...


class Rewriting:
    """One caller's bodies. `caller` is the digest of their credential, `auth` how they pay.

    `fields_instead` are the fields of feature tokens that go otherwise than they came, once a request was shrunk.
    """

    __slots__ = (
        "_forwarded",
        "_found",
        "_house",
        "_id",
        "_method",
        "_plan",
        "_recalled",
        "_search",
        "_tokens",
        "auth",
        "caller",
        "fields_instead",
    )

    def __init__(self, house: House, plan: Plan, identity_: str, method: bytes, auth: AuthMode, caller: bytes) -> None:
        self.auth = auth
        self.caller = caller
        self.fields_instead: tuple[tuple[bytes, bytes], ...] = ()
        self._house = house
        self._plan = plan
        self._id = identity_
        self._method = method
        self._recalled: Recall | None = None
        self._forwarded: Forwarded | None = None
        self._found: tuple[Finding, ...] = ()
        self._search: asyncio.Task[None] | None = None
        self._tokens: list[tuple[Owner, bytes, bytes]] = []

    def recall(self) -> None:
        """Find out whose memories these bodies are given, if any; before the first of them."""
        remembering = self._house.remembering
        if remembering is None or not POLICIES[self.auth].add_memories:
            return
        plan = self._plan
        # A name that cannot be used is still another's than the one that is set for who names nobody.
        self._recalled = None if plan.unfit else remembering.recall(plan.project, plan.user, self.caller)
        if self._recalled is None:
            self._tell_memory(b"", "no_project")

    @property
    def offers(self) -> bool:
        """Whether this caller may be given tools of the proxy's."""
        wish = None if self._house.shrinker.observes else self._wish()
        return wish is not None and wish.offers

    def whose(self, conversation: bytes) -> CallerInfo:
        """For whom a call in `conversation` is answered."""
        named, plan = self._recalled, self._plan
        scope = named.scope if named is not None else Scope(plan.project, plan.user, "project")
        return CallerInfo(project=scope.project, user=scope.user, conversation=conversation, id=self._id)

    async def shrink(
        self, plain: bytes, session: bytes, fields: Fields | None = None, goes_on: GoesOn | None = None
    ) -> Receipt:
        """What to send in `plain`'s place: rewritten, else with what was decided before, else as it came.

        `fields` are those of a request's head, `goes_on` is there for what is sent on a socket. Never raises.
        """
        house = self._house
        policies = POLICIES[self.auth]
        wish, recall = self._wish(), self._recalled
        policy: Policy | None = policies
        if goes_on is not None:
            # On a socket what a prompt begins with is not decided.
            wish, recall = wish if goes_on.answers and goes_on.typed else None, recall if goes_on.typed else None
            policy = None
        receipt: Receipt | None = None
        failed = False
        for decide in (True, False):
            try:
                receipt = await house.shrinker.rewrite(
                    plain,
                    self._plan.dialect,
                    self.caller,
                    session,
                    decide=decide,
                    wish=wish,
                    recall=recall,
                    policy=policy,
                    learn=house.learning is not None and policies.learns,
                    goes_on=goes_on,
                    advised_as=lambda span: (self.auth, self._family(plain, span)),
                )
                if fields is not None:
                    self.fields_instead = await self._sticky_fields(fields, receipt, plain)
                break
            except Exception as error:
                # The one broad except: whatever is wrong with us, what was sent before is right, and then the original.
                house.sink(failure(self._id, error))
                failed = True
        if receipt is None:
            receipt = Receipt(plain)
        if failed:
            receipt = msgspec.structs.replace(receipt, note="shrink_failed")
        self._tell(receipt)
        return receipt

    async def _sticky_fields(self, fields: Fields, receipt: Receipt, plain: bytes) -> tuple[tuple[bytes, bytes], ...]:
        """Feature tokens as they go: with those this conversation had before."""
        sticky = self._house.sticky_tokens
        if sticky is None or not receipt.conversation or not POLICIES[self.auth].sticky_tokens:
            return ()
        self._tokens.clear()
        changed: list[tuple[bytes, bytes]] = []
        owner: Owner | None = None
        for name in TOKEN_FIELDS:
            value = fields.get(name)
            if value is None or len(list(fields.places(name))) > 1:
                continue
            owner = owner or self._owner(fields, receipt, plain)
            try:
                merged = await sticky.of(owner, name, value)
            except StoreDown:
                continue
            self._tokens.append((owner, name, merged))
            if merged is not value:
                changed.append((name, merged))
        return tuple(changed)

    def _owner(self, fields: Fields, receipt: Receipt, plain: bytes) -> Owner:
        """Whose feature tokens a request names."""
        model = named_model(plain, receipt.span, find_route(self._method, self._plan.path)[1])
        if named_session(fields, self._plan.dialect) or receipt.forwarded is None:
            return owner_in_session(receipt.conversation, self.caller, model)
        sent = self._forwarded = receipt.forwarded()
        head = (sent.head.system, sent.head.tools)
        return owner_by_prompt(receipt.conversation, self.caller, model, head, sent.came, receipt.answers)

    def accepted(self) -> None:
        """The provider has taken the request: the feature tokens that went with it are kept."""
        sticky = self._house.sticky_tokens
        if sticky is not None:
            for sent in self._tokens:
                self._house.shrinker.ledger.later(sticky.keep(*sent))

    # What is looked at once it has been sent on, which changes nothing of it: for comparing, warning and statistics.

    def look_back(self, receipt: Receipt, plain: bytes) -> Forwarded | None:
        """Look at one request, and return what is compared with the next one, if that is."""
        forwarded, self._forwarded = self._forwarded, None
        if receipt.forwarded is not None:
            forwarded = forwarded or receipt.forwarded()
            if receipt.volatile is not None and self._house.receipts.due(receipt.conversation, forwarded):
                self._search = asyncio.get_running_loop().create_task(self._seek(receipt.volatile))
                self._search.add_done_callback(self._check_search)
        if receipt.lessons:
            self._learn(receipt, plain)
        return forwarded

    def learn_soon(self, receipt: Receipt, plain: bytes) -> None:
        """Leave a note for the statistics once what is at hand has been sent on."""
        if receipt.lessons:
            asyncio.get_running_loop().call_soon(self._learn, receipt, plain)

    def _learn(self, receipt: Receipt, plain: bytes) -> None:
        learning = self._house.learning
        if learning is not None:
            family = self._family(plain, receipt.span)
            learning.note(Lessons(self.auth, family, self.caller, receipt.lessons))

    def _family(self, plain: bytes, span: tuple[int, int]) -> str:
        """The family of the model that a body is for, whose items are in `span`."""
        return model_family(named_model(plain, span, find_route(self._method, self._plan.path)[1]))

    def compared(self, receipt: Receipt | None, forwarded: Forwarded | None, usage: Usage | None) -> Comparison | None:
        """How what was sent compares with the request before it, once its answer is over; tells what is worth it."""
        if forwarded is None or receipt is None or not receipt.conversation:
            return None
        house = self._house
        noted = house.receipts.note(receipt.conversation, forwarded, usage, self._found)
        for seen in noticed(self._id, noted):
            house.counters(seen)
            house.sink(seen)
        return noted.prefix

    async def _seek(self, volatile: Callable[[], tuple[Finding, ...]]) -> None:
        """Search what has been sent, in a task of its own: a fault in looking must not cost the answer."""
        self._found = volatile()

    def _check_search(self, task: asyncio.Task[None]) -> None:
        self._search = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._house.sink(failure(self._id, error))

    def _wish(self) -> Wish | None:
        """Which tools this caller may be given; None where nothing may be added."""
        policy, wish = POLICIES[self.auth], self._house.wish
        if not policy.add_tools or not self._plan.woven:
            return None
        # What nobody is known to remember for cannot be asked for either.
        others = wish.others if self._house.remembering is None or self._recalled is not None else ()
        return Wish(wish.retrieve if policy.reversible else "off", others)

    # What is told.

    def _tell(self, receipt: Receipt) -> None:
        """Log what is worth telling of a rewritten body."""
        sink = self._house.sink
        if receipt.note == "store_down":
            sink(StoreTrouble(id=self._id, note=self._house.shrinker.ledger.store.kind))
        if receipt.long_after_short:
            sink(MarkerOrder(id=self._id))
        if receipt.unknown_types:
            sink(UnknownItem(id=self._id, types=tuple(sorted(receipt.unknown_types))))
        if receipt.tailed is not None:
            self._tell_memory(receipt.conversation, receipt.tailed.outcome, receipt.tailed.size, receipt.tailed.query)

    def _tell_memory(self, conversation: bytes, decision: str, size: int = 0, query: str = "") -> None:
        named = conversation.hex()[:16]
        self._house.sink(
            MemoryInjection(id=self._id, conversation=named, decision=decision, bytes_injected=size, query_hash=query)
        )
