"""The command `python -m edge_sdk.bench`."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from edge_sdk.bench import compare, machine, plot, result, run, table
from edge_sdk.bench.subject import find
from edge_sdk.console import command, progress, say
from edge_sdk.device import Device
from edge_sdk.engines.process import unpack_error

QUICK = {"passes": 3, "rounds": 3, "seconds": 0.1}


def main(
    files: Annotated[list[Path], typer.Argument(
        help=".pte, .tflite, .onnx, .grnn, bundles (name.edge), generated C (.c).")],
    threads: Annotated[int, typer.Option(min=1, help="Threads of each engine.")] = 1,
    passes: Annotated[int, typer.Option(
        min=1, help="Processes of each file, one after the other.")] = run.PASSES,
    rounds: Annotated[int, typer.Option(
        min=1, help="Turns of each row in a process.")] = run.ROUNDS,
    seconds: Annotated[float, typer.Option(
        min=0.001, help="Timed calls of each row in all.")] = run.SECONDS,
    quick: Annotated[bool, typer.Option(
        "--quick", help="3 processes, 3 rounds, 0.1 s: a look, no measurement.")] = False,
    target: Annotated[str, typer.Option(
        help="The engine to take from bundles; all they have by default.")] = "",
    seed: Annotated[int, typer.Option(help="Of the order of turns.")] = 0,
    energy: Annotated[bool, typer.Option(
        "--energy/--no-energy", help="Read the energy counter, if there is one.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    picture: Annotated[Path | None, typer.Option("--plot", help="Draw to this .png.")] = None,
    old: Annotated[Path | None, typer.Option(
        "--compare", help="JSON of an older run; exit 1 on a regression.")] = None,
    floor: Annotated[float, typer.Option(
        min=0.0, help="Least change that counts, as a share.")] = compare.FLOOR,
) -> None:
    """Measure latency, RAM and energy of FILES on this machine, each in a process of its own.

    The files take turns; ratios are to the first. Exit status 1 if nothing could be measured,
    a file failed (not so if only its engine is not installed), or --compare found a regression.
    """
    if as_json and as_csv:
        raise typer.BadParameter("--json or --csv, not both")
    older = None if old is None else result.load(old)
    if older is not None:
        compare.demand_comparable(older, machine.facts(Device()), threads)
    if picture is not None:
        plot.require()
    settings = QUICK if quick else {"passes": passes, "rounds": rounds, "seconds": seconds}
    subjects = find(files, target or None)
    with progress(quiet=not sys.stderr.isatty()) as report:
        found = run.bench(subjects, threads=threads, seed=seed, energy=energy, report=report,
                          command=_command(), **settings)  # type: ignore[arg-type]
    errors = [unpack_error(file.error) for file in found.files if file.error is not None]
    if len(errors) == len(found.files):
        raise errors[0]
    compared = None if older is None else compare.compare(older, found, floor=floor)
    if picture is not None:
        plot.plot(found, picture)
    _print(found, compared, as_json=as_json, as_csv=as_csv)
    if any(type(error).__name__ != "MissingDependency" for error in errors) or (
            compared is not None and compared.regressions):
        raise typer.Exit(1)


def _print(found: result.Result, compared: compare.Comparison | None, *, as_json: bool,
           as_csv: bool) -> None:
    if as_json:
        content = json.loads(found.to_json())
        if compared is not None:
            content["comparison"] = compared.to_dict()
        say(json.dumps(content))
        return
    for line in [table.to_csv(found)] if as_csv else table.lines(found):
        say(line)
    if compared is not None and not as_csv:
        for line in compare.lines(compared):
            say(line)


def _command() -> str:
    return shlex.join(["python", "-m", "edge_sdk.bench", *sys.argv[1:]])


app = command(main)

if __name__ == "__main__":
    app()
