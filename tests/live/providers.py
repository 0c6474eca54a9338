"""The real providers, or the origins that stand for them, and a proxy in front of one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from headroom.config import Config
from headroom.edge import Edge
from headroom.zones import yardstick
from tests.live.relay import Relay


@dataclass(frozen=True, slots=True)
class Provider:
    """Where a provider is, with which key, and the model that is asked."""

    name: str
    key: str = field(repr=False)  # of a test that fails, pytest shows the values
    url: str
    model: str


_URLS = {
    "anthropic": "https://api.anthropic.com",
    "openai": "https://api.openai.com",
    "gemini": "https://generativelanguage.googleapis.com",
}
_MODELS = {"anthropic": "claude-haiku-4-5", "openai": "gpt-4.1-nano", "gemini": "gemini-2.5-flash-lite"}
_PATIENT = {"press_deadline": "30s", "press_deadline_limit": "60s", "store_timeout": "30s"}
NAMES = tuple(_URLS)


def provider(name: str) -> Provider:
    """A provider by the environment; the test is skipped where there is no key for it."""
    variable = name.upper()
    key = os.environ.get(f"{variable}_API_KEY", "")
    if not key:
        pytest.skip(f"{variable}_API_KEY is not set")
    url = os.environ.get(f"LIVE_{variable}_URL") or _URLS[name]
    return Provider(name, key, url, os.environ.get(f"LIVE_{variable}_MODEL") or _MODELS[name])


@dataclass(frozen=True, slots=True)
class Setup:
    """A provider behind a relay behind a proxy."""

    provider: Provider
    relay: Relay
    edge: Edge

    @property
    def url(self) -> str:
        """The base URL for a client."""
        return f"http://127.0.0.1:{self.edge.port}"


@asynccontextmanager
async def through(name: str, **settings: object) -> AsyncIterator[Setup]:
    """A proxy that forwards to the provider, and adds nothing to requests unless it is set to."""
    found = provider(name)
    values: dict[str, object] = {"port": 0, "store": "memory", "log_level": "error", "ccr_tool": "off", **_PATIENT}
    # What is claimed is about pressed texts; a busy machine must not make them go as they came.
    await asyncio.to_thread(yardstick.o200k)
    async with Relay(found.url) as relay:
        values[f"{name}_api_url"] = relay.url
        async with Edge(Config.of(**{**values, **settings})) as edge:
            yield Setup(found, relay, edge)
