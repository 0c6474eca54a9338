"""Delimited texts: every table reads back to its very characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.zones import delimited

CELLS = st.sampled_from(
    [
        *(
            "",
            "1",
            "2",
            "007",
            "-1",
            "a",
            "x y",
            '"a,b"',
            '"say ""no"""',
            '"',
            '""',
            '"a"b',
            "=1",
            "^",
            "@id",
            "~",
            "{",
        ),
        *("{}", "{id}", "1..", "https://h.test/i/7", "10.0.0.7", " ", "a=b", "é", "\u2028", "\x00", "a|b", "a;b", "\r"),
    ]
)
NAMES = st.sampled_from(["id", "name", "url", "", "a b", "a=b", "{id}", '"q"', '"a,b"', "n", "@", "^", "~", "2019"])
DATES = st.sampled_from(
    [
        *("2031-02-03", "2031-02-04", "2031-03-01", "2031/02/03 10:00:00", "2031/02/03 11:00:00"),
        *("2031-02-03T00:00:00Z", "2031-02-04T00:00:00Z", "2031-02-04 07:30", "2031-02-04 08:00"),
    ]
)


@st.composite
def tables(draw: st.DrawFn) -> str:
    """Tables with columns of every sort that the form knows, ragged rows, stray lines and either line end."""
    delimiter = draw(st.sampled_from([",", "\t", ";", "|"]))
    count = draw(st.integers(3, 40))
    base = [draw(CELLS) for _ in range(count)]
    columns: list[list[str]] = []
    for kind in draw(st.lists(st.sampled_from("abcdefghijk"), min_size=2, max_size=6)):
        columns.append(
            {
                "a": [draw(CELLS)] * count,
                "b": [draw(CELLS) for _ in range(count)],
                "c": [str(at + draw(st.sampled_from([-2, 0, 1]))) for at in range(count)],
                "d": [f"https://h.test/i/{cell}" for cell in base],
                "e": base,
                "f": [f"decided by {cell!r} at length" for cell in base],
                "g": [f'"{cell}"' for cell in base],
                "i": [draw(DATES) for _ in range(count)],
                "j": sorted(draw(DATES) for _ in range(count)),
                "k": [draw(st.sampled_from(["12.0", "1.5", "-3.0", "7.00", "", "x.0"])) for _ in range(count)],
                "h": ["usually this"] * (count - 1) + [draw(CELLS)],
            }[kind]
        )
    lines = [delimiter.join(draw(st.lists(NAMES, min_size=len(columns), max_size=len(columns))))]
    lines += [delimiter.join(row) for row in zip(*columns, strict=True)]
    for at in draw(st.lists(st.integers(0, len(lines)), max_size=2)):
        lines.insert(
            at, draw(st.sampled_from(["", "# note", "=", "^x", "a,b", '"open', "[csv by comma", delimiter * 2]))
        )
    end = draw(st.sampled_from(["\n", "\r\n"]))
    return end.join(lines) + draw(st.sampled_from(["", end]))


def back(text: str) -> str:
    """`text` shortened and back."""
    pressed = delimited.encode(text)
    assert pressed is not None
    assert pressed.startswith(delimited.TITLE)
    return delimited.decode(pressed)


@given(tables())
def test_every_table_reads_back_exactly(text: str) -> None:
    if (pressed := delimited.encode(text)) is not None:
        assert delimited.decode(pressed) == text


@given(tables())
def test_pressed_again_it_still_reads_back(text: str) -> None:
    if (once := delimited.encode(text)) is not None and (twice := delimited.encode(once)) is not None:
        assert delimited.decode(twice) == once


@given(st.text(alphabet=',;\t|"ab1=~^@{}\n\r', max_size=120))
def test_any_text_reads_back_exactly(text: str) -> None:
    if (pressed := delimited.encode(text)) is not None:
        assert delimited.decode(pressed) == text


def test_the_example_of_the_module() -> None:
    rows = [("B-7", "4"), ("C-2", "19"), ("D-4", "3")]
    lines = ["id,sku,kind,url,n"]
    lines += [f"{at},{sku},part,https://h.test/p/{sku},{n}" for at, (sku, n) in enumerate(rows, 1)]
    text = "\n".join(lines) + "\n"
    assert delimited.encode(text) == (
        "[csv by comma: header, then a row a line; k=v: in every row; k=1..: counts up; {x} is column x]\n"
        "id=1..,sku,kind=part,url=https://h.test/p/{sku},n\nB-7,4\nC-2,19\nD-4,3\n"
    )
    assert back(text) == text


def test_a_column_that_another_decides_is_given_once() -> None:
    towns = {"10115": "Berlin Mitte", "20095": "Hamburg Altstadt", "50667": "Köln Innenstadt"}
    codes = [list(towns)[at % 3] for at in range(12)]
    text = "\n".join(["zip;town;n", *(f"{code};{towns[code]};{at * 7 % 10}" for at, code in enumerate(codes))])
    pressed = delimited.encode(text)
    assert pressed is not None
    assert pressed.split("\n")[:6] == [
        "[csv by semicolon: header, then a row a line; k=@x: as in the first row with that x]",
        "zip;town=@zip;n",
        "10115;Berlin Mitte;0",
        "20095;Hamburg Altstadt;7",
        "50667;Köln Innenstadt;4",
        "10115;;1",
    ]
    assert delimited.decode(pressed) == text


def test_a_column_that_seldom_changes_is_a_heading() -> None:
    text = "\n".join(["day,n,m", *(f"2031-02-0{at // 10 + 1},{at * 7 % 10},{at * 3 % 7}" for at in range(30))])
    pressed = delimited.encode(text)
    assert pressed is not None
    assert pressed.split("\n")[1:4] == ["day=^,n,m", "^2031-02-01", "0,0"]
    assert delimited.decode(pressed) == text


def test_quotes_around_every_cell_and_lines_before_and_behind_stay() -> None:
    rows = [f'"{at}","Smith, {name}","open"\r' for at, name in enumerate(["Ana", "Bo", "Cy", "Di"])]
    text = "\n".join(["# exported\r", "\r", '"id","name","state"\r', *rows, "\r", "4 rows\r", ""])
    pressed = delimited.encode(text)
    if pressed is not None:
        assert delimited.decode(pressed) == text


@pytest.mark.parametrize(
    "text",
    ["", "\n", "a,b\n1,2\n3,4", "a,b\n1,2\n2,1\n1,1\n", "one\ntwo\nthree\nfour", "a,b\n\n\n\n\n", "1,2\n1,2\n1,2\n1,2"],
)
def test_what_is_no_table_or_has_nothing_to_say_of_a_column_is_left_alone(text: str) -> None:
    assert delimited.encode(text) is None


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "[csv by dash: header, then a row a line]\na,b",
        "[csv by comma: header, then a row a line]",
        "[csv by comma, after 5 lines: header, then a row a line]\na,b=1\n1",
        "[csv by comma: header, then a row a line]\na,b\n1",
        "[csv by comma: header, then a row a line]\na,b=1\n1,2",
        "[csv by comma: header, then a row a line]\na,b={c}\n1",
        "[csv by comma: header, then a row a line]\na=1,b={a}\n1",
        "[csv by comma: header, then a row a line]\na,b={a}{}\n1,2",
        "[csv by comma: header, then a row a line]\na,b={\n1",
        "[csv by comma: header, then a row a line]\na,b=@c\n1,2",
        "[csv by comma: header, then a row a line]\na=^,b=^,c\n1",
        "[csv by comma: header, then a row a line]\na=^,b\n1",
        "[csv by comma: header, then a row a line]\na,b\n^x",
    ],
)
def test_a_damaged_table_is_refused(damaged: str) -> None:
    with pytest.raises(ValueError):
        delimited.decode(damaged)


@given(tables(), st.data())
def test_whatever_is_changed_nothing_but_a_refusal_is_raised(text: str, data: st.DataObject) -> None:
    pressed = delimited.encode(text)
    if pressed is None:
        return
    at = data.draw(st.integers(0, len(pressed) - 1))
    changed = pressed[:at] + data.draw(st.sampled_from(list(',"{}~=@^.\n1x'))) + pressed[at + 1 :]
    try:
        delimited.decode(changed)
    except ValueError:
        pass


def test_a_month_stands_above_its_days() -> None:
    days = [f"2031-{month:02}-{day:02}" for month in (1, 2) for day in range(1, 11)]
    text = "\n".join(["day,n", *(f"{day},{at * 37 % 11}" for at, day in enumerate(days))]) + "\n"
    pressed = delimited.encode(text)
    assert pressed is not None
    assert pressed.split("\n")[:4] == [
        "[csv by comma: header, then a row a line; k=^{}: behind the last ^ line]",
        "day=^{},n",
        "^2031-01-",
        "01,0",
    ]
    assert delimited.decode(pressed) == text


def test_a_day_stands_above_its_full_hours() -> None:
    hours = [f"2031/01/{day:02} {hour:02}:00:00" for day in (1, 2) for hour in range(10)]
    text = "\n".join(["time,n", *(f"{hour},{at * 37 % 11}" for at, hour in enumerate(hours))])
    pressed = delimited.encode(text)
    assert pressed is not None
    assert pressed.split("\n")[1:4] == ["time=^{}:00:00,n", "^2031/01/01 ", "00,0"]
    assert delimited.decode(pressed) == text


def test_dates_without_an_order_have_no_headings() -> None:
    text = "\n".join(["day,n", *(f"20{at * 7 % 31:02}-01-05,{at * 37 % 11}" for at in range(31))])
    assert "^" not in (delimited.encode(text) or "")


def test_whole_numbers_lose_their_zeros_where_none_is_written_without() -> None:
    prices = [f"{at * 13 % 90}.{'00' if at % 3 else 25}" for at in range(60)]
    lines = ["sku;price", *(f"k{at * 7919 % 997};{price}" for at, price in enumerate(prices))]
    pressed = delimited.encode("\n".join(lines))
    assert pressed is not None
    assert pressed.split("\n")[1:4] == ["sku;price=#.00", "k0;0.25", "k940;13"]
    assert delimited.decode(pressed) == "\n".join(lines)
    lines[7] = "k1;4"
    assert "#" not in (delimited.encode("\n".join(lines)) or "")


def test_tabs_are_written_as_commas_where_no_cell_has_one() -> None:
    lines = ["id\trate", *(f"{at * 7919 % 997}\t.{at * 37 % 89:03}" for at in range(20))]
    pressed = delimited.encode("\n".join(lines))
    assert pressed is not None
    assert pressed.split("\n")[:3] == [
        "[csv by tab, written with commas: header, then a row a line]",
        "id,rate",
        "0,.000",
    ]
    assert delimited.decode(pressed) == "\n".join(lines)
    assert delimited.encode("\n".join([*lines, "5\t1,2"])) is None


def test_times_of_one_day_stand_below_it_and_nothing_else_is_said_of_them() -> None:
    text = "\n".join(["at,n", *(f"2031-02-03T{at:02}:15:30,{at * 37 % 11}" for at in range(20))])
    assert back(text) == text
    text = "\n".join(["at,n", *(f"2031-02-03 {at:02}:15:30 +0100,{at * 37 % 11}" for at in range(20))])
    assert back(text) == text
