"""Objects that stand in a document more than once, and addresses in an object that go on from another of its values.

    {"a":{"name":"Ana","url":"https://h.test/u/ana","repos":"https://h.test/u/ana/repos"},"b":{…the same…}}
    →
    {"a":@1,"b":@1}
    @1={"name":"Ana","url":"https://h.test/u/ana","repos":"{url}/repos"}

Both work on compact JSON in which `@n` may stand for a value.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping

LEAST = 40  # characters of an object that is worth a reference
MOST_BASES = 8  # values of one object that others may go on from
LEAST_BASE = 16  # characters of a value that others go on from
MOST_LOOKED = 6  # characters that are compared for every one of the document: deep ones are not followed all the way
MOST_MADE = 64  # times a text may grow when its references are resolved, and at least:
ROOM = 4 * 1024 * 1024  # characters

_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[{}]')
_REFERENCE = re.compile(r'"(?:[^"\\]|\\.)*"|@(\d{1,9})(?![\d\[])')
_TOKENS = re.compile(r'("(?:[^"\\]|\\.)*")(:?)|[{}\[\]]')
_KEY = re.compile(r"[\w$.@-]{1,60}")
_GOES_ON = frozenset("/?#{&:.")


def share(text: str, first: int) -> tuple[str, list[str]]:
    """`text` with references instead of objects that stand in it twice, and these, the one numbered `first` first.

    None of them refers to a later one.
    """
    spans = _spans(text)
    if not spans:
        return text, []
    groups: dict[str, list[tuple[int, int]]] = {}
    for begin, end in spans:
        groups.setdefault(text[begin:end], []).append((begin, end))
    gone = bytearray(len(text))  # what stands in a repetition, and so is not written
    chosen: list[list[tuple[int, int]]] = []
    for _, places in sorted(groups.items(), key=lambda group: -len(group[0])):
        alive = [place for place in places if not gone[place[0]]]
        if len(alive) > 1:
            chosen.append(alive)
            for begin, end in alive[1:]:
                gone[begin:end] = b"\1" * (end - begin)
    if not chosen:
        return text, []
    chosen.reverse()
    numbers = {begin: (end, first + at) for at, places in enumerate(chosen) for begin, end in places}
    starts = sorted(numbers)

    def write(begin: int, end: int, inner: int) -> str:
        """What is between, with references from the place `inner` of the starts on."""
        out: list[str] = []
        at = begin
        while inner < len(starts) and starts[inner] < end:
            stop, number = numbers[starts[inner]]
            out += [text[at : starts[inner]], f"@{number}"]
            at = stop
            inner = bisect_left(starts, at)
        return "".join([*out, text[at:end]])

    values = [write(begin, end, bisect_right(starts, begin)) for (begin, end), *_ in chosen]
    return write(0, len(text), 0), values


def resolve(text: str, values: Mapping[int, str]) -> str:
    """`text` with the `values` it refers to; references to others stay. Raises ValueError for what grows too much."""
    room = max(ROOM, MOST_MADE * (len(text) + sum(map(len, values.values()))))
    known: dict[int, str] = {}

    def put(match: re.Match[str]) -> str:
        nonlocal room
        if match[1] is None or int(match[1]) not in known:
            return match[0]
        value = known[int(match[1])]
        room -= len(value)
        if room < 0:
            raise ValueError("references that refer to too much")
        return value

    for number in sorted(values):
        known[number] = _REFERENCE.sub(put, values[number])
    return _REFERENCE.sub(put, text)


def _spans(text: str) -> list[tuple[int, int]]:
    """Where objects begin and end, inner ones first."""
    spans: list[tuple[int, int]] = []
    stack: list[int] = []
    room = MOST_LOOKED * len(text)
    for match in _BRACKETS.finditer(text):
        if match[0] == "{":
            stack.append(match.start())
        elif match[0] == "}" and stack:
            begin, end = stack.pop(), match.end()
            if end - begin >= LEAST and room >= 0:
                spans.append((begin, end))
                room -= end - begin
    return spans


def shorten(text: str) -> str:
    """`text` with addresses that go on from another value of their object as `"{key}…"`."""
    return _walk(text, _shortened, len(text) * 2)


def escape(text: str) -> str:
    """`text` so that `lengthen` takes nothing in it for an address."""
    return _walk(text, _escaped, len(text) * 2) if '"{' in text else text


def lengthen(text: str) -> str:
    """What `shorten` or `escape` was given. Raises ValueError for a base that is not there, or too much of it."""
    if '"{' not in text:
        return text
    return _walk(text, _lengthened, MOST_MADE * len(text) + ROOM)


def _walk(text: str, change: Callable[[str, dict[str, str]], str | None], room: int) -> str:
    """`text` with the members' strings that `change` makes something else of, given what they may go on from."""
    out: list[str] = []
    stack: list[dict[str, str] | None] = []
    key: str | None = None
    at = 0
    for match in _TOKENS.finditer(text):
        token = match[1]
        if token is None:
            if match[0] in ("{", "["):
                stack.append({} if match[0] == "{" else None)
            elif stack:
                stack.pop()
            key = None
            continue
        if match[2]:
            key = token[1:-1]
            continue
        bases = stack[-1] if stack else None
        if bases is None or key is None:
            continue
        made = change(token, bases)
        if made is not None:
            out += [text[at : match.start()], made]
            at = match.end()
            room -= len(made)
            if room < 0:
                raise ValueError("addresses that go on for too long")
        whole = made if made is not None and change is _lengthened else token
        if len(bases) < MOST_BASES and len(whole) > LEAST_BASE and whole[1] in "h/" and _is_base(key, whole, bases):
            bases[key] = whole[:-1]
        key = None
    return "".join([*out, text[at:]])


def _is_base(key: str, token: str, bases: Mapping[str, str]) -> bool:
    """Whether other values may go on from this one: an address or a path in its plain spelling."""
    known = key in bases or _KEY.fullmatch(key) is None
    return not known and token.startswith(('"http', '"/')) and "\\" not in token and " " not in token


def _shortened(token: str, bases: dict[str, str]) -> str | None:
    """The address in `token` from the longest value that it goes on from."""
    best = ""
    for key, base in bases.items():
        if token.startswith(base) and token[len(base)] in _GOES_ON and len(base) > len(bases.get(best, "")):
            best = key
    if best:
        return f'"{{{best}}}{token[len(bases[best]) :]}'
    return _escaped(token, bases)


def _escaped(token: str, _bases: dict[str, str]) -> str | None:
    return '"{}' + token[1:] if token[1] == "{" else None  # it would be read as an address otherwise


def _lengthened(token: str, bases: dict[str, str]) -> str | None:
    if token[1] != "{":
        return None
    key, found, rest = token[2:].partition("}")
    if not found or (key and key not in bases):
        raise ValueError("an address that goes on from nothing")
    return bases[key] + rest if key else '"' + rest
