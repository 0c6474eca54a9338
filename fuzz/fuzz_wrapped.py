"""Fuzzes the form in headroom/zones/wrapped.py and its way back."""

import sys

import atheris

with atheris.instrument_imports(include=["headroom"]):
    from fuzz.drives import drive_wrapped

if __name__ == "__main__":
    atheris.Setup(sys.argv, drive_wrapped)
    atheris.Fuzz()
