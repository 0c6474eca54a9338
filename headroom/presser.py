"""Pressing beside the event loop: in time, on a thread of its own, once the token ranks are there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeAlias

from headroom.collecting import UNCOLLECTED
from headroom.config import Config
from headroom.faults import PressLate
from headroom.zones import yardstick
from headroom.zones.excerpt import excerpt
from headroom.zones.forms import Style
from headroom.zones.hints import Hints
from headroom.zones.press import FLOOR_GROUPS, Floors, Verdict, press

LOAD_SECONDS: Final = 3.0  # longest wait for the token ranks, once per process

Text: TypeAlias = tuple[str, bool]
"""A text, and whether something of it may be left out."""

Pressed: TypeAlias = tuple[Verdict, float]
"""What became of a text, and how many ms that took."""


class Presser:
    """Presses as it is configured. One per process; to be closed.

    `yardstick_fault` says why tokens are only estimated, if they are though they should be counted.
    """

    def __init__(self, config: Config) -> None:
        self.yardstick_fault = ""
        self._floors = floors_of(config)
        self._style = Style(config.text("press_style"))
        self._inline = config.whole("inline_bytes")
        self._deadline = (
            config.seconds("press_deadline"),
            config.seconds("press_deadline_per_kib"),
            config.seconds("press_deadline_limit"),
        )
        self._by_characters = config.text("token_yardstick") == "characters"
        # One: two that compute share the interpreter anyway, and the loop would wait for its turn among three.
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="press")
        self._loading: asyncio.Task[yardstick.Yardstick] | None = None

    async def close(self) -> None:
        """Let go of the thread; one that is pressing ends after its text."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.wait([self._loading])

    def warm(self) -> None:
        """Begin to load the token ranks in a thread, if that has not been done."""
        if self._loading is None and not self._by_characters and not yardstick.o200k_ready():
            self._loading = asyncio.get_running_loop().create_task(self._load())

    async def press(self, texts: Sequence[Text], hints: Hints | None = None) -> tuple[list[Pressed], str]:
        """What became of the first texts, in order, and the name of the fault that kept the others from being pressed;
        empty where all were. Little text is pressed at once, more of it on a thread, until the deadline."""
        size = sum(len(text) for text, _ in texts)
        base, per_kib, most = self._deadline
        done: list[Pressed] = []
        stop: list[bool] = []
        try:
            measure = await self._measure()
            if size <= self._inline:
                press_all(texts, self._floors, measure, self._style, done, stop, hints)
                return done, ""
            job = asyncio.get_running_loop().run_in_executor(
                self._threads, press_all, texts, self._floors, measure, self._style, done, stop, hints
            )
            try:
                await asyncio.wait_for(job, min(base + per_kib * size / 1024, most))
            except TimeoutError:
                raise PressLate(f"pressing {size} characters") from None
            finally:
                stop.append(True)
        except PressLate as fault:
            # The thread may still be at its last text.
            return list(done), fault.name
        return done, ""

    async def _measure(self) -> yardstick.Yardstick:
        """The yardstick. Raises PressLate while the ranks are still being loaded."""
        if self._by_characters:
            return yardstick.Characters()
        if yardstick.o200k_ready() and not self.yardstick_fault:
            return yardstick.o200k()
        self.warm()
        if self._loading is None:
            return yardstick.o200k()
        try:
            return await asyncio.wait_for(asyncio.shield(self._loading), LOAD_SECONDS)
        except TimeoutError:
            raise PressLate("the token ranks are still being loaded") from None

    async def _load(self) -> yardstick.Yardstick:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, yardstick.o200k)
        except yardstick.RanksDamaged as error:
            self.yardstick_fault = str(error)
            return yardstick.Characters()


def floors_of(config: Config) -> Floors:
    """The floors that are configured."""
    return Floors({kind: config.whole(f"{group}_floor") for kind, group in FLOOR_GROUPS.items()})


def press_all(
    texts: Sequence[Text],
    floors: Floors,
    measure: yardstick.Yardstick,
    style: Style,
    done: list[Pressed],
    stop: list[bool],
    hints: Hints | None = None,
) -> None:
    """Press text after text until told to stop. Runs on a thread; each verdict is whole when it is put into `done`."""
    for text, cuts in texts:
        if stop:
            return
        begun = time.perf_counter()
        with UNCOLLECTED:
            verdict = (excerpt if cuts else press)(text, floors, measure, style, hints=hints)
        done.append((verdict, (time.perf_counter() - begun) * 1000))
