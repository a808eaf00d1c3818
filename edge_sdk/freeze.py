"""Fix one granularity of an elastic ONNX file, on a device without torch.

    python -m edge_sdk.freeze FILE --granularity M --out OUT.onnx

What the granularity never runs is dropped, so the new file is as small as one
exported for it alone. This needs `onnx` and `onnxruntime`, and writes nothing
before the new file has answered the golden inputs as the elastic one does.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import typer
from numpy.typing import NDArray

from edge_sdk import containers
from edge_sdk.artifact import (
    Artifact,
    Golden,
    GranularityInfo,
    Metadata,
    open_artifact,
    pack_array,
    publish,
    unpack_array,
)
from edge_sdk.console import command, say
from edge_sdk.containers import WIDTHS
from edge_sdk.engines.base import Engine
from edge_sdk.engines.onnx import ERRORS_ONLY, OnnxEngine, block_counts
from edge_sdk.errors import (
    ComparisonError,
    EngineError,
    FormatError,
    MissingDependency,
    UnsupportedModel,
)
from edge_sdk.granularity import Granularity

_Outputs = dict[str, NDArray[Any]]


def freeze(
    path: str | os.PathLike[str], granularity: str, out: str | os.PathLike[str]
) -> Artifact:
    """Write one granularity of an elastic ONNX file to `out`.

    Args:
        path: The elastic file.
        granularity: Any whose widths are block boundaries, exported by name or not.
            Of one that was not, parameters, MACs and accuracy stay unknown.
        out: The new file, ending in .onnx.

    Raises:
        FormatError: Not an elastic ONNX artifact, damaged, or without golden inputs.
        GranularityError: A width is no block boundary of its layer.
        MissingDependency: onnx or onnxruntime is not installed.
        EngineError: ONNX Runtime refuses the graph.
        ComparisonError: The new file answers otherwise; nothing is written.
        UnsupportedModel: `out` does not end in .onnx.
        OutputError: `out` can not be written.
    """
    if Path(out).suffix != ".onnx":
        raise UnsupportedModel("a file ending in .onnx", repr(Path(out).name), where="`out`",
                               hint="the suffix tells the engine")
    _require()
    source = open_artifact(path)
    _demand_elastic(source)
    chosen = source.metadata.resolve(granularity)
    counts = block_counts(chosen, source.metadata.boundaries)
    wanted = _answers(OnnxEngine(source, 1), source.metadata.golden, chosen.name)
    with publish(out) as (partial,):
        _write_fixed(source.path, counts, partial)
        metadata = _metadata(source.metadata, chosen, wanted)
        _seal_with(partial, metadata)
        got = _answers(OnnxEngine.load(partial), metadata.golden, chosen.name)
        _demand_close(got, wanted, metadata.golden.limit, f"{source.path}, {chosen.name}")
        if any(not np.array_equal(got[name], wanted[name]) for name in wanted):
            # What was measured of the elastic file holds of this one only bit for bit.
            info = replace(metadata.granularities[chosen.name], comparison=None, accuracy=None)
            metadata = replace(metadata, granularities={chosen.name: info})
            _seal_with(partial, metadata)
        digest = containers.verify(partial)
    return Artifact(Path(out), digest, metadata)


def _require() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise MissingDependency("onnx and onnxruntime", str(error), where="freeze",
                                hint="pip install 'edge-inference-sdk[onnx]'") from error


def _demand_elastic(source: Artifact) -> None:
    metadata = source.metadata
    if metadata.target != OnnxEngine.name or not metadata.elastic:
        kind = "an elastic" if metadata.elastic else "a single-granularity"
        raise FormatError("an elastic onnx artifact", f"{kind} {metadata.target} one",
                          where=str(source.path),
                          hint="export with --target onnx --elastic S,M,L,XL")
    if not metadata.golden.inputs:
        raise FormatError("golden inputs to prove the new file with", "none",
                          where=str(source.path), hint="export the elastic file again")


def _write_fixed(path: Path, counts: NDArray[np.int64], out: Path) -> None:
    """Write the graph of `path` with `widths` fixed to `counts`, without what then never runs."""
    import onnx
    import onnxruntime

    model = onnx.load(path)
    for values in (model.graph.input, model.graph.initializer):
        for value in [value for value in values if value.name == WIDTHS]:
            values.remove(value)
    model.graph.initializer.append(onnx.numpy_helper.from_array(counts, WIDTHS))
    options = onnxruntime.SessionOptions()
    # Basic: conditions fold, branches are inlined, and all operators stay standard ones.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(out)
    options.log_severity_level = ERRORS_ONLY
    try:
        onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"],
            # It names the products of several branches alike: such a file would not load.
            disabled_optimizers=["MatMulAddFusion"])
    except Exception as error:  # ONNX Runtime's exceptions have no base but this
        raise EngineError("a graph that ONNX Runtime can fix", str(error), where=str(path),
                          hint="export the file again, with this version") from error


def _seal_with(path: Path, metadata: Metadata) -> None:
    """Give `path` its metadata and seal it; what it had of either is replaced."""
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, {containers.KEY: metadata.to_json()})
    # ONNX Runtime declares all domains it knows, and other tools refuse those they do not.
    used = {node.domain for node in model.graph.node}
    for opset in [opset for opset in model.opset_import if opset.domain not in used]:
        model.opset_import.remove(opset)
    path.write_bytes(model.SerializeToString(deterministic=True))
    containers.seal(path)


def _metadata(source: Metadata, chosen: Granularity, wanted: _Outputs) -> Metadata:
    import onnx
    import onnxruntime

    info = source.granularities.get(chosen.name)
    if info is None:
        info = GranularityInfo(chosen.widths, parameters=None, macs=None)
    recorded = source.golden.outputs.get(chosen.name)
    if recorded is None:
        recorded = {name: pack_array(array) for name, array in wanted.items()}
    return replace(
        source, elastic=False, granularities={chosen.name: info},
        boundaries=tuple(
            tuple(cut for cut in cuts if cut <= width)
            for cuts, width in zip(source.boundaries, chosen.widths, strict=True)),
        golden=replace(source.golden, outputs={chosen.name: recorded}),
        toolchain={**source.toolchain, "onnx": onnx.__version__,
                   "onnxruntime": onnxruntime.__version__},
    )


def _answers(engine: Engine, golden: Golden, name: str) -> _Outputs:
    """Return the outputs for all golden inputs, with a leading axis of cases."""
    inputs = {key: unpack_array(packed) for key, packed in golden.inputs.items()}
    n_cases = len(next(iter(inputs.values())))
    cases = [engine.run({key: array[i : i + 1] for key, array in inputs.items()}, name)
             for i in range(n_cases)]
    return {key: np.concatenate([case[key] for case in cases]) for key in cases[0]}


def _demand_close(got: _Outputs, wanted: _Outputs, limit: float, where: str) -> None:
    allowed = limit * max(1.0, *(float(np.abs(want).max()) for want in wanted.values()))
    for name, want in wanted.items():
        difference = float(np.abs(got[name].astype(np.float64) - want).max())
        # A NaN compares false: ask for what is right, not for what is wrong.
        if not difference <= allowed:
            raise ComparisonError(f"output {name!r} within {allowed:.2g} of the elastic file's",
                                  f"a difference of {difference:.3g}", where=where,
                                  hint="no file was written; export it with --granularity instead")


def main(
    file: Path = typer.Argument(..., help="An elastic .onnx of ours."),
    granularity: str = typer.Option(..., help="S, M, L, XL or a mix such as S*2,M,L,XL*2."),
    out: Path = typer.Option(..., help="The new .onnx."),
) -> None:
    """Fix one granularity of an elastic ONNX file; needs no torch."""
    artifact = freeze(file, granularity, out)
    golden = artifact.metadata.golden
    name, = artifact.metadata.granularities
    n_cases = next(iter(golden.inputs.values()))["shape"][0]
    say(f"wrote   {out}  {out.stat().st_size} B  {name} of {file.name}  "
        f"sha256 {artifact.sha256[:16]}")
    say(f"check   {name:<12} {n_cases} golden  limit {golden.limit:.1e}  ok")


app = command(main)

if __name__ == "__main__":
    app()
