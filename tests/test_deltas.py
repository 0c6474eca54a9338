"""Retrieve calls within streams of deltas."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.deltas import DeltaLoom
from headroom.weave import RETRIEVE, TOOL_NAME, Turn, Weaver
from headroom.zones.splice import splice

LOOM = DeltaLoom()
OURS = frozenset({TOOL_NAME})
BODY = b'{"model":"m","messages":[{"role":"user","content":"go"}],"stream":true}'
Said = tuple[str, list[tuple[str, str]]]


def test_the_tool_is_these_bytes() -> None:
    assert LOOM.tool(RETRIEVE) == (
        b'{"type":"function","function":{"name":"headroom_retrieve","description":"A result that ends in <<ccr'
        b":HASH>> is shown in part. Fetches all of it, a range of lines, or lines with a text, if the part is "
        b'not enough.","parameters":{"type":"object","properties":{"hash":{"type":"string"},"lines":{"type":"s'
        b'tring","description":"like 120-180"},"match":{"type":"string"}},"required":["hash"]}}}'
    )


def event(delta: object, finish: str | None = None, index: int = 0, number: int = 0) -> bytes:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    return b"data: %b\n\n" % json.dumps({**envelope(number), "choices": [choice], "usage": None}).encode()


def envelope(number: int, kind: str = "chat.completion.chunk") -> dict[str, object]:
    return {"id": f"c{number}", "object": kind, "created": 100 + number, "model": "m"}


def usage() -> dict[str, object]:
    return {
        "prompt_tokens": 10,
        "completion_tokens": 2,
        "total_tokens": 12,
        "prompt_tokens_details": {"cached_tokens": 3},
    }


def call_of(name: str, number: int, at: int) -> str:
    return f"call_{number}_{at}"


def stream(said: Said, number: int) -> list[bytes]:
    text, calls = said
    out = [event({"role": "assistant", "content": "", "refusal": None}, number=number)]
    out += [event({"content": piece}, number=number) for piece in text]
    for at, (name, arguments) in enumerate(calls):
        head = {"index": at, "id": call_of(name, number, at), "type": "function"}
        function = {"name": name, "arguments": ""}
        out.append(event({"tool_calls": [{**head, "function": function}]}, number=number))
        out.append(event({"tool_calls": [{"index": at, "function": {"arguments": arguments}}]}, number=number))
    out.append(event({}, "tool_calls" if calls else "stop", number=number))
    out.append(b"data: %b\n\n" % json.dumps({**envelope(number), "choices": [], "usage": usage()}).encode())
    return [*out, b"data: [DONE]\n\n"]


def plain(said: Said, number: int) -> bytes:
    text, calls = said
    message: dict[str, object] = {"role": "assistant", "content": text or None, "refusal": None}
    if calls:
        message["tool_calls"] = [
            {
                "id": call_of(name, number, at),
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
            for at, (name, arguments) in enumerate(calls)
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls" if calls else "stop"}
    return json.dumps({**envelope(number, "chat.completion"), "choices": [choice], "usage": usage()}).encode()


def read(woven: bytes) -> openai.types.chat.ChatCompletion:
    """What the SDK makes of a stream."""
    answer = httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=woven)
    transport = httpx2.MockTransport(lambda request: answer)
    client = openai.OpenAI(base_url="http://x", api_key="k", http_client=httpx2.Client(transport=transport))
    with client.chat.completions.stream(model="m", messages=[{"role": "user", "content": "go"}]) as events:
        for _ in events:
            pass
        return events.get_final_completion()


def weave(rounds: Sequence[Said]) -> tuple[bytes, Weaver, bytes]:
    weaver = LOOM.weaver(OURS)
    out = bytearray()
    body = BODY
    for number, said in enumerate(rounds):
        for raw in stream(said, number):
            out += weaver.feed(raw)
        if weaver.calls:
            mixed = weaver.mixed
            out += weaver.settle([f"result {number} {at}" for at in range(len(weaver.calls))])
            if not mixed:
                body = weaver.continuation(BODY)
    assert weaver.done
    return bytes(out), weaver, body


HIDDEN = (TOOL_NAME, '{"hash":"aa"}')
own = st.tuples(st.just("read"), st.sampled_from(["{}", '{"a":"é\\n"}']))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
hidden_rounds = st.lists(st.tuples(texts, st.lists(st.just(HIDDEN), min_size=1, max_size=2)), max_size=3)
last_rounds = st.tuples(texts, st.lists(st.one_of(st.just(HIDDEN), own), max_size=4)).filter(
    lambda said: not said[1] or any(name == "read" for name, _ in said[1])
)


@given(hidden_rounds, last_rounds)
@settings(max_examples=60, deadline=None)
def test_the_client_gets_one_answer_and_the_provider_reads_all_of_it(hidden: list[Said], last: Said) -> None:
    rounds = [*hidden, last]
    woven, weaver, body = weave(rounds)
    text = "".join(said for said, _ in rounds)
    got = read(woven)
    message = got.choices[0].message
    calls = [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or []]  # type: ignore[union-attr]
    wanted = [
        (call_of(name, len(hidden), at), name, arguments)
        for at, (name, arguments) in enumerate(last[1])
        if name != TOOL_NAME
    ]
    assert ((message.content or ""), calls) == (text, wanted)
    assert got.id == "c0" and got.created == 100
    assert got.usage is not None and got.usage.total_tokens == 12 * len(rounds)
    assert TOOL_NAME.encode() not in woven
    assert_plain(rounds, text, wanted)

    hides = bool(hidden) or any(name == TOOL_NAME for name, _ in last[1])
    turn = weaver.turn()
    if not hides or (not text and not wanted):
        assert turn is None
        return
    assert turn is not None
    own_message: dict[str, object] = {"role": "assistant", "content": message.content}
    sent: list[dict[str, object]] = [{"role": "user", "content": "go"}, own_message]
    if wanted:
        own_message["tool_calls"] = [
            {"id": one, "type": "function", "function": {"name": name, "arguments": arguments}}
            for one, name, arguments in wanted
        ]
        sent += [{"role": "tool", "tool_call_id": call[0], "content": "own"} for call in wanted]
    else:
        sent.append({"role": "user", "content": "thanks"})
    items = [json.dumps(item).encode() for item in sent]
    assert LOOM.anchors(items) == [turn[0] if at == 1 else b"" for at in range(len(items))]
    edits = LOOM.reinsert(items, 1, turn[1])
    assert edits
    back = [splice(item, [], [edit for where, edit in edits if where == at]) for at, item in enumerate(items)]
    messages = json.loads(b"[%b]" % b",".join(back))
    continued = json.loads(body)["messages"]
    assert messages[: len(continued)] == continued
    whole = messages[len(continued) :]
    if last[0] or last[1]:
        assert whole[0]["role"] == "assistant" and (whole[0].get("content") or "") == last[0]
        names = [call["function"]["name"] for call in whole[0].get("tool_calls", [])]
        assert names == [name for name, _ in last[1]]
    asked = [call["id"] for item in messages for call in item.get("tool_calls") or []]
    answered = [item["tool_call_id"] for item in messages if item["role"] == "tool"]
    assert sorted(asked) == sorted(answered)


def assert_plain(rounds: Sequence[Said], text: str, wanted: list[tuple[str, str, str]]) -> None:
    weaver = LOOM.plain_weaver(OURS)
    for number, said in enumerate(rounds):
        weaver.feed(plain(said, number))
        if weaver.calls:
            weaver.settle(["x"] * len(weaver.calls))
    document = json.loads(weaver.finish())
    message = document["choices"][0]["message"]
    assert (message["content"] or "") == text
    assert [call["id"] for call in message.get("tool_calls", [])] == [call[0] for call in wanted]
    assert document["usage"]["total_tokens"] == 12 * len(rounds)


def test_an_answer_without_the_call_passes_as_the_same_objects() -> None:
    weaver = LOOM.weaver(OURS)
    for raw in stream(("a text", [("read", "{}")]), 0):
        assert weaver.feed(raw) is raw
    assert weaver.done and not weaver.calls and weaver.turn() is None


def test_several_choices_pass_untouched() -> None:
    events = stream(("a", [HIDDEN]), 0)
    for place in range(len(events) - 1):
        weaver = LOOM.weaver(OURS)
        given_events = [*events[:place], event({"content": "b"}, index=1), *events[place:]]
        woven = b"".join(map(weaver.feed, given_events))
        if place <= len(events) - 3:
            assert woven == b"".join(given_events)
            assert not weaver.calls


def test_a_stream_that_is_cut_never_shows_the_call() -> None:
    events = stream(("text", [("read", "{}"), HIDDEN]), 0)
    for place in range(len(events)):
        weaver = LOOM.weaver(OURS)
        woven = b"".join(map(weaver.feed, events[:place]))
        assert TOOL_NAME.encode() not in woven
        assert bool(weaver.calls) == (place > events.index(event({}, "tool_calls")))


def test_a_text_that_names_the_tool_passes() -> None:
    weaver = LOOM.weaver(OURS)
    for raw in [event({"content": f"use {TOOL_NAME}"}), *stream(("a", []), 0)]:
        assert weaver.feed(raw) is raw
    assert weaver.done and weaver.turn() is None


def test_an_error_is_the_providers_own() -> None:
    woven = LOOM.weaver(OURS).fail(429, b'{"error":{"message":"slow\\ndown"}}')
    assert woven == b'data: {"error":{"message":"slow\\ndown"}}\n\ndata: [DONE]\n\n'


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from(stream(("a", [HIDDEN]), 0)).flatmap(
                lambda raw: st.integers(0, len(raw)).map(lambda end: raw[:end] + b"\n\n")
            ),
        )
    )
)
def test_no_bytes_raise(events: list[bytes]) -> None:
    weaver = LOOM.weaver(OURS)
    woven = b"".join(map(weaver.feed, events))
    if not any(TOOL_NAME.encode() in raw for raw in events):
        assert woven == b"".join(events)
    LOOM.anchors(events)


# --- how providers write their streams -------------------------------------------------------------

DONE = b"data: [DONE]\n\n"
BEGIN = event({"role": "assistant", "content": ""})


def piece(name: str, index: int, **more: object) -> dict[str, object]:
    arguments = HIDDEN[1] if name == TOOL_NAME else "{}"
    function = {"name": name, "arguments": arguments}
    return {"index": index, "id": f"c{index}", "type": "function", "function": function, **more}


def counted(number: int = 0) -> bytes:
    return b"data: %b\n\n" % json.dumps({**envelope(number), "choices": [], "usage": usage()}).encode()


def woven_of(weaver: Weaver, events: Sequence[bytes]) -> bytes:
    return b"".join(map(weaver.feed, events))


def names(answer: openai.types.chat.ChatCompletion) -> list[str]:
    return [call.function.name for call in answer.choices[0].message.tool_calls or []]  # type: ignore[union-attr]


@pytest.mark.parametrize("finish_apart", [True, False])
@pytest.mark.parametrize(
    "order", [(TOOL_NAME, "read", "grep"), ("read", TOOL_NAME, "grep"), ("read", "grep", TOOL_NAME)]
)
def test_several_calls_in_one_chunk(order: Sequence[str], finish_apart: bool) -> None:
    weaver = LOOM.weaver(OURS)
    delta = {"content": "so", "tool_calls": [piece(name, at) for at, name in enumerate(order)]}
    last = [event(delta), event({}, "tool_calls")] if finish_apart else [event(delta, "tool_calls")]
    woven = woven_of(weaver, [BEGIN, *last, DONE])
    assert len(weaver.calls) == 1 and weaver.mixed
    woven += weaver.settle(["x"])
    assert weaver.done and TOOL_NAME.encode() not in woven
    answer = read(woven)
    assert names(answer) == ["read", "grep"] and answer.choices[0].message.content == "so"
    assert answer.choices[0].finish_reason == "tool_calls"


def test_calls_and_the_ending_in_one_chunk_with_a_text() -> None:
    weaver = LOOM.weaver(OURS)
    calls = [piece(TOOL_NAME, 0), piece(TOOL_NAME, 1)]
    woven = woven_of(weaver, [BEGIN, event({"content": "so", "tool_calls": calls}, "tool_calls"), counted(), DONE])
    assert [call.id for call in weaver.calls] == ["c0", "c1"] and not weaver.mixed
    woven += weaver.settle(["x", "y"])
    woven += woven_of(weaver, stream((" it is", []), 1))
    answer = read(woven)
    assert answer.choices[0].message.content == "so it is" and answer.choices[0].finish_reason == "stop"
    assert not answer.choices[0].message.tool_calls


def test_indexes_of_calls_that_do_not_begin_at_0_go_on() -> None:
    weaver = LOOM.weaver(OURS)
    first = [event({"tool_calls": [piece("read", 1)]}), event({"tool_calls": [piece(TOOL_NAME, 2)]})]
    woven = woven_of(weaver, first)
    later = {"index": 1, "function": {"arguments": " "}}
    assert weaver.feed(event({"tool_calls": [later]})) == event({"tool_calls": [later]})
    woven += weaver.feed(event({"tool_calls": [piece("grep", 3)]}))
    assert [
        json.loads(raw[6:])["choices"][0]["delta"]["tool_calls"][0]["index"] for raw in woven.split(b"\n\n")[:-1]
    ] == [1, 2]


@pytest.mark.parametrize("finish", ["length", "content_filter"])
@pytest.mark.parametrize("done", [[DONE], []])
def test_a_call_that_was_not_finished_is_dropped(finish: str, done: list[bytes]) -> None:
    for own in ([], [piece("read", 0)]):
        weaver = LOOM.weaver(OURS)
        calls = [event({"tool_calls": [call]}) for call in (*own, piece(TOOL_NAME, len(own)))]
        woven = woven_of(weaver, [BEGIN, event({"content": "so"}), *calls, event({}, finish), counted(), *done])
        assert weaver.done and not weaver.calls and weaver.turn() is None
        assert woven.endswith(b"".join([event({}, finish), counted(), *done]))
        assert TOOL_NAME.encode() not in woven

        again = LOOM.weaver(OURS)
        again.feed(event({"tool_calls": [piece(TOOL_NAME, 0)]}, "tool_calls"))
        again.settle(["x"])
        woven_of(again, [BEGIN, event({"content": "so"}), *calls, event({}, finish)])
        turn = again.turn()
        assert again.done and turn is not None and len(turn[1].rounds) == 1

        document = json.loads(plain(("so", [HIDDEN, *[("read", "{}") for _ in own]]), 0))
        document["choices"][0]["finish_reason"] = finish
        one = LOOM.plain_weaver(OURS)
        one.feed(json.dumps(document).encode())
        assert not one.calls
        kept = json.loads(one.finish())["choices"][0]
        assert kept["finish_reason"] == finish and TOOL_NAME not in json.dumps(kept)


@pytest.mark.parametrize("done", [[DONE], []], ids=["done", "no done"])
@pytest.mark.parametrize("place", ["before", "beside", "after", "nowhere"])
def test_counts_come_before_the_ending_with_it_after_it_or_not_at_all(place: str, done: list[bytes]) -> None:
    def counts(delta: object, finish: str, number: int) -> list[bytes]:
        ending = event(delta, finish, number=number)
        beside = ending.replace(b'"usage": null', b'"usage": ' + json.dumps(usage()).encode())
        return {
            "before": [counted(number), ending],
            "beside": [beside],
            "after": [ending, counted(number)],
            "nowhere": [ending],
        }[place]

    for calls, mixed in (([piece(TOOL_NAME, 0)], False), ([piece(TOOL_NAME, 0), piece("read", 1)], True)):
        weaver = LOOM.weaver(OURS)
        woven = woven_of(weaver, [BEGIN, event({"tool_calls": calls}), *counts({}, "tool_calls", 0), *done])
        assert len(weaver.calls) == 1 and weaver.mixed == mixed
        woven += weaver.settle(["x"])
        if not mixed:
            woven += woven_of(weaver, [event({"content": "so"}, number=1), *counts({}, "stop", 1), *done])
        assert weaver.done and not weaver.calls
        chunks = [json.loads(raw[6:]) for raw in woven.split(b"\n\n")[:-1] if raw != DONE.strip()]
        told = [chunk["usage"]["total_tokens"] for chunk in chunks if chunk["usage"]]
        assert told[-1:] == ([] if place == "nowhere" else [12 if mixed else 24])
        assert names(read(woven)) == (["read"] if mixed else [])


def test_a_round_of_which_only_the_ending_came_twice_is_one_round() -> None:
    weaver = LOOM.weaver(OURS)
    woven_of(weaver, [event({"tool_calls": [piece(TOOL_NAME, 0)]}), event({}, "tool_calls"), event({}, "tool_calls")])
    assert len(weaver.calls) == 1


@pytest.mark.parametrize(
    "raw",
    [
        b'data: {"choices":[{"index":0,"delta":{"content":"a","content":"b","tool_calls":[%b]}}]}\n\n',
        b'data: {"choices":[{"index":0,"index":0,"delta":{"tool_calls":[%b]},"finish_reason":"tool_calls"}]}\n\n',
        b'data: {"choices":[],"choices":[{"index":0,"delta":{"tool_calls":[%b]}}]}\n\n',
    ],
)
def test_a_call_in_an_event_with_a_key_twice_passes_or_cuts_the_answer(raw: bytes) -> None:
    raw %= json.dumps(piece(TOOL_NAME, 0)).encode()
    weaver = LOOM.weaver(OURS)
    assert weaver.feed(BEGIN) is BEGIN and weaver.feed(raw) is raw
    assert weaver.done and not weaver.calls and weaver.turn() is None

    weaver = LOOM.weaver(OURS)
    weaver.feed(event({"content": "so", "tool_calls": [piece(TOOL_NAME, 1)]}))
    assert woven_of(weaver, [raw, event({}, "tool_calls"), DONE]) == b""
    assert not weaver.done and not weaver.calls


def test_a_document_with_a_key_twice_passes() -> None:
    document = plain(("a", [HIDDEN]), 0).replace(b'"refusal"', b'"content": "b", "refusal"')
    weaver = LOOM.plain_weaver(OURS)
    weaver.feed(document)
    assert weaver.finish() is document and not weaver.calls


def test_a_second_choice_that_comes_late_loses_nothing_or_cuts_the_answer() -> None:
    other = event({"content": "b"}, index=1)
    events = [BEGIN, event({"tool_calls": [piece(TOOL_NAME, 0)]}), event({}, "tool_calls"), counted(), DONE]
    for place in range(1, len(events)):
        weaver = LOOM.weaver(OURS)
        given_events = [*events[:place], other, *events[place:]]
        assert woven_of(weaver, given_events) == b"".join(given_events)
        assert weaver.done and not weaver.calls and weaver.turn() is None
    changed = [BEGIN, event({"content": "so", "tool_calls": [piece(TOOL_NAME, 0)]}), event({}, "tool_calls")]
    for place in (2, 3):
        weaver = LOOM.weaver(OURS)
        woven = woven_of(weaver, [*changed[:place], other, *changed[place:], DONE])
        assert TOOL_NAME.encode() not in woven and not weaver.done and not weaver.calls
    weaver = LOOM.weaver(OURS)
    woven_of(weaver, [*changed, DONE])
    weaver.settle(["x"])
    assert woven_of(weaver, [event({"content": "a"}, number=1), other, event({}, "stop"), DONE]).count(b"data:") == 1
    assert not weaver.done


def test_calls_after_the_ending_cut_the_answer() -> None:
    weaver = LOOM.weaver(OURS)
    events = [event({"content": "a", "tool_calls": [piece(TOOL_NAME, 0)]}), event({}, "tool_calls")]
    woven = woven_of(weaver, [*events, event({"tool_calls": [piece("read", 1)]}), DONE])
    assert b"read" not in woven and not weaver.calls and not weaver.done


def test_a_text_after_the_ending_passes() -> None:
    weaver = LOOM.weaver(OURS)
    woven_of(weaver, [event({"tool_calls": [piece(TOOL_NAME, 0)]}), event({}, "tool_calls")])
    late = event({"content": "late"})
    assert weaver.feed(late) is late and len(weaver.calls) == 1


def test_an_error_in_the_middle_ends_the_answer() -> None:
    error = b'data: {"error":{"message":"overloaded"}}\n\n'
    for ending in ([], [event({}, "tool_calls")]):
        weaver = LOOM.weaver(OURS)
        woven_of(weaver, [event({"tool_calls": [piece(TOOL_NAME, 0)]}), *ending])
        assert weaver.feed(error) is error
        assert weaver.done and not weaver.calls


def test_an_error_without_words_gets_some() -> None:
    for body in (b"", b'{"error":null}', b"<html>"):
        assert b"could not be continued" in LOOM.weaver(OURS).fail(502, body)


@pytest.mark.parametrize("text", ["so", ""])
def test_plain_answers_at_the_round_limit(text: str) -> None:
    weaver = LOOM.plain_weaver(OURS)
    for number in range(4):
        weaver.feed(plain((text, [HIDDEN]), number))
        assert len(weaver.calls) == 1 and not weaver.mixed
        weaver.settle(["x"])
    document = json.loads(weaver.finish())
    choice = document["choices"][0]
    assert choice["finish_reason"] == "stop" and "tool_calls" not in choice["message"]
    assert (choice["message"]["content"] or "") == text * 4 and document["usage"]["total_tokens"] == 48
    assert len(json.loads(weaver.continuation(BODY))["messages"]) == 9
    weaver.feed(plain(("end", []), 4))
    assert json.loads(weaver.finish())["choices"][0]["message"]["content"] == text * 4 + "end"
    assert (weaver.turn() or (b"", Turn(())))[1].rounds[-1].end == len(text) * 4


def test_a_plain_answer_without_content_gets_that_of_the_earlier_rounds() -> None:
    weaver = LOOM.plain_weaver(OURS)
    weaver.feed(plain(("so", [HIDDEN]), 0))
    weaver.settle(["x"])
    weaver.feed(plain(("", [("read", "{}")]), 1).replace(b'"content": null, ', b""))
    assert json.loads(weaver.finish())["choices"][0]["message"]["content"] == "so"


# --- what the client sends back --------------------------------------------------------------------

MARKED = {"cache_control": {"type": "ephemeral"}}
RESULT = {"role": "tool", "tool_call_id": "own", "content": "own"}
OWN_CALL = {"id": "own", "type": "function", "function": {"name": "read", "arguments": "{}"}}


def turn_of(
    *rounds: Said, thoughts: Sequence[str] = (), key: str = "reasoning_content"
) -> tuple[bytes, Turn, list[object]]:
    """What is kept of a turn, and the messages that the provider was asked with in the last round."""
    weaver = LOOM.weaver(OURS)
    body = BODY
    for number, said in enumerate(rounds):
        for thought in thoughts[number : number + 1]:
            weaver.feed(event({"role": "assistant", key: thought}, number=number))
        woven_of(weaver, stream(said, number))
        if weaver.calls:
            weaver.settle(["x"] * len(weaver.calls))
            body = weaver.continuation(BODY)
    found = weaver.turn()
    assert found is not None
    return (*found, json.loads(body)["messages"][1:])


def put_back(items: Sequence[object], turn: Turn, **style: Any) -> list[dict[str, Any]]:
    raws = [json.dumps(item, **style).encode() for item in items]
    edits = LOOM.reinsert(raws, 0, turn)
    assert edits
    back = [splice(raw, [], [edit for where, edit in edits if where == at]) for at, raw in enumerate(raws)]
    whole: list[dict[str, Any]] = json.loads(b"[%b]" % b",".join(back))
    asked = [call["id"] for item in whole for call in item.get("tool_calls") or []]
    assert sorted(asked) == sorted(item["tool_call_id"] for item in whole if item["role"] == "tool")
    assert all(item["content"] is not None or item.get("tool_calls") for item in whole if item["role"] == "assistant")
    return whole


@pytest.mark.parametrize("style", [{}, {"separators": (",", ":")}, {"indent": 1, "ensure_ascii": False}])
@pytest.mark.parametrize("marks", [{}, MARKED])
def test_content_as_parts_with_markers_is_cut_too(style: dict[str, Any], marks: dict[str, object]) -> None:
    name, turn, asked = turn_of(("sö", [HIDDEN]), (" be", []))
    for content in (
        "sö be",
        [{"type": "text", "text": "sö be", **marks}],
        [{**marks, "text": "sö be", "type": "text"}],
    ):
        mine = {"content": content, "role": "assistant", **(marks if isinstance(content, str) else {})}
        assert LOOM.anchors([json.dumps(mine, **style).encode()]) == [name]
        back = put_back([mine], turn, **style)
        assert back[:-1] == asked
        rest = [{**content[0], "text": " be"}] if isinstance(content, list) else " be"
        assert back[-1] == {**mine, "content": rest}


def test_content_in_several_parts_stays_where_nothing_has_to_be_cut() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b", **MARKED}]
    name, turn, asked = turn_of(("", [HIDDEN]), ("ab", []))
    mine = {"role": "assistant", "content": parts}
    assert LOOM.anchors([json.dumps(mine).encode()]) == [name]
    assert put_back([mine], turn) == [*asked, mine]
    _, turn, _ = turn_of(("a", [HIDDEN]), ("b", []))
    assert LOOM.reinsert([json.dumps(mine).encode()], 0, turn) == []


@pytest.mark.parametrize("content", ["so", [{"type": "text", "text": "so", **MARKED}]])
def test_a_last_round_that_said_nothing_leaves_the_clients_message(content: object) -> None:
    _, turn, asked = turn_of(("so", [HIDDEN]), ("", []))
    mine = {"role": "assistant", "content": content}
    assert put_back([mine], turn) == [*asked, mine]
    _, turn, asked = turn_of(("so", [HIDDEN]), ("", [("read", "{}")]))
    back = put_back([{**mine, "tool_calls": [OWN_CALL]}, RESULT], turn)
    assert back == [*asked, {"role": "assistant", "content": None, "tool_calls": [OWN_CALL]}, RESULT]


def test_a_message_with_a_key_twice_is_left() -> None:
    _, turn, _ = turn_of(("so", [HIDDEN]), ("be", []))
    assert LOOM.reinsert([b'{"role":"assistant","content":"sobe","content":"sobe"}'], 0, turn) == []


# --- thoughts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize("last", [("end", []), ("", [("read", "{}")]), ("end", [HIDDEN, ("read", "{}")])])
def test_thoughts_pass_and_go_back_with_their_calls(key: str, last: Said) -> None:
    thoughts = ['I "think"\n', "ünd", "more"]
    name, turn, asked = turn_of(("a", [HIDDEN]), ("", [HIDDEN]), last, thoughts=thoughts, key=key)
    hidden = [message for message in asked if isinstance(message, dict) and message["role"] == "assistant"]
    assert [message[key] for message in hidden[:2]] == thoughts[:2]
    assert list(hidden[0]) == ["role", "content", key, "tool_calls"]
    calls = {"tool_calls": [{**OWN_CALL, "id": call_of("read", 2, len(last[1]) - 1)}]} if last[1] else {}
    results = [{**RESULT, "tool_call_id": call_of("read", 2, len(last[1]) - 1)}] if last[1] else []
    text = "a" + last[0]
    for sent, kept in ((None, None), ("".join(thoughts), "more"), ("".join(thoughts[:2]), None), ("other", "other")):
        mine = {"role": "assistant", "content": text, **({key: sent} if sent else {}), **calls}
        assert LOOM.anchors([json.dumps(mine).encode()]) == [name]
        back = put_back([mine, *results], turn)
        assert back[:4] == asked[:4]
        assert back[4].get(key) == kept and (back[4]["content"] or "") == last[0]


def test_thoughts_pass_to_the_client_as_they_come() -> None:
    weaver = LOOM.weaver(OURS)
    first = event({"role": "assistant", "content": None, "reasoning_content": "I think"})
    assert weaver.feed(first) is first
    woven_of(weaver, [event({"tool_calls": [piece(TOOL_NAME, 0)]}, "tool_calls"), DONE])
    weaver.settle(["x"])
    assert weaver.feed(event({"content": None, "reasoning_content": "on"}, number=1)) == event(
        {"content": None, "reasoning_content": "on"}
    ).replace(b'"created": 101', b'"created": 100')


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize("last", [{"KEY": "end"}, {"KEY": None}, {}])
def test_thoughts_of_plain_answers_are_joined(key: str, last: dict[str, str | None]) -> None:
    weaver = LOOM.plain_weaver(OURS)
    ending = {key: last["KEY"]} if last else {}
    for number, (said, thought) in enumerate([(("a", [HIDDEN]), {key: "I"}), (("b", []), ending)]):
        document = json.loads(plain(said, number))
        document["choices"][0]["message"].update(thought)
        weaver.feed(json.dumps(document).encode())
        if weaver.calls:
            weaver.settle(["x"])
    message = json.loads(weaver.finish())["choices"][0]["message"]
    assert message[key] == "I" + (ending.get(key) or "") and message["content"] == "ab"
    assert json.loads(weaver.continuation(BODY))["messages"][1][key] == "I"


def test_a_calls_signature_goes_back_with_it() -> None:
    extra = {"extra_content": {"thought_signature": "c2ln"}}
    weaver = LOOM.weaver(OURS)
    woven_of(weaver, [BEGIN, event({"tool_calls": [piece(TOOL_NAME, 0, **extra)]}, "tool_calls"), DONE])
    weaver.settle(["x"])
    [call] = json.loads(weaver.continuation(BODY))["messages"][1]["tool_calls"]
    assert call["extra_content"] == extra["extra_content"]
