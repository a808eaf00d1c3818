"""One layer with zeros in its weights, in the core, in ExecuTorch and in ONNX Runtime.

Each engine is called as lean as it can be: arrays bound once, nothing checked or copied that
need not be, and of the engines also private calls where they save time; of ours public ones.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers import Call, Calls, Make, demand_near

Floats = NDArray[np.float32]

LIMIT = {"float32": 1e-3, "int8": 0.3}
"""How far outputs of some tens may be from float64: int8 has rounded weights."""
CORE, EXECUTORCH, ONNX = "the core from Python", "ExecuTorch", "ONNX Runtime"


@dataclass(frozen=True)
class Layer:
    """A Linear (rows, cols) of `tokens`, or a Conv2d 3x3 of cols // 9 channels, `tokens` pixels.

    The pixels are a square, and padded by one.
    """

    rows: int
    cols: int
    tokens: int
    conv: bool = False

    @property
    def name(self) -> str:
        """What it is, in words."""
        if not self.conv:
            return f"{self.rows}x{self.cols}, N {self.tokens}"
        return f"3x3 {self.cols // 9} to {self.rows} channels, {self.side}x{self.side}"

    @property
    def side(self) -> int:
        """Pixels along one side."""
        return math.isqrt(self.tokens)

    def input(self) -> Floats:
        """Return (tokens, cols), or (1, channels, side, side)."""
        shape = (1, self.cols // 9, self.side, self.side) if self.conv else (self.tokens, self.cols)
        return np.random.default_rng(1).standard_normal(shape).astype(np.float32)

    def weight(self, percent: float) -> Floats:
        """Return weights of which `percent` are zero, wherever."""
        drawn = np.random.default_rng(round(10 * percent))
        weight = drawn.standard_normal((self.rows, self.cols)).astype(np.float32)
        zeros = drawn.permutation(weight.size)[:round(weight.size * percent / 100)]
        weight.reshape(-1)[zeros] = 0.0
        shape = (self.rows, self.cols // 9, 3, 3) if self.conv else weight.shape
        return weight.reshape(shape)

    def bias(self) -> Floats:
        """Return (rows,)."""
        return np.linspace(-1.0, 1.0, self.rows, dtype=np.float32)


@dataclass(frozen=True)
class Task:
    """A layer at a share of zeros in one form: "dense", or the "float32" or "int8" of sparse."""

    layer: Layer
    percent: float
    form: str

    @property
    def name(self) -> str:
        """The call's name, which `task` reads again."""
        layer = self.layer
        return "-".join(map(str, (layer.rows, layer.cols, layer.tokens, int(layer.conv),
                                  f"{self.percent:g}", self.form)))

    @property
    def pte(self) -> str:
        """The file's name for ExecuTorch."""
        return f"{self.name}.pte"


def task(name: str) -> Task:
    """Return the task of that name."""
    rows, cols, tokens, conv, percent, form = name.partition(",")[0].split("-")
    return Task(Layer(int(rows), int(cols), int(tokens), conv == "1"), float(percent), form)


@lru_cache(maxsize=4)
def expected(layer: Layer, percent: float) -> NDArray[np.float64]:
    """Return the output in float64."""
    import torch

    x, weight, bias = (torch.from_numpy(array).double()
                       for array in (layer.input(), layer.weight(percent), layer.bias()))
    made = (torch.nn.functional.conv2d(x, weight, bias, padding=1) if layer.conv
            else torch.nn.functional.linear(x, weight, bias))
    right: NDArray[np.float64] = made.numpy()
    return right


def check(name: str, call: Call) -> None:
    """Demand of a call the output of float64.

    Raises:
        ComparisonError: It is another.
    """
    asked = task(name)
    limit = LIMIT["int8" if asked.form == "int8" else "float32"]
    right = expected(asked.layer, asked.percent)
    demand_near(call.output().reshape(right.shape) / 10, right / 10, limit, where=name)


# ---- files -------------------------------------------------------------------------------------


def write(folder: Path, tasks: Sequence[Task], report: Callable[[str], None]) -> None:
    """Write the files of tasks that are not in `folder` yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for asked in tasks:
        if not (folder / asked.pte).exists():
            report(f"writing {asked.pte}")
            _write_pte(asked, folder / asked.pte)
        if asked.form == "dense":
            for form, make in _ONNX[asked.layer.conv].items():
                path = folder / f"{asked.name},{form}.onnx"
                if not path.exists():
                    path.write_bytes(make(asked.layer, asked.percent))


def _module(layer: Layer, percent: float) -> Any:
    import torch

    made = (torch.nn.Conv2d(layer.cols // 9, layer.rows, 3, padding=1) if layer.conv
            else torch.nn.Linear(layer.cols, layer.rows))
    with torch.no_grad():
        made.weight.copy_(torch.from_numpy(layer.weight(percent)))
        assert made.bias is not None
        made.bias.copy_(torch.from_numpy(layer.bias()))
    return torch.nn.Sequential(made).eval()


def _write_pte(asked: Task, path: Path) -> None:
    import torch

    from edge_sdk.exporters.sparse.executorch import lower

    sample = (torch.from_numpy(asked.layer.input()),)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program, _ = lower(_module(asked.layer, asked.percent), sample, {"0": asked.form})
    program.write(path, "")


def _onnx_file(layer: Layer, percent: float, nodes: Sequence[Any], weight: Floats) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    out = expected(layer, percent).shape
    graph = helper.make_graph(
        list(nodes), "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, layer.input().shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)],
        [numpy_helper.from_array(np.ascontiguousarray(weight), "w"),
         numpy_helper.from_array(layer.bias(), "b")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def _gemm(layer: Layer, percent: float) -> bytes:
    from onnx import helper

    return _onnx_file(layer, percent, [helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)],
                      layer.weight(percent))


def _matmul(layer: Layer, percent: float) -> bytes:
    from onnx import helper

    return _onnx_file(layer, percent, [helper.make_node("MatMul", ["x", "w"], ["xw"]),
                                       helper.make_node("Add", ["xw", "b"], ["y"])],
                      layer.weight(percent).T)


def _conv(layer: Layer, percent: float) -> bytes:
    from onnx import helper

    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], pads=[1] * 4, kernel_shape=[3, 3])
    return _onnx_file(layer, percent, [node], layer.weight(percent))


_ONNX: Mapping[bool, Mapping[str, Callable[[Layer, float], bytes]]] = {
    False: {"Gemm": _gemm, "MatMul": _matmul}, True: {"Conv": _conv}}


# ---- the engines, each in its own process ------------------------------------------------------


def core(folder: Path, names: Sequence[str]) -> Calls:
    """Return the calls of `SparseMatrix`, which allocate their outputs."""
    from edge_sdk.sparse import SparseMatrix

    def call(asked: Task) -> Call:
        layer = asked.layer
        matrix = SparseMatrix.pack(layer.weight(asked.percent), values=asked.form)  # type: ignore[arg-type]
        x, bias = layer.input(), layer.bias()
        run = (partial(matrix.conv2d, x, kernel_size=3, padding=1, bias=bias) if layer.conv
               else partial(matrix.linear, x, bias))
        return Call(run, run)

    return {name: call(task(name)) for name in names if task(name).form != "dense"}


def executorch(folder: Path, names: Sequence[str]) -> Calls:
    """Return ExecuTorch's calls; its outputs are not copied."""
    return {name: executorch_call(folder / task(name).pte, "forward", task(name).layer.input())
            for name in names}


def executorch_call(path: Path, method: str, x: Floats) -> Call:
    """Return a call of one method of a program on one thread."""
    import torch
    from executorch.extension.pybindings import portable_lib
    from executorch.runtime import Runtime

    from edge_sdk.engines import operators

    torch.set_num_threads(1)
    if portable_lib._threadpool_get_thread_count() != 1:
        portable_lib._unsafe_reset_threadpool(1)
    operators.load_for(path)
    program = Runtime.get().load_program(path)
    loaded = program.load_method(method)
    assert loaded is not None
    run = partial(loaded._method.call, [torch.from_numpy(x)], False)

    def output() -> Floats:
        made: Floats = run()[0].numpy()
        return made

    return Call(run, output, (program,))


def onnx(folder: Path, names: Sequence[str]) -> Calls:
    """Return ONNX Runtime's calls of the dense layers, memory bound once."""
    calls = {}
    for name in names:
        for path in sorted(folder.glob(f"{name},*.onnx")):
            layer = task(name).layer
            out = np.empty(expected(layer, task(name).percent).shape, np.float32)
            calls[path.stem] = onnx_call(path, layer.input(), out)
    return calls


def onnx_call(path: Path, x: Floats, out: Floats) -> Call:
    """Return a call of a model of one input and one output on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    given, taken = onnxruntime.OrtValue.ortvalue_from_numpy(x), onnxruntime.OrtValue
    result = taken.ortvalue_from_numpy(out)
    binding.bind_ortvalue_input(session.get_inputs()[0].name, given)
    binding.bind_ortvalue_output(session.get_outputs()[0].name, result)
    run = partial(session._sess.run_with_iobinding, binding._iobinding, onnxruntime.RunOptions())
    return Call(run, result.numpy, (session, given, out))


def engines(tasks: Sequence[Task]) -> dict[str, Make]:
    """Return what makes each engine's calls of these tasks."""
    names = [asked.name for asked in tasks]
    return {CORE: partial(core, names=names), EXECUTORCH: partial(executorch, names=names),
            ONNX: partial(onnx, names=names)}
