"""Values that are likely another in the next request, where each change makes the provider's cache worthless:
timestamps, ids and tokens in instructions, in tools, and in what the user said earlier. It only looks.

Two published detectors together. In instructions, words that are a UUID, a JSON web token, an ISO 8601 date or time, or
a hexadecimal digest. There, in the user's texts and everywhere in tools: date and time next to each other, UUIDs of
version 4, and keys that name the id of a request, a trace, a session or a correlation. Not looked at: what a model
made, results of tools, and the turn that is sent for the first time: all of that is sent on as it was sent first.

No regular expressions: bytes are mapped to their classes in one pass, and the pattern of classes is searched for.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Final, Literal, TypeAlias

import msgspec
import orjson
from blake3 import blake3

from headroom.zones.preamble import Preamble, preamble_of
from headroom.zones.shape import Shape

FINDINGS: Final = 10  # of one request
TEXT_LIMIT: Final = 256 * 1024  # bytes of JSON of one request that are looked at
NODES: Final = 20_000  # values, and words of instructions, of one request that are looked at
_SPLIT_LIMIT: Final = 2 * TEXT_LIMIT  # bytes of a list that is taken apart because it is too long to be read whole
_WINDOWS: Final = 1_000  # windows of one text
_KEY_LENGTH: Final = 24  # characters of a key that is named in a location
_STEPS: Final = 16  # of a location
_HEAD, _TAIL = 8, 4  # characters of a value that are shown, at most
_WORD, _ISO = 8, 48  # the shortest word, and the longest date and time, that are looked at
_WINDOW = 19  # bytes of the shortest window

Kind = Literal["uuid", "jwt", "iso8601", "hex_hash", "iso8601_timestamp", "uuid_v4", "id_field"]
KINDS: Final[tuple[Kind, ...]] = ("uuid", "jwt", "iso8601", "hex_hash", "iso8601_timestamp", "uuid_v4", "id_field")
Area = Literal["system", "tools", "messages"]

_STRIPPED: Final = ".,;:!?\"'()[]{}<>"
_HEX: Final = frozenset("0123456789abcdefABCDEF")
_BASE64URL: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=")
_ID_KEYS: Final = ("request_id", "trace_id", "session_id", "correlation_id")
_NAMING: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_$")

_Path: TypeAlias = "tuple[_Path | None, str | int]"


class Finding(msgspec.Struct, frozen=True, gc=False):
    """One value. `location` is its place in the body; keys that do not look like names stand as `*` in it. `sample` is
    at most half of the value, and nothing of a token. `mark` is a digest of the value, to tell whether it is another
    in the next request; it is not for showing."""

    area: Area
    kind: Kind
    location: str
    sample: str
    mark: bytes


def volatile(body: bytes, shape: Shape, fresh_from: int) -> tuple[Finding, ...]:
    """Findings in a request body: the first of each kind at each place, at most FINDINGS; none in a body of another
    shape. Items from `fresh_from` on are looked at only where they are instructions.

    Cost: msgspec's pass over the body; reading at most TEXT_LIMIT bytes and NODES values of it: instructions come
    first, then tools, then items. A text longer than what is left is cut; anything else that is too long is left out.
    """
    search = _Search(shape)
    for _ in search.run(preamble_of(body, shape), fresh_from):
        if len(search.found) == FINDINGS:
            break
    return tuple(search.found.values())


def sample_of(value: str) -> str:
    """What is shown of a value: its first 8 and last 4 characters, and never more than half of it."""
    shown = min(_HEAD + _TAIL, len(value) // 2)
    head = min(_HEAD, shown)
    return f"{value[:head]}...{value[len(value) - (shown - head) :]}"


def classify_word(word: str) -> tuple[Kind, str] | None:
    """The kind of a word of instructions, and the word without what is around it; None for most words.

    A token must begin like one: three words joined by dots decode as well.
    """
    word = word.strip(_STRIPPED)
    size = len(word)
    if size < _WORD:
        return None
    if size == 36 and word.count("-") == 4 and _is_hex(word.replace("-", "")):
        return "uuid", word
    if word[0] == "e" and word.count(".") == 2 and _is_jwt(word):  # as base64 of what begins with a brace does
        return "jwt", word
    if size <= _ISO and ("-" in word or "T" in word) and _is_iso(word):
        return "iso8601", word
    if size in (32, 40, 64) and _is_hex(word):
        return "hex_hash", word
    return None


def windows(text: bytes) -> list[tuple[Kind, int, int]]:
    """Places of timestamps and of UUIDs of version 4 in a text. Linear in it."""
    found: list[tuple[Kind, int, int]] = []
    if len(text) < _WINDOW or b"-" not in text:
        return found
    for kind, classes, pattern in _PATTERNS:
        view = text.translate(classes)
        at = view.find(pattern)
        while at >= 0 and len(found) < _WINDOWS:
            end = at + len(pattern)
            if kind != "uuid_v4" or (text[at + 14] == 0x34 and text[at + 19] in b"89abAB"):
                found.append((kind, at, end))
                at = view.find(pattern, end)
            else:
                at = view.find(pattern, at + 1)
    return found


def _classes(members: dict[bytes, bytes]) -> bytes:
    """A table that maps each byte to its class, and those of no class to zero."""
    table = bytearray(256)
    for named, each in members.items():
        for byte in each:
            table[byte] = named[0]
    return bytes(table)


_DIGITS: Final = b"0123456789"
_PATTERNS: Final[tuple[tuple[Kind, bytes, bytes], ...]] = (
    (
        "iso8601_timestamp",
        _classes({b"0": _DIGITS, b"-": b"-", b":": b":", b"T": b"Tt "}),
        b"0000-00-00T00:00:00",
    ),
    (
        "uuid_v4",
        _classes({b"0": _DIGITS + b"abcdefABCDEF", b"-": b"-"}),
        b"00000000-0000-0000-0000-000000000000",
    ),
)


class _Search:
    """One search through one body, and what is left of its budget."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._root: _Path | None = (None, shape.under) if shape.under else None
        self._left = TEXT_LIMIT
        self._nodes = NODES
        self.found: dict[tuple[Kind, str], Finding] = {}

    def run(self, parts: Preamble, fresh_from: int) -> Iterator[None]:
        """Look at part after part; yields after each."""
        for name, raw in parts.system:
            for path, value in self._read((self._root, name), raw):
                yield from self._walk("system", path, value)
        for path, value in self._read((self._root, self._shape.tools), parts.tools):
            yield from self._walk("tools", path, value)
        yield from self._items(parts.items, fresh_from)

    def _items(self, raw: msgspec.Raw, fresh_from: int) -> Iterator[None]:
        shape = self._shape
        at: _Path = (self._root, shape.items)
        for index, element in enumerate(_elements(raw)):
            if not self._left or not self._nodes:
                return
            if len(element) > self._left:
                continue
            self._left -= len(element)
            item = _load(bytes(element))
            members: dict[str, object] = item if isinstance(item, dict) else {}
            role, kind, tag = _word(members, "role"), _word(members, "type"), _word(members, shape.result.tag)
            path = ((at, index), shape.content)
            content = members.get(shape.content)
            if role in shape.system_roles:
                yield from self._walk("system", path, content)
            elif index >= fresh_from:
                return
            elif not (role in shape.model_roles or kind in shape.model_types or tag in shape.result.tags):
                yield from self._walk("messages", path, self._said(content))

    def _said(self, content: object) -> object:
        """What a person said in an item: its content without tools' results, whose places stay."""
        if not isinstance(content, list):
            return content
        result = self._shape.result
        return [
            None
            if isinstance(block, dict)
            and (
                any(key in block for key in result.within)
                or (result.nested and _word(block, result.tag) in result.tags)
            )
            else block
            for block in content
        ]

    def _read(self, path: _Path, raw: msgspec.Raw) -> Iterator[tuple[_Path, object]]:
        """The value in `raw`, or as much of it as may still be read."""
        if len(raw) <= self._left:
            self._left -= len(raw)
            yield path, _load(bytes(raw))
        elif bytes(memoryview(raw)[:1]) == b'"':
            text = _cut(bytes(memoryview(raw)[: self._left]))
            self._left = 0
            yield path, text
        elif len(raw) <= _SPLIT_LIMIT:
            for index, element in enumerate(islice(_elements(raw), self._nodes)):
                self._nodes -= 1
                if len(element) <= self._left:
                    self._left -= len(element)
                    yield (path, index), _load(bytes(element))

    def _walk(self, area: Area, path: _Path, value: object) -> Iterator[None]:
        """Look at every string and key in a value, in their order; in what was said, at the strings that are texts."""
        least = _WORD if area == "system" else _WINDOW
        stack: list[tuple[_Path, object]] = [(path, value)]
        while stack and self._nodes > 0:
            self._nodes -= 1
            path, value = stack.pop()
            if isinstance(value, str):
                if area != "messages" or path[1] in (self._shape.content, "text") or isinstance(path[1], int):
                    self._text(area, path, value)
                    yield
                continue
            inner: list[tuple[_Path, object]] = []
            if isinstance(value, list):
                inner = [
                    ((path, index), each) for index, each in enumerate(value[: self._nodes]) if _may_tell(each, least)
                ]
            elif isinstance(value, dict):
                for key, each in islice(value.items(), self._nodes):
                    # A schema describes such a field with an object; what changes is a value.
                    if "_" in key and isinstance(each, str | int | float) and not isinstance(each, bool) and each != "":
                        self._named(area, path, key, str(each))
                    if _may_tell(each, least):
                        inner.append(((path, key), each))
            inner.reverse()
            stack += inner
            yield

    def _named(self, area: Area, path: _Path, key: str, value: str) -> None:
        lower = key.lower()
        for name in _ID_KEYS:
            if name in lower:
                self._add(area, "id_field", (path, key if _is_name(key) else name), value)
                return

    def _text(self, area: Area, path: _Path, text: str) -> None:
        raw = text.encode()
        places = windows(raw)
        values: dict[Kind, str] = {}
        for kind, start, end in places:
            values.setdefault(kind, raw[start:end].decode())
        if area == "system":
            if places:
                # A word is not told again as what a part of it is.
                blank = bytearray(raw)
                for _, start, end in places:
                    blank[start:end] = b" " * (end - start)
                text = blank.decode()
            words = [word for word in text.split() if len(word) >= _WORD][: self._nodes]
            self._nodes -= len(words)
            for word in words:
                if (found := classify_word(word)) is not None:
                    values.setdefault(*found)
        for kind, value in values.items():
            self._add(area, kind, path, value)

    def _add(self, area: Area, kind: Kind, path: _Path, value: str) -> None:
        location = _location(path)
        if (kind, location) in self.found or len(self.found) == FINDINGS:
            return
        hidden = kind == "jwt" or _is_jwt(value)
        mark = blake3(value.encode()).digest(8)
        self.found[kind, location] = Finding(area, kind, location, "" if hidden else sample_of(value), mark)


def _location(path: _Path) -> str:
    """`system[2].text`; keys that are no names could be values themselves. Only the first steps are told."""
    parts: list[str] = []
    at: _Path | None = path
    while at is not None:
        at, step = at
        parts.append(f"[{step}]" if isinstance(step, int) else f".{step if _is_name(step) else '*'}")
    parts.reverse()
    return "".join([*parts[:_STEPS], *(["..."] if len(parts) > _STEPS else [])]).removeprefix(".")


def _may_tell(value: object, least: int) -> bool:
    """Whether a value is a text of at least `least` characters, or may hold one."""
    return len(value) >= least if isinstance(value, str) else bool(value) and isinstance(value, dict | list)


def _is_name(key: str) -> bool:
    return 0 < len(key) <= _KEY_LENGTH and _NAMING.issuperset(key)


def _is_hex(word: str) -> bool:
    return _HEX.issuperset(word)


def _is_iso(word: str) -> bool:
    try:
        datetime.fromisoformat(word)
    except ValueError:
        return False
    return True


def _is_jwt(word: str) -> bool:
    """Whether a word is three runs of base64url, the first of which is a JSON object, as a token's header has to be."""
    segments = word.split(".", 3)
    if len(segments) != 3 or not all(len(s) >= 4 and _BASE64URL.issuperset(s) for s in segments):
        return False
    try:
        first, *_ = [
            urlsafe_b64decode(segment.rstrip("=") + "=" * (-len(segment.rstrip("=")) % 4)) for segment in segments
        ]
    except (binascii.Error, ValueError):
        return False
    return first[:1] == b"{"


def _word(members: dict[str, object], key: str) -> str:
    value = members.get(key)
    return value if isinstance(value, str) else ""


def _load(raw: bytes) -> object:
    try:
        return orjson.loads(raw) if raw else None
    except orjson.JSONDecodeError:
        return None


def _cut(raw: bytes) -> str | None:
    """The text that a JSON string begins with. No escape or character is longer than what is tried."""
    for end in range(len(raw), max(1, len(raw) - 16), -1):
        text = _load(raw[:end] + b'"')
        if isinstance(text, str):
            return text
    return None


_ELEMENTS: Final[msgspec.json.Decoder[list[msgspec.Raw]]] = msgspec.json.Decoder(list[msgspec.Raw])


def _elements(raw: msgspec.Raw) -> list[msgspec.Raw]:
    """The elements of a JSON array; none for anything else."""
    return _ELEMENTS.decode(raw) if bytes(memoryview(raw)[:1]) == b"[" else []
