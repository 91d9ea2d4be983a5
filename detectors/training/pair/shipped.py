"""A trained pair model becomes a shipped detector: fitted, measured, written with its card."""

import logging
import random
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from detectors.comparing.detector import HALLUCINATION, MISINFORMATION
from detectors.manifest import DetectorInfo, Measurement, Tables, load_one, sha256
from detectors.registry import PAIR
from detectors.trained.pair import HEADS, PairModel
from detectors.training import cards, shipping, tables
from detectors.training.pair import measured, myths, rows

log = logging.getLogger("detectors.training")


def ship(out: Path, data: Path, found: Sequence[rows.Pair], rng: random.Random, date: str) -> None:
    """Write the tables, models.toml and the card of the model that lies in `out`; `found` are the pairs of training."""
    model = PairModel(_blank(out))
    fitted = measured.fitted(model, data, measured.held_out(data, found, rng), measured.unmoved(data, rng), date)
    sets = {PAIR: measured.trained_on(data, found)}
    shipping.write(out, {PAIR: fitted}, sets)
    log.info("measuring")
    shipping.write(out, {PAIR: _measured(out, data, date, fitted, model)}, sets)
    cards.write(out.parent / "cards", {PAIR: load_one(PAIR, out)}, {})


def refit(out: Path, data: Path, date: str) -> None:
    """Fit and measure `misinformation` anew, all else in `out` staying: the list or the rows that we wrote changed."""
    before = msgspec.json.decode((out / f"{PAIR}.json").read_bytes(), type=Tables)
    model = PairModel(load_one(PAIR, out))
    after = myths.with_misinformation(before, model, data, date)
    shipping.write(out, {PAIR: after})
    info, found = load_one(PAIR, out), list(after.measured)
    for _, figures in measured.public(model, info, data, date, {MISINFORMATION}):
        found += figures
    shipping.write(out, {PAIR: msgspec.structs.replace(after, measured=tuple(found))})
    cards.write(out.parent / "cards", {PAIR: load_one(PAIR, out)}, {})


def _blank(out: Path) -> DetectorInfo:
    """The model before its tables are known."""
    file, vocabulary = shipping.model(out, PAIR), out / shipping.VOCABULARY
    log.info("%s %s", file, sha256(file))
    version = shipping.VERSIONS[PAIR]
    return DetectorInfo(
        PAIR, version, "pair", frozenset(), HEADS, file, shipping.LICENCE, (), {}, {}, {}, {}, (), vocabulary
    )


def _measured(out: Path, data: Path, date: str, fitted: Tables, model: PairModel) -> Tables:
    """With the figures of the public sets; what separates nothing there is off."""
    info = load_one(PAIR, out)
    found = list(fitted.measured)
    for item, figures in measured.public(model, info, data, date):
        found += figures
        log.info("%s: %s", item.title, {each.metric: each.value for each in figures})
    found.append(measured.three_way(model, data, date))
    areas = [each.value for each in found if each.set in measured.MEAN_OF and _is_headline(each)]
    log.info("mean AUROC %.3f; %s; %.1f ms for 128 pieces", np.mean(areas), found[-1], _milliseconds(model))
    return tables.switched_off(msgspec.structs.replace(fitted, measured=tuple(found)))


def _is_headline(each: Measurement) -> bool:
    return each.slug == HALLUCINATION and each.metric.endswith(": AUROC")


def _milliseconds(model: PairModel, runs: int = 30) -> float:
    """The quickest of some runs of 128 word pieces, in processor time."""
    claim, premise = "the bridge is open " * 7, "a bridge of eight lanes " * 19
    quickest = float("inf")
    for _ in range(runs):
        began = time.thread_time()
        model.judge(premise, claim)
        quickest = min(quickest, time.thread_time() - began)
    return quickest * 1_000
