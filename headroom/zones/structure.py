"""What texts of one tool have in common, whatever they say: a name that statistics are kept under.

JSON is named by its fields and their types, other texts by their kind and by how their first line is built. For those
the published rule hashes the first hundred characters as they are; nearly every output begins with a time or a path
of its own, so hardly two would agree. Here runs of words and figures are folded first, and only the first marks
between them count, behind which messages differ. Nothing of a text can be got back from its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from itertools import islice
from json import JSONDecodeError, JSONDecoder

import msgspec

from headroom.zones.detect import Kind
from headroom.zones.wrappers import headed, peel

LOOK = 64 * 1024  # characters of a text that are looked at
ROWS = 5
FIELDS_LIMIT = 100  # fields of a text that are told
OPENING = 100  # characters of a first line
_MARKS = 2  # folded characters that count
_MACHINE_MARKS = 10  # the same where a program's own lines begin
_MACHINES = frozenset({Kind.LOG, Kind.LINT, Kind.TABLE, Kind.LINES, Kind.OUTLINE})
_JSON = frozenset({Kind.JSON, Kind.JSON_LINES})
_WORDS = re.compile(r"[\w\-./\\~@+]+(?:[ \t]+[\w\-./\\~@+]+)*")
_BLANKS = re.compile(r"[ \t\r]+")
_TYPES: Mapping[str, str] = {
    '"': "string",
    "{": "object",
    "[": "array",
    "t": "boolean",
    "f": "boolean",
    "n": "null",
}
_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_VALUE = JSONDecoder()
_REFUSED = (msgspec.MsgspecError, JSONDecodeError, RecursionError, UnicodeError)

Row = Mapping[str, str]
"""The types of one object's fields, by name."""


class Structure(msgspec.Struct, frozen=True, gc=False):
    """A text's name, and the names of its fields, sorted; a text that is no JSON has none."""

    name: str
    fields: tuple[str, ...] = ()


def beginning(text: str) -> str:
    """As much of `text` as its structure is told by. Cost: a copy of 128 Ki characters at the most."""
    return text if len(text) <= 2 * LOOK else text[: 2 * LOOK]


def structure(text: str, kind: Kind) -> str:
    """The name of `text`'s structure: 24 hex digits for JSON, else `content:<kind>:` and 8. See `described`."""
    return described(text, kind).name


def described(text: str, kind: Kind) -> Structure:
    """The structure of `text`, which is of `kind`. The same for the same text; never raises.

    Cost: looks at 64 Ki characters at the most; for JSON a pass of msgspec over those, else a regex over one line.
    """
    core = text[headed(text) :]
    if kind in _JSON:
        lines = kind is Kind.JSON_LINES
        rows = _rows(core, lines=lines) or _rows(peel(text)[1], lines=lines)
        if rows:
            return _of_rows(rows)
    return Structure(f"content:{kind}:{_digest(_opening(core, kind), 8)}")


def _of_rows(rows: Sequence[Row]) -> Structure:
    types: dict[str, set[str]] = {}
    for row in rows:
        for name, kind in row.items():
            types.setdefault(name, set()).add(kind)
    # JSON, so that no field's name can stand for another's name and type.
    told = msgspec.json.encode([(name, sorted(types[name])) for name in sorted(types)])
    return Structure(sha256(told).hexdigest()[:24], tuple(sorted(filter(None, types)))[:FIELDS_LIMIT])


def _rows(core: str, *, lines: bool) -> list[Row]:
    """The fields of the first rows; a value that is no object counts as one without a name. Empty for what is no
    JSON."""
    if lines:
        return [_row(line) for line in _first_lines(core[:LOOK])]
    try:
        if len(core) <= LOOK:
            return _whole(core.strip())
        return _begun(core[:LOOK].lstrip())
    except _REFUSED:
        return []


def _whole(core: str) -> list[Row]:
    """Rows of a text that can be read to its end. Raises one of _REFUSED."""
    if core[:1] != "[":
        return [_typed(_MEMBERS.decode(core))]
    return [_row(bytes(raw).decode()) for raw in _ELEMENTS.decode(core)[:ROWS]] or [{"": "nothing"}]


def _begun(core: str) -> list[Row]:
    """Rows of a text of which only the beginning is looked at: those that end within it."""
    if core[:1] != "[":
        return [_members(core)]
    rows: list[Row] = []
    at = 1
    while len(rows) < ROWS:
        at = _past(core, at, " \t\r\n,")
        try:
            end = _VALUE.raw_decode(core, at)[1]
        except (*_REFUSED, ValueError):
            break
        rows.append(_row(core[at:end]))
        at = end
    # One row that is longer than the look.
    return rows or [_members(core[_past(core, 1, " \t\r\n") :])]


def _members(core: str) -> Row:
    """The members of an object that begin within `core`, and end there but for the last."""
    found: dict[str, str] = {}
    at = 1
    try:
        while len(found) < FIELDS_LIMIT:
            name, at = _VALUE.raw_decode(core, _past(core, at, " \t\r\n,"))
            at = _past(core, at, " \t\r\n:")
            if not isinstance(name, str) or at >= len(core):
                break
            found[name] = _type(core[at])
            _, at = _VALUE.raw_decode(core, at)
    except (*_REFUSED, ValueError):
        pass
    return found


def _row(element: str) -> Row:
    """The fields of one element; one that cannot be read is an element without a name."""
    if element[:1] == "{":
        try:
            return _typed(_MEMBERS.decode(element))
        except _REFUSED:
            pass
    return {"": _type(element[:1])}


def _typed(members: Mapping[str, msgspec.Raw]) -> Row:
    return {name: _type(chr(bytes(raw)[0])) for name, raw in islice(members.items(), FIELDS_LIMIT)}


def _type(begin: str) -> str:
    return _TYPES.get(begin, "number")


def _past(text: str, at: int, blanks: str) -> int:
    while at < len(text) and text[at] in blanks:
        at += 1
    return at


def _first_lines(text: str) -> Iterable[str]:
    found: list[str] = []
    at = 0
    while len(found) < ROWS and at < len(text):
        end = text.find("\n", at)
        line = text[at : end if end >= 0 else len(text)].strip()
        if line:
            found.append(line)
        if end < 0:
            break
        at = end + 1
    return found


def _opening(core: str, kind: Kind) -> str:
    """How the first line that says something is built: words and figures are one mark, those between them stay."""
    line = next(iter(_first_lines(core[:LOOK])), "")[:OPENING]
    marks = _MACHINE_MARKS if kind in _MACHINES else _MARKS
    return _BLANKS.sub("", _WORDS.sub("w", line))[:marks]


def _digest(text: str, digits: int) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:digits]
