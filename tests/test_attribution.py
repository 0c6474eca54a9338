"""A request names its project before its path or in a field, its user in a field, and the provider sees neither."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.attribution import NAME_LIMIT, Attribution, BadPrefix, attribution, without_prefix
from tests.support.embedded import edge_to
from tests.support.origin import Origin
from tests.support.outputs import invented
from tests.support.raw_client import ask
from tests.support.raw_origin import AnsweringOrigin
from tests.support.request_shape import parse, result_texts
from tests.test_plan import KEY, decide, place
from tests.test_sdks import ANSWER, SCRIPT, SDKS, Sdk, logged

PREFIXED = "/p/my%20project"


@pytest.mark.parametrize(
    ("target", "rest", "name"),
    [
        (b"/p/a/v1/messages?x=/p/b/", b"/v1/messages?x=/p/b/", b"a"),
        (b"/p/my%20project/v1/messages", b"/v1/messages", b"my%20project"),
        (b"/p/a%2Fb/v1", b"/v1", b"a%2Fb"),
        (b"/p/a", b"/", b"a"),
        (b"/p/a?x", b"/?x", b"a"),
        (b"/p/a/", b"/", b"a"),
        (b"/p/a//v1", b"//v1", b"a"),
        (b"/p//v1/messages", b"/v1/messages", b""),
        (b"/p/a/p/b/v1", b"/p/b/v1", b"a"),
        (b"/p", b"/p", None),
        (b"/pp/a/v1", b"/pp/a/v1", None),
        (b"/v1/p/a", b"/v1/p/a", None),
        (b"/P/a/v1", b"/P/a/v1", None),
    ],
)
def test_the_prefix_is_taken_off_once(target: bytes, rest: bytes, name: bytes | None) -> None:
    assert without_prefix(target) == (rest, name)


@pytest.mark.parametrize(
    ("written", "field", "project"),
    [
        (b"my%20project", None, "my project"),
        (b"caf%C3%A9%E2%80%94x", None, "café—x"),
        (b"%20a%20", None, "a"),
        (b"a", b"b", "b"),
        (b"a", b"", ""),
        (None, b"caf\xc3\xa9", "café"),
        (None, b"not%20decoded", "not%20decoded"),
        (b"", None, ""),
        (b"x" * NAME_LIMIT, None, "x" * NAME_LIMIT),
    ],
)
def test_the_field_wins_over_the_prefix(written: bytes | None, field: bytes | None, project: str) -> None:
    fields = {} if field is None else {b"x-headroom-project": field}
    assert attribution(written, fields) == Attribution(project)


@pytest.mark.parametrize("name", ["x" * (NAME_LIMIT + 1), "a\nb", "a\x00", "a\u200bb", "a\u2028b", "\x7f", "a\u202eb"])
def test_a_name_that_is_not_fit_is_none_and_said_to_be(name: str) -> None:
    assert attribution(None, {b"x-headroom-project": name.encode()}) == Attribution(unfit=("project",))
    assert attribution(b"a", {b"x-headroom-user": name.encode()}) == Attribution("a", unfit=("user",))
    written = b"".join(b"%%%02X" % byte for byte in name.encode())
    assert attribution(written, {}) == Attribution(unfit=("project",))


def test_a_field_that_is_no_text_is_not_fit() -> None:
    assert attribution(None, {b"x-headroom-user": b"\xff"}) == Attribution(unfit=("user",))


@pytest.mark.parametrize("written", [b"%", b"a%2", b"%zz", b"%FF", b"a%C3", b"%ED%A0%80"])
def test_a_broken_encoding_is_refused_even_where_the_field_would_win(written: bytes) -> None:
    for fields in ({}, {b"x-headroom-project": b"a"}):
        with pytest.raises(BadPrefix):
            attribution(written, fields)


@given(st.binary(max_size=200), st.none() | st.binary(max_size=99), st.none() | st.binary(max_size=99))
def test_whatever_is_given_a_name_is_short_and_printable(
    target: bytes, project: bytes | None, user: bytes | None
) -> None:
    rest, written = without_prefix(b"/p/" + target)
    assert rest.startswith(b"/")
    given_fields = {b"x-headroom-project": project, b"x-headroom-user": user}
    try:
        found = attribution(written, {name: value for name, value in given_fields.items() if value is not None})
    except BadPrefix:
        return
    for name in (found.project, found.user):
        assert len(name) <= NAME_LIMIT and name.isprintable() and name == name.strip()


@pytest.mark.parametrize(
    ("line", "fields", "where", "route"),
    [
        ("POST /p/x/v1/messages?beta=true", KEY, "a.test/v1/messages?beta=true", "messages"),
        ("POST /p/x/v1/chat/completions", {}, "o.test/v1/chat/completions", "chat.completions"),
        ("POST /p/x/v1beta/models/m:generateContent", {}, "g.test/v1beta/models/m:generateContent", "gemini.generate"),
        ("GET /p/x/v1/files", KEY, "a.test/v1/files", "other"),
        ("HEAD /p/x", KEY, "a.test/", "other"),
        ("POST http://elsewhere.test/p/x/v1/messages", KEY, "a.test/v1/messages", "messages"),
    ],
)
def test_a_request_is_routed_by_what_follows_its_prefix(
    line: str, fields: dict[str, str], where: str, route: str
) -> None:
    found = decide(line, {**fields, "X-Headroom-User": "eve"})
    assert place(found) == where
    assert (found.route, found.project, found.user) == (route, "x", "eve")  # type: ignore[union-attr]


async def send(port: int, line: str, *fields: str, body: bytes = b"") -> Any:
    head = "\r\n".join((f"{line} HTTP/1.1", f"Host: 127.0.0.1:{port}", *fields, f"Content-Length: {len(body)}", "", ""))
    return await ask(port, head.encode() + body)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("POST /p/%zz/v1/messages", {"type": "error"}),
        ("POST /p/%zz/v1/chat/completions", {"code": None}),
        ("POST /p/%zz/v1beta/models/m:generateContent", {"code": 400}),
    ],
)
async def test_a_broken_prefix_is_answered_in_the_words_of_the_provider(line: str, error: dict[str, object]) -> None:
    async with AnsweringOrigin() as origin, edge_to(origin.url) as edge:
        answer = await send(edge.port, line, body=b"{}")
        assert answer.status == 400
        said = json.loads(answer.body)
        assert all(value in (said.get(key), said["error"].get(key)) for key, value in error.items())
        assert set(error) <= {*said, *said["error"]}
        assert "percent-encoded" in said["error"]["message"] and "%zz" not in said["error"]["message"]
        assert not origin.requests


@pytest.mark.parametrize("strip", ["enabled", "disabled"])
async def test_the_provider_sees_neither_prefix_nor_fields(strip: str) -> None:
    async with AnsweringOrigin() as origin, edge_to(origin.url, strip_internal_headers=strip) as edge:
        line, named = f"POST {PREFIXED}/v1/messages?beta=true", ("X-Headroom-Project: over", "x-HEADROOM-user: eve")
        assert (await send(edge.port, line, *named, body=b"{}")).status == 200
        assert (await send(edge.port, f"GET {PREFIXED}/v1/files", *named)).status == 200
        assert [request.target for request in origin.requests] == [b"/v1/messages?beta=true", b"/v1/files"]
        seen = b"".join(heard.data for heard in origin.heard).lower()
        assert not any(word in seen for word in (b"project", b"x-headroom-user", b"eve", b"over"))


@pytest.mark.parametrize(
    "line",
    [
        "GET /p/x/livez",
        "GET /p/x/health",
        "GET /p/x/stats",
        "HEAD /p/x/metrics",
        "POST /p/x/v1/compress",
        "POST /p/x/v1/retrieve",
        "GET /p/x/v1/retrieve/0123456789abcdef01234567",
        "GET /p/%zz/stats",
    ],
)
async def test_our_own_endpoints_belong_to_no_project_and_nothing_for_them_goes_to_a_provider(line: str) -> None:
    async with AnsweringOrigin() as origin, edge_to(origin.url) as edge:
        request = f"{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode()
        assert (await ask(edge.port, request, line.split(maxsplit=1)[0].encode())).status == 404
        assert not origin.requests


async def test_the_log_names_the_project_and_no_user_and_says_what_is_not_fit(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    async with AnsweringOrigin() as origin, edge_to(origin.url, log_file=log, log_level="info") as edge:
        await send(edge.port, f"GET {PREFIXED}/v1/files?x", "X-Headroom-User: mallory")
        await send(edge.port, "GET /v1/files", "X-Headroom-Project: " + "x" * 65)
        await send(edge.port, "GET /v1/files")
    first, second, third = logged(log)
    assert (first["project"], first["path"]) == ("my project", "/v1/files") and "mallory" not in log.read_text()
    assert second["unfit"] == ["project"] and "project" not in second
    assert "project" not in third and "unfit" not in third


async def test_stats_tell_the_tokens_saved_by_project() -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": invented("json_uniform", 1, 6_000).text}
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": [result]}]}).encode()
    async with AnsweringOrigin() as origin, edge_to(origin.url) as edge:
        for line in (f"POST {PREFIXED}/v1/messages", "POST /p/b/v1/messages?x", "POST /v1/messages"):
            assert (await send(edge.port, line, body=body)).status == 200
        assert (await send(edge.port, "GET /v1/files", "X-Headroom-Project: b")).status == 200
        stats = json.loads((await send(edge.port, "GET /stats")).body)
    rows = stats["projects"]["by_name"]
    assert {name: row["requests"] for name, row in rows.items()} == {"my project": 1, "b": 2}
    assert rows["b"]["tokens_saved"] == rows["my project"]["tokens_saved"] > 0
    assert stats["tokens"]["saved"] == 3 * rows["b"]["tokens_saved"]
    assert stats["projects"]["other"] == {"requests": 0, "tokens_saved": 0}


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "plain"])
@pytest.mark.parametrize("sdk", SDKS.values(), ids=SDKS)
async def test_an_sdk_works_with_a_project_in_its_base_url(sdk: Sdk, stream: bool, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    async with Origin(SCRIPT) as origin:
        async with edge_to(origin.url, log_file=log, log_level="info") as edge:
            assert await sdk.loop(f"http://127.0.0.1:{edge.port}{PREFIXED}", stream) == ANSWER
        assert len(origin.calls) == len(origin.requests) == 2
        assert not any("/p/" in kept.target for kept in origin.requests)
    assert [line["project"] for line in logged(log)] == ["my project"] * 2
    if sdk is SDKS["anthropic"]:
        assert len(result_texts("anthropic", parse(origin.calls[-1].body))[0].text) < 6_000
