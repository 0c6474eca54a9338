"""CPU per small JSON request, over nginx: what a request costs when there is nothing to do but pass it on."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import load, rig, servers
from benchmarks.servers import Server

BOUND = 1.5
CONNECTIONS = 32


async def measure(options: rig.Options) -> Sequence[rig.Finding]:
    question, total = load.small_json(), options.pick(20_000, 2_000)
    with servers.fleet(options.root) as fleet:
        crowds = await load.crowds(fleet.ports, CONNECTIONS)

        async def work(proxy: Server) -> int:
            return len(await crowds[proxy.name].repeat(question, total))

        return [await rig.cpu_ratio("cpu_per_request", BOUND, fleet.proxies, options.rounds, work)]


QUESTION = rig.Question("small_json", "CPU per small JSON request, over nginx", measure)

if __name__ == "__main__":
    raise SystemExit(rig.main(QUESTION))
