"""`headroom memory`: a person's way to what is remembered, with no proxy running."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from headroom import memory_command
from headroom.config import Config, ConfigError
from headroom.memory_command import Failed, asking
from headroom.memory_sqlite import SqliteMemory
from headroom.stores import memory_path, open_memory

ROOT = Path(__file__).parent.parent
Ended = subprocess.CompletedProcess[str]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "memory.sqlite"


def headroom(path: Path, *words: str, given: bytes = b"", settings: Mapping[str, str] | None = None) -> Ended:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADROOM_")}
    ended = subprocess.run(
        [sys.executable, "-m", "headroom", "memory", *words],
        capture_output=True,
        check=False,
        timeout=60,
        cwd=ROOT,
        env={**kept, "PYTHONIOENCODING": "ascii", "HEADROOM_MEMORY_STORE": str(path), **(settings or {})},
        input=given,
    )
    return Ended(ended.args, ended.returncode, ended.stdout.decode(), ended.stderr.decode())


def added(path: Path, *words: str, given: bytes = b"") -> str:
    return str(json.loads(headroom(path, "add", "--json", *words, given=given).stdout)["id"])


def test_what_is_added_is_listed_searched_exported_and_forgotten(path: Path) -> None:
    shared = added(
        path, "Prices are kept", "in cents – 金", "--project=shop", "--importance", "0.9", "--entity", "Money"
    )
    own = added(path, "-", "--project", "shop", "--user", "ann", given=b"Deploy\non \x1b[2JTuesday \xe2\x80\xae\n")
    elsewhere = added(path, "The farm has sensors", "--project", "farm")
    listed = headroom(path, "list")
    assert listed.returncode == 0 and {line.split()[0] for line in listed.stdout.splitlines()} == {
        shared,
        own,
        elsewhere,
    }
    assert f"{shared}  " in listed.stdout and "  shop  shared  Prices are kept in cents – 金\n" in listed.stdout
    assert "\x1b" not in listed.stdout and "\u202e" not in listed.stdout
    narrowed = headroom(path, "list", "--project", "shop", "--user", "", "--json").stdout
    assert [json.loads(line)["id"] for line in narrowed.splitlines()] == [shared]
    assert json.loads(narrowed)["entities"] == ["Money"]
    assert len(headroom(path, "list", "--limit", "1").stdout.splitlines()) == 1
    for words, ids in (
        (["search", "prices", "in", "cents", "--project", "shop"], [shared]),
        (["search", "deploy on tuesday", "--project", "shop", "--user", "ann"], [own]),
        (["search", "sensors", "--scope", "global"], [elsewhere]),
        (["list", "--scope", "user", "--user", "ann"], [own]),
        (["list", "--project", "farm"], [elsewhere]),
    ):
        assert [line.split()[0] for line in headroom(path, *words).stdout.splitlines()] == ids, words
    exported = [json.loads(line) for line in headroom(path, "export", "--project", "shop").stdout.splitlines()]
    assert {memory["id"]: memory["content"] for memory in exported} == {
        shared: "Prices are kept in cents – 金",
        own: "Deploy\non \x1b[2JTuesday \u202e",
    }
    assert headroom(path, "forget", own).stdout == f"forgot {own}\n"
    assert headroom(path, "forget", own).returncode == 1
    assert headroom(path, "forget", "--all", "--project", "shop", "--yes").stdout == "forgot 1 of shop\n"
    assert [json.loads(line)["id"] for line in headroom(path, "export").stdout.splitlines()] == [elsewhere]


def test_what_others_may_not_see_is_not_found_for_them(path: Path) -> None:
    added(path, "Deploy on Tuesday", "--project", "shop", "--user", "ann")
    for words in (
        ["--project", "shop", "--user", "bob"],
        ["--project", "farm", "--user", "ann"],
        ["--project", "shop"],
    ):
        ended = headroom(path, "search", "deploy tuesday", *words)
        assert (ended.returncode, ended.stdout) == (1, "") and "nothing was found" in ended.stderr


def test_adding_twice_and_nearly_twice_is_told(path: Path) -> None:
    said = headroom(path, "add", "Releases go out on Tuesday, never on Friday.", "--project", "shop")
    id = said.stdout.split()[1]
    again = headroom(path, "add", "Releases go out on Tuesday, never on Friday.", "--project", "shop")
    assert again.stdout == f"{id} says that already\n"
    near = headroom(path, "add", "Releases go out on Tuesday and never on a Friday!", "--project", "shop")
    assert near.stdout.endswith(f"; {id} says nearly the same\n")


def test_project_user_and_scope_come_from_the_settings(path: Path) -> None:
    settings = {"HEADROOM_MEMORY_PROJECT": "shop", "HEADROOM_MEMORY_USER": "ann"}
    memory = json.loads(headroom(path, "add", "sensors", "--json", settings=settings).stdout)
    assert (memory["project"], memory["user"]) == ("shop", "ann")
    assert headroom(path, "search", "sensors", settings=settings).returncode == 0
    assert headroom(path, "search", "sensors", settings=settings | {"HEADROOM_MEMORY_PROJECT": "farm"}).returncode == 1
    everywhere = {"HEADROOM_MEMORY_USER": "ann", "HEADROOM_MEMORY_SCOPE": "user"}
    assert headroom(path, "search", "sensors", settings=everywhere).returncode == 0
    assert headroom(path, "list", "--memory-store", str(path), settings={"HEADROOM_MEMORY_STORE": "/x"}).returncode == 0


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["list"], 1, "there is no memory at"),
        (["lst"], 64, "no such command"),
        (["list", "x"], 64, "takes no words"),
        (["search"], 64, "needs a text"),
        (["add", "x", "--scope", "project"], 64, "--project"),
        (["add", "  ", "--project", "p"], 64, "empty"),
        (["add", "x" * 4001, "--project", "p"], 64, "4,001 characters"),
        (["add", "x"], 64, "--project"),
        (["add", "x", "--project", "p", "--importance", "2"], 64, "0 to 1"),
        (["forget"], 64, "one id"),
        (["forget", "m_1", "m_2"], 64, "one id"),
        (["list", "--limit", "0"], 64, "--limit"),
        (["list", "--limit"], 64, "--limit needs a value"),
        (["list", "--memory-scope", "x"], 78, "memory_scope"),
        (["list", "--nothing", "x"], 78, "--nothing"),
    ],
)
def test_calls_that_are_wrong_say_what_is_wrong(path: Path, words: list[str], status: int, said: str) -> None:
    ended = headroom(path, *words)
    assert (ended.returncode, ended.stdout) == (status, "") and said in ended.stderr
    assert not path.exists() or words[0] == "add"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["forget", "--all", "--yes"], "--project"),
        (["forget", "--all", "--project", "p"], "--yes"),
        (["forget", "m_1", "--all", "--project", "p", "--yes"], "one id, or --all"),
        (["list", "--scope", "galaxy"], "--scope is project, user or global, not 'galaxy'"),
        (["list", "--limit", "many"], "--limit is a whole number from 1, not 'many'"),
        (["add", "x", "--importance", "high"], "--importance is a number from 0 to 1, not 'high'"),
        (["list", "--json=1"], "such"),
    ],
)
def test_what_is_asked_is_checked_before_anything_is_done(words: list[str], said: str) -> None:
    if said == "such":
        assert asking(words)[1] == ["--json", "1"], "left for the settings, which know no such flag"
        return
    with pytest.raises(Failed, match=said) as failed:
        asking(words)
    assert failed.value.status == 64


def test_a_word_that_says_too_little_of_a_prompt_is_found_all_the_same_and_told_as_such(path: Path) -> None:
    id = added(path, "Prices are kept in cents", "--project", "shop")
    sure = headroom(path, "search", "prices in cents", "--project", "shop")
    assert sure.stdout.startswith(id) and not sure.stderr
    loose = headroom(path, "search", "prices", "--project", "shop")
    assert loose.stdout == sure.stdout and loose.returncode == 0
    assert "is told of nothing" in loose.stderr
    assert headroom(path, "search", "sensors", "--project", "shop").returncode == 1


def test_names_are_kept_as_requests_name_them_and_text_may_begin_with_dashes(path: Path) -> None:
    id = added(path, "--project", " shop ", "--user", "ann ", "--", "--verbose", "is the flag of deploys")
    (memory,) = map(json.loads, headroom(path, "list", "--json", "--project", "shop").stdout.splitlines())
    assert (memory["id"], memory["user"], memory["content"]) == (id, "ann", "--verbose is the flag of deploys")


def test_bytes_that_are_no_text_are_refused(path: Path) -> None:
    ended = headroom(path, "add", "-", "--project", "p", given=b"\xff")
    assert ended.returncode == 64 and "UTF-8" in ended.stderr


def test_a_file_that_is_no_memory_cannot_be_read_and_is_left_alone(path: Path) -> None:
    path.write_bytes(b"notes of mine, not a database\n" * 50)
    before = path.read_bytes()
    ended = headroom(path, "list")
    assert ended.returncode == 69 and "cannot be read" in ended.stderr and path.read_bytes() == before


def test_a_path_that_cannot_even_be_looked_at_ends_with_69() -> None:
    where = Path("/tmp/" + "long" * 100 + ".sqlite")
    ended = headroom(where, "list")
    assert ended.returncode == 69 and ended.stderr.count("\n") == 1
    assert str(where) in ended.stderr and "File name too long" in ended.stderr


def test_the_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--help"], ["add", "-h"]):
        memory_command.main(words)
        said = capsys.readouterr().out
        assert all(f"\n  {command} " in said for command in ("list", "search", "add", "forget", "export"))


# The settings.


def test_the_memory_is_off_unless_it_is_asked_for(tmp_path: Path) -> None:
    assert open_memory(Config.of()) is None
    for mode in ("auto_tail", "tool"):
        made = open_memory(Config.of(memory_mode=mode, memory_store=str(tmp_path / "m")))
        assert isinstance(made, SqliteMemory) and not (tmp_path / "m").exists()


def test_the_file_is_beside_the_store_of_decisions(tmp_path: Path) -> None:
    assert memory_path(Config.of(memory_store="/a/b.sqlite")) == Path("/a/b.sqlite")
    assert memory_path(Config.of(store=str(tmp_path / "headroom.db"))) == tmp_path / "memory.sqlite"
    default = memory_path(Config.of())
    assert default.name == "memory.sqlite"
    assert memory_path(Config.of(store="memory")) == memory_path(Config.of(store="redis://h/0")) == default


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("memory_mode", "on"),
        ("memory_injection_mode", "system"),
        ("memory_scope", "team"),
        ("memory_project", "x" * 201),
        ("memory_user", "a\nb"),
        ("memory_timeout", "0"),
        ("memory_entries", "11"),
        ("memory_tokens", "99"),
    ],
)
def test_settings_that_are_not_allowed_are_named(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        Config.of(**{name: value})
