"""The shape of traffic: sums over the words of prompts. `drift` tests whether two shapes are alike.

It is written without numpy, which the serving process must not load.
"""

import itertools
import math
import zlib
from array import array
from collections.abc import Mapping, Sequence

BUCKETS = 2048  # for words and pairs of words
RECENT = 500  # texts
HEAD = 7
N, W, WW, PAIRS, PAIRED, TRIPLES, TRIPLED = range(HEAD)
SHAPE = HEAD + 2 * BUCKETS
_READ_WORDS = 400


def empty() -> "array[float]":
    """The shape of no traffic, in floats of four bytes."""
    return array("f", bytes(4 * SHAPE))


def buckets_of(words: Sequence[str]) -> frozenset[int]:
    """The buckets of the words of a text, and of its pairs of neighbouring words."""
    words = words[:_READ_WORDS]
    pairs = (f"{one} {other}" for one, other in itertools.pairwise(words))
    return frozenset(zlib.crc32(term.encode("utf-8", "replace")) % BUCKETS for term in (*words, *pairs))


class Shaper:
    """Adds texts to shapes. A text is a unit vector over its buckets. A shape keeps n, Σw and Σw², and Σwx and Σwx² for
    each bucket x. Of texts that follow each other it keeps Σ(a·b)², Σ(a·b)(a·c) and their numbers, from which the
    spread of the test is computed. A text that is among the last RECENT is skipped: a caller who sends it again and
    again is no new topic of the traffic."""

    def __init__(self) -> None:
        self._before: list[frozenset[int]] = []
        self._recent: dict[frozenset[int], None] = {}

    def add(self, shape: "array[float]", found: frozenset[int], weight: float) -> None:
        """Add a text by its buckets; a text without words adds nothing."""
        if not found or found in self._recent:
            return
        self._recent[found] = None
        if len(self._recent) > RECENT:
            del self._recent[next(iter(self._recent))]
        size = len(found)
        _add(shape, {N: 1.0, W: weight, WW: weight * weight})
        for bucket in found:
            shape[HEAD + bucket] += weight / math.sqrt(size)
            shape[HEAD + BUCKETS + bucket] += weight / size
        products = [len(found & other) / math.sqrt(size * len(other)) for other in self._before]
        if products:
            _add(shape, {PAIRS: 1.0, PAIRED: products[0] ** 2})
        if len(products) == 2:
            _add(shape, {TRIPLES: 1.0, TRIPLED: products[0] * products[1]})
        self._before = [found, *self._before[:1]]


def _add(shape: "array[float]", more: Mapping[int, float]) -> None:
    for at, value in more.items():
        shape[at] += value
