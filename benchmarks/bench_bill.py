"""What long sessions of each client cost through the proxy, over what they cost direct: the cache-weighted bill.

Results are recorded and invented ones of every kind. The credential is a login's, so nothing but lossless presses
happens. Bills are those of the tests' model of each provider's cache, by o200k.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from benchmarks import rig
from headroom.zones.yardstick import o200k
from tests.support.cache_model import Counter, estimate
from tests.support.embedded import edge_to
from tests.support.loops import chat_loop, claude_code_loop, codex_loop, gemini_loop, opencode_loop, sdk_loop
from tests.support.outputs import ToolOutput, mixed, recorded
from tests.support.replay_check import compare
from tests.support.sessions import Session, scripted_origin

Loop = Callable[[int, int, Sequence[ToolOutput]], Iterator[bytes]]

LOGIN = b"Authorization: Bearer sk-ant-oat01-login"
TURNS = 25
CLIENTS: Mapping[str, tuple[Loop, float]] = {
    "claude_code": (claude_code_loop, 0.85),
    "claude_code_resumed": (partial(claude_code_loop, resumed_at=12), 1.0),
    "claude_code_one_hour": (partial(claude_code_loop, ttl="1h"), 1.0),
    "codex": (codex_loop, 0.90),
    "opencode": (opencode_loop, 1.0),
    "sdk": (partial(sdk_loop, marker="last"), 1.0),
    "chat": (chat_loop, 1.0),
    "gemini": (gemini_loop, 0.90),
    "gemini_masked": (partial(gemini_loop, masked_at=12), 1.0),
    "gemini_doubled": (partial(gemini_loop, doubled_at=12), 1.0),
}

COUNTERS: Mapping[str, Callable[[], Counter]] = {"o200k": lambda: o200k().count, "characters": lambda: estimate}


def results(seed: int) -> list[ToolOutput]:
    """Recorded outputs among invented ones of every kind."""
    invented, real = mixed(seed, 34, 500, 12_000), recorded()
    for at, output in enumerate(real):
        invented.insert((at * 3 + seed) % len(invented), output)
    return invented


async def ratio(loop: Loop, turns: int, seed: int, *, measure: str = "o200k") -> tuple[float, int, bool]:
    """The bill through the proxy over the direct one, how many texts changed, and whether no law was broken."""
    patient = {"press_deadline": "30s", "press_deadline_limit": "60s", "token_yardstick": measure}
    async with scripted_origin() as origin, edge_to(origin.url, **patient) as proxy:
        session = Session(origin, login=True)
        await session.turns(proxy.port, loop(seed, turns, results(seed)), LOGIN)
        report = compare(session.sent, session.received, count=COUNTERS[measure](), step=1)
        return report.ratio, report.changed, report.sound


async def measure(options: rig.Options) -> Sequence[rig.Finding]:
    """The median over seeds; the worst must not exceed 1."""
    findings: list[rig.Finding] = []
    for name, (loop, bound) in CLIENTS.items():
        found = [await ratio(loop, options.pick(TURNS, 8), seed) for seed in range(options.pick(3, 1))]
        if not all(sound for _, _, sound in found) or max(value for value, _, _ in found) > 1:
            raise ValueError(f"{name}: {found}")
        ratios = sorted(value for value, _, _ in found)
        detail: dict[str, object] = {"ratios": rig.rounded(ratios), "changed": [changed for _, changed, _ in found]}
        findings.append(rig.Finding(name, round(ratios[len(ratios) // 2], 3), bound, detail))
    return findings


QUESTION = rig.Question(
    "bill", "The cache-weighted bill of sessions of 25 turns through the proxy, over direct", measure
)

if __name__ == "__main__":
    sys.exit(rig.main(QUESTION))
