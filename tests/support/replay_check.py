"""Hold what an origin received against what the client sent, for a whole session: changes,
stability, and the bill.

Three laws. *Outside*: nothing but the text of tool results differs, neither as a value nor as
bytes. *Stable*: where the client's own message stayed the same to the provider, the forwarded one
did too, on the next turn and whenever the same history comes again. *Bill*: both sessions are
priced with a model of the provider's cache; what follows from it is for the caller to assert.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from tests.support.cache_model import (
    ANTHROPIC_PRICES,
    GEMINI_PRICES,
    OPENAI_PRICES,
    AnthropicCache,
    Counter,
    PrefixCache,
    Prices,
    Usage,
    bill,
    estimate,
)
from tests.support.request_shape import (
    Dialect,
    Object,
    blocks,
    dialect_of,
    masked,
    parse,
    result_texts,
)

PRICES: dict[Dialect, Prices] = {
    "anthropic": ANTHROPIC_PRICES,
    "chat": OPENAI_PRICES,
    "responses": OPENAI_PRICES,
    "gemini": GEMINI_PRICES,
}

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Breach:
    """A law that was broken: on which request (from 1), where in it, and what was seen."""

    turn: int
    place: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the comparison of two sessions found. Bills are in units of plain input tokens."""

    breaches: tuple[Breach, ...]
    changed: int  # tool result texts that were forwarded changed; one that is resent counts once
    direct: tuple[Usage, ...]
    proxied: tuple[Usage, ...]
    direct_bill: float
    proxied_bill: float

    @property
    def sound(self) -> bool:
        """Whether no law was broken; says nothing of the bill."""
        return not self.breaches

    @property
    def ratio(self) -> float:
        """The bill through the proxy over the bill direct; 1.0 for two empty sessions."""
        return self.proxied_bill / self.direct_bill if self.direct_bill else 1.0

    def __str__(self) -> str:
        """The breaches, one a line, and the bill: made to be the message of an assertion."""
        rows = [f"turn {row.turn}, {row.place}: {row.what}" for row in self.breaches[:20]]
        rows += [f"… and {len(self.breaches) - 20} more"] if len(self.breaches) > 20 else []
        paid = f"bill {self.proxied_bill:.0f} / {self.direct_bill:.0f} = {self.ratio:.3f}"
        return "\n".join([*rows, f"{paid}, {self.changed} texts changed"])


def compare(
    direct: Sequence[bytes],
    proxied: Sequence[bytes],
    *,
    dialect: Dialect | None = None,
    count: Counter = estimate,
    minimum: int = 1024,
    step: int = 128,
    prices: Prices | None = None,
    added_tools: Collection[str] = (),
    prompts: bool = False,
) -> Report:
    """Compare a session's bodies as the client sent them with those that an origin received, in
    the same order.

    `dialect` is told from the first body when it is not given. `added_tools` names tools that the
    proxy may append to the tool list (such a request is compared as values only, not as bytes).
    With `prompts` the texts of user messages may change as well as tool results. `minimum` and
    `step` are the cache's, in tokens. An automatic cache rounds each read down to a step, so that
    bills less than 0.1 % apart tell nothing: compare those with `step=1`. Raises ValueError where
    the two differ in length.
    """
    if len(direct) != len(proxied):
        raise ValueError(f"{len(direct)} requests sent, {len(proxied)} received")
    if not direct:
        return Report(breaches=(), changed=0, direct=(), proxied=(), direct_bill=0.0, proxied_bill=0.0)
    shape = dialect or dialect_of(parse(direct[0]))
    price = prices or PRICES[shape]
    breaches = [
        *_outside(shape, direct, proxied, added_tools, prompts),
        *_unstable(shape, direct, proxied),
    ]
    sent, received = (_usages(shape, bodies, count, minimum, step) for bodies in (direct, proxied))
    return Report(
        breaches=tuple(sorted(breaches, key=lambda breach: breach.turn)),
        changed=_changed(shape, direct, proxied, prompts),
        direct=sent,
        proxied=received,
        direct_bill=bill(sent, price),
        proxied_bill=bill(received, price),
    )


def _usages(dialect: Dialect, bodies: Sequence[bytes], count: Counter, minimum: int, step: int) -> tuple[Usage, ...]:
    if dialect == "anthropic":
        explicit = AnthropicCache(count=count, minimum=minimum)
        return tuple(explicit.send(body) for body in bodies)
    automatic = PrefixCache(dialect, count=count, minimum=minimum, step=step)
    return tuple(automatic.send(body) for body in bodies)


# --- outside the tool results ---------------------------------------------------------------------


def _outside(
    dialect: Dialect,
    direct: Sequence[bytes],
    proxied: Sequence[bytes],
    added_tools: Collection[str],
    prompts: bool,
) -> Iterator[Breach]:
    for turn, (sent, received) in enumerate(zip(direct, proxied, strict=True), 1):
        if sent == received:
            continue
        request = parse(received)
        appended = _drop_appended_tools(request, added_tools)
        if masked(dialect, parse(sent), prompts=prompts) != masked(dialect, request, prompts=prompts):
            yield Breach(turn, "request", "a value outside the tool results differs")
        elif not appended and (what := _bytes_differ(sent, received)):
            yield Breach(turn, "request", what)


def _drop_appended_tools(request: Object, names: Collection[str]) -> bool:
    """Take the named tools off the end of the tool list; an emptied list goes too. True if there
    were any.
    """
    tools = request.get("tools")
    if not isinstance(tools, list):
        return False
    before = len(tools)
    while tools and _tool_name(tools[-1]) in names:
        tools.pop()
    if not tools and before:
        del request["tools"]
    return len(tools) < before


def _tool_name(tool: object) -> object:
    """A tool's name, also where it stands in `function` or is the only one of
    `functionDeclarations`.
    """
    if not isinstance(tool, dict):
        return None
    declared = tool.get("functionDeclarations")
    inner = declared[0] if isinstance(declared, list) and len(declared) == 1 else tool.get("function", tool)
    return inner.get("name") if isinstance(inner, dict) else None


def _bytes_differ(sent: bytes, received: bytes) -> str:
    """Say what differs besides the strings that have another value; "" for nothing."""
    if _STRING.sub(b'""', sent) != _STRING.sub(b'""', received):
        return "the bytes between the strings differ"
    for one, other in zip(_STRING.findall(sent), _STRING.findall(received), strict=True):
        if one != other and json.loads(one) == json.loads(other):
            return f"a string was respelled: {one[:40]!r} became {other[:40]!r}"
    return ""


# --- stability ------------------------------------------------------------------------------------

Places = list[tuple[str, str]]


def _places(dialect: Dialect, body: bytes) -> Places:
    """Each part of the prompt (tool list, system prompt, every message) with what it is to the
    provider.
    """
    read = blocks(dialect, parse(body))
    return [(place, "\0".join(block.text for block in run)) for place, run in groupby(read, lambda block: block.place)]


def _unstable(dialect: Dialect, direct: Sequence[bytes], proxied: Sequence[bytes]) -> Iterator[Breach]:
    last: tuple[dict[str, str], dict[str, str]] = ({}, {})
    seen: dict[int, tuple[str, int]] = {}
    for turn, (sent, received) in enumerate(zip(direct, proxied, strict=True), 1):
        ours, theirs = _places(dialect, sent), dict(_places(dialect, received))
        broken = {place: turn - 1 for place, text in ours if _moved(place, text, theirs, last)}
        for place, first in _seen_otherwise(ours, theirs, seen, turn):
            broken.setdefault(place, first)
        yield from (Breach(turn, place, f"not as it was on turn {first}") for place, first in broken.items())
        last = (dict(ours), theirs)


def _moved(place: str, text: str, theirs: dict[str, str], last: tuple[dict[str, str], dict[str, str]]) -> bool:
    """The client's own message is as on the turn before, the forwarded one is not."""
    return last[0].get(place) == text and last[1].get(place) != theirs.get(place)


def _seen_otherwise(
    ours: Places, theirs: dict[str, str], seen: dict[int, tuple[str, int]], turn: int
) -> Iterator[tuple[str, int]]:
    """The places whose whole history the client has sent before, with the turn on which they were
    forwarded otherwise.

    `seen` keeps, for the hash of a history, what its last message was forwarded as, and on which
    turn first.
    """
    history = 0
    for place, text in ours:
        history = hash((history, text))
        now = theirs.get(place, "")
        before, first = seen.setdefault(history, (now, turn))
        if before != now:
            yield place, first


def _changed(dialect: Dialect, direct: Sequence[bytes], proxied: Sequence[bytes], prompts: bool) -> int:
    pairs: set[tuple[str, str, str]] = set()
    for sent, received in zip(direct, proxied, strict=True):
        before = result_texts(dialect, parse(sent), prompts=prompts)
        after = result_texts(dialect, parse(received), prompts=prompts)
        for one, other in zip(before, after, strict=False):
            if one.text != other.text:
                pairs.add((one.place, one.text, other.text))
    return len(pairs)
