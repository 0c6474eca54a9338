"""The one way a text says where its original is kept: ``<<ccr:HASH>>``.

HASH is the first 24 hex digits of the BLAKE3 of the original text as UTF-8. A marker found in a text is only a claim:
it is ours if the store has it.
"""

from __future__ import annotations

from blake3 import blake3

BEGIN = "<<ccr:"
END = ">>"
DIGITS = 24
_HEX = frozenset("0123456789abcdef")


def key(text: str) -> str:
    """The hash an original is kept under. Cost: about 1 GB/s. Raises UnicodeEncodeError on lone surrogates."""
    return blake3(text.encode()).hexdigest()[:DIGITS]


def mark(text: str) -> str:
    """The marker of `text`."""
    return f"{BEGIN}{key(text)}{END}"


def find_markers(text: str) -> list[str]:
    """The hashes of all markers in `text`, in order, each as often as it stands there. Cost: one search, linear."""
    found: list[str] = []
    at = text.find(BEGIN)
    while at >= 0:
        begin = at + len(BEGIN)
        digits = text[begin : begin + DIGITS]
        if len(digits) == DIGITS and _HEX.issuperset(digits) and text.startswith(END, begin + DIGITS):
            found.append(digits)
        at = text.find(BEGIN, begin)
    return found
