"""The comparison of two sessions sees every fault that it is there to see, told by toy proxies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tests.support.loops import LOOPS, claude_code_loop, gemini_loop
from tests.support.outputs import mixed
from tests.support.replay_check import compare
from tests.support.request_shape import dialect_of, parse, result_texts

RESULTS = mixed(21, 12, 4_000, 12_000)


def rewritten(body: bytes, change: Callable[[int, str], str], *, first: int = 0) -> bytes:
    """The body with each tool result text from message `first` on replaced by what `change` makes
    of it.

    `change` is given how many there are from this one to the last. Only the string tokens are
    replaced.
    """
    request = parse(body)
    found = result_texts(dialect_of(request), request)
    for at, slot in enumerate(found):
        new = change(len(found) - at, slot.text)
        if new != slot.text:
            old_token, new_token = (json.dumps(text, ensure_ascii=False).encode() for text in (slot.text, new))
            assert old_token in body
            body = body.replace(old_token, new_token)
    return body


def halved(text: str) -> str:
    """The first half of a text."""
    return text[: len(text) // 2]


def always(bodies: Iterable[bytes]) -> list[bytes]:
    """A proxy that shortens each result to the same text on every turn."""
    return [rewritten(body, lambda _, text: halved(text)) for body in bodies]


def newest_only(bodies: Iterable[bytes]) -> list[bytes]:
    """A proxy that shortens the newest result and sends the older ones whole again."""
    return [rewritten(body, lambda left, text: halved(text) if left == 1 else text) for body in bodies]


@pytest.fixture(params=LOOPS)
def session(request: Any) -> list[bytes]:
    """A session of each client in turn."""
    return list(LOOPS[request.param](1, 12, RESULTS))


def test_an_untouched_session_is_sound_and_costs_the_same(session: list[bytes]) -> None:
    report = compare(session, list(session))
    assert report.sound, report
    assert report.ratio == 1.0
    assert report.changed == 0


def test_a_proxy_that_repeats_itself_is_sound_and_cheaper(session: list[bytes]) -> None:
    report = compare(session, always(session))
    assert report.sound, report
    assert report.ratio < 0.95
    last = parse(session[-1])
    assert report.changed == len(result_texts(dialect_of(last), last)) > 8


def test_a_proxy_that_shortens_only_the_newest_result_is_found_unstable(
    session: list[bytes],
) -> None:
    report = compare(session, newest_only(session))
    assert not report.sound
    assert {breach.what[:9] for breach in report.breaches} == {"not as it"}
    assert report.proxied_bill > compare(session, always(session)).proxied_bill


def test_breaking_the_cache_of_claude_code_costs_more_than_no_proxy() -> None:
    session = list(claude_code_loop(1, 12, RESULTS))
    assert compare(session, newest_only(session)).ratio > 1.0


def test_a_retry_that_is_forwarded_otherwise_is_unstable(session: list[bytes]) -> None:
    retried = [*session[:6], session[5], *session[6:]]
    received = always(retried)
    assert compare(retried, received).sound
    received[6] = session[5]
    assert {breach.turn for breach in compare(retried, received).breaches} == {7, 8}


def test_a_session_in_between_does_not_hide_a_change(session: list[bytes]) -> None:
    sent = [*session[:6], session[0], session[6]]
    received = [*always(session[:6]), session[0], session[6]]
    report = compare(sent, received)
    assert not report.sound
    assert {breach.turn for breach in report.breaches} == {8}


def test_a_client_that_rewrites_its_own_history_is_followed() -> None:
    session = list(gemini_loop(1, 12, RESULTS, masked_at=7))
    report = compare(session, always(session))
    assert report.sound, report


def test_the_key_order_of_a_resumed_client_does_not_excuse_another_text() -> None:
    session = list(claude_code_loop(1, 12, RESULTS, resumed_at=7))
    assert compare(session, always(session)).sound
    received = [*always(session[:6]), *session[6:]]
    assert any(breach.turn == 7 for breach in compare(session, received).breaches)


FAULTS: dict[str, Callable[[bytes], bytes]] = {
    "a word of a prompt": lambda body: body.replace(b"Find out", b"Find  out"),
    "a space between values": lambda body: body.replace(b'":', b'": ', 1),
    "ASCII escapes": lambda body: body.replace("—".encode(), b"\\u2014"),
    "an order of keys": lambda body: json.dumps(
        dict(reversed(json.loads(body).items())), ensure_ascii=False, separators=(",", ":")
    ).encode(),
    "an added field": lambda body: body[:-1] + b',"user":"x"}',
    "a dropped tool": lambda body: body.replace(b'"Glob"', b'"Blob"'),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_change_outside_the_tool_results_is_seen(session: list[bytes], fault: str) -> None:
    spoilt = FAULTS[fault](session[-1])
    assert spoilt != session[-1]
    report = compare(session, [*session[:-1], spoilt])
    assert any(breach.turn == 12 and breach.place == "request" for breach in report.breaches), report


def test_a_respelled_number_is_seen() -> None:
    body = b'{"model":"m","temperature":1.0,"messages":[]}'
    assert not compare([body], [body.replace(b"1.0", b"1")], dialect="chat").sound


def test_a_marker_that_was_touched_is_seen() -> None:
    session = list(claude_code_loop(1, 3, RESULTS))
    touched = session[2].replace(
        b'"cache_control":{"type":"ephemeral"}', b'"cache_control":{"type":"ephemeral","ttl":"5m"}'
    )
    assert not compare(session, [*session[:2], touched]).sound


def test_a_result_that_is_respelled_without_being_changed_is_seen() -> None:
    body = '{"model":"m","messages":[{"role":"tool","tool_call_id":"c","content":"é"}]}'.encode()
    (breach,) = compare([body], [body.replace("é".encode(), b"\\u00e9")], dialect="chat").breaches
    assert "respelled" in breach.what


def with_tool(body: bytes) -> bytes:
    """The body with one more tool at the end of its list."""
    request = json.loads(body)
    tool: Any = {"name": "fetch_whole", "input_schema": {}}
    if "contents" in request:
        request["tools"].append({"functionDeclarations": [tool]})
    else:
        request["tools"].append({"type": "function", "function": tool} if "function" in request["tools"][0] else tool)
    return json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode()


def test_an_appended_tool_is_allowed_by_name_and_has_its_price(session: list[bytes]) -> None:
    received = [with_tool(body) for body in session]
    assert not compare(session, received).sound
    report = compare(session, received, added_tools=["fetch_whole"], step=1)
    assert report.sound, report
    assert report.ratio > 1.0


def test_a_tool_that_is_appended_half_way_is_unstable(session: list[bytes]) -> None:
    received = [*session[:6], *map(with_tool, session[6:])]
    report = compare(session, received, added_tools=["fetch_whole"])
    assert {(breach.turn, breach.place) for breach in report.breaches} >= {(7, "tools")}


def test_sessions_of_different_length_are_not_compared(session: list[bytes]) -> None:
    with pytest.raises(ValueError, match="12 requests sent, 11 received"):
        compare(session, session[1:])


def test_two_empty_sessions_are_equal() -> None:
    report = compare([], [])
    assert report.sound
    assert report.ratio == 1.0


def test_an_appended_tool_may_be_the_only_one_but_another_may_not() -> None:
    body = b'{"model":"m","messages":[]}'
    tools = [{"type": "function", "function": {"name": name}} for name in ("mine", "fetch_whole")]
    one, two = (json.dumps({**json.loads(body), "tools": tools[at:]}).encode() for at in (1, 0))
    assert compare([body], [one], dialect="chat", added_tools=["fetch_whole"]).sound
    assert not compare([body], [two], dialect="chat", added_tools=["fetch_whole"]).sound


def test_typed_prompts_may_change_only_when_that_is_said(session: list[bytes]) -> None:
    received = [FAULTS["a word of a prompt"](body) for body in session]
    assert not compare(session, received).sound
    assert compare(session, received, prompts=True).sound


def test_the_report_reads_as_the_message_of_an_assertion() -> None:
    session = list(claude_code_loop(1, 5, RESULTS))
    message = str(compare(session, newest_only(session)))
    assert "messages[3]: not as it was on turn 2" in message
    assert "bill " in message
