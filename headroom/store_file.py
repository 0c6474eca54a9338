"""The SQLite file of a store of decisions: its schema, and how it is kept below its limit.

Everything here blocks and belongs to one thread. Errors are `sqlite3.Error` and `OSError`; `Database.failed` says what
they mean and does what must follow.

The size that counts is that of the pages in use (the file less its free pages), which SQLite knows at no cost, whoever
wrote. The file does not shrink: what leaves makes room for what comes. How many entries there are is kept in a row of
its own, changed in the transaction that changes them. Where a damaged file was set aside, an old result without a
decision goes as it came.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from headroom.sqlite_file import SqliteFile, adopt, migration
from headroom.store import KEEP_SECONDS, Name, StoreState

SCHEMA_VERSION: Final = 2
SWEEP_SECONDS: Final = 3600.0  # between two removals of what has expired
SWEEP_ROWS: Final = 500  # expired and removed at once at the most, so that nobody waits long behind it: about 10 ms
EVICT_ROWS: Final = 2000  # the same of what is too much; more than one commit's worth of what is added
_BATCH: Final = 512  # names per statement; SQLite allows 32,766 variables
_EVICTED: Final = 200  # rows between two looks at the size
_SPARE: Final = 50  # one part in so many is freed beyond the limit, so that not every write has to

# `seen` and `writer` stand before the value, which may spill over many pages: they are read and changed without it.
# `writer` is who wrote the entry, until another has been told that it is kept: then it is 0, and can no longer be taken
# back by who wrote it.
_SCHEMA: Final = (
    """
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY,
        space INTEGER NOT NULL,
        key BLOB NOT NULL,
        seen INTEGER NOT NULL,
        writer INTEGER NOT NULL,
        value BLOB NOT NULL,
        UNIQUE (space, key)
    )
    """,
    "CREATE INDEX entries_by_seen ON entries (seen)",
    "CREATE TABLE totals (id INTEGER PRIMARY KEY CHECK (id = 1), entries INTEGER NOT NULL)",
)
_FROM_1: Final = (
    "DROP INDEX IF EXISTS entries_by_seen",
    "ALTER TABLE entries RENAME TO entries_1",
    *_SCHEMA,
    "INSERT INTO entries (space, key, seen, writer, value) SELECT space, key, seen, 0, value FROM entries_1",
    "DROP TABLE entries_1",
)
_INSERT: Final = "INSERT OR IGNORE INTO entries (space, key, seen, writer, value) VALUES (?, ?, ?, ?, ?)"
_DROP_EXPIRED: Final = "DELETE FROM entries WHERE space = ? AND key = ? AND seen < ?"
_SEE: Final = "UPDATE entries SET seen = ?, writer = 0 WHERE space = ? AND key = ? AND seen >= ?"
_OLDEST: Final = "SELECT id, length(key) + length(value) FROM entries WHERE seen < ? ORDER BY seen, id LIMIT ?"


class Database(SqliteFile):
    """The file and the one connection to it, made when it is needed and made anew when the file is another one."""

    def __init__(self, path: Path, ttl: float, limit: int, clock: Callable[[], float]) -> None:
        super().__init__(path, _prepare)
        self.state = StoreState(0, limit, 0)
        self._ttl = int(ttl)
        self._limit = limit
        self._clock = clock
        self._added = 0  # entries of the transaction under way, less those removed
        self._swept: tuple[int, object] | None = None  # when what has expired was last removed, and from which file

    # What a transaction is made of.

    def select(self, names: Sequence[Name]) -> dict[Name, bytes]:
        """The entries that there are among `names`. Takes no lock that a writer in another process could hold."""
        connection = self.connected()
        oldest = self._now() - self._ttl
        found: dict[Name, bytes] = {}
        spaces: dict[int, list[bytes]] = {}
        for space, key in names:
            spaces.setdefault(space, []).append(key)
        for space, keys in spaces.items():
            for at in range(0, len(keys), _BATCH):
                part = keys[at : at + _BATCH]
                width = 1 << (len(part) - 1).bit_length()  # few widths, so that few statements are compiled
                part += part[-1:] * (width - len(part))
                marks = ",".join("?" * width)
                rows = connection.execute(
                    f"SELECT key, value FROM entries WHERE space = ? AND key IN ({marks}) AND seen >= ?",
                    (space, *part, oldest),
                )
                found.update({(space, key): value for key, value in rows})
        return found

    def insert(self, entries: Sequence[tuple[Name, bytes]], writer: int) -> list[Name]:
        """Add what is not there, note that the rest was seen, and return the names of what was added."""
        connection = self.connected()
        now = self._now()
        oldest = now - self._ttl
        inserted: dict[Name, None] = {}
        seen: list[tuple[int, int, bytes, int]] = []
        for name, value in entries:
            if name in inserted:
                continue
            row = (*name, now, writer, value)
            made = connection.execute(_INSERT, row).rowcount
            if not made and connection.execute(_DROP_EXPIRED, (*name, oldest)).rowcount:
                self._added -= 1
                made = connection.execute(_INSERT, row).rowcount
            if made:
                self._added += 1
                inserted[name] = None
            else:
                seen.append((now, *name, oldest))
        connection.executemany(_SEE, seen)
        return list(inserted)

    def see(self, names: Sequence[Name]) -> None:
        """Renew the time to live of those that are there."""
        now = self._now()
        self.connected().executemany(_SEE, [(now, *name, now - self._ttl) for name in names])

    def delete(self, names: Sequence[Name], writer: int | None = None) -> None:
        """Remove entries; with a writer only those that are still that writer's own."""
        statement = "DELETE FROM entries WHERE space = ? AND key = ?"
        rows: list[tuple[object, ...]] = list(names)
        if writer is not None:
            statement += " AND writer = ?"
            rows = [(*name, writer) for name in names]
        self._added -= self.connected().executemany(statement, rows).rowcount

    # Around it.

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit durably what is done within, or, where it raises, leave everything as it was."""
        self.connected()  # a file that has to be made anew is made before anything is counted
        self._added = 0
        with self.commit() as connection:
            yield
            if self._added:
                connection.execute("UPDATE totals SET entries = entries + ?", (self._added,))

    def tidy(self) -> None:
        """Remove some of what has expired or is too much, and note how full the file is. Bounded in rows."""
        connection = self.connected()
        now = self._now()
        due = self._swept is None or self._swept[1] != self._file or abs(now - self._swept[0]) >= SWEEP_SECONDS
        used = self._used(connection)
        if due or used > self._limit:
            with self.transaction():
                if due and self._sweep(connection, now - self._ttl) < SWEEP_ROWS:
                    self._swept = now, self._file
                self._evict(connection, now - int(KEEP_SECONDS))
            used = self._used(connection)
        entries = connection.execute("SELECT entries FROM totals").fetchone()[0]
        self.state = StoreState(used, self._limit, entries)

    def _now(self) -> int:
        return int(self._clock())

    def _sweep(self, connection: sqlite3.Connection, oldest: int) -> int:
        ids = connection.execute("SELECT id FROM entries WHERE seen < ? ORDER BY seen LIMIT ?", (oldest, SWEEP_ROWS))
        gone = [(row[0],) for row in ids]
        connection.executemany("DELETE FROM entries WHERE id = ?", gone)
        self._added -= len(gone)
        return len(gone)

    def _evict(self, connection: sqlite3.Connection, oldest: int) -> None:
        """Over the limit, remove what was seen longest ago, and before `oldest`, until there is room to spare."""
        if self._used(connection) <= self._limit:
            return
        target = self._limit - self._limit // _SPARE
        for _ in range(EVICT_ROWS // _EVICTED):
            excess = self._used(connection) - target
            rows = connection.execute(_OLDEST, (oldest, _EVICTED)).fetchall()
            if excess <= 0 or not rows:
                return
            for row, size in rows:
                connection.execute("DELETE FROM entries WHERE id = ?", (row,))
                self._added -= 1
                excess -= size
                if excess <= 0:
                    break

    def _used(self, connection: sqlite3.Connection) -> int:
        """Bytes of the pages in use."""
        size: int
        pages: int
        free: int
        size, pages, free = (
            connection.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_size", "page_count", "freelist_count")
        )
        return (pages - free) * size


def _prepare(connection: sqlite3.Connection) -> None:
    """Bring the file to this schema."""
    if adopt(connection, SCHEMA_VERSION, "entries", "store") == SCHEMA_VERSION:
        return
    with migration(connection, SCHEMA_VERSION):
        before = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'entries'").fetchone()
        for statement in _FROM_1 if before else _SCHEMA:
            connection.execute(statement)
        connection.execute("INSERT INTO totals SELECT 1, count(*) FROM entries")
