"""Excerpts of logs, builds and test runs."""

from __future__ import annotations

from headroom.zones import cut_logs, signs
from tests.support.excerpts import accounts_for_every_line


def requests(count: int, status: int = 200) -> list[str]:
    return [f'10.0.0.{at % 9} - - [03/Feb/2031] "GET /page/{at} HTTP/1.1" {status} {at * 7}' for at in range(count)]


def test_a_gap_tells_how_many_of_what_are_missing() -> None:
    text = "\n".join(requests(300))
    made = cut_logs.cut(text)
    assert made is not None
    accounts_for_every_line(text, made)
    assert "200" in made.body.split("\n")[4]
    assert "290 ×" in made.body.split("\n")[4]


def test_the_one_request_with_another_status_is_shown() -> None:
    lines = requests(300)
    lines[150] = lines[150].replace(" 200 ", " 404 ")
    made = cut_logs.cut("\n".join(lines))
    assert made is not None
    assert lines[150] in made.body.split("\n")


def test_one_line_of_every_rare_template_is_shown() -> None:
    lines = requests(200)
    lines[77] = "compaction begins now"
    lines[140] = "elected a new leader"
    made = cut_logs.cut("\n".join(lines))
    assert made is not None
    assert {lines[77], lines[140]} <= set(made.body.split("\n"))


def test_the_first_traces_are_whole() -> None:
    trace = ["Traceback (most recent call last):", '  File "/app/db.py", line 42, in take', "    connect()"]
    lines = [*requests(100), *trace, "OSError: no route", *requests(100)]
    made = cut_logs.cut("\n".join(lines))
    assert made is not None
    assert "\n".join([*trace, "OSError: no route"]) in made.body


def test_equal_errors_but_for_their_times_are_shown_four_times() -> None:
    lines = [f"2031-02-03 10:{at // 60:02}:{at % 60:02} ERROR db: connection refused" for at in range(600)]
    made = cut_logs.cut("\n".join(lines))
    assert made is not None
    shown = [line for line in made.body.split("\n") if line in lines]
    assert shown[0] == lines[0]
    assert shown[-1] == lines[-1]
    assert len(shown) < 20


def test_a_short_log_is_left_alone() -> None:
    assert cut_logs.cut("\n".join(requests(20))) is None


def test_an_error_in_a_name_or_a_count_of_none_is_no_error() -> None:
    for line in ("tests/test_errors.py::test_failed PASSED", "0 errors", "errors=0", '"error": null', "no failures"):
        assert not signs.is_error(line)
    for line in (
        "error: x",
        "[ERROR] x",
        "E   assert 1",
        "10 errors",
        "builtins.KeyError: 3",
        "FAILED tests/a.py",
        "x failed",
    ):
        assert signs.is_error(line)
