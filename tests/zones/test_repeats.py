"""Objects that stand in a document twice, and addresses that go on from one another, read back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.zones import repeats
from tests.support.json_texts import TREES, Tree, compact

USER = {"login": "ana", "url": "https://h.test/users/ana", "repos_url": "https://h.test/users/ana/repos{/id}"}
URLS = st.sampled_from(
    ["https://h.test/a/bcdef", "https://h.test/a/bcdef/x", "/srv/app/lib/web/core", "{id}", "{}", "x"]
)
OBJECTS = st.recursive(
    st.dictionaries(st.sampled_from(["url", "html_url", "a", 'q"', "é"]), URLS, max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["u", "v", "w"]), inner, max_size=3),
    max_leaves=12,
)


def back(text: str) -> str:
    """`text` shared and shortened, and all of it undone."""
    root, values = repeats.share(text, 1)
    written = [repeats.shorten(part) for part in (root, *values)]
    again = [repeats.lengthen(part) for part in written]
    assert again == [root, *values]
    return repeats.resolve(again[0], dict(enumerate(again[1:], 1)))


@given(OBJECTS)
def test_addresses_and_repeated_objects_read_back(tree: object) -> None:
    text = json.dumps([tree, tree], separators=(",", ":"), ensure_ascii=False)
    assert back(text) == text


@given(TREES)
def test_any_document_reads_back(tree: Tree) -> None:
    text = compact(tree)
    assert back(text) == text
    assert repeats.lengthen(repeats.escape(text)) == text


def test_an_object_in_a_repeated_object_has_a_number_of_its_own() -> None:
    repository = {"name": "web", "owner": USER}
    text = json.dumps({"a": repository, "b": repository, "sender": USER}, separators=(",", ":"))
    root, values = repeats.share(text, 5)
    assert root == '{"a":@6,"b":@6,"sender":@5}'
    assert values[1] == '{"name":"web","owner":@5}'
    assert back(text) == text


def test_an_address_goes_on_from_the_longest_one_before_it() -> None:
    text = json.dumps(USER, separators=(",", ":"))
    assert repeats.shorten(text).endswith('"repos_url":"{url}/repos{/id}"}')


@pytest.mark.parametrize("text", ['{"a":"{b}"}', '{"a":"{"}', '{"b":"x","a":"{b}/"}'])
def test_an_address_from_nowhere_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        repeats.lengthen(text)


def test_references_that_grow_without_bound_are_refused() -> None:
    values = {number: "[" + ",".join([f"@{number - 1}"] * 9) + "]" for number in range(2, 40)}
    with pytest.raises(ValueError):
        repeats.resolve("@39", {1: "[1]", **values})
