"""Headroom: an edge proxy that shortens what a model has not read yet, and forwards every other byte as it came.

The life of a request:

 1. bytes arrive on a client's socket                        wire/downstream
 2. httptools parses the head, strictly                      wire/reader
 3. admission, or 503 before a body byte is read             exchange
 4. route and policy from the head alone                     plan
 5. the body is held only if it may be rewritten             exchange
 6. slots are located in one pass, nothing is built          zones/locate
 7. old decisions are replayed, fresh texts pressed          ledger, zones/press
 8. new decisions are stored, then spliced in                store, zones/splice
 9. a connection to the origin is leased, or dialled         wire/upstream
10. the answer is relayed as it arrives                      exchange
11. a listener beside the relay reads usage and endings      usage
12. one log line, some counters                              events, logs, metrics
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headroom.library import Result, compress

__version__ = "0.1.0"
__all__ = ["Result", "__version__", "compress"]


def __getattr__(name: str) -> object:
    """`compress` and `Result`, loaded when first asked for: a proxy that starts needs neither."""
    if name in ("Result", "compress"):
        from headroom import library  # noqa: PLC0415

        return getattr(library, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
