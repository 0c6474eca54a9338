"""TLS towards origins: names and chains verified, sessions resumed. With real connections over loopback."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from headroom.wire import tls
from headroom.wire.tls import ResumingContext, client_context
from tests.support.certificates import make_certificates, needs_openssl, server_context

pytestmark = needs_openssl


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See make_certificates."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@asynccontextmanager
async def origin(certificates: Path, most: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> AsyncIterator[int]:
    """An origin that answers every line with itself; gives its port."""
    context = server_context(certificates)
    context.set_alpn_protocols(["h2", "http/1.1"])
    context.maximum_version = most

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(line)
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def visit(context: ResumingContext, port: int, name: str = "localhost") -> ssl.SSLObject:
    """Connect, exchange a line, remember the session, leave. Gives the TLS object of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    try:
        writer.write(b"hello\n")
        assert await reader.readline() == b"hello\n"
        secured = writer.get_extra_info("ssl_object")
        assert isinstance(secured, ssl.SSLObject)
        context.remember(secured)
        return secured
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_the_second_connection_resumes_the_session_of_the_first(
    certificates: Path, version: ssl.TLSVersion
) -> None:
    context = client_context(certificates / "ca.pem")
    async with origin(certificates, version) as port:
        first = await visit(context, port)
        second = await visit(context, port)
        third = await visit(context, port)
    assert [first.session_reused, second.session_reused, third.session_reused] == [False, True, True]


async def test_http_1_is_spoken_even_where_the_origin_prefers_another(certificates: Path) -> None:
    async with origin(certificates) as port:
        secured = await visit(client_context(certificates / "ca.pem"), port)
    assert secured.selected_alpn_protocol() == "http/1.1"


async def test_a_session_is_not_offered_to_another_host(certificates: Path) -> None:
    context = client_context(certificates / "ca.pem")
    async with origin(certificates) as port:
        await visit(context, port)
        other = await visit(context, port, "other.test")
    assert not other.session_reused


async def test_a_context_of_its_own_shares_no_session(certificates: Path) -> None:
    async with origin(certificates) as port:
        await visit(client_context(certificates / "ca.pem"), port)
        other = await visit(client_context(certificates / "ca.pem"), port)
    assert not other.session_reused


async def test_the_least_recent_session_is_forgotten(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "SESSION_LIMIT", 1)
    context = client_context(certificates / "ca.pem")
    async with origin(certificates) as port:
        await visit(context, port)
        await visit(context, port, "other.test")
        again = await visit(context, port)
    assert not again.session_reused


async def test_a_name_that_the_certificate_lacks_is_refused(certificates: Path) -> None:
    context = client_context(certificates / "ca.pem")
    async with origin(certificates) as port:
        with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
            await visit(context, port, "wrong.test")


async def test_a_name_is_checked_after_a_session_with_another_one(certificates: Path) -> None:
    context = client_context(certificates / "ca.pem")
    async with origin(certificates) as port:
        await visit(context, port)
        with pytest.raises(ssl.SSLCertVerificationError):
            await visit(context, port, "wrong.test")


async def test_an_authority_that_nobody_trusts_is_refused(certificates: Path) -> None:
    async with origin(certificates) as port:
        with pytest.raises(ssl.SSLCertVerificationError):
            await visit(client_context(None), port)


@pytest.mark.parametrize("content", [None, b"", b"not a certificate"])
def test_an_authority_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises((OSError, ssl.SSLError)):
        client_context(file)


def test_old_versions_of_the_protocol_are_not_spoken() -> None:
    context = client_context(None)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
