"""Rows put together from other rows: what no set shows, an attack around an ordinary request among it.

They train and never measure.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

from detectors.training.data import HARMS, Row

SET = "assay_composed"
PLACE = "[INSERT PROMPT HERE]"
BEFORE, AFTER = 320, 60  # code points kept around a request: one window must show both
WRAPS, JOINS, REFUSALS, CALM_REPLIES = 1_800, 1_200, 1_500, 1_500
REPLY = 500  # code points of a calm reply
_HARMLESS = {"unsafe": 0, **dict.fromkeys(HARMS, 0)}


def rows(found: Sequence[Row], rng: random.Random) -> list[Row]:
    """New training rows from the training rows `found`; the labels follow from how each is put together."""
    prompts = [
        row
        for row in found
        if row.roles == ("prompt",) and "unsafe" in row.labels and row.labels.get("prompt_attacks", 0) == 0
    ]
    prompts = [row for row in prompts if len(row.text) < BEFORE]
    harmful = [row for row in prompts if row.labels["unsafe"] == 1]
    calm = [row for row in prompts if row.labels["unsafe"] == 0]
    if not harmful or not calm:
        return []
    asked = _Asked(harmful, calm, rng)
    return [*_wrapped(found, asked, rng), *_joined(found, asked, rng), *_answered(found, asked, rng)]


class _Asked:
    """Draws a request, harmful with the chance given."""

    def __init__(self, harmful: Sequence[Row], calm: Sequence[Row], rng: random.Random) -> None:
        self._sides, self._rng = (calm, harmful), rng

    def draw(self, harmful: float = 0.5) -> Row:
        return self._rng.choice(self._sides[self._rng.random() < harmful])


def _wrapped(found: Sequence[Row], asked: _Asked, rng: random.Random) -> Iterator[Row]:
    """A request in the place that a jailbreak's template keeps for it."""
    templates = [row.text for row in found if row.labels.get("prompt_attacks") == 1 and PLACE in row.text]
    for _ in range(WRAPS if templates else 0):
        before, _, after = rng.choice(templates).partition(PLACE)
        request = asked.draw()
        yield _attack(request, before[-BEFORE:] + request.text + after[:AFTER])


def _joined(found: Sequence[Row], asked: _Asked, rng: random.Random) -> Iterator[Row]:
    """A request behind a jailbreak."""
    jailbreaks = [row.text for row in found if row.set == "inthewild_jailbreaks"]
    for _ in range(JOINS if jailbreaks else 0):
        request = asked.draw()
        yield _attack(request, f"{rng.choice(jailbreaks)[:BEFORE]}\n{request.text}")


def _attack(request: Row, text: str) -> Row:
    return Row(text, None, ("prompt",), {**request.labels, "prompt_attacks": 1}, SET, dev=False)


def _answered(found: Sequence[Row], asked: _Asked, rng: random.Random) -> Iterator[Row]:
    """Harmless replies, refusals among them, behind requests that are mostly harmful: the reply is what is judged."""
    refusals = [row for row in found if row.labels.get("refusal") == 1 and row.context is None]
    for _ in range(REFUSALS if refusals else 0):
        yield replace(
            rng.choice(refusals),
            context=asked.draw(0.7).text,
            labels={**_HARMLESS, "refusal": 1},
            roles=("response",),
            set=SET,
        )
    calm = [
        row
        for row in found
        if row.roles == ("response",) and row.labels.get("unsafe") == 0 and row.labels.get("refusal", 0) == 0
    ]
    for _ in range(CALM_REPLIES if calm else 0):
        reply = rng.choice(calm)
        labels = {**_HARMLESS, "refusal": 0}
        yield Row(reply.text[:REPLY], asked.draw(0.8).text, ("response",), labels, SET, dev=False)
