"""`python -m headroom.serve` as a process of its own: configuration, signals, workers."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from headroom import __version__, serve
from headroom.config import SETTINGS
from tests.support.raw_client import ask, connect, read_answer
from tests.support.raw_origin import AnsweringOrigin, RawOrigin, read_request
from tests.support.raw_wire import Ended, eventually
from tests.support.sockets import HANDSHAKE, SWITCH, close, text

SECONDS = 20.0  # for a process to start or end
ROOT = Path(__file__).parent.parent
GET = b"GET /v1/thing HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"


def clean_environment(tmp_path: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if "HEADROOM" not in name and "API_URL" not in name}
    return {**kept, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data"), **more}


def run(tmp_path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "headroom.serve", *arguments],
        cwd=ROOT,
        env=clean_environment(tmp_path, **environment),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@dataclass
class Serving:
    """A running proxy process."""

    process: asyncio.subprocess.Process
    port: int
    banner: str
    log: Path

    def events(self, name: str) -> list[dict[str, object]]:
        """Logged events of one name."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [event for event in map(json.loads, lines) if event["event"] == name]

    def workers(self) -> list[int]:
        """Process ids of the workers."""
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in found.split()]

    async def ended(self) -> int:
        """The exit status."""
        async with asyncio.timeout(SECONDS):
            return await self.process.wait()


@contextlib.asynccontextmanager
async def serving(tmp_path: Path, url: str, *arguments: str, **environment: str) -> AsyncIterator[Serving]:
    log = tmp_path / "headroom.log"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "headroom.serve",
        "--port=0",
        "--store=memory",
        f"--log-file={log}",
        f"--anthropic-api-url={url}",
        f"--openai-api-url={url}",
        *arguments,
        cwd=ROOT,
        env=clean_environment(tmp_path, **environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None and process.stderr is not None
    try:
        async with asyncio.timeout(SECONDS):
            banner = ""
            while not banner.endswith("\n\n") or "Set for your client" not in banner:
                line = await process.stdout.readline()
                assert line, (await process.stderr.read()).decode()
                banner += line.decode()
        found = re.search(r"listens on http://127\.0\.0\.1:(\d+)", banner)
        assert found, banner
        server = Serving(process, int(found[1]), banner, log)
        await eventually(lambda: server.events("started"))
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its workers too, should they have outlived it
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]


async def stats(port: int) -> dict[str, object]:
    answer = await ask(port, b"GET /stats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    found: dict[str, object] = json.loads(answer.body)
    return found


# Configuration.


@dataclass
class Said:
    """What a start that failed has said."""

    status: object
    out: str
    err: str


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Start with arguments and an environment, within this process: for what ends before it serves."""

    def started(*arguments: str, **environment: str) -> Said:
        with monkeypatch.context() as patch:
            for name in list(os.environ):
                patch.delenv(name)
            for name, value in clean_environment(tmp_path, **environment).items():
                patch.setenv(name, value)
            status: object = 0
            try:
                serve.main(arguments)
            except SystemExit as stop:
                status = stop.code
        return Said(status, *capfd.readouterr())

    return started


def test_help_lists_every_setting(start: Callable[..., Said]) -> None:
    said = start("--help")
    assert (said.status, said.err) == (0, "")
    assert [setting.flag for setting in SETTINGS if f"{setting.flag} " not in said.out] == []
    assert [s.name for s in SETTINGS if s.default and s.default not in said.out] == []


def test_the_version_is_told(start: Callable[..., Said]) -> None:
    assert start("--version") == Said(0, f"headroom {__version__}\n", "")


UNUSABLE: list[tuple[list[str], dict[str, str], list[str]]] = [
    (["--prot=80"], {}, ["--prot", "--port"]),
    (["serve"], {}, ["serve"]),
    (["--port"], {}, ["port", "0 to 65535"]),
    (["--port=99999"], {}, ["port", "99999", "0 to 65535"]),
    (["--body-limit", "lots"], {}, ["body_limit", "lots", "64KiB"]),
    (["--compression-mode=max"], {}, ["compression_mode", "max", "live_zone"]),
    (["--anthropic-api-url=ftp://x"], {}, ["anthropic_api_url", "ftp://x", "https://"]),
    (["--proxy-token=secret"], {}, ["proxy_token", "16"]),
    ([], {"HEADROOM_PROT": "80"}, ["HEADROOM_PROT", "HEADROOM_PORT"]),
    ([], {"HEADROOM_WORKERS": "no"}, ["workers", "environment", "'no'"]),
    (["--host=0.0.0.0"], {}, ["host", "0.0.0.0", "proxy_token"]),
    (["--config=/nowhere/at/all.toml"], {}, ["config", "/nowhere/at/all.toml"]),
    (["--host=203.0.113.1", "--proxy-token=0123456789abcdef"], {}, ["203.0.113.1"]),
]


@pytest.mark.parametrize(("arguments", "environment", "names"), UNUSABLE)
def test_a_setting_that_cannot_be_used_is_named_on_one_line(
    start: Callable[..., Said], arguments: list[str], environment: dict[str, str], names: list[str]
) -> None:
    said = start(*arguments, **environment)
    assert said.status == 78, said
    assert said.err.count("\n") == 1 and said.err.startswith("headroom: ")
    assert [name for name in names if name not in said.err] == []
    assert "secret" not in said.err and said.out == ""


@pytest.mark.parametrize("flag", ["--ca-file", "--log-file"])
def test_a_file_that_cannot_be_opened_is_named_before_anything_is_served(tmp_path: Path, flag: str) -> None:
    said = run(tmp_path, "--port=0", f"{flag}=/proc/nowhere/file")
    assert said.returncode == 78 and said.stderr.count("\n") == 1
    assert "/proc/nowhere/file" in said.stderr and flag.strip("-").replace("-", "_") in said.stderr
    assert said.stdout == ""


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("prot = 80\n", ["prot", "port"]),
        ("port = true\n", ["port"]),
        ("port = 'eighty'\n", ["port", "eighty"]),
        ("port = \n", ["TOML"]),
        ("[limits]\nport = 80\n", ["limits"]),
    ],
)
def test_a_settings_file_that_cannot_be_used_is_named_on_one_line(
    start: Callable[..., Said], tmp_path: Path, text: str, names: list[str]
) -> None:
    file = tmp_path / "headroom.toml"
    file.write_text(text)
    for said in (start(f"--config={file}"), start(HEADROOM_CONFIG=str(file))):
        assert said.status == 78, said
        assert said.err.count("\n") == 1 and str(file) in said.err
        assert [name for name in names if name not in said.err] == []


def test_a_port_in_use_is_named_on_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = run(tmp_path, f"--port={port}", "--store=memory")
    assert said.returncode == 78 and said.stdout == ""
    assert said.stderr.count("\n") == 1 and "port" in said.stderr and port in said.stderr
    assert "name another with --port" in said.stderr


@pytest.mark.parametrize("flag", ["--store", "--memory-store", "--learning-path", "--log-file"])
def test_a_folder_in_a_files_place_is_named_on_one_line(start: Callable[..., Said], tmp_path: Path, flag: str) -> None:
    said = start(f"{flag}={tmp_path}")
    assert said.status == 78 and said.out == "" and said.err.count("\n") == 1
    assert f"{flag.strip('-').replace('-', '_')} (flag): {tmp_path} is a folder" in said.err


# Serving.


async def test_the_banner_says_that_the_store_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    where = tmp_path / "file" / "headroom.db"
    async with AnsweringOrigin() as origin, serving(tmp_path, origin.url, "--store", str(where)) as server:
        assert f"decisions in {where}\n  which cannot be used: headroom.db: " in server.banner
        assert (await ask(server.port, GET)).body == b"ok"


async def test_the_banner_says_what_to_set(tmp_path: Path) -> None:
    async with AnsweringOrigin() as origin, serving(tmp_path, origin.url) as server:
        assert f"ANTHROPIC_BASE_URL=http://127.0.0.1:{server.port}" in server.banner
        assert origin.url in server.banner and "live_zone" in server.banner
        assert (await ask(server.port, GET)).body == b"ok"
        assert server.events("started")[0]["version"] == __version__


@pytest.mark.parametrize(("workers", "number"), [(1, signal.SIGINT), (1, signal.SIGTERM), (2, signal.SIGTERM)])
async def test_a_stream_under_way_finishes_after_the_signal(
    tmp_path: Path, workers: int, number: signal.Signals
) -> None:
    async with RawOrigin() as origin, serving(tmp_path, origin.url, f"--workers={workers}") as server:
        async with await connect(server.port) as client:
            await client.send(POST)
            peer = await origin.accept()
            await read_request(peer)
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
            await client.until(b"\r\n\r\nab")
            server.process.send_signal(number)
            await eventually(lambda: refused(server.port))
            await peer.send(b"cd")
            assert await client.rest() == b"cd" and client.ending == "end"
        assert await server.ended() == 0
        assert server.events("stopped") and not origin_used_again(origin)


def origin_used_again(origin: RawOrigin) -> bool:
    return len(origin.peers) > 1


def refused(port: int) -> bool:
    with socket.socket() as sock:
        sock.settimeout(1.0)
        return sock.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


async def test_a_stream_that_outlasts_the_grace_is_cut(tmp_path: Path) -> None:
    async with RawOrigin() as origin, serving(tmp_path, origin.url, "--drain-timeout=100ms") as server:
        async with await connect(server.port) as client:
            await client.send(POST)
            peer = await origin.accept()
            await read_request(peer)
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
            await client.until(b"\r\n\r\nab")
            server.process.terminate()
            assert await client.rest() == b""
            assert await server.ended() == 0
        assert server.events("stopped")[0]["cut"] == 1


async def test_a_socket_between_responses_is_closed_at_the_signal(tmp_path: Path) -> None:
    async with RawOrigin() as origin, serving(tmp_path, origin.url) as server, await connect(server.port) as client:
        await client.send(HANDSHAKE + b"\r\n")
        peer = await origin.accept()
        await peer.until(b"\r\n\r\n")
        await peer.send(SWITCH + b"\r\n")
        await read_answer(client)
        await client.send(text(b"hello"))
        assert len(await peer.exactly(11)) == 11
        server.process.terminate()
        assert (await client.exactly(2))[0] == 0x88 and (await client.exactly(2)) == (1001).to_bytes(2, "big")
        assert (await peer.exactly(1))[0] == 0x88
        await client.send(close(1001))
        await client.rest()
        assert await server.ended() == 0
        (told,) = server.events("request")
        assert (told["cause"], told["outcome"]) == ("draining", "complete")
        assert server.events("stopped")[0].get("cut", 0) == 0


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    async with RawOrigin() as origin, serving(tmp_path, origin.url) as server, await connect(server.port) as client:
        await client.send(POST)
        await origin.accept()
        server.process.terminate()
        await eventually(lambda: refused(server.port))
        server.process.terminate()
        assert await server.ended() == 128 + signal.SIGTERM


# Workers.


async def test_workers_share_a_port_and_one_set_of_counters(tmp_path: Path) -> None:
    async with AnsweringOrigin() as origin, serving(tmp_path, origin.url, "--workers=2") as server:
        await eventually(lambda: len(server.events("started")) == 2)
        first, second = server.workers()
        count = 0
        for stopped in (first, second):  # the other one has to answer
            os.kill(stopped, signal.SIGSTOP)
            try:
                for _ in range(5):
                    # A stopped worker may hold one connection that it accepted before it noticed; try the next.
                    async with await connect(server.port) as client:
                        await client.send(POST)
                        assert (await read_answer(client)).status == 200
                        count += 1
            finally:
                os.kill(stopped, signal.SIGCONT)
        async with asyncio.timeout(SECONDS):
            while (await stats(server.port))["requests"] != {"messages": count}:
                pass  # a worker that was stopped right after its answer has yet to count it
        for _ in range(6):
            assert (await stats(server.port))["requests"] == {"messages": count}
        metrics = await ask(server.port, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b'\nheadroom_requests_total{route="messages"} %d.0\n' % count in metrics.body


async def test_a_worker_that_is_killed_is_replaced_and_no_connection_is_refused(tmp_path: Path) -> None:
    async with AnsweringOrigin() as origin, serving(tmp_path, origin.url, "--workers=2") as server:
        await eventually(lambda: len(server.events("started")) == 2)
        before = set(server.workers())
        victim = min(before)
        answered = cut = 0
        os.kill(victim, signal.SIGKILL)
        async with asyncio.timeout(SECONDS):
            while len(server.events("started")) < 3 or answered < 50:
                try:
                    answered += (await ask(server.port, POST)).status == 200
                except (Ended, ConnectionResetError):
                    cut += 1  # what the victim had accepted; a refused connection is another error
        after = set(server.workers())
        assert len(after) == 2 and victim not in after and before & after
        assert cut <= 2
        assert server.events("worker_ended")[0]["pid"] == victim
        found = await stats(server.port)
        assert found["active"] == 0
        server.process.terminate()
        assert await server.ended() == 0


async def test_a_signal_while_a_worker_is_being_replaced_is_not_forgotten(tmp_path: Path) -> None:
    async with AnsweringOrigin() as origin, serving(tmp_path, origin.url, "--workers=2") as server:
        await eventually(lambda: len(server.events("started")) == 2)
        old = set(server.workers())
        os.kill(min(old), signal.SIGKILL)
        await eventually(lambda: len(set(server.workers()) - old) == 1)
        young = (set(server.workers()) - old).pop()
        os.kill(young, signal.SIGKILL)  # within a second of its start: the parent waits before it replaces it
        await eventually(lambda: len(server.events("worker_ended")) == 2)
        server.process.terminate()
        assert await server.ended() == 0


async def test_workers_do_not_outlive_their_parent(tmp_path: Path) -> None:
    async with AnsweringOrigin() as origin, serving(tmp_path, origin.url, "--workers=2") as server:
        await eventually(lambda: len(server.events("started")) == 2)
        workers = server.workers()
        server.process.kill()
        await eventually(lambda: refused(server.port))
        await eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


async def test_a_worker_that_cannot_start_ends_the_whole_with_its_status(tmp_path: Path) -> None:
    said = await asyncio.to_thread(run, tmp_path, "--port=0", "--workers=2", "--ca-file=/nowhere/ca.pem")
    assert said.returncode == 78
    assert "ca_file" in said.stderr
