r"""Texts of delimited cells under a header (CSV, TSV, semicolons, bars): what a column says of every row, said once.

    id,sku,kind,url,n                        [csv by comma: header, then a row a line; k=v: in every row; …]
    1,B-7,part,https://h.test/p/B-7,4    →   id=1..,sku,kind=part,url=https://h.test/p/{sku},n
    2,C-2,part,https://h.test/p/C-2,19       B-7,4
                                             C-2,19

In the header `k=v` has the value v in every row and no cell; `k~v` has v where its cell is empty; `k=1..` counts up
from 1; `k=…{}…` has only what stands for `{}` in its cell (a cell that begins with a quote is whole); `k=…{x}…` is made
of column x; `k=@x` has its cell only in the first row of every value of x; `k=^` has no cell but a line of its own
behind `^` wherever it changes. Cells keep their spelling, quotes included. A line with another number of cells than the
header stands behind `=`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import msgspec

from headroom.zones import prefixes

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
    "raw": "; =: line as it was",
}
_TITLE = re.compile(
    r"\[csv by (comma|tab|semicolon|bar)(, CRLF)?(?:, after (\d+) lines?)?: header, then a row a line"
    + "".join(f"(?:{re.escape(how)})?" for how in _HOW.values())
    + r"\]"
)
_MARK = re.compile(r"([^=~]*)([=~]?)(.*)", re.DOTALL)
_COUNT = re.compile(r"(-?\d+)\.\.")
_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,17})", re.ASCII)
_NUMBER = re.compile(r"\"?-?[\d.]+\"?", re.ASCII)

MIN_ROWS = 3
MIN_SHARE = 0.8  # of the lines that have as many cells as the header
MAX_BEFORE = 20  # lines before the header
USUAL = 0.7  # share of the rows that have the same cell, for it to be stated in the header
MAX_DECIDING = 20  # columns that others are tried against
MAX_COLUMNS = 200
_LEAST_SAVED = 60  # characters; less does not pay for being explained
_HEADING = 4  # characters that a line of its own costs
_LEAST_GIVEN_ONCE = 4  # characters; shorter cells are a token, as an empty one nearly is


class Column(msgspec.Struct, gc=False):
    """What the header says of a column."""

    name: str
    constant: str | None = None
    start: int | None = None  # the first number of a column that counts
    template: prefixes.Template = ()
    usual: str | None = None  # the value that an empty cell stands for
    source: str = ""  # the column that decides it
    heading: bool = False  # whether it has a line of its own where it changes

    @property
    def own(self) -> bool:
        """Whether it has a cell."""
        fixed = self.constant is not None or self.start is not None or self.heading
        return not fixed and (not self.template or self.template[1::2] == ("",))

    @property
    def use(self) -> str:
        """What a reader must know to read it."""
        if self.constant is not None:
            return "="
        if self.start is not None:
            return ".."
        if self.template:
            return "{}" if self.own else "{x}"
        if self.heading:
            return "^"
        if self.usual is not None:
            return "~"
        return "@" if self.source else ""


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
    columns = _columns(names, list(zip(*cells, strict=True)), delimiter)
    uses = {column.use for column in columns}
    if uses == {""}:
        return None
    out: list[str] = []
    writer = _Writer(columns, delimiter)
    for line, row in zip(lines[head + 1 :], below, strict=True):
        written = writer.write(row)
        if written is None:
            uses.add("raw")
            written = "=" + line
        out.append(written)
    how = "".join(said for use, said in _HOW.items() if use in uses)
    before = f", after {head} line{'s' if head > 1 else ''}" if head else ""
    title = f"{TITLE}{_DELIMITERS[delimiter]}{', CRLF' if crlf else ''}{before}: header, then a row a line{how}]"
    return "\n".join([title, *lines[:head], delimiter.join(map(_write_column, columns)), *out]) + end


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
    head = 1 + int(match[3] or 0)
    if len(lines) <= head:
        raise ValueError("a table without its header")
    columns = [_read_column(cell) for cell in _split(lines[head], delimiter)]
    reader = _Reader(columns, delimiter)
    out = [*lines[1:head], delimiter.join([column.name for column in columns])]
    for line in lines[head + 1 :]:
        if line[:1] == "=":
            reader.skip(line[1:])
            out.append(line[1:])
        elif line[:1] == "^":
            reader.put(line[1:])
        else:
            out.append(reader.read(line))
    return ("\r\n" if match[2] else "\n").join(out) + ("\r" if match[2] else "") + end


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
        widths = [len(_split(line, delimiter)) if line else 0 for line in lines]
        width, count = Counter(width for width in widths if width).most_common(1)[0]
        head = widths.index(width)
        if not 2 <= width <= MAX_COLUMNS or count < MIN_SHARE * len(filled) or head > MAX_BEFORE:
            continue
        if best is None or width > best[1]:
            best = (delimiter, width, head)
    return best


def _columns(names: Sequence[str], values: Sequence[Sequence[str]], delimiter: str) -> list[Column]:
    """What can be said of every column."""
    columns = [Column(name) for name in names]
    # A name with a mark of ours in it cannot be said anything of, nor can others be made of it.
    free = [not (set(name) & {"=", "~", "{", "}", delimiter}) for name in names]
    for column, cells, open_ in zip(columns, values, free, strict=True):
        first = cells[0]
        if not open_:
            if set(column.name) & {"=", "~"}:  # it would be read as said of it
                return [Column(name) for name in names]
        elif len(set(cells)) == 1:
            if _is_constant(first, delimiter):
                column.constant = first
        elif _INTEGER.fullmatch(first) and cells[1] == str(int(first) + 1) and _counts(cells):
            column.start = int(first)
    rest = [at for at, column in enumerate(columns) if column.own and free[at]]
    unique = Counter(names)
    sources = {at: names[at] for at in rest if unique[names[at]] == 1 and names[at]}
    used: set[str] = set()
    for at in sorted(rest, key=lambda at: -len(values[at][0])):
        name = names[at]
        if name in used or len(values[at][0]) < 2:
            continue
        own = sources.pop(at, "")
        made = prefixes.derived(values[at], ((source, values[other]) for other, source in sources.items()))
        if made is not None and _is_template(made, delimiter):
            columns[at].template = made
            used.update(made[1::2])
        elif own:
            sources[at] = own
    _give_once(columns, values, [at for at in rest if columns[at].own], used)
    _head(columns, values, rest)
    for at in rest:
        if columns[at].own and not columns[at].source:
            usual, count = Counter(values[at]).most_common(1)[0]
            if (
                count >= USUAL * len(values[at])
                and count * (len(usual) + 1) >= _LEAST_SAVED
                and "" not in values[at]
                and _is_constant(usual, delimiter)
            ):
                columns[at].usual = usual
                continue
            made = prefixes.common(values[at], 2)
            if made is not None and _is_template(made, delimiter):
                columns[at].template = made
    if not any(column.own for column in columns):
        columns[0] = Column(names[0])
    return columns


def _counts(cells: Sequence[str]) -> bool:
    """Whether every cell is the number after the one above."""
    first = int(cells[0])
    return all(map(str.__eq__, map(str, range(first, first + len(cells))), cells))


def _head(columns: list[Column], values: Sequence[Sequence[str]], places: list[int]) -> None:
    """Make a heading of the column whose cells repeat the one above most, if that pays."""
    best, most = -1, _LEAST_SAVED
    for at in places:
        cells = values[at]
        runs = 1 + sum(map(str.__ne__, cells, cells[1:]))
        saved = (len(cells) - runs) * len(cells[0]) - runs * _HEADING
        if columns[at].own and not columns[at].source and runs * 4 <= len(cells) and saved > most:
            best, most = at, saved
    if best >= 0:
        columns[best].heading = True


def _give_once(columns: list[Column], values: Sequence[Sequence[str]], places: list[int], used: set[str]) -> None:
    """Find the columns that an earlier one decides."""
    count = len(values[0])
    kinds = {at: len(set(values[at])) for at in places}
    names = Counter(column.name for column in columns)
    deciding = [at for at in places if kinds[at] * 2 <= count and names[columns[at].name] == 1 and columns[at].name]
    del deciding[MAX_DECIDING:]
    for at in places:
        size = sum(map(len, values[at][:50])) / min(count, 50)
        if columns[at].name in used or size < _LEAST_GIVEN_ONCE:
            continue
        for other in deciding:
            if other >= at or columns[other].source:
                continue
            known = kinds[other]
            if known < kinds[at] or len(set(zip(values[other][:50], values[at][:50], strict=True))) > len(
                set(values[other][:50])
            ):
                continue
            saved = (count - known) * size
            if saved > _LEAST_SAVED and len(set(zip(values[other], values[at], strict=True))) == known:
                columns[at].source = columns[other].name
                used.add(columns[other].name)
                break


def _is_constant(cell: str, delimiter: str) -> bool:
    """Whether a value can stand in the header and be nothing else there."""
    return not (set(cell) & {"{", "}", delimiter}) and cell[:1] not in ("@", "^") and not _COUNT.fullmatch(cell)


def _is_template(template: prefixes.Template, delimiter: str) -> bool:
    return not any(delimiter in piece for piece in template) and template[0][:1] not in ("@", "^")


def _write_column(column: Column) -> str:
    if column.constant is not None:
        return f"{column.name}={column.constant}"
    if column.start is not None:
        return f"{column.name}={column.start}.."
    if column.template:
        return f"{column.name}={prefixes.write(column.template)}"
    if column.heading:
        return f"{column.name}=^"
    if column.usual is not None:
        return f"{column.name}~{column.usual}"
    return f"{column.name}=@{column.source}" if column.source else column.name


def _read_column(cell: str) -> Column:
    name, equals, said = _MARK.match(cell).groups()  # type: ignore[union-attr]  # it matches anything
    column = Column(name)
    if not equals:
        return column
    if equals == "~":
        column.usual = said
        return column
    if said[:1] == "@":
        column.source = said[1:]
    elif said == "^":
        column.heading = True
    elif match := _COUNT.fullmatch(said):
        column.start = int(match[1])
    else:
        template = prefixes.read(said)
        if template is None:
            column.constant = said
        elif "" in template[1::2] and len(template) != 3:
            raise ValueError("a column is made of its own cell and of others")
        else:
            column.template = template
    return column


class _Writer:
    """Rows as lines. It remembers what has been given once."""

    def __init__(self, columns: Sequence[Column], delimiter: str) -> None:
        self._delimiter = delimiter
        self._width = len(columns)
        self._live = [(at, column) for at, column in enumerate(columns) if column.own]
        self._heading = next((at for at, column in enumerate(columns) if column.heading), -1)
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
            if column.template:
                prefix, _, suffix = column.template
                rest = cell[len(prefix) : len(cell) - len(suffix)]
                if rest[:1] != '"' and self._delimiter not in rest:
                    cell = rest
                elif cell[:1] != '"':
                    return None
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
        if self._heading >= 0 and row[self._heading] != self._under:
            self._under = row[self._heading]
            line = f"^{self._under}\n{line}"
        for at in fresh:
            self._given[at].add(row[self._sources[at]])
        return line


class _Reader:
    """Lines back to rows."""

    def __init__(self, columns: Sequence[Column], delimiter: str) -> None:
        self._columns = columns
        self._delimiter = delimiter
        self._live = [at for at, column in enumerate(columns) if column.own]
        self._places = {column.name: at for at, column in enumerate(columns)}
        self._given: dict[tuple[int, str], str] = {}
        self._count = 0
        self._fixed = [column.constant or "" for column in columns]
        self._parts = [at for at in self._live if columns[at].template]
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
        cells = _split(line, self._delimiter)
        if len(cells) != len(self._live):
            raise ValueError("a row has another number of cells than its header")
        row = self._fixed.copy()
        if self._heading >= 0:
            if self._under is None:
                raise ValueError("a row before its heading")
            row[self._heading] = self._under
        for at, cell in zip(self._live, cells, strict=True):
            row[at] = cell
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
