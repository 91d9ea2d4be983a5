"""The command `assay policy false-alarms`. Imported when it is run, like all that load the detectors."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from detectors import registry
from detectors.base import Judgement, State, Text, Verdict
from detectors.hiding import unhide
from detectors.manifest import load, threshold
from gateway.enforcement.signals import load_policy
from gateway.judging.language import language_of
from gateway.study import offline
from gateway.study.false_alarms import Heard, Place, outcomes, read_texts, report
from policies.engine import Signal
from policies.model import Direction

ENFORCING = ("default", "strict")  # of the shipped policies
_READ = (State.SCANNED, State.SKIPPED)


def policy_false_alarms(parsed: argparse.Namespace) -> int:
    """`assay policy false-alarms FILE`: 2 when there is nothing to measure on."""
    policies = {Path(name).stem: load_policy(name) for name in parsed.policy or ENFORCING}
    try:
        rows = read_texts(parsed.file)
    except ValueError as error:
        sys.stderr.write(f"assay: {error}\n")
        return 2
    with offline.progress(len(rows), " texts", "judging") as bar:
        found = list(outcomes(rows, policies, Judge(), step=bar.update))
    sys.stdout.write(report(found, list(policies)))
    return 0


class Judge:
    """All detectors, asked as the detector process asks them, and their default thresholds."""

    def __init__(self) -> None:
        """Raises ModelError."""
        self._detectors = registry.build()
        self._thresholds = {
            (info.id, slug, role): threshold(table)
            for info in load(weights=False).values()
            for (slug, role), table in info.operating.items()
        }

    def __call__(self, places: Sequence[Place]) -> list[Heard]:
        """What is heard of each text; one call of each detector for all."""
        texts = [Text(place.text, place.direction) for place in places]
        revealed = [unhide.reveal(text.text) for text in texts]
        columns = [unhide.judge(detector, texts, revealed) for detector in self._detectors]
        return [self._heard(place, judged) for place, judged in zip(places, zip(*columns, strict=True), strict=True)]

    def _heard(self, place: Place, judged: Sequence[Judgement]) -> Heard:
        verdicts = [verdict for judgement in judged for verdict in judgement.verdicts]
        unread = [
            detector.id
            for detector, judgement in zip(self._detectors, judged, strict=True)
            if judgement.state not in _READ
        ]
        flagged = {
            (verdict.slug, verdict.detector) for verdict in verdicts if self._is_flagged(verdict, place.direction)
        }
        return Heard([_signal(verdict, place) for verdict in verdicts], flagged, unread)

    def _is_flagged(self, verdict: Verdict, direction: Direction) -> bool:
        least = self._thresholds.get((verdict.detector, verdict.slug, direction))
        return least is not None and verdict.score >= least


def _signal(verdict: Verdict, place: Place) -> Signal:
    return Signal(
        verdict.slug,
        verdict.score,
        verdict.detector,
        place.direction,
        place.channel,
        spans=tuple((span.start, span.end, span.label) for span in verdict.spans),
        language=language_of(place.text),
    )
