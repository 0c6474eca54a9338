"""What may be done for whom: one table by the kind of credential."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from headroom import providers


class AuthMode(StrEnum):
    """How a caller pays: per token, by a delegated login, or by a subscription to an agent."""

    PAYG = "payg"
    OAUTH = "oauth"
    SUBSCRIPTION = "subscription"


class Policy(msgspec.Struct, frozen=True, gc=False):
    """What may be done to a request. Lossless presses may always run.

    - `reversible`: texts may be cut where the original can be fetched.
    - `add_tools`, `add_markers`, `add_cache_key`, `sort_tools`: the request may be changed outside tool results.
    - `add_memories`: the user's words may be added to.
    - `sticky_tokens`: feature tokens once sent are sent on. `forwarded_fields`: X-Forwarded-* may be added.
    - `learns`: what presses were worth goes into the statistics.
    """

    reversible: bool
    add_tools: bool
    add_memories: bool
    add_markers: bool
    add_cache_key: bool
    sort_tools: bool
    sticky_tokens: bool
    forwarded_fields: bool
    learns: bool


_NOTHING_ELSE = Policy(
    reversible=False,
    add_tools=False,
    add_memories=False,
    add_markers=False,
    add_cache_key=False,
    sort_tools=False,
    sticky_tokens=False,
    forwarded_fields=False,
    learns=False,
)
POLICIES: Mapping[AuthMode, Policy] = {
    AuthMode.PAYG: Policy(
        reversible=True,
        add_tools=True,
        add_memories=True,
        add_markers=True,
        add_cache_key=True,
        sort_tools=True,
        sticky_tokens=True,
        forwarded_fields=True,
        learns=True,
    ),
    AuthMode.OAUTH: msgspec.structs.replace(_NOTHING_ELSE, learns=True),
    AuthMode.SUBSCRIPTION: _NOTHING_ELSE,
}


def payer(fields: Mapping[bytes, bytes], api: str) -> AuthMode:
    """How the caller of a request to the origin `api` pays; see `classify`. At some, nobody pays by an API key."""
    auth = classify(fields)
    return AuthMode.OAUTH if auth is AuthMode.PAYG and api in providers.LOGIN_APIS else auth


def classify(fields: Mapping[bytes, bytes]) -> AuthMode:
    """How the caller of a request pays, from its head. Never raises. Cost: a few look-ups.

    An API key is paid per token whatever the user agent says; the user agent decides between the other two.
    """
    # A field that is there and empty is no key: some clients send one beside their login.
    if any(fields.get(name) for name in providers.KEY_FIELDS):
        return AuthMode.PAYG
    scheme, _, token = fields.get(b"authorization", b"").partition(b" ")
    token = token.lstrip()
    bearer = scheme.lower() == b"bearer"
    login = bearer and (token.startswith(providers.LOGIN_TOKENS) or token.count(b".") >= 2)
    if bearer and token.startswith(providers.KEY_TOKENS) and not token.startswith(providers.LOGIN_TOKENS):
        return AuthMode.PAYG
    agent = fields.get(b"user-agent", b"").lower()
    if any(needle in agent for needle in providers.SUBSCRIPTION_AGENTS):
        return AuthMode.SUBSCRIPTION
    if login or (scheme and not bearer):
        return AuthMode.OAUTH
    return AuthMode.PAYG
