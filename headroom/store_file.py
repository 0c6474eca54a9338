"""The SQLite file of a store: made, opened, migrated, kept below its limit, and set aside where it is damaged.

Everything here blocks and belongs to one thread. Errors are `sqlite3.Error` and `OSError`; `Database.failed` says what
they mean and does what must follow.

The size that counts is that of the pages in use (the file less its free pages), which SQLite knows at no cost, whoever
wrote. The file does not shrink: what leaves makes room for what comes. How many entries there are is kept in a row of
its own, changed in the transaction that changes them.

A file that turns out to be damaged is renamed, never deleted, and a new one is begun: an old result without a decision
goes as it came. One that was never ours is left alone, as is one of a newer release.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from headroom.store import KEEP_SECONDS, Name, StoreState

SCHEMA_VERSION: Final = 2
BUSY_MS: Final = 500  # how long another process's write, or its opening of the file, is waited for
SWEEP_SECONDS: Final = 3600.0  # between two removals of what has expired
SWEEP_ROWS: Final = 500  # expired and removed at once at the most, so that nobody waits long behind it: about 10 ms
EVICT_ROWS: Final = 2000  # the same of what is too much; more than one commit's worth of what is added
DAMAGED_LIMIT: Final = 100  # files set aside; past it the disk is at fault, and filling it helps nobody
_BATCH: Final = 512  # names per statement; SQLite allows 32,766 variables
_EVICTED: Final = 200  # rows between two looks at the size
_SPARE: Final = 50  # one part in so many is freed beyond the limit, so that not every write has to
_WAL_LIMIT: Final = 64 * 1024 * 1024  # bytes that the write-ahead log keeps after a burst

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


class Database:
    """The file and the one connection to it, made when it is needed and made anew when the file is another one."""

    def __init__(self, path: Path, ttl: float, limit: int, clock: Callable[[], float]) -> None:
        self.path = Path(os.path.realpath(path))  # SQLite puts its own files next to the one that a link leads to
        self.trouble = ""
        self.state = StoreState(0, limit, 0)
        self._ttl = int(ttl)
        self._limit = limit
        self._clock = clock
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._page = 0  # bytes
        self._added = 0  # entries of the transaction under way, less those removed
        self._swept: int | None = None  # when what has expired was last removed

    # What a transaction is made of.

    def select(self, names: Sequence[Name]) -> dict[Name, bytes]:
        """The entries that there are among `names`. Takes no lock that a writer in another process could hold."""
        connection = self._connected()
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
        connection = self._connected()
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
        self._connected().executemany(_SEE, [(now, *name, now - self._ttl) for name in names])

    def delete(self, names: Sequence[Name], writer: int | None = None) -> None:
        """Remove entries; with a writer only those that are still that writer's own."""
        statement = "DELETE FROM entries WHERE space = ? AND key = ?"
        rows: list[tuple[object, ...]] = list(names)
        if writer is not None:
            statement += " AND writer = ?"
            rows = [(*name, writer) for name in names]
        self._added -= self._connected().executemany(statement, rows).rowcount

    # Around it.

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit durably what is done within, or, where it raises, leave everything as it was."""
        connection = self._connected()
        _begin(connection)
        self._added = 0
        try:
            yield
            if self._added:
                connection.execute("UPDATE totals SET entries = entries + ?", (self._added,))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        if self._file != _identity(self.path):
            raise OSError("the file was replaced while it was written")

    def tidy(self) -> None:
        """Remove some of what has expired or is too much, and note how full the file is. Bounded in rows."""
        connection = self._connected()
        now = self._now()
        due = self._swept is None or abs(now - self._swept) >= SWEEP_SECONDS
        used = self._used(connection)
        if due or used > self._limit:
            with self.transaction():
                if due and self._sweep(connection, now - self._ttl) < SWEEP_ROWS:
                    self._swept = now
                self._evict(connection, now - int(KEEP_SECONDS))
            used = self._used(connection)
        entries = connection.execute("SELECT entries FROM totals").fetchone()[0]
        self.state = StoreState(used, self._limit, entries)

    def failed(self, error: Exception) -> str:
        """What an error means, in one line. The connection is given up unless it only has to wait."""
        said = f"{self.path.name}: {error}"
        try:
            if _is_damage(error) and self._connection is not None:
                with _alone(self.path.parent):
                    # Another process may have been first; then a good file is there now.
                    if self._file == _identity(self.path) and self._set_aside(error):
                        said = self.trouble
        except OSError as more:
            said = f"{said}; it cannot be set aside: {more.strerror or more}"
        if not _will_pass(error):
            self.drop()
        return said

    def drop(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

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
        pages: int = connection.execute("PRAGMA page_count").fetchone()[0]
        free: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
        return (pages - free) * self._page

    # The file.

    def _connected(self) -> sqlite3.Connection:
        if self._connection is not None and self._file != _identity(self.path):
            self.drop()
        if self._connection is None:
            self._connection = self._connect()
            self._page = self._connection.execute("PRAGMA page_size").fetchone()[0]
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        """Open the file, or make it. One process at a time does so: it may have to make, migrate or rename it."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(self.path.parent):
            try:
                return self._open()
            except sqlite3.DatabaseError as error:
                ours = self._file == _identity(self.path) or _looks_ours(self.path)
                if not _is_damage(error) or not ours or not self._set_aside(error):
                    raise
            return self._open()

    def _open(self) -> sqlite3.Connection:
        _make_private(self.path)
        known = self._file
        connection = sqlite3.connect(self.path, timeout=BUSY_MS / 1000, isolation_level=None)
        try:
            _prepare(connection)
        except sqlite3.Error:
            connection.close()
            raise
        self._file = _identity(self.path)
        if known != self._file:
            self._swept = None
        return connection

    def _set_aside(self, error: Exception) -> bool:
        """Rename the damaged file and what SQLite keeps next to it; False where that was done too often.

        The log goes first: left behind, it would be taken for that of the new file.
        """
        for n in range(1, DAMAGED_LIMIT + 1):
            aside = self.path.with_name(f"{self.path.name}.damaged-{n}")
            if not any(Path(f"{aside}{suffix}").exists() for suffix in ("", "-wal", "-shm")):
                break
        else:
            return False
        for suffix in ("-wal", "-shm", ""):
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{self.path}{suffix}", f"{aside}{suffix}")
        self.trouble = f"{self.path.name} is damaged ({error}): it was set aside as {aside.name} and a new one begun"
        return True


def _prepare(connection: sqlite3.Connection) -> None:
    """Bring the file to this schema. One that we cannot have made, or not yet, is not changed at all."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if version > SCHEMA_VERSION:
        raise sqlite3.DatabaseError(
            f"made by a newer release of Headroom (schema {version}; this one knows up to {SCHEMA_VERSION})"
        )
    if "entries" not in tables if version else tables - {"entries"}:
        raise sqlite3.DatabaseError("a database of another program; name another file in `store`")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA journal_size_limit={_WAL_LIMIT}")
    if version == SCHEMA_VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in _FROM_1 if "entries" in tables else _SCHEMA:
            connection.execute(statement)
        connection.execute("INSERT INTO totals SELECT 1, count(*) FROM entries")
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _begin(connection: sqlite3.Connection) -> None:
    """Begin to write, as soon as no other process does. Raises sqlite3.OperationalError after BUSY_MS.

    SQLite by itself looks less and less often, up to ten times a second: beside a process that writes all the time it
    would hardly ever find the gap between two of its commits.
    """
    patience = time.monotonic() + BUSY_MS / 1000
    connection.execute("PRAGMA busy_timeout=0")
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > patience:
                    raise
            time.sleep(0.001)
    finally:
        connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder against other processes that open a store in it. Raises OSError after BUSY_MS."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        patience = time.monotonic() + BUSY_MS / 1000
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > patience:
                    raise OSError("another process is opening the store") from None
                time.sleep(0.005)
        yield
    finally:
        os.close(descriptor)


def _make_private(path: Path) -> None:
    """Make the file if it is not there, so that nobody else may read it, not even for a moment.

    One that is there is not opened: closing it again would end the locks of other connections of this process.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError, PermissionError):
                mode = os.stat(f"{path}{suffix}").st_mode
                if stat.S_ISREG(mode) and mode & 0o077:
                    os.chmod(f"{path}{suffix}", 0o600)


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file is at a path."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _looks_ours(path: Path) -> bool:
    """Whether a file that cannot be read as a database once was one: it begins as such, or as a crash leaves it."""
    with path.open("rb") as stream:
        begin = stream.read(16)
    return begin == b"SQLite format 3\x00" or (len(begin) == 16 and not any(begin))


def _is_damage(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _will_pass(error: Exception) -> bool:
    """Whether the connection is as good as before: it waited for a lock, or for room on the disk."""
    waits = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL)
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in waits
