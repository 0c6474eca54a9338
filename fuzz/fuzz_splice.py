"""Fuzzes putting new strings into JSON documents."""

import sys

import atheris

with atheris.instrument_imports(include=["headroom"]):
    from fuzz.drives import drive_splice

if __name__ == "__main__":
    atheris.Setup(sys.argv, drive_splice)
    atheris.Fuzz()
