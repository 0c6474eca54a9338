"""Several outputs after one another: each part in the form of its own kind.

    $ ls -R src                     [parts of 1, 9 and 4 lines]
    ...                             $ ls -R src
    $ cat package.json        →     [paths: ...]
    {                               ...
      "name": "x",                  {"name":"x",...}

The first line counts the lines of each part as they are written below, so that a reader can cut exactly. A part
that begins with a form's title is in that form; any other is as it was.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec

from headroom.zones.detect import Kind, line_kind, sniff
from headroom.zones.forms import Way

TITLE = "[parts of "
NAME = "parts"
_TITLE = re.compile(r"\[parts of (\d{1,9}(?:, \d{1,9})* and \d{1,9}|\d{1,9}) lines\]", re.ASCII)
_NUMBER = re.compile(r"\d+", re.ASCII)

MOST_PARTS = 24  # parts that are pressed, those that save most
MOST_BLOCKS = 400  # a text with more falls apart into nothing that would pay
LEAST_RUN = 5  # lines of one look that make a part of their own where no blank line parts them
LOOK_AHEAD = 40  # lines of a block that tell its kind
LEAST_PART = 160  # characters
LONGEST_BORDER = 400  # characters

ACROSS = frozenset({Kind.LOG, Kind.LINT, Kind.LINES, Kind.TEXT})
OVER_BLANKS = ACROSS | {Kind.SEARCH, Kind.PATHS, Kind.GIT, Kind.DIFF, Kind.NUMBERED, Kind.OUTLINE, Kind.SOURCE}

# Rulers, with or without a heading in them; headings; prompts; whole tags.
_BORDER = re.compile(
    r"([-=*_~])\1{2,}(?:\s.{0,200}\s\1{2,})?|==> .{1,300} <==|#{1,6} \S.{0,300}|\$ \S.{0,300}"
    r"|</?[\w:-]{1,40}(?: [^<>]{0,200})?>"
)
# What clients write where they have cut.
_CUT = re.compile(r"\d (?:chars?|characters|tokens|lines|bytes) (?:truncated|omitted)\b")
_BORDERS = frozenset("-=*_~#$<")  # what a border begins with
_MARKS = _BORDERS | frozenset("{[`d")  # what anything begins with that ends a block, but for what says of a cut
_LEAST_CUT = len("1 char omitted")
_FENCE = "```"
_DIFF = re.compile(
    r"[ +\-@\\]|diff --git |index [0-9a-f]|(?:new|deleted) file mode |(?:old|new) mode |similarity index "
    r"|(?:rename|copy) (?:from|to) |Binary files "
)
_CLOSERS = {"{": "}", "[": "]"}
_OPENS = re.compile(r"[\[{]{1,2}\s*\Z|\{\s*\"")  # a document that goes on in the next line


class Block(msgspec.Struct, frozen=True, gc=False):
    """Lines `begin` up to `end`, and what they look like; no kind for blanks and borders, which belong to nobody.

    `marked`: whether its first and last line say that it is a thing of its own, as a fence's or a document's do.
    """

    begin: int
    end: int
    kind: Kind | None
    marked: bool = False


def blocks(lines: Sequence[str]) -> list[Block]:
    """All of `lines`, cut at blank lines, borders and changes of look; none where there are too many. Cost: linear."""
    found: list[Block] = []
    text = "\n".join(lines)
    ends = {
        closer: [at for at, line in enumerate(lines) if line == closer] if closer in text else [] for closer in "}]"
    }
    fences = [at for at, line in enumerate(lines) if line.startswith(_FENCE)] if _FENCE in text else []
    openers = _openers(lines, cut="truncated" in text or "omitted" in text)
    at, count, opener = 0, len(lines), 0
    while at < count:
        if len(found) > MOST_BLOCKS:
            return []
        line = lines[at]
        end = at + 1
        if not line or line.isspace():
            while end < count and (not lines[end] or lines[end].isspace()):
                end += 1
            found.append(Block(at, end, None))
        elif line.startswith(_FENCE):
            found.append(Block(at, end, None))
            closing = _next(fences, at)
            if closing is not None and line != _FENCE and closing > end:
                end = closing
                found.append(_whole(lines, at + 1, end, marked=True))
        elif _OPENS.match(line) and (closing := _next(ends[_CLOSERS[line[0]]], at)) is not None:
            end = closing + 1
            found.append(_whole(lines, at, end, marked=True))
        elif _is_document(line):
            while end < count and _is_document(lines[end]):
                end += 1
            found.append(_whole(lines, at, end, marked=True))
        elif line.startswith("diff --git "):
            end = _end_of_diff(lines, at)
            found.append(_whole(lines, at, end, marked=True))
        elif is_border(line):
            found.append(Block(at, end, None))
        else:
            while opener <= at:
                opener = next(openers, count)
            end = opener
            found += _by_look(lines, at, end)
        at = end
    return found


def is_marked(line: str) -> bool:
    """Whether `line` begins a fence, a document or a diff."""
    if line[:1] not in _CLOSERS:
        return line.startswith((_FENCE, "diff --git "))
    return _OPENS.match(line) is not None or _is_document(line)


def is_border(line: str) -> bool:
    """Whether `line` stands between two outputs rather than in one."""
    if len(line) > LONGEST_BORDER:
        return False
    if line[:1] in _BORDERS and _BORDER.fullmatch(line.rstrip()) is not None:
        return True
    cut = "truncated" in line or "omitted" in line
    return cut and _CUT.search(line) is not None


def merged(lines: Sequence[str], found: Sequence[Block]) -> list[Block]:
    """Neighbours of one kind as one where they gain by it: entries of one log, also over a ruler, and groups of one
    listing over blank lines. Each document and each table stays by itself."""
    out: list[Block] = []
    between: Block | None = None
    for block in found:
        if block.kind is None:
            if between is not None:
                out.append(between)
            between = block
            continue
        last = out[-1] if out else None
        blank = between is None or not lines[between.begin].strip()
        if last is not None and last.kind is block.kind and block.kind in (ACROSS if not blank else OVER_BLANKS):
            out[-1] = Block(last.begin, block.end, last.kind, last.marked and block.marked)
        else:
            if between is not None:
                out.append(between)
            out.append(block)
        between = None
    if between is not None:
        out.append(between)
    return out


def outside(lines: Sequence[str], found: Sequence[Block]) -> str:
    """What is in no marked block."""
    return "\n".join([line for block in found if not block.marked for line in lines[block.begin : block.end]])


class Part(msgspec.Struct, frozen=True, gc=False):
    """One part: its text, and how it is written if not as it is."""

    given: str
    way: Way | None = None

    @property
    def text(self) -> str:
        """What is written."""
        return self.given if self.way is None else self.way.text


class Parted(msgspec.Struct, frozen=True, gc=False):
    """A text in parts."""

    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """See forms.Way."""
        return join([part.text for part in self.parts])

    @property
    def name(self) -> str:
        """See forms.Way."""
        return NAME

    @property
    def depth(self) -> int:
        """See forms.Way."""
        return 1

    def reads_back(self, given: str, pressed: str) -> bool:
        """See forms.Way."""
        if "\n".join([part.given for part in self.parts]) != given:
            return False
        for part, written in zip(self.parts, cut(pressed), strict=True):
            if part.way is None:
                if part.given != written:
                    return False
            elif not part.way.reads_back(part.given, written):
                return False
        return True


def assemble(lines: Sequence[str], pressed: Sequence[tuple[int, int, Part]], titles: tuple[str, ...]) -> Parted | None:
    """`lines` with the parts `pressed`, given by their first and past their last line; None where there are none, or
    where what stays as it is would be taken for a form, since it begins with one of `titles`."""
    if not pressed:
        return None
    found: list[Part] = []
    at = 0
    for begin, end, part in pressed:
        if begin > at:
            found.append(Part("\n".join(lines[at:begin])))
        found.append(part)
        at = end
    if at < len(lines):
        found.append(Part("\n".join(lines[at:])))
    if any(part.given.startswith(titles) for part in found):
        return None
    return Parted(tuple(found))


def join(written: Sequence[str]) -> str:
    """Parts as one text, with the title that counts their lines."""
    counts = [str(text.count("\n") + 1) for text in written]
    listed = f"{', '.join(counts[:-1])} and {counts[-1]}" if len(counts) > 1 else counts[0]
    return "\n".join([f"{TITLE}{listed} lines]", *written])


def cut(pressed: str) -> list[str]:
    """The parts that `join` was given. Raises ValueError for a text that it cannot have made."""
    title, _, rest = pressed.partition("\n")
    match = _TITLE.fullmatch(title)
    if match is None:
        raise ValueError("not a text in parts")
    lines = rest.split("\n")
    counts = [int(number) for number in _NUMBER.findall(match[1])]
    if sum(counts) != len(lines) or 0 in counts:
        raise ValueError("the parts do not have as many lines as there are")
    out: list[str] = []
    at = 0
    for count in counts:
        out.append("\n".join(lines[at : at + count]))
        at += count
    return out


def _whole(lines: Sequence[str], begin: int, end: int, *, marked: bool = False) -> Block:
    text = "\n".join(lines[begin:end])
    return Block(begin, end, sniff(text, LOOK_AHEAD) if len(text) >= LEAST_PART else Kind.TEXT, marked)


def _is_document(line: str) -> bool:
    """Whether `line` looks like a whole document, and one that is worth a part."""
    closer = _CLOSERS.get(line[:1])
    return closer is not None and len(line) >= LEAST_PART and line[-60:].rstrip().endswith(closer)


def _next(places: Sequence[int], after: int) -> int | None:
    at = bisect_left(places, after + 1)
    return places[at] if at < len(places) else None


def _openers(lines: Sequence[str], *, cut: bool) -> Iterator[int]:
    """The lines before which a block ends, whatever its own look. `cut`: whether one may say of a cut."""
    for at, line in enumerate(lines):
        if not line or line.isspace() or ((cut or line[0] in _MARKS) and _ends_block(line)):
            yield at


def _ends_block(line: str) -> bool:
    # Most short lines are told by how they begin.
    if len(line) < _LEAST_CUT and line[0] not in _MARKS:
        return False
    return is_marked(line) or is_border(line)


def _end_of_diff(lines: Sequence[str], begin: int) -> int:
    """Where a diff ends; an empty line in it is a line of context only if the diff goes on after it."""
    at = end = begin + 1
    while at < len(lines) and (not lines[at] or _DIFF.match(lines[at]) is not None):
        at += 1
        if lines[at - 1]:
            end = at
    return end


def _by_look(lines: Sequence[str], begin: int, end: int) -> list[Block]:
    """The lines between two borders, cut where a long run of one look begins or ends."""
    if end - begin <= LEAST_RUN:
        return [_whole(lines, begin, end)]
    known = {line: line_kind(line) for line in dict.fromkeys(lines[begin:end])}  # the same line looks the same
    looks = [known[line] for line in lines[begin:end]]
    cuts = [begin]
    at = 0
    while at < len(looks):
        look = looks[at]
        stop = at + 1
        while look is not None and stop < len(looks) and (looks[stop] is look or looks[stop + 1 : stop + 2] == [look]):
            stop += 1
        if look is not None and stop - at >= LEAST_RUN:
            cuts += [begin + at, begin + stop]
        at = stop
    cuts.append(end)
    places = sorted(set(cuts))
    return [_whole(lines, start, stop) for start, stop in pairwise(places)]
