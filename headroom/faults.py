"""Every fault the proxy can name: whose it is, what the client is answered, and whether a retry is safe.

Fault
├── client      BadRequest 400 · BadCoding 400 · BadFrame · Unauthorized 401 · OriginNotAllowed 403 · NotFound 404
│               HeadTimeout 408 · SocketIdle · BodyTooLarge 413 · HeadTooLarge 431 · ClientGone 499
├── upstream    DialFailed 502 · BadResponse 502 · UpstreamCut 502 · DialTimeout 504 · UpstreamSilent 504
└── proxy       Busy 503 · Draining 503 · StoreDown · MemoryDown · PressLate · NotJson

Only `DialFailed` and `DialTimeout` are known to have happened before a request byte was sent.
"""

from __future__ import annotations

from typing import ClassVar, Literal

Blame = Literal["client", "upstream", "proxy"]


class Fault(Exception):
    """Something went wrong, and it is known what. `status` is the HTTP status a client is answered with."""

    status: ClassVar[int] = 500
    blame: ClassVar[Blame] = "proxy"
    retry: ClassVar[Literal["never", "unsent"]] = "never"

    @property
    def name(self) -> str:
        """The fault's name in logs, metrics and headers: the class name in snake case."""
        return "".join("_" + c.lower() if c.isupper() else c for c in type(self).__name__).lstrip("_")


class BadRequest(Fault):
    """The request is not strict HTTP/1.1 (RFC 9112): it is answered and the connection closed."""

    status, blame = 400, "client"


class BadCoding(BadRequest):
    """The request body's content coding is damaged or unpacks to more than the body limit."""


class Unauthorized(Fault):
    """A caller from another host without the proxy's own token."""

    status, blame = 401, "client"


class NotFound(Fault):
    """A control endpoint that does not exist, or not for this caller."""

    status, blame = 404, "client"


class HeadTimeout(Fault):
    """A request head was begun and not finished in time."""

    status, blame = 408, "client"


class BodyTooLarge(Fault):
    """A body that would have to be held is larger than the body limit."""

    status, blame = 413, "client"


class HeadTooLarge(Fault):
    """A message head over its size or field limit."""

    status, blame = 431, "client"


class BadFrame(Fault):
    """What a client sent over its WebSocket is no frame, or a text that is none (RFC 6455): it is closed.

    `code` is the close code it is told.
    """

    status, blame = 400, "client"

    def __init__(self, message: str = "", code: int = 1002) -> None:
        super().__init__(message)
        self.code = code


class SocketIdle(Fault):
    """A WebSocket on which nothing came from either side for too long; it is closed."""

    status, blame = 408, "client"


class OriginNotAllowed(Fault):
    """A browser's page from elsewhere asks for a WebSocket."""

    status, blame = 403, "client"


class ClientGone(Fault):
    """The client left before its answer was complete. Nobody is there to be answered."""

    status, blame = 499, "client"


class DialFailed(Fault):
    """No connection to the origin; not one request byte was sent."""

    status, blame, retry = 502, "upstream", "unsent"


class DialTimeout(DialFailed):
    """The origin did not accept a connection in time."""

    status = 504


class BadResponse(Fault):
    """What the origin sent is not HTTP/1.1."""

    status, blame = 502, "upstream"


class UpstreamCut(Fault):
    """The origin closed the connection before its message was complete."""

    status, blame = 502, "upstream"


class UpstreamSilent(Fault):
    """The origin sent nothing for longer than the silence limit."""

    status, blame = 504, "upstream"


class Busy(Fault):
    """Admission refused: as many exchanges as allowed are under way."""

    status = 503


class Draining(Busy):
    """The proxy is shutting down."""


class StoreDown(Fault):
    """The store did not answer, or could not keep what it was given."""


class MemoryDown(Fault):
    """The memory did not answer, or could not keep what it was given. The request goes on without it."""


class PressLate(Fault):
    """Pressing ran past its deadline; the text goes as it came."""


class NotJson(Fault):
    """A body that cannot be located, because it is not JSON. It goes as it came."""


class NoMessages(NotJson):
    """A body without a list of messages, so there is nothing in it to be located. It goes as it came."""
