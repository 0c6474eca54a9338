"""Which form to try first on a text of a structure on which one form has paid best before.

    hint "search+log"   tried: search, search+log          not tried, where that is short enough: log, tests, tests+log

A hint saves work and nothing else: what its form makes must save about what it has saved before, or every form is
tried, and the verdict is what it is without a hint.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from headroom.zones.detect import Kind
from headroom.zones.forms import Chain

KEPT = 0.8  # of the share that its form has saved before, which it must save of a text's characters, to be the only one


class Hint(msgspec.Struct, frozen=True, gc=False):
    """The form that has paid best, by its name in a verdict, and the share of tokens that it has saved."""

    form: str
    saved: float


Hints = Callable[[str, Kind], Hint | None]
"""The hint there is for a text of a kind. Always the same for the same, or equal texts would be pressed unequally."""


def hinted(form: str, chains: tuple[Chain, ...], layers: frozenset[str]) -> tuple[Chain, ...]:
    """Those of `chains` that `form` names, less the names of `layers` that it begins with: the chain itself, those it
    begins with, which are made on the way, and those that go on from it. None where it names no chain: a form of
    another release, or of what was cut."""
    named = tuple(form.split("+"))
    while named and named[0] in layers:
        named = named[1:]
    names = [tuple(form.name for form in chain) for chain in chains]
    if named not in names:
        return ()
    return tuple(chain for chain, name in zip(chains, names, strict=True) if name[: len(named)] == named[: len(name)])
