"""The files of JSONTestSuite (https://github.com/nst/JSONTestSuite, MIT; the licence is in the archive)."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

ARCHIVE = Path(__file__).parent.parent / "corpus" / "jsontestsuite.tar.xz"


@cache
def suite() -> Mapping[str, bytes]:
    """Contents by file name. `y_` must be accepted, `n_` refused, `i_` and the transforms are up to the reader."""
    found: dict[str, bytes] = {}
    with tarfile.open(ARCHIVE, "r:xz") as archive:
        for member in archive.getmembers():
            stream = archive.extractfile(member) if member.name.endswith(".json") else None
            if stream is not None:
                found[Path(member.name).name] = stream.read()
    return found
