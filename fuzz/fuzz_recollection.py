"""Fuzzes what is in headroom/recollection.py and headroom/terms.py."""

import sys

import atheris

with atheris.instrument_imports(include=["headroom"]):
    from fuzz.drives import drive_recollection

if __name__ == "__main__":
    atheris.Setup(sys.argv, drive_recollection)
    atheris.Fuzz()
