"""The loom of the dialect whose turns are lists of content blocks.

One woven answer comes back as one message of the model. What was hidden cuts it: a round that only called the proxy's
tools ends a message, and its results stand in a message of their own; where the client's tools were called as well, the
results stand before the client's.

    provider   [t1, hidden]   [result]   [t2, call]   [client's result]
    client     [t1,                       t2, call]   [client's result]
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headroom.block_pieces import Content, anchor, find_content, identity, text_block
from headroom.block_weavers import BlockWeaver, PlainBlockWeaver, message
from headroom.weave import PlainWeaver, Round, Tool, Turn, Weaver
from headroom.zones.places import UNREADABLE, Span
from headroom.zones.splice import Edit

_TOOL = b'{"name":"%b","description":"%b","input_schema":%b}'
_OPEN_TEXT, _CLOSE_TEXT = text_block(b"\0").split(b"\0")


class _Item(msgspec.Struct, frozen=True, gc=False):
    role: str = ""


_read_item = msgspec.json.Decoder(_Item).decode


class BlockLoom:
    """See headroom.weave.Loom."""

    together = False

    def weaver(self, ours: frozenset[str]) -> Weaver:
        """See Loom."""
        return BlockWeaver(ours)

    def plain_weaver(self, ours: frozenset[str]) -> PlainWeaver:
        """See Loom."""
        return PlainBlockWeaver(ours)

    def tool(self, tool: Tool) -> bytes:
        """See Loom."""
        return _TOOL % (tool.name.encode(), tool.description, tool.parameters)

    def anchors(self, items: Sequence[bytes]) -> list[bytes]:
        """See Loom. Cost: a search of each item's bytes; what the model said is decoded."""
        return [_item_anchor(item) for item in items]

    def reinsert(self, items: Sequence[bytes], at: int, turn: Turn) -> list[tuple[int, Edit]]:
        """See Loom."""
        if not 0 <= at < len(items) or _role(items[at]) != "assistant":
            return []
        item = items[at]
        content = find_content(item)
        spots = [] if content is None else _visible(item, content)
        if content is None or not _fits(turn.rounds, len(spots)):
            return []
        edits = [(at, edit) for edit in _put_back(item, content, spots, turn.rounds)]
        last = turn.rounds[-1]
        if last.end < len(spots):
            return edits
        following = _put_first(items[at + 1], last) if at + 1 < len(items) else []
        return [*edits, *((at + 1, edit) for edit in following)] if following else []


def _role(item: bytes) -> str:
    try:
        return _read_item(item).role
    except UNREADABLE:
        return ""


def _item_anchor(item: bytes) -> bytes:
    if b'"assistant"' not in item or _role(item) != "assistant":
        return b""
    content = find_content(item)
    if content is None:
        return b""
    if content.blocks is None:
        return anchor([identity(text_block(item[content.start : content.end]))])
    return anchor(identity(item[start:end]) for start, end in content.blocks)


def _visible(item: bytes, content: Content) -> list[int]:
    """Which of the blocks are visible pieces, by their place among all blocks; a string counts as one block."""
    if content.blocks is None:
        return [0] if identity(text_block(item[content.start : content.end])) else []
    return [place for place, (start, end) in enumerate(content.blocks) if identity(item[start:end])]


def _fits(rounds: Sequence[Round], visible: int) -> bool:
    """Whether the rounds can have been parts of a turn with so many visible pieces."""
    begin = 0
    for number, given in enumerate(rounds, 1):
        places = [place for place, _ in given.inserts]
        if not places or not begin <= min(places) <= max(places) <= given.end <= visible:
            return False
        if given.mixed and not (number == len(rounds) and given.end == visible):
            return False
        begin = given.end
    return bool(rounds) and visible > 0


def _put_back(item: bytes, content: Content, spots: list[int], rounds: Sequence[Round]) -> list[Edit]:
    """Edits that put calls back at their places, and cut the message where a round ended with results."""
    # A message is begun and ended again by the client's own bytes around its content.
    begin, end = item[: content.start] + b"[", b"]" + item[content.end :]
    gaps: dict[int, list[tuple[bytes, bool]]] = {}  # what stands before a visible piece: calls, and cuts (True)
    for given in rounds:
        for place, call in given.inserts:
            gaps.setdefault(place, []).append((call, False))
        if not given.mixed and not (given is rounds[-1] and given.end == len(spots)):
            cut = b"%b,%b,%b" % (end, message(b"user", given.answers), begin)
            gaps.setdefault(given.end, []).append((cut, True))
    written: dict[int, bytes] = {}
    for place, what in gaps.items():
        said = b""
        fresh = place == 0  # nothing stands in this message's list yet
        for given_back, is_cut in what:
            said += given_back if fresh or is_cut else b"," + given_back
            fresh = is_cut
        written[place] = said if fresh or place == len(spots) else said + b","
    if content.blocks is None:
        first, second = written.get(0, b""), written.get(1, b"")
        return [
            Edit(content.start, content.start, b"[" + first + _OPEN_TEXT),
            Edit(content.end, content.end, _CLOSE_TEXT + second + b"]"),
        ]
    return [Edit(*_gap(content, content.blocks, spots, place), said) for place, said in written.items()]


def _gap(content: Content, blocks: list[Span], spots: list[int], place: int) -> Span:
    """What stands between two blocks, the second of which comes after `place` visible pieces."""
    if place == 0:
        return content.start + 1, blocks[0][0]
    before = spots[place - 1]
    begin = blocks[before][1]
    return begin, begin if place == len(spots) else blocks[before + 1][0]


def _put_first(item: bytes, given: Round) -> list[Edit]:
    """Edits that put a round's results before all else that a message of the user's says; none where that is none."""
    content = find_content(item) if _role(item) == "user" else None
    if content is None:
        return []
    answers = b",".join(given.answers)
    if content.blocks is not None:
        at = content.start + 1
        return [Edit(at, at, answers + b"," if content.blocks else answers)]
    if given.mixed or not _visible(item, content):
        return []
    return [
        Edit(content.start, content.start, b"[%b,%b" % (answers, _OPEN_TEXT)),
        Edit(content.end, content.end, _CLOSE_TEXT + b"]"),
    ]
