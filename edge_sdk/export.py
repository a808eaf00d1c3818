"""`edge_sdk.export(...)` and `python -m edge_sdk.export`: a model to verified files.

Nothing is written until it is proved: each file is loaded in its own engine, in
a process of its own, and compared with the model on real inputs; only then is
it moved into place.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import typer

from edge_sdk import containers
from edge_sdk.artifact import (
    SUFFIX,
    GranularityInfo,
    Metadata,
    TensorSpec,
    open_artifact,
    publish,
)
from edge_sdk.console import command, progress, say
from edge_sdk.engines import process
from edge_sdk.engines.process import Measurement
from edge_sdk.errors import DataError, UnsupportedModel
from edge_sdk.granularity import Granularity, boundaries, parse, parse_list
from edge_sdk.inspect import describe_sparse
from edge_sdk.prove import Limits, accuracy, compare, eager, golden
from edge_sdk.source import Source, from_sample, require_torch, trained

if TYPE_CHECKING:
    from torch import nn

    from edge_sdk.exporters.mlp_to_c import MLPExport
    from edge_sdk.exporters.request import Lowered
    from edge_sdk.exporters.to_c import CExport
    from edge_sdk.fit import Choice
    from edge_sdk.sequence.source import SequenceSource

TARGETS = tuple(SUFFIX)


@dataclass(frozen=True)
class Export:
    """One file that was written: what it holds, and what it cost to run here.

    `measured` is of this machine, at one thread, and not kept in the file.
    """

    path: Path
    n_bytes: int
    sha256: str
    metadata: Metadata
    measured: Measurement

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON form, without golden arrays."""
        metadata = json.loads(self.metadata.to_json())
        metadata.pop("golden")
        return {"path": str(self.path), "bytes": self.n_bytes, "sha256": self.sha256,
                "metadata": metadata, "measured": asdict(self.measured)}


@overload
def export(
    model: nn.Module | SequenceSource, out: str | os.PathLike[str], *, target: Literal["c"],
    sample: Any = None, quantize: str = "none", report: Callable[[str], None] = ...,
) -> CExport | MLPExport: ...


@overload
def export(
    model: nn.Module | Source | SequenceSource, out: str | os.PathLike[str], *, sample: Any = None,
    target: str = ..., granularity: str = "XL", elastic: str | None = None,
    quantize: str = "none", sparse: str | None = None, limits: Limits | None = None,
    report: Callable[[str], None] = ...,
) -> Export: ...


def export(
    model: nn.Module | Source | SequenceSource, out: str | os.PathLike[str], *,
    sample: Any = None, target: str = "executorch",
    granularity: str = "XL", elastic: str | None = None, quantize: str = "none",
    sparse: str | None = None, limits: Limits | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> Export | CExport | MLPExport:
    """Write `model` at one granularity, or several that share weights, as one verified file.

    A `FastGRNNClassifier` has no granularities. Its .onnx takes sequences, and a second one,
    `out` with -step in its name, one frame. C is `out` with a header beside it.

    Args:
        model: Holds nested FFNs (see `edge_sdk.nn.nesting.nest`), or is a plain module with
            XL as its one granularity, or a `Source`; or a `FastGRNNClassifier`, or a
            `SequenceSource`.
        out: The file; its suffix must be the target's.
        sample: The model's inputs, tensors with a leading axis of one or more real cases:
            all of them are compared. Of a `FastGRNNClassifier`, sequences (T, D).
        target: executorch, litert or onnx; of a `FastGRNNClassifier`, or an MLP as one
            `nn.Sequential`, also c.
        granularity: S, M, L, XL or a Mix'n'Match such as S*2+M*2+L+XL.
        elastic: Several granularities, separated by commas, in one file instead.
        quantize: "none", or "int8".
        sparse: "float32" or "int8" values of weights with many zeros, stored compactly: in
            ExecuTorch run by our operators where that is faster, elsewhere a smaller file
            of the same speed. "none" stores the zeros. None does as a `Source` says.
        limits: How far the file may be from the model.
        report: Called with what is being done.

    Returns:
        What was written; the file named `out`, where there are two.

    Raises:
        GranularityError: No such granularity in this model.
        ComparisonError: The file does not compute what the model computes.
        MissingDependency: The target's toolchain is not installed.
        OutputError: `out` can not be written.
    """
    from edge_sdk.sequence.source import SequenceSource

    if not isinstance(model, Source | SequenceSource):
        model = _source(model, sample)
    if isinstance(model, SequenceSource):
        from edge_sdk.sequence.export import export_sequences
        from edge_sdk.sequence.prove import LIMITS

        demand_no_granularity(model.name, granularity=granularity, elastic=elastic)
        return export_sequences(model, {target: Path(out)}, quantize=quantize,
                                limits=limits or LIMITS, report=report)[0]
    if target == "c":
        demand_no_granularity(model.name, granularity=granularity, elastic=elastic)
        return export_mlp(model, Path(out), quantize=quantize, report=report)
    return export_all(model, {target: Path(out)}, granularity=granularity, elastic=elastic,
                      quantize=quantize, sparse=sparse, limits=limits or Limits(),
                      report=report)[0]


def _source(model: nn.Module, sample: Any) -> Source | SequenceSource:
    if sample is None:
        raise UnsupportedModel("sample inputs", "none", where="`sample`",
                               hint="pass real inputs, batch first: they prove the file")
    require_torch()
    from edge_sdk.sequence import source as sequence

    if sequence.is_classifier(model):
        return sequence.from_sample(type(model).__name__, model, sample)  # type: ignore[arg-type]
    samples = [sample] if hasattr(sample, "numpy") else list(sample)
    return from_sample(type(model).__name__, model, [tensor.numpy() for tensor in samples])


def demand_no_granularity(name: str, **options: object) -> None:
    """Check that no option of granularities was given for a model that has none.

    Args:
        name: The model's.
        options: By the name of the option; "XL" is the default of `granularity`.

    Raises:
        UnsupportedModel: One was.
    """
    for option, value in options.items():
        if value and (option, value) != ("granularity", "XL"):
            raise UnsupportedModel(
                "no choice of size: this model has one", f"{option} {value}", where=name,
                hint="leave it out; a smaller one is trained with fewer units")


def export_mlp(
    source: Source, out: Path, *, quantize: str, report: Callable[[str], None],
) -> MLPExport:
    """Write an MLP as C with a header beside it, layers sparse where that is smaller.

    Ranges of the int8 form are chosen by the source's calibration inputs if it has some.

    Raises:
        UnsupportedModel: No `nn.Sequential`; else as `edge_sdk.exporters.mlp_to_c.export`.
        DataError: int8 without real inputs.
    """
    from torch import nn

    from edge_sdk.exporters.mlp_to_c import export as to_c

    if not isinstance(source.model, nn.Sequential) or len(source.inputs) != 1:
        raise UnsupportedModel("a fastgrnn model, or an MLP as one nn.Sequential",
                               type(source.model).__name__, where="target c",
                               hint="other models run in an engine: --target executorch")
    if quantize == "int8" and source.synthetic:
        raise DataError("real inputs to choose int8's ranges by", source.inputs_are,
                        where=source.name, hint="pass real ones")
    (samples,) = (source.calibration or source.inputs).values()
    return to_c(source.model, out, samples=samples, quantize=quantize, labels=source.labels,
                report=lambda text: report(f"c: {text}"))


def export_all(
    source: Source, outs: dict[str, Path], *, granularity: str, elastic: str | None,
    quantize: str, limits: Limits, report: Callable[[str], None], sparse: str | None = None,
) -> list[Export]:
    """Write one file for each target in `outs`; all of them, or none. Errors as `export`."""
    for target, out in outs.items():
        check_out(target, out)
    sparse = source.sparse if sparse is None else sparse
    _check_sparse(sparse, elastic, quantize, source.name)
    if "int8" in (quantize, sparse) and source.synthetic:
        raise DataError("real inputs to prove a quantized file on", source.inputs_are,
                        where=source.name, hint="pass --data DIR, or set $EDGE_SDK_DATA")
    names = trained(source)
    chosen = parse_list(elastic, names) if elastic else [parse(granularity, names)]
    chosen.sort(key=lambda g: (sum(g.widths), g.widths))
    exports = []
    with publish(*outs.values()) as partials:
        for (target, out), partial in zip(outs.items(), partials, strict=True):
            metadata, measured = _write(source, partial, target, chosen, names, bool(elastic),
                                        quantize, sparse, limits, report)
            digest = open_artifact(partial).sha256
            exports.append(Export(out, partial.stat().st_size, digest, metadata, measured))
    return exports


def _check_target(target: str, suffixes: Mapping[str, str] = SUFFIX) -> None:
    if target not in suffixes:
        raise UnsupportedModel(f"one of the targets {', '.join(suffixes)}", repr(target),
                               where="`target`", hint="--target executorch is the default")


def _check_sparse(sparse: str, elastic: str | None, quantize: str, where: str) -> None:
    if sparse not in ("none", "float32", "int8"):
        raise UnsupportedModel("sparse none, float32 or int8", repr(sparse), where=where,
                               hint="float32 keeps the values as they are")
    if sparse != "none" and elastic:
        raise UnsupportedModel("one granularity in a file with sparse layers",
                               f"elastic {elastic}", where=where,
                               hint="--granularity M keeps M's prefix of the sparse weights")
    if sparse != "none" and quantize != "none":
        raise UnsupportedModel("quantize none beside sparse layers", quantize, where=where,
                               hint="--sparse int8 stores their values as int8")


def check_out(target: str, out: Path, suffixes: Mapping[str, str] = SUFFIX) -> None:
    """Check that `out` has the suffix of `target`.

    Raises:
        UnsupportedModel: It has another, or there is no such target.
    """
    _check_target(target, suffixes)
    if out.suffix != suffixes[target]:
        raise UnsupportedModel(f"a file ending in {suffixes[target]}", repr(out.name),
                               where="`out`",
                               hint=f"the suffix tells the engine: {out.stem}{suffixes[target]}")


def _write(
    source: Source, path: Path, target: str, chosen: Sequence[Granularity],
    named: dict[str, tuple[int, ...]], elastic: bool, quantize: str, sparse: str,
    limits: Limits, report: Callable[[str], None],
) -> tuple[Metadata, Measurement]:
    """Lower, write, compare in the engine, write again with the figures, run that once more."""
    from edge_sdk.exporters.request import Request, output_names

    weights = source.weights_sha256()
    names = output_names(source.model, source.sample)
    # ONNX can choose any trained width per call and layer, so it is cut at all of them.
    cuts = boundaries([*chosen, *(Granularity(n, w) for n, w in named.items())]
                      if elastic and target == "onnx" else list(chosen))
    lowered = _lower(target, Request(
        model=source.model, sample=source.sample, input_names=tuple(source.inputs),
        output_names=names, granularities=chosen, elastic=elastic, boundaries=cuts,
        quantize=quantize, sparse=sparse, report=lambda text: report(f"{target}: {text}"),
    ))
    if sparse == "int8":
        quantize = sparse  # what it means for the comparison
    report(f"{target}: running the model in eager mode")
    expected = {g.name: eager(source, g, names) for g in chosen}
    metadata = Metadata(
        model=source.name, family="matformer", target=target, quantization=quantize,
        elastic=elastic, trained=dict(named), boundaries=tuple(map(tuple, cuts)),
        granularities={g.name: _info(source, g, lowered) for g in chosen},
        inputs=tuple(TensorSpec(name, (1, *array.shape[1:]), array.dtype.name)
                     for name, array in source.inputs.items()),
        outputs=tuple(TensorSpec(name, (1, *array.shape[1:]), array.dtype.name)
                      for name, array in expected[chosen[0].name].items()),
        dims=source.dims, dim=source.dim, preprocessing=source.preprocessing,
        labels=source.labels, weights_sha256=weights,
        toolchain={**lowered.toolchain, "edge-inference-sdk": version(),
                   "python": platform.python_version()},
        sparse=lowered.sparse, schema_version=1 if lowered.sparse is None else 3,
    )
    lowered.write(path, metadata.to_json())
    containers.seal(path)
    report(f"{target}: comparing on {len(next(iter(source.inputs.values())))} inputs")
    got = process.run(path, source.inputs, [g.name for g in chosen])
    metadata = _proved(metadata, source, expected, got, quantize, limits)
    lowered.write(path, metadata.to_json())
    containers.seal(path)
    report(f"{target}: measuring")
    selftest_quietly(path)
    return metadata, process.measure(path)


def _lower(target: str, request: Any) -> Lowered:
    lowered: Lowered = import_module(f"edge_sdk.exporters.to_{target}").lower(request)
    return lowered


def selftest_quietly(path: Path) -> None:
    """Run the golden inputs of a file again; errors as `edge_sdk.selftest.selftest`."""
    from edge_sdk.selftest import selftest

    selftest(path)


def _info(source: Source, granularity: Granularity, lowered: Lowered) -> GranularityInfo:
    from edge_sdk.nn.counting import count_macs, count_parameters
    from edge_sdk.nn.matformer import extract

    small = extract(source.model, granularity.widths)
    return GranularityInfo(granularity.widths, count_parameters(small),
                           count_macs(small, source.sample), lowered.coverage[granularity.name])


def _proved(
    metadata: Metadata, source: Source, expected: process.Outputs, got: process.Outputs,
    quantize: str, limits: Limits,
) -> Metadata:
    infos = {}
    for name, info in metadata.granularities.items():
        where = f"{metadata.target}, {name}"
        options: Any = {"quantization": quantize, "limits": limits, "where": where}
        infos[name] = replace(
            info, comparison=compare(expected[name], got[name], **options),
            accuracy=accuracy(source, expected[name], got[name], **options),
        )
    return replace(metadata, granularities=infos, golden=golden(source, got, quantize))


def version() -> str:
    """Return this package's version."""
    from edge_sdk import __version__

    return str(__version__)


# --- the command ----------------------------------------------------------------------


def describe(done: Export) -> str:
    """Return the aligned text that the command prints for one file."""
    m, measured = done.metadata, done.measured
    ram = "unknown" if measured.peak_rss_mb is None else f"{measured.peak_rss_mb:.1f} MB"
    rows = [
        f"wrote   {done.path}  {done.n_bytes} B  {m.target}  quantize {m.quantization}  "
        f"sha256 {done.sha256[:16]}",
        f"run     load {measured.load_ms:.1f} ms  peak RAM {ram}  {measured.threads} thread  "
        "on this machine",
        *describe_sparse(m.sparse),
    ]
    for name, info in m.granularities.items():
        coverage = "unknown" if info.coverage is None else f"{info.coverage:.0%} of nodes"
        rows.append(f"size    {name:<12} {info.parameters} parameters  {info.macs} MACs  "
                    f"latency {measured.latency_ms[name]:.3f} ms  delegated {coverage}")
        if info.comparison is not None:
            c = info.comparison
            rows.append(f"check   {name:<12} n {c.n}  max difference {c.max_difference:.1e}  "
                        f"argmax agreement {c.argmax_agreement:.2%}  limit {c.limit}  ok")
        if info.accuracy is not None:
            a = info.accuracy
            rows.append(f"top-1   {name:<12} {a.top1:.2%}  eager {a.eager:.2%}  n {a.n}  {a.split}")
    return "\n".join(rows)


def outs_in(
    out: Path | None, targets: Sequence[str], stem: str, suffixes: Mapping[str, str] = SUFFIX,
) -> dict[str, Path]:
    """Return a path for each target: `out` itself, or named in the folder `out`."""
    for target in targets:
        _check_target(target, suffixes)
    if out is not None and out.suffix in suffixes.values():
        if len(targets) > 1:
            raise UnsupportedModel("a folder for several targets", repr(str(out)), where="--out",
                                   hint="name a folder, or one --target")
        return {targets[0]: out}
    folder = out or Path(".")
    return {target: folder / f"{stem}{suffixes[target]}" for target in targets}


def main(
    granularity: str = typer.Option("XL", help="S, M, L, XL or a mix such as S*2,M,L,XL*2."),
    elastic: str = typer.Option("", help="Several in one file: S,M,L,XL,S*2+XL."),
    fit_bytes: int = typer.Option(0, help="Best mix whose file has at most this many bytes."),
    fit_macs: int = typer.Option(0, help="Best mix with at most this many MACs."),
    fit_latency_ms: float = typer.Option(0.0, help="Best mix within this latency here."),
    target: str = typer.Option("executorch", help="executorch, litert, onnx, c or all."),
    quantize: str = typer.Option("none", help="none or int8."),
    sparse: str = typer.Option(None, help="none, float32 or int8 values; a str-... model's own."),
    model: str = typer.Option("matvit-digits", help="Zoo name, or module:factory."),
    checkpoint: Path = typer.Option(None, help="Weights instead of the shipped ones."),
    data: Path = typer.Option(None, help="Folder with data sets; or $EDGE_SDK_DATA."),
    dim: int = typer.Option(0, help="Matryoshka dim to export; the longest by default."),
    samples: int = typer.Option(512, min=1, help="Compare on at most this many held-out inputs."),
    out: Path = typer.Option(None, help="File, or folder; the current one by default."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
    quiet: bool = typer.Option(False, "--quiet", help="No progress."),
) -> None:
    """Write a model for devices, proved against the original on real inputs."""
    if elastic and (fit_bytes or fit_macs or fit_latency_ms):
        raise typer.BadParameter("--fit-... chooses one granularity; leave --elastic out")
    if sum(map(bool, (fit_bytes, fit_macs, fit_latency_ms))) > 1:
        raise typer.BadParameter("one --fit-... at a time")
    choice = None
    with progress(quiet) as report:
        from edge_sdk.sequence.source import SequenceSource, find

        report("loading the model")
        source = find(model, checkpoint=checkpoint, data=data, dim=dim or None, n_cases=samples)
        if isinstance(source, SequenceSource):
            from edge_sdk.sequence.export import export_sequences, name_outs

            demand_no_granularity(model, granularity=granularity, elastic=elastic,
                                  fit_bytes=fit_bytes, fit_macs=fit_macs,
                                  fit_latency_ms=fit_latency_ms)
            if sparse not in (None, "none"):
                raise typer.BadParameter("--sparse is for models with Linear or Conv2d layers")
            done: Sequence[Export | CExport | MLPExport] = export_sequences(
                source, name_outs(out, target, _stem(model, "", quantize)), quantize=quantize,
                report=report)
        elif target == "c":
            from edge_sdk.sequence.export import name_outs

            demand_no_granularity(model, granularity=granularity, elastic=elastic,
                                  fit_bytes=fit_bytes, fit_macs=fit_macs,
                                  fit_latency_ms=fit_latency_ms)
            (path,) = name_outs(out, target, _stem(model, "", quantize)).values()
            done = [export_mlp(source, path, quantize=quantize, report=report)]
        else:
            targets = TARGETS if target == "all" else (target,)
            choice, done = _export_granularities(
                source, lambda name: outs_in(out, targets, _stem(model, name, quantize)),
                granularity=granularity, elastic=elastic, quantize=quantize, sparse=sparse,
                report=report,
                fits={"max_bytes": fit_bytes, "max_macs": fit_macs,
                      "max_latency_ms": fit_latency_ms})
    if as_json:
        say(json.dumps({"fit": choice and asdict(choice), "files": [_packed(d) for d in done]}))
        return
    say(f"model   {source.name}  compared on {source.inputs_are}")
    if choice is not None:
        say(choice.describe())
    for export_ in done:
        say(_words(export_))


def _export_granularities(
    source: Source, outs: Callable[[str], dict[str, Path]], *, granularity: str, elastic: str,
    quantize: str, sparse: str | None, fits: dict[str, Any], report: Callable[[str], None],
) -> tuple[Choice | None, list[Export]]:
    """Export the best fit if one is asked for, else what is named."""
    if any(fits.values()):
        if not trained(source)["XL"] or sparse not in (None, "none"):
            raise typer.BadParameter("--fit-... chooses among the sizes of a nested model, and "
                                     "counts dense layers: leave it or --sparse out")
        from edge_sdk.fit import export_fitting

        return export_fitting(source, outs, quantize=quantize, limits=Limits(), report=report,
                              **fits)
    name = "elastic" if elastic else parse(granularity, trained(source)).name
    return None, export_all(source, outs(name), granularity=granularity, elastic=elastic or None,
                            quantize=quantize, sparse=sparse, limits=Limits(), report=report)


def _packed(done: Any) -> dict[str, Any]:
    if hasattr(done, "metadata"):
        packed: dict[str, Any] = done.to_dict()
        return packed
    from edge_sdk.sequence.export import pack_c

    return pack_c(done)


def _words(done: Any) -> str:
    if not hasattr(done, "metadata"):
        from edge_sdk.sequence.export import describe_c

        return describe_c(done)
    if done.metadata.sequence is not None:
        from edge_sdk.sequence.export import describe as describe_sequence

        return describe_sequence(done)
    return describe(done)


def _stem(model: str, granularity: str, quantize: str) -> str:
    name = model.replace(":", "-").replace(".", "-")
    # `*` in a file name is a trap in every shell.
    suffix = "" if quantize == "none" else f"-{quantize}"
    size = f"-{granularity.replace('*', 'x')}" if granularity else ""
    return f"{name}{size}{suffix}"


class _CallableModule(types.ModuleType):
    """Lets `edge_sdk.export(...)` be the function though `edge_sdk.export` is the module.

    Importing a submodule binds its name in the package, over any function of
    that name; whichever comes first, the call works.
    """

    def __call__(self, *args: Any, **options: Any) -> Any:
        return export(*args, **options)


sys.modules[__name__].__class__ = _CallableModule

app = command(main)

if __name__ == "__main__":
    app()
