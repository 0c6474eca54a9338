"""The loom of the dialect whose answers are deltas of one message, and whose requests are a list of messages.

The client's message of a turn has the text of all rounds in one string and only its own calls. What was hidden cuts
it again:

    provider   t1 + hidden call | result | t2 + client's call | client's result
    client     t1t2 + client's call                           | client's result
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headroom.delta_turns import anchor, assistant, read_message, text_of, thoughts_of
from headroom.delta_weavers import DeltaWeaver, PlainDeltaWeaver
from headroom.weave import PlainWeaver, Round, Tool, Turn, Weaver
from headroom.zones.places import Span, elements, members
from headroom.zones.splice import Edit, any_token

_TOOL = b'{"type":"function","function":{"name":"%b","description":"%b","parameters":%b}}'


class DeltaLoom:
    """See headroom.weave.Loom. Places in a `Round` are explained in headroom.delta_turns."""

    together = False

    def weaver(self, ours: frozenset[str]) -> Weaver:
        """See Loom."""
        return DeltaWeaver(ours)

    def plain_weaver(self, ours: frozenset[str]) -> PlainWeaver:
        """See Loom."""
        return PlainDeltaWeaver(ours)

    def tool(self, tool: Tool) -> bytes:
        """See Loom."""
        return _TOOL % (tool.name.encode(), tool.description, tool.parameters)

    def anchors(self, items: Sequence[bytes]) -> list[bytes]:
        """See Loom."""
        found: list[bytes] = []
        for item in items:
            message = read_message(item) if b'"assistant"' in item else None
            mine = message is not None and message.role == "assistant"
            found.append(anchor(text_of(message), message.tool_calls or ()) if message and mine else b"")
        return found

    def reinsert(self, items: Sequence[bytes], at: int, turn: Turn) -> list[tuple[int, Edit]]:
        """See Loom."""
        said = _said(items[at]) if 0 <= at < len(items) else None
        if said is None or not _fits(turn.rounds, len(said.text), len(said.calls)):
            return []
        before: list[bytes] = []
        begin = 0
        for given in turn.rounds:
            if not given.mixed:
                calls = [raw for _, raw in given.inserts]
                before += (assistant(said.text[begin : given.end], calls, given.thought), *given.answers)
                begin = given.end
        edits = [Edit(0, 0, b",".join((*before, b"")))] if before else []
        if begin == len(said.text) and not said.calls:
            # The last round said nothing. A message with neither text nor calls is none: the client's stays as it is.
            return [(at, edit) for edit in edits]
        edits += _thought_again(items[at], said, turn)
        if begin:
            rest = said.text[begin:]
            span = said.string if rest else said.content
            if span is None:
                return []
            edits.append(Edit(*span, any_token(rest) if rest else b"null"))
        final = turn.rounds[-1]
        if final.mixed:
            following = read_message(items[at + 1]) if at + 1 < len(items) else None
            if following is None or following.role != "tool":
                return []
            end = len(items[at])
            edits += _calls_back(said.calls, final)
            edits.append(Edit(end, end, b",".join((b"", *final.answers))))
        return [(at, edit) for edit in edits]


class _Said(msgspec.Struct, frozen=True, gc=False):
    """The model's message as a client sends it: its text and where that stands (None: in several places), where its
    calls are, and what it thought."""

    text: str
    string: Span | None
    content: Span
    calls: list[Span]
    thoughts: dict[str, str]


def _said(item: bytes) -> _Said | None:
    """Read a message that can be taken apart; None where it is another or cannot be."""
    message, fields = read_message(item), members(item)
    if message is None or message.role != "assistant" or not fields:
        return None
    content = fields.get("content", (0, 0))
    string: Span | None = content
    if isinstance(message.content, list):
        found = elements(item, *content) or []
        start, end = found[0] if len(found) == 1 else (0, 0)
        inner = members(item[start:end]).get("text")
        string = None if inner is None else (start + inner[0], start + inner[1])
    calls = elements(item, *fields["tool_calls"]) if message.tool_calls else []
    return None if calls is None else _Said(text_of(message), string, content, calls, thoughts_of(message))


def _thought_again(item: bytes, said: _Said, turn: Turn) -> list[Edit]:
    """Edits that leave a message, where its client sends back what was thought, the thoughts of the last round."""
    fields = members(item)
    earlier: dict[str, str] = {}
    for given in turn.rounds:
        message = read_message(b"{%b}" % given.thought)
        for key, thought in thoughts_of(message).items() if message else ():
            earlier[key] = earlier.get(key, "") + thought
    edits: list[Edit] = []
    for key, before in earlier.items():
        if said.thoughts.get(key, "").startswith(before):
            rest = said.thoughts[key][len(before) :]
            edits.append(Edit(*fields[key], any_token(rest) if rest else b"null"))
    return edits


def _fits(rounds: Sequence[Round], length: int, calls: int) -> bool:
    """Whether the rounds can have been parts of such a turn."""
    begin = 0
    for number, given in enumerate(rounds, 1):
        if not given.inserts or not begin <= given.end <= length:
            return False
        if given.mixed and not (number == len(rounds) and given.end == length and calls):
            return False
        if any(not 0 <= place <= (calls if given.mixed else 0) for place, _ in given.inserts):
            return False
        begin = given.end
    return bool(rounds) and (length > 0 or calls > 0)


def _calls_back(calls: Sequence[Span], given: Round) -> list[Edit]:
    """Edits that put a round's hidden calls back among the client's."""
    by_place: dict[int, list[bytes]] = {}
    for place, raw in given.inserts:
        by_place.setdefault(place, []).append(raw)
    edits: list[Edit] = []
    for place, raws in by_place.items():
        if place < len(calls):
            begin = calls[place][0]
            edits.append(Edit(begin, begin, b",".join((*raws, b""))))
        else:
            end = calls[-1][1]
            edits.append(Edit(end, end, b",".join((b"", *raws))))
    return edits
