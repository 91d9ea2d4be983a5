"""Harmless texts as they come through a gateway, written by us, to count false alarms on: they never train.

Greetings, questions, everyday tasks, the templates of frameworks and agents, code, logs, long texts, harmless texts
with the words of harm, and answers of the same kinds. The dev half may choose thresholds. Figures are taken on
the held-out half, where nothing is chosen. `python -m detectors.training.benign FILE` writes them as JSON lines.
"""

from pathlib import Path

from detectors.training.benign.grammar import HALVES, Benign, Half, topic_texts

__all__ = ["HALVES", "Benign", "Half", "texts"]


def texts(half: Half | None = None) -> list[Benign]:
    """The whole set in a fixed order, or one half: no text twice on one side of an exchange, in either half.

    Raises what `topic_texts` does.
    """
    found: dict[tuple[str, str], Benign] = {}
    for path in sorted(Path(__file__).parent.glob("*.yaml")):
        for benign in topic_texts(path):
            found.setdefault((benign.text, benign.role), benign)
    return [benign for benign in found.values() if half in (None, benign.half)]
