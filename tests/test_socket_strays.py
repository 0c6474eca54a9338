"""Whatever either side of a socket says, in whatever pieces, and however it leaves: nothing of it stays behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest
from websockets.frames import Opcode

from headroom.duplex import Duplex
from headroom.edge import Edge
from headroom.events import Event, ShrinkFailed
from headroom.exchange import Exchange
from tests.support.embedded import edge_to
from tests.support.frames import frame
from tests.support.raw_client import connect, read_answer
from tests.support.raw_origin import RawOrigin
from tests.support.raw_wire import Ended, Wire, eventually
from tests.support.sockets import HANDSHAKE, SWITCH, close, creating, listing, prompt, result, text
from tests.test_socket_endings import TOOLS, created, item, stream, whole, words

LOOPS = ("asyncio", "uvloop")
Saying = Callable[[Random], bytes]


def request(random: Random) -> bytes:
    """A request, which may go on from a response that there was or was not."""
    follows = f"r{random.randint(1, 5)}" if random.random() < 0.5 else None
    return text(creating(prompt(), tools=TOOLS, previous_response_id=follows))


def response(random: Random) -> bytes:
    """A response in which the model may call the proxy, its client, or both."""
    calls = random.sample([item("c1"), item("c2", "shell"), item("c3")], random.randint(0, 3))
    how = random.choice(["completed", "incomplete", "failed", "cancelled"])
    return stream(*whole(f"r{random.randint(1, 5)}", words("hi"), *calls, how=how))


def noise(random: Random) -> bytes:
    """Bytes that are no frame, now and then."""
    return random.randbytes(9) if random.random() < 0.3 else b""


def fragments(said: bytes, *, masked: bool) -> bytes:
    """A message in two fragments with a ping between."""
    half = len(said) // 2
    begin, end = (
        frame(Opcode.TEXT, said[:half], fin=False, masked=masked),
        frame(Opcode.CONT, said[half:], masked=masked),
    )
    return begin + frame(Opcode.PING, b"between", masked=masked) + end


CLIENT: Sequence[Saying] = (
    request,
    lambda random: text(creating(result(f"c{random.randint(0, 9)}", listing(0, 80)), tools=TOOLS)),
    lambda _: text(b'{"type":"response.cancel"}'),
    lambda _: fragments(creating(prompt()), masked=True),
    lambda _: fragments(b'{"type":"session.update"}', masked=True),
    lambda _: frame(Opcode.BINARY, b"\0" * 9000),
    lambda _: close(1000),
    noise,
)
ORIGIN: Sequence[Saying] = (
    response,
    response,
    lambda random: stream(created(f"r{random.randint(1, 5)}")),
    lambda _: stream({"type": "error", "status": 400, "error": {"message": "no"}}),
    lambda _: fragments(b'{"type":"codex.rate_limits"}', masked=False),
    lambda _: frame(Opcode.BINARY, b"\0" * 70_000, masked=False),
    lambda _: close(1000, masked=False),
    noise,
)


async def speak(wire: Wire, random: Random, sayings: Sequence[Saying]) -> None:
    """Say some things, listen now and then, and leave in one way or another."""
    with contextlib.suppress(ConnectionError, Ended):
        for _ in range(random.randint(1, 9)):
            said = random.choice(sayings)(random)
            while said and random.random() < 0.99:
                size = random.choice([1, 40, 5000])
                await wire.send(said[:size])
                said = said[size:]
            if random.random() < 0.5:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await wire.more()
    random.choice([wire.close, wire.reset])()


async def visit(edge: Edge, random: Random) -> None:
    """Open a socket and speak on it."""
    client = await connect(edge.port)
    await client.send(HANDSHAKE + b"session-id: s%d\r\n\r\n" % random.randint(0, 3))
    with contextlib.suppress(Ended):
        await read_answer(client)
    await speak(client, random, CLIENT)


async def answer(peer: Wire, random: Random) -> None:
    """Accept an upgrade and speak on it."""
    await peer.until(b"\r\n\r\n")
    await peer.send(SWITCH + b"\r\n")
    await speak(peer, random, ORIGIN)


def left(edge: Edge) -> list[object]:
    """What is still there of a proxy's exchanges."""
    gc.collect()
    return [one for one in gc.get_objects() if isinstance(one, Duplex | Exchange) and one._house is edge]


@pytest.mark.parametrize("seed", range(3))
async def test_however_sockets_end_nothing_of_them_stays(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(seed)
    loop = asyncio.get_running_loop()
    faults: list[object] = []
    answering: list[asyncio.Task[None]] = []

    def note(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        faults.append(context)

    def sink(event: Event) -> None:
        if isinstance(event, ShrinkFailed):
            faults.append(event)

    async def serve(origin: RawOrigin) -> None:
        while True:
            answering.append(loop.create_task(answer(await origin.accept(), random)))

    loop.set_exception_handler(note)
    async with RawOrigin() as origin, edge_to(origin.url, ccr_tool="start", answer_limit="32KiB") as edge:
        monkeypatch.setattr(edge, "sink", sink)
        serving = loop.create_task(serve(origin))
        for _ in range(5):
            await asyncio.gather(*(visit(edge, random) for _ in range(8)))
        await asyncio.gather(*answering)
        await eventually(lambda: not edge.active and not edge.clients and not edge.dialer.links)
        serving.cancel()
        assert not edge.watch._members.keys() - {id(edge.dialer)}
        assert edge.board.total("headroom_sockets") == 0
        await eventually(lambda: len(asyncio.all_tasks()) == 1)
        await eventually(lambda: not left(edge))
    assert not faults
