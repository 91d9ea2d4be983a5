"""The hashed n-gram network: trained in torch, exported as ONNX with an int8 table.

fastText's bag of hashed n-grams (Joulin et al. 2016, arXiv 1607.01759) with one shared table for all heads, a
linear path and a small hidden layer, masked binary cross-entropy, and features dropped at random.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.nn import functional
from tqdm import tqdm

from detectors.trained.features import BLOCKS, BUCKETS, Indices, arrays, windows
from detectors.training.data import HEADS, Row

WIDTH = 24  # columns of the table
HIDDEN = 64
EPOCHS = 4
BATCH = 256
RATE = 4e-3
KEEP = 0.5  # share of n-grams seen in a step
KEEP_CONTEXT = 0.7  # share of replies that show their prompt in a step

Weights = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Example:
    """One window of one row: non-zero buckets of each block, labels with -1 for unknown, the roles it may take."""

    blocks: tuple[Indices, ...]
    labels: npt.NDArray[np.int8]
    roles: tuple[str, ...]


def examples(rows: Sequence[Row]) -> list[Example]:
    """The first window of every row."""
    slugs = list(HEADS)
    out = []
    rows = [row for row in rows if windows(row.as_text(row.roles[-1]))]
    for start in tqdm(range(0, len(rows), 64), desc="n-grams", unit="batch", mininterval=5):
        chunk = rows[start : start + 64]
        inputs = arrays([windows(row.as_text(row.roles[-1]))[0] for row in chunk])
        for position, row in enumerate(chunk):
            blocks = tuple(inputs[name][position] for name in BLOCKS)
            labels = np.array([row.labels.get(slug, -1) for slug in slugs], dtype=np.int8)
            out.append(Example(tuple(block[block > 0] for block in blocks), labels, row.roles))
    return out


def initial(generator: torch.Generator) -> Weights:
    """Small random tables and zero outputs."""
    inputs = 2 * 2 * WIDTH + WIDTH + 1
    shapes = {
        "table": (BUCKETS, WIDTH),
        "linear": (inputs, len(HEADS)),
        "hidden": (inputs, HIDDEN),
        "hidden_bias": (HIDDEN,),
        "out": (HIDDEN, len(HEADS)),
        "out_bias": (len(HEADS),),
    }
    scale = {"table": 0.05, "linear": 0.3, "hidden": 0.3, "out": 0.1, "hidden_bias": 0.0, "out_bias": 0.0}
    return {
        name: (torch.randn(shape, generator=generator) * scale[name]).requires_grad_() for name, shape in shapes.items()
    }


def logits(weights: Weights, bags: list[tuple[torch.Tensor, torch.Tensor]], role: torch.Tensor) -> torch.Tensor:
    """Forward pass: `bags` are (buckets, offsets) of words, grams and context; `role` is 1 for a reply."""
    pooled = []
    for buckets, offsets in bags:
        total = functional.embedding_bag(buckets, weights["table"], offsets, mode="sum")
        sizes = torch.diff(offsets, append=torch.tensor([len(buckets)]))
        pooled.append(total / sizes.clamp(min=1).sqrt()[:, None])
    words, grams, context = pooled
    reply = role[:, None]
    text = torch.cat((words, grams), 1)
    joined = torch.cat((text, text * reply, context * reply, reply), 1)
    hidden = torch.relu(joined @ weights["hidden"] + weights["hidden_bias"])
    return joined @ weights["linear"] + hidden @ weights["out"] + weights["out_bias"]


def train(rows: Sequence[Row], seed: int) -> Weights:
    """Train on every row given; the same seed and rows give the same weights on the same machine."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    rng = random.Random(seed)
    found = examples(rows)
    known = np.stack([example.labels for example in found])
    positive, negative = (known == 1).sum(0), (known == 0).sum(0)
    head_weight = torch.tensor(((positive + negative).max() / (positive + negative + 1.0)) ** 0.35)
    positive_weight = torch.tensor(np.clip((negative / (positive + 1.0)) ** 0.5, 0.5, 5.0))
    weights = initial(generator)
    optimiser = torch.optim.Adam(list(weights.values()), lr=RATE, betas=(0.9, 0.99))
    steps = EPOCHS * (len(found) // BATCH + 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=0.1)
    for epoch in range(EPOCHS):
        progress = tqdm(batches(found, rng), desc=f"epoch {epoch + 1}/{EPOCHS}", mininterval=10)
        for bags, role, labels in progress:
            optimiser.zero_grad(set_to_none=True)
            scores = logits(weights, bags, role)
            loss = functional.binary_cross_entropy_with_logits(
                scores, labels.clamp(min=0), reduction="none", pos_weight=positive_weight
            )
            mask = labels >= 0
            total = (loss * mask * head_weight).sum() / (mask * head_weight).sum().clamp(min=1)
            total.backward()
            optimiser.step()
            schedule.step()
            progress.set_postfix(loss=f"{total.item():.3f}", refresh=False)
    return {name: value.detach() for name, value in weights.items()}


def batches(
    found: Sequence[Example], rng: random.Random
) -> Iterator[tuple[list[tuple[torch.Tensor, torch.Tensor]], torch.Tensor, torch.Tensor]]:
    """One epoch in random order; n-grams, context and the role of a post are drawn anew each time."""
    order = list(range(len(found)))
    rng.shuffle(order)
    draws = np.random.default_rng(rng.getrandbits(32))
    for start in range(0, len(order), BATCH):
        chunk = [found[position] for position in order[start : start + BATCH]]
        replies = [rng.choice(example.roles) == "response" for example in chunk]
        bags = []
        for block, name in enumerate(BLOCKS):
            shown = [
                example.blocks[block]
                if name != "context" or (reply and rng.random() < KEEP_CONTEXT)
                else example.blocks[block][:0]
                for example, reply in zip(chunk, replies, strict=True)
            ]
            bags.append(_bag(shown, draws))
        labels = np.stack([example.labels for example in chunk]).astype(np.float32)
        yield bags, torch.tensor(replies, dtype=torch.float32), torch.from_numpy(labels)


def _bag(shown: list[Indices], draws: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    flat = np.concatenate(shown)
    row = np.repeat(np.arange(len(shown)), [len(block) for block in shown])
    kept = draws.random(len(flat), dtype=np.float32) < KEEP
    sizes = np.bincount(row[kept], minlength=len(shown))
    return torch.from_numpy(flat[kept]), torch.from_numpy((np.cumsum(sizes) - sizes).astype(np.int32))


def export(weights: Weights, slugs: Sequence[str], path: Path) -> None:
    """Write the ONNX file for the heads in `slugs`; the table in int8 with one scale a column.

    Bags are summed in int32, so a text's score does not depend on the batch it came in.
    """
    graph = helper.make_graph(
        _nodes(),
        "ngram",
        [
            *(helper.make_tensor_value_info(name, TensorProto.INT32, ["texts", name]) for name in BLOCKS),
            helper.make_tensor_value_info("role", TensorProto.FLOAT, ["texts", 1]),
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["texts", len(slugs)])],
        [numpy_helper.from_array(value, name) for name, value in _constants(weights, slugs).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _constants(weights: Weights, slugs: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    table = weights["table"].numpy()
    scale = np.quantile(np.abs(table), 0.9999, axis=0) / 127
    codes = np.clip(np.rint(table / scale), -127, 127).astype(np.int8)
    codes[0] = 0
    heads = [list(HEADS).index(slug) for slug in slugs]
    constants = {
        "table": codes,
        "scale": scale.astype(np.float32),
        "hidden": weights["hidden"].numpy(),
        "hidden_bias": weights["hidden_bias"].numpy(),
        "linear": weights["linear"].numpy()[:, heads],
        "out": weights["out"].numpy()[:, heads],
        "out_bias": weights["out_bias"].numpy()[heads],
        "zero": np.array(0, dtype=np.int32),
        "one": np.array(1, dtype=np.float32),
        "axis": np.array([1], dtype=np.int64),
    }
    return {name: np.ascontiguousarray(value) for name, value in constants.items()}


def _nodes() -> list[onnx.NodeProto]:
    return [
        *(node for name in BLOCKS for node in _bag_nodes(name)),
        helper.make_node("Concat", ["words_mean", "grams_mean"], ["text"], axis=1),
        helper.make_node("Mul", ["text", "role"], ["text_reply"]),
        helper.make_node("Mul", ["context_mean", "role"], ["context_reply"]),
        helper.make_node("Concat", ["text", "text_reply", "context_reply", "role"], ["joined"], axis=1),
        helper.make_node("Gemm", ["joined", "hidden", "hidden_bias"], ["before"]),
        helper.make_node("Relu", ["before"], ["after"]),
        helper.make_node("Gemm", ["after", "out", "out_bias"], ["deep"]),
        helper.make_node("MatMul", ["joined", "linear"], ["wide"]),
        helper.make_node("Add", ["deep", "wide"], ["logits"]),
    ]


def _bag_nodes(name: str) -> list[onnx.NodeProto]:
    """Sum of the table's rows for one block, over the square root of how many there are."""
    return [
        helper.make_node("Gather", ["table", name], [f"{name}_codes"]),
        helper.make_node("Cast", [f"{name}_codes"], [f"{name}_int"], to=TensorProto.INT32),
        helper.make_node("ReduceSum", [f"{name}_int", "axis"], [f"{name}_sum"], keepdims=0),
        helper.make_node("Cast", [f"{name}_sum"], [f"{name}_float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}_float", "scale"], [f"{name}_scaled"]),
        helper.make_node("Greater", [name, "zero"], [f"{name}_there"]),
        helper.make_node("Cast", [f"{name}_there"], [f"{name}_ones"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", [f"{name}_ones", "axis"], [f"{name}_count"], keepdims=1),
        helper.make_node("Max", [f"{name}_count", "one"], [f"{name}_size"]),
        helper.make_node("Sqrt", [f"{name}_size"], [f"{name}_root"]),
        helper.make_node("Div", [f"{name}_scaled", f"{name}_root"], [f"{name}_mean"]),
    ]
