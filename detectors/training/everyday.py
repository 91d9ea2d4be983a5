"""Our own harmless texts: one half helps to set thresholds, the other tells how often they are flagged, by length."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from detectors.base import Judgement, Role, Text
from detectors.manifest import DetectorInfo, Measurement, threshold
from detectors.training import benign
from detectors.training.data import BENIGN, BOTH, Row
from detectors.training.evidence import LENGTHS
from detectors.training.measure import scores_in

SET = "harmless texts that we wrote, the half that chose nothing"
ANY = "any head"
ALARMS = "false alarms at 1 %"

Detect = Callable[[Sequence[Text]], list[Judgement]]
Band = tuple[str, int, int]  # its name, and its texts' words: above the first number, up to the second


def rows() -> list[Row]:
    """The half that helps to set thresholds, without labels, as everyday requests. The shortest stand on both sides:
    nobody can tell by "thanks" who says it."""
    return [
        Row(item.text, None, BOTH if len(item.text.split()) <= LENGTHS[0] else (item.role,), {}, BENIGN, True)
        for item in benign.texts("dev")
    ]


def figures(detect: Detect, info: DetectorInfo, date: str) -> list[Measurement]:
    """The share of the other half that each head flags at the default operating point, by role and length."""
    out: list[Measurement] = []
    for role in BOTH:
        texts = [Text(item.text, role) for item in benign.texts("held-out") if item.role == role]
        out += _of_role(info, role, texts, detect(texts), date)
    return out


def bands() -> Iterator[Band]:
    """All lengths together, then each band."""
    yield "all lengths", -1, 1_000_000
    for low, high in zip((0, *LENGTHS), (*LENGTHS, 1_000_000), strict=True):
        yield (f"up to {high} words" if high < 1_000_000 else f"over {low} words"), low, high


def _of_role(
    info: DetectorInfo, role: Role, texts: Sequence[Text], judged: Sequence[Judgement], date: str
) -> Iterator[Measurement]:
    words = np.array([len(text.text.split()) for text in texts])
    flagged = {}
    for slug in sorted(info.slugs):
        limit = threshold(info.operating.get((slug, role), ()))
        if limit is not None:
            flagged[slug] = scores_in(judged, slug) >= limit
    for name, low, high in bands():
        mine = (words > low) & (words <= high)
        for slug, hits in flagged.items() if mine.any() else ():
            metric = f"{role}: {ALARMS}, {name}"
            yield Measurement(SET, slug, metric, round(float(hits[mine].mean()), 4), int(mine.sum()), date)
