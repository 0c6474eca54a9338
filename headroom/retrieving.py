"""`/v1/retrieve`: the originals of texts that were cut, for programs.

    GET  /v1/retrieve/HASH?lines=120-180       POST /v1/retrieve {"hash": …, "lines": …, "match": …}
    POST /v1/retrieve/tool_call {"tool_call": …, "provider": …}      GET /v1/retrieve/stats

An original goes to nobody but the one who asked: neither log nor statistics hold a part of one.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qs, unquote

import msgspec
import orjson

from headroom.config import Config
from headroom.control import Reply, refusal
from headroom.events import Retrieved, Sink
from headroom.faults import StoreDown
from headroom.ledger import Ledger
from headroom.lessons import query_of
from headroom.metrics import Board, stats
from headroom.providers import TOOL_CALLS, CallShape
from headroom.retrieve import UNREADABLE, Asking, BadAsking, asking, checked, missing, pick, share
from headroom.weave import TOOL_NAME
from headroom.wire.head import RequestHead
from headroom.zones import yardstick

COUNTED: Final = 10_000  # originals of which is remembered how often they were asked for
RECENT: Final = 50  # askings that the statistics show


class Original(msgspec.Struct, frozen=True, gc=False):
    """What is told of an original. `original_content` is the part that was asked for; null is what is not known.

    An item is a line. `original_tokens` is known where the yardstick is loaded. `retrieval_count` is how often this
    process gave it, null where several serve.
    """

    hash: str
    original_content: str
    original_tokens: int | None
    original_item_count: int
    compressed_item_count: int | None
    tool_name: str | None
    retrieval_count: int | None


class Called(msgspec.Struct, frozen=True):
    """The body of `/v1/retrieve/tool_call`."""

    tool_call: Mapping[str, object]
    provider: str = ""


class Missing(Exception):
    """There is no original under the hash; the text says what to do instead."""


class Retrieving:
    """The services. Cutting parts out of an original and counting its tokens is done on a thread."""

    def __init__(
        self, config: Config, ledger: Ledger, board: Board, sink: Sink, identify: Callable[[RequestHead], str]
    ) -> None:
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="retrieve")
        self._by_characters = config.text("token_yardstick") == "characters"
        self._alone = config.whole("workers") == 1
        self._ledger = ledger
        self._board = board
        self._sink = sink
        self._identify = identify
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._recent: deque[dict[str, object]] = deque(maxlen=RECENT)

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def named(self, head: RequestHead, body: bytes) -> Reply:
        """The original whose hash the path names; `lines` and `match` may stand in the query."""
        path, _, query = head.target.decode("latin-1").partition("?")
        try:
            given = parse_qs(query, max_num_fields=8)
            asked = checked(
                unquote(path.rpartition("/")[2]), given.get("lines", [""])[-1], given.get("match", [""])[-1]
            )
        except BadAsking as error:
            return refusal(400, f"hash required: {error}")
        except ValueError as error:
            return refusal(400, f"the query cannot be read: {error}")
        return await self._answer(head, asked)

    async def posted(self, head: RequestHead, body: bytes) -> Reply:
        """The original whose hash the body names, or the part of it that is asked for."""
        try:
            asked = asking(body)
        except BadAsking as error:
            return refusal(400, f"hash required: {error}")
        return await self._answer(head, asked)

    async def called(self, head: RequestHead, body: bytes) -> Reply:
        """A model's call of the retrieve tool, answered in the shape that its provider expects."""
        try:
            given = msgspec.json.decode(body, type=Called)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return refusal(400, f"the body must be an object with a tool_call and its provider: {error}")
        if given.provider and given.provider not in TOOL_CALLS:
            return refusal(400, f"provider must be one of {', '.join(TOOL_CALLS)}")
        found = _call(given)
        if found is None:
            return refusal(400, f"tool_call must be a call of {TOOL_NAME}")
        shape, arguments = found
        status = 200
        try:
            original = await self._original(head, asking(arguments))
        except (BadAsking, Missing) as error:
            text, data, success = str(error), orjson.dumps({"error": str(error)}), False
        except StoreDown:
            status, text, data, success = 503, UNREADABLE, orjson.dumps({"error": UNREADABLE}), False
        else:
            text, data, success = original.original_content, msgspec.json.encode(original), True
        result = {
            **shape.answer,
            shape.answer_id: given.tool_call.get(shape.id),
            shape.answer_text: text,
        }
        return Reply(status, orjson.dumps({"tool_result": result, "success": success, "data": orjson.Fragment(data)}))

    async def stats(self, head: RequestHead, body: bytes) -> Reply:
        """How full the store is, how often originals were asked for, and by what hash this process was asked lately."""
        store = self._ledger.store
        state = store.state
        return Reply(
            200,
            orjson.dumps(
                {
                    "store": {
                        "kind": store.kind,
                        "up": self._ledger.up,
                        "size": state.size,
                        "limit": state.limit,
                        "entries": state.entries,
                        "ttl_seconds": self._ledger.ttl,
                    },
                    "retrievals": stats(self._board)["retrievals"],
                    "recent": list(self._recent),
                }
            ),
        )

    async def _answer(self, head: RequestHead, asked: Asking) -> Reply:
        try:
            return Reply(200, msgspec.json.encode(await self._original(head, asked)))
        except BadAsking as error:
            return refusal(400, str(error))
        except Missing as error:
            return refusal(404, str(error))
        except StoreDown:
            return refusal(503, UNREADABLE)

    async def _original(self, head: RequestHead, asked: Asking) -> Original:
        """Raises BadAsking, Missing and StoreDown."""
        text = await self._ledger.original(asked.hash)
        found = text is not None
        told = Retrieved(id=self._identify(head), hash=asked.hash[:8], found=found)
        at = datetime.now(UTC).isoformat(timespec="seconds")
        self._recent.append({"hash": asked.hash, "found": found, "at": at})
        if text is None:
            self._sink(told)
            raise Missing(missing(asked.hash, self._ledger.ttl))
        whole = text
        loop = asyncio.get_running_loop()
        try:
            part = await loop.run_in_executor(self._threads, pick, whole, asked.lines, asked.match)
            query = query_of(asked.lines, asked.match)
            told = msgspec.structs.replace(told, share=share(asked, part, whole), query=query)
        finally:
            self._sink(told)
        tokens: int | None = None
        if self._by_characters:
            tokens = yardstick.Characters().count(whole)
        elif yardstick.o200k_ready():
            tokens = await loop.run_in_executor(self._threads, lambda: yardstick.o200k().count(whole))
        return Original(asked.hash, part, tokens, whole.count("\n") + 1, None, None, self._counted(asked.hash))

    def _counted(self, hash_: str) -> int | None:
        count = self._counts.pop(hash_, 0) + 1
        self._counts[hash_] = count
        if len(self._counts) > COUNTED:
            self._counts.popitem(last=False)
        return count if self._alone else None


def _call(given: Called) -> tuple[CallShape, bytes] | None:
    """The shape of a call of the retrieve tool, and its arguments; None for what is none."""
    named = [TOOL_CALLS[given.provider]] if given.provider else TOOL_CALLS.values()
    for shape in (shape for shapes in named for shape in shapes):
        name, arguments = _at(given.tool_call, shape.name), _at(given.tool_call, shape.arguments)
        if isinstance(name, str) and (name == TOOL_NAME or name.endswith("__" + TOOL_NAME)) and arguments is not None:
            return shape, arguments.encode() if isinstance(arguments, str) else msgspec.json.encode(arguments)
    return None


def _at(value: object, path: tuple[str, ...]) -> object:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value
