"""Fuzzes the request reader against h11."""

import sys

import atheris

with atheris.instrument_imports(include=["headroom"]):
    from fuzz.drives import drive_request

if __name__ == "__main__":
    atheris.Setup(sys.argv, drive_request)
    atheris.Fuzz()
