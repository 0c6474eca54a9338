"""Live tests are collected only where they are asked for by name."""

from __future__ import annotations

from pathlib import Path

import pytest


def _asked_for(config: pytest.Config) -> bool:
    """Another expression than one that names the marker must not start them either."""
    return "live" in config.option.markexpr


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """See pytest. What is not to run is not even imported: the SDKs take seconds."""
    return None if _asked_for(config) else True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """See pytest. A file that is named on the command line is collected all the same."""
    live = [] if _asked_for(config) else [item for item in items if item.get_closest_marker("live") is not None]
    if live:
        items[:] = [item for item in items if item not in live]
        config.hook.pytest_deselected(items=live)
