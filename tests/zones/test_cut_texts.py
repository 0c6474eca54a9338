"""Excerpts of source, prose and web pages."""

from __future__ import annotations

import importlib.util

import pytest

from headroom.zones import cut_html, cut_prose, cut_source
from tests.support.excerpts import accounts_for_every_line

BODY = "".join(f"        total = total + {at}\n" for at in range(30))
PYTHON = f'''import os


class Box(dict):
    """A box."""

    @property
    def size(self) -> int:
        """How many.

        More words.
        """
        total = 0
{BODY}        if total < 0:
            raise ValueError("negative")
{BODY}        # TODO: faster
{BODY}        return total
'''


def test_python_keeps_signatures_and_what_comes_of_them() -> None:
    made = cut_source.cut(PYTHON)
    assert made is not None
    accounts_for_every_line(PYTHON, made)
    for line in (
        "import os",
        "class Box(dict):",
        "    @property",
        "    def size(self) -> int:",
        '        """How many.',
    ):
        assert line in made.body.split("\n")
    assert 'raise ValueError("negative")' in made.body
    assert "# TODO: faster" in made.body
    assert "        return total" in made.body
    assert "        # … " in made.body


@pytest.mark.parametrize("text", ["", "x = 1\n" * 9, "def (:\n" * 90, "\x00\n" * 90, "a b c\n" * 90])
def test_what_cannot_be_read_is_left_alone(text: str) -> None:
    assert cut_source.cut(text) is None


@pytest.mark.skipif(importlib.util.find_spec("tree_sitter_go") is None, reason="the extra `source` is not installed")
def test_other_languages_are_noted_in_their_own_comments() -> None:
    body = "".join(f"\ttotal = total + {at}\n" for at in range(60))
    text = (
        f'package box\n\nimport "os"\n\nfunc Size(a int) int {{\n\ttotal := 0\n{body}\treturn total\n}}\n'
        + "type A struct{}\n" * 3
    )
    made = cut_source.cut(text)
    assert made is not None
    accounts_for_every_line(text, made)
    assert "\t// … " in made.body
    assert "func Size(a int) int {" in made.body


def test_prose_keeps_headings_first_lines_and_warnings() -> None:
    words = "Some words that say little,\nthat go on for a line or two,\nand that end at last after more.\nAnd more.\n"
    text = "# One\n\n" + f"{words}{words}\n" * 6 + "## Two\n\nNever do this.\n" + words * 4
    made = cut_prose.cut(text)
    assert made is not None
    accounts_for_every_line(text, made)
    assert {"# One", "## Two", "Never do this."} <= set(made.body.split("\n"))


def test_long_paragraphs_keep_their_first_sentences() -> None:
    text = " ".join(f"Sentence number {at} says little. " for at in range(60)).strip()
    made = cut_prose.cut(text)
    assert made is not None
    assert made.body.startswith("Sentence number 0 says little.")
    assert "58 sentences left out …" in made.body


def test_a_client_tag_in_prose_is_whole_and_lines_are_counted_with_it() -> None:
    words = "Some words that say little,\nand go on for a line or two,\nand more.\nAnd more of it here.\nAnd so.\n\n"
    block = "<system-reminder>\nkeep\nme\nwhole\n</system-reminder>"
    text = f"{words * 3}{block}\n\n{words * 6}"
    made = cut_prose.cut(text)
    assert made is not None
    accounts_for_every_line(text, made)
    assert block in made.body


def test_a_page_is_its_text() -> None:
    page = (
        "<!DOCTYPE html><html><head><title>T</title><style>p{}</style><script>if (a<b && c == '</p>') x()</script>"
        "</head>"
        "<body><h2 class='x'>A &amp; B</h2><p>See <a href='/y'>the\n docs</a>.</p><ul><li>one</li><li>two</li></ul>"
        "<!-- gone --><table><tr><td>1</td><td>2</td></tr></table><svg><path d='M0'/></svg></body></html>"
    )
    made = cut_html.cut(page)
    assert made is not None
    assert made.body == "# T\n## A & B\nSee the docs (/y).\n- one\n- two\n1 | 2"
