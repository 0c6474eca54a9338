"""A client that changes what stands before its conversation is told so, with what it changes; nothing is done to it."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from headroom.edge import Edge
from tests.support.embedded import edge_to
from tests.support.loops import chat_loop, claude_code_loop, codex_loop, gemini_loop, opencode_loop, sdk_loop
from tests.support.outputs import mixed
from tests.support.raw_client import ask
from tests.support.raw_wire import eventually
from tests.support.sessions import Session, scripted_origin

V4 = "550e8400-e29b-41d4-a716-446655440000"
STAMP = "2026-07-01T12:34:56"
RESULTS = mixed(3, 22, 400, 6_000)
KINDS = ("volatile_content_detected", "cache_drift_first_request", "cache_drift_observed")


def dump(body: object) -> bytes:
    return json.dumps(body).encode()


def messages(*texts: str, system: object = "Be brief.", tools: object = (), **more: object) -> bytes:
    """A conversation of these texts, the user's and the model's in turn."""
    items = [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(texts)]
    return dump({"model": "m", "max_tokens": 9, "system": system, "tools": tools, "messages": items, **more})


def chat(*texts: str, system: str = "Be brief.") -> bytes:
    """The same without a field for instructions."""
    items = [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(texts)]
    return dump({"model": "gpt-5", "messages": [{"role": "system", "content": system}, *items]})


def told(log: Path, *names: str) -> list[dict[str, Any]]:
    """The log's lines of these events."""
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    return [row for row in rows if row["event"] in (names or KINDS)]


async def stats(proxy: Edge) -> dict[str, Any]:
    answer = await ask(proxy.port, b"GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n")
    loaded: dict[str, Any] = json.loads(answer.body)
    return loaded


async def play(log: Path, *bodies: bytes, fields: tuple[bytes, ...] = (), **settings: object) -> dict[str, Any]:
    """Send bodies in turn; each is checked to have gone as it came. The statistics at the end."""
    options = {"log_level": "debug", "log_file": log, **settings}
    async with scripted_origin() as origin, edge_to(origin.url, **options) as proxy:
        session = Session(origin)
        await session.turns(proxy.port, bodies, *fields)
        for came, went in zip(session.sent, session.received, strict=True):
            assert hashlib.sha256(came).digest() == hashlib.sha256(went).digest()
        await eventually(lambda: not proxy.active)
        return await stats(proxy)


async def test_a_first_request_is_told_quietly_and_a_growing_one_not_at_all(tmp_path: Path) -> None:
    log = tmp_path / "log"
    shown = await play(log, messages("a"), messages("a", "b", "c"), messages("a", "b", "c", "d", "e"))
    (first,) = told(log)
    assert (first["event"], first["level"]) == ("cache_drift_first_request", "debug")
    assert len(first["conversation"]) == len(first["current"]) == 16
    assert shown["drift"] == {"system": 0, "tools": 0, "early_messages": 0}


@pytest.mark.parametrize(
    ("now", "dims"),
    [
        (messages("a", "b", "c", system="Be long."), "system"),
        (messages("a", "b", "c", tools=[{"name": "x"}]), "tools"),
        (messages("a", "B", "c"), "early_messages"),
        (messages("a", "B", "c", system="Be long.", tools=[{"name": "x"}]), "system,tools,early_messages"),
    ],
)
async def test_a_change_is_told_by_what_has_changed(tmp_path: Path, now: bytes, dims: str) -> None:
    log = tmp_path / "log"
    shown = await play(log, messages("a", "b", "c"), now, now)
    first, observed = told(log)
    assert (observed["event"], observed["level"]) == ("cache_drift_observed", "warning")
    assert observed["dims"] == dims
    assert observed["conversation"] == first["conversation"]
    assert observed["previous"] == first["current"] != observed["current"]
    assert shown["drift"] == {dim: int(dim in dims) for dim in ("system", "tools", "early_messages")}


async def test_a_system_message_is_instructions_and_none_of_the_early_messages(tmp_path: Path) -> None:
    log = tmp_path / "log"
    await play(log, chat("a", "b", "c"), chat("a", "b", "c", system="Be long."))
    assert [row["dims"] for row in told(log, "cache_drift_observed")] == ["system"]


async def test_a_marker_that_moves_is_no_drift(tmp_path: Path) -> None:
    log = tmp_path / "log"
    marker = {"cache_control": {"type": "ephemeral"}}
    text = {"type": "text", "text": "Be brief."}
    tool = {"name": "x", "input_schema": {}}
    bodies = [
        messages("a", system=[{**text, **marker}], tools=[tool]),
        messages("a", "b", "c", system=[text], tools=[{**tool, **marker}]),
        messages("a", "b", "c", system=[{**text, **marker}], tools=[tool]),
    ]
    await play(log, *bodies)
    assert told(log, "cache_drift_observed") == []


async def test_two_conversations_in_turn_on_one_key_do_not_drift(tmp_path: Path) -> None:
    """Which would be so if the key named the conversation."""
    log = tmp_path / "log"
    one = [messages(*"abcdefg"[: 2 * n + 1], system="One.", tools=[{"name": "x"}]) for n in range(3)]
    two = [messages(*"ABCDEFG"[: 2 * n + 1], system="Two.", tools=[{"name": "y"}]) for n in range(3)]
    shown = await play(log, *(body for pair in zip(one, two, strict=True) for body in pair))
    assert [row["event"] for row in told(log)] == ["cache_drift_first_request"] * 2
    assert sum(shown["drift"].values()) == 0


async def test_two_conversations_at_the_same_time_on_one_key_do_not_drift(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with scripted_origin() as origin, edge_to(origin.url, log_level="debug", log_file=log) as proxy:

        async def converse(name: str) -> None:
            for n in range(1, 6, 2):
                body = messages(*[f"{name}{at}" for at in range(n)], system=name)
                request = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nx-api-key: k\r\nContent-Length: %d\r\n\r\n" % len(
                    body
                )
                assert (await ask(proxy.port, request + body)).status == 200

        await asyncio.gather(*(converse(name) for name in ("one", "two", "three")))
        await eventually(lambda: not proxy.active)
    assert [row["event"] for row in told(log)] == ["cache_drift_first_request"] * 3


async def test_runs_of_one_program_that_open_alike_do_not_drift_from_one_another(tmp_path: Path) -> None:
    """Once each may be taken for another that has changed; from then on each is known by its own answers."""
    log = tmp_path / "log"
    runs = [
        [messages(*[f"{at}" if at < 1 else f"{run}{at}" for at in range(n)]) for n in range(1, 14, 2)] for run in "abc"
    ]
    bodies = [body for turn in zip(*runs, strict=True) for body in turn]
    shown = await play(log, *bodies)
    assert shown["drift"]["early_messages"] <= 2
    assert shown["prefix"] == {"new": 1, "same": 18, "client": 2, "proxy": 0}
    assert len(told(log, "cache_drift_observed")) == shown["drift"]["early_messages"]


@pytest.mark.parametrize(
    "loop",
    [claude_code_loop, opencode_loop, gemini_loop, codex_loop, chat_loop, sdk_loop],
    ids=lambda loop: loop.__name__,
)
async def test_a_real_loop_does_not_drift(tmp_path: Path, loop: Any) -> None:
    log = tmp_path / "log"
    async with scripted_origin() as origin, edge_to(origin.url, log_level="debug", log_file=log) as proxy:
        session = Session(origin)
        await session.turns(proxy.port, loop(2, 5, RESULTS))
        await eventually(lambda: not proxy.active)
    assert [row["event"] for row in told(log, *KINDS[1:])] == ["cache_drift_first_request"]


# --- volatile content ------------------------------------------------------------------------------

SYSTEMS: Mapping[str, tuple[bytes, str]] = {
    "messages": (messages("a", system=[{"type": "text", "text": f"Now {STAMP}"}]), "system[0].text"),
    "chat": (chat("a", system=f"Now {STAMP}"), "messages[0].content"),
    "responses": (
        dump({"model": "m", "instructions": STAMP, "input": [{"role": "user", "content": "a"}]}),
        "instructions",
    ),
    "gemini": (
        dump(
            {
                "systemInstruction": {"parts": [{"text": STAMP}]},
                "contents": [{"role": "user", "parts": [{"text": "a"}]}],
            }
        ),
        "systemInstruction.parts[0].text",
    ),
}


@pytest.mark.parametrize("name", SYSTEMS)
async def test_what_changes_is_told_with_its_place(tmp_path: Path, name: str) -> None:
    body, location = SYSTEMS[name]
    log = tmp_path / "log"
    shown = await play(log, body)
    (row,) = told(log, "volatile_content_detected")
    assert row["level"] == "warning"
    assert (row["kind"], row["location"], row["sample"]) == ("iso8601_timestamp", location, "2026-07-...6")
    assert row["id"] == told(log, "request")[0]["id"]
    assert shown["volatile"]["kinds"]["iso8601_timestamp"] == 1
    assert shown["volatile"]["last"] == [{"kind": "iso8601_timestamp", "location": location, "sample": "2026-07-...6"}]


async def test_it_is_told_once_in_a_conversation_and_named_when_it_has_changed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    bodies = [messages(*"abcdefg"[: 2 * n + 1], system=f"At {STAMP[:-1]}{n}, in {V4}") for n in range(3)]
    shown = await play(log, *bodies)
    assert [row["kind"] for row in told(log, KINDS[0])] == ["iso8601_timestamp", "uuid_v4"]
    second, third = told(log, "cache_drift_observed")
    # The second request is searched because it drifts, and then it is known which of the two changes.
    assert second["volatile"] == ["iso8601_timestamp system"]
    assert third["volatile"] == ["iso8601_timestamp system", "uuid_v4 system"]
    assert shown["drift"]["system"] == 2


async def test_no_value_is_in_the_log_or_in_the_statistics(tmp_path: Path) -> None:
    log = tmp_path / "log"
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJlc2lnbmF0dXJl"
    values = [V4, STAMP, token, "d41d8cd98f00b204e9800998ecf8427e", "my-own-session"]
    tools = [{"name": "x", "description": V4, "input_schema": {"session_id": values[4], V4: {"title": STAMP}}}]
    shown = await play(log, messages("a", system=" ".join(values), tools=tools))
    assert len(told(log, KINDS[0])) == 7
    everything = log.read_text() + json.dumps(shown)
    assert not [value for value in values if value in everything]
    assert not [part for part in token.split(".") if part in everything or part[:8] in everything]


async def test_results_of_tools_are_full_of_timestamps_and_are_let_be(tmp_path: Path) -> None:
    log = tmp_path / "log"
    lines = "\n".join(f"{STAMP} INFO {V4} request_id=7" for _ in range(3))
    call = {
        "role": "assistant",
        "content": [{"type": "tool_use", "id": "t1", "name": "sh", "input": {"trace_id": "x"}}],
    }
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": lines}]}
    items = [{"role": "user", "content": f"What happened at {STAMP}?"}, call, result]
    await play(log, *(dump({"model": "m", "system": "Be brief.", "messages": items[:end]}) for end in (1, 3)))
    assert not told(log, KINDS[0])


async def test_what_the_user_said_before_is_searched_at_the_sixteenth_request(tmp_path: Path) -> None:
    log = tmp_path / "log"
    first, later = messages(f"At {STAMP}"), messages(f"At {STAMP}", "b", "c")
    await play(log, first, *[later] * 15)
    assert not told(log, KINDS[0])
    log.unlink()
    await play(log, first, *[later] * 16)
    assert [row["location"] for row in told(log, KINDS[0])] == ["messages[0].content"]


async def test_it_can_be_switched_off_and_drift_is_still_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    bodies = [messages("a", system=f"Now {STAMP[:-1]}{n}") for n in range(2)]
    shown = await play(log, *bodies, volatile_content="disabled")
    assert told(log, KINDS[0]) == [] and shown["volatile"]["last"] == []
    assert [row["dims"] for row in told(log, "cache_drift_observed")] == ["system"]
    assert "volatile" not in told(log, "cache_drift_observed")[0]


@pytest.mark.parametrize("body", [b"no json", b'{"model":"m","messages":"no list"}', b"{}"])
async def test_a_body_of_another_shape_is_passed_on_and_told_nothing(tmp_path: Path, body: bytes) -> None:
    log = tmp_path / "log"
    async with scripted_origin() as origin, edge_to(origin.url, log_level="debug", log_file=log) as proxy:
        request = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nx-api-key: k\r\nContent-Length: %d\r\n\r\n" % len(body)
        await ask(proxy.port, request + body)
        assert origin.requests[-1].body == body
        await eventually(lambda: not proxy.active)
    assert told(log) == []


async def test_the_counters_are_scraped_from_the_start() -> None:
    async with scripted_origin() as origin, edge_to(origin.url) as proxy:
        text = (await ask(proxy.port, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")).body.decode()
        assert 'headroom_prefix_drift_total{dim="early_messages"} 0.0' in text
        assert 'headroom_volatile_content_total{kind="jwt"} 0.0' in text


async def test_a_fault_of_the_search_costs_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError(STAMP)

    monkeypatch.setattr("headroom.shrink.volatile", broken)
    log = tmp_path / "log"
    await play(log, messages("a", system=STAMP), messages("a", "b", "c", system=STAMP))
    assert [row["event"] for row in told(log)] == ["cache_drift_first_request"]
    (fault,) = told(log, "shrink_failed")
    assert (fault["error"], fault["place"].partition(":")[0]) == ("RuntimeError", "test_drift.py")
    assert STAMP not in log.read_text()
    assert [row["outcome"] for row in told(log, "request")] == ["complete"] * 2


async def test_findings_in_many_conversations_are_shown_within_bounds(tmp_path: Path) -> None:
    bodies = [messages(f"a{n}", system=[{"type": "text", "text": f"At {n % 10}{STAMP[1:]}"}] * 9) for n in range(6)]
    shown = await play(tmp_path / "log", *bodies)
    assert len(shown["volatile"]["last"]) == 20
    assert shown["volatile"]["kinds"]["iso8601_timestamp"] == 54
    assert len({json.dumps(row) for row in shown["volatile"]["last"]}) == 20
