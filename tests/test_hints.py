"""What is published is followed by the next process, through real sockets: a new text is pressed by the hinted form,
and what was decided before is replayed byte for byte."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from headroom import publishing
from headroom.edge import Edge
from headroom.recommendations import load
from headroom.zones.press import unpress
from tests.support.embedded import edge_to
from tests.support.loops import codex_loop, sdk_loop
from tests.support.outputs import ToolOutput, invented
from tests.support.raw_client import ask
from tests.support.retrieving import texts
from tests.support.sessions import Session, scripted_origin

PATIENT: dict[str, object] = {"press_deadline": "30s", "press_deadline_limit": "60s", "store_timeout": "30s"}
FORMS = b"x-headroom-transforms"
NEW = invented("long_listing", 1, 9_000)  # log is the first choice, columns do well


def listing(seed: int) -> ToolOutput:
    """A listing that is best told by its columns, built as NEW is."""
    rows = invented("table", seed, 5_000).text.partition("\n")[2]
    return ToolOutput(kind="table", tool="Bash", tool_input={"command": f"ls {seed}"}, text=f"total 5120\n{rows}")


def bodies(seed: int, results: Sequence[ToolOutput]) -> list[bytes]:
    return list(sdk_loop(seed, len(results) + 1, results, bulk=0.05))


OLD = bodies(5, [listing(seed) for seed in range(5)])


async def learnt(where: Path, **settings: object) -> tuple[Path, Session]:
    """What a proxy learns from OLD, published, and the session it learnt from."""
    advice = where / "recommendations.toml"
    async with scripted_origin() as origin, proxy(origin.url, where, **settings) as edge:
        session = Session(origin)
        await session.turns(edge.port, OLD)
    publishing.main(["-o", str(advice), "--learning-path", str(where / "learning.db"), "--min-observations", "5"])
    return advice, session


def proxy(url: str, where: Path, **settings: object) -> Edge:
    given = {**PATIENT, "store": where / "store.db", "learning_path": where / "learning.db", **settings}
    return edge_to(url, **given)


async def told(edge: Edge) -> tuple[object, object]:
    answer = await ask(edge.port, b"GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n")
    found = json.loads(answer.body)["learning"]
    return found["recommendations"], found["hints"]


async def test_a_new_text_is_pressed_by_the_published_form_and_an_old_one_replayed(tmp_path: Path) -> None:
    advice, before = await learnt(tmp_path)
    found, _ = load(edge_to("http://x", recommendations_path=advice).config)
    ((row,), (hint,)) = (found.rows.values(), found.hints.values())
    assert (row.auth_mode, row.strategy_hint, row.share) == ("payg", "columns", 1.0)
    assert hint.form == "columns"
    new = bodies(9, [NEW])
    async with scripted_origin() as origin, proxy(origin.url, tmp_path, recommendations_path=advice) as edge:
        assert await told(edge) == (1, 1)
        session, talk = Session(origin), Session(origin)
        await session.turns(edge.port, OLD)
        assert session.received == before.received != OLD
        # What is loaded stays, whatever becomes of the file.
        advice.write_text("")
        await talk.turns(edge.port, new)
        assert talk.answers[-1].value(FORMS) == b"columns+log"
        (text,) = texts(talk.received[-1])
        assert unpress(text) == NEW.text
    # A process whose file says nothing gives what this one has decided.
    async with scripted_origin() as origin, proxy(origin.url, tmp_path, recommendations_path=advice) as edge:
        assert await told(edge) == (0, 0)
        session = Session(origin)
        await session.turns(edge.port, [OLD[-1], new[-1]])
        assert session.received == [before.received[-1], talk.received[-1]]


async def test_another_payer_another_model_and_a_row_that_is_unsure_get_what_they_get_without_a_file(
    tmp_path: Path,
) -> None:
    advice, _ = await learnt(tmp_path)
    unsure = tmp_path / "unsure.toml"
    unsure.write_text(advice.read_text().replace("share = 1.0000", "share = 0.8999"))
    new, codex = bodies(9, [NEW]), list(codex_loop(9, 2, [NEW], keep=0, bulk=0.05))
    login = (b"authorization: Bearer sk-ant-oat01-abc", b"user-agent: mine/1")
    for sent, fields, named, changes in (
        (new, (), advice, True),
        (new, (), unsure, False),
        (new, login, advice, False),
        (codex, (b"authorization: Bearer sk-1",), advice, False),
    ):
        got = []
        for given in ({"recommendations_path": named}, {}):
            async with scripted_origin() as origin, edge_to(origin.url, **PATIENT, **given) as edge:
                session = Session(origin, login=bool(fields))
                await session.turns(edge.port, sent, *fields)
                assert session.answers[-1].value(FORMS)
                got.append(session.received)
        assert (got[0] != got[1]) == changes


@pytest.mark.parametrize("given", [{}, {"inline_bytes": 0}, {"compression_mode": "observe"}])
async def test_hints_are_followed_on_a_thread_as_well_and_where_nothing_is_changed(
    given: dict[str, object], tmp_path: Path
) -> None:
    advice, _ = await learnt(tmp_path)
    sent = bodies(9, [NEW])
    async with scripted_origin() as origin:
        async with edge_to(origin.url, **PATIENT, recommendations_path=advice, **given) as edge:
            session = Session(origin)
            await session.turns(edge.port, sent)
        assert session.answers[-1].value(FORMS) == b"columns+log"
        assert (session.received == sent) == ("compression_mode" in given)
