"""Memories on disk: who sees what, limits, several workers, damage, kills, and queries that are no queries."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom import memory_sqlite
from headroom.faults import MemoryDown
from headroom.memory import CONTENT_LIMIT, Memory, MemoryRefused, Scope, ScopeKind
from headroom.memory_sqlite import SCHEMA_VERSION, SqliteMemory, match_of
from headroom.terms import query_terms

ROOT = Path(__file__).parent.parent
ANN = Scope("shop", "ann", "project")
Disk = Callable[[], SqliteMemory]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "memory.sqlite"


@pytest.fixture
async def disk(path: Path) -> AsyncIterator[Disk]:
    opened: list[SqliteMemory] = []
    seconds = iter(range(1_000_000, 2_000_000))

    def make() -> SqliteMemory:
        opened.append(SqliteMemory(path, 30.0, lambda: float(next(seconds))))
        return opened[-1]

    yield make
    for store in opened:
        await store.close()


@pytest.fixture
def store(disk: Disk) -> SqliteMemory:
    return disk()


def query(path: Path, statement: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


async def found(store: SqliteMemory, scope: Scope, text: str, *, loose: bool = True) -> list[str]:
    return [one.memory.content for one in await store.search(scope, text, 50, loose=loose)]


# What is kept.


async def test_what_was_saved_is_found_listed_changed_and_forgotten(store: SqliteMemory) -> None:
    saved = await store.save(ANN, "  Prices are integer cents.\n", 0.9, ["Ledger", " Money  type ", "Ledger"])
    memory = saved.memory
    assert saved.new and saved.similar is None
    assert memory == Memory(
        memory.id, "Prices are integer cents.", "shop", "ann", 1_000_000, 1_000_000, 0.9, ("Ledger", "Money type")
    )
    assert await store.list(ANN, None) == (memory,)
    one = (await store.search(ANN, "are prices cents?", 5))[0]
    assert one.memory == memory and one.related == ("Ledger", "Money type")
    assert await found(store, ANN, "ledger") == [memory.content], "found by a name that the text does not mention"
    changed = await store.update(ANN, memory.id, "Prices are decimals.")
    assert changed == msgspec.structs.replace(memory, content="Prices are decimals.", updated=1_000_001)
    assert await found(store, ANN, "cents") == [] and await found(store, ANN, "decimals") == ["Prices are decimals."]
    assert await store.delete(ANN, memory.id) and not await store.delete(ANN, memory.id)
    assert await store.list(ANN, None) == () and await found(store, ANN, "decimals") == []
    assert await store.update(ANN, memory.id, "x") is None


async def test_the_same_content_is_one_memory_and_has_one_name_for_ever(store: SqliteMemory, tmp_path: Path) -> None:
    first = await store.save(ANN, "Prices are cents.")
    again = await store.save(ANN, "Prices are cents. ")
    assert not again.new and again.memory == first.memory
    more = await store.save(ANN, "Prices are cents.", 1.0, ["Money"])
    assert not more.new and (more.memory.importance, more.memory.entities) == (1.0, ("Money",))
    assert await store.list(ANN, None) == (more.memory,)
    elsewhere = SqliteMemory(tmp_path / "other.sqlite", 30.0)
    assert (await elsewhere.save(ANN, "Prices are cents.")).memory.id == first.memory.id
    await elsewhere.close()


async def test_content_that_was_changed_and_comes_back_gets_another_name(store: SqliteMemory) -> None:
    first = (await store.save(ANN, "one")).memory
    await store.update(ANN, first.id, "two")
    second = (await store.save(ANN, "one")).memory
    assert second.id != first.id and second.id.startswith(first.id)
    with pytest.raises(MemoryRefused, match=second.id):
        await store.update(ANN, first.id, "one")


async def test_a_memory_that_says_nearly_the_same_is_named_and_kept(store: SqliteMemory) -> None:
    first = (await store.save(ANN, "Releases go out on Tuesday, never on Friday.")).memory
    near = await store.save(ANN, "Releases go out on Tuesday and never on a Friday!")
    assert near.new and near.similar == first
    other = await store.save(ANN, "Releases are signed with the key of the release team on Tuesday.")
    assert other.new and other.similar is None
    assert len(await store.list(ANN, None)) == 3


async def test_a_near_memory_that_is_not_visible_is_not_named(store: SqliteMemory) -> None:
    await store.save(Scope("shop", "bob", "project"), "Releases go out on Tuesday, never on Friday.")
    assert (await store.save(ANN, "Releases go out on Tuesday and never on a Friday!")).similar is None


@pytest.mark.parametrize(
    ("content", "importance", "entities", "said"),
    [
        (" \n", None, [], "empty"),
        ("x" * (CONTENT_LIMIT + 1), None, [], "4,001 characters"),
        ("half \ud800", None, [], "surrogate"),
        ("x", 1.1, [], "0 to 1"),
        ("x", float("nan"), [], "0 to 1"),
        ("x", None, ["n"] * 3 + [str(n) for n in range(16)], "up to 16 names"),
        ("x", None, ["n" * 201], "200 characters"),
    ],
)
async def test_what_cannot_be_kept_is_refused_in_words(
    store: SqliteMemory, content: str, importance: float | None, entities: list[str], said: str
) -> None:
    with pytest.raises(MemoryRefused, match=said):
        await store.save(ANN, content, importance, entities)
    assert await store.list(ANN, None) == ()


async def test_a_full_memory_says_so_and_others_are_not_full(
    store: SqliteMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_sqlite, "OWNER_LIMIT", 3)
    for n in range(3):
        await store.save(ANN, f"fact {n}")
    with pytest.raises(MemoryRefused, match="3 memories"):
        await store.save(ANN, "fact 3")
    assert not (await store.save(ANN, "fact 2", 0.7)).new
    assert (await store.save(Scope("shop", "bob", "project"), "fact 3")).new
    await store.delete(ANN, (await store.list(ANN, 1))[0].id)
    assert (await store.save(ANN, "fact 3")).new


# Who sees what.

OWNERS = [("shop", "ann"), ("shop", "bob"), ("shop", ""), ("farm", "ann"), ("farm", "bob"), ("farm", ""), ("", "ann")]
SEEN: dict[ScopeKind, set[tuple[str, str]]] = {
    "project": {("shop", "ann"), ("shop", "")},
    "user": {("shop", "ann"), ("farm", "ann"), ("", "ann")},
    "global": {("shop", "ann"), ("shop", ""), ("farm", "ann"), ("farm", ""), ("", "ann")},
}


async def of_everybody(store: SqliteMemory) -> dict[tuple[str, str], Memory]:
    return {
        (project, user): (await store.save(Scope(project, user, "global"), f"zebra of {project} {user}")).memory
        for project, user in OWNERS
    }


@pytest.mark.parametrize("kind", SEEN)
async def test_a_scope_sees_changes_and_forgets_its_own_and_nothing_else(store: SqliteMemory, kind: ScopeKind) -> None:
    kept = await of_everybody(store)
    scope = Scope("shop", "ann", kind)
    assert {(m.project, m.user) for m in await store.list(scope, None)} == SEEN[kind]
    for loose in (False, True):
        hits = await store.search(scope, "zebra", 50, loose=loose)
        assert {(one.memory.project, one.memory.user) for one in hits} == SEEN[kind]
    for owner, memory in kept.items():
        assert (await store.update(scope, memory.id, f"lion of {owner}") is not None) == (owner in SEEN[kind])
    for owner, memory in kept.items():
        assert await store.delete(scope, memory.id) == (owner in SEEN[kind])
    left = await store.every(None, None)
    assert {(m.project, m.user) for m in left} == set(OWNERS) - SEEN[kind]
    assert all(memory.content.startswith("zebra") for memory in left)


async def test_a_project_scope_without_a_project_sees_and_keeps_nothing(store: SqliteMemory) -> None:
    kept = await of_everybody(store)
    nobody = Scope("", "ann", "project")
    assert await store.list(nobody, None) == () and await store.search(nobody, "zebra", 5, loose=True) == ()
    assert not await store.delete(nobody, kept["", "ann"].id)
    assert await store.update(nobody, kept["", "ann"].id, "lion") is None
    with pytest.raises(MemoryRefused, match="No project"):
        await store.save(nobody, "lion")


async def test_scores_and_order_do_not_depend_on_what_others_keep(store: SqliteMemory) -> None:
    for text in ("redis keeps the sessions", "redis port", "kafka keeps the orders of redis"):
        await store.save(ANN, text)
    before = await store.search(ANN, "redis kafka port", 10, loose=True)
    for n in range(50):
        await store.save(Scope("shop", "bob", "project"), f"kafka kafka number {n}")
        await store.save(Scope("farm", "ann", "project"), f"port {n}")
    assert await store.search(ANN, "redis kafka port", 10, loose=True) == before


@pytest.mark.parametrize("name", ['shop" OR "farm', "*", "%", "shop'--", "p", "Shop", "shop ", "\x00"])
async def test_a_name_is_only_ever_itself(store: SqliteMemory, name: str) -> None:
    await of_everybody(store)
    for scope in (Scope(name, name, "project"), Scope(name, name, "user")):
        assert await store.list(scope, None) == () and await store.search(scope, "zebra", 9, loose=True) == ()
    mine = (await store.save(Scope(name, name, "project"), "zebra of mine")).memory
    assert await store.list(Scope(name, name, "project"), None) == (mine,)


async def test_the_owner_of_the_machine_sees_and_forgets_what_is_named(store: SqliteMemory) -> None:
    kept = await of_everybody(store)
    assert len(await store.every(None, None)) == len(OWNERS) and len(await store.every(None, None, 2)) == 2
    assert {m.user for m in await store.every("shop", None)} == {"ann", "bob", ""}
    assert [m.project for m in await store.every("farm", "")] == ["farm"]
    assert await store.remove(kept["farm", "bob"].id) and not await store.remove(kept["farm", "bob"].id)
    assert await store.clear("shop", "ann") == 1 and await store.clear("shop", None) == 2
    assert {(m.project, m.user) for m in await store.every(None, None)} == {("farm", "ann"), ("farm", ""), ("", "ann")}
    assert await found(store, Scope("shop", "ann", "project"), "zebra") == []


# What is found.


async def test_other_scripts_are_found(store: SqliteMemory) -> None:
    texts = [
        "デプロイは金曜日にしない",
        "数据库在端口五四三三上",
        "배포는 금요일에 하지 않는다",
        "ฐานข้อมูลอยู่ที่พอร์ต",
        "Přístup má Žofie",
    ]
    for text in texts:
        await store.save(ANN, text)
    for words, text in zip(("金曜日", "数据库端口", "금요일", "ข้อมูล", "zofie"), texts, strict=True):
        assert await found(store, ANN, words) == [text], words


async def test_the_same_query_and_store_give_the_same_answer(disk: Disk) -> None:
    store = disk()
    for n in range(60):
        await store.save(ANN, f"redis fact {n % 7} of host{n}")
    before = await store.search(ANN, "which redis fact 3 is it", 10)
    assert len(before) == 10
    assert await disk().search(ANN, "which redis fact 3 is it", 10) == before
    assert await store.search(ANN, "which redis fact 3 is it", 3) == before[:3]


@pytest.mark.parametrize(
    "text",
    [
        '"',
        "*",
        "zeb*",
        "NOT lions",
        "owner : x",
        "terms:x",
        "{owner} : x",
        "NEAR(a b)",
        "^x",
        "a AND",
        "x\x00y",
        ") OR (",
        "-- ",
    ],
)
async def test_the_syntax_of_queries_matches_nothing(store: SqliteMemory, text: str) -> None:
    await of_everybody(store)
    assert await found(store, ANN, text) == []


TEXTS = st.text(st.characters(exclude_categories=()), max_size=80) | st.text('"*:^(){}+-, ANDORNOTERz', max_size=30)


@given(TEXTS)
def test_a_query_of_any_text_is_read_as_terms_alone(text: str) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE words USING fts5(owner, terms, tokenize = 'ascii')")
    wanted = query_terms(text)
    if wanted:
        match = match_of(wanted, ANN)
        assert connection.execute("SELECT rowid FROM words WHERE words MATCH ?", (match,)).fetchall() == []
        inside = match.split("terms : (", 1)[1].removesuffix(")").split(" OR ")
        assert len(inside) == len(wanted)
        assert all(word[0] == word[-1] == '"' and word[1:-1].isascii() and word[1:-1].isalnum() for word in inside)
    connection.close()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        TEXTS.filter(lambda text: text.strip() and text.isprintable()), min_size=1, max_size=4, unique_by=str.strip
    )
)
def test_any_text_that_is_kept_is_found_by_itself(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    async def keep_and_find() -> None:
        store = SqliteMemory(tmp_path_factory.mktemp("any") / "memory.sqlite", 30.0)
        for text in texts:
            memory = (await store.save(ANN, text)).memory
            hits = await store.search(ANN, text, 50, loose=True)
            assert (memory.id in {one.memory.id for one in hits}) == bool(query_terms(text))
        await store.close()

    asyncio.run(keep_and_find())


# The file.


@pytest.mark.parametrize("foreign", [b"hello", b"database", b"newer"])
async def test_the_mode_of_a_file_that_is_not_ours_stays_as_it_is(foreign: bytes, path: Path) -> None:
    if foreign == b"hello":
        path.write_bytes(foreign)
    else:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE theirs (one)" if foreign == b"database" else "PRAGMA user_version=99")
    path.chmod(0o664)
    memory = SqliteMemory(path)
    with pytest.raises(MemoryDown):
        await memory.open()
    await memory.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o664


async def test_only_its_owner_may_read_the_files(store: SqliteMemory, path: Path) -> None:
    path.touch(mode=0o644)
    path.chmod(0o644)
    await store.open()
    await store.save(ANN, "one")
    assert {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {
        f"memory.sqlite{suffix}": 0o600 for suffix in ("", "-wal", "-shm")
    }


async def test_a_file_of_a_newer_release_or_another_program_is_left_as_it_is(disk: Disk, path: Path) -> None:
    query(path, "CREATE TABLE notes (text)")
    with pytest.raises(MemoryDown, match=r"another program.*memory_store"):
        await disk().save(ANN, "one")
    query(path, "DROP TABLE notes")
    query(path, f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    with pytest.raises(MemoryDown, match="newer release"):
        await disk().list(ANN, None)
    assert [file.name for file in path.parent.iterdir()] == ["memory.sqlite"]


async def test_a_damaged_file_is_set_aside_and_told(disk: Disk, path: Path) -> None:
    store = disk()
    await store.save(ANN, "one")
    await store.close()
    content = bytearray(path.read_bytes())
    content[16:600] = bytes(584)
    path.write_bytes(content)
    again = disk()
    assert (await again.save(ANN, "two")).new
    assert "memory.sqlite.damaged-1" in again.trouble
    assert path.with_name("memory.sqlite.damaged-1").read_bytes() == content
    assert [memory.content for memory in await again.list(ANN, None)] == ["two"]


async def test_a_damaged_index_is_made_anew_and_no_memory_is_lost(disk: Disk, path: Path) -> None:
    store = disk()
    for n in range(30):
        await store.save(ANN, f"zebra number{n}")
    await store.close()
    query(path, "UPDATE words_data SET block = X'00' WHERE id > 10")
    again = disk()
    assert len(await found(again, ANN, "zebra")) == 30
    assert await found(again, ANN, "number7") == ["zebra number7"]
    assert again.trouble == "" and len(await again.list(ANN, None)) == 30
    await again.close()
    query(path, "UPDATE words_data SET block = X'00' WHERE id > 10")
    last = disk()
    assert (await last.save(ANN, "zebra number30")).new
    assert len(await found(last, ANN, "zebra")) == 31


@pytest.mark.parametrize("begin", [0, 4096])
async def test_a_file_damaged_while_in_use_is_set_aside(store: SqliteMemory, path: Path, begin: int) -> None:
    for n in range(200):
        await store.save(ANN, f"zebra number{n} " + "x" * 200)
    await store.close()
    reader = SqliteMemory(path, 30.0)
    await reader.list(ANN, 1)
    with path.open("r+b") as stream:
        stream.seek(begin)
        stream.write(bytes(path.stat().st_size - begin))
    faults = 0
    for _ in range(3):
        try:
            await reader.save(ANN, "after")
            break
        except MemoryDown as fault:
            faults += 1
            assert "zebra" not in str(fault)
    assert faults <= 1 and "damaged-1" in reader.trouble
    assert [memory.content for memory in await reader.list(ANN, None)] == ["after"]
    await reader.close()


async def test_a_locked_file_is_a_fault_and_reading_goes_on(store: SqliteMemory, path: Path) -> None:
    await store.save(ANN, "one")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(MemoryDown, match="locked"):
        await store.save(ANN, "two")
    assert await found(store, ANN, "one") == []  # a word of any text
    assert [memory.content for memory in await store.list(ANN, None)] == ["one"]
    other.execute("ROLLBACK")
    other.close()
    assert (await store.save(ANN, "two")).new


async def test_a_path_that_cannot_be_written_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = SqliteMemory(tmp_path / "file" / "memory.sqlite")
    with pytest.raises(MemoryDown):
        await store.list(ANN, None)
    await store.close()


async def test_a_store_that_is_late_is_a_fault_and_a_closed_one_too(path: Path) -> None:
    store = SqliteMemory(path, 30.0)
    await store.save(ANN, "one")
    late = SqliteMemory(path, 0.0)
    with pytest.raises(MemoryDown, match="did not answer"):
        await late.list(ANN, None)
    await late.close()
    await store.close()
    await store.close()
    with pytest.raises(MemoryDown, match="closed"):
        await store.list(ANN, None)


# Several workers.

_WRITER = """
import asyncio, sys
from pathlib import Path
from headroom.memory import Scope
from headroom.memory_sqlite import SqliteMemory

async def main(path: str, name: str, count: int) -> None:
    store = SqliteMemory(Path(path), 60.0)
    for n in range(count):
        saved = await store.save(Scope("shop", "", "project"), f"fact number{n}", None, [name])
        print(saved.memory.id, saved.memory.content, sep="|", flush=True)
        await store.search(Scope("shop", "", "project"), f"number{n}", 5)
    await store.close()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path), name, str(count)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )


async def test_two_processes_share_a_file_and_agree_on_names(disk: Disk, path: Path) -> None:
    processes = [writer(path, name, 40) for name in ("left", "right")]
    told = [(await asyncio.to_thread(process.communicate, timeout=60))[0].splitlines() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert told[0] == told[1] and len(set(told[0])) == 40
    assert len(await disk().list(Scope("shop", "", "project"), None)) == 40


async def test_what_a_killed_process_was_told_is_kept_and_can_be_found(disk: Disk, path: Path) -> None:
    process = writer(path, "killed", 100_000)
    assert process.stdout is not None
    told = [process.stdout.readline().strip() for _ in range(15)]
    os.kill(process.pid, signal.SIGKILL)
    told += process.stdout.read().splitlines()[:-1]  # the last line may be cut
    process.wait(30)
    process.stdout.close()
    store = disk()
    kept = {f"{memory.id}|{memory.content}" for memory in await store.list(Scope("shop", "", "project"), None)}
    assert set(told) <= kept
    for n in range(15):
        assert await found(store, Scope("shop", "", "project"), f"number{n}") == [f"fact number{n}"]
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    query(path, "INSERT INTO words(words) VALUES ('integrity-check')")
    rows = query(path, "SELECT (SELECT count(*) FROM words), (SELECT count(*) FROM memories)")[0]
    assert rows[0] == rows[1] == len(kept)
    assert store.trouble == ""
