"""What was learnt before and published: read once, when a process starts, and the same until it ends."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from headroom.config import Config, ConfigError
from headroom.events import Event, RecommendationsLoaded, RecommendationsLoadFailed, RecommendationsMissing

DEFAULT_PATH: Final = Path("recommendations.toml")
SIZE_LIMIT: Final = 8 * 1024 * 1024  # bytes of a file


class Recommendation(msgspec.Struct, frozen=True):
    """What has paid best for texts of one structure, of one kind of caller and family of models."""

    auth_mode: str
    model_family: str
    structure_hash: str
    strategy_hint: str
    confidence: float
    observations: int


class ToolAdvice(msgspec.Struct, frozen=True):
    """Whether a tool's results were asked for again so often that they are better left alone."""

    name: str
    leave_alone: bool = False


class _File(msgspec.Struct, frozen=True):
    recommendation: list[Recommendation] = []
    tool: list[ToolAdvice] = []


Key = tuple[str, str, str]
"""How a caller pays, the model's family, and a text's structure."""


class Recommendations(msgspec.Struct, frozen=True):
    """What was read. `left_alone` are tools, in lower case.

    A hint says what has paid best, to whoever looks; pressing does not follow it. It tries the forms of a kind in an
    order of its own, on which depends which costly ones are tried at all: another order would give another text.
    """

    rows: Mapping[Key, Recommendation] = {}
    left_alone: frozenset[str] = frozenset()

    def get(self, auth: str, family: str, structure: str) -> Recommendation | None:
        """What is recommended for one key, if anything is."""
        return self.rows.get((auth, family, structure))


def load(config: Config) -> tuple[Recommendations, Event]:
    """Read the configured file, and say how that went. Blocks on the disk; for the start alone.

    Of two rows with one key the later one counts. A file that is none is told and counts as empty. Raises ConfigError
    where a file is named that is not there.
    """
    named = config.path("recommendations_path")
    try:
        with open(named or DEFAULT_PATH, "rb") as stream:
            data = stream.read(SIZE_LIMIT + 1)
    except FileNotFoundError:
        if named is not None:
            raise ConfigError(
                f"recommendations_path: there is no {named}; allowed is a file that `headroom toin-publish` wrote, "
                "or nothing"
            ) from None
        return Recommendations(), RecommendationsMissing()
    except OSError as error:
        return Recommendations(), RecommendationsLoadFailed(reason=f"{named or DEFAULT_PATH}: {error.strerror}")
    if len(data) > SIZE_LIMIT:
        return Recommendations(), RecommendationsLoadFailed(reason=f"it is over {SIZE_LIMIT} bytes")
    try:
        file = msgspec.convert(tomllib.loads(data.decode()), _File)
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        return Recommendations(), RecommendationsLoadFailed(reason=f"it is no file of recommendations: {error}"[:300])
    rows = {(row.auth_mode, row.model_family, row.structure_hash): row for row in file.recommendation}
    advice = {tool.name.lower(): tool.leave_alone for tool in file.tool}
    left_alone = frozenset(name for name, alone in advice.items() if alone)
    return Recommendations(rows, left_alone), RecommendationsLoaded(rows=len(rows), left_alone=len(left_alone))
