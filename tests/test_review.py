"""Faults found by review. Each test fails on the code that it was written against: take the mark off with the fix."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from headroom.faults import StoreDown
from headroom.ledger import Decision, Ledger, Pressing
from headroom.store import SPACE_DECISION, MemoryStore, Name
from headroom.zones.forms import Style
from headroom.zones.hints import Hints
from headroom.zones.press import Floors, Verdict, press
from headroom.zones.yardstick import Characters, Yardstick, o200k
from tests.support.embedded import edge_to
from tests.support.loops import claude_code_loop, sdk_loop
from tests.support.origin import Origin
from tests.support.outputs import ToolOutput, invented
from tests.support.raw_client import connect, read_answer
from tests.support.raw_wire import LIMIT
from tests.support.request_shape import parse, result_texts
from tests.support.sessions import Session, scripted_origin

PAYING = ("json_uniform", "search", "json_nested", "json_ragged", "package_lock", "json_uniform", "search")
TURNS = 9


def outputs(size: int = 9_000) -> list[ToolOutput]:
    """Results that can be pressed, each of its own."""
    return [invented(kind, at, size) for at, kind in enumerate(PAYING * 2)]


HURRIED: dict[str, object] = {
    "press_deadline": 0,
    "press_deadline_per_kib": 0,
    "press_deadline_limit": 0,
    "inline_bytes": 0,
}


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    """The provider."""
    async with scripted_origin() as behind:
        yield behind


def texts(body: bytes) -> list[str]:
    """The tool result texts of a body."""
    return [found.text for found in result_texts("anthropic", parse(body))]


def with_result(text: str, at: int = 3) -> list[ToolOutput]:
    """Paying results, the one at `at` with `text`."""
    made = outputs()
    made[at] = replace(made[at], text=text)
    return made


# --- one bad text costs the whole request its replays ---------------------------------------------


async def test_a_deeply_nested_result_does_not_change_history(origin: Origin) -> None:
    deep = '[{"a":  ' * 300 + "1" + "}]" * 300
    async with edge_to(origin.url) as proxy:
        session = Session(origin)
        await session.turns(proxy.port, sdk_loop(1, TURNS, with_result(deep), marker="last", bulk=0.2))
    assert session.report.sound, session.report


@pytest.mark.parametrize("depth", [200, 300, 400])
def test_pressing_never_raises_for_nested_json(depth: int) -> None:
    press('[{"a":  ' * depth + "1" + "}]" * depth + " " * 1200, Floors(), Characters())


async def test_a_long_run_of_blanks_is_answered(origin: Origin) -> None:
    text = json.dumps([{"a": " " * 1_000_000 if row == 0 else "b", "b": row} for row in range(3)], indent=2)
    body = list(sdk_loop(1, 2, [replace(invented("json_uniform", 1, 2_000), text=text)], bulk=0.2))[1]
    async with edge_to(origin.url, token_yardstick="o200k") as proxy, await connect(proxy.port) as client:
        head = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
        await client.send(head + body)
        assert (await read_answer(client)).status == 200


def test_counting_tokens_never_panics() -> None:
    assert o200k().count(" " * 1_000_000) > 0


# --- memory is asked after it may have forgotten --------------------------------------------------


@pytest.mark.parametrize("cache", [0, 4096, 20_000])
async def test_a_small_replay_cache_costs_reads_and_not_replays(origin: Origin, cache: int) -> None:
    async with edge_to(origin.url, replay_cache=cache) as proxy:
        session = Session(origin)
        await session.turns(proxy.port, claude_code_loop(1, TURNS, outputs(), bulk=0.2))
    assert session.report.sound, session.report
    assert session.report.changed > 5


async def test_the_size_of_the_replay_cache_is_the_size_of_what_is_in_it() -> None:
    ledger = Ledger(MemoryStore(3600.0), 1 << 20, 1.0)
    decision = Decision(b'"short"', 10, 1, "json")
    for number in range(20_000):
        key = b"%d" % number
        await ledger.recall([key], [])
        await ledger.record([Pressing(key, b"t" + key, decision)])
    assert len(ledger.known([b"%d" % number for number in range(15_000, 20_000)])) == 5_000


# --- a slot that was sent whole is decided later --------------------------------------------------


async def test_setting_up_a_retry(origin: Origin) -> None:
    """What the next two rely on: without a fault in between, a retry is stable."""
    bodies = list(claude_code_loop(1, 4, outputs(), bulk=0.2))
    async with edge_to(origin.url) as proxy:
        session = Session(origin)
        await session.turns(proxy.port, [*bodies, bodies[-1]])
    assert session.report.sound


async def test_a_turn_that_was_sent_whole_is_sent_whole_again_when_the_store_is_back(
    origin: Origin, tmp_path: Path
) -> None:
    bodies = list(claude_code_loop(1, 4, outputs(), bulk=0.2))
    where = tmp_path / "decisions.db"
    where.mkdir()
    async with edge_to(origin.url, store=where) as proxy:
        session = Session(origin)
        await session.turns(proxy.port, bodies[:3])
        where.rmdir()
        await session.turns(proxy.port, bodies[2:])
    assert session.report.sound, session.report


async def test_a_worker_that_was_late_learns_what_another_has_decided(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()

    def held(text: str, floors: Floors, yardstick: Yardstick, style: Style, hints: Hints | None) -> Verdict:
        gate.wait(LIMIT)
        return press(text, floors, yardstick, style, hints=hints)

    bodies = list(claude_code_loop(1, 4, outputs(40_000), bulk=0.2))
    where = tmp_path / "decisions.db"
    async with edge_to(origin.url, store=where, **HURRIED) as late, edge_to(origin.url, store=where) as other:
        session = Session(origin)
        await session.turns(other.port, bodies[:2])
        # The late worker's attempt has come to nothing; the client tries again and gets the other one.
        attempt = Session(origin)
        with monkeypatch.context() as patch:
            patch.setattr("headroom.shrink.press", held)
            assert await attempt.turn(late.port, bodies[2]) != bodies[2]
            assert attempt.note == b"press_late"
            gate.set()
        await session.turn(other.port, bodies[2])
        await session.turn(late.port, bodies[3])
    assert session.report.sound, session.report


async def test_an_absence_of_a_fresh_slot_is_not_kept() -> None:
    store = MemoryStore(3600.0)
    one, two = Ledger(store, 1 << 20, 1.0), Ledger(store, 1 << 20, 1.0)
    decision = Decision(b'"short"', 10, 1, "json")
    assert await one.recall([], [b"k"]) == {}
    await two.record([Pressing(b"k", b"t", decision)])
    assert await one.recall([b"k"], []) == {b"k": decision}


async def test_a_fork_does_not_change_what_the_first_conversation_was_given_whole(
    origin: Origin, tmp_path: Path
) -> None:
    asked = invented("json_uniform", 1, 9_000)
    again = [asked, invented("search", 2, 5_000), invented("search", 3, 5_000), invented("search", 4, 5_000), asked]
    bodies = list(sdk_loop(8, 8, again, marker="last", bulk=0.2))
    first = next(at for at, body in enumerate(bodies) if texts(body).count(asked.text) == 2)
    where = tmp_path / "decisions.db"
    session, fork = Session(origin), Session(origin)
    async with edge_to(origin.url, store=where) as proxy:
        await session.turns(proxy.port, bodies[: first + 1])
        await fork.turn(proxy.port, bodies[first], b"x-session-id: fork")
    async with edge_to(origin.url, store=where) as proxy:  # or another worker, or a memory that has forgotten
        await session.turns(proxy.port, bodies[first + 1 :])
    assert session.report.sound, session.report


# --- the store ------------------------------------------------------------------------------------


async def test_history_is_replayed_while_another_process_writes(origin: Origin, tmp_path: Path) -> None:
    bodies = list(claude_code_loop(1, 5, outputs(), bulk=0.2))
    where = tmp_path / "decisions.db"
    session = Session(origin)
    async with edge_to(origin.url, store=where) as proxy:
        await session.turns(proxy.port, bodies[:4])
    lock = sqlite3.connect(where, isolation_level=None)
    try:
        async with edge_to(origin.url, store=where) as proxy:
            lock.execute("BEGIN IMMEDIATE")
            await session.turn(proxy.port, bodies[4])
    finally:
        lock.close()
    assert session.report.sound, session.report


async def test_a_file_that_was_removed_is_made_anew(origin: Origin, tmp_path: Path) -> None:
    bodies = list(claude_code_loop(1, 6, outputs(), bulk=0.2))
    where = tmp_path / "decisions.db"
    session = Session(origin)
    async with edge_to(origin.url, store=where) as proxy:
        await session.turns(proxy.port, bodies[:2])
        for path in tmp_path.iterdir():
            path.unlink()
        await session.turns(proxy.port, bodies[2:4])
    changed = len(
        [1 for before, after in zip(texts(bodies[3]), texts(session.received[-1]), strict=True) if before != after]
    )
    async with edge_to(origin.url, store=where) as proxy:
        await session.turns(proxy.port, bodies[4:])
    assert changed > 1
    # What was decided before the file went is lost with it; what was decided after it is not.
    assert texts(session.received[-1])[1] == texts(session.received[3])[1]


class Slow(MemoryStore):
    """A store that keeps what it is given and is slow to say so."""

    def __init__(self) -> None:
        super().__init__(3600.0)
        self.gate = asyncio.Event()
        self.slow = False

    async def put(self, entries: Sequence[tuple[Name, bytes]]) -> dict[Name, bytes]:
        kept = await super().put(entries)
        if self.slow:
            await self.gate.wait()
        return kept


async def test_taking_back_a_late_write_leaves_other_workers_decisions() -> None:
    store = Slow()
    one, two = Ledger(store, 1 << 20, 1.0), Ledger(store, 1 << 20, 0.05)
    made = Pressing(b"k", b"t", Decision(b'"short"', 10, 1, "json"))
    await one.record([made])
    store.slow = True
    with pytest.raises(StoreDown):
        await two.record([made])
    await two.close()
    third = Ledger(store, 1 << 20, 1.0)
    assert await third.recall([b"k"], [])


async def test_what_is_replayed_does_not_expire() -> None:
    now = [0.0]
    store = MemoryStore(60.0, clock=lambda: now[0])
    ledger = Ledger(store, 1 << 20, 1.0, ttl=60.0)
    await ledger.record([Pressing(b"k", b"t", Decision(b'"short"', 10, 1, "json"))])
    for _ in range(6):
        now[0] += 20.0
        ledger.renew(ledger.due([(SPACE_DECISION, b"k")], now[0]))
        await asyncio.sleep(0)
    await ledger.close()
    fresh = Ledger(store, 1 << 20, 1.0)
    assert await fresh.recall([b"k"], [])


# --- who asks, and what is seen -------------------------------------------------------------------


async def test_a_renewed_credential_does_not_change_history(origin: Origin) -> None:
    pasted = invented("json_uniform", 1, 9_000).text
    bodies = [_typed(body, pasted) for body in sdk_loop(1, 5, outputs(), marker="last", bulk=0.2)]
    async with edge_to(origin.url) as proxy:
        session = Session(origin, key=b"first")
        await session.turns(proxy.port, bodies[:3])
        session.key = b"second"
        await session.turns(proxy.port, bodies[3:])
    assert len(session.received[0]) < len(session.sent[0])
    assert _user_text(session.received[-1]) == _user_text(session.received[0])


def _typed(body: bytes, text: str) -> bytes:
    request = json.loads(body)
    request["messages"][0]["content"] = [{"type": "text", "text": text}]
    return json.dumps(request, separators=(",", ":"), ensure_ascii=False).encode()


def _user_text(body: bytes) -> str:
    return str(json.loads(body)["messages"][0]["content"][0]["text"])


@pytest.mark.parametrize("seed", range(3))
def test_a_listing_with_context_is_a_listing(seed: int) -> None:
    text = invented("search_context", seed, 9_000).text
    assert press(text, Floors(), Characters()).form == "search"
