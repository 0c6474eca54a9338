"""Requests and saved tokens by project, in memory that the workers share.

Each worker writes its own rows and any worker reads all of them; rows of one name are added up. There are as many rows
as `LIMIT`, however many names clients invent: what comes after goes to `other`.
"""

from __future__ import annotations

import mmap
import struct
from typing import Final

from headroom.attribution import NAME_LIMIT

LIMIT: Final = 64  # projects that are told apart
_NAME_BYTES: Final = NAME_LIMIT * 4  # of UTF-8
_ROW: Final = struct.Struct(f"<H{_NAME_BYTES}sdd")
_FIGURES: Final = struct.Struct("<dd")
_FIGURES_AT: Final = 2 + _NAME_BYTES
_ROWS: Final = LIMIT + 1  # the first is `other`
_BLOCK: Final = _ROWS * _ROW.size

Figures = dict[str, int]


class Projects:
    """The shared table. Make it before workers are forked."""

    def __init__(self, workers: int = 1) -> None:
        self._memory = mmap.mmap(-1, max(1, workers) * _BLOCK)
        self._workers = max(1, workers)

    def rows(self, worker: int) -> Rows:
        """The rows of one worker, with what an earlier one in its place has left there."""
        view = memoryview(self._memory)
        return Rows(view[worker * _BLOCK : (worker + 1) * _BLOCK])

    def figures(self) -> dict[str, object]:
        """What all workers have counted: by name, most saved first, and for all others together."""
        total: dict[str, list[float]] = {}
        other = [0.0, 0.0]
        for worker in range(self._workers):
            for number, (name, requests, saved) in enumerate(_read(memoryview(self._memory), worker * _BLOCK)):
                sums = total.setdefault(name, [0.0, 0.0]) if number else other
                sums[0] += requests
                sums[1] += saved
        ranked = sorted(total, key=lambda name: (-total[name][1], name))
        for name in ranked[LIMIT:]:
            other[0] += total[name][0]
            other[1] += total[name][1]
        return {"by_name": {name: _shown(total[name]) for name in ranked[:LIMIT]}, "other": _shown(other)}


class Rows:
    """One worker's rows."""

    __slots__ = ("_at", "_view")

    def __init__(self, view: memoryview[int]) -> None:
        self._view = view
        self._at = {row[0]: number for number, row in enumerate(_read(view, 0)) if number}

    def count(self, name: str, saved: float) -> None:
        """Add one request of a project and the tokens that it saved. Cost: a look-up and an addition."""
        number = self._at.get(name)
        if number is None:
            number = self._take(name)
        at = number * _ROW.size + _FIGURES_AT
        requests, tokens = _FIGURES.unpack_from(self._view, at)
        _FIGURES.pack_into(self._view, at, requests + 1, tokens + saved)

    def _take(self, name: str) -> int:
        """The row of a name that has none yet; the one of all others where there is none left."""
        text = name.encode()
        if len(self._at) == LIMIT or not 0 < len(text) <= _NAME_BYTES:
            return 0
        number = self._at[name] = len(self._at) + 1
        start = number * _ROW.size
        self._view[start + 2 : start + 2 + len(text)] = text
        # Written last: a row with a length has its whole name.
        struct.pack_into("<H", self._view, start, len(text))
        return number


def _read(view: memoryview[int], start: int) -> list[tuple[str, float, float]]:
    """The rows that are in use, the one of all others first."""
    found: list[tuple[str, float, float]] = []
    for number in range(_ROWS):
        length, name, requests, saved = _ROW.unpack_from(view, start + number * _ROW.size)
        if number and not length:
            break
        found.append((name[:length].decode(), requests, saved))
    return found


def _shown(sums: list[float]) -> Figures:
    return {"requests": int(sums[0]), "tokens_saved": int(sums[1])}
