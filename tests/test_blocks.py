"""Turns of content blocks: what the client gets, what the provider gets, and what is put back later."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import anthropic
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.block_weavers import BlockWeaver, PlainBlockWeaver
from headroom.blocks import BlockLoom
from headroom.weave import RETRIEVE, TOOL_NAME, Loom, Turn
from headroom.zones.places import elements, member
from headroom.zones.splice import Edit
from tests.support.captured import captured
from tests.support.dialects import Dialect, Exchange
from tests.support.events import Answer, Usage, compact, error_body, error_event, plain_body, stream_events
from tests.support.script import ToolCall
from tests.support.script import Turn as Scripted

Json = dict[str, Any]

LOOM: Loom = BlockLoom()
OURS = frozenset({TOOL_NAME})
ASKED: list[Json] = [{"role": "user", "content": "the question"}]
BODY = compact({"model": "m", "messages": ASKED, "stream": True, "tools": []}).encode()


# What a provider writes


def text(said: str) -> Json:
    return {"type": "text", "text": said}


def thinking(said: str, signature: str) -> Json:
    return {"type": "thinking", "thinking": said, "signature": signature}


def call(name: str, number: int, **given: object) -> Json:
    return {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": given}


def retrieve(number: int, given: str = "0123456789abcdef01234567") -> Json:
    return call(TOOL_NAME, number, hash=given)


def found(said: str) -> Json:
    return {"type": "web_search_result", "url": said, "title": said, "encrypted_content": said, "page_age": None}


def event(**fields: object) -> bytes:
    return f"event: {fields['type']}\ndata: {compact(fields)}\n\n".encode()


def ending(stop: str | None, output: int) -> list[bytes]:
    delta = {"stop_reason": stop, "stop_sequence": None}
    usage = {"input_tokens": 100, "output_tokens": output, "server_tool_use": {"web_search_requests": 1}}
    return [event(type="message_delta", delta=delta, usage=usage), event(type="message_stop")]


def streamed(blocks: Sequence[Json], stop: str = "", output: int = 10, size: int = 5) -> list[bytes]:
    message: Json = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 100, "cache_read_input_tokens": 7, "output_tokens": 1},
    }
    events = [event(type="message_start", message=message), event(type="ping")]
    for index, block in enumerate(blocks):
        begun, deltas = in_deltas(block, size)
        events.append(event(type="content_block_start", index=index, content_block=begun))
        events += [event(type="content_block_delta", index=index, delta=delta) for delta in deltas]
        events.append(event(type="content_block_stop", index=index))
    return events + ending(stop or stop_of(blocks), output)


def stop_of(blocks: Sequence[Json]) -> str:
    return "tool_use" if any(block["type"] == "tool_use" for block in blocks) else "end_turn"


def in_deltas(block: Json, size: int) -> tuple[Json, list[Json]]:
    def cut(whole: str) -> Iterator[str]:
        return (whole[at : at + size] for at in range(0, len(whole), size))

    if block["type"] == "text":
        return {**block, "text": ""}, [{"type": "text_delta", "text": piece} for piece in cut(block["text"])]
    if block["type"] == "thinking":
        deltas: list[Json] = [{"type": "thinking_delta", "thinking": piece} for piece in cut(block["thinking"])]
        signature = {"type": "signature_delta", "signature": block["signature"]}
        return {**block, "thinking": "", "signature": ""}, [*deltas, signature]
    if block["type"] in ("tool_use", "server_tool_use"):
        spelled = json.dumps(block["input"], ensure_ascii=False)
        pieces = ["", *cut(spelled)] if block["input"] else [""]
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    return block, []


def plain(blocks: Sequence[Json], stop: str = "", output: int = 10) -> bytes:
    usage = {"input_tokens": 100, "output_tokens": output, "cache_creation": {"ephemeral_5m_input_tokens": 3}}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": list(blocks)}
    return compact({**message, "stop_reason": stop or stop_of(blocks), "stop_sequence": None, "usage": usage}).encode()


# What a client reads


class Reader:
    """The official client, which is handed an answer."""

    def __init__(self) -> None:
        self.answer = b""
        self.media = b""
        transport = httpx2.MockTransport(self._serve)
        http = httpx2.Client(transport=transport)
        self._client = anthropic.Anthropic(api_key="k", base_url="http://provider", http_client=http, max_retries=0)

    def _serve(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": self.media.decode()}, content=self.answer)

    def read(self, answer: bytes, *, stream: bool = True) -> Json:
        self.answer, self.media = answer, b"text/event-stream" if stream else b"application/json"
        asked: Any = {"model": "m", "max_tokens": 9, "messages": ASKED}
        if not stream:
            return dict(self._client.messages.create(**asked).to_dict(warnings=False))
        with self._client.messages.stream(**asked) as events:
            return dict(events.get_final_message().to_dict(warnings=False))


READER = Reader()


# One exchange


class Woven:
    """All rounds of one streamed answer, fed and answered."""

    def __init__(self, rounds: Sequence[Sequence[Json]], size: int = 5) -> None:
        self.weaver = BlockWeaver(OURS)
        self.bodies: list[bytes] = []
        out: list[bytes] = []
        for number, blocks in enumerate(rounds):
            out += [self.weaver.feed(raw) for raw in streamed(blocks, output=10 * (number + 1), size=size)]
            if self.weaver.calls:
                out.append(self.weaver.settle([f"original of {made.id}" for made in self.weaver.calls]))
                self.bodies.append(self.weaver.continuation(BODY))
        assert self.weaver.done
        self.bytes = b"".join(out)
        self.turn = self.weaver.turn()


def results(blocks: Sequence[Json]) -> list[Json]:
    hidden = [block for block in blocks if block.get("name") == TOOL_NAME]
    made = ((block["id"], f"original of {block['id']}") for block in hidden)
    return [{"type": "tool_result", "tool_use_id": name, "content": said} for name, said in made]


def says(block: Json) -> bool:
    return block["type"] != "text" or bool(block["text"].strip())


def shown(rounds: Sequence[Sequence[Json]]) -> list[Json]:
    return [block for blocks in rounds for block in blocks if block.get("name") != TOOL_NAME]


def as_provider_saw(rounds: Sequence[Sequence[Json]], following: Json | None) -> list[Json]:
    """The messages after the question, as they have to be: written down without any of the code under test."""
    messages: list[Json] = []
    for blocks in rounds:
        said = [block for block in blocks if says(block)]
        if said:
            messages.append({"role": "assistant", "content": said})
        if results(blocks):
            messages.append({"role": "user", "content": results(blocks)})
    if following is not None:
        if messages[-1]["role"] == "user":
            messages[-1]["content"] = messages[-1]["content"] + as_blocks(following["content"])
        else:
            messages.append({**following, "content": as_blocks(following["content"])})
    return messages


def as_blocks(content: Any) -> list[Json]:
    return [text(content)] if isinstance(content, str) else content


def edited(items: Sequence[bytes], edits: Sequence[tuple[int, Edit]]) -> list[Json]:
    """The messages after `edits`, as JSON."""
    out = list(items)
    for at, edit in sorted(edits, key=lambda pair: (pair[0], pair[1].start), reverse=True):
        item = out[at]
        assert 0 <= edit.start <= edit.end <= len(item)
        assert not items[at][edit.start : edit.end].strip(b" \n,"), "more than a separator is replaced"
        out[at] = item[: edit.start] + edit.token + item[edit.end :]
    return list(json.loads(b"[" + b",".join(out) + b"]"))


def without_markers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_markers(inner) for key, inner in value.items() if key != "cache_control"}
    return [without_markers(inner) for inner in value] if isinstance(value, list) else value


def in_blocks(messages: Sequence[Json]) -> list[Json]:
    """Messages in which a text that stands alone is a list, and blank texts are left out."""
    lists = [{**message, "content": as_blocks(message["content"])} for message in without_markers(messages)]
    return [{**message, "content": [block for block in message["content"] if says(block)]} for message in lists]


def check_pairs(messages: Sequence[Json]) -> None:
    """Every call has exactly one result, in the next message."""
    for message, following in itertools.pairwise([*messages, {"role": "user", "content": []}]):
        calls = [block["id"] for block in as_blocks(message["content"]) if block["type"] == "tool_use"]
        if calls:
            assert message["role"] == "assistant"
            answered = [b["tool_use_id"] for b in as_blocks(following["content"]) if b["type"] == "tool_result"]
            assert following["role"] == "user" and sorted(answered) == sorted(calls)


# Turns

TEXTS = st.text(max_size=20) | st.sampled_from(["\n\n", " ", "I use headroom_retrieve now", '{"type":"message_stop"}'])
SIGNATURES = st.text("ABCab+/=", min_size=1, max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
QUIET: st.SearchStrategy[Json] = st.one_of(
    TEXTS.map(text),
    st.builds(thinking, st.text(max_size=12), SIGNATURES),
    SIGNATURES.map(lambda data: {"type": "redacted_thinking", "data": data}),
    st.dictionaries(st.text(max_size=4), VALUES, max_size=2).map(
        lambda given: {"type": "server_tool_use", "id": "", "name": "web_search", "input": given}
    ),
    st.text(max_size=5).map(
        lambda said: {"type": "web_search_tool_result", "tool_use_id": said, "content": [found(said)]}
    ),
    st.text(max_size=5).map(lambda said: {"type": "of_next_year", "about": {"said": said}}),
)
CLIENT = st.dictionaries(st.text(max_size=4), VALUES, max_size=2).map(
    lambda given: {"type": "tool_use", "id": "", "name": "Bash", "input": given}
)
HIDDEN = st.builds(retrieve, st.just(0), st.text(max_size=9))


@st.composite
def turns(draw: st.DrawFn, least: int = 0) -> list[list[Json]]:
    """The rounds of a turn: first those that only call the retrieve tool, then one that ends it, mixed or not."""
    rounds = []
    for _ in range(draw(st.integers(least, 3))):
        blocks = draw(st.lists(QUIET, max_size=3)) + draw(st.lists(HIDDEN, min_size=1, max_size=2))
        rounds.append(draw(st.permutations(blocks)))
    last = draw(st.lists(QUIET, max_size=3))
    if draw(st.booleans()):
        last += draw(st.lists(CLIENT, min_size=1, max_size=2))
        if len(rounds) < 3:
            last += draw(st.lists(HIDDEN, max_size=2))
        last = draw(st.permutations(last))
    rounds.append(last)
    numbers = itertools.count()
    return [[{**block, "id": f"toolu_{next(numbers)}"} if "id" in block else block for block in r] for r in rounds]


@st.composite
def resent(draw: st.DrawFn, content: list[Json]) -> list[bytes]:
    """A client's message with `content`, and the next one, with its own spelling."""
    calls = [block["id"] for block in content if block["type"] == "tool_use"]
    following: Json = {"role": "user", "content": "go on"}
    if calls:
        made: list[Json] = [{"type": "tool_result", "tool_use_id": name, "content": "done"} for name in calls]
        following = {"role": "user", "content": [*made, *draw(st.sampled_from([[], [text("and this")]]))]}
    blocks = [dict(draw(st.permutations(list(block.items())))) for block in content]
    if draw(st.booleans()):
        blocks[-1]["cache_control"] = {"type": "ephemeral"}
    elif len(blocks) == 1 and blocks[0]["type"] == "text":
        said: Json = {"role": "assistant", "content": blocks[0]["text"]}
        return [spelled(draw, said), spelled(draw, following)]
    return [spelled(draw, {"role": "assistant", "content": blocks}), spelled(draw, following)]


def spelled(draw: st.DrawFn, message: Json) -> bytes:
    ordered = dict(draw(st.permutations(list(message.items()))))
    indent, raw = draw(st.sampled_from([None, 1])), draw(st.booleans())
    return json.dumps(ordered, indent=indent, ensure_ascii=not raw).encode("utf-8", "surrogatepass")


@given(turns(), st.integers(1, 9))
@settings(max_examples=150)
def test_a_client_reads_the_turn_without_what_was_hidden(rounds: list[list[Json]], size: int) -> None:
    woven = Woven(rounds, size)
    message = READER.read(woven.bytes)
    assert message["content"] == shown(rounds)
    assert message["stop_reason"] == stop_of(rounds[-1])
    usage = message["usage"]
    assert usage["output_tokens"] == sum(10 * (n + 1) for n in range(len(rounds)))
    assert usage["input_tokens"] == 100 * len(rounds)
    assert usage["server_tool_use"]["web_search_requests"] == len(rounds)
    assert usage["cache_read_input_tokens"] == 7


@given(turns())
def test_a_continuation_holds_all_rounds_so_far(rounds: list[list[Json]]) -> None:
    woven = Woven(rounds)
    for number, body in enumerate(woven.bodies, 1):
        document = json.loads(body)
        assert document["messages"] == ASKED + as_provider_saw(rounds[:number], None)
        assert {**document, "messages": ASKED} == json.loads(BODY)


@given(turns(), st.data())
@settings(max_examples=200)
def test_what_was_hidden_is_put_back_as_the_provider_saw_it(rounds: list[list[Json]], data: st.DataObject) -> None:
    woven = Woven(rounds)
    content = [block for block in shown(rounds) if says(block)]
    hides = any(results(blocks) for blocks in rounds)
    assert (woven.turn is not None) == (hides and bool(content))
    if woven.turn is None:
        return
    anchor, turn = woven.turn
    sent = [compact(ASKED[0]).encode(), *data.draw(resent(content))]
    assert LOOM.anchors(sent) == [b"", anchor, b""]
    back = edited(sent, LOOM.reinsert(sent, 1, turn))
    following = in_blocks([json.loads(sent[2])])[0]
    assert in_blocks(back) == in_blocks(ASKED + as_provider_saw(rounds, following))
    check_pairs(back)
    for body in woven.bodies[: sum(not kept.mixed for kept in turn.rounds)]:
        before = json.loads(body)["messages"]
        if results(rounds[-1]) or any(says(block) for block in rounds[-1]):
            assert in_blocks(back)[: len(before)] == in_blocks(before)


@given(turns(), st.data())
def test_a_client_that_keeps_blank_texts_gets_them_back(rounds: list[list[Json]], data: st.DataObject) -> None:
    woven = Woven(rounds)
    if woven.turn is None:
        return
    sent = data.draw(resent(shown(rounds)))
    assert LOOM.anchors(sent) == [woven.turn[0], b""]
    back = edited(sent, LOOM.reinsert(sent, 0, woven.turn[1]))
    assert in_blocks(back) == in_blocks(as_provider_saw(rounds, in_blocks([json.loads(sent[1])])[0]))


@given(turns())
def test_a_plain_answer_is_woven_alike(rounds: list[list[Json]]) -> None:
    weaver = LOOM.plain_weaver(OURS)
    bodies = []
    for number, blocks in enumerate(rounds):
        weaver.feed(plain(blocks, output=10 * (number + 1)))
        assert weaver.mixed == (bool(results(blocks)) and any(b.get("name") == "Bash" for b in blocks))
        if weaver.calls:
            weaver.settle([f"original of {made.id}" for made in weaver.calls])
            bodies.append(weaver.continuation(BODY))
    message = READER.read(weaver.finish(), stream=False)
    assert [block for block in message["content"] if says(block)] == [b for b in shown(rounds) if says(b)]
    assert message["stop_reason"] == stop_of(rounds[-1])
    assert message["usage"]["output_tokens"] == sum(10 * (n + 1) for n in range(len(rounds)))
    assert message["usage"]["cache_creation"]["ephemeral_5m_input_tokens"] == 3 * len(rounds)
    woven = Woven(rounds)
    assert [json.loads(body) for body in bodies] == [json.loads(body) for body in woven.bodies]
    turn = weaver.turn()
    assert (turn is None) == (woven.turn is None)
    if turn is not None and woven.turn is not None:
        assert turn[0] == woven.turn[0]
        assert [round.end for round in turn[1].rounds] == [round.end for round in woven.turn[1].rounds]


@given(turns(least=1))
def test_a_stream_that_is_cut_shows_nothing_that_was_held(rounds: list[list[Json]]) -> None:
    events = streamed(rounds[0])
    whole = BlockWeaver(OURS)
    passed = [whole.feed(raw) for raw in events]
    for end in range(len(events)):
        weaver = BlockWeaver(OURS)
        assert [weaver.feed(raw) for raw in events[:end]] == passed[:end]
        assert not weaver.calls and not weaver.done and weaver.turn() is None
    assert b"message_stop" not in b"".join(raw for raw in passed if not raw.startswith(b"event: content_block"))
    assert not any(b'"name":"headroom_retrieve"' in raw for raw in passed)


@given(turns(least=1))
@settings(max_examples=30)
def test_a_stream_that_is_cut_in_a_later_round_is_not_over(rounds: list[list[Json]]) -> None:
    weaver = BlockWeaver(OURS)
    for number, blocks in enumerate(rounds):
        events = streamed(blocks, output=10)
        for at, raw in enumerate(events, 1):
            assert not weaver.done and not weaver.calls
            out = weaver.feed(raw)
            assert b"event: message_stop" not in out or at == len(events)
            assert not out.startswith(b"event: message_start") or number == 0
            found = weaver.turn()
            assert found is None or len(found[1].rounds) == number
        if weaver.calls:
            assert not weaver.done
            weaver.settle(["x" for _ in weaver.calls])
            assert not weaver.calls
    assert weaver.done


@given(turns())
def test_events_that_need_no_change_are_the_same_object(rounds: list[list[Json]]) -> None:
    weaver = BlockWeaver(OURS)
    events = streamed([block for block in rounds[-1] if block.get("name") != TOOL_NAME])
    for raw in events:
        assert weaver.feed(raw) is raw
    assert weaver.done and weaver.turn() is None
    document = plain(shown(rounds))
    plain_weaver = PlainBlockWeaver(OURS)
    plain_weaver.feed(document)
    assert plain_weaver.finish() is document and plain_weaver.turn() is None


# One by one


def test_the_tool_is_the_same_bytes_for_ever() -> None:
    assert LOOM.tool(RETRIEVE) == (
        b'{"name":"headroom_retrieve","description":"A result that ends in <<ccr:HASH>> is shown in part. Fetc'
        b'hes all of it, a range of lines, or lines with a text, if the part is not enough.","input_schema":{"'
        b'type":"object","properties":{"hash":{"type":"string"},"lines":{"type":"string","description":"like 1'
        b'20-180"},"match":{"type":"string"}},"required":["hash"]}}'
    )
    assert json.loads(LOOM.tool(RETRIEVE))["name"] == TOOL_NAME


def test_the_scripted_providers_stream_is_woven() -> None:
    script = Scripted("let me see", (ToolCall(TOOL_NAME, {"hash": "ab"}), ToolCall("Bash", {"command": "ls"})), "why")
    body: Json = {"thinking": {"type": "enabled"}}
    exchange = Exchange(Dialect.ANTHROPIC, "m", True, True, body, script, True, 0, 0)
    answer = Answer(exchange, Usage(5, 6, 7, 8))
    weaver = LOOM.weaver(OURS)
    out = b"".join(weaver.feed(raw) for raw in stream_events(answer))
    assert weaver.mixed and [made.arguments for made in weaver.calls] == [b'{"hash": "ab"}']
    out += weaver.settle(["x"])
    assert weaver.done
    plain_weaver = LOOM.plain_weaver(OURS)
    plain_weaver.feed(plain_body(answer))
    assert [made.arguments for made in plain_weaver.calls] == [b'{"hash":"ab"}']
    plain_weaver.settle(["x"])
    kinds = ["thinking", "text", "tool_use"]
    read, read_plain = READER.read(out), READER.read(plain_weaver.finish(), stream=False)
    assert [block["type"] for block in read["content"]] == kinds
    assert read["content"] == read_plain["content"] and read["usage"]["input_tokens"] == 5


def test_text_goes_on_while_a_call_is_held() -> None:
    weaver = LOOM.weaver(OURS)
    events = streamed([text("one"), retrieve(1), text("two")])
    passed = [weaver.feed(raw) for raw in events]
    held = {at for at, raw in enumerate(events) if not passed[at]}
    about_the_call = {at for at, raw in enumerate(events) if b'"index":1' in raw}
    assert held == about_the_call | {len(events) - 2, len(events) - 1}
    moved = [raw.replace(b'"index":2', b'"index":1') for raw in events if b'"index":2' in raw]
    assert [raw for raw in passed if b'"index":1' in raw] == moved


def test_a_round_that_also_calls_the_clients_tools_ends_the_turn() -> None:
    woven = Woven([[text("a"), retrieve(1), call("Bash", 2), retrieve(3)]])
    assert woven.turn is not None
    turn = woven.turn[1]
    items = [
        b'{"content":[{"text":"a","type":"text"}, {"id":"toolu_2","type":"tool_use","name":"Bash","input":{}}],'
        b'"role":"assistant"}',
        b'{"role":"user","content":[ {"type":"tool_result","tool_use_id":"toolu_2","content":"x"}]}',
    ]
    back = edited(items, LOOM.reinsert(items, 0, turn))
    names = [block.get("id") or block.get("tool_use_id") for message in back for block in message["content"]]
    assert names == [None, "toolu_1", "toolu_2", "toolu_3", "toolu_1", "toolu_3", "toolu_2"]


@pytest.mark.parametrize(
    "following",
    [
        None,
        b'{"role":"assistant","content":"x"}',
        b'{"role":"system","content":"x"}',
        b'{"role":"user","content":"x"}',
        b'{"role":"user"}',
        b'{"role":"user","content":null}',
        b"[]",
        b'{"role":5,"content":[]}',
    ],
)
def test_results_without_a_place_leave_everything_as_it_is(following: bytes | None) -> None:
    woven = Woven([[retrieve(1), call("Bash", 2)]])
    assert woven.turn is not None
    items = [compact({"role": "assistant", "content": [call("Bash", 2)]}).encode()]
    items += [] if following is None else [following]
    assert LOOM.reinsert(items, 0, woven.turn[1]) == []


@pytest.mark.parametrize(
    "item",
    [
        b'{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}',
        b'{"role":"assistant","content":[{"type":"text","text":"a"}]}',
        b'{"role":"assistant","content":"a"}',
        b'{"role":"assistant","content":[]}',
        b'{"role":"assistant","content":7}',
        b'{"role":"assistant"}',
        b'{"role":"assistant","content":"a","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}',
        b"{",
        b"7",
        b"",
    ],
)
def test_a_message_that_a_turn_does_not_fit_is_left_as_it_is(item: bytes) -> None:
    woven = Woven([[text("a"), text("b"), retrieve(1)], [text("c"), retrieve(2)], [text("d")]])
    assert woven.turn is not None
    assert LOOM.reinsert([item, b'{"role":"user","content":[]}'], 0, woven.turn[1]) == []
    assert LOOM.reinsert([], 0, woven.turn[1]) == LOOM.reinsert([item], -1, woven.turn[1]) == []
    assert LOOM.reinsert([item], 0, Turn(())) == []


def test_an_anchor_is_the_same_however_a_turn_is_spelled() -> None:
    same = [
        b'{"role":"assistant","content":"yes"}',
        b'{"content": "yes\\n", "role": "assistant"}',
        b'{"role":"assistant","content":[{"type":"text","text":"\\u0079es"}]}',
        b'{"role":"assistant","content":[{"text":"yes","type":"text","cache_control":{"type":"ephemeral"}}]}',
        b'{"role":"assistant","content":[{"type":"text","text":"yes"},{"type":"text","text":""}]}',
    ]
    others = [
        b'{"role":"assistant","content":"no"}',
        b'{"role":"assistant","content":[{"type":"text","text":"ye"},{"type":"text","text":"s"}]}',
        b'{"role":"assistant","content":[{"type":"redacted_thinking","data":"yes"}]}',
        b'{"role":"assistant","content":[{"type":"tool_use","id":"yes","name":"n","input":{}}]}',
        b'{"role":"assistant","content":[{"type":"thinking","thinking":"yes","signature":""}]}',
        b'{"role":"assistant","content":[{"type":"new","about":"yes"}]}',
    ]
    assert len(set(LOOM.anchors(same))) == 1 and len(LOOM.anchors(same)[0]) == 32
    assert len(set(LOOM.anchors(same + others))) == 1 + len(others)
    marked = b'{"role":"assistant","content":[{"about":"yes","cache_control":{},"type":"new"}]}'
    assert LOOM.anchors([marked]) == LOOM.anchors(others[-1:])


@pytest.mark.parametrize(
    "item",
    [
        b"",
        b"7",
        b'{"role":"user","content":"\\"assistant\\""}',
        b'{"role":"assistant"}',
        b'{"role":"assistant","content":" "}',
        b'{"role":"assistant","content":[]}',
        b'{"role":"assistant","content":{"type":"text","text":"x"}}',
        b'{"role":"assistant","content":[{"type":"text","text":"\\n"}]}',
    ],
)
def test_what_the_model_did_not_say_has_no_anchor(item: bytes) -> None:
    assert LOOM.anchors([item]) == [b""]


def test_a_turn_of_hidden_calls_alone_cannot_be_found_again() -> None:
    woven = Woven([[retrieve(1)], [text("\n")]])
    assert woven.turn is None


@pytest.mark.parametrize("stop", ["max_tokens", "refusal", "pause_turn", "model_context_window_exceeded"])
def test_a_call_of_a_round_that_was_cut_short_is_taken_out_and_not_answered(stop: str) -> None:
    weaver = LOOM.weaver(OURS)
    out = b"".join(weaver.feed(raw) for raw in streamed([text("a"), retrieve(1)], stop))
    assert not weaver.calls and weaver.done and weaver.turn() is None
    message = READER.read(out)
    assert (message["content"], message["stop_reason"]) == ([text("a")], stop)
    plain_weaver = LOOM.plain_weaver(OURS)
    plain_weaver.feed(plain([text("a"), retrieve(1)], stop))
    assert not plain_weaver.calls and json.loads(plain_weaver.finish())["content"] == [text("a")]


def test_a_call_whose_arguments_are_not_json_is_handed_over_as_it_was_written() -> None:
    begun = {"type": "tool_use", "id": "toolu_1", "name": TOOL_NAME, "input": {}}
    weaver = LOOM.weaver(OURS)
    for raw in [
        event(type="content_block_start", index=0, content_block=begun),
        event(type="content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": '{"hash":'}),
        event(type="content_block_stop", index=0),
        *ending("tool_use", 5),
    ]:
        assert weaver.feed(raw) == b""
    assert [made.arguments for made in weaver.calls] == [b'{"hash":']
    weaver.settle(["no"])
    assert json.loads(weaver.continuation(BODY))["messages"][1]["content"] == [begun]


def test_a_call_without_arguments_or_id() -> None:
    weaver = LOOM.weaver(OURS)
    nameless = {"type": "tool_use", "name": TOOL_NAME, "input": {}}
    events = [event(type="content_block_start", index=0, content_block=nameless), *ending("tool_use", 5)]
    assert [weaver.feed(raw) for raw in events] == events
    woven = Woven([[call(TOOL_NAME, 1)], [text("a")]])
    assert json.loads(woven.bodies[0])["messages"][1]["content"] == [call(TOOL_NAME, 1)]


def test_citations_and_fields_of_new_deltas_are_kept() -> None:
    weaver = LOOM.weaver(OURS)
    cite = {"type": "char_location", "cited_text": "x"}
    events = [
        event(type="content_block_start", index=0, content_block={"type": "text", "text": "a", "citations": None}),
        event(type="content_block_delta", index=0, delta={"type": "citations_delta", "citation": cite}),
        event(type="content_block_delta", index=0, delta={"type": "text_delta", "text": 'b"\\é'}),
        event(type="content_block_start", index=1, content_block={"type": "compaction", "content": None}),
        event(type="content_block_delta", index=1, delta={"type": "compaction_delta", "content": "c", "more": 1}),
        event(type="content_block_start", index=2, content_block=retrieve(1)),
        *ending("tool_use", 5),
    ]
    for raw in events:
        weaver.feed(raw)
    weaver.settle(["x"])
    assert json.loads(weaver.continuation(BODY))["messages"][1]["content"] == [
        {"type": "text", "text": 'ab"\\é', "citations": [cite]},
        {"type": "compaction", "content": "c", "more": 1},
        retrieve(1),
    ]


def test_an_error_in_the_stream_is_passed_on_and_ends_the_answer() -> None:
    weaver = LOOM.weaver(OURS)
    events = streamed([text("a"), retrieve(1)])
    for raw in events[:-1]:
        weaver.feed(raw)
    error = error_event(Dialect.ANTHROPIC, "busy")
    assert weaver.feed(error) is error
    assert weaver.done and not weaver.calls and weaver.turn() is None


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (529, error_body(Dialect.ANTHROPIC, 529, "busy"), "overloaded_error"),
        (429, json.dumps({"error": {"type": "custom_error", "message": "slow"}}, indent=1).encode(), "custom_error"),
        (
            400,
            b'{"type":"error",\r\n"error":{"type":"invalid_request_error","message":"m"}}\n',
            "invalid_request_error",
        ),
        (529, b"", "overloaded_error"),
        (413, b"<html>", "request_too_large"),
        (502, b'{"error":"down"}', "api_error"),
        (0, b'{"error":{"message":"down"}}', "api_error"),
    ],
)
def test_a_round_that_cannot_be_had_is_an_error_event(status: int, body: bytes, kind: str) -> None:
    weaver = LOOM.weaver(OURS)
    out = b"".join(weaver.feed(raw) for raw in streamed([text("a"), retrieve(1)]))
    weaver.settle(["original of toolu_1"])
    failed = weaver.fail(status, body)
    assert weaver.done and failed.count(b"\n") == 3
    with pytest.raises(anthropic.APIError) as caught:
        READER.read(out + failed)
    assert isinstance(caught.value.body, dict) and caught.value.body["error"]["type"] == kind
    # What the client keeps of it, if it keeps any, can still be found and put right.
    turn = weaver.turn()
    assert turn is not None
    items = [b'{"role":"assistant","content":"a"}', b'{"role":"user","content":"again"}']
    assert LOOM.anchors(items)[0] == turn[0]
    back = edited(items, LOOM.reinsert(items, 0, turn[1]))
    assert back == as_provider_saw([[text("a"), retrieve(1)]], {"role": "user", "content": "again"})
    check_pairs(back)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"messages":{}}', b'{"messages":"x"}', b'{"messages":[]'])
def test_a_request_without_messages_cannot_be_continued(body: bytes) -> None:
    woven = Woven([[retrieve(1)], [text("a")]])
    with pytest.raises(ValueError, match="messages"):
        woven.weaver.continuation(body)


def test_a_request_with_an_empty_list_is_continued() -> None:
    woven = Woven([[retrieve(1)], [text("a")]])
    assert len(json.loads(woven.weaver.continuation(b'{"messages":[ ],"a":1}'))["messages"]) == 2


def test_events_of_other_layouts_are_renumbered_too() -> None:
    weaver = LOOM.weaver(OURS)
    for raw in streamed([retrieve(1)])[:-2]:
        weaver.feed(raw)
    begun = (
        b'event: content_block_start\r\ndata: {"content_block":{"type":"text","text":""},\r\n'
        b'data: "index" : 1,"type":"content_block_start"}\r\n\r\n'
    )
    assert weaver.feed(begun) == (
        b'event: content_block_start\ndata: {"content_block":{"type":"text","text":""}, '
        b'"index" : 0,"type":"content_block_start"}\n\n'
    )
    late = event(index=1, type="content_block_delta", delta={"type": "text_delta", "text": "index"})
    assert weaver.feed(late) == late.replace(b'"index":1', b'"index":0')
    nameless = b'data: {"type":"content_block_stop","index":1}\n\n'
    assert weaver.feed(nameless) == nameless.replace(b":1", b":0")


@pytest.mark.parametrize(
    "raw",
    [
        b"event: content_block_delta\ndata: {\n\n",
        b'event: content_block_start\ndata: {"type":"content_block_start","index":"0"}\n\n',
        b'event: content_block_start\ndata: {"type":"content_block_start"}\n\n',
        b'event: content_block_stop\ndata: {"type":"content_block_stop","index":-7}\n\n',
        b'event: message_delta\ndata: {"type":"message_delta","index":null,"delta":7,"usage":[1]}\n\n',
        b'event: vertex_event\ndata: {"type":"message_new"}\n\n',
        b"data: [DONE]\n\n",
        b": comment\n\n",
        b"\n\n",
        b"\xff\xfe",
        b"data: " + b"[" * 5000 + b"\n\n",
    ],
)
def test_an_event_that_cannot_be_read_is_passed_on(raw: bytes) -> None:
    weaver = LOOM.weaver(OURS)
    assert weaver.feed(raw) is raw
    for held in streamed([retrieve(1)])[:-2]:
        weaver.feed(held)
    assert weaver.feed(raw) == raw


def test_results_of_any_text_are_written() -> None:
    weaver = LOOM.weaver(OURS)
    for raw in streamed([retrieve(1)]):
        weaver.feed(raw)
    with pytest.raises(ValueError, match="zip"):
        weaver.settle([])
    weaver.settle(['"\\\x00\ud800é\U0001f600'])
    assert json.loads(weaver.continuation(BODY))["messages"][2]["content"][0]["content"] == '"\\\x00?é\U0001f600'


@pytest.mark.parametrize("client", ["claude-code", "claude-code-continue", "opencode-anthropic", "sdk-anthropic"])
def test_an_anchor_of_a_real_client_stays_the_same_while_the_conversation_grows(client: str) -> None:
    before: list[bytes] = []
    for request in captured(client):
        spans = elements(request.body, *member(request.body, "messages")) or []
        items = [request.body[start:end] for start, end in spans]
        found = LOOM.anchors(items)
        roles = [json.loads(item)["role"] for item in items]
        assert [bool(anchor) for anchor in found] == [role == "assistant" for role in roles]
        assert len(set(found) - {b""}) == roles.count("assistant"), "two turns are taken for one"
        assert len(found) < 3 or found[: len(before)] == before
        before = found if len(found) > 2 else before
    assert sum(map(bool, before)) > 2


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        ([b"\\ud83d", b"\\ude00"], "\U0001f600"),
        ([b"a", b"\\ud83d"], "a\ufffd"),
        ([b"a\xff", b"\\n"], "a\ufffd\n"),
        ([b"\\u00e9", "é".encode()[:1], "é".encode()[1:]], "éé"),
        ([b"", b"x"], "x"),
    ],
)
@pytest.mark.parametrize("end", [b"}}\n\n", b"}    }\r\n\r\n"])
def test_texts_are_joined_whatever_they_are_cut_into(pieces: list[bytes], said: str, end: bytes) -> None:
    weaver = LOOM.weaver(OURS)
    weaver.feed(event(type="content_block_start", index=0, content_block=text("")))
    for inside in pieces:
        raw = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
        weaver.feed(raw + b'"text":"' + inside + b'"' + end)
    weaver.feed(event(type="content_block_start", index=1, content_block=retrieve(1)))
    for raw in ending("tool_use", 5):
        weaver.feed(raw)
    weaver.settle(["x"])
    assert json.loads(weaver.continuation(BODY))["messages"][1]["content"][0] == text(said)


def test_blocks_of_no_known_shape_stay_where_they_are() -> None:
    deep = b"[" * 300 + b"]" * 300
    odd = [b"7", b'{"type":"new","about":%b}' % deep, b'{"type":5,"said":"\xff"}', b'"headroom_retrieve"']
    document = b'{"content":[%b,%b],"stop_reason":5,"usage":[]}' % (b",".join(odd), compact(retrieve(1)).encode())
    weaver = LOOM.plain_weaver(OURS)
    weaver.feed(document)
    assert [made.id for made in weaver.calls] == ["toolu_1"]
    weaver.settle(["x"])
    said = json.loads(weaver.continuation(BODY))["messages"][1]["content"]
    assert said == [*(json.loads(block.decode("utf-8", "replace")) for block in odd), retrieve(1)]
    weaver.feed(plain([text("b")]))
    content = json.loads(weaver.finish())["content"]
    assert content == [*said[:-1], text("b")]
    turn = weaver.turn()
    assert turn is not None
    sent = [b'{"role":"assistant","content":[%b,{"type":"text","text":"b"}]}' % b",".join(odd)]
    assert len(edited([sent[0].replace(b"\xff", b"y")], LOOM.reinsert(sent, 0, turn[1]))) == 3
    for broken in (b"", b"[]", b'{"type":"error","error":{}}', b'{"content":"x"}'):
        weaver.feed(broken)
        assert weaver.finish() is broken


def test_streamed_blocks_of_no_known_shape_are_passed_on() -> None:
    weaver = LOOM.weaver(OURS)
    block: Json = {"type": "text", "text": None}
    events = [
        event(type="content_block_start", index=0, content_block=7),
        event(type="content_block_start", index=1, content_block=block),
        event(type="content_block_delta", index=1, delta={"type": "text_delta", "text": 7}),
        event(type="content_block_delta", index=1, delta={"type": "text_delta", "text": "a", "more": 1}),
        event(type="content_block_delta", index=9, delta={"type": "text_delta", "text": "b"}),
        event(type="content_block_delta", index=1, delta=7),
        b"event: content_block_delta\ndata: {\n\n",
    ]
    assert all(weaver.feed(raw) is raw for raw in events)
    weaver.feed(event(type="content_block_start", index=2, content_block=retrieve(1)))
    for raw in [*events, *ending("tool_use", 5)]:
        weaver.feed(raw)
    weaver.settle(["x"])
    said = json.loads(weaver.continuation(BODY))["messages"][1]["content"]
    assert said[0] == {"type": "text", "text": "a", "more": 1}
