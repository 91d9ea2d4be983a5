"""Held-out rows as the networks see them, and what is fitted on them: lines, the composite, shifts of short texts.

Sources that no stage was trained on come first: on rows of its own sources a network is surer than anywhere else. A
head without enough positives among them is fitted on held-out rows of the training sets, and said so.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from detectors.base import Role, Text
from detectors.trained.networks import Floats, Network
from detectors.training.data import BENIGN, HARMS, HEADS, LEFT_OUT, UNLABELLED, Row
from detectors.training.measure import Labels, Scores, auroc, platt

MIN_POSITIVES = 20  # of a head in one role, or nothing is fitted or stated
MIN_AUROC = 0.6  # of the lower end of a head's 95 % interval, or the head is dropped
FALSE_ALARMS = 0.01  # the default operating point
SOURCE_ROWS = 100  # a source with more rows of a class counts as if it had so many

# Share of the mean over windows in a head's logit; the rest is the largest window's. Chosen on left-out sources. An
# attack may hide in any window, so there the largest counts.
REPLY_MEAN, PROMPT_MEAN = 0.5, 0.25
MEANS: Mapping[str, Mapping[Role, float]] = {
    slug: {role: REPLY_MEAN if role == "response" else PROMPT_MEAN for role in roles}
    for slug, roles in HEADS.items()
    if slug != "prompt_attacks"
}
# Share of the highest other harm in `unsafe`, of standardised log-odds: chosen there too.
COMPOSITE: Mapping[Role, float] = {"prompt": 0.5, "response": 0.25}
COMPOSITE_FROM = 0.95  # where the benign rows' distribution is taken as zero
# Upper ends of bands of length, in words; what is longer is one more.
LENGTHS = (4, 12, 40)
BAND_RATES = (0.01, 0.002)
SURE_OF = 0.8  # false alarms that a rate must stand for in a band, or a lower one is asked
BAND_ROWS = 30  # of a band, or nothing is said of it
_A_HAIR = 1e-3
OWN_ROWS = 300  # of our own texts in a band, or their rate of false alarms is not told well enough
AGREES_AT = 0.05
CAPPED_BANDS = (1, 2)  # 5 to 40 words: of fewer, all heads must be surer anyway
POSTS = ("toxicity", "hate")  # learned from posts too, in which nobody looked for other harm
# One left-out source has refusals: at last their log-odds are moved so that 0.5 lies where the held-out rows of all
# sources, and our own harmless texts, say. The order of texts stays, and so does what a rate of false alarms flags.
CENTRED = ("refusal",)
# How much of a refusal's log-odds above 0 is taken off those of `unsafe` in replies: who refuses does no harm.
YIELDS = 0.5
CLEAR = 0.99  # quantile of benign replies under which a head has nothing to find

Line = tuple[float, ...]
ByHead = dict[str, dict[Role, Line]]


def is_unseen(row: Row) -> bool:
    """Whether nothing was trained on the row's source."""
    return row.set in LEFT_OUT or row.set in UNLABELLED


@dataclass(frozen=True)
class Evidence:
    """The rows of one role that a network could read, with its logits [rows, columns]."""

    role: Role
    rows: Sequence[Row]
    logits: Floats

    @cached_property
    def labels(self) -> Mapping[str, tuple[Labels, Labels]]:
        """Slug → which rows are labelled for it, and which of all rows are positive."""
        told = [_told_of(row.labels, self.role) for row in self.rows]
        known = {slug: np.array([slug in labels for labels in told], dtype=np.bool_) for slug in HEADS}
        ones = {slug: np.array([labels.get(slug) == 1 for labels in told], dtype=np.bool_) for slug in HEADS}
        return {slug: (known[slug], ones[slug]) for slug in HEADS}

    @cached_property
    def sets(self) -> Sequence[str]:
        return [row.set for row in self.rows]

    @cached_property
    def unseen(self) -> Labels:
        """The rows of sources that nothing was trained on."""
        return np.array([is_unseen(row) for row in self.rows], dtype=np.bool_)

    @cached_property
    def words(self) -> Floats:
        return np.array([len(row.text.split()) for row in self.rows])

    def benign(self, slug: str) -> Labels:
        """The unseen rows on which a flag for `slug` is a false alarm."""
        harmless = np.array([_is_benign(row.labels, slug, self.role) for row in self.rows], dtype=np.bool_)
        return harmless & self.unseen

    def firm(self, slug: str) -> Labels:
        """The labelled rows that fit a head: unseen ones where there are enough of both classes, else all."""
        known, ones = self.labels[slug]
        few = min((known & ones & self.unseen).sum(), (known & ~ones & self.unseen).sum())
        return known & self.unseen if few >= MIN_POSITIVES else known


def _told_of(labels: Mapping[str, int], role: Role) -> Mapping[str, int]:
    """With what follows from a row's labels: who answers with harm has not refused."""
    return {"refusal": 0, **labels} if role == "response" and labels.get("unsafe") == 1 else labels


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

    Everyday texts, which come without labels, are benign for all heads.
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

    `odds` [rows of the role's evidence] by slug and role; the rest as in `manifest.DetectorInfo`.
    """

    found: ByRole
    calibration: ByHead
    odds: dict[str, dict[Role, Scores]]
    means: Mapping[str, Mapping[Role, float]] = field(default_factory=dict)
    composite: dict[str, dict[Role, tuple[float, float]]] = field(default_factory=dict)
    shifts: ByHead = field(default_factory=dict)
    yields: dict[str, dict[Role, float]] = field(default_factory=dict)
    caps: dict[str, dict[Role, tuple[float | None, ...]]] = field(default_factory=dict)
    clear: dict[str, dict[Role, tuple[float, float]]] = field(default_factory=dict)


def plain(found: ByRole) -> Fitted:
    """One network: a line a head."""
    columns = {slug: (column,) for column, slug in enumerate(HEADS)}
    fitted = _lines(found, columns)
    return Fitted(found, fitted, _odds(found, fitted, columns))


def cascade(found: ByRole) -> Fitted:
    """Two networks, the first one's heads before the second one's: lines, the composite, and shifts by length."""
    both = {slug: (column, len(HEADS) + column) for column, slug in enumerate(HEADS)}
    calibration = _lines(found, both)
    odds = _odds(found, calibration, both)
    composite: dict[str, dict[Role, tuple[float, float]]] = {}
    for role, share in COMPOSITE.items():
        for slug, line in _composite(found[role], odds, share).items():
            composite.setdefault(slug, {})[role] = line
        odds["unsafe"][role] = _joined(composite, odds, role)
    shifts = {
        slug: {role: _shifts(found[role], slug, own_odds) for role, own_odds in by_role.items()}
        for slug, by_role in odds.items()
    }
    for slug, by_role in odds.items():
        for role, own_odds in by_role.items():
            by_role[role] = own_odds - _shift_of(found[role], shifts[slug][role])
    for slug in CENTRED:
        for role in odds.get(slug, {}):
            slope, offset = centre(found[role], slug, odds[slug][role])
            odds[slug][role] = slope * odds[slug][role] + offset
            own = calibration[slug][role]
            calibration[slug][role] = (*(slope * each for each in own[:-1]), slope * own[-1] + offset)
            shifts[slug][role] = tuple(slope * shift for shift in shifts[slug][role])
    caps = _caps(found["response"], odds)
    yields = _yields(odds, "response")
    return Fitted(found, calibration, odds, MEANS, composite, shifts, yields, caps, _clear(found["response"]))


def _lines(found: ByRole, columns: Mapping[str, Sequence[int]]) -> ByHead:
    """For each slug and role the slopes of its columns and the offset, fitted where positives suffice.

    A role with too few borrows the other's line; a slug with too few in both has none.
    """
    out: ByHead = {}
    for slug, roles in HEADS.items():
        fitted = {role: _line(found[role], slug, columns[slug]) for role in roles}
        firm = [line for line in fitted.values() if line]
        if firm:
            out[slug] = {role: line or firm[0] for role, line in fitted.items()}
    return out


def _line(found: Evidence, slug: str, columns: Sequence[int]) -> Line | None:
    """A head that speaks against another's evidence is left out of its line. See `balanced` for what 0.5 means."""
    mine, ones = found.firm(slug), found.labels[slug][1]
    if min((mine & ones).sum(), (mine & ~ones).sum()) < MIN_POSITIVES:
        return None
    used = list(range(len(columns)))
    while True:
        line = _platt_of(found, mine, ones, found.logits[:, [columns[place] for place in used]])
        worst = int(np.argmin(line[:-1]))
        if line[worst] >= 0 or len(used) == 1:
            slopes = dict(zip(used, line[:-1], strict=True))
            return (*(slopes.get(place, 0.0) for place in range(len(columns))), line[-1])
        del used[worst]


def centre(found: Evidence, slug: str, odds: Scores) -> tuple[float, float]:
    """Slope and offset that move log-odds to where all sources say that 0.5 lies."""
    own: Labels = np.array(found.sets) == BENIGN
    known, ones = found.labels[slug]
    slope, offset = _platt_of(found, known | own, ones, odds[:, None])
    return slope, offset


def _platt_of(found: Evidence, mine: Labels, ones: Labels, columns: Floats) -> Line:
    return platt(columns[mine], ones[mine], weights=balanced(np.array(found.sets)[mine], ones[mine]))


def balanced(sets: Sequence[str] | np.ndarray, ones: Labels) -> Floats:
    """Weights: both classes alike, so that 0.5 is where a text is as likely in the one as in the other (prior
    correction, King and Zeng 2001, section 4.1); within a class no source weighs more than one of SOURCE_ROWS rows."""
    names = np.asarray(sets)
    weights = np.zeros(len(ones))
    for side in (ones, ~ones):
        for name in np.unique(names[side]):
            mine = side & (names == name)
            weights[mine] = min(mine.sum(), SOURCE_ROWS) / mine.sum()
        weights[side] *= len(ones) / 2 / weights[side].sum()
    return weights


def _odds(found: ByRole, fitted: ByHead, columns: Mapping[str, Sequence[int]]) -> dict[str, dict[Role, Scores]]:
    return {
        slug: {
            role: found[role].logits[:, columns[slug]] @ np.array(line[:-1]) + line[-1] for role, line in lines.items()
        }
        for slug, lines in fitted.items()
    }


def _composite(
    found: Evidence, odds: Mapping[str, Mapping[Role, Scores]], share: float
) -> dict[str, tuple[float, float]]:
    """Lines by which `unsafe` and the highest harm make one log-odds: benign rows' spread is each one's unit."""
    spread = {}
    for slug in ("unsafe", *HARMS):
        scores, benign = odds.get(slug, {}).get(found.role), found.benign(slug)
        if scores is not None and _is_firm(found, slug, scores):
            spread[slug] = (float(np.quantile(scores[benign], COMPOSITE_FROM)), float(scores[benign].std()))
    unit = {slug: (1 / width, -zero / width) for slug, (zero, width) in spread.items()}
    highest = np.max([_on(unit[slug], odds[slug][found.role]) for slug in HARMS if slug in unit], axis=0)
    together = (1 - share) * _on(unit["unsafe"], odds["unsafe"][found.role]) + share * highest
    mine, ones = found.firm("unsafe"), found.labels["unsafe"][1]
    weights = balanced(np.array(found.sets)[mine], ones[mine])
    slope, offset = platt(together[mine], ones[mine], weights=weights)
    out = {slug: (slope * share * line[0], slope * share * line[1]) for slug, line in unit.items()}
    own = unit["unsafe"]
    return {**out, "unsafe": (slope * (1 - share) * own[0], slope * (1 - share) * own[1] + offset)}


def _is_firm(found: Evidence, slug: str, scores: Scores) -> bool:
    mine, ones = found.firm(slug), found.labels[slug][1]
    enough = min((mine & ones).sum(), (mine & ~ones).sum()) >= MIN_POSITIVES
    return bool(enough) and auroc_floor(scores[mine], ones[mine]) >= MIN_AUROC


def _joined(
    composite: Mapping[str, Mapping[Role, tuple[float, float]]], odds: Mapping[str, Mapping[Role, Scores]], role: Role
) -> Scores:
    lines = {slug: by_role[role] for slug, by_role in composite.items() if role in by_role}
    highest = np.max([_on(line, odds[slug][role]) for slug, line in lines.items() if slug != "unsafe"], axis=0)
    joined: Scores = _on(lines["unsafe"], odds["unsafe"][role]) + highest
    return joined


def _on(line: tuple[float, float], odds: Scores) -> Scores:
    return odds * line[0] + line[1]


def _shifts(found: Evidence, slug: str, odds: Scores) -> Line:
    """What is taken off the log-odds in each band whose benign rows would be flagged more often than all are."""
    benign = found.benign(slug)
    bands = [
        odds[benign & (found.words > low) & (found.words <= high)]
        for low, high in zip((-1, *LENGTHS), (*LENGTHS, np.inf), strict=True)
    ]
    shifts = [max((_above(band, odds[benign], rate) for rate in _told(band)), default=0.0) for band in bands]
    for number, band in enumerate(_own_bands(found, benign, odds)):
        if len(band) >= OWN_ROWS:
            shifts[number] = max(shifts[number], _above(band, odds[benign], FALSE_ALARMS))
    shifts[0] = max(shifts[0], _shortest_own(found, benign, odds, odds - _shift_of(found, tuple(shifts))))
    return tuple(shifts)


def _own_bands(found: Evidence, benign: Labels, odds: Scores) -> list[Scores]:
    """Our own texts by band: what others wrote in a band may be far from everyday."""
    own = benign & (np.array(found.sets) == BENIGN)
    ends = zip((-1, *LENGTHS), (*LENGTHS, np.inf), strict=True)
    return [odds[own & (found.words > low) & (found.words <= high)] for low, high in ends]


def _yields(odds: dict[str, dict[Role, Scores]], role: Role) -> dict[str, dict[Role, float]]:
    """YIELDS for `unsafe`, whose odds are lowered by it."""
    if role not in odds.get("refusal", {}):
        return {}
    odds["unsafe"][role] = odds["unsafe"][role] - YIELDS * np.maximum(odds["refusal"][role], 0)
    return {"unsafe": {role: YIELDS}}


def _caps(found: Evidence, odds: dict[str, dict[Role, Scores]]) -> dict[str, dict[Role, tuple[float | None, ...]]]:
    """What is no harm is none of its kinds: in short replies, where the heads of harm err most, one reaches its default
    threshold only where `unsafe` reaches the one of AGREES_AT. The odds are capped so as well."""
    role, unsafe = found.role, odds["unsafe"][found.role]
    limit = np.quantile(unsafe[found.benign("unsafe")], 1 - AGREES_AT)
    bands = np.searchsorted(LENGTHS, found.words)
    caps: dict[str, dict[Role, tuple[float | None, ...]]] = {}
    for slug in HARMS:
        if slug not in POSTS and role in odds.get(slug, {}):
            own = odds[slug][role]
            cap = float(np.quantile(own[found.benign(slug)], 1 - FALSE_ALARMS) - limit)
            caps[slug] = {role: tuple(cap if band in CAPPED_BANDS else None for band in range(len(LENGTHS) + 1))}
            odds[slug][role] = np.where(np.isin(bands, CAPPED_BANDS), np.minimum(own, unsafe + cap), own)
    return caps


def _shortest_own(found: Evidence, benign: Labels, odds: Scores, shifted: Scores) -> float:
    """The shift with which none of our own shortest texts is flagged: at a rate, the heads together flag too many.

    The threshold is that of the rows as they are `shifted`, the shortest below it.
    """
    shortest = found.words <= LENGTHS[0]
    own = odds[benign & shortest & (np.array(found.sets) == BENIGN)]
    if len(own) < BAND_ROWS:
        return 0.0
    rest = np.where(shortest, -np.inf, shifted)[benign]
    return float(own.max() - np.quantile(rest, 1 - FALSE_ALARMS, method="lower")) + _A_HAIR


def _told(band: Scores) -> Sequence[float]:
    """The rates that a band has rows enough for, or the lowest that it has; none of very few rows."""
    firm = [rate for rate in BAND_RATES if len(band) * rate >= SURE_OF]
    return firm or ([SURE_OF / len(band)] if len(band) >= BAND_ROWS else [])


def _above(band: Scores, everything: Scores, rate: float) -> float:
    """By how much a band's threshold for a rate of false alarms exceeds that of all rows."""
    return max(float(np.quantile(band, 1 - rate) - np.quantile(everything, 1 - rate)), 0.0)


def _shift_of(found: Evidence, shifts: Line) -> Scores:
    of_band: Scores = np.array(shifts)[np.searchsorted(LENGTHS, found.words)]
    return of_band


def _clear(found: Evidence) -> dict[str, dict[Role, tuple[float, float]]]:
    """Limits on both stages' logits for the heads of harm: what few benign replies exceed."""
    out: dict[str, dict[Role, tuple[float, float]]] = {}
    for column, slug in enumerate(HEADS):
        benign = found.benign(slug)
        if (slug == "unsafe" or slug in HARMS) and benign.any():
            first, second = (
                float(np.quantile(found.logits[benign, place], CLEAR)) for place in (column, len(HEADS) + column)
            )
            out[slug] = {found.role: (first, second)}
    return out


def auroc_floor(scores: Scores, labels: Labels) -> float:
    """Lower end of the 95 % interval (Hanley and McNeil 1982)."""
    area = auroc(scores, labels)
    positives, negatives = int(labels.sum()), int((~labels).sum())
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (positives - 1) * (q1 - area**2) + (negatives - 1) * (q2 - area**2)
    return area - 1.96 * math.sqrt(max(variance, 0) / (positives * negatives))
