"""Every loom defines a tool with the same bytes for ever, and hides the calls of those tools that are ours alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headroom.looms import LOOMS
from headroom.recollection import MEMORY_TOOLS
from headroom.weave import RETRIEVE, Tool

GOLDEN = Path(__file__).parent / "corpus" / "golden_tools"
TOOLS = {tool.name: tool for tool in (RETRIEVE, *MEMORY_TOOLS)}


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
@pytest.mark.parametrize("kind", LOOMS)
def test_a_definition_never_changes(kind: str, tool: Tool) -> None:
    # Whoever changes these bytes breaks the cached prefix of every conversation that begins afterwards on two versions.
    golden = (GOLDEN / kind / f"{tool.name}.json").read_bytes()
    assert LOOMS[kind].tool(tool) + b"\n" == golden
    assert tool.name in json.dumps(json.loads(golden))


def test_every_golden_definition_is_of_a_tool() -> None:
    found = {(path.parent.name, path.stem) for path in GOLDEN.rglob("*.json")}
    assert found == {(kind, name) for kind in LOOMS for name in TOOLS}


PLAIN = {
    "blocks": b'{"content":[{"type":"tool_use","id":"c1","name":"%b","input":{"a":1}}],"stop_reason":"tool_use"}',
    "deltas": b'{"choices":[{"index":0,"finish_reason":"tool_calls","message":{"role":"assistant","content":null,'
    b'"tool_calls":[{"id":"c1","type":"function","function":{"name":"%b","arguments":"{\\"a\\":1}"}}]}}]}',
    "items": b'{"status":"completed","output":[{"type":"function_call","call_id":"c1","name":"%b",'
    b'"arguments":"{\\"a\\":1}"}]}',
    "parts": b'{"candidates":[{"content":{"role":"model","parts":[{"functionCall":{"id":"c1","name":"%b",'
    b'"args":{"a":1}}}]},"finishReason":"STOP"}]}',
}
STREAMED = {
    "blocks": [
        b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"tool_use",'
        b'"id":"c1","name":"%b","input":{"a":1}}}\n\n',
        b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n',
        b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"tool_use"}}\n\n',
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    ],
    "deltas": [
        b'data: {"choices":[{"index":0,"delta":{"role":"assistant","tool_calls":[{"index":0,"id":"c1","function":'
        b'{"name":"%b","arguments":"{\\"a\\":1}"}}]}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}\n\n',
        b"data: [DONE]\n\n",
    ],
    "items": [
        b'event: response.output_item.added\ndata: {"type":"response.output_item.added","output_index":0,'
        b'"sequence_number":0,"item":{"type":"function_call","id":"f1","call_id":"c1","name":"%b","arguments":""}}\n\n',
        b'event: response.completed\ndata: {"type":"response.completed","sequence_number":1,"response":{"status":'
        b'"completed","output":[{"type":"function_call","id":"f1","call_id":"c1","name":"%b",'
        b'"arguments":"{\\"a\\":1}"}]}}\n\n',
    ],
    "parts": [
        b'data: {"candidates":[{"content":{"role":"model","parts":[{"functionCall":{"id":"c1","name":"%b",'
        b'"args":{"a":1}}}]},"finishReason":"STOP"}]}\r\n\r\n'
    ],
}
OURS = frozenset({"memory_save", RETRIEVE.name})
THEIRS = ["memory_search", "Bash", "memory_saves", "save", "mcp__memory__memory_save"]


def named(template: bytes, name: str) -> bytes:
    return template.replace(b"%b", name.encode())


@pytest.mark.parametrize("name", sorted(OURS))
@pytest.mark.parametrize("kind", LOOMS)
def test_a_call_of_ours_is_hidden_and_waits(kind: str, name: str) -> None:
    weaver, plain = LOOMS[kind].weaver(OURS), LOOMS[kind].plain_weaver(OURS)
    out = b"".join(weaver.feed(named(raw, name)) for raw in STREAMED[kind])
    plain.feed(named(PLAIN[kind], name))
    for made in (weaver, plain):
        (call,) = made.calls
        assert (call.id, call.name, json.loads(call.arguments)) == ("c1", name, {"a": 1})
        assert not made.mixed
    assert name.encode() not in out
    assert name.encode() not in plain.finish()


@pytest.mark.parametrize("name", [*THEIRS, RETRIEVE.name])
@pytest.mark.parametrize("kind", LOOMS)
def test_a_call_of_the_clients_is_passed_on_as_it_came(kind: str, name: str) -> None:
    ours = OURS if name in THEIRS else frozenset({"memory_save"})
    weaver, plain = LOOMS[kind].weaver(ours), LOOMS[kind].plain_weaver(ours)
    for raw in (named(raw, name) for raw in STREAMED[kind]):
        assert weaver.feed(raw) == raw
    document = named(PLAIN[kind], name)
    plain.feed(document)
    assert plain.finish() == document
    assert not weaver.calls and not plain.calls
    assert weaver.turn() is None and plain.turn() is None


@pytest.mark.parametrize("kind", LOOMS)
def test_the_result_says_which_tool_it_is_of_where_the_dialect_does(kind: str) -> None:
    plain = LOOMS[kind].plain_weaver(OURS)
    plain.feed(named(PLAIN[kind], "memory_save"))
    plain.settle(['said "so"'])
    asked = json.loads(plain.continuation(b'{"messages":[],"input":[],"contents":[]}'))
    *_, last = next(found for found in asked.values() if found)
    assert 'said \\"so\\"' in json.dumps(last)
    assert ("memory_save" in json.dumps(last)) == (kind == "parts")
