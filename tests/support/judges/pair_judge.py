"""Judges that need no model: what they say of a pair follows from its words."""

from dataclasses import dataclass, field, replace

from detectors.base import Role
from detectors.comparing.detector import SLUGS
from detectors.manifest import DetectorInfo
from detectors.trained.pair import HEADS, Logits

LINES = {
    "hallucination": (-1.0, *[0.0] * 15),
    "inconsistency": (1.0, 0.0, 0.0, 0.0),
    "sycophancy": (1.0, 2.0, -12.0, 0.0),
    "misinformation": (0.5, 0.5, 0.0, 0.0, 0.0, 0.0, -8.0, -8.0, 0.0, 0.0, 0.0),
    "limited_logical_reasoning": (1.0, 0.0, 0.0, 0.0),
}


@dataclass
class WordJudge:
    """A claim follows when all its words stand in the premise, and contradicts it when just one side says "not"."""

    asked: list[tuple[str, str]] = field(default_factory=list)

    def judge(self, premise: str, claim: str) -> Logits:
        self.asked.append((premise, claim))
        there, own = (set(text.lower().replace(".", "").split()) for text in (premise, claim))
        if ("not" in there) != ("not" in own):
            return Logits(-4, -4, 4, -4)
        return Logits(4, -4, -4, 4) if own <= there else Logits(-4, 4, -4, -4)


def info(slugs: frozenset[str] = SLUGS) -> DetectorInfo:
    """A pair detector without a file."""
    calibration: dict[tuple[str, Role], tuple[float, ...]] = {(slug, "response"): LINES[slug] for slug in slugs}
    return replace(
        DetectorInfo("pair", "1", "pair", slugs, HEADS, None, "", (), {}, {}, {}, {}, ()), calibration=calibration
    )
