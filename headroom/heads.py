"""What of a head goes on: the client's towards the origin, the origin's towards the client. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from headroom.attribution import PROJECT_FIELD, USER_FIELD
from headroom.plan import INTERNAL, Plan
from headroom.providers import ACCOUNT_LINE, DROPPED_FIELDS
from headroom.shrink import Receipt
from headroom.wire.head import CHUNKED, REASONS, RequestHead, ResponseHead

# Whatever is set: the one is a secret of ours, the others name people and their work.
NEVER_FORWARDED: Final = (b"x-headroom-proxy-token", PROJECT_FIELD, USER_FIELD)
_NEEDLES: Final = tuple((name, b"\r\n" + name + b":") for name in DROPPED_FIELDS)


def onward(
    head: RequestHead,
    plan: Plan,
    *,
    strip: bool,
    length: int | None,
    decoded: bool,
    readable: bool = False,
    fields_instead: Sequence[tuple[bytes, bytes]] = (),
) -> bytes:
    """The client's head as it goes to the origin: its own bytes, with the target, Host and what is this hop's changed.

    `strip` takes all internal fields off. `length` is the body's new size in bytes, None where its framing stays;
    `decoded` says that its content coding was undone. `readable`: the answer will have to be read on its way, so the
    origin is asked not to code it. `fields_instead` are values that go in place of the client's; an empty one removes
    the field.
    """
    fields = head.fields
    lower = fields.lower
    edits = [(name, b"") for name in fields.hop_by_hop]
    tail = b""
    if b"host" in fields:
        edits.append((b"host", plan.origin.host_line))
    else:
        tail = plan.origin.host_line
    if plan.account:
        tail += ACCOUNT_LINE % plan.account
    if head.upgrade:
        edits = [edit for edit in edits if edit[0] not in (b"upgrade", b"connection")]
    edits += [(name, b"") for name, needle in _NEEDLES if needle in lower]
    if INTERNAL in lower:
        internal = (name for name in fields if name.startswith(b"x-headroom-"))
        edits += [(name, b"") for name in internal if strip or name in NEVER_FORWARDED]
    if length is not None:
        line = b"Content-Length: %d\r\n" % length
        if head.length == CHUNKED:
            edits.append((b"transfer-encoding", b""))
            tail += line
        else:
            edits.append((b"content-length", line))
    if decoded:
        edits.append((b"content-encoding", b""))
    for name, value in fields_instead:
        field = b"%b: %b\r\n" % (name, value) if value else b""
        edits.append((name, field))
        if name not in fields:
            tail += field
    if readable:
        edits.append((b"accept-encoding", b"Accept-Encoding: identity\r\n"))
        if b"accept-encoding" not in fields:
            tail += b"Accept-Encoding: identity\r\n"
    if plan.mode == "rewrite":
        edits.append((b"expect", b""))  # it was answered here
    return fields.edited(edits, tail, b"%b %b HTTP/1.1\r\n" % (head.method, plan.target))


def rewoven(
    head: ResponseHead,
    own: bytes,
    *,
    close: bool,
    chunked: bool = False,
    length: int | None = None,
    status: int = 0,
    coded: bool = False,
) -> bytes:
    """The origin's head for an answer that we frame ourselves: in chunks, with a length, or up to the close.

    `status` takes the place of its own, where the answer became an error after all. `coded`: its content coding stays.
    """
    gone: tuple[bytes, ...] = (b"content-length", b"transfer-encoding", b"trailer", b"etag", b"content-md5")
    if not coded:
        gone += (b"content-encoding",)
    edits = [(name, b"") for name in {*head.fields.hop_by_hop, *(name for name in gone if name in head.fields)}]
    if chunked:
        own += b"Transfer-Encoding: chunked\r\n"
    if length is not None:
        own += b"Content-Length: %d\r\n" % length
    line = b"HTTP/1.1 %d %b\r\n" % (status, REASONS.get(status, b"Error")) if status else b""
    return head.fields.edited(edits, own + b"Connection: close\r\n" if close else own, line)


def homeward(head: ResponseHead, own: bytes, *, close: bool, dechunk: bool) -> bytes:
    """The origin's head as it goes to the client: its own bytes, without what is that hop's, with our lines added."""
    edits = [(name, b"") for name in head.fields.hop_by_hop]
    if dechunk:
        edits.append((b"transfer-encoding", b""))
    return head.fields.edited(edits, own + b"Connection: close\r\n" if close else own)


def own_fields(head: ResponseHead, identity: str, upstream_id: bytes, receipt: Receipt | None) -> bytes:
    """What the proxy says in an answer's head: ids, and what it did to the request."""
    ours = identity.encode("latin-1")
    lines = b"x-headroom-request-id: %b\r\n" % ours
    if b"x-request-id" not in head.fields:
        lines += b"x-request-id: %b\r\n" % ours
    if upstream_id:
        lines += b"headroom-upstream-request-id: %b\r\n" % upstream_id
    if receipt is None:
        return lines
    lines += b"x-headroom-tokens-before: %d\r\nx-headroom-tokens-after: %d\r\nx-headroom-tokens-saved: %d\r\n" % (
        receipt.tokens_before,
        receipt.tokens_after,
        receipt.tokens_before - receipt.tokens_after,
    )
    if receipt.observed:
        lines += b"x-headroom-observed: true\r\n"
    forms = dict.fromkeys((*receipt.stabilised, *(row.form for row in receipt.rows if row.action == "pressed")))
    if forms:
        lines += b"x-headroom-transforms: %b\r\n" % ",".join(forms).encode()
    if receipt.note:
        lines += b"x-headroom-compression-failed: true\r\nx-headroom-note: %b\r\n" % receipt.note.encode()
    return lines
