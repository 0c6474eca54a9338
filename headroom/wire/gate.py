"""Time and pressure: one timer for all deadlines, and the end of a connection that must not look clean."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import select
import socket
import struct
import sys
import termios
from typing import Protocol

_HANGUP = getattr(select, "POLLRDHUP", select.POLLHUP)
_RESET = struct.pack("ii", 1, 0)


class Watched(Protocol):
    """Something with a deadline."""

    def check(self, now: float) -> None:
        """Act if the deadline has passed. `now` is the loop's time in seconds."""


class Watch:
    """Looks at all its members once per `period` seconds: a deadline costs an attribute, not a timer.

    `now` is the loop's time at the last look, exact to one period; it is what members measure from.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, period: float) -> None:
        self._loop = loop
        self._period = period
        self._members: dict[int, Watched] = {}
        self.now = loop.time()
        self._timer = loop.call_later(period, self._look)

    def add(self, member: Watched) -> None:
        """Look at `member` from now on."""
        self._members[id(member)] = member

    def discard(self, member: Watched) -> None:
        """Stop looking at `member`."""
        self._members.pop(id(member), None)

    def close(self) -> None:
        """Stop the timer."""
        self._timer.cancel()
        self._members.clear()

    def _look(self) -> None:
        self.now = self._loop.time()
        self._timer = self._loop.call_later(self._period, self._look)
        for member in list(self._members.values()):
            member.check(self.now)


def unsent(transport: asyncio.Transport) -> int:
    """Bytes handed to the system that the peer has not acknowledged; 0 where the system does not say."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return 0
    try:
        return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except OSError:
        return 0


def hung_up(transport: asyncio.Transport) -> bool:
    """Whether the peer's end of its stream waits in the socket, unread. Cost: one system call."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(sock.fileno(), _HANGUP)
    return bool(poll.poll(0))


def poll_of(transport: asyncio.Transport) -> select.poll:
    """Tells at any later time whether bytes or an end wait unread in the socket: `poll(0)`, one system call."""
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN | _HANGUP)
    return poll


def reset(transport: asyncio.Transport) -> None:
    """Close at once with RST, so that no peer can take what it has for a complete message."""
    sock: socket.socket | None = transport.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0 and sock.family in (socket.AF_INET, socket.AF_INET6):
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        except OSError:
            pass  # already closed: there is nothing left that could look clean
    transport.abort()


def no_delay(transport: asyncio.Transport) -> None:
    """Send small writes at once: Nagle against delayed acknowledgement costs 40 ms per event."""
    sock: socket.socket | None = transport.get_extra_info("socket")
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def probe(transport: asyncio.Transport) -> None:
    """Have the system ask now and then whether the peer is still there: a host that is gone ends no connection."""
    sock: socket.socket | None = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0 or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with contextlib.suppress(OSError):  # it may have ended already
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", 120), ("TCP_KEEPINTVL", 30), ("TCP_KEEPCNT", 6)):  # seconds, and times
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
