"""Retrieve calls within streams of deltas."""

from __future__ import annotations

import json
from collections.abc import Sequence

import httpx2
import openai
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.deltas import DeltaLoom
from headroom.weave import TOOL_NAME, Weaver
from headroom.zones.splice import splice

LOOM = DeltaLoom()
BODY = b'{"model":"m","messages":[{"role":"user","content":"go"}],"stream":true}'
Said = tuple[str, list[tuple[str, str]]]


def test_the_tool_is_these_bytes() -> None:
    assert LOOM.tool() == (
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
    weaver = LOOM.weaver()
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
    weaver = LOOM.plain_weaver()
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
    weaver = LOOM.weaver()
    for raw in stream(("a text", [("read", "{}")]), 0):
        assert weaver.feed(raw) is raw
    assert weaver.done and not weaver.calls and weaver.turn() is None


def test_several_choices_pass_untouched() -> None:
    events = stream(("a", [HIDDEN]), 0)
    for place in range(len(events) - 1):
        weaver = LOOM.weaver()
        given_events = [*events[:place], event({"content": "b"}, index=1), *events[place:]]
        woven = b"".join(map(weaver.feed, given_events))
        if place <= len(events) - 3:
            assert woven == b"".join(given_events)
            assert not weaver.calls


def test_a_stream_that_is_cut_never_shows_the_call() -> None:
    events = stream(("text", [("read", "{}"), HIDDEN]), 0)
    for place in range(len(events)):
        weaver = LOOM.weaver()
        woven = b"".join(map(weaver.feed, events[:place]))
        assert TOOL_NAME.encode() not in woven
        assert bool(weaver.calls) == (place > events.index(event({}, "tool_calls")))


def test_a_text_that_names_the_tool_passes() -> None:
    weaver = LOOM.weaver()
    for raw in [event({"content": f"use {TOOL_NAME}"}), *stream(("a", []), 0)]:
        assert weaver.feed(raw) is raw
    assert weaver.done and weaver.turn() is None


def test_an_error_is_the_providers_own() -> None:
    woven = LOOM.weaver().fail(429, b'{"error":{"message":"slow\\ndown"}}')
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
    weaver = LOOM.weaver()
    woven = b"".join(map(weaver.feed, events))
    if not any(TOOL_NAME.encode() in raw for raw in events):
        assert woven == b"".join(events)
    LOOM.anchors(events)
