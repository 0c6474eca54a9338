"""Models are told apart by family, however a provider or a gateway spells their names."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.families import model_family, named_model
from headroom.providers import MODEL_FAMILIES, OTHER_MODELS

FAMILIES = {
    "claude-sonnet-4-5-20250929": "claude-sonnet",
    "claude-sonnet-4@20250514": "claude-sonnet",
    "us.anthropic.claude-3-5-sonnet-20241022-v2%3A0": "claude-sonnet",
    "anthropic/claude-opus-4.1": "claude-opus",
    "claude-3-haiku-20240307": "claude-haiku",
    "claude-2.1": "claude",
    "gpt-5": "gpt-5",
    "GPT-5.5": "gpt-5",
    "openai/gpt-5-codex": "gpt-5",
    "gpt-4.1-mini-2025-04-14": "gpt-4.1",
    "gpt-4o-2024-08-06": "gpt-4o",
    "chatgpt-4o-latest": "gpt-4o",
    "o3": "o-series",
    "o4-mini-2025-04-16": "o-series",
    "models/gemini-2.5-pro": "gemini-pro",
    "gemini-2.5-flash-lite": "gemini-flash",
    "gemini-exp": "gemini",
    "solo3": "other",
    "llama-4": "other",
    "": "other",
}


@pytest.mark.parametrize("model", FAMILIES)
def test_prefixes_versions_and_dates_make_no_difference(model: str) -> None:
    assert model_family(model) == FAMILIES[model]


@given(st.text(alphabet=st.characters(), max_size=400))
def test_any_name_has_one_of_few_families(model: str) -> None:
    assert model_family(model) in {*(family for _, family in MODEL_FAMILIES), OTHER_MODELS}


def test_a_model_is_named_in_the_body_on_either_side_of_the_items_or_else_in_the_path() -> None:
    for body in ({"model": "m", "input": [{"model": "x"}]}, {"input": [{"model": "x"}], "model": "m"}):
        data = json.dumps(body).encode()
        assert named_model(data, (data.index(b'{"model": "x"'), data.index(b"}]") + 1), {"model": "p"}) == "m"
    assert named_model(b'{"contents": [{}]}', (14, 16), {"model": "p"}) == "p"
    assert named_model(b'{"model": 5, "contents": [{}]}', (26, 28), {}) == ""
    assert named_model(b"\xff", (0, 0), {}) == ""
