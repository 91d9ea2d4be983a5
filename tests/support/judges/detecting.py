"""What holds of every detector that judges with a network."""

from collections.abc import Sequence

import pytest

from detectors.base import Detector, Text


def judges_each_alone_as_in_a_batch(detector: Detector, texts: Sequence[Text], rel: float = 1e-4) -> None:
    """Asserts that a verdict depends on its text only, but for a score's last digits."""
    together = detector.detect(texts)
    assert len(together) == len(texts)
    for text, judgement in zip(texts, together, strict=True):
        (alone,) = detector.detect([text])
        assert alone.state == judgement.state
        assert [verdict.slug for verdict in alone.verdicts] == [verdict.slug for verdict in judgement.verdicts]
        for one, other in zip(alone.verdicts, judgement.verdicts, strict=True):
            assert one.score == pytest.approx(other.score, rel=rel, abs=1e-9)
            assert 0 <= one.score <= 1
