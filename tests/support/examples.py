"""Worked examples: outputs, and what pressing makes of them. Run as a program, writes the second anew from the first.

python -m tests.support.examples
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from headroom.zones.excerpt import excerpt
from headroom.zones.press import Action, Floors, press
from headroom.zones.yardstick import o200k

FOLDER = Path(__file__).parent.parent / "corpus" / "examples"
INDEX = FOLDER / "index.json"
QUESTIONS = FOLDER / "questions.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One output and what becomes of it; `excerpt` is empty where nothing is worth leaving out."""

    name: str
    text: str
    pressed: str
    excerpt: str
    row: Mapping[str, object]

    @property
    def files(self) -> Mapping[str, str]:
        """The files that are written, by name."""
        made = {f"{self.name}.pressed.txt": self.pressed, f"{self.name}.excerpt.txt": self.excerpt}
        return {name: text for name, text in made.items() if text}


def names() -> list[str]:
    """All examples."""
    return sorted(path.stem for path in FOLDER.glob("*.txt") if "." not in path.stem)


def read(name: str) -> str:
    """One file as it is; empty where there is none."""
    path = FOLDER / name
    return path.read_bytes().decode() if path.exists() else ""


def example(name: str) -> Example:
    """Press one output."""
    text, floors, measure = read(f"{name}.txt"), Floors.flat(0), o200k()
    whole, less = press(text, floors, measure), excerpt(text, floors, measure)
    cut = less.text if less.cut else ""
    row: dict[str, object] = {"kind": str(whole.kind), "form": whole.form if whole.text else str(whole.action)}
    row |= {"tokens": measure.count(text), "pressed": whole.after if whole.action is Action.PRESSED else None}
    row |= {"excerpt": less.after} if cut else {}
    return Example(name=name, text=text, pressed=whole.text, excerpt=cut, row=row)


def index(examples: list[Example]) -> str:
    """The index of all examples: what each is, and its tokens before and after."""
    return json.dumps({made.name: made.row for made in examples}, indent=2) + "\n"


def questions() -> Iterator[tuple[str, Mapping[str, str]]]:
    """Every question with the name of its example: `answer` stands in the pressed text, or is the `count` of a text in
    what it decodes to."""
    for name, asked in json.loads(QUESTIONS.read_text("utf-8")).items():
        for one in asked:
            yield name, one


def main() -> None:
    """Write every file that is made of another."""
    examples = [example(name) for name in names()]
    for old in [*FOLDER.glob("*.pressed.txt"), *FOLDER.glob("*.excerpt.txt")]:
        old.unlink()
    for made in examples:
        for name, text in made.files.items():
            (FOLDER / name).write_bytes(text.encode())
    INDEX.write_text(index(examples))


if __name__ == "__main__":
    main()
