"""Single details in which a claim differs from its source: a number, a denial, an opposite.

A small model of pairs hardly sees the difference between *eight lanes* and *nine lanes*, or *was* and *was not*. So
this uses no model, but words and our own lists.
"""

from collections.abc import Sequence
from typing import NamedTuple

from detectors.comparing.quantities import is_among, is_bounded, quantities
from detectors.comparing.sentences import content_stem, listed, sentences, words_of

REACH = 3  # content words after a denying word that it denies
MOST_NUMBERS = 2

_DENYING = listed("""
    not no never none nobody nothing nowhere neither nor without cannot hardly rarely seldom scarcely barely fail fails
    failed failing refuse refuses refused deny denies denied unable lack lacks lacked
    """)
OPPOSITES = [
    pair.split("/")
    for pair in sorted(
        listed("""
    increase/decrease increased/decreased increases/decreases more/less higher/lower high/low large/small
    larger/smaller before/after first/last early/late always/never all/none most/few with/without old/new
    better/worse best/worst strong/weak hot/cold safe/dangerous public/private north/south east/west rise/fall
    rose/fell gain/lose won/lost win/lose accept/reject accepted/rejected allow/forbid allows/forbids
    include/exclude includes/excludes open/closed opened/closed start/end started/ended above/below
    inside/outside positive/negative possible/impossible true/false same/different easy/difficult common/rare
    maximum/minimum buy/sell bought/sold male/female daughter/son father/mother brother/sister man/woman
    morning/evening reduce/raise reduces/raises improve/worsen improves/worsens supported/opposed
    support/oppose short/long
    """)
    )
]
OPPOSITE = dict(OPPOSITES) | {other: one for one, other in OPPOSITES}


class Details(NamedTuple):
    """The details in which a claim may differ from its source.

    `numbers`: how many of its numbers are not in the source, 0 to 2. The others are 1 if true, else 0:
    `exchanged`: a number is not in the source, and the passages nearby have other numbers;
    `spared`: the nearest passage denies something, and the claim denies nothing;
    `affirmed`: the claim states what the passages deny;
    `denied`: the claim denies something, and no passage does;
    `opposed`: the passages contain the opposite of a word of the claim, and not the word.
    """

    numbers: float
    exchanged: float
    spared: float
    affirmed: float
    denied: float
    opposed: float


def details(claim: str, premise: str, nearest: str, numbers: Sequence[float]) -> Details:
    """The details of a claim, compared with the passages nearby (`premise`), the nearest one, and all numbers of the
    source in rising order."""
    own = [*quantities(claim)]
    foreign = [each.value for each in own if not is_bounded(claim, each) and not is_among(each.value, numbers)]
    said = sorted(each.value for each in own)
    exchanged = bool(foreign) and any(not is_among(each.value, said) for each in quantities(premise))
    mine, there = _denials(claim), _denials(premise)
    words, known = ({word.lower() for word in words_of(text)} for text in (claim, premise))
    opposed = any(OPPOSITE.get(word) in known and word not in known for word in words)
    return Details(
        float(min(len(foreign), MOST_NUMBERS)),
        float(exchanged),
        float(not mine.any and _denials(nearest).any),
        float(bool((mine.plain - mine.denied) & (there.denied - there.plain))),
        float(mine.any and not there.any),
        float(opposed),
    )


class _Denials(NamedTuple):
    """The stems that follow a denying word, those that do not, and whether there is a denying word at all."""

    denied: frozenset[str]
    plain: frozenset[str]
    any: bool


def _denials(text: str) -> _Denials:
    denied: set[str] = set()
    plain: set[str] = set()
    found = False
    for sentence in sentences(text):
        left = 0
        for word in words_of(sentence.text):
            if word.lower() in _DENYING or word.lower().endswith(("n't", "n’t")):
                found, left = True, REACH
            elif (stem := content_stem(word)) is not None:
                (denied if left > 0 else plain).add(stem)
                left -= 1
    return _Denials(frozenset(denied), frozenset(plain), found)
