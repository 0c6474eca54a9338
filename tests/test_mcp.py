"""The tools for agents, asked by the official SDK's client over standard input and output."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters, stdio_client
from mcp.types import CallToolResult, TextContent

from headroom.learning_file import StatisticsFile
from headroom.lessons import Lesson, Lessons
from headroom.zones import marker
from headroom.zones.press import Action, unpress
from tests.support.embedded import edge_to
from tests.support.raw_wire import eventually

ROOT = Path(__file__).parent.parent
LOG = "".join(
    f"2031-02-03T10:{at // 60 % 60:02}:{at % 60:02}Z INFO served /item/{at} in {at % 97} ms\n" for at in range(1500)
)
HASH = marker.key(LOG)


@asynccontextmanager
async def agent(store: Path | str, port: int = 1, *settings: str) -> AsyncIterator[Client]:
    """A client of `headroom mcp` on a store. Nothing answers on port 1."""
    words = ["-m", "headroom", "mcp", "--store", str(store), "--port", str(port), "--token-yardstick=characters"]
    served = StdioServerParameters(command=sys.executable, args=[*words, *settings], cwd=ROOT)
    async with Client(stdio_client(served)) as client:
        yield client


def texts(result: CallToolResult) -> list[str]:
    assert all(isinstance(part, TextContent) for part in result.content)
    return [part.text for part in result.content if isinstance(part, TextContent)]


async def test_an_agent_finds_the_tools_and_calls_each(tmp_path: Path) -> None:
    async with agent(tmp_path / "store.db") as client:
        assert client.server_info is not None and client.server_info.name == "headroom"
        tools = {tool.name: tool.input_schema for tool in (await client.list_tools()).tools}
        assert list(tools) == ["headroom_retrieve", "headroom_compress", "headroom_stats"]
        assert tools["headroom_retrieve"]["required"] == ["hash"]

        short, figures = texts(await client.call_tool("headroom_compress", {"content": LOG}))
        assert marker.find_markers(short) == [HASH] and len(short) < len(LOG) / 4
        assert HASH in figures and "tokens (-" in figures

        whole = await client.call_tool("headroom_retrieve", {"hash": HASH})
        assert texts(whole) == [LOG] and not whole.is_error
        part = texts(await client.call_tool("headroom_retrieve", {"hash": f"<<ccr:{HASH}>>", "lines": "2"}))
        assert part == ["[lines 2-2 of 1501]\n" + LOG.split("\n")[1]]
        found = texts(await client.call_tool("headroom_retrieve", {"hash": HASH, "match": "/item/7 "}))
        assert found[0].endswith("\n8:" + LOG.split("\n")[7])

        told = json.loads(texts(await client.call_tool("headroom_stats", {}))[0])
        assert told["store"]["kind"] == "sqlite" and told["store"]["entries"] == 1 and told["store"]["up"] is True


async def test_what_an_agent_retrieves_is_charged_to_its_press(tmp_path: Path) -> None:
    statistics = StatisticsFile(tmp_path / "store.learning.db")
    press = Lesson("Bash", Action.PRESSED, b"slot", form="log", original=HASH, before=1000, after=100)
    statistics.add([Lessons("payg", "other", b"", (press,))])
    statistics.close()
    async with agent(tmp_path / "store.db") as client:
        await client.call_tool("headroom_compress", {"content": LOG})
        await client.call_tool("headroom_retrieve", {"hash": HASH})
    await eventually(lambda: statistics.totals().retrievals == 1)
    assert [row.given_back for row in statistics.forms()] == [900]


async def test_a_call_that_cannot_be_answered_says_what_is_right(tmp_path: Path) -> None:
    async with agent(tmp_path / "store.db") as client:
        for arguments, words in (
            ({"hash": "xx"}, "24 hex digits"),
            ({}, "hash"),
            ({"hash": 7}, "hash"),
            ({"hash": HASH}, "Run the command again"),
            ({"hash": HASH, "lines": "9-1"}, "lines"),
        ):
            result = await client.call_tool("headroom_retrieve", arguments)
            assert result.is_error and words in texts(result)[0]
        assert (await client.call_tool("headroom_compress", {})).is_error
        assert (await client.call_tool("other", {})).is_error


async def test_what_gets_no_shorter_comes_back_as_it_is(tmp_path: Path) -> None:
    async with agent(tmp_path / "store.db") as client:
        for text in ("", "three words only", "\r\n\x85\u2028"):
            back, figures = texts(await client.call_tool("headroom_compress", {"content": text}))
            assert back == text and figures.startswith("[no shorter")


async def test_without_a_store_nothing_is_left_out(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    async with agent(blocked / "store.db") as client:
        short, figures = texts(await client.call_tool("headroom_compress", {"content": LOG}))
        assert unpress(short) == LOG and "nothing was left out" in figures
        result = await client.call_tool("headroom_retrieve", {"hash": HASH})
        assert result.is_error and "cannot be read just now" in texts(result)[0]
        assert json.loads(texts(await client.call_tool("headroom_stats", {}))[0])["store"]["up"] is False


async def test_beside_a_proxy_it_reads_the_proxys_store_and_tells_the_proxys_figures(tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    async with edge_to("http://127.0.0.1:9", store=store) as edge:
        await edge.ledger.keep_originals({HASH: LOG})
        async with agent(store, edge.port) as client:
            assert texts(await client.call_tool("headroom_retrieve", {"hash": HASH})) == [LOG]
            told = json.loads(texts(await client.call_tool("headroom_stats", {}))[0])
            assert told["service"] == "headroom-proxy" and told["retrievals"]["found"] == 0


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
    )


def test_a_setting_that_is_wrong_ends_it_with_78() -> None:
    ended = run("-m", "headroom", "mcp", "--stoer", "x")
    assert ended.returncode == 78 and "--store" in ended.stderr and ended.stdout == ""


@pytest.mark.parametrize("command", ["mcp", "mcp --help"])
def test_without_the_package_it_says_what_to_install(command: str) -> None:
    hidden = f"import sys; sys.modules['mcp'] = None; from headroom import cli; cli.main({command.split()!r})"
    ended = run("-c", hidden)
    assert ended.returncode == 78 and "pip install 'headroom[mcp]'" in ended.stderr and "Traceback" not in ended.stderr
