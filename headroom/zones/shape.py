"""What a dialect's request body looks like, as far as locating goes. The values are in `headroom.providers`."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Where tool results are: objects whose `tag` field has one of `tags`.

    They are the items themselves, or the blocks of an item's content (`nested`). `text` names the field that holds a
    string, or a list of parts with a `text` each; `call_id` the field that pairs the result with its call; `error`
    the field that says it failed.

    With `within`, a result is what a block has under one of these keys, and needs neither tag nor call id. With
    `leaves`, `text` names an object, every string in which is a text; those below a key named `error` are failures.
    `tool` is the field that names the tool, where a result says so itself.
    """

    nested: bool
    tag: str = ""
    tags: frozenset[str] = frozenset()
    text: str
    call_id: str
    error: str = ""
    within: tuple[str, ...] = ()
    leaves: bool = False
    tool: str = ""


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
    """One dialect's body.

    - `items` is the list of turns, at the top or in the object `under`; `content` an item's list of blocks.
      `user_roles` holds an empty string where an item without a role is the user's; items whose role is one of
      `system_roles` are instructions.
    - `known_types`: item types besides `model_types` and the results' that are known to be passed on; an item of
      another type is worth a warning.
    - `tools` is the key of the list of tools, beside the items; `functions` are keys under which a tool holds the
      function that it is, or a list of them. `instructions` are keys of what else stands before the items in the
      prompt.
    - `goes_on` is the key that names an answer which the provider remembers, and before which there were items as well.
      `several` leads to how many answers are asked for. `kept` is the key that names a conversation which the provider
      keeps, and adds each request and answer to by itself.
    - `marker` is the key of a cache breakpoint, `lifetime` the key in it that says for how long, `long_lifetime` the
      longer value. `session` leads to what names the session, from the top.
    """

    name: str
    items: str
    under: str = ""
    content: str
    result: Result
    call: Call
    model_roles: frozenset[str]
    model_types: frozenset[str] = field(default=frozenset())
    user_roles: frozenset[str] = field(default=frozenset({"user"}))
    known_types: frozenset[str] = field(default=frozenset())
    system_roles: frozenset[str] = field(default=frozenset({"system", "developer"}))
    tools: str = "tools"
    functions: tuple[str, ...] = ()
    instructions: tuple[str, ...] = ()
    goes_on: str = ""
    several: tuple[str, ...] = ()
    kept: str = ""
    marker: str = ""
    lifetime: str = ""
    long_lifetime: str = ""
    session: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolShape:
    """What a dialect's list of tools looks like, as far as its order and its schemas go.

    `names` are the paths in an element to what names it, the first that leads to a text counts: nothing that may be
    another in the next request, such as a token that a server is called with. `lists` are the keys under
    which an element has functions of its own; `ordered` says whether the elements themselves may change places.
    `schemas` are the paths from an element, or from one of its functions, to a JSON schema. An element in which
    `unmarkable` is true cannot carry a cache marker.
    """

    names: tuple[tuple[str, ...], ...] = (("name",),)
    lists: tuple[str, ...] = ()
    ordered: bool = True
    schemas: tuple[tuple[str, ...], ...] = ()
    unmarkable: str = ""
