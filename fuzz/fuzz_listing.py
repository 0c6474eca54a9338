"""Fuzzes grouped search listings and their way back."""

import sys

import atheris

with atheris.instrument_imports(include=["headroom"]):
    from fuzz.drives import drive_listing

if __name__ == "__main__":
    atheris.Setup(sys.argv, drive_listing)
    atheris.Fuzz()
