"""The invented and the recorded tool outputs are what they say they are."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.outputs import CORPUS, KINDS, invented, mixed, recorded

JSON_KINDS = ["json_uniform", "json_nested", "json_ragged", "package_lock"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_output_and_another_seed_another(kind: str) -> None:
    assert invented(kind, 7) == invented(kind, 7)
    assert invented(kind, 7).text != invented(kind, 8).text


@pytest.mark.parametrize("size", [300, 5_000, 60_000])
@pytest.mark.parametrize("kind", KINDS)
def test_the_size_asked_for_is_reached_and_not_passed_by_much(kind: str, size: int) -> None:
    assert 0.85 * size <= len(invented(kind, 1, size).text) <= 1.2 * size + 4_000


@pytest.mark.parametrize("kind", KINDS)
def test_an_output_names_its_kind_and_the_call_that_gave_it(kind: str) -> None:
    made = invented(kind)
    assert made.kind == kind
    assert made.command
    assert made.text.encode()


@pytest.mark.parametrize("kind", JSON_KINDS)
def test_json_outputs_are_pretty_printed_json(kind: str) -> None:
    text = invented(kind, 3, 20_000).text
    assert json.loads(text)
    assert text.count("\n") > 100


def test_ragged_json_holds_what_a_rewriter_could_lose() -> None:
    text = invented("json_ragged", 1, 30_000).text
    for spelling in ["1e400", "-0", "1.0", str(2**60), "12345678901234567890123", "0.1000", "1E+2"]:
        assert re.search(rf": {re.escape(spelling)},?\n", text), spelling
    for sign in [
        "\\u00e9",
        "\\/",
        "\\\\",
        '\\"',
        "\\t",
        "\\n",
        "\\u2028",
        "🙂",
        "null",
        '"null"',
        '""',
    ]:
        assert sign in text, sign
    keys = {tuple(item) for item in json.loads(text)["items"]}
    assert len(keys) > 3


def test_json_lines_are_one_object_a_line() -> None:
    lines = invented("json_lines").text.splitlines()
    assert all({"ts", "level"} <= json.loads(line).keys() for line in lines)


def test_search_hits_are_path_line_text() -> None:
    lines = invented("search").text.splitlines()
    assert all(re.match(r"[\w/.]+\.py:\d+:", line) for line in lines)


def test_search_context_has_hits_context_lines_and_separators() -> None:
    lines = invented("search_context").text.splitlines()
    assert {"--"} < set(lines)
    assert any(re.match(r"[\w/.]+\.py-\d+-", line) for line in lines)
    assert any(re.match(r"[\w/.]+\.py:\d+:", line) for line in lines)


def test_read_results_number_their_lines_and_some_end_with_a_reminder() -> None:
    texts = [invented("read", seed).text for seed in range(12)]
    assert all(re.match(r" *1[\t→]", text) for text in texts)
    assert 0 < sum(text.endswith("</system-reminder>\n") for text in texts) < 12
    assert {text.lstrip(" ")[1] for text in texts} == {"\t", "→"}


def test_diff_hunks_have_the_lengths_that_their_headers_state() -> None:
    lines = invented("diff", 2, 10_000).text.splitlines()
    heads = [at for at, line in enumerate(lines) if line.startswith("@@")]
    for head in heads[:-1]:  # the last may be cut by the size
        old, new = map(int, re.findall(r",(\d+)", lines[head])[:2])
        body = lines[head + 1 : head + 1 + old + new]
        end = next((at for at, line in enumerate(body) if line.startswith(("@@", "diff"))), len(body))
        assert sum(line[0] in " -" for line in body[:end]) == old
        assert sum(line[0] in " +" for line in body[:end]) == new


def test_the_build_log_holds_colours_and_overwritten_progress() -> None:
    text = invented("build_log").text
    assert "\x1b[32m" in text
    assert "\rlinking" in text


def test_failures_are_errors() -> None:
    assert invented("failure").is_error
    assert "Traceback (most recent call last):" in invented("failure").text
    assert invented("test_run").is_error


def test_a_mix_has_every_kind_before_any_kind_again() -> None:
    made = mixed(5, 2 * len(KINDS))
    assert {each.kind for each in made[: len(KINDS)]} == set(KINDS)
    assert made == mixed(5, 2 * len(KINDS))


def test_recorded_outputs_are_the_files_of_the_corpus_byte_for_byte() -> None:
    made = recorded()
    files = sorted(path.read_bytes() for path in CORPUS.glob("*.txt"))
    assert sorted(each.text.encode() for each in made) == files
    assert len(made) > 15
    assert any("\r\n" in each.text for each in made)
    assert (CORPUS / "LICENSE").read_text().startswith("MIT License")
