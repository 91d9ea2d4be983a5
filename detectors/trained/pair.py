"""The pair model: a premise and a claim to four logits."""

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
    """Loaded, ready to judge one pair a run: activations are quantised with one scale a run."""

    def __init__(self, info: DetectorInfo) -> None:
        """Load the model behind `info`. Raises ModelError."""
        if info.file is None or info.vocabulary is None:
            raise ModelError(f"{info.name}: models.toml names no model file and vocabulary for it; run `make train`")
        self._model = Model(info.file)
        self._tokenizer = Tokenizer(info.vocabulary)

    def judge(self, premise: str, claim: str) -> Logits:
        """The logits of one pair, whatever the texts are."""
        window = window_of(self._tokenizer, premise, claim)
        out = self._model.run({"tokens": window.tokens, "kinds": window.kinds})[0]
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
