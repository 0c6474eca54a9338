"""Live tests are collected only where they are asked for by name."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """See pytest. Another expression than one that names the marker must not start them either."""
    if "live" in config.option.markexpr:
        return
    live = [item for item in items if item.get_closest_marker("live") is not None]
    if live:
        items[:] = [item for item in items if item not in live]
        config.hook.pytest_deselected(items=live)
