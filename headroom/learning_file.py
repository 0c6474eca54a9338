"""The file of the statistics: sums that every worker of a host adds to.

It is apart from the store: no decision and no original is in it, and losing it costs no request anything. All of it is
counts and sums, so what several workers add in whatever order comes out the same. Everything here blocks and belongs
to one thread. Errors are those of ERRORS.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from headroom.lessons import Asked, Lesson, Lessons, field_digest
from headroom.zones.press import Action

SCHEMA_VERSION: Final = 1
BUSY_SECONDS: Final = 5.0  # how long another worker's write is waited for; nobody waits for ours
ROWS_LIMIT: Final = 10_000  # forms by key
PRESSES_LIMIT: Final = 50_000  # presses that a retrieval can still be charged to
TOOLS_LIMIT: Final = 500
FIELDS_LIMIT: Final = 100  # of a structure
QUERIES_LIMIT: Final = 10  # of a key
CALLERS_LIMIT: Final = 100  # of a key
ERRORS: Final = (sqlite3.Error, OSError, ValueError, OverflowError, MemoryError)
_TOOL: Final = re.compile(r"[\w.:/-]{1,128}", re.ASCII)

_SCHEMA: Final = (
    """
    CREATE TABLE learnt (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        auth TEXT NOT NULL, family TEXT NOT NULL, structure TEXT NOT NULL, form TEXT NOT NULL,
        kind TEXT NOT NULL,
        presses INTEGER NOT NULL DEFAULT 0, tries INTEGER NOT NULL DEFAULT 0,
        before INTEGER NOT NULL DEFAULT 0, after INTEGER NOT NULL DEFAULT 0, us INTEGER NOT NULL DEFAULT 0,
        whole INTEGER NOT NULL DEFAULT 0, part INTEGER NOT NULL DEFAULT 0, regrets INTEGER NOT NULL DEFAULT 0,
        given_back INTEGER NOT NULL DEFAULT 0,
        seen INTEGER NOT NULL,
        UNIQUE (auth, family, structure, form)
    )
    """,
    """
    CREATE TABLE tool (
        name TEXT PRIMARY KEY,
        presses INTEGER NOT NULL DEFAULT 0, tries INTEGER NOT NULL DEFAULT 0, saved INTEGER NOT NULL DEFAULT 0,
        whole INTEGER NOT NULL DEFAULT 0, part INTEGER NOT NULL DEFAULT 0, regrets INTEGER NOT NULL DEFAULT 0,
        given_back INTEGER NOT NULL DEFAULT 0,
        seen INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE press (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        learnt INTEGER NOT NULL, tool TEXT NOT NULL, before INTEGER NOT NULL, saved INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE field (
        structure TEXT NOT NULL, digest TEXT NOT NULL, asked INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (structure, digest)
    )
    """,
    """
    CREATE TABLE query (
        auth TEXT NOT NULL, family TEXT NOT NULL, structure TEXT NOT NULL, pattern TEXT NOT NULL,
        count INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (auth, family, structure, pattern)
    )
    """,
    """
    CREATE TABLE caller (
        auth TEXT NOT NULL, family TEXT NOT NULL, structure TEXT NOT NULL, digest TEXT NOT NULL,
        PRIMARY KEY (auth, family, structure, digest)
    )
    """,
    "CREATE TABLE total (name TEXT PRIMARY KEY, value NOT NULL)",
    "INSERT INTO total VALUES ('saves', 0), ('retrievals', 0), ('regrets', 0), ('uncharged', 0)",
)
_LEARN: Final = """
    INSERT INTO learnt (auth, family, structure, form, kind, presses, tries, before, after, us, seen)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (auth, family, structure, form) DO UPDATE SET presses = presses + excluded.presses,
        tries = tries + excluded.tries, before = before + excluded.before, after = after + excluded.after,
        us = us + excluded.us, seen = excluded.seen
"""
_LEARNT: Final = "SELECT id FROM learnt WHERE (auth, family, structure, form) = (?, ?, ?, ?)"
_USE_TOOL: Final = """
    INSERT INTO tool (name, presses, tries, saved, seen) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET presses = presses + excluded.presses, tries = tries + excluded.tries,
        saved = saved + excluded.saved, seen = excluded.seen
"""
_CHARGE: Final = (
    "UPDATE {table} SET whole = whole + ?, part = part + ?, regrets = regrets + ?, given_back = given_back + ? "
    "WHERE {key} = ?"
)
_CHARGE_FORM: Final = _CHARGE.format(table="learnt", key="id")
_CHARGE_TOOL: Final = _CHARGE.format(table="tool", key="name")
# What has no row any more that it belongs to.
_ORPHANS: Final = (
    "DELETE FROM field WHERE structure NOT IN (SELECT structure FROM learnt)",
    "DELETE FROM query WHERE (auth, family, structure) NOT IN (SELECT auth, family, structure FROM learnt)",
    "DELETE FROM caller WHERE (auth, family, structure) NOT IN (SELECT auth, family, structure FROM learnt)",
)

Note: TypeAlias = Lessons | Asked
"""What statistics are made of."""


class Totals(msgspec.Struct, frozen=True, gc=False):
    """Sums over the whole file. `uncharged` are retrievals and regrets whose press is not known."""

    rows: int = 0
    observations: int = 0
    retrievals: int = 0
    regrets: int = 0
    uncharged: int = 0


class FormRow(msgspec.Struct, frozen=True, gc=False):
    """One form's sums under one key. Tokens; `given_back` is what retrievals and regrets cost of what was saved."""

    auth: str
    family: str
    structure: str
    form: str
    presses: int
    tries: int
    before: int
    after: int
    given_back: int


class ToolRow(msgspec.Struct, frozen=True, gc=False):
    """One tool's sums."""

    name: str
    presses: int
    regrets: int
    whole: int
    saved: int
    given_back: int


class StatisticsFile:
    """The file and the one connection to it. `path` None keeps everything in memory.

    A file that cannot be read, or was made by another program, is left as it is.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._salt = b""
        self._saves = 0

    def add(self, notes: Sequence[Note]) -> list[Asked]:
        """Add what was noted, all or nothing; returns what asked for presses that are not known (yet: another worker
        may be about to write them)."""
        connection = self._connected()
        uncharged: list[Asked] = []
        with _transaction(connection):
            connection.execute("UPDATE total SET value = value + 1 WHERE name = 'saves'")
            self._saves = self._total("saves")
            for note in notes:
                if isinstance(note, Lessons):
                    for lesson in note.rows:
                        self._lesson(note, lesson)
                elif not self._asked(note):
                    uncharged.append(note)
            self._evict()
        return uncharged

    def give_up(self, count: int) -> None:
        """Count retrievals whose press was never found."""
        with _transaction(self._connected()):
            self._count("retrievals", count)
            self._count("uncharged", count)

    def totals(self) -> Totals:
        """The sums of all workers."""
        row = self._connected().execute("SELECT count(*), total(presses + tries) FROM learnt").fetchone()
        names = ("retrievals", "regrets", "uncharged")
        return Totals(row[0], int(row[1]), *(self._total(name) for name in names))

    def forms(self) -> list[FormRow]:
        """All forms, sorted by key and name."""
        names = ", ".join(FormRow.__struct_fields__)
        order = "ORDER BY auth, family, structure, form"
        return [FormRow(*row) for row in self._connected().execute(f"SELECT {names} FROM learnt {order}")]

    def tools(self) -> list[ToolRow]:
        """All tools, sorted by name."""
        names = ", ".join(ToolRow.__struct_fields__)
        return [ToolRow(*row) for row in self._connected().execute(f"SELECT {names} FROM tool ORDER BY name")]

    def callers(self) -> dict[tuple[str, str, str], int]:
        """How many callers were seen, by key."""
        rows = self._connected().execute(
            "SELECT auth, family, structure, count(*) FROM caller GROUP BY auth, family, structure"
        )
        return {(auth, family, structure): count for auth, family, structure, count in rows}

    def close(self) -> None:
        """Let go of the file; it is opened again when it is needed."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def open_made(self) -> None:
        """Open the file, which must be there. It may hold what a process that was killed left half written, so it is
        not opened for reading alone; where nothing else is allowed, SQLite does so by itself."""
        assert self.path is not None
        self._connection = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=rw", BUSY_SECONDS, uri=True)
        _check(self._connection)

    # Within a transaction.

    def _lesson(self, of: Lessons, lesson: Lesson) -> None:
        tool = lesson.tool.lower()
        tool = tool if _TOOL.fullmatch(tool) else ""
        if lesson.action is Action.PRESSED_BEFORE:
            self._count("regrets", 1)
            if not self._charge(_press_name(lesson.press), regret=True):
                self._count("uncharged", 1)
            return
        pressed = lesson.action is Action.PRESSED
        before, after = (lesson.before, lesson.after) if pressed else (0, 0)
        key = (of.auth, of.family, lesson.structure.name)
        execute = self._connected().execute
        row = (*key, lesson.form, lesson.kind, int(pressed), int(not pressed), before, after, int(lesson.ms * 1000))
        execute(_LEARN, (*row, self._saves))
        learnt: int = execute(_LEARNT, (*key, lesson.form)).fetchone()[0]
        if tool:
            execute(_USE_TOOL, (tool, int(pressed), int(not pressed), before - after, self._saves))
        if pressed:
            names = [_press_name(lesson.press), *([_original_name(lesson.original)] if lesson.original else [])]
            for name in names:
                execute(
                    "INSERT OR REPLACE INTO press (name, learnt, tool, before, saved) VALUES (?, ?, ?, ?, ?)",
                    (name, learnt, tool, before, before - after),
                )
        for field in lesson.structure.fields[:FIELDS_LIMIT]:
            self._capped("field", ("structure", "digest"), (lesson.structure.name, field_digest(field)), FIELDS_LIMIT)
        digest = sha256(self._salt + of.caller).hexdigest()[:16]
        self._capped("caller", ("auth", "family", "structure", "digest"), (*key, digest), CALLERS_LIMIT)

    def _asked(self, asked: Asked) -> bool:
        """Charge a retrieval to its press; False where that is not known."""
        learnt = self._charge(_original_name(asked.hash), share=asked.share)
        if learnt is None:
            return False
        self._count("retrievals", 1)
        execute = self._connected().execute
        key = execute("SELECT auth, family, structure FROM learnt WHERE id = ?", (learnt,)).fetchone()
        if key is None or not asked.query:
            return True
        names = ("auth", "family", "structure", "pattern")
        self._capped("query", names, (*key, asked.query), QUERIES_LIMIT)
        execute("UPDATE query SET count = count + 1 WHERE (auth, family, structure, pattern) = (?, ?, ?, ?)",
                (*key, asked.query))  # fmt: skip
        for word in asked.query.split(" "):
            execute("UPDATE field SET asked = asked + 1 WHERE (structure, digest) = (?, ?)", (key[2], word[:8]))
        return True

    def _charge(self, name: str, *, share: float = 1.0, regret: bool = False) -> int | None:
        """Take back from a press's gain what was given after all: all that it had saved, or the part that was fetched.
        Returns its form's row, or None where the press is not known."""
        execute = self._connected().execute
        press = execute("SELECT learnt, tool, before, saved FROM press WHERE name = ?", (name,)).fetchone()
        if press is None:
            return None
        learnt, tool, before, saved = press
        whole = share >= 1 and not regret
        given_back = saved if regret or whole else round(before * share)
        charge = (int(whole), int(not whole and not regret), int(regret), given_back)
        execute(_CHARGE_FORM, (*charge, learnt))
        execute(_CHARGE_TOOL, (*charge, tool))
        return int(learnt)

    def _capped(self, table: str, names: Sequence[str], values: Sequence[str], limit: int) -> None:
        """Add a row unless it is there, or as many of its key are as may be."""
        marks, key = ", ".join("?" * len(values)), " AND ".join(f"{name} = ?" for name in names[:-1])
        self._connected().execute(
            f"INSERT OR IGNORE INTO {table} ({', '.join(names)}) SELECT {marks} "
            f"WHERE (SELECT count(*) FROM {table} WHERE {key}) < ?",
            (*values, *values[:-1], limit),
        )

    def _count(self, name: str, amount: int) -> None:
        self._connected().execute("UPDATE total SET value = value + ? WHERE name = ?", (amount, name))

    def _total(self, name: str) -> int:
        return int(self._connected().execute("SELECT value FROM total WHERE name = ?", (name,)).fetchone()[0])

    def _evict(self) -> None:
        """What was used longest ago leaves."""
        execute = self._connected().execute
        gone = 0
        for table, order, limit in (
            ("learnt", "seen, id", ROWS_LIMIT),
            ("tool", "seen, name", TOOLS_LIMIT),
            ("press", "id", PRESSES_LIMIT),
        ):
            excess = execute(f"SELECT count(*) FROM {table}").fetchone()[0] - limit
            if excess > 0:
                execute(
                    f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} ORDER BY {order} LIMIT {excess})"
                )
                gone += table == "learnt"
        if gone:
            for statement in _ORPHANS:
                execute(statement)

    # The file.

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            if self.path is not None:
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            connection = sqlite3.connect(self.path or ":memory:", BUSY_SECONDS, isolation_level=None)
            try:
                self._salt = _prepare(connection)
            except sqlite3.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection


def _prepare(connection: sqlite3.Connection) -> bytes:
    """Make the tables of a new file; returns the file's salt, by which callers' digests say nothing elsewhere."""
    with _transaction(connection):
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in _SCHEMA:
                connection.execute(statement)
            connection.execute("INSERT INTO total VALUES ('salt', ?)", (os.urandom(16),))
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        _check(connection)
    salt: bytes = connection.execute("SELECT value FROM total WHERE name = 'salt'").fetchone()[0]
    return salt


def _check(connection: sqlite3.Connection) -> None:
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != SCHEMA_VERSION or not {"learnt", "tool", "press", "total"} <= tables:
        raise sqlite3.DatabaseError("made by another program, or by another release")


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _press_name(key: bytes) -> str:
    return sha256(b"press" + key).hexdigest()[:16]


def _original_name(hash_: str) -> str:
    """By how the hash begins, and digested: the hash itself would be enough to ask for the original."""
    return sha256(b"original" + hash_[:8].encode()).hexdigest()[:16]
