r"""Path lists (find, ls, Glob, `rg -l`, `grep -c`) as folders with their files, and tree(1) drawings as indentation.

    /srv/app/api                    [paths: folder then its files; all under /srv/app/]
    /srv/app/api/__init__.py        api/ . __init__.py users.py
    /srv/app/api/users.py      →    web/ index.html main.css
    /srv/app/web/index.html         web/img/logo.svg
    /srv/app/web/main.css           /srv/app/web/my notes.txt
    /srv/app/web/img/logo.svg
    /srv/app/web/my notes.txt

A line whose first word ends in a slash is a folder and the names in it; as the folder, `.` is the one that all are
under; as a name, `.` is the folder itself (`./` with its slash). One word with a slash is one path. Where the first
line says so (`ls -R`), a word that ends in a colon is a line, and the names after it are the lines below it. The order
is kept: a folder that comes again gets another line. All else stands as it was, behind a `|` where it could be taken
for one of these; the first line says so then.

    .                               [paths: tree, one blank a level; was "│   ├── "]
    ├── api                         .
    │   ├── __init__.py        →     api
    │   └── users.py                  __init__.py
    └── web                           users.py
                                     web

There, lines that are no part of the drawing stay, behind a `|` where they begin with a blank.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

TITLE = "[paths: "
LEAST_ROWS = 3

_HEADS = '; after "name:" what is below it'
_ESCAPES = "; | before other lines"
_FOLDERS = re.compile(rf"\[paths: folder then its files(?:; all under (\S*/))?({_HEADS})?({re.escape(_ESCAPES)})?\]")
# The four forms of a pressed line. No name holds a blank or a slash but its last character.
_GROUP = re.compile(r"(?!\|)(\.|\S*/)((?: [^\s/]+/?)+)")
_HEADED = re.compile(r"(?!\|)(\S+:)((?: [^\s/]+/?)+)")
_SINGLE = re.compile(r"(?!\|)[^\s/]*/\S*")
_PATH = re.compile(r"(?!\|)(\S*/)?([^\s/]+/?)")
_HEADING = re.compile(r"(?!\|)\S+:")
_ROOT_COST = 24  # characters: a root must save more
_BARE_GAIN = 3  # characters that a name without a folder saves in a line of such

_DRAWINGS = {
    pipe + tee: (pipe, tee, corner, gap)
    for pipe, tee, corner, gap in (
        ("│   ", "├── ", "└── ", "    "),
        ("│\xa0\xa0 ", "├── ", "└── ", "    "),
        ("│  ", "├─ ", "└─ ", "   "),
        ("|   ", "|-- ", "`-- ", "    "),
        ("|   ", "+-- ", "\\-- ", "    "),
    )
}
_TREE = re.compile(
    r'\[paths: tree, one blank a level; was "([^"\n]+)"(?:; cut inside levels? ([0-9]{1,6}(?:,[0-9]{1,6})*))?\]'
)

Item = tuple[str, str, str]
"""A line, and where it is a path: its folder and its name. The name of any other line is empty."""


def encode(text: str) -> str | None:
    """The list by folders or the tree by levels, or None where `text` is neither."""
    return _encode_tree(text) or _encode_list(text)


def decode(pressed: str) -> str:
    """What `encode` was given. Raises ValueError for a text that it cannot have made."""
    lines = pressed.split("\n")
    if (title := _FOLDERS.fullmatch(lines[0])) is not None:
        return "\n".join(_decode_list(lines[1:], title[1] or "", title[2] is not None))
    if (title := _TREE.fullmatch(lines[0])) is not None and title[1] in _DRAWINGS:
        return "\n".join(_decode_tree(lines[1:], title[1], _levels(title[2])))
    raise ValueError("not a list of paths")


# Lists.


def _encode_list(text: str) -> str | None:
    items = [_item(line) for line in text.split("\n")]
    _join_folders(items)
    folders = [folder for _, folder, name in items if name and folder]
    bare = sum(1 for _, folder, name in items if name and not folder)
    if len(folders) + bare < LEAST_ROWS:
        return None
    root = _common_folder(folders, bare)
    if root:
        # What has no folder is not under the root.
        items = [(line, folder, name if folder else "") for line, folder, name in items]
    runs = _runs(items)
    headed = any(not items[at][2] for at, end in runs if end > at + 1)
    out: list[str] = []
    escaped = False
    for at, end in runs:
        line, folder, name = items[at]
        names = " ".join([item[2] for item in items[at + (not name) : end]])
        short = folder[len(root) :]
        if not name and end > at + 1:
            out.append(f"{line} {names}")
        elif name and end == at + 1 and line.startswith(root) and _SINGLE.fullmatch(line, len(root)):
            out.append(line[len(root) :])
        elif name and (end > at + 1 or root) and short[:1] != "|":
            out.append(f"{short or '.'} {names}")
        else:
            for other, _, _ in items[at:end]:
                ours = _looks_ours(other, root, headed)
                escaped = escaped or ours
                out.append("|" + other if ours else other)
    if not root and len(runs) == len(items):
        return None
    under = f"; all under {root}" if root else ""
    title = f"{TITLE}folder then its files{under}{_HEADS if headed else ''}{_ESCAPES if escaped else ''}]"
    return "\n".join([title, *out])


def _runs(items: list[Item]) -> list[tuple[int, int]]:
    """Begin and end of what becomes one line: names in one folder, a heading and the names below it, any other line."""
    runs: list[tuple[int, int]] = []
    at = 0
    while at < len(items):
        line, folder, name = items[at]
        end = at + 1
        if name or _HEADING.fullmatch(line):
            while end < len(items) and items[end][2] and items[end][1] == folder:
                end += 1
        runs.append((at, end))
        at = end
    return runs


def _looks_ours(line: str, root: str, headed: bool) -> bool:
    """Whether a line that is no path would be read as one."""
    if line[:1] == "|" or _GROUP.fullmatch(line) is not None:
        return True
    return bool((headed and _HEADED.fullmatch(line)) or (root and _SINGLE.fullmatch(line)))


def _decode_list(lines: list[str], root: str, headed: bool) -> list[str]:
    out: list[str] = []
    for line in lines:
        if line[:1] == "|":
            out.append(line[1:])
        elif (group := _GROUP.fullmatch(line)) is not None:
            folder = root if group[1] == "." else root + group[1]
            for name in group[2][1:].split(" "):
                if name in (".", "./"):
                    if not folder:
                        raise ValueError("there is no folder to name")
                    out.append(folder[: len(folder) + len(name) - 2])
                else:
                    out.append(folder + name)
        elif headed and (group := _HEADED.fullmatch(line)) is not None:
            out.append(group[1])
            out += group[2][1:].split(" ")
        elif root and _SINGLE.fullmatch(line):
            out.append(root + line)
        else:
            out.append(line)
    return out


def _item(line: str) -> Item:
    match = _PATH.fullmatch(line)
    # Addresses and Windows paths are not taken apart.
    if match is None or match[2] in (".", "./") or line[-1] == ":" or "://" in line or "\\" in line:
        return line, "", ""
    return line, match[1] or "", match[2]


def _join_folders(items: list[Item]) -> None:
    """A folder that is listed right before what is in it becomes a name in itself: `.`, or `./` with its slash."""
    below = ""
    for index in range(len(items) - 1, -1, -1):
        line, folder, name = items[index]
        if below and (name or line == "."):
            if line == below:
                items[index] = line, below, "./"
            elif len(line) == len(below) - 1 and below.startswith(line):
                items[index] = line, below, "."
        _, folder, name = items[index]
        below = folder if name else ""


def shared_folder(names: Sequence[str]) -> str:
    """The longest folder that all `names` lie under, with its slash; empty where there is none. Cost: linear."""
    low, high = min(names), max(names)
    length = 0
    for a, b in zip(low, high, strict=False):
        if a != b:
            break
        length += 1
    return low[: low.rfind("/", 0, length) + 1]


def _common_folder(folders: list[str], bare: int) -> str:
    """The longest folder that all lie under; empty where naming it, and leaving out `bare` names, would not pay."""
    if not folders:
        return ""
    root = shared_folder(folders)
    lines = 1 + sum(before != after for before, after in pairwise(folders))
    return root if len(root) * (lines - 1) > _ROOT_COST + bare * _BARE_GAIN else ""


# Trees.


def _encode_tree(text: str) -> str | None:
    for spelled, drawing in _DRAWINGS.items():
        if drawing[1] in text or drawing[2] in text:
            if drawing[0] not in text and drawing[0].replace(" ", "\xa0", 2) in text:
                continue
            pressed = _encode_drawing(text.split("\n"), spelled)
            if pressed is not None:
                return pressed
    return None


def _encode_drawing(lines: list[str], spelled: str) -> str | None:
    pipe, tee, corner, gap = _DRAWINGS[spelled]
    width = len(pipe)
    out: list[str] = []
    last = ""
    count = 0
    for line in lines:
        at = 0
        while line.startswith((pipe, gap), at):
            at += width
        if line.startswith((tee, corner), at) and line[at + width : at + width + 1] not in ("", " "):
            out.append(" " * (at // width + 1) + line[at + width :])
            last = line
            count += 1
        else:
            out.append("|" + line if line[:1] in (" ", "|") else line)
    if count < LEAST_ROWS:
        return None
    # Where a drawing is cut off, its last line shows which levels would have gone on.
    levels = []
    at = 0
    while last.startswith((pipe, gap), at):
        if last.startswith(pipe, at):
            levels.append(at // width + 1)
        at += width
    if last.startswith(tee, at):
        levels.append(at // width + 1)
    cut = f"; cut inside level{'s' if len(levels) > 1 else ''} {','.join(map(str, levels))}" if levels else ""
    if _decode_tree(out, spelled, set(levels)) != lines:
        return None
    return "\n".join([f'{TITLE}tree, one blank a level; was "{spelled}"{cut}]', *out])


def _levels(spelled: str | None) -> set[int]:
    return set(map(int, spelled.split(","))) if spelled else set()


def _decode_tree(lines: list[str], spelled: str, cut: set[int]) -> list[str]:
    pipe, tee, corner, gap = _DRAWINGS[spelled]
    out: list[str] = []
    below: list[bool] = []  # for each level, whether a line of it follows before any of a level above
    ends = True
    for line in reversed(lines):
        name = line.lstrip(" ")
        depth = len(line) - len(name)
        if not depth:
            out.append(line[1:] if line[:1] == "|" else line)
            below = []
            continue
        if ends:
            ends = False
            below = [level + 1 in cut for level in range(depth)]
        if len(below) < depth:
            below += [False] * (depth - len(below))
        branch = tee if below[depth - 1] else corner
        out.append("".join([pipe if more else gap for more in below[: depth - 1]]) + branch + name)
        del below[depth:]
        below[depth - 1] = True
    return out[::-1]
