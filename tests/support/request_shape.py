"""What a provider reads in a request body, for the four request shapes, without the product's
code.

Two requests are the same to a provider when their blocks are the same: markers do not count, a
string content is one text block, the order of a block's own fields does not count; the order of
keys inside tool inputs and schemas does, and so does the spelling of a number.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

Dialect = Literal["anthropic", "chat", "responses", "gemini"]
Lane = Literal["5m", "1h"]


@dataclass(frozen=True, slots=True)
class Number:
    """A JSON number by its spelling: 1, 1.0 and 1e0 are three numbers here, and none of them
    equals true.
    """

    spelling: str


Json: TypeAlias = "bool | Number | str | list[Json] | dict[str, Json] | None"
Object: TypeAlias = dict[str, Json]

IMAGE_WORDS = "image " * 1600  # stands for base64 data: an image of about one megapixel is billed near 1,600 tokens


@dataclass(frozen=True, slots=True)
class Block:
    """One unit of a prompt, in the order in which the provider reads it.

    `place` names the tool list, the system prompt or a message by its index; several blocks share
    one place. Equal `text` (canonical JSON, role included) means equal to the provider. `words` is
    the same without JSON's quoting, to count tokens in. `lanes` are the cache markers on it,
    markers on its nested blocks included.
    """

    place: str
    text: str
    words: str
    lanes: tuple[Lane, ...] = ()


def parse(body: bytes) -> Object:
    """Read a request body; numbers keep their spelling, lone surrogates are kept, the last of
    equal keys wins.

    Raises ValueError for anything that is not a JSON object.
    """
    value: Json = json.loads(body, parse_float=Number, parse_int=Number)
    if not isinstance(value, dict):
        raise ValueError("a request body is a JSON object")
    return value


def canonical(value: Json) -> str:
    """JSON text with the value's key order and number spellings; equal texts mean equal values."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_number_as_object)


def _number_as_object(value: object) -> dict[str, str]:
    if isinstance(value, Number):
        return {"\0number": value.spelling}
    raise TypeError(f"not JSON: {type(value).__name__}")


def words(value: Json) -> str:
    """The value as running text: strings without quotes and escapes, base64 data as a constant."""
    if isinstance(value, str):
        return value
    if isinstance(value, Number):
        return value.spelling
    if isinstance(value, list):
        return "\n".join(words(item) for item in value)
    if isinstance(value, dict):
        if value.get("type") == "base64":
            return IMAGE_WORDS
        return "\n".join(f"{key}: {words(item)}" for key, item in value.items())
    return json.dumps(value)


def dialect_of(request: Object) -> Dialect:
    """Tell the request shape from the body alone; a chat body without tools, tool calls or system
    role is `chat`.
    """
    if "contents" in request:
        return "gemini"
    if "input" in request:
        return "responses"
    if "system" in request or any(map(_is_anthropic_block, _all_blocks(request))):
        return "anthropic"
    if any("input_schema" in tool for tool in _objects(request.get("tools"))):
        return "anthropic"
    return "chat"


def _is_anthropic_block(block: Object) -> bool:
    return block.get("type") in {"tool_result", "tool_use", "thinking"} or "cache_control" in block


def _all_blocks(request: Object) -> Iterator[Object]:
    for message in _objects(request.get("messages")):
        yield from _objects(message.get("content"))


def blocks(dialect: Dialect, request: Object) -> list[Block]:
    """List what the provider reads, in the order in which it hashes or renders it."""
    return list(_READERS[dialect](request))


def _anthropic(request: Object) -> Iterator[Block]:
    for tool in _objects(request.get("tools")):
        yield _block("tools", "tool", _bare(tool), _lanes(tool))
    for part in _as_blocks(request.get("system"), "text"):
        yield _block("system", "system", _plain(part), _lanes(part))
    for index, message in enumerate(_objects(request.get("messages"))):
        for part in _as_blocks(message.get("content"), "text"):
            yield _block(f"messages[{index}]", _role(message), _plain(part), _lanes(part))


def _chat(request: Object) -> Iterator[Block]:
    if "response_format" in request:
        yield _block("response_format", "schema", request["response_format"])
    for tool in _objects(request.get("tools")):
        yield _block("tools", "tool", tool)
    for index, message in enumerate(_objects(request.get("messages"))):
        even: Object = {**message, "content": [*_as_blocks(message.get("content"), "text")]}
        yield _block(f"messages[{index}]", _role(message), _ordered(even))


def _responses(request: Object) -> Iterator[Block]:
    if "text" in request:
        yield _block("text", "schema", request["text"])
    for tool in _objects(request.get("tools")):
        yield _block("tools", "tool", tool)
    if "instructions" in request:
        yield _block("instructions", "system", request["instructions"])
    source = request.get("input")
    alone: list[Object] = [{"role": "user", "content": source}]
    for index, item in enumerate(_objects(source) if isinstance(source, list) else alone):
        even = item
        if "content" in item:
            even = {**item, "content": [*_as_blocks(item["content"], "input_text")]}
        yield _block(f"input[{index}]", _role(item), _ordered(even))


def _gemini(request: Object) -> Iterator[Block]:
    for name in ("systemInstruction", "system_instruction"):
        if name in request:
            yield _block("system", "system", request[name])
    for tool in _objects(request.get("tools")):
        yield _block("tools", "tool", tool)
    for index, message in enumerate(_objects(request.get("contents"))):
        for part in _objects(message.get("parts")):
            yield _block(f"contents[{index}]", _role(message), _ordered(part))


_READERS: dict[Dialect, Callable[[Object], Iterator[Block]]] = {
    "anthropic": _anthropic,
    "chat": _chat,
    "responses": _responses,
    "gemini": _gemini,
}


def _block(place: str, role: str, value: Json, lanes: tuple[Lane, ...] = ()) -> Block:
    return Block(place, f"{role}\0{canonical(value)}", f"{role}\n{words(value)}\n", lanes)


def _role(message: Object) -> str:
    role = message.get("role")
    return role if isinstance(role, str) else ""


def _objects(value: Json) -> list[Object]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _as_blocks(content: Json, kind: str) -> list[Object]:
    """A string content as the one text block that it means; null as none."""
    return [{"type": kind, "text": content}] if isinstance(content, str) else _objects(content)


def _ordered(value: Object) -> Object:
    """The fields of a block by name, `type` first; what is inside them keeps its order."""
    return {key: value[key] for key in sorted(value, key=lambda key: (key != "type", key))}


def _bare(block: Object) -> Object:
    return _ordered({key: value for key, value in block.items() if key != "cache_control"})


def _plain(block: Object) -> Object:
    """A content block without markers, its own and nested ones; a string inside a tool result as
    one text block.
    """
    bare = _bare(block)
    if block.get("type") == "tool_result" and "content" in bare:
        bare["content"] = [_plain(part) for part in _as_blocks(bare["content"], "text")]
    return bare


def _lanes(block: Object) -> tuple[Lane, ...]:
    """The markers on a block and on the blocks nested in a tool result, in document order of
    nesting.
    """
    nested = _objects(block.get("content")) if block.get("type") == "tool_result" else []
    lanes = tuple(lane for part in nested for lane in _lanes(part))
    marker = block.get("cache_control")
    if isinstance(marker, dict):
        lanes += ("1h" if marker.get("ttl") == "1h" else "5m",)
    return lanes


@dataclass(frozen=True, slots=True)
class ResultText:
    """One text of a tool result inside a parsed request: where it stands, and a way to put another
    in its place.
    """

    place: str
    holder: dict[str, Json] | list[Json]
    key: str | int

    @property
    def text(self) -> str:
        """The text that stands there now."""
        value = self.holder[self.key]  # type: ignore[index]
        assert isinstance(value, str)
        return value

    def put(self, text: str) -> None:
        """Write another text there; the parsed request changes in place."""
        self.holder[self.key] = text  # type: ignore[index]


def result_texts(dialect: Dialect, request: Object, *, prompts: bool = False) -> list[ResultText]:
    """Find every tool result text in document order; with `prompts` also the texts that a user
    message holds.
    """
    return list(_FINDERS[dialect](request, prompts))


def _anthropic_texts(request: Object, prompts: bool) -> Iterator[ResultText]:
    for index, message in enumerate(_objects(request.get("messages"))):
        place = f"messages[{index}]"
        if prompts and message.get("role") == "user":
            yield from _texts(place, message, "content")
        for block in _objects(message.get("content")):
            if block.get("type") == "tool_result":
                yield from _texts(place, block, "content")


def _chat_texts(request: Object, prompts: bool) -> Iterator[ResultText]:
    roles = {"tool", "function"} | ({"user"} if prompts else set())
    for index, message in enumerate(_objects(request.get("messages"))):
        if message.get("role") in roles:
            yield from _texts(f"messages[{index}]", message, "content")


def _responses_texts(request: Object, prompts: bool) -> Iterator[ResultText]:
    for index, item in enumerate(_objects(request.get("input"))):
        if str(item.get("type")).endswith("_call_output"):
            yield from _texts(f"input[{index}]", item, "output")
        elif prompts and item.get("role") == "user":
            yield from _texts(f"input[{index}]", item, "content")


def _gemini_texts(request: Object, prompts: bool) -> Iterator[ResultText]:
    for index, message in enumerate(_objects(request.get("contents"))):
        for part in _objects(message.get("parts")):
            for name in ("functionResponse", "function_response"):
                answer = part.get(name)
                if isinstance(answer, dict) and "response" in answer:
                    yield from _leaves(f"contents[{index}]", answer, "response")
            if prompts and message.get("role") == "user" and isinstance(part.get("text"), str):
                yield ResultText(f"contents[{index}]", part, "text")


_FINDERS: dict[Dialect, Callable[[Object, bool], Iterator[ResultText]]] = {
    "anthropic": _anthropic_texts,
    "chat": _chat_texts,
    "responses": _responses_texts,
    "gemini": _gemini_texts,
}


def _texts(place: str, holder: Object, key: str) -> Iterator[ResultText]:
    """The string under `key`, or the `text` of each text part of the list under it."""
    value = holder.get(key)
    if isinstance(value, str):
        yield ResultText(place, holder, key)
    for part in _objects(value):
        if part.get("type") != "tool_result" and isinstance(part.get("text"), str):
            yield ResultText(place, part, "text")


def _leaves(place: str, holder: dict[str, Json] | list[Json], key: str | int) -> Iterator[ResultText]:
    value = holder[key]  # type: ignore[index]
    if isinstance(value, str):
        yield ResultText(place, holder, key)
    elif isinstance(value, dict):
        for name in value:
            yield from _leaves(place, value, name)
    elif isinstance(value, list):
        for index in range(len(value)):
            yield from _leaves(place, value, index)


def masked(dialect: Dialect, request: Object, *, prompts: bool = False) -> str:
    """The request as canonical text with every tool result text blanked, markers kept; `request`
    is left blanked.
    """
    for found in result_texts(dialect, request, prompts=prompts):
        found.put("")
    return canonical(request)
