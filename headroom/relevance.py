"""How well a memory fits a query: BM25 for the order, and a floor below which it does not fit at all.

BM25 says which of several texts is nearest, never whether any is near. The floor says that: of the terms that say
something, so many must be common to both, measured against the shorter of the two, since a long prompt may be about a
short memory and a short prompt about a long one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from headroom.terms import COMMON_TERMS, EVERYDAY_TERMS

FLOOR: Final = 0.3  # share of the shorter text's weight that is common to both
_LEAST: Final = 1.0  # weight that must be common to both, however short either is
_SHORTEST: Final = 3.0  # a text is measured as having at least this weight: one word proves little
_COMMON_WEIGHT: Final = 0.25  # of a word of the trade; of other words it is 1
_EVERYDAY_WEIGHT: Final = 0.5
_K1: Final = 1.2  # BM25, as SQLite's
_B: Final = 0.75
_BOOST: Final = 0.2  # how much an importance of 1 adds to a score, and one of 0 takes away
_DIGITS: Final = 9  # decimals of a score: sums of the same terms come out the same whatever their order


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """A memory that shares a term with a query. `terms` are all of its own."""

    id: str
    created: int
    importance: float
    terms: Sequence[str]


def rank(
    query: Sequence[str], candidates: Sequence[Candidate], total: int, average: float, *, loose: bool
) -> list[tuple[float, Candidate]]:
    """The candidates that fit, with their scores, the best first; of equals the older, then the lower id.

    `candidates` are all that share a term with the query, of `total` memories with `average` terms each. `loose` leaves
    the floor out. Cost: linear in the candidates' terms.
    """
    counted = [(candidate, Counter(candidate.terms)) for candidate in candidates]
    spread = Counter(term for _, counts in counted for term in query if term in counts)
    rarity = {
        term: math.log(1 + (max(total, held) - held + 0.5) / (held + 0.5)) * _weight(term)
        for term, held in spread.items()
    }
    wanted = _weigh(query)
    fitting: list[tuple[float, Candidate]] = []
    for candidate, counts in counted:
        shared = [term for term in query if term in counts]
        if not shared or not (loose or fits(_weigh(shared), wanted, _weigh(counts))):
            continue
        length = _K1 * (1 - _B + _B * len(candidate.terms) / (average or 1.0))
        score = sum(rarity[term] * counts[term] * (_K1 + 1) / (counts[term] + length) for term in shared)
        score *= 1 + _BOOST * (2 * candidate.importance - 1)
        fitting.append((round(score, _DIGITS), candidate))
    fitting.sort(key=lambda found: (-found[0], found[1].created, found[1].id))
    return fitting


def fits(shared: float, query: float, memory: float) -> bool:
    """Whether texts that weigh so much, with so much in common, are about the same."""
    return shared >= _LEAST and shared >= FLOOR * max(min(query, memory), _SHORTEST)


def alike(one: Iterable[str], other: Iterable[str]) -> float:
    """How much of the terms of two texts is common to both (Jaccard), 0 to 1."""
    a, b = set(one), set(other)
    return len(a & b) / len(a | b) if a or b else 0.0


def _weigh(found: Iterable[str]) -> float:
    return sum(map(_weight, found))


def _weight(term: str) -> float:
    if term in COMMON_TERMS:
        return _COMMON_WEIGHT
    return _EVERYDAY_WEIGHT if term in EVERYDAY_TERMS else 1.0
