"""What the detectors said about recent texts, by caller: bounded in bytes, the least recently used goes first.

A text and its context are kept only as keyed hashes. Nothing that one caller sent is remembered for another, because
otherwise the time of an answer would show what others have asked.
"""

from collections import OrderedDict
from collections.abc import Mapping
from hashlib import blake2b

from detectors.base import Known, Text

_ENTRY_BYTES = 600  # memory of an empty entry, as measured
_JUDGEMENT_BYTES = 200
_VERDICT_BYTES = 180
_SPAN_BYTES = 200

Key = tuple[str, str, bytes, bytes]  # caller, role, and hashes of a text and of what was said before it


class JudgedTexts:
    """`most_bytes` bounds what is remembered; `hash_key` keys the hashes."""

    def __init__(self, most_bytes: int, hash_key: bytes) -> None:
        self._most_bytes = most_bytes
        self._hash_key = hash_key
        self._known: OrderedDict[Key, Known] = OrderedDict()
        self._sizes: dict[Key, int] = {}
        self._bytes = 0

    def digest(self, text: str) -> bytes:
        return blake2b(text.encode("utf-8", "surrogatepass"), key=self._hash_key, digest_size=12).digest()

    def key(self, caller: str, text: Text, digest: bytes) -> Key:
        """`digest` is the text's."""
        behind = "\0".join([text.context or "", *(part for turn in text.turns for part in turn)])
        return caller, text.role, digest, self.digest(behind) if behind else b""

    def of(self, key: Key) -> Known:
        """Judgements by detector id; empty if the text is not remembered."""
        known = self._known.get(key)
        if known is None:
            return {}
        self._known.move_to_end(key)
        return known

    def keep(self, entries: Mapping[Key, Known]) -> None:
        """Remember these, and forget the oldest beyond the bound."""
        for key, known in entries.items():
            if known:
                self._known[key] = known
                self._known.move_to_end(key)
                size = _size(known) + len(key[0])
                self._bytes += size - self._sizes.get(key, 0)
                self._sizes[key] = size
        while self._bytes > self._most_bytes:
            key, _ = self._known.popitem(last=False)
            self._bytes -= self._sizes.pop(key)


def _size(known: Known) -> int:
    verdicts = [verdict for judgement in known.values() for verdict in judgement.verdicts]
    spans = sum(len(verdict.spans) for verdict in verdicts)
    return _ENTRY_BYTES + _JUDGEMENT_BYTES * len(known) + _VERDICT_BYTES * len(verdicts) + _SPAN_BYTES * spans
