"""The proxy's own endpoints: health, metrics, statistics."""

from __future__ import annotations

import hmac
import ipaddress
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Final

import msgspec
import orjson

from headroom import __version__
from headroom.metrics import Board, stats
from headroom.store import StoreState
from headroom.wire.head import REASONS, RequestHead

NATIVE: Final = ("uvloop", "httptools", "msgspec", "orjson", "blake3", "tiktoken", "zstandard", "brotli")
_SECURITY: Final = b"".join(
    (
        b"X-Content-Type-Options: nosniff\r\n",
        b"X-Frame-Options: DENY\r\n",
        b"Referrer-Policy: no-referrer\r\n",
        b"Cache-Control: no-store\r\n",
    )
)
_JSON: Final = b"application/json"
_TEXT: Final = b"text/plain; version=0.0.4; charset=utf-8"


class State(msgspec.Struct):
    """What health reports and statistics are made of; the edge keeps it. `volatile` are findings of this process as
    kind, location and sample, the newest last."""

    ready: bool = False
    draining: bool = False
    store: str = ""
    store_up: bool = True
    store_state: StoreState = StoreState()
    store_trouble: str = ""
    yardstick: str = "not loaded"
    config: Mapping[str, object] = {}
    volatile: Sequence[tuple[str, str, str]] = ()
    learning: Mapping[str, object] = {}
    memory: bool = False
    memory_down: str = ""
    memory_trouble: str = ""


class Reply(msgspec.Struct, frozen=True, gc=False):
    """An answer of our own."""

    status: int
    body: bytes
    content_type: bytes = _JSON


NOT_FOUND: Final = Reply(404, b'{"error":"not found"}')


_ERRORS: Final = {404: "not_found_error", 500: "api_error", 503: "api_error"}


def refusal(status: int, message: str) -> Reply:
    """An answer that says why there is none."""
    kind = _ERRORS.get(status, "invalid_request_error")
    return Reply(status, orjson.dumps({"error": {"type": kind, "message": f"headroom: {message}"}}))


class Control:
    """Answers the control endpoints."""

    def __init__(self, board: Board, state: Callable[[], State]) -> None:
        self._board = board
        self._state = state
        self._begun = time.monotonic()
        self._open: Mapping[str, Callable[[bool], Reply]] = {
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/health": self._health,
            "/healthz": self._healthz,
        }
        self._guarded: Mapping[str, Callable[[bool], Reply]] = {"/metrics": self._metrics, "/stats": self._stats}

    def answer(self, head: RequestHead, *, trusted: bool) -> Reply | None:
        """The answer to a control request, or None where the path is not ours.

        `trusted`: the caller is on this host and names it as loopback, or has sent the proxy token. Others are told
        that guarded endpoints do not exist.
        """
        if head.method not in (b"GET", b"HEAD"):
            return None
        path = head.target.partition(b"?")[0].decode("latin-1")
        make = self._open.get(path)
        if make is not None:
            return make(trusted)
        make = self._guarded.get(path)
        if make is None:
            return None
        return make(trusted) if trusted else NOT_FOUND

    def _livez(self, trusted: bool) -> Reply:
        return _json(200, {**self._who("healthy"), "alive": True})

    def _healthz(self, trusted: bool) -> Reply:
        return _json(200, {"ok": True, "service": "headroom-proxy"})

    def _readyz(self, trusted: bool) -> Reply:
        body = self._body()
        return _json(200 if body["ready"] else 503, body)

    def _health(self, trusted: bool) -> Reply:
        body = self._body()
        if trusted:
            body["config"] = dict(self._state().config)
        return _json(200, body)

    def _metrics(self, trusted: bool) -> Reply:
        return Reply(200, self._board.exposition(), _TEXT)

    def _stats(self, trusted: bool) -> Reply:
        state, figures = self._state(), stats(self._board)
        names = ("kind", "location", "sample")
        last = [dict(zip(names, found, strict=True)) for found in state.volatile]
        figures["volatile"] = {"kinds": figures["volatile"], "last": last}
        return _json(200, {**self._who("healthy"), **figures, "learning": state.learning})

    def _who(self, status: str) -> dict[str, object]:
        return {
            "service": "headroom-proxy",
            "status": status,
            "version": __version__,
            "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
            "uptime_seconds": round(time.monotonic() - self._begun, 1),
        }

    def _body(self) -> dict[str, object]:
        state = self._state()
        ready = state.ready and not state.draining
        native = {name: _version_of(name) for name in NATIVE}
        missing = [name for name, found in native.items() if found is None]
        off = {"enabled": False, "ready": True, "status": "disabled"}
        return {
            **self._who("healthy" if ready and not missing else "unhealthy"),
            "ready": ready,
            "checks": {
                "startup": {"enabled": True, "ready": ready, "status": "draining" if state.draining else "started"},
                "http_client": {"enabled": True, "ready": True, "status": "ready"},
                # A store that is down costs savings and no request, so it does not take the proxy out of service.
                "store": {
                    "enabled": True,
                    "ready": True,
                    "status": "up" if state.store_up else "down",
                    "kind": state.store,
                    "size": state.store_state.size,
                    "limit": state.store_state.limit,
                    "entries": state.store_state.entries,
                    "over_limit": state.store_state.over_limit,
                    "trouble": state.store_trouble,
                },
                "yardstick": {"enabled": True, "ready": True, "status": state.yardstick},
                "cache": off,
                "rate_limiter": off,
                # Nor does a memory that cannot be reached: requests go without.
                "memory": {
                    "enabled": True,
                    "ready": True,
                    "status": "down" if state.memory_down else "up",
                    "trouble": state.memory_down or state.memory_trouble,
                }
                if state.memory
                else off,
                "upstream": off,
            },
            "core": "missing" if missing else "loaded",
            "native": native,
        }


def _json(status: int, body: Mapping[str, object]) -> Reply:
    return Reply(status, orjson.dumps(body))


@cache
def _version_of(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - asked for by health alone

    try:
        return version(name)
    except PackageNotFoundError:
        return None


def render(reply: Reply, *, head_only: bool = False, close: bool = False, fields: bytes = b"") -> bytes:
    """The answer's bytes, with the security fields of our own pages. `fields` are whole lines to add."""
    return b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n%b%b%b\r\n%b" % (
        reply.status,
        REASONS.get(reply.status, b"Error"),
        reply.content_type,
        len(reply.body),
        _SECURITY,
        fields,
        b"Connection: close\r\n" if close else b"",
        b"" if head_only else reply.body,
    )


@lru_cache(maxsize=1024)
def is_loopback(peer: str) -> bool:
    """Whether a peer address is this host's loopback; an absent peer (a Unix socket) counts as such."""
    if not peer:
        return True
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


def names_loopback(host: bytes) -> bool:
    """Whether a Host value names loopback: the defence against DNS rebinding. A missing one does not."""
    name, _, port = host.strip().lower().rpartition(b":")
    if not name or not port.isdigit():
        name = host.strip().lower()
    return name in (b"127.0.0.1", b"[::1]", b"localhost")


def has_token(head: RequestHead, token: bytes) -> bool:
    """Whether the request carries the proxy's own token. Constant time."""
    return bool(token) and hmac.compare_digest(head.fields.get(b"x-headroom-proxy-token", b""), token)
