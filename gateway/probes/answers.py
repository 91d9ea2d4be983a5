"""An answer as it is compared: what it says, whether its limit cut it off, and which short answers the request offers.

Of an answer that was cut off the last word may be half a word, and the last sentence may have been going to say the
opposite. So it counts by what it said to an end: its whole sentences, and a verdict that more words follow, or that is
one of those that the request offers.
"""

import re
from collections.abc import Iterable
from itertools import combinations
from typing import NamedTuple

from gateway.probes.changes.words import WORD, plain

# Words of which a request that names two offers one: with them, one word may be a whole answer.
_CHOICES = (frozenset({"yes", "no"}), frozenset({"true", "false"}), frozenset({"correct", "incorrect"}))
_LETTER = re.compile(r"(?:^|[\s(])([a-h])[).:](?=\s)")
# The end of a sentence. Not a point behind a figure, which may go on.
_END = re.compile(r"(?<=\D)[.!?…][\"'”’)\]*_]*(?=\s|$)|\n")


class Answer(NamedTuple):
    """`cut` where it ended because of a limit. `offered` are short answers to choose from, as `offered` reads them."""

    text: str
    cut: bool = False
    offered: frozenset[str] = frozenset()

    @property
    def whole(self) -> str:
        """What was said to an end; empty where not one sentence was."""
        if not self.cut:
            return self.text
        ends = [found.end() for found in _END.finditer(self.text)]
        return self.text[: ends[-1]].strip() if ends else ""


def offered(asked: Iterable[str]) -> frozenset[str]:
    """The short answers that texts of a request let one choose from: yes or no, true or false, letters of a list."""
    text = "\n".join(asked)
    words = frozenset(WORD.findall(plain(text)))
    letters = frozenset(_LETTER.findall(text.casefold()))
    listed = letters if any(ord(two) - ord(one) == 1 for one, two in combinations(sorted(letters), 2)) else frozenset()
    return listed.union(*(pair for pair in _CHOICES if pair <= words))
