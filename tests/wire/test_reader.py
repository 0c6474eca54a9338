"""Request and response readers: the recorded cases, whole and cut at every byte, and h11 as the oracle."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.drives import drive_request, drive_response
from headroom.faults import BadRequest, HeadTooLarge
from headroom.wire.head import UNTIL_CLOSE, RequestHead, ResponseHead
from headroom.wire.reader import Broken, Data, End, RequestReader, ResponseReader
from tests.support.cuts import every_cut

CORPUS = Path(__file__).parent.parent / "corpus" / "wire"


class RequestCase(TypedDict):
    name: str
    payload: str
    expect: str
    requests: int
    bodies: list[str]


class ResponseCase(TypedDict, total=False):
    name: str
    payload: str
    request_method: str
    expect: str
    status: int | None
    body: str
    closes: bool
    layer: str


REQUESTS: list[RequestCase] = json.loads((CORPUS / "requests.json").read_text())
RESPONSES: list[ResponseCase] = json.loads((CORPUS / "responses.json").read_text())

# llhttp refuses tabs around a transfer coding, which RFC 9110 §5.5 allows and nobody sends.
STRICTER = {"transfer_encoding_among_tabs"}

Seen = tuple[list[bytes], str]


def read_requests(pieces: Sequence[bytes]) -> Seen:
    """Bodies of the complete requests, and how it ended: `accept`, `reject` or `incomplete`."""
    reader = RequestReader()
    bodies: list[bytes] = []
    body: list[bytes] = []
    open_request = last = False
    for piece in pieces:
        events = list(reader.feed(piece))
        while events:
            event = events.pop(0)
            if isinstance(event, RequestHead):
                open_request, body, last = True, [], not event.keep_alive
            elif isinstance(event, Data):
                body.append(event.payload())
            elif isinstance(event, End):
                open_request = False
                bodies.append(b"".join(body))
                if last:
                    return bodies, "accept"  # the connection ends with this request; nobody reads on
                events += reader.resume()
            elif isinstance(event, Broken):
                return bodies, "reject"
    return bodies, "incomplete" if open_request or not reader.between_messages else "accept"


class Reader:
    """Reads one answer to `method`, then the end of the connection."""

    def __init__(self, method: bytes) -> None:
        self.method = method

    def __call__(self, pieces: Sequence[bytes]) -> tuple[int | None, bytes, str, bool]:
        reader = ResponseReader()
        reader.expect(self.method)
        status: int | None = None
        body: list[bytes] = []
        closes = False
        for piece in pieces:
            for event in reader.feed(piece):
                if isinstance(event, ResponseHead) and not event.interim:
                    status, closes = event.status, event.length == UNTIL_CLOSE
                elif isinstance(event, Data):
                    body.append(event.payload())
                elif isinstance(event, End):
                    return status, b"".join(body), "accept", closes
                elif isinstance(event, Broken):
                    return status, b"", "reject", closes  # how much came before depends on the cut
        end = reader.eof()
        if isinstance(end, End):
            return status, b"".join(body), "accept", closes
        return status, b"".join(body), "incomplete" if status is None else "truncated", closes


@pytest.mark.parametrize("case", REQUESTS, ids=[case["name"] for case in REQUESTS])
def test_a_recorded_request_is_read_as_a_strict_server_reads_it(case: RequestCase) -> None:
    payload = case["payload"].encode("latin-1")
    bodies, verdict = every_cut(read_requests, payload, at_most=400)
    wanted = [body.encode("latin-1") for body in case["bodies"]]
    if case["name"] in STRICTER:
        assert verdict == "reject"
    elif case["expect"] == "either" or not (bodies or payload.strip(b"\r\n")):
        assert bodies == wanted[: len(bodies)]
        if verdict == "accept":
            assert len(bodies) == case["requests"]
    else:
        assert (bodies, verdict) == (wanted, case["expect"])


# What a reader of bytes cannot know: the answer to an upgrade or to CONNECT opens a tunnel.
BYTES_ONLY = [case for case in RESPONSES if case.get("layer") != "proxy"]


@pytest.mark.parametrize("case", BYTES_ONLY, ids=[case["name"] for case in BYTES_ONLY])
def test_a_recorded_response_is_read_as_a_strict_client_reads_it(case: ResponseCase) -> None:
    read = Reader(case["request_method"].encode())
    status, body, verdict, closes = every_cut(read, case["payload"].encode("latin-1"), at_most=400)
    if case["expect"] == "accept" or (case["expect"] == "either" and verdict == "accept"):
        assert (verdict, status, body, closes) == (
            "accept",
            case["status"],
            case["body"].encode("latin-1"),
            case["closes"],
        )
    elif case["expect"] != "either":
        assert verdict == case["expect"]


def test_a_pipelined_request_is_not_read_before_its_turn() -> None:
    reader = RequestReader()
    events = reader.feed(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/9.9\r\n\r\n")
    assert [type(event) for event in events] == [RequestHead, End]
    assert reader.held == len(b"GET /b HTTP/9.9\r\n\r\n")
    assert isinstance(reader.resume()[0], Broken)


def test_a_head_over_its_limit_is_refused_while_it_is_still_unfinished() -> None:
    reader = RequestReader(head_limit=1024)
    events = reader.feed(b"GET / HTTP/1.1\r\nX: " + b"a" * 2000)
    assert isinstance(events[0], Broken) and isinstance(events[0].fault, HeadTooLarge)


def test_more_fields_than_allowed_are_refused() -> None:
    reader = RequestReader(field_limit=8)
    events = reader.feed(b"GET / HTTP/1.1\r\nHost: h\r\n" + b"A: b\r\n" * 8 + b"\r\n")
    assert isinstance(events[0], Broken) and isinstance(events[0].fault, HeadTooLarge)


def test_a_broken_reader_reads_nothing_more() -> None:
    reader = RequestReader()
    first = reader.feed(b"BAD\r\n\r\n")
    assert isinstance(first[0], Broken) and isinstance(first[0].fault, BadRequest)
    assert reader.feed(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n") == []


def test_bytes_after_a_response_belong_to_nobody() -> None:
    reader = ResponseReader()
    reader.expect(b"GET")
    events = reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n")
    assert [type(event) for event in events] == [ResponseHead, Data, End]
    assert not reader.between_messages
    reader.expect(b"GET")
    assert reader.feed(b"HTTP/1.1 200 OK\r\n\r\n") == []


WORDS = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\n",
        b"POST /x HTTP/1.1\r\n",
        b"Host: h\r\n",
        b"Content-Length: 3\r\n",
        b"Content-Length: 3 \r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"\r\n",
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
        b"0\r\nX: y\r\n\r\n",
        b"abc",
        b"\n",
        b"\r",
        b" ",
        b"X : y\r\n",
        b"Transfer-Encoding:\x0bchunked\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 204 No\r\n",
        b"Connection: close\r\n",
        b"\x00",
        b"Expect: 100-continue\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ]
)
STREAMS = st.lists(WORDS | st.binary(max_size=6), max_size=24).map(b"".join)


@settings(max_examples=400, deadline=None)
@given(STREAMS)
def test_requests_are_framed_as_h11_frames_them(stream: bytes) -> None:
    drive_request(stream)


@settings(max_examples=400, deadline=None)
@given(STREAMS)
def test_responses_are_framed_as_h11_frames_them(stream: bytes) -> None:
    drive_response(stream)
