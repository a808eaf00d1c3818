"""LiteRT: weights with many zeros as sparse tensors, which a DENSIFY rebuilds at load.

Each weight becomes a tensor in compressed rows (schema.fbs: SparsityParameters) and
a DENSIFY before the operator; int8 values get a DEQUANTIZE with a scale for each row
behind it. XNNPACK runs both once, when it prepares the model. A sparse tensor directly
on FULLY_CONNECTED gives NaN without an error, and a FULLY_CONNECTED that takes int8
weights from a DENSIFY beside float activations does not load: neither is ever written.

A column index takes one byte if the innermost axis is 256 long or shorter. LiteRT
divides by zero on a sparse axis that is cut into blocks, so a wider matrix for a single
row of inputs becomes a 1 x k convolution over k pieces of the row: the same products in
the same order. With more rows that is slower, so those keep the matrix, with two bytes
for an index.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import FormatError, UnsupportedModel
from edge_sdk.exporters import tflite_file
from edge_sdk.exporters.sparse.report import (
    LAYER_OVERHEAD,
    LEAST_ZEROS,
    FileReport,
    LayerReport,
    Values,
    check_options,
    demand_finite,
    file_report,
    left_dense,
    to_int8,
)
from edge_sdk.exporters.toolchain import require

_BYTE = 256
_SCALE_BYTES = 12  # float32 scale and int64 zero point of a row
_DEQUANTIZE_PER_CHANNEL = 5  # the operator's version


@dataclass(frozen=True)
class _Layout:
    """How a weight is stored: its shape, the axis within which entries are listed, bytes."""

    shape: tuple[int, ...]
    axis: int
    n_bytes: int

    @property
    def order(self) -> list[int]:
        return [i for i in range(len(self.shape)) if i != self.axis] + [self.axis]


@dataclass
class _Weight:
    """A buffer, its tensors, and the operators that use them; each as (graph, item)."""

    buffer: int
    tensors: list[tuple[Any, int]] = field(default_factory=list)
    operators: list[tuple[Any, Any]] = field(default_factory=list)
    plain: bool = True

    @property
    def first(self) -> Any:
        graph, index = self.tensors[0]
        return graph.tensors[index]


def compact_litert(
    tflite_bytes: bytes, *, values: Values = "float32", least_zeros: float = LEAST_ZEROS
) -> tuple[bytes, FileReport]:
    """Return a .tflite of the same outputs whose sparse weights take less room, and a report.

    Weights of FULLY_CONNECTED and CONV_2D are looked at. With float32 values the
    outputs are the dense file's, bit for bit where the engine's sums keep their order;
    with int8 values they are those of the rounded weights, and activations stay float.
    Metadata and signatures stay; a seal behind the file does not.

    Args:
        tflite_bytes: A float32 model.
        values: How entries are stored; int8 has a symmetric scale for each output row.
        least_zeros: Weights with a smaller share of zeros are left alone, as are
            those that would not get smaller.

    Raises:
        MissingDependency: ai-edge-litert is not installed.
        FormatError: No .tflite.
        UnsupportedModel: A quantized file, a compact one, weights that are not finite, or an option
            that does not exist.
    """
    check_options(values, least_zeros, "litert")
    require("litert", ["ai_edge_litert", "flatbuffers"])
    model = _read(tflite_bytes)
    file = _File(model)
    layers = [_compact(file, weight, values, least_zeros) for weight in _weights(model)]
    if all(layer["form"] == "dense" for layer in layers):
        return tflite_bytes, file_report("litert", layers, len(tflite_bytes), len(tflite_bytes))
    file.insert_operators()
    content = tflite_file.pack(model)
    return content, file_report("litert", layers, len(tflite_bytes), len(content))


def _read(content: bytes) -> Any:
    hint = "pass the bytes of a .tflite"
    if not tflite_file.is_tflite(content):
        raise FormatError("a .tflite", f"{len(content)} bytes without its identifier", hint=hint)
    try:
        return tflite_file.read(content)
    except Exception as error:  # the reader follows damaged offsets into any exception
        raise FormatError("a .tflite", "bytes of another structure", hint=hint) from error


# --- which weights -----------------------------------------------------------------


def _weights(model: Any) -> list[_Weight]:
    """Return the constant float32 weights of the operators looked at, in their order.

    Raises:
        UnsupportedModel: One of another type, or a sparse tensor.
    """
    from ai_edge_litert import schema_py_generated as schema

    if any(tensor.sparsity is not None for graph in model.subgraphs for tensor in graph.tensors):
        raise UnsupportedModel("a dense file", "a compact one", where="the .tflite",
                               hint="compact the dense file instead")
    found: dict[int, _Weight] = {}
    kinds = (schema.BuiltinOperator.FULLY_CONNECTED, schema.BuiltinOperator.CONV_2D)
    for graph in model.subgraphs:
        for operator in graph.operators:
            if model.operatorCodes[operator.opcodeIndex].builtinCode in kinds:
                tensor = graph.tensors[operator.inputs[1]]
                data = model.buffers[tensor.buffer].data
                if data is not None and data.size:
                    _demand_float(tensor, graph.tensors[operator.inputs[0]])
                    found.setdefault(tensor.buffer, _Weight(tensor.buffer))
    for graph in model.subgraphs:
        _collect_uses(model, graph, kinds, found)
    return list(found.values())


def _demand_float(weight: Any, activation: Any) -> None:
    from ai_edge_litert import schema_py_generated as schema

    if weight.type == schema.TensorType.FLOAT32:
        return
    names = {value: name for name, value in vars(schema.TensorType).items()}
    got = f"{names.get(weight.type, weight.type)} weights"
    if activation.type == schema.TensorType.FLOAT32:
        got += " beside float activations, which LiteRT does not load from a DENSIFY"
    raise UnsupportedModel("a float32 file", got, where=f"tensor {_name(weight)!r}",
                           hint="compact the float32 file with values='int8' instead")


def _collect_uses(
    model: Any, graph: Any, kinds: Sequence[int], found: dict[int, _Weight]
) -> None:
    """Note every tensor over a found buffer and who uses it; other uses make it not plain."""
    by_tensor: dict[int, _Weight] = {}
    for index, tensor in enumerate(graph.tensors):
        weight = found.get(tensor.buffer)
        if weight is not None:
            by_tensor[index] = weight
            weight.tensors.append((graph, index))
            weight.plain &= list(tensor.shape) == list(weight.first.shape)
    for index in (*graph.inputs, *graph.outputs):
        if index in by_tensor:
            by_tensor[index].plain = False
    for operator in graph.operators:
        kind = model.operatorCodes[operator.opcodeIndex].builtinCode
        for place, index in enumerate(operator.inputs):
            if index in by_tensor:
                by_tensor[index].plain &= place == 1 and kind in kinds
                by_tensor[index].operators.append((graph, operator))


def _name(tensor: Any) -> str:
    return (tensor.name or b"").decode(errors="replace")


# --- how they are stored -----------------------------------------------------------


def _compact(
    file: _File, found: _Weight, values: Values, least_zeros: float
) -> LayerReport:
    """Rewrite one weight if that makes it smaller."""
    data = file.model.buffers[found.buffer].data
    name = _name(found.first)
    weight = data.view(np.float32).reshape(found.first.shape)
    demand_finite(name, weight)
    report = left_dense(name, weight)
    if not found.plain or report["zeros"] < least_zeros * weight.size:
        return report
    entries: NDArray[Any] = weight
    scale = None
    if values == "int8":
        entries, scale = to_int8(weight, 0)
        scale = scale.ravel()
    if not entries.any():
        # One stored zero: a buffer without bytes would be no constant.
        kept = np.zeros(entries.shape, bool)
        kept.flat[0] = True
    else:
        kept = entries != 0
    n_kept = int(kept.sum())
    foldable = file.foldable(found)
    layout = min(_layouts(weight.shape, n_kept, entries.itemsize, foldable),
                 key=lambda layout: layout.n_bytes)
    n_bytes = layout.n_bytes + (_SCALE_BYTES * len(scale) if scale is not None else 0)
    if n_bytes + LAYER_OVERHEAD >= weight.nbytes:
        return report
    file.replace(found, layout, entries, kept, scale)
    report.update(entries=n_kept, form=f"densify {values}", bytes_after=n_bytes)
    return report


def _layouts(
    shape: tuple[int, ...], n_entries: int, value_bytes: int, foldable: bool
) -> list[_Layout]:
    """Return the ways to store `shape`, each as it is or with rows in equal pieces."""
    shapes = [shape]
    if foldable:
        n_rows, n_columns = shape
        piece = max(d for d in range(1, min(n_columns, _BYTE) + 1) if n_columns % d == 0)
        shapes.append((n_rows, 1, n_columns // piece, piece))
    found = []
    for candidate in shapes:
        # Of a folded matrix only the piece of a row.
        axes = range(len(candidate)) if candidate is shape else [len(candidate) - 1]
        for axis in axes:
            n_segments = math.prod(candidate) // candidate[axis]
            n_bytes = (n_entries * (value_bytes + _width(candidate[axis] - 1))
                       + (n_segments + 1) * _width(n_entries))
            found.append(_Layout(candidate, axis, n_bytes))
    return found


def _width(largest: int) -> int:
    """Return how many bytes the narrowest index vector that holds `largest` has an entry."""
    return 1 if largest < 1 << 8 else 2 if largest < 1 << 16 else 4


def _sparsity(layout: _Layout, kept: NDArray[np.bool_]) -> Any:
    """Return the SparsityParametersT of the True places in `kept`, given in layout order."""
    from ai_edge_litert import schema_py_generated as schema

    rows = kept.reshape(-1, kept.shape[-1])
    segments = np.concatenate([[0], np.cumsum(rows.sum(axis=1))])
    parameters = schema.SparsityParametersT()
    parameters.traversalOrder = np.array(layout.order, np.int32)
    parameters.dimMetadata = []
    for size in kept.shape[:-1]:
        dense = schema.DimensionMetadataT()
        dense.format, dense.denseSize = schema.DimensionType.DENSE, size
        parameters.dimMetadata.append(dense)
    sparse = schema.DimensionMetadataT()
    sparse.format, sparse.denseSize = schema.DimensionType.SPARSE_CSR, kept.shape[-1]
    sparse.arraySegmentsType, sparse.arraySegments = _indices(segments, int(segments[-1]))
    sparse.arrayIndicesType, sparse.arrayIndices = _indices(np.nonzero(rows)[1],
                                                            kept.shape[-1] - 1)
    parameters.dimMetadata.append(sparse)
    return parameters


def _indices(numbers: NDArray[np.int64], largest: int) -> tuple[int, Any]:
    from ai_edge_litert import schema_py_generated as schema

    kinds = {1: (np.uint8, schema.SparseIndexVector.Uint8Vector, schema.Uint8VectorT),
             2: (np.uint16, schema.SparseIndexVector.Uint16Vector, schema.Uint16VectorT),
             4: (np.int32, schema.SparseIndexVector.Int32Vector, schema.Int32VectorT)}
    dtype, kind, table = kinds[_width(largest)]
    vector = table()
    vector.values = numbers.astype(dtype)
    return kind, vector


# --- the file ----------------------------------------------------------------------


class _File:
    """A model to which tensors and operators are added."""

    def __init__(self, model: Any) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.model, self.schema = model, schema
        self._first: dict[int, list[Any]] = {i: [] for i in range(len(model.subgraphs))}
        self._after: dict[int, list[Any]] = {}
        self._before: dict[int, list[Any]] = {}

    def foldable(self, weight: _Weight) -> bool:
        """Return whether every use is a FULLY_CONNECTED of one row of static length."""
        kind = self.schema.BuiltinOperator.FULLY_CONNECTED
        shape = weight.first.shape
        for graph, operator in weight.operators:
            x = graph.tensors[operator.inputs[0]]
            dynamic = x.shapeSignature is not None and -1 in list(x.shapeSignature)
            if (self.model.operatorCodes[operator.opcodeIndex].builtinCode != kind or dynamic
                    or math.prod(x.shape) != shape[1] or len(operator.inputs) < 3
                    or operator.inputs[2] < 0):
                return False
        return True

    def replace(self, weight: _Weight, layout: _Layout, entries: NDArray[Any],
                kept: NDArray[np.bool_], scale: NDArray[np.float32] | None) -> None:
        """Store `entries` where `kept`, and rebuild them in each graph."""
        ordered = kept.reshape(layout.shape).transpose(layout.order)
        stored = entries.reshape(layout.shape).transpose(layout.order)[ordered]
        self.model.buffers[weight.buffer].data = np.frombuffer(stored.tobytes(), np.uint8)
        sparsity = _sparsity(layout, ordered)
        for graph, index in weight.tensors:
            dense = graph.tensors[index]
            dense.shape, dense.buffer = np.array(layout.shape, np.int32), 0
            dense.shapeSignature = None
            kind = self.schema.TensorType.FLOAT32
            if scale is not None:
                kind = self.schema.TensorType.INT8
            sparse = self._tensor(graph, layout.shape, kind, scale)
            graph.tensors[sparse].sparsity = sparsity
            graph.tensors[sparse].buffer = weight.buffer
            rebuild = self._first[self.model.subgraphs.index(graph)]
            if scale is None:
                rebuild.append(self._operator("DENSIFY", [sparse], index))
            else:
                middle = self._tensor(graph, layout.shape, kind, scale)
                rebuild.append(self._operator("DENSIFY", [sparse], middle))
                rebuild.append(self._operator("DEQUANTIZE", [middle], index,
                                              _DEQUANTIZE_PER_CHANNEL))
        if len(layout.shape) > len(kept.shape):
            for graph, operator in weight.operators:
                self._to_convolution(graph, operator, layout.shape)

    def insert_operators(self) -> None:
        """Put what was added in its place: first what rebuilds, then around what uses it."""
        for i, graph in enumerate(self.model.subgraphs):
            operators = self._first[i]
            for operator in graph.operators:
                operators += [*self._before.get(id(operator), []), operator,
                              *self._after.get(id(operator), [])]
            graph.operators = operators

    def _to_convolution(self, graph: Any, operator: Any, shape: tuple[int, ...]) -> None:
        """Turn a FULLY_CONNECTED of one row into a convolution over the row's pieces."""
        schema, kind = self.schema, self.schema.TensorType.FLOAT32
        n_rows, _, n_pieces, piece = shape
        x, weight, bias = (int(i) for i in operator.inputs[:3])
        y = int(operator.outputs[0])
        pieces = self._tensor(graph, (1, 1, n_pieces, piece), kind)
        result = self._tensor(graph, (1, 1, 1, n_rows), kind)
        self._before[id(operator)] = [self._reshape(graph, x, pieces)]
        self._after[id(operator)] = [self._reshape(graph, result, y)]
        options = schema.Conv2DOptionsT()
        options.padding = schema.Padding.VALID
        options.strideW = options.strideH = 1
        options.fusedActivationFunction = operator.builtinOptions.fusedActivationFunction
        operator.builtinOptionsType = schema.BuiltinOptions.Conv2DOptions
        operator.builtinOptions = options
        operator.opcodeIndex = self._code("CONV_2D", 1)
        operator.inputs = np.array([pieces, weight, bias], np.int32)
        operator.outputs = np.array([result], np.int32)

    def _reshape(self, graph: Any, source: int, target: int) -> Any:
        shape = np.array(graph.tensors[target].shape, np.int32)
        constant = self._tensor(graph, (len(shape),), self.schema.TensorType.INT32)
        buffer = self.schema.BufferT()
        buffer.data = np.frombuffer(shape.tobytes(), np.uint8)
        graph.tensors[constant].buffer = len(self.model.buffers)
        self.model.buffers.append(buffer)
        operator = self._operator("RESHAPE", [source, constant], target)
        operator.builtinOptionsType = self.schema.BuiltinOptions.ReshapeOptions
        operator.builtinOptions = self.schema.ReshapeOptionsT()
        operator.builtinOptions.newShape = shape
        return operator

    def _tensor(self, graph: Any, shape: Sequence[int], kind: int,
                scale: NDArray[np.float32] | None = None) -> int:
        """Add a tensor to `graph` and return its index."""
        tensor = self.schema.TensorT()
        tensor.name, tensor.buffer, tensor.type = b"", 0, kind
        tensor.shape = np.array(shape, np.int32)
        if scale is not None:
            quantization = self.schema.QuantizationParametersT()
            quantization.scale = scale
            quantization.zeroPoint = np.zeros(len(scale), np.int64)
            quantization.quantizedDimension = 0
            tensor.quantization = quantization
        graph.tensors.append(tensor)
        return len(graph.tensors) - 1

    def _operator(self, name: str, inputs: Sequence[int], output: int, version: int = 1) -> Any:
        operator = self.schema.OperatorT()
        operator.opcodeIndex = self._code(name, version)
        operator.inputs = np.array(inputs, np.int32)
        operator.outputs = np.array([output], np.int32)
        return operator

    def _code(self, name: str, version: int) -> int:
        """Return the index of an operator code, added if there is none."""
        kind = getattr(self.schema.BuiltinOperator, name)
        for i, code in enumerate(self.model.operatorCodes):
            if code.builtinCode == kind and code.version >= version:
                return i
        code = self.schema.OperatorCodeT()
        code.builtinCode = kind
        # What readers from before 2020 look at; it holds codes up to 127.
        code.deprecatedBuiltinCode = min(kind, 127)
        code.version = version
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1
