"""What is worth telling: typed values, rendered to log lines and counted in metrics elsewhere.

There is no field for a body, a credential or an original, so none can be logged.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import Literal, Protocol, TypedDict

import msgspec

from headroom.receipts import Comparison, Noted
from headroom.shrink import Receipt, Row
from headroom.usage import Usage

Level = Literal["debug", "info", "warning", "error"]
SocketCause = Literal[
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


class Event(
    msgspec.Struct,
    frozen=True,
    gc=False,
    tag_field="event",
    tag=lambda name: "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_"),
    omit_defaults=True,
    kw_only=True,
):
    """The base of all events."""

    @property
    def level(self) -> Level:
        """How much it matters."""
        return "info"


class Trouble(Event, frozen=True, kw_only=True):
    """The base of events that somebody should look into."""

    @property
    def level(self) -> Level:
        """See Event."""
        return "warning"


class Timings(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Milliseconds of one exchange, by step. `total` runs from the head's last byte to the answer's last."""

    total: float
    gather: float = 0.0
    locate: float = 0.0
    press: float = 0.0
    store: float = 0.0
    dial: float = 0.0
    first_byte: float = 0.0


class Answered(Event, frozen=True, kw_only=True):
    """The base of what is told of a request whose answer is over.

    - `auth` is how the caller pays, for requests that may be rewritten. Sizes are payload bytes.
    - Token counts are those of the slots that were replaced; `saved_fresh` is what was saved in slots sent for the
      first time.
    - `usage` is what the provider reported, in all rounds of the answer; `bill` is that prompt's price in plain input
      tokens, and `bill_saved` what the saved tokens would have added to it.
    - `observed`: the request went as it came, and what is told of slots and tokens is what would have been done.
    """

    id: str
    project: str = ""
    route: str
    api: str
    mode: str
    auth: str = ""
    outcome: str
    bytes_in: int = 0
    bytes_out: int = 0
    decided: int = 0
    replayed: int = 0
    tokens_before: int = 0
    tokens_after: int = 0
    saved_fresh: int = 0
    observed: bool = False
    usage: Usage | None = None
    bill: float = 0.0
    bill_saved: float = 0.0
    note: str = ""
    slots: tuple[Row, ...] = ()
    prefix: Comparison | None = None
    ms: Timings


class Request(Answered, frozen=True, kw_only=True):
    """One exchange is over.

    `unfit`: kinds of names ("project", "user") that the caller gave and that are not fit to be used. `stabilised` names
    what was done for the provider's cache, by the settings that ask for it. `cause` says what ended a WebSocket, whose
    responses are told of by themselves (see Message).
    """

    upstream_id: str = ""
    method: str
    path: str
    unfit: tuple[str, ...] = ()
    status: int
    answer_bytes: int = 0
    fault: str = ""
    cause: str = ""
    stabilised: tuple[str, ...] = ()


class Message(Answered, frozen=True, kw_only=True):
    """One response on a WebSocket is over. It has the `id` of its exchange; `response` is the provider's."""

    response: str = ""


class Rewritten(TypedDict):
    """The fields of Answered that say what was done to the request."""

    decided: int
    replayed: int
    tokens_before: int
    tokens_after: int
    saved_fresh: int
    observed: bool
    note: str
    slots: tuple[Row, ...]


def rewritten(receipt: Receipt) -> Rewritten:
    """What a receipt says of a request."""
    return {
        "decided": receipt.decided,
        "replayed": receipt.replayed,
        "tokens_before": receipt.tokens_before,
        "tokens_after": receipt.tokens_after,
        "saved_fresh": receipt.decided_saved,
        "observed": receipt.observed,
        "note": receipt.note,
        "slots": receipt.rows,
    }


def timed(
    total: float, receipt: Receipt | None, *, gather: float = 0.0, dial: float = 0.0, first_byte: float = 0.0
) -> Timings:
    """Milliseconds of one exchange, with those that rewriting took; `gather` counts where there was any."""
    if receipt is None:
        return Timings(round(total, 3), dial=round(dial, 3), first_byte=round(first_byte, 3))
    return Timings(
        round(total, 3),
        round(gather, 3),
        round(receipt.locate_ms, 3),
        round(receipt.press_ms, 3),
        round(receipt.store_ms, 3),
        round(dial, 3),
        round(first_byte, 3),
    )


class Started(Event, frozen=True, kw_only=True):
    """The process listens."""

    version: str
    address: str
    workers: int
    store: str
    mode: str


class Stopped(Event, frozen=True, kw_only=True):
    """The process has drained. `cut` exchanges were still under way when the time was up."""

    cut: int = 0


class WorkerEnded(Event, frozen=True, kw_only=True):
    """A worker process ended by itself and is being replaced."""

    pid: int
    code: int

    @property
    def level(self) -> Level:
        """See Event."""
        return "error"


class Refused(Trouble, frozen=True, kw_only=True):
    """Bytes from a client that are no request, or one that is not admitted."""

    fault: str
    reason: str
    status: int


class StoreTrouble(Trouble, frozen=True, kw_only=True):
    """The store failed; originals were sent."""

    id: str
    note: str


class StoreNote(Trouble, frozen=True, kw_only=True):
    """Something about the store that its owner should look into: it cannot be opened, was damaged, or forgets."""

    note: str


class MarkerOrder(Trouble, frozen=True, kw_only=True):
    """A cache marker with the long lifetime comes after one with the short. Forwarded as it came."""

    id: str


class PrefixBroken(Trouble, frozen=True, kw_only=True):
    """A request goes otherwise than the one before it, from item `at` on (-1: from the tools on), and its client did
    not change it: a fault of ours, or of the store, that costs what the provider had cached from there on."""

    id: str
    at: int


class VolatileContentDetected(Trouble, frozen=True, kw_only=True):
    """A value in a conversation's beginning that is likely to be another in the next request; it was sent as it came.
    Once per kind and place in a conversation. For `sample` see volatile.Finding."""

    id: str
    kind: str
    location: str
    sample: str = ""


class CacheDriftFirstRequest(Event, frozen=True, kw_only=True):
    """A conversation's first request here. See receipts.Drift."""

    id: str
    conversation: str
    current: str

    @property
    def level(self) -> Level:
        """See Event."""
        return "debug"


class CacheDriftObserved(Trouble, frozen=True, kw_only=True):
    """A client has changed what stands at the beginning of a conversation: the provider caches none of what follows.

    `dims` says what, in the order system, tools, early_messages; see receipts.Drift. `volatile` are kinds and places of
    findings there, those alone whose value is known to have changed where there are any.
    """

    id: str
    conversation: str
    dims: str
    previous: str
    current: str
    volatile: tuple[str, ...] = ()


class Retrieved(Event, frozen=True, kw_only=True):
    """An original was asked for. What it holds is told to nobody but the one who asked; `hash` is how its hash begins:
    all of it would be enough to ask for it. `share` of it was given; `query` is lessons.query_of what was asked."""

    id: str
    hash: str
    found: bool
    share: float = 0.0
    query: str = ""


class LearningNote(Trouble, frozen=True, kw_only=True):
    """The statistics cannot be saved just now; no request is affected."""

    note: str


class RecommendationsLoaded(Event, frozen=True, kw_only=True):
    """What was learnt and published before has been read. `left_alone` tools are pressed without loss only."""

    rows: int
    left_alone: int = 0


class RecommendationsMissing(Event, frozen=True, kw_only=True):
    """There is no file of recommendations, and none was named: nearly everybody has none."""

    @property
    def level(self) -> Level:
        """See Event."""
        return "debug"


class RecommendationsLoadFailed(Trouble, frozen=True, kw_only=True):
    """The file of recommendations cannot be read, or is none; it counts as empty."""

    reason: str


class MemoryInjection(Event, frozen=True, kw_only=True):
    """What became of the newest of the user's words: whether memories were appended to them, or why not.

    `conversation` is how its name begins; `query_hash` a hash of what was looked up by, never the text.
    """

    id: str
    conversation: str
    decision: str
    bytes_injected: int = 0
    query_hash: str = ""

    @property
    def level(self) -> Level:
        """See Event. What happens with most requests is not worth a line each."""
        if self.decision.endswith("_down"):
            return "warning"
        return "info" if self.decision in ("injected", "no_project") else "debug"


class UnknownItem(Trouble, frozen=True, kw_only=True):
    """Fresh items of types that the dialect does not know; they were forwarded as they came. Once per type."""

    id: str
    types: tuple[str, ...]


class ShrinkFailed(Event, frozen=True, kw_only=True):
    """A fault of ours while rewriting; the original was sent."""

    id: str
    error: str
    place: str

    @property
    def level(self) -> Level:
        """See Event."""
        return "error"


def failure(identity_: str, error: BaseException) -> ShrinkFailed:
    """Where an error came from. Its text is left out: it may quote a body."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{place.filename.rpartition('/')[2]}:{place.lineno}"
    return ShrinkFailed(id=identity_, error=type(error).__name__, place=where)


def noticed(identity_: str, noted: Noted) -> Iterator[Event]:
    """What is worth telling of how a request compares with its conversation's last one."""
    if noted.prefix.cause == "proxy":
        yield PrefixBroken(id=identity_, at=noted.prefix.at)
    for finding in noted.found:
        yield VolatileContentDetected(id=identity_, kind=finding.kind, location=finding.location, sample=finding.sample)
    drift = noted.drift
    if drift is None:
        return
    if not drift.dims:
        yield CacheDriftFirstRequest(id=identity_, conversation=drift.conversation, current=drift.current)
        return
    yield CacheDriftObserved(
        id=identity_,
        conversation=drift.conversation,
        dims=",".join(drift.dims),
        previous=drift.previous,
        current=drift.current,
        volatile=tuple(f"{finding.kind} {finding.location}" for finding in noted.suspects),
    )


class Sink(Protocol):
    """Takes events."""

    def __call__(self, event: Event) -> None:
        """Note `event`. Never raises."""
