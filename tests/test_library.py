"""The library: any dialect's body or a list of messages in, the same with shorter tool results out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

import pytest

from headroom.library import Json, Result, compress
from headroom.zones import marker, yardstick
from headroom.zones.press import unpress
from tests.support.outputs import KINDS, ToolOutput, invented, mixed, recorded

MEASURE = yardstick.Characters()
Message = dict[str, Json]


def blocks(outputs: Sequence[ToolOutput], name: str = "") -> list[Message]:
    """Messages whose results are blocks in the user's turn."""
    made: list[Message] = [{"role": "user", "content": "look around"}]
    for at, output in enumerate(outputs):
        used: Json = {"type": "tool_use", "id": f"t{at}", "name": name or output.tool, "input": {}}
        result: Json = {"type": "tool_result", "tool_use_id": f"t{at}", "content": output.text}
        if output.is_error:
            result = {"type": "tool_result", "tool_use_id": f"t{at}", "content": output.text, "is_error": True}
        made += [{"role": "assistant", "content": [used]}, {"role": "user", "content": [result]}]
    return made


def chat(outputs: Sequence[ToolOutput], name: str = "") -> list[Message]:
    """Messages whose results are turns of their own."""
    made: list[Message] = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "look around"}]
    for at, output in enumerate(outputs):
        called: Json = {"name": name or output.tool, "arguments": "{}"}
        call: Json = {"id": f"c{at}", "type": "function", "function": called}
        made.append({"role": "assistant", "content": None, "tool_calls": [call]})
        made.append({"role": "tool", "tool_call_id": f"c{at}", "content": output.text})
    return made


def responses(outputs: Sequence[ToolOutput]) -> Message:
    items: list[Json] = [{"type": "message", "role": "user", "content": "look around"}]
    for at, output in enumerate(outputs):
        items.append({"type": "function_call", "call_id": f"c{at}", "name": output.tool, "arguments": "{}"})
        items.append({"type": "function_call_output", "call_id": f"c{at}", "output": output.text})
    return {"model": "m", "input": items}


def parts(outputs: Sequence[ToolOutput]) -> Message:
    turns: list[Json] = [{"role": "user", "parts": [{"text": "look around"}]}]
    for output in outputs:
        call: Json = {"name": output.tool, "args": {}}
        answer: Json = {"name": output.tool, "response": {"output": output.text}}
        turns.append({"role": "model", "parts": [{"functionCall": call}]})
        turns.append({"role": "user", "parts": [{"functionResponse": answer}]})
    return {"contents": turns}


BODIES: Mapping[str, Callable[[Sequence[ToolOutput]], Message]] = {
    "blocks": lambda outputs: {"model": "m", "messages": blocks(outputs)},
    "chat": lambda outputs: {"model": "m", "messages": chat(outputs)},
    "responses": responses,
    "parts": parts,
}
LISTS = {"blocks": blocks, "chat": chat}
WANTED = [invented("json_uniform", 1), invented("service_log", 2), invented("search", 3)]


def lossless(given: Sequence[Json] | Mapping[str, Json] | bytes | str) -> Result:
    return compress(given, measure=MEASURE)


def reversible(given: Sequence[Json] | Mapping[str, Json] | bytes | str) -> Result:
    return compress(given, policy="reversible", measure=MEASURE)


def text_of(message: Json) -> str:
    """The one result in a message of either kind of list."""
    assert isinstance(message, Mapping)
    content = message["content"]
    if isinstance(content, list):
        block = content[0]
        assert isinstance(block, Mapping)
        content = block["content"]
    assert isinstance(content, str)
    return content


@pytest.mark.parametrize("dialect", BODIES)
@pytest.mark.parametrize("form", ["bytes", "pretty", "str", "object"])
def test_a_body_of_every_dialect_gets_shorter_however_it_is_given(dialect: str, form: str) -> None:
    body = BODIES[dialect](WANTED)
    compact = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    given: Mapping[str, Json] | bytes | str = {
        "bytes": compact.encode(),
        "pretty": json.dumps(body, indent=2).encode(),
        "str": compact,
        "object": body,
    }[form]  # type: ignore[assignment]
    result = lossless(given)
    assert [row.action for row in result.rows] == ["pressed"] * 3
    assert [unpress(row.pressed) for row in result.rows] == [row.text for row in result.rows]
    assert result.tokens_before > result.tokens_after > 0 and result.messages == ()
    assert len(result.body) < len(compact.encode()) * 1.2
    shown = json.dumps(json.loads(result.body))
    for row in result.rows:
        assert json.dumps(row.pressed)[1:-1] in shown


@pytest.mark.parametrize("kind", LISTS)
def test_of_a_list_the_messages_that_did_not_change_are_the_same_objects(kind: str) -> None:
    messages = LISTS[kind](WANTED)
    before = json.dumps(messages)
    result = lossless(messages)
    changed = {row.item for row in result.rows if row.action == "pressed"}
    assert len(changed) == 3 and len(result.messages) == len(messages) and result.body == b""
    for at, (given, made) in enumerate(zip(messages, result.messages, strict=True)):
        assert (made is given) == (at not in changed)
    assert json.dumps(messages) == before


def test_in_a_body_only_what_was_pressed_differs() -> None:
    body = b'{ "model":"m", "n": 1.0, "big": 123456789012345678901234567890, "messages" : %b , "x":"\\u00e9" }' % (
        json.dumps(blocks(WANTED), indent=1).encode()
    )
    result = lossless(body)
    for piece in (b'{ "model":"m", "n": 1.0, "big": 123456789012345678901234567890, "messages" : [', b'"\\u00e9" }'):
        assert piece in result.body
    text = result.body.decode()
    for row in result.rows:
        assert json.dumps(row.text) not in text


@pytest.mark.parametrize("kind", LISTS)
def test_what_is_asked_for_twice_is_given_whole(kind: str) -> None:
    messages = LISTS[kind]([WANTED[0], WANTED[1], WANTED[0]])
    result = lossless(messages)
    assert [row.action for row in result.rows] == ["pressed", "pressed", "pressed_before"]
    assert result.messages[-1] is messages[-1]


def test_a_result_that_is_an_error_stays_up_to_its_floor() -> None:
    short, long = invented("test_run", 1, 4000), invented("test_run", 2, 40_000)
    result = lossless(blocks([short, long]))
    assert short.is_error and [row.action for row in result.rows] == ["error_result", "pressed"]


@pytest.mark.parametrize("policy", ["lossless", "reversible"])
def test_a_tool_may_be_excepted_by_name_without_case(policy: str) -> None:
    messages = blocks([WANTED[0]], "Fetch")
    result = compress(messages, policy=policy, tools={"fetch": "none"}, measure=MEASURE)  # type: ignore[arg-type]
    assert [row.action for row in result.rows] == ["tool_policy"] and result.messages[-1] is messages[-1]


@pytest.mark.parametrize("tool", ["headroom_retrieve", "mcp__headroom__headroom_retrieve"])
def test_the_answer_of_a_retrieval_is_never_pressed(tool: str) -> None:
    messages = blocks([WANTED[0]], tool)
    assert [row.action for row in reversible(messages).rows] == ["retrieved"]


def test_no_policy_means_no_change() -> None:
    messages = blocks(WANTED)
    result = compress(messages, policy="none")
    assert all(made is given for made, given in zip(result.messages, messages, strict=True)) and result.rows == ()
    body = json.dumps({"messages": messages}).encode()
    assert compress(body, policy="none").body == body


def test_typed_text_is_looked_at_only_where_that_is_asked_for() -> None:
    typed: list[Json] = [{"role": "user", "content": WANTED[0].text}]
    assert lossless(typed).tokens_saved == 0
    assert compress(typed, typed=True, measure=MEASURE).tokens_saved > 0
    assert compress(typed, policy="reversible", typed=True, measure=MEASURE).originals == {}


HOSTILE: Sequence[Json] = ["\ud800", 10**30, -(10**30), float("inf"), {"a": ["\udfff"]}]


@pytest.mark.parametrize("value", HOSTILE, ids=repr)
@pytest.mark.parametrize("policy", ["lossless", "reversible"])
def test_hostile_values_never_raise_for_a_list_and_every_message_comes_back(value: Json, policy: str) -> None:
    messages: list[Json] = [*blocks([WANTED[0]]), {"role": "user", "content": value}]
    result = compress(messages, policy=policy, measure=MEASURE)  # type: ignore[arg-type]
    assert result.messages[-1] == messages[-1] and len(result.messages) == len(messages)


def test_hostile_texts_in_a_body_come_back_as_they_were() -> None:
    for body in (
        b"",
        b"{",
        b"null",
        b"[]",
        b'{"messages":7}',
        b'{"messages":[7,null,"x",[],{}]}',
        b'{"messages":[{"role":"tool","tool_call_id":"c","content":"\\ud800' + b"x" * 9000 + b'"}]}',
        b'{"messages":[{"role":"tool","tool_call_id":"c","content":"\xff' + b"x" * 9000 + b'"}]}',
        b'{"messages":' + b"[" * 100_000,
    ):
        assert reversible(body).body == body
    assert lossless('{"messages":["\ud800"]}').body == '{"messages":["\ud800"]}'.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("given", [7, None, object()])
def test_what_is_neither_messages_nor_a_body_is_refused(given: object) -> None:
    with pytest.raises(TypeError, match="compress takes"):
        compress(given)  # type: ignore[arg-type]


def test_an_object_that_cannot_be_json_is_refused() -> None:
    with pytest.raises(TypeError, match="JSON"):
        compress({"messages": [{"role": "user", "content": 10**30}]})


@pytest.mark.parametrize("policy", ["lossless", "reversible"])
@pytest.mark.parametrize("kind", [*KINDS, "recorded"])
def test_what_was_compressed_once_stays_as_it_is(kind: str, policy: str) -> None:
    outputs = recorded()[:12] if kind == "recorded" else [invented(kind, seed, 20_000) for seed in range(3)]
    once = compress(blocks(outputs, "Bash"), policy=policy, measure=MEASURE)  # type: ignore[arg-type]
    twice = compress(once.messages, policy=policy, measure=MEASURE)  # type: ignore[arg-type]
    assert list(twice.messages) == list(once.messages)


@pytest.mark.parametrize("compressed", [lossless, reversible])
@pytest.mark.parametrize("kind", LISTS)
def test_a_history_that_grows_keeps_its_prefix(kind: str, compressed: Callable[[Sequence[Json]], Result]) -> None:
    outputs = mixed(5, 12, most=12_000)
    messages = LISTS[kind]([*outputs, *outputs[:4]], "Bash")
    whole = list(compressed(messages).messages)
    for turns in range(0, len(messages), 5):
        assert list(compressed(messages[:turns]).messages) == whole[:turns]


LOG = ToolOutput(
    kind="service_log",
    tool="Bash",
    tool_input={},
    text="".join(
        f"2031-02-03T10:{at // 60 % 60:02}:{at % 60:02}Z INFO served /item/{at} in {at % 97} ms\n" for at in range(2000)
    )
    + "2031-02-03T11:00:00Z ERROR pool exhausted\n",
)


@pytest.mark.parametrize("kind", LISTS)
def test_a_reversible_press_names_an_original_that_the_caller_gets(kind: str) -> None:
    result = reversible(LISTS[kind]([LOG, WANTED[2]]))
    hash_ = marker.key(LOG.text)
    assert result.originals[hash_] == LOG.text and result.ccr_hashes == tuple(result.originals)
    made = text_of(result.messages[3 if kind == "chat" else 2])
    assert marker.find_markers(made) == [hash_] and "pool exhausted" in made
    assert result.tokens_after < lossless(LISTS[kind]([LOG, WANTED[2]])).tokens_after
    for original_hash, text in result.originals.items():
        assert marker.key(text) == original_hash


def test_every_marker_in_what_is_made_has_its_original() -> None:
    result = reversible(blocks(mixed(9, 24), "Bash"))
    shown = json.dumps(list(result.messages))
    assert result.originals and set(marker.find_markers(shown)) == set(result.originals)


@pytest.mark.parametrize("tool", ["Read", "grep", "Glob", "str_replace_editor"])
def test_nothing_is_left_out_of_what_agents_edit_by_unless_it_is_said_so(tool: str) -> None:
    messages = blocks([LOG], tool)
    assert reversible(messages).originals == {} and reversible(messages).tokens_saved > 0
    allowed = compress(messages, policy="reversible", tools={tool: "reversible"}, measure=MEASURE)
    assert list(allowed.originals.values()) == [LOG.text]


def test_a_tool_may_be_kept_to_lossless_presses_and_the_policy_is_the_most_there_is() -> None:
    messages = blocks([LOG], "Bash")
    for policy, rule in (("reversible", "lossless"), ("lossless", "reversible")):
        result = compress(messages, policy=policy, tools={"bash": rule}, measure=MEASURE)  # type: ignore[arg-type,dict-item]
        assert result.originals == {} and result.tokens_saved > 0
