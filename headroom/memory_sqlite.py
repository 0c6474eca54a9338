"""Memories in one SQLite file, shared by all workers of a host. No other program, model or service is needed.

A thread of its own owns the connection; nothing blocks the event loop. Every write is durable before it is answered.
The words are found by FTS5; the scores are ours (`relevance`), since those of FTS5 count the memories of everybody.

What is asked of FTS5 is made of terms only, each written in letters and digits and in quotes, so that no text can be
read as its query language. Who sees a row is asked twice: as a term, so that FTS5 passes over the rows of others, and
in SQL, which decides.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from blake3 import blake3

from headroom.faults import MemoryDown
from headroom.memory import (
    DEFAULT_IMPORTANCE,
    OWNER_LIMIT,
    Found,
    Memory,
    MemoryRefused,
    Saved,
    Scope,
    checked_content,
    checked_entities,
    checked_importance,
    checked_scope,
)
from headroom.relevance import Candidate, alike, rank, weigh
from headroom.sqlite_file import ERRORS, SqliteFile, adopt, migration
from headroom.terms import query_terms, terms

SCHEMA_VERSION: Final = 1
SIMILAR: Final = 0.75  # share of terms common to two memories that say nearly the same
CANDIDATES: Final = 20_000  # rows that one search scores, the latest kept
QUEUE_LIMIT: Final = 1000  # calls under way; more means that the disk has stopped
DEFAULT_TIMEOUT: Final = 2.0  # seconds
_ID_DIGITS: Final = (8, 16, 32, 64)  # hex digits of an id: more where fewer are taken
_RELATED: Final = 3
_COMPARED: Final = 10  # memories nearest to a new one that are compared with it word by word

T = TypeVar("T")

_INDEX: Final = "CREATE VIRTUAL TABLE words USING fts5(owner, terms, tokenize = 'ascii')"
_SCHEMA: Final = (
    """
    CREATE TABLE memories (
        row INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        project TEXT NOT NULL,
        user TEXT NOT NULL,
        content TEXT NOT NULL,
        created INTEGER NOT NULL,
        updated INTEGER NOT NULL,
        importance REAL NOT NULL,
        entities TEXT NOT NULL,
        terms INTEGER NOT NULL,
        weight REAL NOT NULL,
        UNIQUE (project, user, content)
    )
    """,
    "CREATE INDEX memories_by_owner ON memories (user, project, terms)",
    _INDEX,
)
_COLUMNS: Final = "m.id, m.content, m.project, m.user, m.created, m.updated, m.importance, m.entities"
_Row = tuple[str, str, str, str, int, int, float, str]


class SqliteMemory:
    """See `headroom.memory.Memories`. `clock` gives seconds since 1970; `timeout` is in seconds.

    A call that is cancelled or late may still be carried out.
    """

    def __init__(self, path: Path, timeout: float = DEFAULT_TIMEOUT, clock: Callable[[], float] = time.time) -> None:
        self._file = SqliteFile(path, _prepare)
        self._timeout = timeout
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "memory")
        self._waiting = 0
        self._closed = False
        self._down = ""

    @property
    def down(self) -> str:
        """See Memories."""
        return self._down

    @property
    def trouble(self) -> str:
        """See Memories."""
        return self._file.trouble

    async def open(self) -> None:
        """Make the file if it is not there, with mode 0600. Raises MemoryDown."""
        await self._do(self._file.connected)

    async def save(
        self, scope: Scope, content: str, importance: float | None = None, entities: Sequence[str] = ()
    ) -> Saved:
        """See Memories."""
        scope = checked_scope(scope)
        kept = checked_content(content)
        weight = None if importance is None else checked_importance(importance)
        names = checked_entities(entities)
        return await self._do(lambda: self._save(scope, kept, weight, names))

    async def search(self, scope: Scope, query: str, limit: int, *, loose: bool = False) -> tuple[Found, ...]:
        """See Memories."""
        if not scope.resolved or limit < 1:
            return ()
        return await self._do(lambda: self._search(scope, query, limit, loose))

    async def update(self, scope: Scope, id: str, content: str) -> Memory | None:
        """See Memories."""
        kept = checked_content(content)
        return await self._do(lambda: self._update(scope, id, kept)) if scope.resolved else None

    async def delete(self, scope: Scope, id: str) -> bool:
        """See Memories."""
        return await self._do(lambda: self._delete(*_visible(scope), id)) if scope.resolved else False

    async def list(self, scope: Scope, limit: int | None) -> tuple[Memory, ...]:
        """See Memories."""
        return await self._do(lambda: self._list(*_visible(scope), limit)) if scope.resolved else ()

    async def every(self, project: str | None, user: str | None, limit: int | None = None) -> tuple[Memory, ...]:
        """For the machine's owner: all memories, or those of a project or a user (empty: shared), the latest changed
        first. Raises MemoryDown."""
        return await self._do(lambda: self._list(*_narrowed(project, user), limit))

    async def remove(self, id: str) -> bool:
        """For the machine's owner: forget a memory, whoever it belongs to; whether there was one. Raises MemoryDown."""
        return await self._do(lambda: self._delete(*_narrowed(None, None), id))

    async def clear(self, project: str, user: str | None) -> int:
        """For the machine's owner: forget all memories of a project, or those of one user in it; how many there were.
        Raises MemoryDown."""
        return await self._do(lambda: self._clear(*_narrowed(project, user)))

    async def close(self) -> None:
        """See Memories."""
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._file.drop)
            self._thread.shutdown(wait=False)

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            done = await self._bounded(work)
        except MemoryDown as fault:
            self._down = str(fault)
            raise
        self._down = ""
        return done

    async def _bounded(self, work: Callable[[], T]) -> T:
        if self._closed:
            raise MemoryDown("the memory is closed")
        if self._waiting >= QUEUE_LIMIT:
            raise MemoryDown("the memory does not keep up")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.get_running_loop().run_in_executor(self._thread, self._attempt, work)
        except TimeoutError:
            raise MemoryDown(f"the memory did not answer within {self._timeout:g} s") from None
        finally:
            self._waiting -= 1

    # On the thread.

    def _attempt(self, work: Callable[[], T]) -> T:
        try:
            try:
                return work()
            except sqlite3.DatabaseError as error:
                if getattr(error, "sqlite_errorcode", 0) != sqlite3.SQLITE_CORRUPT_VTAB:
                    raise
            self._reindex()  # the index alone is damaged, and can be made of the memories
            return work()
        except ERRORS as error:
            raise MemoryDown(self._file.failed(error)) from None

    def _reindex(self) -> None:
        with self._file.commit() as connection:
            connection.execute("DROP TABLE words")
            connection.execute(_INDEX)
            for row in connection.execute(f"SELECT m.row, {_COLUMNS} FROM memories m").fetchall():
                _write(connection, row[0], _memory(row[1:]))

    def _save(self, scope: Scope, content: str, importance: float | None, entities: tuple[str, ...]) -> Saved:
        now = int(self._clock())
        similar = _similar(self._file.connected(), scope, content)  # before others have to wait for this write
        with self._file.commit() as connection:
            found = _one(
                connection, "m.project = ? AND m.user = ? AND m.content = ?", scope.project, scope.user, content
            )
            if found is not None:
                row, memory = found
                if entities or importance is not None:
                    memory = msgspec.structs.replace(
                        memory,
                        importance=memory.importance if importance is None else importance,
                        entities=entities or memory.entities,
                        updated=now,
                    )
                    _write(connection, row, memory)
                return Saved(memory, new=False)
            owned = "SELECT count(*) FROM memories WHERE project = ? AND user = ?"
            count: int = connection.execute(owned, (scope.project, scope.user)).fetchone()[0]
            if count >= OWNER_LIMIT:
                raise MemoryRefused(
                    f"There are {count:,} memories here, which is the most that is kept: delete some that are no "
                    "longer needed, or update one."
                )
            memory = Memory(
                _new_id(connection, scope, content),
                content,
                scope.project,
                scope.user,
                now,
                now,
                DEFAULT_IMPORTANCE if importance is None else importance,
                entities,
            )
            _write(connection, None, memory)
        return Saved(memory, new=True, similar=similar)

    def _search(self, scope: Scope, query: str, limit: int, loose: bool) -> tuple[Found, ...]:
        wanted = query_terms(query)
        if not wanted:
            return ()
        connection = self._file.connected()
        connection.execute("BEGIN")  # what is counted, scored and read is of one moment
        try:
            ranked = _ranked(connection, scope, wanted, loose=loose)[:limit]
            found = [(score, _one(connection, "m.id = ?", candidate.id)) for score, candidate in ranked]
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        return tuple(Found(one[1], score, _related(one[1])) for score, one in found if one is not None)

    def _update(self, scope: Scope, id: str, content: str) -> Memory | None:
        condition, values = _visible(scope)
        with self._file.commit() as connection:
            found = _one(connection, f"{condition} AND m.id = ?", *values, id)
            if found is None:
                return None
            row, memory = found
            same = _one(
                connection,
                "m.project = ? AND m.user = ? AND m.content = ? AND m.id <> ?",
                *(memory.project, memory.user, content, id),
            )
            if same is not None:
                raise MemoryRefused(f"The memory {same[1].id} says exactly that already: delete {id} instead.")
            memory = msgspec.structs.replace(memory, content=content, updated=int(self._clock()))
            _write(connection, row, memory)
            return memory

    def _delete(self, condition: str, values: Sequence[str], id: str) -> bool:
        with self._file.commit() as connection:
            found = _one(connection, f"{condition} AND m.id = ?", *values, id)
            if found is None:
                return False
            connection.execute("DELETE FROM words WHERE rowid = ?", (found[0],))
            connection.execute("DELETE FROM memories WHERE row = ?", (found[0],))
            return True

    def _clear(self, condition: str, values: Sequence[str]) -> int:
        with self._file.commit() as connection:
            connection.execute(
                f"DELETE FROM words WHERE rowid IN (SELECT m.row FROM memories m WHERE {condition})", values
            )
            return connection.execute(f"DELETE FROM memories AS m WHERE {condition}", values).rowcount

    def _list(self, condition: str, values: Sequence[str], limit: int | None) -> tuple[Memory, ...]:
        rows = self._file.connected().execute(
            f"SELECT {_COLUMNS} FROM memories m WHERE {condition} ORDER BY m.updated DESC, m.id LIMIT ?",
            (*values, -1 if limit is None else max(limit, 0)),
        )
        return tuple(map(_memory, rows))


def match_of(wanted: Sequence[str], scope: Scope) -> str:
    """The FTS5 query for rows that a scope sees and that hold any of the terms; `wanted` is not empty."""
    return f"owner : ({_owners(scope)}) AND terms : ({' OR '.join(map(_quoted, wanted))})"


def _prepare(connection: sqlite3.Connection) -> None:
    if adopt(connection, SCHEMA_VERSION, "memories", "memory_store") == SCHEMA_VERSION:
        return
    with migration(connection, SCHEMA_VERSION):
        for statement in _SCHEMA:
            connection.execute(statement)


def _visible(scope: Scope) -> tuple[str, tuple[str, ...]]:
    """The SQL condition for the rows that a scope sees, and its values."""
    if scope.kind == "project":
        return "m.project = ? AND m.user IN (?, '')", (scope.project, scope.user)
    if scope.kind == "user":
        return "m.user = ?", (scope.user,)
    return "m.user IN (?, '')", (scope.user,)


def _narrowed(project: str | None, user: str | None) -> tuple[str, tuple[str, ...]]:
    given = [(f"m.{name} = ?", value) for name, value in (("project", project), ("user", user)) if value is not None]
    return " AND ".join(["TRUE", *(condition for condition, _ in given)]), tuple(value for _, value in given)


def _owners(scope: Scope) -> str:
    """The same as `_visible`, as an FTS5 query on the column `owner`."""
    users = f'"{_named("u", scope.user)}"' + ("" if scope.kind == "user" else f' OR "{_named("u", "")}"')
    return f'"{_named("p", scope.project)}" AND ({users})' if scope.kind == "project" else users


def _named(letter: str, name: str) -> str:
    return letter + blake3(name.encode()).hexdigest(length=8)


def _quoted(term: str) -> str:
    return f'"{_spelled(term)}"'


def _spelled(term: str) -> str:
    """A term in ASCII letters and digits, so that FTS5 takes it as one whatever its tables of Unicode say."""
    return term if term.isascii() else "u" + term.encode("utf-8", "surrogatepass").hex()


def _ranked(
    connection: sqlite3.Connection, scope: Scope, wanted: Sequence[str], *, loose: bool
) -> list[tuple[float, Candidate]]:
    """The memories that a scope sees and that fit the terms, the best first."""
    condition, values = _visible(scope)
    total, average = connection.execute(
        f"SELECT count(*), avg(m.terms) FROM memories m WHERE {condition}", values
    ).fetchone()
    rows = connection.execute(
        "SELECT m.id, m.created, m.importance, m.weight, w.terms FROM words w JOIN memories m ON m.row = w.rowid "
        f"WHERE words MATCH ? AND {condition} ORDER BY w.rowid DESC LIMIT ?",
        (match_of(wanted, scope), *values, CANDIDATES),
    )
    held = (Candidate(id, created, importance, weight, text.split()) for id, created, importance, weight, text in rows)
    return rank([_spelled(term) for term in wanted], held, total, average or 0.0, loose=loose)


def _similar(connection: sqlite3.Connection, scope: Scope, content: str) -> Memory | None:
    """The memory that is most like `content`, if one that the scope sees says nearly the same."""
    own, wanted = terms(content), query_terms(content)
    if not wanted:
        return None
    nearest = _ranked(connection, scope, wanted, loose=False)[:_COMPARED]
    found = (_one(connection, "m.id = ?", candidate.id) for _, candidate in nearest)
    likest = [(alike(own, terms(one[1].content)), one[1]) for one in found if one is not None]
    most, memory = max(likest, key=lambda compared: compared[0], default=(0.0, None))
    return memory if most >= SIMILAR else None


def _one(connection: sqlite3.Connection, condition: str, *values: str) -> tuple[int, Memory] | None:
    row = connection.execute(f"SELECT m.row, {_COLUMNS} FROM memories m WHERE {condition}", values).fetchone()
    return None if row is None else (row[0], _memory(row[1:]))


def _memory(row: _Row) -> Memory:
    return Memory(*row[:-1], msgspec.json.decode(row[-1], type=tuple[str, ...]))


def _write(connection: sqlite3.Connection, row: int | None, memory: Memory) -> None:
    """Keep a memory with its terms, in the row it had or a new one."""
    found = list(map(_spelled, terms(" ".join((memory.content, *memory.entities)))))
    said = (memory.content, memory.updated, memory.importance, msgspec.json.encode(memory.entities).decode())
    if row is None:
        row = connection.execute(
            "INSERT INTO memories (id, project, user, created, content, updated, importance, entities, terms, weight) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (memory.id, memory.project, memory.user, memory.created, *said, len(found), weigh(found)),
        ).lastrowid
    else:
        connection.execute(
            "UPDATE memories SET content = ?, updated = ?, importance = ?, entities = ?, terms = ?, weight = ? "
            "WHERE row = ?",
            (*said, len(found), weigh(found), row),
        )
        connection.execute("DELETE FROM words WHERE rowid = ?", (row,))
    connection.execute(
        "INSERT INTO words (rowid, owner, terms) VALUES (?, ?, ?)",
        (row, f"{_named('p', memory.project)} {_named('u', memory.user)}", " ".join(found)),
    )


def _new_id(connection: sqlite3.Connection, scope: Scope, content: str) -> str:
    """A name made of the memory itself, as short as is free."""
    digest = blake3(msgspec.json.encode((content, scope.project, scope.user))).hexdigest()
    for digits in _ID_DIGITS:
        name = f"m_{digest[:digits]}"
        if connection.execute("SELECT 1 FROM memories WHERE id = ?", (name,)).fetchone() is None:
            return name
    raise MemoryRefused("A memory that said this was changed since: update that one.")


def _related(memory: Memory) -> tuple[str, ...]:
    said = memory.content.casefold()
    return tuple(name for name in memory.entities if name.casefold() not in said)[:_RELATED]
