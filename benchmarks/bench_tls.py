"""A TLS origin: CPU per event over nginx, and a thousand new streams at once.

Both proxies verify the origin. Before the thousand are timed they are asked for once, so that whoever keeps
connections or sessions has them; that first time is shown too, without a bound.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Sequence

from benchmarks import load, rig, servers
from benchmarks.servers import Server

BOUND_CPU = 2.0
BOUND_BURST = 5.0
STREAMS = 256
INTERVAL_MS = 40
BURST = 1_000


async def measure(options: rig.Options) -> Sequence[rig.Finding]:
    with servers.fleet(options.root, tls=True) as fleet:
        return [await cpu_per_event(fleet, options), *await burst(fleet, options)]


async def cpu_per_event(fleet: servers.Fleet, options: rig.Options) -> rig.Finding:
    events = options.pick(100, 30)
    question = load.stream(events, INTERVAL_MS)
    crowds = await load.crowds(fleet.ports, STREAMS)

    async def work(proxy: Server) -> int:
        return events * len(await crowds[proxy.name].at_once(question))

    found = await rig.cpu_ratio("tls_cpu_per_event", BOUND_CPU, fleet.proxies, options.rounds, work)
    for crowd in crowds.values():
        crowd.close()
    return found


async def burst(fleet: servers.Fleet, options: rig.Options) -> list[rig.Finding]:
    """Milliseconds from a request's write to its first event, a thousand written in one turn of the loop."""
    question = load.stream(events=20, interval_ms=100)  # 2 s: none ends before the last has begun
    crowds = await load.crowds(fleet.ports, options.pick(BURST, BURST // 4))
    times: dict[str, list[list[float]]] = {name: [] for name in crowds}
    for turn in range(options.rounds + 1):
        for name in sorted(crowds, reverse=bool(turn % 2)):
            timings = await crowds[name].at_once(question)
            times[name].append([timing.first * 1000 for timing in timings])
            await asyncio.sleep(0.2)
    return [_compare(times, percent) for percent in (50, 99)]


def _compare(times: dict[str, list[list[float]]], percent: int) -> rig.Finding:
    per_round = {name: [rig.percentile(of, percent) for of in rounds] for name, rounds in times.items()}
    ratios = [ours / base for base, ours in zip(per_round["nginx"][1:], per_round["headroom"][1:], strict=True)]
    detail: dict[str, object] = {
        "ratios": rig.rounded(ratios),
        "first_time_ms": {name: round(of[0], 2) for name, of in per_round.items()},
        "ms": {name: rig.rounded(of[1:], 2) for name, of in per_round.items()},
    }
    return rig.Finding(f"tls_burst_p{percent}", round(statistics.median(ratios), 3), BOUND_BURST, detail)


QUESTION = rig.Question("tls", "TLS origin: CPU per event and a burst of new streams, over nginx", measure)

if __name__ == "__main__":
    raise SystemExit(rig.main(QUESTION))
