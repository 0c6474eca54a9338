"""JSON with other lines before and behind it: a warning before the document, a summary after it.

    npm warn old lockfile          [json after 1 line, 1 line behind it]
    {                              npm warn old lockfile
      "total": 2,            →     [json; layout was 2 blanks a level]
      "left": 1                    {"total":2,"left":1}
    }                              took 12 ms
    took 12 ms

A line break at the end of the text makes one more (empty) line behind it.

The lines around stay as they are; the document between them is in one of the forms of `documents`.
"""

from __future__ import annotations

import json
import re

from headroom.zones import documents

TITLE = "[json after "
_TITLE = re.compile(r"\[json after (\d{1,6}) lines?, (\d{1,6}) lines? behind it\]", re.ASCII)
_BEGIN = re.compile(r"^[ \t]*[\[{](?=[\s\"\[\]{}\d-])", re.MULTILINE)

MOST_BEGINS = 8  # lines that are tried as the document's first
MIN_SHARE = 0.4  # of the text that the document must be
_SCANNER = json.JSONDecoder(parse_int=str, parse_float=str)


def encode(text: str) -> list[str]:
    """Shorter forms of `text`, the plainest first; none where no line begins a document that is most of it."""
    found = _find(text)
    if found is None:
        return []
    begin, end = found
    before, core, behind = text[:begin], text[begin:end], text[end:]
    if not before.strip() and not behind.strip():
        return []
    above, below = before.count("\n"), behind.count("\n")
    title = f"{TITLE}{_lines(above)}, {_lines(below)} behind it]"
    forms = documents.encode(core)
    return [f"{title}\n{before}{form}{behind}" for form in forms if documents.decode(form) == core]


def decode(pressed: str) -> str:
    """What `encode` was given. Raises ValueError for a text that it cannot have made."""
    title, _, rest = pressed.partition("\n")
    match = _TITLE.fullmatch(title)
    if match is None:
        raise ValueError("no JSON between other lines")
    lines = rest.split("\n")
    above, below = int(match[1]), int(match[2])
    if above + below >= len(lines):
        raise ValueError("fewer lines than are said to be around the JSON")
    end = len(lines) - below
    core = documents.decode("\n".join(lines[above:end]))
    return "\n".join([*lines[:above], core, *lines[end:]])


def _lines(count: int) -> str:
    return f"{count} line" if count == 1 else f"{count} lines"


def _find(text: str) -> tuple[int, int] | None:
    """Where the document begins and ends, if it has its lines for itself."""
    for number, match in enumerate(_BEGIN.finditer(text)):
        begin = match.start()
        if number == MOST_BEGINS or len(text) - begin < MIN_SHARE * len(text):
            return None
        try:
            _, end = _SCANNER.raw_decode(text, match.end() - 1)
        except (ValueError, RecursionError):
            continue
        if end - begin >= MIN_SHARE * len(text) and text[end : end + 1] in ("", "\n"):
            return begin, end
    return None
