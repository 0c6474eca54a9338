r"""Logs and other line-shaped output: every line pattern stated once, then a row for each line with what is its own.

    2031-02-03 10:00:01,120 INFO  [w-3] pool: lease 4411 taken by job-19 after 12 ms
    2031-02-03 10:00:01,350 ERROR [gc] the heap is full
    2031-02-03 10:00:02,010 INFO  [w-1] pool: lease 4413 taken by job-20 after 9 ms
    (and many more)
    →
    [log: letter = line pattern, its <> filled in order]
    A=2031-02-03 <> INFO  [<>] pool: lease <> taken by <> after <> ms
    ---
    10:00:01,120 A w-3 4411 job-19 12
    2031-02-03 10:00:01,350 ERROR [gc] the heap is full
    10:00:02,010 A w-1 4413 job-20 9

A row is its pattern's letter and the values, with a blank between any two; a time of day that comes first stands before
the letter. A value is a whole field of the line, or what is left of one where all lines of the pattern agree on the
rest up to a bracket, quote, `=`, comma, semicolon or bar: no identifier, path, number or time of day is ever cut. The
last value may be all the rest of the line. `_` is the empty value; a value of underscores only has one more.

`<5>` is a value padded to 5 characters with blanks before it, `<-5>` with blanks behind it. `(x12 more)` stands for
twelve more lines like the one above. What all lines begin with may be said in the first line instead. A line without a
pattern stands as it is, behind a `\` where it would read as something else; so does every line that looks like an
error or belongs to a traceback, unless they are a good part of all lines.
"""

from __future__ import annotations

import re
from string import ascii_uppercase

from headroom.zones.clusters import MAX_PATTERNS, patterns, template_text
from headroom.zones.stamps import Stamps, stamped
from headroom.zones.templates import DATE, MARK, MIN_ROWS, Column, Group, Part, padded, weight

TITLE = "[log: "

MAX_TEXT = 16 * 1024 * 1024  # characters of a text, pressed or not
MAX_LINES = 5000  # lines that patterns are looked for in; later ones are only matched with the patterns found
MAX_LINE = 2000  # characters; a longer line stays as it is
ALARM_SHARE = 4  # alarms stand as they are, unless more than one line in so many is one: then they are the subject
MAX_PREFIX = 200  # characters
LEAST_DITTO = 4  # characters that a value must have to be left out as the same as before

_ALARM = re.compile(
    r"(?:error|exception)\b|\b(?:fatal|critical|panic|traceback|fail(?:ed|ure)?)\b|^\s+(?:File \"|at )",
    re.ASCII | re.IGNORECASE,
)
_SIGNS = ("<>", "{}", "«»", "‹›")  # in the order in which they are tried; a sign that patterns hold cannot mean a slot
_HEAD = re.compile(
    r"\[log: (?:letter = line pattern, its (\S\S) filled in order(?:, \S5\S padded to 5)?"
    r'(?:, (") = as in the last row of the letter)?(; \Stime\S = last @ line and what stands before the letter)?'
    r'|equal lines counted)(?:; each line begins "(.+)")?\]'
)
_COUNT = re.compile(r"\(x([1-9]\d{0,7}) more\)", re.ASCII)
_TABLE_END = "---"
_INDENTATION = " \t"


def encode(text: str, *, dense: bool = False) -> str | None:
    """`text` by patterns, or None where nothing is gained that way by the number of characters.

    `dense` leaves out long values that are those of the pattern's row before. Cost: linear; 10 to 25 ms for 50 KB.
    """
    if len(text) > MAX_TEXT or text.startswith(TITLE):
        return None
    lines = text.split("\n")
    if len(lines) < MIN_ROWS:
        return None
    ordinary = _ordinary(lines)
    stamps = stamped(lines, ordinary)
    groups = patterns(stamps.lines, ordinary[:MAX_LINES])
    written = _written(lines, stamps, groups, ordinary[MAX_LINES:], dense)
    return written if written is not None and len(written) < len(text) else None


def decode(pressed: str) -> str:
    """What `encode` was given. Raises ValueError for a text that it cannot have made. Cost: linear; 2 ms for 50 KB."""
    lines = pressed.split("\n")
    head = _HEAD.fullmatch(lines[0])
    if head is None or len(pressed) > MAX_TEXT:
        raise ValueError("not a log by patterns")
    sign, ditto, timed, prefix = head[1] or _SIGNS[0], head[2] is not None, head[3] is not None, head[4] or ""
    try:
        end = lines.index(_TABLE_END, 1)
    except ValueError:
        raise ValueError("the patterns do not end") from None
    forms = _read_patterns(lines[1:end], sign, prefix, timed=timed)
    last: dict[str, list[str]] = {}
    heading = ""
    out: list[str] = []
    size = 0
    for line in lines[end + 1 :]:
        times = 1
        if timed and line[:1] == "@":
            heading = line[1:]
            continue
        row = line.lstrip(_INDENTATION) if line[:1] in _INDENTATION else line
        indent = line[: len(line) - len(row)]
        rest = ""
        if timed and "0" <= row[:1] <= "9" and (at := row.find(" ") + 1) and row[at : at + 1] in forms:
            rest, row = row[: at - 1], row[at:]
        form = forms.get(row[:1]) if row[1:2] in ("", " ") else None
        if form is not None:
            template, slots, has_time = form
            values = row[2:].split(" ", slots - 1) if slots else []
            if len(values) != slots or (not slots and len(row) > 1):
                raise ValueError("a row has another number of values than its pattern")
            if ditto:
                before = last.get(row[:1], values)
                values = [old if value == '"' else value for value, old in zip(values, before, strict=True)]
                last[row[:1]] = values
            if "_" in line or ditto:
                values = [_meant(value, ditto=ditto) for value in values]
            plain = indent + template % tuple(values)
            if has_time:
                plain = plain.replace(MARK, heading + rest, 1)
            elif rest:
                raise ValueError("a time where the pattern has none")
        elif line[:1] == "\\":
            plain = line[1:]
        elif line[:1] == "(" and (count := _COUNT.fullmatch(line)) is not None:
            if not out:
                raise ValueError("a count has no line above it")
            plain = out[-1]
            times = int(count[1])
        else:
            plain = prefix + line if line else line
        size += (len(plain) + 1) * times
        if size > MAX_TEXT + 1:
            raise ValueError("longer than any text that is pressed")
        if times == 1:
            out.append(plain)
        else:
            out += [plain] * times
    return "\n".join(out)


def _ordinary(lines: list[str]) -> list[int]:
    """The lines that may become rows: neither empty, nor long, nor the same as the line above, nor an alarm."""
    ordinary: list[int] = []
    alarms: list[int] = []
    last = ""
    for at, line in enumerate(lines):
        if line and line != last and len(line) <= MAX_LINE and MARK not in line:
            ordinary.append(at)
            if _ALARM.search(line):
                alarms.append(at)
        last = line
    if alarms and len(alarms) * ALARM_SHARE <= len(ordinary):
        return sorted({*ordinary}.difference(alarms))
    return ordinary


# Writing.


def _written(lines: list[str], stamps: Stamps, groups: list[Group], others: list[int], dense: bool) -> str | None:
    """The pressed text, or None where no sign for a slot can be had."""
    timed = any(isinstance(part, str) and MARK in part for group in groups for part in group.parts)
    sign = _sign(groups)
    if sign is None:
        return None
    letters = ascii_uppercase[: len(groups)]
    body, timed_rows = _rows(stamps, dict(zip(letters, groups, strict=True)), others, dense)
    prefix = _prefix(lines, body, groups)
    title = f"letter = line pattern, its {sign} filled in order" if groups else "equal lines counted"
    if any(not isinstance(part, str) and part.width for group in groups for part in group.parts):
        title += f", {sign[0]}5{sign[1]} padded to 5"
    if dense and groups:
        title += ', " = as in the last row of the letter'
    if timed:
        title += f"; {sign[0]}time{sign[1]} = last @ line and what stands before the letter"
    begins = f'; each line begins "{prefix}"' if prefix else ""
    out = [f"{TITLE}{title}{begins}]"]
    out += [
        f"{letter}={template_text(group, sign)[len(prefix) :]}" for letter, group in zip(letters, groups, strict=True)
    ]
    out.append(_TABLE_END)
    heading_mark = "|@" if timed else ""
    mistakable = re.compile(rf"\\|\(x\d+ more\)\Z{heading_mark}|[ \t]*(?:[0-9][^ ]* )?[{letters or '-'}](?: |\Z)").match
    last: str | None = None
    heading = ""
    more = 0
    for at, (line, row) in enumerate(zip(lines, body, strict=True)):
        if line == last:
            more += 1
            continue
        if more:
            _repeat(out, more)
            more = 0
        last = line
        if row is not None:
            if at in timed_rows and stamps.headings[at] != heading:
                heading = stamps.headings[at]
                out.append("@" + heading)
            out.append(row)
            continue
        plain = line[len(prefix) :]
        if not line or (plain and line.startswith(prefix) and not mistakable(plain)):
            out.append(plain)
        else:
            out.append("\\" + line)
    if more:
        _repeat(out, more)
    return "\n".join(out)


def _rows(
    stamps: Stamps, groups: dict[str, Group], others: list[int], dense: bool
) -> tuple[list[str | None], set[int]]:
    """For each line its row, or None where it has to stand as it is or is that of the line above; and the lines whose
    pattern has a time.
    """
    _fit(stamps.lines, [*groups.values()], others)
    body: list[str | None] = [None] * len(stamps.lines)
    timed: set[int] = set()
    for letter, group in groups.items():
        columns = [part for part in group.parts if not isinstance(part, str)]
        order = sorted(range(len(group.rows)), key=group.rows.__getitem__)
        shown = [_shown([column.values[i] for i in order], dense=dense) for column in columns]
        rows = [group.rows[i] for i in order]
        values = [" ".join([letter, *row]) for row in zip(*shown, strict=True)] if shown else [letter] * len(rows)
        if any(isinstance(part, str) and MARK in part for part in group.parts):
            timed.update(rows)
            values = [
                f"{rest} {row}" if (rest := stamps.rests[at]) else row for at, row in zip(rows, values, strict=True)
            ]
        if group.indents is not None:
            values = [group.indents[i] + row for i, row in zip(order, values, strict=True)]
        for at, row in zip(rows, values, strict=True):
            body[at] = row
    return body, timed


def _fit(lines: list[str], groups: list[Group], others: list[int]) -> None:
    """Add to the groups those of the other lines that their patterns fit."""
    # What a line must have to be worth a closer look: how its pattern begins, and the longest text in it.
    literals = [[part for part in group.parts if isinstance(part, str)] for group in groups]
    starts = [part if isinstance(part := group.parts[0], str) else "" for group in groups]
    longest = [max(texts, key=len, default="") for texts in literals]
    looks = [*zip(groups, starts, longest, strict=True)]
    for at in others:
        whole = lines[at]
        bare = whole.lstrip(_INDENTATION)
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


def _shown(values: list[str], *, dense: bool) -> list[str]:
    """Values as they stand in rows."""
    shown = [value if value.strip("_") else value + "_" for value in values]
    if not dense:
        return shown
    last = ""
    for index, value in enumerate(shown):
        if value == last and len(value) >= LEAST_DITTO:
            shown[index] = '"'
        elif not value.strip('"'):
            shown[index] = value + '"'
        last = value
    return shown


def _meant(value: str, *, ditto: bool) -> str:
    """A value as it stands in a row, without what tells it from a sign."""
    if not value.strip("_") or (ditto and not value.strip('"')):
        return value[1:]
    return value


def _repeat(out: list[str], more: int) -> None:
    """Write the last line `more` times again, or how often that is."""
    if out[-1] and more * (weight(out[-1]) + 1) > 6:
        out.append(f"(x{more} more)")
    else:
        out += [out[-1]] * more


def _prefix(lines: list[str], body: list[str | None], groups: list[Group]) -> str:
    """What all lines that stand as they are and all patterns begin with, up to a blank; empty where it does not pay."""
    starts = [part if isinstance(part := group.parts[0], str) and group.indents is None else "" for group in groups]
    last = ""
    for line, row in zip(lines, body, strict=True):
        if row is None and line and line != last:
            starts.append(line)
        last = line
    low, high = min(starts, default="")[:MAX_PREFIX], max(starts, default="")
    length = 0
    for a, b in zip(low, high, strict=False):
        if a != b or a == MARK:
            break
        length += 1
    date = DATE.search(low, 0, length + 1)
    prefix = low[: max(low.rfind(" ", 0, length) + 1, date.end() if date and date.end() <= length else 0)]
    size = weight(prefix)
    return prefix if size * len(starts) > size + 10 else ""


def _sign(groups: list[Group]) -> str | None:
    """A sign for slots that no pattern holds."""
    literals = "\n".join([part for group in groups for part in group.parts if isinstance(part, str)])
    for sign in _SIGNS:
        if _slots(sign).search(literals) is None and f"{sign[0]}time{sign[1]}" not in literals:
            return sign
    return None


def _slots(sign: str) -> re.Pattern[str]:
    return re.compile(f"{re.escape(sign[0])}(-?[0-9]{{0,3}}){re.escape(sign[1])}")


# Reading.


def _read_patterns(lines: list[str], sign: str, prefix: str, *, timed: bool) -> dict[str, tuple[str, int, bool]]:
    """For each letter what makes a line of values, how many those are, and whether the line has a time."""
    forms: dict[str, tuple[str, int, bool]] = {}
    slots = _slots(sign)
    mark = f"{sign[0]}time{sign[1]}"
    if len(lines) > MAX_PATTERNS:
        raise ValueError("more patterns than letters")
    for letter, line in zip(ascii_uppercase, lines, strict=False):
        if not line.startswith(letter + "="):
            raise ValueError("a pattern without its letter")
        has_time = timed and mark in line
        pieces = slots.split(prefix + (line[2:].replace(mark, MARK, 1) if has_time else line[2:]))
        count = len(pieces) // 2
        if count > MAX_LINE:
            raise ValueError("a pattern has more slots than a line can have")
        pieces[0::2] = [literal.replace("%", "%%") for literal in pieces[0::2]]
        pieces[1::2] = [f"%{width}s" for width in pieces[1::2]]
        forms[letter] = ("".join(pieces), count, has_time)
    return forms
