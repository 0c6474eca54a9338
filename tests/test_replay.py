"""What was sent once is what is sent ever after, whoever sends it, and it never costs more than without the proxy."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from headroom.zones.forms import Style
from headroom.zones.hints import Hints
from headroom.zones.press import Floors, Verdict, press, seen, unpress
from headroom.zones.yardstick import Yardstick
from tests.support.embedded import edge_to
from tests.support.loops import chat_loop, claude_code_loop, codex_loop, gemini_loop, opencode_loop, sdk_loop
from tests.support.outputs import ToolOutput, invented, mixed, recorded
from tests.support.raw_wire import LIMIT
from tests.support.request_shape import dialect_of, parse, result_texts
from tests.support.sessions import Session, scripted_origin, served

Loop = Callable[[int, int, Sequence[ToolOutput]], Iterator[bytes]]

SMALL = 0.15  # of the measured size of tools and system prompts
CLIENTS: Mapping[str, Loop] = {
    "claude code": partial(claude_code_loop, bulk=SMALL),
    "claude code, resumed": partial(claude_code_loop, bulk=SMALL, resumed_at=5),
    "claude code, one hour": partial(claude_code_loop, bulk=SMALL, ttl="1h"),
    "claude code, resumed, one hour": partial(claude_code_loop, bulk=SMALL, ttl="1h", resumed_at=4),
    "sdk": partial(sdk_loop, bulk=SMALL),
    "sdk, blocks": partial(sdk_loop, bulk=SMALL, content="blocks"),
    "sdk, marker": partial(sdk_loop, bulk=SMALL, marker="last"),
    "sdk, marker in the result": partial(sdk_loop, bulk=SMALL, content="blocks", marker="nested"),
    "sdk, python's spelling": partial(sdk_loop, bulk=SMALL, python_json=True, marker="last"),
    "opencode": partial(opencode_loop, bulk=SMALL),
    "codex": partial(codex_loop, bulk=SMALL, keep=20_000),
    "chat": partial(chat_loop, bulk=SMALL),
    "chat, parts": partial(chat_loop, bulk=SMALL, content="parts"),
    "gemini": partial(gemini_loop, bulk=SMALL),
    "gemini, no ids, bare": partial(gemini_loop, bulk=SMALL, ids=False, wrapped=False),
    "gemini, masked": partial(gemini_loop, bulk=SMALL, masked_at=6),
    "gemini, doubled": partial(gemini_loop, bulk=SMALL, doubled_at=6),
    "gemini, no ids, doubled": partial(gemini_loop, bulk=SMALL, ids=False, doubled_at=6),
}
WRAPPING = ("gemini", "gemini, masked", "gemini, doubled", "gemini, no ids, doubled")
PAYING = ("json_uniform", "search", "json_nested", "search_context", "json_ragged", "package_lock", "json_uniform")
TURNS = 9


def paying(seed: int = 0, size: int = 9_000) -> list[ToolOutput]:
    """Results that can be pressed, each of its own."""
    return [invented(kind, seed * 100 + at, size) for at, kind in enumerate(PAYING * 2)]


def results(seed: int) -> Mapping[str, Sequence[ToolOutput]]:
    """Outputs of every sort."""
    return {"mixed": mixed(seed, 22, 400, 9_000), "recorded": recorded(), "paying": paying(seed)}


def texts(body: bytes) -> list[str]:
    """The tool result texts of a body, in order."""
    request = parse(body)
    return [found.text for found in result_texts(dialect_of(request), request)]


def settings_of(store: Path) -> dict[str, object]:
    """What a proxy in its own process is given."""
    return {"store": store, "token_yardstick": "characters"}


# --- every client ---------------------------------------------------------------------------------


@pytest.mark.parametrize("sort", ["mixed", "recorded", "paying"])
@pytest.mark.parametrize("client", CLIENTS)
async def test_history_stays_as_it_was_sent_and_the_bill_never_rises(client: str, sort: str) -> None:
    async with scripted_origin() as origin, edge_to(origin.url) as proxy:
        for seed in range(2):
            session = Session(origin)
            await session.turns(proxy.port, CLIENTS[client](seed, TURNS, results(seed)[sort]))
            report = session.report
            assert report.sound, report
            assert report.ratio <= 1.0, report
            assert report.changed or sort == "recorded", report


async def test_json_and_search_results_save_a_fifth_of_the_bill_of_claude_code() -> None:
    async with scripted_origin() as origin, edge_to(origin.url, token_yardstick="o200k") as proxy:
        session = Session(origin)
        await session.turns(proxy.port, claude_code_loop(1, 12, paying(1, 20_000)))
        report = session.report
        assert report.sound, report
        assert report.ratio <= 0.80, report


async def test_every_pressed_result_reads_back_on_every_turn() -> None:
    async with scripted_origin() as origin, edge_to(origin.url) as proxy:
        session = Session(origin)
        await session.turns(proxy.port, CLIENTS["claude code"](2, TURNS, mixed(2, 22, 400, 9_000)))
        for sent, received in zip(session.sent, session.received, strict=True):
            for before, after in zip(texts(sent), texts(received), strict=True):
                back = unpress(after)
                assert back == seen(before) or _values(back) == _values(before)


def _values(text: str) -> object:
    """JSON with the spelling of its numbers."""
    return json.loads(text, parse_float=str, parse_int=str, object_pairs_hook=tuple)


# --- the same again -------------------------------------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_retried_request_is_sent_as_the_first_time(client: str) -> None:
    async with scripted_origin() as origin, edge_to(origin.url) as proxy:
        session = Session(origin)
        for body in CLIENTS[client](3, TURNS, paying()):
            first = await session.turn(proxy.port, body)
            assert await session.turn(proxy.port, body) == first
        assert session.report.sound, session.report
        assert session.report.changed > 5


async def test_a_proxy_that_is_restarted_after_every_turn_sends_the_same(tmp_path: Path) -> None:
    bodies = list(CLIENTS["claude code"](4, TURNS, paying()))
    async with scripted_origin() as origin:
        steady, restarted = Session(origin), Session(origin)
        async with edge_to(origin.url) as proxy:
            await steady.turns(proxy.port, bodies)
        for body in bodies:
            async with edge_to(origin.url, store=tmp_path / "decisions.db") as proxy:
                await restarted.turn(proxy.port, body)
        assert restarted.received == steady.received
        assert restarted.report.sound, restarted.report


async def test_a_proxy_that_is_killed_after_every_turn_sends_the_same(tmp_path: Path) -> None:
    bodies = list(CLIENTS["sdk, marker"](5, 6, paying()))
    async with scripted_origin() as origin:
        session = Session(origin)
        for body in bodies:
            async with served(origin.url, settings_of(tmp_path / "decisions.db")) as proxy:
                await session.turn(proxy.port, body)
                await proxy.kill()
        assert session.report.sound, session.report
        assert session.report.changed > 3


async def test_workers_of_one_port_and_two_proxies_on_one_file_agree(tmp_path: Path) -> None:
    bodies = list(CLIENTS["claude code"](6, TURNS, paying()))
    where = tmp_path / "decisions.db"
    async with scripted_origin() as origin, edge_to(origin.url, store=where) as one:
        async with served(origin.url, {**settings_of(where), "workers": 2}) as two:
            session = Session(origin)
            for at, body in enumerate(bodies):
                first = await session.turn((one.port, two.port)[at % 2], body)
                for port in (two.port, one.port, two.port):
                    assert await session.turn(port, body) == first
        assert session.report.sound, session.report
        assert session.report.changed > 5


async def test_a_conversation_that_is_joined_half_way_keeps_its_beginning(tmp_path: Path) -> None:
    bodies = list(CLIENTS["opencode"](7, TURNS, paying()))
    async with scripted_origin() as origin:
        session = Session(origin)
        async with edge_to(origin.url, compression_mode="off") as absent:
            await session.turns(absent.port, bodies[:4])
        async with edge_to(origin.url) as proxy:
            await session.turns(proxy.port, bodies[4:])
        assert session.report.sound, session.report
        assert session.report.ratio <= 1.0
        assert session.report.changed > 2


@pytest.mark.parametrize("client", ["claude code", "sdk, blocks", "opencode"])
async def test_the_same_text_under_another_call_is_given_whole(client: str) -> None:
    asked = invented("json_uniform", 1, 9_000)
    again = [asked, invented("search", 2, 5_000), asked, invented("json_nested", 3, 5_000), asked]
    async with scripted_origin() as origin, edge_to(origin.url) as proxy:
        session = Session(origin)
        await session.turns(proxy.port, CLIENTS[client](8, TURNS, again))
        shown = texts(session.received[-1])
        assert shown[0] != asked.text == unpress(shown[0])
        assert shown.count(asked.text) == 2
        assert session.report.sound, session.report
        assert session.report.ratio <= 1.0


async def test_a_rewound_conversation_reads_what_it_wrote() -> None:
    bodies = list(CLIENTS["claude code"](9, TURNS, paying()))
    async with scripted_origin() as origin, edge_to(origin.url) as proxy:
        session = Session(origin)
        await session.turns(proxy.port, [*bodies[:6], *bodies[2:5], *bodies[3:]])
        assert session.report.sound, session.report


# --- what may be decided --------------------------------------------------------------------------

MARKED = ["claude code", "sdk, marker", "sdk, marker in the result", "opencode"]


@pytest.mark.parametrize("client", MARKED)
async def test_a_frozen_fresh_turn_is_left_alone(client: str) -> None:
    async with scripted_origin() as origin, edge_to(origin.url, fresh_turn="frozen") as proxy:
        session = Session(origin)
        await session.turns(proxy.port, CLIENTS[client](1, TURNS, paying()))
        assert session.received == session.sent


@pytest.mark.parametrize("client", ["sdk", "sdk, blocks"])
async def test_without_a_marker_nothing_is_frozen(client: str) -> None:
    async with scripted_origin() as origin, edge_to(origin.url, fresh_turn="frozen") as proxy:
        session = Session(origin)
        await session.turns(proxy.port, CLIENTS[client](1, TURNS, paying()))
        assert session.report.sound, session.report
        assert session.report.changed > 5


@pytest.mark.parametrize("client", MARKED)
async def test_where_markers_do_not_count_a_fresh_turn_is_not_frozen(client: str) -> None:
    rule = {"cache_control_auto_frozen": "disabled", "fresh_turn": "frozen"}
    async with scripted_origin() as origin, edge_to(origin.url, **rule) as proxy:
        session = Session(origin)
        await session.turns(proxy.port, CLIENTS[client](1, TURNS, paying()))
        assert session.report.sound, session.report
        assert session.report.changed > 5


async def test_decisions_are_replayed_below_the_floor(tmp_path: Path) -> None:
    bodies = list(CLIENTS["claude code"](1, TURNS, paying()))
    where = tmp_path / "decisions.db"
    async with scripted_origin() as origin:
        session = Session(origin)
        async with edge_to(origin.url, store=where) as proxy:
            await session.turns(proxy.port, bodies[:5])
        async with edge_to(origin.url, store=where, fresh_turn="frozen") as proxy:
            await session.turns(proxy.port, bodies[4:])
        assert session.report.sound, session.report
        assert texts(session.received[-1])[-1] == texts(session.sent[-1])[-1]
        assert texts(session.received[-1])[0] != texts(session.sent[-1])[0]


def failed(size: int) -> ToolOutput:
    """A failed call whose text would pay."""
    return replace(invented("json_uniform", size, size), is_error=True, tool="Bash")


async def test_results_of_failed_calls_are_left_alone_up_to_the_limit() -> None:
    outputs = [failed(7_000), failed(20_000), invented("json_uniform", 5, 7_000)]
    async with scripted_origin() as origin, edge_to(origin.url) as proxy:
        session = Session(origin)
        await session.turns(proxy.port, CLIENTS["claude code"](1, 5, outputs))
        sent, received = (texts(body[-1]) for body in (session.sent, session.received))
        same = {output.text: output.text in received for output in outputs}
        assert sorted(sent) == sorted(output.text for output in outputs)
        assert list(same.values()) == [True, False, False]
        assert session.report.sound, session.report


async def test_a_tool_that_is_excepted_is_left_alone() -> None:
    excepted = "mcp__tracker__list_items"
    async with scripted_origin() as origin, edge_to(origin.url, tool_policy=f"{excepted.title()}=none") as proxy:
        for client in CLIENTS:
            if client in ("codex", *WRAPPING):  # they wrap what a tool printed, and one cuts it
                continue
            session = Session(origin, key=client.encode())
            await session.turns(proxy.port, CLIENTS[client](2, TURNS, paying()))
            outputs = {output.text: output.tool for output in paying()}
            pairs = list(zip(texts(session.sent[-1]), texts(session.received[-1]), strict=True))
            assert {outputs[before] for before, after in pairs if before != after} >= {"Bash"}
            assert not [before for before, after in pairs if before != after and outputs[before] == excepted]
            assert session.report.sound, session.report


@pytest.mark.parametrize("field", [b"x-headroom-bypass: true", b"X-Headroom-Mode: passthrough"])
async def test_a_client_that_opts_out_is_left_alone(field: bytes) -> None:
    async with scripted_origin() as origin, edge_to(origin.url) as proxy:
        session = Session(origin)
        await session.turns(proxy.port, CLIENTS["claude code"](1, TURNS, paying()), field)
        assert session.received == session.sent
        for kept in origin.requests:
            assert not [name for name, _ in kept.headers if name.lower().startswith(b"x-headroom")]


async def test_an_observer_changes_and_keeps_nothing(tmp_path: Path) -> None:
    bodies = list(CLIENTS["claude code"](1, TURNS, paying()))
    where = tmp_path / "decisions.db"
    async with scripted_origin() as origin:
        session = Session(origin)
        async with edge_to(origin.url, store=where, compression_mode="observe") as proxy:
            await session.turns(proxy.port, bodies[:6])
        assert session.received == session.sent
        async with edge_to(origin.url, store=where) as proxy:
            await session.turns(proxy.port, bodies[6:])
        assert session.report.sound, session.report


# --- faults of ours -------------------------------------------------------------------------------


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Pressing that does not end before the event is set."""
    gate = threading.Event()

    def slow(text: str, floors: Floors, yardstick: Yardstick, style: Style, hints: Hints | None) -> Verdict:
        gate.wait(LIMIT)
        return press(text, floors, yardstick, style, hints=hints)

    monkeypatch.setattr("headroom.shrink.press", slow)
    yield gate
    gate.set()


async def test_without_time_originals_go_and_stay(stuck: threading.Event, tmp_path: Path) -> None:
    bodies = list(CLIENTS["claude code"](1, TURNS, paying()))
    hurried = {"press_deadline": 0, "press_deadline_per_kib": 0, "press_deadline_limit": 0, "inline_bytes": 0}
    where = tmp_path / "decisions.db"
    async with scripted_origin() as origin:
        session = Session(origin)
        async with edge_to(origin.url, **{**hurried, "store": where}) as proxy:
            assert await session.turn(proxy.port, bodies[0]) == bodies[0]
            for body in bodies[1:4]:
                assert await session.turn(proxy.port, body) == body
                assert session.note == b"press_late"
        stuck.set()
        async with edge_to(origin.url, store=where) as proxy:
            await session.turns(proxy.port, bodies[4:])
        assert session.note is None
        assert session.report.sound, session.report
        assert session.report.changed > 2


def _below_a_file(folder: Path) -> Path:
    (folder / "file").write_bytes(b"")
    return folder / "file" / "decisions.db"


def _garbage(folder: Path) -> Path:
    (folder / "decisions.db").write_bytes(b"not a database, by any means. " * 400)
    return folder / "decisions.db"


def _a_folder(folder: Path) -> Path:
    (folder / "decisions.db").mkdir()
    return folder / "decisions.db"


def _of_another_release(folder: Path) -> Path:
    connection = sqlite3.connect(folder / "decisions.db")
    connection.execute("PRAGMA user_version=99")
    connection.close()
    return folder / "decisions.db"


@pytest.mark.parametrize("broken", [_below_a_file, _garbage, _a_folder, _of_another_release])
async def test_without_a_store_originals_go_and_once_it_is_back_they_stay(
    broken: Callable[[Path], Path], tmp_path: Path
) -> None:
    bodies = list(CLIENTS["claude code"](1, TURNS, paying()))
    where = broken(tmp_path)
    async with scripted_origin() as origin, edge_to(origin.url, store=where) as proxy:
        session = Session(origin)
        assert await session.turn(proxy.port, bodies[0]) == bodies[0]
        for body in bodies[1:4]:
            assert await session.turn(proxy.port, body) == body
            assert session.note == b"store_down"
        for path in tmp_path.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)  # SQLite takes its own files away
        await session.turns(proxy.port, bodies[4:])
        assert session.note is None
        assert session.report.sound, session.report
        assert session.report.changed > 2


async def test_a_folder_that_is_missing_is_made(tmp_path: Path) -> None:
    where = tmp_path / "a" / "b" / "decisions.db"
    async with scripted_origin() as origin, edge_to(origin.url, store=where) as proxy:
        session = Session(origin)
        await session.turns(proxy.port, CLIENTS["sdk"](1, 4, paying()))
        assert session.report.changed > 1
    assert where.stat().st_mode & 0o777 == 0o600
    assert where.parent.stat().st_mode & 0o077 == 0


async def test_while_the_store_is_locked_new_results_go_whole_and_stay_so(tmp_path: Path) -> None:
    bodies = list(CLIENTS["claude code"](1, TURNS, paying()))
    where = tmp_path / "decisions.db"
    async with scripted_origin() as origin, edge_to(origin.url, store=where) as proxy:
        session = Session(origin)
        await session.turns(proxy.port, bodies[:5])
        lock = sqlite3.connect(where, isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        try:
            for body in bodies[5:7]:
                received = await session.turn(proxy.port, body)
                assert session.note == b"store_down"
                assert texts(received)[-1] == texts(body)[-1]
        finally:
            lock.execute("ROLLBACK")
            lock.close()
        await session.turns(proxy.port, bodies[7:])
        assert session.note is None
        assert session.report.sound, session.report
        assert session.report.ratio <= 1.0


async def test_a_file_that_becomes_garbage_while_in_use_is_a_fault_and_not_an_error(tmp_path: Path) -> None:
    bodies = list(CLIENTS["claude code"](1, TURNS, paying()))
    where = tmp_path / "decisions.db"
    async with scripted_origin() as origin, edge_to(origin.url, store=where) as proxy:
        session = Session(origin)
        await session.turns(proxy.port, bodies[:4])
        # In place: a file that is cut short under a mapping of it kills whoever looks, with any user of SQLite.
        for path in (where, where.with_name(where.name + "-wal")):
            size = path.stat().st_size
            with path.open("r+b") as stream:
                stream.write(b"\x00garbage" * (size // 8))
        await session.turns(proxy.port, bodies[4:])
        # What memory holds is replayed whatever has become of the file.
        assert session.report.sound, session.report


async def test_a_file_that_may_not_be_written_is_a_fault_and_not_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bodies = list(CLIENTS["sdk, marker"](1, 6, paying()))
    where = tmp_path / "decisions.db"
    connect = sqlite3.connect
    async with scripted_origin() as origin:
        session = Session(origin)
        async with edge_to(origin.url, store=where) as proxy:
            await session.turns(proxy.port, bodies[:1])
        # Root may write everywhere: a file that is opened for reading stands for one that cannot be written.
        monkeypatch.setattr(sqlite3, "connect", lambda path, **more: connect(f"file:{path}?mode=ro", uri=True, **more))
        async with edge_to(origin.url, store=where) as proxy:
            for body in bodies[1:4]:
                assert await session.turn(proxy.port, body) == body
                assert session.note == b"store_down"
        monkeypatch.undo()
        async with edge_to(origin.url, store=where) as proxy:
            await session.turns(proxy.port, bodies[4:])
        assert session.report.sound, session.report
        assert session.report.changed
