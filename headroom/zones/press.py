"""One text in, a shorter one that says the same out, or the reason why not.

Order: floor, then the kind's candidates, then the token gate, then the proof: the shorter text is decoded and compared
in the same call, so a wrong press costs savings and never content. Nothing here depends on time, order or load.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType

import msgspec

from headroom.zones import (
    columns,
    commits,
    delimited,
    diffs,
    documents,
    fragments,
    jsonlines,
    listings,
    logs,
    numbered,
    paths,
    wrapped,
)
from headroom.zones.detect import Kind, sniff
from headroom.zones.wrappers import peel
from headroom.zones.yardstick import Yardstick

CHECK_LIMIT = 16 * 1024 * 1024  # characters; a longer text cannot be proven in bounded memory, so it is not pressed


LINES_GAIN = 0.25  # what lines of no known kind must at least save, to be a machine's and not a person's
COMPOSED_GAIN = 0.08  # what a form on top of another must at least save, to be worth reading twice
MOST_FORMS = 4  # forms on top of each other


class Action(StrEnum):
    """What became of a text."""

    PRESSED = "pressed"
    BELOW_FLOOR = "below_floor"
    NO_FORM = "no_form"
    NOT_SMALLER = "not_smaller"
    UNPROVEN = "unproven"
    PRESSED_BEFORE = "pressed_before"


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What became of one text. `text` is the shorter one if `action` is PRESSED, else empty.

    `before` and `after` are tokens by the yardstick; 0 where nothing was counted.
    """

    action: Action
    kind: Kind
    form: str = ""
    text: str = ""
    before: int = 0
    after: int = 0


class Style(StrEnum):
    """How far forms go. DENSE ones also leave out what equals the line above; it is shorter and reads less easily."""

    PLAIN = "plain"
    DENSE = "dense"


class Form(msgspec.Struct, frozen=True, gc=False):
    """A lossless way to write one kind of text. `same(x, decode(y))` must hold for every y in `encode(x, style)`."""

    name: str
    title: str
    encode: Callable[[str, Style], list[str]]
    decode: Callable[[str], str]
    same: Callable[[str, str], bool]


Chain = tuple[Form, ...]
"""Forms on top of each other: the first is given the text, each other one what the one before has made."""


def _equal(text: str, decoded: str) -> bool:
    return text == decoded


def _styleless(encode: Callable[[str], list[str]]) -> Callable[[str, Style], list[str]]:
    """An encoder that is the same in every style."""
    return lambda text, _style: encode(text)


def _form(name: str, title: str, encode: Callable[[str], str | None], decode: Callable[[str], str]) -> Form:
    """A form with one candidate that reads back to the same characters."""

    def candidates(text: str, _style: Style) -> list[str]:
        pressed = encode(text)
        return [] if pressed is None else [pressed]

    return Form(name, title, candidates, decode, _equal)


_DOCUMENT = Form("json", documents.TITLE, _styleless(documents.encode), documents.decode, documents.same)
_WRAPPED = Form("json", wrapped.TITLE, _styleless(wrapped.encode), wrapped.decode, documents.same)
_PARTS = Form("json_parts", fragments.TITLE, _styleless(fragments.encode), fragments.decode, _equal)
_LINES = _form("json_lines", jsonlines.TITLE, jsonlines.encode, jsonlines.decode)
_DIFF = _form("diff", diffs.TITLE, diffs.encode, diffs.decode)
_COMMITS = _form("git", commits.TITLE, commits.encode, commits.decode)
_SEARCH = _form("search", listings.TITLE, listings.encode, listings.decode)
_PATHS = _form("paths", paths.TITLE, paths.encode, paths.decode)
_NUMBERED = _form("numbered", numbered.TITLE, numbered.encode, numbered.decode)
_LOG = _form("log", logs.TITLE, logs.encode, logs.decode)
# Objects have keys, which say more than a pattern does; lines of lists have none.
_LISTS = _form(
    "log", logs.TITLE, lambda text: None if text.count("\n{") * 2 > text.count("\n") else logs.encode(text), logs.decode
)
_COLUMNS = _form("columns", columns.TITLE, columns.encode, columns.decode)
_DELIMITED = _form("csv", delimited.TITLE, delimited.encode, delimited.decode)
_ALL = (
    _DOCUMENT, _WRAPPED, _PARTS, _LINES, _DIFF, _COMMITS, _SEARCH, _PATHS, _NUMBERED, _LOG, _COLUMNS, _DELIMITED
)  # fmt: skip

CHAINS: Mapping[Kind, tuple[Chain, ...]] = {
    Kind.JSON: ((_DOCUMENT,), (_WRAPPED,), (_PARTS,)),
    Kind.JSON_LINES: ((_LINES,), (_WRAPPED,), (_PARTS,), (_LISTS,)),
    Kind.DIFF: ((_DIFF,), (_COMMITS,)),
    Kind.SEARCH: ((_SEARCH,),),
    Kind.LINT: ((_SEARCH,), (_LOG,)),
    Kind.PATHS: ((_PATHS,), (_SEARCH,)),
    Kind.GIT: ((_COMMITS,), (_DIFF,)),
    Kind.LOG: ((_LOG,), (_COLUMNS,)),
    Kind.NUMBERED: ((_NUMBERED,),),
    Kind.TABLE: ((_COLUMNS,), (_DELIMITED,), (_LOG,)),
    Kind.LINES: ((_LOG,),),
}
"""What is tried on each kind. Source and text have none: agents edit them by exact match."""
FLOOR_GROUPS: Mapping[Kind, str] = {
    Kind.JSON: "json",
    Kind.JSON_LINES: "json",
    Kind.DIFF: "diff",
    Kind.GIT: "diff",
    Kind.SEARCH: "search",
    Kind.PATHS: "search",
    Kind.TABLE: "search",
    Kind.LINT: "log",
    Kind.LOG: "log",
    Kind.LINES: "log",
    Kind.NUMBERED: "source",
    Kind.SOURCE: "source",
    Kind.HTML: "text",
    Kind.TEXT: "text",
}
"""Kinds that have one floor in common, by the floor's name."""
_GROUP_FLOORS = {"json": 1024, "search": 1024, "log": 512, "diff": 1024, "source": 2048, "text": 5120}
FLOORS: Mapping[Kind, int] = MappingProxyType({kind: _GROUP_FLOORS[group] for kind, group in FLOOR_GROUPS.items()})
"""Default floors, in UTF-8 bytes."""
TITLES: tuple[str, ...] = tuple(dict.fromkeys(form.title for form in _ALL))


class Floors(msgspec.Struct, frozen=True, gc=False):
    """Smallest texts that are pressed, in UTF-8 bytes, by kind; `other` for kinds without one of their own."""

    by_kind: Mapping[Kind, int] = msgspec.field(default_factory=lambda: FLOORS)
    other: int = 1024

    @classmethod
    def flat(cls, floor: int) -> Floors:
        """The same floor for every kind."""
        return cls({}, floor)

    def of(self, kind: Kind) -> int:
        """The floor of `kind`."""
        return self.by_kind.get(kind, self.other)


def press(text: str, floors: Floors, yardstick: Yardstick, style: Style = Style.PLAIN) -> Verdict:
    """Shorten `text` without loss. Cost: linear in its length; most of it is counting tokens."""
    head, core, tail = peel(text)
    kind = sniff(core)
    chains = CHAINS.get(kind, ())
    if not chains:
        return Verdict(Action.NO_FORM, kind)
    if len(text) > CHECK_LIMIT or (len(core) < floors.of(kind) and len(core.encode()) < floors.of(kind)):
        return Verdict(Action.BELOW_FLOOR, kind)
    # A text that begins as a form does would be decoded as one by whoever reads it back.
    if core.startswith(TITLES):
        return Verdict(Action.NO_FORM, kind)
    candidates = _candidates(core, chains, style)
    if not candidates:
        return Verdict(Action.NO_FORM, kind)
    if len(candidates[0].text) >= len(core):
        return Verdict(Action.NOT_SMALLER, kind, candidates[0].name)
    best, after = _fewest_tokens(candidates, head, tail, yardstick)
    name = best.name
    pressed = head + best.text + tail
    before = yardstick.count(text)
    if after >= before or (kind is Kind.LINES and after > before * (1 - LINES_GAIN)):
        return Verdict(Action.NOT_SMALLER, kind, name, "", before, after)
    if not _proven(text, pressed, best):
        return Verdict(Action.UNPROVEN, kind, name, "", before, after)
    return Verdict(Action.PRESSED, kind, name, pressed, before, after)


def unpress(text: str) -> str:
    """The text that was pressed into `text`; `text` itself where it is in none of the forms. Raises ValueError."""
    head, core, tail = peel(text)
    for _ in range(MOST_FORMS):
        form = next((form for form in _ALL if core.startswith(form.title)), None)
        if form is None:
            break
        core = form.decode(core)
    return head + core + tail


class _Candidate(msgspec.Struct, frozen=True, gc=False):
    """One way to write a text: what the first form was given, and what each form of the chain has made of it."""

    chain: Chain
    stages: tuple[str, ...]

    @property
    def text(self) -> str:
        return self.stages[-1]

    @property
    def name(self) -> str:
        return "+".join(form.name for form in self.chain)


def _candidates(text: str, chains: tuple[Chain, ...], style: Style) -> list[_Candidate]:
    """Every way to write `text`, fewest characters first: forms of one text differ in structure, not in script, so
    tokens follow characters. A longer chain counts as longer than it is, by what it has to gain."""
    begun: dict[tuple[str, ...], list[tuple[str, ...]]] = {(): [(text,)]}
    found: list[tuple[float, _Candidate]] = []
    for chain in chains:
        for length in range(1, len(chain) + 1):
            names = tuple(form.name for form in chain[:length])
            if names not in begun:
                form = chain[length - 1]
                begun[names] = [
                    (*stages, made) for stages in begun[names[:-1]] for made in _encode(form, stages[-1], style)
                ]
        for stages in begun[tuple(form.name for form in chain)]:
            weight = len(stages[-1]) * (1 + COMPOSED_GAIN) ** (len(chain) - 1)
            found.append((weight, _Candidate(chain, stages)))
    found.sort(key=lambda pair: pair[0])
    return [candidate for _, candidate in found]


def _fewest_tokens(candidates: list[_Candidate], head: str, tail: str, yardstick: Yardstick) -> tuple[_Candidate, int]:
    """The best of the two shortest candidates, and its tokens."""
    best, *others = candidates
    after = yardstick.count(head + best.text + tail)
    for other in others[:1]:
        text = head + other.text + tail
        margin = (1 - COMPOSED_GAIN) ** max(0, len(other.chain) - len(best.chain))
        if len(text) * 10 < (len(best.text) + len(head) + len(tail)) * 11 and not yardstick.exceeds(
            text, int(after * margin) - 1
        ):
            best, after = other, yardstick.count(text)
    return best, after


def _encode(form: Form, text: str, style: Style) -> list[str]:
    """A form's candidates; none where the text is too deep for it, or breaks it."""
    try:
        return form.encode(text, style)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        return []


def _proven(text: str, pressed: str, candidate: _Candidate) -> bool:
    """Whether `pressed` reads back to `text`, from what a reader has: the pressed text alone."""
    head, core, tail = peel(text)
    begin, inner, end = peel(pressed)
    if (head, tail) != (begin, end):
        return False
    given = (core, *candidate.stages[1:])
    try:
        for form, was in zip(reversed(candidate.chain), reversed(given[: len(candidate.chain)]), strict=True):
            if not inner.startswith(form.title):
                return False
            inner = form.decode(inner)
            if not form.same(was, inner):
                return False
    except (ValueError, msgspec.MsgspecError, RecursionError):
        return False
    return True
