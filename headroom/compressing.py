"""`POST /v1/compress`: the proxy's engine for programs. Messages in, the same with shorter tool results out.

The contract is the one that gateways with a headroom hook already call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, cast

import msgspec
import orjson

from headroom.config import Config
from headroom.control import Reply, refusal
from headroom.events import Sink, StoreTrouble
from headroom.faults import StoreDown
from headroom.ledger import Ledger
from headroom.library import Policy, Result, compress
from headroom.presser import floors_of
from headroom.wire.head import RequestHead
from headroom.zones import yardstick
from headroom.zones.forms import Style

BYPASS: Final = b"x-headroom-bypass"
BATCH: Final = 1 << 20  # characters of originals that are kept at once; between two batches others have their turn


class Options(msgspec.Struct, frozen=True):
    """What a caller may ask for."""

    policy: Policy = "lossless"
    compress_user_messages: bool = False


class Asked(msgspec.Struct, frozen=True):
    """The body of `/v1/compress`. `config` may hold `policy` and `compress_user_messages`; more is ignored."""

    messages: msgspec.Raw
    model: str = ""
    config: Options = msgspec.field(default_factory=Options)


class Engine:
    """The library's `compress` with the configured floors, style, tools and yardstick. Blocks: call it on a thread."""

    def __init__(self, config: Config) -> None:
        self._floors = floors_of(config)
        self._style = Style(config.text("press_style"))
        self._by_characters = config.text("token_yardstick") == "characters"
        rules = {tool: rule for tool, rule in config.tool_policy.items() if rule != "default"}
        self._tools = cast("Mapping[str, Policy]", rules)

    def __call__(self, body: bytes, policy: Policy, *, typed: bool = False) -> Result:
        """Compress a body; see library.compress."""
        return compress(
            body,
            policy=policy,
            floors=self._floors,
            style=self._style,
            tools=self._tools,
            typed=typed,
            measure=yardstick.Characters() if self._by_characters else None,
        )


async def keep(ledger: Ledger, originals: Mapping[str, str]) -> None:
    """Keep originals, a batch at a time. Raises StoreDown; some of them may be kept then."""
    batch: dict[str, str] = {}
    size = 0
    for hash_, text in originals.items():
        batch[hash_] = text
        size += len(text)
        if size > BATCH:
            await ledger.keep_originals(batch)
            batch, size = {}, 0
    if batch:
        await ledger.keep_originals(batch)


class Compressing:
    """The service. Long work is done on a thread of its own, which no proxied request waits for."""

    def __init__(self, config: Config, ledger: Ledger, sink: Sink, identify: Callable[[RequestHead], str]) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="compress")
        self._engine = Engine(config)
        self._limit = config.seconds("compress_timeout")
        self._ledger = ledger
        self._sink = sink
        self._identify = identify

    def close(self) -> None:
        """Let go of the thread; what is under way ends by itself."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def answer(self, head: RequestHead, body: bytes) -> Reply:
        """Shorten the tool results of `messages`. A fault of ours, or too little time, gives them back as they came."""
        try:
            asked = msgspec.json.decode(body, type=Asked)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return refusal(400, f"the body must be an object with a list of messages: {error}")
        if bytes(asked.messages)[:1] != b"[":
            return refusal(400, "messages must be a list")
        policy: Policy = "none" if head.fields.get(BYPASS, b"").lower() == b"true" else asked.config.policy
        note = ""
        try:
            async with asyncio.timeout(self._limit):
                messages, result = await self._compress(asked, policy)
                try:
                    await keep(self._ledger, result.originals)
                except StoreDown as fault:
                    # A marker that nobody could redeem is never sent.
                    note = fault.name
                    self._sink(StoreTrouble(id=self._identify(head), note=self._ledger.store.kind))
                    messages, result = await self._compress(asked, "lossless")
        except TimeoutError:
            return _reply(bytes(asked.messages), None, "timeout")
        return _reply(messages, result, note)

    async def _compress(self, asked: Asked, policy: Policy) -> tuple[bytes, Result]:
        """The messages are put into a body and taken out of it again by their bytes."""
        begin, end = b'{"messages":', b"}"
        body = begin + bytes(asked.messages) + end
        typed = asked.config.compress_user_messages
        result = await asyncio.get_running_loop().run_in_executor(
            self._thread, lambda: self._engine(body, policy, typed=typed)
        )
        return result.body[len(begin) : -len(end)], result


def _reply(messages: bytes, result: Result | None, note: str) -> Reply:
    told: dict[str, object] = {
        "tokens_before": result.tokens_before if result else 0,
        "tokens_after": result.tokens_after if result else 0,
        "tokens_saved": result.tokens_saved if result else 0,
        "compression_ratio": result.compression_ratio if result else 0.0,
        "transforms_applied": list(result.transforms_applied) if result else ["timeout:originals"],
        "ccr_hashes": list(result.ccr_hashes) if result else [],
    }
    if note:
        told["note"] = note
    # Spliced, so that what was not changed is what was sent, number spellings included.
    return Reply(200, b'{"messages":' + messages + b"," + orjson.dumps(told)[1:])
