"""The items of a model's turn: what each is known by when it comes back, and where hidden ones stand between them.

The client sends a turn back as items of its list, in order. Calls, messages and all else of the model's are *posts*:
they always come back. Reasoning may be left out, and results of the client's tools may stand between the posts. So a
place is told from the anchor: how many posts lie between, and how much reasoning after the last of them (before the
first of them, for a place before the anchor).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import orjson
from blake3 import blake3

from headroom.weave import Call, Round, Turn
from headroom.zones.places import UNREADABLE, members
from headroom.zones.splice import Edit, any_token, to_text, to_token

_REASONING = "reasoning"
_MESSAGES = ("", "message")
# What the client makes itself, next to messages that are not the assistant's.
_CLIENTS = frozenset(
    {
        "function_call_output",
        "custom_tool_call_output",
        "local_shell_call_output",
        "shell_call_output",
        "apply_patch_call_output",
        "computer_call_output",
        "mcp_approval_response",
        "item_reference",
    }
)
_LONG_TEXT = 32  # characters of a text that is hardly said twice in a conversation
_NONE = msgspec.Raw(b"")
_SOFT_LIMIT = 1 << 16  # more reasoning than this between two posts is not counted


class Head(msgspec.Struct, frozen=True, gc=False):
    """The fields of an item that tell what it is."""

    type: str | None = ""
    role: str | None = ""
    name: str | None = ""
    call_id: str | None = ""
    id: str | None = ""
    arguments: msgspec.Raw = _NONE


class _Said(msgspec.Struct, frozen=True, gc=False):
    encrypted_content: str | None = ""
    content: object = None


class Piece(msgspec.Struct, frozen=True, gc=False):
    """One item of a turn: its JSON, and the call where it is a hidden one. `hidden` may have no call to answer."""

    raw: bytes
    head: Head
    call: Call | None = None
    hidden: bool = False


class Spoken(msgspec.Struct, frozen=True, gc=False):
    """A round that was answered: its pieces in order, and a result item for each of its calls."""

    pieces: tuple[Piece, ...]
    answers: tuple[bytes, ...]
    mixed: bool

    def items(self) -> Iterator[bytes]:
        """The round as it is sent back, results right after the calls that stand together."""
        answers = iter(self.answers)
        waiting = 0
        for piece in self.pieces:
            if piece.hidden:
                waiting += piece.call is not None
            else:
                yield from (next(answers) for _ in range(waiting))
                waiting = 0
            if piece.call is not None or not piece.hidden:
                yield piece.raw
        yield from answers


_read_head = msgspec.json.Decoder(Head).decode
_read_said = msgspec.json.Decoder(_Said).decode


def head(raw: bytes) -> Head:
    """What an item is; a head without anything where that cannot be read."""
    try:
        return _read_head(raw)
    except UNREADABLE:
        return Head()


def calls_one_of(ours: frozenset[str], known: Head) -> bool:
    """Whether an item calls one of `ours`."""
    return known.name in ours and known.type == "function_call"


def piece(raw: bytes, known: Head, *, hidden: bool) -> Piece:
    """The piece that an item is."""
    if not hidden:
        return Piece(raw, known)
    call = Call(known.call_id, known.name or "", _unquoted(bytes(known.arguments))) if known.call_id else None
    return Piece(raw, known, call, True)


def is_for_client(pieces: Sequence[Piece]) -> bool:
    """Whether one of the visible pieces has to be answered by the client: a call without its result, or an asking."""
    answered = {one.head.call_id for one in pieces if (one.head.type or "").endswith("_output")}
    return any(
        one.head.type == "mcp_approval_request" or (one.head.call_id and one.head.call_id not in answered)
        for one in pieces
        if not one.hidden
    )


def result(call_id: str, text: str) -> bytes:
    """The item that answers a call."""
    return b'{"type":"function_call_output","call_id":%b,"output":%b}' % (to_token(call_id), any_token(text))


def is_only_referred_to(raw: bytes) -> bool:
    """Whether an item is reasoning that only the provider could look up: one that keeps nothing refuses it."""
    known = head(raw)
    if not _soft(known):
        return False
    try:
        said = _read_said(raw)
    except UNREADABLE:
        return False
    return not said.encrypted_content and not said.content


def anchor(raw: bytes) -> bytes:
    """What an item of the model's is known by: never its status, its key order, or its id where it has more to it.

    Empty for an item that is not the model's.
    """
    known = head(raw)
    if not _by_model(known):
        return b""
    return _identity(raw, known)[1]


def turn(rounds: Sequence[Spoken], last: Sequence[Piece]) -> tuple[bytes, Turn] | None:
    """See Weaver. `last` are the pieces of the round that is not answered."""
    pieces = [one for spoken in rounds for one in spoken.pieces] + list(last)
    shown = [one for one in pieces if not one.hidden and _by_model(one.head)]
    hidden = next((at for at, one in enumerate(pieces) if one.call is not None), None)
    if hidden is None or not shown:
        return None
    before = sum(1 for one in pieces[:hidden] if not one.hidden and _by_model(one.head))
    name, at = _chosen(shown, before)
    posts = [index == at or not _soft(one.head) for index, one in enumerate(shown)]
    kept: list[Round] = []
    seen = 0
    for spoken in rounds:
        inserts: list[tuple[int, bytes]] = []
        for one in spoken.pieces:
            if one.call is not None:
                inserts.append((_place(posts, at, seen), one.raw))
            elif not one.hidden and _by_model(one.head):
                seen += 1
        kept.append(Round(tuple(inserts), spoken.answers, seen, spoken.mixed))
    return name, Turn(tuple(kept))


def reinsert(items: Sequence[bytes], at: int, turn: Turn) -> list[tuple[int, Edit]]:
    """See Loom. Cost: one short look at each item between the anchor and the farthest place."""
    if any(len(spoken.inserts) != len(spoken.answers) for spoken in turn.rounds):
        return []
    named = bool(head(items[at]).id)
    put: dict[tuple[int, bool], list[bytes]] = {}
    for spoken in turn.rounds:
        start = 0
        while start < len(spoken.inserts):
            code = spoken.inserts[start][0]
            end = start + 1
            while end < len(spoken.inserts) and spoken.inserts[end][0] == code:
                end += 1
            found = _found(items, at, code)
            if found is None:
                return []
            index, after = found
            calls = [raw for _, raw in spoken.inserts[start:end]]
            if not named or (code & 1 and not _follows_reasoning(items, index, after)):
                # An id makes the provider ask for the reasoning that it once came with.
                calls = [_unnamed(raw) for raw in calls]
            put.setdefault(found, []).extend((*calls, *spoken.answers[start:end]))
            start = end
    edits: list[tuple[int, Edit]] = []
    for (index, after), raws in put.items():
        more = b",".join(raws)
        size = len(items[index])
        edits.append((index, Edit(size, size, b"," + more) if after else Edit(0, 0, more + b",")))
    return edits


def _by_model(known: Head) -> bool:
    if known.type in _MESSAGES:
        return known.role == "assistant"
    return known.type is not None and known.type not in _CLIENTS


def _soft(known: Head) -> bool:
    """Whether a client may leave this item of the model's out."""
    return known.type == _REASONING


def _identity(raw: bytes, known: Head) -> tuple[int, bytes]:
    """How sure it is that an item comes back as the only one of its kind, and what it is known by."""
    if known.call_id:
        return 4, _digest(b"call", known.call_id)
    try:
        said = _read_said(raw)
    except UNREADABLE:
        said = _Said()
    if known.type in _MESSAGES:
        text = "".join(_texts(said.content)).strip()
        weight = 3 if len(text) >= _LONG_TEXT else 1
        return weight if text else 0, _digest(b"text", text)
    if _soft(known) and said.encrypted_content:
        return 2, _digest(b"sealed", said.encrypted_content)
    if _soft(known) and known.id:
        return 0, _digest(b"id", known.id)
    return 1 - _soft(known), blake3(b"whole\0" + _canonical(raw)).digest()


def _chosen(shown: Sequence[Piece], before: int) -> tuple[bytes, int]:
    """The anchor, and its index: of those that are surest to come back the one next to the first hidden call.

    One that stands before it is preferred.
    """
    names = [_identity(one.raw, one.head) for one in shown]

    def order(at: int) -> tuple[int, bool, int]:
        return -names[at][0], at >= before, abs(at - before)

    name = names[min(range(len(shown)), key=order)][1]
    # What was said twice is found where it was said first.
    return name, [other for _, other in names].index(name)


def _place(posts: Sequence[bool], anchor_at: int, seen: int) -> int:
    """The place after `seen` items, in one number: posts from the anchor, reasoning, and whether that comes before."""
    gap = sum(posts[:seen]) - sum(posts[: anchor_at + 1])
    soft = 0
    while soft < _SOFT_LIMIT - 1:
        index = seen - 1 - soft if gap >= 0 else seen + soft
        if posts[index]:
            break
        soft += 1
    follows = seen > 0 and not posts[seen - 1]
    return (gap * _SOFT_LIMIT + soft) * 2 + follows


def _found(items: Sequence[bytes], at: int, code: int) -> tuple[int, bool] | None:
    """The item next to a place, and whether the place is after it; None where the turn does not reach so far."""
    gap, soft = divmod(code >> 1, _SOFT_LIMIT)
    after = gap >= 0
    step = 1 if after else -1
    wanted = gap if after else -gap - 1
    while wanted:
        at += step
        if not 0 <= at < len(items):
            return None
        known = head(items[at])
        if _by_model(known):
            wanted -= not _soft(known)
        elif not _is_output(known):
            return None
    ahead = at
    while soft:
        ahead += step
        if not 0 <= ahead < len(items):
            break
        known = head(items[ahead])
        if _soft(known):
            at = ahead
            soft -= 1
        elif not _is_output(known):
            break
    return at, after


def _follows_reasoning(items: Sequence[bytes], index: int, after: bool) -> bool:
    previous = index if after else index - 1
    return previous >= 0 and _soft(head(items[previous]))


def _is_output(known: Head) -> bool:
    return known.type in _CLIENTS and known.type != "item_reference"


def _texts(content: object) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, dict):
                said = part.get("text") or part.get("refusal")
                if isinstance(said, str):
                    yield said


def _unquoted(token: bytes) -> bytes:
    """The text of a JSON string; any other JSON as it is."""
    try:
        return to_text(token).encode() if token[:1] == b'"' else token
    except ValueError:
        return b""


def _digest(tag: bytes, word: str) -> bytes:
    return blake3(tag + b"\0" + word.encode("utf-8", "surrogatepass")).digest()


def _canonical(raw: bytes) -> bytes:
    """An item's value in one spelling, without what is only told by the provider."""
    try:
        value = orjson.loads(raw)
        if isinstance(value, dict):
            value.pop("id", None)
            value.pop("status", None)
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return raw


def _unnamed(raw: bytes) -> bytes:
    """A call without its id."""
    spans = members(raw)
    if "id" not in spans:
        return raw
    rest = (b"%b:%b" % (to_token(key), raw[slice(*span)]) for key, span in spans.items() if key != "id")
    return b"{" + b",".join(rest) + b"}"
