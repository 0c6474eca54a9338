"""Heads: what their fields say, and edits that leave every other byte alone."""

from __future__ import annotations

import gc
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.wire.head import CHUNKED, UNTIL_CLOSE, Fields, RequestHead, ResponseHead, tokens
from headroom.wire.reader import Broken, RequestReader, ResponseReader


def request(*lines: bytes, version: bytes = b"1.1") -> RequestHead:
    """The head of a POST with these field lines."""
    raw = b"\r\n".join([b"POST /x HTTP/" + version, b"Host: h", *lines, b"", b""])
    head = RequestReader().feed(raw)[0]
    assert isinstance(head, RequestHead)
    assert head.raw == raw
    return head


def response(*lines: bytes, status: bytes = b"200 OK", version: bytes = b"1.1", method: bytes = b"GET") -> ResponseHead:
    """The head of an answer with these field lines."""
    reader = ResponseReader()
    reader.expect(method)
    head = reader.feed(b"\r\n".join([b"HTTP/" + version + b" " + status, *lines, b"", b""]))[0]
    assert isinstance(head, ResponseHead)
    return head


@pytest.mark.parametrize(
    ("lines", "version", "kept"),
    [
        ((), b"1.1", True),
        ((), b"1.0", False),
        ((b"Connection: keep-alive",), b"1.0", False),
        ((b"Connection: close",), b"1.1", False),
        ((b"Connection: x, CLOSE ",), b"1.1", False),
        ((b"Connection: x", b"connection: Close"), b"1.1", False),
        ((b"Connection: closed",), b"1.1", True),
    ],
)
def test_a_client_keeps_its_connection_unless_it_says_otherwise(
    lines: tuple[bytes, ...], version: bytes, kept: bool
) -> None:
    assert request(*lines, version=version).keep_alive is kept


@pytest.mark.parametrize(
    ("lines", "version", "method", "kept"),
    [
        ((b"Content-Length: 0",), b"1.1", b"GET", True),
        ((b"Content-Length: 0",), b"1.0", b"GET", False),
        ((b"Content-Length: 0", b"Connection: Keep-Alive"), b"1.0", b"GET", True),
        ((b"Content-Length: 0", b"Connection: close"), b"1.1", b"GET", False),
        ((), b"1.1", b"GET", False),
        ((), b"1.1", b"HEAD", True),
        ((b"Transfer-Encoding: chunked",), b"1.1", b"GET", True),
    ],
)
def test_an_origins_connection_serves_again_when_the_answer_has_an_end(
    lines: tuple[bytes, ...], version: bytes, method: bytes, kept: bool
) -> None:
    assert response(*lines, version=version, method=method).keep_alive is kept


def test_the_length_of_a_body_is_read_from_its_head() -> None:
    assert request().length == 0
    assert request(b"Content-Length: 7").length == 7
    assert request(b"Transfer-Encoding: Chunked").length == CHUNKED
    assert response().length == UNTIL_CLOSE
    assert response(b"Content-Length: 7").length == 7
    assert response(b"Content-Length: 7", method=b"HEAD").length == 0
    assert response(b"Content-Length: 7", status=b"304 Not Modified").length == 0
    assert response(b"Transfer-Encoding: chunked").length == CHUNKED


@pytest.mark.parametrize(
    ("status", "interim"),
    [(b"100 Continue", True), (b"103 Early", True), (b"101 Switching", False), (b"200 OK", False)],
)
def test_an_interim_answer_is_told_apart(status: bytes, interim: bool) -> None:
    assert response(b"Connection: Upgrade", b"Upgrade: x", status=status).interim is interim


def test_a_client_that_waits_for_permission_says_so() -> None:
    assert request(b"Expect: 100-Continue").expects_continue
    assert not request(b"Expect: 100-continue", version=b"1.0").expects_continue
    assert not request(b"Expect: something").expects_continue
    assert not request().expects_continue


def test_an_upgrade_needs_both_fields() -> None:
    assert request(b"Upgrade: websocket", b"Connection: keep-alive, Upgrade").upgrade
    assert not request(b"Upgrade: websocket").upgrade
    assert not request(b"Connection: upgrade").upgrade


def test_an_upgrade_is_no_matter_for_http_1_0_nor_for_http_2() -> None:
    fields = (b"Upgrade: websocket", b"Connection: upgrade")
    assert request(*fields, version=b"1.1").upgrade and not request(*fields, version=b"1.0").upgrade
    assert not request(b"Upgrade: H2C", b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: AAMAAABk").upgrade
    assert not request(b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: AAMAAABk").upgrade


def test_repeated_fields_are_joined_in_order() -> None:
    assert request(b"X-A: 1", b"x-b: 2", b"x-a:  3").fields[b"x-a"] == b"1, 3"


def test_blanks_around_a_value_are_no_part_of_it() -> None:
    assert request(b"X-A: \t 1 2 \t ").fields[b"x-a"] == b"1 2"
    assert request(b"Expect: 100-continue ").expects_continue


@pytest.mark.parametrize(
    ("value", "members"),
    [(b"", []), (b"a", [b"a"]), (b"A, b ,\tC", [b"a", b"b", b"c"]), (b",a,", [b"", b"a", b""])],
)
def test_members_of_a_list_are_trimmed_and_lower_case(value: bytes, members: list[bytes]) -> None:
    assert tokens(value) == members


def test_fields_of_one_hop_are_the_fixed_ones_and_the_nominated_ones() -> None:
    head = request(
        *(b"Connection: X-One, keep-alive, TE, x-none", b"X-One: 1", b"X-Two: 2", b"TE: trailers", b"Keep-Alive: 5"),
        *(b"Proxy-Authorization: x", b"Proxy-Connection: keep-alive", b"Trailer: X-Sum", b"Accept: */*"),
    )
    assert sorted(head.fields.hop_by_hop) == sorted(
        [b"connection", b"te", b"keep-alive", b"proxy-authorization", b"proxy-connection", b"trailer", b"x-one"]
    )


@pytest.mark.parametrize("line", [b"Content-Length: 1", b"Transfer-Encoding: chunked", b"Close: 1", b"Accept: */*"])
def test_framing_and_routing_cannot_be_nominated(line: bytes) -> None:
    head = request(line, b"Connection: content-length, Transfer-Encoding, HOST, close,, x-none")
    assert head.fields.hop_by_hop == [b"connection"]


@pytest.mark.parametrize("value", [b"close", b"keep-alive", b"Keep-Alive"])
def test_a_plain_connection_field_goes_alone(value: bytes) -> None:
    assert request(b"Accept: */*", b"Connection: " + value).fields.hop_by_hop == [b"connection"]


RAW = b"GET /?q=host:x HTTP/1.1\r\nHost: old\r\nX-A: host: no\r\naccept:*/*\r\nHOST:other\r\n\r\n"


@pytest.mark.parametrize(
    ("edits", "tail", "result"),
    [
        ([], b"", RAW),
        ([], b"Via: x\r\n", RAW[:-2] + b"Via: x\r\n\r\n"),
        ([(b"missing", b"Missing: 1\r\n")], b"", RAW),
        (
            [(b"host", b"Host: new\r\n")],
            b"",
            b"GET /?q=host:x HTTP/1.1\r\nHost: new\r\nX-A: host: no\r\naccept:*/*\r\n\r\n",
        ),
        ([(b"host", b"")], b"", b"GET /?q=host:x HTTP/1.1\r\nX-A: host: no\r\naccept:*/*\r\n\r\n"),
        (
            [(b"accept", b""), (b"host", b"H: 1\r\n"), (b"x-a", b"")],
            b"T: 1\r\nU: 2\r\n",
            b"GET /?q=host:x HTTP/1.1\r\nH: 1\r\nT: 1\r\nU: 2\r\n\r\n",
        ),
    ],
)
def test_lines_are_cut_or_replaced_and_all_else_keeps_its_bytes(
    edits: list[tuple[bytes, bytes]], tail: bytes, result: bytes
) -> None:
    assert Fields(RAW).edited(edits, tail) == result


NAMES = st.sampled_from([b"a", b"ab", b"x-a", b"host", b"A", b"AB", b"X-A", b"Host"])
VALUES = st.sampled_from([b"", b"1", b" a: b", b"host:", b" x-a: ab:", b"\xff"])
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=8)


@given(
    FIELDS,
    st.sets(st.sampled_from([b"a", b"ab", b"x-a", b"host"])),
    st.sets(st.sampled_from([b"a", b"ab", b"x-a", b"host"])),
)
def test_an_edit_is_what_editing_line_by_line_gives(
    fields: list[tuple[bytes, bytes]], cut: set[bytes], put: set[bytes]
) -> None:
    lines = [name + b":" + value + b"\r\n" for name, value in fields]
    edits = [(name, b"") for name in sorted(cut - put)] + [(name, b"New-" + name + b": 1\r\n") for name in sorted(put)]
    expected: list[bytes] = []
    left = set(put)
    for (name, _), line in zip(fields, lines, strict=True):
        if name.lower() in left:
            expected.append(b"New-" + name.lower() + b": 1\r\n")
            left.discard(name.lower())
        elif name.lower() not in cut | put:
            expected.append(line)
    start = b"GET /host: HTTP/1.1\r\n"
    assert Fields(start + b"".join(lines) + b"\r\n").edited(edits) == start + b"".join(expected) + b"\r\n"


@pytest.mark.parametrize("lines", [b"Bad Name: 1\r\n", b"Content-Length: x\r\n", b"A: \x00\r\n", b"Host: again\r\n"])
def test_nothing_of_a_refused_head_stays_in_memory(lines: bytes) -> None:
    events = RequestReader().feed(b"GET / HTTP/1.1\r\nHost: h\r\n" + lines + b"\r\n")
    assert isinstance(events[0], Broken)
    fault = weakref.ref(events[0].fault)
    del events
    gc.collect()
    assert fault() is None
