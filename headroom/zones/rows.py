r"""JSON objects as rows under one header: the columns that `tables` and `jsonlines` share.

    {"id":7,"by":{"name":"Ana"},"url":"https://h.test/i/7","at":"2031-02-03T10:00:01Z","ok":true,"n":1}
    {"id":8,"by":{"name":"Bo"},"url":"https://h.test/i/8","at":"2031-02-03T10:00:09Z","ok":true}
    →
    id,by.name,url=https://h.test/i/{id},at=2031-02-03T{},ok=true,n
    7,Ana,10:00:01Z,1
    8,Bo,10:00:09Z,

Header: a column is a key, `a.b` the key b of an object a; `name=value` has the same value in every row and no cell;
`name~value` has that value where its cell is empty; `name=…{}…` has only what stands for `{}` in its cell;
`name=…{id}…` is made of the row's column id and has no cell; `name[k,n]` holds lists of objects, each as a list of its
values; `*` holds rarer members as a JSON object; the cells of `^name` stand in a line `^…` above the rows that have
them (see `runs`). Rows: an empty cell is a missing key; `""` the empty string; `~` a null where only a part or a
member is written in the cell (`~~` one level further in); text is bare unless it could be read as something else, then
it is a JSON string; all other values are raw JSON with their own spelling.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import msgspec
import orjson

from headroom.zones import prefixes
from headroom.zones.splice import to_token

_RAW = msgspec.Raw
_ROWS: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[_RAW])
_OBJECT: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, _RAW])
_OBJECTS: msgspec.json.Decoder[list[dict[str, msgspec.Raw]]] = msgspec.json.Decoder(list[dict[str, _RAW]])

MIN_FILL = 0.45  # share of cells that are there; raggeder rows are no table
MAX_COLUMNS = 200
MAX_DEPTH = 4  # of objects that become columns
USUAL = 0.7  # share of the rows that have the same value, for it to be stated in the header
_LEAST_SAVED = 40  # characters; less does not pay for being explained
RARE = 8  # a key that fewer than one row in so many has gets no column

_NUMBER = r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?"
_LITERAL = re.compile(rf"{_NUMBER}|true|false|null")
# What a bare cell must not look like: another value, an escape, a blank at either end, or the end of a cell or line.
_END_OF_CELL = r".*[,\x00-\x1f\x7f\u0085\u2028\u2029]|.*\s\Z"
_NOT_BARE = re.compile(rf'(?:{_NUMBER}|true|false|null)\Z|[\s"\[{{~=@^&]|{_END_OF_CELL}', re.DOTALL)
_NOT_REST = re.compile(rf'\Z|[\s"\[{{~=@^&]|{_END_OF_CELL}', re.DOTALL)  # the same where only text can be meant
_NAME = re.compile(r"[A-Za-z_$][\w$/:-]*", re.ASCII)
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_TILDES = re.compile(r"~+")

Row: TypeAlias = dict[str, bytes]
"""An object's members, every value a raw token."""


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

    @property
    def key(self) -> str:
        """The key of the object that the column's values are in."""
        return self.path[-1]


class Group(msgspec.Struct):
    """The columns of an object's members. With `exact`, all of them are there wherever the object is."""

    path: tuple[str, ...]
    nodes: list[Column | Group]
    exact: bool = True
    name: str = ""

    @property
    def key(self) -> str:
        """The key of the object."""
        return self.path[-1]


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


def dict_of(raw: bytes) -> Row:
    """An object's members with raw values. The last of duplicate keys wins, which the round trip then shows."""
    return {key: bytes(value) for key, value in _OBJECT.decode(raw).items()}


def token(text: str) -> str:
    """`text` as a JSON string."""
    return to_token(text).decode()


def write_object(row: Row) -> str:
    """`row` as compact JSON."""
    return "{" + ",".join([f"{token(key)}:{value.decode()}" for key, value in row.items()]) + "}"


# Planning.


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
        nodes.insert(_rest_at(rows, order, few), Column(("*",), rest=True))
    columns = list(_flat(nodes))
    if len(columns) > MAX_COLUMNS:
        return None
    _share(columns, values)
    if not any(column.own for column in columns):
        columns[0].constant, columns[0].usual, columns[0].template, columns[0].own = None, None, (), True
    return _plan(nodes, columns)


def _plan(nodes: list[Node], columns: list[Column]) -> Plan:
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


def _flat(nodes: Sequence[Node]) -> Iterator[Column]:
    for node in nodes:
        if isinstance(node, Column):
            yield node
        else:
            yield from _flat(node.nodes)


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
        if full and all(map(_NAME.fullmatch, column.path)):
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
    return "\\" not in literal and (not literal or not _NOT_BARE.match("x" + literal + "x"))


# Writing.


def write_header(plan: Plan) -> str:
    """The first line of the table."""
    return ",".join(map(_write_column, plan.columns))


def _write_column(column: Column) -> str:
    return "^" + _describe(column) if column.held else _describe(column)


def _describe(column: Column) -> str:
    if column.rest:
        return "*"
    name = ".".join(map(_write_name, column.path))
    if column.constant is not None:
        return f"{name}={_constant(column.constant)}"
    if column.usual is not None:
        return f"{name}~{_constant(column.usual)}"
    if column.template:
        return f"{name}={prefixes.write(column.template)}"
    return f"{name}[{','.join(map(_write_name, column.inner))}]" if column.inner else name


def _write_name(key: str) -> str:
    return key if _NAME.fullmatch(key) else token(key)


def _constant(raw: bytes) -> str:
    cell = write_cell(raw)
    return cell if cell[0] in '"[{' or not ("{" in cell or "}" in cell) else raw.decode()


def write_line(row: Row, plan: Plan) -> str | None:
    """`row` as one line, or None where it does not fit the columns: keys in another order, or one that has none."""
    cells = write_cells(row, plan)
    return None if cells is None else ",".join(cells)


def write_cells(row: Row, plan: Plan) -> list[str] | None:
    """The cells of `row`, also those that a line above may hold, or None where it does not fit the columns."""
    cells: list[str] = []
    return cells if _fill(row, plan.nodes, cells, exact=False) else None


def _fill(row: Row, nodes: list[Node], cells: list[str], *, exact: bool) -> bool:
    """Append the cells of `row` and say whether it fits."""
    keys = [node.key for node in nodes]
    extra: list[str] = []
    rests = [at for at, node in enumerate(nodes) if isinstance(node, Column) and node.rest]
    if rests or list(row) != keys:
        if exact:
            return False
        split = rests[0] if rests else len(keys)
        before, after = keys[:split], keys[split + 1 :]
        known = {*before, *after}
        extra = [key for key in row if key not in known]
        expected = [key for key in before if key in row] + extra + [key for key in after if key in row]
        if (extra and not rests) or list(row) != expected:
            return False
    for node in nodes:
        value = row.get(node.key)
        if isinstance(node, Group):
            if not _fill_group(value, node, cells):
                return False
        elif node.rest:
            cells.append(write_object({key: row[key] for key in extra}) if extra else "")
        elif node.own:
            cells.append("" if value is None or value == node.usual else _write_value(value, node))
        elif node.constant is not None and value != node.constant:
            return False
    return True


def _fill_group(value: bytes | None, group: Group, cells: list[str]) -> bool:
    if value is not None and value != b"null":
        return value[:1] == b"{" and _fill(dict_of(value), group.nodes, cells, exact=group.exact)
    live = [""] * sum(column.own for column in _flat(group.nodes))
    if value is not None:
        live[0] = "~" * len(group.path)
    cells += live
    return True


def _write_value(raw: bytes, column: Column) -> str:
    if column.inner and raw[:2] == b"[{":
        rows = [",".join([bytes(member[key]).decode() for key in column.inner]) for member in _OBJECTS.decode(raw)]
        return "[" + ",".join(f"[{row}]" for row in rows) + "]"
    if not column.template:
        return write_cell(raw)
    if raw == b"null":
        return "~" * len(column.path)
    text = raw.decode()
    rest = text[1 + len(column.template[0]) : len(text) - 1 - len(column.template[2])]
    return text if _NOT_REST.match(rest) else rest


def write_cell(raw: bytes) -> str:
    """A value as a cell: text bare where that reads back as the same token, anything else raw."""
    spelled = raw.decode()
    if spelled[0] == '"' and "\\" not in spelled and len(spelled) > 2:
        text = spelled[1:-1]
        if not _NOT_BARE.match(text):
            return text
    return spelled


# Reading.


def read_header(header: str) -> Plan:
    """The plan that `write_header` wrote. Raises ValueError."""
    columns: list[Column] = []
    at = 0
    while at < len(header):
        column, at = _read_column(header, at)
        columns.append(column)
        if at < len(header) and header[at] != ",":
            raise ValueError("columns are separated by commas")
        at += 1
    if not columns:
        raise ValueError("a table without columns")
    places = {".".join(column.path): column for column in columns}
    for column in columns:
        for name in column.template[1::2] if not column.own else ():
            if name not in places or not places[name].own or places[name].rest:
                raise ValueError("a column is made of one that has no cell")
    return _plan(_tree(columns, 0), columns)


def _read_column(header: str, at: int) -> tuple[Column, int]:
    if header[at : at + 1] == "^":
        column, at = _read_column(header, at + 1)
        if not column.own or column.held:
            raise ValueError("a column without cells is said to have them above")
        column.held = True
        return column, at
    if header[at : at + 1] == "*":
        return Column(("*",), rest=True), at + 1
    path: list[str] = []
    while True:
        name, at = _read_name(header, at)
        path.append(name)
        if header[at : at + 1] != ".":
            break
        at += 1
    column = Column(tuple(path))
    if header[at : at + 1] == "=":
        end = header.find(",", at + 1)
        value = header[at + 1 : end if end >= 0 else len(header)]
        if not (value[:1] in ('"', "[") or value == "{}" or value[:2] == '{"'):
            template = prefixes.read(value)
            if template is not None:
                column.template = template
                column.own = template[1::2] == ("",)
                if not column.own and "" in template[1::2]:
                    raise ValueError("a template of a cell and of columns")
                return column, at + 1 + len(value)
        end = cell_end(header, at + 1)
        column.constant = read_cell(header[at + 1 : end]).encode()
        column.own = False
        return column, end
    if header[at : at + 1] == "~":
        end = cell_end(header, at + 1)
        column.usual = read_cell(header[at + 1 : end]).encode()
        return column, end
    if header[at : at + 1] == "[":
        at += 1
        inner: list[str] = []
        while header[at : at + 1] != "]":
            name, at = _read_name(header, at)
            inner.append(name)
            at += header[at : at + 1] == ","
        column.inner = tuple(inner)
        at += 1
    return column, at


def _read_name(header: str, at: int) -> tuple[str, int]:
    match = _STRING.match(header, at) or _NAME.match(header, at)
    if match is None:
        raise ValueError("a column has no name")
    return orjson.loads(match[0]) if match[0][0] == '"' else match[0], match.end()


def _tree(columns: list[Column], depth: int) -> list[Node]:
    """The nodes of columns that share the first `depth` keys."""
    nodes: list[Node] = []
    at = 0
    while at < len(columns):
        end = at + 1
        path = columns[at].path[: depth + 1]
        while end < len(columns) and columns[end].path[: depth + 1] == path:
            end += 1
        if end - at > 1 and any(len(column.path) == depth + 1 for column in columns[at:end]):
            raise ValueError("two columns of one name, or one that is a value and an object")
        if len(columns[at].path) == depth + 1:
            nodes.append(columns[at])
        else:
            nodes.append(Group(path, _tree(columns[at:end], depth + 1)))
        at = end
    return nodes


def read_held(line: str, plan: Plan) -> list[str]:
    """The cells of a line that stands above rows, without its mark. Raises ValueError."""
    held = split_cells(line)
    if len(held) != plan.held:
        raise ValueError("a line above rows has another number of cells than its header")
    return held


def read_line(line: str, plan: Plan, above: Sequence[str] = ()) -> str:
    """The compact object that `write_line` made the line of, with the cells `above` it. Raises ValueError."""
    cells = split_cells(line)
    if len(cells) != plan.live or len(above) != plan.held:
        raise ValueError("a row has another number of cells than its header")
    if plan.named:
        cells = [plan.named.get(cell, cell) for cell in cells]
    tokens: list[str | None] = [None] * len(plan.columns)
    nulls: set[tuple[str, ...]] = set()
    given, held = iter(cells), iter(above)
    made: list[Column] = []
    for column in plan.columns:
        if column.constant is not None:
            tokens[column.at] = column.constant.decode()
        elif not column.own:
            made.append(column)
        elif cell := next(held if column.held else given):
            if cell[0] == "~":
                if not _TILDES.fullmatch(cell) or len(cell) > len(column.path):
                    raise ValueError("a cell begins with a tilde")
                nulls.add(column.path[: len(cell)])
                if len(cell) == len(column.path):
                    tokens[column.at] = "null"
            else:
                tokens[column.at] = _read_value(cell, column)
        elif column.usual is not None:
            tokens[column.at] = column.usual.decode()
    for column in made:
        tokens[column.at] = _made(column, plan, tokens)
    return _build(plan.nodes, tokens, nulls) or "{}"


def _made(column: Column, plan: Plan, tokens: list[str | None]) -> str:
    """The text of a column that has no cell."""
    places = {".".join(other.path): other.at for other in plan.columns}
    pieces = list(column.template)
    for at in range(1, len(pieces), 2):
        value = tokens[places[pieces[at]]]
        if value is None:
            raise ValueError("a column is made of a cell that is missing")
        pieces[at] = value[1:-1] if value[0] == '"' else value
    return f'"{"".join(pieces)}"'


def _read_value(cell: str, column: Column) -> str:
    if column.rest:
        if cell[0] != "{" or len(cell) < 3:
            raise ValueError("rarer members are an object")
        return cell[1:-1]
    if column.template and cell[0] != '"':
        return f'"{column.template[0]}{cell}{column.template[2]}"'
    if column.inner and cell[:2] == "[[":
        return _read_list(cell, column.inner)
    return read_cell(cell)


def _build(nodes: list[Node], tokens: list[str | None], nulls: set[tuple[str, ...]]) -> str | None:
    """The object with those members that are there; None where none is."""
    members: list[str] = []
    for node in nodes:
        if isinstance(node, Group):
            value = "null" if node.path in nulls else _build(node.nodes, tokens, nulls)
        else:
            value = tokens[node.at]
            if node.rest and value is not None:
                members.append(value)
                continue
        if value is not None:
            members.append(node.name + value)
    return "{" + ",".join(members) + "}" if members else None


def _read_list(cell: str, inner: tuple[str, ...]) -> str:
    names = [token(key) for key in inner]
    rows: list[str] = []
    for element in _ROWS.decode(cell.encode()):
        values = _ROWS.decode(element)
        if len(values) != len(names):
            raise ValueError("a list has another number of values than its header")
        rows.append("{" + ",".join(f"{n}:{bytes(v).decode()}" for n, v in zip(names, values, strict=True)) + "}")
    return "[" + ",".join(rows) + "]"


def read_cell(cell: str) -> str:
    """The JSON token of a cell: itself, also if it refers to a table, or the string that a bare text stands for."""
    if cell[:1] in ('"', "[", "{", "@") or _LITERAL.fullmatch(cell):
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
        match = _STRING.match(row, at)
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
