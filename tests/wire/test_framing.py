"""Where a chunked body ends."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.drives import drive_chunks
from headroom.faults import BadRequest, BadResponse
from headroom.wire.framing import LINE_LIMIT, TRAILER_LIMIT, ChunkWalker
from tests.support.cuts import every_cut


class Walk:
    """Walks a body and says how that ended: `done`, `more` or `bad`, with payload and bytes taken if done."""

    def __init__(self, padded: bool = False) -> None:
        self.padded = padded

    def __call__(self, parts: Sequence[bytes]) -> tuple[str, bytes, int]:
        walker = ChunkWalker(BadRequest, padded=self.padded)
        payload: list[bytes] = []
        used = 0
        for part in parts:
            spans: list[tuple[int, int]] = []
            try:
                used += walker.walk(part, 0, spans)
            except BadRequest:
                return "bad", b"", 0
            payload += [part[start:end] for start, end in spans]
            if walker.done:
                return "done", b"".join(payload), used
        return "more", b"", 0


def walked(body: bytes, *, padded: bool = False) -> tuple[str, bytes, int]:
    """How walking ends, the same for every cut."""
    return every_cut(Walk(padded), body, at_most=300)


@pytest.mark.parametrize(
    ("body", "payload"),
    [
        (b"0\r\n\r\n", b""),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2),
        (b"0003\r\nabc\r\n000\r\n\r\n", b"abc"),
        (b"3;name=value\r\nabc\r\n0;last\r\n\r\n", b"abc"),
        (b'3;a="b c";d\r\nabc\r\n0\r\n\r\n', b"abc"),
        (b"3\r\nabc\r\n0\r\nX-Sum: 1\r\nServer-Timing: a\r\n\r\n", b"abc"),
        (b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", b"\r\n0\r\n\r\n"),
        (b"3\r\nabc\r\n0\r\nEmpty:\r\n\r\n", b"abc"),
    ],
)
def test_a_body_ends_after_its_trailers_and_what_follows_is_left(body: bytes, payload: bytes) -> None:
    assert walked(body) == ("done", payload, len(body))
    assert walked(body + b"GET / HTTP/1.1\r\n") == ("done", payload, len(body))


@pytest.mark.parametrize(
    "body",
    [
        *(b"\r\n", b"x\r\n", b"-1\r\n", b"+1\r\n", b"0x1\r\n", b" 1\r\n", b"1\n", b"1\ra", b"1_0\r\n", b"\xb2\r\n"),
        *(b"3 \r\nabc\r\n0\r\n\r\n", b"3\t;a\r\n", b"3;\x00\r\n", b"3;a\x7f\r\n", b"3;a\rb\r\n", b"3;a\nb\r\n"),
        *(b"3\r\nabcd\r\n", b"3\r\nabc\n0\r\n\r\n", b"3\r\nabc0\r\n\r\n", b"3\r\nabc\r\r\n", b"3\r\nabc\r0"),
        *(b"0\r\n\n", b"0\r\nX\r\n\r\n", b"0\r\nX : y\r\n\r\n", b"0\r\n: y\r\n\r\n", b"0\r\nX: \x00\r\n\r\n"),
        *(b"0\r\nX: y\r\n folded\r\n\r\n", b"0\r\nX: a\rb\r\n\r\n", b"0\r\nX: y\n\r\n"),
        *(b"0\r\nContent-Length: 1\r\n\r\n", b"0\r\nTransfer-Encoding: chunked\r\n\r\n", b"0\r\nHOST: a\r\n\r\n"),
        *(b"0\r\nConnection: close\r\n\r\n", b"0\r\nTE: x\r\n\r\n", b"0\r\nUpgrade: x\r\n\r\n"),
        *(b"1" + b"0" * 15 + b"\r\n", b"F" * 16 + b"\r\n"),
    ],
)
def test_malformed_framing_is_refused_however_it_is_cut(body: bytes) -> None:
    assert walked(body)[0] == "bad"


WAITING = (
    b"",
    b"5",
    b"5\r",
    b"5\r\n",
    b"5\r\nhel",
    b"5\r\nhello",
    b"5\r\nhello\r",
    b"0\r\n",
    b"0\r\nX: y\r\n",
    b"0\r\n\r",
)


@pytest.mark.parametrize("body", [*WAITING, b"F" * 15 + b"\r\n"])
def test_an_unfinished_body_waits_for_more(body: bytes) -> None:
    assert walked(body)[0] == "more"


@pytest.mark.parametrize("blanks", [b" ", b"\t", b"  \t "])
def test_blanks_after_a_size_are_accepted_from_origins_only(blanks: bytes) -> None:
    body = b"3" + blanks + b"\r\nabc\r\n0" + blanks + b";x\r\n\r\n"
    assert walked(body, padded=True) == ("done", b"abc", len(body))
    assert walked(body)[0] == "bad"


def test_the_fault_is_the_one_that_was_asked_for() -> None:
    with pytest.raises(BadResponse):
        ChunkWalker(BadResponse, padded=True).walk(b"x\r\n", 0, None)


@pytest.mark.parametrize(
    "body",
    [
        b"1;%b\r\na\r\n0\r\n\r\n" % (b"x" * LINE_LIMIT),
        b"1" + b"0" * LINE_LIMIT,
        b"0\r\nX: %b\r\n\r\n" % (b"y" * TRAILER_LIMIT),
    ],
)
def test_a_line_over_its_limit_is_refused_however_it_is_cut(body: bytes) -> None:
    assert walked(body)[0] == "bad"


def test_trailers_over_their_limit_are_refused() -> None:
    assert walked(b"0\r\n" + b"X: 0123456789\r\n" * (TRAILER_LIMIT // 15 + 1) + b"\r\n")[0] == "bad"
    body = b"0\r\n" + b"X: 0123456789\r\n" * (TRAILER_LIMIT // 15) + b"\r\n"
    assert walked(body) == ("done", b"", len(body))


def test_walking_goes_on_in_the_middle_of_a_piece() -> None:
    walker = ChunkWalker(BadRequest, padded=False)
    spans: list[tuple[int, int]] = []
    data = b"head5\r\nhello\r\n0\r\n\r\nnext"
    assert walker.walk(data, 4, spans) == len(data) - 4
    assert spans == [(7, 12)]
    assert walker.done
    assert walker.walk(data, 0, spans) == 0


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6))
def test_what_is_chunked_is_found_again(payloads: list[bytes]) -> None:
    body = b"".join(b"%x\r\n%b\r\n" % (len(payload), payload) for payload in payloads) + b"0\r\n\r\n"
    assert walked(body) == ("done", b"".join(payloads), len(body))


WORDS = st.sampled_from(
    [
        *(b"3\r\nabc\r\n", b"0\r\n\r\n", b"0\r\n", b"\r\n", b"\n", b"\r", b"3", b";x", b"abc"),
        *(b"X: y\r\n", b" ", b"Host: h\r\n", b"A\r\n"),
    ]
)


@settings(max_examples=400)
@given(st.lists(WORDS | st.binary(max_size=3), max_size=14).map(b"".join))
def test_any_bytes_are_framed_as_the_naive_decoder_frames_them(data: bytes) -> None:
    drive_chunks(data)
