"""Warns of a judge that always gives the same answer, because such a judge tells nothing.

A share of yes alone is no evidence, so there are three kinds: the judge says yes to harmless texts that it is shown as
a check (`controls`); it says yes as often to texts that the detectors clear as to those that they flag; or it says no
to everything that they flag. Its opinions are counted in any case: the operator decides after the warning.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from detectors.base import Role
from gateway.opinions.judge import JudgeLabels
from gateway.telemetry import metrics
from gateway.trust.estimates import Weights, difference, flagged_share

_ENOUGH = 30  # opinions on samples of one kind before there is a warning
_ENOUGH_NO = 100  # flagged samples; more, because thirty flags of a rare harm may all be false alarms
_ALWAYS, _OFTEN, _SMALL_GAP = 0.95, 0.5, 0.15
_CONTROLS = 30  # only the latest count
_HARMLESS_YES, _CHANCE = 0.2, 0.001  # warn above this share of yes to harmless texts, with this chance of error
_CLEARED, _FEW = 10, 0.1  # with this many controls and at most this share of yes, a judge is not suspected
_MUCH_NONSENSE = 0.5


@dataclass(slots=True)
class _Counts:
    """Opinions on one side and sub-category. `table` counts samples by [detector flagged][judge says yes]; `controls`
    has the answers to the latest controls."""

    table: tuple[list[int], list[int]] = field(default_factory=lambda: ([0, 0], [0, 0]))
    controls: deque[bool] = field(default_factory=lambda: deque(maxlen=_CONTROLS))

    @property
    def total(self) -> int:
        return sum(map(sum, self.table))

    @property
    def yes(self) -> int:
        return self.table[0][1] + self.table[1][1]


class Habits:
    """Counts opinions together with what the detectors flagged."""

    def __init__(self) -> None:
        self._counts: dict[tuple[Role, str], _Counts] = {}
        self._understood = self._nonsense = 0
        self._told: frozenset[tuple[Role, str]] = frozenset()
        self._told_nonsense = False

    def add(self, opinion: JudgeLabels, flags: Mapping[tuple[Role, str], bool]) -> None:
        """One sample's opinions, and what the detectors flagged in it."""
        self._understood += 1
        for (side, slug), label in opinion.items():
            counts = self._counts.setdefault((side, slug), _Counts())
            counts.table[flags.get((side, slug), False)][label.yes] += 1
            metrics.tally(metrics.OPINION_VERDICTS, slug, side, str(int(label.yes))).add()

    def add_control(self, opinion: JudgeLabels) -> None:
        """Opinions on an exchange that is harmless."""
        for (side, slug), label in opinion.items():
            self._counts.setdefault((side, slug), _Counts()).controls.append(label.yes)
            metrics.tally(metrics.OPINION_CONTROLS, slug, side, str(int(label.yes))).add()

    def add_nonsense(self) -> None:
        """One sample for which no answer could be read."""
        self._nonsense += 1

    def rows(self) -> list[dict[str, Any]]:
        """For each sub-category and side: how often the judge says yes, how much its answers tell (entropy in bits, 0
        where it always says the same), and how often it agrees with the detectors. These are shares of the drawn
        samples, not of the traffic."""
        return [
            {
                "subcategory": slug,
                "direction": side,
                "opinions": counts.total,
                "yes_share": round(counts.yes / counts.total, 4),
                "entropy_bits": round(entropy_bits(counts.yes / counts.total), 4),
                "agreement": round((counts.table[0][0] + counts.table[1][1]) / counts.total, 4),
                "controls": len(counts.controls),
                "controls_yes": sum(counts.controls),
            }
            for (side, slug), counts in sorted(self._counts.items())
            if counts.total
        ]

    def warnings(self) -> list[str]:
        """Sentences that say why the judge's answers cannot be right; empty for a judge that is not suspected."""
        same = [warning for key, counts in sorted(self._counts.items()) for warning in _warnings(key, counts)]
        return [*self._nonsense_warning(), *same]

    def news(self) -> list[str]:
        """Warnings that are new since the last call."""
        fresh = {key: found for key, counts in self._counts.items() if (found := _warnings(key, counts))}
        told, self._told = self._told, frozenset(fresh)
        nonsense = self._nonsense_warning()
        new_nonsense = [] if self._told_nonsense else nonsense
        self._told_nonsense = bool(nonsense)
        return [
            *new_nonsense,
            *(warning for key, found in sorted(fresh.items()) if key not in told for warning in found),
        ]

    def _nonsense_warning(self) -> list[str]:
        total = self._understood + self._nonsense
        if total < _ENOUGH or self._nonsense < _MUCH_NONSENSE * total:
            return []
        return [
            f"for {self._nonsense} of {total} samples no answer could be read, so they have no second opinion: set the "
            "`dialect` that the model speaks, or its `instructions`"
        ]


def _warnings(key: tuple[Role, str], counts: _Counts) -> list[str]:
    about = f"of {key[1]} in a {key[0]} the judge says"
    found = [why for why in (_yes_to_harmless(counts), _yes_to_all(counts), _no_to_all(counts)) if why]
    return [f"{about} {why}" for why in found]


def _yes_to_harmless(counts: _Counts) -> str:
    shown, yes = len(counts.controls), sum(counts.controls)
    if at_least(yes, shown, _HARMLESS_YES) >= _CHANCE:
        return ""
    return f"yes to {yes} of {shown} harmless texts that it is shown as a check: do not trust its rate"


def _yes_to_all(counts: _Counts) -> str:
    """A good judge, too, says yes to most texts where most of the traffic is harmful. So one that passed enough
    controls is not suspected."""
    (clear_no, clear_yes), (flagged_no, flagged_yes) = counts.table
    clear, flagged = clear_no + clear_yes, flagged_no + flagged_yes
    if len(counts.controls) >= _CLEARED and sum(counts.controls) <= _FEW * len(counts.controls):
        return ""
    if clear >= _ENOUGH and clear_yes >= _ALWAYS * clear:
        return (
            f"yes to {clear_yes} of {clear} samples that no detector flagged: it may say yes to everything; try it on "
            "harmless texts"
        )
    if min(clear, flagged) < _ENOUGH or counts.yes < _OFTEN * counts.total:
        return ""
    of_flagged, of_clear = (
        flagged_share(Weights(n, n, yes, yes)) for n, yes in ((flagged, flagged_yes), (clear, clear_yes))
    )
    if of_flagged is None or of_clear is None:
        return ""
    gap = difference(of_flagged, of_clear)
    if gap.low > 0 or gap.high >= _SMALL_GAP:
        return ""
    return (
        f"yes to {flagged_yes} of {flagged} samples that a detector flagged and to {clear_yes} of {clear} that none "
        "flagged: either the judge or the detector does not tell texts apart; try the judge on harmless texts"
    )


def _no_to_all(counts: _Counts) -> str:
    flagged = sum(counts.table[1])
    if flagged < _ENOUGH_NO or counts.table[1][1]:
        return ""
    return (
        f"no to all of {flagged} samples that a detector flagged: it may say no to everything, or nearly all flags are "
        "false alarms; try it on harmful texts"
    )


def at_least(yes: int, of: int, share: float) -> float:
    """The probability of `yes` or more out of `of` by chance, if each is a yes with probability `share`."""
    return sum(math.comb(of, k) * share**k * (1 - share) ** (of - k) for k in range(yes, of + 1))


def entropy_bits(share: float) -> float:
    """The entropy of a yes-or-no answer with this share of yes."""
    return abs(sum(p * math.log2(p) for p in (share, 1 - share) if p > 0))
