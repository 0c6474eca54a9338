"""What is to be done with a request, decided from its head alone. Pure; the only policy decision."""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Literal

import msgspec
import orjson

from headroom import providers
from headroom.attribution import BadPrefix, attribution, without_prefix
from headroom.config import Config
from headroom.providers import Dialect, Route, SocketWords
from headroom.wire.head import RequestHead
from headroom.wire.origin import Origin, parse_origin

INTERNAL: Final = b"\r\nx-headroom-"
"""What stands in a head, in lower case, that has fields for the proxy."""
LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "::1")


class Plan(msgspec.Struct, frozen=True, gc=False):
    """Where a request goes and how.

    - `mode`: with `relay`, pieces are passed on as they come; with `rewrite`, the body is held, located and spliced.
      `bypass`: the client opted out.
    - `target` is the request target at the origin, `path` the request's own, without the prefix of a project. `api` is
      the key in `providers.APIS`.
    - `woven`: calls of the proxy's tools in its answer can be answered.
    - `project`, `user`, `unfit`: see attribution.Attribution.
    - `account` is the caller's, for the origin to be told: empty where the caller tells it, or has none.
    - `socket`: the request asks for a WebSocket on which this is said. `presses`: what the client says there may be
      rewritten.
    """

    mode: Literal["relay", "rewrite"]
    route: str
    dialect: Dialect
    origin: Origin
    target: bytes
    bypass: bool = False
    api: str = ""
    woven: bool = True
    path: str = ""
    project: str = ""
    user: str = ""
    unfit: tuple[str, ...] = ()
    account: bytes = b""
    socket: SocketWords | None = None
    presses: bool = False


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """A request that has no place to go. `reason` is for the caller."""

    status: int
    reason: str
    dialect: Dialect


def plan(head: RequestHead, config: Config, *, loopback: bool) -> Plan | Refusal:
    """Decide where a request goes, by the order of the routing table. Cost: a dictionary look-up or a few patterns.

    `loopback` says whether the caller is on this host, who alone may name any base URL.
    """
    upgrades = head.upgrade and head.fields[b"upgrade"].lower() == b"websocket"
    if upgrades and not _is_own_page(head.fields.get(b"origin"), config):
        # A page from anywhere may open a WebSocket to this host; that it says so is all there is against it.
        return Refusal(403, "origin: not an allowed origin; see websocket_origins", providers.OPENAI_CHAT)
    target, written = split(head.target)
    raw_path, mark, query = target.partition(b"?")
    path = raw_path.decode("latin-1")
    fields = head.fields
    # Most requests name nothing of ours, and are not searched for each of it.
    ours = fields if INTERNAL in fields.lower else _NONE
    base = ours.get(b"x-headroom-base-url")
    route, named = find_route(head.method, path)
    account = _account(fields) if base is None and (route is None or route.account) else None
    name = route.name if route is not None else "other"
    if account is not None:
        api, forward = providers.ACCOUNT_API, route.account if route is not None else path
        if route is None and _lists_models(head, path):
            name, forward, mark = providers.ACCOUNT_MODELS_ROUTE, providers.ACCOUNT_MODELS, b"?"
            query = _client_version(query)
    elif route is not None:
        api, forward = route.api, route.forward or path
    else:
        api, forward = _catch_all(path, fields), path
    dialect = route.dialect if route is not None else providers.API_ERRORS.get(api, providers.OPENAI_CHAT)
    if named and "{" in forward:
        forward = forward.format_map(named)
    try:
        work = attribution(written, ours)
    except BadPrefix:
        return Refusal(400, "the project's name in the path is not percent-encoded UTF-8", dialect)
    if base is not None:
        origin = _named_origin(base, config, loopback)
        if origin is None:
            return Refusal(400, "x-headroom-base-url: not an allowed base URL; see allowed_base_urls", dialect)
        original = ours.get(b"x-headroom-original-path", b"").decode("latin-1")
        if original.startswith("/") and not original.startswith("//") and not set(original) & set("?# "):
            forward = original
    else:
        origin = _configured(api, config, named)
        if origin is None:
            return Refusal(404, f"no origin is set for this path; set {providers.APIS[api]}", dialect)
    bypass = _bypassed(ours)
    may_change = (
        not bypass
        and not fields.get(b"authorization", b"").startswith(providers.SIGNED_CREDENTIALS)
        and config.text("compression_mode") != "off"
    )
    rewrite = (
        may_change
        and route is not None
        and route.rewrite
        and route.dialect.shape is not None
        and _is_json(fields.get(b"content-type", b"application/json"))
        and not head.upgrade
    )
    socket = route.socket if route is not None and upgrades and head.length == 0 else None
    return Plan(
        "rewrite" if rewrite else "relay",
        name,
        dialect,
        origin,
        origin.prefix + forward.encode("latin-1") + mark + query,
        bypass,
        api,
        not forward.endswith(providers.ARRAY_STREAMS[0]) or providers.ARRAY_STREAMS[1] in query,
        path,
        work.project,
        work.user,
        work.unfit,
        account or b"",
        socket,
        socket is not None and may_change,
    )


_NONE: Final[Mapping[bytes, bytes]] = {}
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_EXACT: dict[tuple[bytes, str], Route] = {}
_PATTERNS: list[Route] = []
for _route in providers.ROUTES:
    if "{" in _route.path or _route.method == b"*":
        _PATTERNS.append(_route)
    else:
        _EXACT[_route.method, _route.path] = _route


@lru_cache(maxsize=1024)
def find_route(method: bytes, path: str) -> tuple[Route | None, Mapping[str, str]]:
    """The first route for `method` and `path`, and what its pattern's names stand for."""
    exact = _EXACT.get((method, path))
    if exact is not None:
        return exact, {}
    for route in _PATTERNS:
        if route.method in (method, b"*"):
            named = route.match(path)
            if named is not None:
                return route, named
    return None, {}


def split(target: bytes) -> tuple[bytes, bytes | None]:
    """A request target in origin form without the prefix of a project, and the project's name as written there."""
    return without_prefix(target if target.startswith(b"/") else _origin_form(target))


def _origin_form(target: bytes) -> bytes:
    """The path and query of an absolute target (RFC 9112 §3.2.2); `*` and others become paths that no route has."""
    _, scheme, rest = target.partition(b"://")
    if not scheme:
        return b"/" + target
    slash = rest.find(b"/")
    return rest[slash:] if slash >= 0 else b"/"


def _catch_all(path: str, fields: Mapping[bytes, bytes]) -> str:
    """Which API a path that is no route belongs to, for a caller without an account."""
    if path.startswith(providers.ACCOUNT_PATHS) and not any(name in fields for name in providers.CREDENTIAL_FIELDS):
        return providers.ACCOUNT_API
    for name, begin, api in providers.CATCH_ALL:
        if name in fields and fields[name].startswith(begin):
            return api
    return providers.CATCH_ALL_ELSE


def _account(fields: Mapping[bytes, bytes]) -> bytes | None:
    """The account that a bearer token names, nothing where a field of its own names one, None where there is none.

    The token is read anew each time: no credential is kept.
    """
    if providers.ACCOUNT_FIELD in fields:
        return b""
    scheme, _, token = fields.get(b"authorization", b"").partition(b" ")
    if scheme.lower() != b"bearer" or token.count(b".") < 2:
        return None
    return _claimed(token.strip())


def _claimed(token: bytes) -> bytes | None:
    """The account in a JSON web token's payload. Its signature is the provider's to check."""
    segment = token.split(b".")[1].translate(_URL_SAFE)
    try:
        claim: object = orjson.loads(binascii.a2b_base64(segment + b"=" * (-len(segment) % 4), strict_mode=True))
    except ValueError:
        return None
    for key in providers.ACCOUNT_CLAIM:
        claim = claim.get(key) if isinstance(claim, dict) else None
    # It becomes a line of a head: nothing else than a plain word may.
    account = claim.strip() if isinstance(claim, str) else ""
    return account.encode() if account and all("!" <= letter <= "~" for letter in account) else None


def _lists_models(head: RequestHead, path: str) -> bool:
    return (
        head.method == b"GET"
        and head.length == 0
        and not head.upgrade
        and providers.MODELS_PATHS.fullmatch(path) is not None
    )


def _client_version(query: bytes) -> bytes:
    """The one parameter of the account's list of models: the client's version, as the client says it."""
    name = providers.CLIENT_VERSION.encode() + b"="
    for part in query.split(b"&"):
        if part.startswith(name) and part != name:
            return part
    return name + providers.CLIENT_VERSION_ELSE.encode()


def _configured(api: str, config: Config, named: Mapping[str, str]) -> Origin | None:
    origin = config.origin(providers.APIS[api])
    if origin is not None and api == providers.REGIONAL_API and origin.host == providers.REGION_DEFAULT:
        location = named.get("location", "")
        if location.replace("-", "").isalnum() and location != "global":
            host = providers.REGION_HOST.format(location=location)
        else:
            host = providers.REGION_GLOBAL
        return Origin(origin.secure, host, origin.port, origin.prefix)
    return origin


def _named_origin(value: bytes, config: Config, loopback: bool) -> Origin | None:
    """The origin a caller names, if it may: any from this host, else one of the allowed."""
    try:
        origin = parse_origin(value.decode("ascii"))
    except (ValueError, UnicodeDecodeError):
        return None
    origin = Origin(origin.secure, origin.host, origin.port)
    allowed = {(o.secure, o.host, o.port) for o in config.allowed_base_urls}
    return origin if loopback or (origin.secure, origin.host, origin.port) in allowed else None


def _bypassed(fields: Mapping[bytes, bytes]) -> bool:
    return (
        fields.get(b"x-headroom-bypass", b"").strip().lower() == b"true"
        or fields.get(b"x-headroom-mode", b"").strip().lower() == b"passthrough"
    )


def _is_own_page(origin: bytes | None, config: Config) -> bool:
    """Whether no page asks, or one from this host or an allowed one."""
    if origin is None:
        return True
    allowed = config.websocket_origins
    if "*" in allowed:
        return True
    try:
        page = parse_origin(origin.decode("ascii"))
    except (ValueError, UnicodeDecodeError):
        return False
    return page.host in LOOPBACK_HOSTS or page.name in allowed


def _is_json(content_type: bytes) -> bool:
    return content_type.partition(b";")[0].strip().lower() == b"application/json"
