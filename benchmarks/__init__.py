"""Measurements of the proxy beside nginx: one question per file."""
