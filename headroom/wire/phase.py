"""Where an exchange stands: one table, and one line that moves it."""

from __future__ import annotations

from enum import IntEnum, auto
from typing import Final


class Phase(IntEnum):
    """Where an exchange stands."""

    GATHER = auto()
    """The request body is being held until it is whole."""
    REWRITE = auto()
    """The body is being rewritten."""
    DIAL = auto()
    """A connection to the origin is being made."""
    SEND = auto()
    """Bytes go to the origin; no answer has come."""
    RELAY = auto()
    """The answer's head has gone to the client."""
    TUNNEL = auto()
    """Protocols were switched: bytes go both ways, unread."""
    DONE = auto()
    """It is over, one way or another."""


class Step(IntEnum):
    """What moves an exchange on."""

    HELD = auto()
    NEEDS_DIAL = auto()
    CONNECTED = auto()
    ANSWERED = auto()
    SWITCHED = auto()
    ENDED = auto()


class OutOfOrder(AssertionError):
    """A step that cannot happen in this phase: a fault of ours."""


NEXT: Final[dict[Phase, dict[Step, Phase]]] = {
    Phase.GATHER: {
        Step.HELD: Phase.REWRITE,
        Step.NEEDS_DIAL: Phase.DIAL,
        Step.CONNECTED: Phase.SEND,
        Step.ENDED: Phase.DONE,
    },
    Phase.REWRITE: {Step.NEEDS_DIAL: Phase.DIAL, Step.CONNECTED: Phase.SEND, Step.ENDED: Phase.DONE},
    Phase.DIAL: {Step.CONNECTED: Phase.SEND, Step.ENDED: Phase.DONE},
    Phase.SEND: {Step.ANSWERED: Phase.RELAY, Step.SWITCHED: Phase.TUNNEL, Step.ENDED: Phase.DONE},
    Phase.RELAY: {Step.ENDED: Phase.DONE},
    Phase.TUNNEL: {Step.ENDED: Phase.DONE},
    Phase.DONE: {},
}


def step(phase: Phase, what: Step) -> Phase:
    """The phase after `what`. Raises OutOfOrder."""
    try:
        return NEXT[phase][what]
    except KeyError:
        raise OutOfOrder(f"{what.name} while {phase.name}") from None
