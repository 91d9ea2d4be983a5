"""Held-out rows as the networks see them, and the lines from head outputs to log-odds fitted on them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from detectors.base import Role, Text
from detectors.trained.networks import Floats, Network
from detectors.training.data import HARMS, HEADS, Row
from detectors.training.measure import Labels, Scores, auroc, platt

MIN_POSITIVES = 20  # held-out positives of a head in one role, or its recall there is not stated
MIN_AUROC = 0.6  # of the lower end of a head's 95 % interval, or the head is dropped
FALSE_ALARMS = 0.01  # what the gate must not lose: recall at this rate
KEPT = 0.99  # share of that recall
FOLDS, RIDGE = 5, 1.0  # of the gate's fit

Line = tuple[float, ...]


@dataclass(frozen=True)
class Evidence:
    """The rows of one role that a network could read, with its logits [rows, columns]."""

    role: Role
    rows: Sequence[Row]
    logits: Floats

    @cached_property
    def labels(self) -> Mapping[str, tuple[Labels, Labels]]:
        """Slug → which rows are labelled for it, and which of all rows are positive."""
        known = {slug: np.array([slug in row.labels for row in self.rows], dtype=np.bool_) for slug in HEADS}
        ones = {slug: np.array([row.labels.get(slug) == 1 for row in self.rows], dtype=np.bool_) for slug in HEADS}
        return {slug: (known[slug], ones[slug]) for slug in HEADS}

    def benign(self, slug: str) -> Labels:
        """The rows on which a flag for `slug` is a false alarm."""
        return np.array([_is_benign(row.labels, slug, self.role) for row in self.rows], dtype=np.bool_)


def only_written(rows: Sequence[Row], held_out: Sequence[Row]) -> list[Row]:
    """Of `rows` those labelled for a head of which no held-out row is positive: they are ours, and were trained on."""
    seen = {slug for row in held_out for slug, value in row.labels.items() if value == 1}
    thin = HEADS.keys() - seen
    return [row for row in rows if not thin.isdisjoint(row.labels)]


ByRole = Mapping[Role, Evidence]


def gather(networks: Sequence[Network], rows: Sequence[Row], role: Role) -> Evidence:
    """The rows that may take the role and that every network can read; the networks' logits side by side."""
    mine = [row for row in rows if role in row.roles]
    texts: list[Text] = [row.as_text(role) for row in mine]
    logits = np.concatenate([network.score(texts).logits for network in networks], axis=1)
    read = ~np.isnan(logits).any(axis=1)
    return Evidence(role, [row for row, is_read in zip(mine, read, strict=True) if is_read], logits[read])


def of_first(found: Evidence) -> Evidence:
    """What the first of two networks says of the rows."""
    return Evidence(found.role, found.rows, found.logits[:, : len(HEADS)])


def _is_benign(labels: Mapping[str, int], slug: str, role: Role) -> bool:
    """For a harm: harmless in every respect. For any other head: labelled 0, or a harmless reply without a label.

    Everyday requests, which come without labels, are benign for all heads.
    """
    harmless = labels.get("unsafe") == 0
    if not labels:
        return True
    if slug == "unsafe" or slug in HARMS:
        return harmless and labels.get(slug, 0) == 0
    return labels.get(slug) == 0 or (harmless and slug not in labels and role == "response" and slug != "refusal")


@dataclass(frozen=True, slots=True)
class Fitted:
    """How a detector turns logits into log-odds, and what that gives on the evidence.

    `odds` [rows of the role's evidence] by slug and role; `written` are the slugs calibrated
    on texts of our own for want of held-out positives; `ungated` are the odds of a cascade whose second stage reads
    every row, and `sure` marks the rows that it does not read; the rest as in `manifest.DetectorInfo`.
    """

    found: ByRole
    calibration: dict[str, dict[Role, Line]]
    odds: dict[str, dict[Role, Scores]]
    alone: dict[str, dict[Role, Line]] = field(default_factory=dict)
    gates: dict[Role, Line] = field(default_factory=dict)
    written: frozenset[str] = frozenset()
    ungated: dict[str, dict[Role, Scores]] = field(default_factory=dict)
    sure: dict[Role, Labels] = field(default_factory=dict)


def plain(found: ByRole, own: ByRole) -> Fitted:
    """One network: a line a head. `own` is the evidence of texts that we wrote, for heads without held-out rows."""
    columns = {slug: (column,) for column, slug in enumerate(HEADS)}
    fitted, written = _lines(found, own, columns)
    return Fitted(found, fitted, _odds(found, fitted, columns), written=written)


def cascade(found: ByRole, own: ByRole) -> Fitted:
    """Two networks, the first one's heads before the second one's: a line for both, one for the first, and the gate."""
    first = {slug: (column,) for column, slug in enumerate(HEADS)}
    both = {slug: (column, len(HEADS) + column) for column, slug in enumerate(HEADS)}
    (calibration, written), (alone, _) = _lines(found, own, both), _lines(found, own, first)
    odds, odds_alone = _odds(found, calibration, both), _odds(found, alone, first)
    gates: dict[Role, Line] = {role: _gate(evidence, role, odds, odds_alone) for role, evidence in found.items()}
    sure = {role: _sum(gates[role], found[role].logits[:, : len(HEADS)]) < 0 for role in found}
    gated = {
        slug: {role: np.where(sure[role], odds_alone[slug][role], whole) for role, whole in by_role.items()}
        for slug, by_role in odds.items()
    }
    return Fitted(found, calibration, gated, alone, gates, written, odds, sure)


def _lines(
    found: ByRole, own: ByRole, columns: Mapping[str, Sequence[int]]
) -> tuple[dict[str, dict[Role, Line]], frozenset[str]]:
    """For each slug and role the slopes of its columns and the offset, fitted where positives suffice.

    A role with too few borrows the other's line; a slug with too few in both is fitted on `own`, and named.
    """
    out: dict[str, dict[Role, Line]] = {}
    written = set()
    for slug, roles in HEADS.items():
        fitted = {role: _line(found[role], slug, columns[slug]) for role in roles}
        if not any(fitted.values()) and not any(found[role].labels[slug][1].any() for role in roles):
            fitted = {role: _line(own[role], slug, columns[slug]) for role in roles}
            written.add(slug)
        firm = [line for line in fitted.values() if line]
        if firm:
            out[slug] = {role: line or firm[0] for role, line in fitted.items()}
    return out, frozenset(written & out.keys())


def _line(found: Evidence, slug: str, columns: Sequence[int]) -> Line | None:
    """A head that speaks against another's evidence is left out of its line.

    The offset is that of as many positives as negatives (prior correction, King and Zeng 2001, section 4.1): 0.5 is
    where a text is as likely among the ones as among the others, whatever the mix of the held-out rows.
    """
    known, ones = found.labels[slug]
    even = math.log((known & ~ones).sum() / ones.sum()) if ones.any() and (known & ~ones).any() else 0.0
    if ones.sum() < MIN_POSITIVES or (known & ~ones).sum() < MIN_POSITIVES:
        return None
    used = list(range(len(columns)))
    while True:
        line = platt(found.logits[known][:, [columns[place] for place in used]], ones[known])
        worst = int(np.argmin(line[:-1]))
        if line[worst] >= 0 or len(used) == 1:
            slopes = dict(zip(used, line[:-1], strict=True))
            return (*(slopes.get(place, 0.0) for place in range(len(columns))), line[-1] + even)
        del used[worst]


def _odds(
    found: ByRole, fitted: Mapping[str, Mapping[Role, Line]], columns: Mapping[str, Sequence[int]]
) -> dict[str, dict[Role, Scores]]:
    return {
        slug: {
            role: found[role].logits[:, columns[slug]] @ np.array(line[:-1]) + line[-1] for role, line in lines.items()
        }
        for slug, lines in fitted.items()
    }


def _gate(
    found: Evidence,
    role: Role,
    odds: Mapping[str, Mapping[Role, Scores]],
    alone: Mapping[str, Mapping[Role, Scores]],
) -> Line:
    """Slopes of the first stage's heads and an offset: below 0 in sum, the second stage is not asked.

    Fitted to whether the two stages together flag anything at FALSE_ALARMS; the offset then so that of what they flag
    rightly, all heads taken together, the share KEPT is flagged still. For that each row is judged by a gate fitted
    on other rows.
    """
    first = found.logits[:, : len(HEADS)]
    flagged = np.zeros(len(found.rows), dtype=np.bool_)
    rightly, missed_if_sure = np.zeros(len(found.rows)), np.zeros(len(found.rows))
    for slug in odds:
        if role in odds[slug]:
            limit = np.quantile(odds[slug][role][found.benign(slug)], 1 - FALSE_ALARMS)
            by_both = odds[slug][role] > limit
            flagged |= by_both
            rightly += by_both & found.labels[slug][1]
            missed_if_sure += by_both & found.labels[slug][1] & (alone[slug][role] <= limit)
    total = np.empty(len(flagged))
    fold = np.arange(len(flagged)) % FOLDS
    for number in range(FOLDS):
        total[fold == number] = _sum(
            platt(first[fold != number], flagged[fold != number], RIDGE), first[fold == number]
        )
    line = platt(first, flagged, RIDGE)
    order = np.argsort(total)
    place = int(np.searchsorted(np.cumsum(missed_if_sure[order]), (1 - KEPT) * rightly.sum(), "right"))
    limit = total[order][place] if place < len(order) else total.max() + 1
    return (*line[:-1], line[-1] - float(limit))


def _sum(line: Line, logits: Floats) -> Scores:
    total: Scores = logits @ np.array(line[:-1]) + line[-1]
    return total


def auroc_floor(scores: Scores, labels: Labels) -> float:
    """Lower end of the 95 % interval (Hanley and McNeil 1982)."""
    area = auroc(scores, labels)
    positives, negatives = int(labels.sum()), int((~labels).sum())
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (positives - 1) * (q1 - area**2) + (negatives - 1) * (q2 - area**2)
    return area - 1.96 * math.sqrt(max(variance, 0) / (positives * negatives))
