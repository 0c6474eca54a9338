"""The same text is pressed into the same bytes: in every process, on every thread, by every worker."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headroom.zones.excerpt import excerpt
from headroom.zones.forms import Style
from headroom.zones.press import Floors, press
from headroom.zones.yardstick import Characters
from tests.support.loops import claude_code_loop, codex_loop, gemini_loop
from tests.support.outputs import KINDS, invented, mixed
from tests.support.sessions import ROOT, Session, scripted_origin, served

TEXTS = [invented(kind, 5, 5_000).text for kind in KINDS]


def pressed() -> Iterator[str]:
    """What becomes of every text in every way, in order."""
    for text in TEXTS:
        yield from ways(text)


def ways(text: str) -> list[str]:
    """What becomes of one text in every way."""
    floors, measure = Floors.flat(0), Characters()
    verdicts = [press(text, floors, measure, style) for style in Style]
    verdicts += [excerpt(text, floors, measure, style) for style in Style]
    return [f"{verdict.action} {verdict.form}\n{verdict.text}" for verdict in verdicts]


def digest() -> str:
    """Of everything that is pressed here."""
    return hashlib.sha256("\0".join(pressed()).encode()).hexdigest()


def _child(seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "from tests.test_determinism import digest; print(digest())"],
        cwd=ROOT,
        env={"PATH": os.defpath, "PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def here() -> list[list[str]]:
    """What this process makes of the texts, one after the other."""
    return [ways(text) for text in TEXTS]


def test_most_texts_are_pressed_and_some_are_cut(here: list[list[str]]) -> None:
    assert sum(made[0].startswith("pressed") for made in here) > len(TEXTS) / 2
    assert sum(made[0] != made[2] for made in here) > 5


def test_hash_seeds_change_nothing(here: list[list[str]]) -> None:
    with ThreadPoolExecutor(3) as pool:
        found = set(pool.map(_child, ["0", "1", "4242"]))
    inline = hashlib.sha256("\0".join(way for made in here for way in made).encode()).hexdigest()
    assert found == {inline}


def test_threads_under_load_change_nothing(here: list[list[str]]) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ways, TEXTS)) == here


@pytest.mark.parametrize("loop", [claude_code_loop, codex_loop, gemini_loop])
async def test_one_worker_or_two_send_the_same_bytes(loop: object, tmp_path: Path) -> None:
    assert callable(loop)
    bodies = list(loop(11, 6, mixed(11, 16, 1_500, 9_000), bulk=0.05))
    received: list[list[bytes]] = []
    async with scripted_origin() as origin:
        for workers in (1, 2):
            settings = {
                "store": tmp_path / f"{workers}.db",
                "workers": workers,
                "token_yardstick": "characters",
                "openai_api_url": origin.url,
                "gemini_api_url": origin.url,
            }
            async with served(origin.url, settings) as proxy:
                session = Session(origin)
                await session.turns(proxy.port, bodies)
                received.append(session.received)
    assert received[0] == received[1]
    assert received[0] != bodies
