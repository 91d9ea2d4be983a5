"""Labelled samples as training data: rows for classifiers, and pairs of answers of which one is to be preferred.

A row's weight is how many exchanges of the traffic it stands for. Texts come from where the operator let them be kept;
a sample without texts is left out.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gateway.trust.ledger import Entry
from gateway.trust.second_opinion import Kind, SecondOpinion

Texts = Mapping[str, Mapping[str, str]]  # by sample, then by side


class Row(NamedTuple):
    """One side of a labelled sample. `labels` are by sub-category: the share of those asked who said yes."""

    sample: str
    at: float
    role: str
    text: str
    context: str | None
    labels: Mapping[str, float]
    source: Kind
    weight: float
    route: str
    model: str
    language: str

    def as_json(self) -> dict[str, Any]:
        """As it is written: the fields that `assay score` reads, and the labels."""
        found = self._asdict()
        found["weight"] = round(self.weight, 4)
        return {name: value for name, value in found.items() if value is not None}


def classifier_rows(opinions: Iterable[tuple[SecondOpinion, Entry]], texts: Texts) -> Iterator[Row]:
    """A row for each labelled side. Where people labelled a sample, the judge's word on it is left out."""
    by_sample: dict[str, list[tuple[SecondOpinion, Entry]]] = defaultdict(list)
    for opinion, entry in opinions:
        if opinion.labels and opinion.sample in texts:
            by_sample[opinion.sample].append((opinion, entry))
    for sample, given in by_sample.items():
        people = [pair for pair in given if pair[0].kind == "person"]
        yield from _rows(people or given, texts[sample])


def _rows(given: Sequence[tuple[SecondOpinion, Entry]], texts: Mapping[str, str]) -> Iterator[Row]:
    opinion, entry = given[0]
    said: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for each, _ in given:
        for label in each.labels:
            said[label.direction][label.slug].append(label.value)
    for role, by_slug in sorted(said.items()):
        if role in texts:
            yield Row(
                opinion.sample,
                entry.at,
                role,
                texts[role],
                texts.get("prompt") if role == "response" else None,
                {slug: sum(values) / len(values) for slug, values in sorted(by_slug.items())},
                opinion.kind,
                1 / (entry.probability * opinion.probability),
                entry.route,
                entry.model,
                entry.language,
            )


def preference_pairs(rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
    """Two answers to the same prompt of which one shows a sub-category and the other does not: that one is chosen.

    A pair stands for no more than the rarer of its answers, and so has the smaller weight.
    """
    by_prompt: dict[str, list[Row]] = defaultdict(list)
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
