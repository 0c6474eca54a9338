r"""What the header of a delimited table says of its columns, so that rows need not: found, written, read.

    id=1..,sku,kind=part,url=https://h.test/p/{sku},day=^{},price=#.00

How each is spelled and what it means stands in `delimited`, whose rows go by it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import msgspec

from headroom.zones import prefixes

_MARK = re.compile(r"([^=~]*)([=~]?)(.*)", re.DOTALL)
_COUNT = re.compile(r"(-?\d+)\.\.")
_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,17})", re.ASCII)
_INTEGER_LIKE = re.compile(r"-?\d+", re.ASCII)
_WHOLE = re.compile(r"-?\d+(\.0+)", re.ASCII)
_ZEROS = re.compile(r"#\.0+", re.ASCII)
_DATE = re.compile(r"\d{4}([-/])\d\d\1\d\d(?:[ T][\d:.Z+-]{2,30})?", re.ASCII)
_DATE_CUTS = (5, 8, 11)  # behind the year, the month, the day
_MIDNIGHT = re.compile(r"(?:-01)?(?:[ T]00)?(?::00)*(?:\.0+)?(?:Z|[+]00:00)?", re.ASCII)

USUAL = 0.5  # share of the rows that have the same cell, for it to be stated in the header
MAX_DECIDING = 20  # columns that others are tried against
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
    heading: bool = False  # whether it, or the beginning of it, has a line of its own where it changes
    cut: int = 0  # characters of every cell that are its heading, if not all; unknown when read
    zeros: str = ""  # what whole numbers end in that have none in their cells, as `.0`

    @property
    def own(self) -> bool:
        """Whether it has a cell."""
        fixed = self.constant is not None or self.start is not None or (self.heading and not self.template)
        return not fixed and (not self.template or self.template[1::2] == ("",))

    @property
    def use(self) -> str:
        """What a reader must know to read it."""
        if self.constant is not None:
            return "="
        if self.start is not None:
            return ".."
        if self.heading:
            return "^{}" if self.template else "^"
        if self.template:
            return "{}" if self.own else "{x}"
        if self.zeros:
            return "#"
        if self.usual is not None:
            return "~"
        return "@" if self.source else ""


def describe(names: Sequence[str], values: Sequence[Sequence[str]], delimiter: str) -> list[Column]:
    """What can be said of every column; `delimiter` is what the header is written with. Linear but for the columns."""
    columns = [Column(name) for name in names]
    # A name with a mark of ours in it cannot be said anything of, nor can others be made of it.
    free = [not (set(name) & {"=", "~", "{", "}", delimiter}) for name in names]
    for column, cells, open_ in zip(columns, values, free, strict=True):
        first = cells[0]
        if not open_:
            if not is_free(column.name):
                return [Column(name) for name in names]
        elif len(set(cells)) == 1:
            if _is_constant(first, delimiter):
                column.constant = first
        elif _INTEGER.fullmatch(first) and cells[1] == str(int(first) + 1) and _counts(cells):
            column.start = int(first) if int(first) in (0, 1) else None
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
        if columns[at].own and not columns[at].source and not columns[at].heading:
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
                continue
            columns[at].zeros = _zeros(values[at])
    if not any(column.own for column in columns):
        columns[0] = Column(names[0])
    return columns


def is_free(name: str) -> bool:
    """Whether nothing in the name would be read as said of it."""
    return not set(name) & {"=", "~"}


def _counts(cells: Sequence[str]) -> bool:
    """Whether every cell is the number after the one above."""
    first = int(cells[0])
    return all(map(str.__eq__, map(str, range(first, first + len(cells))), cells))


def _head(columns: list[Column], values: Sequence[Sequence[str]], places: list[int]) -> None:
    """Make a heading of the column whose cells repeat the one above most, or repeat its date's beginning."""
    best, best_cut, most = -1, 0, _LEAST_SAVED
    for at in places:
        if not columns[at].own or columns[at].source:
            continue
        cells = values[at]
        for cut in (0, *_date_cuts(cells)):
            runs = 1 + sum(
                map(str.__ne__, [cell[: cut or None] for cell in cells], [cell[: cut or None] for cell in cells[1:]])
            )
            saved = (len(cells) - runs) * (cut or len(cells[0])) - runs * _HEADING
            if runs * 4 <= len(cells) and saved > most:
                best, best_cut, most = at, cut, saved
    if best >= 0:
        columns[best].heading = True
        if best_cut:
            columns[best].cut = best_cut
            columns[best].template = ("", "", _midnight(values[best], best_cut))


def _date_cuts(cells: Sequence[str]) -> list[int]:
    """Where dates may be cut, so that a year, a month or a day stands above its rows."""
    if not all(map(_DATE.fullmatch, cells[:8])) or not all(map(_DATE.fullmatch, cells)):
        return []
    shortest = min(map(len, cells))
    return [cut for cut in _DATE_CUTS if cut < shortest]


def _midnight(cells: Sequence[str], cut: int) -> str:
    """The most that all times end in of `:00:00` and the like: full hours, days, months."""
    first = cells[0]
    room = min(map(len, cells))
    for at in range(max(cut + 1, len(first) - room + cut + 1), len(first)):
        end = first[at:]
        if _MIDNIGHT.fullmatch(end) and all(cell.endswith(end) for cell in cells):
            return end
    return ""


def _zeros(cells: Sequence[str]) -> str:
    """`.0` if that is what whole numbers end in, all of them, and there are enough."""
    ends = Counter([match[1] for match in map(_WHOLE.fullmatch, cells) if match])
    if not ends:
        return ""
    end, count = ends.most_common(1)[0]
    if (
        count * len(end) < _LEAST_SAVED
        or count * 12 < len(cells)
        or any(_INTEGER_LIKE.fullmatch(cell) for cell in cells)
    ):
        return ""
    return end


def without_zeros(cell: str, zeros: str) -> str:
    """A whole number without the zeros behind its point; any other cell as it is."""
    short = cell.removesuffix(zeros)
    return short if short != cell and _INTEGER_LIKE.fullmatch(short) else cell


def with_zeros(cell: str, zeros: str) -> str:
    """The cell that `without_zeros` was given."""
    return cell + zeros if _INTEGER_LIKE.fullmatch(cell) else cell


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
    return not (set(cell) & {"{", "}", delimiter}) and cell[:1] not in ("@", "^", "#") and not _COUNT.fullmatch(cell)


def _is_template(template: prefixes.Template, delimiter: str) -> bool:
    return not any(delimiter in piece for piece in template) and template[0][:1] not in ("@", "^", "#")


def write(column: Column) -> str:
    """The header's cell."""
    if column.constant is not None:
        return f"{column.name}={column.constant}"
    if column.start is not None:
        return f"{column.name}={column.start}.."
    if column.heading:
        return f"{column.name}=^{prefixes.write(column.template)}"
    if column.template:
        return f"{column.name}={prefixes.write(column.template)}"
    if column.zeros:
        return f"{column.name}=#{column.zeros}"
    if column.usual is not None:
        return f"{column.name}~{column.usual}"
    return f"{column.name}=@{column.source}" if column.source else column.name


def read(cell: str) -> Column:
    """What the header's cell says. Raises ValueError."""
    name, equals, said = _MARK.match(cell).groups()  # type: ignore[union-attr]  # it matches anything
    column = Column(name)
    if not equals:
        return column
    if equals == "~":
        column.usual = said
        return column
    if said[:1] == "@":
        column.source = said[1:]
    elif said[:1] == "^":
        column.heading = True
        if said != "^":
            behind = prefixes.read(said[1:])
            if behind is None or len(behind) != 3 or behind[:2] != ("", ""):
                raise ValueError("a heading that cannot be read")
            column.template = behind
    elif _ZEROS.fullmatch(said):
        column.zeros = said[1:]
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
