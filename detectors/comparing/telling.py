"""Whether a claim states a misconception as a fact, by what its words add, deny, or ascribe to others.

The model of pairs hardly sees the difference between *bats are blind* and *it is a myth that bats are blind*.
"""

import re
from typing import NamedTuple

from detectors.comparing.misconceptions import Misconception
from detectors.comparing.nearness import overlap, stems

_DENIES = re.compile(
    r"\b(?:not|no|never|none|nobody|nothing|nowhere|neither|nor|without|cannot|hardly|rarely|seldom|scarcely|barely|"
    r"false|untrue|incorrect|wrong|wrongly|unlikely)\b|n['’]t\b",
    re.IGNORECASE,
)
_ASCRIBES = re.compile(
    r"\b(?:myths?|misconceptions?|contrary|mistaken(?:ly)?|debunk\w*|claim(?:s|ed|ing)?|beliefs?|"
    r"belie(?:ve|ved|ves|vers?|ving)|legends?|tales?|rumou?rs?|idea|notion|superstitions?|suppos\w+|alleged\w*|"
    r"according to|attributed|ascribed|credited|heard|conspiracy|hoax|survey|films?|movies?|fiction|cartoons?|folklore|"
    r"fairy|people (?:say|think)|said to|says that|think that|thought|assum\w+|popular|stereotype|proverb|question|"
    r"whether|convinced|hope|warned|letter)\b",
    re.IGNORECASE,
)
_LEAD = re.compile(r"^(?:no|yes|well|actually|in fact|indeed)[,.:]? ", re.IGNORECASE)
_MOST_DENIALS = 2


class Telling(NamedTuple):
    """Shares of content words, 0 to 1: `held`, the misconception's words that are in the claim; `own`, the claim's that
    are in the misconception; `corrects`, the claim's that are only in the correction; `adds`, the claim's that are in
    neither. `denials` is the difference in the number of denying words, 0 to 2. `ascribed` is 1 if the claim mentions a
    belief, a tale or a film, and the misconception does not."""

    held: float
    own: float
    denials: float
    ascribed: float
    corrects: float
    adds: float


def telling(myth: Misconception, claim: str) -> Telling:
    """How the words of a claim relate to a misconception."""
    said = _LEAD.sub("", claim)
    own, there, correction = (frozenset(stems(text)) for text in (claim, myth.claim, myth.correction))
    size = max(1, len(own))
    denials = abs(len(_DENIES.findall(said)) - len(_DENIES.findall(myth.claim)))
    return Telling(
        overlap(myth.claim, claim).words,
        overlap(claim, myth.claim).words,
        float(min(denials, _MOST_DENIALS)),
        float(bool(_ASCRIBES.search(claim)) and not _ASCRIBES.search(myth.claim)),
        len(own & (correction - there)) / size,
        len(own - there - correction) / size,
    )
