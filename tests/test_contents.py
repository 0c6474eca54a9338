"""Turns of contents: what the client gets, what the provider gets, and what is put back later."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import httpx2
import pytest
from google import genai
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.content_weavers import ContentWeaver, PlainContentWeaver
from headroom.contents import ContentLoom
from headroom.looms import LOOMS
from headroom.weave import RETRIEVE, TOOL_NAME, Loom, Turn
from headroom.zones.splice import Edit
from tests.support.events import compact

Json = dict[str, Any]

LOOM: Loom = ContentLoom()
OURS = frozenset({TOOL_NAME})
ASKED: list[Json] = [{"role": "user", "parts": [{"text": "the question"}]}]
BODY = compact({"contents": ASKED, "tools": []}).encode()
TOOL = (
    b'{"functionDeclarations":[{"name":"headroom_retrieve","description":"A result that ends in <<ccr:HASH'
    b">> is shown in part. Fetches all of it, a range of lines, or lines with a text, if the part is not e"
    b'nough.","parameters":{"type":"object","properties":{"hash":{"type":"string"},"lines":{"type":"string'
    b'","description":"like 120-180"},"match":{"type":"string"}},"required":["hash"]}}]}'
)


# What a provider writes


def text(said: str) -> Json:
    return {"text": said}


def thought(said: str) -> Json:
    return {"text": said, "thought": True}


def call(name: str, number: int | None, signature: str = "", **given: object) -> Json:
    made: Json = {"name": name, "args": given}
    if number is not None:
        made["id"] = f"call_{number}"
    return {"functionCall": made, **({"thoughtSignature": signature} if signature else {})}


def retrieve(number: int | None, signature: str = "", given: str = "0123456789abcdef01234567") -> Json:
    return call(TOOL_NAME, number, signature, hash=given)


def hidden(part: Json) -> bool:
    return bool(part.get("functionCall", {}).get("name") == TOOL_NAME)


def document(parts: Sequence[Json], finish: str = "STOP", output: int = 10, name: str = "r1") -> Json:
    candidate: Json = {"content": {"parts": list(parts), "role": "model"}}
    if finish:
        candidate["finishReason"] = finish
    usage = {"promptTokenCount": 100, "candidatesTokenCount": output, "totalTokenCount": 100 + output}
    return {
        "candidates": [{**candidate, "index": 0}],
        "usageMetadata": {**usage, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 100}]},
        "modelVersion": "m",
        "responseId": name,
    }


def event(made: Json) -> bytes:
    return f"data: {compact(made)}\r\n\r\n".encode()


def streamed(parts: Sequence[Json], sizes: Iterator[int], output: int = 10, name: str = "r1") -> list[bytes]:
    """Events of some parts each, the last of which ends the round."""
    chunks: list[list[Json]] = []
    rest = list(parts)
    while rest:
        size = next(sizes)
        chunks.append(rest[:size])
        rest = rest[size:]
    if not chunks or next(sizes) % 2:
        chunks.append([text("")])
    last = len(chunks) - 1
    return [event(document(c, "STOP" if i == last else "", output, name)) for i, c in enumerate(chunks)]


def parts_of(documents: Sequence[Json]) -> list[Json]:
    return [part for made in documents for part in made["candidates"][0]["content"].get("parts", [])]


# What a client reads


class Reader:
    """The official client, which is handed an answer."""

    def __init__(self) -> None:
        self.answer = b""
        self.media = ""
        http = httpx2.Client(transport=httpx2.MockTransport(self._serve))
        options = genai.types.HttpOptions(base_url="http://provider", httpx_client=http)
        self.client = genai.Client(api_key="k", http_options=options)

    def _serve(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": self.media}, content=self.answer)

    def read(self, answer: bytes, *, stream: bool = True) -> list[Any]:
        self.answer, self.media = answer, "text/event-stream" if stream else "application/json"
        models = self.client.models
        if stream:
            return list(models.generate_content_stream(model="m", contents="the question"))
        return [models.generate_content(model="m", contents="the question")]


READER = Reader()


def seen(responses: Sequence[Any]) -> list[Json]:
    """The parts that the client saw."""
    found: list[Json] = []
    for response in responses:
        for part in response.candidates[0].content.parts:
            made = part.model_dump(exclude_none=True, by_alias=True)
            made.pop("thoughtSignature", None)
            found.append(made)
    return found


def unsigned(parts: Sequence[Json]) -> list[Json]:
    return [{key: value for key, value in part.items() if key != "thoughtSignature"} for part in parts]


def as_joined(parts: Sequence[Json]) -> list[Json]:
    """Parts as the agent keeps them: texts are joined, thoughts and empty texts are left out."""
    out: list[Json] = []
    for part in parts:
        if part.get("thought") or part == text(""):
            continue
        if part.keys() == {"text"} and out and out[-1].keys() == {"text"}:
            out[-1] = text(out[-1]["text"] + part["text"])
        else:
            out.append(part)
    return out


# One exchange


class Woven:
    """All rounds of one streamed answer, fed and answered."""

    def __init__(self, rounds: Sequence[Sequence[Json]], sizes: Sequence[int] = (1,)) -> None:
        self.weaver = ContentWeaver(OURS)
        self.bodies: list[bytes] = []
        self.out: list[bytes] = []
        cycle = itertools.cycle(sizes)
        for number, parts in enumerate(rounds):
            for raw in streamed(parts, cycle, 10 * (number + 1), f"r{number + 1}"):
                self.out.append(self.weaver.feed(raw))
            if self.weaver.calls:
                self.out.append(self.weaver.settle([f"original {n}" for n in range(len(self.weaver.calls))]))
                self.bodies.append(self.weaver.continuation(BODY))
        assert self.weaver.done
        self.out = [raw for raw in self.out if raw]
        self.bytes = b"".join(self.out)
        self.turn = self.weaver.turn()


def results(parts: Sequence[Json]) -> list[Json]:
    found = []
    for number, part in enumerate(part for part in parts if hidden(part)):
        made: Json = {"name": TOOL_NAME, "response": {"output": f"original {number}"}}
        if "id" in part["functionCall"]:
            made["id"] = part["functionCall"]["id"]
        found.append({"functionResponse": made})
    return found


def shown(rounds: Sequence[Sequence[Json]]) -> list[Json]:
    return [part for parts in rounds for part in parts if not hidden(part)]


def as_provider_saw(rounds: Sequence[Sequence[Json]], following: Json | None) -> list[Json]:
    """The contents after the question, as they have to be: written down without any of the code under test."""
    contents: list[Json] = []
    for parts in rounds:
        said = as_joined(parts)
        if said:
            contents.append({"role": "model", "parts": said})
        if results(parts):
            contents.append({"role": "user", "parts": results(parts)})
    if following is not None:
        if contents[-1]["role"] == "user":
            contents[-1] = {"role": "user", "parts": contents[-1]["parts"] + following["parts"]}
        else:
            contents.append(following)
    return contents


def together(contents: Sequence[Json]) -> list[Json]:
    """Contents of one role in a row as one, with their texts joined."""
    out: list[Json] = []
    for role, group in itertools.groupby(contents, lambda content: content["role"]):
        out.append({"role": role, "parts": as_joined([part for content in group for part in content["parts"]])})
    return out


def edited(items: Sequence[bytes], edits: Sequence[tuple[int, Edit]]) -> list[Json]:
    out = list(items)
    for at, edit in sorted(edits, key=lambda pair: (pair[0], pair[1].start), reverse=True):
        item = out[at]
        assert 0 <= edit.start <= edit.end <= len(items[at])
        assert not items[at][edit.start : edit.end].strip(b" \n,"), "more than a separator is replaced"
        out[at] = item[: edit.start] + edit.token + item[edit.end :]
    return list(json.loads(b"[" + b",".join(out) + b"]"))


def check_counts(contents: Sequence[Json]) -> None:
    """Every content that calls is followed by one with as many responses."""
    for content, following in itertools.pairwise([*contents, {"role": "user", "parts": []}]):
        assert content["parts"]
        calls = [part["functionCall"] for part in content["parts"] if "functionCall" in part]
        if calls:
            made = [part["functionResponse"] for part in following["parts"] if "functionResponse" in part]
            assert content["role"] == "model" and following["role"] == "user"
            assert sorted(c["name"] for c in calls) == sorted(r["name"] for r in made)


# Turns

TEXTS = st.text(min_size=1, max_size=12) | st.sampled_from(['"\\\n', "I use headroom_retrieve", "äöü😀€"])
QUIET: st.SearchStrategy[Json] = st.one_of(
    TEXTS.map(text),
    TEXTS.map(text),
    TEXTS.map(thought),
    st.just({"executableCode": {"language": "PYTHON", "code": "1"}}),
)
SIGNED = st.sampled_from(["", "", "c2lnbmVk"])
CLIENT = st.builds(lambda s, v: call("shell", 0, s, value=v), SIGNED, st.text(max_size=5))
HIDDEN = st.builds(lambda s, v: retrieve(0, s, v), SIGNED, st.text(max_size=5))


@st.composite
def turns(draw: st.DrawFn) -> list[list[Json]]:
    """The rounds of a turn: first those that only call the retrieve tool, then one that ends it, mixed or not."""
    rounds = []
    for _ in range(draw(st.integers(0, 3))):
        parts = draw(st.lists(QUIET, max_size=3)) + draw(st.lists(HIDDEN, min_size=1, max_size=2))
        rounds.append(draw(st.permutations(parts)))
    last = draw(st.lists(QUIET, max_size=3))
    if draw(st.booleans()):
        last += draw(st.lists(CLIENT, min_size=1, max_size=2)) + draw(st.lists(HIDDEN, max_size=2))
        last = draw(st.permutations(last))
    rounds.append(last)
    named = draw(st.booleans())
    numbers = itertools.count()
    return [[numbered(part, next(numbers) if named else None) for part in parts] for parts in rounds]


def numbered(part: Json, number: int | None) -> Json:
    if "functionCall" not in part:
        return part
    made = {key: value for key, value in part["functionCall"].items() if key != "id"}
    return {**part, "functionCall": made if number is None else {**made, "id": f"call_{number}"}}


SIZES = st.lists(st.integers(1, 4), min_size=1, max_size=5)


def following_of(parts: Sequence[Json]) -> Json:
    made = [
        {"functionResponse": {"name": "shell", "response": {"output": "done"}}}
        for part in parts
        if "functionCall" in part
    ]
    return {"role": "user", "parts": made or [text("go on")]}


@given(turns(), SIZES)
@settings(max_examples=100, deadline=None)
def test_a_client_reads_the_turn_without_what_was_hidden(rounds: list[list[Json]], sizes: list[int]) -> None:
    woven = Woven(rounds, sizes)
    read = READER.read(woven.bytes)
    assert [p for p in seen(read) if p != text("")] == unsigned(shown(rounds))
    ends = [response.candidates[0].finish_reason for response in read]
    assert ends[-1] == "STOP" and not any(ends[:-1])
    assert {response.response_id for response in read} == {"r1"}
    usage = read[-1].usage_metadata
    assert usage.candidates_token_count == sum(10 * (n + 1) for n in range(len(rounds)))
    assert usage.prompt_token_count == 100 * len(rounds)
    assert all(response.candidates[0].content.parts for response in read)


@given(turns(), SIZES)
@settings(deadline=None)
def test_a_continuation_holds_all_rounds_so_far(rounds: list[list[Json]], sizes: list[int]) -> None:
    for number, body in enumerate(Woven(rounds, sizes).bodies, 1):
        made = json.loads(body)
        assert made["contents"] == ASKED + as_provider_saw(rounds[:number], None)
        assert {**made, "contents": ASKED} == json.loads(BODY)


@given(turns(), SIZES, st.sampled_from(["joined", "kept", "by event"]), st.sampled_from([None, 1]), st.booleans())
@settings(max_examples=300, deadline=None)
def test_what_was_hidden_is_put_back_as_the_provider_saw_it(
    rounds: list[list[Json]], sizes: list[int], client: str, indent: int | None, escaped: bool
) -> None:
    woven = Woven(rounds, sizes)
    visible = as_joined(shown(rounds))
    assert (woven.turn is not None) == (any(map(hidden, itertools.chain(*rounds))) and bool(visible))
    if woven.turn is None:
        return
    anchor, turn = woven.turn
    contents = [json.loads(raw[6:])["candidates"][0]["content"] for raw in woven.out]
    if client == "joined":
        contents = [{"role": "model", "parts": visible}]
    elif client == "kept":
        contents = [{"role": "model", "parts": [part for content in contents for part in content["parts"]]}]
    following = following_of(visible)
    items = [
        json.dumps(made, indent=indent, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
        for made in [*ASKED, *contents, following]
    ]
    anchors = LOOM.anchors(items)
    at = anchors.index(anchor)
    assert [bool(name) for name in anchors] == [number == at for number in range(len(items))]
    back = edited(items, LOOM.reinsert(items, at, turn))
    assert together(back) == together(ASKED + as_provider_saw(rounds, following))
    check_counts(together(back))
    if client == "joined":
        assert back == ASKED + as_provider_saw(rounds, following)
        continued = [json.loads(body)["contents"] for body in woven.bodies]
        final = turn.rounds[-1]
        whole = continued[-1] if not final.mixed and back[-1] == following else continued[-1][:-1]
        assert back[: len(whole)] == whole


@given(turns(), SIZES)
@settings(deadline=None)
def test_a_plain_answer_holds_the_turn_without_what_was_hidden(rounds: list[list[Json]], sizes: list[int]) -> None:
    weaver = PlainContentWeaver(OURS)
    streaming = Woven(rounds, sizes)
    for number, parts in enumerate(rounds):
        fed = compact(document(parts, output=10 * (number + 1))).encode()
        weaver.feed(fed)
        if weaver.calls:
            weaver.settle([f"original {n}" for n in range(len(weaver.calls))])
            assert json.loads(weaver.continuation(BODY)) == json.loads(streaming.bodies[number])
    assert weaver.turn() == streaming.turn
    woven = weaver.finish()
    if not any(map(hidden, itertools.chain(*rounds))):
        assert woven is fed
    read = json.loads(woven)
    assert [part for part in parts_of([read]) if part != text("")] == shown(rounds)
    assert read["usageMetadata"]["candidatesTokenCount"] == sum(10 * (n + 1) for n in range(len(rounds)))
    READER.read(woven, stream=False)


def test_the_tool_is_always_the_same_bytes() -> None:
    assert LOOM.tool(RETRIEVE) == TOOL
    json.loads(TOOL)


def test_events_of_an_answer_that_hides_nothing_are_passed_as_they_are() -> None:
    weaver = LOOM.weaver(OURS)
    parts = [thought("a"), text("I call headroom_retrieve"), call("shell", 1)]
    for raw in [*streamed(parts, itertools.repeat(1)), b": ping\n\n", b"data: [1\n\n", event({"later": 1})]:
        assert weaver.feed(raw) is raw
    assert weaver.done and not weaver.calls and weaver.turn() is None


def test_several_candidates_are_passed_as_they_are() -> None:
    weaver = LOOM.weaver(OURS)
    made = document([retrieve(1)])
    made["candidates"].append({**made["candidates"][0], "index": 1})
    raw = event(made)
    assert weaver.feed(raw) is raw and not weaver.calls
    second = document([text("b")], "")
    second["candidates"][0]["index"] = 1
    weaver = LOOM.weaver(OURS)
    for raw in (event(document([text("a")], "")), event(second), event(document([retrieve(1)]))):
        assert weaver.feed(raw) is raw
    assert not weaver.calls


def test_a_list_of_answers_is_passed_as_it_is() -> None:
    weaver = LOOM.plain_weaver(OURS)
    made = compact([document([retrieve(1)])]).encode()
    weaver.feed(made)
    assert weaver.finish() is made and not weaver.calls and weaver.turn() is None


@pytest.mark.parametrize("cut", range(4))
def test_a_stream_that_is_cut_never_shows_a_held_call(cut: int) -> None:
    weaver = LOOM.weaver(OURS)
    events = streamed([text("a"), retrieve(1), text("b"), retrieve(2)], itertools.repeat(1))
    out = b"".join(weaver.feed(raw) for raw in events[:cut])
    assert TOOL_NAME.encode() not in out and not weaver.calls and not weaver.done


def test_a_round_that_was_cut_short_ends_the_answer() -> None:
    weaver = LOOM.weaver(OURS)
    out = weaver.feed(event(document([text("a"), retrieve(1)], "MAX_TOKENS")))
    assert weaver.done and not weaver.calls and weaver.turn() is None
    assert parts_of([json.loads(out[6:])]) == [text("a")]


def test_an_ending_waits_until_the_hidden_calls_are_answered() -> None:
    weaver = LOOM.weaver(OURS)
    shell = event(document([call("shell", 1)], ""))
    assert weaver.feed(shell) is shell
    assert weaver.feed(event(document([retrieve(2)]))) == b""
    assert weaver.mixed and [made.id for made in weaver.calls] == ["call_2"] and not weaver.done
    ending = json.loads(weaver.settle(["the original"])[6:])
    assert ending["candidates"][0]["finishReason"] == "STOP" and parts_of([ending]) == [text("")]
    assert weaver.done


@pytest.mark.parametrize(("before", "after"), [({}, {}), ({}, {"index": 0}), ({"index": 0}, {}), ({"x": 1}, {"y": 2})])
def test_a_reason_to_stop_is_left_out_wherever_it_stands(before: Json, after: Json) -> None:
    made = document([])
    said = {"content": {"parts": [text("a"), retrieve(1)], "role": "model"}}
    for candidate in ({**before, "finishReason": "STOP", **said, **after}, {**said, **before, "finishReason": "STOP"}):
        raw = b"data: %b\n\n" % json.dumps({**made, "candidates": [candidate]}).encode()
        weaver = LOOM.weaver(OURS)
        out = json.loads(weaver.feed(raw)[6:])
        assert weaver.calls and "finishReason" not in out["candidates"][0]
        assert parts_of([out]) == [text("a")]


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (429, b'{"error":{"code":429,\n"message":"slow","status":"RESOURCE_EXHAUSTED"}}', 429),
        (503, b"", 503),
        (0, b"[1", 500),
        (400, b'{"error":"x"}', 400),
    ],
)
def test_a_failure_is_told_in_the_providers_words(status: int, body: bytes, code: int) -> None:
    weaver = LOOM.weaver(OURS)
    raw = weaver.fail(status, body)
    with pytest.raises(genai.errors.APIError) as caught:
        READER.read(event(document([text("a")], "")) + raw)
    assert caught.value.code == code
    assert weaver.done


def kept() -> Turn:
    woven = Woven([[text("one"), retrieve(1)], [text("two"), call("shell", 2), retrieve(3)]])
    assert woven.turn is not None
    return woven.turn[1]


@pytest.mark.parametrize(
    "items",
    [
        [{"role": "model", "parts": [text("onetwo"), call("shell", 2)]}],
        [{"role": "model", "parts": [text("onetwo"), call("shell", 2)]}, {"role": "user", "parts": [text("stop")]}],
        [{"role": "model", "parts": [text("on")]}, {"role": "user", "parts": [text("go on")]}],
        [{"role": "user", "parts": [text("onetwo")]}],
        [{"role": "model", "parts": "onetwo"}],
        [{"role": "model"}],
    ],
)
def test_nothing_is_put_back_where_it_does_not_fit(items: list[Json]) -> None:
    raws = [compact(item).encode() for item in items]
    assert LOOM.reinsert(raws, 0, kept()) == []
    assert LOOM.reinsert(raws, 9, kept()) == []


def test_calls_in_other_words_are_found() -> None:
    turn = kept()
    made = {
        "role": "model",
        "parts": [text("onetwo"), {"function_call": {"name": "shell", "args": {}, "id": "call_2"}}],
    }
    done = {"parts": [{"function_response": {"name": "shell", "response": {"output": "done"}}}]}
    items = [compact(item).encode() for item in (made, done)]
    other = compact({"role": "model", "parts": [call("shell", 2)]}).encode()
    assert LOOM.anchors(items)[0] == LOOM.anchors([other])[0]
    back = edited(items, LOOM.reinsert(items, 0, turn))
    assert [len(content["parts"]) for content in back] == [2, 1, 3, 2]


def test_the_loom_is_registered() -> None:
    assert isinstance(LOOMS["parts"], ContentLoom)
