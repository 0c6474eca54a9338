"""One text in, a shorter one that says the same out, or the reason why not.

Order: floor, then the kind's candidates, then the token gate, then the proof: the shorter text is decoded and compared
in the same call, so a wrong press costs savings and never content. Nothing here depends on time, order or load.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

import msgspec

from headroom.zones import (
    columns,
    commits,
    delimited,
    diffs,
    documents,
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


class Form(msgspec.Struct, frozen=True, gc=False):
    """A lossless way to write one kind of text. `same(x, decode(y))` must hold for every y in `encode(x)`."""

    name: str
    title: str
    encode: Callable[[str], list[str]]
    decode: Callable[[str], str]
    same: Callable[[str, str], bool]


def _equal(text: str, decoded: str) -> bool:
    return text == decoded


def _form(name: str, title: str, encode: Callable[[str], str | None], decode: Callable[[str], str]) -> Form:
    """A form with one candidate that reads back to the same characters."""

    def candidates(text: str) -> list[str]:
        pressed = encode(text)
        return [] if pressed is None else [pressed]

    return Form(name, title, candidates, decode, _equal)


_DOCUMENT = Form("json", documents.TITLE, documents.encode, documents.decode, documents.same)
_WRAPPED = Form("json", wrapped.TITLE, wrapped.encode, wrapped.decode, documents.same)
_LINES = _form("json_lines", jsonlines.TITLE, jsonlines.encode, jsonlines.decode)
_DIFF = _form("diff", diffs.TITLE, diffs.encode, diffs.decode)
_COMMITS = _form("git", commits.TITLE, commits.encode, commits.decode)
_SEARCH = _form("search", listings.TITLE, listings.encode, listings.decode)
_PATHS = _form("paths", paths.TITLE, paths.encode, paths.decode)
_NUMBERED = _form("numbered", numbered.TITLE, numbered.encode, numbered.decode)
_LOG = _form("log", logs.TITLE, logs.encode, logs.decode)
_COLUMNS = _form("columns", columns.TITLE, columns.encode, columns.decode)
_DELIMITED = _form("csv", delimited.TITLE, delimited.encode, delimited.decode)
_ALL = (
    _DOCUMENT, _WRAPPED, _LINES, _DIFF, _COMMITS, _SEARCH, _PATHS, _NUMBERED, _LOG, _COLUMNS, _DELIMITED
)  # fmt: skip

FORMS: Mapping[Kind, tuple[Form, ...]] = {
    Kind.JSON: (_DOCUMENT,),
    Kind.JSON_LINES: (_LINES, _WRAPPED, _LOG),
    Kind.DIFF: (_DIFF, _COMMITS),
    Kind.SEARCH: (_SEARCH,),
    Kind.LINT: (_SEARCH, _LOG),
    Kind.PATHS: (_PATHS, _SEARCH),
    Kind.GIT: (_COMMITS, _DIFF),
    Kind.LOG: (_LOG, _COLUMNS),
    Kind.NUMBERED: (_NUMBERED,),
    Kind.TABLE: (_COLUMNS, _DELIMITED, _LOG),
    Kind.LINES: (_LOG,),
}
"""The forms that are tried on each kind. Source and text have none: agents edit them by exact match."""
TITLES: tuple[str, ...] = tuple(dict.fromkeys(form.title for form in _ALL))


class Floors(msgspec.Struct, frozen=True, gc=False):
    """Smallest texts that are pressed, in UTF-8 bytes: of JSON and listings, and of logs."""

    json: int = 1024
    search: int = 1024
    log: int = 512

    def of(self, kind: Kind) -> int:
        """The floor of `kind`."""
        if kind is Kind.LOG:
            return self.log
        return self.json if kind in (Kind.JSON, Kind.JSON_LINES) else self.search


def press(text: str, floors: Floors, yardstick: Yardstick) -> Verdict:
    """Shorten `text` without loss. Cost: linear in its length; most of it is counting tokens."""
    head, core, tail = peel(text)
    kind = sniff(core)
    forms = FORMS.get(kind, ())
    if not forms:
        return Verdict(Action.NO_FORM, kind)
    if len(text) > CHECK_LIMIT or (len(core) < floors.of(kind) and len(core.encode()) < floors.of(kind)):
        return Verdict(Action.BELOW_FLOOR, kind)
    # A text that begins as a form does would be decoded as one by whoever reads it back.
    if core.startswith(TITLES):
        return Verdict(Action.NO_FORM, kind)
    candidates = [(head + pressed + tail, form) for form in forms for pressed in _candidates(form, core)]
    if not candidates:
        return Verdict(Action.NO_FORM, kind)
    # Fewest characters first: forms of one text differ in structure, not in script, so tokens follow characters.
    candidates.sort(key=lambda pair: len(pair[0]))
    shortest, form = candidates[0]
    if len(shortest) >= len(text):
        return Verdict(Action.NOT_SMALLER, kind, form.name)
    after = yardstick.count(shortest)
    for candidate, other in candidates[1:2]:
        if len(candidate) * 10 < len(shortest) * 11 and not yardstick.exceeds(candidate, after - 1):
            shortest, form, after = candidate, other, yardstick.count(candidate)
    before = yardstick.count(text)
    if after >= before or (kind is Kind.LINES and after > before * (1 - LINES_GAIN)):
        return Verdict(Action.NOT_SMALLER, kind, form.name, "", before, after)
    if not _proven(text, shortest, form):
        return Verdict(Action.UNPROVEN, kind, form.name, "", before, after)
    return Verdict(Action.PRESSED, kind, form.name, shortest, before, after)


def unpress(text: str) -> str:
    """The text that was pressed into `text`; `text` itself where it is in none of the forms. Raises ValueError."""
    head, core, tail = peel(text)
    for form in _ALL:
        if core.startswith(form.title):
            return head + form.decode(core) + tail
    return text


def _candidates(form: Form, text: str) -> list[str]:
    """A form's candidates; none where the text is too deep for it, or breaks it."""
    try:
        return form.encode(text)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        return []


def _proven(text: str, pressed: str, form: Form) -> bool:
    """Whether `pressed` reads back to `text`, from what a reader has: the pressed text alone."""
    head, core, tail = peel(text)
    begin, inner, end = peel(pressed)
    if (head, tail) != (begin, end) or not inner.startswith(form.title):
        return False
    try:
        return form.same(core, form.decode(inner))
    except (ValueError, msgspec.MsgspecError, RecursionError):
        return False
