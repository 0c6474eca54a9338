r"""The list of tests that a test runner prints: what they belong to once, then their names, the usual verdict never.

    tests/net/test_pool.py::test_lease PASSED                    [ 33%]
    tests/net/test_pool.py::test_renew[two leases] FAILED        [ 66%]
    tests/net/test_pool.py::test_end PASSED                      [100%]
    →
    [tests: "<group>::<name> <verdict>", each below its group; PASSED unless said; up to column 68 its [n%], as above]
    tests/net/test_pool.py:
     test_lease [33%]
     test_renew[two leases] FAILED [66%]
     test_end [100%]

A percentage stands where it is another one than that of the test above. All other lines stand as they are and where
they are, behind a `\` if they would read as a group or a test.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice

TITLE = "[tests: "
MAX_TEXT = 16 * 1024 * 1024  # characters of a text, pressed or not
MAX_LINE = 2000  # characters; a longer line stays as it is
MAX_WIDTH = 1000  # columns
LEAST_TESTS = 3

# How a test is written, and how its group and name are told from each other: one look, no pattern that goes back far.
_STYLES = {
    "<group>::<name> <verdict>": re.compile(r"([^\s\[]+)::((?:[^\s:\[]|:(?!:))+(?:\[.*\])?)\Z"),
    "<name> (<group>.<name>) ... <verdict>": re.compile(r"(\w+) \(([^\s()]+)\.(\w+)\)\Z"),
    "<name> (<group>) ... <verdict>": re.compile(r"(\w+) \(([^\s()]+)\)\Z"),
    "test <group>::<name> ... <verdict>": re.compile(r"test ([^\s\[]+)::([^\s:]+)\Z"),
}
_PIECES = {style: re.split("(<(?:group|name|verdict)>)", style) for style in _STYLES}
_PYTEST = next(iter(_STYLES))
_VERDICT = re.compile(
    r" (?:PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS|ok|FAIL|ignored|expected failure|unexpected success|skipped)(?![^ ])"
)
_REASONS = (("(", ")"), ("'", "'"), ('"', '"'))  # what a reason begins and ends with
_MOST_VERDICTS = 20  # words in a line that are looked at
_PERCENT = re.compile(r"\[ {0,2}(\d{1,3})%\]\Z", re.ASCII)
_HEAD = re.compile(
    r'\[tests: "(.+)", each below its group; ([a-zA-Z]+) unless said'
    r"(?:; up to column (\d{1,4}) its \[n%\], as above)?\]",
    re.ASCII,
)
_GROUP = re.compile(r"\S+:")


class _Test:
    """A test as a line has it: what it belongs to, its name, its verdict with what follows that, its percentage."""

    __slots__ = ("group", "name", "percent", "verdict")

    def __init__(self, group: str, name: str, verdict: str, percent: str) -> None:
        self.group = group
        self.name = name
        self.verdict = verdict
        self.percent = percent


def encode(text: str) -> str | None:
    """`text` with its tests below their groups, or None where that is not shorter. Cost: linear; 4 ms for 50 KB."""
    if len(text) > MAX_TEXT or text.startswith(TITLE):
        return None
    lines = text.split("\n")
    style = _style(lines)
    if style is None:
        return None
    tests = [_read(line, style) if len(line) <= MAX_LINE else None for line in lines]
    found = [(test, len(line)) for test, line in zip(tests, lines, strict=True) if test is not None]
    if len(found) < LEAST_TESTS:
        return None
    usual = Counter([test.verdict for test, _ in found if test.verdict.isalpha()]).most_common(1)
    widths = Counter([length for test, length in found if test.percent]).most_common(1)
    verdict = usual[0][0] if usual else "ok"
    width = widths[0][0] if widths and widths[0][0] <= MAX_WIDTH else 0
    column = f"; up to column {width} its [n%], as above" if width else ""
    out = [f'{TITLE}"{style}", each below its group; {verdict} unless said{column}]']
    group = percent = ""
    for line, test in zip(lines, tests, strict=True):
        if test is None or _line(test, style, width) != line:
            out.append(_plain(line))
            continue
        row = f" {test.name}"
        if test.verdict != verdict:
            row += f" {test.verdict}"
        if test.percent != percent:
            row += f" [{test.percent}%]"
        told = _told(row, test.group, verdict, percent)
        if _line(told, style, width) != line or test.group[:1] == "\\":
            out.append(_plain(line))
            continue
        if test.group != group:
            group = test.group
            out.append(group + ":")
        percent = told.percent
        out.append(row)
    pressed = "\n".join(out)
    return pressed if len(pressed) < len(text) else None


def decode(pressed: str) -> str:
    """What `encode` was given. Raises ValueError for a text that it cannot have made. Cost: linear; 3 ms for 50 KB."""
    lines = pressed.split("\n")
    head = _HEAD.fullmatch(lines[0])
    if head is None or head[1] not in _STYLES or len(pressed) > MAX_TEXT:
        raise ValueError("not a list of tests")
    style, verdict, width = head[1], head[2], int(head[3] or 0)
    if width > MAX_WIDTH:
        raise ValueError("wider than any list of tests")
    out: list[str] = []
    group = percent = ""
    size = 0
    for line in lines[1:]:
        if line[:1] == " ":
            test = _told(line, group, verdict, percent)
            percent = test.percent
            out.append(_line(test, style, width))
        elif line[:1] == "\\":
            out.append(line[1:])
        elif _GROUP.fullmatch(line) is not None:
            group = line[:-1]
            continue
        else:
            out.append(line)
        size += len(out[-1]) + 1
        if size > MAX_TEXT + 1:
            raise ValueError("longer than any text that is pressed")
    return "\n".join(out)


def _plain(line: str) -> str:
    """A line that stands as it is."""
    return "\\" + line if line[:1] in ("\\", " ") or _GROUP.fullmatch(line) else line


def _style(lines: list[str]) -> str | None:
    """How most of the first lines that are tests are written."""
    looks = [line for line in lines if len(line) <= MAX_LINE and ("::" in line or " ... " in line)][: LEAST_TESTS * 20]
    counts = [(sum(_read(line, style) is not None for line in looks), style) for style in _STYLES]
    best, style = max(counts, key=lambda count: count[0])
    return style if best >= LEAST_TESTS else None


def _read(line: str, style: str) -> _Test | None:
    """The test of a line, if it is one."""
    percent = ""
    if style == _PYTEST:
        if "::" not in line:
            return None
        if (shown := _PERCENT.search(line, max(len(line) - 8, 0))) is not None:
            percent = str(int(shown[1]))
            line = line[: shown.start()].rstrip(" ")
    elif " ... " not in line:
        return None
    before, verdict = _parted(line)
    if not verdict:
        return None
    if style != _PYTEST:
        if not before.endswith(" ..."):
            return None
        before = before[:-4]
    match = _STYLES[style].match(before)
    if match is None:
        return None
    if style.startswith("<name>"):
        group, name = match[2], match[1]
        if match.lastindex == 3 and match[3] != name:
            return None
    else:
        group, name = match[1], match[2]
    return _Test(group, name, verdict, percent)


def _told(row: str, group: str, verdict: str, percent: str) -> _Test:
    """The test that a row says, where these are the group, the verdict and the percentage if it says nothing else."""
    row = row[1:]
    if (shown := _PERCENT.search(row, max(len(row) - 8, 0))) is not None and row[shown.start() - 1] == " ":
        percent = str(int(shown[1]))
        row = row[: shown.start() - 1]
    name, said = _parted(row)
    return _Test(group, name, said or verdict, percent)


def _parted(line: str) -> tuple[str, str]:
    """What stands before a verdict, and the verdict with its reason in brackets or quotes; empty if there is none."""
    for found in islice(_VERDICT.finditer(line), _MOST_VERDICTS):
        end = found.end()
        if end == len(line) or (line[end + 1 : end + 2], line[-1]) in _REASONS:
            return line[: found.start()], line[found.start() + 1 :]
    return line, ""


def _line(test: _Test, style: str, width: int) -> str:
    """The line of a test."""
    values = {"<group>": test.group, "<name>": test.name, "<verdict>": test.verdict}
    line = "".join([values.get(piece, piece) for piece in _PIECES[style]])
    if not test.percent:
        return line
    return f"{line}{f' [{test.percent:>3}%]':>{max(width - len(line), 0)}}"
