"""The list of models for callers who are logged in with an account.

The account's origin keeps its list elsewhere and in another form than clients ask for. It is fetched with the caller's
own head, and told in both forms at once; where it cannot be had, a list of our own takes its place, and the answer's
head and the log say so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Final, Protocol
from urllib.parse import unquote

import orjson

from headroom.events import Request, Sink, Timings, failure
from headroom.faults import BadCoding, BadResponse, Fault, UpstreamSilent
from headroom.heads import onward
from headroom.metrics import Counters
from headroom.plan import Plan
from headroom.providers import (
    ENTRY_DEFAULTS,
    LISTED_MODEL,
    MODEL_NOT_FOUND,
    MODELS_PATH,
    SLUG_SPELLINGS,
    STATIC_MODELS,
    UPSTREAM_ID_FIELDS,
)
from headroom.wire.coding import decode, identity
from headroom.wire.head import REASONS, RequestHead, ResponseHead
from headroom.wire.reader import Data
from headroom.wire.upstream import Dialer, UpstreamLink

NOTE: Final = b"x-headroom-note: static_models\r\n"
Entry = Mapping[str, object]


class House(Protocol):
    """What a list needs of the edge that it is asked of."""

    @property
    def dialer(self) -> Dialer: ...
    @property
    def sink(self) -> Sink: ...
    @property
    def counters(self) -> Counters: ...
    @property
    def draining(self) -> bool: ...
    @property
    def answer_limit(self) -> int: ...
    @property
    def models_timeout(self) -> float: ...
    def began(self, exchange: object) -> None: ...
    def ended(self, exchange: object) -> None: ...


class Client(Protocol):
    """The connection that is answered."""

    def write(self, data: bytes) -> None: ...
    def finish(self, *, keep: bool) -> None: ...
    def cut(self) -> None: ...


class ModelList:
    """One request for the list, or for one model of it: the sink of both sides."""

    __slots__ = (
        "_answer",
        "_begun",
        "_body",
        "_client",
        "_done",
        "_head",
        "_house",
        "_link",
        "_over",
        "_plan",
        "_size",
        "_task",
        "id",
    )

    def __init__(self, house: House, client: Client, head: RequestHead, plan: Plan, identity_: str) -> None:
        self.id = identity_
        self._house = house
        self._client = client
        self._head = head
        self._plan = plan
        self._begun = time.perf_counter()
        self._answer: ResponseHead | None = None
        self._body: list[bytes] = []
        self._size = 0
        self._link: UpstreamLink | None = None
        self._done: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._over = False
        house.began(self)

    # The request: what Downstream calls.

    def request_data(self, data: Data) -> None:
        """See RequestSink. Only requests without a body come here."""

    def request_end(self) -> None:
        """See RequestSink."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(self._check)

    def request_flush(self) -> None:
        """See RequestSink."""

    def request_broken(self, fault: Fault) -> None:
        """See RequestSink."""
        self.client_gone(fault)
        self._client.cut()

    def client_gone(self, fault: Fault) -> None:
        """See RequestSink."""
        if self._task is not None:
            self._task.cancel()
        self._close(0, 0, fault.name, "aborted")

    def client_writable(self, writable: bool) -> None:
        """See RequestSink: the answer is small, and written at once."""

    # Fetching.

    async def _run(self) -> None:
        trouble = ""
        entries: Sequence[Entry] = STATIC
        try:
            async with asyncio.timeout(self._house.models_timeout):
                await self._fetch()
            if not self._unchanged:
                entries = self._read()
        except TimeoutError:
            trouble = UpstreamSilent().name
        except Fault as fault:
            trouble = fault.name
        finally:
            self._let_go()
        if not self._over:
            self._tell(entries, trouble)

    async def _fetch(self) -> None:
        """Ask the origin and hold its answer. Raises Fault."""
        dialer, origin = self._house.dialer, self._plan.origin
        link = dialer.lease(origin) or await dialer.dial(origin)
        self._link = link
        self._done = asyncio.get_running_loop().create_future()
        link.lend(self, self._head.method)
        link.write(onward(self._head, self._plan, strip=True, length=None, decoded=False))
        link.request_sent()
        await self._done

    def _let_go(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.abort()

    @property
    def _unchanged(self) -> bool:
        """Whether the caller has the list already, and was told so."""
        return self._answer is not None and self._answer.status == 304 and b"if-none-match" in self._head.fields

    def _read(self) -> list[Entry]:
        """The entries of the answer. Raises Fault where it holds none."""
        head, body = self._answer, b"".join(self._body)
        if head is None or head.status != 200:
            raise BadResponse("the origin gave no list")
        coding = head.fields.get(b"content-encoding")
        if coding is not None and not identity(coding):
            try:
                body = decode(body, coding, self._house.answer_limit)
            except BadCoding as fault:
                raise BadResponse(str(fault)) from None
        return entries_of(body)

    # The answer: what UpstreamLink calls.

    def answer_head(self, head: ResponseHead) -> None:
        """See AnswerSink."""
        if head.interim:
            return
        self._answer = head
        if head.status == 101:
            self._fail(BadResponse("the origin switched protocols unasked"))

    def answer_data(self, data: Data) -> None:
        """See AnswerSink."""
        self._hold(data.payload())

    def answer_chunk(self, wire: bytes, start: int) -> None:
        """See AnswerSink."""
        self._hold(wire[start:-2])

    def _hold(self, payload: bytes) -> None:
        self._size += len(payload)
        if self._size > self._house.answer_limit:
            self._body.clear()
            self._fail(BadResponse("the origin's list is too long"))
        else:
            self._body.append(payload)

    def _fail(self, fault: Fault) -> None:
        self._let_go()
        self.answer_broken(fault)

    def answer_flush(self) -> None:
        """See AnswerSink."""

    def answer_end(self) -> None:
        """See AnswerSink."""
        self._link = None
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

    def answer_broken(self, fault: Fault) -> None:
        """See AnswerSink."""
        self._link = None
        if self._done is not None and not self._done.done():
            self._done.set_exception(fault)

    def origin_writable(self, writable: bool) -> None:
        """See AnswerSink: a head is all there is to write."""

    # Towards the client.

    def _tell(self, entries: Sequence[Entry], trouble: str) -> None:
        wanted = unquote(self._plan.path.removeprefix(MODELS_PATH).lstrip("/"))
        status, body = 200, b""
        if self._unchanged:
            status = 304
        elif not wanted:
            body = listing(entries)
        elif any(entry["slug"] == wanted for entry in entries):
            body = orjson.dumps(_listed(wanted))
        else:
            status, body = 404, orjson.dumps(MODEL_NOT_FOUND)
        keep = self._head.keep_alive and not self._house.draining
        lines = b"HTTP/1.1 %d %b\r\n" % (status, REASONS.get(status, b"Not Modified"))
        if body:
            lines += b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body)
        lines += b"x-headroom-request-id: %b\r\n" % self.id.encode("latin-1")
        if self._upstream_id:
            lines += b"headroom-upstream-request-id: %b\r\n" % self._upstream_id
        if trouble:
            lines += NOTE
        elif self._answer is not None and (tag := self._answer.fields.get(b"etag")) is not None:
            # Clients compare it with what later answers say of the list.
            lines += b"etag: %b\r\n" % tag
        self._client.write(lines + (b"\r\n" if keep else b"connection: close\r\n\r\n") + body)
        self._close(status, len(body), trouble, "complete")
        self._client.finish(keep=keep)

    @property
    def _upstream_id(self) -> bytes:
        fields: Mapping[bytes, bytes] = {} if self._answer is None else self._answer.fields
        return next((fields[name] for name in UPSTREAM_ID_FIELDS if name in fields), b"")

    def _check(self, task: asyncio.Task[None]) -> None:
        """A task that ended by a fault of ours must not leave its client waiting."""
        if task.cancelled() or (error := task.exception()) is None:
            return
        self._house.sink(failure(self.id, error))
        if not self._over:
            self._close(0, 0, "internal", "failed")
            self._client.cut()

    def _close(self, status: int, size: int, fault: str, outcome: str) -> None:
        if self._over:
            return
        self._over = True
        self._house.ended(self)
        event = Request(
            id=self.id,
            upstream_id=self._upstream_id.decode("latin-1"),
            method=self._head.method.decode("latin-1"),
            path=self._plan.path,
            project=self._plan.project,
            unfit=self._plan.unfit,
            route=self._plan.route,
            api=self._plan.origin.name,
            mode=self._plan.mode,
            status=status,
            outcome=outcome,
            answer_bytes=size,
            fault=fault,
            ms=Timings(round((time.perf_counter() - self._begun) * 1000, 3)),
        )
        self._house.counters(event)
        self._house.sink(event)


def entries_of(body: bytes) -> list[Entry]:
    """The models of an origin's list, with defaults for what their entries leave out; of one name the first.

    Raises BadResponse for what is no such list, or an empty one.
    """
    try:
        answer: object = orjson.loads(body)
    except ValueError:
        raise BadResponse("the origin's list is not JSON") from None
    models: object = answer.get("models") if isinstance(answer, dict) else None
    found: dict[str, Entry] = {}
    for entry in models if isinstance(models, list) else ():
        slug = entry.get("slug") if isinstance(entry, dict) else None
        if isinstance(slug, str) and slug and slug not in found:
            found[slug] = {**defaults(slug), **entry}
    if not found:
        raise BadResponse("the origin's list names no model")
    return list(found.values())


def listing(entries: Sequence[Entry]) -> bytes:
    """The list in both forms, as JSON: names alone, and entries with what is known of each."""
    return orjson.dumps(
        {"object": "list", "data": [_listed(str(entry["slug"])) for entry in entries], "models": entries}
    )


def defaults(slug: str) -> Entry:
    """What an entry is taken to say where it says nothing."""
    return {"slug": slug, "display_name": display_name(slug), **ENTRY_DEFAULTS}


def display_name(slug: str) -> str:
    """A model's name as people write it: `gpt-5-codex` is GPT-5-Codex."""
    return "-".join(SLUG_SPELLINGS.get(part) or part[:1].upper() + part[1:] for part in slug.split("-"))


def _listed(slug: str) -> Entry:
    return {"id": slug, **LISTED_MODEL}


STATIC: Final = [defaults(slug) for slug in STATIC_MODELS]
