"""Path lists and drawn trees: folders said once, and the way back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.zones import paths
from tests.support.outputs import invented


def back(text: str) -> str:
    """`text` through its short form."""
    pressed = paths.encode(text)
    assert pressed is not None
    assert pressed.startswith(paths.TITLE)
    return paths.decode(pressed)


def shown(text: str) -> list[str]:
    """The lines that `text` becomes, once it has been seen to read back."""
    assert back(text) == text
    return (paths.encode(text) or "").split("\n")


def lines(*items: str) -> str:
    """The items, a line each."""
    return "".join(item + "\n" for item in items)


def test_files_stand_behind_their_folder_under_a_root() -> None:
    text = lines(
        *("/srv/app/api", "/srv/app/api/__init__.py", "/srv/app/api/users.py", "/srv/app/web/index.html"),
        *("/srv/app/web/main.css", "/srv/app/web/img/logo.svg", "/srv/app/web/my notes.txt", "/srv/app/setup.py"),
    )
    assert shown(text) == [
        "[paths: folder then its files; all under /srv/app/]",
        *("api/ . __init__.py users.py", "web/ index.html main.css", "web/img/logo.svg", "/srv/app/web/my notes.txt"),
        *(". setup.py", ""),
    ]


def test_order_is_kept_by_saying_a_folder_again() -> None:
    assert shown("a/x\na/y\nb/z\nb/w\na/v\na/u")[1:] == ["a/ x y", "b/ z w", "a/ v u"]


def test_a_list_of_find_begins_with_the_folder_itself() -> None:
    assert shown(".\n./a\n./a/b\n./a/c\n./d")[1:] == [".", "./a/ . b c", "./d"]
    assert shown("s/\ns/a/\ns/a/x\ns/a/y\ns/b/")[1:] == ["s/", "s/a/ ./ x y", "s/b/"]


def test_names_without_a_folder_stand_behind_a_dot() -> None:
    assert shown("README.md\nsetup.py\nsrc/a.py\nsrc/b.py\n")[1:] == [". README.md setup.py", "src/ a.py b.py", ""]


def test_counts_stay_with_their_names() -> None:
    assert shown("a/x.py:3\na/y.py:0\nb/z.py:12")[1:] == ["a/ x.py:3 y.py:0", "b/z.py:12"]


def test_listings_of_folders_have_their_names_behind_the_heading() -> None:
    text = "src:\na.py\nb.py\n\nsrc/net:\nc.py\nd e.py\n\nsrc/empty:\n"
    assert shown(text) == [
        '[paths: folder then its files; after "name:" what is below it]',
        *("src: a.py b.py", "", "src/net: c.py", "d e.py", "", "src/empty:", ""),
    ]


def test_lines_that_are_no_paths_stay_in_place() -> None:
    text = lines(
        *("Found 4 files", "", "/s/application/a/x", "/s/application/a/y", "# then", "/s/application/b/z"),
        *("/s/application/b/w", "http://h.test/s", "/t/u v", "/s/application/c/q -> r"),
    )
    assert shown(text + "/s/application/c/k\n") == [
        "[paths: folder then its files; all under /s/application/; | before other lines]",
        *(
            "Found 4 files",
            "",
            "a/ x y",
            "# then",
            "b/ z w",
            "|http://h.test/s",
            "/t/u v",
            "/s/application/c/q -> r",
            "c/k",
            "",
        ),
    ]


def test_what_looks_like_a_folder_line_is_escaped() -> None:
    text = "a/ b\n. x\n|\n|a\na/x\na/y\na/z"
    assert shown(text) == [
        "[paths: folder then its files; | before other lines]",
        "|a/ b",
        "|. x",
        "||",
        "||a",
        "a/ x y z",
    ]


def test_odd_paths_read_back() -> None:
    text = lines(
        "/",
        "//",
        "//a",
        "a//b",
        "a//c",
        "a/.",
        "a/..",
        "../x",
        "../y",
        "./",
        "C:\\a\\b",
        "a/b/",
        "a/b",
        "\u2028",
        "a\u00a0/b",
    )
    assert back(text) == text


def test_a_drawn_tree_is_one_blank_a_level() -> None:
    text = ".\n├── api\n│   ├── __init__.py\n│   └── users.py\n└── web\n    └── a b\n\n2 directories, 3 files\n"
    assert shown(text) == [
        '[paths: tree, one blank a level; was "│   ├── "]',
        *(".", " api", "  __init__.py", "  users.py", " web", "  a b", "", "2 directories, 3 files", ""),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "x\n├── a\n│\xa0\xa0 ├── b\n│\xa0\xa0 └── c\n└── d",
        "x\n|-- a\n|   |-- b\n|   `-- c\n`-- d\n",
        "x\n├─ a\n│  ├─ b\n│  └─ c\n└─ d -> e\n",
        "x\n├── a\n└── b\n\ny\n├── c\n│   └── d\n└── e\n    f\n| g",
    ],
)
def test_drawings_of_other_kinds_read_back(text: str) -> None:
    assert shown(text)[0].startswith("[paths: tree")


def test_a_drawing_that_is_cut_off_says_which_levels_would_go_on() -> None:
    text = "x\n├── a\n│   ├── b\n│   │   ├── c\n│   │   └── d"
    assert shown(text)[0] == '[paths: tree, one blank a level; was "│   ├── "; cut inside levels 1,2]'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "a",
        "a\n\nb\n",
        "a/b\nc/d",
        "a b\nc d\ne f\n",
        "├── a\n└── b",
        "x\n├── a\n├── b\n└── c\n├── d\n\n└── e\n",
    ],
)
def test_what_is_neither_or_would_not_read_back_is_not_pressed(text: str) -> None:
    assert paths.encode(text) is None


@pytest.mark.parametrize(
    "pressed",
    [
        "",
        "a/ b",
        "[paths: x]\na/ b",
        '[paths: tree, one blank a level; was "x"]\n a',
        "[paths: folder then its files]\n. .",
    ],
)
def test_a_text_that_was_not_pressed_is_refused(pressed: str) -> None:
    with pytest.raises(ValueError, match=r"not a list|no folder"):
        paths.decode(pressed)


NAMES = st.sampled_from(["a", "b.py", "src", ".", "..", "x:3", "c:", "|p", "é", "d e", "\\", "q@", "\u00a0", "\r"])
FOREIGN = st.sampled_from(
    ["", "# a", "Found:", "a/ b", ". a", "|", "a: b", "|x/y", "total 3", "s:", "http://a/b", "a -> b", "\t"]
)


@st.composite
def listed(draw: st.DrawFn) -> str:
    """A list of paths under some folder, and other lines."""
    root = draw(st.sampled_from(["", "./", "/", "/srv/app/", "srv/my app/", "|/", "//"]))
    out: list[str] = []
    for _ in range(draw(st.integers(1, 12))):
        folder = root + "".join(
            f"{name}/" for name in draw(st.lists(st.sampled_from(["a", "b", "c:", "d e"]), max_size=3))
        )
        out += [
            folder + name + end
            for name, end in draw(st.lists(st.tuples(NAMES, st.sampled_from(["", "", "/"])), max_size=5))
        ]
        if draw(st.booleans()):
            out.append(folder[:-1] + draw(st.sampled_from(["", ":", "/"])))
        if draw(st.booleans()):
            out.append(draw(FOREIGN | NAMES))
    return "\n".join(out)


@given(listed(), st.sampled_from(["", "\n", "\n\n"]))
def test_lists_read_back(text: str, end: str) -> None:
    pressed = paths.encode(text + end)
    if pressed is not None:
        assert paths.decode(pressed) == text + end


@given(st.text(alphabet="\n\n//..a b:|", max_size=60))
def test_any_text_below_a_list_reads_back(text: str) -> None:
    listing = "/srv/app/a/x\n/srv/app/a/y\n/srv/app/b/z\n/srv/app/c/w\n"
    assert back(listing + text) == listing + text


@st.composite
def drawn(draw: st.DrawFn) -> str:
    """What tree(1) draws, perhaps cut off or damaged."""
    pipe, tee, corner, gap = draw(
        st.sampled_from(
            [("│   ", "├── ", "└── ", "    "), ("│\xa0\xa0 ", "├── ", "└── ", "    "), ("|   ", "|-- ", "`-- ", "    ")]
        )
    )
    out = [draw(st.sampled_from([".", "src", "", " x", "|"]))]

    def below(prefix: str, depth: int) -> None:
        names = draw(st.lists(st.sampled_from(["a", "b c", "d -> e", "[4.0K]  f", "|", " g"]), max_size=4 - depth))
        for at, name in enumerate(names):
            last = at == len(names) - 1
            out.append(prefix + (corner if last else tee) + name)
            below(prefix + (gap if last else pipe), depth + 1)

    for _ in range(draw(st.integers(1, 2))):
        below("", 0)
        out += ["", "2 directories"]
    return "\n".join(out[: draw(st.integers(1, len(out)))])


@given(drawn(), st.sampled_from(["", "\n", "\n x\n"]))
def test_drawings_read_back(text: str, end: str) -> None:
    pressed = paths.encode(text + end)
    if pressed is not None:
        assert paths.decode(pressed) == text + end


@pytest.mark.parametrize("seed", range(4))
def test_invented_lists_get_shorter(seed: int) -> None:
    text = invented("paths", seed).text
    pressed = paths.encode(text)
    assert pressed is not None
    assert len(pressed) < len(text) * 0.9
    assert paths.decode(pressed) == text
