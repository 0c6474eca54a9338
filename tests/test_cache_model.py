"""The model of provider caches, held to worked examples and to a naive one."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cache_model import (
    AnthropicCache,
    PrefixCache,
    Prices,
    Refused,
    Usage,
    bill,
    estimate,
)
from tests.support.request_shape import Dialect, blocks, dialect_of, parse

MARK = {"cache_control": {"type": "ephemeral"}}
HOUR = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}


def text(word: str, **more: object) -> dict[str, object]:
    """A text block that counts as 100 tokens with `hundreds`."""
    return {"type": "text", "text": word, **more}


def hundreds(words: str) -> int:
    """Every block counts 100, so that figures can be read off the shape of a request."""
    return 100 if words else 0


def claude(messages: list[object], **more: object) -> bytes:
    """A request body of one model."""
    return json.dumps({"model": "m", **more, "messages": messages}).encode()


def user(*content: object) -> dict[str, object]:
    """A user message of content blocks."""
    return {"role": "user", "content": list(content)}


@pytest.fixture
def cache() -> AnthropicCache:
    """A cache for which each block is 100 tokens and no prefix is too short."""
    return AnthropicCache(count=hundreds, minimum=0)


def test_estimate_rounds_up_and_counts_bytes() -> None:
    assert [estimate(word) for word in ("", "a", "abcd", "abcde", "é", "日本", "\ud800")] == [
        0,
        1,
        1,
        2,
        1,
        2,
        1,
    ]


def test_a_marked_prefix_is_written_and_then_read(cache: AnthropicCache) -> None:
    first = cache.send(claude([user(text("a"), text("b", **MARK), text("c"))]))
    second = cache.send(claude([user(text("a"), text("b", **MARK), text("d"))]))
    assert first == Usage(write_5m=200, uncached=100)
    assert second == Usage(read=200, uncached=100)


def test_what_follows_the_last_marker_is_never_read(cache: AnthropicCache) -> None:
    body = claude([user(text("a", **MARK), text("b"))])
    cache.send(body)
    assert cache.send(body) == Usage(read=100, uncached=100)


def test_without_a_marker_nothing_is_cached(cache: AnthropicCache) -> None:
    body = claude([user(text("a"), text("b"))])
    assert [cache.send(body), cache.send(body)] == [Usage(uncached=200)] * 2


def test_a_marker_that_moves_on_reads_what_it_wrote_before_and_writes_the_rest(
    cache: AnthropicCache,
) -> None:
    cache.send(claude([user(text("a", **MARK))]))
    grown = cache.send(claude([user(text("a")), {"role": "assistant", "content": "b"}, user(text("c", **MARK))]))
    assert grown == Usage(read=100, write_5m=200)


def test_a_string_content_is_one_text_block(cache: AnthropicCache) -> None:
    cache.send(claude([user(text("a", **MARK))]))
    assert cache.send(claude([{"role": "user", "content": "a"}, user(text("b", **MARK))])).read == 100


def test_a_string_in_a_tool_result_is_one_text_block(cache: AnthropicCache) -> None:
    result = {"type": "tool_result", "tool_use_id": "t"}
    cache.send(claude([user({**result, "content": "a", **MARK})]))
    assert cache.send(claude([user({**result, "content": [text("a")], **MARK})])).read == 100


def test_the_order_of_a_blocks_fields_does_not_count_but_that_of_a_tool_input_does(
    cache: AnthropicCache,
) -> None:
    call = {"type": "tool_use", "id": "t", "name": "n", "input": {"a": 1, "b": 2}}
    cache.send(claude([user({**call, **MARK})]))
    assert cache.send(claude([user({**dict(reversed(call.items())), **MARK})])).read == 100
    assert cache.send(claude([user({**call, "input": {"b": 2, "a": 1}, **MARK})])).read == 0


def test_a_key_named_like_a_marker_inside_a_tool_input_is_content(cache: AnthropicCache) -> None:
    call = {"type": "tool_use", "id": "t", "name": "n", "input": MARK}
    assert cache.send(claude([user(call)])) == Usage(uncached=100)


def test_the_role_is_part_of_the_prefix(cache: AnthropicCache) -> None:
    cache.send(claude([{"role": "user", "content": [text("a", **MARK)]}]))
    assert cache.send(claude([{"role": "system", "content": [text("a", **MARK)]}])).read == 0


def test_one_changed_word_in_front_loses_everything_behind_it(cache: AnthropicCache) -> None:
    cache.send(claude([user(text("a"), text("b", **MARK))]))
    assert cache.send(claude([user(text("A"), text("b", **MARK))])) == Usage(write_5m=200)


def test_tools_come_before_the_system_prompt_and_that_before_the_messages(
    cache: AnthropicCache,
) -> None:
    tool: dict[str, object] = {"name": "t", "input_schema": {}}
    talk: list[object] = [user(text("a", **MARK))]
    cache.send(claude(talk, tools=[{**tool, **MARK}], system=[text("s", **MARK)]))
    assert cache.send(claude(talk, tools=[{**tool, **MARK}], system=[text("S", **MARK)])).read == 100
    assert cache.send(claude(talk, tools=[tool, {"name": "new"}], system=[text("s", **MARK)])).read == 100
    assert cache.send(claude(talk, tools=[{"name": "new"}, tool], system=[text("s", **MARK)])).read == 0


def test_a_marker_nested_in_a_tool_result_is_a_breakpoint_at_its_end(cache: AnthropicCache) -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": [text("a", **MARK), text("b")]}
    assert cache.send(claude([user(result, text("c"))])) == Usage(write_5m=100, uncached=100)


def test_a_marker_beside_the_messages_is_one_on_the_last_block(cache: AnthropicCache) -> None:
    assert cache.send(claude([user(text("a"), text("b"))], **MARK)) == Usage(write_5m=200)


def test_a_fifth_marker_is_refused(cache: AnthropicCache) -> None:
    cache.send(claude([user(*[text("a", **MARK)] * 4)]))
    with pytest.raises(Refused, match="5 cache_control markers"):
        cache.send(claude([user(*[text("a", **MARK)] * 5)]))


def test_a_prefix_below_the_minimum_is_not_written() -> None:
    cache = AnthropicCache(count=hundreds, minimum=250)
    body = claude([user(text("a"), text("b", **MARK), text("c", **MARK))])
    assert cache.send(body) == Usage(write_5m=300)
    assert cache.send(claude([user(text("a"), text("b", **MARK), text("d"))])) == Usage(uncached=300)


@pytest.mark.parametrize(("added", "read"), [(19, 100), (20, 0)])
def test_an_earlier_prefix_is_found_within_twenty_places_of_a_marker(
    cache: AnthropicCache, added: int, read: int
) -> None:
    cache.send(claude([user(text("a", **MARK))]))
    more = [text(f"b{at}") for at in range(added - 1)]
    assert cache.send(claude([user(text("a"), *more, text("c", **MARK))])).read == read


def test_a_prefix_that_no_marker_wrote_is_not_found_by_stepping_back(cache: AnthropicCache) -> None:
    cache.send(claude([user(text("a"), text("b", **MARK))]))
    assert cache.send(claude([user(text("a"), text("c", **MARK))])).read == 0


@pytest.mark.parametrize("key", ["model", "tool_choice", "thinking"])
def test_other_parameters_have_another_cache(cache: AnthropicCache, key: str) -> None:
    talk: list[object] = [user(text("a", **MARK))]
    cache.send(claude(talk))
    assert cache.send(claude(talk, **{key: "other"})).read == 0
    assert cache.send(claude(talk, max_tokens=7)).read == 100


def test_the_hour_lane_is_written_up_to_its_last_marker() -> None:
    cache = AnthropicCache(count=hundreds, minimum=0)
    body = claude([user(text("a"), text("b", **MARK), text("c"))], system=[text("s"), text("t", **HOUR)])
    assert cache.send(body) == Usage(write_1h=200, write_5m=200, uncached=100)
    assert cache.send(body) == Usage(read=400, uncached=100)


def test_an_hour_marker_after_a_five_minute_one_is_refused(cache: AnthropicCache) -> None:
    with pytest.raises(Refused, match="1h marker after"):
        cache.send(claude([user(text("a", **MARK), text("b", **HOUR))]))


def test_the_bill_is_in_plain_input_tokens() -> None:
    uses = [Usage(read=1000, write_5m=100, write_1h=10, uncached=1), Usage(uncached=1)]
    assert bill(uses) == pytest.approx(100 + 125 + 20 + 2)
    assert bill(uses, Prices(read=0.5)) == pytest.approx(500 + 100 + 10 + 2)


WORDS = st.lists(st.sampled_from("abc"), min_size=1, max_size=6)


@given(st.lists(st.tuples(WORDS, st.sets(st.integers(0, 5), max_size=4)), max_size=8))
def test_it_agrees_with_a_naive_list_of_written_prefixes(
    requests: list[tuple[list[str], set[int]]],
) -> None:
    cache, written = AnthropicCache(count=hundreds, minimum=200, lookback=3), set[tuple[str, ...]]()
    for words, marked in requests:
        at = sorted(place for place in marked if place < len(words))
        use = cache.send(claude([user(*[text(word, **(MARK if n in at else {})) for n, word in enumerate(words)])]))
        found = [back + 1 for place in at for back in range(max(0, place - 2), place + 1)]
        read = max([0, *(end for end in found if tuple(words[:end]) in written)])
        kept = [place + 1 for place in at if place + 1 >= 2]
        written |= {tuple(words[:end]) for end in kept}
        last = max([read, *kept])
        assert use == Usage(read=100 * read, write_5m=100 * (last - read), uncached=100 * (len(words) - last))


def chat(*contents: str, **more: object) -> bytes:
    """A chat body of user messages."""
    return json.dumps(
        {"model": "m", "messages": [{"role": "user", "content": each} for each in contents], **more}
    ).encode()


def test_a_common_prefix_is_read_in_steps_once_it_is_long_enough() -> None:
    cache = PrefixCache("chat", count=len, minimum=1000, step=100)
    assert cache.send(chat("x" * 2000)).read == 0
    assert cache.send(chat("x" * 900 + "y")).read == 0
    assert cache.send(chat("x" * 1460 + "y")).read == 1400
    assert cache.send(chat("x" * 2000, "and more")).read == 2000


def test_any_earlier_request_can_be_read_not_only_the_last() -> None:
    cache = PrefixCache("chat", count=len, minimum=100, step=1)
    for start in "ab":
        cache.send(chat(start * 500, "q"))
    assert cache.send(chat("a" * 500, "r")).read > 500


def test_models_do_not_share_a_prefix() -> None:
    cache = PrefixCache("chat", count=len, minimum=1, step=1)
    cache.send(chat("a" * 500))
    assert cache.send(chat("a" * 500, model="n")).read == 0


def test_a_changed_tool_loses_the_messages_behind_it() -> None:
    cache = PrefixCache("chat", count=len, minimum=1, step=1)
    cache.send(chat("a" * 500, tools=[{"type": "function", "function": {"name": "one"}}]))
    assert cache.send(chat("a" * 500, tools=[{"type": "function", "function": {"name": "two"}}])).read < 100


@pytest.mark.parametrize(
    ("dialect", "body", "other"),
    [
        (
            "chat",
            {"messages": [{"role": "user", "content": "a"}]},
            {"messages": [{"content": [text("a")], "role": "user"}]},
        ),
        (
            "responses",
            {"input": "a"},
            {"input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}]},
        ),
        (
            "gemini",
            {"contents": [{"role": "user", "parts": [{"text": "a"}]}], "tools": []},
            {"tools": [], "contents": [{"parts": [{"text": "a"}], "role": "user"}]},
        ),
    ],
)
def test_two_spellings_of_one_prompt_are_one_prefix(dialect: Dialect, body: object, other: object) -> None:
    one, two = (blocks(dialect, parse(json.dumps(each).encode())) for each in (body, other))
    assert one == two


@pytest.mark.parametrize(("dialect", "key"), [("chat", "response_format"), ("responses", "text")])
def test_an_answer_schema_comes_before_everything(dialect: Dialect, key: str) -> None:
    body = {
        "messages": [user(text("a"))],
        "input": "a",
        "tools": [{"name": "t"}],
        key: {"type": "x"},
    }
    assert blocks(dialect, parse(json.dumps(body).encode()))[0].place == key


def test_base64_data_counts_the_same_whatever_its_length() -> None:
    bodies = [
        claude([user({"type": "image", "source": {"type": "base64", "data": data}})]) for data in ("a", "ab" * 999)
    ]
    one, two = (blocks("anthropic", parse(body))[0] for body in bodies)
    assert one.words == two.words
    assert one.text != two.text


def test_a_body_that_is_not_an_object_is_an_error() -> None:
    with pytest.raises(ValueError, match="JSON object"):
        parse(b"[]")


def test_a_client_that_has_used_no_tool_yet_is_told_by_its_tool_list() -> None:
    talk: list[object] = [{"role": "user", "content": "a"}]
    assert dialect_of(parse(claude(talk, tools=[{"name": "t", "input_schema": {}}]))) == "anthropic"
    assert dialect_of(parse(claude(talk))) == "chat"


@pytest.mark.parametrize("pair", [("1", "1.0"), ("1", "true"), ("1", '"1"'), ("1e400", "1e401"), ("null", '"null"')])
def test_values_that_look_alike_are_not_the_same_block(pair: tuple[str, str]) -> None:
    bodies = [b'{"messages":[{"role":"user","content":[{"type":"x","v":%s}]}]}' % each.encode() for each in pair]
    one, two = (blocks("anthropic", parse(body)) for body in bodies)
    assert one[0].text != two[0].text


@given(st.lists(st.lists(st.text("ab", min_size=1, max_size=6), min_size=1, max_size=5), max_size=8))
def test_it_agrees_with_a_naive_common_prefix(requests: Sequence[list[str]]) -> None:
    cache, earlier = PrefixCache("chat", count=len, minimum=0, step=1), list[list[str]]()
    for words in requests:
        body = chat(*words)
        prompt = [block.words for block in blocks("chat", parse(body))]
        use = cache.send(body)
        assert use.read == max([0, *(naive_common(prompt, other) for other in earlier)])
        assert use.total == sum(map(len, prompt))
        earlier.append(prompt)


def naive_common(one: list[str], other: list[str]) -> int:
    """Characters up to the first difference of two lists of texts."""
    length = 0
    for mine, theirs in zip(one, other, strict=False):
        for a, b in zip(mine, theirs, strict=False):
            if a != b:
                return length
            length += 1
        if mine != theirs:
            return length
    return length
