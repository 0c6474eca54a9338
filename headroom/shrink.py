"""One held body: located, replayed, pressed, recorded, spliced.

Only here do zones and ledger meet. What needs neither disk nor long computing is done at once; a body with nothing new
in it costs no await.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import msgspec
from blake3 import blake3

from headroom.config import Config
from headroom.faults import NoMessages, NotJson, StoreDown
from headroom.ledger import WHOLE, Decision, Ledger, Pressing, original_name, text_key
from headroom.lessons import Lesson
from headroom.offering import Earlier, Offer, Offering, Wish, result_name
from headroom.policy import Policy
from headroom.presser import Presser
from headroom.providers import DIALECTS, WHOLE_TOOLS, Dialect
from headroom.receipts import Forwarded, Head, prefix
from headroom.shrunk import GoesOn, Receipt, Row, Skip
from headroom.stabilise import UNCHANGED, Stabiliser, Stable
from headroom.store import SPACE_DECISION, SPACE_TEXT, Name
from headroom.tails import Recall, Tailed, Tails, owner_of
from headroom.weave import TOOL_NAME, Turn
from headroom.zones import marker
from headroom.zones.hints import Hints
from headroom.zones.locate import Located, Locator, Slot, without_markers
from headroom.zones.preamble import Preamble, preamble_of
from headroom.zones.press import Action, Verdict
from headroom.zones.shape import Shape
from headroom.zones.splice import Edit, splice, to_text, to_token
from headroom.zones.structure import beginning
from headroom.zones.volatile import volatile

CHANGES_MEMORY = "memory_update"  # where this tool is offered, memories are told with what their ids are for
MARKERS = 8  # markers in one text that are looked up
TYPES_LIMIT = 256  # unknown item types that are remembered as told

_WHOLE: Final = GoesOn()


class Shrinker:
    """Rewrites bodies. One per process; its locators' memos are used on the event loop's thread only.

    Nothing of the results of tools `left_alone`, in lower case, is left out unless the configuration says otherwise.
    `hints_of` gives, for how a caller pays and a model's family, which forms to try first; None where nothing says it.
    """

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        tails: Tails | None = None,
        left_alone: frozenset[str] = frozenset(),
        hints_of: Callable[[str, str], Hints] | None = None,
    ) -> None:
        self.ledger = ledger
        self.presser = Presser(config)
        self._tails = tails
        self._told_types: frozenset[str] = frozenset()
        self._observe = config.text("compression_mode") == "observe"
        self._frozen_rule = config.on("cache_control_auto_frozen")
        self._fresh_frozen = config.text("fresh_turn") == "frozen"
        self._seeks = config.on("volatile_content")
        self._hints_of = hints_of
        self._policy: Mapping[str, str] = {**dict.fromkeys(left_alone, "lossless"), **config.tool_policy}
        self._offering = Offering(ledger)
        self._stabiliser = Stabiliser(config, ledger)
        self._error_floor = config.whole("error_floor")
        self._locators: Mapping[str, Locator] = {d.name: Locator(d.shape) for d in DIALECTS if d.shape is not None}

    @property
    def observes(self) -> bool:
        """Whether nothing is changed."""
        return self._observe

    async def rewrite(
        self,
        body: bytes,
        dialect: Dialect,
        caller: bytes,
        session: bytes,
        *,
        decide: bool = True,
        wish: Wish | None = None,
        recall: Recall | None = None,
        policy: Policy | None = None,
        learn: bool = False,
        goes_on: GoesOn | None = None,
        advised_as: Callable[[tuple[int, int]], tuple[str, str]] | None = None,
    ) -> Receipt:
        """What to send in `body`'s place.

        - Without `decide` only what was decided before is put in.
        - `wish` says which tools may be offered; None where nothing at all may be added. Texts are cut only where the
          model can fetch them.
        - `recall` says whose memories are appended to the user's words; None for nobody's.
        - `policy` says what may be done outside of results for the provider's cache; None for nothing.
        - With `learn` the receipt has lessons, which depend on the body alone, not on what was learnt before.
        - `goes_on` says what is known of the requests that the body goes on from, where it does not hold them itself.
        - `advised_as` gives how the caller pays and the model's family, given where the body's items are; without it no
          hint is followed.

        Never raises for anything in the body; a fault of ours is the caller's to catch.
        """
        begun = time.perf_counter()
        names: Mapping[str, str] = {}
        goes_on = goes_on or _WHOLE
        shape = dialect.shape
        assert shape is not None, "a dialect without a shape is never rewritten"
        try:
            located = self._locators[dialect.name].locate(body, caller, session, goes_on.conversation)
        except NotJson as fault:
            note = "" if dialect.bare_prompt and isinstance(fault, NoMessages) else fault.name
            return Receipt(body, note=note, locate_ms=_since(begun))
        told = Receipt(
            body,
            frozen=located.frozen,
            items=located.items,
            long_after_short=located.long_after_short,
            unknown_types=located.unknown_types - self._told_types,
            conversation=located.conversation,
            opened=located.opened,
            said=tuple(located.plain[word.item] for word in located.words),
            forwarded=partial(_forwarded, body, shape, located, {}, _Added()),
            volatile=partial(volatile, body, shape, located.fresh_from) if self._seeks and located.items else None,
            locate_ms=_since(begun),
            span=located.span,
            answers=located.answers,
        )
        # Each type is told once; a stream of made-up ones must neither fill the log nor the memory.
        if told.unknown_types and len(self._told_types) < TYPES_LIMIT:
            self._told_types |= told.unknown_types
        adds = not self._observe and (wish is not None or recall is not None)
        wanted = located.old or located.fresh or adds or self._concerns(dialect, policy)
        if not wanted or not (located.utf8 and _is_utf8_outside(body, located.span)):
            return told
        begun = time.perf_counter()
        stable, note = await self._stable(body, located, dialect, policy, decide=decide)
        added = _Added(note=note)
        if wish is not None and not self._observe:
            earlier = Earlier(located.opened, goes_on.given) if goes_on is not _WHOLE else None
            added = await self._added(body, located, dialect, shape, wish, recall, caller, earlier)
        offer = added.offer
        decisions, note = await self._recalled(located, note or added.note)
        store_ms = _since(begun)
        cut = frozenset(key for key, known in decisions.items() if known.original)
        if offer is None or not offer.redeems:
            # A marker that nobody could redeem is never sent: the original goes in its place.
            decisions = {key: known for key, known in decisions.items() if key not in cut}
        undecided = [
            slot
            for slot in located.fresh
            if slot.key not in decisions and slot.key not in cut and (goes_on.typed or slot.call_id)
        ]
        work = _Fresh(body, located, undecided, note, offer)
        work.learns = learn and not self._observe
        if undecided and decide and advised_as is not None and self._hints_of is not None:
            work.hints = self._hints_of(*advised_as(located.span))
        if located.fresh:
            if undecided and decide:
                names = {**goes_on.called, **self._locators[dialect.name].tool_names(body, located.fresh_from)}
            for slot in located.fresh:
                if (known := decisions.get(slot.key)) is not None:
                    work.rows.append(_replayed(slot, names, known))
                elif slot.key in cut:
                    work.rows.append(_row(slot, names, "not_offered"))
        if undecided and decide:
            begun = time.perf_counter()
            pressings = await self._decide(work, names)
            press_ms = _since(begun)
            begun = time.perf_counter()
            await self._record(work, pressings, decisions)
            store_ms += _since(begun)
        else:
            press_ms = 0.0
        tailed = await self._tail(work, recall, goes_on.said, decide=decide)
        added = msgspec.structs.replace(added, offer=work.offer, tailed=tailed, stable=stable)
        await self._renew(work, decisions)
        receipt = self._splice(body, located, decisions, work.new, added)
        return msgspec.structs.replace(
            told,
            forwarded=partial(_forwarded, body, shape, located, decisions, added),
            tailed=None if tailed is None else msgspec.structs.replace(tailed, tails={}, items={}),
            body=receipt.body,
            decided=receipt.decided,
            replayed=receipt.replayed,
            tokens_before=receipt.tokens_before,
            tokens_after=receipt.tokens_after,
            decided_saved=receipt.decided_saved,
            rows=tuple(work.rows),
            note=work.note,
            observed=self._observe,
            cut=receipt.cut,
            ours=work.offer.ours if work.offer is not None else frozenset(),
            given=work.offer.unrecorded if work.offer is not None else None,
            turns=added.turns,
            places=tuple(added.places),
            last_call=last_call(located),
            stabilised=stable.names,
            store_ms=store_ms,
            press_ms=press_ms,
            lessons=tuple(work.lessons),
        )

    async def _recalled(self, located: Located, note: str) -> tuple[dict[bytes, Decision], str]:
        """The decisions there are on a body's slots, and `note`, or what went wrong."""
        old, fresh = [slot.key for slot in located.old], [slot.key for slot in located.fresh]
        try:
            return await self.ledger.recall(old, fresh), note
        except StoreDown as fault:
            return self.ledger.known([*old, *fresh]), fault.name

    async def _added(
        self,
        body: bytes,
        located: Located,
        dialect: Dialect,
        shape: Shape,
        wish: Wish,
        recall: Recall | None,
        caller: bytes,
        earlier: Earlier | None,
    ) -> _Added:
        """What is added to a body besides shorter texts."""
        preamble = preamble_of(body, shape)
        if preamble.several or preamble.kept:
            # Of several answers none can be gone on with: a call of ours would be the client's to answer. And where the
            # provider keeps the conversation, what goes on would be in it twice.
            return _Added(preamble)
        offer: Offer | None = None
        places: Sequence[bytes] = ()
        hidden: Sequence[Edit] = ()
        within: Sequence[int] = ()
        note, turns = "", located.conversation
        try:
            offer = await self._offering.offer(body, preamble, located, dialect, wish, earlier)
            if offer is not None and (offer.ours or offer.possible):
                items = self._locators[dialect.name].items(body)
                turns = _turns(located.conversation, offer, recall, caller)
                places = self._offering.places(items, msgspec.structs.replace(located, conversation=turns), dialect)
                if offer.ours:
                    hidden = await self._offering.hidden(items, dialect, places)
                    starts = [start for start, _ in items]
                    within = [max(0, bisect_right(starts, edit.start) - 1) for edit in hidden]
        except StoreDown as fault:
            note = fault.name
        return _Added(preamble, offer, places, hidden, note, turns=turns, within=within)

    async def _tail(self, work: _Fresh, recall: Recall | None, said: Sequence[bytes], *, decide: bool) -> Tailed | None:
        """What is appended to the user's words."""
        if recall is None or self._tails is None or self._observe:
            return None
        located = work.located
        open_from = located.frozen if self._fresh_frozen and self._frozen_rule else 0
        decide = decide and not work.note
        changes = work.offer is not None and CHANGES_MEMORY in work.offer.ours
        return await self._tails.of(
            work.body, located, recall, said, open_from=open_from, with_tools=changes, decide=decide
        )

    def _concerns(self, dialect: Dialect, policy: Policy | None) -> bool:
        return policy is not None and self._stabiliser.concerns(dialect, policy)

    async def _stable(
        self, body: bytes, located: Located, dialect: Dialect, policy: Policy | None, *, decide: bool
    ) -> tuple[Stable, str]:
        """What is done for the provider's cache, and the name of the fault that kept it from being done."""
        if policy is None:
            return UNCHANGED, ""
        try:
            return await self._stabiliser.edits(
                body, located, dialect, policy, decide=decide, observe=self._observe
            ), ""
        except StoreDown as fault:
            return UNCHANGED, fault.name

    async def _record(self, work: _Fresh, pressings: list[Pressing], decisions: dict[bytes, Decision]) -> None:
        """Keep what was decided before it is sent; where that fails, nothing was decided."""
        if self._observe:
            decisions.update({pressing.key: pressing.decision for pressing in pressings})
            work.new = frozenset(pressing.key for pressing in pressings)
            return
        if pressings:
            try:
                if work.offer is not None and any(pressing.decision.original for pressing in pressings):
                    work.offer = await self._offering.certain(work.offer)
                kept = await self.ledger.record(pressings)
                if work.offer is None or not work.offer.redeems:
                    # Another request, which offers the tool, may have been quicker.
                    kept = {key: known for key, known in kept.items() if not known.original}
                decisions.update(kept)
                work.new = frozenset(kept)
            except StoreDown as fault:
                work.note = fault.name
                work.lessons.clear()
                work.rows = [
                    msgspec.structs.replace(row, action="store_down") if row.action == "pressed" else row
                    for row in work.rows
                ]
        if work.note:
            # What goes whole now because of a fault must not go otherwise when the same request is sent again.
            self.ledger.went_whole([slot.key for slot in work.slots if slot.key not in decisions])

    async def _renew(self, work: _Fresh, decisions: Mapping[bytes, Decision]) -> None:
        """Renew what is replayed, so that nothing of a conversation that goes on expires.

        Originals of texts that were cut are written again where they are gone: their text is in the body.
        """
        if self._observe:
            return
        slots: dict[Name, Slot] = {}
        originals: dict[str, Slot] = {}
        for slot in (*work.located.old, *work.located.fresh):
            decision = decisions.get(slot.key)
            if decision is None or slot.key in work.new:
                continue
            slots[SPACE_DECISION, slot.key] = slot
            if decision.original:
                originals[decision.original] = slot
        due = self.ledger.due([*slots, *map(original_name, originals)], time.monotonic())
        if not due:
            return
        lost = {hash_: slot for hash_, slot in originals.items() if original_name(hash_) in set(due)}
        if lost:
            try:
                await self.ledger.keep_originals({h: to_text(work.token(slot)) for h, slot in lost.items()})
            except StoreDown as fault:
                work.note = fault.name
        renewed = [name for name in due if name[0] == SPACE_DECISION]
        self.ledger.renew([*renewed, *((SPACE_TEXT, work.text_key(slots[name])) for name in renewed)])

    def _splice(
        self,
        body: bytes,
        located: Located,
        decisions: Mapping[bytes, Decision],
        new: frozenset[bytes],
        added: _Added,
    ) -> Receipt:
        """Put every decision in its place: new ones, and all that were made before; and what else is added.

        Tails are put at the end of the tokens that end there, also of those that are replaced.
        """
        tails, inserts = added.tails, added.inserts
        edits: list[Edit] = []
        before = after = saved = cut = 0
        for slots in (located.old, located.fresh):
            for slot in slots:
                decision = decisions.get(slot.key)
                if decision is None:
                    continue
                if not decision.token:
                    continue
                cut += bool(decision.original)
                tail = tails.get(slot.end)
                token = decision.token if tail is None else decision.token[:-1] + tail + b'"'
                edits.append(Edit(slot.start, slot.end, token))
                before += decision.before
                after += decision.after
                if slot.key in new:
                    saved += decision.before - decision.after
        replaced = {edit.end for edit in edits}
        appended = [Edit(end - 1, end - 1, tail) for end, tail in tails.items() if end not in replaced]
        if not edits and not inserts and not appended:
            return Receipt(body)
        decided = sum(1 for slot in located.fresh if slot.key in new and decisions[slot.key].token)
        out = body if self._observe else splice(body, edits, [*inserts, *appended])
        return Receipt(out, decided, len(edits) - decided, before, after, saved, cut=cut)

    async def _decide(self, work: _Fresh, names: Mapping[str, str]) -> list[Pressing]:
        """Press the fresh slots that may be pressed, note what became of each, and return what is to be recorded."""
        jobs: list[tuple[Slot, str]] = []
        for slot in work.slots:
            text, skip = await self._admit(slot, work, names)
            if skip:
                work.rows.append(_row(slot, names, skip))
            else:
                jobs.append((slot, text))
        if not jobs:
            return []
        try:
            before = await self.ledger.first_pressings([work.text_key(slot) for slot, _ in jobs])
        except StoreDown as fault:
            work.note = fault.name
            work.rows += [_row(slot, names, "store_down") for slot, _ in jobs]
            return []
        pressings: list[Pressing] = []
        again = {slot.key for slot, _ in jobs if before.get(work.text_key(slot), slot.key) != slot.key}
        for slot, _ in jobs:
            if slot.key in again:
                work.rows.append(_row(slot, names, Action.PRESSED_BEFORE))
                pressings.append(Pressing(slot.key, b"", WHOLE))
                if work.learns:
                    first = before[work.text_key(slot)]
                    work.lessons.append(Lesson(_tool(slot, names), Action.PRESSED_BEFORE, first))
        jobs = [(slot, text) for slot, text in jobs if slot.key not in again]
        cuts = work.offer is not None and work.offer.cuts and work.note == ""
        texts = [(text, cuts and self._may_cut(slot, names)) for slot, text in jobs]
        verdicts, late = await self.presser.press(texts, work.hints)
        work.note = late or work.note
        for (slot, text), (verdict, ms) in zip(jobs, verdicts, strict=False):
            token = to_token(verdict.text) if verdict.action is Action.PRESSED else b""
            if work.learns and verdict.action is not Action.BELOW_FLOOR:
                work.lessons.append(_lesson(slot, names, text, verdict, ms))
            work.rows.append(_row(slot, names, verdict.action, verdict, len(token), ms))
            if token:
                original = marker.key(text) if verdict.cut else ""
                decision = Decision(token, verdict.before, verdict.after, verdict.form, original)
                pressings.append(Pressing(slot.key, work.text_key(slot), decision, text if verdict.cut else ""))
        for slot, _ in jobs[len(verdicts) :]:
            work.rows.append(_row(slot, names, "late"))
            pressings.append(Pressing(slot.key, b"", WHOLE))
        return pressings

    async def _admit(self, slot: Slot, work: _Fresh, names: Mapping[str, str]) -> tuple[str, Skip | None]:
        """The slot's text, or why it is left alone."""
        if work.note == "store_down":
            return "", "store_down"
        if self._fresh_frozen and self._frozen_rule and slot.item < work.located.frozen:
            return "", "frozen"
        tool = _tool(slot, names)
        if self._policy.get(tool.lower()) == "none":
            return "", "tool_policy"
        if tool == TOOL_NAME or tool.endswith("__" + TOOL_NAME):
            return "", "retrieved"
        try:
            text = to_text(work.token(slot))
        except ValueError:
            return "", "unreadable"
        if slot.error and len(text) <= self._error_floor:
            return "", "error_result"
        if marker.BEGIN in text and await self._is_marked(text):
            return "", "marked"
        return text, None

    async def _is_marked(self, text: str) -> bool:
        """Whether a text carries a marker of ours: it was cut before, somewhere else. Others' markers are just text."""
        for hash_ in marker.find_markers(text)[:MARKERS]:
            try:
                if await self.ledger.original(hash_) is not None:
                    return True
            except StoreDown:
                return True
        return False

    def _may_cut(self, slot: Slot, names: Mapping[str, str]) -> bool:
        """Whether something of a slot's text may be left out: never of what a person typed, nor of what an agent
        needs to edit by."""
        tool = _tool(slot, names).lower()
        policy = self._policy.get(tool)
        if slot.typed or policy == "lossless":
            return False
        return policy == "reversible" or tool not in WHOLE_TOOLS

    async def keep_turn(self, receipt: Receipt, anchor: bytes, turn: Turn) -> None:
        """Keep a turn that the client sees in part, which answers the request of `receipt`. Raises StoreDown."""
        await self._offering.keep(receipt.turns, receipt.places, receipt.items, anchor, turn, receipt.last_call)


class _Added(msgspec.Struct, frozen=True, gc=False):
    """What is added to one body: tools, what the client never saw, and memories. `places`: see Offering.places,
    `turns`: see Receipt, `within`: the item that each of `hidden` is in."""

    preamble: Preamble | None = None
    offer: Offer | None = None
    places: Sequence[bytes] = ()
    hidden: Sequence[Edit] = ()
    note: str = ""
    tailed: Tailed | None = None
    stable: Stable = UNCHANGED
    turns: bytes = b""
    within: Sequence[int] = ()

    @property
    def inserts(self) -> list[Edit]:
        """Edits of what stands between the tokens of the body."""
        return [*self.stable.edits, *(self.offer.edits if self.offer is not None else ()), *self.hidden]

    @property
    def tails(self) -> Mapping[int, bytes]:
        """What is put at the end of tokens, by where those end."""
        return self.tailed.tails if self.tailed is not None else {}


class _Fresh:
    """The fresh slots of one body while they are being decided, and what became of them."""

    __slots__ = ("body", "hints", "learns", "lessons", "located", "new", "note", "offer", "rows", "slots")

    def __init__(self, body: bytes, located: Located, slots: list[Slot], note: str, offer: Offer | None) -> None:
        self.offer = offer
        self.body = body
        self.located = located
        self.slots = slots
        self.note = note
        self.rows: list[Row] = []
        self.new: frozenset[bytes] = frozenset()
        self.learns = False
        self.hints: Hints | None = None
        self.lessons: list[Lesson] = []

    def token(self, slot: Slot) -> bytes:
        """The slot's bytes, quotes included."""
        return self.body[slot.start : slot.end]

    def text_key(self, slot: Slot) -> bytes:
        """The name of the slot's text within its conversation."""
        return text_key(self.located.conversation, self.token(slot))


def _turns(conversation: bytes, offer: Offer, recall: Recall | None, caller: bytes) -> bytes:
    """The name that a conversation's hidden turns are kept under.

    Two callers may open alike and be answered alike. What other tools than the retrieve tool told the one is not for
    the other; an original is asked for only behind a result, whose call no two have in common.
    """
    if not offer.ours - {TOOL_NAME}:
        return conversation
    scope = None if recall is None else recall.scope
    owner = caller if scope is None else owner_of(scope)
    return blake3(b"turns" + conversation + owner).digest()


def last_call(located: Located) -> bytes:
    """What the last result in a body is known by; empty where there is none."""
    return next(filter(None, map(result_name, reversed([*located.old, *located.fresh]))), b"")


def _forwarded(
    body: bytes, shape: Shape, located: Located, decisions: Mapping[bytes, Decision], added: _Added
) -> Forwarded:
    """A request's digests, as it came and as it goes; see receipts.

    Cost: a hash of instructions and tools, and one per item with something replaced.
    """
    went = list(located.plain)
    put: dict[int, list[bytes]] = {}
    for slot in (*located.old, *located.fresh):
        decision = decisions.get(slot.key)
        if decision is not None and decision.token:
            put.setdefault(slot.item, []).append(decision.token)
    for item, edit in zip(added.within, added.hidden, strict=True):
        put.setdefault(item, []).append(edit.token)
    for item, tail in (added.tailed.items if added.tailed is not None else {}).items():
        put.setdefault(item, []).append(tail)
    for item, tokens in put.items():
        went[item] = blake3(went[item] + b"".join(tokens)).digest()
    parts, first = added.preamble or preamble_of(body, shape), located.instructing
    system = b"\0".join(
        [*(without_markers(bytes(raw), shape.marker) for _, raw in parts.system), *located.plain[:first]]
    )
    tools = without_markers(bytes(parts.tools), shape.marker)
    ours = b"".join(edit.token for edit in added.offer.edits) if added.offer is not None else b""
    arranged = b"" if added.stable.tools is None else blake3(without_markers(added.stable.tools, shape.marker)).digest()
    head = Head(blake3(system).digest(), blake3(tools).digest(), ours and blake3(ours).digest(), arranged, first)
    return prefix(head, located.plain, went)


def _tool(slot: Slot, names: Mapping[str, str]) -> str:
    """The name of the tool that a slot is a result of; empty where nothing says it."""
    return slot.tool or names.get(slot.call_id, "")


def _replayed(slot: Slot, names: Mapping[str, str], known: Decision) -> Row:
    size = slot.end - slot.start
    out = len(known.token) or size
    return Row(slot.item, _tool(slot, names), "replayed", "", known.form, size, out, known.before, known.after)


def _row(
    slot: Slot, names: Mapping[str, str], action: str, verdict: Verdict | None = None, size: int = 0, ms: float = 0.0
) -> Row:
    tool = _tool(slot, names)
    if verdict is None:
        return Row(slot.item, tool, action, bytes_in=slot.end - slot.start)
    return Row(
        slot.item,
        tool,
        str(action),
        str(verdict.kind),
        verdict.form,
        slot.end - slot.start,
        size,
        verdict.before,
        verdict.after,
        round(ms, 3),
    )


def _lesson(slot: Slot, names: Mapping[str, str], text: str, verdict: Verdict, ms: float) -> Lesson:
    original = marker.key(text) if verdict.cut else ""
    tokens = (verdict.before, verdict.after)
    return Lesson(
        _tool(slot, names), verdict.action, slot.key, beginning(text), verdict.kind, verdict.form, original, *tokens, ms
    )


def _is_utf8_outside(body: bytes, span: tuple[int, int]) -> bool:
    """Whether the body is valid UTF-8 before and after its items; they themselves were checked one by one."""
    view = memoryview(body)
    try:
        str(view[: span[0]], "utf-8")
        str(view[span[1] :], "utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _since(begun: float) -> float:
    return (time.perf_counter() - begun) * 1000
