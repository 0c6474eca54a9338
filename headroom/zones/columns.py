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
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise, zip_longest

import msgspec

from headroom.zones import prefixes

TITLE = "[columns "
_OFF = "[columns off]"
_HOW = {
    "+": "; +: row with all columns, two blanks apart",
    "=": "; =: line as it was",
    "~": "; ~: empty",
}
_TITLE = re.compile(r"\[columns (at [^;\n]*|off)" + "".join(f"(?:{re.escape(how)})?" for how in _HOW.values()) + r"\]")
_SPEC = re.compile(r"([<>])(\d{1,4})(?:\*(\d{0,3}))?(?:=([^ ;\]]*))?", re.ASCII)
_PADDED = re.compile(r"\|(\d{1,5})", re.ASCII)
# About what a tokenizer takes for one piece.
_PIECE = re.compile(r"[^\w\s]?[^\W\d_]+| [^\W\d_]+|\d{1,3}| ?(?:[^\w\s]|_)+\n*|\s*\n|\s+(?!\S)|\s")
_NO_CELL = re.compile(r"[ ;\]{}]")

MIN_LINES = 3
SAMPLE = 150  # lines that the columns are found by
WEIGHED = 80  # lines that the saving is estimated by
EXPLAINED = 20  # tokens that the first title takes to say how to read it
WIDEST = 400  # characters of a line that the columns are found by; what is behind belongs to the last
MAX_COLUMNS = 40
ALIGNED = 0.75  # share of a column's cells that must start, or end, at one place
MIN_SHARE = 0.6  # of the lines that must fit
MOST_VAIN = 40  # blocks in a row without columns that pay; no more are tried behind them
LONG = 4  # lines that fit no table are taken out of it together if there are more


class Column(msgspec.Struct):
    """A column of an aligned table."""

    left: bool
    at: int  # where its cells start or end
    words: int = 1  # of every cell; 0 for any number
    constant: str | None = None
    template: prefixes.Template = ()
    gap: int = 0  # where its cells end in most lines; unknown when read from a title


class Layout(msgspec.Struct):
    """The columns of one table, and the width its lines are filled up to with blanks (0: they are not)."""

    columns: list[Column]
    width: int = 0

    @property
    def live(self) -> list[Column]:
        """The columns that rows give."""
        return [column for column in self.columns if column.constant is None]

    @property
    def plain(self) -> bool:
        """Whether every cell is one word as it stands, but for the last."""
        live = self.live
        return all(column.words == 1 for column in live[:-1]) and not any(column.template for column in live)


def encode(text: str) -> str | None:
    """The tables with narrow columns, or None where there is none that it pays for."""
    end = "\n" if text.endswith("\n") else ""
    lines = text.split("\n")
    if end:
        lines.pop()
    if "  " not in text or any(line.startswith(TITLE) for line in lines):
        return None
    out: list[str] = []
    layout: Layout | None = None
    spec = ""
    uses: set[str] = set()
    vain = 0
    for empty, group in groupby(lines, key=_is_empty):
        block = list(group)
        if empty:
            out += [line if not line or not layout else "=" + line for line in block]
            continue
        rows = _write_block(block, [_fitting(line, layout) for line in block], layout) if layout is not None else None
        if rows is None:
            found = _find(block) if vain < MOST_VAIN else None
            vain += 1
            rows = _write_block(block, found[1], found[0]) if found is not None else None
            if rows is not None and found is not None and _pays(block, rows, found[0], first=not spec):
                layout, spec = found[0], _write_layout(found[0])
                out.append(f"[columns {spec}]")
                vain = 0
            elif layout is not None and len(block) <= LONG:
                rows = ["=" + line for line in block]
            else:
                if layout is not None:
                    out.append(_OFF)
                layout, rows = None, block
        if layout is not None:
            uses.update(row[:1] for row in rows if row[:1] in ("=", "+"))
            if any("~" in row for row in rows):
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
    for line in lines:
        if line.startswith(TITLE):
            match = _TITLE.fullmatch(line)
            if match is None:
                raise ValueError("columns that cannot be read")
            layout = None if match[1] == "off" else _read_layout(match[1])
        elif layout is None or not line:
            out.append(line)
        elif line[0] == "=":
            out.append(line[1:])
        else:
            out.append(_render(_read_row(line, layout.columns), layout))
    return "\n".join(out) + end


def _is_empty(line: str) -> bool:
    return not line.strip(" ")


# Finding columns.


def _find(lines: Sequence[str]) -> tuple[Layout, list[list[str] | None]] | None:
    """The columns that most lines have, and every line's cells, None where they do not fit."""
    if len(lines) < MIN_LINES:
        return None
    sample = [line[:WIDEST] for line in lines[:: -(-len(lines) // SAMPLE)]]
    gaps = [0, *_gaps(sample), WIDEST]
    columns = [_column(sample, begin, end) for begin, end in pairwise(gaps)]
    while None in columns[1:] or (columns[0] is None and len(columns) > 1):
        # What is not aligned is part of the column before, or of the first.
        at = max(columns.index(None), 1)
        columns[at - 1 : at + 1] = [_column(sample, gaps[at - 1], gaps[at + 1])]
        del gaps[at]
    kept = [column for column in columns if column is not None]
    if not 2 <= len(kept) <= MAX_COLUMNS:
        return None
    layout = Layout(kept)
    width, count = Counter(map(len, sample)).most_common(1)[0]
    if count * 2 > len(sample) and sum(line.endswith(" ") for line in sample) * 4 > len(sample):
        layout.width = width
    cells = [_fitting(line, layout) for line in lines]
    fitting = [row for row in cells if row is not None]
    if len(fitting) < MIN_LINES or len(fitting) < MIN_SHARE * len(lines):
        return None
    _say(layout, fitting)
    return layout, cells


def _gaps(sample: Sequence[str]) -> list[int]:
    """Where the gaps begin that (nearly) all lines have."""
    count = len(sample)
    allowed = max(int(count >= 6), count // 20)
    gaps: list[int] = []
    inside = False
    for at, characters in enumerate(zip_longest(*sample)):
        reached = count - characters.count(None)
        if reached * 2 < count:
            break
        if reached - characters.count(" ") > allowed:
            inside = True
        elif inside:
            gaps.append(at)
            inside = False
    if gaps and not inside:
        gaps.pop()
    return gaps


def _column(sample: Sequence[str], begin: int, end: int) -> Column | None:
    """The column whose cells lie between two gaps, or None where they are not aligned."""
    starts: Counter[int] = Counter()
    stops: Counter[int] = Counter()
    for line in sample:
        piece = line[begin:end].rstrip(" ")
        cell = piece.lstrip(" ")
        if cell:
            starts[begin + len(piece) - len(cell)] += 1
            stops[begin + len(piece)] += 1
    if not starts:
        return None
    (start, left), (stop, right) = starts.most_common(1)[0], stops.most_common(1)[0]
    if max(left, right) < ALIGNED * starts.total():
        return None
    return Column(left >= right, start if left >= right else stop, gap=end)


def _fitting(line: str, layout: Layout) -> list[str] | None:
    """The cells of `line`, if it is exactly what they are rendered to."""
    cells: list[str] = []
    at = end = 0  # where the cell may begin; where the last one ended
    length = len(line)
    last = len(layout.columns) - 1
    for number, column in enumerate(layout.columns):
        # A cell ends at a blank, in the gap or, if it is too long, behind it.
        cut = line.find(" ", max(column.gap, at)) if number < last else -1
        if cut < 0:
            cut = length
        cell = line[at:cut].strip(" ")
        cells.append(cell)
        if cell:
            start = line.find(cell, at)
            place = column.at if column.left else column.at - len(cell)
            if start != (place if place > end else end + 1 if end else max(place, 0)):
                return None
            end = start + len(cell)
        at = cut
    return cells if length == max(end, layout.width) else None


def _render(cells: Sequence[str], layout: Layout) -> str:
    """The line that has these cells."""
    parts: list[str] = []
    at = 0
    for cell, column in zip(cells, layout.columns, strict=True):
        if cell:
            blanks = (column.at if column.left else column.at - len(cell)) - at
            if blanks < 1:
                blanks = 1 if at else 0
            parts.append(" " * blanks + cell)
            at += blanks + len(cell)
    return "".join(parts).ljust(layout.width)


def _say(layout: Layout, rows: Sequence[Sequence[str]]) -> None:
    """Find what the title can say of every column: constants, common beginnings, and how many words a cell has."""
    columns = layout.columns
    varied: list[tuple[int, int]] = []
    values = list(zip(*rows, strict=True))
    for at, (column, cells) in enumerate(zip(columns, values, strict=True)):
        usual, count = Counter(cells).most_common(1)[0]
        others = len(rows) - count
        gain = count * (1 + len(usual) // 4) - others * (len(columns) + 2) - 12
        if others * 10 <= len(rows) and gain > 0 and not _NO_CELL.search(usual):
            column.constant = usual
            continue
        words = Counter([cell.count(" ") + 1 for cell in cells if cell])
        if len(words) > 1:
            varied.append((len(rows) - words.most_common(1)[0][1], at))
        if words:
            column.words = words.most_common(1)[0][0]
        # The first row is the header, or one row of many.
        filled = [cell for cell in cells[1:] if cell]
        made = prefixes.common(filled) if len(filled) > 3 and len(filled) * 4 > len(rows) * 3 else None
        if made is not None and not _NO_CELL.search(made[0] + made[2]):
            column.template = made
    if varied:
        columns[max(varied)[1]].words = 0
    if not layout.live:
        columns[0].constant = None
    live = layout.live
    if all(column.words for column in live):
        live[-1].words = 0


def _pays(lines: Sequence[str], rows: Sequence[str], layout: Layout, *, first: bool) -> bool:
    """Whether the narrow rows save more tokens than the columns take to be named, by estimate."""
    step = -(-len(lines) // WEIGHED)
    wide, narrow = (len(_PIECE.findall("\n".join(block[::step]))) for block in (lines, rows))
    named = len(_PIECE.findall(_write_layout(layout))) + (EXPLAINED if first else 3)
    return (wide - narrow) * step > named


# Writing.


def _write_block(lines: Sequence[str], cells: Sequence[list[str] | None], layout: Layout) -> list[str] | None:
    """The rows of one table, or None where too few lines fit."""
    rows: list[str] = []
    raw = 0
    plain = layout.plain
    live = [at for at, column in enumerate(layout.columns) if column.constant is None]
    constant = [(at, column.constant) for at, column in enumerate(layout.columns) if column.constant is not None]
    for line, found in zip(lines, cells, strict=True):
        row: str | None = None
        if found is not None:
            row = _write_plain([found[at] for at in live]) if plain else None
            if row is None or any(found[at] != value for at, value in constant):
                row = _write_row(found, layout.columns)
                if row is not None and len(row) > len(line):
                    row = None
        if row is None:
            raw += 1
            row = "=" + line
        rows.append(row)
    return rows if len(lines) - raw >= MIN_SHARE * len(lines) else None


def _write_plain(given: list[str]) -> str | None:
    """The row, if every cell is there and one word, but for the last, and none needs an escape."""
    row = " ".join(given)
    if "" in given or "~" in row or row[0] in "=+[" or row.count(" ") - given[-1].count(" ") != len(given) - 1:
        return None
    return row


def _write_row(cells: Sequence[str], columns: Sequence[Column]) -> str | None:
    """The cells in a row, or None where they would not read back."""
    given: list[str] = []
    for cell, column in zip(cells, columns, strict=True):
        if column.constant is not None:
            if cell != column.constant:
                return _write_all(cells)
            continue
        if not cell:
            given.append("~" if column.words < 2 else " ".join(["~"] * column.words))
            continue
        written = cell
        if column.template:
            prefix, _, suffix = column.template
            written = cell[len(prefix) : len(cell) - len(suffix)]
            if not (written and cell.startswith(prefix) and cell.endswith(suffix) and written[0] != " "):
                return _write_all(cells)
        if written[0] == "~" or (column.words and (written.count(" ") + 1 != column.words or "  " in written)):
            return _write_all(cells)
        given.append(written)
    row = " ".join(given)
    return row if row[0] not in "=+" and not row.startswith(TITLE) else _write_all(cells)


def _write_all(cells: Sequence[str]) -> str | None:
    return None if any("  " in cell for cell in cells) else "+" + "  ".join(cells)


def _write_layout(layout: Layout) -> str:
    columns = layout.columns
    live = layout.live
    specs = []
    for column in columns:
        spec = f"{'<' if column.left else '>'}{column.at}"
        if column.constant is None and column.words != 1 and not (column.words == 0 and column is live[-1]):
            spec += f"*{column.words or ''}"
        if column.constant is not None:
            spec += f"={column.constant}"
        elif column.template:
            spec += f"={prefixes.write(column.template)}"
        specs.append(spec)
    if layout.width:
        specs.append(f"|{layout.width}")
    return "at " + " ".join(specs)


# Reading.


def _read_layout(said: str) -> Layout:
    columns: list[Column] = []
    width = 0
    for spec in said.split(" ")[1:]:
        if padded := _PADDED.fullmatch(spec):
            width = int(padded[1])
            continue
        match = _SPEC.fullmatch(spec)
        if match is None:
            raise ValueError("a column that cannot be read")
        column = Column(match[1] == "<", int(match[2]))
        if match[3] is not None:
            column.words = int(match[3] or 0)
        template = prefixes.read(match[4]) if match[4] else None
        if template is not None:
            if template[1::2] != ("",):
                raise ValueError("a column of more than its cell")
            column.template = template
        else:
            column.constant = match[4]
        columns.append(column)
    layout = Layout(columns, width)
    live = layout.live
    if not live:
        raise ValueError("a table without cells")
    if all(column.words for column in live):
        live[-1].words = 0
    return layout


def _read_row(line: str, columns: Sequence[Column]) -> list[str]:
    """The cells of a row. Raises ValueError."""
    if line[0] == "+":
        cells = line[1:].split("  ")
        if len(cells) != len(columns):
            raise ValueError("a row has another number of cells than there are columns")
        return cells
    return list(_cells(line, columns))


def _cells(line: str, columns: Sequence[Column]) -> Iterator[str]:
    words = line.split(" ")
    fixed = sum(column.words for column in columns if column.constant is None)
    any_number = len(words) - fixed
    if any_number < (1 if any(column.constant is None and not column.words for column in columns) else 0):
        raise ValueError("a row has too few cells")
    at = 0
    for column in columns:
        if column.constant is not None:
            yield column.constant
            continue
        count = column.words or any_number
        cell = words[at] if count == 1 else " ".join(words[at : at + count])
        at += count
        if cell[:1] == "~":
            if cell.strip("~ "):
                raise ValueError("a cell begins with a tilde")
            yield ""
        elif column.template:
            yield column.template[0] + cell + column.template[2]
        else:
            yield cell
    if at != len(words):
        raise ValueError("a row has too many cells")
