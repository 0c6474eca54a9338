"""What kind of text a tool has printed. Linear, with a bounded look-ahead; no pattern can backtrack."""

from __future__ import annotations

import re
from enum import StrEnum

LOOK_AHEAD = 200  # lines
LINE_LOOK = 2000  # characters of one line that are looked at


class Kind(StrEnum):
    """Kinds that presses and floors are chosen by."""

    JSON = "json"
    JSON_LINES = "json_lines"
    DIFF = "diff"
    GIT = "git"
    HTML = "html"
    SEARCH = "search"
    LINT = "lint"
    PATHS = "paths"
    NUMBERED = "numbered"
    LOG = "log"
    SOURCE = "source"
    TABLE = "table"
    LINES = "lines"
    TEXT = "text"


# A path (no blank, no colon, neither a time of day nor a date with an hour), a line number, and the separator.
HIT = re.compile(r"(?!\d+:|\[?\d{4}-\d\d-\d\dT\d\d:)([^\s:]+):(\d+):")
_CONTEXT = re.compile(r"(?!\d{4}-\d\d-\d\d)[^\s:]+-\d+-")
_DIFF_HEAD = re.compile(
    r"diff --git |diff --combined |diff --cc |--- (?:a/|/dev/null)|@@ -\d+(?:,\d+)? \+\d+(?:,\d+)? @@"
)
_SAID = re.compile(r"[^\s:]+:\d+:(?:\d+:)? ?(?:error|warning|note|fatal|info|hint|[A-Z]+\d+\b)")
_MARKDOWN = re.compile(r"\s*(?:#{1,6} |[-*+] |\d+\. |>|\|)")
_COMMIT = re.compile(r"commit [0-9a-f]{7,40}\b|\^?[0-9a-f]{7,40} (?:\S+ +)?\([^()]{1,80} \d{4}-\d\d-\d\d ")
_JSON_LINE = re.compile(r"[\[{].*[\]}]\s*\Z")
_JSON_BEGIN = re.compile(
    r'\s{0,200}(?:\{\s{0,200}"(?:[^"\\\n]|\\.){1,200}"\s{0,9}:|\[\s{0,200}(?:\{\s{0,200}"|"[^"\n]{0,200}",))'
)
_JSON_MEMBER = re.compile(
    r'\s*(?:"(?:[^"\\]|\\.)*"(?:: ?(?:"(?:[^"\\]|\\.)*"|[\[{\d\-tfn][^"]*))?,?|[\]}][\]}]*,?|[\[{])\s*\Z'
)
_HTML = re.compile(r"\s*<(?:!doctype html|html[\s>])", re.IGNORECASE)
_GUTTER = re.compile(r" {0,9}\d{1,9}(?:\t|\u2192|: |\| ?| \|)|\d{1,9}\Z|\d{1,9}:\Z")
_PATH = re.compile(r"(?:\./)?[^\s:|<>\"'(){}=,;]*/[^\s:|<>\"'(){}=,;]*:?(?::\d+)?\Z|[\w.@+-]+\.\w{1,8}\Z")
_BRANCH = re.compile(r"[\u2502 \u00a0|]*(?:[\u251c\u2514][\u2500]{2}|[|`]--) ")
_LOG_LINE = re.compile(
    r"\W{0,3}(?:\d{4}[-/]\d\d[-/]\d\d|\d\d[-/:]\d\d[-/:]\d\d|[A-Z][a-z]{2} [ \d]\d \d\d:|\d{1,3}(?:\.\d{1,3}){3} "
    r"|\d{10,13}\b|\d\d-\d\d \d\d:|\[ *\d+\.\d{3,6}\]"
    r"|(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|FATAL|CRITICAL|PASS|PASSED|FAIL|FAILED|SKIPPED|ok|not ok)\b"
    r"|(?:=== RUN|--- PASS|--- FAIL|npm|Get:|Hit:|Compiling|Downloading|Requirement|Collecting|Selecting|Preparing"
    r"|Unpacking|Setting up|Installing|checking|import time:|make\[)|\d+ (?:silly|verbose|http|info|warn|error) )"
    r"|.{0,60}\b(?:INFO|WARN|WARNING|ERROR|DEBUG|FATAL|PASSED|FAILED)\b|.{0,200}\.\.\. (?:ok|yes|no|FAIL|ERROR)\s*\Z"
)
_CODE = re.compile(
    r"\s*(?:def |class |import (?!time:)|from \w+ import|@\w+|function\b|const |let |var |export |#include|#define"
    r"|package |func |fn |use \w+::|pub |public |private |protected |static |return\b|if[ (].*[:{]\s*\Z"
    r"|for[ (].*[:{]\s*\Z|while[ (]|else\b|try[: {]|except\b|struct |enum |impl |type \w+ |interface "
    r"|[}\])];?,?\s*\Z|//|/\*|\*/)"
)
_GAP = re.compile(r"\S {2,}\S")
_DELIMITERS = ",\t;|"
LEAST_LINES = 20  # lines before repetition means anything
_ENOUGH = 3  # lines that make a list or a table


class _Census:
    """How many of a text's first lines look like what. One pass, one look per line and pattern."""

    __slots__ = (
        "branches",
        "code",
        "context",
        "gaps",
        "gutters",
        "heads",
        "hits",
        "lines",
        "logs",
        "marks",
        "paths",
        "rows",
        "said",
        "words",
    )

    def __init__(self, lines: list[str]) -> None:
        self.lines = self.heads = self.hits = self.context = self.rows = self.gutters = 0
        self.paths = self.branches = self.logs = self.code = self.gaps = self.said = self.marks = self.words = 0
        for line in lines:
            if not line or line.isspace() or line == "--":
                continue
            self.lines += 1
            if _DIFF_HEAD.match(line):
                self.heads += 1
            elif HIT.match(line):
                self.hits += 1
                self.said += _SAID.match(line) is not None
            elif _CONTEXT.match(line):
                self.context += 1
            self.rows += _JSON_LINE.match(line) is not None or (len(line) == LINE_LOOK and line[:2] == '{"')
            self.gutters += _GUTTER.match(line) is not None
            self.paths += _PATH.match(line) is not None
            self.branches += _BRANCH.match(line) is not None
            self.logs += _LOG_LINE.match(line) is not None
            self.code += _CODE.match(line) is not None
            self.marks += _MARKDOWN.match(line) is not None
            self.words += line.count(" ") + 1
            self.gaps += line[0] != " " and _GAP.search(line) is not None

    def most(self, count: int, share: float) -> bool:
        """Whether at least `share` of the lines were counted, and enough of them to speak of a list."""
        return count >= _ENOUGH and count >= share * self.lines


def sniff(text: str) -> Kind:
    """The kind of `text`, by its first `LOOK_AHEAD` lines. JSON is judged by its ends; its press does the parsing."""
    first = text.lstrip()[:1] if text[:1].isspace() else text[:1]
    if first and first in "[{":
        last = text.rstrip()[-1:] if text[-1:].isspace() else text[-1:]
        if (first, last) in (("[", "]"), ("{", "}")) and not _is_json_lines(text):
            return Kind.JSON
    lines = _first_lines(text)
    census = _Census(lines)
    if census.heads >= 2 or (census.heads and text.startswith(("diff ", "--- "))):
        return Kind.GIT if _COMMIT.match(text) else Kind.DIFF
    if _HTML.match(text):
        return Kind.HTML
    if _COMMIT.match(text):
        return Kind.GIT
    if census.most(census.rows, 0.6):
        return Kind.JSON_LINES
    if _is_json_part(text, lines):
        return Kind.JSON
    if census.hits and (census.hits + census.context) * 3 >= census.lines:
        return Kind.LINT if census.said * 2 >= census.hits else Kind.SEARCH
    if census.most(census.gutters, 0.7):
        return Kind.NUMBERED
    if census.most(census.branches, 0.6) or census.most(census.paths, 0.6):
        return Kind.PATHS
    if census.most(census.logs, 0.3):
        return Kind.LOG
    if _has_keys(text):
        return Kind.JSON
    if census.most(census.code, 0.12):
        return Kind.SOURCE
    if census.most(census.gaps, 0.5) or _is_delimited(lines):
        return Kind.TABLE
    # Lines of several words that are neither code nor Markdown: a machine's, if they turn out to repeat themselves.
    plain = census.lines >= LEAST_LINES and not census.code and not census.most(census.marks, 0.1)
    if plain and 4 * census.lines <= census.words <= 30 * census.lines:
        return Kind.LINES
    return Kind.TEXT


def _is_json_lines(text: str) -> bool:
    """Whether the first two lines are each a value by themselves."""
    end = text.find("\n")
    if end < 0 or end + 1 >= len(text.rstrip()):
        return False
    second = text[end + 1 : end + 1 + LINE_LOOK].lstrip(" ")
    return text[:end].rstrip()[-1:] in "]}" and len(text[:end].strip()) > 1 and second[:1] in "[{"


def _is_json_part(text: str, lines: list[str]) -> bool:
    """Whether most lines are those of a JSON document that was cut or has other lines around it."""
    if _JSON_BEGIN.match(text):
        return True
    written = [line for line in lines if line and not line.isspace()]
    members = sum(_JSON_MEMBER.match(line) is not None for line in written)
    return members >= _ENOUGH and members * 10 >= len(written) * 6


def _has_keys(text: str) -> bool:
    """Whether there are as many keys and commas as in JSON without line breaks."""
    look = text[: LINE_LOOK * 10]
    return (look.count('":') + look.count('","')) * 60 > len(look) > 60 * look.count("\n")


def _is_delimited(lines: list[str]) -> bool:
    """Whether the lines have one delimiter, nearly all equally often, and are no prose."""
    head = [line for line in lines[:40] if line]
    if len(head) < _ENOUGH:
        return False
    for delimiter in _DELIMITERS:
        columns = head[0].count(delimiter)
        if columns >= (2 if delimiter == "," else 1):
            same = sum(line.count(delimiter) == columns for line in head)
            if same >= 0.8 * len(head):
                return True
    return False


def _first_lines(text: str) -> list[str]:
    lines: list[str] = []
    at = 0
    while len(lines) < LOOK_AHEAD and at < len(text):
        end = text.find("\n", at)
        if end < 0:
            end = len(text)
        lines.append(text[at : min(end, at + LINE_LOOK)])
        at = end + 1
    return lines
