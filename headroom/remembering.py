"""Memory as one edge offers it: whose memories a request may see, which tools it offers, and what answers them."""

from __future__ import annotations

from typing import Literal, cast

from headroom.answering import CallerInfo
from headroom.config import Config
from headroom.ledger import Ledger
from headroom.memory import Memories, Scope, ScopeKind
from headroom.recollection import CALLER_DIGITS, MEMORY_TOOLS, NOBODYS, answer
from headroom.tails import Recall, Tails
from headroom.weave import Call, Tool


class Remembering:
    """The memory of one edge. For the event loop's thread."""

    def __init__(self, config: Config, memories: Memories) -> None:
        self.memories = memories
        self._entries = config.whole("memory_entries")
        self._tokens = config.whole("memory_tokens")
        self._project = config.text("memory_project")
        self._user = config.text("memory_user")
        self._kind = cast(ScopeKind, config.text("memory_scope"))
        self._adds: Literal["", "mode_disabled", "mode_tool"] = ""
        if config.text("memory_injection_mode") == "disabled":
            self._adds = "mode_disabled"
        elif config.text("memory_mode") == "tool":
            self._adds = "mode_tool"

    def tails(self, ledger: Ledger) -> Tails:
        """What appends memories to requests, recorded in `ledger`."""
        return Tails(self.memories, ledger, entries=self._entries, tokens=self._tokens)

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The tools that a conversation is offered with its first request."""
        return MEMORY_TOOLS

    def recall(self, project: str, user: str, caller: bytes) -> Recall | None:
        """Whose memories a request is given; None where its project is not known, but memories are kept by project.

        `project` and `user` are as the request names them, `caller` is the digest of its credential: a caller that
        names no user shares memories with nobody who has another credential.
        """
        project = project or self._project
        if self._kind == "project" and not project:
            return None
        user = user or self._user or caller.hex()[:CALLER_DIGITS]
        return Recall(Scope(project, user, self._kind), self._adds)

    async def answer(self, call: Call, caller: CallerInfo, /) -> str:
        """The result of a call of one of `tools`; see Answerer.

        Whom `recall` knows has a name. One without is somebody whose name cannot be used, in a conversation that was
        given the tools for another: what is kept for nobody is everybody's.
        """
        if not caller.user:
            return NOBODYS
        return await answer(self.memories, Scope(caller.project, caller.user, self._kind), call.name, call.arguments)

    async def close(self) -> None:
        """Let go of the store."""
        await self.memories.close()
