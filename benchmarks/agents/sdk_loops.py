"""Tool loops over the Python SDKs: sdk_loops.py DIALECT BASE_URL PROMPT.

Each loop offers one tool, `run_command`, runs it in the working directory, and
prints the model's last text.  A loop ends after at most `TURNS` model turns.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

TURNS = 12
SYSTEM = "You answer questions about the project in the working directory."
KEY = "dummy-key"
PARAMETERS = {
    "type": "object",
    "properties": {"command": {"type": "string", "description": "a shell command line"}},
    "required": ["command"],
}
ABOUT = "Run a shell command in the project directory and return what it prints."


def run_command(command: str) -> str:
    """Standard output and error of a shell command, 60 seconds at most."""
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def anthropic_loop(base_url: str, prompt: str) -> str:
    """Streaming messages; results as lists of one text block; no cache markers."""
    client = importlib.import_module("anthropic").Anthropic(base_url=base_url, api_key=KEY)
    tools = [{"name": "run_command", "description": ABOUT, "input_schema": PARAMETERS}]
    messages: list[dict[str, object]] = [{"role": "user", "content": prompt}]
    for _ in range(TURNS):
        with client.messages.stream(
            model="claude-sonnet-4-5",
            max_tokens=4096,
            system=SYSTEM,
            tools=tools,
            messages=messages,
        ) as stream:
            answer = stream.get_final_message()
        calls = [block for block in answer.content if block.type == "tool_use"]
        if not calls:
            return "".join(block.text for block in answer.content if block.type == "text")
        messages.append({"role": "assistant", "content": answer.content})
        messages.append({"role": "user", "content": [_anthropic_result(c) for c in calls]})
    return ""


def _anthropic_result(call: Any) -> dict[str, object]:
    command = str(call.input["command"])
    text = {"type": "text", "text": run_command(command)}
    return {"type": "tool_result", "tool_use_id": call.id, "content": [text]}


def openai_chat_loop(base_url: str, prompt: str) -> str:
    """Streaming chat completions with usage."""
    client = importlib.import_module("openai").OpenAI(base_url=base_url + "/v1", api_key=KEY)
    function = {"name": "run_command", "description": ABOUT, "parameters": PARAMETERS}
    messages: list[dict[str, object]] = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": prompt},
    ]
    for _ in range(TURNS):
        with client.chat.completions.stream(
            model="gpt-5.1",
            messages=messages,
            tools=[{"type": "function", "function": function}],
            stream_options={"include_usage": True},
        ) as stream:
            message = stream.get_final_completion().choices[0].message
        if not message.tool_calls:
            return str(message.content or "")
        messages.append(message.to_dict(exclude_none=True))
        for call in message.tool_calls:
            text = run_command(json.loads(call.function.arguments)["command"])
            messages.append({"role": "tool", "tool_call_id": call.id, "content": text})
    return ""


def openai_responses_loop(base_url: str, prompt: str) -> str:
    """Plain (not streamed) responses; the whole input is sent every turn."""
    client = importlib.import_module("openai").OpenAI(base_url=base_url + "/v1", api_key=KEY)
    tool = {
        "type": "function",
        "name": "run_command",
        "description": ABOUT,
        "parameters": PARAMETERS,
        "strict": False,
    }
    held: list[object] = [{"role": "user", "content": prompt}]
    for _ in range(TURNS):
        answer = client.responses.create(
            model="gpt-5.1",
            instructions=SYSTEM,
            input=held,
            tools=[tool],
            reasoning={"effort": "low"},
            include=["reasoning.encrypted_content"],
            store=False,
        )
        held.extend(item.to_dict() for item in answer.output)
        calls = [item for item in answer.output if item.type == "function_call"]
        if not calls:
            return str(answer.output_text)
        for call in calls:
            text = run_command(json.loads(call.arguments)["command"])
            held.append({"type": "function_call_output", "call_id": call.call_id, "output": text})
    return ""


def google_genai_loop(base_url: str, prompt: str) -> str:
    """Streaming generateContent; parts of a turn are sent back as received."""
    genai, types = _genai()
    client = genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=base_url))
    declared = types.FunctionDeclaration(name="run_command", description=ABOUT, parameters_json_schema=PARAMETERS)
    config = types.GenerateContentConfig(
        system_instruction=SYSTEM,
        tools=[types.Tool(function_declarations=[declared])],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    held = [types.Content(role="user", parts=[types.Part(text=prompt)])]
    for _ in range(TURNS):
        parts: list[Any] = []
        for chunk in client.models.generate_content_stream(
            model="gemini-2.5-pro",
            contents=held,
            config=config,
        ):
            content = chunk.candidates[0].content if chunk.candidates else None
            parts.extend((content.parts or []) if content else [])
        calls = [part.function_call for part in parts if part.function_call]
        if not calls:
            return "".join(part.text or "" for part in parts if not part.thought)
        results = [_genai_result(types, call) for call in calls]
        held += [
            types.Content(role="model", parts=parts),
            types.Content(role="user", parts=results),
        ]
    return ""


def _genai() -> tuple[Any, Any]:
    return importlib.import_module("google.genai"), importlib.import_module("google.genai.types")


def _genai_result(types: Any, call: Any) -> object:
    output = {"output": run_command(call.args["command"])}
    return types.Part.from_function_response(name=call.name, response=output)


LOOPS: dict[str, Callable[[str, str], str]] = {
    "anthropic": anthropic_loop,
    "openai-chat": openai_chat_loop,
    "openai-responses": openai_responses_loop,
    "google-genai": google_genai_loop,
}


def main() -> int:
    """Run one loop; exit code 0 when the model gave a last text."""
    dialect, base_url, prompt = sys.argv[1:4]
    text = LOOPS[dialect](base_url, prompt)
    print(text)
    return 0 if text else 1


if __name__ == "__main__":
    sys.exit(main())
