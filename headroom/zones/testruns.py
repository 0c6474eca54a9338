"""Test runs that name file or class on every line: each of them once, its tests below.

    tests/test_pool.py::TestPool::test_take PASSED    [  1%]       [tests under file and class; passed where no
    tests/test_pool.py::TestPool::test_lease[a] FAILED [  2%]      verdict is said; 99 tests, percent to column 56]
                                                             →     tests/test_pool.py::TestPool::
                                                                   test_take
                                                                   test_lease[a] FAILED

    test_take (pool.tests.TestPool.test_take) ... ok               [tests under their class; ok where no verdict is
    test_lease (pool.tests.TestPool.test_lease) ... FAIL     →     said]
                                                                   (pool.tests.TestPool)
                                                                   test_take
                                                                   test_lease FAIL

A `.` alone ends a group. Any other line stays as it is: behind a backslash between tests of one group, and where it
would be taken for one of these.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

TITLE = "[tests under "
_FILES = f"{TITLE}file and class; passed where no verdict is said; "
_FILES_TITLE = re.compile(re.escape(_FILES) + r"(\d{1,7}) tests, percent to column (\d{1,4})\]", re.ASCII)
_CLASSES_TITLE = f"{TITLE}their class; ok where no verdict is said]"
_PASSED = "PASSED"
_VERDICT = r"(?:PASSED|FAILED|SKIPPED|ERROR|XFAIL|XPASS)(?: \([^()]{0,300}\))?"
_PERCENT = re.compile(r"\[( {0,2}\d{1,3})%\]", re.ASCII)
_PLACE = re.compile(r"[^\s\[\\]*")  # file, class and test, as far as no parameter and no escape begins
_IN_CLASS = re.compile(r"(?P<name>\w+) (?P<group>\([\w.]+)\.(?P=name)\) \.\.\. (?P<said>\S.*)\Z")
_GROUP = re.compile(r"\S+::\Z|\([\w.]+\)\Z")
_SAID = re.compile(rf" {_VERDICT}\Z")
_MARK = " [100%]"
_END = "."
_RAW = "\\"

LEAST_TESTS = 5
MOST_TESTS = 1_000_000
FEW = 2  # lines of another look that do not end a group


class _Line(msgspec.Struct, frozen=True, gc=False):
    """A test's line as a runner writes that has the file on it."""

    group: str
    row: str
    percent: int
    padded: bool


class _Test(msgspec.Struct, frozen=True, gc=False):
    """One line: the group it is in, and what is written below it."""

    group: str
    row: str


_Writer = Callable[[str, str, int], str]
"""The whole line, from its group, its row, and how many tests there are up to it."""


def encode(text: str) -> str | None:
    """A shorter form of `text`; None where too few lines are tests. Cost: linear."""
    lines = text.split("\n")
    return _by_file(lines) or _by_class(lines)


def decode(pressed: str) -> str:
    """What `encode` was given. Raises ValueError for a text that it cannot have made."""
    title, _, rest = pressed.partition("\n")
    match = _FILES_TITLE.fullmatch(title)
    if match is not None and int(match[1]):
        return _read(rest.split("\n"), _file_writer(int(match[1]), int(match[2])))
    if title == _CLASSES_TITLE:
        return _read(rest.split("\n"), _class_line)
    raise ValueError("not a test run")


def _by_file(lines: Sequence[str]) -> str | None:
    read = [_in_file(line) if line.endswith("%]") else None for line in lines]
    found = [(len(line), test) for line, test in zip(lines, read, strict=True) if test is not None]
    total = _total([test.percent for _, test in found])
    if len(found) < LEAST_TESTS or total is None:
        return None
    edges = Counter(length for length, test in found if test.padded).most_common(1)
    edge = edges[0][0] if edges else len(_MARK)
    tests = [None if test is None else _Test(test.group, test.row) for test in read]
    return _write(f"{_FILES}{total} tests, percent to column {edge}]", lines, tests, _file_writer(total, edge))


def _in_file(line: str) -> _Line | None:
    at = line.rfind("[")
    percent = _PERCENT.fullmatch(line, max(0, at))
    before = line[: max(0, at)].rstrip(" ")
    said = _SAID.search(before)
    if percent is None or said is None:
        return None
    place = _PLACE.match(before)
    cut = place[0].rfind("::") + 2 if place is not None else 1
    name = before[cut : said.start()]
    if cut < 3 or not name or name != name.strip() or name.startswith(_RAW):
        return None
    row = name if said[0] == f" {_PASSED}" and _SAID.search(name) is None else before[cut:]
    return _Line(before[:cut], row, int(percent[1]), at - len(before) > 1)


def _by_class(lines: Sequence[str]) -> str | None:
    matches = [_IN_CLASS.match(line) for line in lines]
    if sum(match is not None for match in matches) < LEAST_TESTS:
        return None
    tests = [
        None
        if match is None
        else _Test(f"{match['group']})", match["name"] + ("" if match["said"] == "ok" else f" {match['said']}"))
        for match in matches
    ]
    return _write(_CLASSES_TITLE, lines, tests, _class_line)


def _write(title: str, lines: Sequence[str], tests: Sequence[_Test | None], written: _Writer) -> str | None:
    out = [title]
    group, done = "", 0
    for at, (line, test) in enumerate(zip(lines, tests, strict=True)):
        if (
            test is not None
            and test.row != _END
            and _GROUP.match(test.row) is None
            and written(test.group, test.row, done + 1) == line
        ):
            if test.group != group:
                group = test.group
                out.append(group)
            out.append(test.row)
            done += 1
            continue
        if group and not any(later is not None and later.group == group for later in tests[at + 1 : at + 1 + FEW]):
            out.append(_END)
            group = ""
        escaped = group or line.startswith(_RAW) or _GROUP.match(line) is not None
        out.append(_RAW + line if escaped else line)
    return "\n".join(out) if done >= LEAST_TESTS else None


def _read(lines: Sequence[str], written: _Writer) -> str:
    out: list[str] = []
    group, done = "", 0
    for line in lines:
        if line.startswith(_RAW):
            out.append(line[1:])
        elif _GROUP.match(line) is not None:
            group = line
        elif group and line == _END:
            group = ""
        elif group:
            done += 1
            out.append(written(group, line, done))
        else:
            out.append(line)
    return "\n".join(out)


def _file_writer(total: int, edge: int) -> _Writer:
    """Lines that end in how many of all tests were done, in percent, at the terminal's edge."""

    def written(group: str, row: str, done: int) -> str:
        said = row if _SAID.search(row) is not None else f"{row} {_PASSED}"
        percent = f" [{done * 100 // total:3d}%]"
        return f"{group}{said}".ljust(max(0, edge - len(percent))) + percent

    return written


def _class_line(group: str, row: str, _done: int) -> str:
    name, _, said = row.partition(" ")
    return f"{name} {group[:-1]}.{name}) ... {said or 'ok'}"


def _total(percents: Sequence[int]) -> int | None:
    """How many tests there are, if the percentages say so: the least count that every one of them fits."""
    low, high = 1, MOST_TESTS
    for done, percent in enumerate(percents, 1):
        # percent <= done * 100 / total < percent + 1
        low = max(low, done * 100 // (percent + 1) + 1)
        if percent:
            high = min(high, done * 100 // percent)
    return low if low <= high < MOST_TESTS else None
