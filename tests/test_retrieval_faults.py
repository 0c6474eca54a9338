"""What goes wrong while an original is fetched looks to the client as it would without a proxy, and nothing is left."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from random import Random

import anthropic
import openai
import pytest
from google.genai import errors as genai_errors

from headroom.edge import Edge
from headroom.events import Event, Request
from headroom.faults import StoreDown
from headroom.store import MemoryStore, Name
from tests.support import origin as scripted
from tests.support.dialects import Route
from tests.support.embedded import shrink_send_buffers, unsent
from tests.support.faulty_writer import AnswerWriter
from tests.support.origin import Fault, Origin, Recorded
from tests.support.raw_client import ask, connect, read_answer
from tests.support.raw_wire import LIMIT, Ended
from tests.support.retrieving import (
    KEY,
    TALKS,
    TOOL,
    begun,
    bodies,
    certificates_read_once,  # noqa: F401 - used by every test here
    check_requests,
    edge,
    fetch,
    log,
    play,
    run,
    texts,
    unseen,
    url_of,
)
from tests.support.script import Script, Turn

STREAMED = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "plain"])
BY_KIND = pytest.mark.parametrize("kind", TALKS)
LOG = log(0)
ERRORS = (anthropic.APIError, openai.APIError, genai_errors.APIError)
# The third request is the continuation.
TURNS = [Turn("", (run("log 0"),)), Turn("I need it. ", (fetch(LOG),)), Turn("The database is down. " * 4)]


async def idle(proxy: Edge) -> None:
    """Wait until the proxy does nothing any more; fails where it goes on."""
    async with asyncio.timeout(LIMIT):
        while proxy.active or any(link._sink is not None for link in proxy.dialer.links):
            await asyncio.sleep(0.01)


class LeavingOrigin(Origin):
    """Listens no longer once it has been asked for the second answer, and closes that connection after it."""

    async def _model_call(self, kept: Recorded, found: Route, answer: AnswerWriter) -> None:
        if len(self.calls) == 1:
            assert self._server is not None
            self._server.close()
            answer.keep_alive = False
        await super()._model_call(kept, found, answer)


FAULTS = {
    "429": Fault("status", status=429, headers=(("retry-after", "7"),), message="too much at once"),
    "500": Fault("status", status=500, message="too much at once"),
    "reset before": Fault("reset_before"),
    "reset at once": Fault("reset"),
    "reset": Fault("reset", events=2),
    "fin": Fault("fin", events=3),
    "end": Fault("end", events=3),
    "end at once": Fault("end"),
    "error event": Fault("error_event", events=3, message="too much at once"),
}


COMMON = ("429", "reset", "end")  # tried with every dialect; the others with one


@pytest.mark.parametrize(
    ("kind", "stream", "fault"),
    [
        (kind, stream, fault)
        for kind in TALKS
        for stream in (True, False)
        for fault in FAULTS
        if (kind == "blocks" or fault in COMMON) and (stream or FAULTS[fault].kind not in ("end", "error_event"))
    ],
)
async def test_a_fault_of_the_provider_in_a_later_round_is_seen(kind: str, stream: bool, fault: str) -> None:
    async with (
        Origin(Script.single(TURNS), faults={2: FAULTS[fault]}) as origin,
        edge(origin.url) as proxy,
        begun(kind) as talk,
    ):
        await talk.ask(url_of(proxy), stream=stream)
        with pytest.raises(Exception) as caught:
            await talk.ask(url_of(proxy), stream=stream)
        if FAULTS[fault].kind == "status":
            assert "too much at once" in str(caught.value)
        if not stream and fault == "429" and kind != "parts":
            assert caught.value.response.headers["retry-after"] == "7"  # type: ignore[attr-defined]
            assert caught.value.status_code == 429  # type: ignore[attr-defined]
        await idle(proxy)
        assert len(origin.requests) == 3
        # The client asks once more, and gets it all.
        await play(talk, url_of(proxy), stream=stream)
        assert "".join(talk.said[-1].texts) == "I need it. " + TURNS[2].text
        talk.tell("And?")
        await play(talk, url_of(proxy), stream=stream)
        check_requests([bodies(origin)[0], *bodies(origin)[3:]])


@STREAMED
@BY_KIND
async def test_an_origin_that_is_gone_in_a_later_round_is_seen(kind: str, stream: bool) -> None:
    async with LeavingOrigin(Script.single(TURNS)) as origin, edge(origin.url) as proxy, begun(kind) as talk:
        await talk.ask(url_of(proxy), stream=stream)
        with pytest.raises(Exception) as caught:
            await talk.ask(url_of(proxy), stream=stream)
        assert isinstance(caught.value, ERRORS), repr(caught.value)
        assert len(origin.requests) == 2
        await idle(proxy)


@STREAMED
@BY_KIND
async def test_a_store_that_is_down_while_the_model_asks_is_told_to_the_model(
    kind: str, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(store: MemoryStore, names: Sequence[Name]) -> dict[Name, bytes]:
        raise StoreDown("gone")

    async with Origin(Script.single(TURNS)) as origin, edge(origin.url) as proxy, begun(kind) as talk:
        await talk.ask(url_of(proxy), stream=stream)
        original = proxy.ledger.original

        async def late(hash_: str) -> str | None:
            monkeypatch.setattr(MemoryStore, "get", failing)
            return await original(hash_)

        monkeypatch.setattr(proxy.ledger, "original", late)
        await talk.ask(url_of(proxy), stream=stream)
        unseen(talk)
        assert "cannot be read just now" in texts(origin.requests[-1].body)[-1]
        monkeypatch.undo()
        talk.tell("And?")
        await play(talk, url_of(proxy), stream=stream)
        check_requests(bodies(origin))


@STREAMED
@pytest.mark.parametrize(
    ("kind", "coding"), [*((kind, "gzip") for kind in TALKS), ("blocks", "br"), ("blocks", "zstd")]
)
async def test_an_answer_that_is_coded_though_it_was_asked_not_to_be(
    kind: str, stream: bool, coding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripted, "choose_coding", lambda wanted, accepted: wanted)
    turns = [*TURNS[:2], Turn("", (fetch(LOG, lines="1"), run("ls"))), TURNS[2]]
    async with Origin(Script.single(turns), coding=coding) as origin, edge(origin.url) as proxy, begun(kind) as talk:
        await play(talk, url_of(proxy), stream=stream)
        unseen(talk)
        check_requests(bodies(origin))
        assert "".join(talk.said[-1].texts) == TURNS[2].text


@STREAMED
@BY_KIND
async def test_a_model_that_never_stops_asking_is_an_error(kind: str, stream: bool) -> None:
    turns = [TURNS[0], *(Turn(f"{n}. ", (fetch(LOG, lines=str(n)),)) for n in range(1, 9))]
    async with Origin(Script.single(turns)) as origin, edge(origin.url) as proxy, begun(kind) as talk:
        await talk.ask(url_of(proxy), stream=stream)
        with pytest.raises(Exception) as caught:
            await talk.ask(url_of(proxy), stream=stream)
        assert isinstance(caught.value, ERRORS), repr(caught.value)
        await idle(proxy)
        assert len(origin.requests) == 6
        check_requests(bodies(origin))


# --- by bytes -------------------------------------------------------------------------------------


def second_request(*, stream: bool = True) -> bytes:
    """The body of a request whose newest message is the log."""
    call = {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "log 0"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": LOG}
    messages: list[object] = [{"role": "user", "content": "why?"}]
    tools = [{"name": "Bash", "description": "Runs a command.", "input_schema": {"type": "object"}}]
    messages += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    return json.dumps({"model": "m", "stream": stream, "messages": messages, "tools": tools}).encode()


def first_request() -> bytes:
    """The body of the request before it."""
    request = json.loads(second_request())
    del request["messages"][1:]
    return json.dumps(request).encode()


def request(body: bytes, version: bytes = b"1.1") -> bytes:
    """A request's bytes."""
    head = b"POST /v1/messages HTTP/%b\r\nHost: x\r\nx-api-key: %b\r\nContent-Type: application/json\r\n"
    return head % (version, KEY.encode()) + b"Content-Length: %d\r\n\r\n" % len(body) + body


@STREAMED
async def test_a_client_that_leaves_while_an_original_is_fetched_leaves_nothing(
    stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, cancelled = asyncio.Event(), asyncio.Event()

    async def endless(hash_: str) -> str | None:
        asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return None

    async with Origin(Script.single(TURNS)) as origin, edge(origin.url) as proxy:
        await ask(proxy.port, request(first_request()), b"POST")
        events: list[Event] = []
        monkeypatch.setattr(proxy, "sink", events.append)
        monkeypatch.setattr(proxy.ledger, "original", endless)
        async with await connect(proxy.port) as client, asyncio.timeout(LIMIT):
            await client.send(request(second_request(stream=stream)))
            await asked.wait()
        async with asyncio.timeout(LIMIT):
            await cancelled.wait()
        await idle(proxy)
        assert len(origin.requests) == 2
        assert not proxy.clients
        assert [event.outcome for event in events if isinstance(event, Request)] == ["aborted"]


@STREAMED
async def test_a_client_that_leaves_while_a_later_round_is_answered_ends_it(stream: bool) -> None:
    stall = Fault("stall", events=1, seconds=60)
    async with Origin(Script.single(TURNS), faults={2: stall}) as origin, edge(origin.url) as proxy:
        await ask(proxy.port, request(first_request()), b"POST")
        async with await connect(proxy.port) as client, asyncio.timeout(LIMIT):
            await client.send(request(second_request(stream=stream)))
            while len(origin.requests) < 3 or not origin.calls[-1].sent:
                await asyncio.sleep(0.01)
                if len(origin.requests) == 3:
                    break
        await idle(proxy)
        assert not proxy.clients
        assert not [link for link in proxy.dialer.links if link._sink is not None]


@STREAMED
async def test_a_client_of_http_1_0_gets_one_answer_without_chunks(stream: bool) -> None:
    async with Origin(Script.single(TURNS)) as origin, edge(origin.url) as proxy:
        await ask(proxy.port, request(first_request()), b"POST")
        answer = await ask(proxy.port, request(second_request(stream=stream), b"1.0"), b"POST")
        assert answer.status == 200
        assert answer.value(b"transfer-encoding") is None
        assert answer.body.count(b"The database") + answer.body.count(b"message_stop") >= 1
        assert TOOL.encode() not in answer.body
        if stream:
            assert answer.body.endswith(b'data: {"type":"message_stop"}\n\n')
        else:
            assert [block["type"] for block in json.loads(answer.body)["content"]] == ["text", "text"]


async def test_a_slow_client_pauses_every_round_and_gets_every_byte_in_the_end() -> None:
    words = "The database is down. " * 60_000
    turns = [TURNS[0], Turn(words, (fetch(LOG),)), Turn(words)]
    async with Origin(Script.single(turns), delta=10_000) as origin, edge(origin.url) as proxy:
        await ask(proxy.port, request(first_request()), b"POST")
        async with await connect(proxy.port, receive_buffer=4096) as client, asyncio.timeout(LIMIT):
            await client.send(request(second_request()))
            most = 0
            while len(origin.requests) < 2:
                await asyncio.sleep(0.01)
            shrink_send_buffers(proxy)
            for _ in range(20):
                await asyncio.sleep(0.01)
                most = max(most, unsent(proxy))
            assert len(origin.requests) == 2  # the next round is not asked for while this one waits
            answer = await read_answer(client, b"POST")
            assert most < 600_000
        deltas = [json.loads(line[6:]) for line in answer.body.split(b"\n") if line.startswith(b"data: ")]
        said = "".join(event["delta"].get("text", "") for event in deltas if event["type"] == "content_block_delta")
        assert said == words + words


@pytest.mark.parametrize("coding", ["", "gzip"])
@pytest.mark.parametrize("where", ["before", "in the call", "in a later round"])
async def test_an_event_over_the_limit_never_shows_half_an_answer(
    where: str, coding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripted, "choose_coding", lambda wanted, accepted: wanted)
    big = Random(1).randbytes(15_000).hex()
    call = fetch(LOG, match=big) if where == "in the call" else fetch(LOG)
    turns = [TURNS[0], Turn(big if where == "before" else "", (call,)), Turn(big)]
    slow = Fault("small_writes", size=64 if coding else 1_000)
    faults = {1: slow, 2: slow}
    async with (
        Origin(Script.single(turns), delta=30_000, coding=coding, faults=faults) as origin,
        edge(origin.url, event_limit="4KiB") as proxy,
    ):
        await ask(proxy.port, request(first_request()), b"POST")
        if where == "before":
            # Nothing of it was held back so far: it goes on as it comes.
            answer = await ask(proxy.port, request(second_request()), b"POST")
            assert answer.body == origin.requests[-1].sent
        else:
            with pytest.raises(Ended):
                await ask(proxy.port, request(second_request()), b"POST")
        await idle(proxy)
        assert len(origin.requests) == (3 if where == "in a later round" else 2)
