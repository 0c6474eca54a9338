"""Which strings of a messages body may be replaced, which of them are fresh, and how far the body is frozen."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.drives import drive_locate, naive_results
from headroom.faults import NotJson
from headroom.providers import ANTHROPIC
from headroom.zones.locate import TYPED_FLOOR, Located, Locator, Slot, frozen_count
from headroom.zones.splice import Edit, splice, to_text
from tests.support.captured import captured, clients
from tests.support.loops import claude_code_loop, opencode_loop, sdk_loop
from tests.support.outputs import mixed

assert ANTHROPIC.shape is not None
SHAPE = ANTHROPIC.shape
CALLER = b"caller"
MARKER = {"type": "ephemeral"}
LONG = "typed " * 200

Json = dict[str, object]


def locate(body: bytes, caller: bytes = CALLER, session: bytes = b"") -> Located:
    """What a locator finds that has seen nothing before."""
    return Locator(SHAPE).locate(body, caller, session)


def request(*messages: object, **more: object) -> bytes:
    """A body with `messages`, spelled as the clients do."""
    document = {"model": "m", "messages": messages, **more}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def user(*blocks: object, **more: object) -> Json:
    """A message of the user's with a list of blocks."""
    return {"role": "user", "content": list(blocks), **more}


def result(call_id: str, content: object, **more: object) -> Json:
    """A tool result."""
    return {"type": "tool_result", "tool_use_id": call_id, "content": content, **more}


def called(*ids: str) -> Json:
    """A message of the model's that calls tools."""
    return {"role": "assistant", "content": [{"type": "tool_use", "id": i, "name": "Bash", "input": {}} for i in ids]}


def texts(body: bytes, slots: Sequence[Slot]) -> list[tuple[str, str]]:
    """(call id, text) of each slot."""
    return [(slot.call_id, to_text(body[slot.start : slot.end])) for slot in slots]


# What is fresh.


def test_everything_after_the_models_last_message_is_fresh() -> None:
    body = request(user(result("a", "one")), called("b", "c"), user(result("b", "two"), result("c", "three")))
    located = locate(body)
    assert texts(body, located.old) == [("a", "one")]
    assert texts(body, located.fresh) == [("b", "two"), ("c", "three")]
    assert (located.items, located.fresh_from) == (3, 2)


def test_a_system_message_after_the_newest_result_changes_nothing() -> None:
    reminder = {"role": "system", "content": LONG}
    body = request(user(result("a", "one")), called("b"), user(result("b", "two")), reminder)
    located = locate(body)
    assert texts(body, located.fresh) == [("b", "two")]
    assert (located.items, located.fresh_from) == (4, 2)


def test_results_in_several_messages_after_the_model_are_all_fresh() -> None:
    body = request(
        called("a", "b"), user(result("a", "one")), {"role": "system", "content": "x"}, user(result("b", "two"))
    )
    assert texts(body, locate(body).fresh) == [("a", "one"), ("b", "two")]


def test_without_a_message_of_the_models_everything_is_fresh() -> None:
    body = request(user(result("a", "one")), {"role": "user", "content": LONG})
    located = locate(body)
    assert texts(body, located.fresh) == [("a", "one"), ("", LONG)]
    assert (located.old, located.fresh_from) == ([], 0)


def test_when_the_model_spoke_last_nothing_is_fresh() -> None:
    body = request(user(result("a", "one")), called("b"))
    located = locate(body)
    assert texts(body, located.old) == [("a", "one")]
    assert (located.fresh, located.fresh_from) == ([], 2)


# What is a slot.


def test_the_text_of_a_result_is_a_string_or_a_list_of_parts() -> None:
    image = {"type": "image", "source": {"type": "base64", "data": LONG}}
    body = request(user(result("a", "one"), result("b", [{"type": "text", "text": "two"}, image, {"text": "three"}])))
    assert texts(body, locate(body).fresh) == [("a", "one"), ("b", "two"), ("b", "three")]


def test_parallel_results_are_paired_by_id_whatever_their_order() -> None:
    body = request(called("a", "b"), user(result("b", "second"), result("a", "first")))
    assert texts(body, locate(body).fresh) == [("b", "second"), ("a", "first")]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (1, 0, 2, 3), (3, 2, 1, 0), (2, 3, 0, 1)])
def test_the_order_of_keys_does_not_matter(order: Sequence[int]) -> None:
    members = list(result("a", "one", is_error=True).items())
    body = request({"content": [dict(members[at] for at in order)], "role": "user"})
    located = locate(body)
    assert texts(body, located.fresh) == [("a", "one")]
    assert located.fresh[0].error


def test_only_true_is_an_error() -> None:
    body = request(
        user(*(result(f"t{n}", "x", is_error=value) for n, value in enumerate([True, False, None, "true", 1])))
    )
    assert [slot.error for slot in locate(body).fresh] == [True, False, False, False, False]


def test_keys_and_words_may_be_escaped() -> None:
    body = (
        rb'{"mess\u0061ges":[{"r\u006fle":"us\u0065r","content":[{"type":"tool\u005fresult",'
        rb'"tool_use_id":"\u0061","conten\u0074":"on\u0065"}]}]}'
    )
    located = locate(body)
    assert texts(body, located.fresh) == [("a", "one")]
    assert body[located.fresh[0].start : located.fresh[0].end] == rb'"on\u0065"'


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages":[1],"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"one"}]}]}',
        b'{"messages":[{"role":"assistant","role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"one"}]}]}',
        b'{"messages":[{"role":"user","content":"x","content":[{"type":"tool_result","tool_use_id":"a","content":"one"}]}]}',
        b'{"messages":[{"role":"user","content":[{"type":"text","type":"tool_result","tool_use_id":"a","content":"one"}]}]}',
        b'{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"no","content":"one"}]}]}',
    ],
)
def test_of_duplicate_keys_the_last_counts(body: bytes) -> None:
    assert texts(body, locate(body).fresh) == [("a", "one")]


def test_the_same_bytes_elsewhere_in_the_body_are_no_slot() -> None:
    decoy = result("a", "one")
    message = user(result("a", "one"))
    body = request(
        {"role": "system", "content": [decoy]},
        {"role": "assistant", "content": [decoy, {"type": "text", "text": json.dumps(message)}]},
        message,
        system=[decoy],
        tools=[{"input_schema": {"messages": [message]}}],
        metadata={"messages": [message]},
    )
    located = locate(body)
    assert texts(body, located.old + located.fresh) == [("a", "one")]
    marked = splice(body, [Edit(slot.start, slot.end, b'"HERE"') for slot in located.fresh])
    assert json.loads(marked)["messages"][2] == user(result("a", "HERE"))
    assert marked.count(b"HERE") == 1


@pytest.mark.parametrize(
    "message",
    [
        *(None, 1, "text", [], {}, {"role": "user"}, {"content": [result("a", "x")]}, {"role": 1, "content": []}),
        user(result("", "x"), result("a", None), result("a", 7), {"type": "tool_result", "content": "x"}),
        user(None, "x", [], 1, {"type": None}, {"type": "text", "text": None}, {"type": "text", "text": "short"}),
        {"role": "user", "content": "short"},
        {"role": "developer", "content": LONG},
        {"role": "user", "content": {"type": "tool_result", "tool_use_id": "a", "content": "x"}},
        user({"type": "tool_result", "tool_use_id": 1, "content": "x"}, {"type": "document", "content": LONG}),
        user(result("a", [{"type": "text", "text": 1}, "x", None, [{"text": "y"}]])),
    ],
)
def test_odd_messages_have_no_slot(message: object) -> None:
    assert texts(request(message), locate(request(message)).fresh) == []


def test_what_a_person_typed_is_a_slot_from_a_size_on() -> None:
    body = request({"role": "user", "content": LONG}, user({"type": "text", "text": LONG}, {"text": LONG}))
    assert texts(body, locate(body).fresh) == [("", LONG)] * 3
    at, below = "x" * (TYPED_FLOOR - 2), "x" * (TYPED_FLOOR - 3)
    body = request({"role": "user", "content": at}, {"role": "user", "content": below})
    assert texts(body, locate(body).fresh) == [("", at)]


def test_blanks_between_tokens_do_not_shift_a_slot() -> None:
    document = json.loads(request(user(result("a", "é😀")), called("b"), user(result("b", 'q"\\'))))
    for indent in (None, 0, 1, "\t"):
        body = b"\n\t " + json.dumps(document, indent=indent, separators=(" , ", " : ")).encode() + b" \r\n"
        located = locate(body)
        assert texts(body, located.old + located.fresh) == [("a", "é😀"), ("b", 'q"\\')]


# What is not a body of this dialect, and what is not UTF-8.


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"",
            b" ",
            b"[]",
            b"{}",
            b"null",
            b'"messages"',
            b"{",
            b'{"messages":[}',
            b'{"messages":[]}x',
            b"\xef\xbb\xbf{}",
        ),
        *(b'{"messages":{}}', b'{"messages":null}', b'{"messages":"x"}', b'{"input":[]}', b'{"messages":[01]}'),
        *(b'{"messages":[' + b"[" * 100_000, b'{"messages":["\n"]}', b'{"messages":[NaN]}', b"\xff"),
    ],
)
def test_another_body_is_refused(body: bytes) -> None:
    with pytest.raises(NotJson):
        locate(body)
    assert frozen_count(body, SHAPE) == 0


def test_a_body_without_messages_has_nothing() -> None:
    located = locate(b'{"messages" : [ ] }')
    assert (located.old, located.fresh, located.items, located.frozen) == ([], [], 0, 0)


@pytest.mark.parametrize(
    "message",
    [
        b'{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"\xff"}]}',
        b'{"role":"user","content":[{"type":"tool_result","tool_use_id":"\xff","content":"x"}]}',
        b'{"role":"user","content":[{"type":"\xff","tool_use_id":"a","content":"x"}]}',
        b'{"role":"\xff","content":[]}',
        b'{"type":"\xc3","content":[]}',
        b'"\xff"',
    ],
)
def test_an_item_that_is_not_utf8_has_no_slot_and_says_so(message: bytes) -> None:
    located = locate(b'{"messages":[%b]}' % message)
    assert not located.utf8
    assert located.old + located.fresh == []


@pytest.mark.parametrize("word", [rb'"\ud800"', rb'"\udc00\ud800"'])
@pytest.mark.parametrize(
    "message",
    [
        b'{"role":%b,"content":[]}',
        b'{"role":"user","content":[{"type":%b}]}',
        b'{"role":"user","content":[{"type":"tool_result","tool_use_id":%b,"content":"x"}]}',
        b'{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":%b}]}',
    ],
)
def test_a_lone_surrogate_harms_nobody(word: bytes, message: bytes) -> None:
    try:
        locate(b'{"messages":[%b]}' % (message % word))
    except NotJson:
        pass


# How far a body is frozen.


@pytest.mark.parametrize(
    ("messages", "frozen"),
    [
        ([], 0),
        ([user({"type": "text", "text": "x"})], 0),
        ([user({"type": "text", "text": "x", "cache_control": MARKER})], 1),
        ([user({"type": "text", "text": "x", "cache_control": None})], 1),
        ([user({"cache_control": MARKER}), called("a"), user(result("a", "x"))], 1),
        ([user("x"), called("a"), user(result("a", "x", cache_control=MARKER), result("b", "y"))], 3),
        ([user("x"), user(result("a", [{"type": "text", "text": "x", "cache_control": MARKER}])), user("y")], 2),
        ([{"role": "assistant", "content": [{"type": "text", "text": "x", "cache_control": MARKER}]}, user("x")], 1),
        ([{"role": "system", "content": [{"type": "text", "text": "x", "cache_control": MARKER}]}], 1),
        ([{"role": "user", "content": "x", "cache_control": MARKER}], 0),
        ([user("cache_control", None, 1, ["cache_control"], [{"cache_control": MARKER}])], 0),
        ([user({"type": "text", "text": '"cache_control":{"type":"ephemeral"}'})], 0),
        ([user({"type": "document", "content": [{"type": "text", "cache_control": MARKER}]})], 0),
        ([None, 1, "x", [{"cache_control": MARKER}], {"cache_control": MARKER}], 0),
    ],
)
def test_markers_freeze_up_to_the_highest_marked_message(messages: list[object], frozen: int) -> None:
    body = request(*messages)
    assert frozen_count(body, SHAPE) == frozen
    assert locate(body).frozen == frozen


def test_markers_in_system_and_tools_freeze_nothing() -> None:
    body = request(
        user("x"), system=[{"type": "text", "text": "s", "cache_control": MARKER}], tools=[{"cache_control": MARKER}]
    )
    assert frozen_count(body, SHAPE) == 0


@pytest.mark.parametrize("body", [b"{}", b'{"messages":3}', b'{"messages":{}}', b'{"messages":[]}', b"x", b""])
def test_without_messages_nothing_is_frozen(body: bytes) -> None:
    assert frozen_count(body, SHAPE) == 0


# Invented conversations.

WORDS = st.sampled_from(["one", "", "a,b", 'q"', "\\", "é😀", "\n", "\u2028", '{"role":"assistant"}', LONG])
PARTS = st.builds(
    lambda text, marked: {"type": "text", "text": text} | marked,
    WORDS,
    st.sampled_from([{}, {}, {"cache_control": MARKER}]),
)
CONTENTS = WORDS | st.lists(PARTS, max_size=3) | st.none()
MARKS: st.SearchStrategy[Json] = st.sampled_from([{}, {}, {}, {"cache_control": MARKER}, {"cache_control": None}])
RESULTS = st.builds(
    lambda i, content, mark: result(i, content) | mark, st.sampled_from(["a", "b", "é", ""]), CONTENTS, MARKS
)
BLOCKS: st.SearchStrategy[object] = RESULTS | PARTS | st.sampled_from([None, 1, "x", {}, {"type": "image"}])
MESSAGES: st.SearchStrategy[object] = st.builds(
    lambda role, content, mark: {"role": role, "content": content} | mark,
    st.sampled_from(["user", "user", "user", "assistant", "system", "tool"]),
    st.lists(BLOCKS, max_size=4) | WORDS,
    MARKS,
) | st.sampled_from([None, 1, [], {}])


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Bodies with any messages, in the spelling of one client or another."""
    document = {"messages": draw(st.lists(MESSAGES, max_size=6)), "metadata": {"user_id": draw(WORDS)}, "system": "s"}
    members = draw(st.permutations(sorted(document.items(), key=str)))
    return json.dumps(
        dict(members),
        ensure_ascii=draw(st.booleans()),
        indent=draw(st.sampled_from([None, None, 1])),
        separators=draw(st.sampled_from([(",", ":"), (", ", ": ")])),
    ).encode()


@given(bodies())
def test_slots_are_the_texts_that_decoding_the_whole_body_finds(body: bytes) -> None:
    drive_locate(body)


@given(bodies(), st.data())
def test_adding_a_marker_never_lowers_what_is_frozen(body: bytes, data: st.DataObject) -> None:
    document = json.loads(body)
    before = frozen_count(body, SHAPE)
    places = [
        block
        for message in document["messages"]
        if isinstance(message, dict) and isinstance(message.get("content"), list)
        for block in message["content"]
        if isinstance(block, dict)
    ]
    if places:
        data.draw(st.sampled_from(places))["cache_control"] = MARKER
        assert frozen_count(json.dumps(document).encode(), SHAPE) >= max(before, 1)


# Keys and conversations.


def keys(body: bytes, caller: bytes = CALLER, session: bytes = b"") -> list[bytes]:
    """The keys of all slots."""
    located = locate(body, caller, session)
    return [slot.key for slot in located.old + located.fresh]


def test_a_result_keeps_its_key_wherever_it_stands_and_however_it_is_marked() -> None:
    first = keys(request(user(result("a", "one", cache_control=MARKER))))
    later = keys(request(user("x"), called("a"), user(result("a", "one")), called("b"), user("y"), model="other"))
    assert first == later


@pytest.mark.parametrize("other", [result("b", "one"), result("a", "two"), result("a", "one "), result("a", "")])
def test_another_result_has_another_key(other: Json) -> None:
    assert keys(request(user(result("a", "one")))) != keys(request(user(other)))


def test_typed_text_is_keyed_by_its_session_and_opening() -> None:
    def body(opening: str = "hi", session: str = "s") -> bytes:
        typed = [user({"type": "text", "text": text}) for text in (opening, LONG)]
        return request(*typed, metadata={"user_id": session})

    base = keys(body())
    assert base == keys(body())
    assert base == keys(body(), b"the same with a renewed login")
    assert base != keys(body(session="t"))
    assert base != keys(body(opening="ho"))
    assert keys(body(), session=b"given") == keys(body(session="t"), session=b"given") != base


def test_typed_text_without_a_session_is_keyed_by_its_conversations_opening() -> None:
    body = request({"role": "user", "content": LONG})
    assert keys(body) == keys(body) == keys(body, b"the same with a renewed login")
    assert keys(body) != keys(request({"role": "user", "content": LONG + "?"}))


def test_a_prompt_that_turns_from_a_marked_list_into_a_string_stays_in_its_conversation() -> None:
    listed = locate(request(user({"type": "text", "text": LONG, "cache_control": MARKER})))
    string = locate(request({"role": "user", "content": LONG}, called("a"), user(result("a", "x"))))
    assert listed.conversation == string.conversation
    assert [slot.key for slot in listed.fresh] == [slot.key for slot in string.old]


# What was seen before never changes what is found.


def loops() -> Iterator[tuple[str, list[bytes]]]:
    """Conversations turn by turn, by client."""
    outputs = mixed(11, 12, 1_000, 20_000)
    yield "claude", list(claude_code_loop(1, 9, outputs))
    yield "claude resumed", list(claude_code_loop(2, 9, outputs, resumed_at=5, bulk=0.1))
    yield "sdk", list(sdk_loop(3, 9, outputs, content="blocks", marker="nested", python_json=True))
    yield "opencode", list(opencode_loop(4, 9, outputs))


LOOPS = dict(loops())


@pytest.mark.parametrize("client", LOOPS)
def test_a_conversation_is_located_turn_by_turn_as_each_body_alone(client: str) -> None:
    locator = Locator(SHAPE)
    for body in LOOPS[client]:
        located = locator.locate(body, CALLER)
        assert located == locate(body)
        slots = located.old + located.fresh
        assert [pair for pair in texts(body, slots) if pair[0]] == naive_results(body)


def test_interleaved_conversations_and_a_small_memo_change_nothing() -> None:
    locator = Locator(SHAPE, memo_limit=3)
    for turn in range(9):
        for client in LOOPS:
            body = LOOPS[client][turn]
            assert locator.locate(body, CALLER, b"shared") == locate(body, CALLER, b"shared")


BIG = [user(result(f"t{n}", f"output {n} " * 300)) if n % 2 else called(f"t{n + 1}") for n in range(16)]


def _tail(change: Callable[[bytes], bytes]) -> bytes:
    return change(request(*BIG, called("z"), user(result("z", "last"))))


@pytest.mark.parametrize(
    "body",
    [
        request(*BIG, called("z"), user(result("z", "last")), called("y"), user(result("y", "more"))),
        request(*BIG, called("z"), user(result("z", "other")), metadata={"user_id": "t"}),
        request(*BIG, called("z"), user(result("z", LONG)), user({"type": "text", "text": LONG})),
        _tail(lambda body: body.replace(b'"metadata"', b'"other"')),
        _tail(lambda body: body[:-1] + b',"messages":[]}'),
        _tail(lambda body: body[:-1] + b',"messages":[{"role":"user","content":[]}]}'),
        _tail(lambda body: body[:-1] + rb',"mess\u0061ges":[0]}'),
        _tail(lambda body: body[:-1] + b',"metadata":{"user_id":"t"}}'),
        _tail(lambda body: body[:-1] + b',"metadata":{}}'),
        request(*BIG),
        request(*BIG[:-1]),
        request(*BIG, 1),
    ],
)
def test_a_beginning_that_was_seen_before_changes_nothing(body: bytes) -> None:
    locator = Locator(SHAPE)
    typed = user({"type": "text", "text": LONG})
    for earlier in (
        request(*BIG, called("z"), typed),
        request(*BIG, called("z"), user(result("z", "last"))),
    ):
        locator.locate(earlier, CALLER)
    assert locator.locate(body, CALLER) == locate(body)


def test_a_session_named_after_the_messages_of_an_earlier_body_is_not_taken_for_this_ones() -> None:
    typed = [user({"type": "text", "text": LONG}), *BIG, called("z")]
    locator = Locator(SHAPE)
    locator.locate(request(*typed, user("x"), metadata={"user_id": "s"}), CALLER)
    body = request(*typed, user("y"))
    assert locator.locate(body, CALLER) == locate(body)


def test_an_item_that_goes_on_where_an_earlier_one_ended_is_read_whole() -> None:
    begin = request(*BIG, 1)[:-2]
    locator = Locator(SHAPE)
    locator.locate(begin + b',1,2,3,{"role":"assistant","content":[]}]}', CALLER)
    for rest in (b'.5,{"role":"assistant","content":[]}]}', b"2]}", b"e3]}", b".5]}", b"]}"):
        body = begin + rest
        assert locator.locate(body, CALLER) == locate(body)


def test_the_tools_that_were_called_last_are_named() -> None:
    body = request(called("old"), user(result("old", "x")), called("a", "b"), user(result("a", "x"), result("b", "y")))
    locator = Locator(SHAPE)
    located = locator.locate(body, CALLER)
    assert locator.tool_names(body, located.fresh_from) == {"a": "Bash", "b": "Bash"}


@pytest.mark.parametrize("type_", [[], {}, [["tool_use"]], {"tool_use": 1}, 1, None])
def test_what_has_no_text_for_a_type_is_no_call_of_a_tool(type_: object) -> None:
    odd = {"role": "assistant", "content": [{"type": type_, "id": "odd", "name": "Bash", "input": {}}]}
    body = request(called("a"), odd, user(result("a", "x"), result("odd", "y")))
    locator = Locator(SHAPE)
    located = locator.locate(body, CALLER)
    assert locator.tool_names(body, located.fresh_from) == {"a": "Bash"}


ANTHROPIC_CLIENTS = [client for client in clients() if "claude" in client or "anthropic" in client]


@pytest.mark.parametrize("client", ANTHROPIC_CLIENTS)
def test_the_slots_of_real_requests_are_the_texts_that_decoding_finds(client: str) -> None:
    locator = Locator(SHAPE)
    for sent in captured(client):
        if sent.method != "POST":
            continue
        located = locator.locate(sent.body, CALLER)
        assert located == locate(sent.body)
        slots = located.old + located.fresh
        assert [pair for pair in texts(sent.body, slots) if pair[0]] == naive_results(sent.body)
        assert splice(sent.body, [Edit(s.start, s.end, sent.body[s.start : s.end]) for s in slots]) == sent.body


# The user's own words.


def words(body: bytes) -> list[tuple[int, str]]:
    """(item, text) of the tokens with the user's own words."""
    return [(found.item, to_text(body[found.start : found.end])) for found in locate(body).words]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("what is this", "what is this"),
        ([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}], "two"),
        ([{"type": "text", "text": "one"}, {"type": "text", "text": "<system-reminder>two</system-reminder>"}], "one"),
        ([{"type": "text", "text": "one"}, {"type": "text", "text": "\n \t<note>two</note>"}], "one"),
        ([{"type": "text", "text": "one", "cache_control": MARKER}, {"type": "image", "source": {}}], "one"),
        ([result("a", "of a tool"), {"type": "text", "text": "and mine"}], "and mine"),
    ],
)
def test_the_users_own_words_are_the_last_text_that_is_no_clients_note(content: object, text: str) -> None:
    assert words(request({"role": "user", "content": content})) == [(0, text)]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": ""},
        {"role": "user", "content": "  \n"},
        {"role": "user", "content": [result("a", "of a tool")]},
        {"role": "user", "content": [result("a", [{"type": "text", "text": "of a tool"}])]},
        {"role": "user", "content": [{"type": "text", "text": "<system-reminder>x</system-reminder>"}]},
        {"role": "assistant", "content": "mine"},
        {"role": "system", "content": "mine"},
        {"role": "user", "content": 7},
    ],
)
def test_results_notes_and_others_texts_are_not_the_users_words(message: object) -> None:
    assert words(request(message)) == []


def test_words_are_found_in_each_item_also_where_the_beginning_was_seen_before() -> None:
    locator = Locator(SHAPE)
    turns: list[object] = []
    for number in range(12):
        turns += [{"role": "user", "content": f"question {number} " + LONG}, called(f"c{number}")]
        body = request(*turns)
        found = [to_text(body[w.start : w.end]).split()[1] for w in locator.locate(body, CALLER).words]
        assert found == [str(n) for n in range(number + 1)]
