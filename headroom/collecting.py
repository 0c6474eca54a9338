"""No garbage collection while a thread works on millions of small objects that need none."""

from __future__ import annotations

import gc
import threading
import time
from types import TracebackType

LONGEST = 10.0  # seconds; then what others leave behind is collected, whoever is still at work


class Uncollected:
    """A block in which the collector does not run by itself, on any thread. Blocks may overlap.

    A full collection among the lines and cells of a large text holds the interpreter for tens of milliseconds, in
    which no event of any stream moves; and what pressing makes is freed by its reference counts.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._since = 0.0
        self._was_on = False

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            now = time.monotonic()
            if self._inside == 1:
                self._since = now
                self._was_on = gc.isenabled()
                gc.disable()
            elif self._was_on and now - self._since > LONGEST:
                gc.enable()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside and self._was_on:
                gc.enable()


UNCOLLECTED = Uncollected()
"""The collector is one for the process, and so is this."""
