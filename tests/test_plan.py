"""Where requests go, from their heads alone."""

# ruff: noqa: E501 - a table of cases reads by its rows

from __future__ import annotations

import base64
import json

import pytest

from headroom.config import Config
from headroom.plan import Plan, Refusal, plan
from headroom.wire.head import Fields, RequestHead

CONFIG = Config.of(
    anthropic_api_url="http://a.test",
    openai_api_url="http://o.test/v1",
    gemini_api_url="http://g.test",
    cloudcode_api_url="http://c.test",
    chatgpt_url="http://account.test",
)
KEY = {"x-api-key": "k"}
JWT = b".".join(
    base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
    for part in ({"alg": "none"}, {"https://api.openai.com/auth": {"chatgpt_account_id": "acc-1"}}, {"sig": 1})
).decode()


def decide(
    request: str, fields: dict[str, str] | None = None, config: Config = CONFIG, *, loopback: bool = True
) -> Plan | Refusal:
    method, _, target = request.partition(" ")
    lines = "".join(f"{name}: {value}\r\n" for name, value in (fields or {}).items())
    raw = f"{request} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")
    return plan(RequestHead(method.encode(), target.encode(), 1, Fields(raw), 0, raw), config, loopback=loopback)


def place(found: Plan | Refusal) -> str:
    assert isinstance(found, Plan)
    return f"{found.origin.host}{found.target.decode()}"


@pytest.mark.parametrize(
    ("request_line", "fields", "where", "route"),
    [
        ("POST /v1/messages?beta=true", KEY, "a.test/v1/messages?beta=true", "messages"),
        ("POST /v1/messages/count_tokens?beta=true", KEY, "a.test/v1/messages/count_tokens?beta=true", "messages.count_tokens"),
        ("GET /v1/messages/batches", KEY, "a.test/v1/messages/batches", "messages.batches"),
        ("POST /v1/messages/batches/b1/cancel", KEY, "a.test/v1/messages/batches/b1/cancel", "messages.batches"),
        ("POST /v1/chat/completions", {}, "o.test/v1/chat/completions", "chat.completions"),
        ("POST /v1/responses", {}, "o.test/v1/responses", "responses"),
        ("POST /backend-api/codex/responses", {}, "o.test/v1/responses", "responses"),
        ("GET /v1/responses/r1?x=1", {}, "o.test/v1/responses/r1?x=1", "responses.sub"),
        ("DELETE /v1/codex/responses/r1", {}, "o.test/v1/responses/r1", "responses.sub"),
        ("POST /v1/conversations/c1/items", {}, "o.test/v1/conversations/c1/items", "conversations"),
        ("POST /v1/embeddings", {}, "o.test/v1/embeddings", "passthrough"),
        ("POST /v1/batches", {}, "o.test/v1/batches", "batches"),
        ("POST /v1beta/models/m:streamGenerateContent?alt=sse", {}, "g.test/v1beta/models/m:streamGenerateContent?alt=sse",
         "gemini.stream"),
        ("POST /v1/models/m:generateContent", {}, "g.test/v1/models/m:generateContent", "gemini.generate"),
        ("DELETE /v1beta/cachedContents/1", {}, "g.test/v1beta/cachedContents/1", "gemini.other"),
        ("POST /v1/v1internal:streamGenerateContent", {}, "c.test/v1internal:streamGenerateContent", "cloudcode.stream"),
        ("POST /v1internal:countTokens", {}, "c.test/v1internal:countTokens", "cloudcode.other"),
        ("POST /v1/projects/p/locations/eu-west1/publishers/anthropic/models/m:rawPredict", {},
         "eu-west1-aiplatform.googleapis.com/v1/projects/p/locations/eu-west1/publishers/anthropic/models/m:rawPredict",
         "vertex.anthropic"),
        ("POST /v1/projects/p/locations/global/publishers/google/models/m:generateContent", {},
         "aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/google/models/m:generateContent",
         "vertex.google"),
        # Paths that are no route go by the credential.
        ("GET /v1/models", KEY, "a.test/v1/models", "other"),
        ("GET /v1/models", {"anthropic-version": "1"}, "a.test/v1/models", "other"),
        ("GET /v1/files", {"authorization": "Bearer sk-ant-oat01-x"}, "a.test/v1/files", "other"),
        ("GET /v1/files", {"authorization": "Bearer sk-x"}, "o.test/v1/files", "other"),
        ("GET /upload/x", {"x-goog-api-key": "g"}, "g.test/upload/x", "other"),
        ("HEAD /", {}, "o.test/", "other"),
        # A login with an account.
        ("POST /v1/responses", {"ChatGPT-Account-Id": "a"}, "account.test/backend-api/codex/responses", "responses"),
        ("POST /v1/responses", {"authorization": f"Bearer {JWT}"}, "account.test/backend-api/codex/responses", "responses"),
        ("GET /v1/responses/r1", {"ChatGPT-Account-Id": "a"}, "account.test/backend-api/codex/responses/r1", "responses.sub"),
        ("GET /backend-api/wham/usage", {"ChatGPT-Account-Id": "a"}, "account.test/backend-api/wham/usage", "other"),
        ("GET /v1/models?client_version=1", {"ChatGPT-Account-Id": "a"},
         "account.test/backend-api/codex/models?client_version=1", "models"),
        ("GET /v1/models", {"authorization": f"Bearer {JWT}"},
         "account.test/backend-api/codex/models?client_version=0.130.0", "models"),
        ("GET /v1/models/gpt-5?a=1&client_version=2&b=3", {"CHATGPT-account-ID": "a"},
         "account.test/backend-api/codex/models?client_version=2", "models"),
        ("GET /v1/models?client_version=", {"ChatGPT-Account-Id": "a"},
         "account.test/backend-api/codex/models?client_version=0.130.0", "models"),
        ("HEAD /v1/models", {"ChatGPT-Account-Id": "a"}, "account.test/v1/models", "other"),
        ("GET /backend-api/codex/models?x", {"ChatGPT-Account-Id": "a"}, "account.test/backend-api/codex/models?x", "other"),
        ("POST /v1/messages", {"ChatGPT-Account-Id": "a"}, "a.test/v1/messages", "messages"),
        *((f"{method} {path}", {"authorization": f"bearer {JWT}"}, "account.test/backend-api/codex/responses", route)
          for path in ("/v1/responses", "/v1/codex/responses", "/backend-api/responses", "/backend-api/codex/responses")
          for method, route in (("POST", "responses"), ("GET", "responses.websocket"))),
        *((f"{method} {path}/r1/x?y", {"authorization": f"Bearer {JWT}"}, "account.test/backend-api/codex/responses/r1/x?y",
           "responses.sub")
          for path in ("/v1/responses", "/v1/codex/responses", "/backend-api/responses", "/backend-api/codex/responses")
          for method in ("GET", "POST", "DELETE")),
        *((f"POST /v1/images/{verb}", {"authorization": f"Bearer {JWT}"}, f"account.test/backend-api/codex/images/{verb}",
           f"images.{verb}") for verb in ("generations", "edits")),
        ("POST /v1/images/edits", {"authorization": "Bearer sk-x"}, "o.test/v1/images/edits", "images.edits"),
        # What an account's origin has no place for stays where it was.
        ("POST /v1/chat/completions", {"ChatGPT-Account-Id": "a"}, "o.test/v1/chat/completions", "chat.completions"),
        ("POST /v1/embeddings", {"authorization": f"Bearer {JWT}"}, "o.test/v1/embeddings", "passthrough"),
        # Paths that only an account's origin has, asked for by nobody in particular.
        ("GET /backend-api/wham/agent-identities/jwks", {}, "account.test/backend-api/wham/agent-identities/jwks", "other"),
        ("GET /backend-api/x", {"authorization": "Bearer sk-x"}, "o.test/backend-api/x", "other"),
    ],
)  # fmt: skip
def test_a_request_goes_where_the_table_says(request_line: str, fields: dict[str, str], where: str, route: str) -> None:
    found = decide(request_line, fields)
    assert place(found) == where
    assert isinstance(found, Plan) and found.route == route


def claims(payload: object) -> str:
    """A token with this payload."""
    return "e30." + base64.urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip("=") + ".c2ln"


def account(identity: object) -> str:
    """A token that names this account."""
    return claims({"https://api.openai.com/auth": {"chatgpt_account_id": identity}})


@pytest.mark.parametrize(
    "token",
    [
        "a.b.c",
        "sk-proj-x.y.z",
        "..",
        "eyJ9.e30.x",
        "a.bnVsbA.c",
        JWT.rpartition(".")[0],
        JWT.replace(".", ".!", 1),
        claims([1]),
        claims({"https://api.openai.com/auth": "acc-1"}),
        claims({"chatgpt_account_id": "acc-1"}),
        *map(account, ("", " \t", None, 7, ["a"], "a\r\nX-Evil: 1", "a b", "\u00e9", "a\x00")),
    ],
)
def test_a_token_that_names_no_account_is_a_key(token: str) -> None:
    assert place(decide("POST /v1/responses", {"authorization": f"Bearer {token}"})) == "o.test/v1/responses"


@pytest.mark.parametrize(
    ("request_line", "fields", "told"),
    [
        ("POST /v1/responses", {"authorization": f"Bearer {JWT}"}, b"acc-1"),
        ("POST /v1/responses", {"authorization": f"Bearer {account('  acc-2 ')}"}, b"acc-2"),
        ("GET /v1/models", {"authorization": f"Bearer {JWT}"}, b"acc-1"),
        ("GET /backend-api/wham/usage", {"authorization": f"Bearer {JWT}"}, b"acc-1"),
        ("POST /v1/responses", {"authorization": f"Bearer {JWT}", "ChatGPT-Account-Id": "other"}, b""),
        ("POST /v1/responses", {"authorization": "Bearer sk-x"}, b""),
        ("POST /v1/messages", {"authorization": f"Bearer {JWT}"}, b""),
        ("POST /v1/chat/completions", {"authorization": f"Bearer {JWT}"}, b""),
        ("POST /v1/responses", {"authorization": f"Bearer {JWT}", "x-headroom-base-url": "http://b.test"}, b""),
    ],
)
def test_the_origin_is_told_the_account_where_the_caller_does_not(
    request_line: str, fields: dict[str, str], told: bytes
) -> None:
    found = decide(request_line, fields)
    assert isinstance(found, Plan) and found.account == told


def test_a_base_url_goes_before_an_account() -> None:
    fields = {"authorization": f"Bearer {JWT}", "x-headroom-base-url": "http://b.test"}
    assert place(decide("POST /backend-api/codex/responses", fields)) == "b.test/v1/responses"
    assert place(decide("GET /v1/models?x", fields)) == "b.test/v1/models?x"


def test_only_fresh_turns_that_may_be_rewritten_are_held() -> None:
    modes = {
        "POST /v1/messages": "rewrite",
        "POST /v1/messages/count_tokens": "relay",
        "POST /v1/messages/batches": "relay",
        "POST /v1/chat/completions": "rewrite",
        "POST /v1/responses": "rewrite",
        "GET /v1/messages": "relay",
    }
    for request, mode in modes.items():
        found = decide(request, KEY)
        assert isinstance(found, Plan) and found.mode == mode


@pytest.mark.parametrize(
    "fields",
    [
        {"x-headroom-bypass": " True "},
        {"x-headroom-mode": "PassThrough"},
        {"content-type": "text/plain"},
        {"upgrade": "websocket", "connection": "upgrade"},
    ],
)
def test_a_request_can_opt_out(fields: dict[str, str]) -> None:
    found = decide("POST /v1/messages", {**KEY, **fields})
    assert isinstance(found, Plan) and found.mode == "relay"


def test_asking_for_http_2_is_no_opting_out() -> None:
    found = decide("POST /v1/messages", {**KEY, "upgrade": "h2c", "connection": "Upgrade, HTTP2-Settings"})
    assert isinstance(found, Plan) and found.mode == "rewrite"


def test_media_type_parameters_do_not_matter() -> None:
    found = decide("POST /v1/messages", {**KEY, "content-type": "Application/JSON; charset=utf-8"})
    assert isinstance(found, Plan) and found.mode == "rewrite"


def test_nothing_is_held_when_compression_is_off() -> None:
    found = decide("POST /v1/messages", KEY, Config.of(compression_mode="off"))
    assert isinstance(found, Plan) and found.mode == "relay"


def test_a_caller_on_this_host_may_name_any_base_url() -> None:
    fields = {"x-headroom-base-url": "https://Azure.test:443/ignored/path/", **KEY}
    found = decide("POST /v1/messages?x=1", fields)
    assert isinstance(found, Plan)
    assert (str(found.origin), found.target) == ("https://azure.test", b"/v1/messages?x=1")


def test_a_base_url_may_come_with_its_own_path() -> None:
    fields = {"x-headroom-base-url": "https://azure.test", "x-headroom-original-path": "/openai/v1/chat/completions"}
    assert place(decide("POST /v1/chat/completions?v=2", fields)) == "azure.test/openai/v1/chat/completions?v=2"
    for bad in ("//evil", "http://evil/chat/completions", "/a?b", "/a#b", "/a b"):
        fields["x-headroom-original-path"] = bad
        assert place(decide("POST /v1/chat/completions", fields)) == "azure.test/v1/chat/completions"


def test_a_caller_from_elsewhere_may_name_only_allowed_base_urls() -> None:
    config = Config.of(allowed_base_urls="https://azure.test, http://b.test:81")
    for url, allowed in (("https://azure.test/x", True), ("http://b.test:81", True), ("http://azure.test", False),
                         ("https://evil.test", False), ("nonsense", False)):  # fmt: skip
        found = decide("POST /v1/chat/completions", {"x-headroom-base-url": url}, config, loopback=False)
        assert isinstance(found, Plan) == allowed


def test_a_route_without_an_origin_says_which_setting_is_missing() -> None:
    found = decide("POST /model/anthropic.m/invoke")
    assert isinstance(found, Refusal) and found.status == 404 and "bedrock_api_url" in found.reason
    assert (
        place(decide("POST /model/m/invoke", {}, Config.of(bedrock_api_url="http://b.test"))) == "b.test/model/m/invoke"
    )


def test_absolute_targets_lose_their_authority() -> None:
    assert place(decide("POST http://elsewhere.test/v1/messages?x=1", KEY)) == "a.test/v1/messages?x=1"
    assert place(decide("GET http://elsewhere.test", KEY)) == "a.test/"
    assert place(decide("OPTIONS *", KEY)) == "a.test/*"


def test_a_region_that_is_no_region_is_not_put_into_a_host_name() -> None:
    found = decide("POST /v1/projects/p/locations/evil.test%2F/publishers/google/models/m:generateContent")
    assert isinstance(found, Plan) and found.origin.host == "aiplatform.googleapis.com"
