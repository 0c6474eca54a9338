"""One turn of the dialect whose answers are deltas of a message: what was said, what was hidden, and its counts.

A turn is one text and a list of calls. A place in a `Round` is of two kinds: `end` counts the characters of the whole
turn's text, and an insert's place counts the client's calls of its round that stand before the hidden one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec
import orjson
from blake3 import blake3

from headroom.weave import Call, Round, Turn
from headroom.weavers import AnswerRounds
from headroom.zones.places import UNREADABLE
from headroom.zones.splice import any_token

THOUGHTS = ("reasoning_content", "reasoning")  # members of a message in which a model thinks
_GOES_ON = ("tool_calls", "stop", "function_call")


_NULL = msgspec.Raw(b"null")


class Function(msgspec.Struct, gc=False):
    """The function of a call, or a piece of it."""

    name: str | None = None
    arguments: str | None = None


class ToolCall(msgspec.Struct, gc=False):
    """A call, or a piece of it."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None
    extra_content: msgspec.Raw = _NULL


class Message(msgspec.Struct, gc=False):
    """What one message says, or one delta of it."""

    role: str | None = None
    content: str | list[msgspec.Raw] | None = None
    tool_calls: list[ToolCall] | None = None
    reasoning_content: msgspec.Raw = _NULL
    reasoning: msgspec.Raw = _NULL


class Choice(msgspec.Struct, gc=False):
    """One of the answers in a chunk or a document."""

    index: int = 0
    delta: Message | None = None
    message: Message | None = None
    finish_reason: str | None = None


class Answer(msgspec.Struct, gc=False):
    """A chunk, or a whole document."""

    choices: list[Choice] | None = None
    error: msgspec.Raw = _NULL


class _TextPart(msgspec.Struct, gc=False):
    type: Literal["text"]
    text: str


_read_answer = msgspec.json.Decoder(Answer).decode
_read_message = msgspec.json.Decoder(Message).decode
_read_part = msgspec.json.Decoder(_TextPart).decode
_read_text = msgspec.json.Decoder(str).decode


def read_answer(data: bytes) -> Answer | None:
    """Read a chunk or a document; None where it is neither."""
    try:
        return _read_answer(data)
    except UNREADABLE:
        return None


def read_message(item: bytes) -> Message | None:
    """Read a message of a request; None where it is none."""
    try:
        return _read_message(item)
    except UNREADABLE:
        return None


def text_of(message: Message) -> str:
    """The text of a message: its content, or that of its parts joined."""
    if message.content is None or isinstance(message.content, str):
        return message.content or ""
    said: list[str] = []
    for part in message.content:
        try:
            said.append(_read_part(part).text)
        except UNREADABLE:
            continue
    return "".join(said)


def thoughts_of(message: Message) -> dict[str, str]:
    """What a message holds of the model's thoughts, by member; those that are not empty."""
    found: dict[str, str] = {}
    for key, raw in zip(THOUGHTS, (message.reasoning_content, message.reasoning), strict=True):
        try:
            text = _read_text(raw)
        except UNREADABLE:
            continue
        if text:
            found[key] = text
    return found


def anchor(text: str, calls: Iterable[ToolCall]) -> bytes:
    """What a turn is found by; ``b""`` where nothing of it is visible."""
    said: list[str | list[str]] = [text]
    for call in calls:
        function = call.function or Function()
        said.append([call.id] if call.id else [function.name or "", function.arguments or ""])
    if said == [""]:
        return b""
    try:
        return blake3(orjson.dumps(said)).digest()
    except TypeError:
        return b""


def assistant(text: str, calls: Iterable[bytes], thought: bytes = b"") -> bytes:
    """The model's message with these calls, as clients write it. `thought`: see headroom.weave.Round."""
    said = any_token(text) if text else b"null"
    more = b"%b," % thought if thought else b""
    return b'{"role":"assistant","content":%b,%b"tool_calls":[%b]}' % (said, more, b",".join(calls))


class Spoken(msgspec.Struct, gc=False):
    """One call of a round. `place`: the client's calls before it. `index`: what its pieces are numbered by, without
    the hidden calls. `hidden`: whether the client never sees it, which is known from its first piece on. `extra`: a
    signature that has to come back with it."""

    id: str
    name: str
    arguments: list[str]
    place: int
    index: int
    hidden: bool
    extra: bytes = b""

    @property
    def raw(self) -> bytes:
        """The call as a message holds it."""
        return b'{"id":%b,"type":"function","function":{"name":%b,"arguments":%b}%b}' % (
            any_token(self.id),
            any_token(self.name),
            any_token("".join(self.arguments)),
            b',"extra_content":%b' % self.extra if self.extra else b"",
        )

    @property
    def call(self) -> ToolCall:
        """The call as it is read from a message."""
        return ToolCall(None, self.id, Function(self.name, "".join(self.arguments)))


class Said(msgspec.Struct):
    """What a round has said so far. Calls of `ours` are hidden."""

    ours: frozenset[str]
    text: list[str] = msgspec.field(default_factory=list)
    calls: list[Spoken] = msgspec.field(default_factory=list)
    thoughts: dict[str, list[str]] = msgspec.field(default_factory=dict)
    slots: dict[int, Spoken] = msgspec.field(default_factory=dict)
    used: dict[tuple[str, ...], int] = msgspec.field(default_factory=dict)

    def take(self, message: Message) -> list[Spoken]:
        """Add a delta. Returns the call that each of its pieces belongs to."""
        text = text_of(message)
        if text:
            self.text.append(text)
        for key, thought in thoughts_of(message).items():
            self.thoughts.setdefault(key, []).append(thought)
        pieces: list[Spoken] = []
        for at, piece in enumerate(message.tool_calls or ()):
            index = piece.index if piece.index is not None else at
            function = piece.function or Function()
            spoken = self.slots.get(index)
            if spoken is None or (piece.id and function.name and piece.id != spoken.id):
                before = sum(one.hidden for slot, one in self.slots.items() if slot < index)
                hidden = function.name in self.ours
                spoken = Spoken(piece.id or "", function.name or "", [], self.visible, index - before, hidden)
                self.calls.append(spoken)
                self.slots[index] = spoken
            elif not spoken.name and not spoken.hidden:
                spoken.name = function.name or ""
            if piece.extra_content != _NULL:
                spoken.extra = bytes(piece.extra_content)
            if function.arguments:
                spoken.arguments.append(function.arguments)
            pieces.append(spoken)
        return pieces

    @property
    def visible(self) -> int:
        """How many of the calls are the client's."""
        return sum(not call.hidden for call in self.calls)

    @property
    def hides(self) -> bool:
        """Whether a call is hidden."""
        return any(call.hidden for call in self.calls)


class Rounds(AnswerRounds):
    """The rounds of a turn so far, and the one that waits for results."""

    def __init__(self, ours: frozenset[str]) -> None:
        super().__init__("messages", "usage")
        self.said = Said(ours)
        self.told = ""
        self.thought: dict[str, str] = {}
        self._kept: list[Round] = []
        self._calls: list[Spoken] = []

    def ends(self, finish: str) -> bool:
        """Whether a round that ends so waits for results."""
        return self.said.hides and finish in _GOES_ON

    def end(self) -> None:
        """The round has come to its end, and waits for results; what follows it are counts."""
        calls = [Call(one.id, one.name, "".join(one.arguments).encode()) for one in self.said.calls if one.hidden]
        self.wait(calls, self.said.visible > 0)

    def settle(self, results: Sequence[str]) -> None:
        """The waiting round is answered; the next begins."""
        said, text = self.said, "".join(self.said.text)
        hidden = [one for one in said.calls if one.hidden]
        answers = tuple(
            b'{"role":"tool","tool_call_id":%b,"content":%b}' % (any_token(one.id), any_token(result))
            for one, result in zip(hidden, results, strict=True)
        )
        thoughts = {key: "".join(found) for key, found in said.thoughts.items()}
        thought = b",".join(b"%b:%b" % (any_token(key), any_token(found)) for key, found in thoughts.items())
        self.told += text
        for key, found in thoughts.items():
            self.thought[key] = self.thought.get(key, "") + found
        self._calls += [one for one in said.calls if not one.hidden]
        inserts = tuple((one.place, one.raw) for one in hidden)
        # The message of a mixed round is the client's, with its thoughts.
        kept = b"" if self.mixed else thought
        self._kept.append(Round(inserts, answers, len(self.told), self.mixed, kept))
        self.answered((assistant(text, [one.raw for one in said.calls], thought), *answers), said.used)
        self.said = Said(said.ours)

    def turn(self) -> tuple[bytes, Turn] | None:
        """See headroom.weave.Weaver."""
        if not self._kept:
            return None
        calls = [*self._calls, *(one for one in self.said.calls if not one.hidden)]
        name = anchor(self.told + "".join(self.said.text), [one.call for one in calls])
        return (name, Turn(tuple(self._kept))) if name else None
