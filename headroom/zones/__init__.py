"""Bytes to bytes: finding the texts that may be shortened, shortening them without loss, and putting them back.

No I/O, clock, randomness, event loop or wire format in here; everything is a function of its arguments.
"""
