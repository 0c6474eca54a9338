"""One table of settings behind flags, environment, a TOML file, `--help` and the README.

Precedence: flag, then environment, then the file named by `--config`, then the default. An unknown name or a value
that is not allowed is a `ConfigError`, which names the setting, the value and what is allowed; the process then exits
with 78 (EX_CONFIG), so that a supervisor does not start it again and again.
"""

from __future__ import annotations

import ipaddress
import os
import re
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NoReturn, TypeVar

from headroom.wire.origin import Origin, parse_origin

EX_CONFIG: Final = 78

T = TypeVar("T")


class ConfigError(Exception):
    """A setting that is unknown, or has a value that is not allowed. The message is one line for a person."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How a value is read from text, and what is allowed, in words."""

    parse: Callable[[str], object]
    allowed: str


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. `default` is text, as a person would write it; `env` are names read besides `HEADROOM_<NAME>`."""

    name: str
    default: str
    kind: Kind
    help: str
    section: str
    env: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        """The command-line flag."""
        return "--" + self.name.replace("_", "-")

    @property
    def variables(self) -> tuple[str, ...]:
        """Environment variables that set it, the strongest first."""
        return ("HEADROOM_" + self.name.upper(), *self.env)


REDIS_SCHEMES: Final = ("redis", "rediss", "unix")
_PASSWORDS = re.compile(r"(?<=//)\S*@|(?<=password=)[^&\s]*")

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(b|kb|kib|mb|mib|gb|gib)?", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "kb": 1000, "kib": 1 << 10, "mb": 10**6, "mib": 1 << 20, "gb": 10**9, "gib": 1 << 30}
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?", re.IGNORECASE)
_SECONDS = {"": 1.0, "s": 1.0, "ms": 0.001, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _size(text: str) -> int:
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError
    return int(float(match[1]) * _UNITS[(match[2] or "").lower()])


def _seconds(text: str) -> float:
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise ValueError
    return float(match[1]) * _SECONDS[(match[2] or "").lower()]


def _one_of(*words: str) -> Kind:
    def parse(text: str) -> str:
        word = text.strip().lower()
        if word not in words:
            raise ValueError
        return word

    return Kind(parse, " or ".join(words) if len(words) < 3 else ", ".join(words))


def _whole(low: int, high: int) -> Kind:
    def parse(text: str) -> int:
        value = int(text.strip())
        if not low <= value <= high:
            raise ValueError
        return value

    return Kind(parse, f"a whole number from {low} to {high}")


def _bytes(low: int) -> Kind:
    def parse(text: str) -> int:
        value = _size(text)
        if value < low:
            raise ValueError
        return value

    return Kind(parse, f"a size of at least {low} bytes, such as 65536, 64KiB or 1.5MB")


def _time(low: float) -> Kind:
    def parse(text: str) -> float:
        value = _seconds(text)
        if value < low:
            raise ValueError
        return value

    return Kind(parse, f"a time of at least {low:g} s, such as 10, 1.5s, 200ms, 2m or 7d")


def _host(text: str) -> str:
    text = text.strip().strip("[]")
    if text.lower() == "localhost":
        return "127.0.0.1"
    return str(ipaddress.ip_address(text))


def _origins(text: str) -> tuple[Origin, ...]:
    return tuple(parse_origin(part) for part in text.split(",") if part.strip())


def _pages(text: str) -> frozenset[str]:
    return frozenset(
        part if part == "*" else parse_origin(part).name for part in map(str.strip, text.split(",")) if part
    )


def _store(text: str) -> str:
    text = text.strip()
    scheme, separator, rest = text.partition("://")
    if separator and (scheme not in REDIS_SCHEMES or not rest):
        raise ValueError
    return text


def _optional_path(text: str) -> Path | None:
    return Path(text).expanduser() if text.strip() else None


def _token(text: str) -> bytes:
    token = text.strip().encode("ascii")
    if token and (len(token) < 16 or not token.isascii() or any(c <= 32 or c > 126 for c in token)):
        raise ValueError
    return token


def _name(text: str) -> str:
    name = text.strip()
    if len(name) > 200 or not name.isprintable():
        raise ValueError
    return name


def _tool_policy(text: str) -> dict[str, str]:
    """`Read=none,Grep=lossless` as a mapping; names are compared without case."""
    table: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        tool, equals, rule = part.partition("=")
        if not equals or not tool.strip() or rule.strip().lower() not in ("default", "lossless", "reversible", "none"):
            raise ValueError
        table[tool.strip().lower()] = rule.strip().lower()
    return table


def _optional_origin(text: str) -> Origin | None:
    return parse_origin(text) if text.strip() else None


OPTIONAL_URL = Kind(_optional_origin, "a URL, or nothing")
URL = Kind(parse_origin, "a URL such as https://api.example.com")
OPTIONAL_NAME = Kind(_name, "a name of up to 200 characters, or nothing")
OPTIONAL_PATH = Kind(_optional_path, "a path, or nothing")
ON_OFF = _one_of("enabled", "disabled")

SETTINGS: Final[tuple[Setting, ...]] = (
    Setting("host", "127.0.0.1", Kind(_host, "an IP address, or localhost"), "Address to listen on", "serving"),
    Setting("port", "8787", _whole(0, 65535), "TCP port to listen on; 0 takes a free one", "serving"),
    Setting("workers", "1", _whole(1, 64), "Processes that serve the port", "serving"),
    Setting(
        "proxy_token",
        "",
        Kind(_token, "16 or more visible ASCII characters, or nothing"),
        "What callers from other hosts send as x-headroom-proxy-token; needed to listen beyond loopback",
        "serving",
    ),
    Setting(
        "anthropic_api_url",
        "https://api.anthropic.com",
        URL,
        "Anthropic's API",
        "origins",
        ("ANTHROPIC_TARGET_API_URL", "ANTHROPIC_FOUNDRY_BASE_URL"),
    ),
    Setting("openai_api_url", "https://api.openai.com", URL, "OpenAI's API", "origins", ("OPENAI_TARGET_API_URL",)),
    Setting(
        "gemini_api_url",
        "https://generativelanguage.googleapis.com",
        URL,
        "Gemini's API",
        "origins",
        ("GEMINI_TARGET_API_URL",),
    ),
    Setting(
        "cloudcode_api_url",
        "https://cloudcode-pa.googleapis.com",
        URL,
        "Google Cloud Code Assist",
        "origins",
        ("CLOUDCODE_TARGET_API_URL",),
    ),
    Setting(
        "vertex_api_url",
        "https://us-central1-aiplatform.googleapis.com",
        URL,
        "Google Vertex; the default follows the region in the path",
        "origins",
        ("VERTEX_TARGET_API_URL",),
    ),
    Setting(
        "bedrock_api_url", "", OPTIONAL_URL, "A gateway that signs for Bedrock", "origins", ("BEDROCK_TARGET_API_URL",)
    ),
    Setting("chatgpt_url", "https://chatgpt.com", URL, "ChatGPT, for Codex with a ChatGPT login", "origins"),
    Setting(
        "allowed_base_urls",
        "",
        Kind(_origins, "a comma-separated list of URLs"),
        "Origins that callers from other hosts may name in x-headroom-base-url",
        "origins",
    ),
    Setting(
        "websocket_origins",
        "",
        Kind(_pages, "a comma-separated list of URLs, or *"),
        "Origins of web pages, besides those of this host, that may open a WebSocket",
        "serving",
        ("HEADROOM_WS_ORIGINS",),
    ),
    Setting(
        "ca_file",
        "",
        OPTIONAL_PATH,
        "PEM file of authorities to trust besides the system's",
        "origins",
        ("SSL_CERT_FILE",),
    ),
    Setting(
        "compression_mode",
        "live_zone",
        _one_of("live_zone", "observe", "off"),
        "live_zone shortens fresh tool results; observe computes and reports; off relays",
        "compression",
        ("HEADROOM_PROXY_COMPRESSION_MODE",),
    ),
    Setting(
        "cache_control_auto_frozen",
        "enabled",
        ON_OFF,
        "No new decision at or below the client's last cache_control marker, the fresh turn excepted",
        "compression",
        ("HEADROOM_PROXY_CACHE_CONTROL_AUTO_FROZEN",),
    ),
    Setting(
        "fresh_turn",
        "live",
        _one_of("live", "frozen"),
        "live: a marker on a turn never sent before does not freeze it; frozen: it does",
        "compression",
    ),
    Setting(
        "tool_policy",
        "",
        Kind(_tool_policy, "tool=default, tool=lossless, tool=reversible or tool=none, comma-separated"),
        "What may be done to one tool's results",
        "compression",
    ),
    Setting(
        "ccr_tool",
        "start",
        _one_of("start", "sticky", "off"),
        "When callers who pay per token are offered the retrieve tool, without which nothing is left out of a text: "
        "start: with a conversation's first request; sticky: with the first text that is cut; off: never",
        "compression",
    ),
    Setting(
        "beta_header_sticky",
        "enabled",
        ON_OFF,
        "Feature tokens (anthropic-beta, openai-beta) sent once are sent on in that conversation, for callers who pay "
        "per token",
        "compression",
        ("HEADROOM_BETA_HEADER_STICKY",),
    ),
    Setting(
        "volatile_content",
        "enabled",
        ON_OFF,
        "Warn of timestamps and ids where they void the provider's cache; nothing is changed by it",
        "compression",
    ),
    Setting(
        "press_style",
        "plain",
        _one_of("plain", "dense"),
        "plain repeats what a reader would look for; dense marks what equals the line above",
        "compression",
    ),
    Setting("json_floor", "1024", _bytes(0), "Smallest JSON text that is pressed, in bytes", "compression"),
    Setting("search_floor", "1024", _bytes(0), "Smallest search or path listing or table, in bytes", "compression"),
    Setting("log_floor", "512", _bytes(0), "Smallest log, build or test output, in bytes", "compression"),
    Setting("diff_floor", "1024", _bytes(0), "Smallest diff or git output, in bytes", "compression"),
    Setting("source_floor", "2048", _bytes(0), "Smallest source or numbered file, in bytes", "compression"),
    Setting("text_floor", "5120", _bytes(0), "Smallest prose or HTML, in bytes", "compression"),
    Setting(
        "error_floor",
        "8000",
        _bytes(0),
        "Results with is_error up to this many characters stay as they are",
        "compression",
    ),
    Setting(
        "token_yardstick",
        "o200k",
        _one_of("o200k", "characters"),
        "How tokens are counted for the gate: the packaged ranks, or an estimate by length",
        "compression",
    ),
    Setting(
        "inline_bytes", "2KiB", _bytes(0), "Fresh text up to this size is pressed on the event loop", "compression"
    ),
    Setting("compress_timeout", "20s", _time(0.01), "Longest time for one call of /v1/compress", "compression"),
    Setting("press_deadline", "200ms", _time(0), "Time for pressing one request's fresh text", "compression"),
    Setting("press_deadline_per_kib", "2ms", _time(0), "Added to it per KiB of fresh text", "compression"),
    Setting("press_deadline_limit", "3s", _time(0), "What both come to at the most", "compression"),
    Setting(
        "strip_internal_headers",
        "enabled",
        ON_OFF,
        "Take x-headroom-* off requests before they go on",
        "compression",
        ("HEADROOM_PROXY_STRIP_INTERNAL_HEADERS",),
    ),
    Setting(
        "sort_tools",
        "disabled",
        ON_OFF,
        "Sort tools by name, so that the provider's cache is not missed by their order; for callers who pay per token, "
        "in conversations that begin without cache markers of their own, as with the other three",
        "stabilisation",
    ),
    Setting(
        "sort_schema_keys",
        "disabled",
        ON_OFF,
        "Sort the keys in tools' schemas; models tend to write arguments in the order of the schema",
        "stabilisation",
    ),
    Setting(
        "place_cache_control",
        "disabled",
        ON_OFF,
        "Place cache markers, where the provider caches only what is marked: on tools and system text, and from a "
        "conversation's second request on at its end, once reading from the cache has paid for that; what makes only "
        "one request pays a quarter more for tools and system text",
        "stabilisation",
    ),
    Setting(
        "place_prompt_cache_key",
        "disabled",
        ON_OFF,
        "Name the prompt by its model, system text and tools, so that its requests reach the machine that cached it; "
        'Responses only with "store": false',
        "stabilisation",
    ),
    Setting(
        "store",
        "",
        Kind(
            _store,
            "memory, a path, redis://host:port/db (or rediss://…, unix://…), or nothing for the user's data directory",
        ),
        "Where decisions are kept; Redis is for several hosts and needs `pip install 'headroom[redis]'`",
        "store",
    ),
    Setting(
        "store_limit",
        "2GiB",
        _bytes(1 << 20),
        "Most that the store may hold; what was seen longest ago leaves first, but not within the hour. "
        "In memory at most 256MiB; Redis has a limit of its own",
        "store",
    ),
    Setting("store_timeout", "1s", _time(0.001), "Longest wait for the store; past it originals go", "store"),
    Setting("store_ttl", "7d", _time(60), "How long a decision is kept after it was last seen", "store"),
    Setting("replay_cache", "64MiB", _bytes(0), "Memory for decisions, per process", "store"),
    Setting(
        "memory_mode",
        "off",
        _one_of("off", "auto_tail", "tool"),
        "What is remembered across sessions, for callers who pay per token. off: nothing; auto_tail: what fits a "
        "prompt is told after it, and the memory tools are offered; tool: the tools alone",
        "memory",
    ),
    Setting(
        "memory_injection_mode",
        "live_zone_tail",
        _one_of("live_zone_tail", "disabled"),
        "Where auto_tail tells it: after the newest text of the user; or nowhere",
        "memory",
    ),
    Setting(
        "memory_store",
        "",
        OPTIONAL_PATH,
        "File of the memories; nothing means memory.sqlite beside the store of decisions, or in the user's data "
        "directory",
        "memory",
    ),
    Setting(
        "memory_scope",
        "project",
        _one_of("project", "user", "global"),
        "Which memories a request sees: its project's, its user's in all projects, or all of its user's and all shared",
        "memory",
    ),
    Setting(
        "memory_project",
        "",
        OPTIONAL_NAME,
        "Project of requests that name none; without one, they have no memory in the scope project",
        "memory",
    ),
    Setting(
        "memory_user",
        "",
        OPTIONAL_NAME,
        "User whose memories a request sees; nothing means whoever has its credential",
        "memory",
    ),
    Setting(
        "memory_timeout", "2s", _time(0.01), "Longest wait for the memory; past it a request goes without", "memory"
    ),
    Setting("memory_entries", "10", _whole(1, 10), "Memories told with one prompt, at the most", "memory"),
    Setting("memory_tokens", "1024", _whole(100, 8192), "Tokens told with one prompt, four characters each", "memory"),
    Setting(
        "learning",
        "enabled",
        ON_OFF,
        "Statistics of what presses saved and what was asked for again: counts and digests, which change no request; "
        "none of callers with a subscription",
        "learning",
    ),
    Setting(
        "learning_path",
        "",
        OPTIONAL_PATH,
        "File of the statistics; nothing means beside the store, and in memory for a store in memory",
        "learning",
        ("HEADROOM_TOIN_PATH",),
    ),
    Setting("learning_interval", "30s", _time(0.01), "Between two saves of the statistics", "learning"),
    Setting(
        "recommendations_path",
        "",
        OPTIONAL_PATH,
        "File that `headroom toin-publish` wrote, read once at the start; nothing means ./recommendations.toml if it "
        "is there. Forms that it recommends are tried first; tools that it leaves alone are pressed without loss only, "
        "where tool_policy does not name them",
        "learning",
    ),
    Setting("head_limit", "64KiB", _bytes(1024), "Largest message head", "limits"),
    Setting("field_limit", "128", _whole(8, 10000), "Most header fields of a message", "limits"),
    Setting(
        "body_limit", "64MiB", _bytes(1024), "Largest request body that is held to be rewritten, also decoded", "limits"
    ),
    Setting(
        "event_limit",
        "1MiB",
        _bytes(1024),
        "Largest SSE event that is looked at",
        "limits",
        ("HEADROOM_SSE_BUFFER_MAX_BYTES",),
    ),
    Setting(
        "answer_limit", "8MiB", _bytes(1024), "Largest plain JSON answer that is looked at for its usage", "limits"
    ),
    Setting("concurrency", "4096", _whole(1, 1_000_000), "Exchanges under way at once, per process", "limits"),
    Setting("header_timeout", "30s", _time(0.01), "For a request head, from first byte to last", "limits"),
    Setting("body_timeout", "60s", _time(0.01), "Between two pieces of a request body", "limits"),
    Setting("keep_alive_timeout", "75s", _time(0.01), "For an idle client connection", "limits"),
    Setting("connect_timeout", "10s", _time(0.01), "For a connection to an origin", "limits"),
    Setting("silence_timeout", "600s", _time(0.01), "Between two bytes of an origin's answer", "limits"),
    Setting("models_timeout", "15s", _time(0.01), "For an account's list of models, until our own is told", "limits"),
    Setting(
        "websocket_idle",
        "1h",
        _time(0.01),
        "For a WebSocket between responses; then it is closed. During one, silence_timeout holds",
        "limits",
    ),
    Setting("origin_keep_alive", "55s", _time(0), "For an idle connection to an origin", "limits"),
    Setting("origin_idle_limit", "1024", _whole(0, 100_000), "Idle connections kept per origin", "limits"),
    Setting("drain_timeout", "30s", _time(0), "For exchanges under way after SIGTERM", "limits"),
    Setting("log_level", "info", _one_of("debug", "info", "warning", "error"), "Least level that is logged", "logging"),
    Setting("log_file", "", OPTIONAL_PATH, "File for log lines; nothing means standard error", "logging"),
)

BY_NAME: Final[Mapping[str, Setting]] = {setting.name: setting for setting in SETTINGS}
_FILES: Final = ("store", "memory_store", "learning_path", "log_file")
_BY_VARIABLE: Final[Mapping[str, Setting]] = {v: s for s in SETTINGS for v in s.variables}


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting, checked. Made by `load`, or by `Config.of(name=value, …)` for embedding and tests."""

    _values: Mapping[str, object]
    written: Mapping[str, str]
    """Each setting's text, by name; it may hold a password or a token."""

    @classmethod
    def of(cls, **values: object) -> Config:
        """A configuration from the defaults and `values`, given as text or as the value itself."""
        return load([f"{BY_NAME[n].flag}={v}" if n in BY_NAME else f"--{n}={v}" for n, v in values.items()], {})

    def get(self, name: str, as_type: type[T]) -> T:
        """The value of `name`. Raises TypeError where the table and the caller disagree about its type."""
        value = self._values[name]
        if not isinstance(value, as_type):
            raise TypeError(f"setting {name} is {type(value).__name__}, not {as_type.__name__}")
        return value

    def text(self, name: str) -> str:
        """A word or a text."""
        return self.get(name, str)

    def whole(self, name: str) -> int:
        """A number or a size in bytes."""
        return self.get(name, int)

    def seconds(self, name: str) -> float:
        """A time in seconds."""
        return self.get(name, float)

    def origin(self, name: str) -> Origin | None:
        """An origin, or None where none is set."""
        value = self._values[name]
        return value if isinstance(value, Origin) else None

    def path(self, name: str) -> Path | None:
        """A path, or None where it is empty."""
        value = self._values[name]
        return value if isinstance(value, Path) else None

    def on(self, name: str) -> bool:
        """Whether an enabled/disabled setting is enabled."""
        return self._values[name] == "enabled"

    @property
    def tool_policy(self) -> Mapping[str, Literal["default", "lossless", "reversible", "none"]]:
        """Rules by lower-case tool name."""
        return self.get("tool_policy", dict)

    @property
    def allowed_base_urls(self) -> tuple[Origin, ...]:
        """Origins that callers from elsewhere may name."""
        return self.get("allowed_base_urls", tuple)

    @property
    def websocket_origins(self) -> frozenset[str]:
        """Origins of pages that may open a WebSocket; `*` stands for any."""
        return self.get("websocket_origins", frozenset)

    @property
    def proxy_token(self) -> bytes:
        """The token for callers from other hosts, or nothing."""
        return self.get("proxy_token", bytes)


def load(arguments: Sequence[str], environment: Mapping[str, str]) -> Config:
    """Read flags, environment and the file that either names. Raises ConfigError; see the module."""
    flags = _flags(arguments)
    file = flags.pop("config", None) or environment.get("HEADROOM_CONFIG", "")
    texts = {setting.name: setting.default for setting in SETTINGS}
    sources = dict.fromkeys(texts, "default")
    for source, found in (
        (f"file {file}", _file(file) if file else {}),
        ("environment", _environment(environment)),
        ("flag", flags),
    ):
        for name, text in found.items():
            texts[name] = text
            sources[name] = source
    values = {name: _parsed(BY_NAME[name], text, sources[name]) for name, text in texts.items()}
    host = values["host"]
    if not ipaddress.ip_address(str(host)).is_loopback and not values["proxy_token"]:
        raise ConfigError(f"host: {host!s} is reachable from other hosts; set proxy_token as well, or use 127.0.0.1")
    for name in _FILES:
        in_memory = values[name] == "memory"  # a path is never equal to a text
        if not in_memory and os.path.isdir(path := os.path.expanduser(texts[name])):
            raise ConfigError(f"{name} ({sources[name]}): {path} is a folder; allowed is the path of a file")
    return Config(values, texts)


def _parsed(setting: Setting, text: str, source: str) -> object:
    try:
        return setting.kind.parse(text)
    except (ValueError, OverflowError):
        shown = "the value given" if setting.name == "proxy_token" else repr(without_password(text))
        raise ConfigError(
            f"{setting.name} ({source}): {shown} is not allowed; allowed is {setting.kind.allowed}"
        ) from None


def _flags(arguments: Sequence[str]) -> dict[str, str]:
    """`--name value` and `--name=value`. Raises ConfigError for anything else."""
    found: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        flag, equals, text = argument.partition("=")
        name = flag.removeprefix("--").replace("-", "_")
        if not flag.startswith("--") or (name not in BY_NAME and name != "config"):
            raise ConfigError(f"{flag}: no such flag{_nearest(flag, [s.flag for s in SETTINGS])}")
        if not equals:
            if not rest:
                allowed = BY_NAME[name].kind.allowed if name in BY_NAME else "a path"
                raise ConfigError(f"{name} (flag): no value given; allowed is {allowed}")
            text = rest.pop(0)
        found[name] = text
    return found


def _environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Settings from variables. An empty variable counts as unset. Raises ConfigError for an unknown HEADROOM_*."""
    found: dict[str, str] = {}
    for setting in SETTINGS:
        for variable in reversed(setting.variables):
            if environment.get(variable):
                found[setting.name] = environment[variable]
    for variable in environment:
        if variable.startswith("HEADROOM_") and variable not in _BY_VARIABLE and variable != "HEADROOM_CONFIG":
            raise ConfigError(f"{variable}: no such setting{_nearest(variable, list(_BY_VARIABLE))}")
    return found


def _file(path: str) -> dict[str, str]:
    try:
        with open(Path(path).expanduser(), "rb") as stream:
            table = tomllib.load(stream)
    except OSError as error:
        raise ConfigError(f"config: cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"config: {path} is not TOML: {error}") from None
    found: dict[str, str] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if isinstance(value, dict):
            raise ConfigError(f"config: {path} has a table [{key}]; settings stand at the top, as in port = 8787")
        if name not in BY_NAME:
            raise ConfigError(f"config: {path} has {name!r}: no such setting{_nearest(name, list(BY_NAME))}")
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            shown = str(value).lower() if isinstance(value, bool) else repr(value)
            raise ConfigError(f"{name} (file {path}): {shown} is not allowed; allowed is {BY_NAME[name].kind.allowed}")
        found[name] = str(value)
    return found


def _nearest(name: str, known: list[str]) -> str:
    """What may have been meant. What all names begin with is left aside: it would make any two of them alike."""
    import difflib  # noqa: PLC0415 - needed only to word an error

    whole = {_bare(word): word for word in known}
    near = difflib.get_close_matches(_bare(name), list(whole), 1)
    return f"; the nearest is {whole[near[0]]}" if near else ""


def _bare(name: str) -> str:
    return name.removeprefix("--").removeprefix("HEADROOM_").lower().replace("-", "_")


def without_password(url: str) -> str:
    """The text with what stands before the host in URLs, and after `password=`, taken out: it may be shown."""
    return _PASSWORDS.sub(lambda found: "…@" if found[0].endswith("@") else "…", url)


def environment() -> Mapping[str, str]:
    """The process's environment. The one place that reads it."""
    return os.environ


def data_directory() -> Path:
    """Where this user's data belongs: XDG on Linux, Library on macOS, LOCALAPPDATA on Windows."""
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "headroom"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "headroom"
    return Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "headroom"


def usage(program: str) -> str:
    """The text of `--help`, made from the table."""
    lines = [
        f"usage: {program} [--config FILE] [--SETTING VALUE …]",
        "",
        "Flags, HEADROOM_<NAME> variables and TOML keys:",
    ]
    for section in dict.fromkeys(setting.section for setting in SETTINGS):
        lines += ["", f"{section}:"]
        for setting in SETTINGS:
            if setting.section == section:
                lines.append(f"  {setting.flag} {setting.default or '(nothing)'}")
                lines.append(f"      {setting.help}. Allowed: {setting.kind.allowed}.")
    return "\n".join(lines) + "\n"


def table() -> str:
    """The settings as a Markdown table for the README."""
    rows = ["| setting | default | allowed | what it does |", "|---|---|---|---|"]
    for setting in SETTINGS:
        more = f" (also `{'`, `'.join(setting.env)}`)" if setting.env else ""
        default = f"`{setting.default}`" if setting.default else "nothing"
        rows.append(f"| `{setting.name}`{more} | {default} | {setting.kind.allowed} | {setting.help} |")
    return "\n".join(rows) + "\n"


def fail(error: ConfigError) -> NoReturn:
    """Say what is wrong on one line and exit with 78."""
    sys.stderr.write(f"headroom: {error}\n")
    raise SystemExit(EX_CONFIG)
