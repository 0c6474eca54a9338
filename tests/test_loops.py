"""The loops are shaped like the clients they stand for, on every turn."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import groupby, pairwise
from typing import Any

import pytest

from tests.support.loops import (
    LOOPS,
    chat_loop,
    claude_code_loop,
    codex_loop,
    codex_output,
    gemini_loop,
    opencode_loop,
    sdk_loop,
)
from tests.support.outputs import invented, mixed
from tests.support.request_shape import blocks, dialect_of, parse, result_texts

RESULTS = mixed(11, 14, 400, 3_000)
DIALECTS = {
    "claude_code": "anthropic",
    "sdk": "anthropic",
    "opencode": "anthropic",
    "codex": "responses",
    "chat": "chat",
    "gemini": "gemini",
}


def loads(bodies: Iterator[bytes]) -> list[Any]:
    """The bodies of a loop as values."""
    return [json.loads(body) for body in bodies]


def marked(value: Any, path: str = "") -> list[str]:
    """The paths of all cache markers."""
    if isinstance(value, list):
        return [found for at, item in enumerate(value) for found in marked(item, f"{path}[{at}]")]
    if isinstance(value, dict):
        own = [path] if "cache_control" in value else []
        return own + [found for key, item in value.items() for found in marked(item, f"{path}.{key}")]
    return []


@pytest.mark.parametrize("client", LOOPS)
def test_the_same_seed_gives_the_same_bytes(client: str) -> None:
    first, second = (list(LOOPS[client](3, 9, RESULTS)) for _ in range(2))
    assert first == second
    assert len(first) == 9
    assert first != list(LOOPS[client](4, 9, RESULTS))


@pytest.mark.parametrize("client", LOOPS)
def test_the_dialect_is_told_from_the_body(client: str) -> None:
    assert {dialect_of(parse(body)) for body in LOOPS[client](3, 9, RESULTS)} == {DIALECTS[client]}


@pytest.mark.parametrize("client", LOOPS)
@pytest.mark.parametrize("seed", range(4))
def test_to_the_provider_each_request_begins_with_the_one_before(client: str, seed: int) -> None:
    requests = [parse(body) for body in LOOPS[client](seed, 12, RESULTS)]
    prompts = [[block.text for block in blocks(dialect_of(request), request)] for request in requests]
    for before, after in pairwise(prompts):
        assert after[: len(before)] == before
        assert len(after) > len(before)


@pytest.mark.parametrize("client", LOOPS)
def test_every_result_is_sent_and_then_resent_on_every_turn(client: str) -> None:
    bodies = [parse(body) for body in LOOPS[client](3, 30, RESULTS)]
    counts = [len(result_texts(dialect_of(body), body)) for body in bodies]
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert counts[-1] == len(RESULTS)


@pytest.mark.parametrize("client", LOOPS)
def test_bodies_are_compact_raw_utf8(client: str) -> None:
    body = [*LOOPS[client](3, 6, RESULTS)][-1]
    assert body == json.dumps(json.loads(body), ensure_ascii=False, separators=(",", ":")).encode()
    assert "—".encode() in body


@pytest.mark.parametrize("loop", [sdk_loop, chat_loop])
def test_a_home_made_client_may_write_json_as_python_does(loop: Any) -> None:
    body = [*loop(3, 6, RESULTS, python_json=True)][-1]
    assert body.isascii()
    assert json.loads(body) == json.loads([*loop(3, 6, RESULTS)][-1])


def test_claude_code_marks_two_system_blocks_and_the_last_block_of_the_last_user_message() -> None:
    for body in loads(claude_code_loop(3, 12, RESULTS)):
        users = [at for at, message in enumerate(body["messages"]) if message["role"] == "user"]
        last = len(body["messages"][users[-1]]["content"]) - 1
        assert marked(body) == [
            f".messages[{users[-1]}].content[{last}]",
            ".system[1]",
            ".system[2]",
        ]


def test_claude_code_writes_messages_before_system_and_tools() -> None:
    body = next(claude_code_loop(3, 1, RESULTS))
    keys = ["model", "messages", "system", "tools", "metadata", "max_tokens", "stream"]
    assert [*json.loads(body)][:7] == keys
    assert "session_id" in json.loads(json.loads(body)["metadata"]["user_id"])


def test_claude_code_sends_a_prompt_as_a_list_while_it_is_marked_and_as_a_string_later() -> None:
    bodies = loads(claude_code_loop(3, 8, RESULTS))
    at = len(bodies[4]["messages"]) - 2  # the prompt of turn 5; a reminder stands behind it
    (block,) = bodies[4]["messages"][at]["content"]
    assert [*block] == ["type", "text", "cache_control"]
    assert bodies[5]["messages"][at]["content"] == block["text"]


def test_claude_codes_first_prompt_is_of_one_block_in_some_sessions_and_of_two_in_others() -> None:
    firsts = [loads(claude_code_loop(seed, 2, RESULTS))[1]["messages"][0]["content"] for seed in range(12)]
    assert {type(content) for content in firsts} == {str, list}


def test_claude_code_has_system_entries_among_its_messages() -> None:
    body = loads(claude_code_loop(3, 12, RESULTS))[-1]
    at = [at for at, message in enumerate(body["messages"]) if message["role"] == "system"]
    assert at[0] == 1
    before = [body["messages"][index - 1]["content"] for index in at[1:]]
    kinds = [content if isinstance(content, str) else content[-1]["type"] for content in before]
    assert "tool_result" in kinds
    assert any(kind.startswith("Now ") for kind in kinds)


def test_claude_codes_newest_message_is_once_a_reminder_behind_a_tool_result() -> None:
    ends = [body["messages"][-2:] for body in loads(claude_code_loop(3, 8, RESULTS))[1:]]
    behind = [one for one, last in ends if last["role"] == "system" and isinstance(one["content"], list)]
    assert [one["content"][-1]["type"] for one in behind] == ["text", "tool_result"]


def test_parallel_results_come_back_in_another_order_than_they_were_called_in() -> None:
    messages = loads(claude_code_loop(3, 8, RESULTS))[-1]["messages"]
    pairs = []
    for call, back in pairwise(messages):
        called = [
            block["id"] for block in call["content"] if call["role"] == "assistant" and block["type"] == "tool_use"
        ]
        if len(called) > 1:
            pairs.append((called, [block["tool_use_id"] for block in back["content"]]))
    assert all(sorted(called) == sorted(returned) for called, returned in pairs)
    assert any(called != returned for called, returned in pairs)
    assert any(called == returned for called, returned in pairs)


def test_claude_codes_results_are_strings_and_reads_do_not_say_whether_they_failed() -> None:
    results = claude_results(loads(claude_code_loop(3, 30, RESULTS))[-1])
    shapes = {tuple(key for key in block if key != "cache_control") for block in results}
    assert shapes == {
        ("type", "tool_use_id", "content"),
        ("type", "tool_use_id", "content", "is_error"),
    }
    assert all(isinstance(block["content"], str) for block in results)
    assert any(block.get("is_error") for block in results)


def test_a_resumed_claude_code_leads_old_results_with_their_id() -> None:
    bodies = loads(claude_code_loop(3, 12, RESULTS, resumed_at=7))
    old, new = (len(claude_results(bodies[at])) for at in (5, 11))
    orders = [next(iter(block)) for block in claude_results(bodies[11])]
    assert orders == ["tool_use_id"] * old + ["type"] * (new - old)
    assert bodies[5]["system"] == bodies[4]["system"] != bodies[6]["system"]
    assert bodies[5]["tools"] != bodies[6]["tools"] == bodies[7]["tools"]


def claude_results(body: Any) -> list[Any]:
    """All tool results of a request."""
    lists = [message["content"] for message in body["messages"] if isinstance(message["content"], list)]
    return [block for content in lists for block in content if block["type"] == "tool_result"]


def test_claude_codes_moving_marker_makes_early_bodies_differ_early() -> None:
    bodies = [*claude_code_loop(2, 5, [invented("read", at, 20_000) for at in range(9)])]
    shared = [common(one, other) / len(one) for one, other in pairwise(bodies)]
    assert shared[0] < 0.05
    assert shared[-1] < 0.7


def common(one: bytes, other: bytes) -> int:
    """How many bytes two bodies have in common at their beginning."""
    return next(at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)


def test_opencode_marks_its_system_prompt_and_the_last_two_messages() -> None:
    bodies = loads(opencode_loop(3, 6, RESULTS))
    assert [len(marked(body)) for body in bodies] == [2, 3, 3, 3, 3, 3]
    end = len(bodies[5]["messages"])
    assert {path.split(".content")[0] for path in marked(bodies[5])} == {
        ".system[0]",
        f".messages[{end - 2}]",
        f".messages[{end - 1}]",
    }


@pytest.mark.parametrize(("marker", "paths"), [("none", 0), ("last", 1), ("nested", 1)])
def test_an_sdk_program_has_no_marker_or_one(marker: Any, paths: int) -> None:
    for body in loads(sdk_loop(3, 6, RESULTS, content="blocks", marker=marker)):
        assert len(marked(body)) == paths
    if marker == "nested":
        assert re.fullmatch(r"\.messages\[\d+\]\.content\[\d\]\.content\[0\]", marked(body)[0])


def test_codex_wraps_and_cuts_its_outputs() -> None:
    long = invented("service_log", 1, 30_000)
    shown = codex_output(long, "abcdef0123456789")
    assert re.match(r"Chunk ID: \w{6}\nWall time: 0\.\d{4} seconds\nProcess exited with code 0\n", shown)
    assert 10_000 < len(shown) < 10_600
    assert "tokens truncated…" in shown
    assert codex_output(long, "abcdef0123456789", 0).endswith(f"Output:\n{long.text}")


def test_codex_only_appends_but_shuffles_its_metadata() -> None:
    bodies = loads(codex_loop(3, 10, RESULTS))
    for before, after in pairwise(bodies):
        assert after["input"][: len(before["input"])] == before["input"]
    assert len({tuple(body["client_metadata"]) for body in bodies}) > 1
    assert len({body["prompt_cache_key"] for body in bodies}) == 1


def test_chat_answers_each_call_by_its_id() -> None:
    messages = loads(chat_loop(3, 8, RESULTS))[-1]["messages"]
    called = [call["id"] for message in messages for call in message.get("tool_calls", [])]
    returned = [message["tool_call_id"] for message in messages if message["role"] == "tool"]
    assert sorted(called) == sorted(returned)
    runs = [len([*run]) for role, run in groupby(message["role"] for message in messages) if role == "tool"]
    assert max(runs) > 1


def test_gemini_may_go_without_ids_and_without_a_wrapper() -> None:
    wrapped = json.dumps(loads(gemini_loop(3, 4, RESULTS))[-1])
    plain = json.dumps(loads(gemini_loop(3, 4, RESULTS, ids=False, wrapped=False))[-1])
    assert "<untrusted_context>" in wrapped
    assert "<untrusted_context>" not in plain
    assert '"functionCall": {"id"' in wrapped
    assert '"functionCall": {"name"' in plain


def test_gemini_masks_and_doubles_its_own_history() -> None:
    masked = gemini_texts(gemini_loop(3, 8, RESULTS, masked_at=6))
    assert not any(text.startswith("<tool_output_masked>") for text in masked[4])
    assert [text.startswith("<tool_output_masked>") for text in masked[5]] == [True] * len(masked[4]) + [False]
    doubled = gemini_texts(gemini_loop(3, 8, RESULTS, doubled_at=6))
    assert len(doubled[5]) == 2 * len(doubled[4]) + 1


def gemini_texts(bodies: Iterator[bytes]) -> list[list[str]]:
    """The tool result texts of each request."""
    return [[found.text for found in result_texts("gemini", parse(body))] for body in bodies]
