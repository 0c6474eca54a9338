"""Clients on raw connections: what they ask, what they must get back, and when its first bytes came.

Answers are parsed by httptools and hashed, so that whatever a proxy does to the framing, a body that differs by
one byte, a wrong status or a connection closed early is an error and not a number.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

import httptools
import orjson

from benchmarks import payloads

DEADLINE: Final = 120.0  # seconds for one answer; a hang is a failure, not a slow run


class WrongAnswer(Exception):
    """An answer is not byte for byte what the origin sends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request without its Host line, and the answer that is due.

    `first` is how many body bytes make the first event: its time is taken when that many are here.
    """

    query: str
    body: bytes
    length: int
    sha256: bytes
    first: int = 1

    def wire(self, port: int) -> tuple[bytes, ...]:
        """The writes that send it: head and a short body at once, a long body for itself."""
        head = payloads.request_head(f"127.0.0.1:{port}", self.query, len(self.body))
        return (head + self.body,) if len(self.body) < 64 * 1024 else (head, self.body)


def small_json(body_size: int = 700) -> Question:
    return _expecting(payloads.SMALL_REPLY, query="reply=small", body=payloads.messages_body(body_size))


def stream(events: int, interval_ms: int, body_size: int = 700) -> Question:
    answer = payloads.sse_events(events)
    query = f"reply=stream&events={events}&interval_ms={interval_ms}"
    body = payloads.messages_body(body_size, stream=True)
    return _expecting(b"".join(answer), query=query, body=body, first=len(answer[0]))


def upload(size: int) -> Question:
    """A body of `size` bytes; the answer carries the SHA-256 of what the origin received."""
    body = payloads.messages_body(size)
    answer = {"type": "message", "length": size, "sha256": hashlib.sha256(body).hexdigest()}
    return _expecting(orjson.dumps(answer), query="reply=digest", body=body)


def download(size: int) -> Question:
    query = f"reply=bytes&size={size}"
    return _expecting(payloads.prose(size), query=query, body=payloads.messages_body(700))


def _expecting(answer: bytes, *, query: str, body: bytes, first: int = 1) -> Question:
    digest = hashlib.sha256(answer).digest()
    return Question(query=query, body=body, length=len(answer), sha256=digest, first=first)


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds from the request's write to the first event and to the end of the answer."""

    first: float
    total: float


class Client(asyncio.Protocol):
    """One keep-alive connection, one question at a time."""

    __slots__ = ("_begun", "_digest", "_done", "_first_at", "_got", "_parser", "_question", "_transport")

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._done: asyncio.Future[Timing] | None = None
        self._question: Question | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class, which does not derive from it

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(WrongAnswer(f"{error!r}: {error.__context__!r}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(WrongAnswer(f"the connection was closed before the answer ended ({exc!r})"))

    def ask(self, question: Question, wire: tuple[bytes, ...]) -> asyncio.Future[Timing]:
        """Send `question` as `wire`; the future ends with the last byte of the right answer, or with WrongAnswer."""
        if self._done is not None:
            raise RuntimeError("one question at a time")
        if self._transport.is_closing():
            raise WrongAnswer("the connection was closed between two questions")
        loop = asyncio.get_running_loop()
        self._question = question
        self._got = 0
        self._first_at = 0
        self._digest = hashlib.sha256()
        self._done = loop.create_future()
        self._begun = time.perf_counter_ns()
        for part in wire:
            self._transport.write(part)
        return self._done

    def close(self) -> None:
        self._done = None
        self._transport.abort()

    def on_body(self, body: bytes) -> None:
        assert self._question is not None
        self._got += len(body)
        self._digest.update(body)
        if not self._first_at and self._got >= self._question.first:
            self._first_at = time.perf_counter_ns()

    def on_message_complete(self) -> None:
        now = time.perf_counter_ns()
        question, done = self._question, self._done
        if question is None or done is None:
            self._transport.abort()
            return
        status = self._parser.get_status_code()
        if status != 200 or self._got != question.length or self._digest.digest() != question.sha256:
            self._fail(WrongAnswer(f"status {status}, {self._got} bytes where 200 and {question.length} are due"))
            return
        self._done = None
        done.set_result(Timing((self._first_at - self._begun) / 1e9, (now - self._begun) / 1e9))

    @property
    def begun(self) -> bool:
        """Whether the first event of the current answer is here."""
        return self._first_at > 0

    def _fail(self, error: WrongAnswer) -> None:
        done, self._done = self._done, None
        if done is not None and not done.done():
            done.set_exception(error)


class Crowd:
    """`size` connections to one port, opened once and kept, so that opening them is never part of a figure."""

    def __init__(self, port: int, clients: Sequence[Client]) -> None:
        self.port = port
        self.clients = clients

    @classmethod
    async def open(cls, port: int, size: int) -> Crowd:
        """Connect `size` clients, a hundred at a time: the listen queue is not what is being measured."""
        clients: list[Client] = []
        while len(clients) < size:
            batch = min(100, size - len(clients))
            clients += await asyncio.gather(*(_connect(port) for _ in range(batch)))
        return cls(port, clients)

    async def repeat(self, question: Question, total: int) -> list[Timing]:
        """Ask `total` times in all, each client as soon as its last answer is complete."""
        wire = question.wire(self.port)
        left = iter(range(total))

        async def run(client: Client) -> list[Timing]:
            return [await client.ask(question, wire) for _ in left]

        async with asyncio.timeout(DEADLINE):
            timings = await asyncio.gather(*map(run, self.clients))
        return [timing for of_client in timings for timing in of_client]

    async def at_once(self, question: Question) -> list[Timing]:
        """Ask once on every connection, all in one turn of the loop."""
        wire = question.wire(self.port)
        async with asyncio.timeout(DEADLINE):
            return await asyncio.gather(*[client.ask(question, wire) for client in self.clients])

    async def begin(self, question: Question) -> None:
        """Ask once on every connection and return when each has its first event; the rest is not waited for."""
        wire = question.wire(self.port)
        answers = [client.ask(question, wire) for client in self.clients]
        async with asyncio.timeout(DEADLINE):
            while not all(client.begun for client in self.clients):
                for ended in filter(asyncio.Future.done, answers):
                    ended.result()
                await asyncio.sleep(0.01)

    def close(self) -> None:
        for client in self.clients:
            client.close()


async def crowds(ports: Mapping[str, int], size: int) -> dict[str, Crowd]:
    """One crowd of `size` for each of `ports`, under its name."""
    return {name: await Crowd.open(port, size) for name, port in ports.items()}


async def _connect(port: int) -> Client:
    _, client = await asyncio.get_running_loop().create_connection(Client, "127.0.0.1", port)
    return client
