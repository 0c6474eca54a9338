"""The providers' own SDKs work through the proxy as they do without it."""

from __future__ import annotations

import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import errors as genai_errors
from google.genai import types

from tests.support.embedded import edge_to
from tests.support.origin import Fault, Origin
from tests.support.outputs import invented
from tests.support.request_shape import parse, result_texts
from tests.support.script import Script, ToolCall, Turn

ANSWER = "The answer is 42: “ok” 日本. " * 6
SCRIPT = Script.single(
    [Turn("Let me look.", (ToolCall("run_command", {"command": "ls"}),)), Turn(ANSWER)], match="the question"
)
RESULT = invented("json_uniform", 1, 6_000).text
PARAMETERS: dict[str, object] = {"type": "object", "properties": {"command": {"type": "string"}}}
KEY = "dummy-key"

Program = Callable[[str, bool], Awaitable[str]]


async def anthropic_loop(url: str, stream: bool) -> str:
    """Messages, until the model calls no tool."""
    messages: list[Any] = [{"role": "user", "content": "the question"}]
    tools: Any = [{"name": "run_command", "description": "", "input_schema": PARAMETERS}]
    async with anthropic.AsyncAnthropic(base_url=url, api_key=KEY, max_retries=0) as client:
        while True:
            given: Any = {"model": "claude-scripted", "max_tokens": 99, "messages": messages, "tools": tools}
            if stream:
                async with client.messages.stream(**given) as events:
                    answer: Any = await events.get_final_message()
            else:
                answer = await client.messages.create(**given)
            calls = [block for block in answer.content if block.type == "tool_use"]
            if not calls:
                return "".join(block.text for block in answer.content if block.type == "text")
            results = [{"type": "tool_result", "tool_use_id": call.id, "content": RESULT} for call in calls]
            messages += [{"role": "assistant", "content": answer.content}, {"role": "user", "content": results}]


async def chat_loop(url: str, stream: bool) -> str:
    """Chat completions, until the model calls no tool."""
    messages: list[Any] = [{"role": "user", "content": "the question"}]
    tools: Any = [{"type": "function", "function": {"name": "run_command", "parameters": PARAMETERS}}]
    async with openai.AsyncOpenAI(base_url=url + "/v1", api_key=KEY, max_retries=0) as client:
        while True:
            given: Any = {"model": "gpt-5.1", "messages": messages, "tools": tools}
            if stream:
                usage: Any = {"include_usage": True}
                async with client.chat.completions.stream(**given, stream_options=usage) as events:
                    answer: Any = await events.get_final_completion()
            else:
                answer = await client.chat.completions.create(**given)
            message = answer.choices[0].message
            if not message.tool_calls:
                return str(message.content)
            messages.append(message.to_dict(exclude_none=True))
            messages += [{"role": "tool", "tool_call_id": call.id, "content": RESULT} for call in message.tool_calls]


async def responses_loop(url: str, stream: bool) -> str:
    """Responses with the whole input on every turn, until the model calls no tool."""
    held: list[Any] = [{"role": "user", "content": "the question"}]
    tools: Any = [{"type": "function", "name": "run_command", "parameters": PARAMETERS, "strict": False}]
    async with openai.AsyncOpenAI(base_url=url + "/v1", api_key=KEY, max_retries=0) as client:
        while True:
            given: Any = {"model": "gpt-5.1", "input": held, "tools": tools, "store": False}
            if stream:
                async with client.responses.stream(**given) as events:
                    answer: Any = await events.get_final_response()
            else:
                answer = await client.responses.create(**given)
            calls = [item for item in answer.output if item.type == "function_call"]
            if not calls:
                return str(answer.output_text)
            held += [item.to_dict() for item in answer.output]
            held += [{"type": "function_call_output", "call_id": call.call_id, "output": RESULT} for call in calls]


async def gemini_loop(url: str, stream: bool) -> str:
    """Contents, until the model calls no function."""
    declared = types.FunctionDeclaration(name="run_command", parameters_json_schema=PARAMETERS)
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[declared])],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    held: list[Any] = [types.Content(role="user", parts=[types.Part(text="the question")])]
    once = types.HttpOptions(base_url=url, retry_options=types.HttpRetryOptions(attempts=1))
    client = genai.Client(api_key=KEY, http_options=once)
    try:
        while True:
            given: Any = {"model": "gemini-2.5-pro", "contents": held, "config": config}
            parts: list[Any] = []
            if stream:
                async for chunk in await client.aio.models.generate_content_stream(**given):
                    parts += _parts(chunk)
            else:
                parts = _parts(await client.aio.models.generate_content(**given))
            calls = [part.function_call for part in parts if part.function_call]
            if not calls:
                return "".join(part.text or "" for part in parts if not part.thought)
            results = [types.Part.from_function_response(name=c.name, response={"output": RESULT}) for c in calls]
            held += [types.Content(role="model", parts=parts), types.Content(role="user", parts=results)]
    finally:
        await client.aio.aclose()
        client.close()


def _parts(answer: Any) -> list[Any]:
    content = answer.candidates[0].content if answer.candidates else None
    return list(content.parts or []) if content else []


@dataclass(frozen=True)
class Sdk:
    """An SDK: its loop, how its errors name the HTTP status, and what it raises when nobody listens."""

    loop: Program
    errors: Mapping[int, type[Exception]]
    status: Callable[[Any], int]
    broken: type[Exception]
    retry_after: bool = True


def _status(error: Any) -> int:
    return int(error.status_code)


def _code(error: Any) -> int:
    return int(error.code)


OPENAI_ERRORS = {429: openai.RateLimitError, 529: openai.InternalServerError}
SDKS: Mapping[str, Sdk] = {
    "anthropic": Sdk(
        anthropic_loop,
        {429: anthropic.RateLimitError, 529: anthropic.InternalServerError},
        _status,
        anthropic.InternalServerError,
    ),
    "openai chat": Sdk(chat_loop, OPENAI_ERRORS, _status, openai.InternalServerError),
    "openai responses": Sdk(responses_loop, OPENAI_ERRORS, _status, openai.InternalServerError),
    "google-genai": Sdk(
        gemini_loop,
        {429: genai_errors.ClientError, 529: genai_errors.ServerError},
        _code,
        genai_errors.ServerError,
        retry_after=False,
    ),
}
STREAMED = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "plain"])
BY_SDK = pytest.mark.parametrize("sdk", SDKS.values(), ids=SDKS)


def counted(body: bytes) -> Mapping[str, int]:
    """Token numbers to be found again in the log."""
    return {"input_tokens": 70, "cache_read": 30, "cache_write": 20, "output_tokens": 11}


def logged(path: Path) -> list[Any]:
    """The requests in a log."""
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return [line for line in lines if line["event"] == "request"]


@STREAMED
@BY_SDK
async def test_a_tool_loop_ends_with_the_right_answer_and_its_usage_is_logged(
    sdk: Sdk, stream: bool, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    async with Origin(SCRIPT, usage=counted) as origin:
        async with edge_to(origin.url, log_file=log, log_level="info") as proxy:
            answer = await sdk.loop(f"http://127.0.0.1:{proxy.port}", stream)
        calls = origin.calls
    assert answer == ANSWER
    assert len(calls) == 2
    lines = logged(log)
    assert [(line["status"], line["outcome"]) for line in lines] == [(200, "complete")] * 2
    for line in lines:
        usage = line["usage"]
        assert usage["read"] == 30
        assert usage["uncached"] + usage["write"] + usage["write_1h"] == 90
        assert usage["output"] >= 11
    if sdk.loop is anthropic_loop:
        (shown,) = result_texts("anthropic", parse(calls[-1].body))
        assert len(shown.text) < len(RESULT)
        assert lines[-1]["decided"] == 1


@STREAMED
@BY_SDK
@pytest.mark.parametrize("status", [429, 529])
async def test_an_error_of_the_provider_is_raised_as_the_sdk_raises_it(sdk: Sdk, stream: bool, status: int) -> None:
    fault = Fault("status", status=status, headers=(("retry-after", "7"),), message="too much at once")
    async with Origin(SCRIPT, faults={0: fault, 1: fault}) as origin, edge_to(origin.url) as proxy:
        with pytest.raises(sdk.errors[status]) as direct:
            await sdk.loop(origin.url, stream)
        with pytest.raises(sdk.errors[status]) as through:
            await sdk.loop(f"http://127.0.0.1:{proxy.port}", stream)
        assert len(origin.calls) == 2
    assert type(through.value) is type(direct.value)
    assert sdk.status(through.value) == status
    assert str(through.value) == str(direct.value)
    assert "too much at once" in str(through.value)
    if sdk.retry_after:
        found: Any = through.value
        assert found.response.headers["retry-after"] == "7"


@STREAMED
@BY_SDK
async def test_an_origin_that_does_not_listen_is_a_server_error_of_the_sdk(sdk: Sdk, stream: bool) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: a connection to it is refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with edge_to(url) as proxy:
            with pytest.raises(sdk.broken) as raised:
                await sdk.loop(f"http://127.0.0.1:{proxy.port}", stream)
    assert sdk.status(raised.value) == 502
    assert "cannot connect" in str(raised.value)


async def failure(loop: Program, url: str) -> Exception | None:
    """What a streamed loop raises."""
    try:
        await loop(url, True)
    except Exception as error:
        return error
    return None


@BY_SDK
async def test_an_answer_that_is_cut_fails_as_it_does_without_the_proxy(sdk: Sdk) -> None:
    fault = Fault("reset", events=3)
    async with Origin(SCRIPT, faults={0: fault, 1: fault}) as origin, edge_to(origin.url) as proxy:
        direct = await failure(sdk.loop, origin.url)
        through = await failure(sdk.loop, f"http://127.0.0.1:{proxy.port}")
    assert direct is not None
    assert type(through) is type(direct)
