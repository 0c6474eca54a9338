"""The blanks between JSON tokens: taken out, named, and put back.

Strings, numbers and escapes keep their spelling: msgspec's formatter moves tokens and never decodes them.
"""

from __future__ import annotations

import re

import msgspec

_INDENT = re.compile(r"\n([ \t]+)\S")
_LEADING = re.compile(r"^ +", re.MULTILINE)

MAX_INDENT = 16  # blanks per level


COMPACT = "compact"
IRREGULAR = "irregular"
SPACED = "one line with blanks"
TABS = "one tab a level"
_BLANKS = re.compile(r"(\d+) blanks? a level")


def minify(text: str) -> str | None:
    """`text` without blanks between tokens, or None where it is not JSON (or holds a lone surrogate)."""
    try:
        return str(msgspec.json.format(text.encode(), indent=-1), "utf-8")
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError):
        return None


def find(text: str, minified: str) -> str:
    """The name of the layout that turns `minified` back into `text`, or IRREGULAR. Always checked by doing it."""
    if text == minified:
        return COMPACT
    if "\n" not in text:
        return SPACED if apply(minified, SPACED) == text else IRREGULAR
    match = _INDENT.search(text)
    if match is not None:
        blanks = match[1]
        if blanks == "\t":
            name = TABS
        else:
            name = blanks_a_level(len(blanks))
        if (blanks == "\t" or (blanks.isspace() and "\t" not in blanks and len(blanks) <= MAX_INDENT)) and apply(
            minified, name
        ) == text:
            return name
    return IRREGULAR


def blanks_a_level(count: int) -> str:
    """The name of the layout that indents by `count` blanks."""
    return f"{count} blank{'s' if count > 1 else ''} a level"


def apply(minified: str, name: str) -> str:
    """`minified` in the layout `name`; as it is for COMPACT and IRREGULAR. Raises ValueError for another name."""
    if name in (COMPACT, IRREGULAR):
        return minified
    if name == SPACED:
        return _format(minified, 0)
    if name == TABS:
        # A JSON string holds no line break, so blanks at a line's begin are layout.
        return _LEADING.sub(lambda match: "\t" * len(match[0]), _format(minified, 1))
    match = _BLANKS.fullmatch(name)
    if match is None:
        raise ValueError(f"no such layout: {name}")
    return _format(minified, int(match[1]))


def _format(minified: str, indent: int) -> str:
    try:
        return str(msgspec.json.format(minified.encode(), indent=indent), "utf-8")
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from error
