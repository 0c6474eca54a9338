"""Fuzzes how WebSocket frames are read, and what is said in them."""

import sys

import atheris

with atheris.instrument_imports(include=["headroom"]):
    from fuzz.drives import drive_websocket

if __name__ == "__main__":
    atheris.Setup(sys.argv, drive_websocket)
    atheris.Fuzz()
