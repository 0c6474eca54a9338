"""Fuzzes the weaving of answers that are made of deltas."""

import sys

import atheris

with atheris.instrument_imports(include=["headroom"]):
    from fuzz.drives import drive_deltas

if __name__ == "__main__":
    atheris.Setup(sys.argv, drive_deltas)
    atheris.Fuzz()
