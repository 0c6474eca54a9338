"""Cells that stay the same for many rows are said once, above them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headroom.zones import runs

CELLS = st.sampled_from(["a long cell of some length", "another cell of some length", "", "1"])
ROWS = st.lists(st.tuples(CELLS, CELLS, CELLS).map(list), max_size=60).map(
    lambda rows: sorted(rows, key=lambda r: r[0])
)


@given(ROWS)
def test_rows_can_be_put_together_again(rows: list[list[str]]) -> None:
    places = runs.choose(rows)
    written = runs.Written(places, {})
    held: list[str] = []
    for row in rows:
        above, line = written.split(row)
        if above is not None:
            assert above.startswith(runs.MARK)
            held = above[1:].split(",")
        rest, given_above = iter(line.split(",")), iter(held)
        assert [next(given_above if at in places else rest) for at in range(3)] == row


def test_a_value_is_said_again_before_it_is_out_of_sight() -> None:
    rows = [["src/headroom/zones.py", str(number)] for number in range(100)]
    assert runs.choose(rows) == [0]
    written = runs.Written([0], {})
    said = [written.split(row)[0] is not None for row in rows]
    assert [at for at, above in enumerate(said) if above] == [0, runs.AGAIN, 2 * runs.AGAIN]


def test_short_cells_and_few_rows_are_left_where_they_are() -> None:
    assert runs.choose([["a", str(number)] for number in range(9)]) == []
    assert runs.choose([["a long cell of some length", "1"]] * 3) == []
    assert runs.choose([]) == []


def test_one_column_is_always_left_in_the_rows() -> None:
    rows = [["a long cell of some length", "another cell of some length"]] * 20
    assert len(runs.choose(rows)) == 1
    assert runs.choose([row[:1] for row in rows]) == []


def test_long_cells_that_come_again_have_a_name() -> None:
    rows = [[str(number), "a message of some length" if number % 2 else "x"] for number in range(9)]
    names = runs.name(rows, ())
    assert names == {"a message of some length": "&a"}
    assert runs.Written((), names).split(rows[1]) == (None, "1,&a")
    assert runs.name(rows, [1]) == {}
    assert runs.read_names(["x", "&a=a message of some length", "1,&a"], 1) == ({"&a": "a message of some length"}, 2)
