"""Finding slots: the JSON string tokens of a request body that may be replaced, and which of them are fresh.

One msgspec pass over the body checks its grammar and yields each item (message, input item) as a view. Items seen
before are recognised by the BLAKE3 of their bytes and are not decoded again. Offsets come from buffer addresses, so
nothing is built for content that is only passed on.
"""

from __future__ import annotations

import ctypes
import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence

import msgspec
import orjson
from blake3 import blake3

from headroom.faults import NoMessages, NotJson
from headroom.zones.prefix import LEAST, Prefix, Prefixes
from headroom.zones.shape import Shape

RAW = msgspec.Raw
_NONE = RAW(b"")

MEMO_LIMIT = 50_000  # items; about 300 bytes each
_STEADY = 4  # items before the last model-made one that no client is known to touch again
TYPED_FLOOR = 512  # bytes of token below which a typed text is never looked at
LEAF_FLOOR = 64  # bytes of token below which a string of a result object is never looked at
_NO_WORDS = re.compile(rb'"(?: |\\[nrt])*+["<]')  # a token without words of the user's own, by how it begins
ANSWERS = 8  # last answers of which it is told where they end
MAX_DEPTH = 16  # levels of a result object in which its strings are looked for
UNKNOWN_LENGTH = 64  # characters of an unknown type that are told


class Spot(msgspec.Struct, frozen=True, gc=False):
    """A slot within its item: offsets in bytes from the item's begin, quotes included.

    `digest` is the BLAKE3 of its token. `call_id` is empty for text that a person typed, and for results without one.
    `tool` is empty where the result does not name it.
    """

    start: int
    end: int
    digest: bytes
    call_id: str
    error: bool
    typed: bool = False
    tool: str = ""


class Facts(msgspec.Struct, frozen=True, gc=False):
    """What one item's bytes say, wherever the item stands.

    - `opening` is the digest of what the user says in it, markers and the form of the content left out; empty for items
      that are not the user's.
    - `plain` is a digest of the item without its markers, the same whether a text stands alone or in a list of one.
    - `lifetimes` says of each marker, in order, whether it asks for the long one.
    - `unknown` is the item's type where the dialect does not know it. `instructs`: its role is one of instructions.
    - `words` is the last text token that the user's own words are in: begin and end within the item, quotes included;
      empty where there is none.
    """

    by_model: bool
    marked: bool
    utf8: bool
    spots: tuple[Spot, ...]
    opening: bytes = b""
    lifetimes: tuple[bool, ...] = ()
    unknown: str = ""
    plain: bytes = b""
    instructs: bool = False
    words: tuple[int, ...] = ()


class Words(msgspec.Struct, frozen=True, gc=False):
    """The token that holds the newest of the user's own words in an item: offsets in the body, quotes included."""

    item: int
    start: int
    end: int


class Slot(msgspec.Struct, frozen=True, gc=False):
    """A slot in a body. `key` names it in the ledger; `item` is the index of its item. See Spot for the rest."""

    start: int
    end: int
    key: bytes
    item: int
    call_id: str
    error: bool
    typed: bool = False
    tool: str = ""


class Located(msgspec.Struct, frozen=True, gc=False):
    """A body's slots in document order.

    - `old` and `fresh` are the slots; `fresh` begins at item `fresh_from`: all that follows the last item a model made.
      `span` is where the items are. `utf8` says whether they are valid UTF-8.
    - `frozen` is the index of the highest marked item plus one, or 0. `long_after_short`: a marker with the long
      lifetime follows one with the short.
    - `conversation` names the conversation: the same on every turn, and another for another caller, session or opening.
      `opened`: the body holds its conversation's opening, or its name was given; else it may be a part of one that has
      another name.
    - `plain`: see Facts, of each item. `words` are those of all items that have any, in order. `instructing` counts the
      items before the first that are instructions. `unknown_types`: types of fresh items that the dialect does not
      know.
    - `made_from` is the index of the first item that a model made, or how many items there are. `answers`: how many
      items there are up to the end of each of the model's last answers, the last one first.
    """

    old: list[Slot]
    fresh: list[Slot]
    items: int
    fresh_from: int
    frozen: int
    utf8: bool
    conversation: bytes
    span: tuple[int, int]
    long_after_short: bool = False
    plain: list[bytes] = []
    unknown_types: frozenset[str] = frozenset()
    instructing: int = 0
    words: list[Words] = []
    opened: bool = True
    made_from: int = 0
    answers: tuple[int, ...] = ()


class _Buffer(ctypes.Structure):
    """The head of CPython's Py_buffer, with room for the rest."""

    _fields_ = (("address", ctypes.c_void_p), ("object", ctypes.py_object), ("rest", ctypes.c_byte * 128))


# By item access: each is an object of this module alone, so that argument types set elsewhere cannot collide.
_get_buffer = ctypes.pythonapi["PyObject_GetBuffer"]
_get_buffer.argtypes = (ctypes.py_object, ctypes.c_void_p, ctypes.c_int)
_get_buffer.restype = ctypes.c_int
_release_buffer = ctypes.pythonapi["PyBuffer_Release"]
_release_buffer.argtypes = (ctypes.c_void_p,)
_release_buffer.restype = None


def address(data: bytes | msgspec.Raw) -> int:
    """Where `data`'s bytes are in memory. Means something only while `data` is alive."""
    buffer = _Buffer()
    _get_buffer(data, ctypes.addressof(buffer), 0)
    where = buffer.address
    _release_buffer(ctypes.addressof(buffer))
    return int(where or 0)


class _Read(msgspec.Struct, frozen=True, gc=False):
    """All items of a body: their facts, where they begin, where the last one ends; the session it names, and where."""

    facts: list[Facts]
    starts: list[int]
    end: int
    session: bytes
    session_end: int


class _Learnt(msgspec.Struct, frozen=True, gc=False):
    """What a beginning of a body says: `_Read` up to `items`, and its slots within one conversation."""

    items: int
    facts: list[Facts]
    starts: list[int]
    slots: list[Slot]
    conversation: bytes
    session: bytes


class Locator:
    """Locates the slots of one dialect's bodies. Keeps the memo of items; for one thread at a time."""

    def __init__(self, shape: Shape, memo_limit: int = MEMO_LIMIT) -> None:
        result = shape.result
        self._shape = shape
        self._tag = shape.name.encode() + b"\0"
        self._limit = memo_limit
        self._memo: OrderedDict[bytes, Facts] = OrderedDict()
        self._prefixes: Prefixes[_Learnt] = Prefixes()
        self._top = msgspec.json.Decoder(msgspec.defstruct("Top", _top_fields(shape), gc=False))
        self._marker = _raw_decoder("Marker", {shape.lifetime})
        self._named = {key: _raw_decoder("Named", {key}) for key in shape.session[1:]}
        carried = {result.tag, result.text, result.call_id, result.error, result.tool}
        in_block = set(result.within) or (carried if result.nested else set())
        self._item = _raw_decoder("Item", {"role", "type", shape.content} | (set() if result.nested else carried))
        self._block = _raw_decoder("Block", {"type", "text", shape.marker} | in_block)
        self._carrier = _raw_decoder("Carrier", carried)
        self._stand_in = (
            b'{"%b":{"%b":[""' % (shape.under.encode(), shape.items.encode())
            if shape.under
            else (b'{"%b":[""' % shape.items.encode())
        )

    def locate(self, body: bytes, caller: bytes, session: bytes = b"", conversation: bytes = b"") -> Located:
        """Find the slots of `body`. Raises NotJson where it is not a body of this dialect.

        `session`, else what the body names as its session, and the conversation's opening name the conversation; that
        name enters the keys of slots that have no call id. `conversation` is that name where it is known already: a
        body that goes on from an earlier one need not hold the opening. `caller` says whose bodies are likely to begin
        alike. Cost: hashing the beginning that was seen before, and msgspec's pass over the rest; items that are new
        are decoded once.
        """
        owner = blake3(session or caller).digest()
        prefix = self._prefixes.find(owner, body)
        read = None if prefix is None else self._read_on(body, prefix)
        if read is None:
            prefix, read = None, self._read_all(body)
        if not read.facts:
            return Located([], [], 0, 0, 0, True, conversation, (0, 0), opened=bool(conversation))
        facts = read.facts
        fresh_from = frozen = len(facts)
        while fresh_from and not facts[fresh_from - 1].by_model:
            fresh_from -= 1
        while frozen and not facts[frozen - 1].marked:
            frozen -= 1
        opening = next((known.opening for known in facts if known.opening), b"")
        # Not by the caller: a login that is renewed every hour must not rename what was sent under the last one.
        opened = bool(conversation or opening)
        conversation = conversation or self._conversation(session or read.session, opening)
        old: list[Slot] = []
        fresh: list[Slot] = []
        known_items = 0
        if prefix is not None and prefix.learnt.conversation == conversation and prefix.learnt.items <= fresh_from:
            old += prefix.learnt.slots
            known_items = prefix.learnt.items
        for index in range(known_items, len(facts)):
            known = facts[index]
            if known.spots:
                slots = self._slots(known, read.starts[index], index, conversation)
                (fresh if index >= fresh_from else old).extend(slots)
        self._remember(owner, body, read, old, fresh_from, conversation, 0 if prefix is None else prefix.length)
        utf8 = all(known.utf8 for known in facts)
        span = (read.starts[0], read.end)
        unknown = frozenset(known.unknown for known in facts[fresh_from:] if known.unknown)
        late = _long_after_short(facts)
        plain = [known.plain for known in facts]
        leading = next((index for index, known in enumerate(facts) if not known.instructs), len(facts))
        words = [
            Words(index, read.starts[index] + known.words[0], read.starts[index] + known.words[1])
            for index, known in enumerate(facts)
            if known.words
        ]
        return Located(
            old,
            fresh,
            len(facts),
            fresh_from,
            frozen,
            utf8,
            conversation,
            span,
            late,
            plain,
            unknown,
            leading,
            words,
            opened,
            next((index for index, known in enumerate(facts) if known.by_model), len(facts)),
            tuple(_answers(facts, fresh_from)),
        )

    def _read_all(self, body: bytes) -> _Read:
        """Read a body from its first byte. Raises NotJson."""
        top = self._decode(body)
        raws = self._raws(top)
        begin = address(raws[0]) - address(body) if raws else 0
        facts, starts, end = self._items(body, raws, begin)
        return _Read(facts, starts, end, self._session(top), self._session_end(top, body))

    def _read_on(self, body: bytes, prefix: Prefix[_Learnt]) -> _Read | None:
        """Read what follows a known beginning; None where it has to be read from the first byte after all.

        The rest is put behind a beginning that stands for the known one, with one string for all its items. If that
        string is not where it was put, the rest has a list of items of its own, which then counts (the last of
        duplicate keys does).
        """
        learnt = prefix.learnt
        stand_in = self._stand_in
        rest = stand_in + body[prefix.length :]
        try:
            top = self._top.decode(rest)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return None
        raws = self._raws(top)
        if not raws or address(raws[0]) - address(rest) != len(stand_in) - 2:
            return None
        facts, starts, end = self._items(body, raws[1:], prefix.length)
        named = self._session_end(top, rest) > 0
        session = self._session(top) if named else learnt.session
        return _Read(learnt.facts + facts, learnt.starts + starts, end, session, 0 if not named else len(body))

    def _items(self, body: bytes, raws: Sequence[msgspec.Raw], at: int) -> tuple[list[Facts], list[int], int]:
        """Facts and places of consecutive items, the first of which begins at or after `at`, and where they end."""
        facts: list[Facts] = []
        starts: list[int] = []
        memo = self._memo
        for raw in raws:
            digest = blake3(raw).digest()
            known = memo.get(digest)
            if known is None:
                known = self._learn(digest, raw)
            at = _next_item(body, at)
            starts.append(at)
            at += len(raw)
            facts.append(known)
        return facts, starts, at

    def _remember(
        self, owner: bytes, body: bytes, read: _Read, old: list[Slot], fresh_from: int, conversation: bytes, known: int
    ) -> None:
        """Keep the beginnings that the next body will most likely have too.

        One ends with the last item a model made, one some items earlier: clients move markers on the last two.
        """
        ends: list[tuple[int, _Learnt]] = []
        for items in (fresh_from - _STEADY, fresh_from):
            if items < 1:
                continue
            end = read.starts[items] if items < len(read.starts) else read.end
            # Back from the next item's begin over blanks and the comma, to the end of this one.
            while body[end - 1] in b" \t\r\n," and end > read.starts[items - 1]:
                end -= 1
            if end > known:
                slots = [slot for slot in old if slot.item < items]
                # Only what stands before the end of this beginning is a part of it.
                session = read.session if read.session_end <= end else b""
                learnt = _Learnt(items, read.facts[:items], read.starts[:items], slots, conversation, session)
                ends.append((end, learnt))
        if ends and ends[-1][0] >= LEAST:
            self._prefixes.keep(owner, body, ends)

    def tool_names(self, body: bytes, before: int, *, every: bool = False) -> dict[str, str]:
        """Names of the tools called in the run of model-made items that ends before item `before`, by call id.

        With `every`, in all model-made items before it.
        """
        names: dict[str, str] = {}
        call = self._shape.call
        if not call.path and not call.tags:
            return names
        raws = self._raws(self._decode(body))
        for raw in reversed(raws[:before]):
            known = self._memo.get(blake3(raw).digest())
            if known is not None and not known.by_model:
                if every:
                    continue
                break
            try:
                made = orjson.loads(bytes(raw))
            except orjson.JSONDecodeError:
                continue
            for value in _follow(made, call.path):
                if isinstance(value, dict) and (not call.tags or _is_text_of(value.get("type"), call.tags)):
                    identity, name = value.get(call.call_id), next(_follow(value, call.name), None)
                    if isinstance(identity, str) and isinstance(name, str):
                        names.setdefault(identity, name)
        return names

    def items(self, body: bytes) -> list[tuple[int, bytes]]:
        """Where each item begins, and its bytes. For a body that was located. Cost: one pass over the body."""
        raws = self._raws(self._decode(body))
        at = address(raws[0]) - address(body) if raws else 0
        found: list[tuple[int, bytes]] = []
        for raw in raws:
            at = _next_item(body, at)
            found.append((at, bytes(raw)))
            at += len(raw)
        return found

    def _raws(self, top: msgspec.Struct) -> Sequence[msgspec.Raw]:
        """The items of a decoded body."""
        holder = getattr(top, self._shape.under) if self._shape.under else top
        raws: Sequence[msgspec.Raw] = getattr(holder, self._shape.items)
        return raws

    def _decode(self, body: bytes) -> msgspec.Struct:
        try:
            return self._top.decode(body)
        except msgspec.ValidationError as error:
            raise NoMessages(str(error)) from error
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise NotJson(str(error) or "nested too deeply") from error

    def _session(self, top: msgspec.Struct) -> bytes:
        """What the body itself names as its session: the raw value at the shape's place."""
        path = self._shape.session
        if not path:
            return b""
        value: msgspec.Raw = getattr(top, path[0])
        for key in path[1:]:
            inner = _decode(self._named[key], value)
            if inner is None:
                return b""
            value = getattr(inner, key)
        return bytes(value)

    def _session_end(self, top: msgspec.Struct, body: bytes) -> int:
        """Where the member that names the session ends; 0 where there is none."""
        path = self._shape.session
        if not path or (value := getattr(top, path[0])) is _NONE:
            return 0
        return address(value) - address(body) + len(value)

    def _conversation(self, session: bytes, opening: bytes) -> bytes:
        parts = (self._tag, session, opening)
        return blake3(b"".join(b"%d:%b" % (len(part), part) for part in parts)).digest()

    def _slots(self, facts: Facts, start: int, item: int, conversation: bytes) -> Iterator[Slot]:
        for spot in facts.spots:
            key = self._key(spot, conversation)
            at, end = start + spot.start, start + spot.end
            yield Slot(at, end, key, item, spot.call_id, spot.error, spot.typed, spot.tool)

    def _key(self, spot: Spot, conversation: bytes) -> bytes:
        owner = b"\x01" + spot.call_id.encode() if spot.call_id else b"\x02" + conversation
        return blake3(b"%b%d:%b%b" % (self._tag, len(owner), owner, spot.digest)).digest()

    def _learn(self, digest: bytes, raw: msgspec.Raw) -> Facts:
        facts = self._memo[digest] = self._read(raw)
        if len(self._memo) > self._limit:
            self._memo.popitem(last=False)
        return facts

    def _read(self, raw: msgspec.Raw) -> Facts:
        """Decode one item as far as its slots need. An item of another shape has none."""
        shape = self._shape
        item = _decode(self._item, raw)
        if item is None:
            return Facts(False, False, _is_utf8(raw), (), plain=blake3(raw).digest())
        role, kind = _word(getattr(item, "role")), _word(getattr(item, "type"))
        content: msgspec.Raw = getattr(item, shape.content)
        blocks = list(_objects(self._block, content))
        by_model = role in shape.model_roles or kind in shape.model_types
        markers = [marker for block in blocks for marker in self._markers(block)] if shape.marker else []
        lifetimes = tuple(self._is_long(marker) for marker in markers)
        marked = bool(markers)
        utf8 = _is_utf8(raw)
        plain = self._plain(raw, role, content, blocks, marked)
        if by_model or not utf8:
            return Facts(by_model, marked, utf8, (), b"", lifetimes, plain=plain)
        spots = tuple(self._spots(item, role, content, blocks, address(raw)))
        instructs = role in shape.system_roles
        if role not in shape.user_roles:
            return Facts(False, marked, utf8, spots, b"", lifetimes, self._unknown(kind), plain, instructs)
        opening = self._opening(content, blocks)
        words = self._words(content, blocks, address(raw))
        return Facts(False, marked, utf8, spots, opening, lifetimes, self._unknown(kind), plain, instructs, words)

    def _plain(
        self, raw: msgspec.Raw, role: str, content: msgspec.Raw, blocks: list[msgspec.Struct], marked: bool
    ) -> bytes:
        """See Facts. Cost: hashing, and for items with markers taking them out."""
        if _is_string(content):
            return blake3(b"%b\0%b" % (role.encode(), bytes(content))).digest()
        if len(blocks) == 1 and _word(getattr(blocks[0], "type")) == "text" and len(_elements(content)) == 1:
            return blake3(b"%b\0%b" % (role.encode(), bytes(getattr(blocks[0], "text")))).digest()
        if not marked:
            return blake3(raw).digest()
        return blake3(without_markers(bytes(raw), self._shape.marker)).digest()

    def _unknown(self, kind: str) -> str:
        """The type of an item that the dialect does not know; items with a role and no type are messages."""
        shape = self._shape
        known = not shape.known_types or not kind or kind in shape.known_types or kind in shape.result.tags
        return "" if known else kind[:UNKNOWN_LENGTH]

    def _opening(self, content: msgspec.Raw, blocks: list[msgspec.Struct]) -> bytes:
        """A digest of an item's text that is the same whether it is one string or a list of one text block."""
        tokens = [content] if _is_string(content) else [getattr(block, "text") for block in blocks]
        return blake3(b"\0".join(bytes(token) for token in tokens if _is_string(token))).digest()

    def _words(self, content: msgspec.Raw, blocks: list[msgspec.Struct], here: int) -> tuple[int, ...]:
        """See Facts. What clients put beside the user's words begins with a tag (`<system-reminder>`,
        `<environment_context>`); it is none of them."""
        for token in [content] if _is_string(content) else [getattr(block, "text") for block in reversed(blocks)]:
            if _is_string(token) and not _NO_WORDS.match(memoryview(token)[:64]):
                start = address(token) - here
                return start, start + len(token)
        return ()

    def _spots(
        self, item: msgspec.Struct, role: str, content: msgspec.Raw, blocks: list[msgspec.Struct], here: int
    ) -> Iterator[Spot]:
        shape, result = self._shape, self._shape.result
        if not result.nested and _word(getattr(item, result.tag)) in result.tags:
            yield from self._result_spots(item, here)
        elif role in shape.user_roles:
            if _is_string(content):
                yield from _typed_spot(content, here)
            for block in blocks:
                if result.within:
                    for key in result.within:
                        carrier = _decode(self._carrier, getattr(block, key))
                        if carrier is not None:
                            yield from self._result_spots(carrier, here)
                elif result.nested and _word(getattr(block, result.tag)) in result.tags:
                    yield from self._result_spots(block, here)
                    continue
                if _is_string(text := getattr(block, "text")):
                    yield from _typed_spot(text, here)

    def _result_spots(self, carrier: msgspec.Struct, here: int) -> Iterator[Spot]:
        """The texts of one tool result: a string, or the `text` of each part."""
        result = self._shape.result
        call_id = _word(getattr(carrier, result.call_id))
        if result.leaves:
            tool = _word(getattr(carrier, result.tool))
            for token, failed in _leaves(getattr(carrier, result.text), MAX_DEPTH):
                if len(token) >= LEAF_FLOOR:
                    yield _spot(token, here, call_id, failed, tool)
            return
        if not call_id:
            return
        error = bool(result.error) and bytes(getattr(carrier, result.error)) == b"true"
        text: msgspec.Raw = getattr(carrier, result.text)
        tokens = [text] if _is_string(text) else [getattr(part, "text") for part in _objects(self._block, text)]
        for token in tokens:
            if _is_string(token):
                yield _spot(token, here, call_id, error)

    def _markers(self, block: msgspec.Struct) -> Iterator[msgspec.Raw]:
        """The markers on a block, or on the parts of its result."""
        name, result = self._shape.marker, self._shape.result
        if getattr(block, name) is not _NONE:
            yield getattr(block, name)
        if result.nested and _word(getattr(block, result.tag)) in result.tags:
            for part in _objects(self._block, getattr(block, result.text)):
                if getattr(part, name) is not _NONE:
                    yield getattr(part, name)

    def _is_long(self, marker: msgspec.Raw) -> bool:
        """Whether a marker asks for the long lifetime; anything else counts as the short one."""
        if not self._shape.lifetime:
            return False
        inner = _decode(self._marker, marker)
        return inner is not None and _word(getattr(inner, self._shape.lifetime)) == self._shape.long_lifetime


def without_markers(raw: bytes, marker: str) -> bytes:
    """JSON text without its cache markers, whose key is `marker`, as far as they can be told without parsing; for
    comparing only."""
    key = b'"%b"' % marker.encode()
    if not marker or key not in raw:
        return raw
    member = rb"(?<!\\)%b\s{0,9}:\s{0,9}\{[^{}]{0,200}\}" % re.escape(key)
    return re.sub(
        rb",\s{0,9}%b|%b(?:\s{0,9},\s{0,9})?" % (member, member), b"", raw
    )  # the first member's comma follows


def frozen_count(body: bytes, shape: Shape) -> int:
    """The index of the highest marked item plus one, or 0; also 0 for a body of another shape.

    Markers count on the elements of an item's content list and on the parts of a tool result; those in `system`,
    `tools`, or on the item itself do not.
    """
    try:
        return Locator(shape).locate(body, b"").frozen
    except NotJson:
        return 0


def _is_text_of(value: object, known: frozenset[str]) -> bool:
    return isinstance(value, str) and value in known


def _answers(facts: list[Facts], end: int) -> Iterator[int]:
    """Where the last ANSWERS runs of model-made items end, from the last one, which ends at `end`, back."""
    for _ in range(ANSWERS):
        if not end:
            return
        yield end
        while end and facts[end - 1].by_model:
            end -= 1
        while end and not facts[end - 1].by_model:
            end -= 1


def _long_after_short(facts: list[Facts]) -> bool:
    """Whether a marker with the long lifetime comes after one with the short, which providers refuse or ignore."""
    short = False
    for known in facts:
        for long in known.lifetimes:
            if long and short:
                return True
            short = short or not long
    return False


def _raw_decoder(name: str, fields: set[str]) -> msgspec.json.Decoder[msgspec.Struct]:
    """A decoder of objects that keeps `fields` as views and checks, but does not build, all else.

    The default is one sentinel rather than None: msgspec drops the Raw arm of `Raw | None`.
    """
    known = sorted(field for field in fields if field)
    return msgspec.json.Decoder(msgspec.defstruct(name, [(field, RAW, _NONE) for field in known], gc=False))


def _top_fields(shape: Shape) -> list[tuple[str, type] | tuple[str, type, msgspec.Raw]]:
    fields: list[tuple[str, type] | tuple[str, type, msgspec.Raw]] = [(shape.items, list[RAW])]
    if shape.under:
        fields = [(shape.under, msgspec.defstruct("Under", fields, gc=False))]
    if shape.session:
        fields.append((shape.session[0], RAW, _NONE))
    return fields


def _decode(decoder: msgspec.json.Decoder[msgspec.Struct], raw: msgspec.Raw) -> msgspec.Struct | None:
    """The object in `raw`, or None where it is something else."""
    try:
        return decoder.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def _objects(decoder: msgspec.json.Decoder[msgspec.Struct], raw: msgspec.Raw) -> Iterator[msgspec.Struct]:
    """The objects among the elements of a JSON array."""
    for element in _elements(raw):
        found = _decode(decoder, element)
        if found is not None:
            yield found


_MEMBERS: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, RAW])


def _leaves(raw: msgspec.Raw, depth: int, failed: bool = False) -> Iterator[tuple[msgspec.Raw, bool]]:
    """The string tokens in a JSON value, in order, and whether each stands below a key named `error`."""
    if _is_string(raw):
        yield raw, failed
    elif depth and len(raw) and memoryview(raw)[0] == 0x5B:
        for element in _ELEMENTS.decode(raw):
            yield from _leaves(element, depth - 1, failed)
    elif depth and len(raw) and memoryview(raw)[0] == 0x7B:
        for key, value in _MEMBERS.decode(raw).items():
            yield from _leaves(value, depth - 1, failed or key == "error")


_ELEMENTS: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[RAW])


def _elements(raw: msgspec.Raw) -> list[msgspec.Raw]:
    """The elements of a JSON array; none for anything else."""
    if len(raw) == 0 or memoryview(raw)[0] != 0x5B:
        return []
    return _ELEMENTS.decode(raw)


def _is_string(raw: msgspec.Raw) -> bool:
    return len(raw) > 0 and memoryview(raw)[0] == 0x22


def _word(raw: msgspec.Raw) -> str:
    """The text of a JSON string; empty for anything else."""
    if not _is_string(raw):
        return ""
    try:
        return str(orjson.loads(bytes(raw)))
    except orjson.JSONDecodeError:  # not UTF-8
        return ""


def _is_utf8(raw: msgspec.Raw) -> bool:
    try:
        str(memoryview(raw), "utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _spot(token: msgspec.Raw, here: int, call_id: str, error: bool, tool: str = "") -> Spot:
    start = address(token) - here
    return Spot(start, start + len(token), blake3(token).digest(), call_id, error, tool=tool)


def _typed_spot(token: msgspec.Raw, here: int) -> Iterator[Spot]:
    if len(token) >= TYPED_FLOOR:
        start = address(token) - here
        yield Spot(start, start + len(token), blake3(token).digest(), "", False, typed=True)


def _next_item(body: bytes, at: int) -> int:
    """Where the item at or after `at` begins, past blanks and one comma."""
    while body[at] in b" \t\r\n,":
        at += 1
    return at


def _follow(value: object, path: tuple[str, ...]) -> Iterator[object]:
    """The values at `path` below `value`, lists being entered on the way."""
    if isinstance(value, list):
        for element in value:
            yield from _follow(element, path)
    elif not path:
        yield value
    elif isinstance(value, dict) and path[0] in value:
        yield from _follow(value[path[0]], path[1:])
