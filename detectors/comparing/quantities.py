"""The numbers that a text names, in digits, in words and in both: *1,200*, *twenty-one*, *3.5 million*, *third*."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

ROUNDED_FROM, ROUNDED = 2_101, 0.03  # from here on, past all years, a number so near is the same one rounded


def _counted(words: str, start: int = 0, step: float = 1.0) -> Mapping[str, float]:
    return {word: step * value for value, word in enumerate(words.split(), start)}


_SMALL = _counted(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = _counted("twenty thirty forty fifty sixty seventy eighty ninety", 2, 10.0)
_ORDINALS = _counted("first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth", 1)
_TIMES = {"hundred": 1e2, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}
_OTHERS = {"once": 1.0, "single": 1.0, "twice": 2.0, "both": 2.0, "couple": 2.0, "half": 0.5, "dozen": 12.0}
_WORDS: Mapping[str, float] = {**_SMALL, **_TENS, **_ORDINALS, **_TIMES, **_OTHERS}
_NUMBER = re.compile(rf"\d[\d,]*(?:\.\d+)?|\b(?:{'|'.join(_WORDS)})\b", re.IGNORECASE)
_DIGITS = re.compile(r"\d[\d,]*(?:\.\d+)?")  # enough for most texts, and far quicker
_PARTING = re.compile(r"\W+")
_JOINS = frozenset({" ", "-"})  # between the parts of one number
# Words before a number that is only a bound or an estimate: *more than five* does not say five.
_BOUND = re.compile(
    r"\b(?:(?:more|greater|higher|larger|better|longer|later|older|less|fewer|lower|smaller|shorter|earlier|younger) "
    r"than|over|above|exceed(?:s|ed|ing)?|at (?:least|most)|after|since|under|below|before|prior to|by|until|up to|"
    r"about|around|approximately|roughly|nearly|almost)(?: (?:the|a|an|about|around))?\s*[$€£]?\Z",
    re.IGNORECASE,
)
_BEFORE = 40  # characters before a number in which its bound stands


class Quantity(NamedTuple):
    """A number of a text, and where it starts."""

    value: float
    start: int


def quantities(text: str) -> Iterator[Quantity]:
    """The numbers of a text, in order."""
    value, start, end = 0.0, -1, -1
    pattern = _DIGITS if _WORDS.keys().isdisjoint(_PARTING.split(text.lower())) else _NUMBER
    for match in pattern.finditer(text):
        word = match[0].lower()
        joined = text[end : match.start()] in _JOINS if start >= 0 else False
        if joined and word in _TIMES:
            value *= _TIMES[word]
        elif joined and word in _SMALL and value in _TENS.values():
            value += _SMALL[word]
        else:
            if start >= 0:
                yield Quantity(value, start)
            value, start = _value(word), match.start()
        end = match.end()
    if start >= 0:
        yield Quantity(value, start)


def is_bounded(text: str, quantity: Quantity) -> bool:
    """Whether the text says only more than, less than or about this number."""
    before = text[max(0, quantity.start - _BEFORE) : quantity.start]
    return _BOUND.search(before) is not None


def is_among(value: float, others: Sequence[float]) -> bool:
    """Whether the value is one of `others`, which are in rising order. A large one may be rounded."""
    spread = ROUNDED * value if value >= ROUNDED_FROM else 0.0
    place = bisect_left(others, value - spread)
    return place < len(others) and others[place] <= value + spread


def _value(word: str) -> float:
    return _WORDS[word] if word in _WORDS else float(word.replace(",", ""))
