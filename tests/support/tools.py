"""Tools of the proxy's besides the one that retrieves, and answerers that tests can look into."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from headroom.answering import CallerInfo
from headroom.edge import Edge
from headroom.recollection import MEMORY_TOOLS
from headroom.weave import Call

NAMES: Final = tuple(tool.name for tool in MEMORY_TOOLS)


@dataclass
class Answers:
    """Answers every call with its tool's name and its arguments, and keeps who asked."""

    asked: list[tuple[Call, CallerInfo]] = field(default_factory=list)

    async def __call__(self, call: Call, caller: CallerInfo) -> str:
        """See headroom.answering.Answerer."""
        self.asked.append((call, caller))
        return answer(call.name, call.arguments)


def answer(name: str, arguments: bytes) -> str:
    """What `Answers` says."""
    return f"{name} did {arguments.decode().replace(' ', '')}"


def remembering(edge: Edge) -> Answers:
    """Have a proxy offer the memory tools, before it takes requests."""
    answers = Answers()
    for tool in MEMORY_TOOLS:
        edge.offer(tool, answers)
    return answers
