"""Tables: uniform arrays and objects of objects as rows, and back to the same tokens."""

from __future__ import annotations

import json
from unittest import mock

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fuzz.drives import spelled_plainly
from headroom.zones import tables
from tests.support.json_texts import ODD_TREES, ROWS, TREES, TRICKY, Tree, compact, plain


def back(text: str) -> str:
    """`text` through a table and back."""
    with mock.patch.object(tables, "WORTH", 100):
        tabled = tables.encode(text)
    assert tabled is not None
    core, tail = tables.decode(tabled)
    assert tail == ""
    return core


@given(ROWS)
def test_rows_read_back_to_the_same_tokens(tree: Tree) -> None:
    text = compact(tree)
    if (tabled := tables.encode(text)) is not None:
        assert tables.decode(tabled) == (text, "")


@given(TREES, st.sampled_from(["\n", "\n\n", "\n \n"]))
def test_a_document_with_tables_anywhere_reads_back_with_its_tail(tree: Tree, tail: str) -> None:
    text = compact(tree)
    if (tabled := tables.encode(text)) is not None:
        assert tables.decode(tabled + tail) == (text, tail)


@given(ODD_TREES)
def test_odd_spellings_are_refused_or_read_back_to_something_that_shows_the_difference(tree: Tree) -> None:
    text = compact(tree)
    if (tabled := tables.encode(text)) is not None:
        core, _ = tables.decode(tabled)
        assert core == text or not spelled_plainly(text)


@given(TREES)
def test_the_same_document_gives_the_same_tables(tree: Tree) -> None:
    text = compact(tree)
    assert tables.encode(text) == tables.encode("".join(list(text)))


def test_the_example_of_the_module() -> None:
    text = (
        '{"total":2,"items":[{"id":7,"by":{"name":"Ana"},"ok":true,"tags":[{"k":"a","n":1}]},'
        '{"id":8,"by":{"name":"Bo"},"ok":true,"note":null,"tags":[]},{"id":9,"by":{"name":"Cy"},"ok":true,"tags":[]}]}'
    )
    assert tables.encode(text) == (
        '{"total":2,"items":@1}\n@1[3] id,by.name,ok=true,note,tags[k,n]\n7,Ana,,[["a",1]]\n8,Bo,null,[]\n9,Cy,,[]'
    )
    assert back(text) == text


def test_an_object_of_objects_becomes_a_table_with_a_key_column() -> None:
    text = '{"lib/a.py":{"n":1,"m":true},"b,c":{"n":2,"m":true},"":{"n":3,"m":true}}'
    assert tables.encode(text) == '@1\n@1{3} n,m=true\nlib/a.py,1\n"b,c",2\n"",3'
    assert back(text) == text


@pytest.mark.parametrize("text", TRICKY)
def test_a_text_that_looks_like_something_else_stays_itself(text: str) -> None:
    rows = ",".join(f'{{"t":{plain(text)},"n":{n}}}' for n in (plain(text), 1, '"other"'))
    assert back(f"[{rows}]") == f"[{rows}]"
    varied = f'[{{"t":{plain(text)}}},{{"t":1}},{{"t":null}},{{}}]'
    assert back(varied) == varied


@pytest.mark.parametrize("name", TRICKY)
def test_a_key_that_looks_like_something_else_stays_itself(name: str) -> None:
    key = plain(name)
    rows = f'[{{{key}:1,"z":1}},{{{key}:2,"z":1}},{{{key}:3,"z":1}}]'
    assert back(rows) == rows
    keyed = f'{{{key}:{{"n":1}},"other":{{"n":2}},"third":{{"n":3}}}}'
    assert back(keyed) == keyed
    below = f'[{{"o":{{{key}:1}}}},{{"o":{{{key}:2}}}},{{"o":{{{key}:3}}}}]'
    assert back(below) == below
    within = f'[{{"l":[{{{key}:1}}]}},{{"l":[{{{key}:2}},{{{key}:3}}]}},{{"l":[]}}]'
    assert back(within) == within


@pytest.mark.parametrize(
    "number", ["1.0", "1e400", "-0", "-0.0", "1E+2", "1152921504606846976", "0.10", "123456789" * 9]
)
def test_a_number_keeps_its_digits(number: str) -> None:
    rows = f'[{{"n":{number},"m":1}},{{"n":{number},"m":{number}}},{{"n":2,"m":"{number}"}}]'
    assert back(rows) == rows


@pytest.mark.parametrize(
    "text",
    [
        '[{"a":1}]',  # fewer rows than a table needs
        '[{"a":1},{"b":2},{"c":3}]',  # hardly a cell filled
        '[{"a":1},{"a":2},3]',
        "[{},{},{}]",
        '{"a":[1,2,3]}',
        '"@1"',
        '[{"a":1},{"a":1},{"a":1}]',  # every row is the header
    ],
)
def test_what_is_no_table_is_left_alone(text: str) -> None:
    assert tables.encode(text) is None


def test_keys_in_another_order_are_a_row_of_their_own() -> None:
    text = '[{"a":1,"b":2},{"b":3,"a":4},{"a":5,"b":6}]'
    assert tables.encode(text) == '@1\n@1[3] a,b\n1,2\n={"b":3,"a":4}\n5,6'
    assert back(text) == text


def test_a_missing_key_an_empty_string_and_null_are_told_apart() -> None:
    text = '[{"a":1,"b":""},{"a":2},{"a":3,"b":null},{"a":4,"b":"x"},{"a":"","b":"null"}]'
    assert back(text) == text


@pytest.mark.parametrize(
    "damaged",
    [
        "@1",
        "[@2]\n@1[3] a\n1\n2\n3",
        "@1\n@1[3] a\n1\n2",
        "@1\n@1[3] a\n1\n2\n3,4",
        "@1\n@1[3] a,b\n1,2\n3\n4,5",
        '@1\n@1[3] a\n1\n"2\n3',
        "@1\n@1[3] a\n1\n[2\n3",
        "@1\n@1[3] a;b\n1\n2\n3",
        "@1\n@1[3] a[\n1\n2\n3",
        "@1\n@1[3] a[b,c]\n[[1]]\n[]\n[]",
        "@1\n@1[3] a[b]\n[[1}]\n[]\n[]",
        '@1\n@1[3] a="x\n1\n2\n3',
    ],
)
def test_a_damaged_table_is_refused(damaged: str) -> None:
    with pytest.raises(ValueError):
        tables.decode(damaged)


@given(ROWS, st.data())
def test_whatever_is_changed_in_a_table_nothing_but_a_refusal_is_raised(tree: Tree, data: st.DataObject) -> None:
    tabled = tables.encode(compact(tree))
    assume(tabled is not None)
    assert tabled is not None
    at, cut = data.draw(st.integers(0, len(tabled))), data.draw(st.integers(0, 3))
    put = data.draw(st.sampled_from(["", "\n", ",", '"', "@1", "[", "]", "}", "{", "~", "=", ".", "\\", "\ud800", "9"]))
    try:
        tables.decode(tabled[:at] + put + tabled[at + cut :])
    except ValueError:
        pass


def test_lists_of_objects_in_rows_are_one_table() -> None:
    files = [
        {
            "path": f"a{n}.py",
            "messages": [{"rule": "no-var", "line": line, "fix": {"range": [line, 9]}} for line in range(n)],
        }
        for n in range(5)
    ]
    text = json.dumps({"files": files}, separators=(",", ":"))
    tabled = tables.encode(text)
    assert tabled is not None
    assert "a3.py,@1[4-6]" in tabled
    assert tables.decode(tabled) == (text, "")


def test_the_same_rows_are_not_referred_to_twice() -> None:
    for root in ("[@1,@1]", "[@1[1-1],@1[1-2]]", "[@1[2-2]]", "@1[1-3]", "@1[1-0]", "@2"):
        with pytest.raises(ValueError):
            tables.decode(root + "\n@1[2] a\n1\n2")


def test_a_cell_that_looks_like_a_reference_is_text() -> None:
    back('[{"a":"@1","b":[{"c":1},{"c":2},{"c":3}]},{"a":"@1[1-2]","b":[{"c":4},{"c":5}]},{"a":"x","b":[]}]')


def test_strings_of_several_lines_stand_below_as_they_are() -> None:
    listing = "\n".join(f'src/module_{number}.py:{number}: \u2028 "quoted"\ttext' for number in range(9))
    text = json.dumps(
        {"content": [{"type": "text", "text": listing + "\n"}], "again": listing, "short": "a\nb\nc\nd"},
        separators=(",", ":"),
        ensure_ascii=False,
    )
    tabled = tables.encode(text)
    assert tabled is not None
    assert tabled.startswith(
        '{"content":[{"type":"text","text":@1}],"again":@2,"short":"a\\nb\\nc\\nd"}\n@1 text, 10 lines:\n'
    )
    assert listing in tabled
    assert tables.decode(tabled + "\n") == (text, "\n")


@pytest.mark.parametrize(
    "damaged", ["@1\n@1 text, 3 lines:\na", "[@1,@1]\n@1 text, 1 lines:\na", "@2\n@1 text, 1 lines:\na"]
)
def test_a_text_that_is_cut_or_referred_to_twice_is_refused(damaged: str) -> None:
    with pytest.raises(ValueError):
        tables.decode(damaged)
