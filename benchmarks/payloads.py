"""The bytes that the load sends and the origin answers, made alike on both sides.

Nothing here is random from run to run, so either side can say what the other must have received.
"""

from __future__ import annotations

import random
from functools import lru_cache
from typing import Final

import orjson

MEGABYTE: Final = 1024 * 1024

SMALL_REPLY: Final = orjson.dumps(
    {
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": [{"type": "text", "text": "The failing test is tests/test_store.py::test_ttl."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 12,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 15,
            "service_tier": "standard",
        },
    }
)

# In the order and the case in which Claude Code sends them; about 1 KB with the request line.
_CLIENT_HEADERS: Final = (
    ("Accept", "application/json"),
    ("X-Stainless-Retry-Count", "0"),
    ("X-Stainless-Timeout", "600"),
    ("X-Stainless-Lang", "js"),
    ("X-Stainless-Package-Version", "0.94.0"),
    ("X-Stainless-OS", "Linux"),
    ("X-Stainless-Arch", "x64"),
    ("X-Stainless-Runtime", "node"),
    ("X-Stainless-Runtime-Version", "v24.3.0"),
    ("anthropic-dangerous-direct-browser-access", "true"),
    ("anthropic-version", "2023-06-01"),
    ("x-api-key", "sk-ant-api03-dummy"),
    ("x-app", "cli"),
    ("User-Agent", "claude-cli/2.1.0 (external, cli)"),
    ("X-Claude-Code-Session-Id", "5f0c2a4e-7c61-4a0e-9a51-2f8d3c1b7e90"),
    ("content-type", "application/json"),
    (
        "anthropic-beta",
        "claude-code-20250219,context-1m-2025-08-07,interleaved-thinking-2025-05-14,"
        "thinking-token-count-2026-05-13,context-management-2025-06-27,"
        "prompt-caching-scope-2026-01-05,mid-conversation-system-2026-04-07,effort-2025-11-24",
    ),
    ("accept-language", "*"),
    ("sec-fetch-mode", "cors"),
    ("accept-encoding", "br, gzip, deflate"),
    ("Connection", "keep-alive"),
)


def request_head(host: str, query: str, length: int) -> bytes:
    """The head of a model request with a body of `length` bytes; `query` tells the origin what to answer."""
    lines = [f"POST /v1/messages?beta=true&{query} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in _CLIENT_HEADERS]
    lines += [f"Content-Length: {length}", "", ""]
    return "\r\n".join(lines).encode()


def messages_body(size: int, *, stream: bool = False) -> bytes:
    """A model request of exactly `size` bytes whose newest tool result takes up the slack (at least 300 bytes)."""
    empty = _messages("", stream)
    if size < len(empty):
        raise ValueError(f"a request takes at least {len(empty)} bytes, not {size}")
    return _messages(prose(size - len(empty)).decode(), stream)


def _messages(result: str, stream: bool) -> bytes:
    call = {"type": "tool_use", "id": "toolu_01A09q90qw90lq917835lq9", "name": "Bash", "input": {}}
    answer = {"type": "tool_result", "tool_use_id": call["id"], "content": result}
    return orjson.dumps(
        {
            "model": "claude-sonnet-4-5-20250929",
            "messages": [
                {"role": "user", "content": "Which test fails?"},
                {"role": "assistant", "content": [call]},
                {"role": "user", "content": [answer]},
            ],
            "max_tokens": 1024,
            "stream": stream,
        }
    )


@lru_cache(maxsize=8)
def prose(size: int) -> bytes:
    """`size` bytes of lower-case words: compressible, free of escapes, the same in every process."""
    draw = random.Random(20_240_229)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 11))) for _ in range(2_000)]
    page = " ".join(draw.choices(words, k=40_000)).encode() + b" "
    return (page * (size // len(page) + 1))[:size]


@lru_cache(maxsize=8)
def sse_events(count: int) -> tuple[bytes, ...]:
    """A stream of `count` events (at least 3) as the Anthropic API sends it, about 250 bytes each."""
    return (_START, *map(_delta, range(count - 3)), _USAGE, _STOP)


def _event(name: str, data: dict[str, object]) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + orjson.dumps({"type": name, **data}) + b"\n\n"


def _delta(index: int) -> bytes:
    text = prose(400)[index % 200 :][:128].decode()
    return _event("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": text}})


_START: Final = _event("message_start", {"message": orjson.loads(SMALL_REPLY)})
_USAGE: Final = _event(
    "message_delta",
    {"delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 512}},
)
_STOP: Final = _event("message_stop", {})
