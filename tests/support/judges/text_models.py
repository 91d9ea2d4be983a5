"""Small ONNX text classifiers with a tokenizer.json: each token adds what it weighs to each output.

Written by hand after the format of ONNX (a protocol buffer), because no small classifier with both files could be had
from the package index, and writing one needs no library.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import tokenizers
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_INT64, _FLOAT = 7, 1
_OPSET = 11


def write_tokenizer(path: Path, words: Iterable[str]) -> list[str]:
    """A tokenizer of these words; the pieces it knows, in order of their ids."""
    pieces = [*SPECIAL, *words]
    made = tokenizers.Tokenizer(WordLevel({piece: number for number, piece in enumerate(pieces)}, unk_token="[UNK]"))
    made.normalizer = Lowercase()
    made.pre_tokenizer = BertPreTokenizer()
    made.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    made.save(str(path))
    return pieces


def write_classifier(
    folder: Path, weights: Mapping[str, Sequence[float]], bias: Sequence[float], *, tokens: int = 0, input: str = ""
) -> tuple[Path, Path]:
    """A model whose outputs are `bias` plus the weights of the text's words, and its tokenizer; the two paths.

    `tokens`: the model insists on so many. `input` renames the input of ids.
    """
    tokenizer, model = folder / "tokenizer.json", folder / "model.onnx"
    pieces = write_tokenizer(tokenizer, weights)
    outputs = len(bias)
    rows = [weights.get(piece, (0.0,) * outputs) for piece in pieces]
    ids = input or "input_ids"
    nodes = [
        _node("Gather", ["table", ids], ["weights"]),
        _node("Cast", ["attention_mask"], ["mask"], _integer("to", _FLOAT)),
        _node("Unsqueeze", ["mask"], ["wide"], _integers("axes", [2])),
        _node("Mul", ["weights", "wide"], ["counted"]),
        _node("ReduceSum", ["counted"], ["sum"], _integers("axes", [1]) + _integer("keepdims", 0)),
        _node("Add", ["sum", "bias"], ["logits"]),
    ]
    graph = b"".join(_field(1, node) for node in nodes) + _field(2, b"tiny")
    graph += _field(5, _tensor("table", (len(rows), outputs), [value for row in rows for value in row]))
    graph += _field(5, _tensor("bias", (outputs,), bias))
    shape = (0, tokens)
    graph += _field(11, _value(ids, _INT64, shape)) + _field(11, _value("attention_mask", _INT64, shape))
    graph += _field(12, _value("logits", _FLOAT, (0, outputs)))
    model.write_bytes(_number(1, 7) + _field(7, graph) + _field(8, _number(2, _OPSET)))
    return model, tokenizer


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _field(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _node(kind: str, inputs: Sequence[str], outputs: Sequence[str], attributes: bytes = b"") -> bytes:
    named = b"".join(_field(1, name.encode()) for name in inputs) + b"".join(_field(2, n.encode()) for n in outputs)
    return named + _field(4, kind.encode()) + attributes


def _integer(name: str, value: int) -> bytes:
    return _field(5, _field(1, name.encode()) + _number(3, value) + _number(20, 2))


def _integers(name: str, values: Sequence[int]) -> bytes:
    return _field(5, _field(1, name.encode()) + b"".join(_number(8, value) for value in values) + _number(20, 7))


def _tensor(name: str, shape: Sequence[int], values: Sequence[float]) -> bytes:
    sizes = b"".join(_number(1, size) for size in shape)
    raw = struct.pack(f"<{len(values)}f", *values)
    return sizes + _number(2, _FLOAT) + _field(8, name.encode()) + _field(9, raw)


def _value(name: str, kind: int, shape: Sequence[int]) -> bytes:
    """A size of 0 is any."""
    sizes = b"".join(_field(1, _number(1, size) if size else _field(2, b"n")) for size in shape)
    return _field(1, name.encode()) + _field(2, _field(1, _number(1, kind) + _field(2, sizes)))
