"""Runs real agents directly and through a proxy and reports what changed.

    python -m benchmarks.agents.run_agents --install --proxy-cmd "CMD {port} {origin}"

Prints one JSON report per agent, one a line; exit code 0 when all passed.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import json
import lzma
import platform
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.agents.clients import AGENTS, MATCH, Agent, Place
from benchmarks.agents.compare import (
    Asked,
    blanked,
    outputs_agree,
    outside_results,
    prefix_report,
    result_bytes,
    result_texts,
    spoken,
    tool_names,
)
from benchmarks.agents.memory import RememberingOrigin, remembering
from benchmarks.agents.memory import seen as seen_remembering
from benchmarks.agents.project import FACTS
from benchmarks.agents.retrieval import FetchingOrigin, fetching, seen
from benchmarks.agents.session import Outcome, prepare, run
from benchmarks.agents.tap import Tap
from tests.support.dialects import Dialect, exchange, route
from tests.support.http_wire import WireRequest
from tests.support.origin import Origin, plain_request_body
from tests.support.script import Json, Script
from tests.support.socket_origin import Said, SocketOrigin

START_SECONDS = 20


@dataclass(frozen=True)
class Measured:
    """One run: its outcome, what the client sent and what the origin received, on WebSockets too."""

    outcome: Outcome
    sent: list[WireRequest]
    received: list[WireRequest]
    spoken: list[str]
    heard: list[Said]

    @property
    def asked_on_sockets(self) -> list[Asked]:
        """The requests made on WebSockets, with what they go on from; those that ask for no answer left out."""
        kept = [said for said in self.heard if said.whole and not said.warm]
        return [Asked(Dialect.RESPONSES, said.whole, said.whole_raw) for said in kept]


def model_calls(requests: Sequence[WireRequest], script: Script) -> list[Asked]:
    """The requests of the scripted conversation, side requests left out."""
    calls: list[Asked] = []
    for request in requests:
        found = route(request.method, request.target)
        raw = plain_request_body(request)
        body = _object(raw)
        if found is not None and not found.count and exchange(found, body, script).scripted:
            calls.append(Asked(found.dialect, body, raw))
    return calls


def _object(raw: bytes) -> Json:
    try:
        value: object = json.loads(raw)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


async def measure(agent: Agent, place: Place, origin: Origin, port: int) -> Measured:
    """Run the agent through a tap in front of 127.0.0.1:`port`."""
    prepare(place.home)
    origin.requests.clear()
    origin.sockets = _sockets(agent)
    async with Tap(port) as tap:
        seat = replace(place, base_url=f"http://127.0.0.1:{tap.port}")
        outcome = await run(agent, seat)
    heard = origin.sockets.said if origin.sockets is not None else []
    return Measured(outcome, tap.requests, [kept.request for kept in origin.requests], tap.messages, heard)


def _sockets(agent: Agent) -> SocketOrigin | None:
    if agent.sockets == "none" or agent.sockets == "refused":
        return None
    return SocketOrigin(closes=3, accepts=1) if agent.sockets == "broken" else SocketOrigin(agent.sockets)


def side(measured: Measured, script: Script) -> Json:
    """One run in numbers; bytes are sums over the conversation's requests."""
    posted = model_calls(measured.received, script)
    calls = [*measured.asked_on_sockets, *posted]
    last = "\n".join(result_texts(calls[-1])) if calls else ""
    return {
        "exit": measured.outcome.exit,
        "answer_ok": measured.outcome.answer_ok,
        "seconds": round(measured.outcome.seconds, 2),
        "turns": len(calls),
        "side_requests": len(measured.received) - len(posted),
        "request_bytes": sum(len(call.raw) for call in calls),
        "tool_result_bytes": sum(map(result_bytes, calls)),
        "last_tool_result_bytes": result_bytes(calls[-1]) if calls else 0,
        "prefix": prefix_report(calls),
        "facts_seen": [fact for fact in FACTS if fact in last],
    }


def passage(measured: Measured, script: Script, kept: Sequence[str]) -> Json:
    """What the proxy did to each request of one run.

    `kept` is the direct run's `prefix`. `untouched` counts requests forwarded byte for byte.  `prefix_kept` is
    whether every prefix the client kept from turn to turn stayed kept.
    """
    before = [*spoken(measured.spoken), *model_calls(measured.sent, script)]
    after = [*spoken([said.text for said in measured.heard]), *model_calls(measured.received, script)]
    pairs = list(zip(before, after, strict=False))
    upgrades = len(measured.sent) - len(measured.received) if measured.heard else 0
    others = [r for r in measured.sent if not model_calls([r], script) and not (upgrades and r.value("upgrade"))]
    bodies = [r.body for r in measured.received]
    prefixes = zip(prefix_report(before), prefix_report(after), strict=False)
    if measured.heard:
        # Messages hold only what is new: what the client kept shows in what it stood for when it was asked directly.
        stood_for = [*measured.asked_on_sockets, *model_calls(measured.received, script)]
        prefixes = zip(kept, prefix_report(stood_for), strict=False)
    return {
        "requests_in": len(before),
        "requests_out": len(after),
        "untouched": sum(b.raw == a.raw for b, a in pairs),
        "messages": [len(measured.spoken), len(measured.heard)],
        "messages_kept": len(measured.spoken) == len(measured.heard),
        "bytes_changed_outside_outputs": sum(blanked(b.raw) != blanked(a.raw) for b, a in pairs),
        "changed_outside_results": [outside_results(b, a) for b, a in pairs],
        "tools_added": sorted({name for b, a in pairs for name in set(tool_names(a)) - set(tool_names(b))}),
        "prefix_kept": all(came == "same" for went, came in prefixes if went == "same"),
        "side_requests_untouched": all(r.body in bodies for r in others),
        "outputs_agree": outputs_agree([*measured.asked_on_sockets, *model_calls(measured.received, script)]),
        "tool_result_bytes_in": sum(map(result_bytes, before)),
        "tool_result_bytes_out": sum(map(result_bytes, after)),
    }


def passed(one: Json, script: Script) -> bool:
    """Exit code 0, the right answer, every turn of the script asked for."""
    wanted = len(script.conversations[0].turns)
    return one["exit"] == 0 and one["answer_ok"] is True and one["turns"] == wanted


async def report(agent: Agent, place: Place, origin: FetchingOrigin, proxy: int, record: Path | None) -> Json:
    """Direct run, then the proxied run when `proxy` is a port, as one report."""
    script = Script.single(agent.turns(place.project), MATCH)
    origin.template = origin.script = script
    last = await measure(agent, place, origin, origin.port)
    if record is not None:
        save_requests(last.received, record / agent.name)
    direct = side(last, script)
    direct_prefix = prefix_report([*last.asked_on_sockets, *model_calls(last.received, script)])
    sides, good = {"direct": direct}, passed(direct, script)
    through: Json = {}
    if proxy:
        last = await measure(agent, place, origin, proxy)
        sides["proxied"], through = side(last, script), passage(last, script, direct_prefix)
        good = good and passed(sides["proxied"], script)
        good = good and through["messages_kept"] is True and through["requests_in"] == through["requests_out"]
        if agent.sockets != "none" and not through["tools_added"]:
            good = good and through["bytes_changed_outside_outputs"] == 0
        good = good and through["outputs_agree"] is True
        good = good and through["prefix_kept"] is True and through["side_requests_untouched"] is True
    lines = _summary(agent, place, list(sides.values()))
    lines |= {"passed": good, **sides, "passage": through}
    return lines if good else {**lines, "errors": last.outcome.errors[-2000:]}


async def report_fetching(agent: Agent, place: Place, origin: FetchingOrigin, proxy: int) -> Json:
    """A run through the proxy in which the model fetches what was left out, as a report."""
    script = Script.single(agent.turns(place.project), MATCH)
    origin.template = origin.script = script
    last = await measure(agent, place, origin, proxy)
    calls = [*last.asked_on_sockets, *model_calls(last.received, script)]
    found = seen(last.outcome, last.sent, last.spoken, calls)
    lines: Json = {"agent": agent.name, "version": version_of(agent, place), **found}
    return lines if found["passed"] else {**lines, "errors": last.outcome.errors[-2000:]}


async def report_remembering(agent: Agent, place: Place, origin: RememberingOrigin, proxy: int) -> Json:
    """A run through the proxy in which the model uses its memory, as a report."""
    script = Script.single(agent.turns(place.project), MATCH)
    origin.template = origin.script = script
    last = await measure(agent, place, origin, proxy)
    calls = [*last.asked_on_sockets, *model_calls(last.received, script)]
    found = seen_remembering(last.outcome, last.sent, last.spoken, calls)
    lines: Json = {"agent": agent.name, "version": version_of(agent, place), **found}
    return lines if found["passed"] else {**lines, "errors": last.outcome.errors[-2000:]}


def _summary(agent: Agent, place: Place, sides: list[Json]) -> Json:
    """The report's head: the last run, and bytes as [direct, proxied]."""
    last = {key: sides[-1][key] for key in ("exit", "turns", "answer_ok")}
    return {
        "agent": agent.name,
        "version": version_of(agent, place),
        **last,
        "request_bytes": [one["request_bytes"] for one in sides],
        "tool_result_bytes_direct_vs_proxied": [one["tool_result_bytes"] for one in sides],
    }


def version_of(agent: Agent, place: Place) -> str:
    """The installed version of the agent's package or distribution."""
    if agent.package:
        manifest = place.packages / "node_modules" / agent.package / "package.json"
        return str(_object(manifest.read_bytes()).get("version"))
    ask = f"import importlib.metadata as m; print(m.version({agent.distribution!r}))"
    if place.python == sys.executable:
        return importlib.metadata.version(agent.distribution)
    done = subprocess.run([place.python, "-c", ask], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def save_requests(requests: Sequence[WireRequest], folder: Path) -> None:
    """Write NN.http.xz files: request line, headers, blank line, body as received.

    Only the kernel release is replaced, by a stand-in of equal length.
    """
    release = platform.release().encode()
    stand_in = (b"6.1.0-" + b"0" * len(release))[: len(release)]
    folder.mkdir(parents=True, exist_ok=True)
    for number, request in enumerate(requests):
        text = (request.head + request.body).replace(release, stand_in)
        packed = lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)
        (folder / f"{number:02d}.http.xz").write_bytes(packed)


def install(agents: Sequence[Agent], folder: Path) -> None:
    """Install the agents' npm packages, at their tested versions, in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / "package.json"
    if not manifest.exists():
        manifest.write_text('{"name": "agents", "version": "0.0.0", "private": true}\n')
    wanted = sorted({f"{agent.package}@{agent.version}" for agent in agents if agent.package})
    if wanted:
        command = ["npm", "install", "--no-audit", "--no-fund", *wanted]
        subprocess.run(command, cwd=folder, check=True, timeout=900, stdout=sys.stderr)


@asynccontextmanager
async def started_proxy(command: str, origin: Origin) -> AsyncIterator[int]:
    """Start the proxy command and yield its port once it accepts connections."""
    port = _free_port()
    words = [w.format(port=port, origin=origin.url) for w in shlex.split(command)]
    child = await asyncio.create_subprocess_exec(*words, stdout=sys.stderr)
    try:
        await _accepting(port, child)
        yield port
    finally:
        if child.returncode is None:
            child.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(child.wait(), 20)
            except TimeoutError:
                child.kill()
                await child.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _accepting(port: int, child: asyncio.subprocess.Process) -> None:
    limit = time.monotonic() + START_SECONDS
    while time.monotonic() < limit and child.returncode is None:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
    raise RuntimeError(f"the proxy did not accept connections on port {port}")


def arguments() -> argparse.Namespace:
    """The command line."""
    cache = Path.home() / ".cache" / "headroom-agents"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", default="", help="names, comma-separated; all by default")
    parser.add_argument("--packages", type=Path, default=cache, help="npm packages directory")
    parser.add_argument("--install", action="store_true", help="install the packages first")
    parser.add_argument("--python", default=sys.executable, help="Python that has the SDKs")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir(), "demo"))
    parser.add_argument("--origin-port", type=int, default=0, help="0 picks a free port")
    parser.add_argument("--repeat", type=int, default=1, help="runs of every agent")
    parser.add_argument("--fetching", action="store_true", help="the model fetches what the proxy left out")
    parser.add_argument("--remembering", action="store_true", help="the model uses its memory")
    parser.add_argument("--record", type=Path, help="save the direct run's requests here")
    proxy = parser.add_mutually_exclusive_group()
    proxy.add_argument("--base-url", help="a running proxy that forwards to --origin-port")
    proxy.add_argument("--proxy-cmd", help="command with {port} and {origin} to start one")
    return parser.parse_args()


async def run_all(asked: argparse.Namespace) -> bool:
    """Every chosen agent `--repeat` times; true when all passed."""
    names = [name for name in asked.agents.split(",") if name]
    agents = [agent for agent in AGENTS if not names or agent.name in names]
    if unknown := set(names) - {agent.name for agent in agents}:
        raise SystemExit(f"unknown agents: {', '.join(sorted(unknown))}")
    if asked.install:
        install(agents, asked.packages)
    place = Place(asked.packages, asked.work, asked.work / "project", "", asked.python)
    good = True
    origin = (RememberingOrigin if asked.remembering else FetchingOrigin)(Script(), port=asked.origin_port)
    async with origin, _proxy_port(asked, origin) as port:
        for agent in agents * asked.repeat:
            if isinstance(origin, RememberingOrigin):
                lines = await report_remembering(remembering(agent), place, origin, port)
            elif asked.fetching:
                lines = await report_fetching(fetching(agent), place, origin, port)
            else:
                lines = await report(agent, place, origin, port, asked.record)
            print(json.dumps(lines), flush=True)
            good = good and lines["passed"] is True
    return good


@asynccontextmanager
async def _proxy_port(asked: argparse.Namespace, origin: Origin) -> AsyncIterator[int]:
    """The proxy's port, or 0 for direct runs only."""
    if asked.proxy_cmd:
        async with started_proxy(asked.proxy_cmd, origin) as port:
            yield port
    else:
        yield urlsplit(asked.base_url or "").port or 0


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(run_all(arguments())) else 1)
