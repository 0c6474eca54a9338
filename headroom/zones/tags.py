"""Tags of clients and workflows (`<system-reminder>`, `<x:y>`) kept out of the hands of whatever shortens prose.

A matched pair with all that is in it, or a tag that closes itself, is one placeholder while the text is shortened.
Where one placeholder does not come back, the whole compression is refused. Elements of HTML are not protected.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

_NAME_FIRST = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")
_NAME_REST = _NAME_FIRST | frozenset("0123456789.:-")
_BLANK = " \t\n\r\f"
_HTML_NAMES = """
html base head link meta style title body address article aside footer h1 h2 h3 h4 h5 h6 header hgroup main nav
section search blockquote dd div dl dt figcaption figure hr li menu ol p pre ul a abbr b bdi bdo br cite code data
dfn em i kbd mark q rp rt ruby s samp small span strong sub sup time u var wbr area audio img map track video embed
iframe object param picture portal source svg math canvas noscript script del ins caption col colgroup table tbody
td tfoot th thead tr button datalist fieldset form input label legend meter optgroup option output progress select
textarea details dialog summary slot template
"""
_HTML = frozenset(_HTML_NAMES.split())
PLACEHOLDER = "{{HEADROOM_TAG_"
NONE = "{{HEADROOM_NO_TAG}}\n"  # stands in no line
_SALTS = 16
_FALLBACK = "{{HEADROOM_TAG_FALLBACK_a4f1c7e2_"


class Tag(msgspec.Struct, frozen=True, gc=False):
    """A tag: `text[begin:end]`."""

    name: str
    begin: int
    end: int
    closes: bool
    alone: bool


class Protected(msgspec.Struct, frozen=True, gc=False):
    """A text with placeholders, and what each of them stands for, in order; blank: nothing else but blanks in it."""

    text: str
    blocks: tuple[tuple[str, str], ...] = ()
    orphans: int = 0
    is_blank: bool = False


def scan(text: str, skipped: frozenset[str] = _HTML) -> list[Tag]:
    """All tags in `text` but the `skipped` ones, in order. One pass, linear; what is no whole tag is text."""
    found: list[Tag] = []
    at = text.find("<")
    last = text.rfind(">")  # behind it nothing can be closed
    quotes = {'"': text.rfind('"'), "'": text.rfind("'")}
    tried = 0  # open tags are searched for their end up to here at most once
    while 0 <= at < last:
        tag, reached = _tag(text, at, last, quotes)
        if tag is None:
            tried += reached - at
            if tried > 8 * len(text) + 4096:  # nothing but tags that are never closed
                break
            at = text.find("<", at + 1)
            continue
        if tag.name not in skipped:
            found.append(tag)
        at = text.find("<", tag.end)
    return found


def _tag(text: str, at: int, last: int, quotes: dict[str, int]) -> tuple[Tag | None, int]:
    """The tag that begins at `at`, if one does, and how far was looked."""
    closes = text.startswith("/", at + 1)
    begin = at + 1 + closes
    end = begin
    if end > last or text[end] not in _NAME_FIRST:
        return None, end
    while end <= last and text[end] in _NAME_REST:
        end += 1
    name = text[begin:end].lower()
    if closes:
        while end <= last and text[end] in _BLANK:
            end += 1
        done = end <= last and text[end] == ">"
        return (Tag(name, at, end + 1, True, False) if done else None), end
    if end <= last and text[end] not in _BLANK and text[end] not in "/>":
        return None, end
    while end <= last:
        sign = text[end]
        if sign == ">":
            return Tag(name, at, end + 1, False, text[end - 1] == "/"), end
        if sign in quotes:
            if quotes[sign] <= end:
                return None, end
            end = text.find(sign, end + 1)
        end += 1
    return None, end


def protect(text: str, bodies: bool = True) -> Protected:
    """`text` with a placeholder for each tag that is none of HTML's. Cost: linear.

    `bodies`: an outermost pair is one placeholder, with all that is in it; else the two tags of a pair are one each.
    Tags without a partner stay where they are.
    """
    if "<" not in text:
        return Protected(text, is_blank=not text.strip())
    spans, orphans = _spans(scan(text), bodies)
    if not spans:
        return Protected(text, (), orphans, not text.strip())
    prefix = _prefix(text)
    parts: list[str] = []
    blocks: list[tuple[str, str]] = []
    at = 0
    for begin, end in spans:
        placeholder = f"{prefix}{len(blocks)}}}}}"
        blocks.append((placeholder, text[begin:end]))
        parts += (text[at:begin], placeholder)
        at = end
    parts.append(text[at:])
    blank = not any(part.strip() for part in parts[::2])
    return Protected("".join(parts), tuple(blocks), orphans, blank)


def _spans(found: Sequence[Tag], bodies: bool) -> tuple[list[tuple[int, int]], int]:
    """What is to be a placeholder, in order, none inside another; and how many closing tags have no opening one."""
    spans: list[tuple[int, int]] = []
    opened: dict[str, list[int]] = {}  # places in `stack` by name
    stack: list[Tag] = []
    orphans = 0
    for tag in found:
        if tag.alone:
            spans.append((tag.begin, tag.end))
        elif not tag.closes:
            opened.setdefault(tag.name, []).append(len(stack))
            stack.append(tag)
        elif opened.get(tag.name):
            depth = opened[tag.name][-1]
            opener = stack[depth]
            while len(stack) > depth:
                opened[stack.pop().name].pop()
            if bodies:
                spans.append((opener.begin, tag.end))
            else:
                spans += ((opener.begin, opener.end), (tag.begin, tag.end))
        else:
            orphans += 1
    spans.sort(key=lambda span: (span[0], -span[1]))
    outer: list[tuple[int, int]] = []
    for span in spans:
        if not outer or span[0] >= outer[-1][1]:
            outer.append(span)
    return outer, orphans


def _prefix(text: str) -> str:
    """How placeholders begin, such that nothing in `text` does."""
    if PLACEHOLDER not in text:
        return PLACEHOLDER
    for salt in range(_SALTS):
        prefix = f"{PLACEHOLDER}{salt}_"
        if prefix not in text:
            return prefix
    return _FALLBACK


def restore(shorter: str, given: Protected) -> str | None:
    """`shorter` with the tags back in their places; None where one of them is lost, doubled or out of order."""
    parts: list[str] = []
    at = 0
    for placeholder, block in given.blocks:
        place = shorter.find(placeholder, at)
        if place < 0:
            return None
        parts += (shorter[at:place], block)
        at = place + len(placeholder)
    parts.append(shorter[at:])
    if given.blocks:
        prefix = given.blocks[0][0][: -len("0}}")]
        if any(prefix in part for part in parts[::2]):
            return None
    return "".join(parts)
