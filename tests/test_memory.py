"""The values of memories, and what is refused before any store is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from headroom.memory import (
    CONTENT_LIMIT,
    NAME_LIMIT,
    Memories,
    MemoryRefused,
    Scope,
    checked_content,
    checked_entities,
    checked_importance,
    checked_scope,
)
from headroom.memory_sqlite import SqliteMemory


async def test_the_store_on_disk_keeps_the_contract(tmp_path: Path) -> None:
    store: Memories = SqliteMemory(tmp_path / "memory.sqlite")
    assert store.trouble == "" and await store.list(Scope("p", "u", "project"), 1) == ()
    await store.close()


def test_a_scope_is_resolved_where_it_can_be_answered() -> None:
    assert Scope("p", "", "project").resolved and Scope("", "u", "user").resolved and Scope("", "", "global").resolved
    assert not Scope("", "u", "project").resolved


def test_what_can_be_kept_is_kept_without_blanks_around_it() -> None:
    assert checked_content("\n two\nlines \t") == "two\nlines"
    assert len(checked_content("é" * CONTENT_LIMIT)) == CONTENT_LIMIT
    assert checked_entities([" a  b ", "a b", "", " "]) == ("a b",)
    with pytest.raises(MemoryRefused, match="up to 16 names"):
        checked_entities(["a"] * 1_000_000)
    assert checked_importance(1) == 1.0


@pytest.mark.parametrize(
    "scope", [Scope("", "u", "project"), Scope("p" * (NAME_LIMIT + 1), "", "project"), Scope("\ud800", "", "user")]
)
def test_a_scope_that_nothing_can_be_kept_for_is_refused(scope: Scope) -> None:
    with pytest.raises(MemoryRefused):
        checked_scope(scope)
