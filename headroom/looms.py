"""The looms there are, by the name that a dialect's row says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from headroom import items
from headroom.blocks import BlockLoom
from headroom.contents import ContentLoom
from headroom.deltas import DeltaLoom
from headroom.weave import Loom

LOOMS: Final[Mapping[str, Loom]] = {
    "blocks": BlockLoom(),
    "deltas": DeltaLoom(),
    "items": items.LOOM,
    "parts": ContentLoom(),
}
