"""Diffs: every changed line of real source, with one line around it; lock files and generated files by their counts.

Hunk headers are written anew, so that they say what stands below them. Of a file with very many changed lines the
long runs of added or removed ones are cut to their ends and the lines that define something.
"""

from __future__ import annotations

import re

from headroom.zones import gaps, signs
from headroom.zones.gaps import Cut, Gap

TITLE = "[excerpt of a diff: {} lines of context left out, hunk headers written anew; … says what else is left out]"
LEAST_LINES = 30
_AROUND = 1  # lines of context kept on either side of a change
_HUGE = 120  # changed lines of a file of which all are shown
_RUN = 24  # lines of a run of added (or removed) lines that are all shown, where the file has very many
_ENDS = 8  # lines shown at the ends of a longer one
_HUNK = re.compile(r"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@")
_GENERATED = re.compile(
    r"(?:package-lock\.json|npm-shrinkwrap\.json|yarn\.lock|pnpm-lock\.yaml|[\w.-]*\.lock|Pipfile\.lock|go\.sum"
    r"|composer\.lock|packages\.lock\.json|uv\.lock|\.min\.(?:js|css)|\.map|\.snap|\.svg|_pb2\.py|\.pb\.go"
    r"|(?:^|/)(?:dist|vendor|node_modules|generated)/.{0,400})\Z"
)
_DEFINES = re.compile(
    r"[+-]\s{0,40}(?:export |pub |public |async |static |default |private |protected )*"
    r"(?:def|class|func|fn|function|struct|interface|type|enum|trait|impl|module|package|const|#define|#{1,4} )"
)


class _Hunk:
    """One hunk while it is read: its header, its lines, and where they begin in the diff."""

    __slots__ = ("begin", "lines", "new", "old", "rest")

    def __init__(self, header: re.Match[str], begin: int) -> None:
        self.old, self.new = int(header[1]), int(header[3])
        self.rest = header.string[header.end() :]
        self.begin = begin
        self.lines: list[str] = []


def cut(text: str) -> Cut | None:
    """The changes of a diff. None where it has nothing around them. Cost: linear."""
    lines = text.split("\n")
    if len(lines) < LEAST_LINES:
        return None
    kept_context = 0
    out: list[str] = []
    told: list[Gap] = []
    at = 0
    for begin, end in _files(lines):
        out.extend(lines[at:begin])
        at = end
        name = _name(lines, begin, end)
        first = next((place for place in range(begin, end) if _HUNK.match(lines[place])), end)
        if _GENERATED.search(name) and end - first > 4:
            out.extend(lines[begin:first])
            gap = Gap(first + 1, end)
            told.append(gap)
            added = sum(line[:1] == "+" for line in lines[first:end])
            removed = sum(line[:1] == "-" for line in lines[first:end])
            out.append(gaps.tell(gap, f"{name} changed (+{added} −{removed})"))
            continue
        section, missing, context = _section(lines, begin, end)
        out.extend(section)
        told.extend(missing)
        kept_context += context
    out.extend(lines[at:])
    if not told and not kept_context:
        return None
    return Cut(
        TITLE.format(kept_context),
        "\n".join(out),
        "diff cut",
        (*told, *((Gap(1, kept_context),) if kept_context else ())),
        len(lines),
    )


def _files(lines: list[str]) -> list[tuple[int, int]]:
    """Where the parts of single files begin and end."""
    begins = [at for at, line in enumerate(lines) if line.startswith("diff --git ")]
    if not begins:
        begins = [
            at for at in range(len(lines) - 1) if lines[at].startswith("--- ") and lines[at + 1].startswith("+++ ")
        ]
    return list(zip(begins, [*begins[1:], len(lines)], strict=False))


def _name(lines: list[str], begin: int, end: int) -> str:
    for line in lines[begin : min(end, begin + 8)]:
        if line.startswith("+++ ") and "/dev/null" not in line:
            return line[4:].split("\t")[0].removeprefix("b/")
        if line.startswith("diff --git "):
            name = line.rsplit(" b/", 1)[-1]
            if name != line:
                return name
    return lines[begin][4:].split("\t")[0]


def _section(lines: list[str], begin: int, end: int) -> tuple[list[str], list[Gap], int]:
    """One file's part: its lines, the gaps told in it, and how many lines of context are gone."""
    out: list[str] = []
    told: list[Gap] = []
    context = 0
    changed = sum(line[:1] in ("+", "-") for line in lines[begin:end])
    at = begin
    while at < end:
        header = _HUNK.match(lines[at])
        if header is None:
            out.append(lines[at])
            at += 1
            continue
        hunk = _Hunk(header, at)
        old, new = int(header[2] or 1), int(header[4] or 1)
        at += 1
        while at < end and (old > 0 or new > 0) and lines[at][:1] in (" ", "+", "-", "\\", ""):
            sign = lines[at][:1] or " "
            old -= sign in " -"
            new -= sign in " +"
            hunk.lines.append(lines[at])
            at += 1
        if at < end and lines[at][:1] == "\\":
            hunk.lines.append(lines[at])
            at += 1
        if old or new:  # cut off, or no hunk: left as it is
            out.append(lines[hunk.begin])
            out.extend(hunk.lines)
            continue
        written, gone = _hunk(hunk, told if changed > _HUGE else None)
        out.extend(written)
        context += gone
    return out, told, context


def _hunk(hunk: _Hunk, told: list[Gap] | None) -> tuple[list[str], int]:
    """A hunk as one or more hunks with little context, and how many lines of context are gone."""
    size = len(hunk.lines)
    near = bytearray(size)
    for at, line in enumerate(hunk.lines):
        if line[:1] in ("+", "-", "\\"):
            for place in range(max(0, at - _AROUND), min(size, at + _AROUND + 1)):
                near[place] = 1
    # Two lines between two changes take no fewer words as a hunk of their own.
    for gap in gaps.gaps_of(near):
        if gap.first > 1 and gap.last < size and gap.count < 3:
            near[gap.first - 1 : gap.last] = b"\x01" * gap.count
    out: list[str] = []
    old, new, at = hunk.old, hunk.new, 0
    rest = hunk.rest
    while at < size:
        if not near[at]:
            old, new, at = old + 1, new + 1, at + 1
            continue
        begin = at
        while at < size and near[at]:
            at += 1
        run = hunk.lines[begin:at]
        olds = sum(line[:1] in (" ", "-", "") for line in run)
        news = sum(line[:1] in (" ", "+", "") for line in run)
        out.append(f"@@ -{_range(old, olds)} +{_range(new, news)} @@{rest}")
        rest = ""
        out.extend(run if told is None else _runs(run, hunk.begin + 1 + begin, told))
        old, new = old + olds, new + news
    return out, size - sum(near)


def _range(begin: int, count: int) -> str:
    return str(begin) if count == 1 else f"{begin},{count}"


def _runs(run: list[str], begin: int, told: list[Gap]) -> list[str]:
    """Of long runs of added or of removed lines the ends, the definitions and the errors."""
    kept = bytearray(b"\x01" * len(run))
    at = 0
    while at < len(run):
        first = at
        while at < len(run) and run[at][:1] == run[first][:1]:
            at += 1
        if run[first][:1] in ("+", "-") and at - first > _RUN:
            for place in range(first + _ENDS, at - _ENDS // 2):
                kept[place] = _DEFINES.match(run[place]) is not None or signs.is_error(run[place][1:])
    numbers = range(begin + 1, begin + 1 + len(run))
    out, missing = gaps.write(run, kept, lambda gap: _signs(run, gap), least=3, numbers=numbers)
    told.extend(missing)
    return out


def _signs(run: list[str], gap: Gap) -> str:
    added = sum(line[:1] == "+" for line in run[gap.first - 1 : gap.last])
    return "added" if added == gap.count else "removed" if not added else f"{added} added, {gap.count - added} removed"
