"""The heads of an upgrade to WebSocket: what of the client's is changed towards the origin, and of its answer. Pure."""

from __future__ import annotations

import msgspec

from headroom import conversation
from headroom.betas import merge, split
from headroom.faults import BadCoding
from headroom.plan import Plan
from headroom.policy import POLICIES, AuthMode, payer
from headroom.wire.head import Fields
from headroom.wire.websocket import Packing, agreed, alone_offer, each_by_itself, readable_offer

_EXTENSIONS = b"sec-websocket-extensions"


class Upgrade(msgspec.Struct, frozen=True, gc=False):
    """What is kept of a client's head: whose it is, and the fields that go otherwise than they came (see heads)."""

    caller: bytes
    session: bytes
    auth: AuthMode
    instead: tuple[tuple[bytes, bytes], ...]


def upgrade(fields: Fields, plan: Plan, *, offers: bool = False) -> Upgrade:
    """Read the head of an upgrade. The origin's mandatory feature token joins the client's own, once, whoever asks;
    extensions that cannot be read here are not offered. Where the proxy `offers` tools to those who may have them, an
    origin is asked to deflate each message by itself: what tells of their calls must not be what the next refers to.
    """
    assert plan.socket is not None
    instead: list[tuple[bytes, bytes]] = []
    name, token = plan.socket.feature
    given = fields.get(name, b"")
    merged = merge(split(given), [token])
    if split(given) != split(merged) or len(fields.places(name)) > 1:
        instead.append((name, merged))
    auth = payer(fields, plan.api)
    offer = fields.get(_EXTENSIONS)
    if offer is not None:
        readable = readable_offer(offer)
        if offers and plan.presses and POLICIES[auth].add_tools:
            readable = alone_offer(readable)
        if readable is not offer:
            instead.append((_EXTENSIONS, readable))
    owner, session = conversation.caller(fields, plan.target), conversation.session(fields, plan.dialect)
    return Upgrade(owner, session, auth, tuple(instead))


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """An origin's answer to an upgrade: how messages are deflated, and the line that goes in place of its own."""

    packing: Packing | None
    instead: tuple[tuple[bytes, bytes], ...] = ()


def accepted(fields: Fields, *, rewrites: bool) -> Accepted | None:
    """What an origin has accepted, or None where it is something that cannot be read here, and no protocol of ours.

    Where messages may be rewritten, the client is asked to deflate each by itself: one that is changed must not be
    what the next refers to.
    """
    if fields.get(b"upgrade", b"").lower() != b"websocket":
        return None
    value = fields.get(_EXTENSIONS, b"")
    try:
        packing = agreed(value)
    except BadCoding:
        return None
    if packing is None or not rewrites:
        return Accepted(packing)
    alone = each_by_itself(value)
    return Accepted(packing, () if alone is value else ((_EXTENSIONS, b"Sec-WebSocket-Extensions: %b\r\n" % alone),))
