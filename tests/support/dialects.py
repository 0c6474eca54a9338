"""Reads requests of four provider dialects: which turn do they ask for?

The turn is derived from the request body alone, so a retried request gets the
same answer and the provider keeps no state.
"""

from __future__ import annotations

import enum
import json
import re
from dataclasses import dataclass
from itertools import pairwise

from tests.support.script import Conversation, Json, Script, Turn

_GEMINI = re.compile(r"/models/([^/:]+):(generateContent|streamGenerateContent)$")
_MODEL_ITEMS = frozenset(
    {
        "reasoning",
        "function_call",
        "custom_tool_call",
        "local_shell_call",
        "web_search_call",
        "tool_search_call",
    }
)
_RESPONSE_ID = re.compile(r"resp_([0-9a-f]{2})([0-9a-f]{4})")


class Dialect(enum.Enum):
    """The wire formats the provider speaks."""

    ANTHROPIC = "anthropic"
    CHAT = "chat"
    RESPONSES = "responses"
    GEMINI = "gemini"


@dataclass(frozen=True)
class Route:
    """What a request target asks for, before its body is read.

    `stream` is true when the target alone asks for a stream (Gemini); `sse` is
    false when a Gemini stream is wanted as one JSON array.
    """

    dialect: Dialect
    count: bool = False
    stream: bool = False
    sse: bool = True
    model: str = ""


@dataclass(frozen=True)
class Exchange:
    """One model call: what was asked and which turn of the script answers it.

    `scripted` is false for side requests.  `number` and `position` are the
    conversation's place in the script and the turn's place in the conversation.
    """

    dialect: Dialect
    model: str
    stream: bool
    sse: bool
    body: Json
    turn: Turn
    scripted: bool
    number: int
    position: int


def route(method: str, target: str) -> Route | None:
    """The dialect route of a POST target, or None for anything else."""
    path, _, query = target.partition("?")
    if method != "POST":
        return None
    if path.endswith("/messages/count_tokens"):
        return Route(Dialect.ANTHROPIC, count=True)
    if path.endswith(":countTokens"):
        return Route(Dialect.GEMINI, count=True)
    if path.endswith("/v1/messages"):
        return Route(Dialect.ANTHROPIC)
    if path.endswith("/chat/completions"):
        return Route(Dialect.CHAT)
    if path.endswith("/responses"):
        return Route(Dialect.RESPONSES)
    return _gemini_route(path, query)


def _gemini_route(path: str, query: str) -> Route | None:
    found = _GEMINI.search(path)
    if found is None:
        return None
    sse = "alt=sse" in query.split("&")
    stream = found.group(2) == "streamGenerateContent" or sse
    return Route(Dialect.GEMINI, stream=stream, sse=sse, model=found.group(1))


def exchange(found: Route, body: Json, script: Script) -> Exchange:
    """Pick the turn that answers `body`; never raises for odd bodies."""
    number, position = _place(found.dialect, body, script)
    turn, scripted = Turn(script.side_text), False
    if number >= 0:
        planned = script.conversations[number].turn(position)
        if not planned.calls or offers_tools(body):
            turn, scripted = planned, True
    schema = _schema(found.dialect, body)
    if schema is not None and not scripted:
        turn = Turn(json.dumps(instance_of(schema)))
    return Exchange(
        dialect=found.dialect,
        model=found.model or str(body.get("model", "unknown")),
        stream=found.stream or body.get("stream") is True,
        sse=found.sse,
        body=body,
        turn=turn,
        scripted=scripted,
        number=max(number, 0),
        position=position,
    )


def offers_tools(body: Json) -> bool:
    """Whether the request offers at least one tool."""
    return bool(body.get("tools"))


def entries(dialect: Dialect, body: Json) -> list[tuple[bool, Json]]:
    """The conversation entries in order: (spoken by the model, entry)."""
    key = {Dialect.RESPONSES: "input", Dialect.GEMINI: "contents"}.get(dialect, "messages")
    value = body.get(key)
    if isinstance(value, str):
        return [(False, {"role": "user", "content": value})]
    if isinstance(value, dict):
        value = [value]
    items = value if isinstance(value, list) else []
    return [(_by_model(item), item) for item in items if isinstance(item, dict)]


def _by_model(item: Json) -> bool:
    return item.get("role") in ("assistant", "model") or item.get("type") in _MODEL_ITEMS


def _place(dialect: Dialect, body: Json, script: Script) -> tuple[int, int]:
    """(conversation, turn), or (-1, 0) when no conversation fits."""
    held = entries(dialect, body)
    earlier = _RESPONSE_ID.match(str(body.get("previous_response_id", "")))
    if earlier is not None:
        number = int(earlier.group(1), 16)
        if number < len(script.conversations):
            return number, int(earlier.group(2), 16) + 1 + _model_turns(held)
    for number, conversation in enumerate(script.conversations):
        start = _first_match(conversation, held)
        if start >= 0:
            return number, _model_turns(held[start:])
    return -1, 0


def _first_match(conversation: Conversation, held: list[tuple[bool, Json]]) -> int:
    for index, (by_model, entry) in enumerate(held):
        if not by_model and conversation.match in json.dumps(entry, ensure_ascii=False):
            return index
    return -1


def _model_turns(held: list[tuple[bool, Json]]) -> int:
    """Finished model turns: runs of model entries followed by something else.

    A run at the very end is a turn that was cut, and is asked for again.
    """
    turns = 0
    for (by_model, _), (next_by_model, _) in pairwise(held):
        turns += by_model and not next_by_model
    return turns


def _schema(dialect: Dialect, body: Json) -> Json | None:
    if dialect is not Dialect.GEMINI:
        return None
    config = body.get("generationConfig")
    if not isinstance(config, dict):
        return None
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    return schema if isinstance(schema, dict) else None


def instance_of(schema: Json) -> object:
    """A small value that fits a JSON schema: first enum member, 1, "ok", ..."""
    choices = schema.get("enum")
    if isinstance(choices, list) and choices:
        return choices[0]
    kind = str(schema.get("type", "object")).lower()
    if kind == "object":
        properties = schema.get("properties")
        members = properties if isinstance(properties, dict) else {}
        return {key: instance_of(part) for key, part in members.items() if isinstance(part, dict)}
    plain: dict[str, object] = {"array": [], "number": 1, "integer": 1, "boolean": False}
    return plain.get(kind, "ok")
