"""The proxy's engine for programs: `POST /v1/compress`. For callers on this host, or with the proxy's token.

The contract is the one that gateways with a headroom hook already call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Literal, Protocol

import msgspec
import orjson

from headroom.config import Config
from headroom.control import Reply, render
from headroom.events import Sink, failure
from headroom.faults import Fault
from headroom.library import Policy, Result, compress
from headroom.wire.head import RequestHead
from headroom.wire.reader import Data
from headroom.zones import yardstick
from headroom.zones.forms import Style
from headroom.zones.press import FLOOR_GROUPS, Floors

BYPASS: Final = b"x-headroom-bypass"


class Options(msgspec.Struct, frozen=True):
    """What a caller may ask for."""

    policy: Literal["lossless", "none"] = "lossless"
    compress_user_messages: bool = False


class Asked(msgspec.Struct, frozen=True):
    """The body of `/v1/compress`. `config` may hold `policy` and `compress_user_messages`; more is ignored."""

    messages: msgspec.Raw
    model: str = ""
    config: Options = msgspec.field(default_factory=Options)


class Services:
    """Answers the service endpoints. Long work is done on a thread of its own, which no proxied request waits for."""

    def __init__(self, config: Config) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="service")
        self._floors = Floors({kind: config.whole(f"{group}_floor") for kind, group in FLOOR_GROUPS.items()})
        self._style = Style(config.text("press_style"))
        self._by_characters = config.text("token_yardstick") == "characters"
        tools = {tool: "none" for tool, policy in config.tool_policy.items() if policy == "none"}
        self._tools: Mapping[str, Policy] = tools  # type: ignore[assignment]
        self._limit = config.seconds("compress_timeout")
        self.paths: Mapping[str, Callable[[RequestHead, bytes], Awaitable[Reply]]] = {"/v1/compress": self._compress}

    def close(self) -> None:
        """Let go of the thread; what is under way ends by itself."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _compress(self, head: RequestHead, body: bytes) -> Reply:
        """Shorten the tool results of `messages`. A fault of ours, or too little time, gives them back as they came."""
        try:
            asked = msgspec.json.decode(body, type=Asked)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return _refusal(400, f"the body must be an object with a list of messages: {error}")
        if bytes(asked.messages)[:1] != b"[":
            return _refusal(400, "messages must be a list")
        policy: Policy = "none" if head.fields.get(BYPASS, b"").lower() == b"true" else asked.config.policy
        work = asyncio.get_running_loop().run_in_executor(
            self._thread, self._work, bytes(asked.messages), policy, asked.config.compress_user_messages
        )
        try:
            messages, result = await asyncio.wait_for(work, self._limit)
        except TimeoutError:
            messages, result = bytes(asked.messages), None
        told = {
            "tokens_before": result.tokens_before if result else 0,
            "tokens_after": result.tokens_after if result else 0,
            "tokens_saved": result.tokens_saved if result else 0,
            "compression_ratio": result.compression_ratio if result else 0.0,
            "transforms_applied": list(result.transforms_applied) if result else ["timeout:originals"],
            "ccr_hashes": list(result.ccr_hashes) if result else [],
        }
        # Spliced, so that what was not changed is what was sent, number spellings included.
        return Reply(200, b'{"messages":' + messages + b"," + orjson.dumps(told)[1:])

    def _work(self, messages: bytes, policy: Policy, typed: bool) -> tuple[bytes, Result]:
        """On a thread. The messages are put into a body and taken out of it again by their bytes."""
        begin, end = b'{"messages":', b"}"
        result = compress(
            begin + messages + end,
            policy=policy,
            floors=self._floors,
            style=self._style,
            tools=self._tools,
            typed=typed,
            measure=yardstick.Characters() if self._by_characters else None,
        )
        return result.body[len(begin) : -len(end)], result


class Connection(Protocol):
    """What a service needs of a client's connection."""

    def write(self, data: bytes) -> None: ...
    def finish(self, *, keep: bool) -> None: ...


class Posted:
    """A request to a service: its body is held, then answered."""

    def __init__(
        self,
        client: Connection,
        head: RequestHead,
        handle: Callable[[RequestHead, bytes], Awaitable[Reply]],
        limit: int,
        sink: Sink,
        *,
        keep: bool,
    ) -> None:
        self._sink = sink
        self._client = client
        self._head = head
        self._handle = handle
        self._limit = limit
        self._keep = keep
        self._body: list[bytes] = []
        self._size = 0
        self._task: asyncio.Task[None] | None = None
        self._over = False
        if head.expects_continue:
            client.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def request_data(self, data: Data) -> None:
        """See RequestSink."""
        if self._over:
            return
        payload = data.payload()
        self._size += len(payload)
        if self._size > self._limit:
            self._over = True
            self._body.clear()
            self._answer(_refusal(413, f"the body is over {self._limit} bytes"), keep=False)
            return
        self._body.append(payload)

    def request_end(self) -> None:
        """See RequestSink."""
        if not self._over:
            self._task = asyncio.get_running_loop().create_task(self._run())
            self._task.add_done_callback(self._check)

    async def _run(self) -> None:
        reply = await self._handle(self._head, b"".join(self._body))
        if not self._over:
            self._answer(reply, keep=self._keep)

    def _check(self, task: asyncio.Task[None]) -> None:
        """A service that broke by a fault of ours must not leave its caller waiting."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._sink(failure("", error))
            if not self._over:
                self._answer(_refusal(500, "this call failed; the log says where"), keep=False)

    def _answer(self, reply: Reply, *, keep: bool) -> None:
        self._over = True
        self._client.write(render(reply, close=not keep))
        self._client.finish(keep=keep)

    def request_broken(self, fault: Fault) -> None:
        """See RequestSink."""
        if not self._over:
            self._answer(_refusal(fault.status, str(fault)), keep=False)

    def request_flush(self) -> None:
        """See RequestSink."""

    def client_gone(self, fault: Fault) -> None:
        """See RequestSink."""
        self._over = True
        if self._task is not None:
            self._task.cancel()

    def client_writable(self, writable: bool) -> None:
        """See RequestSink."""


def _refusal(status: int, message: str) -> Reply:
    return Reply(status, orjson.dumps({"error": {"type": "invalid_request_error", "message": f"headroom: {message}"}}))
