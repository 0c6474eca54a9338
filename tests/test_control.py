"""The proxy's own endpoints, and who may have them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from headroom import __version__, control
from headroom.config import ConfigError
from headroom.edge import Edge
from headroom.wire.downstream import Downstream
from headroom.wire.head import RequestHead
from headroom.wire.reader import RequestReader
from tests.support.embedded import edge_to
from tests.support.raw_client import Answer, ask, connect, read_answer
from tests.support.raw_origin import AnsweringOrigin
from tests.support.raw_wire import eventually

TOKEN = "0123456789abcdef"
GUARDED = ("/metrics", "/stats")
OPEN = ("/livez", "/readyz", "/health", "/healthz")


async def get(edge: Edge, path: str, *fields: bytes, host: bytes = b"localhost", method: bytes = b"GET") -> Answer:
    lines = [b"%b %b HTTP/1.1" % (method, path.encode()), b"Host: " + host, *fields]
    return await ask(edge.port, b"\r\n".join(lines) + b"\r\n\r\n", method)


def head(text: bytes) -> RequestHead:
    event = RequestReader(1 << 16, 128).feed(text)[0]
    assert isinstance(event, RequestHead)
    return event


@pytest.mark.parametrize("path", [*OPEN, *GUARDED])
async def test_an_endpoint_answers_for_itself_and_says_so_to_no_browser(path: str) -> None:
    async with AnsweringOrigin() as origin, edge_to(origin.url) as edge:
        answer = await get(edge, path)
        assert answer.status == 200 and answer.body
        assert answer.value(b"x-content-type-options") == b"nosniff"
        assert answer.value(b"cache-control") == b"no-store"
        assert not answer.values(b"access-control-allow-origin")
        bare = await get(edge, path + "?x=1", method=b"HEAD")
        assert (bare.status, bare.body) == (200, b"")
        assert origin.requests == []


async def test_an_endpoint_keeps_the_connection() -> None:
    async with AnsweringOrigin() as origin, edge_to(origin.url) as edge, await connect(edge.port) as client:
        for path in (*OPEN, *GUARDED, *OPEN):
            await client.send(b"GET %b HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % (path.encode(), edge.port))
            assert (await read_answer(client)).status == 200


async def test_health_says_what_works() -> None:
    async with AnsweringOrigin() as origin, edge_to(origin.url, proxy_token=TOKEN) as edge:
        assert json.loads((await get(edge, "/livez")).body)["alive"] is True
        assert json.loads((await get(edge, "/healthz")).body) == {"ok": True, "service": "headroom-proxy"}
        ready = json.loads((await get(edge, "/readyz")).body)
        assert ready["ready"] is True and ready["checks"]["store"]["status"] == "up"
        assert ready["checks"]["store"]["limit"] == 256 << 20 and ready["checks"]["store"]["entries"] == 0
        assert ready["checks"]["store"]["over_limit"] is False and ready["checks"]["store"]["trouble"] == ""
        health = json.loads((await get(edge, "/health")).body)
        assert health["version"] == __version__ and health["core"] == "loaded"
        assert health["config"]["anthropic_api_url"] == origin.url
        assert TOKEN not in json.dumps(health)


async def test_health_shows_how_full_the_store_is_and_its_trouble(tmp_path: Path) -> None:
    where = tmp_path / "headroom.db"
    where.write_bytes(bytes(4096))  # as a crash leaves it
    async with AnsweringOrigin() as origin, edge_to(origin.url, store=where, store_limit="1MiB") as edge:
        await edge.ledger.store.put([((1, b"k"), b"x" * 2_000_000)])
        await edge.ledger.store.get([])
        store = json.loads((await get(edge, "/health")).body)["checks"]["store"]
        assert 2_000_000 < store["size"] < 2_200_000
        assert (store["kind"], store["entries"], store["limit"], store["over_limit"]) == ("sqlite", 1, 1 << 20, True)
        assert "headroom.db.damaged-1" in store["trouble"]


async def test_health_says_why_a_store_cannot_be_used_from_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    async with AnsweringOrigin() as origin, edge_to(origin.url, store=tmp_path / "file" / "headroom.db") as edge:
        store = json.loads((await get(edge, "/health")).body)["checks"]["store"]
        assert store["status"] == "down" and store["ready"] is True
        assert store["trouble"].startswith("headroom.db: ") and "[Errno" not in store["trouble"]


async def test_health_shows_settings_as_a_person_writes_them() -> None:
    async with AnsweringOrigin() as origin:
        edge = edge_to(origin.url, store="memory", tool_policy="Read=none", websocket_origins="http://a.test")
        async with edge:
            shown = json.loads((await get(edge, "/health")).body)["config"]
    assert (shown["tool_policy"], shown["websocket_origins"]) == ("Read=none", "http://a.test")
    assert (shown["ca_file"], shown["allowed_base_urls"], shown["store_ttl"]) == ("", "", "7d")


async def test_health_shows_no_password_of_the_store() -> None:
    async with AnsweringOrigin() as origin:
        edge = edge_to(origin.url, store="redis://someone:sec@ret@127.0.0.1:1/0?password=word", log_level="error")
        async with edge:
            body = (await get(edge, "/health")).body
            health = json.loads(body)
        assert health["config"]["store"] == "redis://…@127.0.0.1:1/0?password=…"
        assert not any(word in body for word in (b"someone", b"sec@", b"password=word"))
        assert health["checks"]["store"]["kind"] == "redis" and health["checks"]["store"]["size"] is None


async def test_health_keeps_the_settings_to_itself_where_the_host_is_not_loopback() -> None:
    async with AnsweringOrigin() as origin, edge_to(origin.url) as edge:
        assert "config" not in json.loads((await get(edge, "/health", host=b"evil.example")).body)


@pytest.mark.parametrize("host", [b"evil.example", b"evil.example:8787", b"", b"127.0.0.1.evil.example", b"localhost."])
@pytest.mark.parametrize("path", GUARDED)
async def test_a_guarded_endpoint_does_not_exist_under_another_name(path: str, host: bytes) -> None:
    async with AnsweringOrigin() as origin, edge_to(origin.url) as edge:
        assert (await get(edge, path, host=host)).status == 404
        assert (await get(edge, path, host=host, method=b"HEAD")).status == 404
        assert origin.requests == []


@pytest.mark.parametrize("host", [b"localhost", b"LocalHost:1", b"127.0.0.1", b"127.0.0.1:8787", b"[::1]", b"[::1]:80"])
async def test_a_guarded_endpoint_exists_under_every_name_of_loopback(host: bytes) -> None:
    async with AnsweringOrigin() as origin, edge_to(origin.url) as edge:
        assert (await get(edge, "/stats", host=host)).status == 200


async def test_the_token_opens_a_guarded_endpoint_under_any_name() -> None:
    async with AnsweringOrigin() as origin, edge_to(origin.url, proxy_token=TOKEN) as edge:
        for sent, status in ((TOKEN, 200), (TOKEN + "x", 404), ("", 404)):
            field = b"X-Headroom-Proxy-Token: " + sent.encode()
            assert (await get(edge, "/metrics", field, host=b"proxy.example")).status == status


async def test_metrics_and_stats_count_what_was_done() -> None:
    async with AnsweringOrigin() as origin, edge_to(origin.url) as edge:
        for _ in range(3):
            await ask(edge.port, b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        await ask(edge.port, b"nonsense\r\n\r\n")
        stats = json.loads((await get(edge, "/stats")).body)
        assert stats["requests"] == {"messages": 3} and stats["active"] == 0
        answer = await get(edge, "/metrics")
        assert answer.value(b"content-type") == b"text/plain; version=0.0.4; charset=utf-8"
        lines = answer.body.decode().splitlines()
        assert 'headroom_requests_total{route="messages"} 3.0' in lines
        assert 'headroom_faults_total{fault="bad_request"} 1.0' in lines
        assert 'headroom_outcomes_total{outcome="refused"} 1.0' in lines
        assert "headroom_body_bytes_in_total 6.0" in lines
        assert "headroom_shrink_failures_total 0.0" in lines


async def test_metrics_say_how_many_clients_are_connected() -> None:
    async with AnsweringOrigin() as origin, edge_to(origin.url) as edge:
        async with await connect(edge.port):
            await eventually(lambda: len(edge.clients) == 1)
            body = (await get(edge, "/metrics")).body
            assert b"\nheadroom_clients 2.0\n" in body
        await eventually(lambda: edge.board.total("headroom_clients") == 0)


async def test_another_method_on_an_endpoints_path_is_a_request_like_any_other() -> None:
    async with AnsweringOrigin() as origin, edge_to(origin.url) as edge:
        await ask(edge.port, b"POST /stats HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        assert [request.target for request in origin.requests] == [b"/stats"]


async def test_an_endpoint_asked_for_with_a_body_is_answered_and_the_connection_ends() -> None:
    async with AnsweringOrigin() as origin, edge_to(origin.url) as edge, await connect(edge.port) as client:
        await client.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello")
        assert (await read_answer(client)).status == 200
        assert await client.rest() == b"" and client.ending == "end"


async def test_an_edge_that_drains_is_alive_and_not_ready() -> None:
    async with AnsweringOrigin() as origin, edge_to(origin.url) as edge, await connect(edge.port) as client:
        await client.send(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n")
        await eventually(lambda: edge.clients)
        edge.draining = True
        await client.send(b"\r\n")
        answer = await read_answer(client)
        assert answer.status == 503 and json.loads(answer.body)["ready"] is False
        assert answer.value(b"connection") == b"close"


# Who is asking.


@pytest.mark.parametrize(
    ("peer", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("", True),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("fe80::1%eth0", False),
        ("0.0.0.0", False),
        ("localhost", False),
        ("127.0.0.1.evil.example", False),
    ],
)
def test_loopback_is_known_by_address(peer: str, loopback: bool) -> None:
    assert control.is_loopback(peer) is loopback


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        (b"localhost", True),
        (b" LOCALHOST:8787 ", True),
        (b"127.0.0.1:1", True),
        (b"[::1]:1", True),
        (b"::1", False),
        (b"localhost:", False),
        (b"localhost:80:80", False),
        (b"127.0.0.2", False),
        (b"", False),
        (b":80", False),
        (b"localhost.evil.example", False),
        (b"localhost, evil.example", False),
    ],
)
def test_loopback_is_known_by_name(host: bytes, loopback: bool) -> None:
    assert control.names_loopback(host) is loopback


def test_a_token_is_had_only_where_there_is_one() -> None:
    with_token = head(b"GET / HTTP/1.1\r\nHost: x\r\nX-Headroom-Proxy-Token: \t%b \r\n\r\n" % TOKEN.encode())
    assert control.has_token(with_token, TOKEN.encode())
    assert not control.has_token(with_token, b"")
    assert not control.has_token(with_token, b"another token here")
    assert not control.has_token(head(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), TOKEN.encode())
    assert not control.has_token(head(b"GET / HTTP/1.1\r\nHost: x\r\nX-Headroom-Proxy-Token:\r\n\r\n"), b"")
    twice = b"X-Headroom-Proxy-Token: %b\r\n" % TOKEN.encode() * 2
    assert not control.has_token(head(b"GET / HTTP/1.1\r\nHost: x\r\n" + twice + b"\r\n"), TOKEN.encode())
    odd = head(b"GET / HTTP/1.1\r\nHost: x\r\nX-Headroom-Proxy-Token: \xff\xfe\r\n\r\n")
    assert not control.has_token(odd, TOKEN.encode())


@pytest.fixture
def distant(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every client seems to come from another host."""
    made = Downstream.connection_made

    def from_elsewhere(self: Downstream, transport: object) -> None:
        made(self, transport)  # type: ignore[arg-type]
        self.peer = "192.0.2.7"

    monkeypatch.setattr(Downstream, "connection_made", from_elsewhere)
    yield


@pytest.mark.usefixtures("distant")
async def test_a_caller_from_another_host_needs_the_token() -> None:
    async with AnsweringOrigin() as origin, edge_to(origin.url, proxy_token=TOKEN) as edge:
        for field in (b"X-Other: 1", b"X-Headroom-Proxy-Token: wrong", b"Authorization: Bearer " + TOKEN.encode()):
            answer = await get(edge, "/v1/thing", field)
            assert answer.status == 401 and TOKEN.encode() not in answer.body
            for path in GUARDED:
                assert (await get(edge, path, field)).status == 404
        assert origin.requests == []
        field = b"X-Headroom-Proxy-Token: " + TOKEN.encode()
        assert (await get(edge, "/v1/thing", field)).status == 200
        assert TOKEN.encode() not in origin.heard[0].data
        assert (await get(edge, "/metrics", field)).status == 200


@pytest.mark.usefixtures("distant")
async def test_a_caller_from_another_host_learns_that_the_proxy_lives_and_nothing_of_its_settings() -> None:
    async with AnsweringOrigin() as origin, edge_to(origin.url, proxy_token=TOKEN) as edge:
        assert (await get(edge, "/livez")).status == 200
        assert "config" not in json.loads((await get(edge, "/health")).body)


@pytest.mark.usefixtures("distant")
async def test_a_caller_from_another_host_may_name_only_allowed_base_urls() -> None:
    async with AnsweringOrigin() as origin, AnsweringOrigin() as other:
        field = b"X-Headroom-Proxy-Token: " + TOKEN.encode()
        base = b"X-Headroom-Base-Url: " + other.url.encode()
        async with edge_to(origin.url, proxy_token=TOKEN) as edge:
            assert (await get(edge, "/v1/thing", field, base)).status == 400
        async with edge_to(origin.url, proxy_token=TOKEN, allowed_base_urls=other.url) as edge:
            assert (await get(edge, "/v1/thing", field, base)).status == 200
        assert (len(origin.requests), len(other.requests)) == (0, 1)


async def test_a_caller_on_this_host_may_name_any_base_url() -> None:
    async with AnsweringOrigin() as origin, AnsweringOrigin() as other, edge_to(origin.url) as edge:
        assert (await get(edge, "/v1/thing", b"X-Headroom-Base-Url: " + other.url.encode())).status == 200
        assert (await get(edge, "/v1/thing", b"X-Headroom-Base-Url: ftp://x")).status == 400
        assert (len(origin.requests), len(other.requests)) == (0, 1)
        assert b"eadroom" not in other.heard[0].data


def test_an_address_beyond_loopback_needs_a_token() -> None:
    with pytest.raises(ConfigError, match="proxy_token"):
        edge_to("http://127.0.0.1:9", host="0.0.0.0")
    assert edge_to("http://127.0.0.1:9", host="0.0.0.0", proxy_token=TOKEN).config.text("host") == "0.0.0.0"
