"""What ends or breaks while a response on a socket is woven: nobody waits for ever, and nothing is made up."""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import Any

import orjson
import pytest
from websockets.frames import Opcode

from headroom.answering import BROKEN, LIMIT_REACHED, CallerInfo
from headroom.recollection import MEMORY_TOOLS
from headroom.weave import Call
from headroom.wire.websocket import CLOSE, close_code
from tests.support.frames import frame
from tests.support.raw_wire import LIMIT, eventually
from tests.support.script import Json
from tests.support.sockets import Socket, close, creating, opened, prompt, result, text
from tests.test_duplex import endings, exchanges, gone

TOOL = "headroom_retrieve"
TOOLS: list[Json] = [{"type": "function", "name": "shell", "parameters": {}}]
ASKED = creating(prompt(), tools=TOOLS)


def created(response: str) -> Json:
    """How a response begins."""
    return {"type": "response.created", "sequence_number": 0, "response": {"id": response, "output": []}}


def item(call: str, name: str = TOOL, at: int = 0) -> Json:
    """A call that a model made."""
    arguments = json.dumps({"hash": "0" * 24})
    return {"type": "function_call", "id": f"fc_{call}", "call_id": call, "name": name, "arguments": arguments}


def words(said: str) -> Json:
    """What a model said."""
    content = [{"type": "output_text", "text": said}]
    return {"type": "message", "role": "assistant", "id": "msg_" + said, "content": content}


def done(made: Json, at: int = 0) -> list[Json]:
    """The events of an item."""
    number = 1 + 2 * at
    return [
        {"type": "response.output_item.added", "sequence_number": number, "output_index": at, "item": made},
        {"type": "response.output_item.done", "sequence_number": number + 1, "output_index": at, "item": made},
    ]


def ended(response: str, *made: Json, how: str = "completed") -> Json:
    """How a response ends."""
    usage = {"input_tokens": 10, "output_tokens": 1}
    held = {"id": response, "status": how, "output": [*made], "usage": usage}
    return {"type": f"response.{how}", "sequence_number": 1 + 2 * len(made), "response": held}


def whole(response: str, *made: Json, how: str = "completed") -> list[Json]:
    """All events of a response."""
    items = [event for at, one in enumerate(made) for event in done(one, at)]
    return [created(response), *items, ended(response, *made, how=how)]


def stream(*events: Json) -> bytes:
    """Events as an origin's frames."""
    return b"".join(text(orjson.dumps(event), masked=False) for event in events)


async def asked(socket: Socket, message: bytes = ASKED) -> Any:
    """Let the client send a request; what the origin gets."""
    await socket.client.wire.send(text(message))
    return orjson.loads((await socket.origin.next()).payload or b"")


async def heard(socket: Socket) -> Any:
    """The next message that the client gets."""
    return orjson.loads((await socket.client.next()).payload or b"")


async def going_on(socket: Socket) -> Any:
    """A response in which the model has called the proxy: the message by which it is to go on."""
    first = await asked(socket)
    assert [tool["name"] for tool in first["tools"]] == ["shell", TOOL]
    await socket.origin.wire.send(stream(*whole("r1", item("c1"))))
    assert (await heard(socket))["type"] == "response.created"
    return orjson.loads((await socket.origin.next()).payload or b"")


async def test_a_round_goes_on_with_nothing_but_what_is_answered_and_all_else_as_it_was() -> None:
    for nested in (False, True):
        async with opened(ccr_tool="start") as socket:
            message = creating(prompt(), tools=TOOLS, nested=nested, reasoning={"effort": "high"}, instructions="Be.")
            first = await asked(socket, message)
            await socket.origin.wire.send(stream(*whole("r1", item("c1"))))
            further = orjson.loads((await socket.origin.next()).payload or b"")
            one, other = (made["response"] if nested else made for made in (first, further))
            (output,) = other.pop("input")
            assert output["call_id"] == "c1" and "There is no original" in output["output"]
            assert other.pop("previous_response_id") == "r1"
            assert other == {key: value for key, value in one.items() if key != "input"}


async def test_what_a_client_asks_next_waits_for_the_end_and_what_it_says_else_does_not() -> None:
    async with opened(ccr_tool="start") as socket:
        assert (await asked(socket))["input"] == [prompt()]
        cancel = b'{"type":"response.cancel"}'
        await socket.client.wire.send(text(cancel) + text(creating(prompt("next"), tools=TOOLS)))
        assert (await socket.origin.next()).payload == cancel
        await socket.origin.wire.send(stream(*whole("r1", item("c1"))))
        further = orjson.loads((await socket.origin.next()).payload or b"")
        assert further["previous_response_id"] == "r1"
        await socket.origin.wire.send(stream(*whole("r2", words("hi"))))
        assert orjson.loads((await socket.origin.next()).payload or b"")["input"] == [prompt("next")]
        told = [await heard(socket) for _ in range(4)]
        assert [event["type"].split(".")[-1] for event in told] == ["created", "added", "done", "completed"]
        assert [event["sequence_number"] for event in told] == [0, 1, 2, 3]
        last = told[-1]["response"]
        assert last["id"] == "r2" and last["output"] == [words("hi")] and last["usage"]["input_tokens"] == 20


@pytest.mark.parametrize("large", [False, True], ids=["in fragments", "too large to be held"])
async def test_a_round_goes_on_behind_the_message_that_the_client_is_sending(large: bool) -> None:
    async with opened(ccr_tool="start", body_limit=2000) as socket:
        await asked(socket)
        said = b'{"type":"session.update","x":"' + b"x" * 5000 * large
        sent = text(said + b'"}') if large else frame(Opcode.TEXT, said, fin=False) + frame(Opcode.CONT, b'"}')
        begin = 3000 if large else len(sent) - 8
        await socket.client.wire.send(sent[:begin])
        assert await socket.origin.wire.exactly(begin) == sent[:begin]
        (exchange,) = exchanges(socket.edge)
        await socket.origin.wire.send(stream(*whole("r1", item("c1"))))
        assert (await heard(socket))["type"] == "response.created"
        await eventually(lambda: exchange._duplex is not None and exchange._duplex._further)
        # What it asks next waits for the end, and is not waited for.
        await socket.client.wire.send(sent[begin:] + text(creating(prompt("next"), tools=TOOLS)))
        assert await socket.origin.wire.exactly(len(sent) - begin) == sent[begin:]
        assert orjson.loads((await socket.origin.next()).payload or b"")["previous_response_id"] == "r1"
        await socket.origin.wire.send(stream(*whole("r2")))
        assert orjson.loads((await socket.origin.next()).payload or b"")["input"] == [prompt("next")]


@pytest.mark.parametrize("seed", range(8))
async def test_pieces_make_no_difference(seed: int) -> None:
    random = Random(seed)
    async with opened(ccr_tool="start") as socket:
        await asked(socket)
        limits = frame(Opcode.TEXT, b'{"type":"codex.rate_', fin=False, masked=False)
        limits += frame(Opcode.PING, b"between", masked=False) + frame(Opcode.CONT, b'limits"}', masked=False)
        first = whole("r1", words("one"), item("c1"), item("c2"))
        data = stream(*first[:3]) + limits + stream(*first[3:])
        for more in (data, stream(*whole("r2", words("two")))):
            at = 0
            while at < len(more):
                size = random.choice((1, 2, 3, 7, 50, 400))
                await socket.origin.wire.send(more[at : at + size])
                at += size
            if more is data:
                await socket.origin.next()
        got: list[bytes] = []
        while not got or b"response.completed" not in got[-1]:
            arrived = await socket.client.next()
            got.append(bytes(arrived.payload or b""))
        assert got.index(b"between") == got.index(b'{"type":"codex.rate_') - 1 or b"between" in got
        told = [orjson.loads(one) for one in got if one.startswith(b'{"type":"response.')]
        assert [event["sequence_number"] for event in told] == list(range(6))
        assert [event["output_index"] for event in told if "output_index" in event] == [0, 0, 1, 1]
        assert told[-1]["response"]["output"] == [words("one"), words("two")]


async def test_a_client_that_closes_between_rounds_is_heard_and_nothing_more_is_asked() -> None:
    async with opened(ccr_tool="start") as socket:
        await going_on(socket)
        await socket.client.wire.send(close(1000))
        closed = await socket.origin.next()
        assert closed.opcode == CLOSE
        await socket.origin.wire.send(stream(*whole("r2", item("c2"))) + close(1000, masked=False))
        assert (await socket.client.next()).opcode == CLOSE
        await socket.client.ended()
        assert endings(socket) == {"client_close": 1}
        await gone(socket)


async def test_an_origin_that_closes_between_rounds_is_heard_with_its_code() -> None:
    async with opened(ccr_tool="start") as socket:
        await going_on(socket)
        await socket.origin.wire.send(close(1011, "sorry", masked=False))
        closed = await socket.client.next()
        assert closed.opcode == CLOSE and close_code(closed.payload or b"") == 1011
        await socket.client.wire.send(close(1011))
        assert (await socket.origin.next()).opcode == CLOSE
        await gone(socket)


@pytest.mark.parametrize("closes", [True, False])
async def test_an_origin_that_ends_with_a_response_is_heard_after_it(closes: bool) -> None:
    async with opened(ccr_tool="start") as socket:
        await asked(socket)
        said = stream(*whole("r1", words("hi"), item("c1"), item("c2", "shell")))
        await socket.origin.wire.send(said + (close(1001, "enough", masked=False) if closes else b""))
        socket.origin.wire.close()
        told = [await heard(socket) for _ in range(6)]
        assert told[-1]["type"] == "response.completed"
        assert told[-1]["response"]["output"] == [words("hi"), item("c2", "shell")]
        if closes:
            assert close_code((await socket.client.next()).payload or b"") == 1001
            await socket.client.wire.send(close(1001))
        assert await socket.client.ended() == ("end" if closes else "reset")
        await gone(socket)
        assert endings(socket) == {"origin_close" if closes else "origin_gone": 1}


@pytest.mark.parametrize("waits", [True, False])
async def test_an_origins_close_reaches_a_client_whose_answer_is_never_made_up(waits: bool) -> None:
    begun = asyncio.Event()

    async def endless(call: Call, caller: CallerInfo) -> str:
        begun.set()
        await asyncio.Event().wait()
        return ""

    async with opened(ccr_tool="start") as socket:
        socket.edge.offer(MEMORY_TOOLS[0], endless)
        await asked(socket)
        called = stream(*whole("r1", item("c1", MEMORY_TOOLS[0].name)))
        await socket.origin.wire.send(called + close(1012, "again", masked=False))
        assert await heard(socket) == created("r1")
        async with asyncio.timeout(LIMIT):
            await begun.wait()
        (exchange,) = exchanges(socket.edge)
        assert exchange._duplex is not None
        if waits:
            exchange._duplex.check(socket.edge.watch.now + 6)
        else:
            await socket.client.wire.send(close(1000))
        assert close_code((await socket.client.next()).payload or b"") == 1012
        assert await socket.client.ended() == "end"
        await gone(socket)
        assert endings(socket) == {"origin_close": 1}


async def test_an_origin_that_goes_between_rounds_is_a_cut() -> None:
    async with opened(ccr_tool="start") as socket:
        await going_on(socket)
        socket.origin.wire.reset()
        assert await socket.client.ended() == "reset"
        assert endings(socket) == {"origin_gone": 1}
        await gone(socket)


async def test_a_client_that_goes_between_rounds_leaves_nothing() -> None:
    async with opened(ccr_tool="start") as socket:
        await going_on(socket)
        socket.client.wire.reset()
        await gone(socket)
        assert endings(socket) == {"client_gone": 1}


async def test_an_error_in_place_of_a_round_reaches_the_client_and_the_next_request_goes() -> None:
    error = {"type": "error", "status": 400, "error": {"code": "previous_response_not_found", "message": "no"}}
    async with opened(ccr_tool="start") as socket:
        await going_on(socket)
        await socket.origin.wire.send(stream(error))
        assert await heard(socket) == error
        assert (await asked(socket, creating(prompt("again"), tools=TOOLS)))["input"] == [prompt("again")]


async def test_a_round_that_fails_is_told_as_the_end_of_the_whole() -> None:
    async with opened(ccr_tool="start") as socket:
        await going_on(socket)
        await socket.origin.wire.send(stream(created("r2"), ended("r2", how="failed")))
        told = await heard(socket)
        assert told["type"] == "response.failed" and told["response"]["id"] == "r2"
        await asked(socket)


async def test_a_response_that_is_cancelled_shows_no_call_of_the_proxy() -> None:
    async with opened(ccr_tool="start") as socket:
        await asked(socket)
        made = (words("one"), item("c1"))
        await socket.origin.wire.send(stream(*whole("r1", *made)[:-1]))
        assert [(await heard(socket))["type"] for _ in range(3)][-1] == "response.output_item.done"
        cancel = b'{"type":"response.cancel"}'
        await socket.client.wire.send(text(cancel))
        assert (await socket.origin.next()).payload == cancel
        await socket.origin.wire.send(stream(ended("r1", *made, how="cancelled")))
        told = await heard(socket)
        assert told["type"] == "response.cancelled" and told["response"]["output"] == [words("one")]
        assert told["sequence_number"] == 3
        assert (await asked(socket, creating(prompt("next"), tools=TOOLS)))["input"] == [prompt("next")]


async def test_a_call_that_was_never_answered_is_not_missed_later() -> None:
    async with opened(ccr_tool="start") as socket:
        await asked(socket)
        await socket.origin.wire.send(stream(*whole("r1", words("cut"), item("c1"), how="incomplete")))
        told = [await heard(socket) for _ in range(4)]
        assert told[-1]["response"]["output"] == [words("cut")]
        for given in ([prompt("go on")], "go on"):
            message = {"type": "response.create", "tools": TOOLS, "previous_response_id": "r1", "input": given}
            items = (await asked(socket, orjson.dumps(message)))["input"]
            assert items[0] == result("c1", LIMIT_REACHED) and len(items) == 2
            await socket.origin.wire.send(stream(*whole("r2")))
            assert [(await heard(socket))["type"] for _ in range(2)]


async def test_an_event_too_large_to_be_read_goes_as_it_is_while_nothing_is_hidden() -> None:
    async with opened(ccr_tool="start", answer_limit="1KiB") as socket:
        await asked(socket)
        large = words("x" * 5000)
        await socket.origin.wire.send(stream(*whole("r1", large)))
        assert await heard(socket) == created("r1")
        rest = stream(*whole("r1", large)[1:])
        assert await socket.client.wire.exactly(len(rest)) == rest
        # It is no more known when such an answer ends; the next request goes all the same.
        assert (await asked(socket, creating(prompt("next"), tools=TOOLS)))["input"] == [prompt("next")]


async def test_an_event_too_large_to_be_read_is_a_cut_after_something_was_hidden() -> None:
    async with opened(ccr_tool="start", answer_limit="1KiB") as socket:
        await going_on(socket)
        await socket.origin.wire.send(stream(created("r2"), *done(words("x" * 5000))))
        assert await socket.client.ended() == "reset"
        await gone(socket)


async def test_fragments_that_hold_nothing_are_not_held_without_end() -> None:
    async with opened(ccr_tool="start", answer_limit="64KiB") as socket:
        begin = frame(Opcode.TEXT, b"{", fin=False, masked=False)
        empty = frame(Opcode.CONT, b"", fin=False, masked=False) * 300
        await socket.origin.wire.send(begin + empty)
        assert await socket.client.wire.exactly(len(begin + empty)) == begin + empty
        end = frame(Opcode.CONT, b"}", masked=False)
        await socket.origin.wire.send(end)
        assert await socket.client.wire.exactly(len(end)) == end
        await going_on(socket)


async def test_frames_that_are_none_go_as_they_come() -> None:
    async with opened(ccr_tool="start") as socket:
        await asked(socket)
        bad = b"\xff\xff\xff and more"
        await socket.origin.wire.send(stream(created("r1")) + bad)
        assert await heard(socket) == created("r1")
        assert await socket.client.wire.exactly(len(bad)) == bad
        await socket.origin.wire.send(b"still")
        assert await socket.client.wire.exactly(5) == b"still"


async def test_an_answerers_fault_is_told_to_the_model() -> None:
    async def failing(call: Call, caller: CallerInfo) -> str:
        raise ZeroDivisionError

    async with opened(ccr_tool="start") as socket:
        socket.edge.offer(MEMORY_TOOLS[0], failing)
        await asked(socket)
        await socket.origin.wire.send(stream(*whole("r1", item("c1", MEMORY_TOOLS[0].name))))
        further = orjson.loads((await socket.origin.next()).payload or b"")
        assert further["input"] == [result("c1", BROKEN)]


async def test_draining_waits_for_the_end_of_what_is_woven() -> None:
    async with opened(ccr_tool="start") as socket:
        await going_on(socket)
        stopping = asyncio.get_running_loop().create_task(socket.edge.drain(10.0))
        await eventually(lambda: socket.edge.draining)
        await socket.origin.wire.send(stream(*whole("r2", words("hi"))))
        told = [await heard(socket) for _ in range(3)]
        assert told[-1]["type"] == "response.completed"
        assert (await socket.client.next()).opcode == CLOSE
        assert (await socket.origin.next()).opcode == CLOSE
        await socket.client.wire.send(close(1001))
        assert await stopping == 0
