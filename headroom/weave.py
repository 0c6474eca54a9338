"""One answer to the client, woven of one or more answers of the provider.

A model that calls a tool of the proxy's is answered by the proxy: its call is taken out of the answer, the result is
sent back in a further request, and what the provider then says goes on in the same answer. What the client never saw
is put back at its place in every later request, so the provider always reads the conversation as it was.

    provider, round 1      text, call of the proxy's tool         │ held back: the call, and the ending
    proxy                  the same request, + text, call, result │
    provider, round 2      text, call of a client's tool, ending
    client                 text           text, call of a client's tool, ending

Everything here is bytes in, bytes out: no I/O. Each dialect has a module of its own that keeps this contract
(`blocks`, `deltas`, `items`, `parts`, after the pieces that its answers consist of).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from headroom.zones.splice import Edit

TOOL_NAME = "headroom_retrieve"
# Every conversation pays for these words, also one in which nothing is ever left out: they are few.
TOOL_DESCRIPTION = (
    b"A result that ends in <<ccr:HASH>> is shown in part. Fetches all of it, a range of lines, or lines with a text, "
    b"if the part is not enough."
)
TOOL_PARAMETERS = (
    b'{"type":"object","properties":{"hash":{"type":"string"},"lines":{"type":"string","description":"like 120-180"},'
    b'"match":{"type":"string"}},"required":["hash"]}'
)


class Tool(msgspec.Struct, frozen=True, gc=False):
    """A tool that the proxy offers and answers. `description` is text without quotes, `parameters` raw JSON Schema."""

    name: str
    description: bytes
    parameters: bytes


RETRIEVE = Tool(TOOL_NAME, TOOL_DESCRIPTION, TOOL_PARAMETERS)


class Call(msgspec.Struct, frozen=True, gc=False):
    """One call of a tool of the proxy's. `arguments` is the JSON text of its arguments, as the model wrote it."""

    id: str
    name: str
    arguments: bytes


class Round(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What the client never saw of one of the provider's answers, as raw JSON, so that it can be put back.

    - `inserts` are the calls that were taken out: how many visible pieces of the whole turn (all rounds so far) stand
      before each, and its piece as it has to be sent back.
    - `answers` are the pieces that hold the results, one for each insert.
    - `end` is the number of visible pieces of the turn when this round ended.
    - `mixed`: the client's own tools were called as well, so the round ended the turn.
    - `thought`: what the model thought, where that is no piece but stands beside them: members of the round's message,
      raw.
    """

    inserts: tuple[tuple[int, bytes], ...]
    answers: tuple[bytes, ...]
    end: int
    mixed: bool
    thought: bytes = b""


class Turn(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Everything that the client never saw of one of its turns, in order. Kept under the turn's anchor."""

    rounds: tuple[Round, ...]


class Weaver(Protocol):
    """Weaves one streamed answer. Feed it raw events (terminators included) of one round after the other."""

    @property
    def calls(self) -> Sequence[Call]:
        """The hidden calls of the round that has ended and waits to be answered; empty while there are none.

        They are known from the event on that says why the round ends; what is left of it must still be fed before they
        are settled. With `mixed`, the ending has not been passed on either: `settle` returns it, so that what is hidden
        can be kept before the client knows that the turn is over.
        """

    @property
    def mixed(self) -> bool:
        """Whether the round that waits called the client's own tools as well."""

    @property
    def done(self) -> bool:
        """Whether the ending of the whole answer has been passed on."""

    def feed(self, raw: bytes) -> bytes:
        """What the client is to get of one raw event: the very object where nothing is changed, ``b""`` for nothing.

        Events of a hidden call are held back; the others are passed on at once, with indexes, ids and sequence
        numbers that go on from what was passed on before. An event that cannot be read is passed on as it is.
        """

    def settle(self, results: Sequence[str]) -> bytes:
        """Answer the waiting round with one result for each of `calls`, and begin the next round.

        Returns what the client gets now: ``b""``, or the ending where the round was `mixed`.
        """

    def fail(self, status: int, body: bytes) -> bytes:
        """What the client gets where the next round cannot be had: an error event in the provider's words.

        `body` is the provider's error answer, or empty. The answer is over then.
        """

    def turn(self) -> tuple[bytes, Turn] | None:
        """The anchor of this turn as the client will send it back, and what it never saw; None where nothing was
        hidden, or where the turn has nothing visible to find it by. Final once no call waits and the ending came."""

    def continuation(self, body: bytes) -> bytes:
        """The next round's request: `body`, which was sent for the first round, with all rounds so far and their
        results put in at the end of its list of messages, by splicing. Raises ValueError where it has none."""


class PlainWeaver(Protocol):
    """Weaves one answer that is a single JSON document a round. Same as Weaver, but for `feed` and `finish`."""

    @property
    def calls(self) -> Sequence[Call]:
        """See Weaver."""

    @property
    def mixed(self) -> bool:
        """See Weaver."""

    def feed(self, document: bytes) -> None:
        """Take the whole answer of a round."""

    def settle(self, results: Sequence[str]) -> None:
        """See Weaver."""

    def finish(self) -> bytes:
        """The one answer: the last round's document with the visible pieces of the earlier rounds before its own and
        usage added up, by splicing; the very object that was fed where nothing was hidden."""

    def turn(self) -> tuple[bytes, Turn] | None:
        """See Weaver."""

    def continuation(self, body: bytes) -> bytes:
        """See Weaver."""


class Loom(Protocol):
    """What a dialect's module offers. `together`: an item's anchor depends on the items beside it, so `anchors` wants
    all of a request's items at once."""

    @property
    def together(self) -> bool:
        """See above."""

    def weaver(self, ours: frozenset[str]) -> Weaver:
        """A weaver of one streamed answer. Calls of the tools that are named in `ours` are hidden, and no others."""

    def plain_weaver(self, ours: frozenset[str]) -> PlainWeaver:
        """A weaver of one plain answer. `ours`: see `weaver`."""

    def tool(self, tool: Tool) -> bytes:
        """A tool's definition in this dialect: the same bytes for ever."""

    def anchors(self, items: Sequence[bytes]) -> list[bytes]:
        """For each item of a request's list (raw JSON), the anchor it would be kept under: ``b""`` where it is not
        the model's. Equal for a turn whatever order its keys have, whether markers are on it, and whether a text
        stands alone or in a list of one."""

    def reinsert(self, items: Sequence[bytes], at: int, turn: Turn) -> list[tuple[int, Edit]]:
        """Edits that put `turn` back around item `at`: each with the index of the item it is made in, offsets in bytes
        from that item's begin. An edit may insert (start == end). Empty where the turn does not fit."""
