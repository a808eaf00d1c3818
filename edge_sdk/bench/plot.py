"""A result as a picture: latency of every row, and peak memory of every file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_sdk.artifact import publish
from edge_sdk.bench.result import File, Result
from edge_sdk.errors import MissingDependency, OutputError


def plot(result: Result, out: Path) -> None:
    """Write a .png, .svg or .pdf: p50 as bars with a line up to p90, and peak memory.

    Raises:
        MissingDependency: Matplotlib is not installed.
        OutputError: It can not be written, or its suffix names no kind of picture.
    """
    figures = require()
    measured = [file for file in result.files if file.error is None]
    if out.suffix not in (".png", ".svg", ".pdf"):
        raise OutputError("a name ending in .png, .svg or .pdf", repr(out.suffix), where=str(out),
                          hint="--plot out.png")
    n_rows = sum(len(file.rows) for file in measured)
    figure = figures.Figure(figsize=(9, 1.8 + 0.28 * n_rows + 0.4 * len(measured)),
                            layout="constrained")
    top, bottom = figure.subplots(2, 1, height_ratios=[max(2, n_rows), max(1, len(measured))])
    _latencies(top, measured)
    _memory(bottom, measured)
    figure.suptitle(f"{result.machine['cpu'] or 'unknown processor'}, "
                    f"{result.settings['threads']} thread(s)", fontsize=10)
    with publish(out) as (temporary,):
        figure.savefig(temporary, dpi=150)


def require() -> Any:
    """Return matplotlib.figure.

    Raises:
        MissingDependency: Matplotlib is not installed.
    """
    try:
        from matplotlib import figure
    except ImportError as error:
        raise MissingDependency("matplotlib", str(error), where="--plot",
                                hint="pip install matplotlib, or leave --plot out") from error
    return figure


def _latencies(axes: Any, measured: list[File]) -> None:
    names, at = [], 0
    for i, file in enumerate(measured):
        for row in file.rows:
            middle = row.quantiles_ms.get(50) or row.mean_ms
            high = row.quantiles_ms.get(90) or middle
            axes.barh(at, middle, color=f"C{i % 10}", height=0.8,
                      xerr=[[0.0], [max(0.0, high - middle)]], error_kw={"lw": 1})
            names.append(f"{file.name}  {row.name}")
            at += 1
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("latency in ms: median, line to p90", fontsize=8)


def _memory(axes: Any, measured: list[File]) -> None:
    known = [(i, file) for i, file in enumerate(measured) if file.ram.peak_mb is not None]
    for at, (i, file) in enumerate(known):
        axes.barh(at, file.ram.peak_mb, color=f"C{i % 10}", alpha=0.4, height=0.7)
        if file.ram.above_engine_mb is not None:
            axes.barh(at, file.ram.above_engine_mb, color=f"C{i % 10}", height=0.7)
    axes.set_yticks(range(len(known)), [file.name for _, file in known], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("peak RAM in MB: whole process; darker, above the imported engine",
                    fontsize=8)
