"""An authority of a test's own, and origins that it vouches for."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Final

import pytest

_OPENSSL: Final = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(_OPENSSL is None, reason="certificates are made by the openssl command")
AUTHORITY: Final = "ca.pem"
"""The authority's certificate, in the folder."""


def make_certificates(folder: Path) -> Path:
    """Make an authority, `ca.pem`, and a certificate of its for localhost, `server.pem`, in `folder`."""
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    (folder / "names").write_text("subjectAltName=DNS:localhost,DNS:other.test,IP:127.0.0.1\n")
    _openssl(folder, "req", "-x509", *new_key, "-keyout", "ca.key", "-out", AUTHORITY, "-days", "2", "-subj", "/CN=ca")
    _openssl(folder, "req", *new_key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=server")
    signed = ("-CA", AUTHORITY, "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names")
    _openssl(folder, "x509", "-req", "-in", "server.csr", *signed, "-out", "server.pem", "-days", "2")
    return folder


def server_context(folder: Path) -> ssl.SSLContext:
    """What an origin speaks TLS with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return context


def _openssl(folder: Path, *arguments: str) -> None:
    assert _OPENSSL is not None
    subprocess.run([_OPENSSL, *arguments], cwd=folder, check=True, capture_output=True)
