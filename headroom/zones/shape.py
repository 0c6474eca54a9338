"""What a dialect's request body looks like, as far as locating goes. The values are in `headroom.providers`."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Where tool results are: objects whose `tag` field has one of `tags`.

    They are the items themselves, or the blocks of an item's content (`nested`). `text` names the field that holds a
    string, or a list of parts with a `text` each; `call_id` the field that pairs the result with its call; `error`
    the field that says it failed.
    """

    nested: bool
    tag: str
    tags: frozenset[str]
    text: str
    call_id: str
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Where tool calls are in what a model made, so that a result's tool can be named.

    `path` leads from an item to the call objects: field names, lists being entered on the way. `tags` are the values
    of `type` a call object has; empty means any.
    """

    path: tuple[str, ...]
    tags: frozenset[str]
    call_id: str
    name: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One dialect's body. `items` is the top-level list of turns; `content` an item's list of blocks.

    `marker` is the key of a cache breakpoint, `lifetime` the key in it that says for how long, `long_lifetime` the
    longer value. `session` leads to what names the session, from the top.
    """

    name: str
    items: str
    content: str
    result: Result
    call: Call
    model_roles: frozenset[str]
    model_types: frozenset[str] = field(default=frozenset())
    user_roles: frozenset[str] = field(default=frozenset({"user"}))
    marker: str = ""
    lifetime: str = ""
    long_lifetime: str = ""
    session: tuple[str, ...] = ()
