"""Fuzzes the choice of a form, its proof and its way back."""

import sys

import atheris

with atheris.instrument_imports(include=["headroom"]):
    from fuzz.drives import drive_press

if __name__ == "__main__":
    atheris.Setup(sys.argv, drive_press)
    atheris.Fuzz()
