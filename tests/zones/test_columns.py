"""Aligned tables: every text reads back to its very characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.zones import columns

WORDS = st.sampled_from(
    ["", "root", "?", "Ss", "=x", "+", "~", "-", "[columns at <0]", "/usr/lib/x", "/usr/lib/y", "a;b", "{}", "é", "x]"]
)
CELLS = WORDS | st.sampled_from(["2 hours ago", "3 days ago", "a  b", "~ x", "About an hour ago", "overlong-and-wide"])
NUMBERS = st.integers(0, 10**6).map(str)
RUNS = st.sampled_from(["kube-system", "default", "^", ""])
PATHS = st.sampled_from(
    ["tests/a_test.py::test_x", "tests/a_test.py::test_y", "/usr/lib/a", "/usr/lib/~", "b", "c/", "::"]
)
ADDRESSES = st.sampled_from(
    ["0000000000020900", "00000000000df100", "0" * 16, "FACE", "0000FACE", "-", "ffffffffffffffff"]
)


@st.composite
def aligned(draw: st.DrawFn) -> list[str]:
    """The lines of a table as printf, column -t and others write them."""
    count = draw(st.integers(3, 9))
    texts: list[list[str]] = []
    left: list[bool] = []
    for kind in draw(st.lists(st.sampled_from("wnclhzp"), min_size=2, max_size=6)):
        cells = {
            "w": [draw(WORDS) for _ in range(count)],
            "n": [draw(NUMBERS) for _ in range(count)],
            "c": [draw(WORDS)] * count,
            "l": [draw(CELLS) for _ in range(count)],
            "h": sorted(draw(RUNS) for _ in range(count)),
            "p": sorted(draw(PATHS) for _ in range(count)),
            "z": [draw(ADDRESSES) for _ in range(count)],
        }[kind]
        texts.append([draw(st.sampled_from(["NAME", "A B", "X"])), *cells])
        left.append(kind != "n")
    widths = [max(map(len, cells)) if draw(st.integers(0, 4)) else 5 for cells in texts]
    gap = " " * draw(st.integers(1, 4))
    lines: list[str] = []
    for row in zip(*texts, strict=True):
        cells = [c.ljust(w) if is_left else c.rjust(w) for c, w, is_left in zip(row, widths, left, strict=True)]
        lines.append(gap.join(cells))
    return lines if draw(st.booleans()) else [line.rstrip(" ") for line in lines]


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Tables with lines before, between and behind them."""
    stray = st.sampled_from(
        ["", " ", "total 12", "=", "+a  b", "[columns off]", "  indented", "a\tb", "x\r", "~", "word " * 9]
    )
    lines: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        lines += draw(st.lists(stray, max_size=6))
        lines += draw(aligned()) * draw(st.sampled_from([1, 1, 8]))
    return "\n".join(lines + draw(st.lists(stray, max_size=6))) + draw(st.sampled_from(["", "\n", "\n\n"]))


def back(text: str) -> str:
    """`text` with narrow columns and back."""
    pressed = columns.encode(text)
    assert pressed is not None
    assert pressed.startswith(columns.TITLE)
    return columns.decode(pressed)


@given(texts())
def test_every_text_with_tables_reads_back_exactly(text: str) -> None:
    if (pressed := columns.encode(text)) is not None:
        assert columns.decode(pressed) == text


@given(aligned())
def test_a_long_table_reads_back_exactly(lines: list[str]) -> None:
    text = "\n".join(lines * 12)
    if (pressed := columns.encode(text)) is not None:
        assert columns.decode(pressed) == text


@given(st.text(alphabet="  ab1=+~[\n\r", max_size=200))
def test_any_text_reads_back_exactly(text: str) -> None:
    if (pressed := columns.encode(text)) is not None:
        assert columns.decode(pressed) == text


def ps(rows: int) -> str:
    """A listing of processes."""
    lines = ["USER       PID TTY      STAT COMMAND"]
    lines += [
        f"{'root':8} {at * 37:5} {'?':8} {'Ssl' if at % 3 else 'S':4} /usr/sbin/d{at} --run {at}" for at in range(rows)
    ]
    return "\n".join(lines) + "\n"


def test_cells_have_one_blank_between_them_and_what_all_rows_have_is_said_once() -> None:
    text = ps(20)
    pressed = columns.encode(text)
    assert pressed is not None
    assert pressed.split("\n")[:5] == [
        "[columns at <0=root >14 <15=? <24 <29=/usr/sbin/{}; +: row with all columns, two blanks apart]",
        "+USER  PID  TTY  STAT  COMMAND",
        "0 S d0 --run 0",
        "37 Ssl d1 --run 1",
        "74 Ssl d2 --run 2",
    ]
    assert columns.decode(pressed) == text


def test_a_line_that_is_not_rendered_to_itself_stays_behind_a_sign() -> None:
    text = "total 20\n" + ps(20) + "root 1 ? S misaligned\n"
    pressed = columns.encode(text)
    assert pressed is not None
    assert "\n=total 20\n" in pressed and "\n=root 1 ? S misaligned\n" in pressed
    assert columns.decode(pressed) == text


def test_an_empty_cell_and_a_column_of_several_words_read_back() -> None:
    lines = [f"{'CONTAINER ID':14}{'IMAGE':16}{'CREATED':16}{'PORTS':20}{'NAMES'}"]
    for at in range(16):
        ports = "0.0.0.0:80->80/tcp" if at % 4 == 0 else ""
        lines.append(f"{at:012x}  {'edge:' + str(at % 3):16}{f'{at + 2} hours ago':16}{ports:20}name_{at}")
    text = "\n".join(lines)
    pressed = columns.encode(text)
    assert pressed is not None
    rows = pressed.split("\n")
    assert rows[0].startswith("[columns at <0 <14 <30* <46 <66; +: row with all columns, two blanks apart; ~: empty]")
    assert rows[1] == "+CONTAINER ID  IMAGE  CREATED  PORTS  NAMES"
    assert rows[3] == "000000000001 edge:1 3 hours ago ~ name_1"
    assert columns.decode(pressed) == text


def test_lines_filled_with_blanks_stay_so() -> None:
    text = "\n".join(f"{'name' + str(at):12} {'kind of thing':20} {'x' * (at % 5):10}" for at in range(30))
    assert back(text) == text


def test_a_markdown_table_filled_with_blanks_loses_them_and_its_bars() -> None:
    lines = [f"| {'name':14} | {'kind':10} | {'state':8} |", f"| {'-' * 14} | {'-' * 10} | {'-' * 8} |"]
    lines += [f"| {'thing-' + str(at):14} | {'a sort' if at % 3 else 'other':10} | {'open':8} |" for at in range(24)]
    text = "\n".join(lines)
    pressed = columns.encode(text)
    assert pressed is not None
    assert pressed.split("\n")[0].startswith("[columns at <0=| <2 <17=| <19 <30=| <32=open >42=|;")
    assert pressed.split("\n")[3:5] == ["thing-0 other", "thing-1 a sort"]
    assert columns.decode(pressed) == text


def test_two_tables_of_different_columns_are_each_named() -> None:
    other = "\n".join(f"{'tmpfs':20} {at * 1024:9} {'none':8} /mnt/disk{at}" for at in range(20))
    text = ps(20) + "\n" + other + "\n\n" + "one line\n" * 9
    pressed = columns.encode(text)
    assert pressed is not None
    assert pressed.count("[columns at ") == 2 and pressed.count("[columns off]") == 1
    assert columns.decode(pressed) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "a  b",
        "plain prose\nof some lines\nwithout columns",
        "[columns at <0 <5]\n" + ps(20),
        "a b\nc d\ne f\n" * 9,
    ],
)
def test_what_is_no_table_or_looks_like_a_pressed_one_is_left_alone(text: str) -> None:
    assert columns.encode(text) is None


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "a b",
        "[columns at ]",
        "[columns at <0 <5",
        "[columns at <0 x5]\na b",
        "[columns at <0=a <5=b]\nx",
        "[columns at <0 <5=a{b}]\nx y",
        "[columns at <0 <5=a{]\nx y",
        "[columns at <0*2 <5]\na b",
        "[columns at <0 <5* <9]\na b",
        "[columns at <0 <5]\na",
        "[columns at <0 <5]\n+a",
        "[columns at <0 <5]\na ~b",
        "[columns at <0 <5; and more]\na b",
        "[columns off]\n[columns on]",
    ],
)
def test_a_damaged_table_is_refused(damaged: str) -> None:
    with pytest.raises(ValueError):
        columns.decode(damaged)


@given(st.integers(3, 30), st.data())
def test_whatever_is_changed_nothing_but_a_refusal_is_raised(rows: int, data: st.DataObject) -> None:
    pressed = columns.encode(ps(rows))
    if pressed is None:
        return
    at = data.draw(st.integers(0, len(pressed) - 1))
    changed = pressed[:at] + data.draw(st.sampled_from(list("<>=*+~|{}[]; \n1x"))) + pressed[at + 1 :]
    try:
        columns.decode(changed)
    except ValueError:
        pass


def test_a_file_stands_above_its_tests() -> None:
    lines = [f"tests/test_{at // 10}.py::test_case_{at}".ljust(60) + "PASSED" for at in range(30)]
    text = "\n".join(lines) + "\n"
    pressed = columns.encode(text)
    assert pressed is not None
    assert pressed.split("\n")[:3] == [
        "[columns at <0=^{} <60=PASSED; =^{}: behind the last ^ line]",
        "^tests/test_0.py::",
        "test_case_0",
    ]
    assert columns.decode(pressed) == text


def test_a_cell_that_runs_on_stands_above_its_rows() -> None:
    lines = [f"{'monitoring' if at < 15 else 'default':12}pod-{at:04}   1/1   {at * 7 % 5}" for at in range(30)]
    pressed = columns.encode("\n".join(lines))
    assert pressed is not None
    assert "=^: as in the last ^ line]\n^monitoring\npod-0000 " in pressed
    assert columns.decode(pressed) == "\n".join(lines)


def test_numbers_filled_with_zeros_lose_them() -> None:
    lines = [f"{at * 4096 + 135424:016x} {'TWi'[at % 3]} name{at}" for at in range(30)]
    pressed = columns.encode("\n".join(lines))
    assert pressed is not None
    assert pressed.startswith(
        "[columns at <0=%016 <17 <19; %0: hexadecimal, without the zeros before it]\n21100 T name0\n"
    )
    assert columns.decode(pressed) == "\n".join(lines)


@pytest.mark.parametrize(
    "title", ["[columns at <0=^ <9=^]", "[columns at <0=^]", "[columns at <0=^a <9]", "[columns at <0 <9]\n^x"]
)
def test_a_heading_that_cannot_be_is_refused(title: str) -> None:
    with pytest.raises(ValueError, match=r"heading|columns|cells"):
        columns.decode(title + "\na b\n")


def test_two_tables_without_a_line_between_are_each_named() -> None:
    other = [f"{'job-' + str(at):20}{at % 3:>8}{'done' if at % 2 else 'waiting':>12}" for at in range(20)]
    text = "a warning that stands above both\n" + ps(20) + "\n".join(other)
    pressed = columns.encode(text)
    assert pressed is not None
    assert pressed.count("\n[columns at ") == 2
    assert columns.decode(pressed) == text


def test_short_cells_are_no_headings() -> None:
    lines = [f"{'TWA'[at // 20]} {at * 7919 % 997:6} name-{at}" for at in range(60)]
    pressed = columns.encode("\n".join(lines))
    assert pressed is None or "^" not in pressed
