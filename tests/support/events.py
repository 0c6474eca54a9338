"""Writes a scripted turn in a provider's wire format, streamed or plain.

Every id is derived from the turn's place in the script, so the same request
always gets the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.support.dialects import Dialect, Exchange
from tests.support.script import Json, ToolCall

CREATED = 1_750_000_000


@dataclass(frozen=True)
class Usage:
    """Token counts of one answer; the prompt is the sum of the first three."""

    fresh: int
    cache_read: int
    cache_write: int
    output: int

    @property
    def prompt(self) -> int:
        """All prompt tokens."""
        return self.fresh + self.cache_read + self.cache_write

    @staticmethod
    def given(body: bytes, numbers: Mapping[str, int], output: int) -> Usage:
        """Counts under `input_tokens`, `cache_read`, `cache_write`, `output_tokens`.

        A missing `input_tokens` is a quarter of the body's length less what was
        read from or written to the cache.
        """
        read, write = numbers.get("cache_read", 0), numbers.get("cache_write", 0)
        fresh = numbers.get("input_tokens", max(1, len(body) // 4 - read - write))
        return Usage(fresh, read, write, numbers.get("output_tokens", output))


@dataclass(frozen=True)
class Answer:
    """One answer to write: the exchange, its usage, characters per text delta."""

    exchange: Exchange
    usage: Usage
    delta: int = 24

    def key(self, *part: object) -> str:
        """40 hex digits that name a part of this answer."""
        spot = (self.exchange.number, self.exchange.position, self.exchange.scripted, *part)
        return hashlib.sha1(repr(spot).encode()).hexdigest()

    def pieces(self, text: str) -> Iterator[str]:
        """`text` cut in runs of `delta` characters."""
        for start in range(0, len(text), self.delta):
            yield text[start : start + self.delta]


def compact(value: object) -> str:
    """JSON as the providers write it: no spaces, raw UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def stream_events(answer: Answer) -> list[bytes]:
    """The stream as complete SSE events (or JSON array members), in order."""
    dialect = answer.exchange.dialect
    if dialect is Dialect.ANTHROPIC:
        return [_named(event) for event in _anthropic_events(answer)]
    if dialect is Dialect.CHAT:
        chunks = [b"data: " + compact(c).encode() + b"\n\n" for c in _chat_chunks(answer)]
        return [*chunks, b"data: [DONE]\n\n"]
    if dialect is Dialect.RESPONSES:
        numbered = enumerate(_responses_events(answer))
        return [_named({**event, "sequence_number": n}) for n, event in numbered]
    return _gemini_stream(answer)


def plain_body(answer: Answer) -> bytes:
    """The whole answer as one JSON document."""
    writer = {
        Dialect.ANTHROPIC: _anthropic_plain,
        Dialect.CHAT: _chat_plain,
        Dialect.RESPONSES: _responses_final,
        Dialect.GEMINI: _gemini_plain,
    }[answer.exchange.dialect]
    return compact(writer(answer)).encode()


def error_body(dialect: Dialect | None, status: int, message: str) -> bytes:
    """An error document in the dialect's shape."""
    if dialect is Dialect.ANTHROPIC:
        kind = _ANTHROPIC_ERRORS.get(status, "api_error")
        inner: Json = {"type": kind, "message": message}
        return compact({"type": "error", "error": inner, "request_id": "req_scripted"}).encode()
    if dialect is Dialect.GEMINI:
        name = _GEMINI_ERRORS.get(status, "INTERNAL")
        return compact({"error": {"code": status, "message": message, "status": name}}).encode()
    error: Json = {"message": message, "type": "server_error", "param": None, "code": None}
    return compact({"error": error}).encode()


def error_event(dialect: Dialect, message: str) -> bytes:
    """An error sent inside a stream that has already begun."""
    if dialect is Dialect.ANTHROPIC:
        error = {"type": "overloaded_error", "message": message}
        return _named({"type": "error", "error": error})
    if dialect is Dialect.RESPONSES:
        return _named({"type": "error", "code": "server_error", "message": message, "param": None})
    end = b"\r\n\r\n" if dialect is Dialect.GEMINI else b"\n\n"
    return b"data: " + error_body(dialect, 503, message) + end


_ANTHROPIC_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_GEMINI_ERRORS = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}


def _named(event: Json) -> bytes:
    return f"event: {event['type']}\ndata: {compact(event)}\n\n".encode()


# Anthropic messages


def _anthropic_usage(usage: Usage) -> Json:
    return {
        "input_tokens": usage.fresh,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write,
            "ephemeral_1h_input_tokens": 0,
        },
    }


def _thinks(answer: Answer) -> bool:
    asked = answer.exchange.body.get("thinking")
    on = isinstance(asked, dict) and asked.get("type") in ("enabled", "adaptive")
    return on and bool(answer.exchange.turn.thinking)


def _signature(answer: Answer) -> str:
    seed = bytes.fromhex(answer.key("signature")) * 8
    return base64.b64encode(seed).decode()


def _anthropic_blocks(answer: Answer) -> list[Json]:
    turn = answer.exchange.turn
    blocks: list[Json] = []
    if _thinks(answer):
        sealed = _signature(answer)
        blocks.append({"type": "thinking", "thinking": turn.thinking, "signature": sealed})
    if turn.text:
        blocks.append({"type": "text", "text": turn.text})
    for index, call in enumerate(turn.calls):
        name = "toolu_01" + answer.key("call", index)[:22]
        blocks.append({"type": "tool_use", "id": name, "name": call.name, "input": call.input})
    return blocks


def _stop_reason(answer: Answer) -> str:
    return "tool_use" if answer.exchange.turn.calls else "end_turn"


def _anthropic_message(answer: Answer, content: list[Json], stop: str | None, usage: Json) -> Json:
    return {
        "model": answer.exchange.model,
        "id": "msg_01" + answer.key("message")[:22],
        "type": "message",
        "role": "assistant",
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage,
    }


def _anthropic_plain(answer: Answer) -> Json:
    usage = {**_anthropic_usage(answer.usage), "output_tokens": answer.usage.output}
    usage["service_tier"] = "standard"
    return _anthropic_message(answer, _anthropic_blocks(answer), _stop_reason(answer), usage)


def _anthropic_events(answer: Answer) -> Iterator[Json]:
    first = {**_anthropic_usage(answer.usage), "output_tokens": 1, "service_tier": "standard"}
    yield {"type": "message_start", "message": _anthropic_message(answer, [], None, first)}
    for index, block in enumerate(_anthropic_blocks(answer)):
        yield from _anthropic_block(answer, index, block)
    last = {**_anthropic_usage(answer.usage), "output_tokens": answer.usage.output}
    stop = {"stop_reason": _stop_reason(answer), "stop_sequence": None}
    yield {"type": "message_delta", "delta": stop, "usage": last}
    yield {"type": "message_stop"}


def _anthropic_block(answer: Answer, index: int, block: Json) -> Iterator[Json]:
    yield {"type": "content_block_start", "index": index, "content_block": _empty_block(block)}
    if index == 0:
        yield {"type": "ping"}
    for delta in _block_deltas(answer, block):
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


def _empty_block(block: Json) -> Json:
    if block["type"] == "tool_use":
        return {**block, "input": {}}
    if block["type"] == "thinking":
        return {"type": "thinking", "thinking": "", "signature": ""}
    return {"type": "text", "text": ""}


def _block_deltas(answer: Answer, block: Json) -> Iterator[Json]:
    if block["type"] == "text":
        for piece in answer.pieces(str(block["text"])):
            yield {"type": "text_delta", "text": piece}
    elif block["type"] == "thinking":
        for piece in answer.pieces(str(block["thinking"])):
            yield {"type": "thinking_delta", "thinking": piece}
        yield {"type": "signature_delta", "signature": block["signature"]}
    else:
        yield {"type": "input_json_delta", "partial_json": ""}
        for piece in answer.pieces(json.dumps(block["input"], ensure_ascii=False)):
            yield {"type": "input_json_delta", "partial_json": piece}


# OpenAI chat completions


def _chat_usage(usage: Usage) -> Json:
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.output,
        "total_tokens": usage.prompt + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _chat_envelope(answer: Answer, kind: str) -> Json:
    return {
        "id": "chatcmpl-" + answer.key("chat")[:29],
        "object": kind,
        "created": CREATED,
        "model": answer.exchange.model,
        "service_tier": "default",
        "system_fingerprint": "fp_" + answer.key("fingerprint")[:10],
    }


def _chat_call(answer: Answer, index: int, call: ToolCall, arguments: str) -> Json:
    return {
        "id": "call_" + answer.key("call", index)[:24],
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }


def _chat_finish(answer: Answer) -> str:
    return "tool_calls" if answer.exchange.turn.calls else "stop"


def _chat_plain(answer: Answer) -> Json:
    turn = answer.exchange.turn
    message: Json = {"role": "assistant", "content": turn.text or None, "refusal": None}
    if turn.calls:
        message["tool_calls"] = [_chat_call(answer, i, call, compact(call.input)) for i, call in enumerate(turn.calls)]
    finish = _chat_finish(answer)
    choice: Json = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    envelope = _chat_envelope(answer, "chat.completion")
    return {**envelope, "choices": [choice], "usage": _chat_usage(answer.usage)}


def _chat_chunks(answer: Answer) -> Iterator[Json]:
    envelope = _chat_envelope(answer, "chat.completion.chunk")
    options = answer.exchange.body.get("stream_options")
    counted = isinstance(options, dict) and options.get("include_usage") is True
    tail: Json = {"usage": None} if counted else {}
    for delta, finish in _chat_deltas(answer):
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        yield {**envelope, "choices": [choice], **tail}
    if counted:
        yield {**envelope, "choices": [], "usage": _chat_usage(answer.usage)}


def _chat_deltas(answer: Answer) -> Iterator[tuple[Json, str | None]]:
    yield {"role": "assistant", "content": "", "refusal": None}, None
    for piece in answer.pieces(answer.exchange.turn.text):
        yield {"content": piece}, None
    for index, call in enumerate(answer.exchange.turn.calls):
        yield {"tool_calls": [{"index": index, **_chat_call(answer, index, call, "")}]}, None
        for piece in answer.pieces(compact(call.input)):
            part = {"index": index, "function": {"arguments": piece}}
            yield {"tool_calls": [part]}, None
    yield {}, _chat_finish(answer)


# OpenAI responses


def _responses_usage(usage: Usage) -> Json:
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cache_read},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt + usage.output,
    }


def _response_object(answer: Answer, status: str, output: list[Json], usage: Json | None) -> Json:
    exchange = answer.exchange
    place = f"{exchange.number:02x}{exchange.position:04x}"
    return {
        "id": f"resp_{place}{answer.key('response')[:42]}",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "model": exchange.model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": exchange.body.get("previous_response_id"),
        "store": False,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage,
        "metadata": {},
    }


def _responses_items(answer: Answer) -> list[Json]:
    turn = answer.exchange.turn
    items: list[Json] = []
    if turn.thinking and answer.exchange.body.get("reasoning"):
        items.append(
            {
                "id": "rs_" + answer.key("reasoning"),
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": turn.thinking}],
                "encrypted_content": "gAAAAA" + _signature(answer),
            }
        )
    if turn.text:
        items.append(_text_item(answer, turn.text))
    items.extend(_call_item(answer, i, call) for i, call in enumerate(turn.calls))
    return items


def _text_item(answer: Answer, text: str) -> Json:
    part: Json = {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
    return {
        "id": "msg_" + answer.key("text"),
        "type": "message",
        "status": "completed",
        "content": [part],
        "role": "assistant",
    }


def _call_item(answer: Answer, index: int, call: ToolCall) -> Json:
    return {
        "id": "fc_" + answer.key("item", index),
        "type": "function_call",
        "status": "completed",
        "arguments": compact(call.input),
        "call_id": "call_" + answer.key("call", index)[:24],
        "name": call.name,
    }


def _responses_final(answer: Answer) -> Json:
    items, usage = _responses_items(answer), _responses_usage(answer.usage)
    return _response_object(answer, "completed", items, usage)


def _responses_events(answer: Answer) -> Iterator[Json]:
    begun = _response_object(answer, "in_progress", [], None)
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(_responses_items(answer)):
        yield {
            "type": "response.output_item.added",
            "output_index": index,
            "item": _begun_item(item),
        }
        yield from _item_deltas(answer, index, item)
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": "response.completed", "response": _responses_final(answer)}


def _begun_item(item: Json) -> Json:
    if item["type"] == "message":
        return {**item, "status": "in_progress", "content": []}
    if item["type"] == "function_call":
        return {**item, "status": "in_progress", "arguments": ""}
    return {**item, "summary": []}


def _item_deltas(answer: Answer, index: int, item: Json) -> Iterator[Json]:
    place: Json = {"item_id": item["id"], "output_index": index}
    if item["type"] == "function_call":
        kind, arguments = "response.function_call_arguments", str(item["arguments"])
        for piece in answer.pieces(arguments):
            yield {"type": f"{kind}.delta", **place, "delta": piece}
        yield {"type": f"{kind}.done", **place, "arguments": arguments}
    elif item["type"] == "message":
        yield from _text_part(answer, place)
    else:
        yield from _summary_part(answer, place)


def _text_part(answer: Answer, place: Json) -> Iterator[Json]:
    text, spot = answer.exchange.turn.text, {**place, "content_index": 0}
    part: Json = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
    yield {"type": "response.content_part.added", **spot, "part": part}
    for piece in answer.pieces(text):
        yield {"type": "response.output_text.delta", **spot, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", **spot, "text": text, "logprobs": []}
    yield {"type": "response.content_part.done", **spot, "part": {**part, "text": text}}


def _summary_part(answer: Answer, place: Json) -> Iterator[Json]:
    text, spot = answer.exchange.turn.thinking, {**place, "summary_index": 0}
    kind = "response.reasoning_summary"
    part: Json = {"type": "summary_text", "text": ""}
    yield {"type": f"{kind}_part.added", **spot, "part": part}
    for piece in answer.pieces(text):
        yield {"type": f"{kind}_text.delta", **spot, "delta": piece}
    yield {"type": f"{kind}_text.done", **spot, "text": text}
    yield {"type": f"{kind}_part.done", **spot, "part": {**part, "text": text}}


# Gemini


def _gemini_usage(usage: Usage) -> Json:
    numbers: Json = {
        "promptTokenCount": usage.prompt,
        "candidatesTokenCount": usage.output,
        "totalTokenCount": usage.prompt + usage.output,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": usage.prompt}],
    }
    if usage.cache_read:
        numbers["cachedContentTokenCount"] = usage.cache_read
    return numbers


def _gemini_parts(answer: Answer) -> list[Json]:
    turn = answer.exchange.turn
    parts: list[Json] = []
    if turn.thinking and answer.exchange.scripted:
        parts.append({"text": turn.thinking, "thought": True})
    parts.extend({"text": piece} for piece in answer.pieces(turn.text))
    for index, call in enumerate(turn.calls):
        part: Json = {"functionCall": {"name": call.name, "args": call.input}}
        if index == 0:
            part["thoughtSignature"] = _signature(answer)
        parts.append(part)
    return parts


def _gemini_chunk(answer: Answer, parts: list[Json], last: bool) -> Json:
    candidate: Json = {"content": {"parts": parts, "role": "model"}}
    if last:
        candidate["finishReason"] = "STOP"
    return {
        "candidates": [{**candidate, "index": 0}],
        "usageMetadata": _gemini_usage(answer.usage),
        "modelVersion": answer.exchange.model,
        "responseId": answer.key("gemini")[:22],
    }


def _gemini_plain(answer: Answer) -> Json:
    whole = Answer(answer.exchange, answer.usage, max(1, len(answer.exchange.turn.text)))
    return _gemini_chunk(answer, _gemini_parts(whole), last=True)


def _gemini_stream(answer: Answer) -> list[bytes]:
    parts = _gemini_parts(answer)
    last = len(parts) - 1
    chunks = [compact(_gemini_chunk(answer, [p], i == last)) for i, p in enumerate(parts)]
    if answer.exchange.sse:
        return [f"data: {chunk}\r\n\r\n".encode() for chunk in chunks]
    opened = [("[" if i == 0 else ",\r\n") + chunk for i, chunk in enumerate(chunks)]
    return [*(chunk.encode() for chunk in opened), b"]"]
