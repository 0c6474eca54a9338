"""Where markers go, and that a conversation that ends anywhere has not cost more for them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.providers import ANTHROPIC
from headroom.zones.breakpoints import LEAST, Prompts, _has_words, _marked, placed
from headroom.zones.splice import splice

SHAPE = ANTHROPIC.shape
assert SHAPE is not None
PROMPTS = Prompts(SHAPE)
MARKER = b'"cache_control":{"type":"ephemeral"}'
LONG = "x" * 9_000


def text(words: str) -> dict[str, object]:
    return {"type": "text", "text": words}


def user(*blocks: object) -> dict[str, object]:
    return {"role": "user", "content": list(blocks)}


SAYS = {"role": "assistant", "content": [text("ok")]}


def marked(body: dict[str, object], tools: int = 9_000) -> tuple[list[str], bool]:
    """The blocks that are marked, as paths, and whether a marker beside the messages is wanted."""
    raw = json.dumps(body).encode()
    prompt = PROMPTS.read(raw)
    assert prompt is not None
    places = placed(prompt, tools, MARKER, ANTHROPIC.markable, write=1.25, read=0.1)
    return list(_paths(json.loads(splice(raw, (), places.edits)), "")), places.whole


def _paths(value: object, path: str) -> list[str]:
    if isinstance(value, list):
        return [found for at, one in enumerate(value) for found in _paths(one, f"{path}/{at}")]
    if isinstance(value, dict):
        own = [path] if "cache_control" in value else []
        return own + [found for key, one in value.items() for found in _paths(one, f"{path}/{key}")]
    return []


ONE = user(text("go"))


@pytest.mark.parametrize(
    ("body", "paths", "whole"),
    [
        ({"messages": [ONE]}, [], False),
        ({"messages": [ONE], "system": "s"}, ["/system/0"], False),
        ({"messages": [ONE], "system": " "}, [], False),
        ({"messages": [ONE], "system": None}, [], False),
        ({"messages": [ONE], "system": [text("s"), text(" ")]}, ["/system/0"], False),
        ({"messages": [ONE, SAYS, user(text("a"), text("b"))]}, ["/messages/2/content/1"], False),
        ({"messages": [ONE, SAYS, user(text("a"), text(""))]}, ["/messages/2/content/0"], False),
        ({"messages": [ONE, SAYS, user({"type": "odd"})]}, [], False),
        ({"messages": [ONE, SAYS, {"role": "user", "content": "more"}]}, [], True),
        ({"messages": [ONE, SAYS, {"role": "user", "content": "more"}, SAYS]}, [], False),
        ({"messages": [ONE, SAYS, {"role": "user", "content": " "}]}, [], False),
        ({"messages": [ONE, SAYS, ONE, SAYS]}, ["/messages/2/content/0"], False),
        ({"messages": [ONE, SAYS, ONE, SAYS, ONE]}, ["/messages/2/content/0", "/messages/4/content/0"], False),
        ({"messages": [ONE, SAYS, user(text(9 * LONG))]}, [], False),
        ({"messages": [ONE, SAYS, ONE, SAYS, user(text(9 * LONG))]}, ["/messages/2/content/0"], False),
        ({"messages": []}, [], False),
    ],
)
def test_the_end_is_marked_from_the_second_request_on(
    body: dict[str, object], paths: Sequence[str], whole: bool
) -> None:
    assert marked(body) == (paths, whole)


def test_a_system_text_that_is_a_string_becomes_the_block_that_it_stands_for() -> None:
    raw = b'{"system" : "a\\u00e9\\"" ,"messages":[]}'
    prompt = PROMPTS.read(raw)
    assert prompt is not None
    edits = placed(prompt, 0, MARKER, ANTHROPIC.markable, write=1.25, read=0.1).edits
    block = b'[{"type":"text","text":"a\\u00e9\\"","cache_control":{"type":"ephemeral"}}]'
    assert splice(raw, (), edits) == b'{"system" : ' + block + b' ,"messages":[]}'


def test_half_a_character_is_more_than_blanks() -> None:
    """The body's reader refuses it; this one must not fail where another reader does not."""
    assert _has_words(b'"\\udc00"')
    assert not _has_words(b'" \\n"')


def test_without_tools_that_are_worth_caching_nothing_is_begun() -> None:
    body: dict[str, object] = {"messages": [ONE, SAYS, user(text(LONG)), SAYS, ONE]}
    assert marked(body, tools=0) == ([], False)
    assert marked(body, tools=LEAST - 1) == ([], False)


def test_a_body_of_another_shape_has_no_prompt() -> None:
    for body in (b"[]", b'{"messages":1}', b'{"messages":[1]}', b'{"messages":[{"role":7}]}', b"x"):
        prompt = PROMPTS.read(body)
        assert prompt is None


@given(st.integers(0, 60_000), st.lists(st.integers(0, 80_000), max_size=12))
def test_from_the_second_request_on_markers_have_never_cost_more_than_they_saved(head: int, more: list[int]) -> None:
    """By bytes, whatever the conversation's requests add to it, and wherever it ends."""
    sizes = [head + 100]
    for size in more:
        sizes.append(sizes[-1] + size)
    written = head if head >= LEAST else 0
    extra = 0.25 * written
    for turn in range(1, len(sizes)):
        before, now = _marked(head, sizes[: turn + 1], 0.25, 0.9)
        extra -= 0.9 * written
        if before:
            assert sizes[before] == written, "the marker of before is where the last one was"
        if now:
            extra += 0.25 * (sizes[turn] - written)
            written = sizes[turn]
        assert extra <= 1e-6
