"""Dialects, routes, prices and error shapes of the providers: data, and nothing that acts.

Adding an endpoint adds a row here and a recorded request to the tests. No provider is named in any other file.
Sources: the providers' API references; cache prices as published by them, relative to one plain input token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from headroom.zones.shape import Call, Result, Shape, ToolShape

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageFields:
    """Where token counts are in a usage object. `read_included`: whether `input` counts cached tokens as well."""

    at: tuple[Path, ...]
    input: Path
    output: Path
    read: Path
    write: Path = ()
    write_1h: Path = ()
    read_included: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamWords:
    """How a dialect's event stream ends. `needles`: no event without one of them says anything about usage or end.

    `quiet`: how the commonest events begin that say nothing, whatever text they carry.
    """

    done_events: frozenset[bytes] = frozenset()
    done_data: bytes = b""
    done_key: bytes = b""
    error_events: frozenset[bytes] = frozenset()
    error_prefix: bytes = b'{"error"'
    quiet: tuple[bytes, ...] = ()
    needles: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What a token costs in the prompt, relative to one that is neither read from nor written to the cache."""

    read: float
    write: float = 1.0
    write_1h: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorShape:
    """How the provider words an error. `body` has the places ``%(message)s``, ``%(kind)s``, ``%(status)d``."""

    body: str
    kinds: Mapping[int, str]
    other: str


_TOOLS: Final = ToolShape()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One request and answer format. `shape` is None where its requests are never rewritten.

    `loom` names what answers calls of the retrieve tool within its streams; empty where nothing does. `bare_prompt`:
    in place of items there may be one text, a prompt with no results.

    `own_markers`: keys by which a client says itself what is to be cached, wherever they stand. `cached_under`: members
    without which nothing is read that was written with them. `markable`: types of blocks that may carry a marker of
    ours; empty where none is ever placed. `cache_key`: the member that names a prompt to the cache. `chained`: members
    that continue a prompt which the provider keeps; it keeps none where `stored` is false.
    """

    name: str
    shape: Shape | None
    usage: UsageFields
    stream: StreamWords
    prices: Prices
    errors: ErrorShape
    session_fields: tuple[bytes, ...] = ()
    loom: str = ""
    bare_prompt: bool = False
    most_tools: int = 0
    tools: ToolShape = _TOOLS
    own_markers: tuple[str, ...] = ()
    cached_under: tuple[str, ...] = ()
    markable: frozenset[str] = frozenset()
    cache_key: str = ""
    chained: tuple[str, ...] = ()
    stored: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketWords:
    """What is said on a dialect's WebSocket, one JSON object a message.

    `feature` is a request field and the token without which the origin refuses the upgrade. A client's message of type
    `create` asks for a response; its request is in the object `under`, or beside the type; `follows` names the earlier
    response that it goes on from. An origin's message of type `begun` names the response, those of `endings` end it
    one way or another, and `item` brings an item that a model made. `quiet`: how the commonest messages begin.
    """

    feature: tuple[bytes, bytes]
    create: str
    under: str
    follows: str
    begun: str
    endings: Mapping[str, str]
    item: str
    quiet: tuple[bytes, ...]


RESPONSES_SOCKET: Final = SocketWords(
    feature=(b"openai-beta", b"responses_websockets=2026-02-06"),
    create="response.create",
    under="response",
    follows="previous_response_id",
    begun="response.created",
    endings={
        "response.completed": "complete",
        "response.incomplete": "complete",
        "response.failed": "errored",
        "response.cancelled": "errored",
        "error": "errored",
    },
    item="response.output_item.done",
    quiet=(b'{"type":"response.output_text.delta"', b'{"type":"response.function_call_arguments.delta"'),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One endpoint. `api` names the origin (a key of `APIS`), `forward` the path it has there if another.

    `rewrite` routes have their bodies located; all others are relayed as they come in both directions. `account` is the
    path at `ACCOUNT_API` for callers who are logged in with an account there. `socket`: what is said here after an
    upgrade to WebSocket.
    """

    name: str
    method: bytes
    path: str
    dialect: Dialect
    api: str
    rewrite: bool = False
    forward: str = ""
    account: str = ""
    socket: SocketWords | None = None

    def match(self, path: str) -> Mapping[str, str] | None:
        """What the names in `path` stand for, or None where it is another path."""
        found = _pattern(self.path).fullmatch(path)
        return None if found is None else found.groupdict()


@cache
def _pattern(path: str) -> re.Pattern[str]:
    """`{name}` stands for one path segment, `{name*}` for the rest of the path. Compiled when first needed."""
    escaped = re.escape(path)
    return re.compile(re.sub(r"\\\{(\w+)(\\\*)?\\\}", lambda m: f"(?P<{m[1]}>{'.+' if m[2] else '[^/]+'})", escaped))


ERRORS_ANTHROPIC = ErrorShape(
    body='{"type":"error","error":{"type":%(kind)s,"message":%(message)s}}',
    kinds={
        400: "invalid_request_error",
        401: "authentication_error",
        404: "not_found_error",
        408: "timeout_error",
        413: "request_too_large",
        431: "request_too_large",
        503: "overloaded_error",
        504: "timeout_error",
    },
    other="api_error",
)
ERRORS_OPENAI = ErrorShape(
    body='{"error":{"message":%(message)s,"type":%(kind)s,"param":null,"code":null}}',
    kinds={
        400: "invalid_request_error",
        401: "authentication_error",
        404: "invalid_request_error",
        408: "invalid_request_error",
        413: "invalid_request_error",
        431: "invalid_request_error",
    },
    other="server_error",
)
ERRORS_GEMINI = ErrorShape(
    body='{"error":{"code":%(status)d,"message":%(message)s,"status":%(kind)s}}',
    kinds={
        400: "INVALID_ARGUMENT",
        401: "UNAUTHENTICATED",
        404: "NOT_FOUND",
        408: "DEADLINE_EXCEEDED",
        413: "INVALID_ARGUMENT",
        431: "INVALID_ARGUMENT",
        503: "UNAVAILABLE",
        504: "DEADLINE_EXCEEDED",
    },
    other="UNAVAILABLE",
)

ANTHROPIC = Dialect(
    name="anthropic",
    shape=Shape(
        name="anthropic",
        items="messages",
        content="content",
        result=Result(
            nested=True,
            tag="type",
            tags=frozenset({"tool_result"}),
            text="content",
            call_id="tool_use_id",
            error="is_error",
        ),
        call=Call(path=("content",), tags=frozenset({"tool_use"}), call_id="id", name=("name",)),
        model_roles=frozenset({"assistant"}),
        instructions=("system",),
        marker="cache_control",
        lifetime="ttl",
        long_lifetime="1h",
        session=("metadata", "user_id"),
    ),
    usage=UsageFields(
        at=(("message", "usage"), ("usage",)),
        input=("input_tokens",),
        output=("output_tokens",),
        read=("cache_read_input_tokens",),
        write=("cache_creation_input_tokens",),
        write_1h=("cache_creation", "ephemeral_1h_input_tokens"),
        read_included=False,
    ),
    stream=StreamWords(
        done_events=frozenset({b"message_stop"}),
        error_events=frozenset({b"error"}),
        error_prefix=b'{"type":"error"',
        quiet=(b"event: content_block_delta\n",),
        needles=(b'"usage"', b"message_stop", b"error"),
    ),
    prices=Prices(read=0.1, write=1.25, write_1h=2.0),
    errors=ERRORS_ANTHROPIC,
    session_fields=(b"x-claude-code-session-id", b"x-session-id"),
    loom="blocks",
    tools=ToolShape(
        names=(("name",), ("mcp_server_name",), ("type",)), schemas=(("input_schema",),), unmarkable="defer_loading"
    ),
    own_markers=("cache_control",),
    cached_under=("model", "tool_choice", "thinking"),
    markable=frozenset({"text", "image", "document", "search_result", "tool_result"}),
)
_BREAKPOINTS: Final = ("prompt_cache_breakpoint", "prompt_cache_options")
OPENAI_CHAT = Dialect(
    name="openai_chat",
    shape=Shape(
        name="openai_chat",
        items="messages",
        content="content",
        result=Result(nested=False, tag="role", tags=frozenset({"tool"}), text="content", call_id="tool_call_id"),
        call=Call(path=("tool_calls",), tags=frozenset(), call_id="id", name=("function", "name")),
        model_roles=frozenset({"assistant"}),
        functions=("function",),
        several=("n",),
        marker="cache_control",
        session=("prompt_cache_key",),
    ),
    usage=UsageFields(
        at=(("usage",),),
        input=("prompt_tokens",),
        output=("completion_tokens",),
        read=("prompt_tokens_details", "cached_tokens"),
        read_included=True,
    ),
    stream=StreamWords(done_data=b"[DONE]", needles=(b'"usage"', b"[DONE]", b'"error"')),
    prices=Prices(read=0.5),
    errors=ERRORS_OPENAI,
    session_fields=(b"session-id", b"x-session-id"),
    loom="deltas",
    most_tools=128,
    tools=ToolShape(
        names=(("name",), ("function", "name"), ("custom", "name"), ("type",)), schemas=(("function", "parameters"),)
    ),
    own_markers=("cache_control", *_BREAKPOINTS),
    cache_key="prompt_cache_key",
)
OPENAI_RESPONSES = Dialect(
    name="openai_responses",
    shape=Shape(
        name="openai_responses",
        items="input",
        content="content",
        result=Result(
            nested=False,
            tag="type",
            tags=frozenset(
                {
                    "function_call_output",
                    "custom_tool_call_output",
                    "local_shell_call_output",
                    "shell_call_output",
                    "apply_patch_call_output",
                }
            ),
            text="output",
            call_id="call_id",
        ),
        call=Call(
            path=(),
            tags=frozenset({"function_call", "custom_tool_call"}),
            call_id="call_id",
            name=("name",),
        ),
        model_roles=frozenset({"assistant"}),
        instructions=("instructions",),
        goes_on="previous_response_id",
        kept="conversation",
        # What a model makes besides messages; an item of a kind that is not listed is passed on and ends no turn.
        model_types=frozenset(
            {
                "reasoning",
                "function_call",
                "custom_tool_call",
                "local_shell_call",
                "shell_call",
                "apply_patch_call",
                "web_search_call",
                "file_search_call",
                "code_interpreter_call",
                "image_generation_call",
                "computer_call",
                "mcp_call",
                "mcp_list_tools",
                "mcp_approval_request",
                "tool_search_call",
                "compaction",
            }
        ),
        known_types=frozenset(
            {
                "message",
                "additional_tools",
                "compaction_summary",
                "compaction_trigger",
                "computer_call_output",
                "context_compaction",
                "item_reference",
                "mcp_approval_response",
                "tool_search_output",
            }
        ),
        session=("prompt_cache_key",),
    ),
    usage=UsageFields(
        at=(("response", "usage"), ("usage",)),
        input=("input_tokens",),
        output=("output_tokens",),
        read=("input_tokens_details", "cached_tokens"),
        read_included=True,
    ),
    stream=StreamWords(
        done_events=frozenset(
            {b"response.completed", b"response.incomplete", b"response.failed", b"response.cancelled"}
        ),
        error_events=frozenset({b"error", b"response.failed"}),
        quiet=(b"event: response.output_text.delta\n", b"event: response.function_call_arguments.delta\n"),
        needles=(
            b'"usage"',
            b"response.completed",
            b"response.incomplete",
            b"response.failed",
            b"response.cancelled",
            b"error",
        ),
    ),
    prices=Prices(read=0.5),
    errors=ERRORS_OPENAI,
    session_fields=(b"session-id", b"x-session-id"),
    loom="items",
    most_tools=128,
    bare_prompt=True,
    tools=ToolShape(
        names=(("name",), ("function", "name"), ("server_label",), ("type",)),
        lists=("tools",),
        schemas=(("parameters",), ("function", "parameters")),
    ),
    own_markers=("cache_control", *_BREAKPOINTS),
    cache_key="prompt_cache_key",
    chained=("previous_response_id", "conversation"),
    stored="store",
)
_CONTENTS = Shape(
    name="gemini",
    items="contents",
    content="parts",
    result=Result(
        nested=True,
        within=("functionResponse", "function_response"),
        text="response",
        call_id="id",
        leaves=True,
        tool="name",
    ),
    call=Call(path=(), tags=frozenset(), call_id="id", name=("name",)),
    model_roles=frozenset({"model"}),
    user_roles=frozenset({"user", "function", ""}),
    functions=("functionDeclarations", "function_declarations"),
    several=("generationConfig", "candidateCount"),
    instructions=("systemInstruction", "system_instruction"),
)
GEMINI = Dialect(
    name="gemini",
    shape=_CONTENTS,
    usage=UsageFields(
        at=(("usageMetadata",), ("response", "usageMetadata")),
        input=("promptTokenCount",),
        output=("candidatesTokenCount",),
        read=("cachedContentTokenCount",),
        read_included=True,
    ),
    stream=StreamWords(done_key=b'"finishReason"', needles=(b'"usageMetadata"', b'"finishReason"', b'"error"')),
    prices=Prices(read=0.25),
    errors=ERRORS_GEMINI,
    session_fields=(b"x-session-id",),
    loom="parts",
    most_tools=128,
    tools=ToolShape(
        lists=("functionDeclarations", "function_declarations"),
        ordered=False,
        schemas=(("parameters",), ("parametersJsonSchema",), ("parameters_json_schema",)),
    ),
    own_markers=("cachedContent", "cached_content"),
)
CLOUDCODE = replace(GEMINI, name="cloudcode", loom="", shape=replace(_CONTENTS, under="request"))
DIALECTS: Final = (ANTHROPIC, OPENAI_CHAT, OPENAI_RESPONSES, GEMINI, CLOUDCODE)

APIS: Final[Mapping[str, str]] = {
    "anthropic": "anthropic_api_url",
    "openai": "openai_api_url",
    "gemini": "gemini_api_url",
    "cloudcode": "cloudcode_api_url",
    "vertex": "vertex_api_url",
    "bedrock": "bedrock_api_url",
    "chatgpt": "chatgpt_url",
}
"""Origins by name, and the setting each is configured by."""

API_ERRORS: Final[Mapping[str, Dialect]] = {
    "anthropic": ANTHROPIC,
    "bedrock": ANTHROPIC,
    "gemini": GEMINI,
    "cloudcode": GEMINI,
    "vertex": GEMINI,
}
"""Whose words an origin's errors use, on paths that are no route; OpenAI's for the others."""


def _post(
    name: str, path: str, dialect: Dialect, api: str, *, rewrite: bool = False, forward: str = "", account: str = ""
) -> Route:
    return Route(
        name=name,
        method=b"POST",
        path=path,
        dialect=dialect,
        api=api,
        rewrite=rewrite,
        forward=forward,
        account=account,
    )


_VERTEX = "/projects/{project}/locations/{location}"
_CODEX = "/backend-api/codex/responses"
_RESPONSES = ("/v1/responses", "/v1/codex/responses", "/backend-api/responses", _CODEX)

ROUTES: Final[tuple[Route, ...]] = (
    _post("messages", "/v1/messages", ANTHROPIC, "anthropic", rewrite=True),
    _post("messages.count_tokens", "/v1/messages/count_tokens", ANTHROPIC, "anthropic"),
    Route(name="messages.batches", method=b"*", path="/v1/messages/{rest*}", dialect=ANTHROPIC, api="anthropic"),
    _post("chat.completions", "/v1/chat/completions", OPENAI_CHAT, "openai", rewrite=True),
    *(
        _post("responses", path, OPENAI_RESPONSES, "openai", rewrite=True, forward="/v1/responses", account=_CODEX)
        for path in _RESPONSES
    ),
    *(
        Route(
            name="responses.websocket",
            method=b"GET",
            path=path,
            dialect=OPENAI_RESPONSES,
            api="openai",
            forward="/v1/responses",
            account=_CODEX,
            socket=RESPONSES_SOCKET,
        )
        for path in _RESPONSES
    ),
    *(
        Route(
            name="responses.sub",
            method=b"*",
            path=path + "/{rest*}",
            dialect=OPENAI_RESPONSES,
            api="openai",
            forward="/v1/responses/{rest}",
            account=_CODEX + "/{rest}",
        )
        for path in _RESPONSES
    ),
    Route(name="conversations", method=b"*", path="/v1/conversations{rest*}", dialect=OPENAI_RESPONSES, api="openai"),
    *(
        _post(
            f"images.{verb}", f"/v1/images/{verb}", OPENAI_CHAT, "openai", account=f"/backend-api/codex/images/{verb}"
        )
        for verb in ("generations", "edits")
    ),
    *(
        _post("passthrough", path, OPENAI_CHAT, "openai")
        for path in ("/v1/embeddings", "/v1/moderations", "/v1/audio/transcriptions", "/v1/audio/speech")
    ),
    Route(name="batches", method=b"*", path="/v1/batches", dialect=OPENAI_CHAT, api="openai"),
    Route(name="batches", method=b"*", path="/v1/batches/{rest*}", dialect=OPENAI_CHAT, api="openai"),
    _post("gemini.generate", "/v1beta/models/{model}:generateContent", GEMINI, "gemini", rewrite=True),
    _post("gemini.stream", "/v1beta/models/{model}:streamGenerateContent", GEMINI, "gemini", rewrite=True),
    # The SDK leaves the version's `beta` out where it is given a base URL alone.
    _post("gemini.generate", "/v1/models/{model}:generateContent", GEMINI, "gemini", rewrite=True),
    _post("gemini.stream", "/v1/models/{model}:streamGenerateContent", GEMINI, "gemini", rewrite=True),
    _post("gemini.count", "/v1beta/models/{model}:countTokens", GEMINI, "gemini"),
    Route(name="gemini.other", method=b"*", path="/v1beta/{rest*}", dialect=GEMINI, api="gemini"),
    *(
        _post(
            f"cloudcode.{name}",
            f"{prefix}/v1internal:{verb}",
            CLOUDCODE,
            "cloudcode",
            rewrite=True,
            forward=f"/v1internal:{verb}",
        )
        for name, verb in (("stream", "streamGenerateContent"), ("generate", "generateContent"))
        for prefix in ("", "/v1")
    ),
    Route(name="cloudcode.other", method=b"*", path="/v1internal:{rest*}", dialect=GEMINI, api="cloudcode"),
    Route(
        name="cloudcode.other",
        method=b"*",
        path="/v1/v1internal:{rest*}",
        dialect=GEMINI,
        api="cloudcode",
        forward="/v1internal:{rest}",
    ),
    *(
        _post(
            f"vertex.{publisher}",
            f"{version}{_VERTEX}/publishers/{publisher}/models/{{model}}:{verb}",
            dialect,
            "vertex",
            rewrite=True,
            forward="" if version else f"/v1{_VERTEX}/publishers/{publisher}/models/{{model}}:{verb}",
        )
        for publisher, dialect, verbs in (
            ("anthropic", ANTHROPIC, ("rawPredict", "streamRawPredict")),
            ("google", GEMINI, ("generateContent", "streamGenerateContent")),
        )
        for verb in verbs
        for version in ("/{version}", "")
    ),
    Route(
        name="vertex.anthropic",
        method=b"POST",
        dialect=ANTHROPIC,
        api="vertex",
        path=f"/{{version}}{_VERTEX}/publishers/anthropic/models/{{rest*}}",
    ),
    Route(
        name="vertex.anthropic",
        method=b"POST",
        dialect=ANTHROPIC,
        api="vertex",
        path=f"{_VERTEX}/publishers/anthropic/models/{{model*}}",
        forward=f"/v1{_VERTEX}/publishers/anthropic/models/{{model}}",
    ),
    Route(
        name="vertex.other",
        method=b"*",
        dialect=GEMINI,
        api="vertex",
        path="/{version}/projects/{project}/locations/{location}/{rest*}",
    ),
    *(
        _post("bedrock", f"/model/{{model}}/{verb}", ANTHROPIC, "bedrock", rewrite=True)
        for verb in ("invoke", "invoke-with-response-stream")
    ),
    _post("bedrock", "/model/{rest*}", ANTHROPIC, "bedrock"),
)

MODEL_FAMILIES: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(rf"(?<![a-z0-9]){pattern}(?![a-z0-9])"), family)
    for pattern, family in (
        (r"claude\b.*\bopus", "claude-opus"),
        (r"claude\b.*\bsonnet", "claude-sonnet"),
        (r"claude\b.*\bhaiku", "claude-haiku"),
        (r"claude", "claude"),
        (r"gpt-5(?:[.-].*)?", "gpt-5"),
        (r"gpt-4[.]1", "gpt-4.1"),
        (r"(?:chat)?gpt-4o", "gpt-4o"),
        (r"codex-mini", "gpt-5"),
        (r"o[134]", "o-series"),
        (r"gemini\b.*\bflash", "gemini-flash"),
        (r"gemini\b.*\bpro", "gemini-pro"),
        (r"gemini", "gemini"),
    )
)
"""Families of models by what their names, in lower case, contain; the first one counts."""
OTHER_MODELS: Final = "other"

WHOLE_TOOLS: Final = frozenset(
    {
        "read", "edit", "write", "multiedit", "notebookedit", "notebookread", "grep", "glob", "ls",
        "read_file", "read_many_files", "write_file", "replace", "edit_file", "str_replace_editor",
        "str_replace_based_edit_tool", "str_replace_based_edit", "apply_patch", "view", "view_file", "view_image",
        "grep_search", "search_file_content", "file_search", "list_directory", "list_dir", "glob_search",
    }
)  # fmt: skip
"""Tools whose results agents edit by, in lower case: nothing of them is left out unless that is configured."""


@dataclass(frozen=True, slots=True)
class CallShape:
    """A tool's call as a program hands it on, and the answer it expects: paths into the one, fields of the other."""

    name: Path
    arguments: Path
    id: str
    answer: Mapping[str, str]
    answer_id: str
    answer_text: str


TOOL_CALLS: Final[Mapping[str, tuple[CallShape, ...]]] = {
    "anthropic": (CallShape(("name",), ("input",), "id", {"type": "tool_result"}, "tool_use_id", "content"),),
    "openai": (
        CallShape(("function", "name"), ("function", "arguments"), "id", {"role": "tool"}, "tool_call_id", "content"),
        CallShape(("name",), ("arguments",), "call_id", {"type": "function_call_output"}, "call_id", "output"),
    ),
}
"""Calls by provider; of several shapes, the first in which a name is found."""

CREDENTIAL_FIELDS: Final = (b"authorization", b"x-api-key", b"x-goog-api-key", b"api-key")
"""Request fields that say who is asking. Their digest enters conversation keys; their values go nowhere."""

CREDENTIAL_PARAMETER: Final = b"key="
"""How the parameter of a target begins that says it in their place."""

ARRAY_STREAMS: Final = (":streamGenerateContent", b"alt=sse")
"""How paths end whose answer is one JSON array that grows, unless the query says otherwise: it cannot be woven."""

LOGIN_APIS: Final = ("bedrock", "vertex", "chatgpt", "cloudcode")
"""Origins whose callers are never paid for by an API key of the model's provider."""
KEY_FIELDS: Final = (b"x-api-key", b"x-goog-api-key", b"api-key")
SIGNED_CREDENTIALS: Final = (b"AWS4-",)
"""How credentials begin that are signatures over the body: whoever changes it makes the request worthless."""
KEY_TOKENS: Final = (b"sk-",)
LOGIN_TOKENS: Final = (b"sk-ant-oat", b"ya29.", b"gho_", b"ghu_")
"""What tells an API key from a login: fields, and how bearer tokens begin."""

SUBSCRIPTION_AGENTS: Final = (
    b"claude-cli/",
    b"claude-code/",
    b"codex-cli/",
    b"codex_cli_rs/",
    b"codex_exec/",
    b"cursor/",
    b"claude-vscode/",
    b"github-copilot/",
    b"anthropic-cli/",
    b"antigravity/",
)
"""User agents of programs that are paid for by subscription, in lower case."""

TOKEN_FIELDS: Final = (b"anthropic-beta", b"openai-beta")
"""Request fields that name features, which must not come and go within a conversation."""

DROPPED_FIELDS: Final = (b"x-openai-internal-codex-responses-lite",)
"""Request fields that newer models refuse and clients still send."""

UPSTREAM_ID_FIELDS: Final = (b"request-id", b"x-request-id")
"""Answer fields with the provider's own request id, the first one there is."""

SESSION_FIELD: Final = b"x-headroom-session-id"
ACCOUNT_FIELD: Final = b"chatgpt-account-id"
ACCOUNT_CLAIM: Final = ("https://api.openai.com/auth", "chatgpt_account_id")
"""Where a ChatGPT login shows in a bearer token."""
ACCOUNT_API: Final = "chatgpt"
"""Where callers who are logged in with an account are sent."""
CATCH_ALL: Final[tuple[tuple[bytes, bytes, str], ...]] = (
    (b"x-goog-api-key", b"", "gemini"),
    (b"x-api-key", b"", "anthropic"),
    (b"anthropic-version", b"", "anthropic"),
    (b"authorization", b"Bearer sk-ant-", "anthropic"),
)
"""Where paths that are no route go: the first whose field is there and begins so; else to `CATCH_ALL_ELSE`."""
CATCH_ALL_ELSE: Final = "openai"
REGIONAL_API: Final = "vertex"
MODELS_PATH: Final = "/v1/models"
MODELS_PATHS: Final = re.compile(re.escape(MODELS_PATH) + r"(?:/[^/]+)?")
ACCOUNT_MODELS: Final = "/backend-api/codex/models"
ACCOUNT_MODELS_ROUTE: Final = "models"
"""The list of models as the account's origin keeps it: GET of `MODELS_PATHS` is answered from there."""
CLIENT_VERSION: Final = "client_version"
CLIENT_VERSION_ELSE: Final = "0.130.0"
"""The list's only parameter; the origin refuses to answer without it."""
ACCOUNT_PATHS: Final = "/backend-api/"
"""How paths begin that no other origin has."""
ACCOUNT_LINE: Final = b"ChatGPT-Account-ID: %b\r\n"
STATIC_MODELS: Final = ("gpt-5.5", "gpt-5.4", "gpt-5.3", "gpt-5.2", "gpt-5.1", "gpt-5")
"""Models to be told of where the account's own list cannot be had."""
SLUG_SPELLINGS: Final[Mapping[str, str]] = {"gpt": "GPT"}
LISTED_MODEL: Final[Mapping[str, object]] = {"object": "model", "created": 0, "owned_by": "openai"}
MODEL_NOT_FOUND: Final[Mapping[str, object]] = {
    "error": {
        "message": f"headroom: there is no such model; GET {MODELS_PATH} lists those that there are",
        "type": "invalid_request_error",
        "code": "model_not_found",
    }
}
ENTRY_DEFAULTS: Final[Mapping[str, object]] = {
    "default_reasoning_level": "medium",
    "supported_reasoning_levels": [
        {"effort": effort, "description": f"{effort.capitalize()} reasoning effort"}
        for effort in ("low", "medium", "high", "xhigh")
    ],
    "shell_type": "shell_command",
    "visibility": "list",
    "supported_in_api": True,
    "priority": 50,
    "additional_speed_tiers": ["fast"],
    "service_tiers": [{"id": "priority", "name": "Fast", "description": "Answers sooner and uses more"}],
    "context_window": 272_000,
    "max_context_window": 272_000,
    "effective_context_window_percent": 95,
    "input_modalities": ["text", "image"],
    "apply_patch_tool_type": "freeform",
    "web_search_tool_type": "text_and_image",
    "truncation_policy": {"mode": "tokens", "limit": 10_000},
    "supports_parallel_tool_calls": True,
    "supports_reasoning_summaries": True,
    "supports_search_tool": True,
    "supports_image_detail_original": True,
    "support_verbosity": True,
    "default_verbosity": "low",
    "use_responses_lite": False,
}
"""What an entry of the account's list is taken to say where it says nothing. No instructions are among it: a client
that needs them keeps the entries that it came with."""
REGION_DEFAULT: Final = "us-central1-aiplatform.googleapis.com"
REGION_GLOBAL: Final = "aiplatform.googleapis.com"
REGION_HOST: Final = "{location}-aiplatform.googleapis.com"

CLIENT_LINES: Final[tuple[tuple[str, str], ...]] = (
    ("Claude Code", "export ANTHROPIC_BASE_URL={base}"),
    ("Codex", 'codex -c openai_base_url="{base}/v1"'),
    ("Gemini CLI", "export GOOGLE_GEMINI_BASE_URL={base}"),
    ("opencode", 'provider.<name>.options.baseURL = "{base}/v1"'),
    ("Anthropic SDK", 'Anthropic(base_url="{base}")'),
    ("OpenAI SDK", 'OpenAI(base_url="{base}/v1")'),
    ("Gemini SDK", 'genai.Client(http_options={{"base_url": "{base}"}})'),
)
"""What to set for each client."""
