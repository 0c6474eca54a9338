"""Fuzzes what is in headroom/zones/tags.py."""

import sys

import atheris

with atheris.instrument_imports(include=["headroom"]):
    from fuzz.drives import drive_tags

if __name__ == "__main__":
    atheris.Setup(sys.argv, drive_tags)
    atheris.Fuzz()
