"""ExecuTorch: the methods `step` and `scan`, lowered to XNNPACK.

`scan` takes 1 to 128 frames a call: memory is planned for the most. XNNPACK takes the
products before and behind its loop; the body runs on portable kernels and keeps weights
of its own. A cell of H 100 and ranks 12/40 took 9.7 us a frame step by step, 4.6 in a scan
of 11 and 3.9 in one of 130; 11 frames unrolled took 2.9, for 16 KB of graph (x86-64, one
thread, from Python).
"""

from __future__ import annotations

import warnings
from typing import Any

import torch

from edge_sdk.exporters.sequences.modules import Scan, Step
from edge_sdk.exporters.sequences.request import File, Files, SequenceRequest, demand_head, method
from edge_sdk.exporters.to_executorch import Program
from edge_sdk.exporters.toolchain import require

MOST_FRAMES = 128


def lower(request: SequenceRequest) -> Files:
    """Lower one frame and any number of frames into one program.

    Raises:
        MissingDependency: ExecuTorch is not installed.
        UnsupportedModel: A bare cell.
    """
    weights = request.weights
    demand_head(weights)
    request.report("loading ExecuTorch")
    require("executorch", ["executorch.exir", "torchao"])
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    h = torch.zeros(1, weights.n_hidden)
    frames = torch.export.Dim("frames", min=1, max=MOST_FRAMES)
    request.report("tracing step and scan")
    programs = {
        "step": torch.export.export(
            Step(weights).eval(), (torch.zeros(1, weights.n_inputs), h), strict=False),
        "scan": torch.export.export(
            Scan(weights).eval(), (torch.zeros(8, weights.n_inputs), h), strict=False,
            dynamic_shapes=({0: frames}, None)),
    }
    request.report("lowering 2 methods to XNNPACK")
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        edge = to_edge_transform_and_lower(
            programs, partitioner={name: [XnnpackPartitioner()] for name in programs})
        coverage = {name: _coverage(edge.exported_program(name).graph_module)
                    for name in programs}
        program = Program(edge.to_executorch(), coverage)
    return {"": File(program, {
        "step": method(weights, 1, 1, coverage["step"]),
        "scan": method(weights, 1, MOST_FRAMES, coverage["scan"]),
    })}


def _coverage(graph: Any) -> float | None:
    """Return the fraction of nodes delegated; those of a loop's body count as not."""
    from executorch.devtools.backend_debug import get_delegation_info

    info = get_delegation_info(graph)
    bodies = [getattr(graph, node.args[0].target) for node in graph.graph.nodes
              if node.target is torch.ops.higher_order.scan]
    loose = info.num_non_delegated_nodes + sum(
        node.op == "call_function" for body in bodies for node in body.graph.nodes)
    nodes = info.num_delegated_nodes + loose
    return info.num_delegated_nodes / nodes if nodes else None
