"""A request's list of tools in an order of its own: sorted, its schemas' keys sorted, the last one marked.

What is only put elsewhere keeps its bytes: slices of the list change places, and nothing is encoded anew.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from blake3 import blake3

from headroom.zones.places import UNREADABLE, Span, elements, members
from headroom.zones.shape import ToolShape
from headroom.zones.splice import Edit, to_text

MOST: Final = 1024  # tools of a list that is put in order; providers take some hundreds
MEMBERS: Final = 10_000  # colons in such a list, which bound how long that takes
DIGEST: Final = 4  # bytes of what a tool is known by; two that have it in common are put in order as one
DEPTH_LIMIT: Final = 32  # levels of a schema whose keys are sorted; a deeper one is left alone
_KEY = re.compile(rb'[ \t\r\n,]*+("(?:[^"\\]|\\.)*+")[ \t\r\n]*+:[ \t\r\n]*+', re.DOTALL)
_END = re.compile(rb"[ \t\r\n]*+\}[ \t\r\n]*+")
_read_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Arranged(msgspec.Struct, frozen=True, gc=False):
    """Edits of a list of tools, as offsets in it. `tools` is the list with all of them made but the marker."""

    edits: tuple[Edit, ...]
    tools: bytes
    moved: bool
    schemas: bool
    marked: bool


class _Odd(Exception):
    """A schema whose keys are not to be sorted."""


def arranged(
    raw: bytes, shape: ToolShape, *, sort: bool, schemas: bool, marker: bytes = b"", known: Sequence[bytes] = ()
) -> Arranged:
    """What puts the list of tools `raw` in order; no edits where it is none, is so already, or is too long.

    `sort`: by what names it, by bytes, or where nothing does, by a digest of it; what is equal keeps its order.
    Those that are `called` as in the first of `known` come first, and so on, others last: what is added later must not
    take the place in the prompt of what was there before.
    `schemas`: the keys of schemas as in `sorted_keys`. `marker`: a member that the last tool which may carry one gets,
    as its last.

    Blanks and commas between tools stay where they are. Pure, and the same again for its own result. Cost: a pass over
    the list per level that is looked into.
    """
    spans = _spans(raw)
    if not spans:
        return Arranged((), raw, moved=False, schemas=False, marked=False)
    ranks = {digest: rank for rank, names in reversed([*enumerate(known)]) for digest in split(names)}
    came = [raw[start:end] for start, end in spans]
    tidy = [_with_schemas(tool, shape) for tool in came] if schemas else came
    made = [_inside(tool, shape, ranks) for tool in tidy] if sort and shape.lists else tidy
    if sort and shape.ordered:
        made = _sorted_tools(made, shape, ranks)
    moved = made != tidy
    plain = _edits(spans, came, made)
    tools = _made(raw, plain)
    last = _last_markable(made, shape) if marker else None
    if last is None:
        return Arranged(plain, tools, moved=moved, schemas=tidy != came, marked=False)
    marked = [*made[:last], with_member(made[last], marker), *made[last + 1 :]]
    return Arranged(_edits(spans, came, marked), tools, moved=moved, schemas=tidy != came, marked=True)


def called(raw: bytes, shape: ToolShape) -> bytes:
    """Digests of what the tools of a list are called, and the functions in them, joined in order; empty for a list
    that is not put in order."""
    found: set[bytes] = set()
    for start, end in _spans(raw):
        tool = raw[start:end]
        if shape.ordered:
            found.add(_digest(tool, shape))
        for key in shape.lists:
            begin, stop = members(tool).get(key, (0, 0))
            found |= {_digest(tool[a:b], shape) for a, b in elements(tool, begin, stop) or ()}
    return b"".join(sorted(found))


def split(names: bytes) -> list[bytes]:
    """The digests that are joined in `names`."""
    return [names[at : at + DIGEST] for at in range(0, len(names), DIGEST)]


def sorted_keys(raw: bytes) -> bytes:
    """JSON text with the keys of every object in it sorted by code point; lists keep their order.

    Members change places whole, with the bytes that they came with; what stands between them stays. The very text where
    a key is there twice, where it is deeper than `DEPTH_LIMIT`, or where it is no JSON.
    """
    try:
        return _sorted(raw, DEPTH_LIMIT)
    except (_Odd, *UNREADABLE):
        return raw


def with_member(raw: bytes, member: bytes) -> bytes:
    """The object `raw` with one member more, its last. `raw` ends with its closing brace."""
    return b"%b%b%b}" % (raw[:-1], b"," if raw[1:-1].strip() else b"", member)


def has_marker(raw: bytes, marker: str) -> bool:
    """Whether any tool of the list carries a cache marker; schemas are not searched. True for a list that hides it."""
    if marker.encode() not in raw and b"\\u" not in raw:
        return False
    for start, end in elements(raw, 0, len(raw)) or ():
        tool = raw[start:end]
        found = members(tool)
        if not found and len(tool) > 2:
            return True  # a key twice, or no object: who knows
        function = found.get("function", (0, 0))
        if marker in found or marker in members(tool[slice(*function)]):
            return True
    return False


def _edits(spans: list[Span], came: list[bytes], made: list[bytes]) -> tuple[Edit, ...]:
    together = zip(spans, came, made, strict=True)
    return tuple(Edit(start, end, new) for (start, end), old, new in together if old != new)


def _made(raw: bytes, edits: tuple[Edit, ...]) -> bytes:
    parts: list[bytes] = []
    at = 0
    for edit in edits:
        parts += (raw[at : edit.start], edit.token)
        at = edit.end
    return raw if not parts else b"".join((*parts, raw[at:]))


def _spans(raw: bytes) -> list[Span]:
    """The tools of a list; none for one that is beyond all measure, or is no list."""
    spans = elements(raw, 0, len(raw)) if raw[:1] == b"[" else None
    return spans if spans and len(spans) <= MOST and raw.count(b":") <= MEMBERS else []


def _sorted_tools(tools: list[bytes], shape: ToolShape, ranks: Mapping[bytes, int]) -> list[bytes]:
    last = len(ranks)
    return sorted(
        tools, key=lambda tool: (ranks.get(_digest(tool, shape), last) if ranks else 0, _sort_key(tool, shape))
    )


def _inside(tool: bytes, shape: ToolShape, ranks: Mapping[bytes, int]) -> bytes:
    """A tool with the functions that it has of its own in order."""
    for key in shape.lists:
        start, end = members(tool).get(key, (0, 0))
        spans = elements(tool, start, end) if tool[start : start + 1] == b"[" else None
        if spans:
            came = [tool[begin:stop] for begin, stop in spans]
            tool = _made(tool, _edits(spans, came, _sorted_tools(came, shape, ranks)))
    return tool


def _with_schemas(tool: bytes, shape: ToolShape) -> bytes:
    """A tool with the keys of its schemas in order, and of those of its own functions."""
    for path in shape.schemas:
        tool = _at(tool, path)
    for key in shape.lists:
        start, end = members(tool).get(key, (0, 0))
        spans = elements(tool, start, end) if tool[start : start + 1] == b"[" else None
        for begin, stop in reversed(spans or ()):
            function = tool[begin:stop]
            for path in shape.schemas:
                function = _at(function, path)
            tool = tool[:begin] + function + tool[stop:]
    return tool


def _at(text: bytes, path: tuple[str, ...]) -> bytes:
    """`text` with the keys sorted in what `path` leads to, if it leads to anything."""
    start, end = _place(text, path)
    return text if start == end else text[:start] + sorted_keys(text[start:end]) + text[end:]


def _place(text: bytes, path: tuple[str, ...]) -> Span:
    """Where the value at `path` in the object `text` is; an empty span where there is none."""
    start, end = 0, len(text)
    for key in path:
        found = members(text[start:end]).get(key)
        if found is None:
            return 0, 0
        start, end = start + found[0], start + found[1]
    return start, end


def _sort_key(tool: bytes, shape: ToolShape) -> bytes:
    for path in shape.names:
        start, end = _place(tool, path)
        if tool[start : start + 1] == b'"':
            try:
                return to_text(tool[start:end]).encode()
            except ValueError:
                break
    return blake3(tool).hexdigest().encode()


def _digest(tool: bytes, shape: ToolShape) -> bytes:
    return blake3(_sort_key(tool, shape)).digest(DIGEST)


def _last_markable(made: list[bytes], shape: ToolShape) -> int | None:
    """The place of the last tool that may carry a marker."""
    for place in range(len(made) - 1, -1, -1):
        tool = made[place]
        found = members(tool)
        start, end = found.get(shape.unmarkable, (0, 0))
        if found and tool[start:end] != b"true":
            return place
    return None


def _sorted(raw: bytes, depth: int) -> bytes:
    opening = raw[:1]
    if opening not in (b"{", b"["):
        return raw
    if not depth:
        raise _Odd
    if opening == b"[":
        spans = elements(raw, 0, len(raw)) or []
        came = [raw[start:end] for start, end in spans]
        return _made(raw, _edits(spans, came, [_sorted(one, depth - 1) for one in came]))
    places: list[Span] = []
    slices: list[tuple[str, bytes]] = []
    at = 1
    for key, value in _read_object(raw).items():
        match = _KEY.match(raw, at)
        if match is None:
            raise _Odd
        begin = match.end()
        at = begin + len(value)
        # Of a key that is there twice only the last value is here, and in the first one's place: the bytes differ, or
        # what follows is no key, or something is left at the end.
        own = raw[begin:at]
        if own != bytes(value):
            raise _Odd
        places.append((match.start(1), at))
        slices.append((key, raw[match.start(1) : begin] + _sorted(own, depth - 1)))
    if not _END.fullmatch(raw, at):
        raise _Odd
    slices.sort(key=lambda pair: pair[0])
    return _made(raw, _edits(places, [raw[start:end] for start, end in places], [one for _, one in slices]))
