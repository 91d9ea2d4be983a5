"""Fine-tuning of the multilingual encoder: the rows of the English one in short windows, and ours in other languages.

Loss and the weights of heads are the English encoder's. Word embeddings, positions and the lower layers stay: what
moves them on English text would tear them from the languages that were aligned with it. The rates fall with the time
spent, so that a run on a busy machine ends well whenever it must.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from detectors.trained.tokens import Pieces, Window, starts, window
from detectors.trained.unigram import UnigramTokenizer
from detectors.training.data import Row
from detectors.training.encoder.bert import Network
from detectors.training.encoder.finetune import (
    HIDE,
    KEEP_CONTEXT,
    Drawn,
    Example,
    examples,
    head_weights,
    in_turn,
    loss_of,
)
from detectors.training.encoder.mixture import DOMAINS
from detectors.training.multilingual.rows import SET
from detectors.training.multilingual.start import PADDING

FROZEN, SLOW = 2, 4  # layers that stay, and those above them up to which the rate is lower
BATCH, POOL = 2_048, 2_048  # pieces of a batch; windows drawn together and sorted by length
LENGTHS = (24, 32, 32, 48, 48, 64, 96)
SLOW_RATE, RATE, HEAD_RATE = 5e-5, 1e-4, 6e-4
WARM_UP, FALL, LAST = 0.04, 0.45, 0.04
AVERAGE = 0.995
MASK = 4
SHARES = {"prompts": 0.36, "attacks": 0.08, "replies": 0.17, "posts": 0.37, "other heads": 0.02}  # of all pieces
OWN = 0.34  # draws of our phrases for each draw of anything else
SAVE_SECONDS = 180.0
BENIGN_ANYWHERE, HARMFUL_ANYWHERE = 0.6, 0.25  # share of windows that need not be a text's beginning


@dataclass
class Progress:
    """What a run needs to go on: steps done and seconds spent."""

    steps: int = 0
    seconds: float = 0.0


def train(
    rows: Sequence[Row],
    tokenizer: UnigramTokenizer,
    network: Network,
    seed: int,
    checkpoint: Path,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> Network:
    """The network whose weights are the average over the last steps of `seconds`; goes on from `checkpoint`."""
    torch.manual_seed(seed)
    found = examples(rows, tokenizer)
    run = _Run(network, head_weights(found), checkpoint)
    began, before, saved = clock(), run.progress.seconds, clock()
    with tqdm(unit="step", desc="multilingual", mininterval=20) as shown:
        for batch in batches(found, random.Random(seed + run.progress.steps)):
            run.progress.seconds = before + clock() - began
            if run.progress.seconds >= seconds:
                break
            shown.update()
            shown.set_postfix(loss=f"{run.step(batch, run.progress.seconds / seconds):.3f}", refresh=False)
            if clock() - saved > SAVE_SECONDS:
                run.save()
                saved = clock()
    run.save()
    return run.result()


class _Run:
    """Weights that move, their average, and the optimiser."""

    def __init__(self, network: Network, weights: torch.Tensor, checkpoint: Path) -> None:
        network.train().requires_grad_(False)
        body, heads = network.layers[FROZEN:], (network.hidden, network.out)
        for part in (body, *heads):
            part.requires_grad_(True)
        self._network, self._weights, self._checkpoint = network, weights, checkpoint
        self._moving = {name: value for name, value in network.named_parameters() if value.requires_grad}
        self._average = {name: value.detach().clone() for name, value in self._moving.items()}
        groups = [
            {"params": list(network.layers[FROZEN:SLOW].parameters()), "peak": SLOW_RATE},
            {"params": list(network.layers[SLOW:].parameters()), "peak": RATE},
            {"params": [value for part in heads for value in part.parameters()], "peak": HEAD_RATE},
        ]
        self._optimiser = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
        self.progress = Progress()
        if checkpoint.exists():
            state = torch.load(checkpoint)
            network.load_state_dict(state["network"], strict=False)
            self._optimiser.load_state_dict(state["optimiser"])
            self._average, self.progress = state["average"], Progress(*state["progress"])

    def step(self, batch: Sequence[Drawn], share: float) -> float:
        """Learn from one batch after this share of the time; its loss."""
        tokens, kinds, labels, weight, energy = tensors(batch)
        for group in self._optimiser.param_groups:
            group["lr"] = group["peak"] * min(share / WARM_UP + 0.05, 1.0, max((1 - share) / FALL, LAST))
        with torch.autocast("cpu", torch.bfloat16):
            logits = self._network(tokens, kinds)
        loss = loss_of(logits.float(), labels, weight * self._weights, energy)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._moving.values(), 1.0)
        self._optimiser.step()
        self.progress.steps += 1
        keep = min(AVERAGE, self.progress.steps / (self.progress.steps + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(self._average.values()), list(self._moving.values()), 1 - keep)
        return float(loss.item())

    def save(self) -> None:
        state = {"network": {name: value.detach() for name, value in self._moving.items()}, "average": self._average}
        state |= {"optimiser": self._optimiser.state_dict()}
        new = self._checkpoint.with_suffix(".new")
        torch.save({**state, "progress": (self.progress.steps, self.progress.seconds)}, new)
        new.replace(self._checkpoint)

    def result(self) -> Network:
        self._network.load_state_dict(self._average, strict=False)
        network: Network = self._network.eval()
        return network


def batches(found: Sequence[Example], rng: random.Random) -> Iterator[list[Drawn]]:
    """Windows of like length, BATCH pieces together, for ever."""
    order = in_turn(found, _chances, rng)
    while True:
        pool = sorted((_draw(next(order), rng) for _ in range(POOL)), key=lambda drawn: len(drawn.window.tokens))
        ready, start = [], 0
        while start < len(pool):
            stop = start + 1
            while stop < len(pool) and (stop + 1 - start) * len(pool[stop].window.tokens) <= BATCH:
                stop += 1
            ready.append(pool[start:stop])
            start = stop
        rng.shuffle(ready)
        yield from ready


def _chances(found: Mapping[str, Sequence[Example]]) -> dict[str, float]:
    """How often each source is drawn: its share of the pieces by what a draw shows; ours on top."""
    out: dict[str, float] = {}
    for domain, (_, weights) in DOMAINS.items():
        there = {name: weight * len(found[name]) ** 0.5 for name, weight in weights.items() if name in found}
        for name, value in there.items():
            out[name] = SHARES[domain] * value / sum(there.values()) / float(np.mean(list(map(_shown, found[name]))))
    if SET in found:
        out[SET] = OWN * sum(out.values())
    return out


def _shown(example: Example) -> int:
    return min(len(next(iter(example.pieces.values())).text) + 3, 60)


def _draw(example: Example, rng: random.Random) -> Drawn:
    found = example.pieces[rng.choice(list(example.pieces))]
    length = rng.choice(LENGTHS)
    shown = length // 3 if rng.random() < KEEP_CONTEXT else 0
    found = Pieces(found.text, found.context[max(len(found.context) - shown, 0) :], found.reply, marks=found.marks)
    places = starts(found, length)
    anywhere = BENIGN_ANYWHERE if example.harmless else HARMFUL_ANYWHERE
    drawn = window(found, rng.choice(places) if places and rng.random() < anywhere else 0, length)
    hidden = np.random.default_rng(rng.getrandbits(32)).random(len(drawn.tokens)) < HIDE
    tokens = np.where(hidden & (drawn.tokens > MASK), MASK, drawn.tokens).astype(np.int32)
    return Drawn(Window(tokens, drawn.kinds), example)


def tensors(batch: Sequence[Drawn]) -> tuple[torch.Tensor, ...]:
    """Tokens, kinds, labels, label weights, and for the energy +1 a harmful, -1 a harmless row, 0 unknown."""
    width = max(len(drawn.window.tokens) for drawn in batch)
    tokens = np.full((len(batch), width), PADDING, dtype=np.int64)
    kinds = np.zeros((len(batch), width), dtype=np.int64)
    for row, drawn in enumerate(batch):
        tokens[row, : len(drawn.window.tokens)] = drawn.window.tokens
        kinds[row, : len(drawn.window.kinds)] = drawn.window.kinds
    labels = np.stack([drawn.example.labels for drawn in batch])
    weights = np.stack([drawn.example.weights for drawn in batch])
    energy = np.array([drawn.example.harmful - drawn.example.harmless for drawn in batch], dtype=np.float32)
    return tuple(torch.from_numpy(array) for array in (tokens, kinds, labels, weights, energy))
