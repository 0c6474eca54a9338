"""JSON texts for property tests: trees of raw tokens, written in any layout.

Tokens are kept as they are spelled, so that a text says 1.0, 1e400 or -0 where it should.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from hypothesis import strategies as st


@dataclass(frozen=True)
class Members:
    """An object: pairs of key token and value, in order, duplicates allowed."""

    pairs: tuple[tuple[str, Tree], ...]


Tree: TypeAlias = str | tuple["Tree", ...] | Members
"""A scalar's token, an array, or an object."""


def plain(text: str) -> str:
    """`text` as a token with raw Unicode, the spelling of the clients."""
    return json.dumps(text, ensure_ascii=False)


TRICKY = (
    *("", " ", ",", "a,b", 'say "no"', "two\nlines", "cr\rlf\r\n", "\u2028", "a\u2029b", "\x85", " leading", "blank "),
    *("007", "12", "1.0", "-0", "1e5", "0x1", "null", "true", "nullable", "@1", "@12 and more", "@1[2] a,b", "~", "=x"),
    *("{", "[[1]]", "}", "a.b", "[json; layout was compact]", "[matches by file]", "\\", "\x7f", "\t", "\x00"),
    *("é", "😀", "|", "--", "3:x", "a=b", "\ufeff", "\u00a0", "２", "['x']", "#", "\x1f", "\x1c"),
)
TEXTS = st.sampled_from(TRICKY) | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.sampled_from(
    ["0", "-0", "1.0", "1e400", "-1E+2", "0.10", "1152921504606846976", "123456789012345678901234567890", "5e-324"]
) | st.integers(-1000, 1000).map(str)
STRINGS = TEXTS.map(plain)
SCALARS = NUMBERS | STRINGS | st.sampled_from(["null", "true", "false"])
NAMES = st.sampled_from(
    ["id", "name", "a.b", "a,b", "a=b", "", "@1", "$ref", "ключ", "x-y", "1", "[", 'q"', "~", "k/v:w"]
)
KEYS = (NAMES | TEXTS).map(plain)


@st.composite
def objects(draw: st.DrawFn, values: st.SearchStrategy[Tree], most: int = 4) -> Tree:
    """Objects without duplicate keys."""
    keys = draw(st.lists(KEYS, max_size=most, unique=True))
    return Members(tuple((key, draw(values)) for key in keys))


@st.composite
def _cells(draw: st.DrawFn) -> st.SearchStrategy[Tree]:
    """What one column of an array holds: a constant, scalars, objects with or without the same keys, or lists."""
    kind = draw(st.sampled_from(["constant", "scalars", "objects", "lists", "anything", "nulls"]))
    if kind == "constant":
        return st.just(draw(SCALARS))
    if kind == "scalars":
        return SCALARS
    if kind == "nulls":
        return st.sampled_from(["null", "1", '"x"'])
    if kind == "anything":
        return SCALARS | objects(SCALARS, 2) | st.lists(SCALARS, max_size=2).map(tuple)
    keys = draw(st.lists(KEYS, min_size=1, max_size=3, unique=True))
    one: st.SearchStrategy[Tree] = st.tuples(*(SCALARS for _ in keys)).map(
        lambda values: Members(tuple(zip(keys, values, strict=True)))
    )
    if kind == "objects":
        return one | st.just("null") if draw(st.booleans()) else one
    return st.lists(one, max_size=3).map(tuple)


@st.composite
def _row_lists(draw: st.DrawFn) -> Sequence[Tree]:
    """Objects that mostly have the same keys: some missing, some in another order."""
    columns = [(key, draw(_cells())) for key in draw(st.lists(KEYS, min_size=1, max_size=5, unique=True))]
    ragged = draw(st.booleans())
    rows: list[Tree] = []
    for _ in range(draw(st.integers(1, 6))):
        pairs = [(key, draw(cell)) for key, cell in columns if not ragged or draw(st.integers(0, 5))]
        if ragged and draw(st.integers(0, 7)) == 0:
            pairs.reverse()
        rows.append(Members(tuple(pairs)))
    return rows


@st.composite
def _keyed_rows(draw: st.DrawFn) -> Tree:
    rows = draw(_row_lists())
    keys = draw(st.lists(KEYS, min_size=len(rows), max_size=len(rows), unique=True))
    return Members(tuple(zip(keys, rows, strict=True)))


ROWS: st.SearchStrategy[Tree] = _row_lists().map(tuple) | _keyed_rows()
TREES: st.SearchStrategy[Tree] = st.recursive(
    SCALARS | ROWS, lambda inner: st.lists(inner, max_size=3).map(tuple) | objects(inner, 3), max_leaves=4
)
"""Documents without duplicate keys, every string in its plain spelling."""

ODD_KEYS = st.sampled_from(['"a"', '"\\u0061"', '"b"'])
ODD_SCALARS = SCALARS | TEXTS.map(json.dumps) | st.sampled_from(['"\\/"', '"\\u005c"', '"\\uD83D\\uDE00"'])
ODD_TREES: st.SearchStrategy[Tree] = st.recursive(
    ODD_SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5).map(tuple)
        | st.lists(st.tuples(ODD_KEYS, inner), max_size=4).map(lambda pairs: Members(tuple(pairs)))
    ),
    max_leaves=20,
)
"""Documents with duplicate keys, and strings in unusual spellings."""


def write(tree: Tree, unit: str | None = None, comma: str = ",", colon: str = ":", _depth: int = 1) -> str:
    """`tree` as text: on one line, or with `unit` for every level as `JSON.stringify` and `json.dumps` indent."""
    if isinstance(tree, str):
        return tree
    if isinstance(tree, Members):
        parts = [f"{key}{colon}{write(value, unit, comma, colon, _depth + 1)}" for key, value in tree.pairs]
        begin, end = "{", "}"
    else:
        parts = [write(value, unit, comma, colon, _depth + 1) for value in tree]
        begin, end = "[", "]"
    if not parts or unit is None:
        return begin + comma.join(parts) + end
    line = "\n" + unit * _depth
    return begin + line + f",{line}".join(parts) + line.removesuffix(unit) + end


def compact(tree: Tree) -> str:
    """`tree` without a blank."""
    return write(tree)


LAYOUTS = {
    "one line with blanks": (None, ", ", ": "),
    "one tab a level": ("\t", ",", ": "),
    "1 blank a level": (" ", ",", ": "),
    **{f"{n} blanks a level": (" " * n, ",", ": ") for n in (2, 3, 4, 5, 6, 7, 8, 16)},
}
"""What `write` is to be given for each layout that has a name."""


def pieces(tree: Tree) -> Iterator[str]:
    """The tokens of `tree`, in order."""
    if isinstance(tree, str):
        yield tree
        return
    if isinstance(tree, Members):
        yield "{"
        for at, (key, value) in enumerate(tree.pairs):
            yield from ([",", key, ":"] if at else [key, ":"])
            yield from pieces(value)
        yield "}"
    else:
        yield "["
        for at, element in enumerate(tree):
            if at:
                yield ","
            yield from pieces(element)
        yield "]"


@st.composite
def scattered(draw: st.DrawFn, trees: st.SearchStrategy[Tree] = TREES) -> tuple[Tree, str]:
    """A tree, and its text with blanks anywhere between its tokens."""
    tree = draw(trees)
    blanks = st.sampled_from(["", "", " ", "\n", "\r\n", "\t", "  "])
    return tree, "".join(draw(blanks) + piece for piece in pieces(tree)) + draw(blanks)
