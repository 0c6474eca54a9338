"""Putting new JSON string tokens in the place of old ones, and touching nothing else."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import orjson


class Edit(msgspec.Struct, frozen=True, gc=False):
    """`token` takes the place of ``body[start:end]``, which is one JSON string token, quotes included."""

    start: int
    end: int
    token: bytes


def splice(body: bytes, edits: Iterable[Edit], inserts: Iterable[Edit] = ()) -> bytes:
    """Return `body` with `edits` made; `body` itself where there are none.

    `inserts` are edits of any range, an empty one included: their bytes are put there as they are. Raises ValueError
    for edits that overlap or lie outside, and for `edits` that do not cover exactly a quoted token, so that no byte
    between two edits can be lost. Cost: one copy of the body.
    """
    tokens = [(edit.start, edit.end, 1, edit.token) for edit in edits]
    ordered = sorted(tokens + [(edit.start, edit.end, 0, edit.token) for edit in inserts], key=lambda edit: edit[:3])
    if not ordered:
        return body
    view = memoryview(body)
    parts: list[memoryview | bytes] = []
    at = 0
    for start, end, is_token, token in ordered:
        if not at <= start <= end <= len(body):
            raise ValueError("edits overlap, or lie outside the body")
        if is_token and (not start < end - 1 or body[start] != 0x22 or body[end - 1] != 0x22):
            raise ValueError("an edit does not cover one string token of the body")
        parts.append(view[at:start])
        parts.append(token)
        at = end
    parts.append(view[at:])
    return b"".join(parts)


def to_token(text: str) -> bytes:
    """`text` as a JSON string token: raw UTF-8, short escapes, `\\u00xx` for other control characters.

    The spelling of `JSON.stringify`, which the JavaScript clients send themselves. Raises ValueError (orjson's
    TypeError is one for this purpose) for lone surrogates.
    """
    try:
        return orjson.dumps(text)
    except TypeError as error:
        raise ValueError("text holds a lone surrogate") from error


def any_token(text: str) -> bytes:
    """Like `to_token`, for text that must be written whatever it is: lone surrogates are replaced."""
    try:
        return to_token(text)
    except ValueError:
        return to_token(text.encode("utf-8", "replace").decode())


def to_text(token: bytes) -> str:
    """The text of a JSON string token. Raises ValueError if it is none."""
    text = orjson.loads(token)
    if not isinstance(text, str):
        raise ValueError("not a JSON string")
    return text
