"""How long does a held body take that has nothing new in it: located, replayed, spliced?

Against `orjson.loads` of the same body and against msgspec skipping it plus BLAKE3 over it, interleaved in one run.
The body is Claude-Code-shaped: 1 MB, 200 messages, a marker that moves, every other result replaced by a decision.
The answer is checked: the spliced body is the body with exactly those tokens replaced.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections.abc import Callable

import orjson
from blake3 import blake3

from headroom import providers
from headroom.config import Config
from headroom.ledger import Decision, Ledger, Pressing
from headroom.shrink import Shrinker
from headroom.store import MemoryStore
from headroom.zones.locate import Locator

MESSAGES = 200
SIZE = 1_000_000


def body_of(turns: int, seed: int = 7) -> bytes:
    """A body after `turns` tool calls; results are lines of invented code and log text."""
    rng = random.Random(seed)
    words = [f"{a}{b}" for a in ("get", "set", "run", "log", "net", "pool") for b in ("_item", "Name", "_at", "s", "")]
    messages: list[dict[str, object]] = [{"role": "user", "content": "Look at the project."}]
    size = SIZE // (MESSAGES // 2)
    for turn in range(turns):
        lines: list[str] = []
        length = 0
        while length < size:
            name, *rest = rng.choices(words, k=3)
            line = f'{len(lines):5}\t    {name}({rest[0]}, "{rest[1]}", {rng.randrange(9999)})'
            lines.append(line)
            length += len(line) + 1
        call = {"type": "tool_use", "id": f"toolu_{turn:04}", "name": "Read", "input": {"file_path": "/a.py"}}
        messages.append({"role": "assistant", "content": [{"type": "text", "text": "Next."}, call]})
        result: dict[str, object] = {
            "type": "tool_result",
            "tool_use_id": f"toolu_{turn:04}",
            "content": "\n".join(lines),
        }
        if turn == turns - 1:
            result["cache_control"] = {"type": "ephemeral"}
        messages.append({"role": "user", "content": [result]})
    document = {
        "model": "m",
        "messages": messages,
        "system": [{"type": "text", "text": "s" * 6000}],
        "tools": [{"name": f"t{n}", "description": "d" * 2600} for n in range(24)],
        "max_tokens": 100,
    }
    return json.dumps(document, separators=(",", ":")).encode()


async def prepared(body: bytes) -> tuple[Shrinker, int]:
    """A shrinker that has seen the conversation so far, with a decision for every other result."""
    ledger = Ledger(MemoryStore(3600.0), 64 << 20, 1.0)
    shrinker = Shrinker(Config.of(store="memory", token_yardstick="characters", tool_policy="Read=none"), ledger)
    shape = providers.ANTHROPIC.shape
    assert shape is not None
    located = Locator(shape).locate(body, b"caller", b"session")
    chosen = (located.old + located.fresh)[::-2]  # the newest among them
    decision = Decision(b'"pressed"', 100, 2, "test")
    await ledger.record([Pressing(slot.key, slot.key, decision) for slot in chosen])
    return shrinker, len(chosen)


def measure(body: bytes, earlier: bytes, rounds: int) -> dict[str, float]:
    """Median milliseconds of each contender, interleaved."""
    loop = asyncio.new_event_loop()
    shrinker, count = loop.run_until_complete(prepared(body))
    shape = providers.ANTHROPIC.shape
    assert shape is not None
    skip = Locator(shape)._top

    def ours() -> None:
        receipt = loop.run_until_complete(shrinker.rewrite(body, providers.ANTHROPIC, b"caller", b"session"))
        assert receipt.replayed == count and receipt.body.count(b'"pressed"') == count

    loop.run_until_complete(shrinker.rewrite(earlier, providers.ANTHROPIC, b"caller", b"session"))
    ours()
    contenders: dict[str, Callable[[], object]] = {
        "ours": ours,
        "orjson_loads": lambda: orjson.loads(body),
        "msgspec_skip_and_hash": lambda: (skip.decode(body), blake3(body).digest()),
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            begun = time.perf_counter()
            run()
            times[name].append((time.perf_counter() - begun) * 1000)
    loop.run_until_complete(shrinker.presser.close())
    loop.close()
    return {name: round(statistics.median(values), 4) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    body, earlier = body_of(MESSAGES // 2), body_of(MESSAGES // 2 - 1)
    times = measure(body, earlier, 20 if options.quick else options.rounds)
    over_orjson = round(times["ours"] / times["orjson_loads"], 3)
    report = {
        "question": "milliseconds for a 1 MB body with nothing new",
        "bytes": len(body),
        "ms": times,
        "over_orjson": over_orjson,
        "over_skip_and_hash": round(times["ours"] / times["msgspec_skip_and_hash"], 3),
    }
    json.dump(report, sys.stdout, indent=2)
    sys.stdout.write("\n")
    assert over_orjson < 1.0, "slower than orjson.loads"


if __name__ == "__main__":
    main()
