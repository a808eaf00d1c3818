"""LiteRT: one signature for each granularity, named by it.

The converter stores tensors of equal bytes once, so signatures whose FFNs are
sums over the same blocks share them (`passes.blocks`). The metadata is the
buffer of the Metadata entry `edge_sdk_metadata`.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
from torch import Tensor, nn

from edge_sdk.artifact import SparseInfo
from edge_sdk.containers import KEY
from edge_sdk.errors import UnsupportedModel
from edge_sdk.exporters import tflite_file
from edge_sdk.exporters.passes.blocks import to_blocks
from edge_sdk.exporters.request import Lowered, Outputs, Request
from edge_sdk.exporters.toolchain import require, require_platform, versions
from edge_sdk.nn.matformer import extract

PLATFORMS = [("Linux", "x86_64"), ("Darwin", "arm64")]
_TYPES_IN_NAMES = re.compile(rb"[^/;]*\.[^/;._]*_")


class _Signature(nn.Module):
    """Takes inputs and gives outputs by name, which the converter keeps as they are."""

    def __init__(self, model: nn.Module, request: Request) -> None:
        super().__init__()
        self.model = Outputs(model, request.output_names)
        self.inputs, self.outputs = request.input_names, request.output_names

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        """Return the outputs by name."""
        values = self.model(*(inputs[name] for name in self.inputs))
        return dict(zip(self.outputs, values, strict=True))


class FlatModel:
    """A converted model as objects; its buffers are views of the converter's bytes."""

    def __init__(self, content: bytes, quantize: str, granularities: list[str]) -> None:
        self._model = tflite_file.read(content)
        for graph in self._model.subgraphs:
            for tensor in graph.tensors:
                # package.module.Class_attribute/... of every module on the way, some 260
                # bytes a tensor and a seventh of an int8 file; the attributes say enough.
                tensor.name = _TYPES_IN_NAMES.sub(b"", tensor.name or b"")
        self.coverage: dict[str, float | None] = dict.fromkeys(granularities)
        self.sparse: SparseInfo | None = None
        quantizer = ["ai-edge-quantizer"] if quantize == "int8" else []
        self.toolchain = versions(["litert-torch", "ai-edge-litert", *quantizer, "torch"])

    def compact(self, values: str) -> None:
        """Store weights with many zeros as sparse tensors; see `exporters.sparse.litert`."""
        from edge_sdk.exporters.sparse.litert import compact_litert
        from edge_sdk.exporters.sparse.report import Values, sparse_info

        content, report = compact_litert(tflite_file.pack(self._model),
                                         values=cast(Values, values))
        self._model = tflite_file.read(content)
        self.sparse = sparse_info(report, values)

    def write(self, path: Path, metadata: str) -> None:
        """Write the .tflite."""
        from ai_edge_litert import schema_py_generated as schema

        model = self._model
        buffers, entries = model.buffers, model.metadata
        buffer, entry = schema.BufferT(), schema.MetadataT()
        buffer.data = np.frombuffer(metadata.encode(), np.uint8)
        entry.name, entry.buffer = KEY, len(buffers)
        try:
            model.buffers, model.metadata = [*buffers, buffer], [*(entries or []), entry]
            content = tflite_file.pack(model)
        finally:
            model.buffers, model.metadata = buffers, entries
        with open(path, "wb") as file:
            file.write(content)


def lower(request: Request) -> Lowered:
    """Convert every granularity of `request` into one model.

    Raises:
        MissingDependency: litert-torch or ai-edge-quantizer is not installed.
        UnsupportedPlatform: litert-torch has no converter for this machine.
        UnsupportedModel: A quantization that this target does not have, or an
            operator that the converter does not know.
    """
    if request.quantize not in ("none", "int8"):
        raise UnsupportedModel("quantize none or int8", repr(request.quantize),
                               where="target litert",
                               hint="int8 quantizes weights and activations of every Linear")
    # First, because where there is no converter, pip can not install it either.
    require_platform("litert", PLATFORMS)
    request.report("loading LiteRT")
    with quiet():
        require("litert", ["litert_torch", "ai_edge_quantizer"])
    content = _convert(request)
    if request.quantize == "int8":
        request.report("quantizing to int8")
        content = _quantize(content)
    lowered = FlatModel(content, request.quantize, [g.name for g in request.granularities])
    if request.sparse != "none":
        lowered.compact(request.sparse)
    return lowered


def _convert(request: Request) -> bytes:
    import litert_torch

    sample = dict(zip(request.input_names, request.sample, strict=True))
    converter: Any = litert_torch
    for granularity in request.granularities:
        if request.elastic:
            model = to_blocks(request.model, granularity.widths, request.boundaries)
        else:
            model = extract(request.model, granularity.widths)
        module = _Signature(model, request).eval()
        converter = converter.signature(granularity.name, module, sample_kwargs=sample)
    request.report(f"converting {len(request.granularities)} signature(s)")
    try:
        with quiet():
            content: bytes = converter.convert(strict_export=False).model_content()
    except RuntimeError as error:
        raise UnsupportedModel("operators that litert-torch converts",
                               str(error).strip().splitlines()[0] if str(error) else repr(error),
                               where="target litert",
                               hint="try --target executorch or --target onnx") from error
    return content


def _quantize(content: bytes) -> bytes:
    """Return `content` with int8 weights, one scale a row, and activations quantized as they come.

    Only fully connected layers. With the convolutions of its stem quantized too,
    matvit-cifar10 agreed with fp32 on 98.8 % of the held-out images, below the 99 %
    that the other targets pass; and depthwise kernels are 4.5 times slower so.
    """
    from ai_edge_quantizer import quantizer
    from ai_edge_quantizer.qtyping import TFLOperationName

    tool = quantizer.Quantizer(content)
    tool.add_dynamic_config(".*", TFLOperationName.FULLY_CONNECTED, num_bits=8)
    with quiet():
        result = tool.quantize(enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the toolchain's progress lines, bars and deprecations off the terminal.

    All of them are written by Python; its C++ writes to stderr alone.
    """
    with contextlib.redirect_stdout(io.StringIO()), \
            contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
