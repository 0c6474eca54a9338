"""Presses: shorter by the yardstick, proven, deterministic, and never applied twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.drives import drive_press
from headroom.zones import documents, layout, listings
from headroom.zones import press as press_module
from headroom.zones.detect import Kind
from headroom.zones.forms import Form
from headroom.zones.press import Action, Floors, Verdict, press, seen, unpress
from headroom.zones.yardstick import Characters, o200k
from tests.support.json_texts import LAYOUTS, TREES, Tree, scattered, write
from tests.support.outputs import KINDS, invented, mixed, recorded
from tests.zones.test_listings import groups, searches

NO_FLOORS = Floors.flat(0)
OUTPUTS = [invented(kind, 7, 6_000) for kind in KINDS] + mixed(3, 8, 1_000, 9_000) + recorded()


def by_length(text: str, floors: Floors = NO_FLOORS) -> Verdict:
    """The verdict where four characters are a token."""
    return press(text, floors, Characters(4.0))


@pytest.mark.parametrize("at", range(len(OUTPUTS)))
def test_the_outputs_of_tools_are_pressed_without_loss_or_left_alone(at: int) -> None:
    text, measure = OUTPUTS[at].text, o200k()
    verdict = press(text, Floors(), measure)
    assert verdict == press(text, Floors(), measure)
    if verdict.action is not Action.PRESSED:
        assert verdict.text == ""
        return
    assert (verdict.before, verdict.after) == (measure.count(text), measure.count(verdict.text))
    assert verdict.after < verdict.before
    assert unpress(verdict.text) == seen(text)
    assert press(verdict.text, Floors(), measure).action is not Action.PRESSED
    assert press(verdict.text, NO_FLOORS, measure).action is not Action.PRESSED


@pytest.mark.parametrize("kind", ["json_uniform", "json_nested", "json_ragged", "package_lock", "search"])
@pytest.mark.parametrize("seed", range(3))
def test_what_has_a_form_is_pressed(kind: str, seed: int) -> None:
    assert press(invented(kind, seed, 6_000).text, Floors(), o200k()).action is Action.PRESSED


TIMES = st.sampled_from([1, 3, 12])


@given(TREES, TIMES, st.sampled_from(sorted(LAYOUTS)), st.sampled_from(["", "\n", " "]))
def test_a_document_in_any_layout_is_pressed_without_loss(tree: Tree, times: int, name: str, tail: str) -> None:
    text = write((tree,) * times, *LAYOUTS[name]) + tail
    verdict = by_length(text)
    if verdict.action is Action.PRESSED:
        assert verdict.after < verdict.before
        assert unpress(verdict.text) == text
        assert by_length(verdict.text).action is not Action.PRESSED


@given(TREES, TIMES, st.sampled_from(sorted(LAYOUTS)))
def test_a_document_is_always_proven(tree: Tree, times: int, name: str) -> None:
    assert by_length(write((tree,) * times, *LAYOUTS[name])).action is not Action.UNPROVEN


@given(scattered(st.builds(lambda tree, times: (tree,) * times, TREES, TIMES)))
def test_a_document_with_irregular_blanks_keeps_its_tokens(case: tuple[Tree, str]) -> None:
    verdict = by_length(case[1])
    if verdict.action is Action.PRESSED:
        assert layout.minify(unpress(verdict.text)) == layout.minify(case[1])


@given(searches() | groups())
def test_a_listing_is_pressed_without_loss(text: str) -> None:
    text *= 3
    verdict = by_length(text)
    assert verdict == by_length("".join(list(text)))
    if verdict.action is Action.PRESSED:
        assert unpress(verdict.text) == seen(text)  # what a tool says of places is a terminal's
        assert by_length(verdict.text).action is not Action.PRESSED


@given(st.text(max_size=40).map(str.encode) | st.binary(max_size=40))
def test_any_other_text_is_left_alone_or_pressed_without_loss(data: bytes) -> None:
    drive_press(data)


LISTING = "lib/net/pool.py:1:x\n" * 20
DOCUMENT = write((("1", "2", "3"),) * 8, "    ", ",", ": ")


@pytest.mark.parametrize(("text", "kind"), [(LISTING, Kind.SEARCH), (DOCUMENT, Kind.JSON)])
def test_a_text_below_the_floor_of_its_kind_is_left_alone(text: str, kind: Kind) -> None:
    size, other = len(text.encode()), 1_000_000
    for floor, action in ((size, Action.PRESSED), (size + 1, Action.BELOW_FLOOR)):
        floors = Floors({kind: floor}, other)
        assert by_length(text, floors).action is action


def test_a_floor_counts_bytes() -> None:
    text = '["é", "é", "é", "é", "é", "é"]'
    assert by_length(text, Floors({Kind.JSON: len(text.encode())})).action is not Action.BELOW_FLOOR
    assert by_length(text, Floors({Kind.JSON: len(text.encode()) + 1})).action is Action.BELOW_FLOOR


@pytest.mark.parametrize("text", ["", "prose about nothing", "def f(a):\n    return a\n\n\n" * 9])
def test_a_kind_without_a_form_is_left_alone(text: str) -> None:
    assert by_length(text).action is Action.NO_FORM


@pytest.mark.parametrize("title", [documents.TITLE, listings.TITLE])
@pytest.mark.parametrize("rest", ["", "x]\n", "x]\nlib/a.py:1:x\nlib/a.py:2:y\nlib/a.py:3:z", "[1 , 2]]"])
def test_a_text_that_begins_as_a_form_does_is_left_alone(title: str, rest: str) -> None:
    assert by_length(title + rest).action is not Action.PRESSED


def test_the_shorter_of_two_forms_wins() -> None:
    rows = ",".join(f'{{"name":"item {n}","state":"ready","count":{n}}}' for n in range(40))
    verdict = press(f"[{rows}]", NO_FLOORS, o200k())
    assert verdict.action is Action.PRESSED
    assert "@1[40] name=" in verdict.text


def test_what_does_not_become_shorter_is_left_alone() -> None:
    assert by_length('{"a":1,"b":[1,2,3]} ').action in (Action.NO_FORM, Action.NOT_SMALLER)
    assert by_length('[ "a" ]').action is Action.NOT_SMALLER


class _Grudging:
    """Finds every text as long as any other."""

    name = "grudging"

    def count(self, text: str) -> int:
        return 7

    def within(self, text: str, limit: int) -> int | None:
        return 7 if limit >= 7 else None


def test_the_yardstick_has_the_last_word() -> None:
    verdict = press(DOCUMENT, NO_FLOORS, _Grudging())
    assert (verdict.action, verdict.text, verdict.before, verdict.after) == (Action.NOT_SMALLER, "", 7, 7)


def _broken(_: str) -> str:
    raise ValueError


@pytest.mark.parametrize("decode", [lambda _: "something else", _broken])
def test_a_form_that_does_not_read_back_is_not_used(monkeypatch: pytest.MonkeyPatch, decode: object) -> None:
    form = Form("lossy", "[lossy", lambda _text, _style: ["[lossy"], decode, lambda text, decoded: text == decoded)  # type: ignore[arg-type]
    monkeypatch.setattr(press_module, "CHAINS", {Kind.JSON: ((form,),)})
    verdict = by_length(DOCUMENT)
    assert (verdict.action, verdict.text) == (Action.UNPROVEN, "")


def test_a_text_too_long_to_be_proven_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(press_module, "CHECK_LIMIT", len(DOCUMENT) - 1)
    assert by_length(DOCUMENT).action is Action.BELOW_FLOOR


@pytest.mark.parametrize("text", ["", "plain", "[1]", "a.py:1:x"])
def test_a_text_that_was_not_pressed_reads_as_itself(text: str) -> None:
    assert unpress(text) == text


@pytest.mark.parametrize("text", ["[json; layout was nothing", "[matches by file?]\nx"])
def test_a_text_that_pretends_to_be_pressed_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        unpress(text)


@pytest.mark.parametrize("text", ['["\ud800"]', "a.py:1:\ud800\na.py:2:x"])
def test_a_text_with_a_lone_surrogate_harms_nobody(text: str) -> None:
    assert press(text, NO_FLOORS, o200k()).text in ("", listings.encode(text))


def test_what_a_linter_says_of_many_files_is_grouped_and_then_told_by_its_patterns() -> None:
    text = "".join(
        f"lib/net/mod{at // 9}.py:{at * 7}: error: Function is missing a type annotation  [no-untyped-def]\n"
        for at in range(60)
    )
    verdict = press(text, NO_FLOORS, o200k())
    assert (verdict.kind, verdict.form) == (Kind.LINT, "search+log")
    assert unpress(verdict.text) == text


def test_code_that_was_searched_for_is_grouped_only_unless_its_lines_begin_alike() -> None:
    words = [
        "def",
        "take",
        "return",
        "self",
        "yield",
        "pool",
        "async",
        "lease",
        "await",
        "none",
        "raise",
        "class",
        "while",
        "with",
        "import",
        "from",
    ]
    code = "".join(
        f"lib/a{at // 9}.py:{at}:    {words[at % 16]} pool.leases_of_the_worker({at}, None)\n" for at in range(80)
    )
    assert press(code, NO_FLOORS, o200k()).form == "search"
    alike = "".join(f"lib/a{at // 9}.py:{at}:from pool.leases_of_the_worker import m{at}, none\n" for at in range(80))
    assert press(alike, NO_FLOORS, o200k()).form == "search+log"


def test_a_history_is_written_by_folders_or_patterns_and_its_code_is_not() -> None:
    head = "commit {}1f2e3d4\nAuthor: Ana <a@b.test>\nDate:   Mon Feb 3 10:00:00 2031 +0100\n\n    Add it\n\n"
    names = {sign: "\n".join(f"lib/some/folder/{sign * 3}_{at}.py" for at in range(12)) for sign in "abcd"}
    text = "\n".join(head.format(sign) + names[sign] + "\n" for sign in "abcd")
    verdict = press(text, NO_FLOORS, o200k())
    assert (verdict.kind, verdict.form) == (Kind.GIT, "paths")
    assert unpress(verdict.text) == text
    fuller = "\n".join(
        f"commit {at}1f2e3d4\nAuthor:     Ana <a@b.test>\nAuthorDate: Mon Feb {at} 10:00:00 2031 +0100\n"
        f"Commit:     Ana <a@b.test>\nCommitDate: Mon Feb {at} 10:00:00 2031 +0100\n\n    Add it\n"
        for at in range(10, 20)
    )
    verdict = press(fuller, NO_FLOORS, o200k())
    assert (verdict.kind, verdict.form) == (Kind.GIT, "log")
    assert unpress(verdict.text) == fuller
    shown = fuller + "\ndiff --git a/x b/x\nindex 1a2b3c4..5d6e7f8 100644\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"
    assert press(shown, NO_FLOORS, o200k()).form != "log"
