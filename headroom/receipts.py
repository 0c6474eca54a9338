"""What was forwarded of a conversation, request after request: is every prefix the one the provider has cached?

For each request: where what is forwarded first differs from what was forwarded before, with cache markers left out of
the comparison, and who caused it. The client may rewrite its own history; the proxy must not, and a warning and a
counter that has to stay at zero say when it did. Where what stands before the items is another, that is told as drift,
with what was found in it that is likely to change.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec
from blake3 import blake3

from headroom.usage import Usage
from headroom.zones.volatile import FINDINGS, Area, Finding

CONVERSATIONS: Final = 2_000  # conversations whose last request is remembered
ITEMS: Final = 5_000  # items of one request that are compared
ALL_ITEMS: Final = 100_000  # items of all these requests together; about 150 bytes each
RUNS: Final = 4  # conversations that opened alike and are told apart
EARLY: Final = 3  # messages that belong to a conversation's beginning
SAMPLED: Final = 16  # requests of a conversation of which one is searched
TOLD: Final = 20  # findings of one conversation that are remembered as told
RECENT: Final = 20  # findings that are kept for showing

Cause = Literal["new", "same", "client", "proxy"]
Dim = Literal["system", "tools", "early_messages"]
_AREAS: Final[Mapping[Area, Dim]] = {"system": "system", "tools": "tools", "messages": "early_messages"}
DIMS: Final[tuple[Dim, ...]] = ("system", "tools", "early_messages")


class Head(msgspec.Struct, frozen=True, gc=False):
    """Digests of what stands before a conversation: instructions and tools as they came, without markers; what the
    proxy added to the tools; and the tools as it `arranged` them, empty where it did not. The first `instructing` items
    are among the instructions."""

    system: bytes = b""
    tools: bytes = b""
    added: bytes = b""
    arranged: bytes = b""
    instructing: int = 0

    @property
    def went(self) -> tuple[bytes, bytes, bytes]:
        """What was sent of it."""
        return self.system, self.arranged or self.tools, self.added


class Forwarded(msgspec.Struct, frozen=True, gc=False):
    """One request as it was forwarded: what stands before its items, and digests of each item as it came (`came`) and
    as it went (`went`), all without markers."""

    head: Head
    came: tuple[bytes, ...]
    went: tuple[bytes, ...]

    def digest(self) -> bytes:
        """One digest of it all."""
        return blake3(b"".join((*self.head.went, *self.went))).digest()

    def early(self) -> tuple[bytes, ...]:
        """The first messages as they came, instructions left out."""
        first = self.head.instructing
        return self.came[first : first + EARLY]


class Comparison(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """How a request's prefix compares with that of the conversation's last request here.

    `cause` says who changed it: the client, or the proxy; nobody is `same`, and `new` that there was no request before.
    `at` is the index of the first item that differs, -1 for what stands before the items. `digest` names the forwarded
    prefix. `expected` are the tokens that the provider should have read from its cache, by what it reported last time.
    """

    cause: Cause
    digest: str
    at: int = 0
    items: int = 0
    expected: int = 0


class Drift(msgspec.Struct, frozen=True, gc=False):
    """What of a conversation's beginning is another than in its last request, by the client's doing: `dims`.

    The provider caches a prompt from its beginning, so all that follows is paid for again. `previous` and `current`
    are digests of what was compared; `previous` is empty for a conversation's first request.
    """

    conversation: str
    dims: tuple[Dim, ...]
    previous: str
    current: str


class Noted(msgspec.Struct, frozen=True, gc=False):
    """What a request tells about its conversation. `drift` is None where its beginning is as it was. `found` are
    findings that were not told of this conversation yet. `suspects` are those in what has changed: those whose value
    was another when the conversation was last searched, or where there are none, all that are there."""

    prefix: Comparison
    drift: Drift | None = None
    found: tuple[Finding, ...] = ()
    suspects: tuple[Finding, ...] = ()


class _Run(msgspec.Struct, gc=False):
    """The last request of one that may have opened as others did, and the tokens that the provider has of it."""

    forwarded: Forwarded
    cached: int = 0


class _Last(msgspec.Struct, gc=False):
    """What is remembered of those that opened alike: one conversation, or several runs of a program."""

    runs: list[_Run] = []
    requests: int = 0
    found: dict[tuple[str, str], Finding] = {}
    followed: bool = False

    def before(self, now: Forwarded) -> _Run | None:
        """The run that a request most likely goes on with: whose items it shares most of, the newest of several."""
        return max(reversed(self.runs), key=lambda run: _shared(run.forwarded, now), default=None)

    @property
    def items(self) -> int:
        """Items of all that is remembered."""
        return sum(len(run.forwarded.came) for run in self.runs)


class Receipts:
    """The last request of each conversation that this process has seen. For the event loop's thread.

    Those seen longest ago leave: there are at most `limit` conversations, and `items` items in all of them.
    `recent` are the last findings in any of them, the newest last, by kind, location and sample.
    """

    def __init__(self, limit: int = CONVERSATIONS, items: int = ALL_ITEMS) -> None:
        self._limit = limit
        self._items_limit = items
        self._items = 0
        self._last: OrderedDict[bytes, _Last] = OrderedDict()
        self.recent: OrderedDict[tuple[str, str, str], None] = OrderedDict()

    def due(self, conversation: bytes, now: Forwarded) -> bool:
        """Whether a request is to be searched for what may be another in the next one: a conversation's first, each
        SAMPLED-th after it, and the first whose instructions or tools are not those of the one before."""
        last = self._last.get(conversation)
        if last is None or last.requests % SAMPLED == 0:
            return True
        run = last.before(now)
        if last.followed or run is None or not _drifted(run.forwarded, now):
            return False
        last.followed = True
        return True

    def note(self, conversation: bytes, now: Forwarded, usage: Usage | None, found: Sequence[Finding] = ()) -> Noted:
        """Compare a request with the last one, and remember it with what the provider reported and what was found."""
        last = self._last.pop(conversation, None) or _Last()
        self._items -= last.items
        run = last.before(now)
        before = None if run is None else run.forwarded
        made = compare(before, now)
        expected = 0
        if run is not None:
            whole = max(1, len(run.forwarded.went))
            expected = run.cached if made.cause == "same" else run.cached * max(0, made.at) // whole
        drifted = drift(conversation, before, now)
        new, changed = self._tell(last, found)
        suspects = [f for f in changed or last.found.values() if drifted is not None and _AREAS[f.area] in drifted.dims]
        # What does not go on with a run may be another one that opened alike, and then that one goes on by itself.
        goes_on = run is not None and _shared(run.forwarded, now)[1]
        others = [one for one in last.runs if one is not run or not goes_on]
        last.runs = [*others[1 - RUNS :], _Run(now, usage.prompt if usage is not None else 0)]
        last.requests += 1
        self._last[conversation] = last
        self._items += last.items
        # The newest is kept whatever its size, which is bounded by itself.
        while len(self._last) > self._limit or (self._items > self._items_limit and len(self._last) > 1):
            self._items -= self._last.popitem(last=False)[1].items
        return Noted(msgspec.structs.replace(made, expected=expected), drifted, new, tuple(suspects[:FINDINGS]))

    def _tell(self, last: _Last, found: Sequence[Finding]) -> tuple[tuple[Finding, ...], list[Finding]]:
        """Which findings are new in a conversation, and which have another value; remembers them all, within bounds."""
        new: list[Finding] = []
        changed: list[Finding] = []
        for finding in found:
            shown = (finding.kind, finding.location, finding.sample)
            self.recent[shown] = None
            self.recent.move_to_end(shown)
            if len(self.recent) > RECENT:
                self.recent.popitem(last=False)
            key = (finding.kind, finding.location)
            known = last.found.get(key)
            if known is not None and known.mark != finding.mark:
                changed.append(finding)
            if known is None and len(last.found) < TOLD:
                new.append(finding)
            if known is not None or len(last.found) < TOLD:
                last.found[key] = finding
        return tuple(new), changed


def _shared(before: Forwarded, now: Forwarded) -> tuple[int, bool]:
    """How many items two requests begin with in common, and whether the first of them has no others."""
    pairs = enumerate(zip(before.came, now.came, strict=False))
    shared = next((at for at, (was, came) in pairs if was != came), min(len(before.came), len(now.came)))
    return shared, shared == len(before.came)


def drift(conversation: bytes, before: Forwarded | None, now: Forwarded) -> Drift | None:
    """How a conversation's beginning differs from the one before; None where it does not."""
    name = conversation.hex()[:16]
    if before is None:
        return Drift(name, (), "", _digest(now, EARLY))
    dims = _drifted(before, now)
    if not dims:
        return None
    common = min(len(before.early()), len(now.early()))
    return Drift(name, dims, _digest(before, common), _digest(now, common))


def _drifted(before: Forwarded, now: Forwarded) -> tuple[Dim, ...]:
    """What of the beginning differs. A conversation is named by what its user says first, so that of the early messages
    only those after it can be others; and as many are compared as both have."""
    early = any(came != was for was, came in zip(before.early(), now.early(), strict=False))
    differs = (before.head.system != now.head.system, before.head.tools != now.head.tools, early)
    return tuple(dim for dim, does in zip(DIMS, differs, strict=True) if does)


def _digest(what: Forwarded, early: int) -> str:
    return blake3(b"".join((what.head.system, what.head.tools, *what.early()[:early]))).hexdigest()[:16]


def compare(before: Forwarded | None, now: Forwarded) -> Comparison:
    """Where `now` first differs from `before`, and whose doing it is. Cost: linear in the items."""
    digest = now.digest().hex()[:16]
    if before is None:
        return Comparison("new", digest, items=len(now.went))
    if before.head.went != now.head.went:
        ours = (before.head.system, before.head.tools) == (now.head.system, now.head.tools)
        return Comparison("proxy" if ours else "client", digest, -1, len(now.went))
    for at, (came, went) in enumerate(zip(now.came, now.went, strict=True)):
        if at == len(before.went):
            break
        if went != before.went[at]:
            # The client sent the same again, so it was us; where it did not, the client's change comes first.
            return Comparison("proxy" if came == before.came[at] else "client", digest, at, len(now.went))
    if len(now.went) < len(before.went):
        return Comparison("client", digest, len(now.went), len(now.went))
    return Comparison("same", digest, len(before.went), len(now.went))


def prefix(head: Head, came: Sequence[bytes], went: Sequence[bytes]) -> Forwarded:
    """A request as forwarded, bounded in items."""
    return Forwarded(head, tuple(came[:ITEMS]), tuple(went[:ITEMS]))
