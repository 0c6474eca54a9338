"""Log lines: one JSON object each, at the level asked for, in a file only its owner reads."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from headroom.events import Refused, Started, Stopped
from headroom.logs import BATCH_LIMIT, LogWriter


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_an_event_is_one_line_with_time_level_and_name(tmp_path: Path) -> None:
    log = LogWriter("info", tmp_path / "x" / "log.jsonl")
    log(Started(version="1", address="127.0.0.1:1", workers=1, store="memory", mode="off"))
    log(Refused(fault="busy", reason="with a \n line break", status=503))
    log.close()
    first, second = lines(tmp_path / "x" / "log.jsonl")
    assert (first["event"], first["level"], first["address"]) == ("started", "info", "127.0.0.1:1")
    assert (second["event"], second["level"], second["reason"]) == ("refused", "warning", "with a \n line break")
    assert str(first["ts"]).endswith("+00:00")


async def test_what_is_below_the_level_is_not_written(tmp_path: Path) -> None:
    log = LogWriter("warning", tmp_path / "log.jsonl")
    log(Stopped())
    log.close()
    assert lines(tmp_path / "log.jsonl") == []


async def test_the_file_is_its_owners(tmp_path: Path) -> None:
    log = LogWriter("info", tmp_path / "log.jsonl")
    log.close()
    assert stat.S_IMODE((tmp_path / "log.jsonl").stat().st_mode) == 0o600


async def test_lines_that_cannot_be_kept_are_counted_and_cost_nothing_else(tmp_path: Path) -> None:
    log = LogWriter("info", tmp_path / "log.jsonl")
    for _ in range(BATCH_LIMIT + 5):
        log(Stopped())
    assert log.lost == 5
    log.close()
    assert len(lines(tmp_path / "log.jsonl")) == BATCH_LIMIT


def test_a_process_without_an_event_loop_writes_at_once(tmp_path: Path) -> None:
    log = LogWriter("info", tmp_path / "log.jsonl")
    log.write_now(Stopped(cut=2))
    assert lines(tmp_path / "log.jsonl")[0]["cut"] == 2
    log.close()
