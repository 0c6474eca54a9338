"""What was published is read once, at the start; whatever is wrong with it, the proxy starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headroom.config import Config, ConfigError
from headroom.edge import check_files
from headroom.events import RecommendationsLoaded, RecommendationsLoadFailed, RecommendationsMissing
from headroom.recommendations import Recommendation, Recommendations, load

ROW = """
[[recommendation]]
auth_mode = "payg"
model_family = "gpt-5"
structure_hash = "0123456789abcdef01234567"
strategy_hint = "{hint}"
confidence = 0.8300
observations = 83
"""
KEY = ("payg", "gpt-5", "0123456789abcdef01234567")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "recommendations.toml"


def of(file: Path) -> Config:
    return Config.of(store="memory", recommendations_path=file)


def test_rows_are_found_by_their_key(file: Path) -> None:
    file.write_text(ROW.format(hint="json"))
    found, told = load(of(file))
    assert told == RecommendationsLoaded(rows=1)
    assert found.get(*KEY) == Recommendation(*KEY, "json", 0.83, 83)
    assert found.get("oauth", *KEY[1:]) is None


def test_of_two_rows_with_one_key_the_last_counts(file: Path) -> None:
    file.write_text(ROW.format(hint="json") + ROW.format(hint="log"))
    found, told = load(of(file))
    row = found.get(*KEY)
    assert row is not None and row.strategy_hint == "log"
    assert told == RecommendationsLoaded(rows=1)


def test_tools_to_leave_alone_are_told_and_the_last_word_counts(file: Path) -> None:
    tools = [("Bash", "true"), ("Fetch", "true"), ("Other", "false"), ("fetch", "false")]
    file.write_text("".join(f'[[tool]]\nname = "{name}"\nleave_alone = {alone}\n' for name, alone in tools))
    found, told = load(of(file))
    assert found.left_alone == {"bash"}
    assert told == RecommendationsLoaded(rows=0, left_alone=1)


def test_an_empty_file_is_a_good_one(file: Path) -> None:
    file.write_text("# nothing yet\n")
    assert load(of(file)) == (Recommendations(), RecommendationsLoaded(rows=0))


def test_without_a_setting_a_file_in_the_working_directory_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(Config.of(store="memory")) == (Recommendations(), RecommendationsMissing())
    Path("recommendations.toml").write_text(ROW.format(hint="json"))
    assert load(Config.of(store="memory"))[1] == RecommendationsLoaded(rows=1)


def test_a_file_that_is_named_and_not_there_is_a_wrong_configuration(file: Path) -> None:
    for check in (load, check_files):
        with pytest.raises(ConfigError, match="recommendations_path: there is no"):
            check(of(file))


@pytest.mark.parametrize(
    "text",
    [
        "[[recommendation]",
        "[[recommendation]]\nauth_mode = 5\n",
        ROW.replace("observations = 83", 'observations = "many"'),
        "recommendation = 7",
        "[[tool]]\nleave_alone = true\n",
        "\x00",
        "a = " + "[" * 5000,
    ],
)
def test_a_file_that_is_none_is_told_and_counts_as_empty(file: Path, text: str) -> None:
    file.write_text(text)
    found, told = load(of(file))
    assert found == Recommendations()
    assert isinstance(told, RecommendationsLoadFailed)
    assert told.level == "warning"
    check_files(of(file))


def test_a_file_that_cannot_be_read_or_is_too_long_counts_as_empty(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.mkdir()
    told = load(of(file))[1]
    assert isinstance(told, RecommendationsLoadFailed) and told.reason == f"{file}: Is a directory"
    file.rmdir()
    file.write_text("# long\n" * 10)
    monkeypatch.setattr("headroom.recommendations.SIZE_LIMIT", 10)
    assert isinstance(load(of(file))[1], RecommendationsLoadFailed)


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_whatever_is_in_the_file_the_start_goes_on(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    load(of(file))
