"""The `headroom` command: which commands there are, and `headroom retrieve` on every store."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from headroom import __version__, cli
from headroom.config import Config
from headroom.stores import ledger_of, open_store
from headroom.zones import marker
from tests.support.embedded import edge_to
from tests.support.redis_server import RedisServer

ROOT = Path(__file__).parent.parent
TEXT = "one\r\ntwo\x85\u2028 é🙂\x00\nthree, without an end"
HASH = marker.key(TEXT)
Ended = subprocess.CompletedProcess[bytes]


def headroom(*words: str, settings: Mapping[str, str] | None = None) -> Ended:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADROOM_")}
    return subprocess.run(
        [sys.executable, "-m", "headroom", *words],
        capture_output=True,
        check=False,
        timeout=60,
        cwd=ROOT,
        env={**kept, "PYTHONIOENCODING": "ascii", **(settings or {})},
        stdin=subprocess.DEVNULL,
    )


def keep(store: str) -> None:
    async def write() -> None:
        config = Config.of(store=store)
        ledger = ledger_of(config, await open_store(config, print))
        await ledger.keep_originals({HASH: TEXT})
        await ledger.close()

    asyncio.run(write())


@pytest.fixture
def store(tmp_path: Path) -> str:
    where = str(tmp_path / "store.db")
    keep(where)
    return where


def test_version_settings_and_help_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    for words, told in ((["version"], __version__), (["settings"], "| `store` |"), ([], "retrieve"), (["-h"], "mcp")):
        cli.main(words)
        assert told in capsys.readouterr().out


def test_a_command_that_does_not_exist_ends_with_64(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["retreive"])
    told = capsys.readouterr().err
    assert ended.value.code == 64 and told.count("\n") == 2 and "retreive" in told and "headroom --help" in told


def test_an_original_is_printed_byte_for_byte(store: str) -> None:
    for words in ([HASH, "--store", store], [f"--store={store}", f"<<ccr:{HASH}>>"]):
        ended = headroom("retrieve", *words)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, TEXT.encode(), b"")


def test_the_store_is_found_as_the_proxy_finds_it(store: str, tmp_path: Path) -> None:
    assert headroom("retrieve", HASH, settings={"HEADROOM_STORE": store}).stdout == TEXT.encode()
    file = tmp_path / "h.toml"
    file.write_text(f"store = '{store}'\n")
    assert headroom("retrieve", HASH, "--config", str(file)).stdout == TEXT.encode()


def test_a_part_is_printed_where_a_part_is_asked_for(store: str) -> None:
    ended = headroom("retrieve", HASH, "--lines", "2-2", "--store", store)
    assert ended.stdout.decode() == "[lines 2-2 of 3]\n" + TEXT.split("\n")[1]
    ended = headroom("retrieve", HASH, "--match=three", "--store", store)
    assert ended.stdout.decode() == "[1 of 3 lines contain the text]\n3:three, without an end"


def test_an_original_that_is_not_there_ends_with_1_and_what_to_do(store: str) -> None:
    ended = headroom("retrieve", "0" * 24, "--store", store)
    assert ended.returncode == 1 and ended.stdout == b"" and b"Run the command again" in ended.stderr


def test_a_store_that_is_not_there_is_told_and_not_made(tmp_path: Path) -> None:
    where = tmp_path / "none.db"
    ended = headroom("retrieve", HASH, "--store", str(where))
    assert ended.returncode == 1 and str(where).encode() in ended.stderr and not where.exists()


def test_a_store_that_cannot_be_read_ends_with_69(tmp_path: Path) -> None:
    ended = headroom("retrieve", HASH, "--store", f"unix://{tmp_path}/nothing.sock")
    assert ended.returncode == 69 and ended.stdout == b"" and b"cannot be read" in ended.stderr


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        ([], 64, "hash"),
        (["xyz"], 64, "24 hex digits"),
        ([HASH, HASH], 64, "one hash"),
        ([HASH, "--lines"], 64, "--lines"),
        ([HASH, "--lines", "5-2"], 64, "lines"),
        ([HASH, "--lines", "1000-"], 64, "3 lines"),
        ([HASH, "--stoer", "x"], 78, "--store"),
        ([HASH, "--store-ttl", "soon"], 78, "store_ttl"),
        ([HASH, "--store", "memory"], 78, "memory"),
    ],
)
def test_a_call_that_is_wrong_says_what_is_right(words: list[str], status: int, told: str, store: str) -> None:
    ended = headroom("retrieve", *words, settings={"HEADROOM_STORE": store})
    assert ended.returncode == status and told.encode() in ended.stderr and ended.stdout == b""
    assert b"Traceback" not in ended.stderr and ended.stderr.count(b"\n") <= 2


def test_a_path_that_cannot_even_be_looked_at_ends_with_69() -> None:
    where = "/tmp/" + "long" * 100 + ".db"
    ended = headroom("retrieve", HASH, "--store", where)
    assert ended.returncode == 69 and ended.stderr.count(b"\n") == 1
    assert where.encode() in ended.stderr and b"File name too long" in ended.stderr


async def test_it_reads_the_store_of_a_proxy_that_runs(tmp_path: Path) -> None:
    where = tmp_path / "store.db"
    async with edge_to("http://127.0.0.1:9", store=where) as edge:
        await edge.ledger.keep_originals({HASH: TEXT})
        ended = await asyncio.to_thread(headroom, "retrieve", HASH, "--store", str(where))
        assert ended.stdout == TEXT.encode()
        await edge.ledger.keep_originals({marker.key("more"): "more"})
        assert await edge.ledger.original(marker.key("more")) == "more"


def test_it_reads_a_redis_server(redis_server: RedisServer) -> None:
    keep(redis_server.url)
    ended = headroom("retrieve", HASH, "--store", redis_server.url)
    assert (ended.returncode, ended.stdout) == (0, TEXT.encode())
