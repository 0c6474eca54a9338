"""`headroom retrieve HASH`: the original of a text that was cut, from the configured store, byte for byte.

It reads the store itself, so it needs no proxy, and does no harm to one that runs.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Final

from headroom import config as settings
from headroom.config import Config, ConfigError
from headroom.faults import StoreDown
from headroom.retrieve import BadAsking, checked, missing, pick
from headroom.stores import is_redis, ledger_of, open_store, store_path

EX_USAGE: Final = 64
EX_UNAVAILABLE: Final = 69
NOT_FOUND: Final = 1

_USAGE = """usage: headroom retrieve HASH [--lines A-B] [--match TEXT] [--store STORE] [--SETTING VALUE …]

  HASH     the hex digits of a <<ccr:…>> marker, or the marker
  --lines  a range of lines: 120-180, 120- or 120; a line that says so comes first
  --match  the lines that contain the text, with their numbers

Settings are those of `headroom serve`, from flags, environment and file. Exit status: 1 no such original,
64 a call that is wrong, 69 a store that cannot be read, 78 a configuration that cannot be used.
"""


class Failed(Exception):
    """Why nothing is printed, in words, and the exit status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def main(arguments: Sequence[str]) -> None:
    """Print one original on standard output. Exits as the usage says."""
    if {"--help", "-h"} & set(arguments):
        sys.stdout.write(_USAGE)
        return
    try:
        given, rest = _split(arguments)
        asked = checked(given["hash"], given["lines"], given["match"])
        config = settings.load(rest, settings.environment())
        text = asyncio.run(original(config, asked.hash))
        shown = pick(text, asked.lines, asked.match)
    except BadAsking as error:
        _end(EX_USAGE, f"{error}\n`headroom retrieve --help` tells what there is.\n")
    except ConfigError as error:
        settings.fail(error)
    except Failed as error:
        _end(error.status, f"{error}\n")
    sys.stdout.buffer.write(shown.encode())
    sys.stdout.buffer.flush()


async def original(config: Config, hash_: str) -> str:
    """The original under a hash in the configured store. Raises Failed and ConfigError."""
    where = config.text("store")
    if where == "memory":
        raise ConfigError(
            "store: what is kept in the proxy's memory can only be asked of the proxy: GET /v1/retrieve/…"
        )
    path = None if is_redis(where) else store_path(where)
    try:
        if path is not None and not path.exists():
            raise Failed(NOT_FOUND, f"there is no store at {path}; name the proxy's with --store")
    except OSError as error:
        raise Failed(EX_UNAVAILABLE, f"the store {path} cannot be read: {error.strerror}") from None
    troubles: list[str] = []
    ledger = ledger_of(config, await open_store(config, troubles.append))
    try:
        text = await ledger.original(hash_)
    except StoreDown as fault:
        raise Failed(EX_UNAVAILABLE, f"the store cannot be read: {next(iter(troubles), fault)}") from None
    finally:
        await ledger.close()
    if text is None:
        raise Failed(NOT_FOUND, missing(hash_, ledger.ttl))
    return text


def _split(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """What is asked for, and the settings. Raises BadAsking."""
    given = {"hash": "", "lines": "", "match": ""}
    rest: list[str] = []
    words = list(arguments)
    while words:
        word = words.pop(0)
        flag, equals, value = word.partition("=")
        if flag in ("--lines", "--match"):
            if not equals and not words:
                raise BadAsking(f"{flag} needs a value.")
            given[flag[2:]] = value if equals else words.pop(0)
        elif word.startswith("--"):
            rest.append(word)
            if not equals and words:
                rest.append(words.pop(0))
        elif given["hash"]:
            raise BadAsking(f"{word}: one hash at a time.")
        else:
            given["hash"] = word
    return given, rest


def _end(status: int, text: str) -> None:
    sys.stderr.write(f"headroom retrieve: {text}")
    raise SystemExit(status)
