"""What was done to one body, and what has to be known of those that it goes on from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from headroom.lessons import Lesson
from headroom.offering import Given
from headroom.receipts import Forwarded
from headroom.tails import Tailed
from headroom.zones.volatile import Finding

Skip = Literal[
    "frozen",
    "error_result",
    "tool_policy",
    "typed",
    "store_down",
    "late",
    "unreadable",
    "retrieved",
    "marked",
    "not_offered",
]


class Row(msgspec.Struct, frozen=True, gc=False):
    """The manifest's line about one fresh slot. Sizes are bytes of its token; tokens are by the yardstick.

    `action` is a press.Action, `replayed`, or a Skip. `ms` is the time that pressing it took.
    """

    item: int
    tool: str
    action: str
    kind: str = ""
    form: str = ""
    bytes_in: int = 0
    bytes_out: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    ms: float = 0.0


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """What was done to one body.

    - `body` is what is to be sent: the very object that was given where nothing was changed. `span` is where its items
      are.
    - `decided`, `replayed`: slots replaced for the first time, and again. `tokens_before`, `tokens_after`: tokens of
      both; `decided_saved`: what was saved in the former. `cut`: texts sent with something left out. `rows`: see Row.
    - `note` names what went wrong, if anything: a fault's name. `observed`: all figures are as they would have been,
      but `body` is what came, and nothing was recorded.
    - `ours` are the tools whose calls the proxy is to answer. `conversation` is the conversation's name, `opened`
      whether it is certain, `answers` where the model's last ones end (see Located both); its turns so far are at
      `places` (see Offering.places), kept under the name `turns`. `given`: see Offer.unrecorded.
    - `tailed` is what was appended to the user's words, without the texts; `said` names those words (see GoesOn).
    - `stabilised` names what was done for the provider's cache (see Stabiliser). `lessons` are for the statistics,
      where they were asked for.
    - `forwarded` makes what the next request is compared with. `volatile` looks for what may be another in it; None
      where nobody wants to know. Both hold the body.
    """

    body: bytes
    decided: int = 0
    replayed: int = 0
    tokens_before: int = 0
    tokens_after: int = 0
    decided_saved: int = 0
    rows: tuple[Row, ...] = ()
    note: str = ""
    observed: bool = False
    frozen: int = 0
    items: int = 0
    long_after_short: bool = False
    unknown_types: frozenset[str] = frozenset()
    cut: int = 0
    ours: frozenset[str] = frozenset()
    conversation: bytes = b""
    opened: bool = True
    said: tuple[bytes, ...] = ()
    turns: bytes = b""
    places: tuple[bytes, ...] = ()
    last_call: bytes = b""
    forwarded: Callable[[], Forwarded] | None = None
    volatile: Callable[[], tuple[Finding, ...]] | None = None
    tailed: Tailed | None = None
    given: Given | None = None
    stabilised: tuple[str, ...] = ()
    locate_ms: float = 0.0
    store_ms: float = 0.0
    press_ms: float = 0.0
    lessons: tuple[Lesson, ...] = ()
    span: tuple[int, int] = (0, 0)
    answers: tuple[int, ...] = ()


class GoesOn(msgspec.Struct, frozen=True, gc=False):
    """What is known of the requests that a body goes on from, and does not hold itself.

    - `conversation` is the conversation's name, empty where it is not known.
    - `called`: the names of tools by call id. `said`: what the user said before, by digest.
    - `typed`: texts without a call id may be decided. They are known by their conversation alone, so not where it is
      not known.
    - `given`: see Earlier. `answers`: calls of the proxy's tools can be answered.
    """

    conversation: bytes = b""
    called: Mapping[str, str] = {}
    typed: bool = True
    said: tuple[bytes, ...] = ()
    given: Given | None = None
    answers: bool = False
