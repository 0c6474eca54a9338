"""Layouts: the blanks of a JSON text taken out, named, and put back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.zones import layout
from tests.support.json_texts import LAYOUTS, ODD_TREES, TREES, Tree, compact, scattered, write


@pytest.mark.parametrize("name", LAYOUTS)
@given(tree=TREES | ODD_TREES)
def test_a_known_layout_is_named_and_put_back(name: str, tree: Tree) -> None:
    text = write(tree, *LAYOUTS[name])
    minified = layout.minify(text)
    assert minified == compact(tree)
    assert layout.apply(minified, name) == text
    found = layout.find(text, minified)
    assert found != layout.IRREGULAR
    assert layout.apply(minified, found) == text


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_name_of_a_layout_says_what_it_is(name: str) -> None:
    tree: Tree = (("1", '"a b"', ("true",)), "null")
    text = write(tree, *LAYOUTS[name])
    assert layout.find(text, compact(tree)) == name


@given(scattered(TREES | ODD_TREES))
def test_any_blanks_are_taken_out_and_no_other_byte(case: tuple[Tree, str]) -> None:
    tree, text = case
    minified = layout.minify(text)
    assert minified == compact(tree)
    assert layout.minify(minified) == minified
    name = layout.find(text, minified)
    assert layout.apply(minified, name) == (minified if name == layout.IRREGULAR else text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{",
        "[1,]",
        "[1 2]",
        "NaN",
        "01",
        "1.",
        "'a'",
        '{"a":1}x',
        '{"a":1}{"b":2}',
        '{1:"a"}',
        "[\x0b1]",
        '"a\nb"',
        '"\ud800"',
        "[" * 100_000,
        "\ufeff[]",
    ],
)
def test_what_is_not_json_is_not_minified(text: str) -> None:
    assert layout.minify(text) is None


@pytest.mark.parametrize("token", ["1.0", "1e400", "-0", "1152921504606846976", '"\\u0041"', '"\\/"', '{"a":1,"a":2}'])
def test_spellings_are_kept(token: str) -> None:
    assert layout.minify(f" [ {token} ] ") == f"[{token}]"


@pytest.mark.parametrize(
    "text",
    [
        '{\r\n  "a": 1\r\n}',
        '{\n  "a" : 1\n}',
        '{\n  "a": [1, 2]\n}',
        '{\n \t"a": 1\n}',
        '{\n\n"a": 1}',
        "[ ]",
        '{"a":1, "b":2}',
        write(("1", ("2",)), " " * 17, ",", ": "),
    ],
)
def test_a_layout_without_a_name_is_irregular(text: str) -> None:
    minified = layout.minify(text)
    assert minified is not None
    assert layout.find(text, minified) == layout.IRREGULAR
    assert layout.apply(minified, layout.IRREGULAR) == minified


@pytest.mark.parametrize(
    "name", ["", "tabs", "x blanks a level", "2 blanks", "-1 blanks a level", "2 blanks a level\n"]
)
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError):
        layout.apply("[1]", name)


@pytest.mark.parametrize("name", LAYOUTS)
@given(text=st.text(max_size=20))
def test_text_that_is_not_json_is_refused_and_nothing_else_happens(name: str, text: str) -> None:
    if layout.minify(text) is None:
        with pytest.raises(ValueError):
            layout.apply(text, name)
