"""JSON that was cut, or is in several parts with other lines between them, reads back to the character."""

from __future__ import annotations

from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.zones import fragments
from tests.support.json_texts import LAYOUTS, TREES, Tree, write

MARKS = st.sampled_from(
    ["", "…12345 chars truncated…", "\n... [3 lines truncated] ...\n", "\n<...truncated...>\n", "]", '"']
)
AROUND = st.sampled_from(
    ["", "HTTP/1.1 200 OK\nserver: x\n\n", "```json\n", "a: ", "\n```\nDone.\n", "\n", "[json parts: 1 line]\n"]
)
ITEMS = [f'{{\n  "id": {n},\n  "name": "item number {n}"\n}}' for n in range(40)]
PRETTY = '{\n  "total": 40,\n  "items": [\n' + ",\n".join(
    f'    {{\n      "id": {n},\n      "name": "item number {n}"\n    }}' for n in range(40)
) + '\n  ],\n  "next": null\n}'  # fmt: skip


@given(TREES, AROUND, AROUND, MARKS, st.sampled_from(sorted(LAYOUTS)), st.integers(0, 400), st.integers(0, 400))
def test_cut_anywhere_it_reads_back_exactly(
    tree: Tree, above: str, below: str, mark: str, name: str, first: int, second: int
) -> None:
    core = write(tree, *LAYOUTS[name])
    begin, end = sorted((first % (len(core) + 1), second % (len(core) + 1)))
    with mock.patch.object(fragments, "LEAST", 2), mock.patch.object(fragments, "MIN_SHARE", 0.05):
        for text in (above + core[:end] + mark + below, above + core[begin:], core[:begin] + mark + core[end:] + below):
            for form in fragments.encode(text):
                assert form.startswith(fragments.TITLE)
                assert fragments.decode(form) == text


@given(st.text(alphabet='{}[]",:1a \n…', max_size=80))
def test_any_text_reads_back_exactly(text: str) -> None:
    with mock.patch.object(fragments, "LEAST", 2):
        for form in fragments.encode(text):
            assert fragments.decode(form) == text


@pytest.mark.parametrize("cut", range(len(PRETTY) // 3, len(PRETTY), 97))
def test_a_cut_end_costs_no_more_than_the_value_that_was_cut(cut: int) -> None:
    text = PRETTY[:cut] + "\n… 900 characters truncated …"
    (form,) = fragments.encode(text)
    assert fragments.decode(form) == text
    assert len(form) < 0.6 * len(text)
    assert "bracket" in form.partition("\n")[0]


@pytest.mark.parametrize("cut", range(0, len(PRETTY) * 2 // 3, 97))
def test_a_cut_beginning_is_opened_again(cut: int) -> None:
    text = PRETTY[cut + 1 :]
    (form,) = fragments.encode(text)
    assert fragments.decode(form) == text
    assert len(form) < 0.6 * len(text)


def test_both_sides_of_a_cut_are_pressed() -> None:
    text = PRETTY[:1000] + "…12345 chars truncated…" + PRETTY[1500:]
    (form,) = fragments.encode(text)
    assert fragments.decode(form) == text
    title = form.partition("\n")[0]
    assert title.count("json on") == 2
    assert "added behind" in title and "added before" in title
    assert form.count("@1[") == 2


def test_documents_between_lines_are_each_pressed() -> None:
    text = f"status: ok\nfirst: {PRETTY}\nsecond:\n{PRETTY}\n"
    (form,) = fragments.encode(text)
    assert fragments.decode(form) == text
    assert form.startswith("[json parts: 2 lines; json on ")
    assert form.count("@1[40] id,name") == 2


@pytest.mark.parametrize(
    "text", ["", PRETTY, PRETTY + "\n", "x" * 5000, "[{" * 3000, '{"' * 3000, "[" * 9000, '{"a":1} x']
)
def test_a_whole_document_and_what_is_none_are_left_alone(text: str) -> None:
    assert fragments.encode(text) == []


@pytest.mark.parametrize(
    "pressed",
    [
        "",
        "x",
        "[json parts: ]",
        "[json parts: 2 lines]\nx",
        "[json parts: 1 line]\nx\ny",
        "[json parts: json on 1 line]\nx",
        "[json parts: json on 2 lines (cut: 3 brackets added behind)]\n[json; layout was compact]\n[[]]",
        "[json parts: json on 2 lines (cut: 2 brackets added before)]\n[json; layout was compact]\n{}",
    ],
)
def test_a_damaged_form_is_refused(pressed: str) -> None:
    with pytest.raises(ValueError):
        fragments.decode(pressed)
