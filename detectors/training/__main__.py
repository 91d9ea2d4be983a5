"""Data to shipped detectors in one command: `python -m detectors.training --data DIR --out detectors/models`.

Trains the n-gram network and the encoder, writes their ONNX files, their tables, models.toml and their cards (the
rules' tables: `python -m detectors.training.rules`). About two hours on two cores; a run that was cut goes on from the
checkpoint in --work.
"""

import argparse
import dataclasses
import datetime
import importlib.resources
import logging
import random
import shutil
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec
import torch

from detectors.base import Role
from detectors.manifest import Measurement, Tables, load_one
from detectors.trained.networks import NgramNetwork, PieceNetwork
from detectors.trained.onnx import Tokenizer
from detectors.training import (
    cards,
    compose,
    data,
    everyday,
    evidence,
    prefixes,
    public_sets,
    shipping,
    synthetic,
    tables,
    train,
)
from detectors.training.encoder import bert, dequantise, finetune, graph
from detectors.training.shipping import BASE, VOCABULARY, model
from detectors.training.workers import Workers

TRAINED = ("ngram", "encoder")
# Shares of the start, of the middle and of the end of a training that goes on from shipped weights: chosen on left-out
# sources. The start keeps what new sources would overwrite.
SOUP = (1, 1, 2)
HELD_BACK = 80  # rows of each training set, held out of it, that figures are taken on

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
    unseen = data.rows(options.data, data.LEFT_OUT, rng)
    ordinary = [dataclasses.replace(row, labels={}) for row in data.rows(options.data, data.ORDINARY, rng)]
    shown = data.without_dev(rows)
    shown += compose.rows(shown, rng)
    _train(options, shown)
    log.info("trained after %.0f s", time.monotonic() - started)

    held_out = [*data.held_back(rows, options.held_back), *unseen, *ordinary, *everyday.rows()]
    rng.shuffle(held_out)
    found, curves = _head_tables(options, held_out)
    sets = {name: shipping.trained_on(options.data, shown) for name in options.trains}
    shipping.write(options.out, found, sets)
    for name in found:
        log.info("measuring %s", name)
        more, curves[name][cards.ROC] = _benchmarks(options, name)
        found[name] = msgspec.structs.replace(found[name], measured=(*found[name].measured, *more))
    found["encoder"] = tables.public_rates(tables.switched_off(found["encoder"]))
    shipping.write(options.out, found, sets)
    log.info("judging replies while they grow")
    found["encoder"] = _streams(options, found["encoder"], held_out, rng)
    shipping.write(options.out, found, sets)
    cards.write(options.out.parent / "cards", {name: load_one(name, options.out) for name in found}, curves)
    log.info("done after %.0f s", time.monotonic() - started)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m detectors.training", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/, eval/ and MANIFEST.json")
    parser.add_argument("--out", type=Path, required=True, help="folder of the shipped models")
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints and the fp32 model")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=TRAINED, action="append", help="train and measure this one, keep the other")
    parser.add_argument("--reuse", action="store_true", help="keep the models in --out, measure them again")
    parser.add_argument(
        "--start", type=Path, help="an exported encoder, int8 or fp32, to train on; else the published weights"
    )
    parser.add_argument("--budget", type=int, default=finetune.BUDGET, help="word pieces that the encoder is shown")
    parser.add_argument(
        "--held-back", type=int, default=HELD_BACK, help="held-out rows of a training set to measure on"
    )
    parser.add_argument("--date", default=datetime.date.today().isoformat(), help="date of the measurements")
    options = parser.parse_args()
    options.names = tuple(options.only or TRAINED)
    options.trains = () if options.reuse else options.names
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
        if options.start:
            start = dequantise.dequantised(options.start, start)
        before = bert.copied(start)
        middle, trained = finetune.train(
            shown, tokenizer, start, options.seed, checkpoint, options.budget, gentle=bool(options.start)
        )
        if options.start:
            trained = bert.mean((before, middle, trained), SOUP)
        graph.export(trained, model(options.out, "encoder"), quantised=True)
        graph.export(trained, _fp32(options), quantised=False)
        checkpoint.unlink(missing_ok=True)


def _fp32(options: argparse.Namespace) -> Path:
    path: Path = options.work / "encoder-fp32.onnx"
    return path


def _network(options: argparse.Namespace, name: str) -> Workers:
    """A trained network in processes of its own."""
    path, heads = model(options.out, name), len(data.HEADS)
    if name in shipping.READS_PIECES:
        means = {role: [evidence.MEANS.get(slug, {}).get(role, 0.0) for slug in data.HEADS] for role in data.BOTH}
        return Workers(partial(_of_pieces, path, options.out / VOCABULARY, heads, means), options.threads)
    return Workers(partial(NgramNetwork, path, heads), options.threads)


def _of_pieces(path: Path, vocabulary: Path, heads: int, means: Mapping[Role, Sequence[float]]) -> PieceNetwork:
    return PieceNetwork(path, Tokenizer(vocabulary), heads, means)


def _head_tables(options: argparse.Namespace, held_out: Sequence[data.Row]) -> tuple[dict[str, Tables], cards.Curves]:
    """The tables of the first stage alone and of the cascade, from what each says of the held-out rows."""
    log.info("judging %d held-out rows", len(held_out))
    with _network(options, "ngram") as first, _network(options, "encoder") as second:
        both: evidence.ByRole = {role: evidence.gather([first, second], held_out, role) for role in data.BOTH}
    found, curves = {}, defaultdict[str, dict[str, cards.Series]](dict)
    for name in options.names:
        alone = {role: evidence.of_first(each) for role, each in both.items()}
        fitted = evidence.plain(alone) if name == "ngram" else evidence.cascade(both)
        found[name] = tables.head_tables(fitted, options.date)
        curves[name][cards.RELIABILITY] = tables.reliability_curves(fitted)
    return found, curves


def _streams(options: argparse.Namespace, found: Tables, held_out: Sequence[data.Row], rng: random.Random) -> Tables:
    info = load_one("encoder", options.out)
    with Workers(partial(shipping.detector, "encoder", options.out), options.threads) as workers:
        told = prefixes.streams(workers.detect, info, held_out, rng, options.date)
    return msgspec.structs.replace(found, streams=told.tables, measured=(*found.measured, *told.measured))


def _benchmarks(options: argparse.Namespace, name: str) -> tuple[list[Measurement], cards.Series]:
    info = load_one(name, options.out)
    with Workers(partial(shipping.detector, name, options.out), options.threads) as workers:
        found, curves = public_sets.benchmarks(workers.detect, info, public_sets.BENCHMARKS, options.data, options.date)
        return [*found, *everyday.figures(workers.detect, info, options.date)], curves


if __name__ == "__main__":
    main()
