"""What kind of text a tool has printed. Linear, with a bounded look-ahead; no pattern can backtrack."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from functools import cached_property

import msgspec

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
    OUTLINE = "outline"
    LINES = "lines"
    TEXT = "text"


# A path (no blank, no colon, neither a time of day nor a date with an hour), a line number, and the separator.
HIT = re.compile(r"(?!\d++:|\[?\d{4}-\d\d-\d\dT\d\d:)([^\s:]++):(\d++):")
_CLOCK = re.compile(r"\d\d:\d\d:\d\d\b", re.ASCII)  # what may look like the number of a line
_CONTEXT = re.compile(r"(?!\[?\d{4}-\d\d-\d\d)[^\s:]+-\d+-")
# A match without a line number: a path with a folder or an ending, and the separator.
BARE_HIT = re.compile(r"(?!\w++://)(?=[^\s:]*[/.])([^\s:]++):(?![\d:/]|\s*\Z)")
_IN_GROUP = re.compile(r"\d+[:-]|  Line \d+: |L\d+: ")
_HEADING = re.compile(r"(?:File: )?(?=[^\s|]*[/.\\])[^\s|]+\Z")
_DIFF_HEAD = re.compile(
    r"diff --git |diff --combined |diff --cc |--- (?:a/|/dev/null)|@@ -\d+(?:,\d+)? \+\d+(?:,\d+)? @@"
)
_SAID = re.compile(r"[^\s:]++:\d++:(?:\d++:)? ?(?:error|warning|note|fatal|info|hint|[A-Z]+\d+\b)")
# What compilers, linters and test runners print around the code that they quote.
_REPORT = re.compile(
    r"\s*+(?:--> |\d++ \| |\|(?: +[~^|]|\Z)|[~^]+[~^ -]*\Z|\^-+|= (?:note|help): |_{5,} .* _{5,}\Z|={5,} .* ={5,}\Z)"
    r"|E {3,}|>  |(?:fatal )?(?:error|warning|note)(?:\[[A-Z0-9]+\])?: |In (?:file included from|\S+ line \d+:)"
    r"|[^\s:(]++(?::\d++:|\(\d+,\d+\):)(?:\d+:)? ?(?:(?:fatal )?error|warning|note|info|in \w|\w+Error\b)"
    r"|\S+: (?:In function|At top level)"
    r"|[^\s:]++:\d++(?::\d++)?: (?:fatal |internal )?(?:error|warning|note|in )|\s*+--> [^\s:]++:\d++:\d++\Z"
    r"|[^\s(]++\(\d+,\d+\): (?:error|warning) |(?:fatal )?(?:error|warning)(?:\[\w+\])?: "
    r"|\s*+\^[-~^]*(?: .{0,200})?\Z|\s*+\d*+ ?\|\s+[\^|~-][~^_-]*(?: .{0,200})?\Z"
    r"|\s++File \"[^\"]{1,300}\", line \d+|Traceback \(most recent|E {3}|>  |={5,} .{0,200} ={5,}\Z"
    r"|_{5,} .{0,200} _{5,}\Z|In file included from |In \S+ line \d+:\Z|\s++at .{1,200}:\d+:\d+\)?\Z"
)
# What compilers and linters print above or instead of a hit: rustc's and ruff's arrow, tsc's brackets.
_SAID_AT = re.compile(
    r" *+--> [^\s:]++:\d++:\d++\Z|[^\s:()]++\(\d+,\d+\): (?:error|warning)|[^\s:]++:\d++:\d++ - (?:error|warning)"
    r"|In \S+ line \d+:\Z"
)
_MARKDOWN = re.compile(r"\s*+(?:#{1,6} |[-*+] |\d+\. |>|\|)")
_COMMIT = re.compile(r"commit [0-9a-f]{7,40}\b|\^?[0-9a-f]{7,40} (?:\S+ +)?\([^()]{1,80} \d{4}-\d\d-\d\d ")
_STAT = re.compile(r" \S+(?: => \S+)? +\| +(?:\d+|Bin)(?: [-+0-9]|\Z)")
_JSON_LINE = re.compile(r"[\[{].*[\]}]\s*\Z")
_JSON_BEGIN = re.compile(
    r'\s{0,200}(?:\{\s{0,200}"(?:[^"\\\n]|\\.){1,200}"\s{0,9}:|\[\s{0,200}(?:\{\s{0,200}"|"[^"\n]{0,200}",))'
)
_JSON_MEMBER = re.compile(
    r'\s*(?:"(?:[^"\\]|\\.)*"(?:: ?(?:"(?:[^"\\]|\\.)*"|[\[{\d\-tfn][^"]*))?,?|[\]}][\]}]*,?|[\[{])\s*\Z'
)
_HTML = re.compile(r"\s*<(?:!doctype html|html[\s>])", re.IGNORECASE)
_GUTTER = re.compile(r" {0,9}+\d{1,9}+(?:\t|\u2192|: |\| ?| \|)|\d{1,9}\Z|\d{1,9}:\Z")
_PATH = re.compile(r"(?=[^\s:|<>\"'(){}=,;]*/)[^\s:|<>\"'(){}=,;]++:?(?::\d++)?\Z|[\w.@+-]+\.\w{1,8}\Z")
_BRANCH = re.compile(r"[\u2502 \u00a0|]*(?:[\u251c\u2514][\u2500]{2}|[|`]--) ")
_LOG_LINE = re.compile(
    r"\W{0,3}+(?:\d{4}[-/]\d\d[-/]\d\d|\d\d[-/:]\d\d[-/:]\d\d|[A-Z][a-z]{2} [ \d]\d \d\d:|\d{1,3}(?:\.\d{1,3}){3} "
    r"|\d{10,13}\b|\d\d-\d\d \d\d:|npm|Get:|Hit:|Requirement|checking|import time:|make\["
    r"|\d+ (?:silly|verbose|http|info|warn|error) )"
    r"|\W{0,3}(?:\[ *\d+\.\d{3,6}\]|=== RUN|--- PASS|--- FAIL)"
    r"|\W{0,12}+(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|FATAL|CRITICAL"
    r"|PASS|PASSED|FAIL|FAILED|SKIPPED|ok|not ok)\b"
    r"| {0,12}+(?:[A-Z][a-z]{2,14}(?:ing|ed)\b|Setting up"
    r"|[\u2713\u2714\u2715\u2717\u00d7\u221a\u25cb\u25cf\u279c\u27a4] )"
    r"| {0,4}+(?:[A-Z]{2,8}  +\S|(?:gcc|g\+\+|cc|c\+\+|clang\+*|ar|ld|rustc|javac|libtool|install|mkdir) .{0,200} -)"
    r"|#\d+ |Step \d+/\d+ :|> Task :|\[ *\d+(?:%|/\d+)\] |-- [A-Z][a-z]+|remote: |(?:TASK|PLAY|RUNNING HANDLER) \["
    r"|(?:ok|changed|skipping|fatal|failed|included): \["
    r"|\S{1,80} \d{4}-\d\d-\d\d[ T]\d\d:"
)
# What may stand later in a log's line, and what is in every line that has it: to look for these is far cheaper.
_LOG_WORD = re.compile(
    r".{0,60}\b(?:INFO|WARN|WARNING|ERROR|DEBUG|FATAL|PASSED|FAILED)\b|.{0,200}\.\.\. (?:ok|yes|no|FAIL|ERROR)\s*\Z"
)
_LOG_WORDS = ("INFO", "WARN", "ERROR", "DEBUG", "FATAL", "PASSED", "FAILED", "... ")
_CODE = re.compile(
    r"\s*+(?:def |class |import (?!time:)|from \w+ import|@\w+|function\b|const |let |var |export |#include|#define"
    r"|package |func |fn |use \w+::|pub |public |private |protected |static |return\b|if[ (].*[:{]\s*\Z"
    r"|for[ (].*[:{]\s*\Z|while[ (]|else\b|try[: {]|except\b|struct |enum |impl |type \w+ |interface "
    r"|[}\])];?,?\s*\Z|//|/\*|\*/)"
)
_OUTLINE = re.compile(r" {0,200}+- \S[^\[]{0,300}(?:\[[\w=-]{1,60}\] ){0,4}\[\w{1,40}=\w{1,40}\]", re.ASCII)
_GAP = re.compile(r"\S {2,}\S")
_RULE = re.compile(r"[| ]?(?:[-=:]{3,}|[\u2500\u2501\u2550]{3,}|[-+|= \u2500-\u256c]{5,})[-=:+| \u2500-\u257f]*\r?\Z")
_WORD = re.compile(r"(?<=[^ ]) +(?=[^ ])")
_JUNCTIONS = (
    "-+",
    "-|",
    "|-",
    "| -",
    "| :",
    "|:",
    "\u2500\u253c",
    "\u2500\u252c",
    "\u2501\u2533",
    "\u2501\u2547",
    "\u2550\u2566",
)
_RULED = 40  # lines that a ruled one must be among
_BARS = ("|", "\u2502", "\u2503", "\u2551")
_ALIGNED_WIDTH = 200  # characters of a line
_DELIMITERS = ",\t;|"
_NAME = re.compile(r"\"?[^\W\d][\w .()/%$#-]{0,60}\"?\Z")  # of a column
LEAST_LINES = 12  # lines before repetition means anything
LEAST_SAID = 1 / 25  # of a compiler's lines say where; the others show the code, or what else it has to say of it
LEAST_GROUPS = 2  # files with their matches below
REPORT_SHARE = 0.12  # of the lines that must be a tool's own, for the rest to be the source it shows
_ENOUGH = 3  # lines that make a list or a table


class _Census:
    """How many of a text's first lines look like what. Each count is made when it is first asked for: most kinds are
    told by the first few."""

    def __init__(self, lines: list[str]) -> None:
        self._all = lines
        self._written = [line for line in lines if line and not line.isspace() and line != "--"]
        self.lines = len(self._written)

    def _matching(self, pattern: re.Pattern[str]) -> int:
        matches = [*map(pattern.match, self._written)]
        return len(matches) - matches.count(None)

    @cached_property
    def heads(self) -> int:
        return sum([line[0] in "d-@" and _DIFF_HEAD.match(line) is not None for line in self._written])

    @cached_property
    def _places(self) -> tuple[int, int, int, int]:
        """Lines that name a place, what tools say of places, lines around them, and lines that name only a file."""
        hits = said = context = bare = 0
        path = ""
        for line in self._written:
            if line[0] in "d-@" and _DIFF_HEAD.match(line):
                continue
            colon = ":" in line
            if colon and (hit := HIT.match(line)) and not _CLOCK.match(line, hit.start(2) - 3):
                hits += 1
                said += _SAID.match(line) is not None
            elif colon and _SAID_AT.match(line):
                said += 1
            elif "-" in line and _CONTEXT.match(line):
                context += 1
            elif colon and (found := BARE_HIT.match(line)):
                bare += 1
                path = found[1] + "-"
            elif path and line.startswith(path):
                bare += 1
        return hits, said, context, bare

    @property
    def hits(self) -> int:
        return self._places[0]

    @property
    def said(self) -> int:
        return self._places[1]

    @property
    def context(self) -> int:
        return self._places[2]

    @property
    def bare(self) -> int:
        return self._places[3]

    @cached_property
    def _in_groups(self) -> tuple[int, int]:
        """Lines that begin with a number below a heading, and such headings."""
        grouped = groups = 0
        above = ""
        inside = False
        for line in self._all:
            below = _IN_GROUP.match(line) is not None
            if below:
                grouped += 1
                groups += not inside and _HEADING.match(above) is not None
            above, inside = line, below
        return grouped, groups

    @property
    def grouped(self) -> int:
        return self._in_groups[0]

    @property
    def groups(self) -> int:
        return self._in_groups[1]

    @cached_property
    def rows(self) -> int:
        return sum(
            [
                line[0] in "[{"
                and (_JSON_LINE.match(line) is not None or (len(line) == LINE_LOOK and line[:2] == '{"'))
                for line in self._written
            ]
        )

    @cached_property
    def stats(self) -> int:
        return sum([line[0] == " " and _STAT.match(line) is not None for line in self._written])

    @cached_property
    def gutters(self) -> int:
        return self._matching(_GUTTER)

    @cached_property
    def paths(self) -> int:
        return self._matching(_PATH)

    @cached_property
    def branches(self) -> int:
        return self._matching(_BRANCH)

    @cached_property
    def reports(self) -> int:
        return self._matching(_REPORT)

    @cached_property
    def logs(self) -> int:
        match = _LOG_LINE.match
        others = [line for line in self._written if match(line) is None]
        words = any(map("\n".join(others).__contains__, _LOG_WORDS))
        return self.lines - len(others) + (sum(map(_has_log_word, others)) if words else 0)

    @cached_property
    def code(self) -> int:
        return self._matching(_CODE)

    @cached_property
    def outlines(self) -> int:
        return self._matching(_OUTLINE)

    @cached_property
    def marks(self) -> int:
        return self._matching(_MARKDOWN)

    @cached_property
    def words(self) -> int:
        return sum([line.count(" ") + 1 for line in self._written])

    @cached_property
    def gaps(self) -> int:
        found = 0
        for line in self._written:
            gap = _GAP.search(line) if "  " in line else None
            # Code that begins with blanks has a comment behind some; two gaps are a table's.
            found += gap is not None and (line[0] != " " or _GAP.search(line, gap.end()) is not None)
        return found

    def most(self, count: int, share: float) -> bool:
        """Whether at least `share` of the lines were counted, and enough of them to speak of a list."""
        return count >= _ENOUGH and count >= share * self.lines


class _Look(msgspec.Struct, frozen=True, gc=False):
    """A text, its first lines, and what they look like."""

    text: str
    lines: list[str]
    census: _Census

    def is_history(self) -> bool:
        return _COMMIT.match(self.text) is not None or self.census.most(self.census.stats, 0.5)

    def is_diff(self) -> bool:
        heads = self.census.heads
        return heads >= 2 or (heads > 0 and self.text.startswith(("diff ", "--- ")))

    def has_hits(self) -> bool:
        census = self.census
        return census.hits > 0 and (census.hits + census.context) * 3 >= census.lines

    def says_places(self) -> bool:
        """Whether places are named by a tool that has more to say of them than the line that is there."""
        census = self.census
        # Many lines of another kind between those that name a place are what a tool says about that place.
        mixed = census.lines >= LEAST_LINES and (census.hits + census.context) * 5 < census.lines * 4
        return self.has_hits() and (mixed or census.said * 2 >= census.hits)

    def is_grouped(self) -> bool:
        return self.census.groups >= LEAST_GROUPS and self.census.grouped * 3 >= self.census.lines

    def is_bare_listing(self) -> bool:
        return self.census.most(self.census.bare, 0.8) and self.census.logs * 2 < self.census.lines

    def is_report(self) -> bool:
        census = self.census
        return census.most(census.reports, REPORT_SHARE) and census.marks <= census.reports

    def is_table(self) -> bool:
        return self.census.most(self.census.gaps, 0.5) or _is_delimited(self.lines) or _is_aligned(self.lines)

    def repeats_itself(self) -> bool:
        """Whether lines of several words are hardly ever code or Markdown: a machine's, if they turn out alike."""
        census = self.census
        plain = census.lines >= LEAST_LINES and census.code * 16 <= census.lines
        return plain and not census.most(census.marks, 0.1) and 4 <= census.words / census.lines <= 60


RULES: tuple[tuple[Kind, Callable[[_Look], bool]], ...] = (
    (Kind.GIT, lambda look: look.is_diff() and _COMMIT.match(look.text) is not None),
    (Kind.DIFF, _Look.is_diff),
    (Kind.HTML, lambda look: _HTML.match(look.text) is not None),
    (Kind.GIT, _Look.is_history),
    (Kind.JSON_LINES, lambda look: look.census.most(look.census.rows, 0.6)),
    (Kind.JSON, lambda look: _is_json_part(look.text, look.lines)),
    (Kind.LINT, _Look.says_places),
    (Kind.SEARCH, _Look.has_hits),
    (Kind.LINT, lambda look: look.census.most(look.census.said, LEAST_SAID)),
    (Kind.SEARCH, _Look.is_grouped),
    (Kind.TABLE, lambda look: _has_named_columns(look.lines) or _is_ruled(look.lines)),
    (Kind.NUMBERED, lambda look: look.census.most(look.census.gutters, 0.7)),
    (Kind.PATHS, lambda look: look.census.most(max(look.census.branches, look.census.paths), 0.6)),
    (Kind.SEARCH, _Look.is_bare_listing),
    (Kind.LOG, lambda look: look.census.most(look.census.logs, 0.3)),
    (Kind.LINT, _Look.is_report),
    (Kind.OUTLINE, lambda look: look.census.most(look.census.outlines, 0.4)),
    (Kind.JSON, lambda look: _has_keys(look.text)),
    (Kind.SOURCE, lambda look: look.census.most(look.census.code, 0.12)),
    (Kind.TABLE, _Look.is_table),
    (Kind.LINES, _Look.repeats_itself),
)
"""What a text is: the first kind that it looks like."""


def sniff(text: str, look_ahead: int = LOOK_AHEAD) -> Kind:
    """The kind of `text`, by its first `look_ahead` lines. JSON is judged by its ends; its press does the parsing."""
    first = text.lstrip()[:1] if text[:1].isspace() else text[:1]
    if first and first in "[{":
        last = text.rstrip()[-1:] if text[-1:].isspace() else text[-1:]
        if (first, last) in (("[", "]"), ("{", "}")) and not _is_json_lines(text):
            return Kind.JSON
    lines = _first_lines(text, look_ahead)
    look = _Look(text, lines, _Census(lines))
    return next((kind for kind, fits in RULES if fits(look)), Kind.TEXT)


def line_kind(line: str) -> Kind | None:
    """The kind that a run of lines like `line` would be of; None for what looks like nothing in particular."""
    line = line[:LINE_LOOK]
    if ":" in line and HIT.match(line):
        return Kind.SEARCH
    if line[:1] in "[{" and _JSON_LINE.match(line):
        return Kind.JSON_LINES
    if _GUTTER.match(line):
        return Kind.NUMBERED
    if _PATH.match(line) or _BRANCH.match(line):
        return Kind.PATHS
    return Kind.LOG if _LOG_LINE.match(line) or _has_log_word(line) else None


def _has_log_word(line: str) -> bool:
    return any(map(line.__contains__, _LOG_WORDS)) and _LOG_WORD.match(line) is not None


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


def _is_ruled(lines: list[str]) -> bool:
    """Whether lines have bars, and a ruled line stands under or over one: psql, mysql, Markdown, drawn boxes."""
    text = "\n".join(lines[:_RULED])
    bars = [bar for bar in _BARS if bar in text]
    if not bars:
        return False
    barred = [any(bar in line for bar in bars) for line in lines[:_RULED]]
    if sum(barred) < 0.4 * len(barred):
        return False
    return any(
        any(barred[max(at - 1, 0) : at + 2]) and _RULE.match(line) and any(mark in line for mark in _JUNCTIONS)
        for at, line in enumerate(lines[:_RULED])
    )


def _is_aligned(lines: list[str]) -> bool:
    """Whether words begin at the same places in nearly all lines, at two at least behind the first."""
    head = [line[:_ALIGNED_WIDTH] for line in lines[:40] if line]
    if len(head) < 2 * _ENOUGH:
        return False
    least = 0.9 * len(head)
    places: Counter[int] = Counter()
    for left, line in zip(range(len(head) - 1, -1, -1), head, strict=True):
        places.update([match.end() for match in _WORD.finditer(line)])
        # A line that is left adds at most one to a place. Most texts are told by a few lines.
        if left < least and left % 5 == 0 and sum([count + left >= least for count in places.values()]) < 2:
            return False
    return True


def _has_named_columns(lines: list[str]) -> bool:
    """Whether the first line names columns, and nearly all others have as many cells as it. So neither dates nor
    numbers in the first column make it a log or a gutter."""
    if len(lines) <= _ENOUGH:
        return False
    for delimiter in _DELIMITERS:
        names = lines[0].rstrip("\r").split(delimiter)
        if len(names) > 1 and all(map(_NAME.match, names)):
            rows = [line for line in lines[1:] if line]
            same = sum(line.count(delimiter) == len(names) - 1 for line in rows)
            return len(rows) >= _ENOUGH and same >= 0.9 * len(rows)
    return False


def _first_lines(text: str, count: int) -> list[str]:
    lines = text.split("\n", count)
    if len(lines) > count or not lines[-1]:  # what is behind the first lines, or behind the last line's end
        lines.pop()
    return [line[:LINE_LOOK] for line in lines]
