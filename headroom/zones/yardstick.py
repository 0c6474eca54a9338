"""Counting tokens, so that nothing is replaced by something longer.

The packaged ranks are o200k_base (see `ranks/README.md`); nothing is ever fetched. For models of other families they
are a yardstick, not the bill: "not longer by this measure".
"""

from __future__ import annotations

import base64
import hashlib
import lzma
import re
import threading
from collections.abc import Iterator
from importlib.resources import files
from typing import Protocol

RANKS_SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"

# The pre-tokenizer of o200k_base: the alternatives as published with the ranks, in their order.
_LOWER = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_UPPER = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_REST = r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+"
_BLANKS = r"\s+(?!\S)|\s+"
# Those before the look-ahead are one group, which the engine matches as one and without backtracking.
_PATTERN = f"(?:{_LOWER}|{_UPPER}|{_REST})|{_BLANKS}"
_SPECIAL = {"<|endoftext|>": 199999, "<|endofprompt|>": 200018}

_RUN = 8192  # characters in which a safe cut is looked for
_PIECE = 4096  # characters; tokens are counted piece by piece where a count may stop early
# Between an ASCII letter or digit and an ASCII character that is neither, nor an apostrophe, no token can lie: a
# pre-token with letters ends at the letters, and nothing looks behind. So counts add up exactly at such a cut.
_SAFE_CUT = re.compile(r"[0-9A-Za-z](?=[\x00-&(-/:-@\[-`{-\x7f])")
_LONGEST = 128  # bytes of the longest token


class Yardstick(Protocol):
    """A way to count tokens."""

    @property
    def name(self) -> str:
        """What the counts are called in logs."""

    def count(self, text: str) -> int:
        """Tokens of `text`."""

    def within(self, text: str, limit: int) -> int | None:
        """Tokens of `text`; None where it has more than `limit`. May stop early; the answer is that of `count`."""


class Characters:
    """An estimate by length: `per_token` characters a token, rounded half up, at least one unless empty."""

    name = "characters"

    def __init__(self, per_token: float = 3.5) -> None:
        self._per_token = per_token

    def count(self, text: str) -> int:
        """See Yardstick. Cost: constant."""
        return max(1, int(len(text) / self._per_token + 0.5)) if text else 0

    def within(self, text: str, limit: int) -> int | None:
        """See Yardstick."""
        count = self.count(text)
        return count if count <= limit else None


class RanksDamaged(Exception):
    """The packaged ranks are missing or are not what was packaged."""


class O200k:
    """Exact counts by the packaged ranks. Making one takes about 0.6 s, of which 0.25 s hold the interpreter lock."""

    name = "o200k"

    def __init__(self) -> None:
        # Loaded with the ranks, when a token is first counted: a start needs neither.
        import tiktoken  # noqa: PLC0415

        self._encoding = tiktoken.Encoding(
            "o200k_base", pat_str=_PATTERN, mergeable_ranks=_ranks(), special_tokens=_SPECIAL
        )

    def count(self, text: str) -> int:
        """See Yardstick. Exact but for runs of more than `_RUN` characters without a safe cut, which are cut anyhow.

        Cost: 3 to 10 MB/s, without the interpreter lock.
        """
        encode = self._encoding.encode_ordinary
        return sum(len(encode(piece)) for piece in _pieces(text))

    def within(self, text: str, limit: int) -> int | None:
        """See Yardstick. Cost: proportional to `limit`."""
        count = at = 0
        for piece in _pieces(text):
            if count + -(-(len(text) - at) // _LONGEST) > limit:
                return None
            count += len(self._encoding.encode_ordinary(piece))
            at += len(piece)
        return count if count <= limit else None


def _pieces(text: str) -> Iterator[str]:
    """`text` in pieces whose token counts add up to its own.

    Without an end to a run of one kind of character the encoder would take quadratic time, or give up.
    """
    at = 0
    while at < len(text):
        cut = _SAFE_CUT.search(text, at + _PIECE, at + _PIECE + _RUN)
        end = cut.end() if cut else at + _PIECE + _RUN
        yield text[at:end]
        at = end


def _ranks() -> dict[bytes, int]:
    """The packaged ranks. Raises RanksDamaged."""
    try:
        packed = files(__package__).joinpath("ranks", "o200k_base.tiktoken.xz").read_bytes()
        text = lzma.decompress(packed)
    except (OSError, lzma.LZMAError) as error:
        raise RanksDamaged(f"the packaged token ranks cannot be read: {error}") from error
    if hashlib.sha256(text).hexdigest() != RANKS_SHA256:
        raise RanksDamaged("the packaged token ranks are not the ones that were packaged")
    ranks: dict[bytes, int] = {}
    for line in text.splitlines():
        token, rank = line.split()
        ranks[base64.b64decode(token)] = int(rank)
    return ranks


_lock = threading.Lock()
_made: list[O200k] = []


def o200k() -> O200k:
    """The one counter of this process, made at the first call. Blocks; call it off the event loop."""
    with _lock:
        if not _made:
            _made.append(O200k())
        return _made[0]


def o200k_ready() -> bool:
    """Whether `o200k()` answers at once."""
    return bool(_made)
