r"""Search listings (`path:line:text`, with `path-line-text` context), grouped under their paths.

    lib/net/pool.py:12:def take(self):          [matches by file; paths under lib/net/]
    lib/net/pool.py-13-    self.n += 1          pool.py
    --                                      →   12:def take(self):
    lib/net/dns.py:4:def take(name):            13-    self.n += 1
                                                --
                                                dns.py
                                                4:def take(name):

Every character after the line number stays. Lines that are no match (blank ones, warnings, `Binary file … matches`)
keep their place behind a `|`.
"""

from __future__ import annotations

import re
from collections import Counter

from headroom.zones.detect import HIT
from headroom.zones.paths import shared_folder

TITLE = "[matches by file"
_TITLE = re.compile(r"\[matches by file(?:; paths under ([^\n\]]+))?\]")
_NUMBERED = re.compile(r"\d+[:-]")
_FIRST_WORD = re.compile(r"\s*[^\s(]*")
REPETITIVE = 0.6  # of the lines begin with one of two words where they are a machine's
_SHORTEST_FOLDER = 4  # characters; a shorter common folder does not pay for being named


def encode(text: str) -> str | None:
    """The grouped listing, or None where `text` is not one or cannot be written so that it reads back."""
    if text.endswith("\n"):
        grouped = encode(text[:-1]) if len(text) > 1 and text[-2] != "\n" else None
        return None if grouped is None else grouped + "\n"
    rows = _rows(text.split("\n"))
    if rows is None:
        return None
    folder = _common_folder([path for path, _ in rows if path])
    out = [f"{TITLE}; paths under {folder}]" if folder else f"{TITLE}]"]
    current = ""
    for path, rest in rows:
        if not path:
            out.append(rest if rest == "--" else "|" + rest)
        else:
            if path != current:
                heading = path[len(folder) :]
                if not _is_heading(heading):
                    return None
                out.append(heading)
                current = path
            out.append(rest)
    return "\n".join(out)


def decode(pressed: str) -> str:
    """What `encode` was given. Raises ValueError for a text that it cannot have made."""
    if pressed.endswith("\n"):
        return decode(pressed[:-1]) + "\n"
    lines = pressed.split("\n")
    match = _TITLE.fullmatch(lines[0])
    if match is None:
        raise ValueError("not a grouped search listing")
    folder = match[1] or ""
    out: list[str] = []
    path = ""
    for line in lines[1:]:
        if line.startswith("|"):
            out.append(line[1:])
        elif line == "--":
            out.append(line)
        elif numbered := _NUMBERED.match(line):
            separator = line[numbered.end() - 1]
            out.append(f"{folder}{path}{separator}{line}")
        else:
            path = line
    return "\n".join(out)


def is_repetitive(grouped: str) -> bool:
    """Whether most lines of a grouped listing begin with the same word or two: imports, one call, a lint's codes."""
    first: Counter[str] = Counter()
    for line in grouped.split("\n"):
        if (numbered := _NUMBERED.match(line)) is not None:
            first[_FIRST_WORD.match(line, numbered.end())[0].strip()] += 1  # type: ignore[index]
    return sum(count for _, count in first.most_common(2)) >= REPETITIVE * first.total() > 0


def _is_heading(heading: str) -> bool:
    """Whether a path stands out among the lines below it."""
    return bool(heading) and heading[0] != "|" and heading != "--" and not _NUMBERED.match(heading)


def _rows(lines: list[str]) -> list[tuple[str, str]] | None:
    """(path, what follows its separator) for matches and context; ("", line) for all else. None without a match."""
    matches = [HIT.match(line) for line in lines]
    rows: list[tuple[str, str]] = []
    path = ""
    found = False
    ahead = 0
    for index, (line, match) in enumerate(zip(lines, matches, strict=True)):
        if match is not None:
            path = match[1]
            found = True
            rows.append((path, line[len(path) + 1 :]))
            continue
        if line == "--":
            path = ""
        # Context before the first match of a group belongs to the path of that match.
        elif not path:
            ahead = max(ahead, index)
            while ahead < len(lines) and matches[ahead] is None and lines[ahead] != "--":
                ahead += 1
            after = matches[ahead] if ahead < len(lines) else None
            path = after[1] if after is not None and _is_context(line, after[1]) else ""
        if path and _is_context(line, path):
            rows.append((path, line[len(path) + 1 :]))
        else:
            rows.append(("", line))
            if line != "--":
                path = path if line else ""
    return rows if found else None


def _is_context(line: str, path: str) -> bool:
    """Whether `line` is `path-12-text`."""
    if not line.startswith(path + "-"):
        return False
    number = _NUMBERED.match(line, len(path) + 1)
    return number is not None and line[number.end() - 1] == "-"


def _common_folder(paths: list[str]) -> str:
    """The longest folder that all paths lie under, with its slash; empty where it is too short to be worth naming."""
    folder = shared_folder(paths)
    return folder if len(folder) >= _SHORTEST_FOLDER and "]" not in folder else ""
