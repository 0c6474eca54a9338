"""What the events of a stream suffer while the same proxy presses megabytes of tool results for others.

An event's lateness is its arrival against the clock of its own stream: the earliest arrivals set the clock. With and
without pressing take turns; what is compared is the same stream through the same proxy.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks import load, payloads, rig, servers
from tests.support.outputs import invented

BOUND_MS = 5.0
INTERVAL_MS = 4
SIZE = 1_000_000
AT_ONCE = 3
KINDS = ("service_log", "json_nested", "table", "search", "diff", "test_run", "json_lines", "paths", "history")
SETTINGS = {"compression-mode": "live_zone", "press-deadline": "60s", "press-deadline-limit": "120s"}


@contextmanager
def proxy(root: Path) -> Iterator[tuple[servers.Server, servers.Server]]:
    """An origin, and Headroom in front of it, which presses."""
    with servers.scratch() as folder, servers.origin(folder, None).running() as behind:
        plan = servers.headroom(folder, behind.port, None, root)
        command = list(plan.command)
        for name, value in SETTINGS.items():
            if f"--{name}" in command:
                command[command.index(f"--{name}") + 1] = value
            else:
                command += [f"--{name}", value]
        with replace(plan, command=command).running() as ours:
            yield behind, ours


class Listener(asyncio.Protocol):
    """Takes the time at which each piece of a stream comes."""

    def __init__(self, ended: asyncio.Future[None]) -> None:
        self.times: list[float] = []
        self._ended = ended
        self._tail = b""

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        self.times += [now] * data.count(b"event: content_block_delta")
        self._tail = (self._tail + data)[-64:]
        if b"0\r\n\r\n" in self._tail and not self._ended.done():
            self._ended.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._ended.done():
            self._ended.set_exception(load.WrongAnswer(f"the stream was cut ({exc!r})"))


async def lateness(port: int, events: int) -> list[float]:
    """Milliseconds by which each event of one stream came after its time."""
    loop = asyncio.get_running_loop()
    question = load.stream(events, INTERVAL_MS)
    transport, listener = await loop.create_connection(lambda: Listener(loop.create_future()), "127.0.0.1", port)
    for part in question.wire(port):
        transport.write(part)
    async with asyncio.timeout(load.DEADLINE):
        await listener._ended
    transport.close()
    offsets = [at * 1000 - number * INTERVAL_MS for number, at in enumerate(listener.times)]
    return [offset - min(offsets) for offset in offsets]


def request(kind: str, seed: int) -> bytes:
    """A request with one new tool result of about a megabyte."""
    text = invented(kind, seed, SIZE).text
    call = {"type": "tool_use", "id": f"toolu_{kind}_{seed}", "name": "Bash", "input": {}}
    answer = {"type": "tool_result", "tool_use_id": call["id"], "content": text}
    messages = [
        {"role": "user", "content": "Which test fails?"},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [answer]},
    ]
    return json.dumps({"model": "m", "max_tokens": 9, "messages": messages}, separators=(",", ":")).encode()


async def press_until(stop: asyncio.Event, port: int, bodies: Iterator[bytes], counts: dict[str, int]) -> None:
    """Send one body after the other on one connection, and see that each was pressed."""
    while not stop.is_set():
        body = next(bodies)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(payloads.request_head(f"127.0.0.1:{port}", "reply=small", len(body)))
        writer.write(body)
        head = await reader.readuntil(b"\r\n\r\n")
        counts["sent"] += 1
        counts["pressed"] += b"x-headroom-transforms: " in head.lower()
        writer.close()


async def measure(options: rig.Options) -> Sequence[rig.Finding]:
    events = options.pick(1500, 500)
    made = [request(kind, seed) for seed in range(options.pick(6, 2)) for kind in KINDS]
    findings: list[rig.Finding] = []
    with proxy(options.root) as (_, ours):
        counts = {"sent": 0, "pressed": 0}
        fresh = number_of_bodies(made)
        await press_until_one(ours.port, fresh)  # the token ranks are loaded now
        quiet: list[float] = []
        busy: list[float] = []
        for _ in range(options.rounds):
            quiet += await lateness(ours.port, events)
            stop = asyncio.Event()
            loop = asyncio.get_running_loop()
            work = [loop.create_task(press_until(stop, ours.port, fresh, counts)) for _ in range(AT_ONCE)]
            busy += await lateness(ours.port, events)
            stop.set()
            await asyncio.gather(*work)
        figures = {
            name: {f"p{percent}": round(rig.percentile(of, percent), 3) for percent in (50, 99, 99.9, 100)}
            for name, of in (("without_ms", quiet), ("with_ms", busy))
        }
        added = round(rig.percentile(busy, 99) - rig.percentile(quiet, 99), 3)
        detail: dict[str, object] = {**figures, **counts, "at_once": AT_ONCE, "events": len(busy)}
        findings.append(rig.Finding("added_to_events_p99_ms", added, BOUND_MS, detail))
    return findings


def number_of_bodies(made: Sequence[bytes]) -> Iterator[bytes]:
    """The bodies over and over, each time another conversation's, so that each is new to the proxy."""
    turn = 0
    while True:
        for body in made:
            turn += 1
            yield body.replace(b"Which test fails?", b"Which test fails, %d?" % turn, 1).replace(
                b'"toolu_', b'"toolu_%d_' % turn
            )


async def press_until_one(port: int, bodies: Iterator[bytes]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.call_later(0.01, stop.set)
    await press_until(stop, port, bodies, {"sent": 0, "pressed": 0})


QUESTION = rig.Question("press_latency", "Delay of a stream's events while large results are pressed", measure)

if __name__ == "__main__":
    sys.exit(rig.main(QUESTION))
