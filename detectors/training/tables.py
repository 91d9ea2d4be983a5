"""From scores on held-out rows to what ships beside a detector: calibration, operating tables, error rates."""

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from detectors.base import OperatingTable, Role, Text
from detectors.encoder import Encoder
from detectors.manifest import DetectorInfo, Measurement, Tables, threshold
from detectors.rules.patterns import SLUG, Pattern, PatternRule
from detectors.training.data import BOTH, HARMS, HEADS, Row
from detectors.training.measure import (
    Labels,
    Scores,
    auroc,
    average_precision,
    calibration_error,
    operating_table,
    platt,
    scores_of,
)

MIN_POSITIVES = 20  # held-out positives of a head in one role, or its recall there is not stated
MIN_AUROC = 0.6  # of the lower end of a head's 95 % interval, or the head is dropped
DEV = "held-out rows of the training sets"
LEFT_OUT = "left out of training"
BENIGN = "benign rows of the training sets"

Found = dict[str, dict[Role, tuple[Scores, Labels]]]


def head_tables(model: Encoder, dev: Sequence[Row], ordinary: Sequence[Row], date: str) -> tuple[Tables, list[str]]:
    """Tables of the trained heads, and a line for each head that was dropped because it is no better than chance."""
    tables = Tables((), tuple(HEADS), {}, {}, {}, {}, ())
    measured: list[Measurement] = []
    dropped: list[str] = []
    found = _labelled_logits(model, dev)
    benign = {role: _Benign(model, dev, ordinary, role) for role in BOTH}
    for slug, roles in HEADS.items():
        firm = {role: pair for role, pair in found[slug].items() if pair[1].sum() >= MIN_POSITIVES}
        floor = {role: _auroc_floor(*pair) for role, pair in firm.items()}
        firm = {role: pair for role, pair in firm.items() if floor[role] >= MIN_AUROC}
        if not firm:
            dropped.append(f"`{slug}`: held-out AUROC {_all_aurocs(found[slug])}")
            continue
        fallback = platt(*next(iter(firm.values())))
        for role in roles:
            line = platt(*firm[role]) if role in firm else fallback
            rest = _probability(benign[role].logits(slug), line)
            table = operating_table(rest)
            tables.calibration.setdefault(slug, {})[role] = line
            tables.operating.setdefault(slug, {})[role] = table
            tables.benign_rows.setdefault(slug, {})[role] = len(rest)
            if role in firm:
                scores, labels = _probability(firm[role][0], line), firm[role][1]
                tables.rates.setdefault(slug, {})[role] = _rates(scores[labels], rest, table)
                measured += _dev_figures(slug, role, scores, labels, date)
    slugs = tuple(tables.operating)
    return (
        Tables(
            slugs, tables.heads, tables.operating, tables.benign_rows, tables.rates, tables.calibration, tuple(measured)
        ),
        dropped,
    )


def rule_tables(
    info: DetectorInfo, patterns: Sequence[Pattern], benign: Sequence[Row], positives: Sequence[Row], date: str
) -> Tables:
    """Tables of a pattern rule; its rates are left out where there are no labelled positives to find."""
    rule = PatternRule(info, patterns)
    levels = sorted({pattern.confidence for pattern in patterns})
    tables = Tables((SLUG,), (), {SLUG: {}}, {SLUG: {}}, {SLUG: {}}, {}, ())
    measured: list[Measurement] = []
    for role in BOTH:
        texts = [row.as_text(role) for row in benign if role in row.roles and _is_harmless(row)]
        rest = scores_of(rule, texts, SLUG)
        table = operating_table(rest, levels)
        tables.operating[SLUG][role] = table
        tables.benign_rows[SLUG][role] = len(rest)
        hits = [Text(row.text, role) for row in positives if row.labels.get(SLUG) == 1]
        if hits:
            tables.rates[SLUG][role] = _rates(scores_of(rule, hits, SLUG), rest, table)
        alarms = round(float((rest > 0).mean()), 5)
        measured.append(Measurement(BENIGN, SLUG, f"{role}: share with any finding", alarms, len(rest), date))
    return msgspec.structs.replace(tables, measured=tuple(measured))


def _is_harmless(row: Row) -> bool:
    """Every harm ruled out, or an everyday request without labels."""
    return row.labels.get("unsafe") == 0 or not row.labels


def left_out_figures(model: Encoder, unseen: Sequence[Row], date: str) -> list[Measurement]:
    """AUROC per set, role and head on sources that `model` was trained without, where both classes are there."""
    out = []
    for name in sorted({row.set for row in unseen}):
        found = _labelled_logits(model, [row for row in unseen if row.set == name])
        for slug, role in ((slug, role) for slug, by_role in found.items() for role in by_role):
            scores, labels = found[slug][role]
            if min(labels.sum(), (~labels).sum()) >= MIN_POSITIVES:
                area = round(auroc(scores, labels), 4)
                out.append(Measurement(f"{LEFT_OUT}: {name}", slug, f"{role}: AUROC", area, len(scores), date))
    return out


class _Benign:
    """The texts of one role on which a flag is a false alarm, scored once for all heads.

    For a harm: rows that are harmless in every respect. For any other head: rows labelled 0 for it, and for replies
    also the harmless rows that were not labelled for it. For prompts, everyday requests besides.
    """

    def __init__(self, model: Encoder, dev: Sequence[Row], ordinary: Sequence[Row], role: Role) -> None:
        self._rows = [row for row in (*dev, *ordinary) if role in row.roles]
        self._unlabelled_counts = role == "response"
        self._logits = model.logits([row.as_text(role) for row in self._rows])

    def logits(self, slug: str) -> Scores:
        keep = np.array([self._is_benign(row.labels, slug) for row in self._rows], dtype=np.bool_)
        found: Scores = self._logits[keep, list(HEADS).index(slug)]
        return found[~np.isnan(found)]

    def _is_benign(self, labels: Mapping[str, int], slug: str) -> bool:
        harmless = labels.get("unsafe") == 0
        if not labels:
            return True  # an everyday request
        if slug == "unsafe" or slug in HARMS:
            return harmless and labels.get(slug, 0) == 0
        return labels.get(slug) == 0 or (
            harmless and slug not in labels and self._unlabelled_counts and slug != "refusal"
        )


def _labelled_logits(model: Encoder, dev: Sequence[Row]) -> Found:
    found: Found = {slug: {} for slug in HEADS}
    for role in BOTH:
        rows = [row for row in dev if role in row.roles]
        logits = model.logits([row.as_text(role) for row in rows])
        for column, (slug, roles) in enumerate(HEADS.items()):
            if role in roles:
                known = np.array([slug in row.labels for row in rows], dtype=np.bool_) & ~np.isnan(logits[:, column])
                labels = np.array([row.labels.get(slug) == 1 for row in rows], dtype=np.bool_)
                found[slug][role] = (logits[known, column], labels[known])
    return found


def _probability(logits: Scores, line: tuple[float, float]) -> Scores:
    scores: Scores = 1 / (1 + np.exp(-np.clip(logits * line[0] + line[1], -40, 36)))
    return scores


def _rates(positives: Scores, benign: Scores, table: OperatingTable) -> tuple[float, float]:
    flag_from = threshold(table)
    limit = math.inf if flag_from is None else flag_from
    return float((positives >= limit).mean()), float((benign >= limit).mean())


def _auroc_floor(scores: Scores, labels: Labels) -> float:
    """Lower end of the 95 % interval (Hanley and McNeil 1982)."""
    area = auroc(scores, labels)
    positives, negatives = int(labels.sum()), int((~labels).sum())
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (positives - 1) * (q1 - area**2) + (negatives - 1) * (q2 - area**2)
    return area - 1.96 * math.sqrt(max(variance, 0) / (positives * negatives))


def _all_aurocs(found: Mapping[Role, tuple[Scores, Labels]]) -> str:
    return ", ".join(f"{auroc(*pair):.3f} ({role}, {int(pair[1].sum())} positives)" for role, pair in found.items())


def _dev_figures(slug: str, role: Role, scores: Scores, labels: Labels, date: str) -> list[Measurement]:
    figures = {
        "AUROC": auroc(scores, labels),
        "average precision": average_precision(scores, labels),
        "calibration error": calibration_error(scores, labels),
    }
    return [
        Measurement(DEV, slug, f"{role}: {metric}", round(value, 4), len(scores), date)
        for metric, value in figures.items()
    ]
