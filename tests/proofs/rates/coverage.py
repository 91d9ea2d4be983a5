"""How often the intervals of rates hold the truth, and how many labels they save: tables and a plot.

    python -m tests.proofs.rates.coverage [--scores FOLDER [--bounds]] [--plot FILE.svg] [--times 400]

`--scores` has a JSON-lines file for each labelled set, a row being {"role", "labels", "scores", "flags"}: what
`assay score` says of the set's texts beside their labels. The texts are not needed. Without it only simulated traffic
is replayed.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from gateway.trust.drawing import BLIND
from gateway.trust.moments import BANDS, EDGES
from tests.proofs.rates.two_phase import (
    Result,
    Traffic,
    intervals,
    labels_alone,
    replays,
    result,
    simulated,
    with_detector,
)

EXCHANGES = 20_000
LABELS = (100, 300, 1000)
PREVALENCES = (0.0005, 0.001, 0.01, 0.05, 0.3)
AUROCS = (0.5, 0.75, 0.9, 0.97)
# Set → the columns replayed: (role, label, sub-category whose score stands for it).
COLUMNS = {
    "toxicchat_test": (("prompt", "unsafe", "unsafe"), ("prompt", "toxicity", "toxicity")),
    "wildguardtest": (("prompt", "unsafe", "unsafe"), ("response", "unsafe", "unsafe")),
    "beavertails_30k_test": (
        ("response", "unsafe", "unsafe"), ("response", "hate", "hate"), ("response", "violence", "violence"),
    ),
    "hatecheck": (("other", "hate", "hate"),),
    "openai_moderation": (("other", "unsafe", "unsafe"), ("other", "adult_content", "adult_content")),
}  # fmt: skip


class Row(NamedTuple):
    """A line of a table: what was replayed, with labels alone and with the detector, at first and where the draw was
    taught before; `best` is how many times fewer labels no design could beat."""

    name: str
    prevalence: float
    auroc: float
    labels: int
    alone: Result
    ours: Result
    taught: Result
    best: float


def simulations(times: int, labels: tuple[int, ...] = LABELS) -> Iterator[Row]:
    for prevalence in PREVALENCES:
        for auroc in AUROCS:
            yield from rows("simulated", simulated(prevalence, auroc), auroc, times, labels)


def rows(name: str, traffic: Traffic, auroc: float, times: int, labels: tuple[int, ...] = LABELS) -> Iterator[Row]:
    for number in labels:
        many = {"exchanges": EXCHANGES, "labels": number, "times": times}
        alone, ours = labels_alone(traffic, seed=number, **many), with_detector(traffic, seed=number + 1, **many)
        taught = with_detector(traffic, seed=number + 2, taught=True, **many)
        yield Row(name, traffic.rate, auroc, number, alone, ours, taught, at_best(traffic))


def at_best(traffic: Traffic, blind: float = 0.0) -> float:
    """How many times fewer labels could do, if the rate in each band were known beforehand, all labels were spent on
    this column alone, and none on what seems harmless (Neyman's allocation over the ledger's bands), but for a share of
    them that is drawn evenly."""
    band = np.searchsorted(EDGES, traffic.score, side="right")
    share = np.bincount(band, traffic.share, BANDS)
    harm = np.bincount(band, traffic.share * traffic.harm, BANDS) / np.maximum(share, 1e-12)
    need = share * np.sqrt(harm * np.maximum(0, 1 - harm))
    drawn = (1 - blind) * need / need.sum() + blind * share
    return float(traffic.rate * (1 - traffic.rate) / (need**2 / np.maximum(drawn, 1e-12)).sum())


def evenly(traffic: Traffic) -> float:
    """The same for labels that are drawn evenly: 1/(1 - R²), R² being the part of the labels' variance that the bands
    of the score explain (Cochran, 1977, section 7.3, of the regression estimator)."""
    band = np.searchsorted(EDGES, traffic.score, side="right")
    share = np.bincount(band, traffic.share, BANDS)
    harm = np.bincount(band, traffic.share * traffic.harm, BANDS) / np.maximum(share, 1e-12)
    return float(traffic.rate * (1 - traffic.rate) / (share @ (harm * np.maximum(0, 1 - harm))))


def finer(traffic: Traffic, folds: int = 5) -> float:
    """As `evenly` for the score itself instead of its bands: calibrated (isotonic) on four fifths of the set's labels,
    more than a gateway has, and held against the others."""
    order = np.random.default_rng(0).permutation(len(traffic.score))
    said = np.zeros(len(order))
    for fold in range(folds):
        held, known = order[fold::folds], np.delete(order, np.s_[fold::folds])
        known = known[np.argsort(traffic.score[known], kind="stable")]
        said[held] = np.interp(traffic.score[held], traffic.score[known], _rising(traffic.harm[known]))
    return float(traffic.rate * (1 - traffic.rate) / np.var(traffic.harm - said))


def _rising(y: Any) -> Any:
    """The nearest sequence that never falls (pool adjacent violators)."""
    pools: list[list[float]] = []  # mean and size
    for value in y:
        pools.append([float(value), 1.0])
        while len(pools) > 1 and pools[-2][0] >= pools[-1][0]:
            (one, n), (other, m) = pools.pop(), pools.pop()
            pools.append([(one * n + other * m) / (n + m), n + m])
    return np.concatenate([np.full(int(size), mean) for mean, size in pools])


# --- harder traffic


def drifting(times: int, labels: int) -> Result:
    """In the second half of the window there is five times the harm, the detector is worse and another version, and
    four times the traffic shares the same budget."""
    early, late = simulated(0.02, 0.95), simulated(0.10, 0.75, shift=1.0)
    halves = (
        replays(early, exchanges=4_000, labels=labels // 2, times=times, seed=31),
        replays(late, exchanges=16_000, labels=labels // 2, times=times, seed=32, detector="detector@2"),
    )
    both = (
        replace(a, detector=a.detector | b.detector, person=a.person | b.person) for a, b in zip(*halves, strict=True)
    )
    return result(intervals(both), 0.2 * early.rate + 0.8 * late.rate)


def routes(times: int, labels: int) -> Result:
    """Two routes of which one is sampled twenty times as rarely and has six times the harm."""
    often, rarely = simulated(0.02, 0.9), simulated(0.12, 0.9)
    kinds = len(often.share)
    share, harm, score, says = (
        np.concatenate([getattr(each, name) for each in (often, rarely)])
        for name in ("share", "harm", "score", "judge_says_yes")
    )
    mixed = Traffic(share * np.repeat([0.7, 0.3], kinds), harm, score, np.repeat([1.0, 0.05], kinds), says)
    return with_detector(mixed, exchanges=4 * EXCHANGES, labels=labels, times=times, seed=33)


def callers(times: int, labels: int) -> Result:
    """Twenty callers of whom one makes half of the traffic; each has a rate of its own, drawn anew in each replay. The
    truth is the rate of that traffic."""
    chance = np.random.default_rng(34)
    shares = np.concatenate([[0.5], np.full(19, 0.5 / 19)])
    held, widths, errors = [], [], []
    for number in range(times):
        truth = float(shares @ chance.beta(0.3, 3.0, size=20))
        traffic = simulated(max(truth, 1e-4), 0.9)
        (found,) = intervals(replays(traffic, exchanges=EXCHANGES, labels=labels, times=1, seed=number))
        held.append(found.low <= traffic.rate <= found.high)
        widths.append(found.high - found.low)
        errors.append((found.estimate - traffic.rate) ** 2)
    return Result(float(np.mean(held)), float(np.mean(widths)), float(np.sqrt(np.mean(errors))))


def three_phases(times: int, labels: int, prevalence: float = 0.05, auroc: float = 0.9) -> Result:
    """A judge that finds 85 % of the harm and calls 4 % of the rest harm has judged ten times as many."""
    traffic = simulated(prevalence, auroc)
    many = {"exchanges": EXCHANGES, "labels": labels, "judged_by_model": 10 * labels}
    return with_detector(traffic, **many, times=times, seed=35)


def rare(times: int, *, taught: bool) -> tuple[Result, Result]:
    """At a prevalence of 0.1 %, 4,000 labels of 500,000 judged, drawn evenly and by need."""
    traffic = simulated(0.001, 0.98)
    many = {"exchanges": 500_000, "labels": 4000, "times": times}
    return labels_alone(traffic, seed=41, **many), with_detector(traffic, seed=42, taught=taught, **many)


# --- real texts with real labels


def traffic_of(path: Path, role: str, label: str, slug: str) -> tuple[Traffic, float] | None:
    """A set as a stream in which every row is as common as another; the AUROC of the score on it. None where its
    labels or its scores have nothing of the column. Whoever labels a text labels all columns that the set has."""
    read = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
    kept = [row for row in read if row["role"] == role and label in row["labels"] and slug in row["scores"]]
    if not kept:
        return None
    score, harm = _column(kept, label, slug)
    ones = np.ones(len(kept))
    others = tuple(_column(kept, other, other) for other in _labelled(kept) if other != label)
    return Traffic(ones / len(kept), harm, score, ones, np.where(harm > 0, 0.85, 0.04), others), _auroc(score, harm)


def _column(rows: list[Any], label: str, slug: str) -> tuple[Any, Any]:
    """Each text's score, and whether it is harm."""
    return np.array([row["scores"][slug] for row in rows]), np.array(
        [float(row["labels"][label] > 0.5) for row in rows]
    )


def _labelled(rows: list[Any]) -> list[str]:
    """Of which every row has a label and a score."""
    named = set.intersection(*({*row["labels"]} & {*row["scores"]} for row in rows))
    return sorted(named)


def _auroc(score: Any, harm: Any) -> float:
    good, bad = score[harm > 0], score[harm == 0]
    return float(np.mean((good[:, None] > bad[None]) + 0.5 * (good[:, None] == bad[None])))


def scored(folder: Path) -> Iterator[tuple[str, Traffic, float]]:
    for name, columns in COLUMNS.items():
        for role, label, slug in columns:
            found = traffic_of(folder / f"{name}.jsonl", role, label, slug)
            if found is not None:
                side = "" if role == "other" else f"{role} "
                yield f"{name}, {side}{label}", *found


def real(folder: Path, times: int) -> Iterator[Row]:
    for name, traffic, auroc in scored(folder):
        yield from rows(name, traffic, auroc, times)


# --- what is printed


def table(found: list[Row]) -> str:
    head = (
        "| traffic | harm | AUROC | labels | alone: holds | width | ours: holds | width | fewer labels "
        "| taught: holds | width | fewer labels | at best |"
    )
    lines = [
        f"| {row.name} | {row.prevalence:.2%} | {row.auroc:.2f} | {row.labels} "
        f"| {row.alone.covered:.3f} | {row.alone.width:.4f} | {row.ours.covered:.3f} | {row.ours.width:.4f} "
        f"| {row.ours.fewer_labels(row.alone):.1f} × | {row.taught.covered:.3f} | {row.taught.width:.4f} "
        f"| {row.taught.fewer_labels(row.alone):.1f} × | {row.best:.1f} × |"
        for row in found
    ]
    return "\n".join([head, "|---" * 13 + "|", *lines])


def bounds(folder: Path) -> str:
    """How many times fewer labels the scores of real texts allow at best."""
    lines = [
        f"| {name} | {traffic.rate:.2%} | {auroc:.2f} | {evenly(traffic):.1f} × | {finer(traffic):.1f} × "
        f"| {at_best(traffic):.2f} × | {at_best(traffic, BLIND):.2f} × |"
        for name, traffic, auroc in scored(folder)
    ]
    head = "| traffic | harm | AUROC | drawn evenly, by bands | by the score itself | drawn at best | a fifth evenly |"
    return "\n".join([head, "|---" * 7 + "|", *lines])


def plot(found: list[Row]) -> str:
    """An SVG: for each line the coverage (left) and the labels saved (right)."""
    height, top = 18, 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 {top + height * len(found) + 20}" '
        'font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
        '<text x="330" y="16">interval holds the truth (95 % promised)</text>',
        '<text x="640" y="16">times fewer labels for the same width</text>',
        '<text x="330" y="32" fill="#777">85 %</text><text x="556" y="32" fill="#777">100 %</text>',
        '<text x="640" y="32" fill="#777">0</text><text x="868" y="32" fill="#777">6 ×</text>',
        f'<rect x="456" y="{top}" width="64" height="{height * len(found)}" fill="#e4f1e4"/>',  # 93 to 97 %
        f'<path d="M680 {top}v{height * len(found)}M720 {top}v{height * len(found)}" stroke="#ccc"/>',
    ]
    for number, row in enumerate(found):
        y = top + height * number + 13
        parts.append(f'<text x="8" y="{y}">{row.name} ({row.prevalence:.1%}), {row.labels} labels</text>')
        for each, colour in ((row.alone, "#999"), (row.ours, "#1f6fb2")):
            x = 330 + max(0.0, each.covered - 0.85) * 1600
            parts.append(f'<circle cx="{min(x, 570):.0f}" cy="{y - 4}" r="4" fill="{colour}"/>')
        saved = 40 * min(row.ours.fewer_labels(row.alone), 6)
        parts.append(f'<rect x="640" y="{y - 10}" width="{saved:.0f}" height="11" fill="#1f6fb2"/>')
    return "\n".join([*parts, "</svg>\n"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--bounds", action="store_true", help="only what the scores allow at best")
    parser.add_argument("--times", type=int, default=400)
    asked = parser.parse_args()
    out = sys.stdout
    if asked.scores and asked.bounds:
        out.write(bounds(asked.scores) + "\n")
        return
    if asked.scores:
        found = list(real(asked.scores, asked.times))
        out.write(table(found) + "\n\n")
        if asked.plot:
            asked.plot.write_text(plot(found), "utf-8")
    out.write(table(list(simulations(asked.times))) + "\n\n| traffic | labels | holds | width |\n|---|---|---|---|\n")
    for harder in (drifting, routes, callers, three_phases):
        for labels in LABELS:
            each = harder(asked.times, labels)
            out.write(f"| {harder.__name__} | {labels} | {each.covered:.3f} | {each.width:.4f} |\n")
    for taught in (False, True):
        even, by_need = rare(asked.times, taught=taught)
        saved, narrower = (even.error / by_need.error) ** 2, by_need.fewer_labels(even)
        learned = "from as many labels before" if taught else "from nothing"
        out.write(f"\n0.1 % of harm, 4,000 labels, learned {learned}: {saved:.1f} × fewer labels for the same error,")
        out.write(f" {narrower:.1f} × for the same width; holds {by_need.covered:.3f}\n")


if __name__ == "__main__":
    main()
