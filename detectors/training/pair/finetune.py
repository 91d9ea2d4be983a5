"""MiniLM fine-tuned on pairs: cross-entropy over entailed, neutral, contradicted beside one output for grounded.

As for the encoder the average of the weights over the last steps is what ships, batches hold pairs of like length, and
a run goes on from its checkpoint.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from tqdm import tqdm

from detectors.trained.onnx import Tokenizer
from detectors.trained.pair import HEADS, window_of
from detectors.trained.tokens import Window
from detectors.training.encoder.bert import Network, copied
from detectors.training.encoder.precision import Trainer
from detectors.training.pair.rows import DRAWN, Pair, by_set

BUDGET = 10_500_000  # word pieces, padding included: an hour and a half of one core
BATCH = 3_072  # word pieces
RATE, HEAD_RATE = 1.5e-4, 5e-4
WARM_UP, FALL = 0.05, 0.5  # shares of the budget
AVERAGE = 0.995  # weight of the past in the average
SMOOTHED = 0.05  # of the labels
POOL = 4_096
CHECKPOINT_STEPS = 100
SPLIT = HEADS.index("grounded")


@dataclass(frozen=True, slots=True)
class Example:
    """A pair as word pieces; `nli` is -1 where it is unknown."""

    window: Window
    nli: int
    grounded: int


def train(
    pairs: Sequence[Pair], tokenizer: Tokenizer, start: Network, seed: int, checkpoint: Path, budget: int = BUDGET
) -> Network:
    """Fine-tune `start` on the pairs that are not held out; goes on from `checkpoint` when there is one.

    The averaged network, in evaluation mode. The same seed and pairs give the same batches.
    """
    torch.manual_seed(seed)
    rng = random.Random(seed)
    decks = by_set(pair for pair in pairs if not pair.dev)
    run = _Run(start, checkpoint, budget)
    with tqdm(total=budget, unit="piece", unit_scale=True, desc="pair", mininterval=20) as progress:
        for batch in batches(decks, tokenizer, rng):
            if run.spent >= budget:
                break
            before = run.spent
            loss = run.step(batch)
            progress.update(run.spent - before)
            if loss is not None:
                progress.set_postfix(loss=f"{loss:.3f}", refresh=False)
    return run.result()


def batches(decks: Mapping[str, Sequence[Pair]], tokenizer: Tokenizer, rng: random.Random) -> Iterator[list[Example]]:
    """Pairs of like length, BATCH word pieces together, for ever; sets drawn by DRAWN."""
    names = [name for name in DRAWN if name in decks]
    weights = [DRAWN[name] for name in names]
    turns = {name: _cycle(decks[name], rng) for name in names}
    while True:
        drawn = [next(turns[name]) for name in rng.choices(names, weights, k=POOL)]
        pool = sorted((example(pair, tokenizer) for pair in drawn), key=lambda item: len(item.window.tokens))
        ready = list(_cut(pool))
        rng.shuffle(ready)
        yield from ready


def example(pair: Pair, tokenizer: Tokenizer) -> Example:
    window = window_of(tokenizer, pair.premise, pair.claim)
    return Example(window, -1 if pair.nli is None else pair.nli, pair.grounded)


def _cycle(deck: Sequence[Pair], rng: random.Random) -> Iterator[Pair]:
    while True:
        yield from rng.sample(deck, len(deck))


def _cut(pool: Sequence[Example]) -> Iterator[list[Example]]:
    start = 0
    while start < len(pool):
        stop = start + 1
        while stop < len(pool) and (stop + 1 - start) * len(pool[stop].window.tokens) <= BATCH:
            stop += 1
        yield list(pool[start:stop])
        start = stop


class _Run:
    """The state of one training run: weights, their average, the optimiser, and how many word pieces were shown."""

    def __init__(self, network: Network, checkpoint: Path, budget: int) -> None:
        self._start = copied(network)  # in fp32
        network.train()
        network.words.weight.requires_grad_(False)  # a word that training never shows must keep its meaning
        self._network = network
        self._trainer = Trainer(network, _groups(network), AVERAGE)
        self._checkpoint, self._budget = checkpoint, budget
        self._done = self.spent = 0
        if checkpoint.exists():
            state = torch.load(checkpoint)
            self._trainer.resume(state["trainer"])
            self._done = state["done"]

    def step(self, batch: Sequence[Example]) -> float | None:
        """Learn from one batch, its loss; None for a batch that the checkpoint has behind it."""
        width = max(len(item.window.tokens) for item in batch)
        self.spent += width * len(batch)
        if self.spent <= self._done:
            return None
        loss = _loss(self._network(*_tensors(batch, width)).float(), batch)
        self._trainer.step(loss, _schedule(self.share()))
        if self._trainer.steps % CHECKPOINT_STEPS == 0:
            self._save()
        return float(loss.item())

    def share(self) -> float:
        """How much of the run is over."""
        return self.spent / self._budget

    def _save(self) -> None:
        new = self._checkpoint.with_suffix(".new")
        torch.save({"trainer": self._trainer.state(), "done": self.spent}, new)
        new.replace(self._checkpoint)

    def result(self) -> Network:
        """The averaged network, in fp32 and evaluation mode."""
        out = self._start
        out.load_state_dict(out.state_dict() | self._trainer.averaged())
        out.eval()
        return out


def _tensors(batch: Sequence[Example], width: int) -> tuple[torch.Tensor, torch.Tensor]:
    arrays = np.zeros((2, len(batch), width), dtype=np.int64)
    for row, item in enumerate(batch):
        arrays[0, row, : len(item.window.tokens)] = item.window.tokens
        arrays[1, row, : len(item.window.kinds)] = item.window.kinds
    return torch.from_numpy(arrays[0]), torch.from_numpy(arrays[1])


def _loss(logits: torch.Tensor, batch: Sequence[Example]) -> torch.Tensor:
    nli = torch.tensor([item.nli for item in batch])
    grounded = torch.tensor([float(item.grounded) for item in batch])
    loss: torch.Tensor = functional.binary_cross_entropy_with_logits(
        logits[:, SPLIT], grounded * (1 - SMOOTHED) + SMOOTHED / 2
    )
    if bool((nli >= 0).any()):
        loss = loss + functional.cross_entropy(logits[:, :SPLIT], nli, ignore_index=-1, label_smoothing=SMOOTHED)
    return loss


def _schedule(share: float) -> float:
    """Linear up, level, linear down (Hu et al. 2024, arXiv 2404.06395)."""
    return min(share / WARM_UP, 1.0, max((1 - share) / FALL, 0.02))


def _groups(network: Network) -> list[tuple[list[torch.nn.Parameter], float]]:
    fresh = [*network.hidden.parameters(), *network.out.parameters()]
    ids = {id(parameter) for parameter in fresh}
    body = [value for value in network.parameters() if value.requires_grad and id(value) not in ids]
    return [(body, RATE), (fresh, HEAD_RATE)]
