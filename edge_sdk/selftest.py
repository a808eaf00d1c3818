"""`python -m edge_sdk.selftest FILE`: reruns the golden inputs in the engine at hand."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import typer

from edge_sdk.artifact import open_artifact, unpack_array
from edge_sdk.console import command, say
from edge_sdk.engines import process
from edge_sdk.errors import ComparisonError


@dataclass(frozen=True)
class SelfTest:
    """Per granularity: the largest difference from the golden outputs, and what is allowed.

    Of a recurrent model, run "whole" and "step" by step. `n` are the golden inputs.
    """

    n: int
    max_difference: dict[str, float]
    allowed: dict[str, float]


def selftest(path: str | os.PathLike[str]) -> SelfTest:
    """Run the golden inputs of `path` again and compare with the golden outputs.

    Raises:
        FormatError: The file is damaged.
        MissingDependency: Its engine is not installed.
        ComparisonError: An output differs by more than the file allows.
    """
    artifact = open_artifact(path)
    golden = artifact.metadata.golden
    inputs = {name: unpack_array(packed) for name, packed in golden.inputs.items()}
    if artifact.metadata.sequence is None:
        n = len(next(iter(inputs.values())))
        outputs = process.run(artifact.path, inputs, list(golden.outputs))
    else:
        n = len(inputs["lengths"])
        outputs = process.run_sequences(artifact.path, process.part(inputs))
    difference: dict[str, float] = {}
    allowed: dict[str, float] = {}
    for granularity, by_name in golden.outputs.items():
        wants = {name: unpack_array(packed) for name, packed in by_name.items()}
        difference[granularity] = max(float(np.abs(outputs[granularity][name] - want).max())
                                      for name, want in wants.items())
        allowed[granularity] = golden.limit * max(
            1.0, *(float(np.abs(want).max()) for want in wants.values()))
        # A NaN compares false: ask for what is right, not for what is wrong.
        if not difference[granularity] <= allowed[granularity]:
            raise ComparisonError(
                f"golden outputs within {allowed[granularity]:.2g}",
                f"{difference[granularity]:.3g}", where=f"{artifact.path}, {granularity}",
                hint="this engine computes something else; compare `toolchain` with pip list",
            )
    return SelfTest(n, difference, allowed)


def main(
    file: Path = typer.Argument(..., help="An exported .pte, .tflite or .onnx."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Rerun the golden inputs that FILE carries, and compare."""
    result = selftest(file)
    if as_json:
        say(json.dumps(asdict(result)))
        return
    for name, difference in result.max_difference.items():
        say(f"check   {name:<12} {result.n} golden  max difference {difference:.1e}  "
            f"limit {result.allowed[name]:.1e}  ok")


app = command(main)

if __name__ == "__main__":
    app()
