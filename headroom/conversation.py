"""Whose request it is: what goes into a conversation's name besides its own opening.

Never the model or the system prompt alone, which all conversations of an agent share; never a hash of a whole body,
since clients shuffle keys and move markers.
"""

from __future__ import annotations

from collections.abc import Mapping

from blake3 import blake3

from headroom.providers import CREDENTIAL_FIELDS, CREDENTIAL_PARAMETER, SESSION_FIELD, Dialect


def caller(fields: Mapping[bytes, bytes], target: bytes) -> bytes:
    """A digest of the credential a request carries, in its fields or its target: 32 bytes that nothing can be got back
    from."""
    parts = [fields.get(name, b"") for name in CREDENTIAL_FIELDS]
    if CREDENTIAL_PARAMETER in target:
        parameters = target.partition(b"?")[2].split(b"&")
        parts += [one for one in parameters if one.startswith(CREDENTIAL_PARAMETER)]
    return blake3(b"\0".join(parts)).digest()


def session(fields: Mapping[bytes, bytes], dialect: Dialect) -> bytes:
    """The session a client names in its head, or ``b""``; then the body's own is used."""
    for name in (SESSION_FIELD, *dialect.session_fields):
        value = fields.get(name)
        if value:
            return value
    return b""
