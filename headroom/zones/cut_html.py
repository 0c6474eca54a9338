"""A web page as the text a reader sees: headings, paragraphs, lists, tables, links with their targets.

Scripts, styles, drawings and the page's head (but its title) are gone, and so is all markup. No library is needed:
one pass over the tags, linear whatever the page looks like.
"""

from __future__ import annotations

import html
import re

from headroom.zones import gaps, tags
from headroom.zones.gaps import Cut, Gap

TITLE = "[text of a web page: markup, scripts and styles left out; links as text (target)]"
_GONE = frozenset(["svg", "noscript", "template", "iframe", "nav", "math"])
_RAW = frozenset(["script", "style"])
_BLOCK_NAMES = """
p div section article main header footer aside ul ol dl table tbody thead tr form fieldset figure blockquote hr br
pre address details summary dt dd caption h1 h2 h3 h4 h5 h6 li title body html
"""
_BLOCKS = frozenset(_BLOCK_NAMES.split())
_HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)} | {"title": "# ", "li": "- "}
_TARGET = 120  # characters of a link's target
_SPACES = re.compile(r"[ \t\r\f\v\n]+")
_HREF = re.compile(r"""\shref\s{0,4}=\s{0,4}(?:"([^"]{0,2000})"|'([^']{0,2000})'|([^\s>"']{1,2000}))""", re.IGNORECASE)


def cut(text: str) -> Cut | None:
    """The text of a page. None where hardly any is left, or where it is not much shorter. Cost: linear."""
    body = _Page().read(text)
    if len(body.strip()) < 40 or len(body) > 0.9 * len(text):
        return None
    missing = len(text) - len(body)
    return Cut(TITLE, body, "html cut", (Gap(1, missing),), len(text), "character")


class _Page:
    """A page while it is read."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._parts: list[str] = []
        self._lead = ""
        self._gone: list[str] = []
        self._kept_as_is = 0  # depth of <pre>
        self._link = ""

    def read(self, text: str) -> str:
        """The text of the page."""
        at = 0
        last = text.rfind(">")
        ends: dict[str, int] = {}
        for tag in tags.scan(text, frozenset()):
            if tag.begin < at:
                continue
            self._text(self._uncommented(text, at, tag.begin))
            at = tag.end
            self._tag(tag, text)
            if tag.name in _RAW and not tag.closes and not tag.alone:
                end = ends.get(tag.name, 0)
                if 0 <= end < at:
                    end = text.find(f"</{tag.name}", at)
                    ends[tag.name] = end
                at = text.find(">", end) + 1 if 0 <= end < last else max(at, last + 1)
        self._text(self._uncommented(text, at, len(text)))
        self._break()
        return "\n".join(self._lines).strip("\n")

    def _uncommented(self, text: str, begin: int, end: int) -> str:
        """What stands between two tags, without comments and declarations."""
        part = text[begin:end]
        if "<!" not in part:
            return part
        out: list[str] = []
        at = 0
        while True:
            start = part.find("<!", at)
            if start < 0:
                out.append(part[at:])
                return "".join(out)
            out.append(part[at:start])
            mark = "-->" if part.startswith("<!--", start) else ">"
            stop = part.find(mark, start + 2)
            if stop < 0:
                return "".join(out)
            at = stop + len(mark)

    def _tag(self, tag: tags.Tag, text: str) -> None:
        if tag.name in _RAW:
            return
        if tag.name in _GONE:
            if tag.closes:
                if tag.name in self._gone:
                    while self._gone.pop() != tag.name:
                        pass
            elif not tag.alone and len(self._gone) < 100:
                self._gone.append(tag.name)
            return
        if tag.name in _BLOCKS:
            self._break()
            if not tag.closes:
                self._lead = _HEADINGS.get(tag.name, "")
        if tag.name == "pre":
            self._kept_as_is = max(0, self._kept_as_is + (-1 if tag.closes else 1))
        elif tag.name in ("td", "th") and tag.closes:
            self._parts.append(" | ")
        elif tag.name == "a":
            if tag.closes and self._link:
                self._parts.append(f" ({self._link})")
            self._link = "" if tag.closes else self._target(text[tag.begin : tag.end])

    def _target(self, tag: str) -> str:
        match = _HREF.search(tag[:4000])
        target = html.unescape(match[1] or match[2] or match[3] or "") if match else ""
        return "" if target.startswith(("#", "javascript:")) else gaps.shorten(target, _TARGET)

    def _text(self, text: str) -> None:
        if text and not self._gone:
            self._parts.append(html.unescape(text))

    def _break(self) -> None:
        joined = "".join(self._parts)
        self._parts.clear()
        if not joined.strip():
            return
        if self._kept_as_is:
            self._lines.extend(line.rstrip() for line in joined.strip("\n").split("\n"))
        else:
            line = _SPACES.sub(" ", joined).strip(" |")
            if line:
                self._lines.append(self._lead + line)
        self._lead = ""
