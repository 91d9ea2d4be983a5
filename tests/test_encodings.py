"""Content-encodings undone: every kind a server sends, bounded, and never more than was promised."""

import contextlib
import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import brotli
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from gateway.encodings import EncodingError, TooLargeError, Unpacker, decode, unpack
from tests.support.running.together import together

TEXT = b"What is assayed is weighed; what is weighed is known. " * 40


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "identity": bytes,
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "DEFLATE": raw_deflate,  # what some servers send under this name
    " GZip ": gzip.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
}


@together("encoding", ENCODERS)
@together("data", [b"", b"x", TEXT, bytes(range(256)) * 50], ids=["empty", "one", "text", "bytes"])
def test_round_trip(encoding: str, data: bytes) -> None:
    assert decode(ENCODERS[encoding](data), encoding, 1 << 20) == (data, False)


@pytest.mark.parametrize("encoding", ENCODERS)
def test_the_bound_is_exact(encoding: str) -> None:
    packed = ENCODERS[encoding](TEXT)
    assert decode(packed, encoding, len(TEXT)) == (TEXT, False)
    assert decode(packed, encoding, len(TEXT) + 1) == (TEXT, False)
    assert decode(packed, encoding, len(TEXT) - 1) == (TEXT[:-1], True)
    assert decode(packed, encoding, 1) == (TEXT[:1], True)


@given(data=st.binary(max_size=300), most=st.integers(1, 320), repeat=st.sampled_from([1, 50]))
def test_any_data_any_bound(data: bytes, most: int, repeat: int) -> None:
    data *= repeat
    for encoding, encode in ENCODERS.items():
        assert decode(encode(data), encoding, most) == (data[:most], len(data) > most)


@given(cut=st.integers(0, 200), encoding=st.sampled_from(["gzip", "deflate"]))
def test_a_truncated_body_gives_its_beginning(cut: int, encoding: str) -> None:
    packed = ENCODERS[encoding](TEXT)
    got, more = decode(packed[:cut], encoding, 1 << 20)
    assert TEXT.startswith(got)
    assert not more
    assert len(got) == len(TEXT) or cut < len(packed)


def test_several_gzip_members_are_one_body() -> None:
    packed = gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"two")
    assert decode(packed, "gzip", 100) == (b"one two", False)
    assert decode(packed, "gzip", 7) == (b"one two", False)
    assert decode(packed, "gzip", 6) == (b"one tw", True)
    assert decode(packed, "gzip", 4) == (b"one ", True)
    assert decode(packed[:-12], "gzip", 100)[0].startswith(b"one ")
    assert decode(gzip.compress(b"one") + b"\0\0 padding", "gzip", 100) == (b"one", False)


def test_a_body_of_endless_members_is_given_up() -> None:
    got, more = decode(gzip.compress(b"") * 50_000, "gzip", 100)
    assert (got, more) == (b"", True)


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (b"plain text", "gzip"),
        (b"plain text", "deflate"),
        (gzip.compress(TEXT, mtime=0), "deflate"),
        (zlib.compress(TEXT), "gzip"),
        (gzip.compress(TEXT, mtime=0)[:-8] + bytes(8), "gzip"),  # a wrong checksum
        (zlib.compress(TEXT)[:-4] + bytes(4), "deflate"),
        (TEXT, "br"),
        (TEXT, "zstd"),
        (TEXT, "gzip, gzip"),
        (TEXT, "x" * 1000),
    ],
)
def test_what_cannot_be_read_is_said(data: bytes, encoding: str) -> None:
    with pytest.raises(EncodingError) as caught:
        decode(data, encoding, 1 << 20)
    assert len(str(caught.value)) < 100


@pytest.mark.slow
def test_a_bomb_does_not_go_off() -> None:
    """64 MiB in 64 KiB: only what was asked for is unpacked."""
    packer = zlib.compressobj(9, wbits=31)
    packed = b"".join([packer.compress(bytes(1 << 20)) for _ in range(64)]) + packer.flush()
    tracemalloc.start()
    try:
        got, more = decode(packed, "gzip", 4096)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (got, more) == (bytes(4096), True)
    assert peak < 4 << 20


# --- requests: all of the body, or none of it

WHOLE = {name: encode for name, encode in ENCODERS.items() if name.strip() not in ("", "identity")}


@pytest.mark.parametrize("encoding", WHOLE)
def test_a_request_is_unpacked_whole_or_refused(encoding: str) -> None:
    packed = WHOLE[encoding](TEXT)
    assert unpack(packed, encoding, len(TEXT)) == TEXT
    with pytest.raises(TooLargeError):
        unpack(packed, encoding, len(TEXT) - 1)
    for cut in range(0, len(packed), 7):
        with pytest.raises(EncodingError):
            unpack(packed[:cut], encoding, 1 << 20)
    for more in (b"\0", b"x", b"{}", packed[:5]):
        with pytest.raises(EncodingError):
            unpack(packed + more, encoding, 1 << 20)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_parts_are_joined_within_the_bound(encoding: str) -> None:
    packed = WHOLE[encoding](b"ab") * 3
    assert unpack(packed, encoding, 6) == b"ababab"
    with pytest.raises(TooLargeError):
        unpack(packed, encoding, 5)
    with pytest.raises(EncodingError):
        unpack(WHOLE[encoding](b"") * 100, encoding, 5)


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_a_bomb_takes_no_more_memory_than_was_allowed(encoding: str) -> None:
    bomb = WHOLE[encoding](bytes(64 << 20))
    tracemalloc.start()
    with pytest.raises(TooLargeError):
        unpack(bomb, encoding, 1 << 20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20


def test_a_window_larger_than_any_sender_may_use_is_refused() -> None:
    options: dict[int, int] = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.content_size_flag: 0}
    packer = zstd.ZstdCompressor(options=options)
    packed = packer.compress(TEXT) + packer.flush()
    with pytest.raises(EncodingError):
        unpack(packed, "zstd", 1 << 30)


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate", "br", "zstd"]))
def test_any_bytes_are_unpacked_or_refused(data: bytes, encoding: str) -> None:
    with contextlib.suppress(EncodingError):
        unpack(data, encoding, 1000)


@pytest.mark.parametrize("encoding", ["gzip, zstd", "compress", "aws-chunked", "x"])
def test_encodings_that_are_not_read(encoding: str) -> None:
    with pytest.raises(EncodingError):
        unpack(b"", encoding, 10)


@pytest.mark.parametrize("encoding", ENCODERS)
@pytest.mark.parametrize("size", [1, 5, 10**6])
def test_piece_by_piece_it_is_the_same(encoding: str, size: int) -> None:
    for data in (b"", b"x", TEXT, bytes(range(256)) * 50):
        packed = ENCODERS[encoding](data)
        unpacker = Unpacker(encoding, 100)
        pieces = [piece for at in range(0, len(packed), size) for piece in unpacker.feed(packed[at : at + size])]
        assert b"".join(pieces) == data
        assert encoding in ("", "identity") or all(
            0 < len(piece) <= (20_000 if encoding == "br" else 100) for piece in pieces
        )


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("size", [1, 10**6])
def test_parts_are_joined_piece_by_piece_too(encoding: str, size: int) -> None:
    packed = ENCODERS[encoding](b"one ") + ENCODERS[encoding](b"two")
    unpacker = Unpacker(encoding, 100)
    pieces = [piece for at in range(0, len(packed), size) for piece in unpacker.feed(packed[at : at + size])]
    assert b"".join(pieces) == b"one two"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_pieces_of_something_else_are_an_error(encoding: str) -> None:
    with pytest.raises(EncodingError):
        list(Unpacker(encoding, 100).feed(b"\xff this is in no encoding at all, and long enough to tell"))
    with pytest.raises(EncodingError):
        Unpacker("compress", 100)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_what_follows_the_end_is_not_kept_piece_by_piece(encoding: str) -> None:
    unpacker = Unpacker(encoding, 100)
    assert b"".join(unpacker.feed(ENCODERS[encoding](TEXT))) == TEXT
    tracemalloc.start()
    try:
        for _ in range(1000):
            assert list(unpacker.feed(b"\0" * 10_000)) == []
        assert tracemalloc.get_traced_memory()[0] < 10**6
    finally:
        tracemalloc.stop()
