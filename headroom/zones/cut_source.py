"""Source without the bodies of its functions: imports, signatures, decorators, class lines, what is raised and to do.

    def take(self, key: str) -> int:
        \"\"\"How many there are of a key.\"\"\"
        # … 12 lines left out (34–45) …
        return left

Python is read by `ast`; JavaScript, TypeScript, Go, Rust, Java, C and C++ by tree-sitter, where it is installed
(the extra `source`). Source of a language that cannot be read, or that has faults, is left alone.
"""

from __future__ import annotations

import ast
import re
import warnings

from headroom.zones import gaps, grammars
from headroom.zones.gaps import Cut, Gap

TITLE = "[excerpt of source: lines as they were; bodies left out where … says so]"
LEAST_LINES = 40
MOST = 2_000_000  # characters; parsing longer source takes too much memory
_BODY = 5  # lines of a body that are all shown
_DATA = 16  # lines of a literal, a text or a comment of which all are shown
_SAYS = re.compile(
    r"\s{0,80}(?:(?:}|else|\)) ?)?(?:return\b|raise\b|throw\b|yield\b|panic[!(]|assert\b)"
    r"|.{0,200}?\b(?:TODO|FIXME|XXX|HACK)\b"
)
_FLOW = (ast.FunctionDef, ast.AsyncFunctionDef)


def cut(text: str) -> Cut | None:
    """The outline of a source. None where it cannot be read without faults. Cost: that of parsing it, then linear."""
    lines = text.split("\n")
    if len(lines) < LEAST_LINES or len(text) > MOST or "\r" in text or "\f" in text:
        return None
    kept = _python(text, lines)
    token = "#"
    if kept is None:
        regions = grammars.bodies(text)
        if regions is None:
            return None
        token = "//"
        kept = bytearray(b"\x01" * len(lines))
        for region in regions:
            _hide(lines, kept, region.first, region.last, _DATA // 2 if region.is_comment else 0)
        for region in regions:
            for place in range(region.shown_first, region.shown_last + 1):
                kept[place - 1] = 1
    out, told = gaps.write(lines, kept, lambda _: "", lambda gap: _lead(lines, gap, token), least=3)
    return Cut(TITLE, "\n".join(out), "source cut", told, len(lines)) if told else None


def _lead(lines: list[str], gap: Gap, token: str) -> str:
    """The indentation of the first line left out, and the language's sign of a comment."""
    first = next((line for line in lines[gap.first - 1 : gap.last] if line.strip()), "")
    return f"{first[: len(first) - len(first.lstrip())]}{token} "


def _hide(lines: list[str], kept: bytearray, first: int, last: int, shown: int = 0) -> None:
    """Leaves out the lines `first` to `last` (from 1), but `shown` of them and those that say what comes of it."""
    if last - first + 1 <= _BODY + shown:
        return
    for place in range(first + shown, last + 1):
        kept[place - 1] = _SAYS.match(lines[place - 1][:400]) is not None


def _python(text: str, lines: list[str]) -> bytearray | None:
    """Which lines of a Python module to keep; None where it is none."""
    if not re.search(r"^(?:import|from|def|class|async def|@|if __name__) ?", text, re.MULTILINE):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = ast.parse(text)
        kept = bytearray(b"\x01" * len(lines))
        # Parents come before what is in them: what an outer body hides, an inner signature shows again.
        for node in ast.walk(module):
            _visit(node, lines, kept)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return kept


def _visit(node: ast.AST, lines: list[str], kept: bytearray) -> None:
    if isinstance(node, _FLOW):
        begin = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        body = node.body[0]
        first = body.lineno
        kept[begin - 1 : first - 1] = b"\x01" * max(0, first - begin)
        if _is_text(body):
            kept[first - 1] = 1
            first += 1
        if first > node.lineno:
            _hide(lines, kept, first, node.end_lineno or first)
    elif isinstance(node, ast.ClassDef):
        begin = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        kept[begin - 1 : node.body[0].lineno] = b"\x01" * max(0, node.body[0].lineno - begin + 1)
        _visit_text(node.body[0], lines, kept)
    elif isinstance(node, ast.Module) and node.body:
        _visit_text(node.body[0], lines, kept)
        for statement in node.body:
            if isinstance(statement, ast.Assign | ast.AnnAssign | ast.Expr):
                end = statement.end_lineno or statement.lineno
                if end - statement.lineno > _DATA:
                    _hide(lines, kept, statement.lineno + _DATA // 2, end - 2)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _visit_text(node: ast.stmt, lines: list[str], kept: bytearray) -> None:
    """A docstring by its first lines."""
    end = node.end_lineno or node.lineno
    if _is_text(node) and end - node.lineno > _BODY:
        _hide(lines, kept, node.lineno + 2, end - 1)
