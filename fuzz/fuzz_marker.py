"""Fuzzes what is in headroom/zones/marker.py."""

import sys

import atheris

with atheris.instrument_imports(include=["headroom"]):
    from fuzz.drives import drive_marker

if __name__ == "__main__":
    atheris.Setup(sys.argv, drive_marker)
    atheris.Fuzz()
