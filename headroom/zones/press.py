"""One text in, a shorter one that says the same out, or the reason why not.

Order: floor, then the kind's candidates, then the token gate, then the proof: the shorter text is decoded and compared
in the same call, so a wrong press costs savings and never content. Nothing here depends on time, order or load.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from itertools import chain
from types import MappingProxyType

import msgspec

from headroom.zones import (
    columns,
    commits,
    delimited,
    diffs,
    documents,
    fragments,
    grids,
    jsonlines,
    listings,
    logs,
    numbered,
    outlines,
    parts,
    paths,
    screen,
    stats,
    testruns,
    wrapped,
)
from headroom.zones.detect import Kind, sniff
from headroom.zones.forms import (
    REFUSALS,
    Chain,
    Form,
    Layer,
    Layered,
    Made,
    Style,
    Way,
    chained,
    exact,
    exactly,
    fewest_tokens,
    styleless,
)
from headroom.zones.hints import KEPT, Hints, hinted
from headroom.zones.wrappers import peel
from headroom.zones.yardstick import Yardstick

CHECK_LIMIT = 16 * 1024 * 1024  # characters; a longer text cannot be proven in bounded memory, so it is not pressed

LINES_PROMISE = 0.03  # what a sample of lines of no known kind must save
LINES_GAIN = 0.1  # what lines of no known kind must at least save, to be a machine's and not a person's
PART_GAIN = 0.1  # what a part must at least save, to be written otherwise than what is around it
PART_TOKENS = 20  # the same, in tokens
ENOUGH = 0.3  # of a text that forms of the whole must save, for its parts not to be tried
DOMINANT = 0.9  # of the lines that one part must be, for a form of the whole to do as well
MOST_FORMS = 4  # forms on top of each other
MOST_NESTED = 4  # layers and parts above them


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

    `before` and `after` are tokens by the yardstick; 0 where nothing was counted. `cut`: something is left out.
    """

    action: Action
    kind: Kind
    form: str = ""
    text: str = ""
    before: int = 0
    after: int = 0
    cut: bool = False


def _log(text: str, style: Style) -> list[str]:
    """A log by its patterns."""
    pressed = logs.encode(text, dense=style is Style.DENSE)
    return [] if pressed is None else [pressed]


def _encode_repeated(listing: str) -> list[str]:
    """The patterns of a grouped listing whose lines are a machine's; code is better read as it was written."""
    pressed = logs.encode(listing) if listings.is_repetitive(listing) else None
    return [] if pressed is None else [pressed]


def _encode_history(text: str) -> list[str]:
    """The patterns of a history without diffs: those are code."""
    if not text.startswith("commit ") or "\n@@ " in text or "\ndiff --" in text:
        return []
    pressed = logs.encode(text)
    return [] if pressed is None else [pressed]


_DOCUMENT = Form("json", documents.TITLE, styleless(documents.encode), documents.decode, documents.same)
_WRAPPED = Form("json", wrapped.TITLE, styleless(wrapped.encode), wrapped.decode, documents.same)
_PARTS = Form("json_parts", fragments.TITLE, styleless(fragments.encode), fragments.decode, exactly)
_LINES = exact("json_lines", jsonlines.TITLE, jsonlines.encode, jsonlines.decode)
_DIFF = exact("diff", diffs.TITLE, diffs.encode, diffs.decode)
_COMMITS = exact("git", commits.TITLE, commits.encode, commits.decode)
_SEARCH = exact("search", listings.TITLE, listings.encode, listings.decode)
_PATHS = exact("paths", paths.TITLE, paths.encode, paths.decode)
_NUMBERED = exact("numbered", numbered.TITLE, numbered.encode, numbered.decode)
_LOG = msgspec.structs.replace(exact("log", logs.TITLE, logs.encode, logs.decode), encode=_log, costly=True)
_ALIKE = msgspec.structs.replace(_LOG, promising=LINES_PROMISE)
# Objects have keys, which say more than a pattern does; lines of lists have none.
_LISTS = exact(
    "log", logs.TITLE, lambda text: None if text.count("\n{") * 2 > text.count("\n") else logs.encode(text), logs.decode
)
_STATS = exact("stat", stats.TITLE, stats.encode, stats.decode)
_GRID = exact("grid", grids.TITLE, grids.encode, grids.decode)
_REPEATED = msgspec.structs.replace(_LOG, encode=styleless(_encode_repeated))
_HISTORY = msgspec.structs.replace(_LOG, encode=styleless(_encode_history))
_COLUMNS = msgspec.structs.replace(exact("columns", columns.TITLE, columns.encode, columns.decode), costly=True)
_DELIMITED = exact("csv", delimited.TITLE, delimited.encode, delimited.decode)
_CRLF = Layer("crlf", screen.CRLF_TITLE, screen.restore_crlf, screen.crlf_holds)
_SCREEN = Layer("screen", screen.TITLE, screen.undo, screen.holds)
_LAYERS = (_CRLF, _SCREEN)
_TESTS = exact("tests", testruns.TITLE, testruns.encode, testruns.decode)
_OUTLINE = exact("outline", outlines.TITLE, outlines.encode, outlines.decode)
_ALL = (
    _DOCUMENT, _WRAPPED, _PARTS, _LINES, _DIFF, _COMMITS, _STATS, _SEARCH, _PATHS, _NUMBERED, _LOG, _COLUMNS,
    _DELIMITED, _GRID, _TESTS, _OUTLINE
)  # fmt: skip

CHAINS: Mapping[Kind, tuple[Chain, ...]] = {
    Kind.JSON: ((_DOCUMENT,), (_WRAPPED,), (_PARTS,)),
    Kind.JSON_LINES: ((_LINES,), (_WRAPPED,), (_PARTS,), (_LISTS,)),
    Kind.DIFF: ((_DIFF,), (_COMMITS,)),
    Kind.SEARCH: ((_SEARCH,), (_SEARCH, _REPEATED)),
    Kind.LINT: ((_SEARCH,), (_LOG,), (_SEARCH, _LOG), (_TESTS,), (_TESTS, _LOG)),
    Kind.PATHS: ((_PATHS,), (_SEARCH,)),
    Kind.GIT: (
        (_COMMITS,),
        (_DIFF,),
        (_STATS,),
        (_PATHS,),
        (_HISTORY,),
        (_COMMITS, _STATS),
        (_COMMITS, _PATHS),
    ),
    Kind.LOG: ((_LOG,), (_TESTS,), (_TESTS, _LOG), (_COLUMNS,)),
    Kind.NUMBERED: ((_NUMBERED,),),
    Kind.TABLE: ((_COLUMNS,), (_DELIMITED,), (_GRID,), (_LOG,), (_COLUMNS, _LOG), (_GRID, _DELIMITED)),
    Kind.OUTLINE: ((_OUTLINE,),),
    Kind.LINES: ((_TESTS,), (_ALIKE,), (_TESTS, _LOG)),
}
"""What is tried on each kind. Source and text have none: agents edit them by exact match."""
_SPARED = frozenset(
    kind
    for kind, chains in CHAINS.items()
    if len({forms[0].name for forms in chains}) > 1 and any(form.costly for form in chain(*chains))
)
"""Where a hint may save more than it costs to look it up: other forms say at once what is none of theirs."""
_LAYER_NAMES = frozenset(layer.name for layer in _LAYERS)
FLOOR_GROUPS: Mapping[Kind, str] = {
    Kind.JSON: "json",
    Kind.JSON_LINES: "json",
    Kind.DIFF: "diff",
    Kind.GIT: "diff",
    Kind.SEARCH: "search",
    Kind.PATHS: "search",
    Kind.TABLE: "search",
    Kind.OUTLINE: "search",
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
TITLES: tuple[str, ...] = tuple(dict.fromkeys([parts.TITLE, *(form.title for form in (*_LAYERS, *_ALL))]))
EDITED = frozenset({Kind.NUMBERED, Kind.SOURCE, Kind.HTML})
"""What agents edit by exact match: nothing of it ever goes, not even what no screen shows."""
CHANGES = frozenset({Kind.DIFF, Kind.GIT})
"""Where a blank can be the change: only colours go, and only those that the headers have too."""
BLANKS_GO = frozenset({Kind.LOG, Kind.LINT, Kind.TABLE, Kind.LINES})
"""Where blanks at line ends are only how a screen was filled."""
WHOLE = frozenset({Kind.JSON, Kind.NUMBERED, Kind.HTML})
"""What is one thing: never taken apart. Source may have a document or a fence in it, or be what it only seems to be."""
PARTS = frozenset(CHAINS)
"""What a part of another text may be, to be pressed in its place."""


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


def press(
    text: str,
    floors: Floors,
    yardstick: Yardstick,
    style: Style = Style.PLAIN,
    kind: Kind | None = None,
    sniffed: Kind | None = None,
    hints: Hints | None = None,
) -> Verdict:
    """Shorten `text` without loss; `kind` is what it is, where that is known, and `hints` say which form to try first.
    `sniffed` is what `sniff` has told of the output in it, where it has been asked. Cost: linear in its length; most of
    it is counting tokens."""
    head, bare, tail = _opened(text, sniffed)
    core = bare.given
    kind = bare.kind if kind is None else kind
    chains = CHAINS.get(kind, ())
    if len(text) > CHECK_LIMIT:
        return Verdict(Action.BELOW_FLOOR, kind)
    # A text that begins as a form does would be decoded as one by whoever reads it back.
    if core.startswith(TITLES) or bare.text.startswith(TITLES):
        return Verdict(Action.NO_FORM, kind)
    ways: list[Way] = []
    large = len(core) >= floors.of(kind) or len(core.encode()) >= floors.of(kind)
    if large:
        ways += _of_whole(text, bare, kind, style, hints)
        if bare.layers and bare.layers[-1][0] is _SCREEN:  # line ends alone are no reason to touch a text
            ways.append(bare.dressed(None))
    # What only looks like JSON, or has lines around it, is several things: the others have forms of their own.
    several = kind is Kind.JSON and all(way.name.endswith(_PARTS.name) for way in ways)
    enough = ways and not several and len(ways[0].text) < (1 - ENOUGH) * len(core)
    if (kind not in WHOLE or several) and not enough:
        way = _in_parts(bare, floors, yardstick, style)
        ways += [bare.dressed(way)] if way is not None else []
    if not ways:
        return Verdict(Action.BELOW_FLOOR if chains and not large else Action.NO_FORM, kind)
    ways.sort(key=lambda way: len(way.text))
    if len(ways[0].text) >= len(core):
        return Verdict(Action.NOT_SMALLER, kind, ways[0].name)
    best, after = fewest_tokens(ways, head, tail, yardstick)
    pressed = head + best.text + tail
    before = yardstick.count(text)
    least = LINES_GAIN if kind is Kind.LINES and best.name != parts.NAME else 0
    if after >= before or after > before * (1 - least):
        return Verdict(Action.NOT_SMALLER, kind, best.name, "", before, after)
    if not _proven((head, core, tail), pressed, best):
        return Verdict(Action.UNPROVEN, kind, best.name, "", before, after)
    return Verdict(Action.PRESSED, kind, best.name, pressed, before, after)


def follows(form: str) -> bool:
    """Whether a hint at `form` is followed on texts of any kind."""
    return any(hinted(form, CHAINS[kind], _LAYER_NAMES) for kind in _SPARED)


def unpress(text: str) -> str:
    """The text that was pressed into `text`; `text` itself where it is in none of the forms. Raises ValueError."""
    head, core, tail = peel(text)
    return head + _read(core, MOST_NESTED) + tail


def seen(text: str) -> str:
    """`text` as a screen shows it, where it is a terminal's: what `unpress` gives of it after `press`."""
    head, bare, tail = _opened(text)
    core = bare.text
    for layer, line, _ in reversed(bare.layers):
        core = layer.undo(line, core)
    return head + core + tail


def _read(text: str, nested: int) -> str:
    if not text.startswith(TITLES):
        return text
    if not nested:
        raise ValueError("more titles than are ever put above each other")
    for layer in _LAYERS:
        if text.startswith(layer.title):
            line, _, rest = text.partition("\n")
            return layer.undo(line, _read(rest, nested - 1))
    if text.startswith(parts.TITLE):
        return "\n".join([_read(part, nested - 1) for part in parts.cut(text)])
    for _ in range(MOST_FORMS):
        form = next((form for form in _ALL if text.startswith(form.title)), None)
        if form is None:
            break
        text = form.decode(text)
    return text


class _Bare(msgspec.Struct, frozen=True, gc=False):
    """A text without what layers say of the whole of it: each layer, its line, and what is left, outermost first."""

    given: str
    layers: tuple[tuple[Layer, str, str], ...]
    text: str
    kind: Kind

    def dressed(self, way: Way | None) -> Way:
        """`way` below the lines of the layers."""
        for layer, line, inner in reversed(self.layers):
            way = Layered(layer, line, inner, way)
        if way is None:
            raise ValueError("neither a layer nor a way")
        return way


def _opened(text: str, sniffed: Kind | None = None) -> tuple[str, _Bare, str]:
    """What a client has put before and behind an output, and the output, less what layers say of the whole of it."""
    head, core, tail = peel(text)
    bare = _bared(core, sniffed)
    # What is shown must end where what was given ends, or a reader would peel it elsewhere.
    if bare.layers and peel(head + bare.text + tail) != (head, bare.text, tail):
        bare = _Bare(core, (), core, sniffed or sniff(core))
    return head, bare, tail


def _bared(given: str, sniffed: Kind | None) -> _Bare:
    text = given
    layers: list[tuple[Layer, str, str]] = []
    stripped = screen.strip_crlf(text)
    if stripped is not None and (kind := sniff(stripped[1])) not in EDITED:
        layers.append((_CRLF, *stripped))
        text = stripped[1]
    else:
        kind = sniffed or sniff(text)
    if screen.marked(text):
        # Codes that are no colours of the kind's own lines are what a file holds.
        held = kind in EDITED or kind in CHANGES or (kind is Kind.SEARCH and not text.startswith("\x1b"))
        shown = None if held else screen.clean(text)
        if shown is not None and (seen := sniff(shown[1])) not in EDITED:
            if seen in CHANGES or seen in BLANKS_GO:
                shown = screen.clean(text, only_colours=seen in CHANGES, trailing=seen in BLANKS_GO)
            if shown is not None:
                layers.append((_SCREEN, *shown))
                text, kind = shown[1], seen
    elif kind in BLANKS_GO and (shown := screen.clean(text, trailing=True)) is not None:
        layers.append((_SCREEN, *shown))
        text = shown[1]
    return _Bare(given, tuple(layers), text, kind)


def _of_whole(text: str, bare: _Bare, kind: Kind, style: Style, hints: Hints | None) -> list[Way]:
    """Ways to write the whole of `text`: as a hint says, where that is short enough, else every one there is."""
    chains = CHAINS.get(kind, ())
    made: Made | None = None
    if hints is not None and kind in _SPARED and (hint := hints(text, kind)) is not None:
        made, least = {}, max(ENOUGH, KEPT * hint.saved)
        first = chained(bare.text, hinted(hint.form, chains, _LAYER_NAMES), style, made, 1 - least)
        ways = [bare.dressed(way) for way in first]
        if ways and len(ways[0].text) < (1 - least) * len(bare.given):
            return ways
    return [bare.dressed(way) for way in chained(bare.text, chains, style, made)]


def _in_parts(bare: _Bare, floors: Floors, yardstick: Yardstick, style: Style) -> parts.Parted | None:
    """The blocks that are worth it each in its own form, the rest as it is; None where none is."""
    lines = bare.text.split("\n")
    if bare.kind is Kind.SOURCE and not any(parts.is_marked(line) for line in lines):
        return None
    blocks = parts.merged(lines, parts.blocks(lines))
    if bare.kind in PARTS and any(
        block.kind is bare.kind and block.end - block.begin > DOMINANT * len(lines) for block in blocks
    ):
        return None
    if bare.kind is Kind.SOURCE and sniff(parts.outside(lines, blocks)) is Kind.SOURCE:
        blocks = [block for block in blocks if block.marked]
    found: list[tuple[int, parts.Block, parts.Part]] = []
    for block in blocks:
        if block.kind is None or block.kind not in PARTS:
            continue
        given = "\n".join(lines[block.begin : block.end])
        if len(given) < max(parts.LEAST_PART, floors.of(block.kind)) or given.startswith(TITLES):
            continue
        ways = chained(given, CHAINS[block.kind], style)
        if not ways or len(ways[0].text) >= (1 - PART_GAIN) * len(given):
            continue
        way, after = fewest_tokens(ways, "", "", yardstick)
        before = yardstick.count(given)
        least = LINES_GAIN if block.kind is Kind.LINES else PART_GAIN
        if after <= before * (1 - least) and before - after >= PART_TOKENS:
            found.append((after - before, block, parts.Part(given, way)))
    found.sort(key=lambda item: item[0])
    kept = sorted([(block.begin, block.end, part) for _, block, part in found[: parts.MOST_PARTS]], key=_begin)
    return parts.assemble(lines, kept, TITLES)


def _begin(item: tuple[int, int, parts.Part]) -> int:
    return item[0]


def _proven(given: tuple[str, str, str], pressed: str, way: Way) -> bool:
    """Whether `pressed` reads back to the head, output and tail `given`, from what a reader has: itself alone."""
    head, core, tail = given
    begin, inner, end = peel(pressed)
    if (head, tail) != (begin, end):
        return False
    try:
        return way.reads_back(core, inner)
    except REFUSALS:
        return False
