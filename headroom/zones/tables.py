r"""JSON with its uniform arrays written as tables: one header line, then one line a row.

    {"total":2,"items":[{"id":7,"by":{"name":"Ana"},"ok":true,"tags":[{"k":"a","n":1}]},
                        {"id":8,"by":{"name":"Bo"},"ok":true,"note":null,"tags":[]}]}
    →
    {"total":2,"items":@1}
    @1[2] id,by.name,ok=true,note,tags[k,n]
    7,Ana,,[["a",1]]
    8,Bo,null,[]

`@1` stands where the table was. Header: a column is a key, `a.b` is the key b of an object a, `name=value` has the
same value in every row and no cell, `name[k,n]` holds lists of objects, each written as a list of its values. Rows: an
empty cell is a missing key; `""` is the empty string; `~` is a null in the place of an object whose keys are columns;
text is written bare unless it could be read as something else, then it is a JSON string; all other values are raw
JSON with their own spelling. A row that does not fit the header is a JSON object behind `=`. An object of objects
becomes a table `@1{3}` whose first column is the key.

Values are never decoded into numbers: `1.0`, `1e400` and 2^60 keep their digits. Duplicate keys, keys or strings in an
unusual spelling and the like do not survive the round trip, which the caller checks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
import orjson

from headroom.zones.splice import to_token

_RAW = msgspec.Raw
_ROWS: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[_RAW])
_OBJECT: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, _RAW])
_OBJECTS: msgspec.json.Decoder[list[dict[str, msgspec.Raw]]] = msgspec.json.Decoder(list[dict[str, _RAW]])

MIN_ROWS = 3
MIN_FILL = 0.45  # share of cells that are there; raggeder arrays stay as they are
MAX_COLUMNS = 200
MAX_TABLES = 1000

_NUMBER = r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?"
# What a bare cell must not look like: another value, an escape, a blank at either end, or the end of a cell or line.
_NOT_BARE = re.compile(
    rf'(?:{_NUMBER}|true|false|null)\Z|[\s"\[{{~=@]|.*[,\x00-\x1f\x7f\u0085\u2028\u2029]|.*\s\Z', re.DOTALL
)
_NAME = re.compile(r"[A-Za-z_$][\w$/:-]*", re.ASCII)
_REFERENCE = re.compile(r'"(?:[^"\\]|\\.)*"|@(\d+)')
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_HEADER = re.compile(r"@(\d+)(?:\[(\d+)\]|\{(\d+)\}) (.*)", re.DOTALL)

Row = dict[str, bytes]


class _Column(msgspec.Struct, gc=False):
    """A column: its path of keys, what every row has in it (or None), and the keys of the objects in its lists."""

    path: tuple[str, ...]
    constant: bytes | None = None
    inner: tuple[str, ...] = ()


def encode(minified: str) -> str | None:
    """The document with tables, or None where it has no array worth one. `minified` must be valid, compact JSON."""
    tables: list[str] = []
    root = _fold(minified.encode(), tables)
    if not tables:
        return None
    return "\n".join([root, *tables])


def decode(pressed: str) -> tuple[str, str]:
    """The compact JSON that `encode` was given, and what follows the last table.

    Raises ValueError for a text that `encode` cannot have made.
    """
    lines = pressed.split("\n")
    tables: dict[int, str] = {}
    at = 1
    while at < len(lines) and (match := _HEADER.fullmatch(lines[at])) is not None:
        count = int(match[2] or match[3])
        rows = lines[at + 1 : at + 1 + count]
        if len(rows) != count:
            raise ValueError("a table is cut")
        tables[int(match[1])] = _unfold_table(_read_header(match[4]), rows, keyed=match[3] is not None)
        at += 1 + count

    def put(match: re.Match[str]) -> str:
        return match[0] if match[1] is None else tables[int(match[1])]

    tail = "".join("\n" + line for line in lines[at:])
    try:
        return _REFERENCE.sub(put, lines[0]), tail
    except KeyError as error:
        raise ValueError(f"no table {error}") from None


# Folding.


def _fold(raw: bytes, tables: list[str]) -> str:
    """`raw` with its tables replaced by references."""
    if raw[:1] == b"[" and b"{" in raw:
        elements = [bytes(element) for element in _ROWS.decode(raw)]
        if len(elements) >= MIN_ROWS and all(element[:1] == b"{" for element in elements):
            number = _table([dict_of(element) for element in elements], tables, None)
            if number:
                return f"@{number}"
        return "[" + ",".join(_fold(element, tables) for element in elements) + "]"
    if raw[:1] == b"{" and (b"{" in raw[1:] or b"[" in raw):
        members = dict_of(raw)
        if len(members) >= MIN_ROWS and all(value[:1] == b"{" for value in members.values()):
            number = _table([dict_of(value) for value in members.values()], tables, list(members))
            if number:
                return f"@{number}"
        return "{" + ",".join(f"{_token(key)}:{_fold(value, tables)}" for key, value in members.items()) + "}"
    return raw.decode()


def dict_of(raw: bytes) -> Row:
    """An object's members with raw values. The last of duplicate keys wins, which the round trip then shows."""
    return {key: bytes(value) for key, value in _OBJECT.decode(raw).items()}


def _token(text: str) -> str:
    return to_token(text).decode()


def _table(rows: list[Row], tables: list[str], keys: list[str] | None) -> int:
    """Write `rows` as the next table and return its number, or 0 where they are too ragged for one."""
    order = _merged_order(rows)
    filled = sum(map(len, rows))
    if not order or len(order) > MAX_COLUMNS or filled < MIN_FILL * len(order) * len(rows) or len(tables) >= MAX_TABLES:
        return 0
    columns = _columns(rows, order, ())
    live = [column for column in columns if column.constant is None]
    if not live and keys is None:
        return 0
    lines = [_line(row, columns, order) for row in rows]
    if keys is not None:
        # A row that does not fit is `=` and an object; its key still comes first.
        lines = [
            f"{_cell(to_token(key))},{line}" if live or line[:1] == "=" else _cell(to_token(key))
            for key, line in zip(keys, lines, strict=True)
        ]
    number = len(tables) + 1
    size = f"[{len(rows)}]" if keys is None else f"{{{len(rows)}}}"
    header = f"@{number}{size} " + ",".join(_write_column(column) for column in columns)
    tables.append("\n".join([header, *lines]))
    return number


def _merged_order(rows: list[Row]) -> list[str]:
    """One order of all keys in which as many rows as possible have theirs: that of the longest row, others put in."""
    order = list(rows[max(range(len(rows)), key=lambda index: len(rows[index]))])
    known = set(order)
    for row in rows:
        if row.keys() <= known:
            continue
        if len(order) > MAX_COLUMNS:  # too many for a table already: an insertion costs their number
            return order
        after = -1
        for key in row:
            if key in known:
                after = order.index(key)
            else:
                after += 1
                order.insert(after, key)
                known.add(key)
    return order


def _columns(rows: list[Row], order: list[str], above: tuple[str, ...]) -> list[_Column]:
    columns: list[_Column] = []
    for key in order:
        values = [row[key] for row in rows if key in row]
        columns += _column(values, (*above, key), whole=len(values) == len(rows), deep=not above)
    return columns


def _column(values: list[bytes], path: tuple[str, ...], *, whole: bool, deep: bool) -> list[_Column]:
    """The column for `values`, or the columns of its members where all of them are objects with the same keys."""
    if whole and len(set(values)) == 1:
        return [_Column(path, values[0])]
    present = [value for value in values if value != b"null"]
    if deep and present and all(value[:2] != b"{}" and value[:1] == b"{" for value in present):
        objects = [dict_of(value) for value in present]
        keys = list(objects[0])
        if all(list(member) == keys for member in objects):
            # A constant below an object that can be missing or null would have to be put in there too: no constants.
            whole = whole and len(present) == len(values)
            return _flattened(objects, keys, path, whole=whole)
    lists = [value for value in values if value != b"[]"]
    if lists and all(value[:2] == b"[{" for value in lists):
        inner = _inner_keys(lists)
        if inner:
            return [_Column(path, None, inner)]
    return [_Column(path)]


def _flattened(objects: list[Row], keys: list[str], path: tuple[str, ...], *, whole: bool) -> list[_Column]:
    columns: list[_Column] = []
    for key in keys:
        values = {member[key] for member in objects}
        columns.append(_Column((*path, key), values.pop() if whole and len(values) == 1 else None))
    if all(column.constant is not None for column in columns):  # then the object itself would have been constant
        columns[0].constant = None
    return columns


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


def _line(row: Row, columns: list[_Column], order: list[str]) -> str:
    """One row. It is an object behind `=` where its keys stand in another order than the header's."""
    positions = [order.index(key) for key in row] if list(row) != order else []
    if positions != sorted(positions):
        return "=" + _object(row)
    cells: list[str] = []
    nested: dict[str, Row | None] = {}
    for column in columns:
        if column.constant is not None:
            continue
        head = column.path[0]
        value = row.get(head)
        if len(column.path) == 1:
            cells.append("" if value is None else _value(value, column.inner))
        elif value is None:
            cells.append("")
        elif value == b"null":
            cells.append("~" if head not in nested else "")
            nested[head] = None
        else:
            members = nested.get(head)
            if members is None:
                members = nested[head] = dict_of(value)
            cells.append(_cell(members[column.path[1]]))
    return ",".join(cells)


def _object(row: Row) -> str:
    return "{" + ",".join(f"{_token(key)}:{value.decode()}" for key, value in row.items()) + "}"


def _value(raw: bytes, inner: tuple[str, ...]) -> str:
    if inner and raw[:2] == b"[{":
        rows = [",".join(bytes(member[key]).decode() for key in inner) for member in _OBJECTS.decode(raw)]
        return "[" + ",".join(f"[{row}]" for row in rows) + "]"
    return _cell(raw)


def _cell(raw: bytes) -> str:
    """A value as a cell: text bare where that reads back as the same token, anything else raw."""
    token = raw.decode()
    if token[0] == '"' and "\\" not in token and len(token) > 2:
        text = token[1:-1]
        if not _NOT_BARE.match(text):
            return text
    return token


def _write_column(column: _Column) -> str:
    name = ".".join(_write_name(key) for key in column.path)
    if column.constant is not None:
        return f"{name}={_cell(column.constant)}"
    return f"{name}[{','.join(map(_write_name, column.inner))}]" if column.inner else name


def _write_name(key: str) -> str:
    return key if _NAME.fullmatch(key) else _token(key)


# Unfolding.


def _unfold_table(columns: list[_Column], rows: list[str], *, keyed: bool) -> str:
    out: list[str] = []
    live = [column for column in columns if column.constant is None]
    for row in rows:
        key, line = "", row
        if keyed:
            end = _cell_end(row, 0)
            key = _token_of_cell(row[:end]) + ":"
            line = row[end + 1 :]
        if line.startswith("="):
            out.append(key + line[1:])
            continue
        cells = list(_cells(line)) if live else []
        if len(cells) != len(live):
            raise ValueError("a row has another number of cells than its header")
        out.append(key + _unfold_row(columns, iter(cells)))
    return ("{%s}" if keyed else "[%s]") % ",".join(out)


def _unfold_row(columns: list[_Column], cells: Iterator[str]) -> str:
    members: list[str] = []
    groups: dict[str, list[str]] = {}
    for column in columns:
        cell = None if column.constant is not None else next(cells)
        if column.constant is not None:
            value = column.constant.decode()
        elif cell == "":
            continue
        elif cell == "~":
            members.append(f"{_token(column.path[0])}:null")
            continue
        else:
            assert cell is not None
            value = _unfold_list(cell, column.inner) if column.inner and cell.startswith("[[") else _token_of_cell(cell)
        head = _token(column.path[0])
        if len(column.path) == 1:
            members.append(f"{head}:{value}")
            continue
        if head not in groups:
            groups[head] = []
            members.append(head)
        groups[head].append(f"{_token(column.path[1])}:{value}")
    return "{" + ",".join(m if m not in groups else f"{m}:{{{','.join(groups[m])}}}" for m in members) + "}"


def _unfold_list(cell: str, inner: tuple[str, ...]) -> str:
    names = [_token(key) for key in inner]
    rows: list[str] = []
    for element in _ROWS.decode(cell.encode()):
        values = _ROWS.decode(element)
        if len(values) != len(names):
            raise ValueError("a list has another number of values than its header")
        rows.append("{" + ",".join(f"{n}:{bytes(v).decode()}" for n, v in zip(names, values, strict=True)) + "}")
    return "[" + ",".join(rows) + "]"


def _token_of_cell(cell: str) -> str:
    """The JSON token of a cell: itself, or the string that a bare text stands for."""
    if cell[:1] in ('"', "[", "{") or _LITERAL.fullmatch(cell):
        return cell
    return _token(cell)


_LITERAL = re.compile(rf"{_NUMBER}|true|false|null")


def _cells(row: str) -> Iterator[str]:
    at = 0
    while True:
        end = _cell_end(row, at)
        yield row[at:end]
        if end >= len(row):
            return
        at = end + 1


def _cell_end(row: str, at: int) -> int:
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


def _read_header(header: str) -> list[_Column]:
    columns: list[_Column] = []
    at = 0
    while at < len(header):
        path: list[str] = []
        while True:
            match = _STRING.match(header, at) or _NAME.match(header, at)
            if match is None:
                raise ValueError("a column has no name")
            path.append(orjson.loads(match[0]) if match[0][0] == '"' else match[0])
            at = match.end()
            if header[at : at + 1] != ".":
                break
            at += 1
        column = _Column(tuple(path))
        if header[at : at + 1] == "=":
            end = _cell_end(header, at + 1)
            column.constant = _token_of_cell(header[at + 1 : end]).encode()
            at = end
        elif header[at : at + 1] == "[":
            at += 1
            inner: list[str] = []
            while header[at : at + 1] != "]":
                match = _STRING.match(header, at) or _NAME.match(header, at)
                if match is None:
                    raise ValueError("a list column has no names")
                inner.append(orjson.loads(match[0]) if match[0][0] == '"' else match[0])
                at = match.end() + (header[match.end() : match.end() + 1] == ",")
            column.inner = tuple(inner)
            at += 1
        columns.append(column)
        if at < len(header) and header[at] != ",":
            raise ValueError("columns are separated by commas")
        at += 1
    return columns
