r"""Search listings (`path:line:text`, with `path-line-text` context), grouped under their paths.

    lib/net/pool.py:12:def take(self):          [matches by file; paths under lib/net/]
    lib/net/pool.py-13-    self.n += 1          pool.py
    --                                      →   12:def take(self):
    lib/net/dns.py:4:def take(name):            13-    self.n += 1
                                                --
                                                dns.py
                                                4:def take(name):

Where several files of one folder follow each other, a line that ends in a slash is the folder of the names below it
(`.` is the one that all are under), and the first line says so. Where a tool has grouped its matches already, it also
says how (`rg --heading`, a viewer's `Line 12: `). Without line numbers, what is left of a match begins with its colon.
Every character after that stays. Lines that are no match (blank ones, warnings, `Binary file … matches`) keep their
place behind a `|`.
"""

from __future__ import annotations

import re
from collections import Counter
from string import ascii_letters, digits

import msgspec

from headroom.zones.detect import BARE_HIT, HIT
from headroom.zones.paths import shared_folder

TITLE = "[matches by file"
_IN_FOLDERS = "; names below a folder are in it"
_NUMBERED = re.compile(r"\d+[:-]|[:-]")
_WORDS = (ascii_letters + digits + "_ \t\r\x0b\x0c\x1c\x1d\x1e\x1f").encode()
_OTHER_WORDS = re.compile(r"\w+|[^\S\n]+")
_FIRST_WORD = re.compile(r"\d*+[:-]\s*+([^\s(]*)")
REPETITIVE = 0.6  # of the lines are alike where they are a machine's
_MANY_SIGNS = 8  # between the words of a line, to be a shape
_OFTEN = 5  # lines of one shape
_SHORTEST_FOLDER = 4  # characters; a shorter common folder must save more than _ROOT_COST to be named
_ROOT_COST = 24  # characters
_FOLDERS_COST = 40  # characters: folders of their own must save more
_LEAST_GROUPS = 2  # files that a tool must have grouped
_BARE_SHARE = 0.8  # of the lines begin with a path and a colon where there are no line numbers


class _Grouping(msgspec.Struct, frozen=True):
    """How a tool groups matches itself: a file's heading, what is before and after a line's number, what is between
    files. An empty `after` is a colon for matches and a hyphen for context."""

    spelled: str
    heading: re.Pattern[str]
    head: str
    foot: str
    line: re.Pattern[str]
    before: str
    after: str
    between: str


_GROUPINGS = (
    _Grouping(
        "headings", re.compile(r"(?=[^\s|]*[/.\\])([^\s|]+)"), "", "", re.compile(r"(\d+)(?=[:-])"), "", "", ""
    ),
    _Grouping(
        '"%s:", "  Line %d: "', re.compile(r"(\S+):"), "", ":", re.compile(r"  Line (\d+): "), "  Line ", ": ", ""
    ),
    _Grouping(
        '"File: %s", "L%d: "', re.compile(r"File: (\S+)"), "File: ", "", re.compile(r"L(\d+): "), "L", ": ", "---"
    ),
)  # fmt: skip
_TITLE = re.compile(
    rf"\[matches by file({_IN_FOLDERS})?(?:; paths under ([^\s\]]+))?"
    rf"(?:; was ({'|'.join(re.escape(grouping.spelled) for grouping in _GROUPINGS)}))?\]"
)

Row = tuple[str, str]
"""A match's path and what follows its separator; a heading's path and nothing; no path and any other line."""


def encode(text: str) -> str | None:
    """The grouped listing, or None where `text` is not one or cannot be written so that it reads back."""
    if text.endswith("\n"):
        grouped = encode(text[:-1]) if len(text) > 1 and text[-2] != "\n" else None
        return None if grouped is None else grouped + "\n"
    lines = text.split("\n")
    was = ""
    rows: list[Row] | None = None
    for grouping in _GROUPINGS:
        if "\n" + grouping.before in text and (rows := _grouped_rows(lines, grouping)) is not None:
            was = f"; was {grouping.spelled}"
            break
    if rows is None and ":" in text:
        rows = _rows(lines) or _bare_rows(lines)
    if rows is None:
        return None
    folder = _common_folder([path for path, _ in _headings(rows)])
    plain = _body(rows, folder, in_folders=False)
    if plain is None:
        return None
    nested = _body(rows, folder, in_folders=True)
    in_folders = nested is not None and sum(map(len, nested)) + len(nested) + _FOLDERS_COST < (
        sum(map(len, plain)) + len(plain)
    )
    title = f"{TITLE}{_IN_FOLDERS if in_folders else ''}{f'; paths under {folder}' if folder else ''}{was}]"
    return "\n".join([title, *(nested if in_folders and nested is not None else plain)])


def decode(pressed: str) -> str:
    """What `encode` was given. Raises ValueError for a text that it cannot have made."""
    if pressed.endswith("\n"):
        return decode(pressed[:-1]) + "\n"
    lines = pressed.split("\n")
    match = _TITLE.fullmatch(lines[0])
    if match is None:
        raise ValueError("not a grouped search listing")
    in_folders, root = match[1] is not None, match[2] or ""
    grouping = next((grouping for grouping in _GROUPINGS if grouping.spelled == match[3]), None)
    out: list[str] = []
    folder = path = ""
    headings = 0
    for line in lines[1:]:
        if line.startswith("|"):
            out.append(line[1:])
        elif line == "--":
            out.append(line)
        elif numbered := _NUMBERED.match(line):
            out.append(
                _ungrouped(line, numbered.end(), root + path) if grouping is None else _regrouped(line, grouping)
            )
        elif in_folders and (line == "." or line[-1:] == "/"):
            folder = "" if line == "." else line
        else:
            path = line if "/" in line else folder + line
            if grouping is not None:
                if headings:
                    out.append(grouping.between)
                out.append(f"{grouping.head}{root}{path}{grouping.foot}")
            headings += 1
    return "\n".join(out)


def _ungrouped(line: str, end: int, path: str) -> str:
    """A match with its path again; without a number, its separator is there already."""
    return path + line if end == 1 else f"{path}{line[end - 1]}{line}"


def _regrouped(line: str, grouping: _Grouping) -> str:
    """A match below a heading, as the tool had written it."""
    if not grouping.after:
        return line
    number, colon, text = line.partition(":")
    if not colon:
        raise ValueError("a line without its number")
    return f"{grouping.before}{number}{grouping.after}{text}"


def _body(rows: list[Row], root: str, in_folders: bool) -> list[str] | None:
    """The lines below the first; None where a path would not stand out among them."""
    paths = [path[len(root) :] for path, _ in _headings(rows)]
    folders = [path[: path.rfind("/") + 1] for path in paths]
    out: list[str] = []
    current = ""
    folder: str | None = ""
    at = -1
    for path, rest in rows:
        if not path:
            out.append(rest if rest == "--" else "|" + rest)
            continue
        if path != current or not rest:
            current = path
            at += 1
            heading = paths[at]
            if in_folders:
                below = folders[at]
                if below != folder:
                    follows = at + 1 < len(folders) and folders[at + 1] == below
                    folder = below if follows or not below else None
                    if folder is not None:
                        if folder and not _is_heading(folder):
                            return None
                        out.append(folder or ".")
                if folder is not None:
                    heading = heading[len(folder) :]
                if heading == "." or heading[-1:] == "/":
                    return None
            if not _is_heading(heading):
                return None
            out.append(heading)
        if rest:
            out.append(rest)
    return out


def _headings(rows: list[Row]) -> list[Row]:
    """The rows that begin a file."""
    found: list[Row] = []
    current = ""
    for path, rest in rows:
        if path and (path != current or not rest):
            current = path
            found.append((path, rest))
    return found


def is_repetitive(grouped: str) -> bool:
    """Whether a grouped listing's lines are a machine's: most begin with one of two words (imports, one call, a lint's
    codes), or have the same signs between their words (tables in source, generated code). Cost: linear."""
    begins = [*map(_FIRST_WORD.match, grouped.split("\n"))]
    first = Counter([begin[1] for begin in begins if begin is not None])
    forms = _signs_of(grouped).split("\n")
    # The first sign is the one behind the number.
    signs = Counter([form[1:] for form, begin in zip(forms, begins, strict=True) if begin is not None])
    alike = sum(count for _, count in first.most_common(2))
    shaped = sum(count for form, count in signs.items() if len(form) >= _MANY_SIGNS and count >= _OFTEN)
    return max(alike, shaped) >= REPETITIVE * first.total() > 0


def _signs_of(text: str) -> str:
    """`text` without words and blanks, but for the ends of lines."""
    left = text.encode("utf-8", "surrogatepass").translate(None, _WORDS).decode("utf-8", "surrogatepass")
    return left if left.isascii() else _OTHER_WORDS.sub("", left)


def _is_heading(heading: str) -> bool:
    """Whether a path stands out among the lines below it."""
    return bool(heading) and heading[0] != "|" and heading != "--" and not _NUMBERED.match(heading)


def _grouped_rows(lines: list[str], grouping: _Grouping) -> list[Row] | None:
    """The rows of a listing that a tool has grouped; None where it has not, or not in this way throughout."""
    numbers = [grouping.line.match(line) for line in lines]
    if (len(lines) - numbers.count(None)) * 3 < len(lines) - lines.count(""):
        return None
    rows: list[Row] = []
    path = ""
    groups = 0
    for index, (line, number) in enumerate(zip(lines, numbers, strict=True)):
        if number is not None:
            if path:
                rows.append((path, f"{number[1]}:{line[number.end() :]}" if grouping.after else line))
            else:
                rows.append(("", line))
            continue
        heading = grouping.heading.fullmatch(line)
        if heading is not None and index + 1 < len(lines) and numbers[index + 1] is not None:
            if groups and rows[-1:] != [("", grouping.between)]:
                return None
            if groups:
                rows.pop()
            groups += 1
            path = heading[1]
            rows.append((path, ""))
        else:
            rows.append(("", line))
    return rows if groups >= _LEAST_GROUPS else None


def _bare_rows(lines: list[str]) -> list[Row] | None:
    """The rows of a listing without line numbers; None where most lines are no matches."""
    rows: list[Row] = []
    path = ""
    found = 0
    for line in lines:
        if (match := BARE_HIT.match(line)) is not None:
            path = match[1]
        same = path and line.startswith((path + ":", path + "-")) and line[len(path) :] != "--"
        found += bool(same)
        rows.append((path, line[len(path) :]) if same else ("", line))
    return rows if found >= _BARE_SHARE * (len(lines) - lines.count("") - lines.count("--")) > 1 else None


def _rows(lines: list[str]) -> list[Row] | None:
    """(path, what follows its separator) for matches and context; ("", line) for all else. None without a match."""
    matches = [HIT.match(line) for line in lines]
    rows: list[Row] = []
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
    return number is not None and number.end() > len(path) + 2 and line[number.end() - 1] == "-"


def _common_folder(paths: list[str]) -> str:
    """The longest folder that all paths lie under, with its slash; empty where it is not worth naming."""
    folder = shared_folder(paths)
    pays = len(folder) >= _SHORTEST_FOLDER or len(folder) * len(paths) > _ROOT_COST
    return folder if pays and "]" not in folder else ""
