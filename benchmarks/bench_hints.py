"""What hints are worth: statistics learnt on one half of a set of outputs, published and loaded for the other half."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from benchmarks import rig
from headroom.config import Config
from headroom.learning_file import StatisticsFile
from headroom.lessons import Lesson, Lessons, structured
from headroom.publishing import Statistics, recommend, render
from headroom.recommendations import Recommendations, load
from headroom.zones.hints import Hints
from headroom.zones.press import Action, Floors, Verdict, press
from headroom.zones.structure import beginning
from headroom.zones.yardstick import o200k
from tests.support.outputs import KINDS, invented

PAYER, FAMILY = "payg", "gpt-5"
LEAST = 3  # observations of a row
BOUND_CPU = 1.0  # with hints over without, all outputs together
BOUND_TOKENS = 0.0  # lost, of what is saved without hints
SIZES = (2_000, 4_000, 8_000, 16_000, 30_000)


def outputs(seeds: int) -> list[str]:
    """Outputs of every kind and of many sizes, in an order of no meaning."""
    dice = Random("halves")
    texts = [invented(kind, seed, dice.choice(SIZES)).text for seed in range(seeds) for kind in KINDS]
    dice.shuffle(texts)
    return texts


def published(texts: Sequence[str]) -> Recommendations:
    """What a proxy loads that was published from the statistics of `texts`."""
    file = StatisticsFile(None)
    for at, text in enumerate(texts):
        verdict = press(text, Floors(), o200k())
        if verdict.action is not Action.BELOW_FLOOR:
            told = (verdict.kind, verdict.form, "", verdict.before, verdict.after)
            row = structured(Lesson("", verdict.action, b"%d" % at, beginning(text), *told))
            file.add([Lessons(PAYER, FAMILY, b"", (row,))])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "recommendations.toml"
        path.write_bytes(render(*recommend(Statistics(file.forms(), file.tools(), file.callers()), LEAST)))
        return load(Config.of(store="memory", recommendations_path=path))[0]


def timed(text: str, hints: Hints | None) -> tuple[float, Verdict]:
    """CPU milliseconds of one press on this thread."""
    gc.disable()
    begun = time.thread_time()
    verdict = press(text, Floors(), o200k(), hints=hints)
    spent = time.thread_time() - begun
    gc.enable()
    return spent * 1000, verdict


async def measure(options: rig.Options) -> Sequence[rig.Finding]:
    texts = outputs(options.pick(12, 4))
    half = len(texts) // 2
    found = published(texts[:half])
    hints = found.hints_of(PAYER, FAMILY)
    dice, rounds = Random("turns"), options.pick(5, 3)
    plain = led = plain_of_led = led_of_led = 0.0
    saved = lost = followed = 0
    for text in texts[half:]:
        spent = {False: float("inf"), True: float("inf")}
        verdicts: dict[bool, Verdict] = {}
        for _ in range(rounds):
            for hinted in dice.sample((False, True), 2):
                took, verdicts[hinted] = timed(text, hints if hinted else None)
                spent[hinted] = min(spent[hinted], took)
        plain, led = plain + spent[False], led + spent[True]
        if hints(text, verdicts[False].kind) is not None:
            followed += 1
            plain_of_led, led_of_led = plain_of_led + spent[False], led_of_led + spent[True]
        saved += verdicts[False].before - _tokens(verdicts[False])
        lost += _tokens(verdicts[True]) - _tokens(verdicts[False])
    detail: dict[str, object] = {
        "texts": len(texts) - half,
        "rows": len(found.rows),
        "hints": len(found.hints),
        "ms_without": round(plain, 1),
        "ms_with": round(led, 1),
        "texts_with_a_hint": followed,
        "over_on_those": round(led_of_led / plain_of_led, 3),
    }
    return [
        rig.Finding("cpu_with_over_without", round(led / plain, 3), BOUND_CPU, detail),
        rig.Finding("tokens_lost_share", round(lost / saved, 5), BOUND_TOKENS, {"lost": lost, "saved": saved}),
    ]


def _tokens(verdict: Verdict) -> int:
    return verdict.after if verdict.action is Action.PRESSED else verdict.before


QUESTION = rig.Question("hints", "CPU and tokens of presses with hints learnt on other outputs, over without", measure)

if __name__ == "__main__":
    sys.exit(rig.main(QUESTION))
