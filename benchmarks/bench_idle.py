"""What the proxy takes when nothing happens: to start, to be there, to hold a thousand silent streams.

And what it gives back: how many of those streams are still open at the origin half a second after their clients left.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Sequence
from pathlib import Path

from benchmarks import load, rig, servers
from benchmarks.servers import Server

BOUND_START_S = 0.5
BOUND_RSS_MB = 60.0
BOUND_STREAM_KB = 10.0
BOUND_ABANDONED = 0.0
SILENT_MS = 600_000  # far longer than the benchmark


async def measure(options: rig.Options) -> Sequence[rig.Finding]:
    start = start_time(options)
    with servers.fleet(options.root) as fleet:
        return [start, *await at_rest(fleet, options.pick(1_000, 200))]


def start_time(options: rig.Options) -> rig.Finding:
    """Seconds from the process's start to the first 200 on /livez; nothing listens at the origin's port."""
    ready: dict[str, list[float]] = {"nginx": [], "headroom": []}
    with servers.scratch() as folder:
        for _ in range(options.rounds):
            plans = (
                servers.nginx(folder, servers.free_port(), None),
                servers.headroom(folder, servers.free_port(), None, options.root),
            )
            for plan in plans:
                with plan.running() as server:
                    ready[plan.name].append(server.ready)
    seconds = {name: rig.rounded(of) for name, of in ready.items()}
    return rig.Finding("start_s", round(statistics.median(ready["headroom"]), 3), BOUND_START_S, {"seconds": seconds})


async def at_rest(fleet: servers.Fleet, streams: int) -> list[rig.Finding]:
    before = await _warm_memory(fleet)
    question = load.stream(events=4, interval_ms=SILENT_MS)
    crowds = await load.crowds(fleet.ports, streams)
    idle_files = _open_files(fleet.origin)
    held, left_open = dict[str, float](), dict[str, int]()
    for proxy in fleet.proxies:
        await crowds[proxy.name].begin(question)
        await asyncio.sleep(1)
        held[proxy.name] = (proxy.rss() - before[proxy.name]["rss"]) / streams / 1024
        crowds[proxy.name].close()
        await asyncio.sleep(0.5)
        left_open[proxy.name] = max(0, _open_files(fleet.origin) - idle_files)
    rss = {name: round(of["rss"] / 1e6, 1) for name, of in before.items()}
    pss = {name: round(of["pss"] / 1e6, 1) for name, of in before.items()}
    kb = {name: round(value, 2) for name, value in held.items()}
    return [
        rig.Finding("idle_rss_mb", rss["headroom"], BOUND_RSS_MB, {"rss_mb": rss, "pss_mb": pss}),
        rig.Finding("kb_per_idle_stream", kb["headroom"], BOUND_STREAM_KB, {"kb": kb, "streams": streams}),
        rig.Finding("abandoned_open", left_open["headroom"], BOUND_ABANDONED, {"open_after_500_ms": left_open}),
    ]


async def _warm_memory(fleet: servers.Fleet) -> dict[str, dict[str, int]]:
    """Resident bytes after one stream has been through and ended."""
    crowds = await load.crowds(fleet.ports, 1)
    for crowd in crowds.values():
        await crowd.at_once(load.stream(events=4, interval_ms=0))
    await asyncio.sleep(1)
    return {proxy.name: {"rss": proxy.rss(), "pss": proxy.pss()} for proxy in fleet.proxies}


def _open_files(server: Server) -> int:
    return sum(1 for _ in Path(f"/proc/{server.process.pid}/fd").iterdir())


QUESTION = rig.Question("idle", "Time to start, memory at rest, memory per silent stream, streams left behind", measure)

if __name__ == "__main__":
    raise SystemExit(rig.main(QUESTION))
