"""Tools of the proxy's besides the one that retrieves, and answerers that tests can look into."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from headroom.answering import CallerInfo
from headroom.edge import Edge
from headroom.weave import Call, Tool

MEMORY_TOOLS: Final[tuple[Tool, ...]] = (
    Tool(
        "memory_save",
        b"Remembers a lasting fact, preference or decision for later sessions.",
        b'{"type":"object","properties":{"content":{"type":"string"},"importance":{"type":"number","description":'
        b'"0 to 1"},"entities":{"type":"array","items":{"type":"string"}}},"required":["content"]}',
    ),
    Tool(
        "memory_search",
        b"Finds what was remembered, by words.",
        b'{"type":"object","properties":{"query":{"type":"string"},"top_k":{"type":"integer"}},"required":["query"]}',
    ),
    Tool(
        "memory_update",
        b"Replaces what a memory says.",
        b'{"type":"object","properties":{"memory_id":{"type":"string"},"new_content":{"type":"string"}},'
        b'"required":["memory_id","new_content"]}',
    ),
    Tool(
        "memory_delete",
        b"Forgets a memory.",
        b'{"type":"object","properties":{"memory_id":{"type":"string"}},"required":["memory_id"]}',
    ),
    Tool(
        "memory_list",
        b"Lists what is remembered, latest first.",
        b'{"type":"object","properties":{"limit":{"type":"integer"}}}',
    ),
)
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
