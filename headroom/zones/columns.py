r"""Aligned tables (ps, ls -l, pip list, df, kubectl get): their cells with one blank between them.

    USER   PID TTY   CMD              [columns at <0 >10 <11=? <17; +: row with all columns, two blanks apart]
    root     1 ?     init         →   +USER  PID  TTY  CMD
    root   412 ?     sshd -D          root 1 init
                                      root 412 sshd -D

A column is the place where its cells start (`<`) or end (`>`), counted from 0. `=text` says what is in it in the rows
that do not give it, `=text{}` what comes before (and behind) its cell. A cell is one word, or as many as `*n` says; one
column, the last if none says `*`, may have any number. `~` is an empty cell. A row behind `+` gives all cells, two
blanks apart; a line behind `=` is as it was; after `[columns off]` all lines are, up to the next `[columns at`. `|80`
says that lines are filled with blanks up to that width.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import groupby

from headroom.zones import column_layout
from headroom.zones.column_layout import HEX, MIN_LINES, MIN_SHARE, Column, Layout, find, fitting, front, render

TITLE = "[columns "
_OFF = "[columns off]"
_HOW = {
    "+": "; +: row with all columns, two blanks apart",
    "=": "; =: line as it was",
    "~": "; ~: empty",
    "^": "; =^: as in the last ^ line",
    "^{}": "; =^{}: behind the last ^ line",
    "%": "; %0: hexadecimal, without the zeros before it",
}
_TITLE = re.compile(r"\[columns (at [^;\n]*|off)" + "".join(f"(?:{re.escape(how)})?" for how in _HOW.values()) + r"\]")
# About what a tokenizer takes for one piece.
_PIECE = re.compile(r"[^\w\s]?[^\W\d_]+| [^\W\d_]+|\d{1,3}| ?(?:[^\w\s]|_)+\n*|\s*\n|\s+(?!\S)|\s")

_GAP = re.compile(r"(?<=[^ ]) {2,}(?=[^ ])")

WEIGHED = 80  # lines that the saving is estimated by
EXPLAINED = 20  # tokens that the first title takes to say how to read it
MOST_VAIN = 40  # blocks in a row without columns that pay; no more are tried behind them
LONG = 4  # lines that fit no table are taken out of it together if there are more


def encode(text: str) -> str | None:
    """The tables with narrow columns, or None where there is none that it pays for."""
    end = "\n" if text.endswith("\n") else ""
    lines = text.split("\n")
    if end:
        lines.pop()
    if ("  " not in text and text.count(" ") < 2 * len(lines)) or text.startswith(TITLE) or "\n" + TITLE in text:
        return None
    out: list[str] = []
    layout: Layout | None = None
    spec = ""
    uses: set[str] = set()
    vain = 0
    blocks = deque((empty, list(group)) for empty, group in groupby(lines, key=_is_empty))
    while blocks:
        empty, block = blocks.popleft()
        if empty:
            out += [line if not line or not layout else "=" + line for line in block]
            continue
        rows = _write_block(block, [fitting(line, layout) for line in block], layout) if layout is not None else None
        if rows is None:
            found = find(block) if vain < MOST_VAIN else None
            vain += 1
            rows = _write_block(block, found[1], found[0]) if found is not None else None
            if rows is not None and found is not None and _pays(block, rows, found[0], first=not spec):
                layout, spec = found[0], column_layout.write(found[0])
                out.append(f"[columns {spec}]")
                vain = 0
            elif vain < MOST_VAIN and len(parts := _parts(block)) > 1:
                blocks.extendleft((False, part) for part in reversed(parts))
                continue
            elif layout is not None and len(block) <= LONG:
                rows = ["=" + line for line in block]
            else:
                if layout is not None:
                    out.append(_OFF)
                layout, rows = None, block
        if layout is not None:
            uses.update(row[:1] for row in rows if row[:1] in ("=", "+"))
            uses.update(_said(column) for column in layout.columns)
            if "~" in "\n".join(rows):
                uses.add("~")
        out += rows
    if not spec:
        return None
    if not out[0].startswith(TITLE):
        out.insert(0, _OFF)
    how = "".join(said for use, said in _HOW.items() if use in uses)
    out[0] = out[0][:-1] + how + "]"
    return "\n".join(out) + end


def decode(pressed: str) -> str:
    """What `encode` was given. Raises ValueError for a text that it cannot have made."""
    end = "\n" if pressed.endswith("\n") else ""
    lines = pressed.split("\n")
    if end:
        lines.pop()
    if not lines[0].startswith(TITLE):
        raise ValueError("no table with narrow columns")
    out: list[str] = []
    layout: Layout | None = None
    counts: list[int] = []  # of the words in the cells that rows give
    for line in lines:
        if line.startswith(TITLE):
            match = _TITLE.fullmatch(line)
            if match is None:
                raise ValueError("columns that cannot be read")
            layout = None if match[1] == "off" else column_layout.read(match[1])
            counts = [column.words for column in layout.live] if layout is not None else []
        elif layout is None or not line:
            out.append(line)
        elif line[0] == "=":
            out.append(line[1:])
        elif line[0] == "^":
            if not any(column.heading for column in layout.columns):
                raise ValueError("a heading of no column")
            layout.under = line[1:]
        else:
            out.append(render(_read_row(line, layout, counts), layout))
    return "\n".join(out) + end


def _is_empty(line: str) -> bool:
    return not line.strip(" ")


def _said(column: Column) -> str:
    """What the title must explain of it."""
    if column.heading:
        return "^{}" if column.template else "^"
    return "%" if column.filled else ""


def _parts(lines: list[str]) -> list[list[str]]:
    """Lines with gaps at the same places by themselves; the whole where there are not several that make a table."""
    parts: list[list[str]] = []
    before: set[int] = set()
    for line in lines:
        gaps = {at for gap in _GAP.finditer(line, 0, column_layout.WIDEST) for at in gap.span()}
        if parts and len(gaps & before) >= max(2, min(len(gaps), len(before)) // 3):
            parts[-1].append(line)
        else:
            parts.append([line])
        before = gaps
    joined: list[list[str]] = []
    strays = False
    for part in parts:
        # Strays between two tables stay together.
        if strays and len(part) < MIN_LINES:
            joined[-1] += part
        else:
            joined.append(part)
        strays = len(part) < MIN_LINES
    return joined if any(len(part) >= MIN_LINES for part in parts) else [lines]


def _pays(lines: Sequence[str], rows: Sequence[str], layout: Layout, *, first: bool) -> bool:
    """Whether the narrow rows save more tokens than the columns take to be named, by estimate."""
    step = -(-len(lines) // WEIGHED)
    wide, narrow = (len(_PIECE.findall("\n".join(block[::step]))) for block in (lines, rows))
    named = len(_PIECE.findall(column_layout.write(layout))) + (EXPLAINED if first else 3)
    return (wide - narrow) * step > named


# Writing.


def _write_block(lines: Sequence[str], cells: Sequence[list[str] | None], layout: Layout) -> list[str] | None:
    """The rows of one table, or None where too few lines fit."""
    rows: list[str] = []
    raw = 0
    plain = layout.plain
    before = layout.under
    live = [at for at, column in enumerate(layout.columns) if column.constant is None]
    constant = [(at, column.constant) for at, column in enumerate(layout.columns) if column.constant is not None]
    for line, found in zip(lines, cells, strict=True):
        row: str | None = None
        if found is not None:
            row = _write_plain([found[at] for at in live]) if plain else None
            if row is None or any(found[at] != value for at, value in constant):
                row = _write_row(found, layout)
                if row is not None and row[0] != "^" and len(row) > len(line):
                    row = None
        if row is None:
            raw += 1
            row = "=" + line
        rows.append(row)
    if len(lines) - raw >= MIN_SHARE * len(lines):
        return rows
    layout.under = before
    return None


def _write_plain(given: list[str]) -> str | None:
    """The row, if every cell is there and one word, but for the last, and none needs an escape."""
    row = " ".join(given)
    if "" in given or "~" in row or row[0] in "=+^[" or row.count(" ") - given[-1].count(" ") != len(given) - 1:
        return None
    return row


def _write_row(cells: Sequence[str], layout: Layout) -> str | None:
    """The cells in a row, below their heading if it is another; None where they would not read back."""
    given: list[str] = []
    above = layout.under
    for cell, column in zip(cells, layout.columns, strict=True):
        if column.constant is not None:
            if cell != column.constant:
                return _write_all(cells)
            continue
        if column.heading:
            above = front(cell, column.cut)
            if not column.template:
                continue
        if not cell:
            given.append("~" if column.words < 2 else " ".join(["~"] * column.words))
            continue
        written = cell
        if column.heading:
            written = cell[len(above or "") :]
        elif column.template:
            prefix, _, suffix = column.template
            written = cell[len(prefix) : len(cell) - len(suffix)]
            if not (cell.startswith(prefix) and cell.endswith(suffix)):
                return _write_all(cells)
        elif column.filled and HEX.fullmatch(cell):
            if len(cell) < column.filled:
                return _write_all(cells)
            written = (cell.lstrip("0") or "0") if len(cell) == column.filled else cell
        if not written or written[0] in "~ ":
            return _write_all(cells)
        if column.words and (written.count(" ") + 1 != column.words or "  " in written):
            return _write_all(cells)
        given.append(written)
    row = " ".join(given)
    if row[0] in "=+^" or row.startswith(TITLE):
        return _write_all(cells)
    if above == layout.under or above is None:
        return row
    layout.under = above
    return f"^{above}\n{row}"


def _write_all(cells: Sequence[str]) -> str | None:
    return None if any("  " in cell for cell in cells) else "+" + "  ".join(cells)


# Reading.


def _read_row(line: str, layout: Layout, counts: Sequence[int]) -> list[str]:
    """The cells of a row. Raises ValueError."""
    columns = layout.columns
    if line[0] == "+":
        cells = line[1:].split("  ")
        if len(cells) != len(columns):
            raise ValueError("a row has another number of cells than there are columns")
        return cells
    return list(_cells(line.split(" "), layout, counts))


def _cells(words: Sequence[str], layout: Layout, counts: Sequence[int]) -> Iterator[str]:
    """The cells that these words are, by how many words the cells of the live columns have."""
    any_number = len(words) - sum(counts)
    if any_number < (1 if 0 in counts else 0):
        raise ValueError("a row has too few cells")
    at = 0
    for column in layout.columns:
        if column.constant is not None:
            yield column.constant
            continue
        if column.heading and layout.under is None:
            raise ValueError("a row before its heading")
        if column.whole:
            yield layout.under or ""
            continue
        count = column.words or any_number
        cell = words[at] if count == 1 else " ".join(words[at : at + count])
        at += count
        if cell[:1] == "~":
            if cell.strip("~ "):
                raise ValueError("a cell begins with a tilde")
            yield ""
        elif column.heading:
            yield (layout.under or "") + cell
        elif column.filled and HEX.fullmatch(cell):
            yield cell.zfill(column.filled)
        elif column.template:
            yield column.template[0] + cell + column.template[2]
        else:
            yield cell
    if at != len(words):
        raise ValueError("a row has too many cells")
