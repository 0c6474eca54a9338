"""Bodies of every dialect and publisher: results are pressed in place, pairs of calls and results stay."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from headroom.edge import Edge
from tests.support.captured import captured, clients
from tests.support.embedded import edge_to
from tests.support.outputs import invented
from tests.support.raw_client import connect
from tests.test_bytes import (
    RESULT,
    assert_not_ours,
    assert_reads_back,
    is_rewritten,
    messages,
    origin,
    post,
    records,
    spelled,
)

VERTEX = b"/v1/projects/p/locations/europe-west1/publishers"
BEARER = b"Authorization: Bearer ya29.token"
SIGNED = b"Authorization: AWS4-HMAC-SHA256 Credential=AKIA/20310203/eu-west-1/bedrock/aws4_request, Signature=ab"


def everywhere(url: str, **settings: object) -> Edge:
    """A proxy whose every origin is `url`."""
    more = {f"{name}_api_url": url for name in ("cloudcode", "vertex", "bedrock")}
    return edge_to(url, **{**more, **settings})


def dump(value: object) -> bytes:
    """Compact JSON in raw UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def contents(part: object) -> list[object]:
    """A Gemini conversation whose newest content has one response."""
    call = {"functionCall": {"id": "c1", "name": "list_items", "args": {"q": 1}}, "thoughtSignature": "c2ln"}
    return [
        {"role": "user", "parts": [{"text": "Look."}]},
        {"role": "model", "parts": [call]},
        {"role": "user", "parts": [part]},
    ]


def response(value: object, *, key: str = "functionResponse", **more: object) -> dict[str, object]:
    """One response part."""
    return {key: {**more, "name": "list_items", "response": value}}


# --- origins --------------------------------------------------------------------------------------

GEMINI = dump({"contents": contents(response({"output": RESULT}, id="c1"))})
CLOUDCODE = dump({"model": "m", "project": "p", "request": {"contents": contents(response({"output": RESULT}))}})
REWRITTEN: Mapping[str, tuple[bytes, bytes]] = {
    "cloud code": (b"/v1internal:streamGenerateContent?alt=sse", CLOUDCODE),
    "cloud code, whole": (b"/v1internal:generateContent", CLOUDCODE),
    "bedrock": (b"/model/anthropic.claude-sonnet-4-5-v1%3A0/invoke", messages(RESULT)),
    "bedrock, stream": (b"/model/anthropic.claude/invoke-with-response-stream", messages(RESULT)),
    "vertex, anthropic": (VERTEX + b"/anthropic/models/claude-sonnet-4-5@20250929:rawPredict", messages(RESULT)),
    "vertex, anthropic, stream": (VERTEX + b"/anthropic/models/claude-sonnet:streamRawPredict", messages(RESULT)),
    "vertex, google": (VERTEX + b"/google/models/gemini-2.5-pro:generateContent", GEMINI),
    "vertex, google, stream": (VERTEX + b"/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse", GEMINI),
}


@pytest.mark.parametrize("name", REWRITTEN)
async def test_results_on_the_way_to_every_publisher_are_pressed_in_place(name: str) -> None:
    target, body = REWRITTEN[name]
    async with origin() as behind, everywhere(behind.url) as proxy, await connect(proxy.port) as client:
        answer = await post(client, body, BEARER, target=target)
        assert answer.value(b"x-headroom-fault") is None
        assert behind.requests[-1].target == target.decode()
        assert assert_reads_back(body, behind.requests[-1].body) == 1


@pytest.mark.parametrize("name", ["bedrock", "bedrock, stream"])
async def test_a_body_that_its_credential_signs_is_never_changed(name: str) -> None:
    target, body = REWRITTEN[name]
    async with origin() as behind, everywhere(behind.url) as proxy, await connect(proxy.port) as client:
        answer = await post(client, body, SIGNED, target=target)
        assert behind.requests[-1].body == body
        assert behind.requests[-1].request.values("authorization") == [SIGNED.partition(b": ")[2]]
        assert answer.value(b"x-headroom-tokens-saved") is None


# --- items of the Responses API -------------------------------------------------------------------


def items(*fresh: object) -> bytes:
    """A body whose newest items are `fresh`."""
    call = {"type": "function_call", "call_id": "call_1", "name": "sh", "arguments": "{}"}
    said = {"type": "message", "role": "assistant", "phase": "commentary", "content": []}
    typed = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Look."}]}
    return dump({"model": "m", "input": [typed, said, call, *fresh], "stream": True, "phase": "final"})


OUTPUTS = ["function_call_output", "custom_tool_call_output", "local_shell_call_output", "apply_patch_call_output"]


@pytest.mark.parametrize("kind", OUTPUTS)
@pytest.mark.parametrize("parts", [False, True])
async def test_every_kind_of_output_is_pressed(kind: str, parts: bool) -> None:
    output = [{"type": "input_text", "text": RESULT}] if parts else RESULT
    body = items({"type": kind, "call_id": "call_1", "output": output})
    async with origin() as behind, everywhere(behind.url) as proxy, await connect(proxy.port) as client:
        assert_not_ours(await post(client, body, target=b"/v1/responses"))
        assert assert_reads_back(body, behind.requests[-1].body) == 1
        assert b'"phase":"commentary"' in behind.requests[-1].body


async def test_items_of_unknown_types_pass_and_are_told_once(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    odd = [{"type": "hologram", "data": [1, 2.0]}, {"type": "hologram"}, {"type": "séance", "output": RESULT}]
    async with (
        origin() as behind,
        everywhere(behind.url, log_level="info", log_file=log) as proxy,
        await connect(proxy.port) as client,
    ):
        for at in range(3):
            output = {"type": "function_call_output", "call_id": f"call_{at}", "output": records(40 + at)}
            body = items(*odd, output)
            assert_not_ours(await post(client, body, target=b"/v1/responses"))
            assert assert_reads_back(body, behind.requests[-1].body) == 1
    told = [row for row in map(json.loads, log.read_text().split("\n")[:-1]) if row["event"] == "unknown_item"]
    assert [row["types"] for row in told] == [["hologram", "séance"]]


async def test_an_input_that_is_a_string_passes_without_a_fault() -> None:
    body = dump({"model": "m", "input": RESULT, "previous_response_id": "resp_1"})
    async with origin() as behind, everywhere(behind.url) as proxy, await connect(proxy.port) as client:
        answer = await post(client, body, target=b"/v1/responses")
        assert_not_ours(answer)
        assert answer.value(b"x-headroom-note") is None
        assert behind.requests[-1].body == body


# --- responses of Gemini --------------------------------------------------------------------------

LEAVES: Mapping[str, tuple[dict[str, object], int]] = {
    "output": (response({"output": RESULT}, id="c1"), 1),
    "without an id": (response({"output": RESULT}), 1),
    "snake case": (response({"output": RESULT}, key="function_response"), 1),
    "nested": (response({"result": {"items": [{"text": RESULT}, {"text": records(50)}]}, "ok": True}), 2),
    "beside numbers and nulls": (response({"exit": 0, "stderr": "", "stdout": RESULT, "more": None}), 1),
}


@pytest.mark.parametrize("name", LEAVES)
async def test_leaves_of_a_response_are_pressed_where_they_are(name: str) -> None:
    part, count = LEAVES[name]
    body = dump({"contents": contents(part)})
    target = b"/v1beta/models/gemini-2.5-pro:generateContent"
    async with origin() as behind, everywhere(behind.url) as proxy, await connect(proxy.port) as client:
        assert_not_ours(await post(client, body, target=target))
        assert assert_reads_back(body, behind.requests[-1].body) == count


async def test_a_response_that_is_an_error_is_kept() -> None:
    failure = invented("failure", 1, 4_000).text
    body = dump({"contents": contents(response({"error": failure}))})
    target = b"/v1beta/models/gemini-2.5-pro:generateContent"
    async with origin() as behind, everywhere(behind.url) as proxy, await connect(proxy.port) as client:
        assert_not_ours(await post(client, body, target=target))
        assert behind.requests[-1].body == body


# --- pairs ----------------------------------------------------------------------------------------

IDS = ("id", "call_id", "tool_call_id", "tool_use_id", "name")  # some of Gemini's have a name alone


def pairs(body: bytes) -> Counter[tuple[str, str, str]]:
    """Every id of a call or a result, with its key and the type or name beside it."""
    found: Counter[tuple[str, str, str]] = Counter()
    todo: list[object] = [json.loads(body)]
    while todo:
        value = todo.pop()
        if isinstance(value, list):
            todo += value
        elif isinstance(value, dict):
            named = str(value.get("type") or value.get("name") or value.get("role"))
            found.update((key, str(value[key]), named) for key in IDS if isinstance(value.get(key), str))
            todo += value.values()
    return found


@pytest.mark.parametrize("client", clients())
async def test_calls_and_results_of_recorded_sessions_stay_paired(client: str) -> None:
    seen = 0
    floors = {f"{name}_floor": 0 for name in ("json", "search", "log", "diff", "source", "text")}
    async with origin() as behind, everywhere(behind.url, **floors) as proxy, await connect(proxy.port) as near:
        for request in captured(client):
            if not is_rewritten(request) or request.value("content-encoding"):
                continue
            await post(near, request.body, target=request.target.encode())
            assert pairs(behind.requests[-1].body) == pairs(request.body)
            seen += sum(pairs(request.body).values())
    assert seen


# --- who watches only, and what is told -----------------------------------------------------------


def rows(log: Path) -> list[dict[str, object]]:
    """What was logged of finished requests."""
    return [row for row in map(json.loads, log.read_text().split("\n")[:-1]) if row["event"] == "request"]


def slots(row: dict[str, object]) -> list[dict[str, Any]]:
    """What was logged of a request's new results."""
    found = row.get("slots", [])
    assert isinstance(found, list)
    return found


async def test_an_observer_changes_nothing_keeps_nothing_and_says_what_it_would_have_done(tmp_path: Path) -> None:
    body, log = messages(RESULT), tmp_path / "log.jsonl"
    told: dict[str, tuple[bytes | None, ...]] = {}
    for mode in ("live_zone", "observe"):
        settings = {"compression_mode": mode, "log_level": "info", "log_file": log, "store": tmp_path / f"{mode}.db"}
        async with origin() as behind, everywhere(behind.url, **settings) as proxy:
            async with await connect(proxy.port) as client:
                answer = await post(client, body)
            fields = (b"x-headroom-tokens-before", b"x-headroom-tokens-after", b"x-headroom-transforms")
            told[mode] = tuple(answer.value(field) for field in fields)
            assert (answer.value(b"x-headroom-observed") == b"true") is (mode == "observe")
            assert (behind.requests[-1].body == body) is (mode == "observe")
    assert told["observe"] == told["live_zone"]
    did, would = rows(log)
    assert (did.get("observed"), would.get("observed")) == (None, True)
    assert (did["tokens_before"], did["tokens_after"]) == (would["tokens_before"], would["tokens_after"])
    (first,), (second,) = slots(did), slots(would)
    assert {**first, "ms": 0} == {**second, "ms": 0}
    async with origin() as behind, everywhere(behind.url, store=tmp_path / "observe.db") as proxy:
        async with await connect(proxy.port) as client:
            answer = await post(client, body)
        assert assert_reads_back(body, behind.requests[-1].body) == 1


async def test_the_log_has_a_line_for_every_new_result(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    body = messages(RESULT)
    settings = {"log_level": "info", "log_file": log}
    async with origin() as behind, everywhere(behind.url, **settings) as proxy, await connect(proxy.port) as client:
        await post(client, body)
        sent = behind.requests[-1].body
        await post(client, body)
        await post(client, messages("nothing to see").replace(b"toolu_1", b"toolu_2"))
        await post(client, body.replace(b"Look.", b"Look there."), b"x-headroom-bypass: true")
    first, again, small, bypassed = rows(log)
    (slot,) = slots(first)
    assert (slot["action"], slot["kind"], slot["form"], slot["tool"]) == ("pressed", "json", "json", "Bash")
    assert slot["bytes_in"] == len(spelled(RESULT))
    assert slot["bytes_in"] - slot["bytes_out"] == len(body) - len(sent)
    assert slot["tokens_in"] > slot["tokens_out"] > 0
    assert slot["ms"] > 0
    (slot,) = slots(again)
    assert slot["action"] == "replayed"
    (slot,) = slots(small)
    assert slot["action"] in ("below_floor", "no_form")
    assert not slots(bypassed)


POLICIES = {"Bash=none": ("tool_policy", False), "Bash=lossless": ("pressed", True), "Bash=default": ("pressed", True)}


@pytest.mark.parametrize("policy", POLICIES)
async def test_what_may_be_done_to_a_tools_results_is_told_by_its_policy(policy: str, tmp_path: Path) -> None:
    action, pressed = POLICIES[policy]
    log, body = tmp_path / "log.jsonl", messages(records(400))
    settings = {"log_level": "info", "log_file": log, "tool_policy": policy}
    async with origin() as behind, everywhere(behind.url, **settings) as proxy, await connect(proxy.port) as client:
        await post(client, body)
        assert (assert_reads_back(body, behind.requests[-1].body) == 1) is pressed
    (slot,) = slots(rows(log)[0])
    assert slot["action"] == action
