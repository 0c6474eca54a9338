"""Rows of a log: lines by their patterns, those that follow each other with the same values as one."""

from __future__ import annotations

from headroom.zones.stamps import Stamps
from headroom.zones.templates import MARK, Column, Group, Part, padded, weight

MOST_LETTERS = 8  # in one row
LEAST_DITTO = 4  # characters that a value must have to be left out as the same as before
INDENTATION = " \t"


class Row:
    """A line by its pattern; or several lines that follow each other, of the values of which none has any others."""

    __slots__ = ("heading", "indent", "letters", "rest", "span", "values")

    def __init__(self, letter: str, values: list[str], indent: str, heading: str | None, rest: str) -> None:
        self.letters = letter
        self.values = values
        self.indent = indent
        self.heading = heading
        self.rest = rest
        self.span = 1  # lines

    def takes(self, other: Row) -> bool:
        """Whether the other row could be added to this one; then it is."""
        if (
            len(self.letters) >= MOST_LETTERS
            or self.indent != other.indent
            or (
                self.heading is not None
                and other.heading is not None
                and (self.heading, self.rest) != (other.heading, other.rest)
            )
        ):
            return False
        few, many = sorted((self.values, other.values), key=len)
        if many[: len(few)] != few:
            return False
        self.values = many
        self.letters += other.letters
        self.span += other.span
        if other.heading is not None:
            self.heading, self.rest = other.heading, other.rest
        return True


class Body:
    """What stands below the patterns, as it grows."""

    __slots__ = ("before", "dense", "heading", "last", "lines")

    def __init__(self, *, dense: bool) -> None:
        self.lines: list[str] = []
        self.dense = dense
        self.heading = ""
        self.before: list[str] = []
        self.last: Row | None = None

    def add(self, row: Row) -> None:
        """Lines by their patterns."""
        if row.heading is not None and row.heading != self.heading:
            self.heading = row.heading
            self.lines.append("@" + row.heading)
        values = _shown(row.values, self.before if self.dense else None)
        self.before = row.values
        rest = row.rest + " " if row.rest else ""
        self.lines.append(row.indent + rest + " ".join([row.letters, *values]))
        self.last = row

    def plain(self, line: str) -> None:
        """A line as it stands."""
        self.lines.append(line)
        self.last = None

    def repeat(self, more: int, line: str) -> None:
        """The last line so many times again, or how often that is."""
        several = self.last is not None and self.last.span > 1
        if several or (line and more * (weight(self.lines[-1]) + 1) > 6):
            self.lines.append(f"(x{more} more)")
        else:
            self.lines += [self.lines[-1]] * more


def is_timed(group: Group) -> bool:
    """Whether the lines of a pattern have a time that is left out of it."""
    return any(isinstance(part, str) and MARK in part for part in group.parts)


def rows_of(stamps: Stamps, groups: dict[str, Group], others: list[int]) -> dict[int, Row]:
    """The rows of all lines that have a pattern."""
    _fit(stamps.lines, [*groups.values()], others)
    rows: dict[int, Row] = {}
    for letter, group in groups.items():
        columns = [part.values for part in group.parts if not isinstance(part, str)]
        lists = [[*values] for values in zip(*columns, strict=True)] if columns else [[] for _ in group.rows]
        timed = is_timed(group)
        indents = group.indents or [""] * len(group.rows)
        for at, values, indent in zip(group.rows, lists, indents, strict=True):
            heading, rest = (stamps.headings[at], stamps.rests[at]) if timed else (None, "")
            rows[at] = Row(letter, values, indent, heading, rest)
    return rows


def _fit(lines: list[str], groups: list[Group], others: list[int]) -> None:
    """Add to the groups those of the other lines that their patterns fit."""
    # What a line must have to be worth a closer look: how its pattern begins, and the longest text in it.
    literals = [[part for part in group.parts if isinstance(part, str)] for group in groups]
    starts = [part if isinstance(part := group.parts[0], str) else "" for group in groups]
    longest = [max(texts, key=len, default="") for texts in literals]
    looks = [*zip(groups, starts, longest, strict=True)]
    for at in others:
        whole = lines[at]
        bare = whole.lstrip(INDENTATION)
        for group, start, text in looks:
            line = whole if group.indents is None else bare
            if line.startswith(start) and text in line and (found := _fitting(group.parts, line)) is not None:
                columns = [part for part in group.parts if not isinstance(part, str)]
                group.rows.append(at)
                for column, value in zip(columns, found, strict=True):
                    column.values.append(value)
                if group.indents is not None:
                    group.indents.append(whole[: len(whole) - len(bare)])
                break


def _fitting(parts: list[Part], line: str) -> list[str] | None:
    """The values with which the pattern gives `line`, if they are found at once: each ends where its literal begins."""
    at = 0
    values: list[str] = []
    open_slot: Column | None = None
    for index, part in enumerate(parts):
        if not isinstance(part, str):
            if open_slot is not None:
                return None
            open_slot = part
            continue
        if open_slot is None:
            if not line.startswith(part, at):
                return None
            at += len(part)
            continue
        end = line.find(part, at) if index < len(parts) - 1 else max(at, len(line) - len(part))
        if end < 0:
            return None
        values.append(line[at:end])
        at = end + len(part)
        open_slot = None
    if open_slot is not None:
        values.append(line[at:])
    slots = [part for part in parts if not isinstance(part, str)]
    for index, slot in enumerate(slots):
        if slot.width:
            values[index] = values[index].strip(" ")
        if MARK in values[index] or (not slot.tail and values[index] and values[index].split() != [values[index]]):
            return None
    return values if _filled(parts, values) == line else None


def _filled(parts: list[Part], values: list[str]) -> str:
    left = iter(values)
    return "".join([part if isinstance(part, str) else padded(next(left), part.width) for part in parts])


def _shown(values: list[str], before: list[str] | None) -> list[str]:
    """Values as they stand in a row; those that are as in the row `before`, if there is one, as a mark."""
    shown = [value if value.strip("_") else value + "_" for value in values]
    if before is None:
        return shown
    for index, value in enumerate(values):
        if not value.strip('"'):
            shown[index] += '"' * (value != "")
        elif len(value) >= LEAST_DITTO and index < len(before) and before[index] == value:
            shown[index] = '"'
    return shown


def meant_values(values: list[str], before: list[str] | None) -> list[str]:
    """Values that stand in a row as `values`."""
    meant: list[str] = []
    for index, value in enumerate(values):
        if before is not None and value == '"':
            if index >= len(before):
                raise ValueError("a value as above, where there is none")
            meant.append(before[index])
        elif not value.strip("_") or (before is not None and not value.strip('"')):
            meant.append(value[1:])
        else:
            meant.append(value)
    return meant
