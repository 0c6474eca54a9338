"""Fuzzes JSON tables and their way back."""

import sys

import atheris

with atheris.instrument_imports(include=["headroom"]):
    from fuzz.drives import drive_tables

if __name__ == "__main__":
    atheris.Setup(sys.argv, drive_tables)
    atheris.Fuzz()
