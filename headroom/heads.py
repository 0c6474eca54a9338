"""What of a head goes on: the client's towards the origin, the origin's towards the client. Pure."""

from __future__ import annotations

from typing import Final

from headroom.plan import Plan
from headroom.providers import DROPPED_FIELDS
from headroom.wire.head import CHUNKED, RequestHead, ResponseHead

NEVER_FORWARDED: Final = (b"x-headroom-proxy-token",)  # whatever is set: it is ours, and a secret
_INTERNAL: Final = b"\r\nx-headroom-"
_ALWAYS_CUT: Final = (*NEVER_FORWARDED, *DROPPED_FIELDS)
_NEEDLES: Final = tuple((name, b"\r\n" + name + b":") for name in _ALWAYS_CUT)


def onward(head: RequestHead, plan: Plan, *, strip: bool, length: int | None, decoded: bool) -> bytes:
    """The client's head as it goes to the origin: its own bytes, with the target, Host and what is this hop's changed.

    `strip` takes all internal fields off. `length` is the body's new size in bytes, None where its framing stays;
    `decoded` says that its content coding was undone.
    """
    fields = head.fields
    lower = fields.lower
    edits = [(name, b"") for name in fields.hop_by_hop]
    tail = b""
    if b"host" in fields:
        edits.append((b"host", plan.origin.host_line))
    else:
        tail = plan.origin.host_line
    if head.upgrade:
        edits = [edit for edit in edits if edit[0] not in (b"upgrade", b"connection")]
    edits += [(name, b"") for name, needle in _NEEDLES if needle in lower]
    if strip and _INTERNAL in lower:
        edits += [(name, b"") for name in fields if name.startswith(b"x-headroom-") and name not in NEVER_FORWARDED]
    if length is not None:
        line = b"Content-Length: %d\r\n" % length
        if head.length == CHUNKED:
            edits.append((b"transfer-encoding", b""))
            tail += line
        else:
            edits.append((b"content-length", line))
    if decoded:
        edits.append((b"content-encoding", b""))
    if plan.mode == "rewrite":
        edits.append((b"expect", b""))  # it was answered here
    return fields.edited(edits, tail, b"%b %b HTTP/1.1\r\n" % (head.method, plan.target))


def homeward(head: ResponseHead, own: bytes, *, close: bool, dechunk: bool) -> bytes:
    """The origin's head as it goes to the client: its own bytes, without what is that hop's, with our lines added."""
    edits = [(name, b"") for name in head.fields.hop_by_hop]
    if dechunk:
        edits.append((b"transfer-encoding", b""))
    return head.fields.edited(edits, own + b"Connection: close\r\n" if close else own)
