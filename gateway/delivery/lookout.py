"""Looks over an answer that should have no texts, such as a list of embeddings, as it comes and in any encoding."""

import asyncio

from gateway.encodings import EncodingError, Unpacker
from gateway.openai_api import Reason, Scan

MOST_BYTES = 256 * 2**20  # that one answer may unpack to: 2,048 embeddings of 3,072 numbers have some 140 MB
_PIECE = 64 * 1024  # bytes that are unpacked at once; more than this is not looked over on the event loop


class Lookout:
    """Tells once why an answer is not what it should be: numbers and the names beside them."""

    def __init__(self, encoding: str, most: int = MOST_BYTES) -> None:
        self._scan = Scan()
        self._left = most
        self._on_loop = 0 if encoding else _PIECE  # bytes; a few that are packed may be millions
        self._unpacker: Unpacker | None = None
        self._reason: Reason | None = None
        self._told = False
        try:
            self._unpacker = Unpacker(encoding, _PIECE)
        except EncodingError:
            self._reason = "encoding"

    async def feed(self, data: bytes) -> Reason | None:
        """Why this may not leave unread, if that is new."""
        if len(data) > self._on_loop:
            await asyncio.to_thread(self._feed, data)
        else:
            self._feed(data)
        return self._new_reason()

    def _feed(self, data: bytes) -> None:
        """Nothing is looked at behind the first reason."""
        pieces = iter(()) if self._unpacker is None else self._unpacker.feed(data)
        try:
            while self._reason is None and (piece := next(pieces, None)) is not None:
                self._look(piece)
        except EncodingError:
            self._reason = "encoding"

    def close(self) -> Reason | None:
        """The same at the answer's end."""
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
