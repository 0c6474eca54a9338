"""`headroom toin-publish`: what the statistics recommend, as a file that a proxy reads when it starts.

The same statistics give the same bytes: sorted, and without a time.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

import msgspec
import orjson

from headroom import config as settings
from headroom.config import Config, ConfigError
from headroom.learning import learning_path
from headroom.learning_file import ERRORS, FormRow, StatisticsFile, ToolRow
from headroom.recommendations import DEFAULT_PATH, NEARLY_ALL, Key, Recommendation, ToolAdvice

LEAST: Final = 50  # observations, if nothing else is said
DEFAULT_HINT: Final = "default"  # nothing has paid
RATE: Final = 0.5  # of a tool's presses that were asked for again, above which it is left alone
FEW_CALLERS: Final = 3  # below which how many there were says nothing
UNAVAILABLE: Final = 69
_HEADER: Final = f"""\
# Written by `headroom toin-publish` from observed statistics. Read once when the proxy starts; for deployment only.
# Changing it changes nothing in a process that runs, and nothing that was decided before.
# A hint was the best form for `share` of the texts, and saved `saved` of their tokens. It is tried first from
# share = {NEARLY_ALL} on, and alone where a text becomes about as much shorter.
"""


class Statistics(msgspec.Struct, frozen=True):
    """What is published from: sorted, see StatisticsFile."""

    forms: Sequence[FormRow] = ()
    tools: Sequence[ToolRow] = ()
    callers: Mapping[Key, int] = {}


def read(path: Path) -> Statistics:
    """All statistics in a file; none where there is no file yet, or nothing in it. Raises one of
    learning_file.ERRORS."""
    if not path.exists() or not path.stat().st_size:
        return Statistics()
    file = StatisticsFile(path)
    try:
        file.open_made()
        return Statistics(file.forms(), file.tools(), file.callers())
    finally:
        file.close()


def recommend(statistics: Statistics, least: int) -> tuple[list[Recommendation], list[ToolAdvice]]:
    """What is recommended by at least `least` observations, sorted by key and by name."""
    rows = []
    for key, forms in groupby(statistics.forms, key=lambda form: (form.auth, form.family, form.structure)):
        tried = list(forms)
        observations = sum(form.presses + form.tries for form in tried)
        if observations >= least:
            confidence = _confidence(observations, statistics.callers.get(key, 0))
            best = _best(tried)
            if best is None:
                rows.append(Recommendation(*key, DEFAULT_HINT, confidence, observations))
            else:
                share, saved = best.presses / observations, (best.before - best.after) / best.before
                numbers = (round(share, 4), round(saved, 4))
                rows.append(Recommendation(*key, best.form, confidence, observations, *numbers))
    tools = [
        ToolAdvice(tool.name, _is_left_alone(tool))
        for tool in statistics.tools
        if tool.presses and tool.presses >= least
    ]
    return rows, tools


def render(rows: Sequence[Recommendation], tools: Sequence[ToolAdvice]) -> bytes:
    """The file's bytes; a valid one also without rows."""
    parts = [_HEADER]
    for row in rows:
        parts.append(
            "\n[[recommendation]]\n"
            f"auth_mode = {_text(row.auth_mode)}\n"
            f"model_family = {_text(row.model_family)}\n"
            f"structure_hash = {_text(row.structure_hash)}\n"
            f"strategy_hint = {_text(row.strategy_hint)}\n"
            f"confidence = {row.confidence:.4f}\n"
            f"observations = {row.observations}\n"
            f"share = {row.share:.4f}\n"
            f"saved = {row.saved:.4f}\n"
        )
    for tool in tools:
        parts.append(f"\n[[tool]]\nname = {_text(tool.name)}\nleave_alone = {str(tool.leave_alone).lower()}\n")
    return "".join(parts).encode()


def write(path: Path, data: bytes) -> None:
    """Put `data` in the place of the file at `path` at once: who reads it sees the old or the new one.

    Raises OSError.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def main(arguments: Sequence[str]) -> None:
    """Publish.

    Exits with 2 for a call that is wrong, 69 where a file cannot be read or written, 78 for configuration that cannot
    be used.
    """
    parser = argparse.ArgumentParser(
        "headroom toin-publish",
        description="Write what the statistics recommend to a file that `headroom serve` reads when it starts.",
        epilog="Further flags are the settings of `headroom serve`, such as --learning-path and --store.",
    )
    parser.add_argument("-o", "--output", type=Path, default=DEFAULT_PATH, help="default: %(default)s")
    parser.add_argument(
        "--min-observations", type=_positive, default=LEAST, help="of a row that is published; default: %(default)s"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="print what was written")
    given, rest = parser.parse_known_args(arguments)
    try:
        source = _source(settings.load(rest, settings.environment()))
        if not source.exists():
            sys.stderr.write(
                f"headroom toin-publish: there are no statistics at {source} yet, so nothing is recommended; "
                "--learning-path or --store say where the proxy's are\n"
            )
        rows, tools = recommend(read(source), given.min_observations)
        data = render(rows, tools)
        write(given.output, data)
    except ConfigError as error:
        settings.fail(error)
    except ERRORS as error:
        sys.stderr.write(f"headroom toin-publish: {_said(error, given.output)}\n")
        raise SystemExit(UNAVAILABLE) from None
    if given.verbose:
        alone = [tool.name for tool in tools if tool.leave_alone]
        sys.stdout.write(data.decode())
        sys.stdout.write(f"{given.output}: {len(rows)} recommendations, {len(alone)} tools to leave alone\n")


def _source(config: Config) -> Path:
    path = learning_path(config)
    if path is None:
        raise ConfigError("learning_path: statistics beside a store in memory end with the proxy; name a file")
    return path


def _said(error: Exception, output: Path) -> str:
    """What went wrong, and where: a new file is written under another name first, which nobody has heard of."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    name = str(error.filename or output)
    return f"{output if Path(name).name.startswith(f'.{output.name}.') else name}: {error.strerror}"


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; allowed is a whole number of at least 1")
    return number


def _best(forms: Sequence[FormRow]) -> FormRow | None:
    """The form that has saved most per token it was given, less what was given back, if one has; ties by name."""
    paid = [form for form in forms if form.form and form.before and _gain(form) > 0]
    return min(paid, key=lambda form: (-_gain(form), form.form), default=None)


def _gain(form: FormRow) -> float:
    return (form.before - form.after - form.given_back) / form.before


def _confidence(observations: int, callers: int) -> float:
    by_callers = min(0.3, 0.03 * callers) if callers >= FEW_CALLERS else 0.0
    return round(min(0.95, min(0.7, observations / 100) + by_callers), 4)


def _is_left_alone(tool: ToolRow) -> bool:
    return (tool.regrets + tool.whole) / tool.presses > RATE and tool.saved <= tool.given_back


def _text(value: str) -> str:
    return orjson.dumps(value).decode()
