r"""Tables with bars at fixed places (psql, mysql, drawn boxes, padded Markdown): their cells with a bar between them.

    │  7 │ alpha   │ active │        [grid │ at 0 5 15 24, > 1: cells without the blanks around; =: line as it was]
    │ 12 │ beta    │ idle   │    →   7|alpha|active
    │ 95 │ epsilon │ active │        12|beta|idle
                                     95|epsilon|active

The first line gives the bar, the places of all bars, counted from 0, and behind `>` the columns, counted from 1, whose
cells end at the bar behind them; the cells of the others begin at the bar before. Without places a line is its cells
with one blank on each side of every bar, the first and the last included. `names centred to 40` says so of the row that
is next. A line behind `=` is as it was, and so is an empty one. Another such first line begins another table; behind
`[grid off]` all lines are as they were.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import groupby, pairwise

import msgspec

TITLE = "[grid "
_OFF = "[grid off]"
_HOW = "cells without the blanks around; =: line as it was]"
_TITLE = re.compile(
    r"\[grid ([|\u2502\u2503\u2551])(?: at ((?:\d{1,4} ){0,99}\d{1,4}))?(?:, > ((?:\d{1,3} ){0,99}\d{1,3}))?"
    r"(?:, names centred to (\d{1,4}))?: " + re.escape(_HOW),
    re.ASCII,
)
_BAR = re.compile("[|\u2502\u2503\u2551]")

MIN_ROWS = 3
WIDEST = 2000  # characters of a line that is looked at for bars
MAX_BARS = 100
SAMPLE = 100  # rows that the sides of the cells are found by
MIN_SHARE = 0.2  # of the lines that are rows
LONG = 4  # lines that are no rows are taken out of a table together if there are more


class Grid(msgspec.Struct, frozen=True):
    """The bars of a table, and the columns whose cells end at the bar behind them."""

    bar: str
    places: tuple[int, ...]
    right: frozenset[int] = frozenset()
    centred: int = 0  # the width of the next row, if its cells are in the middle


_Bars = tuple[str, tuple[int, ...]]
_Row = tuple[Grid, str]


def encode(text: str) -> str | None:
    """The tables without their blanks, or None where hardly a line is a row. Linear."""
    end = "\n" if text.endswith("\n") else ""
    lines = text.split("\n")
    if end:
        lines.pop()
    if any(line.startswith(TITLE) for line in lines):
        return None
    found = _at_places(lines) or _at_blanks(lines)
    return None if found is None else "\n".join(_write(lines, found)) + end


def _at_places(lines: Sequence[str]) -> list[_Row | None] | None:
    """The rows whose bars are above each other, by line, if there are enough."""
    bars = [_bars(line) for line in lines]
    usual = {found for found, count in Counter(bars).items() if found is not None and count >= MIN_ROWS}
    if not usual:
        return None
    samples: dict[_Bars, list[str]] = {found: [] for found in usual}
    for line, found in zip(lines, bars, strict=True):
        if found in usual and found is not None and len(samples[found]) < SAMPLE:
            samples[found].append(line)
    grids = {found: _grid(found, rows) for found, rows in samples.items()}
    rows: list[_Row | None] = []
    now: Grid | None = None
    for line, found in zip(lines, bars, strict=True):
        grid = grids.get(found) if found is not None else None
        if grid is None:
            rows.append(None)
            continue
        row = _write_row(line, grid)
        if row is None and grid != now:
            grid = msgspec.structs.replace(grid, centred=len(line))
            row = _write_row(line, grid)
        if row is not None:
            now = msgspec.structs.replace(grid, centred=0)
        rows.append(None if row is None else (grid, row))
    return rows if _are_enough(rows, lines) else None


def _at_blanks(lines: Sequence[str]) -> list[_Row | None] | None:
    """The rows with one blank on each side of every bar, by line, if there are enough."""
    first = next((line[0] for line in lines if line[1:2] == " " and _BAR.match(line)), "")
    if not first:
        return None
    grid = Grid(first, ())
    rows = [None if row is None else (grid, row) for row in [_write_row(line, grid) for line in lines]]
    return rows if _are_enough(rows, lines) else None


def _are_enough(rows: Sequence[_Row | None], lines: Sequence[str]) -> bool:
    count = len(rows) - rows.count(None)
    return count >= MIN_ROWS and count >= MIN_SHARE * sum(map(bool, lines))


def _write(lines: Sequence[str], rows: Sequence[_Row | None]) -> list[str]:
    """The rows under the titles of their tables, and the lines between them."""
    out: list[str] = []
    now: Grid | None = None
    at = 0
    for stray, group in groupby(rows, key=lambda row: row is None):
        found = list(group)
        block = lines[at : at + len(found)]
        at += len(found)
        if stray:
            if now is not None and len(block) <= LONG:
                out += ["=" + line if line else line for line in block]
                continue
            if now is not None or not out:
                out.append(_OFF)
            now = None
            out += block
            continue
        for grid, row in filter(None, found):
            if grid != now:
                out.append(_write_title(grid))
                now = msgspec.structs.replace(grid, centred=0)
            out.append(row)
    return out


def decode(pressed: str) -> str:
    """What `encode` was given. Raises ValueError for a text that it cannot have made."""
    end = "\n" if pressed.endswith("\n") else ""
    lines = pressed.split("\n")
    if end:
        lines.pop()
    if not lines[0].startswith(TITLE):
        raise ValueError("no table without the blanks around its cells")
    out: list[str] = []
    grid: Grid | None = None
    for line in lines:
        if line == _OFF:
            grid = None
        elif line.startswith(TITLE):
            grid = _read_title(line)
        elif grid is None:
            out.append(line)
        elif not line or line[0] == "=":
            out.append(line[1:])
        else:
            out.append(_render(line.split("|"), grid))
            if grid.centred:
                grid = msgspec.structs.replace(grid, centred=0)
    return "\n".join(out) + end


def _bars(line: str) -> _Bars | None:
    """Where the bars of a line are; None where it has none, or is too wide to be a table's."""
    if len(line) > WIDEST:
        return None
    first = _BAR.search(line)
    if first is None:
        return None
    bar = first[0]
    places: list[int] = []
    at = first.start()
    while at >= 0 and len(places) <= MAX_BARS:
        # A bar has a blank on each side; one without is a cell's own.
        if (at == 0 or line[at - 1] == " ") and line[at + 1 : at + 2] in (" ", ""):
            places.append(at)
        at = line.find(bar, at + 1)
    return (bar, tuple(places)) if 0 < len(places) < MAX_BARS else None


def _grid(bars: _Bars, rows: Sequence[str]) -> Grid:
    """The grid with these bars, and the side that most cells of each column are at."""
    bar, places = bars
    votes: Counter[int] = Counter()
    for row in rows:
        for at, area in enumerate(_areas(row, places), 1):
            cell = area.strip(" ")
            if cell and area != f" {cell} ":
                votes[at] += 1 if area.endswith(f" {cell} ") else -1
    return Grid(bar, places, frozenset(at for at, vote in votes.items() if vote > 0))


def _areas(line: str, places: Sequence[int]) -> list[str]:
    """What is between the bars, and before and behind them where the line does not begin and end with one."""
    if not places:
        return line[2:-2].split(f" {line[:1]} ")
    areas = [line[begin + 1 : end] for begin, end in pairwise(places)]
    if places[0]:
        areas.insert(0, line[: places[0]])
    if len(line) > places[-1] + 1:
        areas.append(line[places[-1] + 1 :])
    return areas


def _write_row(line: str, grid: Grid) -> str | None:
    """The cells of a line, or None where they would not read back to it."""
    cells = [area.strip(" ") for area in _areas(line, grid.places)]
    row = "|".join(cells)
    if not row or row[0] in "=[" or row.count("|") >= len(cells) or _render(row.split("|"), grid) != line:
        return None
    return row


def _render(cells: Sequence[str], grid: Grid) -> str:
    """The line that has these cells. Raises ValueError where there are too many or too few of them."""
    places = grid.places
    if not places:
        return f"{grid.bar} {f' {grid.bar} '.join(cells)} {grid.bar}"
    open_before = places[0] > 0
    inner = len(places) - 1 + open_before
    if not inner <= len(cells) <= inner + 1:
        raise ValueError("a row has another number of cells than there are between the bars")
    parts: list[str] = []
    at = 0
    for number, cell in enumerate(cells, 1):
        if number > 1 or not open_before:
            parts.append(grid.bar)
            at += 1
        place = number - open_before
        if place < len(places):
            width = places[place] - at
            if grid.centred:
                parts.append(_centre(cell, width))
            else:
                parts.append(f"{cell} ".rjust(width) if number in grid.right else f" {cell}".ljust(width))
            at += width
        else:
            parts.append(_centre(cell, grid.centred - at) if grid.centred else f" {cell}")
    if len(cells) == inner:
        parts.append(grid.bar)
    return "".join(parts)


def _centre(cell: str, width: int) -> str:
    before = max(width - len(cell), 0) // 2
    return f"{' ' * before}{cell}".ljust(width)


def _write_title(grid: Grid) -> str:
    places = " at " + " ".join(map(str, grid.places)) if grid.places else ""
    right = f", > {' '.join(map(str, sorted(grid.right)))}" if grid.right else ""
    centred = f", names centred to {grid.centred}" if grid.centred else ""
    return f"{TITLE}{grid.bar}{places}{right}{centred}: {_HOW}"


def _read_title(line: str) -> Grid:
    match = _TITLE.fullmatch(line)
    if match is None:
        raise ValueError("bars that cannot be read")
    places = tuple(map(int, (match[2] or "").split()))
    if any(begin >= end for begin, end in pairwise(places)):
        raise ValueError("bars that are not one behind the other")
    return Grid(match[1], places, frozenset(map(int, (match[3] or "").split())), int(match[4] or 0))
