"""Who answers the calls of the proxy's tools, and what an answerer is told of the caller."""

from __future__ import annotations

from typing import Final, Protocol

import msgspec

from headroom.weave import Call

NOBODY: Final = "This tool is not available any more. Go on without it."
BROKEN: Final = "This tool has failed; whether it did anything is not known. Go on without it."
LIMIT_REACHED: Final = (
    "No more calls of this tool are answered in this turn. Go on with what you have, or by other means."
)


class CallerInfo(msgspec.Struct, frozen=True, gc=False):
    """Who a model that calls works for. `project` and `user` are empty where nothing says them; `conversation` is the
    conversation's key, `id` the request's."""

    project: str
    user: str
    conversation: bytes
    id: str


class Answerer(Protocol):
    """Answers the calls of one tool."""

    async def __call__(self, call: Call, caller: CallerInfo, /) -> str:
        """The text that the model gets; one that says what to do where the call cannot be followed. Never raises."""
