"""`headroom toin-publish`: who is recommended what, and the same bytes for the same statistics."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tomllib
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from headroom import publishing
from headroom.config import Config
from headroom.learning_file import FormRow, StatisticsFile, ToolRow
from headroom.lessons import Asked, Lesson, Lessons
from headroom.publishing import Statistics, recommend, render
from headroom.recommendations import Recommendation, ToolAdvice, load
from headroom.zones.detect import Kind
from headroom.zones.press import Action
from headroom.zones.structure import Structure

KEY = ("payg", "claude-sonnet", "a" * 24)


def form(
    name: str, presses: int = 60, *, tries: int = 0, before: int = 1000, after: int = 500, back: int = 0
) -> FormRow:
    return FormRow(*KEY, name, presses, tries, before, after, back)


def filled(path: Path, presses: int = 60) -> Path:
    """Statistics in which JSON pays, and the tool `fetch` is asked for again each time."""
    file = StatisticsFile(path)
    for at in range(presses):
        rows = []
        for tool, shape in (("Bash", "a" * 24), ("Fetch", "content:log:0123abcd")):
            key, original = f"{tool} {at}".encode(), f"{tool[:4]}{at:04}" + "0" * 16
            rows.append(
                Lesson(tool, Action.PRESSED, key, "", Kind.JSON, "json", original, 100, 40, 1.0, Structure(shape))
            )
        file.add([Lessons("payg", "gpt-5", b"%d" % (at % 4), tuple(rows)), Asked(f"Fetc{at:04}", 1.0, "")])
    file.close()
    return path


def publish(*words: object, code: int | None = None) -> None:
    if code is None:
        publishing.main([str(word) for word in words])
        return
    with pytest.raises(SystemExit) as ended:
        publishing.main([str(word) for word in words])
    assert ended.value.code == code


def test_the_hint_is_the_form_that_gained_most_per_token() -> None:
    forms = [form("json", after=300), form("log", before=9000, after=4000), form("csv", after=100, back=700)]
    assert recommend(Statistics(forms), 50) == ([Recommendation(*KEY, "json", 0.7, 180, 0.3333, 0.7)], [])


def test_the_hint_tells_how_often_its_form_was_the_best_and_what_it_saved() -> None:
    forms = [form("", 0, tries=10, before=0, after=0), form("json", 150, after=300, back=100), form("log", 40)]
    ((row,), _) = recommend(Statistics(forms), 50)
    assert (row.strategy_hint, row.share, row.saved) == ("json", 0.75, 0.7)


def test_where_nothing_paid_there_is_no_hint() -> None:
    forms = [form("", 0, tries=90, before=0, after=0), form("json", 5, after=300, back=900)]
    assert recommend(Statistics(forms), 50)[0] == [Recommendation(*KEY, "default", 0.7, 95)]


def test_of_forms_that_gained_the_same_the_first_by_name_is_named() -> None:
    assert recommend(Statistics([form("b"), form("a")]), 1)[0][0].strategy_hint == "a"


def test_rows_with_fewer_observations_are_left_out() -> None:
    statistics = Statistics([form("json", 40, tries=9)], [ToolRow("bash", 49, 40, 9, 0, 100)])
    assert recommend(statistics, 50) == ([], [])
    assert recommend(statistics, 49) == (
        [Recommendation(*KEY, "json", 0.49, 49, 0.8163, 0.5)],
        [ToolAdvice("bash", True)],
    )


@pytest.mark.parametrize(
    ("presses", "callers", "confidence"), [(10, 1, 0.1), (10, 3, 0.19), (60, 0, 0.6), (500, 2, 0.7), (500, 50, 0.95)]
)
def test_confidence_grows_with_observations_and_with_callers(presses: int, callers: int, confidence: float) -> None:
    ((row,), _) = recommend(Statistics([form("json", presses)], callers={KEY: callers}), 1)
    assert row.confidence == confidence


@pytest.mark.parametrize(
    ("regrets", "whole", "saved", "back", "alone"),
    [(40, 20, 100, 100, True), (30, 21, 100, 120, True), (30, 20, 100, 120, False), (60, 60, 101, 100, False)],
)
def test_a_tool_is_left_alone_if_most_was_asked_for_again_and_nothing_was_gained(
    regrets: int, whole: int, saved: int, back: int, alone: bool
) -> None:
    row = ToolRow("bash", 100, regrets, whole, saved, back)
    assert recommend(Statistics([], [row]), 50)[1] == [ToolAdvice("bash", alone)]


def test_the_file_reads_as_it_was_meant() -> None:
    row = Recommendation(*KEY, "json+log", 0.83, 83, 0.9, 0.5)
    data = render([row], [ToolAdvice('o"d\\d', True), ToolAdvice("b", False)])
    assert data.decode().startswith("#")
    assert tomllib.loads(data.decode()) == {
        "recommendation": [
            {
                "auth_mode": "payg",
                "model_family": "claude-sonnet",
                "structure_hash": "a" * 24,
                "strategy_hint": "json+log",
                "confidence": 0.83,
                "observations": 83,
                "share": 0.9,
                "saved": 0.5,
            }
        ],
        "tool": [{"name": 'o"d\\d', "leave_alone": True}, {"name": "b", "leave_alone": False}],
    }
    assert b"confidence = 0.8300\n" in data
    assert tomllib.loads(render([], []).decode()) == {}


def test_publishing_twice_gives_the_same_file_and_a_proxy_reads_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, first, second = filled(tmp_path / "s.db"), tmp_path / "1.toml", tmp_path / "2.toml"
    publish("-o", first, "--learning-path", source)
    assert capsys.readouterr().out == ""
    publish("-o", second, f"--learning-path={source}", "--min-observations", 50, "-v")
    shown = capsys.readouterr().out
    assert first.read_bytes() == second.read_bytes()
    assert second.read_text() in shown
    assert f"{second}: 2 recommendations, 1 tools to leave alone" in shown
    found, _ = load(Config.of(store="memory", recommendations_path=first))
    assert found.left_alone == {"fetch"}
    hints = {key: row.strategy_hint for key, row in found.rows.items()}
    assert hints == {
        ("payg", "gpt-5", "a" * 24): "json",
        ("payg", "gpt-5", "content:log:0123abcd"): "default",
    }
    assert found.rows["payg", "gpt-5", "a" * 24].confidence == 0.72


def test_the_same_notes_in_another_order_give_the_same_file(tmp_path: Path) -> None:
    one = publishing.read(filled(tmp_path / "1.db"))
    other = publishing.read(filled(tmp_path / "2.db"))
    assert render(*recommend(one, 1)) == render(*recommend(other, 1))


@pytest.mark.parametrize("seed", range(3))
def test_a_copy_that_was_made_in_another_order_gives_the_same_file(tmp_path: Path, seed: int) -> None:
    """Rows have other places and other ids in it, as after a dump, a repair or a merge."""
    path, copied, random = tmp_path / "1.db", tmp_path / "2.db", Random(seed)
    file = StatisticsFile(path)
    for at in range(300):
        shape, family = f"content:log:{at % 23:08x}", ("gpt-5", "claude", "Übermodell", "zz")[at % 4]
        tried = random.choice([Action.PRESSED, Action.NOT_SMALLER])
        press = Lesson(
            random.choice(["Bash", "fetch", "Read", "grep"]), tried, b"%d" % at, "", Kind.LOG, f"f{at % 3}",
            f"{at:08x}" + "0" * 16, 100, random.randint(20, 90), 1.0, Structure(shape, ("a", "b")),
        )  # fmt: skip
        file.add([Lessons("payg", family, b"%d" % (at % 7), (press,)), Asked(f"{at:08x}", random.random(), "*")])
    file.close()
    StatisticsFile(copied).add([])
    with closing(sqlite3.connect(path)) as one, closing(sqlite3.connect(copied)) as other, other:
        for table, drops in (("learnt", 1), ("tool", 0), ("caller", 0), ("field", 0), ("query", 0)):
            rows = [row[drops:] for row in one.execute(f"SELECT * FROM {table}")]
            random.shuffle(rows)
            names = [column[1] for column in one.execute(f"PRAGMA table_info({table})")][drops:]
            marks = ", ".join("?" * len(names))
            other.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", rows)
    outputs = [tmp_path / f"{at}.toml" for at in range(4)]
    for source, output in zip((path, copied, path, copied), outputs, strict=True):
        publish("-o", output, "--learning-path", source, "--min-observations", 1)
    assert len({output.read_bytes() for output in outputs}) == 1
    found, _ = load(Config.of(store="memory", recommendations_path=outputs[0]))
    assert len(found.rows) == 92


def test_without_statistics_the_file_is_valid_and_empty_and_that_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r.toml"
    publish("-o", out, "--learning-path", tmp_path / "none.db")
    assert tomllib.loads(out.read_text()) == {}
    assert not (tmp_path / "none.db").exists()
    assert f"there are no statistics at {tmp_path / 'none.db'} yet" in capsys.readouterr().err


@pytest.mark.parametrize("least", ["0", "-1", "many", ""])
def test_a_least_number_that_is_none_is_refused(tmp_path: Path, least: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "r.toml"
    publish("-o", out, "--min-observations", least, "--learning-path", tmp_path / "s.db", code=2)
    assert "allowed is a whole number of at least 1" in capsys.readouterr().err
    assert not out.exists()


def test_statistics_in_memory_or_a_setting_that_is_none_are_wrong_configurations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["--store=memory"], ["--nonsense=1"]):
        publish("-o", tmp_path / "r.toml", *words, code=78)
    assert "learning_path" in capsys.readouterr().err


def test_what_cannot_be_read_or_written_leaves_what_was_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, out = tmp_path / "s.db", tmp_path / "r.toml"
    broken.write_text("no database" * 100)
    out.write_text("# before\n")
    publish("-o", out, "--learning-path", broken, code=69)
    assert out.read_text() == "# before\n"
    assert capsys.readouterr().err.count("headroom toin-publish: ") == 1
    nowhere = tmp_path / "no" / "r.toml"
    publish("-o", nowhere, "--learning-path", tmp_path / "none.db", code=69)
    assert sorted(os.listdir(tmp_path)) == ["r.toml", "s.db"]
    assert capsys.readouterr().err.endswith(f"headroom toin-publish: {nowhere}: No such file or directory\n")


def test_the_command_is_one_of_headrooms(tmp_path: Path) -> None:
    source = filled(tmp_path / "s.db", 2)
    done = subprocess.run(
        [sys.executable, "-m", "headroom", "toin-publish", "-o", str(tmp_path / "r.toml"), "--min-observations=2"],
        env={"PATH": os.defpath, "HOME": str(tmp_path), "HEADROOM_TOIN_PATH": str(source)},
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == b""
    assert (tmp_path / "r.toml").read_bytes().count(b"[[recommendation]]") == 2
