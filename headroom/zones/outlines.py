"""Outlines whose every line carries a handle, as snapshots of pages do.

    - list [ref=e3]:                               [outline: a blank a level, no dashes; @x = [ref=x],
      - link "Home" [ref=e4] [cursor=pointer]:  →  ^ = [cursor=pointer]]
        - /url: /                                  list @e3:
                                                    link "Home" @e4 ^:
                                                     /url: /

Handles stay whole, since they are what a reader points with. A line of another look stays as it is, behind a backslash.
"""

from __future__ import annotations

import re
from collections import Counter

TITLE = "[outline: a blank a level, no dashes"
_TITLE = re.compile(re.escape(TITLE) + r"; @x = \[(\w{1,40})=x\]((?:, [\^~+%] = \[[\w=-]{1,60}\])*)\]", re.ASCII)
_ITEM = re.compile(r"((?:  ){0,200})- (\S.*)\Z")
_HANDLE = re.compile(r" \[(\w{1,40})=(\w+)\]", re.ASCII)
_CONSTANT = re.compile(r" \[[\w=-]{1,60}\]", re.ASCII)
_SHORT = re.compile(r" (?:@(\w+)|([\^~+%]))(?=[ :]|\Z)", re.ASCII)
_SIGNS = "^~+%"
_RAW = "\\"

LEAST_ITEMS = 8
ITEM_SHARE = 0.6  # of the lines that must be items
HANDLE_SHARE = 0.4  # of the items that must have a handle
LEAST_TIMES = 5  # for a constant to be given a sign
LONGEST = 4000  # characters of a line that is looked at


def encode(text: str) -> str | None:
    """A shorter form of `text`; None where it is no outline with handles. Cost: linear."""
    lines = text.split("\n")
    items = [match for line in lines if len(line) <= LONGEST and (match := _ITEM.match(line)) is not None]
    if len(items) < max(LEAST_ITEMS, ITEM_SHARE * sum(1 for line in lines if line)):
        return None
    keys: Counter[str] = Counter()
    constants: Counter[str] = Counter()
    for match in items:
        handle = _HANDLE.search(match[2])
        if handle is not None:
            keys[handle[1]] += 1
        constants.update(_CONSTANT.findall(match[2]))
    if not keys:
        return None
    key, times = min(keys.items(), key=lambda pair: (-pair[1], pair[0]))
    if times < HANDLE_SHARE * len(items):
        return None
    often = sorted(
        (-count, constant)
        for constant, count in constants.items()
        if count >= LEAST_TIMES and f"[{key}=" not in constant
    )
    signs = {sign: constant for sign, (_, constant) in zip(_SIGNS, often, strict=False)}
    short = {constant: f" {sign}" for sign, constant in signs.items()}
    told = "".join(f", {sign} ={constant}" for sign, constant in signs.items())
    out = [f"{TITLE}; @x = [{key}=x]{told}]"]
    for line in lines:
        written = _shortened(line, key, short)
        out.append(written if _lengthened(written, key, signs) == line else _RAW + line)
    return "\n".join(out)


def decode(pressed: str) -> str:
    """What `encode` was given. Raises ValueError for a text that it cannot have made."""
    title, _, rest = pressed.partition("\n")
    match = _TITLE.fullmatch(title)
    if match is None:
        raise ValueError("no outline")
    signs = {told[0]: told[3:] for told in match[2].split(", ")[1:]}
    return "\n".join([_lengthened(line, match[1], signs) for line in rest.split("\n")])


def _shortened(line: str, key: str, short: dict[str, str]) -> str:
    item = _ITEM.match(line) if len(line) <= LONGEST else None
    if item is None:
        return line if not line else _RAW + line

    def sign(match: re.Match[str]) -> str:
        handle = _HANDLE.fullmatch(match[0])
        if handle is not None and handle[1] == key:
            return f" @{handle[2]}"
        return short.get(match[0], match[0])

    return " " * (len(item[1]) // 2) + _CONSTANT.sub(sign, item[2])


def _lengthened(line: str, key: str, signs: dict[str, str]) -> str:
    if line.startswith(_RAW) or not line:
        return line[1:]
    body = line.lstrip(" ")

    def attribute(match: re.Match[str]) -> str:
        if match[1] is not None:
            return f" [{key}={match[1]}]"
        return signs.get(match[2], match[0])

    return "  " * (len(line) - len(body)) + "- " + _SHORT.sub(attribute, body)
