"""Where the columns of an aligned table are, and what its title says of them: found, written, read.

How a title is spelled and what it means stands in `columns`, whose rows go by it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise, zip_longest

import msgspec

from headroom.zones import prefixes

_SPEC = re.compile(r"([<>])(\d{1,4})(?:\*(\d{0,3}))?(?:=([^ ;\]]*))?", re.ASCII)
_PADDED = re.compile(r"\|(\d{1,5})", re.ASCII)
_FILLED = re.compile(r"%0(\d{1,2})", re.ASCII)
_NO_CELL = re.compile(r"[ ;\]{}]|\A[%^]")
RULE = re.compile(r"[-=+|: \u2500-\u257f]*")  # a line between a table's rows
HEX = re.compile(r"[0-9a-fA-F]+", re.ASCII)

MIN_LINES = 3
SAMPLE = 150  # lines that the columns are found by
WIDEST = 400  # characters of a line that the columns are found by; what is behind belongs to the last
MAX_COLUMNS = 40
ALIGNED = 0.75  # share of a column's cells that must start, or end, at one place
MIN_SHARE = 0.6  # of the lines that must fit
_LEAST_FILLED = 8  # digits; fewer zeros before a number are a token at most
_LEAST_SAVED = 60  # characters; less does not pay for a heading being explained
_LEAST_FRONT = 4  # characters; shorter ones are a token
_HEADING = 4  # characters that a line of its own costs


class Column(msgspec.Struct):
    """A column of an aligned table."""

    left: bool
    at: int  # where its cells start or end
    words: int = 1  # of every cell; 0 for any number
    constant: str | None = None
    template: prefixes.Template = ()
    filled: int = 0  # digits that hexadecimal numbers are filled up to with zeros
    heading: bool = False  # whether it, or the beginning of it, has a line of its own where it changes
    cut: str = ""  # what ends the beginning that is a heading; unknown when read from a title
    gap: int = 0  # where its cells end in most lines; unknown when read from a title

    @property
    def whole(self) -> bool:
        """Whether its cells are headings and nothing else."""
        return self.heading and not self.template


class Layout(msgspec.Struct):
    """The columns of one table, and the width its lines are filled up to with blanks (0: they are not)."""

    columns: list[Column]
    width: int = 0
    under: str | None = None  # the last heading

    @property
    def live(self) -> list[Column]:
        """The columns that rows give."""
        return [column for column in self.columns if column.constant is None and not column.whole]

    @property
    def plain(self) -> bool:
        """Whether every cell is one word as it stands, but for the last."""
        live = self.live
        return all(column.words == 1 for column in live[:-1]) and not any(
            column.template or column.filled or column.heading for column in self.columns
        )


def find(lines: Sequence[str]) -> tuple[Layout, list[list[str] | None]] | None:
    """The columns that most lines have, and every line's cells, None where they do not fit."""
    if len(lines) < MIN_LINES:
        return None
    rows = [line for line in lines if not RULE.fullmatch(line, 0, WIDEST)] or lines
    sample = [line[:WIDEST] for line in rows[:: -(-len(rows) // SAMPLE)]]
    gaps = [0, *_gaps(sample), WIDEST]
    columns = [_column(sample, begin, end) for begin, end in pairwise(gaps)]
    while None in columns[1:] or (columns[0] is None and len(columns) > 1):
        # What is not aligned is part of the column before, or of the first.
        at = max(columns.index(None), 1)
        columns[at - 1 : at + 1] = [_column(sample, gaps[at - 1], gaps[at + 1])]
        del gaps[at]
    kept = [column for column in columns if column is not None]
    if not 2 <= len(kept) <= MAX_COLUMNS:
        return None
    layout = Layout(kept)
    width, count = Counter(map(len, sample)).most_common(1)[0]
    if count * 2 > len(sample) and sum(line.endswith(" ") for line in sample) * 4 > len(sample):
        layout.width = width
    cells = [fitting(line, layout) for line in lines]
    given = [row for row in cells if row is not None]
    if len(given) < MIN_LINES or len(given) < MIN_SHARE * len(lines):
        return None
    _say(layout, given)
    return layout, cells


def _gaps(sample: Sequence[str]) -> list[int]:
    """Where the gaps begin that (nearly) all lines have."""
    count = len(sample)
    allowed = max(int(count >= 6), count // 20)
    gaps: list[int] = []
    inside = False
    for at, characters in enumerate(zip_longest(*sample)):
        reached = count - characters.count(None)
        if reached * 2 < count:
            break
        if reached - characters.count(" ") > allowed:
            inside = True
        elif inside:
            gaps.append(at)
            inside = False
    if gaps and not inside:
        gaps.pop()
    return gaps


def _column(sample: Sequence[str], begin: int, end: int) -> Column | None:
    """The column whose cells lie between two gaps, or None where they are not aligned."""
    starts: Counter[int] = Counter()
    stops: Counter[int] = Counter()
    for line in sample:
        piece = line[begin:end].rstrip(" ")
        cell = piece.lstrip(" ")
        if cell:
            starts[begin + len(piece) - len(cell)] += 1
            stops[begin + len(piece)] += 1
    if not starts:
        return None
    (start, left), (stop, right) = starts.most_common(1)[0], stops.most_common(1)[0]
    if max(left, right) < ALIGNED * starts.total():
        return None
    return Column(left >= right, start if left >= right else stop, gap=end)


def fitting(line: str, layout: Layout) -> list[str] | None:
    """The cells of `line`, if it is exactly what they are rendered to."""
    cells: list[str] = []
    at = end = 0  # where the cell may begin; where the last one ended
    length = len(line)
    last = len(layout.columns) - 1
    for number, column in enumerate(layout.columns):
        # A cell ends at a blank, in the gap or, if it is too long, behind it.
        gap = column.gap
        cut = line.find(" ", gap if gap > at else at) if number < last else -1
        if cut < 0:
            cut = length
        cell = line[at:cut].strip(" ")
        cells.append(cell)
        if cell:
            start = line.find(cell, at)
            place = column.at if column.left else column.at - len(cell)
            if start != (place if place > end else end + 1 if end else max(place, 0)):
                return None
            end = start + len(cell)
        at = cut
    return cells if length == max(end, layout.width) else None


def render(cells: Sequence[str], layout: Layout) -> str:
    """The line that has these cells."""
    parts: list[str] = []
    at = 0
    for cell, column in zip(cells, layout.columns, strict=True):
        if cell:
            blanks = (column.at if column.left else column.at - len(cell)) - at
            if blanks < 1:
                blanks = 1 if at else 0
            parts.append(" " * blanks + cell)
            at += blanks + len(cell)
    return "".join(parts).ljust(layout.width)


def _say(layout: Layout, rows: Sequence[Sequence[str]]) -> None:
    """Find what the title can say of every column: constants, common beginnings, and how many words a cell has."""
    columns = layout.columns
    varied: list[tuple[int, int]] = []
    values = list(zip(*rows, strict=True))
    for at, (column, cells) in enumerate(zip(columns, values, strict=True)):
        usual, count = Counter(cells).most_common(1)[0]
        others = len(rows) - count
        gain = count * (1 + len(usual) // 4) - others * (len(columns) + 2) - 12
        if others * 10 <= len(rows) and gain > 0 and not _NO_CELL.search(usual):
            column.constant = usual
            continue
        words = Counter([cell.count(" ") + 1 for cell in cells if cell])
        if len(words) > 1:
            varied.append((len(rows) - words.most_common(1)[0][1], at))
        if words:
            column.words = words.most_common(1)[0][0]
        # The first row is the header, or one row of many.
        filled = [cell for cell in cells[1:] if cell]
        made = prefixes.common(filled) if len(filled) > 3 and len(filled) * 4 > len(rows) * 3 else None
        if made is not None and not _NO_CELL.search(made[0] + made[2]):
            column.template = made
        elif max(words, default=0) == 1:
            column.filled = _filled(cells)
    _head(columns, values)
    if varied:
        columns[max(varied)[1]].words = 0
    if not layout.live:
        columns[0].constant = None
        columns[0].heading = False
    live = layout.live
    if all(column.words for column in live):
        live[-1].words = 0


def _filled(cells: Sequence[str]) -> int:
    """The digits of a column of hexadecimal numbers, if most of them begin with zeros; else 0."""
    numbers = [cell for cell in cells if len(cell) >= _LEAST_FILLED and HEX.fullmatch(cell)]
    if len(numbers) * 4 < len(cells) * 3 or len(set(map(len, numbers))) != 1:
        return 0
    return len(numbers[0]) if sum(cell.startswith("000") for cell in numbers) * 4 > len(cells) * 3 else 0


def front(cell: str, cut: str) -> str:
    """What stands above a cell of a column that is cut there."""
    if not cut:
        return cell
    return cell[: (cell.find(cut) if cut == "::" else cell.rfind(cut)) + len(cut)] if cut in cell else ""


def _head(columns: Sequence[Column], values: Sequence[Sequence[str]]) -> None:
    """Make a heading of the column whose cells repeat the one above most, or repeat its folder or file."""
    best, best_cut, most = -1, "", _LEAST_SAVED
    for at, (column, cells) in enumerate(zip(columns, values, strict=True)):
        if column.constant is not None or column.filled:
            continue
        said = sum(map(len, column.template)) * len(cells)
        cuts = ["", *(cut for cut in ("::", "/") if sum([cut in cell for cell in cells]) * 4 > len(cells) * 3)]
        for cut in cuts[:2]:
            fronts = [front(cell, cut) for cell in cells] if cut else cells
            length = sum(map(len, fronts))
            if length < _LEAST_FRONT * len(cells) or (cut and any(" " in one for one in fronts)):
                continue
            runs = 1 + sum(map(str.__ne__, fronts, fronts[1:]))
            saved = length * (len(cells) - runs) // len(cells) - runs * _HEADING - said
            if runs * 4 <= len(cells) and saved > most:
                best, best_cut, most = at, cut, saved
    if best >= 0:
        columns[best].heading = True
        columns[best].cut = best_cut
        columns[best].template = ("", "", "") if best_cut else ()


def write(layout: Layout) -> str:
    """The title's words for the columns."""
    columns = layout.columns
    live = layout.live
    specs = []
    for column in columns:
        spec = f"{'<' if column.left else '>'}{column.at}"
        if (
            column.constant is None
            and not column.whole
            and column.words != 1
            and not (column.words == 0 and column is live[-1])
        ):
            spec += f"*{column.words or ''}"
        if column.constant is not None:
            spec += f"={column.constant}"
        elif column.heading:
            spec += f"=^{prefixes.write(column.template)}"
        elif column.filled:
            spec += f"=%0{column.filled}"
        elif column.template:
            spec += f"={prefixes.write(column.template)}"
        specs.append(spec)
    if layout.width:
        specs.append(f"|{layout.width}")
    return "at " + " ".join(specs)


def read(said: str) -> Layout:
    """The columns that a title speaks of. Raises ValueError."""
    columns: list[Column] = []
    width = 0
    for spec in said.split(" ")[1:]:
        if padded := _PADDED.fullmatch(spec):
            width = int(padded[1])
            continue
        match = _SPEC.fullmatch(spec)
        if match is None:
            raise ValueError("a column that cannot be read")
        column = Column(match[1] == "<", int(match[2]))
        if match[3] is not None:
            column.words = int(match[3] or 0)
        template = prefixes.read(match[4]) if match[4] else None
        if match[4] in ("^", "^{}"):
            column.heading = True
            column.template = ("", "", "") if match[4] == "^{}" else ()
        elif match[4] and match[4][0] == "^":
            raise ValueError("a heading that cannot be read")
        elif filled := _FILLED.fullmatch(match[4] or ""):
            column.filled = int(filled[1])
        elif template is not None:
            if template[1::2] != ("",):
                raise ValueError("a column of more than its cell")
            column.template = template
        else:
            column.constant = match[4]
        columns.append(column)
    layout = Layout(columns, width)
    live = layout.live
    if sum(column.heading for column in columns) > 1:
        raise ValueError("two headings")
    if not live:
        raise ValueError("a table without cells")
    if all(column.words for column in live):
        live[-1].words = 0
    return layout
