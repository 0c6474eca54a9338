"""Statistics of what presses were worth: they observe, and change nothing in the process that gathers them.

A request that has been sent on leaves a note; a thread adds the notes to the file at intervals, and when the process
ends. No request waits for it, and none is told what was learnt: that is read from a published file when a process
starts.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from headroom.config import Config, data_directory
from headroom.learning_file import ERRORS, Note, StatisticsFile, Totals
from headroom.lessons import Lessons, size_of, structured
from headroom.stores import is_redis, store_path

QUEUE_LIMIT: Final = 500  # notes that have not been read, each with the beginnings of texts; more are lost
QUEUE_BYTES: Final = 32 * 1024 * 1024  # of such notes together
NOTES_LIMIT: Final = 20_000  # notes that wait for the disk; past it the oldest are lost
NOTES_BYTES: Final = 32 * 1024 * 1024  # of such notes together
PATIENCE: Final = 2  # saves for which a retrieval waits for its press, which another worker may be about to write
CLOSE_SECONDS: Final = 5.0  # for the last save


class Learning:
    """The observer of one process. `notify` is called on the thread with each new trouble."""

    def __init__(
        self, path: Path | None, interval: float, notify: Callable[[str], None] = lambda trouble: None
    ) -> None:
        self.totals = Totals()
        self.saved_at = ""
        self.trouble = ""
        self._file = StatisticsFile(path)
        self._interval = interval
        self._notify = notify
        self._notes: queue.SimpleQueue[tuple[Note, int] | None] = queue.SimpleQueue()
        # Each is written by one thread alone, so that neither has to wait: the difference waits in the queue.
        self._bytes_in = 0
        self._bytes_out = 0
        self._unsaved: list[Note] = []
        self._unsaved_bytes = 0
        self._thread: threading.Thread | None = None
        self._then: Callable[[], None] = lambda: None

    def open(self) -> None:
        """Start the thread. It waits for notes, and costs nothing while there are none."""
        self._thread = threading.Thread(target=self._run, name="learning", daemon=True)
        self._thread.start()

    def note(self, note: Note) -> None:
        """Take a note; it is dropped where too many wait, or too long ones. Cost: an append, and no lock that is held
        while saving."""
        size = size_of(note)
        if self._notes.qsize() < QUEUE_LIMIT and self._bytes_in - self._bytes_out + size <= QUEUE_BYTES:
            self._bytes_in += size
            self._notes.put((note, size))

    @property
    def waiting(self) -> int:
        """Notes that are not saved yet."""
        return self._notes.qsize() + len(self._unsaved)

    def told(self) -> dict[str, object]:
        """The figures of `/stats`: all workers' as of this one's last save, and what waits for its next."""
        totals = self.totals
        return {
            "rows": totals.rows,
            "observations": totals.observations,
            "retrievals": totals.retrievals,
            "regrets": totals.regrets,
            "uncharged": totals.uncharged,
            "waiting": self.waiting,
            "last_saved": self.saved_at or None,
            "trouble": self.trouble or None,
        }

    def end(self, then: Callable[[], None] = lambda: None) -> None:
        """Let the thread save what waits and end; it calls `then` when it has."""
        self._then = then
        self._notes.put(None)

    def close(self) -> None:
        """Save what waits and end the thread; blocks for CLOSE_SECONDS at the most."""
        self.end()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)

    # On the thread.

    def _run(self) -> None:
        due = 0.0
        while True:
            if self._unsaved and time.monotonic() >= due:
                self._save()
                due = time.monotonic() + self._interval
            try:
                taken = self._notes.get(timeout=max(0.0, due - time.monotonic()) if self._unsaved else None)
            except queue.Empty:
                continue
            if taken is None:
                break
            if not self._unsaved:
                due = time.monotonic() + self._interval
            note, size = _read(taken[0]), taken[1]
            self._unsaved.append(note)
            self._unsaved_bytes += size_of(note)
            del taken
            self._bytes_out += size
            self._drop()
        self._save(last=True)
        self._file.close()
        self._then()

    def _drop(self) -> None:
        """Let go of the oldest notes, where too many wait for the disk, or too long ones."""
        while len(self._unsaved) > NOTES_LIMIT or self._unsaved_bytes > NOTES_BYTES:
            self._unsaved_bytes -= size_of(self._unsaved.pop(0))

    def _save(self, *, last: bool = False) -> None:
        notes = self._unsaved
        if not notes:
            return
        try:
            unknown = self._file.add(notes)
            again = [] if last else [asked for asked in unknown if asked.tried < PATIENCE]
            self._unsaved = [msgspec.structs.replace(asked, tried=asked.tried + 1) for asked in again]
            if len(again) < len(unknown):
                self._file.give_up(len(unknown) - len(again))
            self.totals = self._file.totals()
        except ERRORS as error:
            self._failed(error)
        else:
            self.saved_at = datetime.now(UTC).isoformat(timespec="seconds")
            self.trouble = ""
        self._unsaved_bytes = sum(map(size_of, self._unsaved))

    def _failed(self, error: Exception) -> None:
        """What was noted waits for the next save, unless it is what was wrong."""
        if not isinstance(error, sqlite3.Error | OSError):
            self._unsaved = []
        self._file.close()
        name = self._file.path.name if self._file.path is not None else "memory"
        why = (error.strerror if isinstance(error, OSError) else "") or error
        trouble = f"{name}: {why}: statistics are not saved, requests are not affected"
        if trouble != self.trouble:
            self.trouble = trouble
            self._notify(trouble)


def _read(note: Note) -> Note:
    """The note without texts."""
    if not isinstance(note, Lessons):
        return note
    return msgspec.structs.replace(note, rows=tuple(structured(lesson) for lesson in note.rows))


def learning_path(config: Config) -> Path | None:
    """Where the statistics are: as set; else beside the store, in the user's data directory for one on a server, and
    in memory for one in memory."""
    path = config.path("learning_path")
    where = config.text("store")
    if path is not None or where == "memory":
        return path
    return data_directory() / "learning.db" if is_redis(where) else store_path(where).with_suffix(".learning.db")
