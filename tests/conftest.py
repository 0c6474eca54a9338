"""Event loops for asynchronous tests.

A module that sets ``LOOPS`` runs each of its tests on every loop named there; one marked ``one_loop`` runs on the last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping

import pytest
import uvloop
from hypothesis import settings

from tests.support.redis_server import RedisServer

FACTORIES: Mapping[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
}


def pytest_configure(config: pytest.Config) -> None:
    """See pytest."""
    config.addinivalue_line("markers", "one_loop: waits for timers or moves much, and is the same on every event loop")


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """See pytest-asyncio."""
    names = getattr(getattr(item, "module", None), "LOOPS", ("asyncio",))
    if item.get_closest_marker("one_loop") is not None:
        names = names[-1:]
    return {name: FACTORIES[name] for name in names}


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis server that runs; whoever stops it starts it again."""
    if not RedisServer.is_installed():
        pytest.skip("redis-server is not installed (apt-get install redis-server)")
    server = RedisServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


# Machines that build are busy: an example that takes long is no failure.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
