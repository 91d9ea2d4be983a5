"""Labelled samples as training data: rows for classifiers, and pairs of a better and a worse answer.

A row's weight is the number of exchanges of the traffic that it stands for. A sample whose texts the operator did not
allow to be kept is left out.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from gateway.trust.ledger import Entry
from gateway.trust.moments import labels_by
from gateway.trust.second_opinion import Kind, SecondOpinion

Source = Kind | Literal["exact", "flag"]  # who says so; the last two only of an evaluation's answers
Texts = Mapping[str, Mapping[str, str]]  # by sample, then by side


class TrainingRow(NamedTuple):
    """One side of a labelled sample. `labels` has, by sub-category, the share of the people asked who said yes, or the
    judge's label."""

    sample: str
    at: float
    role: str
    text: str
    context: str | None
    labels: Mapping[str, float]
    source: Source
    weight: float
    route: str
    model: str
    language: str

    def as_json(self) -> dict[str, Any]:
        """The row as it is written: the fields that `assay score` reads, and the labels."""
        found = self._asdict()
        found["weight"] = round(self.weight, 4)
        return {name: value for name, value in found.items() if value is not None}


def classifier_rows(opinions: Iterable[tuple[SecondOpinion, Entry]], texts: Texts) -> Iterator[TrainingRow]:
    """A row for each labelled side. Where people labelled a sample, the judge's opinion on it is left out."""
    by_sample: dict[str, list[tuple[SecondOpinion, Entry]]] = defaultdict(list)
    for opinion, entry in opinions:
        if opinion.labels and opinion.sample in texts:
            by_sample[opinion.sample].append((opinion, entry))
    for sample, given in by_sample.items():
        people = [pair for pair in given if pair[0].kind == "person"]
        yield from _rows(people or given, texts[sample])


def _rows(given: Sequence[tuple[SecondOpinion, Entry]], texts: Mapping[str, str]) -> Iterator[TrainingRow]:
    opinion, entry = given[0]
    said: dict[str, dict[str, float]] = defaultdict(dict)
    for (slug, direction), value in labels_by(opinion.kind, [each for each, _ in given]).items():
        said[direction][slug] = value
    for role, by_slug in sorted(said.items()):
        if role in texts:
            yield TrainingRow(
                opinion.sample,
                entry.at,
                role,
                texts[role],
                texts.get("prompt") if role == "response" else None,
                dict(sorted(by_slug.items())),
                opinion.kind,
                1 / (entry.probability * opinion.probability),
                entry.route,
                entry.model,
                entry.language,
            )


def preference_pairs(rows: Iterable[TrainingRow]) -> Iterator[dict[str, Any]]:
    """Pairs of answers to the same prompt: the rejected one shows a sub-category, the chosen one does not.

    A pair stands for no more exchanges than the rarer of its answers, so it has the smaller of their weights.
    """
    by_prompt: dict[str, list[TrainingRow]] = defaultdict(list)
    for row in rows:
        if row.role == "response" and row.context:
            by_prompt[row.context].append(row)
    for prompt, answers in by_prompt.items():
        for slug in sorted({slug for row in answers for slug in row.labels}):
            clear = [row for row in answers if row.labels.get(slug, 0.5) < 0.5]
            shown = [row for row in answers if row.labels.get(slug, 0.5) > 0.5]
            # Each rejected answer once, so that one prompt does not fill the file.
            for number, rejected in enumerate(shown if clear else ()):
                chosen = clear[number % len(clear)]
                if chosen.text != rejected.text:
                    yield {
                        "prompt": prompt,
                        "chosen": chosen.text,
                        "rejected": rejected.text,
                        "subcategory": slug,
                        "weight": round(min(chosen.weight, rejected.weight), 4),
                        "chosen_sample": chosen.sample,
                        "rejected_sample": rejected.sample,
                    }
