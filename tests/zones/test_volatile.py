"""What changes from request to request is found where it does harm, in every dialect, and never shown whole."""

from __future__ import annotations

import ast
import hashlib
import json
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import headroom
from fuzz.drives import drive_volatile
from headroom import providers
from headroom.zones import volatile as module
from headroom.zones.shape import Shape
from headroom.zones.volatile import FINDINGS, TEXT_LIMIT, Finding, classify_word, sample_of, volatile, windows

V4 = "550e8400-e29b-41d4-a716-446655440000"
V1 = "550e8400-e29b-11d4-a716-446655440000"
STAMP = "2026-07-01T12:34:56"
MD5 = "d41d8cd98f00b204e9800998ecf8427e"


def jwt(claims: object = None) -> str:
    parts = [json.dumps({"alg": "HS256"}).encode(), json.dumps(claims or {"sub": "someone"}).encode(), b"signature"]
    return ".".join(urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def shape_of(dialect: providers.Dialect) -> Shape:
    assert dialect.shape is not None
    return dialect.shape


def found(body: object, dialect: providers.Dialect = providers.ANTHROPIC, fresh_from: int = 99) -> list[Finding]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    before = hashlib.sha256(raw).digest()
    made = list(volatile(raw, shape_of(dialect), fresh_from))
    assert hashlib.sha256(raw).digest() == before
    return made


def told(body: object, dialect: providers.Dialect = providers.ANTHROPIC, fresh_from: int = 99) -> list[tuple[str, str]]:
    return [(finding.kind, finding.location) for finding in found(body, dialect, fresh_from)]


def test_neither_the_search_nor_what_it_uses_of_ours_knows_regular_expressions() -> None:
    package = Path(headroom.__file__).parent
    todo, done = ["headroom.zones.volatile"], set()
    while todo:
        name = todo.pop()
        done.add(name)
        place = package.parent / Path(*name.split(".")).with_suffix(".py")
        for node in ast.walk(ast.parse(place.read_text())):
            named = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                named.append(node.module)
            assert not {"re", "regex"} & set(named), name
            todo += [one for one in named if one.startswith("headroom.") and one not in done]
    assert done == {"headroom.zones.volatile", "headroom.zones.preamble", "headroom.zones.shape"}


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        (V1, "uuid"),
        (f"({V1.upper()}).", "uuid"),
        ("2026-07-01.", "iso8601"),
        ("2026-07-01T10:00:00Z", "iso8601"),
        ("<2026-07-01T10:00:00.123456-07:00>,", "iso8601"),
        ("20260701T1000", "iso8601"),
        (MD5, "hex_hash"),
        ('"' + "a1" * 20 + '"', "hex_hash"),
        ("F0" * 32, "hex_hash"),
        (jwt(), "jwt"),
        (f"[{jwt()}]", "jwt"),
        ("v1.2.3", None),
        ("deadbeef", None),
        ("12345678", None),
        ("2026-13-01", None),
        ("2024-2025", None),
        ("TYPESCRIPT", None),
        ("well-known", None),
        ("a" * 33, None),
        ("0x" + "a" * 30, None),
        ("1_" + "a" * 30, None),
        ("g" * 32, None),
        ("asyncio.streams.reader", None),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0", None),
        ("eyJhbGciOiJIUzI1NiJ9.eyJ.eyJzdWIiOiIxIn0", None),
        ("eyJhbGciOiJIUzI1NiJ9.!!!!!.eyJzdWIiOiIxIn0", None),
        ("." * 40, None),
        ("-" * 40, None),
        ("", None),
    ],
)
def test_a_word_of_instructions_is_classified(word: str, kind: str | None) -> None:
    made = classify_word(word)
    assert (None if made is None else made[0]) == kind
    assert told({"system": f"So it is {word} today"}) == (
        [] if kind is None else [(kind_in_text(word, kind), "system")]
    )


def kind_in_text(word: str, kind: str) -> str:
    """The windows are looked at first: what one of them holds is not told as a word again."""
    return "iso8601_timestamp" if kind == "iso8601" and windows(word.encode()) else kind


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        (STAMP, ["iso8601_timestamp"]),
        (STAMP.replace("T", "t"), ["iso8601_timestamp"]),
        (STAMP.replace("T", " "), ["iso8601_timestamp"]),
        (f"x{STAMP}.123Z", ["iso8601_timestamp"]),
        (STAMP.replace("T", "_"), []),
        (STAMP[:-1], []),
        ("2026-07-01", []),
        (V4, ["uuid_v4"]),
        (V4.upper(), ["uuid_v4"]),
        (f"id={V4};", ["uuid_v4"]),
        (V1, []),
        (V4.replace("-a716", "-c716"), []),
        (V4[:-1] + "g", []),
        (f"{V1} {V4}", ["uuid_v4"]),
        (f"{STAMP}{STAMP}{V4}", ["iso8601_timestamp", "iso8601_timestamp", "uuid_v4"]),
        ("-" * 99, []),
        ("é" * 9 + STAMP, ["iso8601_timestamp"]),
    ],
)
def test_a_window_is_found_wherever_it_stands(text: str, kinds: list[str]) -> None:
    assert [kind for kind, _, _ in windows(text.encode())] == kinds
    tools = [{"name": "t", "description": text}]
    assert told({"tools": tools}) == [(kind, "tools[0].description") for kind in dict.fromkeys(kinds)]


@pytest.mark.parametrize(
    ("member", "flagged"),
    [
        ({"request_id": "r-1234"}, True),
        ({"X_Trace_ID": "abc"}, True),
        ({"my_session_id_2": 17}, True),
        ({"correlation_id": 1.5}, True),
        ({"session_id": ""}, False),
        ({"session_id": None}, False),
        ({"session_id": True}, False),
        ({"session_id": {"type": "string"}}, False),
        ({"session": "abc"}, False),
        ({"id": "abc"}, False),
    ],
)
def test_a_field_is_found_that_names_an_id_and_has_a_value(member: dict[str, object], flagged: bool) -> None:
    made = told({"tools": [{"name": "t", "input_schema": {"properties": {"a": member}}}]})
    assert [kind for kind, _ in made] == (["id_field"] if flagged else [])


TEXT = f"Now {STAMP}"
AT = "iso8601_timestamp"
BODIES: list[tuple[providers.Dialect, object, list[tuple[str, str]]]] = [
    (
        providers.ANTHROPIC,
        {
            "system": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, {"type": "text", "text": TEXT}],
            "tools": [{"name": str(n), "description": TEXT if n == 3 else ""} for n in range(4)],
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": TEXT}]},
                {"role": "assistant", "content": [{"type": "text", "text": TEXT}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": TEXT}]},
            ],
        },
        [(AT, "system[2].text"), (AT, "tools[3].description"), (AT, "messages[0].content[1].text")],
    ),
    (
        providers.OPENAI_CHAT,
        {
            "messages": [
                {"role": "system", "content": TEXT},
                {"role": "developer", "content": [{"type": "text", "text": TEXT}]},
                {"role": "user", "content": TEXT},
                {"role": "assistant", "content": TEXT},
                {"role": "tool", "tool_call_id": "1", "content": TEXT},
            ],
            "tools": [
                {"type": "function", "function": {"name": "a", "description": TEXT, "parameters": {"title": TEXT}}}
            ],
        },
        [
            (AT, "tools[0].function.description"),
            (AT, "tools[0].function.parameters.title"),
            (AT, "messages[0].content"),
            (AT, "messages[1].content[0].text"),
            (AT, "messages[2].content"),
        ],
    ),
    (
        providers.OPENAI_RESPONSES,
        {
            "instructions": TEXT,
            "tools": [{"type": "function", "name": "a", "description": TEXT, "parameters": {}}],
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": TEXT}]},
                {"type": "function_call", "call_id": "1", "name": "a", "arguments": TEXT},
                {"type": "function_call_output", "call_id": "1", "output": TEXT},
            ],
        },
        [(AT, "instructions"), (AT, "tools[0].description"), (AT, "input[0].content[0].text")],
    ),
    (
        providers.GEMINI,
        {
            "systemInstruction": {"parts": [{"text": TEXT}]},
            "tools": [{"functionDeclarations": [{"name": "a"}, {"name": "b", "description": TEXT}]}],
            "contents": [
                {"role": "user", "parts": [{"text": TEXT}]},
                {"role": "model", "parts": [{"text": TEXT}]},
                {"role": "user", "parts": [{"functionResponse": {"name": "a", "response": {"output": TEXT}}}]},
            ],
        },
        [
            (AT, "systemInstruction.parts[0].text"),
            (AT, "tools[0].functionDeclarations[1].description"),
            (AT, "contents[0].parts[0].text"),
        ],
    ),
    (
        providers.CLOUDCODE,
        {
            "model": "m",
            "request": {
                "systemInstruction": {"parts": [{"text": TEXT}]},
                "contents": [{"role": "user", "parts": [{"text": TEXT}]}, {"role": "model", "parts": []}],
            },
        },
        [(AT, "request.systemInstruction.parts[0].text"), (AT, "request.contents[0].parts[0].text")],
    ),
]


@pytest.mark.parametrize(("dialect", "body", "places"), BODIES, ids=[body[0].name for body in BODIES])
def test_a_place_is_named_in_the_dialect_own_words(
    dialect: providers.Dialect, body: object, places: list[tuple[str, str]]
) -> None:
    assert told(body, dialect) == places


@pytest.mark.parametrize(("dialect", "body", "places"), BODIES, ids=[body[0].name for body in BODIES])
def test_a_turn_that_is_sent_first_is_let_be(
    dialect: providers.Dialect, body: object, places: list[tuple[str, str]]
) -> None:
    """Instructions among the items are no turn."""
    said = {"messages[0].content[1].text", "messages[2].content", "input[0].content[0].text"}
    said |= {"contents[0].parts[0].text", "request.contents[0].parts[0].text"}
    kept = [place for place in places if place[1] not in said]
    assert told(body, dialect, 0) == kept and len(kept) < len(places)


def test_at_most_ten_are_told_and_each_kind_once_in_a_place() -> None:
    blocks = [{"type": "text", "text": f"{V4} {V4} {MD5} {STAMP}"} for _ in range(9)]
    made = told({"system": blocks})
    assert len(made) == FINDINGS == 10
    assert made[:3] == [(AT, "system[0].text"), ("uuid_v4", "system[0].text"), ("hex_hash", "system[0].text")]


@pytest.mark.parametrize(
    ("value", "sample"),
    [
        (V4, "550e8400...0000"),
        (STAMP, "2026-07-...6"),
        ("2026-07-01", "2026-..."),
        ("ab", "a..."),
        ("a", "..."),
        ("x" * 500, "x" * 8 + "..." + "x" * 4),
    ],
)
def test_a_sample_is_at_most_half_of_its_value(value: str, sample: str) -> None:
    assert sample_of(value) == sample
    assert len(sample) - 3 <= len(value) / 2


def test_of_a_token_nothing_is_shown() -> None:
    (finding,) = found({"system": f"Authorization: {jwt()}"})
    assert (finding.kind, finding.sample) == ("jwt", "")
    (finding,) = found({"tools": [{"session_id": jwt()}]})
    assert (finding.kind, finding.sample) == ("id_field", "")


def test_a_key_that_is_no_name_is_not_told() -> None:
    secret = "sk-1234567890"
    assert told({"tools": [{secret: {V4: {"description": STAMP}, "a1_session_id": "x"}}]}) == [
        ("id_field", "tools[0].*.session_id"),
        (AT, "tools[0].*.*.description"),
    ]


def test_an_equal_value_has_an_equal_mark_and_another_another() -> None:
    one, same, other = (found({"system": text})[0].mark for text in (f"a {V4}", f"b {V4}", V4[:-1] + "1"))
    assert one == same != other


VALUES = st.one_of(
    st.uuids(version=4).map(str),
    st.uuids(version=1).map(str),
    st.datetimes().map(lambda moment: moment.isoformat(timespec="seconds")),
    st.dates().map(str),
    st.binary(min_size=16, max_size=16).map(bytes.hex),
    st.binary(min_size=20, max_size=20).map(bytes.hex),
    st.dictionaries(st.text(max_size=5), st.text(max_size=9), min_size=1, max_size=3).map(jwt),
)


@given(value=VALUES, key=st.sampled_from(["text", "session_id", "x"]), around=st.text("ab .,é\n", max_size=9))
def test_no_value_is_ever_shown_whole(value: str, key: str, around: str) -> None:
    body = {
        "system": [{"type": "text", "text": f"{around} {value} {around}", key: value, value: {"text": value}}],
        "tools": [{"name": value, "description": value, value: {"request_id": value}}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": value}]}],
    }
    made = found(body)
    assert made
    for finding in made:
        assert value not in finding.sample and value not in finding.location
        shown = finding.sample.replace("...", "")
        assert len(shown) * 2 <= len(value)


@pytest.mark.parametrize(
    "unit", ["-", ".", "0", "0-", "a.", V1, STAMP[:-1], "2026-07-01 ", "eyJh.aaaa.aaaaa ", "\\", "é"]
)
def test_a_megabyte_of_anything_is_searched_as_far_as_the_limit(unit: str) -> None:
    """The last value beyond the limit is not found: what is looked at is bounded, whatever it is."""
    text = unit * ((1 << 20) // len(unit)) + f" {MD5} "
    for body in ({"system": text}, {"system": [{"type": "text", "text": text}]}, {"tools": [{"description": text}]}):
        made = found(body)
        assert "hex_hash" not in [finding.kind for finding in made]
    assert ("hex_hash", "system") in told({"system": f"{MD5} " + text})


def test_a_long_text_is_cut_within_no_character_and_no_escape() -> None:
    for pad in range(14):
        for unit in ("é", "\\u00e9", "\\ud83d\\ude00", "\\n", "\U0001f600"):
            raw = b'{"system":"%b %b%b"}' % (V4.encode(), b"x" * pad, unit.encode() * TEXT_LIMIT)
            assert told(raw) == [("uuid_v4", "system")]


def test_the_search_is_linear() -> None:
    """What is counted is the words and values looked at, not time."""
    search = module._Search(shape_of(providers.ANTHROPIC))
    search._text("system", (None, "system"), "aaaaaaaa " * 500)
    assert search._nodes == module.NODES - 500
    many = b'{"tools":[%b]}' % b",".join([b'{"a":"aaaaaaaaaaaaaaaaaaaaaa"}'] * 7_000)
    assert told(many) == []
    deep = b'{"tools":%b"%b"%b}' % (b"[" * 900, STAMP.encode(), b"]" * 900)
    assert told(deep) == [(AT, "tools" + "[0]" * 15 + "...")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b'{"system":1,"tools":2,"messages":3}',
        b'{"system":{},"tools":{},"messages":{}}',
        b'{"messages":[{"role":[],"content":"x"},{"role":{},"type":[]},null,[]]}',
        b'{"messages":[{"role":"user","content":[{"type":[]},{"type":"text","text":1},7,null]}]}',
        b'{"system":"\\ud800 2026-07-01"}',
        b'{"system":"\xff 2026-07-01"}',
        b'{"request":[]}',
        b'{"tools":' + b"[" * 5000,
    ],
)
def test_a_body_of_any_form_is_searched(body: bytes) -> None:
    for dialect in providers.DIALECTS:
        assert found(body, dialect) == []


def test_an_input_that_is_one_text_is_the_fresh_turn() -> None:
    assert told({"instructions": TEXT, "input": TEXT}, providers.OPENAI_RESPONSES, 0) == [(AT, "instructions")]


def test_bytes_of_an_image_are_not_searched() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": f"{STAMP}{V4}"}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "what is it?"}]
    assert told({"messages": [{"role": "user", "content": content}]}) == []


@settings(max_examples=200)
@given(st.recursive(st.none() | st.text() | VALUES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_the_drive_takes_any_json(value: object) -> None:
    drive_volatile(json.dumps({"system": value, "tools": value, "messages": [value, {"content": value}]}).encode())


def test_uuids_of_other_versions_are_words_alone() -> None:
    for each in (uuid.UUID(V1), uuid.uuid5(uuid.NAMESPACE_DNS, "x")):
        assert told({"system": str(each)}) == [("uuid", "system")]
        assert told({"tools": [str(each)]}) == []
