"""What a scripted provider answers: conversations made of turns.

A script is data only.  `Script.load` reads the JSON form::

    {"side_text": "ok",
     "conversations": [
       {"match": "words of the prompt",
        "turns": [{"thinking": "...", "text": "...",
                   "calls": [{"name": "Bash", "input": {"command": "ls"}}]},
                  {"text": "final answer"}]}]}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Json = dict[str, object]


@dataclass(frozen=True)
class ToolCall:
    """One tool call of a turn: tool name and input object."""

    name: str
    input: Json


@dataclass(frozen=True)
class Turn:
    """One model turn: optional thinking, then text, then calls in order."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    thinking: str = ""


@dataclass(frozen=True)
class Conversation:
    """Turns answered, in order, to requests that hold `match`.

    `match` is looked for in the JSON text of user-side messages; an empty
    `match` fits every request.  A request beyond the last turn gets the last
    turn again.
    """

    turns: tuple[Turn, ...]
    match: str = ""

    def turn(self, index: int) -> Turn:
        """The turn at `index`, or the last one when the script ran out."""
        return self.turns[min(index, len(self.turns) - 1)]


@dataclass(frozen=True)
class Script:
    """All conversations of one provider; the first that fits is used.

    `side_text` answers requests that are no part of a conversation: those that
    fit none, and those that offer no tools where the turn would call one
    (titles, routers, summaries).
    """

    conversations: tuple[Conversation, ...] = field(default_factory=tuple)
    side_text: str = "ok"

    @staticmethod
    def single(turns: Iterable[Turn], match: str = "") -> Script:
        """A script of one conversation."""
        return Script((Conversation(tuple(turns), match),))

    @staticmethod
    def load(path: Path) -> Script:
        """Read the JSON form; TypeError or ValueError names what is wrong."""
        return script_from_json(json.loads(path.read_text(encoding="utf-8")))


def script_from_json(value: object) -> Script:
    """Build a script from decoded JSON; TypeError when a part has a wrong type."""
    root = _object(value, "script")
    conversations = tuple(_conversation(item) for item in _list(root.get("conversations"), "conversations"))
    return Script(conversations, _text(root.get("side_text", "ok"), "side_text"))


def script_to_json(script: Script) -> Json:
    """The JSON form `script_from_json` reads back to an equal script."""
    return {
        "side_text": script.side_text,
        "conversations": [{"match": c.match, "turns": [_turn_json(t) for t in c.turns]} for c in script.conversations],
    }


def _turn_json(turn: Turn) -> Json:
    calls = [{"name": call.name, "input": call.input} for call in turn.calls]
    return {"thinking": turn.thinking, "text": turn.text, "calls": calls}


def _conversation(value: object) -> Conversation:
    item = _object(value, "conversation")
    turns = tuple(_turn(turn) for turn in _list(item.get("turns"), "turns"))
    if not turns:
        raise ValueError("a conversation needs at least one turn")
    return Conversation(turns, _text(item.get("match", ""), "match"))


def _turn(value: object) -> Turn:
    item = _object(value, "turn")
    calls = tuple(_call(call) for call in _list(item.get("calls", []), "calls"))
    text = _text(item.get("text", ""), "text")
    return Turn(text, calls, _text(item.get("thinking", ""), "thinking"))


def _call(value: object) -> ToolCall:
    item = _object(value, "call")
    return ToolCall(_text(item.get("name"), "name"), _object(item.get("input", {}), "input"))


def _object(value: object, what: str) -> Json:
    if not isinstance(value, Mapping):
        raise TypeError(f"{what} must be an object")
    return dict(value)


def _list(value: object, what: str) -> Sequence[object]:
    if not isinstance(value, list):
        raise TypeError(f"{what} must be an array")
    return value


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a string")
    return value
