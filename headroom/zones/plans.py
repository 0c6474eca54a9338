"""Which columns fit a set of objects, and what their header may say once instead of every row: see `rows`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import msgspec

from headroom.zones import prefixes
from headroom.zones.cells import NAME, NOT_BARE, Row, dict_of, token

_OBJECTS: msgspec.json.Decoder[list[dict[str, msgspec.Raw]]] = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])

MIN_FILL = 0.45  # share of cells that are there; raggeder rows are no table
MAX_COLUMNS = 200
MAX_DEPTH = 4  # of objects that become columns
USUAL = 0.7  # share of the rows that have the same value, for it to be stated in the header
_LEAST_SAVED = 40  # characters; less does not pay for being explained
REST = "*"  # the key of the pseudo-column of rarer members
RARE = 8  # a key that fewer than one row in so many has gets no column


class Column(msgspec.Struct, gc=False):
    """A column: its path of keys and what the header says of its values."""

    path: tuple[str, ...]
    constant: bytes | None = None  # the value that every row has
    usual: bytes | None = None  # the value that an empty cell stands for
    inner: tuple[str, ...] = ()  # the keys of the objects in its lists
    template: prefixes.Template = ()  # what its texts are made of
    own: bool = True  # whether it has a cell
    held: bool = False  # whether its cell stands in a line of its own, above the rows that have it
    rest: bool = False  # the pseudo-column of rarer members
    at: int = 0  # its place among the columns
    name: str = ""  # the last key as a token, with its colon
    key: str = ""  # the last key

    def __post_init__(self) -> None:
        self.key = self.path[-1]


class Group(msgspec.Struct):
    """The columns of an object's members. With `exact`, all of them are there wherever the object is."""

    path: tuple[str, ...]
    nodes: list[Column | Group]
    exact: bool = True
    name: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        self.key = self.path[-1]


Node: TypeAlias = Column | Group


class Plan(msgspec.Struct):
    """How the rows of one table are written."""

    nodes: list[Node]
    columns: list[Column]
    live: int  # cells of a row
    held: int = 0  # cells that stand above it
    named: dict[str, str] = {}  # cells by the name that stands for them

    def hold(self, places: Sequence[int]) -> None:
        """Put the cells of these places above the rows that have them, by `runs`."""
        own = [column for column in self.columns if column.own]
        for place in places:
            own[place].held = True
        self.live, self.held = len(own) - len(places), len(places)

    @property
    def uses(self) -> frozenset[str]:
        """What a reader of the table must know: "=", "v", "{}", "{x}", "*"."""
        used = set()
        for column in self.columns:
            if column.constant is not None:
                used.add("=")
            if column.usual is not None:
                used.add("v")
            if column.template:
                used.add("{}" if column.own else "{x}")
            if column.rest:
                used.add("*")
            if column.held:
                used.add("^")
        return frozenset(used)


class _Cells(msgspec.Struct, gc=False):
    """The values of a column that is not constant; `full` where every row of the table has one."""

    full: bool
    tokens: list[bytes]


_Values: TypeAlias = dict[tuple[str, ...], _Cells]


def plan(rows: Sequence[Row], *, rare: bool = True) -> Plan | None:
    """The columns that fit `rows`, or None where they are too ragged for a table."""
    counts = Counter(key for row in rows for key in row)
    few = {key for key, count in counts.items() if count * RARE < len(rows)} if rare else set()
    if len(counts) - len(few) > MAX_COLUMNS:
        return None
    known = [{key: value for key, value in row.items() if key not in few} for row in rows] if few else list(rows)
    order = _merged_order(known)
    filled = sum(map(len, known))
    if not order or len(order) > MAX_COLUMNS or filled < MIN_FILL * len(order) * len(rows):
        return None
    values: _Values = {}
    nodes = _nodes(known, order, (), values, whole=True)
    if few:
        nodes.insert(_rest_at(rows, order, few), Column((REST,), rest=True))
    columns = list(flat(nodes))
    if len(columns) > MAX_COLUMNS:
        return None
    _share(columns, values)
    if not any(column.own for column in columns):
        columns[0].constant, columns[0].usual, columns[0].template, columns[0].own = None, None, (), True
    return numbered(nodes, columns)


def numbered(nodes: list[Node], columns: list[Column]) -> Plan:
    """The plan with these columns, each told its place."""
    for at, column in enumerate(columns):
        column.at = at
    _name(nodes)
    held = sum(column.held for column in columns)
    return Plan(nodes, columns, sum(column.own for column in columns) - held, held)


def _name(nodes: list[Node]) -> None:
    for node in nodes:
        node.name = token(node.key) + ":"
        if isinstance(node, Group):
            _name(node.nodes)


def flat(nodes: Sequence[Node]) -> Iterator[Column]:
    """The columns of `nodes`, in order."""
    for node in nodes:
        if isinstance(node, Column):
            yield node
        else:
            yield from flat(node.nodes)


def _merged_order(rows: Sequence[Row]) -> list[str]:
    """One order of all keys in which as many rows as possible have theirs: that of the longest row, others put in."""
    order = list(rows[max(range(len(rows)), key=lambda at: len(rows[at]))])
    known = set(order)
    for row in rows:
        if row.keys() <= known:
            continue
        after = -1
        for key in row:
            if key in known:
                after = order.index(key)
            else:
                after += 1
                order.insert(after, key)
                known.add(key)
    return order


def _rest_at(rows: Sequence[Row], order: list[str], few: set[str]) -> int:
    """Where in `order` the rarer members stand most often."""
    places = {key: at for at, key in enumerate(order)}
    votes: Counter[int] = Counter()
    for row in rows:
        before = -1
        for key in row:
            if key in few:
                votes[before + 1] += 1
                break
            before = places[key]
    return votes.most_common(1)[0][0]


def _nodes(
    rows: Sequence[Row], order: list[str], above: tuple[str, ...], values: _Values, *, whole: bool
) -> list[Node]:
    """A node for each key. `whole`: every row of the table has the object that these keys are in."""
    return [_node([row.get(key) for row in rows], (*above, key), values, whole=whole) for key in order]


def _node(cells: list[bytes | None], path: tuple[str, ...], values: _Values, *, whole: bool) -> Node:
    present = [cell for cell in cells if cell is not None]
    full = whole and len(present) == len(cells)
    first = present[0]
    if full and len(set(present)) == 1:
        return Column(path, first, own=False)
    if first[:1] in (b"{", b"n") and len(path) < MAX_DEPTH:
        group = _group(present, path, values, whole=full)
        if group is not None:
            return group
    lists = [cell for cell in present if cell != b"[]"] if first[:1] == b"[" else []
    if lists and all(cell[:2] == b"[{" for cell in lists):
        return Column(path, inner=_inner_keys(lists))
    values[path] = _Cells(full, present)
    return Column(path)


def _group(cells: list[bytes], path: tuple[str, ...], values: _Values, *, whole: bool) -> Group | None:
    """The members of objects as columns; None where the cells are not objects or too unlike one another."""
    objects: list[Row] = []
    for cell in cells:
        if cell != b"null":
            if cell[:1] != b"{" or cell == b"{}":
                return None
            objects.append(dict_of(cell))
    if not objects:
        return None
    keys = list(objects[0])
    # A constant below an object that can be missing or null would have to be put in there too: no constants there.
    whole = whole and len(objects) == len(cells)
    if all(list(row) == keys for row in objects):
        return Group(path, _nodes(objects, keys, path, values, whole=whole))
    if not whole or len({key for row in objects for key in row}) > MAX_COLUMNS:
        return None
    order = _merged_order(objects)
    if sum(map(len, objects)) < MIN_FILL * len(order) * len(objects):
        return None
    places = {key: at for at, key in enumerate(order)}
    for row in objects:
        here = [places[key] for key in row]
        if here != sorted(here):
            return None
    return Group(path, _nodes(objects, order, path, values, whole=True), exact=False)


def _inner_keys(lists: list[bytes]) -> tuple[str, ...]:
    """The keys that every object in every list has, in one order; none where they differ."""
    keys: tuple[str, ...] | None = None
    for value in lists:
        try:
            members = _OBJECTS.decode(value)
        except msgspec.ValidationError:
            return ()
        for member in members:
            if keys is None:
                keys = tuple(member)
            if tuple(member) != keys:
                return ()
    return keys or ()


def _share(columns: list[Column], values: _Values) -> None:
    """Give the columns templates: made of another column where every row's value is, else a part common to all."""
    for column in columns:
        if (found := values.get(column.path)) is not None and found.full:
            value, count = Counter(found.tokens).most_common(1)[0]
            if count >= USUAL * len(found.tokens) and count * (len(value) + 1) >= _LEAST_SAVED:
                column.usual = value
    texts: dict[str, list[str]] = {}  # what may be put into a hole of that name
    strings: list[tuple[Column, list[str], bool]] = []
    for column in columns:
        cells = values.get(column.path)
        if cells is None:
            continue
        present = [cell.decode() for cell in cells.tokens if cell != b"null"]
        if any(cell[0] in "[{" or "\\" in cell for cell in present):
            continue
        plain = [cell[1:-1] if cell[0] == '"' else cell for cell in present]
        full = cells.full and len(present) == len(cells.tokens)
        if full and all(map(NAME.fullmatch, column.path)):
            texts[".".join(column.path)] = plain
        if len(present) > 1 and all(cell[0] == '"' for cell in present):
            strings.append((column, plain, full))
    used: set[str] = set()
    # The longest first: they are made of the shorter ones. What another is made of keeps its cell.
    for column, plain, full in sorted(strings, key=lambda string: -len(string[1][0])):
        name = ".".join(column.path)
        made = None
        if column.usual is not None:
            continue
        if full and name not in used:
            own = texts.pop(name, None)
            made = prefixes.derived(plain, texts.items())
            if made is not None and _is_template(made):
                column.own = False
                used.update(made[1::2])
            else:
                made = None
                if own is not None:
                    texts[name] = own
        if made is None:
            made = prefixes.common(plain)
        if made is not None and _is_template(made):
            column.template = made


def _is_template(template: prefixes.Template) -> bool:
    """Whether a template can stand in a header: as a bare value could, in its plain spelling."""
    literal = "".join(template[::2])
    if template[0][:1] in ('"', "["):  # it would be read as a JSON value
        return False
    return "\\" not in literal and (not literal or not NOT_BARE.match("x" + literal + "x"))
