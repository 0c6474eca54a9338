"""Lists of tests: their names below what they belong to, and back to the same text."""

from __future__ import annotations

from time import process_time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from headroom.zones import testruns

PYTEST = """\
============ test session starts ============
collected 6 items

tests/net/test_pool.py::test_lease PASSED                    [ 16%]
tests/net/test_pool.py::test_renew[two leases] FAILED        [ 33%]
tests/net/test_pool.py::TestEnd::test_end PASSED             [ 50%]
tests/net/test_pool.py::TestEnd::test_again SKIPPED (no net) [ 66%]
tests/net/test_dns.py::test_take PASSED                      [ 66%]
tests/net/test_dns.py::test_a_name_that_is_longer_than_the_terminal_is PASSED [100%]
"""
UNITTEST = """\
test_empty (app.tests.test_index.BuildTests.test_empty) ... ok
test_full (app.tests.test_index.BuildTests.test_full) ... skipped 'no disk'
test_half (app.tests.test_index.BuildTests.test_half) ... ok

test_one (app.tests.test_config.ReadTests.test_one) ... FAIL
test_two (app.tests.test_config.ReadTests.test_two) ... ok

======================================================================
FAIL: test_one (app.tests.test_config.ReadTests.test_one)
"""
OLD_UNITTEST = "".join(f"test_{at} (app.tests.test_index.BuildTests) ... ok\n" for at in range(9))
CARGO = "running 9 tests\n" + "".join(f"test pool::tests::lease_{at} ... ok\n" for at in range(9)) + "\n"
RUNS = [PYTEST, UNITTEST, OLD_UNITTEST, CARGO]
TRAPS = [
    *(
        "",
        " ",
        " test_x",
        "a:",
        "tests/test_a.py:",
        "\\",
        "[ 16%]",
        "[tests: ",
        "x::y PASSED [  1%]",
        "<group>",
        "<name>",
    ),
    *("::", "x::y PASSED", "x::y ok PASSED", "x::a[ PASSED (b] PASSED (c)", "t (g.t) ... ok", "t (g.u) ... ok"),
    *("\\x::y PASSED", "t (\\g.t) ... ok", "t (\\g) ... ok", "test \\a::b ... ok"),
    *("t (g) ... FAIL", "test a::b ... ignored", "\r", "\u2028", "x" * 2001),
]


def back(text: str) -> str:
    """`text` pressed and read back."""
    pressed = testruns.encode(text)
    assert pressed is not None
    assert len(pressed) < len(text)
    assert pressed.startswith(testruns.TITLE)
    return testruns.decode(pressed)


def test_names_stand_below_their_group_and_the_usual_verdict_is_left_out() -> None:
    assert (
        testruns.encode(PYTEST)
        == """\
[tests: "<group>::<name> <verdict>", each below its group; PASSED unless said; up to column 67 its [n%], as above]
============ test session starts ============
collected 6 items

tests/net/test_pool.py:
 test_lease [16%]
 test_renew[two leases] FAILED [33%]
tests/net/test_pool.py::TestEnd:
 test_end [50%]
 test_again SKIPPED (no net) [66%]
tests/net/test_dns.py:
 test_take
 test_a_name_that_is_longer_than_the_terminal_is [100%]
"""
    )


def test_unittest_names_its_tests_once() -> None:
    pressed = testruns.encode(UNITTEST)
    assert pressed is not None
    assert pressed.startswith(
        '[tests: "<name> (<group>.<name>) ... <verdict>", each below its group; ok unless said]\n'
        "app.tests.test_index.BuildTests:\n test_empty\n test_full skipped 'no disk'\n test_half\n\n"
    )
    assert "\nFAIL: test_one (app.tests.test_config.ReadTests.test_one)\n" in pressed


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_run_reads_back_to_the_same_text(run: str, end: str) -> None:
    text = (run * 2).replace("\n", end)
    if end == "\n":
        assert back(text) == text
    elif (pressed := testruns.encode(text)) is not None:
        assert testruns.decode(pressed) == text


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("run", RUNS)
def test_a_line_that_looks_like_something_else_stays_itself(run: str, trap: str) -> None:
    text = "\n".join([run, trap, run, trap, run, run, trap])
    assert back(text) == text


@given(st.lists(st.sampled_from([*TRAPS, *[line for run in RUNS for line in run.split("\n")]]), max_size=40))
def test_any_lines_read_back_to_the_same_text(lines: list[str]) -> None:
    text = "\n".join(lines)
    if (pressed := testruns.encode(text)) is not None:
        assert testruns.decode(pressed) == text


@given(st.sampled_from(RUNS), st.data())
def test_whatever_is_changed_in_a_run_nothing_but_a_refusal_is_raised(run: str, data: st.DataObject) -> None:
    pressed = testruns.encode(run)
    assume(pressed is not None)
    assert pressed is not None
    at, cut = data.draw(st.integers(0, len(pressed))), data.draw(st.integers(0, 3))
    put = data.draw(st.sampled_from(["", "\n", " ", "<name>", "9", "[9%]", "\\", ":", "]", "%"]))
    try:
        testruns.decode(pressed[:at] + put + pressed[at + cut :])
    except ValueError:
        pass


@pytest.mark.parametrize("text", ["", "\n", "a::b PASSED\n", "x\n" * 100, "a::b\n" * 100, testruns.TITLE + PYTEST])
def test_what_lists_no_tests_is_left_alone(text: str) -> None:
    assert testruns.encode(text) is None


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "[tests: ]",
        '[tests: "<x>", each below its group; ok unless said]',
        "[tests: \n",
        '[tests: "<name> (<group>) ... <verdict>", each below its group; ok unless said; up to column 1001 its [n%]]',
        '[tests: "<name> <verdict>", each below its group; ok unless said; up to column 101 its [n%], as above]',
    ],
)
def test_a_damaged_list_is_refused(damaged: str) -> None:
    with pytest.raises(ValueError):
        testruns.decode(damaged)


@pytest.mark.parametrize("piece", [" ok '", "::", " (a.", " PASSED (", "[", " ", " ... ", ":x"])
def test_lines_that_nearly_are_tests_cost_no_more_than_others(piece: str) -> None:
    line = (piece * 2000)[:1990]
    text = "\n".join([PYTEST, UNITTEST] + ["a::b" + line + " ... ok PASSED [ 1%]"] * 100)
    began = process_time()
    testruns.encode(text)
    assert process_time() - began < 1.0
