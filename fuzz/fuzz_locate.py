"""Fuzzes where the slots of request bodies are found."""

import sys

import atheris

with atheris.instrument_imports(include=["headroom"]):
    from fuzz.drives import drive_locate

if __name__ == "__main__":
    atheris.Setup(sys.argv, drive_locate)
    atheris.Fuzz()
