"""One text in, an excerpt of it that says in place what is missing, or nothing.

A cut loses content, so it is for texts whose original is kept where the model can ask for it; `with_marker` says where.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from headroom.zones import (
    cut_diffs,
    cut_html,
    cut_json,
    cut_logs,
    cut_paths,
    cut_prose,
    cut_search,
    cut_source,
    cut_tables,
    gaps,
    marker,
)
from headroom.zones.detect import Kind
from headroom.zones.gaps import Cut

__all__ = ["Cut", "cut", "with_marker"]

Cutter = Callable[[str], Cut | None]

CUTTERS: Mapping[Kind, tuple[Cutter, ...]] = {
    Kind.JSON: (cut_json.cut,),
    Kind.JSON_LINES: (cut_json.cut_lines, cut_logs.cut),
    Kind.DIFF: (cut_diffs.cut,),
    Kind.GIT: (cut_diffs.cut,),
    Kind.HTML: (cut_html.cut,),
    Kind.SEARCH: (cut_search.cut, cut_logs.cut),
    Kind.LINT: (cut_logs.cut,),
    Kind.PATHS: (cut_paths.cut, cut_search.cut),
    Kind.LOG: (cut_logs.cut,),
    Kind.SOURCE: (cut_source.cut,),
    Kind.TABLE: (cut_tables.cut, cut_logs.cut),
    Kind.LINES: (cut_prose.cut_paragraphs, cut_logs.cut),
    Kind.TEXT: (cut_prose.cut,),
}
"""What cuts which kind; of several, the first that finds what to leave out. Numbered lines (files that were
read) are never cut: agents edit them by exact match."""


def cut(text: str, kind: Kind) -> Cut | None:
    """An excerpt of `text`, shorter than it; None where there is none. Deterministic; cost linear.

    A text with a marker in it, or with notes like ours, is refused: it may be an excerpt itself.
    """
    if marker.BEGIN in text or gaps.tells_gaps(text):
        return None
    for cutter in CUTTERS.get(kind, ()):
        made = cutter(text)
        if made is not None and made.gaps and len(made.text) < len(text):
            return made
    return None


def with_marker(shorter: str, original: str, made: Cut) -> str:
    """`shorter` (an excerpt, or what a form made of it) with a last line that says where `original` is kept."""
    many = {"entry": "entries"}.get(made.unit, made.unit + "s")
    missing = f"{made.left_out} of {made.of} {many} left out"
    return f"{shorter}\n[{missing}; headroom_retrieve gives them: {marker.mark(original)}]"
