"""The WebSocket of the scripted provider: each `response.create` is answered with the turn its script holds for it.

Frames, handshake and compression are the `websockets` library's. The provider remembers what a response was answered
from, so a request that goes on from one (`previous_response_id`) is kept as the whole request that it stands for. One
in which a call has no output is refused.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from tests.support.dialects import Dialect, Route, exchange
from tests.support.events import Answer, Usage, compact, stream_events
from tests.support.http_wire import WireRequest
from tests.support.script import Json, Script

Way = Literal["plain", "deflated", "deflated anew"]
ScriptOf = Callable[[bytes], Script]
_RESPONSES = Route(Dialect.RESPONSES)


@dataclass
class Said:
    """One message of a client.

    `connection` counts the sockets from 0. `text` is it as received, `whole` the request that it stands for with what
    it goes on from (its `input` then holds everything), {} for one that is no request. `warm` asks for no answer.
    """

    connection: int
    text: str
    whole: Json
    warm: bool = False

    @property
    def whole_raw(self) -> bytes:
        """The request that it stands for, as JSON."""
        return compact(self.whole).encode()


class SocketOrigin:
    """Converses on the sockets that a provider has accepted. `said` are all messages, in order of arrival; `refused`
    the errors of those that were refused.

    way      whether compression is accepted, and whether messages then refer to those before them
    closes   requests on one socket after which it is closed with 1001, or 0
    accepts  sockets that are accepted; upgrades after that are refused
    """

    def __init__(self, way: Way = "plain", closes: int = 0, accepts: int = 1_000_000) -> None:
        self.way = way
        self.closes = closes
        self.accepts = accepts
        self.said: list[Said] = []
        self.upgrades: list[WireRequest] = []
        self.refused: list[Json] = []
        self._known: dict[str, list[object]] = {}
        self._warm = 0

    def takes(self, request: WireRequest) -> bool:
        """Whether a request is an upgrade to WebSocket that is accepted."""
        return request.value("upgrade").lower() == "websocket" and len(self.upgrades) < self.accepts

    async def converse(
        self, request: WireRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, script: ScriptOf
    ) -> None:
        """Accept the upgrade and answer until either side closes."""
        number = len(self.upgrades)
        self.upgrades.append(request)
        protocol = self._accept(request)
        await _flush(protocol, writer)
        answered = 0
        pieces: list[bytes] = []
        while data := await reader.read(65536):
            protocol.receive_data(data)
            await _flush(protocol, writer)
            for event in protocol.events_received():
                if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.CONT):
                    pieces.append(bytes(event.data))
                    if event.fin:
                        text, pieces = b"".join(pieces).decode(), []
                        answered += await self._answer(number, text, script, protocol, writer)
                        if answered and answered == self.closes:
                            protocol.send_close(1001, "enough")
                            await _flush(protocol, writer)
        protocol.receive_eof()

    def _accept(self, request: WireRequest) -> ServerProtocol:
        offers = None
        if self.way != "plain":
            offers = [ServerPerMessageDeflateFactory(server_no_context_takeover=self.way == "deflated anew")]
        asked = [Subprotocol(one.strip()) for one in request.value("sec-websocket-protocol").split(",") if one.strip()]
        protocol = ServerProtocol(extensions=offers, subprotocols=asked or None, max_size=None)
        protocol.receive_data(request.head)
        (event,) = protocol.events_received()
        assert isinstance(event, Request)
        protocol.send_response(protocol.accept(event))
        return protocol

    async def _answer(
        self, number: int, text: str, script: ScriptOf, protocol: ServerProtocol, writer: asyncio.StreamWriter
    ) -> int:
        """Answer a message; 1 for a request for a response."""
        message = _object(text)
        if message.get("type") != "response.create":
            self.said.append(Said(number, text, {}))
            return 0
        inner = message.get("response")
        body = inner if isinstance(inner, dict) else {key: value for key, value in message.items() if key != "type"}
        before = body.get("previous_response_id")
        if before is not None and str(before) not in self._known:
            error: Json = {"code": "previous_response_not_found", "message": f"no response {before}", "param": None}
            await _say(protocol, writer, [{"type": "error", "status": 400, "error": error}])
            self.refused.append(error)
            return 1
        given = body.get("input")
        history = [*self._known.get(str(before), []), *(given if isinstance(given, list) else [])]
        if missing := _unanswered(history):
            told = f"No tool output found for function call {missing}."
            error = {"code": None, "message": told, "param": "input"}
            await _say(protocol, writer, [{"type": "error", "status": 400, "error": error}])
            self.refused.append(error)
            return 1
        whole = {**body, "input": history}
        whole.pop("previous_response_id", None)
        warm = body.get("generate") is False
        self.said.append(Said(number, text, whole, warm))
        if warm:
            events = self._warmed(body)
        else:
            asked = exchange(_RESPONSES, whole, script(compact(whole).encode()))
            words = len(asked.turn.text) // 4 + 20 * len(asked.turn.calls) + 1
            written = Answer(asked, Usage.given(compact(whole).encode(), {}, words))
            events = [_data(event) for event in stream_events(written)]
        response = events[-1]["response"]
        assert isinstance(response, dict)
        self._known[str(response["id"])] = [*history, *response["output"]]
        await _say(protocol, writer, events)
        return 1

    def _warmed(self, body: Json) -> list[Json]:
        self._warm += 1
        response: Json = {"id": f"warm_{self._warm}", "object": "response", "model": body.get("model"), "output": []}
        usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
        begun = {**response, "status": "in_progress", "usage": None}
        return [
            {"type": "response.created", "response": begun},
            {"type": "response.completed", "response": {**response, "status": "completed", "usage": usage}},
        ]


async def _say(protocol: ServerProtocol, writer: asyncio.StreamWriter, events: list[Json]) -> None:
    for event in events:
        protocol.send_text(compact(event).encode())
    await _flush(protocol, writer)


async def _flush(protocol: ServerProtocol, writer: asyncio.StreamWriter) -> None:
    for data in protocol.data_to_send():
        if data:
            writer.write(data)
        elif writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()  # TLS has no end of one half
            return
    await writer.drain()


def _unanswered(history: list[object]) -> str:
    """The id of a call that has no output, or of an output that has no call; empty where there is none."""
    items = [item for item in history if isinstance(item, dict)]
    called = [str(item["call_id"]) for item in items if item.get("type") == "function_call"]
    outputs = [str(item["call_id"]) for item in items if item.get("type") == "function_call_output"]
    return next((call for call in called if called.count(call) != outputs.count(call)), "")


def _data(event: bytes) -> Json:
    lines = [line for line in event.decode().split("\n") if line.startswith("data: ")]
    return _object(lines[0].removeprefix("data: "))


def _object(text: str) -> Json:
    try:
        value: object = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
