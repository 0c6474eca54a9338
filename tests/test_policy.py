"""Who pays how, and what may be done for them."""

from __future__ import annotations

import pytest

from headroom.policy import POLICIES, AuthMode, classify

CLAUDE = "claude-cli/2.1 (external, cli)"
JWT = "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.sig"


@pytest.mark.parametrize(
    ("fields", "mode"),
    [
        ({"x-api-key": "sk-ant-api03-x"}, "payg"),
        ({"x-api-key": "k", "user-agent": CLAUDE}, "payg"),
        ({"authorization": "Bearer sk-ant-api03-x", "user-agent": CLAUDE}, "payg"),
        ({"authorization": "Bearer sk-proj-x"}, "payg"),
        ({"x-goog-api-key": "g", "user-agent": "antigravity/1"}, "payg"),
        ({"authorization": "Bearer sk-ant-oat01-x"}, "oauth"),
        ({"authorization": "Bearer sk-ant-oat01-x", "user-agent": CLAUDE}, "subscription"),
        ({"authorization": f"Bearer {JWT}"}, "oauth"),
        ({"authorization": f"Bearer {JWT}", "user-agent": "codex_cli_rs/0.169.0"}, "subscription"),
        ({"authorization": f"Bearer {JWT}", "user-agent": "codex_exec/0.169.0"}, "subscription"),
        ({"authorization": "Bearer  sk-ant-oat01-x"}, "oauth"),
        ({"authorization": "Bearer  sk-proj-x", "user-agent": CLAUDE}, "payg"),
        ({"authorization": "Bearer sk-ant-oat01-x", "x-api-key": ""}, "oauth"),
        ({"authorization": "Bearer sk-ant-oat01-x", "x-api-key": "", "user-agent": CLAUDE}, "subscription"),
        ({"authorization": "Bearer ya29.a0AfB_x"}, "oauth"),
        ({"authorization": "Bearer gho_x", "user-agent": "opencode/1"}, "oauth"),
        ({"authorization": "Bearer ghu_x"}, "oauth"),
        ({"authorization": "AWS4-HMAC-SHA256 Credential=x"}, "oauth"),
        ({"authorization": "Basic eA=="}, "oauth"),
        ({"user-agent": "Cursor/1.0"}, "subscription"),
        ({"authorization": "Bearer opaque"}, "payg"),
        ({"authorization": "Bearer \xff\xfe", "user-agent": "\xff"}, "payg"),
        ({}, "payg"),
    ],
)
def test_callers_are_told_apart(fields: dict[str, str], mode: str) -> None:
    assert classify({name.encode(): value.encode("latin-1") for name, value in fields.items()}) == mode


def test_only_who_pays_per_token_has_anything_changed_besides_tool_results() -> None:
    for mode in (AuthMode.OAUTH, AuthMode.SUBSCRIPTION):
        policy = POLICIES[mode]
        assert not any(getattr(policy, field) for field in policy.__struct_fields__ if field != "learns")


def test_statistics_are_kept_of_everybody_but_subscribers() -> None:
    assert {mode: POLICIES[mode].learns for mode in AuthMode} == {
        AuthMode.PAYG: True,
        AuthMode.OAUTH: True,
        AuthMode.SUBSCRIPTION: False,
    }
