"""Undoes a content-encoding within bounds, because a body of a few bytes may unpack to gigabytes."""

import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Protocol

import brotli

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

READABLE = frozenset({"gzip", "x-gzip", "deflate", "br", "zstd", "identity"})

_GZIP, _ZLIB, _RAW = 31, 15, -15  # zlib's `wbits`
_METHOD = 8  # of compression, in the first byte of a zlib stream
_MOST_MEMBERS = 64  # each costs a copy of all that follows
_MAGIC_BYTES = 4  # so many tell whether another one follows
_ZSTD_WINDOW_LOG = 23  # 8 MiB, the most that a sender may ask for (RFC 9659)
_ZSTD_OPTIONS: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}

# (unpacked bytes, whether all of it was read to its end, what follows)
_Part = tuple[bytes, bool, bytes]


class EncodingError(Exception):
    """The encoding is not read here, or the bytes are not in the encoding that the header names."""


class TooLargeError(EncodingError):
    """There is more than may be unpacked."""


def decode(data: bytes, encoding: str, most: int) -> tuple[bytes, bool]:
    """The decoded bytes of an answer, at most `most` (at least 1), and whether there was more.

    A truncated input gives what can be decoded; what follows the end is ignored. Raises EncodingError.
    """
    found, ended, rest = _decoded(data, _known(encoding), most + 1)  # a byte beyond tells that there is more
    return found[:most], len(found) > most or (bool(rest) and not ended)


def unpack(data: bytes, encoding: str, most: int) -> bytes:
    """All decoded bytes of a request: a model server must not read more or less in it than we do.

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
    """Decode part after part: gzip and zstd may have several (RFC 1952, 2.2; RFC 8878, 3.1); clients read them all."""
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


class Unpacker:
    """Undoes an encoding piece by piece. As in `decode`, what follows the end is ignored, unless it is another part of
    the same encoding."""

    def __init__(self, encoding: str, piece: int) -> None:
        """`piece` is the most bytes that are given at once; brotli may give one block more. Raises EncodingError for an
        encoding that is not read here."""
        self._encoding = _known(encoding)
        self._piece = piece
        self._packed = b""
        self._parts = 0
        self._is_over = False
        self._decoder: _Decoder | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What this unpacks to. Raises EncodingError."""
        if self._encoding == "identity":
            yield data
            return
        if self._is_over:
            return
        self._packed += data
        try:
            yield from self._unpacked()
        except (zlib.error, brotli.error, zstd.ZstdError, MemoryError):
            raise EncodingError(f"the body is not {self._encoding}") from None

    def _unpacked(self) -> Iterator[bytes]:
        while True:
            if self._decoder is None:
                if not self._packed:
                    return
                if self._parts and not self._packed.startswith(_PARTS[self._encoding][1]):
                    if len(self._packed) >= _MAGIC_BYTES:  # what follows is ignored, and may never end
                        self._is_over, self._packed = True, b""
                    return
                self._parts += 1
                if self._parts > _MOST_MEMBERS:
                    raise EncodingError(f"the body has more than {_MOST_MEMBERS} parts")
                self._decoder = _DECODERS[self._encoding](self._packed)
            given, self._packed = self._packed, b""
            while piece := self._decoder.more(given, self._piece):
                yield piece
                given = b""
            if not self._decoder.ended:
                return
            self._packed, self._decoder = self._decoder.rest, None


class _Decoder(Protocol):
    """`rest` follows the end."""

    ended: bool
    rest: bytes

    def more(self, data: bytes, most: int) -> bytes: ...


class _Zlib:
    def __init__(self, window: int) -> None:
        self._decoder = zlib.decompressobj(window)
        self.ended, self.rest = False, b""

    def more(self, data: bytes, most: int) -> bytes:
        piece = self._decoder.decompress(self._decoder.unconsumed_tail + data, most)
        self.ended, self.rest = self._decoder.eof, self._decoder.unused_data
        return piece


class _Brotli:
    def __init__(self) -> None:
        self._decoder = brotli.Decompressor()
        self.ended, self.rest = False, b""

    def more(self, data: bytes, most: int) -> bytes:
        if not data and self._decoder.can_accept_more_data():
            return b""
        piece: bytes = self._decoder.process(data, output_buffer_limit=most)
        self.ended = self._decoder.is_finished()
        return piece


class _Zstd:
    def __init__(self) -> None:
        self._decoder = zstd.ZstdDecompressor(options=_ZSTD_OPTIONS)
        self.ended, self.rest = False, b""

    def more(self, data: bytes, most: int) -> bytes:
        if self._decoder.eof or (not data and self._decoder.needs_input):
            return b""
        piece = self._decoder.decompress(data, max_length=most)
        self.ended, self.rest = self._decoder.eof, self._decoder.unused_data
        return piece


def _zlib_or_raw(data: bytes) -> _Decoder:
    """Some send raw deflate under this name: a zlib stream begins with method 8 (RFC 1950, 2.2)."""
    return _Zlib(_ZLIB if data[0] & 0x0F == _METHOD else _RAW)


_DECODERS: Mapping[str, Callable[[bytes], _Decoder]] = MappingProxyType(
    {
        "gzip": lambda _: _Zlib(_GZIP),
        "deflate": _zlib_or_raw,
        "br": lambda _: _Brotli(),
        "zstd": lambda _: _Zstd(),
    }
)
