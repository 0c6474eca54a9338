"""What would be done to a request body, shown to a person: `headroom inspect`, and `headroom press` for one text."""

from __future__ import annotations

import io
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import orjson

from headroom.library import Result, Row, compress
from headroom.zones import yardstick
from headroom.zones.detect import Kind
from headroom.zones.forms import Style
from headroom.zones.press import Action, Floors, press, unpress

SHOWN_LINES = 12  # of each text, unless all is asked for
SHOWN_WIDTH = 160  # characters of a line, likewise

_DEEP = " " * 13
_USAGE = """usage: headroom inspect [--all] [--whole] [--dense] BODY.json
       headroom press [--kind KIND] [--dense] [--quiet] < text
       headroom unpress < pressed text

  inspect    each tool result of a request body before and after, with its figures
  press      one text as it would be sent; what became of it goes to standard error
  unpress    the text that was pressed

  --all      also show texts in which nothing changes
  --whole    show texts whole, not their first lines
  --dense    mark what equals the line above
  --kind     auto, or what the text is:
{kinds}
  --quiet    nothing but the text

Exit status: 64 a call that is wrong, or a text that cannot be read.
"""


class Misused(Exception):
    """A command line that cannot be followed; its text says what would be right."""


def usage() -> str:
    """How the commands are called."""
    kinds = textwrap.fill(", ".join(kind.value for kind in Kind), 100, initial_indent=_DEEP, subsequent_indent=_DEEP)
    return _USAGE.format(kinds=kinds)


def inspect(arguments: Sequence[str], out: TextIO) -> None:
    """Show each tool result of a request body before and after. Raises Misused."""
    flags, names = _split(arguments, {"--all", "--whole", "--dense"})
    if len(names) != 1:
        raise Misused("inspect takes one file with a request body")
    try:
        body = Path(names[0]).read_bytes()
    except OSError as error:
        raise Misused(f"{names[0]}: {error.strerror}") from error
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Misused(f"{names[0]} is not JSON: {error}") from error
    measure = yardstick.o200k()  # loaded before the clock starts
    begun = time.perf_counter()
    result = compress(body, measure=measure, style=_style(flags))
    took = (time.perf_counter() - begun) * 1000
    if not result.rows and result.body == body:
        out.write(f"{names[0]}: no request body with tool results that this release knows\n")
        return
    paint = _Paint(out)
    for row in result.rows:
        _show(row, out, paint, flags)
    _summary(result, len(body), took, out, paint)


def press_text(arguments: Sequence[str], given: TextIO, out: TextIO, told: TextIO) -> None:
    """Press one text; what became of it goes to `told`. Raises Misused."""
    kind: Kind | None = None
    words = list(arguments)
    if "--kind" in words:
        at = words.index("--kind")
        name = words[at + 1] if at + 1 < len(words) else ""
        if name != "auto":
            if name not in set(Kind):
                raise Misused(f"--kind: {name!r} is none of auto, {', '.join(kind.value for kind in Kind)}")
            kind = Kind(name)
        del words[at : at + 2]
    flags, names = _split(words, {"--dense", "--quiet"})
    if names:
        raise Misused("press reads from standard input and takes no file")
    text = given.read()
    measure = yardstick.o200k()
    begun = time.perf_counter()
    verdict = press(text, Floors.flat(0), measure, _style(flags), kind)
    took = (time.perf_counter() - begun) * 1000
    pressed = verdict.action is Action.PRESSED
    out.write(verdict.text if pressed else text)
    if "--quiet" not in flags:
        before = verdict.before or measure.count(text)
        after = verdict.after if pressed else before
        form = f", {verdict.form}" if verdict.form else ""
        told.write(f"{verdict.kind}{form}: {verdict.action}, {_change(before, after)} tokens, {took:.1f} ms\n")


def unpress_text(given: TextIO, out: TextIO) -> None:
    """Write what was pressed into a text. Raises Misused for a pressed text that is damaged."""
    try:
        out.write(unpress(given.read()))
    except ValueError as error:
        raise Misused(f"a damaged text: {error}") from error


def _style(flags: set[str]) -> Style:
    return Style.DENSE if "--dense" in flags else Style.PLAIN


def _split(arguments: Sequence[str], known: set[str]) -> tuple[set[str], list[str]]:
    flags = {word for word in arguments if word.startswith("--")}
    if flags - known:
        raise Misused(f"{sorted(flags - known)[0]}: no such option")
    return flags, [word for word in arguments if not word.startswith("--")]


class _Paint:
    """Colours, where the output is a terminal."""

    def __init__(self, out: TextIO) -> None:
        self._on = out.isatty()

    def __call__(self, code: int, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._on else text


_RED, _GREEN, _BOLD, _DIM = 31, 32, 1, 2


def _show(row: Row, out: TextIO, paint: _Paint, flags: set[str]) -> None:
    pressed = row.action == Action.PRESSED
    if not pressed and "--all" not in flags:
        return
    tool = f" {row.tool}" if row.tool else ""
    what = " → ".join(word for word in (row.kind, row.form) if word)
    title = f"message {row.item}{tool}: {what or 'text'}, {row.action}, {_change(row.before, row.after)} tokens"
    out.write(paint(_BOLD, title) + "\n")
    whole = "--whole" in flags
    for line in _lines(row.text, whole):
        out.write(paint(_RED, f"  - {line}") + "\n")
    for line in _lines(row.pressed, whole) if pressed else ():
        out.write(paint(_GREEN, f"  + {line}") + "\n")
    out.write("\n")


def _lines(text: str, whole: bool) -> list[str]:
    """The lines to show of a text. Control characters are made visible: a tool's output must not drive a terminal."""
    lines = text.split("\n")
    if not whole and len(lines) > SHOWN_LINES:
        left = len(lines) - SHOWN_LINES
        lines = [*lines[:SHOWN_LINES], f"… {left} more lines"]
    shown = ["".join(c if c.isprintable() or c == "\t" else f"\\x{ord(c):02x}" for c in line) for line in lines]
    return shown if whole else [line if len(line) <= SHOWN_WIDTH else line[:SHOWN_WIDTH] + "…" for line in shown]


def _summary(result: Result, size: int, took: float, out: TextIO, paint: _Paint) -> None:
    pressed = sum(row.action == Action.PRESSED for row in result.rows)
    actions: dict[str, int] = {}
    for row in result.rows:
        actions[row.action] = actions.get(row.action, 0) + 1
    counted = ", ".join(f"{count} {action}" for action, count in sorted(actions.items()))
    out.write(
        f"{len(result.rows)} tool results, {pressed} of them shorter: "
        f"{_change(result.tokens_before, result.tokens_after)} tokens, {_change(size, len(result.body))} bytes, "
        f"{took:.0f} ms\n"
    )
    if counted:
        out.write(paint(_DIM, f"({counted})") + "\n")


def _change(before: int, after: int) -> str:
    share = f" (-{100 * (before - after) / before:.1f} %)" if before > after else ""
    return f"{before:,} → {after:,}{share}"


def run(command: str, arguments: Sequence[str]) -> int:
    """Run one of the commands on the standard streams; returns the exit status: 64 for a call that is wrong."""
    if {"--help", "-h"} & set(arguments):
        sys.stdout.write(usage())
        return 0
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            # What goes through is bytes to whoever calls: no locale and no line end may change them.
            stream.reconfigure(encoding="utf-8", errors="surrogateescape", newline="")
    try:
        if command == "inspect":
            inspect(arguments, sys.stdout)
        elif command == "press":
            press_text(arguments, sys.stdin, sys.stdout, sys.stderr)
        elif arguments:
            raise Misused("unpress reads from standard input and takes no arguments")
        else:
            unpress_text(sys.stdin, sys.stdout)
    except Misused as error:
        sys.stderr.write(f"headroom {command}: {error}\n`headroom {command} --help` tells what there is.\n")
        return 64
    return 0
