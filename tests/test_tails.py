"""What is remembered is appended to what the user says: once, and on every later turn the same."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from headroom.edge import Edge
from headroom.memory import Scope
from headroom.recollection import MEMORY_TOOLS
from headroom.zones.forms import Style
from headroom.zones.hints import Hints
from headroom.zones.press import Floors, Verdict, press
from headroom.zones.yardstick import Yardstick
from tests.support.cache_model import bill
from tests.support.embedded import edge_to
from tests.support.loops import transcript
from tests.support.origin import Origin
from tests.support.raw_client import ask, connect, read_answer
from tests.support.raw_wire import LIMIT
from tests.support.replay_check import PRICES, compare
from tests.support.request_shape import dialect_of, parse
from tests.support.sessions import Session, scripted_origin
from tests.test_replay import CLIENTS, TURNS, paying

HEAD = "## Relevant Memories"
TOOLS = tuple(tool.name for tool in MEMORY_TOOLS)
SHOP = Scope("shop", "ada", "project")


def remembering(origin: Origin, folder: Path, **settings: object) -> Edge:
    """A proxy with memories of one project and one user, in a file."""
    given = {"memory_mode": "auto_tail", "memory_project": "shop", "memory_user": "ada"}
    return edge_to(origin.url, memory_store=folder / "memory.sqlite", **{**given, **settings})


async def save(proxy: Edge, text: str, scope: Scope = SHOP) -> None:
    """Remember a text."""
    assert proxy.remembering is not None
    await proxy.remembering.memories.save(scope, text)


def said(body: bytes) -> list[str]:
    """The texts of the user's messages that are no tool results, in order."""
    request = parse(body)
    return list(_said(request.get("messages", request.get("input", request.get("contents")))))


def _said(items: object) -> Iterator[str]:
    assert isinstance(items, list)
    for item in items:
        if not isinstance(item, dict) or item.get("role", "user") != "user":
            continue
        content = item.get("content", item.get("parts"))
        for block in [content] if isinstance(content, str) else content or ():
            text = block if isinstance(block, str) else block.get("text")
            if isinstance(text, str):
                yield text


def tails(body: bytes) -> list[str]:
    """What was appended in a body, in order."""
    return [text[text.index(HEAD) :] for text in said(body) if HEAD in text]


def chat(*messages: tuple[str, str]) -> bytes:
    """A chat request."""
    told = [{"role": role, "content": text} for role, text in messages]
    return json.dumps({"model": "m", "messages": told}).encode()


BY_CLIENT = pytest.mark.parametrize("client", CLIENTS)


@BY_CLIENT
async def test_over_a_long_loop_nothing_changes_but_the_users_words_and_those_stay_as_they_were_sent(
    client: str, tmp_path: Path
) -> None:
    bodies = list(CLIENTS[client](5, TURNS, paying()))
    prompts = [transcript(5, TURNS, paying()).prompt, *(t.prompt for t in transcript(5, TURNS, paying()).turns)]
    async with scripted_origin() as origin, remembering(origin, tmp_path) as proxy:
        for prompt in filter(None, prompts):
            await save(proxy, f"{prompt} The staging database is on port 6543.")
        session = Session(origin)
        for number, body in enumerate(bodies):
            await session.turn(proxy.port, body)
            await save(proxy, f"Of turn {number}: {prompts[0]}")
        report = compare(session.sent, session.received, prompts=True, added_tools=TOOLS)
        assert report.sound, str(report)
        expected = [sum(map(bool, prompts[:number])) for number in range(1, TURNS + 1)]
        doubled = 2 if "doubled" in client else 1
        for received, count in zip(session.received, expected, strict=True):
            found = tails(received)
            assert count <= len(found) <= count * doubled
            assert all("port 6543" in tail for tail in found)
        assert proxy.board.total("headroom_prefix", "proxy") == 0


@BY_CLIENT
async def test_the_bill_is_not_above_that_of_a_client_with_the_same_text_in_its_own_prompt(
    client: str, tmp_path: Path
) -> None:
    bodies = list(CLIENTS[client](6, TURNS, paying(1)))
    prompt = transcript(6, TURNS, paying(1)).prompt
    async with scripted_origin() as origin, remembering(origin, tmp_path) as proxy:
        await save(proxy, f"{prompt} The staging database is on port 6543.")
        session = Session(origin)
        await session.turns(proxy.port, bodies)
        (tail, *_) = tails(session.received[0])
        own = [_with(body, prompt, prompt + "\n\n" + tail) for body in bodies]
        own = [_with_tools(body, received) for body, received in zip(own, session.received, strict=True)]
        report = compare(own, session.received, prompts=True)
        prices = PRICES[dialect_of(parse(bodies[0]))]
        assert bill(report.proxied, prices) <= bill(report.direct, prices) * 1.0001


def _with_tools(body: bytes, other: bytes) -> bytes:
    """A body with the tools of another."""
    request = {**json.loads(body), "tools": json.loads(other)["tools"]}
    return json.dumps(request, ensure_ascii=False).encode()


def _with(body: bytes, old: str, new: str) -> bytes:
    """A body in which the user says `new` in place of `old`."""
    for escaped in (False, True):
        spelled = json.dumps(old, ensure_ascii=escaped)[1:-1].encode()
        if spelled in body:
            return body.replace(spelled, json.dumps(new, ensure_ascii=escaped)[1:-1].encode(), 1)
    raise AssertionError("the prompt is not in the body")


async def test_a_request_that_is_sent_again_goes_as_it_went(tmp_path: Path) -> None:
    body = chat(("user", "Why does the checkout fail?"))
    async with scripted_origin() as origin, remembering(origin, tmp_path) as proxy:
        session = Session(origin)
        first = await session.turn(proxy.port, body)
        await save(proxy, "The checkout fails when the clock is wrong.")
        assert first == body
        assert await session.turn(proxy.port, body) == body
        other = await session.turn(proxy.port, chat(("user", "Why does the checkout fail now?")))
        assert "clock is wrong" in tails(other)[0]
        await save(proxy, "The checkout fails on Mondays.")
        assert await session.turn(proxy.port, chat(("user", "Why does the checkout fail now?"))) == other


async def test_another_process_with_the_same_stores_appends_the_same(tmp_path: Path) -> None:
    first = ("user", "Why does the checkout fail?")
    settings = {"store": tmp_path / "decisions.db"}
    async with scripted_origin() as origin:
        session = Session(origin)
        async with remembering(origin, tmp_path, **settings) as proxy:
            await save(proxy, "The checkout fails when the clock is wrong.")
            await session.turn(proxy.port, chat(first))
        async with remembering(origin, tmp_path, **settings) as proxy:
            await save(proxy, "The checkout fails on Mondays.")
            await session.turn(proxy.port, chat(first, ("assistant", "I look."), ("user", "Thanks.")))
        assert tails(session.received[0]) == tails(session.received[1])[:1]
        assert len(tails(session.received[0])) == 1


@pytest.mark.parametrize(
    ("theirs", "settings"),
    [
        (Scope("bakery", "ada", "project"), {}),
        (Scope("shop", "bob", "project"), {}),
        (Scope("shop", "bob", "user"), {"memory_scope": "user"}),
        (Scope("bakery", "bob", "global"), {"memory_scope": "global"}),
    ],
)
async def test_memories_of_another_project_or_user_are_never_seen(
    theirs: Scope, settings: dict[str, object], tmp_path: Path
) -> None:
    body = chat(("user", "Why does the checkout fail?"))
    async with scripted_origin() as origin, remembering(origin, tmp_path, **settings) as proxy:
        await save(proxy, "The checkout fails when the clock is wrong.", theirs)
        assert await Session(origin).turn(proxy.port, body) == body


@pytest.mark.parametrize("scope", ["project", "user", "global"])
async def test_two_keys_without_a_user_of_their_own_share_nothing(scope: str, tmp_path: Path) -> None:
    body = chat(("user", "Why does the checkout fail?"))
    settings = {"memory_user": "", "memory_scope": scope}
    async with scripted_origin() as origin, remembering(origin, tmp_path, **settings) as proxy:
        assert proxy.remembering is not None
        ada, bob = Session(origin, b"key of ada"), Session(origin, b"key of bob")
        later = chat(("user", "Hello"), ("assistant", "Yes?"), ("user", "Why does the checkout fail?"))
        await ada.turn(proxy.port, body)
        recall = proxy.remembering.recall("", "", _digest(b"key of ada"))
        assert recall is not None
        await save(proxy, "The checkout fails when the clock is wrong.", recall.scope)
        (told,) = tails(await ada.turn(proxy.port, later))
        assert recall.scope.user not in told
        assert tails(await bob.turn(proxy.port, later)) == []


def _digest(key: bytes, target: bytes = b"/v1/messages?beta=true") -> bytes:
    from headroom import conversation  # noqa: PLC0415 - beside its only use

    return conversation.caller({b"x-api-key": key} if key else {}, target)


async def test_two_keys_in_the_target_share_nothing(tmp_path: Path) -> None:
    contents = [{"role": "user", "parts": [{"text": "Why does the checkout fail?"}]}]
    body = json.dumps({"contents": contents}).encode()
    target = b"/v1beta/models/gemini-2.5-pro:generateContent?alt=json&key="
    async with scripted_origin() as origin, remembering(origin, tmp_path, memory_user="") as proxy:
        assert proxy.remembering is not None
        recall = proxy.remembering.recall("", "", _digest(b"", target + b"ada"))
        assert recall is not None
        await save(proxy, "The checkout fails when the clock is wrong.", recall.scope)
        for key, told in ((b"ada", 1), (b"bob", 0), (b"", 0)):
            head = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (target + key, len(body))
            async with await connect(proxy.port) as client:
                await client.send(head + body)
                await read_answer(client)
            assert len(tails(origin.requests[-1].body)) == told


async def test_projects_are_told_by_a_field_or_the_path_and_without_one_nothing_is_appended(tmp_path: Path) -> None:
    body = chat(("user", "Why does the checkout fail?"))
    async with scripted_origin() as origin, remembering(origin, tmp_path, memory_project="") as proxy:
        await save(proxy, "The checkout fails when the clock is wrong.")
        assert tails(await Session(origin).turn(proxy.port, body)) == []
        assert proxy.board.total("headroom_memory", "no_project") == 1
        named = await Session(origin).turn(proxy.port, body, b"x-headroom-project: shop")
        assert len(tails(named)) == 1
        assert tails(await Session(origin).turn(proxy.port, body, b"x-headroom-project: bakery")) == []


LOGINS = {
    "oauth": [b"authorization: Bearer sk-ant-oat01-x"],
    "subscription": [b"authorization: Bearer sk-ant-oat01-x", b"user-agent: claude-cli/2.1.0"],
}


@pytest.mark.parametrize("login", LOGINS)
async def test_logins_and_bypassed_requests_go_as_they_came(login: str, tmp_path: Path) -> None:
    body = chat(("user", "Why does the checkout fail?"))
    async with scripted_origin() as origin, remembering(origin, tmp_path) as proxy:
        await save(proxy, "The checkout fails when the clock is wrong.")
        assert await Session(origin, login=True).turn(proxy.port, body, *LOGINS[login]) == body
        assert await Session(origin).turn(proxy.port, body, b"x-headroom-bypass: true") == body


@pytest.mark.parametrize(
    ("settings", "why"),
    [({"memory_mode": "tool"}, "mode_tool"), ({"memory_injection_mode": "disabled"}, "mode_disabled")],
)
async def test_where_no_text_is_wanted_none_is_added_but_what_was_added_stays(
    settings: dict[str, object], why: str, tmp_path: Path
) -> None:
    first = ("user", "Why does the checkout fail?")
    store: dict[str, object] = {"store": tmp_path / "decisions.db"}
    async with scripted_origin() as origin:
        session = Session(origin)
        async with remembering(origin, tmp_path, **store) as proxy:
            await save(proxy, "The checkout fails when the clock is wrong.")
            await session.turn(proxy.port, chat(first))
        async with remembering(origin, tmp_path, **store, **settings) as proxy:
            body = chat(first, ("assistant", "I look."), ("user", "And why does the checkout fail now?"))
            await session.turn(proxy.port, body)
            assert proxy.board.total("headroom_memory", why) == 1
        assert tails(session.received[1]) == tails(session.received[0]) != []


async def test_words_that_are_pressed_keep_their_tail(tmp_path: Path) -> None:
    rows = json.dumps([{"id": n, "name": f"service-{n}", "state": "open"} for n in range(200)], indent=2)
    body = chat(("user", f"Which service fails at checkout?\n```json\n{rows}\n```\n"))
    async with scripted_origin() as origin, remembering(origin, tmp_path) as proxy:
        await save(proxy, "The checkout service is number 77.")
        session = Session(origin)
        received = await session.turn(proxy.port, body)
        assert len(received) < len(body) / 2
        assert "number 77" in tails(received)[0]
        later = await session.turn(proxy.port, body[:-2] + b', {"role": "assistant", "content": "77"}]}')
        assert said(later) == said(received)


async def test_a_memory_that_cannot_be_reached_costs_the_request_nothing(tmp_path: Path) -> None:
    body = chat(("user", "Why does the checkout fail?"))
    async with scripted_origin() as origin, remembering(origin, tmp_path) as proxy:
        await save(proxy, "The checkout fails when the clock is wrong.")
        assert proxy.remembering is not None
        await proxy.remembering.close()
        session = Session(origin)
        assert await session.turn(proxy.port, body) == body
        assert proxy.board.total("headroom_memory", "memory_down") == 1
        assert await session.turn(proxy.port, body) == body


async def test_health_says_why_a_memory_cannot_be_reached_until_it_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    body = chat(("user", "Why does the checkout fail?"))
    async with scripted_origin() as origin, remembering(origin, tmp_path / "file") as proxy:
        assert await Session(origin).turn(proxy.port, body) == body
        found = await memory_health(proxy)
        assert found["status"] == "down" and str(found["trouble"]).startswith("memory.sqlite: ")
        (tmp_path / "file").unlink()
        await Session(origin).turn(proxy.port, chat(("user", "Why does the login fail?")))
        found = await memory_health(proxy)
        assert (found["status"], found["trouble"]) == ("up", "")


async def memory_health(proxy: Edge) -> dict[str, object]:
    answer = await ask(proxy.port, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    checks: dict[str, dict[str, object]] = json.loads(answer.body)["checks"]
    return checks["memory"]


async def test_neither_log_nor_metrics_tell_what_is_remembered_or_asked(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    async with scripted_origin() as origin:
        async with remembering(origin, tmp_path, log_file=log, log_level="debug") as proxy:
            await save(proxy, "The checkout fails when the clock is wrong: zanzibar.")
            received = await Session(origin).turn(
                proxy.port, chat(("user", "Why does the checkout fail: kaleidoscope?"))
            )
            shown = proxy.board.exposition()
        assert "zanzibar" in tails(received)[0]
        told = log.read_bytes() + shown
        for word in (b"zanzibar", b"kaleidoscope", b"checkout"):
            assert word not in told
        (event,) = [json.loads(row) for row in log.read_bytes().splitlines() if b'"memory_injection"' in row]
        assert event["decision"] == "injected"
        assert event["bytes_injected"] > 0
        assert len(event["query_hash"]) == 16


async def test_what_went_without_a_tail_because_of_a_fault_goes_so_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()

    def held(text: str, floors: Floors, measure: Yardstick, style: Style, hints: Hints | None) -> Verdict:
        gate.wait(LIMIT)
        return press(text, floors, measure, style, hints=hints)

    monkeypatch.setattr("headroom.shrink.press", held)
    hurried = {"press_deadline": 0, "press_deadline_per_kib": 0, "press_deadline_limit": 0, "inline_bytes": 0}
    rows = json.dumps([{"id": n, "name": f"service-{n}", "state": "open"} for n in range(200)], indent=2)
    body = chat(("user", f"Which service fails at checkout?\n```json\n{rows}\n```\n"))
    async with scripted_origin() as origin, remembering(origin, tmp_path, **hurried) as proxy:
        await save(proxy, "The checkout service is number 77.")
        session = Session(origin)
        try:
            assert await session.turn(proxy.port, body) == body
            assert await session.turn(proxy.port, body) == body
        finally:
            gate.set()


async def test_a_name_that_cannot_be_used_is_not_taken_for_nobodys(tmp_path: Path) -> None:
    body = chat(("user", "Why does the checkout fail?"))
    async with scripted_origin() as origin, remembering(origin, tmp_path) as proxy:
        await save(proxy, "The checkout fails when the clock is wrong.")
        for name in (b"x-headroom-user: ", b"x-headroom-project: "):
            assert await Session(origin).turn(proxy.port, body, name + b"x" * 100) == body
        assert len(tails(await Session(origin).turn(proxy.port, body))) == 1


async def test_words_keep_their_tail_wherever_a_client_writes_its_marker(tmp_path: Path) -> None:
    def told(*more: object, marked: bool) -> bytes:
        first = {"cache_control": {"type": "ephemeral"}} if marked else {}
        parts = [{"type": "text", "text": "Hello."}, {**first, "type": "text", "text": "Why does the checkout fail?"}]
        messages = [{"role": "user", "content": parts}, *more]
        return json.dumps({"model": "m", "system": "Be brief.", "messages": messages}).encode()

    async with scripted_origin() as origin, remembering(origin, tmp_path) as proxy:
        await save(proxy, "The checkout fails when the clock is wrong.")
        session = Session(origin)
        first = tails(await session.turn(proxy.port, told(marked=True)))
        answered = ({"role": "assistant", "content": "I look."}, {"role": "user", "content": "Thanks."})
        assert tails(await session.turn(proxy.port, told(*answered, marked=False))) == first != []
