"""The tests of real providers run, against scripted origins, and do not run unless they are asked for."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.live.texts import LEASE_PROMPT, LEASES, STOCK_PROMPT
from tests.support.cache_model import AnthropicCache
from tests.support.origin import Origin, Reply
from tests.support.retrieving import fetch, run
from tests.support.script import Conversation, Script, Turn

ROOT = Path(__file__).parent.parent
KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY")
LIMIT = 300.0  # seconds, for machines that do much else


async def live(*arguments: str, **environment: str) -> str:
    """What pytest says of the live tests, given the arguments and nothing but these variables."""
    kept = {name: value for name, value in os.environ.items() if name not in KEYS and not name.startswith("LIVE_")}
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "pytest", "-p", "no:cacheprovider", "-rs", "tests/live", *arguments),
        cwd=ROOT,
        env={**kept, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(LIMIT):
            said, _ = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return said.decode()


def models(*names: str) -> Reply:
    """Lists of models in every provider's form at once."""
    entries = [{"id": name, "name": name, "object": "model", "created": 1, "owned_by": "x"} for name in names]
    for entry in entries:
        entry |= {"type": "model", "display_name": "x", "created_at": "2031-01-01T00:00:00Z"}
    body = {"data": entries, "models": entries, "object": "list", "has_more": False, "first_id": "a", "last_id": "a"}
    return Reply(200, (("content-type", "application/json"),), json.dumps(body).encode())


async def test_all_that_can_be_tested_passes_against_scripted_origins() -> None:
    cache = AnthropicCache()

    def figures(body: bytes) -> Mapping[str, int]:
        used = cache.send(body)
        written = used.write_5m + used.write_1h
        return {"input_tokens": used.uncached, "cache_read": used.read, "cache_write": written}

    leases = Conversation(
        (Turn("", (run("cat lease.log"),)), Turn("", (fetch(LEASES, match="ERROR"),)), Turn("It refuses.")),
        LEASE_PROMPT,
    )
    stock = Conversation((Turn("", (run("cat stock.json"),)), Turn("Parts."), Turn("Three.")), STOCK_PROMPT)
    routes = {"GET /v1/models": models("m"), "GET /v1beta/models": models("models/m")}
    async with (
        Origin(Script((leases,)), usage=figures, routes=routes) as blocks,
        Origin(Script((stock,)), routes=routes) as deltas,
        Origin(Script((stock,)), routes=routes) as parts,
    ):
        urls = {"LIVE_ANTHROPIC_URL": blocks.url, "LIVE_OPENAI_URL": deltas.url, "LIVE_GEMINI_URL": parts.url}
        keys = dict(zip(KEYS, ("sk-ant-api03-scripted", "sk-proj-scripted", "AIza-scripted"), strict=True))
        said = await live("-m", "live", **keys, **urls)
        assert deltas.requests and parts.requests
    skipped = "memory_mode" in said
    assert re.search(rf"\b{9 - skipped} passed", said) and "failed" not in said, said


async def test_nothing_of_it_runs_unless_it_is_asked_for() -> None:
    keys = dict.fromkeys(KEYS, "k")
    assert "no tests ran" in await live("-m", "not slow", **keys, LIVE_ANTHROPIC_URL="http://127.0.0.1:9")
