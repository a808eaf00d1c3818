"""ONNX, standard operators only: sequences of any length by Scan, and one frame without a loop.

One ONNX file has one graph, so there are two files: NAME.onnx (T frames, T at least 1) and
NAME-step.onnx, which needs no control flow of whoever runs it. A frame through Scan took
16.6 us, through the step's graph 12.5 (x86-64, one thread, ONNX Runtime from Python, H 100,
ranks 12/40); in 99 frames, 5.5 us each. The metadata is the model property
`edge_sdk_metadata`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.containers import KEY
from edge_sdk.exporters.sequences.request import (
    FRAMES,
    LOGITS,
    NEXT_STATE,
    STATE,
    File,
    Files,
    SequenceRequest,
    demand_head,
    method,
)
from edge_sdk.exporters.toolchain import require, versions
from edge_sdk.fastgrnn.weights import Weights

OPSET, IR_VERSION = 18, 8
"""Of 2022: every operator used here has been as it is since opset 18 at the latest."""


class _Model:
    """A checked graph with its weights, all in one protobuf."""

    def __init__(self, proto: Any) -> None:
        self._proto = proto
        self.coverage: dict[str, float | None] = {}
        self.toolchain = versions(["onnx", "onnxruntime", "torch"])

    def write(self, path: Path, metadata: str) -> None:
        """Write the .onnx."""
        from onnx import helper

        helper.set_model_props(self._proto, {KEY: metadata})
        path.write_bytes(self._proto.SerializeToString(deterministic=True))


def lower(request: SequenceRequest) -> Files:
    """Build the graph for sequences and the graph for one frame.

    Raises:
        MissingDependency: onnx or onnxruntime is not installed.
        UnsupportedModel: A bare cell.
    """
    demand_head(request.weights)
    request.report("loading ONNX")
    require("onnx", ["onnx", "onnxruntime"])
    request.report("building the graphs")
    weights = request.weights
    return {
        "": File(_Model(_Graph(weights).sequence()), {"scan": method(weights, 1, None)}),
        "-step": File(_Model(_Graph(weights).step()), {"step": method(weights, 1, 1)}),
    }


class _Graph:
    """Collects nodes and constants; each operator is a method call that returns its output."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._constants: dict[str, NDArray[Any]] = dict(weights.arrays())
        self._nodes: list[Any] = []
        self._count = 0

    def step(self) -> Any:
        """Return the model of one frame."""
        h = self._advance(self._inward(), STATE, to=NEXT_STATE)
        self._outward(h)
        return self._model(1)

    def sequence(self) -> Any:
        """Return the model of any number of frames."""
        from onnx import helper

        # x W of all frames is one product; the loop has the rest.
        wx, outer, self._nodes = self._inward(), self._nodes, []
        self._op("Identity", self._advance("wx_t", "h_t", to="h_t_next"), to="state")
        hidden = self._weights.n_hidden
        body = helper.make_graph(
            self._nodes, "frame", [_float("h_t", [1, hidden]), _float("wx_t", [hidden])],
            [_float("h_t_next", [1, hidden]), _float("state", [1, hidden])])
        self._nodes = [*outer, helper.make_node("Scan", [STATE, wx], [NEXT_STATE, "states"],
                                                body=body, num_scan_inputs=1)]
        self._outward(self._op("Reshape", "states", self._constant(
            "rows", np.array([-1, hidden], np.int64))))
        return self._model("frames")

    def _inward(self) -> str:
        x = FRAMES
        if self._weights.mean is not None:
            x = self._op("Mul", self._op("Sub", x, "mean"), "scale")
        return self._product(x, "w", len(self._weights.w))

    def _advance(self, wx: str, h: str, *, to: str) -> str:
        """Add equations 3-4 of the paper, with the products of c as one."""
        w = self._weights
        p = self._op("Add", wx, self._product(h, "u", len(w.u)))
        z = self._nonlinearity(w.gate, self._op("Add", p, "bias_gate"))
        c = self._nonlinearity(w.update, self._op("Add", p, "bias_update"))
        part = self._op("Mul", z, self._scalar("zeta", w.zeta))
        part = self._op("Sub", self._scalar("zeta_plus_nu", w.zeta + w.nu), part)
        return self._op("Add", self._op("Mul", z, h), self._op("Mul", part, c), to=to)

    def _nonlinearity(self, kind: str, x: str) -> str:
        if kind in ("sigmoid", "tanh", "relu"):
            return self._op(kind.capitalize(), x)
        low, scale = {"quant_tanh": (-1.0, 1.0), "quant_sigmoid": (-1.0, 0.5),
                      "quant_sigmoid4": (-2.0, 0.25)}[kind]
        x = self._op("Clip", x, self._scalar(f"{kind}_low", low),
                     self._scalar(f"{kind}_high", -low))
        if kind == "quant_tanh":
            return x
        # Clipped first, then moved to 0..1: the same numbers, for 0.5 and 0.25 are exact.
        return self._op("Mul", self._op("Sub", x, self._scalar(f"{kind}_low", low)),
                        self._scalar(f"{kind}_scale", scale))

    def _outward(self, states: str) -> None:
        self._op("Add", self._op("MatMul", states, "head"), "head_bias", to=LOGITS)

    def _product(self, x: str, name: str, n_factors: int) -> str:
        for factor in [name] if n_factors == 1 else [f"{name}1", f"{name}2"]:
            x = self._op("MatMul", x, factor)
        return x

    def _op(self, kind: str, *inputs: str, to: str | None = None) -> str:
        from onnx import helper

        self._count += 1
        output = to or f"{kind.lower()}_{self._count}"
        self._nodes.append(helper.make_node(kind, inputs, [output]))
        return output

    def _scalar(self, name: str, value: float) -> str:
        return self._constant(name, np.array(value, np.float32))

    def _constant(self, name: str, value: NDArray[Any]) -> str:
        self._constants[name] = value
        return name

    def _model(self, frames: int | str) -> Any:
        from onnx import checker, helper, numpy_helper

        w = self._weights
        graph = helper.make_graph(
            self._nodes, "fastgrnn",
            [_float(FRAMES, [frames, w.n_inputs]), _float(STATE, [1, w.n_hidden])],
            [_float(NEXT_STATE, [1, w.n_hidden]), _float(LOGITS, [frames, w.n_classes])],
            [numpy_helper.from_array(value, name) for name, value in self._constants.items()])
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)],
                                  ir_version=IR_VERSION, producer_name="edge_sdk")
        checker.check_model(proto, full_check=True)
        return proto


def _float(name: str, shape: list[Any]) -> Any:
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
