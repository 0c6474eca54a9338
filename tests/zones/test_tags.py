"""Tags of clients and workflows survive whatever shortens the text around them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.zones import tags

MARKS = (
    "<think>|</think>|<x:y a='>'/>|<b>|</b>|<br/>|<a.b c=\"|\"|'|>|<|</|/>|text |\n|<system-reminder>|"
    "</system-reminder >|{{HEADROOM_TAG_0}}|{{HEADROOM_TAG_|</ think>"
)
PIECES = st.lists(
    st.sampled_from(MARKS.split("|")),
    max_size=40,
).map("".join)


@given(PIECES, st.booleans())
def test_with_nothing_lost_the_text_comes_back(text: str, bodies: bool) -> None:
    given = tags.protect(text, bodies)
    back = tags.restore(given.text, given)
    assert back == text or (back is None and tags.PLACEHOLDER in text)


@given(PIECES, st.data())
def test_one_lost_placeholder_refuses_the_whole(text: str, data: st.DataObject) -> None:
    given = tags.protect(text)
    if given.blocks:
        lost = data.draw(st.sampled_from(given.blocks))[0]
        assert tags.restore(given.text.replace(lost, ""), given) is None
        assert tags.restore(given.text + lost, given) is None


@given(PIECES)
def test_no_matched_pair_and_no_lone_tag_is_left_in_the_text(text: str) -> None:
    given = tags.protect(text)
    assert tags.protect(given.text).blocks == () or tags.PLACEHOLDER in text


def test_a_pair_is_one_placeholder_with_all_in_it() -> None:
    text = "Hi <system-reminder>keep <b>x</b></system-reminder> and <br/> <x:y a='>'/> tail"
    given = tags.protect(text)
    assert given.text == "Hi {{HEADROOM_TAG_0}} and <br/> {{HEADROOM_TAG_1}} tail"
    assert given.blocks[0][1] == "<system-reminder>keep <b>x</b></system-reminder>"


def test_without_bodies_each_tag_is_one_and_the_body_is_seen() -> None:
    given = tags.protect("Hi <think>do <b>x</b></think> z", bodies=False)
    assert given.text == "Hi {{HEADROOM_TAG_0}}do <b>x</b>{{HEADROOM_TAG_1}} z"


@pytest.mark.parametrize(
    "text",
    ["", "a < b", "</", "<", "<think", "<think>", "</think>", "<a b='", "<div><p>x</p></div>", "<1a/>", "<think/ >x"],
)
def test_what_has_no_partner_or_is_of_html_stays(text: str) -> None:
    assert tags.protect(text).text == text


def test_an_orphan_is_counted() -> None:
    assert tags.protect("x </think> <a.b></a.b> </think>").orphans == 2


def test_a_close_matches_the_nearest_open_one() -> None:
    given = tags.protect("<t1>a<t1>b</t1>c")
    assert given.text == "<t1>a{{HEADROOM_TAG_0}}c"
    assert tags.protect("<t1><t2></t1>").blocks == (("{{HEADROOM_TAG_0}}", "<t1><t2></t1>"),)


def test_deep_nesting_is_one_block() -> None:
    text = "".join(f"<t{n}>" for n in range(2000)) + "".join(f"</t{n}>" for n in reversed(range(2000)))
    assert tags.protect(text).blocks == (("{{HEADROOM_TAG_0}}", text),)


def test_equal_blocks_have_placeholders_of_their_own() -> None:
    given = tags.protect("<k-v/><k-v/>")
    assert [placeholder for placeholder, _ in given.blocks] == ["{{HEADROOM_TAG_0}}", "{{HEADROOM_TAG_1}}"]


def test_a_placeholder_in_the_text_is_told_from_ours() -> None:
    text = "{{HEADROOM_TAG_0}} <think>x</think>"
    given = tags.protect(text)
    assert given.text == "{{HEADROOM_TAG_0}} {{HEADROOM_TAG_0_0}}"
    assert tags.restore(given.text, given) == text


def test_nothing_but_tags_is_blank() -> None:
    assert tags.protect("<think>x</think> \n <k-v/>").is_blank
    assert not tags.protect("<think>x</think> y").is_blank


@pytest.mark.parametrize(
    "piece", ["<", "<a", "<a ", "<a '", "<a \"'", "</a", "<a>", "</a>", "<a/", "<a='>", "<a ='\">"]
)
def test_hostile_tags_cost_no_more_than_their_length(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    begin = time.process_time()
    tags.protect(text + ">")
    tags.protect(text)
    assert time.process_time() - begin < 4
