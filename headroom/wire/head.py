"""Message heads: parsed once, forwarded as their own bytes with single lines cut or replaced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

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

CHUNKED = -1
"""`length` of a message whose body is chunked."""
UNTIL_CLOSE = -2
"""`length` of a response whose body ends with the connection."""


class RequestHead(msgspec.Struct, frozen=True, gc=False):
    """A request head. `raw` is everything up to and including the empty line, as received.

    `fields` maps lower-case names to values; repeated fields are joined with ``, ``. `length` is the body's size in
    bytes or `CHUNKED`. `minor` is the x of HTTP/1.x.
    """

    method: bytes
    target: bytes
    minor: int
    fields: Mapping[bytes, bytes]
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
        """Whether the client asks to switch protocols (RFC 9110 §7.8)."""
        return b"upgrade" in self.fields and b"upgrade" in tokens(self.fields.get(b"connection", b""))


class ResponseHead(msgspec.Struct, frozen=True, gc=False):
    """A response head; see `RequestHead`. `length` may also be `UNTIL_CLOSE`."""

    status: int
    minor: int
    fields: Mapping[bytes, bytes]
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


def hop_by_hop(fields: Mapping[bytes, bytes]) -> list[bytes]:
    """Names in `fields` that belong to this hop only: the fixed ones and those that `Connection` nominates."""
    names = [name for name in HOP_BY_HOP if name in fields]
    connection = fields.get(b"connection")
    if connection is not None and connection.lower() not in (b"keep-alive", b"close"):
        names += [n for n in tokens(connection) if n in fields and n not in HOP_BY_HOP and n not in _NOT_NOMINABLE]
    return names


def edit_head(raw: bytes, edits: Iterable[tuple[bytes, bytes]], tail: bytes = b"") -> bytes:
    """Return `raw` with lines cut or replaced and `tail` added before the empty line; all else keeps its bytes.

    Each edit is (lower-case name, the whole new line with its CRLF, or ``b""`` to cut it). Where a name occurs more
    than once the first occurrence is replaced and the others are cut. `raw` must be free of folded lines, which the
    readers guarantee, so that CRLF + name + colon can only be a field's begin. Cost: one pass per edit.
    """
    lower = raw.lower()
    cuts: list[tuple[int, int, bytes]] = []
    for name, line in edits:
        needle = b"\r\n" + name + b":"
        put = line
        at = lower.find(needle)
        while at >= 0:
            end = lower.index(b"\r\n", at + 2) + 2
            cuts.append((at + 2, end, put))
            put = b""
            at = lower.find(needle, end - 2)
    if not cuts:
        return raw[:-2] + tail + b"\r\n" if tail else raw
    cuts.sort()
    parts: list[bytes] = []
    at = 0
    for start, end, line in cuts:
        parts.append(raw[at:start])
        parts.append(line)
        at = end
    parts.append(raw[at:-2])
    parts.append(tail)
    parts.append(b"\r\n")
    return b"".join(parts)
