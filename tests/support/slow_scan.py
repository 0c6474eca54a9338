"""Where the tool result texts of a messages body are: a scanner by itself, slow, and without the product's code."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from typing import TypeAlias

_TOKEN = re.compile(rb'\s*("(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+)', re.DOTALL)


@dataclass(frozen=True, slots=True)
class String:
    """A string token: its bytes are ``body[start:end]``, quotes included."""

    start: int
    end: int
    token: bytes

    @property
    def text(self) -> str:
        """What it says; lone surrogates stay."""
        return str(json.loads(self.token.decode("utf-8", "surrogateescape"), strict=False))


Node: TypeAlias = "String | dict[str, Node] | list[Node] | None"


class Unreadable(ValueError):
    """The bytes are no JSON as far as this scanner sees."""


class _Scanner:
    def __init__(self, body: bytes) -> None:
        self.tokens = [(found.start(1), found[1]) for found in _TOKEN.finditer(body)]
        self.at = 0

    def take(self) -> tuple[int, bytes]:
        if self.at == len(self.tokens):
            raise Unreadable("the body ends too early")
        self.at += 1
        return self.tokens[self.at - 1]

    def node(self) -> Node:
        start, token = self.take()
        if token[:1] == b'"':
            return String(start, start + len(token), token)
        if token == b"{":
            return self._object()
        if token == b"[":
            return self._array()
        if token in (b"}", b"]", b",", b":"):
            raise Unreadable(f"{token!r} in the place of a value")
        return None

    def _object(self) -> dict[str, Node]:
        members: dict[str, Node] = {}
        if self._ends(b"}"):
            return members
        while True:
            key = self.node()
            if not isinstance(key, String) or self.take()[1] != b":":
                raise Unreadable("a member is a name, a colon and a value")
            members[key.text] = self.node()  # the last of equal names counts
            if not self._goes_on(b"}"):
                return members

    def _array(self) -> list[Node]:
        elements: list[Node] = []
        if self._ends(b"]"):
            return elements
        while True:
            elements.append(self.node())
            if not self._goes_on(b"]"):
                return elements

    def _ends(self, bracket: bytes) -> bool:
        if self.at < len(self.tokens) and self.tokens[self.at][1] == bracket:
            self.at += 1
            return True
        return False

    def _goes_on(self, bracket: bytes) -> bool:
        token = self.take()[1]
        if token not in (b",", bracket):
            raise Unreadable(f"{token!r} between two values")
        return token == b","


OUTPUTS = ("function_call_output", "custom_tool_call_output", "local_shell_call_output", "apply_patch_call_output")


def result_strings(body: bytes) -> list[String]:
    """The string tokens of all tool result texts, in order. Raises Unreadable for what is no JSON object."""
    scanner = _Scanner(body)
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    try:
        top = scanner.node()
    except (RecursionError, ValueError) as error:
        raise Unreadable(str(error)) from error
    finally:
        sys.setrecursionlimit(usual)
    if not isinstance(top, dict) or scanner.at != len(scanner.tokens):
        raise Unreadable("a request body is one JSON object")
    found: list[String] = []
    for item in _list(top.get("input")):
        if isinstance(item, dict) and any(_says(item.get("type"), kind) for kind in OUTPUTS):
            found += _texts(item.get("output"))
    for message in _list(top.get("messages")):
        if isinstance(message, dict) and _says(message.get("role"), "tool"):
            found += _texts(message.get("content"))
            continue
        for block in _list(message.get("content") if isinstance(message, dict) else None):
            if isinstance(block, dict) and _says(block.get("type"), "tool_result"):
                found += _texts(block.get("content"))
    request = top.get("request")
    for content in _list((request if isinstance(request, dict) else top).get("contents")):
        for part in _list(content.get("parts") if isinstance(content, dict) else None):
            for key in ("functionResponse", "function_response"):
                given = part.get(key) if isinstance(part, dict) else None
                if isinstance(given, dict):
                    found += _leaves(given.get("response"))
    return found


def _leaves(node: Node) -> list[String]:
    """The strings anywhere in a value."""
    if isinstance(node, String):
        return [node]
    inner = node.values() if isinstance(node, dict) else _list(node)
    return [leaf for child in inner for leaf in _leaves(child)]


def _list(node: Node) -> list[Node]:
    return node if isinstance(node, list) else []


def _says(node: Node, word: str) -> bool:
    return isinstance(node, String) and node.text == word


def _texts(node: Node) -> list[String]:
    if isinstance(node, String):
        return [node]
    texts = (part.get("text") for part in _list(node) if isinstance(part, dict))
    return [text for text in texts if isinstance(text, String)]


def outside(body: bytes) -> bytes:
    """The body with every tool result text made empty; all other bytes are its own."""
    parts: list[bytes] = []
    at = 0
    for string in result_strings(body):
        parts += [body[at : string.start], b'""']
        at = string.end
    return b"".join([*parts, body[at:]])
