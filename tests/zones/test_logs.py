"""Logs: line patterns stated once and rows under them, and back to the same text."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from headroom.zones import logs
from tests.support.outputs import invented

TRAPS = [
    *("", " ", "  ", "\t", "\r", "\\", "\\\\", "---", "(x3 more)", "(x0 more)", "[log: ", "A", "A ", "B 1", "A= <>"),
    *("<>", "<5>", "<-5>", "{}", "«»", "‹›", "%", "%s", "%%", "_", "__", "\u2028", "\x85", "\xa0", "\x1c", "\ud800"),
    *("é", "日本 7", "٣", "<none>", 'a="b c"', "k=", "k=,", "[]", "::", "10:00:01,120", "2031-02-03T10:00:01Z"),
    *(
        "@",
        "@7:",
        "\0",
        "a\0b",
        "\x1f",
        "AB",
        "AB 1",
        "  A 1",
        "07 AB 1",
        "a",
        "a 1",
        "b 1 2",
        "a=A 1",
        '"',
        '""',
        "<time>",
    ),
    *("7:0 A", "7 A 1", "10:00:01 A 2 3", "x" * 2001),
]
FIELDS = st.one_of(st.integers(0, 99_999).map(str), st.sampled_from(TRAPS), st.text("ab:=[]_,.", max_size=5))


@st.composite
def log_texts(draw: st.DrawFn) -> str:
    """Lines of a few templates with odd literals, values and blanks, in any order, some of them many times."""
    shapes: list[Callable[[list[str]], str]] = []
    for _ in range(draw(st.integers(1, 3))):
        words = draw(
            st.lists(st.one_of(FIELDS, st.sampled_from(["worker", "[main]", "accepted"])), min_size=1, max_size=5)
        )
        gap = draw(st.sampled_from([" ", " ", "  ", "\t"]))
        form = draw(st.sampled_from(["{}", "{}", "id={}", "[{}]", "{:>6}", "{:<6}", "{}:", "({},x)"]))
        start = draw(
            st.sampled_from(
                ["", "2031-02-03 ", "2031-02-03T", "   ", "web | ", "[", "web | 2031-02-03 10:00:", " 09:00:"]
            )
        )

        def shape(
            values: list[str], words: list[str] = words, gap: str = gap, form: str = form, start: str = start
        ) -> str:
            filled = [word + gap + form.format(value) for word, value in zip(words, values, strict=False)]
            return start + gap.join(filled) + " the same long end of all lines"

        shapes.append(shape)
    lines: list[str] = []
    for _ in range(draw(st.integers(0, 24))):
        chosen = draw(st.sampled_from(shapes))
        line = chosen(draw(st.lists(FIELDS, min_size=5, max_size=5)))
        lines += [line] * draw(st.sampled_from([1, 1, 1, 1, 2, 9]))
        if draw(st.booleans()):
            lines.append(draw(FIELDS))
    return draw(st.sampled_from(["\n", "\n", "\r\n"])).join(lines) + draw(st.sampled_from(["", "\n", "\n\n"]))


TEXTS = log_texts()
SEQUENCE = (
    "[log: letter = line pattern, its <> filled in order, small letter = lines of these patterns"
    " with these of its values]"
    "\nA=x <>\n"
)
EXAMPLE = """\
2031-02-03 10:00:01,120 INFO  [w-3] pool: lease 4411 taken by job-19 after 12 ms
2031-02-03 10:00:01,121 INFO  [w-3] pool: lease 4412 taken by job-19 after 7 ms
2031-02-03 10:00:01,350 WARN  [gc] pause 88 ms
2031-02-03 10:00:02,010 INFO  [w-1] pool: lease 4413 taken by job-20 after 9 ms
2031-02-03 10:00:02,010 INFO  [w-7] pool: lease 4414 taken by job-20 after 119 ms
2031-02-03 10:00:02,011 ERROR [w-7] pool: cannot renew
Traceback (most recent call last):
  File "/srv/pool.py", line 7, in renew
LeaseLost: 4414
waiting for the database to answer
waiting for the database to answer
waiting for the database to answer
"""


def back(text: str) -> str:
    """`text` pressed and read back, in both styles."""
    pressed = logs.encode(text, dense=True)
    assert pressed is not None
    assert logs.decode(pressed) == text
    pressed = logs.encode(text)
    assert pressed is not None
    assert len(pressed) < len(text)
    assert pressed.startswith(logs.TITLE)
    return logs.decode(pressed)


def rows(count: int, form: str = "2031-02-03 10:00:{0:02} INFO worker {0} has finished its job") -> list[str]:
    """`count` lines of one pattern."""
    return [form.format(at) for at in range(count)]


def test_the_example_of_the_module() -> None:
    assert (
        logs.encode(EXAMPLE)
        == """\
[log: letter = line pattern, its <> filled in order; <time> = last @ line and what stands before the letter]
A=<time> INFO  [<>] pool: lease <> taken by <> after <> ms
---
@2031-02-03 10:00:
01,120 A w-3 4411 job-19 12
01,121 A w-3 4412 job-19 7
2031-02-03 10:00:01,350 WARN  [gc] pause 88 ms
02,010 A w-1 4413 job-20 9
02,010 A w-7 4414 job-20 119
2031-02-03 10:00:02,011 ERROR [w-7] pool: cannot renew
Traceback (most recent call last):
  File "/srv/pool.py", line 7, in renew
LeaseLost: 4414
waiting for the database to answer
(x2 more)
"""
    )
    assert back(EXAMPLE) == EXAMPLE


@settings(max_examples=200)
@given(TEXTS, st.booleans())
def test_a_log_reads_back_to_the_same_text(text: str, dense: bool) -> None:
    if (pressed := logs.encode(text, dense=dense)) is not None:
        assert logs.decode(pressed) == text


@given(st.lists(FIELDS, max_size=40), st.integers(1, 9), st.booleans())
def test_any_lines_read_back_to_the_same_text(lines: list[str], times: int, dense: bool) -> None:
    text = "\n".join(lines * times)
    if (pressed := logs.encode(text, dense=dense)) is not None:
        assert logs.decode(pressed) == text


@pytest.mark.parametrize("trap", TRAPS)
def test_a_line_that_looks_like_something_else_stays_itself(trap: str) -> None:
    for line in (trap, trap + " and more", trap + trap, "2031-02-03 " + trap):
        text = "\n".join([*rows(9), line, *rows(9), line, line, ""])
        assert back(text) == text


@pytest.mark.parametrize("trap", TRAPS)
def test_a_value_that_looks_like_something_else_stays_itself(trap: str) -> None:
    for form in (
        "{} the same words on every line {}",
        "{} the same words k={}, on every line",
        "a {} the same words {}",
    ):
        text = "\n".join([form.format(at, value) for at, value in enumerate([1, 2, trap, 3, trap + "9", "", 4] * 3)])
        assert back(text) == text


@pytest.mark.parametrize("trap", TRAPS)
def test_a_pattern_that_looks_like_something_else_stays_itself(trap: str) -> None:
    text = "\n".join(f"2: {trap} the {trap} words of this line {at} {trap} and {at}{trap}" for at in range(20))
    assert back(text) == text


def test_a_sign_that_the_lines_hold_is_not_used_for_slots() -> None:
    pressed = logs.encode("\n".join(rows(9, "worker {} fills the list<> of its batch")))
    assert pressed is not None
    assert pressed.split("\n")[:2] == [
        "[log: letter = line pattern, its {} filled in order]",
        "A=worker {} fills the list<> of its batch",
    ]
    assert logs.encode("\n".join(rows(9, "worker {} fills <> {{}} «» ‹› and all the others"))) is None


def test_lines_with_the_same_values_share_a_row() -> None:
    text = "".join(
        f"2031-02-03 10:00:0{at} unpack the package {name} {at}.0 now\n2031-02-03 10:00:0{at} configure {name} {at}.0\n"
        "2031-02-03 10:00:0%d ready\n" % at
        for at, name in enumerate(["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta"])
    )
    pressed = logs.encode(text)
    assert pressed is not None
    assert pressed.startswith(
        "[log: letter = line pattern, its <> filled in order, AB = a line of A and one of B; "
        "<time> = last @ line and what stands before the letter]\n"
    )
    assert "\n00 ABC alpha 0.0\n01 ABC beta 1.0\n" in pressed
    assert back(text) == text


def test_lines_that_differ_in_their_indentation_share_a_pattern() -> None:
    text = "".join("  " * (at % 5) + f"installing package{at} for package{at % 7}\n" for at in range(40))
    pressed = logs.encode(text)
    assert pressed is not None
    assert pressed.split("\n")[1:5] == [
        "A=installing <> for <>",
        "---",
        "A package0 package0",
        "  A package1 package1",
    ]
    assert back(text) == text


@pytest.mark.parametrize(
    "stamp",
    [
        "2031-02-03 10:{:02}:{:02}",
        "2031-02-03T10:{:02}:{:02}.250",
        "Feb  3 10:{:02}:{:02}",
        "[ {:4}.{:06}]",
        "310203 10{0:04}",
        "1.2.3.4 - - [03/Feb/2031:10:{:02}:{:02} +0000]",
        "19{0:08}",
    ],
)
def test_most_of_a_time_stands_in_a_heading(stamp: str) -> None:
    text = "\n".join(f"{stamp.format(at // 20, at)} the job {at * 7} has ended well" for at in range(60))
    pressed = logs.encode(text)
    assert pressed is not None
    assert 1 <= pressed.count("\n@") <= 61
    assert back(text) == text


def test_a_time_is_cut_before_a_number_and_nowhere_else() -> None:
    text = "\n".join(f"2031-02-03 10:00:{at:02},120 the job {at} has ended well" for at in range(30))
    pressed = logs.encode(text)
    assert pressed is not None
    assert "\n@2031-02-03 10:00:\n00,120 A 0\n01,120 A 1\n" in pressed


def test_dense_rows_leave_out_what_is_as_above() -> None:
    text = "\n".join(f"worker-{at // 2} of the queue main-{at // 2} has taken its job {at} today" for at in range(40))
    pressed = logs.encode(text, dense=True)
    assert pressed is not None
    assert ', " = as in the row above]\n' in pressed
    assert '\nA worker-3 main-3 6\nA " " 7\n' in pressed
    assert logs.decode(pressed) == text


def test_lines_that_come_together_with_a_value_in_common_are_a_sequence() -> None:
    text = "".join(
        f"selecting the package lib{at}:amd64 now\npreparing to unpack ../{at}-lib{at}_1.{at}_amd64.deb now\n"
        f"unpacking the package lib{at}:amd64 (1.{at})\n" + f"progress is {at}\n" * (at % 2) + "all done so far\n"
        for at in range(20)
    )
    pressed = logs.encode(text)
    assert pressed is not None
    assert ", small letter = lines of these patterns with these of its values]\n" in pressed
    assert "\na=A 1, B 2, C 1 3" in pressed
    assert "\na lib5:amd64 ../5-lib5_1.5_amd64.deb 1.5\n" in pressed
    assert back(text) == text
    assert back(text + text.split("\n")[-3] + "\n") == text + text.split("\n")[-3] + "\n"


def test_a_line_after_a_sequence_that_equals_its_last_is_counted_alone() -> None:
    text = "".join(
        f"open the file number{at} of many\nread bytes{at * 7} from the file in one go\nclose the file number{at}\n"
        for at in range(20)
    )
    assert back(text + "close the file number19\n" + text) == text + "close the file number19\n" + text


def test_a_repeated_line_after_lines_that_share_a_row_is_counted_alone() -> None:
    text = "".join(f"start of the job number {at}\nend of the job number {at}\n" for at in range(9))
    text += "end of the job number 8\n" + text
    assert back(text) == text


def test_pressed_text_is_not_pressed_again() -> None:
    pressed = logs.encode(EXAMPLE)
    assert pressed is not None
    assert logs.encode(pressed) is None


def test_pressed_text_inside_a_text_stays_itself() -> None:
    pressed = logs.encode(EXAMPLE)
    text = f"$ tail edge.log\n{pressed}{pressed}{EXAMPLE}{EXAMPLE}"
    assert back(text) == text


def test_identifiers_paths_and_times_stand_uncut() -> None:
    text = "\n".join(
        f"2031-02-03T10:00:{at:02}.5Z INFO GET /v1/items/{at}?page=1 from 10.0.0.{at}:80 job_0020_m_{at:04} took {at}ms"
        for at in range(20)
    )
    pressed = logs.encode(text)
    assert pressed is not None
    assert "\nA=<time>Z INFO GET <> from <> <> took <>\n---\n@2031-02-03T10:00:\n" in pressed
    assert "\n07.5 A /v1/items/7?page=1 10.0.0.7:80 job_0020_m_0007 7ms\n" in pressed


def test_marks_around_a_value_belong_to_the_pattern() -> None:
    text = "\n".join(rows(9, 'INFO [w-{0}] took id={0} user="u{0}" (n={0}, m={0}) done:{0} sshd[{0}]: ok'))
    pressed = logs.encode(text)
    assert pressed is not None
    assert '\nA=INFO [<>] took id=<> user="<>" (n=<>, m=<>) <> sshd[<>]: ok\n' in pressed


def test_marks_between_two_values_stay_with_them() -> None:
    text = "\n".join(f"INFO the reader has moved to ({at},{at + 1}) in chunk{at}[{at}]: that is all" for at in range(9))
    pressed = logs.encode(text)
    assert pressed is not None
    assert "\nA 3,4 chunk3[3]\n" in pressed
    assert logs.decode(pressed) == text


def test_padded_columns_are_one_pattern() -> None:
    text = "\n".join(f"{'job-' + str(at):<9} waited {at * 37:6} ms for the lock" for at in range(0, 400, 9))
    pressed = logs.encode(text)
    assert pressed is not None
    assert pressed.startswith(
        "[log: letter = line pattern, its <> filled in order, <5> padded to 5]\n"
        "A=<-9> waited <6> ms for the lock\n---\nA job-0 0\n"
    )
    assert logs.decode(pressed) == text


def test_a_value_wider_than_its_column_still_reads_back() -> None:
    values = [1, 22, 333, 4444, 55555, 666666, 7777777] * 3
    for form in ("took {:>4} ms in all places of it", "{:<4} ms taken in all places of it", "{:>4} ms, in all of them"):
        text = "\n".join(form.format(value) for value in values)
        assert back(text) == text


def test_lines_with_other_lengths_share_how_they_begin() -> None:
    ends = ["started", "is out of ideas", "has   no more work ", "sleeps", "", "x y", "waits for 3 others", "left"]
    text = "".join(f"2031-02-03 10:00:0{at} INFO worker {at} of 8: {end}\n" for at, end in enumerate(ends)) + "\ndone\n"
    pressed = logs.encode(text)
    assert pressed is not None
    assert "\nA=<time> INFO worker <> of 8: <>\n---\n@2031-02-03 10:00:\n00 A 0 started\n" in pressed
    assert "\n02 A 2 has   no more work \n" in pressed
    assert logs.decode(pressed) == text


def test_what_all_lines_begin_with_is_said_once() -> None:
    ends = ["alpha", "be ta", "gam ma x", "delta d e f", "eps", "ze", "eta e", "theta t t t t", "iota", "kappa k k"]
    text = "\n".join("npm warn deprecated " + end for end in ends)
    pressed = logs.encode(text)
    assert pressed is not None
    assert logs.decode(pressed) == text
    assert pressed.count("deprecated") == 1


def test_equal_lines_are_counted() -> None:
    text = "Downloading the index of all packages\n" * 1000 + "done\n\n\n\n"
    pressed = logs.encode(text)
    assert (
        pressed == "[log: equal lines counted]\n---\nDownloading the index of all packages\n(x999 more)\ndone\n\n\n\n"
    )
    assert logs.decode(pressed) == text


@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\r\n", " ", "\n "])
def test_the_end_of_the_text_stays(end: str) -> None:
    text = "\n".join(rows(9)) + end
    assert back(text) == text


def test_carriage_returns_stay() -> None:
    for text in (
        "\r\n".join(rows(9)),
        "\r\n".join(rows(9)) + "\r\n",
        "\n".join(line + "\r" * (at % 2) for at, line in enumerate(rows(9))),
    ):
        assert back(text) == text


@pytest.mark.parametrize(
    "text", ["", "\n", "one line", "a\nb\nc\nd\n", "\n" * 50, "x" * 100_000, "x\n" * 2, " \n \n \n"]
)
def test_what_has_no_pattern_is_left_alone(text: str) -> None:
    assert logs.encode(text) is None


def test_at_most_26_patterns() -> None:
    words = [f"{a}{b}" for a in "abcdefgh" for b in "stuvwxyz"]
    text = "\n".join(f"{word} " * 9 + str(at) for word in words for at in range(5))
    pressed = logs.encode(text)
    assert pressed is not None
    assert logs.decode(pressed) == text
    assert pressed.split("\n").index("---") == 27


def test_lines_after_those_that_are_looked_at_still_become_rows() -> None:
    form = "2031-02-03 10:00:00 INFO worker{0:>7} [{0}] has finished its job {0}"
    text = "\n".join(rows(logs.MAX_LINES + 2000, form) + ["another line"] * 3 + rows(10, form))
    pressed = logs.encode(text)
    assert pressed is not None
    assert logs.decode(pressed) == text
    assert pressed.count("INFO") == 1


def test_the_output_does_not_depend_on_the_order_of_hashes() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from headroom.zones import logs; from tests.support.outputs import invented\n"
        "print([logs.encode(invented(kind, 3).text) for kind in ('service_log', 'build_log', 'test_run', 'table')])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code, str(Path(__file__).parents[2])],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_errors_and_tracebacks_stand_as_they_are() -> None:
    trouble = [
        "2031-02-03 10:00:07 ERROR worker 7 has lost its lease",
        "Traceback (most recent call last):",
        '  File "/srv/pool.py", line 7, in renew',
        "LeaseError: 4414",
        "    at org.pool.Lease.renew(Lease.java:12)",
        "2031-02-03 10:00:07 INFO worker 7 has failed in its job",
    ]
    lines = [line for at in range(5) for line in [*rows(30), *trouble]]
    pressed = logs.encode("\n".join(lines))
    assert pressed is not None
    assert logs.decode(pressed) == "\n".join(lines)
    assert [line for line in pressed.split("\n") if line in trouble] == trouble * 5


def test_where_most_lines_are_errors_they_become_rows() -> None:
    text = "\n".join(rows(30, "2031-02-03 10:00:{0:02} ERROR worker {0} has failed in its job"))
    pressed = logs.encode(text)
    assert pressed is not None
    assert pressed.count("ERROR") == 1
    assert logs.decode(pressed) == text


def test_a_few_values_of_a_column_become_patterns() -> None:
    text = "\n".join(
        f"2031-02-03 10:00:{at:02} {('INFO', 'DEBUG')[at % 2]} {('reader', 'writer')[at % 2]} has finished its job {at}"
        for at in range(30)
    )
    pressed = logs.encode(text)
    assert pressed is not None
    assert pressed.split("\n")[1:6] == [
        "A=<time> INFO reader has finished its job <>",
        "B=<time> DEBUG writer has finished its job <>",
        "---",
        "@2031-02-03 10:00:",
        "00 A 0",
    ]


def calls(function: Callable[[], object]) -> int:
    """How many functions are called by `function`, those of the interpreter too."""
    count = 0

    def step(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event.endswith("call")

    before = sys.getprofile()
    sys.setprofile(step)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count


HOSTILE: dict[str, Callable[[int], str]] = {
    "short lines": lambda size: "\n".join(str(at % 7) for at in range(size)),
    "one line": lambda size: "x 1 " * size,
    "equal lines": lambda size: "a b c 1\n" * size,
    "lines of one pattern": lambda size: "\n".join(f"the same words {at} on every line" for at in range(size)),
    "no two lines alike": lambda size: "\n".join(
        " ".join(f"w{at * n % 9973}x" for n in range(9)) for at in range(size)
    ),
    "as many fields, all others": lambda size: "\n".join(
        " ".join(chr(97 + at * n % 26) for n in range(30)) for at in range(size)
    ),
    "blanks": lambda size: "\n".join(
        "a" + " " * (at % 50) + "b" + " " * (at % 7) + "c the same end" for at in range(size)
    ),
    "more and more fields": lambda size: "\n".join("same " * (at % 90) for at in range(size)),
    "marks": lambda size: "\n".join("(a)=[b]," * (at % 90) + str(at) for at in range(size)),
    "late lines that nearly fit": lambda size: "\n".join(
        [f"a={at},b={at} the words" for at in range(50)] + ["a=,b=" * 90 + " the word"] * size
    ),
}


@pytest.mark.parametrize("shape", HOSTILE)
def test_the_work_grows_no_faster_than_the_text(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_LINES", 200)
    small, large = HOSTILE[shape](800), HOSTILE[shape](2400)
    assert calls(lambda: logs.encode(large)) <= 3.6 * calls(lambda: logs.encode(small)) + 2000


@pytest.mark.parametrize("kind", ["service_log", "build_log", "test_run", "table", "long_listing", "source", "prose"])
def test_invented_outputs_read_back(kind: str) -> None:
    for seed in range(5):
        text = invented(kind, seed, 20_000).text
        if (pressed := logs.encode(text)) is not None:
            assert logs.decode(pressed) == text


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "[log: ]",
        "[log: letter = line pattern, its <> filled in order]",
        "[log: letter = line pattern, its <> filled in order]\nA=x <>\nA 1",
        "[log: letter = line pattern, its <> filled in order]\nB=x <>\n---\nB 1",
        "[log: letter = line pattern, its <> filled in order]\nA=x <> <>\n---\nA 1",
        "[log: letter = line pattern, its <> filled in order]\nA=x <>\n---\n(x2 more)",
        SEQUENCE + "a=B 1\n---\na 1",
        SEQUENCE + "a=A 1 2\n---\na 1 2",
        SEQUENCE + "a=A 0\n---\na 1",
        SEQUENCE + "a=A x\n---\na 1",
        SEQUENCE + "b=A 1\n---\nb 1",
        SEQUENCE + "a=A 1\nb=a 1\n---\nb 1",
        SEQUENCE + "a=A 1, A 2\n---\na 1",
        SEQUENCE + "a=\n---\na 1",
        SEQUENCE + "a=" + ", ".join(["A 1"] * 7) + "\n---\na 1",
        SEQUENCE + "".join(f"{letter}=A 1\n" for letter in "abcdefghij") + "---\na 1",
        "[log: equal lines counted]\n---\nlong line\n(x99999999 more)",
        "[log: equal lines counted]\n" + "A=x\n" * 27 + "---\n",
        "[log: equal lines counted]\nA=" + "<>" * 2001 + "\n---\n",
    ],
)
def test_a_damaged_log_is_refused(damaged: str) -> None:
    with pytest.raises(ValueError):
        logs.decode(damaged)


@given(TEXTS, st.data())
def test_whatever_is_changed_in_a_log_nothing_but_a_refusal_is_raised(text: str, data: st.DataObject) -> None:
    pressed = logs.encode(text)
    assume(pressed is not None)
    assert pressed is not None
    at, cut = data.draw(st.integers(0, len(pressed))), data.draw(st.integers(0, 3))
    put = data.draw(st.sampled_from(["", "\n", " ", "<>", "<999>", "A", "(x", "9", "_", "\\", "---", "]", "%"]))
    try:
        logs.decode(pressed[:at] + put + pressed[at + cut :])
    except ValueError:
        pass
