"""Terminal output as a terminal shows it, and lines that end in CRLF.

    <ESC>[32mok<ESC>[0m fetched            [as on screen: colour codes, overwritten text left out]
     10%<CR> 60%<CR>100% done       →      ok fetched
                                           100% done

Colours go, and what a carriage return, a backspace or an erased line has overwritten. Other movements of the cursor
are not interpreted: a text that has them stays as it is. CRLF is a line end, never an overwrite.
"""

from __future__ import annotations

import re
import unicodedata

TITLE = "[as on screen: "
CRLF_TITLE = "[lines end in CRLF]"

COLOURS, OVERWRITTEN, TRAILING = "colour codes", "overwritten text", "trailing blanks"
_LINE = re.compile(r"\[as on screen: ((?:colour codes|overwritten text|trailing blanks|, )+) left out\]")

TRAILING_SHARE = 0.02  # of the text that blanks at line ends must be, for their going to be worth saying

# Colours and type; the cursor hidden and shown; character sets; the window's title, progress and shell marks. A link's
# target is told apart nowhere else, so links stay.
_CODES = re.compile(
    r"\x1b\[[0-9;:]{0,60}m|\x1b\[\?(?:7|12|25|2004)[hl]|\x1b[()][0-9A-B]|\x1b[=>]"
    r"|\x1b\](?:[012]|9;4|133|633);[^\x07\x1b\r\n]{0,300}(?:\x07|\x1b\\)"
)
_FIRST_COLUMN = re.compile(r"\x1b\[1?G")
_MOVES = re.compile(r"[\r\x08\x1b]")
_STEP = re.compile(r"[^\r\x08\x1b]+|\r|\x08|\x1b\[0?K|\x1b\[2K\r?|\x1b")
_UNEVEN = re.compile(r"[\x00-\x07\x09-\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u2028\u2029]")  # not one column wide


def marked(text: str) -> bool:
    """Whether `text` has what only a terminal knows to show."""
    # Plain searches first: a pattern over a megabyte would hold the interpreter for milliseconds.
    return "\x1b" in text or "\x08" in text or ("\r" in text and "\r" in text.replace("\r\n", "\n"))


def clean(text: str, *, only_colours: bool = False, trailing: bool = False) -> tuple[str, str] | None:
    """The title's line and the text as shown; None where nothing would go, or it cannot be told what is shown.

    `trailing`: whether blanks at line ends may go. Cost: linear.
    """
    shown = text
    left_out: list[str] = []
    if "\x1b" in text:
        shown = _CODES.sub("", shown)
        if only_colours:
            shown = shown.replace("\x1b[K", "").replace("\x1b[0K", "")
        else:
            shown = _FIRST_COLUMN.sub("\r", shown)
        if shown != text:
            left_out.append(COLOURS)
    if only_colours:
        if "\x1b" in shown:
            return None
    elif marked(shown):
        replayed = _replayed(shown)
        if replayed is None:
            return None
        if replayed != shown:
            left_out.append(OVERWRITTEN)
        shown = replayed
    if trailing:
        bare = "\n".join([line.rstrip(" \t") for line in shown.split("\n")])
        if len(shown) - len(bare) >= max(1, TRAILING_SHARE * len(shown)):
            left_out.append(TRAILING)
            shown = bare
    return (f"{TITLE}{', '.join(left_out)} left out]", shown) if left_out else None


def undo(line: str, rest: str) -> str:
    """What the screen showed: what was left out is gone. Raises ValueError for a line that is no title."""
    if _LINE.fullmatch(line) is None:
        raise ValueError("not a text as on a screen")
    return rest


def holds(text: str, line: str, rest: str) -> bool:
    """Whether `rest` is what a screen shows of `text`, less what `line` names."""
    match = _LINE.fullmatch(line)
    if match is None:
        return False
    named = match[1].split(", ")
    return (line, rest) in (clean(text, only_colours=only, trailing=TRAILING in named) for only in (False, True))


def strip_crlf(text: str) -> tuple[str, str] | None:
    """The title's line and `text` with its line ends as LF, where each is CRLF."""
    if "\r\n" not in text or text.count("\r\n") != text.count("\n"):
        return None
    return CRLF_TITLE, text.replace("\r\n", "\n")


def restore_crlf(line: str, rest: str) -> str:
    """What `strip_crlf` was given. Raises ValueError for another line."""
    if line != CRLF_TITLE:
        raise ValueError("not a text whose lines end in CRLF")
    return rest.replace("\n", "\r\n")


def crlf_holds(text: str, line: str, rest: str) -> bool:
    """Whether `text` is `rest` with its line ends as CRLF."""
    return restore_crlf(line, rest) == text


def _replayed(text: str) -> str | None:
    """Each line as it is shown in the end; None where that cannot be told."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if _MOVES.search(line) is None:
            continue
        body = line.rstrip("\r")
        if _MOVES.search(body) is not None:
            shown = _line_shown(body)
            if shown is None:
                return None
            body = shown
        lines[number] = body + "\r" if line.endswith("\r") else body
    return "\n".join(lines)


def _line_shown(line: str) -> str | None:
    """One line after all its overwriting. Cost: linear, since every step writes over as much as it is long."""
    if _UNEVEN.search(line) is not None or not (line.isascii() or all(_one_wide(sign) for sign in line)):
        return None
    cells: list[str] = []
    cursor = 0
    for match in _STEP.finditer(line):
        step = match[0]
        if step == "\r":
            cursor = 0
        elif step == "\b":
            cursor = max(0, cursor - 1)
        elif step in ("\x1b[K", "\x1b[0K"):
            del cells[cursor:]
        elif step == "\x1b[2K\r" or (step == "\x1b[2K" and cursor == 0):
            cells, cursor = [], 0
        elif step.startswith("\x1b"):
            return None
        else:
            cells[cursor : cursor + len(step)] = step
            cursor += len(step)
    return "".join(cells)


def _one_wide(sign: str) -> bool:
    return sign.isascii() or (unicodedata.east_asian_width(sign) not in "WF" and not unicodedata.combining(sign))
