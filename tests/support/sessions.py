"""Sessions of a client through a proxy: what was sent, what the origin received, turn by turn."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.embedded import PATIENT
from tests.support.origin import Origin
from tests.support.raw_client import Answer, connect, read_answer
from tests.support.raw_wire import LIMIT
from tests.support.replay_check import Report, compare
from tests.support.request_shape import dialect_of, parse
from tests.support.script import Script, Turn

ROOT = Path(__file__).parents[2]
_LISTENS = re.compile(rb"listens on http://127\.0\.0\.1:(\d+)")


ENDPOINTS = {
    "anthropic": b"/v1/messages",
    "chat": b"/v1/chat/completions",
    "responses": b"/v1/responses",
    "gemini": b"/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
}


def scripted_origin() -> Origin:
    """An origin that gives the same short answer to everything."""
    return Origin(Script.single([Turn("Go on.")]), usage=lambda body: {"input_tokens": 1})


@dataclass
class Session:
    """One client's conversation. Each turn may go through another proxy on the way to the same origin."""

    origin: Origin
    key: bytes = b"dummy"
    login: bool = False  # the turns' own fields say who asks
    sent: list[bytes] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    async def turn(self, port: int, body: bytes, *fields: bytes) -> bytes:
        """Send one request through the proxy on `port`; returns what the origin received of it."""
        before = len(self.origin.requests)
        head = [
            b"POST " + ENDPOINTS[dialect_of(parse(body))] + b" HTTP/1.1",
            b"Host: x",
            *([] if self.login else [b"x-api-key: " + self.key]),
            b"Content-Type: application/json",
            *fields,
            b"Content-Length: %d" % len(body),
        ]
        async with await connect(port) as client:
            await client.send(b"\r\n".join([*head, b"", b""]) + body)
            answer = await read_answer(client)
        assert answer.status == 200, answer.head
        assert len(self.origin.requests) == before + 1
        self.sent.append(body)
        self.received.append(self.origin.requests[-1].body)
        self.answers.append(answer)
        return self.received[-1]

    async def turns(self, port: int, bodies: Iterable[bytes], *fields: bytes) -> None:
        """Send one request after the other through the proxy on `port`."""
        for body in bodies:
            await self.turn(port, body, *fields)

    @property
    def note(self) -> bytes | None:
        """What the proxy noted on the last answer."""
        return self.answers[-1].value(b"x-headroom-note")

    @property
    def report(self) -> Report:
        """The laws and the bill of the session so far."""
        return compare(self.sent, self.received)


@dataclass(frozen=True)
class Served:
    """A proxy in a process of its own."""

    port: int
    process: asyncio.subprocess.Process

    async def kill(self) -> None:
        """End it without warning. Only for one without workers, which would outlive it."""
        self.process.kill()
        async with asyncio.timeout(LIMIT):
            await self.process.communicate()


@asynccontextmanager
async def served(url: str, settings: Mapping[str, object]) -> AsyncIterator[Served]:
    """`python -m headroom.serve` in front of `url`; ended, if it still runs, when the block ends."""
    settings = {**PATIENT, **settings}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "headroom.serve",
        "--port=0",
        *(f"--{api}-api-url={url}" for api in ("anthropic", "openai", "gemini")),
        *(() if "ccr_tool" in settings else ("--ccr-tool=off",)),
        *flags,
        cwd=ROOT,
        env={"PATH": os.defpath, "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(LIMIT):
            shown = _LISTENS.search(await process.stdout.readline())
        assert shown is not None
        yield Served(int(shown[1]), process)
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(LIMIT):
            await process.communicate()
