"""Columns whose cells are the same for many rows on end: a line that says the value, then the rows without it.

a.py,7,unused name                    ^a.py
a.py,9,line too long           →      7,unused name
a.py,12,unused name                   9,line too long
b.py,3,unused name                    12,unused name
                                      ^b.py
                                      3,unused name
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

MARK = "^"
NAME = re.compile(r"(&[a-z])=(.*)", re.DOTALL)
_NAMES = "abcdefghijklmnopqrstuvwxyz"
_LEAST_NAMED = 24  # characters of a cell that is worth a name
_LEAST_TIMES = 3  # times that it must be there
AGAIN = 40  # rows after which the values are said again, so that nobody has to look far up
_LEAST_SAVED = 80  # characters; less does not pay for being explained
_LINE = 3  # characters that a line with values costs beside them
_MOST = 10  # columns that are left out of the rows
_TRIED = 20  # columns of which that is tried


def choose(rows: Sequence[Sequence[str]]) -> list[int]:
    """The places of the cells that are worth a line of their own where they change; linear in the rows' cells."""
    if len(rows) < 4:
        return []
    candidates: list[tuple[int, int, set[int]]] = []
    for place in range(len(rows[0])):
        cells = [row[place] for row in rows]
        changes = {at for at in range(1, len(cells)) if cells[at] != cells[at - 1]}
        if len(changes) * 2 < len(cells):
            saved = sum([len(cell) + 1 for cell in cells]) - sum([len(cells[at]) + 1 for at in changes])
            candidates.append((-saved, place, changes))
    candidates.sort(key=lambda candidate: candidate[:2])
    chosen: list[int] = []
    best = _LEAST_SAVED
    changed = set(range(0, len(rows), AGAIN))
    for _, place, changes in candidates[:_TRIED]:
        if len(chosen) == min(_MOST, len(rows[0]) - 1):
            break
        both = changed | changes
        tried = [*chosen, place]
        saved = sum([len(row[at]) + 1 for row in rows for at in tried]) - _LINE * len(both)
        saved -= sum([len(rows[row][at]) + 1 for row in both for at in tried])
        if saved > best:
            chosen, best, changed = tried, saved, both
    return sorted(chosen)


def name(rows: Sequence[Sequence[str]], left_out: Sequence[int]) -> dict[str, str]:
    """Short names for long cells that come again and again, those that save most first; linear in the rows' cells."""
    counts = Counter(cell for row in rows for cell in row if len(cell) >= _LEAST_NAMED)
    for place in left_out:
        counts.subtract(row[place] for row in rows if len(row[place]) >= _LEAST_NAMED)
    found = [(count * len(cell), cell) for cell, count in counts.items() if count >= _LEAST_TIMES]
    found.sort(key=lambda pair: -pair[0])
    return {cell: f"&{_NAMES[at]}" for at, (_, cell) in enumerate(found[: len(_NAMES)])}


def read_names(lines: Sequence[str], at: int) -> tuple[dict[str, str], int]:
    """The cells that have names, by name, on the lines from `at` on, and where these lines end."""
    named: dict[str, str] = {}
    while at < len(lines) and (match := NAME.fullmatch(lines[at])) is not None:
        named[match[1]] = match[2]
        at += 1
    return named, at


class Written:
    """What a reader of the lines so far takes for the values of the columns that are left out."""

    __slots__ = ("_held", "_names", "_places", "_rows")

    def __init__(self, places: Sequence[int], names: Mapping[str, str]) -> None:
        self._places = frozenset(places)
        self._names = names
        self._held: list[str] | None = None
        self._rows = 0

    def split(self, cells: Sequence[str]) -> tuple[str | None, str]:
        """The line to write before a row of `cells`, if there must be one, and the row without what is in it."""
        names = self._names
        if not self._places:
            return None, ",".join([names.get(cell, cell) for cell in cells] if names else cells)
        held = [cell for at, cell in enumerate(cells) if at in self._places]
        row = ",".join([names.get(cell, cell) for at, cell in enumerate(cells) if at not in self._places])
        if held == self._held and self._rows < AGAIN:
            self._rows += 1
            return None, row
        self._held, self._rows = held, 1
        return MARK + ",".join(held), row
