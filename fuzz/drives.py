"""One function per fuzz target: takes bytes, asserts invariants, lets only expected refusals pass in silence.

Hypothesis calls the same functions from the tests, and inputs once found live in `fuzz/corpus/<drive>/`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import orjson
from websockets.frames import Opcode

from headroom import items, providers
from headroom.blocks import BlockLoom
from headroom.deltas import DeltaLoom
from headroom.faults import BadCoding, BadRequest, NotJson
from headroom.memory import Found, Memory, Scope
from headroom.memory_sqlite import match_of
from headroom.recollection import CHARACTERS_PER_TOKEN, TOKENS, recollect
from headroom.socket_messages import Askings, OriginListener
from headroom.terms import QUERY_TERMS, query_terms
from headroom.weave import TOOL_NAME, Loom, Round, Turn
from headroom.wire.coding import decode
from headroom.wire.framing import ChunkWalker
from headroom.wire.head import RequestHead, ResponseHead
from headroom.wire.reader import Broken, Data, End, RequestReader, ResponseReader
from headroom.wire.sse import SseSplitter, parse_event
from headroom.wire.websocket import FrameReader, Packing, agreed, readable_offer
from headroom.zones import (
    columns,
    commits,
    delimited,
    diffs,
    documents,
    fragments,
    grids,
    jsonlines,
    layout,
    listings,
    logs,
    marker,
    numbered,
    outlines,
    parts,
    paths,
    screen,
    stats,
    tables,
    tags,
    testruns,
    volatile,
    wrapped,
)
from headroom.zones.breakpoints import Prompts, placed
from headroom.zones.cut import CUTTERS, cut
from headroom.zones.detect import sniff
from headroom.zones.locate import Locator, frozen_count
from headroom.zones.places import members
from headroom.zones.press import Action, Floors, press, seen, unpress
from headroom.zones.shape import ToolShape
from headroom.zones.splice import Edit, splice, to_text, to_token
from headroom.zones.tools import arranged, called, split
from headroom.zones.yardstick import Characters
from tests.support import naive, oracle
from tests.support.excerpts import accounts_for_every_line
from tests.support.frames import is_utf8, websocket_frames, whole_frames

Message = tuple[RequestHead | ResponseHead, bytes]


def pieces(data: bytes) -> list[bytes]:
    """`data` cut at places that depend on its bytes, so that a fuzzer can move them."""
    size = 1 + (data[0] % 7 if data else 0)
    return [data[at : at + size] for at in range(0, len(data), size)]


def _requests(parts: Sequence[bytes]) -> tuple[list[Message], str]:
    reader = RequestReader()
    done: list[Message] = []
    head: RequestHead | None = None
    body: list[bytes] = []
    for part in parts:
        events = list(reader.feed(part))
        while events:
            event = events.pop(0)
            if isinstance(event, RequestHead):
                head, body = event, []
            elif isinstance(event, Data):
                body.append(event.payload())
            elif isinstance(event, End):
                assert head is not None
                done.append((head, b"".join(body)))
                head = None
                events += reader.resume()
            elif isinstance(event, Broken):
                return done, "reject"
    return done, "incomplete" if head is not None or not reader.between_messages else "accept"


def drive_request(data: bytes) -> None:
    """Requests are read the same however they are cut, and as h11 reads them or not at all."""
    seen, verdict = _requests([data])
    again, same = _requests(pieces(data))
    assert [(h.raw, b) for h, b in seen] == [(h.raw, b) for h, b in again]
    assert verdict == same
    theirs = oracle.h11_requests(data, past_close=True)
    assert len(theirs.messages) >= len(seen), "accepted what the oracle refuses"
    for (head, body), other in zip(seen, theirs.messages, strict=False):
        assert isinstance(head, RequestHead)
        assert (head.method, head.target, body) == (other.method, other.target, other.body)


def drive_response(data: bytes) -> None:
    """Answers are read the same however they are cut, and framed as h11 frames them where both accept."""
    for method in (b"GET", b"HEAD"):
        whole, cut = _response([data], method), _response(pieces(data), method)
        assert whole == cut
        status, body, complete = whole
        theirs = oracle.h11_response(data, method)
        if complete and theirs.verdict == "accept" and status is not None and status != 101:
            assert theirs.messages[0].status == status
            assert theirs.messages[0].body == body


def _response(parts: Sequence[bytes], method: bytes) -> tuple[int | None, bytes, bool]:
    reader = ResponseReader()
    reader.expect(method)
    status: int | None = None
    body: list[bytes] = []
    for part in parts:
        for event in reader.feed(part):
            if isinstance(event, ResponseHead) and not event.interim:
                status = event.status
            elif isinstance(event, Data):
                body.append(event.payload())
            elif isinstance(event, End):
                return status, b"".join(body), True
            elif isinstance(event, Broken):
                return status, b"", False
    return status, b"".join(body), isinstance(reader.eof(), End)


def drive_chunks(data: bytes) -> None:
    """The walker finds the end and the payload that the naive decoder finds."""
    outcomes = []
    for given in ([data], pieces(data)):
        walker = ChunkWalker(BadRequest, padded=False)
        payload: list[bytes] = []
        used = 0
        verdict = "more"
        try:
            for part in given:
                spans: list[tuple[int, int]] = []
                at = walker.walk(part, 0, spans)
                payload += [part[start:end] for start, end in spans]
                used += at
                if walker.done:
                    verdict = "done"
                    break
        except BadRequest:
            verdict = "bad"
        outcomes.append((verdict, b"".join(payload) if verdict == "done" else b"", used if verdict == "done" else 0))
    assert outcomes[0] == outcomes[1]
    if outcomes[0][0] == "done":
        try:
            assert naive.dechunk(data) == outcomes[0][1:]
        except ValueError:  # the naive decoder wants extensions in visible ASCII, without blanks
            assert b";" in data


def drive_sse(data: bytes) -> None:
    """Events are cut as the naive splitter cuts them, however the stream is, and joined they are the stream."""
    expected, _ = naive.split_sse(data)
    for given in ([data], pieces(data)):
        splitter = SseSplitter()
        raw: list[bytes] = []
        for part in given:
            raw += splitter.feed(part)
        assert b"".join(raw) + splitter.rest == data
        read = [parse_event(event, first=at == 0) for at, event in enumerate(raw)]
        found = [event for event in read if event is not None]
        if not data.endswith(b"\r"):  # the naive splitter takes a last CR for a whole line end
            assert [((event.name or b"message").decode("utf-8", "replace"), event.data) for event in found] == expected


assert providers.ANTHROPIC.shape is not None
_SHAPE = providers.ANTHROPIC.shape
_LOCATOR = Locator(_SHAPE)


def naive_results(body: bytes) -> list[tuple[str, str]]:
    """(call id, text) of every tool result of the user's in a messages body, in order, by decoding all of it."""
    found: list[tuple[str, str]] = []
    for item in json.loads(body.decode("utf-8", "replace"), parse_int=str)["messages"]:
        if not isinstance(item, dict) or item.get("role") != "user" or not isinstance(item.get("content"), list):
            continue
        for block in item["content"]:
            if not isinstance(block, dict) or block.get("type") != "tool_result":
                continue
            name, content = block.get("tool_use_id"), block.get("content")
            texts = [content] if not isinstance(content, list) else [p.get("text") for p in content if _is_object(p)]
            if name and isinstance(name, str):
                found += [(name, text) for text in texts if isinstance(text, str)]
    return found


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def drive_locate(data: bytes) -> None:
    """Slots are string tokens; cutting them out and putting them back changes nothing; the rest keeps its bytes."""
    try:
        located = _LOCATOR.locate(data, b"caller")
    except NotJson:
        return
    slots = located.old + located.fresh
    for slot in slots:
        assert data[slot.start] == data[slot.end - 1] == 0x22
        to_text(data[slot.start : slot.end])
    assert [s.start for s in slots] == sorted(s.start for s in slots)
    assert splice(data, []) is data
    assert splice(data, [Edit(s.start, s.end, data[s.start : s.end]) for s in slots]) == data
    again = _LOCATOR.locate(data, b"caller")
    assert again == located, "the memo changes what is found"
    assert Locator(_SHAPE).locate(data, b"caller") == located, "the memo changes what is found"
    if located.utf8:
        assert [(s.call_id, to_text(data[s.start : s.end])) for s in slots if s.call_id] == naive_results(data)
        changed = splice(data, [Edit(s.start, s.end, b'"x"') for s in slots])
        once_more = _LOCATOR.locate(changed, b"caller")
        short = [s for s in once_more.old + once_more.fresh if s.call_id]
        assert len(short) == len([s for s in slots if s.call_id])
        assert (once_more.items, once_more.frozen, once_more.fresh_from) == (
            located.items,
            located.frozen,
            located.fresh_from,
        )
    assert frozen_count(data, _SHAPE) == located.frozen


def drive_splice(data: bytes) -> None:
    """Any string of a document can be replaced, and nothing else changes."""
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return
    at = data.find(b'"')
    while at >= 0:
        end = at + 1
        while data[end] != 0x22:
            end += 2 if data[end] == 0x5C else 1
        token = to_token(to_text(data[at : end + 1]) + "\x00é\U0001f600")
        out = splice(data, [Edit(at, end + 1, token)])
        assert out[:at] == data[:at] and out[len(out) - (len(data) - end - 1) :] == data[end + 1 :]
        orjson.loads(out)
        at = data.find(b'"', end + 1)


_MARKER = b'"cache_control":{"type":"ephemeral"}'
_PROMPTS = Prompts(_SHAPE)


def drive_arrange(data: bytes) -> None:
    """Tools in another order are the same tools, and are in order then; markers are all that is added to a body."""
    try:
        value = _spelled(data)
    except (ValueError, RecursionError):
        return
    if isinstance(value, list) and data[:1] == b"[" and data.rstrip()[-1:] == b"]":
        for dialect in providers.DIALECTS:
            _arrange(data.rstrip(), dialect.tools)
    prompt = _PROMPTS.read(data)
    if prompt is None or not isinstance(value, dict):
        return
    for size in (0, 5_000, 500_000):
        places = placed(prompt, size, _MARKER, providers.ANTHROPIC.markable, write=1.25, read=0.1)
        made = splice(data, (), places.edits)
        if b"cache_control" not in data and b"\\u" not in data:
            bare = _without_markers(_spelled(made))
            assert isinstance(bare, dict)
            if isinstance(value.get("system"), str) and isinstance(bare["system"], list):
                bare["system"] = bare["system"][0]["text"]
            assert bare == value
            assert made.count(_MARKER) + places.whole <= 3


def _arrange(raw: bytes, shape: ToolShape) -> None:
    names = split(called(raw, shape))
    some = (b"".join(names[::2]), b"".join(names[1::4]))
    for sort, schemas, known in ((True, False, ()), (False, True, ()), (True, True, ()), (True, False, some)):
        made = arranged(raw, shape, sort=sort, schemas=schemas, known=known)
        assert splice(raw, (), made.edits) == made.tools
        assert Counter(made.tools) == Counter(raw)
        assert (made.tools != raw) == (made.moved or made.schemas)
        assert _unordered(_spelled(made.tools), shape) == _unordered(_spelled(raw), shape)
        if not sort:
            assert _spelled(made.tools) == _spelled(raw)
        again = arranged(made.tools, shape, sort=sort, schemas=schemas, known=known)
        assert not again.edits
        marked = arranged(raw, shape, sort=sort, schemas=schemas, marker=_MARKER, known=known)
        assert (marked.tools, marked.moved, marked.schemas) == (made.tools, made.moved, made.schemas)
        out = splice(raw, (), marked.edits)
        assert len(out) - len(raw) in ((len(_MARKER), len(_MARKER) + 1) if marked.marked else (0,))
        if marked.marked:
            assert out.count(_MARKER) == raw.count(_MARKER) + 1
            _spelled(out)


def _unordered(tools: object, shape: ToolShape) -> object:
    """Tools as values, whatever the order of lists that may be sorted."""
    assert isinstance(tools, list)
    made = [_canonical(_listed(tool, shape) if isinstance(tool, dict) else tool) for tool in tools]
    return sorted(made) if shape.ordered else made


def _listed(tool: dict[str, object], shape: ToolShape) -> dict[str, object]:
    return {
        key: sorted(map(_canonical, value)) if key in shape.lists and isinstance(value, list) else value
        for key, value in tool.items()
    }


def _spelled(data: bytes) -> object:
    """JSON with its numbers as they are spelled."""
    value: object = json.loads(data, parse_int=str, parse_float=str)
    return value


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _without_markers(value: object) -> object:
    if isinstance(value, list):
        return [_without_markers(one) for one in value]
    if isinstance(value, dict):
        return {key: _without_markers(one) for key, one in value.items() if key != "cache_control"}
    return value


def drive_documents(data: bytes) -> None:
    """Every JSON form reads back: the text itself, or its tokens where its layout has no name.

    Not so with duplicate keys and odd spellings, which tables do not keep and their proof then shows.
    """
    text = data.decode("utf-8", "replace")
    _decoded(documents.decode, text)
    minified = layout.minify(text)
    for form in documents.encode(text):
        assert minified is not None
        decoded = _decoded(documents.decode, form)
        if decoded is not None and documents.same(text, decoded):
            assert layout.minify(decoded) == minified
        else:
            assert not spelled_plainly(minified), form
    if minified is None:
        return
    assert layout.minify(minified) == minified
    name = layout.find(text, minified)
    if name != layout.IRREGULAR:
        assert layout.apply(minified, name) == text


def drive_tables(data: bytes) -> None:
    """A document in tables reads back to the same tokens, unless it has duplicate keys or odd spellings of strings."""
    text = data.decode("utf-8", "replace")
    _decoded(lambda pressed: tables.decode(pressed)[0], text)
    minified = layout.minify(text)
    if minified is None:
        return
    tabled = tables.encode(minified)
    if tabled is None:
        return
    try:
        core, tail = tables.decode(tabled + "\n")
    except ValueError:
        assert not spelled_plainly(minified), tabled
        return
    if spelled_plainly(minified):
        assert (core, tail) == (minified, "\n")


def spelled_plainly(minified: str) -> bool:
    """Whether no object has a key twice and every string is spelled as `to_token` spells it."""
    try:
        json.loads(minified, object_pairs_hook=_distinct, parse_int=str)
        return all(to_token(to_text(token.encode())) == token.encode() for token in _STRING.findall(minified))
    except (ValueError, RecursionError):
        return False


OURS = frozenset({TOOL_NAME, "memory_save"})  # tools whose calls are woven in
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key twice")
    return dict(pairs)


def drive_listing(data: bytes) -> None:
    """A grouped listing reads back to the same characters; any other text is read or refused."""
    text = data.decode("utf-8", "replace")
    _decoded(listings.decode, text)
    _decoded(listings.decode, f"{listings.TITLE}]\n{text}")
    grouped = listings.encode(text)
    if grouped is not None:
        assert listings.decode(grouped) == text


def drive_press(data: bytes) -> None:
    """What is pressed is shorter by the yardstick, reads back, is the same every time, and is not pressed again."""
    text = data.decode("utf-8", "replace")
    sniff(text)
    _decoded(unpress, text)
    verdict = press(text, Floors.flat(0), Characters(4.0))
    assert verdict == press(text, Floors.flat(0), Characters(4.0))
    if verdict.action is Action.PRESSED:
        assert verdict.after < verdict.before
        back = unpress(verdict.text)
        shown = seen(text)
        assert back == shown or "".join(back.split()) == "".join(shown.split()), "more than a layout is lost"
        assert press(verdict.text, Floors.flat(0), Characters(4.0)).action is not Action.PRESSED


def drive_coding(data: bytes) -> None:
    """A content coding is undone within its bound, or refused."""
    for coding in (b"gzip", b"deflate", b"br", b"zstd"):
        try:
            assert len(decode(data, coding, 1 << 16)) <= 1 << 16
        except BadCoding:
            pass


def drive_items(data: bytes) -> None:
    """Events of any bytes are woven without an error, and pass as they are unless they name a tool of ours."""
    splitter, weaver, plain = SseSplitter(), items.LOOM.weaver(OURS), items.LOOM.plain_weaver(OURS)
    for raw in [*splitter.feed(data), splitter.rest]:
        woven = weaver.feed(raw)
        assert _names_ours(data) or "\\" in data.decode("latin-1") or woven is raw
        event = parse_event(raw)
        document = raw if event is None else event.data
        plain.feed(document)
        for one in (weaver, plain):
            if one.calls:
                one.settle(["an original"] * len(one.calls))
                one.continuation(b'{"input":[]}')
            kept = one.turn()
            for body in (document, b'{"type":"reasoning"},' * 3 + document):
                anchors = items.LOOM.anchors([body, document])
                if kept is not None and kept[0] in anchors:
                    items.LOOM.reinsert([body, document], anchors.index(kept[0]), kept[1])
        assert _names_ours(data) or "\\" in data.decode("latin-1") or plain.finish() is document
        plain.finish()
    weaver.fail(503, data)


def _names_ours(data: bytes) -> bool:
    return any(name.encode() in data for name in OURS)


def _decoded(decode_form: Callable[[str], str], form: str) -> str | None:
    try:
        return decode_form(form)
    except (ValueError, RecursionError, json.JSONDecodeError):
        return None


def _reads_back(text: str, encode: Callable[[str], str | None], undo: Callable[[str], str], title: str) -> None:
    """A form of `text` reads back to it, and a text that only looks like a form is read or refused."""
    if not text.startswith(title):
        pressed = encode(text)
        assert pressed == encode(text)
        if pressed is not None:
            assert pressed.startswith(title)
            assert undo(pressed) == text
    try:
        undo(title + text)
    except ValueError:
        pass


def drive_diffs(data: bytes) -> None:
    """A diff with short headers reads back to the same characters."""
    _reads_back(data.decode("utf-8", "replace"), diffs.encode, diffs.decode, diffs.TITLE)


def drive_stats(data: bytes) -> None:
    """A list of changed files reads back to the same characters; any other text is read or refused."""
    _reads_back(data.decode("utf-8", "replace"), stats.encode, stats.decode, stats.TITLE)


def drive_commits(data: bytes) -> None:
    """A log or a blame in short reads back to the same characters."""
    _reads_back(data.decode("utf-8", "replace"), commits.encode, commits.decode, commits.TITLE)


def drive_numbered(data: bytes) -> None:
    """Numbered lines with a narrow gutter read back to the same characters."""
    _reads_back(data.decode("utf-8", "replace"), numbered.encode, numbered.decode, numbered.TITLE)


def drive_paths(data: bytes) -> None:
    """A list of paths or a drawn tree reads back to the same characters."""
    _reads_back(data.decode("utf-8", "replace"), paths.encode, paths.decode, paths.TITLE)


def drive_columns(data: bytes) -> None:
    """Narrow columns read back to the same characters."""
    _reads_back(data.decode("utf-8", "replace"), columns.encode, columns.decode, columns.TITLE)


def drive_delimited(data: bytes) -> None:
    """Delimited cells read back to the same characters."""
    _reads_back(data.decode("utf-8", "replace"), delimited.encode, delimited.decode, delimited.TITLE)


def drive_grids(data: bytes) -> None:
    """Cells between bars read back to the same characters; also where the lines are made to share their bars."""
    text = data.decode("utf-8", "replace")
    lines = text.split("\n")
    boxed = "\n".join(f"| {line[:12]:12} | {line[12:20]:>8} |" for line in lines * 4)
    for given in (text, "\n".join(lines * 4), boxed):
        _reads_back(given, grids.encode, grids.decode, grids.TITLE)


def drive_jsonlines(data: bytes) -> None:
    """JSON lines read back to the same characters."""
    _reads_back(data.decode("utf-8", "replace"), jsonlines.encode, jsonlines.decode, jsonlines.TITLE)


def drive_fragments(data: bytes) -> None:
    """JSON that was cut, or in several parts, reads back to the same characters."""
    text = data.decode("utf-8", "replace")
    _decoded(fragments.decode, text)
    for pressed in fragments.encode(text):
        assert fragments.decode(pressed) == text


def drive_wrapped(data: bytes) -> None:
    """JSON between lines reads back, or to the same tokens where its layout has no name."""
    text = data.decode("utf-8", "replace")
    for pressed in wrapped.encode(text):
        assert wrapped.decode(pressed) == text


def drive_testruns(data: bytes) -> None:
    """Lists of tests read back to the same characters; also lines that are made to be tests."""
    text = data.decode("utf-8", "replace")
    lines = text.split("\n")
    named = [f"tests/test_a.py::test_{at}{line} PASSED [ {at % 9}%]" for at, line in enumerate(lines * 4)]
    old = [f"test_{at} (app.tests.{line}) ... ok" for at, line in enumerate(lines * 4)]
    for given in (text, "\n".join([*named, *lines]), "\n".join([*old, *lines])):
        _reads_back(given, testruns.encode, testruns.decode, testruns.TITLE)


def drive_screen(data: bytes) -> None:
    """What a screen shows is told from its title's line, is shown as it is, and has no codes left."""
    text = data.decode("utf-8", "replace")
    for only in (False, True):
        for trailing in (False, True):
            found = screen.clean(text, only_colours=only, trailing=trailing)
            if found is not None:
                line, shown = found
                assert screen.holds(text, line, shown)
                assert screen.undo(line, shown) == shown
                assert len(shown) < len(text) and "\x1b" not in shown
    try:
        screen.undo(text, "")
    except ValueError:
        pass
    crlf = screen.strip_crlf(text)
    if crlf is not None:
        assert screen.restore_crlf(*crlf) == text


def drive_parts(data: bytes) -> None:
    """Blocks are all of a text's lines in order; parts are cut where they were joined; any other text is refused."""
    text = data.decode("utf-8", "replace")
    lines = text.split("\n")
    for found in (parts.blocks(lines), parts.merged(lines, parts.blocks(lines))):
        if found:
            assert [at for block in found for at in range(block.begin, block.end)] == list(range(len(lines)))
    assert parts.cut(parts.join([text, *lines])) == [text, *lines]
    for pretended in (text, parts.TITLE + text):
        try:
            assert parts.join(parts.cut(pretended)) == pretended
        except ValueError:
            pass


def drive_outlines(data: bytes) -> None:
    """An outline with short handles reads back to the same characters."""
    _reads_back(data.decode("utf-8", "replace"), outlines.encode, outlines.decode, outlines.TITLE)


def drive_logs(data: bytes) -> None:
    """Lines by their patterns read back to the same characters; also lines that are made to share patterns."""
    text = data.decode("utf-8", "replace")
    lines = text.split("\n")
    alike = [f"{at} the words {line} of line {at}, k={line} all alike" for at, line in enumerate(lines * 4)]
    timed = [f"2031-02-03 10:{at // 60 % 60:02}:{at % 60:02} {line}" for at, line in enumerate(alike)]
    for given in (text, "\n".join(lines * 4), "\n".join([*alike, *lines]), "\n".join([*timed, *lines])):
        _reads_back(given, logs.encode, logs.decode, logs.TITLE)
        if (pressed := logs.encode(given, dense=True)) is not None:
            assert logs.decode(pressed) == given


def drive_marker(data: bytes) -> None:
    """A marker is found whatever stands around it, and nothing is found that is none."""
    text = data.decode("utf-8", "replace")
    made = marker.mark(text)
    assert marker.key(text) in marker.find_markers(text + made + text)
    for digits in marker.find_markers(text):
        assert f"<<ccr:{digits}>>" in text


def drive_tags(data: bytes) -> None:
    """Tags come back, or the text is refused."""
    text = data.decode("utf-8", "replace")
    for bodies in (True, False):
        given = tags.protect(text, bodies)
        back = tags.restore(given.text, given)
        assert back == text or (back is None and tags.PLACEHOLDER in text)
        if given.blocks:
            assert tags.restore(given.text.replace(given.blocks[0][0], "", 1), given) is None


def drive_cut(data: bytes) -> None:
    """An excerpt is shorter, says the same twice, is not cut again, and accounts for every line."""
    text = data.decode("utf-8", "replace")
    lines = text.split("\n")
    for given in (text, "\n".join(lines * 9)):
        for kind in CUTTERS:
            made = cut(given, kind)
            if made is None:
                continue
            assert len(made.text) < len(given)
            assert cut(given, kind) == made
            assert cut(made.text, kind) is None
            if made.unit == "line" and made.form not in ("diff cut", "prose cut"):
                accounts_for_every_line(given, made)


def drive_blocks(data: bytes) -> None:
    """An answer of content blocks is woven whatever it is; one without a call of our tools is passed on as it came."""
    loom = BlockLoom()
    _weave(loom, data)
    _weave_plain(loom, data)
    made = loom.weaver(OURS)
    for raw in _RETRIEVES:
        made.feed(raw)
    made.settle(["x"])
    if b"messages" in data:
        try:
            orjson.loads(made.continuation(data))
        except ValueError:
            pass
    said = parse_event(made.fail(529, data))
    assert said is not None and orjson.loads(said.data)["type"] == "error"
    items = data.split(b"\n")
    assert len(loom.anchors(items)) == len(items)
    for mixed in (False, True):
        rounds = (
            Round(((0, b'"c1"'), (1, b'"c2"')), (b'"r1"', b'"r2"'), 1, False),
            Round(((1, b'"c3"'),), (b'"r3"',), 1, mixed),
        )
        _put_back(loom, items, Turn(rounds[:1]))
        _put_back(loom, items, Turn(rounds))


def drive_deltas(data: bytes) -> None:
    """An answer of deltas is woven whatever it is; one without a call of our tools is passed on as it came."""
    loom = DeltaLoom()
    _weave(loom, data)
    _weave_plain(loom, data)
    made = loom.weaver(OURS)
    made.feed(_DELTA_CALL)
    made.settle(["x"])
    if b"messages" in data:
        try:
            orjson.loads(made.continuation(data))
        except ValueError:
            pass
    failed, done = (parse_event(raw) for raw in SseSplitter(1 << 30).feed(made.fail(500, data)))
    assert failed is not None and members(failed.data).keys() == {"error"}
    assert done is not None and done.data == b"[DONE]"
    items = data.split(b"\n")
    assert len(loom.anchors(items)) == len(items)
    thought = b'"reasoning_content":"t"'
    for mixed in (False, True):
        rounds = (
            Round(((0, b'{"id":"c1"}'), (0, b'{"id":"c2"}')), (b'{"tool_call_id":"c1"}', b"{}"), 1, False, thought),
            Round(((mixed, b'{"id":"c3"}'),), (b'{"tool_call_id":"c3"}',), 2, mixed),
        )
        for turn in (Turn(rounds[:1]), Turn(rounds), Turn(rounds[1:])):
            _put_back_deltas(loom, items, turn)


def _put_back_deltas(loom: Loom, items: Sequence[bytes], turn: Turn) -> None:
    """What is put back leaves JSON what was JSON; the model's text stays, unless its last round said nothing."""
    for at in range(min(len(items), 9)):
        edits = [edit for place, edit in loom.reinsert(items, at, turn) if place == at]
        if not edits:
            continue
        back = splice(items[at], [], edits)
        try:
            before = orjson.loads(items[at])
        except orjson.JSONDecodeError:
            continue
        after = orjson.loads(b"[%b]" % back)
        made = [one for one in after if one.get("role") == "assistant"]
        assert len(after) > len(made)
        said = before.get("content")
        if isinstance(said, str):
            texts = [one["content"] or "" for one in made]
            assert "".join(texts) == said or (texts[-1] == said and not before.get("tool_calls"))


_DELTA_CALL = (
    b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","function":'
    b'{"name":"headroom_retrieve","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}'
)
_RETRIEVES = [
    b'data: {"type":"content_block_start","index":0,"content_block":'
    b'{"type":"tool_use","id":"c","name":"headroom_retrieve"}}',
    b'data: {"type":"message_delta"}',
    b'data: {"type":"message_stop"}',
]


def drive_websocket(data: bytes) -> None:
    """WebSocket frames are read the same however they are cut, and as the library's own connection reads them; what
    listens to them, and reads offers of extensions, raises nothing else than it says."""
    how, stream = data[:1], data[1:]
    masked, deflated = bool(how[:1] > b"\x7f"), bool(how[:1] and how[0] & 1)
    reader = FrameReader(masked=masked, limit=300, deflated=deflated, binary=bool(how and how[0] & 2))
    frames = reader.feed(stream)
    raw = b"".join(frame.raw for frame in frames)
    assert stream.startswith(raw)
    for parts_ in (pieces(stream), [stream[at : at + 1] for at in range(len(stream))]):
        again = FrameReader(masked=masked, limit=300, deflated=deflated, binary=bool(how and how[0] & 2))
        found = [frame for piece in parts_ for frame in again.feed(piece)]
        assert b"".join(frame.raw for frame in found) == raw
        assert whole_frames(found) == whole_frames(frames)
        assert str(again.fault) == str(reader.fault) and again.between == reader.between
    if not deflated:
        seen, refused = websocket_frames(stream, masked=masked)
        read = whole_frames(frames)
        assert [frame[:2] for frame in read[: len(seen)]] == [frame[:2] for frame in seen]
        assert all(ours[2] in (None, theirs[2]) for ours, theirs in zip(read, seen, strict=False))
        # The library reads the code in a close as well.
        assert not refused or reader.fault is not None or read[-1][0] == Opcode.CLOSE
    words = providers.RESPONSES_SOCKET
    packing = Packing(15, 15, keeps=True) if deflated else None
    listener = OriginListener(words, providers.OPENAI_RESPONSES, packing, 300)
    for piece in pieces(stream):
        listener.feed(piece)
    for agreed_on in (None, Packing(15, 15, keeps=False)):
        listener = OriginListener(words, providers.OPENAI_RESPONSES, agreed_on, 300)
        heard = [one for piece in pieces(stream) for one in listener.messages(piece)]
        passed = b"".join(one.raw for one in heard)
        # What cannot be read holds nothing back; a control frame may overtake the message that it interrupts.
        assert sorted(passed) == sorted(stream) if listener.deaf else len(passed) <= len(stream)
        assert all(one.text is None or one.ends for one in heard)
    asking = Askings(words).find(stream)
    if asking is not None and is_utf8(stream):
        assert isinstance(orjson.loads(stream[asking.start : asking.end]), dict)
    try:
        agreed(readable_offer(stream) or stream)
    except BadCoding:
        pass


def _weave(loom: Loom, data: bytes) -> None:
    events = SseSplitter(1 << 30).feed(data)
    weaver = loom.weaver(OURS)
    for number in range(3):
        for raw in events:
            out = weaver.feed(raw)
            if not number and not _names_ours(data) and b"\\u" not in data:
                assert out is raw
        weaver.turn()
        if not weaver.calls:
            break
        ending = weaver.mixed
        weaver.settle(["x"] * len(weaver.calls))
        assert weaver.done == ending
        orjson.loads(weaver.continuation(b'{"messages":[]}'))
        turn = weaver.turn()
        assert turn is None or len(turn[0]) == 32
        if ending:
            break


def _weave_plain(loom: Loom, data: bytes) -> None:
    weaver = loom.plain_weaver(OURS)
    for number in range(3):
        weaver.feed(data)
        if not number and not _names_ours(data):
            assert weaver.finish() is data
        assert members(weaver.finish()).keys() == members(data).keys()
        if not weaver.calls:
            break
        weaver.settle(["x"] * len(weaver.calls))
        weaver.turn()
        orjson.loads(weaver.continuation(b'{"messages":[]}'))
        assert members(weaver.finish()).keys() == members(data).keys()


def _put_back(loom: Loom, items: Sequence[bytes], turn: Turn) -> None:
    """What is put back leaves JSON what was JSON, and loses nothing but separators."""
    for at in range(min(len(items), 9)):
        edits = loom.reinsert(items, at, turn)
        for place in {place for place, _ in edits}:
            item, end = items[place], 0
            parts: list[bytes] = []
            for edit in sorted((edit for where, edit in edits if where == place), key=lambda edit: edit.start):
                assert end <= edit.start <= edit.end <= len(item)
                assert not item[edit.start : edit.end].strip(b" \t\r\n,")
                parts += (item[end : edit.start], edit.token)
                end = edit.end
            try:
                orjson.loads(item)
            except orjson.JSONDecodeError:
                continue
            orjson.loads(b"[%b]" % b"".join((*parts, item[end:])))


def drive_volatile(data: bytes) -> None:
    """A search of any body ends with few findings, the same again, and shows no value that it found."""
    for dialect in providers.DIALECTS:
        assert dialect.shape is not None
        for fresh_from in (0, 9):
            found = volatile.volatile(data, dialect.shape, fresh_from)
            assert found == volatile.volatile(data, dialect.shape, fresh_from)
            assert len(found) <= volatile.FINDINGS
            assert len({(one.kind, one.location) for one in found}) == len(found)
            for one in found:
                assert len(one.sample) <= 15 and len(one.location) < 500
                assert one.sample == "" or "..." in one.sample
    for kind, start, end in volatile.windows(data):
        assert kind in volatile.KINDS and data[start:end].isascii()
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    for word in text.split():
        told = volatile.classify_word(word)
        assert told is None or (told[0] in volatile.KINDS and told[1] in word)


def drive_recollection(data: bytes) -> None:
    """Any texts, as memories and as a query: rows that nothing in them can imitate, and terms that are no syntax."""
    texts = [piece.decode("utf-8", "surrogateescape") for piece in data.split(b"\xff")][:12]
    wanted = query_terms(texts[0])
    assert len(wanted) <= QUERY_TERMS
    if wanted:
        quoted = match_of(wanted, Scope("p", "u", "global")).split(" AND terms : (")[1].removesuffix(")").split(" OR ")
        assert len(quoted) == len(wanted)
        assert all(re.fullmatch(r'"[0-9a-z]+"', word) for word in quoted)
    found = [
        Found(Memory(f"m_{n}", text, "p", "u", 0, 0, 0.5, ()), 1.0, tuple(texts[:n])) for n, text in enumerate(texts, 1)
    ]
    scope = Scope(texts[0], texts[-1], "user")
    for with_tools in (False, True):
        block = recollect(found, scope, with_tools=with_tools)
        assert block == recollect(found, scope, with_tools=with_tools)
        assert len(block) <= TOKENS * CHARACTERS_PER_TOKEN
        assert marker.BEGIN not in block and "<" not in block
        lines = block.splitlines()
        assert block == "\n".join(lines)
        rows = lines[2 : len(lines) - with_tools] if block else []
        numbers = [row.partition(". [")[0] for row in rows if not row.startswith("   (Related: ")]
        assert numbers == [str(n) for n in range(1, len(numbers) + 1)]
        assert len(numbers) <= 10


DRIVES: Mapping[str, Callable[[bytes], None]] = {
    name.removeprefix("drive_"): drive for name, drive in list(globals().items()) if name.startswith("drive_")
}
