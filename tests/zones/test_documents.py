"""JSON documents: every form reads back, to the character or, where the layout has no name, to the token."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from headroom.zones import documents, layout
from tests.support.json_texts import LAYOUTS, ODD_TREES, TREES, Tree, compact, scattered, write

TAILS = st.sampled_from(["", "\n", "\n\n", "\n \t\r\n"])


@pytest.mark.parametrize("name", LAYOUTS)
@given(tree=TREES, tail=TAILS)
def test_every_form_reads_back_exactly(name: str, tree: Tree, tail: str) -> None:
    text = write(tree, *LAYOUTS[name]) + tail
    for form in documents.encode(text):
        assert documents.decode(form) == text
        assert documents.same(text, documents.decode(form))


@given(tree=TREES, tail=TAILS)
def test_a_compact_document_reads_back_exactly(tree: Tree, tail: str) -> None:
    text = compact(tree) + tail
    for form in documents.encode(text):
        assert documents.decode(form) == text


@pytest.mark.parametrize("tail", [" ", "\t", "\r\n", " \n"])
def test_blanks_after_the_document_are_no_part_of_its_last_row(tail: str) -> None:
    for last in ("3", '"c"'):
        text = f'[{{"id":1}},{{"id":2}},{{"id":{last}}}]' + tail
        for form in documents.encode(text):
            assert documents.decode(form) == text


@given(scattered())
def test_a_document_with_blanks_anywhere_reads_back_to_its_tokens(case: tuple[Tree, str]) -> None:
    tree, text = case
    for form in documents.encode(text):
        decoded = documents.decode(form)
        assert documents.same(text, decoded)
        assert decoded == text or layout.minify(decoded) == compact(tree)


@given(ODD_TREES, st.sampled_from(sorted(LAYOUTS)))
def test_the_plain_form_keeps_duplicate_keys_and_odd_spellings(tree: Tree, name: str) -> None:
    text = write(tree, *LAYOUTS[name])
    for form in documents.encode(text):
        if documents.same(text, decoded := documents.decode(form)):
            assert decoded == text
    plainest = documents.encode(text)[:1]
    if plainest and text != compact(tree):
        assert documents.decode(plainest[0]) == text


@given(scattered(ODD_TREES))
def test_a_form_that_does_not_read_back_is_never_taken_for_the_same(case: tuple[Tree, str]) -> None:
    tree, text = case
    for form in documents.encode(text):
        decoded = documents.decode(form)
        if documents.same(text, decoded):
            assert layout.minify(decoded) == compact(tree)


@given(TREES)
def test_the_same_document_gives_the_same_forms(tree: Tree) -> None:
    text = write(tree, "  ", ",", ": ")
    assert documents.encode(text) == documents.encode("".join(list(text)))


@pytest.mark.parametrize("text", ["", "x", "{", "[1,]", '{"a":1} trailing', "[1]\x00", '["\ud800"]'])
def test_what_is_not_json_has_no_form(text: str) -> None:
    assert documents.encode(text) == []


def test_a_compact_document_without_rows_has_no_form() -> None:
    assert documents.encode('{"a":[1,2,3],"b":{"c":1}}') == []


def test_the_first_line_says_what_was_done() -> None:
    plain, tabled = documents.encode('[\n  {\n    "a": 1\n  },\n  {\n    "a": 2\n  },\n  {\n    "a": 3\n  }\n]\n')
    assert plain == '[json; layout was 2 blanks a level]\n[{"a":1},{"a":2},{"a":3}]\n'
    title, reference, header, *rows = tabled.split("\n")
    assert title.startswith("[json; layout was 2 blanks a level; @n is table n below")
    assert (reference, header, rows) == ("@1", "@1[3] a", ["1", "2", "3", ""])


@pytest.mark.parametrize(
    "pressed",
    [
        "",
        "[1]",
        "[json; layout was ]\n[1]",
        "[json; layout was upside down]\n[1]",
        "[json; layout was 2 blanks a level]\n[1",
        "[json; layout was compact; @n is something else]\n[1]",
        " [json; layout was compact]\n[1]",
    ],
)
def test_another_text_is_refused(pressed: str) -> None:
    with pytest.raises(ValueError):
        documents.decode(pressed)


@given(st.lists(TREES, min_size=1, max_size=4), st.sampled_from(sorted(LAYOUTS)), TAILS)
def test_documents_one_after_another_read_back_exactly(trees: list[Tree], name: str, tail: str) -> None:
    for text in (
        "\n".join(write(tree, *LAYOUTS[name]) for tree in trees) + tail,
        "\n".join(map(compact, trees)) + tail,
    ):
        for form in documents.encode(text):
            assert documents.decode(form) == text or documents.same(text, documents.decode(form))


def test_documents_one_after_another_are_rows_of_one_table() -> None:
    text = "".join(f'{{\n  "id": {number},\n  "name": "n{number}"\n}}\n' for number in range(4))
    plain, tabled = documents.encode(text)
    assert plain.startswith("[json; layout was 2 blanks a level, a line for each value of the list]\n[{")
    assert tabled.endswith("\n@1\n@1[4] id,name\n0,n0\n1,n1\n2,n2\n3,n3\n")
    assert documents.decode(plain) == documents.decode(tabled) == text


@given(TREES, st.data())
def test_a_damaged_form_is_refused_or_read_and_nothing_else_happens(tree: Tree, data: st.DataObject) -> None:
    forms = documents.encode(write(tree, " ", ",", ": "))
    assume(forms)
    form = forms[-1]
    at = data.draw(st.integers(0, len(form)))
    damaged = (
        form[:at]
        + data.draw(st.sampled_from(["", "\n", ",", '"', "@1", "[", "]", "}", "~", "=", "x"]))
        + form[at + 1 :]
    )
    try:
        documents.decode(damaged)
    except ValueError:
        pass


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        ('{"a": 1}', '{"a":1}'),
        ("[1, 2]", "[1, 3]"),
        ("[1.0]", "[1]"),
        ('{"a":1,"a":2}', '{"a":2}'),
        ("[1 ]", "[2]"),
        ("nonsense", "other nonsense"),
    ],
)
def test_other_tokens_or_a_layout_that_has_a_name_are_not_the_same(text: str, decoded: str) -> None:
    assert not documents.same(text, decoded)


def test_an_irregular_layout_may_be_lost_and_no_token() -> None:
    assert documents.same("[1 ,2]", "[1,2]")
    assert not documents.same("[1 ,2]", "[1,2.0]")
