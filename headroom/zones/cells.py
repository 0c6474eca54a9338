"""Cells of a row of JSON values: text bare where it cannot be read as something else, all else as it is spelled.

Values are raw tokens; they are never decoded into numbers, so `1.0`, `1e400` and 2^60 keep their digits.
"""

from __future__ import annotations

import re
from typing import TypeAlias

import msgspec

from headroom.zones.splice import to_token

_OBJECT: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])

_NUMBER = r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?"
_LITERAL = re.compile(rf"{_NUMBER}|true|false|null")
# What a bare cell must not look like: another value, an escape, a blank at either end, or the end of a cell or line.
_END = r",\x00-\x1f\x7f\u0085\u2028\u2029"
_END_OF_CELL = rf"[^{_END}]*+[{_END}]|.*+(?<=\s)"
NOT_BARE = re.compile(rf'(?:{_NUMBER}|true|false|null)\Z|[\s"\[{{~=@^&]|{_END_OF_CELL}', re.DOTALL)
NOT_REST = re.compile(rf'\Z|[\s"\[{{~=@^&]|{_END_OF_CELL}', re.DOTALL)  # the same where only text can be meant
NAME = re.compile(r"[A-Za-z_$][\w$/:-]*", re.ASCII)
STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
_BRACKETS = re.compile(STRING.pattern + r"|[\[\]{}]")
_AS_IT_IS = frozenset('"[{@')  # what a cell begins with that is a token itself, or refers to a table
_LITERALS = frozenset("-0123456789tfn")  # what one begins with that may be
_UNSURE = _LITERALS | frozenset(' "[{~=@^&')  # what a text begins with that may have to be quoted

Row: TypeAlias = dict[str, bytes]
"""An object's members, every value a raw token."""


def dict_of(raw: bytes) -> Row:
    """An object's members with raw values. The last of duplicate keys wins, which the round trip then shows."""
    return {key: bytes(value) for key, value in _OBJECT.decode(raw).items()}


def token(text: str) -> str:
    """`text` as a JSON string."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return to_token(text).decode()


def write_object(row: Row) -> str:
    """`row` as compact JSON."""
    return "{" + ",".join([f"{token(key)}:{value.decode()}" for key, value in row.items()]) + "}"


def _is_simple(text: str) -> bool:
    """Whether a text is one of the many that `NOT_BARE` would not match, for which it takes far longer to say so."""
    return text.isascii() and text.isprintable() and "," not in text and text[0] not in _UNSURE and text[-1] != " "


def write_cell(raw: bytes) -> str:
    """A value as a cell: text bare where that reads back as the same token, anything else raw."""
    spelled = raw.decode()
    if spelled[0] == '"' and "\\" not in spelled and len(spelled) > 2:
        text = spelled[1:-1]
        if _is_simple(text) or not NOT_BARE.match(text):
            return text
    return spelled


def read_cell(cell: str) -> str:
    """The JSON token of a cell: itself, also if it refers to a table, or the string that a bare text stands for."""
    first = cell[:1]
    if first in _AS_IT_IS or (first in _LITERALS and _LITERAL.fullmatch(cell)):
        return cell
    return token(cell)


def split_cells(row: str) -> list[str]:
    """The cells of a line. Raises ValueError."""
    if '"' not in row and "[" not in row and "{" not in row:
        return row.split(",")
    cells: list[str] = []
    at = 0
    while True:
        end = cell_end(row, at)
        cells.append(row[at:end])
        if end >= len(row):
            return cells
        if row[end] != ",":
            raise ValueError("a cell goes on behind its end")
        at = end + 1


def cell_end(row: str, at: int) -> int:
    """Where the cell at `at` ends: the next comma outside strings and brackets, or the end of the row."""
    first = row[at : at + 1]
    if first == '"':
        match = STRING.match(row, at)
        if match is None:
            raise ValueError("a string cell does not end")
        return match.end()
    if first not in ("[", "{"):
        end = row.find(",", at)
        return len(row) if end < 0 else end
    depth = 0
    for match in _BRACKETS.finditer(row, at):
        character = match[0]
        if character in ("[", "{"):
            depth += 1
        elif character in ("]", "}"):
            depth -= 1
            if depth == 0:
                return match.end()
    raise ValueError("a cell's brackets do not close")
