"""Reading excerpts back: what they show stands in the source, and what they do not show is told."""

from __future__ import annotations

import json
import re

from headroom.zones.gaps import Cut

_NOTE = re.compile(r"\s*(?:# |// )?… (\d+) lines? left out \((\d+)(?:–(\d+))?\)(?:: .*)? …\Z", re.DOTALL)
_JSON_NOTE = re.compile(r"(?:… )?(\d+) (?:rows?|items?|entry|entries) left out \((\d+)(?:–(\d+))?\)", re.DOTALL)


def accounts_for_every_line(text: str, made: Cut) -> None:
    """Every line of `text` is in the excerpt, at its place and as it was, or in the one gap told there."""
    lines = text.split("\n")
    at = 0
    for line in made.body.split("\n"):
        note = _NOTE.fullmatch(line)
        if note is not None:
            first = int(note[2])
            last = int(note[3] or first)
            assert first == at + 1
            assert int(note[1]) == last - first + 1
            at = last
        else:
            assert line == lines[at]
            at += 1
    assert at == len(lines) == made.of
    assert made.left_out == len(lines) - sum(_NOTE.fullmatch(line) is None for line in made.body.split("\n"))


def accounts_for_every_item(items: list[object], body: str) -> None:
    """The same of the items of a JSON array."""
    at = 0
    for item in json.loads(body):
        said = item.get("…") if isinstance(item, dict) else item
        note = _JSON_NOTE.match(said) if isinstance(said, str) else None
        if note is not None:
            first = int(note[2])
            assert first == at + 1
            at = int(note[3] or first)
            assert int(note[1]) == at - first + 1
        else:
            assert item == items[at]
            at += 1
    assert at == len(items)
