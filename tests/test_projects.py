"""Figures by project in memory that processes share."""

from __future__ import annotations

import os

from headroom.attribution import NAME_LIMIT
from headroom.metrics import Board, stats
from headroom.projects import LIMIT, Projects
from tests.test_metrics import finished


def test_rows_of_one_name_are_added_up_over_workers() -> None:
    projects = Projects(3)
    for worker in range(3):
        projects.rows(worker).count("a", 10)
    projects.rows(1).count("b", 99)
    assert projects.figures() == {
        "by_name": {"b": {"requests": 1, "tokens_saved": 99}, "a": {"requests": 3, "tokens_saved": 30}},
        "other": {"requests": 0, "tokens_saved": 0},
    }


def test_names_beyond_the_limit_are_counted_together() -> None:
    projects = Projects()
    rows = projects.rows(0)
    for number in range(LIMIT + 7):
        rows.count(f"p{number}", 1)
    rows.count("p0", 1)
    found = projects.figures()
    assert len(found["by_name"]) == LIMIT  # type: ignore[arg-type]
    assert found["other"] == {"requests": 7, "tokens_saved": 7}


def test_workers_with_other_names_each_show_no_more_than_the_limit_together() -> None:
    projects = Projects(2)
    for worker in range(2):
        rows = projects.rows(worker)
        for number in range(LIMIT):
            rows.count(f"w{worker} p{number}", worker)
    found = projects.figures()
    assert len(found["by_name"]) == LIMIT  # type: ignore[arg-type]
    assert found["other"] == {"requests": LIMIT, "tokens_saved": 0}


def test_a_worker_that_takes_the_place_of_another_goes_on_with_its_rows() -> None:
    projects = Projects()
    projects.rows(0).count("a", 1)
    again = projects.rows(0)
    again.count("a", 1)
    again.count("b", 1)
    assert projects.figures()["by_name"] == {
        "a": {"requests": 2, "tokens_saved": 2},
        "b": {"requests": 1, "tokens_saved": 1},
    }


def test_processes_share_the_table() -> None:
    projects = Projects(2)
    pid = os.fork()
    if pid == 0:
        projects.rows(1).count("child", 5)
        os._exit(0)
    os.waitpid(pid, 0)
    assert projects.figures()["by_name"] == {"child": {"requests": 1, "tokens_saved": 5}}


def test_the_longest_names_are_kept_whole() -> None:
    projects = Projects()
    name = "\U0001f600" * NAME_LIMIT
    projects.rows(0).count(name, 1)
    assert projects.figures()["by_name"] == {name: {"requests": 1, "tokens_saved": 1}}


def test_what_was_only_observed_is_not_counted_as_saved() -> None:
    board = Board()
    row = board.row(0)
    row(finished(project="a", tokens_before=100, tokens_after=40))
    row(finished(project="a", tokens_before=100, tokens_after=40, observed=True))
    row(finished(tokens_before=100, tokens_after=40))
    shown = stats(board)["projects"]
    assert isinstance(shown, dict) and shown["by_name"] == {"a": {"requests": 2, "tokens_saved": 60}}
