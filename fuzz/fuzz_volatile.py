"""Fuzzes the search for values that change from request to request."""

import sys

import atheris

with atheris.instrument_imports(include=["headroom"]):
    from fuzz.drives import drive_volatile

if __name__ == "__main__":
    atheris.Setup(sys.argv, drive_volatile)
    atheris.Fuzz()
