"""A Redis server of the tests' own: on a socket in a folder of its own, ended by its own pid."""

from __future__ import annotations

import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from shutil import rmtree, which

START_SECONDS = 15.0


class RedisServer:
    """`url` is where it listens while it runs. What it was given survives `kill` and `start`."""

    def __init__(self) -> None:
        # A short path: that of a Unix socket has at most about a hundred characters.
        self.folder = Path(tempfile.mkdtemp(prefix="headroom-redis-"))
        self.socket = self.folder / "s"
        self.url = f"unix://{self.socket}?db=0"
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def is_installed() -> bool:
        return which("redis-server") is not None

    def start(self, *options: str) -> None:
        """Start it, and wait until it answers."""
        self.socket.unlink(missing_ok=True)
        command = ["redis-server", "--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.folder)]
        command += ["--save", "", "--appendonly", "yes", "--appendfsync", "always", "--loglevel", "warning", *options]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        patience = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > patience:
                self.kill()
                raise RuntimeError(f"redis-server did not start: {(self.folder / 'log').read_text()[-500:]}")
            time.sleep(0.01)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, such as SIGSTOP."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def remove(self) -> None:
        """End it, and take its folder away."""
        self.kill()
        rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as peer:
                peer.settimeout(1.0)
                peer.connect(str(self.socket))
                peer.sendall(b"PING\r\n")
                return peer.recv(7) == b"+PONG\r\n"
        except OSError:
            return False
