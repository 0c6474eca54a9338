"""Lines kept and gaps told: what every cut of a text has in common.

A gap is told where it is, in the units of the source: ``… 37 lines left out (38–74): status ok ×37 …``. A gap that
takes more words to tell than to show is shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import msgspec

ABOUT = 160  # characters a note may say about what is missing
_WORTH = 24  # characters a gap must have more than its note
_NOTE = re.compile(r"… (\d+) (line|row|entr|item)(?:s|y|ies)? left out \((\d+)(?:–(\d+))?\)")
_TITLES = ("[excerpt of ", "[text of a web page: ")


class Gap(msgspec.Struct, frozen=True, gc=False):
    """What is left out in one place: units `first` to `last`, counted from 1."""

    first: int
    last: int

    @property
    def count(self) -> int:
        """How many units are missing."""
        return self.last - self.first + 1


class Cut(msgspec.Struct, frozen=True, gc=False):
    """A shorter text. `title` is its first line, `body` the rest, `of` the units of the original.

    `gaps` say how much is missing; where it is they say for lines and rows. Context that a diff lacks, and characters
    of a page or of long values, are one gap from 1 to their number.
    """

    title: str
    body: str
    form: str
    gaps: tuple[Gap, ...]
    of: int
    unit: str = "line"

    @property
    def text(self) -> str:
        """The shorter text, without a marker."""
        return f"{self.title}\n{self.body}"

    @property
    def left_out(self) -> int:
        """Units that are missing."""
        return sum(gap.count for gap in self.gaps)


def tell(gap: Gap, about: str = "", unit: str = "line", limit: int = ABOUT) -> str:
    """A note of `gap`, on one line; of `about` at most `limit` characters."""
    many = {"entry": "entries"}.get(unit, unit + "s")
    span = f"{gap.first}–{gap.last}" if gap.count > 1 else str(gap.first)
    words = f"{gap.count} {unit if gap.count == 1 else many} left out ({span})"
    return f"… {words}: {shorten(about, limit)} …" if about else f"… {words} …"


def shorten(text: str, limit: int) -> str:
    """`text` on one line, at most `limit` characters of it."""
    one = " ".join(text[: 4 * limit].split())
    return one if len(one) <= limit else one[: limit - 1] + "…"


def read_notes(text: str) -> list[Gap]:
    """The gaps that notes in `text` tell of."""
    gaps: list[Gap] = []
    for match in _NOTE.finditer(text):
        first = int(match[3])
        gaps.append(Gap(first, int(match[4] or first)))
    return gaps


def tells_gaps(text: str) -> bool:
    """Whether `text` has something in it that reads like a note, so that a cut of it could not be told from it."""
    return (
        text.startswith(_TITLES) or " left out …" in text or ("left out (" in text and _NOTE.search(text) is not None)
    )


def gaps_of(kept: Sequence[bool] | bytearray) -> list[Gap]:
    """The runs of what is not kept."""
    gaps: list[Gap] = []
    at = 0
    size = len(kept)
    while at < size:
        if kept[at]:
            at += 1
            continue
        begin = at
        while at < size and not kept[at]:
            at += 1
        gaps.append(Gap(begin + 1, at))
    return gaps


def write(
    lines: Sequence[str],
    kept: bytearray,
    about: Callable[[Gap], str],
    lead: Callable[[Gap], str] = lambda _: "",
    least: int = 1,
    whole: bool = False,
    numbers: Sequence[int] | None = None,
) -> tuple[list[str], tuple[Gap, ...]]:
    """The kept lines with a note for each gap; gaps of fewer than `least` lines, or no longer than their note, stay.

    `about` says what is in a gap, `lead` what a note begins with in the source's language. `whole`: what `about` says
    must not be shortened. `numbers` are those of the lines in the source, if they are no longer 1, 2, 3. Cost: linear.
    """
    out: list[str] = []
    told: list[Gap] = []
    at = 0
    for gap in gaps_of(kept):
        out.extend(lines[at : gap.first - 1])
        missing = lines[gap.first - 1 : gap.last]
        size = sum(map(len, missing)) + len(missing)
        at = gap.last
        if gap.count >= least and size > 2 * _WORTH:
            source = gap if numbers is None else Gap(numbers[gap.first - 1], numbers[gap.last - 1])
            note = lead(gap) + tell(source, about(gap), limit=size if whole else ABOUT)
            if len(note) + _WORTH >= size and not whole:
                note = lead(gap) + tell(source)
            if len(note) + _WORTH < size:
                out.append(note)
                told.append(source)
                continue
        out.extend(missing)
    out.extend(lines[at:])
    return out, tuple(told)


def commonest(names: Iterable[str], most: int, counts: bool = True) -> str:
    """The `most` commonest of `names` with their counts: ``939 × GET, 3 × PUT``; more are summed up."""
    tally: dict[str, int] = {}
    for name in names:
        tally[name] = tally.get(name, 0) + 1
    ranked = sorted(tally.items(), key=lambda item: -item[1])  # stable: ties stand as they came
    shown = ranked[:most]
    told = ", ".join(f"{count} × {name}" if counts and count > 1 else name for name, count in shown)
    rest = sum(count for _, count in ranked[most:])
    return f"{told}, {rest} more" if rest else told
