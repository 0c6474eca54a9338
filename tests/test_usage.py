"""What streams and plain answers of all four dialects say of themselves."""

from __future__ import annotations

import gzip
import json

import brotli
import pytest
import zstandard

from headroom.providers import ANTHROPIC, GEMINI, OPENAI_CHAT, OPENAI_RESPONSES, Dialect
from headroom.usage import JsonListener, StreamListener, Usage

LIMIT = 1 << 20


def sse(*events: tuple[str, object]) -> bytes:
    out = []
    for name, data in events:
        text = data if isinstance(data, str) else json.dumps(data)
        out.append((f"event: {name}\n" if name else "") + f"data: {text}\n\n")
    return "".join(out).encode()


ANTHROPIC_STREAM = sse(
    (
        "message_start",
        {
            "type": "message_start",
            "message": {
                "id": "m",
                "usage": {
                    "input_tokens": 10,
                    "cache_read_input_tokens": 100,
                    "cache_creation_input_tokens": 50,
                    "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30},
                    "output_tokens": 1,
                },
            },
        },
    ),
    ("ping", {"type": "ping"}),
    ("content_block_delta", {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "error \u2028 é"}}),
    ("message_delta", {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 42}}),
    ("message_stop", {"type": "message_stop"}),
)
CHAT_STREAM = sse(
    ("", {"choices": [{"delta": {"content": "hi"}}], "usage": None}),
    (
        "",
        {
            "choices": [],
            "usage": {"prompt_tokens": 120, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 100}},
        },
    ),
    ("", "[DONE]"),
)
RESPONSES_STREAM = sse(
    ("response.created", {"type": "response.created", "response": {"id": "r", "usage": None}}),
    (
        "response.completed",
        {
            "type": "response.completed",
            "response": {
                "usage": {"input_tokens": 120, "output_tokens": 7, "input_tokens_details": {"cached_tokens": 100}}
            },
        },
    ),
)
GEMINI_STREAM = sse(
    ("", {"candidates": [{"content": {}}], "usageMetadata": {"promptTokenCount": 120}}),
    (
        "",
        {
            "candidates": [{"finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 120, "candidatesTokenCount": 7, "cachedContentTokenCount": 100},
        },
    ),
).replace(b"\n", b"\r\n")
CASES = [
    (ANTHROPIC, ANTHROPIC_STREAM, Usage(10, 100, 20, 30, 42)),
    (OPENAI_CHAT, CHAT_STREAM, Usage(20, 100, 0, 0, 7)),
    (OPENAI_RESPONSES, RESPONSES_STREAM, Usage(20, 100, 0, 0, 7)),
    (GEMINI, GEMINI_STREAM, Usage(20, 100, 0, 0, 7)),
]
IDS = [dialect.name for dialect, _, _ in CASES]


@pytest.mark.parametrize(("dialect", "stream", "usage"), CASES, ids=IDS)
@pytest.mark.parametrize("size", [1, 3, 64, 1 << 20])
def test_a_stream_is_heard_however_it_is_cut(dialect: Dialect, stream: bytes, usage: Usage, size: int) -> None:
    listener = StreamListener(dialect, None, LIMIT)
    for at in range(0, len(stream), size):
        listener.feed([stream[at : at + size]])
    assert (listener.usage, listener.finish()) == (usage, "complete")


@pytest.mark.parametrize(("dialect", "stream", "usage"), CASES, ids=IDS)
@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_a_coded_stream_is_heard_on_a_copy(dialect: Dialect, stream: bytes, usage: Usage, coding: str) -> None:
    packed = {"gzip": gzip.compress, "br": brotli.compress, "zstd": zstandard.ZstdCompressor().compress}[coding](stream)
    listener = StreamListener(dialect, coding.encode(), LIMIT)
    for at in range(0, len(packed), 7):
        listener.feed([packed[at : at + 7]])
    assert (listener.usage, listener.finish()) == (usage, "complete")


@pytest.mark.parametrize(("dialect", "stream", "usage"), CASES, ids=IDS)
def test_a_stream_without_its_last_event_is_truncated(dialect: Dialect, stream: bytes, usage: Usage) -> None:
    listener = StreamListener(dialect, None, LIMIT)
    blank = b"\r\n\r\n" if b"\r" in stream else b"\n\n"
    listener.feed([stream[: stream.rstrip().rindex(blank) + len(blank)]])
    assert listener.finish() == "truncated"


@pytest.mark.parametrize(
    ("dialect", "event"),
    [
        (ANTHROPIC, sse(("error", {"type": "error", "error": {"type": "overloaded_error"}}))),
        (OPENAI_CHAT, sse(("", {"error": {"message": "x"}}))),
        (OPENAI_RESPONSES, sse(("error", {"type": "error"}))),
        (OPENAI_RESPONSES, sse(("response.failed", {"type": "response.failed", "response": {}}))),
        (GEMINI, sse(("", {"error": {"code": 503}}))),
    ],
)
def test_an_error_event_in_the_middle_is_an_error(dialect: Dialect, event: bytes) -> None:
    listener = StreamListener(dialect, None, LIMIT)
    listener.feed([event])
    assert listener.finish() == "errored"


def test_text_about_usage_and_errors_is_not_taken_for_them() -> None:
    listener = StreamListener(ANTHROPIC, None, LIMIT)
    delta = {"type": "content_block_delta", "delta": {"text": '"usage": {"input_tokens": 5}, message_stop, error'}}
    listener.feed([sse(("content_block_delta", delta))])
    assert (listener.usage, listener.finish()) == (None, "truncated")


def test_an_event_over_its_limit_turns_the_listener_off_and_raises_nothing() -> None:
    listener = StreamListener(ANTHROPIC, None, 1000)
    listener.feed([b"data: " + b"x" * 2000])
    listener.feed([ANTHROPIC_STREAM])
    assert (listener.usage, listener.finish()) == (None, "unread")


def test_an_unknown_coding_is_not_heard() -> None:
    listener = StreamListener(ANTHROPIC, b"snappy", LIMIT)
    listener.feed([ANTHROPIC_STREAM])
    assert listener.finish() == "unread"


@pytest.mark.parametrize("coding", [None, b"gzip"])
def test_a_plain_answer_is_heard(coding: bytes | None) -> None:
    body = b'{"type":"message","usage":{"input_tokens":3,"output_tokens":4}}'
    listener = JsonListener(ANTHROPIC, coding, LIMIT)
    listener.feed([gzip.compress(body) if coding else body[:10], b"" if coding else body[10:]])
    assert listener.finish() == "complete"
    assert listener.usage == Usage(3, 0, 0, 0, 4)


def test_a_plain_answer_over_its_limit_or_damaged_is_left_alone() -> None:
    for limit, body in ((10, b'{"usage":{"input_tokens":3}}'), (100, b"{")):
        listener = JsonListener(ANTHROPIC, None, limit)
        listener.feed([body])
        assert (listener.finish(), listener.usage) == ("unread", None)


@pytest.mark.parametrize("value", [-5, 1.5, "7", None, True, [1]])
def test_a_count_that_is_no_count_is_ignored(value: object) -> None:
    listener = JsonListener(ANTHROPIC, None, LIMIT)
    listener.feed([json.dumps({"usage": {"input_tokens": value, "output_tokens": 2}}).encode()])
    listener.finish()
    assert listener.usage == Usage(0, 0, 0, 0, 2)
