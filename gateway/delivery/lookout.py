"""Looks an answer over that has no texts, as it comes and in whatever encoding."""

from gateway.encodings import EncodingError, Unpacker
from gateway.openai_api import Reason, Scan

_PIECE = 64 * 1024  # bytes that are unpacked at once
_MOST = 1024 * 1024 * 1024  # bytes that one answer may unpack to


class Lookout:
    """Tells once why an answer is not what it should be: numbers and the names beside them."""

    def __init__(self, encoding: str) -> None:
        self._scan = Scan()
        self._left = _MOST
        self._unpacker: Unpacker | None = None
        self._reason: Reason | None = None
        self._told = False
        try:
            self._unpacker = Unpacker(encoding, _PIECE)
        except EncodingError:
            self._reason = "encoding"

    def feed(self, data: bytes) -> Reason | None:
        """Why this may not leave unread, if that is new."""
        if self._reason is None and self._unpacker is not None:
            try:
                for piece in self._unpacker.feed(data):
                    self._look(piece)
            except EncodingError:
                self._reason = "encoding"
        return self._new_reason()

    def close(self) -> Reason | None:
        """The same when no more comes."""
        self._scan.close()
        self._look(b"")
        return self._new_reason()

    def _look(self, piece: bytes) -> None:
        self._left -= len(piece)
        self._scan.feed(piece)
        if self._left < 0:
            self._reason = "too_long"
        elif self._scan.says_something:
            self._reason = "field"

    def _new_reason(self) -> Reason | None:
        if self._reason is None or self._told:
            return None
        self._told = True
        return self._reason
