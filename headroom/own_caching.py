"""What a client says itself about how its prompt is cached: where it does, it is its own to say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Final

import msgspec

from headroom.providers import Dialect
from headroom.zones.locate import RAW, Located, address
from headroom.zones.tools import has_marker

_ABSENT: Final = (b"", b"null")
_NONE = RAW(b"")


def continues(top: Mapping[str, msgspec.Raw], dialect: Dialect) -> bool:
    """Whether a request continues a prompt of which we know nothing, or will be continued by one that does not say
    whose it is: the provider keeps the prompt, and the next request names it by an id of its own. `top` has views of
    the body's members."""
    if any(bytes(top.get(name, _NONE)) not in _ABSENT for name in dialect.chained):
        return True
    return bool(dialect.stored) and bytes(top.get(dialect.stored, _NONE)) != b"false"


def marks_itself(body: bytes, top: Mapping[str, msgspec.Raw], located: Located, dialect: Dialect) -> bool:
    """Whether the client says anywhere what is to be cached, or how. In tools their schemas are not searched; elsewhere
    a member of such a name counts wherever it stands, for there is no list of all places."""
    if located.frozen or any(bytes(top.get(name, _NONE)) not in (*_ABSENT, b'""') for name in dialect.own_caching):
        return True
    tools = top.get("tools", _NONE)
    begin = address(tools) - address(body) if len(tools) else 0
    for name in dialect.own_markers:
        if name in top or _names(body, name, 0, begin) or _names(body, name, begin + len(tools), len(body)):
            return True
        if len(tools) and has_marker(bytes(tools), name):
            return True
    return False


def _names(body: bytes, name: str, start: int, end: int) -> bool:
    """Whether a JSON string in ``body[start:end]`` is `name`, some of its characters escaped or none."""
    if body.find(b'"%b"' % name.encode(), start, end) >= 0:
        return True
    return body.find(b"\\u00", start, end) >= 0 and _spelled(name).search(body, start, end) is not None


@cache
def _spelled(name: str) -> re.Pattern[bytes]:
    return re.compile(b'"%b"' % b"".join(b"(?:%c|\\\\u00(?i:%02x))" % (byte, byte) for byte in name.encode()))
