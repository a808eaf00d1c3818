"""One FastGRNN in every engine, each in a process of its own and called as lean as it can be.

Lean is: arrays bound once and read in place, nothing checked or copied that need not be, and
of the engines also private calls where they save time; of ours public ones. What is timed:

- step: h' and logits of a frame and h, all where the engine wants them;
- frame: the same of a stream. The frame comes in the caller's array, the state goes on;
- whole: the logits after the last of 99 frames from a state of zeros.

A process answers before it is timed, and its logits are compared with float64.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers import Call, Calls, Make, demand_near
from edge_sdk.fastgrnn import Weights
from edge_sdk.reference import fastgrnn

Floats = NDArray[np.float32]

N_INPUTS, N_HIDDEN, RANKS, N_CLASSES = 32, 100, (12, 40), 10
N_FRAMES, CHUNK = 99, 11
REPEATED = 5
"""Frames after which the state of a stream is checked."""
LIMIT = 1e-4
"""How far logits may be from float64."""


def weights() -> Weights:
    """Return random weights of the size of trained ones, behind normalized octaves."""
    drawn = np.random.default_rng(0)

    def normal(*shape: int) -> Floats:
        scaled: Floats = (drawn.standard_normal(shape) * shape[0]**-0.5).astype(np.float32)
        return scaled

    d, h, (rank_w, rank_u) = N_INPUTS, N_HIDDEN, RANKS
    return Weights(
        w=(normal(d, rank_w), normal(rank_w, h)), u=(normal(h, rank_u), normal(rank_u, h)),
        bias_gate=np.ones(h, np.float32), bias_update=normal(h), zeta=0.73, nu=0.02,
        head=normal(h, N_CLASSES), head_bias=normal(N_CLASSES),
        mean=np.full(d, 22, np.float32), scale=np.full(d, 0.25, np.float32))


def frames() -> Floats:
    """Return features like log-mel's, (99, 32)."""
    drawn = np.random.default_rng(1).standard_normal((N_FRAMES, N_INPUTS))
    return (22 + 4 * drawn).astype(np.float32)


def expected() -> dict[str, NDArray[np.float64]]:
    """Return the logits that each call must end with, in float64."""
    w, x = weights(), frames()
    logits = partial(fastgrnn, w=w.w, u=w.u, bias_gate=w.bias_gate, bias_update=w.bias_update,
                     zeta=w.zeta, nu=w.nu, head=w.head, head_bias=w.head_bias, mean=w.mean,
                     scale=w.scale)
    return {"step": logits(x[:1])[1][-1], "frame": logits(x[[0] * REPEATED])[1][-1],
            "whole": logits(x)[1][-1]}


# ---- the engines, each in its own process ------------------------------------------------------


def core(folder: Path) -> Calls:
    """Return `edge_sdk.FastGRNN`'s calls."""
    from edge_sdk import FastGRNN

    cell, x = FastGRNN.load(folder / "cell.grnn"), frames()
    stream, frame, h = cell.stream(), x[0].copy(), np.zeros(N_HIDDEN, np.float32)
    out = np.empty(N_HIDDEN, np.float32), np.empty(N_CLASSES, np.float32)
    heard = np.empty(N_CLASSES, np.float32)
    named = weights().arrays()
    head, bias = named["head"], named["head_bias"]
    return {
        "step": Call(partial(cell.step, frame, h, out), lambda: out[1]),
        "frame": Call(partial(stream.push, frame, heard), lambda: heard),
        "whole, run": Call(partial(cell.run, x), lambda: cell.run(x)),
        "whole, states": Call(partial(cell.states, x), lambda: cell.states(x) @ head + bias),
    }


def generated_c(folder: Path) -> Calls:
    """Return the calls of fp32 C that `to_c` wrote."""
    cell, frame = InC(folder / "cell.so", "cell", N_HIDDEN, N_CLASSES), frames()[0]
    step, result, state, x, logits = cell.step, cell.result, cell.at, pointer(frame), cell.to

    def push() -> None:
        step(state, x)
        result(state, logits)

    return {"frame": Call(push, lambda: cell.logits, (frame,))}


class InC:
    """Generated fp32 C in a shared library, with one state.

    Attributes:
        h, logits: The state (H,), and (C,) after `result`.
        at, to: Pointers to them.
        step, result: The functions: step(at, pointer(x)), result(at, to).
    """

    def __init__(self, library: Path, name: str, n_hidden: int, n_classes: int) -> None:
        loaded = ctypes.CDLL(str(library.resolve()))
        self.h, self.logits = np.empty(n_hidden, np.float32), np.empty(n_classes, np.float32)
        self.at, self.to = pointer(self.h), pointer(self.logits)
        self._init = loaded[f"{name}_init"]
        self.step, self.result = loaded[f"{name}_step"], loaded[f"{name}_result"]
        self.start()

    def start(self) -> None:
        """Begin a sequence."""
        self._init(self.at)


def pointer(array: Floats) -> ctypes.c_void_p:
    """Return where an array's memory is; keep the array."""
    return array.ctypes.data_as(ctypes.c_void_p)


def in_numpy(_: Path) -> Calls:
    """Return NumPy's calls, into arrays made before."""
    w, x = weights(), frames()
    named = w.arrays()
    w1, w2, u1, u2, head, head_bias, mean, scale = (
        named[name] for name in ("w1", "w2", "u1", "u2", "head", "head_bias", "mean", "scale"))
    short_w, short_u = np.empty(RANKS[0], np.float32), np.empty(RANKS[1], np.float32)
    normal, frame = np.empty(N_INPUTS, np.float32), x[0].copy()
    p, hu, z, c = (np.empty(N_HIDDEN, np.float32) for _ in range(4))
    logits = np.empty(N_CLASSES, np.float32)
    zeta, total, one = np.float32(w.zeta), np.float32(w.zeta + w.nu), np.float32(1)

    def advance(wx: Floats, h: Floats, to: Floats) -> None:
        np.dot(np.dot(h, u1, out=short_u), u2, out=hu)
        np.add(wx, hu, out=p)
        np.add(p, w.bias_gate, out=z)
        np.negative(z, out=z)
        np.exp(z, out=z)
        np.add(z, one, out=z)
        np.reciprocal(z, out=z)
        np.add(p, w.bias_update, out=c)
        np.tanh(c, out=c)
        np.multiply(z, zeta, out=p)
        np.subtract(total, p, out=p)
        np.multiply(p, c, out=c)
        np.multiply(z, h, out=to)
        np.add(to, c, out=to)

    def step(h: Floats, to: Floats) -> None:
        np.subtract(frame, mean, out=normal)
        np.multiply(normal, scale, out=normal)
        np.dot(np.dot(normal, w1, out=short_w), w2, out=p)
        advance(p, h, to)
        np.add(np.dot(to, head, out=logits), head_bias, out=logits)

    def whole() -> None:
        wx, h = ((x - mean) * scale) @ w1 @ w2, zeros.copy()
        for row in wx:
            advance(row, h, h)
        np.add(np.dot(h, head, out=logits), head_bias, out=logits)

    zeros, after, state = (np.zeros(N_HIDDEN, np.float32) for _ in range(3))
    return {"step": Call(lambda: step(zeros, after), lambda: logits),
            "frame": Call(lambda: step(state, state), lambda: logits),
            "whole": Call(whole, lambda: logits)}


def onnx(folder: Path) -> Calls:
    """Return ONNX Runtime's calls: memory of the caller's is bound, and two bindings take turns.

    Their states are each other's.
    """
    import onnxruntime

    x, options = frames(), onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    settings = onnxruntime.RunOptions()

    def load(name: str) -> Any:
        return onnxruntime.InferenceSession(str(folder / name), options,
                                            providers=["CPUExecutionProvider"])

    def bind(session: Any, arrays: Sequence[Floats]) -> Callable[[], object]:
        binding = session.io_binding()
        names = [spec.name for spec in (*session.get_inputs(), *session.get_outputs())]
        for i, (name, array) in enumerate(zip(names, arrays, strict=True)):
            value = onnxruntime.OrtValue.ortvalue_from_numpy(array)
            (binding.bind_ortvalue_input if i < 2 else binding.bind_ortvalue_output)(name, value)
        return partial(session._sess.run_with_iobinding, binding._iobinding, settings)

    def arrays(n: int, n_logits: int) -> tuple[Floats, Floats, Floats, Floats]:
        h, h_next = (np.zeros((1, N_HIDDEN), np.float32) for _ in range(2))
        return x[:n].copy(), h, h_next, np.empty((n_logits, N_CLASSES), np.float32)

    one, own = load("step.onnx"), arrays(1, 1)
    now, before, after, heard = arrays(1, 1)
    turns = itertools.cycle([bind(one, (now, before, after, heard)),
                             bind(one, (now, after, before, heard))])
    frame = x[:1].copy()

    def push() -> None:
        np.copyto(now, frame)
        next(turns)()

    scanned, unrolled = arrays(N_FRAMES, N_FRAMES), arrays(N_FRAMES, 1)
    return {"step": Call(bind(one, own), lambda: own[3]),
            "frame": Call(push, lambda: heard, (before, after)),  # bindings do not own it
            "whole, Scan": Call(bind(load("scan.onnx"), scanned), lambda: scanned[3]),
            "whole, unrolled": Call(bind(load("whole.onnx"), unrolled), lambda: unrolled[3])}


def executorch(folder: Path) -> Calls:
    """Return ExecuTorch's calls: its outputs are not copied, and go in again as they are."""
    import torch
    from executorch.extension.pybindings import portable_lib
    from executorch.runtime import Runtime

    torch.set_num_threads(1)
    if portable_lib._threadpool_get_thread_count() != 1:
        portable_lib._unsafe_reset_threadpool(1)
    x, zeros = frames(), torch.zeros(1, N_HIDDEN)
    programs = []  # a program must outlive its methods

    def method(file: str, name: str) -> Callable[[list[Any], bool], list[Any]]:
        # A method is a state, so each call has a program of its own.
        programs.append(Runtime.get().load_program(folder / file))
        call: Callable[[list[Any], bool], list[Any]] = programs[-1].load_method(name)._method.call
        return call

    def alone(file: str, name: str, n: int) -> Call:
        run = partial(method(file, name), [torch.from_numpy(x[:n].copy()), zeros], False)
        return Call(run, lambda: _logits(run()), (programs,))

    call, now, frame = method("cell.pte", "step"), torch.zeros(1, N_INPUTS), x[:1]
    memory, out = now.numpy(), [zeros]

    def push() -> None:
        np.copyto(memory, frame)
        out[:] = call([now, out[0]], False)

    return {"step": alone("cell.pte", "step", 1),
            "frame": Call(push, lambda: _logits(out)),
            "whole, scan": alone("cell.pte", "scan", N_FRAMES),
            "whole, unrolled": alone("whole.pte", "forward", N_FRAMES)}


def _logits(outputs: list[Any]) -> Floats:
    logits: Floats = outputs[1].numpy()
    return logits


def litert(folder: Path) -> Calls:
    """Return LiteRT's calls: the Interpreter's memory is read and written in place.

    A file for each form: the Interpreter itself runs only the first signature of a file.
    """
    from ai_edge_litert.interpreter import Interpreter

    x = frames()

    def load(name: str) -> tuple[Callable[[], object], Floats, Floats, Floats, Floats]:
        interpreter = Interpreter(str(folder / name), num_threads=1)
        interpreter.allocate_tensors()
        given, taken = interpreter.get_input_details(), interpreter.get_output_details()
        found: dict[tuple[str, int], Floats] = {
            (kind, int(spec["shape"][-1])): interpreter.tensor(spec["index"])()
            for kind, specs in (("in", given), ("out", taken)) for spec in specs}
        for memory in (found["in", N_INPUTS], found["in", N_HIDDEN]):
            memory[...] = 0
        np.copyto(found["in", N_INPUTS], x[: len(found["in", N_INPUTS])])
        return (interpreter._interpreter.Invoke, found["in", N_INPUTS], found["in", N_HIDDEN],
                found["out", N_HIDDEN], found["out", N_CLASSES])

    step, _, _, _, alone = load("step.tflite")
    push_step, now, h, h_next, heard = load("step.tflite")
    chunk, some, state, state_next, last = load("chunk.tflite")
    unrolled, _, _, _, logits = load("whole.tflite")
    frame, copy, parts = x[:1].copy(), np.copyto, x.reshape(-1, CHUNK, N_INPUTS)

    def push() -> None:
        copy(now, frame)
        push_step()
        copy(h, h_next)

    def chunks() -> None:
        state.fill(0)
        for part in parts:
            copy(some, part)
            chunk()
            copy(state, state_next)

    return {"step": Call(step, lambda: alone), "frame": Call(push, lambda: heard),
            f"whole, {N_FRAMES // CHUNK} chunks of {CHUNK}": Call(chunks, lambda: last),
            "whole, unrolled": Call(unrolled, lambda: logits)}


ENGINES: dict[str, Make] = {
    "edge_sdk.FastGRNN": core, "generated C, ctypes": generated_c, "ExecuTorch": executorch,
    "ONNX Runtime": onnx, "LiteRT": litert, "NumPy": in_numpy,
}
"""What makes each engine's calls, by their names: step, frame, or whole, and words behind it."""


def check(name: str, call: Call) -> None:
    """Demand of a call the logits of float64.

    Raises:
        ComparisonError: They are others.
    """
    for _ in range(REPEATED - 1):  # it was called once
        call.run()
    demand_near(call.output().reshape(-1, N_CLASSES)[-1], expected()[name.partition(",")[0]],
                LIMIT, where=name)
