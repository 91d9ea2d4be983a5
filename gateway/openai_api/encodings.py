"""Undoes a content-encoding, bounded: an answer of a few bytes may unpack to gigabytes."""

import zlib

_GZIP, _ZLIB, _RAW = 31, 15, -15  # zlib's `wbits`
_WINDOW = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}
_GZIP_MAGIC = b"\x1f\x8b"
_MOST_MEMBERS = 64  # each costs a copy of all that follows


class EncodingError(Exception):
    """The bytes are in an encoding that is not read here, or are not what the header says."""


def decode(data: bytes, encoding: str, most: int) -> tuple[bytes, bool]:
    """The decoded bytes, at most `most` (at least 1), and whether there was more.

    A truncated input gives what can be had. Raises EncodingError.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return data[:most], len(data) > most
    window = _WINDOW.get(encoding)
    if window is None:
        raise EncodingError(f"content-encoding {encoding[:40]!r} is not read here")
    try:
        return _inflate(data, window, most)
    except zlib.error:
        if encoding != "deflate":
            raise EncodingError(f"the body is not {encoding}") from None
    try:
        return _inflate(data, _RAW, most)  # some servers send raw deflate under this name
    except zlib.error:
        raise EncodingError("the body is not deflate") from None


def _inflate(data: bytes, window: int, most: int) -> tuple[bytes, bool]:
    """Member after member: a gzip file may have several (RFC 1952, 2.2), and clients read them all."""
    pieces: list[bytes] = []
    room = most + 1  # a byte beyond tells that there is more
    for _ in range(_MOST_MEMBERS):
        decoder = zlib.decompressobj(window)
        pieces.append(decoder.decompress(data, room))
        room -= len(pieces[-1])
        data = decoder.unused_data
        if not room or not decoder.eof or window != _GZIP or not data.startswith(_GZIP_MAGIC):
            break
    else:
        return b"".join(pieces), True
    whole = b"".join(pieces)
    return whole[:most], len(whole) > most
