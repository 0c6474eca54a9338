"""Reads the captured requests of real clients under tests/corpus/requests."""

from __future__ import annotations

import lzma
from pathlib import Path

from tests.support.http_wire import WireRequest

FOLDER = Path(__file__).parent.parent / "corpus" / "requests"


def clients() -> list[str]:
    """The names of all captured clients."""
    return sorted(place.name for place in FOLDER.iterdir() if place.is_dir())


def captured(client: str) -> list[WireRequest]:
    """One client's requests in order of arrival, as they came off the wire."""
    places = sorted((FOLDER / client).glob("*.http.xz"))
    return [_request(lzma.decompress(place.read_bytes())) for place in places]


def _request(text: bytes) -> WireRequest:
    head, _, body = text.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    method, target, version = first.decode("latin-1").split(" ")
    pairs = (line.partition(b":") for line in lines)
    headers = tuple((name, value.strip(b" \t")) for name, _, value in pairs)
    return WireRequest(head + b"\r\n\r\n", method, target, version, headers, body)
