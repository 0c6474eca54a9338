"""Search results: of each file the hits that say most, and the line numbers of all others.

    lib/a.py:12:def take(self):
    … 9 lines left out (2–10): lib/a.py 14, 20–22, 31; lib/b.py 3, 9 …

Every file that has a hit is named, and so is every line that has one; only their texts are missing.
"""

from __future__ import annotations

import re

from headroom.zones import gaps, signs
from headroom.zones.gaps import Cut, Gap

TITLE = "[excerpt of a search: hits as they were; lines between … name the files and lines of the others]"
LEAST_LINES = 20
_PER_FILE = 3  # hits shown of one file
_SHARE = 4  # of all hits one in so many is shown, if that is more than one a file
_HIT = re.compile(r"(?!\d+:|\[)([^\s:]{1,400}):(\d{1,9}):")
_CONTEXT = re.compile(r"([^\s:]{1,400}?)-(\d{1,9})-")
_GUTTER = re.compile(r"(\d{1,9})[:-]")
_DEFINES = re.compile(
    r"\s{0,40}(?:export |pub |public |async |static |default |abstract )*"
    r"(?:def|class|func|fn|function|struct|interface|type|enum|trait|impl|module|package|const|#define)\b"
)


def cut(text: str) -> Cut | None:
    """The hits of `text` that say most. None where it has few, or where they are all short."""
    lines = text.split("\n")
    if len(lines) < LEAST_LINES:
        return None
    places = _places(lines)
    if sum(place is not None for place in places) * 2 < len(lines):
        return None
    kept = _keep(lines, places)
    out, told = gaps.write(lines, kept, lambda gap: _about(places, gap), least=2, whole=True)
    return Cut(TITLE, "\n".join(out), "search cut", told, len(lines)) if told else None


Place = tuple[str, int, bool, str]
"""A file, a line, whether the line is a hit (and not one beside it), and the text found."""


def _places(lines: list[str]) -> list[Place | None]:
    places: list[Place | None] = []
    heading = ""
    for at, line in enumerate(lines):
        hit = _HIT.match(line)
        if hit is not None:
            heading = ""
            places.append((hit[1], int(hit[2]), True, line[hit.end() :]))
            continue
        gutter = _GUTTER.match(line) if heading else None
        if gutter is not None:
            places.append((heading, int(gutter[1]), line[gutter.end() - 1] == ":", line[gutter.end() :]))
            continue
        beside = _CONTEXT.match(line)
        if beside is not None:
            places.append((beside[1], int(beside[2]), False, line[beside.end() :]))
            continue
        if line and " " not in line and at + 1 < len(lines) and _GUTTER.match(lines[at + 1]):
            heading = line
        elif not line:
            heading = ""
        places.append(None)
    return places


def _keep(lines: list[str], places: list[Place | None]) -> bytearray:
    kept = bytearray(len(lines))
    files: dict[str, list[int]] = {}
    for at, place in enumerate(places):
        if place is None:
            kept[at] = lines[at] not in ("", "--")
        elif place[2]:
            files.setdefault(place[0], []).append(at)
    if not files:
        return bytearray(b"\x01" * len(lines))
    hits = sum(map(len, files.values()))
    cap = max(1, min(_PER_FILE, hits // (_SHARE * len(files))))
    wanted = max(10, hits // _SHARE)
    seen: set[str] = set()
    for found in files.values():
        share = max(cap, len(found) * wanted // hits)
        ranked = sorted(found, key=lambda at: (-_worth(places[at], seen), at))
        for at in ranked[:share]:
            kept[at] = 1
            place = places[at]
            seen.add(place[3].strip() if place else "")
    return kept


def _worth(place: Place | None, seen: set[str]) -> int:
    """What a hit says: a definition most, an error much, what stands elsewhere already nothing."""
    if place is None or place[3].strip() in seen:
        return -1
    found = place[3]
    return 2 * (_DEFINES.match(found) is not None) + signs.is_error(found)


def _about(places: list[Place | None], gap: Gap) -> str:
    """The files and line numbers of the hits in a gap (lines beside hits only count); a run of numbers as its ends."""
    files: dict[str, list[int]] = {}
    for place in places[gap.first - 1 : gap.last]:
        if place is not None and place[2]:
            files.setdefault(place[0], []).append(place[1])
    told = [f"{name} {_runs(numbers)}" for name, numbers in files.items()]
    return "; ".join(told)


def _runs(numbers: list[int]) -> str:
    told: list[str] = []
    at = 0
    while at < len(numbers):
        end = at
        while end + 1 < len(numbers) and numbers[end + 1] == numbers[end] + 1:
            end += 1
        told.append(str(numbers[at]) if end == at else f"{numbers[at]}–{numbers[end]}")
        at = end + 1
    return ", ".join(told)
