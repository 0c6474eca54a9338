"""Columns whose cells are the same for many rows on end: a line that says the value, then the rows without it.

a.py,7,unused name                    ^a.py
a.py,9,line too long           →      7,unused name
a.py,12,unused name                   9,line too long
b.py,3,unused name                    12,unused name
                                      ^b.py
                                      3,unused name
"""

from __future__ import annotations

from collections.abc import Sequence

MARK = "^"
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


class Written:
    """What a reader of the lines so far takes for the values of the columns that are left out."""

    __slots__ = ("_held", "_places", "_rows")

    def __init__(self, places: Sequence[int]) -> None:
        self._places = frozenset(places)
        self._held: list[str] | None = None
        self._rows = 0

    def split(self, cells: Sequence[str]) -> tuple[str | None, str]:
        """The line to write before a row of `cells`, if there must be one, and the row without them."""
        if not self._places:
            return None, ",".join(cells)
        held = [cell for at, cell in enumerate(cells) if at in self._places]
        row = ",".join([cell for at, cell in enumerate(cells) if at not in self._places])
        if held == self._held and self._rows < AGAIN:
            self._rows += 1
            return None, row
        self._held, self._rows = held, 1
        return MARK + ",".join(held), row
