"""Fuzzes putting tools in order and placing markers."""

import sys

import atheris

with atheris.instrument_imports(include=["headroom"]):
    from fuzz.drives import drive_arrange

if __name__ == "__main__":
    atheris.Setup(sys.argv, drive_arrange)
    atheris.Fuzz()
