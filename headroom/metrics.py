"""Counters that every worker writes and any worker can read: one fixed table in memory that the workers share.

Each worker adds to its own row; a scrape sums the rows. So a scrape is right whichever worker answers it, a worker that
dies takes nothing along, and counting costs an addition. Labels are enumerated here: no client can add one.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from headroom import faults, providers
from headroom.events import (
    CacheDriftObserved,
    Event,
    MemoryInjection,
    Message,
    Refused,
    Request,
    Retrieved,
    ShrinkFailed,
    SocketCause,
    VolatileContentDetected,
)
from headroom.projects import Projects, Rows
from headroom.receipts import DIMS
from headroom.shrink import Skip
from headroom.stabilise import NAMES
from headroom.tails import Outcome
from headroom.zones.press import Action
from headroom.zones.volatile import KINDS

OTHER: Final = "other"
_FAULTS: Final = tuple(
    sorted(cls().name for cls in vars(faults).values() if isinstance(cls, type) and issubclass(cls, faults.Fault))
)


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. `label` has the values `values`, and `other` for all else; no label where there are none."""

    name: str
    help: str
    kind: Literal["counter", "gauge"] = "counter"
    label: str = ""
    values: tuple[str, ...] = ()


_ROUTES: Final = tuple(sorted({*(route.name for route in providers.ROUTES), providers.ACCOUNT_MODELS_ROUTE}))
_CLASSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")  # the first: a WebSocket, 101
_ACTIONS: Final = (*(str(action) for action in Action), *get_args(Skip), "replayed")

FAMILIES: Final[tuple[Family, ...]] = (
    Family("headroom_requests", "Exchanges ended, by route", label="route", values=_ROUTES),
    Family("headroom_answers", "Exchanges ended, by status class", label="status", values=_CLASSES),
    Family(
        "headroom_outcomes",
        "Exchanges ended, by how the answer ended",
        label="outcome",
        values=("complete", "truncated", "errored", "aborted", "failed", "unread", "refused"),
    ),
    Family("headroom_faults", "Faults, by name", label="fault", values=_FAULTS),
    Family("headroom_active", "Exchanges under way", "gauge"),
    Family("headroom_clients", "Open client connections", "gauge"),
    Family("headroom_body_bytes_in", "Request body bytes received"),
    Family("headroom_body_bytes_out", "Request body bytes sent on"),
    Family("headroom_answer_bytes", "Answer body bytes relayed"),
    Family("headroom_slots", "Fresh slots, by what became of them", label="action", values=_ACTIONS),
    Family("headroom_slots_replayed", "Slots replayed from the ledger"),
    Family("headroom_slot_tokens_before", "Tokens of replaced slots as they came, each time they are sent"),
    Family("headroom_slot_tokens_after", "Tokens of replaced slots as they went, each time they are sent"),
    Family("headroom_tokens_saved_fresh", "Tokens saved in slots sent for the first time"),
    Family(
        "headroom_usage_tokens",
        "Tokens that providers reported",
        label="kind",
        values=("uncached", "read", "write", "write_1h", "output"),
    ),
    Family("headroom_bill_forwarded", "Prompt bill as reported, in plain input tokens by cache price"),
    Family("headroom_bill_saved", "What the tokens saved would have added to the prompt bill, likewise"),
    Family(
        "headroom_prefix",
        "Requests, by how what was forwarded compares with the request before: proxy must stay 0",
        label="cause",
        values=("new", "same", "client", "proxy"),
    ),
    Family(
        "headroom_prefix_drift",
        "Requests before which the client changed a conversation's beginning, by what it changed",
        label="dim",
        values=DIMS,
    ),
    Family(
        "headroom_volatile_content",
        "Values that are likely to change found in beginnings of conversations, by kind",
        label="kind",
        values=KINDS,
    ),
    Family("headroom_stabilised", "Requests changed for the provider's cache, by how", label="name", values=NAMES),
    Family("headroom_retrievals", "Originals asked for", label="outcome", values=("found", "missing")),
    Family(
        "headroom_memory",
        "Requests of callers with memories, by what became of the user's newest words",
        label="outcome",
        values=(*get_args(Outcome), "no_project"),
    ),
    Family("headroom_sockets", "Open WebSockets", "gauge"),
    Family(
        "headroom_socket_endings",
        "WebSockets ended, by what ended them",
        label="cause",
        values=get_args(SocketCause),
    ),
    Family(
        "headroom_socket_responses",
        "Responses ended on WebSockets, by how they ended",
        label="outcome",
        values=("complete", "errored", "aborted"),
    ),
    Family("headroom_shrink_failures", "Bodies sent as they came because of a fault of ours; must stay 0"),
)
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
HISTOGRAMS: Final[Mapping[str, str]] = {
    "headroom_added_seconds": "Time a request was held before it was sent on: gathering, rewriting, storing",
    "headroom_first_byte_seconds": "From the request's last byte to the answer's first",
    "headroom_exchange_seconds": "From the request head to the end of the answer",
}


def _layout() -> dict[tuple[str, str], int]:
    places: dict[tuple[str, str], int] = {}
    for family in FAMILIES:
        for value in (*family.values, OTHER) if family.label else ("",):
            places[family.name, value] = len(places)
    for name in HISTOGRAMS:
        for bound in (*map(str, SECONDS), "+Inf", "sum"):
            places[name, bound] = len(places)
    return places


PLACES: Final = _layout()


# Buckets stand one after another in the table, then the overflow, then the sum.
_FIRST_BUCKET: Final = {name: PLACES[name, str(SECONDS[0])] for name in HISTOGRAMS}


class Board:
    """The shared table. Make it before workers are forked."""

    def __init__(self, workers: int = 1) -> None:
        self._width = len(PLACES)
        self._memory = mmap.mmap(-1, max(1, workers) * self._width * 8)
        self._cells = memoryview(self._memory).cast("d")
        self._workers = workers
        self.projects = Projects(workers)

    def row(self, worker: int) -> Counters:
        """The counters of one worker."""
        cells = self._cells[worker * self._width : (worker + 1) * self._width]
        return Counters(cells, self.projects.rows(worker))

    def clear_gauges(self, worker: int) -> None:
        """A worker has ended: what it had under way has ended with it."""
        for family in FAMILIES:
            if family.kind == "gauge":
                self._cells[worker * self._width + PLACES[family.name, ""]] = 0.0

    def total(self, name: str, value: str = "") -> float:
        """The sum over all workers."""
        place = PLACES[name, value]
        return sum(self._cells[worker * self._width + place] for worker in range(self._workers))

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format 0.0.4."""
        # Loaded at the first scrape: it brings an HTTP server of its own along, a third of the time a start takes.
        from headroom import exposition  # noqa: PLC0415

        return exposition.render(self)


class Counters:
    """One worker's row. Also a sink for events."""

    __slots__ = ("_cells", "_projects")

    def __init__(self, cells: memoryview[float], projects: Rows) -> None:
        self._cells = cells
        self._projects = projects

    def add(self, name: str, amount: float = 1.0, value: str = "") -> None:
        """Add to a metric; unknown label values count as `other`."""
        place = PLACES.get((name, value))
        self._cells[PLACES[name, OTHER] if place is None else place] += amount

    def observe(self, name: str, seconds: float) -> None:
        """Put one observation into a histogram."""
        first = _FIRST_BUCKET[name]
        cells = self._cells
        cells[first + bisect_left(SECONDS, seconds)] += 1
        cells[first + len(SECONDS) + 1] += seconds

    def __call__(self, event: Event) -> None:
        """See events.Sink."""
        if type(event) is Request:
            self._request(event)
        elif type(event) is Message:
            self._message(event)
        elif type(event) is Refused:
            self.add("headroom_faults", 1, event.fault)
            self.add("headroom_outcomes", 1, "refused")
            self.add("headroom_answers", 1, f"{event.status // 100}xx")
        elif type(event) is Retrieved:
            self.add("headroom_retrievals", 1, "found" if event.found else "missing")
        elif type(event) is VolatileContentDetected:
            self.add("headroom_volatile_content", 1, event.kind)
        elif type(event) is CacheDriftObserved:
            for dim in event.dims.split(","):
                self.add("headroom_prefix_drift", 1, dim)
        elif type(event) is MemoryInjection:
            self.add("headroom_memory", 1, event.decision)
        elif type(event) is ShrinkFailed:
            self.add("headroom_shrink_failures")

    def _request(self, event: Request) -> None:
        cells = self._cells
        cells[_ROUTE_AT.get(event.route, _ROUTE_ELSE)] += 1
        cells[_CLASS_AT.get(event.status // 100, _CLASS_ELSE)] += 1
        cells[_OUTCOME_AT.get(event.outcome, _OUTCOME_ELSE)] += 1
        cells[_IN] += event.bytes_in
        cells[_OUT] += event.bytes_out
        cells[_ANSWER] += event.answer_bytes
        self.observe("headroom_exchange_seconds", event.ms.total / 1000)
        if event.ms.first_byte:
            self.observe("headroom_first_byte_seconds", event.ms.first_byte / 1000)
        if event.fault or event.note:
            self.add("headroom_faults", 1, event.fault or event.note)
        if event.cause:
            self.add("headroom_socket_endings", 1, event.cause)
        if event.mode == "rewrite":
            self._rewritten(event)
        if not event.observed:
            for name in event.stabilised:
                self.add("headroom_stabilised", 1, name)
        self._used(event)

    def _message(self, event: Message) -> None:
        self.add("headroom_socket_responses", 1, event.outcome)
        if event.note:
            self.add("headroom_faults", 1, event.note)
        if event.ms.first_byte:
            self.observe("headroom_first_byte_seconds", event.ms.first_byte / 1000)
        if event.mode == "rewrite":
            self._rewritten(event)
        self._used(event)

    def _used(self, event: Request | Message) -> None:
        if event.project:
            saved = 0 if event.observed else event.tokens_before - event.tokens_after
            self._projects.count(event.project, saved)
        if event.usage is not None:
            cells = self._cells
            for kind, place in _USAGE:
                cells[place] += getattr(event.usage, kind)
            cells[_BILL] += event.bill
            cells[_BILL_SAVED] += event.bill_saved

    def _rewritten(self, event: Request | Message) -> None:
        ms = event.ms
        self.observe("headroom_added_seconds", (ms.gather + ms.locate + ms.press + ms.store) / 1000)
        if event.prefix is not None:
            self.add("headroom_prefix", 1, event.prefix.cause)
        for row in event.slots:
            self.add("headroom_slots", 1, row.action)
        if event.observed:
            # What would have been saved is told in the log; counters are about what was sent.
            return
        self.add("headroom_slots_replayed", event.replayed)
        self.add("headroom_slot_tokens_before", event.tokens_before)
        self.add("headroom_slot_tokens_after", event.tokens_after)
        self.add("headroom_tokens_saved_fresh", event.saved_fresh)


_ROUTE_AT: Final = {value: at for (name, value), at in PLACES.items() if name == "headroom_requests"}
_ROUTE_ELSE: Final = PLACES["headroom_requests", OTHER]
_CLASS_AT: Final = {n: PLACES["headroom_answers", f"{n}xx"] for n in range(1, 6)}
_CLASS_ELSE: Final = PLACES["headroom_answers", OTHER]
_OUTCOME_AT: Final = {value: at for (name, value), at in PLACES.items() if name == "headroom_outcomes"}
_OUTCOME_ELSE: Final = PLACES["headroom_outcomes", OTHER]
_USAGE: Final = tuple(
    (kind, PLACES["headroom_usage_tokens", kind]) for kind in ("uncached", "read", "write", "write_1h", "output")
)
_BILL: Final = PLACES["headroom_bill_forwarded", ""]
_BILL_SAVED: Final = PLACES["headroom_bill_saved", ""]
_IN: Final = PLACES["headroom_body_bytes_in", ""]
_OUT: Final = PLACES["headroom_body_bytes_out", ""]
_ANSWER: Final = PLACES["headroom_answer_bytes", ""]


def stats(board: Board) -> dict[str, object]:
    """The figures of `/stats`. Token counts are exact by the yardstick; the bill is in plain input tokens."""
    before, after = board.total("headroom_slot_tokens_before"), board.total("headroom_slot_tokens_after")
    forwarded, saved = board.total("headroom_bill_forwarded"), board.total("headroom_bill_saved")
    return {
        "requests": {
            name: int(board.total("headroom_requests", name))
            for name in (*_ROUTES, OTHER)
            if board.total("headroom_requests", name)
        },
        "outcomes": {v: int(board.total("headroom_outcomes", v)) for v in _values("headroom_outcomes")},
        "active": int(board.total("headroom_active")),
        "slots": {v: int(board.total("headroom_slots", v)) for v in _values("headroom_slots")},
        "slots_replayed": int(board.total("headroom_slots_replayed")),
        "tokens": {
            "before": int(before),
            "after": int(after),
            "saved": int(before - after),
            "saved_when_first_sent": int(board.total("headroom_tokens_saved_fresh")),
        },
        "usage": {v: int(board.total("headroom_usage_tokens", v)) for v in _values("headroom_usage_tokens")},
        "bill": {
            "unit": "plain input tokens, cache reads and writes weighted by their price",
            "forwarded": round(forwarded, 1),
            "direct": round(forwarded + saved, 1),
            "saved": round(saved, 1),
            "ratio": round(forwarded / (forwarded + saved), 4) if forwarded + saved else None,
        },
        "prefix": {v: int(board.total("headroom_prefix", v)) for v in _values("headroom_prefix")},
        "drift": {v: int(board.total("headroom_prefix_drift", v)) for v in _values("headroom_prefix_drift")},
        "volatile": {v: int(board.total("headroom_volatile_content", v)) for v in _values("headroom_volatile_content")},
        "stabilised": {v: int(board.total("headroom_stabilised", v)) for v in NAMES},
        "retrievals": {v: int(board.total("headroom_retrievals", v)) for v in _values("headroom_retrievals")},
        "memory": {v: int(board.total("headroom_memory", v)) for v in _values("headroom_memory")},
        "projects": board.projects.figures(),
        "websockets": {
            "open": int(board.total("headroom_sockets")),
            "responses": {
                v: int(board.total("headroom_socket_responses", v)) for v in _values("headroom_socket_responses")
            },
            "endings": {v: int(board.total("headroom_socket_endings", v)) for v in _values("headroom_socket_endings")},
        },
        "shrink_failures": int(board.total("headroom_shrink_failures")),
    }


def _values(name: str) -> tuple[str, ...]:
    return next(family.values for family in FAMILIES if family.name == name)
