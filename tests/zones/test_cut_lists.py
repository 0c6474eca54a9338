"""Excerpts of searches, lists of paths and tables."""

from __future__ import annotations

from headroom.zones import cut_paths, cut_search, cut_tables
from tests.support.excerpts import accounts_for_every_line


def test_every_file_and_every_line_number_of_a_search_is_told() -> None:
    text = "\n".join(f"lib/{name}.py:{at}:    value = other_{at}" for name in "abc" for at in range(10, 60))
    made = cut_search.cut(text)
    assert made is not None
    accounts_for_every_line(text, made)
    assert all(f"lib/{name}.py" in made.body for name in "abc")
    assert made.left_out > 100


def test_a_definition_is_preferred() -> None:
    lines = [f"lib/a.py:{at}:    value = take({at})" for at in range(60)]
    lines[41] = "lib/a.py:41:def take(at):"
    made = cut_search.cut("\n".join(lines))
    assert made is not None
    assert lines[41] in made.body.split("\n")


def test_hits_under_a_heading_and_lines_beside_hits() -> None:
    lines = [
        "lib/a.py",
        *(f"{at}{':' if at % 3 == 0 else '-'}    value = {at}" for at in range(90)),
        "",
        "lib/b.py",
        "7:x",
    ]
    made = cut_search.cut("\n".join(lines))
    assert made is not None
    accounts_for_every_line("\n".join(lines), made)
    assert "lib/b.py" in made.body.split("\n")


def test_every_folder_of_a_list_is_named() -> None:
    text = "\n".join(
        f"src/{folder}/file{at}.{ending}" for folder in "abc" for at in range(40) for ending in ("py", "txt")
    )
    made = cut_paths.cut(text)
    assert made is not None
    accounts_for_every_line(text, made)
    assert all(f"src/{folder}/" in made.body for folder in "abc")
    assert "*.py" in made.body


def test_many_small_folders_are_told_with_how_many_are_in_each() -> None:
    text = "\n".join(f"src/{folder:03}/{name}.py" for folder in range(90) for name in "ab")
    made = cut_paths.cut(text)
    assert made is not None
    accounts_for_every_line(text, made)
    assert all(f"{folder:03}/" in made.body for folder in range(90))


def test_a_table_keeps_its_header_and_what_is_out_of_the_ordinary() -> None:
    lines = ["name,size,state", *(f"a name of some length {at},{at % 5},ok" for at in range(200))]
    lines[120] = "a name,99999,ok"
    lines[90] = "a name,1,degraded"
    made = cut_tables.cut("\n".join(lines))
    assert made is not None
    accounts_for_every_line("\n".join(lines), made)
    shown = made.body.split("\n")
    assert {lines[0], lines[120], lines[90]} <= set(shown)
    assert "size 0–4" in made.body


def test_a_cell_over_several_lines_is_left_alone() -> None:
    assert cut_tables.cut("\n".join(['a,"b', 'c",d'] * 40)) is None
