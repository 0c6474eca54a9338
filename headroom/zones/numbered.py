r"""Line-numbered source (Read results) with its gutter narrowed: every tenth line keeps its number.

         118→def take(self):          [lines 118-121, every 10th numbered, text after the tab; was "%6d→"]
         119→    self.n += 1          118⇥def take(self):
         120→                    →    ⇥    self.n += 1
         121→    return self.n        120⇥
                                      121⇥    return self.n

Numbered are the first and the last line of a part, each tenth, and the lines on both sides of a line that is none of
the file's. Every character after the gutter stays. What comes before the first numbered line, between numbered lines
or after the last one stays as it is, behind a `\` where it could be taken for a line of the file. `was` is the gutter
as C's printf writes it; without it, it was the number and a tab. Where something has cut the blanks at line ends, an
empty line has lost its tab too: then the first line says so, and such a line is a bare number, or nothing.
"""

from __future__ import annotations

import re
from itertools import pairwise

TITLE = "[lines "
STEP = 10  # of so many lines, one keeps its number
LOOK_AHEAD = 200  # lines that are searched for the gutter
LEAST_ROWS = 3

_SURE_LINES = 8  # so many lines' indentation tells whether a blank after the separator is the gutter's

_BARE = "; empty lines without it"
_TITLE = re.compile(
    rf"\[lines [0-9]+-([0-9]+)(?: in ([0-9]{{1,9}}) parts)?, every {STEP}th numbered, text after the tab({_BARE})?"
    r'(?:; was "(L?)%(0?)([1-9][0-9]?)?d(\\t|→| ?[|│] ?|: ?)")?\]'
)
_NUMBER = re.compile(r"(0|[1-9][0-9]{0,8})(?:(\t)|\Z)")
_PADDED = re.compile(r"(L?)( {0,15}|0{0,8}(?=[1-9]))(0|[1-9][0-9]{0,8})(\t|→| ?[|│] ?|: ?)")

Row = tuple[int, bool, str]
"""A line: its number (-1 for one that is none of the file's), whether its gutter is whole, and its text."""


class _Gutter:
    """How a tool writes its line numbers: `mark`, the number padded to `width` with `fill`, `separator`."""

    __slots__ = ("_pattern", "fill", "mark", "separator", "width")

    def __init__(self, mark: str, fill: str, width: int, separator: str) -> None:
        self.mark = mark
        self.fill = fill
        self.width = width
        self.separator = separator
        self._pattern = re.compile(rf"{mark}{fill}{{0,{width - 1}}}(0|[1-9][0-9]{{0,8}}){re.escape(separator)}")

    def of(self, number: int) -> str:
        """The gutter of line `number`."""
        return f"{self.mark}{str(number).rjust(self.width, self.fill)}{self.separator}"

    def cut(self, number: int) -> str:
        """The gutter of line `number` without the blanks at its end."""
        return self.of(number).rstrip(" \t")

    def read(self, line: str) -> int:
        """The number of `line`, -1 where it has no such gutter."""
        match = self._pattern.match(line)
        if match is None:
            return -1
        number = int(match[1])
        return number if match[0] == self.of(number) else -1

    def begins(self, line: str) -> bool:
        """Whether `line` has this gutter, or what is left of it where the blanks at line ends were cut."""
        return self.read(line) >= 0 or self.read(line + self.separator[len(self.separator.rstrip(" \t")) :]) >= 0

    @property
    def spelled(self) -> str:
        """What the first line says of the gutter; nothing for a number and a tab."""
        if (self.mark, self.width, self.separator) == ("", 1, "\t"):
            return ""
        fill = "0" if self.fill == "0" else ""
        width = str(self.width) if self.width > 1 else ""
        separator = self.separator.replace("\t", "\\t")
        return f'; was "{self.mark}%{fill}{width}d{separator}"'


def encode(text: str) -> str | None:
    """The text with a narrow gutter, or None where its lines are not numbered."""
    lines = text.split("\n")
    gutter = _find(lines[:LOOK_AHEAD])
    if gutter is None:
        return None
    rows = _rows(lines, gutter)
    while rows and rows[-1][0] < 0:
        rows.pop()
    numbers = [number for number, _, _ in rows if number >= 0]
    parts = 1 + sum(after != before + 1 for before, after in pairwise(numbers))
    if len(numbers) < max(LEAST_ROWS, 2 * parts):
        return None
    bare = any(number >= 0 and not whole for number, whole, _ in rows)
    title = (
        f"{TITLE}{numbers[0]}-{numbers[-1]}{f' in {parts} parts' if parts > 1 else ''}, every {STEP}th numbered, "
        f"text after the tab{_BARE if bare else ''}{gutter.spelled}]"
    )
    return "\n".join([title, *_body(rows, bare), *lines[len(rows) :]])


def decode(pressed: str) -> str:
    """What `encode` was given. Raises ValueError for a text that it cannot have made."""
    lines = pressed.split("\n")
    title = _TITLE.fullmatch(lines[0])
    if title is None:
        raise ValueError("not a numbered text")
    last, parts, bare = int(title[1]), int(title[2] or 1), title[3] is not None
    gutter = _Gutter("", " ", 1, "\t")
    if title[7] is not None:
        gutter = _Gutter(title[4], title[5] or " ", int(title[6] or 1), title[7].replace("\\t", "\t"))
    out: list[str] = []
    number = -1
    for at, line in enumerate(lines[1:], 2):
        if line[:1] == "\t" or (bare and not line):
            if number < 0:
                raise ValueError("the first line has no number")
            number += 1
        elif (match := _NUMBER.match(line)) is not None and (bare or match[2] is not None):
            given = int(match[1])
            if number < 0 or given != number + 1:
                parts -= 1
            number = given
        else:
            out.append(line[1:] if line[:1] == "\\" else line)
            continue
        tab = line.find("\t")
        out.append(gutter.of(number) + line[tab + 1 :] if tab >= 0 else gutter.cut(number))
        if number == last and parts <= 0:
            return "\n".join(out + lines[at:])
    raise ValueError("the numbered text is cut")


def _find(lines: list[str]) -> _Gutter | None:
    """The gutter of the first two lines whose numbers follow each other; empty lines may have lost theirs in part."""
    begun: re.Match[str] | None = None
    number = -1
    for index, line in enumerate(lines):
        match = _PADDED.match(line)
        if match is None:
            number += 1
            if line.strip(" ") != str(number):
                begun = None
            continue
        mark, pad, digits, separator = match.groups()
        number += 1
        if begun is not None and int(digits) == number and mark == begun[1]:
            wide = match if pad else begun
            width = len(wide[2] + wide[3]) if wide[2] else 1
            if separator not in ("\t", "→"):
                separator = _separator(lines[index - 1 :], separator.strip())
            gutter = _Gutter(mark, "0" if wide[2][:1] == "0" else " ", width, separator)
            return gutter if separator and gutter.begins(begun.string) and gutter.begins(line) else None
        begun = match
        number = int(digits)
    return None


def _separator(lines: list[str], sign: str) -> str:
    """`sign` with the blanks that belong to it; empty where those may as well be the text's own indentation."""
    found = [match for line in lines if (match := re.match(rf"L?[ 0-9]{{0,16}}[0-9]( ?)\{sign}( *)(?!\s|\Z)", line))]
    if not found or (sign == ":" and found[0][1]):
        return ""
    sign = found[0][1] + sign
    depths = [len(match[2]) for match in found]
    if 0 in depths:
        return sign
    # In a file, some line is not indented; a comment's ` *` is one blank deep.
    if any(depth == 1 and match.string[match.end()] != "*" for depth, match in zip(depths, found, strict=True)):
        return sign + " "
    # In a snippet all may be, and then nearly always by twos.
    even = sum(depth % 2 == 0 for depth in depths)
    if len(depths) < _SURE_LINES or min(even, len(depths) - even) * 10 > len(depths):
        return ""
    return sign if even * 2 > len(depths) else sign + " "


def _rows(lines: list[str], gutter: _Gutter) -> list[Row]:
    rows: list[Row] = []
    number = -2
    for line in lines:
        expected = gutter.of(number + 1) if number >= 0 else ""
        if expected and line.startswith(expected):
            number += 1
            rows.append((number, True, line[len(expected) :]))
        elif expected and line == gutter.cut(number + 1):
            number += 1
            rows.append((number, False, ""))
        elif (found := gutter.read(line)) >= 0:
            number = found
            rows.append((number, True, line[len(gutter.of(number)) :]))
        else:
            rows.append((-1, False, line))
    return rows


def _body(rows: list[Row], bare: bool) -> list[str]:
    out: list[str] = []
    before = -2
    for index, (number, whole, text) in enumerate(rows):
        if number < 0:
            out.append("\\" + text if _looks_ours(text, bare) else text)
        else:
            after = rows[index + 1][0] if index + 1 < len(rows) else -1
            gap = number != before + 1 or after != number + 1
            shown = str(number) if gap or number % STEP == 0 else ""
            out.append(f"{shown}\t{text}" if whole else shown)
        before = number
    return out


def _looks_ours(line: str, bare: bool) -> bool:
    """Whether a line that is none of the file's would be read as one."""
    if not line:
        return bare
    match = _NUMBER.match(line)
    return line[0] in "\t\\" or (match is not None and (bare or match[2] is not None))
