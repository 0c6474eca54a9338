"""Runs one agent once, from an empty home to its last word."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.agents.clients import Agent, Place
from benchmarks.agents.project import write_project

SECONDS = 120
_MARK = ".scratch"


@dataclass(frozen=True)
class Outcome:
    """How a run ended: exit code (-1 when out of time), output, seconds, answer.

    `answer_ok` is whether every final answer was printed whole.
    """

    exit: int
    output: str
    errors: str
    seconds: float
    answer_ok: bool


def prepare(work: Path) -> None:
    """Make `work` an empty home with a fresh project in `work`/project.

    Only a directory that is empty or was made here before is emptied.
    """
    if work.exists() and any(work.iterdir()) and not (work / _MARK).exists():
        raise FileExistsError(f"{work} holds files that no run has written")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    (work / _MARK).touch()
    write_project(work / "project")


async def run(agent: Agent, place: Place) -> Outcome:
    """Run the agent's commands in the project, each at most `SECONDS` seconds."""
    for path, text in agent.files(place).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    commands = [agent.argv(place)]
    if agent.again is not None:
        commands.append(agent.again(place))
    begun, code, output, errors = time.monotonic(), 0, "", ""
    for command in commands:
        ended, said, complained = await _run_command(command, agent, place)
        code, output, errors = code or ended, output + said, errors + complained
    printed = " ".join(output.split())
    right = all(answer in printed for answer in agent.answers)
    return Outcome(code, output, errors, time.monotonic() - begun, right)


async def _run_command(command: list[str], agent: Agent, place: Place) -> tuple[int, str, str]:
    """Exit code (-1 when out of time), standard output and standard error."""
    child = await asyncio.create_subprocess_exec(
        *command,
        cwd=place.project,
        env=_environment(agent, place),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        output, errors = await asyncio.wait_for(child.communicate(), SECONDS)
        code = child.returncode or 0
    except TimeoutError:
        output, errors, code = b"", b"out of time", -1
    finally:
        _end_group(child.pid)
    return code, output.decode("utf-8", "replace"), errors.decode("utf-8", "replace")


def _environment(agent: Agent, place: Place) -> dict[str, str]:
    """A small environment: nothing of the caller's but the search path."""
    base = {
        "HOME": str(place.home),
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "TZ": "UTC",
    }
    return {**base, **agent.env(place)}


def _end_group(pid: int) -> None:
    """End what the agent left running in its own session."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
