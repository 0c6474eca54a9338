"""Tables, delimited or aligned: the header, rows out of the ordinary, both ends and an even choice of the others."""

from __future__ import annotations

import re

from headroom.zones import gaps, sampling, signs
from headroom.zones.gaps import Cut
from headroom.zones.sampling import Row, Value

TITLE = "[excerpt of a table: rows as they were; lines between … say what is left out]"
LEAST_LINES = 24
_HEAD = 3  # lines kept as the header
_DELIMITERS = (",", "\t", ";", "|")
_NUMBER = re.compile(r"[-+]?(?:\d{1,18}(?:\.\d{0,18})?|\.\d{1,18})(%?)")
_CELLS = 24  # cells of a row that are looked at
_LOOK = 2000  # characters of a row that are looked at


def cut(text: str) -> Cut | None:
    """The rows of `text` that matter. None where nothing much can go. Cost: linear."""
    lines = text.split("\n")
    if len(lines) < LEAST_LINES:
        return None
    delimiter = _delimiter(lines)
    if delimiter and any(line.count('"') % 2 for line in lines):
        return None  # a cell goes over several lines
    names = _names(lines[0], delimiter)
    rows = [_row(line, delimiter, names) for line in lines]
    kept = sampling.choose(rows, lines)
    for at, line in enumerate(lines):
        if at < _HEAD or signs.is_error(line) or signs.is_exit(line):
            kept[at] = 1
    out, told = gaps.write(lines, kept, lambda gap: sampling.describe(rows, gap), least=2)
    return Cut(TITLE, "\n".join(out), "table cut", told, len(lines)) if told else None


def _delimiter(lines: list[str]) -> str:
    """The delimiter that nearly all lines have equally often; "" where the cells stand under each other."""
    head = [line for line in lines[:40] if line]
    for delimiter in _DELIMITERS:
        count = head[0].count(delimiter) if head else 0
        if count and sum(line.count(delimiter) == count for line in head) * 5 >= len(head) * 4:
            return delimiter
    return ""


def _names(header: str, delimiter: str) -> list[str]:
    """What the columns are called: by the first line where it can be a header, else by blanks, which tell nothing."""
    names = [cell.strip().strip('"') for cell in header[:_LOOK].split(delimiter)[:_CELLS]] if delimiter else []
    if not names or len(set(names)) < len(names) or any(not name or name[0].isdecimal() for name in names):
        return []
    return names


def _row(line: str, delimiter: str, names: list[str]) -> Row:
    look = line[:_LOOK]
    cells = look.split(delimiter) if delimiter else look.split()
    row: dict[str, Value] = {}
    for at, cell in enumerate(cells[:_CELLS]):
        bare = cell.strip().strip('"')
        if bare:
            match = _NUMBER.fullmatch(bare)
            row[names[at] if at < len(names) else " " * at] = float(bare.rstrip("%")) if match else bare
    return row
