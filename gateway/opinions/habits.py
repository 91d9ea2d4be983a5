"""What a judge usually says: one that always says the same tells nothing, and that must be seen."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from detectors.base import Role
from gateway.opinions.judge import Opinion
from gateway.telemetry import metrics

_ENOUGH = 30  # opinions on samples of one kind, before anything is said of them
_ALWAYS = 0.95
_MUCH_NONSENSE = 0.5


@dataclass(slots=True)
class _Counts:
    """Opinions on one side and sub-category: [detector flagged][judge says yes]."""

    table: tuple[list[int], list[int]]

    @property
    def total(self) -> int:
        return sum(map(sum, self.table))

    @property
    def yes(self) -> int:
        return self.table[0][1] + self.table[1][1]


class Habits:
    """Counts of opinions beside what the detectors flagged."""

    def __init__(self) -> None:
        self._counts: dict[tuple[Role, str], _Counts] = {}
        self._understood = self._nonsense = 0
        self._told: frozenset[tuple[Role, str]] = frozenset()
        self._told_nonsense = False

    def add(self, opinion: Opinion, flags: Mapping[tuple[Role, str], bool]) -> None:
        """One sample's opinions, and what the detectors flagged in it."""
        self._understood += 1
        for (side, slug), label in opinion.items():
            counts = self._counts.setdefault((side, slug), _Counts(([0, 0], [0, 0])))
            counts.table[flags.get((side, slug), False)][label.yes] += 1
            metrics.tally(metrics.OPINION_VERDICTS, slug, side, str(int(label.yes))).add()

    def add_nonsense(self) -> None:
        """One sample of which no answer could be understood."""
        self._nonsense += 1

    def rows(self) -> list[dict[str, Any]]:
        """For each sub-category and side: how often it says yes, how much its word tells (entropy in bits, 0 where it
        always says the same), and how often it agrees with the detectors. Shares of what was drawn, not of traffic."""
        return [
            {
                "subcategory": slug,
                "direction": side,
                "opinions": counts.total,
                "yes_share": round(counts.yes / counts.total, 4),
                "entropy_bits": round(entropy_bits(counts.yes / counts.total), 4),
                "agreement": round((counts.table[0][0] + counts.table[1][1]) / counts.total, 4),
            }
            for (side, slug), counts in sorted(self._counts.items())
        ]

    def warnings(self) -> list[str]:
        """Sentences about a judge that cannot be right."""
        same = [warning for key, counts in sorted(self._counts.items()) for warning in _warnings(key, counts)]
        return [*self._nonsense_warning(), *same]

    def news(self) -> list[str]:
        """Warnings that were not there when this was asked last."""
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
            f"of {self._nonsense} of {total} samples no answer could be understood, and they have no second opinion: "
            "set the `dialect` that the model speaks, or its `instructions`"
        ]


def _warnings(key: tuple[Role, str], counts: _Counts) -> list[str]:
    side, slug = key
    clear, flagged = (sum(row) for row in counts.table)
    found = []
    if clear >= _ENOUGH and counts.table[0][1] / clear >= _ALWAYS:
        found.append(
            f"of {slug} in a {side} the judge says yes to {counts.table[0][1]} of {clear} samples that no detector "
            "flagged: it may say yes to everything; try it on harmless texts"
        )
    if flagged >= _ENOUGH and counts.table[1][1] == 0:
        found.append(
            f"of {slug} in a {side} the judge says no to all of {flagged} samples that a detector flagged: it may say "
            "no to everything; try it on harmful texts"
        )
    return found


def entropy_bits(share: float) -> float:
    """Of a yes-or-no answer whose share of yes this is."""
    return abs(sum(p * math.log2(p) for p in (share, 1 - share) if p > 0))
