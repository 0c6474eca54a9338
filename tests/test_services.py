"""The services for programs, over sockets: compress, and the originals of what was cut."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from headroom.edge import Edge
from headroom.events import Event, Retrieved
from headroom.faults import StoreDown
from headroom.store import Name
from headroom.zones import marker
from headroom.zones.press import unpress
from tests.support.embedded import edge_to
from tests.support.raw_client import Answer, ask, connect, read_answer

TOKEN = "0123456789abcdef"
NOWHERE = "http://127.0.0.1:9"  # nothing here is to be forwarded
LOG = "".join(
    f"2031-02-03T10:{at // 60 % 60:02}:{at % 60:02}Z INFO served /item/{at} in {at % 97} ms\n" for at in range(1500)
)
HASH = marker.key(LOG)
ABSENT = "0" * 24
MESSAGES = [
    {"role": "user", "content": "look"},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "Bash", "input": {}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": LOG}]},
]
JsonObject = dict[str, object]


async def send(
    edge: Edge,
    method: bytes,
    path: str,
    body: bytes = b"",
    fields: Sequence[bytes] = (),
    host: bytes = b"localhost",
) -> Answer:
    lines = [b"%b %b HTTP/1.1" % (method, path.encode()), b"Host: " + host, *fields]
    if method == b"POST":
        lines.append(b"Content-Length: %d" % len(body))
    return await ask(edge.port, b"\r\n".join(lines) + b"\r\n\r\n" + body, method)


async def post(edge: Edge, path: str, value: object, *fields: bytes, host: bytes = b"localhost") -> Answer:
    return await send(edge, b"POST", path, json.dumps(value).encode(), fields, host)


async def get(edge: Edge, path: str, *fields: bytes, host: bytes = b"localhost") -> Answer:
    return await send(edge, b"GET", path, b"", fields, host)


def told(answer: Answer) -> str:
    message = json.loads(answer.body)["error"]["message"]
    assert isinstance(message, str)
    return message


async def keep(edge: Edge, text: str = LOG) -> str:
    await edge.ledger.keep_originals({marker.key(text): text})
    return marker.key(text)


def result_of(answer: Answer) -> str:
    content = json.loads(answer.body)["messages"][2]["content"][0]["content"]
    assert isinstance(content, str)
    return content


# --- retrieve ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [LOG, "", "\r\n\x85\u2028\x00é🙂", "x" * 3_000_000])
async def test_an_original_is_given_byte_for_byte_by_get_and_by_post(text: str) -> None:
    async with edge_to(NOWHERE) as edge:
        hash_ = await keep(edge, text)
        for count, answer in enumerate(
            [
                await get(edge, f"/v1/retrieve/{hash_}"),
                await post(edge, "/v1/retrieve", {"hash": hash_}),
                await get(edge, f"/v1/retrieve/%3C%3Cccr:{hash_}%3E%3E"),
            ],
            1,
        ):
            assert answer.status == 200
            found = json.loads(answer.body)
            assert found.pop("original_content") == text
            assert found.pop("original_tokens") == (max(1, int(len(text) / 3.5 + 0.5)) if text else 0)
            assert found == {
                "hash": hash_,
                "original_item_count": text.count("\n") + 1,
                "compressed_item_count": None,
                "tool_name": None,
                "retrieval_count": count,
            }


async def test_tokens_are_told_only_where_the_yardstick_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headroom.zones.yardstick._made", [])
    async with edge_to(NOWHERE, token_yardstick="o200k") as edge:
        hash_ = await keep(edge)
        assert json.loads((await get(edge, f"/v1/retrieve/{hash_}")).body)["original_tokens"] is None


async def test_how_often_it_was_given_is_not_told_where_several_processes_serve() -> None:
    async with edge_to(NOWHERE, workers=2) as edge:
        hash_ = await keep(edge)
        assert json.loads((await get(edge, f"/v1/retrieve/{hash_}")).body)["retrieval_count"] is None


async def test_a_part_is_given_where_a_part_is_asked_for() -> None:
    async with edge_to(NOWHERE) as edge:
        await keep(edge)
        rows = LOG.split("\n")
        for answer in (
            await get(edge, f"/v1/retrieve/{HASH}?lines=2-3"),
            await post(edge, "/v1/retrieve", {"hash": HASH, "lines": "2-3"}),
        ):
            found = json.loads(answer.body)
            assert found["original_content"] == f"[lines 2-3 of 1501]\n{rows[1]}\n{rows[2]}"
            assert found["original_item_count"] == 1501
        answer = await get(edge, f"/v1/retrieve/{HASH}?match=%2Fitem%2F7%20in")
        assert json.loads(answer.body)["original_content"] == f"[1 of 1501 lines contain the text]\n8:{rows[7]}"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"hash":null}', b'{"hash":"xyz"}', b"[" * 100_000, b"\xff"]
)
async def test_an_asking_without_a_hash_is_told_so(body: bytes) -> None:
    async with edge_to(NOWHERE) as edge:
        answer = await send(edge, b"POST", "/v1/retrieve", body)
        assert answer.status == 400 and "hash required" in told(answer) and "<<ccr:...>>" in told(answer)
        assert (await get(edge, "/v1/retrieve/xyz")).status == 400


@pytest.mark.parametrize("lines", ["0", "5-2", "x", "2000-"])
async def test_a_bad_range_is_told_what_is_right(lines: str) -> None:
    async with edge_to(NOWHERE) as edge:
        await keep(edge)
        for answer in (
            await get(edge, f"/v1/retrieve/{HASH}?lines={lines}"),
            await post(edge, "/v1/retrieve", {"hash": HASH, "lines": lines}),
        ):
            assert answer.status == 400 and "lines" in told(answer)


async def test_a_miss_says_what_to_do_next() -> None:
    async with edge_to(NOWHERE) as edge:
        for answer in (await get(edge, f"/v1/retrieve/{ABSENT}"), await post(edge, "/v1/retrieve", {"hash": ABSENT})):
            assert answer.status == 404 and "Run the command again" in told(answer) and ABSENT in told(answer)


class Down:
    """Makes a store fail, reads or writes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, edge: Edge, call: str) -> None:
        self.asked = 0

        async def fails(names: Sequence[Name]) -> Mapping[Name, bytes]:
            self.asked += 1
            raise StoreDown("a secret path")

        monkeypatch.setattr(edge.ledger.store, call, fails)


async def test_a_store_that_is_down_is_told_and_its_fault_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    async with edge_to(NOWHERE) as edge:
        Down(monkeypatch, edge, "get")
        for answer in (await get(edge, f"/v1/retrieve/{HASH}"), await post(edge, "/v1/retrieve", {"hash": HASH})):
            assert answer.status == 503 and "cannot be read just now" in told(answer)
            assert b"secret" not in answer.body
        call = {"name": "headroom_retrieve", "id": "t", "input": {"hash": HASH}}
        answer = await post(edge, "/v1/retrieve/tool_call", {"tool_call": call, "provider": "anthropic"})
        assert answer.status == 503 and json.loads(answer.body)["success"] is False


async def test_head_is_answered_as_get_is_without_the_body() -> None:
    async with edge_to(NOWHERE) as edge:
        await keep(edge)
        answer = await send(edge, b"HEAD", f"/v1/retrieve/{HASH}")
        assert answer.status == 200 and answer.body == b"" and int(answer.value(b"content-length") or 0) > len(LOG)


async def test_each_asking_leaves_an_event_and_a_count_and_no_part_of_the_original(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    async with edge_to(NOWHERE, log_level="info", log_file=log) as edge:
        await keep(edge)
        await get(edge, f"/v1/retrieve/{HASH}")
        await post(edge, "/v1/retrieve", {"hash": ABSENT}, b"X-Request-Id: mine")
        await post(
            edge, "/v1/retrieve/tool_call", {"tool_call": {"name": "headroom_retrieve", "input": {"hash": HASH}}}
        )
        found = json.loads((await get(edge, "/v1/retrieve/stats")).body)
        everything = json.loads((await get(edge, "/stats")).body)
    assert found["retrievals"] == everything["retrievals"] == {"found": 2, "missing": 1}
    assert [(row["hash"], row["found"]) for row in found["recent"]] == [(HASH, True), (ABSENT, False), (HASH, True)]
    assert found["store"]["kind"] == "memory" and found["store"]["entries"] == 1 and found["store"]["up"] is True
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    events = [line for line in lines if line["event"] == "retrieved"]
    told = [(HASH[:8], True), (ABSENT[:8], False), (HASH[:8], True)]
    assert [(line["hash"], line["found"]) for line in events] == told
    assert events[1]["id"] == "mine" and "/item/" not in log.read_text() + json.dumps(found)


CALLS = [
    ("anthropic", {"type": "tool_use", "id": "x1", "name": "headroom_retrieve", "input": {"hash": HASH}},
     {"type": "tool_result", "tool_use_id": "x1"}, "content"),
    ("openai", {"id": "x1", "type": "function",
                "function": {"name": "headroom_retrieve", "arguments": json.dumps({"hash": HASH})}},
     {"role": "tool", "tool_call_id": "x1"}, "content"),
    ("openai", {"type": "function_call", "call_id": "x1", "name": "mcp__h__headroom_retrieve",
                "arguments": json.dumps({"hash": HASH})},
     {"type": "function_call_output", "call_id": "x1"}, "output"),
]  # fmt: skip


@pytest.mark.parametrize(("provider", "call", "shape", "field"), CALLS)
@pytest.mark.parametrize("named", [True, False])
async def test_a_call_of_the_tool_is_answered_in_its_providers_shape(
    provider: str, call: JsonObject, shape: JsonObject, field: str, *, named: bool
) -> None:
    given: JsonObject = {"tool_call": call, **({"provider": provider} if named else {})}
    async with edge_to(NOWHERE) as edge:
        missed = await post(edge, "/v1/retrieve/tool_call", given)
        await keep(edge)
        found = await post(edge, "/v1/retrieve/tool_call", given)
    assert (missed.status, found.status) == (200, 200)
    answer = json.loads(found.body)
    assert answer["success"] is True and answer["tool_result"] == {**shape, field: LOG}
    assert answer["data"]["hash"] == HASH and answer["data"]["original_content"] == LOG
    answer = json.loads(missed.body)
    assert answer["success"] is False and "Run the command again" in answer["tool_result"][field]
    assert "Run the command again" in answer["data"]["error"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "tool_call"),
        ({"tool_call": []}, "tool_call"),
        ({"tool_call": {}}, "headroom_retrieve"),
        ({"tool_call": {"name": "Bash", "input": {"hash": HASH}}, "provider": "anthropic"}, "headroom_retrieve"),
        ({"tool_call": {"name": "headroom_retrieve", "input": {"hash": HASH}}, "provider": "acme"}, "provider"),
        ({"tool_call": {"function": {"name": ["x"], "arguments": {}}}, "provider": "openai"}, "headroom_retrieve"),
    ],
)
async def test_another_call_is_refused(given: JsonObject, words: str) -> None:
    async with edge_to(NOWHERE) as edge:
        answer = await post(edge, "/v1/retrieve/tool_call", given)
        assert answer.status == 400 and words in told(answer)


@pytest.mark.parametrize("arguments", ["{", "7", '{"hash":"xx"}', '{"hash":"' + HASH + '","lines":"9-1"}'])
async def test_a_call_with_bad_arguments_is_answered_for_the_model(arguments: str) -> None:
    call = {"id": "c", "function": {"name": "headroom_retrieve", "arguments": arguments}}
    async with edge_to(NOWHERE) as edge:
        answer = json.loads((await post(edge, "/v1/retrieve/tool_call", {"tool_call": call})).body)
        assert answer["success"] is False and answer["tool_result"]["tool_call_id"] == "c"
        assert "hash" in answer["tool_result"]["content"] or "lines" in answer["tool_result"]["content"]


async def test_a_hundred_askings_at_once_are_answered_in_the_order_of_nobody() -> None:
    async with edge_to(NOWHERE) as edge:
        texts = [f"{at}\n" * 2000 for at in range(10)]
        hashes = [await keep(edge, text) for text in texts]
        answers = await asyncio.gather(*(get(edge, f"/v1/retrieve/{hashes[at % 10]}") for at in range(100)))
        for at, answer in enumerate(answers):
            assert json.loads(answer.body)["original_content"] == texts[at % 10]
        found = json.loads((await get(edge, "/v1/retrieve/stats")).body)
        assert found["retrievals"]["found"] == 100 and len(found["recent"]) == 50


# --- compress ---------------------------------------------------------------------------------------


async def test_compress_answers_with_shorter_messages_and_the_figures() -> None:
    async with edge_to(NOWHERE) as edge:
        answer = await post(edge, "/v1/compress", {"messages": MESSAGES, "model": "m"})
    found = json.loads(answer.body)
    assert answer.status == 200 and unpress(result_of(answer)) == LOG and found["messages"][:2] == MESSAGES[:2]
    assert found["tokens_before"] - found["tokens_after"] == found["tokens_saved"] > 0
    assert 0 < found["compression_ratio"] < 1 and found["transforms_applied"] == ["log"]
    assert found["ccr_hashes"] == [] and "note" not in found


async def test_what_did_not_change_keeps_its_bytes() -> None:
    raw = b'{"messages" : [ {"role":"user", "content":"\\u00e9", "n":1.0e3, "big":123456789012345678901234567890} ]}'
    async with edge_to(NOWHERE) as edge:
        answer = await send(edge, b"POST", "/v1/compress", raw)
    assert answer.body.startswith(b'{"messages":' + raw[raw.index(b"[") : -1] + b",")


async def test_a_reversible_press_is_kept_before_it_is_answered() -> None:
    async with edge_to(NOWHERE) as edge:
        given = {"messages": MESSAGES, "config": {"policy": "reversible"}}
        answer = await post(edge, "/v1/compress", given)
        found = json.loads(answer.body)
        assert found["ccr_hashes"] == [HASH] == marker.find_markers(result_of(answer))
        assert await edge.ledger.original(HASH) == LOG
        original = json.loads((await get(edge, f"/v1/retrieve/{HASH}")).body)
        assert original["original_content"] == LOG
        assert (await post(edge, "/v1/compress", given)).body == answer.body


@pytest.mark.parametrize("trouble", ["down", "hangs"])
async def test_without_a_store_only_lossless_presses_are_answered(
    monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    async with edge_to(NOWHERE, store_timeout="50ms") as edge:

        async def fails(entries: Sequence[tuple[Name, bytes]]) -> dict[Name, bytes]:
            if trouble == "hangs":
                await asyncio.sleep(60)
            raise StoreDown("down")

        monkeypatch.setattr(edge.ledger.store, "put", fails)
        answer = await post(edge, "/v1/compress", {"messages": MESSAGES, "config": {"policy": "reversible"}})
        found = json.loads(answer.body)
        assert answer.status == 200 and unpress(result_of(answer)) == LOG
        assert found["ccr_hashes"] == [] and found["note"] == "store_down" and b"<<ccr:" not in answer.body


async def test_a_tool_policy_holds_for_compress_too() -> None:
    async with edge_to(NOWHERE, tool_policy="Bash=lossless") as edge:
        answer = await post(edge, "/v1/compress", {"messages": MESSAGES, "config": {"policy": "reversible"}})
        assert unpress(result_of(answer)) == LOG
    async with edge_to(NOWHERE, tool_policy="Bash=none") as edge:
        answer = await post(edge, "/v1/compress", {"messages": MESSAGES})
        assert result_of(answer) == LOG


@pytest.mark.parametrize("policy", ["lossless", "reversible"])
async def test_the_bypass_header_gives_the_messages_back(policy: str) -> None:
    async with edge_to(NOWHERE) as edge:
        given = {"messages": MESSAGES, "config": {"policy": policy}}
        answer = await post(edge, "/v1/compress", given, b"X-Headroom-Bypass: True")
        assert json.loads(answer.body)["messages"] == MESSAGES


async def test_too_little_time_gives_the_messages_back() -> None:
    many = [MESSAGES[0]]
    for at in range(200):
        many.append({"role": "assistant", "content": [{"type": "tool_use", "id": f"t{at}", "name": "B", "input": {}}]})
        result = {"type": "tool_result", "tool_use_id": f"t{at}", "content": LOG.replace("item", f"item{at}")}
        many.append({"role": "user", "content": [result]})
    async with edge_to(NOWHERE, compress_timeout="10ms") as edge:
        found = json.loads((await post(edge, "/v1/compress", {"messages": many})).body)
        assert found["messages"] == many and found["note"] == "timeout"
        assert found["transforms_applied"] == ["timeout:originals"] and found["tokens_saved"] == 0


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"{}", b"\xff", b'{"messages":{}}', b'{"messages":"x"}'),
        b'{"messages":[],"config":{"policy":"x"}}',
        b'{"messages":' + b"[" * 100_000,
    ],
)
async def test_a_body_that_is_none_is_refused(body: bytes) -> None:
    async with edge_to(NOWHERE) as edge:
        answer = await send(edge, b"POST", "/v1/compress", body)
        assert answer.status == 400 and told(answer)
        assert (await get(edge, "/livez")).status == 200


# --- who may ----------------------------------------------------------------------------------------

ASKINGS: Sequence[tuple[bytes, str]] = [
    (b"GET", f"/v1/retrieve/{HASH}"),
    (b"GET", "/v1/retrieve/stats"),
    (b"POST", "/v1/retrieve"),
    (b"POST", "/v1/retrieve/tool_call"),
    (b"POST", "/v1/compress"),
]


@pytest.mark.parametrize("host", [b"evil.example", b"127.0.0.1.evil.example:8787", b"localhost.", b""])
@pytest.mark.parametrize(("method", "path"), ASKINGS)
async def test_under_another_name_no_service_exists(method: bytes, path: str, host: bytes) -> None:
    async with edge_to(NOWHERE) as edge:
        await keep(edge)
        answer = await send(edge, method, path, json.dumps({"hash": HASH}).encode(), host=host)
        assert answer.status == 404 and LOG[:20].encode() not in answer.body


@pytest.mark.parametrize(("method", "path"), ASKINGS)
async def test_another_host_needs_the_token(method: bytes, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headroom.control.is_loopback", lambda peer: False)
    async with edge_to(NOWHERE, proxy_token=TOKEN) as edge:
        await keep(edge)
        body = json.dumps({"hash": HASH}).encode()
        assert (await send(edge, method, path, body)).status == 404
        wrong = await send(edge, method, path, body, [b"x-headroom-proxy-token: " + b"x" * 16])
        assert wrong.status == 404
        right = await send(edge, method, path, body, [b"x-headroom-proxy-token: " + TOKEN.encode()], b"proxy.example")
        assert right.status != 404


@pytest.mark.parametrize("path", ["/v1/retrieve", "/v1/retrieve/tool_call", "/v1/compress"])
async def test_a_body_that_is_too_large_is_refused_and_the_next_one_is_answered(path: str) -> None:
    async with edge_to(NOWHERE, body_limit="64KiB") as edge:
        answer = await send(edge, b"POST", path, b" " * 100_000)
        assert answer.status == 413 and "65536" in told(answer)
        assert (await send(edge, b"POST", path, b"{}")).status == 400


async def test_a_service_keeps_the_connection() -> None:
    async with edge_to(NOWHERE) as edge, await connect(edge.port) as client:
        await keep(edge)
        for _ in range(3):
            for method, path in ASKINGS:
                body = (
                    json.dumps({"hash": HASH, "messages": [], "tool_call": {}}).encode() if method == b"POST" else b""
                )
                length = b"Content-Length: %d\r\n" % len(body) if body else b""
                await client.send(
                    b"%b %b HTTP/1.1\r\nHost: localhost\r\n%b\r\n%b" % (method, path.encode(), length, body)
                )
                assert (await read_answer(client)).status in (200, 400)


async def test_a_fault_of_ours_is_answered_and_told_without_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    async with edge_to(NOWHERE) as edge:
        seen: list[Event] = []

        def broken(*_: object) -> str:
            raise RuntimeError(LOG)

        await keep(edge)
        monkeypatch.setattr("headroom.retrieving.pick", broken)
        monkeypatch.setattr(
            edge, "_log", type("Log", (), {"__call__": lambda _, e: seen.append(e), "close": lambda _: None})()
        )
        answer = await get(edge, f"/v1/retrieve/{HASH}")
        assert answer.status == 500 and b"/item/" not in answer.body
        assert [type(event).__name__ for event in seen] == [Retrieved.__name__, "ShrinkFailed"]
        assert "/item/" not in repr(seen)
