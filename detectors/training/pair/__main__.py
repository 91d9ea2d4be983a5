"""Pairs to a shipped detector: `python -m detectors.training.pair --data DIR --out detectors/models --work DIR`.

Trains the pair model, writes its ONNX file, its tables, models.toml and its card. An hour and a half on one core; a
run that was cut goes on from the checkpoint in --work.
"""

import argparse
import datetime
import importlib.resources
import logging
import random
from pathlib import Path

import torch

from detectors.registry import PAIR
from detectors.trained.onnx import Tokenizer
from detectors.trained.pair import HEADS, LENGTH
from detectors.training import shipping
from detectors.training.encoder import bert, graph
from detectors.training.pair import finetune, rows, shipped


def main() -> None:
    """Train, fit, measure, write."""
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(options.threads)
    if options.misinformation:
        shipped.refit(options.out, options.data, options.date)
        return
    rng = random.Random(options.seed)
    found = rows.pairs(options.data, rng)
    if not options.reuse:
        train(options, found)
    shipped.ship(options.out, options.data, found, rng, options.date)


def train(options: argparse.Namespace, found: list[rows.Pair]) -> None:
    """Fine-tune and export."""
    with importlib.resources.as_file(importlib.resources.files(shipping.BASE[0]) / shipping.BASE[1]) as base:
        start = bert.pretrained(base / "model.safetensors", len(HEADS))
    tokenizer = Tokenizer(options.out / shipping.VOCABULARY)
    options.work.mkdir(parents=True, exist_ok=True)
    checkpoint = options.work / f"{PAIR}.pt"
    network = finetune.train(found, tokenizer, start, options.seed, checkpoint, options.budget)
    graph.export(network, shipping.model(options.out, PAIR), quantised=True, length=LENGTH)
    checkpoint.unlink(missing_ok=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m detectors.training.pair", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/, eval/ and MANIFEST.json")
    parser.add_argument("--out", type=Path, required=True, help="folder of the shipped models")
    parser.add_argument("--work", type=Path, required=True, help="folder for the checkpoint")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--reuse", action="store_true", help="keep the model in --out, measure it again")
    parser.add_argument("--misinformation", action="store_true", help="fit and measure that head alone, anew")
    parser.add_argument("--budget", type=int, default=finetune.BUDGET, help="word pieces that the model is shown")
    parser.add_argument("--date", default=datetime.date.today().isoformat(), help="date of the measurements")
    return parser.parse_args()


if __name__ == "__main__":
    main()
