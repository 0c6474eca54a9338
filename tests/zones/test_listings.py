"""Search listings grouped under their paths, and back to the same characters."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from headroom.zones import listings
from tests.support.outputs import invented

PATHS = st.sampled_from(
    [
        *("a.py", "lib/net/pool.py", "lib/net/dns.py", "lib/other.py", "src/a-12-b.py", "a-1-", "lib/net/x-3-y", "./a"),
        *(
            "C:\\dir\\a.py",
            "dir\\a.py",
            "1",
            "12",
            "1-2",
            "--",
            "-",
            "|a",
            "[matches",
            "é/ü.py",
            "a]b/c.py",
            "٣",
            "~/x",
        ),
        *("lib/net/", "a:b", "with blank.py", "[matches by file", "\u2028", "x\x0by", "a\u00a0b"),
    ]
)
NUMBERS = st.sampled_from(["1", "12", "007", "0", "٣", "999999999999999999999"]) | st.integers(1, 300).map(str)
TEXTS = st.sampled_from(
    [
        "",
        "def take(self):",
        " x",
        "|",
        "--",
        "3:4:5",
        "-7-",
        "a.py:3:x",
        "\r",
        "\t",
        "12:30:00",
        "\u2028",
        "\x0c",
        "é😀",
    ]
) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=8)
HITS = st.builds("{}:{}:{}".format, PATHS, NUMBERS, TEXTS)
CONTEXT = st.builds("{}-{}-{}".format, PATHS, NUMBERS, TEXTS)
ENDS = st.sampled_from(["\n", "\r\n"])


@st.composite
def searches(draw: st.DrawFn) -> str:
    """Listings with context, separators, blank lines and warnings, in any order."""
    other = st.sampled_from(
        ["--", "", "Binary file x matches", "|", "rg: a: No such file", "a.py", "[matches by file]"]
    )
    lines = draw(st.lists(HITS | HITS | CONTEXT | other | TEXTS, max_size=14))
    return draw(ENDS).join(lines) + draw(st.sampled_from(["", "\n", "\r\n", "\n\n"]))


@st.composite
def groups(draw: st.DrawFn) -> str:
    """Listings as `grep -C` prints them: context around matches, groups apart."""
    lines: list[str] = []
    for _ in range(draw(st.integers(1, 4))):
        path, at = draw(PATHS), draw(st.integers(1, 200))
        for _ in range(draw(st.integers(1, 5))):
            sign = draw(st.sampled_from(":--"))
            lines.append(f"{path}{sign}{at}{sign}{draw(TEXTS)}")
            at += 1
        lines.append("--")
    return "\n".join(lines[: draw(st.sampled_from([-1, len(lines)]))])


@given(searches() | groups())
def test_a_listing_reads_back_to_the_same_characters(text: str) -> None:
    grouped = listings.encode(text)
    if grouped is not None:
        assert listings.decode(grouped) == text


@given(groups())
def test_the_same_listing_is_grouped_the_same_way(text: str) -> None:
    assert listings.encode(text) == listings.encode("".join(list(text)))


def test_the_example_of_the_module() -> None:
    text = (
        "lib/net/pool.py:12:def take(self):\nlib/net/pool.py-13-    self.n += 1\n--\nlib/net/dns.py:4:def take(name):\n"
    )
    grouped = (
        "[matches by file; paths under lib/net/]\n"
        "pool.py\n12:def take(self):\n13-    self.n += 1\n--\ndns.py\n4:def take(name):\n"
    )
    assert listings.encode(text) == grouped
    assert listings.decode(grouped) == text


@pytest.mark.parametrize("kind", ["search", "search_context"])
@pytest.mark.parametrize("seed", range(4))
def test_what_a_search_prints_is_grouped_and_becomes_shorter(kind: str, seed: int) -> None:
    text = invented(kind, seed, 6_000).text
    grouped = listings.encode(text)
    assert grouped is not None and len(grouped) < len(text)
    assert listings.decode(grouped) == text


def test_context_before_the_first_match_of_a_group_is_grouped_with_it() -> None:
    text = "lib/a.py-1-one\nlib/a.py-2-two\nlib/a.py:3:three\n--\nlib/b.py-8-eight\nlib/b.py:9:nine"
    assert listings.encode(text) == (
        "[matches by file; paths under lib/]\na.py\n1-one\n2-two\n3:three\n--\nb.py\n8-eight\n9:nine"
    )


def test_a_path_that_looks_like_context_is_told_apart_by_its_match() -> None:
    text = "src/a-12-b.py-1-x\nsrc/a-12-b.py:2:y\nsrc/a-12-b.py-3-z"
    grouped = listings.encode(text)
    assert grouped == "[matches by file; paths under src/]\na-12-b.py\n1-x\n2:y\n3-z"
    assert listings.decode(grouped) == text


def test_lines_that_are_no_match_keep_their_place_behind_a_bar() -> None:
    text = "src/a.py:1:x\n\nBinary file y matches\nsrc/a.py:2:z\n|\n12:30:00 started"
    grouped = listings.encode(text)
    assert grouped == (
        "[matches by file; paths under src/]\na.py\n1:x\n|\n|Binary file y matches\n2:z\n||\n|12:30:00 started"
    )
    assert listings.decode(grouped) == text


@pytest.mark.parametrize(
    "text", ["", "\n", "no match here", "--", "12:30:00 a\n12:30:01 b", "a.py-3-context only", "::1:"]
)
def test_what_holds_no_match_is_not_grouped(text: str) -> None:
    assert listings.encode(text) is None


@pytest.mark.parametrize("path", ["|x/y", "1:", "3-4"])
def test_a_path_that_would_not_stand_out_as_a_heading_is_not_grouped(path: str) -> None:
    text = f"{path}:1:x\n{path}:2:y"
    grouped = listings.encode(text)
    assert grouped is None or listings.decode(grouped) == text


@pytest.mark.parametrize(
    "pressed", ["", "a.py:1:x", "[matches by files]\na", "[matches by file; paths under ]", "\n", "[]"]
)
def test_another_text_is_refused(pressed: str) -> None:
    with pytest.raises(ValueError):
        listings.decode(pressed)


@given(groups(), st.data())
def test_a_damaged_listing_is_refused_or_read_and_nothing_else_happens(text: str, data: st.DataObject) -> None:
    grouped = listings.encode(text)
    assume(grouped is not None)
    assert grouped is not None
    at = data.draw(st.integers(0, len(grouped)))
    try:
        listings.decode(grouped[:at] + data.draw(TEXTS) + grouped[at + 1 :])
    except ValueError:
        pass


HEADED = (
    "./lib/net/pool.py\n12:def take(self):\n13-    self.n += 1\n--\n40:def give(self):\n\n"
    "./lib/net/dns.py\n4:def take(name):\n"
)


def test_a_listing_that_the_tool_has_grouped_keeps_its_groups_without_blank_lines() -> None:
    grouped = (
        "[matches by file; paths under ./lib/net/; was headings]\n"
        "pool.py\n12:def take(self):\n13-    self.n += 1\n--\n40:def give(self):\ndns.py\n4:def take(name):\n"
    )
    assert listings.encode(HEADED) == grouped
    assert listings.decode(grouped) == HEADED


@pytest.mark.parametrize(
    ("text", "was"),
    [
        (
            "Found 3 matches\n/w/src/a.ts:\n  Line 12: let a\n  Line 14:   b: c\n\n/w/src/b.ts:\n  Line 3: x\n",
            '"%s:", "  Line %d: "',
        ),
        (
            'Found 3 matches for pattern "x" in path ".":\n---\nFile: src/a.ts\nL12: let a\nL14:   b: c\n---\n'
            "File: src/b.ts\nL3: x\n---",
            '"File: %s", "L%d: "',
        ),
    ],
)
def test_the_listings_of_agents_tools_are_written_as_any_other(text: str, was: str) -> None:
    grouped = listings.encode(text)
    assert grouped is not None
    assert was in grouped.split("\n")[0]
    assert "\na.ts\n12:let a\n14:  b: c\nb.ts\n3:x" in grouped
    assert listings.decode(grouped) == text


def test_several_files_of_a_folder_stand_below_it() -> None:
    names = ["net/http/client.go", "net/http/server.go", "net/http/header.go", "os/exec.go", "net/http/cookie.go"]
    names += ["main.go", "internal/syscall/unix/at.go", "internal/syscall/unix/open.go", "internal/syscall/unix/fd.go"]
    text = "\n".join(f"{name}:7:func Error()" for name in names)
    grouped = listings.encode(text)
    hit = "\n7:func Error()\n"
    assert grouped == (
        "[matches by file; names below a folder are in it]\n"
        + "net/http/\n"
        + hit.join(["client.go", "server.go", "header.go", "os/exec.go", "net/http/cookie.go", ".\nmain.go"])
        + hit
        + "internal/syscall/unix/\n"
        + hit.join(["at.go", "open.go", "fd.go", ""])[:-1]
    )
    assert listings.decode(grouped) == text


def test_matches_without_line_numbers_begin_with_their_colon() -> None:
    text = (
        "src/net/pool.py:def take(self):\nsrc/net/pool.py-    pass\n--\n"
        "src/net/dns.py:def take(name):\nsrc/net/dns.py:x:y"
    )
    grouped = listings.encode(text)
    assert grouped == (
        "[matches by file; paths under src/net/]\n"
        "pool.py\n:def take(self):\n-    pass\n--\ndns.py\n:def take(name):\n:x:y"
    )
    assert listings.decode(grouped) == text


FILES = st.sampled_from(
    ["a.py", "lib/a.py", "lib/b.py", "lib/net/c.go", "./x/y.c", "12-a.py", "lib/", "File: q", "a b.py"]
)
SHAPES = st.sampled_from([("{}", "{}:{}", ""), ("{}:", "  Line {}: {}", ""), ("File: {}", "L{}: {}", "---")])


@st.composite
def headed(draw: st.DrawFn) -> str:
    """Listings as tools group them, with a line astray here and there."""
    heading, line, between = draw(SHAPES)
    lines = draw(st.lists(st.sampled_from(["Found 3 matches", "", "---", "--", "|"]), max_size=2))
    for _ in range(draw(st.integers(1, 5))):
        lines.append(heading.format(draw(FILES)))
        lines += [line.format(draw(NUMBERS), draw(TEXTS)) for _ in range(draw(st.integers(0, 3)))]
        lines += draw(st.sampled_from([[between], [between], [between], [], ["", ""], ["|x", between]]))
    return "\n".join(lines)


@given(headed())
def test_a_listing_with_headings_reads_back_to_the_same_characters(text: str) -> None:
    grouped = listings.encode(text)
    assert grouped is None or listings.decode(grouped) == text


@given(st.lists(st.builds("{}:{}:{}".format, FILES, NUMBERS, TEXTS), max_size=30))
def test_files_in_any_order_of_folders_read_back(lines: list[str]) -> None:
    text = "\n".join(lines)
    grouped = listings.encode(text)
    assert grouped is None or listings.decode(grouped) == text


@given(st.lists(st.builds("{}{}{}".format, FILES, st.sampled_from(":-"), TEXTS), max_size=30))
def test_matches_without_numbers_read_back(lines: list[str]) -> None:
    text = "\n".join(lines)
    grouped = listings.encode(text)
    assert grouped is None or listings.decode(grouped) == text


def test_lines_that_begin_alike_or_have_one_shape_are_a_machines() -> None:
    assert listings.is_repetitive("[matches by file]\na\n" + "1:from x import y\n2:from z import w\n3:a = b\n")
    assert listings.is_repetitive(
        "[matches by file]\na\n" + "".join(f"{n}:k{n}: {{'id': 'v', 'n': []}}\n" for n in range(9))
    )
    assert not listings.is_repetitive("[matches by file]\na\n" + "".join(f"{n}:w{n} = x[{n}]\n" for n in range(9)))
    assert not listings.is_repetitive("[matches by file]")


@pytest.mark.parametrize("line", ["/" * 200_000 + " x", "a:" * 100_000, "." * 200_000, "1:" + "/" * 100_000 + " "])
def test_hostile_lines_cost_no_more_than_their_length(line: str) -> None:
    text = "\n".join([line, "1:x"] * 3)
    grouped = listings.encode(text)
    assert grouped is None or listings.decode(grouped) == text
