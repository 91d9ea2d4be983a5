"""The small BERT that is fine-tuned: all-MiniLM-L6-v2 in plain torch, read from its published safetensors file.

Devlin et al. 2018 (arXiv 1810.04805), post-norm, with query, key and value in one matrix.
"""

import json
import struct
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

LAYERS, WIDTH, INNER, ATTENTION_HEADS = 6, 384, 1536, 12
VOCABULARY, POSITIONS, KINDS = 30_522, 512, 2
EPSILON = 1e-12
HIDDEN = 256
DROPOUT = 0.1


class Layer(nn.Module):  # type: ignore[misc]  # torch is not in the environment of the checks
    """Self-attention and a feed-forward block, each with its residual and its norm."""

    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.Linear(WIDTH, 3 * WIDTH)
        self.merge = nn.Linear(WIDTH, WIDTH)
        self.norm1 = nn.LayerNorm(WIDTH, EPSILON)
        self.up = nn.Linear(WIDTH, INNER)
        self.down = nn.Linear(INNER, WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH, EPSILON)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        rows, length, _ = x.shape
        split = self.attend(x).view(rows, length, 3, ATTENTION_HEADS, WIDTH // ATTENTION_HEADS)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        # By hand: on a processor the fused kernel's backward pass takes a third of the whole step.
        scores = (query * (WIDTH // ATTENTION_HEADS) ** -0.5) @ key.transpose(2, 3)
        shares = (scores + mask.to(scores.dtype)).softmax(-1)
        mixed = (shares.to(value.dtype) @ value).transpose(1, 2).reshape(rows, length, WIDTH)
        x = self.norm1(x + self.merge(mixed))
        out: torch.Tensor = self.norm2(x + self.down(functional.gelu(self.up(x))))
        return out


class Network(nn.Module):  # type: ignore[misc]
    """Word pieces to one logit a head, read off the first position beside the mean of all.

    `padding` is the id of the piece that stands for nothing.
    """

    def __init__(self, heads: int, vocabulary: int = VOCABULARY, layers: int = LAYERS, padding: int = 0) -> None:
        super().__init__()
        self._padding = padding
        self.words = nn.Embedding(vocabulary, WIDTH)
        self.positions = nn.Embedding(POSITIONS, WIDTH)
        self.kinds = nn.Embedding(KINDS, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, EPSILON)
        self.layers = nn.ModuleList(Layer() for _ in range(layers))
        self.hidden = nn.Linear(2 * WIDTH, HIDDEN)
        self.out = nn.Linear(HIDDEN, heads)

    def forward(self, tokens: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
        """`tokens` and `kinds` [rows, length]; logits [rows, heads]."""
        there = tokens != self._padding
        x = self.words(tokens) + self.positions.weight[: tokens.shape[1]] + self.kinds(kinds)
        x = self.norm(x)
        mask = torch.zeros_like(there, dtype=x.dtype).masked_fill(~there, -1e4)[:, None, None, :]
        for layer in self.layers:
            x = layer(x, mask)
        share = there.to(x.dtype)[:, :, None]
        pooled = torch.cat((x[:, 0], (x * share).sum(1) / share.sum(1)), 1)
        pooled = functional.dropout(pooled, DROPOUT, self.training)
        out: torch.Tensor = self.out(functional.gelu(self.hidden(pooled)))
        return out


def pretrained(path: Path, heads: int) -> Network:
    """The published weights with fresh heads."""
    network = Network(heads)
    found = _read_safetensors(path)
    state = network.state_dict()
    for ours, theirs in _names().items():
        for end in ("weight", "bias"):
            if f"{ours}.{end}" in state:
                parts = [found[f"{name}.{end}"] for name in theirs]
                state[f"{ours}.{end}"] = torch.cat(parts) if len(parts) > 1 else parts[0]
    network.load_state_dict(state)
    return network


def copied(network: Network) -> Network:
    """The same weights once more."""
    return deepcopy(network)


def mean(networks: Sequence[Network], shares: Sequence[float]) -> Network:
    """The weighted mean of networks that have a common start (Wortsman et al. 2022, arXiv 2203.05482)."""
    out = copied(networks[0])
    with torch.no_grad():
        for mine, *theirs in zip(out.parameters(), *(network.parameters() for network in networks), strict=True):
            mine.copy_(sum(share * each for share, each in zip(shares, theirs, strict=True)) / sum(shares))
    return out


def _names() -> dict[str, tuple[str, ...]]:
    """Our name of a part → the published names that make it up."""
    names: dict[str, tuple[str, ...]] = {
        "words": ("embeddings.word_embeddings",),
        "positions": ("embeddings.position_embeddings",),
        "kinds": ("embeddings.token_type_embeddings",),
        "norm": ("embeddings.LayerNorm",),
    }
    for index in range(LAYERS):
        theirs = f"encoder.layer.{index}"
        names[f"layers.{index}.attend"] = tuple(f"{theirs}.attention.self.{part}" for part in ("query", "key", "value"))
        names[f"layers.{index}.merge"] = (f"{theirs}.attention.output.dense",)
        names[f"layers.{index}.norm1"] = (f"{theirs}.attention.output.LayerNorm",)
        names[f"layers.{index}.up"] = (f"{theirs}.intermediate.dense",)
        names[f"layers.{index}.down"] = (f"{theirs}.output.dense",)
        names[f"layers.{index}.norm2"] = (f"{theirs}.output.LayerNorm",)
    return names


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """The fp32 tensors of a safetensors file: eight bytes of header length, a JSON header, raw data."""
    raw = path.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + size])
    out = {}
    for name, entry in header.items():
        if entry.get("dtype") == "F32":
            start, stop = (8 + size + offset for offset in entry["data_offsets"])
            out[name] = torch.from_numpy(
                np.frombuffer(raw[start:stop], dtype=np.float32).reshape(entry["shape"]).copy()
            )
    return out
