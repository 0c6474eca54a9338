"""A SQLite file of ours: made so that only its owner may read it, opened, migrated, and set aside where it is damaged.

Everything here blocks and belongs to one thread. Errors are `sqlite3.Error` and `OSError`; `SqliteFile.failed` says
what they mean and does what must follow.

A file that turns out to be damaged is renamed, never deleted, and a new one is begun. One that was never ours is left
alone, as is one of a newer release.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

BUSY_MS: Final = 500  # how long another process's write, or its opening of the file, is waited for
DAMAGED_LIMIT: Final = 100  # files set aside; past it the disk is at fault, and filling it helps nobody
_WAL_LIMIT: Final = 64 * 1024 * 1024  # bytes that the write-ahead log keeps after a burst
# What a file or a value can do wrong. A thread that ended by anything else would leave everybody waiting.
ERRORS: Final = (sqlite3.Error, OSError, ValueError, OverflowError, MemoryError)


class SqliteFile:
    """The file and the one connection to it, made when it is needed and made anew when the file is another one.

    `prepare` brings an open file to the caller's schema, or raises sqlite3.Error.
    """

    def __init__(self, path: Path, prepare: Callable[[sqlite3.Connection], None]) -> None:
        self.path = Path(os.path.realpath(path))  # SQLite puts its own files next to the one that a link leads to
        self.trouble = ""
        self._prepare = prepare
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    @contextlib.contextmanager
    def commit(self) -> Iterator[sqlite3.Connection]:
        """Commit durably what is done within, or, where it raises, leave everything as it was."""
        connection = self.connected()
        _begin(connection)
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        if self._file != _identity(self.path):
            raise OSError("the file was replaced while it was written")

    def failed(self, error: Exception) -> str:
        """What an error means, in one line. The connection is given up unless it only has to wait."""
        said = f"{self.path.name}: {(error.strerror if isinstance(error, OSError) else '') or error}"
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

    def connected(self) -> sqlite3.Connection:
        """The connection to the file that is there now. Raises sqlite3.Error and OSError."""
        if self._connection is not None and self._file != _identity(self.path):
            self.drop()
        if self._connection is None:
            self._connection = self._connect()
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
        with contextlib.suppress(FileExistsError):
            # Nobody else may read it, not even for a moment.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        connection = sqlite3.connect(self.path, timeout=BUSY_MS / 1000, isolation_level=None)
        try:
            self._prepare(connection)
        except sqlite3.Error:
            connection.close()
            raise
        _make_private(self.path)  # only now it is known to be ours
        self._file = _identity(self.path)
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


def adopt(connection: sqlite3.Connection, newest: int, ours: str, setting: str) -> int:
    """Take a file that was just opened as ours, durable and with a write-ahead log, and return its schema's version.

    Ours is one with the table `ours`, or none. One that we cannot have made, or not yet (`newest` is the version that
    is known here), is not changed at all: raises sqlite3.DatabaseError, which names the `setting` of the path.
    """
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if version > newest:
        raise sqlite3.DatabaseError(
            f"made by a newer release of Headroom (schema {version}; this one knows up to {newest})"
        )
    if ours not in tables if version else tables - {ours}:
        raise sqlite3.DatabaseError(f"a database of another program; name another file in `{setting}`")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA journal_size_limit={_WAL_LIMIT}")
    return version


@contextlib.contextmanager
def migration(connection: sqlite3.Connection, version: int) -> Iterator[None]:
    """Change the schema to `version` in one transaction, or not at all."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute(f"PRAGMA user_version={version}")
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
    """See to it that nobody but its owner may read a file of ours.

    It is not opened: closing it again would end the locks of other connections of this process.
    """
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
