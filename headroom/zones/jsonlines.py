r"""One JSON object a line (a service's log, mostly) as a table: keys once, then a row a line.

    {"ts":"2031-02-03T10:00:01Z","level":"info","msg":"lease taken","by":"w-3"}
    {"ts":"2031-02-03T10:00:04Z","level":"info","msg":"lease given back"}
    panic: out of leases
    {"ts":"2031-02-03T10:00:09Z","level":"info","msg":"stopped, at last","by":"w-1"}
    →
    [json lines: keys, then a row a line; k=v: in every row; {} is the cell; empty: no such key; =: line as it was]
    ts=2031-02-03T{},level=info,msg,by
    10:00:01Z,lease taken,w-3
    10:00:04Z,lease given back,
    =panic: out of leases
    10:00:09Z,"stopped, at last",w-1

Where records of several kinds are mixed, every kind has its keys and its letter, which its rows begin with. Header and
rows are those of `rows`. Exact: a line that does not read back to its very characters stays behind `=`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import msgspec

from headroom.zones import layout, rows, runs
from headroom.zones.cells import Row, dict_of
from headroom.zones.plans import Plan
from headroom.zones.plans import plan as plan_of

TITLE = "[json lines"
_HOW = {
    "=": "; k=v: in every row",
    "v": "; k~v: v where the cell is empty",
    "{}": "; {} is the cell",
    "{x}": "; {k} is column k",
    "*": "; * further keys",
    "&": "; &a=... is the cell of every &a",
    "^": "; ^k: as in the ^ line above",
    ",": "; empty: no such key",
    "~": "; ~: null",
    "raw": "; =: line as it was",
}
_TITLE = re.compile(
    r"\[json lines( \(spaced\))?: (?:keys|(\d+) kinds of keys, [A-Z-]+)(?:, then a row a line)"
    + "".join(f"(?:{re.escape(how)})?" for how in _HOW.values())
    + r"\]"
)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

MIN_ROWS = 3
MIN_SHARE = 0.5  # of the lines that are objects
TELLING = 8  # an object with more sets of keys than that says nothing of a record's kind
LIKE = 0.6  # share of keys in common that makes two records one kind


class _Record(msgspec.Struct):
    """A line that is an object: its members, its compact text and its kind."""

    row: Row
    text: str
    kind: int = 0


def encode(text: str) -> str | None:
    """The table, or None where too few lines are objects or they are too unlike one another."""
    end = "\n" if text.endswith("\n") else ""
    lines = text.split("\n")
    if end:
        lines.pop()
    spaced = _is_spaced(lines)
    records = [_record(line, spaced=spaced) for line in lines]
    found = [record for record in records if record is not None]
    if len(found) < MIN_ROWS or len(found) < MIN_SHARE * len(lines):
        return None
    forms = [_write(lines, records, [found], spaced=spaced)]
    kinds = _sort(found)
    if len(kinds) > 1:
        forms.append(_write(lines, records, kinds, spaced=spaced))
    written = [form for form in forms if form is not None]
    return min(written, key=len) + end if written else None


def decode(pressed: str) -> str:
    """What `encode` was given. Raises ValueError for a text that it cannot have made."""
    end = "\n" if pressed.endswith("\n") else ""
    lines = pressed.split("\n")
    if end:
        lines.pop()
    match = _TITLE.fullmatch(lines[0])
    if match is None:
        raise ValueError("no table of JSON lines")
    spaced = match[1] is not None
    several = match[2] is not None
    kinds = int(match[2]) if several else 1
    if not 1 <= kinds <= len(_LETTERS) or len(lines) <= kinds:
        raise ValueError("a table of JSON lines without its keys")
    plans: dict[str, Plan] = {}
    for at in range(kinds):
        letter = f"{_LETTERS[at]} " if several else ""
        if not lines[1 + at].startswith(letter):
            raise ValueError("keys without their letter")
        plans[letter] = rows.read_header(lines[1 + at].removeprefix(letter))
    out: list[str] = []
    above: dict[str, list[str]] = {}
    named, begin = runs.read_names(lines, 1 + kinds)
    for plan in plans.values():
        plan.named = named
    for line in lines[begin:]:
        if line[:1] == "=":
            out.append(line[1:])
            continue
        holds = line[:1] == runs.MARK
        row = line[1:] if holds else line
        letter = row[:2] if several else ""
        if letter not in plans:
            raise ValueError("a row of no kind")
        row = row[len(letter) :]
        if holds:
            above[letter] = rows.read_held(row, plans[letter])
        else:
            out.append(_read(row, plans[letter], above.get(letter, ()), spaced=spaced))
    return "\n".join(out) + end


def _read(line: str, plan: Plan, above: Sequence[str], *, spaced: bool) -> str:
    try:
        compact = rows.read_line(line, plan, above)
        return layout.apply(compact, layout.SPACED) if spaced else compact
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error


def _is_spaced(lines: Sequence[str]) -> bool:
    """Whether most of the first objects have blanks behind their commas and colons."""
    votes = 0
    for line in [line for line in lines if line[:2] == '{"'][:20]:
        minified = layout.minify(line)
        if minified is not None:
            votes += 1 if minified != line else -1
    return votes > 0


def _record(line: str, *, spaced: bool) -> _Record | None:
    """The record on `line`, if it is an object in the spelling that is put back."""
    if line[:2] != '{"' or line[-1] != "}":
        return None
    minified = layout.minify(line)
    if minified is None or line != (layout.apply(minified, layout.SPACED) if spaced else minified):
        return None
    return _Record(dict_of(minified.encode()), minified)


def _sort(records: Sequence[_Record]) -> list[list[_Record]]:
    """The records by kind: those that have about the same keys. Those that are like few others are left out."""
    names: dict[str, Counter[tuple[str, ...]]] = {}  # the keys of the objects under each key
    for record in records:
        for key, value in record.row.items():
            if value[:1] == b"{":
                names.setdefault(key, Counter())[tuple(dict_of(value))] += 1
    telling = {key for key, found in names.items() if 1 < len(found) <= TELLING}
    shapes: dict[tuple[str, ...], list[_Record]] = {}
    for record in records:
        keys = list(record.row)
        for key in keys.copy() if telling else ():
            if key in telling and record.row[key][:1] == b"{":
                keys += [f"{key}.{inner}" for inner in dict_of(record.row[key])]
        shapes.setdefault(tuple(keys), []).append(record)
    heads: list[frozenset[str]] = []
    kinds: list[list[_Record]] = []
    for shape, group in sorted(shapes.items(), key=lambda item: -len(item[1])):
        these = frozenset(shape)
        best, like = -1, LIKE
        for kind, head in enumerate(heads):
            share = len(these & head) / len(these | head)
            if share >= like:
                best, like = kind, share
        if best >= 0:
            kinds[best] += group
        elif len(heads) < len(_LETTERS):
            heads.append(these)
            kinds.append(list(group))
    return [kind for kind in kinds if len(kind) >= MIN_ROWS]


def _write(
    lines: Sequence[str], records: Sequence[_Record | None], kinds: Sequence[Sequence[_Record]], *, spaced: bool
) -> str | None:
    """The text with a plan for each kind that is no raggeder than a table may be."""
    plans: list[Plan] = []
    for record in records:
        if record is not None:
            record.kind = -1
    for kind in kinds:
        plan = plan_of([record.row for record in kind])
        if plan is not None:
            for record in kind:
                record.kind = len(plans)
            plans.append(plan)
    if not plans:
        return None
    letters = [f"{letter} " for letter in _LETTERS[: len(plans)]] if len(plans) > 1 else [""]
    readers = [rows.read_header(rows.write_header(plan)) for plan in plans]  # rows are checked against what is read
    cells = [
        None if record is None or record.kind < 0 else _cells(record, plans[record.kind], readers[record.kind])
        for record in records
    ]
    left_out: list[list[int]] = []
    within: list[list[str]] = []  # the cells that stay in the rows
    for number, plan in enumerate(plans):
        of_kind = [
            made
            for made, record in zip(cells, records, strict=True)
            if made is not None and record is not None and record.kind == number
        ]
        places = runs.choose(of_kind)
        plan.hold(places)
        left_out.append(places)
        within += [[cell for at, cell in enumerate(made) if at not in places] for made in of_kind]
    names = runs.name(within, ())
    aboves = [runs.Written(places, names) for places in left_out]
    uses = {use for plan in plans for use in plan.uses}
    out = [letter + rows.write_header(plan) for letter, plan in zip(letters, plans, strict=True)]
    out += [f"{name}={cell}" for cell, name in names.items()]
    if names:
        uses.add("&")
    for line, record, made in zip(lines, records, cells, strict=True):
        if record is None or made is None:
            uses.add("raw")
            out.append("=" + line)
            continue
        held, row = aboves[record.kind].split(made)
        if held is not None:
            out.append(runs.MARK + letters[record.kind] + held[1:])
        if not row:  # it would be taken for the text's end
            uses.add("raw")
            out.append("=" + line)
            continue
        if "" in made:
            uses.add(",")
        if "~" in row:
            uses.add("~")
        out.append(letters[record.kind] + row)
    keys = f"{len(plans)} kinds of keys, A-{_LETTERS[len(plans) - 1]}" if len(plans) > 1 else "keys"
    how = "".join(said for use, said in _HOW.items() if use in uses)
    title = f"{TITLE}{' (spaced)' if spaced else ''}: {keys}, then a row a line{how}]"
    return "\n".join([title, *out])


def _cells(record: _Record, plan: Plan, reader: Plan) -> list[str] | None:
    """The record's cells, or None where they would not read back to the same characters."""
    cells = rows.write_cells(record.row, plan)
    if cells is None or not any(cells) or cells[0][:1] == "=":  # an empty last line is taken for the text's end
        return None
    try:
        return cells if rows.read_line(",".join(cells), reader) == record.text else None
    except (ValueError, msgspec.MsgspecError):
        return None
