"""Event streams: CPU per event over nginx with 256 of them, and the time added to the first event of one."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmarks import load, rig, servers
from benchmarks.servers import Server

BOUND_CPU = 1.6
BOUND_ADDED_MS = 0.2
STREAMS = 256
INTERVAL_MS = 20


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
    """Median time to the first event, less the median of the same streams without a proxy; one stream at a time."""
    question = load.stream(events=5, interval_ms=0)
    crowds = await load.crowds({"direct": fleet.origin.port, **fleet.ports}, 1)
    times: dict[str, list[float]] = {name: [] for name in crowds}
    for turn in range(options.pick(1_000, 200) + 20):
        for name, crowd in crowds.items():
            (timing,) = await crowd.at_once(question)
            if turn >= 20:  # the first ones open the connections and warm up
                times[name].append(timing.first * 1000)
    medians = {name: statistics.median(of) for name, of in times.items()}
    added = {name: round(medians[name] - medians["direct"], 4) for name in fleet.ports}
    detail: dict[str, object] = {
        "added_ms": added,
        "median_ms": {name: round(value, 4) for name, value in medians.items()},
        "p99_ms": {name: round(rig.percentile(of, 99), 4) for name, of in times.items()},
    }
    return rig.Finding("first_event_added_ms", added["headroom"], BOUND_ADDED_MS, detail)


QUESTION = rig.Question("sse", "CPU per event over nginx; milliseconds added to the first event", measure)

if __name__ == "__main__":
    raise SystemExit(rig.main(QUESTION))
