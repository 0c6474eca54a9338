"""What a client says itself about how its prompt is cached: where it does, it is its own to say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Final

import msgspec

from headroom.prompt_reader import ABSENT, NONE
from headroom.providers import Dialect
from headroom.zones.locate import Located, address
from headroom.zones.tools import has_marker

_LETTERS: Final = (b"\\u004", b"\\u005", b"\\u006", b"\\u007")


def continues(top: Mapping[str, msgspec.Raw], dialect: Dialect) -> bool:
    """Whether a request continues a prompt of which we know nothing, or will be continued by one that does not say
    whose it is: the provider keeps the prompt, and the next request names it by an id of its own. `top` has views of
    the body's members."""
    if any(bytes(top.get(name, NONE)) not in ABSENT for name in dialect.chained):
        return True
    return bool(dialect.stored) and bytes(top.get(dialect.stored, NONE)) != b"false"


def marks_itself(body: bytes, top: Mapping[str, msgspec.Raw], located: Located, dialect: Dialect) -> bool:
    """Whether the client says anywhere what is to be cached. In tools their schemas are not searched; elsewhere
    a member of such a name counts wherever it stands, for there is no list of all places.

    In later requests only what is new is searched, unless markers of ours might come beside those of the client. Cost:
    about a millisecond for each megabyte that is searched, and for each name.
    """
    if located.frozen:
        return True
    tools = bytes(top.get("tools", NONE))
    if any(name in top or (tools and has_marker(tools, name)) for name in dialect.own_markers):
        return True
    begin = address(top["tools"]) - address(body) if tools else 0
    new = located.old[-1].end if located.fresh_from and located.old else located.span[0]
    places = [(0, located.span[0]), (new, len(body))]
    places = [
        part
        for start, end in places
        for part in ((start, min(end, max(start, begin))), (max(start, min(end, begin + len(tools))), end))
    ]
    searched = [(0, begin), (begin + len(tools), len(body))] if dialect.markable else places
    quoted = [b'"%b"' % name.encode() for name in dialect.own_markers]
    if any(body.find(name, *place) >= 0 for name in quoted for place in searched):
        return True
    # Nobody has to escape a letter, and hardly anybody does.
    spelled = _spelled(dialect.own_markers)
    return any(
        body.find(escape, *place) >= 0 and spelled.search(body, *place) is not None
        for place in places
        for escape in _LETTERS
    )


@cache
def _spelled(names: tuple[str, ...]) -> re.Pattern[bytes]:
    """JSON strings that are one of the names, some of their characters escaped."""
    each = (b"".join(b"(?:%c|\\\\u00(?i:%02x))" % (byte, byte) for byte in name.encode()) for name in names)
    return re.compile(b'"(?:%b)"' % b"|".join(each))
