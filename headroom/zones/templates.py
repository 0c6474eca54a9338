"""What lines of one pattern have in common: literals, and columns of values between them.

A value is a whole field of the line, or what is left of one where all lines of the pattern agree on the rest up to a
bracket, quote, `=`, comma, semicolon or bar: no identifier, path, number or time of day is ever cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MARK = "\0"  # stands for the time in lines and literals
BREAK = "\x1f"  # ends a field behind it that no blank ends; lines that have either sign themselves never get there
MARK_GAIN = 4  # estimated tokens that a time of which a heading says most saves in a row
MIN_ROWS = 3
MIN_HEAD = 3  # estimated tokens that a pattern for the beginning of lines has to save in each of them

# A run of signs, of which a comma between digits is none: it belongs to the number or time. Or a last colon or dot. A
# search is quick where the pattern begins with all that its first sign can be.
_SIGNS = r"""=\[\](){}<>"';|"""
_MARKS = (
    rf"[{_SIGNS},:.](?:(?:(?<=[{_SIGNS}])|(?<=,)(?!\d)|(?<=,)(?<!\d,))(?:[{_SIGNS}]|,(?!\d)|(?<!\d),)*+"
    r"|(?<=[:.])\Z)"
)
_MARK = re.compile(_MARKS)
_CUT = re.compile(f"({_MARKS})")
_OPENED = re.compile(r"[\[({<=,;|\"' ]+")
_OPENING, _CLOSING = "([{<\"'", ")]}>\"',;|:"
DATE = re.compile(r"(?:\d{4}([-/.]?)\d\d\1\d\d|\d\d/(?:[A-Z][a-z]{2}|\d\d)/\d{4})[T:_-](?=\d)", re.ASCII)
TIME = re.compile(r"\d+:\d+", re.ASCII)
_TOKEN = re.compile(r" ?[A-Za-z]{1,9}|\d{1,3}| ?[^A-Za-z\d\s]{1,4}|\s+", re.ASCII)


class Column:
    """What lines of a pattern have in one place: a value for each line, padded to `width` (to the left if negative).

    `whole` is a field that has not been cut yet, `tail` all the rest of the line.
    """

    __slots__ = ("tail", "values", "whole", "width")

    def __init__(self, values: list[str], *, whole: bool = True, width: int = 0, tail: bool = False) -> None:
        self.values = values
        self.whole = whole
        self.width = width
        self.tail = tail

    def picked(self, at: list[int]) -> Column:
        """The values of these lines alone."""
        return Column([*map(self.values.__getitem__, at)], whole=self.whole, width=self.width, tail=self.tail)


Part = str | Column


class Group:
    """Lines that could share a pattern, and the estimate of tokens that it would save.

    `indents` has what comes before the pattern in each line, where lines differ in that only.
    """

    __slots__ = ("gain", "indents", "parts", "rows", "split")

    def __init__(self, rows: list[int], parts: Iterable[Part], indents: list[str] | None = None) -> None:
        self.rows = rows
        if indents and indents.count(indents[0]) == len(indents):
            parts = [indents[0], *parts] if indents[0] else parts
            indents = None
        self.indents = indents
        self.parts = _settled(parts) if rows else []
        self.split: Split | None = None
        # A row saves the literals' tokens for that of its letter; before a number it has a blank as its own token.
        literal = slots = 0
        each = -1
        blank = False
        for part in self.parts:
            if isinstance(part, str):
                blank = part[-1] == " "
                literal += weight(part)
                each += weight(part) + MARK_GAIN * (MARK in part)
            else:
                slots += 1
                each -= blank or part.values[0][:1].isdigit()
                blank = False
        few = len(rows) < MIN_ROWS or (each < MIN_HEAD and any(not isinstance(p, str) and p.tail for p in self.parts))
        self.gain = -1 if few else len(rows) * each - literal - slots - 3

    def picked(self, at: list[int], index: int = -1, start: str = "") -> Group:
        """The lines at these places; what the values of the column at `index` start with is moved before it."""
        parts = [part if isinstance(part, str) else part.picked(at) for part in self.parts]
        if start:
            column = parts[index]
            assert not isinstance(column, str)
            column.values = [value[len(start) :] for value in column.values]
            parts.insert(index, start)
        indents = self.indents and [*map(self.indents.__getitem__, at)]
        return Group([*map(self.rows.__getitem__, at)], parts, indents or None)


class Split:
    """Two groups that save more than the one they were."""

    __slots__ = ("gain", "rest", "taken")

    def __init__(self, gain: int, taken: Group, rest: Group) -> None:
        self.gain = gain
        self.taken = taken
        self.rest = rest


def weight(text: str) -> int:
    """About how many tokens `text` is."""
    return len(_TOKEN.findall(text))


def padded(value: str, width: int) -> str:
    """`value` filled with blanks to `width` characters: before it, or behind it where `width` is negative."""
    return value.rjust(width) if width >= 0 else value.ljust(-width)


def _settled(parts: Iterable[Part]) -> list[Part]:
    """`parts` with a literal where all lines have the same, fields cut where that makes one, adjoining ones joined."""
    out: list[Part] = []
    for part in parts:
        if isinstance(part, str):
            new: list[Part] = [part]
        elif part.values[0] == part.values[-1] and part.values.count(part.values[0]) == len(part.values):
            new = [padded(part.values[0], part.width)]
        elif part.tail:
            new = _beginning(part)
        elif part.whole:
            new = _trimmed(part) if part.width else _cut(part)
        else:
            new = [part]
        for piece in new:
            if isinstance(piece, str) and out and isinstance(out[-1], str):
                out[-1] += piece
            elif piece:
                out.append(piece)
    return out


def _beginning(column: Column) -> list[Part]:
    """All the rest of lines, without what all of them begin with up to a mark or blank."""
    low, high = min(column.values), max(column.values)
    size = next((at for at, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))
    start = max([match.end() for match in _OPENED.finditer(low, 0, size)], default=0)
    if not start:
        return [column]
    return [low[:start], Column([value[start:] for value in column.values], whole=False, tail=True)]


def _cut(column: Column) -> list[Part]:
    """A field in pieces, where all lines have the same marks in it and a piece in common."""
    values = column.values
    if _MARK.search(values[0]) is None:
        return _dated(column)
    first = _CUT.split(values[0])
    marks = first[1::2]
    known: dict[str, list[str]] = {}
    for value in values:
        if value not in known:
            known[value] = pieces = _CUT.split(value)
            if pieces[1::2] != marks:
                return _dated(column)
    columns = [*zip(*known.values(), strict=True)]
    varies = [at % 2 == 0 and pieces.count(pieces[0]) < len(pieces) for at, pieces in enumerate(columns)]
    out: list[Part] = []
    at = 0
    while at < len(columns):
        if not varies[at]:
            out.append(first[at])
            at += 1
            continue
        # What marks alone join stays joined, and so does what a value opens with a bracket or `=`.
        end = at + 1
        while end < len(columns):
            mark = first[end][0]
            if _is_closed(first[at:end]) and mark not in "=([{<" and (mark not in ",;" or not varies[end + 1]):
                break
            end += 2
        joined = {value: "".join(pieces[at:end]) for value, pieces in known.items()}
        out += _dated(Column([joined[value] for value in values], whole=False))
        at = end
    return out


def _trimmed(column: Column) -> list[Part]:
    """A padded field without the marks that all lines have on the side where nothing is padded."""
    values, width = column.values, column.width
    if width > 0:
        end = values[0][len(values[0].rstrip(_CLOSING)) :]
        if not end or any(value[len(value.rstrip(_CLOSING)) :] != end for value in values) or end in values:
            return [column]
        return [Column([value[: -len(end)] for value in values], whole=False, width=width - len(end)), end]
    start = values[0][: len(values[0]) - len(values[0].lstrip(_OPENING))]
    if not start or any(value[: len(value) - len(value.lstrip(_OPENING))] != start for value in values):
        return [column]
    if start in values:
        return [column]
    return [start, Column([value[len(start) :] for value in values], whole=False, width=width + len(start))]


def _is_closed(pieces: list[str]) -> bool:
    """Whether no bracket or quote of these pieces, with the marks between them, is left open."""
    marks = "".join(pieces[1::2])
    return not marks or (
        sum(map(marks.count, "([{<")) <= sum(map(marks.count, ")]}>"))
        and marks.count('"') % 2 == 0
        and marks.count("'") % 2 == 0
    )


def _dated(column: Column) -> list[Part]:
    """A column of times without the date that all of them begin with."""
    date = DATE.match(column.values[0])
    if date is None or not all(value.startswith(date[0]) for value in column.values):
        return [column]
    return [date[0], Column([value[date.end() :] for value in column.values], whole=False)]
