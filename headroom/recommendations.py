"""What was learnt before and published: read once, when a process starts, and the same until it ends."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from headroom.config import Config, ConfigError
from headroom.events import Event, RecommendationsLoaded, RecommendationsLoadFailed, RecommendationsMissing
from headroom.zones.detect import Kind
from headroom.zones.hints import Hint, Hints
from headroom.zones.press import follows
from headroom.zones.structure import beginning, structure

DEFAULT_PATH: Final = Path("recommendations.toml")
SIZE_LIMIT: Final = 8 * 1024 * 1024  # bytes of a file
NEARLY_ALL: Final = 0.9  # of the texts of a row that its form must have been the best for, to be tried first


class Recommendation(msgspec.Struct, frozen=True):
    """What has paid best for texts of one structure, of one kind of caller and family of models.

    `share` is how many of the observed texts the hinted form was the best for, and `saved` what it has saved of their
    tokens, both of 1; 0 where the file does not say it.
    """

    auth_mode: str
    model_family: str
    structure_hash: str
    strategy_hint: str
    confidence: float
    observations: int
    share: float = 0.0
    saved: float = 0.0


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
    """What was read. `left_alone` are tools, in lower case, `hints` say by key which form is tried first.

    Only rows whose form was the best for NEARLY_ALL texts give a hint: where several forms win, each on texts of its
    own, trying one alone loses tokens that are worth more than the work it saves. Forms of what was cut, and those
    whose kind has no costly others, give none either.
    """

    rows: Mapping[Key, Recommendation] = {}
    left_alone: frozenset[str] = frozenset()
    hints: Mapping[Key, Hint] = {}

    def get(self, auth: str, family: str, structure: str) -> Recommendation | None:
        """What is recommended for one key, if anything is."""
        return self.rows.get((auth, family, structure))

    def hints_of(self, auth: str, family: str) -> Hints:
        """What to try first on the texts of one kind of caller and family of models. Cost of asking: see
        zones.structure."""

        def hint(text: str, kind: Kind) -> Hint | None:
            return self.hints.get((auth, family, structure(beginning(text), kind)))

        return hint


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
    found = Recommendations(rows, left_alone, _hints(rows.values()))
    return found, RecommendationsLoaded(rows=len(rows), left_alone=len(left_alone))


def _hints(rows: Iterable[Recommendation]) -> dict[Key, Hint]:
    return {
        (row.auth_mode, row.model_family, row.structure_hash): Hint(row.strategy_hint, row.saved)
        for row in rows
        if row.share >= NEARLY_ALL and follows(row.strategy_hint)
    }
