"""Every input that is kept for the fuzz targets passes its drive, and every drive has a target and inputs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fuzz.drives import DRIVES

FUZZ = Path(__file__).parent.parent / "fuzz"
CORPUS = FUZZ / "corpus"
INPUTS = sorted(place for place in CORPUS.glob("*/*") if place.is_file())
LIMIT = 300_000  # bytes of all inputs


@pytest.mark.parametrize("place", INPUTS, ids=[f"{place.parent.name}/{place.name}" for place in INPUTS])
def test_a_kept_input_passes_its_drive(place: Path) -> None:
    DRIVES[place.parent.name](place.read_bytes())


@pytest.mark.parametrize("name", DRIVES)
def test_a_drive_has_a_target_and_inputs(name: str) -> None:
    target = (FUZZ / f"fuzz_{name}.py").read_text()
    assert f"import drive_{name}\n" in target
    assert f"atheris.Setup(sys.argv, drive_{name})" in target
    assert len(target.splitlines()) <= 15
    assert any(place.parent.name == name for place in INPUTS)


def test_there_is_no_target_or_folder_without_a_drive() -> None:
    assert {place.stem.removeprefix("fuzz_") for place in FUZZ.glob("fuzz_*.py")} == set(DRIVES)
    assert {place.name for place in CORPUS.iterdir()} == set(DRIVES)


def test_the_inputs_stay_small() -> None:
    assert sum(place.stat().st_size for place in INPUTS) < LIMIT


@pytest.mark.parametrize("name", DRIVES)
@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"\xff" * 9, b"\r\n" * 9, b'"' * 9, b"[" * 5000, b"{" * 9, b"\xed\xa0\x80"]
)
def test_a_drive_takes_any_bytes(name: str, data: bytes) -> None:
    DRIVES[name](data)


def test_every_target_is_fuzzed_where_the_tests_are_run() -> None:
    jobs = (FUZZ.parent / ".github/workflows/fuzz.yml").read_text()
    found = dict(re.findall(r"\{drive: (\w+), dictionary: ([\w\"]+)\}", jobs))
    assert found.keys() == set(DRIVES)
    assert all(word == '""' or (FUZZ / f"dictionaries/{word}.dict").is_file() for word in found.values())
