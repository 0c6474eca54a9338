"""Feature tokens: merged in the order in which they were first seen, and sent on in their conversation only."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.betas import Owner, StickyTokens, merge, split
from headroom.ledger import Ledger
from headroom.store import MemoryStore, Store
from tests.support.embedded import edge_to
from tests.support.loops import sdk_loop
from tests.support.outputs import invented
from tests.support.raw_wire import LIMIT
from tests.support.sessions import Session, scripted_origin

ONE, TWO = Owner(b"1" * 32), Owner(b"2" * 32)
FIELD = b"anthropic-beta"


def sticky(store: Store | None = None) -> StickyTokens:
    return StickyTokens(Ledger(store or MemoryStore(3600.0), 1 << 20, 1.0))


@pytest.mark.parametrize(
    ("client", "more", "merged"),
    [
        (b"A-1, b-2,a-1", b"B-2,c-3", b"A-1,b-2,c-3"),
        (b"", b"x", b"x"),
        (b"x", b"", b"x"),
        (b" , ,", b"", b""),
        (b"b,a", b"a,b", b"b,a"),
    ],
)
def test_tokens_keep_their_order_and_their_first_spelling(client: bytes, more: bytes, merged: bytes) -> None:
    assert merge(split(client), split(more)) == merged


async def send(tokens: StickyTokens, owner: Owner, value: bytes, field: bytes = FIELD) -> bytes:
    """Send a value that the provider takes."""
    sent = await tokens.of(owner, field, value)
    await tokens.keep(owner, field, sent)
    return sent


async def test_a_token_once_sent_is_sent_on_in_its_conversation() -> None:
    tokens = sticky()
    assert await send(tokens, ONE, b"a,b") == b"a,b"
    assert await send(tokens, ONE, b"c") == b"a,b,c"
    assert await send(tokens, ONE, b"B, a") == b"a,b,c"
    assert await send(tokens, TWO, b"c") == b"c"
    assert await send(tokens, ONE, b"z", b"openai-beta") == b"z"


async def test_a_token_that_the_provider_refused_is_not_sent_again() -> None:
    tokens = sticky()
    await send(tokens, ONE, b"a")
    assert await tokens.of(ONE, FIELD, b"wrong") == b"a,wrong"
    assert await send(tokens, ONE, b"b") == b"a,b"


async def test_what_is_already_as_it_was_is_the_very_object() -> None:
    tokens = sticky()
    value = b"a, b"
    assert await send(tokens, ONE, value) is value
    assert await send(tokens, ONE, value) is value


async def test_every_worker_sends_the_same() -> None:
    store = MemoryStore(3600.0)
    one, two = sticky(store), sticky(store)
    await asyncio.gather(send(one, ONE, b"a,b"), send(two, ONE, b"c"))
    assert await one.of(ONE, FIELD, b"a") == await two.of(ONE, FIELD, b"a")
    assert set(split(await one.of(ONE, FIELD, b"a"))) == {b"a", b"b", b"c"}


@given(st.lists(st.lists(st.sampled_from([b"a", b"b", b"C", b"c", b"d"]), max_size=5), max_size=8))
def test_no_token_ever_leaves_and_none_changes_its_place(requests: list[list[bytes]]) -> None:
    async def run() -> None:
        tokens = sticky()
        before: list[bytes] = []
        for given_ in requests:
            if not given_:
                continue
            sent = split(await send(tokens, ONE, b",".join(given_)))
            lowered = [token.lower() for token in sent]
            assert lowered[: len(before)] == before
            assert {token.lower() for token in given_} <= set(lowered)
            before = list(dict.fromkeys(lowered))

    asyncio.run(run())


@pytest.mark.parametrize(
    ("key", "setting", "second"),
    [
        (b"sk-ant-api03-x", "enabled", b"a,b"),
        (b"sk-ant-api03-x", "disabled", b"b"),
    ],
)
async def test_only_callers_who_pay_per_token_have_them_kept(key: bytes, setting: str, second: bytes) -> None:
    bodies = list(sdk_loop(1, 3, [invented("search", 1, 3_000)] * 3))
    async with scripted_origin() as origin, edge_to(origin.url, beta_header_sticky=setting) as proxy:
        session = Session(origin, key=key)
        await session.turn(proxy.port, bodies[0], b"anthropic-beta: a")
        await session.turn(proxy.port, bodies[1], b"anthropic-beta: b")
        fields = dict(origin.requests[-1].headers)
        assert {name.lower(): value for name, value in fields.items()}[FIELD] == second


async def test_a_login_sends_its_tokens_as_they_are() -> None:
    bodies = list(sdk_loop(1, 3, [invented("search", 1, 3_000)] * 3))
    async with scripted_origin() as origin, edge_to(origin.url) as proxy:
        session = Session(origin, login=True)
        who = b"authorization: Bearer sk-ant-oat01-x"
        for body, value in zip(bodies, (b"a", b"b"), strict=False):
            await session.turn(proxy.port, body, who, b"anthropic-beta: " + value)
            assert (b"anthropic-beta", value) in [(n.lower(), v) for n, v in origin.requests[-1].headers]


def prompt(*said: str, model: str = "claude-sonnet-5", system: str = "Be brief.") -> bytes:
    """A request without any session, in which user and model speak by turns."""
    messages = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(said)]
    return json.dumps({"model": model, "system": system, "messages": messages}).encode()


@asynccontextmanager
async def asked() -> AsyncIterator[Callable[..., Awaitable[bytes]]]:
    """Sends a prompt with feature tokens through a proxy; gives those that the origin got, once they are kept."""
    async with scripted_origin() as origin, edge_to(origin.url) as proxy:

        async def ask(body: bytes, tokens: bytes, *fields: bytes, key: bytes = b"sk-ant-api03-x") -> bytes:
            await Session(origin, key).turn(proxy.port, body, FIELD + b": " + tokens, *fields)
            async with asyncio.timeout(LIMIT):
                await asyncio.gather(*proxy.ledger._background)
            return {name.lower(): value for name, value in origin.requests[-1].headers}[FIELD]

        yield ask


async def test_of_two_conversations_that_open_alike_none_gets_what_the_other_asks_for() -> None:
    async with asked() as ask:
        assert await ask(prompt("hi"), b"a,common") == b"a,common"
        assert await ask(prompt("hi"), b"b,common") == b"b,common"
        assert await ask(prompt("hi", "Hello A!", "and?"), b"a,common") == b"a,common"
        assert await ask(prompt("hi", "Hello B!", "and?"), b"b,common") == b"b,common"
        # From the second answer on nobody can take the one for the other: what is left out is sent on again.
        assert await ask(prompt("hi", "Hello A!", "and?", "So.", "or?"), b"common") == b"a,common"
        assert await ask(prompt("hi", "Hello B!", "and?", "So.", "or?"), b"common") == b"b,common"


async def test_one_conversation_without_a_session_keeps_all_its_tokens() -> None:
    said = ["hi", "Hello!", "and?", "So.", "or?", "Well.", "then?", "Fine.", "bye"]
    async with asked() as ask:
        assert await ask(prompt(*said[:1]), b"a") == b"a"
        assert await ask(prompt(*said[:3]), b"b") == b"a,b"
        assert await ask(prompt(*said[:5]), b"c") == b"a,b,c"
        assert await ask(prompt(*said[:5]), b"c") == b"a,b,c"  # sent again
        assert await ask(prompt(*said[:4], "or else?"), b"c") == b"a,b,c"  # edited
        assert await ask(prompt(*said[:9]), b"B") == b"a,b,c"  # one request went past us
        assert await ask(prompt(*said, "Bye.", "again"), b"d") == b"a,b,c,d"


async def test_examples_in_front_of_a_prompt_tell_no_conversations_apart() -> None:
    examples = ("2+2", "4", "3+3", "6")
    async with asked() as ask:
        for tokens in (b"a", b"b"):
            assert await ask(prompt(*examples, "1+1"), tokens) == tokens
        for tokens in (b"a", b"b"):
            assert await ask(prompt(*examples, "1+1", "2 for " + tokens.decode(), "so?"), tokens) == tokens


@pytest.mark.parametrize("session", [(), (b"x-headroom-session-id: s",)], ids=["", "session"])
async def test_nothing_is_sent_on_to_another_model(session: tuple[bytes, ...]) -> None:
    said = ("hi", "Hello!", "and?")
    async with asked() as ask:
        assert await ask(prompt(said[0]), b"a", *session) == b"a"
        assert await ask(prompt(*said, model="claude-haiku-5"), b"b", *session) == b"b"
        assert await ask(prompt(*said), b"c", *session) == b"a,c"


async def test_in_a_session_all_requests_have_the_same_tokens_and_in_another_none_of_them() -> None:
    one, other = b"x-headroom-session-id: 1", b"x-headroom-session-id: 2"
    async with asked() as ask:
        assert await ask(prompt("hi"), b"a", one) == b"a"
        assert await ask(prompt("hi"), b"b", one) == b"a,b"
        assert await ask(prompt("hi"), b"c", other) == b"c"
        assert await ask(prompt("hi"), b"c", one, key=b"sk-ant-api03-y") == b"c"


async def test_a_fault_in_telling_whose_tokens_they_are_costs_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Owner:
        raise TypeError

    monkeypatch.setattr("headroom.rewriting.owner_by_prompt", broken)
    async with asked() as ask:
        assert await ask(prompt("hi"), b"a") == b"a"
        assert await ask(prompt("hi", "yes", "go on"), b"b") == b"b"
