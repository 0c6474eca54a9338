"""One end of a TCP connection, by bytes: nothing is read, sent or ended that a test does not ask for."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Iterable
from typing import Literal, Self

LIMIT = 90.0  # seconds that any one wait in a test may take before it fails; long, for machines that are busy
Ending = Literal["", "end", "reset"]


class Ended(AssertionError):
    """The other side ended the connection before what was waited for had come."""


class Wire:
    """One end of a connection. `ending` says how the other side ended its half, once that was read."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.held = b""
        self.ending: Ending = ""

    async def send(self, data: bytes) -> None:
        """Send all of `data`; waits while the other side does not read."""
        async with asyncio.timeout(LIMIT):
            await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def send_each(self, pieces: Iterable[bytes]) -> None:
        """Send `pieces` with a turn of the event loop after each, so that they arrive apart."""
        for piece in pieces:
            await self.send(piece)
            await asyncio.sleep(0)

    async def flood(self, data: bytes, quiet: float = 0.4) -> int:
        """Send until the other side has taken nothing for `quiet` seconds. Returns how much it took."""
        view, sent = memoryview(data), 0
        loop = asyncio.get_running_loop()
        while sent < len(data):
            try:
                sent += self.sock.send(view[sent : sent + 65536])
            except BlockingIOError:
                writable = asyncio.Event()
                loop.add_writer(self.sock.fileno(), writable.set)
                try:
                    async with asyncio.timeout(quiet):
                        await writable.wait()
                except TimeoutError:
                    return sent
                finally:
                    loop.remove_writer(self.sock.fileno())
            await asyncio.sleep(0)
        return sent

    async def more(self) -> bool:
        """Wait for more bytes; False at the end, however it came."""
        if self.ending:
            return False
        try:
            async with asyncio.timeout(LIMIT):
                data = await asyncio.get_running_loop().sock_recv(self.sock, 1 << 18)
        except (ConnectionResetError, BrokenPipeError):
            self.ending = "reset"
            return False
        if not data:
            self.ending = "end"
            return False
        self.held += data
        return True

    async def until(self, mark: bytes) -> bytes:
        """Everything up to and including `mark`. Raises Ended."""
        while mark not in self.held:
            if not await self.more():
                raise Ended(f"{self.ending} before {mark!r}, after {self.held[-300:]!r}")
        end = self.held.index(mark) + len(mark)
        taken, self.held = self.held[:end], self.held[end:]
        return taken

    async def exactly(self, size: int) -> bytes:
        """The next `size` bytes. Raises Ended."""
        pieces, have = [self.held], len(self.held)
        while have < size:
            self.held = b""
            if not await self.more():
                self.held = b"".join(pieces)
                raise Ended(f"{self.ending} after {have} of {size} bytes")
            pieces.append(self.held)
            have += len(self.held)
        whole = b"".join(pieces)
        taken, self.held = whole[:size], whole[size:]
        return taken

    async def rest(self) -> bytes:
        """Everything up to the end; `ending` then says what end."""
        pieces = [self.held]
        self.held = b""
        while await self.more():
            pieces.append(self.held)
            self.held = b""
        return b"".join(pieces)

    def shut(self) -> None:
        """End our half: FIN, and go on reading."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """End the connection with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        """Close: FIN, or RST where something was left unread."""
        self.sock.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.sock.close()


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until `condition` holds, for things that nobody signals."""
    async with asyncio.timeout(LIMIT):
        while not condition():
            await asyncio.sleep(0.002)
