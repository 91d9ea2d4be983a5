"""What both ends of an HTTP/1.1 connection do around the parser, which reads some heads otherwise than RFC 9112."""

import re

# To ask for as a number: `in` takes bytes for a number first, which fails, and the error that it raises and forgets
# costs 1,800 instructions.
TAB = 0x09
_CHUNKED = re.compile(rb"(\r\ntransfer-encoding:[ \t]*chunked)[ \t]+(?=\r\n)", re.IGNORECASE)


def untabbed(data: bytes) -> bytes:
    """Bytes that begin before a head's end, without white space behind `Transfer-Encoding: chunked`.

    A tab is legal there (RFC 9110, 5.6.3), but the parser takes `chunked` with a tab behind it for another coding.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    return _CHUNKED.sub(rb"\1", head + end) + rest


def has_tab_behind(value: bytes) -> bool:
    """Whether a value, as the parser gives it, has white space behind it that `untabbed` takes away and has not."""
    return value.rstrip(b" ") != value.rstrip(b" \t")
