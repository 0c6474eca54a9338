r"""Text that holds JSON: documents with other lines around and between them, and documents that were cut.

    curl: (18) partial file      [json parts: 1 line; json on 2 lines (cut: 2 brackets added behind); 3 lines]
    {                            curl: (18) partial file
      "items": [
        {                   →    [json; layout was 2 blanks a level]
          "id": 7                {"items":[{"id":7}]}
        },                       ,
        {                            {
          "i…truncated…                "i…truncated…

A cut document is closed with the brackets that its beginning leaves open (and one whose beginning is missing is opened
with those that its end asks for, `"..."` standing for a key that nobody knows), then it is in one of the forms of
`documents`. What belongs to no whole value stays as it is. Exact to the character: the layout must be put back by its
name, and where it cannot be, the part is not taken.
"""

from __future__ import annotations

import json
import math
import re

import msgspec

from headroom.zones import documents, layout
from headroom.zones.cells import STRING

TITLE = "[json parts: "
_LINES = r"(\d{1,7}) lines?"
_BRACKETS = r"(\d{1,3}) brackets? added"
_PIECE = re.compile(
    rf"json on {_LINES}(?: \(cut: (?:{_BRACKETS} before)?(?:, )?(?:{_BRACKETS} behind)?\))?|{_LINES}", re.ASCII
)

LEAST = 200  # characters of a document that is worth a title
MIN_SHARE = 0.4  # of the text that documents must be
MOST_PARTS = 24
MOST_TRIES = 48  # places that are tried as a beginning
MOST_OPEN = 100  # brackets that are added at an end
MOST_LOOKS = 3  # places where the end of a document is looked for
_RESTARTS = 6  # places tried as the first whole value of a document whose beginning is missing

_SCANNER = json.JSONDecoder(parse_int=str, parse_float=str)
_BEGIN = re.compile(r"^[^\n\[{\"]{0,80}?([\[{])(?=\s{0,200}[\"\[{\]}\d-])", re.MULTILINE)
_STRUCTURE = re.compile(STRING.pattern + r'|[\[\]{},"]')
_BRACKET = re.compile(rf'(?:[^\[\]{{}}"]++|{STRING.pattern})*+([\[\]{{}}"]|\Z)')  # the next outside strings
_KEY = re.compile(STRING.pattern + r"\s*:")
_CUT = re.compile(r"truncated|omitted|\.\.\.|\u2026|<snip|chars? left out")
_RESTART = re.compile(r'[}\]]\s{0,200},\s{0,200}(?=[{\["])|(?:^|\n)[ \t]*(?=[{\[]\s|"[^"\n]{1,200}": )')
_INDENT = re.compile(r"\n( *|\t*)\S")
_UNKNOWN = '"...":'
_OPENERS = {"}": "{", "]": "["}
_CLOSERS = {"{": "}", "[": "]"}


class _Piece(msgspec.Struct, frozen=True, gc=False):
    """Text as it is, or (with brackets counted) a form of a document."""

    text: str
    document: bool = False
    before: int = 0  # brackets that were added at its begin
    behind: int = 0  # and at its end


def encode(text: str) -> list[str]:
    """Shorter forms of `text`; none where it is one whole document or where documents are too little of it."""
    if text.count("\n{") > MOST_PARTS or layout.minify(text) is not None:  # more of them are JSON lines
        return []
    pieces = _pieces(text)
    if not any(piece.document for piece in pieces):
        return []
    named = "; ".join(map(_name, pieces))
    return [f"{TITLE}{named}]\n" + "\n".join(piece.text for piece in pieces)]


def decode(pressed: str) -> str:
    """What `encode` was given. Raises ValueError for a text that it cannot have made."""
    title, _, rest = pressed.partition("\n")
    if not title.startswith(TITLE) or not title.endswith("]"):
        raise ValueError("no JSON parts")
    lines = rest.split("\n")
    out: list[str] = []
    at = 0
    for name in title[len(TITLE) : -1].split("; "):
        match = _PIECE.fullmatch(name)
        if match is None:
            raise ValueError("a part of no kind")
        count = int(match[1] or match[4])
        if at + count > len(lines):
            raise ValueError("fewer lines than there are said to be")
        text = "\n".join(lines[at : at + count])
        at += count
        out.append(text if match[4] else _stripped(documents.decode(text), int(match[2] or 0), int(match[3] or 0)))
    if at != len(lines):
        raise ValueError("more lines than there are said to be")
    return "".join(out)


def _name(piece: _Piece) -> str:
    count = piece.text.count("\n") + 1
    lines = f"{count} line" if count == 1 else f"{count} lines"
    if not piece.document:
        return lines
    cuts = [
        f"{number} bracket{'s' if number > 1 else ''} added {where}"
        for number, where in ((piece.before, "before"), (piece.behind, "behind"))
        if number
    ]
    return f"json on {lines}" + (f" (cut: {', '.join(cuts)})" if cuts else "")


# Finding.


def _pieces(text: str) -> list[_Piece]:
    """The documents in `text` and what is between them; none where documents are too little of it."""
    found: list[tuple[int, int, _Piece]] = []
    at = covered = looks = 0
    torn = True  # whether what comes next may be the end of a document
    for _ in range(MOST_TRIES):
        match = _BEGIN.search(text, at)
        part = None
        if match is not None and len(found) < MOST_PARTS:
            part = _document(text, match.start(1), "")
        if torn and looks < MOST_LOOKS and (part is None or part[1] - part[0] < MIN_SHARE * (len(text) - at)):
            rest = _rest_of_document(text, at)
            part = part if rest is None or (part is not None and part[1] - part[0] > rest[1] - rest[0]) else rest
            looks += 1
        torn = False
        if part is None:
            if match is None or len(found) == MOST_PARTS:
                break
            at = match.end()
            continue
        found.append(part)
        covered += part[1] - part[0]
        at = part[1]
        torn = part[2].behind > 0
    if covered < MIN_SHARE * len(text):
        return []
    pieces: list[_Piece] = []
    last = 0
    for begin, end, piece in found:
        if begin > last:
            pieces.append(_Piece(text[last:begin]))
        pieces.append(piece)
        last = end
    if last < len(text):
        pieces.append(_Piece(text[last:]))
    return pieces


def _document(text: str, begin: int, openers: str) -> tuple[int, int, _Piece] | None:
    """The document that begins at `begin` once `openers` are put before it: where it is, and its form."""
    opened = openers + text[begin:] if openers else text
    start = 0 if openers else begin
    try:
        _, end = _SCANNER.raw_decode(opened, start)
        closers = ""
    except json.JSONDecodeError as error:
        if error.pos - start < LEAST:
            return None
        end, closers = _last_whole(opened, start, error.pos)
    except RecursionError:
        return None
    end += begin - start - len(openers)
    if end - begin < LEAST or len(closers) > MOST_OPEN:
        return None
    body = text[begin:end]
    form = _form(body, openers, closers)
    if form is None:
        return None
    before = openers.count("[") + openers.count("{")
    return begin, end, _Piece(form, True, before, len(closers))


def _last_whole(text: str, begin: int, limit: int) -> tuple[int, str]:
    """Where the last whole value of a document that breaks off at `limit` ends, and the brackets that close it."""
    stack: list[str] = []
    end = begin
    for match in _STRUCTURE.finditer(text, begin, limit):
        character = match[0]
        if character in _CLOSERS:
            stack.append(_CLOSERS[character])
        elif character in _OPENERS:
            if not stack:
                break
            stack.pop()
        elif character == '"':  # of a string that does not end
            break
        elif character != ",":
            continue
        end = match.start() if character == "," else match.end()
    # The stack as it was at `end`: what was opened and closed since is none, since brackets move `end` too.
    while end > begin and text[end - 1] in " \t\r\n":
        end -= 1
    return end, "".join(reversed(stack))


def _rest_of_document(text: str, at: int) -> tuple[int, int, _Piece] | None:
    """The end of a document whose beginning is missing, from the first whole value behind `at` on."""
    cuts = [match.end() for match in _CUT.finditer(text, at, min(len(text), at + 4000))]
    start = cuts[-1] if cuts else at
    for number, match in enumerate(_RESTART.finditer(text, start)):
        if number == _RESTARTS:
            return None
        openers = _openers(text, match.end())
        if openers is None:
            continue
        part = _document(text, match.end(), openers)
        if part is not None and part[1] - part[0] >= MIN_SHARE * (len(text) - start):
            return part
    return None


def _openers(text: str, at: int) -> str | None:
    """What must be put before ``text[at:]`` for the brackets that it closes to have been opened."""
    depth = 0
    missing: list[str] = []
    for match in _BRACKET.finditer(text, at):
        character = match[1]
        if character in _CLOSERS:
            depth += 1
        elif character in _OPENERS:
            if depth:
                depth -= 1
            elif len(missing) < MOST_OPEN:
                missing.append(_OPENERS[character])
    member = _KEY.match(text, at) is not None
    first = "{" if member else "["
    if not missing:
        missing = [first]
    if missing[0] != first:
        return None
    outer = "".join("[" if bracket == "[" else "{" + _UNKNOWN for bracket in reversed(missing[1:]))
    return outer + first


def _form(body: str, openers: str, closers: str) -> str | None:
    """The shortest form of `body` between brackets, if it is put back exactly and is any shorter."""
    minified = layout.minify(openers + body + closers)
    if minified is None:
        return None
    for name in _layouts(body):
        whole = layout.apply(minified, name)
        if _stripped(whole, len(_brackets(openers)), len(closers)) != body:
            continue
        forms = [form for form in documents.encode(whole) if _reads_back(form, whole)]
        shortest = min(forms, key=len, default=None)
        return shortest if shortest is not None and len(shortest) < len(body) else None
    return None


def _reads_back(form: str, whole: str) -> bool:
    try:
        return documents.decode(form) == whole
    except ValueError:  # duplicate keys and odd spellings, which tables do not keep
        return False


def _brackets(openers: str) -> str:
    return openers.replace(_UNKNOWN, "")


def _layouts(body: str) -> list[str]:
    """Names of layouts that `body` may be in."""
    indents = [match[1] for match in _INDENT.finditer(body, 0, 4000)]
    if not indents:
        return [layout.COMPACT, layout.SPACED]
    if any("\t" in indent for indent in indents):
        return [layout.TABS]
    unit = math.gcd(*map(len, indents))
    return [layout.blanks_a_level(unit)] if 0 < unit <= layout.MAX_INDENT else []


def _stripped(text: str, before: int, behind: int) -> str:
    """`text` without brackets that were added at its begin and at its end. Raises ValueError."""
    at = 0
    for left in range(before, 0, -1):
        if text[at : at + 1] not in ("{", "["):
            raise ValueError("no bracket at the begin")
        known = text[at] == "[" or left == 1
        at = _skip_blanks(text, at + 1)
        if not known:
            if not text.startswith(_UNKNOWN, at):
                raise ValueError("a bracket with a key that is known")
            at = _skip_blanks(text, at + len(_UNKNOWN))
    end = len(text)
    for _ in range(behind):
        if text[end - 1 : end] not in ("}", "]"):
            raise ValueError("no bracket at the end")
        end -= 1
        while end > at and text[end - 1] in " \t\r\n":
            end -= 1
    return text[at:end]


def _skip_blanks(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\t", "\r", "\n"):
        at += 1
    return at
