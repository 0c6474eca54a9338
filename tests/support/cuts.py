"""Feed the same bytes in every possible cut and want the same answer.

A reader must not care where the network cut its input.  `every_cut` runs it
over the whole input, over every cut into two pieces, and byte by byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

__all__ = ["CutsDisagree", "cuts", "every_cut"]

T = TypeVar("T")


class CutsDisagree(AssertionError):
    """The answer changed with the cut."""


def _positions(length: int, at_most: int | None) -> list[int]:
    inner = range(1, length)
    if at_most is None or len(inner) <= at_most:
        return list(inner)
    # Spread evenly over the whole, first and last position included.
    steps = max(at_most - 1, 1)
    return sorted({inner[i * (len(inner) - 1) // steps] for i in range(at_most)})


def cuts(data: bytes, *, at_most: int | None = None) -> Iterator[tuple[bytes, ...]]:
    """The whole, then each cut in two from the left, then single bytes.

    No piece is ever empty; empty data gives one cut without pieces.  `at_most`
    limits the number of cuts in two, spread evenly, for data that is long.
    """
    if not data:
        yield ()
        return
    yield (data,)
    for position in _positions(len(data), at_most):
        yield (data[:position], data[position:])
    if len(data) > 2:
        yield tuple(data[i : i + 1] for i in range(len(data)))


def every_cut(feed: Callable[[Sequence[bytes]], T], data: bytes, *, at_most: int | None = None) -> T:
    """Run `feed` over all `cuts` of `data` and return the one answer.

    `feed` starts afresh on each call, takes the pieces in order, and returns
    something that compares with ==.  Raises `CutsDisagree` at the first cut
    whose answer is not that of the whole.
    """
    pieces = cuts(data, at_most=at_most)
    want = feed(next(pieces))
    for cut in pieces:
        got = feed(cut)
        if got != want:
            where = f"at byte {len(cut[0])}" if len(cut) == 2 else "byte by byte"
            raise CutsDisagree(f"cut {where} of {data!r}:\n  whole: {want!r}\n  cut:   {got!r}")
    return want
