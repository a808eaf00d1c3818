"""`python -m edge_sdk.inspect FILE`: what an artifact says of itself, without any toolchain."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import typer

from edge_sdk.artifact import Artifact, open_artifact
from edge_sdk.console import command, say


def describe(artifact: Artifact) -> str:
    """Return the aligned text that the command prints."""
    m = artifact.metadata
    kind = "elastic" if m.elastic else "single"
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
    rows.append("tools   " + "  ".join(f"{k} {v}" for k, v in m.toolchain.items()))
    rows.append(f"weights sha256 {m.weights_sha256[:16]}  "
                f"golden {len(m.golden.outputs)} granularities  schema {m.schema_version}")
    return "\n".join(rows)


def _count(value: int | None) -> str:
    return "unknown" if value is None else str(value)


def main(
    file: Path = typer.Argument(..., help="An exported .pte, .tflite or .onnx."),
    as_json: bool = typer.Option(False, "--json", help="Print the whole metadata as JSON."),
) -> None:
    """Verify FILE and show what it says of itself."""
    artifact = open_artifact(file)
    if as_json:
        say(json.dumps({"sha256": artifact.sha256, **asdict(artifact.metadata)}))
    else:
        say(describe(artifact))


app = command(main)

if __name__ == "__main__":
    app()
