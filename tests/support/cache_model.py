"""What a provider's prompt cache would read, write and bill for a sequence of requests, without
the product's code.

No clock: every request is taken to arrive within the lifetime of what earlier ones wrote. Output
tokens are not counted. Figures are the published ones; each is a parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate

from tests.support.request_shape import (
    Block,
    Dialect,
    Lane,
    Object,
    blocks,
    canonical,
    dialect_of,
    parse,
)

Counter = Callable[[str], int]

MARKER_LIMIT = 4  # cache_control markers in one request; a fifth is answered with 400
CACHE_KEYS = (
    "model",
    "tool_choice",
    "thinking",
)  # a change in one of these reads nothing that the others wrote


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The input tokens of one request, each counted in exactly one of the four."""

    read: int = 0
    write_5m: int = 0
    write_1h: int = 0
    uncached: int = 0

    @property
    def total(self) -> int:
        """All input tokens of the request."""
        return self.read + self.write_5m + self.write_1h + self.uncached


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """The price of one token of each sort, in units of a plain input token."""

    read: float
    write_5m: float = 1.0
    write_1h: float = 1.0
    uncached: float = 1.0


ANTHROPIC_PRICES = Prices(read=0.1, write_5m=1.25, write_1h=2.0)
OPENAI_PRICES = Prices(read=0.1)  # 0.1 to 0.5 by model
GEMINI_PRICES = Prices(read=0.1)  # 0.1 to 0.25 by model


class Refused(ValueError):
    """The provider would answer this request with 400."""


def estimate(text: str) -> int:
    """Tokens as UTF-8 bytes over four, rounded up: monotone in the text, and needs no tokenizer."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // 4)


def bill(usages: Iterable[Usage], prices: Prices = ANTHROPIC_PRICES) -> float:
    """The price of the input of all requests, in units of plain input tokens."""
    return sum(
        use.read * prices.read
        + use.write_5m * prices.write_5m
        + use.write_1h * prices.write_1h
        + use.uncached * prices.uncached
        for use in usages
    )


class _Memo:
    """A token counter that counts each text once: a conversation resends nearly all its blocks."""

    def __init__(self, count: Counter) -> None:
        self._count = count
        self._known: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        if text not in self._known:
            self._known[text] = self._count(text)
        return self._known[text]


class AnthropicCache:
    """A cache with explicit breakpoints.

    A request writes the prefix up to each of its markers, where that prefix has at least `minimum`
    tokens. It reads the longest prefix that an earlier request wrote, looked for at each marker
    and at the blocks before it, `lookback` places in all, the marker's own counted. A marker
    nested in a tool result is a breakpoint at the end of that tool result; `cache_control` beside
    `messages` is one at the last block. Tokens between the read prefix and the last 1-hour marker
    are written in the 1-hour lane, from there to the last marker in the 5-minute lane.
    """

    def __init__(self, *, count: Counter = estimate, minimum: int = 1024, lookback: int = 20) -> None:
        self._count = _Memo(count)
        self._minimum = minimum
        self._lookback = lookback
        self._written: set[bytes] = set()

    def send(self, body: bytes) -> Usage:
        """Account for one request and remember what it wrote; raises Refused for what the provider
        would refuse.
        """
        request = parse(body)
        prompt = blocks("anthropic", request)
        marks = _marks(request, prompt)
        ends = list(accumulate(self._count(block.words) for block in prompt))
        links = _links(_cache_name(request), prompt)
        held = self._longest_held(links, [at for at, _ in marks])
        kept = [(at, lane) for at, lane in marks if ends[at] >= self._minimum]
        self._written.update(links[at] for at, _ in kept)
        return _account(ends, held, kept)

    def _longest_held(self, links: Sequence[bytes], marked: Iterable[int]) -> int:
        """Index of the last block of the longest prefix that can be read, or -1."""
        best = -1
        for at in marked:
            window = range(at, max(-1, at - self._lookback), -1)
            best = max(best, next((back for back in window if links[back] in self._written), -1))
        return best


def _marks(request: Object, prompt: Sequence[Block]) -> list[tuple[int, Lane]]:
    """Where the breakpoints are, with their lanes, in prompt order."""
    marks = [(at, lane) for at, block in enumerate(prompt) for lane in block.lanes]
    whole = request.get("cache_control")
    if isinstance(whole, dict) and prompt:
        marks.append((len(prompt) - 1, "1h" if whole.get("ttl") == "1h" else "5m"))
    if len(marks) > MARKER_LIMIT:
        raise Refused(f"{len(marks)} cache_control markers, at most {MARKER_LIMIT}")
    lanes = [lane for _, lane in marks]
    if lanes != sorted(lanes):  # "1h" sorts before "5m"
        raise Refused("a 1h marker after a 5m marker")
    return marks


def _cache_name(request: Object) -> str:
    return canonical([request.get(key) for key in CACHE_KEYS])


def _links(seed: str, prompt: Iterable[Block]) -> list[bytes]:
    """One hash per block that stands for everything up to and including it."""
    chain = blake2b(seed.encode("utf-8", "surrogatepass"), digest_size=16)
    links = []
    for block in prompt:
        chain.update(blake2b(block.text.encode("utf-8", "surrogatepass"), digest_size=16).digest())
        links.append(chain.digest())
    return links


def _account(ends: Sequence[int], held: int, kept: Sequence[tuple[int, Lane]]) -> Usage:
    """Split a request's tokens, given the running totals, the block that ends what is read, and
    what is written.
    """
    total = ends[-1] if ends else 0
    read = ends[held] if held >= 0 else 0
    hour = max([read, *(ends[at] for at, lane in kept if lane == "1h")])
    last = max([hour, *(ends[at] for at, _ in kept)])
    return Usage(read=read, write_1h=hour - read, write_5m=last - hour, uncached=total - last)


class PrefixCache:
    """An automatic cache: the longest common prefix with any earlier request of the same model is
    read.

    Counted from `minimum` tokens in steps of `step`; nothing is paid for writing. Only what a
    request holds itself is counted: what `previous_response_id` stands for is not. The common
    prefix goes down to the character.
    """

    def __init__(
        self,
        dialect: Dialect | None = None,
        *,
        count: Counter = estimate,
        minimum: int = 1024,
        step: int = 128,
    ) -> None:
        self._dialect = dialect
        self._count = _Memo(count)
        self._minimum = minimum
        self._step = step
        self._next: dict[str, set[str]] = {}  # prefix → the texts that have followed it

    def send(self, body: bytes, *, model: str = "") -> Usage:
        """Account for one request and remember it; `model` where the URL and not the body names
        it.
        """
        request = parse(body)
        prompt = [block.words for block in blocks(self._dialect or dialect_of(request), request)]
        prefix = canonical([model, request.get("model")])
        common, total, shared = 0, 0, True
        for text in prompt:
            followers = self._next.setdefault(prefix, set())
            if shared:
                shared = text in followers
                common += self._count(text) if shared else self._partly(text, followers)
            followers.add(text)
            total += self._count(text)
            prefix = blake2b(f"{prefix}\0{text}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        read = self._rounded(min(common, total))
        return Usage(read=read, uncached=total - read)

    def _partly(self, text: str, followers: Iterable[str]) -> int:
        """Tokens of the longest beginning that `text` shares with one of `followers`."""
        common = max((_common(text, other) for other in followers), default=0)
        return self._count(text[:common])

    def _rounded(self, common: int) -> int:
        if common < self._minimum:
            return 0
        return self._minimum + (common - self._minimum) // self._step * self._step


def _common(one: str, other: str) -> int:
    """How many characters two texts have in common at their beginning."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
