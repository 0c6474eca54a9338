"""Fuzzes the walk over chunked bodies against a decoder that can be checked by reading."""

import sys

import atheris

with atheris.instrument_imports(include=["headroom"]):
    from fuzz.drives import drive_chunks

if __name__ == "__main__":
    atheris.Setup(sys.argv, drive_chunks)
    atheris.Fuzz()
