r"""Texts of delimited cells under a header (CSV, TSV, semicolons, bars): what a column says of every row, said once.

    id,sku,kind,url,n                        [csv by comma: header, then a row a line; k=v: in every row; …]
    1,B-7,part,https://h.test/p/B-7,4    →   id=1..,sku,kind=part,url=https://h.test/p/{sku},n
    2,C-2,part,https://h.test/p/C-2,19       B-7,4
                                             C-2,19

In the header `k=v` has the value v in every row and no cell; `k~v` has v where its cell is empty; `k=1..` counts up
from 1; `k=#.0` leaves the `.0` of whole numbers out; `k=…{}…` has only what stands for `{}` in its cell (a cell that
begins with a quote is whole); `k=…{x}…` is made of column x; `k=@x` has its cell only in the first row of every value
of x; `k=^` has no cell but a line of its own behind `^` wherever it changes; `k=^{}…` is a date whose year, month or
day has such a line, and its cell what is behind it. Cells keep their spelling, quotes included. A line with another
number of cells than the header stands behind `=`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from headroom.zones import delimited_header
from headroom.zones.delimited_header import Column, with_zeros, without_zeros

TITLE = "[csv by "
_DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}
_CHARACTERS = {name: delimiter for delimiter, name in _DELIMITERS.items()}
_HOW = {
    "=": "; k=v: in every row",
    "~": "; k~v: v where the cell is empty",
    "..": "; k=1..: counts up",
    "{}": "; {} is the cell",
    "{x}": "; {x} is column x",
    "@": "; k=@x: as in the first row with that x",
    "^": "; k=^: as in the last ^ line",
    "^{}": "; k=^{}: behind the last ^ line",
    "#": "; k=#.0: whole numbers end in .0",
    "raw": "; =: line as it was",
}
_TITLE = re.compile(
    r"\[csv by (comma|tab|semicolon|bar)(, written with commas)?(, CRLF)?(?:, after (\d+) lines?)?"
    r": header, then a row a line" + "".join(f"(?:{re.escape(how)})?" for how in _HOW.values()) + r"\]"
)
_NUMBER = re.compile(r"\"?-?[\d.]+\"?", re.ASCII)

MIN_ROWS = 3
MIN_SHARE = 0.8  # of the lines that have as many cells as the header
MAX_BEFORE = 20  # lines before the header
MAX_COLUMNS = 200


def encode(text: str) -> str | None:
    """The shorter table, or None where `text` is not one or no column says anything of every row."""
    end = "\n" if text.endswith("\n") else ""
    lines = text.split("\n")
    if end:
        lines.pop()
    crlf = len(lines) > 1 and all(line.endswith("\r") for line in lines)
    if crlf:
        lines = [line[:-1] for line in lines]
    found = _delimiter(lines)
    if found is None:
        return None
    delimiter, width, head = found
    names = _split(lines[head], delimiter)
    below = [_split(line, delimiter) for line in lines[head + 1 :]]
    cells = [row for row in below if len(row) == width]
    if len(cells) < MIN_ROWS or sum(bool(_NUMBER.fullmatch(name)) for name in names) * 2 > width:
        return None
    # A comma and what follows it take fewer tokens than a tab.
    commas = delimiter == "\t" and "," not in text and '"' not in text
    written_with = "," if commas else delimiter
    columns = delimited_header.describe(names, list(zip(*cells, strict=True)), written_with)
    uses = {column.use for column in columns}
    if uses == {""} and (not commas or not all(map(delimited_header.is_free, names))):
        return None
    out: list[str] = []
    writer = _Writer(columns, written_with)
    for line, row in zip(lines[head + 1 :], below, strict=True):
        written = writer.write(row)
        if written is None:
            uses.add("raw")
            written = "=" + line
        out.append(written)
    how = "".join(said for use, said in _HOW.items() if use in uses)
    before = f", after {head} line{'s' if head > 1 else ''}" if head else ""
    how_written = f"{', written with commas' if commas else ''}{', CRLF' if crlf else ''}{before}"
    title = f"{TITLE}{_DELIMITERS[delimiter]}{how_written}: header, then a row a line{how}]"
    return "\n".join([title, *lines[:head], written_with.join(map(delimited_header.write, columns)), *out]) + end


def decode(pressed: str) -> str:
    """What `encode` was given. Raises ValueError for a text that it cannot have made."""
    end = "\n" if pressed.endswith("\n") else ""
    lines = pressed.split("\n")
    if end:
        lines.pop()
    match = _TITLE.fullmatch(lines[0])
    if match is None:
        raise ValueError("no shortened table of delimited cells")
    delimiter = _CHARACTERS[match[1]]
    written_with = "," if match[2] else delimiter
    head = 1 + int(match[4] or 0)
    if len(lines) <= head:
        raise ValueError("a table without its header")
    columns = [delimited_header.read(cell) for cell in _split(lines[head], written_with)]
    reader = _Reader(columns, delimiter, written_with)
    out = [*lines[1:head], delimiter.join([column.name for column in columns])]
    for line in lines[head + 1 :]:
        if line[:1] == "=":
            reader.skip(line[1:])
            out.append(line[1:])
        elif line[:1] == "^":
            reader.put(line[1:])
        else:
            out.append(reader.read(line))
    return ("\r\n" if match[3] else "\n").join(out) + ("\r" if match[3] else "") + end


def _cell_pattern(delimiter: str) -> re.Pattern[str]:
    one = re.escape(delimiter)
    return re.compile(rf'("(?:[^"]|"")*+"(?={one}|\Z)|[^{one}]*+)(?:{one}|\Z)')


_CELLS = {delimiter: _cell_pattern(delimiter) for delimiter in _DELIMITERS}


def _split(line: str, delimiter: str) -> list[str]:
    """The cells of a line as they are spelled; joined they are the line."""
    if '"' not in line:
        return line.split(delimiter)
    cells = _CELLS[delimiter].findall(line)
    if not line.endswith(delimiter) or len(delimiter.join(cells)) > len(line):
        cells.pop()  # the pattern finds an empty cell at the very end
    return cells


def _delimiter(lines: Sequence[str]) -> tuple[str, int, int] | None:
    """The delimiter, the number of cells and the header's place; None where too few lines agree."""
    best: tuple[str, int, int] | None = None
    filled = [line for line in lines if line]
    if not filled:
        return None
    for delimiter in _DELIMITERS:
        if sum(delimiter in line for line in filled[:20]) < min(len(filled), 20) * MIN_SHARE:
            continue
        if delimiter == "|" and sum(line[:2] == "| " or "  |" in line for line in filled[:20]) * 2 > min(
            len(filled), 20
        ):
            continue  # blanks around the bars are a grid's
        widths = [len(_split(line, delimiter)) if line else 0 for line in lines]
        width, count = Counter(width for width in widths if width).most_common(1)[0]
        head = widths.index(width)
        if not 2 <= width <= MAX_COLUMNS or count < MIN_SHARE * len(filled) or head > MAX_BEFORE:
            continue
        if best is None or width > best[1]:
            best = (delimiter, width, head)
    return best


class _Writer:
    """Rows as lines. It remembers what has been given once."""

    def __init__(self, columns: Sequence[Column], delimiter: str) -> None:
        self._delimiter = delimiter
        self._width = len(columns)
        self._live = [(at, column) for at, column in enumerate(columns) if column.own]
        self._heading = next((at for at, column in enumerate(columns) if column.heading), -1)
        self._cut = columns[self._heading].cut or None
        self._under: str | None = None
        places = {column.name: at for at, column in enumerate(columns)}
        self._sources = {at: places[column.source] for at, column in self._live if column.source}
        self._given: dict[int, set[str]] = {at: set() for at in self._sources}

    def write(self, row: Sequence[str]) -> str | None:
        """The line, or None where the row does not fit the header."""
        if len(row) != self._width:
            return None
        cells: list[str] = []
        fresh: list[int] = []
        for at, column in self._live:
            cell = row[at]
            if column.heading:
                cell = cell[column.cut : len(cell) - len(column.template[2])]
            elif column.template:
                prefix, _, suffix = column.template
                rest = cell[len(prefix) : len(cell) - len(suffix)]
                if rest[:1] != '"' and self._delimiter not in rest:
                    cell = rest
                elif cell[:1] != '"':
                    return None
            elif column.zeros:
                cell = without_zeros(cell, column.zeros)
            elif column.usual is not None:
                cell = "" if cell == column.usual else cell
            elif column.source:
                if row[self._sources[at]] in self._given[at]:
                    cell = ""
                else:
                    fresh.append(at)
            cells.append(cell)
        line = self._delimiter.join(cells)
        if line[:1] in ("=", "^") or not line:
            return None
        if self._heading >= 0 and row[self._heading][: self._cut] != self._under:
            self._under = row[self._heading][: self._cut]
            line = f"^{self._under}\n{line}"
        for at in fresh:
            self._given[at].add(row[self._sources[at]])
        return line


class _Reader:
    """Lines back to rows."""

    def __init__(self, columns: Sequence[Column], delimiter: str, written_with: str) -> None:
        self._columns = columns
        self._delimiter = delimiter
        self._written_with = written_with
        self._live = [at for at, column in enumerate(columns) if column.own]
        self._places = {column.name: at for at, column in enumerate(columns)}
        self._given: dict[tuple[int, str], str] = {}
        self._count = 0
        self._fixed = [column.constant or "" for column in columns]
        self._parts = [at for at in self._live if columns[at].template and not columns[at].heading]
        self._zeros = [(at, columns[at].zeros) for at in self._live if columns[at].zeros]
        self._once = [(at, self._place(columns[at].source)) for at in self._live if columns[at].source]
        self._made = [
            (at, [piece if index % 2 == 0 else self._place(piece) for index, piece in enumerate(column.template)])
            for at, column in enumerate(columns)
            if column.template and not column.own
        ]
        self._usual = [(at, column.usual) for at, column in enumerate(columns) if column.usual is not None]
        headings = [at for at, column in enumerate(columns) if column.heading]
        if len(headings) > 1:
            raise ValueError("two headings")
        self._heading = headings[0] if headings else -1
        self._under: str | None = None
        self._numbers = [(at, column.start) for at, column in enumerate(columns) if column.start is not None]

    def _place(self, name: str) -> int:
        at = self._places.get(name, -1)
        column = self._columns[at]
        if at < 0 or not (column.own or column.heading) or column.source:
            raise ValueError("a column is made of one that has no cell")
        return at

    def skip(self, line: str) -> None:
        """Count a line that is given as it was, if it is a row."""
        if self._numbers and len(_split(line, self._delimiter)) == len(self._columns):
            self._count += 1

    def put(self, text: str) -> None:
        """Take a heading. Raises ValueError where no column has one."""
        if self._heading < 0:
            raise ValueError("a heading of no column")
        self._under = text

    def read(self, line: str) -> str:
        """The line that the row had. Raises ValueError."""
        cells = _split(line, self._written_with)
        if len(cells) != len(self._live):
            raise ValueError("a row has another number of cells than its header")
        row = self._fixed.copy()
        for at, cell in zip(self._live, cells, strict=True):
            row[at] = cell
        if self._heading >= 0:
            if self._under is None:
                raise ValueError("a row before its heading")
            rest = self._columns[self._heading].template
            row[self._heading] = self._under + row[self._heading] + rest[2] if rest else self._under
        for at, zeros in self._zeros:
            row[at] = with_zeros(row[at], zeros)
        for at in self._parts:
            if row[at][:1] != '"':
                prefix, _, suffix = self._columns[at].template
                row[at] = prefix + row[at] + suffix
        for at, usual in self._usual:
            row[at] = row[at] or usual
        for at, source in self._once:
            row[at] = self._given.setdefault((at, row[source]), row[at])
        for at, pieces in self._made:
            row[at] = "".join([row[piece] if isinstance(piece, int) else piece for piece in pieces])
        for at, start in self._numbers:
            row[at] = str(start + self._count)
        self._count += 1
        return self._delimiter.join(row)
