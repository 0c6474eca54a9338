"""WebSocket frames are cut out of a stream as the library's own connection cuts them, each with its own bytes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, PerMessageDeflate
from websockets.frames import Close, Opcode
from websockets.frames import Frame as TheirFrame

from fuzz.drives import drive_websocket
from headroom.faults import BadCoding, BadFrame
from headroom.wire.websocket import (
    CLOSE,
    PING,
    TEXT,
    Frame,
    FrameReader,
    Packing,
    agreed,
    alone_offer,
    close_code,
    close_frame,
    each_by_itself,
    readable_offer,
    text_frame,
)
from tests.support.cuts import cuts
from tests.support.frames import frame, websocket_frames, whole_frames

TEXTS = ("", "a", "ä€😀", "x" * 125, "y" * 126, "z" * 70_000)


def read(stream: bytes, *, masked: bool = True, limit: int = 1 << 20, binary: bool = False) -> list[Frame]:
    reader = FrameReader(masked=masked, limit=limit, deflated=False, binary=binary)
    found = reader.feed(stream)
    assert reader.fault is None and reader.between
    return found


@pytest.mark.parametrize("masked", [True, False], ids=["client", "origin"])
@pytest.mark.parametrize("text", TEXTS, ids=map(len, TEXTS))
def test_a_message_is_read_and_keeps_its_bytes(text: str, masked: bool) -> None:
    stream = frame(Opcode.TEXT, text.encode(), masked=masked)
    (found,) = read(stream, masked=masked)
    assert (found.raw, found.opcode, found.fin, found.payload, found.ends) == (stream, TEXT, True, text.encode(), True)


@pytest.mark.parametrize("masked", [True, False], ids=["client", "origin"])
def test_frames_are_the_same_wherever_the_stream_is_cut(masked: bool) -> None:
    sent = [
        frame(Opcode.TEXT, b'{"type":"a"}', masked=masked),
        frame(Opcode.TEXT, "é".encode()[:1], fin=False, masked=masked),
        frame(Opcode.PING, b"now", masked=masked),
        frame(Opcode.CONT, "é".encode()[1:], masked=masked),
        frame(Opcode.TEXT, b"x" * 130, masked=masked),
        frame(Opcode.BINARY, b"\0\xff", masked=masked),
        frame(Opcode.CLOSE, Close(4001, "over").serialize(), masked=masked),
    ]
    stream = b"".join(sent)
    seen, refused = websocket_frames(stream, masked=masked)
    assert not refused
    for parts in cuts(stream):
        reader = FrameReader(masked=masked, limit=1 << 20, deflated=False, binary=True)
        found = [one for part in parts for one in reader.feed(part)]
        assert [one.raw for one in found] == sent
        assert whole_frames(found) == seen
        assert reader.between and reader.fault is None


def test_a_stream_ends_within_a_frame_anywhere() -> None:
    stream = frame(Opcode.TEXT, b"abc") + frame(Opcode.TEXT, b"d" * 200)
    first = len(frame(Opcode.TEXT, b"abc"))
    for end in range(len(stream)):
        reader = FrameReader(masked=True, limit=1000, deflated=False)
        found = reader.feed(stream[:end])
        assert len(found) == (end >= first)
        assert reader.between == (end in (0, first))
        assert reader.feed(stream[end:])[-1].payload == b"d" * 200


@given(
    st.lists(st.tuples(st.binary(max_size=400), st.integers(1, 4), st.booleans()), max_size=8),
    st.booleans(),
    st.integers(0, 300),
)
def test_any_messages_in_any_fragments_are_read_as_the_library_reads_them(
    messages: list[tuple[bytes, int, bool]], masked: bool, limit: int
) -> None:
    stream = b""
    for data, count, pinged in messages:
        step = -(-len(data) // count) or 1
        parts = [data[at : at + step] for at in range(0, len(data), step)] or [b""]
        for at, part in enumerate(parts):
            stream += frame(Opcode.CONT if at else Opcode.TEXT, part, fin=at == len(parts) - 1, masked=masked)
            stream += frame(Opcode.PING, part[:9], masked=masked) if pinged else b""
    found = read(stream, masked=masked, limit=limit)
    seen, _ = websocket_frames(stream, masked=masked)
    assert b"".join(one.raw for one in found) == stream
    read_back = whole_frames(found)
    assert [one[:2] for one in read_back] == [one[:2] for one in seen]
    for ours, theirs in zip(read_back, seen, strict=True):
        assert ours[2] == (theirs[2] if len(theirs[2] or b"") <= limit or ours[0] >= CLOSE else None)


def test_a_frame_too_large_to_be_read_comes_in_parts_as_its_bytes_do() -> None:
    stream, after = frame(Opcode.TEXT, b"x" * 1000), frame(Opcode.TEXT, b"y")
    reader = FrameReader(masked=True, limit=999, deflated=False)
    parts: list[Frame] = []
    for at in range(0, len(stream), 100):
        (part,) = reader.feed(stream[at : at + 100])[-1:]
        assert part.payload is None and part.ends == (at + 100 >= len(stream))
        assert reader.between == part.ends
        parts.append(part)
    assert reader.feed(after)[0].payload == b"y"


def test_binary_is_not_gathered() -> None:
    reader = FrameReader(masked=True, limit=1 << 20, deflated=False)
    stream = frame(Opcode.BINARY, b"x" * 1000, fin=False)
    assert b"".join(one.raw for one in reader.feed(stream[:300])) == stream[:300]
    assert b"".join(one.raw for one in reader.feed(stream[300:])) == stream[300:]
    more = frame(Opcode.CONT, b"y" * 10)
    assert [one.payload for one in reader.feed(more)] == [None, None]


BAD = {
    "opcode": b"\x83\x80abcd",
    "reserved opcode of control": b"\x8b\x80abcd",
    "unmasked": frame(Opcode.TEXT, b"a", masked=False),
    "reserved bit": b"\xa1\x80abcd",
    "packed without agreement": frame(Opcode.TEXT, b"a", packed=True),
    "packed control": frame(Opcode.PING, b"a", packed=True),
    "long ping": b"\x89\xfe\x01\x00abcd",
    "fragmented ping": b"\x09\x80abcd",
    "continuation of nothing": frame(Opcode.CONT, b"a"),
    "message within a message": frame(Opcode.TEXT, b"a", fin=False) + frame(Opcode.TEXT, b"b"),
    "impossible length": b"\x81\xff" + b"\xff" * 8,
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_frame_is_refused_and_what_came_before_is_not(name: str) -> None:
    good = frame(Opcode.PING, b"p")
    for parts in cuts(good + BAD[name] + b"tail"):
        reader = FrameReader(masked=True, limit=1 << 20, deflated=False)
        found = [one for part in parts for one in reader.feed(part)]
        assert found[0].raw == good and found[0].opcode == PING
        assert isinstance(reader.fault, BadFrame) and reader.fault.code == 1002
        assert reader.feed(b"more") == []


def test_an_origin_that_masks_is_refused() -> None:
    reader = FrameReader(masked=False, limit=100, deflated=False)
    assert reader.feed(frame(Opcode.TEXT, b"a", masked=True)) == [] and reader.fault is not None


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    drive_websocket(data)


# Frames of ours.


def test_a_text_is_made_one_masked_frame_with_a_mask_of_its_own() -> None:
    made = [text_frame(b"abc" * 100) for _ in range(2)]
    assert made[0] != made[1]
    for one in made:
        assert [(f.payload, f.fin) for f in read(one)] == [(b"abc" * 100, True)]


@pytest.mark.parametrize("masked", [True, False])
def test_a_close_says_its_code_and_reason(masked: bool) -> None:
    (found,) = read(close_frame(1001, "later", masked=masked), masked=masked)
    assert found.payload is not None and close_code(found.payload) == 1001 and found.payload[2:] == b"later"


@pytest.mark.parametrize("payload", [b"\x03", b"\x03\xed", b"\x03\xe8\xff", b"\x00\x00"])
def test_a_close_that_may_not_be_sent_is_none(payload: bytes) -> None:
    with pytest.raises(BadFrame):
        close_code(payload)
    assert close_code(b"") == 1005


# Compression.


def theirs(messages: Sequence[bytes], *, keeps: bool, bits: int = 15) -> list[bytes]:
    """Messages as the library deflates them."""
    sender = PerMessageDeflate(False, not keeps, 15, bits)
    return [bytes(sender.encode(TheirFrame(Opcode.TEXT, message)).data) for message in messages]


@pytest.mark.parametrize("bits", [9, 12, 15])
@given(st.lists(st.binary(max_size=300), max_size=5))
def test_messages_of_a_client_are_unpacked_and_packed_by_themselves(bits: int, messages: list[bytes]) -> None:
    packing = Packing(bits, 15, keeps=True).of_client()
    for message, packed in zip(messages, theirs(messages, keeps=False, bits=bits), strict=True):
        assert packing.unpack(packed, 1000) == message
        assert message.startswith(packing.begin(packed))
        reader = FrameReader(masked=True, limit=1 << 20, deflated=True)
        (again,) = reader.feed(text_frame(message, packing))
        assert again.packed and again.payload is not None and packing.unpack(again.payload, 1000) == message


@pytest.mark.parametrize("keeps", [True, False])
def test_messages_of_an_origin_may_refer_to_those_before_them(keeps: bool) -> None:
    messages = [b"the same words, the same words" * 9] * 4
    packed = theirs(messages, keeps=keeps)
    packing = Packing(15, 15, keeps=keeps).of_origin()
    assert [packing.unpack(one, 1000) for one in packed] == messages
    assert (len(packed[1]) < len(packed[0])) == keeps


def test_a_bomb_and_damage_are_told_apart() -> None:
    packing = Packing(15, 15, keeps=False).of_client()
    (bomb,) = theirs([b"0" * 1_000_000], keeps=False)
    with pytest.raises(BadCoding):
        packing.unpack(bomb, 1000)
    with pytest.raises(BadFrame):
        packing.unpack(b"\xff\xff\xff", 1000)
    assert packing.begin(b"\xff\xff\xff") == b""


OFFERS = {
    b"permessage-deflate": b"permessage-deflate",
    b"permessage-deflate; client_max_window_bits": b"permessage-deflate; client_max_window_bits",
    b"permessage-deflate;client_max_window_bits=10 , permessage-deflate": (
        b"permessage-deflate;client_max_window_bits=10 , permessage-deflate"
    ),
    b"x-webkit-deflate-frame, permessage-deflate": b"permessage-deflate",
    b"permessage-deflate; client_max_window_bits=99, permessage-deflate; server_no_context_takeover": (
        b"permessage-deflate; server_no_context_takeover"
    ),
    b"permessage-deflate; mystery": b"",
    b"x-other": b"",
    b'permessage-deflate; a="': b"",
    b"\xff": b"",
    b"": b"",
}


@pytest.mark.parametrize("offer", OFFERS, ids=range(len(OFFERS)))
def test_only_what_can_be_read_is_offered(offer: bytes) -> None:
    readable = readable_offer(offer)
    assert readable == OFFERS[offer]
    if readable == offer and offer:
        assert readable is offer


def test_what_was_agreed_on_is_read_as_a_client_of_the_library_reads_it() -> None:
    assert agreed(b"") is None and agreed(b" ") is None
    assert agreed(b"permessage-deflate") == Packing(15, 15, keeps=True)
    answer = b"permessage-deflate; server_no_context_takeover; server_max_window_bits=10; client_max_window_bits=9"
    assert agreed(answer) == Packing(9, 10, keeps=False)
    for bad in (
        b"x-other",
        b"permessage-deflate, permessage-deflate",
        b"permessage-deflate; a",
        b"permessage-deflate;",
    ):
        with pytest.raises(BadCoding):
            agreed(bad)


@pytest.mark.parametrize("answer", [b"permessage-deflate", b"permessage-deflate; client_no_context_takeover"])
def test_a_client_is_asked_to_deflate_each_message_by_itself(answer: bytes) -> None:
    told = each_by_itself(answer)
    made = ClientPerMessageDeflateFactory().process_response_params(
        [(part.strip(), None) for part in told.decode().split(";")[1:]], []
    )
    assert made.local_no_context_takeover
    assert (told is answer) == (b"takeover" in answer)


@pytest.mark.parametrize(
    ("offer", "asked"),
    [
        (b"permessage-deflate", b"permessage-deflate; server_no_context_takeover"),
        (
            b"permessage-deflate; client_max_window_bits, permessage-deflate",
            b"permessage-deflate; client_max_window_bits; server_no_context_takeover, "
            b"permessage-deflate; server_no_context_takeover",
        ),
    ],
)
def test_an_offer_can_ask_for_messages_that_stand_alone(offer: bytes, asked: bytes) -> None:
    assert alone_offer(offer) == asked
    assert alone_offer(asked) is asked
    assert alone_offer(b"") == b""
