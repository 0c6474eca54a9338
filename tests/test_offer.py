"""The list of tools in a request: found in any place, and one more goes at its end."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom import providers
from headroom.offer import Tools, with_tools
from headroom.offer import tools_of as tools_in
from headroom.zones.preamble import preamble_of
from headroom.zones.shape import Shape
from headroom.zones.splice import splice

TOOL = b'{"name":"more"}'
BODIES = {
    "first": b'{"tools":[{"name":"a"},{"name":"b"}],"messages":[]}',
    "last, blanks": b'{ "messages": [ {"role":"user","content":"tools"} ], "tools" : [ {"name" : "a"}, {"name":"b"}]}',
    "functions": b'{"tools":[{"type":"function","function":{"name":"a"}},{"type":"function","function":{"name":"b"}}]}',
    "declarations": b'{"tools":[{"functionDeclarations":[{"name":"a"},{"name":"b"}]}],"contents":[]}',
}


def shape_of(dialect: providers.Dialect) -> Shape:
    assert dialect.shape is not None
    return dialect.shape


SHAPES = [shape_of(dialect) for dialect in providers.DIALECTS]
MESSAGES, CHAT, CONTENTS, UNDER = (
    shape_of(dialect) for dialect in (providers.ANTHROPIC, providers.OPENAI_CHAT, providers.GEMINI, providers.CLOUDCODE)
)


def tools_of(body: bytes, shape: Shape) -> Tools | None:
    return tools_in(body, preamble_of(body, shape), shape.functions)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_tools_are_named_and_one_is_added_behind_them(body: bytes) -> None:
    shape = CONTENTS if b"functionDeclarations" in body else CHAT if b"function" in body else MESSAGES
    tools = tools_of(body, shape)
    assert tools is not None
    assert tools.names == {"a", "b"}
    made = splice(body, (), [with_tools(tools, [TOOL])])
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
    assert all(tools_of(body, shape) is None for shape in SHAPES)


def test_tools_may_stand_below_the_request() -> None:
    body = b'{"request":{"tools":[{"name":"a"}],"contents":[]}}'
    assert tools_of(body, CONTENTS) is None
    tools = tools_of(body, UNDER)
    assert tools is not None
    assert json.loads(splice(body, (), [with_tools(tools, [TOOL, TOOL])]))["request"]["tools"][1:] == [
        {"name": "more"},
        {"name": "more"},
    ]


@given(st.lists(st.text(max_size=6), min_size=1, max_size=5), st.text(max_size=9), st.booleans())
def test_any_list_of_tools_gains_exactly_one(names: list[str], text: str, spaced: bool) -> None:
    document = {"m": text, "tools": [{"name": name, "description": text} for name in names], "z": [text]}
    body = json.dumps(document, separators=None if spaced else (",", ":"), ensure_ascii=False).encode()
    tools = tools_of(body, MESSAGES)
    assert tools is not None and tools.names == set(names)
    made = json.loads(splice(body, (), [with_tools(tools, [TOOL])]))
    assert made == document | {"tools": [*document["tools"], {"name": "more"}]}


@pytest.mark.parametrize(
    ("shape", "body", "texts"),
    [
        (MESSAGES, b'{"system":"s","tools":[1],"messages":[],"max_tokens":1}', (b"[1]", b'"s"')),
        (MESSAGES, b"no", (b"",)),
        (CHAT, b'{"messages":[],"tools":[2]}', (b"[2]",)),
        (CONTENTS, b'{"contents":[],"system_instruction":{}}', (b"", b"{}")),
        (UNDER, b'{"request":{"contents":[],"systemInstruction":{},"tools":[3]}}', (b"[3]", b"{}")),
        (UNDER, b'{"tools":[3]}', (b"",)),
    ],
)
def test_what_stands_before_a_conversation_is_its_tools_and_instructions(
    shape: Shape, body: bytes, texts: tuple[bytes, ...]
) -> None:
    found = preamble_of(body, shape)
    assert (bytes(found.tools), *(bytes(raw) for _, raw in found.system)) == texts


@pytest.mark.parametrize(("member", "goes_on"), [(b"", False), (b'"a"', True), (b"null", False), (b'""', False)])
def test_a_request_may_go_on_from_an_answer_that_the_provider_remembers(member: bytes, goes_on: bool) -> None:
    body = b'{"tools":[{"name":"a"}]%b}' % (b',"previous_response_id":' + member if member else b"")
    assert preamble_of(body, shape_of(providers.OPENAI_RESPONSES)).goes_on is goes_on
    assert not preamble_of(body, CHAT).goes_on
