"""Weaving answers that are made of items: what the client gets, what the provider is asked, and what is put back."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.items import LOOM
from headroom.weave import RETRIEVE, TOOL_NAME, Round, Turn
from headroom.wire.sse import SseSplitter, parse_event
from headroom.zones.places import replaced
from tests.support.captured import captured
from tests.support.dialects import exchange, route
from tests.support.events import Answer, Usage, compact, plain_body, stream_events
from tests.support.script import Json, Script, ToolCall
from tests.support.script import Turn as Scripted

# Whichever of them the SDK is built upon.
httpx: Any = sys.modules.get("httpx2") or sys.modules.get("httpx")

HIDDEN = "hidden"
OURS = frozenset({TOOL_NAME})
HASH = "0f3a" * 6


# A writer of answers: rounds of items in any order.


@dataclass(frozen=True)
class Said:
    """One item of a round: what kind, and its text or arguments."""

    kind: str
    word: str = ""


@dataclass(frozen=True)
class Rounds:
    """The rounds of one answer, each a list of items."""

    rounds: tuple[tuple[Said, ...], ...]
    sealed: bool = True
    delta: int = 7

    def items(self, number: int) -> list[Json]:
        """The items of a round as the provider ends them."""
        return [self._item(said, f"{number}{index:02d}") for index, said in enumerate(self.rounds[number])]

    def _item(self, said: Said, spot: str) -> Json:
        if said.kind == "reasoning":
            item: Json = {"id": f"rs_{spot}", "type": "reasoning", "summary": [summary(said.word)]}
            return {**item, "encrypted_content": f"gAAAAA{spot}=="} if self.sealed else item
        if said.kind == "text":
            part = {"type": "output_text", "annotations": [], "logprobs": [], "text": f"{said.word} ({spot})"}
            item = {"id": f"msg_{spot}", "type": "message", "status": "completed"}
            return {**item, "content": [part], "role": "assistant"}
        if said.kind == "search":
            return {"id": f"ws_{spot}", "type": "web_search_call", "status": "completed", "action": {"type": "search"}}
        if said.kind == "custom":
            item = {"id": f"ctc_{spot}", "type": "custom_tool_call", "status": "completed"}
            return {**item, "call_id": f"call_{spot}", "input": said.word, "name": "apply_patch"}
        name = TOOL_NAME if said.kind == HIDDEN else "shell"
        arguments = compact({"hash": HASH, "match": said.word} if said.kind == HIDDEN else {"command": said.word})
        item = {"id": f"fc_{spot}", "type": "function_call", "status": "completed", "arguments": arguments}
        return {**item, "call_id": f"call_{spot}", "name": name}


def summary(text: str) -> Json:
    return {"type": "summary_text", "text": text}


def response(rounds: Rounds, number: int, status: str, output: list[Json], **more: object) -> Json:
    counted = status not in ("in_progress", "queued")
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 1_750_000_000,
        "status": status,
        "error": None,
        "model": "m",
        "output": output,
        "parallel_tool_calls": True,
        "store": False,
        "tool_choice": "auto",
        "tools": [],
        "usage": used(number) if counted else None,
        "metadata": {},
        **more,
    }


def used(number: int) -> Json:
    return {
        "input_tokens": 100 + number,
        "input_tokens_details": {"cached_tokens": 10 * number},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 105 + number,
    }


def named(number: int, event: Json) -> bytes:
    return f"event: {event['type']}\ndata: {compact({**event, 'sequence_number': number})}\n\n".encode()


def stream(rounds: Rounds, number: int, status: str = "completed", **more: object) -> list[bytes]:
    """A round as the provider streams it."""
    return [named(at, event) for at, event in enumerate(_events(rounds, number, status, **more))]


def _events(rounds: Rounds, number: int, status: str, **more: object) -> Iterator[Json]:
    begun = response(rounds, number, "in_progress", [], **more)
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    items = rounds.items(number)
    for index, (said, item) in enumerate(zip(rounds.rounds[number], items, strict=True)):
        place: Json = {"item_id": item["id"], "output_index": index}
        empty: dict[str, Json] = {
            "text": {"content": []},
            "reasoning": {"summary": []},
            "search": {},
            "custom": {"input": ""},
        }
        first: Json = {**item, **empty.get(said.kind, {"arguments": ""})}
        if "status" in first:
            first["status"] = "in_progress"
        yield {"type": "response.output_item.added", "output_index": index, "item": first}
        yield from _deltas(rounds, said, item, place)
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": f"response.{status}", "response": response(rounds, number, status, items, **more)}


def _deltas(rounds: Rounds, said: Said, item: Json, place: Json) -> Iterator[Json]:
    if said.kind == "text":
        spot, whole = {**place, "content_index": 0}, item["content"]
        assert isinstance(whole, list)
        part, text = whole[0], whole[0]["text"]
        yield {"type": "response.content_part.added", **spot, "part": {**part, "text": ""}}
        for at in range(0, len(text), rounds.delta):
            yield {"type": "response.output_text.delta", **spot, "delta": text[at : at + rounds.delta], "logprobs": []}
        yield {"type": "response.output_text.done", **spot, "text": text, "logprobs": []}
        yield {"type": "response.content_part.done", **spot, "part": part}
    elif said.kind == "reasoning":
        spot, kind = {**place, "summary_index": 0}, "response.reasoning_summary"
        yield {"type": f"{kind}_part.added", **spot, "part": summary("")}
        yield {"type": f"{kind}_text.delta", **spot, "delta": said.word}
        yield {"type": f"{kind}_part.done", **spot, "part": summary(said.word)}
    elif said.kind == "search":
        yield {"type": "response.web_search_call.searching", **place}
    elif said.kind != "custom":
        arguments = str(item["arguments"])
        for at in range(0, len(arguments), rounds.delta):
            yield {
                "type": "response.function_call_arguments.delta",
                **place,
                "delta": arguments[at : at + rounds.delta],
            }
        yield {"type": "response.function_call_arguments.done", **place, "arguments": arguments}


# Weaving all rounds as the proxy does.

BODY: Json = {
    "model": "m",
    "input": [
        {"type": "message", "role": "user", "content": "go"},
        {"type": "function_call", "call_id": "c0", "name": "shell", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c0", "output": f"short <<ccr:{HASH}>>"},
    ],
    "stream": True,
    "store": False,
}


@dataclass
class Woven:
    """What came of a weaving."""

    out: list[bytes] = field(default_factory=list)
    body: bytes = b""
    kept: tuple[bytes, Turn] | None = None
    calls: list[list[str]] = field(default_factory=list)

    @property
    def events(self) -> list[Json]:
        """What the client was told."""
        return told(b"".join(self.out))


def told(wire: bytes) -> list[Json]:
    rows = [line for line in wire.decode().split("\n") if line.startswith("data: ")]
    return [json.loads(row.removeprefix("data: ")) for row in rows]


def result(call_id: str) -> str:
    return f"the original of {call_id}: “é\n"


def weave(rounds: Rounds, body: Json = BODY, **more: object) -> Woven:
    """Weave a stream of all rounds."""
    weaver, woven = LOOM.weaver(OURS), Woven(body=compact(body).encode())
    for number in range(len(rounds.rounds)):
        for raw in stream(rounds, number, "completed", **more):
            assert not weaver.calls and not weaver.done
            woven.out.append(weaver.feed(raw))
        if not weaver.calls:
            break
        woven.calls.append([call.id for call in weaver.calls])
        assert all(json.loads(call.arguments)["hash"] == HASH for call in weaver.calls)
        mixed = weaver.mixed
        woven.out.append(weaver.settle([result(call.id) for call in weaver.calls]))
        if mixed:
            break
        assert woven.out[-1] == b""
        woven.body = weaver.continuation(compact(body).encode())
    assert weaver.done
    woven.kept = weaver.turn()
    return woven


def weave_plain(rounds: Rounds, body: Json = BODY) -> tuple[Json, tuple[bytes, Turn] | None, bytes]:
    """Weave plain answers of all rounds."""
    weaver, asked = LOOM.plain_weaver(OURS), compact(body).encode()
    for number in range(len(rounds.rounds)):
        weaver.feed(compact(response(rounds, number, "completed", rounds.items(number))).encode())
        if not weaver.calls:
            break
        mixed = weaver.mixed
        weaver.settle([result(call.id) for call in weaver.calls])
        if mixed:
            break
        asked = weaver.continuation(compact(body).encode())
    answer: Json = json.loads(weaver.finish())
    return answer, weaver.turn(), asked


def visible(items: Sequence[Json]) -> list[Json]:
    return [item for item in items if item.get("name") != TOOL_NAME]


def shown(rounds: Rounds) -> list[Json]:
    """The items that the client is to get."""
    return [item for number in range(len(rounds.rounds)) for item in visible(rounds.items(number))]


def seen(rounds: Rounds) -> list[Json]:
    """The items of the whole turn, as the provider is to read them."""
    out: list[Json] = []
    for number in range(len(rounds.rounds)):
        waiting: list[Json] = []
        for item in rounds.items(number):
            if item.get("name") == TOOL_NAME:
                call = str(item["call_id"])
                waiting.append({"type": "function_call_output", "call_id": call, "output": result(call)})
            else:
                out += waiting
                waiting.clear()
            out.append(item)
        out += waiting
    return out


def outputs(items: Sequence[Json]) -> list[Json]:
    """The client's results for its own calls."""
    kinds = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}
    return [
        {"type": kinds[str(item["type"])], "call_id": item["call_id"], "output": "done"}
        for item in items
        if item["type"] in kinds
    ]


def put_back(items: Sequence[bytes], kept: tuple[bytes, Turn]) -> list[Json]:
    """A request's items with what was hidden."""
    anchor, turn = kept
    anchors = LOOM.anchors(items)
    at = anchors.index(anchor)
    edits = LOOM.reinsert(items, at, turn)
    changed = [
        replaced(item, sorted(((edit.start, edit.end), edit.token) for number, edit in edits if number == index))
        for index, item in enumerate(items)
    ]
    assert all(edit.start == edit.end for _, edit in edits)
    whole: list[Json] = json.loads(b"[" + b",".join(changed) + b"]")
    return whole


def sent(items: Sequence[Json]) -> list[bytes]:
    return [compact(item).encode() for item in items]


def sdk_final(wire: bytes) -> Json:
    """What the SDK makes of a stream."""
    head = {"content-type": "text/event-stream"}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, headers=head, content=wire))
    with httpx.Client(transport=transport) as http:
        client = openai.OpenAI(api_key="k", base_url="http://origin/v1", http_client=http, max_retries=0)
        with client.responses.stream(model="m", input="go") as parsed:
            final = parsed.get_final_response()
    value: Json = json.loads(final.model_dump_json(exclude_unset=True))
    return value


WORDS = st.text(alphabet=st.sampled_from('ab é"\\\n{}<>:0'), max_size=30)
VISIBLE = st.builds(Said, st.sampled_from(["text", "reasoning", "search"]), WORDS)
CALLS = st.builds(Said, st.sampled_from(["client", "custom"]), WORDS)
ASKS = st.builds(Said, st.just(HIDDEN), WORDS)


@st.composite
def turns(draw: st.DrawFn) -> Rounds:
    """One to three rounds: all but the last call the retrieve tool; the last may call it and the client's tools."""
    rounds: list[tuple[Said, ...]] = []
    for _ in range(draw(st.integers(0, 2))):
        said = draw(st.lists(st.one_of(VISIBLE, ASKS), max_size=4))
        said.insert(draw(st.integers(0, len(said))), draw(ASKS))
        rounds.append(tuple(said))
    last = draw(st.lists(st.one_of(VISIBLE, CALLS, ASKS), max_size=5))
    if any(said.kind == HIDDEN for said in last) and not any(said.kind in ("client", "custom") for said in last):
        last.append(draw(CALLS))
    rounds.append(tuple(last))
    return Rounds(tuple(rounds), delta=draw(st.sampled_from([1, 7, 100])))


EXAMPLE = Rounds(
    (
        (Said("reasoning", "hm"), Said("text", "Let me see."), Said(HIDDEN, "x"), Said(HIDDEN, "y")),
        (Said("reasoning", "so"), Said("text", "More."), Said(HIDDEN, "z")),
        (Said("reasoning", "ah"), Said("text", "Found."), Said("client", "ls"), Said("custom", "*** patch")),
    )
)
MIXED = Rounds(
    ((Said("reasoning"), Said("client", "a"), Said("text", "t"), Said(HIDDEN, "h"), Said("client", "b")),),
)


def test_the_tool_is_the_same_bytes_for_ever() -> None:
    assert LOOM.tool(RETRIEVE) == (
        b'{"type":"function","name":"headroom_retrieve","description":"A result that ends in <<ccr:HASH>> is s'
        b'hown in part. Fetches all of it, a range of lines, or lines with a text, if the part is not enough."'
        b',"parameters":{"type":"object","properties":{"hash":{"type":"string"},"lines":{"type":"string","desc'
        b'ription":"like 120-180"},"match":{"type":"string"}},"required":["hash"]},"strict":false}'
    )
    assert json.loads(LOOM.tool(RETRIEVE))["name"] == TOOL_NAME


@given(turns())
@settings(max_examples=150, deadline=None)
def test_a_woven_stream_is_that_of_the_visible_items(rounds: Rounds) -> None:
    woven = weave(rounds)
    wire = b"".join(woven.out)
    assert TOOL_NAME.encode() not in wire
    events = woven.events
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    added = [event for event in events if event["type"] == "response.output_item.added"]
    assert [event["output_index"] for event in added] == list(range(len(shown(rounds))))
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert done == shown(rounds)
    final = events[-1]["response"]
    assert isinstance(final, dict)
    assert final["output"] == shown(rounds)
    count = len(rounds.rounds)
    assert final["usage"]["input_tokens"] == sum(100 + number for number in range(count))
    assert final["usage"]["input_tokens_details"]["cached_tokens"] == sum(10 * number for number in range(count))
    assert final["usage"]["output_tokens_details"]["reasoning_tokens"] == 2 * count


@given(turns())
@settings(max_examples=40, deadline=None)
def test_the_sdk_reads_a_woven_stream_as_the_turn_without_hidden_calls(rounds: Rounds) -> None:
    final = sdk_final(b"".join(weave(rounds).out))
    output = final["output"]
    assert isinstance(output, list)
    for item in output:
        item.pop("parsed_arguments", None)
        for part in item.get("content") or ():
            part.pop("parsed", None)
    assert output == shown(rounds)


@given(turns())
@settings(max_examples=100, deadline=None)
def test_a_plain_answer_is_woven_alike(rounds: Rounds) -> None:
    answer, kept, asked = weave_plain(rounds)
    woven = weave(rounds)
    assert answer["output"] == shown(rounds)
    assert answer["id"] == f"resp_{len(rounds.rounds) - 1}"
    final = woven.events[-1]["response"]
    assert isinstance(final, dict)
    assert answer["usage"] == final["usage"]
    assert (kept, asked) == (woven.kept, woven.body)


@given(turns(), st.booleans())
@settings(max_examples=200, deadline=None)
def test_what_is_put_back_is_what_the_provider_saw(rounds: Rounds, sealed: bool) -> None:
    rounds = Rounds(rounds.rounds, sealed)
    woven = weave(rounds, {**BODY, "store": True}, store=True)
    earlier = BODY["input"]
    assert isinstance(earlier, list)
    asked = json.loads(woven.body)["input"]
    whole = [*earlier, *seen(rounds)]
    assert asked == whole[: len(asked)]
    if woven.kept is None:
        assert not woven.calls or not shown(rounds)
        return
    mine = outputs(shown(rounds))
    tail: list[Json] = [*mine, {"role": "user", "content": "and now?"}]
    assert put_back(sent([*earlier, *shown(rounds), *tail]), woven.kept) == [*whole, *tail]


@given(turns(), st.sampled_from(["ids", "status", "reasoning", "spaces", "between"]))
@settings(max_examples=300, deadline=None)
def test_clients_may_leave_things_out_and_write_in_their_own_way(rounds: Rounds, way: str) -> None:
    woven = weave(rounds)
    if woven.kept is None:
        return
    earlier = BODY["input"]
    assert isinstance(earlier, list)
    back, whole = shown(rounds), seen(rounds)
    mine = outputs(back)
    if way in ("ids", "status"):
        key = "id" if way == "ids" else "status"
        back = [{name: value for name, value in item.items() if name != key} for item in back]
        # A hidden call keeps its status, which says nothing; its id goes where the client gives none.
        hidden = [item for item in whole if item.get("name") == TOOL_NAME and way == "status"]
        whole = [
            item if item in hidden else {name: value for name, value in item.items() if name != key} for item in whole
        ]
    elif way == "reasoning":
        back = [item for item in back if item["type"] != "reasoning"]
        whole = [item for item in whole if item["type"] != "reasoning"]
    raws = sent([*earlier, *back, *mine])
    if way == "spaces":
        raws = [json.dumps(dict(reversed(item.items())), indent=1).encode() for item in [*earlier, *back, *mine]]
    elif way == "between":
        pairs = {str(one["call_id"]): one for one in mine}
        raws = sent(list(earlier))
        for item in back:
            raws += sent([item])
            if item.get("call_id"):
                raws += sent([pairs.pop(str(item["call_id"]))])
    if woven.kept[0] not in LOOM.anchors(raws):
        # All that would be known again was left out.
        assert way == "reasoning"
        return
    got = put_back(raws, woven.kept)
    check_pairs(got)
    if way == "reasoning":
        got, whole = without(got, "id"), without(whole, "id")
    if way == "between":
        results = [item for item in got if item in mine]
        got = [item for item in got if item not in mine] + mine
        assert len(results) == len(mine)
    assert got == [*earlier, *whole, *mine]


def without(items: Sequence[Json], key: str) -> list[Json]:
    return [{name: value for name, value in item.items() if name != key} for item in items]


def check_pairs(items: Sequence[Json]) -> None:
    """Every call has exactly one result, and it comes later."""
    open_calls: list[object] = []
    for item in items:
        if str(item.get("type")).endswith("call_output"):
            open_calls.remove(item["call_id"])
        elif item.get("call_id"):
            assert item["call_id"] not in open_calls
            open_calls.append(item["call_id"])
    assert open_calls == []


def test_without_a_retrieve_call_every_event_passes_as_the_same_object() -> None:
    rounds = Rounds(((Said("reasoning", "r"), Said("text", f"I could call {TOOL_NAME}."), Said("client", TOOL_NAME)),))
    for status in ("completed", "incomplete", "failed"):
        weaver = LOOM.weaver(OURS)
        # The provider echoes the tools it was given in every answer object.
        for raw in stream(rounds, 0, status, tools=[json.loads(LOOM.tool(RETRIEVE))]):
            assert weaver.feed(raw) is raw
        assert weaver.done and not weaver.calls and weaver.turn() is None
    plain = LOOM.plain_weaver(OURS)
    document = compact(response(rounds, 0, "completed", rounds.items(0))).encode()
    plain.feed(document)
    assert not plain.calls and plain.finish() is document and plain.turn() is None


def test_the_scripted_origin_is_woven() -> None:
    hidden, client = ToolCall(TOOL_NAME, {"hash": HASH}), ToolCall("shell", {"command": "ls"})
    script = Script.single([Scripted("Let me see.", (hidden,), "hm"), Scripted("So.", (client,), "ah")])
    weaver, out = LOOM.weaver(OURS), b""
    body: Json = {**BODY, "input": "go", "tools": [{}], "reasoning": {"effort": "high"}}
    found = route("POST", "/v1/responses")
    assert found is not None
    for _ in range(2):
        answer = Answer(exchange(found, body, script), Usage(100, 20, 0, 7))
        out += b"".join(weaver.feed(raw) for raw in stream_events(answer))
        if weaver.calls:
            assert weaver.settle(["an original"]) == b""
            body = json.loads(weaver.continuation(compact({**body, "input": "go"}).encode()))
    final = sdk_final(out)
    items, count = final["output"], final["usage"]
    assert isinstance(items, list) and isinstance(count, dict)
    assert [item["type"] for item in items] == ["reasoning", "message", "reasoning", "message", "function_call"]
    assert (count["input_tokens"], count["output_tokens"], count["total_tokens"]) == (240, 14, 254)
    assert json.loads(plain_body(answer))["output"] == items[2:] or items[4]["name"] == "shell"


def test_text_passes_at_once_and_only_the_call_and_the_ending_are_held() -> None:
    weaver = LOOM.weaver(OURS)
    events = stream(EXAMPLE, 0)
    for raw in events:
        out = weaver.feed(raw)
        if TOOL_NAME.encode() in raw or b'"item_id":"fc_' in raw or b"response.completed" in raw:
            assert out == b""
        else:
            assert out is raw
    assert [call.id for call in weaver.calls] == ["call_002", "call_003"]
    assert not weaver.mixed and not weaver.done


def test_deltas_after_a_hidden_call_change_in_their_numbers_only() -> None:
    before, after = stream(MIXED, 0), []
    weaver = LOOM.weaver(OURS)
    for raw in before:
        after.append(weaver.feed(raw))
    assert weaver.mixed
    for raw, out in zip(before, after, strict=True):
        if out and out is not raw:
            old, new = told(raw)[0], told(out)[0]
            assert {**old, "sequence_number": 0, "output_index": 0} == {**new, "sequence_number": 0, "output_index": 0}
            assert len(out) in (len(raw), len(raw) - 1)


def test_a_mixed_round_gives_its_ending_when_it_is_settled() -> None:
    weaver = LOOM.weaver(OURS)
    for raw in [*stream(MIXED, 0), b"data: [DONE]\n\n"]:
        out = weaver.feed(raw)
    assert (out, weaver.mixed, len(weaver.calls), weaver.done) == (b"", True, 1, False)
    ending = weaver.settle(["an original"])
    assert (weaver.mixed, len(weaver.calls), weaver.done) == (False, 0, True)
    assert ending.endswith(b"data: [DONE]\n\n")
    final = told(ending.removesuffix(b"data: [DONE]\n\n"))[0]["response"]
    assert isinstance(final, dict)
    assert final["output"] == visible(MIXED.items(0)) and final["usage"] == used(0)


def test_parallel_calls_stand_before_their_results() -> None:
    woven = weave(EXAMPLE)
    types = [item["type"] for item in json.loads(woven.body)["input"][3:]]
    first = ["reasoning", "message", "function_call", "function_call", *["function_call_output"] * 2]
    assert types == [*first, "reasoning", "message", "function_call", "function_call_output"]
    assert woven.calls == [["call_002", "call_003"], ["call_102"]]


def test_reasoning_keeps_every_byte() -> None:
    sealed = b'"encrypted_content": "gA\\u00e9\\/=="'
    item = b'{"type": "reasoning", "id": "rs_1", "summary": [ ], ' + sealed + b"}"
    call = b'{"type":"function_call","name":"headroom_retrieve","call_id":"c1","arguments":"{}"}'
    weaver = LOOM.plain_weaver(OURS)
    weaver.feed(b'{"output": [' + item + b" , " + call + b'], "usage": null}')
    weaver.settle(["x"])
    assert item + b"," + call in weaver.continuation(b'{"input":[]}')
    weaver.feed(b'{"output":[]}')
    assert weaver.finish() == b'{"output":[' + item + b"]}"


@pytest.mark.parametrize("cut", range(len(stream(EXAMPLE, 0))))
def test_a_stream_that_stops_gives_nothing_of_what_was_held(cut: int) -> None:
    weaver = LOOM.weaver(OURS)
    events = stream(EXAMPLE, 0)[:cut]
    out = b"".join(weaver.feed(raw) for raw in events)
    assert TOOL_NAME.encode() not in out and not weaver.calls and not weaver.done and weaver.turn() is None
    assert told(out) == told(b"".join(events))[: len(told(out))]


@pytest.mark.parametrize("status", ["incomplete", "failed"])
def test_an_answer_that_was_cut_short_is_over(status: str) -> None:
    weaver = LOOM.weaver(OURS)
    out = [weaver.feed(raw) for raw in stream(EXAMPLE, 0, status)]
    assert weaver.done and not weaver.calls and weaver.turn() is None
    assert TOOL_NAME.encode() not in b"".join(out)
    final = told(out[-1])[0]["response"]
    assert isinstance(final, dict) and final["output"] == visible(EXAMPLE.items(0))


def test_a_later_round_that_is_cut_short_keeps_what_was_said_before() -> None:
    weaver = LOOM.weaver(OURS)
    out = [weaver.feed(raw) for raw in stream(EXAMPLE, 0)]
    weaver.settle(["x", "y"])
    out += [weaver.feed(raw) for raw in stream(EXAMPLE, 1, "incomplete")]
    assert weaver.done and not weaver.calls
    final = told(out[-1])[0]["response"]
    assert isinstance(final, dict)
    assert final["output"] == [*visible(EXAMPLE.items(0)), *visible(EXAMPLE.items(1))]
    kept = weaver.turn()
    assert kept is not None and len(kept[1].rounds) == 1


def test_an_error_in_the_stream_ends_the_answer() -> None:
    weaver = LOOM.weaver(OURS)
    for raw in stream(EXAMPLE, 0):
        weaver.feed(raw)
    weaver.settle(["x", "y"])
    raw = (
        b'event: error\ndata: {"type":"error","code":"server_error","message":"m","param":null,"sequence_number":0}\n\n'
    )
    assert told(weaver.feed(raw))[0]["sequence_number"] == 15
    assert weaver.done


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (
            b'{\n  "error": {\n "message": "slow\\ndown", "type": "tokens", "param": null, "code": "rate"}}',
            "rate",
            "slow\ndown",
        ),
        (b'{"error":{"message":"m","type":"server_error"}}', "server_error", "m"),
        (b'{"error":"bad"}', "server_error", "the answer could not be continued: 429"),
        (b'{"error":{"code":3}}', "server_error", "the answer could not be continued: 429"),
        (b"", "server_error", "the answer could not be continued: 429"),
        (b"<html>", "server_error", "the answer could not be continued: 429"),
    ],
)
def test_a_round_that_cannot_be_had_is_an_error_event(body: bytes, code: str, message: str) -> None:
    weaver = LOOM.weaver(OURS)
    out = [weaver.feed(raw) for raw in stream(EXAMPLE, 0)]
    weaver.settle(["x", "y"])
    out.append(weaver.fail(429, body))
    assert weaver.done
    event = told(out[-1])[0]
    assert (event["type"], event["code"], event["message"], event["sequence_number"]) == ("error", code, message, 15)
    with pytest.raises(openai.APIError, match=message.split("\n", maxsplit=1)[0]):
        sdk_final(b"".join(out))


def test_a_request_that_is_one_string_becomes_a_list() -> None:
    weaver = LOOM.plain_weaver(OURS)
    weaver.feed(compact(response(EXAMPLE, 0, "completed", EXAMPLE.items(0))).encode())
    weaver.settle(["x", "y"])
    body = b'{"input" : "g\\u00f6\\n", "model":"m"}'
    out = weaver.continuation(body)
    assert out.startswith(b'{"input" : [{"role":"user","content":"g\\u00f6\\n"},{"id":"rs_000"')
    assert out.endswith(b'], "model":"m"}')
    assert json.loads(weaver.continuation(b'{"input":[ ]}'))["input"] == json.loads(out)["input"][1:]
    for bad in (b"{}", b'{"input":null}', b'{"input":{}}', b"", b"[]", b'{"input":[}'):
        with pytest.raises(ValueError, match="no list"):
            weaver.continuation(bad)


def test_a_request_that_names_an_earlier_answer_keeps_doing_so() -> None:
    body: Json = {"previous_response_id": "resp_x", "input": [{"type": "function_call_output", "call_id": "a"}]}
    woven = weave(EXAMPLE, body, store=True)
    asked = json.loads(woven.body)
    assert asked["previous_response_id"] == "resp_x"
    assert asked["input"][0] == {"type": "function_call_output", "call_id": "a"}
    final = woven.events[-1]["response"]
    assert isinstance(final, dict) and final["id"] == "resp_2"


def test_who_sends_the_whole_conversation_is_told_one_id() -> None:
    """The SDK refuses an answer whose id changes; only who goes on from an id needs that of the last round."""
    final = weave(EXAMPLE, BODY, store=True).events[-1]["response"]
    assert isinstance(final, dict) and final["id"] == "resp_0"
    final = weave(EXAMPLE, {**BODY, "input": "go"}).events[-1]["response"]
    assert isinstance(final, dict) and final["id"] == "resp_0"  # nothing is stored
    final = weave(EXAMPLE, {**BODY, "input": "go", "store": True}, store=True).events[-1]["response"]
    assert isinstance(final, dict) and final["id"] == "resp_2"


def test_reasoning_that_only_the_provider_could_look_up_is_left_out_where_nothing_is_stored() -> None:
    rounds = Rounds(EXAMPLE.rounds, sealed=False)
    kinds = [item["type"] for item in json.loads(weave(rounds).body)["input"]]
    assert "reasoning" not in kinds
    kinds = [item["type"] for item in json.loads(weave(rounds, {**BODY, "store": True}).body)["input"]]
    assert kinds.count("reasoning") == 2


def spelled(raw: bytes, way: str) -> bytes:
    """The same event in another spelling."""
    if way == "crlf":
        return raw.replace(b"\n", b"\r\n")
    if way == "no names":
        return raw[raw.index(b"data:") :]
    if way == "no blank":
        return raw.replace(b"event: ", b"event:").replace(b"data: ", b"data:")
    return raw.replace(b',"sequence_number"', b'\ndata: ,"sequence_number"')


@pytest.mark.parametrize("way", ["crlf", "no names", "no blank", "lines"])
def test_other_spellings_of_a_stream_are_woven(way: str) -> None:
    weaver, out = LOOM.weaver(OURS), b""
    for number in range(3):
        out += b"".join(weaver.feed(spelled(raw, way)) for raw in stream(EXAMPLE, number))
        if weaver.calls:
            out += weaver.settle([result(call.id) for call in weaver.calls])
    events = [event for event in (parse_event(raw) for raw in SseSplitter().feed(out)) if event is not None]
    values = [json.loads(event.data) for event in events]
    assert values == weave(EXAMPLE).events
    assert weaver.turn() == weave(EXAMPLE).kept


def test_an_answer_object_without_items_is_completed_from_the_stream() -> None:
    """Some providers tell each item in the stream only."""
    weaver, out = LOOM.weaver(OURS), b""
    for number in range(3):
        *events, ending = stream(EXAMPLE, number)
        bare = told(ending)[0]
        bare["response"] = {"id": f"resp_{number}", "usage": used(number), "output": []}
        out += b"".join(weaver.feed(raw) for raw in [*events, named(len(events), bare)])
        if weaver.calls:
            out += weaver.settle([result(call.id) for call in weaver.calls])
    assert weaver.turn() == weave(EXAMPLE).kept
    events_told = told(out)
    assert [event["item"] for event in events_told if event["type"] == "response.output_item.done"] == shown(EXAMPLE)
    assert events_told[-1]["response"] == {"id": "resp_2", "usage": total(), "output": []}


def total() -> Json:
    final = weave(EXAMPLE).events[-1]["response"]
    assert isinstance(final, dict) and isinstance(final["usage"], dict)
    return final["usage"]


def test_a_call_that_the_client_was_told_of_stays_its_own() -> None:
    """The tool's name is there from the first; where it comes late, nothing can be taken back."""
    weaver = LOOM.weaver(OURS)
    rounds = Rounds(((Said(HIDDEN, "x"),),))
    for raw in stream(rounds, 0):
        told_late = raw if b"item.added" not in raw else raw.replace(b"headroom_retrieve", b"")
        assert weaver.feed(told_late) is told_late
    assert weaver.done and not weaver.calls


def test_anchors_are_the_models_own_and_stay_the_same() -> None:
    def anchor(item: object) -> bytes:
        return LOOM.anchors([json.dumps(item).encode()])[0]

    text = {"type": "message", "role": "assistant", "id": "a", "content": [{"type": "output_text", "text": "Hi.\n"}]}
    assert anchor(text) == anchor({"content": "Hi.", "role": "assistant"}) != b""
    assert anchor(text) != anchor({"content": "Ho.", "role": "assistant"})
    call = {"type": "function_call", "call_id": "c", "name": "n", "arguments": "{}", "id": "x", "status": "completed"}
    assert anchor(call) == anchor({"call_id": "c", "type": "function_call", "arguments": {}}) != b""
    sealed = {"type": "reasoning", "id": "r", "encrypted_content": "e", "summary": []}
    assert (
        anchor(sealed)
        == anchor({"encrypted_content": "e", "type": "reasoning"})
        != anchor({**sealed, "encrypted_content": ""})
    )
    search = {"type": "web_search_call", "id": "w", "status": "completed", "action": {"a": 1, "b": 2}}
    assert anchor(search) == anchor({"action": {"b": 2, "a": 1}, "type": "web_search_call"}) != b""
    assert len(anchor(text)) == 32
    others: list[object] = [
        {"role": "user", "content": "Hi."},
        {"type": "message", "role": "developer", "content": "Hi."},
        {"type": "function_call_output", "call_id": "c", "output": ""},
        {"type": "item_reference", "id": "a"},
        {"type": 3},
        [],
        None,
    ]
    assert [anchor(item) for item in others] == [b""] * len(others)


def test_a_turn_that_does_not_fit_is_not_put_back() -> None:
    kept = weave(EXAMPLE).kept
    assert kept is not None
    anchor, turn = kept
    back = sent(shown(EXAMPLE))
    at = LOOM.anchors(back).index(anchor)
    assert LOOM.reinsert(back, at, turn)
    assert LOOM.reinsert(back[at:], 0, turn) == []
    user = [b'{"role":"user","content":"x"}']
    assert LOOM.reinsert([*back[: at - 1], *user, *back[at:]], at, turn) == []
    assert LOOM.reinsert(back, at, Turn((Round(((0, b"{}"),), (), 1, False),))) == []


def test_a_turn_of_hidden_calls_alone_has_no_place() -> None:
    woven = weave(Rounds(((Said(HIDDEN, "x"),), ())))
    assert woven.calls and woven.kept is None


@pytest.mark.parametrize(
    "odd", [b"", b":\n\n", b"data: {\n\n", b"data: []\n\n", b"event: x\ndata: {}\n\n", b"\xff\n\n"]
)
def test_odd_events_pass(odd: bytes) -> None:
    weaver = LOOM.weaver(OURS)
    for number in range(3):
        for raw in stream(EXAMPLE, number):
            if not weaver.calls:
                assert weaver.feed(odd) is odd
            weaver.feed(raw)
        if weaver.calls:
            weaver.settle([""] * len(weaver.calls))
    assert weaver.done


@given(turns(), st.data())
@settings(max_examples=100, deadline=None)
def test_spoilt_events_never_raise(rounds: Rounds, data: st.DataObject) -> None:
    weaver = LOOM.weaver(OURS)
    for number in range(len(rounds.rounds)):
        events = stream(rounds, number)
        for at in data.draw(st.lists(st.integers(0, len(events) - 1), max_size=4)):
            end = data.draw(st.integers(0, len(events[at])))
            events[at] = data.draw(
                st.sampled_from(
                    [events[at][:end] + b"\n\n", events[at][::-1], b"", events[at] * 2, events[-1], events[0]]
                )
            )
        for raw in events:
            weaver.feed(raw)
        if weaver.calls:
            weaver.settle([""] * len(weaver.calls))
            weaver.continuation(compact(BODY).encode())
        weaver.turn()


@pytest.mark.parametrize("client", ["codex", "sdk-openai-responses"])
def test_anchors_of_real_clients_stay_the_same_over_all_requests(client: str) -> None:
    seen_before: list[bytes] = []
    for request in captured(client):
        items = json.loads(request.body)["input"]
        anchors = LOOM.anchors([json.dumps(item).encode() for item in items])
        for item, anchor in zip(items, anchors, strict=True):
            made = item.get("role") == "assistant" or item.get("type") in (
                "reasoning",
                "function_call",
                "custom_tool_call",
            )
            assert bool(anchor) == made
        assert anchors[: len(seen_before)] == seen_before
        made_anchors = [anchor for anchor in anchors if anchor]
        assert len(set(made_anchors)) == len(made_anchors)
        seen_before = anchors
    assert any(seen_before)


def test_a_plain_round_after_the_last_that_is_allowed_ends_the_answer() -> None:
    weaver = LOOM.plain_weaver(OURS)
    weaver.feed(compact(response(EXAMPLE, 0, "completed", EXAMPLE.items(0))).encode())
    weaver.settle(["no more", "no more"])
    answer = json.loads(weaver.finish())
    assert answer["output"] == visible(EXAMPLE.items(0)) and answer["usage"] == used(0)
    kept = weaver.turn()
    assert kept is not None and len(kept[1].rounds) == 1


def test_a_held_call_without_an_index_is_never_told() -> None:
    weaver, out = LOOM.weaver(OURS), b""
    for raw in stream(Rounds(((Said("text", "t"), Said(HIDDEN, "x")),)), 0):
        out += weaver.feed(raw.replace(b'"output_index":1,', b""))
    assert len(weaver.calls) == 1
    assert TOOL_NAME.encode() not in out and b"fc_001" not in out
