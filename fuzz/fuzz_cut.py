"""Fuzzes what is in headroom/zones/cut.py."""

import sys

import atheris

with atheris.instrument_imports(include=["headroom"]):
    from fuzz.drives import drive_cut

if __name__ == "__main__":
    atheris.Setup(sys.argv, drive_cut)
    atheris.Fuzz()
