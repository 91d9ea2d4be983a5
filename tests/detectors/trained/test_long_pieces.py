"""What the networks do of one long text between two pauses: counted in letters that are cut and in windows that run."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from detectors.base import State, Steps, Text
from detectors.manifest import load_one
from detectors.trained.encoder import network, vocabulary
from detectors.trained.networks import BATCH_BYTES, NgramNetwork
from detectors.trained.onnx import Marks, Model
from detectors.trained.tokens import AnyTokenizer, ids_in_steps, pieces_in_steps

LETTERS = "ab zé\u0301 ▁中\u2190."
MOST = 4_200  # letters between two pauses


class Counting:
    """A vocabulary that tells how much it was given at once."""

    def __init__(self, tokenizer: AnyTokenizer) -> None:
        self._tokenizer = tokenizer
        self.marks: Marks = tokenizer.marks
        self.cased = tokenizer.cased
        self.given: list[int] = []

    def size(self, piece: int) -> int:
        return self._tokenizer.size(piece)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        self.given.append(sum(map(len, texts)))
        return self._tokenizer.ids(texts)


@pytest.mark.parametrize("name", ["encoder", "encoder-multilingual"])
def test_cut_in_parts_a_text_has_the_same_pieces(name: str) -> None:
    tokenizer = vocabulary(load_one(name))
    draw = random.Random(1)
    texts = ["".join(draw.choices(LETTERS, k=size)) for size in (10, 3_999, 4_001, 8_000, 30_000)]
    texts += [f"{'x' * 5_000} {'  ▁ ' * 3_000}y" + "z" * 5_000, "", "word " * 6_000]
    cut = _result(ids_in_steps(tokenizer, texts))
    assert cut == [tokenizer.ids([text])[0] for text in texts]


@pytest.mark.parametrize("text", ["a" * 40_000, "a\u200b" * 16_000, "{{" * 20_000, "word " * 8_000])
def test_between_two_pauses_few_letters_are_cut(text: str) -> None:
    counting = Counting(vocabulary(load_one("encoder")))
    work = pieces_in_steps(counting, [Text(text, "prompt")])  # type: ignore[arg-type]
    for _ in work:
        assert sum(counting.given) <= MOST
        counting.given.clear()


def test_a_stop_between_two_parts_leaves_the_text_uncut() -> None:
    work = pieces_in_steps(vocabulary(load_one("encoder")), [Text("a" * 40_000, "prompt")])
    next(work)
    with pytest.raises(StopIteration) as done:
        work.send(True)
    assert done.value.value is None


def test_between_two_pauses_the_ngrams_of_few_windows_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    ngrams = network(load_one("ngram"))
    assert isinstance(ngrams, NgramNetwork)
    texts = [Text("{{" * 20_000, "prompt"), Text("word " * 3_000, "prompt")]
    runs: list[int] = []
    run = Model.run

    def counted(model: Model, given: dict[str, Any]) -> Any:
        runs.append(given["grams"].size // 3)
        return run(model, given)

    monkeypatch.setattr(Model, "run", counted)
    for _ in ngrams.steps(texts):
        assert len(runs) <= 1
        assert sum(runs) <= BATCH_BYTES + 2_048
        runs.clear()


def test_stopped_between_two_runs_the_ngrams_say_nothing_of_the_text() -> None:
    work = network(load_one("ngram")).steps([Text("{{" * 20_000, "prompt")])
    next(work)
    with pytest.raises(StopIteration) as done:
        work.send(True)
    found = done.value.value
    assert found.states == [State.STOPPED]
    assert np.isnan(found.logits).all()


def _result(work: Steps[list[list[int]] | None]) -> list[list[int]]:
    while True:
        try:
            next(work)
        except StopIteration as done:
            return list(done.value)
