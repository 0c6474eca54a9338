"""Message heads: parsed once, forwarded as their own bytes with single lines cut or replaced."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar, overload

import msgspec

T = TypeVar("T")

# RFC 9110 §7.6.1, with the two spellings of Trailer(s) and the non-standard Proxy-Connection that clients still send.
# Transfer-Encoding is hop-by-hop too, but a chunked body is relayed with its own framing, so its header stays with it.
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"trailers",
        b"upgrade",
    }
)
# Never dropped on a peer's word in `Connection`: framing and routing would change under the other side's feet.
_NOT_NOMINABLE = frozenset({b"content-length", b"transfer-encoding", b"host", b"close", b"keep-alive", b""})

# Reason phrases of the statuses that are answered here (RFC 9110 §15).
REASONS = {
    200: b"OK",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    408: b"Request Timeout",
    413: b"Content Too Large",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
}

CHUNKED = -1
"""`length` of a message whose body is chunked."""
UNTIL_CLOSE = -2
"""`length` of a response whose body ends with the connection."""


# Fields that are asked for, or cut, in nearly every exchange. They are found in one pass; others when asked for.
_INDEXED = frozenset(
    HOP_BY_HOP
    | {
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"content-type",
        b"content-encoding",
        b"expect",
        b"request-id",
        b"x-request-id",
    }
)
_INDEX = re.compile(rb"\r\n(" + b"|".join(map(re.escape, sorted(_INDEXED, reverse=True))) + rb"):")


class Fields(Mapping[bytes, bytes]):
    """The fields of a head, found when asked for: most are only passed on, and never looked at.

    Names are lower-case; values are without blanks around them; repeated fields are joined with ``, ``. `raw` must have
    been judged already, so that CRLF + name + colon can only be a field's begin. Cost: one pass for the common fields,
    a search per look-up for others.
    """

    __slots__ = ("_at", "lower", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.lower = raw.lower()
        at: dict[bytes, list[int]] = {}
        for match in _INDEX.finditer(self.lower):
            at.setdefault(match[1], []).append(match.start())
        self._at = at

    def places(self, name: bytes) -> list[int]:
        """Where the CRLF before each field of this name is."""
        if name in _INDEXED:
            return self._at.get(name, [])
        needle = b"\r\n" + name + b":"
        found: list[int] = []
        at = self.lower.find(needle)
        while at >= 0:
            found.append(at)
            at = self.lower.find(needle, at + len(needle))
        return found

    def __contains__(self, name: object) -> bool:
        if name in _INDEXED:
            return name in self._at
        return isinstance(name, bytes) and b"\r\n" + name + b":" in self.lower

    @overload
    def get(self, name: bytes, default: None = None, /) -> bytes | None: ...
    @overload
    def get(self, name: bytes, default: bytes | T, /) -> bytes | T: ...
    def get(self, name: bytes, default: bytes | T | None = None, /) -> bytes | T | None:
        """The value of `name`, or `default`."""
        places = self._at.get(name) if name in _INDEXED else self.places(name)
        if not places:
            return default
        raw, skip = self.raw, len(name) + 3
        if len(places) == 1:
            at = places[0]
            return raw[at + skip : raw.index(b"\r\n", at + skip)].strip(b" \t")
        return b", ".join(raw[at + skip : raw.index(b"\r\n", at + skip)].strip(b" \t") for at in places)

    def __getitem__(self, name: bytes) -> bytes:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[bytes]:
        return iter(dict.fromkeys(line.partition(b":")[0] for line in self.lower.split(b"\r\n")[1:-2]))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def edited(self, edits: Iterable[tuple[bytes, bytes]], tail: bytes = b"", line: bytes = b"") -> bytes:
        """The head with lines cut or replaced, `tail` added before the empty line, and `line` as its start line.

        Each edit is (lower-case name, the whole new line with its CRLF, or ``b""`` to cut it). Where a name occurs more
        than once the first occurrence is replaced and the others are cut. All else keeps its bytes.
        """
        raw = self.raw
        cuts: list[tuple[int, int, bytes]] = []
        for name, put in edits:
            for at in self.places(name):
                cuts.append((at + 2, raw.index(b"\r\n", at + 2) + 2, put))
                put = b""  # noqa: PLW2901 - the first is replaced, the others are cut
        at = 0
        parts: list[bytes] = []
        if line:
            parts.append(line)
            at = raw.index(b"\r\n") + 2
        if len(cuts) > 1:
            cuts.sort()
        for start, end, put in cuts:
            parts.append(raw[at:start])
            parts.append(put)
            at = end
        parts.append(raw[at:-2])
        parts.append(tail)
        parts.append(b"\r\n")
        return b"".join(parts)

    @property
    def hop_by_hop(self) -> list[bytes]:
        """Names of fields that belong to this hop only: the fixed ones and those that `Connection` nominates."""
        names = [name for name in self._at if name in HOP_BY_HOP]
        if b"connection" in self._at:
            connection = self[b"connection"].lower()
            if connection not in (b"keep-alive", b"close"):
                nominated = [n for n in tokens(connection) if n not in HOP_BY_HOP and n not in _NOT_NOMINABLE]
                names += [name for name in nominated if name in self]
        return names


class RequestHead(msgspec.Struct, frozen=True, gc=False):
    """A request head. `raw` is everything up to and including the empty line, as received.

    `fields` maps lower-case names to values; repeated fields are joined with ``, ``. `length` is the body's size in
    bytes or `CHUNKED`. `minor` is the x of HTTP/1.x.
    """

    method: bytes
    target: bytes
    minor: int
    fields: Fields
    length: int
    raw: bytes

    @property
    def keep_alive(self) -> bool:
        """Whether the client allows another request on this connection. HTTP/1.0 never does here."""
        return self.minor == 1 and b"close" not in tokens(self.fields.get(b"connection", b""))

    @property
    def expects_continue(self) -> bool:
        """RFC 9110 §10.1.1: the client waits for 100 before it sends its body."""
        return self.minor == 1 and self.fields.get(b"expect", b"").lower() == b"100-continue"

    @property
    def upgrade(self) -> bool:
        """Whether the client asks to switch protocols (RFC 9110 §7.8).

        Nobody may on HTTP/1.0. Asking for HTTP/2 in this way is obsolete (RFC 9113 §3.1), and left out: some clients do
        it with every request, and do without.
        """
        upgrade = self.fields.get(b"upgrade")
        if upgrade is None or b"upgrade" not in tokens(self.fields.get(b"connection", b"")):
            return False
        return self.minor == 1 and upgrade.lower() != b"h2c"


class ResponseHead(msgspec.Struct, frozen=True, gc=False):
    """A response head; see `RequestHead`. `length` may also be `UNTIL_CLOSE`."""

    status: int
    minor: int
    fields: Fields
    length: int
    raw: bytes

    @property
    def keep_alive(self) -> bool:
        """Whether the origin's connection can serve another request after this answer."""
        if self.length == UNTIL_CLOSE:
            return False
        named = tokens(self.fields.get(b"connection", b""))
        return b"close" not in named and (self.minor == 1 or b"keep-alive" in named)

    @property
    def interim(self) -> bool:
        """1xx, except 101: another head follows."""
        return 100 <= self.status < 200 and self.status != 101


def tokens(value: bytes) -> list[bytes]:
    """The comma-separated members of a field value, lower-case and trimmed. Cost: one pass."""
    return [part.strip() for part in value.lower().split(b",")] if value else []
