"""Weights that stay in their file: what is told of the model without them, and that nothing else changes."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from detectors.manifest import MODELS, ModelError
from detectors.trained.onnx import Model
from detectors.trained.weights import LEAST_BYTES, graph_of

ENCODER = MODELS / "encoder.onnx"


def test_the_large_weights_are_left_in_the_file() -> None:
    whole = ENCODER.read_bytes()
    graph = graph_of(whole, ENCODER.name)
    assert len(graph) < len(whole) / 10
    assert ENCODER.name.encode() in graph


def test_a_model_says_the_same_without_them(tmp_path: Path) -> None:
    link = tmp_path / "link.onnx"  # as where files are mounted
    link.symlink_to(ENCODER)
    inputs = {"tokens": np.arange(1_000, 1_050, dtype=np.int32), "kinds": np.zeros(50, dtype=np.int32)}
    whole = onnxruntime.InferenceSession(str(ENCODER), providers=["CPUExecutionProvider"]).run(None, inputs)[0]
    assert np.array_equal(Model(ENCODER).run(inputs), whole)
    assert np.array_equal(Model(link).run(inputs), whole)


def test_small_weights_and_what_is_unknown_are_copied() -> None:
    def field(number: int, value: bytes) -> bytes:
        return bytes([number << 3 | 2, len(value) & 127 | 128, len(value) >> 7]) + value

    small = field(5, b"\x10\x03" + field(9, b"w" * 100))
    other = field(5, b"\x10\x01" + field(9, b"w" * 100))
    strange = b"\x7d\x01\x02\x03\x04" + b"\x79" + bytes(8) + b"\x78\x96\x01"
    model = b"\x08\x07" + field(7, small + other + strange) + strange
    assert len(small) < LEAST_BYTES
    assert graph_of(model, "model.onnx") == model


@pytest.mark.parametrize("data", [b"", b"\x3a\xff", b"\x3a\x05abc", b"\x0f", b"no model at all", b"\xff" * 40])
def test_what_is_no_model_is_refused(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(data)
    with pytest.raises(ModelError, match=r"model\.onnx: onnxruntime cannot load it"):
        Model(file)


@pytest.mark.parametrize("data", [b"\x3a\xff", b"\x3a\x05abc", b"\x0f", b"\xff" * 40])
def test_a_damaged_message_is_told(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"behind the end|beyond the end|no kind"):
        graph_of(data, "model.onnx")
