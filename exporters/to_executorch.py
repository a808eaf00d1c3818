"""ExecuTorch: one method for each granularity, lowered to XNNPACK.

Constants are stored by the sha256 of whole tensors, so methods whose FFNs are
sums over the same blocks share them (`passes.blocks`). The metadata is the
string that the constant method `edge_sdk_metadata` returns.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edge_sdk.artifact import SparseInfo
from edge_sdk.containers import KEY
from edge_sdk.errors import UnsupportedModel
from edge_sdk.exporters.passes.blocks import to_blocks
from edge_sdk.exporters.request import Lowered, Outputs, Request
from edge_sdk.exporters.toolchain import require, versions
from edge_sdk.nn.matformer import extract


class Program:
    """A lowered program; its constant methods are emitted anew at each `write`."""

    def __init__(
        self, executorch: Any, coverage: dict[str, float | None], sparse: SparseInfo | None = None,
    ) -> None:
        self._executorch = executorch
        self.coverage, self.sparse = coverage, sparse
        self.toolchain = versions(["executorch", "torch", "torchao"])

    def write(self, path: Path, metadata: str) -> None:
        """Write the .pte."""
        from executorch.exir.program._program import ExecutorchProgramManager

        # The public way to set a constant method lowers every granularity again,
        # some ten seconds each; emission alone takes a tenth of a second.
        program = ExecutorchProgramManager(
            self._executorch._execution_programs, {KEY: metadata}, None,
            self._executorch._named_data,
        )
        with open(path, "wb") as file:
            program.write_to_file(file)


def lower(request: Request) -> Lowered:
    """Lower every granularity of `request` into one program.

    Raises:
        MissingDependency: ExecuTorch or torchao is not installed.
        UnsupportedModel: A quantization that this target does not have.
    """
    request.report("loading ExecuTorch")
    require("executorch", ["executorch.exir", "torchao"])
    if request.sparse != "none":
        from edge_sdk.exporters.sparse.executorch import lower_request

        return lower_request(request)
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.devtools.backend_debug import get_delegation_info
    from executorch.exir import to_edge_transform_and_lower

    programs = {}
    for granularity in request.granularities:
        request.report(f"tracing {granularity.name}")
        if request.elastic:
            model = to_blocks(request.model, granularity.widths, request.boundaries)
        else:
            model = extract(request.model, granularity.widths)
        if request.quantize != "none":
            model = _quantize(model, request.quantize)
        wrapped = Outputs(model, request.output_names).eval()
        programs[granularity.name] = torch.export.export(wrapped, request.sample, strict=False)
    request.report(f"lowering {len(programs)} method(s) to XNNPACK")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        edge = to_edge_transform_and_lower(
            programs, partitioner={name: [XnnpackPartitioner()] for name in programs},
        )
        coverage = {name: _coverage(get_delegation_info(
            edge.exported_program(name).graph_module)) for name in programs}
        request.report("emitting the program")
        return Program(edge.to_executorch(), coverage)


def _coverage(info: Any) -> float | None:
    nodes = info.num_delegated_nodes + info.num_non_delegated_nodes
    return info.num_delegated_nodes / nodes if nodes else None


def _quantize(model: nn.Module, quantize: str) -> nn.Module:
    """Return `model` with int8 weights, one scale a row, and activations quantized as they come.

    Weight-only int8 is refused: XNNPACK runs it without an error and computes
    something else (measured: a relative error of 1,770).
    """
    if quantize != "int8":
        raise UnsupportedModel("quantize none or int8", repr(quantize), where="target executorch",
                               hint="int8 quantizes weights and activations of every Linear")
    from torchao.quantization import Int8DynamicActivationIntxWeightConfig, quantize_
    from torchao.quantization.granularity import PerAxis

    quantize_(model, Int8DynamicActivationIntxWeightConfig(
        weight_dtype=torch.int8, weight_granularity=PerAxis(0)))
    return model
