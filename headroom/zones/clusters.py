"""Which lines have a pattern in common, and which of the patterns save most."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from operator import eq

from headroom.zones.templates import BREAK, MARK, MARK_GAIN, MIN_ROWS, TIME, Column, Group, Part, Split, weight

MAX_PATTERNS = 26  # one letter each
MIN_GAIN = 8  # estimated tokens that a pattern has to save, or making two of one
MIN_GAIN_NUMBER = 15  # the same where the new pattern has a number in it, which reads less well than a word
MIN_GAIN_TIME = 30  # or a time of day
RECENT = 24  # clusters that a line is compared with
SPLITS = 2  # ways to make two patterns of one that are tried
HEADS = 16  # ways to begin that are tried
HEAD_FIELDS = 8  # the most fields at the beginning of lines by which those of other lengths may share a pattern

_BLANKS = re.compile(r"(\s+)")
_NO_DIGIT_BUT_ZERO = str.maketrans("123456789", "000000000")


def patterns(lines: list[str], which: list[int]) -> list[Group]:
    """The groups of lines that get a letter, in the order of their first lines; no line is in two of them."""
    if not which:
        return []
    zeroed = "\n".join([lines[at] for at in which]).translate(_NO_DIGIT_BUT_ZERO)
    keys = {
        at: ["0" if "0" in field else field for field in line.split()]
        for at, line in zip(which, zeroed.split("\n"), strict=True)
    }
    for at, key in keys.items():
        if MARK in (line := lines[at]):
            # A time is a part of the pattern, so what is around it in its field must be the same in all lines.
            fields = line.split()
            index = next(index for index, field in enumerate(fields) if MARK in field)
            key[index] = fields[index]
    pool: list[Group] = []
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
    buckets: dict[tuple[int, int, str], list[int]] = {}
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
        marked = next((at for at, field in enumerate(fields) if MARK in field), -1) if MARK in lines[at] else -1
        bucket = buckets.setdefault((size, marked, fields[marked] if marked >= 0 else ""), [])
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


def _groups(lines: list[str], rows: list[int]) -> list[Group]:
    """A cluster as a group; as several where its lines differ in blanks in a way that padding does not explain."""
    fields = [lines[at].split() for at in rows]
    if all(" ".join(split) == lines[at] for split, at in zip(fields, rows, strict=True)):
        parts: list[Part] = []
        for values in zip(*fields, strict=True):
            parts += (Column([*values]), " ")
        return [Group(rows, parts[:-1])]
    return _by_blanks(rows, [*zip(*[_with_blanks(lines[at]) for at in rows], strict=True)])


def _by_blanks(rows: list[int], columns: list[tuple[str, ...]], tries: int = 2) -> list[Group]:
    """The groups of lines of which `columns` have blanks, field, blanks, …, blanks: always with those at both ends,
    which may be empty. After that many `tries` any other blanks tell groups apart, so that this ends.
    """
    parts: list[Part] = []
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
    indents: list[str] | None = None
    if odd == [0] and _is_indentation(columns[0]):
        indents = [*columns[0]]
        del odd[0]
    if odd:
        apart: dict[tuple[str, ...], list[int]] = {}
        for index, runs in enumerate(zip(*[columns[at] for at in odd], strict=True)):
            apart.setdefault(runs, []).append(index)
        groups: list[Group] = []
        for some in apart.values():
            if len(some) >= MIN_ROWS:
                theirs = [*map(rows.__getitem__, some)]
                groups += _by_blanks(theirs, [tuple(map(column.__getitem__, some)) for column in columns], tries - 1)
        return groups
    for at, values in enumerate(columns):
        if at % 2:
            parts.append(Column([*values], width=padded.get(at, 0)))
        elif padded.get(at + 1, 0) > 0 or padded.get(at - 1, 0) < 0:
            parts.append(" " * least[at])
        elif at or indents is None:
            parts.append(values[0])
    return [Group(rows, parts, indents)]


def _is_indentation(blanks: Sequence[str]) -> bool:
    return not "".join(blanks).strip(" \t")


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


def _heads(lines: list[str], keys_of: dict[int, list[str]]) -> list[Group]:
    """Groups of lines that have only their beginnings in common; the rest of each line is one value."""
    sharing: dict[tuple[str, ...], list[int]] = {}
    for at, keys in keys_of.items():
        start = tuple(keys[:HEAD_FIELDS])
        for size in range(1, len(start) + 1):
            sharing.setdefault(start[:size], []).append(at)
    # What digits hide is taken for two tokens that all lines share: mostly it is a date.
    ranked = [
        (len(rows) * (sum([_worth(key) for key in start]) - 1), start, rows)
        for start, rows in sharing.items()
        if len(rows) >= MIN_ROWS
    ]
    ranked.sort(key=lambda entry: (-entry[0], -len(entry[1])))
    found = [group for _, start, rows in ranked[:HEADS] for group in _headed(lines, rows, len(start))]
    found.sort(key=lambda group: -group.gain)
    groups: list[Group] = []
    used: set[int] = set()
    for group in found:
        left = [at for at, row in enumerate(group.rows) if row not in used]
        rest = group if len(left) == len(group.rows) else group.picked(left)
        if rest.gain >= MIN_GAIN:
            groups.append(rest)
            used.update(rest.rows)
    return groups


def _worth(key: str) -> int:
    """About how many tokens a field saves that all lines begin with."""
    return 2 if key == "0" else weight(key) + MARK_GAIN * (MARK in key)


def _headed(lines: list[str], rows: list[int], size: int) -> list[Group]:
    """Groups of lines by the blanks among their first `size` fields."""
    apart: dict[tuple[str, ...], list[tuple[int, list[str], str, str]]] = {}
    for at in rows:
        pieces = _BLANKS.split(lines[at], size + 1)
        start = ["", *pieces] if pieces[0] else pieces[1:]
        end = 2 * size + 1
        rest = "".join(start[end:])
        if len(start) > end and MARK not in rest and _is_indentation(start[:1]):
            apart.setdefault(tuple(start[2:end:2]), []).append((at, start[1:end:2], rest, start[0]))
    groups: list[Group] = []
    for blanks, some in apart.items():
        if len(some) >= MIN_ROWS:
            parts: list[Part] = []
            for values, run in zip(zip(*[fields for _, fields, _, _ in some], strict=True), blanks, strict=True):
                parts += (Column([*values]), run)
            parts.append(Column([rest for _, _, rest, _ in some], tail=True))
            groups.append(Group([at for at, _, _, _ in some], parts, [indent for _, _, _, indent in some]))
    return groups


def _chosen(pool: list[Group]) -> list[Group]:
    """At most 26 of the groups, or of what they split into: each step takes what saves most."""
    active: list[Group] = []
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


def _merged(groups: list[Group]) -> list[Group]:
    """`groups`, but one of any two that read the same: where one's last value is a field, the other's all the rest."""
    merged: dict[str, Group] = {}
    for group in groups:
        pattern = template_text(group, "\0\0")
        twin = merged.setdefault(pattern, group)
        if twin is not group:
            if twin.indents or group.indents:
                twin.indents = [*(twin.indents or [""] * len(twin.rows)), *(group.indents or [""] * len(group.rows))]
            twin.rows += group.rows
            twin.gain += group.gain
            ours = [part for part in twin.parts if not isinstance(part, str)]
            theirs = [part for part in group.parts if not isinstance(part, str)]
            for column, other in zip(ours, theirs, strict=True):
                column.values += other.values
                column.tail |= other.tail
    return [*merged.values()]


def _best_split(group: Group) -> Split:
    """The best way to give some lines a pattern of their own: those with one value in a column, or those whose rest
    begins with one word. Its gain is 0 if none pays.
    """
    options: list[tuple[int, int, str]] = []
    for index, part in enumerate(group.parts):
        if isinstance(part, str):
            continue
        value, times = Counter(part.values).most_common(1)[0]
        if times >= MIN_ROWS:
            options.append((times * (weight(value) + 1), index, value))
        elif part.tail:
            words = Counter([value[: value.find(" ") + 1] for value in part.values])
            words[""] = words[" "] = 0
            word, times = words.most_common(1)[0]
            if times >= MIN_ROWS:
                options.append((times * weight(word), index, word))
    options.sort(key=lambda option: -option[0])
    best = Split(0, group, group)
    now = max(group.gain, 0)
    for _, index, value in options[:SPLITS]:
        column = group.parts[index]
        assert not isinstance(column, str)
        begins = column.tail and value[-1:] == " "
        taken: list[int] = []
        rest: list[int] = []
        for at, other in enumerate(column.values):
            (taken if other == value or (begins and other.startswith(value)) else rest).append(at)
        split = Split(0, group.picked(taken, index, value if begins else ""), group.picked(rest))
        split.gain = max(split.taken.gain, 0) + max(split.rest.gain, 0) - now
        if split.gain >= _least(value) and split.gain > best.gain:
            best = split
    return best


def _least(value: str) -> int:
    """What a pattern for one value has to save: numbers and times in patterns read less well than words."""
    if value.translate(_NO_DIGIT_BUT_ZERO).find("0") < 0:
        return MIN_GAIN
    return MIN_GAIN_TIME if TIME.match(value) else MIN_GAIN_NUMBER


def template_text(group: Group, sign: str) -> str:
    """A pattern as it stands in the table."""
    return "".join(
        [
            part.replace(BREAK, "").replace(MARK, f"{sign[0]}time{sign[1]}")
            if isinstance(part, str)
            else sign[0] + (str(part.width) if part.width else "") + sign[1]
            for part in group.parts
        ]
    )
