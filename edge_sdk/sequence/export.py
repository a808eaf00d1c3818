"""A recurrent model to verified files: the flow of `edge_sdk.export` for sequences.

As there, nothing is written until it is proved: each file is loaded in its own engine, in
a process of its own, and compared with the model on whole real sequences, run at once and
step by step; only then is it moved into place.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sdk import containers
from edge_sdk.artifact import SUFFIX, Metadata, SequenceInfo, open_artifact, publish
from edge_sdk.engines import process
from edge_sdk.engines.process import Measurement, Outputs
from edge_sdk.errors import DataError, UnsupportedModel
from edge_sdk.export import Export, check_out, outs_in, selftest_quietly, version
from edge_sdk.inspect import figures, size
from edge_sdk.prove import Limits
from edge_sdk.sequence.prove import LIMITS, eager, golden, golden_sequences, proved
from edge_sdk.sequence.source import SequenceSource

if TYPE_CHECKING:
    from edge_sdk.exporters.mlp_to_c import MLPExport
    from edge_sdk.exporters.sequences.request import File
    from edge_sdk.exporters.to_c import CExport
    from edge_sdk.fastgrnn.weights import Weights

SUFFIXES = {**SUFFIX, "c": ".c"}
STEP = "-step"
"""What the name of an .onnx gets for the graph of one frame: one file of ONNX has one graph."""


def export_sequences(
    source: SequenceSource, outs: Mapping[str, Path], *, quantize: str = "none",
    limits: Limits = LIMITS, report: Callable[[str], None] = lambda text: None,
) -> list[Export | CExport]:
    """Write the files of each target in `outs`; all of them, or none.

    ONNX has two, of the name given and with -step behind it; C has NAME.c and NAME.h.

    Args:
        source: The model, and real sequences to prove the files on.
        outs: The main file of each target: executorch, litert, onnx, c.
        quantize: "none", or "int8" for C alone.
        limits: How far an engine's file may be from the model.
        report: Called with what is being done.

    Raises:
        UnsupportedModel: A target, or a quantization, that there is none of.
        CheckpointError: A weight is NaN or infinite.
        ComparisonError: A file does not compute what the model computes.
        MissingDependency: A target's toolchain is not installed.
        OutputError: A file can not be written.
    """
    for target, out in outs.items():
        check_out(target, out, SUFFIXES)
        _check_quantization(target, quantize, source)
    weights, digest = source.weights(), _digest(source)
    expected = eager(source)
    finals = [final for target, out in outs.items() for final in _finals(target, out)]
    done: list[Export | CExport] = []
    with publish(*finals) as partials:
        places = dict(zip(finals, partials, strict=True))
        for target, out in outs.items():
            if target == "c":
                done.append(_write_c(source, weights, out, places, quantize, report))
                continue
            files = _lower(target, weights, report)
            for suffix, file in files.items():
                final = _beside(out, suffix)
                partial = places[final]
                metadata = _metadata(source, weights, digest, target, file)
                metadata, measured = _write(partial, metadata, source, file, expected, limits,
                                            lambda text, t=target: report(  # type: ignore[misc]
                                                f"{t}: {text}"))
                done.append(Export(final, partial.stat().st_size, open_artifact(partial).sha256,
                                   metadata, measured))
    return done


def _check_quantization(target: str, quantize: str, source: SequenceSource) -> None:
    if quantize not in ("none", "int8"):
        raise UnsupportedModel("quantize none or int8", repr(quantize), where=f"target {target}",
                               hint="int8 is for --target c")
    if quantize == "int8" and target != "c":
        raise UnsupportedModel(
            "quantize none", repr(quantize), where=f"target {target}, a fastgrnn model",
            hint="--target c --quantize int8: engines quantize a matrix of this size at each "
                 "call, for more than its product costs")
    if quantize == "int8" and source.synthetic:
        raise DataError("real inputs to prove a quantized file on", source.inputs_are,
                        where=source.name, hint="pass --data DIR, or set $EDGE_SDK_DATA")


def _finals(target: str, out: Path) -> list[Path]:
    """Return the files that a target writes."""
    return {"onnx": [out, _beside(out, STEP)], "c": [out, out.with_suffix(".h")]}.get(target, [out])


def _beside(out: Path, suffix: str) -> Path:
    return out.with_name(f"{out.stem}{suffix}{out.suffix}")


def _digest(source: SequenceSource) -> str:
    from edge_sdk.checkpoint import model_digest

    return model_digest(source.model)


def _lower(
    target: str, weights: Weights, report: Callable[[str], None],
) -> Mapping[str, File]:
    from edge_sdk.exporters.sequences.request import SequenceRequest

    request = SequenceRequest(weights, report=lambda text: report(f"{target}: {text}"))
    files: Mapping[str, File] = import_module(
        f"edge_sdk.exporters.sequences.to_{target}").lower(request)
    return files


def _metadata(
    source: SequenceSource, weights: Weights, digest: str, target: str, file: File,
) -> Metadata:
    matrices = [*weights.w, *weights.u, *([] if weights.head is None else [weights.head])]
    return Metadata(
        model=source.name, family="fastgrnn", target=target, quantization="none", elastic=False,
        trained={}, boundaries=(), granularities={}, inputs=(), outputs=(),
        preprocessing=dict(weights.preprocessing), labels=weights.labels, weights_sha256=digest,
        toolchain={**file.lowered.toolchain, "edge-inference-sdk": version(),
                   "python": platform.python_version()},
        schema_version=2,
        sequence=SequenceInfo(
            n_inputs=weights.n_inputs, n_hidden=weights.n_hidden, n_classes=weights.n_classes,
            ranks=weights.ranks, gate=weights.gate, update=weights.update,
            parameters=2 + sum(array.size for name, array in weights.arrays().items()
                               if name not in ("mean", "scale")),  # 2: zeta and nu
            macs=sum(matrix.size for matrix in matrices), methods=dict(file.methods),
            state={"h": "h_next"}),
    )


def _write(
    path: Path, metadata: Metadata, source: SequenceSource, file: File,
    expected: dict[str, Any], limits: Limits, report: Callable[[str], None],
) -> tuple[Metadata, Measurement]:
    """Write, compare in the engine, write again with the figures, run that once more."""
    file.lowered.write(path, metadata.to_json())
    containers.seal(path)
    report(f"comparing on {len(source.sequences)} sequences")
    beginnings = golden_sequences(source)
    got = process.run_sequences(path, [*source.sequences, *beginnings])
    own, answers = _divide(got, source)
    metadata = proved(metadata, source, expected, own, limits)
    metadata = replace(metadata, golden=golden(beginnings, answers))
    file.lowered.write(path, metadata.to_json())
    containers.seal(path)
    report("measuring")
    selftest_quietly(path)
    return metadata, process.measure(path)


def _divide(got: Outputs, source: SequenceSource) -> tuple[Outputs, Outputs]:
    """Return the answers on the source's sequences, and those on the golden ones behind."""
    ends = {"logits": len(source.sequences), "state": len(source.sequences),
            "frames": sum(map(len, source.sequences))}
    return tuple(  # type: ignore[return-value]
        {way: {name: by_name[name][cut(end)] for name, end in ends.items()}
         for way, by_name in got.items()}
        for cut in (slice, lambda end: slice(end, None)))


def _write_c(
    source: SequenceSource, weights: Weights, out: Path, places: Mapping[Path, Path],
    quantize: str, report: Callable[[str], None],
) -> CExport:
    """Have to_c prove and write both files, and move the header to where it is published from."""
    from edge_sdk.exporters.c_source import c_name
    from edge_sdk.exporters.to_c import to_c

    header = out.with_suffix(".h")
    # Ranges are not chosen by the sequences on which accuracy is held out.
    sequences = source.calibration if quantize == "int8" and source.calibration else \
        source.sequences
    done: CExport = to_c(weights, places[out], name=c_name(out.stem), sequences=sequences,
                         quantize=quantize, report=lambda text: report(f"c: {text}"))
    os.replace(done.header, places[header])
    return replace(done, path=out, header=header)


# --- the words of the command -------------------------------------------------------------


def describe(done: Export) -> str:
    """Return the aligned text that the command prints for a file of an engine."""
    m, measured = done.metadata, done.measured
    assert m.sequence is not None
    ram = "unknown" if measured.peak_rss_mb is None else f"{measured.peak_rss_mb:.1f} MB"
    rows = [
        f"wrote   {done.path}  {done.n_bytes} B  {m.target}  quantize {m.quantization}  "
        f"sha256 {done.sha256[:16]}",
        f"run     load {measured.load_ms:.1f} ms  peak RAM {ram}  {measured.threads} thread  "
        "on this machine",
        size(m.sequence),
    ]
    for name, method in m.sequence.methods.items():
        latency_us, n = measured.latency_ms[name] * 1e3, measured.frames[name]
        coverage = "unknown" if method.coverage is None else f"{method.coverage:.0%} of nodes"
        rows.append(f"method  {name:<12} {latency_us:.1f} us for {n}  {latency_us / n:.2f} us a "
                    f"frame  delegated {coverage}")
    return "\n".join([*rows, *figures(m.sequence, "  ok")])


def describe_c(done: CExport | MLPExport) -> str:
    """Return the aligned text that the command prints for generated C."""
    from edge_sdk.exporters import mlp_to_c, to_c

    facts = mlp_to_c.facts(done) if isinstance(done, mlp_to_c.MLPExport) else to_c.facts(done)
    return "\n".join([
        f"wrote   {done.path}  {done.header}  c  quantize {done.quantize}",
        *(f"c       {line}" for line in facts),
        *(f"notice  {notice}" for notice in done.notices),
    ])


def pack_c(done: CExport | MLPExport) -> dict[str, Any]:
    """Return the JSON form of generated C."""
    return {**asdict(done), "path": str(done.path), "header": str(done.header), "target": "c",
            "constants_bytes": done.n_bytes}


def name_outs(out: Path | None, target: str, stem: str) -> dict[str, Path]:
    """Return the main file of each target that --target names: `out` itself, or in it.

    A C file in a folder is named as the functions in it begin.
    """
    outs = outs_in(out, tuple(SUFFIXES) if target == "all" else (target,), stem, SUFFIXES)
    if "c" in outs and outs["c"] != out:
        from edge_sdk.exporters.c_source import c_name

        outs["c"] = outs["c"].with_name(f"{c_name(stem)}.c")
    return outs
