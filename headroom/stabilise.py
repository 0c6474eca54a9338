"""What makes a provider's cache find a prompt again: tools in one order, cache markers, a name for the prompt.

Decided with a conversation's first request, recorded, and done ever after, whatever is set by then: a prompt that goes
otherwise than before is one that the provider has not cached. Never where the client says itself what is to be cached.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from blake3 import blake3

from headroom.config import Config
from headroom.faults import StoreDown
from headroom.kept_prefixes import KeptPrefixes
from headroom.ledger import Ledger
from headroom.own_caching import continues, marks_itself
from headroom.policy import Policy
from headroom.prompt_reader import ABSENT, NONE, PromptReader
from headroom.providers import DIALECTS, Dialect
from headroom.zones.breakpoints import Prompt, placed
from headroom.zones.locate import Located, address
from headroom.zones.splice import Edit
from headroom.zones.tools import Arranged, arranged, called, split

SORT_TOOLS: Final = "sort_tools"
SORT_SCHEMA_KEYS: Final = "sort_schema_keys"
PLACE_CACHE_CONTROL: Final = "place_cache_control"
PLACE_PROMPT_CACHE_KEY: Final = "place_prompt_cache_key"
NAMES: Final = (SORT_TOOLS, SORT_SCHEMA_KEYS, PLACE_CACHE_CONTROL, PLACE_PROMPT_CACHE_KEY)
"""What can be done, by the setting that asks for it."""

KEY_LENGTH: Final = 32  # hex digits of a prompt's name
KNOWN_LIMIT: Final = 10_000  # conversations of which is remembered that nothing was decided, or what was observed
GENERATIONS: Final = 16  # times that tools are added to a conversation and are still told apart from those of before
LIST_LIMIT: Final = 256 * 1024  # bytes of a list of tools that is put in order; about 0.1 ms per KiB, once
MEMO_BYTES: Final = 16 * 1024 * 1024  # lists that are remembered as arranged, with what took their place
_EPHEMERAL: Final = b'{"type":"ephemeral"}'


class Decided(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What is done to a conversation's requests. `key` names its prompt; empty where none is placed. `tools` says what
    those of its first request are called (see zones.tools.called), which keep their places."""

    sort: bool
    schemas: bool
    markers: bool
    key: str
    tools: bytes = b""


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


class _Marks(msgspec.Struct, frozen=True, gc=False):
    """What of a request may be marked: its tools; all of its prompt, which begins so since turn `since`, or nothing;
    and the ends of its turns."""

    prompt: Prompt | None = None
    since: int = 0
    tools: bool = False
    ends: bool = False


_NONE_MARKED: Final = _Marks()


class Stabiliser:
    """Decides and does it. One per process, for the event loop's thread."""

    def __init__(self, config: Config, ledger: Ledger) -> None:
        self._ledger = ledger
        self._wanted = frozenset(name for name in NAMES if config.on(name))
        self._readers = {d.name: PromptReader(d) for d in DIALECTS if d.shape is not None and not d.shape.under}
        self._never: OrderedDict[bytes, None] = OrderedDict()
        self._observed: OrderedDict[bytes, bytes] = OrderedDict()
        self._kept = KeptPrefixes()
        self._memo: OrderedDict[tuple[bytes, str, bool, bool, bool, tuple[bytes, ...]], Arranged] = OrderedDict()
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
        first = located.fresh_from == 0
        decided = await self._recall(located)
        if decided is None and not (decide and first and self._wanted):
            return UNCHANGED
        top = self._readers[dialect.name].top(body)
        if top is None:
            return UNCHANGED
        own = marks_itself(body, top, located, dialect)
        if own and await self._is_own(located, record=decide and first, observe=observe):
            return UNCHANGED
        if decided is None:
            decided = self._decide(body, top, dialect, policy)
            if decided is not None:
                (kept,) = await self._stick([(_key(located.conversation), _encode(decided))], observe=observe)
                decided = _read(kept)
        if decided is None or decided == _NOTHING:
            return UNCHANGED
        known = await self._known(top, located, dialect, decided, record=decide, observe=observe)
        tools = self._arranged(top, dialect, policy, decided, known)
        marks = _NONE_MARKED
        if decided.markers and policy.add_markers and not own:
            marks = await self._marks(body, top, located, dialect, tools, record=decide, observe=observe)
        if marks.tools:
            tools = self._arranged(top, dialect, policy, decided, known, marked=True)
        return self._apply(body, top, dialect, policy, decided, tools, marks)

    async def _recall(self, located: Located) -> Decided | None:
        key = _key(located.conversation)
        # Only first requests are decided about, and that before they are sent: later ones need not ask again. Another
        # conversation may open alike and be decided about, so it is not by its name alone that one is known here.
        run = _run(located) if self._wanted else key
        if run in self._never:
            self._never.move_to_end(run)
            if located.fresh_from or not self._wanted:
                return None
        (value,) = await self._stuck([key])
        decided = _read(value)
        if decided is None and (located.fresh_from or not self._wanted):
            self._never[run] = None
            if len(self._never) > KNOWN_LIMIT:
                self._never.popitem(last=False)
        return decided

    async def _is_own(self, located: Located, *, record: bool, observe: bool) -> bool:
        """Whether a conversation whose client marks this request has been its client's own from the first request on.
        Else it was begun without markers, and goes on in the order that the provider has cached."""
        key = blake3(b"own" + located.conversation).digest()
        if located.fresh_from == 0:
            if record:
                await self._stick([(key, b"\1")], observe=observe)
            return True
        try:
            return (await self._stuck([key]))[0] is not None
        except StoreDown:
            return False

    async def _known(
        self,
        top: Mapping[str, msgspec.Raw],
        located: Located,
        dialect: Dialect,
        decided: Decided,
        *,
        record: bool,
        observe: bool,
    ) -> list[bytes]:
        """What the tools of a conversation are called: those of its first request, those that came next, and so on."""
        known = [decided.tools] if decided.tools else []
        value = top.get("tools", NONE)
        if not known or len(value) > LIST_LIMIT:
            return known
        new = {*split(called(bytes(value), dialect.tools))}.difference(split(decided.tools))
        while new and len(known) < GENERATIONS:
            key = blake3(b"later" + located.conversation + b"".join(known)).digest()
            try:
                (later,) = await self._stuck([key])
                if later is None and record:
                    (later,) = await self._stick([(key, b"".join(sorted(new)))], observe=observe)
            except StoreDown:
                break
            if later is None:
                break
            known.append(later)
            new.difference_update(split(later))
        return known

    async def _marks(
        self,
        body: bytes,
        top: Mapping[str, msgspec.Raw],
        located: Located,
        dialect: Dialect,
        tools: Arranged | None,
        *,
        record: bool,
        observe: bool,
    ) -> _Marks:
        """What of a prompt is worth marking: what the conversation has sent before as it is now, for what is written
        and never read costs more than it did. A first request is marked at once."""
        prompts = self._readers[dialect.name].prompts
        prompt = prompts.read(body) if prompts is not None else None
        if prompt is None:
            return _NONE_MARKED
        now = max(0, len(prompt.turns) - 1)
        sent = bytes(top.get("tools", NONE)) if tools is None else tools.tools
        under = b"".join(blake3(top.get(name, NONE)).digest() for name in dialect.cached_under)
        beginning = blake3(located.conversation + under + sent).digest()
        keys = [blake3(b"tools" + beginning).digest(), blake3(b"system" + beginning + prompt.system[1]).digest()]
        try:
            found = await self._stuck(keys)
            new = [(key, b"%d" % now) for key, value in zip(keys, found, strict=True) if value is None]
            if new and record:
                kept = dict(zip((key for key, _ in new), await self._stick(new, observe=observe), strict=True))
                found = [value or kept[key] for key, value in zip(keys, found, strict=True)]
        except StoreDown:
            return _NONE_MARKED
        # Not in the request that had it first, unless that was the conversation's: it may be another in the next.
        since = [int(value) if value else now for value in found]
        of_tools, of_system = ((0 if at == 0 else at + 1) <= now for at in since)
        ends = self._kept.keeps(located.conversation, located.plain, located.made_from, second=now == 1)
        return _Marks(prompt if of_system else None, 0 if since[1] == 0 else since[1] + 1, tools=of_tools, ends=ends)

    async def _stuck(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """What was recorded under keys. Raises StoreDown."""
        found = await self._ledger.stickies(keys)
        return [self._observed.get(key) if value is None else value for key, value in zip(keys, found, strict=True)]

    async def _stick(self, entries: Sequence[tuple[bytes, bytes]], *, observe: bool) -> list[bytes]:
        """Record under keys, and return what is recorded there. Raises StoreDown."""
        if not observe:
            return await self._ledger.stick_all(entries)
        self._observed.update(entries)
        while len(self._observed) > KNOWN_LIMIT:
            self._observed.popitem(last=False)
        return [value for _, value in entries]

    def _decide(self, body: bytes, top: Mapping[str, msgspec.Raw], dialect: Dialect, policy: Policy) -> Decided | None:
        """What is to be done from now on; None where nothing is."""
        if continues(top, dialect):
            return None
        wanted = self._wanted
        sort = policy.sort_tools and SORT_TOOLS in wanted
        schemas = policy.sort_tools and SORT_SCHEMA_KEYS in wanted
        markers = policy.add_markers and PLACE_CACHE_CONTROL in wanted and bool(dialect.markable)
        value = top.get("tools", NONE)
        tools = called(bytes(value), dialect.tools) if sort and len(value) <= LIST_LIMIT else b""
        decided = Decided(sort=sort, schemas=schemas, markers=markers, key="", tools=tools)
        if policy.add_cache_key and PLACE_PROMPT_CACHE_KEY in wanted and dialect.cache_key:
            key = self._prompt_key(body, top, dialect, self._arranged(top, dialect, policy, decided, (tools,)))
            decided = msgspec.structs.replace(decided, key=key)
        return None if decided == _NOTHING else decided

    def _prompt_key(self, body: bytes, top: Mapping[str, msgspec.Raw], dialect: Dialect, tools: Arranged | None) -> str:
        """A name for the prompt's beginning: equal for equal model, system text and tools as they go."""
        system = bytes(top.get("instructions", NONE))
        if system in (*ABSENT, b'""'):
            system = self._readers[dialect.name].system(body)
        parts = (bytes(top.get("model", NONE)), system, b"" if tools is None else tools.tools)
        return blake3(b"".join(b"%d:%b" % (len(part), part) for part in parts)).hexdigest()[:KEY_LENGTH]

    def _apply(
        self,
        body: bytes,
        top: Mapping[str, msgspec.Raw],
        dialect: Dialect,
        policy: Policy,
        decided: Decided,
        tools: Arranged | None,
        marks: _Marks,
    ) -> Stable:
        edits: list[Edit] = []
        names: set[str] = set()
        at_end: list[bytes] = []
        if tools is not None:
            begin = address(top["tools"]) - address(body)
            edits += (Edit(begin + edit.start, begin + edit.end, edit.token) for edit in tools.edits)
            names |= {SORT_TOOLS} if tools.moved else set()
            names |= {SORT_SCHEMA_KEYS} if tools.schemas else set()
            names |= {PLACE_CACHE_CONTROL} if tools.marked else set()
        if marks.prompt is not None:
            marker = _marker(dialect)
            size = len(top["tools"]) if tools is not None and tools.marked else 0
            prices = dialect.prices
            places = placed(
                marks.prompt,
                size,
                marker,
                dialect.markable,
                write=prices.write,
                read=prices.read,
                since=marks.since,
                ends=marks.ends,
            )
            edits += places.edits
            at_end += [marker] if places.whole else []
            if places.edits or places.whole:
                names.add(PLACE_CACHE_CONTROL)
        if decided.key and policy.add_cache_key:
            token = b'"%b"' % decided.key.encode()
            given = top.get(dialect.cache_key, NONE)
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
        self,
        top: Mapping[str, msgspec.Raw],
        dialect: Dialect,
        policy: Policy,
        decided: Decided,
        known: Sequence[bytes],
        *,
        marked: bool = False,
    ) -> Arranged | None:
        """The request's tools in order; None where it has none, or too many. The last lists are remembered."""
        value = top.get("tools", NONE)
        if not 0 < len(value) <= LIST_LIMIT:
            return None
        raw = bytes(value)
        sort, schemas = decided.sort and policy.sort_tools, decided.schemas and policy.sort_tools
        name = (blake3(raw).digest(), dialect.name, sort, schemas, marked, tuple(known))
        made = self._memo.get(name)
        if made is None:
            marker = _marker(dialect) if marked else b""
            made = arranged(raw, dialect.tools, sort=sort, schemas=schemas, marker=marker, known=known)
            self._memo[name] = made
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


def _run(located: Located) -> bytes:
    """What tells a conversation from others that open alike: how it was answered, and what followed on that."""
    return blake3(located.conversation + b"".join(located.plain[: located.made_from + 2])).digest()


def _read(value: bytes | None) -> Decided | None:
    try:
        return None if value is None else _read_decided(value)
    except msgspec.MsgspecError:
        return None


def _marker(dialect: Dialect) -> bytes:
    return b'"%b":%b' % (dialect.own_markers[0].encode(), _EPHEMERAL)
