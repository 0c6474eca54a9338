"""JSON documents: without the blanks between tokens, and with tables where arrays are uniform.

The first line says what was done: ``[json; layout was 2 blanks a level]`` or, with tables, how to read them. Blanks
after the document (a line break at the end) stay where they are. Documents of which each begins on a line of its own
(as jq prints them) are one list of them.
"""

from __future__ import annotations

import json
import re

import msgspec

from headroom.zones import layout, tables

TITLE = "[json; layout was "
_ONE_BY_ONE = ", a line for each value of the list"
_SCANNER = json.JSONDecoder(parse_int=str, parse_float=str)
_LIST: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])
_TABLES = "; @n is table n below: a header, then a row a line"
_EXPLAINED = (
    ("text", "@n text below is that string as it is"),
    ("@=", "@n=... is the value of every @n"),
    ("{k}", '"{key}..." begins with that value of the same object'),
    ("[-]", "@n[a-b] is its rows a to b"),
    ("=", "name=value holds for every row"),
    ("v", "name~value: where the cell is empty"),
    ("{}", "{}: the cell"),
    ("{x}", "{name}: that column"),
    ("*", "*: further keys"),
    ("&", "&a=... is the cell of every &a"),
    ("^", "^name: as in the ^ line above the row"),
)
_LAST = ("empty cell: no such key", "else no such key", "~: null")
_SAID = "|".join(map(re.escape, [_TABLES[2:], *_LAST, *(words for _, words in _EXPLAINED)]))
_TITLE = re.compile(rf"\[json; layout was ([^\];]+)((?:; (?:{_SAID}))+)?\]")


def encode(text: str) -> list[str]:
    """Shorter forms of `text`, the plainest first; none where it is not JSON."""
    core = text.rstrip(" \t\r\n")
    tail = text[len(core) :]
    minified = layout.minify(core)
    name = layout.IRREGULAR if minified is None else layout.find(core, minified)
    if minified is None:
        minified, name = _several(core)
        if minified is None:
            return []
    forms: list[str] = []
    if name != layout.COMPACT:
        forms.append(f"{TITLE}{name}]\n{minified}{tail}")
    tabled = tables.encode(minified)
    if tabled is not None and tail[:1] in ("", "\n"):  # other blanks would be read as part of the last row
        forms.append(f"{TITLE}{name}{_how(tabled)}]\n{tabled}{tail}")
    return forms


def _several(core: str) -> tuple[str | None, str]:
    """The documents of which each begins on a line of its own as one list, and the layout that all of them have."""
    if core[:1] not in ("{", "["):
        return None, layout.IRREGULAR
    values: list[str] = []
    at = 0
    while at <= len(core):
        try:
            _, end = _SCANNER.raw_decode(core, at)
        except (ValueError, RecursionError):
            return None, layout.IRREGULAR
        minified = layout.minify(core[at:end])
        if minified is None or core[end : end + 1] not in ("", "\n"):
            return None, layout.IRREGULAR
        values.append(minified)
        at = end + 1
    whole = "[" + ",".join(values) + "]"
    end = len(core) if len(values) < 2 else _SCANNER.raw_decode(core, 0)[1]
    name = layout.find(core[:end], values[0])
    if len(values) < 2 or name == layout.IRREGULAR or "\n".join(layout.apply(one, name) for one in values) != core:
        return None, layout.IRREGULAR
    return whole, name + _ONE_BY_ONE


def _separated(core: str, name: str) -> str:
    """The documents in the list `core`, each on a line of its own."""
    try:
        values = [bytes(value).decode() for value in _LIST.decode(core.encode())]
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error
    return "\n".join([layout.apply(value, name) for value in values])


def _how(tabled: str) -> str:
    """How to read the tables: only what these tables make use of, since every word costs."""
    used = tables.uses(tabled)
    told = ["; " + words for sign, words in _EXPLAINED if sign in used]
    if "table" in used:
        told = [_TABLES, *told, "; empty cell: no such key" if "v" not in used else "; else no such key", "; ~: null"]
    return "".join(told)


def decode(pressed: str) -> str:
    """What `encode` was given; for an irregular layout, the document without blanks. Raises ValueError."""
    title, _, rest = pressed.partition("\n")
    match = _TITLE.fullmatch(title)
    if match is None:
        raise ValueError("not a pressed JSON document")
    if match[2]:
        core, tail = tables.decode(rest)
    else:
        core = rest.rstrip(" \t\r\n")
        tail = rest[len(core) :]
    if match[1].endswith(_ONE_BY_ONE):
        return _separated(core, match[1].removesuffix(_ONE_BY_ONE)) + tail
    return layout.apply(core, match[1]) + tail


def same(text: str, decoded: str) -> bool:
    """Whether `decoded` is `text`, or its tokens where the layout was too irregular to be named."""
    if text == decoded:
        return True
    minified = layout.minify(text)
    return (
        minified is not None
        and layout.find(text.rstrip(" \t\r\n"), minified) == layout.IRREGULAR
        and (minified == layout.minify(decoded))
    )
