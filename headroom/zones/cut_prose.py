"""Prose: headings, the first lines of each paragraph, the first items of lists, and what has numbers or warnings in it.

Nothing is rewritten: lines stand as they stood. Of paragraphs on one long line the first sentences stay.
"""

from __future__ import annotations

import re

from headroom.zones import gaps, signs, tags
from headroom.zones.gaps import Cut, Gap

TITLE = "[excerpt of a text: lines as they were; … says what is left out]"
LEAST_LINES = 16
_LONG = 500  # characters of a paragraph on one line of which all are shown
_SENTENCES = 2  # sentences shown of a longer one
_PARAGRAPH = 2  # lines shown of a paragraph
_ITEMS = 4  # items shown of a list
_FENCED = 6  # lines shown of a block of code
_SECTION = 3  # paragraphs of a section that are shown
_AMPLE = 120  # lines shown before, of each section, only the heading and the line under it are
_HEADING = re.compile(
    r"#{1,6} \S|[A-Z][A-Z0-9 /&-]{2,60}\Z|\S.{0,80}:\Z|(?:\d{1,3}\.){1,4} {1,3}\S.{0,70}\Z|(?:={3,}|-{3,}|~{3,})\Z"
)
_ITEM = re.compile(r"\s{0,20}(?:[-*+•] |\d{1,3}[.)] |-{1,2}\w)")
_MUST = re.compile(
    r"\b(?:must|never|always|warning|note|important|required|caution|breaking|TODO|FIXME)\b", re.IGNORECASE
)
_END = re.compile(r"[.!?][\"')\]]? {1,2}(?=[A-Z0-9\"'(`*])")


def cut(text: str) -> Cut | None:
    """The lines of `text` that say most. None where it is short, or where a tag of a client's would be lost."""
    guarded = tags.protect(text)
    if guarded.is_blank:
        return None
    made = _cut(guarded.text, _numbers(text, guarded))
    if made is None:
        return None
    body = tags.restore(made.body, guarded)
    of = text.count("\n") + 1 if made.unit == "line" else made.of
    return None if body is None else Cut(made.title, body, made.form, made.gaps, of, made.unit)


def cut_paragraphs(text: str) -> Cut | None:
    """As `cut`, of a text that has paragraphs; lines without any are a machine's."""
    return cut(text) if text.count("\n\n") * 12 > text.count("\n") else None


def _numbers(text: str, guarded: tags.Protected) -> list[int]:
    """The number each line of the guarded text has in `text`: a placeholder may stand for several lines."""
    if not guarded.blocks:
        return list(range(1, text.count("\n") + 2))
    numbers: list[int] = []
    blocks = iter(guarded.blocks)
    placeholder, block = next(blocks)
    number = 1
    for line in guarded.text.split("\n"):
        numbers.append(number)
        number += 1
        at = line.find(placeholder)
        while at >= 0:
            number += block.count("\n")
            at += len(placeholder)
            placeholder, block = next(blocks, (tags.NONE, ""))
            at = line.find(placeholder, at)
    return numbers


def _cut(text: str, numbers: list[int]) -> Cut | None:
    lines = text.split("\n")
    long = sum(len(line) for line in lines if len(line) > _LONG)
    if long * 2 > len(text):
        return _cut_sentences(lines)
    if len(lines) < LEAST_LINES:
        return None
    out, told = gaps.write(lines, _keep(lines), lambda _: "", least=3, numbers=numbers)
    return Cut(TITLE, "\n".join(out), "prose cut", told, len(lines)) if told else None


def _keep(lines: list[str]) -> bytearray:
    """Which lines say most, paragraph by paragraph."""
    kept = bytearray(len(lines))
    at = paragraphs = items = shown_lines = 0
    while at < len(lines):
        line = lines[at]
        if not line.strip():
            at += 1
            continue
        if line.lstrip()[:3] in ("```", "~~~"):
            at = _fence(lines, at, kept, _FENCED if shown_lines < _AMPLE else 2)
            continue
        begin = at
        while at < len(lines) and lines[at].strip() and lines[at].lstrip()[:3] not in ("```", "~~~"):
            at += 1
        heading = _HEADING.match(lines[begin]) is not None and lines[begin][:1] != " "
        if heading:
            paragraphs = items = 0
        is_list = _ITEM.match(lines[begin]) is not None
        ample = shown_lines < _AMPLE
        shown = (_PARAGRAPH if paragraphs < _SECTION else 1) if ample else int(paragraphs == 0)
        if is_list and paragraphs >= _SECTION + _ITEMS:
            shown = 0
        paragraphs += 1
        for place in range(begin, at):
            item = _ITEM.match(lines[place]) is not None
            items += item
            if (
                place - begin < shown + heading
                or (item and ample and items <= _ITEMS)
                or _matters(lines[place])
                or (_HEADING.match(lines[place]) is not None and lines[place][:1] not in (" ", "\t"))
            ):
                kept[place] = 1
        if not is_list:
            items = 0
        shown_lines += sum(kept[begin:at])
    return kept


def _fence(lines: list[str], at: int, kept: bytearray, shown: int) -> int:
    """A block of code from line `at` on: its beginning and its end. Returns where it is over."""
    begin = at
    mark = lines[at].lstrip()[:3]
    at += 1
    while at < len(lines) and lines[at].lstrip()[:3] != mark:
        at += 1
    end = min(at + 1, len(lines))
    for place in range(begin, min(begin + shown, end)):
        kept[place] = 1
    kept[end - 1] = 1
    return end


def _matters(line: str) -> bool:
    return (
        tags.PLACEHOLDER in line
        or signs.is_error(line)
        or signs.is_exit(line)
        or signs.names_a_place(line)
        or _MUST.search(line[: signs.LOOK]) is not None
    )


def _cut_sentences(lines: list[str]) -> Cut | None:
    """Paragraphs on one line each: the first sentences of the long ones, and those that matter."""
    out: list[str] = []
    gaps_told: list[Gap] = []
    total = 0
    for line in lines:
        if len(line) <= _LONG:
            out.append(line)
            continue
        sentences = _sentences(line)
        kept = bytearray(at < _SENTENCES or _matters(part) for at, part in enumerate(sentences))
        missing = [gap for gap in gaps.gaps_of(kept) if gap.count > 1]
        parts: list[str] = []
        at = 0
        for gap in missing:
            parts.extend(sentences[at : gap.first - 1])
            parts.append(f"… {gap.count} sentences left out … ")
            at = gap.last
            gaps_told.append(gap)
        parts.extend(sentences[at:])
        total += len(sentences)
        out.append("".join(parts))
    return Cut(TITLE, "\n".join(out), "prose cut", tuple(gaps_told), total, "sentence") if gaps_told else None


def _sentences(line: str) -> list[str]:
    parts: list[str] = []
    at = 0
    for match in _END.finditer(line):
        parts.append(line[at : match.end()])
        at = match.end()
    parts.append(line[at:])
    return [part for part in parts if part]
