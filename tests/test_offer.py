"""The list of tools in a request: found in any place, and one more goes at its end."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.offer import instructions_of, tools_of, with_tool
from headroom.zones.splice import splice

TOOL = b'{"name":"more"}'
BODIES = {
    "first": b'{"tools":[{"name":"a"},{"name":"b"}],"messages":[]}',
    "last, blanks": b'{ "messages": [ {"role":"user","content":"tools"} ], "tools" : [ {"name" : "a"}, {"name":"b"}]}',
    "functions": b'{"tools":[{"type":"function","function":{"name":"a"}},{"type":"function","function":{"name":"b"}}]}',
    "declarations": b'{"tools":[{"functionDeclarations":[{"name":"a"},{"name":"b"}]}],"contents":[]}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_tools_are_named_and_one_is_added_behind_them(body: bytes) -> None:
    tools = tools_of(body)
    assert tools is not None
    assert tools.names == {"a", "b"}
    made = splice(body, (), [with_tool(tools, TOOL)])
    assert json.loads(made)["tools"] == [*json.loads(body)["tools"], {"name": "more"}]
    assert len(made) == len(body) + len(TOOL) + 1


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"tools":[]}',
        b'{"tools":null}',
        b'{"tools":{}}',
        b'{"tools":"x"}',
        b'{"messages":[{"tools":[1]}]}',
        b"no",
    ],
)
def test_a_request_without_tools_has_none(body: bytes) -> None:
    assert tools_of(body) is None


@pytest.mark.parametrize(("member", "goes_on"), [("", False), ('"a"', True), ("null", False), ('""', False)])
def test_a_request_may_go_on_from_an_answer_that_the_provider_remembers(member: str, goes_on: bool) -> None:
    body = b'{"tools":[{"name":"a"}]%b}' % (b',"previous_response_id":' + member.encode() if member else b"")
    tools = tools_of(body)
    assert tools is not None and tools.goes_on is goes_on


def test_tools_may_stand_below_the_request() -> None:
    body = b'{"request":{"tools":[{"name":"a"}],"contents":[]}}'
    assert tools_of(body) is None
    tools = tools_of(body, "request")
    assert tools is not None
    assert json.loads(splice(body, (), [with_tool(tools, TOOL)]))["request"]["tools"][1] == {"name": "more"}


@given(st.lists(st.text(max_size=6), min_size=1, max_size=5), st.text(max_size=9), st.booleans())
def test_any_list_of_tools_gains_exactly_one(names: list[str], text: str, spaced: bool) -> None:
    document = {"m": text, "tools": [{"name": name, "description": text} for name in names], "z": [text]}
    body = json.dumps(document, separators=None if spaced else (",", ":"), ensure_ascii=False).encode()
    tools = tools_of(body)
    assert tools is not None and tools.names == set(names)
    made = json.loads(splice(body, (), [with_tool(tools, TOOL)]))
    assert made == document | {"tools": [*document["tools"], {"name": "more"}]}


def test_what_stands_before_a_conversation_is_its_tools_and_instructions() -> None:
    assert instructions_of(b'{"system":"s","tools":[1],"messages":[],"max_tokens":1}') == [
        b"[1]",
        b'"s"',
        b"",
        b"",
        b"",
    ]
    assert instructions_of(b"no") == []
