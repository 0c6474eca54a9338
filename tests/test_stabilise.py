"""What makes the provider's cache find a prompt again: for who pays per token, from the first request on, for ever."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, cast

import anthropic
import openai
import pytest
from google import genai
from google.genai import types

from headroom.config import Config
from headroom.edge import Edge
from headroom.faults import StoreDown
from headroom.ledger import Ledger
from headroom.policy import POLICIES, AuthMode
from headroom.providers import OPENAI_CHAT
from headroom.stabilise import GENERATIONS, LIST_LIMIT, MEMO_BYTES, Stabiliser
from headroom.store import SPACE_STICKY, MemoryStore, Name
from headroom.zones.locate import Locator
from tests.support.cache_model import ANTHROPIC_PRICES, AnthropicCache, PrefixCache, Usage, bill
from tests.support.embedded import edge_to
from tests.support.loops import chat_loop, claude_code_loop, codex_loop, gemini_loop, opencode_loop, sdk_loop
from tests.support.origin import Origin
from tests.support.outputs import ToolOutput, invented, mixed
from tests.support.raw_client import ask
from tests.support.raw_wire import eventually
from tests.support.replay_check import compare
from tests.support.request_shape import dialect_of
from tests.support.retrieving import (
    TALKS,
    begun,
    certificates_read_once,  # noqa: F401 - used by every test here
    check_requests,
    edge,
    fetch,
    log,
    play,
    run,
    unseen,
    url_of,
)
from tests.support.retrieving import bodies as bodies_of
from tests.support.script import Script, ToolCall, Turn
from tests.support.sessions import ENDPOINTS, Session, scripted_origin

NAMES = ("sort_tools", "sort_schema_keys", "place_cache_control", "place_prompt_cache_key")
ALL: Mapping[str, object] = dict.fromkeys(NAMES, "enabled")
MARKED = {"type": "ephemeral"}
Loop = Callable[[int, int, Sequence[ToolOutput]], Iterator[bytes]]

big_sdk: Loop = partial(sdk_loop, bulk=3.0)


CLIENTS: Mapping[str, Loop] = {
    "sdk": sdk_loop,
    "sdk with long tools": big_sdk,
    "sdk with blocks": partial(sdk_loop, content="blocks", bulk=3.0, python_json=True),
    "claude code": claude_code_loop,
    "opencode": opencode_loop,
    "codex": codex_loop,
    "chat": chat_loop,
    "chat with parts": partial(chat_loop, content="parts", python_json=True),
    "gemini": gemini_loop,
    "gemini, masked": partial(gemini_loop, masked_at=6),
    "gemini, doubled": partial(gemini_loop, doubled_at=6, ids=False),
}
RESULTS = mixed(5, 30, 400, 6_000)
SHORT = [invented("search", at, 200) for at in range(12)]


async def through(bodies: Iterable[bytes], *fields: bytes, **settings: object) -> list[bytes]:
    """What the origin receives of a session; `fields` say who asks, if not an API key does."""
    async with scripted_origin() as origin, edge_to(origin.url, **settings) as proxy:
        session = Session(origin, login=bool(fields))
        await session.turns(proxy.port, bodies, *fields)
        return session.received


def shuffled(bodies: Iterable[bytes], seed: int = 1) -> list[bytes]:
    """The same session of a client that lists its tools and its schemas' keys in another order every time."""
    random = Random(seed)
    made = []
    for body in bodies:
        request = json.loads(body)
        for tool in request["tools"]:
            for functions in (tool.get("functionDeclarations", []), [tool], [tool.get("function", {})]):
                random.shuffle(functions)
                for function in functions:
                    for key in {"input_schema", "parameters"} & function.keys():
                        function[key] = dict(random.sample(sorted(function[key].items()), len(function[key])))
        random.shuffle(request["tools"])
        made.append(json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode())
    return made


def names(body: bytes) -> list[str]:
    """The names of the tools, in order."""
    found = []
    for tool in json.loads(body)["tools"]:
        functions = tool.get("functionDeclarations") or [tool.get("function", tool)]
        found += [function["name"] for function in functions]
    return found


def bare(value: Any) -> Any:
    """A request without what may be added to it, its tools in order, its system text a string."""
    if isinstance(value, list):
        return [bare(one) for one in value]
    if not isinstance(value, dict):
        return value
    made = {key: bare(one) for key, one in value.items() if key not in ("cache_control", "prompt_cache_key")}
    for key in {"tools", "functionDeclarations"} & made.keys():
        made[key] = sorted(made[key], key=lambda tool: json.dumps(tool, sort_keys=True))
    if isinstance(made.get("system"), list) and "max_tokens" in made:
        made["system"] = made["system"][0]["text"]
    return made


def usages(bodies: Sequence[bytes]) -> list[Usage]:
    """What each request reads and writes in its provider's cache."""
    explicit = b'"max_tokens"' in bodies[0]
    cache = AnthropicCache() if explicit else PrefixCache(step=1)
    return [cache.send(body) for body in bodies]


# --- whose requests, and which --------------------------------------------------------------------

LOGINS = {
    "oauth": (b"Authorization: Bearer sk-ant-oat01-x",),
    "jwt": (b"Authorization: Bearer a.b.c",),
    "oauth beside an empty key": (b"x-api-key: ", b"Authorization: Bearer sk-ant-oat01-x"),
    "oauth behind two blanks": (b"Authorization: Bearer  sk-ant-oat01-x",),
    "a login at Google": (b"Authorization: Bearer ya29.a0AfB_x",),
    "a login at GitHub": (b"Authorization: Bearer gho_x",),
    "subscription": (b"Authorization: Bearer sk-ant-oat01-x", b"User-Agent: claude-cli/2.1"),
}


@pytest.mark.parametrize("who", LOGINS)
@pytest.mark.parametrize("client", ["sdk with long tools", "chat", "gemini"])
async def test_a_login_sends_what_it_sent(client: str, who: str) -> None:
    bodies = shuffled(CLIENTS[client](1, 3, SHORT))
    assert await through(bodies, *LOGINS[who], **ALL) == bodies


MARKERS: Mapping[str, Loop] = {
    "claude code": claude_code_loop,
    "opencode": opencode_loop,
    "sdk": partial(sdk_loop, marker="last"),
    "sdk, nested": partial(sdk_loop, marker="nested", content="blocks"),
}


@pytest.mark.parametrize("client", MARKERS)
async def test_a_client_with_markers_of_its_own_sends_what_it_sent(client: str) -> None:
    bodies = shuffled(MARKERS[client](1, 4, SHORT))
    assert await through(bodies, **ALL) == bodies


PLACES: Mapping[str, Callable[[Any], None]] = {
    "tool": lambda body: body["tools"][0].update(cache_control=MARKED),
    "system": lambda body: body.update(system=[{"type": "text", "text": "s", "cache_control": MARKED}]),
    "top": lambda body: body.update(cache_control=MARKED),
    "document": lambda body: body["messages"][0]["content"].append(
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "cache_control": MARKED}]}}
    ),
}


@pytest.mark.parametrize("place", PLACES)
async def test_a_marker_anywhere_keeps_all_from_being_done(place: str) -> None:
    body = json.loads(shuffled(big_sdk(1, 1, SHORT))[0])
    PLACES[place](body)
    raw = json.dumps(body).encode()
    assert await through([raw], **ALL) == [raw]


async def test_a_marker_that_is_spelled_with_escapes_counts_as_well() -> None:
    body = json.loads(shuffled(big_sdk(1, 1, SHORT))[0])
    PLACES["system"](body)
    raw = json.dumps(body).encode().replace(b"cache_control", b"c\\u0061che\\u005Fcontrol")
    assert await through([raw], **ALL) == [raw]
    told = json.dumps(json.dumps(json.loads(raw))).encode().replace(b"cache_control", b"c\\\\u0061che_control")
    quoted = json.dumps(json.loads(shuffled(big_sdk(1, 1, SHORT))[0]) | {"system": "told"}).encode()
    quoted = quoted.replace(b'"told"', told)
    assert await through([quoted], **ALL) != [quoted], "what only a text says marks nothing"


OWN: Mapping[str, tuple[Loop, Mapping[str, object]]] = {
    "options": (chat_loop, {"prompt_cache_options": {"mode": "explicit"}}),
    "responses": (codex_loop, {"cache_control": MARKED}),
    "gemini": (gemini_loop, {"cachedContent": "cachedContents/x"}),
    "gemini, the other spelling": (gemini_loop, {"cached_content": "cachedContents/x"}),
}


@pytest.mark.parametrize("how", OWN)
async def test_a_client_that_says_how_its_prompt_is_cached_sends_what_it_sent(how: str) -> None:
    loop, members = OWN[how]
    bodies = [json.dumps(json.loads(body) | members).encode() for body in shuffled(loop(1, 3, SHORT))]
    assert await through(bodies, **ALL) == bodies


async def test_a_marker_that_only_an_earlier_item_has_keeps_ours_away() -> None:
    """Two kinds of them together may be more than the provider takes."""
    bodies = [json.loads(body) for body in big_sdk(1, 6, SHORT)]
    within = {"type": "content", "content": [{"type": "text", "text": "x", "cache_control": MARKED}]}
    for body in bodies[2:]:
        body["messages"][4]["content"].insert(0, {"type": "document", "source": within})
    received = await through([json.dumps(body).encode() for body in bodies], place_cache_control="enabled")
    assert [body.count(b"cache_control") for body in received] == [2, 3, 1, 1, 1, 1]


async def test_a_marker_within_an_item_of_any_kind_counts() -> None:
    body = json.loads(shuffled(codex_loop(1, 1, SHORT))[0])
    body["input"][-1]["content"][-1]["cache_control"] = MARKED
    raw = json.dumps(body).encode()
    assert await through([raw], **ALL) == [raw]


async def test_nothing_is_done_unless_it_is_set() -> None:
    bodies = shuffled(big_sdk(1, 3, SHORT))
    assert await through(bodies) == bodies


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_conversation_that_is_first_seen_half_way_is_not_touched(client: str) -> None:
    bodies = shuffled(CLIENTS[client](1, 5, SHORT))[1:]
    assert await through(bodies, **ALL) == bodies


@pytest.mark.parametrize(
    "given",
    [{"store": True}, {"store": None}, {"previous_response_id": "r"}, {"conversation": "c"}],
    ids=["stored", "silent", "continued", "conversation"],
)
async def test_what_the_provider_keeps_and_continues_by_an_id_is_not_touched(given: Mapping[str, object]) -> None:
    body = json.loads(shuffled(codex_loop(1, 1, SHORT))[0]) | given
    raw = json.dumps({key: value for key, value in body.items() if value is not None}).encode()
    assert await through([raw], **ALL) == [raw]


# --- what is done ---------------------------------------------------------------------------------


@pytest.mark.parametrize("client", [name for name in CLIENTS if name not in ("claude code", "opencode")])
async def test_a_client_that_shuffles_its_tools_sends_them_in_one_order(client: str) -> None:
    plain = list(CLIENTS[client](1, 4, SHORT))
    settings = {"sort_tools": "enabled", "sort_schema_keys": "enabled"}
    received = await through(shuffled(plain), **settings)
    assert await through(shuffled(plain, 2), **settings) == received
    assert [names(body) for body in received] == [sorted(names(body)) for body in plain]
    assert [bare(json.loads(body)) for body in received] == [bare(json.loads(body)) for body in plain]


async def test_a_server_that_is_called_with_another_token_stays_where_it_is() -> None:
    """The token is no part of the prompt, so the provider has cached what it stands in."""
    bodies = [json.loads(body) for body in codex_loop(1, 6, SHORT)]
    for at, body in enumerate(bodies):
        body["tools"] += [{"type": "mcp", "server_label": "s", "server_url": "u", "authorization": f"token {at}"}]
    received = await through([json.dumps(body).encode() for body in bodies], sort_tools="enabled")
    assert len({tuple(tool.get("server_label") for tool in json.loads(body)["tools"]) for body in received}) == 1


async def test_each_is_a_setting_of_its_own() -> None:
    bodies = shuffled(chat_loop(1, 2, SHORT))
    for name, changed in zip(NAMES, (True, True, False, True), strict=True):
        received = await through(bodies, **{name: "enabled"})
        assert (received != bodies) is changed
        assert (names(received[0]) == sorted(names(bodies[0]))) is (name == "sort_tools")
        assert (b"prompt_cache_key" in received[0]) is (name == "place_prompt_cache_key")


@pytest.mark.parametrize("client", ["sdk with long tools", "sdk with blocks"])
async def test_tools_are_marked_at_once_and_the_end_from_the_second_request_on(client: str) -> None:
    received = await through(CLIENTS[client](1, 6, SHORT), place_cache_control="enabled")
    for number, body in enumerate(received):
        request = json.loads(body)
        assert request["tools"][-1]["cache_control"] == MARKED
        blocks = [block for message in request["messages"] for block in message["content"]]
        last = "cache_control" in blocks[-1] or "cache_control" in request
        assert last is (number > 0)
        assert 1 <= body.count(b'"cache_control"') <= 4


async def test_a_last_message_that_is_a_string_is_marked_beside_the_messages() -> None:
    body = json.loads(list(big_sdk(1, 2, SHORT))[1])
    body["messages"].append({"role": "assistant", "content": "Yes."})
    opening = json.dumps(body | {"messages": body["messages"][:1]}).encode()
    body["messages"].append({"role": "user", "content": "And now?"})
    raw = json.dumps(body).encode()
    received = await through([opening, raw], place_cache_control="enabled")
    made = json.loads(received[1])
    assert made.pop("cache_control") == MARKED
    assert made["messages"][-1] == {"role": "user", "content": "And now?"}
    assert list(made) == list(body)
    assert bare(made) == bare(body)


@pytest.mark.parametrize(("given", "kept"), [("mine", True), ("", False), (None, False), (7, True)])
async def test_a_prompt_is_named_unless_the_client_names_it(given: object, kept: bool) -> None:
    body = json.loads(next(chat_loop(1, 1, SHORT))) | {"prompt_cache_key": given}
    raw = json.dumps(body).encode()
    made = json.loads((await through([raw], place_prompt_cache_key="enabled"))[0])
    assert (made["prompt_cache_key"] == given) is kept
    if not kept:
        assert len(made["prompt_cache_key"]) == 32 and int(made["prompt_cache_key"], 16)
    assert bare(made) == bare(body)


@pytest.mark.parametrize("client", ["chat", "codex"])
async def test_a_prompt_keeps_its_name_and_shares_it_with_its_like(client: str) -> None:
    def session(seed: int, **other: object) -> list[bytes]:
        bodies = [json.loads(body) | other for body in shuffled(CLIENTS[client](seed, 3, SHORT), seed)]
        return [json.dumps({k: v for k, v in b.items() if k != "prompt_cache_key"}).encode() for b in bodies]

    async def keys(bodies: Sequence[bytes]) -> set[str]:
        return {json.loads(body)["prompt_cache_key"] for body in await through(bodies, **ALL)}

    one = await keys(session(1))
    assert len(one) == 1
    assert await keys(session(1)) == one
    assert await keys(session(2)) == one, "other words of the user, and other orders of tools, are the same prompt"
    assert await keys(session(1, model="other")) != one
    assert await keys([session(1)[0], *session(1, model="other")[1:]]) == one, "decided once"


async def test_what_is_done_is_told_in_header_log_and_counters(tmp_path: Path) -> None:
    told_in = tmp_path / "log"
    async with scripted_origin() as origin, edge_to(origin.url, **ALL, log_level="info", log_file=told_in) as proxy:
        session = Session(origin)
        await session.turns(proxy.port, shuffled(big_sdk(1, 3, SHORT)))
        told = session.answers[-1].value(b"x-headroom-transforms")
        assert told == b"sort_tools,sort_schema_keys,place_cache_control"
        await eventually(lambda: proxy.board.total("headroom_stabilised", "sort_tools") == 3)
        assert proxy.board.total("headroom_stabilised", "place_prompt_cache_key") == 0
    events = [json.loads(line) for line in told_in.read_text().splitlines()]
    listed = [event["stabilised"] for event in events if event["event"] == "request"]
    assert listed == [["sort_tools", "sort_schema_keys", "place_cache_control"]] * 3


async def test_an_observer_tells_what_would_be_done_and_does_nothing() -> None:
    bodies = shuffled(big_sdk(1, 3, SHORT))
    async with scripted_origin() as origin, edge_to(origin.url, **ALL, compression_mode="observe") as proxy:
        session = Session(origin)
        await session.turns(proxy.port, bodies)
        assert session.received == bodies
        told = {answer.value(b"x-headroom-transforms") for answer in session.answers}
        assert told == {b"sort_tools,sort_schema_keys,place_cache_control"}
        assert not [name for name in entries(proxy) if name[0] == SPACE_STICKY]


def entries(proxy: Edge) -> Mapping[Name, object]:
    """What a proxy's store in memory holds."""
    return cast(MemoryStore, proxy.ledger.store)._entries


# --- for ever -------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS)
async def test_other_workers_and_later_ones_with_other_settings_send_the_same(client: str, tmp_path: Path) -> None:
    bodies = shuffled(CLIENTS[client](1, 6, RESULTS))
    whole = await through(bodies, **ALL)
    async with scripted_origin() as origin:
        session = Session(origin)
        for at, settings in enumerate((ALL, {}, ALL)):
            async with edge_to(origin.url, store=tmp_path / "store", **settings) as proxy:
                await session.turns(proxy.port, bodies[2 * at : 2 * at + 2])
    assert session.received == whole


async def test_a_marker_that_comes_later_takes_ours_away_and_nothing_else() -> None:
    bodies = shuffled(big_sdk(1, 4, SHORT))
    late = json.loads(bodies[3])
    late["messages"][-1]["content"][-1]["cache_control"] = MARKED
    raw = json.dumps(late, ensure_ascii=False, separators=(",", ":")).encode()
    received = await through([*bodies[:3], raw], **ALL)
    assert received[3].count(b'"cache_control"') == 1
    assert names(received[3]) == sorted(names(raw))
    assert bare(json.loads(received[3])) == bare(late)


@pytest.mark.parametrize("client", ["chat", "gemini", "codex", "sdk with long tools"])
async def test_one_that_opens_as_another_did_half_way_is_done_all_of_its_turns(client: str) -> None:
    """As where a proxy that is started with other settings finds a run under way, and another one follows it."""
    other, bodies = shuffled(CLIENTS[client](1, 3, RESULTS)), shuffled(CLIENTS[client](1, 3, SHORT))
    received = await through([other[1], *bodies, other[2]], **ALL)
    assert [names(body) == sorted(names(body)) for body in received] == [False, True, True, True, False]


@pytest.mark.parametrize("turns", [(0, 1, 0, 1, 2, 2), (1, 0, 1, 0, 2, 2), (1, 1, 0, 0, 1, 0)])
async def test_a_client_with_markers_that_opens_as_another_without_sends_what_it_sent(turns: Sequence[int]) -> None:
    """Whichever comes first; and the other's go on as they began."""
    plain = shuffled(big_sdk(1, 3, SHORT))
    marked = shuffled(partial(sdk_loop, bulk=3.0, marker="last")(1, 3, SHORT))
    order = [iter(marked), iter(plain)]
    bodies = [body for turn in turns for body in [next(order[turn % 2], b"")] if body]
    received = await through(bodies, **ALL)
    for came, went in zip(bodies, received, strict=True):
        if came in marked:
            assert went == came
        else:
            assert names(went) == sorted(names(came)) and went.count(b"cache_control") > 0


def with_tools_more(bodies: Iterable[bytes], *added: tuple[int, Sequence[str]]) -> list[bytes]:
    """The same session of a client that finds more tools from certain requests on, and puts them at the end."""
    made = []
    for number, body in enumerate(bodies):
        request = json.loads(body)
        tools = request["tools"]
        functions = tools[0].get("functionDeclarations", tools)
        like = json.dumps(functions[0]), json.dumps((functions[0].get("function") or functions[0])["name"])
        for at, more in added:
            functions += [json.loads(like[0].replace(like[1], json.dumps(name))) for name in more if number >= at]
        made.append(json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode())
    return made


@pytest.mark.parametrize("client", ["chat", "gemini", "codex", "sdk with long tools"])
async def test_tools_that_are_found_later_stand_behind_those_of_before(client: str, tmp_path: Path) -> None:
    """Else the provider would have to read what follows on the first of them anew, which it does not have to without
    us; and their order is the same whatever order the client has them in."""
    bodies = with_tools_more(CLIENTS[client](1, 4, SHORT), (1, ("Zeta", "Alpha")), (2, ("Beta",)))
    without = usages(await through(bodies))
    async with scripted_origin() as origin:
        session = Session(origin)
        for body in bodies:
            async with edge_to(origin.url, store=tmp_path / "store", **ALL) as proxy:
                await session.turn(proxy.port, body)
    received = session.received
    for now, before in list(zip(usages(received), without, strict=True))[1:]:
        assert now.read >= before.read
    own = sorted(names(bodies[0]))
    more = (["Alpha", "Zeta"], ["Alpha", "Zeta", "Beta"], ["Alpha", "Zeta", "Beta"])
    assert [names(body) for body in received] == [own, *([*own, *found] for found in more)]
    again = await through(shuffled(bodies), sort_tools="enabled")
    assert [names(body) for body in again] == [names(body) for body in received]


class Flaky(MemoryStore):
    """A store that fails while it is told to."""

    down = False

    async def get(self, names: Sequence[Name]) -> dict[Name, bytes]:
        if self.down:
            raise StoreDown("down")
        return await super().get(names)

    async def put(self, entries: Sequence[tuple[Name, bytes]]) -> dict[Name, bytes]:
        if self.down:
            raise StoreDown("down")
        return await super().put(entries)


@asynccontextmanager
async def flaky(url: str, **settings: object) -> AsyncIterator[tuple[Edge, Flaky]]:
    async with edge_to(url, **settings) as proxy:
        store = Flaky(3600.0)
        proxy.ledger._store = store
        yield proxy, store


async def test_without_a_store_nothing_is_begun() -> None:
    bodies = shuffled(big_sdk(1, 4, SHORT))
    async with scripted_origin() as origin, flaky(origin.url, **ALL) as (proxy, store):
        session = Session(origin)
        store.down = True
        await session.turn(proxy.port, bodies[0])
        assert session.note == b"store_down"
        store.down = False
        await session.turns(proxy.port, bodies[1:])
        assert session.received == bodies


async def test_what_was_begun_goes_on_from_memory_while_the_store_is_down() -> None:
    bodies = shuffled(big_sdk(1, 3, SHORT))
    async with scripted_origin() as origin, flaky(origin.url, **ALL) as (proxy, store):
        session = Session(origin)
        await session.turn(proxy.port, bodies[0])
        store.down = True
        await session.turns(proxy.port, bodies[1:])
        assert session.received == await through(bodies, **ALL)


async def test_a_first_request_that_comes_again_goes_the_same() -> None:
    first = shuffled(big_sdk(1, 1, SHORT))[0]
    received = await through([first, first, first], **ALL)
    assert len(set(received)) == 1 and received[0] != first


@pytest.mark.parametrize("client", ["chat", "codex", "gemini", "sdk with long tools"])
async def test_first_requests_at_the_same_time_through_two_workers_go_the_same_way(client: str, tmp_path: Path) -> None:
    """Of one conversation, as a client sends them again that has not got an answer; its later requests follow suit."""
    bodies = list(CLIENTS[client](1, 2, SHORT))
    others = [json.dumps(json.loads(bodies[0]) | {"model": f"m{at}"}).encode() for at in range(6)]
    async with (
        scripted_origin() as origin,
        edge_to(origin.url, store=tmp_path / "store", **ALL) as one,
        edge_to(origin.url, store=tmp_path / "store", **ALL) as other,
    ):

        async def send(at: int, proxy: Edge, body: bytes) -> None:
            path = ENDPOINTS[dialect_of(json.loads(body))]
            head = b"POST %b HTTP/1.1\r\nHost: x\r\nx-api-key: k\r\nContent-Length: %d\r\n\r\n" % (path, len(body))
            assert (await ask(proxy.port, head + body)).status == 200

        sent = [(at, (one, other)[at % 2], shuffled([body], at)[0]) for at, body in enumerate(others)]
        await asyncio.gather(*(send(*each) for each in sent))
        for proxy in (one, other):
            await send(0, proxy, shuffled([bodies[1]])[0])
        went = [json.loads(request.body) for request in origin.requests]
    assert len({body.get("prompt_cache_key") for body in went}) == 1
    assert len({json.dumps(bare(body["tools"])) for body in went}) == 1
    assert all(names(json.dumps(body).encode()) == sorted(names(bodies[0])) for body in went)


async def test_the_retrieve_tool_stays_behind_the_clients() -> None:
    received = await through(shuffled(big_sdk(1, 4, RESULTS)), **ALL, ccr_tool="start")
    for body in received:
        own = names(body)
        assert own[:-1] == sorted(own[:-1]) and own[-1] == "headroom_retrieve"
        assert [bool(tool.get("cache_control")) for tool in json.loads(body)["tools"]][-2:] == [True, False]
    prompts = [json.dumps(bare(json.loads(body))["tools"]) for body in received]
    assert len(set(prompts)) == 1


def by_cause(proxy: Edge) -> dict[str, float]:
    """Requests by who changed their prefix."""
    totals = {cause: proxy.board.total("headroom_prefix", cause) for cause in ("new", "same", "client", "proxy")}
    return {cause: total for cause, total in totals.items() if total}


async def test_what_the_client_shuffles_is_no_change_of_the_prefix_any_more() -> None:
    bodies = shuffled(chat_loop(1, 4, RESULTS))
    for settings, causes in (({}, {"new": 1, "client": 3}), (ALL, {"new": 1, "same": 3})):
        async with scripted_origin() as origin, edge_to(origin.url, **settings) as proxy:
            await Session(origin).turns(proxy.port, bodies)
            await eventually(lambda seen=proxy, wanted=causes: by_cause(seen) == wanted)  # type: ignore[misc]


async def test_a_store_that_forgets_a_decision_is_told_as_our_fault() -> None:
    bodies = list(big_sdk(1, 3, SHORT))
    async with scripted_origin() as origin, edge_to(origin.url, **ALL) as proxy:
        session = Session(origin)
        await session.turns(proxy.port, bodies[:2])
        proxy.ledger._sticky.clear()
        cast(MemoryStore, proxy.ledger.store)._entries.clear()
        await session.turn(proxy.port, bodies[2])
        assert session.received[2] == bodies[2]
        await eventually(lambda: by_cause(proxy).get("proxy") == 1)


@pytest.mark.parametrize("kind", TALKS)
async def test_a_model_that_asks_for_originals_gets_them(kind: str) -> None:
    original = log(0)
    turns = [
        Turn("", (run("log 0"),)),
        Turn("", (fetch(original, lines="1"),)),
        Turn("Both.", (run("ls"), fetch(original, match="ERROR"))),
        Turn("Done."),
    ]
    async with Origin(Script.single(turns)) as origin, edge(origin.url, **ALL) as proxy, begun(kind) as talk:
        await play(talk, url_of(proxy), stream=True)
        unseen(talk)
        check_requests(bodies_of(origin))
        assert talk.said[-1].texts == ("Done.",)
        assert proxy.board.total("headroom_shrink_failures") == 0


# --- what it costs --------------------------------------------------------------------------------


@pytest.mark.parametrize("turns", [2, 3, 12])
@pytest.mark.parametrize("client", CLIENTS)
async def test_no_prefix_is_broken_and_the_bill_is_not_higher(client: str, turns: int) -> None:
    bodies = list(CLIENTS[client](3, turns, RESULTS))
    without = compare(bodies, await through(bodies), step=1)
    async with scripted_origin() as origin, edge_to(origin.url, **ALL) as proxy:
        session = Session(origin)
        await session.turns(proxy.port, bodies)
        await eventually(lambda: sum(by_cause(proxy).values()) == turns)
        assert not by_cause(proxy).get("proxy")
    report = compare(bodies, session.received, step=1)
    assert [breach for breach in report.breaches if breach.place != "request"] == []
    assert report.proxied_bill <= without.proxied_bill
    for now, before in list(zip(report.proxied, without.proxied, strict=True))[1:]:
        assert now.read >= before.read


@pytest.mark.parametrize("client", ["chat", "gemini", "codex", "sdk with long tools"])
async def test_shuffled_tools_are_read_from_the_cache_again(client: str) -> None:
    bodies = shuffled(CLIENTS[client](1, 4, SHORT))
    without, stable = usages(await through(bodies)), usages(await through(bodies, **ALL))
    for now, before in list(zip(stable, without, strict=True))[1:]:
        assert now.read - before.read > now.total / 4


@pytest.mark.parametrize("seed", range(4))
async def test_markers_pay_from_the_second_request_on(seed: int) -> None:
    bodies = list(big_sdk(seed, 12, mixed(seed, 30, 200, 30_000)))
    marked = usages(await through(bodies, place_cache_control="enabled"))
    plain = usages(await through(bodies))
    for turns in range(2, 13):
        assert bill(marked[:turns], ANTHROPIC_PRICES) <= bill(plain[:turns], ANTHROPIC_PRICES)
    assert bill(marked, ANTHROPIC_PRICES) < bill(plain, ANTHROPIC_PRICES) / 2
    assert marked[0].uncached > 0, "what the first request says is not written: it may be the only one"


def retold(bodies: Iterable[bytes], system: Callable[[int], str]) -> list[bytes]:
    """The same session with another system text, made of the request's number."""
    return told_apart(bodies, lambda number: {"system": system(number)})


def told_apart(bodies: Iterable[bytes], members: Callable[[int], dict[str, object]]) -> list[bytes]:
    """The same session with other members in its requests, made of their numbers."""
    made = [json.loads(body) | members(number) for number, body in enumerate(bodies)]
    return [json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode() for body in made]


RULES = "Rules. " * 8_000
UNSTEADY: Mapping[str, Callable[[int], list[bytes]]] = {
    "tools": lambda turns: shuffled(big_sdk(1, turns, SHORT)),
    "system": lambda turns: retold(big_sdk(1, turns, SHORT), lambda number: f"It is 12:{number:02}. {RULES}"),
    "system, few tools": lambda turns: retold(sdk_loop(1, turns, SHORT), lambda number: f"At {number}: {RULES}"),
    "model": lambda turns: told_apart(big_sdk(1, turns, SHORT), lambda number: {"model": f"m{number}"}),
    "thinking": lambda turns: told_apart(
        big_sdk(1, turns, SHORT), lambda number: {"thinking": {"type": "enabled", "budget_tokens": 2_000 + number}}
    ),
    "both": lambda turns: shuffled(retold(big_sdk(1, turns, SHORT), lambda number: f"At {number}: {RULES}")),
}


@pytest.mark.parametrize("what", UNSTEADY)
async def test_what_is_another_on_every_turn_is_not_written_again_for_more(what: str) -> None:
    """It is never read, so that every marker on it or behind it would only cost: after the first request, none does."""
    bodies = UNSTEADY[what](8)
    plain, marked = usages(bodies), usages(await through(bodies, place_cache_control="enabled"))
    for now, before in list(zip(marked, plain, strict=True))[1:]:
        assert bill([now]) <= bill([before])


async def test_what_is_another_once_is_marked_again_when_it_has_stayed(tmp_path: Path) -> None:
    bodies = retold(with_tools_more(big_sdk(1, 10, SHORT), (2, ("Alpha",))), lambda number: f"{number >= 5}. {RULES}")
    async with scripted_origin() as origin:
        session = Session(origin)
        for body in bodies:
            settings = {"store": tmp_path / "store", "place_cache_control": "enabled"}
            async with edge_to(origin.url, **settings) as proxy:
                await session.turn(proxy.port, body)
    found, plain = usages(session.received), usages(bodies)
    assert [use.read > 0 for use in found] == [at not in (0, 2) for at in range(10)]
    assert [use.write_5m > 0 for use in found][:7] == [True, True, False, True, True, False, True]
    for turns in range(5, 11):
        assert bill(found[:turns], ANTHROPIC_PRICES) <= bill(plain[:turns], ANTHROPIC_PRICES)
    assert all(body.count(b'"cache_control"') <= 4 for body in session.received)


@pytest.mark.parametrize("where", [2, 4, -1])
async def test_a_client_that_rewrites_what_it_said_pays_no_more_for_it(where: int) -> None:
    """As one that keeps a message up to date: nothing behind it is ever read, however often it is written."""
    bodies = [json.loads(body) for body in sdk_loop(1, 24, mixed(5, 60, 400, 6_000))]
    for number, body in enumerate(bodies):
        if number and len(body["messages"]) > where:
            body["messages"][where]["content"].append({"type": "text", "text": f"It is now {number}."})
    raw = [json.dumps(body, ensure_ascii=False).encode() for body in bodies]
    marked, plain = usages(await through(raw, place_cache_control="enabled")), usages(await through(raw))
    for turns in range(2, 25):
        assert bill(marked[:turns], ANTHROPIC_PRICES) <= bill(plain[:turns], ANTHROPIC_PRICES)


async def test_runs_that_open_alike_are_all_marked_at_their_ends() -> None:
    runs = []
    for seed in range(6):
        bodies = [json.loads(body) for body in big_sdk(seed, 6, SHORT)]
        for body in bodies:
            body["messages"][0]["content"][0]["text"] = "Begin."
        runs.append([json.dumps(body, ensure_ascii=False).encode() for body in bodies])
    alone = [await through(run, place_cache_control="enabled") for run in runs]
    together = await through([body for turn in zip(*runs, strict=True) for body in turn], place_cache_control="enabled")
    assert together == [body for turn in zip(*alone, strict=True) for body in turn]


async def test_a_single_small_request_costs_what_it_cost() -> None:
    bodies = list(sdk_loop(1, 1, SHORT, bulk=0.5))
    assert bill(usages(await through(bodies, **ALL))) == bill(usages(bodies))


async def test_tools_that_are_added_again_and_again_are_told_apart_so_often() -> None:
    bodies = with_tools_more(chat_loop(1, 24, SHORT), *[(at, (f"tool {99 - at}",)) for at in range(1, 24)])
    received = await through(bodies, sort_tools="enabled")
    own = len(names(bodies[0]))
    assert [len(names(body)) for body in received] == [own + at for at in range(24)]
    kept = [sum(a == b for a, b in zip(names(one), names(two), strict=False)) for one, two in pairwise(received)]
    assert kept[: GENERATIONS - 1] == [own + at for at in range(GENERATIONS - 1)]
    assert names(received[-1])[own + GENERATIONS - 1 :] == sorted(names(received[-1])[own + GENERATIONS - 1 :])


async def test_a_list_of_tools_beyond_all_measure_is_left_as_it_is() -> None:
    body = json.loads(shuffled(chat_loop(1, 1, SHORT))[0])
    body["tools"][0]["function"]["description"] = "d" * LIST_LIMIT
    raw = json.dumps(body).encode()
    assert await through([raw], sort_tools="enabled", sort_schema_keys="enabled") == [raw]


async def test_what_is_remembered_is_bounded() -> None:
    ledger = Ledger(MemoryStore(3600.0), 1 << 20, 1.0)
    stabiliser = Stabiliser(Config.of(**ALL), ledger)
    assert OPENAI_CHAT.shape is not None
    locator, policy = Locator(OPENAI_CHAT.shape), POLICIES[AuthMode.PAYG]
    for number in range(60):
        tools = [{"function": {"name": name, "description": f"{number:02}" * 50_000}} for name in "ba"]
        body = json.dumps({"messages": [{"role": "user", "content": f"{number}"}], "tools": tools}).encode()
        made = await stabiliser.edits(
            body, locator.locate(body, b""), OPENAI_CHAT, policy, decide=True, observe=number % 2 == 0
        )
        assert made.names == ("sort_tools", "place_prompt_cache_key")
    assert 0 < len(stabiliser._memo) < 60
    assert stabiliser._memo_bytes <= MEMO_BYTES


# --- through the providers' own SDKs --------------------------------------------------------------

SCRIPT = Script.single([Turn("Look.", (ToolCall("zeta", {"b": 1, "a": "x"}),)), Turn("Done.")], match="question")
SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {"b": {"type": "number", "maximum": 1.5}, "a": {"type": "string", "description": "é"}},
    "required": ["b"],
}
RESULT = invented("search", 1, 300).text
TOOL_NAMES = ("zeta", "alpha", "mid")


async def _anthropic(url: str) -> None:
    messages: list[Any] = [{"role": "user", "content": [{"type": "text", "text": "question"}]}]
    tools: Any = [{"name": name, "description": "d" * 3_000, "input_schema": SCHEMA} for name in TOOL_NAMES]
    async with anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=0) as client:
        while True:
            answer: Any = await client.messages.create(model="m", max_tokens=9, messages=messages, tools=tools)
            calls = [block for block in answer.content if block.type == "tool_use"]
            if not calls:
                return
            results = [{"type": "tool_result", "tool_use_id": call.id, "content": RESULT} for call in calls]
            messages += [{"role": "assistant", "content": answer.content}, {"role": "user", "content": results}]


async def _chat(url: str) -> None:
    messages: list[Any] = [{"role": "system", "content": "s"}, {"role": "user", "content": "question"}]
    tools: Any = [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in TOOL_NAMES]
    async with openai.AsyncOpenAI(base_url=url + "/v1", api_key="k", max_retries=0) as client:
        while True:
            answer: Any = await client.chat.completions.create(model="gpt-5.1", messages=messages, tools=tools)
            said = answer.choices[0].message
            if not said.tool_calls:
                return
            messages.append(said.to_dict())
            messages += [{"role": "tool", "tool_call_id": call.id, "content": RESULT} for call in said.tool_calls]


async def _responses(url: str) -> None:
    held: list[Any] = [{"role": "user", "content": "question"}]
    tools: Any = [{"type": "function", "name": name, "parameters": SCHEMA, "strict": False} for name in TOOL_NAMES]
    async with openai.AsyncOpenAI(base_url=url + "/v1", api_key="k", max_retries=0) as client:
        while True:
            answer: Any = await client.responses.create(model="gpt-5.1", input=held, tools=tools, store=False)
            calls = [item for item in answer.output if item.type == "function_call"]
            if not calls:
                return
            held += [item.to_dict() for item in answer.output]
            held += [{"type": "function_call_output", "call_id": call.call_id, "output": RESULT} for call in calls]


async def _gemini(url: str) -> None:
    declared = [types.FunctionDeclaration(name=name, parameters_json_schema=SCHEMA) for name in TOOL_NAMES]
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=declared)],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    held: list[Any] = [types.Content(role="user", parts=[types.Part(text="question")])]
    once = types.HttpOptions(base_url=url, retry_options=types.HttpRetryOptions(attempts=1))
    client = genai.Client(api_key="k", http_options=once)
    try:
        while True:
            answer: Any = await client.aio.models.generate_content(model="g", contents=held, config=config)
            parts = list(answer.candidates[0].content.parts)
            calls = [part.function_call for part in parts if part.function_call]
            if not calls:
                return
            results = [types.Part.from_function_response(name=c.name, response={"output": RESULT}) for c in calls]
            held += [types.Content(role="model", parts=parts), types.Content(role="user", parts=results)]
    finally:
        await client.aio.aclose()
        client.close()


SDKS = {"anthropic": _anthropic, "chat": _chat, "responses": _responses, "gemini": _gemini}


@pytest.mark.parametrize("sdk", SDKS)
async def test_an_sdks_loop_goes_on_with_its_tools_in_order(sdk: str) -> None:
    async with Origin(SCRIPT) as origin:
        await SDKS[sdk](origin.url)
        direct = [request.body for request in origin.requests]
    async with Origin(SCRIPT) as origin, edge_to(origin.url, **ALL) as proxy:
        await SDKS[sdk](f"http://127.0.0.1:{proxy.port}")
        received = [request.body for request in origin.requests]
    assert len(received) == len(direct) == 2
    for came, went in zip(direct, received, strict=True):
        assert names(came) == list(TOOL_NAMES) and names(went) == sorted(TOOL_NAMES)
        tight = went.replace(b": ", b":")
        assert tight.index(b'"a":{"description"') < tight.index(b'"b":{"maximum"')
        assert sdk in ("chat", "responses") or b"prompt_cache_key" not in went
        assert sdk == "anthropic" or b"cache_control" not in went
    assert [b"prompt_cache_key" in body for body in received] == [sdk in ("chat", "responses")] * 2
    assert [body.count(b'"cache_control"') for body in received] == ([1, 2] if sdk == "anthropic" else [0, 0])
    assert _without_ids(received) == _without_ids(direct)


def _without_ids(bodies: Sequence[bytes]) -> list[object]:
    """Requests without what is added, and without the ids that the origin made up."""
    return [_blank(bare(json.loads(body))) for body in bodies]


def _blank(value: Any) -> Any:
    if isinstance(value, list):
        return [_blank(one) for one in value]
    if isinstance(value, dict):
        return {key: "" if key.endswith("id") else _blank(one) for key, one in value.items()}
    return value


def test_all_are_off_unless_they_are_set() -> None:
    assert not any(Config.of().on(name) for name in NAMES)
