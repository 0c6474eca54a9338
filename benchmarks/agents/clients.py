"""The agents and SDK loops: how each is started and which tools its script calls."""

from __future__ import annotations

import base64
import json
import sys
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from benchmarks.agents.project import ANSWER, SECOND_ANSWER
from tests.support.script import Json, ToolCall, Turn

PROMPT = (
    "Which order is disputed, why did the build stop, and what is the drift limit? Look at the files of this project."
)
SECOND_PROMPT = "And where are carriers priced? Read on in the same project."
MATCH = "Which order is disputed"
KEY = "sk-dummy-key"  # as an API key begins
THINKING = "The files will tell; the largest ones first."
_LOOPS = Path(__file__).with_name("sdk_loops.py")


@dataclass(frozen=True)
class Place:
    """Where a run happens: installed packages, home, project, provider base URL."""

    packages: Path
    home: Path
    project: Path
    base_url: str
    python: str = sys.executable

    def command(self, name: str) -> str:
        """Path of an installed npm command."""
        return str(self.packages / "node_modules" / ".bin" / name)


Sockets = Literal["none", "plain", "deflated", "deflated anew", "refused", "broken"]


@dataclass(frozen=True)
class Agent:
    """One client: its npm package and version, command line, settings, and turns.

    `again` is a second command that resumes the session in a new process.
    `package` is empty for the Python SDKs, whose version is read from the
    installed distribution named by `distribution`. `sockets` says what the
    origin makes of upgrades to WebSocket: refused, accepted with or without
    compression, or broken: accepted once, and closed after three requests.
    """

    name: str
    argv: Callable[[Place], list[str]]
    turns: Callable[[Path], list[Turn]]
    again: Callable[[Place], list[str]] | None = None
    package: str = ""
    version: str = ""
    distribution: str = ""
    sockets: Sockets = "none"
    env: Callable[[Place], Mapping[str, str]] = lambda _place: {}
    files: Callable[[Place], Mapping[Path, str]] = lambda _place: {}

    @property
    def answers(self) -> tuple[str, ...]:
        """The final answers the agent must print, one per command."""
        return (ANSWER, SECOND_ANSWER) if self.again else (ANSWER,)


def resumed(agent: Agent, name: str, again: Callable[[Place], list[str]]) -> Agent:
    """The agent with a second command and three more turns for it."""

    def turns(project: Path) -> list[Turn]:
        first = agent.turns(project)
        shell = first[0].calls[0]
        key = "cmd" if "cmd" in shell.input else "command"
        asked = ("cat api/carriers.json", "cat src/billing.py src/orders.py")
        calls = [ToolCall(shell.name, {**shell.input, key: command}) for command in asked]
        steps = [Turn("", (call,), THINKING) for call in calls]
        return [*first, *steps, Turn(SECOND_ANSWER, thinking=THINKING)]

    return replace(agent, name=name, turns=turns, again=again)


def _loop(steps: list[list[ToolCall]]) -> list[Turn]:
    """Turns that call the steps' tools, then answer."""
    words = ("First the orders.", "", "Now the log and the change.", "")
    turns = [Turn(word, tuple(calls), THINKING) for word, calls in zip(words, steps, strict=True)]
    return [*turns, Turn(ANSWER, thinking=THINKING)]


def _shell_loop(shell: Callable[[str], ToolCall], read: ToolCall, first: str) -> list[Turn]:
    return _loop(
        [
            [shell(first)],
            [shell("grep -n -m 200 -e ERROR -e WARN logs/build.log; grep -rn amount src")],
            [shell("tail -c 12000 logs/build.log"), shell("git diff | head -c 20000")],
            [read, shell("cat src/drift.py")],
        ]
    )


# Claude Code


_CLAUDE_FLAGS = ("--dangerously-skip-permissions", "--model", "claude-opus-4-8")


def _claude_argv(place: Place) -> list[str]:
    return [place.command("claude"), "-p", PROMPT, *_CLAUDE_FLAGS]


def _claude_again(place: Place) -> list[str]:
    return [place.command("claude"), "--continue", "-p", SECOND_PROMPT, *_CLAUDE_FLAGS]


def _claude_env(place: Place) -> Mapping[str, str]:
    return {
        "ANTHROPIC_BASE_URL": place.base_url,
        "ANTHROPIC_API_KEY": KEY,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1",
        "IS_SANDBOX": "1",
    }


def _claude_turns(project: Path) -> list[Turn]:
    read = ToolCall("Read", {"file_path": str(project / "notes.md")})
    return _shell_loop(
        lambda command: ToolCall("Bash", {"command": command, "description": "Look at files"}),
        read,
        "head -c 28000 api/orders.json",
    )


# Codex


_CODEX_CONFIG = """\
model = "gpt-5.1-codex"
model_provider = "local"
check_for_update_on_startup = false

[model_providers.local]
name = "local"
base_url = "{base}/v1"
env_key = "LOCAL_KEY"
wire_api = "responses"
supports_websockets = {sockets}

[analytics]
enabled = false
"""


_CODEX_FLAGS = ("--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox")


def _codex_files(sockets: str) -> Callable[[Place], Mapping[Path, str]]:
    return lambda place: {place.home / ".codex/config.toml": _CODEX_CONFIG.format(base=place.base_url, sockets=sockets)}


_CODEX_LOGIN = """\
model = "gpt-5.1-codex"
check_for_update_on_startup = false
openai_base_url = "{base}/v1"
chatgpt_base_url = "{base}/backend-api"

[analytics]
enabled = false
"""


def _codex_login(place: Place) -> Mapping[Path, str]:
    """Codex as someone who is logged in with an account: a token that nobody signed."""
    claim = {"chatgpt_account_id": "account-1", "chatgpt_plan_type": "pro", "chatgpt_user_id": "user-1"}
    body = {"email": "a@example.com", "exp": 4_000_000_000, "https://api.openai.com/auth": claim}
    parts = [json.dumps(part).encode() for part in ({"alg": "RS256", "typ": "JWT"}, body, {"signed": "by nobody"})]
    token = ".".join(urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
    tokens = {"id_token": token, "access_token": token, "refresh_token": "none", "account_id": "account-1"}
    auth = {"OPENAI_API_KEY": None, "tokens": tokens, "last_refresh": "2035-01-01T00:00:00Z"}
    return {
        place.home / ".codex/config.toml": _CODEX_LOGIN.format(base=place.base_url),
        place.home / ".codex/auth.json": json.dumps(auth),
    }


def _codex_argv(place: Place) -> list[str]:
    return [place.command("codex"), "exec", *_CODEX_FLAGS, PROMPT]


def _codex_again(place: Place) -> list[str]:
    return [place.command("codex"), "exec", *_CODEX_FLAGS, "resume", "--last", SECOND_PROMPT]


def _codex_turns(_project: Path) -> list[Turn]:
    def shell(command: str) -> ToolCall:
        return ToolCall("exec_command", {"cmd": command, "max_output_tokens": 20_000})

    return _shell_loop(shell, shell("cat notes.md"), "cat api/orders.json")


# Codex with a ChatGPT login: bodies are coded, and WebSocket is asked for first


_LOGIN_CONFIG = """\
model = "gpt-5.1-codex"
openai_base_url = "{base}/v1"
chatgpt_base_url = "{base}/backend-api"
cli_auth_credentials_store = "file"
check_for_update_on_startup = false

[analytics]
enabled = false
"""


def _made_up_login() -> str:
    """An auth.json whose tokens nobody has issued and that do not expire."""
    account: Json = {"chatgpt_account_id": "made-up", "chatgpt_plan_type": "plus", "chatgpt_user_id": "nobody"}
    claims: Json = {"exp": 4_000_000_000, "email": "nobody@example.com", "https://api.openai.com/auth": account}
    parts = [json.dumps(part).encode() for part in ({"alg": "none", "typ": "JWT"}, claims, {"signed": False})]
    token = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
    tokens = {"id_token": token, "access_token": token, "refresh_token": "made-up", "account_id": "made-up"}
    login: Json = {"auth_mode": "chatgpt", "OPENAI_API_KEY": None, "tokens": tokens}
    return json.dumps({**login, "last_refresh": "2099-01-01T00:00:00Z"})


def _login_files(place: Place) -> Mapping[Path, str]:
    folder = place.home / ".codex"
    return {
        folder / "config.toml": _LOGIN_CONFIG.format(base=place.base_url),
        folder / "auth.json": _made_up_login(),
    }


# Gemini CLI


def _gemini_argv(place: Place) -> list[str]:
    return [place.command("gemini"), "-p", PROMPT, "--yolo"]


def _gemini_again(place: Place) -> list[str]:
    resume = ["--resume", "latest"]
    return [place.command("gemini"), *resume, "-p", SECOND_PROMPT, "--yolo"]


def _gemini_settings(_base: str) -> str:
    settings: Json = {
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "privacy": {"usageStatisticsEnabled": False},
        "telemetry": {"enabled": False},
        "general": {"disableAutoUpdate": True, "enableAutoUpdate": False},
    }
    return json.dumps(settings, indent=2)


def _gemini_turns(project: Path) -> list[Turn]:
    read = ToolCall("read_file", {"file_path": str(project / "notes.md")})
    return _shell_loop(
        lambda command: ToolCall("run_shell_command", {"command": command}),
        read,
        "cat api/orders.json",
    )


# opencode


def _opencode_config(kind: str, package: str, suffix: str) -> Callable[[Place], Mapping[Path, str]]:
    def files(place: Place) -> Mapping[Path, str]:
        options = {"baseURL": place.base_url + suffix, "apiKey": KEY}
        provider: Json = {
            "npm": package,
            "name": kind,
            "options": options,
            "models": {"demo-model": {"name": "demo-model"}},
        }
        config: Json = {
            "$schema": "https://opencode.ai/config.json",
            "provider": {kind: provider},
            "permission": {"bash": "allow", "read": "allow", "edit": "allow"},
            "autoupdate": False,
            "share": "disabled",
        }
        return {place.home / ".config/opencode/opencode.json": json.dumps(config, indent=2)}

    return files


def _opencode_argv(kind: str) -> Callable[[Place], list[str]]:
    return lambda place: [place.command("opencode"), "run", "-m", f"{kind}/demo-model", PROMPT]


def _opencode_env(_place: Place) -> Mapping[str, str]:
    switches = ("AUTOUPDATE", "MODELS_FETCH", "DEFAULT_PLUGINS", "LSP_DOWNLOAD")
    return {f"OPENCODE_DISABLE_{name}": "1" for name in switches}


def _opencode_turns(project: Path) -> list[Turn]:
    read = ToolCall("read", {"filePath": str(project / "notes.md")})
    return _shell_loop(
        lambda command: ToolCall("bash", {"command": command, "description": "Look at files"}),
        read,
        "cat api/orders.json",
    )


# Python SDK loops


def _sdk_argv(dialect: str) -> Callable[[Place], list[str]]:
    return lambda place: [place.python, str(_LOOPS), dialect, place.base_url, PROMPT]


def _sdk_turns(_project: Path) -> list[Turn]:
    def shell(command: str) -> ToolCall:
        return ToolCall("run_command", {"command": command})

    return _shell_loop(shell, shell("cat notes.md"), "cat api/orders.json")


_CLAUDE = Agent(
    "claude-code",
    _claude_argv,
    _claude_turns,
    package="@anthropic-ai/claude-code",
    version="2.1.329",
    env=_claude_env,
)
_CODEX = Agent(
    "codex",
    _codex_argv,
    _codex_turns,
    package="@openai/codex",
    version="0.169.0",
    env=lambda _place: {"LOCAL_KEY": KEY},
    files=_codex_files("false"),
)
_CODEX_SOCKET = replace(_CODEX, name="codex-websocket", sockets="plain", files=_codex_files("true"))
_GEMINI = Agent(
    "gemini-cli",
    _gemini_argv,
    _gemini_turns,
    package="@google/gemini-cli",
    version="0.61.0",
    env=lambda place: {
        "GOOGLE_GEMINI_BASE_URL": place.base_url,
        "GEMINI_API_KEY": KEY,
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
    },
    files=lambda place: {place.home / ".gemini/settings.json": _gemini_settings(place.base_url)},
)

AGENTS: tuple[Agent, ...] = (
    _CLAUDE,
    _CODEX,
    replace(_CODEX, name="codex-chatgpt", env=lambda _place: {}, files=_login_files),
    _GEMINI,
    Agent(
        "opencode-anthropic",
        _opencode_argv("demoan"),
        _opencode_turns,
        package="opencode-ai",
        version="1.18.33",
        env=_opencode_env,
        files=_opencode_config("demoan", "@ai-sdk/anthropic", "/v1"),
    ),
    Agent(
        "opencode-openai-compatible",
        _opencode_argv("demooc"),
        _opencode_turns,
        package="opencode-ai",
        version="1.18.33",
        env=_opencode_env,
        files=_opencode_config("demooc", "@ai-sdk/openai-compatible", "/v1"),
    ),
    Agent("sdk-anthropic", _sdk_argv("anthropic"), _sdk_turns, distribution="anthropic"),
    Agent("sdk-openai-chat", _sdk_argv("openai-chat"), _sdk_turns, distribution="openai"),
    Agent("sdk-openai-responses", _sdk_argv("openai-responses"), _sdk_turns, distribution="openai"),
    Agent("sdk-google-genai", _sdk_argv("google-genai"), _sdk_turns, distribution="google-genai"),
    resumed(_CLAUDE, "claude-code-continue", _claude_again),
    resumed(_CODEX, "codex-resume", _codex_again),
    resumed(_GEMINI, "gemini-cli-resume", _gemini_again),
    _CODEX_SOCKET,
    replace(_CODEX_SOCKET, name="codex-websocket-deflated", sockets="deflated"),
    replace(_CODEX_SOCKET, name="codex-websocket-refused", sockets="refused"),
    replace(_CODEX_SOCKET, name="codex-websocket-broken", sockets="broken"),
    replace(_CODEX_SOCKET, name="codex-login-websocket", sockets="plain", files=_codex_login),
    replace(_CODEX_SOCKET, name="codex-login-refused", sockets="refused", files=_codex_login),
    resumed(_CODEX_SOCKET, "codex-websocket-resume", _codex_again),
)
