"""Counters of several workers in one table, and what is read from them."""

from __future__ import annotations

import os
from typing import get_args

import pytest
from prometheus_client.parser import text_string_to_metric_families

from headroom.events import Message, Refused, Request, ShrinkFailed, SocketCause, Timings
from headroom.metrics import FAMILIES, HISTOGRAMS, PLACES, Board, stats
from headroom.shrink import Row, Skip
from headroom.usage import Usage


def finished(**values: object) -> Request:
    fields: dict[str, object] = {
        "id": "r1",
        "method": "POST",
        "path": "/v1/messages",
        "route": "messages",
        "api": "http://a",
        "mode": "rewrite",
        "status": 200,
        "outcome": "complete",
        "ms": Timings(12.0, 1.0, 1.0, 1.0, 1.0, 0.0, 7.0),
        **values,
    }
    return Request(**fields)  # type: ignore[arg-type]


def samples(board: Board) -> dict[str, float]:
    text = board.exposition().decode()
    return {
        sample.name + "".join(f"{{{k}={v}}}" for k, v in sample.labels.items()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_family_is_there_before_anything_happens() -> None:
    found = samples(Board())
    for family in FAMILIES:
        name = family.name + ("_total" if family.kind == "counter" else "")
        assert any(key.partition("{")[0] == name for key in found), name
    for name in HISTOGRAMS:
        assert found[name + "_count"] == 0


def test_workers_are_summed_and_a_scrape_is_right_from_any_of_them() -> None:
    board = Board(3)
    for worker in range(3):
        board.row(worker)(finished())
    assert samples(board)["headroom_requests_total{route=messages}"] == 3


def test_responses_on_a_socket_are_counted_as_requests_are_and_the_socket_by_its_end() -> None:
    board = Board()
    row = board.row(0)
    slot = Row(0, "shell", "pressed", "log", "log", 900, 300, 300, 100, 1.0)
    usage = Usage(60, 40, 0, 0, 7)
    told = Message(
        id="r1",
        route="responses.websocket",
        api="http://a",
        mode="rewrite",
        outcome="complete",
        decided=1,
        tokens_before=300,
        tokens_after=100,
        saved_fresh=200,
        usage=usage,
        bill=80.0,
        bill_saved=200.0,
        slots=(slot,),
        ms=Timings(9.0, first_byte=5.0),
    )
    row(told)
    row(finished(mode="relay", route="responses.websocket", status=101, cause="client_close"))
    seen = stats(board)
    assert seen["requests"] == {"responses.websocket": 1}
    assert seen["tokens"] == {"before": 300, "after": 100, "saved": 200, "saved_when_first_sent": 200}
    assert seen["usage"] == {"uncached": 60, "read": 40, "write": 0, "write_1h": 0, "output": 7}
    assert samples(board)["headroom_answers_total{status=1xx}"] == 1
    sockets = seen["websockets"]
    assert isinstance(sockets, dict)
    assert sockets["responses"] == {"complete": 1, "errored": 0, "aborted": 0}
    assert {cause for cause, count in sockets["endings"].items() if count} == {"client_close"}


def test_every_cause_of_a_sockets_end_has_a_place() -> None:
    assert {value for name, value in PLACES if name == "headroom_socket_endings"} == {*get_args(SocketCause), "other"}


def test_processes_share_the_table() -> None:
    board = Board(2)
    pid = os.fork()
    if pid == 0:
        board.row(1)(finished())
        os._exit(0)
    os.waitpid(pid, 0)
    assert board.total("headroom_requests", "messages") == 1


def test_what_a_dead_worker_had_under_way_is_gone_and_what_it_counted_stays() -> None:
    board = Board(2)
    row = board.row(1)
    row.add("headroom_active", 5)
    row(finished())
    board.clear_gauges(1)
    assert board.total("headroom_active") == 0
    assert board.total("headroom_requests", "messages") == 1


def test_a_label_that_was_not_foreseen_counts_as_other() -> None:
    board = Board()
    board.row(0)(finished(route="invented-by-a-client", outcome="new"))
    found = samples(board)
    assert found["headroom_requests_total{route=other}"] == 1
    assert found["headroom_outcomes_total{outcome=other}"] == 1
    assert b"invented" not in board.exposition()


def test_an_exchange_is_counted_in_full() -> None:
    board = Board()
    board.row(0)(
        finished(
            bytes_in=100,
            bytes_out=60,
            answer_bytes=7,
            decided=1,
            replayed=2,
            tokens_before=500,
            tokens_after=100,
            saved_fresh=150,
            usage=Usage(10, 100, 20, 0, 5),
            bill=45.0,
            bill_saved=212.5,
            slots=(Row(1, "Bash", "pressed"), Row(1, "Read", "no_form")),
        )
    )
    found = samples(board)
    assert found["headroom_body_bytes_in_total"] == 100
    assert found["headroom_slots_total{action=pressed}"] == found["headroom_slots_total{action=no_form}"] == 1
    assert found["headroom_slots_replayed_total"] == 2
    assert found["headroom_usage_tokens_total{kind=read}"] == 100
    assert found["headroom_added_seconds_bucket{le=0.005}"] == 1
    assert found["headroom_first_byte_seconds_sum"] == pytest.approx(0.007)
    figures = stats(board)
    assert figures["tokens"] == {"before": 500, "after": 100, "saved": 400, "saved_when_first_sent": 150}
    assert figures["bill"] == {
        "unit": "plain input tokens, cache reads and writes weighted by their price",
        "forwarded": 45.0,
        "direct": 257.5,
        "saved": 212.5,
        "ratio": 0.1748,
    }


def test_refusals_and_our_own_faults_are_counted() -> None:
    board = Board()
    row = board.row(0)
    row(Refused(fault="busy", reason="x", status=503))
    row(ShrinkFailed(id="r", error="E", place="p"))
    found = samples(board)
    assert found["headroom_faults_total{fault=busy}"] == found["headroom_answers_total{status=5xx}"] == 1
    assert found["headroom_shrink_failures_total"] == 1


def test_what_becomes_of_a_slot_has_a_label_of_its_own() -> None:
    assert set(get_args(Skip)) - {"typed"} <= {value for name, value in PLACES if name == "headroom_slots"}
