"""JSON between other lines reads back with them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.zones import wrapped
from tests.support.json_texts import LAYOUTS, TREES, Tree, compact, write

AROUND = st.lists(
    st.sampled_from(["", "npm warn old", "{", "[x]", "@1", "@1[1] a", "[json; layout was compact]", "3\r"])
)


@given(TREES, AROUND, AROUND, st.sampled_from(sorted(LAYOUTS)))
def test_a_document_between_lines_reads_back_exactly(tree: Tree, above: list[str], below: list[str], name: str) -> None:
    for core in (write(tree, *LAYOUTS[name]), compact(tree)):
        text = "\n".join([*above, core, *below])
        for form in wrapped.encode(text):
            assert form.startswith(wrapped.TITLE)
            assert wrapped.decode(form) == text


@given(st.text(alphabet='{}[]",:1a \n', max_size=80))
def test_any_text_reads_back_exactly(text: str) -> None:
    for form in wrapped.encode(text):
        assert wrapped.decode(form) == text


def test_the_example_of_the_module() -> None:
    text = 'npm warn old lockfile\n{\n  "total": 2,\n  "left": 1\n}\ntook 12 ms\n'
    (form,) = wrapped.encode(text)
    assert form == (
        "[json after 1 line, 2 lines behind it]\nnpm warn old lockfile\n"
        '[json; layout was 2 blanks a level]\n{"total":2,"left":1}\ntook 12 ms\n'
    )
    assert wrapped.decode(form) == text


@pytest.mark.parametrize(
    "text", ["", "{}", "\n{\n}\n \n", "[1]", "no json", "{\nx", 'long words before it all\n{"a":\n1}', '{"a":\n1} x']
)
def test_what_has_nothing_around_it_or_is_no_document_is_left_alone(text: str) -> None:
    assert wrapped.encode(text) == []


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "x",
        "[json after 1 line, 1 line behind it]\nx",
        "[json after 0 lines, 1 line behind it]\n{}\nx",
        "[json after 1]",
    ],
)
def test_a_damaged_form_is_refused(damaged: str) -> None:
    with pytest.raises(ValueError):
        wrapped.decode(damaged)
