r"""Logs and other line-shaped output: every line pattern stated once, then a row for each line with what is its own.

    2031-02-03 10:00:01,120 INFO  [w-3] pool: lease 4411 taken by job-19 after 12 ms
    2031-02-03 10:00:01,350 ERROR [gc] the heap is full
    2031-02-03 10:00:02,010 INFO  [w-1] pool: lease 4413 taken by job-20 after 9 ms
    (and many more)
    →
    [log: letter = line pattern, its <> filled in order; <time> = last @ line and what stands before the letter]
    A=<time> INFO  [<>] pool: lease <> taken by <> after <> ms
    ---
    @2031-02-03 10:00:
    01,120 A w-3 4411 job-19 12
    2031-02-03 10:00:01,350 ERROR [gc] the heap is full
    02,010 A w-1 4413 job-20 9

A row is its pattern's letter and the values, with a blank between any two. Before the letter stands what is left of the
line's time, and before that its indentation where the lines of a pattern differ in that. Lines that follow each other
and have the same values are one row with several letters; a pattern with fewer slots takes the first values. Where rows
come together often with values in common, a small letter stands for them: `a=A 1, B 2 1` is a line of A with the first
value and one of B with the second and the first.

A value is a whole field of the line, or what is left of one where all lines of the pattern agree on the rest up to a
bracket, quote, `=`, comma, semicolon or bar: no identifier, path or number is ever cut. The last value may be all the
rest of the line. `_` is the empty value; a value of underscores only has one more. Dense rows have `"` for a value as
in the row above; a value of quotes only has one more there.

`<5>` is a value padded to 5 characters with blanks before it, `<-5>` with blanks behind it. `(x12 more)` stands for
twelve more lines like the one above. What all lines begin with may be said in the first line instead. A line without a
pattern stands as it is, behind a `\` where it would read as something else; so does every line that looks like an
error or belongs to a traceback, unless they are a good part of all lines.
"""

from __future__ import annotations

import re
from string import ascii_lowercase, ascii_uppercase

from headroom.zones.clusters import MAX_PATTERNS, patterns, template_text
from headroom.zones.logrows import INDENTATION, MOST_LETTERS, Body, Row, is_timed, meant_values, rows_of
from headroom.zones.sequences import MOST_ROWS, MOST_SEQUENCES, Step, joined, sequences
from headroom.zones.stamps import Stamps, stamped
from headroom.zones.templates import BREAK, DATE, MARK, MIN_ROWS, Group, weight

TITLE = "[log: "

MAX_TEXT = 16 * 1024 * 1024  # characters of a text, pressed or not
MAX_LINES = 5000  # lines that patterns are looked for in; later ones are only matched with the patterns found
MAX_LINE = 2000  # characters; a longer line stays as it is
ALARM_SHARE = 4  # alarms stand as they are, unless more than one line in so many is one: then they are the subject
MAX_PREFIX = 200  # characters

_ALARM = re.compile(
    r"(?:error|exception)\b|\b(?:fatal|critical|panic|traceback|fail(?:ed|ure)?)\b|^\s+(?:File \"|at )",
    re.ASCII | re.IGNORECASE,
)
# One of these is in every alarm but a traceback's lines, and to look for them is far cheaper.
_ALARMING = ("error", "exception", "fatal", "critical", "panic", "traceback", "fail")
_SIGNS = ("<>", "{}", "«»", "‹›")  # in the order in which they are tried; a sign that patterns hold cannot mean a slot
_HEAD = re.compile(
    r"\[log: (?:letter = line pattern, its (\S\S) filled in order(?:, \S5\S padded to 5)?"
    r"(?:, AB = a line of A and one of B)?"
    r'(, small letter = lines of these patterns with these of its values)?(?:, (") = as in the row above)?'
    r"(; \Stime\S = last @ line and what stands before the letter)?"
    r'|equal lines counted)(?:; each line begins "(.+)")?\]'
)
_NUMBER = re.compile(r"[1-9]\d?", re.ASCII)
_COUNT = re.compile(r"\(x([1-9]\d{0,7}) more\)", re.ASCII)
_TABLE_END = "---"


def encode(text: str, *, dense: bool = False) -> str | None:
    """`text` by patterns, or None where nothing is gained that way by the number of characters.

    `dense` leaves out long values that are those of the row above. Cost: linear; 10 to 25 ms for 50 KB.
    """
    if len(text) > MAX_TEXT or text.startswith(TITLE):
        return None
    lines = text.split("\n")
    if len(lines) < MIN_ROWS:
        return None
    ordinary = _ordinary(lines, text.lower())
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
    sign, ditto, timed, prefix = head[1] or _SIGNS[0], head[3] is not None, head[4] is not None, head[5] or ""
    try:
        end = lines.index(_TABLE_END, 1)
    except ValueError:
        raise ValueError("the patterns do not end") from None
    small = next((at for at in range(1, end) if "a" <= lines[at][:1] <= "z"), end) if head[2] else end
    forms = _read_patterns(lines[1:small], sign, prefix, timed=timed)
    _read_sequences(lines[small:end], forms)
    before: list[str] | None = [] if ditto else None
    heading = ""
    out: list[str] = []
    size = 0
    for line in lines[end + 1 :]:
        if timed and line[:1] == "@":
            heading = line[1:]
            continue
        times = 1
        row = _read_row(line, forms, before)
        if row is not None:
            new = _made(row, forms, heading)
            before = row.values if ditto else None
        elif line[:1] == "\\":
            new = [line[1:]]
        elif line[:1] == "(" and (count := _COUNT.fullmatch(line)) is not None:
            if not out:
                raise ValueError("a count has no line above it")
            new = [out[-1]]
            times = int(count[1])
        else:
            new = [prefix + line if line else line]
        size += (sum(map(len, new)) + len(new)) * times
        if size > MAX_TEXT + 1:
            raise ValueError("longer than any text that is pressed")
        out += new * times
    return "\n".join(out)


def _ordinary(lines: list[str], lowered: str) -> list[int]:
    """The lines that may become rows: neither empty, nor long, nor the same as the line above, nor an alarm."""
    words = [word for word in _ALARMING if word in lowered]
    lowered_lines = lowered.split("\n") if words else lines
    ordinary: list[int] = []
    alarms: list[int] = []
    last = ""
    for at, (line, low) in enumerate(zip(lines, lowered_lines, strict=True)):
        if line and line != last and len(line) <= MAX_LINE and MARK not in line and BREAK not in line:
            ordinary.append(at)
            if (line[0].isspace() or (words and any(map(low.__contains__, words)))) and _ALARM.search(line):
                alarms.append(at)
        last = line
    if alarms and len(alarms) * ALARM_SHARE <= len(ordinary):
        return sorted({*ordinary}.difference(alarms))
    return ordinary


# Writing.


def _written(lines: list[str], stamps: Stamps, groups: list[Group], others: list[int], dense: bool) -> str | None:
    """The pressed text, or None where no sign for a slot can be had."""
    sign = _sign(groups)
    if sign is None:
        return None
    letters = ascii_uppercase[: len(groups)]
    rows = rows_of(stamps, dict(zip(letters, groups, strict=True)), others)
    prefix = _prefix(lines, rows, groups)
    rows = joined(rows)
    small = sequences(rows)
    several = any(len(row.letters) > 1 for row in rows.values()) or any(
        len(letters) > 1 for steps in small.values() for letters, _ in steps
    )
    timed = any(is_timed(group) for group in groups)
    first = f"(?:[{letters or '-'}]+|[{''.join(small) or '-'}])"
    mistakable = re.compile(rf"\\|\(x\d+ more\)\Z{'|@' if timed else ''}|[ \t]*(?:[0-9][^ ]* )?{first}(?: |\Z)").match
    body = Body(dense=dense)
    last: str | None = None
    more = end = 0
    for at, line in enumerate(lines):
        if line == last:
            more += 1
            continue
        if more:
            body.repeat(more, last or "")
            more = 0
        last = line
        if at < end:
            continue
        if (row := rows.get(at)) is not None:
            body.add(row)
            end = at + row.span
            continue
        plain = line[len(prefix) :]
        body.plain(plain if not line or (plain and line.startswith(prefix) and not mistakable(plain)) else "\\" + line)
    if more:
        body.repeat(more, last or "")
    title = f"letter = line pattern, its {sign} filled in order" if groups else "equal lines counted"
    if any(not isinstance(part, str) and part.width for group in groups for part in group.parts):
        title += f", {sign[0]}5{sign[1]} padded to 5"
    if several:
        title += ", AB = a line of A and one of B"
    if small:
        title += ", small letter = lines of these patterns with these of its values"
    if dense and groups:
        title += ', " = as in the row above'
    if timed:
        title += f"; {sign[0]}time{sign[1]} = last @ line and what stands before the letter"
    begins = f'; each line begins "{prefix}"' if prefix else ""
    table = [
        f"{letter}={template_text(group, sign)[len(prefix) :]}" for letter, group in zip(letters, groups, strict=True)
    ]
    table += [
        f"{letter}={', '.join([' '.join([name, *[str(at + 1) for at in which]]) for name, which in steps])}"
        for letter, steps in small.items()
    ]
    return "\n".join([f"{TITLE}{title}{begins}]", *table, _TABLE_END, *body.lines])


def _prefix(lines: list[str], rows: dict[int, Row], groups: list[Group]) -> str:
    """What all lines that stand as they are and all patterns begin with, up to a blank; empty where it does not pay."""
    starts = [part if isinstance(part := group.parts[0], str) and group.indents is None else "" for group in groups]
    last = ""
    for at, line in enumerate(lines):
        if line and line != last and at not in rows:
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


class _Form:
    """A pattern as it is read: what makes a line of values, how many those are, and whether the line has a time.

    One that is a sequence of others has these as `steps`, and which of its values they take.
    """

    __slots__ = ("slots", "steps", "template", "timed")

    def __init__(self, template: str, slots: int, *, timed: bool, steps: tuple[Step, ...] = ()) -> None:
        self.template = template
        self.steps = steps
        self.slots = slots
        self.timed = timed


def _read_patterns(lines: list[str], sign: str, prefix: str, *, timed: bool) -> dict[str, _Form]:
    """The patterns by their letters."""
    forms: dict[str, _Form] = {}
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
        forms[letter] = _Form("".join(pieces), count, timed=has_time)
    return forms


def _read_sequences(lines: list[str], forms: dict[str, _Form]) -> None:
    """Add to the patterns those that are sequences of others."""
    if len(lines) > MOST_SEQUENCES:
        raise ValueError("more sequences than there can be")
    for letter, line in zip(ascii_lowercase, lines, strict=False):
        if not line.startswith(letter + "="):
            raise ValueError("a sequence without its letter")
        steps: list[Step] = []
        for step in line[2:].split(", "):
            name, *numbers = step.split(" ")
            if not _are_patterns(name, forms) or not all(map(_NUMBER.fullmatch, numbers)):
                raise ValueError("a sequence of something else than patterns")
            if max([forms[each].slots for each in name]) != len(numbers):
                raise ValueError("a row of a sequence has another number of values than its pattern")
            steps.append((name, tuple([int(number) - 1 for number in numbers])))
        if len(steps) > MOST_ROWS:
            raise ValueError("a sequence longer than there can be")
        slots = max([at + 1 for _, which in steps for at in which], default=0)
        forms[letter] = _Form("", slots, timed=False, steps=tuple(steps))


def _are_patterns(letters: str, forms: dict[str, _Form]) -> bool:
    return 0 < len(letters) <= MOST_LETTERS and all(letter in forms and not forms[letter].steps for letter in letters)


def _read_row(line: str, forms: dict[str, _Form], before: list[str] | None) -> Row | None:
    """The row that a line is, if it is one."""
    row = line.lstrip(INDENTATION)
    indent = line[: len(line) - len(row)]
    rest = ""
    if "0" <= row[:1] <= "9":
        rest, _, row = row.partition(" ")
    letters, blank, joined = row.partition(" ")
    if letters not in forms and not _are_patterns(letters, forms):
        return None
    slots = max([forms[letter].slots for letter in letters])
    values = joined.split(" ", slots - 1) if slots else []
    if len(values) != slots or (blank and not slots):
        raise ValueError("a row has another number of values than its pattern")
    if before is not None or "_" in joined:
        values = meant_values(values, before)
    return Row(letters, values, indent, None, rest)


def _made(row: Row, forms: dict[str, _Form], heading: str) -> list[str]:
    """The lines that a row stands for."""
    out: list[str] = []
    timed = False
    steps = forms[row.letters[0]].steps or [(row.letters, range(len(row.values)))]
    for form, which in [(forms[letter], which) for letters, which in steps for letter in letters]:
        plain = form.template % tuple([row.values[at] for at in which[: form.slots]])
        if form.timed:
            timed = True
            plain = plain.replace(MARK, heading + row.rest, 1)
        out.append(row.indent + plain)
    if row.rest and not timed:
        raise ValueError("a time where the pattern has none")
    return out
