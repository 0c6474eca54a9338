"""JSON, whole or a value a line: of many alike values the ones out of the ordinary and an even choice of the others.

What is kept keeps its values, its keys' order and its numbers' spellings. An array of objects tells a gap by an object
`{"…":"37 rows left out (38–74): …"}` at its place, other arrays by a string; so the excerpt is JSON itself.
"""

from __future__ import annotations

import json
from json.encoder import encode_basestring
from typing import TypeAlias, cast

from headroom.zones import gaps, sampling, signs
from headroom.zones.gaps import Cut, Gap
from headroom.zones.sampling import Row, Value

TITLE = "[excerpt of JSON: “…” says what is left out at its place]"
TITLE_LINES = "[excerpt of JSON lines: lines between … say what is left out]"
_DEPTH = 60  # levels; deeper ones stay as they are
_ENCODED = 400  # characters of base64 and the like that are worth keeping whole
_LONG = 1600  # characters of a text value that are worth keeping whole
_HEAD = 500
_TAIL = 200
_NOTE_KEY = "…"
_LONG_LINE = 3000  # characters of one value on a line; of a longer one the inside is cut as well


class _Number(str):
    """A number as it is spelt."""

    __slots__ = ()


Json: TypeAlias = "bool | str | list[Json] | dict[str, Json] | None"


class _Cutter:
    """One pass over one document; remembers what it has left out."""

    def __init__(self) -> None:
        self.gaps: list[Gap] = []
        self.items = 0
        self.strings = 0

    def shorten(self, value: Json, depth: int = 0) -> Json:
        """`value` with notes in place of what is left out."""
        if isinstance(value, _Number) or depth > _DEPTH:
            return value
        if isinstance(value, str):
            return self._string(value) if len(value) > _ENCODED else value
        if isinstance(value, list):
            return self._array(value, depth)
        if isinstance(value, dict):
            return self._object(value, depth)
        return value

    def _array(self, items: list[Json], depth: int) -> Json:
        rows = [_row(item) for item in items]
        kept = sampling.choose(rows, [_same(item) for item in items]) if len(items) >= sampling.LEAST_ROWS else None
        missing = gaps.gaps_of(kept) if kept is not None else []
        missing = [gap for gap in missing if gap.count > 2]
        if not missing:
            return [self.shorten(item, depth + 1) for item in items]
        self.items += len(items)
        self.gaps.extend(missing)
        objects = all(isinstance(item, dict) for item in items)
        out: list[Json] = []
        at = 0
        for gap in missing:
            out.extend(self.shorten(item, depth + 1) for item in items[at : gap.first - 1])
            note = gaps.tell(gap, sampling.describe(rows, gap), "row" if objects else "item")
            out.append({_NOTE_KEY: note.strip("… ")} if objects else note)
            at = gap.last
        out.extend(self.shorten(item, depth + 1) for item in items[at:])
        return out

    def _object(self, members: dict[str, Json], depth: int) -> Json:
        names = list(members)
        if len(names) < 2 * sampling.LEAST_ROWS or not _is_map(list(members.values())):
            return {name: self.shorten(value, depth + 1) for name, value in members.items()}
        rows: list[Row] = [{"": name, **_row(members[name])} for name in names]
        kept = sampling.choose(rows, names)
        missing = [gap for gap in gaps.gaps_of(kept) if gap.count > 2]
        self.items += len(names)
        self.gaps.extend(missing)
        out: dict[str, Json] = {}
        at = 0
        for gap in missing:
            for name in names[at : gap.first - 1]:
                out[name] = self.shorten(members[name], depth + 1)
            told = gaps.tell(gap, "", "entry").strip("… ")
            out[f"… {told}"] = gaps.shorten(sampling.describe(rows, gap), gaps.ABOUT)
            at = gap.last
        for name in names[at:]:
            out[name] = self.shorten(members[name], depth + 1)
        return out

    def _string(self, text: str) -> str:
        """Encoded bytes by their beginning; a very long text by its ends and the lines with errors between them."""
        if " " not in text[:_ENCODED] and "\n" not in text[:_ENCODED] and _is_encoded(text):
            self.strings += len(text) - 60
            return f"{text[:60]}… {len(text) - 60} characters left out …"
        if len(text) <= _LONG:
            return text
        begin, end = text.rfind(" ", 0, _HEAD) + 1 or _HEAD, text.find(" ", len(text) - _TAIL)
        end = end if end > 0 else len(text) - _TAIL
        middle = text[begin:end]
        bad = [line for line in middle.split("\n") if signs.is_error(line)] if "\n" in middle else []
        shown = "\n".join(bad)
        if len(shown) * 2 > len(middle) or (not bad and signs.is_error(middle)):
            return text
        self.strings += len(middle) - len(shown)
        note = f"… {len(middle) - len(shown)} characters left out …"
        return f"{text[:begin]}{note}{chr(10) + shown + chr(10) if bad else ''}{text[end:]}"


def cut(text: str) -> Cut | None:
    """An excerpt of one JSON document. None where it is none, says a key twice, or has nothing to leave out."""
    try:
        value = _parse(text)
        cutter = _Cutter()
        short = cutter.shorten(value)
        body = _spell(short)
    except (ValueError, RecursionError):
        return None
    if not cutter.gaps and not cutter.strings:
        return None
    if not cutter.gaps:
        return Cut(TITLE, body, "json cut", (Gap(1, cutter.strings),), len(text), "character")
    return Cut(TITLE, body, "json cut", tuple(cutter.gaps), cutter.items, "item")


def cut_lines(text: str) -> Cut | None:
    """An excerpt of JSON lines; lines that are no JSON stay."""
    lines = text.split("\n")
    if len(lines) < sampling.LEAST_ROWS:
        return None
    values = [_parse_line(line) for line in lines]
    if sum(isinstance(value, dict) for value in values) * 2 < len(lines):
        return None
    rows = [_row(value) for value in values]
    kept = sampling.choose(rows, lines)
    for at, value in enumerate(values):
        if value is None and lines[at]:
            kept[at] = 1
    shown = [
        _inside(line, value) if keep and len(line) > _LONG_LINE else line
        for line, value, keep in zip(lines, values, kept, strict=True)
    ]
    out, told = gaps.write(shown, kept, lambda gap: sampling.describe(rows, gap), least=2)
    return Cut(TITLE_LINES, "\n".join(out), "json lines cut", told, len(lines)) if told else None


def _inside(line: str, value: Json) -> str:
    """A long line with its inside cut; without an inside to cut, the line."""
    cutter = _Cutter()
    try:
        short = _spell(cutter.shorten(value))
    except (ValueError, RecursionError):
        return line
    return short.replace("\n", "") if cutter.gaps or cutter.strings else line


def _parse_line(line: str) -> Json:
    try:
        return _parse(line) if line[:1] in ("{", "[") else None
    except (ValueError, RecursionError):
        return None


def _parse(text: str) -> Json:
    def members(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        made = dict(pairs)
        if len(made) != len(pairs):
            raise ValueError("a key is there twice")
        return made

    return cast(
        Json,
        json.loads(
            text,
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_refuse,
            object_pairs_hook=members,
            strict=False,
        ),
    )


def _refuse(word: str) -> Json:
    raise ValueError(f"{word} is no JSON")


def _spell(value: Json) -> str:
    """`value` as JSON without blanks, the items of long arrays of objects on lines of their own."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, _Number):
        return value
    if isinstance(value, str):
        return encode_basestring(value)
    if isinstance(value, dict):
        return "{" + ",".join([f"{encode_basestring(name)}:{_spell(item)}" for name, item in value.items()]) + "}"
    return "[" + ",".join([_spell(item) for item in value]) + "]"


def _row(value: Json) -> Row:
    """The scalars of `value` and of the objects in it, by name."""
    if not isinstance(value, dict):
        return {} if isinstance(value, list) or value is None else {"": _cell(value)}
    row: dict[str, Value] = {}
    for name, item in value.items():
        if isinstance(item, dict):
            for inner, cell in item.items():
                if not isinstance(cell, dict | list) and cell is not None:
                    row[f"{name}.{inner}"] = _cell(cell)
        elif isinstance(item, list):
            row[name] = f"[{len(item)}]"
        elif item is not None:
            row[name] = _cell(item)
    return row


def _cell(value: str | bool) -> Value:
    if isinstance(value, _Number):
        return float(value) if len(value) < 40 else str(value)
    return value if isinstance(value, str) else str(value).lower()


def _same(value: Json) -> str:
    return _spell(value)


def _is_map(values: list[Json]) -> bool:
    """Whether an object is a list under names: its members are all objects, or all short scalars."""
    return all(isinstance(value, dict) for value in values) or all(isinstance(value, str | bool) for value in values)


def _is_encoded(text: str) -> bool:
    look = text[:2000]
    return sum(map(str.isalnum, look)) + look.count("+") + look.count("/") + look.count("=") >= 0.97 * len(look)
