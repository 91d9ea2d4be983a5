"""Undoes a content-encoding, bounded: a body of a few bytes may unpack to gigabytes."""

import sys
import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType

import brotli

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

READABLE = frozenset({"gzip", "x-gzip", "deflate", "br", "zstd", "identity"})

_GZIP, _ZLIB, _RAW = 31, 15, -15  # zlib's `wbits`
_MOST_MEMBERS = 64  # each costs a copy of all that follows
_ZSTD_WINDOW_LOG = 23  # 8 MiB, the most that a sender may ask for (RFC 9659)
_ZSTD_OPTIONS: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}

# (unpacked bytes, whether all of it was read to its end, what follows)
_Part = tuple[bytes, bool, bytes]


class EncodingError(Exception):
    """The bytes are in an encoding that is not read here, or are not what the header says."""


class TooLargeError(EncodingError):
    """There is more than may be unpacked."""


def decode(data: bytes, encoding: str, most: int) -> tuple[bytes, bool]:
    """The decoded bytes of an answer, at most `most` (at least 1), and whether there was more.

    A truncated input gives what can be had, and what follows the end is no part of it. Raises EncodingError.
    """
    found, ended, rest = _decoded(data, _known(encoding), most + 1)  # a byte beyond tells that there is more
    return found[:most], len(found) > most or (bool(rest) and not ended)


def unpack(data: bytes, encoding: str, most: int) -> bytes:
    """The decoded bytes of a request, all of them: a model server must not read more in it, or less, than we do.

    Raises EncodingError for what is cut short or followed by something else, TooLargeError beyond `most` bytes.
    """
    known = _known(encoding)
    found, ended, rest = _decoded(data, known, most + 1)
    if len(found) > most:
        raise TooLargeError(f"the body is larger than {most} bytes when it is unpacked")
    if not ended:
        raise EncodingError(f"the {known} body is cut short")
    if rest:
        raise EncodingError(f"something follows the end of the {known} body")
    return found


def _known(encoding: str) -> str:
    """The name of an encoding that is read here. Raises EncodingError."""
    name = encoding.strip().lower() or "identity"
    if name not in READABLE:
        raise EncodingError(f"content-encoding {name[:40]!r} is not read here")
    return "gzip" if name == "x-gzip" else name


def _decoded(data: bytes, encoding: str, room: int) -> _Part:
    """Part after part: gzip and zstd may have several (RFC 1952, 2.2; RFC 8878, 3.1), and clients read them all."""
    if encoding == "identity":
        return data[:room], True, b""
    part, magics = _PARTS[encoding]
    pieces: list[bytes] = []
    for _ in range(_MOST_MEMBERS):
        try:
            piece, ended, data = part(data, room)
        except (zlib.error, brotli.error, zstd.ZstdError, MemoryError):
            raise EncodingError(f"the body is not {encoding}") from None
        pieces.append(piece)
        room -= len(piece)
        if room <= 0 or not ended or not data.startswith(magics):
            return b"".join(pieces), ended, data
    return b"".join(pieces), False, data


def _inflated(data: bytes, window: int, room: int) -> _Part:
    decoder = zlib.decompressobj(window)
    piece = decoder.decompress(data, room)
    return piece, decoder.eof, decoder.unused_data


def _deflate(data: bytes, room: int) -> _Part:
    try:
        return _inflated(data, _ZLIB, room)
    except zlib.error:
        return _inflated(data, _RAW, room)  # some send raw deflate under this name


def _brotli(data: bytes, room: int) -> _Part:
    decoder = brotli.Decompressor()
    pieces = [decoder.process(data, output_buffer_limit=room)]
    left = room - len(pieces[0])
    while left > 0 and not decoder.is_finished() and not decoder.can_accept_more_data():
        pieces.append(decoder.process(b"", output_buffer_limit=left))
        left -= len(pieces[-1])
    return b"".join(pieces), decoder.is_finished(), b""


def _zstd(data: bytes, room: int) -> _Part:
    decoder = zstd.ZstdDecompressor(options=_ZSTD_OPTIONS)
    piece = decoder.decompress(data, max_length=room)
    return piece, decoder.eof, decoder.unused_data


# What unpacks one part, and the bytes that another part begins with, if there can be one.
_NEVER: tuple[bytes, ...] = ()
_PARTS: Mapping[str, tuple[Callable[[bytes, int], _Part], tuple[bytes, ...]]] = MappingProxyType(
    {
        "gzip": (lambda data, room: _inflated(data, _GZIP, room), (b"\x1f\x8b",)),
        "deflate": (_deflate, _NEVER),
        "br": (_brotli, _NEVER),
        "zstd": (_zstd, (b"\x28\xb5\x2f\xfd", *(bytes([0x50 + n]) + b"\x2a\x4d\x18" for n in range(16)))),
    }
)
