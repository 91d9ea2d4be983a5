"""The review: samples that wait for people's labels, the labels, and how well two reviewers agree."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.trust.ledger import Entry, Ledger
from gateway.trust.second_opinion import WRONG, Label, SecondOpinion, Waiting

HOLD_SECONDS = 300.0  # an item that one reviewer got is given to no other for this time
_LOOK_SECONDS = 1.0
_MOST_LOOKED_AT = 500
_MOST_OPINIONS = 10_000
MOST_NAME = 64

# The harms that `unsafe` sums up: a reviewer who says no to `unsafe` says no to each of them.
HARMS = frozenset(
    {
        "violence", "unlawful_conduct", "harms_to_minor", "adult_content", "mental_health", "privacy_violation",
        "propagandistic_misuse", "cyberattack_misuse", "social_engineering_misuse", "copyrighted_content", "toxicity",
        "hate",
    }
)  # fmt: skip


class LabelError(Exception):
    """A label that cannot be stored; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which items are wanted; None means any. `since` and `until` are Unix seconds, a half-open range."""

    subcategory: str | None = None
    route: str | None = None
    model: str | None = None
    flagged: bool | None = None
    since: float | None = None
    until: float | None = None

    def fit(self, entry: Entry) -> bool:
        """Whether a sample passes all filters."""
        flags = {score.slug for score in entry.scores if score.flagged}
        return (
            (self.subcategory is None or any(score.slug == self.subcategory for score in entry.scores))
            and self.route in (None, entry.route)
            and self.model in (None, entry.model)
            and self.flagged in (None, bool(flags) if self.subcategory is None else self.subcategory in flags)
            and (self.since is None or entry.at >= self.since)
            and (self.until is None or entry.at < self.until)
        )


@dataclass(frozen=True, slots=True)
class SampleToLabel:
    """One sample to label, with the detectors' scores."""

    waiting: Waiting
    entry: Entry

    def shown(self) -> dict[str, Any]:
        """As JSON. The judge's opinion is left out, because it would influence the reviewer."""
        waiting, entry = self.waiting, self.entry
        scores = sorted(entry.scores, key=lambda score: -score.score)
        return {
            "sample": waiting.sample,
            "at": entry.at,
            "probability": waiting.probability,
            "why": reason_of(waiting),
            "route": entry.route,
            "model": entry.model,
            "language": entry.language,
            "unread": entry.unread,
            "texts": dict(waiting.texts) or None,
            "scores": [
                {
                    "subcategory": score.slug,
                    "direction": score.direction,
                    "score": round(score.score, 4),
                    "flagged": score.flagged,
                    "detector": score.detector,
                }
                for score in scores
            ],
        }


def reason_of(waiting: Waiting) -> str:
    """Why an item was drawn, in words."""
    what = f"{waiting.slug} in the {waiting.direction}"
    chance = f"drawn with probability {waiting.probability:.3g}"
    return {
        "flagged": f"a detector flagged {what}; {chance}",
        "doubt": f"the detector is in doubt about {what}; {chance}",
        "floor": f"no score stands out, and some such samples are labelled too; {chance}",
    }[waiting.reason]


class Review:
    """The queue of people's items in a ledger. `clock` gives Unix seconds. All methods raise LedgerError."""

    def __init__(self, ledger: Ledger, clock: Callable[[], float]) -> None:
        self._ledger = ledger
        self._clock = clock

    async def next(
        self, by: str, filters: Filters = Filters(), most: int = 1, passed: Iterable[str] = ()
    ) -> list[SampleToLabel]:
        """Items for this reviewer that nobody else holds, in a random order that is the same for all, without those
        that the reviewer has `passed`. Raises LabelError for a name that cannot be used."""
        _check_name(by)
        skipped = frozenset(passed)
        picky = bool(skipped) or filters != Filters()
        # With filters many items are looked at for a few: hold them only briefly, so that others get them.
        found = await self._ledger.hold(
            "person", by, _MOST_LOOKED_AT if picky else most, _LOOK_SECONDS if picky else HOLD_SECONDS
        )
        items = [item for item in await self._with_entries(found) if filters.fit(item.entry)]
        return [item for item in items if item.waiting.sample not in skipped][:most]

    async def waiting(self) -> int:
        """How many items wait."""
        return await self._ledger.count_waiting("person")

    async def _with_entries(self, waiting: Sequence[Waiting]) -> list[SampleToLabel]:
        entries = await self._ledger.entries_of([item.sample for item in waiting])
        return [SampleToLabel(item, entries[item.sample]) for item in waiting if item.sample in entries]

    async def label(self, sample: str, by: str, labels: Sequence[Label]) -> None:
        """Store one reviewer's labels; they replace earlier ones of the same reviewer. Raises LabelError."""
        _check_name(by)
        if not labels:
            raise LabelError("there is no label; give at least one sub-category with yes or no, or skip the item")
        probability = await self._probability(sample)
        entry = (await self._ledger.entries_of([sample])).get(sample)
        if entry is None or probability is None:
            raise LabelError(
                f"the sample {sample!r} is not in the review: it was never drawn for people, all of its labels are "
                "given, or it has expired; ask for the next item"
            )
        known = may_be_labelled(entry)
        if unknown := [each for each in labels if (each.direction, each.slug) not in known]:
            each = unknown[0]
            raise LabelError(
                f"the sample {sample!r} was not judged for {each.slug!r} in the {each.direction}; label what is listed "
                "under its `scores`"
            )
        given = SecondOpinion(sample, self._clock(), "person", by, probability, list(labels))
        if await self._ledger.opine([given]):
            raise LabelError(f"the sample {sample!r} has just expired; its label was not kept")

    async def _probability(self, sample: str) -> float | None:
        """The probability with which the sample was drawn; None where it neither waits nor was labelled."""
        item, given = await self._ledger.one("person", sample)
        if item is not None:
            return item.probability
        return given[0].probability if given else None

    async def agreement(self) -> list[dict[str, Any]]:
        """The agreement of each pair of reviewers over the last seven days; see `agreement`."""
        return agreement([opinion for opinion, _ in await self._ledger.opinions("7d", _MOST_OPINIONS, "person")])


def may_be_labelled(entry: Entry) -> frozenset[tuple[str, str]]:
    """The (direction, sub-category) that may be labelled: what was judged and, for an answer, ways of being wrong."""
    judged = frozenset((score.direction, score.slug) for score in entry.scores)
    answered = any(direction == "response" for direction, _ in judged)
    return judged | frozenset(("response", slug) for slug in WRONG if answered)


def _check_name(by: str) -> None:
    if not by or len(by) > MOST_NAME or not by.isprintable():
        raise LabelError(f"a reviewer's name has 1 to {MOST_NAME} printable characters; say who labels with `by`")


def agreement(opinions: Iterable[SecondOpinion]) -> list[dict[str, Any]]:
    """For each pair of people: how many labels both gave, the share that is equal, and Cohen's kappa, which is None
    where it is not defined, for instance when both always gave the same answer."""
    by_label: dict[tuple[str, str, str], dict[str, bool]] = defaultdict(dict)
    for opinion in opinions:
        if opinion.kind == "person":
            for label in opinion.labels:
                by_label[opinion.sample, label.direction, label.slug][opinion.name] = label.value >= 0.5
    pairs: dict[tuple[str, str], list[tuple[bool, bool]]] = defaultdict(list)
    for said in by_label.values():
        names = sorted(said)
        for i, one in enumerate(names):
            for other in names[i + 1 :]:
                pairs[one, other].append((said[one], said[other]))
    return [
        {"reviewers": list(names), "labels": len(both), "equal_share": _equal(both), "kappa": kappa(both)}
        for names, both in sorted(pairs.items())
    ]


def _equal(both: Sequence[tuple[bool, bool]]) -> float:
    return round(sum(a == b for a, b in both) / len(both), 4)


def kappa(both: Sequence[tuple[bool, bool]]) -> float | None:
    """Cohen (1960): the agreement beyond that of two people who answer at random with the same shares of yes."""
    n = len(both)
    first, second = sum(a for a, _ in both) / n, sum(b for _, b in both) / n
    by_chance = first * second + (1 - first) * (1 - second)
    observed = sum(a == b for a, b in both) / n
    return None if by_chance >= 1 else round((observed - by_chance) / (1 - by_chance), 4)


def labels_of(answers: Mapping[tuple[str, str], bool], entry: Entry) -> list[Label]:
    """Labels from answers by (direction, sub-category). A no to `unsafe` counts as a no to each harm that was
    judged."""
    full = dict(answers)
    for score in entry.scores:
        if answers.get((score.direction, "unsafe")) is False and score.slug in HARMS:
            full.setdefault((score.direction, score.slug), False)
    return [Label(direction, slug, float(yes)) for (direction, slug), yes in full.items()]
