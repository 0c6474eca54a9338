"""What a form is, and the ways to write a text that forms make: on top of each other, below a title, part by part.

A way knows its text and how it is read back. Which forms there are, and for which kinds, `press` says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from headroom.zones.yardstick import Yardstick

COMPOSED_GAIN = 0.08  # what a form on top of another must at least save, to be worth reading twice
SAMPLE = 3000  # characters of a longer text that tell whether a costly form may be the shortest
SAMPLE_BEHIND = 0.12  # of the text: a form that is farther behind on a sample is not tried on the whole
REFUSALS = (ValueError, msgspec.MsgspecError, RecursionError)  # what forms raise at a text they cannot take


class Style(StrEnum):
    """How far forms go. DENSE ones also leave out what equals the line above; it is shorter and reads less easily."""

    PLAIN = "plain"
    DENSE = "dense"


class Form(msgspec.Struct, frozen=True, gc=False):
    """A lossless way to write one kind of text. `same(x, decode(y))` must hold for every y in `encode(x, style)`.

    `costly`: it is tried on a sample first, where another form has already made something of a long text. `promising`
    is the share of a sample that it must save even where none has.
    """

    name: str
    title: str
    encode: Callable[[str, Style], list[str]]
    decode: Callable[[str], str]
    same: Callable[[str, str], bool]
    costly: bool = False
    promising: float = 0


Chain = tuple[Form, ...]
"""Forms on top of each other: the first is given the text, each other one what the one before has made."""


def styleless(encode: Callable[[str], list[str]]) -> Callable[[str, Style], list[str]]:
    """An encoder that is the same in every style."""
    return lambda text, _style: encode(text)


def exact(name: str, title: str, encode: Callable[[str], str | None], decode: Callable[[str], str]) -> Form:
    """A form with one candidate that reads back to the same characters."""

    def candidates(text: str, _style: Style) -> list[str]:
        pressed = encode(text)
        return [] if pressed is None else [pressed]

    return Form(name, title, candidates, decode, exactly)


def exactly(text: str, decoded: str) -> bool:
    """Whether two texts are the same characters."""
    return text == decoded


class Way(Protocol):
    """One way to write a text."""

    @property
    def text(self) -> str:
        """What is written."""

    @property
    def name(self) -> str:
        """The names of its forms."""

    @property
    def depth(self) -> int:
        """How many forms are on top of each other."""

    def reads_back(self, given: str, pressed: str) -> bool:
        """Whether `pressed`, read from its own titles alone, is `given`. Raises one of REFUSALS or says no."""


class Chained(msgspec.Struct, frozen=True, gc=False):
    """What the first form of a chain was given, and what each form of the chain has made of it."""

    chain: Chain
    stages: tuple[str, ...]

    @property
    def text(self) -> str:
        """See Way."""
        return self.stages[-1]

    @property
    def name(self) -> str:
        """See Way."""
        return "+".join(form.name for form in self.chain)

    @property
    def depth(self) -> int:
        """See Way."""
        return len(self.chain)

    def reads_back(self, given: str, pressed: str) -> bool:
        """See Way."""
        before = (given, *self.stages[1:-1])
        for form, was in zip(reversed(self.chain), reversed(before), strict=True):
            if not pressed.startswith(form.title):
                return False
            pressed = form.decode(pressed)
            if not form.same(was, pressed):
                return False
        return True


class Layer(msgspec.Struct, frozen=True, gc=False):
    """A rule for the whole of a text, named in a first line that the titles of forms may follow.

    `undo(line, rest)` is the text again, as far as it can be told; `holds(given, line, rest)`: whether `line` and
    `rest` say what `given` says.
    """

    name: str
    title: str
    undo: Callable[[str, str], str]
    holds: Callable[[str, str, str], bool]


class Layered(msgspec.Struct, frozen=True, gc=False):
    """A text without what its first line names, written in its turn."""

    layer: Layer
    line: str
    inner: str
    way: Way | None

    @property
    def text(self) -> str:
        """See Way."""
        return f"{self.line}\n{self.inner if self.way is None else self.way.text}"

    @property
    def name(self) -> str:
        """See Way."""
        return self.layer.name if self.way is None else f"{self.layer.name}+{self.way.name}"

    @property
    def depth(self) -> int:
        """See Way."""
        return 1 if self.way is None else self.way.depth

    def reads_back(self, given: str, pressed: str) -> bool:
        """See Way."""
        line, _, rest = pressed.partition("\n")
        if line != self.line or not self.layer.holds(given, line, self.inner):
            return False
        return rest == self.inner if self.way is None else self.way.reads_back(self.inner, rest)


Made = dict[tuple[Form, str], list[str]]
"""What forms have made of texts."""


def chained(
    text: str, chains: tuple[Chain, ...], style: Style, made: Made | None = None, below: float = 1.0
) -> list[Way]:
    """Every way to write `text`, fewest characters first: forms of one text differ in structure, not in script, so
    tokens follow characters. A longer chain counts as longer than it is, by what it has to gain.

    What is in `made` is not made again, and what is made is put there; the ways are the same. A costly form that comes
    first is tried on a sample where `below` is less than 1: the share of the text that a way may have, to be of use.
    """
    begun: dict[tuple[str, ...], list[tuple[str, ...]]] = {(): [(text,)]}
    found: list[tuple[float, Way]] = []
    for chain in chains:
        for length in range(1, len(chain) + 1):
            names = tuple(form.name for form in chain[:length])
            if names not in begun:
                form = chain[length - 1]
                least = min([weight for weight, _ in found], default=below * len(text))
                begun[names] = [
                    (*stages, candidate)
                    for stages in begun[names[:-1]]
                    if not form.costly or _may_win(form, stages[-1], style, least + SAMPLE_BEHIND * len(text))
                    for candidate in _encoded(form, stages[-1], style, made)
                ]
        for stages in begun[tuple(form.name for form in chain)]:
            weight = len(stages[-1]) * (1 + COMPOSED_GAIN) ** (len(chain) - 1)
            found.append((weight, Chained(chain, stages)))
    found.sort(key=lambda pair: pair[0])
    return [way for _, way in found]


def fewest_tokens(ways: Sequence[Way], head: str, tail: str, yardstick: Yardstick) -> tuple[Way, int]:
    """The best of the two shortest ways, and its tokens with `head` and `tail` around it."""
    best, *others = ways
    after = yardstick.count(head + best.text + tail)
    for other in others[:1]:
        text = head + other.text + tail
        margin = (1 - COMPOSED_GAIN) ** (other.depth - best.depth)
        if len(text) * 10 < (len(best.text) + len(head) + len(tail)) * 11:
            count = yardstick.within(text, int(after * margin) - 1)
            if count is not None:
                best, after = other, count
    return best, after


def _may_win(form: Form, text: str, style: Style, limit: float) -> bool:
    """Whether `form` may write `text` in fewer than `limit` characters, by what it makes of the text's beginning."""
    if len(text) < 3 * SAMPLE or (limit > len(text) and not form.promising):
        return True
    sample = text[: text.rfind("\n", 0, SAMPLE) + 1] or text[:SAMPLE]
    share = min([len(made) for made in _encode(form, sample, style)], default=len(sample)) / len(sample)
    return share * len(text) < limit and share <= 1 - form.promising


def _encoded(form: Form, text: str, style: Style, made: Made | None) -> list[str]:
    if made is None:
        return _encode(form, text, style)
    if (form, text) not in made:
        made[form, text] = _encode(form, text, style)
    return made[form, text]


def _encode(form: Form, text: str, style: Style) -> list[str]:
    """A form's candidates; none where the text is too deep for it, or breaks it."""
    try:
        return form.encode(text, style)
    except REFUSALS:
        return []
