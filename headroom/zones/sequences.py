"""Rows of a log that come one after another again and again, with values in common: one row for all of them.

    A libone:amd64
    B .../1-libone_1.23-3_amd64.deb
    C libone:amd64 1.23-3
    (and so on)
    →
    a=A 1, B 2, C 1 3
    ---
    a libone:amd64 .../1-libone_1.23-3_amd64.deb 1.23-3

Each row has a pattern of its own. At least half of the rows after the first, and the last, have a value in common with
one before them, or no values.
"""

from __future__ import annotations

from collections import Counter
from string import ascii_lowercase

from headroom.zones.logrows import Row

MOST_ROWS = 6  # in one sequence
MOST_SEQUENCES = 9
MOST_VALUES = 30
MIN_TIMES = 3
MIN_GAIN = 16  # estimated tokens
_STEP_COST = 4  # estimated tokens of a pattern in the table of sequences
_ROW_COST = 2  # and of a row's letter and end

Step = tuple[str, tuple[int, ...]]
"""The letters of a row, and which of the sequence's values it takes, from 0."""


class _Found:
    """Where a sequence is, with its values, and what it saves in all these places."""

    __slots__ = ("places", "saved")

    def __init__(self) -> None:
        self.places: list[tuple[tuple[int, ...], list[str]]] = []
        self.saved = 0


def joined(rows: dict[int, Row]) -> dict[int, Row]:
    """Rows that follow each other and have the same values as one, in the order of lines. Cost: linear."""
    out: dict[int, Row] = {}
    last: Row | None = None
    end = -1
    for at in sorted(rows):
        row = rows[at]
        if last is None or at != end or not last.takes(row):
            out[at] = last = row
        end = at + 1
    return out


def sequences(rows: dict[int, Row]) -> dict[str, tuple[Step, ...]]:
    """Small letters for sequences of rows; in each place of one the first row becomes that of all, and the others
    are taken out of `rows`, which are in the order of lines. Cost: linear.
    """
    found: dict[tuple[Step, ...], _Found] = {}
    for start, length in _lengths(rows).items():
        _look(rows, start, length, found)
    ranked = [
        (hit.saved - _STEP_COST * (len(steps) + 1), steps, hit)
        for steps, hit in found.items()
        if len(hit.places) >= MIN_TIMES
    ]
    ranked.sort(key=lambda entry: (-entry[0], entry[1]))
    chosen: dict[str, tuple[Step, ...]] = {}
    taken: set[int] = set()
    for gain, steps, hit in ranked[: MOST_SEQUENCES * 9]:
        if gain < MIN_GAIN or len(chosen) == MOST_SEQUENCES:
            break
        places = [(lines, values) for lines, values in hit.places if taken.isdisjoint(lines)]
        cost = _STEP_COST * (len(steps) + 1)
        if len(places) < MIN_TIMES or hit.saved * len(places) // len(hit.places) - cost < MIN_GAIN:
            continue
        letter = ascii_lowercase[len(chosen)]
        chosen[letter] = steps
        for lines, values in places:
            taken.update(lines)
            start = lines[0]
            timed = next((rows[at] for at in lines if rows[at].heading is not None), rows[start])
            row = Row(letter, values, rows[start].indent, timed.heading, timed.rest)
            row.span = sum(rows[at].span for at in lines)
            rows[start] = row
            for at in lines[1:]:
                del rows[at]
    return chosen


def _lengths(rows: dict[int, Row]) -> dict[int, int]:
    """How many rows from each one on can be a sequence: as many as have patterns that come together often enough."""
    lengths: dict[int, int] = {}
    begun: dict[int, tuple[tuple[str, ...], int]] = {
        start: ((row.letters,), start + row.span) for start, row in rows.items()
    }
    for length in range(2, MOST_ROWS + 1):
        longer = {
            start: ((*letters, following.letters), end + following.span)
            for start, (letters, end) in begun.items()
            if (following := rows.get(end)) is not None and following.letters not in letters
        }
        times = Counter([letters for letters, _ in longer.values()])
        begun = {start: (letters, end) for start, (letters, end) in longer.items() if times[letters] >= MIN_TIMES}
        lengths.update(dict.fromkeys(begun, length))
    return lengths


def _look(rows: dict[int, Row], start: int, length: int, found: dict[tuple[Step, ...], _Found]) -> None:
    """Note every sequence of up to `length` rows that begins with the row at `start`."""
    first = rows[start]
    if length == 2 and (others := rows[start + first.span].values) and set(first.values).isdisjoint(others):
        return
    values: dict[str, int] = {}  # and their places
    steps: list[Step] = []
    time: tuple[str | None, str] | None = None
    saved = 0
    worth_it = False
    sharing = 0
    lines: list[int] = []
    at = start
    for _ in range(length):
        row = rows[at]
        if row.indent != first.indent or len(values) + len(row.values) > MOST_VALUES:
            return
        if row.heading is not None:
            if time is not None and time != (row.heading, row.rest):
                return
            time = (row.heading, row.rest)
        indexes: list[int] = []
        known = len(values)
        for value in row.values:
            if value in values:
                saved += len(value) // 4 + 1
            indexes.append(values.setdefault(value, len(values)))
        # Only the last value may have blanks; the last of the row before was looked at when it was not yet followed.
        if " " in "".join([*values][max(known - 1, 0) : -1]):
            return
        steps.append((row.letters, tuple(indexes)))
        lines.append(at)
        if at > start:
            shares = not indexes or min(indexes) < known
            sharing += shares
            saved += _ROW_COST
            # What only takes the first values needs no letter of its own.
            worth_it |= indexes != [*range(len(indexes))]
            if worth_it and shares and sharing * 2 >= len(steps) - 1:
                hit = found.setdefault(tuple(steps), _Found())
                hit.places.append((tuple(lines), [*values]))
                hit.saved += saved
        at += row.span
