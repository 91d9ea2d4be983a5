"""The command `assay policy false-alarms`. It loads the detectors, so it is imported only when it is run."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from detectors.base import State, Text
from detectors.panel import Answer, Question
from gateway.study import offline
from gateway.study.false_alarms import TextPlace, TextSignals, outcomes, read_texts, report
from gateway.study.installed import installed
from gateway.study.panel_signals import Asked, signals_of

ENFORCING = ("default", "strict")  # of the shipped policies
_READ = (State.SCANNED, State.SKIPPED)


def policy_false_alarms(parsed: argparse.Namespace) -> int:
    """`assay policy false-alarms TEXTS`: 2 if there are no texts to measure on."""
    here = installed(parsed.config)
    policies = {Path(name).stem: here.policy(name) for name in parsed.policy or ENFORCING}
    try:
        rows = read_texts(parsed.file)
    except ValueError as error:
        sys.stderr.write(f"assay: {error}\n")
        return 2
    with offline.progress(len(rows), " texts", "judging") as bar:
        found = list(outcomes(rows, policies, PanelJudge(here.detectors(policies.values())), step=bar.update))
    sys.stdout.write(report(found, list(policies)))
    return 0


class PanelJudge:
    """Asks all detectors as the detector process does."""

    def __init__(self, panel: Asked) -> None:
        self._panel = panel

    def __call__(self, places: Sequence[TextPlace]) -> list[TextSignals]:
        """What the detectors say of each text; each detector is called once for all texts."""
        answers = self._panel.ask([Question(Text(place.text, place.direction)) for place in places])
        return [_heard(place, answer) for place, answer in zip(places, answers, strict=True)]


def _heard(place: TextPlace, answer: Answer) -> TextSignals:
    flagged = {(opinion.slug, opinion.detector) for opinion in answer.opinions if opinion.flagged}
    unread = [detector for detector, state in answer.states.items() if state not in _READ]
    return TextSignals(signals_of(answer, place.text, place.direction, place.channel), flagged, unread)
