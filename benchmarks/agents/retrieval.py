"""A run in which the model fetches what the proxy left out, and what is to be seen of it: nothing.

The scripted model takes hashes from the markers in the very request that it answers, as a model would.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.agents.clients import THINKING, Agent
from benchmarks.agents.compare import Asked, prefix_report, result_texts, tool_names
from benchmarks.agents.project import ANSWER
from benchmarks.agents.session import Outcome
from tests.support.http_wire import WireRequest
from tests.support.origin import Origin, plain_request_body
from tests.support.script import Conversation, Json, Script, ToolCall, Turn

TOOL = "headroom_retrieve"
NEWEST = "the newest"  # stands for the hash in the newest marker
_MARKER = re.compile(rb"<<ccr:([0-9a-f]{24})>>")
_COMMANDS = ("head -c 28000 logs/build.log", "tail -c 24000 logs/build.log")
_SAID = ("[lines 3-9 of", "contain the text]", "[lines 1-2 of", "[lines 5-5 of", "There is no original")


class FetchingOrigin(Origin):
    """An origin whose scripted model names the newest marker that it was shown. `template` is its script."""

    template = Script()

    def script_for(self, request: bytes) -> Script:
        """See Origin."""
        shown = _MARKER.findall(request)
        return _with_hash(self.template, shown[-1].decode() if shown else "0" * 24)


def _with_hash(script: Script, hash_: str) -> Script:
    return Script(tuple(_conversation(one, hash_) for one in script.conversations), script.side_text)


def _conversation(one: Conversation, hash_: str) -> Conversation:
    return Conversation(tuple(replace(turn, calls=_calls(turn, hash_)) for turn in one.turns), one.match)


def _calls(turn: Turn, hash_: str) -> tuple[ToolCall, ...]:
    return tuple(
        ToolCall(call.name, {**call.input, "hash": hash_}) if call.input.get("hash") == NEWEST else call
        for call in turn.calls
    )


def fetching(agent: Agent) -> Agent:
    """The agent with a model that fetches originals: alone, beside the agent's tool, in three rounds, by a wrong hash.

    It is the one caller who pays by the token here.
    """

    def turns(project: Path) -> list[Turn]:
        shell = agent.turns(project)[0].calls[0]
        key = "cmd" if "cmd" in shell.input else "command"
        first, second = (ToolCall(shell.name, {**shell.input, key: command}) for command in _COMMANDS)

        def fetch(**asked: str) -> ToolCall:
            return ToolCall(TOOL, {"hash": NEWEST, **asked})

        return [
            Turn("The log first.", (first,), THINKING),
            Turn("More of it.", (fetch(lines="3-9"),), THINKING),
            Turn("And its end.", (second, fetch(match="audit")), THINKING),
            Turn("", (fetch(lines="1-2"),)),
            Turn("", (fetch(match="ERROR"), fetch(lines="5"))),
            Turn("", (ToolCall(TOOL, {"hash": "0" * 24}),)),
            Turn(ANSWER),
        ]

    return replace(agent, name=f"{agent.name}-fetching", turns=turns)


def seen(outcome: Outcome, sent: Sequence[WireRequest], spoken: Sequence[str], calls: Sequence[Asked]) -> Json:
    """What a run shows. `sent` is what the client sent, `spoken` on sockets, `calls` the conversation's requests that
    the origin got.

    `client_saw_it`: the client named the tool, or a marker. `unanswered`: calls that do not have exactly one result.
    """
    given = "\n".join(result_texts(calls[-1])) if calls else ""
    prefix = prefix_report([replace(call, body=_object(bare(call.body))) for call in calls])
    known = [*(plain_request_body(request) for request in sent), *(text.encode() for text in spoken)]
    report: Json = {
        "exit": outcome.exit,
        "answer_ok": outcome.answer_ok,
        "seconds": round(outcome.seconds, 2),
        "requests_sent": sum(b'"tools"' in body for body in known),
        "requests_received": len(calls),
        "offered_in_all": all(TOOL in tool_names(call) for call in calls),
        "markers": len(set(_MARKER.findall(calls[-1].raw))) if calls else 0,
        "client_saw_it": any(TOOL.encode() in body or b"<<ccr:" in body for body in known),
        "given": [said for said in _SAID if said in given],
        "prefix": prefix,
        "unanswered": unanswered(calls[-1].raw) if calls else 0,
    }
    report["passed"] = (
        report["exit"] == 0
        and report["answer_ok"] is True
        and report["offered_in_all"] is True
        and report["client_saw_it"] is False
        and report["given"] == [*_SAID]
        and report["markers"] == 2
        and report["unanswered"] == 0
        and set(prefix) == {"same"}
    )
    return report


def bare(value: object) -> object:
    """A value without what clients add or leave out when they send a turn back: fields without a value, thoughts."""
    if isinstance(value, dict):
        return {key: bare(part) for key, part in value.items() if part is not None}
    if isinstance(value, list):
        return [bare(one) for one in value if not (isinstance(one, dict) and one.get("thought") is True)]
    return value


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def unanswered(raw: bytes) -> int:
    called = Counter(re.findall(rb'"(?:toolu_|call_)(?!id")[^"]+"', raw))
    return sum(count != 2 for count in called.values())
