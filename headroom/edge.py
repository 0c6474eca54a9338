"""The proxy as an object: everything wired together, to be run by `serve` or inside another asyncio program.

async with Edge(Config.of(port=0)) as edge:
    client = Anthropic(base_url=f"http://127.0.0.1:{edge.port}")
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import secrets
import socket
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self, cast

import msgspec

from headroom import control, plan, providers, recommendations
from headroom.answering import Answerer
from headroom.attribution import PREFIX
from headroom.betas import StickyTokens
from headroom.config import SETTINGS, Config, ConfigError, without_password
from headroom.error_answers import error_answer
from headroom.events import (
    Event,
    LearningNote,
    Level,
    MemoryInjection,
    Refused,
    Retrieved,
    ShrinkFailed,
    Stopped,
    StoreNote,
)
from headroom.exchange import Exchange
from headroom.faults import BodyTooLarge, Busy, Draining, Fault, NotFound, OriginNotAllowed, StoreDown, Unauthorized
from headroom.learning import CLOSE_SECONDS, Learning, learning_path
from headroom.lessons import Asked
from headroom.logs import LogWriter
from headroom.metrics import Board, Counters
from headroom.models import ModelList
from headroom.offering import Mode, Wish
from headroom.receipts import Receipts
from headroom.remembering import Remembering
from headroom.services import Services, Serving
from headroom.shrink import Shrinker
from headroom.stores import is_redis, ledger_of, open_memory, open_store, redis_store
from headroom.weave import Tool
from headroom.wire.downstream import Downstream, RequestSink
from headroom.wire.gate import Watch
from headroom.wire.head import RequestHead
from headroom.wire.origin import Origin
from headroom.wire.pool import Pool
from headroom.wire.reader import Data
from headroom.wire.tls import ResumingContext, client_context
from headroom.wire.upstream import Dialer, UpstreamLink
from headroom.zones import yardstick

BACKLOG = 1024  # connections that wait to be accepted
REQUEST_ID_LIMIT = 128  # characters of a client's own x-request-id that are taken over


class Limits(msgspec.Struct, frozen=True, gc=False):
    """What a client connection may take; see downstream.Limits."""

    header_timeout: float
    keep_alive_timeout: float
    body_timeout: float
    silence: float
    head_limit: int
    field_limit: int


class Edge:
    """One serving process's worth of proxy. Start it on a running loop; stop it with `drain` and `close`."""

    def __init__(self, config: Config, board: Board | None = None, worker: int = 0) -> None:
        self.config = config
        self.board = board or Board()
        self.counters: Counters = self.board.row(worker)
        self.clients: set[Downstream] = set()
        self.active: set[object] = set()
        self.draining = False
        self.limits = Limits(
            config.seconds("header_timeout"),
            config.seconds("keep_alive_timeout"),
            config.seconds("body_timeout"),
            config.seconds("silence_timeout"),
            config.whole("head_limit"),
            config.whole("field_limit"),
        )
        self._concurrency = config.whole("concurrency")
        self.body_limit = config.whole("body_limit")
        self.event_limit = config.whole("event_limit")
        self.answer_limit = config.whole("answer_limit")
        self.models_timeout = config.seconds("models_timeout")
        self.silence = self.limits.silence
        self.socket_idle = config.seconds("websocket_idle")
        self.strips = config.on("strip_internal_headers")
        self.receipts = Receipts()
        self.sticky_tokens: StickyTokens | None = None
        self.wish = Wish(cast(Mode, config.text("ccr_tool")))
        self.answerers: dict[str, Answerer] = {}
        self.remembering: Remembering | None = None
        self.learning: Learning | None = None
        self.recommendations = recommendations.Recommendations()
        self._token = config.proxy_token
        self._prefix = secrets.token_hex(6)
        self._count = 0
        self._server: asyncio.Server | None = None
        self._gone: asyncio.Event | None = None
        self._log: LogWriter | None = None
        self._control = control.Control(self.board, self._state)

    async def start(self, listener: socket.socket | None = None) -> None:
        """Open store and port. `listener` is a socket to serve instead of one of our own.

        Raises ConfigError for what cannot be opened.
        """
        config = self.config
        context = _context(config)
        if listener is None:
            listener = listen(config)
        try:
            self._log = _log(config)
            self.recommendations, told = recommendations.load(config)
            self.sink(told)
            down: list[StoreDown] = []
            store = await open_store(config, lambda trouble: self.sink(StoreNote(note=trouble)), down.append)
        except ConfigError:
            listener.close()
            if self._log is not None:
                self._log.close()
            raise
        loop = asyncio.get_running_loop()
        limits = self.limits
        times = (limits.header_timeout, limits.keep_alive_timeout, limits.body_timeout, limits.silence)
        shortest = min(*times, self.socket_idle)
        self.watch = Watch(loop, min(1.0, shortest / 4))
        self.ledger = ledger_of(config, store)
        for fault in down:
            self.ledger.went_down(fault)
        memories = open_memory(config)
        self.remembering = None if memories is None else Remembering(config, memories)
        if self.remembering is not None:
            for tool in self.remembering.tools:
                self.offer(tool, self.remembering.answer)
        tails = self.remembering.tails(self.ledger) if self.remembering is not None else None
        advice = self.recommendations
        hints_of = advice.hints_of if advice.hints else None
        self.shrinker = Shrinker(config, self.ledger, tails, advice.left_alone, hints_of)
        if config.on("learning"):
            self.learning = self._learning(loop)
            self.learning.open()
        self.sticky_tokens = StickyTokens(self.ledger) if config.on("beta_header_sticky") else None
        self.services = Services(config, self.ledger, self.board, self.sink, self._identity)
        self.dialer = Dialer(
            self.watch,
            context,
            Pool[Origin, UpstreamLink](config.seconds("origin_keep_alive"), config.whole("origin_idle_limit")),
            connect_timeout=config.seconds("connect_timeout"),
            silence=config.seconds("silence_timeout"),
            head_limit=limits.head_limit,
            field_limit=limits.field_limit,
        )
        self.port: int = listener.getsockname()[1]
        self._server = await loop.create_server(lambda: Downstream(self), sock=listener, backlog=BACKLOG)

    def offer(self, tool: Tool, answerer: Answerer) -> None:
        """Offer a tool to conversations that begin from now on, and have its calls answered by `answerer`."""
        self.wish = Wish(self.wish.retrieve, (*self.wish.others, tool))
        self.answerers[tool.name] = answerer

    def began(self, exchange: object) -> None:
        """An exchange is under way."""
        self.active.add(exchange)
        self.counters.add("headroom_active", 1)

    def ended(self, exchange: object) -> None:
        """An exchange is over."""
        self.active.discard(exchange)
        self.counters.add("headroom_active", -1)

    def joined(self, client: Downstream) -> None:
        """See downstream.Server. A connection that was accepted in the moment of closing goes again."""
        self.clients.add(client)
        self.counters.add("headroom_clients", 1)
        if self.draining:
            client.abort()

    def left(self, client: Downstream) -> None:
        """See downstream.Server."""
        self.clients.discard(client)
        self.counters.add("headroom_clients", -1)
        if self._gone is not None and not self.clients:
            self._gone.set()

    def sink(self, event: Event) -> None:
        """Log `event`; see events.Sink."""
        if type(event) is Retrieved or type(event) is MemoryInjection or type(event) is ShrinkFailed:
            self.counters(event)
            if type(event) is Retrieved and self.learning is not None and event.share:
                self.learning.note(Asked(event.hash, event.share, event.query))
        if self._log is not None:
            self._log(event)

    async def drain(self, grace: float | None = None) -> int:
        """Take no new connections, let exchanges end for `grace` seconds, and return how many were cut."""
        self.draining = True
        if self._server is not None:
            self._server.close()
        for client in list(self.clients):
            client.close_when_idle()
        for exchange in list(self.active):
            if isinstance(exchange, Exchange):
                exchange.drain()
        if self.clients:
            self._gone = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.config.seconds("drain_timeout") if grace is None else grace):
                    await self._gone.wait()
        cut = len(self.active)
        self.sink(Stopped(cut=cut))
        return cut

    async def close(self) -> None:
        """Abort what is left and let go of everything."""
        self.draining = True
        if self._server is not None:
            self._server.close()
        for client in list(self.clients):
            client.abort()
        await asyncio.sleep(0)  # the loop tells the exchanges
        await self.dialer.close()
        self.watch.close()
        self.services.close()
        await self.shrinker.close()
        await self.ledger.close()
        if self.remembering is not None:
            await self.remembering.close()
        if self.learning is not None:
            await _ended(self.learning)
            self.learning = None
        if self._log is not None:
            self._log.close()
            self._log = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.drain(0.0)
        await self.close()

    # What Downstream calls.

    def begin(self, client: Downstream, head: RequestHead) -> RequestSink:
        """Take a request: one of our own endpoints, a refusal, or an exchange."""
        loopback = control.is_loopback(client.peer)
        token = bool(self._token) and control.has_token(head, self._token)
        local = loopback and control.names_loopback(head.fields.get(b"host", b""))
        trusted = token or local
        if head.method in (b"GET", b"HEAD"):
            reply = self._control.answer(head, trusted=trusted)
            if reply is not None:
                close = self.draining or not head.keep_alive
                data = control.render(reply, head_only=head.method == b"HEAD", close=close)
                return _Answer(self, client, head, data)
        service = self.services.find(head)
        if service is not None:
            if not trusted:
                return _Answer(self, client, head, control.render(control.NOT_FOUND))
            return Serving(
                client, head, service, self.body_limit, self.sink, keep=head.keep_alive and not self.draining
            )
        if head.target.startswith(PREFIX) and self._is_ours_below(head):
            return _Answer(self, client, head, control.render(control.NOT_FOUND))
        if not loopback and self._token and not token:
            return self._turn_away(client, head, Unauthorized("send the proxy's token as x-headroom-proxy-token"))
        found = plan.plan(head, self.config, loopback=local)
        if isinstance(found, plan.Refusal):
            return self._turn_away(client, head, _REFUSALS[found.status](found.reason), found.dialect)
        if self.draining:
            return self._turn_away(client, head, Draining("the proxy is shutting down"), found.dialect)
        if len(self.active) >= self._concurrency:
            busy = Busy(f"{self._concurrency} exchanges are under way; try again shortly")
            return self._turn_away(client, head, busy, found.dialect)
        if found.mode == "rewrite" and head.length > self.body_limit:
            return self._turn_away(
                client, head, BodyTooLarge(f"the request body is over {self.body_limit} bytes"), found.dialect
            )
        if found.route == providers.ACCOUNT_MODELS_ROUTE:
            return ModelList(self, client, head, found, self._identity(head))
        return Exchange(self, client, head, found, self._identity(head))

    def _is_ours_below(self, head: RequestHead) -> bool:
        """Whether what follows a project's prefix is an endpoint of our own: those belong to no project, and what is
        sent to them is not the provider's to see."""
        bare = msgspec.structs.replace(head, target=plan.split(head.target)[0])
        return self._control.answer(bare, trusted=False) is not None or self.services.find(bare) is not None

    def refuse(self, client: Downstream, fault: Fault) -> bytes:
        """See downstream.Server: the answer to bytes that are no request, in the commonest provider's words."""
        self._note(fault)
        return error_answer(fault, providers.OPENAI_CHAT, self._next_id(), close=True)

    def _turn_away(
        self, client: Downstream, head: RequestHead, fault: Fault, dialect: providers.Dialect = providers.OPENAI_CHAT
    ) -> RequestSink:
        self._note(fault)
        keep = head.length == 0 and head.keep_alive and not self.draining
        data = error_answer(fault, dialect, self._identity(head), close=not keep, head_only=head.method == b"HEAD")
        return _Answer(self, client, head, data, keep=keep)

    def _note(self, fault: Fault) -> None:
        event = Refused(fault=fault.name, reason=str(fault), status=fault.status)
        self.counters(event)
        self.sink(event)

    def _identity(self, head: RequestHead) -> str:
        """The client's own request id, if it sends a fit one, else ours."""
        named = head.fields.get(b"x-request-id", b"")
        if 0 < len(named) <= REQUEST_ID_LIMIT and named.isascii() and named.decode().isprintable():
            return named.decode()
        return self._next_id()

    def _next_id(self) -> str:
        self._count += 1
        return f"hr_{self._prefix}{self._count:08x}"

    def _learning(self, loop: asyncio.AbstractEventLoop) -> Learning:
        def notify(trouble: str) -> None:
            _call_on(loop, lambda: self.sink(LearningNote(note=trouble)))

        return Learning(learning_path(self.config), self.config.seconds("learning_interval"), notify)

    def _state(self) -> control.State:
        loaded = "loaded" if yardstick.o200k_ready() else "not loaded"
        return control.State(
            ready=self._server is not None,
            draining=self.draining,
            store=self.ledger.store.kind,
            store_up=self.ledger.up,
            store_state=self.ledger.store.state,
            store_trouble=self.ledger.store.trouble or self.ledger.trouble,
            yardstick=self.shrinker.yardstick_fault or loaded,
            config=_shown(self.config),
            volatile=tuple(self.receipts.recent),
            memory=self.remembering is not None,
            memory_down=self.remembering.memories.down if self.remembering is not None else "",
            memory_trouble=self.remembering.memories.trouble if self.remembering is not None else "",
            learning={
                "enabled": self.learning is not None,
                **(self.learning.told() if self.learning is not None else {}),
                "recommendations": len(self.recommendations.rows),
                "hints": len(self.recommendations.hints),
                "left_alone": sorted(self.recommendations.left_alone),
            },
        )


async def _ended(learning: Learning) -> None:
    """Wait for the last save, but not for ever."""
    loop = asyncio.get_running_loop()
    saved = asyncio.Event()
    learning.end(lambda: _call_on(loop, saved.set))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await saved.wait()


def _call_on(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has been closed; nobody listens any more
        loop.call_soon_threadsafe(call)


class _Misdirected(Fault):
    """A base URL that this caller may not name."""

    status, blame = 400, "client"


_REFUSALS: Mapping[int, type[Fault]] = {400: _Misdirected, 403: OriginNotAllowed, 404: NotFound}


class _Answer:
    """An answer of our own: given at once where a body would have to be read first, else when the request is whole."""

    def __init__(
        self, edge: Edge, client: Downstream, head: RequestHead, data: bytes, keep: bool | None = None
    ) -> None:
        self._client = client
        self._data = data
        self._keep = (head.keep_alive if keep is None else keep) and not edge.draining
        self._early = head.length != 0
        if self._early:
            client.write(data)
            client.finish(keep=False)

    def request_data(self, data: Data) -> None:
        """See RequestSink."""

    def request_end(self) -> None:
        """See RequestSink."""
        if not self._early:
            self._client.write(self._data)
            self._client.finish(keep=self._keep)

    def request_broken(self, fault: Fault) -> None:
        """See RequestSink."""
        self.request_end()

    def request_flush(self) -> None:
        """See RequestSink."""

    def client_gone(self, fault: Fault) -> None:
        """See RequestSink."""

    def client_writable(self, writable: bool) -> None:
        """See RequestSink."""


def check_files(config: Config) -> None:
    """Open what the configuration names and close it again. Raises ConfigError for what cannot be opened."""
    _context(config)
    _log(config).close()
    recommendations.load(config)
    where = config.text("store")
    if is_redis(where):
        redis_store(
            where, 60.0, 1.0, lambda trouble: None
        )  # which does not connect: a server may be down, and come back


def _context(config: Config) -> ResumingContext:
    try:
        return client_context(config.path("ca_file"))
    except OSError as error:
        raise ConfigError(f"ca_file: cannot read {config.path('ca_file')}: {error.strerror or error}") from error


def _log(config: Config) -> LogWriter:
    try:
        return LogWriter(cast(Level, config.text("log_level")), config.path("log_file"))
    except OSError as error:
        raise ConfigError(f"log_file: cannot write {config.path('log_file')}: {error.strerror}") from error


def listen(config: Config) -> socket.socket:
    """The listening socket. Raises ConfigError where the address cannot be had."""
    host, port = config.text("host"), config.whole("port")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        right = "; name another with --port, or 0 for any that is free" if error.errno == errno.EADDRINUSE else ""
        raise ConfigError(
            f"port: cannot listen on {host} port {port}: {os.strerror(error.errno or 0)}{right}"
        ) from error
    listener.setblocking(False)
    return listener


def _shown(config: Config) -> Mapping[str, object]:
    """The settings as health shows them to callers on this host: as a person writes them."""
    secret = {"proxy_token"}
    return {
        s.name: "set" if s.name in secret and config.proxy_token else without_password(config.written[s.name])
        for s in SETTINGS
        if s.name not in secret or config.proxy_token
    }
