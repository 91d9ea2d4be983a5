"""The rules measured: `python -m detectors.training.rules --data DIR --out detectors/models`.

Needs no training environment and takes a minute; what training wrote of the trained detectors stays.
"""

import argparse
import dataclasses
import datetime
import logging
import random
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from detectors.catalogue import RULES
from detectors.manifest import Measurement, Tables, load_one
from detectors.registry import FACTORIES, FINGERPRINT
from detectors.rules import fingerprint
from detectors.training import cards, data, public_sets, shipping, synthetic, tables
from detectors.training.leaks import measured as leaks
from detectors.training.leaks import sets

CORPUS = "spamassassin_ham"  # what fingerprints are made of to count their false alarms
EXCERPTS = 300  # of the corpus, each of this many words
WORDS = (15, 60)
# The sets whose labelled rows a rule should find, and the benchmarks it is measured on.
POSITIVES: Mapping[str, Mapping[str, data.Source]] = {"pii": data.PERSONAL_DATA}
ITEMS: Mapping[str, Sequence[public_sets.Benchmark]] = {"pii": public_sets.PERSONAL_DATA_BENCHMARKS}

log = logging.getLogger("detectors.training")


def main() -> None:
    """Measure, then rewrite the tables, the cards and the entries of the rules."""
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    rng = random.Random(options.seed)
    rows = data.rows(options.data, data.TRAIN, rng)
    ordinary = [dataclasses.replace(row, labels={}) for row in data.rows(options.data, data.ORDINARY, rng)]
    found = measured(options.data, [*rows, *ordinary], rng, options.date)
    shipping.write(options.out, found)
    for name in ITEMS:
        figures = benchmarks(name, options.out, options.data, options.date)
        found[name] = msgspec.structs.replace(found[name], measured=(*found[name].measured, *figures))
    shipping.write(options.out, found)
    cards.write(options.out.parent / "cards", {name: load_one(name, options.out) for name in found}, {})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m detectors.training.rules", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/, eval/ and MANIFEST.json")
    parser.add_argument("--out", type=Path, required=True, help="folder of the shipped models")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--date", default=datetime.date.today().isoformat(), help="date of the measurements")
    return parser.parse_args()


def measured(folder: Path, rows: Sequence[data.Row], rng: random.Random, date: str) -> dict[str, Tables]:
    """The tables of every rule: false alarms on the benign ones of `rows`, recall where something is labelled.

    Rows that we wrote ourselves are no evidence of false alarms and are left out.
    """
    shown = [row for row in rows if row.set not in synthetic.SETS]
    out = {}
    for name, rule in RULES.items():
        log.info("judging %d rows: %s", len(shown), name)
        positives = data.rows(folder, POSITIVES.get(name, {}), rng)
        if name == "secrets":
            positives += _secrets()
        out[name] = tables.rule_tables(shipping.blank(name, rule), rule, shown, positives, date)
    found = out["secrets"]
    figures = leaks.figures(RULES["secrets"].find, date)
    out["secrets"] = msgspec.structs.replace(found, measured=(*found.measured, *figures))
    out[FINGERPRINT] = _fingerprint_tables(shown, rng, date)
    return out


def _secrets() -> list[data.Row]:
    """The texts with a secret that no rule was written against."""
    return [
        data.Row(item.text, None, ("prompt", "response"), {leaks.LABEL: 1}, leaks.SET, False)
        for item in sets.positives(sets.HELD_OUT)
    ]


def _fingerprint_tables(rows: Sequence[data.Row], rng: random.Random, date: str) -> Tables:
    """Any corpus would do for false alarms: what counts is that the other sets were not copied from it."""
    corpus = [row.text for row in rows if row.set == CORPUS]
    others = [row for row in rows if row.set != CORPUS]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FINGERPRINT
        fingerprint.build(corpus, path)
        rule = fingerprint.Fingerprints(path).rule()
        return tables.rule_tables(shipping.blank(FINGERPRINT, rule), rule, others, _excerpts(corpus, rng), date)


def _excerpts(corpus: Sequence[str], rng: random.Random) -> list[data.Row]:
    """Replies that quote the corpus."""
    out = []
    long = [words for text in corpus if len(words := text.split()) > max(WORDS)]
    for words in rng.choices(long, k=EXCERPTS):
        start, size = rng.randrange(len(words) - max(WORDS)), rng.randint(*WORDS)
        text = "Here is the passage: " + " ".join(words[start : start + size])
        out.append(data.Row(text, None, ("response",), {fingerprint.SLUG: 1}, CORPUS, False))
    return out


def benchmarks(name: str, out: Path, folder: Path, date: str) -> list[Measurement]:
    """The figures of a rule on the public sets that it can speak of."""
    info = load_one(name, out)
    return public_sets.benchmarks(FACTORIES[name](info).detect, info, ITEMS.get(name, ()), folder, date)[0]


if __name__ == "__main__":
    main()
