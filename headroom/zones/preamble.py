"""What stands before a conversation in a request body: its instructions and its tools, found by the dialect's shape."""

from __future__ import annotations

from functools import cache

import msgspec
import orjson

from headroom.zones.shape import Shape

RAW = msgspec.Raw
_NONE = RAW(b"")
_ABSENT = (b"", b"null", b'""')


class Preamble(msgspec.Struct, frozen=True, gc=False):
    """Views of a body's parts; the body must outlive them.

    - `system`: each field of instructions that is there, by its name. `tools` and `items` are empty where there are
      none.
    - `goes_on`: the request goes on from an answer that the provider remembers, so it begins no conversation, whatever
      it holds itself.
    - `several`: it asks for more than one answer. `kept`: the provider keeps its conversation, hidden calls included.
    """

    system: tuple[tuple[str, msgspec.Raw], ...] = ()
    tools: msgspec.Raw = _NONE
    items: msgspec.Raw = _NONE
    goes_on: bool = False
    several: bool = False
    kept: bool = False


def preamble_of(body: bytes, shape: Shape) -> Preamble:
    """The parts of `body`; all empty for a body of another shape. Cost: msgspec's pass over the body."""
    try:
        top = _decoder(shape).decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return Preamble()
    holder = getattr(top, shape.under) if shape.under else top
    system = tuple((name, raw) for name in shape.instructions if len(raw := getattr(holder, name)))
    goes_on, kept = (bool(key) and bytes(getattr(holder, key)) not in _ABSENT for key in (shape.goes_on, shape.kept))
    several = bool(shape.several) and _is_several(bytes(getattr(holder, shape.several[0])), shape.several[1:])
    return Preamble(system, getattr(holder, shape.tools), getattr(holder, shape.items), goes_on, several, kept)


def _is_several(raw: bytes, path: tuple[str, ...]) -> bool:
    """Whether the number at `path` in a value is more than one."""
    try:
        value: object = orjson.loads(raw) if raw else None
    except orjson.JSONDecodeError:
        return False
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return isinstance(value, int | float) and value > 1


@cache
def _decoder(shape: Shape) -> msgspec.json.Decoder[msgspec.Struct]:
    others = filter(None, (shape.goes_on, shape.kept, *shape.several[:1]))
    names = dict.fromkeys((*shape.instructions, shape.tools, shape.items, *others))
    holder = msgspec.defstruct("Holder", [(name, RAW, _NONE) for name in names], gc=False)
    if not shape.under:
        return msgspec.json.Decoder(holder)
    field = (shape.under, holder, msgspec.field(default_factory=holder))
    return msgspec.json.Decoder(msgspec.defstruct("Around", [field], gc=False))
