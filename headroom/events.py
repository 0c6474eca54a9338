"""What is worth telling: typed values, rendered to log lines and counted in metrics elsewhere.

There is no field for a body, a credential or an original, so none can be logged.
"""

from __future__ import annotations

import traceback
from typing import Literal, Protocol

import msgspec

from headroom.receipts import Comparison
from headroom.shrink import Row
from headroom.usage import Usage

Level = Literal["debug", "info", "warning", "error"]


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


class Timings(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Milliseconds of one exchange, by step. `total` runs from the head's last byte to the answer's last."""

    total: float
    gather: float = 0.0
    locate: float = 0.0
    press: float = 0.0
    store: float = 0.0
    dial: float = 0.0
    first_byte: float = 0.0


class Request(Event, frozen=True, kw_only=True):
    """One exchange is over.

    `auth` is how the caller pays, for requests that may be rewritten. Sizes are payload bytes. Token counts are those
    of the slots that were replaced; `saved_fresh` is the part saved in slots sent for the first time. `bill` is the
    prompt's price in plain input tokens as the provider reported it, `bill_saved` what it would have been more.
    `observed`: the request went as it came, and what is told of slots and tokens is what would have been done.
    `cause` says what ended a WebSocket, whose responses are told of by themselves (see Message).
    """

    id: str
    upstream_id: str = ""
    method: str
    path: str
    route: str
    api: str
    mode: str
    auth: str = ""
    status: int
    outcome: str
    bytes_in: int = 0
    bytes_out: int = 0
    answer_bytes: int = 0
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
    fault: str = ""
    cause: str = ""
    slots: tuple[Row, ...] = ()
    prefix: Comparison | None = None
    ms: Timings


class Message(Event, frozen=True, kw_only=True):
    """One response on a WebSocket is over: see Request, whose `id` it has. `response` is the provider's id of it."""

    id: str
    response: str = ""
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


class Refused(Event, frozen=True, kw_only=True):
    """Bytes from a client that are no request, or one that is not admitted."""

    fault: str
    reason: str
    status: int

    @property
    def level(self) -> Level:
        """See Event."""
        return "warning"


class StoreTrouble(Event, frozen=True, kw_only=True):
    """The store failed; originals were sent."""

    id: str
    note: str

    @property
    def level(self) -> Level:
        """See Event."""
        return "warning"


class StoreNote(Event, frozen=True, kw_only=True):
    """Something about the store that its owner should look into: it cannot be opened, was damaged, or forgets."""

    note: str

    @property
    def level(self) -> Level:
        """See Event."""
        return "warning"


class MarkerOrder(Event, frozen=True, kw_only=True):
    """A cache marker with the long lifetime comes after one with the short. Forwarded as it came."""

    id: str

    @property
    def level(self) -> Level:
        """See Event."""
        return "warning"


class PrefixBroken(Event, frozen=True, kw_only=True):
    """A request goes otherwise than the one before it, from item `at` on, and its client did not change it: a fault of
    ours, or of the store, that costs what the provider had cached from there on."""

    id: str
    at: int

    @property
    def level(self) -> Level:
        """See Event."""
        return "warning"


class Retrieved(Event, frozen=True, kw_only=True):
    """An original was asked for. What it holds is told to nobody but the one who asked; `hash` is how its hash begins:
    all of it would be enough to ask for it."""

    id: str
    hash: str
    found: bool


class UnknownItem(Event, frozen=True, kw_only=True):
    """Fresh items of types that the dialect does not know; they were forwarded as they came. Once per type."""

    id: str
    types: tuple[str, ...]

    @property
    def level(self) -> Level:
        """See Event."""
        return "warning"


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


class Sink(Protocol):
    """Takes events."""

    def __call__(self, event: Event) -> None:
        """Note `event`. Never raises."""
