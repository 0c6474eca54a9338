"""Counting tokens: pinned counts, limits, and cuts at which counts add up."""

from __future__ import annotations

import lzma
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.zones import yardstick
from headroom.zones.yardstick import Characters, O200k, RanksDamaged, Yardstick, o200k, o200k_ready
from tests.support.outputs import KINDS, invented, recorded

TEXTS = [invented(kind, 5, 12_000).text for kind in KINDS] + [output.text for output in recorded()]
WORDS = st.sampled_from(
    [
        *(
            "hello",
            " ",
            "  ",
            "\n",
            "\r\n",
            "\t",
            "'s",
            "'LL",
            "don't",
            ".",
            "...",
            "/",
            "//",
            "_",
            "-",
            "=",
            "a1",
            "123",
        ),
        *(
            "4567",
            "é",
            "ß",
            "漢字",
            "😀",
            "\u0301",
            "\x85",
            "\u2028",
            "A",
            "CamelCase",
            "{",
            '"',
            "`",
            "~",
            "\x7f",
            "\x00",
        ),
        "<|endoftext|>",
    ]
)
MIXED = st.lists(WORDS | st.text(max_size=4), max_size=40).map("".join)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("hello world", 2), ("tiktoken is great!", 6), ("hello", 1), ("<|endoftext|>", 7), (" " * 64, 1)],
)
def test_known_counts(text: str, tokens: int) -> None:
    assert o200k().count(text) == tokens


@pytest.mark.parametrize("at", range(len(TEXTS)))
def test_a_limit_is_judged_as_the_count_is(at: int) -> None:
    text, measure = TEXTS[at], o200k()
    tokens = measure.count(text)
    assert measure.within(text, tokens - 1) is None
    assert measure.within(text, tokens) == tokens
    assert measure.within(text, tokens + 1) == tokens


@settings(max_examples=200, deadline=None)
@given(MIXED, st.sampled_from([1, 3, 16, 4096]))
def test_a_limit_is_judged_as_the_count_is_wherever_the_text_is_cut(text: str, piece: int) -> None:
    measure = o200k()
    tokens = measure.count(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yardstick, "_PIECE", piece)
        assert measure.within(text, tokens - 1) is None
        assert measure.within(text, tokens) == tokens
        assert measure.within(text, tokens + 1) == tokens


@settings(max_examples=200, deadline=None)
@given(MIXED)
def test_counts_add_up_at_every_safe_cut(text: str) -> None:
    measure = o200k()
    whole = measure.count(text)
    for match in yardstick._SAFE_CUT.finditer(text):
        assert measure.count(text[: match.end()]) + measure.count(text[match.end() :]) == whole


@pytest.mark.parametrize("at", range(len(TEXTS)))
def test_counts_add_up_at_safe_cuts_of_real_texts(at: int) -> None:
    text, measure = TEXTS[at], o200k()
    cuts = [0, *(match.end() for match in yardstick._SAFE_CUT.finditer(text)), len(text)]
    for every in (1, 7, 100):
        some = sorted({*cuts[::every], len(text)})
        pieces = (text[a:b] for a, b in pairwise(some))
        assert sum(map(measure.count, pieces)) == measure.count(text)


def test_a_limit_far_below_the_count_is_judged_without_reading_on(monkeypatch: pytest.MonkeyPatch) -> None:
    measure, read = O200k(), 0
    encode = measure._encoding.encode_ordinary

    class Counting:
        def encode_ordinary(self, text: str) -> list[int]:
            nonlocal read
            read += len(text)
            return encode(text)

    monkeypatch.setattr(measure, "_encoding", Counting())
    assert measure.within("some words " * 100_000, 2_000) is None
    assert read < 50_000


def test_the_counter_is_made_once() -> None:
    assert o200k() is o200k()
    assert o200k_ready()
    assert o200k().name == "o200k"


@pytest.mark.parametrize(
    ("text", "per_token", "tokens"),
    [
        ("", 4.0, 0),
        ("a", 4.0, 1),
        ("ab", 4.0, 1),
        ("abcdef", 4.0, 2),
        ("abcde", 4.0, 1),
        ("a" * 35, 3.5, 10),
        ("é", 4.0, 1),
    ],
)
def test_characters_are_counted_rounded_half_up(text: str, per_token: float, tokens: int) -> None:
    measure: Yardstick = Characters(per_token)
    assert measure.count(text) == tokens
    assert measure.within(text, tokens - 1) is None
    assert measure.within(text, tokens) == tokens
    assert measure.name == "characters"


@pytest.mark.parametrize("content", [b"", b"not packed", lzma.compress(b"aGk= 0\n")])
def test_damaged_ranks_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ranks").mkdir()
    (tmp_path / "ranks" / "o200k_base.tiktoken.xz").write_bytes(content)
    monkeypatch.setattr(yardstick, "files", lambda _: tmp_path)
    with pytest.raises(RanksDamaged):
        O200k()


def test_missing_ranks_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(yardstick, "files", lambda _: tmp_path)
    with pytest.raises(RanksDamaged):
        O200k()
