"""The shipped encoder as a network to train on: its int8 codes times their scales."""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from detectors.training.encoder.bert import POSITIONS, Network


def dequantised(path: Path, start: Network) -> Network:
    """`start`, overwritten by the weights that `graph.export` wrote to `path`.

    Positions beyond the exported ones stay those of `start`. Raises KeyError for a file of another shape.
    """
    found = {item.name: numpy_helper.to_array(item) for item in onnx.load(str(path)).graph.initializer}
    state = start.state_dict()
    for name, value in state.items():
        state[name] = _weight(found, name, value)
    start.load_state_dict(state)
    return start


def _weight(found: dict[str, np.ndarray], name: str, value: torch.Tensor) -> torch.Tensor:
    part = name.removesuffix(".weight")
    if name.endswith(".weight") and f"{part}.codes" in found:
        codes, scale = found[f"{part}.codes"].astype(np.float32), found[f"{part}.scale"]
        # A table has one scale a row; a linear layer, stored transposed, one a column.
        exact = codes * scale if scale.ndim == 2 else (codes * scale).T
    else:
        exact = found[name]
    tensor = torch.from_numpy(np.ascontiguousarray(exact))
    if part == "positions" and len(tensor) < POSITIONS:
        return torch.cat((tensor, value[len(tensor) :]))
    return tensor
