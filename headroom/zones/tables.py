r"""JSON with its uniform arrays written as tables: one header line, then one line a row.

    {"total":2,"items":[{"id":7,"by":{"name":"Ana"},"ok":true,"tags":[{"k":"a","n":1}]},
                        {"id":8,"by":{"name":"Bo"},"ok":true,"note":null,"tags":[]}]}
    →
    {"total":2,"items":@1}
    @1[2] id,by.name,ok=true,note,tags[k,n]
    7,Ana,,[["a",1]]
    8,Bo,null,[]

`@1` stands where the table was; header and rows are those of `rows`. A row that does not fit the header is a JSON
object behind `=`. An object of objects becomes a table `@1{3}` whose first column is the key.

Values are never decoded into numbers: `1.0`, `1e400` and 2^60 keep their digits. Duplicate keys, keys or strings in an
unusual spelling and the like do not survive the round trip, which the caller checks.
"""

from __future__ import annotations

import re

import msgspec

from headroom.zones import runs
from headroom.zones.rows import (
    Plan,
    Row,
    cell_end,
    dict_of,
    plan,
    read_cell,
    read_header,
    read_held,
    read_line,
    token,
    write_cell,
    write_cells,
    write_header,
    write_object,
)
from headroom.zones.splice import to_token

_RAW = msgspec.Raw
_ROWS: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[_RAW])

MIN_ROWS = 2
CLEARLY = 0.6  # share of its characters that a table may have for nothing else to be tried
WORTH = 0.9  # share of what the same is without the table, for a table to be worth looking down to

_REFERENCE = re.compile(r'"(?:[^"\\]|\\.)*"|@(\d+)')
_HEADER = re.compile(r"@(\d+)(?:\[(\d+)\]|\{(\d+)\}) (.*)", re.DOTALL)


def encode(minified: str) -> str | None:
    """The document with tables, or None where it has no array worth one. `minified` must be valid, compact JSON."""
    tables: list[str] = []
    root = _fold(minified.encode(), tables)
    if not tables:
        return None
    return "\n".join([root, *tables])


def uses(pressed: str) -> frozenset[str]:
    """What a reader of the tables in an `encode`d text must know; see `rows.Plan.uses`."""
    lines = pressed.split("\n")
    found: set[str] = set()
    at = 1
    while at < len(lines) and (match := _HEADER.fullmatch(lines[at])) is not None:
        found |= read_header(match[4]).uses
        at = _end(lines, at + 1, int(match[2] or match[3]))
    return frozenset(found)


def decode(pressed: str) -> tuple[str, str]:
    """The compact JSON that `encode` was given, and what follows the last table.

    Raises ValueError for a text that `encode` cannot have made.
    """
    lines = pressed.split("\n")
    tables: dict[int, str] = {}
    at = 1
    while at < len(lines) and (match := _HEADER.fullmatch(lines[at])) is not None:
        end = _end(lines, at + 1, int(match[2] or match[3]))
        tables[int(match[1])] = _unfold_table(read_header(match[4]), lines[at + 1 : end], keyed=match[3] is not None)
        at = end

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
    known = len(tables)
    if raw[:1] == b"[" and b"{" in raw:
        elements = [bytes(element) for element in _ROWS.decode(raw)]
        found = None
        if len(elements) >= MIN_ROWS and all(element[:1] == b"{" for element in elements):
            found = _table([dict_of(element) for element in elements], None)
            if found is not None and len(found) < CLEARLY * len(raw):
                return _refer(found, tables)
        folded = "[" + ",".join([_fold(element, tables) for element in elements]) + "]"
    elif raw[:1] == b"{" and (b"{" in raw[1:] or b"[" in raw):
        members = dict_of(raw)
        found = None
        if len(members) >= MIN_ROWS and all(value[:1] == b"{" for value in members.values()):
            found = _table([dict_of(value) for value in members.values()], list(members))
            if found is not None and len(found) < CLEARLY * len(raw):
                return _refer(found, tables)
        folded = "{" + ",".join([f"{token(key)}:{_fold(value, tables)}" for key, value in members.items()]) + "}"
    else:
        return raw.decode()
    if found is not None and len(found) < WORTH * (len(folded) + sum(map(len, tables[known:]))):
        del tables[known:]
        return _refer(found, tables)
    return folded


def _refer(table: str, tables: list[str]) -> str:
    """Make `table` the next one and say what stands for it."""
    number = len(tables) + 1
    tables.append(f"@{number}{table}")
    return f"@{number}"


def _table(rows: list[Row], keys: list[str] | None) -> str | None:
    """`rows` as a table that has no number yet, or None where they are too ragged for one."""
    made = plan(rows)
    if made is None or (keys is None and all(row == rows[0] for row in rows)):
        return None
    cells = [write_cells(row, made) for row in rows]
    places = runs.choose([row for row in cells if row is not None])
    made.hold(places)
    above = runs.Written(places)
    lines: list[str] = []
    for at, row in enumerate(rows):
        # A row that does not fit is `=` and an object; its key still comes first.
        fit = cells[at]
        held, line = (None, "=" + write_object(row)) if fit is None else above.split(fit)
        if held is not None:
            lines.append(held)
        lines.append(line if keys is None else f"{write_cell(to_token(keys[at]))},{line}")
    size = f"[{len(rows)}]" if keys is None else f"{{{len(rows)}}}"
    return "\n".join([f"{size} {write_header(made)}", *lines])


def _end(lines: list[str], at: int, count: int) -> int:
    """Where the table ends whose `count` rows begin at `at`: lines above rows are none."""
    while count:
        if at == len(lines):
            raise ValueError("a table is cut")
        count -= lines[at][:1] != runs.MARK
        at += 1
    return at


def _unfold_table(header: Plan, rows: list[str], *, keyed: bool) -> str:
    out: list[str] = []
    above: list[str] = []
    for row in rows:
        if row[:1] == runs.MARK:
            above = read_held(row[1:], header)
            continue
        key, line = "", row
        if keyed:
            end = cell_end(row, 0)
            key = read_cell(row[:end]) + ":"
            line = row[end + 1 :]
        out.append(key + (line[1:] if line.startswith("=") else read_line(line, header, above)))
    return ("{%s}" if keyed else "[%s]") % ",".join(out)
