"""Logs and blames: columns stated once, and the way back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.zones import commits, diffs
from tests.support.outputs import invented

ONE, TWO, THREE = "1f" * 20, "2e" * 20, "3d" * 20
ANA, JO = "Ana Lee <ana@edge.test>", "Jo Park <jo@edge.test>"
LOG = f"""\
commit {ONE} (HEAD -> main, tag: v1)
Author: {ANA}
Date:   Mon Feb 3 10:00:00 2031 +0100

    Take leases once
    \n      - and keep them
    ## Why

commit {TWO}
Merge: 1f1f1f1 3d3d3d3
Author: {JO}
Date:   Mon Feb 3 09:00:00 2031 -0700

    Merge a branch

commit {THREE}
Author: {ANA}
Date:   Mon Feb 3 08:00:00 2031 +0100

    Add a pool
"""
BLAME = """\
^1f2e3d4 (Ana Lee 2031-02-03 10:00:00 +0100  8) import re
^1f2e3d4 (Ana Lee 2031-02-03 10:00:00 +0100  9) 
9c8b7a6d (Jo Park 2031-02-04 11:00:00 +0100 10) def take():  
^1f2e3d4 (Ana Lee 2031-02-03 10:00:00 +0100 11) \treturn 1
"""


def back(text: str) -> str:
    """`text` through its short form."""
    pressed = commits.encode(text)
    assert pressed is not None
    assert pressed.startswith(commits.TITLE)
    return commits.decode(pressed)


def test_a_commit_is_one_line_and_its_message_and_a_repeated_author_is_declared_once() -> None:
    assert commits.encode(LOG) == (
        "[git log: ## hash|author|date, then the message; zone +0100]\n"
        f"## {ONE} (HEAD -> main, tag: v1)|@1={ANA}|Mon Feb 3 10:00:00 2031\n"
        "Take leases once\n\n  - and keep them\n## Why\n"
        f"## {TWO} Merge: 1f1f1f1 3d3d3d3|{JO}|Mon Feb 3 09:00:00 2031 -0700\n"
        "Merge a branch\n"
        f"## {THREE}|@1|Mon Feb 3 08:00:00 2031\n"
        "Add a pool\n"
    )
    assert back(LOG) == LOG


def test_empty_lines_of_messages_that_have_lost_their_blanks_are_put_back_without() -> None:
    text = LOG.replace("    \n", "\n")
    assert (commits.encode(text) or "").startswith(
        "[git log: ## hash|author|date, then the message; zone +0100; empty lines not indented]\n"
    )
    assert back(text) == text


def test_what_stands_below_a_message_stays() -> None:
    stat = "\n pool.py | 3 +++\n 1 file changed, 3 insertions(+)\n\n## not ours\n|x\n"
    text = LOG.replace("    Merge a branch\n", "    Merge a branch\n" + stat)
    assert "\nMerge a branch\n|\n pool.py | 3 +++\n 1 file changed, 3 insertions(+)\n\n## not ours\n||x\n## " in (
        commits.encode(text) or ""
    )
    assert back(text) == text


def test_message_lines_that_look_like_ours_are_escaped() -> None:
    text = LOG.replace("    Add a pool", f"    |a\n    \\b\n    ## {ONE}|@1|x\n    ## c")
    assert (commits.encode(text) or "").endswith(f"\n\\|a\n\\\\b\n\\## {ONE}|@1|x\n## c\n")
    assert back(text) == text


def test_diffs_below_commits_are_written_by_their_own_form() -> None:
    patch = "\ndiff --git a/x b/x\nindex 1a2b3c4..5d6e7f8 100644\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"
    text = "\ncommit".join(part + patch for part in LOG.split("\ncommit"))
    pressed = commits.encode(text)
    assert pressed is not None
    assert pressed.split("\n")[1].startswith(diffs.TITLE)
    assert pressed.count("\n=== x 1a2b3c4..5d6e7f8\n@@ 1\n-a\n+b\n") == 3
    assert commits.decode(pressed) == text


@pytest.mark.parametrize(
    "odd",
    [
        f"commit {ONE}\nAuthor:     {ANA}\nAuthorDate: x\nCommit:     {ANA}\nCommitDate: x\n\n    m\n",
        f"commit {ONE}\nAuthor: a|b\nDate:   x\n\n    m\n",
        f"commit {ONE}\nAuthor: @1\nDate:   x\n\n    m\n",
        f"commit {ONE}\nAuthor: {ANA}\nDate:   x\n",
        f"commit {ONE}\nAuthor: {ANA}\nDate:   x\n\n",
        f"commit {ONE}\n",
    ],
)
def test_a_commit_in_another_format_stays_among_the_others(odd: str) -> None:
    assert commits.encode(odd) is None
    for text in (f"{LOG}\n{odd}", f"{LOG}\n{odd}\n{LOG}", f"{odd}\n{LOG}", f"warning: x\n\n{LOG}"):
        assert back(text) == text


def test_dates_without_a_zone_stay_whole() -> None:
    text = LOG.replace(" +0100", "")
    assert (commits.encode(text) or "").startswith("[git log: ## hash|author|date, then the message]\n")
    assert back(text) == text


def test_a_blame_declares_commits_of_more_than_one_line_and_numbers_every_tenth() -> None:
    assert commits.encode(BLAME) == (
        "[git blame: letter= commit; lines 8-11, every 10th numbered (%2d), text after the tab]\n"
        "a= ^1f2e3d4 (Ana Lee 2031-02-03 10:00:00 +0100)\n"
        "a 8\timport re\n"
        "a\t\n"
        "9c8b7a6d (Jo Park 2031-02-04 11:00:00 +0100) 10\tdef take():  \n"
        "a 11\t\treturn 1\n"
    )
    assert back(BLAME) == BLAME


def test_blame_lines_without_their_last_blank_with_files_or_without_authors_read_back() -> None:
    for text in (
        BLAME.replace(" 9) \n", " 9)\n"),
        BLAME.replace(" (", " a/b.py   ("),
        BLAME.replace("Ana Lee", "Ana (x 8) L"),
        BLAME.replace("import re", "import re 9) x"),
        "1f2e3d4  8) a\n1f2e3d4  9) b\n1f2e3d4 10)\n2f2e3d4 20) c\n2f2e3d4 21) d",
        BLAME + "\n|x\nfatal: y\n" + BLAME,
    ):
        assert back(text) == text


def test_there_are_letters_for_many_commits() -> None:
    lines = [f"{at // 2:07x} (Ana 2031-02-03 {at + 1:>4}) x" for at in range(2000)]
    text = "\n".join(lines)
    pressed = commits.encode(text)
    assert pressed is not None
    assert "\nz= " in pressed
    assert "\naa= " in pressed
    assert "\naaa= " in pressed
    assert commits.decode(pressed) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "commit",
        LOG.partition("\n\n")[0],
        BLAME.partition("\n")[0],
        "1f2e3d4 fix\n2f2e3d4 it\n",
        "[git log: x\n\n" + LOG,
        LOG + "    ",
        LOG[:-1] + "\n    ",
        f"\n{LOG}"[:200],
    ],
)
def test_what_is_neither_is_not_pressed(text: str) -> None:
    assert commits.encode(text) is None


@pytest.mark.parametrize(
    "pressed",
    [
        "",
        LOG,
        "[git log]\n## x",
        f"[git log: ## hash|author|date, then the message]\n## {ONE}|@1|x\nm",
        "[git blame: letter= commit; lines 1-2, every 10th numbered (%2d), text after the tab]\na 1\tx",
        "[git blame: letter= commit; lines 1-2, every 10th numbered (%2d), text after the tab]\n1f2e3d4 (x)\ty",
        "[git blame: letter= commit; lines 1-2, every 10th numbered (%2d), text after the tab]\nhello world",
    ],
)
def test_a_text_that_was_not_pressed_is_refused(pressed: str) -> None:
    with pytest.raises(ValueError, match=r"neither|said|commit|number"):
        commits.decode(pressed)


HASHES = st.sampled_from([ONE, TWO, THREE, "1f2e3d4", "abcdefa"])
AUTHORS = st.sampled_from([ANA, ANA, JO, "@x", "a|b", "", "=", " "])
DATES = st.sampled_from(
    ["Mon Feb 3 10:00:00 2031 +0100", "Mon Feb 3 10:00:00 2031 -0700", "2031-02-03", "x +0100", "\r"]
)
MESSAGES = st.sampled_from(["Fix", "", "  - x", "|", "\\", f"## {ONE}|@1|x", "## y", "    ", "é", "commit x", "\r"])
BELOW = st.sampled_from(
    [
        "",
        " a | 2 +-",
        "|",
        f"## {ONE}|@1|x",
        "M\tx",
        "Notes:",
        "    n",
        "commit x",
        "diff --git a/x b/x",
        "@@ -1 +1 @@",
        "-a",
        "+b",
    ]
)


@st.composite
def logs(draw: st.DrawFn) -> str:
    """A commit as `git log` prints it, perhaps with something below it."""
    deco = draw(st.sampled_from(["", "", " (HEAD -> main)", " (a) Merge: 1f2e3d4 (b)", " (|)"]))
    merge = draw(st.sampled_from(["", "", "Merge: 1f2e3d4 2f2e3d4\n", "Merge: x\n"]))
    message = "".join(f"    {line}\n" for line in draw(st.lists(MESSAGES, max_size=4)))
    below = "".join(f"{line}\n" for line in draw(st.lists(BELOW, max_size=4)))
    head = f"commit {draw(HASHES)}{deco}\n{merge}Author: {draw(AUTHORS)}\nDate:   {draw(DATES)}\n\n"
    return head + message + ("\n" + below if below else "")


@given(
    st.lists(logs(), min_size=1, max_size=6),
    st.sampled_from(["\n", "\n", "", "\n\n"]),
    st.sampled_from(["", "warning\n\n", "\n", "|\n\n"]),
    st.booleans(),
)
def test_logs_read_back(parts: list[str], between: str, head: str, stripped: bool) -> None:
    text = head + between.join(parts)
    if stripped:
        text = "\n".join(line.rstrip(" ") for line in text.split("\n"))
    for whole in (text, text.rstrip("\n"), text + "\n"):
        pressed = commits.encode(whole)
        if pressed is not None:
            assert commits.decode(pressed) == whole


CODE = st.sampled_from(["", "x", "\tx", "  ", "a\t", "| 3) x", " 2) y", "\r", "a= 1f2e3d4)"])


@st.composite
def blames(draw: st.DrawFn) -> str:
    """Lines of a blame, and now and then something else."""
    width = draw(st.integers(1, 4))
    number = draw(st.integers(0, 1200))
    lines: list[str] = []
    for _ in range(draw(st.integers(1, 25))):
        number = draw(st.sampled_from([number + 1] * 9 + [number, 7]))
        origin = draw(st.sampled_from(["^1f2e3d4", "2f2e3d4a", "abcdefa"])) + draw(
            st.sampled_from(["", " (Ana 2031-02-03", " x.py  (Ana (2) Lee  2031", " (\t", " (a 3) b"])
        )
        other = st.sampled_from(["", "|", "a\tx", "fatal", f"{origin} {number})x"])
        whole = draw(st.sampled_from([True] * 12 + [False]))
        lines.append(
            f"{origin} {number:>{width}}){draw(st.sampled_from([' ', ' ', ' ', '']))}{draw(CODE)}"
            if whole
            else draw(other)
        )
    return "\n".join(lines)


@given(blames(), st.sampled_from(["", "\n", "\n\n"]))
def test_blames_read_back(text: str, end: str) -> None:
    pressed = commits.encode(text + end)
    if pressed is not None:
        assert commits.decode(pressed) == text + end


@pytest.mark.parametrize("kind", ["history", "blame"])
@pytest.mark.parametrize("seed", range(4))
def test_invented_histories_and_blames_get_shorter(kind: str, seed: int) -> None:
    text = invented(kind, seed).text
    pressed = commits.encode(text)
    assert pressed is not None
    assert len(pressed) < len(text) * (0.9 if kind == "history" else 0.75)
    assert commits.decode(pressed) == text
