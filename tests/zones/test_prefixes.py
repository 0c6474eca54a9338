"""What a column's values have in common: cut only where an identifier, number, address or time cannot be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.zones import prefixes

WORDS = st.sampled_from(["", "a", "7", "job-19", "https://h.test/i/", "x y", "2031-02-03T10:00:01Z", "a/b", "é", "{"])
TEXTS = st.lists(WORDS, max_size=4).map("".join)


@pytest.mark.parametrize(
    ("values", "begin", "end"),
    [
        (["https://h.test/i/7", "https://h.test/i/81"], "https://h.test/i/", ""),
        (["src/net/a.py/x.js", "src/net/b/x.js"], "src/net/", "/x.js"),
        (["2031-02-03T10:00:01Z", "2031-02-03T10:00:09Z"], "2031-02-03T", ""),
        (["GET /items/1", "GET /items/2"], "GET /items/", ""),
        (["user=ana, id", "user=annika, id"], "user=", ", id"),
    ],
)
def test_what_all_values_begin_and_end_with_is_one_template(values: list[str], begin: str, end: str) -> None:
    assert prefixes.common(values) == (begin, "", end)


@pytest.mark.parametrize(
    "values",
    [
        ["10.0.0.7", "10.0.0.8"],
        ["job_0020_m_0003", "job_0020_m_0004"],
        ["10:00:01", "10:00:02"],
        ["550e8400-e29b-41d4", "550e8400-e29b-41d5"],
        ["localhost:8080", "localhost:8081"],
        ["2015/01/01 10:00", "2015/01/02 10:01"],
        ["same", "same thing"],
        ["https://h.test/", "https://h.test/"[:3]],
        [],
        ["one"],
        ["", ""],
        ["a{/x", "a{/y"],
    ],
)
def test_identifiers_addresses_and_times_are_not_cut(values: list[str]) -> None:
    assert prefixes.common(values) is None


@given(st.lists(TEXTS, min_size=2, max_size=6), TEXTS, TEXTS)
def test_something_is_left_of_every_value_and_put_back_it_is_the_value(cores: list[str], begin: str, end: str) -> None:
    values = [begin + core + end for core in cores]
    if (template := prefixes.common(values, 1)) is not None:
        before, name, after = template
        assert name == ""
        for value in values:
            assert value.startswith(before) and value.endswith(after) and len(value) > len(before) + len(after)
        assert prefixes.read(prefixes.write(template)) == template


def test_a_value_made_of_other_columns_names_them() -> None:
    names, versions = ["left-pad", "right-pad"], ["1.3.0", "2.0.1"]
    urls = [f"https://r.test/{n}/-/{n}-{v}.tgz" for n, v in zip(names, versions, strict=True)]
    template = prefixes.derived(urls, [("name", names), ("version", versions)])
    assert template is not None
    assert prefixes.write(template) == "https://r.test/{name}/-/{name}-{version}.tgz"


@pytest.mark.parametrize(
    ("values", "source"), [(["a17", "a18"], ["7", "8"]), (["x/7", "x/9"], ["7", "8"]), (["x", "y"], ["", ""])]
)
def test_a_part_of_a_word_or_of_some_rows_only_makes_nothing(values: list[str], source: list[str]) -> None:
    assert prefixes.derived(values, [("n", source)]) is None


@given(st.lists(st.tuples(TEXTS, WORDS, WORDS), min_size=1, max_size=5), TEXTS)
def test_what_a_template_is_made_of_makes_the_value(rows: list[tuple[str, str, str]], between: str) -> None:
    columns = {"a": [row[1] for row in rows], "b": [row[2] for row in rows]}
    values = [f"{row[1]}{between}{row[2]}/{row[1]}" for row in rows]
    if (template := prefixes.derived(values, columns.items())) is not None:
        for at, value in enumerate(values):
            pieces = [columns[piece][at] if index % 2 else piece for index, piece in enumerate(template)]
            assert "".join(pieces) == value


@pytest.mark.parametrize("text", ["{", "}", "a}b", "{a{b}}"])
def test_a_brace_that_is_no_hole_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        prefixes.read(text)
