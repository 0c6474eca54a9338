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

Lists of objects in the rows of one table are rows of another: `@2[4-6]` is a list of its rows 4 to 6. An object that
stands in the rest of the document twice is said once, as `@3={…}`, and a string of several lines stands below as it is
(`@4 text, 12 lines:`). Every row and text is referred to once, so that nothing can grow without bound.

Values are never decoded into numbers: `1.0`, `1e400` and 2^60 keep their digits. Duplicate keys, keys or strings in an
unusual spelling and the like do not survive the round trip, which the caller checks.
"""

from __future__ import annotations

import re

import msgspec

from headroom.zones import repeats, runs
from headroom.zones.cells import STRING, Row, cell_end, dict_of, read_cell, token, write_cell, write_object
from headroom.zones.plans import Plan, plan
from headroom.zones.rows import read_header, read_held, read_line, write_cells, write_header
from headroom.zones.splice import to_text, to_token

_RAW = msgspec.Raw
_ROWS: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[_RAW])

MIN_ROWS = 2
DEEPEST = 40  # levels that are looked at: each is read again for the one above it
DEEPEST_LISTS = 4  # lists in rows of lists in rows
MIN_TEXT = 120  # characters of a string that is worth lines of its own
MIN_BREAKS = 2  # line breaks in it
CLEARLY = 0.6  # share of its characters that a table may have for nothing else to be tried
BASED = 0.97  # share of its characters that a document may have for addresses in it to be written from others
WORTH = 0.9  # share of what the same is without the table, for a table to be worth looking down to

_REFERENCE = re.compile(STRING.pattern + r"|@(\d{1,9})(?:\[(\d{1,9})-(\d{1,9})\])?")
_VALUE = re.compile(r"@(\d{1,9})=")
_TEXT = re.compile(r"@(\d{1,9}) text, (\d{1,9}) lines:")
_VALUE_STRING = re.compile(STRING.pattern + "(:?)")
_SLICE = re.compile(r"@\d{1,9}\[\d{1,9}-\d{1,9}\]")
_HEADER = re.compile(r"@(\d+)(?:\[(\d+)\]|\{(\d+)\}) (.*)", re.DOTALL)


def encode(minified: str) -> str | None:
    """The document with tables, or None where it has no array worth one. `minified` must be valid, compact JSON."""
    tables: list[str] = []
    folded = _fold(minified.encode(), tables)
    root, values = repeats.share(folded, len(tables) + 1)
    written = [root, *values]
    shorter = [repeats.shorten(text) for text in written] if root.count('"http') + root.count('"/') > 3 else written
    based = sum(map(len, shorter)) < BASED * sum(map(len, written))
    if not tables and not values and not based and root.count("\\n") < MIN_BREAKS:
        return None
    root, *values = shorter if based else map(repeats.escape, written)
    said = [f"@{len(tables) + at}={value}" for at, value in enumerate(values, 1)]
    texts: list[str] = []
    head = _lift_texts("\n".join([root, *said]), len(tables) + len(values) + 1, texts)
    if not tables and not values and not based and not texts:
        return None
    return "\n".join([head, *tables, *texts])


def _lift_texts(head: str, number: int, texts: list[str]) -> str:
    """`head` with references instead of strings of several lines, which are put into `texts` as they are."""
    if head.count("\\n") < MIN_BREAKS:
        return head

    def lift(match: re.Match[str]) -> str:
        spelled = match[0]
        if match[1] or len(spelled) < MIN_TEXT or spelled.count("\\n") < MIN_BREAKS:
            return spelled
        text = to_text(spelled.encode())
        if to_token(text).decode() != spelled:
            return spelled
        texts.append(f"@{number + len(texts)} text, {text.count(chr(10)) + 1} lines:\n{text}")
        return f"@{number + len(texts) - 1}"

    return _VALUE_STRING.sub(lift, head)


def uses(pressed: str) -> frozenset[str]:
    """What a reader of the tables in an `encode`d text must know; see `rows.Plan.uses`."""
    lines = pressed.split("\n")
    found: set[str] = {"[-]"} if _SLICE.search(pressed) else set()
    at = 1
    while at < len(lines) and _VALUE.match(lines[at]) is not None:
        at += 1
        found.add("@=")
    if any('"{' in line for line in lines[:at]):
        found.add("{k}")
    while at < len(lines) and (match := _HEADER.fullmatch(lines[at])) is not None:
        found.add("table")
        found |= read_header(match[4]).uses
        names, at = runs.read_names(lines, at + 1)
        found |= {"&"} if names else set()
        at = _end(lines, at, int(match[2] or match[3]))
    if at < len(lines) and _TEXT.fullmatch(lines[at]) is not None:
        found.add("text")
    return frozenset(found)


def decode(pressed: str) -> tuple[str, str]:
    """The compact JSON that `encode` was given, and what follows the last table.

    Raises ValueError for a text that `encode` cannot have made.
    """
    lines = pressed.split("\n")
    values: dict[int, str] = {}
    tables: dict[int, _Table] = {}
    at = 1
    while at < len(lines) and (match := _VALUE.match(lines[at])) is not None:
        values[int(match[1])] = repeats.lengthen(lines[at][match.end() :])
        at += 1
    while at < len(lines) and (match := _HEADER.fullmatch(lines[at])) is not None:
        header = read_header(match[4])
        header.named, at = runs.read_names(lines, at + 1)
        end = _end(lines, at, int(match[2] or match[3]))
        rows = _unfold_table(header, lines[at:end], keyed=match[3] is not None)
        tables[int(match[1])] = _Table(
            [_resolved(row, tables) if "@" in row else row for row in rows], match[3] is not None
        )
        at = end
    while at < len(lines) and (match := _TEXT.fullmatch(lines[at])) is not None:
        end = at + 1 + int(match[2])
        if end > len(lines):
            raise ValueError("a text is cut")
        tables[int(match[1])] = _Table([to_token("\n".join(lines[at + 1 : end])).decode()], None)
        at = end
    tail = "".join("\n" + line for line in lines[at:])
    root = repeats.resolve(repeats.lengthen(lines[0]), values)
    return _resolved(root, tables), tail


class _Table(msgspec.Struct):
    """A table that has been read: its rows as JSON, and how many of them something has referred to."""

    rows: list[str]
    keyed: bool | None  # None for a text
    used: int = 0


def _resolved(text: str, tables: dict[int, _Table]) -> str:
    """`text` with the rows that it refers to. Every row can be referred to once, so nothing can grow without bound."""

    def put(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0]
        table = tables.get(int(match[1]))
        if table is None:
            raise ValueError(f"no table {match[1]}")
        begin, end = (int(match[2]) - 1, int(match[3])) if match[2] else (0, len(table.rows))
        if begin != table.used or not begin < end <= len(table.rows) or (match[2] and table.keyed):
            raise ValueError("rows that are not there, or stand elsewhere")
        table.used = end
        if table.keyed is None:
            return table.rows[0]
        return ("{%s}" if table.keyed else "[%s]") % ",".join(table.rows[begin:end])

    return _REFERENCE.sub(put, text)


# Folding.


def _fold(raw: bytes, tables: list[str], depth: int = 0) -> str:
    """`raw` with its tables replaced by references."""
    known = len(tables)
    below: list[str] = []
    if depth == DEEPEST:
        return raw.decode()
    if raw[:1] == b"[" and b"{" in raw:
        elements = [bytes(element) for element in _ROWS.decode(raw)]
        found = None
        if len(elements) >= MIN_ROWS and all(element[:1] == b"{" for element in elements):
            found = _table([dict_of(element) for element in elements], None, tables)
            if found is not None and _size(tables, known) + len(found) < CLEARLY * len(raw):
                return _refer(found, tables)
        below = tables[known:]
        del tables[known:]
        folded = "[" + ",".join([_fold(element, tables, depth + 1) for element in elements]) + "]"
    elif raw[:1] == b"{" and (b"{" in raw[1:] or b"[" in raw):
        members = dict_of(raw)
        found = None
        if len(members) >= MIN_ROWS and all(value[:1] == b"{" for value in members.values()):
            found = _table([dict_of(value) for value in members.values()], list(members), tables)
            if found is not None and _size(tables, known) + len(found) < CLEARLY * len(raw):
                return _refer(found, tables)
        below = tables[known:]
        del tables[known:]
        folded = (
            "{" + ",".join([f"{token(key)}:{_fold(value, tables, depth + 1)}" for key, value in members.items()]) + "}"
        )
    else:
        return raw.decode()
    if found is not None and len(found) + sum(map(len, below)) < WORTH * (len(folded) + _size(tables, known)):
        tables[known:] = below
        return _refer(found, tables)
    return folded


def _size(tables: list[str], known: int) -> int:
    """Characters of the tables behind the first `known`."""
    return sum([len(tables[at]) for at in range(known, len(tables))])


def _lists_below(rows: list[Row], tables: list[str], depth: int) -> list[Row]:
    """`rows` with their lists of objects put into one table for each key, where that is shorter."""
    keys = dict.fromkeys(key for row in rows for key, value in row.items() if value[:2] == b"[{")
    for key in keys:
        known = len(tables)
        lists = [(at, _ROWS.decode(row[key])) for at, row in enumerate(rows) if row.get(key, b"")[:2] == b"[{"]
        elements = [bytes(element) for _, found in lists for element in found]
        if len(elements) < MIN_ROWS or not all(element[:1] == b"{" for element in elements):
            continue
        members = [dict_of(element) for element in elements]
        table = _table(members, None, tables, depth + 1)
        if table is None:
            continue
        alike = all(member.keys() == members[0].keys() for member in members)
        names = sum([len(name) + 3 for name in members[0]]) * (len(members) - 1) if alike else 0
        if len(table) + _size(tables, known) + 8 * len(lists) > WORTH * (sum(map(len, elements)) - names):
            del tables[known:]
            continue
        reference = _refer(table, tables)
        rows = list(rows)
        last = 0
        for at, found in lists:
            rows[at] = {**rows[at], key: f"{reference}[{last + 1}-{last + len(found)}]".encode()}
            last += len(found)
    return rows


def _refer(table: str, tables: list[str]) -> str:
    """Make `table` the next one and say what stands for it."""
    number = len(tables) + 1
    tables.append(f"@{number}{table}")
    return f"@{number}"


def _table(rows: list[Row], keys: list[str] | None, tables: list[str], depth: int = 0) -> str | None:
    """`rows` as a table that has no number yet, or None where they are too ragged for one."""
    known = len(tables)
    rows = _lists_below(rows, tables, depth) if depth < DEEPEST_LISTS else rows
    made = plan(rows)
    if made is None or (keys is None and all(row == rows[0] for row in rows)):
        del tables[known:]
        return None
    cells = [write_cells(row, made) for row in rows]
    fitting = [row for row in cells if row is not None]
    places = runs.choose(fitting)
    made.hold(places)
    names = runs.name(fitting, places)
    above = runs.Written(places, names)
    lines: list[str] = [f"{name}={cell}" for cell, name in names.items()]
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


def _unfold_table(header: Plan, rows: list[str], *, keyed: bool) -> list[str]:
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
    return out
