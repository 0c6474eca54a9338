r"""What `git diff --stat` prints, alone or below each commit, with the number first and no columns.

     lib/net/pool.py | 127 +++++++++-----      [changed files: lines, then name]
     README.md       |   2 +-              →   127 lib/net/pool.py +++++++++-----
     3 files changed, …                        2 README.md +-
                                                3 files changed, …

A block's longest name and longest number tell how wide its columns were; a block that was laid out otherwise keeps its
look, each line behind a `\`. All other lines stay, behind a `\` where they could be taken for one of these.
"""

from __future__ import annotations

import re

TITLE = "[changed files: "
LEAST_ROWS = 3
_FIRST_LINE = f"{TITLE}lines, then name]"
# Bounded: a block of many rows is laid out as wide as its widest.
_NAME = r"\S{1,400}(?: => \S{1,400})?"
_ROW = re.compile(rf" ({_NAME}) +\| +(\d{{1,10}}|Bin)(| .*)")
_SHORT = re.compile(rf"(\d{{1,10}}|Bin) ({_NAME})(| .*)")

Row = tuple[str, str, str]
"""A file's name, the number of its lines, and the rest of the line."""


def encode(text: str) -> str | None:
    """The text with narrow columns, or None where it has none to make narrow. Cost: linear."""
    lines = text.split("\n")
    out = [_FIRST_LINE]
    found = at = 0
    while at < len(lines):
        end = at
        rows: list[Row] = []
        while end < len(lines) and (match := _ROW.fullmatch(lines[end])) is not None:
            rows.append((match[1], match[2], match[3]))
            end += 1
        if not rows:
            line = lines[at]
            out.append("\\" + line if line[:1] == "\\" or _SHORT.fullmatch(line) else line)
            at += 1
            continue
        short = [f"{number} {name}{rest}" for name, number, rest in rows]
        if _aligned(rows) == lines[at:end] and list(map(_row, short)) == rows:
            out += short
            found += len(rows)
        else:
            out += ["\\" + line for line in lines[at:end]]
        at = end
    return "\n".join(out) if found >= LEAST_ROWS else None


def decode(pressed: str) -> str:
    """What `encode` was given. Raises ValueError for a text that it cannot have made."""
    lines = pressed.split("\n")
    if lines[0] != _FIRST_LINE:
        raise ValueError("not a list of changed files")
    out: list[str] = []
    rows: list[Row] = []
    for line in lines[1:]:
        if (row := _row(line)) is not None:
            rows.append(row)
            continue
        out += _aligned(rows)
        rows = []
        out.append(line[1:] if line[:1] == "\\" else line)
    return "\n".join(out + _aligned(rows))


def _row(line: str) -> Row | None:
    """What a short line says."""
    match = _SHORT.fullmatch(line)
    return None if match is None else (match[2], match[1], match[3])


def _aligned(rows: list[Row]) -> list[str]:
    """The rows of one block as git lays them out."""
    if not rows:
        return []
    wide = max(len(name) for name, _, _ in rows)
    digits = max(len(number) for _, number, _ in rows)
    return [f" {name:<{wide}} | {number:>{digits}}{rest}" for name, number, rest in rows]
