"""Excerpts: what is shown is as it was, what is missing is told in place, and no error is lost."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.zones import marker, signs
from headroom.zones.cut import CUTTERS, cut, with_marker
from headroom.zones.detect import Kind
from tests.support.excerpts import accounts_for_every_line

LINE_KINDS = [Kind.LOG, Kind.LINT, Kind.TABLE, Kind.SEARCH, Kind.PATHS, Kind.JSON_LINES]
LINES = st.sampled_from(
    [
        "",
        "2031-02-03 10:00:01 INFO a request took 12 ms",
        "2031-02-03 10:00:02 ERROR db: connection refused",
        "2031-02-03 10:00:02 WARN disk is at 91 %",
        "Traceback (most recent call last):",
        '  File "/app/db.py", line 42',
        "ConnectionError: refused",
        "lib/a.py:12:def take(self):",
        "lib/a.py:14:    raise ValueError",
        "lib/a.py-15-",
        "--",
        "lib/x/y/alpha.py",
        "lib/x/beta.py",
        "src/",
        "a,1,ok",
        "b,2,ok",
        "c,900000,failed",
        '{"id":1,"status":"ok"}',
        '{"id":2,"status":"error"}',
        "process exited with code 3",
        "… and so on …",
        "x" * 700,
    ]
)
TEXTS = st.lists(st.tuples(LINES, st.integers(1, 30)), max_size=14).map(
    lambda runs: "\n".join(line.replace("12", str(12 + at)) for line, count in runs for at in range(count))
)


@given(TEXTS, st.sampled_from(LINE_KINDS))
@settings(max_examples=300)
def test_every_line_is_shown_as_it_was_or_told_as_left_out(text: str, kind: Kind) -> None:
    made = cut(text, kind)
    if made is not None:
        accounts_for_every_line(text, made)
        assert len(made.text) < len(text)
        assert cut(text, kind) == made


@given(TEXTS, st.sampled_from([Kind.LOG, Kind.LINT, Kind.TABLE, Kind.LINES, Kind.TEXT]))
def test_no_error_and_no_exit_status_is_lost(text: str, kind: Kind) -> None:
    made = cut(text, kind)
    if made is not None:
        shown = set(made.body.split("\n"))
        for line in text.split("\n"):
            assert line in shown or not (signs.is_error(line) or signs.is_exit(line))


def test_hundreds_of_different_errors_all_stay() -> None:
    lines = [f"2031-02-03 10:00:00 ERROR no. {at} failed" if at % 3 == 0 else "x is fine and well" for at in range(900)]
    made = cut("\n".join(lines), Kind.LOG)
    assert made is None or all(line in made.body.split("\n") for line in lines[::3])


@pytest.mark.parametrize("kind", CUTTERS)
def test_an_excerpt_is_not_cut_again(kind: Kind) -> None:
    text = "\n".join(f"2031-02-03 10:00:{at % 60:02} INFO lib/a.py took {at} ms" for at in range(400))
    made = cut(text, Kind.LOG)
    assert made is not None
    assert cut(made.text, kind) is None
    assert cut(with_marker(made.text, text, made), kind) is None
    assert cut(f"{text}\n{marker.mark('x')}", kind) is None


def test_the_last_line_says_how_to_get_the_rest() -> None:
    text = "\n".join(f"2031-02-03 10:00:{at % 60:02} INFO a request took {at} ms" for at in range(400))
    made = cut(text, Kind.LOG)
    assert made is not None
    last = with_marker(made.text, text, made).split("\n")[-1]
    assert last == f"[{made.left_out} of 400 lines left out; headroom_retrieve gives them: {marker.mark(text)}]"


def test_numbered_lines_are_never_cut() -> None:
    assert cut("\n".join(f"{at:6}\tx = {at}" for at in range(900)), Kind.NUMBERED) is None


@pytest.mark.parametrize("kind", CUTTERS)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n" * 100_000,
        "x" * 300_000,
        "x\n" * 100_000,
        " " * 300_000,
        "=" * 300_000,
        "a.b " * 60_000,
        "<a " * 60_000,
        "<!--" * 60_000,
        "[" * 100_000,
        '{"a":' * 40_000,
        "[" + "[1]," * 40_000 + "1]",
        "a/b:1:x\n" * 30_000,
        "@@ -1,9 +1,9 @@\n" * 15_000,
        "diff --git a/x b/x\n" * 15_000,
        "| a | b |\n" * 20_000,
        "Error" * 50_000,
        "E1" * 100_000,
        "a/" * 100_000,
        "\x85\u2028\r" * 50_000,
        "fail-" * 50_000,
    ],
    ids=range(21),
)
def test_hostile_texts_cost_no_more_than_their_length(kind: Kind, text: str) -> None:
    begin = time.process_time()
    made = cut(text, kind)
    assert time.process_time() - begin < 6
    assert made is None or len(made.text) < len(text)


def test_random_bytes_are_cut_or_left() -> None:
    source = random.Random(7)
    for _ in range(60):
        text = "".join(source.choice("ab 0<>\n\n\t{}[]:,\"'/-@+…") for _ in range(3000))
        for kind in CUTTERS:
            made = cut(text, kind)
            assert made is None or len(made.text) < len(text)
