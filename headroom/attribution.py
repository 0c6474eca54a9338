"""Whose work a request is: a project named before its path or in a field, and a user named in a field. Pure.

Clients that can set nothing but a base URL name a project in it: `/p/my%20project/v1/messages`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec

NAME_LIMIT: Final = 64  # characters of a name
PREFIX: Final = b"/p/"
PROJECT_FIELD: Final = b"x-headroom-project"
USER_FIELD: Final = b"x-headroom-user"
_SEGMENT = re.compile(rb"/p/([^/?]*)(?=[/?]|\Z)")
_NO_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class BadPrefix(ValueError):
    """The name before a path is not percent-encoded UTF-8."""


class Attribution(msgspec.Struct, frozen=True, gc=False):
    """Who a request is for; empty where that is not said. `unfit` are the kinds of names that were given and are not
    fit to be used: not printable, or too long."""

    project: str = ""
    user: str = ""
    unfit: tuple[str, ...] = ()


_NOBODY: Final = Attribution()


def without_prefix(target: bytes) -> tuple[bytes, bytes | None]:
    """A target in origin form without its project, and the project's name as it is written, None where there is none.

    The name may be empty: a variable in a base URL that was not set.
    """
    found = _SEGMENT.match(target) if target.startswith(PREFIX) else None
    if found is None:
        return target, None
    rest = target[found.end() :]
    return rest if rest.startswith(b"/") else b"/" + rest, found[1]


def attribution(written: bytes | None, fields: Mapping[bytes, bytes]) -> Attribution:
    """Whom a request is for, given the name before its path as written there. The field wins over it.

    Raises BadPrefix. Cost: two look-ups where nothing is named.
    """
    if written is not None:
        decoded = _decoded(written)
    project, user = fields.get(PROJECT_FIELD), fields.get(USER_FIELD)
    if project is None and user is None and written is None:
        return _NOBODY
    named = {
        "project": decoded if project is None and written is not None else _text(project),
        "user": _text(user),
    }
    names = {kind: _fit(name) for kind, name in named.items()}
    unfit = tuple(kind for kind, name in names.items() if name is None)
    return Attribution(names["project"] or "", names["user"] or "", unfit)


def _decoded(written: bytes) -> str:
    if _NO_ESCAPE.search(written):
        raise BadPrefix
    try:
        return unquote_to_bytes(written).decode()
    except UnicodeDecodeError:
        raise BadPrefix from None


def _text(value: bytes | None) -> str:
    """A field's value; what is no UTF-8 becomes characters that are not printable."""
    return "" if value is None else value.decode("utf-8", "surrogateescape")


def _fit(name: str) -> str | None:
    """The name as it is used, or None where it cannot be."""
    name = name.strip()
    return name if len(name) <= NAME_LIMIT and name.isprintable() else None
