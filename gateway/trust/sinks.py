"""Metrics and the audit file, as sinks of judged samples."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from detectors.opinions import strongest
from gateway.judging.messages import Finding
from gateway.telemetry import metrics
from gateway.trust.judged import Judged
from policies.engine import Action, Mode


class Journal(Protocol):
    """Where verdicts are written; nowhere when `path` is None."""

    path: Path | None

    def append(self, kind: str, fields: Mapping[str, Any]) -> None: ...


class MetricsSink:
    """Counts verdicts with their weights, and decisions. `categories` maps a sub-category to its category.

    `known` are the pairs (sub-category, direction) whose series begin at zero.
    """

    def __init__(self, categories: Mapping[str, str], known: Iterable[tuple[str, str]] = ()) -> None:
        self._categories = categories
        self._columns: dict[tuple[str, str], _Column] = {}
        for slug, direction in known:
            self._column(slug, direction)

    def take(self, judged: Judged) -> None:
        """Count the exchange once for each sub-category: its highest score, and whether any text was flagged."""
        weight = 1 / judged.probability
        squared, columns = weight * weight, self._columns
        for direction, opinion in judged.scores:
            column = columns.get((opinion.slug, direction)) or self._column(opinion.slug, direction)
            column.observe(opinion.score)
            column.weight.waiting += weight
            column.weight_squared.waiting += squared
            if opinion.flagged:
                column.flagged.waiting += 1
                column.flagged_weight.waiting += weight
                column.flagged_weight_squared.waiting += squared
            else:
                column.clear.waiting += 1
        self._count_decisions(judged)

    def _column(self, slug: str, direction: str) -> "_Column":
        category = self._categories.get(slug, "auxiliary")
        column = self._columns[slug, direction] = _Column(category, slug, direction)
        return column

    def _count_decisions(self, judged: Judged) -> None:
        """Count rules that only monitor, and enforced ones that an answer escaped because it was not held.

        The guard itself counts what it enforces.
        """
        for direction, decision in judged.decisions.items():
            for match in decision.matched:
                if not match.enforced or match.action is Action.FLAG:
                    effect = "canary" if match.mode is Mode.CANARY and match.action.acts else "monitored"
                elif direction == "response" and not judged.guarded and judged.outcome == "completed":
                    effect = "leaked"
                else:
                    continue
                metrics.tally(metrics.DECISIONS, direction, match.action, match.rule, effect).add()


class _Column:
    """The metrics of one sub-category and direction, looked up once: this runs for every verdict."""

    __slots__ = (
        "clear", "flagged", "flagged_weight", "flagged_weight_squared", "observe", "weight", "weight_squared",
    )  # fmt: skip

    def __init__(self, category: str, slug: str, direction: str) -> None:
        self.flagged = metrics.tally(metrics.VERDICTS, category, slug, direction, "1")
        self.clear = metrics.tally(metrics.VERDICTS, category, slug, direction, "0")
        self.observe = metrics.spread(metrics.SCORES, slug, direction).observe
        self.weight = metrics.tally(metrics.WEIGHT, slug, direction)
        self.weight_squared = metrics.tally(metrics.WEIGHT_SQUARED, slug, direction)
        self.flagged_weight = metrics.tally(metrics.FLAGGED_WEIGHT, slug, direction)
        self.flagged_weight_squared = metrics.tally(metrics.FLAGGED_WEIGHT_SQUARED, slug, direction)


class AuditSink:
    """Writes a line to the audit file for each judged sample; with `keeps_texts` also the texts of flagged samples."""

    def __init__(self, journal: Journal, *, keeps_texts: bool = False) -> None:
        self._journal = journal
        self._keeps_texts = keeps_texts

    def take(self, judged: Judged) -> None:
        if self._journal.path is None:
            return
        texts = judged.texts() if self._keeps_texts and judged.is_flagged else {}
        self._journal.append(
            "flag" if judged.is_flagged else "verdict",
            {
                "sample": judged.id,
                "route": judged.route,
                "principal": judged.caller,
                "operation": judged.operation,
                "model": judged.model,
                "outcome": judged.outcome,
                "stream": judged.stream,
                "probability": judged.probability,
                "revision": judged.decisions["prompt"].revision,
                "decisions": {
                    direction: {"action": decision.action, "would": decision.would, "rule": decision.rule}
                    for direction, decision in judged.decisions.items()
                },
                "texts": [_line(found, texts.get((found.direction, tuple(found.path)))) for found in judged.findings],
            },
        )


def _line(found: Finding, text: str | None) -> dict[str, Any]:
    """One text of an exchange: its place, its hash, its scores, and what was found where in it."""
    highest = strongest(found.opinions)
    return {
        "direction": found.direction,
        "channel": found.channel,
        "choice": found.choice,
        "hash": found.digest,
        "scores": {slug: round(opinion.score, 4) for slug, opinion in highest.items()},
        **_by_detector((o.detector, o.slug, round(o.score, 6), o.spans) for o in found.opinions),
        "language": found.language,
        "flags": sorted(slug for slug, opinion in highest.items() if opinion.flagged),
        "spans": [span for opinion in found.opinions for span in opinion.spans],
        **({} if text is None else {"text": text}),
    }


def _by_detector(opinions: Iterable[tuple[str, str, float, list[Any]]]) -> Mapping[str, Any]:
    """What a line keeps of (detector, slug, score, spans), so that `assay policy simulate` can decide again."""
    by: dict[str, dict[str, float]] = {}
    found: dict[str, list[Any]] = {}
    for detector, slug, score, spans in opinions:
        scores = by.setdefault(detector, {})
        scores[slug] = max(score, scores.get(slug, 0.0))
        if spans:
            found.setdefault(detector, []).extend(spans)
    return {"by": by, "found": found} if found else {"by": by}
