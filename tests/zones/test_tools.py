"""Tools in one order: slices change places, and no byte of them changes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.drives import drive_arrange
from headroom.providers import ANTHROPIC, GEMINI, OPENAI_CHAT, OPENAI_RESPONSES, Dialect
from headroom.zones.splice import splice
from headroom.zones.tools import (
    DEPTH_LIMIT,
    MEMBERS,
    MOST,
    arranged,
    called,
    has_marker,
    sorted_keys,
    split,
    with_member,
)
from tests.support import json_texts

MARKER = b'"cache_control":{"type":"ephemeral"}'


def order(raw: str, dialect: Dialect, *, sort: bool = True, schemas: bool = False, marker: bytes = b"") -> str:
    body = raw.encode()
    return splice(body, (), arranged(body, dialect.tools, sort=sort, schemas=schemas, marker=marker).edits).decode()


@pytest.mark.parametrize(
    ("dialect", "came", "went"),
    [
        (ANTHROPIC, '[{"name":"b"},{"name":"a"}]', '[{"name":"a"},{"name":"b"}]'),
        (ANTHROPIC, '[ {"name":"b"} ,\n{"name":"a"}\t]', '[ {"name":"a"} ,\n{"name":"b"}\t]'),
        (ANTHROPIC, '[{"name":"a","x":2},{"name":"a","x":1}]', '[{"name":"a","x":2},{"name":"a","x":1}]'),
        (ANTHROPIC, '[{"name":"é"},{"name":"z"},{"name":"Z"}]', '[{"name":"Z"},{"name":"z"},{"name":"é"}]'),
        (ANTHROPIC, '[{"name":"\\u0062"},{"name":"a"}]', '[{"name":"a"},{"name":"\\u0062"}]'),
        (ANTHROPIC, '[{"name":"b","n":1.0e5,"n2":-0},{"name":"a"}]', '[{"name":"a"},{"name":"b","n":1.0e5,"n2":-0}]'),
        (
            OPENAI_CHAT,
            '[{"type":"function","function":{"name":"b"}},{"function":{"name":"a"}}]',
            '[{"function":{"name":"a"}},{"type":"function","function":{"name":"b"}}]',
        ),
        (
            OPENAI_RESPONSES,
            '[{"type":"namespace","name":"n","tools":[{"name":"d"},{"name":"c"}]},{"type":"function","name":"f"}]',
            '[{"type":"function","name":"f"},{"type":"namespace","name":"n","tools":[{"name":"c"},{"name":"d"}]}]',
        ),
        (
            OPENAI_CHAT,
            '[{"type":"custom","custom":{"name":"b"}},{"type":"function","function":{"name":"a"}}]',
            '[{"type":"function","function":{"name":"a"}},{"type":"custom","custom":{"name":"b"}}]',
        ),
        (
            OPENAI_RESPONSES,
            '[{"type":"web_search"},{"type":"mcp","server_label":"n","authorization":"x"},{"type":"function","name":"f"}]',
            '[{"type":"function","name":"f"},{"type":"mcp","server_label":"n","authorization":"x"},{"type":"web_search"}]',
        ),
        (
            ANTHROPIC,
            '[{"type":"mcp_toolset","mcp_server_name":"n"},{"name":"f"}]',
            '[{"name":"f"},{"type":"mcp_toolset","mcp_server_name":"n"}]',
        ),
        (
            GEMINI,
            '[{"functionDeclarations":[{"name":"b"}, {"name":"a"}]},{"googleSearch":{}},{"codeExecution":{}}]',
            '[{"functionDeclarations":[{"name":"a"}, {"name":"b"}]},{"googleSearch":{}},{"codeExecution":{}}]',
        ),
        (ANTHROPIC, "[]", "[]"),
        (ANTHROPIC, "{}", "{}"),
        (ANTHROPIC, "null", "null"),
        (ANTHROPIC, '[{"name":"b"},', '[{"name":"b"},'),
    ],
)
def test_tools_are_sorted_by_name_and_what_stands_between_them_stays(dialect: Dialect, came: str, went: str) -> None:
    assert order(came, dialect) == went
    assert order(went, dialect) == went


def test_what_is_known_comes_first_in_the_order_in_which_it_became_known() -> None:
    def listed(*them: str) -> bytes:
        return json.dumps([{"name": name} for name in them]).encode()

    def put(tools: bytes, *known: bytes) -> list[str]:
        made = arranged(tools, ANTHROPIC.tools, sort=True, schemas=False, known=known).tools
        return [tool["name"] for tool in json.loads(made)]

    first, later = called(listed("d", "b"), ANTHROPIC.tools), called(listed("c", "e", "b"), ANTHROPIC.tools)
    every = listed("e", "a", "c", "d", "b")
    assert put(every) == ["a", "b", "c", "d", "e"]
    assert put(every, first) == ["b", "d", "a", "c", "e"]
    assert put(every, first, later) == ["b", "d", "c", "e", "a"]
    assert put(listed("e", "a"), first) == ["a", "e"]
    assert len(split(first)) == 2 and called(listed("b", "d", "d"), ANTHROPIC.tools) == first
    assert called(b"null", ANTHROPIC.tools) == called(b"[]", ANTHROPIC.tools) == b""


def test_functions_within_a_tool_are_known_by_themselves() -> None:
    raw = b'[{"functionDeclarations":[{"name":"c"},{"name":"a"},{"name":"b"}]}]'
    known = called(b'[{"functionDeclarations":[{"name":"b"},{"name":"c"}]}]', GEMINI.tools)
    assert len(split(known)) == 2
    made = arranged(raw, GEMINI.tools, sort=True, schemas=False, known=[known]).tools
    assert made == b'[{"functionDeclarations":[{"name":"b"},{"name":"c"},{"name":"a"}]}]'


@pytest.mark.parametrize("tool", ['{"name":"%d"}', "1"])
def test_a_list_beyond_all_measure_is_left_alone(tool: str) -> None:
    raw = "[" + ",".join(tool.replace("%d", str(at)) for at in range(MOST + 1)) + "]"
    assert order(raw, ANTHROPIC, schemas=True, marker=MARKER) == raw
    schema = ",".join(f'"{at}":1' for at in range(MEMBERS))
    many = f'[{{"name":"b","input_schema":{{{schema}}}}},{{"name":"a"}}]'
    assert order(many, ANTHROPIC, schemas=True) == many


def test_tools_without_a_name_have_a_place_that_does_not_depend_on_the_others() -> None:
    tools = ['{"type":"web_search"}', '{"type":"code_interpreter"}', '{"name":"shell","type":"function"}', "1"]
    one = order("[" + ",".join(tools) + "]", OPENAI_RESPONSES)
    assert one == order("[" + ",".join(reversed(tools)) + "]", OPENAI_RESPONSES)
    assert sorted(map(str, json.loads(one))) == sorted(str(json.loads(tool)) for tool in tools)


@pytest.mark.parametrize(
    ("dialect", "tool"),
    [
        (ANTHROPIC, '{"name":"t","input_schema":%s,"z":{"b":1,"a":2}}'),
        (OPENAI_CHAT, '{"function":{"name":"t","parameters":%s},"c":1,"b":{"b":1,"a":2}}'),
        (OPENAI_RESPONSES, '{"type":"function","parameters":%s,"name":"t"}'),
        (OPENAI_RESPONSES, '{"type":"function","function":{"parameters":%s},"name":"t"}'),
        (OPENAI_RESPONSES, '{"type":"namespace","name":"t","tools":[{"name":"u","parameters":%s}]}'),
        (GEMINI, '{"functionDeclarations":[{"name":"t","parameters":%s}]}'),
        (GEMINI, '{"functionDeclarations":[{"name":"t","parametersJsonSchema":%s}]}'),
    ],
)
def test_the_keys_of_schemas_are_sorted_and_no_others(dialect: Dialect, tool: str) -> None:
    came = '{ "type":"object",\n "properties" : {"b":{"type":"string"},"a":{"enum":["z","a"],"default":1.0}} }'
    went = '{ "properties" : {"a":{"default":1.0,"enum":["z","a"]},"b":{"type":"string"}},\n "type":"object" }'
    raw = "[" + tool % came + "]"
    assert order(raw, dialect, sort=False, schemas=True) == "[" + tool % went + "]"
    assert order(raw, dialect, sort=False) == raw


@pytest.mark.parametrize(
    "raw",
    [
        '{"b":1,"a":2,"a":3}',
        '{"b":1,"a":{"c":1,"\\u0063":2}}',
        '{"b":1,"b":22}',
        '{"b":{"x":"y"},"a":0,"b":"z"}',
        '{"b":' * (DEPTH_LIMIT + 1) + "1" + ',"a":2}' * (DEPTH_LIMIT + 1),
        '{"b":"\\ud800","\\udc00":1}',
        '{"b":1,"a"}',
        '{"b":1,"a":2} x',
        "[1,2",
        "3",
        "",
    ],
)
def test_a_schema_that_is_not_a_plain_one_is_left_alone(raw: str) -> None:
    assert sorted_keys(raw.encode()) == raw.encode()


def test_code_points_and_not_bytes_of_the_spelling_are_what_keys_are_sorted_by() -> None:
    assert sorted_keys('{"\\ud83d\\ude00":1,"\uffee":2,"\\u0041":3,"B":4}'.encode()) == (
        '{"\\u0041":3,"B":4,"\uffee":2,"\\ud83d\\ude00":1}'.encode()
    )


def spelled(text: str) -> object:
    value: object = json.loads(text, parse_int=str, parse_float=str)
    return value


@given(json_texts.scattered())
def test_any_document_keeps_its_value_and_its_bytes(given_: tuple[json_texts.Tree, str]) -> None:
    _, text = given_
    made = sorted_keys(text.encode())
    assert spelled(made.decode()) == spelled(text)
    assert sorted(made) == sorted(text.encode())
    assert sorted_keys(made) == made
    if made != text.encode():
        assert list(_keys(json.loads(made))) == sorted_each(json.loads(made))


def _keys(value: object) -> list[list[str]]:
    if isinstance(value, dict):
        return [list(value), *(keys for one in value.values() for keys in _keys(one))]
    return [keys for one in value for keys in _keys(one)] if isinstance(value, list) else []


def sorted_each(value: object) -> list[list[str]]:
    return [sorted(keys) for keys in _keys(value)]


@given(
    st.lists(json_texts.scattered(json_texts.objects(json_texts.TREES)).map(lambda pair: pair[1]), max_size=5),
    st.sampled_from([",", " , ", ",\n  "]),
)
def test_any_list_is_the_same_list_in_order(tools: list[str], comma: str) -> None:
    named = [f'{{"name": "{at * 7 % 5}", "of": {tool}, "input_schema":{tool}}}' for at, tool in enumerate(tools)]
    for given_ in (tools, named):
        raw = "[ " + comma.join(given_) + "]"
        drive_arrange(raw.encode())


def test_the_last_tool_that_may_be_is_marked_behind_its_last_member() -> None:
    assert order('[{"name":"b", "x":1 },{"name":"a"}]', ANTHROPIC, marker=MARKER) == (
        '[{"name":"a"},{"name":"b", "x":1 ,"cache_control":{"type":"ephemeral"}}]'
    )
    deferred = '[{"name":"a"},{"name":"b","defer_loading":true}]'
    assert order(deferred, ANTHROPIC, marker=MARKER) == deferred.replace(
        '"a"}', '"a","cache_control":{"type":"ephemeral"}}'
    )
    assert not arranged(b'[{"defer_loading":true}]', ANTHROPIC.tools, sort=True, schemas=True, marker=MARKER).marked
    assert with_member(b"{ }", b'"a":1') == b'{ "a":1}'


@pytest.mark.parametrize(
    ("raw", "marked"),
    [
        ('[{"name":"a","cache_control":{"type":"ephemeral"}},{"name":"b"}]', True),
        ('[{"name":"a","cache\\u005fcontrol":null}]', True),
        ('[{"function":{"name":"a","cache_control":{}}}]', True),
        ('[{"name":"a","input_schema":{"properties":{"cache_control":{}}}}]', False),
        ('[{"name":"a","description":"\\"cache_control\\":{}"}]', False),
        ('[{"name":"cache_control","name":"b"}]', True),
        ('[{"name":"a"}]', False),
        ("null", False),
    ],
)
def test_a_marker_on_a_tool_is_seen_and_one_in_a_schema_is_none(raw: str, marked: bool) -> None:
    assert has_marker(raw.encode(), "cache_control") is marked
