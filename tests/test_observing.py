"""Learning observes: through real sockets, nothing that was learnt changes a byte that a running proxy forwards."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from headroom import learning_file
from headroom.edge import Edge
from headroom.faults import StoreDown
from headroom.learning_file import StatisticsFile, Totals
from headroom.lessons import Lesson, Lessons
from headroom.publishing import read, recommend, render
from headroom.store import MemoryStore, Name
from headroom.zones.press import Action
from headroom.zones.structure import Structure
from tests.support import loops
from tests.support.embedded import edge_to
from tests.support.loops import chat_loop, sdk_loop
from tests.support.origin import Origin
from tests.support.outputs import ToolOutput, invented, mixed
from tests.support.raw_client import ask
from tests.support.raw_wire import eventually
from tests.support.retrieving import (
    begun,
    certificates_read_once,  # noqa: F401 - used by every test here
    check_prefixes,
    edge,
    fetch,
    log,
    markers,
    play,
    run,
    texts,
    url_of,
)
from tests.support.script import Script, Turn
from tests.support.sessions import Session, scripted_origin, served

RESULTS = mixed(7, 18, 1_200, 9_000)
LOGIN = b"authorization: Bearer sk-ant-oat01-abc"


def bodies(client: str, results: Sequence[ToolOutput] = RESULTS, turns: int = 14) -> list[bytes]:
    return list(loops.LOOPS[client](5, turns, results, bulk=0.05))  # type: ignore[call-arg]


async def forwarded(sent: Sequence[bytes], *fields: bytes, **settings: object) -> list[str]:
    """Digests of what the provider got of `sent`."""
    async with scripted_origin() as origin, edge_to(origin.url, **settings) as proxy:
        session = Session(origin, login=bool(fields))
        await session.turns(proxy.port, sent, *fields)
        assert session.received != list(sent)
        return [hashlib.sha256(body).hexdigest() for body in session.received]


async def told(proxy: Edge) -> dict[str, object]:
    answer = await ask(proxy.port, b"GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n")
    found: dict[str, object] = json.loads(answer.body)["learning"]
    return found


@pytest.mark.parametrize("client", loops.LOOPS)
async def test_what_is_forwarded_is_the_same_whatever_was_learnt(client: str, tmp_path: Path) -> None:
    sent, path = bodies(client), tmp_path / "learning.db"
    off = await forwarded(sent, learning="disabled", ccr_tool="start")
    assert not path.exists()
    fresh = await forwarded(sent, learning_path=path, ccr_tool="start")
    full = await forwarded(sent, learning_path=path, learning_interval="10ms", ccr_tool="start")
    assert off == fresh == full
    totals = StatisticsFile(path).totals()
    assert totals.observations > 10
    assert totals.regrets == 0


async def test_a_file_or_statistics_that_change_meanwhile_change_nothing(tmp_path: Path) -> None:
    advice, path = tmp_path / "recommendations.toml", tmp_path / "learning.db"
    sent = bodies("sdk")
    settings: dict[str, object] = {"recommendations_path": advice, "learning_path": path, "ccr_tool": "start"}
    advice.write_text("")
    whole = await forwarded(sent, **settings)
    async with scripted_origin() as origin, edge_to(origin.url, **settings) as proxy:
        session = Session(origin)
        await session.turns(proxy.port, sent[:7])
        advice.write_text("".join(f'[[tool]]\nname = "{one.tool}"\nleave_alone = true\n' for one in RESULTS))
        path.unlink()
        path.write_text("no statistics any more")
        await session.turns(proxy.port, sent[7:])
        assert [hashlib.sha256(body).hexdigest() for body in session.received] == whole
    assert path.read_text() == "no statistics any more"


async def test_what_is_asked_for_twice_is_charged_to_its_press(tmp_path: Path) -> None:
    path = tmp_path / "learning.db"
    once = invented("json_uniform", 3, 6_000)
    filler = invented("service_log", 4, 4_000)
    sent = list(sdk_loop(5, 6, [once, filler, once, filler], bulk=0.05))
    await forwarded(sent, learning_path=path)
    file = StatisticsFile(path)
    totals = file.totals()
    assert totals.regrets == 2 and totals.uncharged == 0
    for row in file.forms():
        assert (row.auth, row.family) == ("payg", "claude-sonnet")
        assert row.presses and row.given_back == row.before - row.after > 0
    rows, tools = recommend(read(path), 1)
    assert {row.strategy_hint for row in rows} == {"default"}
    assert tools and all(tool.leave_alone for tool in tools)
    assert render(rows, tools) == render(*recommend(read(path), 1))


@pytest.mark.parametrize("kind", ["blocks", "deltas", "items", "parts"])
async def test_what_a_model_fetches_is_charged_to_its_press(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "learning.db"
    turns = [
        Turn("", (run("log 0"),)),
        Turn("", (fetch(log(0)),)),
        Turn("", (run("log 1"),)),
        Turn("", (fetch(log(1), match="level=ERROR"),)),
        Turn("", (fetch(log(1), lines="nonsense"),)),
        Turn("Done."),
    ]
    async with Origin(Script.single(turns)) as origin:
        async with edge(origin.url, learning_path=path) as proxy, begun(kind) as talk:
            await play(talk, url_of(proxy), stream=True)
        assert log(0) in texts(origin.requests[-1].body)
    file = StatisticsFile(path)
    assert file.totals() == Totals(1, 2, retrievals=2)
    ((row,), (tool,)) = file.forms(), file.tools()
    one = (row.before - row.after) // 2
    assert row.form.startswith("log")
    assert one * 0.9 < row.given_back < one * 1.2
    assert (tool.name, tool.presses, tool.whole) == ("bash", 2, 1)


async def test_what_a_program_fetches_is_charged_and_stats_tell_it(tmp_path: Path) -> None:
    async with scripted_origin() as origin:
        given: dict[str, object] = {"learning_interval": "10ms", "learning_path": tmp_path / "l.db"}
        async with edge(origin.url, **given) as proxy:
            assert (await told(proxy))["rows"] == 0
            await Session(origin).turns(proxy.port, chat_loop(5, 6, [invented("service_log", 1, 40_000)], bulk=0.05))
            (hash_,) = set(_hashes(origin))
            for query in ("", "?match=pool"):
                answer = await ask(
                    proxy.port, f"GET /v1/retrieve/{hash_}{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
                )
                assert answer.status == 200

            learning = proxy.learning
            assert learning is not None
            await eventually(lambda: learning.totals.retrievals == 2)
            found = await told(proxy)
            assert {name: found[name] for name in ("enabled", "rows", "observations", "retrievals", "regrets")} == {
                "enabled": True,
                "rows": 1,
                "observations": 1,
                "retrievals": 2,
                "regrets": 0,
            }
            assert found["last_saved"] and found["trouble"] is None


def _hashes(origin: Origin) -> list[str]:
    return [hash_ for kept in origin.requests for hash_ in markers(kept.body)]


async def test_of_subscribers_nothing_is_learnt_and_of_others_with_a_login_it_is(tmp_path: Path) -> None:
    sent = bodies("sdk", turns=6)
    for agent, modes in ((b"user-agent: claude-cli/2.0", set()), (b"user-agent: mine/1", {"oauth"})):
        path = tmp_path / f"{len(modes)}.db"
        await forwarded(sent, LOGIN, agent, learning_path=path)
        assert path.exists() == bool(modes)
        assert {row.auth for row in StatisticsFile(path).forms()} == modes


async def test_in_observe_mode_nothing_is_learnt(tmp_path: Path) -> None:
    path = tmp_path / "learning.db"
    given: dict[str, object] = {"learning_path": path, "compression_mode": "observe"}
    async with scripted_origin() as origin, edge_to(origin.url, **given) as proxy:
        await Session(origin).turns(proxy.port, bodies("sdk", turns=5))
    assert not path.exists()


async def test_a_press_that_the_store_did_not_keep_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def put(self: MemoryStore, entries: Sequence[tuple[Name, bytes]]) -> dict[Name, bytes]:
        raise StoreDown("no space")

    monkeypatch.setattr(MemoryStore, "put", put)
    path = tmp_path / "learning.db"
    async with scripted_origin() as origin, edge_to(origin.url, learning_path=path) as proxy:
        session = Session(origin)
        await session.turns(proxy.port, bodies("sdk", turns=4))
        assert session.received == session.sent
    assert not path.exists()


async def test_statistics_that_cannot_be_written_change_no_request(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("in the way")
    given: dict[str, object] = {"learning_path": path / "learning.db", "learning_interval": "10ms"}
    sent = bodies("codex", turns=8)
    logged = tmp_path / "log"
    assert await forwarded(sent, **given, log_file=logged, log_level="info") == await forwarded(sent)
    notes = [line for line in logged.read_text().splitlines() if '"learning_note"' in line]
    assert len(notes) == 1
    assert "requests are not affected" in notes[0]


def _text(path: Path) -> None:
    path.write_text("no database " * 1_000)


def _torn(path: Path) -> None:
    """Its first pages are right, so that it opens; what is in them leads to pages that are not there any more."""
    file = StatisticsFile(path)
    for at in range(60):
        file.add([Lessons("payg", "other", b"c", tuple(_lesson(f"{at} {row}") for row in range(60)))])
    file.close()
    data = path.read_bytes()
    assert len(data) > 300_000
    path.write_bytes(data[:60_000] + b"\xff" * 100_000)


def _lesson(name: str) -> Lesson:
    structure = Structure(name, tuple(f"{name} {at}" for at in range(3)))
    return Lesson("Bash", Action.PRESSED, name.encode(), form="json", before=9, after=5, structure=structure)


def _full_disk(path: Path) -> None:
    path.symlink_to("/dev/full")


def _no_directory(path: Path) -> None:
    path.symlink_to("/proc/learning.db")


def _full(path: Path) -> None:
    """As many rows as may be, of everything."""
    file = StatisticsFile(path)
    file.add([])
    file.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        for at in range(learning_file.ROWS_LIMIT):
            row = (at, f"s{at}")
            connection.execute("INSERT INTO learnt VALUES (?, 'payg', 'f', ?, 'x', 'json', 1,1,1,1,1,1,1,1,1,1)", row)
        for at in range(learning_file.TOOLS_LIMIT):
            connection.execute("INSERT INTO tool VALUES (?, 1, 1, 1, 1, 1, 1, 1, 1)", (f"t{at}",))
        for at in range(learning_file.PRESSES_LIMIT):
            connection.execute("INSERT INTO press VALUES (?, ?, 1, 't1', 1, 1)", (at + 1, f"p{at}"))


@pytest.mark.parametrize("state", [_text, _torn, _full_disk, _no_directory, _full], ids=lambda state: state.__name__)
async def test_a_file_in_whatever_state_changes_no_request(state: Callable[[Path], None], tmp_path: Path) -> None:
    sent, path = bodies("sdk", turns=8), tmp_path / "learning.db"
    state(path)
    given: dict[str, object] = {"learning_interval": "10ms", "ccr_tool": "start"}
    assert await forwarded(sent, learning_path=path, **given) == await forwarded(sent, learning="disabled", **given)
    if state is _full:
        file = StatisticsFile(path)
        assert file.totals().rows == learning_file.ROWS_LIMIT
        assert len(file.tools()) == learning_file.TOOLS_LIMIT and "bash" in {tool.name for tool in file.tools()}


async def test_a_file_that_another_program_holds_changes_no_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning_file, "BUSY_SECONDS", 0.01)
    sent, path = bodies("sdk", turns=8), tmp_path / "learning.db"
    StatisticsFile(path).add([])
    given: dict[str, object] = {"learning_interval": "10ms", "ccr_tool": "start"}
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        held = await forwarded(sent, learning_path=path, **given)
    assert held == await forwarded(sent, learning="disabled", **given)


async def test_no_word_of_a_request_is_in_the_file(tmp_path: Path) -> None:
    """Whatever the client is, and whatever is fetched: only names of tools are told as they are."""
    path = tmp_path / "learning.db"
    sent = [body for client in loops.LOOPS for body in bodies(client, turns=10)]
    async with scripted_origin() as origin:
        given: dict[str, object] = {"learning_path": path, "ccr_tool": "start"}
        async with edge_to(origin.url, **given) as proxy:
            session = Session(origin)
            await session.turns(proxy.port, sent)
            for hash_ in sorted({hash_ for body in session.received for hash_ in markers(body)}):
                query = b"/v1/retrieve/%b?match=hunter2%%20secret%%3Dhunter3" % hash_.encode()
                await ask(proxy.port, b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % query)
    kept = b"".join(one.read_bytes() for one in tmp_path.glob("learning.db*")).lower()
    assert StatisticsFile(path).totals().observations > 20
    said = b" ".join(sent).lower()
    schema = " ".join(learning_file._SCHEMA).lower().encode()
    names = {tool.name.encode() for tool in StatisticsFile(path).tools()}
    known = {word.lower() for row in StatisticsFile(path).forms() for word in re.findall(rb"\w+", repr(row).encode())}
    own = {*re.findall(rb"[a-z_]{5,}", schema), *known, *names}
    for word in sorted({*names, b"sqlite_autoindex_"}, key=len, reverse=True):
        kept = kept.replace(word, b"")
    words = {word for word in re.findall(rb"[a-z][a-z_]{5,}", said) if word not in own}
    assert len(words) > 300
    assert {word for word in words if word in kept} == set()
    assert b"hunter" not in kept and b"secret" not in kept


async def test_tools_to_leave_alone_are_not_cut_unless_the_configuration_says_so(tmp_path: Path) -> None:
    advice = tmp_path / "recommendations.toml"
    advice.write_text('[[tool]]\nname = "Bash"\nleave_alone = true\n')
    turns = [Turn("", (run("log 0"),)), Turn("Done.")]
    cuts = []
    for policy in ("", "Bash=default", "Bash=lossless"):
        async with Origin(Script.single(turns)) as origin:
            given: dict[str, object] = {"recommendations_path": advice, "tool_policy": policy}
            async with edge(origin.url, **given) as proxy, begun("blocks") as talk:
                await play(talk, url_of(proxy), stream=True)
                assert (await told(proxy))["left_alone"] == ["bash"]
            cuts.append(len(_hashes(origin)))
    assert cuts == [0, 1, 0]


async def test_what_was_decided_is_replayed_whatever_is_loaded_later(tmp_path: Path) -> None:
    advice, store = tmp_path / "recommendations.toml", tmp_path / "store.db"
    results = [invented("service_log", seed, 30_000) for seed in range(4)]
    sent = list(sdk_loop(5, 5, results, bulk=0.05))
    given: dict[str, object] = {"store": store, "recommendations_path": advice, "ccr_tool": "start"}
    async with scripted_origin() as origin:
        session = Session(origin)
        advice.write_text("")
        async with edge_to(origin.url, **given) as proxy:
            await session.turns(proxy.port, sent[:3])
        advice.write_text(f'[[tool]]\nname = "{results[0].tool}"\nleave_alone = true\n')
        async with edge_to(origin.url, **given) as proxy:
            await session.turns(proxy.port, sent[3:])
        got = [kept.body for kept in origin.requests]
        check_prefixes(got)
        assert markers(got[2])
        assert markers(got[-1]) == markers(got[2])


async def test_what_several_workers_learn_is_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "store.learning.db"
    settings = {"store": tmp_path / "store.db", "workers": 2, "token_yardstick": "characters"}
    sent = bodies("sdk", turns=12)
    async with scripted_origin() as origin:
        async with served(origin.url, settings) as proxy:
            await Session(origin).turns(proxy.port, sent)
        two = StatisticsFile(path)
        alone = tmp_path / "alone.db"
        await forwarded(sent, learning_path=alone)
    assert two.forms() == StatisticsFile(alone).forms()
    assert two.tools() == StatisticsFile(alone).tools()


async def test_a_kill_loses_no_more_than_the_last_interval(tmp_path: Path) -> None:
    path = tmp_path / "learning.db"
    settings = {"store": "memory", "learning_path": path, "learning_interval": "10ms"}
    sent = bodies("chat", turns=10)
    given = {**settings, "token_yardstick": "characters"}
    async with scripted_origin() as origin, served(origin.url, given) as proxy:
        await Session(origin).turns(proxy.port, sent)
        # What was saved before the kill is there after it.
        await eventually(lambda: path.exists() and read(path).forms)
        saved = read(path).forms
        await proxy.kill()
    kept = {(row.structure, row.form): row.presses + row.tries for row in read(path).forms}
    assert all(kept[row.structure, row.form] >= row.presses + row.tries for row in saved)
