"""Content codings, undone within their bound."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from fuzz.drives import drive_coding
from headroom.faults import BadCoding
from headroom.wire.coding import MEMBERS_LIMIT, STACK_LIMIT, decode, identity, unpacker


def _raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def _zstd_stream(data: bytes) -> bytes:
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress(data) + packer.flush()


PACKERS: list[tuple[bytes, Callable[[bytes], bytes]]] = [
    (b"gzip", gzip.compress),
    (b"x-gzip", gzip.compress),
    (b"deflate", zlib.compress),
    (b"deflate", _raw_deflate),
    (b"br", brotli.compress),
    (b"zstd", zstandard.ZstdCompressor().compress),
    (b"zstd", _zstd_stream),
    (b"zstandard", _zstd_stream),
]
LIMIT = 1 << 20


@pytest.mark.parametrize(("coding", "pack"), PACKERS)
@given(data=st.binary(max_size=200), times=st.sampled_from([1, 500]))
def test_what_was_packed_is_unpacked(coding: bytes, pack: Callable[[bytes], bytes], data: bytes, times: int) -> None:
    assert decode(pack(data * times), coding, LIMIT) == data * times


@pytest.mark.parametrize(("coding", "pack"), PACKERS)
@pytest.mark.parametrize("step", [1, 3, 100])
def test_a_stream_is_unpacked_piece_by_piece(coding: bytes, pack: Callable[[bytes], bytes], step: int) -> None:
    data = b"".join(b"event %d\n" % n for n in range(300))
    packed = pack(data)
    undo = unpacker(coding, LIMIT)
    assert undo is not None
    out = b"".join(undo.feed(packed[at : at + step]) for at in range(0, len(packed), step))
    assert out + undo.finish() == data


@pytest.mark.parametrize(("coding", "pack"), PACKERS)
def test_a_cut_stream_is_refused(coding: bytes, pack: Callable[[bytes], bytes]) -> None:
    packed = pack(b"some text, some other text" * 20)
    for end in range(1, len(packed)):
        with pytest.raises(BadCoding):
            decode(packed[:end], coding, LIMIT)


@pytest.mark.parametrize("coding", [b"gzip", b"br", b"zstd", b"deflate"])
@pytest.mark.parametrize("data", [b"plain text, not packed", b"\xff" * 40, b"\x1f\x8b\x08\x00damaged"])
def test_a_damaged_stream_is_refused(coding: bytes, data: bytes) -> None:
    with pytest.raises(BadCoding):
        decode(data, coding, LIMIT)


@pytest.mark.parametrize(("coding", "pack"), PACKERS)
def test_the_bound_is_exact(coding: bytes, pack: Callable[[bytes], bytes]) -> None:
    packed = pack(b"x" * 5000)
    assert len(decode(packed, coding, 5000)) == 5000
    with pytest.raises(BadCoding):
        decode(packed, coding, 4999)


@pytest.mark.parametrize(("coding", "pack"), PACKERS)
def test_a_bomb_is_refused_before_it_has_unpacked(coding: bytes, pack: Callable[[bytes], bytes]) -> None:
    with pytest.raises(BadCoding):
        decode(pack(bytes(4 << 20)), coding, LIMIT)


@pytest.mark.parametrize(("coding", "pack"), [(b"gzip", gzip.compress), (b"zstd", zstandard.ZstdCompressor().compress)])
def test_several_members_are_one_body(coding: bytes, pack: Callable[[bytes], bytes]) -> None:
    packed = pack(b"one ") + pack(b"") + pack(b"two")
    assert decode(packed, coding, LIMIT) == b"one two"
    many = pack(b"x" * 600) * 10
    with pytest.raises(BadCoding):
        decode(many, coding, 5999)


@pytest.mark.parametrize(("coding", "pack"), [(b"gzip", gzip.compress), (b"zstd", zstandard.ZstdCompressor().compress)])
def test_more_members_than_anybody_sends_are_refused(coding: bytes, pack: Callable[[bytes], bytes]) -> None:
    """Each costs, however little is in it."""
    assert decode(pack(b"") * MEMBERS_LIMIT, coding, 10) == b""
    with pytest.raises(BadCoding, match="streams"):
        decode(pack(b"") * (MEMBERS_LIMIT + 1), coding, 10)


def test_many_bombs_behind_one_another_are_refused_at_the_bound() -> None:
    bomb = gzip.compress(b"0" * (1 << 20), 9)
    tracemalloc.start()
    with pytest.raises(BadCoding, match="unpacks to more"):
        decode(bomb * 200, b"gzip", (1 << 20) + 1)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 8 << 20


@pytest.mark.parametrize("coding", [b"GZIP", b" gzip ", b"Br", b"ZSTD"])
def test_a_coding_is_named_in_any_case(coding: bytes) -> None:
    assert unpacker(coding, LIMIT) is not None


@pytest.mark.parametrize(
    "value", [b"gzip, zstd", b"GZIP,zstd", b"identity, gzip , , zstd", b"gzip,\tidentity,zstd", b"x-gzip, zstandard"]
)
def test_codings_on_one_another_are_undone_last_first(value: bytes) -> None:
    packed = _zstd_stream(gzip.compress(b"text" * 99))
    assert decode(packed, value, LIMIT) == b"text" * 99
    with pytest.raises(BadCoding):
        decode(packed, b"zstd, gzip", LIMIT)
    with pytest.raises(BadCoding):
        decode(packed, value, 395)


def test_a_bomb_within_a_bomb_is_refused_at_the_first_bound() -> None:
    inner = gzip.compress(bytes(64 << 20), 9)
    with pytest.raises(BadCoding):
        decode(_zstd_stream(inner), b"gzip, zstd", LIMIT)
    with pytest.raises(BadCoding):
        decode(gzip.compress(_zstd_stream(bytes(8 << 20))), b"zstd, gzip", LIMIT)


def test_more_codings_than_anybody_uses_are_refused() -> None:
    packed, value = b"text", b"gzip"
    for _ in range(STACK_LIMIT):
        packed = gzip.compress(packed)
    assert decode(packed, b", ".join([value] * STACK_LIMIT), LIMIT) == b"text"
    with pytest.raises(BadCoding):
        decode(gzip.compress(packed), b", ".join([value] * (STACK_LIMIT + 1)), LIMIT)


@pytest.mark.parametrize(("coding", "pack"), PACKERS)
@pytest.mark.parametrize("tail", [b"x", b"tail", b"\x00", b"{}" * 40])
def test_what_follows_the_coded_bytes_is_no_part_of_them(
    coding: bytes, pack: Callable[[bytes], bytes], tail: bytes
) -> None:
    with pytest.raises(BadCoding):
        decode(pack(b"some text") + tail, coding, LIMIT)


@pytest.mark.parametrize("coding", [b"", b"identity", b"compress", b"gzip, br", b"\xff", b"gzip, compress"])
def test_another_coding_is_refused(coding: bytes) -> None:
    assert unpacker(coding, LIMIT) is None
    with pytest.raises(BadCoding):
        decode(b"", coding, LIMIT)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, True),
        (b"", True),
        (b"identity", True),
        (b" Identity ", True),
        (b"gzip", False),
        (b"br, identity", False),
        (b"identity, , identity", True),
    ],
)
def test_a_body_without_coding_is_told_apart(value: bytes | None, plain: bool) -> None:
    assert identity(value) is plain


@given(st.binary(max_size=60), st.sampled_from([b"", *(pack(b"some text") for _, pack in PACKERS)]), st.integers(0, 30))
def test_any_bytes_are_decoded_within_the_bound_or_refused(noise: bytes, packed: bytes, at: int) -> None:
    drive_coding(packed[:at] + noise + packed[at:])
    drive_coding(packed + noise)
