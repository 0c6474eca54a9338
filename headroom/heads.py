"""What of a head goes on: the client's towards the origin, the origin's towards the client. Pure."""

from __future__ import annotations

from typing import Final

from headroom.plan import Plan
from headroom.providers import DROPPED_FIELDS
from headroom.wire.head import CHUNKED, RequestHead, ResponseHead, edit_head, hop_by_hop

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
    raw, lower = head.raw, fields.lower
    line = b"%b %b HTTP/1.1\r\n" % (head.method, plan.target)
    if not raw.startswith(line):
        raw = line + raw[raw.index(b"\r\n") + 2 :]
        lower = raw.lower()
    edits = [(name, b"") for name in hop_by_hop(fields)]
    tail = b""
    if b"\r\nhost:" in lower:
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
    return edit_head(raw, edits, tail, lower)


def homeward(head: ResponseHead, own: bytes, *, close: bool, dechunk: bool) -> bytes:
    """The origin's head as it goes to the client: its own bytes, without what is that hop's, with our lines added."""
    edits = [(name, b"") for name in hop_by_hop(head.fields)]
    if dechunk:
        edits.append((b"transfer-encoding", b""))
    return edit_head(head.raw, edits, own + b"Connection: close\r\n" if close else own, head.fields.lower)
