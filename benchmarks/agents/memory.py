"""A run in which the model remembers: text is appended to what the user says, tools are answered by the proxy.

The scripted model takes ids of memories from the very request that it answers, as a model would.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.agents.clients import THINKING, Agent
from benchmarks.agents.compare import Asked, prefix_report, result_texts, tool_names
from benchmarks.agents.project import ANSWER
from benchmarks.agents.retrieval import bare, unanswered
from benchmarks.agents.session import Outcome
from tests.support.http_wire import WireRequest
from tests.support.origin import Origin, plain_request_body
from tests.support.script import Conversation, Json, Script, ToolCall, Turn

TOOLS = ("memory_save", "memory_search", "memory_update", "memory_delete", "memory_list")
KNOWN = "The build of this project stops at the drift limit of a disputed order; the database is on port 6543."
LEARNT = "The build fails when the audit log is full."
BETTER = "The build fails when the audit log is over 2 GB."
NEWEST = "the newest"  # stands for the id of the memory that was told of last
TAIL = "## Relevant Memories"
_ID = re.compile(rb"m_[0-9a-f]{6,32}")
_COMMANDS = ("head -c 28000 logs/build.log", "tail -c 24000 logs/build.log")


class RememberingOrigin(Origin):
    """An origin whose scripted model names the memory that it was told of last. `template` is its script."""

    template = Script()

    def script_for(self, request: bytes) -> Script:
        """See Origin."""
        shown = _ID.findall(request)
        newest = shown[-1].decode() if shown else "m_000000"
        return Script(tuple(_conversation(one, newest) for one in self.template.conversations), self.template.side_text)


def _conversation(one: Conversation, newest: str) -> Conversation:
    return Conversation(tuple(replace(turn, calls=_calls(turn, newest)) for turn in one.turns), one.match)


def _calls(turn: Turn, newest: str) -> tuple[ToolCall, ...]:
    return tuple(
        ToolCall(call.name, {key: newest if value == NEWEST else value for key, value in call.input.items()})
        for call in turn.calls
    )


def remembering(agent: Agent) -> Agent:
    """The agent with a model that uses its memory: alone, beside the agent's tool, and in two rounds of one answer."""

    def turns(project: Path) -> list[Turn]:
        shell = agent.turns(project)[0].calls[0]
        key = "cmd" if "cmd" in shell.input else "command"
        first, second = (ToolCall(shell.name, {**shell.input, key: command}) for command in _COMMANDS)
        return [
            Turn("What is known?", (ToolCall("memory_search", {"query": "build database port"}),), THINKING),
            Turn("The log first.", (first,), THINKING),
            Turn("I keep that.", (second, ToolCall("memory_save", {"content": LEARNT})), THINKING),
            Turn("", (ToolCall("memory_update", {"memory_id": NEWEST, "new_content": BETTER}),)),
            Turn("", (ToolCall("memory_list", {}), ToolCall("memory_delete", {"memory_id": "m_000000"}))),
            Turn(ANSWER),
        ]

    return replace(agent, name=f"{agent.name}-remembering", turns=turns)


def seen(outcome: Outcome, sent: Sequence[WireRequest], spoken: Sequence[str], calls: Sequence[Asked]) -> Json:
    """What a run shows. `sent` is what the client sent, `spoken` on sockets, `calls` the conversation's requests that
    the origin got.

    `client_saw_it`: the client named a tool of ours, or sent text of ours. `tails`: how many texts were appended in
    each request; `tail_bytes` their distinct spellings, which is one for each. `prefix`: system, instructions, tools
    and every earlier entry as in the request before.
    """
    given = "\n".join(result_texts(calls[-1])) if calls else ""
    prefix = prefix_report([replace(call, body=_object(bare(call.body))) for call in calls])
    known = [*(plain_request_body(request) for request in sent), *(text.encode() for text in spoken)]
    ours = [name.encode() for name in TOOLS] + [TAIL.encode(), LEARNT.encode()]
    report: Json = {
        "exit": outcome.exit,
        "answer_ok": outcome.answer_ok,
        "seconds": round(outcome.seconds, 2),
        "requests_sent": sum(b'"tools"' in body for body in known),
        "requests_received": len(calls),
        "offered_in_all": all(set(TOOLS) <= set(tool_names(call)) for call in calls),
        "client_saw_it": any(word in body for body in known for word in ours),
        "tails": [call.raw.count(TAIL.encode()) for call in calls],
        "searched": KNOWN in given,
        "saved": '"saved"' in given,
        "listed": BETTER in given,
        "prefix": prefix,
        "unanswered": unanswered(calls[-1].raw) if calls else 0,
    }
    report["passed"] = (
        report["exit"] == 0
        and report["answer_ok"] is True
        and report["offered_in_all"] is True
        and report["client_saw_it"] is False
        and report["searched"] is True
        and report["saved"] is True
        and report["listed"] is True
        and report["unanswered"] == 0
        and all(call.raw.count(TAIL.encode()) >= 1 for call in calls)
        and set(prefix) == {"same"}
    )
    return report


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}
