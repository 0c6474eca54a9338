"""Pressing without a proxy: messages or a whole request body in, the same with shorter tool results out.

    from headroom import compress

    result = compress(messages, model="gpt-5")
    client.chat.completions.create(model="gpt-5", messages=result.messages)

What is made of a text depends on the text, its tool and the policy alone, so a history that is compressed again on
every turn comes out the same every time, and the provider's prompt cache holds.

With `policy="reversible"` something may be left out of a text, which then ends with a marker that names its hash.
`Result.originals` has those texts by hash: whoever calls keeps them, before the messages go anywhere, and answers a
model that asks for one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec
import orjson
from blake3 import blake3

from headroom import providers
from headroom.faults import NotJson
from headroom.providers import WHOLE_TOOLS, Dialect
from headroom.weave import TOOL_NAME
from headroom.zones import marker, yardstick
from headroom.zones.excerpt import excerpt
from headroom.zones.forms import Style
from headroom.zones.locate import Locator, Slot
from headroom.zones.press import Action, Floors, Verdict, press
from headroom.zones.splice import Edit, splice, to_text, to_token

Json: TypeAlias = "str | int | float | bool | Sequence[Json] | Mapping[str, Json] | None"
Policy: TypeAlias = Literal["lossless", "reversible", "none"]

ERROR_FLOOR = 8000  # characters up to which a result that is marked as an error stays as it is


class Row(msgspec.Struct, frozen=True, gc=False):
    """What became of one text. `item` is the index of its message; `kind`, `form` and `action` as in press.Verdict.

    `original` is the hash that names `text` in `pressed`, where something was left out.
    """

    item: int
    tool: str
    action: str
    kind: str
    form: str
    before: int
    after: int
    text: str
    pressed: str
    original: str = ""


class Result(msgspec.Struct, frozen=True, gc=False):
    """Compressed messages, or a compressed body.

    `messages` are the given objects, but for those in which something changed. `body` is empty where messages were
    given. Tokens are by the yardstick, over the texts that were looked at; `compression_ratio` is the share saved,
    0 to 1. `transforms_applied` names the forms, each once, in order. `rows` is the manifest. `originals` are the texts
    of which something was left out, by the hash in their marker, and `ccr_hashes` those hashes in order.
    """

    messages: Sequence[Json]
    body: bytes
    tokens_before: int
    tokens_after: int
    compression_ratio: float
    transforms_applied: tuple[str, ...]
    rows: tuple[Row, ...] = ()
    originals: Mapping[str, str] = {}

    @property
    def ccr_hashes(self) -> tuple[str, ...]:
        """The hashes of `originals`, in the order of their texts."""
        return tuple(self.originals)

    @property
    def tokens_saved(self) -> int:
        """Tokens saved by the yardstick."""
        return self.tokens_before - self.tokens_after


def compress(
    given: Sequence[Json] | Mapping[str, Json] | bytes | str,
    model: str = "",
    policy: Policy = "lossless",
    *,
    floors: Floors | None = None,
    style: Style = Style.PLAIN,
    tools: Mapping[str, Policy] | None = None,
    typed: bool = False,
    measure: yardstick.Yardstick | None = None,
) -> Result:
    """Shorten the tool results in `given`: a list of messages, or a request body as JSON text or as an object.

    Any dialect that the proxy knows is told by its shape.

    - `policy` says what may be done: `lossless`, `reversible` (leave something out as well, see Result.originals, but
      of no result that agents edit by), or `none`. `tools` says it for tools by name, where a tool may be `reversible`
      only if `policy` is.
    - With `typed`, texts that a person typed are looked at too, where they are data.
    - `model` is accepted for callers that pass it on; the yardstick is the same for every model.

    Never makes anything longer by the yardstick, never raises for what a text holds, and gives back what cannot be read
    as it came. Raises TypeError for what is neither. Cost: linear, most of it for texts that are pressed; the first
    call loads the token ranks (about 0.6 s).
    """
    del model
    body, wrapped = _body(given)
    if not body or policy == "none":
        return _unchanged(given, body)
    located = _locate(body)
    if located is None:
        return _unchanged(given, body)
    slots, names = located
    judge = _Judge(floors or Floors(), measure or yardstick.o200k(), style, tools or {}, typed, policy == "reversible")
    edits: list[Edit] = []
    rows: list[Row] = []
    for slot in slots:
        row = judge(slot, slot.tool or names.get(slot.call_id, ""), body)
        rows.append(row)
        if row.action == Action.PRESSED:
            edits.append(Edit(slot.start, slot.end, to_token(row.pressed)))
    out = splice(body, edits) if edits else body
    before, after = sum(row.before for row in rows), sum(row.after for row in rows)
    return Result(
        messages=_merged(given, out, {row.item for row in rows if row.action == Action.PRESSED}) if wrapped else (),
        body=b"" if wrapped else out,
        tokens_before=before,
        tokens_after=after,
        compression_ratio=round(1 - after / before, 4) if before else 0.0,
        transforms_applied=tuple(dict.fromkeys(row.form for row in rows if row.action == Action.PRESSED)),
        rows=tuple(rows),
        originals={row.original: row.text for row in rows if row.original},
    )


class _Judge:
    """Decides on one text after the other. A text that came before under another call id was asked for twice."""

    def __init__(
        self,
        floors: Floors,
        measure: yardstick.Yardstick,
        style: Style,
        tools: Mapping[str, Policy],
        typed: bool,
        cuts: bool,
    ) -> None:
        self._floors = floors
        self._measure = measure
        self._style = style
        self._tools = {name.lower(): policy for name, policy in tools.items()}
        self._typed = typed
        self._cuts = cuts
        self._first: dict[bytes, str] = {}

    def __call__(self, slot: Slot, tool: str, body: bytes) -> Row:
        token = body[slot.start : slot.end]
        try:
            text = to_text(token)
        except ValueError:
            return Row(slot.item, tool, "unreadable", "", "", 0, 0, "", "")
        verdict, skip = self._judged(slot, tool, text, token)
        if verdict is None:
            before = self._measure.count(text)
            return Row(slot.item, tool, skip, "", "", before, before, text, "")
        before = verdict.before or self._measure.count(text)
        pressed = verdict.action is Action.PRESSED
        after = verdict.after if pressed else before
        return Row(
            slot.item,
            tool,
            str(verdict.action),
            str(verdict.kind),
            verdict.form,
            before,
            after,
            text,
            verdict.text,
            marker.key(text) if pressed and verdict.cut else "",
        )

    def _judged(self, slot: Slot, tool: str, text: str, token: bytes) -> tuple[Verdict | None, str]:
        if slot.typed and not self._typed:
            return None, "typed"
        rule = self._tools.get(tool.lower())
        if rule == "none":
            return None, "tool_policy"
        if tool == TOOL_NAME or tool.endswith("__" + TOOL_NAME):
            return None, "retrieved"
        if slot.error and len(text) <= ERROR_FLOOR:
            return None, "error_result"
        if self._first.setdefault(blake3(token).digest(), slot.call_id) != slot.call_id:
            return None, str(Action.PRESSED_BEFORE)
        if marker.find_markers(text.rpartition("\n")[2]):
            return None, "marked"  # it was cut before, here or elsewhere
        whole = slot.typed or rule == "lossless" or (rule != "reversible" and tool.lower() in WHOLE_TOOLS)
        shorten = excerpt if self._cuts and not whole else press
        return shorten(text, self._floors, self._measure, self._style), ""


def _body(given: Sequence[Json] | Mapping[str, Json] | bytes | str) -> tuple[bytes, bool]:
    """`given` as a request body, and whether a list was put into one; ``b""`` where it cannot be written as JSON."""
    if isinstance(given, bytes):
        return given, False
    if isinstance(given, str):
        return given.encode("utf-8", "surrogatepass"), False
    if not isinstance(given, Mapping | Sequence):
        raise TypeError(f"compress takes a list of messages or a request body, not {type(given).__name__}")
    wrapped = isinstance(given, Sequence)
    try:
        return orjson.dumps({"messages": list(given)} if isinstance(given, Sequence) else dict(given)), wrapped
    except (TypeError, orjson.JSONEncodeError):
        # Numbers beyond 64 bits, or objects of other types: nothing here is worth guessing at.
        return b"", wrapped


def _locate(body: bytes) -> tuple[list[Slot], dict[str, str]] | None:
    """All slots of a body in order, and the names of the tools by call id; None where it is no dialect's body."""
    try:
        top = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    dialect = dialect_of(top)
    if dialect is None or dialect.shape is None:
        return None
    locator = Locator(dialect.shape)
    try:
        located = locator.locate(body, b"")
    except NotJson:
        return None
    if not located.utf8:
        return None
    names = locator.tool_names(body, located.items, every=True)
    return sorted([*located.old, *located.fresh], key=lambda slot: slot.start), names


def dialect_of(top: object) -> Dialect | None:
    """The dialect of a decoded body, by its shape: one with results of that dialect, else the first that fits."""
    fitting = [(dialect, items) for dialect in providers.DIALECTS if (items := _items(top, dialect)) is not None]
    for dialect, items in fitting:
        assert dialect.shape is not None
        result = dialect.shape.result
        if any(isinstance(item, dict) and item.get(result.tag) in result.tags for item in items):
            return dialect
    return fitting[0][0] if fitting else None


def _items(top: object, dialect: Dialect) -> list[object] | None:
    """The list of turns in a decoded body; None where it has none of this dialect."""
    shape = dialect.shape
    if shape is None or not isinstance(top, dict):
        return None
    holder = top.get(shape.under) if shape.under else top
    items = holder.get(shape.items) if isinstance(holder, dict) else None
    return items if isinstance(items, list) else None


def _merged(given: Sequence[Json] | Mapping[str, Json] | bytes | str, out: bytes, changed: set[int]) -> list[Json]:
    """The given messages, those in which something changed read from the new body."""
    made = json.loads(out)["messages"]
    messages = list(given) if isinstance(given, Sequence) else []
    return [made[at] if at in changed else message for at, message in enumerate(messages)]


def _unchanged(given: Sequence[Json] | Mapping[str, Json] | bytes | str, body: bytes) -> Result:
    if isinstance(given, Mapping) and not body:
        raise TypeError("the body holds what JSON cannot: only strings, 64-bit numbers, lists and objects can be read")
    if isinstance(given, Sequence) and not isinstance(given, bytes | str):
        return Result(list(given), b"", 0, 0, 0.0, ())
    return Result((), body, 0, 0, 0.0, ())
