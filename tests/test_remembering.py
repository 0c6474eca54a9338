"""A model's memory through the proxy, with the real SDKs: what one conversation keeps, the next one is told."""

from __future__ import annotations

import json
import urllib.request
from asyncio import to_thread
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from headroom.edge import Edge
from headroom.faults import StoreDown
from headroom.memory import Scope
from headroom.store import MemoryStore, Name
from headroom.store_sqlite import SqliteStore
from tests.support.origin import Origin
from tests.support.retrieving import (
    TALKS,
    begun,
    bodies,
    certificates_read_once,  # noqa: F401 - used by every test here
    check_requests,
    edge,
    play,
    run,
    texts,
    tool_list,
    unseen,
    url_of,
)
from tests.support.script import Conversation, Script, ToolCall, Turn
from tests.support.tools import NAMES

BY_KIND = pytest.mark.parametrize("kind", TALKS)
STREAMED = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "plain"])
PROMPT = "Why is the database down? The log of the database says so."
KEPT = "The database is down when the log of the database is full."
HEAD = b"## Relevant Memories"


def remembering(origin: Origin, folder: Path, **settings: object) -> Edge:
    """A proxy with a memory in a file."""
    given: dict[str, object] = {"memory_mode": "auto_tail", "memory_project": "shop"}
    return edge(origin.url, **{**given, "memory_store": folder / "memory.sqlite", **settings})


def turns() -> list[Turn]:
    """The model keeps what it found, beside the client's tool and alone."""
    return [
        Turn("I look.", (run("log 0"),)),
        Turn("I keep that.", (run("ls"), ToolCall("memory_save", {"content": KEPT}))),
        Turn("What is known?", (ToolCall("memory_search", {"query": "database log"}),)),
        Turn("", (ToolCall("memory_list", {}), ToolCall("memory_delete", {"memory_id": "m_none"}))),
        Turn("Done: the database is down."),
    ]


@STREAMED
@BY_KIND
async def test_what_a_model_keeps_is_found_in_the_same_answer_and_told_in_the_next_conversation(
    kind: str, stream: bool, tmp_path: Path
) -> None:
    async with Origin(Script.single(turns())) as origin, remembering(origin, tmp_path) as proxy:
        async with begun(kind, prompt=PROMPT) as talk:
            await play(talk, url_of(proxy), stream=stream)
            unseen(talk)
        first = bodies(origin)
        check_requests(first)
        assert not any(HEAD in body for body in first)
        assert all(name in tool_list(body) for body in first for name in NAMES)
        given = [text for text in texts(first[-1]) if text.startswith("{")]
        saved, found, listed, gone = (json.loads(text) for text in given[-4:])
        assert saved["status"] == "saved"
        assert found["memories"][0]["content"] == listed["memories"][0]["content"] == KEPT
        assert "error" in gone
        origin.requests.clear()
        async with begun(kind, prompt=PROMPT + " Again.") as talk:
            await play(talk, url_of(proxy), stream=stream)
            unseen(talk)
        second = bodies(origin)
        check_requests(second)
        assert all(body.count(HEAD) == 1 and body.count(saved["memory_id"].encode()) >= 1 for body in second)


@BY_KIND
async def test_in_the_tool_mode_only_the_tools_are_added(kind: str, tmp_path: Path) -> None:
    async with Origin(Script.single(turns())) as origin, remembering(origin, tmp_path, memory_mode="tool") as proxy:
        for again in ("", " Again."):
            async with begun(kind, prompt=PROMPT + again) as talk:
                await play(talk, url_of(proxy), stream=True)
                unseen(talk)
        assert not any(HEAD in body for body in bodies(origin))
        assert all(name in tool_list(body) for body in bodies(origin) for name in NAMES)


async def test_health_tells_whether_there_is_a_memory(tmp_path: Path) -> None:
    async with Origin(Script()) as origin, remembering(origin, tmp_path) as proxy, edge(origin.url) as without:
        for one, enabled in ((proxy, True), (without, False)):
            assert json.loads(await to_thread(_health, url_of(one)))["checks"]["memory"]["enabled"] is enabled


def _health(url: str) -> bytes:
    with urllib.request.urlopen(f"{url}/health", timeout=10) as answer:
        return bytes(answer.read())


KEYS = {
    "blocks": "sk-ant-api03-{}",
    "deltas": "sk-proj-{}",
    "items": "sk-proj-{}",
    "parts": "AIza-{}",
}


@BY_KIND
async def test_what_one_user_was_answered_is_never_put_into_anothers_conversation_that_goes_alike(
    kind: str, tmp_path: Path
) -> None:
    keeping = (Turn("", (ToolCall("memory_save", {"content": KEPT}),)), Turn("Kept."))
    asking = (Turn("", (ToolCall("memory_search", {"query": "database log"}),)), Turn("Well."), Turn("Done."))
    script = Script((Conversation(keeping, "Keep that"), Conversation(asking)))
    async with Origin(script) as origin, remembering(origin, tmp_path, memory_user="") as proxy:
        async with begun(kind, prompt="Keep that.", key=KEYS[kind].format("ada")) as talk:
            await play(talk, url_of(proxy), stream=True)
        for user in ("ada", "bob"):
            origin.requests.clear()
            async with begun(kind, prompt="What is it?", key=KEYS[kind].format(user)) as talk:
                await play(talk, url_of(proxy), stream=True)
                talk.tell("Go on.")
                await play(talk, url_of(proxy), stream=True)
            check_requests(bodies(origin))
            assert any(KEPT in text for text in texts(bodies(origin)[-1])) is (user == "ada")


@pytest.mark.parametrize("scope", ["project", "user", "global"])
async def test_a_caller_whose_name_cannot_be_used_keeps_nothing_for_everybody(scope: str, tmp_path: Path) -> None:
    """The second opens as the first does, so its conversation has the tools that were given to the first."""
    keeping = Script.single([Turn("", (ToolCall("memory_save", {"content": KEPT}),)), Turn("Kept.")])
    async with Origin(keeping) as origin, remembering(origin, tmp_path, memory_user="", memory_scope=scope) as proxy:
        for user in ("ada", "b" * 80):
            named = {"x-headroom-user": user, "x-headroom-project": "shop"}
            key = KEYS["blocks"].format("team")
            async with anthropic.AsyncAnthropic(
                api_key=key, max_retries=0, base_url=url_of(proxy), default_headers=named
            ) as sdk:
                await sdk.messages.create(
                    model="claude-sonnet-5",
                    max_tokens=100,
                    messages=[{"role": "user", "content": "Keep that."}],
                    tools=[{"name": "Bash", "input_schema": {"type": "object"}}],
                )
        assert proxy.remembering is not None
        (kept,) = await proxy.remembering.memories.list(Scope("shop", "ada", "global"), None)
        assert kept.user == "ada"
        assert "whose memory" in texts(bodies(origin)[-1])[0]


async def test_a_turn_of_which_a_part_is_hidden_is_known_again_though_another_dialect_said_the_same_words(
    tmp_path: Path,
) -> None:
    """Both clients keep what they are told as a text of their own spelling."""
    said, asking = Turn("Done."), Turn("", (ToolCall("memory_search", {"query": "database log"}),))
    script = Script((Conversation((said,), "First"), Conversation((asking, said, Turn("Fine.")))))
    answered = {"role": "assistant", "content": "Done."}
    async with Origin(script) as origin, remembering(origin, tmp_path) as proxy:
        url = url_of(proxy)
        async with (
            anthropic.AsyncAnthropic(api_key=KEYS["blocks"].format("a"), max_retries=0, base_url=url) as blocks,
            openai.AsyncOpenAI(api_key=KEYS["deltas"].format("a"), max_retries=0, base_url=url + "/v1") as deltas,
        ):
            history: list[Any] = [{"role": "user", "content": "First"}, answered, {"role": "user", "content": "And?"}]
            for known in (history[:1], history):
                bash: Any = {"name": "Bash", "input_schema": {"type": "object"}}
                await blocks.messages.create(model="claude-sonnet-5", max_tokens=9, messages=known, tools=[bash])
            origin.requests.clear()
            history[0] = {"role": "user", "content": "Second"}
            for known in (history[:1], history):
                bash = {"type": "function", "function": {"name": "Bash", "parameters": {"type": "object"}}}
                await deltas.chat.completions.create(model="gpt-5.1", messages=known, tools=[bash])
        check_requests(bodies(origin))


@BY_KIND
async def test_what_was_hidden_and_offered_before_the_store_went_down_stays_while_it_is(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(store: MemoryStore, names: Sequence[Name]) -> dict[Name, bytes]:
        raise StoreDown("gone")

    asking = ToolCall("memory_search", {"query": "database log"})
    said = [Turn("", (asking,)), *(Turn(f"Well, that is answer {number}.") for number in range(5))]
    async with Origin(Script.single(said)) as origin, remembering(origin, tmp_path) as proxy, begun(kind) as talk:
        for number in range(5):
            if number == 2:
                monkeypatch.setattr(MemoryStore, "get", failing)
            if number == 4:
                monkeypatch.undo()
            await talk.ask(url_of(proxy), stream=True)
            talk.tell(f"And {number}?")
        check_requests(bodies(origin))


async def test_tools_that_were_offered_stay_while_the_store_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The conversation began before there was a memory, so whether it has those tools is asked every time."""

    async def failing(store: SqliteStore, names: Sequence[Name]) -> dict[Name, bytes]:
        raise StoreDown("gone")

    store: dict[str, object] = {"store": tmp_path / "decisions.db"}
    async with Origin(Script()) as origin, begun("blocks") as talk:
        async with edge(origin.url, **store) as proxy:
            await talk.ask(url_of(proxy), stream=True)
        async with remembering(origin, tmp_path, **store) as proxy:
            for _ in range(3):
                talk.tell("And?")
                await talk.ask(url_of(proxy), stream=True)
                monkeypatch.setattr(SqliteStore, "get", failing)
        assert "headroom_retrieve" in tool_list(bodies(origin)[0])
        check_requests(bodies(origin))


@pytest.mark.parametrize(
    "settings",
    [
        {"memory_scope": "user"},
        {"memory_scope": "global"},
        {"memory_mode": "tool"},
        {"memory_injection_mode": "disabled"},
    ],
)
@BY_KIND
async def test_what_was_told_and_hidden_stays_under_another_scope_or_mode(
    kind: str, settings: dict[str, object], tmp_path: Path
) -> None:
    asking = ToolCall("memory_search", {"query": "database log"})
    store: dict[str, object] = {"store": tmp_path / "decisions.db"}
    script = Script.single([Turn("", (asking,)), Turn("Well."), Turn("Good."), Turn("Fine.")])
    async with Origin(script) as origin, begun(kind, prompt=PROMPT) as talk:
        for given in ({}, settings, {}):
            async with remembering(origin, tmp_path, **store, **given) as proxy:
                assert proxy.remembering is not None
                await proxy.remembering.memories.save(Scope("shop", "", "project"), KEPT)
                await talk.ask(url_of(proxy), stream=True)
                talk.tell("And?")
        assert bodies(origin)[0].count(HEAD) == 1
        check_requests(bodies(origin))


@BY_KIND
async def test_a_turn_that_was_sent_with_nothing_hidden_stays_so_when_another_like_it_hides_something(
    kind: str, tmp_path: Path
) -> None:
    """Without a session, two conversations of one caller that open and are answered alike have one name."""
    asking = ToolCall("memory_search", {"query": "database log"})
    plain, hiding = [Turn("OK."), Turn("Good."), Turn("Fine.")], [Turn("", (asking,)), Turn("OK.")]
    async with Origin(Script.single(plain)) as origin, remembering(origin, tmp_path) as proxy, begun(kind) as one:
        for number in range(3):
            await one.ask(url_of(proxy), stream=True)
            one.tell(f"And {number}?")
            if number == 1:
                sent, origin.script = bodies(origin), Script.single(hiding)
                async with begun(kind) as other:
                    await other.ask(url_of(proxy), stream=True)
                origin.script = Script.single(plain)
        check_requests([*sent, bodies(origin)[-1]])
