"""Times in lines of a log: where they are, and how much of them can stand in a heading above the lines it holds for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from headroom.zones.templates import BREAK, MARK, weight

LOOK = 96  # characters of a line in which a time is looked for
LEAST_SHARE = 0.3  # of the lines must have one
LEAST_GAIN = 0.85  # what headings may cost at most, compared with dates in patterns and times in rows
MOST_NUMBERS = 4  # of a time that may stand in the row, from the right

_STAMP = re.compile(
    r"(?<![\w.:/-])(?:\d{4}([-/.])\d\d\1\d\d[ T:_-]|\d\d/(?:[A-Z][a-z]{2}|\d\d)/\d{2,4}[: ]|\d\d[-/]\d\d(?:[-/]\d\d)? "
    r"|[A-Z][a-z]{2} [ \d]\d )?\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?![\d:])"
    r"|(?<=\A\[) {0,5}\d{1,6}\.\d{6}(?=\])|\A(?:\d{6} \d{6}|\d{10}(?:\d{3}|\.\d{1,9})?)(?= )",
    re.ASCII,
)
_COLONS = re.compile(r":\d\d:", re.ASCII)  # what is in every time of day, and found far quicker
_MORE = re.compile(r"[^\s\[({|=,]{0,20}[\[({|=,]")  # another part of the line in the same field
_NUMBERS = re.compile(r"\d+", re.ASCII)
_DIGITS = str.maketrans("123456789", "000000000")  # makes of a time its shape, which tells its tokens and its cuts


class Stamps:
    """For each line with a time: the line with a mark in its place, the heading that it needs, and what is left.

    A heading ends before a number, and what is left has no blank and begins with a digit, or is empty.
    """

    __slots__ = ("headings", "lines", "rests")

    def __init__(self, lines: list[str], headings: dict[int, str], rests: dict[int, str]) -> None:
        self.lines = lines
        self.headings = headings
        self.rests = rests


def stamped(lines: list[str], which: Sequence[int]) -> Stamps:
    """The times in those lines; none where headings would not pay. Cost: linear, a look at each line's beginning."""
    none = Stamps(lines, {}, {})
    found: dict[int, tuple[int, str]] = {}
    for at in which:
        line = lines[at]
        # A time that has no colons begins the line.
        quick = line[:6].isdigit() or line[:1] == "[" or _COLONS.search(line, 0, LOOK) is not None
        if quick and (match := _STAMP.search(line, 0, LOOK)) is not None:
            found[at] = (match.start(), match[0])
    if len(found) < LEAST_SHARE * len(which) or len(found) < 3:
        return none
    stamps = [stamp for _, stamp in found.values()]
    shapes = "\n".join(stamps).translate(_DIGITS).split("\n")
    cuts = {shape: _cuts(shape) for shape in dict.fromkeys(shapes)}
    costs: list[int] = []
    for k in range(MOST_NUMBERS + 1):
        ends = [cuts[shape][k] for shape in shapes]
        costs.append(_cost([(a[:end], b[:end], b[end:]) for a, b, end in zip(stamps, shapes, ends, strict=True)]))
    best = costs.index(min(costs))
    dated = [stamp[: max(stamp.rfind(" "), stamp.rfind("T")) + 1] for stamp in stamps]
    date = len(dated[0]) if dated.count(dated[0]) == len(dated) else 0
    plain = _cost([("", "", shape[date:]) for shape in shapes])
    if costs[best] > LEAST_GAIN * plain:
        return none
    out = [*lines]
    headings: dict[int, str] = {}
    rests: dict[int, str] = {}
    for (at, (start, stamp)), shape in zip(found.items(), shapes, strict=True):
        cut = cuts[shape][best]
        headings[at], rests[at] = stamp[:cut], stamp[cut:]
        end = lines[at][start + len(stamp) :]
        out[at] = lines[at][:start] + MARK + (BREAK if _MORE.match(end) else "") + end
    return Stamps(out, headings, rests)


def _cuts(stamp: str) -> list[int]:
    """Where to cut for none, one, two, … numbers in the row; the same in stamps of one shape."""
    least = stamp.rfind(" ") + 1
    starts = [match.start() for match in _NUMBERS.finditer(stamp) if match.start() >= least]
    return [len(stamp), *[starts[max(len(starts) - k, 0)] for k in range(1, MOST_NUMBERS + 1)]]


def _cost(pieces: list[tuple[str, str, str]]) -> int:
    """About how many tokens these headings, of these shapes, and rests of these shapes take."""
    before = ["", *[heading for heading, _, _ in pieces]]
    headings = Counter([shape for (heading, shape, _), last in zip(pieces, before, strict=False) if heading != last])
    rests = Counter([rest for _, _, rest in pieces])
    cost = sum([times * (weight(shape) + 2) for shape, times in headings.items()])
    return cost + sum([times * (weight(shape) + 1) for shape, times in rests.items() if shape])
