"""The command of a benchmark in parts, each measured and stored by itself."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
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
        def measure(part: str) -> None:
            measured = parts[part](Scale(quick=quick), data)
            if not quick:
                measured["command"] = f"python -m benchmarks.{name} --only {part}"
                store(name, part, measured, parts, {
                    "isa": _native.isa(), "python": sys.version.split()[0],
                    "packages": {package: version(package) for package in packages}})

        each(chosen(only, parts), measure)

    run.__doc__ = f"Measure {name}, part by part, and write the results of this device."
    return run


def chosen(only: str, names: Iterable[str]) -> list[str]:
    """Return the parts that an option names.

    Raises:
        BadParameter: There is no such part.
    """
    wanted = [part.strip() for part in only.split(",") if part.strip()]
    unknown = [part for part in wanted if part not in [*names]]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]}: choose of {', '.join(names)}")
    return wanted


def each(parts: Iterable[str], measure: Callable[[str], None]) -> None:
    """Measure one part after the other; one that fails does not lose the others.

    Raises:
        Exit: With status 1, after all, if one has failed.
    """
    failed = []
    for part in parts:
        try:
            measure(part)
        except Exception as error:
            if os.environ.get("EDGE_SDK_TRACE"):
                traceback.print_exc()
            print(f"{part}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            failed.append(part)
    if failed:
        print(f"failed  {', '.join(failed)}", file=sys.stderr, flush=True)
        raise typer.Exit(1)


def store(
    name: str, part: str, measured: dict[str, Any], order: Iterable[str], about: dict[str, Any],
) -> None:
    """Put one part into this device's results of `benchmarks.<name>`, beside its other parts.

    Args:
        name, part: Which.
        measured: JSON of the part, its command too.
        order: Of the parts in the file.
        about: The versions that measured it.
    """
    path = RESULTS / device() / f"{name}.json"
    results = json.loads(path.read_text()) if path.exists() else {"parts": {}}
    results["parts"][part] = measured
    results["parts"] = {key: results["parts"][key] for key in order if key in results["parts"]}
    results |= {"device": device(), "version": edge_sdk.__version__, "threads": 1, **about}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")
    say(f"wrote   {part} into {path}")
