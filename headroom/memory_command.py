"""`headroom memory …`: what is remembered, for the owner of the machine.

It reads and writes the file itself, so it needs no proxy, and does no harm to one that runs.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Literal, get_args

import msgspec

from headroom import config as settings
from headroom.config import Config, ConfigError
from headroom.faults import MemoryDown
from headroom.memory import Memory, MemoryRefused, Saved, Scope, ScopeKind
from headroom.memory_sqlite import SqliteMemory
from headroom.stores import memory_path

EX_USAGE: Final = 64
EX_UNAVAILABLE: Final = 69
NOT_FOUND: Final = 1
_PATIENCE: Final = 60.0  # seconds for one call; a person waits longer than a request does
_LIMIT: Final = 20

_ALLOWED: Final = {
    "scope": "project, user or global",
    "limit": "a whole number from 1",
    "importance": "a number from 0 to 1",
}

Command = Literal["list", "search", "add", "forget", "export"]

_USAGE: Final = """usage: headroom memory COMMAND [OPTIONS] [--SETTING VALUE …]

  list              what is remembered, the latest changed first; all of it, or what the options leave
  search WORDS      what a prompt of these words is told of, or else what has one of them; the best first
  add TEXT          remember a text, or standard input for -; for everybody in the project, or for a --user
  forget ID         forget one memory, or with --all --project P --yes all of a project (--user U: only that user's)
  export            all of it, or what the options leave, as JSON lines

  --project P       a project; without it memory_project is searched and added to
  --user U          a user; an empty one is what is shared
  --scope S         project, user or global: as a request of this project and user sees it
  --limit N         how many are shown (20)
  --importance X    0 to 1, for add
  --entity NAME     a name it is also found under, for add; may be given again
  --json            JSON lines, for list, search and add
  --                what follows is text, though it begins with dashes

Settings are those of `headroom serve`, from flags, environment and file; memory_store names the file. Exit status:
1 nothing of this kind, 64 a call that is wrong, 69 a file that cannot be read or written, 78 a configuration that
cannot be used.
"""
_HELP: Final = "`headroom memory --help` tells what there is.\n"


class Failed(Exception):
    """Why nothing is done, in words, and the exit status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Asked(msgspec.Struct, frozen=True):
    """One call: what is to be done, to which words, and how."""

    command: Command
    words: tuple[str, ...]
    project: str | None = None
    user: str | None = None
    scope: ScopeKind | None = None
    limit: int | None = None
    importance: float | None = None
    entities: tuple[str, ...] = ()
    json: bool = False
    all: bool = False
    yes: bool = False


def main(arguments: Sequence[str]) -> None:
    """Run one command. Exits as the usage says."""
    if not arguments or {"--help", "-h"} & set(arguments):
        sys.stdout.write(_USAGE)
        return
    try:
        asked, rest = asking(arguments)
        config = settings.load(rest, settings.environment())
        shown = asyncio.run(_run(asked, config))
    except ConfigError as error:
        settings.fail(error)
    except MemoryRefused as refusal:
        _end(EX_USAGE, f"{refusal}\n")
    except MemoryDown as fault:
        _end(EX_UNAVAILABLE, f"the memory cannot be read or written: {fault}\n")
    except Failed as error:
        _end(error.status, f"{error}\n{_HELP if error.status == EX_USAGE else ''}")
    sys.stdout.buffer.write(shown.encode())
    sys.stdout.buffer.flush()


def asking(arguments: Sequence[str]) -> tuple[Asked, list[str]]:
    """Read a call and what is left for the settings. Raises Failed."""
    command, *words = arguments
    if command not in get_args(Command):
        raise Failed(EX_USAGE, f"{command}: no such command")
    given: dict[str, object] = {}
    plain: list[str] = []
    entities: list[str] = []
    rest: list[str] = []
    while words:
        word = words.pop(0)
        flag, equals, value = word.partition("=")
        name = flag[2:]
        if word == "--":
            plain += words
            break
        if not flag.startswith("--"):
            plain.append(word)
        elif name in ("json", "all", "yes") and not equals:
            given[name] = True
        elif not equals and not words:
            raise Failed(EX_USAGE, f"{flag} needs a value.")
        else:
            value = value if equals else words.pop(0)
            if name == "entity":
                entities.append(value)
            elif name in ("project", "user"):
                given[name] = value.strip()  # as in requests and settings, which could not name it otherwise
            elif name in ("scope", "limit", "importance"):
                given[name] = value
            else:
                rest += [flag, value]
    try:
        asked = msgspec.convert(
            {**given, "command": command, "words": plain, "entities": entities}, Asked, strict=False
        )
    except msgspec.ValidationError as error:
        name = str(error).rpartition("$.")[2].strip("`")
        raise Failed(
            EX_USAGE, f"--{name} is {_ALLOWED.get(name, 'something else')}, not {given.get(name)!r}."
        ) from None
    return _checked(asked), rest


def _checked(asked: Asked) -> Asked:
    if asked.command in ("list", "export") and asked.words:
        raise Failed(EX_USAGE, f"{asked.command} takes no words; search does.")
    if asked.command in ("search", "add") and not asked.words:
        raise Failed(EX_USAGE, f"{asked.command} needs a text.")
    if asked.command == "forget" and (len(asked.words) != 1) != asked.all:
        raise Failed(EX_USAGE, "forget takes one id, or --all.")
    if asked.all and not asked.project:
        raise Failed(EX_USAGE, "--all forgets the memories of one project: name it with --project.")
    if asked.all and not asked.yes:
        raise Failed(EX_USAGE, f"--all forgets every memory of {asked.project} for good: say --yes if that is meant.")
    if asked.limit is not None and asked.limit < 1:
        raise Failed(EX_USAGE, "--limit is a number from 1.")
    return asked


async def _run(asked: Asked, config: Config) -> str:
    path = memory_path(config)
    try:
        if asked.command != "add" and not path.exists():
            raise Failed(NOT_FOUND, f"there is no memory at {path}; name the proxy's with --memory-store")
    except OSError as error:
        raise Failed(EX_UNAVAILABLE, f"the memory {path} cannot be read: {error.strerror}") from None
    memory = SqliteMemory(path, _PATIENCE)
    try:
        return await _done(asked, config, memory)
    finally:
        if memory.trouble:
            sys.stderr.write(f"headroom memory: {memory.trouble}\n")
        await memory.close()


async def _done(asked: Asked, config: Config, memory: SqliteMemory) -> str:
    if asked.command == "export":
        found = await _seen(asked, config, memory, asked.limit)
        return "".join(map(_json, found))
    if asked.command == "add":
        content = _read() if asked.words == ("-",) else " ".join(asked.words)
        saved = await memory.save(_scope(asked, config), content, asked.importance, asked.entities)
        return _json(saved.memory) if asked.json else _told(saved)
    if asked.command == "forget":
        return await _forgotten(asked, memory)
    limit = asked.limit or _LIMIT
    if asked.command == "search":
        scope, words = _scope(asked, config), " ".join(asked.words)
        best = await memory.search(scope, words, limit)
        if not best and (best := await memory.search(scope, words, limit, loose=True)):
            sys.stderr.write(
                "headroom memory: a prompt of these words alone is told of nothing; these have one of them\n"
            )
        found = tuple(one.memory for one in best)
    else:
        found = await _seen(asked, config, memory, limit)
    if not found:
        raise Failed(NOT_FOUND, "nothing was found")
    return "".join(map(_json if asked.json else _line, found))


async def _seen(asked: Asked, config: Config, memory: SqliteMemory, limit: int | None) -> tuple[Memory, ...]:
    """What the options leave: with a scope what it sees, else everybody's."""
    if asked.scope is None:
        return await memory.every(asked.project, asked.user, limit)
    return await memory.list(_scope(asked, config), limit)


async def _forgotten(asked: Asked, memory: SqliteMemory) -> str:
    if asked.all:
        count = await memory.clear(asked.project or "", asked.user)
        return f"forgot {count} of {asked.project}\n"
    id = asked.words[0]
    if not await memory.remove(id):
        raise Failed(NOT_FOUND, f"there is no memory {id}")
    return f"forgot {id}\n"


def _scope(asked: Asked, config: Config) -> Scope:
    """Who asks. Raises Failed where no project is known and one is needed."""
    project = config.text("memory_project") if asked.project is None else asked.project
    user = config.text("memory_user") if asked.user is None else asked.user
    scope = Scope(project, user, asked.scope or msgspec.convert(config.text("memory_scope"), ScopeKind))
    if not scope.resolved:
        raise Failed(EX_USAGE, "no project is known: name one with --project, or say --scope user or --scope global.")
    return scope


def _read() -> str:
    """Standard input. Raises Failed."""
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise Failed(EX_USAGE, "standard input is not UTF-8.") from None


def _told(saved: Saved) -> str:
    if not saved.new:
        return f"{saved.memory.id} says that already\n"
    near = f"; {saved.similar.id} says nearly the same" if saved.similar else ""
    return f"added {saved.memory.id}{near}\n"


def _line(memory: Memory) -> str:
    """A memory on one line, of which nothing can move a terminal's cursor."""
    day = datetime.fromtimestamp(memory.updated, UTC).date().isoformat()
    user = memory.user if len(memory.user) <= 16 else memory.user[:15] + "…"
    line = f"{memory.id}  {day}  {memory.project or '-'}  {user or 'shared'}  {memory.content}"
    return "".join(c if c.isprintable() else " " for c in line) + "\n"


def _json(memory: Memory) -> str:
    return msgspec.json.encode(memory).decode() + "\n"


def _end(status: int, text: str) -> None:
    sys.stderr.write(f"headroom memory: {text}")
    raise SystemExit(status)
