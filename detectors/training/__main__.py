"""Data to shipped detectors in one command: `python -m detectors.training --data DIR --out detectors/models`.

Writes the ONNX file, the tables, models.toml and the cards. Needs torch and onnx besides the product's own packages.
"""

import argparse
import dataclasses
import datetime
import json
import logging
import random
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import torch
from tqdm import tqdm

from detectors.base import Detector
from detectors.encoder import Encoder
from detectors.manifest import INDEX, BySlugRole, DataSet, DetectorInfo, Measurement, Tables, load, sha256
from detectors.registry import FACTORIES
from detectors.rules import pii, secrets
from detectors.rules.patterns import Pattern
from detectors.training import cards, data, measure, synthetic, tables, train

VERSIONS = {"ngram": "1", "secrets": "1", "pii": "1"}
# The patterns of each rule, and the sets whose labelled rows it should find.
RULES: Mapping[str, tuple[Sequence[Pattern], Mapping[str, data.Source]]] = {
    "secrets": (secrets.PATTERNS, {}),
    "pii": (pii.PATTERNS, data.PERSONAL_DATA),
}
LICENCE = "Apache-2.0"

log = logging.getLogger("detectors.training")


def main() -> None:
    """Train, calibrate, measure, write."""
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    started = time.monotonic()
    torch.set_num_threads(options.threads)
    rng = random.Random(options.seed)
    rows = [*data.rows(options.data, data.TRAIN, rng), *synthetic.rows()]
    ordinary = [dataclasses.replace(row, labels={}) for row in data.rows(options.data, data.ORDINARY, rng)]
    options.out.mkdir(parents=True, exist_ok=True)
    model = options.out / "ngram.onnx"
    if not options.reuse:
        train.export(train.train(data.without_dev(rows), options.seed), list(data.HEADS), model)
    log.info("trained after %.0f s", time.monotonic() - started)

    found: dict[str, Tables] = {}
    dev = [row for row in rows if row.dev]
    found["ngram"], dropped = tables.head_tables(Encoder(_blank("ngram", model)), dev, ordinary, options.date)
    unseen = _left_out_before(options.out) if options.reuse else _left_out(rows, options)
    found["ngram"] = msgspec.structs.replace(found["ngram"], measured=(*found["ngram"].measured, *unseen))
    benign = [row for row in (*rows, *ordinary) if row.set != synthetic.SET]
    for name, (patterns, positives) in RULES.items():
        hits = data.rows(options.data, positives, rng)
        found[name] = tables.rule_tables(_blank(name, None), patterns, benign, hits, options.date)

    sets = _trained_on(options.data, rows)
    _write(options.out, found, sets)
    _benchmark(options, found)
    _write(options.out, found, sets)
    cards.write(options.out.parent / "cards", load(options.out), dropped)
    log.info("done after %.0f s", time.monotonic() - started)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m detectors.training", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/, eval/ and MANIFEST.json")
    parser.add_argument("--out", type=Path, required=True, help="folder of the shipped models")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--reuse", action="store_true", help="keep the model in --out, measure it again")
    parser.add_argument("--date", default=datetime.date.today().isoformat(), help="date of the measurements")
    return parser.parse_args()


def _blank(name: str, file: Path | None) -> DetectorInfo:
    """A detector before its tables are known: every head speaks, uncalibrated."""
    heads = tuple(data.HEADS) if file else ()
    lines: BySlugRole[tuple[float, float]] = {(slug, role): (1.0, 0.0) for slug in heads for role in data.HEADS[slug]}
    slugs = frozenset(heads or {"privacy_violation"})
    kind: Literal["head", "rule"] = "head" if file else "rule"
    return DetectorInfo(name, VERSIONS[name], kind, slugs, heads, file, LICENCE, (), {}, {}, {}, lines, ())


def _trained_on(folder: Path, rows: Sequence[data.Row]) -> list[DataSet]:
    licences = {name: entry["licence"] for name, entry in data.manifest(folder).items()}
    licences[synthetic.SET] = f"{LICENCE}, written by us"
    counts = Counter(row.set for row in rows if not row.dev)
    return [DataSet(name, licences[name], count) for name, count in sorted(counts.items())]


def _left_out_before(out: Path) -> list[Measurement]:
    """The figures of an earlier run's second training, which does not depend on the kept model."""
    return [item for item in load(out)["ngram"].measured if item.set.startswith(tables.LEFT_OUT)]


def _left_out(rows: Sequence[data.Row], options: argparse.Namespace) -> list[Measurement]:
    """Train again without some sources and measure on them."""
    seen = [row for row in data.without_dev(rows) if row.set not in data.LEFT_OUT]
    unseen = [row for row in rows if row.set in data.LEFT_OUT]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ngram.onnx"
        train.export(train.train(seen, options.seed), list(data.HEADS), path)
        return tables.left_out_figures(Encoder(_blank("ngram", path)), unseen, options.date)


def _benchmark(options: argparse.Namespace, found: dict[str, Tables]) -> None:
    """Measure the shipped files on the evaluation sets and add the figures to `found`."""
    infos = load(options.out)
    items = [("ngram", item) for item in measure.BENCHMARKS]
    items += [("pii", item) for item in measure.PERSONAL_DATA_BENCHMARKS]
    detectors: dict[str, Detector] = {name: FACTORIES[name](info) for name, info in infos.items()}
    for name, item in tqdm(items, desc="benchmarks", mininterval=5):
        figures = measure.benchmark(detectors[name], infos[name], item, options.data, options.date)
        found[name] = msgspec.structs.replace(found[name], measured=(*found[name].measured, *figures))


def _write(out: Path, found: dict[str, Tables], sets: Sequence[DataSet]) -> None:
    """The tables and the index that pins them."""
    entries = []
    for name, table in found.items():
        path = out / f"{name}.json"
        path.write_bytes(msgspec.json.format(msgspec.json.encode(table), indent=1) + b"\n")
        entries.append(_entry(out, name, path, sets if table.heads else ()))
    (out / INDEX).write_text("\n".join(entries), "utf-8")


def _entry(out: Path, name: str, table: Path, sets: Sequence[DataSet]) -> str:
    model = out / f"{name}.onnx"
    fields = {
        "version": VERSIONS[name],
        "kind": "head" if model.exists() else "rule",
        "licence": LICENCE,
        **({"file": model.name, "sha256": sha256(model)} if model.exists() else {}),
        "tables": table.name,
        "tables_sha256": sha256(table),
    }
    lines = [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in fields.items()), "data = ["]
    lines += [
        f"  {{set = {json.dumps(item.set)}, licence = {json.dumps(item.licence)}, rows = {item.rows}}},"
        for item in sets
    ]
    return "\n".join([*lines, "]", ""])


if __name__ == "__main__":
    main()
