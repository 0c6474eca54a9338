"""WebSocket frames as the library's own connection reads them, as an oracle for our reader."""

from __future__ import annotations

from collections.abc import Sequence

from websockets.frames import Frame as TheirFrame
from websockets.frames import Opcode
from websockets.protocol import OPEN, Protocol, Side

from headroom.wire.websocket import CLOSE, Frame

Read = tuple[int, bool, bytes | None]
"""A frame's opcode, whether it ends its message, and its payload, None where that was not read."""


def whole_frames(frames: Sequence[Frame]) -> list[Read]:
    """The whole frames among what a reader returned, parts put together, up to the first close."""
    found: list[Read] = []
    for frame in frames:
        if frame.ends:
            found.append((frame.opcode, frame.fin, frame.payload))
            if frame.opcode == CLOSE:
                break
    return found


def websocket_frames(stream: bytes, *, masked: bool) -> tuple[list[Read], bool]:
    """What the library's connection reads of `stream` up to the first close, and whether it refuses what follows.

    It reads the code in a close as well, which a frame reader does not.
    """
    protocol = Protocol(Side.SERVER if masked else Side.CLIENT, state=OPEN, max_size=None)
    protocol.receive_data(stream)
    found: list[Read] = []
    for event in protocol.events_received():
        assert isinstance(event, TheirFrame)
        found.append((int(event.opcode), event.fin, bytes(event.data)))
        if event.opcode is Opcode.CLOSE:
            return found, False
    return found, protocol.parser_exc is not None


def is_utf8(data: bytes) -> bool:
    """Whether `data` is text."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def frame(opcode: Opcode, data: bytes, *, fin: bool = True, packed: bool = False, masked: bool = True) -> bytes:
    """One frame's bytes; `packed` sets the bit that says so, whatever `data` is."""
    made = bytearray(TheirFrame(opcode, data, fin).serialize(mask=masked))
    if packed:
        made[0] |= 0x40
    return bytes(made)
