"""The blocks of a model's turn, as streamed, as sent in one document and as sent back, and what each is known by.

A visible piece is a block that says something: a text of blanks alone is none, since clients leave it out of what they
send back, or are refused for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

import msgspec
import orjson
from blake3 import blake3

from headroom.weave import Call
from headroom.wire.sse import parse_event
from headroom.zones.places import UNREADABLE, Span, elements, member, members, replaced

_NONE = msgspec.Raw(b"")


class Event(msgspec.Struct, frozen=True, gc=False):
    """What one event says, as far as it matters here."""

    type: str = ""
    index: int = -1
    content_block: msgspec.Raw = _NONE
    delta: msgspec.Raw = _NONE
    message: msgspec.Raw = _NONE


class _Head(msgspec.Struct, frozen=True, gc=False):
    type: str = ""
    name: str = ""
    id: str = ""


class Piece(msgspec.Struct, frozen=True, gc=False):
    """One block: its JSON, what it is known by (empty if it says nothing), and the call if it is a hidden one.

    `for_client`: it calls a tool of the client's.
    """

    raw: bytes
    identity: bytes
    call: Call | None
    for_client: bool


class Content(msgspec.Struct, frozen=True, gc=False):
    """Where a message has its content, and the blocks of it; None where it is a string."""

    start: int
    end: int
    blocks: list[Span] | None


_read_event = msgspec.json.Decoder(Event).decode
_read_head = msgspec.json.Decoder(_Head).decode


def parsed(raw: bytes) -> tuple[Event | None, bytes]:
    """An event and the JSON it came as; None for one that cannot be read."""
    event = parse_event(raw, first=True)
    if event is None:
        return None, b""
    try:
        return _read_event(event.data), event.data
    except UNREADABLE:
        return None, event.data


def kind(raw: bytes | msgspec.Raw) -> str:
    """The type of a block, a delta or an error; empty where it has none."""
    try:
        return _read_head(raw).type
    except UNREADABLE:
        return ""


def hidden(raw: bytes | msgspec.Raw, ours: frozenset[str]) -> tuple[str, str] | None:
    """The id and the name in a block that calls one of `ours`; None for any other block."""
    try:
        head = _read_head(raw)
    except UNREADABLE:
        return None
    return (head.id, head.name) if head.type == "tool_use" and head.name in ours and head.id else None


def piece(raw: bytes, ours: frozenset[str], arguments: bytes | None = None) -> Piece:
    """The piece that a block is. `arguments` are those of a call as they were streamed."""
    raw = as_utf8(raw)
    called = hidden(raw, ours)
    if called is None:
        return Piece(raw, identity(raw), None, kind(raw) == "tool_use")
    if arguments is None:
        start, end = member(raw, "input")
        arguments = raw[start:end]
    return Piece(raw, identity(raw), Call(*called, arguments), False)


def identity(raw: bytes) -> bytes:
    """What a block is known by whenever it is sent again: never its markers, its key order or blanks around a text.

    Empty where it says nothing.
    """
    try:
        block = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return b"?" + raw
    if not isinstance(block, dict):
        return b"?" + raw
    tag = block.get("type")
    words: tuple[object, ...] = (block.get("data"), block.get("id"), block.get("tool_use_id"))
    if tag == "text":
        words = (block.get("text"),)
    elif tag == "thinking":
        words = (block.get("signature"), block.get("thinking"))
    word = next((word.strip() for word in words if isinstance(word, str) and word.strip()), "")
    if word and isinstance(tag, str):
        return b"%b\0%b" % (tag.encode(), word.encode())
    if tag in ("text", "thinking"):
        return b""
    block.pop("cache_control", None)
    try:
        return b"?" + orjson.dumps(block, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # nested too deeply to be written
        return b"?" + raw


def as_utf8(text: bytes) -> bytes:
    """`text` itself, or with what is no UTF-8 replaced, as its readers do: nobody takes it as part of a request."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return text.decode("utf-8", "replace").encode()
    return text


def anchor(identities: Iterable[bytes]) -> bytes:
    """The digest of a turn's visible pieces; empty for a turn without any."""
    said = b"".join(b"%d:%b" % (len(identity), identity) for identity in identities if identity)
    return blake3(said).digest() if said else b""


def find_content(item: bytes) -> Content | None:
    """Where a message has its content; None where that is neither a string nor a list."""
    start, end = member(item, "content")
    if item[start : start + 1] == b'"':
        return Content(start, end, None)
    blocks = elements(item, start, end)
    return None if blocks is None else Content(start, end, blocks)


def text_block(token: bytes) -> bytes:
    """The block that a content which is one string stands for."""
    return b'{"type":"text","text":%b}' % token


def assembled(events: Iterable[bytes], ours: frozenset[str]) -> Iterator[Piece]:
    """The blocks that were streamed, in the order in which they began, as a client that keeps them sends them back."""
    by_index: dict[int, _Streamed] = {}
    blocks: list[_Streamed] = []
    for raw in events:
        if usual := _USUAL_DELTA.fullmatch(raw):
            index, field, token = usual.group(1, 2, 3)
            if known := by_index.get(int(index)):
                known.go_on(_GOES_ON[field], token)
            continue
        event = parsed(raw)[0]
        if event is None:
            continue
        if event.type == "content_block_start":
            block = by_index[event.index] = _Streamed(bytes(event.content_block))
            blocks.append(block)
        elif event.type == "content_block_delta" and event.index in by_index:
            by_index[event.index].add(bytes(event.delta))
    for block in blocks:
        if block.fields:
            yield block.piece(ours)


# Which field of its block the field of such a delta goes on with; other deltas set the fields they have.
_GOES_ON = {b"text": "text", b"thinking": "thinking", b"partial_json": "input"}
_DELTAS = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
# Almost every event of a stream. The provider pads it with blanks.
_USUAL_DELTA = re.compile(
    rb'event: content_block_delta\r?\ndata: \{"type":"content_block_delta","index":(\d{1,9}),"delta":\{'
    rb'"type":"(?:text_delta","(?=text")|thinking_delta","(?=th)|input_json_delta","(?=p))(text|thinking|partial_json)":'
    rb'("(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+")\}[ ]*\}\r?\n\r?\n'
)


class _Streamed:
    """A block while its deltas come in. All values stay as they were spelled."""

    __slots__ = ("_begun", "_citations", "_set", "_strings", "fields")

    def __init__(self, begun: bytes) -> None:
        self.fields = members(begun)
        self._begun = begun
        self._strings: dict[str, list[bytes]] = {}
        self._citations: list[bytes] = []
        self._set: dict[str, bytes] = {}

    def go_on(self, field: str, token: bytes) -> None:
        """A string of the block goes on with another one, or the text of its input does."""
        self._strings.setdefault(field, []).append(token[1:-1])

    def add(self, delta: bytes) -> None:
        """Take one delta."""
        tag = kind(delta)
        for field, (start, end) in members(delta).items():
            value = delta[start:end]
            if field == "type":
                continue
            if _DELTAS.get(tag) == field and value[:1] == b'"':
                self.go_on(_GOES_ON[field.encode()], value)
            elif tag == "citations_delta":
                self._citations.append(value)
            else:
                self._set[field] = value

    def piece(self, ours: frozenset[str]) -> Piece:
        """The block as a whole."""
        new = dict(self._set)
        arguments = None
        for field, parts in self._strings.items():
            start, end = self.fields.get(field, (0, 0))
            begun = self._begun[start + 1 : end - 1] if self._begun[start : start + 1] == b'"' else b""
            token, text = _readable(b'"%b%b"' % (begun, b"".join(parts)))
            if field != "input":
                new[field] = token
            elif text:
                arguments = text.encode()
                new[field] = arguments if arguments[:1] == b"{" and _is_json(arguments) else b"{}"
        if self._citations:
            new["citations"] = b"[%b]" % b",".join(self._citations)
        edits = [(span, new.pop(field)) for field, span in self.fields.items() if field in new]
        last = self._begun.rindex(b"}")
        more = b"".join(b',"%b":%b' % (field.encode(), value) for field, value in new.items())
        raw = replaced(self._begun, [*edits, ((last, last), more)] if more else edits)
        return piece(raw, ours, arguments)


def _readable(token: bytes) -> tuple[bytes, str]:
    """A string token and its text, without what is no text: bytes that are no UTF-8, halves of surrogate pairs."""
    try:
        return token, str(orjson.loads(token))
    except orjson.JSONDecodeError:
        text = str(json.loads(token.decode("utf-8", "replace"))).encode("utf-16", "surrogatepass")
        said = text.decode("utf-16", "replace")
        return orjson.dumps(said), said


def _is_json(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
