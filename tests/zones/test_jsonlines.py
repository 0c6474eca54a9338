"""JSON lines as a table: every text reads back to its very characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.zones import jsonlines
from tests.support.json_texts import ODD_TREES, ROWS, TRICKY, Members, Tree, plain, write

STYLES = {"compact": (",", ":"), "spaced": (", ", ": ")}
STRAY = st.sampled_from(
    [
        "",
        " ",
        "=",
        "=x",
        "A 1,2",
        "{",
        "{}",
        '{"a":',
        "[1]",
        "null",
        "panic: x",
        "\r",
        '{"a":1}\r',
        "[json lines: keys]",
    ]
)


def lines_of(tree: Tree, comma: str, colon: str) -> list[str]:
    """The rows of an array, or the values of an object, one a line."""
    values = [value for _, value in tree.pairs] if isinstance(tree, Members) else tree
    return [write(value, None, comma, colon) for value in values]


def back(text: str) -> str:
    """`text` through a table and back."""
    pressed = jsonlines.encode(text)
    assert pressed is not None
    assert pressed.startswith(jsonlines.TITLE)
    return jsonlines.decode(pressed)


@given(st.lists(ROWS, min_size=1, max_size=3), st.sampled_from(sorted(STYLES)), st.sampled_from(["", "\n", "\n\n"]))
def test_rows_of_several_kinds_read_back_exactly(trees: list[Tree], style: str, end: str) -> None:
    text = "\n".join([line for tree in trees for line in lines_of(tree, *STYLES[style])] * 3) + end
    if (pressed := jsonlines.encode(text)) is not None:
        assert jsonlines.decode(pressed) == text


@given(ROWS, st.lists(STRAY, max_size=4), st.sampled_from(sorted(STYLES)), st.randoms(use_true_random=False))
def test_lines_that_are_no_records_stay_in_their_place(tree: Tree, stray: list[str], style: str, dice: object) -> None:
    lines = lines_of(tree, *STYLES[style]) * 4 + stray
    dice.shuffle(lines)  # type: ignore[attr-defined]
    text = "\n".join(lines)
    if (pressed := jsonlines.encode(text)) is not None:
        assert jsonlines.decode(pressed) == text


@given(st.lists(ODD_TREES, min_size=1, max_size=8), st.sampled_from(sorted(STYLES)))
def test_duplicate_keys_and_odd_spellings_read_back_exactly(trees: list[Tree], style: str) -> None:
    text = "\n".join([write(tree, None, *STYLES[style]) for tree in trees] * 2)
    if (pressed := jsonlines.encode(text)) is not None:
        assert jsonlines.decode(pressed) == text


@pytest.mark.parametrize("text", TRICKY)
def test_a_text_that_looks_like_something_else_stays_itself(text: str) -> None:
    name = plain(text)
    rows = [f'{{"t":{name},"n":{n}}}' for n in (name, 1, '"other"', "null")]
    assert back("\n".join(rows)) == "\n".join(rows)
    keys = [f'{{{name}:{n},"z":{{"y":{n},{name}:[1]}}}}' for n in range(4) if text not in ("z", "y")]
    assert back("\n".join(keys)) == "\n".join(keys)
    shared = [f'{{"u":{plain("https://h.test/" + text + str(n))},"n":{n}}}' for n in range(4)]
    assert back("\n".join(shared)) == "\n".join(shared)


def test_the_example_of_the_module() -> None:
    text = (
        '{"ts":"2031-02-03T10:00:01Z","level":"info","msg":"lease taken","by":"w-3"}\n'
        '{"ts":"2031-02-03T10:00:04Z","level":"info","msg":"lease given back"}\n'
        "panic: out of leases\n"
        '{"ts":"2031-02-03T10:00:09Z","level":"info","msg":"stopped, at last","by":"w-1"}\n'
    )
    assert jsonlines.encode(text) == (
        "[json lines: keys, then a row a line; k=v: in every row; {} is the cell; empty: no such key; "
        "=: line as it was]\n"
        "ts=2031-02-03T{},level=info,msg,by\n"
        "10:00:01Z,lease taken,w-3\n"
        "10:00:04Z,lease given back,\n"
        "=panic: out of leases\n"
        '10:00:09Z,"stopped, at last",w-1\n'
    )
    assert back(text) == text


def test_records_of_two_kinds_have_two_headers() -> None:
    one = '{"event":"request","method":"GET","path":"/items/%d","status":200}'
    two = '{"job":"sweep","took_ms":%d,"removed":{"files":%d,"bytes":0},"host":"a-1"}'
    text = "\n".join([one % n if n % 3 else two % (n, n) for n in range(12)])
    pressed = jsonlines.encode(text)
    assert pressed is not None
    assert pressed.split("\n")[:5] == [
        "[json lines: 2 kinds of keys, A-B, then a row a line; k=v: in every row; {} is the cell]",
        "A event=request,method=GET,path=/items/{},status=200",
        "B job=sweep,took_ms,removed.files,removed.bytes=0,host=a-1",
        "B 0,0",
        "A 1",
    ]
    assert jsonlines.decode(pressed) == text


def test_a_value_made_of_another_has_no_cell_and_rare_keys_stay_with_their_row() -> None:
    rows = [f'{{"id": {n}, "url": "https://h.test/i/{n}", "n": {{"a": {n}, "b": [{n}]}}}}' for n in range(20)]
    rows[7] = '{"id": 7, "url": "https://h.test/i/7", "late": true, "n": {"a": 7, "b": [7]}}'
    text = "\n".join(rows)
    pressed = jsonlines.encode(text)
    assert pressed is not None
    lines = pressed.split("\n")
    assert lines[0].startswith("[json lines (spaced): keys, then a row a line; {k} is column k; * further keys")
    assert lines[1] == "id,url=https://h.test/i/{id},*,n.a={id},n.b" or lines[1] == (
        "id,url=https://h.test/i/{id},*,n.a,n.b"
    )
    assert lines[9] == '7,{"late":true},7,[7]'
    assert jsonlines.decode(pressed) == text


def test_a_null_in_the_place_of_an_object_is_told_from_a_missing_one() -> None:
    values = ['"a":{"b":{"c":1}},', '"a":{"b":null},', '"a":null,', "", '"a":{"b":{"c":null}},']
    text = "\n".join(f'{{{value}"d":{at}}}' for at, value in enumerate(values, 1))
    pressed = jsonlines.encode(text)
    assert pressed is not None
    assert pressed.split("\n")[1:] == ["a.b.c,d", "1,1", "~~,2", "~,3", ",4", "null,5"]
    assert jsonlines.decode(pressed) == text


@pytest.mark.parametrize(
    "text",
    ["", "\n", "{}\n{}\n{}", "1\n2\n3", '{"a":1}\n{"a":2}', '{"a":1}\nw\nx\ny\nz\n{"a":1}\n{"a":3}', "[]\n[]\n[]"],
)
def test_what_is_no_run_of_records_is_left_alone(text: str) -> None:
    assert jsonlines.encode(text) is None


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "[json lines]",
        "[json lines: keys, then a row a line]",
        "[json lines: keys, then a row a line; or not]\na\n1",
        "[json lines: keys, then a row a line]\n\n1",
        "[json lines: keys, then a row a line]\na,b\n1",
        "[json lines: keys, then a row a line]\na,b\n1,2,3",
        "[json lines: keys, then a row a line]\na,b={c}\n1",
        "[json lines: keys, then a row a line]\na,b={}{a}\n1,2",
        "[json lines: keys, then a row a line]\na,b={a\n1",
        "[json lines: keys, then a row a line]\na,a.b\n1,2",
        "[json lines: keys, then a row a line]\na,b={a}\n,",
        "[json lines: keys, then a row a line]\na,*\n1,x",
        "[json lines: keys, then a row a line]\na\n~~",
        "[json lines: keys, then a row a line]\na\n~x",
        '[json lines: keys, then a row a line]\na\n"x',
        "[json lines: keys, then a row a line]\na[b]\n[[1,2]]",
        "[json lines: keys, then a row a line]\na[b]\n[[1}]",
        "[json lines: 2 kinds of keys, A-B, then a row a line]\nA a\nB b\nC 1",
        "[json lines: 2 kinds of keys, A-B, then a row a line]\nA a\n1",
        "[json lines: 0 kinds of keys, A-B, then a row a line]\nA a\nA 1",
        "[json lines: 9999 kinds of keys, A-B, then a row a line]\nA a\nA 1",
    ],
)
def test_a_damaged_table_is_refused(damaged: str) -> None:
    with pytest.raises(ValueError):
        jsonlines.decode(damaged)


@given(ROWS, st.data())
def test_whatever_is_changed_in_a_table_nothing_but_a_refusal_is_raised(tree: Tree, data: st.DataObject) -> None:
    pressed = jsonlines.encode("\n".join(lines_of(tree, ",", ":") * 4))
    if pressed is None:
        return
    at = data.draw(st.integers(0, len(pressed) - 1))
    changed = pressed[:at] + data.draw(st.sampled_from(list(',"[]{}~=@*.\n\\ax1'))) + pressed[at + 1 :]
    try:
        jsonlines.decode(changed)
    except ValueError:
        pass


@given(ROWS)
def test_pressed_again_it_still_reads_back(tree: Tree) -> None:
    text = "\n".join(lines_of(tree, ",", ":") * 4)
    if (once := jsonlines.encode(text)) is not None and (twice := jsonlines.encode(once)) is not None:
        assert jsonlines.decode(twice) == once
