"""ONNX: weights with many zeros as gaps and values, which ONNX Runtime rebuilds at load.

A weight becomes the constants `gaps` (uint8 or uint16, from one stored entry to the
next in the flattened weight) and `values`, and standard operators rebuild it: CumSum of
the gaps gives the places, ScatterElements puts the values there. ONNX Runtime's constant
folding runs them once, when a session is made, so that latency and outputs are the dense
file's; with all optimizations switched off they run at every call, with the same result.

An entry takes 5 bytes (int8 values: 2). `sparse_initializer` takes 12, and allows no int8.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.containers import SEAL_KEY
from edge_sdk.errors import FormatError, UnsupportedModel
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

LARGEST_FOLDED_BYTES = 1 << 30
"""ONNX Runtime folds no operator whose output is larger, unless a session option says so."""

_LEAST_OPSET = 11  # CumSum and ScatterElements
_QUANTIZED = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Integer", "QLinear",
              "MatMulNBits", "QGemm", "QAttention")
_AXIS = "edge_sparse_axis"


def compact_onnx(
    model: Any, *, values: Values = "float32", least_zeros: float = LEAST_ZEROS
) -> tuple[bytes, FileReport]:
    """Return an .onnx of the same outputs whose sparse weights take less room, and a report.

    Weights of MatMul, Gemm and Conv are looked at, those used in branches too. They are
    rebuilt from gaps and values by operators of every opset since 11, once for each
    session, because that is the smallest of the forms that ONNX Runtime loads.
    `sparse_initializer` is 2.4 times as large, for its int64 indices, and as fast.

    With float32 values the rebuilt weights are the dense ones, bit for bit; with int8
    values they are rounded, and activations stay float. Metadata stays; a seal does not.

    Args:
        model: Bytes of an .onnx, or a ModelProto, which is left as it is.
        values: How entries are stored; int8 has a symmetric scale for each output row.
        least_zeros: Weights with a smaller share of zeros are left alone, as are
            those that would not get smaller.

    Raises:
        MissingDependency: onnx is not installed.
        FormatError: No .onnx.
        UnsupportedModel: A quantized or compact file, one before opset 11 or with external
            data, weights that are not finite, or an option that does not exist.
    """
    check_options(values, least_zeros, "onnx")
    require("onnx", ["onnx"])
    proto = _read(model)
    bytes_before = proto.ByteSize()
    _demand_plain(proto)
    axes = _row_axes(proto.graph)
    layers: list[LayerReport] = []
    constants: list[Any] = []
    nodes: list[Any] = []
    for tensor in proto.graph.initializer:
        if tensor.name not in axes:
            constants.append(tensor)
            continue
        rebuilt = _Rebuilt(f"edge_sparse_{len(layers)}", tensor)
        layers.append(rebuilt.compact(values, axes[tensor.name], least_zeros))
        constants += rebuilt.constants
        nodes += rebuilt.nodes
    if nodes:
        from onnx import numpy_helper

        constants.append(numpy_helper.from_array(np.array(0, np.int64), _AXIS))
        _replace(proto.graph.initializer, constants)
        _replace(proto.graph.node, [*nodes, *proto.graph.node])
    content: bytes = proto.SerializeToString(deterministic=True)
    return content, file_report("onnx", layers, bytes_before, len(content))


def _read(model: Any) -> Any:
    import onnx

    proto = onnx.ModelProto()
    if not isinstance(model, bytes):
        proto.CopyFrom(model)
    else:
        try:
            proto.ParseFromString(model)
        except Exception as error:  # protobuf's implementations differ in what they raise
            raise FormatError("an .onnx", "bytes of another structure",
                              hint="pass the bytes of an .onnx") from error
    if not proto.graph.node:
        raise FormatError("an .onnx with operators", "none", hint="pass the bytes of an .onnx")
    # It seals other bytes.
    _replace(proto.metadata_props, [p for p in proto.metadata_props if p.key != SEAL_KEY])
    return proto


def _replace(field: Any, items: Sequence[Any]) -> None:
    """Give a repeated field other messages, which may be some of its own."""
    copies = []
    for item in items:
        copy = type(item)()
        copy.CopyFrom(item)
        copies.append(copy)
    del field[:]
    field.extend(copies)


def _graphs(graph: Any) -> Iterator[Any]:
    """Yield `graph` and the branches within it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for branch in (attribute.g, *attribute.graphs):
                if branch.node or branch.output:
                    yield from _graphs(branch)


def _demand_plain(proto: Any) -> None:
    """Check that the file is one that the pass understands.

    Raises:
        UnsupportedModel: It is not.
    """
    from onnx import TensorProto

    opset = max((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")),
                default=0)
    if opset < _LEAST_OPSET:
        raise UnsupportedModel(f"opset {_LEAST_OPSET} or newer", str(opset), where="the .onnx",
                               hint="export with a newer opset")
    for graph in _graphs(proto.graph):
        for node in graph.node:
            if any(word in node.op_type for word in _QUANTIZED):
                raise UnsupportedModel(
                    "a float32 file", f"an operator {node.op_type}", where=f"node {node.name!r}",
                    hint="compact the float32 file with values='int8' instead")
        for tensor in graph.initializer:
            if tensor.data_location == TensorProto.EXTERNAL:
                raise UnsupportedModel("weights within the file", "external data",
                                       where=f"tensor {tensor.name!r}",
                                       hint="load it with onnx.load and pass the ModelProto")
            if tensor.name.startswith("edge_sparse_"):
                raise UnsupportedModel("a dense file", "a compact one",
                                       where=f"tensor {tensor.name!r}",
                                       hint="compact the dense file instead")


def _row_axes(graph: Any) -> dict[str, int | None]:
    """Return the weights to look at, each with the axis of its output rows.

    None where two uses differ. What is used in any other way is left out, and so is
    what a caller may override.
    """
    from onnx import TensorProto

    ranks = {tensor.name: len(tensor.dims) for tensor in graph.initializer
             if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) >= 2
             and 0 not in tensor.dims}
    used: dict[str, set[int]] = {}
    for inner in _graphs(graph):
        for value in (*inner.input, *inner.output):
            ranks.pop(value.name, None)
        for node in inner.node:
            for place, name in enumerate(node.input):
                if name in ranks:
                    axis = _row_axis(node, ranks[name]) if place == 1 else None
                    if axis is None:
                        del ranks[name]
                    else:
                        used.setdefault(name, set()).add(axis)
    return {name: next(iter(found)) if len(found) == 1 else None
            for name, found in used.items() if name in ranks}


def _row_axis(node: Any, rank: int) -> int | None:
    """Return the axis along which an operator's second input has its output rows."""
    if node.op_type == "Conv":
        return 0
    if node.op_type == "MatMul":
        return rank - 1
    if node.op_type == "Gemm":
        return 0 if any(a.name == "transB" and a.i for a in node.attribute) else 1
    return None


class _Rebuilt:
    """A weight as constants, and the operators that make it of them.

    Left alone, it is a constant without operators.
    """

    def __init__(self, prefix: str, tensor: Any) -> None:
        from onnx import numpy_helper

        self.prefix, self.name = prefix, tensor.name
        self.weight: NDArray[np.float32] = numpy_helper.to_array(tensor)
        self.constants, self.nodes = [tensor], list[Any]()

    def compact(self, values: Values, axis: int | None, least_zeros: float) -> LayerReport:
        """Find gaps and values, if these are smaller."""
        weight = self.weight
        demand_finite(self.name, weight)
        report = left_dense(self.name, weight)
        if report["zeros"] < least_zeros * weight.size or weight.nbytes > LARGEST_FOLDED_BYTES:
            return report
        flat: NDArray[Any] = weight
        scale = None
        if values == "int8":
            flat, scale = to_int8(weight, axis)
        gaps, stored = min((_gaps(flat.ravel(), dtype) for dtype in (np.uint8, np.uint16)),
                           key=lambda pair: pair[0].nbytes + pair[1].nbytes)
        n_bytes = gaps.nbytes + stored.nbytes + (0 if scale is None else scale.nbytes)
        if n_bytes + LAYER_OVERHEAD >= weight.nbytes:
            return report
        self._build(gaps, stored, scale)
        report.update(entries=len(stored), form=f"gaps {values}", bytes_after=n_bytes)
        return report

    def _build(self, gaps: NDArray[Any], stored: NDArray[Any],
               scale: NDArray[np.float32] | None) -> None:
        from onnx import TensorProto, helper, numpy_helper

        self.constants = []

        def constant(name: str, array: NDArray[Any]) -> str:
            self.constants.append(numpy_helper.from_array(array, f"{self.prefix}_{name}"))
            return f"{self.prefix}_{name}"

        def node(kind: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
            output = output or f"{self.prefix}_{len(self.nodes)}"
            self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
            return output

        kind = TensorProto.FLOAT if scale is None else TensorProto.INT8
        steps = node("Cast", [constant("gaps", gaps)], to=TensorProto.INT32)
        places = node("CumSum", [steps, _AXIS])
        size = constant("size", np.array([self.weight.size], np.int64))
        zeros = node("ConstantOfShape", [size], value=helper.make_tensor("", kind, [1], [0]))
        flat = node("ScatterElements", [zeros, places, constant("values", stored)], axis=0)
        shape = constant("shape", np.array(self.weight.shape, np.int64))
        if scale is None:
            node("Reshape", [flat, shape], self.name)
        else:
            # No DequantizeLinear: ONNX Runtime keeps it for its int8 operators, unfolded.
            as_float = node("Cast", [node("Reshape", [flat, shape])], to=TensorProto.FLOAT)
            node("Mul", [as_float, constant("scale", scale)], self.name)


def _gaps(flat: NDArray[Any], dtype: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the gaps from entry to entry of a flat weight, and the entries' values.

    The first gap is the first entry's place. A gap wider than `dtype` is bridged by
    stored zeros. Of a weight of zeros one is stored, at place 0.
    """
    widest = int(np.iinfo(dtype).max)
    places = np.flatnonzero(flat)
    if not places.size:
        places = np.array([0])
    steps = np.diff(places, prepend=0)
    bridges = np.maximum(steps - 1, 0) // widest
    at = np.arange(len(places)) + np.cumsum(bridges)
    gaps = np.full(at[-1] + 1, widest, dtype)
    gaps[at] = steps - widest * bridges
    values = np.zeros(len(gaps), flat.dtype)
    values[at] = flat[places]
    return gaps, values
