"""Fuzzes the response reader against h11."""

import sys

import atheris

with atheris.instrument_imports(include=["headroom"]):
    from fuzz.drives import drive_response

if __name__ == "__main__":
    atheris.Setup(sys.argv, drive_response)
    atheris.Fuzz()
