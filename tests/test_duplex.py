"""A WebSocket through the proxy: frames go as they came and in order, requests are pressed, ends stay ends."""

from __future__ import annotations

import asyncio
import json
import re
from random import Random

import orjson
import pytest
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame as TheirFrame
from websockets.frames import Opcode

from headroom.edge import Edge
from headroom.exchange import Exchange
from headroom.metrics import stats
from headroom.wire.websocket import BINARY, CLOSE, PING, TEXT, FrameReader, Packing, close_code
from tests.support.embedded import edge_to, shrink_send_buffers, unsent
from tests.support.frames import frame
from tests.support.raw_client import connect, read_answer
from tests.support.raw_origin import OK, RawOrigin, read_request
from tests.support.raw_wire import Ended, Wire, eventually
from tests.support.sockets import (
    CREATED,
    DONE,
    HANDSHAKE,
    Socket,
    close,
    creating,
    listing,
    opened,
    prompt,
    result,
    text,
)

LOOPS = ("asyncio", "uvloop")
OUTPUT = re.compile(rb'"output": ?"(?:[^"\\]|\\.)*"')
DELTA = b'{"type":"response.output_text.delta","delta":"some words"}'


def blank(message: bytes) -> bytes:
    """A message without its function outputs."""
    return OUTPUT.sub(b'"output":""', message)


def outputs(message: bytes) -> list[str]:
    """The function outputs in a message or body."""
    found = orjson.loads(message)
    found = found.get("response", found)
    return [item["output"] for item in found["input"] if "output" in item]


def endings(socket: Socket) -> dict[str, int]:
    """What has ended sockets so far, by cause."""
    told = stats(socket.edge.board)["websockets"]
    assert isinstance(told, dict)
    return {cause: count for cause, count in told["endings"].items() if count}


def exchanges(edge: Edge) -> list[Exchange]:
    """The exchanges under way."""
    return [exchange for exchange in edge.active if isinstance(exchange, Exchange)]


async def gone(socket: Socket) -> None:
    """Wait until nothing of a socket is left."""
    edge = socket.edge
    await eventually(lambda: not edge.active and not edge.clients and not edge.dialer.links)
    assert not edge.watch._members.keys() - {id(edge.dialer)}
    told = stats(edge.board)["websockets"]
    assert isinstance(told, dict) and told["open"] == 0


# Frames that are only passed on.


async def test_frames_that_are_no_request_keep_every_byte_in_both_directions() -> None:
    async with opened() as socket:
        for made in (
            text(b'{"type":"response.cancel"}'),
            text(b"no json"),
            text(b""),
            frame(Opcode.BINARY, b"\0\xff" * 2000),
            frame(Opcode.TEXT, b'{"type":"session.update"', fin=False),
            frame(Opcode.PING, b"between"),
            frame(Opcode.CONT, b"}"),
            frame(Opcode.PONG, b""),
            text(b'{"a":"response.create"}'),
            text(b'{"type":"response.create"'),
            text(creating(prompt())),
        ):
            await socket.client.wire.send(made)
            assert await socket.origin.wire.exactly(len(made)) == made
        for made in (
            text(DELTA, masked=False),
            frame(Opcode.BINARY, b"\0\xff" * 2000, masked=False),
            frame(Opcode.TEXT, DELTA[:9], fin=False, masked=False),
            frame(Opcode.PING, b"between", masked=False),
            frame(Opcode.CONT, DELTA[9:], masked=False),
            text(b'{"type":"codex.rate_limits","plan":1}', masked=False),
        ):
            await socket.origin.wire.send(made)
            assert await socket.client.wire.exactly(len(made)) == made


async def test_a_byte_at_a_time_is_the_same() -> None:
    async with opened() as socket:
        message = creating(result("c1", listing()))
        sent = text(message)
        await socket.client.wire.send_each(sent[at : at + 97] for at in range(0, len(sent), 97))
        seen = await socket.origin.next()
        assert seen.payload is not None and blank(seen.payload) == blank(message) and seen.payload != message
        made = text(DELTA, masked=False)
        for at in range(len(made)):
            await socket.origin.wire.send(made[at : at + 1])
            assert await socket.client.wire.exactly(1) == made[at : at + 1], "not kept until the frame is whole"


async def test_what_comes_with_the_heads_is_not_lost() -> None:
    eager, early = text(b"eager"), text(b"early", masked=False)
    async with opened(eager=eager, early=early) as socket:
        assert await socket.client.wire.exactly(len(early)) == early
        assert await socket.origin.wire.exactly(len(eager)) == eager


# Heads.


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        (b"", b"responses_websockets=2026-02-06"),
        (b"OpenAI-Beta: one, Two\r\n", b"one,Two,responses_websockets=2026-02-06"),
        (b"OpenAI-Beta: one\r\nopenai-beta: two\r\n", b"one,two,responses_websockets=2026-02-06"),
        (b"OPENAI-BETA: Responses_WebSockets=2026-02-06, b\r\n", b"Responses_WebSockets=2026-02-06, b"),
        (b"openai-beta: responses_websockets=2026-02-06\r\nOpenAI-Beta: a\r\n", b"responses_websockets=2026-02-06,a"),
    ],
)
async def test_the_token_that_the_origin_insists_on_is_sent_once(fields: bytes, sent: bytes) -> None:
    async with opened(fields) as socket:
        lines = [line for line in socket.request.split(b"\r\n") if line.lower().startswith(b"openai-beta:")]
        assert [line.partition(b":")[2].strip() for line in lines] == [sent]


async def test_the_rest_of_the_head_and_what_the_origin_selected_pass() -> None:
    fields = b"Sec-WebSocket-Protocol: a, b\r\nX-Codex: 1\r\n"
    async with opened(fields, b"Sec-WebSocket-Protocol: b\r\nx-codex-turn-state: 5\r\n") as socket:
        for line in (*fields.split(b"\r\n"), b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"Upgrade: websocket"):
            assert line in socket.request
        assert b"\r\nSec-WebSocket-Protocol: b\r\nx-codex-turn-state: 5\r\n" in socket.answer
        assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in socket.answer


async def test_extensions_that_cannot_be_read_are_not_offered() -> None:
    async with opened(b"Sec-WebSocket-Extensions: x-other, permessage-deflate; client_max_window_bits\r\n") as socket:
        assert b"sec-websocket-extensions: permessage-deflate; client_max_window_bits\r\n" in socket.request
    async with opened(b"Sec-WebSocket-Extensions: x-other\r\n") as socket:
        assert b"sec-websocket-extensions" not in socket.request.lower()


async def test_an_answer_that_cannot_be_read_makes_it_a_tunnel() -> None:
    async with opened(b"", b"Sec-WebSocket-Extensions: x-other\r\n") as socket:
        message = b"\xf1" + text(creating(result("c1", listing())))[1:]
        await socket.client.wire.send(message)
        assert await socket.origin.wire.exactly(len(message)) == message


@pytest.mark.parametrize("status", [b"401 Unauthorized", b"404 Not Found", b"426 Upgrade Required", b"503 Busy"])
async def test_a_refused_upgrade_comes_to_the_client_as_it_came(status: bytes) -> None:
    async with RawOrigin() as origin, edge_to(origin.url) as edge, await connect(edge.port) as client:
        await client.send(HANDSHAKE + b"\r\n")
        peer = await origin.accept()
        await peer.until(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 %b\r\nContent-Length: 2\r\nX-Why: so\r\n\r\nno" % status)
        answer = await read_answer(client)
        assert (answer.status, answer.body, answer.value(b"x-why")) == (int(status[:3]), b"no", b"so")
        await client.send(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
        await read_request(peer)
        await peer.send(OK)
        assert (await read_answer(client)).body == b"ok"


async def test_an_upgrade_on_http_1_0_is_a_plain_request() -> None:
    async with RawOrigin() as origin, edge_to(origin.url) as edge, await connect(edge.port) as client:
        await client.send(HANDSHAKE.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n")
        peer = await origin.accept()
        assert b"pgrade" not in (await read_request(peer)).head
        await peer.send(OK)
        assert (await read_answer(client)).status == 200
        assert await client.rest() == b""


@pytest.mark.parametrize(
    ("page", "allowed", "status"),
    [
        (b"https://evil.example", "", 403),
        (b"null", "", 403),
        (b"http://localhost.evil.example", "", 403),
        (b"vscode-webview://x", "", 403),
        (b"https://good.example:444", "https://good.example", 403),
        (b"https://good.example", "https://other.example, https://good.example:443", 426),
        (b"https://any.example", "*", 426),
        (b"http://localhost:3000", "", 426),
        (b"http://127.0.0.1", "", 426),
        (b"http://[::1]:1", "", 426),
    ],
)
async def test_pages_from_elsewhere_open_no_socket(page: bytes, allowed: str, status: int) -> None:
    async with (
        RawOrigin() as origin,
        edge_to(origin.url, websocket_origins=allowed) as edge,
        await connect(edge.port) as client,
    ):
        await client.send(HANDSHAKE + b"Origin: " + page + b"\r\n\r\n")
        if status == 426:
            peer = await origin.accept()
            await peer.until(b"\r\n\r\n")
            await peer.send(b"HTTP/1.1 426 No\r\nContent-Length: 0\r\n\r\n")
        assert (await read_answer(client)).status == status
        assert len(origin.peers) == (status == 426)


# Requests.


@pytest.mark.parametrize("nested", [False, True], ids=["flat", "nested"])
async def test_the_outputs_in_a_request_are_pressed_and_nothing_else_changes(nested: bool) -> None:
    async with opened() as socket:
        message = creating(prompt("ä€😀 \\u"), result("c1", listing()), result("c2", "short"), nested=nested, x=1.0)
        await socket.client.wire.send(text(message))
        seen = await socket.origin.next()
        assert seen.payload is not None and seen.opcode == TEXT and seen.fin
        assert blank(seen.payload) == blank(message)
        first, second = outputs(seen.payload)
        assert len(first) < len(listing()) / 2 and second == "short"
        await socket.answered(b"r1")
        told = stats(socket.edge.board)
        assert told["usage"] == {"uncached": 60, "read": 40, "write": 0, "write_1h": 0, "output": 7}
        assert told["slots"]["pressed"] == 1  # type: ignore[index]
        assert told["websockets"]["responses"]["complete"] == 1 and told["websockets"]["open"] == 1  # type: ignore[index]


async def test_responses_are_told_apart_by_what_they_go_on_from() -> None:
    begun = b'{"type":"response.created","response":{"id":"%b","previous_response_id":%b}}'
    async with opened() as socket:
        await socket.client.wire.send(text(creating(prompt())))
        await socket.origin.next()
        await socket.answered(b"r1")
        for output in (result("c1", listing()), result("c2", "short")):
            await socket.client.wire.send(text(creating(output, previous_response_id="r" + output["call_id"][1:])))  # type: ignore[index]
            await socket.origin.next()
        # The second is answered first; then the origin goes on by itself from what it answered.
        for message in (
            begun % (b"r4", b'"r2"'),
            DONE % b"r4",
            begun % (b"r3", b'"r1"'),
            DONE % b"r3",
            begun % (b"r5", b'"r3"'),
            DONE % b"r5",
        ):
            await socket.origin.wire.send(text(message, masked=False))
            assert (await socket.client.next()).payload == message
        (exchange,) = exchanges(socket.edge)
        duplex = exchange._duplex
        assert duplex is not None and not duplex._under_way
        chains = duplex._under_way._chains
        assert chains["r4"].strange and not chains["r3"].strange
        assert chains["r5"] == chains["r3"] and chains["r3"].conversation == chains["r1"].conversation != b""
        assert chains["r3"].saved > 1000 and chains["r4"].saved == 0


async def test_typed_text_is_left_where_its_conversation_is_not_known() -> None:
    """It is known by its conversation alone; sent again with the whole history it would go otherwise."""
    pasted = json.dumps([{"id": at, "name": f"name {at}", "state": "open"} for at in range(200)], indent=2)
    async with opened() as socket:
        message = text(creating(prompt(pasted), previous_response_id="elsewhere"))
        await socket.client.wire.send(message)
        assert await socket.origin.wire.exactly(len(message)) == message
        await socket.answered(b"r1")
        await socket.client.wire.send(
            text(creating(prompt(pasted), result("c1", listing()), previous_response_id="r1"))
        )
        seen = await socket.origin.next()
        assert seen.payload is not None and outputs(seen.payload) != [listing()]
        assert orjson.loads(seen.payload)["input"][0] == prompt(pasted)
        await socket.client.wire.send(text(creating(prompt(pasted))))
        seen = await socket.origin.next()
        assert seen.payload is not None and len(seen.payload) < len(pasted)


async def test_what_was_saved_is_saved_again_in_all_that_goes_on_from_it() -> None:
    async with opened() as socket:
        await socket.client.wire.send(text(creating(prompt(), result("c1", listing()))))
        await socket.origin.next()
        await socket.answered(b"r1")
        saved = stats(socket.edge.board)["bill"]["saved"]  # type: ignore[index]
        await socket.client.wire.send(text(creating(prompt("More."), previous_response_id="r1")))
        await socket.origin.next()
        await socket.answered(b"r2")
        told = stats(socket.edge.board)
        assert saved > 1000 and told["bill"]["saved"] == pytest.approx(1.5 * saved), "read at half the price"  # type: ignore[index]
        assert told["prefix"] == {"new": 1, "same": 0, "client": 0, "proxy": 0}


async def test_a_request_in_fragments_is_held_until_it_is_whole_and_pings_are_not() -> None:
    async with opened() as socket:
        message = creating(result("c1", listing()))
        cuts = (10, 40, 5000, len(message))
        begin = 0
        for end in cuts:
            fin = end == len(message)
            part = message[begin:end]
            await socket.client.wire.send(frame(Opcode.CONT if begin else Opcode.TEXT, part, fin=fin))
            begin = end
            if not fin:
                ping = frame(Opcode.PING, b"%d" % end)
                await socket.client.wire.send(ping)
                assert await socket.origin.wire.exactly(len(ping)) == ping
        seen = await socket.origin.next()
        assert seen.fin and seen.payload is not None and blank(seen.payload) == blank(message)
        assert outputs(seen.payload) != outputs(message)


async def test_fragments_of_what_turns_out_to_be_no_request_keep_their_bytes() -> None:
    async with opened() as socket:
        pieces = [
            frame(Opcode.TEXT, b'{"x":1', fin=False),
            frame(Opcode.CONT, b',"type":"response.', fin=False),
            frame(Opcode.CONT, b'cancel"}'),
        ]
        await socket.client.wire.send_each(pieces)
        assert await socket.origin.wire.exactly(sum(map(len, pieces))) == b"".join(pieces)


async def test_what_follows_a_request_waits_for_it() -> None:
    async with opened(press_deadline="60s", press_deadline_limit="60s") as socket:
        requests = [creating(result(f"c{at}", listing(at, 2000))) for at in range(3)]
        sent = b"".join(
            part for request in requests for part in (text(request), text(b"after"), frame(Opcode.BINARY, b"b"))
        )
        await socket.client.wire.send(sent + close(1000, "done"))
        kinds = []
        for _ in range(10):
            seen = await socket.origin.next()
            kinds.append(seen.opcode)
            if seen.opcode == TEXT and seen.payload != b"after":
                assert seen.payload is not None
                request = requests.pop(0)
                assert blank(seen.payload) == blank(request) and len(seen.payload) < len(request) / 2
        assert kinds == [TEXT, TEXT, BINARY] * 3 + [CLOSE]


async def test_a_message_too_large_to_be_held_goes_as_it_comes() -> None:
    async with opened(body_limit=2000) as socket:
        message = creating(result("c1", listing()))
        whole = text(message)
        await socket.client.wire.send(whole[:1500])
        assert await socket.origin.wire.exactly(1500) == whole[:1500], "not held"
        await socket.client.wire.send(whole[1500:])
        assert await socket.origin.wire.exactly(len(whole) - 1500) == whole[1500:]
        pieces = [frame(Opcode.TEXT, message[:900], fin=False)]
        pieces += [frame(Opcode.CONT, message[at : at + 900], fin=False) for at in range(900, 4500, 900)]
        pieces.append(frame(Opcode.CONT, message[4500:]))
        for piece in pieces:
            await socket.client.wire.send(piece)
        assert await socket.origin.wire.exactly(sum(map(len, pieces))) == b"".join(pieces)
        small = creating(result("c2", listing(1, 40)))
        await socket.client.wire.send(text(small))
        seen = await socket.origin.next()
        assert seen.payload is not None and blank(seen.payload) == blank(small) and len(seen.payload) < len(small)


async def test_fragments_that_hold_nothing_are_not_held_without_end() -> None:
    async with opened(body_limit="64KiB") as socket:
        begin = frame(Opcode.TEXT, b'{"type":"response.create"', fin=False)
        empty = frame(Opcode.CONT, b"", fin=False) * 300
        await socket.client.wire.send(begin + empty)
        assert await socket.origin.wire.exactly(len(begin + empty)) == begin + empty
        end = frame(Opcode.CONT, b"}")
        await socket.client.wire.send(end + text(creating(result("c1", listing()))))
        assert await socket.origin.wire.exactly(len(end)) == end
        seen = await socket.origin.next()
        assert seen.payload is not None and outputs(seen.payload) != [listing()]


@pytest.mark.parametrize(
    ("fields", "mode", "policy"),
    [
        (b"x-headroom-bypass: true\r\n", "live_zone", ""),
        (b"x-headroom-mode: passthrough\r\n", "live_zone", ""),
        (b"", "off", ""),
        (b"", "observe", ""),
        (b"", "live_zone", "shell=none"),
    ],
)
async def test_nothing_is_changed_where_nothing_may_be(fields: bytes, mode: str, policy: str) -> None:
    async with opened(fields, compression_mode=mode, tool_policy=policy) as socket:
        assert b"x-headroom" not in socket.request
        called = b'{"type":"response.output_item.done","item":{"type":"function_call","call_id":"c1","name":"shell"}}'
        await socket.origin.wire.send(text(called, masked=False))
        await socket.client.next()
        message = text(creating(result("c1", listing())))
        await socket.client.wire.send(message)
        assert await socket.origin.wire.exactly(len(message)) == message
        await socket.answered(b"r1")
        told = stats(socket.edge.board)
        assert told["tokens"]["saved"] == 0 and told["usage"]["output"] == 7  # type: ignore[index]
        assert isinstance(bill := told["bill"], dict)
        assert bill["direct"] == bill["forwarded"] > 0 == bill["rounds"], "the client has asked for all of it"


async def test_a_fault_of_ours_sends_the_request_as_it_came() -> None:
    async with opened() as socket:
        socket.edge.shrinker._locators = {}
        message = text(creating(result("c1", listing())))
        await socket.client.wire.send(message + text(b"after"))
        assert await socket.origin.wire.exactly(len(message)) == message
        assert (await socket.origin.next()).payload == b"after"
        await socket.answered(b"r1")


async def test_outputs_go_alike_on_a_socket_and_over_http() -> None:
    """Increments, a resume that holds the whole history, and a post: one conversation, the same bytes."""
    history: list[object] = [prompt()]
    session = b"session-id: s1\r\n"
    first: dict[str, str] = {}
    async with opened(session) as socket:
        await socket.client.wire.send(
            text(creating({"type": "message", "role": "developer", "content": "d"}, generate=False))
        )
        await socket.origin.next()
        await socket.answered(b"warm")
        before = "warm"
        for at in range(4):
            new = [prompt()] if at == 0 else [result(f"c{at}", listing(at // 3)), result(f"d{at}", listing(at + 10))]
            await socket.client.wire.send(text(creating(*new, previous_response_id=before)))
            seen = await socket.origin.next()
            assert seen.payload is not None
            for item in orjson.loads(seen.payload)["input"]:
                if "output" in item:
                    first[item["call_id"]] = item["output"]
            before = f"r{at}"
            await socket.answered(before.encode())
            if at:
                calls = [
                    {"type": "function_call", "call_id": f"{kind}{at}", "name": "sh", "arguments": "{}"}
                    for kind in "cd"
                ]
                history += [*calls, *new]
        assert len(first["c1"]) < len(listing(0)) / 2
        assert first["c2"] == listing(0), "asked twice, given whole"
        edge, peer = socket.edge, socket.origin.wire
        await socket.client.wire.send(close(1000))
        await socket.origin.next()
        await peer.send(close(1000, masked=False))
        peer.close()
        await socket.client.next()
        await gone(socket)
        # Over HTTP, with the whole history.
        body = json.dumps({"model": "m", "input": history}).encode()
        async with await connect(edge.port) as client:
            await client.send(
                b"POST /v1/responses HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-test\r\n%b"
                b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (session, len(body)) + body
            )
            posted = await read_request(await socket.listener.accept())
            assert {i["call_id"]: i["output"] for i in orjson.loads(posted.body)["input"] if "output" in i} == first
        # On another socket, in one frame that holds the whole history.
        async with await connect(edge.port) as client:
            await client.send(HANDSHAKE + session + b"\r\n")
            peer = await socket.listener.accept()
            await peer.until(b"\r\n\r\n")
            await peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            await read_answer(client)
            await client.send(text(creating(*history, generate=False)))
            socket.origin.wire, socket.origin.reader = (
                peer,
                type(socket.origin.reader)(masked=True, limit=1 << 26, deflated=False),
            )
            seen = await socket.origin.next()
            assert seen.payload is not None
            assert {i["call_id"]: i["output"] for i in orjson.loads(seen.payload)["input"] if "output" in i} == first


# Compression.

DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"


async def test_deflated_requests_are_pressed_and_all_else_keeps_its_bytes() -> None:
    accepted = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=12\r\n"
    async with opened(DEFLATE, accepted) as socket:
        assert DEFLATE in socket.request
        assert (
            b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=12; client_no_context_takeover\r\n"
            in socket.answer
        )
        packing = Packing(12, 15, keeps=True).of_client()
        for at in range(3):
            other = packing.pack(b'{"type":"response.cancel","x":"%b"}' % (b"x" * 200))
            message = creating(result(f"c{at}", listing(at)))
            await socket.client.wire.send(other + packing.pack(message) + text(b"plain"))
            assert await socket.origin.wire.exactly(len(other)) == other
            seen = await socket.origin.next()
            assert seen.packed and seen.payload is not None
            plain = packing.unpack(seen.payload, 1 << 20)
            assert blank(plain) == blank(message) and len(plain) < len(message) / 2
            assert (await socket.origin.next()).payload == b"plain"
        damaged = frame(Opcode.TEXT, b'\xff\xff{"type":"response.create"', packed=True)
        await socket.client.wire.send(damaged)
        assert close_code((await socket.client.next()).payload or b"") == 1002


async def test_a_client_that_opted_out_deflates_as_it_likes_and_is_heard() -> None:
    accepted = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
    async with opened(b"x-headroom-bypass: true\r\n" + DEFLATE, accepted) as socket:
        assert accepted in socket.answer
        sender = PerMessageDeflate(True, False, 15, 15)
        for at in range(3):
            message = creating(result(f"c{at}", listing()))
            made = TheirFrame(Opcode.TEXT, message).serialize(mask=True, extensions=[sender])
            await socket.client.wire.send(made)
            assert await socket.origin.wire.exactly(len(made)) == made
            await socket.answered(b"r%d" % at)
        told = stats(socket.edge.board)
        assert told["usage"]["output"] == 21 and told["slots"]["pressed"] == 0  # type: ignore[index]


async def test_a_request_that_unpacks_too_far_goes_as_it_came() -> None:
    accepted = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
    async with opened(DEFLATE, accepted, body_limit=20_000) as socket:
        packing = Packing(15, 15, keeps=True).of_client()
        message = packing.pack(creating(result("c1", "0" * 100_000)))
        await socket.client.wire.send(message)
        assert await socket.origin.wire.exactly(len(message)) == message


# Ends.


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "going"), (4001, "äh"), (1011, "x" * 100)])
async def test_closes_pass_with_their_code_and_reason_from_either_side(code: int, reason: str) -> None:
    async with opened() as socket:
        asked, answered = close(code, reason), close(code, masked=False)
        await socket.client.wire.send(asked)
        assert await socket.origin.wire.exactly(len(asked)) == asked
        await socket.origin.wire.send(answered)
        socket.origin.wire.close()
        assert await socket.client.wire.exactly(len(answered)) == answered
        assert await socket.client.ended() == "end"
        await gone(socket)
        assert endings(socket) == {"client_close": 1}
    async with opened() as socket:
        asked, answered = close(code, reason, masked=False), close(code)
        await socket.origin.wire.send(asked)
        assert await socket.client.wire.exactly(len(asked)) == asked
        await socket.client.wire.send(answered)
        assert await socket.origin.wire.exactly(len(answered)) == answered
        assert await socket.client.ended() == "end"
        await gone(socket)
        assert endings(socket) == {"origin_close": 1}


async def test_a_close_without_a_code_passes() -> None:
    async with opened() as socket:
        empty = frame(Opcode.CLOSE, b"")
        await socket.client.wire.send(empty)
        assert await socket.origin.wire.exactly(len(empty)) == empty


@pytest.mark.parametrize("way", ["close", "reset"])
async def test_an_origin_that_goes_without_a_close_leaves_the_client_without_one(way: str) -> None:
    async with opened() as socket:
        await socket.client.wire.send(text(creating(prompt())))
        await socket.origin.next()
        last = text(DELTA, masked=False)
        await socket.origin.wire.send(last)
        assert await socket.client.wire.exactly(len(last)) == last
        getattr(socket.origin.wire, way)()
        assert await socket.client.ended() == "reset"
        await gone(socket)
        assert endings(socket) == {"origin_gone": 1}
        told = stats(socket.edge.board)
        assert told["outcomes"]["truncated"] == 1  # type: ignore[index]
        assert told["websockets"]["responses"]["aborted"] == 1  # type: ignore[index]


@pytest.mark.parametrize("way", ["close", "reset"])
async def test_a_client_that_goes_without_a_close_leaves_the_origin_without_one(way: str) -> None:
    async with opened() as socket:
        await socket.client.wire.send(text(creating(prompt())))
        await socket.origin.next()
        getattr(socket.client.wire, way)()
        with pytest.raises(Ended):
            await socket.origin.next()
        assert socket.origin.wire.ending == "reset"
        await gone(socket)
        assert endings(socket) == {"client_gone": 1}


async def test_a_client_that_leaves_while_its_request_is_pressed_leaves_nothing() -> None:
    async with opened() as socket:
        await socket.client.wire.send(text(creating(result("c1", listing(0, 20_000)))))
        (exchange,) = exchanges(socket.edge)
        await eventually(lambda: exchange._duplex is not None and exchange._duplex._task is not None)
        socket.client.wire.reset()
        await gone(socket)
        await eventually(lambda: len(asyncio.all_tasks()) == 1)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (b"\x83\x80abcd", 1002),
        (text(b"x", masked=False), 1002),
        (b"\xc1\x80abcd", 1002),
        (frame(Opcode.CONT, b"x"), 1002),
        (text(b'{"type":"response.create","x":"\xff"}'), 1007),
        (text(b'{"type":"response.create","previous_response_id":"\xff"}'), 1007),
    ],
    ids=["opcode", "unmasked", "reserved bit", "continuation", "utf-8", "name"],
)
async def test_a_client_that_breaks_the_protocol_is_told_and_the_origin_is_dropped(bad: bytes, code: int) -> None:
    async with opened() as socket:
        ping = frame(Opcode.PING, b"p")
        await socket.client.wire.send(ping + bad)
        told = await socket.client.next()
        assert told.opcode == CLOSE and close_code(told.payload or b"") == code
        assert (await socket.origin.next()).opcode == PING
        assert await socket.origin.ended() == "reset"
        await socket.client.wire.send(close(code))
        assert await socket.client.ended() == "end"
        await gone(socket)
        assert endings(socket) == {"bad_frame": 1}


async def test_text_that_is_not_read_need_not_be_utf8_for_us() -> None:
    async with opened() as socket:
        made = text(b'{"type":"other","x":"\xff"}')
        await socket.client.wire.send(made)
        assert await socket.origin.wire.exactly(len(made)) == made


async def test_an_origin_that_breaks_the_protocol_is_its_clients_to_judge() -> None:
    async with opened() as socket:
        bad = b"\x83\x02ab" + text(DELTA, masked=False)
        await socket.origin.wire.send(bad)
        assert await socket.client.wire.exactly(len(bad)) == bad
        socket.origin.wire.close()
        assert await socket.client.ended() == "end"
        await gone(socket)


# Time.


@pytest.mark.one_loop
async def test_a_silent_socket_is_closed_on_both_sides() -> None:
    async with opened(websocket_idle="50ms") as socket:
        await socket.client.wire.send(text(b"hello"))
        await socket.origin.next()
        for end in (socket.client, socket.origin):
            told = await end.next()
            assert told.opcode == CLOSE and close_code(told.payload or b"") == 1001
        await socket.client.wire.send(close(1001))
        assert await socket.client.ended() == "end"
        await gone(socket)
        assert endings(socket) == {"idle": 1}


@pytest.mark.one_loop
async def test_silence_within_a_response_is_a_cut() -> None:
    async with opened(silence_timeout="50ms") as socket:
        await socket.client.wire.send(text(creating(prompt())))
        await socket.origin.next()
        assert await socket.client.ended() == "reset"
        await gone(socket)
        assert endings(socket) == {"silent": 1}


@pytest.mark.parametrize("known", [True, False])
async def test_silence_after_an_ending_too_large_to_be_read_is_none_within_a_response(known: bool) -> None:
    async with opened(silence_timeout="100s", websocket_idle="1000s", answer_limit="1KiB") as socket:
        await socket.client.wire.send(text(creating(prompt())))
        await socket.origin.next()
        said = text(CREATED % b"r1", masked=False) + text(DONE % (b"r1" + b"x" * 2000), masked=False)
        said += text(CREATED % b"r2", masked=False) * known
        await socket.origin.wire.send(said)
        assert await socket.client.wire.exactly(len(said)) == said
        (exchange,) = exchanges(socket.edge)
        assert exchange._duplex is not None
        exchange._duplex.check(socket.edge.watch.now + 101)
        assert endings(socket) == ({"silent": 1} if known else {})
        if not known:
            exchange._duplex.check(socket.edge.watch.now + 1001)
            assert close_code((await socket.client.next()).payload or b"") == 1001


async def test_a_client_that_never_says_anything_is_closed() -> None:
    async with opened() as socket:
        (exchange,) = exchanges(socket.edge)
        duplex = exchange._duplex
        assert duplex is not None
        duplex.check(socket.edge.watch.now + 59)
        duplex.check(socket.edge.watch.now + 61)
        told = await socket.client.next()
        assert close_code(told.payload or b"") == 1001
        socket.client.wire.close()
        await gone(socket)
        assert endings(socket) == {"no_first_frame": 1}


async def test_a_close_that_is_not_answered_ends_all_the_same() -> None:
    async with opened() as socket:
        await socket.client.wire.send(close(1000))
        await socket.origin.next()
        (exchange,) = exchanges(socket.edge)
        assert exchange._duplex is not None
        exchange._duplex.check(socket.edge.watch.now + 6)
        assert await socket.client.ended() == "end"
        await gone(socket)


async def test_an_origin_that_does_not_take_the_last_is_let_go_of() -> None:
    async with opened(receive_buffer=65536, silence_timeout="200ms") as socket:
        shrink_send_buffers(socket.edge)
        (exchange,) = exchanges(socket.edge)
        duplex = exchange._duplex
        assert duplex is not None
        sent = [0]
        while unsent(socket.edge) < 58_000:
            message = text(b"x" * 3000)
            sent[0] += len(message)
            await socket.client.wire.send(message)
            await eventually(lambda: [duplex._bytes_out] == sent)
        await socket.client.wire.send(close(1000))
        await eventually(lambda: duplex._client_closed)
        duplex.check(socket.edge.watch.now + 6)
        assert await socket.client.ended() == "end"
        await gone(socket)


async def test_draining_closes_sockets_between_responses_and_others_after_theirs() -> None:
    async with opened() as socket:
        await socket.client.wire.send(text(creating(prompt())))
        await socket.origin.next()
        draining = asyncio.get_running_loop().create_task(socket.edge.drain(10.0))
        await eventually(lambda: socket.edge.draining)
        await socket.origin.wire.send(text(CREATED % b"r1", masked=False) + text(DELTA, masked=False))
        assert (await socket.client.next()).payload == CREATED % b"r1"
        assert (await socket.client.next()).payload == DELTA
        await socket.origin.wire.send(text(DONE % b"r1", masked=False))
        assert (await socket.client.next()).payload == DONE % b"r1"
        for end in (socket.client, socket.origin):
            told = await end.next()
            assert told.opcode == CLOSE and close_code(told.payload or b"") == 1001
        await socket.client.wire.send(close(1001))
        assert await draining == 0
        assert endings(socket) == {"draining": 1}
    async with opened() as socket:
        draining = asyncio.get_running_loop().create_task(socket.edge.drain(10.0))
        assert close_code((await socket.client.next()).payload or b"") == 1001
        socket.client.wire.close()
        assert await draining == 0


async def test_draining_waits_for_what_may_be_a_request_and_no_longer() -> None:
    async with opened() as socket:
        begin = frame(Opcode.TEXT, b'{"x":1', fin=False)
        await socket.client.wire.send(begin)
        (exchange,) = exchanges(socket.edge)
        duplex = exchange._duplex
        assert duplex is not None
        await eventually(lambda: duplex._gatherer.holds)
        draining = asyncio.get_running_loop().create_task(socket.edge.drain(10.0))
        await eventually(lambda: socket.edge.draining)
        end = frame(Opcode.CONT, b"}")
        await socket.client.wire.send(end)
        assert await socket.origin.wire.exactly(len(begin + end)) == begin + end
        for side in (socket.client, socket.origin):
            assert close_code((await side.next()).payload or b"") == 1001
        await socket.client.wire.send(close(1001))
        assert await draining == 0


async def test_draining_leaves_a_close_that_is_under_way_alone() -> None:
    async with opened() as socket:
        await socket.client.wire.send(close(4000, "mine"))
        assert close_code((await socket.origin.next()).payload or b"") == 4000
        draining = asyncio.get_running_loop().create_task(socket.edge.drain(10.0))
        await eventually(lambda: socket.edge.draining)
        await socket.origin.wire.send(close(4000, masked=False))
        socket.origin.wire.close()
        assert close_code((await socket.client.next()).payload or b"") == 4000
        assert await socket.client.ended() == "end"
        assert await draining == 0


# Many, and much.


@pytest.mark.one_loop
async def test_a_slow_reader_at_either_end_pauses_the_other() -> None:
    async with opened(receive_buffer=65536) as socket:
        shrink_send_buffers(socket.edge)
        message = text(b"x" * 60_000)
        much = message * 300
        for source, sink, made in (
            (socket.client.wire, socket.origin.wire, much),
            (socket.origin.wire, socket.client.wire, text(b"x" * 60_000, masked=False) * 300),
        ):
            taken = await source.flood(made)
            assert taken < len(made) and unsent(socket.edge) < 1 << 20
            sending = asyncio.get_running_loop().create_task(source.send(made[taken:]))
            assert await sink.exactly(len(made)) == made
            await sending


async def test_a_client_that_breaks_the_protocol_behind_much_is_heard_to_close() -> None:
    async with opened() as socket:
        much = text(creating(result("c1", listing(0, 9000)))) + text(b"y" * 60_000) * 6
        await socket.client.wire.send(much + b"\x83\x80abcd")
        assert close_code((await socket.client.next()).payload or b"") == 1002
        await socket.client.wire.send(close(1002))
        assert await socket.client.ended() == "end"
        await gone(socket)


@pytest.mark.one_loop
async def test_what_waits_behind_a_request_is_bounded() -> None:
    async with opened() as socket:
        request = creating(result("c1", listing(0, 30_000)))
        follow = text(b"y" * 60_000) * 200
        sending = asyncio.get_running_loop().create_task(socket.client.wire.send(text(request) + follow))
        most = 0
        seen = None
        (exchange,) = exchanges(socket.edge)
        duplex = exchange._duplex
        assert duplex is not None
        while seen is None:
            most = max(most, duplex._queued)
            if socket.origin.wire.held or await socket.origin.wire.more():
                seen = await socket.origin.next()
        assert seen.payload is not None and blank(seen.payload) == blank(request)
        assert await socket.origin.wire.exactly(len(follow)) == follow
        await sending
        assert most < len(request) + (1 << 20)


@pytest.mark.one_loop
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("deflated", [False, True])
async def test_whatever_is_said_in_whatever_pieces_arrives_in_order(seed: int, deflated: bool) -> None:
    random = Random(seed)
    accepted = b"Sec-WebSocket-Extensions: permessage-deflate\r\n" if deflated else b""
    async with opened(DEFLATE if deflated else b"", accepted, body_limit=30_000) as socket:
        packing = Packing(15, 15, keeps=False).of_client()
        said: list[bytes] = []
        raws: list[bytes] = []
        pings = 0
        stream = b""
        for at in range(60):
            size = random.choice([0, 5, 130, 3000, 40_000])
            kind = random.choice(["ask", "ask", "text", "binary", "ping"])
            if kind == "ping":
                stream += frame(Opcode.PING, b"%d" % at)
                pings += 1
                continue
            opcode = Opcode.BINARY if kind == "binary" else Opcode.TEXT
            message = random.randbytes(size) if kind == "binary" else b"x" * size
            if kind == "ask":
                message = creating(result(f"c{at}", listing(at, size // 40)), nested=bool(at % 2))
            said.append(message)
            packed = deflated and kind != "binary" and random.random() < 0.6
            payload = packing.pack(message) if packed else message
            if packed:
                reader = FrameReader(masked=True, limit=1 << 26, deflated=True)
                payload = reader.feed(payload)[0].payload or b""
            count = random.choice([1, 1, 2, 5])
            step = -(-len(payload) // count) or 1
            parts = [payload[begin : begin + step] for begin in range(0, len(payload), step)] or [b""]
            raw = b""
            for number, part in enumerate(parts):
                code = opcode if number == 0 else Opcode.CONT
                made = frame(code, part, fin=number == len(parts) - 1, packed=packed and number == 0)
                raw += made
                stream += made
                if random.random() < 0.2:
                    stream += frame(Opcode.PING, b"within")
                    pings += 1
            raws.append(raw)
        stream += close(1000)

        async def speak() -> None:
            begin = 0
            while begin < len(stream):
                end = begin + random.choice([1, 7, 900, 60_000])
                await socket.client.wire.send(stream[begin:end])
                begin = end

        speaking = asyncio.get_running_loop().create_task(speak())
        heard: list[bytes] = []
        pieces: list[bytes] = []
        raw, packed, pinged = b"", False, 0
        while (seen := await socket.origin.next()).opcode != CLOSE:
            assert seen.payload is not None
            if seen.opcode == PING:
                pinged += 1
                continue
            packed = seen.packed if not pieces else packed
            pieces.append(seen.payload)
            raw += seen.raw
            if seen.fin:
                whole = b"".join(pieces)
                heard.append(packing.unpack(whole, 1 << 26) if packed else whole)
                if heard[-1] == said[len(heard) - 1]:
                    assert raw == raws[len(heard) - 1], "what was not changed has its very bytes"
                pieces.clear()
                raw = b""
        await speaking
        assert pinged == pings
        assert [blank(one) for one in heard] == [blank(one) for one in said]
        assert sum(map(len, heard)) < sum(map(len, said))


@pytest.mark.one_loop
async def test_a_hundred_sockets_at_once_leave_nothing() -> None:
    async with opened() as socket:
        edge = socket.edge

        async def one(at: int) -> None:
            async with await connect(edge.port) as client:
                await client.send(HANDSHAKE + b"session-id: s%d\r\n\r\n" % at)
                assert (await read_answer(client)).status == 101
                message = text(creating(result(f"c{at}", listing(at, 60))))
                await client.send(message)
                if at % 3 == 0:
                    client.reset()
                elif at % 3 == 1:
                    await client.send(close(1000))
                    await client.rest()

        async def answer() -> None:
            for _ in range(100):
                peer = await socket.listener.accept()
                await peer.until(b"\r\n\r\n")
                await peer.send(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
                )
                peers.append(asyncio.get_running_loop().create_task(converse(peer)))

        async def converse(peer: Wire) -> None:
            data = b""
            while await peer.more():
                data += peer.held
                peer.held = b""
                if data[-8:-7] == b"\x88":
                    await peer.send(close(1000, masked=False))
                    break
            peer.close()

        peers: list[asyncio.Task[None]] = []
        serving = asyncio.get_running_loop().create_task(answer())
        await asyncio.gather(*(one(at) for at in range(100)))
        await serving
        await asyncio.gather(*peers)
        socket.client.wire.close()
        await gone(socket)
        await eventually(lambda: len(asyncio.all_tasks()) == 1)
