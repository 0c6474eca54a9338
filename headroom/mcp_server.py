"""`headroom mcp`: retrieve, compress and stats as tools for an agent, over standard input and output (MCP).

It uses the configured store itself, so it works beside a proxy and without one. Needs the extra `headroom[mcp]`.
"""

from __future__ import annotations

import asyncio
import http.client
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec
import orjson

from headroom import __version__
from headroom import config as settings
from headroom.config import EX_CONFIG, Config, ConfigError
from headroom.faults import StoreDown
from headroom.learning import Learning, learning_path
from headroom.ledger import Ledger
from headroom.lessons import Asked, query_of
from headroom.retrieve import UNREADABLE, BadAsking, asking, missing, pick, share
from headroom.stores import ledger_of, open_store
from headroom.weave import TOOL_NAME
from headroom.zones import marker, yardstick
from headroom.zones.excerpt import excerpt
from headroom.zones.forms import Style
from headroom.zones.press import Action, Floors, Verdict, press

try:
    from mcp import types
    from mcp.server.context import ServerRequestContext
    from mcp.server.lowlevel import Server
    from mcp.server.stdio import stdio_server
except ImportError as missing_package:
    sys.stderr.write(f"headroom mcp: the mcp package is missing ({missing_package}); run pip install 'headroom[mcp]'\n")
    raise SystemExit(EX_CONFIG) from missing_package

COMPRESS: Final = "headroom_compress"
STATS: Final = "headroom_stats"
PROXY_SECONDS: Final = 1.0  # for the running proxy to tell its figures

_TEXT: Final = {"type": "string"}
_SCHEMAS: Final[Mapping[str, tuple[str, dict[str, object], list[str]]]] = {
    TOOL_NAME: (
        "Get what was left out of a text that ends with a <<ccr:HASH>> marker: the original it was made from. Ask for "
        "a range of lines, or for the lines that contain a text, where that is enough.",
        {
            "hash": {**_TEXT, "description": "The hex digits of the marker"},
            "lines": {**_TEXT, "description": 'A range of lines, such as "120-180", "120-" or "120"'},
            "match": {**_TEXT, "description": "A text; only lines that contain it are given, with their numbers"},
        },
        ["hash"],
    ),
    COMPRESS: (
        "Make a long text (a log, JSON, a listing, a diff) shorter. What is left out is kept, and "
        f"{TOOL_NAME} gives it back by the hash that the short text ends with.",
        {"content": {**_TEXT, "description": "The text"}},
        ["content"],
    ),
    STATS: (
        "What Headroom has saved: the figures of the running proxy, or how full its store is where none runs.",
        {},
        [],
    ),
}


class _Content(msgspec.Struct, frozen=True):
    content: str


class Failed(Exception):
    """A call that cannot be answered; the text tells the model what to do."""


Arguments: TypeAlias = Mapping[str, object]


class Tools:
    """The tools, on one ledger. Each takes the arguments of a call and returns texts; they raise Failed.

    What is retrieved is noted for the statistics, where there is a `learning`.
    """

    def __init__(self, config: Config, ledger: Ledger, learning: Learning | None = None) -> None:
        self._config = config
        self._learning = learning
        self._ledger = ledger
        self._style = Style(config.text("press_style"))
        self._calls: Mapping[str, Callable[[Arguments], Awaitable[Sequence[str]]]] = {
            TOOL_NAME: self.retrieve,
            COMPRESS: self.compress,
            STATS: self.stats,
        }

    async def call(self, name: str, arguments: Arguments) -> Sequence[str]:
        """Call a tool by its name."""
        tool = self._calls.get(name)
        if tool is None:
            raise Failed(f"There is no tool {name}; there are {', '.join(self._calls)}.")
        return await tool(arguments)

    async def retrieve(self, arguments: Arguments) -> Sequence[str]:
        """The original under a hash, or a part of it."""
        try:
            asked = asking(_encoded(arguments))
            original = await self._ledger.original(asked.hash)
            if original is None:
                raise Failed(missing(asked.hash, self._ledger.ttl))
            part = await asyncio.to_thread(pick, original, asked.lines, asked.match)
            if self._learning is not None:
                query = query_of(asked.lines, asked.match)
                self._learning.note(Asked(asked.hash[:8], share(asked, part, original), query))
            return (part,)
        except BadAsking as error:
            raise Failed(str(error)) from None
        except StoreDown:
            raise Failed(UNREADABLE) from None

    async def compress(self, arguments: Arguments) -> Sequence[str]:
        """The shorter text, or the given one, and the figures. What was left out is kept before this returns."""
        try:
            text = msgspec.json.decode(_encoded(arguments), type=_Content).content
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise Failed('The arguments must be an object with the text as "content".') from None
        verdict = await asyncio.to_thread(self._shorten, text, excerpt)
        told = ""
        if verdict.cut:
            try:
                await self._ledger.keep_originals({marker.key(text): text})
                told = f"; the original is kept as {marker.key(text)}"
            except StoreDown:
                verdict = await asyncio.to_thread(self._shorten, text, press)
                told = "; nothing was left out, since the store cannot keep the original just now"
        if verdict.action is not Action.PRESSED:
            return text, f"[no shorter: {verdict.kind}{told}]"
        saved = 100 * (verdict.before - verdict.after) / verdict.before
        figures = f"{verdict.before} → {verdict.after} tokens (-{saved:.1f} %)"
        return verdict.text, f"[{figures}: {verdict.kind}, {verdict.form}{told}]"

    async def stats(self, arguments: Arguments) -> Sequence[str]:
        """The figures of the proxy on the configured port; where none answers, the state of the store."""
        told = await asyncio.to_thread(_proxy_stats, self._config)
        if told is None:
            try:
                await self._ledger.keep_originals({})  # a write, with which a store notes how full it is
            except StoreDown:
                pass
            store = self._ledger.store
            told = {
                "proxy": "none answers on the configured port",
                "store": {
                    "kind": store.kind,
                    "up": self._ledger.up,
                    "size": store.state.size,
                    "limit": store.state.limit,
                    "entries": store.state.entries,
                    "ttl_seconds": self._ledger.ttl,
                    "trouble": store.trouble,
                },
            }
        return (orjson.dumps(told, option=orjson.OPT_INDENT_2).decode(),)

    def _shorten(self, text: str, shorten: Callable[..., Verdict]) -> Verdict:
        by_characters = self._config.text("token_yardstick") == "characters"
        measure = yardstick.Characters() if by_characters else yardstick.o200k()
        return shorten(text, Floors.flat(0), measure, self._style)


def _encoded(arguments: Arguments) -> bytes:
    try:
        return orjson.dumps(arguments)
    except TypeError:
        return b""


def _proxy_stats(config: Config) -> Mapping[str, object] | None:
    """What a running proxy tells, or None. Blocks for `PROXY_SECONDS` at the most, twice."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.text("host"), config.text("host"))
    fields = {"x-headroom-proxy-token": config.proxy_token.decode()} if config.proxy_token else {}
    link = http.client.HTTPConnection(host, config.whole("port"), timeout=PROXY_SECONDS)
    try:
        link.request("GET", "/stats", headers=fields)
        answer = link.getresponse()
        told = orjson.loads(answer.read(1 << 20)) if answer.status == 200 else None
    except (OSError, http.client.HTTPException, orjson.JSONDecodeError):
        return None
    finally:
        link.close()
    return told if isinstance(told, dict) and told.get("service") == "headroom-proxy" else None


def main(arguments: Sequence[str]) -> None:
    """Serve until standard input ends. Exits with 78 for configuration that cannot be used."""
    if {"--help", "-h"} & set(arguments):
        sys.stdout.write(settings.usage("headroom mcp"))
        return
    try:
        asyncio.run(_serve(settings.load(arguments, settings.environment())))
    except ConfigError as error:
        settings.fail(error)


async def _serve(config: Config) -> None:
    ledger = ledger_of(config, await open_store(config, lambda note: print(f"headroom: {note}", file=sys.stderr)))
    learning = Learning(learning_path(config), config.seconds("learning_interval")) if config.on("learning") else None
    if learning is not None:
        learning.open()
    tools = Tools(config, ledger, learning)

    async def on_list(
        context: ServerRequestContext[object], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=_listed())

    async def on_call(
        context: ServerRequestContext[object], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        try:
            texts, failed = await tools.call(params.name, params.arguments or {}), False
        except Failed as error:
            texts, failed = (str(error),), True
        return types.CallToolResult(content=[types.TextContent(text=text) for text in texts], is_error=failed)

    server: Server[object] = Server("headroom", version=__version__, on_list_tools=on_list, on_call_tool=on_call)
    try:
        async with stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())
    finally:
        await ledger.close()
        if learning is not None:
            learning.close()


def _listed() -> list[types.Tool]:
    return [
        types.Tool(
            name=name,
            description=description,
            input_schema={"type": "object", "properties": properties, "required": required},
        )
        for name, (description, properties, required) in _SCHEMAS.items()
    ]
