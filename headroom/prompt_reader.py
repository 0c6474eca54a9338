"""What stands beside a dialect's items and caching is decided by: tools, model, instructions, how it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from headroom.providers import Dialect
from headroom.zones.breakpoints import Prompts
from headroom.zones.locate import RAW
from headroom.zones.places import UNREADABLE

NONE: Final = RAW(b"")
"""In the place of a member that is not there."""
ABSENT: Final = (b"", b"null")
"""Values of members that say nothing."""


class _Opening(msgspec.Struct, gc=False):
    role: str = ""
    content: msgspec.Raw = NONE


class PromptReader:
    """Reads what stands beside a dialect's items."""

    def __init__(self, dialect: Dialect) -> None:
        shape = dialect.shape
        assert shape is not None
        names = {"tools", "model", "instructions", dialect.cache_key, dialect.stored}
        names |= {*dialect.chained, *dialect.own_markers, *dialect.cached_under}
        fields = [(name, RAW, NONE) for name in sorted(names - {""})]
        self._top = msgspec.json.Decoder(msgspec.defstruct("Top", fields, gc=False))
        opening = [(shape.items, list[_Opening])]
        self._opening = msgspec.json.Decoder(msgspec.defstruct("Items", opening, gc=False))
        self._items = shape.items
        self.prompts = Prompts(shape) if dialect.markable else None

    def top(self, body: bytes) -> Mapping[str, msgspec.Raw] | None:
        """Members of the body; None where it is no object. They are views: keep the body while using them."""
        try:
            found = self._top.decode(body)
        except UNREADABLE:
            return None
        return {name: value for name in found.__struct_fields__ if len(value := getattr(found, name))}

    def system(self, body: bytes) -> bytes:
        """The content of the first item that gives instructions; empty where none does."""
        try:
            items: list[_Opening] = getattr(self._opening.decode(body), self._items)
        except UNREADABLE:
            return b""
        return next((bytes(item.content) for item in items if item.role in ("system", "developer")), b"")
