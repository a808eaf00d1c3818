"""Makes the README's table of edge_sdk.bench: `python -m benchmarks.readme_bench DEVICE`.

From bench.json of a device, as the command's --json printed it.
"""

from __future__ import annotations

from collections.abc import Callable

import typer

from benchmarks.elastic import RESULTS
from benchmarks.readme import README
from edge_sdk.bench.result import File, Result, load
from edge_sdk.console import command, say

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


def block(result: Result, device: str) -> str:
    """Return the README's block.

    Args:
        result: Files of one model for several engines, the same granularities in each.
        device: Its folder's name.
    """
    first, *others = files = result.files
    names = [row.name for row in first.rows]
    settings = result.settings
    lines = [f"| {' | '.join(['one image', *(file.engine for file in files)])} |",
             "|---" * (len(files) + 1) + "|",
             _line(f"p50 of {', '.join(names)}, ms", files, _p50),
             _line("first call, ms", files, lambda file: f"{file.rows[0].first_ms:.2f}"),
             _line("load, ms", files, lambda file: _known(file.load_ms, 1)),
             _line("peak RAM of the process, MB", files, lambda file: _known(file.ram.peak_mb, 1)),
             _line("... above the imported engine", files,
                   lambda file: _known(file.ram.above_engine_mb, 1)),
             _line("bytes", files, lambda file: f"{file.n_bytes:,}")]
    for name in names:
        found = {ratio.file: ratio for ratio in result.ratios if ratio.row == name}
        cells = [f"{found[file.name].value:.3f} ({_known(found[file.name].low, 3)} to "
                 f"{_known(found[file.name].high, 3)})" for file in others]
        lines.append(f"| {name} beside the first, rerun within | {' | '.join(['1', *cells])} |")
    return "\n".join([*lines, "", (
        f"`{result.command}` on `{device}`, {_threads(settings['threads'])}, "
        f"{settings['passes']} processes of each file; "
        f"{', '.join(f'{file.engine} {file.engine_version}' for file in files)}.")])


def _line(what: str, files: tuple[File, ...], cell: Callable[[File], str]) -> str:
    return f"| {what} | {' | '.join(map(cell, files))} |"


def _p50(file: File) -> str:
    return " ".join(_known(row.quantiles_ms[50], 4) for row in file.rows)


def _known(value: float | None, digits: int) -> str:
    return "unknown" if value is None else f"{value:.{digits}f}"


def _threads(n: int) -> str:
    return "one thread" if n == 1 else f"{n} threads"


def main(device: str = typer.Argument(..., help="A folder of benchmarks/results.")) -> None:
    """Write the table of DEVICE into the README."""
    head, begin, rest = README.read_text().partition(BEGIN)
    if not begin:
        raise typer.BadParameter(f"{README.name} has no {BEGIN}")
    _, _, tail = rest.partition(END)
    made = block(load(RESULTS / device / "bench.json"), device)
    README.write_text(f"{head}{BEGIN}\n{made}\n{END}{tail}")
    say(f"wrote   {README.name}")


if __name__ == "__main__":
    command(main)()
