"""`python -m edge_sdk.inspect FILE`: what an artifact says of itself, without any toolchain."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from edge_sdk.artifact import Artifact, SequenceInfo, SparseInfo, TensorSpec, open_artifact
from edge_sdk.console import command, say


def describe(artifact: Artifact) -> str:
    """Return the aligned text that the command prints."""
    m = artifact.metadata
    kind = "sequences" if m.sequence is not None else "elastic" if m.elastic else "single"
    rows = [
        f"file    {artifact.path.name}  {artifact.path.stat().st_size} B  sha256 "
        f"{artifact.sha256[:16]}",
        f"model   {m.model}  {m.family}  {m.target}  {kind}  quantize {m.quantization}",
    ]
    rows += [f"input   {s.name}  {s.dtype} {list(s.shape)}" for s in m.inputs]
    rows += [f"output  {s.name}  {s.dtype} {list(s.shape)}" for s in m.outputs]
    if m.dims:
        rows.append(f"dims    {' '.join(map(str, m.dims))}  exported {m.dim}")
    if m.preprocessing:
        rows.append("before  " + "  ".join(f"{k} {v}" for k, v in m.preprocessing.items()))
    if m.labels:
        rows.append(f"labels  {len(m.labels)}: {', '.join(m.labels[:5])}, ...")
    if m.sequence is not None:
        rows += _methods(m.sequence)
    for name, info in m.granularities.items():
        rows.append(f"size    {name:<12} widths {','.join(map(str, info.widths))}  "
                    f"{_count(info.parameters)} parameters  {_count(info.macs)} MACs")
        if info.comparison:
            c = info.comparison
            rows.append(f"check   {name:<12} n {c.n}  max difference {c.max_difference:.1e}  "
                        f"argmax agreement {c.argmax_agreement:.2%}  limit {c.limit}")
        if info.accuracy:
            a = info.accuracy
            rows.append(f"top-1   {name:<12} {a.top1:.2%}  eager {a.eager:.2%}  n {a.n}  {a.split}")
    rows += describe_sparse(m.sparse)
    rows.append("tools   " + "  ".join(f"{k} {v}" for k, v in m.toolchain.items()))
    rows.append(f"weights sha256 {m.weights_sha256[:16]}  "
                f"golden {len(m.golden.outputs)} "
                f"{'granularities' if m.sequence is None else 'ways'}  schema {m.schema_version}")
    return "\n".join(rows)


def describe_sparse(info: SparseInfo | None) -> list[str]:
    """Return the lines of a file's sparse layers; none for a file without."""
    if info is None:
        return []
    stored = sum(layer.n_bytes for layer in info.layers)
    dense = sum(layer.dense_bytes for layer in info.layers)
    return [f"sparse  {info.values} values  weights {stored} B of {dense}  speed {info.speed}",
            *(f"layer   {layer.name}  {layer.form}  zeros {layer.zeros / layer.entries:.1%}  "
              f"{layer.n_bytes} B of {layer.dense_bytes}{'  ' * bool(layer.why)}{layer.why}"
              for layer in info.layers)]


def size(info: SequenceInfo) -> str:
    """Return the line of a recurrent model's sizes."""
    ranks = "/".join("whole" if rank is None else str(rank) for rank in info.ranks)
    return (f"size    inputs {info.n_inputs}  hidden {info.n_hidden}  classes {info.n_classes}  "
            f"ranks {ranks}  {info.parameters} parameters  {info.macs} MACs a frame")


def figures(info: SequenceInfo, end: str = "") -> list[str]:
    """Return the lines of what a recurrent model's file was proved on."""
    rows = [f"check   {way:<12} n {c.n}  max difference {c.max_difference:.1e}  "
            f"argmax agreement {c.argmax_agreement:.2%}  limit {c.limit}{end}"
            for way, c in info.comparison.items()]
    if info.streaming_difference is not None:
        rows.append("stream  step by step is the whole sequence within "
                    f"{info.streaming_difference:.1e}")
    if info.accuracy is not None:
        a = info.accuracy
        rows.append(f"top-1   {'whole':<12} {a.top1:.2%}  eager {a.eager:.2%}  n {a.n}  {a.split}")
    return rows


def _methods(info: SequenceInfo) -> list[str]:
    rows = [size(info), f"cell    gate {info.gate}  update {info.update}"]
    for name, method in info.methods.items():
        most = "any" if method.most is None else method.most
        frames = str(most) if method.least == most else f"{method.least} to {most}"
        rows.append(f"method  {name:<12} frames {frames}")
        rows += [f"takes   {name:<12} {_spec(spec)}" for spec in method.inputs]
        rows += [f"gives   {name:<12} {_spec(spec)}" for spec in method.outputs]
    rows += [f"state   {name}: zeros at first, then the {given} of the call before"
             for name, given in info.state.items()]
    return [*rows, *figures(info)]


def _spec(spec: TensorSpec) -> str:
    shape = ", ".join("T" if n == -1 else str(n) for n in spec.shape)
    return f"{spec.name}  {spec.dtype} [{shape}]"


def _count(value: int | None) -> str:
    return "unknown" if value is None else str(value)


def main(
    file: Path = typer.Argument(..., help="An exported .pte, .tflite or .onnx."),
    as_json: bool = typer.Option(False, "--json", help="Print the whole metadata as JSON."),
) -> None:
    """Verify FILE and show what it says of itself."""
    artifact = open_artifact(file)
    if as_json:
        say(json.dumps({"sha256": artifact.sha256, **json.loads(artifact.metadata.to_json())}))
    else:
        say(describe(artifact))


app = command(main)

if __name__ == "__main__":
    app()
