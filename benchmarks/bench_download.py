"""CPU per 10 MB response with a Content-Length, over nginx."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import load, rig, servers
from benchmarks.payloads import MEGABYTE
from benchmarks.servers import Server

BOUND = 1.5
CONNECTIONS = 2


async def measure(options: rig.Options) -> Sequence[rig.Finding]:
    question, total = load.download(10 * MEGABYTE), options.pick(60, 10)
    with servers.fleet(options.root) as fleet:
        crowds = await load.crowds(fleet.ports, CONNECTIONS)

        async def work(proxy: Server) -> int:
            return len(await crowds[proxy.name].repeat(question, total))

        return [await rig.cpu_ratio("cpu_per_10mb_response", BOUND, fleet.proxies, options.rounds, work)]


QUESTION = rig.Question("download", "CPU per 10 MB response, over nginx", measure)

if __name__ == "__main__":
    raise SystemExit(rig.main(QUESTION))
