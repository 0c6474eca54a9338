r"""Unified diffs, of git or plain, with each path stated once and hunk headers without what their bodies tell.

    diff --git a/x/pool.py b/x/pool.py      [diff: === path old..new; @@ new line, context]
    index 1a2b3c4..5d6e7f8 100644           === x/pool.py 1a2b3c4..5d6e7f8
    --- a/x/pool.py                         @@ 12 def take
    +++ b/x/pool.py                         -    n = 1
    @@ -12,2 +12,2 @@ def take          →   +    n = 2
    -    n = 1                                   return n
    +    n = 2
         return n

A header `===` has `new` or `deleted` before the hash of such a file, the mode after the hashes where it is not 100644,
the times in their place for `diff -ru`, and none of these where there was only `---` and `+++`. Where the command and
the folders compared were not `diff --git a/ b/`, the first line names them. A hunk's old line follows from its new one
and the file's hunks before it; where it does not, both stand, old before new. Where its body does not give its counts,
because the text is cut or something follows that could be its body, the hunk's header stays as it was. So does all
else: renames, copies, binary files, changed modes, quoted names, combined diffs, commit messages; behind a `|` where it
could be taken for one of the headers above. Every line of a hunk's body stays as it is; only long runs of added or
of removed lines are without their signs (`folds`), where the first line says so.
"""

from __future__ import annotations

import re
from collections import Counter

from headroom.zones import folds

TITLE = "[diff: "
_FIRST_LINE = f"{TITLE}=== path old..new; @@ new line, context"
_TITLE = re.compile(re.escape(_FIRST_LINE) + r"(?:; was (diff(?: -\S+)*)(?: ([^-\s\"]\S*/) ([^-\s\"]\S*/))?)?\]")

_MODE = "100644"  # of nearly all files; other modes are stated
_LINE = "(0|[1-9][0-9]{0,9})"
_HASH = "([0-9a-f]{4,64})"
_HUNK = re.compile(rf"@@ -{_LINE}(?:,{_LINE})? \+{_LINE}(?:,{_LINE})? @@((?: [^\n]*)?)")
_SHORT_HUNK = re.compile(rf"@@ {_LINE}(?: {_LINE}(?= |\Z))?((?: [^\n]*)?)")
_NUMBER_FIRST = re.compile(rf" {_LINE}(?: |\Z)")
_COMMAND = re.compile(r"(diff(?: -\S+)*) ([^-\s\"]\S*) ([^-\s\"]\S*)")
_INDEX = re.compile(rf"index {_HASH}\.\.{_HASH}(?: ([0-7]{{6}}))?")
_BORN_OR_GONE = re.compile(r"(new|deleted) file mode ([0-7]{6})")
_FILE = re.compile(rf"=== (\S+)(?: (?:{_HASH}\.\.{_HASH}|(new|deleted) {_HASH})(?: ([0-7]{{6}}))?)?")
_TIMED = re.compile(r"=== (\S+)\t([^\t]+)\t([^\t]+)")
_OURS = re.compile(r"=== |@@ [0-9]|\|")
_AFTER_BODY = ("@@ ", "=== ", "diff ")
_BODY = frozenset(" +-\\")


class _Command:
    """What compared: its words, and the folders that the old and the new paths begin with (or none)."""

    __slots__ = ("new", "old", "words")

    def __init__(self, words: str, old: str, new: str) -> None:
        self.words = words
        self.old = old
        self.new = new

    def on(self, path: str) -> str:
        """The line that begins a file's diff."""
        return f"{self.words} {self.old}{path} {self.new}{path}"

    def sides(self, path: str) -> list[str]:
        """The two lines that name a file's old and new version."""
        return [f"--- {self.old}{path}", f"+++ {self.new}{path}"]

    def path(self, line: str) -> str:
        """The path that `line` begins a diff of, empty where it does not begin one of the same path on both sides."""
        match = _COMMAND.fullmatch(line)
        if match is None or not match[2].startswith(self.old):
            return ""
        path = match[2][len(self.old) :]
        return path if path and line == self.on(path) else ""

    @property
    def spelled(self) -> str:
        """What the first line says of it."""
        if (self.words, self.old, self.new) == _USUAL:
            return ""
        return f"; was {self.words} {self.old} {self.new}".rstrip()


_USUAL = ("diff --git", "a/", "b/")


def encode(text: str) -> str | None:
    """The diff with short headers, or None where `text` has none that can be shortened."""
    pressed = encode_headers(text)
    return None if pressed is None else fold(pressed, 0)


def fold(pressed: str, title: int) -> str:
    """`pressed` with long runs folded below its line `title`, which is a pressed diff's first one and then says so."""
    lines = pressed.split("\n")
    folded = folds.fold(lines[title + 1 :])
    if folded is None:
        return pressed
    return "\n".join([*lines[:title], lines[title][:-1] + folds.OPTION + "]", *folded])


def unfold(lines: list[str], title: int) -> list[str]:
    """What the lines were before `fold`. Raises ValueError for lines that it cannot have made."""
    said = folds.OPTION + "]"
    if not lines[title].endswith(said):
        return lines
    return [*lines[:title], lines[title].removesuffix(said) + "]", *folds.unfold(lines[title + 1 :])]


def encode_headers(text: str) -> str | None:
    """As `encode`, with every sign in its place."""
    original = text.split("\n")
    command = _find_command(original)
    lines = _press_files(original, command)
    out = [f"{_FIRST_LINE}{command.spelled}]", *lines]
    after = drift = 0  # where the last hunk's body ended, and by how much the file's lines had moved there
    for index, line in enumerate(lines, 1):
        if line[:4] != "@@ -" or (hunk := _HUNK.fullmatch(line)) is None:
            continue
        end, old_count, new_count = _count(out, index + 1)
        if (hunk[2], hunk[4]) != (_spell(old_count), _spell(new_count)):
            continue
        if index != after:
            drift = 0
        old, new, context = hunk[1], hunk[3], hunk[5]
        follows = int(old) == _old_line(int(new), old_count, new_count, drift)
        out[index] = (
            f"@@ {new}{context}" if follows and not _NUMBER_FIRST.match(context) else f"@@ {old} {new}{context}"
        )
        drift += new_count - old_count
        after = end
    return "\n".join(out) if after or len(lines) < len(original) else None


def decode(pressed: str) -> str:
    """What `encode` was given. Raises ValueError for a text that it cannot have made."""
    lines = unfold(pressed.split("\n"), 0)
    title = _TITLE.fullmatch(lines[0])
    if title is None:
        raise ValueError("not a pressed diff")
    command = _Command(title[1], title[2] or "", title[3] or "") if title[1] else _Command(*_USUAL)
    out: list[str] = []
    after = drift = 0
    for index, line in enumerate(lines[1:], 1):
        if line[:1] == "|":
            out.append(line[1:])
        elif line[:4] == "=== ":
            out += _unpress_file(line, command)
        elif line[:3] == "@@ " and (hunk := _SHORT_HUNK.fullmatch(line)) is not None:
            end, old_count, new_count = _count(lines, index + 1)
            if index != after:
                drift = 0
            new, context = hunk[2] or hunk[1], hunk[3]
            old = hunk[1] if hunk[2] else str(_old_line(int(new), old_count, new_count, drift))
            out.append(f"@@ -{_range(old, old_count)} +{_range(new, new_count)} @@{context}")
            drift += new_count - old_count
            after = end
        else:
            out.append(line)
    return "\n".join(out)


def _count(lines: list[str], begin: int) -> tuple[int, int, int]:
    """Where the hunk's body that begins at `begin` ends, and how many old and new lines it has.

    An empty line is a context line that has lost its blank. At the end it is one only where the diff goes on below;
    elsewhere it is what separates commits.
    """
    old = new = empty = 0
    end = begin
    for index in range(begin, len(lines)):
        line = lines[index]
        if not line:
            empty += 1
            continue
        sign = line[0]
        if empty and (sign in _BODY or line.startswith(_AFTER_BODY)):
            old += empty
            new += empty
            empty = 0
            end = index
        if sign not in _BODY:
            break
        if sign == " ":
            old += 1
            new += 1
        elif sign == "-":
            old += 1
        elif sign == "+":
            new += 1
        end = index + 1
    return end, old, new


def _old_line(new: int, old_count: int, new_count: int, drift: int) -> int:
    """A hunk's old line by its new one. One that has no lines on a side names the line before it there."""
    return new + (new_count == 0) - drift - (old_count == 0)


def _spell(count: int) -> str | None:
    return None if count == 1 else str(count)


def _range(line: str, count: int) -> str:
    return line if count == 1 else f"{line},{count}"


def _find_command(lines: list[str]) -> _Command:
    """`diff --git a/ b/` where that occurs or nothing else does, or the command and folders that occur most."""
    found: Counter[tuple[str, str, str]] = Counter()
    for line in lines:
        if line[:5] != "diff " or (match := _COMMAND.fullmatch(line)) is None:
            continue
        words, old, new = match.groups()
        if words == _USUAL[0] and old[:2] == "a/" and new[:2] == "b/":
            return _Command(*_USUAL)
        if old == new:
            found[words, "", ""] += 1
            continue
        same = 0
        while same < min(len(old), len(new)) and old[-1 - same] == new[-1 - same]:
            same += 1
        slash = old.find("/", len(old) - same)
        if slash >= 0:
            path = old[slash + 1 :]
            found[words, old.removesuffix(path), new.removesuffix(path)] += 1
    return _Command(*(found.most_common(1)[0][0] if found else _USUAL))


def _press_files(lines: list[str], command: _Command) -> list[str]:
    """The lines with file headers short and look-alikes escaped."""
    out: list[str] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        short = ""
        if line[:5] == "diff " and (path := command.path(line)):
            short, taken = _header(lines[at + 1 : at + 5], path, command)
        elif line[:4] == "--- ":
            short, taken = _plain_header(lines, at, command)
        if short:
            out.append(short)
            at += taken
        else:
            out.append("|" + line if _OURS.match(line) else line)
            at += 1
    return out


def _header(head: list[str], path: str, command: _Command) -> tuple[str, int]:
    """The short form of the header that goes on with `head`, and how many lines it stands for; nothing if none."""
    sides = command.sides(path)
    if len(head) >= 2 and head[0][:4] == "--- ":
        short = "\t".join([f"=== {path}", *(line[len(side) + 1 :] for line, side in zip(head, sides, strict=False))])
        timed = all(line.startswith(side + "\t") for line, side in zip(head, sides, strict=False))
        return (short, 3) if timed and _TIMED.fullmatch(short) else ("", 0)
    if len(head) >= 3 and (index := _INDEX.fullmatch(head[0])) is not None and index[3]:
        if head[1:3] != sides:
            return "", 0
        return f"=== {path} {index[1]}..{index[2]}{_mode(index[3])}", 4
    if len(head) < 4 or (kind := _BORN_OR_GONE.fullmatch(head[0])) is None:
        return "", 0
    index = _INDEX.fullmatch(head[1])
    if index is None or index[3]:
        return "", 0
    if kind[1] == "new":
        empty, hashed = index[1], index[2]
        sides[0] = "--- /dev/null"
    else:
        hashed, empty = index[1], index[2]
        sides[1] = "+++ /dev/null"
    if head[2:4] != sides or empty != "0" * len(hashed):
        return "", 0
    return f"=== {path} {kind[1]} {hashed}{_mode(kind[2])}", 5


def _plain_header(lines: list[str], at: int, command: _Command) -> tuple[str, int]:
    path = lines[at][4 + len(command.old) :]
    if not path or any(map(str.isspace, path)) or lines[at : at + 2] != command.sides(path):
        return "", 0
    return (f"=== {path}", 2) if at + 2 < len(lines) and lines[at + 2][:4] == "@@ -" else ("", 0)


def _mode(mode: str) -> str:
    return "" if mode == _MODE else " " + mode


def _unpress_file(line: str, command: _Command) -> list[str]:
    if (timed := _TIMED.fullmatch(line)) is not None:
        sides = command.sides(timed[1])
        return [command.on(timed[1]), f"{sides[0]}\t{timed[2]}", f"{sides[1]}\t{timed[3]}"]
    match = _FILE.fullmatch(line)
    if match is None:
        raise ValueError("not a file header")
    path, old, new, kind, hashed, mode = match.groups()
    mode = mode or _MODE
    sides = command.sides(path)
    if old:
        return [command.on(path), f"index {old}..{new} {mode}", *sides]
    if kind == "new":
        index = f"index {'0' * len(hashed)}..{hashed}"
        sides[0] = "--- /dev/null"
    elif kind == "deleted":
        index = f"index {hashed}..{'0' * len(hashed)}"
        sides[1] = "+++ /dev/null"
    else:
        return sides
    return [command.on(path), f"{kind} file mode {mode}", index, *sides]
