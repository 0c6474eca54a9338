"""Events as JSON lines, written in batches."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec

from headroom.events import Event, Level

LEVELS: Final[dict[Level, int]] = {"debug": 0, "info": 1, "warning": 2, "error": 3}
FLUSH_SECONDS: Final = 0.05  # a batch waits no longer than this; a crash loses no more
BATCH_LIMIT: Final = 1000  # lines; a disk that does not keep up loses lines, never requests

_encode = msgspec.json.Encoder().encode


class LogWriter:
    """Writes events of at least `level` to a file, or to standard error. Files are made with mode 0600."""

    def __init__(self, level: Level, path: Path | None) -> None:
        self._least = LEVELS[level]
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self.lost = 0
        if path is None:
            self._descriptor = sys.stderr.fileno()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._owned = path is not None

    def __call__(self, event: Event) -> None:
        """See events.Sink."""
        if LEVELS[event.level] < self._least:
            return
        if len(self._lines) >= BATCH_LIMIT:
            self.lost += 1
            return
        self._lines.append(_line(event))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)

    def write_now(self, event: Event) -> None:
        """Write one event at once; for a process without an event loop."""
        self._lines.append(_line(event))
        self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, []
        if lines:
            try:
                os.write(self._descriptor, b"".join(lines))
            except OSError:
                self.lost += len(lines)

    def close(self) -> None:
        """Write what waits, and let go of the file."""
        self.flush()
        if self._owned:
            os.close(self._descriptor)
            self._owned = False


def _line(event: Event) -> bytes:
    now = time.time()
    second = int(now)
    return b'{"ts":"%b.%03d+00:00","level":"%b",%b\n' % (
        _clock(second),
        int((now - second) * 1000),
        event.level.encode(),
        _encode(event)[1:],
    )


@lru_cache(maxsize=4)
def _clock(second: int) -> bytes:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()
