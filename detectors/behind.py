"""What measures each of the 29 sub-categories: its detectors with their figures, its monitor and its probes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from detectors import manifest
from detectors.monitors.power import POWER
from detectors.probed import when_turned_on
from detectors.taxonomy import SUBCATEGORIES, Subcategory

# Beginnings of the names of sets that are not public benchmarks: rows of the sources of the training data.
_OWN_ROWS = ("held-out", "left out", "benign", "harmless")

_LEFT_OUT = "left out"

# What a sub-category without a detector still needs, by the ways in which it can be judged.
_NEEDS = {
    "head": "a trained head that works outside its own sources",
    "pair": "a detector that compares two texts, and requests with context or earlier turns",
    "rule": "a rule that finds it",
    "probe": "probes, which are off until `probes` is set",
    "monitor": "a monitor over many samples",
}

Row = dict[str, Any]


def taxonomy_rows(*, weights: bool = True, own: Iterable[manifest.DetectorInfo] = ()) -> list[Row]:
    """The 29 sub-categories in order, each with the detectors behind it and their measured figures.

    `detectors` is empty if no detector judges the sub-category. `monitor` says how much its monitor finds; it is empty
    if there is none. `probes` names the probes that measure it when the operator turns them on. `needs` says what is
    missing before it can have a rate. `off` says why detectors that were trained for it are not used. `own` are the
    operator's detectors. With `weights` the shipped files are verified too. Raises manifest.ModelError.
    """
    infos = [*manifest.load(weights=weights).values(), *own]
    rows: list[Row] = [_row(entry, infos) for entry in SUBCATEGORIES]
    return [{**row, "needs": needs(row)} for row in rows]


def _row(entry: Subcategory, infos: Sequence[manifest.DetectorInfo]) -> Row:
    detectors = [_behind(info, entry.slug) for info in infos if entry.slug in info.slugs]
    return {
        "category": str(entry.category),
        "slug": entry.slug,
        "definition": entry.definition,
        "kinds": list(entry.kinds),
        "honest_line": entry.honest_line,
        "detectors": detectors,
        "monitor": POWER.get(entry.slug, ""),
        "probes": when_turned_on(entry.slug),
        "off": {info.id: info.off[entry.slug] for info in infos if entry.slug in info.off},
    }


def needs(row: Row) -> str:
    """What is missing before the sub-category can have a rate; empty if a detector judges it."""
    if row["detectors"]:
        return ""
    if row["monitor"]:
        return "many judged samples: /trust/v1/monitors says what its monitor has found"
    return ", or ".join(_NEEDS[kind] for kind in row["kinds"])


def _behind(info: manifest.DetectorInfo, slug: str) -> Row:
    return {
        "id": info.id,
        "kind": info.kind,
        "roles": sorted(role for found, role in info.operating if found == slug),
        "measured": [msgspec.to_builtins(item) for item in info.measured if item.slug == slug],
    }


def headline(measured: Sequence[Mapping[str, Any]]) -> str:
    """The range of AUROC, or else of recall, over the public sets on which the detector was not trained.

    If no such set has labels for it, the figure is from sources that were left out of training, and says so.
    """
    if not measured:
        return ""
    fresh = [item for item in measured if not item["seen"]]
    public = [item for item in fresh if not item["set"].startswith(_OWN_ROWS)]
    left_out = [item for item in fresh if item["set"].startswith(_LEFT_OUT)]
    for metric in ("AUROC", "recall at 1 % false alarms"):
        if values := _values(public, metric):
            return f"{metric} {_range(values)} on {len(values)} benchmark{'s' * (len(values) > 1)}"
    if values := _values(left_out, "AUROC"):
        return f"AUROC {_range(values)} on sources left out of its training; no public benchmark has labels for it"
    return "not measured on a public set of another source"


def _values(items: Iterable[Mapping[str, Any]], metric: str) -> list[float]:
    """One value for each set and role."""
    mine = (item for item in items if item["metric"].endswith(f": {metric}"))
    return list({(item["set"], item["metric"]): item["value"] for item in mine}.values())


def _range(values: Sequence[float]) -> str:
    low, high = (_figure(value) for value in (min(values), max(values)))
    return low if len(values) == 1 else f"{low} to {high}"


def _figure(value: float) -> str:
    """Two digits, or three if two would round up to a perfect 1.00."""
    return f"{value:.3f}" if 0.995 <= value < 1 else f"{value:.2f}"
