"""Which model a request is for, as far as statistics tell models apart."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import unquote

import msgspec

from headroom.providers import MODEL_FAMILIES, OTHER_MODELS

NAME_LIMIT = 200  # characters of a model's name that are looked at


class _Named(msgspec.Struct, gc=False):
    model: str = ""


_NAMED = msgspec.json.Decoder(_Named)


def model_family(model: str) -> str:
    """The family of a model, by its name: one of those in providers.MODEL_FAMILIES, or `other`.

    Vendors' prefixes, regions, dates and versions make no difference. Never raises. Cost: a look-up; a few patterns
    the first time.
    """
    return _family(model[:NAME_LIMIT])


@lru_cache(maxsize=256)
def _family(model: str) -> str:
    name = unquote(model).lower()
    return next((family for pattern, family in MODEL_FAMILIES if pattern.search(name)), OTHER_MODELS)


def named_model(body: bytes, items: tuple[int, int], path: Mapping[str, str]) -> str:
    """The model that a request names in its body, or else in its path; empty where neither does.

    `items` is where the body's items are, which are not read again: see Located. Never raises. Cost: one pass over
    what is around them.
    """
    begin, end = items
    try:
        model = _NAMED.decode(body[:begin] + body[end:]).model
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        model = ""
    return model or path.get("model", "")
