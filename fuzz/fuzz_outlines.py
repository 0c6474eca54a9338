"""Fuzzes the form in headroom/zones/outlines.py and its way back."""

import sys

import atheris

with atheris.instrument_imports(include=["headroom"]):
    from fuzz.drives import drive_outlines

if __name__ == "__main__":
    atheris.Setup(sys.argv, drive_outlines)
    atheris.Fuzz()
