"""Where cache markers go in a request whose client places none, so that they never cost more than they save.

A provider that caches what is marked asks a quarter more for what it writes, and a tenth for what it reads again. The
tools and the system text are marked from the first request on. The end of the conversation is marked from the second
on, and only when what has been read by then has paid for writing it: a conversation that ends with this very request
has not cost more than it would have without markers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from headroom.zones.locate import RAW, address
from headroom.zones.places import UNREADABLE
from headroom.zones.shape import Shape
from headroom.zones.splice import Edit, to_text

LEAST: Final = 4096  # bytes of a prefix below which none is cached: 1,024 tokens for most models
CAUTION: Final = 0.75  # share of what was read that counts: bytes are not tokens
_NONE = RAW(b"")


class Prompt(msgspec.Struct, frozen=True, gc=False):
    """The parts of a body that a cache is concerned with. `turns` are the contents after which a model answered, or is
    to answer now, in order; `last` says that the newest of them is the body's last. Offsets are the body's."""

    system: tuple[int, bytes]
    turns: tuple[tuple[int, bytes], ...]
    last: bool


class Placed(msgspec.Struct, frozen=True, gc=False):
    """Edits that place markers. `whole`: one beside the messages is wanted, which stands for the last block."""

    edits: tuple[Edit, ...]
    whole: bool


class _Item(msgspec.Struct, gc=False):
    role: str = ""
    content: msgspec.Raw = _NONE


class _Block(msgspec.Struct, gc=False):
    type: str = ""
    text: msgspec.Raw = _NONE


_read_block = msgspec.json.Decoder(_Block).decode
_read_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Prompts:
    """Reads prompts of one dialect."""

    def __init__(self, shape: Shape) -> None:
        self._items = shape.items
        self._model_roles = shape.model_roles
        fields: list[tuple[str, type] | tuple[str, type, msgspec.Raw]] = [
            (shape.items, list[_Item]),
            ("system", RAW, _NONE),
        ]
        self._top = msgspec.json.Decoder(msgspec.defstruct("Top", fields, gc=False))

    def read(self, body: bytes) -> Prompt | None:
        """The prompt in `body`; None where it is another one. Cost: a pass over the body."""
        try:
            top = self._top.decode(body)
        except UNREADABLE:
            return None
        here = address(body)
        items: list[_Item] = getattr(top, self._items)
        system: msgspec.Raw = getattr(top, "system")
        turns: list[tuple[int, bytes]] = []
        for item, following in zip(items, [*items[1:], None], strict=False):
            if item.role in self._model_roles or not len(item.content):
                continue
            if following is None or following.role in self._model_roles:
                turns.append((address(item.content) - here, bytes(item.content)))
        last = bool(items) and items[-1].role not in self._model_roles
        at = address(system) - here if len(system) else 0
        return Prompt((at, bytes(system)), tuple(turns), last)


def placed(
    prompt: Prompt,
    tools: int,
    marker: bytes,
    markable: frozenset[str],
    *,
    write: float,
    read: float,
    since: int = 0,
    ends: bool = True,
) -> Placed:
    """Where `marker`, a member, goes besides the tools, which are `tools` bytes and marked, unless that is 0.

    `write` and `read` are prices relative to a plain token. Tools and system text have been marked as they are since
    turn `since`: what earlier requests of the conversation had is worked out anew from there. Without `ends`,
    turns are not marked. At most three markers, `whole` being one.
    """
    at, system = prompt.system
    edits = _in_system(at, system, marker, markable)
    head = tools + len(system)
    first = prompt.turns[0][0] if prompt.turns else 0
    sizes = [head + start + len(content) - first for start, content in prompt.turns[since:]]
    before, now = _marked(head if edits else tools, sizes, write - 1.0, 1.0 - read) if ends else (0, False)
    whole = False
    if before > 0:
        insert = _insert(*prompt.turns[since + before], marker, markable)
        edits += [insert] if insert is not None else []
    if now:
        start, content = prompt.turns[-1]
        insert = _insert(start, content, marker, markable)
        edits += [insert] if insert is not None else []
        whole = prompt.last and content[:1] == b'"' and _has_words(content)
    return Placed(tuple(edits), whole)


def _marked(head: int, sizes: Sequence[int], dearer: float, cheaper: float) -> tuple[int, bool]:
    """The last turn before the newest that was marked, 0 for none, and whether the newest is.

    `head` bytes are written with the first request; `sizes` are those of the prompt on every turn.
    """
    written = head if head >= LEAST else 0
    balance = -dearer * written
    before, now = 0, False
    for turn, size in enumerate(sizes[1:], 1):
        if now:
            before = turn - 1
        balance += cheaper * CAUTION * written
        cost = dearer * (size - written)
        now = size >= LEAST and cost <= balance
        if now:
            balance -= cost
            written = size
    return before, now


def _in_system(at: int, system: bytes, marker: bytes, markable: frozenset[str]) -> list[Edit]:
    """The edits that mark the system text. One that is a string becomes the one text block that it stands for."""
    if system[:1] == b'"' and _has_words(system):
        end = at + len(system)
        return [Edit(at, at, b'[{"type":"text","text":'), Edit(end, end, b",%b}]" % marker)]
    insert = _insert(at, system, marker, markable)
    return [] if insert is None else [insert]


def _insert(at: int, blocks: bytes, marker: bytes, markable: frozenset[str]) -> Edit | None:
    """The edit that marks the last of `blocks` that may be; None where they are no list, or none may."""
    if blocks[:1] != b"[":
        return None
    for block in reversed(_read_list(blocks)):
        try:
            known = _read_block(block)
        except UNREADABLE:
            continue
        if known.type not in markable or (known.type == "text" and not _has_words(bytes(known.text))):
            continue
        end = at + address(block) - address(blocks) + len(block) - 1
        return Edit(end, end, b"," + marker)
    return None


def _has_words(token: bytes) -> bool:
    """Whether a JSON string is more than blanks, on which no marker may be."""
    if token[:1] != b'"':
        return False
    if len(token) > 200:
        return True
    try:
        return bool(to_text(token).strip())
    except ValueError:  # half a surrogate pair: whoever reads it, it is no blank
        return True
