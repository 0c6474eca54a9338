"""The stores that a configuration names: of decisions in memory, in a file, or on a Redis server; of memories."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from headroom.config import REDIS_SCHEMES, Config, ConfigError, data_directory, without_password
from headroom.faults import StoreDown
from headroom.ledger import Ledger
from headroom.memory_sqlite import SqliteMemory
from headroom.store import MemoryStore, Store
from headroom.store_sqlite import SqliteStore

if TYPE_CHECKING:
    from headroom.store_redis import RedisStore


async def open_store(
    config: Config, notify: Callable[[str], None], down: Callable[[StoreDown], None] = lambda fault: None
) -> Store:
    """Open the configured store; `notify` is told its troubles. Raises ConfigError for one that cannot be made.

    One that does not answer is none of those: `down` is told, requests go on with originals, and it is tried again with
    each of them.
    """
    where, ttl, limit = config.text("store"), config.seconds("store_ttl"), config.whole("store_limit")
    if where == "memory":
        return MemoryStore(ttl, limit)
    store: RedisStore | SqliteStore
    if is_redis(where):
        store = redis_store(where, ttl, config.seconds("store_timeout"), notify)
    else:
        store = SqliteStore(store_path(where), ttl, limit, notify=notify)
    try:
        await store.open()
    except StoreDown as fault:
        notify(str(fault))
        down(fault)
    return store


def ledger_of(config: Config, store: Store) -> Ledger:
    """A ledger on `store` with the configured limits."""
    return Ledger(store, config.whole("replay_cache"), config.seconds("store_timeout"), config.seconds("store_ttl"))


def is_redis(where: str) -> bool:
    """Whether the setting names a Redis server."""
    return where.partition("://")[0] in REDIS_SCHEMES and "://" in where


def redis_store(where: str, ttl: float, timeout: float, notify: Callable[[str], None]) -> RedisStore:
    """A store on a Redis server, not connected yet. Raises ConfigError where the extra is missing or the URL wrong."""
    try:
        from headroom.store_redis import RedisStore  # noqa: PLC0415 - an extra, which few have
    except ImportError as error:
        raise ConfigError(
            f"store: {without_password(where)!r} needs the redis package ({error}); "
            "run pip install 'headroom[redis]', or name a path or memory"
        ) from None
    try:
        return RedisStore(where, ttl, timeout, notify)
    except ValueError:
        raise ConfigError(
            f"store: {without_password(where)!r} names no Redis server; "
            "right would be redis://host:port/db, rediss://host:port/db or unix:///path/to/socket?db=0"
        ) from None


def store_path(where: str) -> Path:
    """Where the store's file is: as set, or in the user's data directory."""
    return Path(where).expanduser() if where else data_directory() / "headroom.db"


def open_memory(config: Config) -> SqliteMemory | None:
    """The configured memory, or None where it is off. Nothing is opened before it is first asked."""
    return None if config.text("memory_mode") == "off" else memory_of(config)


def memory_of(config: Config) -> SqliteMemory:
    """The configured memory, also where the proxy does not use it."""
    return SqliteMemory(memory_path(config), config.seconds("memory_timeout"))


def memory_path(config: Config) -> Path:
    """Where the file of memories is: as set, beside the store of decisions, or in the user's data directory."""
    named = config.path("memory_store")
    if named is not None:
        return named
    where = config.text("store")
    folder = data_directory() if where == "memory" or is_redis(where) else store_path(where).parent
    return folder / "memory.sqlite"
