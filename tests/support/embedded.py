"""A proxy inside the test's own event loop, in front of one origin for all APIs."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from headroom.config import Config
from headroom.edge import Edge
from headroom.wire.downstream import Downstream
from headroom.wire.upstream import UpstreamLink

PATIENT: Mapping[str, object] = {"press_deadline": "30s", "press_deadline_limit": "60s", "store_timeout": "30s"}
"""Settings of a proxy that is never in a hurry: else a text would go as it came where a machine is busy."""


def edge_to(url: str, **settings: object) -> Edge:
    """A proxy to be entered with `async with`; every API's origin is `url`.

    It is PATIENT unless told otherwise.
    """
    values: dict[str, object] = {
        "port": 0,
        "store": "memory",
        "log_level": "error",
        "token_yardstick": "characters",
        "anthropic_api_url": url,
        "openai_api_url": url,
        "gemini_api_url": url,
        "ccr_tool": "off",
        **PATIENT,
    }
    return Edge(Config.of(**{**values, **settings}))


def unsent(edge: Edge) -> int:
    """Bytes that wait in the proxy for a peer that does not read."""
    return sum(end._transport.get_write_buffer_size() for end in _ends(edge))


def shrink_send_buffers(edge: Edge) -> None:
    """Let the kernel take little of what the proxy writes, so that the rest waits where a test can see it."""
    for end in _ends(edge):
        end._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


def _ends(edge: Edge) -> list[Downstream | UpstreamLink]:
    return [*edge.clients, *edge.dialer.links]
