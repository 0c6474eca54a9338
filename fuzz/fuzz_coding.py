"""Fuzzes the decoding of compressed bodies."""

import sys

import atheris

with atheris.instrument_imports(include=["headroom"]):
    from fuzz.drives import drive_coding

if __name__ == "__main__":
    atheris.Setup(sys.argv, drive_coding)
    atheris.Fuzz()
