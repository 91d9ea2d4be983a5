"""A model file without its large weights, for a runtime that maps them from the file.

A table of word embeddings is over half of a text model, and a text touches a few of its rows. Read into memory, all of
it counts; mapped, only what occurred does, and the system can drop that again. So the graph is told apart from the
weights, and each of these becomes a reference into the file that it stands in (ONNX, `TensorProto.external_data`).

The wire format is that of protocol buffers: fields as (number, kind) and a value; only the five of ONNX named here are
looked into, all others are copied as they are.
"""

from collections.abc import Iterator
from mmap import mmap
from typing import NamedTuple

LEAST_BYTES = 32_768  # of a weight that is left in the file
_GRAPH, _INITIALIZER = 7, 5  # of ModelProto and GraphProto
_TYPE, _RAW, _EXTERNAL, _LOCATION = 2, 9, 13, 14  # of TensorProto
_BYTES = frozenset({2, 3})  # uint8 and int8, which may stand at any place; others would have to be aligned
_VARINT, _EIGHT, _LENGTH, _FOUR = 0, 1, 2, 5  # kinds

Buffer = bytes | mmap


class _Field(NamedTuple):
    """A field of a message: where it begins, where its value does, and where both end."""

    number: int
    start: int
    value: int
    end: int


def graph_of(model: Buffer, file_name: str) -> bytes:
    """The model with references into `file_name`, from which it was read. Raises ValueError for what is no model."""
    return b"".join(
        _framed(_GRAPH, _graph(model, field, file_name)) if field.number == _GRAPH else model[field.start : field.end]
        for field in _fields(model, 0, len(model))
    )


def _graph(model: Buffer, graph: _Field, file_name: str) -> bytes:
    return b"".join(
        _initializer(model, field, file_name)
        if field.number == _INITIALIZER and field.end - field.value >= LEAST_BYTES
        else model[field.start : field.end]
        for field in _fields(model, graph.value, graph.end)
    )


def _initializer(model: Buffer, tensor: _Field, file_name: str) -> bytes:
    fields = {field.number: field for field in _fields(model, tensor.value, tensor.end)}
    raw, kind = fields.get(_RAW), fields.get(_TYPE)
    if raw is None or kind is None or _varint(model, kind.value)[0] not in _BYTES:
        return model[tensor.start : tensor.end]
    before, behind = model[tensor.value : raw.start], model[raw.end : tensor.end]
    where = {"location": file_name, "offset": str(raw.value), "length": str(raw.end - raw.value)}
    entries = (_framed(1, name.encode()) + _framed(2, value.encode()) for name, value in where.items())
    told = b"".join(_framed(_EXTERNAL, entry) for entry in entries) + _encoded(_LOCATION << 3 | _VARINT) + _encoded(1)
    return _framed(_INITIALIZER, before + behind + told)


def _fields(data: Buffer, start: int, end: int) -> Iterator[_Field]:
    while start < end:
        key, value = _varint(data, start)
        kind, stop = key & 7, value
        if kind == _VARINT:
            _, stop = _varint(data, value)
        elif kind == _LENGTH:
            length, value = _varint(data, value)
            stop = value + length
        elif kind in (_EIGHT, _FOUR):
            stop = value + (8 if kind == _EIGHT else 4)
        else:
            raise ValueError(f"there is no kind {kind} of fields")
        if stop > end:
            raise ValueError("a field ends beyond the end of the file")
        yield _Field(key >> 3, start, value, stop)
        start = stop


def _varint(data: Buffer, place: int) -> tuple[int, int]:
    """A number in groups of seven bits, and where it ends."""
    value = shift = 0
    while place < len(data):
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7
    raise ValueError("a number ends beyond the end of the file")


def _encoded(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _framed(number: int, value: bytes) -> bytes:
    return _encoded(number << 3 | _LENGTH) + _encoded(len(value)) + value
