"""Test runs: file or class once, and back to the same text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.drives import drive_testruns
from headroom.zones import testruns
from headroom.zones.press import Action, Floors, press, unpress
from headroom.zones.yardstick import Characters, o200k

VERDICTS = ["PASSED", "PASSED", "PASSED", "FAILED", "SKIPPED (no network)", "XFAIL"]


def run_by_file(count: int, edge: int = 80, shift: int = 0) -> str:
    """A verbose run of pytest, `shift` percent off."""
    lines = ["===== test session starts =====", f"collected {count} items", ""]
    for n in range(count):
        said = f"tests/test_{n // 9}.py::TestPool{n // 3}::test_lease[{n}-b c] {VERDICTS[n % len(VERDICTS)]}"
        lines.append(said.ljust(edge - 7) + f" [{(n + 1) * 100 // count + shift:3d}%]")
    return "\n".join([*lines, "", "    def test_lease():", ">       assert 0", "===== 3 failed =====", ""])


def run_by_class(count: int) -> str:
    """A verbose run of unittest."""
    said = ["ok", "ok", "FAIL", "skipped 'no network'", "ERROR"]
    lines = [f"test_{n} (pool.tests.Test{n // 4}.test_{n}) ... {said[n % 5]}" for n in range(count)]
    lines[7:7] = ["test_x (pool.tests.Test1.test_x)", "What it does ... ok"]
    return "\n".join([*lines, "", "-" * 70, f"Ran {count} tests in 0.2s", "", "OK", ""])


@pytest.mark.parametrize("count", [5, 7, 99, 100, 101, 350])
@pytest.mark.parametrize("edge", [40, 80, 154])
def test_a_run_by_file_names_each_file_and_class_once(count: int, edge: int) -> None:
    text = run_by_file(count, edge)
    pressed = testruns.encode(text)
    assert pressed is not None and testruns.decode(pressed) == text
    assert pressed.startswith("[tests under file and class; passed where no verdict is said; ")
    assert pressed.count("tests/test_0.py::TestPool0::") == 1
    assert "\ntest_lease[0-b c]\n" in pressed and "\ntest_lease[3-b c] FAILED\n" in pressed


def test_a_run_by_class_names_each_class_once() -> None:
    text = run_by_class(60)
    pressed = testruns.encode(text)
    assert pressed is not None and testruns.decode(pressed) == text
    assert pressed.count("(pool.tests.Test1)") == 1
    assert "\ntest_5\n" in pressed and "\ntest_2 FAIL\n" in pressed


@pytest.mark.parametrize("text", [run_by_file(90), run_by_class(90)])
def test_a_run_saves_more_than_a_third(text: str) -> None:
    verdict = press(text, Floors(), o200k())
    assert verdict.action is Action.PRESSED and verdict.form.startswith("tests")
    assert verdict.after < 0.67 * verdict.before
    assert unpress(verdict.text) == text


def test_percentages_that_do_not_count_the_tests_are_no_run() -> None:
    assert testruns.encode(run_by_file(50, shift=3)) is None


@pytest.mark.parametrize(
    "line",
    [
        "(a.b)",
        "x::",
        ".",
        "\\",
        "\\(a.b)",
        "\\x::",
        "",
        "a::. PASSED [  1%]",
        "a::b:: PASSED [ 50%]",
        "a::\\x PASSED [  2%]",
    ],
)
@pytest.mark.parametrize("text", [run_by_file(12), run_by_class(12)])
def test_other_lines_that_look_like_ours_come_back(text: str, line: str) -> None:
    lines = text.split("\n")
    for at in (0, 6, 10, len(lines)):
        changed = "\n".join([*lines[:at], line, *lines[at:]])
        pressed = testruns.encode(changed)
        assert pressed is None or testruns.decode(pressed) == changed


LINES = st.sampled_from(
    [
        "a.py::b PASSED [ 20%]",
        "a.py::b[x] FAILED [ 40%]",
        "a.py::c PASSED    [ 60%]",
        "t (m.C.t) ... ok",
        "u (m.C.u) ... FAIL",
        ".",
        "",
        "(m.C)",
    ]
)


@given(st.lists(LINES, max_size=14))
def test_any_lines_come_back(lines: list[str]) -> None:
    drive_testruns("\n".join(lines).encode())


@pytest.mark.parametrize(
    "text",
    [
        "[tests under their class]\nx",
        "[tests under file and class; passed where no verdict is said; 0 tests, percent to column 1]\nx",
        "x",
    ],
)
def test_what_is_no_run_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        testruns.decode(text)


@pytest.mark.parametrize("piece", ["a::", "a (a.", " PASSED (", "[", " [ 1%]", "\\"])
def test_a_hostile_line_costs_no_more_than_its_length(piece: str) -> None:
    text = "\n".join(["a::" + piece * (100_000 // len(piece)) + " PASSED [  1%]"] * 3)
    press(text, Floors.flat(0), Characters())
    testruns.encode(text)
