"""TLS towards origins: verified, HTTP/1.1 only, sessions resumed."""

from __future__ import annotations

import ssl
from collections import OrderedDict
from pathlib import Path

SESSION_LIMIT = 64  # origins; one session ticket each


class ResumingContext(ssl.SSLContext):
    """A client context that offers the session it last had with a host (RFC 8446 §2.2).

    Event loops make their TLS objects through `wrap_bio` and have no place for a session, so it is put in here.
    """

    _sessions: OrderedDict[str, ssl.SSLSession]

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """As the base class, with the remembered session where the caller names none."""
        if session is None and isinstance(server_hostname, str):
            session = self._sessions.get(server_hostname)
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)

    def remember(self, tls: ssl.SSLObject) -> None:
        """Keep the newest session of a connection that has been used: TLS 1.3 tickets come after the handshake."""
        session, host = tls.session, tls.server_hostname
        if session is not None and host is not None and session.has_ticket:
            self._sessions[host] = session
            self._sessions.move_to_end(host)
            if len(self._sessions) > SESSION_LIMIT:
                self._sessions.popitem(last=False)


def client_context(ca_file: Path | None) -> ResumingContext:
    """A context that verifies names and chains against the system's authorities, or against `ca_file` as well.

    Raises OSError or ssl.SSLError if `ca_file` cannot be read.
    """
    context = ResumingContext(ssl.PROTOCOL_TLS_CLIENT)
    context._sessions = OrderedDict()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if ca_file is not None:
        context.load_verify_locations(cafile=str(ca_file))
    context.set_alpn_protocols(["http/1.1"])
    return context
