"""What a client sends reaches the origin byte for byte, the text of tool results apart, and answers come back so."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import brotli
import pytest
import zstandard

from headroom.zones.press import seen, unpress
from tests.support.captured import captured, clients
from tests.support.embedded import edge_to
from tests.support.http_wire import WireRequest
from tests.support.jsontestsuite import suite
from tests.support.origin import Origin, Recorded
from tests.support.raw_client import Answer, Field, connect, read_answer
from tests.support.raw_wire import Wire
from tests.support.script import Script, Turn
from tests.support.slow_scan import Unreadable, outside, result_strings

SCRIPT = Script.single([Turn("The answer is 42. " * 8)])
MODES: Mapping[str, Mapping[str, object]] = {
    "off": {"compression_mode": "off"},
    "observe": {"compression_mode": "observe"},
    "live_zone": {"compression_mode": "live_zone"},
}
# What may differ in a head: fields of one hop, and what names the next one.
ONE_HOP = {
    b"connection",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"host",
    b"content-length",
}
OURS = (b"x-headroom-", b"headroom-upstream-request-id", b"x-request-id")


def numbers(body: bytes) -> Mapping[str, int]:
    """The same usage for every body, so that answers do not tell what was sent."""
    return {"input_tokens": 7, "cache_read": 3, "cache_write": 2, "output_tokens": 5}


def origin(coding: str = "") -> Origin:
    """An origin that gives the same answer to every model call."""
    return Origin(SCRIPT, usage=numbers, coding=coding)


def end_to_end(fields: Sequence[Field]) -> list[Field]:
    """The fields that a proxy passes on, in order."""
    return [
        (name, value)
        for name, value in fields
        if name.lower() not in ONE_HOP and not name.lower().startswith(b"x-headroom-")
    ]


def assert_same_answer(direct: Answer, through: Answer) -> None:
    """The proxy has added its own fields behind the origin's, and changed nothing."""
    assert through.status == direct.status
    assert through.wire == direct.wire
    own = [field for field in end_to_end(through.fields) if not field[0].lower().startswith(OURS)]
    assert own == [field for field in end_to_end(direct.fields) if not field[0].lower().startswith(OURS)]


def assert_reads_back(sent: bytes, received: bytes) -> int:
    """Only tool result texts differ, and each says what it said. Returns how many differ."""
    if sent == received:
        return 0
    assert outside(received) == outside(sent)
    changed = 0
    for before, after in zip(result_strings(sent), result_strings(received), strict=True):
        if before.token != after.token:
            changed += 1
            assert_says_the_same(before.text, unpress(after.text))
    assert changed
    return changed


def assert_says_the_same(text: str, back: str) -> None:
    """The very text as a screen shows it, or for JSON without a nameable layout the same tokens."""
    if back != seen(text):
        assert tokens(back) == tokens(text)


def tokens(text: str) -> object:
    """A JSON text with numbers by their spelling and members as pairs, so that nothing is lost in the comparison."""
    return json.loads(text, parse_float=_spelling, parse_int=_spelling, object_pairs_hook=tuple)


def _spelling(number: str) -> tuple[str, str]:
    return ("number", number)


async def post(client: Wire, body: bytes, *fields: bytes, target: bytes = b"/v1/messages") -> Answer:
    """Send one body as JSON and read the answer."""
    head = [b"POST " + target + b" HTTP/1.1", b"Host: x", b"Content-Type: application/json", *fields]
    await client.send(b"\r\n".join([*head, b"Content-Length: %d" % len(body), b"", b""]) + body)
    return await read_answer(client)


def assert_not_ours(answer: Answer) -> None:
    """The origin has answered, not the proxy."""
    assert answer.status == 200, answer.head
    assert answer.value(b"x-headroom-fault") is None


def is_rewritten(request: WireRequest) -> bool:
    """Whether this is a request whose tool results may be shortened today."""
    path = request.target.partition("?")[0]
    return request.method == "POST" and (
        path in ("/v1/messages", "/v1/chat/completions", "/v1/responses")
        or path.endswith((":generateContent", ":streamGenerateContent"))
    )


# --- real clients ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "store"), [("off", "memory"), ("observe", "memory"), ("live_zone", "memory"), ("live_zone", "sqlite")]
)
@pytest.mark.parametrize("client", clients())
async def test_a_recorded_session_arrives_as_it_was_sent(client: str, mode: str, store: str, tmp_path: Path) -> None:
    requests = captured(client)
    where = "memory" if store == "memory" else str(tmp_path / "decisions.db")
    changed = 0
    async with (
        origin() as behind,
        edge_to(behind.url, store=where, **MODES[mode]) as proxy,
        await connect(behind.port) as straight,
        await connect(proxy.port) as near,
    ):
        for request in requests:
            raw = request.head + request.body
            method = request.method.encode()
            await straight.send(raw)
            direct = await read_answer(straight, method)
            await near.send(raw)
            through = await read_answer(near, method)
            first, second = behind.requests[-2:]
            assert (second.method, second.target, second.request.version) == (
                first.method,
                first.target,
                first.request.version,
            )
            assert end_to_end(second.headers) == end_to_end(first.headers)
            assert second.request.value("content-length") in ("", str(len(second.body)))
            assert_same_answer(direct, through)
            if mode == "live_zone" and is_rewritten(request):
                changed += assert_reads_back(request.body, second.body)
            else:
                assert sha256(second.body).digest() == sha256(request.body).digest()
    # The SDK's program sends its JSON whole; the agents of the other recordings show it to the model in other forms.
    if client == "sdk-anthropic" and mode == "live_zone":
        assert changed


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
@pytest.mark.parametrize("client", ["claude-code", "opencode-openai-compatible", "gemini-cli", "sdk-anthropic"])
async def test_a_coded_answer_comes_back_as_the_origin_coded_it(client: str, coding: str) -> None:
    async with (
        origin(coding) as behind,
        edge_to(behind.url) as proxy,
        await connect(behind.port) as straight,
        await connect(proxy.port) as near,
    ):
        for request in captured(client)[:4]:
            raw = request.head + request.body
            await straight.send(raw)
            direct = await read_answer(straight)
            await near.send(raw)
            through = await read_answer(near)
            assert_same_answer(direct, through)
            offered = request.value("accept-encoding")
            model = direct.value(b"content-type") == b"text/event-stream; charset=utf-8"
            if model and coding in offered:
                assert direct.value(b"content-encoding") == coding.encode()


async def test_counting_and_batches_are_never_touched() -> None:
    body = messages(RESULT)
    async with origin() as behind, edge_to(behind.url) as proxy, await connect(proxy.port) as client:
        for target in (b"/v1/messages/count_tokens?beta=true", b"/v1/messages/batches", b"/v1/messages/batches/b_1/x"):
            answer = await post(client, body, target=target)
            assert answer.value(b"x-headroom-fault") is None
            assert behind.requests[-1].body == body
            assert behind.requests[-1].target == target.decode()
        assert_not_ours(await post(client, body))
        assert assert_reads_back(body, behind.requests[-1].body) == 1


# --- bodies made by hand --------------------------------------------------------------------------


def records(amount: int = 40) -> str:
    """A text that pays: uniform records, pretty-printed."""
    rows = [{"id": 41_000 + at, "name": f"lease_{at % 7}", "ok": at % 3 > 0, "note": None} for at in range(amount)]
    return json.dumps(rows, indent=2)


RESULT = records()


def spelled(text: str, *, ascii_only: bool = True) -> bytes:
    """A text as a JSON string token."""
    return json.dumps(text, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")


def result_block(token: bytes, call: bytes = b"toolu_1") -> bytes:
    """A tool result around a string token."""
    return b'{"type":"tool_result","tool_use_id":"%b","content":%b}' % (call, token)


def around(result: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    """A request body whose fresh turn is one tool result."""
    return (
        b'{"model":"m","max_tokens":9,%b"messages":[{"role":"user","content":"Look."},{"role":"assistant","content":'
        b'[{"type":"tool_use","id":"toolu_1","name":"Bash","input":{"command":"ls"}}]},{"role":"user","content":[%b]}]%b}'
    ) % (before, result, after)


def messages(text: str, *, ascii_only: bool = True) -> bytes:
    """A request body whose fresh turn is a tool result with `text`."""
    return around(result_block(spelled(text, ascii_only=ascii_only)))


ODD_VALUES: Mapping[str, bytes] = {
    "a float that is whole": b"1.0",
    "a float out of range": b"1e400",
    "an exponent with a plus": b"1E+2",
    "minus zero": b"-0",
    "an integer past 2^53": b"1152921504606846976",
    "an integer past 2^64": b"123456789012345678901234567890",
    "blanks everywhere": b'{ \t"a"\r\n:\n[ 1 ,\t2 ]  }',
    "escapes that need none": rb'"\u0061\/\u00e9\u2028\ud83d\ude42"',
    "an escaped zero": rb'"\u0000"',
    "equal names": b'{"a":1,"a":2,"b":0,"a":3}',
    "names out of order": b'{"z":1,"a":2,"M":{"y":1,"b":2}}',
    "raw text beyond ASCII": '"é 日本 🙂 \u2028"'.encode(),
    "an empty object": b"{}",
    "deep": b"[" * 200 + b"]" * 200,
}
PLACES: Mapping[str, bytes] = {
    "before the messages": around(result_block(spelled(RESULT)), before=b'"x":@,'),
    "behind the messages": around(result_block(spelled(RESULT)), after=b',"x":@'),
    "on the result": around(result_block(spelled(RESULT))[:-1] + b',"x":@}'),
    "before the result": around(b'{"type":"text","text":"hi","x":@},' + result_block(spelled(RESULT))),
    "in the call": around(result_block(spelled(RESULT))).replace(b'{"command":"ls"}', b'{"command":@}'),
    "on the message": around(result_block(spelled(RESULT))).replace(b'"Look."}', b'"Look.","x":@}'),
}


@pytest.mark.parametrize("place", PLACES)
async def test_odd_values_around_a_pressed_result_keep_their_bytes(place: str) -> None:
    async with origin() as behind, edge_to(behind.url) as proxy, await connect(proxy.port) as client:
        for name, value in ODD_VALUES.items():
            body = PLACES[place].replace(b"@", value)
            answer = await post(client, body)
            assert_not_ours(answer)
            assert answer.value(b"x-headroom-note") is None, name
            assert assert_reads_back(body, behind.requests[-1].body) == 1, name


async def test_blanks_between_all_tokens_of_a_body_stay() -> None:
    spaced = messages("@").replace(b'":', b'"\t:\r\n ').replace(b",{", b" ,\n\t{ ").replace(b"]}", b" ]\n} \n")
    spaced = spaced.replace(b'"@"', spelled(RESULT))
    async with origin() as behind, edge_to(behind.url) as proxy, await connect(proxy.port) as client:
        assert_not_ours(await post(client, spaced))
        assert assert_reads_back(spaced, behind.requests[-1].body) == 1


ODD_SHAPES: Mapping[str, bytes] = {
    "the messages twice": around(result_block(spelled(RESULT)), before=b'"messages":[{"role":"user","content":"a"}],'),
    "the content twice": around(
        result_block(spelled(RESULT)).replace(b'"content":', b'"content":%b,"content":' % spelled(records(50)))
    ),
    "the type last": around(b'{"content":%b,"tool_use_id":"toolu_1","type":"tool_result"}' % spelled(RESULT)),
    "names with escapes": messages(RESULT)
    .replace(b'"tool_result"', rb'"tool\u005fresult"')
    .replace(b'"messages"', rb'"mess\u0061ges"'),
    "a list of parts": around(result_block(b'[{"type":"text","text":%b}]' % spelled(RESULT))),
    "an image beside": around(
        result_block(b'[{"type":"image","source":{"type":"base64","data":"AAAA"}},{"type":"text","text":%b}]')
        % spelled(RESULT)
    ),
    "a marker on the part": around(
        result_block(b'[{"type":"text","text":%b,"cache_control":{"type":"ephemeral"}}]' % spelled(RESULT))
    ),
}


@pytest.mark.parametrize("shape", ODD_SHAPES)
async def test_odd_shapes_of_a_result_are_pressed_in_place(shape: str) -> None:
    body = ODD_SHAPES[shape]
    async with origin() as behind, edge_to(behind.url) as proxy, await connect(proxy.port) as client:
        assert_not_ours(await post(client, body))
        assert assert_reads_back(body, behind.requests[-1].body) == 1


async def test_odd_values_inside_a_pressed_result_keep_their_spelling() -> None:
    async with origin() as behind, edge_to(behind.url) as proxy, await connect(proxy.port) as client:
        pressed = 0
        for at, (name, value) in enumerate(ODD_VALUES.items()):
            rows = [f'{{"id": {row}, "name": "n{row}", "odd": {value.decode()}}}' for row in range(60)]
            for ascii_only in (True, False):
                text = "[\n" + ",\n".join(rows) + "\n]\n"
                body = messages(text, ascii_only=ascii_only).replace(b"toolu_1", b"toolu_%d%d" % (at, ascii_only))
                answer = await post(client, body)
                assert_not_ours(answer)
                assert answer.value(b"x-headroom-note") is None, name
                pressed += assert_reads_back(body, behind.requests[-1].body)
        assert pressed >= len(ODD_VALUES)


NOT_BODIES: Mapping[str, bytes] = {
    "nothing": b"",
    "blanks": b" \n",
    "half": messages(RESULT)[:-40],
    "two": messages(RESULT) * 2,
    "a byte order mark": b"\xef\xbb\xbf" + messages(RESULT),
    "bad UTF-8 in the system prompt": around(result_block(spelled(RESULT)), before=b'"system":"\xff\xfe",'),
    "bad UTF-8 behind the messages": around(result_block(spelled(RESULT)), after=b',"metadata":{"user_id":"\xc3"}'),
    "bad UTF-8 in a message": messages(RESULT).replace(b"Look.", b"\xed\xa0\x80"),
    "bad UTF-8 in the result": around(result_block(spelled(RESULT)[:-1] + b'\xff"')),
    "a lone surrogate in the result": around(result_block(spelled(RESULT)[:-1] + b'\\ud800"')),
    "a zero byte": messages(RESULT).replace(b"Look.", b"\x00"),
    "a trailing comma": around(result_block(spelled(RESULT)) + b","),
    "a comment": around(result_block(spelled(RESULT)), before=b"/* hi */"),
    "an array": b"[" + messages(RESULT) + b"]",
    "a string": spelled(RESULT),
    "messages that are none": b'{"messages":{"role":"user"},"model":"m"}',
    "no messages": b'{"messages":[],"model":"m"}',
    "messages of all kinds": b'{"messages":[1,"a",null,true,[],{},{"role":1,"content":2}],"model":"m"}',
    "open brackets": b"[" * 100_000,
    "closed brackets": b"[" * 100_000 + b"]" * 100_000,
    "brackets in a message": b'{"messages":[{"role":"user","content":' + b"[" * 100_000 + b"]" * 100_000 + b"}]}",
    "objects without end": b'{"messages":[' + b'{"content":[' * 50_000,
    "form fields": b"a=1&b=2",
}


@pytest.mark.parametrize("name", NOT_BODIES)
async def test_what_cannot_be_read_is_forwarded_as_it_came(name: str) -> None:
    body = NOT_BODIES[name]
    async with origin() as behind, edge_to(behind.url) as proxy, await connect(proxy.port) as client:
        assert_not_ours(await post(client, body))
        assert behind.requests[-1].body == body


# --- JSONTestSuite --------------------------------------------------------------------------------


async def test_files_of_the_suite_as_bodies_messages_and_values_keep_their_bytes() -> None:
    async with origin() as behind, edge_to(behind.url) as proxy, await connect(proxy.port) as client:
        for name, data in suite().items():
            beside = around(result_block(spelled(RESULT)), after=b',"x":@').replace(b"@", data)
            for body in (data, b'{"model":"m","messages":[' + data + b"]}", beside):
                assert_not_ours(await post(client, body))
                received = behind.requests[-1].body
                if received != body:
                    assert body is beside, name
                    assert assert_reads_back(body, received) == 1, name
            if name.startswith("y_"):
                assert behind.requests[-1].body != beside, name


async def test_files_of_the_suite_as_results_read_back() -> None:
    async with origin() as behind, edge_to(behind.url, json_floor=0) as proxy, await connect(proxy.port) as client:
        pressed = 0
        for at, (name, data) in enumerate(suite().items()):
            try:
                text = data.decode()
            except UnicodeDecodeError:
                continue
            listed = "[\n" + ",\n".join(f'  {{"id": {row}, "value": {text}}}' for row in range(12)) + "\n]"
            for form, shown in enumerate((text, listed)):
                for ascii_only in (True, False):
                    call = b"toolu_%d_%d_%d" % (at, form, ascii_only)
                    body = messages(shown, ascii_only=ascii_only).replace(b"toolu_1", call)
                    answer = await post(client, body)
                    assert_not_ours(answer)
                    assert answer.value(b"x-headroom-note") is None, name
                    pressed += assert_reads_back(body, behind.requests[-1].body)
        assert pressed > 100


# --- content codings of requests ------------------------------------------------------------------

CODERS = {
    b"gzip": gzip.compress,
    b"br": brotli.compress,
    b"zstd": zstandard.ZstdCompressor().compress,
    b"deflate": zlib.compress,
    b"gzip, zstd": lambda body: zstandard.ZstdCompressor().compress(gzip.compress(body)),
    b"identity, br": brotli.compress,
}


def the_coding(kept: Recorded) -> list[bytes]:
    """The content-encoding that the origin saw."""
    return kept.request.values("content-encoding")


@pytest.mark.parametrize("coding", CODERS)
async def test_a_coded_body_with_nothing_to_change_is_forwarded_coded(coding: bytes) -> None:
    body = CODERS[coding](messages("nothing to see"))
    async with origin() as behind, edge_to(behind.url) as proxy, await connect(proxy.port) as client:
        assert_not_ours(await post(client, body, b"Content-Encoding: " + coding))
        assert behind.requests[-1].body == body
        assert the_coding(behind.requests[-1]) == [coding]


@pytest.mark.parametrize("coding", CODERS)
async def test_a_coded_body_that_is_changed_is_forwarded_plain(coding: bytes) -> None:
    body = messages(RESULT)
    async with origin() as behind, edge_to(behind.url) as proxy, await connect(proxy.port) as client:
        assert_not_ours(await post(client, CODERS[coding](body), b"Content-Encoding: " + coding))
        assert assert_reads_back(body, behind.requests[-1].body) == 1
        assert the_coding(behind.requests[-1]) == []
        assert behind.requests[-1].request.values("content-length") == [b"%d" % len(behind.requests[-1].body)]


@pytest.mark.parametrize("coding", CODERS)
@pytest.mark.parametrize("damage", ["bomb", "cut", "noise", "tail"])
async def test_a_coded_body_that_cannot_be_unpacked_is_forwarded_as_it_came(coding: bytes, damage: str) -> None:
    whole = CODERS[coding](messages(RESULT) + b" " * (2_000_000 if damage == "bomb" else 0))
    body = {"bomb": whole, "cut": whole[: len(whole) // 2], "noise": b"\x00" * 40, "tail": whole + b"tail"}[damage]
    async with (
        origin() as behind,
        edge_to(behind.url, body_limit=1_000_000) as proxy,
        await connect(proxy.port) as client,
    ):
        assert_not_ours(await post(client, body, b"Content-Encoding: " + coding))
        assert behind.requests[-1].body == body
        assert the_coding(behind.requests[-1]) == [coding]


@pytest.mark.parametrize("coding", CODERS)
@pytest.mark.parametrize("plain", [b"", b"no JSON", b"[1, 2", b'{"messages":7}', b"\xff\xfe", messages(RESULT) + b"{}"])
async def test_a_coded_body_that_is_no_conversation_is_forwarded_as_it_came(coding: bytes, plain: bytes) -> None:
    body = CODERS[coding](plain)
    async with origin() as behind, edge_to(behind.url) as proxy, await connect(proxy.port) as client:
        await post(client, body, b"Content-Encoding: " + coding)
        assert behind.requests[-1].body == body
        assert the_coding(behind.requests[-1]) == [coding]


@pytest.mark.parametrize("coding", [b"gzip, br", b"compress", b"gzip, compress", b"aes128gcm"])
async def test_a_body_in_an_unknown_coding_is_forwarded_as_it_came(coding: bytes) -> None:
    body = gzip.compress(messages(RESULT))
    async with origin() as behind, edge_to(behind.url) as proxy, await connect(proxy.port) as client:
        assert_not_ours(await post(client, body, b"Content-Encoding: " + coding))
        assert behind.requests[-1].body == body
        assert the_coding(behind.requests[-1]) == [coding]


async def test_sessions_side_by_side_do_not_mix() -> None:
    """Recordings of every dialect at once, on one proxy: each request arrives, and none as another's."""
    names = ("claude-code", "sdk-anthropic", "codex", "opencode-openai-compatible", "gemini-cli")
    sessions = [captured(name) for name in names]
    async with origin() as behind, edge_to(behind.url) as proxy:

        async def replay(requests: Sequence[WireRequest]) -> None:
            async with await connect(proxy.port) as client:
                for request in requests:
                    await client.send(request.head + request.body)
                    await read_answer(client, request.method.encode())

        await asyncio.gather(*map(replay, sessions))
        came = {sha256(kept.body).digest() for kept in behind.requests if not is_rewritten(kept.request)}
        rewritten = {outside(kept.body) for kept in behind.requests if is_rewritten(kept.request)}
    for request in (request for session in sessions for request in session):
        if is_rewritten(request):
            assert outside(request.body) in rewritten
        else:
            assert sha256(request.body).digest() in came


def test_the_scanner_of_these_tests_finds_what_was_put_there() -> None:
    body = messages(RESULT)
    (found,) = result_strings(body)
    assert found.text == RESULT
    assert body[found.start : found.end] == spelled(RESULT)
    assert outside(body) == messages("")
    with pytest.raises(Unreadable):
        result_strings(b'{"messages":[}')
