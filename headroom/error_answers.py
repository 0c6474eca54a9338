"""Answers of our own to requests that get no other: faults in the words of the provider that was asked."""

from __future__ import annotations

import orjson

from headroom.faults import Fault
from headroom.providers import Dialect
from headroom.wire.head import REASONS


def error_answer(fault: Fault, dialect: Dialect, identity_: str, *, close: bool, head_only: bool = False) -> bytes:
    """A fault in the provider's own error shape. Its text names what was wrong and never quotes what was sent."""
    shape = dialect.errors
    body = shape.body % {
        "message": orjson.dumps(f"headroom: {fault}").decode(),
        "kind": orjson.dumps(shape.kinds.get(fault.status, shape.other)).decode(),
        "status": fault.status,
    }
    content = body.encode()
    reason = REASONS.get(fault.status, b"Error")
    lines = [
        b"HTTP/1.1 %d %b" % (fault.status, reason),
        b"content-type: application/json",
        b"content-length: %d" % len(content),
        b"x-headroom-fault: " + fault.name.encode(),
        b"x-headroom-request-id: " + identity_.encode("latin-1"),
    ]
    if fault.status == 503:
        # Some clients give up at once on an overload answer that does not say when to come again.
        lines.append(b"retry-after: 1")
    if close:
        lines.append(b"connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n" + (b"" if head_only else content)
