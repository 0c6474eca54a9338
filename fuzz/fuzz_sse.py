"""Fuzzes how event streams are cut into events."""

import sys

import atheris

with atheris.instrument_imports(include=["headroom"]):
    from fuzz.drives import drive_sse

if __name__ == "__main__":
    atheris.Setup(sys.argv, drive_sse)
    atheris.Fuzz()
