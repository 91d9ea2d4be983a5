"""The head of a request that a connection has read before.

On one connection, clients send the same head again and again, except for the length of the body. What the parser makes
of a head depends only on its bytes, so the same bytes need not be parsed again.
"""

import re
from typing import Any, NamedTuple

_LENGTH = re.compile(rb"\r\ncontent-length:[ ]?([0-9]{1,9})(?=\r\n)", re.IGNORECASE)
_MOST_BYTES = 2048  # of a head that is remembered; each connection remembers one
_MOST_DIGITS = 9
_CONTENT_LENGTH = b"content-length"
_NEVER = frozenset({b"expect", b"transfer-encoding"})  # with these, more than the length says how the body follows


class KnownHead(NamedTuple):
    """The bytes `before` the digits of the content-length and `after` them, up to the body, and what they mean.

    `scope` is ASGI's, without its `headers`, in which the content-length stands at `place`. `notes` are what the
    application worked out from the head: see `client.Client`.
    """

    before: bytes
    after: bytes
    scope: dict[str, Any]
    headers: list[tuple[bytes, bytes]]
    place: int
    notes: dict[Any, Any]

    def read(self, data: bytes) -> tuple[bytes, int] | None:
        """The digits of the content-length, and where the body starts; None for another or an incomplete head."""
        if not data.startswith(self.before):
            return None
        start = len(self.before)
        end = data.find(b"\r", start, start + _MOST_DIGITS + 1)
        digits = data[start:end]
        if end < 0 or not digits.isdigit() or not data.startswith(self.after, end):
            return None
        return digits, end + len(self.after)


def known_head(data: bytes, scope: dict[str, Any]) -> KnownHead | None:
    """What to remember of `data` that begins with a whole head, which was read as this scope.

    None for a head that cannot be remembered: it is too large, or its body is not framed by one content-length alone.
    """
    end = data.find(b"\r\n\r\n", 0, _MOST_BYTES) + 2
    found = [*_LENGTH.finditer(data, 0, end)] if end >= 2 else []
    names = [name for name, _ in scope["headers"]]
    if len(found) != 1 or names.count(_CONTENT_LENGTH) != 1 or not _NEVER.isdisjoint(names):
        return None
    kept = {name: value for name, value in scope.items() if name not in ("headers", "state", "extensions")}
    before, after = data[: found[0].start(1)], data[found[0].end(1) : end + 2]
    return KnownHead(before, after, kept, scope["headers"], names.index(_CONTENT_LENGTH), {})
