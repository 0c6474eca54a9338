"""A client's data frames on their way to the origin: passed on as they came, but for requests, which are gathered.

A message that may be a request is held until it is whole; all others go frame by frame. Pure.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from headroom.faults import BadCoding, BadFrame
from headroom.providers import SocketWords
from headroom.socket_messages import Asking, Askings
from headroom.wire.websocket import HELD_COST, INVALID_DATA, TEXT, Frame, Messages


class Request(msgspec.Struct, frozen=True, gc=False):
    """A request: its frames as they came, its text, where in that it is, and whether it came deflated."""

    raw: bytes
    text: bytes
    asking: Asking
    packed: bool


Onward: TypeAlias = bytes | Request
"""What goes on: the bytes of a frame, or a request."""


class Gatherer:
    """Gathers the requests among one client's frames. `presses`: there is use in that; `limit` is in bytes of a
    request, beyond which it goes as it comes."""

    __slots__ = ("_askings", "_held", "_limit", "_packed", "_passing", "_presses", "_size", "between")

    def __init__(self, words: SocketWords, packed: Messages | None, *, presses: bool, limit: int) -> None:
        self._askings = Askings(words)
        self._packed = packed
        self._presses = presses
        self._limit = limit
        self._held: list[Frame] = []
        self._size = 0
        self._passing = False
        self.between = True
        """Whether what was returned so far ends with a frame."""

    @property
    def holds(self) -> bool:
        """Whether a part of a message is held."""
        return bool(self._held)

    @property
    def passes(self) -> bool:
        """Whether what was returned so far ends within a message."""
        return self._passing

    def take(self, frame: Frame) -> list[Onward]:
        """What goes on now that a data frame has come. Raises BadFrame for a request that is none."""
        if self._held or (not self._passing and self._may_ask(frame)):
            return self._hold(frame)
        self._pass(frame)
        return [frame.raw]

    def release(self) -> list[Onward]:
        """What was held, as it came."""
        held, self._held, self._size = self._held, [], 0
        return [frame.raw for frame in held]

    def _pass(self, frame: Frame) -> None:
        self._passing = not (frame.fin and frame.ends)
        self.between = frame.ends

    def _may_ask(self, frame: Frame) -> bool:
        payload = frame.payload
        if not self._presses or payload is None or frame.opcode != TEXT:
            return False
        if not frame.packed:
            return self._askings.may_be(payload, whole=frame.fin)
        return self._packed is not None and self._askings.may_be(self._packed.begin(payload), whole=False)

    def _hold(self, frame: Frame) -> list[Onward]:
        self._held.append(frame)
        self._size += len(frame.raw) + HELD_COST * (not frame.fin)
        if frame.payload is None or self._size > self._limit:
            # Too large to be read: it goes on as it comes.
            self._pass(frame)
            return self.release()
        return self._whole() if frame.fin else []

    def _whole(self) -> list[Onward]:
        """A message that may be a request is complete."""
        frames = self._held
        text = frames[0].payload if len(frames) == 1 else b"".join(frame.payload or b"" for frame in frames)
        assert text is not None
        packed = frames[0].packed
        try:
            if packed and self._packed is not None:
                text = self._packed.unpack(text, self._limit)
            asking = self._askings.find(text)
            if asking is None:
                return self.release()
            text.decode()
        except UnicodeDecodeError as error:
            raise BadFrame("a text message that is not UTF-8", INVALID_DATA) from error
        except BadCoding:
            return self.release()
        raw = b"".join(frame.raw for frame in frames)
        self._held, self._size = [], 0
        return [Request(raw, text, asking, packed)]
