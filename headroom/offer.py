"""A request's list of tools: which there are, and where one more goes."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import orjson

from headroom.zones.locate import RAW, address
from headroom.zones.splice import Edit

_NONE = RAW(b"")


class _Top(msgspec.Struct, gc=False):
    tools: msgspec.Raw = _NONE
    previous_response_id: msgspec.Raw = _NONE


class _Under(msgspec.Struct, gc=False):
    request: _Top = msgspec.field(default_factory=_Top)


class _Head(msgspec.Struct, gc=False):
    tools: msgspec.Raw = _NONE
    system: msgspec.Raw = _NONE
    instructions: msgspec.Raw = _NONE
    systemInstruction: msgspec.Raw = _NONE
    system_instruction: msgspec.Raw = _NONE


_HEAD = msgspec.json.Decoder(_Head)
_TOP = msgspec.json.Decoder(_Top)
_UNDER = msgspec.json.Decoder(_Under)


class Tools(msgspec.Struct, frozen=True, gc=False):
    """The tools of a request. `end` is where the list's closing bracket stands; `names` are theirs, unordered.

    `goes_on`: the request goes on from an answer that the provider remembers, whatever it holds itself.
    """

    end: int
    names: frozenset[str]
    goes_on: bool = False


def tools_of(body: bytes, under: str = "") -> Tools | None:
    """The tools in `body`, or None where it offers none. `under` names the object that holds the request, if one does.

    Cost: one pass over the body, and decoding the list.
    """
    try:
        top = _UNDER.decode(body).request if under else _TOP.decode(body)
        raw = top.tools
        tools = orjson.loads(bytes(raw)) if len(raw) else None
    except (msgspec.MsgspecError, orjson.JSONDecodeError, RecursionError, UnicodeDecodeError):
        return None
    if not isinstance(tools, list) or not tools:
        return None
    names = frozenset(_names(tools))
    if not names:
        return None  # the provider's own tools alone, beside which some refuse functions
    goes_on = bytes(top.previous_response_id) not in (b"", b"null", b'""')
    return Tools(address(raw) - address(body) + len(raw) - 1, names, goes_on)


def instructions_of(body: bytes) -> list[bytes]:
    """What stands before a conversation in the prompt: its tools and instructions, raw; empty where there are none."""
    try:
        head = _HEAD.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return []
    return [bytes(getattr(head, name)) for name in head.__struct_fields__]


def with_tool(tools: Tools, definition: bytes) -> Edit:
    """The edit that adds one more tool at the end of the list."""
    return Edit(tools.end, tools.end, b"," + definition)


def _names(value: object) -> Iterator[str]:
    """Names of tools, on the tool itself, in its function, or in its list of functions."""
    if isinstance(value, list):
        for one in value:
            yield from _names(one)
    elif isinstance(value, dict):
        name = value.get("name")
        if isinstance(name, str):
            yield name
        for key in ("function", "functionDeclarations", "function_declarations"):
            yield from _names(value.get(key))
