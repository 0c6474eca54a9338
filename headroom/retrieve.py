"""What a model, a person or a program gets of an original: all of it, a range of its lines, or those with a text.

{"hash": "0f3a…", "lines": "120-180"}        {"hash": "0f3a…", "match": "TimeoutError"}
"""

from __future__ import annotations

import re

import msgspec

from headroom.zones.marker import DIGITS

_RANGE = re.compile(r"\s*(\d{1,9})?\s*(-|–|:)?\s*(\d{1,9})?\s*", re.ASCII)
_HEX = re.compile(rf"[0-9a-f]{{{DIGITS}}}", re.ASCII)


class BadAsking(Exception):
    """Arguments that cannot be followed; the text says what would be right, to a model as well as to a person."""


class Asking(msgspec.Struct, frozen=True):
    """The arguments of one call. `lines` is `a-b`, `a-`, `-b` or `a`, from 1, both ends included."""

    hash: str
    lines: str = ""
    match: str = ""


class _Given(msgspec.Struct, frozen=True):
    """The arguments as models and programs write them: null for nothing, a number for one line."""

    hash: str
    lines: str | int | None = None
    match: str | None = None


def asking(arguments: bytes) -> Asking:
    """Read the JSON arguments of a call. Raises BadAsking."""
    try:
        asked = msgspec.json.decode(arguments, type=_Given)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BadAsking(
            'The arguments must be an object with "hash" (the hex digits of a <<ccr:...>> marker), and at will "lines" '
            '("120-180") or "match" (a text).'
        ) from None
    return checked(asked.hash, "" if asked.lines is None else str(asked.lines), asked.match or "")


def checked(hash_: str, lines: str = "", match: str = "") -> Asking:
    """An asking with a hash and a range that can be ones. Raises BadAsking."""
    found = named_hash(hash_)
    if found is None:
        raise BadAsking(f"hash must be the {DIGITS} hex digits that stand in a <<ccr:...>> marker.")
    _ends(lines)
    return Asking(found, lines, match)


def named_hash(text: str) -> str | None:
    """The hash in `text`: bare, or still in its marker; None where it is none."""
    bare = text.strip().lower().removeprefix("<<ccr:").removesuffix(">>")
    return bare if _HEX.fullmatch(bare) else None


def pick(original: str, lines: str = "", match: str = "") -> str:
    """The part of `original` that is asked for; all of it, byte for byte, where nothing is. Raises BadAsking.

    A part begins with a line that says what it is. Lines that match come with their numbers.
    """
    if not lines and not match:
        return original
    rows = original.split("\n")
    first, last = _range(lines, len(rows))
    if not match:
        return f"[lines {first}-{last} of {len(rows)}]\n" + "\n".join(rows[first - 1 : last])
    found = [(number, row) for number, row in enumerate(rows[first - 1 : last], first) if match in row]
    where = f"lines {first}-{last}" if lines else f"{len(rows)} lines"
    return f"[{len(found)} of {where} contain the text]\n" + "\n".join(f"{number}:{row}" for number, row in found)


def share(asked: Asking, part: str, whole: str) -> float:
    """How much of an original was given: 1.0 is all of it, or as much."""
    return 1.0 if not (asked.lines or asked.match) else min(1.0, len(part) / max(1, len(whole)))


def missing(hash_: str, ttl: float) -> str:
    """What is said where there is no original under a hash."""
    return (
        f"There is no original under {hash_}: it was never stored here, or was not seen for {ttl / 86400:g} days. "
        "Run the command again, or read the file again, to get its output."
    )


UNREADABLE = "The originals cannot be read just now. Run the command again to get its output."


def _ends(text: str) -> tuple[int, int | None]:
    """The first and last line asked for; None for the last there is."""
    found = _RANGE.fullmatch(text)
    if found is None or (text.strip() and not (found[1] or found[3])):
        raise BadAsking('lines must be a range such as "120-180", "120-" or "120".')
    first = int(found[1]) if found[1] else 1
    last = int(found[3]) if found[3] else (None if found[2] or not found[1] else first)
    if first < 1 or (last is not None and first > last):
        raise BadAsking(f'lines "{text.strip()}" is no range: lines count from 1, and the first comes first.')
    return first, last


def _range(text: str, total: int) -> tuple[int, int]:
    """The first and last line asked for, within `total`."""
    first, last = _ends(text)
    if first > total:
        raise BadAsking(f'lines "{text.strip()}" is not within the {total} lines there are.')
    return first, total if last is None else min(last, total)
