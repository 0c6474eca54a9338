"""Fuzzes weaving answers that consist of content blocks."""

import sys

import atheris

with atheris.instrument_imports(include=["headroom"]):
    from fuzz.drives import drive_blocks

if __name__ == "__main__":
    atheris.Setup(sys.argv, drive_blocks)
    atheris.Fuzz()
