"""Test runs that name the file on every line: each file and class once, its tests below.

    tests/test_pool.py::TestPool::test_take PASSED     [  1%]      [tests under file and class; passed where no
    tests/test_pool.py::TestPool::test_lease[a-b] FAILED [ 2%]      verdict is said; 2 tests, percent to column 51]
                                                             →     tests/test_pool.py::TestPool::
                                                                   test_take
                                                                   test_lease[a-b] FAILED

A `.` alone ends a group. Any other line stays as it is, behind a backslash where it would be taken for one of these.
"""

from __future__ import annotations

import re
from collections import Counter

TITLE = "[tests under file and class; passed where no verdict is said; "
_TITLE = re.compile(re.escape(TITLE) + r"(\d{1,7}) tests, percent to column (\d{1,4})\]", re.ASCII)
_PASSED = "PASSED"
_VERDICTS = "PASSED|FAILED|SKIPPED|ERROR|XFAIL|XPASS"
_LINE = re.compile(
    rf"(?P<group>[^\s\[\\:]+(?:::?[^\s\[\\:]+)*::)(?P<name>\S(?:.{{0,500}}\S)?) (?P<verdict>{_VERDICTS})"
    r"(?P<fill> +)\[(?P<percent> {0,2}\d{1,3})%\]\Z",
    re.ASCII,
)
_GROUP = re.compile(r"\S+::\Z")
_SAID = re.compile(rf" (?:{_VERDICTS})\Z")
_MARK = " [100%]"
_END = "."

LEAST_TESTS = 5
LEAST_FILL = 20  # a column further left is no terminal's edge


def encode(text: str) -> str | None:
    """A shorter form of `text`; None where too few lines are tests, or their percentages do not count them."""
    lines = text.split("\n")
    matches = [_LINE.match(line) if line.endswith("%]") else None for line in lines]
    found = [match for match in matches if match is not None]
    if len(found) < LEAST_TESTS:
        return None
    column = Counter(len(match[0]) for match in found if len(match["fill"]) > 1).most_common(1)
    edge = column[0][0] if column else len(_MARK)
    total = _total(found)
    if total is None or not total >= LEAST_TESTS:
        return None
    out = [f"{TITLE}{total} tests, percent to column {edge}]"]
    group, done = "", 0
    for line, match in zip(lines, matches, strict=True):
        if match is not None:
            row = _row(match["name"], match["verdict"])
            if row is not None and _written(match["group"], row, done + 1, total, edge) == line:
                if match["group"] != group:
                    group = match["group"]
                    out.append(group)
                out.append(row)
                done += 1
                continue
        if group:
            out.append(_END)
            group = ""
        out.append("\\" + line if line.startswith("\\") or _GROUP.match(line) is not None else line)
    return "\n".join(out) if done >= LEAST_TESTS else None


def decode(pressed: str) -> str:
    """What `encode` was given. Raises ValueError for a text that it cannot have made."""
    title, _, rest = pressed.partition("\n")
    match = _TITLE.fullmatch(title)
    if match is None:
        raise ValueError("not a test run")
    total, edge = int(match[1]), int(match[2])
    if not total:
        raise ValueError("a run without tests")
    out: list[str] = []
    group, done = "", 0
    for line in rest.split("\n"):
        if _GROUP.match(line) is not None and not line.startswith("\\"):
            group = line
        elif group and line == _END:
            group = ""
        elif group:
            done += 1
            out.append(_written(group, line, done, total, edge))
        else:
            out.append(line[1:] if line.startswith("\\") else line)
    return "\n".join(out)


def _row(name: str, verdict: str) -> str | None:
    """How a test is written below its group; None for a name that would be taken for something else."""
    row = name if verdict == _PASSED and _SAID.search(name) is None else f"{name} {verdict}"
    return None if row == _END or _GROUP.match(row) is not None else row


def _written(group: str, row: str, done: int, total: int, edge: int) -> str:
    """The whole line: the verdict, and how many of all tests were done, in percent, at the terminal's edge."""
    said = row if _SAID.search(row) is not None else f"{row} {_PASSED}"
    percent = f" [{done * 100 // total:3d}%]"
    return f"{group}{said}".ljust(max(0, edge - len(percent))) + percent


def _total(found: list[re.Match[str]]) -> int | None:
    """How many tests there are, if the percentages say so: a count that every one of them fits."""
    low, high = 1, 10_000_000
    for done, match in enumerate(found, 1):
        percent = int(match["percent"])
        # percent <= done * 100 / total < percent + 1
        low = max(low, done * 100 // (percent + 1) + 1)
        if percent:
            high = min(high, done * 100 // percent)
    return low if low <= high < 10_000_000 else None
