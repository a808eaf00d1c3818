"""`python -m edge_sdk.bench FILE...`: latency and RAM of artifacts, a process each."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import typer

from edge_sdk.artifact import open_artifact
from edge_sdk.console import command, say
from edge_sdk.engines import process


def main(
    files: list[Path] = typer.Argument(..., help="Exported .pte, .tflite or .onnx files."),
    repeats: int = typer.Option(100, min=1, help="Calls of each granularity or method."),
    threads: int = typer.Option(1, min=1, help="Threads of the engine."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Measure load time, median latency and peak RAM of FILES on this machine."""
    results = {}
    for file in files:
        artifact = open_artifact(file)
        measured = process.measure(artifact.path, repeats=repeats, threads=threads)
        results[str(file)] = asdict(measured)
        if as_json:
            continue
        ram = "unknown" if measured.peak_rss_mb is None else f"{measured.peak_rss_mb:.1f} MB"
        say(f"file    {file}  {artifact.metadata.target}  load {measured.load_ms:.1f} ms  "
            f"peak RAM {ram}  threads {threads}")
        for name, latency_ms in measured.latency_ms.items():
            frames = measured.frames.get(name)
            latency = f"{latency_ms:.3f} ms" if frames is None else \
                f"{latency_ms * 1e3:.1f} us for {frames} frame(s)"
            say(f"run     {name:<12} latency {latency}  median of {repeats}")
    if as_json:
        say(json.dumps(results))


app = command(main)

if __name__ == "__main__":
    app()
