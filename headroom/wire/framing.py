"""Where a chunked body ends, exactly, without taking it apart (RFC 9112 §7.1)."""

from __future__ import annotations

import re
from typing import Final

from headroom.faults import Fault

TRAILER_LIMIT = 8 * 1024  # bytes of trailer section; trailers carry a checksum or a signature at most
LINE_LIMIT = 256  # bytes of a chunk-size line with its extensions; nginx and llhttp users send none

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# 15 hex digits: 2^60 bytes, beyond any body and within a signed 64-bit integer for whoever reads it after us.
_STRICT_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n")
_PADDED_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n")
_TRAILER = re.compile(rb"(" + _TOKEN + rb"):[\t\x20-\x7e\x80-\xff]*\r\n")
# RFC 9110 §6.5.1: fields that frame or route a message must not come after it.
_NOT_TRAILERS = frozenset({b"content-length", b"transfer-encoding", b"host", b"connection", b"te", b"upgrade"})


# Where in a chunked body the walker stands. Plain integers: they are compared several times per chunk.
_SIZE: Final = 0
_DATA: Final = 1
_DATA_END: Final = 2
_TRAILERS: Final = 3
_END: Final = 4


class ChunkWalker:
    """Walks the chunk framing of one body, fed in pieces cut anywhere.

    `padded` accepts blanks after a chunk size, which some origins send; requests are read without it, since the next
    server might read them otherwise. Cost: one step per chunk, no copy of chunk data.
    """

    __slots__ = ("_at", "_broken", "_line", "_need", "_size_line", "_trailers")

    def __init__(self, broken: type[Fault], *, padded: bool) -> None:
        self._broken = broken
        self._size_line = _PADDED_SIZE if padded else _STRICT_SIZE
        self._at = _SIZE
        self._need = 0
        self._line = b""
        self._trailers = 0

    @property
    def done(self) -> bool:
        """Whether the whole body, trailers included, has been walked."""
        return self._at == _END

    def whole(self, data: bytes) -> int:
        """Where the payload begins in `data`, if that is exactly one chunk and the walker awaits one; else 0.

        What a stream's events come as. Cost: a few operations whatever the chunk's size.
        """
        if self._at != _SIZE or self._line or not data.endswith(b"\r\n"):
            return 0
        end = data.find(b"\r\n", 0, 18)
        digits = data[:end]
        if end < 1 or not digits.isalnum():
            return 0
        try:
            size = int(digits, 16)
        except ValueError:
            return 0
        return end + 2 if size and end + size + 4 == len(data) else 0

    def walk(self, data: bytes, at: int, spans: list[tuple[int, int]] | None) -> int:
        """Go on at `data[at]` and return where walking stopped: `len(data)`, or the end of the body if `done`.

        Payload ranges within `data` are appended to `spans`. Raises the fault class given at construction.
        """
        size = len(data)
        while at < size and self._at != _END:
            if self._at == _DATA:
                end = at + self._need
                if spans is not None:
                    spans.append((at, end if end <= size else size))
                if end > size:
                    self._need = end - size
                    return size
                at = end
                self._at = _DATA_END
                if data.startswith(b"\r\n", at):
                    at += 2
                    self._at = _SIZE
                continue
            end = data.find(b"\n", at, at + LINE_LIMIT if self._at != _TRAILERS else at + TRAILER_LIMIT)
            if end < 0:
                self._hold(data[at:])
                return size
            line = self._line + data[at : end + 1] if self._line else data[at : end + 1]
            self._line = b""
            at = end + 1
            if len(line) > (TRAILER_LIMIT if self._at == _TRAILERS else LINE_LIMIT):
                raise self._broken("chunk line too long")
            self._take(line)
        return at

    def _hold(self, piece: bytes) -> None:
        """Keep an unfinished line for the next piece, within its limit and only while it can still be right."""
        self._line += piece
        limit = TRAILER_LIMIT if self._at == _TRAILERS else LINE_LIMIT
        if len(self._line) >= limit:
            raise self._broken("chunk line too long")
        if self._at == _DATA_END and self._line != b"\r":
            raise self._broken("chunk data not followed by CRLF")
        if b"\r" in self._line[:-1]:
            raise self._broken("bare CR in chunk framing")

    def _take(self, line: bytes) -> None:
        if self._at == _SIZE:
            match = self._size_line.fullmatch(line)
            if match is None:
                raise self._broken("malformed chunk size line")
            self._need = int(match[1], 16)
            self._at = _DATA if self._need else _TRAILERS
        elif self._at == _DATA_END:
            if line != b"\r\n":
                raise self._broken("chunk data not followed by CRLF")
            self._at = _SIZE
        elif line == b"\r\n":
            self._at = _END
        else:
            self._trailers += len(line)
            match = _TRAILER.fullmatch(line)
            if match is None or match[1].lower() in _NOT_TRAILERS:
                raise self._broken("malformed trailer")
            if self._trailers > TRAILER_LIMIT:
                raise self._broken("trailers too long")
