"""The encoder: MiniLM fine-tuned with one output a head, checkpoints on the way, then exported.

Masked binary cross-entropy; a margin on the energy of harmless rows (Liu et al. 2020, arXiv 2010.03759); the average
of the weights over the last steps is what ships (Polyak and Juditsky 1992). Batches hold windows of like length.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional
from tqdm import tqdm

from detectors.base import Role
from detectors.trained.onnx import Tokenizer
from detectors.trained.tokens import LENGTH, AnyTokenizer, Pieces, Window, is_readable, pieces, starts, window
from detectors.training.data import BOTH, HARMS, HEADS, Row
from detectors.training.encoder.bert import Network, copied
from detectors.training.encoder.mixture import HARMLESS, Supply, draws

BUDGET = 15_500_000  # word pieces, padding included
BATCH = 3_072  # word pieces
RATE, HEAD_RATE = 8e-5, 2e-4
GENTLE = 0.75  # share of the rates for weights that were fine-tuned before
WARM_UP = 0.04
FALL = 0.4  # share of the budget over which the learning rate falls at the end
AVERAGE = 0.998  # weight of the past in the average
MIDDLE = 0.4  # share of the budget after which a first average is kept
POOL = 4_096  # windows drawn together and sorted by length
LENGTHS = (48, 80, LENGTH, LENGTH)  # drawn for each window: a beginning must be judged as well as a whole
KEEP_CONTEXT = 0.85
HIDE = 0.05  # share of word pieces replaced by MASK
MASK = 103
FIRST = 0.7  # share of harmful rows shown from their beginning; harmless ones are harmless everywhere
NEVER_IMPLIED = frozenset({"toxicity", "hate"})  # most rows of the one are rows of the other
IMPLIED = 0.15  # weight of the 0 that a row with another harm implies
ENERGY, ENERGY_LOW, ENERGY_HIGH = 0.05, -3.0, 1.0
EMPHASIS: Mapping[str, float] = {"unsafe": 3.0, "refusal": 1.5, "prompt_attacks": 2.0, "toxicity": 1.5}
MOST_WEIGHT = 3.0  # of a thin head
CHECKPOINT_STEPS = 200

Kind = tuple[int | None, ...]  # what rows of one source are balanced by: the labels of KINDS
KINDS = ("unsafe", "prompt_attacks", "refusal", "toxicity")


@dataclass(frozen=True, slots=True)
class Example:
    """A row as word pieces for each role it may take; labels with -1 for unknown; weights of labels by head."""

    pieces: Mapping[Role, Pieces]
    labels: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    harmless: bool
    harmful: bool
    set: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Drawn:
    """One window of one example."""

    window: Window
    example: Example


def examples(rows: Sequence[Row], tokenizer: AnyTokenizer) -> list[Example]:
    """The rows whose text the vocabulary can read."""
    out = []
    for start in tqdm(range(0, len(rows), 512), desc="word pieces", unit="batch", mininterval=5):
        chunk = rows[start : start + 512]
        by_role = {role: pieces(tokenizer, [row.as_text(role) for row in chunk]) for role in BOTH}
        for position, row in enumerate(chunk):
            found = {role: by_role[role][position] for role in row.roles}
            if is_readable(next(iter(found.values()))):
                out.append(_example(row, found))
    return out


def _example(row: Row, found: Mapping[Role, Pieces]) -> Example:
    labels = np.array([row.labels.get(slug, -1) for slug in HEADS], dtype=np.float32)
    weights = (labels >= 0).astype(np.float32)
    if any(row.labels.get(slug) == 1 for slug in HARMS):
        for column, slug in enumerate(HEADS):
            if slug in HARMS and slug not in NEVER_IMPLIED and labels[column] < 0:
                labels[column], weights[column] = 0, IMPLIED
    harmless = row.labels.get("unsafe") == 0
    harmful = row.labels.get("unsafe") == 1
    kind = tuple(row.labels.get(slug) for slug in KINDS)
    return Example(found, labels, weights, harmless, harmful, row.set, kind)


def train(
    rows: Sequence[Row],
    tokenizer: Tokenizer,
    start: Network,
    seed: int,
    checkpoint: Path,
    budget: int = BUDGET,
    *,
    gentle: bool = False,
) -> tuple[Network, Network]:
    """Fine-tune `start` on every row given; goes on from `checkpoint` when there is one.

    `gentle` for a start that was fine-tuned before. The averaged network after MIDDLE of the budget and at the end, in
    evaluation mode. The same seed and rows give the same batches.
    """
    torch.manual_seed(seed)
    found = examples(rows, tokenizer)
    run = _Run(start, head_weights(found), checkpoint, budget, GENTLE if gentle else 1.0)
    with tqdm(total=budget, unit="piece", unit_scale=True, desc="encoder", mininterval=20) as progress:
        for batch in batches(found, random.Random(seed)):
            if run.spent >= budget:
                break
            before = run.spent
            loss = run.step(batch)
            progress.update(run.spent - before)
            if loss is not None:
                progress.set_postfix(loss=f"{loss:.3f}", refresh=False)
    return run.results()


class _Run:
    """The state of one training run: weights, their average, the optimiser, and how many word pieces were shown."""

    def __init__(self, network: Network, weights: torch.Tensor, checkpoint: Path, budget: int, pace: float) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = network
        self._network.to(self._device).train()
        self._network.words.weight.requires_grad_(False)  # a word that training never shows must keep its meaning
        self._weights = weights.to(self._device)
        self._average = _state(network.state_dict())
        self._middle: dict[str, torch.Tensor] = {}
        self._optimiser = _optimiser(network)
        self._checkpoint, self._budget, self._pace = checkpoint, budget, pace
        self._steps = self._done = self.spent = 0
        if checkpoint.exists():
            state = torch.load(checkpoint, map_location=self._device)
            self._network.load_state_dict(state["network"])
            self._optimiser.load_state_dict(state["optimiser"])
            self._average, self._middle, self._done = state["average"], state["middle"], state["done"]

    def step(self, batch: Sequence[Drawn]) -> float | None:
        """Learn from one batch, its loss; None for a batch that the checkpoint has behind it."""
        tokens, kinds, labels, weight, energy = _tensors(batch, self._device)
        self.spent += tokens.numel()
        self._steps += 1
        if self.spent <= self._done:
            return None
        for group in self._optimiser.param_groups:
            group["lr"] = group["peak"] * self._pace * _schedule(self.spent / self._budget)
        with torch.autocast(self._device.type, torch.bfloat16):
            logits = self._network(tokens, kinds)
        loss = loss_of(logits.float(), labels, weight * self._weights, energy)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
        self._optimiser.step()
        _average(self._average, self._network, min(AVERAGE, self._steps / (self._steps + 10)))
        if not self._middle and self.spent >= MIDDLE * self._budget:
            self._middle = _state(self._average)
        if self._steps % CHECKPOINT_STEPS == 0:
            self._save()
        return float(loss.item())

    def _save(self) -> None:
        state = {"network": self._network.state_dict(), "optimiser": self._optimiser.state_dict()}
        state |= {"average": self._average, "middle": self._middle}
        torch.save({**state, "done": self.spent}, self._checkpoint.with_suffix(".new"))
        self._checkpoint.with_suffix(".new").replace(self._checkpoint)

    def results(self) -> tuple[Network, Network]:
        """The averaged network in the middle and at the end."""
        return self._with(self._middle or self._average), self._with(self._average)

    def _with(self, weights: dict[str, torch.Tensor]) -> Network:
        network = copied(self._network)
        network.load_state_dict(weights)
        network.eval().cpu()
        return network


def batches(found: Sequence[Example], rng: random.Random) -> Iterator[list[Drawn]]:
    """Windows of like length, BATCH word pieces together, for ever; rows drawn by their share."""
    pool: list[Drawn] = []
    for example in in_turn(found, _chances, rng):
        pool.append(_draw(example, rng))
        if len(pool) == POOL:
            ready = list(_by_length(pool))
            rng.shuffle(ready)
            yield from ready
            pool = []


def in_turn(
    found: Sequence[Example],
    chances_of: Callable[[Mapping[str, Sequence[Example]]], Mapping[str, float]],
    rng: random.Random,
) -> Iterator[Example]:
    """For ever: a source by its chance, one of its kinds by the root of its rows, that kind's next row. `chances_of`
    gets the rows of each source."""
    decks: dict[str, dict[Kind, list[Example]]] = {}
    for example in found:
        decks.setdefault(example.set, {}).setdefault(example.kind, []).append(example)
    chances = chances_of({name: [each for deck in kinds.values() for each in deck] for name, kinds in decks.items()})
    names = list(chances)
    sources = list(accumulate(chances[name] for name in names))
    by_source = {
        name: (
            list(accumulate(len(deck) ** 0.5 * _weight(name, kind) for kind, deck in kinds.items())),
            [_cycle(deck, rng) for deck in kinds.values()],
        )
        for name, kinds in decks.items()
    }
    while True:
        (name,) = rng.choices(names, cum_weights=sources)
        weights, turns = by_source[name]
        (turn,) = rng.choices(turns, cum_weights=weights)
        yield next(turn)


def _weight(name: str, kind: Kind) -> float:
    return HARMLESS.get(name, 1.0) if kind[KINDS.index("unsafe")] == 0 else 1.0


def _cycle(deck: Sequence[Example], rng: random.Random) -> Iterator[Example]:
    while True:
        yield from rng.sample(deck, len(deck))


def _chances(found: Mapping[str, Sequence[Example]]) -> Mapping[str, float]:
    """By `mixture`."""
    return draws({name: _supply(rows) for name, rows in found.items()})


def _supply(rows: Sequence[Example]) -> Supply:
    mean = float(np.mean([_shown(example) for example in rows]))
    return Supply(len(rows), mean)


def _shown(example: Example) -> float:
    """About how many word pieces a draw of the example shows."""
    found = next(iter(example.pieces.values()))
    return float(np.mean([min(len(found.text) + len(found.context) // 2 + 3, length) for length in LENGTHS]))


def _draw(example: Example, rng: random.Random) -> Drawn:
    found = example.pieces[rng.choice(list(example.pieces))]
    length = rng.choice(LENGTHS)
    shown = length // 3 if rng.random() < KEEP_CONTEXT else 0  # of the context: most of a window is for the text
    found = Pieces(found.text, found.context[max(len(found.context) - shown, 0) :], found.reply)
    places = starts(found, length)
    first = len(places) == 1 or rng.random() < (FIRST if not example.harmless else 0.4)
    drawn = window(found, places[0] if first else rng.choice(places), length)
    hidden = np.random.default_rng(rng.getrandbits(32)).random(len(drawn.tokens)) < HIDE
    tokens = np.where(hidden & (drawn.tokens > MASK), MASK, drawn.tokens).astype(np.int32)
    return Drawn(Window(tokens, drawn.kinds), example)


def _by_length(pool: list[Drawn]) -> Iterator[list[Drawn]]:
    pool.sort(key=lambda drawn: len(drawn.window.tokens))
    start = 0
    while start < len(pool):
        stop = start + 1
        while stop < len(pool) and (stop + 1 - start) * len(pool[stop].window.tokens) <= BATCH:
            stop += 1
        yield pool[start:stop]
        start = stop


def _tensors(batch: Sequence[Drawn], device: torch.device) -> tuple[torch.Tensor, ...]:
    """Tokens, kinds, labels, label weights, and for the energy +1 a harmful, -1 a harmless row, 0 unknown."""
    width = max(len(drawn.window.tokens) for drawn in batch)
    tokens = np.zeros((2, len(batch), width), dtype=np.int64)
    for row, drawn in enumerate(batch):
        tokens[0, row, : len(drawn.window.tokens)] = drawn.window.tokens
        tokens[1, row, : len(drawn.window.kinds)] = drawn.window.kinds
    labels = np.stack([drawn.example.labels for drawn in batch])
    weights = np.stack([drawn.example.weights for drawn in batch])
    energy = np.array([drawn.example.harmful - drawn.example.harmless for drawn in batch], dtype=np.float32)
    return tuple(torch.from_numpy(array).to(device) for array in (tokens[0], tokens[1], labels, weights, energy))


def loss_of(logits: torch.Tensor, labels: torch.Tensor, weight: torch.Tensor, energy: torch.Tensor) -> torch.Tensor:
    each = functional.binary_cross_entropy_with_logits(logits, labels.clamp(min=0), reduction="none")
    harms = [column for column, slug in enumerate(HEADS) if slug in HARMS or slug == "unsafe"]
    total = logits[:, harms].logsumexp(1)
    margin = (energy < 0) * (total - ENERGY_LOW).relu() ** 2 + (energy > 0) * (ENERGY_HIGH - total).relu() ** 2
    return (each * weight).sum() / weight.sum().clamp(min=1) + ENERGY * margin.mean()


def head_weights(found: Sequence[Example]) -> torch.Tensor:
    """Thin heads count more for each label, the ones that matter most more still."""
    known = np.sum([example.weights == 1 for example in found], axis=0)
    weights = np.minimum((np.max(known) / (known + 1.0)) ** 0.25, MOST_WEIGHT)
    return torch.tensor(weights * [EMPHASIS.get(slug, 1.0) for slug in HEADS], dtype=torch.float32)


def _optimiser(network: Network) -> torch.optim.AdamW:
    fresh = [*network.hidden.parameters(), *network.out.parameters()]
    ids = {id(parameter) for parameter in fresh}
    body = [value for value in network.parameters() if value.requires_grad and id(value) not in ids]
    groups = [{"params": body, "peak": RATE}, {"params": fresh, "peak": HEAD_RATE}]
    return torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.98), weight_decay=0.01, fused=True)


def _schedule(share: float) -> float:
    """Linear up, level, linear down to a twentieth (Hu et al. 2024, arXiv 2404.06395): a run may be cut."""
    return min(share / WARM_UP, 1.0, max((1 - share) / FALL, 0.05))


def _state(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in weights.items()}


@torch.no_grad()  # type: ignore[untyped-decorator]
def _average(average: dict[str, torch.Tensor], network: Network, keep: float) -> None:
    mine = [value for name, value in average.items() if not name.startswith("words")]
    theirs = [value for name, value in network.state_dict().items() if not name.startswith("words")]
    torch._foreach_lerp_(mine, theirs, 1 - keep)
