"""A proxy inside the test's own event loop, in front of one origin for all APIs."""

from __future__ import annotations

from headroom.config import Config
from headroom.edge import Edge


def edge_to(url: str, **settings: object) -> Edge:
    """A proxy to be entered with `async with`; every API's origin is `url`."""
    values: dict[str, object] = {
        "port": 0,
        "store": "memory",
        "log_level": "error",
        "token_yardstick": "characters",
        "anthropic_api_url": url,
        "openai_api_url": url,
        "gemini_api_url": url,
    }
    return Edge(Config.of(**{**values, **settings}))
