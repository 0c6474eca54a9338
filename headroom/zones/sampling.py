"""Which of many rows to show: what is out of the ordinary, both ends, and an even choice of the rest.

Nothing here knows a question that is asked; the same rows give the same choice. Cost: linear, but for sorting columns.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TypeAlias

from headroom.zones import signs
from headroom.zones.gaps import Gap, shorten

Value: TypeAlias = str | float
"""A cell: text, or a number."""
Row: TypeAlias = Mapping[str, Value]

LEAST_ROWS = 14
_FIRST = 4
_LAST = 2
_SHARE = 6  # one row in so many is shown
_FEWEST = 8  # rows shown, at least
_MOST = 40  # rows shown, but for those out of the ordinary
_WINDOW = 5  # rows on each side of a change
_CHANGES = 4  # changes shown per column
_FAR = 6.0  # deviations (by the median) that make a number an anomaly
_STATED = 200  # characters of a value that can be a message; longer ones are prose
_COLUMNS = 40  # columns that are looked at
_TOLD = 3  # columns a note tells of


def choose(rows: Sequence[Row], same: Sequence[str], ordinary: bool = True) -> bytearray:
    """One byte per row, 1 where it is to be shown. `same[i] == same[j]` means that the rows i and j are equal.

    Every row with an error among its values is, unless its equal is. `ordinary` asks for an even choice as well.
    """
    size = len(rows)
    if size < LEAST_ROWS:
        return bytearray(b"\x01" * size)
    kept = bytearray(size)
    _keep_errors(rows, same, kept)
    _keep_rare_fields(rows, kept)
    for column in _columns(rows).values():
        numbers = [(at, value) for at, value in column if isinstance(value, float)]
        if len(numbers) * 2 > len(column):
            _keep_anomalies(numbers, size, kept)
        elif len(column) * 5 >= size * 4:
            _keep_rare_values(column, kept)
    for at in (*range(_FIRST), *range(size - _LAST, size)):
        kept[at] = 1
    if ordinary:
        _fill(same, kept)
    return kept


def _keep_errors(rows: Sequence[Row], same: Sequence[str], kept: bytearray) -> None:
    seen: set[str] = set()
    for at, row in enumerate(rows):
        if same[at] in seen:
            continue
        for value in row.values():
            if isinstance(value, str) and len(value) <= _STATED and signs.is_bad_value(value):
                kept[at] = 1
                seen.add(same[at])
                break


def _keep_rare_fields(rows: Sequence[Row], kept: bytearray) -> None:
    having: dict[str, list[int]] = {}
    for at, row in enumerate(rows):
        for name in row:
            having.setdefault(name, []).append(at)
    left = max(2, len(rows) // 20)
    for places in sorted(having.values(), key=len):
        if len(places) > left:
            break
        left -= len(places)
        for at in places:
            kept[at] = 1


def _columns(rows: Sequence[Row]) -> dict[str, list[tuple[int, Value]]]:
    columns: dict[str, list[tuple[int, Value]]] = {}
    for at, row in enumerate(rows):
        for name, value in row.items():
            if name in columns:
                columns[name].append((at, value))
            elif len(columns) < _COLUMNS:
                columns[name] = [(at, value)]
    return columns


def _keep_rare_values(column: list[tuple[int, Value]], kept: bytearray) -> None:
    """Of a column with few values, rows with another than the usual ones: the first two of each."""
    places: dict[Value, list[int]] = {}
    for at, value in column:
        places.setdefault(value, []).append(at)
        if len(places) > 50:
            return
    ranked = sorted(places.values(), key=lambda found: -len(found))
    covered = usual = 0
    while covered * 5 < len(column) * 4:
        covered += len(ranked[usual])
        usual += 1
    if usual <= 5:
        for found in ranked[usual:]:
            for at in found[:2]:
                kept[at] = 1


def _keep_anomalies(numbers: list[tuple[int, float]], size: int, kept: bytearray) -> None:
    """Numbers far from the median, the farthest first, and the places where the level of the numbers changes."""
    values = [value for _, value in numbers]
    if len(values) < 8 or _is_counting(values):
        return
    middle = statistics.median(values)
    spread = statistics.median([abs(value - middle) for value in values]) * 1.4826
    if spread <= 0:  # most are equal: whatever is not is far
        spread = statistics.fmean([abs(value - middle) for value in values])
    if spread > 0 and math.isfinite(spread):
        far = [(-abs(value - middle), at) for at, value in numbers if abs(value - middle) > _FAR * spread]
        for _, at in sorted(far)[: max(3, size // 50)]:
            kept[at] = 1
    for place in _changes(values):
        kept[numbers[place - 1][0]] = kept[numbers[place][0]] = 1


def _is_counting(values: list[float]) -> bool:
    """Whether the numbers only rise, or only fall: ids, line numbers, times."""
    pairs = list(pairwise(values))
    rising = sum(b > a for a, b in pairs)
    falling = sum(b < a for a, b in pairs)
    return max(rising, falling) * 10 >= len(pairs) * 9


def _changes(values: list[float]) -> list[int]:
    """Where the mean of the numbers before and behind differ by far more than the numbers on either side do."""
    extent = max(values) - min(values)
    if len(values) < 4 * _WINDOW or not extent > 0 or not math.isfinite(extent):
        return []
    found: list[tuple[float, int]] = []
    means = [0.0] * (len(values) + 1)
    spreads = [0.0] * (len(values) + 1)
    for at in range(len(values) - _WINDOW + 1):
        window = values[at : at + _WINDOW]
        means[at] = sum(window) / _WINDOW
        spreads[at] = max(window) - min(window)
    for at in range(_WINDOW, len(values) - _WINDOW + 1):
        within = max(spreads[at], spreads[at - _WINDOW]) + extent / 50
        ratio = abs(means[at] - means[at - _WINDOW]) / within
        if ratio > 1.5:
            found.append((-ratio, at))
    chosen: list[int] = []
    for _, at in sorted(found):
        if len(chosen) == _CHANGES:
            break
        if all(abs(at - other) > _WINDOW for other in chosen):
            chosen.append(at)
    return chosen


def _fill(same: Sequence[str], kept: bytearray) -> None:
    """Rows in even steps, none that is equal to one that is shown."""
    size = len(kept)
    wanted = min(_MOST, max(_FEWEST, size // _SHARE)) - sum(kept)
    if wanted <= 0:
        return
    seen = {same[at] for at in range(size) if kept[at]}
    for step in range(1, wanted + 1):
        at = step * size // (wanted + 1)
        if not kept[at] and same[at] not in seen:
            kept[at] = 1
            seen.add(same[at])


def describe(rows: Sequence[Row], gap: Gap) -> str:
    """What rows are in a gap, by a few of their columns: `id 38–74, status ok ×37, latency_ms 3–41`."""
    missing = rows[gap.first - 1 : gap.last]
    if len(missing) < 3:
        return ""
    told: list[str] = []
    for name, column in _columns(missing).items():
        values = [value for _, value in column]
        if len(told) == _TOLD:
            break
        if len(values) * 2 < len(missing):
            continue
        label = f"{shorten(name, 24)} " if name.strip() else ""
        distinct = list(dict.fromkeys(values))
        if all(isinstance(value, float) for value in distinct):
            numbers = [value for value in values if isinstance(value, float)]
            told.append(f"{label}{_spell(min(numbers))}–{_spell(max(numbers))}")
        elif len(distinct) <= 3 and all(isinstance(value, str) and 0 < len(value) <= 24 for value in distinct):
            if len(distinct) > 1 or len(rows) < 3 or any(row.get(name) != distinct[0] for row in rows[:50]):
                parts = [f"{shorten(str(value), 24)} ×{values.count(value)}" for value in distinct]
                told.append(label + ", ".join(parts))
        elif not told and all(len(str(value)) <= 60 for value in (values[0], values[-1])):
            told.append(f"{label}{shorten(str(values[0]), 40)} … {shorten(str(values[-1]), 40)}")
    return "; ".join(told)


def _spell(number: float) -> str:
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else f"{number:.4g}"
