"""From scores on held-out rows to what ships beside a detector: calibration, operating tables, error rates."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

import msgspec
import numpy as np

from detectors.base import OperatingTable, Role
from detectors.manifest import DetectorInfo, Measurement, Tables, threshold
from detectors.rules.rule import Rule, RuleDetector
from detectors.training.data import HEADS, Row
from detectors.training.evidence import LENGTHS, MIN_AUROC, MIN_POSITIVES, Fitted, auroc_floor
from detectors.training.measure import (
    RECALL,
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

Value = TypeVar("Value")

DEV = "held-out rows of the training sets"
LEFT_OUT = "left out of training"
BENIGN = "benign rows of the training sets"


def head_tables(fitted: Fitted, date: str) -> Tables:
    """Tables of the trained heads; off are those of which held-out rows show nothing clearly above chance."""
    tables = Tables(
        (),
        tuple(HEADS),
        {},
        {},
        {},
        fitted.calibration,
        (),
        means={slug: dict(by_role) for slug, by_role in fitted.means.items()},
        composite=fitted.composite,
        lengths=LENGTHS if fitted.shifts else (),
        shifts=fitted.shifts,
        caps=fitted.caps,
        yields=fitted.yields,
        clear=fitted.clear,
    )
    measured: list[Measurement] = []
    off: dict[str, str] = {}
    for slug, roles in HEADS.items():
        labelled = {role: _labelled(fitted, slug, role) for role in roles if slug in fitted.odds}
        firm = {role: found for role, found in labelled.items() if _is_firm(*found)}
        if firm:
            measured += _add_head(tables, fitted, slug, firm, date)
            continue
        off[slug] = _all_aurocs(labelled)
        for by_slug in (tables.calibration, tables.composite, tables.shifts, tables.caps, tables.yields):
            by_slug.pop(slug, None)
    for slug in tables.operating:
        measured += _pair_figures(fitted, slug, date)
    measured += left_out_figures(fitted, date)
    return msgspec.structs.replace(tables, slugs=tuple(tables.operating), measured=tuple(measured), off=off)


def _add_head(
    tables: Tables, fitted: Fitted, slug: str, firm: Mapping[Role, tuple[Scores, Labels]], date: str
) -> list[Measurement]:
    """Put the operating tables of a head into `tables`; the figures of the roles in which held-out rows are `firm`."""
    measured: list[Measurement] = []
    for role in HEADS[slug]:
        rest = _probability(fitted.odds[slug][role][fitted.found[role].benign(slug)])
        table = operating_table(rest)
        tables.operating.setdefault(slug, {})[role] = table
        tables.benign_rows.setdefault(slug, {})[role] = len(rest)
        if role in firm:
            scores, labels = firm[role]
            tables.rates.setdefault(slug, {})[role] = _rates(scores[labels], rest, table)
            measured += _dev_figures(slug, role, scores, labels, rest, date)
    return measured


MIN_UNSEEN_AUROC = 0.75


def switched_off(tables: Tables, doubted: Mapping[str, str] = MappingProxyType({})) -> Tables:
    """Without the heads that reach MIN_UNSEEN_AUROC on no set that they were not trained on; `off` says what each did.

    `doubted` are those that are off whatever they reach, each with the reason. Their figures stay, for whoever wants to
    know.
    """
    best: defaultdict[str, list[tuple[float, str]]] = defaultdict(list)
    for item in tables.measured:
        if item.metric.endswith(": AUROC") and not item.seen and item.set != DEV:
            best[item.slug].append((item.value, item.set))
    off = {slug: _why(best[slug]) for slug in tables.slugs if max(best[slug], default=(0.0, ""))[0] < MIN_UNSEEN_AUROC}
    off |= {slug: why for slug, why in doubted.items() if slug in tables.slugs}
    kept = tuple(slug for slug in tables.slugs if slug not in off)

    def without(by_slug: Mapping[str, Mapping[Role, Value]]) -> dict[str, dict[Role, Value]]:
        return {slug: dict(by_role) for slug, by_role in by_slug.items() if slug in kept}

    return msgspec.structs.replace(
        tables,
        slugs=kept,
        operating=without(tables.operating),
        benign_rows=without(tables.benign_rows),
        rates=without(tables.rates),
        calibration=without(tables.calibration),
        composite=without(tables.composite),
        shifts=without(tables.shifts),
        caps=without(tables.caps),
        yields=without(tables.yields),
        streams=without(tables.streams),
        off={**tables.off, **off},
    )


def _why(found: Sequence[tuple[float, str]]) -> str:
    if not found:
        return "no set that it was not trained on has labels for it, so nobody knows how it does outside"
    area, name = max(found)
    return f"AUROC {area:.2f} at best on a set that it was not trained on ({name.removeprefix(f'{LEFT_OUT}: ')})"


def public_rates(tables: Tables) -> Tables:
    """With true positive rates from the public sets that a head was not trained on, each alike, where there are any."""
    found: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for item in tables.measured:
        role, _, metric = item.metric.partition(": ")
        if metric == RECALL and not item.seen:
            found[item.slug, role].append(item.value)
    rates = {
        slug: {
            role: (float(np.mean(found[slug, role])) if found[slug, role] else pair[0], pair[1])
            for role, pair in by_role.items()
        }
        for slug, by_role in tables.rates.items()
    }
    return msgspec.structs.replace(tables, rates=rates)


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


def left_out_figures(fitted: Fitted, date: str) -> list[Measurement]:
    """AUROC per set, role and head on the sources that nothing was trained on, where both classes are there."""
    out = []
    for role, found in fitted.found.items():
        sets = np.array(found.sets)
        for slug, roles in HEADS.items():
            known, ones = found.labels[slug]
            mine = known & found.unseen
            if role not in roles or slug not in fitted.odds:
                continue
            both = [name for name in np.unique(sets[mine]) if _has_both(ones[mine & (sets == name)])]
            groups = {name: mine & (sets == name) for name in both} or {"several sources": mine}
            for name, rows in groups.items():
                if _has_both(ones[rows]):
                    area = round(auroc(fitted.odds[slug][role][rows], ones[rows]), 4)
                    title = f"{LEFT_OUT}: {name}"
                    out.append(Measurement(title, slug, f"{role}: AUROC", area, int(rows.sum()), date))
    return out


def _has_both(ones: Labels) -> bool:
    return int(min(ones.sum(), (~ones).sum())) >= MIN_POSITIVES


def _probability(odds: Scores) -> Scores:
    scores: Scores = 1 / (1 + np.exp(-np.clip(odds, -40, 36)))
    return scores


def _rates(positives: Scores, benign: Scores, table: OperatingTable) -> tuple[float, float]:
    flag_from = threshold(table)
    limit = math.inf if flag_from is None else flag_from
    return float((positives >= limit).mean()), float((benign >= limit).mean())


def _all_aurocs(found: Mapping[Role, tuple[Scores, Labels]]) -> str:
    told = [
        f"{auroc(*pair):.2f} for a {role} ({int(pair[1].sum())} positives)"
        for role, pair in found.items()
        if pair[1].any() and not pair[1].all()
    ]
    return f"AUROC on held-out rows {', '.join(told)}" if told else "too few held-out rows are labelled for it"


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
