"""How a question is measured and its answer written down.

Rounds are interleaved (nginx, headroom; headroom, nginx; ...), so that both see the same machine. What counts is the
median over the rounds of the ratio of two neighbours; a time by itself says more about the machine than about us.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Final

import orjson
import uvloop

from benchmarks.servers import REPOSITORY, Server

RESULTS: Final = Path(__file__).resolve().parent / "results"
_SETTLE: Final = 0.05  # seconds after the last answer, in which a proxy writes its log and returns its connections


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says: `root` is the source tree whose Headroom is measured."""

    rounds: int
    quick: bool
    record: bool
    root: Path

    def pick(self, full: int, quick: int) -> int:
        """How much work to do."""
        return quick if self.quick else full


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure with its bound; `detail` is what it was made of."""

    name: str
    value: float
    bound: float
    detail: dict[str, object] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        return self.value <= self.bound


@dataclass(frozen=True, slots=True)
class Question:
    """What a benchmark file asks, and how it finds out."""

    name: str
    text: str
    measure: Callable[[Options], Awaitable[Sequence[Finding]]]


def main(question: Question) -> int:
    """Measure, print JSON, record it if asked to; 1 if a bound does not hold."""
    options = _options(question)
    _allow_many_files()
    load_before = os.getloadavg()
    findings = uvloop.run(_measure(question, options))
    report = orjson.dumps(
        {
            "name": question.name,
            "question": question.text,
            "holds": all(finding.holds for finding in findings),
            "findings": [asdict(finding) | {"holds": finding.holds} for finding in findings],
            "rounds": options.rounds,
            "machine": machine(options, load_before),
        },
        option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE,
    )
    sys.stdout.buffer.write(report)
    if options.record:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{question.name}.json").write_bytes(report)
    return 0 if all(finding.holds for finding in findings) else 1


async def _measure(question: Question, options: Options) -> Sequence[Finding]:
    return await question.measure(options)


def _options(question: Question) -> Options:
    parser = argparse.ArgumentParser(description=question.text)
    parser.add_argument("--rounds", type=int, help="rounds of each proxy after the warm-up (7; 3 with --quick)")
    parser.add_argument("--quick", action="store_true", help="less work per round: to see that it runs")
    parser.add_argument("--record", action="store_true", help=f"also write results/{question.name}.json")
    parser.add_argument("--root", type=Path, default=REPOSITORY, help="source tree of the Headroom to measure")
    given = parser.parse_args()
    rounds = given.rounds or (3 if given.quick else 7)
    return Options(rounds=rounds, quick=given.quick, record=given.record, root=given.root.resolve())


def _allow_many_files() -> None:
    """A thousand streams through two proxies take several thousand descriptors here and in each child."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


# ---- CPU per unit of work


async def cpu_ratio(
    name: str,
    bound: float,
    proxies: Sequence[Server],
    rounds: int,
    work: Callable[[Server], Awaitable[int]],
) -> Finding:
    """CPU of the second of `proxies` over that of the first, per unit; `work` returns the units it did."""
    costs: dict[str, list[float]] = {proxy.name: [] for proxy in proxies}
    for turn in range(rounds + 1):  # the first one warms up
        for proxy in proxies if turn % 2 else reversed(proxies):
            cost = await _cpu_us(proxy, work)
            if turn:
                costs[proxy.name].append(cost)
    base, ours = (costs[proxy.name] for proxy in proxies)
    ratios = [b / a for a, b in zip(base, ours, strict=True)]
    detail: dict[str, object] = {
        "ratios": rounded(ratios),
        "ratio_of_minima": round(min(ours) / min(base), 3),
        "cpu_us_per_unit": {of: {"min": round(min(c), 2), "rounds": rounded(c)} for of, c in costs.items()},
    }
    return Finding(name, round(statistics.median(ratios), 3), bound, detail)


async def _cpu_us(proxy: Server, work: Callable[[Server], Awaitable[int]]) -> float:
    before = proxy.cpu_ns()
    units = await work(proxy)
    await asyncio.sleep(_SETTLE)
    return (proxy.cpu_ns() - before) / units / 1000


def rounded(values: Sequence[float], digits: int = 3) -> list[float]:
    return [round(value, digits) for value in values]


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that `percent` per cent of `values` do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


# ---- the machine


def machine(options: Options, load_before: tuple[float, float, float]) -> dict[str, object]:
    return {
        "commit": _commit(options.root),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "uvloop": version("uvloop"),
        "nginx": _output("nginx", "-v").rpartition("/")[2],
        "load_average": {"before": rounded(load_before, 2), "after": rounded(os.getloadavg(), 2)},
        "command": [Path(sys.executable).name, *sys.orig_argv[1:]],
    }


def _commit(root: Path) -> str:
    commit = _output("git", "-C", str(root), "rev-parse", "--short=12", "HEAD")
    changed = _output("git", "-C", str(root), "status", "--porcelain", "--untracked-files=no")
    return f"{commit}+changes" if changed else commit


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip() if done.returncode == 0 else ""
