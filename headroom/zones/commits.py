r"""What `git log` and `git blame` print, with their columns stated once.

    commit 1f2e…                                  [git log: ## hash|author|date, then the message; zone +0100]
    Author: Ana Lee <ana@edge.test>               ## 1f2e…|@1=Ana Lee <ana@edge.test>|Mon Feb 3 10:00:00 2031
    Date:   Mon Feb 3 10:00:00 2031 +0100         Take leases once
                                            →     ## 9c8b…|@1|Mon Feb 3 09:00:00 2031
        Take leases once                          Add a pool
                                                  |
    commit 9c8b…                                   pool.py | 3 +++
    Author: Ana Lee <ana@edge.test>                1 file changed, 3 insertions(+)
    Date:   Mon Feb 3 09:00:00 2031 +0100

        Add a pool

     pool.py | 3 +++
     1 file changed, 3 insertions(+)

From a line that begins with `|` on, up to the next `##`, every line stands as it was (there the `|` is taken off). In a
message, a `\` is put before what could be taken for a `##`, `|` or `\`. Diffs below commits are written by `diffs`.

    1f2e3d4c (Ana Lee 2031-02-03 10:00:00 +0100  9) def take():       [git blame: letter= commit; …]
    1f2e3d4c (Ana Lee 2031-02-03 10:00:00 +0100 10)     return 1  →   a= 1f2e3d4c (Ana Lee 2031-02-03 10:00:00 +0100)
    9c8b7a6d (Jo Park 2031-02-04 11:00:00 +0100 11)                   a 9⇥def take():
                                                                      a 10⇥    return 1
                                                                      9c8b7a6d (Jo Park 2031-02-04 11:00:00 +0100) 11⇥

A commit with one line only is written out there. Lines that are none of the file's stand behind a `|`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from headroom.zones import diffs

TITLE = "[git "
STEP = 10  # of so many lines of a blame, one keeps its number
LEAST_ROWS = 3

_ESCAPES = "; | before other lines"

# git log
_LOG = re.compile(
    r"\[git log: ## hash\|author\|date, then the message(?:; zone ([+-][0-9]{4}))?(; empty lines not indented)?\]"
)
_COMMIT = re.compile(r"commit ([0-9a-f]{7,64}(?: \([^|]*\))?)")
_MERGE = re.compile(r"Merge:(?: [0-9a-f]{4,64}){2,}")
_ZONE = re.compile(r".* ([+-][0-9]{4})")
_HEAD = re.compile(r"## ([0-9a-f]{7,64}(?: \([^|]*\))?)(?: (Merge:(?: [0-9a-f]{4,64}){2,}))?\|([^|]+)\|(.+)")
_AUTHOR = re.compile(r"(@[1-9][0-9]{0,8})(?:=(.+))?")
_INDENT = "    "

# git blame
_BLAME = re.compile(
    rf"\[git blame: letter= commit; lines [0-9]+-[0-9]+, every {STEP}th numbered \(%([1-9][0-9]?)d\), "
    rf"text after the tab({_ESCAPES.replace('|', '[|]')})?\]"
)
_LINE = re.compile(r"(\^?[0-9a-f]{7,64}(?: [^\t]{0,300}?[^\t ])?)( {1,16})(0|[1-9][0-9]{0,8})\)(?= |\Z)")
_ORIGIN = re.compile(r"\^?[0-9a-f]{7,64}(?: [^\t]*[^\t ])?")
_SHORT_LINE = re.compile(r"(?:([a-z]{1,3})|(\^?[0-9a-f]{7}[^\t]*)\))(?: (0|[1-9][0-9]{0,8}))?")
_DECLARED = re.compile(r"([a-z]{1,3})= (\^?[0-9a-f]{7}[^\t]*)\)")

Head = tuple[str, str, str, str, int]
"""A commit's head: hash with what is in brackets behind it, merge, author, date; where its message begins."""
Row = tuple[int, str, str | None]
"""A line of a blame: its number (-1 if it is none), its origin, and its text, None where the blank before it is gone;
or the line itself."""


def encode(text: str) -> str | None:
    """The log or blame in short, or None where `text` is neither."""
    if text.startswith((TITLE, diffs.TITLE)):
        return None
    lines = text.split("\n")
    if (first := _LINE.match(lines[0])) is not None:
        return _encode_blame(lines, len(first[2]) - 1 + len(first[3]))
    if text.startswith("commit ") or "\n\ncommit " in text:
        inner = diffs.encode_headers(text) if "\ndiff --git " in text else None
        if inner is None:
            return _encode_log(lines, [])
        inner_lines = inner.split("\n")
        pressed = _encode_log(inner_lines[1:], inner_lines[:1])
        return None if pressed is None else diffs.fold(pressed, 1)
    return None


def decode(pressed: str) -> str:
    """What `encode` was given. Raises ValueError for a text that it cannot have made."""
    lines = pressed.split("\n")
    if (title := _BLAME.fullmatch(lines[0])) is not None:
        return "\n".join(_decode_blame(lines[1:], int(title[1])))
    if (title := _LOG.fullmatch(lines[0])) is None:
        raise ValueError("neither a log nor a blame")
    with_diffs = len(lines) > 1 and lines[1].startswith(diffs.TITLE)
    if with_diffs:
        lines = diffs.unfold(lines, 1)
    out = _decode_log(lines[1 + with_diffs :], title[1], _INDENT if title[2] is None else "")
    return diffs.decode("\n".join([lines[1], *out])) if with_diffs else "\n".join(out)


# Logs.


def _encode_log(lines: list[str], above: list[str]) -> str | None:
    heads = {index: head for index, line in enumerate(lines) if (head := _head(lines, index, line)) is not None}
    if len(heads) < 2:
        return None
    zones = [match[1] if (match := _ZONE.fullmatch(head[3])) else "" for head in heads.values()]
    zone = "" if "" in zones else Counter(zones).most_common(1)[0][0]
    authors = Counter(head[2] for head in heads.values())
    known: dict[str, str] = {}
    loose = _INDENT not in lines  # the blanks of empty lines have been cut
    cut = False
    out: list[str] = []
    at = 0
    in_message = False
    end = len(lines) - (not lines[-1])  # a final newline is not part of the last message
    while at < end:
        line = lines[at]
        head = heads.get(at + (not line)) if at or line else heads.get(0)
        if head is not None:
            out.append(_short_head(head, authors, known, zone))
            in_message = True
            at = head[4]
            continue
        at += 1
        if not in_message:
            out.append("|" + line if line[:1] == "|" or _HEAD.match(line) else line)
        elif line.startswith(_INDENT):
            message = line[len(_INDENT) :]
            out.append("\\" + message if message[:1] in ("\\", "|") or _HEAD.match(message) else message)
        elif loose and not line and at < end and lines[at].startswith(_INDENT):
            out.append("")
            cut = True
        else:
            out.append("|" + line)
            in_message = False
    if end < len(lines):
        out.append("")
    elif out[-1] == "":
        return None  # would be read as a final newline
    options = (f"; zone {zone}" if zone else "") + ("; empty lines not indented" if cut else "")
    return "\n".join([f"{TITLE}log: ## hash|author|date, then the message{options}]", *above, *out])


def _head(lines: list[str], at: int, line: str) -> Head | None:
    """The head that begins at `at` in the medium format, after an empty line or at the begin, with a message below."""
    if line[:7] != "commit " or (at and lines[at - 1]) or at == 1 or (commit := _COMMIT.fullmatch(line)) is None:
        return None
    at += 1
    merge = ""
    if at < len(lines) and _MERGE.fullmatch(lines[at]) is not None:
        merge = lines[at]
        at += 1
    if at + 3 >= len(lines) or lines[at + 2] or not lines[at + 3].startswith(_INDENT):
        return None
    author, date = lines[at], lines[at + 1]
    if author[:8] != "Author: " or date[:8] != "Date:   " or len(author) < 9 or len(date) < 9:
        return None
    if "|" in author or author[8] == "@":
        return None
    return commit[1], merge, author[8:], date[8:], at + 3


def _short_head(head: Head, authors: Counter[str], known: dict[str, str], zone: str) -> str:
    commit, merge, author, date, _ = head
    if author in known:
        author = known[author]
    elif authors[author] > 1:
        known[author] = f"@{len(known) + 1}"
        author = f"{known[author]}={author}"
    if zone and _ZONE.fullmatch(short := date.removesuffix(" " + zone)) is None:
        date = short  # else what is left would be read as having a zone of its own
    return f"## {commit}{' ' + merge if merge else ''}|{author}|{date}"


def _decode_log(lines: list[str], zone: str | None, empty: str) -> list[str]:
    out: list[str] = []
    known: dict[str, str] = {}
    in_message = False
    end = len(lines) - (lines[-1:] == [""])
    for line in lines[:end]:
        if line[:1] == "|":
            out.append(line[1:])
            in_message = False
        elif (head := _HEAD.fullmatch(line)) is not None:
            commit, merge, author, date = head.groups()
            if (named := _AUTHOR.fullmatch(author)) is not None:
                if named[2]:
                    known[named[1]] = named[2]
                author = known.get(named[1], "")
                if not author:
                    raise ValueError(f"{named[1]} has not been said before")
            if zone and _ZONE.fullmatch(date) is None:
                date = f"{date} {zone}"
            if out:
                out.append("")
            out.append(f"commit {commit}")
            if merge:
                out.append(merge)
            out += [f"Author: {author}", f"Date:   {date}", ""]
            in_message = True
        elif in_message:
            message = line[1:] if line[:1] == "\\" else line
            out.append(_INDENT + message if line else empty)
        else:
            out.append(line)
    return out + lines[end:]


# Blames.


def _encode_blame(lines: list[str], width: int) -> str | None:
    rows = _blame_rows(lines, width)
    numbers = [number for number, _, _ in rows if number >= 0]
    if len(numbers) < LEAST_ROWS:
        return None
    uses = Counter(origin for number, origin, _ in rows if number >= 0)
    labels = dict(zip((origin for origin, count in uses.items() if count > 1), _labels(), strict=False))
    out: list[str] = []
    said: set[str] = set()
    before = -2
    foreign = False
    for index, (number, origin, text) in enumerate(rows):
        if number < 0:
            foreign = foreign or bool(origin)
            out.append("|" + origin if origin else "")
        else:
            label = labels.get(origin)
            if label is not None and origin not in said:
                said.add(origin)
                out.append(f"{label}= {origin})")
            after = rows[index + 1][0] if index + 1 < len(rows) else -1
            gap = number != before + 1 or after != number + 1
            shown = f" {number}" if gap or number % STEP == 0 else ""
            out.append(f"{label or origin + ')'}{shown}{'' if text is None else chr(9) + text}")
        before = number
    title = (
        f"{TITLE}blame: letter= commit; lines {numbers[0]}-{numbers[-1]}, every {STEP}th numbered (%{width}d), "
        f"text after the tab{_ESCAPES if foreign else ''}]"
    )
    return "\n".join([title, *out])


def _blame_rows(lines: list[str], width: int) -> list[Row]:
    rows: list[Row] = []
    number = -2
    for line in lines:
        found = -1
        origin = ""
        expected = f" {number + 1:>{width}})"
        at = line.find(expected, 7, 400) if number >= 0 else -1
        if at >= 0 and _ORIGIN.fullmatch(line, 0, at) is not None:
            found, origin = number + 1, line[:at]
        elif (match := _LINE.match(line)) is not None:
            found, origin = int(match[3]), match[1]
            expected = f" {found:>{width}})"
        rest = line[len(origin) + len(expected) :]
        if found >= 0 and line.startswith(expected, len(origin)) and rest[:1] in ("", " "):
            number = found
            rows.append((number, origin, rest[1:] if rest else None))
        else:
            rows.append((-1, line, None))
    return rows


def _labels() -> Iterable[str]:
    """a to z, then aa to zz, then aaa to zzz; no hash is as short."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    yield from letters
    pairs = [a + b for a in letters for b in letters]
    yield from pairs
    yield from (pair + letter for pair in pairs for letter in letters)


def _decode_blame(lines: list[str], width: int) -> list[str]:
    out: list[str] = []
    origins: dict[str, str] = {}
    number = -2
    for line in lines:
        if not line or line[0] == "|":
            out.append(line[1:])
            continue
        if (declared := _DECLARED.fullmatch(line)) is not None:
            origins[declared[1]] = declared[2]
            continue
        gutter, tab, text = line.partition("\t")
        match = _SHORT_LINE.fullmatch(gutter)
        origin = None if match is None else match[2] or origins.get(match[1])
        if match is None or origin is None:
            raise ValueError("a line without a commit")
        number = number + 1 if match[3] is None else int(match[3])
        if number < 0:
            raise ValueError("the first line has no number")
        out.append(f"{origin} {number:>{width}}){' ' if tab else ''}{text}")
    return out
