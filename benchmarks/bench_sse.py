"""Event streams: CPU per event over nginx with 256 of them, and the time added to the first event of one."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Sequence

from benchmarks import load, rig, servers
from benchmarks.servers import Server

BOUND_CPU = 1.6
BOUND_ADDED_MS = 0.2
STREAMS = 256
INTERVAL_MS = 20
PAUSE_S = 0.002


async def measure(options: rig.Options) -> Sequence[rig.Finding]:
    with servers.fleet(options.root) as fleet:
        return [await cpu_per_event(fleet, options), await added_to_first_event(fleet, options)]


async def cpu_per_event(fleet: servers.Fleet, options: rig.Options) -> rig.Finding:
    """The request that begins a stream is part of it, spread over all its events."""
    events = options.pick(200, 50)
    question = load.stream(events, INTERVAL_MS)
    crowds = await load.crowds(fleet.ports, STREAMS)

    async def work(proxy: Server) -> int:
        return events * len(await crowds[proxy.name].at_once(question))

    found = await rig.cpu_ratio("cpu_per_event", BOUND_CPU, fleet.proxies, options.rounds, work)
    for crowd in crowds.values():
        crowd.close()
    return found


async def added_to_first_event(fleet: servers.Fleet, options: rig.Options) -> rig.Finding:
    """Median time to the first event, less the median of the same streams without a proxy; one stream at a time.

    All on one core: the three take turns anyway, and waking a sleeping core costs more, and varies more, than either
    proxy takes. So the difference is the work done before the event is passed on. The bound is for a proxy that has
    just done the same; `rested` is after a pause, in which caches have gone cold, and has none.
    """
    crowds = await load.crowds({"direct": fleet.origin.port, **fleet.ports}, 1)
    turns = options.pick(400, 100)
    with fleet.on_one_core():
        busy = await _first_events(crowds, turns, pause=0.0)
        rested = await _first_events(crowds, turns, pause=PAUSE_S)
    added = {name: _added(busy, name) for name in fleet.ports}
    detail: dict[str, object] = {
        "added_ms": added,
        "added_ms_rested": {name: _added(rested, name) for name in fleet.ports},
        "median_ms": {name: round(statistics.median(of), 4) for name, of in busy.items()},
        "p99_ms": {name: round(rig.percentile(of, 99), 4) for name, of in busy.items()},
    }
    return rig.Finding("first_event_added_ms", added["headroom"], BOUND_ADDED_MS, detail)


async def _first_events(crowds: dict[str, load.Crowd], turns: int, *, pause: float) -> dict[str, list[float]]:
    """Milliseconds to the first event, in turns, each after one stream on the same way that is not counted.

    That one opens connections, and absorbs what another way's last stream has left to do.
    """
    question = load.stream(events=3, interval_ms=2)  # what follows the first event must not share its core yet
    times: dict[str, list[float]] = {name: [] for name in crowds}
    for _ in range(turns):
        for name, crowd in crowds.items():
            await crowd.at_once(question)
            await asyncio.sleep(pause)
            (timing,) = await crowd.at_once(question)
            times[name].append(timing.first * 1000)
    return times


def _added(times: dict[str, list[float]], name: str) -> float:
    return round(statistics.median(times[name]) - statistics.median(times["direct"]), 4)


QUESTION = rig.Question("sse", "CPU per event over nginx; milliseconds added to the first event", measure)

if __name__ == "__main__":
    raise SystemExit(rig.main(QUESTION))
