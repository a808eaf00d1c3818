"""C: one self-contained header and source of a small MLP, its zeros left out where that is smaller.

C99 without libc, heap or globals, in float32 or in integers. The integer form computes, bit
for bit, what `mlp_integer` defines; its code has no float and no 64-bit arithmetic. Nothing is
written until the C was compiled on this machine and its outputs compared on the samples.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.artifact import Comparison, publish
from edge_sdk.compiler import compile_c, host_compiler, version
from edge_sdk.errors import ComparisonError, UnsupportedModel
from edge_sdk.exporters.c_compiler import Footprint, footprint, run_program
from edge_sdk.exporters.c_source import Files, c_name, check_name
from edge_sdk.exporters.mlp_integer import IntegerMLP, quantize
from edge_sdk.exporters.mlp_layers import (
    MLP,
    demand_labels,
    demand_samples,
    from_sequential,
    run_torch,
)
from edge_sdk.exporters.mlp_source import Golden, StoredLayer, generate, scratch_bytes, store
from edge_sdk.exporters.to_c import (
    FLOAT_LIMIT,
    GOLDEN_LIMIT,
    demand_path,
    difference_of,
    memory_facts,
    notices,
)

if TYPE_CHECKING:
    from torch import nn

N_GOLDEN = 3

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class MLPExport:
    """What was written, its size, and what was proved.

    Attributes:
        path, header: NAME.c and NAME.h.
        name: What its functions begin with.
        quantize: "none" or "int8".
        layers: How each is stored, and what the other form would have taken.
        ram_bytes: The state: activations and outputs.
        footprint: Flash and stack on a Cortex-M0+; None without a compiler for it.
        comparison: The compiled C beside its twin in NumPy (int8: bit for bit) or torch in
            float64 (fp32). None without a C compiler.
        rounding: int8: the integers' outputs beside those of torch in float64.
        compiler: What compiled it here.
        notices: What the caller should know, first of all that nothing was proved.
    """

    path: Path
    header: Path
    name: str
    quantize: str
    layers: tuple[StoredLayer, ...]
    ram_bytes: int
    footprint: Footprint | None
    comparison: Comparison | None
    rounding: Comparison | None
    compiler: str | None
    notices: tuple[str, ...] = ()

    @property
    def n_bytes(self) -> int:
        """Bytes of the model's constants; labels are not among them."""
        return sum(s.n_bytes + s.constant_bytes for s in self.layers)

    @property
    def dense_bytes(self) -> int:
        """What `n_bytes` would be with every zero stored."""
        return sum(s.dense_bytes + s.constant_bytes for s in self.layers)


@dataclass(frozen=True)
class _Task:
    """A model, what goes in, and what must come out: (n, D) and (n, C)."""

    model: MLP | IntegerMLP
    inputs: NDArray[Any]
    expected: NDArray[Any]
    golden: Golden
    limit: float


def export(
    model: nn.Sequential, out: Path, *, samples: Floats, name: str | None = None,
    quantize: str = "none", labels: Sequence[str] = (),
    report: Callable[[str], None] = lambda text: None,
) -> MLPExport:
    """Write an MLP as `out`, NAME.c, with NAME.h beside it, proved on `samples`.

    Args:
        model: Linear, ReLU, ReLU6, BatchNorm1d, a Flatten in front: see
            `mlp_layers.from_sequential`. Each layer is stored dense or sparse, by bytes.
        out: A path that ends with .c.
        samples: Real inputs (n, ...), float32, as the model takes them. They are compared
            on, calibrate the integers, and a few become golden vectors.
        name: What the functions begin with, a C identifier; None: made of the file's name.
        quantize: "none" for float32, "int8" for int8 weights and 16-bit integers.
        labels: Names of the outputs, or none.
        report: Takes a line of progress.

    Raises:
        UnsupportedModel: No such name, form, path or layer, or the integers can not hold the
            model.
        CheckpointError: NaN or infinite weights.
        ShapeError: Samples or labels that do not fit the model.
        ComparisonError: The compiled C computes something else, or does not compile.
        OutputError: The folder is missing or not writable.
    """
    out = Path(out)
    demand_path(out)
    name = c_name(out.stem) if name is None else check_name(name)
    if quantize not in ("none", "int8"):
        raise UnsupportedModel("none or int8", repr(quantize), where="`quantize`",
                               hint="int8: int8 weights, 16-bit integers")
    mlp = from_sequential(model)
    rows = demand_samples(mlp, samples)
    labels = demand_labels(mlp, labels)
    header = out.with_suffix(".h")
    with publish(out, header) as (source_partial, header_partial), \
            tempfile.TemporaryDirectory(prefix="edge_sdk-") as folder:
        work = Path(folder)
        report("computing what must come out")
        real = run_torch(model, samples)
        task = _task(mlp, rows, real, quantize)
        layers = store(task.model)

        def write(facts: Sequence[str]) -> Files:
            files = generate(task.model, layers, name=name, header=header.name,
                             golden=task.golden, labels=labels, facts=facts)
            for path, text in ((work / out.name, files.source), (work / header.name, files.header),
                               (work / "harness.c", files.harness)):
                path.write_text(text, encoding="ascii")
            return files

        write([])
        compiler = host_compiler()
        comparison = None
        if compiler is not None:
            report(f"comparing on {len(rows)} samples")
            comparison = _prove(compiler, work, out.name, task, len(rows))
        measured = footprint(work / out.name, f"{name.upper()}_NO_SELFTEST")
        done = MLPExport(
            out, header, name, quantize, tuple(layers), scratch_bytes(layers), measured,
            comparison, _rounding(task, real), None if compiler is None else version(compiler),
            notices(compiler, measured))
        files = write(facts(done))
        if compiler is not None:  # The comment has grown: what is published is what ran.
            _prove(compiler, work, out.name, task, 1)
        source_partial.write_text(files.source, encoding="ascii")
        header_partial.write_text(files.header, encoding="ascii")
    return done


def facts(done: MLPExport) -> list[str]:
    """Return what a header says of its sizes and its proof."""
    weights = sum(s.n_bytes for s in done.layers)
    lines = [f"Constants  {done.n_bytes} B (weights {weights}, biases"
             f"{' and shifts' if done.quantize == 'int8' else ''} {done.n_bytes - weights}); "
             f"all dense {done.dense_bytes} B", *memory_facts(done.ram_bytes, done.footprint)]
    c, r = done.comparison, done.rounding
    if c is None:
        lines.append("Proved     NOTHING: there was no C compiler where this was written")
    elif done.quantize == "int8":
        lines.append(f"Proved     bit for bit the integers of its NumPy twin, {c.n} samples "
                     f"({done.compiler})")
    else:
        lines.append(f"Proved     within {c.max_difference:.1e} of torch in float64, {c.n} samples "
                     f"({done.compiler})")
    if r is not None:
        lines.append(f"Rounding   at most {r.max_difference:.2g} from torch in float64; same "
                     f"largest output in {r.argmax_agreement:.2%}")
    return lines


# --- what must come out, and whether it does --------------------------------------------


def _task(mlp: MLP, rows: Floats, real: NDArray[np.float64], form: str) -> _Task:
    chosen = np.unique(np.linspace(0, len(rows) - 1, N_GOLDEN).astype(int))
    scale = max(1.0, float(np.abs(real).max()))
    if form == "none":
        golden = Golden(rows[chosen], real[chosen].astype(np.float32), GOLDEN_LIMIT * scale)
        return _Task(mlp, rows, real, golden, FLOAT_LIMIT * scale)
    model = quantize(mlp, rows)
    inputs = model.quantize_input(rows)
    # One that saturates is among the golden.
    extreme = np.where(np.arange(model.n_inputs) % 2, -32768, 32767).astype(np.int16)
    vectors = np.concatenate([extreme[None], inputs[chosen]])
    return _Task(model, inputs, model.run(inputs), Golden(vectors, model.run(vectors)), 0.0)


def _prove(compiler: list[str], work: Path, source: str, task: _Task, n: int) -> Comparison:
    """Compile the source with its harness, run it on `n` inputs, and compare every output."""
    program = work / "program"
    compile_c(compiler, [work / source, work / "harness.c"], program)
    outputs, classes = read(run_program(program, task.inputs[:n].tobytes()), task.model, n)
    expected = task.expected[:n]
    exact = isinstance(task.model, IntegerMLP)
    difference = difference_of(expected, outputs)
    same = float(np.mean(classes == expected.argmax(-1)))
    if not difference <= task.limit or (exact and same != 1.0):
        raise ComparisonError(
            "the twin's integers, bit for bit" if exact else
            f"a max difference of {task.limit:.2g} or less", f"{difference:.3g}",
            where="generated C",
            hint="the compiler miscomputes this model, or float32 is too coarse for it; "
                 "no file was written")
    return Comparison(n, difference, same,
                      "bit for bit" if exact else f"max difference {FLOAT_LIMIT:g}")


def read(
    data: bytes, model: MLP | IntegerMLP, n: int
) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Return what the harness wrote: outputs (n, C) and the largest one's ids (n,).

    Raises:
        ComparisonError: It wrote more or less.
    """
    kind = np.int32 if isinstance(model, IntegerMLP) else np.float32
    answer = np.dtype([("outputs", kind, (model.n_outputs,)), ("class", np.int32)])
    if len(data) != answer.itemsize * n:
        raise ComparisonError(f"{n} answers of {answer.itemsize} bytes", f"{len(data)} bytes",
                              where="generated C", hint="no file was written")
    answers = np.frombuffer(data, answer)
    return answers["outputs"], answers["class"]


def _rounding(task: _Task, real: NDArray[np.float64]) -> Comparison | None:
    """Return how far the integers are from torch, as numbers and as the largest output."""
    if not isinstance(task.model, IntegerMLP):
        return None
    made = task.expected * 2.0**-task.model.output_bits
    same = float(np.mean(made.argmax(-1) == real.argmax(-1)))
    return Comparison(len(real), float(np.abs(made - real).max()), same, "reported, not limited")
