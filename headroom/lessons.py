"""What there is to learn of a request, as it is told to the statistics."""

from __future__ import annotations

import re
import sys
from hashlib import sha256
from typing import Final

import msgspec

from headroom.zones.detect import Kind
from headroom.zones.press import Action
from headroom.zones.structure import Structure, described

QUERY_LIMIT: Final = 200  # characters of a query that are looked at
_NOTE_BYTES: Final = 400  # of a note, and of each of its rows, besides what is told in them
_NAMES: Final = 5  # field names of a query that are told
_NAMED: Final = re.compile(r"[\"']?([A-Za-z_][\w.-]{0,63})[\"']?\s{0,3}([:=])", re.ASCII)


class Lesson(msgspec.Struct, frozen=True, gc=False):
    """What became of one fresh text that was to be pressed.

    - `action` is a press.Action. Tokens are by the yardstick.
    - `press` names the press: its slot's key. Of a text that is asked for twice it is that of the first press, and
      nothing else is told.
    - `text` is what zones.structure needs of it; it is let go of when that has been told, never kept.
    - `original` is the hash that a cut text's original is kept under.
    """

    tool: str
    action: Action
    press: bytes
    text: str = ""
    kind: Kind = Kind.TEXT
    form: str = ""
    original: str = ""
    before: int = 0
    after: int = 0
    ms: float = 0.0
    structure: Structure = Structure("")


class Lessons(msgspec.Struct, frozen=True, gc=False):
    """The lessons of one request: how its caller pays, the model's family, and a digest of who called."""

    auth: str
    family: str
    caller: bytes
    rows: tuple[Lesson, ...]


def structured(lesson: Lesson) -> Lesson:
    """The lesson with its text's structure in place of the text. Cost: see zones.structure."""
    if lesson.action is Action.PRESSED_BEFORE:
        return lesson
    return msgspec.structs.replace(lesson, text="", structure=described(lesson.text, lesson.kind))


class Asked(msgspec.Struct, frozen=True, gc=False):
    """An original was asked for: how its hash begins, how much of it was given (1.0 is all), and see `query_of`.

    `tried` is how often its press was looked for in vain.
    """

    hash: str
    share: float
    query: str
    tried: int = 0


def size_of(note: Lessons | Asked) -> int:
    """About how many bytes a note takes in memory. Cost: linear in its rows and their fields."""
    if isinstance(note, Asked):
        return _NOTE_BYTES
    told = (word for row in note.rows for word in (row.tool, row.text, row.original, *row.structure.fields))
    return _NOTE_BYTES * (1 + len(note.rows)) + sum(map(sys.getsizeof, told))


def query_of(lines: str, match: str) -> str:
    """How an original was asked for, less what was asked: `lines`, and of a text to match its field names, digested,
    with `*` for everything else. Empty where all of it was."""
    named = [f"{field_digest(name)}{sign}*" for name, sign in _NAMED.findall(match[:QUERY_LIMIT])[:_NAMES]]
    return " ".join([*(["lines"] if lines else []), *(named or (["*"] if match else []))])


def field_digest(name: str) -> str:
    """What is kept of a field's name: 8 hex digits."""
    return sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
