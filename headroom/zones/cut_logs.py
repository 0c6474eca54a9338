"""Logs, builds and test runs: what went wrong stays whole, and one line of every kind; the many alike are counted.

Always kept: every line that tells of an error or of how a run ended (lines that are equal but for their times: the
first three and the last), summaries, the first and last lines, and one specimen of every template that is rare.
"""

from __future__ import annotations

import re

from headroom.zones import gaps, signs
from headroom.zones.gaps import Cut, Gap

TITLE = "[excerpt of a log: errors, rare lines and ends as they were; lines between … say what is left out]"
LEAST_LINES = 30
_FIRST = 4  # lines kept at the start
_LAST = 6  # lines kept at the end
_RARE = 2  # a template with no more lines than this is rare: all of them stay
_TRACES = 3  # stack traces kept whole
_TRACE_LINES = 40  # lines of a trace
_ALIKE = 4  # equal errors shown: the first ones and the last
_CONTEXT_FOR = 25  # errors that get the lines around them
_TEMPLATE = 70  # characters of a template in a note

_TIME = re.compile(
    r"\W{0,3}(?:[A-Z][a-z]{2} {1,2}\d{1,2} )?(?:\d{4}[-/.]\d\d[-/.]\d\d|\d{10,13}\b|\d\d[-/]\d\d)?[T :_]?"
    r"(?:\d\d:\d\d:\d\d)?(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?\W{0,3}"
)
_STATED = frozenset(
    ["status", "code", "rc", "level", "exit", "severity", "state", "result"]
)  # values with these names tell kinds apart
_TRACE = re.compile(
    r"\s{0,20}(?:Traceback \(most recent call last\)|at [\w.$<>]{1,200}[( ])|goroutine \d|\s{2,8}\d{1,3}: "
)


def cut(text: str) -> Cut | None:
    """The lines of `text` that matter; None where nothing much can go. Cost: linear."""
    lines = text.split("\n")
    if len(lines) < LEAST_LINES:
        return None
    templates = _templates(lines)
    kept = _keep(lines, templates)
    out, told = gaps.write(lines, kept, lambda gap: _about(templates, gap), least=2)
    if not told:
        return None
    return Cut(TITLE, "\n".join(out), "log cut", told, len(lines))


def _about(templates: list[str], gap: Gap) -> str:
    """The commonest templates of a gap, where it is long enough for that to tell more than it costs."""
    if gap.count < 4:
        return ""
    most = 1 if gap.count < 12 else 3
    seen = [gaps.shorten(template, _TEMPLATE) for template in templates[gap.first - 1 : gap.last] if template]
    return gaps.commonest(seen, most)


def _templates(lines: list[str]) -> list[str]:
    """Each line with what varies as `<>`: first all words with digits or signs in them; where that leaves too many
    templates, also words that few lines have."""
    words = [_plain_words(line[: signs.LOOK].split()) for line in lines]
    fine = [_join(row) for row in words]
    if len(set(fine)) <= max(20, len(lines) // 8):
        return fine
    having: dict[str, int] = {}
    for row in words:
        for word in set(row):
            having[word] = having.get(word, 0) + 1
    least = max(3, len(lines) // 60)
    return [_join([word if having[word] >= least else "<>" for word in row]) for row in words]


def _plain_words(words: list[str]) -> list[str]:
    """The words of a line without what varies. A status stays: 404 is another kind of line than 200."""
    plain = [_plain(word) for word in words]
    for at in range(1, len(words)):
        if len(words[at]) == 3 and words[at].isdecimal() and words[at] >= "100":
            before = words[at - 1]
            if before.endswith('"') or before.startswith("HTTP/") or before.rstrip(":=").lower() in _STATED:
                plain[at] = words[at]
    return plain


def _plain(word: str) -> str:
    """The word, if it is one; its name, if it is `name=value`; else `<>`."""
    if word.isalpha():
        return word
    bare = word.strip("[](){}<>:,;.\"'*!?-=")
    if not bare:
        return word if len(word) < 8 else "<>"
    if bare.isalpha():
        return word
    name, sign, _ = word.partition("=")
    if sign and len(word) < 24 and name.lower() in _STATED:
        return word
    return f"{name}=<>" if sign and name.replace("_", "").isalpha() else "<>"


def _join(words: list[str]) -> str:
    """The words in one line, runs of `<>` as one."""
    out: list[str] = []
    for word in words:
        if word != "<>" or not out or out[-1] != "<>":
            out.append(word)
    return " ".join(out)


def _keep(lines: list[str], templates: list[str]) -> bytearray:
    kept = bytearray(len(lines))
    size = len(lines)
    for at in (*range(min(_FIRST, size)), *range(max(0, size - _LAST), size)):
        kept[at] = 1
    _keep_specimens(templates, kept)
    errors: dict[str, list[int]] = {}
    warned: set[str] = set()
    for at, line in enumerate(lines):
        if signs.is_error(line):
            errors.setdefault(_untimed(line), []).append(at)
        elif signs.is_exit(line) or signs.is_summary(line):
            kept[at] = 1
        elif signs.is_warning(line) and templates[at] not in warned:
            warned.add(templates[at])
            kept[at] = 1
    around = 2 if sum(map(len, errors.values())) <= _CONTEXT_FOR else 0
    for places in errors.values():
        shown = places if len(places) <= _ALIKE else [*places[: _ALIKE - 1], places[-1]]
        for at in shown:
            for near in range(max(0, at - around), min(size, at + around + 1)):
                kept[near] = 1
            if at + 1 < size and signs.names_a_place(lines[at + 1]):
                kept[at + 1] = 1
    _keep_traces(lines, kept)
    return kept


def _keep_specimens(templates: list[str], kept: bytearray) -> None:
    """Every line of a rare template, the first of any other."""
    counts: dict[str, int] = {}
    for template in templates:
        counts[template] = counts.get(template, 0) + 1
    seen: set[str] = set()
    for at, template in enumerate(templates):
        if template and (counts[template] <= _RARE or template not in seen):
            kept[at] = 1
            seen.add(template)


def _untimed(line: str) -> str:
    match = _TIME.match(line)
    return line[match.end() :] if match else line


def _keep_traces(lines: list[str], kept: bytearray) -> None:
    """The first traces whole. Of others what is kept already: the line that names the error, and their first."""
    whole = 0
    at = 0
    seen: set[str] = set()
    while at < len(lines):
        if _TRACE.match(lines[at]) is None:
            at += 1
            continue
        begin = at
        at += 1
        while at < len(lines) and at - begin < _TRACE_LINES and lines[at][:1] in (" ", "\t"):
            at += 1
        body = "\n".join(lines[begin:at])
        if at - begin >= 2 and whole < _TRACES and body not in seen:
            whole += 1
            seen.add(body)
            kept[begin : min(at + 1, len(lines))] = b"\x01" * (min(at + 1, len(lines)) - begin)
        else:
            kept[begin] = 1
