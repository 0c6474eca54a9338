"""A request's list of tools: which there are, and where more of them go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import orjson

from headroom.zones.locate import address
from headroom.zones.preamble import Preamble
from headroom.zones.splice import Edit


class Tools(msgspec.Struct, frozen=True, gc=False):
    """The tools of a request. `end` is where the list's closing bracket stands; `names` are theirs, unordered."""

    end: int
    names: frozenset[str]


def tools_of(body: bytes, preamble: Preamble, functions: Sequence[str] = ()) -> Tools | None:
    """The tools of `body`, whose preamble is given, or None where it offers none. Cost: decoding the list.

    `functions` are the keys under which a tool holds the function that it is, or a list of them.
    """
    raw = preamble.tools
    try:
        tools = orjson.loads(bytes(raw)) if len(raw) else None
    except orjson.JSONDecodeError:
        return None
    if not isinstance(tools, list) or not tools:
        return None
    names = frozenset(_names(tools, functions))
    if not names:
        return None  # the provider's own tools alone, beside which some refuse functions
    return Tools(address(raw) - address(body) + len(raw) - 1, names)


def with_tools(tools: Tools, definitions: Sequence[bytes]) -> Edit:
    """The edit that adds more tools at the end of the list."""
    return Edit(tools.end, tools.end, b"".join(b"," + definition for definition in definitions))


def _names(value: object, functions: Sequence[str]) -> Iterator[str]:
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
