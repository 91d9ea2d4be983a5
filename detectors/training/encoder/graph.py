"""The encoder as an ONNX graph, node by node: fp32, or int8 weights with activations quantised as they come.

Dynamic quantisation takes one scale for all activations of a run, so a run holds one window: no padding, no mask, and
a text's score cannot depend on its neighbours in a batch.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from detectors.trained.tokens import LENGTH
from detectors.training.encoder.bert import ATTENTION_HEADS, EPSILON, WIDTH, Network

OPSET = 20  # the first with Gelu
CONTRIB = "com.microsoft"  # operators that onnxruntime adds to the standard

Array = npt.NDArray[np.float32]

_SHAPES = {"split": [0, 0, ATTENTION_HEADS, WIDTH // ATTENTION_HEADS], "joined": [0, 0, WIDTH]}


def export(network: Network, path: Path, *, quantised: bool, length: int = LENGTH) -> None:
    """Write the graph: `tokens` and `kinds` [length] int32 in, at most `length`, and `logits` [heads] out."""
    builder = _Builder(network, quantised)
    builder.embed(length)
    for index in range(builder.layers):
        builder.layer(index)
    builder.read_out()
    graph = helper.make_graph(
        builder.nodes,
        "encoder",
        [helper.make_tensor_value_info(name, TensorProto.INT32, ["length"]) for name in ("tokens", "kinds")],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, network.out.out_features])],
        builder.constants,
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


class _Builder:
    """Collects nodes and constants; each method adds a stretch of the graph and names its output."""

    def __init__(self, network: Network, quantised: bool) -> None:
        self._weights = {name: value.float().numpy() for name, value in network.state_dict().items()}
        self._quantised = quantised
        self.layers = len(network.layers)
        self.nodes: list[NodeProto] = []
        self.constants = [
            numpy_helper.from_array(np.array(value, dtype=np.int64), name)
            for name, value in {
                "zero": [0],
                "one": [1],
                "first": 0,
                **({} if quantised else _SHAPES),
            }.items()
        ]
        if not quantised:
            self._constant("scale", np.array((WIDTH // ATTENTION_HEADS) ** -0.5))

    def embed(self, length: int) -> None:
        """The sum of word, position and kind, normed: `x`, [1, length, WIDTH]."""
        self._add("Unsqueeze", ["tokens", "zero"], "tokens_row")
        self._add("Unsqueeze", ["kinds", "zero"], "kinds_row")
        self._table("words", "tokens_row")
        self._constant("kinds.weight", self._weights["kinds.weight"])
        self._add("Gather", ["kinds.weight", "kinds_row"], "kinds_found")
        self._constant("positions.weight", self._weights["positions.weight"][:length])
        self._add("Shape", ["tokens"], "length")
        self._add("Slice", ["positions.weight", "zero", "length", "zero"], "places")
        self._add("Add", ["words_found", "kinds_found"], "meant")
        self._add("Add", ["meant", "places"], "placed")
        self._norm("norm", "placed", "x0")

    def layer(self, index: int) -> None:
        """One layer: `x{index}` to `x{index + 1}`."""
        p, x = f"layers.{index}", f"x{index}"
        (self._attend_quantised if self._quantised else self._attend)(p, x)
        self._linear(f"{p}.merge", f"{p}.merged", f"{p}.attended")
        self._add("Add", [x, f"{p}.attended"], f"{p}.sum1")
        self._norm(f"{p}.norm1", f"{p}.sum1", f"{p}.middle")
        self._linear(f"{p}.up", f"{p}.middle", f"{p}.wide")
        self._add("Gelu", [f"{p}.wide"], f"{p}.bent")
        self._linear(f"{p}.down", f"{p}.bent", f"{p}.narrow")
        self._add("Add", [f"{p}.middle", f"{p}.narrow"], f"{p}.sum2")
        self._norm(f"{p}.norm2", f"{p}.sum2", f"x{index + 1}")

    def _attend(self, p: str, x: str) -> None:
        """Every position looks at all: `x` to `{p}.merged`."""
        self._linear(f"{p}.attend", x, f"{p}.all")
        self._add("Split", [f"{p}.all"], f"{p}.query", f"{p}.key", f"{p}.value", axis=2, num_outputs=3)
        for part, order in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])):
            self._add("Reshape", [f"{p}.{part}", "split"], f"{p}.{part}.parts")
            self._add("Transpose", [f"{p}.{part}.parts"], f"{p}.{part}.heads", perm=order)
        self._add("MatMul", [f"{p}.query.heads", f"{p}.key.heads"], f"{p}.match")
        self._add("Mul", [f"{p}.match", "scale"], f"{p}.scaled")
        self._add("Softmax", [f"{p}.scaled"], f"{p}.shares", axis=-1)
        self._add("MatMul", [f"{p}.shares", f"{p}.value.heads"], f"{p}.mixed")
        self._add("Transpose", [f"{p}.mixed"], f"{p}.turned", perm=[0, 2, 1, 3])
        self._add("Reshape", [f"{p}.turned", "joined"], f"{p}.merged")

    def _attend_quantised(self, p: str, x: str) -> None:
        """The same, to the bit, in one operator that copies nothing about: 4 to 8 % of a run less."""
        codes, scale, bias = self._coded(f"{p}.attend")
        self._add("DynamicQuantizeLinear", [x], f"{p}.x.codes", f"{p}.x.scale", f"{p}.x.zero")
        inputs = [f"{p}.x.codes", codes, bias, f"{p}.x.scale", scale, "", f"{p}.x.zero"]
        self._add("QAttention", inputs, f"{p}.merged", domain=CONTRIB, num_heads=ATTENTION_HEADS)

    def read_out(self) -> None:
        """The first position beside the mean of all, the hidden layer, `logits`; in fp32, for they cost nothing."""
        last = f"x{self.layers}"
        self._add("Gather", [last, "first"], "top", axis=1)
        self._add("ReduceMean", [last, "one"], "mean", keepdims=0)
        self._add("Concat", ["top", "mean"], "pooled", axis=1)
        for name, source, target in (("hidden", "pooled", "hidden_out"), ("out", "hidden_bent", "logits")):
            self._constant(f"{name}.weight", self._weights[f"{name}.weight"])
            self._constant(f"{name}.bias", self._weights[f"{name}.bias"])
            self._add("Gemm", [source, f"{name}.weight", f"{name}.bias"], target, transB=1)
            if name == "hidden":
                self._add("Gelu", ["hidden_out"], "hidden_bent")

    def _linear(self, name: str, source: str, target: str) -> None:
        if self._quantised:
            codes, scale, bias = self._coded(name)
            self._add("DynamicQuantizeMatMul", [source, codes, scale, "", bias], target, domain=CONTRIB)
        else:
            self._constant(f"{name}.bias", self._weights[f"{name}.bias"])
            self._constant(f"{name}.weight", self._weights[f"{name}.weight"].T)
            self._add("MatMul", [source, f"{name}.weight"], f"{target}.product")
            self._add("Add", [f"{target}.product", f"{name}.bias"], target)

    def _coded(self, name: str) -> tuple[str, str, str]:
        """The names of a linear layer's codes, scales and biases, which become constants."""
        self._constant(f"{name}.bias", self._weights[f"{name}.bias"])
        codes, scale = _codes(self._weights[f"{name}.weight"].T, axis=0)
        self.constants.append(numpy_helper.from_array(codes, f"{name}.codes"))
        self._constant(f"{name}.scale", scale)
        return f"{name}.codes", f"{name}.scale", f"{name}.bias"

    def _table(self, name: str, source: str) -> None:
        table = self._weights[f"{name}.weight"]
        if self._quantised:
            codes, scale = _codes(table, axis=1)
            self.constants.append(numpy_helper.from_array(codes, f"{name}.codes"))
            self._constant(f"{name}.scale", scale[:, None])
            self._add("Gather", [f"{name}.codes", source], f"{name}_codes")
            self._add("Gather", [f"{name}.scale", source], f"{name}_scale")
            self._add("Cast", [f"{name}_codes"], f"{name}_float", to=TensorProto.FLOAT)
            self._add("Mul", [f"{name}_float", f"{name}_scale"], f"{name}_found")
        else:
            self._constant(f"{name}.weight", table)
            self._add("Gather", [f"{name}.weight", source], f"{name}_found")

    def _norm(self, name: str, source: str, target: str) -> None:
        self._constant(f"{name}.weight", self._weights[f"{name}.weight"])
        self._constant(f"{name}.bias", self._weights[f"{name}.bias"])
        inputs = [source, f"{name}.weight", f"{name}.bias"]
        self._add("LayerNormalization", inputs, target, axis=-1, epsilon=EPSILON)

    def _constant(self, name: str, value: npt.NDArray[np.floating]) -> None:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value, dtype=np.float32), name))

    def _add(self, kind: str, inputs: list[str], *outputs: str, domain: str = "", **attributes: object) -> None:
        self.nodes.append(helper.make_node(kind, inputs, list(outputs), domain=domain, **attributes))


def _codes(weight: Array, axis: int) -> tuple[npt.NDArray[np.int8], Array]:
    """Symmetric int8 codes and the scale of each column (axis 0) or row (axis 1)."""
    scale = np.maximum(np.abs(weight).max(axis=axis), 1e-8) / 127
    codes = np.rint(weight / np.expand_dims(scale, axis)).astype(np.int8)
    return np.ascontiguousarray(codes), scale.astype(np.float32)
