"""Fuzzes the form in headroom/zones/grids.py and its way back."""

import sys

import atheris

with atheris.instrument_imports(include=["headroom"]):
    from fuzz.drives import drive_grids

if __name__ == "__main__":
    atheris.Setup(sys.argv, drive_grids)
    atheris.Fuzz()
