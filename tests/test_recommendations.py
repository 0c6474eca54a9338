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
from headroom.zones.hints import Hint
from headroom.zones.press import Floors, press, unpress
from headroom.zones.structure import structure
from headroom.zones.yardstick import Characters
from tests.support.outputs import invented

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


def hinted(file: Path, hint: str, numbers: str) -> Recommendations:
    file.write_text(ROW.format(hint=hint) + numbers)
    return load(of(file))[0]


def test_a_row_whose_form_was_nearly_always_the_best_says_what_to_try_first(file: Path) -> None:
    text = invented("failure", 1, 3_000).text
    kind = press(text, Floors(), Characters()).kind
    named = structure(text, kind)
    row = ROW.format(hint="search+log").replace(KEY[2], named) + "share = 0.9000\nsaved = 0.4123\n"
    file.write_text(row)
    found, told = load(of(file))
    assert told == RecommendationsLoaded(rows=1)
    assert found.hints == {("payg", "gpt-5", named): Hint("search+log", 0.4123)}
    assert found.hints_of("payg", "gpt-5")(text, kind) == Hint("search+log", 0.4123)
    assert found.hints_of("payg", "gpt-5")("something else", kind) is None
    assert found.hints_of("oauth", "gpt-5")(text, kind) is None
    assert found.hints_of("payg", "gemini-pro")(text, kind) is None


@pytest.mark.parametrize(
    ("hint", "numbers"),
    [
        ("log", ""),
        ("log", "saved = 0.5\n"),
        ("log", "share = 0.8999\nsaved = 0.5\n"),
        ("log", "share = nan\n"),
        ("default", "share = 1.0\nsaved = 0.5\n"),
        ("json", "share = 1.0\nsaved = 0.5\n"),
        ("log cut+log", "share = 1.0\nsaved = 0.5\n"),
        ("of another release", "share = 1.0\nsaved = 0.5\n"),
    ],
)
def test_a_row_of_which_that_is_not_known_says_nothing(file: Path, hint: str, numbers: str) -> None:
    found = hinted(file, hint, numbers)
    assert len(found.rows) == 1
    assert found.hints == {}


@pytest.mark.parametrize("saved", ["nan", "inf", "-inf", "-1.0", "0.0", "7.5"])
def test_numbers_that_nobody_publishes_harm_nobody(file: Path, saved: str) -> None:
    ((_, hint),) = hinted(file, "columns", f"share = 1.0\nsaved = {saved}\n").hints.items()
    text = invented("long_listing", 1, 5_000).text
    verdict = press(text, Floors(), Characters(), hints=lambda _text, _kind: hint)
    assert unpress(verdict.text) == text


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
