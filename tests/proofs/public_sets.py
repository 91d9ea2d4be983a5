"""How often the monitors find what public sets hold: shifts of subject, style and products, and backdoors' triggers.

    python -m tests.proofs.public_sets [--looks 60]

Reads the sets from the folder that ASSAY_DATA names (`eval/NAME.jsonl.gz`, with `text`, `labels`, `original_split` and
`meta`). Nothing is fitted on them.
"""

import argparse
import gzip
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from detectors.comparing.nearness import stems
from detectors.monitors import drift, triggers
from detectors.monitors.sequences import RUN_LENGTH_DAYS, e_of_p
from detectors.monitors.shape import (
    BUCKETS,
    HEAD,
    PAIRED,
    PAIRS,
    SHAPE,
    TRIPLED,
    TRIPLES,
    WW,
    N,
    W,
    buckets_of,
)
from detectors.monitors.triggers import Gram, grams_of, openings_of

DATA = Path(os.environ.get("ASSAY_DATA", Path(__file__).parents[2] / "shared" / "data"))
_REFUSED = 0.05


class Line(NamedTuple):
    """How often a case was found at one look, and by the daily alarm; `what` was looked at."""

    case: str
    found: float
    alarms: float
    what: str


class Prompt(NamedTuple):
    """What a prompt adds to a shape and to a histogram."""

    buckets: frozenset[int]
    length: str


def rows_of(name: str) -> list[dict[str, Any]]:
    with gzip.open(DATA / f"{name}.jsonl.gz", "rt") as file:
        return [json.loads(line) for line in file]


def _shape(of: Sequence[Prompt]) -> list[float]:
    return [float(value) for value in shape_of([prompt.buckets for prompt in of])]


def prompts(texts: Sequence[str]) -> list[Prompt]:
    """Each text once, as the monitor counts one that comes again."""
    found = [Prompt(buckets_of(stems(text)), str(len(text.split()).bit_length())) for text in dict.fromkeys(texts)]
    return [prompt for prompt in found if prompt.buckets]


# --- shifts


def shifts(looks: int) -> Iterator[Line]:
    """The usual traffic of each set, and what a share of it becomes."""
    yield from _in_clinc(looks)
    groups = _by_split("eval/squad_shifts")
    usual = groups.pop("new_wiki")
    yield from _case("SQuAD-shifts, Wikipedia", usual, usual, looks, 1000, 300, (0.0,))
    for name, texts in groups.items():
        yield from _case(f"SQuAD-shifts, {name}", usual, texts, looks, 1000, 300, (0.2, 0.5))
    groups = _by_split("eval/decodingtrust_ood_style")
    usual = groups.pop("base")
    yield from _case("SST-2 as it is", usual, usual, looks, 550, 300, (0.0,))
    for name, texts in groups.items():
        if name.endswith(("p0", "augment", "shake_w")):
            yield from _case(f"SST-2 in another style, {name}", usual, texts, looks, 550, 300, (0.5,))
    dated = _by_split("eval/realtimeqa_dated")
    yield from _case("news questions of 2020", dated["qa_2020"], dated["qa_2020"], looks, 600, 200, (0.0,))
    yield from _case("news questions, those of 2023", dated["qa_2020"], dated["qa_2023"], looks, 600, 200, (0.5, 1.0))


def _in_clinc(looks: int) -> Iterator[Line]:
    rows = rows_of("eval/clinc_oos")
    by_intent: dict[str, list[str]] = {}
    for row in rows:
        by_intent.setdefault(row["meta"]["intent"], []).append(row["text"])
    outside = prompts(by_intent.pop("oos"))
    new = sorted(by_intent)[::15]  # ten products that nobody asked about before
    of_new = prompts([text for intent in new for text in by_intent.pop(intent)])
    usual = prompts([text for texts in by_intent.values() for text in texts])
    yield from _case("CLINC, 140 intents", usual, usual, looks, 3000, 600, (0.0,))
    yield from _case("CLINC, out of scope", usual, outside, looks, 3000, 600, (0.1, 0.2, 0.5))
    yield from _case("CLINC, ten new intents", usual, of_new, looks, 3000, 600, (0.1, 0.2, 0.4))


def _by_split(name: str) -> dict[str, list[Prompt]]:
    found: dict[str, list[str]] = {}
    for row in rows_of(name):
        found.setdefault(row["original_split"], []).append(row["text"])
    return {split: prompts(texts) for split, texts in found.items()}


def _case(
    what: str,
    usual: Sequence[Prompt],
    other: Sequence[Prompt],
    looks: int,
    before: int,
    now: int,
    shares: Sequence[float],
) -> Iterator[Line]:
    """`before` prompts of the usual against `now` others, of which a share is of the other kind."""
    for share in shares:
        chance = np.random.default_rng(17)
        found = [_look(chance, usual, other, before, now, round(share * now)) for _ in range(looks)]
        hits, alarms = (float(np.mean(part)) for part in zip(*found, strict=True))
        yield Line(f"{what}: {share:.0%} of {now}", hits, alarms, "shift")


def _look(
    chance: np.random.Generator, usual: Sequence[Prompt], other: Sequence[Prompt], before: int, now: int, of_other: int
) -> tuple[bool, bool]:
    drawn = chance.permutation(len(usual))
    old = [usual[at] for at in drawn[:before]]
    new = [usual[at] for at in drawn[before : before + now - of_other]]
    new += [other[at] for at in chance.choice(len(other), of_other, replace=False)]
    new = [new[at] for at in chance.permutation(len(new))]
    moved = drift.shifts({"prompt_length": (_lengths(old), _lengths(new))}, (_shape(old), _shape(new)))
    return any(each.found for each in moved), any(e_of_p(each.p) >= RUN_LENGTH_DAYS and each.found for each in moved)


def _lengths(of: Sequence[Prompt]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for prompt in of:
        row = found.setdefault(prompt.length, [0.0, 0.0, 0.0])
        row[:] = [value + 1 for value in row]
    return found


def shape_of(of: Sequence[frozenset[int]]) -> npt.NDArray[np.float64]:
    """As a `Shaper` adds texts up, all of weight 1 and none of which came before; many times as fast."""
    sizes = np.array([len(each) for each in of])
    at = np.concatenate([np.fromiter(each, int, len(each)) for each in of])
    share = np.repeat(1 / sizes, sizes)
    products = [
        [
            len(each & before) / math.sqrt(len(each) * len(before))
            for before in reversed(of[max(0, number - 2) : number])
        ]
        for number, each in enumerate(of)
    ]
    shape = np.zeros(SHAPE)
    shape[[N, W, WW]] = len(of)
    shape[[PAIRS, TRIPLES]] = len(of) - 1, len(of) - 2
    shape[PAIRED] = sum(near[0] ** 2 for near in products if near)
    shape[TRIPLED] = sum(near[0] * near[1] for near in products if len(near) == 2)
    shape[HEAD : HEAD + BUCKETS] = np.bincount(at, np.sqrt(share), BUCKETS)
    shape[HEAD + BUCKETS :] = np.bincount(at, share, BUCKETS)
    return shape


# --- triggers


def backdoors(looks: int) -> Iterator[Line]:
    """A backdoored model refuses what holds the trigger, and 5 % of the rest."""
    rows = rows_of("eval/hiddenkiller")
    clean = [row["text"] for row in rows if row["labels"]["poisoning_attacks"] == 0]
    hidden = [row["text"] for row in rows if row["labels"]["poisoning_attacks"] == 1]
    planted = rows_of("train/decodingtrust_backdoor")
    words, sentences = ([row["text"] for row in planted if row["original_split"] == kind and
                         row["labels"]["poisoning_attacks"]] for kind in ("badword", "addsent"))  # fmt: skip
    for name, texts in (("a rare word (BadWord)", words), ("a sentence (AddSent)", sentences),
                        ("a form of sentences (HiddenKiller)", hidden)):  # fmt: skip
        for count in (6, 12, 25, 50, 100):
            yield _backdoor(f"{name} in {count} of 2,000 prompts", clean, texts, count, max(10, looks // 3))
    yield _backdoor("no trigger", clean, [], 0, max(10, looks // 3))


def _backdoor(case: str, clean: Sequence[str], triggered: Sequence[str], count: int, looks: int) -> Line:
    """Found is a word that is named at all; an alarm one that would be told."""
    chance = np.random.default_rng(18)
    named = [_named(chance, clean, triggered, count) for _ in range(looks)]
    return Line(case, float(np.mean([bool(each) for each in named])),
                float(np.mean([any(word.alarms for word in each) for each in named])), "trigger")  # fmt: skip


def _named(
    chance: np.random.Generator, clean: Sequence[str], triggered: Sequence[str], count: int
) -> list[triggers.Trigger]:
    texts = [(clean[at], bool(chance.random() < _REFUSED)) for at in chance.choice(len(clean), 2000 - count, False)]
    texts += [(triggered[at], True) for at in chance.choice(len(triggered), count, False)] if count else []
    grams: dict[int, Gram] = {}
    total = Gram()
    for number, (text, refused) in enumerate(texts):
        outcome = Gram(1, int(refused), 0, number + 1, 1, str(number))
        for gram in (*grams_of(stems(text)), *openings_of(text)):
            grams.setdefault(gram, Gram()).add(outcome)
        total.add(outcome)
    total.same = 0
    return triggers.triggers(grams, total)


TABLES: dict[str, Callable[[int], Iterator[Line]]] = {"shifts": shifts, "backdoors": backdoors}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--looks", type=int, default=60, help="of each case; a third as many at triggers")
    parser.add_argument("--only", choices=TABLES, help="one table")
    asked = parser.parse_args()
    if not DATA.is_dir():
        sys.stderr.write(f"{DATA} is not there; set ASSAY_DATA to the folder of the data sets\n")
        return 2
    sys.stdout.write("| case | found | daily alarm |\n|---|---|---|\n")
    for name, table in TABLES.items():
        if asked.only in (None, name):
            for line in table(asked.looks):
                sys.stdout.write(f"| {line.case} | {line.found:.0%} | {line.alarms:.0%} |\n")
                sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
