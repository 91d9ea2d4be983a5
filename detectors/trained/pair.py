"""The pair model: a premise and a claim to four logits."""

from functools import cached_property
from typing import NamedTuple

import numpy as np

from detectors.manifest import DetectorInfo, ModelError
from detectors.trained.onnx import Model, Tokenizer
from detectors.trained.tokens import CLS, SEP, UNKNOWN, Window

HEADS = ("entail", "neutral", "contradict", "grounded")
LENGTH = 256  # word pieces of a run, all included
CLAIM_LENGTH = 96  # of a claim at most
_CHARACTERS = 4_000  # of a premise that are cut into pieces; far more than fit


class Logits(NamedTuple):
    """What the model says of one pair; the first three belong together, the last stands alone."""

    entail: float
    neutral: float
    contradict: float
    grounded: float


class PairModel:
    """Judges one pair a run: activations are quantised with one scale a run. It is loaded with the first pair."""

    def __init__(self, info: DetectorInfo) -> None:
        """The model behind `info`: most traffic has nothing to compare, and pays nothing for it. Raises ModelError."""
        if info.file is None or info.vocabulary is None:
            raise ModelError(f"{info.name}: models.toml names no model file and vocabulary for it; run `make train`")
        self._file, self._vocabulary = info.file, info.vocabulary

    @cached_property
    def _loaded(self) -> tuple[Model, Tokenizer]:
        return Model(self._file), Tokenizer(self._vocabulary)

    def judge(self, premise: str, claim: str) -> Logits:
        """The logits of one pair, whatever the texts are. Raises ModelError when the file cannot be loaded."""
        model, tokenizer = self._loaded
        window = window_of(tokenizer, premise, claim)
        out = model.run({"tokens": window.tokens, "kinds": window.kinds})[0]
        return Logits(*out.tolist())


def window_of(tokenizer: Tokenizer, premise: str, claim: str) -> Window:
    """`[CLS] premise [SEP] claim [SEP]`, the claim marked as the second kind; what does not fit is left out."""
    there, own = tokenizer.ids([premise[:_CHARACTERS], claim[:_CHARACTERS]])
    own = own[:CLAIM_LENGTH] or [UNKNOWN]
    there = there[: LENGTH - len(own) - 3]
    tokens = np.array([CLS, *there, SEP, *own, SEP], dtype=np.int32)
    kinds = np.zeros(len(tokens), dtype=np.int32)
    kinds[len(there) + 2 :] = 1
    return Window(tokens, kinds)
