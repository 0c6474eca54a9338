"""The parts that a model's content consists of: what is visible of them, where it is, and what a turn is known by.

Clients join texts that came in several parts, and leave thoughts out of what they send back; others keep every part.
So places are counted in units that both keep: each character of a text that is no thought is one, and each other part
that says something (a call, a picture) is one. Thoughts, and parts that hold nothing but a signature, count nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

import msgspec
import orjson
from blake3 import blake3

from headroom.zones.places import UNREADABLE, Span, elements, member, members

_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)")
_CALLS = ("functionCall", "function_call")
_RESPONSES = ("functionResponse", "function_response")
_NONE: frozenset[str] = frozenset()
_SIGNATURES = ("thoughtSignature", "thought_signature")


class _Item(msgspec.Struct, frozen=True, gc=False):
    role: str | None = None


_read_item = msgspec.json.Decoder(_Item).decode


class Part(msgspec.Struct, frozen=True, gc=False):
    """One part. `text` is where its string of visible text stands in `raw`, quotes included; empty where it has none.

    `units` are counted as the module says. `plain`: it is a text and nothing else, and can go on in the next such part.
    `hidden`: it calls a tool of the proxy's.
    """

    raw: bytes
    units: int = 0
    text: Span = (0, 0)
    call: bytes = b""
    response: bool = False
    thought: bool = False
    signed: bool = False
    plain: bool = False
    hidden: bool = False

    @property
    def name(self) -> str:
        """The name of the function that it calls."""
        return _string(self.call, "name")

    @property
    def call_id(self) -> str:
        """The id of its call; empty where it has none."""
        return _string(self.call, "id")


def part(raw: bytes, ours: frozenset[str] = _NONE) -> Part:
    """Read one part. A call of one of `ours` is hidden; what a client sends has none."""
    fields = members(raw)
    thought = any(raw[slice(*fields[key])] == b"true" for key in ("thought",) if key in fields)
    signed = any(key in fields for key in _SIGNATURES)
    for key in _CALLS:
        if key in fields and raw[fields[key][0]] == 0x7B:
            call = raw[slice(*fields[key])]
            return Part(raw, 1, call=call, signed=signed, hidden=bool(ours) and _string(call, "name") in ours)
    if thought:
        return Part(raw, thought=True, signed=signed)
    if "text" in fields and raw[fields["text"][0]] == 0x22:
        span = fields["text"]
        return Part(raw, _length(raw[slice(*span)]), span, signed=signed, plain=fields.keys() == {"text"})
    says = any(key not in (*_SIGNATURES, "thought") for key in fields) or not fields
    return Part(raw, int(says), response=any(key in fields for key in _RESPONSES), signed=signed)


def find_parts(content: bytes) -> list[Span] | None:
    """Where the parts of a content are in it; None where it has no list of them."""
    start, end = member(content, "parts")
    return elements(content, start, end) if content[start : start + 1] == b"[" else None


def parts_of(content: bytes) -> list[Part]:
    """The parts of a content."""
    return [part(content[start:end]) for start, end in find_parts(content) or ()]


def role(item: bytes) -> str:
    """The role of a content; empty where it has none, `?` where it is no content."""
    try:
        return _read_item(item).role or ""
    except UNREADABLE:
        return "?"


def anchor(parts: Iterable[Part]) -> bytes:
    """The digest that a turn is known by: of its last call, or of its text; empty where nothing is visible.

    Of the call's name and arguments, not of its id: a client gives an id of its own to a call that came without. The
    text before a call is left out, since a client may keep it in a content of its own.
    """
    seen = [one for one in parts if one.units and not one.hidden]
    calls = [one for one in seen if one.call]
    if calls:
        return blake3(b"call\0" + _call_identity(calls[-1])).digest()
    said = b"".join(_decoded(one) for one in seen)
    return blake3(b"text\0" + said).digest() if seen else b""


def joined(parts: Sequence[Part]) -> list[bytes]:
    """Parts as a client that joins texts sends them back: thoughts without a signature and empty texts are left out."""
    out: list[bytes] = []
    texts: list[bytes] = []
    for one in parts:
        if one.thought and not one.signed:
            continue
        if one.plain:
            if one.units:
                texts.append(one.raw[one.text[0] + 1 : one.text[1] - 1])
            continue
        if texts:
            out.append(text_part(b"".join(texts)))
            texts.clear()
        out.append(one.raw)
    if texts:
        out.append(text_part(b"".join(texts)))
    return out


def text_part(inner: bytes) -> bytes:
    """The part that says what stands between the quotes of a string token."""
    return b'{"text":"%b"}' % inner


def content(who: bytes, parts: Iterable[bytes]) -> bytes:
    """A content, as the clients write it."""
    return b'{"role":"%b","parts":[%b]}' % (who, b",".join(parts))


def offset(token: bytes, characters: int) -> int:
    """Where in a string token, its opening quote included, its first `characters` characters end. Cost: linear."""
    at = 1
    for match in _ESCAPE.finditer(token, 1, len(token) - 1):
        begin = match.start()
        run = token[at:begin].decode()
        if len(run) >= characters:
            return at + len(run[:characters].encode())
        characters -= len(run) + 1
        at = match.end()
    return at + len(token[at:-1].decode()[:characters].encode())


def _decoded(one: Part) -> bytes:
    """What a visible part says, however it is spelled."""
    if one.text != (0, 0):
        return _loads(one.raw[slice(*one.text)]).encode("utf-8", "surrogatepass")
    try:
        return b"\0" + orjson.dumps(orjson.loads(one.raw), option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONDecodeError, TypeError):
        return b"\0" + one.raw


def _call_identity(one: Part) -> bytes:
    start, end = member(one.call, "args")
    given = one.call[start:end]
    try:
        given = orjson.dumps(orjson.loads(given or b"{}"), option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONDecodeError, TypeError):
        pass
    return b"%b\0%b" % (one.name.encode(), given)


def _string(text: bytes, key: str) -> str:
    """The string under `key` of an object; empty where there is none."""
    start, end = member(text, key) if text else (0, 0)
    token = text[start:end]
    return _loads(token).encode("utf-8", "replace").decode() if token[:1] == b'"' else ""


def _length(token: bytes) -> int:
    """Characters of a string token."""
    return len(_loads(token))


def _loads(token: bytes) -> str:
    """The text of a string token that may hold half a surrogate pair."""
    try:
        return str(orjson.loads(token))
    except orjson.JSONDecodeError:
        pass
    try:
        return str(json.loads(token.decode("utf-8", "replace"), strict=False))
    except ValueError:
        return ""
