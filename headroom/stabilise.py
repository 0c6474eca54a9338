"""What makes a provider's cache find a prompt again: tools in one order, cache markers, a name for the prompt.

Decided with a conversation's first request, recorded, and done ever after, whatever is set by then: a prompt that goes
otherwise than before is one that the provider has not cached. Never where the client says itself what is to be cached.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from functools import cache
from typing import Final

import msgspec
from blake3 import blake3

from headroom.config import Config
from headroom.ledger import Ledger
from headroom.policy import Policy
from headroom.providers import DIALECTS, Dialect
from headroom.zones.breakpoints import Prompts, placed
from headroom.zones.locate import RAW, Located, address
from headroom.zones.places import UNREADABLE
from headroom.zones.splice import Edit
from headroom.zones.tools import Arranged, arranged, has_marker

SORT_TOOLS: Final = "sort_tools"
SORT_SCHEMA_KEYS: Final = "sort_schema_keys"
PLACE_CACHE_CONTROL: Final = "place_cache_control"
PLACE_PROMPT_CACHE_KEY: Final = "place_prompt_cache_key"
NAMES: Final = (SORT_TOOLS, SORT_SCHEMA_KEYS, PLACE_CACHE_CONTROL, PLACE_PROMPT_CACHE_KEY)
"""What can be done, by the setting that asks for it."""

KEY_LENGTH: Final = 32  # hex digits of a prompt's name
KNOWN_LIMIT: Final = 10_000  # conversations of which is remembered that nothing was decided, or only observed
LIST_LIMIT: Final = 256 * 1024  # bytes of a list of tools that is put in order; about 0.1 ms per KiB, once
MEMO_BYTES: Final = 16 * 1024 * 1024  # lists that are remembered as arranged, with what took their place
_EPHEMERAL: Final = b'{"type":"ephemeral"}'
_ABSENT: Final = (b"", b"null")
_NONE = RAW(b"")


class Decided(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What is done to a conversation's requests. `key` names its prompt; empty where none is placed."""

    sort: bool
    schemas: bool
    markers: bool
    key: str


class Stable(msgspec.Struct, frozen=True, gc=False):
    """What is done to one request. `edits` are of any range, `names` say which were needed, `tools` is the list as it
    goes, markers left out; None where it goes as it came."""

    edits: tuple[Edit, ...] = ()
    names: tuple[str, ...] = ()
    tools: bytes | None = None


UNCHANGED: Final = Stable()
_NOTHING: Final = Decided(sort=False, schemas=False, markers=False, key="")
_encode = msgspec.msgpack.Encoder().encode
_read_decided = msgspec.msgpack.Decoder(Decided).decode


class _Opening(msgspec.Struct, gc=False):
    role: str = ""
    content: msgspec.Raw = _NONE


class _Reader:
    """Reads what stands beside a dialect's items."""

    def __init__(self, dialect: Dialect) -> None:
        shape = dialect.shape
        assert shape is not None
        names = {"tools", "model", "instructions", dialect.cache_key, dialect.stored}
        names |= {*dialect.chained, *dialect.own_markers, *dialect.own_caching}
        fields = [(name, RAW, _NONE) for name in sorted(names - {""})]
        self._top = msgspec.json.Decoder(msgspec.defstruct("Top", fields, gc=False))
        opening = [(shape.items, list[_Opening])]
        self._opening = msgspec.json.Decoder(msgspec.defstruct("Items", opening, gc=False))
        self._items = shape.items
        self.prompts = Prompts(shape) if dialect.markable else None

    def top(self, body: bytes) -> Mapping[str, msgspec.Raw] | None:
        """Members of the body; None where it is no object. They are views: keep the body while using them."""
        try:
            found = self._top.decode(body)
        except UNREADABLE:
            return None
        return {name: value for name in found.__struct_fields__ if len(value := getattr(found, name))}

    def system(self, body: bytes) -> bytes:
        """The content of the first item that gives instructions; empty where none does."""
        try:
            items: list[_Opening] = getattr(self._opening.decode(body), self._items)
        except UNREADABLE:
            return b""
        return next((bytes(item.content) for item in items if item.role in ("system", "developer")), b"")


class Stabiliser:
    """Decides and does it. One per process, for the event loop's thread."""

    def __init__(self, config: Config, ledger: Ledger) -> None:
        self._ledger = ledger
        self._wanted = frozenset(name for name in NAMES if config.on(name))
        self._readers = {d.name: _Reader(d) for d in DIALECTS if d.shape is not None and not d.shape.under}
        self._known: OrderedDict[bytes, Decided | None] = OrderedDict()
        self._memo: OrderedDict[tuple[bytes, str, bool, bool, bool], Arranged] = OrderedDict()
        self._memo_bytes = 0

    def concerns(self, dialect: Dialect, policy: Policy) -> bool:
        """Whether anything may be done at all for such a caller."""
        return dialect.name in self._readers and (policy.sort_tools or policy.add_markers or policy.add_cache_key)

    async def edits(
        self, body: bytes, located: Located, dialect: Dialect, policy: Policy, *, decide: bool, observe: bool
    ) -> Stable:
        """What is done to this request. Raises StoreDown; then nothing is, and nothing was recorded.

        Only a conversation's first request is decided about, and only with `decide`; with `observe` nothing of it is
        kept in the store. Cost: a look-up, and for conversations that are stabilised a pass or two over the body.
        """
        if not located.conversation or not self.concerns(dialect, policy):
            return UNCHANGED
        decided = await self._recall(located)
        if decided is None and decide and located.fresh_from == 0 and self._wanted:
            decided = self._decide(body, located, dialect, policy)
            if decided is not None:
                decided = await self._record(located, decided, observe=observe)
        if decided is None or decided == _NOTHING:
            return UNCHANGED
        return self._apply(body, located, dialect, policy, decided)

    async def _recall(self, located: Located) -> Decided | None:
        key = _key(located.conversation)
        if key in self._known:
            self._known.move_to_end(key)
            known = self._known[key]
            if known is not None or located.fresh_from or not self._wanted:
                return known
        decided = _read(await self._ledger.sticky(key))
        # Only first requests are decided about, and that before they are sent: later ones need not ask again. What was
        # decided is asked for every time, from the ledger's memory, and is renewed by that.
        if decided is None and (located.fresh_from or not self._wanted):
            self._know(key, None)
        return decided

    async def _record(self, located: Located, decided: Decided, *, observe: bool) -> Decided | None:
        key = _key(located.conversation)
        if not observe:
            return _read(await self._ledger.stick(key, _encode(decided)))
        self._know(key, decided)
        return decided

    def _know(self, key: bytes, decided: Decided | None) -> None:
        self._known[key] = decided
        self._known.move_to_end(key)
        while len(self._known) > KNOWN_LIMIT:
            self._known.popitem(last=False)

    def _decide(self, body: bytes, located: Located, dialect: Dialect, policy: Policy) -> Decided | None:
        """What is to be done from now on; None where nothing is."""
        top = self._readers[dialect.name].top(body)
        if top is None or _continues(top, dialect) or _marks_itself(body, top, located, dialect):
            return None
        wanted = self._wanted
        sort = policy.sort_tools and SORT_TOOLS in wanted
        schemas = policy.sort_tools and SORT_SCHEMA_KEYS in wanted
        key = ""
        if policy.add_cache_key and PLACE_PROMPT_CACHE_KEY in wanted and dialect.cache_key:
            tools = self._arranged(top, dialect, sort=sort, schemas=schemas, marked=False)
            key = self._prompt_key(body, top, dialect, tools)
        markers = policy.add_markers and PLACE_CACHE_CONTROL in wanted and bool(dialect.markable)
        decided = Decided(sort=sort, schemas=schemas, markers=markers, key=key)
        return None if decided == _NOTHING else decided

    def _prompt_key(self, body: bytes, top: Mapping[str, msgspec.Raw], dialect: Dialect, tools: Arranged | None) -> str:
        """A name for the prompt's beginning: equal for equal model, system text and tools as they go."""
        system = bytes(top.get("instructions", _NONE))
        if system in (*_ABSENT, b'""'):
            system = self._readers[dialect.name].system(body)
        parts = (bytes(top.get("model", _NONE)), system, b"" if tools is None else tools.tools)
        return blake3(b"".join(b"%d:%b" % (len(part), part) for part in parts)).hexdigest()[:KEY_LENGTH]

    def _apply(self, body: bytes, located: Located, dialect: Dialect, policy: Policy, decided: Decided) -> Stable:
        reader = self._readers[dialect.name]
        top = reader.top(body)
        if top is None:
            return UNCHANGED
        edits: list[Edit] = []
        names: set[str] = set()
        at_end: list[bytes] = []
        markers = decided.markers and policy.add_markers and not _marks_itself(body, top, located, dialect)
        sorts = decided.sort and policy.sort_tools
        tools = self._arranged(top, dialect, sort=sorts, schemas=decided.schemas and policy.sort_tools, marked=markers)
        if tools is not None:
            begin = address(top["tools"]) - address(body)
            edits += (Edit(begin + edit.start, begin + edit.end, edit.token) for edit in tools.edits)
            names |= {SORT_TOOLS} if tools.moved else set()
            names |= {SORT_SCHEMA_KEYS} if tools.schemas else set()
        prompt = reader.prompts.read(body) if markers and reader.prompts is not None else None
        if prompt is not None:
            marker = _marker(dialect)
            size = len(top["tools"]) if tools is not None and tools.marked else 0
            prices = dialect.prices
            places = placed(prompt, size, marker, dialect.markable, write=prices.write, read=prices.read)
            edits += places.edits
            at_end += [marker] if places.whole else []
            if size or places.edits or places.whole:
                names.add(PLACE_CACHE_CONTROL)
        if decided.key and policy.add_cache_key:
            token = b'"%b"' % decided.key.encode()
            given = top.get(dialect.cache_key, _NONE)
            if len(given) == 0:
                at_end.append(b'"%b":%b' % (dialect.cache_key.encode(), token))
            elif bytes(given) in (b'""', b"null"):
                begin = address(given) - address(body)
                edits.append(Edit(begin, begin + len(given), token))
            if len(given) == 0 or bytes(given) in (b'""', b"null"):
                names.add(PLACE_PROMPT_CACHE_KEY)
        if at_end:
            end = body.rindex(b"}")
            edits.append(Edit(end, end, b"".join(b"," + member for member in at_end)))
        moved = tools is not None and (tools.moved or tools.schemas)
        forwarded = tools.tools if tools is not None and moved else None
        return Stable(tuple(edits), tuple(name for name in NAMES if name in names), forwarded)

    def _arranged(
        self, top: Mapping[str, msgspec.Raw], dialect: Dialect, *, sort: bool, schemas: bool, marked: bool
    ) -> Arranged | None:
        """The request's tools in order; None where it has none, or too many. The last lists are remembered."""
        value = top.get("tools", _NONE)
        if not 0 < len(value) <= LIST_LIMIT:
            return None
        raw = bytes(value)
        name = (blake3(raw).digest(), dialect.name, sort, schemas, marked)
        made = self._memo.get(name)
        if made is None:
            marker = _marker(dialect) if marked else b""
            made = self._memo[name] = arranged(raw, dialect.tools, sort=sort, schemas=schemas, marker=marker)
            self._memo_bytes += _cost(made)
            while self._memo_bytes > MEMO_BYTES:
                self._memo_bytes -= _cost(self._memo.popitem(last=False)[1])
        else:
            self._memo.move_to_end(name)
        return made


def _cost(made: Arranged) -> int:
    return 500 + 2 * len(made.tools)


def _key(conversation: bytes) -> bytes:
    return blake3(b"stable" + conversation).digest()


def _read(value: bytes | None) -> Decided | None:
    try:
        return None if value is None else _read_decided(value)
    except msgspec.MsgspecError:
        return None


def _marker(dialect: Dialect) -> bytes:
    return b'"%b":%b' % (dialect.own_markers[0].encode(), _EPHEMERAL)


def _continues(top: Mapping[str, msgspec.Raw], dialect: Dialect) -> bool:
    """Whether a request continues a prompt of which we know nothing, or will be continued by one that does not say
    whose it is: the provider keeps the prompt, and the next request names it by an id of its own."""
    if any(bytes(top.get(name, _NONE)) not in _ABSENT for name in dialect.chained):
        return True
    return bool(dialect.stored) and bytes(top.get(dialect.stored, _NONE)) != b"false"


def _marks_itself(body: bytes, top: Mapping[str, msgspec.Raw], located: Located, dialect: Dialect) -> bool:
    """Whether the client says anywhere what is to be cached, or how. In tools their schemas are not searched; elsewhere
    a member of such a name counts wherever it stands, for there is no list of all places."""
    if located.frozen or any(bytes(top.get(name, _NONE)) not in (*_ABSENT, b'""') for name in dialect.own_caching):
        return True
    tools = top.get("tools", _NONE)
    begin = address(tools) - address(body) if len(tools) else 0
    for name in dialect.own_markers:
        if name in top or _names(body, name, 0, begin) or _names(body, name, begin + len(tools), len(body)):
            return True
        if len(tools) and has_marker(bytes(tools), name):
            return True
    return False


def _names(body: bytes, name: str, start: int, end: int) -> bool:
    """Whether a JSON string in ``body[start:end]`` is `name`, some of its characters escaped or none."""
    if body.find(b'"%b"' % name.encode(), start, end) >= 0:
        return True
    return body.find(b"\\u00", start, end) >= 0 and _spelled(name).search(body, start, end) is not None


@cache
def _spelled(name: str) -> re.Pattern[bytes]:
    return re.compile(b'"%b"' % b"".join(b"(?:%c|\\\\u00(?i:%02x))" % (byte, byte) for byte in name.encode()))
