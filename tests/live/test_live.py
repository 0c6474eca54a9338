"""Nine claims about real providers; see the package for how to run them."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import types

from headroom.config import BY_NAME
from headroom.zones import marker
from tests.live.providers import NAMES, Setup, provider, through
from tests.live.texts import FETCH_PROMPT, LEASE_PROMPT, LEASES, STOCK, STOCK_PROMPT, rules, unheard
from tests.support.request_shape import Dialect, Object, parse, result_texts

pytestmark = pytest.mark.live

TRIES = 4  # conversations; what one wrote to a cache may not be known yet when the next request comes
SECONDS = 90.0  # for one answer
TOOL = "headroom_retrieve"
MARKER: Any = {"type": "ephemeral"}
# Keys in their order, so that putting them in order changes nothing.
PARAMETERS: Any = {"properties": {"command": {"type": "string"}}, "required": ["command"], "type": "object"}
TOOLS: Any = [{"description": "Runs a command.", "input_schema": PARAMETERS, "name": "Bash"}]
CHAT_TOOLS: Any = [{"type": "function", "function": {"name": "Bash", "parameters": PARAMETERS}}]
_MARKERS = re.compile(rb'"cache_control":\s*\{[^{}]*\}')


def messages_client(setup: Setup, sent: list[bytes] | None = None) -> anthropic.AsyncAnthropic:
    """An SDK client that goes through the proxy; `sent` takes the bodies as it sends them."""

    async def keep(request: Any) -> None:
        if sent is not None:
            sent.append(request.content)

    http = anthropic.DefaultAsyncHttpxClient(event_hooks={"request": [keep]})
    return anthropic.AsyncAnthropic(
        base_url=setup.url, api_key=setup.provider.key, max_retries=2, timeout=SECONDS, http_client=http
    )


def chat_client(setup: Setup) -> openai.AsyncOpenAI:
    """An SDK client that goes through the proxy."""
    return openai.AsyncOpenAI(base_url=setup.url + "/v1", api_key=setup.provider.key, max_retries=2, timeout=SECONDS)


def system(text: str) -> Any:
    """Instructions that are to be cached."""
    return [{"type": "text", "text": text, "cache_control": MARKER}]


def user(text: str, *, marked: bool = False) -> Any:
    """A user's message."""
    block: Any = {"type": "text", "text": text}
    return {"role": "user", "content": [{**block, "cache_control": MARKER} if marked else block]}


def called(command: str) -> Any:
    """A model's call of the tool, as if it had been made."""
    call = {"type": "tool_use", "id": "toolu_01LiveTestOfTheProxy", "name": "Bash", "input": {"command": command}}
    return {"role": "assistant", "content": [call]}


def result(text: str, *, marked: bool = False) -> Any:
    """The client's answer to that call."""
    block: Any = {"type": "tool_result", "tool_use_id": "toolu_01LiveTestOfTheProxy", "content": text}
    return {"role": "user", "content": [{**block, "cache_control": MARKER} if marked else block]}


def asked(setup: Setup) -> list[Object]:
    """What the provider was sent, oldest first."""
    return [parse(request.body) for request in setup.relay.requests]


def shown(setup: Setup, dialect: Dialect) -> list[str]:
    """The newest result text of each request that holds one, as the provider was sent it."""
    found = [result_texts(dialect, body) for body in asked(setup)]
    return [texts[-1].text for texts in found if texts]


async def within_tries(attempt: Callable[[], Awaitable[bool]]) -> None:
    """Let a new conversation be tried until one shows what is claimed."""
    for _ in range(TRIES):
        if await attempt():
            return
    pytest.fail(f"not in {TRIES} tries")


async def test_the_second_turn_reads_what_the_first_one_wrote() -> None:
    async with through("anthropic") as setup, messages_client(setup) as client:

        async def attempt() -> bool:
            same: Any = {"model": setup.provider.model, "max_tokens": 16, "system": system(rules())}
            first = await client.messages.create(**same, messages=[user("Say yes.")])
            said: Any = {
                "role": "assistant",
                "content": [block.model_dump(exclude_none=True) for block in first.content],
            }
            second = await client.messages.create(**same, messages=[user("Say yes."), said, user("Say no.")])
            return bool(second.usage.cache_read_input_tokens)

        await within_tries(attempt)


async def test_a_turn_reads_what_was_written_with_its_results_pressed() -> None:
    """The first request writes the instructions, the second a pressed result, and the third reads both."""
    async with through("anthropic") as setup, messages_client(setup) as client:

        async def attempt() -> bool:
            setup.relay.requests.clear()
            same: Any = {"model": setup.provider.model, "max_tokens": 16, "system": system(rules()), "tools": TOOLS}
            begun = [user(STOCK_PROMPT)]
            await client.messages.create(**same, messages=begun)
            begun.append(called("cat stock.json"))
            told = await client.messages.create(**same, messages=[*begun, result(STOCK, marked=True)])
            begun += [result(STOCK), {"role": "assistant", "content": "Parts."}]
            last = await client.messages.create(**same, messages=[*begun, user("Say no.", marked=True)])
            pressed, replayed = shown(setup, "anthropic")
            assert len(pressed) < len(STOCK) and replayed == pressed
            return (last.usage.cache_read_input_tokens or 0) > (told.usage.cache_read_input_tokens or 0) > 0

        await within_tries(attempt)


async def test_cache_markers_arrive_byte_for_byte_where_they_stood_and_are_taken() -> None:
    sent: list[bytes] = []
    async with through("anthropic") as setup, messages_client(setup, sent) as client:
        tools: Any = [{"cache_control": {"type": "ephemeral", "ttl": "1h"}, **TOOLS[0]}]
        messages = [user(STOCK_PROMPT), called("cat stock.json"), result(STOCK, marked=True)]
        answer = await client.messages.create(
            model=setup.provider.model, max_tokens=16, system=system(rules()), tools=tools, messages=messages
        )
        (went,), (came,) = ([request.body for request in setup.relay.requests], sent)
        (pressed,) = shown(setup, "anthropic")
        assert _MARKERS.findall(went) == _MARKERS.findall(came) and len(_MARKERS.findall(came)) == 3
        assert len(pressed) < len(STOCK)
        assert went.replace(spelled(pressed), spelled(STOCK)) == came
        assert (answer.usage.cache_creation_input_tokens or 0) > 0


def spelled(text: str) -> bytes:
    """A text as it stands in a body."""
    return json.dumps(text, ensure_ascii=False).encode()


async def test_three_turns_of_chat_with_a_pressed_result() -> None:
    async with through("openai") as setup, chat_client(setup) as client:
        messages: list[Any] = [{"role": "user", "content": STOCK_PROMPT}]
        same: Any = {"model": setup.provider.model, "tools": CHAT_TOOLS, "max_completion_tokens": 64}
        must: Any = {"type": "function", "function": {"name": "Bash"}}
        first = (await client.chat.completions.create(**same, messages=messages, tool_choice=must)).choices[0].message
        messages.append(first.to_dict(exclude_none=True))
        calls = first.tool_calls or []
        assert calls
        messages += [{"role": "tool", "tool_call_id": call.id, "content": STOCK} for call in calls]
        for question in ("", "And how many are on shelf B-1? A guess will do."):
            if question:
                messages.append({"role": "user", "content": question})
            answer = await client.chat.completions.create(**same, messages=messages, tool_choice="none")
            assert answer.choices[0].message.content
            messages.append({"role": "assistant", "content": answer.choices[0].message.content})
        pressed, replayed = shown(setup, "chat")
        assert len(pressed) < len(STOCK) and replayed == pressed
        second, third = (body["messages"] for body in asked(setup)[1:])
        assert isinstance(second, list) and isinstance(third, list) and third[: len(second)] == second


async def test_a_stream_keeps_the_order_of_its_events() -> None:
    async with through("anthropic") as setup, messages_client(setup) as client:
        stream = await client.messages.create(
            model=setup.provider.model, max_tokens=48, messages=[user("Count to ten in words.")], stream=True
        )
        events = [event async for event in stream]
    kinds = [event.type for event in events if str(event.type) != "ping"]
    assert kinds[0] == "message_start" and kinds[-2:] == ["message_delta", "message_stop"]
    opened: list[int] = []
    closed: list[int] = []
    for event in events:
        if event.type == "content_block_start":
            assert closed == opened and event.index == len(opened)
            opened.append(event.index)
        elif event.type in ("content_block_delta", "content_block_stop"):
            assert event.index == opened[-1] and event.index not in closed
            if event.type == "content_block_stop":
                closed.append(event.index)
    assert opened and closed == opened


async def test_two_turns_of_contents_with_a_pressed_result() -> None:
    async with through("gemini") as setup:
        options = types.HttpOptions(base_url=setup.url, timeout=int(SECONDS * 1000))
        client = genai.Client(api_key=setup.provider.key, http_options=options)
        declared = types.FunctionDeclaration(
            name="Bash", description="Runs a command.", parameters_json_schema=PARAMETERS
        )

        async def ask(contents: Any, mode: str) -> Any:
            calling = types.FunctionCallingConfig(mode=types.FunctionCallingConfigMode(mode))
            config = types.GenerateContentConfig(
                tools=[types.Tool(function_declarations=[declared])],
                tool_config=types.ToolConfig(function_calling_config=calling),
                automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
                max_output_tokens=64,
            )
            return await client.aio.models.generate_content(
                model=setup.provider.model, contents=contents, config=config
            )

        try:
            contents: list[Any] = [types.Content(role="user", parts=[types.Part(text=STOCK_PROMPT)])]
            first = await ask(contents, "ANY")
            contents.append(first.candidates[0].content)
            calls = [part.function_call for part in first.candidates[0].content.parts if part.function_call]
            assert calls
            given = [
                types.Part(function_response=types.FunctionResponse(id=c.id, name=c.name, response={"output": STOCK}))
                for c in calls
            ]
            contents.append(types.Content(role="user", parts=given))
            second = await ask(contents, "NONE")
        finally:
            await client.aio.aclose()
            client.close()
        assert second.text
        (pressed,) = set(shown(setup, "gemini"))
        assert len(pressed) < len(STOCK)
        one, two = (body["contents"] for body in asked(setup))
        assert isinstance(one, list) and isinstance(two, list) and two[: len(one)] == one


async def test_the_model_fetches_what_was_left_out_within_its_answer() -> None:
    async with through("anthropic", ccr_tool="start") as setup, messages_client(setup) as client:

        async def attempt() -> bool:
            setup.relay.requests.clear()
            found = setup.edge.board.total("headroom_retrievals", "found")
            same: Any = {"model": setup.provider.model, "max_tokens": 400, "system": rules()[:400], "tools": TOOLS}
            messages = [user(unheard(LEASE_PROMPT))]
            must: Any = {"type": "tool", "name": "Bash"}
            first = await client.messages.create(**same, messages=messages, tool_choice=must)
            (call,) = (block for block in first.content if block.type == "tool_use")
            answers: Any = [
                {"type": "tool_result", "tool_use_id": call.id, "content": LEASES},
                {"type": "text", "text": FETCH_PROMPT},
            ]
            messages += [
                {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in first.content]},
                {"role": "user", "content": answers},
            ]
            async with client.messages.stream(**same, messages=messages) as stream:
                kinds = [event.type async for event in stream]
                answer = await stream.get_final_message()
            assert kinds.count("message_start") == kinds.count("message_stop") == 1
            assert not any(block.type == "tool_use" and block.name == TOOL for block in answer.content)
            cut, *after = setup.relay.requests[1:]
            assert marker.key(LEASES) in cut.body.decode()
            if setup.edge.board.total("headroom_retrievals", "found") == found or not after:
                return False
            held = [text.text for text in result_texts("anthropic", parse(after[-1].body))]
            assert any("connection refused by 10.0.0.7" in text for text in held[1:])
            return any(block.type == "text" and block.text for block in answer.content)

        await within_tries(attempt)


async def test_what_is_remembered_leaves_the_instructions_alone(tmp_path: Any) -> None:
    if "memory_mode" not in BY_NAME:
        pytest.skip("this version has no setting memory_mode")
    sent: list[bytes] = []
    memory = {"memory_mode": "auto_tail", "memory_store": tmp_path / "memory.sqlite", "memory_project": "live"}
    async with through("anthropic", **memory) as setup, messages_client(setup, sent) as client:

        async def attempt() -> bool:
            setup.relay.requests.clear()
            sent.clear()
            instructions = system(rules())
            same: Any = {"model": setup.provider.model, "max_tokens": 16, "system": instructions, "tools": TOOLS}
            first = await client.messages.create(**same, messages=[user("Say yes.")])
            said: Any = {
                "role": "assistant",
                "content": [block.model_dump(exclude_none=True) for block in first.content],
            }
            second = await client.messages.create(**same, messages=[user("Say yes."), said, user("Say no.")])
            written = json.dumps(instructions, ensure_ascii=False, separators=(",", ":")).encode()
            assert all(body.count(written) == 1 for body in sent)
            assert all(request.body.count(written) == 1 for request in setup.relay.requests)
            return bool(second.usage.cache_read_input_tokens)

        await within_tries(attempt)


async def test_each_kind_of_key_goes_to_the_provider_that_gave_it() -> None:
    keyed = [name for name in NAMES if has_key(name)]
    if not keyed:
        pytest.skip("no key is set")
    for name in keyed:
        others = {f"{other}_api_url": "http://127.0.0.1:9" for other in NAMES if other != name}
        async with through(name, **others) as setup:
            await list_models(setup)
            (request,) = setup.relay.requests
            assert request.method == "GET" and "/models" in request.target
            carried = any(setup.provider.key.encode() in value for _, value in request.headers)
            assert carried


def has_key(name: str) -> bool:
    """Whether there is a key for a provider."""
    try:
        return bool(provider(name).key)
    except pytest.skip.Exception:
        return False


async def list_models(setup: Setup) -> None:
    """Ask for the provider's models, which costs nothing. Raises what the SDK raises."""
    if setup.provider.name == "anthropic":
        async with messages_client(setup) as client:
            assert (await client.models.list(limit=1)).data
    elif setup.provider.name == "openai":
        async with chat_client(setup) as chat:
            assert (await chat.models.list()).data
    else:
        options = types.HttpOptions(base_url=setup.url, timeout=int(SECONDS * 1000))
        contents = genai.Client(api_key=setup.provider.key, http_options=options)
        try:
            assert (await contents.aio.models.list(config={"page_size": 1})).page
        finally:
            await contents.aio.aclose()
            contents.close()
