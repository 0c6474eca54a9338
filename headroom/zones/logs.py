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
from collections import Counter
from collections.abc import Iterable, Sequence
from operator import eq
from string import ascii_uppercase

TITLE = "[log: "

MAX_TEXT = 16 * 1024 * 1024  # characters of a text, pressed or not
MAX_LINES = 5000  # lines that patterns are looked for in; later ones are only matched with the patterns found
MAX_LINE = 2000  # characters; a longer line stays as it is
MAX_PATTERNS = 26  # one letter each
MIN_ROWS = 3
MIN_GAIN = 8  # estimated tokens that a pattern has to save, or making two of one
MIN_GAIN_NUMBER = 15  # the same where the new pattern has a number in it, which reads less well than a word
MIN_GAIN_TIME = 30  # or a time of day
MIN_HEAD = 3  # estimated tokens that a pattern for the beginning of lines has to save in each of them
ALARM_SHARE = 4  # alarms stand as they are, unless more than one line in so many is one: then they are the subject
RECENT = 60  # clusters that a line is compared with
MAX_PREFIX = 200  # characters
SPLITS = 3  # ways to make two patterns of one that are tried
HEADS = 30  # ways to begin that are tried
HEAD_FIELDS = 8  # the most fields at the beginning of lines by which those of other lengths may share a pattern

_BLANKS = re.compile(r"(\s+)")
_NO_DIGIT_BUT_ZERO = str.maketrans("123456789", "000000000")
_MARKS = r"""(?:[=\[\](){}<>"';|]|,(?!\d)|(?<!\d),)+|:\Z"""  # a comma between digits belongs to the number or time
_MARK = re.compile(_MARKS)
_CUT = re.compile(f"({_MARKS})")
_OPENING, _CLOSING = "([{<\"'", ")]}>\"',;|:"
_DATE = re.compile(r"(?:\d{4}([-/.]?)\d\d\1\d\d|\d\d/(?:[A-Z][a-z]{2}|\d\d)/\d{4})[T:_-](?=\d)", re.ASCII)
_TIME = re.compile(r"\d+:\d+", re.ASCII)
_TOKEN = re.compile(r" ?[A-Za-z]{1,9}|\d{1,3}| ?[^A-Za-z\d\s]{1,4}|\s+", re.ASCII)
_ALARM = re.compile(
    r"(?:error|exception)\b|\b(?:fatal|critical|panic|traceback|fail(?:ed|ure)?)\b|^\s+(?:File \"|at )",
    re.ASCII | re.IGNORECASE,
)

_SIGNS = ("<>", "{}", "«»", "‹›")  # in the order in which they are tried; a sign that patterns hold cannot mean a slot
_HEAD = re.compile(
    r"\[log: (?:letter = line pattern, its (\S\S) filled in order(?:, \S5\S padded to 5)?|equal lines counted)"
    r'(?:; each line begins "(.+)")?\]'
)
_COUNT = re.compile(r"\(x([1-9]\d{0,7}) more\)", re.ASCII)
_TABLE_END = "---"


class _Column:
    """What lines of a pattern have in one place: a value for each line, padded to `width` (to the left if negative).

    `whole` is a field that has not been cut yet, `tail` all the rest of the line.
    """

    __slots__ = ("tail", "values", "whole", "width")

    def __init__(self, values: list[str], *, whole: bool = True, width: int = 0, tail: bool = False) -> None:
        self.values = values
        self.whole = whole
        self.width = width
        self.tail = tail

    def picked(self, at: list[int]) -> _Column:
        values = self.values
        return _Column([values[i] for i in at], whole=self.whole, width=self.width, tail=self.tail)


_Part = str | _Column


class _Group:
    """Lines that could share a pattern, and the estimate of tokens that it would save."""

    __slots__ = ("gain", "parts", "rows", "split")

    def __init__(self, rows: list[int], parts: Iterable[_Part]) -> None:
        self.rows = rows
        self.parts = _settled(parts) if rows else []
        self.split: _Split | None = None
        # A row saves the literals' tokens for that of its letter; before a number it has a blank as its own token.
        literal = slots = 0
        each = -1
        blank = False
        for part in self.parts:
            if isinstance(part, str):
                blank = part[-1] == " "
                literal += _weight(part)
                each += _weight(part)
            else:
                slots += 1
                each -= blank or (part.values[0][:1].isdigit() and not (each == -1 and _TIME.match(part.values[0])))
                blank = False
        few = len(rows) < MIN_ROWS or (each < MIN_HEAD and any(not isinstance(p, str) and p.tail for p in self.parts))
        self.gain = -1 if few else len(rows) * each - literal - slots - 3

    def picked(self, at: list[int], index: int = -1, start: str = "") -> _Group:
        """The lines at these places; what the values of the column at `index` start with is moved before it."""
        rows = self.rows
        parts = [part if isinstance(part, str) else part.picked(at) for part in self.parts]
        if start:
            column = parts[index]
            assert not isinstance(column, str)
            column.values = [value[len(start) :] for value in column.values]
            parts.insert(index, start)
        return _Group([rows[i] for i in at], parts)


class _Split:
    """Two groups that save more than the one they were."""

    __slots__ = ("gain", "rest", "taken")

    def __init__(self, gain: int, taken: _Group, rest: _Group) -> None:
        self.gain = gain
        self.taken = taken
        self.rest = rest


def encode(text: str) -> str | None:
    """`text` by patterns, or None where nothing is gained that way by the number of characters.

    Cost: linear; 10 to 25 ms for 50 KB.
    """
    if len(text) > MAX_TEXT or text.startswith(TITLE):
        return None
    lines = text.split("\n")
    if len(lines) < MIN_ROWS:
        return None
    ordinary = _ordinary(lines)
    groups = _patterns(lines, ordinary[:MAX_LINES])
    written = _written(lines, groups, ordinary[MAX_LINES:])
    return written if written is not None and len(written) < len(text) else None


def decode(pressed: str) -> str:
    """What `encode` was given. Raises ValueError for a text that it cannot have made. Cost: linear; 2 ms for 50 KB."""
    lines = pressed.split("\n")
    head = _HEAD.fullmatch(lines[0])
    if head is None or len(pressed) > MAX_TEXT:
        raise ValueError("not a log by patterns")
    sign, prefix = head[1] or _SIGNS[0], head[2] or ""
    try:
        end = lines.index(_TABLE_END, 1)
    except ValueError:
        raise ValueError("the patterns do not end") from None
    whole, forms = _read_patterns(lines[1:end], sign, prefix)
    out: list[str] = []
    size = 0
    for line in lines[end + 1 :]:
        times = 1
        row = line
        if "0" <= line[:1] <= "9" and (at := line.find(" ") + 1) and (line + " ")[at : at + 2] in forms:
            row = f"{line[at]} {line[: at - 1]}{line[at + 1 :]}"
        form = forms.get(row[:2])
        if form is not None:
            template, slots = form
            values = row[2:].split(" ", slots - 1)
            if "_" in line:
                values = [value[1:] if not value.strip("_") else value for value in values]
            if len(values) != slots:
                raise ValueError("a row has another number of values than its pattern")
            plain = template % tuple(values)
        elif line in whole:
            plain = whole[line]
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


# Finding patterns.


def _ordinary(lines: list[str]) -> list[int]:
    """The lines that may become rows: neither empty, nor long, nor the same as the line above, nor an alarm."""
    ordinary: list[int] = []
    alarms: list[int] = []
    last = ""
    for at, line in enumerate(lines):
        if line and line != last and len(line) <= MAX_LINE:
            ordinary.append(at)
            if _ALARM.search(line):
                alarms.append(at)
        last = line
    if alarms and len(alarms) * ALARM_SHARE <= len(ordinary):
        return sorted({*ordinary}.difference(alarms))
    return ordinary


def _patterns(lines: list[str], which: list[int]) -> list[_Group]:
    """The groups of lines that get a letter, in the order of their first lines; no line is in two of them."""
    if not which:
        return []
    zeroed = "\n".join([lines[at] for at in which]).translate(_NO_DIGIT_BUT_ZERO)
    keys = {
        at: ["0" if "0" in field else field for field in line.split()]
        for at, line in zip(which, zeroed.split("\n"), strict=True)
    }
    pool: list[_Group] = []
    for rows in _clusters(lines, keys):
        if len(rows) >= MIN_ROWS:
            pool += _groups(lines, rows)
    for group in _chosen([*pool]):
        for row in group.rows:
            del keys[row]
    heads = _heads(lines, keys)
    groups = _merged(_chosen([*pool, *heads]))
    groups.sort(key=lambda group: min(group.rows))
    return groups


def _clusters(lines: list[str], keys_of: dict[int, list[str]]) -> list[list[int]]:
    """Groups of lines alike: as many fields, and half of them the same. Two fields with digits are half the same.

    `keys_of` has the fields of every line that is to be in a group, those with a digit as "0".
    """
    # A cluster: its lines, their common fields, and their common keys.
    clusters: list[tuple[list[int], list[str | None], list[str | None]]] = []
    buckets: dict[int, list[int]] = {}
    known: dict[tuple[str, ...], int] = {}
    for at, keys in keys_of.items():
        signature = tuple(keys)
        number = known.get(signature, -1)
        if number >= 0:
            clusters[number][0].append(at)
            continue
        fields = lines[at].split()
        size = len(fields)
        if not size:
            continue
        bucket = buckets.setdefault(size, [])
        best = size - 1
        for candidate in reversed(bucket[-RECENT:]):
            _, their_fields, their_keys = clusters[candidate]
            alike = sum(map(eq, keys, their_keys))
            if alike * 2 > best:
                score = alike + sum(map(eq, fields, their_fields))
                if score > best:
                    best, number = score, candidate
        if number < 0:
            number = len(clusters)
            clusters.append(([at], [*fields], [*keys]))
            bucket.append(number)
        else:
            rows, common_fields, common_keys = clusters[number]
            rows.append(at)
            for index, key in enumerate(keys):
                if common_keys[index] != key:
                    common_keys[index] = common_fields[index] = None
                elif common_fields[index] != fields[index]:
                    common_fields[index] = None
        known[signature] = number
    return [rows for rows, _, _ in clusters]


def _groups(lines: list[str], rows: list[int], tries: int = 2) -> list[_Group]:
    """A cluster as a group; as several where its lines differ in blanks in a way that padding does not explain.

    After that many `tries` any other blanks tell groups apart, so that this ends.
    """
    fields = [lines[at].split() for at in rows]
    parts: list[_Part] = []
    if all(" ".join(split) == lines[at] for split, at in zip(fields, rows, strict=True)):
        for values in zip(*fields, strict=True):
            parts += (_Column([*values]), " ")
        return [_Group(rows, parts[:-1])]
    # Blanks, field, blanks, …, blanks: always with those at both ends, which may be empty.
    columns = [*zip(*[_with_blanks(lines[at]) for at in rows], strict=True)]
    padded: dict[int, int] = {}
    odd: list[int] = []
    last = len(columns) - 1
    least = [1] * len(columns)
    least[0] = least[last] = 0
    for at in range(0, last + 1, 2):
        blanks = columns[at]
        if blanks.count(blanks[0]) == len(blanks):
            continue
        for field in (at + 1, at - 1):
            if (
                tries > 0
                and 0 < field < last
                and field not in padded
                and (width := _width(blanks, columns[field], least[at]))
            ):
                padded[field] = width if field > at else -width
                break
        else:
            odd.append(at)
    if odd:
        apart: dict[tuple[str, ...], list[int]] = {}
        for index, row in enumerate(rows):
            apart.setdefault(tuple([columns[at][index] for at in odd]), []).append(row)
        return [group for some in apart.values() if len(some) >= MIN_ROWS for group in _groups(lines, some, tries - 1)]
    for at, values in enumerate(columns):
        if at % 2:
            parts.append(_Column([*values], width=padded.get(at, 0)))
        elif padded.get(at + 1, 0) > 0 or padded.get(at - 1, 0) < 0:
            parts.append(" " * least[at])
        else:
            parts.append(values[0])
    return [_Group(rows, parts)]


def _with_blanks(line: str) -> list[str]:
    pieces = _BLANKS.split(line)
    # `split` gives an empty field before blanks at the beginning and after those at the end.
    start = ["", *pieces] if pieces[0] else pieces[1:]
    return [*start, ""] if pieces[-1] else start[:-1]


def _width(blanks: Sequence[str], values: Sequence[str], least: int) -> int:
    """The width that the values are padded to where that explains the blanks, else 0."""
    width = 0
    for run, value in zip(blanks, values, strict=True):
        if len(run) > least:
            width = len(run) - least + len(value)
            break
    if not 0 < width < 1000:
        return 0
    for run, value in zip(blanks, values, strict=True):
        if run != " " * (least + max(0, width - len(value))):
            return 0
    return width


def _heads(lines: list[str], keys_of: dict[int, list[str]]) -> list[_Group]:
    """Groups of lines that have only their beginnings in common; the rest of each line is one value."""
    sharing: dict[tuple[str, ...], list[int]] = {}
    for at, keys in keys_of.items():
        start = tuple(keys[:HEAD_FIELDS])
        for size in range(1, len(start) + 1):
            sharing.setdefault(start[:size], []).append(at)
    # What digits hide is taken for two tokens that all lines share: mostly it is a date.
    ranked = [
        (len(rows) * (sum([2 if key == "0" else _weight(key) for key in start]) - 1), start, rows)
        for start, rows in sharing.items()
        if len(rows) >= MIN_ROWS
    ]
    ranked.sort(key=lambda entry: (-entry[0], -len(entry[1])))
    found = [group for _, start, rows in ranked[:HEADS] for group in _headed(lines, rows, len(start))]
    found.sort(key=lambda group: -group.gain)
    groups: list[_Group] = []
    used: set[int] = set()
    for group in found:
        left = [at for at, row in enumerate(group.rows) if row not in used]
        rest = group if len(left) == len(group.rows) else group.picked(left)
        if rest.gain >= MIN_GAIN:
            groups.append(rest)
            used.update(rest.rows)
    return groups


def _headed(lines: list[str], rows: list[int], size: int) -> list[_Group]:
    """Groups of lines by the blanks among their first `size` fields."""
    apart: dict[tuple[str, ...], list[tuple[int, list[str], str]]] = {}
    for at in rows:
        pieces = _BLANKS.split(lines[at], size + 1)
        start = ["", *pieces] if pieces[0] else pieces[1:]
        end = 2 * size + 1
        if len(start) > end:
            apart.setdefault(tuple(start[0:end:2]), []).append((at, start[1:end:2], "".join(start[end:])))
    groups: list[_Group] = []
    for blanks, some in apart.items():
        if len(some) >= MIN_ROWS:
            parts: list[_Part] = [blanks[0]]
            for index, values in enumerate(zip(*[fields for _, fields, _ in some], strict=True)):
                parts += (_Column([*values]), blanks[index + 1])
            parts.append(_Column([rest for _, _, rest in some], tail=True))
            groups.append(_Group([at for at, _, _ in some], parts))
    return groups


def _chosen(pool: list[_Group]) -> list[_Group]:
    """At most 26 of the groups, or of what they split into: each step takes what saves most."""
    active: list[_Group] = []
    while len(active) < MAX_PATTERNS:
        best, pick, cut = MIN_GAIN - 1, None, False
        for group in pool:
            if group.gain > best and group not in active:
                best, pick, cut = group.gain, group, False
            if group.split is None:
                group.split = _best_split(group)
            if group.split.gain > best:
                best, pick, cut = group.split.gain, group, True
        if pick is None:
            break
        if not cut:
            active.append(pick)
            continue
        pool.remove(pick)
        if pick in active:
            active.remove(pick)
        assert pick.split is not None
        for group in (pick.split.taken, pick.split.rest):
            pool.append(group)
            if group.gain >= MIN_GAIN and len(active) < MAX_PATTERNS:
                active.append(group)
    return active


def _merged(groups: list[_Group]) -> list[_Group]:
    """`groups`, but one of any two that read the same: where one's last value is a field, the other's all the rest."""
    merged: dict[str, _Group] = {}
    for group in groups:
        pattern = _template(group, "\0\0")
        twin = merged.setdefault(pattern, group)
        if twin is not group:
            twin.rows += group.rows
            twin.gain += group.gain
            ours = [part for part in twin.parts if not isinstance(part, str)]
            theirs = [part for part in group.parts if not isinstance(part, str)]
            for column, other in zip(ours, theirs, strict=True):
                column.values += other.values
                column.tail |= other.tail
    return [*merged.values()]


def _best_split(group: _Group) -> _Split:
    """The best way to give some lines a pattern of their own: those with one value in a column, or those whose rest
    begins with one word. Its gain is 0 if none pays.
    """
    options: list[tuple[int, int, str]] = []
    for index, part in enumerate(group.parts):
        if isinstance(part, str):
            continue
        value, times = Counter(part.values).most_common(1)[0]
        if times >= MIN_ROWS:
            options.append((times * (_weight(value) + 1), index, value))
        elif part.tail:
            words = Counter([value[: value.find(" ") + 1] for value in part.values])
            words[""] = words[" "] = 0
            word, times = words.most_common(1)[0]
            if times >= MIN_ROWS:
                options.append((times * _weight(word), index, word))
    options.sort(key=lambda option: -option[0])
    best = _Split(0, group, group)
    now = max(group.gain, 0)
    for _, index, value in options[:SPLITS]:
        column = group.parts[index]
        assert not isinstance(column, str)
        begins = column.tail and value[-1:] == " "
        taken: list[int] = []
        rest: list[int] = []
        for at, other in enumerate(column.values):
            (taken if other == value or (begins and other.startswith(value)) else rest).append(at)
        split = _Split(0, group.picked(taken, index, value if begins else ""), group.picked(rest))
        split.gain = max(split.taken.gain, 0) + max(split.rest.gain, 0) - now
        if split.gain >= _least(value) and split.gain > best.gain:
            best = split
    return best


def _least(value: str) -> int:
    """What a pattern for one value has to save: numbers and times in patterns read less well than words."""
    if value.translate(_NO_DIGIT_BUT_ZERO).find("0") < 0:
        return MIN_GAIN
    return MIN_GAIN_TIME if _TIME.match(value) else MIN_GAIN_NUMBER


def _weight(text: str) -> int:
    """About how many tokens `text` is."""
    return len(_TOKEN.findall(text))


# Making a group's parts out of columns.


def _settled(parts: Iterable[_Part]) -> list[_Part]:
    """`parts` with a literal where all lines have the same, fields cut where that makes one, adjoining ones joined."""
    out: list[_Part] = []
    for part in parts:
        if isinstance(part, str):
            new: list[_Part] = [part]
        elif part.values.count(part.values[0]) == len(part.values):
            new = [_padded(part.values[0], part.width)]
        elif part.whole and not part.tail:
            new = _trimmed(part) if part.width else _cut(part)
        else:
            new = [part]
        for piece in new:
            if isinstance(piece, str) and out and isinstance(out[-1], str):
                out[-1] += piece
            elif piece:
                out.append(piece)
    return out


def _cut(column: _Column) -> list[_Part]:
    """A field in pieces, where all lines have the same marks in it and a piece in common."""
    values = column.values
    if _MARK.search(values[0]) is None:
        return _dated(column)
    first = _CUT.split(values[0])
    marks = first[1::2]
    known: dict[str, list[str]] = {}
    for value in values:
        if value not in known:
            known[value] = pieces = _CUT.split(value)
            if pieces[1::2] != marks:
                return _dated(column)
    columns = [*zip(*known.values(), strict=True)]
    varies = [at % 2 == 0 and pieces.count(pieces[0]) < len(pieces) for at, pieces in enumerate(columns)]
    out: list[_Part] = []
    at = 0
    while at < len(columns):
        if not varies[at]:
            out.append(first[at])
            at += 1
            continue
        # What marks alone join stays joined, and so does what a value opens with a bracket or `=`.
        end = at + 1
        while end < len(columns):
            mark = first[end][0]
            if _is_closed(first[at:end]) and mark not in "=([{<" and (mark not in ",;" or not varies[end + 1]):
                break
            end += 2
        joined = {value: "".join(pieces[at:end]) for value, pieces in known.items()}
        out += _dated(_Column([joined[value] for value in values], whole=False))
        at = end
    return out


def _trimmed(column: _Column) -> list[_Part]:
    """A padded field without the marks that all lines have on the side where nothing is padded."""
    values, width = column.values, column.width
    sizes = [len(value) for value in values]
    if width > 0:
        ends = {value[len(value.rstrip(_CLOSING)) :] for value in values}
        end = ends.pop()
        if ends or not end or len(end) == min(sizes):
            return [column]
        return [_Column([value[: -len(end)] for value in values], whole=False, width=width - len(end)), end]
    starts = {value[: len(value) - len(value.lstrip(_OPENING))] for value in values}
    start = starts.pop()
    if starts or not start or len(start) == min(sizes):
        return [column]
    return [start, _Column([value[len(start) :] for value in values], whole=False, width=width + len(start))]


def _is_closed(pieces: list[str]) -> bool:
    """Whether no bracket or quote of these pieces, with the marks between them, is left open."""
    marks = "".join(pieces[1::2])
    return not marks or (
        sum(map(marks.count, "([{<")) <= sum(map(marks.count, ")]}>"))
        and marks.count('"') % 2 == 0
        and marks.count("'") % 2 == 0
    )


def _dated(column: _Column) -> list[_Part]:
    """A column of times without the date that all of them begin with."""
    date = _DATE.match(column.values[0])
    if date is None or not all(value.startswith(date[0]) for value in column.values):
        return [column]
    return [date[0], _Column([value[date.end() :] for value in column.values], whole=False)]


# Writing and reading.


def _written(lines: list[str], groups: list[_Group], others: list[int]) -> str | None:
    """The pressed text, or None where no sign for a slot can be had."""
    sign = _sign(groups)
    if sign is None:
        return None
    letters = ascii_uppercase[: len(groups)]
    body = _rows(lines, dict(zip(letters, groups, strict=True)), others)
    prefix = _prefix(lines, body, groups)
    title = f"letter = line pattern, its {sign} filled in order" if groups else "equal lines counted"
    if any(not isinstance(part, str) and part.width for group in groups for part in group.parts):
        title += f", {sign[0]}5{sign[1]} padded to 5"
    begins = f'; each line begins "{prefix}"' if prefix else ""
    out = [f"{TITLE}{title}{begins}]"]
    out += [f"{letter}={_template(group, sign)[len(prefix) :]}" for letter, group in zip(letters, groups, strict=True)]
    out.append(_TABLE_END)
    mistakable = re.compile(rf"\\|\(x\d+ more\)\Z|(?:[0-9][^ ]* )?[{letters or '-'}](?: |\Z)").match
    last: str | None = None
    more = 0
    for line, row in zip(lines, body, strict=True):
        if line == last:
            more += 1
            continue
        if more:
            _repeat(out, more)
            more = 0
        last = line
        if row is not None:
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


def _rows(lines: list[str], groups: dict[str, _Group], others: list[int]) -> list[str | None]:
    """For each line its row, or None where it has to stand as it is or is that of the line above."""
    body: list[str | None] = [None] * len(lines)
    for letter, group in groups.items():
        columns = [part for part in group.parts if not isinstance(part, str)]
        shown = [_shown(column.values) for column in columns]
        if not columns:
            for at in group.rows:
                body[at] = letter
        elif columns[0].tail:
            for at, value in zip(group.rows, shown[0], strict=True):
                body[at] = f"{letter} {value}"
        else:
            for at, values in zip(group.rows, zip(*shown, strict=True), strict=True):
                body[at] = _row(letter, values)
    # What a line must have to be worth a closer look: how its pattern begins, and the longest text in it.
    literals = [[part for part in group.parts if isinstance(part, str)] for group in groups.values()]
    starts = [part if isinstance(part := group.parts[0], str) else "" for group in groups.values()]
    longest = [max(texts, key=len, default="") for texts in literals]
    looks = [*zip(groups.items(), starts, longest, strict=True)]
    for at in others:
        line = lines[at]
        for (letter, group), start, text in looks:
            if line.startswith(start) and text in line and (found := _fitting(group.parts, line)) is not None:
                body[at] = _row(letter, _shown(found)) if found else letter
                break
    return body


def _row(letter: str, values: Sequence[str]) -> str:
    """A row: letter and values, or time, letter and the other values."""
    if _TIME.match(values[0]) and " " not in values[0]:
        return " ".join((values[0], letter, *values[1:]))
    return f"{letter} {' '.join(values)}"


def _fitting(parts: list[_Part], line: str) -> list[str] | None:
    """The values with which the pattern gives `line`, if they are found at once: each ends where its literal begins."""
    at = 0
    values: list[str] = []
    open_slot: _Column | None = None
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
        if not slot.tail and values[index] and values[index].split() != [values[index]]:
            return None
    return values if _filled(parts, values) == line else None


def _filled(parts: list[_Part], values: list[str]) -> str:
    left = iter(values)
    return "".join([part if isinstance(part, str) else _padded(next(left), part.width) for part in parts])


def _padded(value: str, width: int) -> str:
    return value.rjust(width) if width >= 0 else value.ljust(-width)


def _shown(values: Iterable[str]) -> list[str]:
    """Values as they stand in a row."""
    return [value if value.strip("_") else value + "_" for value in values]


def _repeat(out: list[str], more: int) -> None:
    """Write the last line `more` times again, or how often that is."""
    if out[-1] and more * (_weight(out[-1]) + 1) > 6:
        out.append(f"(x{more} more)")
    else:
        out += [out[-1]] * more


def _prefix(lines: list[str], body: list[str | None], groups: list[_Group]) -> str:
    """What all lines that stand as they are and all patterns begin with, up to a blank; empty where it does not pay."""
    starts = [part if isinstance(part := group.parts[0], str) else "" for group in groups]
    last = ""
    for line, row in zip(lines, body, strict=True):
        if row is None and line and line != last:
            starts.append(line)
        last = line
    low, high = min(starts, default="")[:MAX_PREFIX], max(starts, default="")
    length = 0
    for a, b in zip(low, high, strict=False):
        if a != b:
            break
        length += 1
    date = _DATE.search(low, 0, length + 1)
    prefix = low[: max(low.rfind(" ", 0, length) + 1, date.end() if date and date.end() <= length else 0)]
    size = _weight(prefix)
    return prefix if size * len(starts) > size + 10 else ""


def _sign(groups: list[_Group]) -> str | None:
    """A sign for slots that no pattern holds."""
    literals = "\n".join([part for group in groups for part in group.parts if isinstance(part, str)])
    for sign in _SIGNS:
        if _slots(sign).search(literals) is None:
            return sign
    return None


def _slots(sign: str) -> re.Pattern[str]:
    return re.compile(f"{re.escape(sign[0])}(-?[0-9]{{0,3}}){re.escape(sign[1])}")


def _template(group: _Group, sign: str) -> str:
    """A pattern as it stands in the table."""
    return "".join(
        [
            part if isinstance(part, str) else sign[0] + (str(part.width) if part.width else "") + sign[1]
            for part in group.parts
        ]
    )


def _read_patterns(lines: list[str], sign: str, prefix: str) -> tuple[dict[str, str], dict[str, tuple[str, int]]]:
    """The lines that patterns without slots stand for, by letter; and the others, by letter and blank."""
    whole: dict[str, str] = {}
    forms: dict[str, tuple[str, int]] = {}
    slots = _slots(sign)
    if len(lines) > MAX_PATTERNS:
        raise ValueError("more patterns than letters")
    for letter, line in zip(ascii_uppercase, lines, strict=False):
        if not line.startswith(letter + "="):
            raise ValueError("a pattern without its letter")
        pieces = slots.split(prefix + line[2:])
        count = len(pieces) // 2
        if count > MAX_LINE:
            raise ValueError("a pattern has more slots than a line can have")
        if not count:
            whole[letter] = pieces[0]
            continue
        pieces[0::2] = [literal.replace("%", "%%") for literal in pieces[0::2]]
        pieces[1::2] = [f"%{width}s" for width in pieces[1::2]]
        forms[letter + " "] = ("".join(pieces), count)
    return whole, forms
