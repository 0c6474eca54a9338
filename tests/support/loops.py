"""Multi-turn tool loops as real clients send them: the exact request bodies, one after the other.

A `transcript` is what happened, invented from a seed and the given tool outputs, and the same for
every client. Each `*_loop` renders it as its client does on every turn, history included. Same
arguments, same bytes.

From eight turns and eight results on, every transcript holds: results in parallel that came back
in another order than they were called in, a later user prompt, a reminder behind that prompt, and
(once) a reminder directly behind the newest tool result. When the results run out, the user goes
on with prompts. An output that `is_error` comes back as an error.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Literal

from tests.support.outputs import Inventor, ToolOutput

Object = dict[str, object]
Lane = Literal["5m", "1h"]

DAY = "2031-02-03"


# --- what happened --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call and what it gave; `token` is the unique part of its id."""

    token: str
    output: ToolOutput


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A model's answer and what the client put behind it: tool results, or where there were no
    calls a prompt.
    """

    thinking: str
    signature: str
    say: str
    calls: tuple[Call, ...]
    returned: tuple[Call, ...]  # `calls` in order of completion
    prompt: str
    reminder: str  # "" for none


@dataclass(frozen=True, slots=True)
class Transcript:
    """A conversation: request n (from 1) holds the first prompt and the first n - 1 turns."""

    session: str
    prompt: str
    turns: tuple[Turn, ...]

    @property
    def tools(self) -> list[str]:
        """The names of the tools that were called, sorted."""
        return sorted({call.output.tool for turn in self.turns for call in turn.calls})


def transcript(seed: int, turns: int, results: Sequence[ToolOutput]) -> Transcript:
    """Invent the conversation of `turns` requests in which the tools give `results`, in that
    order.
    """
    invent = Inventor(f"transcript {seed}")
    left = list(results)
    session = invent.hexes(32)
    wish = f"Find out why the {invent.noun()} does not {invent.verb()}"
    prompt = f"{wish} — look in `{invent.path()}` first."
    made = []
    for at in range(turns - 1):
        amount = 0 if at % 5 == 3 else invent.choice([2, 3]) if at % 5 == 1 else 1
        made.append(_turn(invent, at, left[:amount]))
        del left[:amount]
    return Transcript(session, prompt, tuple(made))


def _turn(invent: Inventor, at: int, outputs: Sequence[ToolOutput]) -> Turn:
    calls = tuple(Call(invent.hexes(24), output) for output in outputs)
    reminded = at == 5 or at % 10 == 3
    return Turn(
        thinking=f"{invent.phrase()}. “{invent.phrase()}” \\ {invent.code().strip()}",
        signature=b64encode(invent.randbytes(192)).decode(),
        say=f"Let me {invent.verb()} the {invent.noun()}." if invent.random() < 0.7 or not calls else "",
        calls=calls,
        returned=calls[::-1] if at % 2 else calls,
        prompt=f"Now {invent.verb()} {invent.path()}, and {invent.phrase()}." if not calls else "",
        reminder=f"The task tools have not been used recently: {invent.phrase()}." if reminded else "",
    )


# --- what all bodies share ------------------------------------------------------------------------


def _dump(value: object) -> bytes:
    """Compact JSON in raw UTF-8, as JavaScript, Rust and the SDKs write it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _python_dump(value: object) -> bytes:
    """JSON as `json.dumps` writes it when nothing is said: spaces, and ASCII only."""
    return json.dumps(value).encode()


@cache
def _prose(name: str, size: int) -> str:
    """`size` characters of instructions, the same for the same name."""
    invent = Inventor(f"prose {name}")
    text = ""
    while len(text) < size:
        advice = invent.phrase(8, 18).capitalize()
        text += f"- {advice}; never {invent.verb()} `{invent.name()}` twice.\n"
    return text[:size]


def _schema(name: str) -> Object:
    about = {"type": "string", "description": f"What to {name.lower()}"}
    limit = {"type": "integer", "minimum": 1, "description": "Most lines to give back"}
    return {
        "type": "object",
        "properties": {"target": about, "limit": limit},
        "required": ["target"],
    }


def _toolbox(used: Sequence[str], amount: int, size: int) -> list[tuple[str, str]]:
    """Names and descriptions of `amount` tools with about `size` characters in all, the used ones
    among them.
    """
    usual = ["Bash", "Edit", "Glob", "Grep", "Read", "Task", "WebFetch", "Write"]
    names = sorted({*used, *usual} | {f"mcp__edge__tool_{at:02}" for at in range(amount)})
    spare = [name for name in names if name not in used][: max(0, amount - len(used))]
    return [(name, _prose(name, max(40, size // amount - 250))) for name in sorted([*used, *spare])]


def _anthropic_tools(story: Transcript, amount: int, size: int) -> list[Object]:
    return [
        {"name": name, "description": about, "input_schema": _schema(name)}
        for name, about in _toolbox(story.tools, amount, size)
    ]


def _function_tools(story: Transcript, amount: int, size: int) -> list[Object]:
    return [
        {"name": name, "description": about, "parameters": _schema(name)}
        for name, about in _toolbox(story.tools, amount, size)
    ]


def _text(text: str) -> Object:
    return {"type": "text", "text": text}


def _tool_use(call: Call) -> Object:
    return {
        "type": "tool_use",
        "id": f"toolu_01{call.token}",
        "name": call.output.tool,
        "input": call.output.tool_input,
    }


def _before(event: int | None, number: int) -> int:
    """How many turns are older than the newest one of request `event`, once that request has been
    reached.
    """
    return event - 2 if event is not None and number >= event else 0


def _last_block(message: Object) -> Object:
    content = message["content"]
    assert isinstance(content, list)
    block = content[-1]
    assert isinstance(block, dict)
    return block


# --- Claude Code ----------------------------------------------------------------------------------


def claude_code_loop(
    seed: int,
    turns: int,
    results: Sequence[ToolOutput],
    *,
    resumed_at: int | None = None,
    ttl: Lane = "5m",
    bulk: float = 1.0,
) -> Iterator[bytes]:
    """Yield the bodies of Claude Code, `POST /v1/messages`.

    Three markers on every turn: system[1], system[2] and the last block of the last user message,
    which moves. A prompt of one block is a list while it holds the marker and a string afterwards.
    From request number `resumed_at` on the client runs with `--continue`: system and tools change
    once, and tool results of before lead with their id. `bulk` scales tools, system prompt and
    agent list; 1.0 is the measured size (64.5, 6.5 and 6 KB).
    """
    story = transcript(seed, turns, results)
    marker: Object = {"type": "ephemeral"} if ttl == "5m" else {"type": "ephemeral", "ttl": ttl}
    for number in range(1, turns + 1):
        old = _before(resumed_at, number)
        resumed = resumed_at is not None and number >= resumed_at
        messages = _claude_messages(story, number, old, bulk)
        _mark_last_user_block(messages, marker)
        yield _dump(
            {
                "model": "claude-opus-4-8",
                "messages": [_settled(message) for message in messages],
                "system": _claude_system(resumed, marker, bulk),
                "tools": _anthropic_tools(story, 23 if resumed else 24, int(64_500 * bulk)),
                "metadata": {"user_id": _user_id(story.session)},
                "max_tokens": 32_000,
                "stream": True,
                "thinking": {"type": "adaptive"},
                "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
                "output_config": {"effort": "medium"},
            }
        )


def _claude_messages(story: Transcript, number: int, old: int, bulk: float) -> list[Object]:
    """All messages of request `number`, contents as lists; the results of the first `old` turns
    lead with their id.
    """
    first = [
        _text(f"<system-reminder>\n{_prose('context', 400)}</system-reminder>\n"),
        _text(story.prompt),
    ]
    whole = Random(story.session).random() < 0.5
    messages: list[Object] = [
        {"role": "user", "content": first if whole else first[1:]},
        {"role": "system", "content": _prose("agents", int(6_000 * bulk))},
    ]
    for at, turn in enumerate(story.turns[: number - 1]):
        messages.append({"role": "assistant", "content": _claude_answer(turn)})
        messages.append({"role": "user", "content": _claude_return(turn, id_first=at < old)})
        if turn.reminder:
            messages.append({"role": "system", "content": turn.reminder})
    return messages


def _claude_answer(turn: Turn) -> list[Object]:
    thinking: Object = {"type": "thinking", "thinking": turn.thinking, "signature": turn.signature}
    say = [_text(turn.say)] if turn.say else []
    return [thinking, *say, *map(_tool_use, turn.calls)]


def _claude_return(turn: Turn, *, id_first: bool) -> list[Object]:
    if not turn.calls:
        return [_text(turn.prompt)]
    return [_claude_result(call, id_first=id_first) for call in turn.returned]


def _claude_result(call: Call, *, id_first: bool) -> Object:
    named: Object = {"tool_use_id": f"toolu_01{call.token}"}
    kind: Object = {"type": "tool_result"}
    head = named | kind if id_first else kind | named
    state: Object = {} if call.output.tool == "Read" else {"is_error": call.output.is_error}
    return head | {"content": call.output.text} | state


def _mark_last_user_block(messages: Sequence[Object], marker: Object) -> None:
    user = next(message for message in reversed(messages) if message["role"] == "user")
    _last_block(user)["cache_control"] = marker


def _settled(message: Object) -> Object:
    """A user prompt of one unmarked block as the plain string that the client sends then."""
    content = message["content"]
    if (
        message["role"] == "user"
        and isinstance(content, list)
        and [*content[0]] == ["type", "text"]
        and len(content) == 1
    ):
        return {"role": "user", "content": content[0]["text"]}
    return message


def _claude_system(resumed: bool, marker: Object, bulk: float) -> list[Object]:
    named = "Opus 4.8" if resumed else "Opus 4.8 (1M context) [1m]"
    return [
        _text("x-anthropic-billing-header: cc_version=2.1.197; cc_entrypoint=cli;"),
        _text("You are Claude Code, Anthropic's official CLI for Claude.") | {"cache_control": marker},
        _text(f"{_prose('system', int(6_300 * bulk))}\nYou are powered by {named}.") | {"cache_control": marker},
    ]


def _user_id(session: str) -> str:
    parts = {"device_id": session[::-1], "account_uuid": "", "session_id": session}
    return json.dumps(parts, separators=(",", ":"))


# --- Anthropic SDK and opencode -------------------------------------------------------------------


def sdk_loop(
    seed: int,
    turns: int,
    results: Sequence[ToolOutput],
    *,
    content: Literal["string", "blocks"] = "string",
    marker: Literal["none", "last", "nested"] = "none",
    python_json: bool = False,
    bulk: float = 1.0,
) -> Iterator[bytes]:
    """Yield the bodies of a program with its own loop over the Anthropic SDK.

    `content` is the form of tool results. `marker`: none, one that moves with the last block, or
    the same one inside `tool_result.content[]` where there is such a list. `python_json` writes as
    `json.dumps` does by default.
    """
    story = transcript(seed, turns, results)
    for number in range(1, turns + 1):
        messages: list[Object] = [{"role": "user", "content": [_text(story.prompt)]}]
        for turn in story.turns[: number - 1]:
            messages.append(
                {
                    "role": "assistant",
                    "content": [_text(turn.say or "Yes."), *map(_tool_use, turn.calls)],
                }
            )
            messages.append({"role": "user", "content": _sdk_return(turn, content)})
        if marker != "none":
            _place_marker(_last_block(messages[-1]), nested=marker == "nested")
        body: Object = {
            "max_tokens": 4_096,
            "messages": messages,
            "model": "claude-sonnet-4-6",
            "system": _prose("sdk system", int(1_500 * bulk)),
            "tools": _anthropic_tools(story, 4 + len(story.tools), int(3_000 * bulk)),
        }
        yield (_python_dump if python_json else _dump)(body)


def _sdk_return(turn: Turn, content: str) -> list[Object]:
    if not turn.calls:
        return [_text(turn.prompt)]
    return [
        {
            "type": "tool_result",
            "tool_use_id": f"toolu_01{call.token}",
            "content": call.output.text if content == "string" else [_text(call.output.text)],
        }
        for call in turn.returned
    ]


def _place_marker(block: Object, *, nested: bool) -> None:
    inner = block.get("content")
    holder = inner[-1] if nested and isinstance(inner, list) else block
    holder["cache_control"] = {"type": "ephemeral"}


def opencode_loop(seed: int, turns: int, results: Sequence[ToolOutput], *, bulk: float = 1.0) -> Iterator[bytes]:
    """Yield the bodies of opencode with an Anthropic provider: markers at system[0] and on the
    last two messages.
    """
    story = transcript(seed, turns, results)
    marker: Object = {"type": "ephemeral"}
    for number in range(1, turns + 1):
        messages: list[Object] = [{"role": "user", "content": [_text(story.prompt)]}]
        for turn in story.turns[: number - 1]:
            say = [_text(turn.say)] if turn.say else []
            messages.append({"role": "assistant", "content": [*say, *map(_tool_use, turn.calls)]})
            messages.append({"role": "user", "content": _sdk_return(turn, "string")})
        for message in messages[-2:]:
            _last_block(message)["cache_control"] = marker
        yield _dump(
            {
                "model": "claude-sonnet-4-6",
                "max_tokens": 32_000,
                "system": [_text(_prose("opencode", int(9_500 * bulk))) | {"cache_control": marker}],
                "messages": messages,
                "tools": _anthropic_tools(story, 11, int(21_000 * bulk)),
                "tool_choice": {"type": "auto"},
                "stream": True,
            }
        )


# --- Codex ----------------------------------------------------------------------------------------


def codex_loop(
    seed: int,
    turns: int,
    results: Sequence[ToolOutput],
    *,
    keep: int = 10_200,
    bulk: float = 1.0,
) -> Iterator[bytes]:
    """Yield the bodies of Codex over HTTP, `POST /v1/responses`: append-only items, no markers.

    Outputs have the client's header and are cut by it to about `keep` characters (0: never). The
    key order of `client_metadata` changes from request to request.
    """
    story = transcript(seed, turns, results)
    shuffle = Random(f"metadata {seed}")
    items: list[Object] = [
        _message("developer", _prose("codex", int(17_000 * bulk))),
        _message("user", f"<environment_context>\n<date>{DAY}</date>\n</environment_context>"),
        _message("user", story.prompt),
    ]
    tools = [{"type": "function", **tool, "strict": False} for tool in _function_tools(story, 8, int(17_800 * bulk))]
    for number in range(1, turns + 1):
        if number > 1:
            items += _codex_items(story.turns[number - 2], keep)
        yield _dump(
            {
                "model": "gpt-5.5-codex",
                "instructions": "",
                "input": items,
                "tools": tools,
                "tool_choice": "auto",
                "parallel_tool_calls": True,
                "reasoning": {"effort": "medium", "summary": "auto"},
                "store": False,
                "stream": True,
                "include": ["reasoning.encrypted_content"],
                "prompt_cache_key": story.session,
                "client_metadata": _codex_metadata(shuffle, story, number),
            }
        )


def _codex_metadata(shuffle: Random, story: Transcript, number: int) -> Object:
    pairs = [
        ("session_id", story.session),
        ("turn", str(number)),
        ("originator", "codex_exec"),
        ("sandbox", "none"),
    ]
    return dict(shuffle.sample(pairs, len(pairs)))


def _message(role: str, text: str) -> Object:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


def _codex_items(turn: Turn, keep: int) -> list[Object]:
    items: list[Object] = [{"type": "reasoning", "summary": [], "content": None, "encrypted_content": turn.signature}]
    if turn.say:
        items.append(_message("assistant", turn.say))
    for call in turn.calls:
        given = json.dumps({"cmd": call.output.command, "max_output_tokens": 50_000}, ensure_ascii=False)
        items.append(
            {
                "type": "function_call",
                "name": "exec_command",
                "arguments": given,
                "call_id": f"call_{call.token}",
            }
        )
    for call in turn.returned:
        shown = codex_output(call.output, call.token, keep)
        items.append({"type": "function_call_output", "call_id": f"call_{call.token}", "output": shown})
    if turn.prompt:
        items.append(_message("user", turn.prompt))
    return items


def codex_output(output: ToolOutput, token: str, keep: int = 10_200) -> str:
    """A command's output as Codex wraps it, its middle cut out where it has more than `keep`
    characters.
    """
    text = output.text
    if keep and len(text) > keep:
        cut = len(text) - keep
        head, tail = text[: keep // 2], text[keep // 2 + cut :]
        lines = text.count("\n")
        text = f"Total output lines: {lines}\n\n{head}…{cut // 4} tokens truncated…{tail}"
    return (
        f"Chunk ID: {token[:6]}\n"
        f"Wall time: 0.{int(token[:4], 16) % 9000 + 1000} seconds\n"
        f"Process exited with code {int(output.is_error)}\n"
        f"Original token count: {-(-len(output.text) // 4)}\n"
        f"Output:\n{text}"
    )


# --- OpenAI chat and Gemini -----------------------------------------------------------------------


def chat_loop(
    seed: int,
    turns: int,
    results: Sequence[ToolOutput],
    *,
    content: Literal["string", "parts"] = "string",
    python_json: bool = False,
    bulk: float = 1.0,
) -> Iterator[bytes]:
    """Yield the bodies of a program with its own loop over OpenAI's chat completions; `content` as
    in `sdk_loop`.
    """
    story = transcript(seed, turns, results)
    tools = [{"type": "function", "function": tool} for tool in _function_tools(story, 10, int(21_000 * bulk))]
    messages: list[Object] = [
        {"role": "system", "content": _prose("chat", int(9_500 * bulk))},
        {"role": "user", "content": story.prompt},
    ]
    for number in range(1, turns + 1):
        if number > 1:
            messages += _chat_messages(story.turns[number - 2], content)
        body: Object = {
            "messages": messages,
            "model": "gpt-5.5",
            "stream": True,
            "stream_options": {"include_usage": True},
            "tools": tools,
        }
        yield (_python_dump if python_json else _dump)(body)


def _chat_messages(turn: Turn, content: str) -> list[Object]:
    calls = [
        {
            "id": f"call_{call.token}",
            "type": "function",
            "function": {"name": call.output.tool, "arguments": json.dumps(call.output.tool_input)},
        }
        for call in turn.calls
    ]
    answer: Object = {"role": "assistant", "content": turn.say or None}
    if not calls:
        return [answer, {"role": "user", "content": turn.prompt}]
    results: list[Object] = [
        {
            "role": "tool",
            "tool_call_id": f"call_{call.token}",
            "content": call.output.text if content == "string" else [_text(call.output.text)],
        }
        for call in turn.returned
    ]
    return [answer | {"tool_calls": calls}, *results]


def gemini_loop(
    seed: int,
    turns: int,
    results: Sequence[ToolOutput],
    *,
    ids: bool = True,
    wrapped: bool = True,
    masked_at: int | None = None,
    doubled_at: int | None = None,
    bulk: float = 1.0,
) -> Iterator[bytes]:
    """Yield the bodies of gemini-cli, `:streamGenerateContent`.

    `ids`: whether calls and responses carry one. `wrapped`: outputs stand in
    `<untrusted_context>`. From request number `masked_at` on the client itself has replaced all
    results of before by a short mask; from `doubled_at` on, where it was resumed, it sends each
    response part of before twice.
    """
    story = transcript(seed, turns, results)
    prefix: Object = {
        "role": "user",
        "parts": [{"text": f"This is the Gemini CLI. Today's date is {DAY}.\n{_prose('cwd', 900)}"}],
    }
    for number in range(1, turns + 1):
        masked, doubled = _before(masked_at, number), _before(doubled_at, number)
        contents: list[Object] = [prefix, {"role": "user", "parts": [{"text": story.prompt}]}]
        for at, turn in enumerate(story.turns[: number - 1]):
            dress = _mask if at < masked else _wrap if wrapped else _same
            contents += _gemini_contents(turn, ids, dress, 2 if at < doubled else 1)
        yield _dump(
            {
                "contents": contents,
                "systemInstruction": {
                    "role": "user",
                    "parts": [{"text": _prose("gemini", int(32_000 * bulk))}],
                },
                "tools": [{"functionDeclarations": _function_tools(story, 12, int(15_000 * bulk))}],
                "generationConfig": {
                    "temperature": 1,
                    "topP": 0.95,
                    "thinkingConfig": {"includeThoughts": True},
                },
            }
        )


def _same(text: str) -> str:
    return text


def _wrap(text: str) -> str:
    return f"<untrusted_context>\n{text}\n</untrusted_context>"


def _mask(text: str) -> str:
    told = f"{text[:500]}\n[{len(text)} characters saved to a file]"
    return f"<tool_output_masked>\n{told}\n</tool_output_masked>"


def _gemini_contents(turn: Turn, ids: bool, dress: Callable[[str], str], times: int) -> list[Object]:
    def named(call: Call) -> Object:
        return {"id": f"{call.output.tool}-{call.token}"} if ids else {}

    def used(call: Call) -> Object:
        given: Object = named(call) | {"name": call.output.tool, "args": call.output.tool_input}
        return {"functionCall": given, "thoughtSignature": turn.signature}

    def gave(call: Call) -> Object:
        key = "error" if call.output.is_error else "output"
        return {
            "functionResponse": named(call) | {"name": call.output.tool, "response": {key: dress(call.output.text)}}
        }

    said: list[Object] = [{"text": turn.say}] if turn.say else []
    return [
        {"role": "model", "parts": [*said, *map(used, turn.calls)]},
        {
            "role": "user",
            "parts": [gave(call) for call in turn.returned for _ in range(times)]
            if turn.calls
            else [{"text": turn.prompt}],
        },
    ]


LOOPS: Mapping[str, Callable[[int, int, Sequence[ToolOutput]], Iterator[bytes]]] = {
    "claude_code": claude_code_loop,
    "sdk": sdk_loop,
    "opencode": opencode_loop,
    "codex": codex_loop,
    "chat": chat_loop,
    "gemini": gemini_loop,
}
