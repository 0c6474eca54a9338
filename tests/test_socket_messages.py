"""What is said on a WebSocket is found without reading what is not, and hearing it raises nothing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode

from headroom.providers import OPENAI_RESPONSES, RESPONSES_SOCKET
from headroom.socket_messages import Asking, Askings, OriginListener, Told
from headroom.usage import Usage
from headroom.wire.websocket import Packing
from tests.support.frames import frame
from tests.support.sockets import CREATED, DONE, creating, result, text

ASKINGS = Askings(RESPONSES_SOCKET)
DELTA = b'{"type":"response.output_text.delta","delta":"\\"type\\":\\"error\\""}'
CALL = {"type": "function_call", "call_id": "c1", "name": "shell", "arguments": "{}"}
CALLED = json.dumps({"type": "response.output_item.done", "item": CALL}).encode()


def listener(packing: Packing | None = None, limit: int = 10_000) -> OriginListener:
    return OriginListener(RESPONSES_SOCKET, OPENAI_RESPONSES, packing, limit)


def sent(message: bytes) -> bytes:
    return text(message, masked=False)


# The client's.


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("follows", ["", "resp_1"])
def test_a_request_is_found_where_it_is(nested: bool, follows: str) -> None:
    more = {"previous_response_id": follows} if follows else {}
    message = creating(result("c1", "é"), nested=nested, **more)
    found = ASKINGS.find(message)
    assert found is not None and found.follows == follows
    inner = json.loads(message[found.start : found.end])
    assert inner["input"] == [result("c1", "é")]
    assert ("type" in inner) == (not nested)
    assert ASKINGS.may_be(message, whole=True) and ASKINGS.may_be(message[:30], whole=False)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"[]",
        b"no",
        b'"response.create"',
        b'{"type":"response.cancel"}',
        b'{"type":1}',
        b'{"type":"response.create"',
        b'{"input":["response.create"]}',
        b"[" * 100_000,
    ],
)
def test_other_messages_are_no_requests(message: bytes) -> None:
    assert ASKINGS.find(message) is None


@pytest.mark.parametrize(
    ("begin", "whole", "may_be"),
    [
        (b'{"type":"response.create","input"', False, True),
        (b' {\n "type" : "response.create"', False, True),
        (b'{"type":"response.cancel"', False, False),
        (b'{"type":"response.create.not"', False, False),
        (b'{"type":"respon', False, True),
        (b'{"model":"m"', False, True),
        (b'{"model":"m"}', True, False),
        (b'{"model":"m","type":"response.create"}', True, True),
        (b"", False, True),
        (b"", True, False),
    ],
)
def test_the_first_bytes_mostly_say_what_a_message_is(begin: bytes, whole: bool, may_be: bool) -> None:
    assert ASKINGS.may_be(begin, whole=whole) is may_be


def test_what_a_request_goes_on_from_is_a_text_or_nothing() -> None:
    for value, follows in ((None, ""), (1, ""), ([], ""), ("", ""), ("é", "é"), ("x" * 999, "x" * 256)):
        assert ASKINGS.find(creating(previous_response_id=value)) == Asking(
            0, len(creating(previous_response_id=value)), follows
        )
    assert ASKINGS.find(b'{"type":"response.create","response":null,"input":[]}') == Asking(0, 53, "")


def test_a_request_that_is_not_text_is_found_all_the_same() -> None:
    message = b'{"type":"response.create","previous_response_id":"\xc7","input":[]}'
    assert ASKINGS.find(message) == Asking(0, len(message), "")


# The origin's.


def test_a_response_is_heard_to_begin_to_call_and_to_end() -> None:
    hearing = listener()
    stream = b"".join(map(sent, (CREATED % b"r1", DELTA, CALLED, DONE % b"r1"))) + frame(
        Opcode.CLOSE, b"", masked=False
    )
    usage = Usage(60, 40, 0, 0, 7)
    told = [
        Told("begun", "r1"),
        Told("called", call=("c1", "shell")),
        Told("ended", "r1", "", "complete", usage),
        Told("closed"),
    ]
    assert hearing.feed(stream) == told and hearing.between
    again = listener()
    assert [one for at in range(len(stream)) for one in again.feed(stream[at : at + 1])] == told


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("response.completed", "complete"),
        ("response.incomplete", "complete"),
        ("response.failed", "errored"),
        ("error", "errored"),
    ],
)
def test_a_response_ends_in_several_ways(kind: str, outcome: str) -> None:
    (told,) = listener().feed(sent(json.dumps({"sequence_number": 1, "type": kind}).encode()))
    assert told == Told("ended", "", "", "complete" if outcome == "complete" else "errored")


def test_a_message_in_fragments_is_heard_with_pings_between() -> None:
    done = DONE % b"r1"
    stream = frame(Opcode.TEXT, done[:20], fin=False, masked=False) + frame(Opcode.PING, b"", masked=False)
    stream += frame(Opcode.CONT, done[20:50], fin=False, masked=False) + frame(Opcode.CONT, done[50:], masked=False)
    assert [told.kind for told in listener().feed(stream)] == ["ended"]


def test_what_is_too_large_is_skipped_and_what_follows_is_heard() -> None:
    hearing = listener(limit=150)
    large = sent(DONE % (b"x" * 200))
    pieces = [(DONE % (b"x" * 200))[at : at + 40] for at in range(0, 300, 40)]
    fragments = b"".join(
        frame(Opcode.CONT if at else Opcode.TEXT, piece, fin=at == len(pieces) - 1, masked=False)
        for at, piece in enumerate(pieces)
    )
    stream = large + fragments + frame(Opcode.BINARY, b"x" * 999, masked=False) + sent(CREATED % b"r1")
    assert hearing.feed(stream) == [Told("begun", "r1")] and hearing.between and not hearing.deaf


def test_fragments_that_hold_nothing_are_skipped_where_they_are_many() -> None:
    hearing = listener()
    fragments = frame(Opcode.TEXT, b"", fin=False, masked=False) + frame(Opcode.CONT, b"", fin=False, masked=False) * 99
    assert hearing.feed(fragments) == [] and not hearing._kept
    assert hearing.feed(frame(Opcode.CONT, b"", masked=False) + sent(CREATED % b"r1")) == [Told("begun", "r1")]


@pytest.mark.parametrize("keeps", [True, False])
def test_deflated_messages_are_heard_in_their_context(keeps: bool) -> None:
    sender = PerMessageDeflate(False, not keeps, 15, 15)
    stream = b""
    for message in (CREATED % b"r1", DELTA, b"\0binary", DONE % b"r1"):
        opcode = Opcode.BINARY if b"binary" in message else Opcode.TEXT
        stream += Frame(opcode, message).serialize(mask=False, extensions=[sender])
    hearing = listener(Packing(15, 15, keeps))
    assert [told.kind for told in hearing.feed(stream)] == ["begun", "ended"] and not hearing.deaf


def test_a_listener_that_lost_its_place_is_deaf_and_says_so() -> None:
    for stream, packing in (
        (b"\x83\x00", None),
        (frame(Opcode.TEXT, b"\xff\xff", packed=True, masked=False), Packing(15, 15, keeps=True)),
        (frame(Opcode.TEXT, b"x" * 20_000, packed=True, masked=False), Packing(15, 15, keeps=True)),
    ):
        hearing = listener(packing)
        assert hearing.feed(stream) == [] and hearing.deaf and not hearing.between
        assert hearing.feed(sent(CREATED % b"r1")) == []


@pytest.mark.parametrize("kind", [[], {}, None, 1, ["function_call"]])
def test_an_item_of_a_kind_that_is_none_tells_nothing(kind: object) -> None:
    said = {"type": "response.output_item.done", "item": {**CALL, "type": kind}}
    assert listener().feed(sent(json.dumps(said).encode())) == []


@given(st.lists(st.binary(max_size=60)), st.booleans())
def test_nothing_that_an_origin_says_raises(messages: list[bytes], packed: bool) -> None:
    hearing = listener(Packing(15, 15, keeps=True) if packed else None)
    for message in messages:
        hearing.feed(frame(Opcode.TEXT, b'{"type":"response.completed",' + message, packed=packed, masked=False))
        hearing.feed(message)
