"""Event streams cut into events as WHATWG HTML §9.2.6 has them, however the bytes arrive."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.drives import drive_sse
from headroom.wire import sse
from headroom.wire.sse import EventTooBig, SseEvent, SseSplitter, parse_event
from tests.support.cuts import every_cut

BOM = b"\xef\xbb\xbf"
Found = list[tuple[bytes, bytes]]


def events(parts: Sequence[bytes]) -> Found:
    """(name, data) of the events in a stream."""
    splitter = SseSplitter()
    raw = [event for part in parts for event in splitter.feed(part)]
    assert b"".join(raw) + splitter.rest == b"".join(parts)
    found = [parse_event(event, first=at == 0) for at, event in enumerate(raw)]
    return [(event.name, event.data) for event in found if event is not None]


# The cases of the web platform tests (eventsource/format-*), with what a browser dispatches.
CASES: dict[str, tuple[bytes, Found]] = {
    "bom": (BOM + b"data:1\n\n", [(b"", b"1")]),
    "bom twice": (BOM + BOM + b"data:1\n\ndata:2\n\n", [(b"", b"2")]),
    "bom later": (b"data:1\n\n" + BOM + b"data:2\n\ndata:3\n\n", [(b"", b"1"), (b"", b"3")]),
    "comments": (
        b"data:1\r:\0\n:\r\ndata:2\n:" + b"x" * 2049 + b"\rdata:3\n:data:fail\r:x\ndata:4\n\n",
        [(b"", b"1\n2\n3\n4")],
    ),
    "data before final empty line": (b"data:1\n\ndata:2", [(b"", b"1")]),
    "field data": (b"data:\n\ndata\ndata\n\ndata:test\n\n", [(b"", b""), (b"", b"\n"), (b"", b"test")]),
    "field event": (b"event:test\ndata:x\n\ndata:x\n\n", [(b"test", b"x"), (b"", b"x")]),
    "field event empty": (b"event: \ndata:data\n\n", [(b"", b"data")]),
    "field event twice": (b"event:a\nevent:b\ndata:x\n\n", [(b"b", b"x")]),
    "field event without data": (b"event:a\n\ndata:x\n\n", [(b"", b"x")]),
    "field id": (b"id: 1\ndata:x\n\n", [(b"", b"x")]),
    "field id null": (b"id: 1\0\ndata:x\n\n", [(b"", b"x")]),
    "field parsing": (
        b"data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\n"
        b"data:3\rdata:\r\n data:32\ndata:4\n\n",
        [(b"", b"\0\n 2\n1\n3\n\n4")],
    ),
    "field retry": (b"retry:03000\ndata:x\n\n", [(b"", b"x")]),
    "field retry bogus": (b"retry:3000\nretry:1000x\ndata:x\n\n", [(b"", b"x")]),
    "field unknown": (b"data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\n\n", [(b"", b"test\n")]),
    "leading space": (b"data:\ttest\rdata: \ndata:test\n\n", [(b"", b"\ttest\n\ntest")]),
    "newlines": (b"data:test\r\ndata\ndata:test\r\n\r\n", [(b"", b"test\n\ntest")]),
    "null character": (b"data:\0\n\n\n\n", [(b"", b"\0")]),
    "utf-8": ("data:ok…\n\n".encode(), [(b"", "ok…".encode())]),
    "two events at once": (b"data:a\n\n\ndata:b\n\n\n\n", [(b"", b"a"), (b"", b"b")]),
    "only comments": (b":ping\n\n: ping\r\n\r\n", []),
    "only line ends": (b"\n\r\n\r\n\n", []),
    "cr": (b"event:a\rdata:1\r\rdata:2\r\r:", [(b"a", b"1"), (b"", b"2")]),
    "crlf": (b"event:a\r\ndata:1\r\n\r\ndata:2\r\n\r\n", [(b"a", b"1"), (b"", b"2")]),
    "mixed ends": (
        b"data:1\r\n\ndata:2\n\r\ndata:3\r\r\ndata:4\n\rdata:5\n\n",
        [(b"", b"1"), (b"", b"2"), (b"", b"3"), (b"", b"4"), (b"", b"5")],
    ),
    "colon in value": (b"data:a:b:\n\n", [(b"", b"a:b:")]),
    "empty": (b"", []),
}


@pytest.mark.parametrize("name", CASES)
def test_events_are_those_a_browser_dispatches_however_the_stream_is_cut(name: str) -> None:
    stream, expected = CASES[name]
    assert every_cut(events, stream, at_most=200) == expected


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_a_stream_is_cut_the_same_with_each_line_end(end: bytes) -> None:
    stream = b'event: ping\ndata: {"type":"ping"}\n\n: c\n\ndata: 1\ndata: 2\n\n'.replace(b"\n", end) + b":"
    assert every_cut(events, stream) == [(b"ping", b'{"type":"ping"}'), (b"", b"1\n2")]


PIECES = st.sampled_from(
    [b"data:", b"data: x", b"event: e", b":", b"\n", b"\r", b"\r\n", b"\n\n", b"id: 1", b" ", b"\0", b"\xff"]
)


@settings(max_examples=300)
@given(st.lists(PIECES | st.binary(max_size=3), max_size=30).map(b"".join))
def test_any_stream_is_cut_as_the_naive_splitter_cuts_it(stream: bytes) -> None:
    drive_sse(stream.replace(BOM, b""))


@given(st.lists(PIECES, max_size=20).map(b"".join))
def test_a_byte_order_mark_counts_at_the_begin_only(stream: bytes) -> None:
    drive_sse(BOM + stream)
    drive_sse(stream + BOM + stream)


def test_an_event_is_returned_as_soon_as_it_is_complete() -> None:
    splitter = SseSplitter()
    idle = [splitter.idle]
    assert splitter.feed(b"data: 1\n") == []
    idle.append(splitter.idle)
    assert splitter.feed(b"\n") == [b"data: 1\n\n"]
    idle.append(splitter.idle)
    assert idle == [True, False, True]
    assert splitter.feed(b"data: 2\r\n\r") == []
    assert splitter.feed(b"\ndata") == [b"data: 2\r\n\r\n"]
    assert splitter.rest == b"data"


@pytest.mark.parametrize(
    "raw", [b"", b"\n", b"\n\n", b":\n\n", b"event: x\n\n", b"id: 1\nretry: 2\n\n", b"Data: x\n\n"]
)
def test_an_event_without_data_is_none(raw: bytes) -> None:
    assert parse_event(raw) is None


def test_the_data_of_an_event_may_be_empty() -> None:
    assert parse_event(b"event: x\ndata\n\n") == SseEvent(b"x", b"")


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_an_event_over_its_limit_is_refused_and_one_at_its_limit_is_not(step: int) -> None:
    def feed(splitter: SseSplitter, stream: bytes) -> int:
        return sum(len(splitter.feed(stream[at : at + step])) for at in range(0, len(stream), step))

    at_limit = b"data:" + b"x" * 93 + b"\n\n"
    assert feed(SseSplitter(limit=100), at_limit * 5) == 5
    with pytest.raises(EventTooBig):
        feed(SseSplitter(limit=100), at_limit + b"data:" + b"x" * 3000)


class _CountingPattern:
    """Counts the bytes that a search may look at."""

    def __init__(self, pattern: re.Pattern[bytes]) -> None:
        self.pattern = pattern
        self.seen = 0

    def search(self, buffer: bytearray, at: int) -> re.Match[bytes] | None:
        match = self.pattern.search(buffer, at)
        self.seen += (len(buffer) if match is None else match.end()) - at
        return match


@pytest.mark.parametrize("step", [1, 100])
@pytest.mark.parametrize(
    "stream", [b"data: " + b"x" * 30_000, b"data: x\n" * 4_000, b"data: x\n\n" * 3_000, b"data: x\r" * 4_000]
)
def test_no_byte_is_searched_more_than_a_few_times(monkeypatch: pytest.MonkeyPatch, stream: bytes, step: int) -> None:
    pattern = _CountingPattern(sse._BLANK_LINE)
    monkeypatch.setattr(sse, "_BLANK_LINE", pattern)
    splitter = SseSplitter()
    for at in range(0, len(stream), step):
        splitter.feed(stream[at : at + step])
    assert pattern.seen <= 5 * len(stream)
