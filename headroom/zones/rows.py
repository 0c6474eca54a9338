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
from collections.abc import Sequence

import msgspec
import orjson

from headroom.zones import prefixes
from headroom.zones.cells import (
    NAME,
    NOT_REST,
    STRING,
    Row,
    cell_end,
    dict_of,
    read_cell,
    split_cells,
    token,
    write_cell,
    write_object,
)
from headroom.zones.plans import REST, Column, Group, Node, Plan, flat, numbered

_ROWS: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])
_OBJECTS: msgspec.json.Decoder[list[dict[str, msgspec.Raw]]] = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_TILDES = re.compile(r"~+")


# Writing.


def write_header(plan: Plan) -> str:
    """The first line of the table."""
    return ",".join(map(_write_column, plan.columns))


def _write_column(column: Column) -> str:
    return "^" + _describe(column) if column.held else _describe(column)


def _describe(column: Column) -> str:
    if column.rest:
        return REST
    name = ".".join(map(_write_name, column.path))
    if column.constant is not None:
        return f"{name}={_constant(column.constant)}"
    if column.usual is not None:
        return f"{name}~{_constant(column.usual)}"
    if column.template:
        return f"{name}={prefixes.write(column.template)}"
    return f"{name}[{','.join(map(_write_name, column.inner))}]" if column.inner else name


def _write_name(key: str) -> str:
    return key if NAME.fullmatch(key) else token(key)


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
    rests = [at for at, node in enumerate(nodes) if isinstance(node, Column) and node.rest] if REST in keys else []
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
    live = [""] * sum(column.own for column in flat(group.nodes))
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
    return text if NOT_REST.match(rest) else rest


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
    return numbered(_tree(columns, 0), columns)


def _read_column(header: str, at: int) -> tuple[Column, int]:
    if header[at : at + 1] == "^":
        column, at = _read_column(header, at + 1)
        if not column.own or column.held:
            raise ValueError("a column without cells is said to have them above")
        column.held = True
        return column, at
    if header[at : at + 1] == REST:
        return Column((REST,), rest=True), at + 1
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
    match = STRING.match(header, at) or NAME.match(header, at)
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
