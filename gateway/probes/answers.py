"""An answer as it is compared: what it says, whether its limit cut it off, and which short answers the request offers.

If an answer was cut off, its last word may be incomplete, and its last sentence may have been about to say the
opposite. So only the complete part counts: whole sentences, and a verdict that more words follow or that is one of
those that the request offers.
"""

import re
from collections.abc import Iterable
from itertools import combinations
from typing import NamedTuple

from gateway.probes.changes.words import WORD, plain

# A request that names both words of a pair offers them as answers: then one word may be a whole answer.
_CHOICES = (frozenset({"yes", "no"}), frozenset({"true", "false"}), frozenset({"correct", "incorrect"}))
_LETTER = re.compile(r"(?:^|[\s(])([a-h])[).:](?=\s)")
# The end of a sentence; a point after a digit is none, because the number may go on.
_END = re.compile(r"(?<=\D)[.!?…][\"'”’)\]*_]*(?=\s|$)|\n")


class ReadAnswer(NamedTuple):
    """`cut` says that a limit ended the answer. `offered` are the short answers to choose from, as read by
    `offered`."""

    text: str
    cut: bool = False
    offered: frozenset[str] = frozenset()

    @property
    def whole(self) -> str:
        """The complete part: all of an answer that was not cut off, else its whole sentences; it may be empty."""
        if not self.cut:
            return self.text
        ends = [found.end() for found in _END.finditer(self.text)]
        return self.text[: ends[-1]].strip() if ends else ""


def offered(asked: Iterable[str]) -> frozenset[str]:
    """The short answers between which texts of a request let one choose: yes or no, true or false, letters of a
    list."""
    text = "\n".join(asked)
    words = frozenset(WORD.findall(plain(text)))
    letters = frozenset(_LETTER.findall(text.casefold()))
    listed = letters if any(ord(two) - ord(one) == 1 for one, two in combinations(sorted(letters), 2)) else frozenset()
    return listed.union(*(pair for pair in _CHOICES if pair <= words))
