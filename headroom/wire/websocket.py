"""WebSocket frames (RFC 6455) cut out of a byte stream, each with its own bytes, and frames that are made here.

Sans I/O: bytes in, frames out, in either direction. What is only passed on goes as the bytes it came in; the masking
key a client chose stays right for whoever reads them. Reading a frame's head, masking, closing codes and
permessage-deflate (RFC 7692) are the `websockets` library's.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator, Sequence
from typing import Final

import msgspec
from websockets import frames
from websockets.exceptions import InvalidHeader, NegotiationError, PayloadTooBig, ProtocolError
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    PerMessageDeflate,
    ServerPerMessageDeflateFactory,
)
from websockets.frames import Opcode
from websockets.headers import build_extension, parse_extension
from websockets.typing import ExtensionParameter

from headroom.faults import BadCoding, BadFrame

CONTINUES: Final = int(Opcode.CONT)
TEXT: Final = int(Opcode.TEXT)
BINARY: Final = int(Opcode.BINARY)
CLOSE: Final = int(Opcode.CLOSE)
PING: Final = int(Opcode.PING)
PONG: Final = int(Opcode.PONG)

GOING_AWAY: Final = 1001
INVALID_DATA: Final = 1007

CONTROL_LIMIT: Final = 125  # bytes of a control frame's payload (RFC 6455 §5.5)
HELD_COST: Final = 256  # bytes that a held frame takes besides its own: what holds little may come in many
_WHOLE_TEXT: Final = 0x81  # the first byte of a text message in one frame, not deflated
_PEEK: Final = 64  # decoded bytes that say what a message is
_TAIL: Final = b"\0\0\xff\xff"  # what a sender leaves off a deflated message (RFC 7692 §7.2.1)
_DEFLATE: Final = "permessage-deflate"


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One frame, or a part of one too large to be read. Joined, the `raw` of all are the stream.

    `payload` is unmasked and still deflated where `packed` says so, which is told of a message's first frame; None for
    a part. `ends` is whether the frame ends with these bytes, `fin` whether it is its message's last.
    """

    raw: bytes
    opcode: int
    fin: bool
    packed: bool = False
    payload: bytes | None = None
    ends: bool = True

    @property
    def control(self) -> bool:
        """Whether it is a close, a ping or a pong, which may stand between the frames of a message."""
        return self.opcode >= CLOSE


class _Marks(Extension):
    """Takes the bit that says a message is deflated, so that the library's check of reserved bits passes."""

    name = ClientPerMessageDeflateFactory.name

    def __init__(self) -> None:
        self.packed = False

    def decode(self, frame: frames.Frame, *, max_size: int | None = None) -> frames.Frame:
        self.packed = frame.rsv1
        frame.rsv1 = False
        return frame

    def encode(self, frame: frames.Frame) -> frames.Frame:
        return frame


class FrameReader:
    """Cuts one direction of a connection into frames.

    `masked`: it is the client's. Text up to `limit` bytes a frame is read, and binary if `binary` says so; all else
    comes in parts as its bytes do. `deflated`: permessage-deflate is in force. Cost: linear in the input.
    """

    __slots__ = (
        "_at",
        "_begun",
        "_binary",
        "_buffer",
        "_deflated",
        "_left",
        "_limit",
        "_marks",
        "_masked",
        "_part",
        "_reading",
        "_start",
        "fault",
    )

    def __init__(self, *, masked: bool, limit: int, deflated: bool, binary: bool = False) -> None:
        self._masked = masked
        self._binary = binary
        self._limit = limit
        self._deflated = deflated
        self._buffer = bytearray()
        self._start = self._at = 0
        self._begun = -1  # the opcode of the message under way
        self._left = 0
        self._part = (CONTINUES, False, False)
        self._marks = _Marks()
        self._reading: Generator[None, None, Frame] | None = None
        self.fault: BadFrame | None = None

    @property
    def between(self) -> bool:
        """Whether every byte so far belongs to a whole frame, so that another may be put behind it."""
        return not self._buffer and not self._left

    @property
    def rest(self) -> bytes:
        """What has come of a frame that is not whole, or of what is none."""
        return bytes(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames and parts that `data` completes. Where what follows them is no frame, `fault` says why, and
        nothing more is read."""
        found: list[Frame] = []
        if self.fault is not None:
            return found
        if self._left:
            data = self._more(data, found)
        buffer = self._buffer
        buffer += data
        while self._start < len(buffer):
            if self._reading is None:
                if buffer[self._start] == _WHOLE_TEXT and self._take_plain(found):
                    continue
                self._reading = self._one()
            try:
                next(self._reading)
            except StopIteration as done:
                frame: Frame = done.value
                found.append(frame)
                self._start = self._at
                self._reading = None
                if not frame.ends:
                    rest = self._more(bytes(buffer[self._at :]), found)
                    self._start = self._at = len(buffer) - len(rest)
            except ProtocolError as error:
                self.fault = BadFrame(str(error))
                break
            else:
                break  # the rest of a frame is still to come
        if self._start:
            del buffer[: self._start]
            self._at -= self._start
            self._start = 0
        return found

    def _take_plain(self, found: list[Frame]) -> bool:
        """Whether the next frame was read as an origin's commonest: one short text, whole, as it is. These come by the
        thousand, and cost a sixth of what the library takes for them."""
        buffer, start = self._buffer, self._start
        if self._masked or self._begun >= 0 or len(buffer) < start + 4:
            return False
        size, begin = buffer[start + 1], start + 2
        if size == 126:
            size, begin = buffer[start + 2] << 8 | buffer[start + 3], start + 4
        elif size > 126:
            return False
        end = begin + size
        if end > len(buffer) or size > self._limit:
            return False
        raw = bytes(buffer[start:end])
        found.append(Frame(raw, TEXT, True, False, raw[begin - start :]))
        self._start = self._at = end
        return True

    def _more(self, data: bytes, found: list[Frame]) -> bytes:
        """Take what belongs to the frame that comes in parts; return what is behind it."""
        part = data[: self._left]
        if part:
            self._left -= len(part)
            opcode, fin, packed = self._part
            found.append(Frame(part, opcode, fin, packed, None, not self._left))
        return data[len(part) :]

    def _exactly(self, size: int) -> Generator[None, None, bytes]:
        while len(self._buffer) - self._at < size:
            yield
        start = self._at
        self._at += size
        return bytes(self._buffer[start : self._at])

    def _one(self) -> Generator[None, None, Frame]:
        """Read one frame, of which at least a byte is there."""
        head = self._buffer[self._start]
        opcode, fin, packed = head & 0x0F, head >= 0x80, bool(head & 0x40)
        self._check(opcode, fin=fin, packed=packed, reserved=head & 0x30)
        control = opcode >= CLOSE
        kind = self._begun if opcode == CONTINUES else opcode
        limit = CONTROL_LIMIT if control else 0 if kind == BINARY and not self._binary else self._limit
        try:
            frame = yield from frames.Frame.parse(
                self._exactly, mask=self._masked, max_size=limit, extensions=[self._marks]
            )
        except PayloadTooBig as error:
            if control:
                raise ProtocolError("control frame too long") from error
            return self._first_part(opcode, fin, packed)
        if not control:
            self._begun = -1 if fin else kind
        return Frame(bytes(self._buffer[self._start : self._at]), opcode, fin, packed, bytes(frame.data))

    def _first_part(self, opcode: int, fin: bool, packed: bool) -> Frame:
        raw = bytes(self._buffer[self._start : self._at])
        size = int.from_bytes(raw[2:], "big") if len(raw) > 2 else raw[1] & 0x7F
        if size >> 63:
            raise ProtocolError("impossible length")
        self._left = size + (4 if self._masked else 0)
        self._part = (opcode, fin, packed)
        self._begun = -1 if fin else self._begun if opcode == CONTINUES else opcode
        return Frame(raw, opcode, fin, packed, None, ends=False)

    def _check(self, opcode: int, *, fin: bool, packed: bool, reserved: int) -> None:
        """What the library leaves to its connections: the order of frames, and bits that no extension explains."""
        if reserved or (packed and (not self._deflated or opcode not in (TEXT, BINARY))):
            raise ProtocolError("reserved bits must be 0")
        if opcode >= CLOSE:
            if not fin:
                raise ProtocolError("fragmented control frame")
        elif opcode == CONTINUES:
            if self._begun < 0:
                raise ProtocolError("unexpected continuation frame")
        elif self._begun >= 0:
            raise ProtocolError("expected a continuation frame")


class Packing(msgspec.Struct, frozen=True, gc=False):
    """permessage-deflate as it was agreed on. Window sizes are in bits; `keeps` is whether the origin's messages
    refer to those before them."""

    client_bits: int
    origin_bits: int
    keeps: bool

    def of_client(self) -> Messages:
        """Reads and writes the client's messages, each by itself."""
        return Messages(PerMessageDeflate(True, True, self.client_bits, self.client_bits, {"level": 1}))

    def of_origin(self) -> Messages:
        """Reads the origin's messages, which have to be given in order and whole."""
        return Messages(PerMessageDeflate(not self.keeps, True, self.origin_bits, self.client_bits))


class Messages:
    """Undoes and redoes what was agreed on for messages."""

    __slots__ = ("_bits", "_deflate")

    def __init__(self, deflate: PerMessageDeflate) -> None:
        self._deflate = deflate
        self._bits = deflate.remote_max_window_bits

    def begin(self, payload: bytes) -> bytes:
        """How a deflated message that stands by itself begins; empty where that cannot be said. Never raises."""
        try:
            return zlib.decompressobj(-self._bits).decompress(payload, _PEEK)
        except zlib.error:
            return b""

    def unpack(self, payload: bytes, limit: int) -> bytes:
        """A deflated message's text. Raises BadCoding where it is over `limit` bytes, BadFrame where it is damaged."""
        try:
            done = self._deflate.decode(frames.Frame(Opcode.TEXT, payload, rsv1=True), max_size=limit)
        except PayloadTooBig as error:
            raise BadCoding(f"a message unpacks to more than {limit} bytes") from error
        except ProtocolError as error:
            raise BadFrame(str(error)) from error
        return bytes(done.data)

    def pack(self, text: bytes) -> bytes:
        """A text message from the client, deflated, as one frame with a fresh mask."""
        return frames.Frame(Opcode.TEXT, text).serialize(mask=True, extensions=[self._deflate])


def text_frame(text: bytes, packing: Messages | None = None, *, masked: bool = True) -> bytes:
    """A text message as one frame: freshly `masked` as a client's has to be; deflated with a client's `packing`."""
    return frames.Frame(Opcode.TEXT, text).serialize(mask=masked) if packing is None else packing.pack(text)


def close_frame(code: int, reason: str, *, masked: bool) -> bytes:
    """A close with `code` and `reason` (at most 123 bytes); `masked` towards an origin."""
    return frames.Frame(Opcode.CLOSE, frames.Close(code, reason).serialize()).serialize(mask=masked)


def close_code(payload: bytes) -> int:
    """The code in a close's payload, 1005 where it holds none. Raises BadFrame where it is none that may be sent."""
    try:
        return int(frames.Close.parse(payload).code)
    except (ProtocolError, UnicodeDecodeError) as error:
        raise BadFrame("not a close") from error


def readable_offer(value: bytes) -> bytes:
    """What of a client's offer of extensions can be read here: the very object where all, empty where nothing."""
    try:
        offered = parse_extension(value.decode("ascii"))
    except (InvalidHeader, UnicodeDecodeError):
        return b""
    readable = [one for one in offered if one[0] == _DEFLATE and _is_offer(one[1])]
    return value if len(readable) == len(offered) else build_extension(readable).encode()


def alone_offer(value: bytes) -> bytes:
    """A readable offer of extensions, by which the origin has to deflate each message by itself, so that one of them
    can be left out: the very object where it says so already."""
    name = "server_no_context_takeover"
    offered = parse_extension(value.decode("ascii")) if value else []
    alone = [(kind, [*(one for one in given if one[0] != name), (name, None)]) for kind, given in offered]
    if all((name, None) in given for _, given in offered):
        return value
    return build_extension(alone).encode()


def _is_offer(parameters: Sequence[ExtensionParameter]) -> bool:
    try:
        ServerPerMessageDeflateFactory().process_request_params(parameters, [])
    except (NegotiationError, InvalidHeader):
        return False
    return True


def agreed(value: bytes) -> Packing | None:
    """What an origin's answer to an offer says, or None where it accepted nothing. Raises BadCoding where that is
    nothing that can be read here."""
    try:
        accepted = parse_extension(value.decode("ascii")) if value.strip() else []
        if not accepted:
            return None
        if len(accepted) > 1 or accepted[0][0] != _DEFLATE:
            raise BadCoding("an extension that was not offered")
        made = ClientPerMessageDeflateFactory().process_response_params(accepted[0][1], [])
    except (NegotiationError, InvalidHeader, UnicodeDecodeError) as error:
        raise BadCoding("an extension that cannot be read") from error
    return Packing(made.local_max_window_bits, made.remote_max_window_bits, not made.remote_no_context_takeover)


def each_by_itself(value: bytes) -> bytes:
    """An answer that agrees on permessage-deflate, and has the client deflate each message by itself."""
    name = b"client_no_context_takeover"
    return value if name in value else value.rstrip() + b"; " + name
