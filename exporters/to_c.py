"""C: one self-contained header and source of a FastGRNN, in float32 or in integers.

C99 without libc, heap or globals. The integer form computes, bit for bit, what
`edge_sdk.fastgrnn.integer` defines; its generated code has no float and no 64-bit
arithmetic. Nothing is written until the C was compiled on this machine and its states and
logits compared on whole sequences. No torch.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.artifact import Comparison, publish
from edge_sdk.compiler import compile_c, host_compiler, version
from edge_sdk.errors import ComparisonError, ShapeError, UnsupportedModel
from edge_sdk.exporters.c_compiler import DEVICE, Footprint, footprint, run_program
from edge_sdk.exporters.c_source import (
    Files,
    Golden,
    check_name,
    generate,
    n_bytes_by_part,
)
from edge_sdk.fastgrnn import Weights
from edge_sdk.fastgrnn.fixed_point import TANH_TABLE_BYTES
from edge_sdk.fastgrnn.integer import QuantizedWeights
from edge_sdk.fastgrnn.integer import quantize as to_integers
from edge_sdk.reference import fastgrnn

FLOAT_LIMIT = 1e-5
"""fp32: the largest difference from float64, relative to the largest number where above 1."""
GOLDEN_LIMIT = 1e-4
"""The same of the self-test: another processor may fuse a product into a sum."""
N_GOLDEN = 8

Sequences = Sequence[NDArray[np.float32]]


@dataclass(frozen=True)
class CExport:
    """What was written, its size, and what was proved.

    Attributes:
        path, header: NAME.c and NAME.h.
        name: What its functions begin with.
        quantize: "none" or "int8".
        n_bytes_by_part: Bytes of constants; the tanh table and labels are not among them.
        tanh_table_bytes: 0 where the model needs none.
        ram_bytes: The state.
        footprint: Flash and stack on a Cortex-M0+; None without a compiler for it.
        comparison: The compiled C beside its twin in NumPy (int8: bit for bit) or the
            float64 oracle (fp32). None without a C compiler.
        rounding: int8: the integers' logits (states, without a head) beside the float64
            oracle's; `n` and the agreement are of sequences.
        compiler: What compiled it here.
        notices: What the caller should know, first of all that nothing was proved.
    """

    path: Path
    header: Path
    name: str
    quantize: str
    n_bytes_by_part: dict[str, int]
    tanh_table_bytes: int
    ram_bytes: int
    footprint: Footprint | None
    comparison: Comparison | None
    rounding: Comparison | None
    compiler: str | None
    notices: tuple[str, ...] = ()

    @property
    def n_bytes(self) -> int:
        """Bytes of the model's constants, without the tanh table."""
        return sum(self.n_bytes_by_part.values())


@dataclass(frozen=True)
class _Answers:
    """States (T, H), logits (T, C) and classes (T,) of one sequence."""

    states: NDArray[Any]
    logits: NDArray[Any] | None
    classes: NDArray[Any] | None


def to_c(
    weights: Weights | QuantizedWeights, out: Path, *, name: str, sequences: Sequences,
    quantize: str = "none", report: Callable[[str], None] = lambda text: None,
) -> CExport:
    """Write a FastGRNN as `out`, NAME.c, with NAME.h beside it, proved on `sequences`.

    Args:
        weights: The model. Integers as they are; floats with quantize="int8" are
            calibrated on `sequences`.
        out: A path that ends with .c.
        name: What the functions begin with: a C identifier. See `c_source.c_name`.
        sequences: Real features, unnormalized, (T, D) each; the first gives golden vectors.
        quantize: "none" for float32, "int8" for int8 weights and 16-bit integers.
        report: Takes a line of progress.

    Raises:
        UnsupportedModel: No such name, form or path, or the integers can not hold the model.
        ShapeError: Sequences that the model can not take, or none.
        CalibrationError: Values that 16 bits can not hold.
        ComparisonError: The compiled C computes something else, or does not compile.
        OutputError: The folder is missing or not writable.
    """
    out = Path(out)
    check_name(name)
    demand_path(out)
    model = _model(weights, quantize, sequences)
    report("computing what must come out")
    oracle = [_oracle(weights if isinstance(weights, Weights) else None, s) for s in sequences]
    inputs, expected = _expected(model, sequences, oracle)
    golden = _golden(model, inputs[0])
    header = out.with_suffix(".h")
    with publish(out, header) as (source_partial, header_partial), \
            tempfile.TemporaryDirectory(prefix="edge_sdk-") as folder:
        work = Path(folder)

        def write(facts: Sequence[str]) -> Files:
            files = generate(model, name=name, header=header.name, golden=golden, facts=facts)
            for path, text in ((work / out.name, files.source), (work / header.name, files.header),
                               (work / "harness.c", files.harness)):
                path.write_text(text, encoding="ascii")
            return files

        write([])
        compiler = host_compiler()
        comparison = None
        if compiler is not None:
            report(f"comparing on {len(sequences)} sequences")
            comparison = _prove(compiler, work, out.name, model, inputs, expected)
        measured = footprint(work / out.name, f"{name.upper()}_NO_SELFTEST")
        rounding = _rounding(model, expected, oracle) if isinstance(weights, Weights) else None
        done = CExport(
            out, header, name, quantize, n_bytes_by_part(model),
            TANH_TABLE_BYTES if _has_table(model) else 0,
            model.n_hidden * (2 if isinstance(model, QuantizedWeights) else 4), measured,
            comparison, rounding, None if compiler is None else version(compiler),
            notices(compiler, measured))
        files = write(facts(done))
        if compiler is not None:  # The comment has grown: what is published is what ran.
            _prove(compiler, work, out.name, model, inputs[:1], expected[:1])
        source_partial.write_text(files.source, encoding="ascii")
        header_partial.write_text(files.header, encoding="ascii")
    return done


def facts(done: CExport) -> list[str]:
    """Return what a header says of its sizes and its proof."""
    parts = ", ".join(f"{name} {size}" for name, size in done.n_bytes_by_part.items())
    table = f"; tanh table {done.tanh_table_bytes} B" if done.tanh_table_bytes else ""
    lines = [f"Constants  {done.n_bytes} B ({parts}){table}",
             *memory_facts(done.ram_bytes, done.footprint)]
    c = done.comparison
    if c is None:
        lines.append("Proved     NOTHING: there was no C compiler where this was written")
    elif done.quantize == "int8":
        lines.append(f"Proved     bit for bit the integers of its NumPy twin, {c.n} sequences "
                     f"({done.compiler})")
    else:
        lines.append(f"Proved     within {c.max_difference:.1e} of float64, {c.n} sequences "
                     f"({done.compiler})")
    if done.rounding is not None and done.quantize == "int8":
        r = done.rounding
        lines.append(f"Rounding   at most {r.max_difference:.2g} from float64; same class in "
                     f"{r.argmax_agreement:.2%}")
    return lines


def memory_facts(ram_bytes: int, measured: Footprint | None) -> list[str]:
    """Return the lines of RAM and flash."""
    if measured is None:
        return [f"RAM        {ram_bytes} B of state",
                "Flash      code and stack not measured: there was no compiler for ARM"]
    stack = "unknown" if measured.stack_bytes is None else f"at most {measured.stack_bytes} B"
    return [f"RAM        {ram_bytes} B of state; stack {stack}",
            f"Flash      {measured.flash_bytes} B with code on {DEVICE}, the self-test "
            f"{measured.selftest_bytes} B more",
            f"           ({measured.compiler})"]


# --- checks -----------------------------------------------------------------------------


def demand_path(out: Path) -> None:
    """Check that `out` ends with .c; the name of its header goes into an #include.

    Raises:
        UnsupportedModel: It is another name.
    """
    if out.suffix != ".c" or not re.fullmatch(r"[A-Za-z0-9._+-]+", out.name):
        raise UnsupportedModel("a file name of letters, digits, . _ + - that ends with .c",
                               repr(out.name), where="`out`", hint="for example kws.c")
    if out.name == "harness.c":
        raise UnsupportedModel("another file name", repr(out.name), where="`out`",
                               hint="harness.c is the program that proves it")


def _model(
    weights: Weights | QuantizedWeights, quantize: str, sequences: Sequences
) -> Weights | QuantizedWeights:
    if quantize not in ("none", "int8"):
        raise UnsupportedModel("none or int8", repr(quantize), where="`quantize`",
                               hint="int8: int8 weights, 16-bit integers")
    for s in sequences:
        if not isinstance(s, np.ndarray) or s.ndim != 2 or len(s) == 0 or \
                s.shape[1] != weights.n_inputs or not np.isfinite(s).all():
            got = f"{list(s.shape)}" if isinstance(s, np.ndarray) else type(s).__name__
            raise ShapeError(f"finite sequences (T >= 1, {weights.n_inputs})", got,
                             where="`sequences`", hint="real features, unnormalized")
    if len(sequences) == 0:
        raise ShapeError("a sequence or more", "none", where="`sequences`",
                         hint="nothing is written that is not proved")
    if isinstance(weights, QuantizedWeights):
        if quantize != "int8":
            raise UnsupportedModel("quantize='int8' for a model in integers", repr(quantize),
                                   where="`quantize`", hint="pass its Weights for float32")
        return weights
    return to_integers(weights, features=sequences) if quantize == "int8" else weights


def _has_table(model: Weights | QuantizedWeights) -> bool:
    return isinstance(model, QuantizedWeights) and model.has_tanh_table


def notices(compiler: list[str] | None, measured: Footprint | None) -> tuple[str, ...]:
    """Return what was not done for want of a compiler."""
    found = []
    if compiler is None:
        found.append("not proved: no C compiler (cc, gcc or clang) to run the generated code with")
    if measured is None:
        found.append("flash and stack not measured: no arm-none-eabi-gcc")
    return tuple(found)


# --- what must come out -----------------------------------------------------------------


def _oracle(weights: Weights | None, sequence: NDArray[Any]) -> _Answers | None:
    if weights is None:
        return None
    w = weights
    states, logits = fastgrnn(
        sequence, w=w.w, u=w.u, bias_gate=w.bias_gate, bias_update=w.bias_update, zeta=w.zeta,
        nu=w.nu, gate=w.gate, update=w.update, head=w.head, head_bias=w.head_bias, mean=w.mean,
        scale=w.scale)
    return _answers(states, logits if w.n_classes else None)


def _answers(states: NDArray[Any], logits: NDArray[Any] | None) -> _Answers:
    return _Answers(states, logits, None if logits is None else logits.argmax(-1))


def _expected(
    model: Weights | QuantizedWeights, sequences: Sequences, oracle: Sequence[_Answers | None]
) -> tuple[list[NDArray[Any]], list[_Answers]]:
    """Return the C's inputs and answers: the twin's, or the float64 oracle's."""
    if not isinstance(model, QuantizedWeights):
        return ([np.ascontiguousarray(s, np.float32) for s in sequences],
                [answers for answers in oracle if answers is not None])
    inputs = [model.quantize_input(s) for s in sequences]
    return list(inputs), [_twin(model, x) for x in inputs]


def _twin(model: QuantizedWeights, x: NDArray[np.int16]) -> _Answers:
    states = model.states(x)
    return _answers(states, model.logits(states) if model.n_classes else None)


def _golden(model: Weights | QuantizedWeights, x: NDArray[Any]) -> Golden:
    """Return a few frames spread over a sequence; for integers, one that saturates first."""
    chosen = x[np.unique(np.linspace(0, len(x) - 1, N_GOLDEN).astype(int))]
    if isinstance(model, QuantizedWeights):
        extreme = np.where(np.arange(model.n_inputs) % 2, -32768, 32767).astype(np.int16)
        chosen = np.concatenate([extreme[None], chosen])
        answers = _twin(model, chosen)
        return Golden(chosen, answers.states[-1],
                      None if answers.logits is None else answers.logits[-1])
    found = _oracle(model, chosen)
    assert found is not None
    logits = None if found.logits is None else found.logits[-1].astype(np.float32)
    return Golden(chosen, found.states[-1].astype(np.float32), logits,
                  GOLDEN_LIMIT * _scale([found]))


def _scale(answers: Sequence[_Answers]) -> float:
    arrays = [a for one in answers for a in (one.states, one.logits) if a is not None]
    return max(1.0, *(float(np.abs(a).max()) for a in arrays))


# --- the proof --------------------------------------------------------------------------


def _prove(
    compiler: list[str], work: Path, source: str, model: Weights | QuantizedWeights,
    inputs: Sequence[NDArray[Any]], expected: Sequence[_Answers],
) -> Comparison:
    """Compile the source with its harness, run it, and compare every state and logit."""
    program = work / "program"
    compile_c(compiler, [work / source, work / "harness.c"], program)
    data = b"".join(np.int32(len(x)).tobytes() + x.tobytes() for x in inputs)
    got = _read(run_program(program, data), model, [len(x) for x in inputs])
    exact = isinstance(model, QuantizedWeights)
    limit = 0.0 if exact else FLOAT_LIMIT * _scale(expected)
    difference, same = 0.0, 0
    for want, have in zip(expected, got, strict=True):
        pairs = [(want.states, have.states), (want.logits, have.logits)]
        for a, b in pairs:
            if a is not None and b is not None:
                difference = max(difference, difference_of(a, b))
        same += want.classes is None or have.classes is None or \
            bool(want.classes[-1] == have.classes[-1])
    if not difference <= limit or (exact and same != len(got)):
        raise ComparisonError(
            "the twin's integers, bit for bit" if exact else
            f"a max difference of {limit:.2g} or less", f"{difference:.3g}", where="generated C",
            hint="the compiler miscomputes this model; no file was written")
    return Comparison(len(got), difference, same / len(got),
                      "bit for bit" if exact else f"max difference {FLOAT_LIMIT:g}")


def difference_of(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Return the largest difference of two arrays; infinity where `b` is not finite."""
    if not np.isfinite(b).all():
        return float("inf")
    return float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max())


def _read(data: bytes, model: Weights | QuantizedWeights, lengths: list[int]) -> list[_Answers]:
    """Return what the harness wrote: of each frame the state, the logits and the class."""
    exact = isinstance(model, QuantizedWeights)
    fields: list[Any] = [("h", np.int16 if exact else np.float32, (model.n_hidden,))]
    if model.n_classes:
        fields += [("logits", np.int32 if exact else np.float32, (model.n_classes,)),
                   ("class", np.int32)]
    frame = np.dtype(fields)
    if len(data) != frame.itemsize * sum(lengths):
        raise ComparisonError(f"{sum(lengths)} frames of {frame.itemsize} bytes",
                              f"{len(data)} bytes", where="generated C",
                              hint="no file was written")
    found, at = [], 0
    frames = np.frombuffer(data, frame)
    for length in lengths:
        part = frames[at : at + length]
        at += length
        found.append(_Answers(part["h"], part["logits"], part["class"]) if model.n_classes
                     else _Answers(part["h"], None, None))
    return found


def _rounding(
    model: Weights | QuantizedWeights, twin: Sequence[_Answers], oracle: Sequence[_Answers | None]
) -> Comparison | None:
    """Return how far the integers are from the float64 model, as numbers and as classes."""
    if not isinstance(model, QuantizedWeights):
        return None
    difference, same = 0.0, 0
    for have, want in zip(twin, oracle, strict=True):
        assert want is not None
        if have.logits is None or want.logits is None:
            real, exact = have.states * 2.0**-model.state_bits, want.states
        else:
            real, exact = have.logits * 2.0**-model.logit_bits, want.logits
        difference = max(difference, float(np.abs(real - exact).max()))
        same += have.classes is None or want.classes is None or \
            bool(have.classes[-1] == want.classes[-1])
    return Comparison(len(twin), difference, same / len(twin), "reported, not limited")
