"""Content codings (RFC 9110 §8.4.1), undone under a bound on the decoded size."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import brotli
import zstandard

from headroom.faults import BadCoding

STACK_LIMIT = 3  # codings put on one another; clients use one
MEMBERS_LIMIT = 4096  # streams behind one another in one body; clients use one, and each costs, however small it is
_STEP = 256 * 1024  # bytes of coded input per step, so that a bomb is noticed before it has unpacked far


class Unpacker(Protocol):
    """Decodes one stream piece by piece."""

    def feed(self, data: bytes) -> bytes:
        """The decoded bytes that `data` completes. Raises BadCoding."""

    def finish(self) -> bytes:
        """The last decoded bytes. Raises BadCoding if the stream was cut."""


class _Zlib:
    """gzip (also several members) and deflate (zlib-wrapped, or raw as some clients send)."""

    def __init__(self, window_bits: int, limit: int) -> None:
        self._bits = window_bits
        self._limit = limit
        self._inflate = zlib.decompressobj(window_bits)
        self._undecided = b"" if window_bits == zlib.MAX_WBITS else None
        self._begun = False
        self._members = 1

    def feed(self, data: bytes) -> bytes:
        if self._undecided is not None:
            data = self._undecided + data
            if len(data) < 2:
                self._undecided = data
                return b""
            self._undecided = None
            # RFC 1950 §2.2: the first two bytes of a zlib header are a multiple of 31, its method is 8.
            if data[0] & 15 != 8 or (data[0] << 8 | data[1]) % 31:
                self._bits = -zlib.MAX_WBITS
                self._inflate = zlib.decompressobj(self._bits)
        out: list[bytes] = []
        left = self._limit
        while data:
            try:
                out.append(self._inflate.decompress(data, left + 1))
            except zlib.error as error:
                raise BadCoding(f"damaged body: {error}") from error
            self._begun = True
            left -= len(out[-1])
            if self._inflate.unconsumed_tail or left < 0:
                raise BadCoding(f"body unpacks to more than {self._limit} bytes")
            data = self._inflate.unused_data
            if data:
                self._members = _one_more(self._members)
                self._inflate = zlib.decompressobj(self._bits)
        return b"".join(out)

    def finish(self) -> bytes:
        if self._undecided or (self._begun and not self._inflate.eof):
            raise BadCoding("body ends inside its coding")
        return b""


class _Brotli:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._decoder = brotli.Decompressor()

    def feed(self, data: bytes) -> bytes:
        try:
            out = bytes(self._decoder.process(data, output_buffer_limit=self._limit + 1))
            while len(out) <= self._limit and not self._decoder.can_accept_more_data():
                out += self._decoder.process(b"", output_buffer_limit=self._limit + 1)
        except brotli.error as error:
            raise BadCoding(f"damaged body: {error}") from error
        return out

    def finish(self) -> bytes:
        if not self._decoder.is_finished():
            raise BadCoding("body ends inside its coding")
        return b""


class _Zstd:
    # One block of at most 128 KiB costs an attacker 4 bytes: 1 KiB of input unpacks to 32 MiB at the most.
    _PIECE = 1024

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._frames = zstandard.ZstdDecompressor(max_window_size=1 << 27)
        self._frame = self._frames.decompressobj()
        self._open = False
        self._members = 0

    def feed(self, data: bytes) -> bytes:
        out: list[bytes] = []
        total = 0
        for at in range(0, len(data), self._PIECE):
            for part in self._frames_in(data[at : at + self._PIECE]):
                out.append(part)
                total += len(part)
            if total > self._limit:
                raise BadCoding(f"body unpacks to more than {self._limit} bytes")
        return b"".join(out)

    def _frames_in(self, data: bytes) -> Iterator[bytes]:
        try:
            while data:
                if not self._open:
                    self._members = _one_more(self._members)
                self._open = True
                yield self._frame.decompress(data)
                if not self._frame.eof:
                    return
                data = self._frame.unused_data
                self._frame = self._frames.decompressobj()
                self._open = False
        except zstandard.ZstdError as error:
            raise BadCoding(f"damaged body: {error}") from error

    def finish(self) -> bytes:
        if self._open:
            raise BadCoding("body ends inside its coding")
        return b""


def _one_more(members: int) -> int:
    if members == MEMBERS_LIMIT:
        raise BadCoding(f"a body of more than {MEMBERS_LIMIT} streams")
    return members + 1


_UNPACKERS: dict[bytes, Callable[[int], Unpacker]] = {
    b"gzip": lambda limit: _Zlib(16 + zlib.MAX_WBITS, limit),
    b"x-gzip": lambda limit: _Zlib(16 + zlib.MAX_WBITS, limit),
    b"deflate": lambda limit: _Zlib(zlib.MAX_WBITS, limit),
    b"br": _Brotli,
    b"zstd": _Zstd,
    b"zstandard": _Zstd,
}


def unpacker(coding: bytes, limit: int) -> Unpacker | None:
    """A decoder for one coding, or None for one that is not known. `limit` bounds one step's output, in bytes."""
    make = _UNPACKERS.get(coding.strip().lower())
    return None if make is None else make(limit)


def identity(coding: bytes | None) -> bool:
    """Whether a Content-Encoding value leaves the bytes as they are."""
    return not _codings(coding or b"")


def _codings(value: bytes) -> list[bytes]:
    """The codings of a Content-Encoding value in the order in which they were applied."""
    named = (part.strip().lower() for part in value.split(b","))
    return [coding for coding in named if coding not in (b"", b"identity")]


def decode(body: bytes, coding: bytes, limit: int) -> bytes:
    """The decoded body, at most `limit` bytes. Raises BadCoding for damage, a bomb, or an unknown coding.

    Of several codings the last is undone first (RFC 9110 §8.4), each within the bound.
    """
    codings = _codings(coding)
    if not 0 < len(codings) <= STACK_LIMIT:
        raise BadCoding("unknown content coding")
    for name in reversed(codings):
        body = _undone(body, name, limit)
    return body


def _undone(body: bytes, coding: bytes, limit: int) -> bytes:
    undo = unpacker(coding, limit)
    if undo is None:
        raise BadCoding("unknown content coding")
    parts: list[bytes] = []
    total = 0
    for at in range(0, len(body), _STEP):
        part = undo.feed(body[at : at + _STEP])
        total += len(part)
        if total > limit:
            raise BadCoding(f"body unpacks to more than {limit} bytes")
        parts.append(part)
    parts.append(undo.finish())
    return b"".join(parts)
