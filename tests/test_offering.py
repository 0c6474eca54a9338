"""Which of the proxy's tools a request is offered: given once, given always; the client's own come first."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from blake3 import blake3

from headroom import providers
from headroom.faults import StoreDown
from headroom.ledger import Ledger
from headroom.looms import LOOMS
from headroom.offering import Mode, Offer, Offering, Wish
from headroom.recollection import MEMORY_TOOLS
from headroom.store import SPACE_STICKY, MemoryStore, Name
from headroom.weave import RETRIEVE, Tool
from headroom.zones.locate import Located, Locator
from headroom.zones.preamble import preamble_of
from headroom.zones.splice import splice
from tests.support.tools import NAMES

OURS = (RETRIEVE.name, *NAMES)
EVERYTHING = Wish("start", MEMORY_TOOLS)
DIALECTS = {
    d.loom: d for d in (providers.ANTHROPIC, providers.OPENAI_CHAT, providers.OPENAI_RESPONSES, providers.GEMINI)
}


class Proxy:
    """One process, with a store that others may share."""

    def __init__(self, store: MemoryStore | None = None, dialect: providers.Dialect = providers.ANTHROPIC) -> None:
        assert dialect.shape is not None
        self.store = store or MemoryStore(3600.0)
        self.ledger = Ledger(self.store, 1 << 20, 1.0)
        self.offering = Offering(self.ledger)
        self.dialect = dialect
        self.shape = dialect.shape
        self.locator = Locator(self.shape)

    def locate(self, body: bytes) -> Located:
        return self.locator.locate(body, b"caller", b"")

    async def offer(self, body: bytes, wish: Wish) -> Offer | None:
        return await self.offering.offer(body, preamble_of(body, self.shape), self.locate(body), self.dialect, wish)

    async def names(self, body: bytes, wish: Wish) -> list[str]:
        """The names of the tools that were added, in order; they are also what the offer says."""
        offer = await self.offer(body, wish)
        if offer is None:
            return []
        tools = json.loads(splice(body, [], offer.edits))["tools"]
        added = [tool["name"] for tool in tools[len(json.loads(body)["tools"]) :]]
        assert offer.ours == set(added)
        return added


def request(turns: int = 0, tools: Sequence[str] = ("Bash",), opening: str = "go") -> bytes:
    """The request after so many turns of the model."""
    said = [{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}] * turns
    return json.dumps(
        {"tools": [{"name": name} for name in tools], "messages": [{"role": "user", "content": opening}, *said]}
    ).encode()


async def test_all_are_given_with_the_first_request_and_ever_after() -> None:
    proxy = Proxy()
    first = await proxy.offer(request(), EVERYTHING)
    assert first is not None and first.redeems and first.cuts
    assert await proxy.names(request(), EVERYTHING) == [*OURS]
    for turns in (1, 2, 30):
        again = await proxy.offer(request(turns), EVERYTHING)
        assert again is not None and again.given == first.given
    other = Proxy(proxy.store)
    assert (await other.names(request(3), EVERYTHING)) == [*OURS]


@pytest.mark.parametrize("kind", DIALECTS)
async def test_what_is_given_are_the_looms_definitions_one_by_one(kind: str) -> None:
    shape = DIALECTS[kind].shape
    assert shape is not None
    proxy = Proxy(dialect=DIALECTS[kind])
    key = shape.functions[0] if shape.functions else ""
    tool = {"type": "function", "name": "Bash"}
    said = {"role": "user", "content": "go", "parts": [{"text": "go"}]}
    body = json.dumps({"tools": [{key: [tool]} if key else tool], shape.items: [said]}).encode()
    offer = await proxy.offer(body, EVERYTHING)
    assert offer is not None
    assert offer.given == tuple(LOOMS[kind].tool(tool) for tool in (RETRIEVE, *MEMORY_TOOLS))


@pytest.mark.parametrize(
    "later",
    [Wish("off", ()), Wish("sticky", ()), Wish("start", MEMORY_TOOLS[::-1]), Wish("off", MEMORY_TOOLS[:1])],
    ids=["nothing", "sticky", "reversed", "one"],
)
@pytest.mark.parametrize("restarted", [False, True])
async def test_what_was_given_stays_whatever_is_wished_for_later(later: Wish, restarted: bool) -> None:
    proxy = Proxy()
    given = await proxy.offer(request(), EVERYTHING)
    assert given is not None
    proxy = Proxy(proxy.store) if restarted else proxy
    for turns in (0, 1, 2):
        again = await proxy.offer(request(turns), later)
        assert again is not None and again.given == given.given
        # What was cut stays cut; no more is where that is not wished for.
        assert again.redeems and again.cuts == (later.retrieve != "off")


async def test_a_definition_that_is_changed_later_is_given_as_it_was() -> None:
    proxy = Proxy()
    given = await proxy.offer(request(), EVERYTHING)
    changed = tuple(Tool(tool.name, b"otherwise", b"{}") for tool in MEMORY_TOOLS)
    again = await Proxy(proxy.store).offer(request(1), Wish("start", changed))
    assert given is not None and again is not None and again.given == given.given


async def test_a_conversation_seen_first_half_way_is_given_nothing() -> None:
    proxy = Proxy()
    for turns in (1, 2, 3):
        assert await proxy.offer(request(turns), EVERYTHING) is None


@pytest.mark.parametrize("mode", ["start", "sticky"])
async def test_a_request_that_goes_on_from_an_answer_the_provider_remembers_begins_nothing(mode: Mode) -> None:
    proxy = Proxy(dialect=providers.OPENAI_RESPONSES)
    body = {"tools": [{"type": "function", "name": "Bash"}], "input": [{"role": "user", "content": "go"}]}
    goes_on = json.dumps(body | {"previous_response_id": "resp_1"}).encode()
    assert await proxy.offer(goes_on, Wish(mode, MEMORY_TOOLS)) is None
    given = await proxy.offer(json.dumps(body | {"previous_response_id": None}).encode(), EVERYTHING)
    again = await proxy.offer(goes_on, Wish(mode, MEMORY_TOOLS))
    assert given is not None and again is not None and again.given == given.given


async def test_a_request_without_tools_is_given_nothing_and_the_next_has_them_all() -> None:
    proxy = Proxy()
    await proxy.offer(request(), EVERYTHING)
    assert await proxy.offer(request(1, tools=()), EVERYTHING) is None
    assert await proxy.names(request(1), EVERYTHING) == [*OURS]


@pytest.mark.parametrize(
    ("wish", "names", "redeems"),
    [
        (Wish("off", MEMORY_TOOLS), NAMES, False),
        (Wish("start", ()), (RETRIEVE.name,), True),
        (Wish("sticky", MEMORY_TOOLS), NAMES, False),
        (Wish("sticky", ()), (), False),
    ],
)
async def test_one_kind_is_offered_without_the_other(wish: Wish, names: tuple[str, ...], redeems: bool) -> None:
    proxy = Proxy()
    for turns in (0, 1):
        assert await proxy.names(request(turns), wish) == [*names]
        offer = await proxy.offer(request(turns), wish)
        assert offer is not None and offer.redeems == redeems
        assert offer.cuts == (wish.retrieve != "off")
        assert bool(offer.possible) == (wish.retrieve == "sticky")


async def test_the_retrieve_tool_comes_last_where_it_is_given_later() -> None:
    proxy = Proxy()
    wish = Wish("sticky", MEMORY_TOOLS)
    await proxy.offer(request(), wish)
    possible = await proxy.offer(request(1), wish)
    assert possible is not None and RETRIEVE.name not in possible.ours
    certain = await proxy.offering.certain(possible)
    assert certain.given == (*possible.given, possible.possible)
    assert certain.ours == set(OURS) and certain.redeems
    for other in (proxy, Proxy(proxy.store)):
        again = await other.offer(request(2), wish)
        assert again is not None and again.given == certain.given


@pytest.mark.parametrize("prefix", ["", "mcp__server__"])
@pytest.mark.parametrize("name", OURS)
async def test_a_tool_of_the_clients_by_the_same_name_comes_before_that_one_of_ours(name: str, prefix: str) -> None:
    proxy = Proxy()
    tools = ("Bash", prefix + name)
    for turns in (0, 1):
        assert await proxy.names(request(turns, tools), EVERYTHING) == [one for one in OURS if one != name]
        offer = await proxy.offer(request(turns, tools), EVERYTHING)
        assert offer is not None and offer.redeems and offer.cuts
    # What it never had it is not given later, when the client's is gone; what it had goes when the client's comes.
    assert await proxy.names(request(2), EVERYTHING) == [one for one in OURS if one != name]
    proxy = Proxy()
    await proxy.offer(request(), EVERYTHING)
    assert await proxy.names(request(1, tools), EVERYTHING) == [one for one in OURS if one != name]


@pytest.mark.parametrize(("more", "names"), [(122, OURS), (123, OURS[:1]), (127, OURS[:1]), (128, ())])
async def test_as_many_are_offered_as_the_provider_takes(more: int, names: tuple[str, ...]) -> None:
    proxy = Proxy(dialect=providers.OPENAI_CHAT)
    body = json.loads(request(tools=[f"t{number}" for number in range(more)]))
    for turns in (0, 1):
        body["messages"] += [{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}] * turns
        offer = await proxy.offer(json.dumps(body).encode(), EVERYTHING)
        assert (offer.ours if offer is not None else set()) == set(names)


async def test_room_for_the_retrieve_tool_alone_is_not_taken_by_others() -> None:
    proxy = Proxy(dialect=providers.OPENAI_CHAT)
    tools = [f"t{number}" for number in range(124)]
    assert await proxy.offer(request(tools=tools), Wish("off", MEMORY_TOOLS)) is None


async def test_conversations_are_given_tools_apart() -> None:
    proxy = Proxy()
    assert await proxy.names(request(), Wish("off", MEMORY_TOOLS[:1])) == [NAMES[0]]
    assert await proxy.names(request(opening="other"), Wish("start", ())) == [RETRIEVE.name]
    assert await proxy.names(request(1), EVERYTHING) == [NAMES[0]]
    assert await proxy.names(request(1, opening="other"), EVERYTHING) == [RETRIEVE.name]


async def test_a_conversation_that_was_given_the_retrieve_tool_alone_keeps_its_bytes() -> None:
    # As it was recorded before there were other tools.
    proxy = Proxy()
    conversation = proxy.locate(request(1)).conversation
    await proxy.ledger.stick(blake3(b"tool" + conversation).digest(), b'{"name":"headroom_retrieve","old":1}')
    for turns in (1, 2):
        offer = await proxy.offer(request(turns), EVERYTHING)
        assert offer is not None and offer.given == (b'{"name":"headroom_retrieve","old":1}',)
        assert offer.ours == {RETRIEVE.name}


async def test_a_record_that_cannot_be_read_gives_nothing_else_instead() -> None:
    proxy = Proxy()
    conversation = proxy.locate(request()).conversation
    await proxy.ledger.stick(blake3(b"tools" + conversation).digest(), b"\xc1")
    for turns in (0, 1):
        assert await proxy.names(request(turns), EVERYTHING) == [RETRIEVE.name]


class Watched(MemoryStore):
    """A store that counts how often it is asked, and may be full."""

    full = False
    down = False
    asked = 0

    async def get(self, names: Sequence[Name]) -> dict[Name, bytes]:
        """See Store."""
        self.asked += 1
        if self.down:
            raise StoreDown("gone")
        return await super().get(names)

    async def put(self, entries: Sequence[tuple[Name, bytes]]) -> dict[Name, bytes]:
        """See Store."""
        if self.full and any(space == SPACE_STICKY for (space, _), _ in entries):
            raise StoreDown("full")
        return await super().put(entries)


async def test_what_a_store_that_is_down_does_not_tell_is_asked_of_it_again() -> None:
    store = Watched(3600.0)
    await Proxy(store).offer(request(), EVERYTHING)
    proxy = Proxy(store)
    await proxy.ledger.stickies([blake3(b"tool" + proxy.locate(request(1)).conversation).digest()])
    store.down = True
    assert await proxy.names(request(1), Wish("start")) == [RETRIEVE.name]
    store.down = False
    assert await proxy.names(request(1), Wish("start")) == [*OURS]


@pytest.mark.parametrize("mode", ["start", "off"])
async def test_a_conversation_that_can_be_given_nothing_more_is_not_looked_up_each_time(mode: Mode) -> None:
    store = Watched(3600.0)
    proxy = Proxy(store)
    await proxy.offer(request(), Wish(mode))
    await proxy.offer(request(1), Wish(mode))
    before = store.asked
    for turns in range(2, 9):
        await proxy.offer(request(turns), Wish(mode))
    assert store.asked == before


async def test_what_cannot_be_recorded_is_not_given_in_part() -> None:
    store = Watched(3600.0)
    store.full = True
    proxy = Proxy(store)
    with pytest.raises(StoreDown):
        await proxy.offer(request(), EVERYTHING)
    store.full = False
    assert await proxy.offer(request(1), EVERYTHING) is None
