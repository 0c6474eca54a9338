"""Compares model requests: turn with turn, and before with after a proxy."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.support.dialects import Dialect, entries
from tests.support.events import compact
from tests.support.script import Json

RESULT = "\x00result"
_OUTPUT = re.compile(rb'"output":"(?:[^"\\]|\\.)*"', re.DOTALL)
_OUTPUTS = ("function_call_output", "custom_tool_call_output")


@dataclass(frozen=True)
class Asked:
    """One model request: its dialect, decoded body and JSON bytes."""

    dialect: Dialect
    body: Json
    raw: bytes


def result_texts(asked: Asked) -> list[str]:
    """The text of every tool result, in order."""
    texts: list[str] = []
    _without_results(asked, texts)
    return texts


def result_bytes(asked: Asked) -> int:
    """UTF-8 bytes of all tool result texts."""
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in result_texts(asked))


def prefix_report(calls: Sequence[Asked]) -> list[str]:
    """For each pair of successive requests: "same", or what changed first.

    Requests compare with cache_control stripped and a lone text block equal to
    a plain string.  "same" means system, tools and every earlier message are
    unchanged, so a provider can reuse what it has read.
    """
    return [_first_change(before, after) for before, after in pairwise(calls)]


def outside_results(before: Asked, after: Asked) -> list[str]:
    """Top-level keys whose value changed apart from tool result texts.

    "(key order)" is added when the keys come in another order.
    """
    left, right = _without_results(before, []), _without_results(after, [])
    keys = list(dict.fromkeys([*left, *right]))
    changed = [key for key in keys if compact(left.get(key)) != compact(right.get(key))]
    return changed if list(left) == list(right) else [*changed, "(key order)"]


def spoken(texts: Sequence[str]) -> list[Asked]:
    """The requests among the messages on a WebSocket, those that ask for no answer included."""
    made: list[Asked] = []
    for text in texts:
        message: Json = json.loads(text)
        if message.get("type") == "response.create":
            inner = message.get("response")
            made.append(Asked(Dialect.RESPONSES, inner if isinstance(inner, dict) else message, text.encode()))
    return made


def blanked(raw: bytes) -> bytes:
    """A request's bytes without the texts of function outputs."""
    return _OUTPUT.sub(b'"output":""', raw)


def outputs_agree(calls: Sequence[Asked]) -> bool:
    """Whether every function output that is sent more than once, under its call's id, is the same text each time."""
    seen: dict[str, object] = {}
    for asked in calls:
        for _, entry in entries(asked.dialect, asked.body):
            if entry.get("type") in _OUTPUTS:
                call = str(entry.get("call_id"))
                if seen.setdefault(call, entry.get("output")) != entry.get("output"):
                    return False
    return True


def tool_names(asked: Asked) -> list[str]:
    """The names of the tools a request offers."""
    return re.findall(r'"name":"([^"]+)"', compact(asked.body.get("tools") or []))


def _first_change(before: Asked, after: Asked) -> str:
    for key in ("model", "system", "instructions", "systemInstruction", "tools"):
        if _plain(before.body.get(key)) != _plain(after.body.get(key)):
            return f"{key} changed"
    early = [_plain(entry) for _, entry in entries(before.dialect, before.body)]
    late = [_plain(entry) for _, entry in entries(after.dialect, after.body)]
    for number, entry in enumerate(early):
        if number >= len(late) or late[number] != entry:
            return f"entry {number} of {len(early)} changed"
    return "same"


def _plain(value: object) -> object:
    """The value with cache_control stripped and lone text blocks as strings."""
    if isinstance(value, list):
        items = [_plain(item) for item in value]
        if len(items) == 1 and isinstance(items[0], dict) and set(items[0]) == {"type", "text"}:
            return items[0]["text"]
        return items
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items() if key != "cache_control"}
    return value


def _without_results(asked: Asked, texts: list[str]) -> Json:
    """A copy of the body with result texts moved to `texts`."""
    body: Json = json.loads(compact(asked.body))
    for _, entry in entries(asked.dialect, body):
        _take(asked.dialect, entry, texts)
    return body


def _take(dialect: Dialect, entry: Json, texts: list[str]) -> None:
    if dialect is Dialect.CHAT and entry.get("role") == "tool":
        _take_text(entry, "content", texts)
    elif dialect is Dialect.RESPONSES and entry.get("type") in _OUTPUTS:
        _take_text(entry, "output", texts)
    elif dialect is Dialect.GEMINI:
        for part in _objects(entry.get("parts")):
            _take_function(part, texts)
    elif dialect is Dialect.ANTHROPIC:
        for block in _objects(entry.get("content")):
            if block.get("type") == "tool_result":
                _take_text(block, "content", texts)


def _take_function(part: Json, texts: list[str]) -> None:
    held = part.get("functionResponse") or part.get("function_response")
    if isinstance(held, dict) and isinstance(held.get("response"), dict):
        response = held["response"]
        for key in list(response):
            _take_text(response, key, texts)


def _take_text(holder: Json, key: str, texts: list[str]) -> None:
    value = holder.get(key)
    if isinstance(value, str):
        texts.append(value)
        holder[key] = RESULT
    for block in _objects(value):
        _take_text(block, "text", texts)


def _objects(value: object) -> list[Json]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
