"""Lists of paths: of each folder some entries, and how many of which kind the others are.

    lib/x/alpha.py
    … 140 lines left out (2–141): lib/x/ 138 *.py, 2 *.txt …

Every folder stays named, in an entry or in a note.
"""

from __future__ import annotations

from headroom.zones import gaps
from headroom.zones.gaps import Cut, Gap

TITLE = "[excerpt of a list of files: lines between … say which folders the others are in, and what they are]"
LEAST_LINES = 24
_SHOWN = 3  # entries shown of a run in one folder
_WANTED = 0.45  # of the characters; with more, folders are taken together
_TOGETHER = 3  # levels of folders that are taken together, at most
_BRANCHES = "│├└─ |`-\u00a0"


def cut(text: str) -> Cut | None:
    """Some entries of each folder. None where that is most of them. Cost: linear."""
    lines = text.split("\n")
    if len(lines) < LEAST_LINES:
        return None
    folders = _folders(lines)
    best: Cut | None = None
    for up in range(_TOGETHER + 1):
        kept = _keep(lines, [_ancestor(folder, up) for folder in folders])
        out, told = gaps.write(lines, kept, lambda gap: _about(lines, folders, gap), least=3, whole=True)
        made = Cut(TITLE, "\n".join(out), "paths cut", told, len(lines))
        if told and (best is None or len(made.body) < 0.8 * len(best.body)):
            best = made
        if len(made.body) < _WANTED * len(text):
            break
    return best


def _folders(lines: list[str]) -> list[str]:
    """The folder of each line: the path before its last slash, the heading above, or how far it is indented."""
    folders: list[str] = []
    heading = ""
    for line in lines:
        path = line.rstrip("/")
        branch = len(line) - len(line.lstrip(_BRANCHES)) if line[:1] in _BRANCHES else 0
        slash = path.rfind("/")
        if branch:
            folders.append(f"{branch}")
        elif line.endswith(":") or not line:
            heading = line[:-1]
            folders.append("")
        elif slash > 0:
            folders.append(path[path.rfind(" ", 0, slash) + 1 : slash + 1])
        else:
            folders.append(heading and heading + "/")
    return folders


def _ancestor(folder: str, up: int) -> str:
    for _ in range(up):
        slash = folder.rfind("/", 0, -1)
        if slash <= 0:
            return folder
        folder = folder[: slash + 1]
    return folder


def _keep(lines: list[str], groups: list[str]) -> bytearray:
    """The first entries of each run of lines in one group, its last, and the first of each ending."""
    kept = bytearray(len(lines))
    at = 0
    while at < len(lines):
        begin = at
        group = groups[at]
        endings: set[str] = set()
        while at < len(lines) and groups[at] == group:
            ending = _ending(lines[at])
            if at - begin < _SHOWN - 1 or (ending not in endings and len(endings) < _SHOWN) or not group:
                kept[at] = 1
            endings.add(ending)
            at += 1
        kept[at - 1] = 1
    return kept


def _ending(line: str) -> str:
    """`*.py` of a name that ends so, else what it is: a folder or a name."""
    if line.endswith("/"):
        return "folders"
    name = line[line.rfind("/") + 1 :]
    dot = name.rfind(".")
    ending = name[dot:]
    return f"*{ending}" if dot > 0 and len(ending) <= 8 and ending[1:].isalnum() else "others"


def _about(lines: list[str], folders: list[str], gap: Gap) -> str:
    """The folders of the missing lines: the one, with what is in it; or several, with how many are in each."""
    begin, end = gap.first - 1, gap.last
    missing: dict[str, list[str]] = {}
    for line, folder in zip(lines[begin:end], folders[begin:end], strict=True):
        missing.setdefault("" if folder.isdigit() else folder, []).append(_ending(line))
    if len(missing) == 1:
        folder, endings = next(iter(missing.items()))
        return f"{folder} {gaps.commonest(endings, 3)}".strip()
    shared = _shared(list(missing))
    told = [f"{folder[len(shared) :] or './'} {len(endings)}" for folder, endings in missing.items()]
    return f"in {shared or 'folders'}: {', '.join(told)}"


def _shared(folders: list[str]) -> str:
    """The folder that all are in."""
    first, last = min(folders), max(folders)
    size = 0
    for a, b in zip(first, last, strict=False):
        if a != b:
            break
        size += 1
    return first[: first.rfind("/", 0, size) + 1]
