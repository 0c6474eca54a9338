"""Where the bodies of functions are, in languages that Python's own parser cannot read: by tree-sitter, if there."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from typing import Protocol

import msgspec

_LANGUAGES: Mapping[str, tuple[str, str, re.Pattern[str]]] = {
    "typescript": (
        "tree_sitter_typescript",
        "language_typescript",
        re.compile(
            r"^(?:export )?(?:interface|type|enum|declare|abstract class) \w|: (?:string|number|boolean|void|any)\b",
            re.M,
        ),
    ),
    "javascript": (
        "tree_sitter_javascript",
        "language",
        re.compile(
            r"^(?:const|let|var|function|export|import|async function|class|module\.exports) ?|=> \{|require\(", re.M
        ),
    ),
    "go": (
        "tree_sitter_go",
        "language",
        re.compile(r"^(?:package \w+$|func (?:\(\w+ |\w+\()|import \(|type \w+ (?:struct|interface|func))", re.M),
    ),
    "rust": (
        "tree_sitter_rust",
        "language",
        re.compile(r"^\s{0,12}(?:pub(?:\(\w+\))? |impl\b|fn \w+|use \w+::|mod \w+|#!?\[|let mut )", re.M),
    ),
    "java": (
        "tree_sitter_java",
        "language",
        re.compile(r"^(?:package [\w.]+;|import [\w.*]+;|\s{0,8}(?:public|private|protected) |\s{0,8}@Override)", re.M),
    ),
    "cpp": (
        "tree_sitter_cpp",
        "language",
        re.compile(r"^(?:template ?<|namespace \w|using \w|class \w+|#include <\w+>$)|\bstd::", re.M),
    ),
    "c": (
        "tree_sitter_c",
        "language",
        re.compile(r"^(?:#include|#define|#if|static \w|typedef |struct \w+|int \w+\(|void \w+\()", re.M),
    ),
}
_LOOK = 20_000  # characters in which a language is looked for
_BODIES = frozenset(["statement_block", "block", "compound_statement", "function_body", "constructor_body"])
_COMMENTS = frozenset(["comment", "block_comment", "line_comment"])
_OWNERS = frozenset(
    [
        "function_declaration",
        "function_definition",
        "method_declaration",
        "method_definition",
        "arrow_function",
        "function",
        "function_expression",
        "generator_function_declaration",
        "generator_function",
        "function_item",
        "closure_expression",
        "constructor_declaration",
        "func_literal",
        "lambda_expression",
        "compact_constructor_declaration",
    ]
)
_FAULTS = 0.02  # share of a source that may be unreadable


class Region(msgspec.Struct, frozen=True, gc=False):
    """Lines `first` to `last` (from 1) that are a body or a comment; `shown_…`: the signature, which stays."""

    first: int
    last: int
    shown_first: int
    shown_last: int
    is_comment: bool


class _Node(Protocol):
    """What is used of a node of tree-sitter's."""

    type: str
    start_point: tuple[int, int]
    end_point: tuple[int, int]
    start_byte: int
    end_byte: int
    has_error: bool
    children: list[_Node]
    parent: _Node | None


def bodies(text: str) -> list[Region] | None:
    """The bodies of functions and the long comments in `text`, outer ones first. None where no grammar reads it."""
    look = text[:_LOOK]
    scored = sorted(
        ((-sum(1 for _ in pattern.finditer(look)), name) for name, (_, _, pattern) in _LANGUAGES.items()),
        key=lambda pair: pair[0],
    )
    best: tuple[int, _Node] | None = None
    for score, name in scored[:3]:
        if -score < 3 or -score * 4 < -scored[0][0]:
            break
        root = _parse(name, text.encode("utf-8", "surrogatepass"))
        if root is None:
            continue
        faults = _faults(root)
        if best is None or faults < best[0]:
            best = (faults, root)
        if faults == 0:
            break
    if best is None or best[0] > _FAULTS * len(text):
        return None
    return _regions(best[1])


def _parse(name: str, source: bytes) -> _Node | None:
    package, function, _ = _LANGUAGES[name]
    try:
        sitter = importlib.import_module("tree_sitter")
        grammar = importlib.import_module(package)
        root: _Node = sitter.Parser(sitter.Language(getattr(grammar, function)())).parse(source).root_node
    except (ImportError, AttributeError, ValueError, TypeError):
        return None
    return root


def _faults(root: _Node) -> int:
    """Bytes that could not be read."""
    faults = 0
    stack = [root]
    while stack:
        node = stack.pop()
        if node.type == "ERROR":
            faults += node.end_byte - node.start_byte
        elif node.has_error:
            stack.extend(node.children)
    return faults


def _regions(root: _Node) -> list[Region]:
    found: list[Region] = []
    stack: list[tuple[_Node, str, int]] = [(root, "", 0)]
    while stack:
        node, owner, begin = stack.pop()
        first, last = node.start_point[0] + 1, node.end_point[0] + 1
        if node.type in _BODIES and owner in _OWNERS:
            if last - first > 2:
                found.append(Region(first + 1, last - 1, begin, first, False))
        elif node.type in _COMMENTS and last - first > 8:
            found.append(Region(first, last - 1, 1, 0, True))
        stack.extend((child, node.type, first) for child in reversed(node.children))
    return found
