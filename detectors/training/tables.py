"""From scores on held-out rows to what ships beside a detector: calibration, operating tables, error rates."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from detectors.base import OperatingTable, Role
from detectors.manifest import DetectorInfo, Measurement, Tables, threshold
from detectors.rules.rule import Rule, RuleDetector
from detectors.trained.networks import Network
from detectors.training.data import BOTH, HEADS, Row
from detectors.training.evidence import FALSE_ALARMS, MIN_AUROC, MIN_POSITIVES, ByRole, Fitted, auroc_floor, gather
from detectors.training.measure import (
    ALONE,
    LOST,
    Curve,
    Labels,
    Scores,
    auroc,
    average_precision,
    calibration_error,
    operating_table,
    reliability,
    scores_of,
)

DEV = "held-out rows of the training sets"
LEFT_OUT = "left out of training"
BENIGN = "benign rows of the training sets"


def head_tables(fitted: Fitted, date: str) -> tuple[Tables, list[str]]:
    """Tables of the trained heads, and a line for each head that was dropped because it is no better than chance."""
    tables = Tables((), tuple(HEADS), {}, {}, {}, fitted.calibration, (), fitted.alone, fitted.gates)
    measured: list[Measurement] = []
    dropped: list[str] = []
    for slug, roles in HEADS.items():
        labelled = {role: _labelled(fitted, slug, role) for role in roles if slug in fitted.odds}
        firm = [role for role, (scores, labels) in labelled.items() if _is_firm(scores, labels)]
        if not firm and slug not in fitted.written:
            pairs = "".join(f"; pair accuracy {item.value:.3f}" for item in _pair_figures(fitted, slug, date))
            dropped.append(f"`{slug}`: held-out AUROC {_all_aurocs(labelled)}{pairs}")
            for by_slug in (tables.calibration, tables.alone):
                by_slug.pop(slug, None)
            continue
        for role in roles:
            rest = _probability(fitted.odds[slug][role][fitted.found[role].benign(slug)])
            table = operating_table(rest)
            tables.operating.setdefault(slug, {})[role] = table
            tables.benign_rows.setdefault(slug, {})[role] = len(rest)
            if role in firm:
                scores, labels = labelled[role]
                tables.rates.setdefault(slug, {})[role] = _rates(scores[labels], rest, table)
                measured += _dev_figures(slug, role, scores, labels, rest, date)
    for slug in tables.operating:
        measured += _pair_figures(fitted, slug, date)
    measured += _gate_figures(fitted, tables, date)
    return msgspec.structs.replace(tables, slugs=tuple(tables.operating), measured=tuple(measured)), dropped


GATED = "share of the recall at 1 % that the gate keeps"
FIRST_ONLY = "share of benign rows that only the first stage reads"


def _gate_figures(fitted: Fitted, tables: Tables, date: str) -> list[Measurement]:
    """What a cascade saves, and what it loses of what its second stage would find on every row."""
    out = []
    for slug, by_role in tables.rates.items():
        for role in by_role if fitted.ungated else ():
            benign, (_, ones) = fitted.found[role].benign(slug), fitted.found[role].labels[slug]
            recalls = [
                float((odds[ones] > np.quantile(odds[benign], 1 - FALSE_ALARMS)).mean())
                for odds in (fitted.odds[slug][role], fitted.ungated[slug][role])
            ]
            saved = float(fitted.sure[role][benign].mean())
            for metric, value, rows in (
                (GATED, recalls[0] / max(recalls[1], 1e-9), ones.sum()),
                (FIRST_ONLY, saved, benign.sum()),
            ):
                out.append(Measurement(DEV, slug, f"{role}: {metric}", round(value, 4), int(rows), date))
    return out


LOST_POSITIVES, LOST_NEGATIVES = 100, 150  # rows of a head that the slow fp32 model reads


def lost_figures(found: ByRole, exact: Network, date: str) -> list[Measurement]:
    """What each head of a cascade's second stage ranks worse than in fp32, on some of the held-out rows."""
    out = []
    for role, evidence in found.items():
        heads = [(column, slug) for column, (slug, roles) in enumerate(HEADS.items()) if role in roles]
        chosen: set[int] = set()
        for _, slug in heads:
            known, ones = evidence.labels[slug]
            chosen |= {*np.flatnonzero(ones)[:LOST_POSITIVES].tolist()}
            chosen |= {*np.flatnonzero(known & ~ones)[:LOST_NEGATIVES].tolist()}
        places = np.array(sorted(chosen))
        slow = exact.score([evidence.rows[place].as_text(role) for place in places]).logits
        for column, slug in heads:
            known, ones = (mask[places] for mask in evidence.labels[slug])
            if min(ones.sum(), (known & ~ones).sum()) >= MIN_POSITIVES:
                quick = evidence.logits[places, len(HEADS) + column]
                areas = [auroc(scores[known], ones[known]) for scores in (quick, slow[:, column])]
                for metric, value in ((ALONE, areas[0]), (LOST, areas[1] - areas[0])):
                    name = f"{role}: {metric}"
                    out.append(Measurement(DEV, slug, name, round(value, 4), int(known.sum()), date))
    return out


# The heads whose calibration is drawn.
_DRAWN = ("unsafe", "refusal", "prompt_attacks", "toxicity", "hate", "mental_health")


def reliability_curves(fitted: Fitted) -> dict[str, Curve]:
    """The reliability of some heads on the held-out rows."""
    out = {}
    for slug in _DRAWN:
        for role in HEADS[slug] if slug in fitted.odds else ():
            scores, labels = _labelled(fitted, slug, role)
            if min(labels.sum(), (~labels).sum()) >= MIN_POSITIVES:
                out[f"{slug}, {role}"] = reliability(scores, labels)
    return out


# Sets that ask which of two claims about one item is right, and the head that should know.
PAIRED = {"ecare": "limited_causal_reasoning"}


def _pair_figures(fitted: Fitted, slug: str, date: str) -> list[Measurement]:
    """How often the wrong claim of a held-out pair scores higher than the right one."""
    out = []
    for name in (name for name, head in PAIRED.items() if head == slug):
        pairs: defaultdict[str, dict[int, float]] = defaultdict(dict)
        rows = fitted.found["response"].rows
        for row, score in zip(rows, fitted.odds.get(slug, {}).get("response", ()), strict=False):
            if row.set == name and row.item:
                pairs[row.item][row.labels[slug]] = float(score)
        won = [pair[1] > pair[0] for pair in pairs.values() if len(pair) == 2]
        if won:
            share = round(float(np.mean(won)), 4)
            out.append(Measurement(f"{name}, held-out pairs", slug, "response: pair accuracy", share, len(won), date))
    return out


def _labelled(fitted: Fitted, slug: str, role: Role) -> tuple[Scores, Labels]:
    """The scores and labels of the rows that are labelled for the slug."""
    known, ones = fitted.found[role].labels[slug]
    return _probability(fitted.odds[slug][role][known]), ones[known]


def _is_firm(scores: Scores, labels: Labels) -> bool:
    enough = min(labels.sum(), (~labels).sum()) >= MIN_POSITIVES
    return bool(enough) and auroc_floor(scores, labels) >= MIN_AUROC


def rule_tables(info: DetectorInfo, rule: Rule, benign: Sequence[Row], positives: Sequence[Row], date: str) -> Tables:
    """Tables of a rule in the roles it judges; its rates are left out where there are no labelled positives to find."""
    detector, slug = RuleDetector(info, rule), rule.slug
    labels = tuple(sorted(rule.labels))
    tables = Tables((slug,), (), {slug: {}}, {slug: {}}, {slug: {}}, {}, (), labels=labels)
    measured: list[Measurement] = []
    for role in rule.roles:
        texts = [row.as_text(role) for row in benign if role in row.roles and _is_harmless(row, slug)]
        rest = scores_of(detector, texts, slug)
        table = operating_table(rest, sorted(rule.levels))
        tables.operating[slug][role] = table
        tables.benign_rows[slug][role] = len(rest)
        hits = [row.as_text(role) for row in positives if role in row.roles and row.labels.get(slug) == 1]
        if hits:
            tables.rates[slug][role] = _rates(scores_of(detector, hits, slug), rest, table)
        alarms = round(float((rest > 0).mean()), 5)
        measured.append(Measurement(BENIGN, slug, f"{role}: share with any finding", alarms, len(rest), date))
    return msgspec.structs.replace(tables, measured=tuple(measured))


def _is_harmless(row: Row, slug: str) -> bool:
    """Every harm ruled out, or an everyday request without labels; and not labelled with what is looked for."""
    return (row.labels.get("unsafe") == 0 or not row.labels) and row.labels.get(slug) != 1


def left_out_figures(network: Network, unseen: Sequence[Row], date: str) -> list[Measurement]:
    """AUROC per set, role and head on sources that `network` was trained without, where both classes are there."""
    out = []
    for role in BOTH:
        found = gather([network], unseen, role)
        sets = np.array([row.set for row in found.rows])
        for column, (slug, roles) in enumerate(HEADS.items()):
            known, ones = found.labels[slug]
            for name in sorted(set(sets[known].tolist())) if role in roles else ():
                mine = known & (sets == name)
                scores, labels = found.logits[mine, column], ones[mine]
                if min(labels.sum(), (~labels).sum()) >= MIN_POSITIVES:
                    area = round(auroc(scores, labels), 4)
                    out.append(Measurement(f"{LEFT_OUT}: {name}", slug, f"{role}: AUROC", area, len(scores), date))
    return out


def _probability(odds: Scores) -> Scores:
    scores: Scores = 1 / (1 + np.exp(-np.clip(odds, -40, 36)))
    return scores


def _rates(positives: Scores, benign: Scores, table: OperatingTable) -> tuple[float, float]:
    flag_from = threshold(table)
    limit = math.inf if flag_from is None else flag_from
    return float((positives >= limit).mean()), float((benign >= limit).mean())


def _all_aurocs(found: Mapping[Role, tuple[Scores, Labels]]) -> str:
    return ", ".join(f"{auroc(*pair):.3f} ({role}, {int(pair[1].sum())} positives)" for role, pair in found.items())


def _dev_figures(slug: str, role: Role, scores: Scores, labels: Labels, benign: Scores, date: str) -> list[Measurement]:
    figures = {
        "AUROC": auroc(scores, labels),
        "average precision": average_precision(scores, labels),
        "calibration error": calibration_error(scores, labels),
        "recall at 0.1 % false alarms": float((scores[labels] > np.quantile(benign, 0.999)).mean()),
    }
    return [
        Measurement(DEV, slug, f"{role}: {metric}", round(value, 4), len(scores), date)
        for metric, value in figures.items()
    ]
