"""The words of a text that say something."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.terms import COMMON_TERMS, EVERYDAY_TERMS, QUERY_CHARACTERS, QUERY_TERMS, query_of, query_terms, terms

TEXTS = st.text(st.characters(exclude_categories=()), max_size=300)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("tests", "testing"),
        ("Migration", "migrate"),
        ("releases", "released"),
        ("branches", "branch"),
        ("queries", "query"),
        ("deployment", "DEPLOYED"),
        ("running", "run"),
        ("Café", "cafe"),
        ("straße", "STRASSE"),
        ("Ｐｏｓｔｇｒｅｓ", "postgres"),
        ("Ελλάδα", "ελλαδα"),
    ],
)
def test_forms_of_a_word_are_one_term(one: str, other: str) -> None:
    assert terms(one) == terms(other) != []


@pytest.mark.parametrize(("one", "other"), [("press", "pres"), ("status", "statu"), ("port", "part"), ("5432", "5433")])
def test_other_words_are_other_terms(one: str, other: str) -> None:
    assert terms(one) != terms(other)


def test_words_of_any_text_and_single_letters_are_none() -> None:
    assert terms("Would you please show me what the x of it is, and why?") == []


def test_names_in_code_are_taken_apart_at_signs() -> None:
    assert terms("db-stage.internal:5433 test_checkout_retry") == [
        *("db", "stag", "internal", "5433"),
        *("test", "checkout", "retry"),
    ]


def test_writing_without_blanks_gives_pairs_of_characters() -> None:
    assert terms("請求書") == ["請求", "求書"]
    assert terms("日") == ["日"]
    assert terms("API請求v2") == ["api", "請求", "v2"]
    assert set(terms("金曜日")) <= set(terms("デプロイは金曜日にしない"))
    assert terms("데이터베이스") == ["데이", "이터", "터베", "베이", "이스"]


def test_very_long_words_are_left_out() -> None:
    assert terms("a" * 41 + " key " + "b" * 40) == ["key", "b" * 40]


def test_a_long_prompt_is_looked_at_where_it_begins_and_ends() -> None:
    text = "alpha " + "word " * 5000 + "omega"
    assert len(query_of(text)) <= QUERY_CHARACTERS + 1
    assert query_terms(text) == ["alpha", "word", "omega"]
    many = [f"w{n}" for n in range(500)]
    found = query_terms(" ".join(many))
    assert len(found) == QUERY_TERMS and found[0] == "w0" and found[-1] == "w499"


@given(TEXTS)
def test_any_text_has_terms_of_letters_and_digits_alone(text: str) -> None:
    found = terms(text)
    assert all(term and all(c.isalnum() for c in term) for term in found)
    assert terms(text) == found
    assert len(set(query_terms(text))) == len(query_terms(text)) <= QUERY_TERMS


@given(TEXTS)
def test_a_text_has_the_same_terms_however_it_is_composed(text: str) -> None:
    assert terms(unicodedata.normalize("NFD", text)) == terms(unicodedata.normalize("NFC", text))


def test_the_tables_of_words_do_not_overlap() -> None:
    assert COMMON_TERMS and EVERYDAY_TERMS and not COMMON_TERMS & EVERYDAY_TERMS
