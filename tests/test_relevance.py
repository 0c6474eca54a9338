"""Which memories fit a prompt: measured on judged ones, of which `unseen` had no part in choosing the weights."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.memory import Scope
from headroom.memory_sqlite import SqliteMemory
from headroom.relevance import Candidate, alike, fits, rank

CORPUS = Path(__file__).parent / "corpus" / "memory"
SCOPE = Scope("shop", "ann", "project")
WORDS = st.lists(st.sampled_from(["port", "redis", "cent", "fil", "order", "kafka", "tailwind"]), max_size=8)


class Judged(msgspec.Struct):
    """Memories by name, and for each prompt the names of those that a person would want told."""

    memories: dict[str, str]
    prompts: list[tuple[str, list[str]]]


@pytest.mark.parametrize(
    ("name", "precision", "recall", "first"), [("judged", 0.91, 0.82, 43), ("unseen", 0.86, 0.86, 13)]
)
async def test_judged_prompts_find_their_memories_and_others_find_none(
    tmp_path: Path, name: str, precision: float, recall: float, first: int
) -> None:
    judged = msgspec.json.decode((CORPUS / f"{name}.json").read_bytes(), type=Judged)
    store = SqliteMemory(tmp_path / "memory.sqlite", 60.0, lambda: 5.0)
    names = {(await store.save(SCOPE, content)).memory.id: key for key, content in judged.memories.items()}
    right = told = wanted = firsts = 0
    for prompt, fitting in judged.prompts:
        found = [names[one.memory.id] for one in await store.search(SCOPE, prompt, 10)]
        if not fitting:
            assert not found, f"{prompt} is about none of them"
        right += len(set(found) & set(fitting))
        told += len(found)
        wanted += len(fitting)
        firsts += bool(found) and found[0] in fitting
    assert right / told >= precision
    assert right / wanted >= recall
    assert firsts >= first
    await store.close()


def test_the_rarer_word_counts_more() -> None:
    held = [Candidate(f"m_{n}", 1, 0.5, ["redis", "port"]) for n in range(9)] + [Candidate("m_9", 1, 0.5, ["kafka"])]
    ranked = rank(["redis", "kafka"], held, 100, 2.0, loose=True)
    assert ranked[0][1].id == "m_9"


def test_of_equals_the_older_and_then_the_lower_id_comes_first() -> None:
    held = [
        Candidate("m_c", 1, 0.5, ["redis"]),
        Candidate("m_a", 2, 0.5, ["redis"]),
        Candidate("m_b", 1, 0.5, ["redis"]),
    ]
    for order in (held, held[::-1]):
        assert [one.id for _, one in rank(["redis"], order, 3, 1.0, loose=False)] == ["m_b", "m_c", "m_a"]


def test_what_is_more_important_comes_first_among_equals() -> None:
    held = [Candidate("m_a", 1, 0.1, ["redis"]), Candidate("m_b", 1, 0.9, ["redis"])]
    assert [one.id for _, one in rank(["redis"], held, 2, 1.0, loose=False)] == ["m_b", "m_a"]


def test_words_of_the_trade_alone_prove_nothing() -> None:
    held = [Candidate("m_a", 1, 0.5, ["test", "fil", "error"])]
    assert rank(["test", "fil", "error"], held, 1, 3.0, loose=False) == []
    assert len(rank(["test", "fil", "error"], held, 1, 3.0, loose=True)) == 1


def test_the_floor_is_measured_against_the_shorter_text() -> None:
    assert fits(1.0, 3.0, 20.0) and fits(1.0, 20.0, 3.0)
    assert not fits(1.0, 20.0, 20.0) and not fits(0.9, 1.0, 1.0)


@given(WORDS, st.lists(WORDS, max_size=6), st.booleans())
def test_the_order_does_not_depend_on_how_the_candidates_come(
    query: list[str], texts: list[list[str]], loose: bool
) -> None:
    asked = list(dict.fromkeys(query))
    held = [Candidate(f"m_{n}", 1, 0.5, words) for n, words in enumerate(texts)]
    ranked = rank(asked, held, len(held), 3.0, loose=loose)
    assert ranked == rank(asked, held[::-1], len(held), 3.0, loose=loose)
    assert {one.id for _, one in rank(asked, held, len(held), 3.0, loose=False)} <= {
        one.id for _, one in ranked
    } or not loose
    assert all(score >= 0 and set(one.terms) & set(asked) for score, one in ranked)


def test_likeness_is_the_share_of_common_terms() -> None:
    assert alike(["a", "b"], ["b", "a", "a"]) == 1.0
    assert alike(["a", "b", "c"], ["a", "b", "d"]) == 0.5
    assert alike([], []) == 0.0
