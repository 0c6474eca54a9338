"""Diffs: short headers, verbatim bodies, and the way back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.zones import diffs
from tests.support.outputs import invented

FIRST = "[diff: === path old..new; @@ new line, context]"
TAKE = """\
diff --git a/x/pool.py b/x/pool.py
index 1a2b3c4..5d6e7f8 100644
--- a/x/pool.py
+++ b/x/pool.py
@@ -12,2 +12,3 @@ def take
-    n = 1
+    n = 2
+    m = 3
     return n
@@ -40 +41 @@
-    a  
+    a
"""


def back(text: str) -> str:
    """`text` through its short form."""
    pressed = diffs.encode(text)
    assert pressed is not None
    assert pressed.startswith(diffs.TITLE)
    return diffs.decode(pressed)


def shown(text: str) -> list[str]:
    """The lines below the first of what `text` becomes, once it has been seen to read back."""
    assert back(text) == text
    return (diffs.encode(text) or "").split("\n")[1:]


def test_a_file_header_is_one_line_and_a_hunk_header_has_its_new_line_and_context() -> None:
    assert diffs.encode(TAKE) == (
        FIRST + "\n=== x/pool.py 1a2b3c4..5d6e7f8\n"
        "@@ 12 def take\n-    n = 1\n+    n = 2\n+    m = 3\n     return n\n"
        "@@ 41\n-    a  \n+    a\n"
    )
    assert back(TAKE) == TAKE


def test_new_and_deleted_files_name_one_hash_and_other_modes_are_stated() -> None:
    text = (
        "diff --git a/n b/n\nnew file mode 100755\nindex 0000000..2b72e9e\n"
        "--- /dev/null\n+++ b/n\n@@ -0,0 +1,2 @@\n+a\n+b\n"
        "diff --git a/o b/o\ndeleted file mode 100644\nindex 2b72e9e..0000000\n"
        "--- a/o\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-a\n-b\n"
        "diff --git a/m b/m\nindex 2b72e9e..2b72e9f 100755\n--- a/m\n+++ b/m\n@@ -1 +1 @@\n-a\n+b\n"
    )
    assert shown(text) == [
        *("=== n new 2b72e9e 100755", "@@ 1", "+a", "+b"),
        *("=== o deleted 2b72e9e", "@@ 0", "-a", "-b"),
        *("=== m 2b72e9e..2b72e9f 100755", "@@ 1", "-a", "+b", ""),
    ]


def test_a_plain_diff_has_only_its_path() -> None:
    assert shown("--- a/x\n+++ b/x\n@@ -3 +3 @@ f\n-a\n+b") == ["=== x", "@@ 3 f", "-a", "+b"]


def test_another_command_and_its_folders_are_named_once() -> None:
    text = (
        "diff -r -u v1/a.c v2/a.c\n--- v1/a.c\t2031-01-01\n+++ v2/a.c\t2031-01-02\n@@ -3 +3 @@\n-a\n+b\n"
        "diff -r -u v1/s/b.c v2/s/b.c\n--- v1/s/b.c\t2031-01-01\n+++ v2/s/b.c\t2031-01-02\n@@ -3 +3 @@\n-a\n+b\n"
    )
    pressed = diffs.encode(text)
    assert pressed is not None
    assert pressed.split("\n")[:2] == [FIRST[:-1] + "; was diff -r -u v1/ v2/]", "=== a.c\t2031-01-01\t2031-01-02"]
    assert back(text) == text
    bare = TAKE.replace(" a/", " ").replace(" b/", " ")
    assert (diffs.encode(bare) or "").startswith(
        FIRST[:-1] + "; was diff --git]\n=== x/pool.py 1a2b3c4..5d6e7f8\n@@ 12"
    )
    assert back(bare) == bare


def test_a_hunk_whose_old_line_does_not_follow_from_the_hunks_before_has_both() -> None:
    assert shown("@@ -7 +9 @@ f\n-a\n+b\n@@ -20,0 +23 @@\n+a")[0] == "@@ 7 9 f"
    assert shown("@@ -7 +7 @@ 12 f\n-a\n+b")[0] == "@@ 7 7 12 f"
    assert shown("@@ -7 +7 @@ 12f\n-a\n+b")[0] == "@@ 7 12f"


@pytest.mark.parametrize(
    "hunk",
    [
        "@@ -1,3 +1,3 @@\n a\n-b\n+c",  # cut
        "@@ -1,2 +1,2 @@\n a\n-b\n+c\n-- \n2.39.5",  # a signature follows
        "@@ -1,2 +1,1 @@\n a\n-b",  # a count that git does not write
        "@@ -01 +1 @@\n-a\n+b",
        "@@ -1 +1 @@x\n-a\n+b",
        "@@@ -1 -1 +1 @@@\n--a\n++b",
    ],
)
def test_a_hunk_header_that_the_body_does_not_give_stays(hunk: str) -> None:
    assert diffs.encode(hunk) is None
    header = hunk.split("\n", 1)[0]
    assert header in shown(TAKE + hunk)


def test_context_that_lost_its_blank_is_counted_and_a_blank_line_between_commits_is_not() -> None:
    assert shown("@@ -1,4 +1,4 @@\n a\n\n-b\n+c\n\n@@ -9 +9 @@\n-a\n+b")[0] == "@@ 1"
    assert shown(f"commit 1\n\n    m\n\n{TAKE}\ncommit 2\n\n    m\n\n{TAKE}").count("@@ 41") == 2


@pytest.mark.parametrize(
    "header",
    [
        "diff --git a/x b/y\nrename from x\nrename to y\nindex 1a2b3c4..5d6e7f8 100644\n--- a/x\n+++ b/y",
        "diff --git a/x b/x\nold mode 100644\nnew mode 100755",
        "diff --git a/x b/x\nindex 1a2b3c4..5d6e7f8 100644\nBinary files a/x and b/x differ",
        'diff --git "a/\\303" "b/\\303"\nindex 1a2b3c4..5d6e7f8 100644\n--- "a/\\303"\n+++ "b/\\303"',
        "diff --git a/a b b/a b\nindex 1a2b3c4..5d6e7f8 100644\n--- a/a b\t\n+++ b/a b\t",
        "diff --git a/e b/e\nnew file mode 100644\nindex 0000000..e69de29",
        "diff --git a/x b/x\nnew file mode 100644\nindex 0000000..1a2b3c4 100644\n--- /dev/null\n+++ b/x",
        "--- x\t2031\n+++ y\t2032",
    ],
)
def test_headers_without_a_short_form_stay(header: str) -> None:
    assert diffs.encode(header) is None
    assert header in "\n".join(shown(TAKE + header + "\n@@ -1 +1 @@\n-a\n+b\n" + TAKE))


def test_a_combined_diff_stays() -> None:
    text = "diff --cc x\nindex 1a2b3c4,5d6e7f8..aaaaaaa\n--- a/x\n+++ b/x\n@@@ -1,2 -1,2 +1,2 @@@\n  a\n- b\n -c\n++d\n"
    assert diffs.encode(text) is None
    assert text in "\n".join(shown(text + TAKE))


def test_what_looks_like_a_short_header_is_escaped_outside_of_bodies() -> None:
    text = "=== x\n@@ 1\n|y\n=====\n" + TAKE
    assert shown(text)[:4] == ["|=== x", "|@@ 1", "||y", "====="]


@pytest.mark.parametrize(
    "text", ["", "\n", "a", "diff", "--- a/x\n+++ b/x", "commit 1\n\n    m\n", "@@ x", "@@ -1 +1 @@"]
)
def test_what_has_no_header_to_shorten_is_not_pressed(text: str) -> None:
    assert diffs.encode(text) is None


@pytest.mark.parametrize("pressed", ["", TAKE, "[diff: x]\n@@ 1", FIRST + "\n=== \n", FIRST + "\n=== a b c d"])
def test_a_text_that_was_not_pressed_is_refused(pressed: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        diffs.decode(pressed)


CODE = st.sampled_from(["", "a", "    return n  ", "-- a/x", "++ b/x", "\t", "\r", "@@ -1 +1 @@", "=== x", "|", "é"])
PATHS = st.sampled_from(["x", "x/y.py", "x y", "é", "=", "b/x"])
PLACES = st.integers(0, 30)


@st.composite
def hunks(draw: st.DrawFn) -> str:
    """A hunk; mostly with the counts that its body has."""
    body = draw(st.lists(st.tuples(st.sampled_from(" +-"), CODE), min_size=1, max_size=8))
    old = sum(sign != "+" for sign, _ in body) + draw(st.sampled_from([0, 0, 0, 1]))
    new = sum(sign != "-" for sign, _ in body)
    context = draw(st.sampled_from(["", " def f", " 1 2", " "]))
    places = [f"{draw(PLACES)}" + ("" if count == 1 else f",{count}") for count in (old, new)]
    note = draw(st.sampled_from(["", "", "\n\\ No newline at end of file"]))
    return f"@@ -{places[0]} +{places[1]} @@{context}\n" + "\n".join(sign + code for sign, code in body) + note


@st.composite
def headers(draw: st.DrawFn) -> str:
    """A file header of one of git's kinds, or something else that stands between hunks."""
    path, other = draw(PATHS), draw(PATHS)
    mode = draw(st.sampled_from(["100644", "100755"]))
    start = f"diff --git a/{path} b/{path}\n"
    return draw(
        st.sampled_from(
            [
                f"{start}index 1a2b3c4..5d6e7f8 {mode}\n--- a/{path}\n+++ b/{path}",
                f"{start}new file mode {mode}\nindex 0000000..5d6e7f8\n--- /dev/null\n+++ b/{path}",
                f"{start}deleted file mode {mode}\nindex 1a2b3c4..0000000\n--- a/{path}\n+++ /dev/null",
                f"{start}deleted file mode {mode}\nindex 1a2b3c4..00000000\n--- a/{path}\n+++ /dev/null",
                f"{start}index 1a2b3c4..5d6e7f8\n--- a/{path}\n+++ b/{other}",
                f"{start}old mode 100644\nnew mode {mode}",
                f"--- a/{path}\n+++ b/{path}",
                f"--- a/{path}\t2031\n+++ b/{path}\t2032",
                f"diff -ru p/{path} q/{path}\n--- p/{path}\t2031\n+++ q/{path}\t2032",
                f"diff --git {path} {path}\nindex 1a2b3c4..5d6e7f8 {mode}\n--- {path}\n+++ {path}",
                f"diff --git a/{path} b/{other}\nrename from {path}\nrename to {other}",
                *(
                    "",
                    "\ncommit 1a2b3c4\n\n    m\n",
                    f"=== {path}",
                    "=== x\t1\t2",
                    "@@ 1",
                    "@@ 1 2 x",
                    "|",
                    "-- \n2.39",
                ),
            ]
        )
    )


@given(st.lists(headers() | hunks() | hunks(), max_size=12), st.sampled_from(["", "\n", "\n\n"]), st.booleans())
def test_diffs_read_back(parts: list[str], end: str, stripped: bool) -> None:
    text = "\n".join(parts) + end
    if stripped:
        text = "\n".join(line.rstrip(" ") for line in text.split("\n"))
    pressed = diffs.encode(text)
    if pressed is not None:
        assert diffs.decode(pressed) == text


@given(st.text(alphabet="\n\n@@@ -+=|1,2 a/b", max_size=60))
def test_any_text_below_a_diff_reads_back(text: str) -> None:
    assert back(TAKE + text) == TAKE + text


@pytest.mark.parametrize("seed", range(6))
def test_invented_diffs_get_shorter_and_keep_every_line_of_their_bodies(seed: int) -> None:
    text = invented("diff", seed).text
    pressed = diffs.encode(text)
    assert pressed is not None
    assert len(pressed) < len(text)
    assert diffs.decode(pressed) == text
    bodies = [line for line in text.split("\n") if line[:1] in (" ", "+", "-") and line[:4] not in ("--- ", "+++ ")]
    assert [line for line in pressed.split("\n") if line[:1] in (" ", "+", "-")] == bodies
