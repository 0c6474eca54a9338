"""CPU per request body that is passed on, over nginx: 1 MB is held to its bound, 10 MB shows that it is linear."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import load, rig, servers
from benchmarks.payloads import MEGABYTE
from benchmarks.servers import Server

BOUND = 3.0
CONNECTIONS = 4


async def measure(options: rig.Options) -> Sequence[rig.Finding]:
    with servers.fleet(options.root) as fleet:
        return [
            await _of_size(fleet, options, "cpu_per_1mb_body", MEGABYTE, options.pick(400, 40)),
            await _of_size(fleet, options, "cpu_per_10mb_body", 10 * MEGABYTE, options.pick(40, 8)),
        ]


async def _of_size(fleet: servers.Fleet, options: rig.Options, name: str, size: int, total: int) -> rig.Finding:
    question = load.upload(size)
    crowds = await load.crowds(fleet.ports, CONNECTIONS)

    async def work(proxy: Server) -> int:
        return len(await crowds[proxy.name].repeat(question, total))

    found = await rig.cpu_ratio(name, BOUND, fleet.proxies, options.rounds, work)
    for crowd in crowds.values():
        crowd.close()
    return found


QUESTION = rig.Question("upload", "CPU per request body passed on, over nginx", measure)

if __name__ == "__main__":
    raise SystemExit(rig.main(QUESTION))
