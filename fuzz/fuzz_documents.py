"""Fuzzes the JSON forms and their way back."""

import sys

import atheris

with atheris.instrument_imports(include=["headroom"]):
    from fuzz.drives import drive_documents

if __name__ == "__main__":
    atheris.Setup(sys.argv, drive_documents)
    atheris.Fuzz()
