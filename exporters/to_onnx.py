"""ONNX: one graph; an elastic one takes the number of blocks of each layer as an input.

The input `widths`, int64 of shape (n_layers,), says for each call and layer how
many blocks to run; block i ends at `boundaries[layer][i]`. An initializer of the
same name makes it optional: left out, all blocks run. Every weight is stored
once. The metadata is the model property `edge_sdk_metadata`.
"""

from __future__ import annotations

import hashlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_sdk.artifact import SparseInfo
from edge_sdk.containers import KEY, WIDTHS
from edge_sdk.errors import UnsupportedModel
from edge_sdk.exporters.passes.blocks import blocks
from edge_sdk.exporters.passes.conditional import to_conditional
from edge_sdk.exporters.request import Lowered, Outputs, Request
from edge_sdk.exporters.toolchain import require, versions
from edge_sdk.nn.matformer import extract, nested_ffns

PROTOBUF_BYTES = 1 << 31


class _Model:
    """A lowered graph with its weights, all in one protobuf."""

    def __init__(self, proto: Any, granularities: Sequence[str]) -> None:
        self._proto = proto
        # What the CPU provider runs is only known to the device that loads it.
        self.coverage: dict[str, float | None] = dict.fromkeys(granularities)
        self.sparse: SparseInfo | None = None
        self.toolchain = versions(["onnx", "onnxscript", "onnxruntime", "torch"])

    def compact(self, values: str) -> None:
        """Store weights with many zeros as gaps and values; see `exporters.sparse.onnx`."""
        import onnx

        from edge_sdk.exporters.sparse.onnx import compact_onnx
        from edge_sdk.exporters.sparse.report import Values, sparse_info

        content, report = compact_onnx(self._proto, values=cast(Values, values))
        self._proto = onnx.ModelProto.FromString(content)
        self.sparse = sparse_info(report, values)

    def write(self, path: Path, metadata: str) -> None:
        """Write the .onnx."""
        from onnx import helper

        helper.set_model_props(self._proto, {KEY: metadata})
        with open(path, "wb") as file:
            file.write(self._proto.SerializeToString(deterministic=True))


def lower(request: Request) -> Lowered:
    """Lower the one granularity of `request`, or all of them over shared weights.

    Raises:
        MissingDependency: onnx, onnxscript or onnxruntime is not installed.
        UnsupportedModel: A quantization that this target does not have, an
            operator that ONNX does not have, a tensor of the name `widths`, or
            weights beyond 2 GiB.
    """
    if request.quantize not in ("none", "int8"):
        raise UnsupportedModel("quantize none or int8", repr(request.quantize),
                               where="target onnx",
                               hint="int8 quantizes weights and activations of every Linear")
    if WIDTHS in (*request.input_names, *request.output_names):
        raise UnsupportedModel("other input and output names", repr(WIDTHS), where="target onnx",
                               hint="rename it: elastic files have an input of this name")
    n_bytes = sum(tensor.nbytes for tensor in request.model.state_dict().values())
    if n_bytes >= PROTOBUF_BYTES:
        raise UnsupportedModel("weights below 2 GiB, all that one protobuf file holds",
                               f"{n_bytes} bytes", where="target onnx",
                               hint="choose another target")
    request.report("loading ONNX")
    require("onnx", ["onnx", "onnxscript", "onnxruntime"])

    names, sample = list(request.input_names), request.sample
    if request.elastic:
        n_blocks = [len(cuts) for cuts in request.boundaries]
        model: nn.Module = to_conditional(request.model, request.boundaries)
        names.append(WIDTHS)
        sample = (*sample, torch.tensor(n_blocks))
    else:
        model = extract(request.model, request.granularities[0].widths)
    request.report("tracing and translating to ONNX")
    proto = _translate(Outputs(model, request.output_names).eval(), sample, names,
                       request.output_names)
    if request.quantize == "int8":
        request.report("quantizing to int8")
        proto = _quantize(proto)
        _demand_quantized(proto, _ffn_weights(request))
    if request.elastic:
        _make_optional(proto, n_blocks)
    lowered = _Model(proto, [granularity.name for granularity in request.granularities])
    if request.sparse != "none":
        lowered.compact(request.sparse)
    return lowered


def _translate(
    model: nn.Module, sample: tuple[Tensor, ...], input_names: Sequence[str],
    output_names: Sequence[str],
) -> Any:
    with _quiet():
        program = torch.export.export(model, sample, strict=False)
        try:
            exported = torch.onnx.export(
                program, sample, dynamo=True, verbose=False, input_names=input_names,
                output_names=output_names)
        except torch.onnx.errors.OnnxExporterError as error:
            raise UnsupportedModel("operators that ONNX has", str(error).splitlines()[0],
                                   where="target onnx",
                                   hint="replace the operator, or choose another target") from error
    assert exported is not None
    proto = exported.model_proto
    _strip(proto)
    return proto


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the toolchain prints, warns of and logs; errors still come as exceptions."""
    root, sink, before = logging.getLogger(), logging.NullHandler(), logging.root.manager.disable
    # Without a handler `logging.warning` would configure the root logger for good.
    root.addHandler(sink)
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
        root.removeHandler(sink)


def _strip(proto: Any) -> None:
    """Drop what only a debugger reads: it names this machine's folders, and outweighs small graphs.

    Shapes of inner tensors go too: runtimes infer them, and ONNX Runtime's
    quantizer dies of those that the exporter gives to initializers.
    """
    for graph in _graphs(proto.graph):
        del graph.value_info[:]
        for item in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
            item.ClearField("doc_string")
            item.ClearField("metadata_props")
    del proto.metadata_props[:]
    proto.ClearField("doc_string")


def _graphs(graph: Any) -> Iterator[Any]:
    """Yield `graph` and the branches within it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for branch in (attribute.g, *attribute.graphs):
                if branch.node:
                    yield from _graphs(branch)


def _make_optional(proto: Any, n_blocks: Sequence[int]) -> None:
    """Give the input `widths` its default, all blocks; it stays an input where none has several."""
    from onnx import TensorProto, helper, numpy_helper

    if not any(value.name == WIDTHS for value in proto.graph.input):
        proto.graph.input.append(
            helper.make_tensor_value_info(WIDTHS, TensorProto.INT64, [len(n_blocks)]))
    proto.graph.initializer.append(numpy_helper.from_array(np.array(n_blocks, np.int64), WIDTHS))


# --- int8 ----------------------------------------------------------------------------


def _quantize(proto: Any) -> Any:
    """Return `proto` with int8 weights, one scale a column, activations quantized as they come.

    Only products with weights: convolutions lose accuracy and speed in int8. The
    weights use 7 of the 8 bits: x86 processors without VNNI add pairs of products
    in 16 bits, and 8 bits saturate there without a word.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory(prefix="edge_sdk-") as folder, _quiet():
        path = Path(folder, "int8.onnx")
        quantize_dynamic(
            proto, path, op_types_to_quantize=["MatMul"], per_channel=True,
            reduce_range=True, weight_type=QuantType.QInt8,
            # Without it the weights used in branches silently stay fp32.
            extra_options={"EnableSubgraph": True})
        quantized = onnx.load(path)
    _strip(quantized)
    return quantized


def _ffn_weights(request: Request) -> dict[bytes, str]:
    """Return the name of each FFN weight of the lowered model by its sha256, either way round."""
    found = {}
    for layer, (name, ffn) in enumerate(nested_ffns(request.model).items()):
        if request.elastic:
            cuts = request.boundaries[layer]
            parts = blocks(ffn, cuts[-1], cuts)
        else:
            parts = [ffn.part(0, request.granularities[0].widths[layer])]
        for i, part in enumerate(parts):
            for key, weight in part.named_parameters():
                if weight.dim() == 2:
                    for either in (weight.detach(), weight.detach().T):
                        found[_sha256(either.numpy())] = f"{name}, block {i}, {key}"
    return found


def _demand_quantized(proto: Any, weights: dict[bytes, str]) -> None:
    """Check that none of `weights` is left fp32.

    Raises:
        UnsupportedModel: One is.
    """
    from onnx import TensorProto, numpy_helper

    for graph in _graphs(proto.graph):
        constants = [attribute.t for node in graph.node for attribute in node.attribute]
        for tensor in (*graph.initializer, *constants):
            if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) == 2:
                left = weights.get(_sha256(numpy_helper.to_array(tensor)))
                if left is not None:
                    raise UnsupportedModel(
                        "every FFN weight in int8", f"fp32 in tensor {tensor.name!r}", where=left,
                        hint="export with --quantize none, or report the model's structure")


def _sha256(array: NDArray[Any]) -> bytes:
    return hashlib.sha256(array.tobytes()).digest()
