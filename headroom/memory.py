"""What is remembered from one session to the next: the values, who sees what, and the contract of a store.

A memory belongs to a project and a user. One without a user is shared: the machine's owner wrote it for everybody in
its project. A scope says who asks and how far they see:

    project    the memories of the project that are the user's or shared
    user       the user's memories, in every project
    global     the user's and the shared memories, in every project

What is written goes to the scope's project and user, however far it sees. A memory that a scope does not see does not
exist for it: it is not found, listed, changed or counted, and no score depends on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, Protocol

import msgspec

CONTENT_LIMIT: Final = 4000  # characters of one memory
OWNER_LIMIT: Final = 10_000  # memories of one user in one project
ENTITY_LIMIT: Final = 16  # names that a memory may be kept under
NAME_LIMIT: Final = 200  # characters of an entity, a project or a user
DEFAULT_IMPORTANCE: Final = 0.5

ScopeKind = Literal["project", "user", "global"]


class Scope(msgspec.Struct, frozen=True, gc=False):
    """Who asks, and how far they see. See the module. An empty user is the machine's owner, who sees what is shared."""

    project: str
    user: str
    kind: ScopeKind

    @property
    def resolved(self) -> bool:
        """Whether it says enough to be answered: a project scope without a project sees and keeps nothing."""
        return bool(self.project) or self.kind != "project"


class Memory(msgspec.Struct, frozen=True, gc=False):
    """One thing that is remembered. Times are whole seconds since 1970; importance is 0 to 1."""

    id: str
    content: str
    project: str
    user: str
    created: int
    updated: int
    importance: float
    entities: tuple[str, ...]


class Found(msgspec.Struct, frozen=True, gc=False):
    """A memory that fits a query. `related` names at most three entities that its content does not mention."""

    memory: Memory
    score: float
    related: tuple[str, ...] = ()


class Saved(msgspec.Struct, frozen=True, gc=False):
    """What came of saving. `new` is false where the same content was kept already; `similar` is a memory that says
    nearly the same, and is kept as well."""

    memory: Memory
    new: bool
    similar: Memory | None = None


class MemoryRefused(Exception):
    """A memory that cannot be kept as it is; the text says why and what would be right, to a model or a person."""


class Memories(Protocol):
    """Keeps memories. Every call raises MemoryDown if it cannot answer, also where it does not within its time."""

    @property
    def down(self) -> str:
        """Why the last call was not answered, in one line that holds no memory; empty where it was."""

    @property
    def trouble(self) -> str:
        """What its owner should look into, in one line that holds no memory; empty where all is well."""

    async def save(
        self, scope: Scope, content: str, importance: float | None = None, entities: Sequence[str] = ()
    ) -> Saved:
        """Keep `content` durably for the scope's project and user. The same content is one memory, however often it is
        saved: its importance and entities become those that were given last. Raises MemoryRefused."""

    async def search(self, scope: Scope, query: str, limit: int, *, loose: bool = False) -> tuple[Found, ...]:
        """Memories that `query` is about, the best first; none where it is about none of them. `loose`: those that
        share any word with it that says something. The same query and store give the same answer, in the same order."""

    async def update(self, scope: Scope, id: str, content: str) -> Memory | None:
        """Say `content` in place of what a memory said; None where the scope sees none of this id. Raises
        MemoryRefused."""

    async def delete(self, scope: Scope, id: str) -> bool:
        """Forget a memory; whether the scope saw one of this id."""

    async def list(self, scope: Scope, limit: int | None) -> tuple[Memory, ...]:
        """The memories that the scope sees, the latest changed first; all of them where `limit` is None."""

    async def close(self) -> None:
        """Finish what was begun, and let go."""


def checked_content(content: str) -> str:
    """`content` as it is kept: without blanks around it. Raises MemoryRefused."""
    kept = content.strip()
    if not kept:
        raise MemoryRefused("The content is empty: say in a sentence or two what is to be remembered.")
    if len(kept) > CONTENT_LIMIT:
        raise MemoryRefused(
            f"The content has {len(kept):,} characters; a memory holds up to {CONTENT_LIMIT:,}. Say it more briefly, "
            "or save it as several memories."
        )
    if not _encodable(kept):
        raise MemoryRefused("The content holds half of a character (a lone surrogate): leave it out.")
    return kept


def checked_importance(importance: float) -> float:
    """An importance within 0 to 1. Raises MemoryRefused."""
    if not 0 <= importance <= 1:
        raise MemoryRefused("importance must be a number from 0 to 1.")
    return float(importance)


def checked_entities(entities: Sequence[str]) -> tuple[str, ...]:
    """Names without blanks around them, each once, none empty. Raises MemoryRefused."""
    # What is repeated does not count, but a model's list may be of any length.
    most = ENTITY_LIMIT * ENTITY_LIMIT
    names = tuple(dict.fromkeys(" ".join(name.split()) for name in entities[:most] if name.strip()))
    kept = len(entities) <= most and len(names) <= ENTITY_LIMIT
    if not kept or any(len(name) > NAME_LIMIT or not _encodable(name) for name in names):
        raise MemoryRefused(f"entities must be up to {ENTITY_LIMIT} names of up to {NAME_LIMIT} characters.")
    return names


def checked_scope(scope: Scope) -> Scope:
    """A scope that something can be kept for. Raises MemoryRefused."""
    if not scope.resolved:
        raise MemoryRefused("No project is known here, so nothing can be remembered.")
    if any(len(name) > NAME_LIMIT or not _encodable(name) for name in (scope.project, scope.user)):
        raise MemoryRefused(f"The names of a project and a user have up to {NAME_LIMIT} characters.")
    return scope


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
