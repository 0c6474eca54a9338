"""Where requests go: scheme, host and port, and how the Host field names them."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec


class Origin(msgspec.Struct, frozen=True, gc=False):
    """One origin server (RFC 6454). `prefix` is a path put before every request's, without a trailing slash.

    The rest follows from these: `authority` is the Host value (the port is named only where it is not the scheme's
    own), `host_line` the whole line, `name` the URL.
    """

    secure: bool
    host: str
    port: int
    prefix: bytes = b""
    authority: bytes = b""
    host_line: bytes = b""
    name: str = ""

    def __post_init__(self) -> None:
        host = f"[{self.host}]" if ":" in self.host else self.host
        plain = self.port == (443 if self.secure else 80)
        authority = (host if plain else f"{host}:{self.port}").encode("ascii")
        scheme = "https" if self.secure else "http"
        force = msgspec.structs.force_setattr
        force(self, "authority", authority)
        force(self, "host_line", b"Host: " + authority + b"\r\n")
        force(self, "name", f"{scheme}://{authority.decode()}{self.prefix.decode()}")

    def __hash__(self) -> int:
        return hash(self.name)

    def __str__(self) -> str:
        return self.name


def parse_origin(url: str) -> Origin:
    """Read an http or https URL; a trailing ``/`` and then a trailing ``/v1`` are dropped from its path.

    Raises ValueError, saying what would be right, for anything else: another scheme, no host, user info, a query.
    """
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("an URL such as https://api.example.com")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("an URL without user info, query or fragment")
    try:
        host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode()
        port = parts.port
    except (ValueError, UnicodeError):
        raise ValueError("an URL with a valid host and port") from None
    secure = parts.scheme == "https"
    path = parts.path.rstrip("/").removesuffix("/v1").rstrip("/")
    if any(c <= " " or c > "~" for c in path + host):
        raise ValueError("an URL of visible ASCII characters")
    return Origin(secure, host, port or (443 if secure else 80), path.encode())
