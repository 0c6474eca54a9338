"""What the values of a column have in common, stated once: `https://h.test/i/{}`, or `https://h.test/i/{id}`.

A cut lies only behind or before a mark that never stands inside an identifier, a number, an address or a time: what is
left in the cell is a whole name that can be quoted and searched for. A date and its time part at their `T`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

SHORTEST = 5  # characters; a shorter common part does not pay for being named
_LOOK = 8  # rows a column must be found in before all are tried
_LONGEST_SOURCE = 200  # characters of a value that another may be made of

# A cut may follow these in a common beginning, and precede them in a common end.
_CUT = r"[/=?&#@\"'()\[\]<>,;| ]"
_BEGIN = re.compile(rf".*(?:{_CUT}|(?:^|[^0-9])\d{{4}}-\d\d-\d\dT)", re.DOTALL)
_END = re.compile(rf"->|{_CUT}")
_IN_DATE = re.compile(r"(?:\A|(?<=[ \"]))\d{1,4}/(?:\d{1,2}/)?\Z")
_HOLE = re.compile(r"\{([^{}]*)\}")

Template = tuple[str, ...]
"""Literals (even places) and the names of columns between them (odd places); the name "" is the cell itself."""


def common(values: Sequence[str], least: int = SHORTEST) -> Template | None:
    """The template of one cell that all `values` follow, or None where they share too little. Linear."""
    if len(values) < 2:
        return None
    low, high = min(values), max(values)
    shortest = len(min(values, key=len))
    begin = _BEGIN.match(low[: min(_shared(low, high), shortest - 1)]) if shortest else None
    prefix = _IN_DATE.sub("", begin[0]) if begin else ""
    room = shortest - len(prefix) - 1  # something must be left of every value
    turned = [value[: -room - 1 : -1] if room > 0 else "" for value in values]
    low, high = min(turned), max(turned)
    shared = low[: _shared(low, high)][::-1]
    end = _END.search(shared)
    suffix = shared[end.start() :] if end else ""
    if len(prefix) + len(suffix) < least or "{" in prefix + suffix or "}" in prefix + suffix:
        return None
    return (prefix, "", suffix)


def derived(values: Sequence[str], sources: Iterable[tuple[str, Sequence[str]]]) -> Template | None:
    """The template that makes every one of `values` out of the same row's cells in `sources`, or None."""
    first = values[0]
    used: list[tuple[str, str, Sequence[str]]] = []
    for name, texts in sources:
        if 0 < len(texts[0]) <= _LONGEST_SOURCE and all(
            _stands_in(text, value) for text, value in zip(texts[:_LOOK], values[:_LOOK], strict=True)
        ):
            used.append((texts[0], name, texts))
    if not used or "{" in first or "}" in first:
        return None
    used.sort(key=lambda source: -len(source[0]))
    pieces = [first]
    for text, name, _ in used:
        pieces = [part for at, piece in enumerate(pieces) for part in ([piece] if at % 2 else _cut(piece, text, name))]
    texts_of = {name: texts for _, name, texts in used}
    columns = [texts_of[piece] if at % 2 else [piece] * len(values) for at, piece in enumerate(pieces)]
    made = map("".join, zip(*columns, strict=True))
    return tuple(pieces) if all(map(str.__eq__, made, values)) else None


def write(template: Template) -> str:
    """A template as text."""
    return "".join(f"{{{piece}}}" if at % 2 else piece for at, piece in enumerate(template))


def read(text: str) -> Template | None:
    """The template that `text` is, or None where it has no hole. Raises ValueError for a brace that is none."""
    pieces = tuple(_HOLE.split(text))
    if any("{" in piece or "}" in piece for piece in pieces):
        raise ValueError("a brace that is no hole")
    return pieces if len(pieces) > 1 else None


def _shared(low: str, high: str) -> int:
    """How many characters two texts have in common at their begin."""
    if high.startswith(low):
        return len(low)
    short, wide = 0, len(low)  # at least `short`, fewer than `wide` + 1
    while short < wide:
        middle = (short + wide + 1) // 2
        if high.startswith(low[:middle]):
            short = middle
        else:
            wide = middle - 1
    return short


def _stands_in(text: str, value: str) -> bool:
    """Whether `text` is in `value` as a whole word."""
    return bool(text) and text in value and _place(value, text, 0) >= 0


def _place(value: str, text: str, at: int) -> int:
    """Where `text` stands in `value` as a whole word, from `at` on; -1 where it does not."""
    while (at := value.find(text, at)) >= 0:
        end = at + len(text)
        if not (at and value[at - 1].isalnum() and text[0].isalnum()) and not (
            end < len(value) and value[end].isalnum() and text[-1].isalnum()
        ):
            return at
        at += len(text)
    return -1


def _cut(piece: str, text: str, name: str) -> list[str]:
    """`piece` with a hole called `name` wherever `text` stands in it."""
    out: list[str] = []
    begin = 0
    while (at := _place(piece, text, begin)) >= 0:
        out += [piece[begin:at], name]
        begin = at + len(text)
    return [*out, piece[begin:]]
