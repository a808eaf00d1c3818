"""The command of a benchmark in parts, each measured and stored by itself."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import typer

import edge_sdk
from benchmarks.elastic import RESULTS, device
from benchmarks.rows import Scale
from edge_sdk import _native
from edge_sdk.console import say

Parts = Mapping[str, Callable[[Scale, Path | None], dict[str, Any]]]


def main(name: str, parts: Parts, packages: Sequence[str]) -> Callable[..., None]:
    """Return what runs parts of `benchmarks.<name>` and stores them as this device's."""

    def run(
        only: str = typer.Option(",".join(parts), help="Parts, comma-separated."),
        data: Path = typer.Option(None, help="Folder with data sets; or $EDGE_SDK_DATA."),
        quick: bool = typer.Option(False, "--quick", help="Few rounds, writes nothing."),
    ) -> None:
        wanted = [part.strip() for part in only.split(",") if part.strip()]
        unknown = [part for part in wanted if part not in parts]
        if unknown:
            raise typer.BadParameter(f"{unknown[0]}: choose of {', '.join(parts)}")
        for part in wanted:
            measured = parts[part](Scale(quick=quick), data)
            if not quick:
                measured["command"] = f"python -m benchmarks.{name} --only {part}"
                _store(name, part, measured, parts, packages)

    run.__doc__ = f"Measure {name}, part by part, and write the results of this device."
    return run


def _store(
    name: str, part: str, measured: dict[str, Any], parts: Parts, packages: Sequence[str],
) -> None:
    path = RESULTS / device() / f"{name}.json"
    results = json.loads(path.read_text()) if path.exists() else {"parts": {}}
    results["parts"][part] = measured
    results["parts"] = {key: results["parts"][key] for key in parts if key in results["parts"]}
    results |= {"device": device(), "version": edge_sdk.__version__, "threads": 1,
                "isa": _native.isa(), "python": sys.version.split()[0],
                "packages": {package: version(package) for package in packages}}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")
    say(f"wrote   {part} into {path}")
