"""What in a line of a log, a build or a table must not get lost: errors, warnings, exit statuses, summaries.

Words count only as words: an error in the name of a file, a test or a key is none, nor is a count of 0 errors.
"""

from __future__ import annotations

import re

LOOK = 4000  # characters of a line that are searched; what lies behind is not seen

_BAD = (
    r"errors?|errored|err!|fail(?:ed|ure|ures|s|ing)?|fatal|critical|panic(?:ked)?|exception|traceback"
    r"|abort(?:ed|ing)?|"
    r"denied|rejected|refused|crash(?:ed)?|segfault|segmentation fault|timeout|timed out|undefined reference|"
    r"not ok|emerg|unreachable|killed|oom|core dumped|broken pipe|unhandled|uncaught"
)
# One of these is in whatever `_ERROR` or `_NAMED` finds, and to look for them is far cheaper.
_BAD_PARTS = (
    "err", "fail", "fatal", "critical", "panic", "exception", "traceback", "abort", "denied", "rejected", "refused",
    "crash", "fault", "timeout", "timed out", "undefined ref", "not ok", "emerg", "unreachable", "killed", "oom",
    "core dumped", "broken pipe", "unhandled", "uncaught", "interrupt",
)  # fmt: skip
_EXIT_PARTS = ("exit", "returncode", "build ", "make", "killed by")  # the same for `_EXIT`
_NOT_ZERO = r"""(?!["']?\s{0,2}[:=]\s{0,2}(?:0(?![.\d])|null|none|nil|false|\[\]|""|''|-(?!\S)))"""
_ERROR = re.compile(
    rf"(?<![\w./$-])(?<!\b0 )(?<!\bno )(?:{_BAD})(?![\w$]|[./-]\w|\(\)){_NOT_ZERO}", re.IGNORECASE | re.ASCII
)
_NAMED = re.compile(
    r"(?<![\w/])(?:\w{1,60}\.){0,6}[A-Z]\w{0,60}?(?:Error|Exception|Failure|Interrupt)(?=[:\s)]|\Z)", re.ASCII
)
_MARKED = re.compile(r"E  +\S|\s{0,8}\^{1,}|[EF] [\w./]{1,200}:\d|E\d{4} \d\d:|\s{0,8}[✗✖×✘] ")
_WARNING = re.compile(
    r"(?<![\w./$-])(?<!\b0 )(?<!\bno )(?:warn(?:ings?)?|deprecat(?:ed|ion)|\w{1,40}Warning)(?![\w$]|[./-]\w)"
    + _NOT_ZERO,
    re.IGNORECASE | re.ASCII,
)
_EXIT = re.compile(
    r"\b(?:process |command )?(?:exit(?:ed)? (?:with )?(?:code|status)|exit(?:ed)? with)\b|\breturncode\b"
    r"|\bBUILD (?:SUCCESS|FAILURE)|\bmake(?:\[\d+\])?: \*\*\*|\bkilled by signal\b",
    re.IGNORECASE | re.ASCII,
)
_SUMMARY = re.compile(
    r"\s{0,4}={3,}.*\w"
    r"|\s{0,4}(?:\d+|no) (?:passed|failed|skipped|errors?|warnings?|tests?|problems?|packages?|files? )\b"
    r"|\s{0,4}(?:Tests?|Test Suites?|Suites?|Ran|Total|TOTAL|Summary|Found|Finished|Done|Time|Snapshots):? .{0,20}\d"
    r"|\s{0,4}(?:OK|FAILED|PASS|FAIL)(?: \(.{0,80}\))?\Z|(?:ok|FAIL|PASS)\s+[\w./-]{1,200}\s+[\d.]+m?s|test result: ",
    re.ASCII,
)


_PLACE = re.compile(r"\.\w{1,5}:\d")


def names_a_place(line: str) -> bool:
    """Whether a line of a file is named, which is where a reader goes next: `src/a.rs:12`."""
    return _PLACE.search(line[:LOOK]) is not None


def is_error(line: str) -> bool:
    """Whether the line tells of an error or a failure."""
    return is_bad_value(line) or _MARKED.match(line[:LOOK]) is not None


def is_bad_value(value: str) -> bool:
    """Whether a value (not a key) tells of an error."""
    look = value[:LOOK]
    if not any(map(look.lower().__contains__, _BAD_PARTS)):
        return False
    return _ERROR.search(look) is not None or _NAMED.search(look) is not None


def is_warning(line: str) -> bool:
    """Whether the line is a warning."""
    return _WARNING.search(line[:LOOK]) is not None


def is_exit(line: str) -> bool:
    """Whether the line tells how a run ended."""
    look = line[:LOOK]
    return any(map(look.lower().__contains__, _EXIT_PARTS)) and _EXIT.search(look) is not None


def is_summary(line: str) -> bool:
    """Whether the line sums up a run: so many tests, so many failed."""
    return _SUMMARY.match(line[:300]) is not None
