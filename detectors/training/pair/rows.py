"""Which pairs of a premise and a claim train the model, and how long texts become premises."""

import random
import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from detectors.comparing.nearness import WINDOW_WORDS, Passages
from detectors.comparing.sentences import sentences
from detectors.training.data import SHIPPABLE, manifest, read
from detectors.training.pair import edits

DEV_ONE_IN = 8
SHOWN_WORDS = 90  # of a premise in training: as in the detector, but quicker
GROUP = ("doc", "page", "id", "claim_id", "src")  # of a row's meta: what keeps rows of one origin on one side

# Set -> rows at most. help_conj_disj gives its labels away by length; hans_generated knows a few templates only.
TRAIN: Mapping[str, int] = {
    "snli_devtest": 20_000,
    "cad_nli": 10_000,
    "conjnli": 16_000,
    "foolmetwice_devtest": 2_600,
    "contractnli": 3_200,
    "hans_generated": 3_000,
    "help_conj_disj": 1_500,
    "q2_wow": 1_200,
    "folio": 1_200,
}
# How often each is drawn, in hundredths: what looks like an answer and its source more often than its rows.
DRAWN: Mapping[str, int] = {
    "snli_devtest": 16,
    "cad_nli": 9,
    "conjnli": 14,
    "foolmetwice_devtest": 8,
    "contractnli": 4,
    "hans_generated": 3,
    "help_conj_disj": 1,
    "q2_wow": 4,
    "folio": 1,
    edits.SET: 28,
    edits.CONCLUSIONS: 12,
}
# Never trained on: what the lines and thresholds are fitted on, a source that the model does not know.
LEFT_OUT: Mapping[str, int] = {"wice": 1_600}
# Replies whose sentences are changed by rule; the labels of these sets are not used.
EDITED: Mapping[str, int] = {
    "arena_hard_answers": 2_500,
    "caia_safe": 1_500,
    "wildbench_replies": 7_500,
    "oasst_eval_replies": 3_500,
    "phtest_responses": 4_000,
}
# Sets of one sentence beside another, of which some premises are hidden among those of other rows.
HIDDEN: Mapping[str, float] = {"snli_devtest": 0.1, "conjnli": 0.35, "foolmetwice_devtest": 0.5, "q2_wow": 0.5}
MOST_AROUND = 4  # premises of other rows around the one that counts
# Sets whose premises are sentences of an encyclopedia: some together are a text whose sentences are changed by rule.
COMPOSED = ("conjnli", "foolmetwice_devtest", "q2_wow")
TOGETHER = 5


@dataclass(frozen=True, slots=True)
class Pair:
    """A claim beside its premise. `nli` is 0 entailed, 1 neutral, 2 contradicted, or None; `grounded` 1 or 0.

    `source` is the whole text of which the premise is what is nearest to the claim.
    """

    premise: str
    claim: str
    nli: int | None
    grounded: int
    set: str
    dev: bool
    source: str


def pair_of(source: str, claim: str, nli: int | None, grounded: int, name: str, dev: bool) -> Pair:
    """With the premise that training shows."""
    return Pair(premise_of(source, claim, SHOWN_WORDS), claim, nli, grounded, name, dev, source)


def pairs(data: Path, rng: random.Random) -> list[Pair]:
    """The rows that train, those held out among them; raises ValueError for a set that must not train."""
    licences = manifest(data)
    out = [pair for name, most in TRAIN.items() for pair in hidden(of_set(data, name, most, rng), rng)]
    out += [pair for name in COMPOSED for pair in _composed(of_set(data, name, TRAIN[name], rng), rng)]
    for name, most in EDITED.items():
        _check(name, licences)
        texts = list(_texts(read(data / "train" / f"{name}.jsonl.gz")))
        rng.shuffle(texts)
        for text in texts[:most]:
            dev = zlib.crc32(text[:60].encode("utf-8", "replace")) % DEV_ONE_IN == 0
            out += _edited(text, dev, rng)
    rng.shuffle(out)
    return out


def of_set(data: Path, name: str, most: int, rng: random.Random) -> list[Pair]:
    """So many rows of a set at most; raises ValueError for one that must not train."""
    _check(name, manifest(data))
    found = [pair for raw in read(data / "train" / f"{name}.jsonl.gz") if (pair := _pair(raw, name)) is not None]
    rng.shuffle(found)
    return found[:most]


def hidden(found: Sequence[Pair], rng: random.Random) -> list[Pair]:
    """The same pairs, some premises among those of other rows, in a random place: what counts has to be found."""
    sides = {dev: [pair.premise for pair in found if pair.dev == dev] for dev in (False, True)}
    out = []
    for pair in found:
        around = [pair.premise]
        if rng.random() < HIDDEN.get(pair.set, 0):
            around += rng.choices(sides[pair.dev], k=rng.randint(1, MOST_AROUND))
            rng.shuffle(around)
        together = " ".join(around)
        out.append(replace(pair, premise=together, source=together))
    return out


def premise_of(source: str, claim: str, words: int = WINDOW_WORDS) -> str:
    """What of a long source is shown beside the claim: the very rule that the detector uses."""
    if len(source.split()) <= words:
        return " ".join(source.split())
    return Passages([sentence.text for sentence in sentences(source)]).window(claim, words)


def knowledge_of(context: str) -> str:
    """The knowledge of a dialogue row, without its heading and the user's words."""
    match = _KNOWLEDGE.match(context)
    return match["said"].strip() if match else context


_KNOWLEDGE = re.compile(
    r"(?:Knowledge|Context|Document|Passage): (?P<said>.*?)(?:\n(?:User|Question):.*)?\Z", re.DOTALL
)


def _check(name: str, licences: Mapping[str, Mapping[str, Any]]) -> None:
    if licences[name]["licence_class"] not in SHIPPABLE:
        raise ValueError(f"{name} has licence class {licences[name]['licence_class']!r}: it must not train")


def _pair(raw: dict[str, Any], name: str) -> Pair | None:
    labels, context = raw["labels"], raw["context"]
    if not context or "grounded" not in labels:
        return None
    dev = _dev(raw, context)
    return pair_of(knowledge_of(context), raw["text"], labels.get("nli"), labels["grounded"], name, dev)


def _dev(raw: Mapping[str, Any], context: str) -> bool:
    meta = raw.get("meta") or {}
    anchor = next((str(meta[key]) for key in GROUP if key in meta), context[:60])
    return zlib.crc32(anchor.lower().encode("utf-8", "replace")) % DEV_ONE_IN == 0


def _composed(found: Sequence[Pair], rng: random.Random) -> Iterator[Pair]:
    for dev in (False, True):
        premises = sorted({pair.premise for pair in found if pair.dev == dev})
        rng.shuffle(premises)
        for start in range(0, len(premises), TOGETHER):
            yield from _edited(" ".join(premises[start : start + TOGETHER]), dev, rng)


def _edited(text: str, dev: bool, rng: random.Random) -> Iterator[Pair]:
    for name, made in ((edits.SET, edits.edited(text, rng)), (edits.CONCLUSIONS, edits.concluded(text, rng))):
        yield from (pair_of(*each, name, dev) for each in made)


def _texts(found: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Long prose of each row, once."""
    seen = set()
    for raw in found:
        for text in (raw["text"], raw["context"] or ""):
            if len(text.split()) >= 80 and text[:80] not in seen and "```" not in text and text.isascii():
                seen.add(text[:80])
                yield text


def by_set(found: Iterable[Pair]) -> dict[str, list[Pair]]:
    out: defaultdict[str, list[Pair]] = defaultdict(list)
    for pair in found:
        out[pair.set].append(pair)
    return dict(out)
