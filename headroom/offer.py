"""What stands before the items of a request: its tools, where more of them go, and its instructions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import orjson

from headroom.zones.locate import RAW, address
from headroom.zones.places import UNREADABLE
from headroom.zones.shape import Shape
from headroom.zones.splice import Edit

_NONE = RAW(b"")
_read = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Tools(msgspec.Struct, frozen=True, gc=False):
    """The tools of a request. `end` is where the list's closing bracket stands; `names` are theirs, unordered."""

    end: int
    names: frozenset[str]


class Front(msgspec.Struct, frozen=True, gc=False):
    """What stands before a conversation in the prompt, raw: views of the body that is given to `front_of`.

    `texts` are the list of tools and then the instructions, each empty where there is none; `end` is where the list of
    tools ends in the body. `goes_on`: the request goes on from an answer that the provider remembers, so it begins no
    conversation whatever it holds itself.
    """

    texts: tuple[bytes, ...]
    functions: tuple[str, ...]
    end: int
    goes_on: bool

    def tools(self) -> Tools | None:
        """The tools, or None where the request offers none. Cost: decoding the list."""
        raw = self.texts[0]
        try:
            tools = orjson.loads(raw) if raw else None
        except orjson.JSONDecodeError:
            return None
        if not isinstance(tools, list) or not tools:
            return None
        names = frozenset(_names(tools, self.functions))
        if not names:
            return None  # the provider's own tools alone, beside which some refuse functions
        return Tools(self.end - 1, names)


def front_of(body: bytes, shape: Shape) -> Front:
    """What stands before the items of `body`; nothing where it cannot be read. Cost: one pass over the body."""
    raw: bytes | msgspec.Raw = body
    fields: dict[str, msgspec.Raw] = {}
    try:
        for key in (shape.under, "") if shape.under else ("",):
            fields = _read(raw)
            raw = fields.get(key, _NONE)
    except UNREADABLE:
        fields = {}
    found = [fields.get(key, _NONE) for key in (shape.tools, *shape.instructions)]
    end = address(found[0]) - address(body) + len(found[0]) if len(found[0]) else 0
    earlier = bytes(fields.get(shape.goes_on, _NONE)) if shape.goes_on else b""
    goes_on = earlier not in (b"", b"null", b'""')
    return Front(tuple(map(bytes, found)), shape.functions, end, goes_on)


def with_tools(tools: Tools, definitions: Sequence[bytes]) -> Edit:
    """The edit that adds more tools at the end of the list."""
    return Edit(tools.end, tools.end, b"".join(b"," + definition for definition in definitions))


def _names(value: object, functions: tuple[str, ...]) -> Iterator[str]:
    """Names of tools, on the tool itself or on what it has under one of `functions`."""
    if isinstance(value, list):
        for one in value:
            yield from _names(one, functions)
    elif isinstance(value, dict):
        name = value.get("name")
        if isinstance(name, str):
            yield name
        for key in functions:
            yield from _names(value.get(key), functions)
