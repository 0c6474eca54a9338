"""Hints: the form that has paid best is tried first, and alone where it does well; else all is as without a hint."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from headroom.zones import press as press_module
from headroom.zones.detect import Kind
from headroom.zones.excerpt import excerpt
from headroom.zones.forms import Form, Style
from headroom.zones.hints import Hint, Hints, hinted
from headroom.zones.press import CHAINS, Action, Floors, Verdict, follows, press, seen, unpress
from headroom.zones.yardstick import Characters, o200k
from tests.support.outputs import KINDS, invented

FREE = Floors.flat(0)
LAYERS = frozenset({"crlf", "screen"})
NAMES = sorted({"+".join(form.name for form in chain) for chains in CHAINS.values() for chain in chains})
LISTING = invented("long_listing", 1, 8_000).text
OUTPUTS = {kind: invented(kind, 4, 5_000).text for kind in KINDS}


def always(form: str, saved: float = 0.0) -> Hints:
    return lambda _text, _kind: Hint(form, saved)


def pressed(text: str, hints: Hints | None = None) -> Verdict:
    return press(text, FREE, Characters(), hints=hints)


def names(form: str, kind: Kind) -> list[str]:
    return ["+".join(one.name for one in chain) for chain in hinted(form, CHAINS[kind], LAYERS)]


@pytest.mark.parametrize(
    ("form", "kind", "tried"),
    [
        ("log", Kind.LINT, ["log"]),
        ("search+log", Kind.LINT, ["search", "search+log"]),
        ("search", Kind.LINT, ["search", "search+log"]),
        ("crlf+screen+search", Kind.PATHS, ["search"]),
        ("screen+log", Kind.LOG, ["log"]),
        ("screen", Kind.LOG, []),
        ("csv", Kind.LOG, []),
        ("log cut+log", Kind.LOG, []),
        ("log+tests", Kind.LOG, []),
        ("parts", Kind.LOG, []),
        ("default", Kind.LOG, []),
        ("", Kind.LOG, []),
    ],
)
def test_a_hint_is_at_a_chain_and_those_that_share_its_beginning(form: str, kind: Kind, tried: list[str]) -> None:
    assert names(form, kind) == tried


def test_forms_are_followed_where_others_are_costly() -> None:
    assert all(map(follows, ("log", "columns+log", "screen+log", "crlf+screen+csv")))
    assert not any(map(follows, ("json", "json_lines", "numbered", "log cut+log", "parts", "default", "", "screen")))


def test_a_text_is_pressed_by_the_hinted_form_where_that_does_well() -> None:
    assert pressed(LISTING).form == "log"
    verdict = pressed(LISTING, always("columns", 0.4))
    assert verdict.form == "columns+log"
    assert verdict.action is Action.PRESSED
    assert unpress(verdict.text) == LISTING
    assert verdict == pressed(LISTING, always("columns+log", 0.45))


def test_where_the_hinted_form_makes_less_of_a_text_than_it_promised_every_form_is_tried() -> None:
    assert pressed(LISTING, always("columns", 0.7)) == pressed(LISTING)


def test_where_the_hinted_form_saves_little_every_form_is_tried_whatever_it_promised() -> None:
    text = invented("failure", 1, 3_000).text
    assert pressed(text).form == "log" and pressed(text).after > 0.7 * pressed(text).before
    for form in ("log", "search", "tests"):
        assert pressed(text, always(form, 0.01)) == pressed(text)


@pytest.mark.parametrize("kind", KINDS)
def test_a_hint_that_names_no_form_of_the_kind_changes_nothing(kind: str) -> None:
    text = OUTPUTS[kind]
    without = pressed(text), excerpt(text, FREE, Characters())
    for form in ("", "default", "of another release", "+", "log+log", "log cut+log", "parts", "screen", "crlf+screen"):
        assert (pressed(text, always(form)), excerpt(text, FREE, Characters(), hints=always(form))) == without
    nothing: Hints = lambda _text, _kind: None  # noqa: E731
    assert pressed(text, nothing) == without[0]


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_hinted_nothing_is_lost(kind: str) -> None:
    text, measure = OUTPUTS[kind], o200k()
    without = press(text, FREE, measure)
    for form in NAMES:
        verdict = press(text, FREE, measure, hints=always(form))
        assert verdict == press(text, FREE, measure, hints=always(form))
        assert verdict.action is without.action
        if verdict.action is Action.PRESSED:
            assert unpress(verdict.text) == seen(text)
            assert (verdict.before, verdict.after) == (measure.count(text), measure.count(verdict.text))
        if verdict != without:
            assert len(verdict.text) < 0.7 * len(text)


@pytest.mark.parametrize("kind", KINDS)
def test_a_hint_at_the_form_that_wins_anyway_gives_the_same(kind: str) -> None:
    without = pressed(OUTPUTS[kind])
    assert pressed(OUTPUTS[kind], always(without.form)) == without


def test_hints_are_asked_about_the_text_as_it_came_and_only_where_they_can_save_something() -> None:
    asked: list[tuple[str, Kind]] = []

    def hints(text: str, kind: Kind) -> None:
        asked.append((text, kind))

    wrapped = f"Exit code: 0\nOutput:\n{LISTING}"
    for text in (
        LISTING,
        wrapped,
        *(OUTPUTS[kind] for kind in ("json_uniform", "json_lines", "read", "diff", "prose", "search", "paths")),
    ):
        press(text, FREE, Characters(), hints=hints)
    assert asked == [(LISTING, Kind.TABLE), (wrapped, Kind.TABLE)]
    asked.clear()
    press(LISTING, Floors.flat(100_000), Characters(), hints=hints)
    assert not asked


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each form is given a text of its own length, for tables."""
    counts: Counter[str] = Counter()

    def counted(form: Form) -> Form:
        def encode(text: str, style: Style) -> list[str]:
            counts[form.name] += text == LISTING
            return form.encode(text, style)

        return msgspec.structs.replace(form, encode=encode)

    forms = {form: counted(form) for chain in CHAINS[Kind.TABLE] for form in chain}
    chains = tuple(tuple(forms[form] for form in chain) for chain in CHAINS[Kind.TABLE])
    monkeypatch.setattr(press_module, "CHAINS", {**CHAINS, Kind.TABLE: chains})
    return counts


def test_forms_that_are_not_hinted_are_not_tried(encoded: Counter[str]) -> None:
    assert pressed(LISTING, always("columns", 0.4)).form == "columns+log"
    assert +encoded == {"columns": 1}


def test_a_hint_that_fails_has_no_form_make_the_same_twice(encoded: Counter[str]) -> None:
    without = pressed(LISTING)
    first = Counter(encoded)
    encoded.clear()
    assert pressed(LISTING, always("columns", 0.6)) == without
    assert encoded == first and set(first.values()) == {1}


def test_an_excerpt_is_cut_as_ever_and_what_is_not_cut_follows_the_hint() -> None:
    for kind in KINDS:
        without = excerpt(OUTPUTS[kind], FREE, Characters())
        if without.cut:
            assert excerpt(OUTPUTS[kind], FREE, Characters(), hints=always(without.form)) == without
    noted = f"{LISTING}… 3 lines left out (38–40) …\n"  # what has notes like ours is not cut
    verdict = excerpt(noted, FREE, Characters(), hints=always("columns", 0.4))
    assert (verdict.cut, verdict.form) == (False, "columns+log")
    assert verdict == pressed(noted, always("columns", 0.4)) != excerpt(noted, FREE, Characters())
