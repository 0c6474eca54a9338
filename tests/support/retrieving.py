"""Programs of the real SDKs in which the model fetches originals, and what must hold of the requests it was sent.

A `Talk` is one conversation of one client: it keeps its history as the SDK gave it, runs the tools that it is asked
for, and shows of each answer what the client saw.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

import anthropic
import openai
import pytest
from google import genai
from google.genai import types

from headroom.edge import Edge
from headroom.wire.tls import client_context
from headroom.zones import marker
from tests.support.embedded import edge_to
from tests.support.origin import Origin
from tests.support.request_shape import blocks, dialect_of, parse, result_texts
from tests.support.script import ToolCall

TOOL = "headroom_retrieve"
KEY = "sk-ant-api03-scripted"  # of a caller who pays by the token
PARAMETERS: dict[str, object] = {"type": "object", "properties": {"command": {"type": "string"}}}
PROMPT = "why does it fail?"


def log(seed: int = 0, lines: int = 300) -> str:
    """A log of which most is left out."""
    rows = (
        f"2031-02-03 10:{i // 60 % 60:02}:{i % 60:02},{i % 1000:03} INFO [w-{i % 7}] pool: "
        f"lease {i * (37 + seed) % 9999} taken by job-{i % 50} after {i % 13} ms"
        for i in range(lines)
    )
    return "\n".join(rows) + f"\n2031-02-03 11:00:00,000 ERROR db{seed}: connection refused\n"


def fetch(text: str, **more: object) -> ToolCall:
    """The model's call for the original `text`."""
    return ToolCall(TOOL, {"hash": marker.key(text), **more})


def run(command: str) -> ToolCall:
    """The model's call of the client's own tool."""
    return ToolCall("Bash", {"command": command})


@dataclass(frozen=True, slots=True)
class Said:
    """One answer as the client got it. `calls` are the commands, in order; `output` the tokens reported."""

    texts: tuple[str, ...]
    calls: tuple[str, ...]
    stop: str
    output: int
    names: tuple[str, ...] = ()


class Talk(Protocol):
    """A conversation of a client, which has tools of its `own`. One that is `alone` makes a connection for every
    request."""

    own: Sequence[str]
    said: list[Said]
    history: list[Any]

    async def ask(self, url: str, *, stream: bool, tools: bool = True) -> Said:
        """Send the history through `url` and keep the answer, and the results of what it calls."""

    def tell(self, text: str) -> None:
        """Say something as the user."""

    async def close(self) -> None:
        """Let go of the connections."""


def _headers(alone: bool) -> dict[str, str]:
    return {"Connection": "close"} if alone else {}


@dataclass
class MessagesTalk:
    """With the SDK whose answers are content blocks."""

    outputs: Callable[[str], str]
    key: str = KEY
    prompt: str = PROMPT
    alone: bool = False
    own: Sequence[str] = ("Bash",)
    said: list[Said] = field(default_factory=list)
    history: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sdk = anthropic.AsyncAnthropic(
            api_key=self.key,
            max_retries=0,
            default_headers=_headers(self.alone),
            http_client=anthropic.DefaultAsyncHttpxClient(verify=False),
        )
        self.tell(self.prompt)

    async def close(self) -> None:
        """See Talk."""
        await self.sdk.close()

    def tell(self, text: str) -> None:
        """See Talk."""
        self.history.append({"role": "user", "content": text})

    async def ask(self, url: str, *, stream: bool, tools: bool = True) -> Said:
        """See Talk."""
        client = self.sdk.with_options(base_url=url)
        given: Any = {"model": "claude-scripted", "max_tokens": 99, "messages": self.history}
        if tools:
            given["tools"] = [
                {"name": name, "description": "Runs it.", "input_schema": PARAMETERS} for name in self.own
            ]
        if stream:
            async with client.messages.stream(**given) as events:
                answer: Any = await events.get_final_message()
        else:
            answer = await client.messages.create(**given)
        calls = [block for block in answer.content if block.type == "tool_use"]
        self.said.append(
            Said(
                tuple(block.text for block in answer.content if block.type == "text"),
                tuple(call.input.get("command", "") for call in calls),
                answer.stop_reason,
                answer.usage.output_tokens,
                tuple(call.name for call in calls),
            )
        )
        self.history.append({"role": "assistant", "content": [b.model_dump(exclude_none=True) for b in answer.content]})
        if calls:
            results = [
                {"type": "tool_result", "tool_use_id": call.id, "content": self.outputs(call.input.get("command", ""))}
                for call in calls
            ]
            self.history.append({"role": "user", "content": results})
        return self.said[-1]


@dataclass
class _OpenTalk:
    """With the SDK that has two dialects."""

    outputs: Callable[[str], str]
    key: str = "sk-proj-scripted"
    prompt: str = PROMPT
    alone: bool = False
    own: Sequence[str] = ("Bash",)
    said: list[Said] = field(default_factory=list)
    history: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sdk = openai.AsyncOpenAI(
            api_key=self.key,
            max_retries=0,
            default_headers=_headers(self.alone),
            http_client=openai.DefaultAsyncHttpxClient(verify=False),
        )
        self.tell(self.prompt)

    async def close(self) -> None:
        """See Talk."""
        await self.sdk.close()

    def tell(self, text: str) -> None:
        """See Talk."""
        self.history.append({"role": "user", "content": text})


class ChatTalk(_OpenTalk):
    """With the SDK whose answers are deltas of one message."""

    async def ask(self, url: str, *, stream: bool, tools: bool = True) -> Said:
        """See Talk."""
        client = self.sdk.with_options(base_url=url + "/v1")
        given: Any = {"model": "gpt-5.1", "messages": self.history}
        if tools:
            given["tools"] = [{"type": "function", "function": {"name": n, "parameters": PARAMETERS}} for n in self.own]
        if stream:
            usage: Any = {"include_usage": True}
            async with client.chat.completions.stream(**given, stream_options=usage) as events:
                answer: Any = await events.get_final_completion()
        else:
            answer = await client.chat.completions.create(**given)
        (choice,) = answer.choices
        calls = choice.message.tool_calls or []
        commands = [json.loads(call.function.arguments).get("command", "") for call in calls]
        content = choice.message.content
        self.said.append(
            Said(
                (content,) if content else (),
                tuple(commands),
                choice.finish_reason,
                answer.usage.completion_tokens,
                tuple(call.function.name for call in calls),
            )
        )
        self.history.append(choice.message.to_dict(exclude_none=True))
        for call, command in zip(calls, commands, strict=True):
            self.history.append({"role": "tool", "tool_call_id": call.id, "content": self.outputs(command)})
        return self.said[-1]


class ResponsesTalk(_OpenTalk):
    """With the SDK whose answers are items, the whole input sent on every turn."""

    async def ask(self, url: str, *, stream: bool, tools: bool = True) -> Said:
        """See Talk."""
        client = self.sdk.with_options(base_url=url + "/v1")
        given: Any = {"model": "gpt-5.1", "input": self.history, "store": False}
        if tools:
            given["tools"] = [
                {"type": "function", "name": name, "parameters": PARAMETERS, "strict": False} for name in self.own
            ]
        if stream:
            async with client.responses.stream(**given) as events:
                answer: Any = await events.get_final_response()
        else:
            answer = await client.responses.create(**given)
        calls = [item for item in answer.output if item.type == "function_call"]
        commands = [json.loads(call.arguments).get("command", "") for call in calls]
        self.said.append(
            Said(
                tuple(part.text for item in answer.output if item.type == "message" for part in item.content),
                tuple(commands),
                answer.status,
                answer.usage.output_tokens,
                tuple(call.name for call in calls),
            )
        )
        self.history += [item.to_dict() for item in answer.output]
        for call, command in zip(calls, commands, strict=True):
            output = {"type": "function_call_output", "call_id": call.call_id, "output": self.outputs(command)}
            self.history.append(output)
        return self.said[-1]


@dataclass
class ContentsTalk:
    """With the SDK whose answers are contents of parts."""

    outputs: Callable[[str], str]
    key: str = "AIza-scripted"
    prompt: str = PROMPT
    alone: bool = False
    own: Sequence[str] = ("Bash",)
    own_ids: bool = False  # calls that come without an id get one
    said: list[Said] = field(default_factory=list)
    history: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        options = types.HttpOptions(
            headers=_headers(self.alone),
            retry_options=types.HttpRetryOptions(attempts=1),
            client_args={"verify": False},
            async_client_args={"verify": False},
        )
        self.sdk = genai.Client(api_key=self.key, http_options=options)
        self.tell(self.prompt)

    async def close(self) -> None:
        """See Talk."""
        await self.sdk.aio.aclose()
        self.sdk.close()

    def tell(self, text: str) -> None:
        """See Talk."""
        self.history.append(types.Content(role="user", parts=[types.Part(text=text)]))

    async def ask(self, url: str, *, stream: bool, tools: bool = True) -> Said:
        """See Talk."""
        declared = [types.FunctionDeclaration(name=name, parameters_json_schema=PARAMETERS) for name in self.own]
        config = types.GenerateContentConfig(
            tools=[types.Tool(function_declarations=declared)] if tools else [],
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
            http_options=types.HttpOptions(base_url=url),
        )
        given: Any = {"model": "gemini-2.5-pro", "contents": self.history, "config": config}
        answers: list[Any] = []
        if stream:
            async for chunk in await self.sdk.aio.models.generate_content_stream(**given):
                answers.append(chunk)
        else:
            answers.append(await self.sdk.aio.models.generate_content(**given))
        found = [answer.candidates[0] for answer in answers if answer.candidates]
        parts: list[Any] = [part for one in found if one.content for part in one.content.parts or []]
        calls = [part.function_call for part in parts if part.function_call]
        for number, call in enumerate(calls if self.own_ids else ()):
            call.id = f"{call.name}_{len(self.said)}_{number}"
        commands = [(call.args or {}).get("command", "") for call in calls]
        self.said.append(
            Said(
                tuple(part.text for part in parts if part.text and not part.thought),
                tuple(commands),
                str(found[-1].finish_reason.value),
                int(answers[-1].usage_metadata.candidates_token_count),
                tuple(call.name for call in calls),
            )
        )
        if parts:
            self.history.append(types.Content(role="model", parts=parts))
        if calls:
            self.history.append(
                types.Content(
                    role="user",
                    parts=[
                        types.Part(
                            function_response=types.FunctionResponse(
                                id=call.id, name=call.name, response={"output": self.outputs(command)}
                            )
                        )
                        for call, command in zip(calls, commands, strict=True)
                    ],
                )
            )
        return self.said[-1]


TALKS: dict[str, Callable[..., Talk]] = {
    "blocks": MessagesTalk,
    "deltas": ChatTalk,
    "items": ResponsesTalk,
    "parts": ContentsTalk,
}
STOPS = {  # how an answer says that it calls a tool, and that it is over
    "blocks": ("tool_use", "end_turn"),
    "deltas": ("tool_calls", "stop"),
    "items": ("completed", "completed"),
    "parts": ("STOP", "STOP"),
}


@pytest.fixture(scope="module", autouse=True)
def certificates_read_once() -> Iterator[None]:
    """Reading the system's authorities takes longer than most tests, and nothing here is encrypted."""
    context = client_context(None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("headroom.edge.client_context", lambda ca_file: context)
        yield


# --- a conversation through a proxy -----------------------------------------------------------------

ASKS = 12  # requests that a conversation of these tests has at most


def outputs(command: str) -> str:
    """What the client's tool gives."""
    return log(int(command.removeprefix("log "))) if command.startswith("log ") else f"{command}\nok"


def edge(url: str, **settings: object) -> Edge:
    """A proxy that offers the tool."""
    return edge_to(url, **{"ccr_tool": "start", **settings})


@asynccontextmanager
async def begun(kind: str, **given: Any) -> AsyncIterator[Talk]:
    """A client's conversation."""
    talk = TALKS[kind](outputs, **given)
    try:
        yield talk
    finally:
        await talk.close()


async def play(talk: Talk, url: str, *, stream: bool) -> None:
    """Let a client ask until the model calls nothing any more."""
    for _ in range(ASKS):
        if not (await talk.ask(url, stream=stream)).calls:
            return
    raise AssertionError("the conversation has no end")


async def play_in_turn(talk: Talk, *urls: str) -> None:
    """Like `play`, each request through the next of several proxies."""
    for at in range(ASKS):
        if not (await talk.ask(urls[at % len(urls)], stream=True)).calls:
            return
    raise AssertionError("the conversation has no end")


async def check_markers(origin: Origin, *proxies: Edge) -> None:
    """Every marker in every request that was forwarded stands for its original, whichever proxy is asked."""
    found = {hash_ for body in bodies(origin) for hash_ in markers(body)}
    assert found
    for hash_ in found:
        for proxy in proxies:
            original = await proxy.ledger.original(hash_)
            assert original is not None
            assert marker.key(original) == hash_


def bodies(origin: Origin) -> list[bytes]:
    """The requests that the provider got, in order."""
    return [kept.body for kept in origin.requests]


def unseen(talk: Talk) -> None:
    """The client was never asked to run a tool that is not its own."""
    assert not [name for said in talk.said for name in said.names if name not in talk.own]


def url_of(proxy: Edge) -> str:
    """Where a proxy listens."""
    return f"http://127.0.0.1:{proxy.port}"


# --- what must hold of the requests that the provider got -------------------------------------------


def texts(body: bytes) -> list[str]:
    """The texts of all tool results in a request, in order."""
    request = parse(body)
    return [found.text for found in result_texts(dialect_of(request), request)]


def markers(body: bytes) -> list[str]:
    """The hashes of all markers in the tool results of a request."""
    return [hash_ for text in texts(body) for hash_ in marker.find_markers(text)]


def tool_list(body: bytes) -> str:
    """The tools of a request, spelled as JSON."""
    return json.dumps(json.loads(body).get("tools"))


def check_prefixes(bodies: Sequence[bytes]) -> None:
    """Each request begins with all of the one before it, and all offer the same tools."""
    prompts = []
    for body in bodies:
        request = parse(body)
        prompts.append([_meaning(block.text) for block in blocks(dialect_of(request), request)])
    for number, (before, after) in enumerate(pairwise(prompts), 1):
        for place, (one, other) in enumerate(zip(before, after, strict=False)):
            assert one == other, f"request {number}, block {place}:\n{one[:600]}\n{other[:600]}"
        assert len(after) > len(before), number
    assert len({tool_list(body) for body in bodies}) <= 1


def _meaning(text: str) -> str:
    """A block however an SDK spells it when it sends it back: its keys sorted, those without a value left out."""
    role, _, value = text.partition("\0")
    return role + json.dumps(_with_values(json.loads(value)), ensure_ascii=False, sort_keys=True)


def _with_values(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_values(part) for key, part in value.items() if part is not None}
    return [_with_values(part) for part in value] if isinstance(value, list) else value


def check_pairs(body: bytes) -> None:
    """Every call has exactly one result, and every result its call before it."""
    called: Counter[str] = Counter()
    answered: Counter[str] = Counter()
    for is_call, name in _calls(json.loads(body)):
        if is_call:
            called[name] += 1
        else:
            answered[name] += 1
            assert answered[name] <= called[name], name
    assert called == answered
    if "messages" in (request := json.loads(body)):
        _check_neighbours(request["messages"])


def _check_neighbours(messages: list[Any]) -> None:
    """The results of a message's calls stand in the very next message, before all else."""
    for message, following in pairwise([*messages, {"role": "user", "content": ""}]):
        content = message["content"] if isinstance(message.get("content"), list) else []
        ids = {block["id"] for block in content if block.get("type") == "tool_use"}
        if ids:
            assert following["role"] == "user"
            results = [block.get("tool_use_id") for block in following["content"][: len(ids)]]
            assert set(results) == ids


def _calls(request: Any) -> Iterator[tuple[bool, str]]:
    """Whether it is a call or a result, and its id: of all there are, in order."""
    for item in request.get("messages", request.get("input", [])):
        if item.get("type") == "function_call":
            yield True, item["call_id"]
        elif item.get("type") == "function_call_output":
            yield False, item["call_id"]
        elif item.get("role") == "tool":
            yield False, item["tool_call_id"]
        for call in item.get("tool_calls") or []:
            yield True, call["id"]
        content = item.get("content")
        for block in content if isinstance(content, list) else []:
            if block.get("type") == "tool_use":
                yield True, block["id"]
            elif block.get("type") == "tool_result":
                yield False, block["tool_use_id"]
    for content in request.get("contents", []):
        for part in content.get("parts", []):
            if "functionCall" in part:
                yield True, part["functionCall"].get("id") or part["functionCall"]["name"]
            elif "functionResponse" in part:
                yield False, part["functionResponse"].get("id") or part["functionResponse"]["name"]


def check_requests(bodies: Sequence[bytes]) -> None:
    """All of the above, of all requests of one conversation in the order in which the provider got them."""
    check_prefixes(bodies)
    for body in bodies:
        check_pairs(body)
