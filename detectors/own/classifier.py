"""The operator's text classifiers: any ONNX model that reads tokens, with its tokenizer.json."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from detectors.base import Judgement, State, Steps, Text, Verdict, finish
from detectors.manifest import ModelError
from detectors.own.specs import Classifier
from detectors.trained.onnx import RefusedError, TextModel, TextTokenizer, Tokens

LIMIT = 200_000  # code points of a text that are read
_USUAL_TOKENS = 512
_LEAST_TOKENS = 8

Floats = npt.NDArray[np.float64]


class TextClassifier:
    """A Detector. For each sub-category the highest score of a long text's windows counts.

    Scores are the model's own and not calibrated; the false-alarm table says what they are worth on some traffic.
    """

    def __init__(self, spec: Classifier) -> None:
        """Load the model and its tokenizer, and try them together. Raises ModelError."""
        self.id = spec.id
        self.slugs = frozenset(slug for slug, _ in spec.heads())
        self._spec = spec
        self._model = TextModel(Path(spec.model))
        self._tokenizer = TextTokenizer(Path(spec.tokenizer))
        self._tokens = self._window_tokens()
        self._outputs = {
            slug: [number for number, (_, mapped) in enumerate(spec.outputs) if mapped == slug] for slug in self.slugs
        }
        self._try_out()

    def _window_tokens(self) -> int:
        asked, made = self._spec.max_tokens, self._model.length or self._tokenizer.most_tokens or _USUAL_TOKENS
        tokens = asked or made
        if self._model.length and tokens > self._model.length:
            raise ModelError(f"{self._spec.model}: reads {self._model.length} tokens, `max_tokens` asks for {tokens}")
        if tokens < _LEAST_TOKENS + self._tokenizer.frame + self._spec.overlap_tokens:
            raise ModelError(
                f"{self._spec.model}: windows of {tokens} tokens have no room for `overlap_tokens` "
                f"({self._spec.overlap_tokens}) and {_LEAST_TOKENS} more; set `max_tokens` higher or the overlap lower"
            )
        return tokens

    def _try_out(self) -> None:
        """Try the extremes of what a text can contain: the largest token, and as many tokens as a window has."""
        spec, largest = self._spec, self._tokenizer.largest
        few = min(_LEAST_TOKENS, self._tokens)
        self._tried(few, 0, "it does not run")
        self._tried(few, largest, f"{spec.tokenizer} does not fit it: the model does not know token {largest}")
        scores = self._tried(self._tokens, 0, f"it cannot read {self._tokens} tokens at once; set `max_tokens` lower")
        if len(scores) != len(spec.outputs):
            raise ModelError(
                f"{spec.model}: has {len(scores)} outputs, `labels` names {len(spec.outputs)}; name each in its order"
            )
        if len(scores) == 1 and spec.activation == "softmax":
            raise ModelError(f"{spec.model}: has a single output, for which `activation` must be sigmoid")

    def _tried(self, tokens: int, token: int, what: str) -> Floats:
        ids = np.full(tokens, token, dtype=np.int64)
        try:
            return self._model.run(Tokens(ids, np.ones_like(ids), np.zeros_like(ids)))
        except RefusedError as error:
            raise ModelError(f"{self._spec.model}: {what} ({error})") from error

    def detect(self, texts: Sequence[Text]) -> list[Judgement]:
        """Judge a batch: same length, same order."""
        return finish(self.steps(texts))

    def steps(self, texts: Sequence[Text]) -> Steps[list[Judgement]]:
        """As `detect`, in bounded pieces of work: one window each."""
        judged: list[Judgement] = []
        for text in texts:
            one, stopped = yield from self._judged(text)
            judged.append(one)
            if stopped:
                break
        return judged + [Judgement(State.STOPPED)] * (len(texts) - len(judged))

    def _judged(self, text: Text) -> Steps[tuple[Judgement, bool]]:
        """The judgement of a text, and whether the work was stopped."""
        if text.role not in self._spec.roles or not text.text.strip():
            return Judgement(State.SKIPPED), False
        readable = text.text[:LIMIT].encode("utf-8", "replace").decode()  # without half surrogate pairs
        windows = self._tokenizer.windows(readable, self._tokens, self._spec.overlap_tokens)
        whole = len(windows) <= self._spec.most_windows and len(text.text) <= LIMIT
        highest = np.zeros(len(self._spec.outputs))
        stopped = False
        left = windows[: self._spec.most_windows]
        for number, window in enumerate(left, 1):
            highest = np.maximum(highest, self._probabilities(self._model.run(window)))
            if (yield) and number < len(left):
                stopped = True
                break
        state = State.STOPPED if stopped else State.SCANNED if whole else State.TRUNCATED
        return Judgement(state, self._verdicts(highest)), stopped

    def _probabilities(self, scores: Floats) -> Floats:
        """Scores as shares. Raises ArithmeticError for scores that are not numbers."""
        if not np.isfinite(scores).all():
            raise ArithmeticError("the model's output is not a number")
        if self._spec.activation == "softmax":
            exponents = np.exp(scores - scores.max())
            shares: Floats = exponents / exponents.sum()
            return shares
        squashed: Floats = 1 / (1 + np.exp(-np.clip(scores, -40, 40)))
        return squashed

    def _verdicts(self, highest: Floats) -> tuple[Verdict, ...]:
        """A verdict for each sub-category: the highest score of its labels."""
        return tuple(Verdict(self.id, slug, float(highest[numbers].max())) for slug, numbers in self._outputs.items())
