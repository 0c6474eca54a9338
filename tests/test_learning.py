"""Statistics of what presses were worth: what is charged to whom, by several workers, and whatever the disk does."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from headroom import learning_file
from headroom.config import Config
from headroom.learning import NOTES_BYTES, PATIENCE, QUEUE_BYTES, QUEUE_LIMIT, Learning, learning_path
from headroom.learning_file import FormRow, Note, StatisticsFile, Totals
from headroom.lessons import Asked, Lesson, Lessons, field_digest, query_of, size_of, structured
from headroom.zones.detect import Kind
from headroom.zones.press import Action
from headroom.zones.structure import Structure

ROWS = '[{"user": "ann", "amount": 5}, {"user": "bob", "amount": 7}]'
HASH = "0123456789abcdef01234567"


def lesson(key: str = "slot", **other: object) -> Lesson:
    values: dict[str, object] = {
        "tool": "Bash",
        "action": Action.PRESSED,
        "press": key.encode(),
        "kind": Kind.JSON,
        "form": "json",
        "before": 1000,
        "after": 400,
        "ms": 1.5,
        "structure": Structure("f" * 24, ("amount", "user")),
    }
    return Lesson(**{**values, **other})  # type: ignore[arg-type]


def of(*rows: Lesson, auth: str = "payg", family: str = "gpt-5", caller: bytes = b"c") -> Lessons:
    return Lessons(auth, family, caller, rows)


def again(key: str = "slot") -> Lesson:
    return Lesson("Bash", Action.PRESSED_BEFORE, key.encode())


def added(path: Path | None, *saves: Sequence[Note]) -> StatisticsFile:
    file = StatisticsFile(path)
    for notes in saves:
        file.add(notes)
    return file


def gains(file: StatisticsFile) -> dict[str, int]:
    return {row.form: row.before - row.after - row.given_back for row in file.forms()}


def test_presses_and_tries_are_summed_by_key_and_form() -> None:
    file = added(
        None,
        [of(lesson("a"), lesson("b", before=500, after=300)), of(lesson("c", form="log", ms=2.0))],
        [of(lesson("d", action=Action.NOT_SMALLER, before=90, after=95)), of(lesson("e"), family="gpt-4o")],
    )
    assert file.forms() == [
        FormRow("payg", "gpt-4o", "f" * 24, "json", 1, 0, 1000, 400, 0),
        FormRow("payg", "gpt-5", "f" * 24, "json", 2, 1, 1500, 700, 0),
        FormRow("payg", "gpt-5", "f" * 24, "log", 1, 0, 1000, 400, 0),
    ]
    assert file.totals() == Totals(rows=3, observations=5)


def test_a_whole_retrieval_or_a_regret_takes_back_what_the_press_had_saved() -> None:
    presses = of(lesson("a", original=HASH), lesson("b", form="log"), lesson("c", form="csv"))
    file = added(None, [presses, Asked(HASH[:8], 1.0, ""), of(again("b"))])
    assert gains(file) == {"json": 0, "log": 0, "csv": 600}
    assert file.totals() == Totals(3, 3, retrievals=1, regrets=1)
    (tool,) = file.tools()
    assert (tool.presses, tool.whole, tool.regrets, tool.saved, tool.given_back) == (3, 1, 1, 1800, 1200)


def test_a_part_takes_back_what_was_fetched() -> None:
    file = added(None, [of(lesson(original=HASH)), Asked(HASH[:8], 0.1, "lines"), Asked(HASH[:8], 0.25, "*")])
    assert gains(file) == {"json": 600 - 100 - 250}


def test_a_retrieval_counts_later_and_in_another_process(tmp_path: Path) -> None:
    path = tmp_path / "learning.db"
    added(path, [of(lesson(original=HASH))]).close()
    other = StatisticsFile(path)
    assert other.add([Asked(HASH[:8], 1.0, "")]) == []
    assert gains(other) == {"json": 0}


def test_of_two_presses_of_one_text_the_newest_is_charged() -> None:
    file = added(None, [of(lesson("a", original=HASH)), of(lesson("b", original=HASH, form="log"))])
    file.add([Asked(HASH[:8], 1.0, "")])
    assert gains(file) == {"json": 600, "log": 0}


def test_a_retrieval_whose_press_nobody_knows_is_counted_after_a_while(tmp_path: Path) -> None:
    asked = Asked("9" * 8, 1.0, "")
    file = StatisticsFile(None)
    assert file.add([asked]) == [asked]
    learning = Learning(tmp_path / "learning.db", 3600.0)
    learning.note(asked)
    learning.open()
    learning.close()
    assert learning.totals == Totals(retrievals=1, uncharged=1)


def test_a_press_that_another_worker_writes_late_is_still_charged(tmp_path: Path) -> None:
    path = tmp_path / "learning.db"
    learning = Learning(path, 3600.0)
    learning._unsaved = [Asked(HASH[:8], 1.0, "")]
    for _ in range(PATIENCE):
        learning._save()
    added(path, [of(lesson(original=HASH))])
    learning._save()
    assert gains(StatisticsFile(path)) == {"json": 0}
    assert learning.totals == Totals(1, 1, retrievals=1)
    assert learning.waiting == 0


def test_what_two_workers_learn_is_added_up(tmp_path: Path) -> None:
    path = tmp_path / "learning.db"
    workers = [Learning(path, 3600.0) for _ in range(4)]
    for number, worker in enumerate(workers):
        for at in range(50):
            original = f"{number}{at:07}" + "0" * 16
            worker.note(of(lesson(f"{number}-{at}", text=ROWS, original=original), caller=bytes([number])))
            worker.note(Asked(f"{number}{at:07}", 0.5, "lines"))
        worker.open()
    closing = [threading.Thread(target=worker.close) for worker in workers]
    for thread in closing:
        thread.start()
    for thread in closing:
        thread.join()
    file = StatisticsFile(path)
    name = structured(lesson(text=ROWS)).structure.name
    assert file.forms() == [FormRow("payg", "gpt-5", name, "json", 200, 0, 200_000, 80_000, 100_000)]
    assert file.totals() == Totals(1, 200, retrievals=200)
    assert file.callers() == {("payg", "gpt-5", name): 4}
    assert [worker.trouble for worker in workers] == [""] * 4


def test_the_order_of_saves_makes_no_difference(tmp_path: Path) -> None:
    notes = [of(lesson(str(at), before=100 + at, form=("json", "log")[at % 2])) for at in range(20)]
    one, other = added(None, notes), added(None, *([note] for note in reversed(notes)))
    assert one.forms() == other.forms()
    assert one.tools() == other.tools()


def test_the_file_is_private_and_has_neither_texts_nor_names_of_fields_nor_callers(tmp_path: Path) -> None:
    path = tmp_path / "new" / "learning.db"
    learning = Learning(path, 3600.0)
    read = Lesson("Bash", Action.PRESSED, b"key", ROWS, Kind.JSON, "json", HASH, 60, 20)
    learning.note(of(read, caller=b"the caller's digest"))
    learning.note(Asked(HASH[:8], 0.5, query_of("1-2", 'user = "ann"')))
    learning.open()
    learning.close()
    assert learning.totals == Totals(1, 1, retrievals=1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    data = path.read_bytes()
    for secret in (b"ann", b"user", b"amount", b"the caller", HASH.encode(), HASH[:8].encode()):
        assert secret not in data
    assert field_digest("user").encode() in data
    rows = StatisticsFile(path)._connected().execute("SELECT digest, asked FROM field ORDER BY asked").fetchall()
    assert rows == [(field_digest("amount"), 0), (field_digest("user"), 1)]


def test_fields_that_are_asked_for_are_counted() -> None:
    file = added(None, [of(lesson(original=HASH)), Asked(HASH[:8], 0.5, query_of("", "user: ann, other=1"))])
    asked = file._connected().execute("SELECT digest, asked FROM field ORDER BY digest").fetchall()
    assert dict(asked) == {field_digest("user"): 1, field_digest("amount"): 0}


@pytest.mark.parametrize(
    ("lines", "match", "told"),
    [
        ("", "", ""),
        ("1-5", "", "lines"),
        ("", "TimeoutError at /home/ann", "*"),
        ("2-", "x", "lines *"),
        ("", '"status": 500', field_digest("status") + ":*"),
        ("", "password=hunter2", field_digest("password") + "=*"),
    ],
)
def test_of_a_query_no_value_is_told(lines: str, match: str, told: str) -> None:
    assert query_of(lines, match) == told


def test_the_text_is_let_go_of_when_its_structure_is_told() -> None:
    told = structured(lesson(text=ROWS, structure=Structure("")))
    assert (told.text, told.structure.fields) == ("", ("amount", "user"))
    assert structured(again()) is not None


def test_tools_with_names_that_are_none_are_not_kept() -> None:
    names = ["Bash", "mcp__fs__read", "a b", "x" * 129, "é", "", 'q"', "\n"]
    file = added(None, [of(*(lesson(str(at), tool=name) for at, name in enumerate(names)))])
    assert [tool.name for tool in file.tools()] == ["bash", "mcp__fs__read"]


def test_what_was_used_longest_ago_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("ROWS_LIMIT", "TOOLS_LIMIT", "PRESSES_LIMIT", "FIELDS_LIMIT", "CALLERS_LIMIT", "QUERIES_LIMIT"):
        monkeypatch.setattr(learning_file, limit, 3)
    file = StatisticsFile(None)
    for at in range(9):
        fields = tuple(f"f{at}" for at in range(9))
        rows = [lesson(f"{at}", tool=f"t{at}", structure=Structure(f"s{at}", fields), original=f"{at:08}")]
        rows.append(lesson("kept", tool="kept", structure=Structure("kept", fields), original="k" * 8))
        file.add([of(*rows, caller=bytes([at])), Asked("k" * 8, 0.1, f"q{at}")])
    assert {row.structure for row in file.forms()} == {"kept", "s8", "s7"}
    assert {tool.name for tool in file.tools()} == {"kept", "t8", "t7"}
    count = {
        table: file._connected().execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in ("press", "field", "query", "caller")
    }
    assert count == {"press": 3, "field": 9, "query": 3, "caller": 5}


def test_notes_that_never_cease_do_not_keep_the_statistics_from_being_saved(tmp_path: Path) -> None:
    learning = Learning(tmp_path / "learning.db", 0.0)
    for at in range(20):
        learning.note(of(lesson(str(at))))
    learning.open()
    learning.close()
    file = StatisticsFile(tmp_path / "learning.db")
    assert file.totals().observations == 20
    assert file._total("saves") >= 20


def test_notes_that_nobody_reads_are_dropped() -> None:
    learning = Learning(None, 3600.0)
    for _ in range(QUEUE_LIMIT + 10):
        learning.note(of(lesson()))
    assert learning.waiting == QUEUE_LIMIT


def test_notes_that_nobody_reads_are_dropped_by_their_bytes_as_well() -> None:
    learning = Learning(None, 3600.0)
    texts = [chr(0x4E00 + at) * 1_000_000 for at in range(40)]
    for text in texts:
        learning.note(of(lesson(text=text)))
    assert learning.waiting == QUEUE_BYTES // 2_000_000
    learning.open()
    learning.close()
    assert learning.totals.observations == QUEUE_BYTES // 2_000_000
    assert learning._bytes_in == learning._bytes_out, "and there is room again"


def test_notes_that_wait_for_the_disk_are_bounded_in_bytes(tmp_path: Path) -> None:
    """As long as it takes: a disk may be full for days, and field names may be long."""
    learning = Learning(tmp_path / "learning.db", 3600.0)
    fields = tuple(f"{at}" * 20_000 for at in range(10, 20))
    text = json.dumps([dict.fromkeys(fields, 1)])
    (tmp_path / "learning.db").mkdir()
    learning.open()
    for at in range(300):
        note = of(*[lesson(f"{at} {row}", text=text) for row in range(4)])
        while learning._bytes_in - learning._bytes_out + size_of(note) > QUEUE_BYTES:
            assert learning._thread is not None and learning._thread.is_alive(), "it reads what waits"
        learning.note(note)
    learning.close()
    assert 2 < learning.waiting < 300
    assert learning._unsaved_bytes == sum(map(size_of, learning._unsaved)) <= NOTES_BYTES


@pytest.mark.parametrize("damage", ["text", "database", "directory"])
def test_a_file_that_cannot_be_used_is_told_once_and_left_as_it_is(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "toin.json"
    if damage == "text":
        path.write_text('{"patterns": {}}' * 100)
    elif damage == "database":
        other = sqlite3.connect(path)
        other.execute("CREATE TABLE theirs (x)")
        other.commit()
        other.close()
    else:
        path.mkdir()
    before = path.read_bytes() if path.is_file() else b""
    troubles: list[str] = []
    learning = Learning(path, 3600.0, troubles.append)
    for _ in range(3):
        learning._unsaved.append(of(lesson()))
        learning._save()
    learning.open()
    learning.close()
    assert len(troubles) == 1
    assert "toin.json" in troubles[0]
    assert learning.told()["trouble"] == troubles[0]
    assert learning.waiting == 3
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_what_could_not_be_saved_is_saved_later(tmp_path: Path) -> None:
    path = tmp_path / "learning.db"
    path.write_bytes(b"no database" * 100)
    learning = Learning(path, 3600.0)
    learning._unsaved.append(of(lesson()))
    learning._save()
    os.unlink(path)
    learning._unsaved.append(of(lesson("b")))
    learning._save()
    assert (learning.totals, learning.trouble) == (Totals(1, 2), "")


def test_a_kill_between_two_saves_loses_what_came_after_the_first(tmp_path: Path) -> None:
    path = tmp_path / "learning.db"
    learning = Learning(path, 3600.0)
    learning._unsaved.append(of(lesson("a")))
    learning._save()
    learning._unsaved.append(of(lesson("b")))  # and the process is gone
    assert StatisticsFile(path).totals() == Totals(1, 1)


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"store": "memory"}, None),
        ({"store": "/data/x.db"}, "/data/x.learning.db"),
        ({"store": "/data/learning.db"}, "/data/learning.learning.db"),
        ({"store": "memory", "learning_path": "/y/toin.db"}, "/y/toin.db"),
    ],
)
def test_statistics_are_beside_the_store_unless_a_path_is_set(settings: dict[str, object], where: str | None) -> None:
    assert learning_path(Config.of(**settings)) == (None if where is None else Path(where))
