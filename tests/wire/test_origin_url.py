"""Origins read from URLs, and how the Host field names them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.wire.origin import Origin, parse_origin


@pytest.mark.parametrize(
    ("url", "origin", "authority"),
    [
        ("https://api.example.com", Origin(True, "api.example.com", 443), b"api.example.com"),
        ("http://api.example.com", Origin(False, "api.example.com", 80), b"api.example.com"),
        ("https://api.example.com:443/", Origin(True, "api.example.com", 443), b"api.example.com"),
        ("https://api.example.com:80", Origin(True, "api.example.com", 80), b"api.example.com:80"),
        ("http://127.0.0.1:8787", Origin(False, "127.0.0.1", 8787), b"127.0.0.1:8787"),
        ("http://[::1]:8787", Origin(False, "::1", 8787), b"[::1]:8787"),
        ("https://[2001:db8::1]", Origin(True, "2001:db8::1", 443), b"[2001:db8::1]"),
        ("HTTPS://API.Example.COM", Origin(True, "api.example.com", 443), b"api.example.com"),
        ("  https://h \n", Origin(True, "h", 443), b"h"),
        ("https://bücher.example", Origin(True, "xn--bcher-kva.example", 443), b"xn--bcher-kva.example"),
        ("https://h:", Origin(True, "h", 443), b"h"),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, origin: Origin, authority: bytes) -> None:
    assert parse_origin(url) == origin
    assert origin.authority == authority
    assert origin.host_line == b"Host: " + authority + b"\r\n"


@pytest.mark.parametrize(
    ("path", "prefix"),
    [
        ("", b""),
        ("/", b""),
        ("/v1", b""),
        ("/v1/", b""),
        ("//", b""),
        ("/gateway", b"/gateway"),
        ("/gateway/v1", b"/gateway"),
        ("/gateway/v1/", b"/gateway"),
        ("/gateway//v1", b"/gateway"),
        ("/v1/gateway", b"/v1/gateway"),
        ("/av1", b"/av1"),
        ("/a%20b", b"/a%20b"),
    ],
)
def test_a_path_is_kept_without_its_version(path: str, prefix: bytes) -> None:
    assert parse_origin(f"https://h{path}").prefix == prefix


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "api.example.com",
            "api.example.com:443",
            "//h",
            "ftp://h",
            "ws://h",
            "https://",
            "https:///v1",
            "unix:/x",
        ),
        *("https://user@h", "https://user:key@h", "https://@h", "https://h?x=1", "https://h/#x", "https://h:0x1"),
        *("https://h:port", "https://h:65536", "https://h:-1", "https://[::1", "https://a b", "https://h/a b"),
        *("https://h/é", "https://h/\x00", "https://h\r\nX: y", "https://h/\x7f", "https://" + "ü" * 70 + ".example"),
    ],
)
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        parse_origin(url)


@pytest.mark.parametrize("url", ["https://h", "http://h:8080/gateway", "https://[::1]:8443", "http://h:443"])
def test_an_origin_is_written_as_it_is_read(url: str) -> None:
    assert str(parse_origin(url)) == url
    assert parse_origin(str(parse_origin(url))) == parse_origin(url)


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.sampled_from(["", "http://", "https://", "https://h/"]),
)
def test_any_text_is_an_origin_with_a_safe_host_line_or_refused(text: str, scheme: str) -> None:
    try:
        origin = parse_origin(scheme + text)
    except ValueError:
        return
    line = origin.host_line + origin.prefix
    assert line.count(b"\r\n") == 1 and all(0x20 < byte < 0x7F for byte in origin.authority + origin.prefix)
    assert 0 < origin.port < 65536
    assert parse_origin(str(origin)) == origin
