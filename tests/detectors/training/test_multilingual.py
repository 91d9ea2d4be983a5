"""What the multilingual encoder is shown and measured on: complete in every language, and kept apart."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from detectors.base import Role, State, Text
from detectors.manifest import Measurement, Tables
from detectors.trained.networks import Scored
from detectors.training.benign import HALVES
from detectors.training.data import HEADS, Row
from detectors.training.evidence import Evidence, plain
from detectors.training.measure import RATES
from detectors.training.multilingual import rows, tables


def test_every_language_has_as_much_of_everything() -> None:
    shapes = {
        language: tuple(map(len, (found.ask, found.bad, found.good, found.groups, found.they, found.fair)))
        for language, found in rows.phrases().items()
    }
    assert len(shapes) == 20
    assert set(shapes.values()) == {(4, 14, 14, 7, 5, 5)}


def test_every_language_has_as_many_contrasts() -> None:
    found = rows.contrasts()
    assert found.keys() == {"en", *rows.phrases()}
    assert {tuple(map(len, (each.they, each.fair, each.hard, each.rude))) for each in found.values()} == {(8, 9, 6, 5)}
    assert all(text.count("{g}") == 1 for each in found.values() for text in (*each.they, *each.fair))


def test_rows_are_labelled_and_wholly_filled_in() -> None:
    found = rows.rows()
    assert all("{" not in row.text and row.labels.keys() <= HEADS.keys() for row in found)
    sides = Counter((row.labels.get("unsafe"), row.roles) for row in found if "unsafe" in row.labels)
    assert sides[1, ("prompt",)] == sides[0, ("prompt",)] == 20 * 14 * 4


def test_everyday_texts_are_kept_apart() -> None:
    shown = {row.text for row in rows.rows()}
    dev, held_out = ({text for texts in rows.everyday(half).values() for text in texts} for half in HALVES)
    assert len(dev) == len(held_out) == 20 * 20
    assert not dev & held_out
    assert not shown & (dev | held_out)


class Fixed:
    """A network that gives every text the same logit for all heads."""

    def __init__(self, logit: float) -> None:
        self._logit = logit

    def score(self, texts: Sequence[Text]) -> Scored:
        return Scored(np.full((len(texts), len(HEADS)), self._logit), [State.SCANNED] * len(texts))


def evidence(role: Role) -> Evidence:
    """Four thousand harmless rows around −1 and as many harmful ones around 1."""
    draws = np.random.default_rng(5)
    labels = [0] * 4_000 + [1] * 4_000
    kept = [Row("a text", None, (role,), {"unsafe": label}, "harmfulqa", False) for label in labels]
    logits = draws.normal(np.array(labels) * 2 - 1.0, 0.5)
    return Evidence(role, kept, np.repeat(logits[:, None], len(HEADS), axis=1))


@pytest.mark.slow
def test_a_threshold_is_the_higher_of_what_english_and_other_languages_ask_for() -> None:
    found = plain({"prompt": evidence("prompt"), "response": evidence("response")})
    low, high = (tables.operating(found, Fixed(logit))["unsafe"]["prompt"] for logit in (-9.0, 9.0))
    assert [rate for rate, _ in low] == list(RATES)
    assert [score for _, score in low] == sorted((score for _, score in low), reverse=True)
    assert min(score for _, score in high) > max(score for _, score in low)


def test_a_head_that_carries_in_few_languages_is_off() -> None:
    figures = {"hate": (0.94, 0.6, 0.7), "toxicity": (0.7, 0.8, 0.8)}
    measured = tuple(
        Measurement(f"some set, {language}", slug, "prompt: AUROC", value, 100, "2026-11-29")
        for slug, values in figures.items()
        for language, value in zip(("fr", "de", "es"), values, strict=True)
    )
    english = Measurement("some set, en", "hate", "prompt: AUROC", 0.99, 100, "2026-11-29")
    kept = tables.in_other_languages(Tables((), (), {}, {}, {}, {}, (*measured, english)))
    assert max(item.value for item in kept.measured if item.slug == "hate") == 0.7
    assert max(item.value for item in kept.measured if item.slug == "toxicity") == 0.8
