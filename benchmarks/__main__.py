"""Everything that is measured on a device, and the page of it: `python -m benchmarks`.

Each benchmark runs in a process of its own and stores part by part: one that fails loses
nothing of the others, and can be run again by itself (`--only`). At the end comes a summary
and `build/report.html`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.elastic import DEVICE, RESULTS, device
from benchmarks.parts import chosen
from edge_sdk.console import command, say

BENCHMARKS = ("elastic", "codes", "adaptive", "fastgrnn", "sparse", "pipeline")
ALL = ",".join(BENCHMARKS)
REPORT = "report"
Only = Annotated[str, typer.Option(help="Benchmarks, comma-separated.")]


def main(
    only: Only = ALL,
    data: Annotated[Path | None, typer.Option(
        help="Folder with data sets; or $EDGE_SDK_DATA.")] = None,
    name: Annotated[str | None, typer.Option(
        "--device", help="Name of this device's folder; as its processor calls itself by "
                         "default.")] = None,
    quick: Annotated[bool, typer.Option(
        "--quick", help="Try it out: few rounds, and writes no results.")] = False,
) -> None:
    """Measure this device, write its results, and make the page of all results."""
    wanted = chosen(only, BENCHMARKS)
    if name is not None and not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise typer.BadParameter(f"{name!r}: lower-case letters, digits and single hyphens",
                                 param_hint="--device")
    environment = dict(os.environ)
    if name is not None:
        environment[DEVICE] = name
    if data is not None:
        environment["EDGE_SDK_DATA"] = str(data)
    outcomes = {one: run(one, ["--quick"] if quick else [], environment) for one in wanted}
    if not quick:
        outcomes[REPORT] = run(REPORT, [], environment)
    for line in summary(outcomes):
        say(line)
    if not quick:
        say(f"results {RESULTS / (name or device())}")
    if any(status for status, _ in outcomes.values()):
        raise typer.Exit(1)


def run(benchmark: str, options: list[str], environment: dict[str, str]) -> tuple[int, float]:
    """Run `python -m benchmarks.<benchmark>`; return its exit status and seconds."""
    say(f"run     python -m benchmarks.{' '.join([benchmark, *options])}")
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-m", f"benchmarks.{benchmark}", *options],
                          env=environment, check=False)
    return done.returncode, time.monotonic() - start


def summary(outcomes: dict[str, tuple[int, float]]) -> list[str]:
    """Return a line for each benchmark: what it took, and how it ended."""
    return [f"{'ok' if status == 0 else 'FAILED':<7} {benchmark:<9} {seconds:7.0f} s"
            + ("" if status == 0 else
               f"  status {status}; again alone: python -m benchmarks --only {benchmark}")
            for benchmark, (status, seconds) in outcomes.items()]


if __name__ == "__main__":
    command(main, interrupted="parts until then were written; --only measures the others")()
